//! The exact or f64 result of a problem.

pub mod matmul;
pub mod sgd;
