//! A bf16 accumulator, rounded stochastically after every product-add: SR(fl32(sum + a·b)). The product
//! of two bf16 is exact in f32 unless it underflows, so a device's arithmetic matters there.

use std::marker::PhantomData;

use super::{Key, NR, PackedB, Task};
use crate::number::arithmetic::Ops;
use crate::number::lanes::Lanes;
use crate::number::philox::{Stream, along_second};
use crate::number::round;

#[derive(Clone, Copy)]
pub(super) struct Bf16Sr<O> {
    key: Key,
    /// Random bits of one rounding.
    bits: u32,
    _ops: PhantomData<O>,
}

impl<O: Ops> Bf16Sr<O> {
    pub(super) fn new(key: Key, bits: u32) -> Self {
        Self { key, bits, _ops: PhantomData }
    }
}

impl<O: Ops> Task for Bf16Sr<O> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L, a: &[&[f32]], rows: &[usize], b: &PackedB, c: &mut [f32]) {
        for p in 0..b.n.div_ceil(NR) {
            let (j0, panel) = (p * NR, b.panel(p));
            let columns = NR.min(b.n - j0);
            for (r, (a, &i)) in a.iter().zip(rows).enumerate() {
                let mut sums = [0.0; NR];
                for (block, (a, b)) in a.chunks(8).zip(panel.chunks(8)).enumerate() {
                    let counter = [i as u32, j0 as u32, block as u32, Stream::Accumulate as u32];
                    let words = along_second(lanes, counter, self.key);
                    let words = [
                        lanes.store(words[0]),
                        lanes.store(words[1]),
                        lanes.store(words[2]),
                        lanes.store(words[3]),
                    ];
                    for (q, (&a, b)) in a.iter().zip(b).enumerate() {
                        let (word, shift) = (&words[q / 2], 16 * (q as u32 & 1));
                        for j in 0..NR {
                            let exact = O::fma(a, b[j], sums[j]);
                            let random = round::leading_bits(word[j] >> shift, self.bits);
                            sums[j] = round::bf16_unpack(round::bf16_stochastic(exact, random));
                        }
                    }
                }
                c[r * b.n + j0..][..columns].copy_from_slice(&sums[..columns]);
            }
        }
    }
}
