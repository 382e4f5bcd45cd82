//! Files of the kernels for numbers of several parts, for compensated sums and for f64.

use super::kernels::Kernel;
use crate::gpu::Source;
use crate::number::{Format, Precision};
use crate::wgsl;

/// A thread an entry of C.
pub(super) fn naive(precision: Precision) -> Vec<Source> {
    let mut files = match precision {
        Precision::Fp64 => vec![wgsl!("matmul/accumulate_f64.wgsl")],
        _ => product_add(precision, wgsl!("shared/pair1.wgsl")),
    };
    match precision.storage() {
        Format::F16x2 => files.push(wgsl!("number/f16_split.wgsl")),
        Format::Bf16x3 => {
            files.extend([wgsl!("number/bf16_split.wgsl"), wgsl!("number/planes.wgsl")]);
        }
        _ => files.push(wgsl!("number/elements.wgsl")),
    }
    files.extend([wgsl!("number/in_rows.wgsl"), wgsl!("matmul/wide_naive.wgsl")]);
    files
}

/// Four columns of C at a time, or, of a product with a vector, four rows: in structures that know no
/// format.
pub(super) fn by_fours(kernel: Kernel, precision: Precision) -> Vec<Source> {
    let structure = match kernel {
        Kernel::Gemv => wgsl!("matmul/gemv.wgsl"),
        _ => wgsl!("matmul/register_tiled.wgsl"),
    };
    if precision == Precision::Fp64 {
        let mut files = vec![
            wgsl!("number/f64x4.wgsl"),
            wgsl!("matmul/accumulate_f64x4.wgsl"),
            wgsl!("number/out_f64x4.wgsl"),
            structure,
        ];
        if kernel == Kernel::Gemv {
            files.push(wgsl!("matmul/rows_of_sums.wgsl"));
        }
        return files;
    }
    let mut files = product_add(precision, wgsl!("shared/pair4.wgsl"));
    files.push(wgsl!("matmul/pair_sums.wgsl"));
    files.extend(match precision.storage() {
        Format::F16x2 => [wgsl!("number/f16_split_x4.wgsl"), wgsl!("number/pairs_x4.wgsl")],
        Format::Bf16x3 => [wgsl!("number/bf16_split_x4.wgsl"), wgsl!("number/planes.wgsl")],
        Format::F32x2 => [wgsl!("number/f32_pair_x4.wgsl"), wgsl!("number/pairs_x4.wgsl")],
        _ => [wgsl!("number/f32x4.wgsl"), wgsl!("number/singles_x4.wgsl")],
    });
    files.push(match precision.storage() {
        Format::F32x2 => wgsl!("number/out_f32_pair_x4.wgsl"),
        _ => wgsl!("number/out_f32x4.wgsl"),
    });
    files.push(structure);
    files
}

/// Whether its numbers have parts, which its own files transpose in registers.
pub(super) fn has_parts(precision: Precision) -> bool {
    matches!(precision.storage(), Format::F16x2 | Format::Bf16x3 | Format::F32x2)
}

/// One product-add, of as many entries as `pairs` says, whose sum is a pair of f32.
fn product_add(precision: Precision, pairs: Source) -> Vec<Source> {
    const ERROR_FREE: [Source; 3] =
        [wgsl!("shared/zero.wgsl"), wgsl!("shared/two_sum.wgsl"), wgsl!("shared/two_product.wgsl")];
    let with_errors = |sums: Source| [&ERROR_FREE[..], &[sums]].concat();
    let sums = match precision {
        Precision::Fp16x2 => vec![wgsl!("matmul/accumulate_f16_split.wgsl")],
        Precision::Bf16x3 => vec![wgsl!("matmul/accumulate_bf16_split.wgsl")],
        Precision::Fp32x2 => with_errors(wgsl!("matmul/accumulate_f32_pair.wgsl")),
        _ => with_errors(wgsl!("matmul/accumulate_f32_compensated.wgsl")),
    };
    [vec![pairs], sums].concat()
}
