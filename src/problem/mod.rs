//! Inputs: seeded matrices and data sets.

pub mod dataset;
pub mod layout;
pub mod matrix;
