//! Error against k, with the power of k that it grows as and the one that theory expects.

use super::super::data::Data;
use super::super::figure::{Figure, Fit, Mark, Panel, Series};
use super::{
    Axes, BOUND, Setting, distinct, error_label, figure, groups, panels, series, spread, under,
    with_sizes,
};
use crate::error::fit::PowerLaw;
use crate::frontier::{self, Frontier};
use crate::measure::{expected_growth, theory_of_inputs};
use crate::number::Precision;
use crate::number::round::ROUNDING_BITS;
use crate::record::Record;

pub(super) fn error_against_k(data: &Data) -> Vec<Figure> {
    let with_k: Vec<Setting> =
        Setting::all(data).filter(|s| s.record.k.is_some_and(|k| k > 0)).collect();
    let figures = groups(&with_k, |s| {
        let Frontier { workload, problem, error_metric, conditions, .. } = s.frontier;
        [workload, problem, error_metric, conditions].map(String::as_str)
    });
    let figures = figures.into_iter().filter_map(|(key, settings)| {
        let [workload, problem, metric, conditions] = key;
        let axes = Axes { x: "length of a sum k".into(), y: error_label(metric, &settings) };
        let panels = panels(&settings, &axes, |settings| {
            let settings = of_one_kernel(settings);
            let mut series = series(&settings, true, |s| {
                let k = s.record.k.unwrap_or_default() as f64; // filtered above
                let y_interval = s.point.error_ci.and_then(spread);
                vec![Mark { y_interval, bound: s.bound(), ..s.mark(k, s.point.error) }]
            });
            series.iter_mut().for_each(|series| fit(data, series));
            (distinct(&series, |mark| mark.x) > 1).then_some((series, vec![]))
        });
        figure(
            &["error-k", workload, problem, conditions],
            format!("{workload}, {problem} inputs{}: error against k", under(conditions)),
            caption(data, &panels),
            with_sizes(panels),
        )
    });
    figures.collect()
}

/// Of each setting the kernel that is fastest at its longest sum, one of this crate's if there is one,
/// wherever it was measured: sums in another order are other errors, and a line through both is none.
fn of_one_kernel<'a>(settings: &[Setting<'a>]) -> Vec<Setting<'a>> {
    let kernel = |s: &Setting<'a>| {
        let peer = frontier::peer(s.record).and_then(|peer| peer.split_whitespace().next());
        (peer, s.record.kernel.as_str())
    };
    let named = groups(settings, |s| s.name());
    let kept = named.into_iter().flat_map(|(_, rivals)| {
        let longest = rivals.iter().max_by(|a, b| {
            let rank = |s: &Setting| (frontier::peer(s.record).is_none(), s.record.k);
            rank(a).cmp(&rank(b)).then(a.point.throughput.total_cmp(&b.point.throughput))
        });
        let chosen = longest.map(kernel);
        let same: Vec<Setting> =
            rivals.iter().copied().filter(|s| Some(kernel(s)) == chosen).collect();
        // One of each shape: points are sorted by speed, and how f16 is loaded is no other kernel.
        groups(&same, |s| s.frontier.shape.as_str()).into_iter().map(|(_, same)| same[0])
    });
    kept.collect()
}

/// Puts the line through the points of a series in place of the lines between them.
fn fit(data: &Data, series: &mut Series) {
    let pairs: Vec<(f64, f64)> = series.marks.iter().map(|mark| (mark.x, mark.y)).collect();
    let fitted: Vec<f64> = pairs
        .iter()
        .filter(|(_, error)| error.is_finite() && *error > 0.0)
        .map(|pair| pair.0)
        .collect();
    let ends = [
        fitted.iter().copied().fold(f64::INFINITY, f64::min),
        fitted.iter().copied().fold(0.0, f64::max),
    ];
    let theory = series.marks.first().and_then(|mark| theory(&data.records[mark.row], &fitted));
    series.fit = PowerLaw::of(&pairs).map(|law| Fit { law, ends, theory });
    series.joined &= series.fit.is_none();
}

/// The exponent that theory expects of rows like this one, over sums of these lengths.
fn theory(record: &Record, lengths: &[f64]) -> Option<f64> {
    let precision: Precision = record.precision.parse().ok()?;
    let bits = record.rounding_bits.unwrap_or(ROUNDING_BITS);
    let inputs = theory_of_inputs(&record.distribution, &record.distribution_parameters)?;
    expected_growth(precision, bits, inputs, lengths, false)?.exponent
}

fn caption(data: &Data, panels: &[Panel]) -> String {
    let marks = || panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.marks);
    let record = |mark: &Mark| &data.records[mark.row];
    let mut caption = "Of each setting the kernel that is fastest at the largest k. A coloured line \
                       is the power of k fitted to the logarithms of its errors by least squares; \
                       the key tells the exponent with its 95 % interval, which takes three points. \
                       The grey line from the same start has the exponent that theory expects of \
                       the cause that is typically the largest at these k: ½ where it is the roundings \
                       of the sums, taken for independent; 1 where it is their bias by few random bits; \
                       0 where it is the conversion of the operands or the rounding of the result, \
                       but −½ where the mean of the products prevails in their sum, so that the \
                       errors of their operands average out. It is missing where theory is silent, \
                       as where sums that are rounded to nearest stagnate."
        .to_owned();
    let square = |r: &Record| r.m == r.k && r.n == r.k;
    let mut sizes = marks().map(|mark| (record(mark).m, record(mark).n));
    let first = sizes.next();
    match first {
        _ if marks().all(|mark| square(record(mark))) => caption += " m = n = k.",
        Some((Some(m), Some(n))) if sizes.all(|other| Some(other) == first) => {
            caption += &format!(" m = {m} and n = {n} throughout.");
        }
        _ => caption += " Not all points have the same m and n, nor m = n = k.",
    }
    let tuned = |series: &Series| {
        let mut parameters = series.marks.iter().map(|mark| &record(mark).kernel_parameters);
        let first = parameters.next();
        parameters.any(|other| Some(other) != first)
    };
    if panels.iter().flat_map(|panel| &panel.series).any(tuned) {
        caption += " A kernel's tuned parameters, and with them the order in which it sums, may \
                    differ from point to point.";
    }
    if marks().any(|mark| mark.bound.is_some()) {
        caption += BOUND;
    }
    caption
}
