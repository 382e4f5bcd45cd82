//! LP-SVRG, which its grid holds at a distance from the optimum, and HALP, whose grid shrinks.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::statistics::Estimate;
use super::{
    ARITHMETIC, Experiment, FALSE_ALARM, Purpose, ROWS, Row, ValidationError, key_of, seed_of,
};
use crate::mirror::sgd::{Grid, Svrg};
use crate::number::Precision;
use crate::number::philox::philox4x32;
use crate::number::round::ROUNDING_BITS;
use crate::problem::dataset::{Dataset, DatasetSpec};
use crate::truth::matmul::F64_UNIT;
use crate::truth::sgd::Objective;
use crate::workload::sgd::{Algorithm, CpuSvrg, HALP_MU, SgdCase};

const N: u32 = 1000;
const D: u32 = 100;
const RATE: f64 = 0.1;
/// What the kernels have.
const BITS: u32 = 8;
const MU: f64 = HALP_MU;
/// About the same step, and a reach three times as far.
const WIDE_BITS: u32 = 10;
const WIDE_MU: f64 = 0.01;
/// T: steps between full gradients.
const PERIOD: u32 = 2 * N;
const TRIALS: usize = 16;
/// Full gradients until LP-SVRG has come to rest, and those over which it is then averaged.
const SETTLING: u32 = 10;
const AVERAGED: u32 = 12;
/// Full gradients over which the rate of HALP is taken, after the first that are left out.
const FIRST: u32 = 5;
const LAST: u32 = 25;
/// Full gradients by which HALP has come to the roundoff.
const END: u32 = 45;

/// What one problem gives.
struct Trial {
    /// Root mean square gradient norm of LP-SVRG at rest.
    plateau: f64,
    /// HALP at [`BITS`] and [`MU`], and at [`WIDE_BITS`] and [`WIDE_MU`].
    halp: [Converged; 2],
}

struct Converged {
    /// ln of the factor by which the gradient norm changes from one full gradient to the next.
    rate: f64,
    /// Least gradient norm over the bound on what rounding makes of a gradient of 0.
    end: f64,
    /// Whether, at some full gradient of those that `rate` is of, an offset stood at the end of the grid.
    saturated: bool,
}

/// The seed of a trial's data set, of both halves of its own.
fn data_seed(seed: u64) -> u32 {
    philox4x32([0; 4], key_of(seed))[0]
}

/// Models at the full gradients after each period.
type Models = Vec<Vec<f64>>;

/// By the mirror of the kernels.
fn by_mirror(
    data: &Dataset,
    algorithm: Algorithm,
    periods: u32,
    key: [u32; 2],
) -> Result<Models, ValidationError> {
    let case = SgdCase {
        learning_rate: RATE as f32,
        regularisation: 0.0,
        seed: key[0],
        trial: key[1],
        ..SgdCase::new(data, Precision::D32fM8Sr, 1, periods * PERIOD)
    };
    let mut models = vec![];
    let mut mirror = CpuSvrg::prepare(&case, data, algorithm, ARITHMETIC)?;
    mirror.at_full_gradients(data, &mut |now| models.push(now.model));
    Ok(models)
}

/// On a grid of more bits than the kernels have, in f64.
fn in_f64(objective: Objective, bits: u32, mu: f64, periods: u32, key: [u32; 2]) -> Models {
    let grid = Grid::Centred { bits, mu };
    let svrg = Svrg {
        objective,
        learning_rate: RATE,
        batch: 1,
        period: PERIOD,
        grid,
        key,
        rounding_bits: ROUNDING_BITS,
    };
    let ends: Vec<u32> = (1..=periods).map(|period| period * PERIOD).collect();
    svrg.run(&ends).into_iter().map(|(_, model)| model).collect()
}

impl Converged {
    /// Of HALP's models, on a grid that reaches ‖∇f‖/μ.
    fn of(models: &Models, mu: f64, objective: &Objective, roundoff: f64) -> Self {
        let norms: Vec<f64> = models.iter().map(|model| objective.gradient_norm(model)).collect();
        let [first, last] = [FIRST, LAST].map(|period| period as usize - 1);
        // The sum of centre and offset was rounded.
        let reach = |at: usize| norms[at] / mu * (1.0 - 1e-6);
        let farthest = |at: usize| {
            let offsets =
                models[at + 1].iter().zip(&models[at]).map(|(to, from)| (to - from).abs());
            offsets.fold(0.0, f64::max)
        };
        Self {
            rate: (norms[last] / norms[first]).ln() / f64::from(LAST - FIRST),
            end: norms.iter().copied().fold(f64::INFINITY, f64::min) / roundoff,
            saturated: (first..last).any(|at| farthest(at) >= reach(at)),
        }
    }
}

