//! Trials of a stochastic rounding: the same inputs under independent seeds.

use super::metrics::bias;
use crate::truth::matmul::MatmulTruth;

/// Errors over several trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trials {
    /// How many.
    pub count: u32,
    /// Root mean square of the relative Frobenius error of one.
    pub error: f64,
    /// Relative Frobenius error of the mean of their results: without bias, about `error` over the
    /// root of `count`, down to what does not depend on the seed.
    pub mean_error: f64,
    /// Mean of the signed bias of one, see [`bias`].
    pub bias: f64,
    /// Half the width of the 95 % confidence interval of `bias`: Student's t over the trials, which
    /// are independent whatever the entries of one are.
    pub bias_ci95_half_width: f64,
}

impl Trials {
    /// Of results that are computed one after the other: the rows `truth.rows` of Ĉ each. `None` for
    /// fewer than two.
    ///
    /// # Panics
    /// If a result has not as many entries as the truth.
    pub fn of(results: impl Iterator<Item = Vec<f32>>, truth: &MatmulTruth) -> Option<Self> {
        let mut mean = vec![0.0; truth.product.len()];
        let (mut squares, mut biases) = (0.0, vec![]);
        let size: f64 = truth.product.iter().map(|t| t * t).sum();
        for result in results {
            assert_eq!(result.len(), truth.product.len(), "entries of the computed rows");
            for ((sum, &c), &t) in mean.iter_mut().zip(&result).zip(&truth.product) {
                let error = f64::from(c) - t;
                *sum += error;
                squares += error * error;
            }
            biases.push(bias(&result, truth).0);
        }
        let count = biases.len() as f64;
        if biases.len() < 2 {
            return None;
        }
        let average = biases.iter().sum::<f64>() / count;
        let variance = biases.iter().map(|b| (b - average).powi(2)).sum::<f64>() / (count - 1.0);
        let of_mean: f64 = mean.iter().map(|sum| (sum / count).powi(2)).sum();
        Some(Self {
            count: biases.len() as u32,
            error: (squares / count / size).sqrt(),
            mean_error: (of_mean / size).sqrt(),
            bias: average,
            bias_ci95_half_width: t975(biases.len() - 1) * (variance / count).sqrt(),
        })
    }
}

/// 97.5 % quantile of Student's t distribution with `degrees` (at least 1) of freedom: a table up to
/// 30, then the expansion of Abramowitz and Stegun 26.7.5, whose error there is below 10⁻⁴.
fn t975(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010,
        2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739,
        2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
    ];
    if let Some(&t) = TABLE.get(degrees.saturating_sub(1)) {
        return t;
    }
    let (z, v) = (1.959_963_984_540_054_f64, degrees as f64);
    z + (z.powi(3) + z) / (4.0 * v)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::matrix::{Distribution, MatmulProblem};

    /// ∫ of t's density from the quantile on is 2.5 %: with x = √v·tan θ it is that of cos^(v−1) θ,
    /// here by Simpson's rule, over the same from −π/2 on.
    #[test]
    fn quantiles_leave_a_fortieth_on_each_side() {
        for degrees in (1..=40).chain([100, 1000]) {
            let density = |theta: f64| theta.cos().powi(degrees as i32 - 1);
            let integral = |from: f64, to: f64| {
                let h = (to - from) / 2000.0;
                let weight =
                    |x| if x == 0 || x == 2000 { 1.0 } else { 2.0 + 2.0 * f64::from(x % 2) };
                (0..=2000).map(|x| weight(x) * density(from + h * f64::from(x))).sum::<f64>() * h
                    / 3.0
            };
            let quarter = std::f64::consts::FRAC_PI_2;
            let from = (t975(degrees) / (degrees as f64).sqrt()).atan();
            let tail = integral(from, quarter) / integral(-quarter, quarter);
            assert!((tail - 0.025).abs() < 1e-5, "{degrees}: {tail}");
        }
    }

    #[test]
    fn by_hand() {
        let p = MatmulProblem::generate(Distribution::Normal, 1, 2, 1, 0).unwrap();
        let truth = MatmulTruth {
            product: vec![3.0, 4.0],
            abs_product: vec![10.0, 10.0],
            ..MatmulTruth::of(&p, None).unwrap()
        };
        let results = vec![vec![4.0, 4.0], vec![3.0, 3.0]];
        let trials = Trials::of(results.into_iter(), &truth).unwrap();
        assert_eq!((trials.count, trials.error), (2, 0.2));
        assert_eq!(trials.mean_error, 0.5f64.sqrt() / 5.0);
        // Biases 0.05 and −0.05: a standard deviation of 0.05·√2 over √2.
        assert!(trials.bias.abs() < 1e-17);
        assert!((trials.bias_ci95_half_width - 12.7062 * 0.05).abs() < 1e-12);
        assert_eq!(Trials::of([vec![3.0, 4.0]].into_iter(), &truth), None);
    }
}
