//! The points of a frontier: from the rows of a setting, and ranked among each other.

use super::{Interval, Reading, grouped};
use crate::measure::statistics::Summary;
use crate::record::Record;

/// Where a point stands among those of its frontier. The numbers are positions in
/// [`Frontier::points`](super::Frontier::points).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No other point is at least as good in both and better in one.
    OnFrontier,
    /// A point of the frontier beats it by the estimates, but none for sure.
    Indistinguishable {
        /// The slowest such point of the frontier, so the one nearest in speed.
        from: usize,
    },
    /// A point beats it for sure.
    Dominated {
        /// That point: one of the frontier if there is one, and the nearest in speed.
        by: usize,
    },
}

/// One setting of a frontier.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its row, the fastest of its draws: a position in the records given.
    pub row: usize,
    /// All rows of the setting, `row` among them, and those that were measured again since.
    pub rows: Vec<usize>,
    /// Rate at the median time. Unit: [`Frontier::throughput_unit`](super::Frontier::throughput_unit).
    pub throughput: f64,
    /// Its 95 % confidence interval.
    pub throughput_ci: Interval,
    /// Error: that of the row, or the median over the draws. Unit: as its metric's column.
    pub error: f64,
    /// Its interval, if there was more than one draw or the column has one.
    pub error_ci: Option<Interval>,
    /// Pairs of seed and trial behind the error.
    pub draws: usize,
    /// Rounded at random and drawn once, so that its error is one of many that it might have had.
    pub single_draw: bool,
    /// Whether it is on the frontier.
    pub standing: Standing,
    /// Of a point of the frontier, another that is surely more exact and may be as fast, the
    /// fastest such: the point is worth its error only if it is really the faster.
    pub contested_by: Option<usize>,
}

/// Ratio over which an error differs surely from one that is a single draw. Unit: 1.
const SINGLE_DRAW_FACTOR: f64 = 2.0;

impl Point {
    /// What the error may be: its interval, or itself.
    pub(super) fn error_range(&self) -> Interval {
        self.error_ci.unwrap_or(Interval::exactly(self.error))
    }

    /// At least as good in both and better in one, by the estimates.
    fn beats(&self, other: &Self) -> bool {
        self.throughput >= other.throughput
            && self.error <= other.error
            && (self.throughput > other.throughput || self.error < other.error)
    }

    /// The same whatever the true values within the intervals.
    fn surely_beats(&self, other: &Self) -> bool {
        let (fast, slow) = (self.throughput_ci, other.throughput_ci);
        fast.low >= slow.high
            && self.surely_no_worse(other)
            && (fast.low > slow.high || self.surely_more_exact(other))
    }

    fn surely_more_exact(&self, other: &Self) -> bool {
        let factor = if self.single_draw || other.single_draw { SINGLE_DRAW_FACTOR } else { 1.0 };
        factor * self.error_range().high < other.error_range().low
    }

    fn surely_no_worse(&self, other: &Self) -> bool {
        let settled = !self.single_draw && !other.single_draw;
        self.surely_more_exact(other)
            || (settled && self.error_range().high <= other.error_range().low)
    }
}

/// The point of a setting from its rows, of which there is at least one.
pub(super) fn point(records: &[Record], readings: &[Reading]) -> Point {
    // A seed and trial that several runs measured is one case and one draw: the same bits were
    // rounded. To take the fastest of its rows would be to choose by luck, so the latest counts,
    // and of one second the last that was read.
    let cases = grouped(readings.iter().collect(), |r: &&Reading| {
        (records[r.row].seed, records[r.row].trial)
    });
    let mut draws: Vec<&Reading> = cases
        .into_iter()
        .filter_map(|case| case.into_iter().max_by_key(|r| &records[r.row].utc))
        .collect();
    draws.sort_by(|a, b| b.throughput.total_cmp(&a.throughput));
    let best = draws[0];
    let mut errors: Vec<f64> = draws.iter().map(|draw| draw.error).collect();
    errors.sort_by(f64::total_cmp);
    let (error, error_ci) = match errors.len() {
        1 => (best.error, best.error_ci.map(|ci| ci.with(best.error))),
        _ => median(&errors),
    };
    Point {
        row: best.row,
        rows: readings.iter().map(|reading| reading.row).collect(),
        throughput: best.throughput,
        throughput_ci: best.throughput_ci,
        error,
        error_ci,
        draws: errors.len(),
        single_draw: error_ci.is_none() && records[best.row].rounding == "stochastic",
        standing: Standing::OnFrontier,
        contested_by: None,
    }
}

/// Median of sorted values and its interval, by the ranks that timing samples use too.
fn median(sorted: &[f64]) -> (f64, Option<Interval>) {
    let n = sorted.len();
    let middle = 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
    let ranks = Summary::of((1..=n).map(|rank| (1, rank as f64)));
    let interval = ranks.ok().map(|ranks| Interval {
        low: sorted[ranks.median_ci95_low_ns as usize - 1],
        high: sorted[ranks.median_ci95_high_ns as usize - 1],
    });
    (middle, interval)
}

/// Fills in where each of the points, fastest first, stands.
pub(super) fn rank(points: &mut [Point]) {
    let all = 0..points.len();
    let beaten = |i: usize| points.iter().any(|other| other.beats(&points[i]));
    let on: Vec<bool> = all.clone().map(|i| !beaten(i)).collect();
    let standing = |i: usize| {
        if on[i] {
            return Standing::OnFrontier;
        }
        let sure = all.clone().filter(|&j| points[j].surely_beats(&points[i]));
        if let Some(by) = sure.max_by_key(|&j| (on[j], j)) {
            return Standing::Dominated { by };
        }
        // To be beaten is an order without cycles, so a beaten point has one on the frontier that
        // beats it.
        let from = all.clone().rfind(|&j| on[j] && points[j].beats(&points[i]));
        from.map_or(Standing::OnFrontier, |from| Standing::Indistinguishable { from })
    };
    let standings: Vec<Standing> = all.clone().map(standing).collect();
    let contested = |i: usize| {
        let ci = points[i].throughput_ci;
        let more_exact = |&j: &usize| points[j].surely_more_exact(&points[i]);
        all.clone().find(|j| on[i] && more_exact(j) && points[*j].throughput_ci.overlaps(ci))
    };
    let contested: Vec<Option<usize>> = all.clone().map(contested).collect();
    for (point, (standing, by)) in points.iter_mut().zip(standings.into_iter().zip(contested)) {
        (point.standing, point.contested_by) = (standing, by);
    }
}
