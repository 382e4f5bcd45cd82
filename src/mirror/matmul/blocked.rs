//! Products of operands that share scales in blocks of 32 along k: what `kernels/matmul/block_*.wgsl`
//! do. Over blocks 0, 1, … in order c = fma(block · step_a, step_b, c), where `block` is the sum of the
//! products of the elements over q = 0, 1, … in order, exact where they are integers.

use std::marker::PhantomData;

use super::{F32Step, NR, Operands, PackedB, Task, block_of_c};
use crate::number::arithmetic::Ops;
use crate::number::block::BLOCK;
use crate::number::lanes::Lanes;

/// Rows of C that a block in registers has.
const ROWS: usize = 6;

#[derive(Clone, Copy)]
pub(super) struct Blocked<'a, O> {
    operands: &'a Operands,
    _ops: PhantomData<O>,
}

impl<'a, O: Ops> Blocked<'a, O> {
    pub(super) fn new(operands: &'a Operands) -> Self {
        Self { operands, _ops: PhantomData }
    }

    /// The scales of row `i` of A.
    #[inline(always)]
    fn scales_of_row(&self, i: usize) -> &'a [f32] {
        let blocks = self.operands.k.div_ceil(BLOCK);
        &self.operands.scale_a[i * blocks..][..blocks]
    }
}

impl<O: Ops> Task for Blocked<'_, O> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L, a: &[&[f32]], rows: &[usize], b: &PackedB, c: &mut [f32]) {
        let mut packed_a = vec![[0.0; ROWS]; b.k];
        let Some(&first) = rows.first() else { return };
        let of_product = b.k.div_ceil(BLOCK) * b.n;
        let scale_b = &self.operands.scale_b[first / self.operands.m * of_product..][..of_product];
        let groups = a.chunks(ROWS).zip(rows.chunks(ROWS));
        for ((a, rows), c) in groups.zip(c.chunks_mut(ROWS * b.n)) {
            for (r, row) in a.iter().enumerate() {
                packed_a.iter_mut().zip(row.iter()).for_each(|(p, &x)| p[r] = x);
            }
            for p in 0..b.n.div_ceil(NR) {
                let j0 = p * NR;
                let columns = NR.min(b.n - j0);
                let mut sums = [[0.0; NR]; ROWS];
                for (block, (a, b_block)) in
                    packed_a.chunks(BLOCK).zip(b.panel(p).chunks(BLOCK)).enumerate()
                {
                    let mut products = [[0.0; NR]; ROWS];
                    block_of_c::<F32Step<O>, ROWS>(a, b_block, &mut products);
                    let mut step_b = [0.0; NR];
                    let scales = &scale_b[block * b.n + j0..][..columns];
                    step_b[..columns].copy_from_slice(scales);
                    for (r, &i) in rows.iter().enumerate() {
                        let step_a = self.scales_of_row(i)[block];
                        for j in 0..NR {
                            let scaled = O::mul(products[r][j], step_a);
                            sums[r][j] = O::fma(scaled, step_b[j], sums[r][j]);
                        }
                    }
                }
                for r in 0..rows.len() {
                    c[r * b.n + j0..][..columns].copy_from_slice(&sums[r][..columns]);
                }
            }
        }
    }
}

/// The sums of the blocks of C[i, j] by the definition, each with the entry as it was and is.
fn sums<O: Ops>(operands: &Operands, i: usize, j: usize) -> impl Iterator<Item = (f32, [f32; 2])> {
    let Operands { m, n, k, .. } = *operands;
    let (p, blocks) = (i / m, k.div_ceil(BLOCK));
    let scales = Blocked::<O>::new(operands).scales_of_row(i);
    scales.iter().enumerate().scan(0.0, move |sum, (block, &step_a)| {
        let q = block * BLOCK..k.min((block + 1) * BLOCK);
        let products = q.fold(0.0, |sum, q| {
            let (a, b) = (operands.place_in_a(i, q), operands.place_in_b(p, q, j));
            O::fma(operands.a[a], operands.b[b], sum)
        });
        let step_b = operands.scale_b[(p * blocks + block) * n + j];
        let before = *sum;
        *sum = O::fma(O::mul(products, step_a), step_b, before);
        Some((products, [before, *sum]))
    })
}

/// C[i, j] by the definition.
pub(super) fn entry<O: Ops>(operands: &Operands, i: usize, j: usize) -> f32 {
    sums::<O>(operands, i, j).last().map_or(0.0, |(_, [_, sum])| sum)
}

/// Additions of what is not 0, and those that left the entry as it was.
pub(super) fn absorbed<O: Ops>(operands: &Operands, i: usize, j: usize) -> [u64; 2] {
    sums::<O>(operands, i, j)
        .take_while(|(_, [_, sum])| sum.is_finite())
        .filter(|(products, _)| *products != 0.0)
        .fold([0, 0], |[all, absorbed], (_, [before, sum])| {
            [all + 1, absorbed + u64::from(before == sum)]
        })
}
