//! Which files of `kernels/` make each matmul kernel. A kernel is their concatenation.

use super::kernels::{F16Path, Kernel};
use super::parameters::Parameters;
use super::{narrow, wide};
use crate::gpu::Source;
use crate::number::{Format, Precision, Rounding};
use crate::wgsl;

/// The files of a product kernel, in the order in which they are concatenated.
pub(super) fn product(
    kernel: Kernel,
    precision: Precision,
    f16_path: Option<F16Path>,
    parameters: &Parameters,
) -> Vec<Source> {
    let staged = parameters.get("stages").unwrap_or(0) > 0;
    let files = match kernel {
        _ if precision.storage().is_blocked() => {
            narrow::blocked_product(precision.storage(), kernel)
        }
        Kernel::Naive if precision.is_wide() => wide::naive(precision),
        Kernel::RegisterTiled | Kernel::Gemv if precision.is_wide() => {
            wide::by_fours(kernel, precision)
        }
        Kernel::Naive => naive(precision, f16_path),
        Kernel::RegisterTiled if is_sr(precision) => {
            by_fours_sr(precision, f16_path, wgsl!("matmul/register_tiled_sr.wgsl"))
        }
        Kernel::RegisterTiled if staged => {
            by_fours(precision, f16_path, wgsl!("matmul/shared_tiled.wgsl"))
        }
        Kernel::RegisterTiled => by_fours(precision, f16_path, wgsl!("matmul/register_tiled.wgsl")),
        Kernel::Subgroup => by_fours(precision, f16_path, wgsl!("matmul/subgroup.wgsl")),
        Kernel::Cooperative => cooperative(precision, parameters),
        Kernel::Gemv if is_sr(precision) => {
            by_fours_sr(precision, f16_path, wgsl!("matmul/gemv_sr.wgsl"))
        }
        Kernel::Gemv => {
            let rows = wgsl!("matmul/rows_of_sums.wgsl");
            [by_fours(precision, f16_path, wgsl!("matmul/gemv.wgsl")), vec![rows]].concat()
        }
    };
    let mut all = vec![wgsl!("matmul/problem.wgsl")];
    match (kernel, parameters.get("slices").unwrap_or(1)) {
        (Kernel::Naive | Kernel::Cooperative, _) => {}
        _ if is_sr(precision) || precision.storage().is_blocked() => {}
        (_, 1) => all.push(wgsl!("matmul/whole.wgsl")),
        _ => all.push(wgsl!("matmul/slices.wgsl")),
    }
    match kernel {
        _ if precision.storage().is_blocked() => {}
        Kernel::Naive if precision.is_wide() => all.push(wgsl!("matmul/operands.wgsl")),
        Kernel::Naive => {
            all.extend(transposed(precision.storage(), f16_path));
            all.push(wgsl!("matmul/operands.wgsl"));
        }
        Kernel::RegisterTiled | Kernel::Gemv => {
            if !wide::has_parts(precision) {
                let stored = transposed_by_fours(precision.storage(), f16_path);
                all.extend([stored, wgsl!("number/lines.wgsl")]);
            }
            all.push(wgsl!("matmul/operands_x4.wgsl"));
        }
        Kernel::Subgroup | Kernel::Cooperative => {}
    }
    // The order in which workgroups cover C, where there is a choice.
    if kernel != Kernel::Gemv && parameters.get("swizzle").is_some() {
        all.push(wgsl!("matmul/swizzle.wgsl"));
    }
    [all, files].concat()
}

/// Whether every product-add is rounded stochastically.
pub(super) fn is_sr(precision: Precision) -> bool {
    let is_short = matches!(precision.accumulator(), Format::F16 | Format::Bf16);
    is_short && precision.rounding() == Rounding::Stochastic
}

