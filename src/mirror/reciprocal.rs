//! Mirror of `kernels/shared/reciprocal.wgsl`.

use crate::number::arithmetic::Ops;

/// 1/x for 2⁻¹⁰⁰ ≤ x ≤ 2¹⁰⁰, within 2 ULP fused and 3 ULP unfused (tested over a binade).
#[inline(always)]
pub fn reciprocal<O: Ops>(x: f32) -> f32 {
    let mut r = f32::from_bits(0x7ef3_11c7u32.wrapping_sub(x.to_bits()));
    for _ in 0..4 {
        let e = O::fma(-x, r, 1.0);
        r = O::fma(r, e, r);
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Model;

    fn worst_ulp<O: Ops>() -> f64 {
        let worst = (0..1 << 20).map(|i| {
            let x = f32::from_bits(0x3f80_0000 + (i << 3) + (i & 7));
            let exact = 1.0 / f64::from(x);
            let ulp = f64::from(2f32.powi(exact.log2().floor() as i32 - 23));
            (f64::from(reciprocal::<O>(x)) - exact).abs() / ulp
        });
        worst.fold(0.0, f64::max)
    }

    #[test]
    fn within_its_stated_error() {
        assert!(worst_ulp::<Model<true, false>>() <= 2.0);
        assert!(worst_ulp::<Model<false, false>>() <= 3.0);
    }

    #[test]
    fn scales_with_powers_of_two() {
        for e in -100..=100 {
            let r = reciprocal::<Model<true, false>>(1.5 * 2f32.powi(e));
            assert_eq!(r, reciprocal::<Model<true, false>>(1.5) * 2f32.powi(-e), "2^{e}");
        }
    }
}
