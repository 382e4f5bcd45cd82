//! What the elements of a seeded matrix product are drawn from: the grammar, and the draws.
//!
//! An element depends on (seed, matrix, row, column) alone, save that `cancel` leaves alone a last
//! pair of columns that k cuts in two. What a whole column of A and the row of B that meets it share,
//! such as a factor, has a stream of its own, so that a row can be drawn alone.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand_distr::{Distribution as _, StandardNormal};
use rand_philox::Philox;

use super::matrix::{Purpose, stream};

/// What the elements of a problem are drawn from: in f64, rounded once to f32 unless said otherwise.
/// U is uniform in [0, 1), N a standard normal deviate, q the index that A and B are summed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// N.
    Normal,
    /// U, so in [0, 1] once rounded: nothing cancels, and sums grow with k.
    Uniform01,
    /// 2U − 1, so in [−1, 1].
    Uniform,
    /// (U − 0.5)·exp(φ·N), as in the papers on the Ozaki scheme: the larger φ, the further apart the
    /// exponents of a row.
    ExponentSpread {
        /// φ, from 0 to 8.
        phi: f64,
    },
    /// N, with column q of A times 2^e and row q of B times 2^−e, e a whole number drawn evenly from
    /// the `span` + 1 ones around 0. The factors cancel exactly in the product, and floating point
    /// within its range of exponents errs as if they were not there; what shares a scale along k
    /// (integers, fixed point) loses `span` bits.
    PowerSpan {
        /// Binades between the largest and the smallest factor, from 0 to 200.
        span: u32,
    },
    /// |A||B| over |AB| is about 10^`digits` in every entry. The columns of A and rows of B come in
    /// threes. The first is a remainder: numbers of [0.5, 1)·√ρ, ρ = 1.125·10^−`digits`, all
    /// positive. The other two cancel exactly: a = u·α, a' = −v·α against b = v·β, b' = u·β, all
    /// numbers of f32, where u and v are odd numbers from 17 to 31 that the pair of columns has, and α
    /// and β numbers of 19 bits and either sign that rows and columns have (all over 2²⁴). As a' is no
    /// multiple of a by a power of two, the two do not round alike in a shorter format, and so its
    /// conversion errors do not cancel. For k = 3p this puts |A||B|/|AB| − 1 between 0.12·10^`digits`
    /// and 6.7·10^`digits`; columns left over are remainders (below k = 3 nothing cancels).
    Cancel {
        /// Decimal digits that cancel, from 0 to 30.
        digits: f64,
    },
    /// N + `mean`.
    MeanShift {
        /// The mean, from −10⁶ to 10⁶.
        mean: f64,
    },
    /// N, with some columns of A times `factor`: the few features of large magnitude that the
    /// activations of large language models have (Dettmers et al. 2022, LLM.int8()).
    OutlierColumns {
        /// Probability, from 0 to 1, with which a column is one.
        fraction: f64,
        /// Their factor, from 1 to 10⁶.
        factor: f64,
    },
    /// A: whole multiples of 2⁻²⁴ below 2⁻¹⁴ of either sign, the subnormal numbers of f16 without 0;
    /// B: N. A device that reads f16 subnormals as 0 loses all. (Subnormals of f32 on one side only
    /// leave products that underflow in f32, those on both sides vanish; no such problem is useful.)
    Subnormal,
    /// −1, 0 or 1, each as likely. These are exact in every format here: in all floating-point ones,
    /// and as −M, 0, M in integers scaled by the largest magnitude, where 2 would need M to be even.
    /// Their sums are exact too up to k = 2⁸ in an accumulator of bf16, 2¹¹ of f16 and 2²⁴ of f32.
    Integers,
}

/// Characters that a parameter may take, so that an id stays short enough for a file's name.
const PARAMETER_CHARACTERS: usize = 8;

