//! How the rounding errors of a sum grow with its length, and where they stop being random.

use std::array::from_fn;

use rayon::prelude::*;

use super::chain::{Chain, Mode};
use super::statistics::Estimate;
use super::{ARITHMETIC, Experiment, Purpose, Row, key_of, seed_of};
use crate::error::fit::PowerLaw;
use crate::error::metrics::ulp;
use crate::mirror::convert::Operands;
use crate::mirror::matmul::multiply;
use crate::number::{Format, Precision, round};
use crate::problem::matrix::{Distribution, MatmulProblem};

/// Unit roundoff of f32 and of f16.
const U32: f64 = 1.0 / 16_777_216.0;
const U16: f64 = 1.0 / 2048.0;

/// Rows of A and columns of B of one trial.
const SIDE: usize = 16;
const TRIALS: usize = 32;

/// Lengths 1.5·2^p: no binade of a sum of positive numbers ends near them.
const LENGTHS: [usize; 7] = [96, 192, 384, 768, 1536, 3072, 6144];

/// The operands of one trial, converted.
fn operands(
    distribution: Distribution,
    precision: Precision,
    [m, n, k]: [usize; 3],
    seed: u64,
) -> Operands {
    // Not empty, and far below any memory's size.
    let Ok(problem) = MatmulProblem::generate(distribution, m, n, k, seed) else {
        unreachable!("{m}x{n}x{k} is a shape");
    };
    Operands::convert(precision, ARITHMETIC, &problem.a, &problem.b, key_of(seed))
}

fn product(precision: Precision, operands: &Operands, seed: u64) -> Vec<f32> {
    let rows: Vec<usize> = (0..operands.m).collect();
    multiply(precision, ARITHMETIC, operands, &rows, key_of(seed))
}

/// Each product of the sum of entry (i, j), exact in f64.
fn products(o: &Operands, i: usize, j: usize) -> impl Iterator<Item = f64> {
    let column = o.b[j..].iter().step_by(o.n);
    o.a[i * o.k..][..o.k].iter().zip(column).map(|(&a, &b)| f64::from(a) * f64::from(b))
}

/// Sums over the entries of one trial in fp32.
struct Growth {
    /// Of (ĉ − c)².
    error: f64,
    /// Of what is predicted for it: Σ ulp(s)²/12 over the partial sums.
    model: f64,
    /// Of c².
    size: f64,
    /// Of (|a||b|)².
    absolute: f64,
}

impl Growth {
    fn of(distribution: Distribution, k: usize, seed: u64) -> Self {
        let o = operands(distribution, Precision::Fp32, [SIDE, SIDE, k], seed);
        let c = product(Precision::Fp32, &o, seed);
        let mut all = Self { error: 0.0, model: 0.0, size: 0.0, absolute: 0.0 };
        for (entry, &computed) in c.iter().enumerate() {
            let (mut sum, mut magnitudes) = (0.0, 0.0);
            for product in products(&o, entry / SIDE, entry % SIDE) {
                sum += product;
                magnitudes += product.abs();
                all.model += ulp(sum, Format::F32).powi(2) / 12.0;
            }
            all.error += (f64::from(computed) - sum).powi(2);
            all.size += sum * sum;
            all.absolute += magnitudes * magnitudes;
        }
        all
    }

    fn trials(distribution: Distribution, k: usize, seed: u32) -> Vec<Self> {
        let seeds = (0..TRIALS).into_par_iter().map(|t| seed_of(seed, Purpose::Growth, k, t));
        seeds.map(|seed| Self::of(distribution, k, seed)).collect()
    }

    /// Measured and predicted, both over `scale` and u².
    fn over(&self, scale: f64) -> (f64, f64) {
        (self.error / scale / (U32 * U32), self.model / scale / (U32 * U32))
    }
}

/// relF over √k·u at one length.
fn constant(name: &str, k: usize, trials: &[Growth]) -> Row {
    let squares: Vec<_> = trials.iter().map(|t| t.over(t.size * k as f64)).collect();
    let (predicted, estimate) = Estimate::paired(&squares);
    let quantity = format!("relF/(√k·u), {name}, k = {k}");
    Row::estimated(quantity, predicted.sqrt(), &estimate.map(f64::sqrt))
}

