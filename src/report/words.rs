//! A setting in plain words: what error is bought for what speed.

use super::scale::{rate, significant, superscript};
use crate::frontier::{self, Frontier, Interval, Point, Standing};
use crate::number::{Format, Precision, Rounding, Scaling};
use crate::record::Record;

/// What the dial says at one position.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Words {
    /// How fast, beside the most exact setting of the dial.
    pub speed: String,
    /// How wrong.
    pub error: String,
    /// Whether to choose it.
    pub advice: String,
}

/// The settings of a frontier's dial, from exact to fast: of each precision the learning rate of
/// the least error and then the fastest kernel, by rising error; of equal errors the slower first.
/// The numbers are positions in [`Frontier::points`].
pub fn dial(frontier: &Frontier, records: &[Record]) -> Vec<usize> {
    let points = &frontier.points;
    let mut positions = frontier.tuned(records);
    positions.sort_by(|&a, &b| {
        let (a, b) = (&points[a], &points[b]);
        a.error.total_cmp(&b.error).then_with(|| a.throughput.total_cmp(&b.throughput))
    });
    positions
}

/// What the dial says of `point`, beside the setting `exact` at the dial's start.
pub fn words(frontier: &Frontier, records: &[Record], point: usize, exact: usize) -> Words {
    let (this, base) = (&frontier.points[point], &frontier.points[exact]);
    let name = |point: &Point| name(&records[point.row]);
    let speed = if point == exact {
        format!("{}: the most exact setting here; the others are compared with it.", name(this))
    } else {
        format!("{}: {}.", name(this), speed(this, base, &name(base)))
    };
    let Record { steps, learning_rate, .. } = &records[this.row];
    let tuned = learning_rate.filter(|_| frontier.has_rates(records));
    let error = error(&frontier.error_metric, this.error, *steps, tuned);
    Words { speed, error, advice: advice(frontier, records, this) }
}

/// What [`frontier::name`] calls a row, and whose code it measured, if not this crate's:
/// `fp32 (gemm 0.19.0)`.
pub fn name(record: &Record) -> String {
    let of = frontier::peer(record).map(|peer| format!(" ({peer})")).unwrap_or_default();
    format!("{}{of}", frontier::name(record))
}

/// The precision of a row in plain words: `operands 16-bit, sums 32-bit`. Nothing for a name that this
/// build does not know.
pub fn gloss(record: &Record) -> String {
    let Ok(precision) = record.precision.parse::<Precision>() else { return String::new() };
    let [read, written] = match Precision::SGD.contains(&precision) {
        true => ["data", "model"],
        false => ["operands", "sums"],
    };
    let bits = |format: Format| {
        let kind = match format {
            Format::Bf16 => " (bfloat16)",
            Format::F16x2 | Format::F32x2 => " (pairs)",
            Format::Bf16x3 => " (triples of bfloat16)",
            Format::Int8 | Format::Int4 | Format::MxInt8 | Format::Int32 => " whole numbers",
            Format::Fixed4 | Format::Fixed8 | Format::Fixed16 => " fixed-point",
            _ => "",
        };
        format!("{}-bit{kind}", format.bits())
    };
    let mut text = format!(
        "{read} {}, {written} {}",
        bits(precision.storage()),
        bits(precision.accumulator())
    );
    match precision.scaling() {
        Some(Scaling::Rowwise) => text += ", a scale for each row and column",
        Some(Scaling::Block32) => text += ", a scale for each 32 of them",
        _ => {}
    }
    if precision.rounding() == Rounding::Stochastic {
        text += ", rounded at random";
        if let Some(bits) = record.fewer_rounding_bits() {
            text += &format!(" by {bits} random bits");
        }
    }
    text
}

/// `1.9 times as fast as fp32`; a difference that the intervals do not settle is said to be none.
fn speed(this: &Point, base: &Point, base_name: &str) -> String {
    let ratio = this.throughput / base.throughput;
    let undecided = this.throughput_ci.overlaps(base.throughput_ci);
    match undecided {
        true => format!("as fast as {base_name}, as far as these samples can tell"),
        false if ratio >= 1.0 => format!("{} times as fast as {base_name}", times(ratio)),
        false => format!("slower: it takes {} times as long as {base_name}", times(1.0 / ratio)),
    }
}

