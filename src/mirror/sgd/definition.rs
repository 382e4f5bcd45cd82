//! One step of SGD by its definition in `kernels/sgd/`, number by number and without vectors, rows
//! side by side or threads that meet: what [`super::run`] is checked against where it is the
//! measurement itself.

use rayon::prelude::*;

use super::residual_of;
use crate::number::arithmetic::Ops;
use crate::number::philox::{Stream, philox4x32};
use crate::number::{Arithmetic, Format, Rounding, round};
use crate::problem::dataset::Dataset;
use crate::with_ops;
use crate::workload::sgd::{Grids, SgdCase, Step};

const BLOCK: usize = 16;
const TILE: usize = 256;
const LANES: usize = 16;
/// 2⁻¹⁴.
const F16_MIN_NORMAL: f32 = 6.103_515_6e-5;

/// What the definition is applied to.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// The case.
    pub case: &'a SgdCase,
    /// Its data set, in f32.
    pub data: &'a Dataset,
    /// Its grids.
    pub grids: &'a Grids,
    /// The arithmetic to follow.
    pub arithmetic: Arithmetic,
}

impl Definition<'_> {
    /// The model (outputs × d_padded) after the step, from the one before it.
    pub fn step(&self, now: &Step, model: &[f32]) -> Vec<f32> {
        let unit = self.grids.model_step();
        // Fixed point is in units of its step, a power of two: these products are exact.
        let format = self.case.precision.accumulator();
        let stored: Vec<f32> = model.iter().map(|&w| self.read(format, w / unit)).collect();
        let updated = with_ops!(self.arithmetic, O => self.stored_step::<O>(now, &stored));
        updated.into_iter().map(|w| w * unit).collect()
    }

    fn stored_step<O: Ops>(&self, now: &Step, model: &[f32]) -> Vec<f32> {
        let Dataset { d_padded, outputs, ref targets, .. } = *self.data;
        let positions = now.start..now.start + now.batch;
        let rows: Vec<usize> = positions.map(|p| self.row_at(now, p) as usize).collect();
        let x: Vec<Vec<f32>> = rows
            .par_iter()
            .map(|&row| self.data.row(row).iter().map(|&x| self.converted::<O>(x)).collect())
            .collect();
        let residual = |item: usize| {
            let (p, output) = (item / outputs, item % outputs);
            let product = self.product::<O>(&x[p], &model[output * d_padded..][..d_padded]);
            let y = targets[rows[p] * outputs + output];
            residual_of::<O>(self.case.loss, product, now.scale, y)
        };
        let residuals: Vec<f32> = (0..rows.len() * outputs).into_par_iter().map(residual).collect();
        let entry = |at: usize| {
            let (output, column) = (at / d_padded, at % d_padded);
            let term = |p: usize| (residuals[p * outputs + output], x[p][column]);
            let gradient = sum_of_products::<O>(rows.len(), term);
            let decayed = O::fma(-now.decay, model[at], model[at]);
            let updated = O::fma(-now.rate, gradient, decayed);
            let precision = self.case.precision;
            let random = self.random_bits(now, output, column);
            self.stored(precision.accumulator(), precision.rounding(), updated, random)
        };
        (0..model.len()).into_par_iter().map(entry).collect()
    }

    /// A number of the data set as the steps read it, in units of its grid.
    fn converted<O: Ops>(&self, x: f32) -> f32 {
        let scaled = O::mul(x, 1.0 / self.grids.data_step());
        let format = self.case.precision.storage();
        self.read(format, self.stored(format, Rounding::Nearest, scaled, 0))
    }

    /// What a device reads of a number that is stored.
    fn read(&self, format: Format, x: f32) -> f32 {
        let flushed = format == Format::F16 && self.arithmetic.flush_f16_subnormals;
        if flushed && x.abs() < F16_MIN_NORMAL { 0f32.copysign(x) } else { x }
    }

    /// What is stored for a number.
    fn stored(&self, format: Format, rounding: Rounding, x: f32, random: u32) -> f32 {
        let limit = (1i32 << (format.bits() - 1).min(30)) - 1;
        match (format, rounding) {
            (Format::F16, Rounding::Nearest) => round::f16_nearest(x),
            (Format::F16, Rounding::Stochastic) => round::f16_stochastic(x, random),
            (Format::Bf16, Rounding::Nearest) => round::bf16_unpack(round::bf16_nearest(x)),
            (Format::Bf16, Rounding::Stochastic) => {
                // Truncated, and up by one unit where the random bits are below what is cut off.
                let (kept, cut) = (x.to_bits() & 0xffff_0000, x.to_bits() & 0xffff);
                let up = x.is_finite() && random < cut;
                if x.is_nan() { x } else { f32::from_bits(kept + if up { 0x1_0000 } else { 0 }) }
            }
            (Format::Fixed4 | Format::Fixed8 | Format::Fixed16, rounding) => {
                round::integer(x, rounding, random, limit) as f32
            }
            _ => x,
        }
    }

    /// x·w: exact where both are integers of at most 8 bits, else in the order of
    /// `kernels/sgd/dot_f32.wgsl` and `residual_rows.wgsl`.
    fn product<O: Ops>(&self, x: &[f32], w: &[f32]) -> f32 {
        let precision = self.case.precision;
        let small = |format| matches!(format, Format::Fixed4 | Format::Fixed8);
        if small(precision.storage()) && small(precision.accumulator()) {
            return x.iter().zip(w).map(|(&x, &w)| i64::from(x as i32 * w as i32)).sum::<i64>()
                as f32;
        }
        let lane = |lane: usize| {
            let component = |c: usize| {
                let columns = (4 * lane + c..x.len()).step_by(4 * LANES);
                columns.fold(0.0, |sum, e| O::fma(x[e], w[e], sum))
            };
            four::<O>([0, 1, 2, 3].map(component))
        };
        let quarter = |q: usize| four::<O>([0, 1, 2, 3].map(|l| lane(4 * q + l)));
        four::<O>([0, 1, 2, 3].map(quarter))
    }

    /// What rounds a coordinate (`kernels/sgd/model_random.wgsl`): the largest 16 bits that begin with its
    /// random ones.
    fn random_bits(&self, now: &Step, output: usize, column: usize) -> u32 {
        let counter = [(column / 8) as u32, output as u32, now.step, Stream::Model as u32];
        let words = philox4x32(counter, [now.seed, now.trial]);
        let all = words[column % 8 / 2] >> (16 * (column % 2)) & 0xffff;
        let unused = 16 - self.case.rounding_bits;
        (((all >> unused) + 1) << unused) - 1
    }

    /// The row at a position of the step's epoch: `kernels/sgd/shuffle.wgsl`.
    fn row_at(&self, now: &Step, position: u32) -> u32 {
        if self.case.batch >= self.data.n {
            return position;
        }
        let mask = (1u32 << now.half_bits) - 1;
        let mut x = position;
        loop {
            let (mut left, mut right) = (x >> now.half_bits, x & mask);
            for round in 0..6 {
                let counter = [right, round, now.epoch, Stream::Shuffle as u32];
                let mixed = left ^ (philox4x32(counter, [now.seed, now.trial])[0] & mask);
                (left, right) = (right, mixed);
            }
            x = left << now.half_bits | right;
            if x < now.rows {
                return x;
            }
        }
    }
}

