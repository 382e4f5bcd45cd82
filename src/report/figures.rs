//! The figures that the rows give, and for each that they do not give, which runs would.
//!
//! Every figure is drawn from the points of the frontiers, so a row that no frontier takes is in no
//! figure. A family of figures has a file each; what they share is here.

mod causes;
mod growth;
mod learning;
mod rates;
mod step_time;
mod trade_off;

use std::cmp::Reverse;

use super::data::Data;
use super::figure::{Bar, Figure, Mark, Missing, Panel, Series, Style};
use crate::frontier::{self, Frontier, Interval, Point};
use crate::number::Precision;
use crate::number::round::ROUNDING_BITS;
use crate::record::Record;
use learning::{Against, Learning};

/// What is drawn, and what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// In the order of the report.
    pub figures: Vec<Figure>,
    /// What is left out.
    pub missing: Vec<Missing>,
}

/// All figures of `data`. Time to a loss gap is measured to `target`, or else to the least of 1, 2
/// and 5 times a power of ten that the best setting of each panel's problem reaches.
pub fn figures(data: &Data, target: Option<f64>) -> Figures {
    let mut all = Figures::default();
    all.add(
        trade_off::error_against_throughput(data),
        "Error against throughput",
        "every device has one setting only; measure several: `tradeoff run` without --precision, \
         or `cargo bench` without TRADEOFF_PRECISIONS",
    );
    let sizes =
        "`tradeoff run matmul --size 256..1024`, or TRADEOFF_SIZES=256,512,1024 cargo bench";
    let remedy = format!("no device has a workload at two sizes; measure several: {sizes}");
    all.add(rates::throughput_against_size(data), "Throughput against size", &remedy);
    all.add(
        rates::roofline(data),
        "Roofline",
        "no row has the measured roofline of its device; measure with this version and without \
         TRADEOFF_ROOFLINE=off",
    );
    let remedy = format!("no device has products of two lengths k; measure several: {sizes}");
    all.add(growth::error_against_k(data), "Error against k", &remedy);
    all.add(
        causes::error_by_cause(data),
        "Error by cause",
        "no device has two settings whose error is split into parts; measure several with this \
         version: `tradeoff run matmul`",
    );
    let learning = Learning::of(data, target);
    let remedy = "no SGD run of two settings has a trajectory.csv beside it; measure one: \
                  `tradeoff run sgd`, and name its folder rather than a file; --learning-rate \
                  0.25x,0.5x,auto,2x tunes each setting";
    all.add(learning::loss(data, &learning, Against::Time), "Loss against time", remedy);
    all.add(learning::loss(data, &learning, Against::Steps), "Loss against steps", remedy);
    all.add(learning::time_to_target(data, &learning), "Time to a loss gap", remedy);
    all.add(
        step_time::step_time(data),
        "Time of a step against the size of the data set",
        "no batch size was measured on two sizes of a data set; measure several: \
         `tradeoff run sgd --batch 1,32,1024,n --data-set \
         figure2-128x1024,figure2-1024x1024,figure2-8192x1024`",
    );
    all.number_duplicates();
    all
}

impl Figures {
    fn add(&mut self, figures: Vec<Figure>, kind: &'static str, remedy: &str) {
        if figures.is_empty() {
            self.missing.push(Missing { title: kind.into(), remedy: remedy.into() });
        }
        self.figures.extend(figures.into_iter().map(|figure| Figure { kind, ..figure }));
    }

    /// Two figures of one name would overwrite each other's files.
    fn number_duplicates(&mut self) {
        for i in 1..self.figures.len() {
            let taken = |id: &str| self.figures[..i].iter().any(|figure| figure.id == id);
            let id = self.figures[i].id.clone();
            if let Some(free) = taken(&id)
                .then(|| (2..).map(|n| format!("{id}-{n}")).find(|id| !taken(id)))
                .flatten()
            {
                self.figures[i].id = free;
            }
        }
    }
}

/// A point with the frontier that it is on.
#[derive(Clone, Copy)]
struct Setting<'a> {
    frontier: &'a Frontier,
    point: &'a Point,
    record: &'a Record,
}

impl<'a> Setting<'a> {
    fn all(data: &'a Data) -> impl Iterator<Item = Self> {
        data.frontiers.iter().flat_map(|frontier| {
            let record = |point: &Point| &data.records[point.row];
            frontier.points.iter().map(move |point| Self { frontier, point, record: record(point) })
        })
    }

