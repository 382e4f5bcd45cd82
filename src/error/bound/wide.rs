//! The bounds of the precisions about as good as f32 and beyond it: what each one's conversion and
//! accumulation contribute to the formula of the module above.
//!
//! u is the unit roundoff of f32, P = (|A||B|)_ij. Steps are counted as the kernels do them.

use super::{Bound, BoundInputs, Conversion, F32_MIN_NORMAL, F32_TINY, Guarantee, gamma};
use crate::number::{Format, Precision};
use crate::truth::matmul::F64_UNIT;

/// Operations of one compensated product-add, of which each may lose a subnormal: at most 5 of a
/// product and its error beside 4 products, 4 of its operands' halves, 6 of a sum and its error, 6
/// more of the second sum, 6 that join the errors.
const COMPENSATED_OPERATIONS: f64 = 32.0;
/// Spacing of the f64 subnormals, 2⁻¹⁰⁷⁴.
const F64_TINY: f64 = f64::from_bits(1);

/// What the three bf16 nearest to an f64 and to what is left of it leave, at most, relative to it. Each
/// leaves at most half a unit in the last of its 8 bits, 2^(e−8) in the binade of 2^e. If it is that, the
/// next one is exact; else it lies at least 9 binades below. So three leave at most 2^(e−26).
pub(super) const BF16_TRIPLE_OF_F64: f64 = exp2(-26);

