//! What a peer computes in, and the bound that its error must keep to.

use tradeoff::error::{Bound, BoundError, Guarantee, matmul_bound};
use tradeoff::number::{Format, Precision};

/// A precision of tradeoff's, or TF32, which no WGSL kernel reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// As tradeoff's own kernels have it.
    Own(Precision),
    /// f32 operands, of which the matrix unit reads 10 bits of the fraction; f32 accumulator.
    Tf32,
}

impl Setting {
    /// Its name in ids and rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own(precision) => precision.name(),
            Self::Tf32 => "tf32",
        }
    }

    /// The precision whose operands it reads.
    pub fn operands(self) -> Precision {
        match self {
            Self::Own(precision) => precision,
            Self::Tf32 => Precision::Fp32,
        }
    }

    /// The storage format in the words of a row.
    pub fn operand_format(self) -> &'static str {
        match self {
            Self::Own(precision) => precision.storage().name(),
            Self::Tf32 => "tf32",
        }
    }
}

/// What adds up the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Scalar or vector units: an IEEE operation a product and a sum, or fused.
    Vector(Guarantee),
    /// A matrix unit, which aligns the products of a block to the largest and cuts them off.
    Matrix,
}

/// Largest relative error of TF32's reading of an operand. To nearest it would be 2⁻¹¹, but the
/// matrix unit ignores the low 13 bits ("the lower 13 bits are ignored", PTX ISA on `mma` with
/// `.tf32`), and no library promises to round before.
const TF32_OPERAND: f64 = 1.0 / 1024.0;

/// Largest relative error, for each of the k products, of a matrix unit's f32 accumulation. A block
/// of b products and the accumulator is aligned to the largest exponent and cut off at 24 bits or
/// more (Fasi, Higham, Mikaitis and Pranesh 2021), each of the b + 1 terms and the result erring by
/// at most 2⁻²³ of the largest: (b + 2)/b·2⁻²³ a product, which for b ≥ 2 is at most 2⁻²².
const MATRIX_UNIT: f64 = 1.0 / 4_194_304.0;

/// The bound on the result of a peer that sums in whatever order, once each product.
///
/// `steps` are those of int8 operands, else empty. Where `output` is narrower than the accumulator,
/// one rounding to it is added, which may flush what is below its normal numbers.
pub fn bound(
    setting: Setting,
    k: usize,
    steps: [&[f32]; 2],
    unit: Unit,
    output: Format,
) -> Result<Bound, BoundError> {
    let guarantee = match unit {
        Unit::Vector(guarantee) => guarantee,
        Unit::Matrix => Guarantee { rounds_to_nearest: true, ..Guarantee::PORTABLE },
    };
    let bound = matmul_bound(setting.operands(), k, steps[0], steps[1], guarantee)?;
    let mut inputs = bound.inputs().clone();
    if setting == Setting::Tf32 {
        inputs.conversion_a.relative = TF32_OPERAND;
        inputs.conversion_b.relative = TF32_OPERAND;
    }
    if unit == Unit::Matrix && inputs.accumulate_unit > 0.0 {
        inputs.accumulate_unit = MATRIX_UNIT;
    }
    let neighbours = if guarantee.rounds_to_nearest { 1.0 } else { 2.0 };
    let (relative, absolute) = match output {
        Format::F16 => (Format::F16.unit_roundoff(), F16_MIN_NORMAL),
        Format::Bf16 => (Format::Bf16.unit_roundoff(), f64::from(f32::MIN_POSITIVE)),
        _ => (0.0, 0.0),
    };
    inputs.output_relative += neighbours * relative;
    inputs.output_absolute += absolute;
    Ok(Bound::new(inputs))
}

/// Smallest positive normal f16, 2⁻¹⁴.
const F16_MIN_NORMAL: f64 = 1.0 / 16_384.0;

#[cfg(test)]
mod tests {
    use super::*;
    use tradeoff::number::Arithmetic;
    use tradeoff::problem::matrix::{Distribution, MatmulProblem};
    use tradeoff::truth::matmul::MatmulTruth;

    /// [[1, 1]] · [[1], [3]]: |A||B| = 4 and C = 4 with k = 2.
    fn truth() -> MatmulTruth {
        let mut problem = MatmulProblem::generate(Distribution::Normal, 1, 1, 2, 1).unwrap();
        problem.a.data = vec![1.0, 1.0];
        problem.b.data = vec![1.0, 3.0];
        MatmulTruth::of(&problem, None).unwrap()
    }

    fn at(setting: Setting, unit: Unit, output: Format) -> f64 {
        bound(setting, 2, [&[], &[]], unit, output).unwrap().at(0, 0, &truth())
    }

    #[test]
    fn parts_are_those_of_the_setting() {
        let host = Unit::Vector(Guarantee::of(Arithmetic::host(), true));
        let near = |value: f64, expected: f64| {
            assert!((value / expected - 1.0).abs() < 1e-6, "{value:e} {expected:e}");
        };
        let two = |e: i32| 2f64.powi(e);
        let gamma = |u: f64| 2.0 * u / (1.0 - 2.0 * u);
        let fp32 = Setting::Own(Precision::Fp32);
        near(at(fp32, host, Format::F32), 4.0 * gamma(two(-24)));

        let operands = two(-10) + two(-10) + two(-20);
        let tf32 = operands + (1.0 + operands) * gamma(two(-22));
        near(at(Setting::Tf32, Unit::Matrix, Format::F32), 4.0 * tf32);

        let fp16 = Setting::Own(Precision::Fp16);
        let operands = two(-11) + two(-11) + two(-22);
        let wide = at(fp16, host, Format::F32);
        assert!(wide > 4.0 * operands && wide < 4.001 * operands + 4.0 * two(-23) + two(-22));
        let narrow = at(fp16, host, Format::F16);
        near(narrow, wide + two(-11) * (4.0 + wide) + two(-14));
    }
}
