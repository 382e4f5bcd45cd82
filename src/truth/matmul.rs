//! Truth of a matrix product.
