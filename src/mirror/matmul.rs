//! Mirror of the matmul product kernels. All of them sum each entry of C over q = 0, 1, … in
//! order, whatever their tiling, so one mirror a precision serves them all; those that cut k into
//! slices sum each slice so. It is also what the device `cpu` runs.
//!
//! Rows of C are numbered through all products of a batch: row i of product p is row p·m + i.

mod bf16;
mod blocked;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use self::bf16::Bf16Sr;
use self::blocked::Blocked;
use super::convert::{Key, Operands};
use super::matmul_wide;
use crate::number::arithmetic::Ops;
use crate::number::lanes::{LANES, Lanes, WithLanes, dispatch};
use crate::number::philox::{Stream, along_second, half_word, philox4x32};
use crate::number::round::NormalF16;
use crate::number::{Arithmetic, Entries, Format, Precision, Rounding, round};
use crate::with_ops;

/// Columns of C that one block holds in registers.
const NR: usize = LANES;
/// Rows of C that are summed at once in an f16 accumulator. The fewer operations a rounding takes,
/// the more rows it takes to fill the time in which each waits for it.
const SR_ROWS: usize = 4;
const NEAREST_ROWS: usize = 8;
/// Rows of C that one task of the thread pool computes.
const TASK_ROWS: usize = 48;
/// k summed before a block of C goes back to memory; storing and loading an f32 changes nothing.
const KC: usize = 1024;
/// 127 · 127 · 1,040 < 2²⁴: so many int8 products are summed exactly in f32.
const INT8_KC: usize = 1040;
/// Numbers of k that are gathered at once from an A stored transposed.
const GATHERED: usize = 16;
/// Rows of C that an int8 block has.
const INT8_ROWS: usize = 6;

/// B cut into panels of `NR` columns, each k × NR and contiguous, the last padded with zeros.
pub struct PackedB {
    k: usize,
    n: usize,
    panels: Vec<[f32; NR]>,
}

impl PackedB {
    /// Packs `b`, k×n row-major.
    pub fn new(b: &[f32], k: usize, n: usize) -> Self {
        let mut panels = vec![[0.0; NR]; k * n.div_ceil(NR)];
        panels.par_chunks_mut(k.max(1)).enumerate().for_each(|(p, panel)| {
            let columns = p * NR..n.min((p + 1) * NR);
            for (q, row) in panel.iter_mut().enumerate() {
                row[..columns.len()].copy_from_slice(&b[q * n..][columns.clone()]);
            }
        });
        Self { k, n, panels }
    }

    /// The same of `b` stored transposed, n×k row-major.
    fn of_transposed(b: &[f32], k: usize, n: usize) -> Self {
        let mut panels = vec![[0.0; NR]; k * n.div_ceil(NR)];
        panels.par_chunks_mut(k.max(1)).enumerate().for_each(|(p, panel)| {
            let columns = b[p * NR * k..].chunks_exact(k).take(NR);
            for (j, column) in columns.enumerate() {
                panel.iter_mut().zip(column).for_each(|(row, &x)| row[j] = x);
            }
        });
        Self { k, n, panels }
    }

    /// B of each product of `operands`.
    pub fn of(operands: &Operands) -> Vec<Self> {
        let Operands { n, k, .. } = *operands;
        let each = operands.b.chunks_exact(k * n);
        if operands.layout.b_transposed() {
            each.map(|b| Self::of_transposed(b, k, n)).collect()
        } else {
            each.map(|b| Self::new(b, k, n)).collect()
        }
    }

    fn panel(&self, p: usize) -> &[[f32; NR]] {
        &self.panels[p * self.k..(p + 1) * self.k]
    }
}

