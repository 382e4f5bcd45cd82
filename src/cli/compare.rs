//! `tradeoff compare`: runs, devices or backends side by side.

use anyhow::{Context, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use tradeoff::compare::{
    By, Comparison, FingerprintDifference, GeometricMean, LEAST_PROCESSES, LEAST_SAMPLES, Method,
    OrderDifference, Pair, RESAMPLES, Side, compare, sides,
};
use tradeoff::record;
use tradeoff::words::counted;

use super::output::{self, Form, significant, time};
use crate::escaped;

/// Compares B with A on the cases that both have.
///
/// A ratio is B's median time over A's: above 1, B is slower. Its 95 % interval is a bootstrap over
/// the timing samples of the two rows; a file without its samples.csv has the two medians' own
/// intervals instead, which are wider. Where a side was measured with --repeats, processes are
/// resampled, then samples within. B is slower or faster if the interval excludes 1. With one
/// process a side the interval does not hold what differs from one process to the next.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff compare results/20260102T030405Z-box results/20260103T030405Z-box
  tradeoff compare before after --fail-if-slower 5%
  tradeoff compare --by device llvmpipe-vulkan cpu results/20260102T030405Z-box
  tradeoff compare --by backend vulkan gl results/20260102T030405Z-box --csv
  tradeoff compare --by implementation tradeoff gemm results/20260102T030405Z-box

Exit status: 0; 1 if --fail-if-slower found a case; 2 on bad input.")]
pub struct Compare {
    /// What is compared: A and B are results (run), or names within RESULTS (device, backend,
    /// implementation).
    #[arg(long, value_enum, value_name = "WHAT", default_value = "run")]
    by: ByArg,
    /// Results, or the name of a device, backend or implementation: what ratios are over.
    a: PathBuf,
    /// The same: what verdicts are about.
    b: PathBuf,
    /// With --by device, backend or implementation, the results: folders of runs, folders of such, or files.
    results: Vec<PathBuf>,
    /// Compare the fastest kernel of each side instead of kernel by kernel.
    #[arg(long)]
    best_kernel: bool,
    /// Exit with status 1 if the whole interval of a case lies above this, such as 5%.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_if_slower: Option<f64>,
    /// List the cases that only one side has, and the rows left out.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ByArg {
    Run,
    Device,
    Backend,
    Implementation,
}

impl From<ByArg> for By {
    fn from(by: ByArg) -> Self {
        match by {
            ByArg::Run => Self::Run,
            ByArg::Device => Self::Device,
            ByArg::Backend => Self::Backend,
            ByArg::Implementation => Self::Implementation,
        }
    }
}

/// The number of a percentage. The sign is demanded: `5` and `0.05` could be meant either way.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = number.filter(|percent| percent.is_finite() && *percent >= 0.0);
    percent.ok_or_else(|| "write a percentage of at least 0, such as 5%".to_owned())
}

