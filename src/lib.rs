//! `tradeoff` measures what accuracy a speed costs: it runs matrix products and SGD at every
//! precision on every GPU present and on the CPU, times them, measures their error against the
//! truth on the same buffers, and writes one CSV row a case.
//!
//! The way through the library is one direction: [`measure::Selection`] → [`measure::Case`]s →
//! [`problem`] → [`truth`], and a run on a device ([`gpu`], [`workload`]) or its CPU [`mirror`] →
//! verification ([`error`]) → timing → [`record`] → [`compare`], [`frontier`], [`report`].
//!
//! # One's own kernel
//!
//! The parts serve any WGSL kernel. This is `examples/own_kernel.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/own_kernel.rs")]
//! ```
#![warn(missing_docs)]

pub mod compare;
pub mod error;
pub mod fingerprint;
pub mod frontier;
pub mod gpu;
mod hexadecimal;
pub mod measure;
mod memory;
pub mod mirror;
pub mod number;
pub mod problem;
pub mod record;
pub mod report;
pub mod truth;
pub mod validation;
pub mod words;
pub mod workload;
