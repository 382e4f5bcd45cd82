//! The settings that no other beats in both speed and error.
//!
//! A frontier belongs to one workload, shape, problem and device, and to one state of the caches,
//! layout of the operands and number of products at once. Its points are settings: a precision and
//! a kernel of an implementation, with what else a dial sets (how f16 is loaded, run-time checks,
//! learning rate). Of a case that was measured again the latest row counts, whatever it says; where
//! a setting was measured with several seeds or trials, its speed is that of the fastest of them.
//!
//! - Throughput's interval is that of the median time, 95 %, turned over: work over its ends.
//! - An error is a fact about the row's own buffers, so one row has an error and no interval. Where
//!   a setting was measured with several seeds or trials, its error is their median, and its
//!   interval runs between the order statistics that hold the median with 95 % (see
//!   [`Summary`](crate::measure::statistics::Summary)); below 6 draws it is their range, which covers less.
//! - One draw of a result that was rounded at random tells little of the next one: its error is
//!   surely less or more than another only if the two differ by more than a factor of 2.
//! - A point is on the frontier if no other is at least as good in both and better in one, by the
//!   estimates.
//! - Any other point is dominated if some point beats it for sure: its intervals are at least as
//!   good throughout, and better in one of the two. If none does, it cannot be told apart from the
//!   frontier. Two intervals of 95 % that do not touch are a stricter test than one at 5 %.

mod metric;
mod names;
mod points;

use std::collections::HashMap;
use std::hash::Hash;

use crate::record::{Record, Status};
use crate::workload::matmul::upload_format;
use names::cache;
use points::{point, rank};

pub use metric::{Metric, MetricError};
pub use names::{algorithm, name, peer, problem};
pub(crate) use names::{batch_count, conditions, layout};
pub use points::{Point, Standing};

/// Two ends, low ≤ high, of what a value may be.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// A value that is known.
    pub const fn exactly(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// Whether the two have a value in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// The least interval that holds this one and `value`.
    fn with(self, value: f64) -> Self {
        Self { low: self.low.min(value), high: self.high.max(value) }
    }
}

/// The settings of one workload, shape and problem on one device, under the same conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Frontier {
    /// Name of the workload.
    pub workload: String,
    /// Shape, or data set and batch, as in the case's id.
    pub shape: String,
    /// Distribution of seeded inputs with its parameters, or the data set, or where else they come
    /// from: `exponent-spread(phi=2)`.
    pub problem: String,
    /// What of the conditions is not the default, in words: `cold caches, operands tn, 8 at once`.
    /// Empty for warm caches, operands as they are multiplied and one product at a time.
    pub conditions: String,
    /// Name of the device in bench ids.
    pub device: String,
    /// Name that the driver gives it.
    pub device_name: String,
    /// Version of the driver.
    pub driver_info: String,
    /// Unit of every throughput. Floating-point and integer operations together are `GOP/s`.
    pub throughput_unit: String,
    /// Column that the errors are from.
    pub error_metric: String,
    /// The settings, fastest first; of equal speed the more accurate first. Never empty.
    pub points: Vec<Point>,
}

/// The fastest setting that keeps an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fastest {
    /// Its position in [`Frontier::points`].
    pub point: usize,
    /// Others that keep the error and whose throughput's interval overlaps its own.
    pub rivals: Vec<usize>,
}

impl Frontier {
    /// The points on the frontier, fastest first.
    pub fn on_frontier(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| point.standing == Standing::OnFrontier)
    }

    /// The best point of each precision (and algorithm and number of random bits, see [`name`]),
    /// fastest first: of its learning rates that of the least error, and of that the fastest kernel.
    /// Positions in `points`; `records` are those that the frontier is of.
    pub fn tuned(&self, records: &[Record]) -> Vec<usize> {
        let record = |&i: &usize| &records[self.points[i].row];
        let all = || 0..self.points.len();
        let best = |i: &usize| {
            let own = name(record(i));
            let rivals = || all().filter(|p| name(record(p)) == own);
            let error = |i: &usize| self.points[*i].error;
            let least = rivals().min_by(|a, b| error(a).total_cmp(&error(b)));
            let rate = least.map(|p| record(&p).learning_rate);
            // Points are sorted by speed, so the first is the fastest.
            rivals().find(|p| Some(record(p).learning_rate) == rate) == Some(*i)
        };
        all().filter(best).collect()
    }

    /// Whether its points differ in their learning rates.
    pub fn has_rates(&self, records: &[Record]) -> bool {
        let mut rates = self.points.iter().map(|point| records[point.row].learning_rate);
        let first = rates.next();
        rates.any(|rate| Some(rate) != first)
    }

    /// The fastest setting whose error is at most `max_error`: the upper end of its interval, where
    /// it has one.
    pub fn fastest_within(&self, max_error: f64) -> Option<Fastest> {
        let keeps = |&i: &usize| self.points[i].error_range().high <= max_error;
        let mut keeping = (0..self.points.len()).filter(keeps);
        let point = keeping.next()?;
        let ci = self.points[point].throughput_ci;
        let rivals = keeping.filter(|&i| self.points[i].throughput_ci.overlaps(ci)).collect();
        Some(Fastest { point, rivals })
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Error column; `None` is each row's own primary error.
    pub metric: Option<Metric>,
    /// Throughput with the conversion of the operands paid for; rows whose conversion was not timed are
    /// left out.
    pub with_conversion: bool,
}

