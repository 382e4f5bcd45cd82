//! Draws the timing samples of a prepared case, as `tradeoff run` does it; `cargo bench` leaves
//! that to criterion.
//!
//! 1. Warm-up: 1, 2, 4, … iterations until a quarter of the time for the case, and at most a
//!    second, has gone by. The last of them says how long an iteration takes.
//! 2. Samples, all of one number of iterations, so that the time for the case gives the wanted
//!    number of them, and each lasts about [`LEAST_SAMPLE`] or longer by the clock that times it.
//!    Should one be shorter than [`SHORTEST_SAMPLE`] all the same, all are drawn again with more
//!    iterations: none is left out for what it showed.
//! 3. The end, told by [`StopReason`]: the interval of the median is as narrow as wanted, or there
//!    are as many samples as a case may have, or its time is over and it has [`LEAST_SAMPLES`].
//!
//! The interval is looked at [`FIRST_LOOK`] samples after the start and then whenever their number
//! has grown by half, not after each sample: who stops at the first of many looks that pleases
//! stops too early too often. A test measures what is left of the interval's coverage.

use std::time::{Duration, Instant};

use super::session::Unmeasured;
use super::statistics::Summary;

/// Samples from which on a 95 % confidence interval of the median exists. A case has at least as
/// many, also where the time is over, unless fewer are asked for.
pub const LEAST_SAMPLES: usize = 6;

/// Most samples of a case unless another number is asked for: with 100, the interval of the median
/// spans from the 40th to the 61st.
pub const SAMPLES: usize = 100;

/// Width of the 95 % interval of the median over the median, at which sampling ends unless another
/// is asked for.
pub const INTERVAL: f64 = 0.05;

/// Samples after which the interval is looked at for the first time.
pub const FIRST_LOOK: usize = 15;

/// What a sample is meant to last at least, so that the grain of any clock is small beside it.
pub const LEAST_SAMPLE: Duration = Duration::from_millis(2);

/// No sample is shorter, unless it has as many iterations as one may have.
pub const SHORTEST_SAMPLE: Duration = Duration::from_millis(1);

/// Warm-up: at most so long, and at most a quarter of the time for the case.
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// Iterations of a sample at most, however little time one seems to take.
const MOST_ITERATIONS: u64 = 1 << 24;

/// How long to sample a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Time for the samples of one case, by the host's clock.
    pub time: Duration,
    /// Most samples of one case; [`SAMPLES`] unless it is given.
    pub samples: Option<usize>,
    /// Width of the median's 95 % interval, over the median, at which sampling ends; `None` leaves
    /// that to time and number. Unit: 1.
    pub interval: Option<f64>,
}

impl Default for SamplerOptions {
    /// One second for a case, or less where [`INTERVAL`] is reached before.
    fn default() -> Self {
        Self { time: Duration::from_secs(1), samples: None, interval: Some(INTERVAL) }
    }
}

impl SamplerOptions {
    /// Samples that a case has at most.
    pub fn most_samples(&self) -> usize {
        self.samples.unwrap_or(SAMPLES).max(1)
    }

    /// Samples that a case has at least.
    pub fn least_samples(&self) -> usize {
        self.most_samples().min(LEAST_SAMPLES)
    }

    /// Whether samples end here, by their number and what they show. Time is not asked.
    fn reached(&self, samples: &[(u64, f64)]) -> Option<StopReason> {
        let narrow = |wanted| {
            let summary = Summary::of(samples.iter().copied());
            summary.is_ok_and(|summary| summary.relative_interval() <= wanted)
        };
        if is_look(samples.len()) && self.interval.is_some_and(narrow) {
            return Some(StopReason::Interval);
        }
        (samples.len() >= self.most_samples()).then_some(StopReason::Samples)
    }
}

/// Whether the interval is looked at after so many samples: 15, 23, 35, 53, 80, 120, …
fn is_look(samples: usize) -> bool {
    let mut look = FIRST_LOOK;
    while look < samples {
        look = (3 * look).div_ceil(2);
    }
    look == samples
}

