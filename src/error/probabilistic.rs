//! Bounds that hold except with a stated probability: √k instead of k roundings.
//!
//! Higham and Mary (2019, SIAM J. Sci. Comput. 41, A2815–A2835) bound |Π(1 + δ) − 1| over k roundings
//! that are independent with mean 0 by γ̃_k(λ) ([`super::bound::gamma_probabilistic`]), except with the
//! probability of [`failure_probability`]. In a sum of k products each product has such a factor of its
//! own, so an entry of C exceeds γ̃_k(λ)·|A||B| with at most k times that probability, and one of N
//! entries with at most N·k times. For rounding to nearest the independence is a model, not a fact. For
//! stochastic rounding Connolly, Higham and Mary (2021, SIAM J. Sci. Comput. 43, A566–A585) prove mean
//! independence, which is enough, with twice the unit roundoff.
//!
//! Where products share scales in blocks, n is the number of roundings on the way of one of them, as in
//! the deterministic bound; where numbers have parts, each product of two parts has such a factor, in
//! the f32 sum that it goes into. Sums that carry their own errors (compensated, double-single) have
//! no such bound: what is left of them comes of products of two roundings.

use super::bound::{Bound, failure_probability, growth, products};
use crate::number::{Format, Precision, Rounding};

/// Probability with which at least one compared entry may exceed its bound: λ is chosen for it.
pub const FAILURE: f64 = 0.01;

/// Whether the sums of a precision are rounded stochastically, not only its operands.
pub fn sums_stochastically(precision: Precision) -> bool {
    precision.rounding() == Rounding::Stochastic
        && matches!(precision.accumulator(), Format::F16 | Format::Bf16)
}

/// A bound with γ̃_k(λ) in the place of γ_k; conversions and output as in the deterministic one.
#[derive(Clone, Debug)]
pub struct Probabilistic {
    /// The bound.
    pub bound: Bound,
    /// λ.
    pub lambda: f64,
    /// Probability, at most, with which at least one entry exceeds it.
    pub failure: f64,
}

impl Probabilistic {
    /// For `entries` compared entries of a product of `precision` whose deterministic bound is
    /// `bound` and whose stochastic roundings have so many random bits. `None` where no rounding of a
    /// sum is random or taken to be (integer sums, and those that carry their own errors), and where
    /// even this bound says nothing.
    pub fn new(bound: &Bound, precision: Precision, bits: u32, entries: usize) -> Option<Self> {
        let inputs = bound.inputs();
        // Stochastic rounding's unit is 2u already, with that of the f32 sum before it.
        let (k, u) = (inputs.k, inputs.accumulate_unit);
        if u == 0.0 || u >= 0.5 || k == 0 || entries == 0 {
            return None;
        }
        let chances = products(precision, k) as f64 * entries as f64;
        let lambda = (2.0 * (2.0 * chances / FAILURE).ln()).sqrt() / (1.0 - u);
        let failure = (chances * failure_probability(u, lambda)).min(1.0);
        // What a stochastic rounding's mean may be off by: with r bits it goes up too rarely, by less
        // than 2^−r, and the sum it rounds was rounded to an f32 before, to either neighbour at worst.
        let drift = if sums_stochastically(precision) {
            2f64.powi(-(bits as i32)) * u + 2.0 * Format::F32.unit_roundoff()
        } else {
            0.0
        };
        let of_sum = |roundings: usize| {
            let n = roundings as f64;
            Some((lambda * n.sqrt() * u + n * (u * u + drift) / (1.0 - u)).exp_m1())
        };
        let growth = growth(precision, k, of_sum).filter(|growth| growth.is_finite())?;
        let bound = bound.with_gamma(growth);
        Some(Self { bound, lambda, failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::bound::{gamma, gamma_probabilistic};
    use crate::error::{Guarantee, matmul_bound};
    use crate::mirror::convert::Operands;
    use crate::mirror::matmul::multiply;
    use crate::number::Arithmetic;
    use crate::problem::layout::{Layout, Stored};
    use crate::problem::matrix::{Distribution, MatmulProblem};
    use crate::truth::matmul::MatmulTruth;

    fn of(precision: Precision, k: usize, entries: usize) -> (Bound, Probabilistic) {
        let guarantee = Guarantee::of(Arithmetic::host(), true);
        let bound = matmul_bound(precision, k, &[], &[], guarantee).unwrap();
        let probabilistic = Probabilistic::new(&bound, precision, 16, entries).unwrap();
        (bound, probabilistic)
    }

    #[test]
    fn lambda_is_chosen_for_the_failure() {
        for (k, entries) in [(1, 1), (512, 512 * 512), (100_000, 16)] {
            let (bound, found) = of(Precision::Fp32, k, entries);
            assert!((found.failure / FAILURE - 1.0).abs() < 1e-9, "{}", found.failure);
            let u = bound.inputs().accumulate_unit;
            let expected = gamma_probabilistic(k, u, found.lambda);
            let exponent = found.lambda * (k as f64).sqrt() * u + k as f64 * u * u / (1.0 - u);
            assert!((exponent.exp_m1() - expected).abs() <= 1e-15 * expected);
        }
        // λ is about 8 here, so √k roundings are the smaller from k of about 70 on.
        let (bound, found) = of(Precision::Fp32, 4096, 4096);
        let u = bound.inputs().accumulate_unit;
        assert!(gamma_probabilistic(4096, u, found.lambda) < gamma(4096, u).unwrap() / 7.0);
    }

    #[test]
    fn integer_sums_have_none() {
        let guarantee = Guarantee::of(Arithmetic::host(), true);
        let bound = matmul_bound(Precision::Int8, 64, &[1.0], &[1.0], guarantee).unwrap();
        assert!(Probabilistic::new(&bound, Precision::Int8, 16, 1).is_none());
    }

    /// What stochastic rounding is proven to keep, it keeps, at a k where γ_k says nothing: the
    /// chance that one of these entries does not is below 1 %. It is no empty promise either: the
    /// relative error is bounded by less than 1. With fewer random bits too, of which each addition's
    /// mean is off by up to 2^−bits of its unit, as the bound knows.
    #[test]
    fn stochastic_sums_are_within_where_gamma_is_vacuous() {
        let (m, n, k) = (8, 32, 2048);
        let p = MatmulProblem::generate(Distribution::Uniform01, m, n, k, 9).unwrap();
        let truth = MatmulTruth::of(&p, None).unwrap();
        let (precision, key) = (Precision::Fp16Sr, [9, 0]);
        let rows: Vec<usize> = (0..m).collect();
        let stored = Stored::new(Layout::Nn, 1, &p.a, &p.b);
        let mut looser = 0.0;
        for bits in [16, 13, 10, 8, 4] {
            let arithmetic = Arithmetic::host();
            let operands = Operands::convert_with_bits(precision, arithmetic, &stored, key, bits);
            let c = multiply(precision, arithmetic, &operands, &rows, key);
            let (bound, _) = of(precision, k, m * n);
            assert!(bound.is_vacuous());
            let found = Probabilistic::new(&bound, precision, bits, m * n).unwrap();
            let worst = found.bound.worst(&c, &truth).unwrap();
            assert!(worst.ratio > 0.0 && worst.ratio <= 1.0, "{bits} bits: {worst:?}");
            assert!(worst.bound < worst.truth, "{bits} bits: {worst:?}");
            let at_first = found.bound.at(0, 0, &truth);
            assert!(at_first > looser, "{bits} bits: {at_first}");
            looser = at_first;
        }
    }
}
