//! Mirror of the matmul conversion kernels: f32 matrices to the operands that a product reads.

mod narrow;
mod values;

use std::borrow::Cow;

use rayon::prelude::*;

use super::reciprocal::reciprocal;
use super::split;
use crate::number::arithmetic::Ops;
use crate::number::lanes::{LANES, Lanes, WithLanes, dispatch};
use crate::number::philox::Stream;
use crate::number::{Arithmetic, Format, Precision, Rounding, Scaling, round};
use crate::problem::layout::{Layout, Stored, columns, padded_k};
use crate::problem::matrix::Matrix;
use crate::with_ops;

/// The key of every random bit of a case: (seed, trial).
pub type Key = [u32; 2];

const INT8_LIMIT: i32 = 127;
const SMALLEST_MAXIMUM: f32 = 7.888_609e-31; // 2^-100
const LARGE_MAXIMUM: f32 = 18_446_744_073_709_551_616.0; // 2^64
const ONE_127TH: f32 = 1.0 / 127.0;

/// Operands as a product kernel sees them.
#[derive(Clone, Debug)]
pub struct Operands {
    /// m of C = A·B, m×n×k.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// How A and B are stored. Formats with blocks lie as in the layout nn, however they were before.
    pub layout: Layout,
    /// Products; the matrices of each kind lie one above the other.
    pub batch: usize,
    /// A as decoded numbers (int8 and formats with blocks: their elements), row-major as it is stored:
    /// m×k, or k×m transposed.
    pub a: Vec<f32>,
    /// B likewise, k×n, or n×k transposed.
    pub b: Vec<f32>,
    /// What a bound needs of the conversion of A. int8: the value of one integer step, one for all or
    /// one a row of each product; int4: the largest step of each row; fp8 and Microscaling: the largest
    /// absolute error in each row, beside the relative one; else empty.
    pub step_a: Vec<f32>,
    /// Likewise for B, one or one a column of each product.
    pub step_b: Vec<f32>,
    /// The value of an element 1 in each block of 32 along k of A, m×⌈k/32⌉, of each product; empty
    /// without blocks.
    pub scale_a: Vec<f32>,
    /// Likewise for B, ⌈k/32⌉×n of each product.
    pub scale_b: Vec<f32>,
    /// Random bits of one stochastic rounding, 1 to 16, of the conversion as of a product.
    pub rounding_bits: u32,
    /// Numbers of several parts: what `a` leaves of them, part after part, each as long. A part of f16x2
    /// counts 2⁻¹¹ of what it holds.
    pub lower_a: Vec<Vec<f32>>,
    /// Likewise for B.
    pub lower_b: Vec<Vec<f32>>,
    /// f64 operands: A in the place of `a`; empty elsewhere.
    pub a_f64: Vec<f64>,
    /// Likewise B.
    pub b_f64: Vec<f64>,
}

impl Operands {
    /// Converts A and B to the storage format of `precision` as the conversion kernels do on a
    /// device of this `arithmetic`.
    pub fn convert(
        precision: Precision,
        arithmetic: Arithmetic,
        a: &Matrix,
        b: &Matrix,
        key: Key,
    ) -> Self {
        Self::convert_stored(precision, arithmetic, &Stored::new(Layout::Nn, 1, a, b), key)
    }

    /// The same for operands in any layout, of any number of products.
    pub fn convert_stored(
        precision: Precision,
        arithmetic: Arithmetic,
        stored: &Stored<'_>,
        key: Key,
    ) -> Self {
        Self::convert_with_bits(precision, arithmetic, stored, key, round::ROUNDING_BITS)
    }

