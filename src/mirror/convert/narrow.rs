//! Mirror of the conversions to fp8, to the Microscaling formats and to int4: elements rounded one by
//! one, those of int8 too, after scaling by what the 32 numbers of a block share.

use std::borrow::Cow;
use std::marker::PhantomData;

use rayon::prelude::*;

use super::{INT8_LIMIT, Key, LARGE_MAXIMUM, Random, SMALLEST_MAXIMUM, half_words};
use crate::mirror::reciprocal::reciprocal;
use crate::number::arithmetic::Ops;
use crate::number::block::{BLOCK, BlockScale, INT4_LIMIT, MXINT8_LIMIT, e8m0_code};
use crate::number::lanes::{LANES, Lanes, WithLanes, dispatch};
use crate::number::philox::{Stream, along_second};
use crate::number::{Format, Fp8, Precision, Rounding, round};
use crate::problem::layout::padded_k;
use crate::problem::matrix::Matrix;

const ONE_7TH: f32 = 1.0 / 7.0;

/// An operand once converted.
pub(super) struct Narrow {
    /// Its elements as numbers: integers, or what the codes of fp8 stand for.
    pub elements: Vec<f32>,
    /// The value of an element 1 in each block, ⌈k/32⌉ a row of A or a column of B, in rows as each
    /// matrix has them; empty for formats without blocks.
    pub scales: Vec<f32>,
    /// What a bound needs of each row of A or column of B: for int4 its largest step, else the largest
    /// absolute error that a conversion has beside the relative one.
    pub steps: Vec<f32>,
}

/// Along which side of the matrices of a stack k runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// Along rows: A.
    Rows,
    /// Along columns, of matrices of k rows: B.
    Columns { k: usize },
}

/// Converts a stack of matrices to the storage format of `precision`, fp8 or one with blocks. A random bit
/// is addressed by its number's place in the stack, the rows of each B padded as a device stores them.
pub(super) fn convert<O: Ops>(
    precision: Precision,
    matrix: &Matrix,
    along: Along,
    (key, bits): (Key, u32),
) -> Narrow {
    let format = precision.storage();
    let stream = match along {
        Along::Rows => Stream::ConvertA,
        Along::Columns { .. } => Stream::ConvertB,
    };
    let place = |i: usize| match along {
        Along::Rows => i,
        Along::Columns { k } => i / k * padded_k(k) + i % k,
    };
    let random = (precision.rounding() == Rounding::Stochastic).then_some((stream, key, bits));
    let maxima = block_maxima(matrix, along);
    if !format.is_blocked() {
        let ones = |_| Cow::Owned(vec![1.0; matrix.cols]);
        let elements = rounded::<O>(format, matrix, random, ones, place);
        let steps = per_vector(matrix, along, &maxima, |max| unscaled_error(format, random, max));
        return Narrow { elements, scales: vec![], steps };
    }
    let scales: Vec<_> = maxima.iter().map(|&max| block_scale::<O>(format, max)).collect();
    let inverse: Vec<f32> = scales.iter().map(|scale| scale.inverse).collect();
    let blocks = matrix.cols.div_ceil(BLOCK); // of a row of A
    let factors = |i: usize| match along {
        Along::Rows => {
            let of_row = &inverse[i * blocks..][..blocks];
            Cow::Owned((0..matrix.cols).map(|q| of_row[q / BLOCK]).collect())
        }
        Along::Columns { k } => {
            let block = i / k * k.div_ceil(BLOCK) + i % k / BLOCK;
            Cow::Borrowed(&inverse[block * matrix.cols..][..matrix.cols])
        }
    };
    let elements = rounded::<O>(format, matrix, random, factors, place);
    let error = |max: u32| block_error(format, block_scale::<O>(format, max), max);
    let steps = per_vector(matrix, along, &maxima, error);
    Narrow { elements, scales: scales.iter().map(|scale| scale.step).collect(), steps }
}

