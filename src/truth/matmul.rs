//! Truth of a matrix product: an f64 product, checked at sampled entries against the exact one, or
//! the exact one.
//!
//! A product of two f32 is exact in f64, so the f64 product errs in its additions alone: by at
//! most γ_k(2⁻⁵³)·|A||B|, 2²⁹ times below what one f32 rounding may cost. The judge of that is
//! [`exact_dot`]. The f64 product is no truth for results that are themselves of f64 quality
//! (compensated, double-single, f64), nor where |AB| is far below |A||B|: for these
//! [`MatmulTruth::exact`] sums every entry exactly and keeps it to twice the digits of f64.

use rand::seq::index;
use rayon::prelude::*;
use xsum::{Xsum, XsumSmall};

use crate::problem::layout::columns;
use crate::problem::matrix::{MatmulProblem, Purpose, stream};

/// Entries that are compared with their exact dot product, where there are so many.
const SAMPLED_ENTRIES: usize = 256;

/// Unit roundoff of f64, 2⁻⁵³.
pub(crate) const F64_UNIT: f64 = f64::EPSILON / 2.0;

/// The truth of [`MatmulTruth::of`].
pub const F64_PRODUCT: &str = "f64 product";
/// The truth of [`MatmulTruth::exact`].
pub const EXACT: &str = "exact";

/// Products that an exact truth sums, or its rows are a sample; about a second on two cores.
const EXACT_PRODUCTS: usize = 1 << 27;

/// C = A·B and |A||B| for some rows of C, in f64, with what bounds and metrics need of A and B.
#[derive(Clone, Debug)]
pub struct MatmulTruth {
    /// Which rows of C, ascending: all of them or a sample. Row i of product p is row p·m + i.
    pub rows: Vec<usize>,
    /// Rows of C in one product.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of each dot product.
    pub k: usize,
    /// The rows of C: `rows.len()`×n, row-major.
    pub product: Vec<f64>,
    /// What `product` leaves of the exact values, each rounded once: C = product + tail to 106 bits.
    /// Empty where `product` is not exact.
    pub tail: Vec<f64>,
    /// The same rows of |A||B|, the product of the entrywise absolute values.
    pub abs_product: Vec<f64>,
    /// Σ_q |a_iq| of these rows of A.
    pub a_row_abs: Vec<f64>,
    /// Σ_q |b_qj| of the n columns of B, of each product.
    pub b_col_abs: Vec<f64>,
    /// What computed `product`: [`F64_PRODUCT`] or [`EXACT`].
    pub reference: &'static str,
    /// Entries of `product` that were compared with their exact dot product.
    pub sampled_entries: usize,
    /// Largest |product − exact| / (|A||B|) over those entries.
    pub max_reference_error: f64,
}

/// Why a problem has no truth.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TruthError {
    /// An operand holds an infinity or a NaN.
    #[error("{matrix}[{row}, {column}] is {value}; the elements of a problem must be finite")]
    NonFinite {
        /// `A` or `B`.
        matrix: &'static str,
        /// Its row, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// The element.
        value: f32,
    },
    /// Rows asked for that are not rows of C in ascending order.
    #[error("rows of C must be ascending, distinct, below {m} and at least one, not {rows:?}")]
    Rows {
        /// What was asked for.
        rows: Vec<usize>,
        /// Rows that C has.
        m: usize,
    },
    /// The f64 product is further from the exact one than f64 arithmetic allows.
    #[error(
        "the f64 product is wrong at C[{row}, {column}]: {product:e} where the exact value is \
         {exact:e}, off by more than its bound {bound:e}; report this processor and the crate \
         `gemm`, whose result this is"
    )]
    Reference {
        /// Row of C.
        row: usize,
        /// Column of C.
        column: usize,
        /// What the f64 product says (C, or |A||B| where that is what is off).
        product: f64,
        /// The exact value, rounded once.
        exact: f64,
        /// γ_k(2⁻⁵³)·|A||B|.
        bound: f64,
    },
}

