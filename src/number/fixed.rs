//! Fixed point: integers times a power-of-two step, so that scaling is exact.

use super::round;
use super::{Format, Rounding};

/// A grid of `2·limit + 1` points spaced 2^exponent, symmetric about 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// 4, 8 or 16.
    pub bits: u32,
    /// log2 of the step.
    pub exponent: i32,
}

impl Fixed {
    /// The finest grid of `bits` bits that reaches `max_abs`. A range of 0 counts as 1.
    pub fn covering(max_abs: f32, bits: u32) -> Self {
        let limit = f64::from((1i32 << (bits - 1)) - 1);
        let range = if max_abs > 0.0 { f64::from(max_abs) } else { 1.0 };
        let mut exponent = (range / limit).log2().ceil() as i32;
        // log2 is rounded: settle the last step in exact arithmetic.
        while limit * 2f64.powi(exponent) < range {
            exponent += 1;
        }
        while limit * 2f64.powi(exponent - 1) >= range {
            exponent -= 1;
        }
        Self { bits, exponent: exponent.clamp(-100, 100) }
    }

    /// The grid's format.
    pub fn format(self) -> Format {
        match self.bits {
            4 => Format::Fixed4,
            8 => Format::Fixed8,
            _ => Format::Fixed16,
        }
    }

    /// The largest stored integer: 7, 127 or 32,767.
    pub fn limit(self) -> i32 {
        (1 << (self.bits - 1)) - 1
    }

    /// Distance of neighbours on the grid.
    pub fn step(self) -> f32 {
        2f32.powi(self.exponent)
    }

    /// The integer that stands for `x`: saturated, 0 for NaN.
    #[inline(always)]
    pub fn quantize(self, x: f32, rounding: Rounding, random: u32) -> i32 {
        round::integer(x * 2f32.powi(-self.exponent), rounding, random, self.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn covers_its_range_with_the_finest_step(max in 1e-6f32..1e6, width in 0..3usize) {
            let f = Fixed::covering(max, [4, 8, 16][width]);
            prop_assert!(f.limit() as f32 * f.step() >= max);
            prop_assert!(f.limit() as f32 * f.step() / 2.0 < max);
        }

        #[test]
        fn grid_points_stay(q in -127i32..=127, exponent in -20i32..20, r: u32) {
            let f = Fixed { bits: 8, exponent };
            prop_assert_eq!(f.quantize(q as f32 * f.step(), Rounding::Stochastic, r), q);
        }
    }
}
