//! What a figure shows, whatever draws it: panels of points and lines on logarithmic axes, or of
//! stacked bars.

use super::scale::significant;
use crate::error::fit::PowerLaw;
use crate::frontier::Interval;
use crate::number::Precision;

/// A figure of the paper.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Stem of its files.
    pub id: String,
    /// Of which kind: the heading of a section of the page.
    pub kind: &'static str,
    /// Heading.
    pub title: String,
    /// What the reader sees, in full sentences.
    pub caption: String,
    /// One at least.
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Above the axes.
    pub title: String,
    /// What its rows share, by which the page filters.
    pub workload: String,
    /// The same.
    pub device: String,
    /// Label of the horizontal axis, with its unit.
    pub x_label: String,
    /// Measured sizes, where the horizontal axis has its ticks; empty for the scale's own.
    pub sizes: Vec<f64>,
    /// Names in place of a logarithmic vertical axis, from the top; empty for numbers.
    pub y_names: Vec<String>,
    /// Label of the vertical axis, with its unit.
    pub y_label: String,
    /// What the horizontal lane of values that were never reached is called.
    pub never: &'static str,
    /// In the order of the legend.
    pub series: Vec<Series>,
    /// Corners of the frontier, fastest first; drawn as steps between them.
    pub frontier: Vec<(f64, f64)>,
    /// What the device cannot exceed.
    pub roofs: Vec<Roof>,
    /// Stacked bars, from the top, in place of points and axes of numbers.
    pub bars: Vec<Bar>,
}

impl Panel {
    /// Whether some series has a fitted line: then the panel has a key of its own, which tells the
    /// exponents.
    pub fn is_fitted(&self) -> bool {
        self.series.iter().any(|series| series.fit.is_some())
    }

    /// Ends of the fitted and the theoretical lines on the vertical axis.
    pub fn fitted(&self) -> impl Iterator<Item = f64> {
        let fits = self.series.iter().filter_map(|series| series.fit.as_ref());
        let ends = fits.flat_map(|fit| [Some(fit.line()), fit.theory_line()].into_iter().flatten());
        ends.flatten().map(|(_, y)| y)
    }

    /// Values that its horizontal axis must reach for the sake of its roofs: their ridges, and as
    /// far behind all that is drawn that their names have room there.
    pub fn reach(&self) -> Vec<f64> {
        let mut reach: Vec<f64> = self.roofs.iter().filter_map(Roof::ridge).collect();
        if !reach.is_empty() {
            let marks = self.series.iter().flat_map(|series| &series.marks).map(|mark| mark.x);
            let right = marks.filter(|x| x.is_finite()).chain(reach.iter().copied());
            reach.push(4.0 * right.fold(0.0, f64::max));
        }
        reach
    }
}

/// A measured roof of a device: y = min(height, slope · x).
#[derive(Clone, Debug, PartialEq)]
pub struct Roof {
    /// Written at its right end, or at the left one of a roof that is level.
    pub name: String,
    /// Most operations a second of a unit.
    pub height: f64,
    /// Bandwidth, where the horizontal axis is operations a byte; a roof without it is level.
    pub slope: Option<f64>,
}

impl Roof {
    /// Operations a byte from which on the memory is no bound.
    pub fn ridge(&self) -> Option<f64> {
        self.slope.map(|slope| self.height / slope)
    }

    /// Its corners between `x` and above the value `low`, from the left.
    pub fn corners(&self, x: [f64; 2], low: f64) -> Vec<(f64, f64)> {
        let [left, right] = x;
        let Some(slope) = self.slope else {
            return vec![(left, self.height), (right, self.height)];
        };
        let start = left.max(low / slope);
        let at = |x: f64| (x, self.height.min(slope * x));
        let ridge = self.height / slope;
        let middle = (start < ridge && ridge < right).then_some((ridge, self.height));
        if start >= right {
            return vec![];
        }
        [Some(at(start)), middle, Some(at(right))].into_iter().flatten().collect()
    }
}