impl MatmulTruth {
    /// Truth of the given rows of C (ascending and distinct), or of all.
    ///
    /// # Errors
    /// [`TruthError`] if an operand is not finite, the rows are not rows of C, or the f64 product
    /// fails its check.
    pub fn of(problem: &MatmulProblem, rows: Option<&[usize]>) -> Result<Self, TruthError> {
        let (m, n, k) = (problem.m, problem.n, problem.k);
        let all = problem.batch * m;
        let rows = rows.map_or_else(|| (0..all).collect(), <[usize]>::to_vec);
        if !rows.is_sorted_by(|a, b| a < b) || rows.last().is_none_or(|&last| last >= all) {
            return Err(TruthError::Rows { rows, m: all });
        }
        check_finite("A", &problem.a.data, k)?;
        check_finite("B", &problem.b.data, n)?;

        let mut a: Vec<f64> = rows.iter().flat_map(|&i| problem.given_row_of_a(i)).collect();
        let mut b = problem.given_b();
        let of_each = |a: &[f64], b: &[f64]| multiply_each(a, b, &rows, [m, n, k]);
        let product = of_each(&a, &b);
        a.iter_mut().chain(&mut b).for_each(|x| *x = x.abs());
        let abs_product = of_each(&a, &b);
        let a_row_abs = a.chunks_exact(k).map(|row| row.iter().sum()).collect();
        let mut b_col_abs = vec![0.0; problem.batch * n];
        for (sums, b) in b_col_abs.chunks_exact_mut(n).zip(b.chunks_exact(k * n)) {
            for row in b.chunks_exact(n) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        }
        let mut truth = Self {
            rows,
            m,
            n,
            k,
            product,
            tail: vec![],
            abs_product,
            a_row_abs,
            b_col_abs,
            reference: F64_PRODUCT,
            sampled_entries: 0,
            max_reference_error: 0.0,
        };
        truth.check(problem)?;
        Ok(truth)
    }

    /// The same with every entry of these rows summed exactly. Its errors are known to about 2⁻¹⁰⁰
    /// of an entry, whatever cancels.
    ///
    /// # Errors
    /// As [`MatmulTruth::of`], which computes |A||B| and is held to the exact entries here, each of
    /// them.
    pub fn exact(problem: &MatmulProblem, rows: Option<&[usize]>) -> Result<Self, TruthError> {
        let mut truth = Self::of(problem, rows)?;
        let entries = exact_entries(problem, &truth.rows);
        // A product of f32 is exact in f64, one of f64 is rounded. P is an f64 product too, and the
        // exact value is rounded.
        let ku = truth.k as f64 * F64_UNIT;
        let unit = ku / (1.0 - ku) + F64_UNIT;
        for (entry, &[value, _]) in entries.iter().enumerate() {
            let product = truth.product[entry];
            let bound = unit * truth.abs_product[entry] * (1.0 + 2.0 * ku);
            let within = (product - value).abs() <= bound;
            if !within {
                let (row, column) = (truth.rows[entry / truth.n], entry % truth.n);
                return Err(TruthError::Reference { row, column, product, exact: value, bound });
            }
        }
        truth.product = entries.iter().map(|&[value, _]| value).collect();
        truth.tail = entries.iter().map(|&[_, tail]| tail).collect();
        (truth.reference, truth.sampled_entries) = (EXACT, entries.len());
        truth.max_reference_error = 0.0;
        Ok(truth)
    }

    /// computed − C at an entry, counted as in `product`. Infinite or NaN where `computed` is.
    pub fn error(&self, entry: usize, computed: f64) -> f64 {
        let error = computed - self.product[entry];
        // The difference of two numbers within a factor of 2 is exact.
        self.tail.get(entry).map_or(error, |tail| error - tail)
    }

    /// How far C itself may lie from what [`MatmulTruth::error`] takes for it.
    pub fn uncertainty(&self, entry: usize) -> f64 {
        if self.tail.is_empty() {
            self.k as f64 * F64_UNIT * self.abs_product[entry]
        } else {
            // Half an ULP of the tail, and of the tail's subnormals.
            self.product[entry].abs() * F64_UNIT * F64_UNIT + f64::from_bits(1)
        }
    }

    /// Rows of C, all `m` or fewer, whose exact truth takes no more than about a second, but at
    /// least `least`.
    pub fn exact_rows(m: usize, n: usize, k: usize, least: usize) -> usize {
        (EXACT_PRODUCTS / n.saturating_mul(k).max(1)).max(least).min(m)
    }

