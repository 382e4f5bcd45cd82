//! `tradeoff frontier`: which settings are worth having, and the fastest that keeps an error.

use anyhow::bail;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use tradeoff::frontier::{Exclusion, Frontier, Interval, Metric, Options, Point, Standing, Survey};
use tradeoff::record::{LoadError, Record, Source};
use tradeoff::{frontier, record};

use super::output::{self, Form, significant};
use crate::escaped;

/// Shows the settings that no other beats in both throughput and error.
///
/// One table a workload, shape, problem and device; a point is a precision, kernel and learning
/// rate, by its latest measurement. `*` marks the frontier, `*~` a point of it whose lead in speed over
/// a more exact one is not settled, `~` what cannot be told apart from it: the 95 % intervals touch.
/// One row has an error without an interval; several seeds or trials give it one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff frontier results/20260102T030405Z-box
  tradeoff frontier results --workload matmul --device llvmpipe-vulkan --all
  tradeoff frontier results --max-error 1e-3
  tradeoff frontier a/measurements.csv b/measurements.csv --with-conversion --csv")]
pub struct FrontierArgs {
    /// Runs: folders of runs, folders of such folders, or files of measurements.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// Only this workload.
    #[arg(long)]
    workload: Option<String>,
    /// Only this device.
    #[arg(long)]
    device: Option<String>,
    /// Name the fastest setting whose error is at most this.
    #[arg(long, value_name = "ERROR", value_parser = max_error, allow_negative_numbers = true)]
    max_error: Option<f64>,
    /// Error column [default: each workload's primary error].
    #[arg(long, value_name = "COLUMN")]
    metric: Option<Metric>,
    /// Count the time of converting the operands.
    #[arg(long)]
    with_conversion: bool,
    /// Show what is dominated too.
    #[arg(long)]
    all: bool,
    /// List each row that is left out.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    form: Form,
}

fn max_error(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("write an error of at least 0, such as 1e-3".to_owned()),
    }
}

/// The rows of all runs, and where each stands.
struct Rows {
    records: Vec<Record>,
    sources: Vec<Source>,
}

