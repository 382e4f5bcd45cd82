//! Error of a computed result against the truth: metrics and bounds.

pub mod bound;
pub mod fit;
pub mod grade;
pub mod metrics;
pub mod parts;
pub mod probabilistic;
pub mod theory;
pub mod trials;

pub use bound::{Bound, BoundError, Guarantee, matmul_bound};
pub use metrics::ErrorMetrics;
pub use parts::{Parts, Reference, Sums};
pub use probabilistic::Probabilistic;
pub use trials::Trials;

/// The size of an error. What is not finite is infinitely wrong.
fn size(error: f64) -> f64 {
    if error.is_finite() { error.abs() } else { f64::INFINITY }
}

/// An error as a multiple of `scale`. No error is 0 whatever the scale; what is not a number is
/// infinite, so that it never passes for a small error.
fn relative(error: f64, scale: f64) -> f64 {
    let ratio = if error == 0.0 { 0.0 } else { error / scale };
    if ratio.is_nan() { f64::INFINITY } else { ratio }
}