/// Every name with its parameters, in the order of the docs.
const GRAMMAR: &str = "normal, uniform01, uniform, exponent-spread(phi), power-span(s), cancel(c), \
                       mean-shift(m), outlier-columns(fraction,factor), subnormal, integers";

/// A text that is no distribution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// No such name.
    #[error("unknown distribution `{0}`; valid are {GRAMMAR}")]
    Name(String),
    /// Too many or too few parameters.
    #[error("`{text}` has {found} parameters where {name} has {needed}; write {usage}")]
    Count {
        /// All of the text.
        text: String,
        /// Its name.
        name: &'static str,
        /// Parameters that it has.
        found: usize,
        /// Parameters that it should have.
        needed: usize,
        /// An example.
        usage: String,
    },
    /// A parameter out of range.
    #[error(
        "`{value}` in `{text}` is no {parameter}; write {what} from {least} to {most}, in at most 8 \
         characters"
    )]
    Parameter {
        /// All of the text.
        text: String,
        /// The parameter's name.
        parameter: &'static str,
        /// The parameter.
        value: String,
        /// `a number` or `a whole number`.
        what: &'static str,
        /// Its least value.
        least: f64,
        /// Its greatest value.
        most: f64,
    },
}

/// A parameter of the grammar.
struct Parameter {
    name: &'static str,
    least: f64,
    most: f64,
    whole: bool,
    example: &'static str,
}

const fn parameter(name: &'static str, least: f64, most: f64, example: &'static str) -> Parameter {
    Parameter { name, least, most, whole: false, example }
}

const PHI: [Parameter; 1] = [parameter("phi", 0.0, 8.0, "2")];
const SPAN: [Parameter; 1] = [Parameter { whole: true, ..parameter("s", 0.0, 200.0, "40") }];
const DIGITS: [Parameter; 1] = [parameter("c", 0.0, 30.0, "8")];
const MEAN: [Parameter; 1] = [parameter("m", -1e6, 1e6, "10")];
const OUTLIERS: [Parameter; 2] =
    [parameter("fraction", 0.0, 1.0, "0.01"), parameter("factor", 1.0, 1e6, "20")];

