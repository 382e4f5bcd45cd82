//! One case, from buffers to a measurement: prepare, verify, time, record.
//!
//! A [`Session`] opens devices and keeps problems and truths. It turns each [`Case`] of a plan
//! into a [`Prepared`] one, verified and ready to be timed by whoever draws the samples, or into
//! the row that says why it was not timed. [`run_plan`] does that for all cases of a plan, with the
//! samples of [`sampler`].

pub mod cache;
mod case;
mod cold;
mod drawing;
mod fingerprint;
mod grade;
mod group;
mod integers;
mod judge;
mod last_level_cache;
pub mod limits;
mod matmul;
mod orders;
mod plan;
mod pool;
pub mod roofline;
pub mod sampler;
mod selection;
mod session;
mod sgd;
pub mod statistics;
pub mod telemetry;
mod tune;

pub use case::{Case, Work};
pub use drawing::{Caches, Drawing, Interleaving};
pub use grade::{expected_growth, theory_of_inputs};
pub use matmul::MatmulOverride;
pub use orders::keep_orders;
pub use plan::{
    Ending, Observer, RunOptions, describe_plan, expand_sizes, kernel_changes, kernel_sha256,
    run_plan,
};
pub use pool::pool;
pub use selection::{Batch, Selection, SelectionError};
pub use session::{Measured, Prepared, Session, Unmeasured, fill_times};
