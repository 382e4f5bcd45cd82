//! Error metrics of a computed matrix product.
//!
//! Ĉ is the computed matrix, C the truth, over the rows that the truth holds. An entry of Ĉ that
//! is infinite or NaN counts as infinitely wrong: it makes every norm and maximum infinite, weighs
//! as the largest value in a median, and leaves the bias undefined (NaN). So no metric of a result
//! with such an entry looks good.

use rayon::prelude::*;

use super::{relative, size};
use crate::number::Format;
use crate::truth::matmul::MatmulTruth;

/// 97.5 % quantile of the standard normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// How far a computed C lies from the truth. All are 0 where Ĉ = C; where a scale is 0, any error
/// is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorMetrics {
    /// Entries compared.
    pub entries: usize,
    /// ‖Ĉ − C‖F / ‖C‖F: the normwise forward error.
    pub relative_frobenius: f64,
    /// Largest |Ĉ − C| / (|A||B|): the componentwise backward error.
    pub max_componentwise: f64,
    /// Largest |Ĉ − C| / |C|.
    pub max_relative: f64,
    /// Median |Ĉ − C| / |C|.
    pub median_relative: f64,
    /// Largest |Ĉ − C| in units in the last place of the output format at C, see [`ulp`].
    pub max_ulp: f64,
    /// Median |Ĉ − C| in units in the last place of the output format at C, see [`ulp`].
    pub median_ulp: f64,
    /// Mean of (Ĉ − C) / (|A||B|), with its sign. NaN if an entry is not finite, or is off where
    /// |A||B| is 0.
    pub bias: f64,
    /// Half the width of the bias's 95 % confidence interval, see [`bias`]. Infinite for a single
    /// entry, NaN if an entry is not finite.
    pub bias_ci95_half_width: f64,
    /// Entries of Ĉ that are infinite or NaN; all of C are finite.
    pub non_finite: usize,
}

impl ErrorMetrics {
    /// Metrics of `computed`, the rows `truth.rows` of Ĉ (`truth.rows.len()`×n, row-major), whose
    /// format is `output`: f32 or f64 numbers.
    ///
    /// # Panics
    /// If `computed` has not as many entries as the truth.
    pub fn of<T>(computed: &[T], truth: &MatmulTruth, output: Format) -> Self
    where
        T: Copy + Into<f64> + Sync,
    {
        assert_eq!(computed.len(), truth.product.len(), "entries of the computed rows");
        let errors: Vec<f64> = (0..computed.len())
            .into_par_iter()
            .map(|e| size(truth.error(e, computed[e].into())))
            .collect();
        // Selecting a median runs on one thread, so the two share the pool with the rest.
        let relative_errors = || max_and_median(against(&errors, &truth.product, f64::abs));
        let ulps = || max_and_median(against(&errors, &truth.product, |t| ulp(t, output)));
        let others = || (max(&against(&errors, &truth.abs_product, |p| p)), bias(computed, truth));
        let (((max_relative, median_relative), (max_ulp, median_ulp)), others) =
            rayon::join(|| rayon::join(relative_errors, ulps), others);
        let (max_componentwise, (bias, bias_ci95_half_width)) = others;
        Self {
            entries: computed.len(),
            relative_frobenius: relative(norm(&errors, truth.n), norm(&truth.product, truth.n)),
            max_componentwise,
            max_relative,
            median_relative,
            max_ulp,
            median_ulp,
            bias,
            bias_ci95_half_width,
            non_finite: computed.iter().filter(|&&c| !c.into().is_finite()).count(),
        }
    }
}

/// Unit in the last place of `format` at the real number `x`: the distance of neighbouring numbers
/// of the format in the binade of x, 2^(max(⌊log₂|x|⌋, emin) − (p − 1)). So it is the spacing of the
/// subnormals for all |x| below the smallest normal number (0 included), and that of the last
/// binade for all |x| beyond it. The ULP distance |x̂ − x| / ulp(x) is a fraction, since x need not
/// be a number of the format; rounding x to nearest errs by at most ½.
///
/// A pair of f32 counts as a format of 48 bits, the least that its two parts always hold, down to
/// the spacing of the f32 subnormals. Formats not named here count as f32, that of their results.
pub fn ulp(x: f64, format: Format) -> f64 {
    let (precision, min_exponent, max_exponent) = match format {
        Format::F16 => (11, -14, 15),
        Format::Bf16 => (8, -126, 127),
        Format::F32x2 => (48, -126 + 24, 127),
        Format::F64 => (53, -1022, 1023),
        _ => (24, -126, 127),
    };
    // The exponent field of an f64; 0 for its subnormals, far below every format here.
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let exponent = exponent.clamp(min_exponent, max_exponent) - (precision - 1);
    // 2^exponent from its bits, as a normal f64 or a subnormal one: `powi` is a call for each entry.
    let bits =
        if exponent < -1022 { 1 << (exponent + 1074) } else { ((exponent + 1023) as u64) << 52 };
    f64::from_bits(bits)
}