/// A power law through the points of a series, and what theory expects of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The law.
    pub law: PowerLaw,
    /// The least and the greatest x that it was fitted to.
    pub ends: [f64; 2],
    /// The exponent that theory expects; `None` where it is silent.
    pub theory: Option<f64>,
}

impl Fit {
    /// The fitted line.
    pub fn line(&self) -> [(f64, f64); 2] {
        self.ends.map(|x| (x, self.law.scale * x.powf(self.law.exponent)))
    }

    /// From the left end of the fitted line, as theory would have it go on.
    pub fn theory_line(&self) -> Option<[(f64, f64); 2]> {
        let [start, end] = self.line();
        let theory = self.theory?;
        Some([start, (end.0, start.1 * (end.0 / start.0).powf(theory))])
    }

    /// The exponent with its 95 % interval: `0.50 [0.49, 0.52]`; two points have none.
    pub fn exponent(&self) -> String {
        // Of a number that rounds to 0 the sign says nothing.
        let shown = |x: f64| format!("{:.2}", (100.0 * x).round() / 100.0 + 0.0).replace('-', "−");
        let PowerLaw { exponent, ci95_low, ci95_high, points, .. } = self.law;
        match ci95_low.is_finite() && ci95_high.is_finite() {
            true => format!("{} [{}, {}]", shown(exponent), shown(ci95_low), shown(ci95_high)),
            false => format!("{} ({points} points)", shown(exponent)),
        }
    }

    /// The exponent of theory: `½`; a dash where it is silent.
    pub fn expected(&self) -> String {
        match self.theory {
            Some(0.5) => "½".to_owned(),
            Some(-0.5) => "−½".to_owned(),
            Some(exponent) => format!("{exponent}"),
            None => "–".to_owned(),
        }
    }
}

/// A stacked bar: how much of the squared error of one row each cause makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Beside it.
    pub name: String,
    /// Precision of its row, by which the page filters.
    pub precision: String,
    /// Position of the row in the report's data.
    pub row: usize,
    /// Relative Frobenius error. Unit: 1.
    pub error: f64,
    /// The parts of it that each of [`CAUSES`] makes, in the same norm. Unit: 1.
    pub parts: [f64; 3],
    /// Root of the sum of the squares of the parts over the error, where it is far from 1: the parts
    /// are not independent.
    pub dependent: Option<f64>,
}

impl Bar {
    /// Shares of the sum of the squares of the parts; `None` without an error. Unit: 1.
    pub fn shares(&self) -> Option<[f64; 3]> {
        let squares = self.parts.map(|part| part * part);
        let sum: f64 = squares.iter().sum();
        (sum > 0.0 && sum.is_finite()).then(|| squares.map(|square| square / sum))
    }

    /// What stands behind it: the error, and how far its parts are from independent where they are:
    /// `2.95·10⁻⁴ † 1.31`.
    pub fn label(&self) -> String {
        let dependent = self.dependent.map(|ratio| format!(" † {}", significant(ratio, 3)));
        format!("{}{}", significant(self.error, 3), dependent.unwrap_or_default())
    }
}

/// What makes the error of a matrix product, with the colour of its segments; without one the segment
/// is not filled.
pub const CAUSES: [(&str, Option<&str>); 3] = [
    ("conversion of the operands", Some(ORANGE)),
    ("accumulation", Some(BLUE)),
    ("rounding of the output", None),
];

/// Points of one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Precision of its rows, by which the page filters.
    pub precision: String,
    /// How it looks.
    pub style: Style,
    /// Whether a line joins the points.
    pub joined: bool,
    /// The line fitted to the points.
    pub fit: Option<Fit>,
    /// The points.
    pub marks: Vec<Mark>,
}

/// Of curves upon each other each marks every third of its points.
pub const STRIDE: usize = 3;

impl Series {
    /// The first point that has a marker, where not all have: on a line of many points of one row each
    /// [`STRIDE`]th does, in each series of the `count` of a panel another one, so that curves upon each
    /// other are told apart.
    pub fn first_marked(&self, position: usize, count: usize) -> Option<usize> {
        let mut rows = self.marks.iter().map(|mark| mark.row);
        let first = rows.next();
        let one_row = rows.all(|row| Some(row) == first);
        let many = count > 2 && self.marks.len() >= 2 * STRIDE;
        (self.joined && one_row && many).then_some(position % STRIDE)
    }
}

