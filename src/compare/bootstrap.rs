//! Confidence intervals of a ratio of medians.

use crate::frontier::Interval;
use crate::number::philox::philox4x32;

/// Below so many samples of a median no interval of order statistics reaches 95 %, and no verdict
/// is given.
pub const LEAST_SAMPLES: usize = 6;

/// Below so many processes a side the interval of [`bootstrap_processes`] is too narrow: with 2 a
/// side, one side's are both the faster in a third of all orders. In simulations equal sides are
/// told apart in 32 % of cases with 2 processes a side, and in 10 % with 3 or 4.
pub const LEAST_PROCESSES: usize = 5;

/// Resamples behind a bootstrap interval: with one less than 10 000 the quantiles 2.5 % and 97.5 %
/// are themselves order statistics, the 250th and the 9750th (Davison and Hinkley 1997, 5.2).
pub const RESAMPLES: u32 = 9_999;

/// Percentile bootstrap, 95 %, of median(`b`) / median(`a`): each side is resampled on its own with
/// replacement. The random bits are Philox's under `key`, addressed by resample and side, so the
/// interval depends on nothing else. `None` with fewer than [`LEAST_SAMPLES`] on a side.
///
/// It takes samples for independent, and says nothing of what differs from one run to the next.
pub fn bootstrap(a: &[f64], b: &[f64], resamples: u32, key: [u32; 2]) -> Option<Interval> {
    if a.len() < LEAST_SAMPLES || b.len() < LEAST_SAMPLES || resamples < 39 {
        return None;
    }
    let (mut a, mut b) = (Resampler::new(a), Resampler::new(b));
    let ratios: Vec<f64> =
        (0..resamples).map(|r| b.median([r, 1], key) / a.median([r, 0], key)).collect();
    Some(percentiles(ratios))
}

/// Percentile bootstrap, 95 %, of the ratio of two medians where each side is the times of several
/// processes: each side's processes are resampled with replacement, then the samples within each
/// that was drawn, and every process has the same weight in the median (a two-stage bootstrap;
/// Davison and Hinkley 1997, 3.8). So what differs from one process to the next is in the interval.
/// `None` with fewer than [`LEAST_SAMPLES`] on a side, or a process without any.
pub fn bootstrap_processes(
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    resamples: u32,
    key: [u32; 2],
) -> Option<Interval> {
    let samples = |side: &[Vec<f64>]| side.iter().map(Vec::len).sum::<usize>();
    let empty = [a, b].into_iter().flatten().any(Vec::is_empty);
    if empty || samples(a).min(samples(b)) < LEAST_SAMPLES || resamples < 39 {
        return None;
    }
    let (mut a, mut b) = (Processes::new(a), Processes::new(b));
    let ratios: Vec<f64> =
        (0..resamples).map(|r| b.median([r, 1], key) / a.median([r, 0], key)).collect();
    Some(percentiles(ratios))
}

/// Percentile bootstrap, 95 %, of the median of `values`, resampled as in [`bootstrap`].
pub fn bootstrap_median(values: &[f64], resamples: u32, key: [u32; 2]) -> Option<Interval> {
    if values.len() < LEAST_SAMPLES || resamples < 39 {
        return None;
    }
    let mut resampler = Resampler::new(values);
    let medians: Vec<f64> = (0..resamples).map(|r| resampler.median([r, 0], key)).collect();
    Some(percentiles(medians))
}

/// [`bootstrap_median`] of values that several processes gave, resampled as in
/// [`bootstrap_processes`].
pub fn bootstrap_median_processes(
    values: &[Vec<f64>],
    resamples: u32,
    key: [u32; 2],
) -> Option<Interval> {
    let count: usize = values.iter().map(Vec::len).sum();
    if values.iter().any(Vec::is_empty) || count < LEAST_SAMPLES || resamples < 39 {
        return None;
    }
    let mut processes = Processes::new(values);
    let medians: Vec<f64> = (0..resamples).map(|r| processes.median([r, 0], key)).collect();
    Some(percentiles(medians))
}