    /// Of each precision, number of random bits, shape and problem the fastest kernel, at the best
    /// learning rate.
    fn fastest(data: &'a Data) -> Vec<Self> {
        let of = |frontier: &'a Frontier| {
            let tuned = frontier.tuned(&data.records).into_iter();
            tuned.map(move |i| (frontier, &frontier.points[i]))
        };
        let all = data.frontiers.iter().flat_map(of);
        all.map(|(frontier, point)| Self { frontier, point, record: &data.records[point.row] })
            .collect()
    }

    /// What the setting is called: see [`frontier::name`].
    fn name(&self) -> String {
        frontier::name(self.record)
    }

    fn mark(&self, x: f64, y: f64) -> Mark {
        Mark::at(x, y, self.point.row)
    }

    fn throughput_interval(&self) -> Option<Interval> {
        spread(self.point.throughput_ci)
    }

    /// What the plotted error cannot exceed, where the row says it.
    fn bound(&self) -> Option<f64> {
        let plotted = self.frontier.error_metric == "relative_frobenius";
        self.record.relative_frobenius_bound.filter(|b| plotted && b.is_finite() && *b > 0.0)
    }

    /// Which device this is, among those of one name too.
    fn device(&self) -> [&'a str; 4] {
        let Frontier { device, device_name, driver_info, .. } = self.frontier;
        let cpu = if self.record.device_type == "cpu" { self.record.cpu.as_str() } else { "" };
        [device, device_name, driver_info, cpu]
    }

    /// Name of a data set without its number of examples, and its number of features.
    fn family(&self) -> (&'a str, Option<u64>) {
        let name = self.record.data_set.split('-').next().unwrap_or_default();
        (name, self.record.features)
    }

    /// What is counted, whether floating-point or integer operations.
    fn dimension(&self) -> &'a str {
        let unit = self.frontier.throughput_unit.as_str();
        if unit == "GFLOP/s" { "GOP/s" } else { unit }
    }

    /// What else the settings of one frontier share: length and loss of an SGD run, and conditions.
    fn run(&self) -> (Option<u64>, &'a str, Option<u64>, &'a str) {
        let Record { steps, loss_function, regularisation, .. } = self.record;
        (*steps, loss_function, regularisation.map(f64::to_bits), self.conditions())
    }

    /// The inputs of a product, if not the usual ones, which no figure names but those of errors.
    fn inputs(&self) -> &'a str {
        let problem = self.frontier.problem.as_str();
        if problem == "normal" || !self.record.data_set.is_empty() { "" } else { problem }
    }

    /// Caches, layout and number of products, as far as they are not the default.
    fn conditions(&self) -> &'a str {
        &self.frontier.conditions
    }

    fn is_full_batch(&self) -> bool {
        self.record.batch.is_some() && self.record.batch == self.record.examples
    }
}

/// An interval that is more than one value.
fn spread(interval: Interval) -> Option<Interval> {
    (interval.low < interval.high).then_some(interval)
}

/// Splits by a key, in the order in which the keys come.
fn groups<T: Copy, K: PartialEq>(items: &[T], key: impl Fn(T) -> K) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = vec![];
    for &item in items {
        let key = key(item);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups
}

/// What is in a panel.
#[derive(Default)]
struct Content {
    series: Vec<Series>,
    frontier: Vec<(f64, f64)>,
    bars: Vec<Bar>,
    /// Behind the device in the title.
    what: String,
}

impl From<(Vec<Series>, Vec<(f64, f64)>)> for Content {
    fn from((series, frontier): (Vec<Series>, Vec<(f64, f64)>)) -> Self {
        Self { series, frontier, ..Self::default() }
    }
}

