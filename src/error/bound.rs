//! A-priori bounds of the error of each entry of a computed matrix product.
//!
//! The operands are converted, â = a(1 + δ) + ε with |δ| ≤ u_a and |ε| ≤ η_a (b̂ likewise), so the
//! product of the converted ones is off by at most
//!
//! > E = (u_a + u_b + u_a·u_b)·P + (1 + u_a)·η_b·Σ_q|a_iq| + (1 + u_b)·η_a·Σ_q|b_qj| + k·η_a·η_b,
//!
//! where P = (|A||B|)_ij. Its accumulation in any order, with at most k roundings of relative error
//! u on the way of any term, each with an underflow of at most η, adds γ_k(u)·(P + E) + k·η·(1 + γ_k)
//! (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1, §4.2), and the scaling
//! of the result its own roundings. Overflow is outside the model; an infinite result exceeds every
//! bound. The error of the f64 truth itself is added, so that a ratio over 1 is the result's fault.

mod wide;

use rayon::prelude::*;

use super::{relative, size};
use crate::number::block::{BLOCK, INT4_LIMIT};
use crate::number::{Arithmetic, Format, Precision, Rounding};
use crate::truth::matmul::{F64_UNIT, MatmulTruth};

/// Smallest positive normal f32, 2⁻¹²⁶: the most that flushing one subnormal changes.
const F32_MIN_NORMAL: f64 = f32::MIN_POSITIVE as f64;
/// Smallest positive normal f16, 2⁻¹⁴.
const F16_MIN_NORMAL: f64 = 1.0 / 16_384.0;
/// Spacing of the subnormals: 2⁻¹⁴⁹ (f32), 2⁻²⁴ (f16), 2⁻¹³³ (bf16).
const F32_TINY: f64 = F32_MIN_NORMAL / 8_388_608.0;
const F16_TINY: f64 = F16_MIN_NORMAL / 1024.0;
const BF16_TINY: f64 = F32_MIN_NORMAL / 128.0;
/// Largest magnitude of a quantised operand.
const INT8_LIMIT: f64 = 127.0;
/// Roundings, in units of 2⁻²⁴, between x and the number that int8 and int4 conversion round to an integer:
/// the scale and its reciprocal (a division each, in WGSL accurate to 2.5 ULP, so 5 units) and
/// their product with x (2 where rounding is not to nearest): 12, raised to a power of two.
const INT8_CONVERSION_UNITS: f64 = 16.0;
/// Roundings between the exact integer sum and the f32 result of int8: joining two halves, the
/// conversion to f32, the products with the two scales.
const INT8_OUTPUT_ROUNDINGS: i32 = 4;

/// γ_k(u) = k·u/(1 − k·u), which bounds |Π(1 + δ) − 1| over k factors |δ| ≤ u. `None` where
/// k·u ≥ 1: there it says nothing.
pub fn gamma(k: usize, u: f64) -> Option<f64> {
    let ku = k as f64 * u;
    (ku < 1.0).then(|| ku / (1.0 - ku))
}

/// γ̃_k(λ) = exp(λ·√k·u + k·u²/(1 − u)) − 1 of Higham and Mary (2019): bounds |Π(1 + δ) − 1| over k
/// roundings |δ| ≤ u that are mean-independent and of mean 0, except with the probability that
/// [`failure_probability`] gives. Stochastic rounding has such errors, with u twice the unit
/// roundoff (Connolly, Higham, Mary 2021); for rounding to nearest they are a model.
///
/// It is Hoeffding's (Azuma's) inequality for Σ ln(1 + δ), whose terms lie in an interval of width
/// at most 2u/(1 − u) and have a mean of magnitude at most u²/(1 − u).
pub fn gamma_probabilistic(k: usize, u: f64, lambda: f64) -> f64 {
    let k = k as f64;
    (lambda * k.sqrt() * u + k * u * u / (1.0 - u)).exp_m1()
}

/// Probability, at most, with which one entry exceeds [`gamma_probabilistic`]:
/// 2·exp(−λ²(1 − u)²/2), never over 1.
pub fn failure_probability(u: f64, lambda: f64) -> f64 {
    (2.0 * (-(lambda * (1.0 - u)).powi(2) / 2.0).exp()).min(1.0)
}

/// What a bound may take for granted of the f32 arithmetic that computed the result. Conversions to
/// f16, bf16 and int8 and the rounding of f16 accumulators are done in integer bits and need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// f32 operations round to nearest; otherwise to either neighbour.
    pub rounds_to_nearest: bool,
    /// f32 subnormals may be replaced by 0, as operands and as results.
    pub flush_f32_subnormals: bool,
    /// f16 subnormals may be read as 0.
    pub flush_f16_subnormals: bool,
}

