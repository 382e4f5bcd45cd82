//! The error of a matrix product by cause: conversion of the operands, the sums, the last rounding.
//!
//! Ĉ − C = (P̂ − C) + (S − P̂) + (Ĉ − S), where C is the truth, P̂ the product of the converted
//! operands in f64 (exact beside what is measured), and S the sums before they are rounded to the
//! format of C:
//! - with an accumulator in the format of C, f32 or f16, the result is the accumulator: S = Ĉ. The
//!   rounding of every product-add is accumulation, f16's too, and nothing is left for the output;
//! - with exact integer sums, S = P̂: what is not conversion is the scaling of the sum and its rounding
//!   to f32.
//!
//! Where the parts are independent with mean 0, their squares add up to that of the error, but for
//! 2·⟨x, y⟩ of each pair x, y: over N entries that is below 5·‖x‖‖y‖/√N except once in 10⁶ times, so
//! the sum is within 5/√N of the square of the error for two parts. Conversion errors correlate
//! with those of accumulation if both round the same way, as where a format is so short that sums
//! stagnate.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// S = P̂: integers, scaled afterwards.
    Exact,
    /// S = Ĉ: the accumulator has the format of C.
    AsOutput,
}

impl Parts {
    /// The parts of `computed` (Ĉ), whose operands were converted to those of the product `converted`
    /// (P̂), against `truth` (C), all on the same entries. `None` where an entry is not finite, or C
    /// is zero: then no norm says anything.
    ///
    /// # Panics
    /// If the three have not as many entries.
    pub fn of<T: Copy + Into<f64> + Sync>(
        computed: &[T],
        converted: &[f64],
        truth: &[f64],
        sums: Sums,
    ) -> Option<Self> {
        assert!(computed.len() == truth.len() && converted.len() == truth.len());
        let entries = || computed.par_iter().zip(converted).zip(truth);
        let squares = entries().map(|((&c, &p), &t)| {
            let c: f64 = c.into();
            [(c - t).powi(2), (p - t).powi(2), (c - p).powi(2), t * t]
        });
        let zero = || [0.0; 4];
        let add = |a: [f64; 4], b: [f64; 4]| std::array::from_fn(|x| a[x] + b[x]);
        let [error, conversion, rest, size] = squares.reduce(zero, add).map(f64::sqrt);
        let [error, conversion, rest] = [error, conversion, rest].map(|norm| norm / size);
        if ![error, conversion, rest].iter().all(|norm| norm.is_finite()) {
            return None;
        }
        let (accumulation, output_rounding) = match sums {
            Sums::Exact => (0.0, rest),
            Sums::AsOutput => (rest, 0.0),
        };
        let over_error = (error > 0.0).then(|| conversion.hypot(rest) / error);
        Some(Self { conversion, accumulation, output_rounding, over_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (truth, converted) = ([3.0, 0.0, 4.0], [3.0, 1.0, 4.0]);
        let parts = Parts::of(&[3.0f32, 1.0, 6.0], &converted, &truth, Sums::AsOutput).unwrap();
        assert_eq!((parts.conversion, parts.accumulation, parts.output_rounding), (0.2, 0.4, 0.0));
        assert_eq!(parts.over_error, Some(1.0)); // orthogonal
        let parts = Parts::of(&[3.0f32, 2.0, 4.0], &converted, &truth, Sums::Exact).unwrap();
        assert_eq!((parts.conversion, parts.accumulation, parts.output_rounding), (0.2, 0.0, 0.2));
        let twice = parts.over_error.unwrap() - 0.5f64.sqrt(); // the same error twice
        assert!(twice.abs() <= f64::EPSILON, "{twice}");
    }

    #[test]
    fn what_has_no_norm_has_no_parts() {
        let sums = Sums::AsOutput;
        assert_eq!(Parts::of(&[f32::NAN, 1.0], &[1.0, 1.0], &[1.0, 1.0], sums), None);
        assert_eq!(Parts::of(&[1.0, 1.0], &[f64::INFINITY, 1.0], &[1.0, 1.0], sums), None);
        assert_eq!(Parts::of(&[0.0, 0.0], &[0.0, 0.0], &[0.0, 0.0], sums), None);
        let exact = Parts::of(&[1.0, 2.0], &[1.0, 2.0], &[1.0, 2.0], sums).unwrap();
        assert_eq!((exact.conversion, exact.over_error), (0.0, None));
    }
}
