//! Rounding in integer bits: what `kernels/shared/rounding.wgsl` does, line by line.
//!
//! No rounding here relies on a float round trip, which a shader compiler may remove. The
//! stochastic convention, everywhere: the dropped fraction is cut to 16 bits, and the magnitude
//! goes up exactly when the 16 random bits are below it. So a representable value never moves,
//! positive and negative values are treated alike, and P(up) is the fraction cut to 16 bits.

use std::ops::RangeInclusive;

use super::Rounding;
use super::lanes::{LANES, Lanes};

const SIGN: u32 = 0x8000_0000;
const INFINITY: u32 = 0x7f80_0000;
/// 2⁻¹⁴, the smallest normal f16, as f32 bits.
const F16_MIN_NORMAL: u32 = 0x3880_0000;
/// 2¹⁶, the first power of two over the f16 range, as f32 bits.
const F16_OVERFLOW: u32 = 0x4780_0000;
/// 2⁻²⁴, the smallest positive f16.
const F16_ULP_SUBNORMAL: f32 = 1.0 / 16_777_216.0;

/// Random bits of one stochastic rounding, unless fewer are asked for.
pub const ROUNDING_BITS: u32 = 16;

/// Numbers of random bits that a stochastic rounding can draw, in every format. Where a format drops
/// fewer bits than are drawn, the last ones decide nothing: an f32 loses 13 to a normal f16, so there
/// 13 to 16 round alike.
pub const ROUNDING_BITS_VALID: RangeInclusive<u32> = 1..=ROUNDING_BITS;

/// The `bits` (1 to 16) leading ones of the 16 low bits of `random`, followed by ones: what a rounding
/// that draws fewer bits is given. With the threshold compare a magnitude then goes up exactly where
/// those bits, as an integer, are below the first `bits` bits of the dropped fraction. So the fraction
/// is cut to that many bits, and where d bits are dropped (at most 16 of them count), all alike
/// frequent, the mean error is −(2^−bits − 2^−d)/2 units in the last place.
#[inline(always)]
pub fn leading_bits(random: u32, bits: u32) -> u32 {
    random | 0xffff >> bits
}

/// `x` rounded to the nearest f16, ties to even, as an f32. Over 65,519.996 it is infinity.
#[inline(always)]
pub fn f16_nearest(x: f32) -> f32 {
    let bits = x.to_bits();
    let a = bits & !SIGN;
    let normal = (a + 0xfff + ((a >> 13) & 1)) & !0x1fff;
    let (m, t) = subnormal_parts(a);
    let q = (m + ((1u32 << t) >> 1) - 1 + ((m >> t) & 1)) >> t;
    finish_f16(bits, a, normal, q)
}

/// `x` rounded to an f16 neighbour by the 16 low bits of `random`, as an f32.
#[inline(always)]
pub fn f16_stochastic(x: f32, random: u32) -> f32 {
    let bits = x.to_bits();
    let a = bits & !SIGN;
    let r = random & 0xffff;
    let normal = (a & !0x1fff) + if r < ((a & 0x1fff) << 3) { 0x2000 } else { 0 };
    let (m, t) = subnormal_parts(a);
    let q = (m >> t) + u32::from(r < subnormal_fraction(a, m, t));
    finish_f16(bits, a, normal, q)
}

/// Significand of `a` with its leading bit, and how far it lies right of the f16 unit 2⁻²⁴
/// (14 or more; 31 stands for all that is further).
#[inline(always)]
fn subnormal_parts(a: u32) -> (u32, u32) {
    let shift = 126u32.saturating_sub(a >> 23);
    ((a & 0x7f_ffff) | 0x80_0000, shift.clamp(14, 31))
}

/// The first 16 bits of what a shift by `t` drops from `m`.
#[inline(always)]
fn subnormal_fraction(a: u32, m: u32, t: u32) -> u32 {
    let dropped = m & ((1u32 << t) - 1);
    let distance = 126u32.saturating_sub(a >> 23);
    (dropped << 2) >> distance.saturating_sub(14).min(31)
}

#[inline(always)]
fn finish_f16(bits: u32, a: u32, normal: u32, q: u32) -> f32 {
    let subnormal = (q as f32 * F16_ULP_SUBNORMAL).to_bits();
    let finite = if a < F16_MIN_NORMAL { subnormal } else { normal };
    let bounded = if finite >= F16_OVERFLOW { INFINITY } else { finite };
    let magnitude = if a > INFINITY { 0x7fc0_0000 } else { bounded };
    f32::from_bits((bits & SIGN) | magnitude)
}

