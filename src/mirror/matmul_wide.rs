//! Mirror of the matmul kernels of [`Precision::WIDE`], whose numbers have several parts or are f64,
//! and what the device `cpu` runs at these precisions. Each entry of C is summed over q = 0, 1, … in
//! order, as by every other kernel.
//!
//! The steps follow `kernels/shared/error_free.wgsl` and `kernels/matmul/accumulate_*` operation by
//! operation. An f64 fma is taken to be fused where that of f32 is: `gpu::double_differs` asks the
//! device.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::convert::Operands;
use super::matmul::shared;
use crate::number::arithmetic::{Ops, two_sum};
use crate::number::lanes::{LANES, Lanes, WithLanes, dispatch};
use crate::number::{Arithmetic, Entries, Precision};
use crate::problem::layout::Layout;
use crate::with_ops;

/// Columns of C that one block holds in registers.
const NR: usize = LANES;
/// Rows of C that one block holds in registers.
const MR: usize = 4;
/// Rows of C that one task of the thread pool computes.
const TASK_ROWS: usize = 16;
/// k whose part of A lies packed at a time.
const KC: usize = 512;

/// C = A·B as a device of this `arithmetic` computes it at `precision`, for the given rows of C
/// (`rows.len()`×n, row-major).
///
/// # Panics
/// If `precision` is none of [`Precision::WIDE`], or the operands were converted to another one or are
/// stored transposed.
pub fn multiply(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    rows: &[usize],
) -> Entries {
    with_sums(precision, arithmetic, operands, Rows(rows))
}

/// One entry of C by the definition, product-add after product-add: what [`multiply`] must equal.
///
/// # Panics
/// As [`multiply`].
pub fn entry(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
) -> Entries {
    with_sums(precision, arithmetic, operands, Entry(i, j))
}

/// What [`multiply`] has before it rounds a sum to the format of C, each to the 53 bits of f64, for the
/// given rows of C. Where C has the format of its sums they are C.
///
/// # Panics
/// As [`multiply`].
pub fn sums(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    rows: &[usize],
) -> Vec<f64> {
    with_sums(precision, arithmetic, operands, Unrounded(rows))
}

/// How many additions of a product that is not 0 one entry of C takes, and how many of these leave its
/// sum as it was, every part of it. Once it is not finite, they are not counted.
///
/// # Panics
/// As [`multiply`].
pub fn absorbed(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
) -> [u64; 2] {
    with_sums(precision, arithmetic, operands, Absorbed(i, j))
}

/// What is wanted of the sums of a precision, as a type, so that it is compiled for each.
trait Visit {
    type Output;
    /// Of m rows a product, n columns, sums over k.
    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        size: (usize, usize, usize),
    ) -> Self::Output;
}

/// Rows of C, in blocks.
struct Rows<'a>(&'a [usize]);

impl Visit for Rows<'_> {
    type Output = Entries;

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        size: (usize, usize, usize),
    ) -> Entries {
        S::entries(run::<T, P, Q, S, S::Entry>(numbers, size, self.0, S::finished))
    }
}

/// Their sums.
struct Unrounded<'a>(&'a [usize]);

impl Visit for Unrounded<'_> {
    type Output = Vec<f64>;

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        size: (usize, usize, usize),
    ) -> Vec<f64> {
        run::<T, P, Q, S, f64>(numbers, size, self.0, S::value)
    }
}

/// One entry, by the definition.
struct Entry(usize, usize);

impl Visit for Entry {
    type Output = Entries;

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        size: (usize, usize, usize),
    ) -> Entries {
        let last = additions::<T, P, Q, S>(numbers, size, (self.0, self.1)).last();
        let sum = last.map_or([T::default(); Q], |(_, [_, sum])| sum);
        S::entries(vec![S::finished(sum)])
    }
}

/// The additions of one entry.
struct Absorbed(usize, usize);