/// Bits of max|x| of each block of 32 along k, in rows as each matrix has them.
fn block_maxima(matrix: &Matrix, along: Along) -> Vec<u32> {
    let magnitude = |x: &f32| x.to_bits() & 0x7fff_ffff;
    let columns = matrix.cols;
    match along {
        Along::Rows => {
            let largest = |block: &[f32]| block.iter().map(magnitude).max().unwrap_or(0);
            matrix
                .data
                .par_chunks(columns)
                .flat_map_iter(|row| row.chunks(BLOCK).map(largest))
                .collect()
        }
        Along::Columns { k } => {
            let of_rows = |rows: &[f32]| {
                let mut maxima = vec![0; columns];
                for row in rows.chunks(columns) {
                    maxima.iter_mut().zip(row).for_each(|(max, x)| *max = (*max).max(magnitude(x)));
                }
                maxima
            };
            let each = matrix.data.par_chunks(k * columns);
            each.flat_map(|one| one.par_chunks(BLOCK * columns)).flat_map_iter(of_rows).collect()
        }
    }
}

/// The largest of `f` of the blocks of each row of A or each column of B.
fn per_vector(matrix: &Matrix, along: Along, maxima: &[u32], f: impl Fn(u32) -> f32) -> Vec<f32> {
    let values: Vec<f32> = maxima.iter().map(|&max| f(max)).collect();
    match along {
        Along::Rows => {
            let blocks = matrix.cols.div_ceil(BLOCK).max(1);
            values.chunks(blocks).map(|row| row.iter().copied().fold(0.0, f32::max)).collect()
        }
        Along::Columns { k } => {
            let of_one = |values: &[f32]| {
                let mut largest = vec![0f32; matrix.cols];
                for row in values.chunks(matrix.cols) {
                    largest.iter_mut().zip(row).for_each(|(max, &x)| *max = max.max(x));
                }
                largest
            };
            values.chunks(k.div_ceil(BLOCK) * matrix.cols).flat_map(of_one).collect()
        }
    }
}

/// The scale of a block whose largest magnitude has these bits.
fn block_scale<O: Ops>(format: Format, max_bits: u32) -> BlockScale {
    if format != Format::Int4 {
        return BlockScale::power_of_two(format, e8m0_code(format, max_bits));
    }
    let maximum = f32::from_bits(max_bits).max(SMALLEST_MAXIMUM);
    let shrink = if maximum > LARGE_MAXIMUM { 1.0 / LARGE_MAXIMUM } else { 1.0 };
    BlockScale {
        step: O::mul(maximum, ONE_7TH),
        inverse: O::mul(O::mul(7.0, reciprocal::<O>(O::mul(maximum, shrink))), shrink),
    }
}

/// How far `max` lies beyond `largest`, rounded up: what saturating takes from it.
fn excess(max_bits: u32, largest: f32) -> f32 {
    let over = f32::from_bits(max_bits) - largest;
    if over > 0.0 { over.next_up() } else { 0.0 }
}

/// Largest absolute error of a conversion to fp8, where the largest magnitude has these bits: half the
/// spacing of the subnormals, or all of it, or what saturating takes away.
fn unscaled_error(format: Format, random: Option<Random>, max_bits: u32) -> f32 {
    let fp8 = format.fp8().unwrap_or(Fp8::E4M3); // only fp8 has no blocks here
    let spacings = if random.is_some() { 1.0 } else { 0.5 };
    (spacings * fp8.smallest()).max(excess(max_bits, fp8.largest()))
}

/// The same of a block rounded to nearest; the step itself for int4.
fn block_error(format: Format, scale: BlockScale, max_bits: u32) -> f32 {
    let (half_spacing, largest) = match format {
        Format::MxFp8 => (0.5 * Fp8::E4M3.smallest(), Fp8::E4M3.largest()),
        Format::MxInt8 => (0.5, MXINT8_LIMIT as f32),
        _ => return scale.step,
    };
    (half_spacing * scale.step).max(excess(max_bits, largest * scale.step))
}

