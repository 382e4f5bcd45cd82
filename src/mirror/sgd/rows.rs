//! Residuals and partial gradients: `kernels/sgd/residual.wgsl` and `gradient_rows.wgsl`.

use std::ops::Range;

use super::{BLOCK, LANES, Number, Walk, change_of, residual_of};
use crate::number::arithmetic::Ops;
use crate::workload::sgd::Step;

/// Rows that go through the gradient together, so that its sums are loaded and stored less often.
const TOGETHER: usize = 4;
/// Numbers of a row that a loop of the gradient takes at a time.
const WIDTH: usize = 32;
/// Numbers of a row that a loop of the inner products takes at a time: one for each component of
/// each lane.
const ABREAST: usize = 4 * LANES;
/// Bytes that memory hands over at a time.
const CACHE_LINE: usize = 64;

impl<D: Number, M: Number> Walk<'_, D, M> {
    /// The partial gradient of one unit: a block's sum, or the sum of a tile's blocks, for whose
    /// others but the first `scratch` is needed. After them come the rows `ahead`, perhaps.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // all of them the loop's own
    pub(super) fn unit<O: Ops>(
        &self,
        now: &Step,
        rows: &[u32],
        ahead: &[u32],
        model: &[M],
        weights: &[f32],
        partial: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        for (i, block) in rows.chunks(BLOCK).enumerate() {
            let ahead =
                rows.get((i + 1) * BLOCK..).filter(|rest| !rest.is_empty()).unwrap_or(ahead);
            let sums = if i == 0 {
                &mut *partial
            } else {
                scratch.resize(partial.len(), 0.0);
                &mut scratch[..]
            };
            self.block::<O>(now, block, ahead, model, weights, sums);
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
        ahead: &[u32],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        sums.fill(0.0);
        let (fours, rest) = rows.as_chunks::<TOGETHER>();
        for (i, &rows) in fours.iter().enumerate() {
            let next = fours.get(i + 1).or(ahead.first_chunk()).unwrap_or(&rows);
            self.rows::<O, TOGETHER>(now, rows, *next, model, weights, sums);
        }
        for &row in rest {
            self.rows::<O, 1>(now, [row], [row], model, weights, sums);
        }
    }

    /// Residual and gradient of R rows, for each output. Meanwhile the `next` ones are fetched, which
    /// the processor cannot foresee in a random order: the first half of each during the inner
    /// products, the second during the gradient, so that memory is never without a request.
    #[inline(always)]
    fn rows<O: Ops, const R: usize>(
        &self,
        now: &Step,
        rows: [u32; R],
        next: [u32; R],
        model: &[M],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let flush = self.setting.arithmetic.flush_f16_subnormals;
        let (d, outputs) = (self.setting.d_padded, self.setting.outputs);
        let x: [&[D]; R] = std::array::from_fn(
            #[inline(always)]
            |r| self.row(rows[r]),
        );
        let next: [&[D]; R] = std::array::from_fn(
            #[inline(always)]
            |r| self.row(next[r]),
        );
        for (output, sums) in sums.chunks_exact_mut(d).enumerate() {
            let range = output * d..(output + 1) * d;
            let products = if D::INT8 && M::INT8 {
                dots_i8(&x, &next, &model[range]).map(|exact| exact as f32)
            } else {
                dots_f32::<D, O, R>(&x, &next, &weights[range], flush)
            };
            let mut residuals = [0.0; R];
            for ((residual, product), row) in residuals.iter_mut().zip(products).zip(rows) {
                let y = self.targets[row as usize * outputs + output];
                *residual = match self.centre {
                    None => residual_of::<O>(self.setting.loss, product, now.scale, y),
                    Some(centre) => change_of::<O>(self.setting.loss, product, centre.grid_step, y),
                };
            }
            accumulate::<D, O, R>(&residuals, x, next, sums, flush);
        }
    }

    #[inline(always)]
    fn row(&self, row: u32) -> &[D] {
        let d = self.setting.d_padded;
        &self.x[row as usize * d..(row as usize + 1) * d]
    }
}

