//! The figures that the rows give, and for each that they do not give, which runs would.
//!
//! Every figure is drawn from the points of the frontiers, so a row that no frontier takes is in no
//! figure.

use std::cmp::Reverse;

use super::data::Data;
use super::figure::{Figure, Mark, Missing, Panel, Roof, Series, Style};
use super::scale::{rate, significant};
use crate::frontier::{Frontier, Interval, Point};
use crate::number::Precision;
use crate::number::round::ROUNDING_BITS;
use crate::record::{Record, Status, TrajectoryPoint, precision_label};

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
        error_against_throughput(data),
        "Error against throughput",
        "every device has one setting only; measure several: `tradeoff run` without --precision, \
         or `cargo bench` without TRADEOFF_PRECISIONS",
    );
    let sizes =
        "`tradeoff run matmul --size 256..1024`, or TRADEOFF_SIZES=256,512,1024 cargo bench";
    let remedy = format!("no device has a workload at two sizes; measure several: {sizes}");
    all.add(throughput_against_size(data), "Throughput against size", &remedy);
    all.add(
        roofline(data),
        "Roofline",
        "no row has the measured roofline of its device; measure with this version and without \
         TRADEOFF_ROOFLINE=off",
    );
    let remedy = format!("no device has products of two lengths k; measure several: {sizes}");
    all.add(error_against_k(data), "Error against k", &remedy);
    let learning = Learning::of(data, target);
    let remedy = "no SGD run of two settings has a trajectory.csv beside it; measure one: \
                  `tradeoff run sgd`, and name its folder rather than a file; --learning-rate \
                  0.25x,0.5x,auto,2x tunes each setting";
    all.add(loss(data, &learning, Against::Time), "Loss against time", remedy);
    all.add(loss(data, &learning, Against::Steps), "Loss against steps", remedy);
    all.add(time_to_target(data, &learning), "Time to a loss gap", remedy);
    all.add(
        step_time(data),
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

/// A panel a device: `panel` gives its series and frontier, or nothing where it would be empty or
/// mislead.
fn panels<'a>(
    settings: &[Setting<'a>],
    axes: &Axes,
    panel: impl Fn(&[Setting<'a>]) -> Option<(Vec<Series>, Vec<(f64, f64)>)>,
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
        let (series, frontier) = panel(settings)?;
        Some(Panel {
            title: title(*key),
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

/// A series a precision and number of random bits, in the order in which precisions are measured, of the
/// most bits first; others behind.
fn series(
    settings: &[Setting],
    joined: bool,
    marks: impl Fn(&Setting) -> Vec<Mark>,
) -> Vec<Series> {
    let mut by_precision = groups(settings, |setting| precision_and_bits(setting.record));
    let order = |name: &str| Precision::all().position(|p| p.name() == name).unwrap_or(usize::MAX);
    by_precision
        .sort_by_key(|&((name, bits), _)| (order(name), Reverse(bits.unwrap_or(ROUNDING_BITS))));
    let one = |((name, bits), settings): ((&str, Option<u32>), Vec<Setting>)| {
        let mut marks: Vec<Mark> = settings.iter().flat_map(&marks).collect();
        marks.sort_by(|a, b| if joined { a.x.total_cmp(&b.x) } else { std::cmp::Ordering::Equal });
        Series {
            name: precision_label(name, bits),
            precision: name.to_owned(),
            style: match bits {
                None => Style::of_precision(name),
                Some(bits) => Style::of_fewer_bits(name, bits),
            },
            joined,
            marks,
        }
    };
    by_precision.into_iter().map(one).filter(|series| !series.marks.is_empty()).collect()
}

/// What tells the series of a figure apart.
fn precision_and_bits(record: &Record) -> (&str, Option<u32>) {
    (&record.precision, record.fewer_rounding_bits())
}

fn distinct(series: &[Series], value: impl Fn(&Mark) -> f64) -> usize {
    let mut values: Vec<u64> =
        series.iter().flat_map(|s| &s.marks).map(|mark| value(mark).to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

fn figure(id: &[&str], title: String, caption: String, panels: Vec<Panel>) -> Option<Figure> {
    let slug = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let parts: Vec<&str> = id.iter().copied().filter(|part| !part.is_empty()).collect();
    let id: String = parts.join("-").chars().map(slug).collect();
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

fn error_against_throughput(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> = Setting::all(data).collect();
    let figures = groups(&settings, |setting| {
        let Frontier { workload, shape, problem, error_metric, .. } = setting.frontier;
        let texts = [workload, shape, problem, error_metric].map(String::as_str);
        (texts, setting.dimension(), setting.run())
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let ([workload, shape, problem, metric], _, (.., conditions)) = key;
        let unit = unit(&settings);
        let axes = Axes { x: format!("throughput ({unit})"), y: error_label(metric, &settings) };
        let panels = panels(&settings, &axes, |settings| {
            let frontier = settings[0].frontier;
            let tuned: Vec<usize> = frontier.tuned(&data.records);
            let tuned: Vec<usize> = tuned.into_iter().map(|i| frontier.points[i].row).collect();
            let of_best_rate = |s: &Setting| {
                let mut best = tuned.iter().map(|&row| &data.records[row]);
                best.any(|best| {
                    precision_and_bits(best) == precision_and_bits(s.record)
                        && best.learning_rate == s.record.learning_rate
                })
            };
            let series = series(settings, false, |s| {
                let mark = s.mark(s.point.throughput, s.point.error);
                if !of_best_rate(s) {
                    // Its bars would hide the others: a rate does not change the speed.
                    return vec![Mark { minor: true, ..mark }];
                }
                vec![Mark {
                    x_interval: s.throughput_interval(),
                    y_interval: s.point.error_ci.and_then(spread),
                    bound: s.bound(),
                    minor: !tuned.contains(&s.point.row),
                    ..mark
                }]
            });
            let corners = frontier.on_frontier().map(|point| (point.throughput, point.error));
            (settings.len() > 1).then_some((series, corners.collect()))
        });
        let on = match shape.contains(problem) {
            true => String::new(),
            false => format!(", {problem} inputs"),
        };
        figure(
            &["error-throughput", workload, shape, conditions],
            format!("{workload} {shape}{on}{}: error against throughput", under(conditions)),
            trade_off_caption(data, &panels),
            panels,
        )
    });
    figures.collect()
}

/// What the figure shows, without what it has not.
fn trade_off_caption(data: &Data, panels: &[Panel]) -> String {
    let mut caption =
        "Each marker is one setting; right is faster, low is more exact. The line is \
                       the frontier: what no other setting beats in both. Bars are 95 % confidence \
                       intervals."
            .to_owned();
    let marks = || panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
    // On its own panel: the best rate of one device may be another's second.
    let mut small = [false; 2];
    for panel in panels {
        let marks = || panel.series.iter().flat_map(|s| &s.marks);
        let setting = |m: &Mark| {
            let record = &data.records[m.row];
            (precision_and_bits(record), record.learning_rate)
        };
        let best = |m: &Mark| marks().any(|l| !l.minor && setting(l) == setting(m));
        marks().filter(|m| m.minor).for_each(|m| small[usize::from(best(m))] = true);
    }
    let [other_rate, other_kernel] = small;
    if other_kernel {
        caption += " A small marker with a bar is a slower kernel of the same precision.";
    }
    if other_rate {
        caption += " A small marker without a bar is another learning rate of the same precision; \
                    the large one is at the rate of the least error.";
    }
    if marks().any(|mark| mark.bound.is_some()) {
        caption += BOUND;
    }
    caption
}

/// Of a product the edge of the cube of as many multiplications; of SGD the number of examples.
fn size(record: &Record) -> Option<f64> {
    match (record.m, record.n, record.k, record.examples) {
        // A power of 1/3 alone would put 64 at 63.99…
        (Some(m), Some(n), Some(k), _) if m == n && n == k => Some(k as f64),
        (Some(m), Some(n), Some(k), _) => Some((m as f64 * n as f64 * k as f64).cbrt()),
        (.., examples) => examples.map(|n| n as f64),
    }
    .filter(|&size| size > 0.0)
}

fn throughput_against_size(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> =
        Setting::fastest(data).into_iter().filter(|s| size(s.record).is_some()).collect();
    let figures = groups(&settings, |s| {
        let batch = if s.is_full_batch() { None } else { s.record.batch };
        let sizes = (s.family(), batch, s.is_full_batch());
        (s.frontier.workload.as_str(), s.dimension(), sizes, s.conditions())
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let (workload, _, ((family, _), batch, full), conditions) = key;
        let unit = unit(&settings);
        let cubes = settings.iter().all(|s| s.record.m == s.record.n && s.record.n == s.record.k);
        let x = match (family.is_empty(), cubes) {
            (false, _) => "examples n",
            (true, true) => "size m = n = k",
            (true, false) => "size (m·n·k)^(1/3)",
        };
        let axes = Axes { x: x.into(), y: format!("throughput ({unit})") };
        let mut panels = panels(&settings, &axes, |settings| {
            let series = series(settings, true, |s| {
                let x = size(s.record).unwrap_or_default(); // filtered above
                let y_interval = s.throughput_interval();
                vec![Mark { y_interval, ..s.mark(x, s.point.throughput) }]
            });
            (distinct(&series, |mark| mark.x) > 1).then_some((series, vec![]))
        });
        let batch = match (batch, full) {
            (_, true) => " n".to_owned(),
            (Some(batch), _) => format!(" {batch}"),
            _ => String::new(),
        };
        let what =
            if family.is_empty() { String::new() } else { format!(" on {family}, batch{batch}") };
        let mut caption =
            "The fastest kernel of each setting. Bars are 95 % confidence intervals.".to_owned();
        // Peaks are of operations, not of the numbers that SGD counts.
        if unit != "GNPS" {
            for panel in &mut panels {
                panel.roofs = roofs(data, panel);
                panel.roofs.iter_mut().for_each(|roof| roof.slope = None);
            }
            if panels.iter().any(|panel| !panel.roofs.is_empty()) {
                caption += " A grey line is the measured peak of a unit that computes.";
            }
        }
        figure(
            &["throughput-size", workload, family, batch.trim(), conditions],
            format!("{workload}{what}{}: throughput against size", under(conditions)),
            caption,
            with_sizes(panels),
        )
    });
    figures.collect()
}

/// The roof of each unit that the rows of a panel were set against, the highest where several runs
/// measured it.
fn roofs(data: &Data, panel: &Panel) -> Vec<Roof> {
    let mut roofs: Vec<Roof> = vec![];
    for mark in panel.series.iter().flat_map(|series| &series.marks) {
        let record = &data.records[mark.row];
        let over_zero = |value: Option<f64>| value.filter(|v| *v > 0.0 && v.is_finite());
        let (Some(height), Some(slope)) =
            (over_zero(record.peak_throughput), over_zero(record.peak_bandwidth_gbs))
        else {
            continue;
        };
        match roofs.iter_mut().find(|roof| roof.name == record.peak_unit) {
            Some(roof) => {
                roof.height = roof.height.max(height);
                roof.slope = roof.slope.map(|known| known.max(slope));
            }
            None => roofs.push(Roof { name: record.peak_unit.clone(), height, slope: Some(slope) }),
        }
    }
    // Two units of one peak, such as a CPU's that sums int8 in f32, are one line.
    roofs.into_iter().fold(vec![], |mut joined: Vec<Roof>, roof| {
        match joined.iter_mut().find(|other| (other.height / roof.height - 1.0).abs() < 0.02) {
            Some(other) => other.name += &format!(", {}", roof.name),
            None => joined.push(roof),
        }
        joined
    })
}

/// Operations a second, in billions, and the 95 % interval that follows from that of the median.
fn operation_rate(record: &Record) -> Option<(f64, Option<Interval>)> {
    let operations = record.operations? as f64;
    let rate = |ns: f64| operations / ns;
    let ends = record.median_ci95_high_ns.zip(record.median_ci95_low_ns);
    let interval =
        ends.and_then(|(slow, fast)| spread(Interval { low: rate(slow), high: rate(fast) }));
    Some((rate(record.median_ns.filter(|&ns| ns > 0.0)?), interval))
}

fn roofline(data: &Data) -> Vec<Figure> {
    let known = |s: &Setting| {
        let intensity = s.record.arithmetic_intensity.is_some_and(|x| x > 0.0);
        intensity && s.record.peak_throughput.is_some() && operation_rate(s.record).is_some()
    };
    let settings: Vec<Setting> = Setting::all(data).filter(known).collect();
    let figures = groups(&settings, |s| (s.frontier.workload.as_str(), s.conditions()));
    let figures = figures.into_iter().filter_map(|((workload, conditions), settings)| {
        let axes = Axes {
            x: "arithmetic intensity (operations/byte)".into(),
            y: "operations a second (GOP/s)".into(),
        };
        let mut panels = panels(&settings, &axes, |settings| {
            let series = series(settings, false, |s| {
                let rate = operation_rate(s.record);
                let mark = rate
                    .zip(s.record.arithmetic_intensity)
                    .map(|((y, y_interval), x)| Mark { y_interval, ..s.mark(x, y) });
                mark.into_iter().collect()
            });
            Some((series, vec![]))
        });
        for panel in &mut panels {
            panel.roofs = roofs(data, panel);
        }
        figure(
            &["roofline", workload, conditions],
            format!("{workload}{}: roofline", under(conditions)),
            "One marker a row: operations a second against operations a byte of the least traffic. \
             The grey roofs were measured on the device: its memory's bandwidth on the slope, the \
             peak of a unit on the level. A marker above the slope had its data in a cache. Bars \
             are 95 % confidence intervals."
                .into(),
            panels,
        )
    });
    figures.collect()
}

fn error_against_k(data: &Data) -> Vec<Figure> {
    let with_k: Vec<Setting> =
        Setting::fastest(data).into_iter().filter(|s| s.record.k.is_some_and(|k| k > 0)).collect();
    let figures = groups(&with_k, |s| {
        let Frontier { workload, problem, error_metric, conditions, .. } = s.frontier;
        [workload, problem, error_metric, conditions].map(String::as_str)
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let [workload, problem, metric, conditions] = key;
        let axes = Axes { x: "length of a sum k".into(), y: error_label(metric, &settings) };
        let panels = panels(&settings, &axes, |settings| {
            let series = series(settings, true, |s| {
                let k = s.record.k.unwrap_or_default() as f64; // filtered above
                let y_interval = s.point.error_ci.and_then(spread);
                vec![Mark { y_interval, bound: s.bound(), ..s.mark(k, s.point.error) }]
            });
            (distinct(&series, |mark| mark.x) > 1).then_some((series, vec![]))
        });
        let mut marks = panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
        let bound = if marks.any(|mark| mark.bound.is_some()) { BOUND } else { "" };
        figure(
            &["error-k", workload, problem, conditions],
            format!("{workload}, {problem} inputs{}: error against k", under(conditions)),
            format!("The fastest kernel of each setting.{bound}"),
            with_sizes(panels),
        )
    });
    figures.collect()
}

/// How a setting learns: the learning rate and kernel of its precision that reach the target
/// soonest, or if none does, that end lowest.
struct Learned<'a> {
    setting: Setting<'a>,
    way: &'a [TrajectoryPoint],
    /// Position in `way` of the first point at or below the target.
    reached: Option<usize>,
}

/// The SGD settings of each problem, with the loss gap that time is measured to.
struct Learning<'a> {
    problems: Vec<([&'a str; 3], f64, Vec<Learned<'a>>)>,
}

impl<'a> Learning<'a> {
    fn of(data: &'a Data, target: Option<f64>) -> Self {
        let settings: Vec<Setting> = Setting::all(data)
            .filter(|s| data.trajectories[s.point.row].iter().filter(|p| timed(p)).count() > 1)
            .collect();
        let problems = groups(&settings, |s| {
            let Frontier { workload, shape, conditions, .. } = s.frontier;
            ([workload, shape, conditions].map(String::as_str), s.run())
        });
        let problems = problems.into_iter().map(|((key, _), settings)| {
            let target = target.unwrap_or_else(|| reachable(data, &settings));
            let groups = groups(&settings, |s| (s.device(), s.record.precision.as_str()));
            let learned = groups.into_iter().filter_map(|(_, rivals)| tuned(data, &rivals, target));
            (key, target, learned.collect())
        });
        Self { problems: problems.collect() }
    }
}

/// Whether a point can be drawn: the initial model, at step 0, is on no logarithmic axis.
fn timed(point: &TrajectoryPoint) -> bool {
    point.step > 0
        && point.elapsed_ns.is_some_and(|ns| ns > 0.0)
        && point.loss_gap.is_some_and(f64::is_finite)
}

/// The least of 1, 2, 5 times a power of ten that is no less than the lowest gap over 0.
fn reachable(data: &Data, settings: &[Setting]) -> f64 {
    let gaps = settings.iter().flat_map(|s| &data.trajectories[s.point.row]);
    let gaps = gaps.filter(|p| timed(p)).filter_map(|p| p.loss_gap).filter(|&gap| gap > 0.0);
    let least = gaps.fold(f64::INFINITY, f64::min);
    if least.is_infinite() {
        return f64::MIN_POSITIVE; // every gap is 0: reached at the first point
    }
    let exponent = least.log10().floor() as i32;
    let rounds = [1, 2, 5, 10].map(|digit| format!("{digit}e{exponent}").parse().unwrap_or(least));
    rounds.into_iter().find(|&round| round >= least).unwrap_or(least)
}

fn tuned<'a>(data: &'a Data, rivals: &[Setting<'a>], target: f64) -> Option<Learned<'a>> {
    let learned = rivals.iter().map(|&setting| {
        let way = data.trajectories[setting.point.row].as_slice();
        let reached =
            way.iter().position(|p| timed(p) && p.loss_gap.is_some_and(|gap| gap <= target));
        Learned { setting, way, reached }
    });
    let cost = |l: &Learned| {
        let time = l.reached.and_then(|i| l.way[i].elapsed_ns).unwrap_or(f64::INFINITY);
        let end = l.way.iter().rev().find_map(|p| p.loss_gap).unwrap_or(f64::INFINITY);
        (time, end)
    };
    learned.min_by(|a, b| {
        let (a, b) = (cost(a), cost(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Against {
    Time,
    Steps,
}

fn loss(data: &Data, learning: &Learning, against: Against) -> Vec<Figure> {
    let one = |(key, target, learned): &([&str; 3], f64, Vec<Learned>)| {
        let [workload, shape, conditions] = *key;
        let settings: Vec<Setting> = learned.iter().map(|l| l.setting).collect();
        let x = if against == Against::Time { "time (ms)" } else { "steps" };
        let axes = Axes { x: x.into(), y: "loss gap".into() };
        let mut panels = panels(&settings, &axes, |settings| {
            let series = series(settings, true, |s| {
                let way = data.trajectories[s.point.row].iter().filter(|p| timed(p));
                let mark = |p: &TrajectoryPoint| {
                    let ms = p.elapsed_ns.unwrap_or_default() / 1e6;
                    let x = if against == Against::Time { ms } else { p.step as f64 };
                    s.mark(x, p.loss_gap.unwrap_or_default())
                };
                way.map(mark).collect()
            });
            (series.len() > 1).then_some((series, vec![]))
        });
        name_rates(data, &mut panels);
        let (id, what) = match against {
            Against::Time => ("loss-time", "time"),
            Against::Steps => ("loss-steps", "steps"),
        };
        figure(
            &[id, workload, shape, conditions],
            format!("{workload} {shape}{}: loss against {what}", under(conditions)),
            format!(
                "Training loss less the loss at the optimum. Of each setting, the measured learning \
                 rate α and kernel that bring it to a gap of {} soonest, or if none does, lowest. \
                 The initial model, at 0, is on no logarithmic axis.{}",
                significant(*target, 1),
                rates_caption(data, learned)
            ),
            panels,
        )
    };
    learning.problems.iter().filter_map(one).collect()
}

fn time_to_target(data: &Data, learning: &Learning) -> Vec<Figure> {
    let one = |(key, target, learned): &([&str; 3], f64, Vec<Learned>)| {
        let [workload, shape, conditions] = *key;
        let settings: Vec<Setting> = learned.iter().map(|l| l.setting).collect();
        let gap = significant(*target, 1);
        let axes = Axes { x: format!("time to a loss gap of {gap} (ms)"), y: String::new() };
        let mut panels = panels(&settings, &axes, |settings| {
            let series = series(settings, false, |s| {
                let found = learned.iter().find(|l| l.setting.point.row == s.point.row);
                found.map(|l| vec![arrival(l)]).unwrap_or_default()
            });
            let reached = series.iter().any(|s| s.marks.iter().any(|m| m.x.is_finite()));
            (series.len() > 1 && reached).then_some((series, vec![]))
        });
        for panel in &mut panels {
            panel.y_names = panel.series.iter().map(|s| label_with_rate(data, s)).collect();
            for (position, series) in panel.series.iter_mut().enumerate() {
                series.marks.iter_mut().for_each(|mark| mark.y = position as f64);
            }
        }
        figure(
            &["time-to-loss", workload, shape, conditions],
            format!("{workload} {shape}{}: time to a loss gap of {gap}", under(conditions)),
            format!(
                "When the training loss first came as near to its optimum as the gap says, at the \
                 measured learning rate α that gets there soonest. The bar begins at the last \
                 recorded step before that, when it had not.{}",
                rates_caption(data, learned)
            ),
            panels,
        )
    };
    learning.problems.iter().filter_map(one).collect()
}

/// When the target was reached: at the first recorded point there, and after the one before it.
fn arrival(learned: &Learned) -> Mark {
    let at = |i: usize| learned.way[i].elapsed_ns.unwrap_or_default() / 1e6;
    let Some(reached) = learned.reached else { return learned.setting.mark(f64::INFINITY, 0.0) };
    let before = (0..reached).rev().find(|&i| timed(&learned.way[i]));
    let x_interval = before.map(|before| Interval { low: at(before), high: at(reached) });
    Mark { x_interval, ..learned.setting.mark(at(reached), 0.0) }
}

/// Puts the rates into the legend that the panels share, unless they differ among them: then the
/// table tells them.
fn name_rates(data: &Data, panels: &mut [Panel]) {
    let all = || panels.iter().flat_map(|panel| &panel.series);
    let alike = |s: &Series| {
        let mut same = all().filter(|other| other.name == s.name);
        same.all(|other| label_with_rate(data, other) == label_with_rate(data, s))
    };
    if !all().all(alike) {
        return;
    }
    for series in panels.iter_mut().flat_map(|panel| &mut panel.series) {
        series.name = label_with_rate(data, series);
    }
}

fn label_with_rate(data: &Data, series: &Series) -> String {
    match series.marks.first().and_then(|mark| data.records[mark.row].learning_rate) {
        Some(value) => format!("{}, α = {}", series.name, rate(value)),
        None => series.name.clone(),
    }
}

/// Which learning rates there were to choose from, and what that leaves open.
fn rates_caption(data: &Data, learned: &[Learned]) -> String {
    let problem = |r: &Record| {
        let Record { workload, shape, data_set, steps, loss_function, regularisation, .. } = r;
        let texts = [workload, shape, data_set, loss_function].map(String::clone);
        (texts, *steps, regularisation.map(f64::to_bits))
    };
    let Some(first) = learned.first().map(|l| problem(l.setting.record)) else {
        return String::new();
    };
    let same = || data.records.iter().filter(|r| r.learning_rate.is_some() && problem(r) == first);
    let rates = distinct_rates(same());
    let mut caption = match rates[..] {
        [] => return String::new(),
        [one] => format!(
            " Only α = {} was measured, so no setting is tuned: --learning-rate \
             0.25x,0.5x,auto,2x of `tradeoff run sgd` measures several.",
            rate(one)
        ),
        _ => format!(" Measured were α = {}.", joined(rates.iter().map(|&value| rate(value)))),
    };
    let wrong = || same().filter(|r| r.status == Status::Wrong);
    let wrong_at = distinct_rates(wrong()).into_iter().map(|value| {
        let names = wrong().filter(|r| r.learning_rate == Some(value)).map(|r| &r.precision);
        format!("α = {} with {}", rate(value), joined(distinct_texts(names)))
    });
    let wrong_at: Vec<String> = wrong_at.collect();
    if !wrong_at.is_empty() {
        caption +=
            &format!(" Left out, for the run diverged or was else wrong: {}.", wrong_at.join("; "));
    }
    let at_the_end = |l: &&Learned| {
        let Record { precision, device, learning_rate, .. } = l.setting.record;
        let own = same().filter(|r| &r.precision == precision && &r.device == device);
        let own = distinct_rates(own);
        own.len() > 1 && [own.first(), own.last()].contains(&learning_rate.as_ref())
    };
    let at_the_end = learned.iter().filter(at_the_end);
    let ends = at_the_end.clone().map(|l| &l.setting.record.precision);
    let ends = match at_the_end.count() == learned.len() {
        true => "every setting".to_owned(),
        false => joined(distinct_texts(ends)),
    };
    if !ends.is_empty() {
        caption += &format!(
            " The lowest or the highest of them is the best of {ends}; one beyond may be better."
        );
    }
    caption
}

/// The learning rates of some rows, rising.
fn distinct_rates<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<f64> {
    let mut rates: Vec<f64> = records.filter_map(|record| record.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

fn distinct_texts<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut distinct: Vec<String> = vec![];
    texts.for_each(|text| {
        if !distinct.contains(text) {
            distinct.push(text.clone());
        }
    });
    distinct
}

/// `a, b and c`.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<String> = texts.into_iter().collect();
    match &texts[..] {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        texts => texts.concat(),
    }
}

/// Time of a step in μs.
fn step_us(record: &Record, ns: Option<f64>) -> Option<f64> {
    Some(ns? / record.steps.filter(|&steps| steps > 0)? as f64 / 1e3)
}

fn step_time(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> = Setting::fastest(data)
        .into_iter()
        .filter(|s| s.record.examples.is_some() && step_us(s.record, s.record.median_ns).is_some())
        .collect();
    let figures = groups(&settings, |s| {
        (s.frontier.workload.as_str(), s.family(), s.record.precision.as_str(), s.conditions())
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let (workload, (family, features), precision, conditions) = key;
        let axes = Axes { x: "examples n".into(), y: "time of a step (μs)".into() };
        let panels = panels(&settings, &axes, |settings| {
            let series = batch_series(settings);
            let grows = series.iter().any(|s| distinct(std::slice::from_ref(s), |m| m.x) > 1);
            grows.then_some((series, vec![]))
        });
        let d = features.map(|d| format!(", {d} features")).unwrap_or_default();
        figure(
            &["step-time", workload, family, precision, conditions],
            format!("{workload} on {family}{d}, {precision}{}: time of a step", under(conditions)),
            "One minibatch step against the number of examples; b is the size of the minibatch, \
             and b = n is gradient descent. Bars are 95 % confidence intervals."
                .into(),
            with_sizes(panels),
        )
    });
    figures.collect()
}

/// A series a batch size, rising; gradient descent last, with every row whose batch is all of n.
fn batch_series(settings: &[Setting]) -> Vec<Series> {
    let mut sizes: Vec<u64> = settings.iter().filter_map(|s| s.record.batch).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of = |size: u64| settings.iter().filter(move |s| s.record.batch == Some(size));
    // A size that is all of n wherever it was measured, and was so on one data set, is no series.
    let sizes =
        sizes.into_iter().filter(|&b| !(of(b).count() == 1 && of(b).all(Setting::is_full_batch)));
    let mut named: Vec<(String, Vec<&Setting>)> =
        sizes.map(|b| (format!("b = {b}"), of(b).collect())).collect();
    named.push(("b = n".into(), settings.iter().filter(|s| s.is_full_batch()).collect()));
    let one = |(position, (name, settings)): (usize, (String, Vec<&Setting>))| {
        let mut marks: Vec<Mark> = settings.iter().filter_map(|s| step_mark(s)).collect();
        marks.sort_by(|a, b| a.x.total_cmp(&b.x));
        let precision = settings.first().map_or(String::new(), |s| s.record.precision.clone());
        Series { name, precision, style: Style::nth(position), joined: true, marks }
    };
    named.into_iter().enumerate().map(one).filter(|series| !series.marks.is_empty()).collect()
}

fn step_mark(setting: &Setting) -> Option<Mark> {
    let record = setting.record;
    let low = step_us(record, record.median_ci95_low_ns);
    let high = step_us(record, record.median_ci95_high_ns);
    let y_interval = low.zip(high).and_then(|(low, high)| spread(Interval { low, high }));
    let y = step_us(record, record.median_ns)?;
    Some(Mark { y_interval, ..setting.mark(record.examples? as f64, y) })
}
