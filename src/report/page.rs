//! The HTML page: one file, with its style, its script and its data within.
//!
//! Its texts are made here, where they can be tested; the script only shows them.

use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use super::data::{Data, Run};
use super::errors::ErrorTable;
use super::figure::{Bar, CAUSES, Figure, Mark, Missing, Panel};
use super::figures::Figures;
use super::fingerprints::SideBySide;
use super::orders::Orders;
use super::plot::{self, Item};
use super::scale::{self, significant};
use super::words::{self, interval, words};
use crate::frontier::{self, Frontier, Interval, Point, Standing};
use crate::record::{Record, Status};

/// How a page says that it is a report's.
pub const GENERATOR: &str = "tradeoff report";

/// Exactness of a full bar. Unit: decimal digits.
const DIGITS_OF_A_BAR: f64 = 8.0;

/// The page.
///
/// # Errors
/// What the template engine says; a bug.
pub fn page(data: &Data, figures: &Figures) -> Result<String, String> {
    let dials: Vec<Dial> = data.frontiers.iter().map(|frontier| Dial::of(frontier, data)).collect();
    let rows: Vec<TableRow> = (0..data.records.len()).map(|row| TableRow::of(data, row)).collect();
    let details: Vec<Details> = (0..data.records.len()).map(|row| Details::of(data, row)).collect();
    let embedded = serde_json::json!({ "dials": dials, "rows": details });
    let page = Page {
        generator: GENERATOR,
        version: env!("CARGO_PKG_VERSION"),
        css: include_str!("page/page.css"),
        js: include_str!("page/page.js"),
        data: for_script(&embedded),
        measured: data.records.iter().filter(|r| r.status == Status::Ok).count(),
        devices: values(data, |record| &record.device).len(),
        filters: filters(data),
        first_dial: first_dial(&dials),
        dials,
        kinds: kinds(data, figures),
        missing: &figures.missing,
        columns: COLUMNS,
        rows,
        errors: ErrorTable::of(data),
        fingerprints: SideBySide::of(&data.runs),
        orders: Orders::of(&data.runs),
        runs: data.runs.iter().map(Cited::of).collect(),
    };
    let mut environment = Environment::new();
    let template = include_str!("page/page.html");
    environment.add_template("page.html", template).map_err(|error| error.to_string())?;
    let template = environment.get_template("page.html").map_err(|error| error.to_string())?;
    template.render(Value::from(Serde(page))).map_err(|error| format!("{error:#}"))
}

