//! The gradient from its partial sums, and the update: `kernels/sgd/update.wgsl`.

use super::{BLOCK, LANES, Number, PIECE, TILE, Units, Walk, centred, sums};
use crate::number::Rounding;
use crate::number::arithmetic::Ops;
use crate::number::philox::{Stream, philox4x32};
use crate::number::round::leading_bits;
use crate::workload::sgd::Step;

impl<D: Number, M: Number> Walk<'_, D, M> {
    /// Updates coordinates first … first + PIECE − 1 of one output, as far as there are.
    #[inline(always)]
    pub(super) fn update<O: Ops>(&self, now: &Step, units: Units, output: usize, first: usize) {
        let d = self.setting.d_padded;
        let end = (first + PIECE).min(d);
        let range = output * d + first..output * d + end;
        let mut gradient = [0.0; PIECE];
        let gradient = &mut gradient[..end - first];
        self.gradient::<O>(units, range.start, gradient);
        // SAFETY: a piece belongs to the member that claimed it, and no other part of a step that
        // touches model or weights runs now.
        let (model, weights) =
            unsafe { (self.model.write(range.clone()), self.weights.write(range.clone())) };
        let mut random = [0; PIECE];
        let before = if self.setting.counts { weights.to_vec() } else { Vec::new() };
        match (self.centre, self.setting.rounding) {
            (Some(centre), _) => {
                model_random(now, output, first, self.setting.rounding_bits, &mut random);
                let given = [&centre.origin[range.clone()], &centre.full[range.clone()]];
                centred::apply::<O, M>(now, given, gradient, &random, model, &mut *weights);
            }
            (None, Rounding::Nearest) => {
                self.apply::<O>(Rounding::Nearest, now, gradient, &random, model, &mut *weights);
            }
            (None, Rounding::Stochastic) => {
                model_random(now, output, first, self.setting.rounding_bits, &mut random);
                let rounding = Rounding::Stochastic;
                self.apply::<O>(rounding, now, gradient, &random, model, &mut *weights);
            }
        }
        if self.setting.counts {
            let piece = output * d.div_ceil(PIECE) + first / PIECE;
            // SAFETY: as above.
            let count = unsafe { self.counts.write(piece..piece + 1) };
            self.count(now, gradient, range.start, [&before, &*weights], &mut count[0]);
        }
        if self.setting.averaged_from.is_some_and(|first| now.step >= first) {
            // SAFETY: as above.
            let [upper, lower] = self.sums.map(|part| unsafe { part.write(range.clone()) });
            sums::add::<O>(upper, lower, &*weights);
        }
    }

    /// Counts the coordinates that were to change, and those of them that did not.
    #[inline(always)]
    fn count(
        &self,
        now: &Step,
        gradient: &[f32],
        start: usize,
        [before, after]: [&[f32]; 2],
        [all, none]: &mut [u64; 2],
    ) {
        for (i, ((g, before), after)) in gradient.iter().zip(before).zip(after).enumerate() {
            let full = self.centre.is_some_and(|centre| centre.full[start + i] != 0.0);
            let moves = *g != 0.0 || now.decay * before != 0.0 || full;
            *all += u64::from(moves);
            *none += u64::from(moves && before == after);
        }
    }

    /// `kernels/sgd/apply.wgsl`, number by number.
    #[inline(always)]
    fn apply<O: Ops>(
        &self,
        rounding: Rounding,
        now: &Step,
        gradient: &[f32],
        random: &[u32; PIECE],
        model: &mut [M],
        weights: &mut [f32],
    ) {
        let flush = self.setting.arithmetic.flush_f16_subnormals;
        let Step { rate, decay, .. } = *now;
        let stored = model.iter_mut().zip(weights);
        for (((stored, weight), &g), &random) in stored.zip(gradient).zip(random) {
            let decayed = O::fma(-decay, *weight, *weight);
            let updated = O::fma(-rate, g, decayed);
            *stored = M::round(updated, rounding, random);
            *weight = stored.load(flush);
        }
    }

    /// The sum over the minibatch for the entries from `start` on: tiles of blocks, each joined in
    /// order; LANES lanes, of which lane l takes tiles l, l + LANES, … in order; then the lanes.
    #[inline(always)]
    fn gradient<O: Ops>(&self, units: Units, start: usize, gradient: &mut [f32]) {
        let per_tile = BLOCK * TILE / units.rows;
        let tiles = units.count.div_ceil(per_tile);
        let (mut tile, mut lane_sum) = ([0.0; PIECE], [0.0; PIECE]);
        let (tile, lane_sum) = (&mut tile[..gradient.len()], &mut lane_sum[..gradient.len()]);
        for lane in 0..tiles.min(LANES) {
            for (t, at) in (lane..tiles).step_by(LANES).enumerate() {
                let blocks = at * per_tile..((at + 1) * per_tile).min(units.count);
                for (b, unit) in blocks.enumerate() {
                    join::<O>(tile, self.partial(unit, start, gradient.len()), b == 0);
                }
                join::<O>(lane_sum, tile, t == 0);
            }
            join::<O>(gradient, lane_sum, lane == 0);
        }
    }

    #[inline(always)]
    fn partial(&self, unit: usize, start: usize, length: usize) -> &[f32] {
        let at = unit * self.setting.outputs * self.setting.d_padded + start;
        // SAFETY: the partials were written in an earlier part of the step.
        unsafe { self.partials.read(at..at + length) }
    }
}

/// Adds to the sums, or starts them.
#[inline(always)]
fn join<O: Ops>(sums: &mut [f32], others: &[f32], starts: bool) {
    if starts {
        sums.copy_from_slice(others);
    } else {
        sums.iter_mut().zip(others).for_each(|(sum, &other)| *sum = O::add(*sum, other));
    }
}

/// Random bits for each coordinate from `first` on, so many of the 16 followed by ones
/// (`kernels/sgd/model_random.wgsl`).
#[inline(always)]
fn model_random(now: &Step, output: usize, first: usize, bits: u32, random: &mut [u32; PIECE]) {
    let ones = leading_bits(0, bits);
    for (i, eight) in random.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let counter = [(first / 8 + i) as u32, output as u32, now.step, Stream::Model as u32];
        let words = philox4x32(counter, [now.seed, now.trial]);
        for (pair, word) in eight.as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *pair = [word & 0xffff | ones, word >> 16 | ones];
        }
    }
}