/// C = A·B as a device of this `arithmetic` computes it at `precision`, for the given rows of C
/// (`rows.len()` × n, row-major). Values of an f16 C are f16 numbers held as f32.
///
/// # Panics
/// As [`multiply_packed`].
pub fn multiply(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    rows: &[usize],
    key: Key,
) -> Vec<f32> {
    let packed = PackedB::of(operands);
    let mut c = vec![0.0; rows.len() * operands.n];
    multiply_packed(precision, arithmetic, operands, &packed, rows, key, &mut c);
    c
}

/// C at any precision of matrix products, in the format that it has there: [`multiply_in_slices`], or
/// [`matmul_wide::multiply`], whose kernels cut nothing into slices.
pub fn entries(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    slices: u32,
    rows: &[usize],
    key: Key,
) -> Entries {
    if precision.is_wide() {
        matmul_wide::multiply(precision, arithmetic, operands, rows)
    } else {
        Entries::Single(multiply_in_slices(precision, arithmetic, operands, slices, rows, key))
    }
}

/// [`multiply`] as a kernel does it that cuts k into `slices` slices, a power of two: each is summed in
/// order, and the sums are added in a tree. More than one slice is for sums in f32 alone; others ignore
/// how many there are.
pub fn multiply_in_slices(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    slices: u32,
    rows: &[usize],
    key: Key,
) -> Vec<f32> {
    if slices == 1 || precision.accumulator() != Format::F32 {
        return multiply(precision, arithmetic, operands, rows, key);
    }
    let packed = PackedB::of(operands);
    let sums = (0..slices).map(|index| {
        let mut c = vec![0.0; rows.len() * operands.n];
        let range = slice(operands.k, slices, index);
        with_ops!(arithmetic, O => {
            let task = Sequential::<F32Step<O>, 6>(F32Step(PhantomData), range);
            tasks(operands, &packed, rows, &mut c, task)
        });
        c
    });
    with_ops!(arithmetic, O => add_slices::<O>(sums.collect()))
}

/// The part of k that slice `index` of `slices` sums: a multiple of 32 long, but for the last ones.
fn slice(k: usize, slices: u32, index: u32) -> Range<usize> {
    let length = k.div_ceil(32 * slices as usize) * 32;
    let first = k.min(index as usize * length);
    first..k.min(first + length)
}

/// The halves added to each other, entry by entry, until one is left.
fn add_slices<O: Ops>(mut sums: Vec<Vec<f32>>) -> Vec<f32> {
    while sums.len() > 1 {
        let later = sums.split_off(sums.len() / 2);
        for (sum, later) in sums.iter_mut().zip(later) {
            sum.iter_mut().zip(later).for_each(|(x, y)| *x = O::add(*x, y));
        }
    }
    sums.pop().unwrap_or_default()
}

/// [`multiply`] with B of each product packed before and C given.
///
/// # Panics
/// If `precision` is one of [`Precision::WIDE`], whose mirror is [`matmul_wide`].
pub fn multiply_packed(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    b: &[PackedB],
    rows: &[usize],
    key: Key,
    c: &mut [f32],
) {
    assert!(!precision.is_wide(), "{precision} has a mirror of its own");
    let stochastic = precision.rounding() == Rounding::Stochastic;
    if precision.storage().is_blocked() {
        return with_ops!(arithmetic, O => tasks(operands, b, rows, c, Blocked::<O>::new(operands)));
    }
    match precision.accumulator() {
        Format::Int32 => with_ops!(scaling_arithmetic(arithmetic), O => {
            let (m, step_a, step_b) = (operands.m, &operands.step_a, &operands.step_b);
            tasks(operands, b, rows, c, Int8 { m, step_a, step_b, _ops: PhantomData::<O> })
        }),
        Format::F16 if stochastic => {
            let bits = operands.rounding_bits;
            tasks(operands, b, rows, c, F16Blocks::<_, SR_ROWS>(Stochastic { key, bits }))
        }
        Format::F16 => tasks(operands, b, rows, c, F16Blocks::<_, NEAREST_ROWS>(Nearest)),
        Format::Bf16 => with_ops!(arithmetic, O => {
            tasks(operands, b, rows, c, Bf16Sr::<O>::new(key, operands.rounding_bits))
        }),
        _ => with_ops!(arithmetic, O => {
            let task = Sequential::<F32Step<O>, 6>(F32Step(PhantomData), 0..operands.k);
            tasks(operands, b, rows, c, task)
        }),
    }
}