impl Guarantee {
    /// What WGSL promises on every device: either neighbour, and subnormals may flush.
    pub const PORTABLE: Self =
        Self { rounds_to_nearest: false, flush_f32_subnormals: true, flush_f16_subnormals: true };

    /// What a device's fingerprint shows.
    pub const fn of(arithmetic: Arithmetic, rounds_to_nearest: bool) -> Self {
        Self {
            rounds_to_nearest,
            flush_f32_subnormals: arithmetic.flush_f32_subnormals,
            flush_f16_subnormals: arithmetic.flush_f16_subnormals,
        }
    }

    /// Largest relative error of one f32 operation: 2⁻²⁴, or 2⁻²³ to either neighbour.
    pub const fn f32_unit(self) -> f64 {
        let u = Format::F32.unit_roundoff();
        if self.rounds_to_nearest { u } else { 2.0 * u }
    }

    /// Largest absolute error of one f32 operation whose result is subnormal.
    const fn f32_underflow(self) -> f64 {
        match (self.flush_f32_subnormals, self.rounds_to_nearest) {
            (true, _) => F32_MIN_NORMAL,
            (false, true) => F32_TINY / 2.0,
            (false, false) => F32_TINY,
        }
    }
}

/// Error of converting one operand: at most `relative`·|x| + `absolute`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// Relative error.
    pub relative: f64,
    /// Absolute error: one for the whole matrix, or one for each row of A or column of B.
    pub absolute: Vec<f64>,
}

impl Conversion {
    /// Conversion from f32 to a floating-point format and back to an f32 operand.
    fn floating(format: Format, guarantee: Guarantee) -> Self {
        let flush =
            |flushes: bool, min_normal: f64, kept: f64| if flushes { min_normal } else { kept };
        let f32_flush = |kept| flush(guarantee.flush_f32_subnormals, F32_MIN_NORMAL, kept);
        let absolute = match format {
            Format::F16 => flush(guarantee.flush_f16_subnormals, F16_MIN_NORMAL, F16_TINY / 2.0),
            Format::Bf16 => f32_flush(BF16_TINY / 2.0),
            _ => f32_flush(0.0),
        };
        let relative = if format == Format::F32 { 0.0 } else { format.unit_roundoff() };
        Self { relative, absolute: vec![absolute] }
    }

    /// Conversion to fp8 and to the Microscaling formats, whose largest absolute errors are given:
    /// those of subnormals and of saturated numbers. Scaling by powers of two adds none.
    fn narrow(format: Format, absolute: &[f32], rounding: Rounding) -> Self {
        let units = match rounding {
            Rounding::Nearest => 1.0,
            Rounding::Stochastic => 2.0,
        };
        let absolute = absolute.iter().map(|&error| f64::from(error)).collect();
        Self { relative: units * format.unit_roundoff(), absolute }
    }

    /// Conversion to integers in [−127, 127] (int8) or [−7, 7] (int4) times a scale Δ: half a step to
    /// nearest, a whole one stochastically.
    fn integers(format: Format, scales: &[f32], rounding: Rounding, guarantee: Guarantee) -> Self {
        let limit = if format == Format::Int4 { f64::from(INT4_LIMIT) } else { INT8_LIMIT };
        let steps = match rounding {
            Rounding::Nearest => 0.5,
            Rounding::Stochastic => 1.0,
        };
        let flushed = if guarantee.flush_f32_subnormals { F32_MIN_NORMAL } else { 0.0 };
        let absolute = |&scale: &f32| {
            let scale = f64::from(scale);
            // The scale of such tiny data, or its reciprocal, may be anything from 0 to infinity,
            // but neither operand nor converted operand exceeds what it stands for.
            let vanishing = 2.0 * limit * (scale + F32_MIN_NORMAL);
            if scale < F32_MIN_NORMAL { vanishing } else { steps * scale + flushed }
        };
        Self {
            relative: INT8_CONVERSION_UNITS * Format::F32.unit_roundoff(),
            absolute: scales.iter().map(absolute).collect(),
        }
    }

    /// Absolute error in row (or column) `i`.
    fn absolute(&self, i: usize) -> f64 {
        if let [all] = self.absolute[..] { all } else { self.absolute[i] }
    }

