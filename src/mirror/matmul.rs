//! Mirrors of the matrix product kernels.