    /// The same with so many random bits, 1 to 16, for each stochastic rounding.
    pub fn convert_with_bits(
        precision: Precision,
        arithmetic: Arithmetic,
        stored: &Stored<'_>,
        key: Key,
        rounding_bits: u32,
    ) -> Self {
        if precision.is_wide() {
            return split::operands(precision, arithmetic, stored);
        }
        if precision.storage().is_blocked() || precision.storage().fp8().is_some() {
            return with_ops!(arithmetic, O => Self::narrow::<O>(precision, stored, key, rounding_bits));
        }
        let Stored { layout, batch, ref a, ref b, .. } = *stored;
        let (m, n, k) = (stored.m(), stored.n(), stored.k());
        let axis_a = if layout.a_transposed() { Axis::Column } else { Axis::Row };
        let axis_b = if layout.b_transposed() { Axis::Row } else { Axis::Column };
        let (a, step_a, b, step_b) = match precision.storage() {
            Format::Int8 => with_ops!(arithmetic, O => {
                let per_vector = precision.scaling() == Some(Scaling::Rowwise);
                let stochastic = precision.rounding() == Rounding::Stochastic;
                let random = |stream| stochastic.then_some((stream, key, rounding_bits));
                let max_a = maxima(a, k, if per_vector { axis_a } else { Axis::Matrix });
                let max_b = maxima(b, k, if per_vector { axis_b } else { Axis::Matrix });
                let qa = quantize::<O>(a, &max_a, (axis_a, k), random(Stream::ConvertA));
                let qb = quantize::<O>(b, &max_b, (axis_b, k), random(Stream::ConvertB));
                (qa, steps::<O>(&max_a), qb, steps::<O>(&max_b))
            }),
            format => {
                let flush = arithmetic.flush_f16_subnormals;
                (elementwise(format, a, flush), vec![], elementwise(format, b, flush), vec![])
            }
        };
        let (lower_a, lower_b, a_f64, b_f64) = (vec![], vec![], vec![], vec![]);
        let (scale_a, scale_b) = (vec![], vec![]);
        Self {
            m,
            n,
            k,
            layout,
            batch,
            a,
            b,
            step_a,
            step_b,
            scale_a,
            scale_b,
            rounding_bits,
            lower_a,
            lower_b,
            a_f64,
            b_f64,
        }
    }

    /// The same to fp8, to the Microscaling formats and to int4. Scales and random bits belong to rows of A
    /// and columns of B, so these are converted as they are multiplied; fp8 is stored as it was.
    fn narrow<O: Ops>(
        precision: Precision,
        stored: &Stored<'_>,
        key: Key,
        rounding_bits: u32,
    ) -> Self {
        let Stored { layout, batch, ref a, ref b, .. } = *stored;
        let (m, n, k) = (stored.m(), stored.n(), stored.k());
        // Matrices of `rows` rows, each transposed.
        let turned = |stack: &Matrix, rows: usize| Matrix {
            rows: batch * stack.cols,
            cols: rows,
            data: columns(&stack.data, rows, stack.cols),
        };
        let turned_a = layout.a_transposed().then(|| turned(a, k));
        let turned_b = layout.b_transposed().then(|| turned(b, n));
        let (a, b) = (turned_a.as_ref().unwrap_or(a), turned_b.as_ref().unwrap_or(b));
        let (random, along) = ((key, rounding_bits), narrow::Along::Columns { k });
        let mut a = narrow::convert::<O>(precision, a, narrow::Along::Rows, random);
        let mut b = narrow::convert::<O>(precision, b, along, random);
        let layout = if precision.storage().is_blocked() { Layout::Nn } else { layout };
        if layout.a_transposed() {
            a.elements = columns(&a.elements, m, k);
        }
        if layout.b_transposed() {
            b.elements = columns(&b.elements, k, n);
        }
        Self {
            m,
            n,
            k,
            layout,
            batch,
            a: a.elements,
            b: b.elements,
            step_a: a.steps,
            step_b: b.steps,
            scale_a: a.scales,
            scale_b: b.scales,
            rounding_bits,
            lower_a: vec![],
            lower_b: vec![],
            a_f64: vec![],
            b_f64: vec![],
        }
    }
}

impl Operands {
    /// Bytes that both matrices occupy, every part of them and all scales.
    pub fn bytes(&self) -> u64 {
        let singles = [&self.a, &self.b, &self.scale_a, &self.scale_b];
        let singles = singles.into_iter().chain(&self.lower_a).chain(&self.lower_b);
        let singles: usize = singles.map(Vec::len).sum();
        4 * singles as u64 + 8 * (self.a_f64.len() + self.b_f64.len()) as u64
    }
}

