//! SVRG in low precision and bit-centred SVRG (De Sa, Leszczynski, Zhang, Marzoev, Aberger, Olukotun,
//! Ré, "High-accuracy low-precision training", arXiv 1803.03383: LP-SVRG and HALP), all in
//! f64 but for the numbers of the model. There is no kernel for them: this is their definition.

use crate::number::Fixed;
use crate::number::philox::{Stream, philox4x32};
use crate::problem::dataset::Loss;
use crate::truth::sgd::{Objective, dot, sigmoid};

/// The grid that the model is kept on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grid {
    /// The same throughout: LP-SVRG.
    Fixed(Fixed),
    /// About a centre that each full gradient g moves, of so many bits, reaching ‖g‖/μ: HALP.
    Centred {
        /// Bits of an offset.
        bits: u32,
        /// μ.
        mu: f64,
    },
}

/// A run's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Svrg<'a> {
    /// What is minimised.
    pub objective: Objective<'a>,
    /// α.
    pub learning_rate: f64,
    /// Rows drawn for a step, with replacement.
    pub batch: usize,
    /// Steps between full gradients.
    pub period: u32,
    /// The grid.
    pub grid: Grid,
    /// Seed and trial.
    pub key: [u32; 2],
}

/// Round of the shuffle's stream that its network never reaches: the counters that draw rows here.
const DRAWS: u32 = u32::MAX;

impl Svrg<'_> {
    /// The models (outputs × d_padded) after each of the ascending numbers of steps, from zero.
    pub fn run(&self, checkpoints: &[u32]) -> Vec<(u32, Vec<f64>)> {
        let data = self.objective.data;
        let entries = data.outputs * data.d_padded;
        let mut state = State {
            centre: vec![0.0; entries],
            offset: vec![0.0; entries],
            gradient: vec![],
            products: vec![],
            step: 1.0,
        };
        let mut models = Vec::with_capacity(checkpoints.len());
        for now in 0..checkpoints.last().copied().unwrap_or(0) {
            if now % self.period == 0 {
                self.recentre(&mut state);
            }
            self.step(now, &mut state);
            if checkpoints.contains(&(now + 1)) {
                models.push((now + 1, state.model()));
            }
        }
        models
    }

    fn recentre(&self, state: &mut State) {
        let data = self.objective.data;
        state.centre = state.model();
        state.offset.fill(0.0);
        state.gradient = self.objective.gradient(&state.centre);
        let rows = (0..data.n).map(|i| data.row(i));
        let models = || state.centre.chunks(data.d_padded);
        state.products = rows.flat_map(|x| models().map(move |w| dot(x, w))).collect();
        state.step = match self.grid {
            Grid::Fixed(fixed) => fixed.step().into(),
            Grid::Centred { bits, mu } => {
                let norm = state.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                norm / mu / limit(bits)
            }
        };
    }

    /// w ← Q(w − α(∇f_B(w) − ∇f_B(centre) + ∇f(centre))).
    fn step(&self, now: u32, state: &mut State) {
        let data = self.objective.data;
        let (d, outputs) = (data.d_padded, data.outputs);
        let lambda = self.objective.regularisation;
        let mut direction: Vec<f64> =
            state.gradient.iter().zip(&state.offset).map(|(g, z)| g + lambda * z).collect();
        for k in 0..self.batch {
            let counter = [now, DRAWS, k as u32, Stream::Shuffle as u32];
            let word = philox4x32(counter, self.key)[0];
            let row = ((u64::from(word) * data.n as u64) >> 32) as usize;
            let x = data.row(row);
            let models = state.offset.chunks(d).zip(direction.chunks_mut(d));
            for (output, (z, direction)) in models.enumerate() {
                let at = state.products[row * outputs + output];
                let change = residual_change(self.objective.loss, at, dot(x, z));
                let weight = change / self.batch as f64;
                direction.iter_mut().zip(x).for_each(|(g, &x)| *g += weight * f64::from(x));
            }
        }
        let (bits, centred) = match self.grid {
            Grid::Fixed(fixed) => (fixed.bits, false),
            Grid::Centred { bits, .. } => (bits, true),
        };
        for (at, (z, g)) in state.offset.iter_mut().zip(direction).enumerate() {
            // On a fixed grid the model itself lies, of which the centre is a point: both sums exact.
            let origin = if centred { 0.0 } else { state.centre[at] };
            let moved = origin + *z - self.learning_rate * g;
            let random = random_bits(now, at / d, at % d, self.key);
            *z = quantize(moved, state.step, limit(bits), random) - origin;
        }
    }
}

struct State {
    centre: Vec<f64>,
    /// The model less the centre.
    offset: Vec<f64>,
    /// Of the objective at the centre.
    gradient: Vec<f64>,
    /// x·w of each row and output at the centre.
    products: Vec<f64>,
    /// Distance of neighbours on the grid.
    step: f64,
}