/// One entry of C at a time.
fn naive(precision: Precision, f16_path: Option<F16Path>) -> Vec<Source> {
    if precision.storage() == Format::Int8 {
        return [&INT8_SUMS[..], &[wgsl!("number/int8.wgsl"), wgsl!("matmul/int8_naive.wgsl")]]
            .concat();
    }
    let mut files = match (precision.storage(), f16_path) {
        (Format::F16, Some(F16Path::Native)) => vec![wgsl!("number/f16_native.wgsl")],
        (Format::F16, _) => vec![wgsl!("number/f16_packed.wgsl")],
        (Format::Bf16, _) => vec![wgsl!("number/bf16.wgsl")],
        (Format::E4m3 | Format::E5m2, _) => narrow::fp8_operands(precision.storage(), false),
        _ => vec![wgsl!("number/f32.wgsl")],
    };
    match precision.accumulator() {
        format if is_sr(precision) => {
            files.extend(stochastic_sums(format));
            files.push(match format {
                Format::Bf16 => wgsl!("number/out_bf16.wgsl"),
                _ => wgsl!("number/out_f16.wgsl"),
            });
            files.push(wgsl!("matmul/accumulate_sr.wgsl"));
        }
        Format::F16 => files.extend([
            wgsl!("shared/rounding.wgsl"),
            wgsl!("number/out_f16.wgsl"),
            wgsl!("matmul/accumulate_f16.wgsl"),
        ]),
        _ => files.extend([wgsl!("number/out_f32.wgsl"), wgsl!("matmul/accumulate_f32.wgsl")]),
    }
    files.push(wgsl!("matmul/naive.wgsl"));
    files
}

/// Four columns of C at a time, in a structure that knows no format.
fn by_fours(precision: Precision, f16_path: Option<F16Path>, structure: Source) -> Vec<Source> {
    let mut files = match precision.storage() {
        format @ (Format::E4m3 | Format::E5m2) => narrow::fp8_operands(format, true),
        format => vec![operands_by_fours(format, f16_path)],
    };
    match (precision.storage(), precision.accumulator()) {
        (Format::Int8, _) => {
            files.extend(INT8_SUMS);
            let sums = wgsl!("matmul/accumulate_int8x4.wgsl");
            files.extend([sums, wgsl!("number/out_f32x4.wgsl")]);
        }
        (_, Format::F16) => files.extend([
            wgsl!("shared/rounding.wgsl"),
            wgsl!("matmul/accumulate_f16x4.wgsl"),
            wgsl!("number/out_f16x4.wgsl"),
        ]),
        _ => files.extend([wgsl!("matmul/accumulate_f32x4.wgsl"), wgsl!("number/out_f32x4.wgsl")]),
    }
    files.push(structure);
    files
}

/// The same with a 16-bit accumulator rounded stochastically.
fn by_fours_sr(precision: Precision, f16_path: Option<F16Path>, structure: Source) -> Vec<Source> {
    let mut files = vec![
        operands_by_fours(precision.storage(), f16_path),
        match precision.accumulator() {
            Format::Bf16 => wgsl!("number/out_bf16x4.wgsl"),
            _ => wgsl!("number/out_f16x4.wgsl"),
        },
    ];
    files.extend(stochastic_sums(precision.accumulator()));
    files.push(structure);
    files
}

/// What rounds every sum stochastically to a 16-bit format.
fn stochastic_sums(format: Format) -> Vec<Source> {
    let sum = match format {
        Format::Bf16 => wgsl!("number/sum_bf16_sr.wgsl"),
        _ => wgsl!("number/sum_f16_sr.wgsl"),
    };
    [&[wgsl!("shared/rounding.wgsl"), sum], &RANDOM_BITS[..]].concat()
}

/// On matrix units, with fragments of the size that the parameters name.
fn cooperative(precision: Precision, parameters: &Parameters) -> Vec<Source> {
    let small = parameters.get("size") == Some(8);
    let fragments = match (small, precision.accumulator()) {
        (true, Format::F16) => wgsl!("matmul/cooperative_8_f16.wgsl"),
        (true, _) => wgsl!("matmul/cooperative_8_f32.wgsl"),
        (false, Format::F16) => wgsl!("matmul/cooperative_16_f16.wgsl"),
        (false, _) => wgsl!("matmul/cooperative_16_f32.wgsl"),
    };
    vec![fragments, wgsl!("matmul/cooperative.wgsl")]
}

/// What a stochastic rounding draws its bits from.
pub(super) const RANDOM_BITS: [Source; 3] =
    [wgsl!("shared/philox.wgsl"), wgsl!("shared/rounding_bits.wgsl"), wgsl!("shared/streams.wgsl")];