/// Each number times its factor, `factors` of its row, as an element of `format`; `place` numbers the row
/// for its random bits.
pub(super) fn rounded<'a, O: Ops>(
    format: Format,
    matrix: &Matrix,
    random: Option<Random>,
    factors: impl Fn(usize) -> Cow<'a, [f32]> + Sync,
    place: impl Fn(usize) -> usize + Sync,
) -> Vec<f32> {
    let mut out = vec![0.0; matrix.data.len()];
    let rows = out.par_chunks_mut(matrix.cols).zip(matrix.data.par_chunks(matrix.cols));
    rows.enumerate().for_each(|(i, (out, numbers))| {
        let factors = &factors(i)[..];
        let i = place(i);
        let row = Row { i, numbers, factors, out, random, _ops: PhantomData::<O> };
        match format {
            Format::E5m2 => dispatch(Elements(row, Float(Fp8::E5M2))),
            Format::E4m3 | Format::MxFp8 => dispatch(Elements(row, Float(Fp8::E4M3))),
            Format::Int4 => dispatch(Elements(row, Integer(INT4_LIMIT))),
            Format::Int8 => dispatch(Elements(row, Integer(INT8_LIMIT))),
            _ => dispatch(Elements(row, Integer(MXINT8_LIMIT))),
        }
    });
    out
}

/// How a scaled number becomes an element.
trait Element: Copy {
    fn nearest(self, x: f32) -> f32;
    fn stochastic(self, x: f32, random: u32) -> f32;
}

#[derive(Clone, Copy)]
struct Float(Fp8);

impl Element for Float {
    #[inline(always)]
    fn nearest(self, x: f32) -> f32 {
        self.0.unpack(self.0.nearest(x))
    }

    #[inline(always)]
    fn stochastic(self, x: f32, random: u32) -> f32 {
        self.0.unpack(self.0.stochastic(x, random))
    }
}

/// Integers of at most this magnitude.
#[derive(Clone, Copy)]
struct Integer(i32);

impl Element for Integer {
    #[inline(always)]
    fn nearest(self, x: f32) -> f32 {
        round::integer(x, Rounding::Nearest, 0, self.0) as f32
    }

    #[inline(always)]
    fn stochastic(self, x: f32, random: u32) -> f32 {
        round::integer(x, Rounding::Stochastic, random, self.0) as f32
    }
}

/// A row of a matrix, and where its random bits come from, if it is rounded by any.
struct Row<'a, O> {
    i: usize,
    numbers: &'a [f32],
    factors: &'a [f32],
    out: &'a mut [f32],
    random: Option<Random>,
    _ops: PhantomData<O>,
}

struct Elements<'a, O, E>(Row<'a, O>, E);

impl<O: Ops, E: Element> WithLanes for Elements<'_, O, E> {
    type Output = ();

    #[inline(always)]
    fn with_lanes<L: Lanes>(self, lanes: L) {
        let Self(Row { i, numbers, factors, out, random, .. }, element) = self;
        let Some((stream, key, bits)) = random else {
            for ((out, &x), &factor) in out.iter_mut().zip(numbers).zip(factors) {
                *out = element.nearest(O::mul(x, factor));
            }
            return;
        };
        // A counter serves eight columns, a vector of counters as many times that.
        const COLUMNS: usize = 8 * LANES;
        let chunks = out.chunks_mut(COLUMNS).zip(numbers.chunks(COLUMNS));
        for (chunk, ((out, numbers), factors)) in chunks.zip(factors.chunks(COLUMNS)).enumerate() {
            let counter = [i as u32, (chunk * LANES) as u32, 0, stream as u32];
            let random = half_words(lanes, along_second(lanes, counter, key), bits);
            for (((out, &x), &factor), &r) in out.iter_mut().zip(numbers).zip(factors).zip(&random)
            {
                *out = element.stochastic(O::mul(x, factor), r);
            }
        }
    }
}
