//! Scales shared by blocks of 32 numbers along k: powers of two of the Microscaling formats (OCP MX
//! 1.0, 2023) and the f32 steps of int4. What `kernels/number/scale_*.wgsl` do.

use super::Format;

/// Numbers along k that share a scale.
pub const BLOCK: usize = 32;

/// Largest magnitude of an element of int4: symmetric, so −8 is never made.
pub const INT4_LIMIT: i32 = 7;

/// Largest magnitude of an element of mxint8: symmetric too, as the specification allows.
pub const MXINT8_LIMIT: i32 = 127;

/// The least E8M0 code made, 2⁻¹⁰⁰: so no scaled sum of a block is an f32 subnormal, which a device
/// may flush. The specification's least, 2⁻¹²⁷, is one itself.
const LEAST_CODE: u32 = 27;

/// The E8M0 code (exponent + 127) of a block whose largest magnitude has these f32 bits: the largest
/// power of two not over it, divided by the largest power of two that an element holds, which is 2⁸
/// in E4M3 and 2⁰ in int8 (OCP MX 1.0, §6.3). At least 27, at most 254, the codes of 2⁻¹⁰⁰ and 2¹²⁷.
#[inline(always)]
pub fn e8m0_code(format: Format, max_bits: u32) -> u32 {
    let largest_power = if format == Format::MxFp8 { 8 } else { 0 };
    (max_bits >> 23).saturating_sub(largest_power).clamp(LEAST_CODE, 254)
}

/// How a block is scaled: numbers times `inverse` are rounded to elements, elements times `step` are
/// what the block stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockScale {
    /// Value of an element 1: E4M3's 1, or an integer's.
    pub step: f32,
    /// Its reciprocal, exact where it is a power of two.
    pub inverse: f32,
}

impl BlockScale {
    /// Of a power of two: the block of a Microscaling format with this E8M0 code. An element of
    /// mxint8 is an integer times 2⁻⁶.
    #[inline(always)]
    pub fn power_of_two(format: Format, code: u32) -> Self {
        let implied = if format == Format::MxInt8 { 6 } else { 0 };
        Self {
            step: f32::from_bits((code - implied) << 23),
            inverse: f32::from_bits((254 + implied - code) << 23),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The largest number of a block lies in the upper binade of the element format.
        #[test]
        fn the_largest_magnitude_is_in_the_last_binade(max in 2f32.powi(-91)..f32::MAX) {
            for (format, binade) in [(Format::MxFp8, 256.0), (Format::MxInt8, 64.0)] {
                let code = e8m0_code(format, max.to_bits());
                let scale = BlockScale::power_of_two(format, code);
                let scaled = f64::from(max) / f64::from(scale.step);
                prop_assert!((binade..2.0 * binade).contains(&scaled), "{max:e}: {scaled}");
                prop_assert_eq!(f64::from(max) * f64::from(scale.inverse), scaled);
            }
        }
    }

    #[test]
    fn the_least_scale_serves_all_that_is_smaller() {
        for max in [0.0, f32::from_bits(1), 1e-40, 2f32.powi(-101)] {
            assert_eq!(e8m0_code(Format::MxFp8, max.to_bits()), 27);
            assert_eq!(e8m0_code(Format::MxInt8, max.to_bits()), 27);
        }
        assert_eq!(e8m0_code(Format::MxInt8, f32::MAX.to_bits()), 254);
    }
}
