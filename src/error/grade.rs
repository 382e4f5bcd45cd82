//! Grades of a matrix product, by how far its error bound reaches.
//!
//! Method: Demmel, Li, Langou, Pereira, Gates, Rubio Gonzalez, "How to grade the accuracy of an
//! implementation of the BLAS" (slides, 2024), as NVIDIA's `gemm_grading` reads it for grade A, and its
//! two detectors: 1b, of products by fewer multiplications (Strassen), and 2b, of fixed point. u is
//! the unit roundoff of the precision under test, n the size.
//!
//! - **A**: |Ĉ − C| ≤ f(n)·u·(|A||B|), entry by entry, f linear: the exponent of the largest componentwise
//!   error in n, over uniform (0, 1) inputs, is at most 1, and neither detector finds anything.
//! - **B**: |Ĉ − C|_ij ≤ f(n)·u·‖a_i‖₂·‖b_j‖₂, by rows of A and columns of B.
//! - **C**: ‖Ĉ − C‖F ≤ f(n)·u·‖A‖F·‖B‖F, by whole matrices.
//!
//! For B and C the slides' idea is tested here on inputs whose rows (of A) and columns (of B) are scaled
//! by powers of two over the format's range. Their limit, and that of detector 2b, is 10·n·u of the sums,
//! the detector's own constant, and 4·u of the operands, whose conversion makes an error of (2u + u²)·|A||B|
//! however large n is: without it apart, a coarse operand format would be allowed an error of all of C.
//! A grade that is found is evidence on these inputs and no proof; one that is denied is a proof.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_philox::Philox;
use rayon::prelude::*;

use super::fit::PowerLaw;
use super::relative;
use crate::problem::matrix::Matrix;
use crate::truth::matmul::exact_dot;

/// Sizes of the products whose growth is fitted.
pub const SIZES: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// Size of the products that the detectors look at.
const DETECTOR_SIZE: usize = 64;
/// Entries that must be exactly 0 in a product by the definition.
const ZEROS: usize = 16;
/// What the detectors allow, in n times the unit of the sums and in that of the operands.
const SUMS: f64 = 10.0;
const OPERANDS: f64 = 4.0;

/// How far an error bound reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Grade {
    /// Entry by entry.
    A,
    /// By rows of A and columns of B.
    B,
    /// By whole matrices.
    C,
    /// None of these.
    None,
}

impl Grade {
    /// One letter, or `none`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::None => "none",
        }
    }
}

/// What is known of the format under test before it is tested.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unit roundoff of the operands' conversion.
    pub operand_unit: f64,
    /// Unit roundoff of the sums: the larger of accumulator and result.
    pub sum_unit: f64,
    /// Greatest e such that numbers in [2^−e, 2^(e+1)) are normal operands, and sums of 64 products of
    /// two of them stay finite.
    pub exponent: i32,
}

impl Limits {
    /// The larger of the two, which growth is counted in.
    fn unit(&self) -> f64 {
        self.operand_unit.max(self.sum_unit)
    }

    /// The error that the detectors allow, over its scale.
    fn allowed(&self) -> f64 {
        SUMS * DETECTOR_SIZE as f64 * self.sum_unit + OPERANDS * self.operand_unit
    }

    /// Whether a result of nothing but zeros would be within what is allowed: then no test tells anything.
    pub fn is_vacuous(&self) -> bool {
        self.allowed() >= 1.0
    }
}

/// The outcome of all tests of a product.
#[derive(Clone, Debug)]
pub struct Graded {
    /// The best grade that no test denies.
    pub grade: Grade,
    /// Growth of the largest componentwise error with n; `None` where all errors are 0.
    pub growth: Option<PowerLaw>,
    /// (n, largest |Ĉ − C| / (u·|A||B|)) over uniform (0, 1) inputs.
    pub componentwise: Vec<(usize, f64)>,
    /// Detector 1b: entries that are sums of zeros and came out otherwise.
    pub false_zeros: usize,
    /// Detector 2b: (e, largest |Ĉ − C| / |A||B| over what is allowed) where operands span 2^−e to 2^e along k.
    pub spans: Vec<(i32, f64)>,
    /// Largest |Ĉ − C|_ij / ‖a_i‖‖b_j‖ over what is allowed, where rows and columns are scaled.
    pub by_rows: f64,
    /// ‖Ĉ − C‖F / ‖A‖F‖B‖F over what is allowed, on the same inputs.
    pub normwise: f64,
}