/// One point, with the row that it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Horizontal value; infinite where it was never reached.
    pub x: f64,
    /// Vertical value, or the position of its name.
    pub y: f64,
    /// Interval of `x`.
    pub x_interval: Option<Interval>,
    /// Interval of `y`.
    pub y_interval: Option<Interval>,
    /// Where a tick shows the theoretical bound.
    pub bound: Option<f64>,
    /// Position of the row in the report's data.
    pub row: usize,
    /// Drawn small: not the best of its setting.
    pub minor: bool,
}

impl Mark {
    /// A point without intervals or bound.
    pub fn at(x: f64, y: f64, row: usize) -> Self {
        Self { x, y, x_interval: None, y_interval: None, bound: None, row, minor: false }
    }
}

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is what its name spells
pub enum Shape {
    Circle,
    Square,
    Triangle,
    TriangleDown,
    Diamond,
    Pentagon,
}

/// Colour and marker of a series: colour and shape tell apart each on its own, and a hollow marker
/// is stochastic rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// Of Okabe and Ito (2008), distinct to the colour-blind: `#RRGGBB`. Black is the ink's colour.
    pub colour: &'static str,
    /// Shape of the markers.
    pub shape: Shape,
    /// Not filled.
    pub hollow: bool,
}

/// The palette of Okabe and Ito, without the yellow, which is too light on white.
const BLACK: &str = "#000000";
const BLUE: &str = "#0072B2";
const SKY: &str = "#56B4E9";
const GREEN: &str = "#009E73";
const ORANGE: &str = "#E69F00";
const VERMILION: &str = "#D55E00";
const PURPLE: &str = "#CC79A7";

const PALETTE: [&str; 7] = [BLACK, BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE];

const SHAPES: [Shape; 6] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::TriangleDown,
    Shape::Diamond,
    Shape::Pentagon,
];

/// For what is no precision: batch sizes, and names that this build does not know.
const CYCLE: [(&str, Shape); 6] = [
    (BLUE, Shape::Circle),
    (VERMILION, Shape::Square),
    (GREEN, Shape::Triangle),
    (PURPLE, Shape::Diamond),
    (ORANGE, Shape::TriangleDown),
    (SKY, Shape::Pentagon),
];

impl Style {
    /// The style of the precision called `name`, the same in every figure.
    pub fn of_precision(name: &str) -> Self {
        use Precision as P;
        let filled = |colour, shape| Self { colour, shape, hollow: false };
        let hollow = |colour, shape| Self { colour, shape, hollow: true };
        match name.parse() {
            Ok(P::Fp32 | P::D32fM32f) => filled(BLACK, Shape::Circle),
            Ok(P::Fp16 | P::D16fM16f) => filled(BLUE, Shape::Square),
            Ok(P::D16fM16fSr) => hollow(BLUE, Shape::Square),
            Ok(P::Fp16Acc16) => filled(SKY, Shape::Triangle),
            Ok(P::Fp16Sr) => hollow(SKY, Shape::Triangle),
            Ok(P::Bf16) => filled(ORANGE, Shape::TriangleDown),
            Ok(P::Int8 | P::D8M8) => filled(VERMILION, Shape::Diamond),
            Ok(P::Int8Sr | P::D8M8Sr) => hollow(VERMILION, Shape::Diamond),
            Ok(P::Int8Rowwise | P::D8M32f) => filled(PURPLE, Shape::Pentagon),
            Ok(P::Int8SrRowwise) => hollow(PURPLE, Shape::Pentagon),
            Ok(P::Fp16x2) => filled(BLUE, Shape::Pentagon),
            Ok(P::Bf16x3) => filled(ORANGE, Shape::Square),
            Ok(P::Fp32Comp) => hollow(BLACK, Shape::Circle),
            Ok(P::Fp32x2) => filled(GREEN, Shape::Circle),
            Ok(P::Fp64) => filled(PURPLE, Shape::Circle),
            Ok(P::D16M16Sr) => hollow(GREEN, Shape::TriangleDown),
            Ok(P::D16bM16b) => filled(ORANGE, Shape::TriangleDown),
            Ok(P::D16bM16bSr) => hollow(ORANGE, Shape::TriangleDown),
            Ok(P::D32fM8Sr) => hollow(BLACK, Shape::Circle),
            Ok(P::D8M16Sr) => hollow(GREEN, Shape::Diamond),
            Ok(P::D4M4Sr) => hollow(PURPLE, Shape::Pentagon),
            Ok(P::Bf16Sr) => hollow(ORANGE, Shape::TriangleDown),
            Ok(P::Fp8E4m3) => filled(GREEN, Shape::Square),
            Ok(P::Fp8E4m3Sr) => hollow(GREEN, Shape::Square),
            Ok(P::Fp8E5m2) => filled(GREEN, Shape::Triangle),
            Ok(P::Fp8E5m2Sr) => hollow(GREEN, Shape::Triangle),
            Ok(P::Mxfp8) => filled(BLUE, Shape::Diamond),
            Ok(P::Mxint8) => filled(SKY, Shape::Diamond),
            Ok(P::Int4) => filled(VERMILION, Shape::Pentagon),
            Ok(P::Int4Sr) => hollow(VERMILION, Shape::Pentagon),
            Err(_) => Self::nth(name.bytes().map(usize::from).sum()),
        }
    }