fn four<O: Ops>([a, b, c, d]: [f32; 4]) -> f32 {
    O::add(O::add(a, b), O::add(c, d))
}

/// The sum over positions of a minibatch as `kernels/sgd/shape.wgsl` orders it.
fn sum_of_products<O: Ops>(batch: usize, term: impl Fn(usize) -> (f32, f32)) -> f32 {
    let block = |first: usize, end: usize| {
        (first..end.min(first + BLOCK)).fold(0.0, |sum, p| {
            let (residual, x) = term(p);
            O::fma(residual, x, sum)
        })
    };
    let tile = |t: usize| {
        let end = ((t + 1) * TILE).min(batch);
        let blocks = (t * TILE..end).step_by(BLOCK).map(|first| block(first, end));
        blocks.reduce(O::add).unwrap_or(0.0)
    };
    let tiles = batch.div_ceil(TILE);
    let lane = |l: usize| (l..tiles).step_by(LANES).map(tile).reduce(O::add).unwrap_or(0.0);
    (0..tiles.min(LANES)).map(lane).reduce(O::add).unwrap_or(0.0)
}

/// Numbers that differ in their bits, all NaNs being equal.
pub fn differing(a: &[f32], b: &[f32]) -> u64 {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    let unequal = a.iter().zip(b).filter(|&pair| !same(pair)).count();
    (unequal + a.len().abs_diff(b.len())) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Precision;
    use crate::problem::dataset::{DatasetSpec, Loss};
    use crate::workload::sgd::CpuSgd;

    /// The vectorised mirror equals the definition in its first two steps, under each arithmetic;
    /// and one wrong number is found.
    #[test]
    fn the_mirror_equals_its_definition() {
        let fused = Arithmetic {
            fused_fma: true,
            flush_f32_subnormals: false,
            flush_f16_subnormals: false,
        };
        let flushing =
            Arithmetic { fused_fma: false, flush_f32_subnormals: true, flush_f16_subnormals: true };
        for (spec, batches, bits) in [
            (
                DatasetSpec::Figure2 { n: 300, d: 133 },
                &[1, 7, 19, 64, 257, 300][..],
                &[16, 4, 1, 13][..],
            ),
            (DatasetSpec::Figure2 { n: 4500, d: 6 }, &[4400], &[8]),
            (DatasetSpec::Digits, &[33], &[16]),
        ] {
            let data = spec.load(5).unwrap();
            let mut bits = bits.iter().copied().cycle();
            for precision in Precision::SGD {
                for loss in [Loss::LeastSquares, Loss::Logistic] {
                    for (&batch, arithmetic) in batches.iter().zip([fused, flushing].iter().cycle())
                    {
                        let rounding_bits = bits.next().unwrap();
                        let case = SgdCase {
                            loss,
                            seed: 9,
                            rounding_bits,
                            ..SgdCase::new(&data, precision, batch, 2)
                        };
                        let mut cpu = CpuSgd::prepare(&case, &data, *arithmetic).unwrap();
                        cpu.run_trajectory();
                        let grids = *cpu.grids();
                        let definition = Definition {
                            case: &case,
                            data: &data,
                            grids: &grids,
                            arithmetic: *arithmetic,
                        };
                        let mut model = vec![0.0; data.outputs * data.d_padded];
                        for (now, (_, mirror)) in cpu.plan().steps.iter().zip(cpu.snapshots()) {
                            model = definition.step(now, &model);
                            let wrong = differing(&model, &mirror);
                            assert_eq!(wrong, 0, "{spec} {precision} {batch} step {}", now.step);
                        }
                        let mut spoilt = model.clone();
                        spoilt[1] = f32::from_bits(spoilt[1].to_bits() ^ 1);
                        assert_eq!(differing(&model, &spoilt), 1);
                    }
                }
            }
        }
    }
}