impl Visit for Absorbed {
    type Output = [u64; 2];

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        size: (usize, usize, usize),
    ) -> [u64; 2] {
        additions::<T, P, Q, S>(numbers, size, (self.0, self.1))
            .take_while(|(_, [_, sum])| S::value(*sum).is_finite())
            .filter(|(factors, _)| factors.iter().all(|x| x.iter().any(|x| *x != T::default())))
            .fold([0, 0], |[all, absorbed], (_, [before, sum])| {
                [all + 1, absorbed + u64::from(before == sum)]
            })
    }
}

/// The two factors of each product of one entry, and its sum as it was and is.
fn additions<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
    numbers: Numbers<'_, T, P>,
    (m, n, k): (usize, usize, usize),
    (i, j): (usize, usize),
) -> impl Iterator<Item = ([[T; P]; 2], [[T; Q]; 2])> {
    (0..k).scan([T::default(); Q], move |sum, q| {
        let a = numbers.map(|[a, _]| a[i * k + q]);
        let b = numbers.map(|[_, b]| b[(i / m * k + q) * n + j]);
        let before = *sum;
        *sum = S::step(before, a, b);
        Some(([a, b], [before, *sum]))
    })
}

fn with_sums<V: Visit>(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    visit: V,
) -> V::Output {
    let Operands { a, b, lower_a, lower_b, .. } = operands;
    assert_eq!(operands.layout, Layout::Nn, "layout at {precision}");
    let parts =
        |p: usize| if p == 0 { [&a[..], b] } else { [&lower_a[p - 1][..], &lower_b[p - 1]] };
    let size = (operands.m, operands.n, operands.k);
    match precision {
        Precision::Fp16x2 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 2, 2, F16Pairs<O>>([0, 1].map(parts), size)
        }),
        Precision::Bf16x3 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 3, 2, Bf16Triples<O>>([0, 1, 2].map(parts), size)
        }),
        Precision::Fp32Comp => with_ops!(arithmetic, O => {
            visit.visit::<f32, 1, 2, Compensated<O>>([0].map(parts), size)
        }),
        Precision::Fp32x2 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 2, 2, F32Pairs<O>>([0, 1].map(parts), size)
        }),
        Precision::Fp64 => {
            let numbers = [[&operands.a_f64[..], &operands.b_f64]];
            if arithmetic.fused_fma {
                visit.visit::<f64, 1, 1, Double<true>>(numbers, size)
            } else {
                visit.visit::<f64, 1, 1, Double<false>>(numbers, size)
            }
        }
        other => panic!("{other} is no precision of this mirror"),
    }
}

/// f32 or f64.
trait Number: Copy + Default + PartialEq + Send + Sync {}

impl Number for f32 {}
impl Number for f64 {}

/// How a product is added to a sum: numbers of `P` parts of type `T`, sums of `Q`.
trait Accumulate<T, const P: usize, const Q: usize> {
    /// What a finished sum is.
    type Entry: Copy + Default + Send + Sync;
    /// sum + a·b.
    fn step(sum: [T; Q], a: [T; P], b: [T; P]) -> [T; Q];
    /// The entry of C.
    fn finished(sum: [T; Q]) -> Self::Entry;
    /// The sum before it becomes an entry.
    fn value(sum: [T; Q]) -> f64;
    /// Entries in the format that says what they are.
    fn entries(entries: Vec<Self::Entry>) -> Entries;
}

/// The upper 12 bits of a significand.
#[inline(always)]
fn upper(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0xffff_f000)
}

/// a·b and what its rounding leaves (Dekker).
#[inline(always)]
fn two_product<O: Ops>(a: f32, b: f32) -> [f32; 2] {
    let product = O::mul(a, b);
    let (a_hi, b_hi) = (upper(a), upper(b));
    let (a_lo, b_lo) = (O::add(a, -a_hi), O::add(b, -b_hi));
    let error = O::fma(a_hi, b_lo, O::fma(a_hi, b_hi, -product));
    [product, O::fma(a_lo, b_lo, O::fma(a_lo, b_hi, error))]
}

