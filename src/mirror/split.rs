//! Mirror of the conversions to numbers of several parts, and the operands that are wider than f32.
//!
//! Operands wider than f32 are uploaded as they are: there is nothing to convert. An f32 becomes a pair
//! whose lower part is 0, or the f64 equal to it; numbers that were given in f64 are taken as they are, or
//! as the two f32 of [`f32_pair`]. Numbers of two f16 or three bf16 are made on the device of an f32, the
//! widest that every device has. Of a number that was given in f64 the host makes them, so that nothing is
//! rounded on the way: three bf16 hold 26 of its bits, two f16 22 or 23.

use rayon::prelude::*;

use super::convert::Operands;
use crate::number::arithmetic::Ops;
use crate::number::{Arithmetic, Format, Precision, round};
use crate::problem::layout::Stored;
use crate::problem::matrix::Matrix;
use crate::with_ops;

/// What the lower part of f16x2 is scaled by.
const F16_SPLIT: f32 = 2048.0;

/// Operands at one of [`Precision::WIDE`].
pub(super) fn operands(
    precision: Precision,
    arithmetic: Arithmetic,
    stored: &Stored<'_>,
) -> Operands {
    let Stored { layout, batch, ref a, ref b, ref given_f64 } = *stored;
    let [a_given, b_given] = match given_f64 {
        Some([a, b]) => [Some(&a[..]), Some(&b[..])],
        None => [None, None],
    };
    let flush = arithmetic.flush_f16_subnormals;
    let parts = |x: &Matrix, given: Option<&[f64]>| match (precision.storage(), given) {
        (Format::F32x2, Some(given)) => split(given, f32_pair),
        (Format::F16x2, Some(given)) => {
            split(given, |x| f16_pair_of_f64(x).map(|part| round::f16_unpack(part, flush)))
        }
        (Format::Bf16x3, Some(given)) => {
            split(given, |x| bf16_triple_of_f64(x).map(round::bf16_unpack))
        }
        (format, _) => parts(format, arithmetic, &x.data),
    };
    let wide = |x: &Matrix, given: Option<&[f64]>| match (precision.storage(), given) {
        (Format::F64, Some(given)) => given.to_vec(),
        (Format::F64, None) => x.data.iter().map(|&x| x.into()).collect(),
        _ => vec![],
    };
    let (mut lower_a, mut lower_b) = (parts(a, a_given), parts(b, b_given));
    Operands {
        m: stored.m(),
        n: stored.n(),
        k: stored.k(),
        layout,
        batch,
        a: lower_a.remove(0),
        b: lower_b.remove(0),
        step_a: vec![],
        step_b: vec![],
        scale_a: vec![],
        scale_b: vec![],
        rounding_bits: round::ROUNDING_BITS,
        lower_a,
        lower_b,
        a_f64: wide(a, a_given),
        b_f64: wide(b, b_given),
    }
}

/// The numbers part by part, the first first; one part where the format has no others.
fn parts(format: Format, arithmetic: Arithmetic, numbers: &[f32]) -> Vec<Vec<f32>> {
    match format {
        Format::F16x2 => {
            let flush = arithmetic.flush_f16_subnormals;
            with_ops!(arithmetic, O => split(numbers, |x| f16_pair::<O>(x, flush)))
        }
        Format::Bf16x3 => with_ops!(arithmetic, O => split(numbers, bf16_triple::<O>)),
        Format::F32x2 => vec![numbers.to_vec(), vec![0.0; numbers.len()]],
        _ => vec![numbers.to_vec()],
    }
}

/// x = hi + lo / 2048 as `number/convert_f16_split.wgsl` finds the two, as they are loaded again.
fn f16_pair<O: Ops>(x: f32, flush: bool) -> [f32; 2] {
    let hi = round::f16_nearest(x);
    let lo = round::f16_nearest(O::mul(O::add(x, -hi), F16_SPLIT));
    [hi, lo].map(|part| round::f16_unpack(round::f16_pack(part), flush))
}

/// x = x₀ + x₁ + x₂ as `number/convert_bf16_split.wgsl` finds the three.
fn bf16_triple<O: Ops>(x: f32) -> [f32; 3] {
    let (mut left, mut parts) = (x, [0.0; 3]);
    for part in &mut parts {
        *part = round::bf16_unpack(round::bf16_nearest(left));
        left = O::add(left, -*part);
    }
    parts
}

/// x = hi + lo of two f32 to nearest, x within f32's range: the difference is exact in f64, and what is
/// left is at most 2⁻⁴⁸|x| or, where lo is subnormal, 2⁻¹⁵⁰.
pub fn f32_pair(x: f64) -> [f32; 2] {
    let hi = x as f32;
    [hi, (x - f64::from(hi)) as f32]
}

/// Bits of the two f16 of x = hi + lo / 2048, each the nearest to x or to what is left of it: at most
/// 2⁻²³|x| is left or, where that is more (below 2⁻¹³, where lo may be subnormal), 2⁻³⁶. Differences are exact in f64.
pub(crate) fn f16_pair_of_f64(x: f64) -> [u16; 2] {
    let nearest = |x: f64| round::f16_nearest(round::f32_odd(x));
    let hi = nearest(x);
    let lo = nearest((x - f64::from(hi)) * f64::from(F16_SPLIT));
    [hi, lo].map(round::f16_pack)
}