/// What the template names.
#[derive(Serialize)]
struct Page<'a> {
    generator: &'static str,
    version: &'static str,
    css: &'static str,
    js: &'static str,
    data: String,
    measured: usize,
    devices: usize,
    filters: [Filter<'a>; 3],
    dials: Vec<Dial>,
    /// The dial that the page begins with.
    first_dial: usize,
    kinds: Vec<Kind<'a>>,
    missing: &'a [Missing],
    columns: [&'static str; 13],
    rows: Vec<TableRow<'a>>,
    errors: ErrorTable,
    fingerprints: SideBySide,
    orders: Orders,
    runs: Vec<Cited<'a>>,
}

/// JSON that a script element can hold: without `<`, nothing in it ends the element, opens a
/// comment, or is read as markup.
fn for_script(value: &serde_json::Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The values of a column, each once, in the order of the rows.
fn values(data: &Data, column: impl Fn(&Record) -> &String) -> Vec<&str> {
    let mut values: Vec<&str> = vec![];
    for record in &data.records {
        let value = column(record).as_str();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

#[derive(Serialize)]
struct Filter<'a> {
    name: &'static str,
    values: Vec<&'a str>,
}

fn filters(data: &Data) -> [Filter<'_>; 3] {
    [
        Filter { name: "device", values: values(data, |record| &record.device) },
        Filter { name: "workload", values: values(data, |record| &record.workload) },
        Filter { name: "precision", values: values(data, |record| &record.precision) },
    ]
}

#[derive(Serialize)]
struct Dial {
    label: String,
    /// See [`spread`].
    #[serde(skip)]
    spread: f64,
    #[serde(skip)]
    is_product: bool,
    positions: Vec<Position>,
}

/// One position of a dial.
#[derive(Serialize)]
struct Position {
    row: usize,
    name: String,
    /// The precision in plain words.
    gloss: String,
    speed: String,
    error: String,
    advice: String,
    throughput: String,
    error_value: String,
    /// Of the fastest of the dial.
    speed_share: f64,
    /// See [`exactness`].
    exactness_share: f64,
}

/// The dial with most to tell: of those whose speeds are told apart a matrix product's before
/// others, then the one of the widest [`spread`], of equals the first.
fn first_dial(dials: &[Dial]) -> usize {
    let rank = |&i: &usize| (dials[i].spread > 0.0 && dials[i].is_product, dials[i].spread);
    let order = |a: &usize, b: &usize| {
        let ((a, a_spread), (b, b_spread)) = (rank(a), rank(b));
        a.cmp(&b).then(a_spread.total_cmp(&b_spread))
    };
    (0..dials.len()).rev().max_by(order).unwrap_or_default()
}

/// How much a dial trades: the widest ratio of two speeds of its frontier that the samples tell
/// apart times the ratio of its errors, both as logarithms, as a figure shows them. An error of 0
/// has no ratio. Unit: square decades.
fn spread<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> f64 {
    let mut on = points.filter(|point| point.standing == Standing::OnFrontier);
    let apart = |a: &Point, b: &Point| !a.throughput_ci.overlaps(b.throughput_ci);
    let others = on.clone();
    let errors = on.clone().map(|point| point.error).filter(|&error| error > 0.0);
    let least = errors.clone().fold(f64::INFINITY, f64::min);
    let most = errors.fold(0.0, f64::max);
    let faster = on.by_ref().flat_map(|a| {
        let told = others.clone().filter(move |b| apart(a, b));
        told.map(|b| a.throughput / b.throughput)
    });
    let speeds = faster.fold(1.0, f64::max);
    if most > least { speeds.log10() * (most / least).log10() } else { 0.0 }
}

/// A workload in plain words.
fn plainly(workload: &str) -> &str {
    match workload {
        "matmul" => "matrix product",
        "sgd" => "learning by SGD",
        other => other,
    }
}

impl Dial {
    fn of(frontier: &Frontier, data: &Data) -> Self {
        let positions = words::dial(frontier, &data.records);
        let exact = positions[0]; // a frontier has at least one point
        let fastest = positions.iter().map(|&p| frontier.points[p].throughput).fold(0.0, f64::max);
        let least = frontier.points[exact].error;
        let Frontier { workload, shape, problem, conditions, device, device_name, .. } = frontier;
        let under = if conditions.is_empty() { String::new() } else { format!(", {conditions}") };
        let of = if shape.contains(problem.as_str()) {
            String::new()
        } else {
            format!(", {problem} inputs")
        };
        let on = if device_name == device {
            device.clone()
        } else {
            format!("{device} ({device_name})")
        };
        let position = |&point: &usize| {
            let said = words(frontier, &data.records, point, exact);
            let point = &frontier.points[point];
            Position {
                row: point.row,
                name: words::name(&data.records[point.row]),
                gloss: words::gloss(&data.records[point.row]),
                speed: said.speed,
                error: said.error,
                advice: said.advice,
                throughput: with_interval(
                    point.throughput,
                    point.throughput_ci,
                    &frontier.throughput_unit,
                ),
                error_value: format!("{} ({})", significant(point.error, 3), frontier.error_metric),
                speed_share: point.throughput / fastest,
                exactness_share: exactness(&frontier.error_metric, point.error, least),
            }
        };
        Self {
            label: format!("{} {shape}{of}{under}, on {on}", plainly(workload)),
            spread: spread(positions.iter().map(|&p| &frontier.points[p])),
            is_product: workload == "matmul",
            positions: positions.iter().map(position).collect(),
        }
    }
}

/// Length of the bar of exactness: digits of a relative error, of [`DIGITS_OF_A_BAR`]; of other
/// errors the least of the dial over this one. Never so short that it could not be seen.
fn exactness(metric: &str, error: f64, least: f64) -> f64 {
    let share = match metric {
        _ if error <= 0.0 => 1.0,
        "relative_frobenius" => -error.log10() / DIGITS_OF_A_BAR,
        _ => least / error,
    };
    share.clamp(0.01, 1.0)
}

/// `240 (230 to 245) GFLOP/s`.
fn with_interval(value: f64, ends: Interval, unit: &str) -> String {
    let ends = interval(ends).map(|ends| format!(" ({ends})")).unwrap_or_default();
    format!("{}{ends} {unit}", significant(value, 3))
}

/// What the page shows of a marker's row.
#[derive(Serialize)]
struct Details {
    title: String,
    facts: Vec<(&'static str, String)>,
    source: String,
}

impl Details {
    fn of(data: &Data, row: usize) -> Self {
        let record = &data.records[row];
        let title = format!("{} {}", frontier::name(record), record.shape_in_id());
        let random = record.fewer_rounding_bits();
        let number =
            |value: Option<f64>, unit: &str| value.map(|v| format!("{} {unit}", significant(v, 3)));
        let unless = |text: &str, default: &str| {
            Some(text.to_owned()).filter(|text| !text.is_empty() && text != default)
        };
        let count = record.batch_count.filter(|&count| count != 1);
        let facts = [
            ("device", Some(device(record))),
            ("kernel", Some(record.kernel.clone())),
            ("implementation", frontier::peer(record).map(str::to_owned)),
            ("inputs", unless(&frontier::problem(record), "normal")),
            ("caches", unless(&record.cache, "warm")),
            ("operands", unless(&record.operand_layout, "nn")),
            ("products at once", count.map(|count| count.to_string())),
            ("random bits of a rounding", random.map(|bits| bits.to_string())),
            ("median", median(record)),
            ("throughput", throughput(record)),
            ("error", error(record)),
            ("error / bound", number(record.measured_over_bound, "")),
            ("bound", bound(record)),
            ("learning rate", number(record.learning_rate, "")),
            ("test accuracy", number(record.test_accuracy, "")),
            ("status", Some(record.status.name().to_owned())),
        ];
        let facts = facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect();
        Self { title, facts, source: source(data, row) }
    }
}

/// `<run>/<file>, line <line>`.
fn source(data: &Data, row: usize) -> String {
    let citation = &data.citations[row];
    format!("{}, line {}", citation.file, citation.line)
}

fn device(record: &Record) -> String {
    format!("{} ({})", record.device, record.device_name)
}

/// The median of one iteration with its interval, in a unit fit for it.
fn median(record: &Record) -> Option<String> {
    let median = record.median_ns?;
    let (factor, unit) = match median {
        m if m < 1e3 => (1.0, "ns"),
        m if m < 1e6 => (1e-3, "μs"),
        m if m < 1e9 => (1e-6, "ms"),
        _ => (1e-9, "s"),
    };
    let ends = record.median_ci95_low_ns.zip(record.median_ci95_high_ns);
    let ends = ends.map_or(Interval::exactly(median), |(low, high)| Interval { low, high });
    let ends = Interval { low: ends.low * factor, high: ends.high * factor };
    Some(with_interval(median * factor, ends, unit))
}

/// Throughput with the interval that follows from that of the median.
fn throughput(record: &Record) -> Option<String> {
    let (rate, unit) = (record.throughput?, &record.throughput_unit);
    let ends = record.median_ci95_high_ns.zip(record.median_ci95_low_ns).zip(record.median_ns);
    let ends = ends.map(|((slow, fast), median)| Interval {
        low: rate * (median / slow),
        high: rate * (median / fast),
    });
    let ends = ends.filter(|ends| ends.low > 0.0 && ends.high.is_finite());
    Some(with_interval(rate, ends.unwrap_or(Interval::exactly(rate)), unit))
}

/// What bounds the error, and how: `3.20·10⁻⁶ (deterministic)`, or the kind alone.
fn bound(record: &Record) -> Option<String> {
    let kind = Some(record.bound_kind.clone()).filter(|kind| !kind.is_empty());
    match (record.relative_frobenius_bound, kind) {
        (Some(value), Some(kind)) => Some(format!("{} ({kind})", significant(value, 3))),
        (Some(value), None) => Some(significant(value, 3)),
        (None, kind) => kind,
    }
}

fn error(record: &Record) -> Option<String> {
    Some(format!("{} {}", significant(record.primary_error?, 3), record.primary_error_metric))
}

const COLUMNS: [&str; 13] = [
    "workload",
    "precision",
    "kernel",
    "shape",
    "device",
    "throughput",
    "unit",
    "median",
    "error",
    "metric",
    "error / bound",
    "source",
    "status",
];

#[derive(Serialize)]
struct TableRow<'a> {
    index: usize,
    device: &'a str,
    workload: &'a str,
    precision: &'a str,
    status: &'static str,
    cells: Vec<Cell>,
}

/// A cell, with the number by which it sorts.
#[derive(Serialize)]
struct Cell {
    text: String,
    number: Option<f64>,
}

impl<'a> TableRow<'a> {
    fn of(data: &'a Data, row: usize) -> Self {
        let record = &data.records[row];
        let text = |text: &str| Cell { text: text.to_owned(), number: None };
        let number = |value: Option<f64>| Cell {
            text: value.map(|v| significant(v, 3)).unwrap_or_default(),
            number: value.filter(|v| v.is_finite()),
        };
        let status = match record.reason.as_str() {
            "" => record.status.name().to_owned(),
            reason => format!("{}: {reason}", record.status.name()),
        };
        let citation = source(data, row);
        let cells = vec![
            text(&record.workload),
            text(&frontier::name(record)),
            text(&record.kernel),
            text(record.shape_in_id()),
            text(&record.device),
            number(record.throughput),
            text(&record.throughput_unit),
            Cell { text: median(record).unwrap_or_default(), number: record.median_ns },
            number(record.primary_error),
            text(&record.primary_error_metric),
            number(record.measured_over_bound),
            text(&citation),
            text(&shortened(&status)),
        ];
        let Record { device, workload, precision, .. } = record;
        Self { index: row, device, workload, precision, status: record.status.name(), cells }
    }
}

/// At most 120 characters; the whole text is in the row that the citation names.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[derive(Serialize)]
struct Kind<'a> {
    title: &'static str,
    /// What all its figures have in common.
    caption: &'a str,
    figures: Vec<Drawn<'a>>,
}

#[derive(Serialize)]
struct Drawn<'a> {
    id: &'a str,
    title: &'a str,
    /// Where it differs from that of its kind.
    own_caption: &'a str,
    legend: Vec<Entry>,
    panels: Vec<Card<'a>>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    /// By which the page filters; empty where the entry is of all.
    precision: String,
    marker: String,
}

#[derive(Serialize)]
struct Card<'a> {
    device: &'a str,
    workload: &'a str,
    svg: String,
}

