//! SGD on a grid by few random bits: what a rounding loses in the mean, which updates are lost altogether,
//! and the loss at which descent then stays.

use rayon::prelude::*;

use super::descent::{BURN_IN, D, FLOOR_STEPS, Quadratic, TRIALS, fraction, variance_of_mean};
use super::statistics::Estimate;
use super::{Check, Experiment, Purpose, Row, key_of, seed_of};
use crate::number::Rounding;
use crate::number::philox::philox4x32;
use crate::number::round::ROUNDING_BITS;

/// Independent batches of single steps.
const BATCHES: usize = 64;
/// Steps whose rounding errors are averaged in each.
const STEPS: u32 = 64;
/// Steps of each that go towards 0.
const STEPS_TO_ZERO: u32 = 8;
/// Where single steps begin, in steps of the grid.
const START: i8 = 10;
/// A model near it has units of 2⁻²⁰ in f32, of which each of a step's five roundings costs half: of 10 + g,
/// of the residual and its product, of the update and of the sum. In steps of the grid.
const STEP_ROUNDINGS: f64 = 5.0 * 0.5 / 1_048_576.0;

/// What r bits cut a magnitude to: 2⁻ʳ of a step.
fn unit(bits: u32) -> f64 {
    2f64.powi(-(bits as i32))
}

/// λ = 1.
fn quadratic(optimum: [f32; D], bits: u32) -> Quadratic {
    Quadratic { roots: [8.0; D], optimum, rounding: Rounding::Stochastic, bits }
}

/// Every other coordinate is negative.
fn side(j: usize) -> i8 {
    if j.is_multiple_of(2) { 1 } else { -1 }
}

/// Coordinates whose magnitudes are those of the function.
fn on_both_sides(magnitude: impl Fn(usize) -> f32) -> [f32; D] {
    std::array::from_fn(|j| f32::from(side(j)) * magnitude(j))
}

/// Where coordinates on both sides begin.
fn start() -> [i8; D] {
    std::array::from_fn(|j| side(j) * START)
}

/// One step from `model`.
fn step(optimum: [f32; D], alpha: f32, bits: u32, key: [u32; 2], model: &mut [i8; D]) {
    quadratic(optimum, bits).descend(alpha, model, [1, 1], key, |_, _| {});
}

/// The mean over the trials of each batch of what a trial gives, each of a seed of its own.
fn means(of: impl Fn(u64) -> f64 + Sync, case: usize, trials: u32, seed: u32) -> Estimate {
    let mean = |batch| {
        let trials_of = (0..trials).map(|trial| {
            let key = key_of(seed_of(seed, Purpose::FewBits, case, batch));
            let [low, high, ..] = philox4x32([trial, 0, 0, 0], key);
            of(u64::from(high) << 32 | u64::from(low))
        });
        trials_of.sum::<f64>() / f64::from(trials)
    };
    Estimate::of(&(0..BATCHES).into_par_iter().map(mean).collect::<Vec<_>>())
}

/// What fewer bits than 16 add to a magnitude in the mean, in steps: the update is of a part of a step that
/// is uniform, of 20 bits, from 10 or −10.
fn bias(bits: u32, case: usize, seed: u32) -> Row {
    let change = |seed| {
        let part = |j: usize| {
            let [digits, ..] = philox4x32([j as u32, 1, 0, 0], key_of(seed));
            (digits >> 12) as f32 / 1_048_576.0
        };
        let optimum = on_both_sides(|j| f32::from(START) + part(j));
        let magnitudes = |bits| {
            let mut model = start();
            step(optimum, 1.0, bits, key_of(seed), &mut model);
            model.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>()
        };
        (magnitudes(bits) - magnitudes(ROUNDING_BITS)) as f64 / D as f64
    };
    let predicted = -(unit(bits) - unit(ROUNDING_BITS)) / 2.0;
    let quantity = format!("{bits} bits: mean error of a magnitude, in δ");
    Row::estimated(quantity, predicted, &means(change, case, STEPS, seed))
}