/// Bits of the three bf16 of x = x₀ + x₁ + x₂, each the nearest to what those before it leave of x: at most
/// 2⁻²⁶|x| or, where x₂ is subnormal, half of 2⁻¹³³ is left. Differences are exact in f64.
pub(crate) fn bf16_triple_of_f64(x: f64) -> [u16; 3] {
    let mut left = x;
    [(); 3].map(|()| {
        let part = round::bf16_nearest(round::f32_odd(left));
        left -= f64::from(round::bf16_unpack(part));
        part
    })
}

fn split<T: Copy + Sync, const P: usize>(
    numbers: &[T],
    parts: impl Fn(T) -> [f32; P] + Sync,
) -> Vec<Vec<f32>> {
    let mut out = vec![vec![0.0; numbers.len()]; P];
    let all: Vec<[f32; P]> = numbers.par_iter().map(|&x| parts(x)).collect();
    for (p, out) in out.iter_mut().enumerate() {
        out.par_iter_mut().zip(&all).for_each(|(to, parts)| *to = parts[p]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Arithmetic =
        Arithmetic { fused_fma: false, flush_f32_subnormals: false, flush_f16_subnormals: false };

    fn parts_of(format: Format, x: f32) -> Vec<f64> {
        parts(format, PLAIN, &[x]).into_iter().map(|part| part[0].into()).collect()
    }

    proptest! {
        /// Three bf16 hold every f32 from 2^-110 on, and below it to half of 2^-133.
        #[test]
        fn triples_hold_24_bits(x in -1e38f32..1e38, exponent in -120i32..1) {
            let x = x * 2f32.powi(exponent);
            let left = f64::from(x) - parts_of(Format::Bf16x3, x).iter().sum::<f64>();
            let kept = x.abs() >= 2f32.powi(-110);
            prop_assert!(left.abs() <= if kept { 0.0 } else { 2f64.powi(-134) }, "{x}: {left}");
        }

        /// Pairs of f32 hold 48 bits, and below 2^-102 what multiples of 2^-149 hold; the upper part
        /// alone is the f32 that the other precisions take.
        #[test]
        fn f32_pairs_hold_48_bits(x in -3e38f64..3e38, exponent in -280i32..1) {
            let x = x * 2f64.powi(exponent);
            let [hi, lo] = f32_pair(x).map(f64::from);
            prop_assert_eq!(hi, f64::from(x as f32));
            let left = (x - hi) - lo;
            prop_assert!(left.abs() <= (x.abs() * 2f64.powi(-48)).max(2f64.powi(-150)), "{x:e}");
        }

        /// Three bf16 of an f64 hold 26 bits, two f16 23, whether it is an f32 or lies between two.
        #[test]
        fn parts_of_an_f64_hold_as_many_bits_as_they_have(
            x in -1.0f64..1.0, exponent in -120i32..16, extra in prop::bool::ANY,
        ) {
            let x = if extra { x } else { f64::from(x as f32) } * 2f64.powi(exponent);
            let parts = bf16_triple_of_f64(x).map(|part| f64::from(round::bf16_unpack(part)));
            let left = x - parts[0] - parts[1] - parts[2];
            prop_assert!(left.abs() <= (x.abs() * 2f64.powi(-26)).max(2f64.powi(-134)), "{x:e}");
            let [hi, lo] = f16_pair_of_f64(x).map(|part| f64::from(round::f16_unpack(part, false)));
            let left = x - hi - lo / 2048.0;
            let bound = (x.abs() * 2f64.powi(-23)).max(2f64.powi(-36));
            prop_assert!(hi.is_infinite() || left.abs() <= bound, "{x:e}: {left:e}");
        }

        /// Of an f32 the host makes the parts that a device makes.
        #[test]
        fn parts_of_an_f32_are_the_same_by_either_way(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(x.is_finite());
            let singles = |parts: Vec<f32>| parts.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let by_device = |format| parts(format, PLAIN, &[x]).into_iter().map(|part| part[0]);
            let triple = bf16_triple_of_f64(x.into()).map(round::bf16_unpack);
            let from_f32 = singles(by_device(Format::Bf16x3).collect());
            if triple.iter().all(|part| part.is_finite()) {
                prop_assert_eq!(singles(triple.into()), from_f32, "{:e}", x);
            }
            let pair = f16_pair_of_f64(x.into()).map(|part| round::f16_unpack(part, false));
            let from_f32 = singles(by_device(Format::F16x2).collect());
            prop_assert_eq!(singles(pair.into()), from_f32, "{:e}", x);
        }

        /// Pairs of f16 hold 22 bits from 2^-14 on, and below it to half of 2^-35.
        #[test]
        fn f16_pairs_hold_22_bits(x in -65_000f32..65_000.0, exponent in -40i32..1) {
            let x = x * 2f32.powi(exponent);
            let parts = parts_of(Format::F16x2, x);
            let left = f64::from(x) - (parts[0] + parts[1] / 2048.0);
            let bound = (f64::from(x).abs() * 2f64.powi(-22)).max(2f64.powi(-36));
            prop_assert!(left.abs() <= bound, "{x}: {left:e}");
        }
    }
}