impl Trial {
    fn of(seed: u64) -> Result<Self, ValidationError> {
        let data = DatasetSpec::Normalised { n: N, d: D }.load(data_seed(seed))?;
        let objective = Objective { data: &data, loss: data.loss, regularisation: 0.0 };
        let key = key_of(seed);
        let stalled = by_mirror(&data, Algorithm::LpSvrg, SETTLING + AVERAGED, key)?;
        let at_rest = &stalled[SETTLING as usize..];
        let square =
            at_rest.iter().map(|model| objective.gradient_norm(model).powi(2)).sum::<f64>();
        let roundoff = gradient_roundoff(&data, &objective.optimum()?.model);
        let narrow = by_mirror(&data, Algorithm::Halp, END, key)?;
        let wide = in_f64(objective, WIDE_BITS, WIDE_MU, END, key);
        Ok(Self {
            plateau: (square / f64::from(AVERAGED)).sqrt(),
            halp: [(narrow, MU), (wide, WIDE_MU)]
                .map(|(models, mu)| Converged::of(&models, mu, &objective, roundoff)),
        })
    }
}

/// Bound on what the roundings of f64 make of a gradient that is 0, but for a probability of
/// [`FALSE_ALARM`]/[`ROWS`]: each coordinate is (1/n)Σ rᵢxᵢⱼ, where rᵢ = xᵢ·w − yᵢ errs by
/// λ√d·u·(|xᵢ|·|w| + |yᵢ|), the sum by λ√n·u·|rᵢxᵢⱼ|, and w by u·|w| (Higham and Mary 2019).
fn gradient_roundoff(data: &Dataset, optimum: &[f64]) -> f64 {
    let (n, d) = (data.n as f64, data.d as f64);
    // 2·exp(−λ²/2) for each rounding of each coordinate.
    let roundings = d * n * (d + 2.0);
    let lambda = (2.0 * (2.0 * roundings * ROWS as f64 / FALSE_ALARM).ln()).sqrt();
    let mut bounds = vec![0.0; data.d_padded];
    for (x, &y) in data.x.chunks(data.d_padded).zip(&data.targets) {
        let terms = || x.iter().zip(optimum).map(|(&x, w)| f64::from(x) * w);
        let absolute = terms().map(f64::abs).sum::<f64>() + f64::from(y).abs();
        let residual = (terms().sum::<f64>() - f64::from(y)).abs();
        let wrong = (lambda * d.sqrt() + 1.0) * absolute + lambda * n.sqrt() * residual;
        bounds.iter_mut().zip(x).for_each(|(b, &x)| *b += wrong * f64::from(x).abs() / n);
    }
    F64_UNIT * bounds.iter().map(|b| b * b).sum::<f64>().sqrt()
}

/// Second moments of centre and offset along the eigenvectors of the Hessian, as SVRG on a grid moves
/// them on average.
struct Moments {
    /// Eigenvalues.
    curvatures: Vec<f64>,
    /// Of the centre's distance from the optimum.
    centre: Vec<f64>,
}

impl Moments {
    /// The Hessian XᵀX/n of standard normal rows over √d: its eigenvalues are those of Marchenko and
    /// Pastur, here their quantiles at (i + ½)/d.
    fn new() -> Self {
        let (d, ratio) = (D as usize, f64::from(D) / f64::from(N));
        let (low, high) = ((1.0 - ratio.sqrt()).powi(2), (1.0 + ratio.sqrt()).powi(2));
        const STEPS: usize = 100_000;
        let width = (high - low) / STEPS as f64;
        let (mut below, mut curvatures) = (0.0, Vec::with_capacity(d));
        for step in 0..STEPS {
            let x = low + (step as f64 + 0.5) * width;
            below += ((x - low) * (high - x)).sqrt() / (2.0 * PI * ratio * x) * width;
            while curvatures.len() < d && below >= (curvatures.len() as f64 + 0.5) / d as f64 {
                curvatures.push(x / d as f64);
            }
        }
        // w* is standard normal, and the first centre is 0.
        Self { centre: vec![1.0; curvatures.len()], curvatures }
    }

    /// ‖∇f‖², the mean.
    fn gradient(&self) -> f64 {
        self.curvatures.iter().zip(&self.centre).map(|(l, c)| l * l * c).sum()
    }