struct Compensated<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 1, 2> for Compensated<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], [a]: [f32; 1], [b]: [f32; 1]) -> [f32; 2] {
        let [product, product_error] = two_product::<O>(a, b);
        let [sum, sum_error] = two_sum::<O>(hi, product);
        [sum, O::add(lo, O::add(sum_error, product_error))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::add(hi, lo)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

struct F32Pairs<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 2, 2> for F32Pairs<O> {
    type Entry = [f32; 2];

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
        let [product, error] = two_product::<O>(a[0], b[0]);
        let lower = O::fma(a[1], b[0], O::fma(a[0], b[1], error));
        let [sum, sum_error] = two_sum::<O>(hi, product);
        two_sum::<O>(sum, O::add(lo, O::add(sum_error, lower)))
    }

    #[inline(always)]
    fn finished(sum: [f32; 2]) -> [f32; 2] {
        sum
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Pair(entries)
    }
}

struct F16Pairs<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 2, 2> for F16Pairs<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
        [O::fma(a[0], b[0], hi), O::fma(a[0], b[1], O::fma(a[1], b[0], lo))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::fma(lo, 1.0 / 2048.0, hi)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo) / 2048.0
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

struct Bf16Triples<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 3, 2> for Bf16Triples<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 3], b: [f32; 3]) -> [f32; 2] {
        let smallest = O::fma(a[2], b[0], O::fma(a[0], b[2], O::fma(a[1], b[1], lo)));
        [O::fma(a[0], b[0], hi), O::fma(a[1], b[0], O::fma(a[0], b[1], smallest))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::add(hi, lo)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

struct Double<const FUSED: bool>;

impl<const FUSED: bool> Accumulate<f64, 1, 1> for Double<FUSED> {
    type Entry = f64;

    #[inline(always)]
    fn step([sum]: [f64; 1], [a]: [f64; 1], [b]: [f64; 1]) -> [f64; 1] {
        [if FUSED { a.mul_add(b, sum) } else { a * b + sum }]
    }

    #[inline(always)]
    fn finished([sum]: [f64; 1]) -> f64 {
        sum
    }

    #[inline(always)]
    fn value([sum]: [f64; 1]) -> f64 {
        sum
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Double(entries)
    }
}

/// The parts of A and of B.
type Numbers<'a, T, const P: usize> = [[&'a [T]; 2]; P];

/// Computes rows of C, m rows a product, n columns, sums over k, each of which `finished` makes an entry.
fn run<T, const P: usize, const Q: usize, S, E>(
    numbers: Numbers<'_, T, P>,
    (m, n, k): (usize, usize, usize),
    rows: &[usize],
    finished: impl Fn([T; Q]) -> E + Copy + Send + Sync,
) -> Vec<E>
where
    T: Number,
    S: Accumulate<T, P, Q>,
    E: Copy + Default + Send,
{
    let panels: Vec<_> = (0..numbers[0][1].len() / (k * n))
        .map(|p| pack(numbers.map(|[a, b]| [a, &b[p * k * n..][..k * n]]), n, k))
        .collect();
    let mut c = vec![E::default(); rows.len() * n];
    shared(rows, [m, n], TASK_ROWS, &mut c).into_par_iter().for_each(|(rows, c)| {
        let (panels, kind) = (&panels[rows[0] / m], PhantomData::<S>);
        dispatch(Task::<T, P, Q, E, _, S> { numbers, panels, n, k, rows, c, finished, kind });
    });
    c
}

/// `NR` numbers of a row of B, part by part.
type Line<T, const P: usize> = [[T; NR]; P];

