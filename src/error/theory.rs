//! How theory expects the error of a matrix product to grow with the length k of its sums: as the power of
//! k of the cause that dominates at the sizes looked at.
//!
//! Typical (root mean square) sizes are compared, not worst cases: a worst case takes every rounding for
//! the largest there is. One rounding to nearest errs by ulp²/12 in the mean of squares, a stochastic one
//! by ulp²/6; by r random bits where d are dropped, all alike frequent, it also errs by (2⁻ʳ − 2⁻ᵈ)/2 ulp
//! toward 0 in the mean. Significands are taken to be spread log-uniformly, so that with the unit roundoff
//! u of a format, ulp(x)²/x² is 3u²/(2·ln 2) in the mean and ulp(x)/|x| is u/ln 2. Roundings are taken to
//! be independent (Higham and Mary 2019; Connolly, Higham and Mary 2021), which ends where products fall
//! below half an ulp of their sum, near k = 1/u: beyond it a sum that is rounded to nearest stagnates.
//!
//! With that, of a sum s of k products from end to end, s_i after i of them, over |s|:
//!
//! | cause | products of one sign: s_i = s·i/k | products of mean 0: s_i² = s²·i/k in the mean |
//! | --- | --- | --- |
//! | operands, each off by a noise ν of its own | √2·ν·ρ·k^−½ | √2·ν |
//! | operands, each too small by a part β | 2β | 2β |
//! | sums, noise: √Σ ν²·s_i² | ν·(k/3)^½ | ν·(k/2)^½ |
//! | sums, each too small by a part β: Σ β·s_i | β·k/2 | β·k/√3 |
//! | the result, rounded once more | ν | ν |
//!
//! ρ is the root mean square of the products over their mean. To nearest in f32, uniform (0, 1) and normal
//! operands, the noise of sums is 0.245·√k·u and 0.300·√k·u. Sums rounded by r bits grow as k, for products
//! of one sign, from about k = 2·ln 2/6 / ((2⁻ʳ − 2⁻ᵈ)/2)²: 240 at r = 4 in f16, which drops 13 bits of an
//! f32, and far beyond any k at r = 13.

use std::f64::consts::LN_2;

/// What is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs {
    /// Root mean square of the products over their mean; `None` where the mean is 0.
    pub rms_over_mean: Option<f64>,
    /// The largest operand over their root mean square: what integers with a common scale are steps of.
    pub crest: f64,
    /// What lies above 7/8 of the least power of two that no operand exceeds, over the sum of all: mxfp8
    /// loses it, since a block's scale takes its largest number to 2⁸ or more, and E4M3 ends at 7/8 of 2⁹.
    pub above_mxfp8: f64,
}

impl Inputs {
    /// Uniform (0, 1): products of mean ¼ and mean square 1/9; above 7/8 lies ∫(x − 7/8)dx = 1/128, of ½.
    pub const UNIFORM01: Self = Self {
        rms_over_mean: Some(4.0 / 3.0),
        crest: 1.732_050_807_568_877_2, // √3
        above_mxfp8: 1.0 / 64.0,
    };
    /// Standard normal: of 256² of them the largest is at about √(2·ln 256²), and of the 32 of a block
    /// hardly any but that is lost in part.
    pub const NORMAL: Self = Self { rms_over_mean: None, crest: 4.7, above_mxfp8: 0.0 };
}

/// What rounding makes of a number, relative to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rounding {
    /// Root mean square of the error around its mean.
    pub noise: f64,
    /// Mean error toward 0.
    pub bias: f64,
}

impl Rounding {
    /// To nearest in a floating-point format of unit roundoff `unit`.
    pub fn nearest(unit: f64) -> Self {
        Self { noise: unit * (1.5 / LN_2 / 12.0).sqrt(), bias: 0.0 }
    }

