//! Devices: adapters, contexts, kernels, buffers, timing, fingerprint. Never names a workload.

mod adapters;
mod buffer;
mod context;
mod duplicate;
mod error;
mod error_free;
mod fingerprint;
mod kernel;
mod timer;

#[cfg(test)]
mod tests;

pub use adapters::{Candidate, DeviceInfo, discover, discover_from_env, no_gpu_hint};
pub use buffer::{Buffer, Uniforms};
pub use context::{Command, Context, Pipeline};
pub use duplicate::buffer_bytes;
pub use error::{GpuError, SelectionError};
pub use error_free::{
    DOUBLE, ERROR_FREE, double_differs, lost_errors, lost_sum_errors, sums_probe,
};
pub use fingerprint::Fingerprint;
pub(crate) use fingerprint::{ARITHMETIC, CONVERT};
pub use kernel::{Composed, Source, compose, compose_with};
pub use timer::{Elapsed, TimingMethod};

/// The kernels that a [`Context`] probes its device with. The last one needs `SHADER_F16`.
pub const PROBES: [Source; 4] =
    [timer::PROBE, fingerprint::ARITHMETIC, fingerprint::CONVERT, fingerprint::HALF];