/// B cut into panels of `NR` columns, one behind the other, the last filled up with zeros.
fn pack<T: Number, const P: usize>(
    numbers: Numbers<'_, T, P>,
    n: usize,
    k: usize,
) -> Vec<Line<T, P>> {
    let mut panels = vec![[[T::default(); NR]; P]; k * n.div_ceil(NR)];
    panels.par_chunks_mut(k).enumerate().for_each(|(panel, lines)| {
        let columns = panel * NR..n.min((panel + 1) * NR);
        for (q, line) in lines.iter_mut().enumerate() {
            for (to, [_, b]) in line.iter_mut().zip(&numbers) {
                to[..columns.len()].copy_from_slice(&b[q * n..][columns.clone()]);
            }
        }
    });
    panels
}

/// Some rows of C, summed as `S` does.
struct Task<'a, T, const P: usize, const Q: usize, E, F, S> {
    numbers: Numbers<'a, T, P>,
    panels: &'a [Line<T, P>],
    n: usize,
    k: usize,
    rows: &'a [usize],
    c: &'a mut [E],
    finished: F,
    kind: PhantomData<S>,
}

/// Sums of `MR` rows and `NR` columns, part by part.
type Sums<T, const Q: usize> = [[[T; NR]; Q]; MR];

impl<T, const P: usize, const Q: usize, E, F, S> WithLanes for Task<'_, T, P, Q, E, F, S>
where
    T: Number,
    F: Fn([T; Q]) -> E,
    S: Accumulate<T, P, Q>,
{
    type Output = ();

    #[inline(always)]
    fn with_lanes<L: Lanes>(self, _: L) {
        let Self { numbers, panels, n, k, rows, c, finished, .. } = self;
        let mut packed = vec![[[T::default(); P]; MR]; KC.min(k)];
        let mut sums: Vec<Sums<T, Q>> = vec![[[[T::default(); NR]; Q]; MR]; n.div_ceil(NR)];
        for (rows, c) in rows.chunks(MR).zip(c.chunks_mut(MR * n)) {
            sums.fill([[[T::default(); NR]; Q]; MR]);
            for q0 in (0..k).step_by(KC) {
                let depth = KC.min(k - q0);
                for (r, &i) in rows.iter().enumerate() {
                    for (p, [a, _]) in numbers.iter().enumerate() {
                        let row = &a[i * k + q0..][..depth];
                        packed.iter_mut().zip(row).for_each(|(to, &x)| to[r][p] = x);
                    }
                }
                for (panel, sums) in sums.iter_mut().enumerate() {
                    let lines = &panels[panel * k + q0..][..depth];
                    block::<T, P, Q, S>(&packed[..depth], lines, sums);
                }
            }
            for (r, c) in c.chunks_mut(n).enumerate() {
                for (j, c) in c.iter_mut().enumerate() {
                    let sums = &sums[j / NR][r];
                    let mut sum = [T::default(); Q];
                    sum.iter_mut().zip(sums).for_each(|(to, part)| *to = part[j % NR]);
                    *c = finished(sum);
                }
            }
        }
    }
}

