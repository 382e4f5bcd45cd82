//! The exponent with which an error grows: a straight line through the logarithms.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// error = scale · size^exponent, fitted by least squares to the logarithms of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// The exponent. Unit: 1.
    pub exponent: f64,
    /// Lower end of its 95 % confidence interval; −∞ for two points.
    pub ci95_low: f64,
    /// Upper end of its 95 % confidence interval; +∞ for two points.
    pub ci95_high: f64,
    /// The error at size 1. Unit: that of the errors.
    pub scale: f64,
    /// Points behind it.
    pub points: usize,
}

impl PowerLaw {
    /// Fits (size, error) pairs; those whose size or error is not positive and finite have no
    /// logarithm and are left out. `None` with fewer than two different sizes.
    ///
    /// The interval is that of Student's t with two degrees of freedom fewer than points: it holds where
    /// the logarithms of the errors scatter normally and alike around the line, which the few sizes of
    /// a run cannot show.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let usable = |x: f64| x.is_finite() && x > 0.0;
        let logs: Vec<(f64, f64)> = pairs
            .iter()
            .filter(|&&(size, error)| usable(size) && usable(error))
            .map(|&(size, error)| (size.ln(), error.ln()))
            .collect();
        let count = logs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
        let (x0, y0) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            logs.iter().map(|&(x, y)| of(x - x0, y - y0)).sum()
        };
        let spread = sum(&|x, _| x * x);
        if logs.len() < 2 || spread == 0.0 {
            return None;
        }
        let exponent = sum(&|x, y| x * y) / spread;
        let residuals = sum(&|x, y| (y - exponent * x).powi(2));
        let half_width = match StudentsT::new(0.0, 1.0, count - 2.0) {
            Ok(t) => t.inverse_cdf(0.975) * (residuals / (count - 2.0) / spread).sqrt(),
            Err(_) => f64::INFINITY, // no degree of freedom is left
        };
        Some(Self {
            exponent,
            ci95_low: exponent - half_width,
            ci95_high: exponent + half_width,
            scale: (y0 - exponent * x0).exp(),
            points: logs.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    use rand_philox::Philox;

    #[test]
    fn an_exact_power_is_found() {
        let pairs = [1.0, 2.0, 8.0, 64.0].map(|size: f64| (size, 3.0 * size.sqrt()));
        let law = PowerLaw::of(&pairs).unwrap();
        assert!((law.exponent - 0.5).abs() < 1e-14 && (law.scale - 3.0).abs() < 1e-13, "{law:?}");
        assert!(law.ci95_high - law.ci95_low < 1e-6, "{law:?}");
    }

    /// x = 0, 1, 2 and y = 0, 1, 1: slope ½, residual variance 1/6 over a spread of 2, and t at one
    /// degree of freedom is tan(0.475 π).
    #[test]
    fn the_interval_is_students() {
        let pairs = [(0, 0), (1, 1), (2, 1)].map(|(x, y)| (f64::from(x).exp(), f64::from(y).exp()));
        let law = PowerLaw::of(&pairs).unwrap();
        let half_width = (0.475 * std::f64::consts::PI).tan() * (1.0_f64 / 12.0).sqrt();
        assert!((law.exponent - 0.5).abs() < 1e-14, "{law:?}");
        assert!((law.ci95_high - 0.5 - half_width).abs() < 1e-6 * half_width, "{law:?}");
    }

    #[test]
    fn what_has_no_logarithm_is_left_out() {
        assert_eq!(PowerLaw::of(&[(1.0, 1.0), (2.0, 0.0)]), None);
        assert_eq!(PowerLaw::of(&[(4.0, 1.0), (4.0, 2.0)]), None, "one size");
        let law = PowerLaw::of(&[(1.0, 1.0), (2.0, f64::NAN), (4.0, 4.0)]).unwrap();
        assert_eq!((law.points, law.ci95_high), (2, f64::INFINITY));
        assert!((law.exponent - 1.0).abs() < 1e-14);
    }

    /// The interval holds the exponent in 95 % of trials, within 4 binomial standard deviations.
    #[test]
    fn the_interval_covers() {
        const TRIALS: u32 = 4000;
        let (mut random, mut held) = (Philox::seed_from_u64(5), 0);
        for _ in 0..TRIALS {
            let pairs: Vec<(f64, f64)> = (4..10)
                .map(|power| {
                    let noise: f64 = StandardNormal.sample(&mut random);
                    (f64::from(1 << power), f64::from(1 << power) * (0.1 * noise).exp())
                })
                .collect();
            let law = PowerLaw::of(&pairs).unwrap();
            held += u32::from(law.ci95_low <= 1.0 && law.ci95_high >= 1.0);
        }
        let deviation = (0.95 * 0.05 / f64::from(TRIALS)).sqrt();
        let share = f64::from(held) / f64::from(TRIALS);
        assert!((share - 0.95).abs() < 4.0 * deviation, "{share}");
    }
}
