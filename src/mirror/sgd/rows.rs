//! Residuals and partial gradients: `kernels/sgd/residual.wgsl` and `gradient_rows.wgsl`.

use super::{BLOCK, LANES, Number, Walk, residual_of};
use crate::number::arithmetic::Ops;
use crate::workload::sgd::Step;

/// Rows that go through the gradient together, so that its sums are loaded and stored less often.
const TOGETHER: usize = 4;
/// Numbers of a row that a loop of the gradient takes at a time.
const WIDTH: usize = 32;

impl<D: Number, M: Number> Walk<'_, D, M> {
    /// The partial gradient of one unit: a block's sum, or the sum of a tile's blocks, for whose
    /// others but the first `scratch` is needed.
    #[inline(always)]
    pub(super) fn unit<O: Ops>(
        &self,
        now: &Step,
        rows: &[u32],
        model: &[M],
        weights: &[f32],
        partial: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        for (i, rows) in rows.chunks(BLOCK).enumerate() {
            let sums = if i == 0 {
                &mut *partial
            } else {
                scratch.resize(partial.len(), 0.0);
                &mut scratch[..]
            };
            self.block::<O>(now, rows, model, weights, sums);
            if i > 0 {
                partial.iter_mut().zip(&*scratch).for_each(|(sum, &b)| *sum = O::add(*sum, b));
            }
        }
    }

    #[inline(always)]
    fn block<O: Ops>(
        &self,
        now: &Step,
        rows: &[u32],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        sums.fill(0.0);
        let (fours, rest) = rows.as_chunks::<TOGETHER>();
        for &rows in fours {
            self.rows::<O, TOGETHER>(now, rows, model, weights, sums);
        }
        for &row in rest {
            self.rows::<O, 1>(now, [row], model, weights, sums);
        }
    }

    /// Residual and gradient of R rows, for each output.
    #[inline(always)]
    fn rows<O: Ops, const R: usize>(
        &self,
        now: &Step,
        rows: [u32; R],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let flush = self.setting.arithmetic.flush_f16_subnormals;
        let (d, outputs) = (self.setting.d_padded, self.setting.outputs);
        let x: [&[D]; R] =
            std::array::from_fn(|r| &self.x[rows[r] as usize * d..(rows[r] as usize + 1) * d]);
        for (output, sums) in sums.chunks_exact_mut(d).enumerate() {
            let range = output * d..(output + 1) * d;
            let mut residuals = [0.0; R];
            for ((residual, x), row) in residuals.iter_mut().zip(x).zip(rows) {
                let product = if D::INT8 && M::INT8 {
                    dot_i8(x, &model[range.clone()]) as f32
                } else {
                    dot_f32::<D, O>(x, &weights[range.clone()], flush)
                };
                let y = self.targets[row as usize * outputs + output];
                *residual = residual_of::<O>(self.setting.loss, product, now.scale, y);
            }
            accumulate::<D, O, R>(&residuals, x, sums, flush);
        }
    }
}

/// Adds residual times data to the sums, row after row.
#[inline(always)]
fn accumulate<X: Number, O: Ops, const R: usize>(
    residuals: &[f32; R],
    x: [&[X]; R],
    sums: &mut [f32],
    flush: bool,
) {
    let (chunks, rest) = sums.as_chunks_mut::<WIDTH>();
    let done = chunks.len() * WIDTH;
    for (i, chunk) in chunks.iter_mut().enumerate() {
        let mut sum = [*chunk];
        for (x, &residual) in x.iter().zip(residuals) {
            let mut wide = [0.0; WIDTH];
            for (wide, x) in wide.iter_mut().zip(&x[i * WIDTH..(i + 1) * WIDTH]) {
                *wide = x.load(flush);
            }
            O::fma_outer(&mut sum, &[residual], &wide);
        }
        [*chunk] = sum;
    }
    for (x, &residual) in x.iter().zip(residuals) {
        for (sum, x) in rest.iter_mut().zip(&x[done..]) {
            *sum = O::fma(residual, x.load(flush), *sum);
        }
    }
}

/// `kernels/sgd/dot_f32.wgsl` and the tree of `residual.wgsl`: number e belongs to accumulator
/// e mod 64, which is component e mod 4 of lane ⌊e/4⌋ mod 16.
#[inline(always)]
fn dot_f32<X: Number, O: Ops>(x: &[X], w: &[f32], flush: bool) -> f32 {
    let mut sums = [0.0; 4 * LANES];
    let (x_chunks, x_rest) = x.as_chunks::<{ 4 * LANES }>();
    let (w_chunks, w_rest) = w.as_chunks::<{ 4 * LANES }>();
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
            *sum = O::fma(x.load(flush), w, *sum);
        }
    }
    for ((sum, &x), &w) in sums.iter_mut().zip(x_rest).zip(w_rest) {
        *sum = O::fma(x.load(flush), w, *sum);
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
