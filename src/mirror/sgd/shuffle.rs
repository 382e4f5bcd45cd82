//! Mirror of `kernels/sgd/shuffle.wgsl`, where the method is stated.

use rayon::prelude::*;

use super::vectorise;
use crate::number::philox::{Stream, philox4x32};
use crate::workload::sgd::Step;

const FEISTEL_ROUNDS: u32 = 6;
/// Numbers that go through the network side by side.
const LANES: usize = 16;

/// Writes the permutation of 0..n for the epoch of `now` to `order`, whose length is n.
pub fn shuffle(now: &Step, order: &mut [u32]) {
    const PART: usize = 1 << 10;
    order.par_chunks_mut(PART).enumerate().for_each(|(i, rows)| part(now, i * PART, rows));
}

/// The same for positions `first`, first + 1, … alone.
pub(super) fn part(now: &Step, first: usize, rows: &mut [u32]) {
    vectorise(
        #[inline(always)]
        || {
            for (i, rows) in rows.chunks_mut(LANES).enumerate() {
                let first = (first + i * LANES) as u32;
                let mut images: [u32; LANES] = std::array::from_fn(
                    #[inline(always)]
                    |lane| first + lane as u32,
                );
                feistel(now, &mut images);
                rows.iter_mut().zip(images).for_each(|(row, image)| *row = image);
            }
        },
    );
    for row in rows {
        while *row >= now.rows {
            let mut image = [*row];
            feistel(now, &mut image);
            [*row] = image;
        }
    }
}

/// Round of the stream that the network never reaches: the counters that draw rows with replacement.
pub(super) const DRAWS: u32 = u32::MAX;

/// `kernels/sgd/draw.wgsl` for positions `first`, first + 1, … from the step on.
pub(super) fn draw(now: &Step, first: usize, rows: &mut [u32]) {
    for (position, row) in (first as u32..).zip(rows) {
        let ahead = position / now.batch;
        let counter = [now.step + ahead, DRAWS, position % now.batch, Stream::Shuffle as u32];
        let word = philox4x32(counter, [now.seed, now.trial])[0];
        *row = ((u64::from(word) * u64::from(now.rows)) >> 32) as u32;
    }
}

/// Each of the numbers by itself.
#[inline(always)]
fn feistel<const N: usize>(now: &Step, x: &mut [u32; N]) {
    let mask = (1 << now.half_bits) - 1;
    let mut left = [0; N];
    let mut right = [0; N];
    for ((left, right), &x) in left.iter_mut().zip(&mut right).zip(&*x) {
        (*left, *right) = (x >> now.half_bits, x & mask);
    }
    for round in 0..FEISTEL_ROUNDS {
        for (left, right) in left.iter_mut().zip(&mut right) {
            let counter = [*right, round, now.epoch, Stream::Shuffle as u32];
            let mixed = *left ^ (philox4x32(counter, [now.seed, now.trial])[0] & mask);
            (*left, *right) = (*right, mixed);
        }
    }
    for ((x, left), right) in x.iter_mut().zip(left).zip(right) {
        *x = left << now.half_bits | right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::sgd::half_bits;

    #[test]
    fn every_epoch_is_a_permutation_and_they_differ() {
        for rows in [1u32, 2, 3, 4, 5, 16, 17, 127, 1797, 65_536] {
            let mut seen = std::collections::HashSet::new();
            for epoch in 0..20 {
                let now =
                    Step { rows, epoch, half_bits: half_bits(rows), seed: 9, ..Step::default() };
                let mut order = vec![0; rows as usize];
                shuffle(&now, &mut order);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..rows), "n = {rows}, epoch {epoch}");
                seen.insert(order);
            }
            assert!(rows < 100 || seen.len() == 20, "n = {rows}");
        }
    }

    /// Where a row lands is uniform: chi-square of 7 places over 20,000 epochs for each row.
    #[test]
    fn places_are_uniform() {
        let (rows, epochs) = (7, 20_000);
        let mut counts = [[0f64; 7]; 7];
        let mut order = vec![0; 7];
        for epoch in 0..epochs {
            let now = Step { rows, epoch, half_bits: half_bits(rows), seed: 1, ..Step::default() };
            shuffle(&now, &mut order);
            order.iter().enumerate().for_each(|(p, &row)| counts[p][row as usize] += 1.0);
        }
        let expected = f64::from(epochs) / 7.0;
        for place in counts {
            let chi2: f64 = place.iter().map(|c| (c - expected).powi(2) / expected).sum();
            // The 10⁻⁶ point of chi-square with 6 degrees of freedom is 38.3.
            assert!(chi2 < 38.3, "{chi2}");
        }
    }
}