    /// Bytes of host memory that [`MatmulTruth::of`] takes at its peak for `rows` rows of `batch`
    /// products, or [`MatmulTruth::exact`], saturated.
    pub fn host_bytes(rows: usize, n: usize, k: usize, batch: usize) -> u128 {
        let (rows, n, k, batch) = (rows as u128, n as u128, k as u128, batch as u128);
        let elements = rows.saturating_mul(k).saturating_add(batch * k.saturating_mul(n));
        elements.saturating_add(rows.saturating_mul(n).saturating_mul(5)).saturating_mul(8)
    }

    /// Compares sampled entries of both products with exact dot products.
    fn check(&mut self, problem: &MatmulProblem) -> Result<(), TruthError> {
        let entries = self.product.len();
        let mut random = stream(problem.seed, Purpose::SampledEntries, 0);
        let sampled = index::sample(&mut random, entries, entries.min(SAMPLED_ENTRIES)).into_vec();
        let errors = sampled
            .par_iter()
            .map(|&entry| self.check_entry(problem, entry))
            .collect::<Result<Vec<f64>, _>>()?;
        self.sampled_entries = errors.len();
        self.max_reference_error = errors.into_iter().fold(0.0, f64::max);
        Ok(())
    }

    /// |product − exact| / (|A||B|) at one entry.
    fn check_entry(&self, problem: &MatmulProblem, entry: usize) -> Result<f64, TruthError> {
        let (row, column) = (self.rows[entry / self.n], entry % self.n);
        let a = problem.given_row_of_a(row);
        let b = problem.given_column_of_b(column);
        let b = &b[row / self.m * self.k..][..self.k];
        let absolute = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let dot = |a: &[f64], b: &[f64]| exact_dot_f64(a.iter().copied(), b.iter().copied())[0];
        let exact = dot(&a, b);
        let exact_abs = dot(&absolute(&a), &absolute(b));
        // At most k − 1 additions of products, which are exact unless they are of f64, and one
        // rounding of the exact value.
        let ku = (self.k + usize::from(problem.given_f64.is_some())) as f64 * F64_UNIT;
        let bound = ku / (1.0 - ku) * exact_abs;
        for (product, exact) in [(self.product[entry], exact), (self.abs_product[entry], exact_abs)]
        {
            let within = (product - exact).abs() <= bound; // a NaN is not
            if !within {
                return Err(TruthError::Reference { row, column, product, exact, bound });
            }
        }
        let error = (self.product[entry] - exact).abs();
        Ok(if error == 0.0 { 0.0 } else { error / exact_abs })
    }
}

fn check_finite(matrix: &'static str, data: &[f32], cols: usize) -> Result<(), TruthError> {
    match data.par_iter().position_first(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (row, column) = (at / cols, at % cols);
            Err(TruthError::NonFinite { matrix, row, column, value: data[at] })
        }
    }
}

/// The f64 products of the rows of A that `rows` numbers (`rows.len()`×k), each with B of its own product.
pub(crate) fn multiply_each(
    a: &[f64],
    b: &[f64],
    rows: &[usize],
    [m, n, k]: [usize; 3],
) -> Vec<f64> {
    let mut products = Vec::with_capacity(rows.len() * n);
    let mut a = a;
    for rows in rows.chunk_by(|i, next| i / m == next / m) {
        let (those, rest) = a.split_at(rows.len() * k);
        let b = &b[rows[0] / m * k * n..][..k * n];
        products.append(&mut multiply(those, b, rows.len(), n, k));
        a = rest;
    }
    products
}

/// The f64 product of row-major m×k and k×n matrices, on all threads.
fn multiply(a: &[f64], b: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    assert!(a.len() == m * k && b.len() == k * n);
    let mut c = vec![0.0; m * n];
    let (kk, nn) = (k as isize, n as isize);
    // SAFETY: the three slices hold m·k, k·n and m·n elements, which is what row-major strides
    // (row: number of columns, column: 1) address; `c` overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            nn,
            false,
            a.as_ptr(),
            1,
            kk,
            b.as_ptr(),
            1,
            nn,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    c
}

