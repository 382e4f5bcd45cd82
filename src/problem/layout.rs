//! How the operands of a matrix product are stored: as they are multiplied, or transposed.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use super::matrix::Matrix;

/// How A (m×k) and B (k×n) are stored, in BLAS's words: `n`, row-major as they are multiplied, or `t`,
/// row-major and transposed (Aᵀ is k×m, Bᵀ n×k).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A and B.
    #[default]
    Nn,
    /// Aᵀ and B.
    Tn,
    /// A and Bᵀ.
    Nt,
    /// Aᵀ and Bᵀ.
    Tt,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 4] = [Self::Nn, Self::Tn, Self::Nt, Self::Tt];

    /// The word in shapes and in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nn => "nn",
            Self::Tn => "tn",
            Self::Nt => "nt",
            Self::Tt => "tt",
        }
    }

    /// Whether A is stored transposed.
    pub const fn a_transposed(self) -> bool {
        matches!(self, Self::Tn | Self::Tt)
    }

    /// Whether B is stored transposed.
    pub const fn b_transposed(self) -> bool {
        matches!(self, Self::Nt | Self::Tt)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|layout| layout.name() == text);
        found.ok_or_else(|| format!("unknown layout `{text}`; valid are nn, tn, nt, tt"))
    }
}

/// The operands of `batch` products of one shape, as a layout stores them: the matrices of A one above
/// the other, those of B likewise.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// How.
    pub layout: Layout,
    /// Products.
    pub batch: usize,
    /// `batch` times A (m×k) or Aᵀ (k×m).
    pub a: Cow<'a, Matrix>,
    /// `batch` times B (k×n) or Bᵀ (n×k).
    pub b: Cow<'a, Matrix>,
    /// The elements of A and of B as they were given, where that was in f64, in the same order: what the
    /// precisions take that hold more than an f32, or parts of one. `a` and `b` are these rounded.
    pub given_f64: Option<[Cow<'a, [f64]>; 2]>,
}

impl<'a> Stored<'a> {
    /// Stores `batch` products' operands: `a` has A above A, `b` has B above B, as they are multiplied.
    pub fn new(layout: Layout, batch: usize, a: &'a Matrix, b: &'a Matrix) -> Self {
        let stored = |matrix: &'a Matrix, is_transposed| {
            if is_transposed {
                let data = columns(&matrix.data, matrix.rows / batch, matrix.cols);
                let (rows, cols) = (batch * matrix.cols, matrix.rows / batch);
                Cow::Owned(Matrix { rows, cols, data })
            } else {
                Cow::Borrowed(matrix)
            }
        };
        let (a, b) = (stored(a, layout.a_transposed()), stored(b, layout.b_transposed()));
        Self { layout, batch, a, b, given_f64: None }
    }

    /// With the elements of A and B in f64, if they were given so: row by row as they are multiplied.
    ///
    /// # Panics
    /// If they are not as many as the operands have.
    pub fn with_f64(mut self, given: Option<[&'a [f64]; 2]>) -> Self {
        let Some([a, b]) = given else { return self };
        let found = [a.len(), b.len()];
        assert_eq!(found, [self.a.data.len(), self.b.data.len()], "elements in f64 and f32");
        let stored = |data: &'a [f64], of: &Matrix, is_transposed| {
            if is_transposed {
                Cow::Owned(columns(data, of.cols, of.rows / self.batch))
            } else {
                Cow::Borrowed(data)
            }
        };
        let (a_transposed, b_transposed) = (self.layout.a_transposed(), self.layout.b_transposed());
        let given = [stored(a, &self.a, a_transposed), stored(b, &self.b, b_transposed)];
        self.given_f64 = Some(given);
        self
    }

    /// Rows of C in one product.
    pub fn m(&self) -> usize {
        if self.layout.a_transposed() { self.a.cols } else { self.a.rows / self.batch }
    }

    /// Columns of C.
    pub fn n(&self) -> usize {
        if self.layout.b_transposed() { self.b.rows / self.batch } else { self.b.cols }
    }

    /// Length of the sums.
    pub fn k(&self) -> usize {
        if self.layout.a_transposed() { self.a.rows / self.batch } else { self.a.cols }
    }

    /// The same, owned.
    pub fn into_owned(self) -> Stored<'static> {
        let (a, b) = (Cow::Owned(self.a.into_owned()), Cow::Owned(self.b.into_owned()));
        let given_f64 = self.given_f64.map(|given| given.map(|x| Cow::Owned(x.into_owned())));
        Stored { layout: self.layout, batch: self.batch, a, b, given_f64 }
    }
}

/// The columns, one after the other, of each of the row-major matrices that lie one above the other.
pub(crate) fn columns<T: Copy + Default + Send + Sync>(
    stack: &[T],
    rows: usize,
    cols: usize,
) -> Vec<T> {
    let mut data = vec![T::default(); stack.len()];
    data.par_chunks_exact_mut(rows).enumerate().for_each(|(line, out)| {
        let (matrix, column) = (line / cols, line % cols);
        let first = matrix * rows * cols + column;
        for (out, x) in out.iter_mut().zip(stack[first..].iter().step_by(cols)) {
            *out = *x;
        }
    });
    data
}

/// Numbers to a row of k numbers as a device stores it, and rows of a matrix whose columns go along k:
/// k rounded up to 32, and 32 more where rows would start a multiple of 256 numbers apart.
pub fn padded_k(k: usize) -> usize {
    apart(k.next_multiple_of(32), 32)
}

/// Numbers to a row that does not go along k as a device stores it: rounded up to 8, and 16 more likewise.
pub fn padded(numbers: usize) -> usize {
    apart(numbers.next_multiple_of(8), 16)
}

/// Rows so many numbers apart fall into the same few sets of a cache: neighbouring rows of a column of
/// blocks would push each other out.
const CONFLICT: usize = 256;

fn apart(numbers: usize, more: usize) -> usize {
    if numbers.is_multiple_of(CONFLICT) { numbers + more } else { numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_matrix_of_a_stack_is_transposed() {
        let stack = Matrix { rows: 4, cols: 3, data: (0..12).map(|x| x as f32).collect() };
        let expected = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11].map(|x| x as f32);
        let tn = Matrix { rows: 6, cols: 2, data: expected.into() };
        let b = Matrix { rows: 6, cols: 1, data: vec![0.0; 6] };
        let wide = |x: &Matrix| x.data.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (a_f64, b_f64) = (wide(&stack), wide(&b));
        for layout in Layout::ALL {
            let stored = Stored::new(layout, 2, &stack, &b).with_f64(Some([&a_f64, &b_f64]));
            assert_eq!((stored.m(), stored.n(), stored.k()), (2, 1, 3), "{layout}");
            assert_eq!(*stored.a, if layout.a_transposed() { tn.clone() } else { stack.clone() });
            let given = stored.given_f64.as_ref().map(|given| given.each_ref().map(|x| x.to_vec()));
            assert_eq!(given, Some([wide(&stored.a), wide(&stored.b)]), "{layout}");
            assert_eq!(layout.name().parse(), Ok(layout));
        }
        assert!("NN".parse::<Layout>().unwrap_err().contains("nn, tn, nt, tt"));
    }
}
