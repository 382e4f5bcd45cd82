//! SGD on a grid: where rounding to nearest stalls, the floor that stochastic rounding leaves, and what
//! averaging makes of it.

use rayon::prelude::*;

use super::statistics::Estimate;
use super::{ARITHMETIC, Check, Experiment, Purpose, Row, key_of, seed_of};
use crate::mirror::sgd::{Setting, Workspace, run};
use crate::number::Rounding;
use crate::number::round::ROUNDING_BITS;
use crate::problem::dataset::Loss;
use crate::workload::sgd::Step;

/// Coordinates of the quadratic.
pub(super) const D: usize = 64;

/// ½Σλⱼ(wⱼ − w*ⱼ)² as least squares on a diagonal matrix, so that its coordinates do not touch: row j
/// holds √(D·λⱼ) in column j. The model is 8-bit with δ = 1.
pub(super) struct Quadratic {
    /// √(D·λⱼ), exact.
    pub roots: [f32; D],
    pub optimum: [f32; D],
    pub rounding: Rounding,
    /// Random bits of one stochastic rounding.
    pub bits: u32,
}

impl Quadratic {
    fn curvature(&self, j: usize) -> f64 {
        f64::from(self.roots[j]).powi(2) / D as f64
    }

    fn loss(&self, model: impl Fn(usize) -> f64) -> f64 {
        let term = |j| 0.5 * self.curvature(j) * (model(j) - f64::from(self.optimum[j])).powi(2);
        (0..D).map(term).sum()
    }

    /// So many steps of full gradients, calling `after` with each model; the sums over the models from
    /// step `averaged` on.
    pub fn descend(
        &self,
        alpha: f32,
        model: &mut [i8],
        [steps, averaged]: [u32; 2],
        key: [u32; 2],
        mut after: impl FnMut(u32, &[i8]),
    ) -> Vec<f64> {
        let mut x = vec![0.0; D * D];
        (0..D).for_each(|j| x[j * D + j] = self.roots[j]);
        let targets: Vec<f32> = self.roots.iter().zip(&self.optimum).map(|(x, w)| x * w).collect();
        let setting = Setting {
            d_padded: D,
            outputs: 1,
            loss: Loss::LeastSquares,
            rounding: self.rounding,
            rounding_bits: self.bits,
            arithmetic: ARITHMETIC,
            shuffled: false,
            averaged_from: Some(averaged),
            centred: false,
            counts: false,
        };
        let mut workspace = Workspace::new(&setting, D);
        let mut order: Vec<u32> = (0..D as u32).collect();
        for step in 0..steps {
            let now = Step {
                step,
                batch: D as u32,
                rows: D as u32,
                half_bits: 3,
                seed: key[0],
                trial: key[1],
                rate: alpha / D as f32,
                scale: 1.0,
                ..Step::default()
            };
            run(&setting, &[now], &x, &targets, &mut order, model, &mut workspace);
            after(step, model);
        }
        workspace.sums.values()
    }

    /// Mean loss of the iterates after the burn-in, trial by trial, each by random bits of its own key.
    pub fn mean_loss(
        &self,
        start: &[i8; D],
        alpha: f32,
        key: impl Fn(usize) -> [u32; 2] + Sync,
    ) -> Estimate {
        let mean = |trial| {
            let (mut model, mut sum) = (*start, 0.0);
            let steps = BURN_IN + FLOOR_STEPS;
            self.descend(alpha, &mut model, [steps, steps], key(trial), |step, model| {
                if step >= BURN_IN {
                    sum += self.loss(|j| f64::from(model[j]));
                }
            });
            sum / f64::from(FLOOR_STEPS)
        };
        Estimate::of(&(0..TRIALS).into_par_iter().map(mean).collect::<Vec<_>>())
    }

    /// Loss of the mean of the `averaged` iterates after the burn-in, likewise.
    pub fn loss_of_mean(
        &self,
        start: &[i8; D],
        alpha: f32,
        averaged: u32,
        key: impl Fn(usize) -> [u32; 2] + Sync,
    ) -> Estimate {
        let loss = |trial| {
            let mut model = *start;
            let range = [BURN_IN + averaged, BURN_IN];
            let sums = self.descend(alpha, &mut model, range, key(trial), |_, _| {});
            self.loss(|j| sums[j] / f64::from(averaged))
        };
        Estimate::of(&(0..TRIALS).into_par_iter().map(loss).collect::<Vec<_>>())
    }
}