/// The 2.5 % and 97.5 % order statistics of at least 39 resampled values.
fn percentiles(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    let rank = ((values.len() + 1) as f64 * 0.025) as usize;
    Interval { low: values[rank - 1], high: values[values.len() - rank] }
}

/// From the 95 % intervals of the two medians: the ratio is within if each median is within its
/// own. That holds with at least 90 % whatever the distributions, and for two intervals of like
/// width with more than 95 %.
pub fn from_medians(a: Interval, b: Interval) -> Interval {
    Interval { low: b.low / a.high, high: b.high / a.low }
}

/// Medians of resamples of sorted values.
struct Resampler {
    sorted: Vec<f64>,
    /// How often each value is in the resample.
    counts: Vec<u32>,
}

impl Resampler {
    fn new(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { counts: vec![0; sorted.len()], sorted }
    }

    /// Median of a resample: the mean of the two middle values where their number is even.
    fn median(&mut self, [resample, side]: [u32; 2], key: [u32; 2]) -> f64 {
        let n = self.sorted.len();
        self.counts.fill(0);
        for first in (0..n).step_by(4) {
            let words = philox4x32([(first / 4) as u32, resample, side, 0], key);
            for word in &words[..(n - first).min(4)] {
                // Within n / 2³² of uniform.
                self.counts[((u64::from(*word) * n as u64) >> 32) as usize] += 1;
            }
        }
        0.5 * (self.order_statistic((n - 1) / 2) + self.order_statistic(n / 2))
    }

    /// The value at `rank`, from 0, of the resample.
    fn order_statistic(&self, rank: usize) -> f64 {
        let mut below = 0;
        let at = self.counts.iter().position(|&count| {
            below += count as usize;
            below > rank
        });
        // The counts add up to n, which is more than any rank.
        self.sorted[at.unwrap_or(self.sorted.len() - 1)]
    }
}

/// Medians of two-stage resamples.
struct Processes {
    /// All times, sorted.
    sorted: Vec<f64>,
    /// Of each process, where its times are among these.
    places: Vec<Vec<usize>>,
    /// The weight of each time in the resample.
    weights: Vec<f64>,
}

impl Processes {
    fn new(times: &[Vec<f64>]) -> Self {
        let of = |(process, times): (usize, &Vec<f64>)| {
            times.iter().map(|&time| (time, process)).collect::<Vec<_>>()
        };
        let mut all: Vec<(f64, usize)> = times.iter().enumerate().flat_map(of).collect();
        all.sort_by(|x, y| x.0.total_cmp(&y.0));
        let mut places = vec![vec![]; times.len()];
        all.iter().enumerate().for_each(|(place, (_, process))| places[*process].push(place));
        let sorted: Vec<f64> = all.into_iter().map(|(time, _)| time).collect();
        Self { weights: vec![0.0; sorted.len()], sorted, places }
    }

    fn median(&mut self, [resample, side]: [u32; 2], key: [u32; 2]) -> f64 {
        let (mut drawn, mut words) = (0_u32, [0; 4]);
        let mut below = |n: usize| {
            if drawn.is_multiple_of(4) {
                words = philox4x32([drawn / 4, resample, side, 1], key);
            }
            drawn += 1;
            // Within n / 2³² of uniform.
            ((u64::from(words[(drawn as usize - 1) % 4]) * n as u64) >> 32) as usize
        };
        self.weights.fill(0.0);
        for _ in 0..self.places.len() {
            let places = &self.places[below(self.places.len())];
            for _ in 0..places.len() {
                self.weights[places[below(places.len())]] += 1.0 / places.len() as f64;
            }
        }
        self.weighted_median()
    }