const fn exp2(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// What a precision contributes.
struct Parts {
    /// Relative and absolute error of an operand.
    conversion: (f64, f64),
    /// Largest relative error of the accumulation of a term, if there is a bound of it.
    gamma: Option<f64>,
    /// Largest absolute error of one step, from underflow.
    step_absolute: f64,
    /// Relative error of what is done to the sum.
    output: f64,
}

/// The bound of one of [`Precision::WIDE`].
pub(super) fn bound(precision: Precision, k: usize, guarantee: Guarantee) -> Bound {
    let Parts { conversion: (relative, absolute), gamma, step_absolute, output } = match precision {
        Precision::Fp16x2 => f16_pairs(k, guarantee),
        Precision::Bf16x3 => bf16_triples(k, guarantee),
        Precision::Fp32Comp => compensated(k, guarantee),
        Precision::Fp32x2 => f32_pairs(k, guarantee),
        _ => f64_sums(k),
    };
    let conversion = Conversion { relative, absolute: vec![absolute] };
    let inputs = BoundInputs {
        k,
        roundings: k,
        conversion_a: conversion.clone(),
        conversion_b: conversion,
        accumulate_unit: match precision.accumulator() {
            Format::F32 => guarantee.f32_unit(),
            wider => wider.unit_roundoff(),
        },
        accumulate_absolute: step_absolute,
        output_relative: output,
        output_absolute: guarantee.f32_underflow(),
    };
    Bound { inputs, gamma }
}

/// The growth of all roundings in a sum of k, where `of` says that of so many roundings one after the other
/// in one f32 or f64 sum. Compensated and double-single sums have bounds of their own.
pub(super) fn growth(
    precision: Precision,
    k: usize,
    of: impl Fn(usize) -> Option<f64>,
) -> Option<f64> {
    match precision {
        Precision::Fp16x2 => {
            let above = 1.0 + exp2(-10) + exp2(-22); // |hi·hi| over |x·y|
            Some(above * (of(k)? + exp2(-10) * of(2 * k)?))
        }
        Precision::Bf16x3 => {
            let above = (1.0 + exp2(-8)) * (1.0 + exp2(-8)); // |x0·y0| over |x·y|
            Some(above * of(k)? + 1.02 * exp2(-7) * (1.0 + exp2(-8)) * of(5 * k)?)
        }
        Precision::Fp64 => of(k),
        _ => None,
    }
}

/// How many of an entry's products there are, each with the roundings of its own that [`growth`] bounds.
pub(super) fn products(precision: Precision, k: usize) -> usize {
    match precision {
        Precision::Fp16x2 => k.saturating_mul(3),
        Precision::Bf16x3 => k.saturating_mul(6),
        _ => k,
    }
}

/// x = hi + lo·2⁻¹¹ of two f16 to nearest: |x − hi| ≤ 2⁻¹¹|x|, and lo keeps that but for 2⁻¹¹ of it;
/// below 2⁻¹⁴, where hi is subnormal, lo·2⁻¹¹ is a multiple of 2⁻³⁵.
///
/// The product lo·lo·2⁻²², at most 2⁻²²P and the like of the subnormals, is left out: half of it is
/// counted to each operand. hi·hi goes into one sum, hi·lo + lo·hi, at most 2·2⁻¹¹P, into another by
/// two steps, and the last step rounds the sum of both. All products are exact in f32.
fn f16_pairs(k: usize, guarantee: Guarantee) -> Parts {
    let u = guarantee.f32_unit();
    let gamma = growth(Precision::Fp16x2, k, |roundings| gamma(roundings, u));
    // Where hi is subnormal it may be larger than x by its half ULP.
    let larger = 2.0 * exp2(-25) * gamma.unwrap_or(0.0);
    // Read as 0, hi takes all of x with it, and lo its share.
    let flushed = if guarantee.flush_f16_subnormals { exp2(-14) + exp2(-25) } else { 0.0 };
    // x − hi, where x is no f16 at all.
    let flushed = flushed + if guarantee.flush_f32_subnormals { 2.0 * F32_MIN_NORMAL } else { 0.0 };
    Parts {
        conversion: (1.5 * exp2(-22), exp2(-35) + larger + flushed),
        gamma,
        step_absolute: exp2(-50) * (1.0 + exp2(-10)), // lo·lo of two operands below 2^-14
        output: u,
    }
}

/// x = x₀ + x₁ + x₂ of three bf16 to nearest holds all 24 bits of x but below 2⁻¹¹⁰, where x₂ is a
/// multiple of 2⁻¹³³. Left out are x₁·y₂ + x₂·y₁ + x₂·y₂ with |x₁| ≤ 2⁻⁸(1 + 2⁻⁸)|x| and
/// |x₂| ≤ 2⁻¹⁶|x|: half to each operand. x₀·y₀ goes into one sum; the five other products, at most
/// 2⁻⁷·1.02·P, go into another by five steps, and the last step rounds the sum of both. All products
/// are exact in f32 but where they underflow.
fn bf16_triples(k: usize, guarantee: Guarantee) -> Parts {
    let u = guarantee.f32_unit();
    let left_out = exp2(-23) * (1.0 + exp2(-8)) + exp2(-32);
    // Four of the six parts and differences may vanish.
    let flushed = if guarantee.flush_f32_subnormals { 4.0 * F32_MIN_NORMAL } else { 0.0 };
    let operations = if guarantee.flush_f32_subnormals { 13.0 } else { 6.0 };
    Parts {
        conversion: (0.5 * left_out * (1.0 + exp2(-8)), exp2(-132) + flushed),
        gamma: growth(Precision::Bf16x3, k, |roundings| gamma(roundings, u)),
        step_absolute: operations * guarantee.f32_underflow(),
        output: u,
    }
}

/// Dot2 of Ogita, Rump and Oishi (2005): u·|C| + γ_k(u)²·P. Its sums and products with their errors
/// need rounding to nearest; elsewhere nothing is claimed.
///
/// The second term is far below the first, so that nothing but the result's own rounding is left, by half a
/// unit in the last place at most: u·|C| where C is just over a power of two. Among many entries one comes
/// close to that, and a ratio of measured to bound just below 1 is what this precision should have.
fn compensated(k: usize, guarantee: Guarantee) -> Parts {
    let nearest = guarantee.rounds_to_nearest;
    Parts {
        conversion: (0.0, flushed_halves(guarantee)),
        gamma: gamma(k, guarantee.f32_unit()).filter(|_| nearest).map(|gamma| gamma * gamma),
        step_absolute: COMPENSATED_OPERATIONS * guarantee.f32_underflow(),
        output: guarantee.f32_unit(),
    }
}

/// An f64 operand as a pair leaves at most u²|x|, or half the spacing of the f32 subnormals where its lower
/// part is one; an operand that is an f32 leaves nothing. A step on a sum
/// of magnitude at most S (every |a·b| so far) takes from each term, in units of u²: of |a·b|, 3 for
/// adding hi·lo to the error of hi·hi, 4 for adding lo·hi, 1 for lo·lo, which is left out, 4 for
/// adding that to the error of the sum, 4 for adding it to the lower part; of S, 1 and 2 for these
/// last two. Making a pair of the two parts by TwoSum is exact. So k steps leave at most
/// (3k + 16)·u²·P, up to terms in u³.
fn f32_pairs(k: usize, guarantee: Guarantee) -> Parts {
    let u = guarantee.f32_unit();
    let nearest = guarantee.rounds_to_nearest;
    let sum = (3.0 * k as f64 + 16.0) * u * u;
    let gamma = (nearest && sum < 0.5).then(|| sum * (1.0 + 8.0 * u) / (1.0 - sum));
    Parts {
        conversion: (Format::F32x2.unit_roundoff(), F32_TINY / 2.0 + flushed_halves(guarantee)),
        gamma,
        step_absolute: COMPENSATED_OPERATIONS * guarantee.f32_underflow(),
        output: F64_UNIT, // the pair read as an f64
    }
}

/// An operand, and the lower half of its significand, may flush.
fn flushed_halves(guarantee: Guarantee) -> f64 {
    if guarantee.flush_f32_subnormals { 2.0 * F32_MIN_NORMAL } else { 0.0 }
}

/// As any sum of k products; no device here is known to round f64 but to nearest.
fn f64_sums(k: usize) -> Parts {
    Parts {
        conversion: (0.0, 0.0),
        gamma: gamma(k, F64_UNIT),
        step_absolute: F64_TINY,
        output: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorMetrics;
    use crate::mirror::convert::Operands;
    use crate::mirror::matmul_wide::multiply;
    use crate::number::Arithmetic;
    use crate::problem::layout::{Layout, Stored};
    use crate::problem::matrix::{Distribution, MatmulProblem, Matrix};
    use crate::truth::matmul::MatmulTruth;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn scaled(m: usize, n: usize, k: usize, seed: u64, [a, b]: [i32; 2]) -> MatmulProblem {
        let mut p = MatmulProblem::generate(Distribution::Normal, m, n, k, seed).unwrap();
        // Every third number of A is small beside the others.
        for (e, x) in p.a.data.iter_mut().enumerate() {
            *x *= 2f32.powi(if e % 3 == 2 { a } else { 0 });
        }
        p.b.data.iter_mut().for_each(|x| *x *= 2f32.powi(b));
        p
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// No result of any of these precisions, on any arithmetic that there is a mirror of, of
        /// ordinary, tiny and mixed data, is over its bound.
        #[test]
        fn results_keep_to_their_bounds(
            (m, n, k) in (1usize..6, 1usize..20, 1usize..300), seed in 0u64..1000,
            exponents in [-40i32..4, -110i32..10],
        ) {
            let p = scaled(m, n, k, seed, exponents);
            let truth = MatmulTruth::exact(&p, None).unwrap();
            let rows: Vec<usize> = (0..m).collect();
            for precision in Precision::WIDE {
                for arithmetic in Arithmetic::each() {
                    let o = Operands::convert(precision, arithmetic, &p.a, &p.b, [0, 0]);
                    let c = multiply(precision, arithmetic, &o, &rows).values();
                    let bound = bound(precision, k, Guarantee::of(arithmetic, true));
                    let worst = bound.worst(&c, &truth).unwrap();
                    prop_assert!(worst.ratio <= 1.0, "{precision} {arithmetic:?} {worst:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Operands given in f64, taken as they are or as parts: the truth is of what was given.
        #[test]
        fn numbers_given_in_f64_keep_to_the_bounds_without_their_rounding(
            (m, n, k) in (1usize..6, 1usize..20, 1usize..300), seed in 0u64..1000,
            exponents in [-40i32..4, -110i32..10],
        ) {
            let mut p = scaled(m, n, k, seed, exponents);
            // Digits that no f32 has, some of them beyond those of a pair.
            let more = |x: &Matrix, part: i32| -> Arc<[f64]> {
                let place = |e: usize| 2f64.powi(-25 - (e as i32 * part) % 27);
                x.data.iter().enumerate().map(|(e, &x)| f64::from(x) * (1.0 + place(e))).collect()
            };
            let given = [more(&p.a, 5), more(&p.b, 7)];
            for (x, given) in [&mut p.a, &mut p.b].into_iter().zip(&given) {
                x.data = given.iter().map(|&x| x as f32).collect();
            }
            p.given_f64 = Some(given);
            let truth = MatmulTruth::exact(&p, None).unwrap();
            let rows: Vec<usize> = (0..m).collect();
            for precision in Precision::WIDE.into_iter().filter(|p| p.takes_f64()) {
                for arithmetic in Arithmetic::each() {
                    let stored = Stored::new(Layout::Nn, 1, &p.a, &p.b).with_f64(p.given_f64());
                    let o = Operands::convert_stored(precision, arithmetic, &stored, [0, 0]);
                    let c = multiply(precision, arithmetic, &o, &rows).values();
                    let guarantee = Guarantee::of(arithmetic, true);
                    let bound = bound(precision, k, guarantee).of_f64(precision);
                    let worst = bound.worst(&c, &truth).unwrap();
                    prop_assert!(worst.ratio <= 1.0, "{precision} {arithmetic:?} {worst:?}");
                }
            }
        }
    }

    /// 0.1·0.1, which rounding to f32 would put off by 2⁻²⁶ of it: nothing is added for that. The bounds
    /// of the two split formats, which take f64 as well, are wider than that: what their parts leave out
    /// and the rounding of the f32 sum, 2⁻²⁴ of it, are in them.
    #[test]
    fn rounding_to_f32_is_over_the_bounds_of_fp32x2_and_fp64() {
        let given: [Arc<[f64]>; 2] = [[0.1].into(), [0.1].into()];
        let mut p = MatmulProblem::generate(Distribution::Normal, 1, 1, 1, 0).unwrap();
        (p.a.data[0], p.b.data[0], p.given_f64) = (0.1, 0.1, Some(given));
        let truth = MatmulTruth::exact(&p, None).unwrap();
        let arithmetic = Arithmetic::host();
        let ratio = |precision, stored: &Stored<'_>| {
            let o = Operands::convert_stored(precision, arithmetic, stored, [0, 0]);
            let c = multiply(precision, arithmetic, &o, &[0]).values();
            bound(precision, 1, Guarantee::of(arithmetic, true)).ratio(&c, &truth).unwrap()
        };
        for precision in [Precision::Fp32x2, Precision::Fp64] {
            let rounded = Stored::new(Layout::Nn, 1, &p.a, &p.b);
            assert!(ratio(precision, &rounded) > 1.0, "{precision}");
            let taken = ratio(precision, &rounded.with_f64(p.given_f64()));
            assert!(taken <= 1.0, "{precision}: {taken}");
        }
    }

    /// What each precision is for, by its bound: at k = 4096 the plain f32 sum may lose 2.4e-4 of P.
    #[test]
    fn bounds_by_hand() {
        let ieee = Guarantee { flush_f32_subnormals: false, ..Guarantee::PORTABLE };
        let ieee = Guarantee { rounds_to_nearest: true, flush_f16_subnormals: false, ..ieee };
        let (k, u) = (4096, exp2(-24));
        let g = k as f64 * u / (1.0 - k as f64 * u);
        let gamma = |precision| bound(precision, k, ieee).gamma.unwrap();
        assert_eq!(gamma(Precision::Fp32Comp), g * g);
        assert!((gamma(Precision::Fp32x2) / (12_304.0 * u * u) - 1.0).abs() < 1e-6);
        assert!((gamma(Precision::Fp64) / (4096.0 * exp2(-53)) - 1.0).abs() < 1e-9);
        assert!((1.0..1.01).contains(&(gamma(Precision::Fp16x2) / g)));
        assert!((1.0..1.06).contains(&(gamma(Precision::Bf16x3) / g)));
        let portable = |p| bound(p, k, Guarantee::PORTABLE).is_vacuous();
        assert!(portable(Precision::Fp32Comp) && portable(Precision::Fp32x2));
        assert!(!portable(Precision::Fp16x2) && !portable(Precision::Fp64));
    }

    /// Compensation shows in what is measured: of the figures of a plain sum at k = 4096, five
    /// digits more before the last rounding, and of pairs eight.
    #[test]
    fn measured_errors_are_of_the_size_that_each_promises() {
        let p = MatmulProblem::generate(Distribution::Normal, 8, 32, 4096, 3).unwrap();
        let truth = MatmulTruth::exact(&p, None).unwrap();
        let rows: Vec<usize> = (0..8).collect();
        let error = |precision: Precision, format| {
            let arithmetic = Arithmetic { fused_fma: false, ..Arithmetic::host() };
            let o = Operands::convert(precision, arithmetic, &p.a, &p.b, [0, 0]);
            let c = multiply(precision, arithmetic, &o, &rows).values();
            ErrorMetrics::of(&c, &truth, format)
        };
        let comp = error(Precision::Fp32Comp, Format::F32);
        // Nothing but the last rounding: half an ULP, and what gamma^2 P before it may add.
        let shares = truth.abs_product.iter().zip(&truth.product).map(|(p, c)| p / c.abs());
        let before = gamma(4096, exp2(-24)).unwrap().powi(2) * shares.fold(0.0, f64::max);
        assert!(comp.max_ulp <= 0.5 + before * exp2(24), "{comp:?}");
        let plain = {
            let o = Operands::convert(Precision::Fp32, Arithmetic::host(), &p.a, &p.b, [0, 0]);
            let c = crate::mirror::matmul::multiply(
                Precision::Fp32,
                Arithmetic::host(),
                &o,
                &rows,
                [0, 0],
            );
            ErrorMetrics::of(&c, &truth, Format::F32)
        };
        assert!(plain.relative_frobenius > 8.0 * comp.relative_frobenius);
        let pairs = error(Precision::Fp32x2, Format::F32x2);
        assert!(pairs.relative_frobenius < 12_304.0 * exp2(-48), "{pairs:?}");
        assert!(error(Precision::Fp64, Format::F64).relative_frobenius < 4096.0 * exp2(-53));
    }
}