/// λ = 1, rounded to nearest.
fn nearest(optimum: [f32; D]) -> Quadratic {
    Quadratic { roots: [8.0; D], optimum, rounding: Rounding::Nearest, bits: ROUNDING_BITS }
}

/// The largest gradient, as a multiple of δ/2α, that moves no coordinate from 10: by bisection.
fn threshold(alpha: f32) -> f64 {
    let moves = |gradient: f32| {
        // λ = 1: the gradient at 10 is 10 − w*.
        let optimum = [10.0 + gradient; D];
        let quadratic = nearest(optimum);
        let mut model = [10i8; D];
        quadratic.descend(alpha, &mut model, [1, 1], [0, 0], |_, _| {});
        model[0] != 10
    };
    let (mut stays, mut goes) = (0.25 / alpha, 1.0 / alpha);
    for _ in 0..40 {
        let middle = f32::midpoint(stays, goes);
        if moves(middle) { goes = middle } else { stays = middle }
    }
    // What the mirror has for the gradient, for 10 + g is rounded.
    (f64::from(10.0 + stays) - 10.0) * 2.0 * f64::from(alpha)
}

/// The largest gradient at the end of a descent, as a multiple of δ/2α, and how many coordinates a
/// thousand further steps move.
fn at_rest(alpha: f32) -> (f64, usize) {
    let optimum = std::array::from_fn(|j| (j as f32 - 31.7) * 1.9);
    let quadratic = nearest(optimum);
    let mut model = [0i8; D];
    quadratic.descend(alpha, &mut model, [1000, 1000], [0, 0], |_, _| {});
    let before = model;
    quadratic.descend(alpha, &mut model, [1000, 1000], [0, 0], |_, _| {});
    let moved = model.iter().zip(&before).filter(|(now, before)| now != before).count();
    let gradient = |j: usize| f64::from((f32::from(model[j]) - optimum[j]).abs());
    let largest = (0..D).map(gradient).fold(0.0, f64::max);
    (largest * 2.0 * f64::from(alpha), moved)
}

/// A model near 10 has units of 2⁻²⁰ in f32, of which each rounding costs half: of 10 + g, of the
/// residual and its product, of the update and of the sum. As a part of δ/2, with δ = 1.
const STEP_ROUNDINGS: f64 = 2.0 * 5.0 * 0.5 / 1_048_576.0;

pub(super) fn stall(_: u32) -> Experiment {
    let mut rows = vec![];
    for alpha in [0.125f32, 0.25, 0.4] {
        let quantity = format!("α = {alpha}: largest |∂f| that moves nothing, in δ/2α");
        rows.push(Row::new(quantity, 1.0, threshold(alpha), Check::Within(STEP_ROUNDINGS)));
    }
    for alpha in [0.125f32, 0.25, 0.4] {
        let (largest, moved) = at_rest(alpha);
        let quantity = format!("α = {alpha}: largest |∂f| at the end, in δ/2α");
        rows.push(Row::new(quantity, 1.0 + STEP_ROUNDINGS, largest, Check::AtMost));
        let quantity = format!("α = {alpha}: coordinates that 1,000 steps more move");
        rows.push(Row::new(quantity, 0.0, moved as f64, Check::Within(0.0)));
    }
    Experiment {
        title: "The stall of SGD on a grid, rounded to nearest",
        setup: format!(
            "8-bit model with step δ = 1, full gradients of a quadratic of {D} coordinates with λ = 1. The \
             threshold is found by bisection over one step from w = 10; the end is that of 1,000 steps \
             from 0."
        ),
        formula: "A coordinate moves where α·|∂f| is over half a step, and stays where it is not: \
                  |∂f| ≤ δ/2α.",
        source: "Elementary.",
        remark: "Nothing here is random. What the two sides of a threshold may be apart is what the five \
                 roundings of a step in f32 cost."
            .to_owned(),
        rows,
        ..Experiment::untitled()
    }
}

pub(super) const TRIALS: usize = 32;
/// Steps until a descent has forgotten where it began: (1 − αλ)^n is below 10⁻⁵.
pub(super) const BURN_IN: u32 = 200;
pub(super) const FLOOR_STEPS: u32 = 1200;

/// frac(w*ⱼ/δ), evenly spread.
pub(super) fn fraction(j: usize) -> f64 {
    (j as f64 + 0.5) / D as f64
}

