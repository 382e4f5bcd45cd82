//! Constants of the theory of rounding errors beside what the mirrors of the kernels give for them.
//!
//! Each [`Experiment`] predicts numbers by a formula, measures them, and says whether the two agree: over
//! independent trials by a confidence interval, elsewhere by equality or a bound. `tradeoff validate`
//! prints all of them as docs/VALIDATION.md, and a test holds that file to these very experiments.
//!
//! All is computed on the CPU under [`ARITHMETIC`] and from a seed: no device, no clock. But for what the
//! introduction of the document names, the mirrors compute it; kernels are held to their bits wherever a
//! mirror follows a device, so what is found here holds for them.

mod chain;
mod descent;
mod exact;
mod few_bits;
mod integers;
mod rounding;
mod statistics;
mod sums;
mod svrg;

use serde::Serialize;

use crate::number::Arithmetic;
use crate::problem::dataset::DatasetError;
use crate::truth::sgd::OptimumError;
use crate::workload::sgd::SgdError;
use statistics::Estimate;

/// The arithmetic of all experiments, whatever the processor: fma fused, nothing flushed.
pub const ARITHMETIC: Arithmetic =
    Arithmetic { fused_fma: true, flush_f32_subnormals: false, flush_f16_subnormals: false };

/// The seed of docs/VALIDATION.md.
pub const SEED: u32 = 1;

/// Chance, at most, that chance alone makes any row of a right theory differ, where the means over
/// trials are normal.
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
    pub remark: String,
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

/// Why an experiment gives no numbers.
#[derive(Debug, thiserror::Error)]
pub enum ValidationError {
    /// A data set could not be made.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A run could not be readied.
    #[error(transparent)]
    Sgd(#[from] SgdError),
    /// A data set has no optimum to measure from.
    #[error(transparent)]
    Optimum(#[from] OptimumError),
}

/// An experiment that can be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// A word to select it by, that of [`Experiment::name`].
    pub name: &'static str,
    experiment: fn(u32) -> Result<Experiment, ValidationError>,
}

impl Plan {
    /// Runs it: some seconds on all cores at most. The same seed gives the same bits on any processor,
    /// but for the last bit of logarithms and exponentials of its mathematics library.
    ///
    /// # Errors
    /// What keeps one of its trials from being run: a mean over those that are left would be another.
    pub fn run(&self, seed: u32) -> Result<Experiment, ValidationError> {
        Ok(Experiment { name: self.name, ..(self.experiment)(seed)? })
    }
}

/// All experiments, in the order in which they are told.
pub const PLANS: [Plan; 10] = {
    type Run = fn(u32) -> Result<Experiment, ValidationError>;
    const fn plan(name: &'static str, experiment: Run) -> Plan {
        Plan { name, experiment }
    }
    [
        plan("growth", |seed| Ok(sums::growth(seed))),
        plan("stagnation", |seed| Ok(sums::stagnation(seed))),
        plan("rounding", |seed| Ok(rounding::one_rounding(seed))),
        plan("random-bits", |seed| Ok(rounding::random_bits(seed))),
        plan("int8", |seed| Ok(integers::int8(seed))),
        plan("stall", |seed| Ok(descent::stall(seed))),
        plan("floor", |seed| Ok(descent::floor(seed))),
        plan("few-bits", |seed| Ok(few_bits::few_bits(seed))),
        plan("halp", svrg::halp),
        plan("exact", |seed| Ok(exact::exact(seed))),
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
            remark: String::new(),
            rows: vec![],
        }
    }
}

/// What draws random bits, each from seeds of its own.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Growth,
    Stagnation,
    Rounding,
    RandomBits,
    Int8,
    Floor,
    Halp,
    FewBits,
}

/// The seed of a trial of the run's `seed`: no two of a purpose, a `case` of it (a size, below 2¹⁶) and a
/// `trial` (below 2¹²) share one.
fn seed_of(seed: u32, purpose: Purpose, case: usize, trial: usize) -> u64 {
    debug_assert!(case < 1 << 16 && trial < 1 << 12, "{purpose:?}, case {case}, trial {trial}");
    u64::from(seed) << 32 | (purpose as u64) << 28 | (case as u64) << 12 | trial as u64
}

/// Its two halves, the key of a stream of random bits.
fn key_of(seed: u64) -> [u32; 2] {
    [(seed >> 32) as u32, seed as u32]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The sizes that are used, and the largest trial, of every purpose and of two seeds.
    #[test]
    fn no_two_trials_share_a_seed() {
        use Purpose::*;
        let mut seeds = HashSet::new();
        let mut drawn = 0;
        for purpose in [Growth, Stagnation, Rounding, RandomBits, Int8, Floor, Halp, FewBits] {
            for (case, trial) in [0, 1, 2, 256, 1024, 1536, 6144, 65535]
                .into_iter()
                .flat_map(|case| [0, 1, 31, 4095].map(|trial| (case, trial)))
            {
                seeds.extend([1, 2].map(|seed| seed_of(seed, purpose, case, trial)));
                drawn += 2;
            }
        }
        assert_eq!(seeds.len(), drawn);
        assert!(seeds.contains(&0x1_4040_0001), "int8, 1024, 1 of seed 1");
    }
}
