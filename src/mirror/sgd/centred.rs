//! What the steps of variance-reduced SGD (LP-SVRG, HALP) do unlike plain ones: `kernels/sgd/centre.wgsl`,
//! `change_*.wgsl` and `apply_centred.wgsl`.

use super::{Number, exp_negative};
use crate::mirror::reciprocal::reciprocal;
use crate::number::Rounding;
use crate::number::arithmetic::Ops;
use crate::problem::dataset::Loss;
use crate::workload::sgd::Step;

/// What the host gives the steps between two full gradients, in units of the grid's step δ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Centre {
    /// The centre, where the model is kept on a fixed grid; 0 where it is kept as an offset. Outputs ×
    /// d_padded.
    pub origin: Vec<f32>,
    /// α/δ times the full gradient at the centre.
    pub full: Vec<f32>,
    /// δ.
    pub grid_step: f32,
}

impl Centre {
    /// Its numbers in the order of the kernels' buffer, δ followed by three zeros.
    pub fn numbers(&self) -> Vec<f32> {
        [&self.origin[..], &self.full, &[self.grid_step, 0.0, 0.0, 0.0]].concat()
    }
}

/// `kernels/sgd/change_*.wgsl`, where the method is stated: by how much the residual differs between
/// model and centre, over δ, from the product of row and offset in units of δ.
#[inline(always)]
pub fn change_of<O: Ops>(loss: Loss, product: f32, grid_step: f32, at_centre: f32) -> f32 {
    if loss == Loss::LeastSquares {
        return product;
    }
    let b = O::mul(product, grid_step);
    let turn = b.to_bits() & 0x8000_0000;
    let [t, a] = [b, at_centre].map(|x| f32::from_bits(x.to_bits() ^ turn));
    let both = O::mul(sigma::<O>(-a), sigma::<O>(O::add(a, t)));
    O::mul(O::mul(product, phi::<O>(t)), both)
}

#[inline(always)]
fn sigma<O: Ops>(z: f32) -> f32 {
    let e = exp_negative::<O>(z.abs().min(80.0));
    O::mul(if z.is_sign_negative() { e } else { 1.0 }, reciprocal::<O>(O::add(1.0, e)))
}

/// (1 − exp(−t))/t for t ≥ 0.
#[inline(always)]
fn phi<O: Ops>(t: f32) -> f32 {
    let mut p = O::fma(-2.480_158_7e-5, t, 1.984_127e-4);
    p = O::fma(p, t, -1.388_888_9e-3);
    p = O::fma(p, t, 8.333_333e-3);
    p = O::fma(p, t, -4.166_666_7e-2);
    p = O::fma(p, t, 1.666_666_7e-1);
    p = O::fma(p, t, -0.5);
    p = O::fma(p, t, 1.0);
    let far = t.clamp(0.5, 1e30);
    let q = O::mul(O::add(1.0, -exp_negative::<O>(far.min(80.0))), reciprocal::<O>(far));
    if t < 0.5 { p } else { q }
}

/// `kernels/sgd/apply_centred.wgsl`, number by number: `offsets` are those of the model.
#[inline(always)]
pub(super) fn apply<O: Ops, M: Number>(
    now: &Step,
    [origin, full]: [&[f32]; 2],
    gradient: &[f32],
    random: &[u32],
    model: &mut [M],
    offsets: &mut [f32],
) {
    let given = gradient.iter().zip(random).zip(origin.iter().zip(full));
    for ((stored, z), ((&g, &random), (&origin, &full))) in model.iter_mut().zip(offsets).zip(given)
    {
        let decayed = O::fma(-now.decay, *z, *z);
        let moved = O::fma(-now.rate, g, O::add(decayed, -full));
        *stored = M::round(O::add(origin, moved), Rounding::Stochastic, random);
        *z = O::add(stored.load(false), -origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Model;

    /// σ is within 14u (as the plain residual's), twice; φ loses 4u below 1/2 and less than
    /// (4·0.61/0.39 + 1 + 6)u = 14u above, its polynomial's rest at most 2⁻²⁶ = u/4; three products
    /// and b, whose rounding changes the logarithm of φ by at most u and that of σ by |b|u, as the rounding
    /// of a + b does by |a + b|u. Twice that covers what the first order leaves out.
    #[test]
    fn changes_are_relatively_accurate_however_small() {
        fn check<O: Ops>() {
            let mut worst = 0.0f64;
            for i in -64..=64 {
                let a = i as f32 * 0.3;
                for exponent in -120..6 {
                    for sign in [-1.0, 1.0] {
                        let (step, product) = (2f32.powi(exponent - 6) * 1.1, sign * 64.7);
                        let got = f64::from(change_of::<O>(Loss::Logistic, product, step, a));
                        let (wide, by) = (f64::from(a), f64::from(product) * f64::from(step));
                        // σ(a)σ(−a − b)(e^b − 1): another form, whose terms are as accurate in f64.
                        let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
                        let exact = sigma(wide) * sigma(-wide - by) * by.exp_m1() / f64::from(step);
                        let u = 2f64.powi(-24);
                        let bound = 2.0 * u * (28.0 + 14.25 + 4.0 + (wide + by).abs() + by.abs());
                        let error = (got / exact - 1.0).abs();
                        assert!(error <= bound, "a = {a}, b = {by:e}: {got:e}, not {exact:e}");
                        worst = worst.max(error / bound);
                    }
                }
            }
            println!("largest part of the bound: {worst:.3}");
        }
        check::<Model<false, false>>();
        check::<Model<true, false>>();
    }
}