/// φ(1 − φ).
fn variance(j: usize) -> f64 {
    fraction(j) * (1.0 - fraction(j))
}

/// Each coordinate between two grid points; where each begins at the lower one.
fn spread(roots: [f32; D]) -> (Quadratic, [i8; D]) {
    let optimum: [f32; D] = std::array::from_fn(|j| j as f32 - 32.0 + fraction(j) as f32);
    let start = optimum.map(|w| w.floor() as i8);
    let (rounding, bits) = (Rounding::Stochastic, ROUNDING_BITS);
    (Quadratic { roots, optimum, rounding, bits }, start)
}

/// Mean loss of the iterates after the burn-in, trial by trial. Each `case` draws its own bits.
fn floor_of(case: usize, alpha: f32, seed: u32) -> (f64, Estimate) {
    let roots = std::array::from_fn(|j| if j % 3 == 0 { 4.0 } else { 8.0 });
    let (quadratic, start) = spread(roots);
    let key = |trial| key_of(seed_of(seed, Purpose::Floor, case, trial));
    let floor = (0..D).map(|j| 0.5 * quadratic.curvature(j) * variance(j)).sum();
    (floor, quadratic.mean_loss(&start, alpha, key))
}

/// The variance of the mean of so many successive numbers of variance 1 whose correlation falls by `rho`
/// from each to the next.
pub(super) fn variance_of_mean(rho: f64, numbers: u32) -> f64 {
    let n = f64::from(numbers);
    let apart = 2.0 * rho * (1.0 - rho.powf(n)) / (n * (1.0 - rho).powi(2));
    ((1.0 + rho) / (1.0 - rho) - apart) / n
}

/// The floor over the loss of the mean of `averaged` iterates: predicted and measured.
fn cut_of(case: usize, alpha: f32, averaged: u32, seed: u32) -> (f64, Estimate) {
    let (quadratic, start) = spread([8.0; D]);
    let key = |trial| key_of(seed_of(seed, Purpose::Floor, case, trial));
    let floor: f64 = (0..D).map(|j| 0.5 * variance(j)).sum();
    let loss = quadratic.loss_of_mean(&start, alpha, averaged, key);
    (1.0 / variance_of_mean(1.0 - f64::from(alpha), averaged), loss.map(|loss| floor / loss))
}

pub(super) fn floor(seed: u32) -> Experiment {
    let mut rows = vec![];
    for (case, alpha) in [0.25f32, 0.5, 1.0].into_iter().enumerate() {
        let (predicted, estimate) = floor_of(case, alpha, seed);
        rows.push(Row::estimated(format!("α = {alpha}: loss, in δ²"), predicted, &estimate));
    }
    for (case, alpha, averaged) in [(3, 0.25f32, 600), (4, 0.25, 2000), (5, 0.5, 1500)] {
        let (predicted, estimate) = cut_of(case, alpha, averaged, seed);
        let quantity = format!("α = {alpha}: loss over that of the mean of {averaged} iterates");
        rows.push(Row::estimated(quantity, predicted, &estimate));
    }
    Experiment {
        title: "The loss floor of stochastic rounding, and its cut by averaging",
        setup: format!(
            "8-bit model with step δ = 1, rounded stochastically; full gradients of a quadratic of {D} \
             coordinates, w*/δ evenly spread between grid points, λ = 1 and (for the floor) ¼ for every third. \
             {TRIALS} trials; {FLOOR_STEPS} steps after {BURN_IN} that are not counted."
        ),
        formula: "Where αλ ≤ 1 a coordinate moves between the two neighbours of w* with the probabilities \
                  αλφ and αλ(1 − φ), φ = frac(w*/δ): a chain with the variance φ(1 − φ)δ² about w*, whose \
                  correlation falls by ρ = 1 − αλ a step. So the loss is ½Σλφ(1 − φ)δ², whatever α is, \
                  and the mean of T iterates divides it by T/((1 + ρ)/(1 − ρ) − 2ρ(1 − ρᵀ)/(T(1 − ρ)²)).",
        source: "Derived: a chain of two states. Averaging: Polyak and Juditsky 1992.",
        remark:
            "16 random bits move a probability by at most 2⁻¹⁶, which is far below the intervals."
                .to_owned(),
        rows,
        ..Experiment::untitled()
    }
}