impl FrontierArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let rows = self.rows()?;
        let options = Options { metric: self.metric, with_conversion: self.with_conversion };
        let survey = frontier::survey(&rows.records, options);
        for left_out in &survey.left_out {
            if let Exclusion::Unusable { column, value } = left_out.why {
                let at = rows.sources[left_out.row].clone();
                return Err(LoadError::unusable(at, column, value).into());
            }
        }
        self.tell_left_out(&survey, &rows);
        if survey.frontiers.is_empty() {
            bail!(
                "none of the {} rows is a point: each is left out; -v lists why, `tradeoff run` measures again",
                rows.records.len()
            );
        }
        let (form, frontiers) = (&self.form, &survey.frontiers);
        let repeated = |point: &&Point| point.rows.len() > point.draws;
        let repeated = frontiers.iter().flat_map(|f| &f.points).filter(repeated).count();
        if repeated > 0 {
            eprintln!("{repeated} settings were measured several times; the latest row counts");
        }
        let text = match self.max_error {
            Some(limit) if !form.json && !form.csv => {
                frontiers.iter().map(|f| escaped(&answer(f, &rows, limit)) + "\n").collect()
            }
            limit if form.csv => output::csv(&self.lines(frontiers, &rows, limit))?,
            limit if form.json => {
                serde_json::to_string_pretty(&self.lines(frontiers, &rows, limit))? + "\n"
            }
            _ => {
                let tables = frontiers.iter().map(|f| self.table(f, &rows));
                tables.collect::<Vec<_>>().join("\n")
            }
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn rows(&self) -> anyhow::Result<Rows> {
        let runs = record::load(&self.results)?;
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|w| w == name);
        let mut rows = Rows { records: Vec::new(), sources: Vec::new() };
        for run in &runs {
            for (index, record) in run.records.iter().enumerate() {
                if is(&self.workload, &record.workload) && is(&self.device, &record.device) {
                    rows.records.push(record.clone());
                    rows.sources.push(run.source(index));
                }
            }
        }
        if rows.records.is_empty() {
            let mut there: Vec<String> = (runs.iter().flat_map(|run| &run.records))
                .map(|record| format!("{} on {}", record.workload, record.device))
                .collect();
            there.sort();
            there.dedup();
            let asked = |wanted: &Option<String>| wanted.clone().unwrap_or_else(|| "any".into());
            bail!(
                "no row has workload {} and device {}; there are {}",
                asked(&self.workload),
                asked(&self.device),
                there.join(", ")
            );
        }
        Ok(rows)
    }

    fn tell_left_out(&self, survey: &Survey, rows: &Rows) {
        if survey.left_out.is_empty() {
            return;
        }
        let mut reasons = BTreeMap::<String, usize>::new();
        for left_out in &survey.left_out {
            *reasons.entry(left_out.why.to_string()).or_default() += 1;
            if self.verbose {
                let record = &rows.records[left_out.row];
                let (at, case) = (&rows.sources[left_out.row], &record.case_id);
                let reason = record.reason.as_str();
                let dash = if reason.is_empty() { "" } else { ": " };
                eprintln!("left out: {at}: {case}: {}{dash}{reason}", left_out.why);
            }
        }
        let reasons: Vec<_> = reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let (out, all) = (survey.left_out.len(), rows.records.len());
        eprintln!("{out} of {all} rows are left out: {}", reasons.join("; "));
    }

    fn table(&self, frontier: &Frontier, rows: &Rows) -> String {
        let mut cells = vec![
            ["", "precision", "kernel", "throughput", "95 % interval", "error", "interval", ""]
                .map(str::to_owned)
                .to_vec(),
        ];
        // Named where there are several to tell apart.
        let has_rates = frontier.has_rates(&rows.records);
        if has_rates {
            cells[0].insert(RATE, "rate".to_owned());
        }
        let mut hidden = 0;
        for point in &frontier.points {
            if matches!(point.standing, Standing::Dominated { .. }) && !self.all {
                hidden += 1;
                continue;
            }
            let record = &rows.records[point.row];
            let (mark, relation) = match point.standing {
                Standing::OnFrontier => match point.contested_by {
                    None => ("*", String::new()),
                    Some(by) => ("*~", format!("~ {}", setting(frontier, by, rows))),
                },
                Standing::Indistinguishable { from } => {
                    ("~", format!("~ {}", setting(frontier, from, rows)))
                }
                Standing::Dominated { by } => ("", format!("< {}", setting(frontier, by, rows))),
            };
            let mut line = vec![
                mark.to_owned(),
                frontier::name(record),
                kernel(record),
                significant(point.throughput, 4),
                shown(point.throughput_ci, 4),
                significant(point.error, 4),
                point.error_ci.map_or_else(|| "-".to_owned(), |ci| shown(ci, 4)),
                relation,
            ];
            if has_rates {
                line.insert(RATE, rate(record).unwrap_or_default());
            }
            cells.push(line);
        }
        let mut text = format!(
            "{}: throughput in {}{}, error is {}",
            title(frontier),
            frontier.throughput_unit,
            if self.with_conversion { " with conversion" } else { "" },
            frontier.error_metric,
        );
        text = escaped(&text) + "\n";
        let right = if has_rates { [RATE, 4, 6].as_slice() } else { &[3, 5] };
        text += &output::table(&cells, right);
        if hidden > 0 {
            text += &format!("{hidden} dominated; --all shows them\n");
        }
        text
    }

    fn lines(&self, frontiers: &[Frontier], rows: &Rows, limit: Option<f64>) -> Vec<Line> {
        let mut lines = Vec::new();
        for frontier in frontiers {
            let fastest = limit.and_then(|limit| frontier.fastest_within(limit));
            for (position, point) in frontier.points.iter().enumerate() {
                let mut line = self.line(frontier, point, rows);
                line.max_error = limit;
                line.fastest_within = limit
                    .map(|_| fastest.as_ref().is_some_and(|fastest| fastest.point == position));
                lines.push(line);
            }
        }
        lines
    }

    fn line(&self, frontier: &Frontier, point: &Point, rows: &Rows) -> Line {
        let (record, source) = (&rows.records[point.row], &rows.sources[point.row]);
        let (standing, than) = match point.standing {
            Standing::OnFrontier => ("frontier", point.contested_by),
            Standing::Indistinguishable { from } => ("indistinguishable", Some(from)),
            Standing::Dominated { by } => ("dominated", Some(by)),
        };
        Line {
            workload: frontier.workload.clone(),
            shape: frontier.shape.clone(),
            problem: frontier.problem.clone(),
            conditions: frontier.conditions.clone(),
            device: frontier.device.clone(),
            device_name: frontier.device_name.clone(),
            driver_info: frontier.driver_info.clone(),
            precision: record.precision.clone(),
            setting: frontier::name(record),
            rounding_bits: record.rounding_bits,
            implementation: frontier::peer(record).unwrap_or("tradeoff").to_owned(),
            kernel: record.kernel.clone(),
            learning_rate: record.learning_rate,
            throughput: point.throughput,
            throughput_ci95_low: point.throughput_ci.low,
            throughput_ci95_high: point.throughput_ci.high,
            throughput_unit: frontier.throughput_unit.clone(),
            with_conversion: self.with_conversion,
            error: point.error,
            error_ci95_low: point.error_ci.map(|ci| ci.low),
            error_ci95_high: point.error_ci.map(|ci| ci.high),
            error_metric: frontier.error_metric.clone(),
            error_draws: point.draws,
            standing,
            than: than.map(|i| setting(frontier, i, rows)).unwrap_or_default(),
            max_error: None,
            fastest_within: None,
            run_id: record.run_id.clone(),
            case_id: record.case_id.clone(),
            file: source.file.display().to_string(),
            line: source.line,
        }
    }
}

