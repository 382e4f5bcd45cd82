//! Other people's matrix products beside those of `tradeoff`: the same inputs, the same truth, the
//! same rows, and ratios of runs that were interleaved.
//!
//! A peer is one file that implements [`Peer`]. An [`Entrant`] is a peer or a case of `tradeoff`
//! itself; each is verified before it is timed. [`race`] draws the samples in rounds, one of each
//! entrant in turn, so that what slows the machine for a while slows all. A [`Remote`] is a peer in
//! a process of its own, which may hang or crash without harm to the others.

#[cfg(feature = "burn")]
pub mod burn;
mod entrant;
pub mod gemm;
mod job;
pub mod openblas;
mod peer;
mod race;
mod remote;
pub mod setting;

pub use entrant::{Bench, Entrant};
pub use job::Job;
pub use peer::Peer;
pub use race::{Race, Ratios, race};
pub use remote::{Program, Remote, serve};
pub use setting::Setting;

use tradeoff::measure::Unmeasured;
use tradeoff::record::Status;

/// Why a peer did not run to its end.
fn failed(reason: String) -> Unmeasured {
    Unmeasured::new(Status::Failed, reason)
}