/// A panel a device: `panel` gives its content, series and frontier for most, or nothing where it
/// would be empty or mislead.
fn panels<'a, C: Into<Content>>(
    settings: &[Setting<'a>],
    axes: &Axes,
    panel: impl Fn(&[Setting<'a>]) -> Option<C>,
) -> Vec<Panel> {
    let devices = groups(settings, |setting| setting.device());
    let named = |name: &str| devices.iter().filter(|([device, ..], _)| *device == name).count();
    let title = |[device, name, driver, cpu]: [&str; 4]| match named(device) {
        1 => device.to_owned(),
        _ => {
            let rest: Vec<&str> =
                [name, driver, cpu].into_iter().filter(|t| !t.is_empty()).collect();
            format!("{device} ({})", rest.join(", "))
        }
    };
    let one = |(key, settings): &([&str; 4], Vec<Setting<'a>>)| {
        let Content { series, frontier, bars, what } = panel(settings)?.into();
        Some(Panel {
            title: format!("{}{what}", title(*key)),
            workload: settings[0].frontier.workload.clone(),
            device: key[0].to_owned(),
            x_label: axes.x.clone(),
            y_label: axes.y.clone(),
            y_names: vec![],
            sizes: vec![],
            never: "never",
            series,
            frontier,
            roofs: vec![],
            bars,
        })
    };
    devices.iter().filter_map(one).collect()
}

struct Axes {
    x: String,
    y: String,
}

/// Ticks at the sizes that were measured, the same in all panels.
fn with_sizes(mut panels: Vec<Panel>) -> Vec<Panel> {
    let marks = panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
    let mut sizes: Vec<f64> = marks.map(|mark| mark.x).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    panels.iter_mut().for_each(|panel| panel.sizes.clone_from(&sizes));
    panels
}

/// A series a precision (and algorithm and number of random bits), in the order in which precisions are
/// measured, of the most bits first; others behind.
fn series(
    settings: &[Setting],
    joined: bool,
    marks: impl Fn(&Setting) -> Vec<Mark>,
) -> Vec<Series> {
    let mut named = groups(settings, |setting| setting.name());
    let bits = |record: &Record| record.rounding_bits.unwrap_or(ROUNDING_BITS);
    named.sort_by_key(|(_, settings)| {
        let first = settings[0].record;
        (rank(first), Reverse(bits(first)))
    });
    let one = |(name, settings): (String, Vec<Setting>)| {
        let mut marks: Vec<Mark> = settings.iter().flat_map(&marks).collect();
        marks.sort_by(|a, b| if joined { a.x.total_cmp(&b.x) } else { std::cmp::Ordering::Equal });
        let first = settings[0].record;
        let style = match first.fewer_rounding_bits() {
            Some(bits) => {
                let usual = frontier::name(&Record { rounding_bits: None, ..first.clone() });
                Style::of_fewer_bits(&usual, bits)
            }
            None => Style::of_precision(&name),
        };
        Series { name, precision: first.precision.clone(), style, joined, fit: None, marks }
    };
    named.into_iter().map(one).filter(|series| !series.marks.is_empty()).collect()
}

/// Place of a row's precision in the order in which precisions are measured.
fn rank(record: &Record) -> usize {
    Precision::all().position(|p| p.name() == record.precision).unwrap_or(usize::MAX)
}

fn distinct(series: &[Series], value: impl Fn(&Mark) -> f64) -> usize {
    let mut values: Vec<u64> =
        series.iter().flat_map(|s| &s.marks).map(|mark| value(mark).to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

/// Longest name of a figure, in bytes: file systems allow 255, endings included, and a table of someone
/// else's may name a shape as it likes.
const LONGEST_ID: usize = 160;

fn figure(id: &[&str], title: String, caption: String, panels: Vec<Panel>) -> Option<Figure> {
    let slug = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let parts: Vec<&str> = id.iter().copied().filter(|part| !part.is_empty()).collect();
    let id: String = parts.join("-").chars().map(slug).take(LONGEST_ID).collect();
    let id = id.trim_end_matches('-').to_owned();
    let kind = ""; // `Figures::add` knows
    (!panels.is_empty()).then_some(Figure { id, kind, title, caption, panels })
}

/// The name of an error for an axis.
fn error_label(metric: &str, settings: &[Setting]) -> String {
    match (metric, settings.first().and_then(|s| s.record.steps)) {
        ("relative_frobenius", _) => "relative error (Frobenius)".to_owned(),
        ("loss_gap", Some(steps)) => format!("loss gap after {steps} steps"),
        _ => metric.replace('_', " "),
    }
}

/// The unit of all throughputs: integer and floating-point operations together are operations.
fn unit<'a>(settings: &[Setting<'a>]) -> &'a str {
    let of = |setting: &Setting<'a>| setting.frontier.throughput_unit.as_str();
    let first = settings.first().map_or("", of);
    if settings.iter().all(|s| of(s) == first) { first } else { "GOP/s" }
}

const BOUND: &str = " A short tick is the a-priori bound on the plotted error.";

/// Conditions behind what a title says: `, cold caches`, or nothing.
fn under(conditions: &str) -> String {
    if conditions.is_empty() { String::new() } else { format!(", {conditions}") }
}

/// Inputs behind what a title says: `, uniform01 inputs`, or nothing.
fn on(inputs: &str) -> String {
    if inputs.is_empty() { String::new() } else { format!(", {inputs} inputs") }
}

/// `a, b and c`.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<String> = texts.into_iter().collect();
    match &texts[..] {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        texts => texts.concat(),
    }
}
