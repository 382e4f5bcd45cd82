//! The distribution of a sum in f16 of products of two numbers that are uniform in (0, 1).
//!
//! A product p = a·b has the density −ln p. A sum s in f16 goes to a neighbour of s + p, so it is a
//! Markov chain on the numbers of f16, whose transitions are integrals of that density over the cells
//! in which s + p is rounded to one number. The operands' own rounding to f16 moves the ends of
//! cells by a part in 2¹¹ either way and is left out, as are products that are ties.

use crate::error::metrics::ulp;
use crate::number::{Format, round};

/// How a sum is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Nearest,
    Stochastic,
}

/// Sums up to this one have seen next to none of all rounding: there s is taken for normal, with the
/// mean and the variance of an exact sum.
const START: usize = 16;
/// The chain has the numbers of f16 from 1 to 1280.
const FIRST: u16 = 0x3c00;
const LAST: u16 = 0x6500;
/// What is less probable is dropped. At most 10⁴ states are, in each of 10⁴ steps.
const NEGLIGIBLE: f64 = 1e-18;
/// Variance of a product: 1/9 − 1/16.
const VARIANCE: f64 = 7.0 / 144.0;

/// What is known of a sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Its mean.
    pub mean: f64,
    /// Part of the additions that left it as it was.
    pub absorbed: f64,
    /// Sum over the additions of the mean square of the rounding error.
    pub variance: f64,
}

/// Where a sum goes from one number of f16.
struct State {
    /// Probability of this number and of those that follow.
    to: Vec<f64>,
    /// Mean square of the rounding error.
    square: f64,
}

/// The transitions.
pub(super) struct Chain {
    states: Vec<State>,
}

fn number(bits: u16) -> f64 {
    round::f16_unpack(bits, false).into()
}

/// ∫ from 0 to x of −pⁿ·ln p, for n = 0, 1, 2 and x from 0 to 1.
fn moments(x: f64) -> [f64; 3] {
    if x <= 0.0 {
        return [0.0; 3];
    }
    let x = x.min(1.0);
    let moment = |power: i32| {
        let n = f64::from(power);
        x.powi(power) * (1.0 / (n * n) - x.ln() / n)
    };
    [moment(1), moment(2), moment(3)]
}

/// The same over from `low` to `high`.
fn between(low: f64, high: f64) -> [f64; 3] {
    let (from, to) = (moments(low), moments(high));
    [to[0] - from[0], to[1] - from[1], to[2] - from[2]]
}

impl State {
    fn of(bits: u16, mode: Mode) -> Self {
        let sum = number(bits);
        let (mut to, mut square) = (vec![0.0], 0.0);
        // Cell by cell of p: from the number `low` to the next, both less the sum.
        for at in bits.. {
            let (low, high) = (number(at) - sum, number(at + 1) - sum);
            if low >= 1.0 {
                break;
            }
            let middle = f64::midpoint(low, high);
            let [whole, first, second] = between(low, high);
            let (up, error) = match mode {
                Mode::Stochastic => (
                    (first - low * whole) / (high - low),
                    -low * high * whole + (low + high) * first - second,
                ),
                Mode::Nearest => {
                    let [below, above] =
                        [(low, middle), (middle, high)].map(|(a, b)| between(a, b));
                    let about = |[m0, m1, m2]: [f64; 3], x: f64| x * x * m0 - 2.0 * x * m1 + m2;
                    (above[0], about(below, low) + about(above, high))
                }
            };
            square += error;
            if let Some(stays) = to.last_mut() {
                *stays += whole - up;
            }
            to.push(up);
        }
        Self { to, square }
    }
}

impl Chain {
    pub fn new(mode: Mode) -> Self {
        Self { states: (FIRST..=LAST).map(|bits| State::of(bits, mode)).collect() }
    }

    /// The sum after `k` additions, over [`START`] and at most some 4,500, beyond which the states end.
    pub fn after(&self, k: usize) -> Outcome {
        let mut outcome = Outcome::default();
        for q in 0..START {
            // Of a sum that is at its mean.
            let unit = ulp((q as f64 + 0.5) / 4.0, Format::F16);
            outcome.absorbed += moments(unit / 2.0)[0];
            outcome.variance += unit * unit / 6.0;
        }
        let mut now = self.start();
        for _ in START..k {
            let mut next = vec![0.0; self.states.len()];
            for (at, (&chance, state)) in now.iter().zip(&self.states).enumerate() {
                if chance < NEGLIGIBLE {
                    continue;
                }
                outcome.absorbed += chance * state.to[0];
                outcome.variance += chance * state.square;
                next[at..].iter_mut().zip(&state.to).for_each(|(to, p)| *to += chance * p);
            }
            now = next;
        }
        outcome.absorbed /= k as f64;
        let weighted = now.iter().zip(FIRST..).map(|(chance, bits)| chance * number(bits));
        outcome.mean = weighted.sum();
        outcome
    }

    fn start(&self) -> Vec<f64> {
        let (mean, variance) = (START as f64 / 4.0, START as f64 * VARIANCE);
        let weight = |bits: u16| {
            let x = number(bits);
            (-(x - mean).powi(2) / (2.0 * variance)).exp() * ulp(x, Format::F16)
        };
        let mut start: Vec<f64> = (FIRST..=LAST).map(weight).collect();
        let all: f64 = start.iter().sum();
        start.iter_mut().for_each(|chance| *chance /= all);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state goes somewhere, and stochastically by the mean product, 1/4. To nearest 1024, whose
    /// unit is 1, goes on where the product is over ½.
    #[test]
    fn transitions_are_probabilities_with_the_right_mean() {
        for bits in [FIRST, 0x4400, 0x4bff, 0x5c00, 0x5ffe, 0x6400] {
            let moved = |state: &State| -> f64 {
                let numbers = (bits..).map(|to| number(to) - number(bits));
                state.to.iter().zip(numbers).map(|(p, by)| p * by).sum()
            };
            for mode in [Mode::Nearest, Mode::Stochastic] {
                let state = State::of(bits, mode);
                let sum: f64 = state.to.iter().sum();
                assert!((sum - 1.0).abs() < 1e-12, "{bits:x} {mode:?}: {sum}");
            }
            let mean = moved(&State::of(bits, Mode::Stochastic));
            assert!((mean - 0.25).abs() < 1e-12, "{bits:x}: {mean}");
        }
        let nearest = State::of(0x6400, Mode::Nearest);
        let over_half = 1.0 - 0.5 * (1.0 + 2f64.ln());
        assert!((nearest.to[1] - over_half).abs() < 1e-12);
    }

    /// Where the grid is fine beside p, the mean squares are h²/12 and h²/6.
    #[test]
    fn mean_squares_are_those_of_one_rounding() {
        let h = 2f64.powi(-10);
        let [nearest, stochastic] =
            [Mode::Nearest, Mode::Stochastic].map(|mode| State::of(FIRST, mode).square / (h * h));
        assert!((nearest - 1.0 / 12.0).abs() < 1e-3 && (stochastic - 1.0 / 6.0).abs() < 1e-3);
    }

    /// Rounding moves no mean, so it is k/4 but for what the start leaves out below 1: 0.001.
    #[test]
    fn stochastic_sums_have_the_mean_of_exact_ones() {
        let mean = Chain::new(Mode::Stochastic).after(400).mean;
        assert!((mean - 100.0).abs() < 1e-2, "{mean}");
    }
}
