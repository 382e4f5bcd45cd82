//! Rows of C in blocks of registers, on all threads: each entry summed over q = 0, 1, … in order.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::accumulate::{Accumulate, Number};
use crate::mirror::convert::Operands;
use crate::mirror::matmul::shared;
use crate::number::lanes::{LANES, Lanes, WithLanes, dispatch};

/// Columns of C that one block holds in registers.
const NR: usize = LANES;
/// Rows of C that one block holds in registers.
const MR: usize = 4;
/// Rows of C that one task of the thread pool computes.
const TASK_ROWS: usize = 16;
/// k whose part of A lies packed at a time.
const KC: usize = 512;

/// The parts of A and of B, as these are stored.
pub(super) type Numbers<'a, T, const P: usize> = [[&'a [T]; 2]; P];

/// Computes rows of C, each sum of which `finished` makes an entry.
pub(super) fn run<T, const P: usize, const Q: usize, S, E>(
    numbers: Numbers<'_, T, P>,
    operands: &Operands,
    rows: &[usize],
    finished: impl Fn([T; Q]) -> E + Copy + Send + Sync,
) -> Vec<E>
where
    T: Number,
    S: Accumulate<T, P, Q>,
    E: Copy + Default + Send,
{
    let Operands { m, n, batch, .. } = *operands;
    let panels: Vec<_> = (0..batch).map(|product| pack(numbers, operands, product)).collect();
    let mut c = vec![E::default(); rows.len() * n];
    shared(rows, [m, n], TASK_ROWS, &mut c).into_par_iter().for_each(|(rows, c)| {
        let (panels, kind) = (&panels[rows[0] / m], PhantomData::<S>);
        dispatch(Task::<T, P, Q, E, _, S> { numbers, operands, panels, rows, c, finished, kind });
    });
    c
}

/// `NR` numbers of a row of B, part by part.
type Line<T, const P: usize> = [[T; NR]; P];

/// B of a product cut into panels of `NR` columns, one behind the other, the last filled up with zeros.
fn pack<T: Number, const P: usize>(
    numbers: Numbers<'_, T, P>,
    operands: &Operands,
    product: usize,
) -> Vec<Line<T, P>> {
    let Operands { n, k, .. } = *operands;
    let mut panels = vec![[[T::default(); NR]; P]; k * n.div_ceil(NR)];
    panels.par_chunks_mut(k).enumerate().for_each(|(panel, lines)| {
        let columns = panel * NR..n.min((panel + 1) * NR);
        if operands.layout.b_transposed() {
            for (at, j) in columns.enumerate() {
                let first = operands.place_in_b(product, 0, j);
                for (p, [_, b]) in numbers.iter().enumerate() {
                    lines.iter_mut().zip(&b[first..][..k]).for_each(|(line, &x)| line[p][at] = x);
                }
            }
            return;
        }
        for (q, line) in lines.iter_mut().enumerate() {
            let first = operands.place_in_b(product, q, columns.start);
            for (to, [_, b]) in line.iter_mut().zip(&numbers) {
                to[..columns.len()].copy_from_slice(&b[first..][..columns.len()]);
            }
        }
    });
    panels
}

/// Some rows of C, summed as `S` does.
struct Task<'a, T, const P: usize, const Q: usize, E, F, S> {
    numbers: Numbers<'a, T, P>,
    operands: &'a Operands,
    panels: &'a [Line<T, P>],
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
        let Self { numbers, operands, panels, rows, c, finished, .. } = self;
        let Operands { n, k, .. } = *operands;
        let mut packed = vec![[[T::default(); P]; MR]; KC.min(k)];
        let mut sums: Vec<Sums<T, Q>> = vec![[[[T::default(); NR]; Q]; MR]; n.div_ceil(NR)];
        for (rows, c) in rows.chunks(MR).zip(c.chunks_mut(MR * n)) {
            sums.fill([[[T::default(); NR]; Q]; MR]);
            for q0 in (0..k).step_by(KC) {
                let packed = &mut packed[..KC.min(k - q0)];
                gather(numbers, operands, rows, q0, packed);
                for (panel, sums) in sums.iter_mut().enumerate() {
                    let lines = &panels[panel * k + q0..][..packed.len()];
                    block::<T, P, Q, S>(packed, lines, sums);
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

/// Numbers of some rows of A from q0 on, however A is stored.
#[inline(always)]
fn gather<T: Number, const P: usize>(
    numbers: Numbers<'_, T, P>,
    operands: &Operands,
    rows: &[usize],
    q0: usize,
    packed: &mut [[[T; P]; MR]],
) {
    let apart = if operands.layout.a_transposed() { operands.m } else { 1 };
    for (r, &i) in rows.iter().enumerate() {
        let first = operands.place_in_a(i, q0);
        for (p, [a, _]) in numbers.iter().enumerate() {
            let row = a[first..].iter().step_by(apart);
            packed.iter_mut().zip(row).for_each(|(to, &x)| to[r][p] = x);
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
