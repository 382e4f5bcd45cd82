//! Mirrors of the SGD kernels.