impl Compare {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let comparison = self.comparison()?;
        self.tell(&comparison);
        let text = if self.form.csv {
            output::csv(&lines(&comparison))?
        } else if self.form.json {
            serde_json::to_string_pretty(&Whole::of(&comparison))? + "\n"
        } else {
            table(&comparison)
        };
        output::print(&text)?;
        if let Some(percent) = self.fail_if_slower
            && tell_slower(&comparison, percent)
        {
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn comparison(&self) -> anyhow::Result<Comparison> {
        let by = By::from(self.by);
        let runs = match (by, self.results.is_empty()) {
            (By::Run, true) => record::load(&[&self.a, &self.b])?,
            (By::Run, false) => bail!(
                "{} paths too many: A and B are the results that are compared; compare their devices with --by device A B RESULTS",
                self.results.len()
            ),
            (_, false) => record::load(&self.results)?,
            (_, true) => bail!("no results are named; write --by {} A B RESULTS", by.name()),
        };
        let names = [&self.a, &self.b].map(|name| name.to_string_lossy());
        let (a, b) = sides(&runs, by, [&names[0], &names[1]])?;
        compare(a, b, by, self.best_kernel).context("nothing to compare")
    }

    /// Everything that is no result.
    fn tell(&self, comparison: &Comparison) {
        for difference in comparison.differences() {
            eprintln!("warning: {difference}");
        }
        for difference in comparison.fingerprints() {
            eprintln!("warning: {difference}");
        }
        for difference in comparison.orders() {
            eprintln!("{difference}");
        }
        for (name, side, only) in
            [("A", &comparison.a, &comparison.only_a), ("B", &comparison.b, &comparison.only_b)]
        {
            self.tell_side(name, side);
            if !only.is_empty() {
                eprintln!("{} only in {name}{}", counted(only.len(), "case"), self.hint());
            }
            for &row in only.iter().filter(|_| self.verbose) {
                let row = &side.rows[row];
                eprintln!("only in {name}: {}: {}", row.source, row.record.case_id);
            }
        }
        let few = comparison.pairs.iter().filter(|pair| pair.method == Method::None).count();
        if few > 0 {
            eprintln!(
                "warning: {} undecided because a side has fewer than {LEAST_SAMPLES} samples; measure them for longer",
                counted(few, "case")
            );
        }
        let few = comparison.of_few_processes();
        if few > 0 {
            eprintln!(
                "warning: the intervals of {} are of fewer than {LEAST_PROCESSES} processes on a side and too narrow; measure with --repeats {LEAST_PROCESSES} or more",
                counted(few, "case")
            );
        }
    }

    fn tell_side(&self, name: &str, side: &Side) {
        let mut statuses = BTreeMap::<&str, usize>::new();
        for (status, source) in &side.left_out {
            *statuses.entry(status.name()).or_default() += 1;
            if self.verbose {
                eprintln!("left out of {name}: {source}: status {}", status.name());
            }
        }
        if !statuses.is_empty() {
            let counts: Vec<_> = statuses.iter().map(|(name, n)| format!("{n} {name}")).collect();
            eprintln!("rows left out of {name}: {}{}", counts.join(", "), self.hint());
        }
        if let Some(first) = side.superseded.first() {
            eprintln!(
                "warning: {} of {name} of cases that were measured again, such as {first}; the latest count",
                counted(side.superseded.len(), "row")
            );
        }
        if let Some(first) = side.stale.first() {
            eprintln!(
                "warning: {} of {name} with samples in samples.csv that do not give the median, such as {first}; the intervals of the medians are used",
                counted(side.stale.len(), "row")
            );
        }
    }

    fn hint(&self) -> &'static str {
        if self.verbose { "" } else { "; -v lists them" }
    }
}

