//! Seeded dense matrices, and the pair of them that a matrix product multiplies.
//!
//! An element depends on (seed, which matrix, row, column) alone: each row is drawn from its own
//! Philox stream. So a problem is the same at any number of threads, and a row can be drawn alone.

use std::sync::Arc;

use rand_philox::Philox;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

pub use super::distribution::Distribution;
use super::distribution::{Drawer, Operand};
use super::npy::FileOperands;
use crate::hexadecimal::hexadecimal;

/// A dense row-major matrix: element (i, j) is `data[i * cols + j]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// The `rows · cols` elements, row by row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// The `cols` elements of row `i`.
    ///
    /// # Panics
    /// If `i >= rows`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.cols..][..self.cols]
    }

    /// The `rows` elements of column `j`, top to bottom.
    ///
    /// # Panics
    /// If `j >= cols`.
    pub fn column(&self, j: usize) -> impl Iterator<Item = f32> {
        assert!(j < self.cols, "column {j} of a matrix of {} columns", self.cols);
        self.data[j..].iter().step_by(self.cols).copied()
    }

    /// Bytes that the elements occupy.
    pub fn bytes(&self) -> u64 {
        4 * self.data.len() as u64
    }
}

/// Where the operands of a product come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Drawn under the seed.
    Seeded(Distribution),
    /// The user's own.
    Files(Arc<FileOperands>),
}

impl Origin {
    /// What a case's id has behind the shape; empty for the default.
    pub fn id(&self) -> String {
        match self {
            Self::Seeded(distribution) => distribution.id(),
            Self::Files(files) => format!("npy-{:.8}", files.sha256),
        }
    }

    /// Whether the numbers were given in f64, those of one operand at least.
    pub fn is_given_in_f64(&self) -> bool {
        matches!(self, Self::Files(files) if files.given_f64.is_some())
    }

    /// Whether its products lie so far below |A||B| that an f64 product is no truth for them.
    pub fn needs_exact_truth(&self) -> bool {
        matches!(self, Self::Seeded(distribution) if distribution.needs_exact())
    }
}

/// The same numbers.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seeded(a), Self::Seeded(b)) => a == b,
            (Self::Files(a), Self::Files(b)) => a.sha256 == b.sha256,
            _ => false,
        }
    }
}

/// What a stream of random numbers on the host is for, so that no two uses share any.
///
/// The purpose fills the top byte of Philox's counter and is never 0. The kernels' own streams
/// leave that byte 0, so the two differ even where their keys agree.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Purpose {
    OperandA = 1,
    OperandB = 2,
    SampledRows = 3,
    SampledEntries = 4,
    InnerIndex = 5,
}

/// The generator for `purpose` number `index` (below 2⁵⁶, such as a row) under `seed`.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> Philox {
    Philox::from_u64_seed_stream(seed, (purpose as u64) << 56 | index)
}

/// Why a problem cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// One of m, n and k is 0.
    #[error("a matrix product of {m}x{n}x{k} has no entries; m, n and k must each be at least 1")]
    EmptyShape {
        /// Rows of A and C.
        m: usize,
        /// Columns of B and C.
        n: usize,
        /// Columns of A, rows of B.
        k: usize,
    },
    /// The operands do not fit in the memory given to them.
    #[error(
        "the operands of a {m}x{n}x{k} product take {needed_bytes} bytes of host memory, over the \
         budget of {budget_bytes} bytes; choose a smaller shape"
    )]
    OverBudget {
        /// Rows of A and C.
        m: usize,
        /// Columns of B and C.
        n: usize,
        /// Columns of A, rows of B.
        k: usize,
        /// Bytes of A and B in f32.
        needed_bytes: u128,
        /// Bytes allowed.
        budget_bytes: u64,
    },
    /// The system refused the memory.
    #[error("the system refused {bytes} bytes of memory for an operand; choose a smaller shape")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
}

/// The inputs of C = A·B.
#[derive(Clone, Debug)]
pub struct MatmulProblem {
    /// What the elements were drawn from; `None` for the user's own.
    pub distribution: Option<Distribution>,
    /// Seed that they were drawn with, and that samples of rows and entries are drawn with.
    pub seed: u64,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Products of that shape.
    pub batch: usize,
    /// m×k, one matrix above the other.
    pub a: Matrix,
    /// k×n, likewise.
    pub b: Matrix,
    /// The elements of A and of B as they were given, where that was in f64: the truth is of these,
    /// and `a` and `b` are them rounded once.
    pub given_f64: Option<[Arc<[f64]>; 2]>,
    /// SHA-256, in hexadecimal, of m, n, k (little-endian u64), the number of products where it is not
    /// 1, and then the elements of A and of B (row-major little-endian f32, or f64 where one of the two
    /// was given in f64).
    pub sha256: String,
}

