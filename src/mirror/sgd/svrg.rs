//! SVRG in low precision and bit-centred SVRG (De Sa, Leszczynski, Zhang, Marzoev, Aberger, Olukotun,
//! Ré, "High-accuracy low-precision training", arXiv 1803.03383: LP-SVRG and HALP), all in
//! f64 but for the numbers of the model: what is measured, whose steps are f32, is held to it.

use super::shuffle::DRAWS;
use crate::number::Fixed;
use crate::number::philox::{Stream, philox4x32};
use crate::problem::dataset::{Dataset, Loss};
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
    /// Random bits of one stochastic rounding, 1 to 16.
    pub rounding_bits: u32,
}

impl Svrg<'_> {
    /// The models (outputs × d_padded) after each of the ascending numbers of steps, from zero.
    pub fn run(&self, checkpoints: &[u32]) -> Vec<(u32, Vec<f64>)> {
        let data = self.objective.data;
        let mut state = State::zero(data);
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
        let [moved, _] = self.moved(now, state);
        let d = self.objective.data.d_padded;
        let limit = limit(self.bits());
        for (at, (z, moved)) in state.offset.iter_mut().zip(moved).enumerate() {
            let random = self.random(now, at / d, at % d);
            *z = quantize(moved, state.step, limit, random) - self.origin(&state.centre, at);
        }
    }

    /// Where a step takes each coordinate before it is rounded, and by how much at most that is off where
    /// the kernels compute it in f32.
    ///
    /// To first order and then doubled, u = 2⁻²⁴: a product x·z by (d + 8)u |x|·|z|, which changes the
    /// logistic residual by a quarter of it; the change of that residual by what `change_of` loses, with u
    /// more for its argument at the centre and 2u for the grid's step; the sum over b rows by (b + 8)u of
    /// its absolute values; rate, decay and the scaled full gradient, and the four sums of the update, by
    /// 10u of its terms; and the sum with a fixed grid's centre by 2u of that.
    fn moved(&self, now: u32, state: &State) -> [Vec<f64>; 2] {
        const U: f64 = 1.0 / 16_777_216.0;
        let data = self.objective.data;
        let (d, outputs, loss) = (data.d_padded, data.outputs, self.objective.loss);
        let lambda = self.objective.regularisation;
        let [mut changes, mut sizes, mut errors] = [(); 3].map(|()| vec![0.0; state.offset.len()]);
        let (b, of_product) = (self.batch as f64, U * (data.d as f64 + 8.0));
        for k in 0..self.batch {
            let counter = [now, DRAWS, k as u32, Stream::Shuffle as u32];
            let word = philox4x32(counter, self.key)[0];
            let row = ((u64::from(word) * data.n as u64) >> 32) as usize;
            let x = data.row(row);
            for (output, z) in state.offset.chunks(d).enumerate() {
                let at = state.products[row * outputs + output];
                let by = dot(x, z);
                let change = residual_change(loss, at, by);
                let absolute: f64 =
                    x.iter().zip(z).map(|(&x, z)| f64::from(x).abs() * z.abs()).sum();
                let error = match loss {
                    Loss::LeastSquares => of_product * absolute,
                    Loss::Logistic => {
                        let lost = 48.25 + (at + by).abs() + by.abs() + at.abs();
                        0.25 * of_product * absolute + 2.0 * U * lost * change.abs()
                    }
                };
                let error = error + U * (b + 8.0) * change.abs();
                for (j, &x) in x.iter().enumerate() {
                    let x = f64::from(x);
                    changes[output * d + j] += change * x;
                    sizes[output * d + j] += change.abs() * x.abs();
                    errors[output * d + j] += error * x.abs();
                }
            }
        }
        let alpha = self.learning_rate;
        let coordinate = |at: usize| {
            let (z, full) = (state.offset[at], state.gradient[at]);
            let origin = self.origin(&state.centre, at);
            let moved = origin + z - alpha * (full + lambda * z + changes[at] / b);
            let terms = z.abs() * (1.0 + alpha * lambda) + alpha * (full.abs() + sizes[at] / b);
            let error = alpha / b * errors[at] + U * (10.0 * terms + 2.0 * origin.abs());
            (moved, 2.0 * error)
        };
        let (moved, errors) = (0..changes.len()).map(coordinate).unzip();
        [moved, errors]
    }

    /// The random bits that round a coordinate.
    fn random(&self, now: u32, output: usize, column: usize) -> Random {
        let counter = [(column / 8) as u32, output as u32, now, Stream::Model as u32];
        let half = philox4x32(counter, self.key)[column % 8 / 2] >> (16 * (column % 2)) & 0xffff;
        Random { value: half >> (16 - self.rounding_bits), bits: self.rounding_bits }
    }

    fn bits(&self) -> u32 {
        match self.grid {
            Grid::Fixed(fixed) => fixed.bits,
            Grid::Centred { bits, .. } => bits,
        }
    }

    /// What is added to an offset before it is rounded: on a fixed grid the model itself lies, of which
    /// the centre is a point, so that both sums are exact.
    fn origin(&self, centre: &[f64], at: usize) -> f64 {
        match self.grid {
            Grid::Fixed(_) => centre[at],
            Grid::Centred { .. } => 0.0,
        }
    }
}