/// The exponent in k of an error over the root of `scale`.
fn exponent(quantity: &str, lengths: &[Vec<Growth>], scale: fn(&Growth) -> f64) -> Row {
    let slope = |trial: usize, of: fn((f64, f64)) -> f64| {
        let error = |trials: &Vec<Growth>| of(trials[trial].over(scale(&trials[trial]))).sqrt();
        let points: Vec<_> =
            LENGTHS.iter().zip(lengths).map(|(&k, trials)| (k as f64, error(trials))).collect();
        PowerLaw::of(&points).map_or(f64::NAN, |law| law.exponent)
    };
    let both = |trial| (slope(trial, |(measured, _)| measured), slope(trial, |(_, model)| model));
    let (predicted, estimate) = Estimate::paired(&(0..TRIALS).map(both).collect::<Vec<_>>());
    Row::estimated(quantity, predicted, &estimate)
}

pub(super) fn growth(seed: u32) -> Experiment {
    let mut rows = vec![];
    for (distribution, name) in
        [(Distribution::Uniform01, "uniform01"), (Distribution::Normal, "normal")]
    {
        let lengths = LENGTHS.map(|k| Growth::trials(distribution, k, seed));
        for k in [1024, 4096] {
            rows.push(constant(name, k, &Growth::trials(distribution, k, seed)));
        }
        for (k, trials) in LENGTHS.iter().zip(&lengths).filter(|(k, _)| [1536, 6144].contains(*k)) {
            rows.push(constant(name, *k, trials));
        }
        let quantity = format!("exponent of relF in k, {name}");
        rows.push(exponent(&quantity, &lengths, |t| t.size));
        if distribution == Distribution::Normal {
            // For uniform01 |A||B| is C.
            let quantity = "exponent of ‖Ĉ − C‖F/‖|A||B|‖F in k, normal";
            rows.push(exponent(quantity, &lengths, |t| t.absolute));
        }
    }
    Experiment {
        title: "√k growth of the error of a sum in f32",
        setup: format!(
            "`fp32`, {SIDE}×{SIDE}×k, {TRIALS} problems each. relF = ‖Ĉ − C‖F/‖C‖F, u = 2⁻²⁴; an exponent \
             is the slope of the logarithms over k = 1.5·2^p from {} to {}, fitted in each trial.",
            LENGTHS[0],
            LENGTHS[LENGTHS.len() - 1]
        ),
        formula: "Each addition is rounded by an error that is independent of the others, uniform over \
                  one unit in the last place: mean square ulp(s)²/12 at partial sum s. So \
                  ‖Ĉ − C‖² = Σ ulp(s)²/12, over the partial sums of the same problem. As k grows relF \
                  becomes 2/√84 = 0.2182·√k·u for uniform01 at k = 2^p and 0.2520·√k·u at 1.5·2^p \
                  (it depends on where the sum lies in its binade), and √k·u/√(16·ln 2) = 0.3003·√k·u \
                  for normal: an exponent of ½. Against |A||B|, which grows with k, it is 0 where \
                  the mean is 0.",
        source: "Model of independent roundings: Higham and Mary 2019 (a bound there, the variance \
                 here); data with mean 0: Higham and Mary 2020. The limits are derived from it.",
        remark: "At k = 2^p the prediction is over its limit since half of the sums have already passed \
                 into the next binade."
            .to_owned(),
        rows,
        ..Experiment::untitled()
    }
}

/// Shape of a trial of [`stagnation`].
const STAGNATION: [usize; 3] = [32, 32, 4096];
const STAGNATION_TRIALS: usize = 24;

/// One trial of sums in f16 of products of uniform numbers.
struct Stagnated {
    /// Mean of Ĉ − C over k/4, to nearest and stochastic. Unit: u of f16.
    bias: [f64; 2],
    /// Mean of (Ĉ − C)² over (k/4)², stochastic. Unit: u² of f16.
    square: f64,
    /// Part of the additions, to nearest, that left the sum as it was.
    absorbed: f64,
}