impl Distribution {
    /// The word used in the CSV, and on the command line with the parameters behind it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Uniform01 => "uniform01",
            Self::Uniform => "uniform",
            Self::ExponentSpread { .. } => "exponent-spread",
            Self::PowerSpan { .. } => "power-span",
            Self::Cancel { .. } => "cancel",
            Self::MeanShift { .. } => "mean-shift",
            Self::OutlierColumns { .. } => "outlier-columns",
            Self::Subnormal => "subnormal",
            Self::Integers => "integers",
        }
    }

    /// What a case's id has behind the shape: `spread2` of `exponent-spread(2)`. Empty for the default,
    /// [`Distribution::Normal`].
    pub fn id(self) -> String {
        match self {
            Self::Normal => String::new(),
            Self::ExponentSpread { phi } => format!("spread{phi}"),
            Self::PowerSpan { span } => format!("span{span}"),
            Self::Cancel { digits } => format!("cancel{digits}"),
            Self::MeanShift { mean } => format!("shift{mean}"),
            Self::OutlierColumns { fraction, factor } => format!("outliers{fraction}x{factor}"),
            Self::Uniform01 | Self::Uniform | Self::Subnormal | Self::Integers => {
                self.name().to_owned()
            }
        }
    }

    /// The parameters as the CSV has them, such as `fraction=0.01 factor=20`; empty without any.
    pub fn parameters(self) -> String {
        let named = self.specification().iter().zip(self.values());
        let named: Vec<_> = named.map(|(p, value)| format!("{}={value}", p.name)).collect();
        named.join(" ")
    }

    /// Whether an f64 product is no truth: its own error, about 10⁻¹⁶·|A||B|, is not far below the
    /// results.
    pub const fn needs_exact(self) -> bool {
        matches!(self, Self::Cancel { .. })
    }

    const fn specification(self) -> &'static [Parameter] {
        match self {
            Self::ExponentSpread { .. } => &PHI,
            Self::PowerSpan { .. } => &SPAN,
            Self::Cancel { .. } => &DIGITS,
            Self::MeanShift { .. } => &MEAN,
            Self::OutlierColumns { .. } => &OUTLIERS,
            _ => &[],
        }
    }

    fn values(self) -> Vec<f64> {
        match self {
            Self::ExponentSpread { phi } => vec![phi],
            Self::PowerSpan { span } => vec![f64::from(span)],
            Self::Cancel { digits } => vec![digits],
            Self::MeanShift { mean } => vec![mean],
            Self::OutlierColumns { fraction, factor } => vec![fraction, factor],
            _ => vec![],
        }
    }

    /// The distribution of this name with the parameters 0 and 1, which only [`FromStr`] sees.
    fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Normal,
            Self::Uniform01,
            Self::Uniform,
            Self::ExponentSpread { phi: 0.0 },
            Self::PowerSpan { span: 0 },
            Self::Cancel { digits: 0.0 },
            Self::MeanShift { mean: 0.0 },
            Self::OutlierColumns { fraction: 0.0, factor: 1.0 },
            Self::Subnormal,
            Self::Integers,
        ];
        all.into_iter().find(|d| d.name().eq_ignore_ascii_case(name))
    }

    fn with(self, values: &[f64]) -> Self {
        match (self, values) {
            (Self::ExponentSpread { .. }, &[phi]) => Self::ExponentSpread { phi },
            (Self::PowerSpan { .. }, &[span]) => Self::PowerSpan { span: span as u32 },
            (Self::Cancel { .. }, &[digits]) => Self::Cancel { digits },
            (Self::MeanShift { .. }, &[mean]) => Self::MeanShift { mean },
            (Self::OutlierColumns { .. }, &[fraction, factor]) => {
                Self::OutlierColumns { fraction, factor }
            }
            (without, _) => without,
        }
    }
}

/// As it is written on the command line, such as `outlier-columns(0.01,20)`.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.values().iter().map(f64::to_string).collect();
        match &values[..] {
            [] => f.write_str(self.name()),
            values => write!(f, "{}({})", self.name(), values.join(",")),
        }
    }
}

impl FromStr for Distribution {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Self, DistributionError> {
        let text = text.trim();
        let unknown = || DistributionError::Name(text.to_owned());
        let (name, inside) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        };
        let distribution = Self::named(name.trim()).ok_or_else(unknown)?;
        let specification = distribution.specification();
        let given: Vec<&str> = inside
            .filter(|text| !text.trim().is_empty())
            .map_or(vec![], |t| t.split(',').collect());
        if given.len() != specification.len() {
            let examples: Vec<_> = specification.iter().map(|p| p.example).collect();
            let name = distribution.name();
            let usage = match &examples[..] {
                [] => format!("`{name}`"),
                examples => format!("for example `{name}({})`", examples.join(",")),
            };
            let (text, found, needed) = (text.to_owned(), given.len(), specification.len());
            return Err(DistributionError::Count { text, name, found, needed, usage });
        }
        let values = given.iter().zip(specification).map(|(value, p)| p.read(value, text));
        Ok(distribution.with(&values.collect::<Result<Vec<_>, _>>()?))
    }
}

impl Parameter {
    fn read(&self, value: &str, text: &str) -> Result<f64, DistributionError> {
        let number = value.trim().parse::<f64>().ok();
        let number = number.filter(|x| (self.least..=self.most).contains(x));
        let number = number.filter(|x| !self.whole || x.fract() == 0.0);
        // −0 is 0, so that two spellings are not two problems.
        let number = number.map(|x| x + 0.0);
        let short = number.filter(|x| x.to_string().len() <= PARAMETER_CHARACTERS);
        short.ok_or_else(|| DistributionError::Parameter {
            text: text.to_owned(),
            parameter: self.name,
            value: value.trim().to_owned(),
            what: if self.whole { "a whole number" } else { "a number" },
            least: self.least,
            most: self.most,
        })
    }
}