/// One entry of C by the definition, product-add after product-add: what [`multiply`] must equal.
///
/// # Panics
/// As [`multiply_packed`].
pub fn entry(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
    key: Key,
) -> f32 {
    assert!(!precision.is_wide(), "{precision} has a mirror of its own");
    let Operands { m, n, k, .. } = *operands;
    if precision.storage().is_blocked() {
        return with_ops!(arithmetic, O => blocked::entry::<O>(operands, i, j));
    }
    let products = (0..k).map(|q| {
        let (a, b) = (operands.place_in_a(i, q), operands.place_in_b(i / m, q, j));
        (q, operands.a[a], operands.b[b])
    });
    let random = |q: usize| {
        let counter = [i as u32, j as u32, q as u32 / 8, Stream::Accumulate as u32];
        let half = half_word(philox4x32(counter, key), q as u32);
        round::leading_bits(half, operands.rounding_bits)
    };
    match precision.accumulator() {
        Format::Int32 => with_ops!(arithmetic, O => {
            let sum: i64 = products.map(|(_, a, b)| a as i64 * b as i64).sum();
            let scaled = O::mul(sum as f32, step(&operands.step_a, i));
            O::mul(scaled, step(&operands.step_b, i / m * n + j))
        }),
        Format::F16 => products.fold(0.0, |sum, (q, a, b)| {
            let exact = a * b + sum; // a·b is exact
            if precision.rounding() == Rounding::Nearest {
                return round::f16_nearest(exact);
            }
            round::f16_stochastic(exact, random(q))
        }),
        Format::Bf16 => with_ops!(arithmetic, O => products.fold(0.0, |sum, (q, a, b)| {
            round::bf16_unpack(round::bf16_stochastic(O::fma(a, b, sum), random(q)))
        })),
        _ => with_ops!(arithmetic, O => products.fold(0.0, |sum, (_, a, b)| O::fma(a, b, sum))),
    }
}

/// How many additions of a block's sum that is not 0 one entry of C takes at a format with blocks, and
/// how many of these leave it as it was. Once it is not finite, they are not counted.
pub fn absorbed_blocks(
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
) -> [u64; 2] {
    with_ops!(arithmetic, O => blocked::absorbed::<O>(operands, i, j))
}

/// Rows of C of products m×n, cut into tasks for all threads, each of at most `most_rows` of one product
/// and with its part of `c` (`rows.len()` × n).
pub(super) fn shared<'a, 'c, T>(
    rows: &'a [usize],
    [m, n]: [usize; 2],
    most_rows: usize,
    c: &'c mut [T],
) -> Vec<(&'a [usize], &'c mut [T])> {
    let threads = rayon::current_num_threads();
    let task_rows = rows.len().div_ceil(threads).clamp(1, most_rows);
    let products = rows.chunk_by(|i, next| i / m == next / m);
    let mut rest = c;
    products
        .flat_map(|rows| rows.chunks(task_rows))
        .map(|rows| {
            let (c, behind) = std::mem::take(&mut rest).split_at_mut(n * rows.len());
            rest = behind;
            (rows, c)
        })
        .collect()
}

/// How one task of rows is computed.
trait Task: Clone + Send + Sync {
    /// Adds A·B to `c` (rows × n) for the rows of A in `a` (rows × k), whose numbers are `rows`: all of
    /// one product.
    fn run<L: Lanes>(self, lanes: L, a: &[&[f32]], rows: &[usize], b: &PackedB, c: &mut [f32]);
}

