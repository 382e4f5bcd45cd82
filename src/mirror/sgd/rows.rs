//! Residuals and partial gradients: `kernels/sgd/residual.wgsl` and `gradient_rows.wgsl`.

use super::{BLOCK, LANES, Number, Walk, residual_of};
use crate::number::arithmetic::Ops;
use crate::workload::sgd::Step;

/// Rows that go through the gradient together, so that its sums are loaded and stored less often.
const TOGETHER: usize = 4;
/// Numbers of a row that a loop of the gradient takes at a time.
const WIDTH: usize = 32;

/// What one thread needs beside the shared slices.
pub(super) struct Scratch {
    /// Rows as f32, where loading them number by number is slow.
    wide: Vec<f32>,
    /// A block's sum, where it is added to a tile's: outputs × d_padded.
    block: Vec<f32>,
}

impl Scratch {
    pub(super) fn new<D: Number>(d_padded: usize) -> Self {
        let wide = if D::WIDENED { TOGETHER * d_padded } else { 0 };
        Self { wide: vec![0.0; wide], block: Vec::new() }
    }
}

impl<D: Number, M: Number> Walk<'_, D, M> {
    /// The partial gradient of one unit: a block's sum, or the sum of a tile's blocks.
    #[inline(always)]
    pub(super) fn unit<O: Ops>(
        &self,
        now: &Step,
        rows: &[u32],
        model: &[M],
        weights: &[f32],
        partial: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let mut blocks = rows.chunks(BLOCK);
        if let Some(first) = blocks.next() {
            self.block::<O>(now, first, model, weights, partial, &mut scratch.wide);
        }
        for rows in blocks {
            let Scratch { wide, block } = &mut *scratch;
            block.resize(partial.len(), 0.0);
            self.block::<O>(now, rows, model, weights, block, wide);
            partial.iter_mut().zip(block).for_each(|(sum, &mut b)| *sum = O::add(*sum, b));
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
        wide: &mut [f32],
    ) {
        sums.fill(0.0);
        let (fours, rest) = rows.as_chunks::<TOGETHER>();
        for &rows in fours {
            self.rows::<O, TOGETHER>(now, rows, model, weights, sums, wide);
        }
        for &row in rest {
            self.rows::<O, 1>(now, [row], model, weights, sums, wide);
        }
    }

    #[inline(always)]
    fn rows<O: Ops, const R: usize>(
        &self,
        now: &Step,
        rows: [u32; R],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
        wide: &mut [f32],
    ) {
        let (d, flush) = (self.setting.d_padded, self.setting.arithmetic.flush_f16_subnormals);
        let stored = rows.map(|row| &self.x[row as usize * d..(row as usize + 1) * d]);
        if D::WIDENED {
            for (wide, stored) in wide.chunks_exact_mut(d).zip(stored) {
                D::widen(stored, wide, flush);
            }
            let wide = &*wide;
            let x: [&[f32]; R] = std::array::from_fn(|r| &wide[r * d..(r + 1) * d]);
            self.pass::<f32, O, R>(now, rows, x, model, weights, sums);
        } else {
            self.pass::<D, O, R>(now, rows, stored, model, weights, sums);
        }
    }

    /// Residual and gradient of R rows x, for each output.
    #[inline(always)]
    fn pass<X: Number, O: Ops, const R: usize>(
        &self,
        now: &Step,
        rows: [u32; R],
        x: [&[X]; R],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let (d, outputs) = (self.setting.d_padded, self.setting.outputs);
        for (output, sums) in sums.chunks_exact_mut(d).enumerate() {
            let range = output * d..(output + 1) * d;
            let mut residuals = [0.0; R];
            for ((residual, x), row) in residuals.iter_mut().zip(x).zip(rows) {
                let product = if X::INT8 && M::INT8 {
                    dot_i8(x, &model[range.clone()]) as f32
                } else {
                    dot_f32::<X, O>(x, &weights[range.clone()])
                };
                let y = self.targets[row as usize * outputs + output];
                *residual = residual_of::<O>(self.setting.loss, product, now.scale, y);
            }
            accumulate::<X, O, R>(&residuals, x, sums);
        }
    }
}

/// Adds residual times data to the sums, row after row.
#[inline(always)]
fn accumulate<X: Number, O: Ops, const R: usize>(
    residuals: &[f32; R],
    x: [&[X]; R],
    sums: &mut [f32],
) {
    let (chunks, rest) = sums.as_chunks_mut::<WIDTH>();
    let (x_chunks, x_rest) =
        (x.map(|x| x.as_chunks::<WIDTH>().0), x.map(|x| x.as_chunks::<WIDTH>().1));
    for (i, chunk) in chunks.iter_mut().enumerate() {
        let mut sum = [*chunk];
        for (x, &residual) in x_chunks.iter().zip(residuals) {
            let x = x[i].map(
                #[inline(always)]
                |x| x.load(false),
            );
            O::fma_outer(&mut sum, &[residual], &x);
        }
        [*chunk] = sum;
    }
    for (x, &residual) in x_rest.iter().zip(residuals) {
        for (sum, x) in rest.iter_mut().zip(*x) {
            *sum = O::fma(residual, x.load(false), *sum);
        }
    }
}

/// `kernels/sgd/dot_f32.wgsl` and the tree of `residual.wgsl`: number e belongs to accumulator
/// e mod 64, which is component e mod 4 of lane ⌊e/4⌋ mod 16.
#[inline(always)]
fn dot_f32<X: Number, O: Ops>(x: &[X], w: &[f32]) -> f32 {
    let mut sums = [0.0; 4 * LANES];
    let (x_chunks, x_rest) = x.as_chunks::<{ 4 * LANES }>();
    let (w_chunks, w_rest) = w.as_chunks::<{ 4 * LANES }>();
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
            *sum = O::fma(x.load(false), w, *sum);
        }
    }
    for ((sum, &x), &w) in sums.iter_mut().zip(x_rest).zip(w_rest) {
        *sum = O::fma(x.load(false), w, *sum);
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
