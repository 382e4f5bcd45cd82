//! Files of the kernels for formats narrower than 16 bits, other than int8: fp8, the Microscaling formats
//! and int4.

use super::files::RANDOM_BITS;
use super::kernels::Kernel;
use crate::gpu::Source;
use crate::number::{Format, Precision, Rounding};
use crate::wgsl;

/// What decodes the operands of a format with bytes of floating point, one number at a time or four.
pub(super) fn fp8_operands(storage: Format, by_fours: bool) -> Vec<Source> {
    let operands = if by_fours { wgsl!("number/fp8x4.wgsl") } else { wgsl!("number/fp8.wgsl") };
    [fp8_format(storage), vec![operands]].concat()
}

/// A product of operands with scales in blocks: one entry of C at a time, a block of them, or with a vector.
pub(super) fn blocked_product(storage: Format, kernel: Kernel) -> Vec<Source> {
    const OUT: Source = wgsl!("number/out_f32.wgsl");
    const BY_FOURS: Source = wgsl!("matmul/block_steps_x4.wgsl");
    let structure = match kernel {
        Kernel::Gemv => [BY_FOURS, OUT, wgsl!("matmul/block_gemv.wgsl")],
        Kernel::RegisterTiled => {
            [BY_FOURS, wgsl!("number/out_f32x4.wgsl"), wgsl!("matmul/block_tiled.wgsl")]
        }
        _ => [wgsl!("matmul/block_steps.wgsl"), OUT, wgsl!("matmul/block_naive.wgsl")],
    };
    [block_format(storage), vec![wgsl!("matmul/block_sum.wgsl")], structure.into()].concat()
}

/// The one kernel that converts to fp8 or to a format with blocks.
pub(super) fn conversion(precision: Precision) -> Vec<Source> {
    let storage = precision.storage();
    let stochastic = precision.rounding() == Rounding::Stochastic;
    let mut files = vec![wgsl!("matmul/problem.wgsl")];
    if stochastic {
        files.extend(RANDOM_BITS);
    } else if storage.is_blocked() {
        files.push(wgsl!("shared/streams.wgsl"));
    }
    if !storage.is_blocked() {
        files.extend(fp8_format(storage));
        files.push(if stochastic {
            wgsl!("number/convert_fp8_sr.wgsl")
        } else {
            wgsl!("number/convert_fp8.wgsl")
        });
        files.push(wgsl!("matmul/convert_bytes.wgsl"));
        return files;
    }
    files.extend(block_format(storage));
    files.extend(match (storage, stochastic) {
        (Format::MxFp8, _) => vec![wgsl!("number/elements_fp8.wgsl")],
        (_, true) => vec![wgsl!("shared/rounding.wgsl"), wgsl!("number/elements_integer_sr.wgsl")],
        (_, false) => vec![wgsl!("shared/rounding.wgsl"), wgsl!("number/elements_integer.wgsl")],
    });
    files.push(wgsl!("matmul/block_convert.wgsl"));
    files
}

fn fp8_format(storage: Format) -> Vec<Source> {
    let constants = match storage {
        Format::E5m2 => wgsl!("number/fp8_e5m2.wgsl"),
        _ => wgsl!("number/fp8_e4m3.wgsl"),
    };
    vec![constants, wgsl!("number/fp8_format.wgsl")]
}

/// Elements and scales of a format with blocks.
fn block_format(storage: Format) -> Vec<Source> {
    match storage {
        Format::MxFp8 => {
            let own = [wgsl!("number/mxfp8.wgsl"), wgsl!("number/scale_e8m0.wgsl")];
            [fp8_format(storage), own.into()].concat()
        }
        Format::MxInt8 => vec![wgsl!("number/mxint8.wgsl"), wgsl!("number/scale_e8m0.wgsl")],
        _ => vec![
            wgsl!("number/int4.wgsl"),
            wgsl!("number/scale_f32.wgsl"),
            wgsl!("shared/reciprocal.wgsl"),
        ],
    }
}
