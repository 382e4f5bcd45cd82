//! Sums of models as `kernels/sgd/apply_averaged.wgsl` keeps them: unevaluated pairs of f32.

use crate::number::arithmetic::{Ops, two_sum};

/// A sum for each coordinate, its upper part the rounded sum and its lower what that leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    upper: Vec<f32>,
    lower: Vec<f32>,
}

impl Sums {
    /// Of so many coordinates.
    pub fn zero(coordinates: usize) -> Self {
        Self { upper: vec![0.0; coordinates], lower: vec![0.0; coordinates] }
    }

    /// From the numbers of a device's buffer: the upper parts, then the lower ones.
    pub fn from_parts(parts: &[f32]) -> Self {
        let (upper, lower) = parts.split_at(parts.len() / 2);
        Self { upper: upper.to_vec(), lower: lower.to_vec() }
    }

    /// Upper and lower parts.
    pub fn parts(&mut self) -> [&mut [f32]; 2] {
        [&mut self.upper, &mut self.lower]
    }

    /// The upper parts, then the lower ones.
    pub fn numbers(&self) -> Vec<f32> {
        [&self.upper[..], &self.lower].concat()
    }

    /// The sums, in f64: exact but for pairs whose parts are over 2²⁹ apart.
    pub fn values(&self) -> Vec<f64> {
        let pairs = self.upper.iter().zip(&self.lower);
        pairs.map(|(&upper, &lower)| f64::from(upper) + f64::from(lower)).collect()
    }

    /// Sets all to zero.
    pub fn clear(&mut self) {
        self.upper.fill(0.0);
        self.lower.fill(0.0);
    }
}

/// Adds `weights` to the sums. Where nothing is subnormal, each addition loses at most u² (|sum before| +
/// |sum after|), u = 2⁻²⁴, to first order: only the sum of two lower parts is rounded.
#[inline(always)]
pub(super) fn add<O: Ops>(upper: &mut [f32], lower: &mut [f32], weights: &[f32]) {
    for ((upper, lower), &w) in upper.iter_mut().zip(lower).zip(weights) {
        let [sum, error] = two_sum::<O>(*upper, w);
        [*upper, *lower] = two_sum::<O>(sum, O::add(*lower, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Model;

    /// Whole numbers are summed exactly, fused or not; others within T·2u² of the sum of their
    /// magnitudes, of which twice is allowed for what the first order leaves out.
    #[test]
    fn sums_keep_twice_the_digits() {
        fn check<O: Ops>() {
            let mut sums = Sums::zero(2);
            let (mut whole, mut exact, mut magnitudes) = (0i64, 0.0, 0.0);
            for i in 0..20_000u32 {
                let q = (i.wrapping_mul(2_654_435_761) >> 16) as i32 - 32_768;
                let x = q as f32 * 1.234_567e-3;
                let [upper, lower] = sums.parts();
                add::<O>(upper, lower, &[q as f32, x]);
                whole += i64::from(q);
                // 2⁻⁵³ of sums below 2¹⁰ is nothing beside the bound.
                exact += f64::from(x);
                magnitudes += f64::from(x).abs();
            }
            let [a, b] = sums.values()[..] else { panic!("two sums") };
            assert_eq!(a, whole as f64);
            let bound = 4.0 * 20_000.0 * 2f64.powi(-48) * magnitudes;
            assert!((b - exact).abs() <= bound, "{b} is not {exact} within {bound:e}");
            assert!(bound < 1e-9 * magnitudes && b != f64::from(b as f32));
        }
        check::<Model<false, false>>();
        check::<Model<true, false>>();
    }
}