    /// Stochastic by `bits` random bits, where `dropped` bits of a number count.
    pub fn stochastic(unit: f64, bits: u32, dropped: u32) -> Self {
        let bias = mean_of_cut(bits, dropped);
        Self { noise: unit * (1.5 / LN_2 / 6.0).sqrt(), bias: bias * unit / LN_2 }
    }

    /// To steps of `step`, of numbers of root mean square 1: to nearest, or stochastic by so many bits.
    pub fn fixed(step: f64, bits: Option<u32>) -> Self {
        match bits {
            None => Self { noise: step / 12f64.sqrt(), bias: 0.0 },
            // All 16 bits of a fraction count.
            Some(bits) => Self { noise: step / 6f64.sqrt(), bias: step * mean_of_cut(bits, 16) },
        }
    }
}

/// Mean of what is cut off a dropped fraction of `dropped` bits by looking at `bits` of them. Unit: ulp.
fn mean_of_cut(bits: u32, dropped: u32) -> f64 {
    let of = |bits: u32| 0.5f64.powi(bits.min(dropped) as i32);
    (of(bits) - of(dropped)) / 2.0
}

/// What makes an error grow, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The conversion of the operands.
    Conversion,
    /// The mean error of the conversion.
    ConversionBias,
    /// The roundings of the sums.
    Sums,
    /// The mean error of the roundings of the sums.
    SumsBias,
    /// The last rounding, of the result.
    Output,
}

impl Cause {
    /// In a word or two.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::ConversionBias => "conversion's bias",
            Self::Sums => "sums",
            Self::SumsBias => "bias of sums",
            Self::Output => "output",
        }
    }

    /// Whether errors of either sign are equally likely, so that the largest of many is larger than their
    /// root mean square.
    const fn is_noise(self) -> bool {
        !matches!(self, Self::ConversionBias | Self::SumsBias)
    }
}

/// The power of k that theory expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Of k.
    pub exponent: f64,
    /// What dominates.
    pub cause: Cause,
}

/// How a product rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roundings {
    /// Each operand's conversion.
    pub operands: Rounding,
    /// Each addition of a product.
    pub sums: Rounding,
    /// The result; none where it is the sum.
    pub output: Rounding,
}

impl Roundings {
    /// Typical relative size of what each cause makes of the error at k.
    pub fn sizes(&self, inputs: Inputs, k: f64) -> [(Cause, f64); 5] {
        let Self { operands, sums, output } = *self;
        let (averaging, of_squares, of_sums) = match inputs.rms_over_mean {
            Some(ratio) => (ratio / k.sqrt(), k / 3.0, k / 2.0),
            None => (1.0, k / 2.0, k / 3f64.sqrt()),
        };
        [
            (Cause::Conversion, 2f64.sqrt() * operands.noise * averaging),
            (Cause::ConversionBias, 2.0 * operands.bias),
            (Cause::Sums, sums.noise * of_squares.sqrt()),
            (Cause::SumsBias, sums.bias * of_sums),
            (Cause::Output, output.noise),
        ]
    }