/// Why a row is no point.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Exclusion {
    /// It was not measured to the end.
    #[error("status {}", .0.name())]
    Status(Status),
    /// Its error is infinite or NaN: it is on no frontier.
    #[error("its error, {column}, is {value}")]
    ErrorNotFinite {
        /// The error's column.
        column: String,
        /// What it holds.
        value: f64,
    },
    /// Its workload has no such error.
    #[error("column {0} is empty")]
    NoError(String),
    /// The host converted its operands untimed, as it makes the parts of numbers given in f64, so that
    /// nothing says what they cost.
    #[error("the host made the parts of its operands, in a time that no column has")]
    UntimedConversion,
    /// A measured row must have this column, as a finite number above 0.
    #[error("column {column} {}, where a measured row has a number above 0", holds(*.value))]
    Unusable {
        /// The column.
        column: &'static str,
        /// What it holds.
        value: Option<f64>,
    },
}

fn holds(value: Option<f64>) -> String {
    value.map_or_else(|| "is empty".to_owned(), |value| format!("holds {value}"))
}

/// A row that is no point.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Position in the records given.
    pub row: usize,
    /// Why.
    pub why: Exclusion,
}

/// Frontiers, and what is on none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// In the order in which the records name them.
    pub frontiers: Vec<Frontier>,
    /// Rows that could not count, in order.
    pub left_out: Vec<LeftOut>,
}

/// The frontiers of `records`, of any workloads and devices, in each row's primary error. Rows
/// whose status is not ok and rows without a finite error are left out; [`survey`] tells which.
pub fn frontiers(records: &[Record]) -> Vec<Frontier> {
    survey(records, Options::default()).frontiers
}

/// [`frontiers`] in a chosen error and speed, and the rows left out.
pub fn survey(records: &[Record], options: Options) -> Survey {
    let mut left_out = Vec::new();
    let mut readings = Vec::new();
    for (row, record) in records.iter().enumerate() {
        match Reading::of(record, row, options) {
            Ok(reading) => readings.push(reading),
            Err(why) => left_out.push(LeftOut { row, why }),
        }
    }
    let groups = grouped(readings, |reading| group(&records[reading.row], &reading.metric));
    let frontiers = groups.into_iter().map(|group| frontier(records, group)).collect();
    Survey { frontiers, left_out }
}

/// What counts of a row.
struct Reading {
    row: usize,
    throughput: f64,
    throughput_ci: Interval,
    metric: String,
    error: f64,
    error_ci: Option<Interval>,
}

impl Reading {
    fn of(record: &Record, row: usize, options: Options) -> Result<Self, Exclusion> {
        if record.status != Status::Ok {
            return Err(Exclusion::Status(record.status));
        }
        let (throughput, throughput_ci) = throughput(record, options.with_conversion)?;
        let (metric, error, error_ci) = match options.metric {
            Some(metric) => (metric.name(), metric.of(record), metric.interval(record)),
            None => (record.primary_error_metric.as_str(), record.primary_error, None),
        };
        let column = if metric.is_empty() { "primary_error" } else { metric }.to_owned();
        match error {
            None => Err(Exclusion::NoError(column)),
            Some(value) if !value.is_finite() => Err(Exclusion::ErrorNotFinite { column, value }),
            Some(error) => {
                Ok(Self { row, throughput, throughput_ci, metric: column, error, error_ci })
            }
        }
    }
}

