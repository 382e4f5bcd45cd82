//! Other people's matrix products beside those of `tradeoff`: the same inputs, the same truth, the
//! same rows, and ratios of runs that were interleaved.
//!
//! A peer is one file that implements [`Peer`]. An [`Entrant`] is a peer or a case of `tradeoff`
//! itself; each is verified before it is timed. [`race`] draws the samples in rounds, one of each
//! entrant in turn, so that what slows the machine for a while slows all.

mod entrant;
pub mod gemm;
mod peer;
mod race;

pub use entrant::{Bench, Entrant};
pub use peer::Peer;
pub use race::{Race, race};
