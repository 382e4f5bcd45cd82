//! The flags that select cases, as `run` and `list` share them. Each stands for the `TRADEOFF_*`
//! variable of its name and goes before it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use clap::ValueHint;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use tradeoff::gpu::{self, Candidate};
use tradeoff::measure::{Case, Selection, SelectionError, Session, expand_sizes};
use tradeoff::record::Provenance;

/// What is selected, unless a flag says otherwise, by the `TRADEOFF_*` variables.
#[derive(clap::Args)]
pub struct SelectionArgs {
    /// Workload [TRADEOFF_WORKLOADS; default: all]
    #[arg(value_parser = PossibleValuesParser::new(["matmul", "sgd", "all"]))]
    workload: Option<String>,
    /// Precisions of either workload, such as fp16,int8,D8M8-SR, or all [TRADEOFF_PRECISIONS; default:
    /// the standard ones]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    precision: Option<String>,
    /// Matmul sizes [TRADEOFF_SIZES; default: 256,512, and on GPUs a few that are not square]
    ///
    /// Between commas: 256 (n×n×n), 257x131x73 (m×n×k), or 256..4096 (the powers of two from 256 to
    /// 4096, both included). Behind a size -tn, -nt or -tt stores A, B or both transposed, and -b32
    /// multiplies 32 pairs: 512-tn, 64-b32, 64x64x64-nt-b8. Between semicolons, also m,n,k:
    /// "256;257,131,73".
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    size: Option<String>,
    /// Kernels on a GPU, such as naive,register_tiled for matmul, stepwise,persistent for SGD
    /// [TRADEOFF_KERNELS; default: all of matmul, the one that suits of SGD]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    kernel: Option<String>,
    /// Random bits of one stochastic rounding, 1 to 16 [TRADEOFF_ROUNDING_BITS; default: 16]
    ///
    /// Several, such as 4,8,10,13,16, are several cases of each precision whose name ends in -sr or -SR;
    /// the others are measured once. With r bits a magnitude goes up too rarely, by 2^-r of a unit in the
    /// last place at most; 13 to 16 bits round a normal number to f16 alike. In SGD an update away from 0
    /// by less than 2^-r of a unit is lost.
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    rounding_bits: Option<String>,
    /// Distributions of the operands of matmul [TRADEOFF_DISTRIBUTIONS; default: normal]
    ///
    /// normal, uniform01 ([0, 1]), uniform ([−1, 1]), exponent-spread(phi), power-span(s), cancel(c),
    /// mean-shift(m), outlier-columns(fraction,factor), subnormal, integers (−1, 0, 1). Several, such
    /// as "normal,exponent-spread(2)", are several cases.
    #[arg(long, value_name = "LIST", alias = "problem",
        value_parser = NonEmptyStringValueParser::new())]
    distribution: Option<String>,
    /// File of A, with --b, instead of sizes and distributions [TRADEOFF_A]
    ///
    /// As numpy.save writes a matrix of f32 or f64, in either order. The error of f64 operands counts
    /// from what the file holds: fp64 takes them as they are, fp32x2, bf16x3 and fp16x2 as parts of their
    /// own, everywhere else their rounding to f32 is part of the error.
    #[arg(long, value_name = "A.npy", value_hint = ValueHint::FilePath,
        value_parser = NonEmptyStringValueParser::new())]
    a: Option<String>,
    /// File of B, as --a [TRADEOFF_B]
    #[arg(long, value_name = "B.npy", value_hint = ValueHint::FilePath,
        value_parser = NonEmptyStringValueParser::new())]
    b: Option<String>,
    /// SGD data sets: digits, figure2-NxD, normalised-NxD, logistic-NxD [TRADEOFF_DATA_SETS; default:
    /// digits,figure2-1024x1024]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    data_set: Option<String>,
    /// SGD batch sizes, n for gradient descent [TRADEOFF_BATCHES; default: 32]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    batch: Option<String>,
    /// SGD steps of one run [TRADEOFF_STEPS; default: 200]
    #[arg(long, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    steps: Option<String>,
    /// SGD learning rates: auto, factors such as 0.5x, values [TRADEOFF_LEARNING_RATES; default:
    /// auto]
    ///
    /// auto is the data set's own for the batch size, 0.5x half of that, 0.01 a value. Several, such
    /// as 0.25x,0.5x,auto,2x, let `tradeoff report` take for each setting the one that learns
    /// soonest. A run that diverges is a row with the status wrong.
    #[arg(long, value_name = "LIST", alias = "learning-rates",
        value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    learning_rate: Option<String>,
    /// How SGD descends: sgd, averaged-sgd, lp-svrg, halp; the last two at D32fM8-SR alone
    /// [TRADEOFF_ALGORITHMS; default: sgd]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    algorithm: Option<String>,
    /// Seed of the inputs and of all random bits [TRADEOFF_SEED; default: 1]
    #[arg(long, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    seed: Option<String>,
    /// Trial: other rounding bits on the same inputs [TRADEOFF_TRIAL; default: 0]
    #[arg(long, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    trial: Option<String>,
    /// Seeds to repeat stochastic roundings of matmul with, on the same inputs [TRADEOFF_TRIALS]
    ///
    /// Fills the columns trial_…: the error of one trial and of the mean, and the bias with its
    /// interval. At least 2; none without it.
    #[arg(long, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    trials: Option<String>,
    /// Devices: an index, a part of a name, cpu, all [TRADEOFF_DEVICES; default: all]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    device: Option<String>,
    /// Run-time checks of the shaders' indices and loops [TRADEOFF_CHECKS; default: off]
    #[arg(long, value_parser = PossibleValuesParser::new(["on", "off"]))]
    checks: Option<String>,
    /// Peak, bandwidth and latency of each device [TRADEOFF_ROOFLINE; default: cached]
    #[arg(long, value_parser = PossibleValuesParser::new(["off", "cached", "force"]))]
    roofline: Option<String>,
    /// Tuned parameters of each matmul kernel [TRADEOFF_TUNE; default: cached]
    #[arg(long, value_parser = PossibleValuesParser::new(["off", "cached", "force"]))]
    tune: Option<String>,
    /// Summation order of each matmul kernel measured, in run.json [TRADEOFF_ORDERS; default: cached]
    ///
    /// Found out after the last case: cached finds what no earlier run did, in about 3 % of the time
    /// that the run took, which leaves none for a run of less than 17 s, and says why the others were not
    /// asked; force finds all anew.
    #[arg(long, value_parser = PossibleValuesParser::new(["off", "cached", "force"]))]
    orders: Option<String>,
}

