//! Mirror of the matmul conversion kernels: f32 matrices to the operands that a product reads.

use rayon::prelude::*;

use super::reciprocal::reciprocal;
use crate::number::arithmetic::Ops;
use crate::number::philox::{Stream, half_word, philox4x32};
use crate::number::{Arithmetic, Format, Precision, Rounding, Scaling, round};
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
    /// A as decoded numbers (int8: the integers), m×k row-major.
    pub a: Vec<f32>,
    /// B likewise, k×n row-major.
    pub b: Vec<f32>,
    /// int8: the value of one integer step of A, one for the matrix or one a row; else empty.
    pub step_a: Vec<f32>,
    /// int8: likewise for B, one or one a column.
    pub step_b: Vec<f32>,
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
        let (m, n, k) = (a.rows, b.cols, a.cols);
        let (a, step_a, b, step_b) = match precision.storage() {
            Format::Int8 => with_ops!(arithmetic, O => {
                let per_vector = precision.scaling() == Some(Scaling::Rowwise);
                let rounding = precision.rounding();
                let max_a = maxima(a, if per_vector { Axis::Row } else { Axis::Matrix });
                let max_b = maxima(b, if per_vector { Axis::Column } else { Axis::Matrix });
                let qa = quantize::<O>(a, &max_a, Axis::Row, rounding, key, Stream::ConvertA);
                let qb = quantize::<O>(b, &max_b, Axis::Column, rounding, key, Stream::ConvertB);
                (qa, steps::<O>(&max_a), qb, steps::<O>(&max_b))
            }),
            format => {
                let flush = arithmetic.flush_f16_subnormals;
                (elementwise(format, a, flush), vec![], elementwise(format, b, flush), vec![])
            }
        };
        Self { m, n, k, a, b, step_a, step_b }
    }
}

/// Rounds each number to a floating-point format and decodes it again.
fn elementwise(format: Format, matrix: &Matrix, flush: bool) -> Vec<f32> {
    let convert: fn(f32, bool) -> f32 = match format {
        Format::F16 => |x, flush| round::f16_unpack(round::f16_pack(round::f16_nearest(x)), flush),
        Format::Bf16 => |x, _| round::bf16_unpack(round::bf16_nearest(x)),
        _ => return matrix.data.clone(),
    };
    matrix.data.par_iter().map(|&x| convert(x, flush)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Matrix,
    Row,
    Column,
}

/// Bits of max|x| for the matrix, each row or each column.
fn maxima(matrix: &Matrix, axis: Axis) -> Vec<u32> {
    let magnitude = |x: &f32| x.to_bits() & 0x7fff_ffff;
    let rows = matrix.data.chunks(matrix.cols);
    match axis {
        Axis::Matrix => vec![matrix.data.iter().map(magnitude).max().unwrap_or(0)],
        Axis::Row => rows.map(|row| row.iter().map(magnitude).max().unwrap_or(0)).collect(),
        Axis::Column => rows.fold(vec![0; matrix.cols], |mut largest, row| {
            largest.iter_mut().zip(row).for_each(|(l, x)| *l = (*l).max(magnitude(x)));
            largest
        }),
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

fn quantize<O: Ops>(
    matrix: &Matrix,
    maxima: &[u32],
    axis: Axis,
    rounding: Rounding,
    key: Key,
    stream: Stream,
) -> Vec<f32> {
    let inverse: Vec<f32> = maxima.iter().map(|&bits| inverse_step::<O>(bits)).collect();
    let mut out = vec![0.0; matrix.data.len()];
    let rows = out.par_chunks_mut(matrix.cols).zip(matrix.data.par_chunks(matrix.cols));
    rows.enumerate().for_each(|(i, (out, row))| {
        let mut words = [0; 4];
        for (j, (q, &x)) in out.iter_mut().zip(row).enumerate() {
            if rounding == Rounding::Stochastic && j % 8 == 0 {
                words = philox4x32([i as u32, j as u32 / 8, 0, stream as u32], key);
            }
            let vector = if inverse.len() == 1 {
                0
            } else if axis == Axis::Row {
                i
            } else {
                j
            };
            let random = half_word(words, j as u32);
            *q = round::integer(O::mul(x, inverse[vector]), rounding, random, INT8_LIMIT) as f32;
        }
    });
    out
}