/// The rate of a row and its interval: the work of an iteration over the ends of the median's.
fn throughput(record: &Record, with_conversion: bool) -> Result<(f64, Interval), Exclusion> {
    let positive = |column, value: Option<f64>| match value {
        Some(v) if v.is_finite() && v > 0.0 => Ok(v),
        _ => Err(Exclusion::Unusable { column, value }),
    };
    // Operands that are taken as they come have nothing to convert: their total is the product.
    let converts = record.conversion_median_ns.is_some() || record.total_median_ns.is_some();
    if with_conversion && !converts && host_makes_parts(record) {
        return Err(Exclusion::UntimedConversion);
    }
    let (rate, median, low, high) = if with_conversion && converts {
        (
            positive("total_throughput", record.total_throughput)?,
            positive("total_median_ns", record.total_median_ns)?,
            positive("total_median_ci95_low_ns", record.total_median_ci95_low_ns)?,
            positive("total_median_ci95_high_ns", record.total_median_ci95_high_ns)?,
        )
    } else {
        (
            positive("throughput", record.throughput)?,
            positive("median_ns", record.median_ns)?,
            positive("median_ci95_low_ns", record.median_ci95_low_ns)?,
            positive("median_ci95_high_ns", record.median_ci95_high_ns)?,
        )
    };
    let interval = Interval { low: rate * (median / high), high: rate * (median / low) };
    Ok((rate, interval.with(rate)))
}

/// Whether a row without a time of a conversion has operands that are not taken as they come: parts that
/// a device makes of f32 in a stage of its own, and the host of f64.
fn host_makes_parts(record: &Record) -> bool {
    let precision = record.precision.parse().ok().filter(|_| record.workload == "matmul");
    let converted = |p| upload_format(p, false) != upload_format(p, true);
    peer(record).is_none() && precision.is_some_and(converted)
}

/// Operations are operations: an integer and a floating-point product of one shape ask for the same
/// number, so their rates compare.
fn commensurable(unit: &str) -> &str {
    if unit == "GFLOP/s" { "GOP/s" } else { unit }
}

/// What the settings of one frontier have in common. Of one name in bench ids, another driver is
/// another device, and so is another processor if the device runs on it.
fn group(record: &Record, metric: &str) -> (Vec<String>, Option<u64>, Option<u64>, u64) {
    let cpu = if record.device_type == "cpu" { &record.cpu } else { "" };
    let [cache, layout] = [cache(record), layout(record)];
    let texts = [
        cache,
        layout,
        &record.workload,
        &record.problem,
        &record.distribution,
        &record.distribution_parameters,
        &record.data_set,
        &record.shape,
        &record.loss_function,
        &record.device,
        &record.device_name,
        &record.driver,
        &record.driver_info,
        cpu,
        commensurable(&record.throughput_unit),
        metric,
    ];
    let texts = texts.into_iter().map(str::to_owned).collect();
    (texts, record.steps, record.regularisation.map(f64::to_bits), batch_count(record))
}

/// What a dial sets.
fn setting(record: &Record) -> impl Hash + Eq + use<> {
    (
        algorithm(record).map(|texts| texts.map(str::to_owned)),
        (record.precision.clone(), record.kernel.clone(), record.f16_path.clone()),
        record.fewer_rounding_bits(),
        peer(record).map(str::to_owned),
        record.runtime_checks,
        [record.learning_rate, record.dataset_step, record.model_step].map(|x| x.map(f64::to_bits)),
    )
}

/// Splits by a key, in the order in which the keys come.
fn grouped<T, K: Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut positions = HashMap::new();
    let mut groups: Vec<Vec<T>> = Vec::new();
    for item in items {
        let position = *positions.entry(key(&item)).or_insert(groups.len());
        if position == groups.len() {
            groups.push(Vec::new());
        }
        groups[position].push(item);
    }
    groups
}

fn frontier(records: &[Record], readings: Vec<Reading>) -> Frontier {
    // A group has at least the reading that named it.
    let (first, metric) = (&records[readings[0].row], readings[0].metric.clone());
    let mixed = readings.iter().any(|r| records[r.row].throughput_unit != first.throughput_unit);
    let unit = &first.throughput_unit;
    let unit = if mixed { commensurable(unit) } else { unit };
    let settings = grouped(readings, |reading| setting(&records[reading.row]));
    let mut points: Vec<Point> =
        settings.into_iter().map(|readings| point(records, &readings)).collect();
    points.sort_by(|a, b| {
        b.throughput.total_cmp(&a.throughput).then_with(|| a.error.total_cmp(&b.error))
    });
    rank(&mut points);
    Frontier {
        workload: first.workload.clone(),
        shape: first.shape.clone(),
        problem: problem(first),
        conditions: conditions(first),
        device: first.device.clone(),
        device_name: first.device_name.clone(),
        driver_info: first.driver_info.clone(),
        throughput_unit: unit.to_owned(),
        error_metric: metric,
        points,
    }
}
