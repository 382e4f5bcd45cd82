//! Rates against size, and beside the roofs of a device.

use super::super::data::Data;
use super::super::figure::{Figure, Mark, Panel, Roof};
use super::{
    Axes, Setting, distinct, figure, groups, on, panels, series, spread, under, unit, with_sizes,
};
use crate::frontier::Interval;
use crate::record::Record;

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

pub(super) fn throughput_against_size(data: &Data) -> Vec<Figure> {
    let settings: Vec<Setting> =
        Setting::fastest(data).into_iter().filter(|s| size(s.record).is_some()).collect();
    let figures = groups(&settings, |s| {
        let batch = if s.is_full_batch() { None } else { s.record.batch };
        let sizes = (s.family(), batch, s.is_full_batch());
        let sizes = (sizes, s.inputs());
        (s.frontier.workload.as_str(), s.dimension(), sizes, s.conditions())
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let (workload, _, (((family, _), batch, full), inputs), conditions) = key;
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
            &["throughput-size", workload, family, batch.trim(), inputs, conditions],
            format!("{workload}{what}{}{}: throughput against size", on(inputs), under(conditions)),
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

pub(super) fn roofline(data: &Data) -> Vec<Figure> {
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
