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
                    let scales = &self.operands.scale_b[block * b.n + j0..][..columns];
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

/// C[i, j] by the definition.
pub(super) fn entry<O: Ops>(operands: &Operands, i: usize, j: usize) -> f32 {
    let Operands { n, k, .. } = *operands;
    let scales = Blocked::<O>::new(operands).scales_of_row(i);
    scales.iter().enumerate().fold(0.0, |sum, (block, &step_a)| {
        let q = block * BLOCK..k.min((block + 1) * BLOCK);
        let products =
            q.fold(0.0, |sum, q| O::fma(operands.a[i * k + q], operands.b[q * n + j], sum));
        O::fma(O::mul(products, step_a), operands.scale_b[block * n + j], sum)
    })
}
