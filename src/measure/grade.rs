//! Grades of this program's own products: each kernel of each device at each precision.

use super::case::{Case, Work};
use super::session::{Session, Unmeasured};
use crate::error::grade::{Examiner, Graded, Limits, SIZES};
use crate::error::theory::{self, Expected, Inputs, Roundings};
use crate::gpu::Context;
use crate::mirror::convert::{Key, Operands};
use crate::mirror::matmul::entries;
use crate::number::{Arithmetic, Format, Precision, Rounding};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::Matrix;
use crate::record::Status;
use crate::workload::matmul::{GpuMatmul, KernelSource, Shape, output_format};

impl Session {
    /// Grades the kernel, precision and device of a case of matmul, with the parameters that the kernel
    /// has by default there; the shape does not matter.
    ///
    /// # Errors
    /// Why it cannot be graded: it is none of matmul, the device lacks what it needs, or fails.
    pub fn grade(&mut self, case: &Case, examiner: &Examiner) -> Result<Graded, Unmeasured> {
        let Work::Matmul { kernel, rounding_bits, .. } = case.work else {
            return Err(Unmeasured::new(Status::Skipped, "only matrix products are graded"));
        };
        let (precision, key) = (case.precision, [self.selection.seed, self.selection.trial]);
        let limits = limits(precision);
        if limits.is_vacuous() {
            let reason = "sums of this format may err by all of C at the sizes that are graded";
            return Err(Unmeasured::new(Status::Skipped, reason));
        }
        let position = self.position(case)?;
        match (self.opened_at(position)?, kernel) {
            (Some(context), Some(kernel)) => {
                kernel
                    .runs(precision, Shape::square(SIZES[0]))
                    .and_then(|()| KernelSource::supports(kernel, precision, &context.info))
                    .map_err(|lacks| Unmeasured::new(Status::Skipped, lacks))?;
                let source = KernelSource {
                    rounding_bits,
                    ..KernelSource::of(kernel, precision, &context.info)
                };
                let mut product =
                    |a: &Matrix, b: &Matrix| on_device(&context, &source, [a, b], key);
                examiner.grade(&mut product, limits)
            }
            _ => examiner.grade(
                &mut |a, b| {
                    let arithmetic = Arithmetic::host();
                    let ab = Stored::new(Layout::Nn, 1, a, b);
                    let operands =
                        Operands::convert_with_bits(precision, arithmetic, &ab, key, rounding_bits);
                    let rows: Vec<usize> = (0..a.rows).collect();
                    Ok(entries(precision, arithmetic, &operands, 1, &rows, key).values())
                },
                limits,
            ),
        }
    }
}

fn on_device(
    context: &Context,
    source: &KernelSource,
    [a, b]: [&Matrix; 2],
    key: Key,
) -> Result<Vec<f64>, Unmeasured> {
    let gpu = GpuMatmul::prepare(context, source, &Stored::new(Layout::Nn, 1, a, b), key, false)?;
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    Ok(gpu.entries(context)?.values())
}

/// Largest relative error of one rounding to a format; of a scaled integer relative to the largest that
/// it holds, half a step. What shares a power of two may hold half as much as it could.
fn unit(format: Format) -> f64 {
    match format {
        Format::Int8 => 0.5 / 127.0,
        Format::Int4 => 0.5 / 7.0,
        Format::MxInt8 => 0.5 / 64.0,
        other => other.unit_roundoff(),
    }
}

