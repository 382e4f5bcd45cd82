//! Means over independent trials, with their intervals.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{FALSE_ALARM, ROWS};

/// A mean of independent trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub mean: f64,
    /// Student's 95 % confidence interval.
    pub ci95: [f64; 2],
    /// That of 1 − [`FALSE_ALARM`]/[`ROWS`].
    pub deciding: [f64; 2],
    pub trials: usize,
}

impl Estimate {
    /// Of at least two trials; of fewer, the intervals are infinite.
    pub fn of(trials: &[f64]) -> Self {
        let count = trials.len() as f64;
        let mean = trials.iter().sum::<f64>() / count;
        let variance = trials.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        let interval = |outside: f64| {
            let half_width = match StudentsT::new(0.0, 1.0, count - 1.0) {
                Ok(t) => t.inverse_cdf(1.0 - outside / 2.0) * error,
                Err(_) => f64::INFINITY, // no degree of freedom
            };
            [mean - half_width, mean + half_width]
        };
        let deciding = interval(FALSE_ALARM / ROWS as f64);
        Self { mean, ci95: interval(0.05), deciding, trials: trials.len() }
    }

    /// Of trials that each have a prediction of their own: the mean prediction, and an estimate whose
    /// intervals are those of the mean difference. What both have in common cancels.
    pub fn paired(trials: &[(f64, f64)]) -> (f64, Self) {
        let predicted = trials.iter().map(|(_, predicted)| predicted).sum::<f64>();
        let predicted = predicted / trials.len() as f64;
        let differences: Vec<f64> = trials.iter().map(|(measured, by)| measured - by).collect();
        (predicted, Self::of(&differences).map(|difference| predicted + difference))
    }

    /// The estimate of a monotone function of the mean.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let ends = |[low, high]: [f64; 2]| {
            let (a, b) = (f(low), f(high));
            [a.min(b), a.max(b)]
        };
        let (ci95, deciding) = (ends(self.ci95), ends(self.deciding));
        Self { mean: f(self.mean), ci95, deciding, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, 2, 3: a mean of 2 with a standard error of 1/√3, and t of two degrees of freedom, whose
    /// quantile at p is (2p − 1)·√2/√(1 − (2p − 1)²).
    #[test]
    fn intervals_are_students() {
        let found = Estimate::of(&[1.0, 2.0, 3.0]);
        let half_width = |outside: f64| {
            let inside = 1.0 - outside;
            inside * 2f64.sqrt() / (1.0 - inside * inside).sqrt() / 3f64.sqrt()
        };
        assert_eq!((found.mean, found.trials), (2.0, 3));
        let near = |x: f64, y: f64| (x - y).abs() < 1e-6 * y.abs();
        assert!(near(found.ci95[1] - 2.0, half_width(0.05)), "{found:?}");
        assert!(near(2.0 - found.deciding[0], half_width(FALSE_ALARM / ROWS as f64)), "{found:?}");
        assert!(
            Estimate::of(&[1.0]).ci95[1].is_nan() || Estimate::of(&[1.0]).ci95[1].is_infinite()
        );
    }

    #[test]
    fn pairs_cancel_what_they_share() {
        let (predicted, found) = Estimate::paired(&[(1.5, 1.0), (10.5, 10.0), (100.5, 100.0)]);
        assert_eq!((predicted, found.mean), (37.0, 37.5));
        assert_eq!(found.ci95, [37.5, 37.5]);
        assert_eq!(found.map(|x| -x).mean, -37.5);
        let (_, wide) = Estimate::paired(&[(1.0, 0.0), (3.0, 0.0)]);
        let inverse = wide.map(|x| -x);
        assert_eq!(inverse.ci95, [-wide.ci95[1], -wide.ci95[0]]);
    }
}