fn kinds<'a>(data: &Data, figures: &'a Figures) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind> = vec![];
    for figure in &figures.figures {
        if kinds.last().is_none_or(|kind| kind.title != figure.kind) {
            kinds.push(Kind { title: figure.kind, caption: &figure.caption, figures: vec![] });
        }
        if let Some(kind) = kinds.last_mut() {
            let own_caption = if kind.caption == figure.caption { "" } else { &figure.caption };
            kind.figures.push(Drawn { own_caption, ..drawn(data, figure) });
        }
    }
    kinds
}

fn drawn<'a>(data: &Data, figure: &'a Figure) -> Drawn<'a> {
    let mut legend: Vec<Entry> = vec![];
    if figure.panels.iter().any(|panel| !panel.bars.is_empty()) {
        legend.extend(CAUSES.iter().enumerate().map(|(cause, (name, _))| Entry {
            name: (*name).to_owned(),
            precision: String::new(),
            marker: plot::cause_svg(cause),
        }));
    }
    // A panel with a key needs no legend.
    let without_key = figure.panels.iter().filter(|panel| !panel.is_fitted());
    for series in without_key.flat_map(|panel| &panel.series) {
        if !legend.iter().any(|entry| entry.name == series.name) {
            let (name, precision) = (series.name.clone(), series.precision.clone());
            legend.push(Entry { name, precision, marker: plot::marker_svg(series.style) });
        }
    }
    let card = |(index, panel): (usize, &'a Panel)| Card {
        device: &panel.device,
        workload: &panel.workload,
        svg: plot::panel_svg(figure, index, |item| match item {
            Item::Mark(mark) => described(data, panel, mark),
            Item::Bar(bar) => described_bar(data, bar),
        }),
    };
    Drawn {
        id: &figure.id,
        title: &figure.title,
        own_caption: "",
        legend,
        panels: figure.panels.iter().enumerate().map(card).collect(),
    }
}

