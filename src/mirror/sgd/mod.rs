//! Mirrors of the SGD kernels of `kernels/sgd/`: the same values by the same operations.
//!
//! What is summed in a fixed order on the device is summed in that order here; what is independent
//! there (rows, coordinates) is spread over threads and vector lanes here. Each row goes through
//! residual and gradient while it is in cache, which changes no value.

mod number;
mod shuffle;
mod vectorise;

use rayon::prelude::*;

use crate::mirror::reciprocal::reciprocal;
use crate::number::arithmetic::Ops;
use crate::number::philox::{Stream, half_word, philox4x32};
use crate::number::{Arithmetic, Rounding};
use crate::problem::dataset::Loss;
use crate::with_ops;
use crate::workload::sgd::Step;

pub(crate) use number::pack_words;
pub use number::{F16, Number};
pub use shuffle::shuffle;
pub(crate) use vectorise::vectorise;

/// Rows whose products with their residuals are summed in order before any other.
pub const BLOCK: usize = 64;
/// Lanes that share a row's inner product.
pub const LANES: usize = 16;
/// Fewer multiplications than this in a step are not worth a second thread.
const PARALLEL: usize = 1 << 17;

/// What does not change from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Columns with their padding, a multiple of 4.
    pub d_padded: usize,
    /// Columns of the model.
    pub outputs: usize,
    /// The loss.
    pub loss: Loss,
    /// How updates are rounded to the model's format.
    pub rounding: Rounding,
    /// The arithmetic to follow.
    pub arithmetic: Arithmetic,
}

/// Memory that a step needs beside data and model, kept from step to step.
#[derive(Debug)]
pub struct Workspace {
    /// The model as f32: outputs × d_padded.
    weights: Vec<f32>,
    /// batch × outputs.
    residuals: Vec<f32>,
    /// ⌈batch/64⌉ × outputs × d_padded.
    partials: Vec<f32>,
    /// One row as f32 for each block of rows: ⌈batch/64⌉ × d_padded.
    wide: Vec<f32>,
}

impl Workspace {
    /// For minibatches of at most `batch` rows.
    pub fn new(setting: &Setting, batch: usize) -> Self {
        let entries = setting.outputs * setting.d_padded;
        Self {
            weights: vec![0.0; entries],
            residuals: vec![0.0; batch * setting.outputs],
            partials: vec![0.0; batch.div_ceil(BLOCK) * entries],
            wide: vec![0.0; batch.div_ceil(BLOCK) * setting.d_padded],
        }
    }
}

/// `kernels/sgd/convert.wgsl`: f32 to the data set's format, to nearest, in units of its step.
pub fn convert<D: Number>(arithmetic: Arithmetic, inverse_step: f32, x: &[f32], stored: &mut [D]) {
    const PIECE: usize = 1 << 14;
    with_ops!(arithmetic, O => {
        stored.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(stored, x)| {
            vectorise(
                #[inline(always)]
                || {
                    for (stored, &x) in stored.iter_mut().zip(x) {
                        *stored = D::round(O::mul(x, inverse_step), Rounding::Nearest, 0);
                    }
                },
            );
        });
    });
}

/// One step: `x` is n × d_padded, `targets` n × outputs, `order` the epoch's permutation, `model`
/// outputs × d_padded.
pub fn step<D: Number, M: Number>(
    setting: &Setting,
    now: &Step,
    x: &[D],
    targets: &[f32],
    order: &[u32],
    model: &mut [M],
    workspace: &mut Workspace,
) {
    with_ops!(setting.arithmetic, O => {
        let view = View { setting, now, x, targets, order };
        view.step::<M, O>(model, workspace);
    });
}

/// Rows, residuals, partial gradient and scratch of one block.
type Block<'a> = (((&'a [u32], &'a mut [f32]), &'a mut [f32]), &'a mut [f32]);

/// The inputs of one step.
struct View<'a, D> {
    setting: &'a Setting,
    now: &'a Step,
    x: &'a [D],
    targets: &'a [f32],
    order: &'a [u32],
}

