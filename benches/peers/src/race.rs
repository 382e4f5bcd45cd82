//! Samples in rounds, and the ratios of their medians.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use tradeoff::compare::by_rounds;
use tradeoff::frontier::Interval;

use crate::Entrant;

/// What a sample lasts at least, so that neither the clock's grain nor a message to a child process
/// counts beside it.
const LEAST_SAMPLE_NS: f64 = 2e7;
/// Rest before each sample: the threads of OpenBLAS and of OpenMP spin for some milliseconds after a
/// product before they sleep, and would slow whoever is next.
const REST: Duration = Duration::from_millis(50);
/// Key of the bootstrap's random bits.
const KEY: [u32; 2] = [1, 0];

/// Which way the ratios of a race are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ratios {
    /// Each one's throughput over the first's.
    ToFirst,
    /// The first's throughput over each one's.
    OfFirst,
}

/// The outcome of [`race`], which prints as a table: throughputs, and the ratios of throughput, each
/// the median of the quotients of the rounds with its 95 % bootstrap interval. What slows a whole
/// round slows both of its times, so drift cancels.
pub struct Race {
    ratios: Ratios,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    /// Why it was not timed, or its median and rate.
    times: Result<(f64, f64), String>,
    /// Ratio of the rates over the rounds, and its interval where there are rounds enough.
    ratio: Option<(f64, Option<Interval>)>,
}

/// Warms every entrant up, then draws `rounds` samples of each, in turn, beginning with the next one
/// each round. Before each sample comes a rest and a product that does not count. The first entrant
/// is what the others are compared with. One that fails drops out.
pub fn race(entrants: &mut [Entrant], rounds: usize, ratios: Ratios) -> Race {
    same_clock(entrants);
    let iterations: Vec<u64> = entrants.iter_mut().map(iterations).collect();
    let count = entrants.len();
    for round in 0..rounds {
        for at in (0..count).map(|turn| (round + turn) % count) {
            let entrant = &mut entrants[at];
            if entrant.is_here() {
                sleep(REST);
                entrant.sample(1, false);
                entrant.sample(iterations[at], true);
            }
        }
    }
    let first = entrants.first().map(Entrant::times_ns).unwrap_or_default();
    let mut lines: Vec<Line> =
        entrants.iter().map(|entrant| Line::of(entrant, &first, ratios)).collect();
    if let Some(first) = lines.first_mut() {
        first.ratio = None; // to itself
    }
    Race { ratios, lines }
}

/// Where one is timed by the host, all are, so that each pays for its launches alike.
fn same_clock(entrants: &mut [Entrant]) {
    if entrants.iter().any(|entrant| entrant.clock() == Some("host")) {
        entrants.iter_mut().for_each(Entrant::use_host_clock);
    }
}

/// Iterations of one sample, by the second of two runs.
fn iterations(entrant: &mut Entrant) -> u64 {
    entrant.sample(1, false);
    let ns = entrant.sample(1, false).unwrap_or(f64::INFINITY);
    (LEAST_SAMPLE_NS / ns).ceil().max(1.0) as u64
}

impl Line {
    fn of(entrant: &Entrant, first: &[f64], ratios: Ratios) -> Self {
        let record = entrant.record();
        let name = format!("{} {}", record.implementation, record.case_id);
        if !entrant.is_here() {
            let times = Err(format!("{}: {}", record.status.name(), record.reason));
            return Self { name, times, ratio: None };
        }
        let times = entrant.times_ns();
        let median_ns = median(&times);
        let rate = record.operations.unwrap_or(0) as f64 / median_ns;
        // Of two rates the ratio is that of the times turned over.
        let (of, to) = match ratios {
            Ratios::ToFirst => (&times[..], first),
            Ratios::OfFirst => (first, &times[..]),
        };
        // Who is here was timed in every round.
        let quotients: Vec<f64> = of.iter().zip(to).map(|(of, to)| to / of).collect();
        Self { name, times: Ok((median_ns, rate)), ratio: by_rounds(&[quotients], KEY) }
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        let head = "case";
        let ratio = match self.ratios {
            Ratios::ToFirst => "ratio to the first, 95 % CI",
            Ratios::OfFirst => "ratio of the first to it, 95 % CI",
        };
        writeln!(f, "{head:width$}  {:>12}  {:>9}  {ratio}", "median ns", "Gop/s")?;
        for Line { name, times, ratio } in &self.lines {
            write!(f, "{name:width$}  ")?;
            match times {
                Ok((median_ns, rate)) => write!(f, "{median_ns:>12.0}  {rate:>9.2}")?,
                Err(why) => write!(f, "{why}")?,
            }
            match ratio {
                Some((ratio, Some(Interval { low, high }))) => {
                    writeln!(f, "  {ratio:.4} [{low:.4}, {high:.4}]")?;
                }
                Some((ratio, None)) => writeln!(f, "  {ratio:.4}, too few rounds for an interval")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
