//! Samples in rounds, and the ratios of their medians.

use std::fmt;

use anyhow::Result;
use tradeoff::compare::{RESAMPLES, bootstrap};

use crate::Entrant;

/// What a sample lasts at least, so that the clock's grain is small beside it.
const LEAST_SAMPLE_NS: f64 = 2e6;
/// Key of the bootstrap's random bits.
const KEY: [u32; 2] = [1, 0];

/// The outcome of [`race`], which prints as a table: throughputs, and those ratios of throughput
/// to the first entrant's whose 95 % interval is a bootstrap over the samples of both.
pub struct Race {
    lines: Vec<Line>,
}

struct Line {
    name: String,
    /// Why it was not timed, or its median and rate.
    times: Result<(f64, f64), String>,
    /// Rate over that of the first: at the medians, and the ends of the interval.
    ratio: Option<(f64, f64, f64)>,
}

/// Warms every entrant up, then draws `rounds` samples of each, in turn. The first is what the
/// others are compared with.
///
/// # Errors
/// An entrant that fails while it is timed.
pub fn race(entrants: &mut [Entrant], rounds: usize) -> Result<Race> {
    let mut iterations = vec![0; entrants.len()];
    for (entrant, iterations) in entrants.iter_mut().zip(&mut iterations) {
        if entrant.is_here() {
            entrant.sample(1, false)?;
            let ns = entrant.sample(1, false)?;
            *iterations = (LEAST_SAMPLE_NS / ns).ceil().max(1.0) as u64;
        }
    }
    for _ in 0..rounds {
        for (entrant, &iterations) in entrants.iter_mut().zip(&iterations) {
            if entrant.is_here() {
                entrant.sample(iterations, true)?;
            }
        }
    }
    let first = entrants.first().map(Entrant::times_ns).unwrap_or_default();
    Ok(Race { lines: entrants.iter().map(|entrant| Line::of(entrant, &first)).collect() })
}

impl Line {
    fn of(entrant: &Entrant, first: &[f64]) -> Self {
        let record = entrant.record();
        let name = format!("{} {}", record.implementation, record.case_id);
        if !entrant.is_here() {
            let times = Err(format!("{}: {}", record.status.name(), record.reason));
            return Self { name, times, ratio: None };
        }
        let times = entrant.times_ns();
        let median_ns = median(&times);
        let rate = record.operations.unwrap_or(0) as f64 / median_ns;
        // Time of the first over time of this one is the ratio of their rates.
        let ratio = bootstrap(&times, first, RESAMPLES, KEY)
            .map(|ci| (median(first) / median_ns, ci.low, ci.high));
        Self { name, times: Ok((median_ns, rate)), ratio }
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
        writeln!(
            f,
            "{head:width$}  {:>12}  {:>9}  ratio to the first, 95 % CI",
            "median ns", "Gop/s"
        )?;
        for Line { name, times, ratio } in &self.lines {
            write!(f, "{name:width$}  ")?;
            match times {
                Ok((median_ns, rate)) => write!(f, "{median_ns:>12.0}  {rate:>9.2}")?,
                Err(why) => write!(f, "{why}")?,
            }
            match ratio {
                Some((ratio, low, high)) => writeln!(f, "  {ratio:.4} [{low:.4}, {high:.4}]")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