/// Mean of e = (Ĉ − C)/(|A||B|) and half the width of its 95 % confidence interval.
///
/// Entries of one row share the conversion errors of a row of A, those of one column share a
/// column of B, so they are not independent. The variance of the mean is therefore clustered both
/// ways: V = V_rows + V_columns − V_entries (Cameron, Gelbach, Miller 2011), where V_rows is
/// G/(G − 1)·Σ_i (Σ_j (e_ij − ē))² / N² over G rows and N entries, V_columns likewise, and V_entries
/// is the variance as if all were independent; the largest of the four is used. The interval is
/// ē ± 1.96·√V, which is approximate where rows or columns are few.
pub fn bias<T>(computed: &[T], truth: &MatmulTruth) -> (f64, f64)
where
    T: Copy + Into<f64> + Sync,
{
    let n = truth.n;
    let mut e: Vec<f64> = (0..computed.len())
        .into_par_iter()
        .map(|at| {
            let error = truth.error(at, computed[at].into());
            if error == 0.0 { 0.0 } else { error / truth.abs_product[at] }
        })
        .collect();
    let count = e.len() as f64;
    let mean = row_sums(&e, n, |x| x).iter().sum::<f64>() / count;
    if !mean.is_finite() {
        return (f64::NAN, f64::NAN);
    }
    e.par_iter_mut().for_each(|x| *x -= mean);
    let by_row = row_sums(&e, n, |x| x);
    let mut by_column = vec![0.0; n];
    for row in e.chunks_exact(n) {
        by_column.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let squares: f64 = row_sums(&e, n, |x| x * x).iter().sum();

    // Variance of the mean from the sums of g clusters; one cluster alone says nothing.
    let variance = |g: usize, sum_of_squares: f64| match g {
        0 | 1 => 0.0,
        _ => g as f64 / (g as f64 - 1.0) * sum_of_squares / (count * count),
    };
    let clustered = |sums: &[f64]| variance(sums.len(), sums.iter().map(|s| s * s).sum());
    let (v_rows, v_columns) = (clustered(&by_row), clustered(&by_column));
    let v_entries = variance(e.len(), squares);
    if e.len() < 2 {
        return (mean, f64::INFINITY);
    }
    let v = (v_rows + v_columns - v_entries).max(v_rows).max(v_columns).max(v_entries);
    (mean, Z95 * v.sqrt())
}

/// Each error as a multiple of `scale` of the entry beside it.
fn against(errors: &[f64], beside: &[f64], scale: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
    errors.par_iter().zip(beside).map(|(&error, &x)| relative(error, scale(x))).collect()
}

/// Sum of f over each row of a matrix of n columns. The order of the additions does not depend on
/// the number of threads.
fn row_sums(values: &[f64], n: usize, f: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
    values.par_chunks_exact(n).map(|row| row.iter().map(|&x| f(x)).sum()).collect()
}

/// Frobenius norm of a matrix of n columns. f64 holds the squares of all finite products of f32.
fn norm(values: &[f64], n: usize) -> f64 {
    row_sums(values, n, |x| x * x).iter().sum::<f64>().sqrt()
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Largest value and median (of an even number, the mean of the two in the middle).
fn max_and_median(mut values: Vec<f64>) -> (f64, f64) {
    let largest = max(&values);
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let median = if even { f64::midpoint(max(below), upper) } else { upper };
    (largest, median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::matrix::{Distribution, MatmulProblem};
    use proptest::prelude::*;

    /// Truth of given C and |A||B|, n columns; the rest is not looked at.
    fn truth(n: usize, product: &[f64], abs_product: &[f64]) -> MatmulTruth {
        let rows = product.len() / n;
        let problem = MatmulProblem::generate(Distribution::Normal, rows, n, 1, 0).unwrap();
        let (product, abs_product) = (product.to_vec(), abs_product.to_vec());
        MatmulTruth { product, abs_product, ..MatmulTruth::of(&problem, None).unwrap() }
    }

    #[test]
    fn by_hand() {
        let t = truth(2, &[1.0, -2.0, 4.0, 0.5], &[2.0, 2.0, 8.0, 1.0]);
        let got = ErrorMetrics::of(&[1.5f32, -2.0, 3.0, 0.5], &t, Format::F16);
        assert_eq!(got.entries, 4);
        assert_eq!(got.relative_frobenius, 1.25f64.sqrt() / 21.25f64.sqrt());
        assert_eq!(got.max_componentwise, 0.25);
        assert_eq!((got.max_relative, got.median_relative), (0.5, 0.125));
        // 0.5 over 2^-10 and 1 over 2^-8; sorted 0, 0, 256, 512.
        assert_eq!((got.max_ulp, got.median_ulp), (512.0, 128.0));
        assert_eq!(got.bias, (0.25 - 0.125) / 4.0);
        assert_eq!(got.non_finite, 0);
    }

    #[test]
    fn exact_results_have_no_error_even_where_the_scale_is_0() {
        let t = truth(3, &[0.0, 1.0, 2.0], &[0.0, 1.0, 2.0]);
        let got = ErrorMetrics::of(&[-0.0f32, 1.0, 2.0], &t, Format::F32);
        assert_eq!((got.relative_frobenius, got.max_relative, got.max_ulp), (0.0, 0.0, 0.0));
        assert_eq!((got.bias, got.bias_ci95_half_width), (0.0, 0.0));
        let off = ErrorMetrics::of(&[1e-30f32, 1.0, 2.0], &t, Format::F32);
        assert_eq!((off.max_relative, off.max_componentwise), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn what_is_not_finite_never_looks_good() {
        let t = truth(3, &[1.0, 1.0, 2.0], &[1.0, 1.0, 2.0]);
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let got = ErrorMetrics::of(&[1.0, bad, 2.0], &t, Format::F32);
            for infinite in
                [got.relative_frobenius, got.max_componentwise, got.max_relative, got.max_ulp]
            {
                assert_eq!(infinite, f64::INFINITY);
            }
            assert!(got.bias.is_nan() && got.bias_ci95_half_width.is_nan());
            assert_eq!((got.non_finite, got.median_relative), (1, 0.0));
            let most = ErrorMetrics::of(&[1.0, bad, bad], &t, Format::F32);
            assert_eq!((most.median_relative, most.median_ulp), (f64::INFINITY, f64::INFINITY));
        }
    }

    #[test]
    fn ulps_of_each_binade() {
        let e = |exponent| 2f64.powi(exponent);
        for (x, format, expected) in [
            (1.0, Format::F32, e(-23)),
            (-0.999, Format::F32, e(-24)),
            (0.0, Format::F32, e(-149)),
            (1e-300, Format::F32, e(-149)),
            (1e300, Format::F32, e(104)),
            (1.0, Format::F16, e(-10)),
            (-65_504.0, Format::F16, 32.0),
            (1e9, Format::F16, 32.0),
            (6.2e-5, Format::F16, e(-24)),
            (5e-5, Format::F16, e(-24)),
            (3.0, Format::Bf16, e(-6)),
            (1.0, Format::F32x2, e(-47)),
            (1e-44, Format::F32x2, e(-149)),
            (-1.5, Format::F64, f64::EPSILON),
            (0.0, Format::F64, f64::from_bits(1)),
        ] {
            assert_eq!(ulp(x, format), expected, "{x} in {format:?}");
        }
    }

    /// e = [[1, 2], [3, 6]]: V_rows = 2·(9 + 9)/16, V_columns = 1, V_entries = 14/12.
    #[test]
    fn bias_by_hand() {
        let t = truth(2, &[0.0; 4], &[1.0; 4]);
        let (mean, half_width) = bias(&[1.0f32, 2.0, 3.0, 6.0], &t);
        assert_eq!((mean, half_width), (3.0, Z95 * 1.5));
        assert_eq!(bias(&[2.0f32], &truth(1, &[1.0], &[1.0])), (1.0, f64::INFINITY));
    }

    /// Errors that rows and columns share: the interval holds the true bias as often as it says.
    /// Of 400 trials at 95 % (94.3 % for 1.96 at 39 degrees of freedom) fewer than 89.7 % would be
    /// 4 standard errors away. As if independent, it would hold in about 30 %.
    #[test]
    fn bias_interval_covers_under_shared_errors() {
        let (side, trials) = (40, 400);
        let t = truth(side, &vec![0.0; side * side], &vec![1.0; side * side]);
        let covered = (0..trials)
            .filter(|&seed| {
                let p = MatmulProblem::generate(Distribution::Normal, side, side, side + 2, seed);
                let p = p.unwrap();
                let error =
                    |i: usize, j: usize| 0.25 + p.a.row(i)[side] + p.b.row(side)[j] + p.a.row(i)[j];
                let computed: Vec<f32> =
                    (0..side * side).map(|e| error(e / side, e % side)).collect();
                let (mean, half_width) = bias(&computed, &t);
                (mean - 0.25).abs() <= half_width
            })
            .count();
        assert!(covered as f64 >= 0.897 * trials as f64, "{covered} of {trials}");
    }

    proptest! {
        /// Rounding to nearest is at most half an ULP off, in f16 too, subnormals included.
        #[test]
        fn rounding_to_nearest_is_within_half_an_ulp(x in -7e4f64..7e4, exponent in -40i32..1) {
            let x = x * 2f64.powi(exponent);
            prop_assert!((f64::from(x as f32) - x).abs() <= 0.5 * ulp(x, Format::F32));
            let single = x as f32;
            let half = crate::number::round::f16_nearest(single);
            prop_assume!(half.is_finite());
            let x = f64::from(single);
            prop_assert!((f64::from(half) - x).abs() <= 0.5 * ulp(x, Format::F16));
        }
    }
}
