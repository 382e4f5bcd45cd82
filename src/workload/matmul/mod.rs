//! Matrix product C = A·B, m×n×k: shape, layout and batch, operations, bytes, kernels, and the commands
//! that run it on a device.

mod device;
mod files;
mod kernels;
mod narrow;
mod parameters;
mod shape;
mod tuning;
mod wide;

pub use device::GpuMatmul;
pub use files::conversion_sources;
pub use kernels::{F16Path, Kernel, KernelSource, TuningError};
pub use parameters::{Parameters, ParametersError};
pub use shape::{Shape, ShapeError};

use crate::number::{Format, Precision};

/// The format in which the operands are uploaded: f32; their own, where that is wider; and the parts that
/// the host makes, where the operands were given in f64 and the precision takes that.
pub fn upload_format(precision: Precision, given_f64: bool) -> Format {
    match precision.storage() {
        wide @ (Format::F32x2 | Format::F64) => wide,
        split if given_f64 && precision.takes_f64() => split,
        _ => Format::F32,
    }
}

/// The format of C: that of a 16-bit accumulator, of one in f64 and of double-single operands, else f32.
pub fn output_format(precision: Precision) -> Format {
    match precision.accumulator() {
        Format::F64 => Format::F64,
        Format::F32x2 if precision.storage() == Format::F32x2 => Format::F32x2,
        short @ (Format::F16 | Format::Bf16) => short,
        _ => Format::F32,
    }
}

/// The unit of a matmul's throughput: integer products are no floating-point operations.
pub fn throughput_unit(precision: Precision) -> &'static str {
    match precision.storage() {
        Format::Int8 | Format::Int4 => "GOP/s",
        _ => "GFLOP/s",
    }
}
