//! Numbers that are known exactly.

use super::{Check, Experiment, Row};
use crate::fingerprint::aligned_sum;
use crate::number::round;

/// A sum in f16 to nearest.
fn in_f16(terms: impl Iterator<Item = f32>) -> f32 {
    terms.fold(0.0, |sum, term| round::f16_nearest(sum + round::f16_nearest(term)))
}

/// The same in bf16.
fn in_bf16(terms: impl Iterator<Item = f32>) -> f32 {
    let nearest = |x: f32| round::bf16_unpack(round::bf16_nearest(x));
    terms.fold(0.0, |sum, term| nearest(sum + nearest(term)))
}

/// Twice as many terms as either sum takes.
const TERMS: usize = 5000;

fn ones() -> impl Iterator<Item = f32> {
    std::iter::repeat_n(1.0, TERMS)
}

fn harmonic() -> impl Iterator<Item = f32> {
    (1..=TERMS).map(|i| 1.0 / i as f32)
}

pub(super) fn exact(_: u32) -> Experiment {
    let equal = |quantity: &str, predicted: f64, measured: f64| {
        Row::new(quantity, predicted, measured, Check::Within(0.0))
    };
    // 1·1 − (1 − 2⁻²⁴) with so many bits below the last place of the largest summand.
    let guarded = |extra| aligned_sum(&[1.0, -1.0 + 2f64.powi(-24)], 24, extra);
    let rows = vec![
        equal("sum of ones in f16", 2048.0, in_f16(ones()).into()),
        equal("sum of ones in bf16", 256.0, in_bf16(ones()).into()),
        equal("harmonic series in f16", 7.085_937_5, in_f16(harmonic()).into()),
        equal("harmonic series in bf16", 5.0625, in_bf16(harmonic()).into()),
        equal(
            "1 − (1 − 2⁻²⁴) by a matrix unit without extra bits, in 2⁻²⁴",
            2.0,
            guarded(0) * 2f64.powi(24),
        ),
        equal(
            "1 − (1 − 2⁻²⁴) by a matrix unit with one extra bit, in 2⁻²⁴",
            1.0,
            guarded(1) * 2f64.powi(24),
        ),
    ];
    Experiment {
        title: "Where sums stop, and what a guard bit shows",
        setup: format!(
            "{TERMS} terms, rounded to the format and added in it one by one, to nearest. The matrix unit is no \
             mirror but the model in software with which the decoding of `tradeoff probe` is tested: it aligns all \
             summands to the largest, cuts off what lies so many bits below its last place, and adds."
        ),
        formula: "A sum of ones stops where 1 is half a unit in its last place: 2¹¹ in f16, 2⁸ in bf16. The \
                  harmonic series stops where 1/i is below half a unit. A matrix unit aligns 1 − 2⁻²⁴ to 1, whose \
                  last place is 2⁻²³: without a bit below it the 24th is cut off, which leaves \
                  1 − (1 − 2⁻²³) = 2⁻²³; one extra bit keeps it.",
        source: "Ones: elementary. Harmonic series: N. J. Higham's note on fp16 and bfloat16 (2018; 7.0859 \
                 after 513 terms, 5.0625 after 65). Extra bits of an aligned sum: Fasi, Higham, Mikaitis and \
                 Pranesh 2021.",
        rows,
        ..Experiment::untitled()
    }
}
