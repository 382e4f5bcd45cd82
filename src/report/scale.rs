//! Logarithmic axes: range, ticks, their labels, and the lanes for what has no logarithm.

/// A logarithmic axis from `low` to `high`, with lanes beside it for values that no logarithm
/// reaches: 0 and less before the low end, never after the high end.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Low end; over 0.
    pub low: f64,
    /// High end; over `low`.
    pub high: f64,
    /// Some value is 0 or less.
    pub floor_lane: bool,
    /// Some value is infinite: it was never reached.
    pub never_lane: bool,
}

/// A tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where.
    pub value: f64,
    /// What stands beside it; `None` for a minor tick.
    pub label: Option<String>,
}

/// Widest range whose 2s and 5s are always labelled too. Unit: decades.
const LABEL_1_2_5: f64 = 1.35;
/// Widest range with minor ticks. Unit: decades.
const MINOR_TICKS: f64 = 6.5;
/// Most labelled decades.
const LABELS: i32 = 7;

impl Scale {
    /// The scale that holds all finite positive values with a little room; for none of them, one
    /// decade about 1. NaN is no value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0_f64);
        let (mut floor_lane, mut never_lane) = (false, false);
        for value in values {
            floor_lane |= value <= 0.0;
            never_lane |= value == f64::INFINITY;
            if value > 0.0 && value.is_finite() {
                (low, high) = (low.min(value), high.max(value));
            }
        }
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        // Room for the markers, and at least half a decade in all, so that two measurements that
        // differ by noise do not look far apart.
        let decades = high.log10() - low.log10();
        let room = (0.08 * decades).max((0.5 - decades) / 2.0).max(0.06);
        let (low, high) = (low.log10() - room, high.log10() + room);
        Self {
            // Within what f64 holds without loss, and never one end upon the other.
            low: 10_f64.powf(low.clamp(-307.0, 307.0)),
            high: 10_f64.powf(high.clamp(-306.0, 308.0)),
            floor_lane,
            never_lane,
        }
    }

    fn decades(&self) -> f64 {
        self.high.log10() - self.low.log10()
    }

    /// Position of a value between the ends, 0 to 1.
    pub fn position(&self, value: f64) -> f64 {
        (value.log10() - self.low.log10()) / self.decades()
    }

    /// The ticks, rising.
    pub fn ticks(&self) -> Vec<Tick> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let stride = 1 + (last - first) / (LABELS + 1);
        // One label tells no scale: a reader needs two.
        let within = |&e: &i32| (self.low..=self.high).contains(&power_of_ten(e));
        let few = self.decades() <= LABEL_1_2_5 || (first..=last).filter(within).count() < 2;
        let mut ticks = vec![];
        for exponent in first..=last {
            for digit in 1..=9 {
                let value = power_of_ten(exponent) * f64::from(digit);
                if value < self.low || value > self.high {
                    continue;
                }
                let labelled = match digit {
                    1 => exponent.rem_euclid(stride) == 0,
                    2 | 5 => few,
                    _ => false,
                };
                if labelled || digit == 1 || self.decades() <= MINOR_TICKS {
                    let label = labelled.then(|| tick_label(digit, exponent));
                    ticks.push(Tick { value, label });
                }
            }
        }
        ticks
    }
}

/// Correctly rounded, which `powi` is not.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(f64::NAN)
}

/// `2000`, `0.05`, `10⁻⁷`, `2·10⁻⁷`.
fn tick_label(digit: i32, exponent: i32) -> String {
    match exponent {
        0..=4 => format!("{digit}{}", "0".repeat(exponent as usize)),
        -2..=-1 => format!("0.{}{digit}", "0".repeat((-exponent - 1) as usize)),
        _ if digit == 1 => format!("10{}", superscript(exponent)),
        _ => format!("{digit}·10{}", superscript(exponent)),
    }
}

/// A size: a whole number as it is, another one in four significant digits.
pub fn size_label(size: f64) -> String {
    if size.fract() == 0.0 && size < 1e9 { format!("{size}") } else { significant(size, 4) }
}