/// Shares the rows of C among the threads and calls `task` under the widest SIMD there is.
fn tasks<T: Task>(operands: &Operands, b: &[PackedB], rows: &[usize], c: &mut [f32], task: T) {
    struct Dispatch<'a, T>(T, &'a [&'a [f32]], &'a [usize], &'a PackedB, &'a mut [f32]);
    impl<T: Task> WithLanes for Dispatch<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_lanes<L: Lanes>(self, lanes: L) {
            self.0.run(lanes, self.1, self.2, self.3, self.4);
        }
    }

    let Operands { m, n, k, .. } = *operands;
    shared(rows, [m, n], TASK_ROWS, c).into_par_iter().for_each(|(rows, c)| {
        let gathered =
            if operands.layout.a_transposed() { rows_of_a(operands, rows) } else { vec![] };
        let a: Vec<&[f32]> = if operands.layout.a_transposed() {
            gathered.chunks_exact(k).collect()
        } else {
            rows.iter().map(|&i| &operands.a[i * k..][..k]).collect()
        };
        c.fill(0.0);
        dispatch(Dispatch(task.clone(), &a, rows, &b[rows[0] / m], c));
    });
}

/// Rows of A (rows × k) where it is stored transposed, all of one product.
fn rows_of_a(operands: &Operands, rows: &[usize]) -> Vec<f32> {
    let Operands { m, k, ref a, .. } = *operands;
    let stored = &a[rows[0] / m * k * m..][..k * m];
    let mut gathered = vec![0.0; rows.len() * k];
    // A block of k at a time, so that the lines that it writes stay in the cache.
    for q0 in (0..k).step_by(GATHERED) {
        for (q, stored) in stored.chunks_exact(m).enumerate().skip(q0).take(GATHERED) {
            for (r, &i) in rows.iter().enumerate() {
                gathered[r * k + q] = stored[i % m];
            }
        }
    }
    gathered
}

/// One product-add of a kernel's inner loop, for a block of C: `sums[r][j] += a[r]·b[j]`.
trait Step: Copy + Send + Sync {
    fn step<const MR: usize>(sums: &mut [[f32; NR]; MR], a: &[f32; MR], b: &[f32; NR]);
}

#[derive(Clone, Copy)]
struct F32Step<O>(PhantomData<O>);

impl<O: Ops> Step for F32Step<O> {
    #[inline(always)]
    fn step<const MR: usize>(sums: &mut [[f32; NR]; MR], a: &[f32; MR], b: &[f32; NR]) {
        O::fma_outer(sums, a, b);
    }
}

/// Blocks of `MR` × [`NR`] entries in registers, summed over a part of k.
#[derive(Clone)]
struct Sequential<S, const MR: usize>(S, Range<usize>);