/// The distributions of a list, whose commas may stand in parentheses too.
///
/// # Errors
/// Of the first that is none.
pub fn parse_list(text: &str) -> Result<Vec<Distribution>, DistributionError> {
    let mut depth = 0;
    let between = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    };
    let entries = text.split(between).map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(str::parse).collect()
}

/// Which operand is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    A,
    B,
}

/// What a column of A and the row of B that meets it have of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inner {
    /// Each element is drawn for itself and then multiplied.
    Factor(f64),
    /// The remainder of `cancel`: elements in [0.5, 1) times this.
    Remainder(f64),
    /// One of a pair that cancels: elements of 19 bits, shared by the pair, times this.
    Pair(f64),
}

/// Draws the rows of one operand.
pub(super) struct Drawer {
    distribution: Distribution,
    operand: Operand,
    seed: u64,
    /// By the index of the sum.
    inner: Vec<Inner>,
}

impl Drawer {
    /// For an operand of a product over `k`.
    pub(super) fn new(distribution: Distribution, operand: Operand, k: usize, seed: u64) -> Self {
        let shared = matches!(
            distribution,
            Distribution::PowerSpan { .. }
                | Distribution::Cancel { .. }
                | Distribution::OutlierColumns { .. }
        );
        let drawer = Self { distribution, operand, seed, inner: vec![] };
        let inner = if shared { (0..k).map(|q| drawer.shared(q, k)).collect() } else { vec![] };
        Self { inner, ..drawer }
    }

    /// What index `q` of the sum has of its own.
    fn shared(&self, q: usize, k: usize) -> Inner {
        let random = |q: usize| stream(self.seed, Purpose::InnerIndex, q as u64);
        let (is_a, is_b) = (self.operand == Operand::A, self.operand == Operand::B);
        match self.distribution {
            Distribution::PowerSpan { span } => {
                let exponent = random(q).random_range(0..=span) as i32 - (span / 2) as i32;
                Inner::Factor(f64::from(if is_a { exponent } else { -exponent }).exp2())
            }
            Distribution::OutlierColumns { fraction, factor } => {
                let outlier = random(q).random::<f64>() < fraction;
                Inner::Factor(if is_a && outlier { factor } else { 1.0 })
            }
            Distribution::Cancel { digits } => {
                let (first, place) = (q - q % 3, q % 3);
                if place == 0 || first + 3 > k {
                    return Inner::Remainder((1.125 * 10f64.powf(-digits)).sqrt());
                }
                let mut random = random(first);
                let mut odd = || f64::from(random.random_range(8..16) * 2 + 1);
                let (u, v) = (odd(), odd());
                Inner::Pair(match (place, is_b) {
                    (1, false) | (2, true) => u,
                    (1, true) => v,
                    _ => -v,
                })
            }
            _ => Inner::Factor(1.0),
        }
    }

    /// Draws row `i`.
    pub(super) fn fill(&self, row: &mut [f32], i: usize) {
        let inner = |q: usize| self.inner.get(q).copied().unwrap_or(Inner::Factor(1.0));
        match self.operand {
            Operand::A => {
                let mut random = stream(self.seed, Purpose::OperandA, i as u64);
                let mut shared = 0.0;
                for (q, x) in row.iter_mut().enumerate() {
                    // The second of a pair has the number that the first was drawn with.
                    if !(matches!(inner(q), Inner::Pair(_)) && q % 3 == 2) {
                        shared = self.base(inner(q), &mut random);
                    }
                    *x = scaled(shared, inner(q));
                }
            }
            Operand::B => {
                // Where several B follow each other, each begins with q = 0.
                let q = i.checked_rem(self.inner.len()).unwrap_or(0);
                let pair = matches!(inner(q), Inner::Pair(_));
                let first = if pair { i - q % 3 + 1 } else { i };
                let mut random = stream(self.seed, Purpose::OperandB, first as u64);
                row.fill_with(|| scaled(self.base(inner(q), &mut random), inner(q)));
            }
        }
    }

