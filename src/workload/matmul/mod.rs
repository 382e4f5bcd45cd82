//! Matrix product C = A·B, m×n×k: shape, layout and batch, operations, bytes, kernels, and the commands
//! that run it on a device.

mod device;
mod files;
mod kernels;
mod parameters;
mod shape;
mod tuning;

pub use device::GpuMatmul;
pub use files::conversion_sources;
pub use kernels::{F16Path, Kernel, KernelSource, TuningError};
pub use parameters::{Parameters, ParametersError};
pub use shape::{Shape, ShapeError};

use crate::number::{Format, Precision};

/// The format of C: f16 for an f16 accumulator, else f32.
pub fn output_format(precision: Precision) -> Format {
    match precision.accumulator() {
        Format::F16 => Format::F16,
        _ => Format::F32,
    }
}

/// The unit of a matmul's throughput: integer products are no floating-point operations.
pub fn throughput_unit(precision: Precision) -> &'static str {
    match precision.storage() {
        Format::Int8 => "GOP/s",
        _ => "GFLOP/s",
    }
}