impl Graded {
    /// Why the grade is not A, in words; empty for A.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = vec![];
        if !self.componentwise.iter().all(|(_, error)| error.is_finite()) {
            reasons.push("results are infinite or NaN".to_owned());
        }
        if let Some(law) = self.growth.filter(|law| law.exponent > 1.0) {
            reasons.push(format!("the error grows as n^{:.2}", law.exponent));
        }
        if self.false_zeros > 0 {
            reasons.push(format!("{} sums of zeros are not 0 (Strassen)", self.false_zeros));
        }
        let beyond = |&&(_, ratio): &&(i32, f64)| !within(ratio);
        if let Some((exponent, ratio)) = self.spans.iter().find(beyond) {
            reasons.push(format!(
                "over exponents ±{exponent} along k the error is {ratio:.1e} times what is allowed \
                 of |A||B| (fixed point)"
            ));
        }
        reasons
    }
}

fn within(ratio: f64) -> bool {
    ratio <= 1.0
}

/// Grades products on the same inputs, whose exact products it keeps.
pub struct Examiner {
    seed: u64,
    /// Uniform (0, 1), one a size.
    uniform: Vec<Exercise>,
}

/// A product in f32 operands and C in f64, row-major: what is graded.
pub type Product<'a, E> = &'a mut dyn FnMut(&Matrix, &Matrix) -> Result<Vec<f64>, E>;

impl Examiner {
    /// Draws the inputs under `seed` and computes their exact products.
    pub fn new(seed: u64) -> Self {
        let exercise = |(case, &n): (usize, &usize)| {
            let mut random = Philox::from_u64_seed_stream(seed, STREAM | case as u64);
            let [a, b] = [0, 1].map(|_| square(n, || random.random_range(f32::EPSILON..1.0)));
            Exercise::new(a, b)
        };
        Self { seed, uniform: SIZES.iter().enumerate().map(exercise).collect() }
    }

    /// Grades `product`.
    ///
    /// # Errors
    /// Those of `product`.
    pub fn grade<E>(&self, product: Product<'_, E>, limits: Limits) -> Result<Graded, E> {
        let mut componentwise = vec![];
        for exercise in &self.uniform {
            let errors = exercise.errors(&product(&exercise.a, &exercise.b)?);
            componentwise.push((exercise.a.rows, errors.componentwise / limits.unit()));
        }
        let mut random = Philox::from_u64_seed_stream(self.seed, STREAM | 100);
        let false_zeros = false_zeros(product, &mut random)?;
        let allowed = limits.allowed();
        let mut spans = vec![];
        for exponent in exponents(limits.exponent) {
            let [a, b] = spanning(DETECTOR_SIZE, exponent, &mut random);
            let exercise = Exercise::new(a, b);
            let errors = exercise.errors(&product(&exercise.a, &exercise.b)?);
            spans.push((exponent, errors.componentwise / allowed));
        }
        let [a, b] = scaled(DETECTOR_SIZE, limits.exponent, &mut random);
        let exercise = Exercise::new(a, b);
        let errors = exercise.errors(&product(&exercise.a, &exercise.b)?);
        let (by_rows, normwise) = (errors.by_rows / allowed, errors.normwise / allowed);

        let pairs: Vec<(f64, f64)> = componentwise.iter().map(|&(n, e)| (n as f64, e)).collect();
        let growth = PowerLaw::of(&pairs);
        let mut graded = Graded {
            grade: Grade::A,
            growth,
            componentwise,
            false_zeros,
            spans,
            by_rows,
            normwise,
        };
        graded.grade = match graded.reasons().is_empty() {
            true => Grade::A,
            false if within(by_rows) => Grade::B,
            false if within(normwise) => Grade::C,
            false => Grade::None,
        };
        Ok(graded)
    }
}

/// Where the streams of this module begin: no other use of Philox on the host has this top byte.
const STREAM: u64 = 0x67 << 56;

/// Half, three quarters and all of the greatest exponent: where a format's range is small, fewer.
fn exponents(greatest: i32) -> Vec<i32> {
    let mut all = vec![greatest / 4, greatest / 2, 3 * greatest / 4, greatest];
    all.dedup();
    all
}

fn square(n: usize, mut draw: impl FnMut() -> f32) -> Matrix {
    Matrix { rows: n, cols: n, data: (0..n * n).map(|_| draw()).collect() }
}

/// Detector 1b. Some rows of A and columns of B are drawn with complementary zeros, so that their dot
/// product is a sum of zeros: whoever sums products by the definition gets 0. Returns how many do
/// not come out as 0.
fn false_zeros<E>(product: Product<'_, E>, random: &mut Philox) -> Result<usize, E> {
    let n = DETECTOR_SIZE;
    let [mut a, mut b] = [0, 1].map(|_| square(n, || random.random_range(-1.0..1.0)));
    let shuffled = |random: &mut Philox| {
        let mut all: Vec<usize> = (0..n).collect();
        all.shuffle(random);
        all
    };
    let (rows, columns) = (shuffled(random), shuffled(random));
    let pairs: Vec<(usize, usize)> = rows.into_iter().zip(columns).take(ZEROS).collect();
    for &(i, j) in &pairs {
        let order = shuffled(random);
        let (of_a, of_b) = order.split_at(random.random_range(1..n));
        of_a.iter().for_each(|&q| a.data[i * n + q] = 0.0);
        of_b.iter().for_each(|&q| b.data[q * n + j] = 0.0);
    }
    let c = product(&a, &b)?;
    Ok(pairs.iter().filter(|&&(i, j)| c[i * n + j] != 0.0).count())
}