/// A run of the kernels or their mirror, followed step by step: what each step may do is computed here
/// in f64, coordinate by coordinate, from what was stored before it.
pub struct Way<'a> {
    svrg: Svrg<'a>,
    state: State,
    now: u32,
}

impl<'a> Way<'a> {
    /// From the zero model on.
    pub fn new(svrg: Svrg<'a>) -> Self {
        Self { svrg, state: State::zero(svrg.objective.data), now: 0 }
    }

    /// The least and the largest number that each coordinate may be stored as after the next step, in
    /// steps of the grid: they differ only where the random bits are within the error of f32 arithmetic
    /// of what they are compared with.
    pub fn foresee(&mut self) -> Vec<[f64; 2]> {
        let Self { svrg, state, now } = self;
        if *now % svrg.period == 0 {
            svrg.recentre(state);
        }
        let d = svrg.objective.data.d_padded;
        let [moved, errors] = svrg.moved(*now, state);
        let range = |(at, (moved, error)): (usize, (&f64, &f64))| {
            let random = svrg.random(*now, at / d, at % d);
            // Rounding is monotone for the same random bits.
            [moved - error, moved + error].map(|x| whole(x, state.step, limit(svrg.bits()), random))
        };
        moved.iter().zip(&errors).enumerate().map(range).collect()
    }

    /// Goes on from what the step that [`Way::foresee`] foresaw stored, in steps of the grid.
    pub fn advance(&mut self, stored: &[f32]) {
        let Self { svrg, state, now } = self;
        for (at, (z, &q)) in state.offset.iter_mut().zip(stored).enumerate() {
            *z = f64::from(q) * state.step - svrg.origin(&state.centre, at);
        }
        *now += 1;
    }

    /// The model: outputs × d_padded.
    pub fn model(&self) -> Vec<f64> {
        self.state.model()
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
    fn zero(data: &Dataset) -> Self {
        let zero = vec![0.0; data.outputs * data.d_padded];
        Self { centre: zero.clone(), offset: zero, gradient: vec![], products: vec![], step: 1.0 }
    }

    fn model(&self) -> Vec<f64> {
        self.centre.iter().zip(&self.offset).map(|(c, z)| c + z).collect()
    }
}

/// The largest integer of so many bits: grids are symmetric.
fn limit(bits: u32) -> f64 {
    f64::from((1u32 << (bits - 1)) - 1)
}

/// Residual at z = at + by less that at `at`, without subtracting the two: offsets below the roundoff of
/// `at` still count, which is what lets HALP pass the precision of a sum.
fn residual_change(loss: Loss, at: f64, by: f64) -> f64 {
    match loss {
        Loss::LeastSquares => by,
        Loss::Logistic if by < 0.0 => sigmoid(at) * sigmoid(-at - by) * by.exp_m1(),
        Loss::Logistic => -sigmoid(-at) * sigmoid(at + by) * (-by).exp_m1(),
    }
}

/// Random bits as a whole number.
#[derive(Clone, Copy)]
struct Random {
    value: u32,
    bits: u32,
}

/// x rounded stochastically to a multiple of `step`, of at most `limit` steps: the magnitude goes up
/// where the random bits are below as many bits of the dropped fraction.
fn quantize(x: f64, step: f64, limit: f64, random: Random) -> f64 {
    whole(x, step, limit, random) * step
}

/// The multiple itself.
fn whole(x: f64, step: f64, limit: f64, random: Random) -> f64 {
    if step == 0.0 {
        return 0.0;
    }
    let magnitude = (x.abs() / step).min(limit);
    let down = magnitude.floor();
    let up = random.value < ((magnitude - down) * f64::from(1 << random.bits)) as u32;
    (down + f64::from(u8::from(up))) * x.signum()
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
            let (learning_rate, key) = (0.1, [1, 0]);
            let svrg =
                Svrg { objective, learning_rate, batch: 1, period, grid, key, rounding_bits: 16 };
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
        // In between it converges linearly: at least by half between full gradients. No theorem gives that
        // constant; the mean over other problems is 0.40 (docs/VALIDATION.md).
        let pairs = centred.windows(2).take_while(|pair| pair[1] > 1e3 * roundoff);
        let worst = pairs.map(|pair| pair[1] / pair[0]).fold(0.0, f64::max);
        assert!(worst < 0.5, "{worst}");
    }

    #[test]
    fn points_of_the_grid_stay_and_others_are_unbiased() {
        for bits in [1, 4, 16] {
            let of = |value| Random { value, bits };
            for random in [0, (1 << bits) / 2 - 1, (1 << bits) - 1].map(of) {
                for k in -127..=127 {
                    let x = f64::from(k) * 0.25;
                    assert_eq!(quantize(x, 0.25, 127.0, random), x);
                }
                assert_eq!(quantize(-1e9, 0.25, 127.0, random), -31.75);
            }
            let up = |&value: &u32| quantize(-0.1, 0.25, 127.0, of(value)) == -0.25;
            // Up to the bits that are cut off.
            let ups = (0..1 << bits).filter(up).count();
            assert_eq!(ups, (0.4 * f64::from(1 << bits)) as usize, "{bits} bits");
            assert_eq!(quantize(1.0, 0.0, 127.0, of(0)), 0.0);
        }
    }
}
