//! What SGD reaches, and when.

use super::super::data::Data;
use super::super::figure::{Figure, Mark, Panel, Series};
use super::super::scale::{rate, significant};
use super::{Axes, Setting, figure, groups, joined, panels, series, under};
use crate::frontier::{Frontier, Interval};
use crate::record::{Record, Status, TrajectoryPoint};

/// How a setting learns: the learning rate and kernel of its precision that reach the target
/// soonest, or if none does, that end lowest.
pub(super) struct Learned<'a> {
    setting: Setting<'a>,
    way: &'a [TrajectoryPoint],
    /// Position in `way` of the first point at or below the target.
    reached: Option<usize>,
}

/// The SGD settings of each problem, with the loss gap that time is measured to.
pub(super) struct Learning<'a> {
    problems: Vec<([&'a str; 3], f64, Vec<Learned<'a>>)>,
}

impl<'a> Learning<'a> {
    pub(super) fn of(data: &'a Data, target: Option<f64>) -> Self {
        let settings: Vec<Setting> = Setting::all(data)
            .filter(|s| data.trajectories[s.point.row].iter().filter(|p| timed(p)).count() > 1)
            .collect();
        let problems = groups(&settings, |s| {
            let Frontier { workload, shape, conditions, .. } = s.frontier;
            ([workload, shape, conditions].map(String::as_str), s.run())
        });
        let problems = problems.into_iter().map(|((key, _), settings)| {
            let target = target.unwrap_or_else(|| reachable(data, &settings));
            let groups = groups(&settings, |s| (s.device(), s.name()));
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
pub(super) enum Against {
    Time,
    Steps,
}

pub(super) fn loss(data: &Data, learning: &Learning, against: Against) -> Vec<Figure> {
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
                 The initial model, at 0, is on no logarithmic axis.{}{}",
                significant(*target, 1),
                if staggered(&panels) { STAGGERED } else { "" },
                rates_caption(data, learned)
            ),
            panels,
        )
    };
    learning.problems.iter().filter_map(one).collect()
}

const STAGGERED: &str = " A curve has a marker at every third of its points, so that curves upon each \
                         other are told apart.";

fn staggered(panels: &[Panel]) -> bool {
    let some = |panel: &Panel| {
        let count = panel.series.len();
        let mut series = panel.series.iter().enumerate();
        series.any(|(position, series)| series.first_marked(position, count).is_some())
    };
    panels.iter().any(some)
}

pub(super) fn time_to_target(data: &Data, learning: &Learning) -> Vec<Figure> {
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