/// Two significant digits, as whole numbers from 10 on.
fn times(ratio: f64) -> String {
    if ratio < 1.095 { format!("{ratio:.2}") } else { significant(ratio, 2) }
}

/// The primary error, in words where its metric has some; `tuned` is the learning rate where it is
/// the best of several.
fn error(metric: &str, value: f64, steps: Option<u64>, tuned: Option<f64>) -> String {
    match metric {
        _ if !value.is_finite() => format!("Its error ({metric}) is no finite number."),
        "relative_frobenius" if value == 0.0 => {
            "Every number of the result equals the truth.".to_owned()
        }
        "relative_frobenius" => {
            format!("A number of the result is typically off by about {}.", parts(value))
        }
        "loss_gap" => {
            let mut when = steps.map_or("At the end".to_owned(), |s| format!("After {s} steps"));
            if let Some(value) = tuned {
                when += &format!(" at its best learning rate, {}", rate(value));
            }
            match value {
                v if v > 0.0 => {
                    format!(
                        "{when}, the training loss is {} above the best possible.",
                        significant(v, 3)
                    )
                }
                _ => format!("{when}, the training loss is the best possible."),
            }
        }
        _ => format!("Its error ({metric}) is {}.", significant(value, 3)),
    }
}

/// A relative error as people say it: `3 parts in 10,000`.
fn parts(value: f64) -> String {
    if value >= 0.995 {
        return format!("{} times its size", significant(value, 2));
    }
    // Two digits: 0.0142 is 1.4 parts in 100, 0.000295 is 3 in 10,000.
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let exponent = (-(rounded.log10() + 1e-12).floor() as i32).max(2);
    let count = rounded * 10_f64.powi(exponent);
    let count = if count < 9.95 { format!("{count:.1}") } else { format!("{count:.0}") };
    let count = count.trim_end_matches(".0");
    let unit = if count == "1" { "part" } else { "parts" };
    format!("{count} {unit} in {}", power_in_words(exponent))
}

/// `10,000`, `10 million`, `10²¹`.
fn power_in_words(exponent: i32) -> String {
    let grouped = |zeros: i32| ["1", "10", "100"][(zeros % 3) as usize];
    match exponent {
        ..=2 => grouped(exponent.max(0)).to_owned(),
        3..=5 => format!("{},000", grouped(exponent)),
        6..=8 => format!("{} million", grouped(exponent)),
        9..=11 => format!("{} billion", grouped(exponent)),
        12..=14 => format!("{} trillion", grouped(exponent)),
        15..=17 => format!("{} quadrillion", grouped(exponent)),
        _ => format!("10{}", superscript(exponent)),
    }
}

fn advice(frontier: &Frontier, records: &[Record], point: &Point) -> String {
    let name = |other: usize| {
        let (this, other) = (&records[point.row], &records[frontier.points[other].row]);
        let mut name = other.precision_label();
        if frontier::algorithm(this) != frontier::algorithm(other) {
            let by = frontier::algorithm(other).map(|words| words.join(" "));
            name += &format!(" by {}", by.as_deref().map_or("sgd", str::trim));
        }
        if this.precision == other.precision && this.kernel != other.kernel {
            name += &format!(" with the kernel {}", other.kernel);
        }
        if this.implementation != other.implementation {
            name += &format!(" of {}", frontier::peer(other).unwrap_or("tradeoff"));
        }
        let value = other.learning_rate.filter(|_| this.learning_rate != other.learning_rate);
        name + &value.map(|v| format!(" at the learning rate {}", rate(v))).unwrap_or_default()
    };
    if let (Standing::OnFrontier, Some(other)) = (point.standing, point.contested_by) {
        let other = name(other);
        return format!(
            "Worth it only if it is really faster than {other}, which these samples do not show; \
             {other} is more exact."
        );
    }
    match point.standing {
        Standing::OnFrontier => {
            "Worth choosing: nothing measured here is both faster and more exact.".into()
        }
        Standing::Indistinguishable { from } => format!(
            "Perhaps worth choosing: {} came out better, but too closely for these samples to \
             tell.",
            name(from)
        ),
        Standing::Dominated { by } => format!(
            "Not worth choosing here: {} is at least as exact and at least as fast.",
            name(by)
        ),
    }
}