/// Adds residual times data to the sums, row after row.
#[inline(always)]
fn accumulate<X: Number, O: Ops, const R: usize>(
    residuals: &[f32; R],
    x: [&[X]; R],
    next: [&[X]; R],
    sums: &mut [f32],
    flush: bool,
) {
    let (chunks, rest) = sums.as_chunks_mut::<WIDTH>();
    let done = chunks.len() * WIDTH;
    let second = next[0].len() / 2;
    for (i, chunk) in chunks.iter_mut().enumerate() {
        let mut sum = [*chunk];
        next.iter().for_each(
            #[inline(always)]
            |next| fetch(next, second + i * WIDTH / 2..second + (i + 1) * WIDTH / 2),
        );
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

/// Asks for the cache lines that begin in `range` (if the slice begins a line). It changes nothing
/// but time.
#[inline(always)]
fn fetch<X>(x: &[X], range: Range<usize>) {
    let per_line = CACHE_LINE / size_of::<X>();
    #[cfg(target_arch = "x86_64")]
    for line in range.start.div_ceil(per_line)..range.end.div_ceil(per_line) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = x.as_ptr().wrapping_add(line * per_line);
        // SAFETY: the instruction is part of SSE, which every x86-64 has, and no address faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (x, range, per_line); // no stable equivalent
}

/// `kernels/sgd/dot_f32.wgsl` and the tree of `residual.wgsl` for R rows: number e belongs to
/// accumulator e mod 64, which is component e mod 4 of lane ⌊e/4⌋ mod 16. The rows advance side by
/// side: the processor fetches several streams of memory at once, but only for a short way ahead in
/// each.
#[inline(always)]
fn dots_f32<X: Number, O: Ops, const R: usize>(
    x: &[&[X]; R],
    next: &[&[X]; R],
    w: &[f32],
    flush: bool,
) -> [f32; R] {
    let mut sums = [[0.0; ABREAST]; R];
    let (w_chunks, w_rest) = w.as_chunks::<ABREAST>();
    let done = w_chunks.len() * ABREAST;
    for (i, w) in w_chunks.iter().enumerate() {
        for ((x, next), sums) in x.iter().zip(next).zip(&mut sums) {
            fetch(next, i * ABREAST / 2..(i + 1) * ABREAST / 2);
            let x = &x[i * ABREAST..(i + 1) * ABREAST];
            for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                *sum = O::fma(x.load(flush), w, *sum);
            }
        }
    }
    let mut products = [0.0; R];
    for ((product, x), sums) in products.iter_mut().zip(x).zip(&mut sums) {
        for ((sum, &x), &w) in sums.iter_mut().zip(&x[done..]).zip(w_rest) {
            *sum = O::fma(x.load(flush), w, *sum);
        }
        *product = join::<O>(sums);
    }
    products
}

/// The components of each lane, then the lanes, four by four.
#[inline(always)]
fn join<O: Ops>(sums: &[f32; 4 * LANES]) -> f32 {
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
fn dots_i8<D: Number, M: Number, const R: usize>(
    x: &[&[D]; R],
    next: &[&[D]; R],
    w: &[M],
) -> [i32; R] {
    const STRIP: usize = 256;
    let mut sums = [0i32; R];
    for (i, w) in w.chunks(STRIP).enumerate() {
        let first = i * STRIP;
        for ((x, next), sum) in x.iter().zip(next).zip(&mut sums) {
            fetch(next, first / 2..(first + STRIP) / 2);
            let pairs = x[first..][..w.len()].iter().zip(w);
            let strip = pairs.fold(0i32, |sum, (x, w)| sum.wrapping_add(x.integer() * w.integer()));
            *sum = sum.wrapping_add(strip);
        }
    }
    sums
}
