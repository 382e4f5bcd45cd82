//! The row of the CSV, its files, and provenance.
//!
//! A run is a folder: [`Record`]s in `measurements.csv`, every timing [`Sample`] in `samples.csv`,
//! [`TrajectoryPoint`]s of SGD in `trajectory.csv`, and [`Provenance`] in `run.json`.
//! [`RunFolder`] writes it, [`read()`] and its siblings read it, [`publish`] copies it without what
//! tells whose machine it was.

mod load;
mod provenance;
mod publish;
mod read;
mod row;
mod run;

pub use load::{LoadError, LoadedRun, Source, load};
pub use provenance::Provenance;
pub use publish::publish;
pub use read::{Fault, ReadError, read, read_provenance, read_samples, read_trajectory};
pub use row::{Record, Row, SCHEMA_VERSION, Sample, Stage, Status, TrajectoryPoint};
pub use run::{RecordError, RunFolder};