impl<D: Number> View<'_, D> {
    fn step<M: Number, O: Ops>(&self, model: &mut [M], workspace: &mut Workspace) {
        let (batch, outputs) = (self.now.batch as usize, self.setting.outputs);
        let entries = model.len();
        let flush = self.setting.arithmetic.flush_f16_subnormals;
        for (weight, stored) in workspace.weights.iter_mut().zip(model.iter()) {
            *weight = stored.load(flush);
        }
        let start = self.now.start as usize;
        let rows = &self.order[start..start + batch];
        let partials = &mut workspace.partials[..batch.div_ceil(BLOCK) * entries];
        let residuals = &mut workspace.residuals[..batch * outputs];
        let (stored, weights) = (&*model, &workspace.weights[..]);
        let wide = &mut workspace.wide[..];
        let block = |(((rows, residuals), partial), wide): Block<'_>| {
            vectorise(
                #[inline(always)]
                || self.block::<M, O>(rows, stored, weights, residuals, partial, wide),
            );
        };
        if batch * entries < PARALLEL {
            rows.chunks(BLOCK)
                .zip(residuals.chunks_mut(BLOCK * outputs))
                .zip(partials.chunks_mut(entries))
                .zip(wide.chunks_mut(self.setting.d_padded))
                .for_each(block);
        } else {
            rows.par_chunks(BLOCK)
                .zip(residuals.par_chunks_mut(BLOCK * outputs))
                .zip(partials.par_chunks_mut(entries))
                .zip(wide.par_chunks_mut(self.setting.d_padded))
                .for_each(block);
        }
        let last_level = combine::<O>(partials, entries);
        vectorise(
            #[inline(always)]
            || self.update::<M, O>(last_level, partials, weights, model),
        );
    }

    /// `kernels/sgd/residual.wgsl` and `gradient_rows.wgsl` for the rows of one block.
    #[inline(always)]
    fn block<M: Number, O: Ops>(
        &self,
        rows: &[u32],
        stored: &[M],
        weights: &[f32],
        residuals: &mut [f32],
        partial: &mut [f32],
        wide: &mut [f32],
    ) {
        let Setting { d_padded, outputs, loss, arithmetic, .. } = *self.setting;
        partial.fill(0.0);
        for (&row, residuals) in rows.iter().zip(residuals.chunks_exact_mut(outputs)) {
            let row = row as usize;
            let narrow = &self.x[row * d_padded..(row + 1) * d_padded];
            let x = D::widen(narrow, wide, arithmetic.flush_f16_subnormals);
            for (output, residual) in residuals.iter_mut().enumerate() {
                let range = output * d_padded..(output + 1) * d_padded;
                let product = if D::INT8 && M::INT8 {
                    dot_i8(narrow, &stored[range]) as f32
                } else {
                    dot_f32::<O>(x, &weights[range])
                };
                let y = self.targets[row * outputs + output];
                *residual = residual_of::<O>(loss, product, self.now.scale, y);
            }
            for (&r, sums) in residuals.iter().zip(partial.chunks_exact_mut(d_padded)) {
                for (sum, &x) in sums.iter_mut().zip(x) {
                    *sum = O::fma(r, x, *sum);
                }
            }
        }
    }

    /// `kernels/sgd/apply.wgsl`, with the last level of sums: every `stride`-th of the partials.
    #[inline(always)]
    fn update<M: Number, O: Ops>(
        &self,
        stride: usize,
        partials: &[f32],
        weights: &[f32],
        model: &mut [M],
    ) {
        let d_padded = self.setting.d_padded;
        let (first, others) = partials.split_at(weights.len());
        let Step { rate, decay, step, seed, trial, .. } = *self.now;
        for output in 0..self.setting.outputs {
            for eight in (0..d_padded).step_by(8) {
                let counter = [eight as u32 / 8, output as u32, step, Stream::Model as u32];
                let random = match self.setting.rounding {
                    Rounding::Nearest => [0; 4],
                    Rounding::Stochastic => philox4x32(counter, [seed, trial]),
                };
                for j in eight..(eight + 8).min(d_padded) {
                    let entry = output * d_padded + j;
                    let mut g = first[entry];
                    let mut next = (stride - 1) * weights.len() + entry;
                    while next < others.len() {
                        g = O::add(g, others[next]);
                        next += stride * weights.len();
                    }
                    let decayed = O::fma(-decay, weights[entry], weights[entry]);
                    let updated = O::fma(-rate, g, decayed);
                    let bits = half_word(random, j as u32);
                    model[entry] = M::round(updated, self.setting.rounding, bits);
                }
            }
        }
    }
}

/// `kernels/sgd/combine.wgsl`: where there are more than BLOCK blocks, BLOCK of them at a time are
/// summed in order into the first of them. Returns the distance of the sums that are left.
fn combine<O: Ops>(partials: &mut [f32], entries: usize) -> usize {
    if partials.len() <= BLOCK * entries {
        return 1;
    }
    partials.par_chunks_mut(BLOCK * entries).for_each(|level| {
        let (sum, others) = level.split_at_mut(entries);
        for other in others.chunks_exact(entries) {
            for (sum, &other) in sum.iter_mut().zip(other) {
                *sum = O::add(*sum, other);
            }
        }
    });
    BLOCK
}

/// `kernels/sgd/dot_f32.wgsl` and the tree of `residual.wgsl`: number e belongs to accumulator
/// e mod 64, which is component e mod 4 of lane ⌊e/4⌋ mod 16.
#[inline(always)]
fn dot_f32<O: Ops>(x: &[f32], w: &[f32]) -> f32 {
    let mut sums = [0.0; 4 * LANES];
    let (x_chunks, x_rest) = x.as_chunks::<{ 4 * LANES }>();
    let (w_chunks, w_rest) = w.as_chunks::<{ 4 * LANES }>();
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
            *sum = O::fma(x, w, *sum);
        }
    }
    for ((sum, &x), &w) in sums.iter_mut().zip(x_rest).zip(w_rest) {
        *sum = O::fma(x, w, *sum);
    }
    let four = |s: &[f32]| O::add(O::add(s[0], s[1]), O::add(s[2], s[3]));
    let mut lanes = [0.0; LANES];
    for (lane, sums) in lanes.iter_mut().zip(sums.chunks_exact(4)) {
        *lane = four(sums);
    }
    let mut quarters = [0.0; 4];
    for (quarter, lanes) in quarters.iter_mut().zip(lanes.chunks_exact(4)) {
        *quarter = four(lanes);
    }
    four(&quarters)
}

