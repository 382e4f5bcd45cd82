//! Grades of this program's own products: each kernel of each device at each precision.

use super::case::{Case, Work};
use super::session::{Session, Unmeasured};
use crate::error::grade::{Examiner, Graded, Limits, SIZES};
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

/// The exponent of the largest componentwise error in n that theory expects over uniform (0, 1) inputs:
/// ½ where the accumulator rounds as coarsely as the operands (Higham and Mary 2019; the worst case
/// is 1), 0 at most where the conversion of the operands is what counts.
pub fn expected_exponent(precision: Precision) -> f64 {
    if unit(precision.accumulator()) >= unit(precision.storage()) { 0.5 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::grade::Grade;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::record::Provenance;

    /// By the definition with f32 or f16 numbers, each entry keeps to its own bound; one step for a row or
    /// for a matrix of integers is a bound by rows, or by matrices.
    #[test]
    fn the_mirrors_have_the_grades_of_their_scales() {
        let expected = [
            (Precision::Fp32, Grade::A),
            (Precision::Fp16, Grade::A),
            (Precision::Fp16Acc16, Grade::A),
            (Precision::Fp16Sr, Grade::A),
            (Precision::Bf16, Grade::A),
            (Precision::Int8Rowwise, Grade::B),
            (Precision::Int8SrRowwise, Grade::B),
            (Precision::Int8, Grade::C),
            (Precision::Int8Sr, Grade::C),
        ];
        let selection = Selection {
            shapes: vec![Shape::square(8)],
            precisions: expected.map(|(precision, _)| precision).to_vec(),
            data_sets: vec![],
            ..Selection::default()
        };
        let devices = discover(Some("cpu")).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        let examiner = Examiner::new(1);
        for (precision, grade) in expected {
            let case = session.plan().into_iter().find(|c| c.precision == precision).unwrap();
            let graded = session.grade(&case, &examiner).unwrap();
            assert_eq!(graded.grade, grade, "{precision}: {graded:?}");
        }
    }
}
