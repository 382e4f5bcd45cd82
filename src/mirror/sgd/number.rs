//! The storage formats of data and model as the mirror holds them.

use crate::number::{Rounding, round};

/// A stored number. Fixed-point numbers are integers: their grid's step is applied elsewhere.
pub trait Number: Copy + Default + Send + Sync + 'static {
    /// Whether two of these multiply exactly in 32-bit integers, as `dot4I8Packed` does.
    const INT8: bool = false;
    /// Bits of storage.
    const BITS: u32;
    /// Its value as f32; `flush` reads f16 subnormals as zero.
    fn load(self, flush: bool) -> f32;
    /// What is stored for `x`; `random` is 16 bits for stochastic rounding.
    fn round(x: f32, rounding: Rounding, random: u32) -> Self;
    /// Its value where [`Number::INT8`] holds.
    #[inline(always)]
    fn integer(self) -> i32 {
        0
    }
    /// The storage bits, in the low end.
    fn bits(self) -> u32;
}

impl Number for f32 {
    const BITS: u32 = 32;

    #[inline(always)]
    fn load(self, _: bool) -> f32 {
        self
    }

    #[inline(always)]
    fn round(x: f32, _: Rounding, _: u32) -> Self {
        x
    }

    fn bits(self) -> u32 {
        self.to_bits()
    }
}

/// An f16 by its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct F16(pub u16);

impl Number for F16 {
    const BITS: u32 = 16;

    /// [`round::f16_unpack`] in fewer operations: exponent and fraction as those of an f32 are
    /// 2⁻¹¹² of the number, subnormals included, and the product is exact.
    #[inline(always)]
    fn load(self, flush: bool) -> f32 {
        let magnitude = u32::from(self.0 & 0x7fff) << 13;
        let value = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
        let special = if magnitude >= 0x0f80_0000 { 0x7f80_0000 } else { 0 };
        let kept = if flush && magnitude < 0x0080_0000 { 0 } else { value | special };
        f32::from_bits(u32::from(self.0 & 0x8000) << 16 | kept)
    }

    #[inline(always)]
    fn round(x: f32, rounding: Rounding, random: u32) -> Self {
        Self(round::f16_pack(match rounding {
            Rounding::Nearest => round::f16_nearest(x),
            Rounding::Stochastic => round::f16_stochastic(x, random),
        }))
    }

    fn bits(self) -> u32 {
        self.0.into()
    }
}

impl Number for i16 {
    const BITS: u32 = 16;

    #[inline(always)]
    fn load(self, _: bool) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn round(x: f32, rounding: Rounding, random: u32) -> Self {
        round::integer(x, rounding, random, 32_767) as Self
    }

    fn bits(self) -> u32 {
        u32::from(self as u16)
    }
}

impl Number for i8 {
    const INT8: bool = true;
    const BITS: u32 = 8;

    #[inline(always)]
    fn load(self, _: bool) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn round(x: f32, rounding: Rounding, random: u32) -> Self {
        round::integer(x, rounding, random, 127) as Self
    }

    #[inline(always)]
    fn integer(self) -> i32 {
        self.into()
    }

    fn bits(self) -> u32 {
        u32::from(self as u8)
    }
}

/// A bf16 by its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bf16(pub u16);

impl Number for Bf16 {
    const BITS: u32 = 16;

    #[inline(always)]
    fn load(self, _: bool) -> f32 {
        round::bf16_unpack(self.0)
    }

    /// `kernels/sgd/four_bf16.wgsl`.
    #[inline(always)]
    fn round(x: f32, rounding: Rounding, random: u32) -> Self {
        if rounding == Rounding::Nearest {
            return Self(round::bf16_nearest(x));
        }
        let (bits, magnitude) = (x.to_bits(), x.to_bits() & 0x7fff_ffff);
        let up = u32::from((random & 0xffff) < (bits & 0xffff));
        let rounded = (bits >> 16) + up;
        let nan = (bits >> 16 & 0x8000) | 0x7fc0;
        Self(if magnitude > 0x7f80_0000 { nan } else { rounded } as u16)
    }

    fn bits(self) -> u32 {
        self.0.into()
    }
}

/// A 4-bit integer stored in `STORED` bits on a device: the data set's take 4, eight a word; a
/// model's take 8, since two threads that update neighbours must not share a word. Here it takes a
/// byte in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct I4<const STORED: u32>(pub i8);

impl<const STORED: u32> Number for I4<STORED> {
    const INT8: bool = true;
    const BITS: u32 = STORED;

    #[inline(always)]
    fn load(self, _: bool) -> f32 {
        f32::from(self.0)
    }

    #[inline(always)]
    fn round(x: f32, rounding: Rounding, random: u32) -> Self {
        Self(round::integer(x, rounding, random, 7) as i8)
    }

    #[inline(always)]
    fn integer(self) -> i32 {
        self.0.into()
    }

    fn bits(self) -> u32 {
        u32::from(self.0 as u8) & ((1 << STORED) - 1)
    }
}

/// The 32-bit words that a device's buffer of these numbers holds, the first number lowest.
pub(crate) fn pack_words<M: Number>(numbers: &[M]) -> Vec<u32> {
    let per_word = (32 / M::BITS) as usize;
    let word = |four: &[M]| {
        four.iter().enumerate().fold(0, |w, (i, x)| w | x.bits() << (i as u32 * M::BITS))
    };
    numbers.chunks(per_word).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_loads_as_it_unpacks() {
        for bits in 0..=u16::MAX {
            for flush in [false, true] {
                let (got, expected) = (F16(bits).load(flush), round::f16_unpack(bits, flush));
                assert!(got.to_bits() == expected.to_bits(), "{bits:04x}: {got} not {expected}");
            }
        }
    }
}