/// A point in CSV and JSON.
#[derive(Default, Serialize)]
struct Line {
    workload: String,
    shape: String,
    problem: String,
    /// What of caches, layout and number of products is not the default.
    conditions: String,
    device: String,
    device_name: String,
    driver_info: String,
    precision: String,
    /// The precision with what else a dial sets: algorithm and random bits.
    setting: String,
    /// Random bits of one stochastic rounding.
    rounding_bits: Option<u32>,
    implementation: String,
    kernel: String,
    learning_rate: Option<f64>,
    throughput: f64,
    throughput_ci95_low: f64,
    throughput_ci95_high: f64,
    throughput_unit: String,
    with_conversion: bool,
    error: f64,
    error_ci95_low: Option<f64>,
    error_ci95_high: Option<f64>,
    error_metric: String,
    error_draws: usize,
    standing: &'static str,
    /// Setting that it is dominated by or cannot be told from; of a point of the frontier, the more
    /// exact one over which its lead in speed is not settled.
    than: String,
    max_error: Option<f64>,
    fastest_within: Option<bool>,
    run_id: String,
    case_id: String,
    file: String,
    line: u64,
}

fn title(frontier: &Frontier) -> String {
    let Frontier { workload, shape, problem, conditions, device, .. } = frontier;
    // A data set's shape has its name.
    let problem = if shape.contains(problem.as_str()) { "" } else { problem };
    let problem = if problem.is_empty() { String::new() } else { format!(", {problem}") };
    let under = if conditions.is_empty() { String::new() } else { format!(", {conditions}") };
    format!("{workload} {shape}{problem}{under} on {device}")
}

/// The kernel of a row, with whose it is if it is not this crate's.
fn kernel(record: &Record) -> String {
    let of = frontier::peer(record).map(|peer| format!(" of {peer}")).unwrap_or_default();
    format!("{}{of}", record.kernel)
}

/// Position of the learning rate in a table, behind precision and kernel.
const RATE: usize = 3;

/// The learning rate of a row, if it has one.
fn rate(record: &Record) -> Option<String> {
    record.learning_rate.map(|rate| significant(rate, 3))
}

/// Precision, algorithm, random bits and kernel of a point, and its learning rate where there are several.
fn setting(frontier: &Frontier, point: usize, rows: &Rows) -> String {
    let record = &rows.records[frontier.points[point].row];
    let rate = rate(record).filter(|_| frontier.has_rates(&rows.records));
    let rate = rate.map(|rate| format!(" rate {rate}")).unwrap_or_default();
    format!("{} {}{rate}", frontier::name(record), kernel(record))
}

fn shown(interval: Interval, digits: usize) -> String {
    let (low, high) = (significant(interval.low, digits), significant(interval.high, digits));
    format!("[{low}, {high}]")
}

/// The fastest setting within an error, in one line.
fn answer(frontier: &Frontier, rows: &Rows, limit: f64) -> String {
    let (title, metric) = (title(frontier), &frontier.error_metric);
    let Some(fastest) = frontier.fastest_within(limit) else {
        let least = frontier.points.iter().map(|point| point.error).min_by(f64::total_cmp);
        let least = least.map(|error| significant(error, 3)).unwrap_or_default();
        return format!("{title}: none has {metric} ≤ {limit:e}; the least is {least}");
    };
    let point = &frontier.points[fastest.point];
    let rivals: Vec<_> = fastest.rivals.iter().map(|&i| setting(frontier, i, rows)).collect();
    format!(
        "{title}: {} at {} {} {}, {metric} {} ≤ {limit:e}{}",
        setting(frontier, fastest.point, rows),
        significant(point.throughput, 4),
        frontier.throughput_unit,
        shown(point.throughput_ci, 4),
        significant(point.error, 3),
        if rivals.is_empty() {
            String::new()
        } else {
            format!("; not told apart in speed: {}", rivals.join(", "))
        },
    )
}
