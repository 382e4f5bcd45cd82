//! One case, from buffers to a measurement.

pub mod statistics;