/// `230 to 245`, or nothing where the interval is a single value.
pub fn interval(interval: Interval) -> Option<String> {
    let Interval { low, high } = interval;
    (low < high).then(|| format!("{} to {}", significant(low, 3), significant(high, 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_as_people_say_it() {
        let cases = [
            (2.952e-4, "3 parts in 10,000"),
            (2.909e-7, "2.9 parts in 10 million"),
            (0.01428, "1.4 parts in 100"),
            (0.0033209, "3.3 parts in 1,000"),
            (0.00996, "1 part in 100"),
            (0.25, "25 parts in 100"),
            (1e-9, "1 part in 1 billion"),
            (7.2e-16, "7.2 parts in 10 quadrillion"),
            (1.7, "1.7 times its size"),
        ];
        for (value, text) in cases {
            assert_eq!(parts(value), text, "{value}");
        }
    }

    #[test]
    fn each_metric_has_its_sentence() {
        let said = |metric, value| error(metric, value, Some(200), None);
        assert_eq!(
            said("loss_gap", 0.0094814),
            "After 200 steps, the training loss is 0.00948 above the best possible."
        );
        assert!(said("loss_gap", 0.0).ends_with("is the best possible."));
        assert_eq!(
            error("loss_gap", 0.0, Some(9), Some(0.05)),
            "After 9 steps at its best learning rate, 0.05, the training loss is the best possible."
        );
        assert!(said("relative_frobenius", 0.0).contains("equals the truth"));
        assert_eq!(said("acceptance_rate", 0.5), "Its error (acceptance_rate) is 0.500.");
        assert!(said("loss_gap", f64::INFINITY).contains("no finite number"));
    }

    #[test]
    fn a_precision_in_plain_words() {
        let cases = [
            ("fp16", "operands 16-bit, sums 32-bit"),
            ("bf16", "operands 16-bit (bfloat16), sums 32-bit"),
            (
                "int8-sr-rowwise",
                "operands 8-bit whole numbers, sums 32-bit whole numbers, a scale for each row \
                 and column, rounded at random",
            ),
            ("D16fM16f", "data 16-bit, model 16-bit"),
            ("D8M32f", "data 8-bit fixed-point, model 32-bit"),
            ("fp7", ""),
        ];
        let row = |precision: &str| Record { precision: precision.into(), ..Record::default() };
        for (precision, text) in cases {
            assert_eq!(gloss(&row(precision)), text, "{precision}");
        }
        let with = |bits| Record { rounding_bits: Some(bits), ..row("fp16-sr") };
        let usual = "operands 16-bit, sums 16-bit, rounded at random";
        assert_eq!(gloss(&with(16)), usual);
        assert_eq!(gloss(&with(4)), format!("{usual} by 4 random bits"));
        assert_eq!([16, 4].map(|bits| name(&with(bits))), ["fp16-sr", "fp16-sr r=4"]);
    }

    #[test]
    fn a_speed_that_is_not_settled_is_no_difference() {
        let point = |throughput: f64, low: f64, high: f64| Point {
            row: 0,
            rows: vec![0],
            throughput,
            throughput_ci: Interval { low, high },
            error: 1.0,
            error_ci: None,
            draws: 1,
            single_draw: false,
            standing: Standing::OnFrontier,
            contested_by: None,
        };
        let base = point(100.0, 95.0, 105.0);
        assert_eq!(speed(&point(187.0, 180.0, 190.0), &base, "fp32"), "1.9 times as fast as fp32");
        assert!(speed(&point(104.0, 101.0, 108.0), &base, "fp32").contains("as far as"));
        let slow = speed(&point(50.0, 49.0, 51.0), &base, "fp32");
        assert_eq!(slow, "slower: it takes 2.0 times as long as fp32");
        assert_eq!(times(1.04), "1.04");
        assert_eq!(times(11.4), "11");
    }
}