/// Adds the products of some of k to a block.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indexed form is the one that vectorises
fn block<T, const P: usize, const Q: usize, S>(
    a: &[[[T; P]; MR]],
    b: &[Line<T, P>],
    sums: &mut Sums<T, Q>,
) where
    T: Copy + Default,
    S: Accumulate<T, P, Q>,
{
    let mut all = *sums;
    for (a, b) in a.iter().zip(b) {
        for r in 0..MR {
            for j in 0..NR {
                let (mut sum, mut right) = ([T::default(); Q], [T::default(); P]);
                for p in 0..Q {
                    sum[p] = all[r][p][j];
                }
                for p in 0..P {
                    right[p] = b[p][j];
                }
                let sum = S::step(sum, a[r], right);
                for p in 0..Q {
                    all[r][p][j] = sum[p];
                }
            }
        }
    }
    *sums = all;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::layout::Stored;
    use crate::problem::matrix::{Distribution, MatmulProblem, Matrix};

    fn arithmetics() -> impl Iterator<Item = Arithmetic> {
        (0..4).map(|bits| Arithmetic {
            fused_fma: bits & 1 != 0,
            flush_f32_subnormals: bits & 2 != 0,
            flush_f16_subnormals: bits & 2 != 0,
        })
    }

    #[test]
    fn blocks_equal_the_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 35, 3), (5, 16, 9), (9, 17, 33), (3, 3, 1100)] {
            let mut p = MatmulProblem::generate(Distribution::Normal, m, n, k, 9).unwrap();
            p.a.data.iter_mut().step_by(3).for_each(|x| *x *= 1e-38);
            for precision in Precision::WIDE {
                for arithmetic in arithmetics() {
                    let o = Operands::convert(precision, arithmetic, &p.a, &p.b, [0, 0]);
                    let rows: Vec<_> = (0..m).rev().collect();
                    let c = multiply(precision, arithmetic, &o, &rows);
                    for (r, &i) in rows.iter().enumerate() {
                        for j in 0..n {
                            let expected = entry(precision, arithmetic, &o, i, j);
                            let got = c.rows(&[r * n + j], 1);
                            let what = format!("{precision} {m}x{n}x{k} at {i},{j}");
                            assert!(got.same_bits(&expected), "{what}: {got:?} {expected:?}");
                        }
                    }
                }
            }
        }
    }

    /// Row i of product p is row p·m + i, with B of its own.
    #[test]
    fn batches_are_their_products() {
        let (distribution, shape) = (Distribution::Normal, [5, 19, 33]);
        let p = MatmulProblem::generate_batch_within(distribution, shape, 3, 9, u64::MAX).unwrap();
        let [m, n, k] = shape;
        for precision in Precision::WIDE {
            let arithmetic = Arithmetic::host();
            let stored = Stored::new(Layout::Nn, 3, &p.a, &p.b);
            let all = Operands::convert_stored(precision, arithmetic, &stored, [0, 0]);
            let rows = [1, 4, 6, 11, 14];
            let c = multiply(precision, arithmetic, &all, &rows);
            for (r, i) in rows.into_iter().enumerate() {
                let product = i / m;
                let part = |x: &Matrix, rows: usize| {
                    let data = x.data[product * rows * x.cols..][..rows * x.cols].to_vec();
                    Matrix { rows, cols: x.cols, data }
                };
                let (a, b) = (part(&p.a, m), part(&p.b, k));
                let one = Operands::convert(precision, arithmetic, &a, &b, [0, 0]);
                let expected = multiply(precision, arithmetic, &one, &[i % m]);
                assert!(c.rows(&[r], n).same_bits(&expected), "{precision} row {i}");
                let last = entry(precision, arithmetic, &all, i, n - 1);
                assert!(c.rows(&[r * n + n - 1], 1).same_bits(&last), "{precision} row {i}");
            }
        }
    }

    /// hi + lo is the exact sum or product, of numbers of any size that keeps the error normal.
    #[test]
    fn errors_are_exact_under_either_fma() {
        let p = MatmulProblem::generate(Distribution::Normal, 64, 1, 64, 4).unwrap();
        for (e, pair) in p.a.data.windows(2).enumerate() {
            let scale = 2f32.powi(e as i32 % 41 - 20);
            let (a, b) = (pair[0] * scale, pair[1]);
            for arithmetic in arithmetics() {
                with_ops!(arithmetic, O => {
                    let [hi, lo] = two_product::<O>(a, b);
                    assert_eq!(hi, a * b);
                    let exact = f64::from(a) * f64::from(b);
                    assert_eq!(f64::from(hi) + f64::from(lo), exact, "{a} · {b}");
                    let [hi, lo] = two_sum::<O>(a, b);
                    assert_eq!(hi, a + b);
                    // What the f64 sum of the two leaves is 0: they span fewer than 53 bits.
                    assert_eq!(f64::from(hi) + f64::from(lo), f64::from(a) + f64::from(b));
                });
            }
        }
    }
}