    /// Whether x of row (or column) `i` may be converted to `value`.
    #[cfg(test)]
    pub(crate) fn allows(&self, i: usize, x: f64, value: f64) -> bool {
        (value - x).abs() <= self.relative * x.abs() + self.absolute(i)
    }
}

/// The parts of the bound; the module's head says how they combine.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundInputs {
    /// Length of each dot product.
    pub k: usize,
    /// Roundings of relative error `accumulate_unit` on the way of any product into its sum, at most.
    pub roundings: usize,
    /// u_a and η_a.
    pub conversion_a: Conversion,
    /// u_b and η_b.
    pub conversion_b: Conversion,
    /// Largest relative error of one step of the accumulation, 0 where it is exact.
    pub accumulate_unit: f64,
    /// Largest absolute error of one step of the accumulation, from underflow.
    pub accumulate_absolute: f64,
    /// Relative error of what is done to the accumulated sum.
    pub output_relative: f64,
    /// Absolute error of what is done to the accumulated sum.
    pub output_absolute: f64,
}

/// A bound on |Ĉ − C| for each entry.
#[derive(Clone, Debug)]
pub struct Bound {
    inputs: BoundInputs,
    /// γ_k of the accumulation, if it exists.
    gamma: Option<f64>,
}

/// The entry that comes nearest to its bound, or exceeds it most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// Row of C.
    pub row: usize,
    /// Column of C.
    pub column: usize,
    /// Its computed value.
    pub computed: f64,
    /// Its truth.
    pub truth: f64,
    /// Its bound.
    pub bound: f64,
    /// |computed − truth| / bound.
    pub ratio: f64,
}

impl Bound {
    /// The bound that these parts give.
    pub fn new(inputs: BoundInputs) -> Self {
        let gamma = gamma(inputs.roundings, inputs.accumulate_unit);
        Self { inputs, gamma }
    }

    /// The same with another bound on the growth of the accumulation's roundings in the place of γ_k.
    pub(super) fn with_gamma(&self, gamma: f64) -> Self {
        Self { inputs: self.inputs.clone(), gamma: Some(gamma) }
    }

    /// The same of operands whose conversions err otherwise.
    pub fn with_conversions(&self, a: Conversion, b: Conversion) -> Self {
        let inputs = BoundInputs { conversion_a: a, conversion_b: b, ..self.inputs.clone() };
        Self { inputs, gamma: self.gamma }
    }

    /// The same of operands that were given in f64: these are rounded to f32 before they are converted, but
    /// for the precisions that take more than an f32. The bounds of those hold for any number, but that
    /// of three bf16, which hold an f32 exactly.
    pub fn of_f64(self, precision: Precision) -> Self {
        let (u, tiny) = match precision.storage() {
            Format::Bf16x3 => (wide::BF16_TRIPLE_OF_F64, 0.0),
            _ if precision.takes_f64() => return self,
            _ => (Format::F32.unit_roundoff(), F32_TINY / 2.0),
        };
        let both = |conversion: &Conversion| Conversion {
            relative: u + conversion.relative * (1.0 + u),
            absolute: conversion
                .absolute
                .iter()
                .map(|eta| eta + tiny * (1.0 + conversion.relative))
                .collect(),
        };
        let (a, b) = (both(&self.inputs.conversion_a), both(&self.inputs.conversion_b));
        self.with_conversions(a, b)
    }

    /// Whether it bounds nothing, because k·u ≥ 1. Such a result is verified by its mirror alone.
    pub fn is_vacuous(&self) -> bool {
        self.gamma.is_none()
    }

    /// The parts that the bound is made of.
    pub fn inputs(&self) -> &BoundInputs {
        &self.inputs
    }

    /// Largest |Ĉ − C| in column `j` of row `truth.rows[i]`: infinite if the bound is vacuous.
    ///
    /// # Panics
    /// If the truth has no such entry, or the bound neither one scale nor one for this entry.
    pub fn at(&self, i: usize, j: usize, truth: &MatmulTruth) -> f64 {
        let BoundInputs { conversion_a, conversion_b, .. } = &self.inputs;
        let Some(gamma) = self.gamma else { return f64::INFINITY };
        let k = self.inputs.k as f64;
        let p = truth.abs_product[i * truth.n + j];
        let (u_a, u_b) = (conversion_a.relative, conversion_b.relative);
        let column = truth.rows[i] / truth.m * truth.n + j; // of all products
        let (eta_a, eta_b) = (conversion_a.absolute(truth.rows[i]), conversion_b.absolute(column));
        let converted = (u_a + u_b + u_a * u_b) * p
            + (1.0 + u_a) * eta_b * truth.a_row_abs[i]
            + (1.0 + u_b) * eta_a * truth.b_col_abs[column]
            + k * eta_a * eta_b;
        let accumulated =
            gamma * (p + converted) + k * self.inputs.accumulate_absolute * (1.0 + gamma);
        let error = converted + accumulated;
        let magnitude = truth.product[i * truth.n + j].abs() + error;
        let output = self.inputs.output_relative * magnitude + self.inputs.output_absolute;
        // P and the sums of |A| and |B| are f64 sums, each within γ_k(2⁻⁵³); and some 30 operations
        // led here.
        let truth = truth.uncertainty(i * truth.n + j);
        (error + output + truth) * (1.0 + 2.0 * (k + 32.0) * F64_UNIT)
    }

