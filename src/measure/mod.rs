//! One case, from buffers to a measurement: prepare, verify, time, record.
//!
//! A [`Session`] opens devices and keeps problems and truths. It turns each [`Case`] of a plan
//! into a [`Prepared`] one, verified and ready to be timed by whoever draws the samples, or into
//! the row that says why it was not timed.

mod case;
mod matmul;
mod selection;
mod session;
mod sgd;
pub mod statistics;

pub use case::{Case, Work};
pub use matmul::MatmulOverride;
pub use selection::{Selection, SelectionError};
pub use session::{Measured, Prepared, Session, Unmeasured};