/// Σ a·b, exact and then rounded once to f64 (nearest, ties to even): a product of two f32 is
/// exact in f64, and `xsum` (Neal 2015) adds exactly. Ends with the shorter of the two.
pub fn exact_dot(a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f64 {
    let mut sum = ExactSum::new();
    a.zip(b).for_each(|(a, b)| sum.add(f64::from(a) * f64::from(b)));
    sum.rounded()
}

/// [`exact_dot`], and what its rounding leaves, rounded once.
fn exact_dot_in_two(a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> [f64; 2] {
    let mut sum = ExactSum::new();
    a.zip(b).for_each(|(a, b)| sum.add(f64::from(a) * f64::from(b)));
    let rounded = sum.rounded();
    sum.add(-rounded);
    [rounded, sum.rounded()]
}

/// Σ a·b of f64, exact and then rounded once, and what that rounding leaves. A product is taken as
/// two numbers by an fma, exactly where neither of them is below 2⁻¹⁰²² or infinite.
pub fn exact_dot_f64(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut sum = ExactSum::new();
    for (a, b) in a.zip(b) {
        let product = a * b;
        sum.add(product);
        sum.add(a.mul_add(b, -product));
    }
    let rounded = sum.rounded();
    sum.add(-rounded);
    [rounded, sum.rounded()]
}

/// A sum of f64 without any rounding, and its negation.
struct ExactSum {
    sum: XsumSmall,
    negated: XsumSmall,
}

impl ExactSum {
    fn new() -> Self {
        Self { sum: XsumSmall::new(), negated: XsumSmall::new() }
    }

    #[inline]
    fn add(&mut self, x: f64) {
        self.sum.add(x);
        self.negated.add(-x);
    }

    /// To nearest, ties to even. xsum 0.1.6 rounds a negative sum away from zero wherever its lowest
    /// words are 0, even an exact one (−1 becomes −1.0000000000000002), so the positive one of the
    /// two is read. Which that is, and zero, it gets right.
    fn rounded(&mut self) -> f64 {
        let rounded = self.sum.sum();
        if rounded < 0.0 { -self.negated.sum() } else { rounded }
    }
}

/// [`exact_dot_f64`] of every entry of some rows of C, of operands as they were given.
fn exact_entries(problem: &MatmulProblem, rows: &[usize]) -> Vec<[f64; 2]> {
    let (m, n, k) = (problem.m, problem.n, problem.k);
    if let Some([a, b]) = &problem.given_f64 {
        let a: Vec<f64> = rows.iter().flat_map(|&i| &a[i * k..][..k]).copied().collect();
        return multiply_each_exactly(&a, b, rows, [m, n, k]);
    }
    let columns = columns(&problem.b.data, k, n);
    each_entry(rows, n, |at, j| {
        let (a, b) = (problem.a.row(rows[at]), &columns[(rows[at] / m * n + j) * k..][..k]);
        exact_dot_in_two(a.iter().copied(), b.iter().copied())
    })
}

/// The products of the rows of A that `rows` numbers (`rows.len()`×k), each with B of its own product,
/// every entry as [`exact_dot_f64`] has it.
pub(crate) fn multiply_each_exactly(
    a: &[f64],
    b: &[f64],
    rows: &[usize],
    [m, n, k]: [usize; 3],
) -> Vec<[f64; 2]> {
    let columns = columns(b, k, n);
    each_entry(rows, n, |at, j| {
        let (a, b) = (&a[at * k..][..k], &columns[(rows[at] / m * n + j) * k..][..k]);
        exact_dot_f64(a.iter().copied(), b.iter().copied())
    })
}

/// `of` each of the rows, by its position, and each column.
fn each_entry(
    rows: &[usize],
    n: usize,
    of: impl Fn(usize, usize) -> [f64; 2] + Sync,
) -> Vec<[f64; 2]> {
    (0..rows.len() * n).into_par_iter().map(|entry| of(entry / n, entry % n)).collect()
}

/// A seeded sample of `count` of the `m >= 1` rows of a matrix, ascending and distinct. The first
/// and the last row, where tiles begin and end raggedly, are always in it: it holds at least
/// min(2, m) rows, and at most m.
pub fn sample_rows(m: usize, count: usize, seed: u64) -> Vec<usize> {
    if m <= 2 || count >= m {
        return (0..m).collect();
    }
    let mut random = stream(seed, Purpose::SampledRows, 0);
    let inner = index::sample(&mut random, m - 2, count.saturating_sub(2));
    let mut rows: Vec<usize> = inner.into_iter().map(|i| i + 1).chain([0, m - 1]).collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::matrix::Distribution;
    use proptest::prelude::*;

    fn problem(m: usize, n: usize, k: usize) -> MatmulProblem {
        MatmulProblem::generate(Distribution::Normal, m, n, k, 5).unwrap()
    }

    /// [[1, -2, 3], [4, 5, -6]] · [[1, 2], [3, 4], [-5, 6]], by hand.
    #[test]
    fn by_hand() {
        let mut p = problem(2, 2, 3);
        p.a.data = vec![1.0, -2.0, 3.0, 4.0, 5.0, -6.0];
        p.b.data = vec![1.0, 2.0, 3.0, 4.0, -5.0, 6.0];
        let truth = MatmulTruth::of(&p, None).unwrap();
        assert_eq!(truth.product, [-20.0, 12.0, 49.0, -8.0]);
        assert_eq!(truth.abs_product, [22.0, 28.0, 49.0, 64.0]);
        assert_eq!((truth.a_row_abs, truth.b_col_abs), (vec![6.0, 15.0], vec![9.0, 12.0]));
        assert_eq!((truth.sampled_entries, truth.max_reference_error), (4, 0.0));

        let last = MatmulTruth::of(&p, Some(&[1])).unwrap();
        assert_eq!((last.product, last.a_row_abs), (vec![49.0, -8.0], vec![15.0]));
    }

    #[test]
    fn sampled_rows_are_those_of_the_whole() {
        let p = problem(37, 19, 101);
        let rows = sample_rows(37, 9, 1);
        let (all, some) = (MatmulTruth::of(&p, None), MatmulTruth::of(&p, Some(&rows)));
        let (all, some) = (all.unwrap(), some.unwrap());
        assert_eq!(all.sampled_entries, SAMPLED_ENTRIES);
        for (at, &i) in rows.iter().enumerate() {
            assert_eq!(some.a_row_abs[at], all.a_row_abs[i]);
            for j in 0..19 {
                let bound = 102.0 * F64_UNIT * all.abs_product[i * 19 + j];
                let (x, y) = (some.product[at * 19 + j], all.product[i * 19 + j]);
                assert!((x - y).abs() <= 2.0 * bound, "{i}, {j}");
            }
        }
    }

    /// The seeded error lies in an entry that is sampled, because all 16 are.
    #[test]
    fn a_wrong_reference_is_caught() {
        let p = problem(4, 4, 33);
        for wrong in [1e-12, f64::NAN] {
            let mut truth = MatmulTruth::of(&p, None).unwrap();
            truth.product[6] += wrong;
            let error = truth.check(&p).unwrap_err();
            assert!(matches!(error, TruthError::Reference { row: 1, column: 2, .. }), "{error}");
        }
    }

    #[test]
    fn bad_input_is_named() {
        let mut p = problem(3, 4, 5);
        for rows in [&[][..], &[3], &[1, 1], &[2, 0]] {
            assert!(matches!(MatmulTruth::of(&p, Some(rows)), Err(TruthError::Rows { m: 3, .. })));
        }
        p.b.data[4 * 2 + 1] = f32::NEG_INFINITY;
        let error = MatmulTruth::of(&p, None).unwrap_err().to_string();
        assert!(error.contains("B[2, 1] is -inf"), "{error}");
    }

    #[test]
    fn row_samples() {
        assert_eq!(sample_rows(1, 5, 0), [0]);
        assert_eq!(sample_rows(4, 9, 0), [0, 1, 2, 3]);
        assert_eq!(sample_rows(100, 0, 0), [0, 99]);
        assert_ne!(sample_rows(1000, 10, 0), sample_rows(1000, 10, 1));
    }

    /// Ties go to the even neighbour, whatever decides them lies far below, and signs are alike.
    #[test]
    fn exact_dot_rounds_once() {
        let two = |e: i32| 2f32.powi(e);
        for (terms, expected) in [
            (vec![1.0], 1.0),
            (vec![two(53), 1.0], 2f64.powi(53)),
            (vec![two(53), 3.0], 2f64.powi(53) + 4.0),
            (vec![two(53), 1.0, two(-60)], 2f64.powi(53) + 2.0),
            (vec![two(53), 1.0, -two(-60)], 2f64.powi(53)),
            (vec![two(53), 3.0, -two(-60)], 2f64.powi(53) + 2.0),
        ] {
            for sign in [1.0, -1.0] {
                let signs = terms.iter().map(|_| sign);
                assert_eq!(exact_dot(terms.iter().copied(), signs), f64::from(sign) * expected);
            }
        }
        assert_eq!(exact_dot([].into_iter(), [].into_iter()), 0.0);
    }

    /// (1 + 2⁻³⁰)² − (1 + 2⁻²⁹) = 2⁻⁶⁰, which no f64 product shows.
    #[test]
    fn products_of_f64_are_exact_too() {
        let e = |x: i32| 2f64.powi(x);
        let (a, b) = ([1.0 + e(-30), -(1.0 + e(-29))], [1.0 + e(-30), 1.0]);
        let dot = |a: [f64; 2]| exact_dot_f64(a.into_iter(), b.into_iter());
        assert_eq!(dot(a), [e(-60), 0.0]);
        assert_eq!(dot(a.map(|x| -x)), [-e(-60), 0.0]);
    }

    /// Of operands given in f64 the truth is theirs, not that of their rounding to f32.
    #[test]
    fn what_was_given_in_f64_is_the_truth() {
        let mut p = problem(3, 4, 5);
        let widen = |x: &[f32]| x.iter().map(|&x| f64::from(x) * (1.0 + 2f64.powi(-30))).collect();
        p.given_f64 = Some([widen(&p.a.data), widen(&p.b.data)]);
        let given = MatmulTruth::of(&p, None).unwrap();
        p.given_f64 = None;
        let rounded = MatmulTruth::of(&p, None).unwrap();
        for (given, (c, size)) in
            given.product.iter().zip(rounded.product.iter().zip(&rounded.abs_product))
        {
            // (1 + 2⁻³⁰)² − 1, within some roundings of f64.
            let more = (given - c) / c;
            let noise = 40.0 * F64_UNIT * size / c.abs();
            assert!((more - 2f64.powi(-29)).abs() < 2f64.powi(-58) + noise, "{more:e}");
        }
    }

    /// Twice the digits of f64: what the rounded value leaves is there, of either sign, and an error
    /// of 1e-30 is seen.
    #[test]
    fn exact_truth_knows_what_a_rounding_leaves() {
        let mut p = problem(2, 2, 3);
        let two = |e: i32| 2f32.powi(e);
        p.a.data = vec![1.0, two(-30), two(-40), -1.0, -two(-30), two(-40)];
        p.b.data = vec![1.0, 3.0, two(-30), two(-33), two(-30), 0.0];
        let truth = MatmulTruth::exact(&p, None).unwrap();
        let two = |e: i32| 2f64.powi(e);
        // 1 + 2^-60 + 2^-70, 3 + 2^-63, and with the signs of the second row.
        assert_eq!(truth.product, [1.0, 3.0, -1.0, -3.0]);
        assert_eq!(truth.tail, [two(-60) + two(-70), two(-63), -two(-60) + two(-70), -two(-63)]);
        assert_eq!((truth.reference, truth.sampled_entries), (EXACT, 4));
        assert_eq!(truth.error(1, 3.0), -two(-63));
        assert_eq!(truth.error(2, -1.0 - two(-52)), -two(-52) + two(-60) - two(-70));
        assert!(
            truth.uncertainty(0) < 1e-30
                && MatmulTruth::of(&p, None).unwrap().uncertainty(0) > 1e-16
        );
        // (1 + 2^-52)² - 1 = 2^-51 + 2^-104, and the same without what cancels.
        let x = 1.0 + two(-52);
        let dot = |a: &[f64], b: &[f64]| exact_dot_f64(a.iter().copied(), b.iter().copied());
        assert_eq!(dot(&[x, -1.0], &[x, 1.0]), [two(-51), two(-104)]);
        assert_eq!(dot(&[-x], &[x]), [-1.0 - two(-51), -two(-104)]);
    }

    /// On awkward cancellation the exact truth and the f64 one agree within the latter's bound, and
    /// the exact one is zero where it should be.
    #[test]
    fn exact_rows_are_a_sample_of_the_whole() {
        let mut p = problem(9, 5, 40);
        for i in 0..9 {
            for q in 20..40 {
                p.a.data[i * 40 + q] = -p.a.data[i * 40 + q - 20]; // every sum cancels to 0 …
            }
        }
        for q in 20..40 {
            for j in 0..5 {
                p.b.data[q * 5 + j] = p.b.data[(q - 20) * 5 + j];
            }
        }
        p.b.data[39 * 5 + 2] += 1.0; // … but for a column
        let some = MatmulTruth::exact(&p, Some(&[0, 4])).unwrap();
        let all = MatmulTruth::exact(&p, None).unwrap();
        assert_eq!(some.product, [&all.product[..5], &all.product[20..25]].concat());
        assert!(all.product.iter().enumerate().all(|(e, &x)| (x == 0.0) == (e % 5 != 2)));
        assert_eq!(MatmulTruth::exact_rows(9, 5, 40, 16), 9);
        assert_eq!(MatmulTruth::exact_rows(4096, 4096, 4096, 16), 16);
        assert_eq!(MatmulTruth::exact_rows(512, 512, 512, 16), 512);
    }

    /// Of several products, each of its own A and B; of operands given in f64, of these.
    #[test]
    fn exact_truth_of_batches_and_of_f64() {
        let mut p =
            MatmulProblem::generate_batch_within(Distribution::Normal, [3, 4, 5], 2, 5, u64::MAX)
                .unwrap();
        let whole = MatmulTruth::exact(&p, None).unwrap();
        let of = |entry: usize| {
            let (row, j) = (entry / 4, entry % 4);
            let b = (0..5).map(|q| p.b.data[(row / 3 * 5 + q) * 4 + j]);
            exact_dot(p.a.row(row).iter().copied(), b)
        };
        assert_eq!(whole.product, (0..24).map(of).collect::<Vec<_>>());
        let some = MatmulTruth::exact(&p, Some(&[1, 4])).unwrap();
        assert_eq!(some.product, [&whole.product[4..8], &whole.product[16..20]].concat());
        let widen = |x: &[f32]| x.iter().map(|&x| f64::from(x) * (1.0 + 2f64.powi(-30))).collect();
        let [a, b]: [Vec<f64>; 2] = [widen(&p.a.data), widen(&p.b.data)];
        p.given_f64 = Some([a.clone().into(), b.clone().into()]);
        let given = MatmulTruth::exact(&p, Some(&[4])).unwrap();
        let column = (0..5).map(|q| b[(5 + q) * 4 + 2]);
        assert_eq!(
            [given.product[2], given.tail[2]],
            exact_dot_f64(a[20..25].iter().copied(), column)
        );
    }

    proptest! {
        /// Integers times powers of two, so that an i128 holds the sum exactly: cancellation over
        /// 100 binary places does not disturb the exact dot, and it rounds as the conversion does.
        #[test]
        fn exact_dot_is_exact(terms in prop::collection::vec(
            (-(1i64 << 24)..1 << 24, 0u32..30, -(1i64 << 24)..1 << 24, 0u32..30), 0..40,
        )) {
            let value = |x: i64, e: u32| x as f32 * 2f32.powi(e as i32);
            let exact: i128 =
                terms.iter().map(|&(a, ea, b, eb)| i128::from(a * b) << (ea + eb)).sum();
            let a = || terms.iter().map(|t| value(t.0, t.1));
            let b = || terms.iter().map(|t| value(t.2, t.3));
            prop_assert_eq!(exact_dot(a(), b()), exact as f64);
            // Everything cancels but one term far below the rest.
            let cancelling = exact_dot(
                a().chain(a().map(|x| -x)).chain([1.0]),
                b().chain(b()).chain([2f32.powi(-60)]),
            );
            prop_assert_eq!(cancelling, 2f64.powi(-60));
        }

        #[test]
        fn row_samples_are_ascending_with_both_ends(m in 1usize..300, count in 0usize..300, seed: u64) {
            let rows = sample_rows(m, count, seed);
            prop_assert_eq!(rows.len(), count.max(2).min(m));
            prop_assert!(rows.is_sorted_by(|a, b| a < b));
            prop_assert_eq!((rows[0], rows[rows.len() - 1]), (0, m - 1));
        }

        #[test]
        fn every_shape_passes_its_check(m in 1usize..20, n in 1usize..20, k in 1usize..60) {
            let truth = MatmulTruth::of(&problem(m, n, k), None).unwrap();
            prop_assert_eq!(truth.product.len(), m * n);
            prop_assert!(truth.max_reference_error <= k as f64 * F64_UNIT * 1.001);
        }
    }
}