/// Names the cases in which B is slower by more than a percentage, and says whether there are any.
fn tell_slower(comparison: &Comparison, percent: f64) -> bool {
    let mut any = false;
    for pair in comparison.slower_by(percent / 100.0) {
        let ratio = significant(pair.ratio, 4);
        eprintln!(
            "slower by more than {percent} %: {}: ratio {ratio}, 95 % interval {}",
            [case(pair, comparison), pair.case.conditions().into(), kernels(comparison, pair)]
                .into_iter()
                .filter(|part: &String| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
            interval(pair)
        );
        any = true;
    }
    let tested = comparison.pairs.iter().filter(|pair| pair.interval.is_some()).count();
    eprintln!(
        "--fail-if-slower tested {tested} of {}; a case of two equal sides fails by chance in 2.5 % of comparisons at 0 %, less often above",
        counted(comparison.pairs.len(), "case")
    );
    any
}

fn table(comparison: &Comparison) -> String {
    let head =
        ["case", "inputs", "kernel", "A", "B", "B/A", "95 % interval", "B is", "error B/A", "bits"];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    for pair in &comparison.pairs {
        let (a, b) = comparison.rows(pair);
        cells.push(vec![
            case(pair, comparison),
            pair.case.conditions().to_owned(),
            kernels(comparison, pair),
            time(a.median_ns),
            time(b.median_ns),
            significant(pair.ratio, 4),
            interval(pair),
            pair.verdict.name().to_owned(),
            pair.error_ratio.map_or_else(|| "-".to_owned(), |ratio| significant(ratio, 3)),
            bits(pair).to_owned(),
        ]);
    }
    let Comparison { a, b, by, .. } = comparison;
    let [a, b] = [a, b].map(|side| escaped(&side.label));
    let mut text = format!("A is {by} {a}\nB is {by} {b}\n\n", by = by.name());
    text += &output::table(&cells, &[3, 4, 5, 8]);
    text += "\ngeometric mean of B/A\n";
    let mean = |mean: GeometricMean| {
        let name = format!("{}/{}", mean.workload, mean.precision);
        vec![name, significant(mean.ratio, 4), counted(mean.cases, "case")]
    };
    let means: Vec<_> = comparison.geometric_means().into_iter().map(mean).collect();
    text + &output::table(&means, &[1]) + &methods(comparison)
}

/// Where the intervals are from.
fn methods(comparison: &Comparison) -> String {
    let count = |method| comparison.pairs.iter().filter(|pair| pair.method == method).count();
    let mut text = "\n".to_owned();
    if let n @ 1.. = count(Method::Bootstrap) {
        text += &format!("intervals: percentile bootstrap, {RESAMPLES} resamples, of {n} ratios\n");
    }
    if let n @ 1.. = count(Method::Processes) {
        text += &format!(
            "intervals: percentile bootstrap over processes and the samples within, {RESAMPLES} resamples, of {n} ratios\n"
        );
    }
    if let n @ 1.. = count(Method::Medians) {
        text += &format!(
            "intervals: from the 95 % intervals of both medians, for want of samples, of {n} ratios\n"
        );
    }
    text
}

/// The case, with its inputs and training where the name alone is that of several pairs.
fn case(pair: &Pair, comparison: &Comparison) -> String {
    let name = pair.case.to_string();
    let alike = |other: &&Pair| {
        kernels(comparison, other) == kernels(comparison, pair)
            && other.case.conditions() == pair.case.conditions()
            && other.case.to_string() == name
    };
    match comparison.pairs.iter().filter(alike).count() {
        1 => name,
        _ => format!("{name} ({})", pair.case.details()),
    }
}

fn kernels(comparison: &Comparison, pair: &Pair) -> String {
    let (a, b) = comparison.rows(pair);
    let (a, b) = (&a.record.kernel, &b.record.kernel);
    if a == b { a.clone() } else { format!("{a} → {b}") }
}

fn interval(pair: &Pair) -> String {
    let shown = |x| significant(x, 4);
    pair.interval.map_or_else(
        || "-".to_owned(),
        |interval| format!("[{}, {}]", shown(interval.low), shown(interval.high)),
    )
}

/// Whether the two results have the same bits or, where the rows do not say, their mirrors'.
fn bits(pair: &Pair) -> &'static str {
    if let Some(same) = pair.bits.same_result {
        return if same { "same" } else { "differ" };
    }
    match (pair.bits.mirror_a, pair.bits.mirror_b) {
        (Some(true), Some(true)) => "as mirrored",
        (Some(false), Some(false)) => "both differ",
        (Some(false), _) => "A differs",
        (_, Some(false)) => "B differs",
        _ => "not said",
    }
}

/// A pair in CSV and JSON.
#[derive(Default, Serialize)]
struct Line {
    workload: String,
    precision: String,
    /// Random bits of one stochastic rounding, where they are not the usual 16.
    rounding_bits: Option<u32>,
    kernel_a: String,
    kernel_b: String,
    shape: String,
    learning_rate: Option<f64>,
    problem: String,
    /// What of the inputs the shape does not tell, and what else is not the default.
    conditions: String,
    seed: Option<u64>,
    trial: Option<u32>,
    device_a: String,
    device_b: String,
    median_a_ns: f64,
    median_b_ns: f64,
    ratio: f64,
    ratio_ci95_low: Option<f64>,
    ratio_ci95_high: Option<f64>,
    /// `bootstrap`, `processes`, `medians` or `none`.
    interval: &'static str,
    resamples: Option<u32>,
    verdict: &'static str,
    primary_error_metric: String,
    error_a: Option<f64>,
    error_b: Option<f64>,
    error_ratio: Option<f64>,
    /// `same` or `differ`; where the results' hashes do not say, how each compares with its mirror:
    /// `as mirrored`, `both differ`, `A differs`, `B differs` or `not said`.
    bits: &'static str,
    mirror_equal_a: Option<bool>,
    mirror_equal_b: Option<bool>,
    same_inputs: Option<bool>,
    same_wgsl: Option<bool>,
    run_a: String,
    run_b: String,
    file_a: String,
    line_a: u64,
    file_b: String,
    line_b: u64,
}

