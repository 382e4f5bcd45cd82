//! How theory expects the error of a matrix product to grow with the length k of its sums: as the power of
//! k of the cause that dominates at the sizes looked at.
//!
//! Typical (root mean square) sizes are compared, not worst cases: a worst case takes every rounding for
//! the largest there is. One rounding to nearest errs by ulp²/12 in the mean of squares, a stochastic one
//! by ulp²/6; by r random bits where d are dropped, all alike frequent, it also errs by (2⁻ʳ − 2⁻ᵈ)/2 ulp
//! toward 0 in the mean. Significands are taken to be spread log-uniformly, so that with the unit roundoff
//! u of a format, ulp(x)²/x² is 3u²/(2·ln 2) in the mean and ulp(x)/|x| is u/ln 2. Roundings are taken to
//! be independent (Higham and Mary 2019; Connolly, Higham and Mary 2021), which ends where many products fall
//! below half an ulp of their sum: a sum of one sign that is rounded to nearest loses them, and stagnates.
//! With u·k over the ratio ρ below it begins at about 3/16, which is k = 1/(4u) for uniform (0, 1) operands
//! (error over formula in f16: 1.0 at k = 256, 1.2 at 512, 2.1 at 1024, 9.5 at 4096); of normal operands
//! of mean 0.5 to 4 it was not seen before that. Beyond it theory is silent.
//!
//! With that, of a sum s of k products from end to end, s_i after i of them, over |s|:
//!
//! | cause | mean of products prevails: s_i = s·i/k | mean 0: s_i² = s²·i/k in the mean |
//! | --- | --- | --- |
//! | operands, each off by a noise ν of its own | √2·ν·ρ·k^−½ | √2·ν |
//! | operands, each too small by a part β | 2β | 2β |
//! | sums, noise: √Σ ν²·s_i² | ν·(k/3)^½ | ν·(k/2)^½ |
//! | sums, each too small by a part β: Σ β·s_i | β·k/2 | β·k/√3 |
//! | the result, rounded once more | ν | ν |
//!
//! ρ is the root mean square of the products over their mean m. Their sum is k·m in the mean, with a
//! deviation of m·√(k·(ρ² − 1)): its mean prevails, as if the products had one sign, from k = ρ² − 1 on.
//! To nearest in f32, uniform (0, 1) and normal
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
    /// `None` where it is not known.
    pub above_mxfp8: Option<f64>,
}

impl Inputs {
    /// Uniform (0, 1): products of mean ¼ and mean square 1/9; above 7/8 lies ∫(x − 7/8)dx = 1/128, of ½.
    pub const UNIFORM01: Self = Self {
        rms_over_mean: Some(4.0 / 3.0),
        crest: 1.732_050_807_568_877_2, // √3
        above_mxfp8: Some(1.0 / 64.0),
    };
    /// Standard normal: of 256² of them the largest is at about √(2·ln 256²), and of the 32 of a block
    /// hardly any but that is lost in part.
    pub const NORMAL: Self = Self { rms_over_mean: None, crest: 4.7, above_mxfp8: Some(0.0) };

    /// Normal of that mean and deviation 1: products of mean μ² and mean square (μ² + 1)². What saturates
    /// depends on where the mean lies between two powers of two.
    pub fn normal_around(mean: f64) -> Self {
        let square = mean * mean;
        Self {
            rms_over_mean: (square > 0.0).then(|| (square + 1.0) / square),
            crest: (mean.abs() + Self::NORMAL.crest) / (square + 1.0).sqrt(),
            above_mxfp8: None,
        }
    }

