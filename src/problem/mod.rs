//! Inputs: seeded matrices and data sets, and the user's own matrices.

pub mod dataset;
pub mod distribution;
pub mod layout;
pub mod matrix;
pub mod npy;