    /// The cause that is largest at the geometric mean of the ends of `sizes`, and its power of k; `None`
    /// where nothing is rounded, or there is no size. The error is the root mean square of all entries, or
    /// the `largest` of k×k of them: about √(2·ln k²) as large where they scatter normally.
    pub fn expected(&self, inputs: Inputs, sizes: &[f64], largest: bool) -> Option<Expected> {
        let least = sizes.iter().copied().fold(f64::INFINITY, f64::min);
        let middle = (least * sizes.iter().copied().fold(0.0, f64::max)).sqrt();
        if !middle.is_finite() {
            return None;
        }
        let peak = if largest { (4.0 * middle.ln()).max(1.0).sqrt() } else { 1.0 };
        let seen = |(cause, size): (Cause, f64)| {
            (cause, if cause.is_noise() { peak * size } else { size })
        };
        let all = self.sizes(inputs, middle).map(seen);
        let (cause, size) = all.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let exponent = match cause {
            Cause::Conversion if inputs.rms_over_mean.is_some() => -0.5,
            Cause::Conversion | Cause::ConversionBias | Cause::Output => 0.0,
            Cause::Sums => 0.5,
            Cause::SumsBias => 1.0,
        };
        (size > 0.0).then_some(Expected { exponent, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F16: f64 = 1.0 / 2048.0;

    /// The constants that sequential sums are recognised by.
    #[test]
    fn sums_have_their_constants() {
        let nearest = Roundings { sums: Rounding::nearest(F16), ..Roundings::default() };
        let size = |roundings: &Roundings, inputs: Inputs| {
            let sizes = roundings.sizes(inputs, 100.0);
            sizes.iter().find(|(cause, _)| *cause == Cause::Sums).unwrap().1 / (10.0 * F16)
        };
        assert!((size(&nearest, Inputs::UNIFORM01) - 0.2452).abs() < 1e-4);
        assert!((size(&nearest, Inputs::NORMAL) - 0.3003).abs() < 1e-4);
        let sums = Rounding::stochastic(F16, 16, 13);
        assert_eq!(sums.bias, 0.0, "as many bits as are dropped");
        let stochastic = Roundings { sums, ..nearest };
        let ratio = size(&stochastic, Inputs::NORMAL) / size(&nearest, Inputs::NORMAL);
        assert!((ratio - 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn few_random_bits_make_sums_grow_as_k() {
        let sums =
            |bits| Roundings { sums: Rounding::stochastic(F16, bits, 13), ..Roundings::default() };
        let expected = |bits, sizes: &[f64]| {
            let found = sums(bits).expected(Inputs::UNIFORM01, sizes, false).unwrap();
            (found.cause, found.exponent)
        };
        assert_eq!(expected(4, &[200.0, 200.0]), (Cause::Sums, 0.5));
        assert_eq!(expected(4, &[280.0, 280.0]), (Cause::SumsBias, 1.0), "from 240 on");
        assert_eq!(expected(4, &[16.0, 512.0]), (Cause::Sums, 0.5), "at 90");
        assert_eq!(expected(4, &[256.0, 8192.0]), (Cause::SumsBias, 1.0));
        assert_eq!(expected(16, &[256.0, 1e9]), (Cause::Sums, 0.5));
        // The largest of many errors is noise for longer.
        let largest = sums(4).expected(Inputs::UNIFORM01, &[280.0], true).unwrap();
        assert_eq!(largest.cause, Cause::Sums);
    }

    #[test]
    fn the_larger_cause_has_its_exponent() {
        let all = Roundings {
            operands: Rounding::nearest(F16),
            sums: Rounding::nearest(1.0 / 16_777_216.0),
            output: Rounding::default(),
        };
        let exponent = |roundings: &Roundings, inputs, k| {
            roundings.expected(inputs, &[k], false).map(|expected| expected.exponent)
        };
        assert_eq!(exponent(&all, Inputs::UNIFORM01, 100.0), Some(-0.5));
        assert_eq!(exponent(&all, Inputs::NORMAL, 100.0), Some(0.0));
        assert_eq!(exponent(&all, Inputs::UNIFORM01, 1e6), Some(0.5));
        let output = Roundings { output: Rounding::nearest(F16), ..Roundings::default() };
        assert_eq!(exponent(&output, Inputs::NORMAL, 9.0), Some(0.0));
        assert_eq!(exponent(&Roundings::default(), Inputs::NORMAL, 9.0), None);
        assert_eq!(all.expected(Inputs::NORMAL, &[], false), None);
        let biased = Roundings { operands: Rounding::fixed(0.01, Some(1)), ..Roundings::default() };
        assert_eq!(
            exponent(&biased, Inputs::UNIFORM01, 1e4),
            Some(0.0),
            "its mean does not average out"
        );
        assert_eq!(exponent(&biased, Inputs::UNIFORM01, 2.0), Some(-0.5));
    }
}