/// Below this lie the doubled bits of all |x| in [2⁻¹⁴, 65,504), less those of 2⁻¹⁴: neither
/// subnormal nor rounded to infinity.
const F16_NORMAL_SPAN: u32 = (0x477f_e000 - F16_MIN_NORMAL) << 1;

/// Vectors of f32 rounded to f16 as if all were normal numbers of f16 below the largest, with a
/// check of that once for many. What is outside is rarely met in a sum of products, and rounding
/// it right costs as much again.
#[derive(Clone, Copy, Debug)]
pub struct NormalF16<L: Lanes> {
    lanes: L,
    /// Largest distance from the smallest normal number so far, see [`F16_NORMAL_SPAN`].
    furthest: L::Bits,
}

impl<L: Lanes> NormalF16<L> {
    /// Nothing rounded so far.
    #[inline(always)]
    pub fn new(lanes: L) -> Self {
        Self { lanes, furthest: lanes.splat(0) }
    }

    /// As [`f16_nearest`].
    #[inline(always)]
    pub fn nearest(&mut self, x: L::Real) -> L::Real {
        let l = self.lanes;
        if let Some(rounded) = l.f16_nearest(x) {
            return rounded; // right for any number
        }
        let odd = l.and(l.shift_right::<13>(l.bits_of(x)), l.splat(1));
        self.cut(x, l.add(odd, l.splat(0xfff)))
    }

    /// As [`f16_stochastic`] by the 16 bits of `random` that start 3 below bit `FROM`: `FROM`
    /// is 3 for the low half-word, 19 for the high one.
    ///
    /// The dropped fraction f has 13 bits, so r < 8f exactly where ⌊r/8⌋ < f, and that is where
    /// f + (2¹³ − 1 − ⌊r/8⌋) carries into the bits that stay.
    #[inline(always)]
    pub fn stochastic<const FROM: u32>(&mut self, x: L::Real, random: L::Bits) -> L::Real {
        let l = self.lanes;
        self.cut(x, l.and_not(l.splat(0x1fff), l.shift_right::<FROM>(random)))
    }

    /// Adds `under` to the bits of x, whose last 13 then go.
    #[inline(always)]
    fn cut(&mut self, x: L::Real, under: L::Bits) -> L::Real {
        let l = self.lanes;
        let bits = l.bits_of(x);
        let distance = l.sub(l.add(bits, bits), l.splat(F16_MIN_NORMAL << 1));
        self.furthest = l.max(self.furthest, distance);
        l.real_of(l.and_not(l.add(bits, under), l.splat(0x1fff)))
    }

    /// Whether all so far was what it was taken for, in the lanes where `counts` is all ones (in
    /// others it is 0).
    #[inline(always)]
    pub fn held(&self, counts: L::Bits) -> bool {
        let l = self.lanes;
        !l.any_at_least(l.and(self.furthest, counts), l.splat(F16_NORMAL_SPAN))
    }

    /// All ones in the first `count` lanes, 0 in the others: what [`NormalF16::held`] takes.
    #[inline(always)]
    pub fn first_lanes(lanes: L, count: usize) -> L::Bits {
        let mut counts = [0; LANES];
        for count in &mut counts[..count.min(LANES)] {
            *count = u32::MAX;
        }
        lanes.load(&counts)
    }
}

/// Bits of the f16 equal to `x`, which must be one (or NaN): a change of layout, no rounding.
#[inline(always)]
pub fn f16_pack(x: f32) -> u16 {
    let bits = x.to_bits();
    let a = bits & !SIGN;
    let sign = (bits >> 16) & 0x8000;
    let (m, t) = subnormal_parts(a);
    let magnitude = if a > INFINITY {
        0x7e00
    } else if a >= F16_OVERFLOW {
        0x7c00
    } else if a < F16_MIN_NORMAL {
        m >> t
    } else {
        (a - 0x3800_0000) >> 13
    };
    (sign | magnitude) as u16
}

