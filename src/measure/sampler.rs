//! Draws the timing samples of a prepared case, as `tradeoff run` does it; `cargo bench` leaves
//! that to criterion.
//!
//! 1. Warm-up: 1, 2, 4, … iterations until a quarter of the time for the case, and at most a
//!    second, has gone by. The last of them says how long an iteration takes.
//! 2. Samples, all of one number of iterations, so that the time for the case gives the wanted
//!    number of them, and each lasts at least [`LEAST_SAMPLE`] by the clock that times it. Should
//!    one be shorter all the same, all are drawn again with twice the iterations: none is left out
//!    for what it showed.
//! 3. The end: the wanted number is reached, or the time is over and there are [`LEAST_SAMPLES`].

use std::time::{Duration, Instant};

use super::session::{Prepared, Unmeasured};

/// Samples from which on a 95 % confidence interval of the median exists. A case has at least as
/// many, also where the time is over, unless fewer are asked for.
pub const LEAST_SAMPLES: usize = 6;

/// Samples of a case unless another number is asked for: with 30, the interval of the median spans
/// from the 10th to the 21st.
pub const SAMPLES: usize = 30;

/// What a sample lasts at least, so that the grain of any clock is small beside it.
pub const LEAST_SAMPLE: Duration = Duration::from_millis(2);

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
}

impl Default for SamplerOptions {
    /// One second for a case.
    fn default() -> Self {
        Self { time: Duration::from_secs(1), samples: None }
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
}

/// Timing samples: (iterations, elapsed ns of all of them).
pub type Samples = Vec<(u64, f64)>;

/// Draws the samples of a case; `None` if `stopped` said, between two of them, that it is enough.
///
/// # Errors
/// What [`Prepared::run`] returns.
pub fn sample(
    prepared: &mut Prepared,
    options: &SamplerOptions,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Samples>, Unmeasured> {
    draw(&mut |iterations| prepared.run(iterations), options, stopped)
}

/// Runs so many iterations and returns their time, in ns.
type Run<'a> = &'a mut dyn FnMut(u64) -> Result<f64, Unmeasured>;

fn draw(
    run: Run<'_>,
    options: &SamplerOptions,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Samples>, Unmeasured> {
    let Some(mut iterations) = warm_up(run, options, stopped)? else { return Ok(None) };
    let least_ns = LEAST_SAMPLE.as_nanos() as f64;
    let started = Instant::now();
    let mut samples = Samples::new();
    loop {
        let is_over = started.elapsed() >= options.time;
        let enough = is_over && samples.len() >= options.least_samples();
        if enough || samples.len() >= options.most_samples() {
            return Ok(Some(samples));
        }
        if stopped() {
            return Ok(None);
        }
        let elapsed_ns = run(iterations)?;
        if elapsed_ns < least_ns && iterations < MOST_ITERATIONS {
            iterations *= 2;
            samples.clear();
        } else {
            samples.push((iterations, elapsed_ns));
        }
    }
}

/// Warms the case up; returns the iterations of a sample, or `None` if stopped.
fn warm_up(
    run: Run<'_>,
    options: &SamplerOptions,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<u64>, Unmeasured> {
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
            // The host's clock spends the time for the case; the other one times the samples, and
            // a device's may count far less, or nothing where its grain is coarse.
            let share_ns = options.time.as_nanos() as f64 / options.most_samples() as f64;
            let by_share = share_ns * iterations as f64 / host_ns.max(1.0);
            let by_least = LEAST_SAMPLE.as_nanos() as f64 * iterations as f64 / timed_ns.max(1.0);
            let wanted = by_share.max(by_least.ceil());
            return Ok(Some((wanted as u64).clamp(1, MOST_ITERATIONS)));
        }
        iterations *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Status;

    fn never() -> bool {
        false
    }

    fn options(ms: u64, samples: Option<usize>) -> SamplerOptions {
        SamplerOptions { time: Duration::from_millis(ms), samples }
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
        let samples = draw(&mut run, &options(200, None), &mut never).unwrap().unwrap();
        assert!((LEAST_SAMPLES..=SAMPLES).contains(&samples.len()), "{}", samples.len());
        assert!(samples.iter().all(|s| s.1 >= LEAST_SAMPLE.as_nanos() as f64));
        assert!(samples.iter().all(|s| s.0 == samples[0].0), "one number of iterations");
    }

    #[test]
    fn a_slow_case_gets_the_least_samples_and_no_more() {
        let mut run = spin(Duration::from_millis(5));
        let samples = draw(&mut run, &options(1, None), &mut never).unwrap().unwrap();
        assert_eq!(samples.len(), LEAST_SAMPLES);
        assert!(samples.iter().all(|s| s.0 == 1));
    }

    #[test]
    fn the_number_asked_for_is_kept() {
        for count in [1, 3, 12] {
            let mut run = spin(Duration::from_micros(100));
            let samples = draw(&mut run, &options(2_000, Some(count)), &mut never);
            assert!(samples.unwrap().unwrap().len() <= count);
        }
        let mut run = spin(Duration::from_micros(100));
        let samples = draw(&mut run, &options(1, Some(3)), &mut never).unwrap().unwrap();
        assert_eq!(samples.len(), 3, "fewer than the least, as asked");
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
        let samples = draw(&mut run, &options(1, Some(2)), &mut never).unwrap().unwrap();
        assert_eq!(samples, [(8, 2.4e6), (8, 2.4e6)]);
    }

    #[test]
    fn a_stop_is_heard_between_two_samples() {
        for after in [0, 1, 4] {
            let mut asked = 0;
            let mut stopped = || {
                asked += 1;
                asked > after
            };
            let mut runs = 0;
            let mut spin = spin(Duration::from_millis(3));
            let mut run = |iterations| {
                runs += 1;
                spin(iterations)
            };
            assert_eq!(draw(&mut run, &options(1, None), &mut stopped), Ok(None));
            assert_eq!(runs, after);
        }
    }

    #[test]
    fn an_error_ends_it() {
        let lost = Unmeasured::new(Status::Failed, "device lost");
        let mut run = |_| Err(lost.clone());
        assert_eq!(draw(&mut run, &options(1, None), &mut never), Err(lost.clone()));
    }
}
