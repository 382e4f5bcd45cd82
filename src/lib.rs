//! `tradeoff` measures what accuracy a speed costs.
#![warn(missing_docs)]

pub mod error;
pub mod gpu;
pub mod measure;
pub mod mirror;
pub mod number;
pub mod problem;
pub mod record;
pub mod truth;
pub mod workload;
