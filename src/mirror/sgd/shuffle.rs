//! Mirror of `kernels/sgd/shuffle.wgsl`, where the method is stated.

use rayon::prelude::*;

use crate::number::philox::{Stream, philox4x32};
use crate::workload::sgd::Step;

const FEISTEL_ROUNDS: u32 = 6;

/// Writes the permutation of 0..n for the epoch of `now` to `order`, whose length is n.
pub fn shuffle(now: &Step, order: &mut [u32]) {
    const PART: usize = 1 << 10;
    order.par_chunks_mut(PART).enumerate().for_each(|(i, rows)| part(now, i * PART, rows));
}

/// The same for positions `first`, first + 1, … alone.
pub(super) fn part(now: &Step, first: usize, rows: &mut [u32]) {
    for (i, row) in rows.iter_mut().enumerate() {
        *row = feistel(now, (first + i) as u32);
        while *row >= now.rows {
            *row = feistel(now, *row);
        }
    }
}

fn feistel(now: &Step, x: u32) -> u32 {
    let mask = (1 << now.half_bits) - 1;
    let (mut left, mut right) = (x >> now.half_bits, x & mask);
    for round in 0..FEISTEL_ROUNDS {
        let counter = [right, round, now.epoch, Stream::Shuffle as u32];
        let mixed = left ^ (philox4x32(counter, [now.seed, now.trial])[0] & mask);
        (left, right) = (right, mixed);
    }
    left << now.half_bits | right
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