/// Numbers that one task of the thread pool converts.
const TASK_NUMBERS: usize = 1 << 14;

/// Rounds each number to a floating-point format and decodes it again.
fn elementwise(format: Format, matrix: &Matrix, flush: bool) -> Vec<f32> {
    match format {
        Format::F16 => map(matrix, ThroughF16 { flush }),
        Format::Bf16 => map(matrix, ThroughBf16),
        _ => matrix.data.clone(),
    }
}

/// A function of a number, as a type, so that it is compiled for the widest lanes there are.
trait Function: Copy + Send + Sync {
    fn of(self, x: f32) -> f32;
}

#[derive(Clone, Copy)]
struct ThroughF16 {
    flush: bool,
}

impl Function for ThroughF16 {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        round::f16_unpack(round::f16_pack(round::f16_nearest(x)), self.flush)
    }
}

#[derive(Clone, Copy)]
struct ThroughBf16;

impl Function for ThroughBf16 {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        round::bf16_unpack(round::bf16_nearest(x))
    }
}

/// `f` of each number.
fn map<F: Function>(matrix: &Matrix, f: F) -> Vec<f32> {
    struct Chunk<'a, F>(F, &'a [f32], &'a mut [f32]);
    impl<F: Function> WithLanes for Chunk<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_lanes<L: Lanes>(self, _: L) {
            let Self(f, numbers, out) = self;
            for (out, &x) in out.iter_mut().zip(numbers) {
                *out = f.of(x);
            }
        }
    }

    let mut out = vec![0.0; matrix.data.len()];
    out.par_chunks_mut(TASK_NUMBERS)
        .zip(matrix.data.par_chunks(TASK_NUMBERS))
        .for_each(|(out, numbers)| dispatch(Chunk(f, numbers, out)));
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Matrix,
    Row,
    Column,
}

/// Bits of max|x| for a stack of matrices: of all, of each row, or of each column of each matrix, which
/// then has `k` rows.
fn maxima(matrix: &Matrix, k: usize, axis: Axis) -> Vec<u32> {
    let magnitude = |x: &f32| x.to_bits() & 0x7fff_ffff;
    let largest = |row: &[f32]| row.iter().map(magnitude).max().unwrap_or(0);
    let rows = matrix.data.par_chunks(matrix.cols);
    let zeros = || vec![0; matrix.cols];
    match axis {
        Axis::Matrix => vec![rows.map(largest).max().unwrap_or(0)],
        Axis::Row => rows.map(largest).collect(),
        Axis::Column => {
            let of_one = |matrix_of_k: &[f32]| {
                let rows = matrix_of_k.par_chunks(matrix.cols);
                rows.fold(zeros, |mut maxima, row| {
                    maxima.iter_mut().zip(row).for_each(|(max, x)| *max = (*max).max(magnitude(x)));
                    maxima
                })
                .reduce(zeros, |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a = (*a).max(b));
                    a
                })
            };
            matrix.data.chunks(k * matrix.cols).flat_map(of_one).collect()
        }
    }
}

fn steps<O: Ops>(maxima: &[u32]) -> Vec<f32> {
    maxima
        .iter()
        .map(|&bits| O::mul(f32::from_bits(bits).max(SMALLEST_MAXIMUM), ONE_127TH))
        .collect()
}

fn inverse_step<O: Ops>(bits: u32) -> f32 {
    let maximum = f32::from_bits(bits).max(SMALLEST_MAXIMUM);
    let shrink = if maximum > LARGE_MAXIMUM { 1.0 / LARGE_MAXIMUM } else { 1.0 };
    O::mul(O::mul(127.0, reciprocal::<O>(O::mul(maximum, shrink))), shrink)
}

