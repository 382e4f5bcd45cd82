//! Intervals of a ratio of medians against what theory says of them.

use tradeoff::compare::{RESAMPLES, bootstrap, bootstrap_processes, from_medians};
use tradeoff::frontier::Interval;
use tradeoff::measure::statistics::Summary;
use tradeoff::number::philox::philox4x32;

/// P(Binomial(n, p) ≥ least).
fn binomial_tail(n: u32, p: f64, least: u32) -> f64 {
    let coefficient = |k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
    let term = |k: u32| coefficient(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32);
    (least..=n).map(term).sum()
}

/// With one side constant the bootstrap has a closed form: of n = 2h + 1 values, a resample's median
/// is at most the k-th if at least h + 1 of its n draws are, so the interval's ends are the order
/// statistics at which that probability passes 2.5 % and 97.5 %.
#[test]
fn a_bootstrap_interval_is_the_one_of_theory() {
    for n in [11_u32, 29, 69] {
        let at_most = |k: u32| binomial_tail(n, f64::from(k) / f64::from(n), n / 2 + 1);
        let rank = (1..=n).find(|&k| at_most(k) > 0.025).unwrap();
        // Enough resamples that chance does not move the rank: 4 standard deviations.
        let deviation = (0.025 * 0.975 / f64::from(RESAMPLES)).sqrt();
        for k in [rank - 1, rank] {
            assert!((at_most(k) - 0.025).abs() > 4.0 * deviation, "choose another n than {n}");
        }
        let values: Vec<f64> = (1..=n).map(|k| f64::from(k * k)).collect();
        let order = |k: u32| f64::from(k * k);
        let got = bootstrap(&[2.0; 6], &values, RESAMPLES, [1, n]);
        let expected = Interval { low: order(rank) / 2.0, high: order(n + 1 - rank) / 2.0 };
        assert_eq!(got, Some(expected), "n = {n}");
        let got = bootstrap(&values, &[2.0; 6], RESAMPLES, [2, n]);
        let expected = Interval { low: 2.0 / order(n + 1 - rank), high: 2.0 / order(rank) };
        assert_eq!(got, Some(expected), "n = {n}");
    }
}

/// Times of a skewed distribution, 1 + an exponential of mean 0.2, on one side of a simulation.
pub fn skewed(n: u32, simulation: u32, side: u32) -> Vec<f64> {
    let uniform = |i| f64::from(philox4x32([i, simulation, side, 0], [9, n])[0]) + 0.5;
    (0..n).map(|i| 1.0 - 0.2 * (uniform(i) / 2_f64.powi(32)).ln()).collect()
}

/// How often intervals hold the known ratio of two medians.
fn coverage(n: u32, simulations: u32, interval: impl Fn(&[f64], &[f64], u32) -> Interval) -> f64 {
    let ratio = 1.3;
    let holds = |&simulation: &u32| {
        let a = skewed(n, simulation, 0);
        let b: Vec<f64> = skewed(n, simulation, 1).iter().map(|time| ratio * time).collect();
        let interval = interval(&a, &b, simulation);
        interval.low <= ratio && ratio <= interval.high
    };
    f64::from((0..simulations).filter(holds).count() as u32) / f64::from(simulations)
}

/// The interval misses a known ratio in 5 % of the simulations. It may miss less often: a median's
/// percentile bootstrap is known to err to that side, as its distribution is discrete. So the
/// misses are held between half of the nominal rate and the rate, each widened by the binomial's 4
/// standard deviations.
#[test]
fn a_bootstrap_interval_holds_a_known_ratio_as_often_as_it_says() {
    let simulations = 2000;
    let deviation = |p: f64| (p * (1.0 - p) / f64::from(simulations)).sqrt();
    for n in [10, 31, 60] {
        let misses = 1.0
            - coverage(n, simulations, |a, b, simulation| {
                bootstrap(a, b, 999, [simulation, 7]).unwrap()
            });
        assert!(misses < 0.05 + 4.0 * deviation(0.05), "n = {n}: {misses}");
        assert!(misses > 0.025 - 4.0 * deviation(0.025), "n = {n}: {misses}");
    }
}

/// Times of 8 processes of 9 samples: normal, 3 % between the processes and 0.5 % within.
fn of_processes(simulation: u32, side: u32) -> Vec<Vec<f64>> {
    let normal = |process: u32, sample: u32| {
        let words = philox4x32([sample, process, simulation, side], [11, 13]);
        let [u, v] = [words[0], words[1]].map(|word| (f64::from(word) + 0.5) / 2_f64.powi(32));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    let process = |p| {
        let own = 1.0 + 0.03 * normal(p, 0);
        (1..=9).map(|sample| own * (1.0 + 0.005 * normal(p, sample))).collect()
    };
    (0..8).map(process).collect()
}

/// Two equal sides of several processes are called different in 5 % of the simulations, within the
/// limits of the test above; taken for independent, the same samples are in half of them.
#[test]
fn equal_sides_of_several_processes_are_rarely_different() {
    let simulations = 1500;
    let deviation = |p: f64| (p * (1.0 - p) / f64::from(simulations)).sqrt();
    let (mut misses, mut pooled) = (0, 0);
    let excludes_1 = |interval: Interval| u32::from(interval.low > 1.0 || interval.high < 1.0);
    for simulation in 0..simulations {
        let (a, b) = (of_processes(simulation, 0), of_processes(simulation, 1));
        misses += excludes_1(bootstrap_processes(&a, &b, 399, [simulation, 8]).unwrap());
        pooled += excludes_1(bootstrap(&a.concat(), &b.concat(), 399, [simulation, 9]).unwrap());
    }
    let [misses, pooled] = [misses, pooled].map(|n| f64::from(n) / f64::from(simulations));
    assert!(misses < 0.05 + 4.0 * deviation(0.05), "{misses}");
    assert!(misses > 0.025 - 4.0 * deviation(0.025), "{misses}");
    assert!(pooled > 0.3, "{pooled}");
}

pub fn median_ci(times: &[f64]) -> Interval {
    let summary = Summary::of(times.iter().map(|&time| (1, time))).unwrap();
    Interval { low: summary.median_ci95_low_ns, high: summary.median_ci95_high_ns }
}

/// Without samples the interval is wider than the bootstrap's, so it misses less often.
#[test]
fn the_interval_from_medians_is_conservative() {
    let simulations = 2000;
    let of_medians = |a: &[f64], b: &[f64], _| from_medians(median_ci(a), median_ci(b));
    assert!(coverage(31, simulations, of_medians) > 0.95);
    let width = |interval: Interval| interval.high - interval.low;
    let (mut medians, mut resampled) = (0.0, 0.0);
    for simulation in 0..200 {
        let (a, b) = (skewed(31, simulation, 0), skewed(31, simulation, 1));
        medians += width(of_medians(&a, &b, 0));
        resampled += width(bootstrap(&a, &b, 999, [simulation, 7]).unwrap());
    }
    assert!(medians > resampled, "{medians} {resampled}");
}