    /// Largest |Ĉ − C| / bound of `computed`, the rows `truth.rows` of Ĉ (row-major): over 1 the
    /// result is wrong. An entry without error counts 0, one that is infinite or NaN infinite.
    /// `None` if the bound is vacuous.
    ///
    /// # Panics
    /// If `computed` has not as many entries as the truth, or see [`Bound::at`].
    pub fn ratio<T>(&self, computed: &[T], truth: &MatmulTruth) -> Option<f64>
    where
        T: Copy + Into<f64> + Sync,
    {
        self.worst(computed, truth).map(|worst| worst.ratio)
    }

    /// ‖bounds‖F over ‖truth‖F on the computed rows: what the relative Frobenius error cannot exceed;
    /// `None` where the bound is vacuous or infinite, or the truth is zero.
    pub fn relative_frobenius(&self, truth: &MatmulTruth) -> Option<f64> {
        if self.is_vacuous() {
            return None;
        }
        let n = truth.n;
        let square = |e: usize| self.at(e / n, e % n, truth).powi(2);
        let bounds: f64 = (0..truth.product.len()).into_par_iter().map(square).sum();
        let size: f64 = truth.product.par_iter().map(|c| c * c).sum();
        Some((bounds / size).sqrt()).filter(|ratio| ratio.is_finite())
    }

    /// The entry with the largest [`Bound::ratio`], the first of several.
    ///
    /// # Panics
    /// As [`Bound::ratio`].
    pub fn worst<T>(&self, computed: &[T], truth: &MatmulTruth) -> Option<Worst>
    where
        T: Copy + Into<f64> + Sync,
    {
        assert_eq!(computed.len(), truth.product.len(), "entries of the computed rows");
        if self.is_vacuous() {
            return None;
        }
        let n = truth.n;
        let entry = |e: usize| {
            let (i, j) = (e / n, e % n);
            let bound = self.at(i, j, truth);
            let error = size(truth.error(e, computed[e].into()));
            // An infinite or undefined bound covers nothing.
            let ratio = if bound.is_finite() { relative(error, bound) } else { f64::INFINITY };
            Worst {
                row: truth.rows[i],
                column: j,
                computed: computed[e].into(),
                truth: truth.product[e],
                bound,
                ratio,
            }
        };
        let larger = |a: Worst, b: Worst| if b.ratio > a.ratio { b } else { a };
        (0..computed.len()).into_par_iter().map(entry).reduce_with(larger)
    }
}

/// Why a precision has no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// The precision belongs to another workload.
    #[error("{0} is no precision of a matrix product, so it has no bound as one")]
    NotMatmul(Precision),
}

/// The bound for a matrix product of precision `precision` and inner dimension `k`, on a device that
/// gives `guarantee`.
///
/// `scales_a` and `scales_b` are what [`Operands`](crate::mirror::convert::Operands) calls steps: the
/// scales Δ that int8 used, the largest ones of int4, the largest absolute errors of fp8 and of the
/// Microscaling formats. One, or one for each row of A and each column of B (of the whole matrices,
/// even if the truth holds a sample of rows). The other precisions have none and ignore them.
///
/// # Errors
/// [`BoundError`] if `precision` is none of a matrix product.
pub fn matmul_bound(
    precision: Precision,
    k: usize,
    scales_a: &[f32],
    scales_b: &[f32],
    guarantee: Guarantee,
) -> Result<Bound, BoundError> {
    if !precision.is_matmul() {
        return Err(BoundError::NotMatmul(precision));
    }
    if precision.is_wide() {
        return Ok(wide::bound(precision, k, guarantee));
    }
    let (storage, rounding) = (precision.storage(), precision.rounding());
    let convert = |scales: &[f32]| match storage {
        Format::Int8 | Format::Int4 => Conversion::integers(storage, scales, rounding, guarantee),
        _ if storage.is_blocked() || storage.fp8().is_some() => {
            Conversion::narrow(storage, scales, rounding)
        }
        _ => Conversion::floating(storage, guarantee),
    };
    let (accumulate_unit, accumulate_absolute) = accumulation(precision, guarantee);
    let (output_relative, output_absolute) = match precision.accumulator() {
        Format::Int32 => int8_output(k, guarantee),
        _ => (0.0, 0.0), // the accumulator is the result
    };
    Ok(Bound::new(BoundInputs {
        k,
        roundings: roundings(storage, k),
        conversion_a: convert(scales_a),
        conversion_b: convert(scales_b),
        accumulate_unit,
        accumulate_absolute,
        output_relative,
        output_absolute,
    }))
}