    /// The steps from one full gradient to the next, on a grid of step `delta`.
    fn epoch(&mut self, delta: f64) {
        let d = f64::from(D);
        let gradient = self.gradient() / d;
        // Of the offset, and of its product with the centre.
        let mut offset = vec![0.0; self.curvatures.len()];
        let mut mixed = offset.clone();
        for _ in 0..PERIOD {
            let product: f64 = self.curvatures.iter().zip(&offset).map(|(l, z)| l * z).sum();
            let noise = rounding_noise(delta, product / d, gradient);
            let moments = offset.iter_mut().zip(&mut mixed).zip(&self.centre);
            for (((z, m), c), l) in moments.zip(&self.curvatures) {
                let drift = 2.0 * RATE * l * (*z + *m);
                let sampled = l * product + l * l * (2.0 * *z + 2.0 * *m + c);
                *m -= RATE * l * (*m + c);
                *z += RATE * RATE * sampled - drift + noise;
            }
        }
        for ((c, z), m) in self.centre.iter_mut().zip(&offset).zip(&mixed) {
            *c += 2.0 * m + z;
        }
    }
}

/// Mean square error of rounding a coordinate that a step moves by α(xⱼ·(x·z) + gⱼ), with `product` the
/// mean of (x·z)²/d and `gradient` that of gⱼ²: δ²f(1 − f), f = α|…|/δ, below 1. Given x·z the sum is normal;
/// its mean magnitude is averaged over x·z by the trapezoidal rule.
fn rounding_noise(delta: f64, product: f64, gradient: f64) -> f64 {
    const HALF: i32 = 32;
    let (mut sum, mut weights) = (0.0, 0.0);
    for point in -HALF..=HALF {
        let y = 6.0 * f64::from(point) / f64::from(HALF);
        let weight = (-0.5 * y * y).exp();
        sum += weight * (y * y * product + gradient).sqrt();
        weights += weight;
    }
    let mean = RATE * (2.0 / PI).sqrt() * sum / weights;
    let square = RATE * RATE * (product + gradient);
    (delta * mean - square).max(0.0)
}

/// Gradient norm at which LP-SVRG stays, on a grid of step `delta`.
fn plateau(delta: f64) -> f64 {
    let mut moments = Moments::new();
    (0..SETTLING + AVERAGED).for_each(|_| moments.epoch(delta));
    moments.gradient().sqrt()
}

/// Factor of the gradient norm from one full gradient of HALP to the next, where no offset saturates.
fn contraction(bits: u32, mu: f64) -> f64 {
    let mut moments = Moments::new();
    let mut norms = vec![];
    for _ in 0..LAST {
        let norm = moments.gradient().sqrt();
        moments.epoch(norm / mu / (2f64.powi(bits as i32 - 1) - 1.0));
        norms.push(moments.gradient().sqrt());
    }
    let fall = norms[LAST as usize - 1] / norms[FIRST as usize - 1];
    fall.powf(1.0 / f64::from(LAST - FIRST))
}

/// Why HALP of 8 bits may be slower than predicted.
const SATURATION: &str = "The moments know no end of the grid. At 8 bits and μ = 0.03 an offset reaches \
                          ‖∇f‖/μ, which is too little in some problems: it saturates, and a full \
                          gradient gains less. With a reach three times as far, at about the same \
                          step, the factor is the predicted one: see the row of 10 bits.";

pub(super) fn halp(seed: u32) -> Result<Experiment, ValidationError> {
    let trials: Vec<Trial> = (0..TRIALS)
        .into_par_iter()
        .map(|trial| Trial::of(seed_of(seed, Purpose::Halp, 0, trial)))
        .collect::<Result<_, _>>()?;
    let over =
        |of: &dyn Fn(&Trial) -> f64| Estimate::of(&trials.iter().map(of).collect::<Vec<_>>());
    let rate = |which: usize| over(&|trial| trial.halp[which].rate).map(f64::exp);
    let count = |which: usize, is: fn(&Converged) -> bool| {
        trials.iter().filter(|trial| is(&trial.halp[which])).count()
    };
    let saturated = [0, 1].map(|which| count(which, |halp| halp.saturated));
    let arrived = [0, 1].map(|which| count(which, |halp| halp.end <= 1.0));
    // The range of the models is 8·127/128, which 127 steps of 1/16 reach.
    let (plateau, factors) = rayon::join(
        || plateau(1.0 / 16.0),
        || [contraction(BITS, MU), contraction(WIDE_BITS, WIDE_MU)],
    );
    let factor = |which: usize, bits: u32| {
        let quantity = format!("HALP, {bits} bits: factor of the gradient norm a full gradient");
        Row::estimated(quantity, factors[which], &rate(which))
    };
    let narrow = factor(0, BITS);
    let rows = vec![
        Row::estimated(
            "LP-SVRG, 8 bits: gradient norm at which it stays",
            plateau,
            &over(&|trial| trial.plateau),
        ),
        if saturated[0] > 0 { narrow.because(SATURATION) } else { narrow },
        factor(1, WIDE_BITS),
    ];
    Ok(Experiment {
        title: "HALP goes on where LP-SVRG stalls",
        setup: format!(
            "`normalised-{N}x{D}`: rows standard normal over √d, w* standard normal, noise 0.1. \
             α = {RATE}, one row a step, T = 2n = {PERIOD} steps between full gradients; LP-SVRG on a fixed \
             grid of step 1/16, HALP on one that reaches ‖∇f‖/μ, with μ = {MU} at {BITS} bits and {WIDE_MU} at \
             {WIDE_BITS}. The mirror of `D32fM8-SR` computes what has {BITS} bits; no kernel has {WIDE_BITS}, \
             whose steps are in f64. {TRIALS} problems; LP-SVRG over {AVERAGED} full gradients after \
             {SETTLING}, the factor of HALP over the full gradients {FIRST} to {LAST}, its least norm of {END}."
        ),
        formula: "The second moments of the centre and of the offset along each eigenvector of the \
                  Hessian (eigenvalues of Marchenko and Pastur 1967), step by step: the mean step \
                  contracts them, the one row of a step adds its variance as normal rows do, and \
                  stochastic rounding of a move t adds δ|t| − t² a coordinate. No parameter is fitted.",
        source: "Algorithms: De Sa et al. 2018. The moments are derived in `src/validation/svrg.rs`.",
        remark: remark(saturated, arrived),
        rows,
        ..Experiment::untitled()
    })
}

