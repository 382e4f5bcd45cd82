//! Truth of SGD: f64 trajectory and optimum.
