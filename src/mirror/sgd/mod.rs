//! Mirrors of the SGD kernels of `kernels/sgd/`: the same values by the same operations.
//!
//! What is summed in a fixed order on the device is summed in that order here; what is independent
//! there (rows, coordinates) is spread over threads and vector lanes here. Four rows at a time go
//! through residual and gradient while they are in cache, which changes no value.

mod centred;
mod definition;
mod number;
mod rows;
mod shuffle;
mod sums;
mod svrg;
mod team;
mod update;
mod vectorise;

use rayon::prelude::*;

use crate::mirror::reciprocal::reciprocal;
use crate::number::arithmetic::Ops;
use crate::number::{Arithmetic, Rounding};
use crate::problem::dataset::Loss;
use crate::with_ops;
use crate::workload::sgd::Step;

pub use centred::{Centre, change_of};
pub use definition::{Definition, differing};
pub(crate) use number::pack_words;
pub use number::{Bf16, F16, I4, Number};
pub use shuffle::shuffle;
pub use sums::Sums;
pub use svrg::{Grid, Svrg, Way};
use team::{Member, Shared};
pub(crate) use vectorise::vectorise;

/// Rows whose products with their residuals are summed in order before any other.
pub const BLOCK: usize = 16;
/// Consecutive blocks whose sums are joined, in order, before any other: a tile of 256 rows.
pub const TILE: usize = 16;
/// Lanes that share a row's inner product, and lanes that share the sum over tiles.
pub const LANES: usize = 16;
/// Up to so many blocks, each is a unit of work for a thread; beyond it a tile is.
const BLOCKS_APART: usize = 4 * TILE;
/// Coordinates that a thread updates at a time, a multiple of 8.
const PIECE: usize = 256;
/// Fewer multiplications than this in a step are not worth a second thread.
const PARALLEL: usize = 1 << 15;

/// What does not change from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Columns with their padding, a multiple of 4.
    pub d_padded: usize,
    /// Columns of the model.
    pub outputs: usize,
    /// The loss.
    pub loss: Loss,
    /// How updates are rounded to the model's format.
    pub rounding: Rounding,
    /// Random bits of one stochastic rounding, 1 to 16.
    pub rounding_bits: u32,
    /// The arithmetic to follow.
    pub arithmetic: Arithmetic,
    /// Whether an epoch starts with a new order of the rows.
    pub shuffled: bool,
    /// The first step whose model is added to [`Workspace::sums`], if any.
    pub averaged_from: Option<u32>,
    /// Whether the steps are those of variance-reduced SGD about [`Workspace::centre`], which draw
    /// their rows with replacement.
    pub centred: bool,
    /// Whether updates that change nothing are counted.
    pub counts: bool,
}

/// Memory that a step needs beside data and model, kept from step to step.
#[derive(Debug)]
pub struct Workspace {
    /// The model as f32: outputs × d_padded.
    weights: Vec<f32>,
    /// A partial gradient, outputs × d_padded, for each unit of rows.
    partials: Vec<f32>,
    /// Sums of the models that are averaged, outputs × d_padded: the caller's to set to zero. Empty
    /// where none are.
    pub sums: Sums,
    /// What the steps of variance-reduced SGD are about: the caller's to set. Empty for others.
    pub centre: Centre,
    /// Updates that were not 0 and, of them, those that changed nothing, for each piece of the model.
    counts: Vec<[u64; 2]>,
}

impl Workspace {
    /// For minibatches of at most `batch` rows.
    pub fn new(setting: &Setting, batch: usize) -> Self {
        let entries = setting.outputs * setting.d_padded;
        let units = Units::of(batch).count.max(BLOCKS_APART.min(batch.div_ceil(BLOCK)));
        let averaged = if setting.averaged_from.is_some() { entries } else { 0 };
        Self {
            weights: vec![0.0; entries],
            partials: vec![0.0; units * entries],
            sums: Sums::zero(averaged),
            centre: Centre::default(),
            counts: vec![[0; 2]; setting.outputs * setting.d_padded.div_ceil(PIECE)],
        }
    }

    /// Updates of coordinates that were not 0 before they were rounded, and those of them that left
    /// the coordinate as it was, since the last reset. None where they are not counted.
    pub fn updates(&self) -> [u64; 2] {
        self.counts.iter().fold([0; 2], |[all, none], count| [all + count[0], none + count[1]])
    }

    /// Forgets sums and counts.
    pub fn reset(&mut self) {
        self.sums.clear();
        self.counts.fill([0; 2]);
    }
}

/// How the rows of a minibatch are split over threads, and with them its partial gradients.
#[derive(Clone, Copy, Debug)]
struct Units {
    count: usize,
    /// Rows of each, except perhaps the last: a block's or a tile's.
    rows: usize,
}

impl Units {
    fn of(batch: usize) -> Self {
        let apart = batch.div_ceil(BLOCK) <= BLOCKS_APART;
        let rows = if apart { BLOCK } else { BLOCK * TILE };
        Self { count: batch.div_ceil(rows), rows }
    }
}