/// The f16 with these bits as an f32, exactly; `flush` reads subnormals as zero.
#[inline(always)]
pub fn f16_unpack(bits: u16, flush: bool) -> f32 {
    let h = u32::from(bits);
    let sign = (h & 0x8000) << 16;
    let (exponent, fraction) = (h & 0x7c00, h & 0x3ff);
    let magnitude = if exponent == 0 {
        if flush { 0 } else { (fraction as f32 * F16_ULP_SUBNORMAL).to_bits() }
    } else if exponent == 0x7c00 {
        INFINITY | (fraction << 13)
    } else {
        ((exponent | fraction) << 13) + 0x3800_0000
    };
    f32::from_bits(sign | magnitude)
}

/// `x` rounded to odd: the f32 equal to it, or of its two neighbours the one whose last bit is 1. Rounding
/// that to the nearest of a format at least two bits shorter everywhere, as f16 and bf16 are, rounds `x`
/// once (Boldo, Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding
/// to odd", IEEE Trans. Comput. 57, 2008).
pub fn f32_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() {
        return near;
    }
    // Of a sign and a magnitude: one less is the neighbour toward 0.
    let beyond = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(beyond)) | 1)
}

/// Bits of the bf16 nearest to `x`, ties to even.
#[inline(always)]
pub fn bf16_nearest(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & !SIGN > INFINITY {
        return ((bits >> 16) as u16 & 0x8000) | 0x7fc0;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Bits of a bf16 neighbour of `x`, by the 16 low bits of `random`. The dropped fraction f has 16
/// bits, and f + (2¹⁶ − 1 − r) carries exactly where r < f.
#[inline(always)]
pub fn bf16_stochastic(x: f32, random: u32) -> u16 {
    let bits = x.to_bits();
    if bits & !SIGN > INFINITY {
        return ((bits >> 16) as u16 & 0x8000) | 0x7fc0;
    }
    ((bits + (!random & 0xffff)) >> 16) as u16
}

/// The bf16 with these bits as an f32, exactly.
#[inline(always)]
pub fn bf16_unpack(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `x` rounded to an integer of magnitude at most `limit` (below 2²³): what lies beyond saturates,
/// NaN becomes 0. `random` is used by stochastic rounding only.
#[inline(always)]
pub fn integer(x: f32, rounding: Rounding, random: u32, limit: i32) -> i32 {
    let bits = x.to_bits();
    let a = f32::from_bits(bits & !SIGN).min(limit as f32);
    let whole = a.floor();
    let fraction = a - whole; // exact: both lie on a's grid
    let down = whole as i32;
    let up = match rounding {
        Rounding::Nearest => fraction > 0.5 || (fraction == 0.5 && down & 1 == 1),
        Rounding::Stochastic => (random & 0xffff) < (fraction * 65536.0) as u32,
    };
    let magnitude = down + i32::from(up);
    let signed = if bits & SIGN == 0 { magnitude } else { -magnitude };
    if bits & !SIGN > INFINITY { 0 } else { signed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::lanes::{WithLanes, on_each};
    use crate::number::philox::philox4x32;
    use half::{bf16, f16};
    use proptest::prelude::*;

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    /// The f16 pattern `p`, both its halfway points and their neighbours.
    fn around(p: u16) -> impl Iterator<Item = f32> {
        let x = f16::from_bits(p).to_f32();
        let next = f16::from_bits(p.wrapping_add(1)).to_f32();
        let mid = (f64::from(x) + f64::from(next)) / 2.0;
        [x, mid as f32, (mid as f32).next_up(), (mid as f32).next_down(), next].into_iter()
    }

    #[test]
    fn f16_nearest_agrees_with_half_around_every_pattern() {
        for p in 0..=u16::MAX {
            for x in around(p) {
                let expected = f16::from_f32(x).to_f32();
                assert!(same(f16_nearest(x), expected), "{x:e} ({:08x})", x.to_bits());
            }
        }
    }

    /// Sixteen numbers rounded to nearest, by the low and by the high half-word, and whether all
    /// are normal.
    #[derive(Clone)]
    struct Rounded([f32; LANES], [u32; LANES]);

    impl WithLanes for Rounded {
        type Output = ([[f32; LANES]; 3], bool);

        #[inline(always)]
        fn with_lanes<L: Lanes>(self, lanes: L) -> Self::Output {
            let (x, random) = (lanes.load_real(&self.0), lanes.load(&self.1));
            let mut f16 = NormalF16::new(lanes);
            let nearest = f16.nearest(x);
            let (low, high) = (f16.stochastic::<3>(x, random), f16.stochastic::<19>(x, random));
            let held = f16.held(NormalF16::first_lanes(lanes, LANES));
            ([nearest, low, high].map(|x| lanes.store_real(x)), held)
        }
    }

    /// Every f16, its halfway points, its ends and random numbers of every binade: either the
    /// vector is right in every bit, or it says that it need not be, and it says so only where a
    /// lane is outside.
    #[test]
    fn vectors_of_normal_f16_equal_the_definition_or_say_that_they_may_not() {
        let near: Vec<f32> = (0..=u16::MAX).flat_map(around).collect();
        let random = (0..1 << 16).map(|i| f32::from_bits(philox4x32([i, 0, 0, 0], [1, 2])[0]));
        let ends = [6.103_515_6e-5f32, 65_504.0].map(|x| [x.next_down(), x, x.next_up(), -x]);
        let numbers: Vec<f32> =
            near.into_iter().chain(random).chain(ends.into_iter().flatten()).collect();
        let mut all_held = 0;
        for (i, &x) in numbers.iter().enumerate() {
            let bits: [u32; 4] = philox4x32([i as u32, 1, 0, 0], [1, 2]);
            let random: [u32; LANES] = std::array::from_fn(|l| bits[l % 4].rotate_left(l as u32));
            // The number in all lanes, or in one beside 1.
            let xs = if i % 2 == 0 {
                [x; LANES]
            } else {
                std::array::from_fn(|l| if l == i % 16 { x } else { 1.0 })
            };
            let inside = (6.103_515_6e-5..65_504.0).contains(&x.abs());
            for (name, ([nearest, low, high], held)) in on_each(&Rounded(xs, random)) {
                assert_eq!(held, inside, "{name}: {x:e}");
                for l in 0..LANES {
                    let right = nearest[l].to_bits() == f16_nearest(xs[l]).to_bits()
                        && low[l].to_bits() == f16_stochastic(xs[l], random[l]).to_bits()
                        && high[l].to_bits() == f16_stochastic(xs[l], random[l] >> 16).to_bits();
                    assert!(right || !held, "{name}: {:e} in lane {l}", xs[l]);
                }
            }
            all_held += usize::from(inside);
        }
        assert!(all_held > numbers.len() / 2, "{all_held} of {}", numbers.len());
    }

    #[test]
    fn f16_patterns_survive_pack_and_unpack_and_stochastic_rounding() {
        for p in 0..=u16::MAX {
            let x = f16::from_bits(p).to_f32();
            assert!(same(f16_unpack(p, false), x), "{p:04x}");
            if !x.is_nan() {
                assert_eq!(f16_pack(x), p);
                for r in [0, 1, 0x7fff, 0xffff] {
                    assert!(same(f16_stochastic(x, r), x), "{p:04x} moved");
                }
            }
        }
        assert_eq!(f16_pack(f32::NAN) & 0x7fff, 0x7e00);
    }

    /// The middle of two neighbours goes to the even one, and what is a little to either side of it, by far
    /// less than an f32 shows, to its own: for every f16 and bf16.
    #[test]
    fn rounding_to_odd_first_rounds_once() {
        assert_eq!(f16_pack(f16_nearest(f32_odd(1.0 + 2f64.powi(-11) + 2f64.powi(-40)))), 0x3c01);
        let check = |low: f64, high: f64, low_is_even: bool, nearest: &dyn Fn(f32) -> f64| {
            let middle = (low + high) / 2.0; // exact
            for sign in [1.0, -1.0] {
                let rounded = |x: f64| sign * nearest(f32_odd(sign * x));
                assert_eq!(rounded(middle), if low_is_even { low } else { high }, "{middle:e}");
                assert_eq!(rounded(middle.next_down()), low, "below {middle:e}");
                assert_eq!(rounded(middle.next_up()), high, "above {middle:e}");
                assert_eq!(rounded(low), low);
            }
        };
        for bits in 0..0x7bff_u16 {
            let [low, high] = [bits, bits + 1].map(|bits| f64::from(f16_unpack(bits, false)));
            check(low, high, bits & 1 == 0, &|x| f16_nearest(x).into());
        }
        for bits in 0..0x7f7f_u16 {
            let [low, high] = [bits, bits + 1].map(|bits| f64::from(bf16_unpack(bits)));
            check(low, high, bits & 1 == 0, &|x| bf16_unpack(bf16_nearest(x)).into());
        }
    }

    #[test]
    fn what_an_f32_holds_is_not_rounded_to_odd() {
        for x in [0.0, -0.0, 1.0, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(2), f32::INFINITY] {
            assert!(same(f32_odd(x.into()), x), "{x:e}");
        }
        assert!(f32_odd(f64::NAN).is_nan());
        assert_eq!(f32_odd(-1e300), f32::MIN);
        assert_eq!(f32_odd(-1e-300).to_bits(), 0x8000_0001);
    }

    #[test]
    fn bf16_nearest_agrees_with_half_around_every_pattern() {
        for p in 0..=u16::MAX {
            let x = bf16::from_bits(p).to_f32();
            for x in [x, f32::from_bits(x.to_bits() | 0x8000), f32::from_bits(x.to_bits() | 0x8001)]
            {
                let expected = bf16::from_f32(x);
                let got = bf16_nearest(x);
                assert!(
                    got == expected.to_bits()
                        || (bf16::from_bits(got).is_nan() && expected.is_nan()),
                    "{x:e}"
                );
            }
        }
    }

    /// Going through all 65,536 random values, the number that round up is the dropped fraction
    /// cut to 16 bits: the convention itself, at normals, subnormals and far below.
    #[test]
    fn f16_stochastic_goes_up_as_often_as_the_fraction_says() {
        for x in [1.0003, -1.0007, 6.3e-5, 5.9e-5, -3.1e-6, 4.0e-8, 1.0e-8, 3.0e-10, 65_519.0] {
            let x: f32 = x;
            let low = {
                let n = f16::from_f32(x).to_f32();
                if n.abs() > x.abs() {
                    f16::from_bits(f16::from_f32(x).to_bits() - 1).to_f32()
                } else {
                    n
                }
            };
            let high = f16::from_bits(f16::from_f32(low).to_bits() + 1).to_f32();
            let ulp = if high.is_infinite() { 32.0 } else { f64::from(high.abs() - low.abs()) };
            let fraction = (f64::from(x.abs()) - f64::from(low.abs())) / ulp;
            let ups = (0..=0xffff).filter(|&r| same(f16_stochastic(x, r), high)).count();
            let downs = (0..=0xffff).filter(|&r| same(f16_stochastic(x, r), low)).count();
            assert_eq!(ups + downs, 65_536, "{x}");
            assert_eq!(ups, (fraction * 65_536.0).floor() as usize, "{x}");
        }
    }

    #[test]
    fn integers_saturate_and_exact_ones_never_move() {
        for (x, nearest) in [(0.5, 0), (1.5, 2), (2.5, 2), (-1.5, -2), (126.6, 127), (-300.0, -127)]
        {
            assert_eq!(integer(x, Rounding::Nearest, 0, 127), nearest, "{x}");
        }
        assert_eq!(integer(f32::NAN, Rounding::Nearest, 0, 127), 0);
        assert_eq!(integer(f32::NEG_INFINITY, Rounding::Stochastic, 0, 127), -127);
        for i in -127..=127 {
            for r in [0, 0x8000, 0xffff] {
                assert_eq!(integer(i as f32, Rounding::Stochastic, r, 127), i);
            }
        }
    }

    proptest! {
        #[test]
        fn f16_nearest_agrees_with_half(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assert!(same(f16_nearest(x), f16::from_f32(x).to_f32()));
        }

        #[test]
        fn f16_stochastic_is_a_neighbour(bits: u32, r: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(!x.is_nan());
            let y = f16_stochastic(x, r);
            prop_assert!(same(f16_nearest(y), y));
            if x.abs() < 65_504.0 {
                let nearest = f16::from_f32(x).to_f32();
                let gap = (f64::from(x) - f64::from(nearest)).abs();
                let step = (f64::from(y) - f64::from(x)).abs();
                prop_assert!(step + gap <= 2f64.powi(-24).max(f64::from(x).abs() * 2f64.powi(-10)));
            }
        }

        #[test]
        fn bf16_nearest_agrees_with_half_at_random(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(!x.is_nan());
            prop_assert_eq!(bf16_nearest(x), bf16::from_f32(x).to_bits());
        }

        #[test]
        fn integer_is_within_one_of_its_argument(x in -200.0f32..200.0, r: u32) {
            let q = integer(x, Rounding::Stochastic, r, 127);
            prop_assert!((q as f32 - x.clamp(-127.0, 127.0)).abs() < 1.0);
            let n = integer(x, Rounding::Nearest, r, 127);
            prop_assert!((n as f32 - x.clamp(-127.0, 127.0)).abs() <= 0.5);
        }
    }
}