/// A marker in words, for who cannot see it.
fn described(data: &Data, panel: &Panel, mark: &Mark) -> String {
    let record = &data.records[mark.row];
    let x = if mark.x.is_finite() { significant(mark.x, 3) } else { panel.never.to_owned() };
    let Record { kernel, learning_rate, .. } = record;
    let setting = frontier::name(record);
    let rate = learning_rate.map(|value| format!(", α = {}", scale::rate(value)));
    let rate = rate.unwrap_or_default();
    let of = frontier::peer(record).map(|peer| format!(" of {peer}")).unwrap_or_default();
    let mut text = format!("{setting}, kernel {kernel}{of}{rate}: {} {x}", panel.x_label);
    if panel.y_names.is_empty() {
        text += &format!(", {} {}", panel.y_label, significant(mark.y, 3));
    }
    text + &format!("; {}", source(data, mark.row))
}

/// A bar in words.
fn described_bar(data: &Data, bar: &Bar) -> String {
    let kernel = &data.records[bar.row].kernel;
    let mut text = format!("{}, kernel {kernel}: relative error {}", bar.name, bar.label());
    for (cause, (name, _)) in CAUSES.iter().enumerate() {
        let share = bar.shares().map_or(0.0, |shares| 100.0 * shares[cause]);
        let (part, share) = (significant(bar.parts[cause], 3), significant(share, 2));
        text += &format!(", {name} {part} ({share} % in squares)");
    }
    text + &format!("; {}", source(data, bar.row))
}

/// A run as the page cites it.
#[derive(Serialize)]
struct Cited<'a> {
    name: &'a str,
    summary: String,
    json: Option<String>,
}

impl<'a> Cited<'a> {
    fn of(run: &'a Run) -> Self {
        let json = run.provenance.as_ref().and_then(|p| serde_json::to_string_pretty(p).ok());
        let summary = run.provenance.as_ref().map(|p| {
            let version = &p.crate_version;
            format!("{}, {}, {}, tradeoff {version}, {}", p.utc, p.cpu, p.os, p.build_profile)
        });
        Self { name: &run.name, summary: summary.unwrap_or_default(), json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_script_element() {
        let embedded = for_script(&serde_json::json!({ "a": "</script><!--<script>&\u{2028}" }));
        assert!(!embedded.contains(['<', '>', '&', '\u{2028}']), "{embedded}");
        let back: serde_json::Value = serde_json::from_str(&embedded).unwrap();
        assert_eq!(back["a"], "</script><!--<script>&\u{2028}");
    }
}