/// Of how many problems an offset stood at the end of its grid, and how many were solved: random counts,
/// of which nothing is predicted.
fn remark(saturated: [usize; 2], arrived: [usize; 2]) -> String {
    format!(
        "The moments know no end of the grid. With μ = {MU} an offset reaches ‖∇f‖/μ, which is too little in \
         some problems: there it saturates and a full gradient gains less, which makes the interval of the mean \
         factor wide. At {BITS} bits an offset stood at \
         the end of the grid, at one of these full gradients or more, in {} of {TRIALS} problems; at \
         {WIDE_BITS} bits and μ = {WIDE_MU}, about the same step and three times the reach, in {}. The \
         gradient norm of HALP came down to the roundoff of f64 in {} of {TRIALS} problems at {BITS} bits, in \
         {} at {WIDE_BITS}: to what the roundings of the gradient's own sum may be, by the probabilistic \
         bound of Higham and Mary 2019. Where LP-SVRG stays depends on the scale of the problem: here the grid \
         reaches 8 standard deviations of w*, and a wider one stays further away.",
        saturated[0], saturated[1], arrived[0], arrived[1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Fixed;

    /// What is predicted is of the grid and the period that the mirror has.
    #[test]
    fn the_mirror_has_this_period_and_grid() {
        let data = DatasetSpec::Normalised { n: N, d: D }.load(1).unwrap();
        assert_eq!(Algorithm::period(data.n, 1), PERIOD);
        assert_eq!(Fixed::covering(data.model_range, BITS).step(), 1.0 / 16.0);
        let case = SgdCase::new(&data, Precision::D32fM8Sr, 1, PERIOD);
        let mirror = CpuSvrg::prepare(&case, &data, Algorithm::Halp, ARITHMETIC).unwrap();
        assert_eq!(mirror.outer().grid(), Grid::Centred { bits: BITS, mu: MU });
    }

    /// Of two seeds no data set of any trial is the same.
    #[test]
    fn another_seed_draws_other_data() {
        let seeds = [1, 2].map(|seed| {
            (0..TRIALS).map(move |trial| data_seed(seed_of(seed, Purpose::Halp, 0, trial)))
        });
        let mut seeds: Vec<u32> = seeds.into_iter().flatten().collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 2 * TRIALS);
        let of = |seed| {
            let seed = data_seed(seed_of(seed, Purpose::Halp, 0, 0));
            DatasetSpec::Normalised { n: 4, d: 3 }.load(seed).unwrap().x
        };
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }

    /// A law with mean 1 and variance d/n (times 1/d): so are the quantiles, but for their spacing.
    #[test]
    fn eigenvalues_have_the_moments_of_their_law() {
        let l = Moments::new().curvatures;
        let d = f64::from(D);
        assert_eq!(l.len(), D as usize);
        let mean = l.iter().sum::<f64>();
        let square = l.iter().map(|l| l * l).sum::<f64>() * d;
        assert!((mean - 1.0).abs() < 1e-3, "{mean}");
        assert!((square - 1.1).abs() < 1e-3, "{square}");
    }

    /// Without a row's own noise |t| is that of one normal number: √(2/π)·σ.
    #[test]
    fn noise_is_that_of_a_two_point_rounding() {
        let sigma = RATE * 0.01;
        let expected = 0.5 * (2.0 / PI).sqrt() * sigma - sigma * sigma;
        assert!((rounding_noise(0.5, 0.0, 1e-4) - expected).abs() < 1e-15);
    }
}
