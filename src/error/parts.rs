//! The error of a matrix product by cause: conversion of the operands, the sums, the last rounding.
//!
//! Ĉ − C = (P̂ − C) + (S − P̂) + (Ĉ − S), where C is the truth, P̂ the product of the converted
//! operands (in f64, exact beside what is measured, or exact as C is), and S the sums before they are
//! rounded to the format of C:
//! - with an accumulator in the format of C the result is the accumulator: S = Ĉ. The rounding of every
//!   product-add is accumulation, that of f16 and bf16 too, and nothing is left for the output;
//! - with exact integer sums, S = P̂: what is not conversion is the scaling of the sum and its rounding
//!   to f32;
//! - with sums of two parts that are joined to an f32 at last, S is what the parts hold, and that
//!   joining is the output's rounding. Products of low parts that a kernel leaves out are missing from
//!   its sums, so they count as accumulation.
//!
//! Where the parts are independent with mean 0, their squares add up to that of the error, but for
//! 2·⟨x, y⟩ of each pair x, y: over N entries that is below 10·‖x‖‖y‖/√N except once in 10⁶ times, and
//! 2·‖x‖‖y‖ ≤ ‖x‖² + ‖y‖². So the sum is within 5/√N of the square of the error for two parts, and
//! within 10/√N for three. Conversion errors correlate with those of accumulation if both round the
//! same way, as where a format is so short that sums stagnate.

use rayon::prelude::*;

/// Relative Frobenius norms of the three parts, all over that of the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// ‖P̂ − C‖F / ‖C‖F.
    pub conversion: f64,
    /// ‖S − P̂‖F / ‖C‖F.
    pub accumulation: f64,
    /// ‖Ĉ − S‖F / ‖C‖F.
    pub output_rounding: f64,
    /// √(sum of the squares of the three) over ‖Ĉ − C‖F / ‖C‖F; `None` without an error.
    pub over_error: Option<f64>,
}

/// What the sums of a kernel are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sums<'a> {
    /// S = P̂: integers, scaled afterwards.
    Exact,
    /// S = Ĉ: the accumulator has the format of C.
    AsOutput,
    /// These.
    Before(&'a [f64]),
}

/// Numbers in f64, and what that leaves of them where it is known.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// Each number, rounded.
    pub rounded: &'a [f64],
    /// What is left of each; empty where nothing is known of it.
    pub tail: &'a [f64],
}

impl Reference<'_> {
    fn tail(&self, entry: usize) -> f64 {
        self.tail.get(entry).copied().unwrap_or(0.0)
    }

    /// x less the number.
    fn below(&self, entry: usize, x: f64) -> f64 {
        // The difference of two numbers within a factor of 2 is exact.
        (x - self.rounded[entry]) - self.tail(entry)
    }
}

impl Parts {
    /// The parts of `computed` (Ĉ), whose operands were converted to those of the product `converted`
    /// (P̂), against `truth` (C), all on the same entries. `None` where an entry is not finite, or C
    /// is zero: then no norm says anything.
    ///
    /// # Panics
    /// If they have not as many entries.
    pub fn of<T: Copy + Into<f64> + Sync>(
        computed: &[T],
        converted: Reference<'_>,
        truth: Reference<'_>,
        sums: Sums<'_>,
    ) -> Option<Self> {
        let entries = computed.len();
        assert!(entries == truth.rounded.len() && converted.rounded.len() == entries);
        let squares = |e: usize| {
            let c: f64 = computed[e].into();
            let rest = converted.below(e, c);
            let [accumulation, output] = match sums {
                Sums::Exact => [0.0, rest],
                Sums::AsOutput => [rest, 0.0],
                Sums::Before(sums) => [converted.below(e, sums[e]), c - sums[e]],
            };
            let conversion = truth.below(e, converted.rounded[e]) + converted.tail(e);
            let all = [truth.below(e, c), conversion, accumulation, output, truth.rounded[e]];
            all.map(|x| x * x)
        };
        let add = |a: [f64; 5], b: [f64; 5]| std::array::from_fn(|x| a[x] + b[x]);
        let squares = (0..entries).into_par_iter().map(squares).reduce(|| [0.0; 5], add);
        let [error, conversion, accumulation, output_rounding, size] = squares.map(f64::sqrt);
        let norms = [error, conversion, accumulation, output_rounding].map(|norm| norm / size);
        if !norms.iter().all(|norm| norm.is_finite()) {
            return None;
        }
        let [error, conversion, accumulation, output_rounding] = norms;
        let parts = conversion.hypot(accumulation).hypot(output_rounding);
        let over_error = (error > 0.0).then(|| parts / error);
        Some(Self { conversion, accumulation, output_rounding, over_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(computed: &[f32], converted: &[f64], truth: &[f64], sums: Sums<'_>) -> Option<Parts> {
        let [converted, truth] = [converted, truth].map(|rounded| Reference { rounded, tail: &[] });
        Parts::of(computed, converted, truth, sums)
    }

    #[test]
    fn by_hand() {
        let (truth, converted) = ([3.0, 0.0, 4.0], [3.0, 1.0, 4.0]);
        let parts = of(&[3.0f32, 1.0, 6.0], &converted, &truth, Sums::AsOutput).unwrap();
        assert_eq!((parts.conversion, parts.accumulation, parts.output_rounding), (0.2, 0.4, 0.0));
        assert_eq!(parts.over_error, Some(1.0)); // orthogonal
        let parts = of(&[3.0f32, 2.0, 4.0], &converted, &truth, Sums::Exact).unwrap();
        assert_eq!((parts.conversion, parts.accumulation, parts.output_rounding), (0.2, 0.0, 0.2));
        let twice = parts.over_error.unwrap() - 0.5f64.sqrt(); // the same error twice
        assert!(twice.abs() <= f64::EPSILON, "{twice}");
        let sums = [4.0, 1.0, 4.0];
        let parts = of(&[4.0f32, 1.0, 6.0], &converted, &truth, Sums::Before(&sums)).unwrap();
        assert_eq!((parts.conversion, parts.accumulation, parts.output_rounding), (0.2, 0.2, 0.4));
        let once = parts.over_error.unwrap() - 1.0; // orthogonal, within some roundings
        assert!(once.abs() <= 4.0 * f64::EPSILON, "{once:e}");
    }

    /// What f64 leaves of the truth and of the product of the converted operands counts: here it is
    /// all there is.
    #[test]
    fn tails_count() {
        let e = 2f64.powi(-60);
        let truth = Reference { rounded: &[1.0], tail: &[e] };
        let converted = Reference { rounded: &[1.0], tail: &[-e] };
        let parts = Parts::of(&[1.0], converted, truth, Sums::AsOutput).unwrap();
        assert_eq!((parts.conversion, parts.accumulation), (2.0 * e, e));
        let same = Parts::of(&[1.0], truth, truth, Sums::AsOutput).unwrap();
        assert_eq!((same.conversion, same.accumulation, same.over_error), (0.0, e, Some(1.0)));
    }

    #[test]
    fn what_has_no_norm_has_no_parts() {
        let sums = Sums::AsOutput;
        assert_eq!(of(&[f32::NAN, 1.0], &[1.0, 1.0], &[1.0, 1.0], sums), None);
        assert_eq!(of(&[1.0, 1.0], &[f64::INFINITY, 1.0], &[1.0, 1.0], sums), None);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0], &[0.0, 0.0], sums), None);
        let exact = of(&[1.0, 2.0], &[1.0, 2.0], &[1.0, 2.0], sums).unwrap();
        assert_eq!((exact.conversion, exact.over_error), (0.0, None));
    }
}
