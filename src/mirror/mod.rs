//! CPU versions of the kernels: the same operations in the same order.

pub mod matmul;
pub mod sgd;
