//! The 8-bit floating-point formats of the Open Compute Project (OFP8, revision 1.0, 2023), rounded
//! in integer bits: what `kernels/number/fp8.wgsl` does, line by line.
//!
//! Both conversions saturate: what exceeds the largest finite number, infinity too, becomes that
//! number with its sign, and only NaN becomes NaN. E4M3 has no infinity at all; E5M2 has one, which a
//! saturating conversion never makes. The formats have no scale of their own, and none is added: what
//! lies beyond their range is lost, as the bound of a product counts it.

const SIGN: u32 = 0x8000_0000;
const INFINITY: u32 = 0x7f80_0000;
const NAN_CODE: u32 = 0x7f;

/// One of the two formats: sign, exponent and fraction in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fp8 {
    /// Bits of the fraction.
    fraction: u32,
    /// The exponent field of 1.
    bias: u32,
    /// The code of the largest finite number.
    largest: u32,
}

impl Fp8 {
    /// 4 bits of exponent, 3 of fraction: up to 448, down to 2⁻⁹; one NaN of each sign, no infinity.
    pub const E4M3: Self = Self { fraction: 3, bias: 7, largest: 0x7e };
    /// 5 bits of exponent, 2 of fraction: up to 57,344, down to 2⁻¹⁶; the upper byte of an f16.
    pub const E5M2: Self = Self { fraction: 2, bias: 15, largest: 0x7b };

    /// The largest finite number.
    pub fn largest(self) -> f32 {
        self.unpack(self.largest as u8)
    }

    /// The smallest positive number, a subnormal: the spacing of all subnormals.
    pub fn smallest(self) -> f32 {
        self.unpack(1)
    }

    /// The code nearest to `x`, ties to the even one.
    #[inline(always)]
    pub fn nearest(self, x: f32) -> u8 {
        let bits = x.to_bits();
        let a = bits & !SIGN;
        let (m, distance) = self.parts(a);
        let t = distance.min(31);
        let q = (m + ((1u32 << t) >> 1) - 1 + ((m >> t) & 1)) >> t;
        self.finish(bits, a, q)
    }

    /// The code of a neighbour of `x`, by the 16 low bits of `random`: away from 0 exactly where they
    /// are below the dropped fraction cut to 16 bits.
    #[inline(always)]
    pub fn stochastic(self, x: f32, random: u32) -> u8 {
        let bits = x.to_bits();
        let a = bits & !SIGN;
        let (m, distance) = self.parts(a);
        let t = distance.min(31);
        let fraction = (m & ((1u32 << t) - 1)) >> (distance - 16).min(31);
        let q = (m >> t) + u32::from(random & 0xffff < fraction);
        self.finish(bits, a, q)
    }

    /// The number that a code stands for, exactly.
    #[inline(always)]
    pub fn unpack(self, code: u8) -> f32 {
        let code = u32::from(code);
        let a = code & 0x7f;
        let subnormal = (a as f32 * self.unit()).to_bits();
        let normal = (a << (23 - self.fraction)) + ((127 - self.bias) << 23);
        let finite = if a < 1 << self.fraction { subnormal } else { normal };
        let beyond = if self.fraction == 2 && a == 0x7c { INFINITY } else { 0x7fc0_0000 };
        f32::from_bits((code & 0x80) << 24 | if a > self.largest { beyond } else { finite })
    }

    /// 2^(1 − bias − fraction), the spacing of the subnormals.
    #[inline(always)]
    fn unit(self) -> f32 {
        f32::from_bits((128 - self.bias - self.fraction) << 23)
    }

    /// Exponent field, in f32, of the smallest normal number.
    #[inline(always)]
    fn least(self) -> u32 {
        128 - self.bias
    }

    /// Significand of `a` with its leading bit, and how far its unit lies right of the format's there.
    #[inline(always)]
    fn parts(self, a: u32) -> (u32, u32) {
        let below = self.least().saturating_sub(a >> 23);
        ((a & 0x7f_ffff) | 0x80_0000, 23 - self.fraction + below)
    }