impl State {
    fn model(&self) -> Vec<f64> {
        self.centre.iter().zip(&self.offset).map(|(c, z)| c + z).collect()
    }
}

/// The largest integer of so many bits: grids are symmetric.
fn limit(bits: u32) -> f64 {
    f64::from((1u32 << (bits - 1)) - 1)
}

/// Residual at z = at + by less that at `at`. Least squares is linear: offsets below the roundoff of
/// `at` still count, which is what lets HALP pass the precision of a sum.
fn residual_change(loss: Loss, at: f64, by: f64) -> f64 {
    match loss {
        Loss::LeastSquares => by,
        Loss::Logistic => sigmoid(at + by) - sigmoid(at),
    }
}

/// x rounded stochastically to a multiple of `step`, of at most `limit` steps: the magnitude goes up
/// where the 16 random bits are below the dropped fraction.
fn quantize(x: f64, step: f64, limit: f64, random: u32) -> f64 {
    if step == 0.0 {
        return 0.0;
    }
    let magnitude = (x.abs() / step).min(limit);
    let whole = magnitude.floor();
    let up = random < ((magnitude - whole) * 65536.0) as u32;
    (whole + f64::from(u8::from(up))) * step * x.signum()
}

fn random_bits(now: u32, output: usize, column: usize, key: [u32; 2]) -> u32 {
    let counter = [(column / 8) as u32, output as u32, now, Stream::Model as u32];
    philox4x32(counter, key)[column % 8 / 2] >> (16 * (column % 2)) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::dataset::DatasetSpec;

    /// n = 1000, d = 100, α = 0.1, T = 2n, 8 bits, μ = 0.03, on rows of norm about 1 and a w* of
    /// standard normal numbers. LP-SVRG stays at a gradient norm of 2e-2 (within a factor of two at
    /// each of the last ten full gradients), where its grid of step 1/16 holds it. HALP goes on to the
    /// roundoff of the gradient itself, u·‖mean |rᵢ||xᵢ|‖, of which ten times is allowed.
    #[test]
    fn halp_converges_where_lp_svrg_stalls() {
        let data = DatasetSpec::Normalised { n: 1000, d: 100 }.load(1).unwrap();
        let objective = Objective { data: &data, loss: data.loss, regularisation: 0.0 };
        let period = 2 * data.n as u32;
        let run = |grid, epochs: u32| -> Vec<f64> {
            let svrg = Svrg { objective, learning_rate: 0.1, batch: 1, period, grid, key: [1, 0] };
            let checkpoints: Vec<u32> = (1..=epochs).map(|epoch| epoch * period).collect();
            let models = svrg.run(&checkpoints);
            models.iter().map(|(_, model)| objective.gradient_norm(model)).collect()
        };
        let stalled = run(Grid::Fixed(Fixed::covering(data.model_range, 8)), 30);
        let centred = run(Grid::Centred { bits: 8, mu: 0.03 }, 50);
        println!("LP-SVRG {:?}\nHALP {:?}", &stalled[20..], &centred[..]);
        assert!(stalled[20..].iter().all(|norm| (1e-2..4e-2).contains(norm)), "{stalled:?}");
        let optimum = objective.optimum().unwrap().model;
        let mut roundoff = vec![0.0; data.d_padded];
        for i in 0..data.n {
            let x = data.row(i);
            let residual = (dot(x, &optimum) - f64::from(data.targets[i])).abs();
            roundoff.iter_mut().zip(x).for_each(|(sum, &x)| {
                *sum += residual * f64::from(x).abs() / data.n as f64;
            });
        }
        let roundoff = f64::EPSILON * roundoff.iter().map(|r| r * r).sum::<f64>().sqrt();
        let reached = centred.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(reached <= 10.0 * roundoff, "{reached:e} against {roundoff:e}");
        assert!(roundoff < 1e-16, "{roundoff:e}");
        // In between it converges linearly: at least by half between full gradients.
        let pairs = centred.windows(2).take_while(|pair| pair[1] > 1e3 * roundoff);
        let worst = pairs.map(|pair| pair[1] / pair[0]).fold(0.0, f64::max);
        assert!(worst < 0.7, "{worst}");
    }

    #[test]
    fn points_of_the_grid_stay_and_others_are_unbiased() {
        for random in [0, 0x7fff, 0xffff] {
            for k in -127..=127 {
                let x = f64::from(k) * 0.25;
                assert_eq!(quantize(x, 0.25, 127.0, random), x);
            }
            assert_eq!(quantize(-1e9, 0.25, 127.0, random), -31.75);
        }
        let ups = (0..0x1_0000).filter(|&r| quantize(-0.1, 0.25, 127.0, r) == -0.25).count();
        assert_eq!(ups, (0.4f64 * 65536.0) as usize);
        assert_eq!(quantize(1.0, 0.0, 127.0, 0), 0.0);
    }
}
