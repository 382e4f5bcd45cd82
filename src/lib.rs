//! `tradeoff` measures what accuracy a speed costs.
#![warn(missing_docs)]

pub mod compare;
pub mod error;
pub mod frontier;
pub mod gpu;
pub mod measure;
pub mod mirror;
pub mod number;
pub mod problem;
pub mod record;
pub mod report;
pub mod truth;
pub mod workload;