impl MatmulProblem {
    /// Draws A (m×k) and B (k×n), whatever memory they take.
    ///
    /// # Errors
    /// [`ProblemError`] if one of m, n, k is 0 or the memory cannot be had.
    pub fn generate(
        distribution: Distribution,
        m: usize,
        n: usize,
        k: usize,
        seed: u64,
    ) -> Result<Self, ProblemError> {
        // A Vec holds at most isize::MAX bytes.
        Self::generate_within(distribution, m, n, k, seed, isize::MAX as u64)
    }

    /// Draws A (m×k) and B (k×n) if they take at most `budget_bytes` of host memory.
    ///
    /// # Errors
    /// [`ProblemError`] if one of m, n, k is 0, or, before anything is allocated, if the operands
    /// are over the budget.
    pub fn generate_within(
        distribution: Distribution,
        m: usize,
        n: usize,
        k: usize,
        seed: u64,
        budget_bytes: u64,
    ) -> Result<Self, ProblemError> {
        Self::generate_batch_within(distribution, [m, n, k], 1, seed, budget_bytes)
    }

    /// Draws `batch` (at least 1) A and B of a shape [m, n, k] if all take at most `budget_bytes` of host
    /// memory.
    ///
    /// # Errors
    /// As [`MatmulProblem::generate_within`].
    pub fn generate_batch_within(
        distribution: Distribution,
        [m, n, k]: [usize; 3],
        batch: usize,
        seed: u64,
        budget_bytes: u64,
    ) -> Result<Self, ProblemError> {
        if m == 0 || n == 0 || k == 0 {
            return Err(ProblemError::EmptyShape { m, n, k });
        }
        let needed_bytes = Self::operand_bytes(m, n, k).saturating_mul(batch as u128);
        if needed_bytes > u128::from(budget_bytes) {
            return Err(ProblemError::OverBudget { m, n, k, needed_bytes, budget_bytes });
        }
        let a = draw(&Drawer::new(distribution, Operand::A, k, seed), batch * m, k)?;
        let b = draw(&Drawer::new(distribution, Operand::B, k, seed), batch * k, n)?;
        let sha256 = identity(&[m, n, k, batch][..if batch == 1 { 3 } else { 4 }], &a, &b);
        let (distribution, given_f64) = (Some(distribution), None);
        Ok(Self { distribution, seed, m, n, k, batch, a, b, given_f64, sha256 })
    }

    /// The product of the user's own matrices; `seed` is that of samples of rows and entries.
    pub fn of_files(files: &FileOperands, seed: u64) -> Self {
        let (a, b, sha256) = (files.a.clone(), files.b.clone(), files.sha256.clone());
        let (m, n, k) = (a.rows, b.cols, a.cols);
        let given_f64 = files.given_f64.clone();
        Self { distribution: None, seed, m, n, k, batch: 1, a, b, given_f64, sha256 }
    }

    /// The elements of A and of B in f64, where they were given so.
    pub fn given_f64(&self) -> Option<[&[f64]; 2]> {
        self.given_f64.as_ref().map(|given| given.each_ref().map(|x| &x[..]))
    }

    /// Row `i` of A as it was given.
    ///
    /// # Panics
    /// If `i >= m`.
    pub fn given_row_of_a(&self, i: usize) -> Vec<f64> {
        match &self.given_f64 {
            Some([a, _]) => a[i * self.k..][..self.k].to_vec(),
            None => self.a.row(i).iter().map(|&x| x.into()).collect(),
        }
    }

    /// All of B as it was given, row by row.
    pub fn given_b(&self) -> Vec<f64> {
        match &self.given_f64 {
            Some([_, b]) => b.to_vec(),
            None => self.b.data.iter().map(|&x| x.into()).collect(),
        }
    }

    /// Column `j` of B as it was given.
    ///
    /// # Panics
    /// If `j >= n`.
    pub fn given_column_of_b(&self, j: usize) -> Vec<f64> {
        match &self.given_f64 {
            Some([_, b]) => b[j..].iter().step_by(self.n).copied().collect(),
            None => self.b.column(j).map(f64::from).collect(),
        }
    }

