//! Time of a step of SGD.

use super::super::data::Data;
use super::super::figure::{Figure, Mark, Series, Style};
use super::{Axes, Setting, distinct, figure, groups, panels, spread, under, with_sizes};
use crate::frontier::Interval;
use crate::record::Record;

/// Time of a step in μs.
fn step_us(record: &Record, ns: Option<f64>) -> Option<f64> {
    Some(ns? / record.steps.filter(|&steps| steps > 0)? as f64 / 1e3)
}

pub(super) fn step_time(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> = Setting::fastest(data)
        .into_iter()
        .filter(|s| s.record.examples.is_some() && step_us(s.record, s.record.median_ns).is_some())
        .collect();
    let figures =
        groups(&settings, |s| (s.frontier.workload.as_str(), s.family(), s.name(), s.conditions()));
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
            &["step-time", workload, family, &precision, conditions],
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
        Series { name, precision, style: Style::nth(position), joined: true, fit: None, marks }
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