    /// A number before it is scaled.
    fn base(&self, inner: Inner, random: &mut Philox) -> f64 {
        match inner {
            Inner::Factor(_) => self.element(random),
            Inner::Remainder(_) => 0.5 + 0.5 * random.random::<f64>(),
            Inner::Pair(_) => {
                let magnitude = f64::from(random.random_range(1u32 << 18..1 << 19));
                let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
                sign * magnitude / 16_777_216.0
            }
        }
    }

    fn element(&self, random: &mut Philox) -> f64 {
        let normal = |random: &mut Philox| -> f64 { StandardNormal.sample(random) };
        match self.distribution {
            Distribution::Uniform01 => random.random::<f64>(),
            Distribution::Uniform => 2.0 * random.random::<f64>() - 1.0,
            Distribution::ExponentSpread { phi } => {
                (random.random::<f64>() - 0.5) * (phi * normal(random)).exp()
            }
            Distribution::MeanShift { mean } => normal(random) + mean,
            Distribution::Subnormal if self.operand == Operand::A => {
                let magnitude = f64::from(random.random_range(1u32..1024));
                let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
                sign * magnitude / 16_777_216.0
            }
            Distribution::Integers => f64::from(random.random_range(-1i32..=1)),
            _ => normal(random),
        }
    }
}

fn scaled(x: f64, inner: Inner) -> f32 {
    let (Inner::Factor(factor) | Inner::Remainder(factor) | Inner::Pair(factor)) = inner;
    (x * factor) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distribution_reads_back() {
        let list = "normal,uniform01, uniform,exponent-spread(0.5),power-span(40),cancel(8), \
                    mean-shift(-2.5),outlier-columns(0.01, 20),subnormal,integers";
        let all = parse_list(list).unwrap();
        assert_eq!(all.len(), 10);
        for d in &all {
            assert_eq!(d.to_string().parse(), Ok(*d));
            assert!(d.id().len() <= 25 && !d.id().contains([' ', '/', '(']), "{}", d.id());
        }
        let ids: Vec<_> = all.iter().map(|d| d.id()).collect();
        assert_eq!(ids[3..8], ["spread0.5", "span40", "cancel8", "shift-2.5", "outliers0.01x20"]);
        assert_eq!((ids[0].as_str(), all[0].parameters().as_str()), ("", ""));
        assert_eq!(all[7].parameters(), "fraction=0.01 factor=20");
        assert_eq!("MEAN-SHIFT(-0)".parse(), Ok(Distribution::MeanShift { mean: 0.0 }));
    }

    #[test]
    fn what_is_none_is_named_with_the_remedy() {
        for (text, told) in [
            ("gauss", "unknown distribution `gauss`; valid are normal, uniform01"),
            ("cancel(8", "unknown distribution `cancel(8`"),
            (
                "cancel",
                "`cancel` has 0 parameters where cancel has 1; write for example `cancel(8)`",
            ),
            ("normal(1)", "`normal(1)` has 1 parameters where normal has 0; write `normal`"),
            (
                "exponent-spread(9)",
                "`9` in `exponent-spread(9)` is no phi; write a number from 0 to 8",
            ),
            ("power-span(1.5)", "`1.5` in `power-span(1.5)` is no s; write a whole number from 0"),
            ("cancel(nan)", "`nan` in `cancel(nan)` is no c"),
            ("mean-shift(0.123456789)", "in at most 8 characters"),
            ("outlier-columns(0.1)", "`outlier-columns(0.01,20)`"),
        ] {
            let message = parse_list(text).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }
}