/// The part of the updates towards 0 by 2⁻¹⁰ steps that move a coordinate.
fn towards_zero(bits: u32, case: usize, seed: u32) -> Row {
    const ALPHA: f32 = 0.25;
    let optimum = [f32::from(START) - 1.0 / 1024.0 / ALPHA; D];
    let moved = |seed| {
        let mut model = [START; D];
        step(optimum, ALPHA, bits, key_of(seed), &mut model);
        model.iter().filter(|&&w| w != START).count() as f64 / D as f64
    };
    let quantity = format!("{bits} bits: part of the updates towards 0 by 2⁻¹⁰ δ that move");
    Row::estimated(quantity, unit(bits), &means(moved, case, STEPS_TO_ZERO, seed))
}

/// The largest gradient away from 0, as a multiple of 2⁻ʳδ/α, that none of many updates follows: by
/// bisection. A larger one is followed by each of them with a probability of 2⁻ʳ at least: with that of
/// e⁻⁶⁴ by none.
fn threshold(bits: u32, case: usize, seed: u32) -> Row {
    const ALPHA: f32 = 0.25;
    let lost = (unit(bits) / f64::from(ALPHA)) as f32;
    let moves = |gradient: f32| {
        let optimum = [f32::from(START) + gradient; D];
        (0..1 << bits).any(|trial| {
            let mut model = [START; D];
            let key = key_of(seed_of(seed, Purpose::FewBits, case, trial));
            step(optimum, ALPHA, bits, key, &mut model);
            model != [START; D]
        })
    };
    let (mut stays, mut goes) = (0.5 * lost, 2.0 * lost);
    for _ in 0..40 {
        let middle = f32::midpoint(stays, goes);
        if moves(middle) { goes = middle } else { stays = middle }
    }
    // What the mirror has for the gradient, for 10 + g is rounded.
    let gradient = f64::from(f32::from(START) + stays) - f64::from(START);
    let quantity = format!("{bits} bits: largest |∂f| away from 0 that moves nothing, in 2^−r δ/α");
    let within = Check::Within(STEP_ROUNDINGS / unit(bits));
    Row::new(quantity, 1.0, gradient * f64::from(ALPHA) / unit(bits), within)
}

/// The end of a descent from 0: the largest gradient left, in whichever direction, and what a thousand
/// further steps move.
fn at_rest(case: usize, seed: u32) -> [Row; 2] {
    const ALPHA: f32 = 0.125;
    const BITS: u32 = 2;
    let optimum: [f32; D] = std::array::from_fn(|j| (j as f32 - 31.7) * 1.9);
    let quadratic = quadratic(optimum, BITS);
    let mut model = [0i8; D];
    let key = |trial| key_of(seed_of(seed, Purpose::FewBits, case, trial));
    quadratic.descend(ALPHA, &mut model, [1000, 1000], key(0), |_, _| {});
    let before = model;
    quadratic.descend(ALPHA, &mut model, [1000, 1000], key(1), |_, _| {});
    let moved = model.iter().zip(&before).filter(|(now, before)| now != before).count();
    let left = |j: usize| f64::from((optimum[j] - f32::from(model[j])).abs());
    let largest = (0..D).map(left).fold(0.0, f64::max) * f64::from(ALPHA) / unit(BITS);
    let quantity = format!("{BITS} bits, α = {ALPHA}: |∂f| at the end, in 2^−r δ/α");
    let bound = 1.0 + STEP_ROUNDINGS / unit(BITS);
    let quantity_moved =
        format!("{BITS} bits, α = {ALPHA}: coordinates that 1,000 steps more move");
    [
        Row::new(quantity, bound, largest, Check::AtMost),
        Row::new(quantity_moved, 0.0, moved as f64, Check::Within(0.0)),
    ]
}

/// How a coordinate moves between the two neighbours of its optimum: the distance of that from the one nearer
/// to 0, the part of the time that it spends at the other, and its correlation from step to step.
struct Chain {
    phi: f64,
    outer: f64,
    rho: f64,
}

impl Chain {
    /// With αλ = `rate`, by so many bits.
    fn of(phi: f64, rate: f64, bits: u32) -> Self {
        let out = (rate * phi / unit(bits)).floor() * unit(bits);
        let back = (rate * (1.0 - phi) / unit(bits)).ceil() * unit(bits);
        Self { phi, outer: out / (out + back), rho: 1.0 - out - back }
    }

    /// Mean square distance from the optimum of the mean of so many iterates.
    fn square(&self, iterates: u32) -> f64 {
        let variance = self.outer * (1.0 - self.outer) * variance_of_mean(self.rho, iterates);
        variance + (self.outer - self.phi).powi(2)
    }
}