    /// [`Self::rms_over_mean`] where the mean prevails in a sum of k products.
    fn one_sign(self, k: f64) -> Option<f64> {
        self.rms_over_mean.filter(|ratio| k > ratio * ratio - 1.0)
    }
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
        Self { noise: unit * noise_to_nearest(), bias: 0.0 }
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

/// Of a rounding to nearest, in units of the largest error that it can make.
fn noise_to_nearest() -> f64 {
    (1.5 / LN_2 / 12.0).sqrt()
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
    /// Sums so large that many products vanish beside them: no power of k.
    Stagnation,
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
            Self::Stagnation => "stagnates",
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
    /// Of k; `None` where no power is expected.
    pub exponent: Option<f64>,
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
    /// The unit roundoff where sums are rounded to nearest, so that they may stagnate.
    pub stagnating: Option<f64>,
    /// The result, to nearest; none where it is the sum.
    pub output: Rounding,
}

impl Roundings {
    /// Typical relative size of what each cause makes of the error at k.
    pub fn sizes(&self, inputs: Inputs, k: f64) -> [(Cause, f64); 5] {
        let Self { operands, sums, output, .. } = *self;
        let (averaging, of_squares, of_sums) = match inputs.one_sign(k) {
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
    /// the `largest` of k×k of them: about √(2·ln k²) as large where they scatter normally. Where the cause
    /// is the sums and the longest stagnates, no power is expected.
    pub fn expected(&self, inputs: Inputs, sizes: &[f64], largest: bool) -> Option<Expected> {
        let least = sizes.iter().copied().fold(f64::INFINITY, f64::min);
        let longest = sizes.iter().copied().fold(0.0, f64::max);
        let middle = (least * longest).sqrt();
        if !middle.is_finite() {
            return None;
        }
        let peak = if largest { (4.0 * middle.ln()).max(1.0).sqrt() } else { 1.0 };
        let seen = |(cause, size): (Cause, f64)| match cause {
            // One rounding, which errs by no more than the unit roundoff.
            Cause::Output => (cause, size * peak.min(1.0 / noise_to_nearest())),
            _ if cause.is_noise() => (cause, peak * size),
            _ => (cause, size),
        };
        let all = self.sizes(inputs, middle).map(seen);
        let (cause, size) = all.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let one_sign = inputs.one_sign(middle).is_some();
        let (exponent, cause) = match cause {
            Cause::Sums if self.stagnates(inputs, longest) => (None, Cause::Stagnation),
            Cause::Conversion if one_sign => (Some(-0.5), cause),
            Cause::Sums => (Some(0.5), cause),
            Cause::SumsBias => (Some(1.0), cause),
            _ => (Some(0.0), cause),
        };
        (size > 0.0).then_some(Expected { exponent, cause })
    }

    /// Whether sums of k products are so large beside them that many vanish.
    fn stagnates(&self, inputs: Inputs, k: f64) -> bool {
        let of_one_sign = |(unit, ratio)| unit * k > ratio * 3.0 / 16.0;
        self.stagnating.zip(inputs.one_sign(k)).is_some_and(of_one_sign)
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
            (found.cause, found.exponent.unwrap())
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
            ..Roundings::default()
        };
        let exponent = |roundings: &Roundings, inputs, k| {
            roundings.expected(inputs, &[k], false).and_then(|expected| expected.exponent)
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

    #[test]
    fn a_small_mean_prevails_in_a_long_sum() {
        let operands = Roundings { operands: Rounding::nearest(F16), ..Roundings::default() };
        let exponent = |mean, k: f64| {
            operands.expected(Inputs::normal_around(mean), &[k], false).unwrap().exponent.unwrap()
        };
        // ρ = 5: from k = 24 on; ρ = 101: from 10,200.
        assert_eq!([exponent(0.5, 23.0), exponent(0.5, 25.0)], [0.0, -0.5]);
        assert_eq!([exponent(0.1, 10_199.0), exponent(0.1, 10_201.0)], [0.0, -0.5]);
        assert_eq!([exponent(0.0, 1e12), exponent(-10.0, 1.0)], [0.0, -0.5]);
        // The two formulas meet there.
        let [below, above] = [10_199.0, 10_201.0]
            .map(|k| operands.sizes(Inputs::normal_around(0.1), k)[0].1 / operands.operands.noise);
        assert!((below / above - 1.0).abs() < 1e-3, "{below} {above}");
    }

    #[test]
    fn sums_of_one_sign_to_nearest_stagnate() {
        let sums = Rounding::nearest(F16);
        let nearest = Roundings { sums, stagnating: Some(F16), ..Roundings::default() };
        let expected = |roundings: &Roundings, inputs, sizes: &[f64]| {
            let found = roundings.expected(inputs, sizes, false).unwrap();
            (found.exponent, found.cause)
        };
        let sums = (Some(0.5), Cause::Sums);
        assert_eq!(expected(&nearest, Inputs::UNIFORM01, &[64.0, 512.0]), sums);
        let beyond = expected(&nearest, Inputs::UNIFORM01, &[64.0, 513.0]);
        assert_eq!(beyond, (None, Cause::Stagnation));
        assert_eq!(expected(&nearest, Inputs::NORMAL, &[64.0, 8192.0]), sums, "of mean 0");
        let stochastic = Roundings { stagnating: None, ..nearest };
        assert_eq!(expected(&stochastic, Inputs::UNIFORM01, &[64.0, 8192.0]), sums);
    }

    /// One rounding errs by no more than u, however many entries there are; a sum of many by more.
    #[test]
    fn the_last_rounding_has_a_largest_error() {
        let output = Rounding::nearest(F16);
        let sums = Rounding { noise: F16 / 100.0, bias: 0.0 };
        let both = Roundings { output, sums, ..Roundings::default() };
        let cause = |k, largest| both.expected(Inputs::NORMAL, &[k], largest).unwrap().cause;
        // √(4·ln k)·0.01·√(k/2) is 1 at k = 755; 0.01·√(k/2) is the noise of a rounding, 0.425, at 3607.
        assert_eq!([cause(700.0, true), cause(800.0, true)], [Cause::Output, Cause::Sums]);
        assert_eq!([cause(3500.0, false), cause(3700.0, false)], [Cause::Output, Cause::Sums]);
    }
}