    /// The style of a precision rounded by fewer random bits than the usual 16. Hollow as with them, of
    /// another colour and shape for each number, and none that another of the stochastic precisions which a
    /// plain run measures has at 4, 8, 10, 13 or 16 bits.
    pub fn of_fewer_bits(name: &str, bits: u32) -> Self {
        let Self { colour, shape, .. } = Self::of_precision(name);
        let bits = bits as usize;
        let colour = PALETTE.iter().position(|&c| c == colour).unwrap_or_default() + 2 * bits;
        let shape = SHAPES.iter().position(|&s| s == shape).unwrap_or_default();
        let shape = shape + bits + 4 * (bits / PALETTE.len());
        Self {
            colour: PALETTE[colour % PALETTE.len()],
            shape: SHAPES[shape % SHAPES.len()],
            hollow: true,
        }
    }

    /// The style of the series at `position` among those that are no precisions.
    pub fn nth(position: usize) -> Self {
        let (colour, shape) = CYCLE[position % CYCLE.len()];
        Self { colour, shape, hollow: (position / CYCLE.len()) % 2 == 1 }
    }
}

/// A figure that is left out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Which.
    pub title: String,
    /// Why, and the runs that would give it.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::number::Rounding;
    use crate::number::round::{ROUNDING_BITS, ROUNDING_BITS_VALID};

    #[test]
    fn a_roof_rises_to_its_ridge_and_is_level_behind_it() {
        let roof = |slope| Roof { name: "f32_fma".into(), height: 100.0, slope };
        assert_eq!(roof(None).corners([1.0, 8.0], 1.0), [(1.0, 100.0), (8.0, 100.0)]);
        let rising = roof(Some(10.0));
        assert_eq!(rising.ridge(), Some(10.0));
        let whole = [(1.0, 10.0), (10.0, 100.0), (50.0, 100.0)];
        assert_eq!(rising.corners([1.0, 50.0], 1.0), whole);
        assert_eq!(rising.corners([1.0, 5.0], 1.0), [(1.0, 10.0), (5.0, 50.0)], "no ridge yet");
        assert_eq!(rising.corners([20.0, 50.0], 1.0), [(20.0, 100.0), (50.0, 100.0)]);
        assert_eq!(rising.corners([1.0, 50.0], 40.0)[0], (4.0, 40.0), "cut at the frame");
        assert_eq!(rising.corners([1.0, 2.0], 40.0), []);
    }

    /// 3·√x at 4, 16 and 64; theory holds it for constant.
    #[test]
    fn a_fitted_line_runs_from_the_first_point_to_the_last() {
        let pairs = [4.0, 16.0, 64.0].map(|x: f64| (x, 3.0 * x.sqrt()));
        let law = PowerLaw::of(&pairs).unwrap();
        let fit = Fit { law, ends: [4.0, 64.0], theory: Some(0.0) };
        let near = |(x, y): (f64, f64), other: (f64, f64)| {
            assert!(x == other.0 && (y / other.1 - 1.0).abs() < 1e-12, "{x} {y}");
        };
        let ([start, end], [begin, level]) = (fit.line(), fit.theory_line().unwrap());
        let expected = [(4.0, 6.0), (64.0, 24.0), (4.0, 6.0), (64.0, 6.0)];
        [start, end, begin, level].into_iter().zip(expected).for_each(|(is, of)| near(is, of));
        assert_eq!((fit.exponent().as_str(), fit.expected().as_str()), ("0.50 [0.50, 0.50]", "0"));
        let two = PowerLaw::of(&[(1.0, 1.0), (4.0, 0.999)]).unwrap();
        let two = Fit { law: two, ends: [1.0, 4.0], theory: Some(0.5) };
        assert_eq!((two.exponent().as_str(), two.expected().as_str()), ("0.00 (2 points)", "½"));
        assert_eq!(Fit { theory: None, ..two }.theory_line(), None);
    }

    #[test]
    fn curves_upon_each_other_mark_other_points() {
        let way = |rows: [usize; 6]| Series {
            name: "D8M8".into(),
            precision: "D8M8".into(),
            style: Style::nth(0),
            joined: true,
            fit: None,
            marks: rows.map(|row| Mark::at(1.0, 1.0, row)).to_vec(),
        };
        let marked = |series: Series, position, count| series.first_marked(position, count);
        assert_eq!([0, 1, 4].map(|p| marked(way([7; 6]), p, 5)), [Some(0), Some(1), Some(1)]);
        assert_eq!(marked(way([7; 6]), 1, 2), None, "two curves");
        assert_eq!(marked(way([1, 2, 3, 4, 5, 6]), 1, 5), None, "each point is a measurement");
        assert_eq!(marked(Series { joined: false, ..way([7; 6]) }, 1, 5), None, "no curve");
    }

    #[test]
    fn shares_are_of_squares() {
        let bar = |parts| Bar {
            name: "fp16".into(),
            precision: "fp16".into(),
            row: 0,
            error: 5.0,
            parts,
            dependent: None,
        };
        assert_eq!(bar([3.0, 4.0, 0.0]).shares(), Some([9.0 / 25.0, 16.0 / 25.0, 0.0]));
        assert_eq!(bar([0.0; 3]).shares(), None, "exact");
        assert_eq!(bar([f64::INFINITY, 0.0, 0.0]).shares(), None);
    }

    #[test]
    fn no_two_settings_of_a_workload_look_alike() {
        let matmul: Vec<_> = Precision::matmul().collect();
        for settings in [&matmul[..], &Precision::SGD] {
            let styles: Vec<Style> =
                settings.iter().map(|p| Style::of_precision(p.name())).collect();
            for (i, style) in styles.iter().enumerate() {
                assert!(!styles[..i].contains(style), "{}", settings[i]);
            }
        }
        let style = |precision: &Precision, bits: u32| match bits {
            ROUNDING_BITS => Style::of_precision(precision.name()),
            fewer => Style::of_fewer_bits(precision.name(), fewer),
        };
        let stochastic = |p: &&Precision| p.rounding() == Rounding::Stochastic;
        let mut usual = HashSet::new();
        for precision in matmul.iter().filter(stochastic) {
            let all: HashSet<Style> = ROUNDING_BITS_VALID.map(|r| style(precision, r)).collect();
            assert_eq!(all.len(), 16, "{precision}");
            if Precision::MATMUL.contains(precision) {
                assert!([4, 8, 10, 13, 16].into_iter().all(|r| usual.insert(style(precision, r))));
            }
        }
        let batches: Vec<Style> = (0..2 * CYCLE.len()).map(Style::nth).collect();
        assert!((1..batches.len()).all(|i| !batches[..i].contains(&batches[i])));
    }
}