/// Why sampling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopReason {
    /// The interval of the median was narrow enough.
    Interval,
    /// The most samples were reached.
    Samples,
    /// The time for the case was over.
    Time,
    /// Ctrl-C, when there were enough samples for an interval.
    Interrupted,
    /// Criterion decides before it samples.
    Criterion,
}

impl StopReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Interval, Self::Samples, Self::Time, Self::Interrupted, Self::Criterion];

    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Samples => "samples",
            Self::Time => "time",
            Self::Interrupted => "interrupted",
            Self::Criterion => "criterion",
        }
    }
}

/// Timing samples: (iterations, elapsed ns of all of them).
pub type Samples = Vec<(u64, f64)>;

/// Runs so many iterations and returns their time, in ns.
pub(super) type Run<'a> = &'a mut dyn FnMut(u64) -> Result<f64, Unmeasured>;

/// A case while it is sampled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sampling {
    options: SamplerOptions,
    iterations: u64,
    /// Time of one iteration by the host's clock, as the warm-up saw it.
    iteration_ns: f64,
    pub samples: Samples,
    /// Time that the samples took by the host's clock.
    spent: Duration,
    /// The same with the warm-up.
    pub wall: Duration,
}

/// How one sample went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// It is among the samples.
    Kept,
    /// It was far too short: sampling begins anew with more iterations.
    TooShort,
}