/// `kernels/sgd/convert.wgsl`: f32 to the data set's format, to nearest, in units of its step.
pub fn convert<D: Number>(arithmetic: Arithmetic, inverse_step: f32, x: &[f32], stored: &mut [D]) {
    const PIECE: usize = 1 << 14;
    with_ops!(arithmetic, O => {
        stored.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(stored, x)| {
            vectorise(
                #[inline(always)]
                || {
                    for (stored, &x) in stored.iter_mut().zip(x) {
                        *stored = D::round(O::mul(x, inverse_step), Rounding::Nearest, 0);
                    }
                },
            );
        });
    });
}

/// The steps in order: `x` is n × d_padded, `targets` n × outputs, `order` the permutation of the
/// epoch that is under way, `model` outputs × d_padded. Of variance-reduced SGD `targets` holds the
/// products with the centre, and `order` a place for each row that is drawn between full gradients.
pub fn run<D: Number, M: Number>(
    setting: &Setting,
    steps: &[Step],
    x: &[D],
    targets: &[f32],
    order: &mut [u32],
    model: &mut [M],
    workspace: &mut Workspace,
) {
    let Workspace { weights, partials, sums, centre, counts } = workspace;
    for (weight, stored) in weights.iter_mut().zip(model.iter()) {
        *weight = stored.load(setting.arithmetic.flush_f16_subnormals);
    }
    let centre = setting.centred.then_some(&*centre);
    if let Some(centre) = centre {
        // Both are whole numbers.
        weights.iter_mut().zip(&centre.origin).for_each(|(weight, origin)| *weight -= origin);
    }
    let [upper, lower] = sums.parts();
    let entries = model.len();
    let largest = steps.iter().map(|now| now.batch as usize).max().unwrap_or(0);
    let members = match Units::of(largest).count.max(entries / PIECE) {
        _ if largest * entries < PARALLEL => 1,
        units => units.min(rayon::current_num_threads()),
    };
    with_ops!(setting.arithmetic, O => {
        let walk = Walk {
            setting,
            x,
            targets,
            centre,
            rows_in_order: order.len(),
            order: Shared::new(order),
            model: Shared::new(model),
            weights: Shared::new(weights),
            partials: Shared::new(partials),
            sums: [Shared::new(upper), Shared::new(lower)],
            counts: Shared::new(counts),
        };
        team::run(members, |member| walk.steps::<O>(member, members, steps));
    });
}

/// A run under way, as all threads see it. Between two barriers each of the shared slices is
/// either read by all, or written in parts, each by the member that claimed it.
struct Walk<'a, D, M> {
    setting: &'a Setting,
    x: &'a [D],
    targets: &'a [f32],
    centre: Option<&'a Centre>,
    rows_in_order: usize,
    order: Shared<'a, u32>,
    model: Shared<'a, M>,
    /// The model as f32, or its offset from the centre.
    weights: Shared<'a, f32>,
    partials: Shared<'a, f32>,
    sums: [Shared<'a, f32>; 2],
    counts: Shared<'a, [u64; 2]>,
}

impl<D: Number, M: Number> Walk<'_, D, M> {
    fn steps<O: Ops>(&self, mut member: Member<'_>, members: usize, steps: &[Step]) {
        let entries = self.setting.outputs * self.setting.d_padded;
        let mut scratch = Vec::new();
        for now in steps {
            if self.setting.shuffled && now.start == 0 {
                self.shuffle(&mut member, now);
            }
            let (units, index) = (Units::of(now.batch as usize), member.index);
            member.share(units.count as u32, |unit| {
                // SAFETY: a unit's partial belongs to the member that claimed it.
                let partial = unsafe { self.partials.write(unit * entries..(unit + 1) * entries) };
                let (first, end) = (unit * units.rows, (unit + 1) * units.rows);
                let start = now.start as usize;
                let rows = start + first..start + end.min(now.batch as usize);
                // What this member will probably claim next: its next unit, or its first of the next step.
                let ahead = if unit + members < units.count {
                    rows.start + members * units.rows
                } else {
                    start + now.batch as usize + index * units.rows
                };
                let ahead = ahead.min(now.rows as usize);
                let ahead = ahead..(ahead + BLOCK).min(now.rows as usize);
                // SAFETY: order, model and weights are written in other parts of a step.
                let (rows, ahead, model, weights) = unsafe {
                    (
                        self.order.read(rows),
                        self.order.read(ahead),
                        self.model.read(0..entries),
                        self.weights.read(0..entries),
                    )
                };
                vectorise(
                    #[inline(always)]
                    || self.unit::<O>(now, rows, ahead, model, weights, partial, &mut scratch),
                );
            });
            let pieces = self.setting.d_padded.div_ceil(PIECE);
            member.share((self.setting.outputs * pieces) as u32, |piece| {
                let (output, first) = (piece / pieces, piece % pieces * PIECE);
                vectorise(
                    #[inline(always)]
                    || self.update::<O>(now, units, output, first),
                );
            });
        }
    }

    /// Draws the epoch's order, or the rows until the next full gradient.
    fn shuffle(&self, member: &mut Member<'_>, now: &Step) {
        const ROWS: usize = 1 << 12;
        let n = self.rows_in_order;
        member.share(n.div_ceil(ROWS) as u32, |part| {
            let range = part * ROWS..((part + 1) * ROWS).min(n);
            let first = range.start;
            // SAFETY: a part of the order belongs to the member that claimed it.
            let order = unsafe { self.order.write(range) };
            match self.setting.centred {
                false => shuffle::part(now, first, order),
                true => shuffle::draw(now, first, order),
            }
        });
    }
}

