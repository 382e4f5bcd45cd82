//! CPU versions of the kernels: the same operations in the same order, bit for bit equal to a
//! device under its probed [`Arithmetic`](crate::number::Arithmetic). Where they match a shader
//! line by line they are written like it.

pub mod convert;
pub mod matmul;
pub mod matmul_wide;
pub mod reciprocal;
pub mod sgd;
pub(crate) mod split;
