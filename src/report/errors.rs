//! The errors of all rows in detail: what makes them, what they tend to, what bounds them, whether they
//! come back. Columns that no row fills are left out.

use serde::Serialize;

use super::data::Data;
use super::scale::significant;
use crate::frontier;
use crate::record::Record;

/// A table of errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorTable {
    /// Headings, without that of the case.
    pub columns: Vec<&'static str>,
    /// Rows of which more is known than the error itself.
    pub rows: Vec<ErrorRow>,
}

/// A row of [`ErrorTable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorRow {
    /// Position in the report's data.
    pub index: usize,
    /// What the page filters by.
    pub device: String,
    /// The same.
    pub workload: String,
    /// The same.
    pub precision: String,
    /// Setting, kernel, shape and inputs, device.
    pub case: String,
    /// One a column; empty where the row has nothing there.
    pub cells: Vec<String>,
}

/// What a row has in a column.
type Column = (&'static str, fn(&Record) -> Option<String>);

const COLUMNS: [Column; 15] = [
    ("conversion", |r| value(r.conversion_error)),
    ("accumulation", |r| value(r.accumulation_error)),
    ("output", |r| value(r.output_rounding_error)),
    ("parts / error", |r| value(r.parts_over_error)),
    ("bias", |r| with_ends(r.signed_bias, [r.signed_bias_ci95_low, r.signed_bias_ci95_high])),
    ("trials", |r| r.trials.map(|trials| trials.to_string())),
    ("error of a trial", |r| value(r.trial_error)),
    ("error of their mean", |r| value(r.trial_mean_error)),
    ("bias over trials", |r| {
        with_ends(r.trial_bias, [r.trial_bias_ci95_low, r.trial_bias_ci95_high])
    }),
    ("error / bound", |r| {
        let says_nothing = if r.bound_vacuous == Some(true) { " (vacuous)" } else { "" };
        Some(format!("{}{says_nothing}", value(r.measured_over_bound)?))
    }),
    ("error / probabilistic", |r| or_more(r.measured_over_probabilistic, r.probabilistic_failure)),
    ("error / stochastic", |r| or_more(r.measured_over_stochastic, r.stochastic_failure)),
    ("stagnated", |r| Some(format!("{} %", value(r.stagnated_fraction.map(|part| 100.0 * part))?))),
    ("repeatable", |r| r.repeatable.map(yes)),
    ("batch-invariant", |r| r.batch_invariant.map(yes)),
];

/// What the rows of a matrix product and of SGD have always had, and so is no detail.
const PLAIN: &str = "error / bound";

impl ErrorTable {
    /// Of all rows that say more of their error than its size and its deterministic bound.
    pub fn of(data: &Data) -> Self {
        let detailed = |record: &&Record| {
            COLUMNS.iter().any(|(name, of)| *name != PLAIN && of(record).is_some())
        };
        let known: Vec<&Record> = data.records.iter().filter(detailed).collect();
        let filled = |(_, of): &&Column| known.iter().any(|record| of(record).is_some());
        let columns: Vec<&Column> = COLUMNS.iter().filter(filled).collect();
        let rows = data.records.iter().enumerate().filter(|(_, record)| detailed(record));
        let rows = rows.map(|(index, record)| ErrorRow {
            index,
            device: record.device.clone(),
            workload: record.workload.clone(),
            precision: record.precision.clone(),
            case: case(record),
            cells: columns.iter().map(|(_, of)| of(record).unwrap_or_default()).collect(),
        });
        Self { rows: rows.collect(), columns: columns.iter().map(|(name, _)| *name).collect() }
    }
}

/// `fp16-sr naive, 512x512x512 uniform01, cpu`.
fn case(record: &Record) -> String {
    // Behind it the id has inputs, too, which are told in full, and a learning rate that is swept.
    let swept = record.learning_rate.is_some();
    let shape = if swept { record.shape_in_id() } else { record.shape.as_str() };
    let inputs = frontier::problem(record);
    let inputs = if shape.contains(&inputs) { String::new() } else { format!(" {inputs}") };
    let of = frontier::peer(record).map(|peer| format!(" of {peer}")).unwrap_or_default();
    format!("{} {}{of}, {shape}{inputs}, {}", frontier::name(record), record.kernel, record.device)
}

fn value(value: Option<f64>) -> Option<String> {
    value.map(|value| significant(value, 3).replace('-', "−"))
}

/// A bias is rarely known to more than a digit or two.
fn with_ends(middle: Option<f64>, ends: [Option<f64>; 2]) -> Option<String> {
    let shown = |value: f64| significant(value, 2).replace('-', "−");
    let text = shown(middle?);
    let ends = ends[0].zip(ends[1]).filter(|(low, high)| low < high);
    let ends = ends.map(|(low, high)| format!(" ({} to {})", shown(low), shown(high)));
    Some(text + &ends.unwrap_or_default())
}

/// A ratio to a bound that holds but with some probability.
fn or_more(ratio: Option<f64>, failure: Option<f64>) -> Option<String> {
    let text = value(ratio)?;
    let failure = failure.map(|p| format!(" (fails with p ≤ {})", significant(p, 2)));
    Some(text + &failure.unwrap_or_default())
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_know_of_their_errors_is_told_and_no_empty_column() {
        let known = Record {
            precision: "fp16-sr".into(),
            kernel: "mirror".into(),
            shape: "8x8x8".into(),
            device: "cpu".into(),
            distribution: "cancel".into(),
            distribution_parameters: "digits=4".into(),
            rounding_bits: Some(8),
            signed_bias: Some(-1.5e-9),
            signed_bias_ci95_low: Some(-2e-9),
            signed_bias_ci95_high: Some(-1e-9),
            measured_over_bound: Some(0.25),
            bound_vacuous: Some(true),
            measured_over_stochastic: Some(0.125),
            stochastic_failure: Some(0.01),
            stagnated_fraction: Some(0.5),
            batch_invariant: Some(false),
            ..Record::default()
        };
        let plain = Record { measured_over_bound: Some(0.5), ..Record::default() };
        let data = Data {
            runs: vec![],
            records: vec![plain, known],
            citations: vec![],
            trajectories: vec![],
            frontiers: vec![],
            left_out: vec![],
        };
        let table = ErrorTable::of(&data);
        let columns =
            ["bias", "error / bound", "error / stochastic", "stagnated", "batch-invariant"];
        assert_eq!(table.columns, columns);
        let [row] = &table.rows[..] else { panic!("{table:?}") };
        assert_eq!(row.index, 1);
        assert_eq!(row.case, "fp16-sr r=8 mirror, 8x8x8 cancel(digits=4), cpu");
        assert_eq!(
            row.cells,
            [
                "−1.5·10⁻⁹ (−2.0·10⁻⁹ to −1.0·10⁻⁹)",
                "0.250 (vacuous)",
                "0.125 (fails with p ≤ 0.010)",
                "50.0 %",
                "no"
            ]
        );
    }
}
