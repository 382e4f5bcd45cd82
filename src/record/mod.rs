//! The row of the CSV, its files, and provenance.
//!
//! A run is a folder: [`Record`]s in `measurements.csv`, every timing [`Sample`] in `samples.csv`,
//! [`TrajectoryPoint`]s of SGD in `trajectory.csv`, and [`Provenance`] in `run.json`.
//! [`RunFolder`] writes it, [`read()`] and its siblings read it, [`publish`] copies it without what
//! tells whose machine it was. A run can be taken up again ([`RunFolder::resume`]), and one that was
//! split over machines joined ([`merge()`]).

mod load;
mod merge;
mod plan;
mod provenance;
mod publish;
mod read;
mod resume;
mod row;
mod run;
pub mod summary;

pub use load::{LoadError, LoadedRun, Source, load};
pub use merge::{MergeError, Merged, merge};
pub use plan::{Resumption, RunPlan, Shard, ShardError};
pub use provenance::Provenance;
pub(crate) use provenance::utc_now;
pub use publish::publish;
pub use read::{Fault, ReadError, read, read_provenance, read_samples, read_trajectory};
pub use resume::{Repairs, Resumed};
pub use row::{
    Record, Row, SCHEMA_VERSION, Sample, Stage, Status, TrajectoryPoint, precision_label,
};
pub use run::{RecordError, RunFolder};