impl SelectionArgs {
    /// The variables of the environment with those that flags override.
    pub fn variables(&self) -> anyhow::Result<Variables> {
        let mut variables = Variables { values: Selection::environment()?, flags: BTreeMap::new() };
        let workloads =
            self.workload.as_deref().map(|name| if name == "all" { "matmul,sgd" } else { name });
        for (flag, name, value) in [
            ("the workload", "TRADEOFF_WORKLOADS", workloads),
            ("--precision", "TRADEOFF_PRECISIONS", self.precision.as_deref()),
            ("--size", "TRADEOFF_SIZES", self.size.as_deref()),
            ("--distribution", "TRADEOFF_DISTRIBUTIONS", self.distribution.as_deref()),
            ("--a", "TRADEOFF_A", self.a.as_deref()),
            ("--b", "TRADEOFF_B", self.b.as_deref()),
            ("--kernel", "TRADEOFF_KERNELS", self.kernel.as_deref()),
            ("--rounding-bits", "TRADEOFF_ROUNDING_BITS", self.rounding_bits.as_deref()),
            ("--data-set", "TRADEOFF_DATA_SETS", self.data_set.as_deref()),
            ("--batch", "TRADEOFF_BATCHES", self.batch.as_deref()),
            ("--steps", "TRADEOFF_STEPS", self.steps.as_deref()),
            ("--learning-rate", "TRADEOFF_LEARNING_RATES", self.learning_rate.as_deref()),
            ("--algorithm", "TRADEOFF_ALGORITHMS", self.algorithm.as_deref()),
            ("--seed", "TRADEOFF_SEED", self.seed.as_deref()),
            ("--trial", "TRADEOFF_TRIAL", self.trial.as_deref()),
            ("--trials", "TRADEOFF_TRIALS", self.trials.as_deref()),
            ("--device", "TRADEOFF_DEVICES", self.device.as_deref()),
            ("--checks", "TRADEOFF_CHECKS", self.checks.as_deref()),
            ("--roofline", "TRADEOFF_ROOFLINE", self.roofline.as_deref()),
            ("--tune", "TRADEOFF_TUNE", self.tune.as_deref()),
            ("--orders", "TRADEOFF_ORDERS", self.orders.as_deref()),
        ] {
            if let Some(value) = value {
                variables.values.insert(name.to_owned(), value.to_owned());
                variables.flags.insert(name, flag);
            }
        }
        variables.expand_sizes()?;
        Ok(variables)
    }
}

/// `TRADEOFF_*` variables, and the flags that stand behind some of them.
pub struct Variables {
    pub values: BTreeMap<String, String>,
    flags: BTreeMap<&'static str, &'static str>,
}

impl Variables {
    /// Those of a plan, where no flag stands behind any, and the cache's place, which is no part of
    /// a plan.
    pub fn of_plan(selection: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut values = selection.clone();
        values.extend(Selection::environment()?.remove_entry("TRADEOFF_CACHE"));
        Ok(Self { values, flags: BTreeMap::new() })
    }

    fn expand_sizes(&mut self) -> anyhow::Result<()> {
        let flag = self.flags.get("TRADEOFF_SIZES").copied().unwrap_or("TRADEOFF_SIZES");
        if let Some(sizes) = self.values.get_mut("TRADEOFF_SIZES") {
            *sizes = expand_sizes(sizes).map_err(anyhow::Error::msg).context(flag)?;
        }
        Ok(())
    }

    /// What they select. An error names the flag, or the variable where no flag was given.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        Selection::from_variables(self.values.clone()).map_err(|error| match &error {
            SelectionError::Value { variable, reason } => match self.flags.get(variable) {
                Some(flag) => anyhow::anyhow!("{flag}: {reason}"),
                None => error.into(),
            },
            SelectionError::Variable(_) | SelectionError::NotUtf8 { .. } => error.into(),
        })
    }

    /// The devices that they name. Nothing is opened.
    pub fn devices(&self) -> anyhow::Result<Vec<Candidate>> {
        let devices = gpu::discover(self.values.get("TRADEOFF_DEVICES").map(String::as_str))?;
        if let Some(hint) = gpu::no_gpu_hint(&devices) {
            eprintln!("{hint}");
        }
        Ok(devices)
    }

    /// A session over the devices, its cases, and the provenance of what it will measure.
    pub fn session(&self) -> anyhow::Result<(Session, Vec<Case>, Provenance)> {
        let selection = self.selection()?;
        let devices = self.devices()?;
        let mut provenance = Provenance::collect();
        provenance.devices = devices.iter().map(|device| serde_json::json!(device.info)).collect();
        let session = Session::new(devices, selection, &provenance);
        let cases = session.plan();
        ensure!(
            !cases.is_empty(),
            "the selection has no case: none of its precisions is one of its workloads', or a list \
             is empty; `tradeoff list` without flags shows all"
        );
        Ok((session, cases, provenance))
    }
}
