//! `tradeoff ratio`: how many times as fast one setting is as another.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tradeoff::compare::{Basis, Measurement, RESAMPLES, Ratio, Setting, Which, ratios};
use tradeoff::record;

use super::output::{self, Form, significant, time};

/// How many times as fast one setting is as another, with a 95 % interval.
///
/// Rows that `tradeoff run` sampled in turn are compared round by round: the ratio is the median of
/// the quotients of the rounds, so what slows the machine for a while cancels. Rows sampled at
/// different times are compared by their medians, and the column `basis` says so. Both absolute
/// medians are printed with each ratio. Without --of and --to, each row is compared with the fastest
/// of its problem.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff ratio results/20260102T030405Z-box
  tradeoff ratio results/RUN --of precision=fp16 --to precision=fp32
  tradeoff ratio results/RUN --of kernel=register_tiled --to kernel=naive
  tradeoff ratio results/RUN --of precision=int8 --to precision=fp32 --best-kernel
  tradeoff ratio results/WARM results/COLD --of cache=cold --to cache=warm --csv")]
pub struct RatioArgs {
    /// Results: folders of runs, folders of such, or files.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The setting whose speed is told: column=value, several between commas; columns are
    /// precision, rounding_bits, kernel, device, backend, implementation, cache and operand_layout.
    #[arg(long, value_name = "SETTING", requires = "to")]
    of: Option<Setting>,
    /// The setting that it is compared with; the rows agree in all columns that neither names.
    #[arg(long, value_name = "SETTING", requires = "of")]
    to: Option<Setting>,
    /// Compare the fastest kernel of each setting instead of kernel by kernel.
    #[arg(long, requires = "of")]
    best_kernel: bool,
    #[command(flatten)]
    form: Form,
}

impl RatioArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let which = match (&self.of, &self.to) {
            (Some(of), Some(to)) => {
                Which::Settings { of: of.clone(), to: to.clone(), best_kernel: self.best_kernel }
            }
            _ => Which::Fastest,
        };
        let ratios = ratios(&record::load(&self.results)?, &which)?;
        let apart = ratios.iter().filter(|ratio| ratio.basis == Basis::Medians).count();
        if apart > 0 {
            eprintln!(
                "warning: {apart} of {} ratios are of rows that were not sampled in turn, so drift \
                 of the machine is in them; measure both settings in one `tradeoff run`",
                ratios.len()
            );
        }
        let lines: Vec<Line> = ratios.iter().map(Line::of).collect();
        let text = if self.form.csv {
            output::csv(&lines)?
        } else if self.form.json {
            serde_json::to_string_pretty(&lines)? + "\n"
        } else {
            table(&ratios)
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(ratios: &[Ratio]) -> String {
    let head =
        ["problem", "of", "to", "median of", "median to", "speed of/to", "95 % interval", "basis"];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    for ratio in ratios {
        let interval = ratio.interval.map_or_else(
            || "-".to_owned(),
            |ci| format!("[{}, {}]", significant(ci.low, 4), significant(ci.high, 4)),
        );
        let record = &ratio.of.record;
        let basis = match ratio.basis {
            Basis::Rounds => format!("{} rounds", ratio.count),
            Basis::Medians => "medians".to_owned(),
        };
        cells.push(vec![
            format!("{}/{}", record.workload, record.shape),
            name(&ratio.of),
            name(&ratio.to),
            time(ratio.of.median_ns),
            time(ratio.to.median_ns),
            significant(ratio.speed, 4),
            interval,
            basis,
        ]);
    }
    output::table(&cells, &[3, 4, 5])
        + &format!(
            "\nabove 1: `of` is faster; intervals: percentile bootstrap, {RESAMPLES} resamples\n"
        )
}

/// Precision, kernel and device, and what else is not as usual.
fn name(row: &Measurement) -> String {
    let record = &row.record;
    let precision = record.precision_label();
    let mut name = format!("{precision}/{}/{}", record.kernel, record.device);
    if record.cache == "cold" {
        name += " cold";
    }
    if !matches!(record.implementation.as_str(), "" | "tradeoff") {
        name = format!("{} {name}", record.implementation);
    }
    name
}

/// A ratio in CSV and JSON.
#[derive(Default, Serialize)]
struct Line {
    workload: String,
    shape: String,
    case_id_of: String,
    case_id_to: String,
    median_of_ns: f64,
    median_to_ns: f64,
    /// Time of `to` over time of `of`.
    speed_ratio: f64,
    speed_ratio_ci95_low: Option<f64>,
    speed_ratio_ci95_high: Option<f64>,
    /// `rounds` or `medians`.
    basis: &'static str,
    /// Rounds, or the lesser number of samples.
    count: usize,
    resamples: u32,
    run_of: String,
    run_to: String,
}

impl Line {
    fn of(ratio: &Ratio) -> Self {
        let (of, to) = (&ratio.of.record, &ratio.to.record);
        Self {
            workload: of.workload.clone(),
            shape: of.shape.clone(),
            case_id_of: of.case_id.clone(),
            case_id_to: to.case_id.clone(),
            median_of_ns: ratio.of.median_ns,
            median_to_ns: ratio.to.median_ns,
            speed_ratio: ratio.speed,
            speed_ratio_ci95_low: ratio.interval.map(|ci| ci.low),
            speed_ratio_ci95_high: ratio.interval.map(|ci| ci.high),
            basis: match ratio.basis {
                Basis::Rounds => "rounds",
                Basis::Medians => "medians",
            },
            count: ratio.count,
            resamples: RESAMPLES,
            run_of: of.run_id.clone(),
            run_to: to.run_id.clone(),
        }
    }
}
