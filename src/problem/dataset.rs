//! Data sets for SGD.