/// What the inputs of a grading must keep to at a precision, and what errors are counted in.
fn limits(precision: Precision) -> Limits {
    let (storage, accumulator) = (precision.storage(), precision.accumulator());
    // A number that is rounded stochastically may lie all of a step off: sums where the accumulator is
    // 16 bits wide, else operands.
    let stochastic = if precision.rounding() == Rounding::Stochastic { 2.0 } else { 1.0 };
    let of_sums = matches!(accumulator, Format::F16 | Format::Bf16);
    let [operands, sums] = if of_sums { [1.0, stochastic] } else { [stochastic, 1.0] };
    // Integers are summed exactly, and their scaled sums rounded to f32.
    let sum_unit = unit(accumulator).max(unit(output_format(precision)));
    // Sums of 64 products of up to 2^(2e + 2) stay below 2^15 in f16 and 2^127 in f32, and operands of
    // up to 2^(e + 1) in their format.
    let exponent = match (storage, accumulator) {
        (_, Format::F16) => 3,
        (Format::F16 | Format::F16x2 | Format::E5m2, _) => 13,
        (Format::E4m3, _) => 6,
        _ => 59,
    };
    Limits { operand_unit: operands * unit(storage), sum_unit: sums * sum_unit, exponent }
}

/// How a product rounds `inputs` at a precision, by `bits` random bits where it does so stochastically.
fn roundings(precision: Precision, bits: u32, inputs: Inputs) -> Roundings {
    let (storage, accumulator) = (precision.storage(), precision.accumulator());
    let stochastic = precision.rounding() == Rounding::Stochastic;
    let of_sums = matches!(accumulator, Format::F16 | Format::Bf16);
    let bits_of = |counts: bool| (stochastic && counts).then_some(bits);
    // Of an f32, 13 bits are dropped to a normal f16; of what other formats drop, 16 bits count.
    let rounded = |format: Format, bits: Option<u32>| match (bits, format) {
        (None, _) => theory::Rounding::nearest(format.unit_roundoff()),
        (Some(bits), Format::F16) => theory::Rounding::stochastic(unit(format), bits, 13),
        (Some(bits), _) => theory::Rounding::stochastic(unit(format), bits, 16),
    };
    // What is left of a number that a part holds is held by the next part.
    let parts = |format, count| theory::Rounding {
        noise: rounded(format, None).noise.powi(count),
        bias: 0.0,
    };
    let operands = match storage {
        Format::F32 | Format::F32x2 | Format::F64 => theory::Rounding::default(),
        // The product of the two lower parts, left out, is as large: half of it to each operand.
        Format::F16x2 => {
            let pair = parts(Format::F16, 2);
            theory::Rounding { noise: 1.5f64.sqrt() * pair.noise, ..pair }
        }
        // What is left out is as large as what a fourth part of one operand would hold.
        Format::Bf16x3 => parts(Format::Bf16, 3),
        Format::Int8 | Format::Int4 | Format::MxInt8 => {
            theory::Rounding::fixed(2.0 * unit(storage) * inputs.crest, bits_of(!of_sums))
        }
        Format::MxFp8 => theory::Rounding {
            bias: inputs.above_mxfp8.unwrap_or_default(),
            ..rounded(storage, None)
        },
        other => rounded(other, bits_of(!of_sums)),
    };
    let sums = match accumulator {
        Format::Int32 => theory::Rounding::default(),
        other => rounded(other, bits_of(of_sums)),
    };
    let output = match output_format(precision) {
        format if format == accumulator => theory::Rounding::default(),
        format => rounded(format, None),
    };
    // Integers add up exactly.
    let to_nearest = !(stochastic && of_sums) && accumulator != Format::Int32;
    let stagnating = to_nearest.then(|| unit(accumulator));
    Roundings { operands, sums, stagnating, output }
}

/// The exponent of the error in k that theory expects at a precision, over sums of these lengths: see
/// [`theory`]. `bits` are the random bits of a stochastic rounding. `largest`: of the largest componentwise
/// error of a square product, else of the relative Frobenius error. `None` where theory is silent, as it is
/// where operands saturate and nothing tells how many.
pub fn expected_growth(
    precision: Precision,
    bits: u32,
    inputs: Inputs,
    lengths: &[f64],
    largest: bool,
) -> Option<Expected> {
    if precision.storage() == Format::MxFp8 && inputs.above_mxfp8.is_none() {
        return None;
    }
    roundings(precision, bits, inputs).expected(inputs, lengths, largest)
}