impl<S: Step, const MR: usize> Task for Sequential<S, MR> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L, a: &[&[f32]], _: &[usize], b: &PackedB, c: &mut [f32]) {
        let Range { start, end } = self.1;
        let mut packed_a = vec![[0.0; MR]; KC.min(end - start)];
        for q0 in (start..end).step_by(KC) {
            let q1 = end.min(q0 + KC);
            for (block, a) in a.chunks(MR).enumerate() {
                for (r, row) in a.iter().enumerate() {
                    packed_a.iter_mut().zip(&row[q0..q1]).for_each(|(p, &x)| p[r] = x);
                }
                for p in 0..b.n.div_ceil(NR) {
                    let j0 = p * NR;
                    let columns = NR.min(b.n - j0);
                    let mut sums = [[0.0; NR]; MR];
                    let at = |r: usize| (block * MR + r) * b.n + j0;
                    for r in 0..a.len() {
                        sums[r][..columns].copy_from_slice(&c[at(r)..][..columns]);
                    }
                    block_of_c::<S, MR>(&packed_a[..q1 - q0], &b.panel(p)[q0..q1], &mut sums);
                    for r in 0..a.len() {
                        c[at(r)..][..columns].copy_from_slice(&sums[r][..columns]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn block_of_c<S: Step, const MR: usize>(
    a: &[[f32; MR]],
    b: &[[f32; NR]],
    sums: &mut [[f32; NR]; MR],
) {
    let mut s = *sums;
    for (a, b) in a.iter().zip(b) {
        S::step(&mut s, a, b);
    }
    *sums = s;
}

/// How an f16 accumulator is rounded after every product-add.
trait RoundF16: Copy + Send + Sync {
    /// The random words of eight product-adds for [`NR`] neighbouring entries of row `i`.
    fn words<L: Lanes>(self, lanes: L, i: usize, j0: usize, block: usize) -> [L::Bits; 4];
    /// Rounds by the low half-word of `word` (`FROM` = 3) or the high one (19).
    fn normal<L: Lanes, const FROM: u32>(
        f16: &mut NormalF16<L>,
        x: L::Real,
        word: L::Bits,
    ) -> L::Real;
    /// Rounds any number.
    fn any(x: f32, random: u32) -> f32;
}

#[derive(Clone, Copy)]
struct Nearest;

impl RoundF16 for Nearest {
    #[inline(always)]
    fn words<L: Lanes>(self, lanes: L, _: usize, _: usize, _: usize) -> [L::Bits; 4] {
        [lanes.splat(0); 4]
    }

    #[inline(always)]
    fn normal<L: Lanes, const FROM: u32>(
        f16: &mut NormalF16<L>,
        x: L::Real,
        _: L::Bits,
    ) -> L::Real {
        f16.nearest(x)
    }

    #[inline(always)]
    fn any(x: f32, _: u32) -> f32 {
        round::f16_nearest(x)
    }
}

#[derive(Clone, Copy)]
struct Stochastic {
    key: Key,
    /// Random bits of one rounding.
    bits: u32,
}

impl RoundF16 for Stochastic {
    #[inline(always)]
    fn words<L: Lanes>(self, lanes: L, i: usize, j0: usize, block: usize) -> [L::Bits; 4] {
        let counter = [i as u32, j0 as u32, block as u32, Stream::Accumulate as u32];
        let words = along_second(lanes, counter, self.key);
        // Ones behind the leading bits of both half-words, as `leading_bits` sets them.
        let ones = lanes.splat(round::leading_bits(0, self.bits) * 0x1_0001);
        [
            lanes.add(lanes.and_not(words[0], ones), ones),
            lanes.add(lanes.and_not(words[1], ones), ones),
            lanes.add(lanes.and_not(words[2], ones), ones),
            lanes.add(lanes.and_not(words[3], ones), ones),
        ]
    }

    #[inline(always)]
    fn normal<L: Lanes, const FROM: u32>(
        f16: &mut NormalF16<L>,
        x: L::Real,
        word: L::Bits,
    ) -> L::Real {
        f16.stochastic::<FROM>(x, word)
    }

    #[inline(always)]
    fn any(x: f32, random: u32) -> f32 {
        round::f16_stochastic(x, random)
    }
}

/// An f16 accumulator, rounded after every product-add, for `MR` rows of C at once.
#[derive(Clone, Copy)]
struct F16Blocks<R, const MR: usize>(R);

impl<R: RoundF16, const MR: usize> Task for F16Blocks<R, MR> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L, a: &[&[f32]], rows: &[usize], b: &PackedB, c: &mut [f32]) {
        for p in 0..b.n.div_ceil(NR) {
            for (block, (a, rows)) in a.chunks(MR).zip(rows.chunks(MR)).enumerate() {
                let c = &mut c[block * MR * b.n..];
                if a.len() == MR {
                    self.rows::<L, MR>(lanes, a, rows, b, p, c);
                    continue;
                }
                for r in 0..a.len() {
                    self.rows::<L, 1>(lanes, &a[r..], &rows[r..], b, p, &mut c[r * b.n..]);
                }
            }
        }
    }
}

impl<R: RoundF16, const MR: usize> F16Blocks<R, MR> {
    /// `ROWS` rows of C in the columns of panel `p`. Each waits for its last rounding before the
    /// next product-add; the others fill that time.
    #[inline(always)]
    fn rows<L: Lanes, const ROWS: usize>(
        self,
        lanes: L,
        a: &[&[f32]],
        rows: &[usize],
        b: &PackedB,
        p: usize,
        c: &mut [f32],
    ) {
        let (j0, panel) = (p * NR, b.panel(p));
        let columns = NR.min(b.n - j0);
        let counts = NormalF16::first_lanes(lanes, columns);
        let mut sums = [lanes.splat_real(0.0); ROWS];
        for block in 0..b.k.div_ceil(8) {
            let q = block * 8..b.k.min(block * 8 + 8);
            for r in 0..ROWS {
                let words = self.0.words(lanes, rows[r], j0, block);
                let (a, b) = (&a[r][q.clone()], &panel[q.clone()]);
                let fast = match (a.try_into(), b.try_into()) {
                    (Ok(a), Ok(b)) => Self::eight(lanes, sums[r], a, b, &words, counts),
                    _ => None,
                };
                if let Some(sum) = fast {
                    sums[r] = sum;
                    continue;
                }
                let words = [
                    lanes.store(words[0]),
                    lanes.store(words[1]),
                    lanes.store(words[2]),
                    lanes.store(words[3]),
                ];
                let mut sum = lanes.store_real(sums[r]);
                Self::definition(&mut sum, a, b, &words);
                sums[r] = lanes.load_real(&sum);
            }
        }
        for r in 0..ROWS {
            c[r * b.n + j0..][..columns].copy_from_slice(&lanes.store_real(sums[r])[..columns]);
        }
    }

    /// Eight product-adds, if all sums are normal numbers of f16 in the lanes that count.
    #[inline(always)]
    fn eight<L: Lanes>(
        lanes: L,
        sum: L::Real,
        a: &[f32; 8],
        b: &[[f32; NR]; 8],
        words: &[L::Bits; 4],
        counts: L::Bits,
    ) -> Option<L::Real> {
        let mut f16 = NormalF16::new(lanes);
        // No loop: where it is not unrolled the words go through memory, at half the speed.
        let f = &mut f16;
        let sum = two::<L, R>(lanes, f, sum, [a[0], a[1]], [&b[0], &b[1]], words[0]);
        let sum = two::<L, R>(lanes, f, sum, [a[2], a[3]], [&b[2], &b[3]], words[1]);
        let sum = two::<L, R>(lanes, f, sum, [a[4], a[5]], [&b[4], &b[5]], words[2]);
        let sum = two::<L, R>(lanes, f, sum, [a[6], a[7]], [&b[6], &b[7]], words[3]);
        f16.held(counts).then_some(sum)
    }

    /// At most eight product-adds of any numbers.
    #[cold]
    #[inline(never)]
    fn definition(sums: &mut [f32; NR], a: &[f32], b: &[[f32; NR]], words: &[[u32; NR]; 4]) {
        for (q, (a, b)) in a.iter().zip(b).enumerate() {
            let (word, shift) = (&words[q / 2], 16 * (q as u32 & 1));
            for j in 0..NR {
                sums[j] = R::any(a * b[j] + sums[j], word[j] >> shift);
            }
        }
    }
}

/// Two product-adds, by the two halves of a word. a·b is exact: its factors are f16 numbers.
#[inline(always)]
fn two<L: Lanes, R: RoundF16>(
    lanes: L,
    f16: &mut NormalF16<L>,
    sum: L::Real,
    a: [f32; 2],
    b: [&[f32; NR]; 2],
    word: L::Bits,
) -> L::Real {
    let (a0, a1) = (lanes.splat_real(a[0]), lanes.splat_real(a[1]));
    let exact = lanes.add_exact_product(a0, lanes.load_real(b[0]), sum);
    let sum = R::normal::<L, 3>(f16, exact, word);
    let exact = lanes.add_exact_product(a1, lanes.load_real(b[1]), sum);
    R::normal::<L, 19>(f16, exact, word)
}

/// What int8 needs of a device's arithmetic: whether the scaling flushes. Its sums are exact under
/// either fma, so they take the one that is fast here.
fn scaling_arithmetic(device: Arithmetic) -> Arithmetic {
    Arithmetic { fused_fma: Arithmetic::host().fused_fma, ..device }
}

/// Exact integer sums, in blocks of k over which f32 holds every partial sum exactly, then scaled.
#[derive(Clone, Copy)]
struct Int8<'a, O> {
    m: usize,
    step_a: &'a [f32],
    step_b: &'a [f32],
    _ops: PhantomData<O>,
}

impl<O: Ops> Task for Int8<'_, O> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L, a: &[&[f32]], rows: &[usize], b: &PackedB, c: &mut [f32]) {
        let mut packed_a = vec![[0.0; INT8_ROWS]; INT8_KC.min(b.k)];
        let mut joined = vec![[[0i64; NR]; INT8_ROWS]; b.n.div_ceil(NR)];
        let blocks = a.chunks(INT8_ROWS).zip(rows.chunks(INT8_ROWS));
        for ((a, rows), c) in blocks.zip(c.chunks_mut(INT8_ROWS * b.n)) {
            joined.fill([[0; NR]; INT8_ROWS]);
            for q0 in (0..b.k).step_by(INT8_KC) {
                let q1 = b.k.min(q0 + INT8_KC);
                for (r, row) in a.iter().enumerate() {
                    packed_a.iter_mut().zip(&row[q0..q1]).for_each(|(p, &x)| p[r] = x);
                }
                for (p, joined) in joined.iter_mut().enumerate() {
                    let mut sums = [[0.0; NR]; INT8_ROWS];
                    let panel = &b.panel(p)[q0..q1];
                    block_of_c::<F32Step<O>, INT8_ROWS>(&packed_a[..q1 - q0], panel, &mut sums);
                    for (joined, sums) in joined.iter_mut().zip(&sums) {
                        // Below 2²⁴, so an i32 holds it, and that conversion is an instruction.
                        joined.iter_mut().zip(sums).for_each(|(j, &s)| *j += i64::from(s as i32));
                    }
                }
            }
            for ((r, &i), c) in rows.iter().enumerate().zip(c.chunks_mut(b.n)) {
                let column0 = i / self.m * b.n;
                for (j, c) in c.iter_mut().enumerate() {
                    let scaled = O::mul(joined[j / NR][r][j % NR] as f32, step(self.step_a, i));
                    *c = O::mul(scaled, step(self.step_b, column0 + j));
                }
            }
        }
    }
}

/// The step of vector `i`, where one may serve all.
fn step(steps: &[f32], i: usize) -> f32 {
    steps[if steps.len() == 1 { 0 } else { i }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::lanes::on_each;
    use crate::problem::layout::{Layout, Stored};
    use crate::problem::matrix::Matrix;

    const KEY: Key = [7, 3];

    /// A matrix of small irregular numbers, positive and negative.
    fn matrix(rows: usize, cols: usize, salt: u32) -> Matrix {
        let number = |i: usize| {
            let word = philox4x32([i as u32, salt, 0, 99], [1, 2])[0];
            (word as i32 >> 8) as f32 / 4e6
        };
        Matrix { rows, cols, data: (0..rows * cols).map(number).collect() }
    }

    #[test]
    fn blocks_equal_the_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 35, 3), (7, 16, 9), (50, 17, 33), (13, 3, 2100)] {
            let (a, b) = (matrix(m, k, 0), matrix(k, n, 1));
            let ab = Stored::new(Layout::Nn, 1, &a, &b);
            for precision in Precision::matmul().filter(|precision| !precision.is_wide()) {
                for (fused_fma, bits) in [(false, 16), (true, 5)] {
                    let arithmetic = Arithmetic { fused_fma, ..Arithmetic::host() };
                    let o = Operands::convert_with_bits(precision, arithmetic, &ab, KEY, bits);
                    let rows: Vec<_> = (0..m).rev().collect();
                    let c = multiply(precision, arithmetic, &o, &rows, KEY);
                    for (r, &i) in rows.iter().enumerate() {
                        for j in 0..n {
                            let expected = entry(precision, arithmetic, &o, i, j, KEY);
                            let got = c[r * n + j];
                            assert_eq!(got, expected, "{precision} {m}x{n}x{k} at {i},{j}");
                        }
                    }
                }
            }
        }
    }

    /// What `tasks` runs on one thread, on lanes of any width.
    #[derive(Clone)]
    struct AllRows<'a, T>(T, &'a Operands, &'a PackedB);

    impl<T: Task> WithLanes for AllRows<'_, T> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_lanes<L: Lanes>(self, lanes: L) -> Vec<f32> {
            let Self(task, operands, b) = self;
            let a: Vec<&[f32]> = operands.a.chunks(operands.k).collect();
            let rows: Vec<usize> = (0..operands.m).collect();
            let mut c = vec![0.0; operands.m * operands.n];
            task.run(lanes, &a, &rows, b, &mut c);
            c
        }
    }

    /// Sums that are zero, subnormal, cancel, overflow or are no numbers, between ordinary ones, on
    /// every kind of lanes that this processor has.
    #[test]
    fn f16_sums_outside_the_normal_numbers_equal_the_definition() {
        let (m, n, k) = (9, 21, 43);
        for (salt, scale) in [(0, 1.0), (1, 2e-4), (2, 1e-5), (3, 150.0), (4, 1e4)] {
            let (mut a, b) = (matrix(m, k, salt), matrix(k, n, salt + 10));
            a.data.iter_mut().for_each(|x| *x *= scale);
            a.data[2 * k..3 * k].fill(0.0); // a row of zeros
            a.data[4 * k + 20..5 * k].fill(0.0); // one that ends in them
            for precision in [Precision::Fp16Acc16, Precision::Fp16Sr] {
                let o = Operands::convert(precision, Arithmetic::host(), &a, &b, KEY);
                let packed = PackedB::new(&o.b, k, n);
                let on_lanes = match precision {
                    Precision::Fp16Sr => on_each(&AllRows(
                        F16Blocks::<_, SR_ROWS>(Stochastic { key: KEY, bits: 16 }),
                        &o,
                        &packed,
                    )),
                    _ => on_each(&AllRows(F16Blocks::<_, NEAREST_ROWS>(Nearest), &o, &packed)),
                };
                for (name, c) in on_lanes {
                    for (at, got) in c.into_iter().enumerate() {
                        let (i, j) = (at / n, at % n);
                        let expected = entry(precision, Arithmetic::host(), &o, i, j, KEY);
                        let same = got.to_bits() == expected.to_bits()
                            || (got.is_nan() && expected.is_nan());
                        assert!(same, "{name} {precision} × {scale} at {i},{j}: {got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn int8_sums_past_i32_are_exact() {
        let k = 140_000;
        let a = Matrix { rows: 1, cols: k, data: vec![-1.0; k] };
        let b = Matrix { rows: k, cols: 1, data: vec![1.0; k] };
        let o = Operands::convert(Precision::Int8, Arithmetic::host(), &a, &b, KEY);
        let c = multiply(Precision::Int8, Arithmetic::host(), &o, &[0], KEY);
        let exact = (-127i64 * 127 * k as i64) as f32 * o.step_a[0] * o.step_b[0];
        assert_eq!(c[0], exact);
    }
}
