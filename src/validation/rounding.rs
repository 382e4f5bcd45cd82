//! One rounding: its mean square error, and its bias where few random bits are drawn.

use rayon::prelude::*;

use super::statistics::Estimate;
use super::{Experiment, Purpose, Row, key_of, seed_of};
use crate::number::philox::philox4x32;
use crate::number::round;

const BATCHES: u32 = 64;

/// A number of [1, 2) with 23 random bits behind the point, and 16 more random bits.
fn draw(key: [u32; 2], batch: u32, index: u32) -> (f32, u32) {
    let [digits, random, ..] = philox4x32([index, batch, 0, 0], key);
    (f32::from_bits(0x3f80_0000 | digits >> 9), random >> 16)
}

/// The mean over the numbers of each batch.
fn means(key: [u32; 2], numbers: u32, of: impl Fn(f32, u32) -> f64 + Sync) -> Estimate {
    let mean = |batch| {
        let all = (0..numbers).map(|index| draw(key, batch, index));
        all.map(|(x, random)| of(x, random)).sum::<f64>() / f64::from(numbers)
    };
    Estimate::of(&(0..BATCHES).into_par_iter().map(mean).collect::<Vec<_>>())
}

pub(super) fn one_rounding(seed: u32) -> Experiment {
    const NUMBERS: u32 = 1 << 14;
    let key = key_of(seed_of(seed, Purpose::Rounding, 0, 0));
    // The unit in the last place of f16 in [1, 2) is 2⁻¹⁰.
    let ulps = |rounded: f32, x: f32| (f64::from(rounded) - f64::from(x)) * 1024.0;
    let nearest = means(key, NUMBERS, |x, _| ulps(round::f16_nearest(x), x).powi(2));
    let stochastic = means(key, NUMBERS, |x, r| ulps(round::f16_stochastic(x, r), x).powi(2));
    Experiment {
        title: "The mean square error of one rounding",
        setup: format!(
            "f32 to f16 over {BATCHES} batches of {NUMBERS} numbers that are uniform in [1, 2). The \
             interval is over the batches."
        ),
        formula: "The part f of a unit in the last place that is dropped is uniform. To nearest the mean \
                  square of min(f, 1 − f) is 1/12; stochastically that of f·(1 − f) is 1/6.",
        source: "Elementary.",
        remark: "The doubling is what makes sums by stochastic rounding √2 times less exact than sums to \
                 nearest that do not stagnate."
            .to_owned(),
        rows: vec![
            Row::estimated("to nearest, in ulp²", 1.0 / 12.0, &nearest),
            Row::estimated("stochastically, in ulp²", 1.0 / 6.0, &stochastic),
        ],
        ..Experiment::untitled()
    }
}

/// Bits that f32 has and bf16 has not.
const DROPPED: i32 = 16;

pub(super) fn random_bits(seed: u32) -> Experiment {
    const NUMBERS: u32 = 1 << 17;
    let key = key_of(seed_of(seed, Purpose::RandomBits, 0, 0));
    let row = |bits: u32| {
        // What fewer bits change; the unit in the last place of bf16 in [1, 2) is 2⁻⁷.
        let change = means(key, NUMBERS, |x, random| {
            let fewer = round::bf16_stochastic(x, round::leading_bits(random, bits));
            f64::from(fewer) - f64::from(round::bf16_stochastic(x, random))
        });
        let predicted = -(2f64.powi(-(bits as i32)) - 2f64.powi(-DROPPED)) / 2.0;
        Row::estimated(format!("{bits} bits: mean error, in ulp"), predicted, &change)
    };
    Experiment {
        title: "The bias of stochastic rounding by few random bits",
        setup: format!(
            "f32 to bf16, which drops {DROPPED} bits, over {BATCHES} batches of {NUMBERS} numbers that are \
             uniform in [1, 2). What is averaged is the difference to the rounding by all {DROPPED} of the \
             same random bits, which has no bias: so most of the noise cancels. The interval is over the \
             batches."
        ),
        formula: "With r random bits the magnitude goes up where they, as an integer, are below the \
                  first r bits of the dropped fraction, whose other bits are lost: mean error \
                  −(2^−r − 2⁻¹⁶)/2 ulp.",
        source: "Derived from the definition in `src/number/round.rs`; compare Fitzgibbon and Felix 2025, \
                 \"On stochastic rounding with few random bits\".",
        rows: [4, 8, 10, 13].map(row).to_vec(),
        ..Experiment::untitled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With as many random bits as are dropped nothing is lost on average: over every one of them, for
    /// any fraction. That is what fewer bits are compared with.
    #[test]
    fn all_bits_have_no_bias() {
        for fraction in [0u32, 1, 0x1234, 0x8000, 0xffff] {
            let x = f32::from_bits(0x3f80_0000 | fraction);
            let ups: u32 = (0..1 << DROPPED)
                .map(|random| u32::from(round::bf16_stochastic(x, random)) - 0x3f80)
                .sum();
            assert_eq!(ups, fraction);
        }
    }
}
