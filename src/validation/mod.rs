//! Constants of the theory of rounding errors beside what the mirrors of the kernels give for them.
//!
//! Each [`Experiment`] predicts numbers by a formula, measures them, and says whether the two agree: over
//! independent trials by a confidence interval, elsewhere by equality or a bound. `tradeoff validate`
//! prints all of them as docs/VALIDATION.md, and a test holds that file to these very experiments.
//!
//! All is computed on the CPU, by the mirrors, under [`ARITHMETIC`] and from a seed: no device, no clock.
//! Kernels are held to the same bits wherever a mirror follows a device, so what is found here holds
//! for them.

mod chain;
mod descent;
mod exact;
mod integers;
mod rounding;
mod statistics;
mod sums;
mod svrg;

use serde::Serialize;

use crate::number::Arithmetic;
use statistics::Estimate;

/// The arithmetic of all experiments, whatever the processor: fma fused, nothing flushed.
pub const ARITHMETIC: Arithmetic =
    Arithmetic { fused_fma: true, flush_f32_subnormals: false, flush_f16_subnormals: false };

/// Chance, at most, that chance alone makes any row of a right theory differ.
pub const FALSE_ALARM: f64 = 0.01;

/// Rows that share [`FALSE_ALARM`], at most (Bonferroni).
pub const ROWS: usize = 50;

/// What was predicted and what came out, for one subject.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// A word to select it by.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What is run: shapes, trials, what is looked at.
    pub setup: String,
    /// The formula of the predictions.
    pub formula: &'static str,
    /// Where the formula comes from.
    pub source: &'static str,
    /// What else a reader should know.
    pub remark: &'static str,
    /// The numbers.
    pub rows: Vec<Row>,
}

/// A number that was predicted and measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is, with its unit.
    pub quantity: String,
    /// By the formula.
    pub predicted: f64,
    /// By the mirrors.
    pub measured: f64,
    /// How the two are held together.
    pub check: Check,
    /// Whether they agree.
    pub agrees: bool,
    /// Why they do not, where that is understood.
    pub why: Option<&'static str>,
}

/// What agreement means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The prediction lies in an interval about the mean of independent trials.
    Interval {
        /// The 95 % confidence interval, for a reader.
        ci95: [f64; 2],
        /// The interval of 1 − [`FALSE_ALARM`]/[`ROWS`], which decides.
        deciding: [f64; 2],
        /// Trials.
        trials: usize,
    },
    /// Nothing is random: they are at most so far apart; 0 where they must be equal.
    Within(f64),
    /// The prediction is an upper bound.
    AtMost,
}

impl Row {
    fn estimated(quantity: impl Into<String>, predicted: f64, estimate: &Estimate) -> Self {
        let Estimate { mean, ci95, deciding, trials } = *estimate;
        Self::new(quantity, predicted, mean, Check::Interval { ci95, deciding, trials })
    }

    fn new(quantity: impl Into<String>, predicted: f64, measured: f64, check: Check) -> Self {
        let agrees = match check {
            Check::Interval { deciding: [low, high], .. } => (low..=high).contains(&predicted),
            Check::Within(most) => (measured - predicted).abs() <= most,
            Check::AtMost => measured <= predicted,
        };
        Self { quantity: quantity.into(), predicted, measured, check, agrees, why: None }
    }

    /// With the reason for which it is known to differ.
    fn because(self, why: &'static str) -> Self {
        Self { why: (!self.agrees).then_some(why), ..self }
    }

    /// Whether it differs for no known reason.
    pub fn is_unexplained(&self) -> bool {
        !self.agrees && self.why.is_none()
    }
}

/// An experiment that can be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// A word to select it by, that of [`Experiment::name`].
    pub name: &'static str,
    experiment: fn(u32) -> Experiment,
}

impl Plan {
    /// Runs it: some seconds on all cores at most. The same seed gives the same bits on any processor,
    /// but for the last bit of logarithms and exponentials of its mathematics library.
    pub fn run(&self, seed: u32) -> Experiment {
        Experiment { name: self.name, ..(self.experiment)(seed) }
    }
}

/// All experiments, in the order in which they are told.
pub const PLANS: [Plan; 9] = {
    const fn plan(name: &'static str, experiment: fn(u32) -> Experiment) -> Plan {
        Plan { name, experiment }
    }
    [
        plan("growth", sums::growth),
        plan("stagnation", sums::stagnation),
        plan("rounding", rounding::one_rounding),
        plan("random-bits", rounding::random_bits),
        plan("int8", integers::int8),
        plan("stall", descent::stall),
        plan("floor", descent::floor),
        plan("halp", svrg::halp),
        plan("exact", exact::exact),
    ]
};

impl Experiment {
    /// Without the name, which its plan has.
    fn untitled() -> Self {
        Self {
            name: "",
            title: "",
            setup: String::new(),
            formula: "",
            source: "",
            remark: "",
            rows: vec![],
        }
    }
}

/// A seed of trial `trial` of the run's `seed`, in a range of its own for each `purpose`.
fn seed_of(seed: u32, purpose: u32, trial: usize) -> u64 {
    u64::from(seed) << 32 | u64::from(purpose) << 16 | trial as u64
}