    /// `q` units of the binade of `a`, saturated, with the sign of `bits`.
    #[inline(always)]
    fn finish(self, bits: u32, a: u32, q: u32) -> u8 {
        let binades = (a >> 23).max(self.least()) - self.least();
        let finite = ((binades << self.fraction) + q).min(self.largest);
        let magnitude = if a > INFINITY { NAN_CODE } else { finite };
        ((bits >> 24) & 0x80 | magnitude) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use proptest::prelude::*;

    const BOTH: [Fp8; 2] = [Fp8::E4M3, Fp8::E5M2];

    #[test]
    fn ranges_are_those_of_the_specification() {
        assert_eq!((Fp8::E4M3.largest(), Fp8::E4M3.smallest()), (448.0, 2f32.powi(-9)));
        assert_eq!((Fp8::E5M2.largest(), Fp8::E5M2.smallest()), (57_344.0, 2f32.powi(-16)));
        assert!(Fp8::E4M3.unpack(0x7f).is_nan() && Fp8::E5M2.unpack(0xff).is_nan());
        assert_eq!(Fp8::E5M2.unpack(0xfc), f32::NEG_INFINITY);
    }

    #[test]
    fn e5m2_is_the_upper_byte_of_an_f16() {
        for code in 0..=u8::MAX {
            let half = f16::from_bits(u16::from(code) << 8).to_f32();
            let got = Fp8::E5M2.unpack(code);
            assert!(got.to_bits() == half.to_bits() || (got.is_nan() && half.is_nan()), "{code:x}");
        }
    }

    #[test]
    fn numbers_of_the_format_never_move() {
        for format in BOTH {
            for code in (0..=u8::MAX).filter(|code| format.unpack(*code).is_finite()) {
                let x = format.unpack(code);
                assert_eq!(format.nearest(x), code, "{format:?}");
                for r in [0, 1, 0x8000, 0xffff] {
                    assert_eq!(format.stochastic(x, r), code, "{format:?}");
                }
            }
        }
    }

    #[test]
    fn what_lies_beyond_saturates_and_nan_stays() {
        for format in BOTH {
            let largest = format.largest as u8;
            for x in [format.largest() * 1.2, 1e30, f32::MAX, f32::INFINITY] {
                for code in [format.nearest(x), format.stochastic(x, 0)] {
                    assert_eq!(code, largest);
                }
                assert_eq!(format.nearest(-x), 0x80 | largest);
            }
            assert!(format.unpack(format.nearest(f32::NAN)).is_nan());
            assert!(format.unpack(format.stochastic(-f32::NAN, 5)).is_nan());
        }
    }

    /// Going through all 65,536 random values, the number that round up is the dropped fraction cut
    /// to 16 bits: at normals, subnormals and far below.
    #[test]
    fn stochastic_goes_up_as_often_as_the_fraction_says() {
        for format in BOTH {
            for x in [1.03f32, -1.07, 0.99, 0.013, 5.9e-5, -3.1e-4, 4.0e-8, 1.0e-12, 1.0e-40] {
                let grid = |code: u8| f64::from(format.unpack(code & 0x7f));
                let below = (0..format.largest as u8).rfind(|&c| grid(c) <= f64::from(x.abs()));
                let below = below.unwrap();
                let ulp = grid(below + 1) - grid(below);
                let fraction = (f64::from(x.abs()) - grid(below)) / ulp;
                let to =
                    |code| (0..=0xffff).filter(|&r| format.stochastic(x, r) & 0x7f == code).count();
                assert_eq!(to(below) + to(below + 1), 65_536, "{format:?} {x}");
                assert_eq!(to(below + 1), (fraction * 65_536.0).floor() as usize, "{format:?} {x}");
            }
        }
    }

    proptest! {
        /// No number of the format is nearer, and of two as near the even one is taken.
        #[test]
        fn nearest_is_the_nearest(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(x.is_finite());
            // Beyond twice the largest number, an f64 does not tell the distances apart.
            for format in BOTH.into_iter().filter(|f| x.abs() <= 2.0 * f.largest()) {
                let code = format.nearest(x) & 0x7f;
                let off = |c: u8| (f64::from(format.unpack(c)) - f64::from(x.abs())).abs();
                let nearest = (0..=format.largest as u8).map(off).fold(f64::INFINITY, f64::min);
                prop_assert_eq!(off(code), nearest);
                let tie = code > 0 && off(code - 1) == nearest || {
                    code < format.largest as u8 && off(code + 1) == nearest
                };
                prop_assert!(!tie || code & 1 == 0, "{x:e} in {format:?}");
            }
        }
    }
}