fn lines(comparison: &Comparison) -> Vec<Line> {
    comparison.pairs.iter().map(|pair| line(comparison, pair)).collect()
}

fn line(comparison: &Comparison, pair: &Pair) -> Line {
    let (a, b) = comparison.rows(pair);
    let case = &pair.case;
    Line {
        workload: case.workload.clone(),
        precision: case.precision.clone(),
        rounding_bits: case.rounding_bits,
        kernel_a: a.record.kernel.clone(),
        kernel_b: b.record.kernel.clone(),
        shape: case.shape.clone(),
        learning_rate: a.record.learning_rate,
        problem: case.problem.clone(),
        conditions: case.conditions().to_owned(),
        seed: case.seed,
        trial: case.trial,
        device_a: a.record.device.clone(),
        device_b: b.record.device.clone(),
        median_a_ns: a.median_ns,
        median_b_ns: b.median_ns,
        ratio: pair.ratio,
        ratio_ci95_low: pair.interval.map(|ci| ci.low),
        ratio_ci95_high: pair.interval.map(|ci| ci.high),
        interval: match pair.method {
            Method::Bootstrap => "bootstrap",
            Method::Processes => "processes",
            Method::Medians => "medians",
            Method::None => "none",
        },
        resamples: matches!(pair.method, Method::Bootstrap | Method::Processes)
            .then_some(RESAMPLES),
        verdict: pair.verdict.name(),
        primary_error_metric: a.record.primary_error_metric.clone(),
        error_a: a.record.primary_error,
        error_b: b.record.primary_error,
        error_ratio: pair.error_ratio,
        bits: bits(pair),
        mirror_equal_a: pair.bits.mirror_a,
        mirror_equal_b: pair.bits.mirror_b,
        same_inputs: pair.bits.same_inputs,
        same_wgsl: pair.bits.same_wgsl,
        run_a: a.record.run_id.clone(),
        run_b: b.record.run_id.clone(),
        file_a: a.source.file.display().to_string(),
        line_a: a.source.line,
        file_b: b.source.file.display().to_string(),
        line_b: b.source.line,
    }
}

/// A comparison in JSON.
#[derive(Serialize)]
struct Whole {
    by: &'static str,
    a: String,
    b: String,
    cases: Vec<Line>,
    geometric_means: Vec<GeometricMean>,
    warnings: Vec<String>,
    fingerprints: Vec<FingerprintDifference>,
    orders: Vec<OrderDifference>,
    only_a: Vec<String>,
    only_b: Vec<String>,
}

impl Whole {
    fn of(comparison: &Comparison) -> Self {
        let ids = |side: &Side, only: &[usize]| {
            only.iter().map(|&row| side.rows[row].record.case_id.clone()).collect()
        };
        let differences = comparison.differences();
        Self {
            by: comparison.by.name(),
            a: comparison.a.label.clone(),
            b: comparison.b.label.clone(),
            cases: lines(comparison),
            geometric_means: comparison.geometric_means(),
            warnings: differences.iter().map(ToString::to_string).collect(),
            fingerprints: comparison.fingerprints(),
            orders: comparison.orders(),
            only_a: ids(&comparison.a, &comparison.only_a),
            only_b: ids(&comparison.b, &comparison.only_b),
        }
    }
}