/// What theory needs to know of a distribution by its name and parameters, as the columns have them; `None`
/// where it is silent: of operands that are the user's own, where sums cancel by design, so that they do not
/// grow on the way, and of integers that are exact.
pub fn theory_of_inputs(distribution: &str, parameters: &str) -> Option<Inputs> {
    match distribution {
        "uniform01" => Some(Inputs::UNIFORM01),
        "mean-shift" => {
            let mean: f64 = parameters.strip_prefix("mean=")?.parse().ok()?;
            Some(Inputs::normal_around(mean))
        }
        "uniform" => Some(Inputs { rms_over_mean: None, ..Inputs::UNIFORM01 }),
        "normal" | "exponent-spread" | "power-span" | "outlier-columns" | "subnormal" => {
            Some(Inputs::NORMAL)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::fit::PowerLaw;
    use crate::error::grade::Grade;
    use crate::error::theory::Cause;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::number::round::f16_nearest;
    use crate::problem::distribution::Distribution;
    use crate::problem::matrix::MatmulProblem;
    use crate::record::Provenance;

    /// By the definition with f32 or f16 numbers, each entry keeps to its own bound; one step for a row or
    /// for a matrix of integers is a bound by rows, or by matrices. And the largest error grows as theory
    /// expects: nearer to that exponent than to any other of its kind, which are ½ apart.
    #[test]
    fn the_mirrors_have_the_grades_of_their_scales() {
        let expected = [
            (Precision::Fp32, Grade::A, 0.5),
            (Precision::Fp16, Grade::A, -0.5),
            (Precision::Fp16Acc16, Grade::A, 0.5),
            (Precision::Fp16Sr, Grade::A, 0.5),
            (Precision::Bf16, Grade::A, -0.5),
            (Precision::Int8Rowwise, Grade::B, -0.5),
            (Precision::Int8SrRowwise, Grade::B, -0.5),
            (Precision::Int8, Grade::C, -0.5),
            (Precision::Int8Sr, Grade::C, -0.5),
            (Precision::Fp16x2, Grade::A, 0.5),
            (Precision::Bf16x3, Grade::A, 0.5),
            (Precision::Fp32Comp, Grade::A, 0.0),
            // What it saturates, it does to the same side.
            (Precision::Mxfp8, Grade::B, 0.0),
        ];
        let selection = Selection {
            shapes: vec![Shape::square(8)],
            precisions: expected.map(|(precision, ..)| precision).to_vec(),
            data_sets: vec![],
            ..Selection::default()
        };
        let devices = discover(Some("cpu")).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        let examiner = Examiner::new(1);
        let sizes = SIZES.map(|size| size as f64);
        for (precision, grade, exponent) in expected {
            let case = session.plan().into_iter().find(|c| c.precision == precision).unwrap();
            let graded = session.grade(&case, &examiner).unwrap();
            println!("{precision}: {} {:?}", graded.grade.name(), graded.growth);
            assert_eq!(graded.grade, grade, "{precision}: {graded:?}");
            let theory = expected_growth(precision, 16, Inputs::UNIFORM01, &sizes, true).unwrap();
            assert_eq!(theory.exponent, Some(exponent), "{precision}: {theory:?}");
            let found = graded.growth.unwrap().exponent;
            assert!((found - exponent).abs() < 0.25, "{precision}: n^{found}, {theory:?}");
        }
    }

    /// The relative Frobenius errors on the mirror, by so many random bits: (k, error). Against the products
    /// of the `converted` operands, so that no other cause is in the error, or of those before.
    fn errors_of(
        precision: Precision,
        bits: u32,
        distribution: Distribution,
        lengths: &[usize],
        converted: fn(f32) -> f32,
    ) -> Vec<(f64, f64)> {
        let (rows, columns, key) = (ROWS, COLUMNS, [1, 0]);
        let of_length = |&k: &usize| {
            let problem = MatmulProblem::generate(distribution, rows, columns, k, 7).unwrap();
            let stored = Stored::new(Layout::Nn, 1, &problem.a, &problem.b);
            let arithmetic = Arithmetic::host();
            let operands = Operands::convert_with_bits(precision, arithmetic, &stored, key, bits);
            let all: Vec<usize> = (0..rows).collect();
            let computed = entries(precision, arithmetic, &operands, 1, &all, key).values();
            let (mut errors, mut squares) = (0.0, 0.0);
            for (e, computed) in computed.into_iter().enumerate() {
                let (i, j) = (e / columns, e % columns);
                let products = (0..k).map(|q| {
                    let [a, b] = [problem.a.data[i * k + q], problem.b.data[q * columns + j]];
                    f64::from(converted(a)) * f64::from(converted(b))
                });
                let exact: f64 = products.sum();
                errors += (computed - exact).powi(2);
                squares += exact * exact;
            }
            (k as f64, (errors / squares).sqrt())
        };
        lengths.iter().map(of_length).collect()
    }

    /// What theory makes of the sums alone.
    fn size_of_sums(precision: Precision, bits: u32, inputs: Inputs, k: f64) -> f64 {
        let operands = theory::Rounding::default();
        let sums = Roundings { operands, ..roundings(precision, bits, inputs) };
        sums.sizes(inputs, k).iter().map(|(_, size)| size * size).sum::<f64>().sqrt()
    }

    const ROWS: usize = 24;
    const COLUMNS: usize = 32;

    /// By 16 random bits sums err as √k, by 4 as k where their bias dominates: each nearer to its exponent
    /// than to the other, and by as much as theory says. Its significands are spread log-uniformly, those
    /// here are near a power of two, where an ulp is small: 4(m − 6/7)/m³ and 2(m − 2/3)/m² of the
    /// significand m of a sum lie between 0.57 and 0.81, 0.66 and 0.75, instead of 0.72. The root mean square of
    /// N errors has the relative deviation 1/√(2N), of which 4 are granted.
    #[test]
    fn few_random_bits_grow_as_theory_says() {
        let (least, most) = ((0.57f64 / 0.7213).sqrt(), (0.81f64 / 0.7213).sqrt());
        let chance = 4.0 / (2.0 * (ROWS * COLUMNS) as f64).sqrt();
        for (bits, exponent) in [(4, 1.0), (16, 0.5)] {
            let lengths = [256, 512, 1024, 2048, 4096, 8192];
            let (precision, uniform) = (Precision::Fp16Sr, Distribution::Uniform01);
            let errors = errors_of(precision, bits, uniform, &lengths, f16_nearest);
            let lengths: Vec<f64> = errors.iter().map(|pair| pair.0).collect();
            let theory =
                expected_growth(Precision::Fp16Sr, bits, Inputs::UNIFORM01, &lengths, false)
                    .unwrap();
            assert_eq!(theory.exponent, Some(exponent), "{theory:?}");
            let law = PowerLaw::of(&errors).unwrap();
            println!("{bits} bits: {law:?} {errors:?}");
            assert!((law.exponent - exponent).abs() < 0.25, "{bits} bits: {law:?}");
            for (k, error) in errors {
                let predicted = size_of_sums(Precision::Fp16Sr, bits, Inputs::UNIFORM01, k);
                let ratio = error / predicted;
                let held = least * (1.0 - chance) < ratio && ratio < most * (1.0 + chance);
                assert!(held, "{bits} bits at {k}: {ratio} times {predicted:e}");
            }
        }
    }

    /// Whether products act as of one sign depends on k: with a mean of 0.3 from k = 146 on, the middle here
    /// is 512; with 0.1 from 10,200. So errors fall, or not; the two exponents are ½ apart.
    #[test]
    fn a_small_mean_averages_errors_of_operands_out() {
        let lengths = [64, 256, 1024, 4096];
        for (mean, exponent) in [(0.9, -0.5), (0.5, -0.5), (0.3, -0.5), (0.1, 0.0)] {
            let (precision, shifted) = (Precision::Bf16, Distribution::MeanShift { mean });
            let law = errors_of(precision, 16, shifted, &lengths, |x| x);
            let law = PowerLaw::of(&law).unwrap();
            println!("mean {mean}: {law:?}");
            let inputs = theory_of_inputs("mean-shift", &format!("mean={mean}")).unwrap();
            let theory = expected_growth(precision, 16, inputs, &[64.0, 4096.0], false).unwrap();
            assert_eq!(theory.exponent, Some(exponent), "mean {mean}");
            assert!((law.exponent - exponent).abs() < 0.25, "mean {mean}: {law:?}");
        }
    }

    /// Up to k = 1/(4u) = 512, sums that are rounded to nearest in f16 err as √k, within the bounds of
    /// [`few_random_bits_grow_as_theory_says`] and what begins at 512 (1.2 there); beyond it they are off by
    /// a factor that grows, so that theory is silent.
    #[test]
    fn theory_is_silent_where_sums_stagnate() {
        let (precision, uniform) = (Precision::Fp16Acc16, Distribution::Uniform01);
        let errors = errors_of(precision, 16, uniform, &[64, 128, 256, 1024, 4096], f16_nearest);
        let chance = 4.0 / (2.0 * (ROWS * COLUMNS) as f64).sqrt();
        let (least, most) = ((0.57f64 / 0.7213).sqrt(), (0.81f64 / 0.7213).sqrt());
        for (k, error) in errors {
            let ratio = error / size_of_sums(precision, 16, Inputs::UNIFORM01, k);
            println!("{k}: {ratio}");
            let expected =
                expected_growth(precision, 16, Inputs::UNIFORM01, &[32.0, k], false).unwrap();
            if k <= 512.0 {
                assert_eq!(expected.exponent, Some(0.5), "{k}");
                let held = least * (1.0 - chance) < ratio && ratio < most * (1.0 + chance);
                assert!(held, "at {k}: {ratio}");
            } else {
                assert_eq!((expected.exponent, expected.cause), (None, Cause::Stagnation), "{k}");
                assert!(ratio > most * (1.0 + chance), "at {k}: {ratio}");
            }
        }
    }

    /// Products that do not cancel average the errors of their operands out; those of mean 0 do not.
    #[test]
    fn theory_knows_the_inputs() {
        let exponent = |precision, distribution, parameters| {
            let inputs = theory_of_inputs(distribution, parameters)?;
            expected_growth(precision, 16, inputs, &[64.0, 4096.0], false)?.exponent
        };
        assert_eq!(exponent(Precision::Bf16, "normal", ""), Some(0.0));
        assert_eq!(exponent(Precision::Bf16, "uniform01", ""), Some(-0.5));
        assert_eq!(exponent(Precision::Bf16, "mean-shift", "mean=10"), Some(-0.5));
        assert_eq!(exponent(Precision::Bf16, "mean-shift", "mean=0.5"), Some(-0.5));
        assert_eq!(exponent(Precision::Bf16, "mean-shift", "mean=0.1"), Some(0.0));
        assert_eq!(exponent(Precision::Mxfp8, "mean-shift", "mean=0.1"), None);
        assert_eq!(exponent(Precision::Mxfp8, "uniform01", ""), Some(0.0));
        assert_eq!(exponent(Precision::Fp16Acc16, "uniform01", ""), None, "it stagnates");
        assert_eq!(exponent(Precision::Fp16Acc16, "normal", ""), Some(0.5));
        assert_eq!(exponent(Precision::Fp16, "integers", ""), None);
        assert_eq!(exponent(Precision::Bf16, "cancel", "digits=8"), None);
        assert_eq!(exponent(Precision::Fp32, "uniform", ""), Some(0.5));
        assert_eq!(exponent(Precision::Fp64, "normal", ""), Some(0.5));
        assert_eq!(exponent(Precision::Int8, "normal", ""), Some(0.0));
    }
}