    /// Bytes of A (m×k) and B (k×n) in f32, saturated.
    pub fn operand_bytes(m: usize, n: usize, k: usize) -> u128 {
        let elements = |rows: usize, cols: usize| (rows as u128).saturating_mul(cols as u128);
        elements(m, k).saturating_add(elements(k, n)).saturating_mul(4)
    }
}

fn draw(drawer: &Drawer, rows: usize, cols: usize) -> Result<Matrix, ProblemError> {
    let count = rows * cols; // fits: the budget was checked
    let mut data = Vec::new();
    data.try_reserve_exact(count)
        .map_err(|_| ProblemError::OutOfMemory { bytes: 4 * count as u64 })?;
    data.resize(count, 0.0);
    data.par_chunks_exact_mut(cols).enumerate().for_each(|(i, row)| drawer.fill(row, i));
    Ok(Matrix { rows, cols, data })
}

/// See [`MatmulProblem::sha256`].
pub(super) fn identity(extents: &[usize], a: &Matrix, b: &Matrix) -> String {
    identity_of(extents, [&a.data, &b.data], |x| x.to_le_bytes())
}

/// The same of operands given in f64.
pub(super) fn identity_f64(extents: &[usize], [a, b]: [&[f64]; 2]) -> String {
    identity_of(extents, [a, b], |x| x.to_le_bytes())
}

fn identity_of<T: Copy, const BYTES: usize>(
    extents: &[usize],
    [a, b]: [&[T]; 2],
    bytes_of: impl Fn(T) -> [u8; BYTES],
) -> String {
    let mut hash = Sha256::new();
    for &extent in extents {
        hash.update((extent as u64).to_le_bytes());
    }
    let mut bytes = Vec::new();
    for block in a.chunks(4096).chain(b.chunks(4096)) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|&x| bytes_of(x)));
        hash.update(&bytes);
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(m: usize, n: usize, k: usize, seed: u64) -> MatmulProblem {
        MatmulProblem::generate(Distribution::Normal, m, n, k, seed).unwrap()
    }

    #[test]
    fn an_element_depends_on_its_place_alone() {
        let (small, large) = (problem(3, 5, 4, 7), problem(40, 5, 9, 7));
        for i in 0..3 {
            assert_eq!(small.a.row(i), &large.a.row(i)[..4]);
        }
        assert_eq!(small.b.data, large.b.data[..20]);
        assert_eq!(small.b.column(2).collect::<Vec<_>>()[3], small.b.data[3 * 5 + 2]);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let pools = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| problem(33, 17, 65, 42))
        });
        assert_eq!(pools[0].a, pools[1].a);
        assert_eq!(pools[0].sha256, pools[1].sha256);
    }

    #[test]
    fn matrices_rows_and_seeds_differ() {
        let p = problem(4, 4, 4, 0);
        assert_ne!(p.a, p.b);
        assert_ne!(p.a.row(0), p.a.row(1));
        assert_ne!(p.a, problem(4, 4, 4, 1).a);
        // 2x3 times 3x2 and its regrouping hold the same number of elements.
        assert_ne!(problem(2, 2, 3, 0).sha256, problem(3, 3, 2, 0).sha256);
    }

    /// Known digest of 1x1x1 by the definition in the docs, over values that are checked too.
    #[test]
    fn identity_is_over_shape_and_little_endian_elements() {
        let one = Matrix { rows: 1, cols: 1, data: vec![1.0] };
        let two = Matrix { rows: 1, cols: 1, data: vec![-2.5] };
        let mut bytes = [[1, 0, 0, 0, 0, 0, 0, 0]; 3].concat();
        bytes.extend([0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        let expected: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(identity(&[1, 1, 1], &one, &two), expected);
    }

    /// Mean and variance of N deviates lie within 5 standard errors: 1/√N and √(2/N).
    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let data = problem(512, 1, 512, 11).a.data;
        let count = data.len() as f64;
        let mean = data.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = data.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 5.0 / count.sqrt(), "{mean}");
        assert!((square - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{square}");
    }

    #[test]
    fn bad_shapes_are_refused_before_allocation() {
        let make = |m, n, k, budget| {
            MatmulProblem::generate_within(Distribution::Normal, m, n, k, 0, budget)
                .err()
                .map(|error| error.to_string())
        };
        assert!(make(0, 1, 1, 100).unwrap().contains("0x1x1"));
        assert_eq!(make(2, 3, 5, 100), None);
        let refused = make(2, 3, 5, 99).unwrap();
        assert!(refused.contains("100 bytes") && refused.contains("99 bytes"), "{refused}");
        assert!(make(usize::MAX, usize::MAX, usize::MAX, u64::MAX).is_some());
    }
}