impl Sampling {
    /// Warms the case up; `None` if stopped.
    pub(super) fn warm_up(
        run: Run<'_>,
        options: &SamplerOptions,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Self>, Unmeasured> {
        let warm_up = LONGEST_WARM_UP.min(options.time / 4);
        let started = Instant::now();
        let mut iterations = 1;
        loop {
            if stopped() {
                return Ok(None);
            }
            let before = Instant::now();
            let timed_ns = run(iterations)?;
            let host_ns = before.elapsed().as_nanos() as f64;
            if started.elapsed() >= warm_up || iterations >= MOST_ITERATIONS {
                // The host's clock spends the time for the case; the other one times the samples,
                // and a device's may count far less, or nothing where its grain is coarse.
                let share_ns = options.time.as_nanos() as f64 / options.most_samples() as f64;
                let by_share = share_ns * iterations as f64 / host_ns.max(1.0);
                let by_least =
                    LEAST_SAMPLE.as_nanos() as f64 * iterations as f64 / timed_ns.max(1.0);
                let wanted = by_share.max(by_least.ceil());
                return Ok(Some(Self {
                    options: *options,
                    iterations: (wanted as u64).clamp(1, MOST_ITERATIONS),
                    iteration_ns: host_ns / iterations as f64,
                    samples: vec![],
                    spent: Duration::ZERO,
                    wall: started.elapsed(),
                }));
            }
            iterations *= 2;
        }
    }

    /// Time of one iteration by the host's clock. Unit: ns.
    pub(super) fn iteration_ns(&self) -> f64 {
        self.iteration_ns
    }

    /// Draws one sample.
    pub(super) fn draw(&mut self, run: Run<'_>) -> Result<Drawn, Unmeasured> {
        let started = Instant::now();
        let elapsed_ns = run(self.iterations)?;
        self.spent += started.elapsed();
        self.wall += started.elapsed();
        let shortest_ns = SHORTEST_SAMPLE.as_nanos() as f64;
        if elapsed_ns < shortest_ns && self.iterations < MOST_ITERATIONS {
            let factor = LEAST_SAMPLE.as_nanos() as f64 / elapsed_ns.max(1.0);
            let wanted = (self.iterations as f64 * factor).ceil();
            self.iterations = (wanted as u64).clamp(2 * self.iterations, MOST_ITERATIONS);
            return Ok(Drawn::TooShort);
        }
        self.samples.push((self.iterations, elapsed_ns));
        Ok(Drawn::Kept)
    }

    /// Drops all samples. The time they took is not given back.
    pub(super) fn restart(&mut self) {
        self.samples.clear();
    }

    /// Whether sampling ends, and why.
    pub(super) fn ended(&self) -> Option<StopReason> {
        self.options.reached(&self.samples).or_else(|| {
            let over = self.spent >= self.options.time;
            (over && self.has_enough()).then_some(StopReason::Time)
        })
    }

    /// Whether there are as many samples as a case has at least.
    pub(super) fn has_enough(&self) -> bool {
        self.samples.len() >= self.options.least_samples()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Status;
    use rand::{RngExt, SeedableRng};
    use rand_distr::{Distribution, Exp1, StandardNormal};
    use rand_philox::Philox;

    fn never() -> bool {
        false
    }

    fn options(ms: u64, samples: Option<usize>) -> SamplerOptions {
        SamplerOptions { time: Duration::from_millis(ms), samples, interval: None }
    }

    /// A case alone, from its warm-up to its end.
    fn draw(run: Run<'_>, options: &SamplerOptions) -> Result<(Samples, StopReason), Unmeasured> {
        let mut sampling = Sampling::warm_up(run, options, &mut never)?.unwrap();
        loop {
            if let Some(reason) = sampling.ended() {
                return Ok((sampling.samples, reason));
            }
            if sampling.draw(run)? == Drawn::TooShort {
                sampling.restart();
            }
        }
    }

    /// A case of `iteration` an iteration, which spends that time.
    fn spin(iteration: Duration) -> impl FnMut(u64) -> Result<f64, Unmeasured> {
        move |iterations| {
            let (started, wanted) = (Instant::now(), iteration * iterations as u32);
            while started.elapsed() < wanted {
                std::hint::spin_loop();
            }
            Ok(started.elapsed().as_nanos() as f64)
        }
    }

    #[test]
    fn a_fast_case_gets_its_samples_each_long_enough() {
        let mut run = spin(Duration::from_micros(20));
        let (samples, reason) = draw(&mut run, &options(400, None)).unwrap();
        assert!((LEAST_SAMPLES..=SAMPLES).contains(&samples.len()), "{}", samples.len());
        assert!(matches!(reason, StopReason::Time | StopReason::Samples));
        assert!(samples.iter().all(|s| s.1 >= SHORTEST_SAMPLE.as_nanos() as f64));
        assert!(samples.iter().all(|s| s.0 == samples[0].0), "one number of iterations");
    }

    #[test]
    fn a_slow_case_gets_the_least_samples_and_no_more() {
        let mut run = spin(Duration::from_millis(5));
        let (samples, reason) = draw(&mut run, &options(1, None)).unwrap();
        assert_eq!((samples.len(), reason), (LEAST_SAMPLES, StopReason::Time));
        assert!(samples.iter().all(|s| s.0 == 1));
    }

    #[test]
    fn the_number_asked_for_is_kept() {
        for count in [1, 3, 12] {
            let mut run = spin(Duration::from_micros(100));
            let samples = draw(&mut run, &options(2_000, Some(count))).unwrap().0;
            assert!(samples.len() <= count);
        }
        let mut run = spin(Duration::from_micros(100));
        let (samples, reason) = draw(&mut run, &options(1, Some(3))).unwrap();
        assert_eq!((samples.len(), reason), (3, StopReason::Samples), "as asked, under the least");
    }

    /// A clock that says the same each time: the first look ends it.
    #[test]
    fn a_narrow_interval_ends_it() {
        let mut run = |iterations: u64| Ok(iterations as f64 * 2e6);
        let wanted = SamplerOptions { interval: Some(0.01), ..options(100, None) };
        let (samples, reason) = draw(&mut run, &wanted).unwrap();
        assert_eq!((samples.len(), reason), (FIRST_LOOK, StopReason::Interval));
        let mut count = 0;
        let mut run = |iterations: u64| {
            count += 1;
            Ok(iterations as f64 * if count % 2 == 0 { 2e6 } else { 3e6 })
        };
        let wanted = SamplerOptions { samples: Some(50), ..wanted };
        let (samples, reason) = draw(&mut run, &wanted).unwrap();
        assert_eq!((samples.len(), reason), (50, StopReason::Samples), "33 % wide");
    }

    #[test]
    fn looks_grow_by_half() {
        let looks: Vec<usize> = (0..200).filter(|&n| is_look(n)).collect();
        assert_eq!(looks, [15, 23, 35, 53, 80, 120, 180]);
    }

    /// How often the interval at the stop holds the median, and the mean number of samples.
    fn coverage(
        time: &dyn Fn(&mut Philox) -> f64,
        median: f64,
        wanted: &SamplerOptions,
    ) -> (f64, f64) {
        const TRIALS: u32 = 4_000;
        let mut random = Philox::seed_from_u64(4);
        let (mut held, mut drawn) = (0, 0);
        for _ in 0..TRIALS {
            let mut samples = Samples::new();
            while wanted.reached(&samples).is_none() {
                samples.push((1, time(&mut random)));
            }
            let summary = Summary::of(samples.iter().copied()).unwrap();
            let interval = summary.median_ci95_low_ns..=summary.median_ci95_high_ns;
            held += u32::from(interval.contains(&median));
            drawn += samples.len();
        }
        (f64::from(held) / f64::from(TRIALS), drawn as f64 / f64::from(TRIALS))
    }

    /// What looking at the interval costs: of 95 % nominal coverage at least 93 % is left, for each
    /// distribution and each wanted width, also where it makes most trials end at a middle look.
    /// The binomial standard error of 4,000 trials is under 0.4 %.
    #[test]
    fn the_coverage_that_stopping_leaves() {
        let normal = |r: &mut Philox| -> f64 { StandardNormal.sample(r) };
        let exponential = |r: &mut Philox| -> f64 { Exp1.sample(r) };
        type Time<'a> = (&'a str, Box<dyn Fn(&mut Philox) -> f64>, f64);
        let times: [Time<'_>; 4] = [
            ("normal", Box::new(move |r| 100.0 + 5.0 * normal(r)), 100.0),
            (
                "a floor and a long tail",
                Box::new(move |r| 100.0 + 8.0 * exponential(r)),
                100.0 + 8.0 * std::f64::consts::LN_2,
            ),
            ("log-normal", Box::new(move |r| 100.0 * (0.1 * normal(r)).exp()), 100.0),
            (
                "two humps",
                // Half of the weight in each of two uniform humps that touch at the median.
                Box::new(|r| {
                    let x: f64 = r.random();
                    if r.random_bool(0.5) { 100.0 - 2.0 * x } else { 100.0 + 12.0 * x }
                }),
                100.0,
            ),
        ];
        for (name, time, median) in &times {
            for width in [0.02, 0.03, 0.05, 0.08] {
                let wanted = SamplerOptions { interval: Some(width), ..options(1, None) };
                let (held, drawn) = coverage(time, *median, &wanted);
                println!("{name}, {width}: {held:.3} of the intervals hold, {drawn:.1} samples");
                assert!(held >= 0.93, "{name}, {width}: {held}");
            }
        }
    }

    /// A device whose clock runs a thousand times too slow: its samples are lengthened, and those
    /// that were too short all go.
    #[test]
    fn short_samples_are_drawn_again() {
        let mut calls = 0;
        let mut run = |iterations: u64| {
            calls += 1;
            let warm = calls == 1;
            std::thread::sleep(Duration::from_millis(2));
            Ok(iterations as f64 * if warm { 2e6 } else { 3e5 })
        };
        let samples = draw(&mut run, &options(1, Some(2))).unwrap().0;
        assert_eq!(samples, [(7, 2.1e6), (7, 2.1e6)]);
    }

    #[test]
    fn a_stop_is_heard_while_it_warms_up() {
        let mut runs = 0;
        let mut run = |_| {
            runs += 1;
            Ok(1e6)
        };
        let mut asked = 0;
        let mut stopped = || {
            asked += 1;
            asked > 2
        };
        assert_eq!(Sampling::warm_up(&mut run, &options(10_000, None), &mut stopped), Ok(None));
        assert_eq!(runs, 2);
    }

    #[test]
    fn an_error_ends_it() {
        let lost = Unmeasured::new(Status::Failed, "device lost");
        let mut run = |_| Err(lost.clone());
        assert_eq!(draw(&mut run, &options(1, None)), Err(lost.clone()));
    }
}