/// Roundings on the way of one product into a sum of k. With blocks: those of its own block, where that
/// is summed in f32, the two products with scales that are no powers of two, and one a block.
fn roundings(storage: Format, k: usize) -> usize {
    match storage {
        Format::MxFp8 => k.min(BLOCK) + k.div_ceil(BLOCK),
        Format::MxInt8 => k.div_ceil(BLOCK),
        Format::Int4 => k.div_ceil(BLOCK) + 2,
        _ => k,
    }
}

/// The growth of all roundings in a sum of k at a precision, where `of` says that of so many roundings one
/// after the other. `None` where that says nothing: of compensated and double-single sums, whose
/// roundings carry each other's errors, and where `of` is.
pub(super) fn growth(
    precision: Precision,
    k: usize,
    of: impl Fn(usize) -> Option<f64>,
) -> Option<f64> {
    if precision.is_wide() {
        return wide::growth(precision, k, of);
    }
    of(roundings(precision.storage(), k))
}

/// How many products make an entry at a precision, those of parts of numbers each for itself.
pub(super) fn products(precision: Precision, k: usize) -> usize {
    if precision.is_wide() { wide::products(precision, k) } else { k }
}

/// Largest relative and absolute error of one step acc + a·b.
fn accumulation(precision: Precision, guarantee: Guarantee) -> (f64, f64) {
    let u = guarantee.f32_unit();
    match (precision.accumulator(), precision.storage()) {
        (Format::Int32, _) => (0.0, 0.0),
        // fl16(fl32(acc + a·b)): the product of two f16 is exact in f32, so are both roundings' units.
        (Format::F16, _) => {
            let (unit, underflow) = match precision.rounding() {
                Rounding::Nearest => (Format::F16.unit_roundoff(), F16_TINY / 2.0),
                Rounding::Stochastic => (2.0 * Format::F16.unit_roundoff(), F16_TINY),
            };
            (unit + u + unit * u, underflow)
        }
        // Likewise of bf16, but products and sums underflow as those of f32 do, or are flushed.
        (Format::Bf16, _) => {
            let (unit, underflow) = match precision.rounding() {
                Rounding::Nearest => (Format::Bf16.unit_roundoff(), BF16_TINY / 2.0),
                Rounding::Stochastic => (2.0 * Format::Bf16.unit_roundoff(), BF16_TINY),
            };
            let lost = (underflow + 3.0 * guarantee.f32_underflow()) * (1.0 + unit);
            (unit + u + unit * u, lost)
        }
        // Products of f16, and all their sums, are multiples of 2⁻⁴⁸: nothing underflows.
        (_, Format::F16) => (u, 0.0),
        // Likewise of 2⁻¹⁸ (E4M3) and 2⁻³² (E5M2).
        (_, Format::E4m3 | Format::E5m2) => (u, 0.0),
        // A sum of f32 underflows without error; a flushed one is lost, as a flushed product is.
        _ if guarantee.flush_f32_subnormals => (u, 2.0 * guarantee.f32_underflow()),
        _ => (u, guarantee.f32_underflow()),
    }
}

/// Relative and absolute error of turning the exact integer sum, at most 127²·k, into an f32 and
/// scaling it: the product of the scales may underflow before it meets the sum.
fn int8_output(k: usize, guarantee: Guarantee) -> (f64, f64) {
    let relative = (1.0 + guarantee.f32_unit()).powi(INT8_OUTPUT_ROUNDINGS) - 1.0;
    let largest_sum = INT8_LIMIT * INT8_LIMIT * k as f64;
    (relative, (largest_sum + 1.0) * guarantee.f32_underflow() * (1.0 + relative))
}

#[cfg(test)]
mod tests;