/// Detector 2b. With x uniform in [1, 2) and D a diagonal of powers of two from 2^e down to 2^−e, the
/// rows of A are the rotations of x·D and the columns of B those of D⁻¹·x: each product of the
/// diagonal is x·x, whatever D, while the others span 2^±2e.
fn spanning(n: usize, exponent: i32, random: &mut impl Rng) -> [Matrix; 2] {
    let x: Vec<f64> = (0..n).map(|_| f64::from(random.random_range(1.0f32..2.0))).collect();
    let step = f64::from(2 * exponent) / (n.max(2) - 1) as f64;
    let scale = |i: usize| 2f64.powi(exponent - (i as f64 * step) as i32);
    let of = |times: fn(f64, f64) -> f64| {
        // Symmetric: row i is rotated by i, and so is column i.
        let entry = |e: usize| (e / n + e % n) % n;
        let data = (0..n * n).map(|e| times(x[entry(e)], scale(entry(e))) as f32).collect();
        Matrix { rows: n, cols: n, data }
    };
    [of(|x, d| x * d), of(|x, d| x / d)]
}

/// Uniform (−1, 1) with row i of A and column j of B scaled by powers of two between 2^−e and 1.
fn scaled(n: usize, exponent: i32, random: &mut impl Rng) -> [Matrix; 2] {
    let mut scales =
        || -> Vec<f32> { (0..n).map(|_| 2f32.powi(-random.random_range(0..=exponent))).collect() };
    let (of_rows, of_columns) = (scales(), scales());
    let [mut a, mut b] = [0, 1].map(|_| {
        // No number is so small that its scaled value could be subnormal.
        square(n, || random.random_range(0.5..1.0) * if random.random() { 1.0 } else { -1.0 })
    });
    for (e, value) in a.data.iter_mut().enumerate() {
        *value *= of_rows[e / n];
    }
    for (e, value) in b.data.iter_mut().enumerate() {
        *value *= of_columns[e % n];
    }
    [a, b]
}

/// Two matrices, and what their product must be.
struct Exercise {
    a: Matrix,
    b: Matrix,
    /// C, exact and rounded once.
    exact: Vec<f64>,
    /// |A||B|.
    absolute: Vec<f64>,
    /// ‖a_i‖₂ of the rows of A, and ‖b_j‖₂ of the columns of B.
    norms: [Vec<f64>; 2],
}

/// Errors of a product on the three scales, without u.
struct Errors {
    componentwise: f64,
    by_rows: f64,
    normwise: f64,
}

impl Exercise {
    fn new(a: Matrix, b: Matrix) -> Self {
        let n = b.cols;
        let columns: Vec<Vec<f32>> = (0..n).map(|j| b.column(j).collect()).collect();
        let (exact, absolute) = (0..a.rows * n)
            .into_par_iter()
            .map(|e| {
                let (row, column) = (a.row(e / n), &columns[e % n]);
                let pairs = || row.iter().copied().zip(column.iter().copied());
                let absolute: f64 = pairs().map(|(x, y)| (f64::from(x) * f64::from(y)).abs()).sum();
                (exact_dot(row.iter().copied(), column.iter().copied()), absolute)
            })
            .unzip();
        let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let norms = [
            (0..a.rows).map(|i| norm(a.row(i))).collect(),
            columns.iter().map(|column| norm(column)).collect(),
        ];
        Self { a, b, exact, absolute, norms }
    }

    fn errors(&self, computed: &[f64]) -> Errors {
        let n = self.b.cols;
        let [of_rows, of_columns] = &self.norms;
        let (mut componentwise, mut by_rows, mut squares) = (0.0f64, 0.0f64, 0.0);
        for (e, (&computed, &exact)) in computed.iter().zip(&self.exact).enumerate() {
            let error = if computed.is_finite() { (computed - exact).abs() } else { f64::INFINITY };
            componentwise = componentwise.max(relative(error, self.absolute[e]));
            by_rows = by_rows.max(relative(error, of_rows[e / n] * of_columns[e % n]));
            squares += error * error;
        }
        let total = |all: &[f64]| all.iter().map(|x| x * x).sum::<f64>().sqrt();
        let normwise = relative(squares.sqrt(), total(of_rows) * total(of_columns));
        Errors { componentwise, by_rows, normwise }
    }
}

#[cfg(test)]
mod tests;