/// Of a stack of matrices, whose rows or columns go along k, as the axis says. A random bit is addressed
/// by its number's place in the stack as a device stores it.
fn quantize<O: Ops>(
    matrix: &Matrix,
    maxima: &[u32],
    (axis, k): (Axis, usize),
    random: Option<Random>,
) -> Vec<f32> {
    let inverse: Vec<f32> = maxima.iter().map(|&bits| inverse_step::<O>(bits)).collect();
    let columns = matrix.cols;
    // The factor of each column of a row.
    let factors = |i: usize| match inverse[..] {
        [all] => Cow::Owned(vec![all; columns]),
        _ if axis == Axis::Row => Cow::Owned(vec![inverse[i]; columns]),
        _ => Cow::Borrowed(&inverse[i / k * columns..][..columns]),
    };
    let place = |i: usize| if axis == Axis::Row { i } else { i / k * padded_k(k) + i % k };
    narrow::rounded::<O>(Format::Int8, matrix, random, factors, place)
}

/// Where the bits of a stochastic rounding come from, and how many there are of each.
type Random = (Stream, Key, u32);

/// The leading `bits` of the eight half-words of each lane, one lane after the other; what is above 16
/// bits is to be ignored.
#[inline(always)]
fn half_words<L: Lanes>(lanes: L, words: [L::Bits; 4], bits: u32) -> [u32; 8 * LANES] {
    let mut halves = [0; 8 * LANES];
    let mut w = 0;
    while w < 4 {
        let word = lanes.store(words[w]);
        for (halves, word) in halves.chunks_exact_mut(8).zip(word) {
            halves[2 * w] = round::leading_bits(word, bits);
            halves[2 * w + 1] = round::leading_bits(word >> 16, bits);
        }
        w += 1;
    }
    halves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::philox::{half_word, philox4x32};

    const KEY: Key = [11, 4];

    /// Every number of both operands, by the definition: rows of any length, every precision that
    /// rounds stochastically or to nearest, one step for all or one for each vector.
    #[test]
    fn vectors_quantise_as_the_definition_says() {
        for (m, n, k) in [(3, 5, 1), (2, 300, 17), (4, 9, 257)] {
            let matrix = |rows: usize, cols: usize, salt| {
                let word = |x: usize| philox4x32([x as u32, salt, 0, 9], [1, 2])[0];
                let data = (0..rows * cols).map(|x| (word(x) as i32 >> 8) as f32 / 4e6).collect();
                Matrix { rows, cols, data }
            };
            let (a, b) = (matrix(m, k, 0), matrix(k, n, 1));
            for precision in Precision::matmul() {
                let Some(scaling @ (Scaling::Tensor | Scaling::Rowwise)) = precision.scaling()
                else {
                    continue;
                };
                let o = Operands::convert(precision, Arithmetic::host(), &a, &b, KEY);
                let a = (&a, &o.a, Axis::Row, Stream::ConvertA);
                for (x, got, axis, stream) in [a, (&b, &o.b, Axis::Column, Stream::ConvertB)] {
                    let axis = if scaling == Scaling::Tensor { Axis::Matrix } else { axis };
                    for (at, (&x_ij, &got)) in x.data.iter().zip(got).enumerate() {
                        let (i, j) = (at / x.cols, at % x.cols);
                        let shares = |at: usize| match axis {
                            Axis::Matrix => true,
                            Axis::Row => at / x.cols == i,
                            Axis::Column => at % x.cols == j,
                        };
                        let magnitudes = x.data.iter().enumerate().filter(|(at, _)| shares(*at));
                        let max = magnitudes.fold(0.0, |max: f32, (_, x)| max.max(x.abs()));
                        let scaled = with_ops!(Arithmetic::host(), O => {
                            O::mul(x_ij, inverse_step::<O>(max.to_bits()))
                        });
                        let counter = [i as u32, j as u32 / 8, 0, stream as u32];
                        let random = half_word(philox4x32(counter, KEY), j as u32);
                        let expected = round::integer(scaled, precision.rounding(), random, 127);
                        assert_eq!(got, expected as f32, "{precision} {m}x{n}x{k} at {i},{j}");
                    }
                }
            }
        }
    }
}