impl Stagnated {
    /// C is the sum of the products of the converted operands, so that all error is accumulation.
    fn of(seed: u64) -> Self {
        let [_, n, k] = STAGNATION;
        let o = operands(Distribution::Uniform01, Precision::Fp16Acc16, STAGNATION, seed);
        let nearest = product(Precision::Fp16Acc16, &o, seed);
        let stochastic = product(Precision::Fp16Sr, &o, seed);
        let (mut bias, mut square, mut absorbed) = ([0.0; 2], 0.0, 0);
        for entry in 0..nearest.len() {
            let (sum, lost) = accumulate(products(&o, entry / n, entry % n));
            absorbed += lost;
            let errors = [nearest[entry], stochastic[entry]].map(|c| f64::from(c) - sum);
            bias = from_fn(|which| bias[which] + errors[which]);
            square += errors[1] * errors[1];
        }
        let entries = nearest.len() as f64;
        let unit = entries * k as f64 / 4.0 * U16;
        Self {
            bias: bias.map(|sum| sum / unit),
            square: square * entries / (unit * unit),
            absorbed: f64::from(absorbed) / (entries * k as f64),
        }
    }
}

/// The exact sum, and how many additions leave the sum in f16 as it was.
fn accumulate(products: impl Iterator<Item = f64>) -> (f64, u32) {
    let (mut exact, mut sum, mut absorbed) = (0.0, 0f32, 0);
    for product in products {
        exact += product;
        let next = round::f16_nearest((f64::from(sum) + product) as f32);
        absorbed += u32::from(next == sum && product != 0.0);
        sum = next;
    }
    (exact, absorbed)
}

pub(super) fn stagnation(seed: u32) -> Experiment {
    let [m, n, k] = STAGNATION;
    let trials: Vec<Stagnated> = (0..STAGNATION_TRIALS)
        .into_par_iter()
        .map(|trial| Stagnated::of(seed_of(seed, Purpose::Stagnation, 0, trial)))
        .collect();
    let over = |of: fn(&Stagnated) -> f64| Estimate::of(&trials.iter().map(of).collect::<Vec<_>>());
    let (nearest, stochastic) = rayon::join(
        || Chain::new(Mode::Nearest).after(k),
        || Chain::new(Mode::Stochastic).after(k),
    );
    let unit = k as f64 / 4.0 * U16;
    let rows = vec![
        Row::estimated(
            "`fp16-acc16`: mean error, in u",
            (nearest.mean - k as f64 / 4.0) / unit,
            &over(|t| t.bias[0]),
        ),
        Row::estimated(
            "`fp16-acc16`: part of the additions that are absorbed",
            nearest.absorbed,
            &over(|t| t.absorbed),
        ),
        Row::estimated("`fp16-sr`: mean error, in u", 0.0, &over(|t| t.bias[1])),
        Row::estimated(
            "`fp16-sr`: root mean square error, in u",
            stochastic.variance.sqrt() / unit,
            &over(|t| t.square).map(f64::sqrt),
        ),
    ];
    Experiment {
        title: "Stagnation of a sum in f16, and its cure by stochastic rounding",
        setup: format!(
            "`fp16-acc16` and `fp16-sr`, uniform01, {m}×{n}×{k}, {STAGNATION_TRIALS} problems. Errors are \
             those of accumulation (the operands are what their conversion made of them), over the mean \
             sum k/4, in units of u = 2⁻¹¹."
        ),
        formula: "To nearest: the sum is a Markov chain on the numbers of f16; its transitions follow \
                  from the distribution of a product of two uniform numbers, P(p ≤ x) = x·(1 − ln x), and \
                  its distribution after k steps is computed. A product below half a unit in the last \
                  place of the sum is absorbed. Stochastic: the errors have mean 0 and are uncorrelated \
                  whatever the sums are, so the mean square is Σ E[(r⁺ − x)(x − r⁻)], x between its \
                  neighbours r⁻ and r⁺ in f16, over the same chain; about √2·0.2182·√k·u = 19.75 u.",
        source: "Stochastic rounding: Connolly, Higham and Mary 2021 (mean independence). The chain is \
                 derived in `src/validation/chain.rs`.",
        rows,
        ..Experiment::untitled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What counts absorbed additions is the sum that the mirror computes.
    #[test]
    fn the_sum_that_is_followed_is_the_mirrors() {
        let o = operands(Distribution::Uniform01, Precision::Fp16Acc16, [4, 4, 900], 3);
        for (entry, c) in product(Precision::Fp16Acc16, &o, 3).into_iter().enumerate() {
            let mut sum = 0f32;
            for product in products(&o, entry / 4, entry % 4) {
                sum = round::f16_nearest((f64::from(sum) + product) as f32);
            }
            assert_eq!(sum, c);
        }
        assert_eq!(accumulate([2048.0, 0.0, 1.0, 1.5].into_iter()), (2050.5, 1));
    }
}