/// Losses at which descent by so many bits stays, of the iterates and, if `averaged` of them, of their mean.
fn loss(bits: u32, averaged: Option<u32>, case: usize, seed: u32) -> Row {
    const ALPHA: f32 = 0.25;
    let quadratic = quadratic(on_both_sides(|j| f32::from(START) + fraction(j) as f32), bits);
    let chain = |j: usize| Chain::of(fraction(j), ALPHA.into(), bits);
    let predicted = (0..D).map(|j| 0.5 * chain(j).square(averaged.unwrap_or(1))).sum();
    let key = |trial| key_of(seed_of(seed, Purpose::FewBits, case, trial));
    let (estimate, what) = match averaged {
        None => (quadratic.mean_loss(&start(), ALPHA, key), "loss".to_owned()),
        Some(iterates) => (
            quadratic.loss_of_mean(&start(), ALPHA, iterates, key),
            format!("loss of the mean of {iterates} iterates"),
        ),
    };
    let quantity = format!("{bits} bits, α = {ALPHA}: {what}, in δ²");
    // By two bits no update between neighbours is followed away from 0: all trials end alike.
    match (0..D).all(|j| chain(j).outer == 0.0) {
        true => Row::new(quantity, predicted, estimate.mean, Check::Within(0.0)),
        false => Row::estimated(quantity, predicted, &estimate),
    }
}

pub(super) fn few_bits(seed: u32) -> Experiment {
    // Each with a case of its own, which draws its own bits.
    let mut rows = vec![];
    rows.extend([(0, 2), (1, 4), (2, 8)].map(|(case, bits)| bias(bits, case, seed)));
    rows.extend([(3, 2), (4, 4)].map(|(case, bits)| towards_zero(bits, case, seed)));
    rows.extend([(5, 2), (6, 4), (7, 8)].map(|(case, bits)| threshold(bits, case, seed)));
    rows.extend(at_rest(8, seed));
    rows.extend([(9, 2), (10, 3), (11, 4)].map(|(case, bits)| loss(bits, None, case, seed)));
    rows.push(loss(4, Some(2000), 12, seed));
    Experiment {
        title: "SGD on a grid by few random bits",
        setup: format!(
            "8-bit model with step δ = 1, rounded stochastically, on a quadratic of {D} coordinates with λ = \
             1. Single steps begin at {START} (for the error of magnitudes also at −{START}; there the \
             difference to the rounding by all {ROUNDING_BITS} of the same bits is averaged, and updates are \
             of uniform parts of a step); intervals are over {BATCHES} batches. The end is that of 1,000 steps \
             from 0. Losses: |w*|/δ evenly spread from {START} to the next grid point, on both sides of 0; \
             {TRIALS} trials, {FLOOR_STEPS} steps after {BURN_IN} that are not counted."
        ),
        formula: "The magnitude of w − α∂f is cut to r bits behind the grid's step before the random bits \
                  decide. So magnitudes lose (2^−r − 2⁻¹⁶)/2 of a step a rounding more than by 16 bits, in the \
                  mean; of updates by f < 1 steps, those away from 0 move a coordinate with probability ⌊2^r·f⌋/2^r, those towards 0 \
                  with ⌈2^r·f⌉/2^r. Away from 0 it stays where |∂f| < 2^−r δ/α, always; towards 0 it never \
                  stays for good. Between the neighbours of w*, φ = frac(|w*|/δ), that is a chain with out = \
                  ⌊2^r·αλφ⌋/2^r and back = ⌈2^r·αλ(1 − φ)⌉/2^r, which is at the outer one for p = out/(out + \
                  back) of the time: the loss is ½Σλ(p(1 − p) + (φ − p)²)δ². Averaging divides the first term, \
                  as in `floor` with ρ = 1 − out − back, and leaves the second.",
        source: "Derived from the definition in `src/number/round.rs`.",
        remark: "With r = 1 the threshold is that of rounding to nearest, δ/2α, and with 16 bits 2⁻¹⁶ δ/α. The \
                 loss by 16 bits is 5.334 δ² here (½Σφ(1 − φ)): by 4 it is 6 % more, which averaging \
                 does not cure."
            .to_owned(),
        rows,
        ..Experiment::untitled()
    }
}
