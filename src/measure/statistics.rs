//! Statistics of timing samples. Each is defined so that a reader of `samples.csv` can recompute
//! it: nothing is resampled, weighted or left out.
//!
//! - A sample's time is its elapsed time over its number of iterations.
//! - Quartiles and median are of type 7 of Hyndman and Fan (1996), the default of R and NumPy:
//!   of n sorted values x₀ … xₙ₋₁, quantile p lies at position h = p·(n − 1), linearly between its
//!   neighbours.
//! - MAD is the median of |x − median|, unscaled (not multiplied by 1.4826).
//! - The interval for the median is [x₍ᵣ₎, x₍ₙ₊₁₋ᵣ₎] of the sorted values, counted from 1, with
//!   the largest r whose coverage 1 − 2·P(Binomial(n, ½) ≤ r − 1) is at least 95 %. It holds for
//!   independent samples of any continuous distribution. Below 6 samples no r reaches 95 %: the
//!   interval is then [min, max], and [`Summary::median_ci_coverage`] says how little it covers.

/// Times of one iteration, in nanoseconds. The module's head defines each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of samples.
    pub samples: usize,
    /// Smallest.
    pub min_ns: f64,
    /// First quartile.
    pub q1_ns: f64,
    /// Median.
    pub median_ns: f64,
    /// Third quartile.
    pub q3_ns: f64,
    /// Median absolute deviation from the median, unscaled.
    pub mad_ns: f64,
    /// Lower end of the 95 % confidence interval of the median.
    pub median_ci95_low_ns: f64,
    /// Upper end of the 95 % confidence interval of the median.
    pub median_ci95_high_ns: f64,
    /// Probability with which that interval holds the median: at least 0.95 from 6 samples on,
    /// 1 − 2¹⁻ⁿ with fewer.
    pub median_ci_coverage: f64,
}

/// Why samples have no summary.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    /// There are none.
    #[error("no timing samples; a measurement needs at least one")]
    NoSamples,
    /// A sample of no iterations.
    #[error("timing sample {index} has 0 iterations; each needs at least 1")]
    NoIterations {
        /// Position of the sample, from 0.
        index: usize,
    },
    /// A time that is negative or not a number.
    #[error("timing sample {index} took {elapsed_ns} ns; a time is finite and at least 0")]
    BadTime {
        /// Position of the sample, from 0.
        index: usize,
        /// What it says.
        elapsed_ns: f64,
    },
}

impl Summary {
    /// Summary of samples (iterations, elapsed nanoseconds of all of them), in any order.
    ///
    /// # Errors
    /// [`StatisticsError`] if there are none, or one has no iterations or no valid time.
    pub fn of(samples: impl IntoIterator<Item = (u64, f64)>) -> Result<Self, StatisticsError> {
        let mut times = samples
            .into_iter()
            .enumerate()
            .map(|(index, (iterations, elapsed_ns))| match iterations {
                0 => Err(StatisticsError::NoIterations { index }),
                _ if !elapsed_ns.is_finite() || elapsed_ns < 0.0 => {
                    Err(StatisticsError::BadTime { index, elapsed_ns })
                }
                _ => Ok(elapsed_ns / iterations as f64),
            })
            .collect::<Result<Vec<f64>, _>>()?;
        if times.is_empty() {
            return Err(StatisticsError::NoSamples);
        }
        times.sort_by(f64::total_cmp);
        let median_ns = quantile(&times, 0.5);
        let mut deviations: Vec<f64> = times.iter().map(|t| (t - median_ns).abs()).collect();
        deviations.sort_by(f64::total_cmp);
        let (rank, median_ci_coverage) = median_interval(times.len());
        Ok(Self {
            samples: times.len(),
            min_ns: times[0],
            q1_ns: quantile(&times, 0.25),
            median_ns,
            q3_ns: quantile(&times, 0.75),
            mad_ns: quantile(&deviations, 0.5),
            median_ci95_low_ns: times[rank - 1],
            median_ci95_high_ns: times[times.len() - rank],
            median_ci_coverage,
        })
    }

    /// Width of the median's confidence interval over the median; infinite where the median is 0 or
    /// there are too few samples for 95 %. Unit: 1.
    pub fn relative_interval(&self) -> f64 {
        if self.median_ci_coverage < 0.95 || self.median_ns <= 0.0 {
            return f64::INFINITY;
        }
        (self.median_ci95_high_ns - self.median_ci95_low_ns) / self.median_ns
    }
}

