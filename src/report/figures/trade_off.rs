//! Error against throughput, with the frontier.

use super::super::data::Data;
use super::super::figure::{Figure, Mark, Panel};
use super::{
    Axes, BOUND, Setting, error_label, figure, groups, panels, series, spread, under, unit,
};
use crate::frontier::{self, Frontier};

pub(super) fn error_against_throughput(data: &Data) -> Vec<Figure> {
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
                    frontier::name(best) == s.name() && best.learning_rate == s.record.learning_rate
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
            &["error-throughput", workload, shape, settings[0].inputs(), conditions],
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
            (frontier::name(record), record.learning_rate)
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
