//! Workloads: shapes, operations, bytes, settings and kernels.

pub mod matmul;
pub mod sgd;