/// A whole number in Unicode's superscripts.
pub fn superscript(number: i32) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |d| digits[d as usize]);
    number.to_string().chars().map(raise).collect()
}

/// A learning rate, in at most three significant digits: `0.05`, `0.0674`.
pub fn rate(value: f64) -> String {
    let text = significant(value, 3);
    match text.contains('.') && !text.contains('·') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number in `digits` significant ones, as a reader writes it: `240`, `0.018`, `2.91·10⁻⁷`.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() { "undefined" } else { "infinite" }.to_owned();
    }
    let text = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        // The mantissa's own rounding first, so that 239.96 does not gain a digit on its way.
        let rounded: f64 = text.parse().unwrap_or(value);
        return format!("{rounded:.decimals$}");
    }
    format!("{mantissa}·10{}", superscript(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn every_value_lies_within_and_has_ticks_about_it() {
        for (low, high) in [
            (3.0, 3.0),
            (21.0, 24.0),
            (1e-7, 2e-2),
            (1e-300, 1e300),
            (4e-17, 5e-16),
            (0.9, 1100.0),
            (0.2, 6.0),
        ] {
            let scale = Scale::of([low, high]);
            assert!(scale.low < low && high < scale.high, "{scale:?}");
            let ticks = scale.ticks();
            let inside = ticks.iter().all(|t| scale.low <= t.value && t.value <= scale.high);
            assert!(inside, "{ticks:?}");
            assert!((1..=9).contains(&labels(&scale).len()), "{low} {high}: {:?}", labels(&scale));
            if high > 4.0 * low {
                assert!(labels(&scale).len() > 1, "{low} {high}: {:?}", labels(&scale));
            }
            let position = scale.position(low);
            assert!(position > 0.0 && position < 0.501, "{position}");
        }
    }

    #[test]
    fn what_has_no_logarithm_opens_a_lane() {
        let scale = Scale::of([0.0, 1.0, f64::INFINITY, f64::NAN, -1.0]);
        assert!(scale.floor_lane && scale.never_lane);
        let scale = Scale::of([1.0, f64::NAN]);
        assert!(!scale.floor_lane && !scale.never_lane);
        assert!(Scale::of([]).low < 1.0);
    }

    /// At the ends of f64 a value may lie beside the scale, but the scale is one.
    #[test]
    fn the_largest_and_the_least_numbers_leave_a_scale() {
        for values in [[f64::MAX, f64::MAX], [5e-324, 5e-324], [5e-324, f64::MAX]] {
            let scale = Scale::of(values);
            assert!(0.0 < scale.low && scale.low < scale.high && scale.high.is_finite());
            assert!(values.map(|value| scale.position(value)).iter().all(|at| at.is_finite()));
            assert!(!scale.ticks().is_empty());
        }
    }

    #[test]
    fn labels_read_as_written_by_hand() {
        assert_eq!(labels(&Scale::of([1e-7, 1e-5])), ["10⁻⁷", "10⁻⁶", "10⁻⁵"]);
        assert_eq!(labels(&Scale::of([64.0, 512.0])), ["100", "200", "500"]);
        // Over LABEL_1_2_5, with one power of ten.
        assert_eq!(labels(&Scale::of([0.2, 6.0])), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(tick_label(5, -2), "0.05");
        assert_eq!(tick_label(2, -7), "2·10⁻⁷");
    }

    #[test]
    fn significant_digits() {
        let cases = [
            (240.401, "240"),
            (239.96, "240"),
            (0.0182371, "0.0182"),
            (2.9091168e-7, "2.91·10⁻⁷"),
            (1234.5, "1230"),
            (9.999e9, "1.00·10¹⁰"),
            (0.0, "0"),
            (f64::NAN, "undefined"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value, 3), text);
        }
        assert_eq!([64.0, 65536.0, 135.0567].map(size_label), ["64", "65536", "135.1"]);
    }
}