/// Quantile `p` of sorted values, type 7. Linear between neighbours, and exact where they agree.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// Rank r (from 1) of the lower end of the median's interval among `n >= 1` samples, and its
/// coverage.
fn median_interval(n: usize) -> (usize, f64) {
    // Binomial coefficients as multiples of the central one, so that none overflows.
    let middle = n / 2;
    let mut weights = vec![1.0; middle + 1];
    for i in (0..middle).rev() {
        weights[i] = weights[i + 1] * (i + 1) as f64 / (n - i) as f64;
    }
    let half: f64 = weights.iter().sum();
    let total = if n % 2 == 1 { 2.0 * half } else { 2.0 * half - 1.0 };
    let mut outside = 2.0 * weights[0] / total;
    let (mut rank, mut coverage) = (1, 1.0 - outside);
    while rank < middle {
        outside += 2.0 * weights[rank] / total;
        if outside > 0.05 {
            break;
        }
        rank += 1;
        coverage = 1.0 - outside;
    }
    (rank, coverage.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn singles(times: &[f64]) -> Summary {
        Summary::of(times.iter().map(|&t| (1, t))).unwrap()
    }

    /// R: `quantile(c(1,2,4,8,16,32,64,128,256,512))`, `mad(.., constant = 1)`.
    #[test]
    fn ten_powers_of_two() {
        let times: Vec<f64> = (0..10).rev().map(|e| 2f64.powi(e)).collect();
        let expected = Summary {
            samples: 10,
            min_ns: 1.0,
            q1_ns: 5.0,
            median_ns: 24.0,
            q3_ns: 112.0,
            mad_ns: 22.5,
            median_ci95_low_ns: 2.0,
            median_ci95_high_ns: 256.0,
            median_ci_coverage: 1.0 - 22.0 / 1024.0,
        };
        let got = singles(&times);
        assert!((got.median_ci_coverage - expected.median_ci_coverage).abs() < 1e-15);
        assert_eq!(Summary { median_ci_coverage: expected.median_ci_coverage, ..got }, expected);
    }

    #[test]
    fn the_interval_is_over_the_median() {
        assert_eq!(singles(&[1.0, 2.0, 3.0, 5.0, 6.0, 9.0]).relative_interval(), 2.0);
        assert_eq!(singles(&[2.0; 5]).relative_interval(), f64::INFINITY, "93.75 %");
        assert_eq!(singles(&[0.0; 9]).relative_interval(), f64::INFINITY);
    }

    #[test]
    fn times_are_per_iteration() {
        let got = Summary::of([(1, 10.0), (2, 22.0), (4, 48.0)]).unwrap();
        assert_eq!((got.min_ns, got.median_ns, got.mad_ns), (10.0, 11.0, 1.0));
    }

    /// Ranks from the usual tables of the sign test (Conover; Hollander & Wolfe).
    #[test]
    fn ranks_and_coverages_of_the_median() {
        for (n, rank, coverage) in [
            (5, 1, 0.9375),
            (6, 1, 0.96875),
            (8, 1, 0.992_187_5),
            (9, 2, 0.960_937_5),
            (20, 6, 0.958_610_5),
            (30, 10, 0.957_226),
            (50, 18, 0.967_161),
            (100, 40, 0.964_800),
        ] {
            let (got_rank, got_coverage) = median_interval(n);
            assert_eq!(got_rank, rank, "n = {n}");
            assert!((got_coverage - coverage).abs() < 1e-6, "n = {n}: {got_coverage}");
        }
    }

    /// No overflow, and the normal approximation r ≈ n/2 − 0.98·√n holds.
    #[test]
    fn many_samples() {
        let (rank, coverage) = median_interval(100_000);
        assert!((50_000.0 - 0.979_98 * 100_000f64.sqrt() - rank as f64).abs() < 2.0, "{rank}");
        assert!((0.95..0.952).contains(&coverage), "{coverage}");
    }

    #[test]
    fn few_samples_give_their_range_and_its_coverage() {
        for (n, coverage) in [(1, 0.0), (2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375)] {
            let times: Vec<f64> = (1..=n).map(f64::from).collect();
            let got = singles(&times);
            assert_eq!((got.median_ci95_low_ns, got.median_ci95_high_ns), (1.0, f64::from(n)));
            assert_eq!(got.median_ci_coverage, coverage);
        }
    }

    #[test]
    fn bad_samples_are_named() {
        assert_eq!(Summary::of([]), Err(StatisticsError::NoSamples));
        assert_eq!(
            Summary::of([(1, 1.0), (0, 1.0)]),
            Err(StatisticsError::NoIterations { index: 1 })
        );
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let error = Summary::of([(1, bad)]).unwrap_err();
            assert!(matches!(error, StatisticsError::BadTime { index: 0, .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn ordered_and_independent_of_order(mut times in prop::collection::vec(0.0f64..1e9, 1..60)) {
            let a = singles(&times);
            times.reverse();
            prop_assert_eq!(singles(&times), a);
            let order = [a.min_ns, a.q1_ns, a.median_ns, a.q3_ns];
            prop_assert!(order.is_sorted());
            prop_assert!(a.median_ci95_low_ns <= a.median_ns);
            prop_assert!(a.median_ns <= a.median_ci95_high_ns);
            prop_assert!(a.samples < 6 || a.median_ci_coverage >= 0.95);
        }
    }
}