    /// The mean of the two times between which half of the weight is passed; their own where it is
    /// passed at one.
    fn weighted_median(&self) -> f64 {
        let half = 0.5 * self.places.len() as f64;
        // Sums of 1 / n are rounded, by far less than the least weight.
        let slack = 1e-9 * half;
        let at = |least: f64| {
            let mut sum = 0.0;
            let passed = self.weights.iter().position(|weight| {
                sum += weight;
                sum > least
            });
            self.sorted[passed.unwrap_or(self.sorted.len() - 1)]
        };
        0.5 * (at(half - slack) + at(half + slack))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every resample of equal values is the sample.
    #[test]
    fn constant_times_have_one_ratio() {
        let interval = bootstrap(&[2.0; 7], &[3.0; 12], 999, [1, 2]);
        assert_eq!(interval, Some(Interval::exactly(1.5)));
    }

    #[test]
    fn few_samples_have_no_interval() {
        assert_eq!(bootstrap(&[1.0; 5], &[1.0; 50], RESAMPLES, [0; 2]), None);
        assert_eq!(bootstrap(&[1.0; 50], &[1.0; 5], RESAMPLES, [0; 2]), None);
        assert_eq!(bootstrap(&[1.0; 6], &[1.0; 6], 38, [0; 2]), None, "no rank is 2.5 %");
        assert!(bootstrap(&[1.0; 6], &[1.0; 6], 39, [0; 2]).is_some());
    }

    /// Of n = 3 values, the 27 resamples have median x₁ in 7, x₂ in 13, x₃ in 7 cases.
    #[test]
    fn medians_of_resamples_have_their_distribution() {
        let mut resampler = Resampler::new(&[30.0, 10.0, 20.0]);
        let trials = 27_000;
        let mut hits = [0_f64; 3];
        for resample in 0..trials {
            let median = resampler.median([resample, 0], [7, 7]);
            hits[(median / 10.0) as usize - 1] += 1.0;
        }
        for (got, ways) in hits.into_iter().zip([7.0, 13.0, 7.0]) {
            let p: f64 = ways / 27.0;
            let expected = f64::from(trials) * p;
            let deviation = (expected * (1.0 - p)).sqrt();
            assert!((got - expected).abs() < 4.0 * deviation, "{hits:?}");
        }
    }

    #[test]
    fn an_even_resample_has_the_mean_of_its_middle() {
        let mut resampler = Resampler::new(&[1.0, 2.0, 4.0, 8.0]);
        resampler.counts = vec![1, 1, 1, 1];
        assert_eq!((resampler.order_statistic(1), resampler.order_statistic(2)), (2.0, 4.0));
        resampler.counts = vec![0, 0, 4, 0];
        assert_eq!((resampler.order_statistic(0), resampler.order_statistic(3)), (4.0, 4.0));
    }

    #[test]
    fn processes_weigh_alike() {
        let mut side = Processes::new(&[vec![1.0], vec![4.0, 2.0, 3.0]]);
        assert_eq!(side.places, [vec![0], vec![1, 2, 3]]);
        let third = 1.0 / 3.0;
        side.weights = vec![1.0, third, third, third];
        assert_eq!(side.weighted_median(), 1.5, "half of the weight is at 1, half from 2 on");
        side.weights = vec![0.0, third + third, third + third, third + third];
        assert_eq!(side.weighted_median(), 3.0);
        let interval =
            bootstrap_processes(&[vec![2.0; 6]], &[vec![3.0], vec![3.0; 5]], 999, [1, 2]);
        assert_eq!(interval, Some(Interval::exactly(1.5)));
        let few = bootstrap_processes(&[vec![2.0; 6]], &[vec![3.0; 6], vec![]], 999, [1, 2]);
        assert_eq!(few, None);
    }

    #[test]
    fn of_two_intervals() {
        let (a, b) = (Interval { low: 2.0, high: 4.0 }, Interval { low: 3.0, high: 8.0 });
        assert_eq!(from_medians(a, b), Interval { low: 0.75, high: 4.0 });
    }
}