/// `kernels/sgd/dot_i8.wgsl`: exact, so in any order.
#[inline(always)]
fn dot_i8<D: Number, M: Number>(x: &[D], w: &[M]) -> i32 {
    x.iter().zip(w).fold(0i32, |sum, (x, w)| sum.wrapping_add(x.integer() * w.integer()))
}

/// `kernels/sgd/loss_*.wgsl`: derivative of the loss in z = product · scale.
#[inline(always)]
pub fn residual_of<O: Ops>(loss: Loss, product: f32, scale: f32, y: f32) -> f32 {
    match loss {
        Loss::LeastSquares => O::fma(product, scale, -y),
        Loss::Logistic => logistic_residual::<O>(O::mul(product, scale), y),
    }
}

/// `kernels/sgd/loss_logistic.wgsl`, where the method is stated: σ(z) − y.
#[inline(always)]
fn logistic_residual<O: Ops>(z: f32, y: f32) -> f32 {
    let a = z.abs().min(80.0);
    let k = O::fma(a, std::f32::consts::LOG2_E, 0.5).floor();
    let high = O::fma((k as i32 * 355) as f32, 1.0 / 512.0, -a);
    let t = O::fma(k, -2.121_944_4e-4, high);
    let mut p = O::fma(1.987_569_1e-4, t, 1.398_199_9e-3);
    p = O::fma(p, t, 8.333_452e-3);
    p = O::fma(p, t, 4.166_579_6e-2);
    p = O::fma(p, t, 1.666_666_5e-1);
    p = O::fma(p, t, 0.5);
    p = O::fma(p, t, 1.0);
    p = O::fma(p, t, 1.0);
    let e = f32::from_bits(p.to_bits().wrapping_sub((k as u32) << 23));
    let inverse = reciprocal::<O>(O::add(1.0, e));
    O::fma(if z.is_sign_negative() { e } else { 1.0 }, inverse, -y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Model;

    /// Relative error of σ in units of u = 2⁻²⁴. To first order, fma unfused: t = k·ln 2 − a is
    /// at most 0.35 and loses 0.35·2u (k·355/512 is exact, and so is its difference with a); the
    /// last two steps of the polynomial, near 1, lose 1u in each sum and 0.35u in each product,
    /// carried on by factors of at most 0.35 and 1, over e^t ≥ 0.7: so e is off by at most 4u.
    /// s = 1 + e adds 1u to half of that, the last Newton step 3u (product, sum, correction): 6u
    /// for z ≥ 0. With e in the numerator, whose error partly cancels, 4u/2 + 4u + 1u: 7u. Twice
    /// that covers what the first order leaves out.
    fn sigma_error_u<O: Ops>() -> f64 {
        let step = 1.0 / 512.0;
        (-40_960..=40_960)
            .map(|i| {
                let z = (f64::from(i) * step * 1.000_37) as f32;
                let got = f64::from(logistic_residual::<O>(z.clamp(-80.0, 80.0), 0.0));
                let z = f64::from(z.clamp(-80.0, 80.0));
                let exact =
                    if z < 0.0 { z.exp() / (1.0 + z.exp()) } else { 1.0 / (1.0 + (-z).exp()) };
                (got / exact - 1.0).abs() * 2f64.powi(24)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn logistic_keeps_its_bound() {
        let errors = [
            sigma_error_u::<Model<true, false>>(),
            sigma_error_u::<Model<false, false>>(),
            sigma_error_u::<Model<false, true>>(),
        ];
        assert!(errors.iter().all(|&e| e <= 14.0), "{errors:?}");
        println!("largest relative error of sigma, in u: {errors:?}");
    }

    #[test]
    fn logistic_constants_are_the_kernel_s() {
        let text = include_str!("../../../kernels/sgd/loss_logistic.wgsl");
        for (written, used) in [
            ("1.9875691500e-4", 1.987_569_1e-4f32),
            ("1.3981999507e-3", 1.398_199_9e-3),
            ("8.3334519073e-3", 8.333_452e-3),
            ("4.1665795894e-2", 4.166_579_6e-2),
            ("1.6666665459e-1", 1.666_666_5e-1),
            ("5.0000001201e-1", 0.5), // the nearest f32
            ("1.442695040888963407", std::f32::consts::LOG2_E),
            ("-2.12194440e-4", -2.121_944_4e-4),
        ] {
            assert!(text.contains(written));
            assert_eq!(written.parse::<f32>().unwrap(), used);
        }
    }
}