const INT8_SUMS: [Source; 3] = [
    wgsl!("matmul/int8_scale.wgsl"),
    wgsl!("shared/reciprocal.wgsl"),
    wgsl!("matmul/int8_sum.wgsl"),
];

fn operands_by_fours(storage: Format, f16_path: Option<F16Path>) -> Source {
    match (storage, f16_path) {
        (Format::F16, Some(F16Path::Native)) => wgsl!("number/f16_native_x4.wgsl"),
        (Format::F16, _) => wgsl!("number/f16_packed_x4.wgsl"),
        (Format::Bf16, _) => wgsl!("number/bf16x4.wgsl"),
        (Format::Int8, _) => wgsl!("number/int8x4.wgsl"),
        _ => wgsl!("number/f32x4.wgsl"),
    }
}

/// How [`naive`] reads operands that are stored transposed, beside how it reads others.
fn transposed(storage: Format, f16_path: Option<F16Path>) -> Vec<Source> {
    let file = match (storage, f16_path) {
        (Format::Int8, _) => return vec![wgsl!("number/int8_transposed.wgsl")],
        (Format::F16, Some(F16Path::Native)) => wgsl!("number/f16_native_transposed.wgsl"),
        (Format::F16 | Format::Bf16, _) => wgsl!("number/halves_transposed.wgsl"),
        (Format::E4m3 | Format::E5m2, _) => wgsl!("number/fp8_transposed.wgsl"),
        _ => wgsl!("number/f32_transposed.wgsl"),
    };
    vec![wgsl!("number/decoded.wgsl"), file]
}

/// How kernels that read [`operands_by_fours`] read those that are stored transposed.
fn transposed_by_fours(storage: Format, f16_path: Option<F16Path>) -> Source {
    match (storage, f16_path) {
        (Format::F16, Some(F16Path::Native)) => wgsl!("number/f16_native_x4_transposed.wgsl"),
        (Format::F16 | Format::Bf16, _) => wgsl!("number/halves_x4_transposed.wgsl"),
        (Format::E4m3 | Format::E5m2, _) => wgsl!("number/fp8x4_transposed.wgsl"),
        (Format::Int8, _) => wgsl!("number/int8x4_transposed.wgsl"),
        _ => wgsl!("number/f32x4_transposed.wgsl"),
    }
}

/// The files of the conversion to the storage format of `precision`: the one kernel of a 16-bit
/// format, or the two of int8 (maxima, then quantisation). Empty for f32 and what is wider.
pub fn conversion_sources(precision: Precision) -> Vec<Vec<Source>> {
    let elementwise = |format: Source| {
        vec![vec![wgsl!("shared/rounding.wgsl"), format, wgsl!("matmul/convert.wgsl")]]
    };
    let split = |format: Source| {
        vec![vec![wgsl!("shared/rounding.wgsl"), format, wgsl!("matmul/convert_split.wgsl")]]
    };
    match precision.storage() {
        Format::F16 => elementwise(wgsl!("number/convert_f16.wgsl")),
        Format::Bf16 => elementwise(wgsl!("number/convert_bf16.wgsl")),
        Format::F16x2 => split(wgsl!("number/convert_f16_split.wgsl")),
        Format::Bf16x3 => split(wgsl!("number/convert_bf16_split.wgsl")),
        Format::Int8 => {
            let mut quantize = vec![
                wgsl!("matmul/problem.wgsl"),
                wgsl!("matmul/int8_scale.wgsl"),
                wgsl!("shared/reciprocal.wgsl"),
                wgsl!("shared/rounding.wgsl"),
            ];
            if precision.rounding() == Rounding::Stochastic {
                quantize.extend(RANDOM_BITS);
                quantize.push(wgsl!("matmul/quantize_sr.wgsl"));
            } else {
                let streams = wgsl!("shared/streams.wgsl");
                quantize.extend([streams, wgsl!("matmul/quantize_nearest.wgsl")]);
            }
            quantize.push(wgsl!("matmul/quantize.wgsl"));
            vec![vec![wgsl!("matmul/absmax.wgsl")], quantize]
        }
        format if format.is_blocked() || format.fp8().is_some() => {
            vec![narrow::conversion(precision)]
        }
        _ => vec![],
    }
}