/// `kernels/sgd/loss_*.wgsl`: derivative of the loss in z = product · scale.
#[inline(always)]
pub fn residual_of<O: Ops>(loss: Loss, product: f32, scale: f32, y: f32) -> f32 {
    match loss {
        Loss::LeastSquares => O::fma(product, scale, -y),
        Loss::Logistic => logistic_residual::<O>(O::mul(product, scale), y),
    }
}

/// `kernels/sgd/loss_logistic.wgsl`, where the method is stated: σ(z) − y.
#[inline(always)]
fn logistic_residual<O: Ops>(z: f32, y: f32) -> f32 {
    let e = exp_negative::<O>(z.abs().min(80.0));
    let inverse = reciprocal::<O>(O::add(1.0, e));
    O::fma(if z.is_sign_negative() { e } else { 1.0 }, inverse, -y)
}

/// `kernels/sgd/exponential.wgsl`: exp(−a) for 0 ≤ a ≤ 80.
#[inline(always)]
fn exp_negative<O: Ops>(a: f32) -> f32 {
    let k = O::fma(a, std::f32::consts::LOG2_E, 0.5).floor();
    let high = O::fma((k as i32 * 355) as f32, 1.0 / 512.0, -a);
    let t = O::fma(k, -2.121_944_4e-4, high);
    let mut p = O::fma(1.987_569_1e-4, t, 1.398_199_9e-3);
    p = O::fma(p, t, 8.333_452e-3);
    p = O::fma(p, t, 4.166_579_6e-2);
    p = O::fma(p, t, 1.666_666_5e-1);
    p = O::fma(p, t, 0.5);
    p = O::fma(p, t, 1.0);
    p = O::fma(p, t, 1.0);
    f32::from_bits(p.to_bits().wrapping_sub((k as u32) << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Model;

    /// Relative error of σ in units of u = 2⁻²⁴. To first order, fma unfused: t = k·ln 2 − a is
    /// at most 0.35 and loses 0.35·2u (k·355/512 is exact, and so is its difference with a); the
    /// last two steps of the polynomial, near 1, lose 1u in each sum and 0.35u in each product,
    /// carried on by factors of at most 0.35 and 1, over e^t ≥ 0.7: so e is off by at most 4u.
    /// s = 1 + e adds 1u to half of that, the last Newton step 3u (product, sum, correction): 6u
    /// for z ≥ 0. With e in the numerator, whose error partly cancels, 4u/2 + 4u + 1u: 7u. Twice
    /// that covers what the first order leaves out.
    fn sigma_error_u<O: Ops>() -> f64 {
        let step = 1.0 / 512.0;
        (-40_960..=40_960)
            .map(|i| {
                let z = (f64::from(i) * step * 1.000_37) as f32;
                let got = f64::from(logistic_residual::<O>(z.clamp(-80.0, 80.0), 0.0));
                let z = f64::from(z.clamp(-80.0, 80.0));
                let exact =
                    if z < 0.0 { z.exp() / (1.0 + z.exp()) } else { 1.0 / (1.0 + (-z).exp()) };
                (got / exact - 1.0).abs() * 2f64.powi(24)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn logistic_keeps_its_bound() {
        let errors = [
            sigma_error_u::<Model<true, false>>(),
            sigma_error_u::<Model<false, false>>(),
            sigma_error_u::<Model<false, true>>(),
        ];
        assert!(errors.iter().all(|&e| e <= 14.0), "{errors:?}");
        println!("largest relative error of sigma, in u: {errors:?}");
    }

    #[test]
    fn logistic_constants_are_the_kernel_s() {
        let text = include_str!("../../../kernels/sgd/exponential.wgsl");
        for (written, used) in [
            ("1.9875691500e-4", 1.987_569_1e-4f32),
            ("1.3981999507e-3", 1.398_199_9e-3),
            ("8.3334519073e-3", 8.333_452e-3),
            ("4.1665795894e-2", 4.166_579_6e-2),
            ("1.6666665459e-1", 1.666_666_5e-1),
            ("5.0000001201e-1", 0.5), // the nearest f32
            ("1.442695040888963407", std::f32::consts::LOG2_E),
            ("-2.12194440e-4", -2.121_944_4e-4),
        ] {
            assert!(text.contains(written));
            assert_eq!(written.parse::<f32>().unwrap(), used);
        }
    }
}
