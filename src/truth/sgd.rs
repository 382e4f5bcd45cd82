//! Truth of SGD in f64, on the f32 data set before any conversion: the trajectory over the same
//! minibatches, the optimum, and the losses that models are judged by.

use rayon::prelude::*;

use crate::mirror::sgd::{shuffle, vectorise};
use crate::problem::dataset::{Dataset, Loss};
use crate::workload::sgd::{Plan, SgdCase};

/// Rows that one thread sums before the sums are joined in order.
const BLOCK: usize = 64;
/// Fewer multiplications than this are not worth a second thread.
const PARALLEL: usize = 1 << 17;
/// Rows whose f64 copy is held at a time for the Gram matrix.
const GRAM_ROWS: usize = 4096;

/// The objective `mean over rows of Σ over outputs of loss + λ/2·‖W‖²`, in f64.
/// Models are outputs × d_padded with zero padding.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a> {
    /// The data set.
    pub data: &'a Dataset,
    /// The loss.
    pub loss: Loss,
    /// λ.
    pub regularisation: f64,
}

/// The minimiser of an [`Objective`].
#[derive(Clone, Debug)]
pub struct Optimum {
    /// The model: outputs × d_padded.
    pub model: Vec<f64>,
    /// Its loss.
    pub loss: f64,
    /// Euclidean norm of its gradient: how far it is from exact.
    pub gradient_norm: f64,
}

/// Why there is no optimum.
#[derive(Debug, thiserror::Error)]
pub enum OptimumError {
    /// The Hessian has a pivot that is not positive.
    #[error("the Hessian is singular at column {column}; choose a regularisation over 0")]
    Singular {
        /// The column.
        column: usize,
    },
    /// Newton's method stopped short.
    #[error(
        "Newton's method stopped at gradient norm {gradient_norm:e}; choose a larger regularisation"
    )]
    Stalled {
        /// Where it stopped.
        gradient_norm: f64,
    },
}

impl<'a> Objective<'a> {
    /// The objective of a case.
    pub fn new(case: &SgdCase, data: &'a Dataset) -> Self {
        Self { data, loss: case.loss, regularisation: case.regularisation.into() }
    }

    /// Its value at `model`.
    pub fn value(&self, model: &[f64]) -> f64 {
        let Dataset { n, d_padded, outputs, ref targets, .. } = *self.data;
        let block = |first: usize| -> f64 {
            let rows = first..(first + BLOCK).min(n);
            let losses = rows.flat_map(|i| {
                let x = self.data.row(i);
                model
                    .chunks(d_padded)
                    .zip(&targets[i * outputs..])
                    .map(move |(w, &y)| point_loss(self.loss, dot(x, w), y.into()))
            });
            losses.sum()
        };
        let blocks: Vec<f64> =
            (0..n.div_ceil(BLOCK)).into_par_iter().map(|b| block(b * BLOCK)).collect();
        blocks.iter().sum::<f64>() / n as f64 + 0.5 * self.regularisation * norm2(model)
    }

    /// Its gradient at `model`: outputs × d_padded.
    pub fn gradient(&self, model: &[f64]) -> Vec<f64> {
        let rows: Vec<u32> = (0..self.data.n as u32).collect();
        let mut gradient = self.row_sum(model, &rows);
        let n = self.data.n as f64;
        gradient.iter_mut().zip(model).for_each(|(g, w)| *g = *g / n + self.regularisation * w);
        gradient
    }

    /// Euclidean norm of its gradient at `model`.
    pub fn gradient_norm(&self, model: &[f64]) -> f64 {
        norm2(&self.gradient(model)).sqrt()
    }

    /// Σ over rows of residual times row.
    fn row_sum(&self, model: &[f64], rows: &[u32]) -> Vec<f64> {
        if rows.len() * model.len() < PARALLEL {
            return self.block_sum(model, rows);
        }
        let blocks: Vec<_> =
            rows.par_chunks(BLOCK * 4).map(|rows| self.block_sum(model, rows)).collect();
        let mut sum = vec![0.0; model.len()];
        for block in blocks {
            sum.iter_mut().zip(block).for_each(|(s, b)| *s += b);
        }
        sum
    }

    fn block_sum(&self, model: &[f64], rows: &[u32]) -> Vec<f64> {
        let Dataset { d_padded, outputs, ref targets, .. } = *self.data;
        let mut sum = vec![0.0; model.len()];
        vectorise(
            #[inline(always)]
            || {
                for &row in rows {
                    let x = self.data.row(row as usize);
                    let targets = &targets[row as usize * outputs..];
                    for ((w, sum), &y) in
                        model.chunks(d_padded).zip(sum.chunks_mut(d_padded)).zip(targets)
                    {
                        let r = residual(self.loss, dot(x, w), y.into());
                        sum.iter_mut().zip(x).for_each(|(s, &x)| *s += r * f64::from(x));
                    }
                }
            },
        );
        sum
    }

    /// The models that exact arithmetic would reach: at each checkpoint of the plan, from the zero
    /// model, with the case's learning rate and the plan's minibatches.
    pub fn trajectory(&self, case: &SgdCase, plan: &Plan) -> Vec<(u32, Vec<f64>)> {
        self.trajectory_and_mean(case, plan, 1).0
    }

    /// [`Objective::trajectory`], and the mean of the models after the last `models` steps: outputs ×
    /// d_padded.
    pub fn trajectory_and_mean(
        &self,
        case: &SgdCase,
        plan: &Plan,
        models: u32,
    ) -> (Vec<(u32, Vec<f64>)>, Vec<f64>) {
        let mut model = vec![0.0; self.data.outputs * self.data.d_padded];
        let mut order: Vec<u32> = (0..self.data.n as u32).collect();
        let mut snapshots = Vec::with_capacity(plan.checkpoints.len());
        let alpha = f64::from(case.learning_rate);
        let models = (models as usize).clamp(1, plan.steps.len().max(1));
        let mut mean = vec![0.0; model.len()];
        for (index, now) in plan.steps.iter().enumerate() {
            if plan.shuffles_before(now) {
                shuffle(now, &mut order);
            }
            let rows = &order[now.start as usize..(now.start + now.batch) as usize];
            let sum = self.row_sum(&model, rows);
            let (rate, decay) = (alpha / f64::from(now.batch), alpha * self.regularisation);
            model.iter_mut().zip(&sum).for_each(|(w, g)| *w -= decay * *w + rate * g);
            if plan.checkpoints.contains(&(now.step + 1)) {
                snapshots.push((now.step + 1, model.clone()));
            }
            if index + models >= plan.steps.len() {
                mean.iter_mut().zip(&model).for_each(|(sum, w)| *sum += w);
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= models as f64);
        (snapshots, mean)
    }

    /// The minimiser: least squares by the normal equations, logistic by Newton's method; both by
    /// Cholesky in f64, refined until the gradient no longer falls.
    pub fn optimum(&self) -> Result<Optimum, OptimumError> {
        let d = self.data.d_padded;
        let mut model = vec![0.0; self.data.outputs * d];
        match self.loss {
            Loss::LeastSquares => self.least_squares(&mut model)?,
            Loss::Logistic => {
                let solve = |(output, w): (usize, &mut [f64])| self.newton(output, w);
                model.par_chunks_mut(d).enumerate().try_for_each(solve)?;
            }
        }
        let (loss, gradient_norm) = (self.value(&model), self.gradient_norm(&model));
        Ok(Optimum { model, loss, gradient_norm })
    }

    fn least_squares(&self, model: &mut [f64]) -> Result<(), OptimumError> {
        let d = self.data.d_padded;
        let factor = Cholesky::new(self.gram(), self.data.d)?;
        // The first pass solves, the others refine with the gradient computed from the data.
        for _ in 0..3 {
            let gradient = self.gradient(model);
            for (w, g) in model.chunks_mut(d).zip(gradient.chunks(d)) {
                let delta = factor.solve(&g[..self.data.d]);
                w.iter_mut().zip(delta).for_each(|(w, delta)| *w -= delta);
            }
        }
        Ok(())
    }

    /// XᵀX/n + λI, d × d, its lower triangle.
    fn gram(&self) -> Vec<f64> {
        let Dataset { n, d, d_padded, .. } = *self.data;
        let mut gram = vec![0.0; d * d];
        for rows in self.data.x.chunks(GRAM_ROWS * d_padded) {
            let wide: Vec<f64> = rows.par_iter().map(|&x| f64::from(x)).collect();
            add_gram(&wide, d_padded, d, &mut gram);
        }
        gram.iter_mut().for_each(|g| *g /= n as f64);
        (0..d).for_each(|j| gram[j * d + j] += self.regularisation);
        gram
    }

    /// Newton's method on one output, with halved steps while the loss would rise.
    fn newton(&self, output: usize, w: &mut [f64]) -> Result<(), OptimumError> {
        let one = Single { objective: self, output };
        let mut state = one.evaluate(w);
        for _ in 0..100 {
            let before = norm2(&state.gradient).sqrt();
            let direction = Cholesky::new(one.hessian(w), self.data.d)?.solve(&state.gradient);
            let mut length = 1.0;
            let next = loop {
                let trial: Vec<f64> = w
                    .iter()
                    .enumerate()
                    .map(|(j, w)| w - length * direction.get(j).unwrap_or(&0.0))
                    .collect();
                let next = one.evaluate(&trial);
                // Close to the optimum the loss is flat to rounding: there the gradient decides.
                let falls = norm2(&next.gradient).sqrt() < before;
                if next.value < state.value || falls {
                    break Some((trial, next));
                }
                length *= 0.5;
                if length < 1e-6 {
                    break None;
                }
            };
            match next {
                Some((trial, next)) => {
                    w.copy_from_slice(&trial);
                    state = next;
                }
                None => break,
            }
            let after = norm2(&state.gradient).sqrt();
            if after <= 1e-15 || (after <= GRADIENT_NORM && after > 0.5 * before) {
                break;
            }
        }
        let gradient_norm = norm2(&state.gradient).sqrt();
        if gradient_norm <= GRADIENT_NORM {
            Ok(())
        } else {
            Err(OptimumError::Stalled { gradient_norm })
        }
    }

    /// Fraction of the test set whose label is the output with the largest product, where there
    /// are labels.
    pub fn test_accuracy(&self, model: &[f64]) -> Option<f64> {
        let test = self.data.test.as_ref()?;
        let d = self.data.d_padded;
        let right = test.x.chunks(d).zip(&test.labels).filter(|(x, label)| {
            let scores = model.chunks(d).map(|w| dot(x, w));
            let best = scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            best.is_some_and(|(class, _)| class == **label as usize)
        });
        Some(right.count() as f64 / test.labels.len() as f64)
    }
}

/// A gradient norm at which a logistic optimum counts as found.
const GRADIENT_NORM: f64 = 1e-12;

/// One output of a logistic objective.
struct Single<'a> {
    objective: &'a Objective<'a>,
    output: usize,
}

struct Evaluation {
    value: f64,
    gradient: Vec<f64>,
}

impl Single<'_> {
    fn rows(&self) -> impl Iterator<Item = (&[f32], f64)> {
        let Dataset { d_padded, outputs, ref x, ref targets, .. } = *self.objective.data;
        let targets = targets.iter().skip(self.output).step_by(outputs);
        x.chunks(d_padded).zip(targets.map(|&y| y.into()))
    }

    fn evaluate(&self, w: &[f64]) -> Evaluation {
        let (d, n) = (self.objective.data.d, self.objective.data.n as f64);
        let lambda = self.objective.regularisation;
        let (mut value, mut gradient) = (0.0, vec![0.0; d]);
        for (x, y) in self.rows() {
            let z = dot(x, w);
            value += point_loss(Loss::Logistic, z, y);
            let r = residual(Loss::Logistic, z, y);
            gradient.iter_mut().zip(x).for_each(|(g, &x)| *g += r * f64::from(x));
        }
        gradient.iter_mut().zip(w).for_each(|(g, w)| *g = *g / n + lambda * w);
        Evaluation { value: value / n + 0.5 * lambda * norm2(w), gradient }
    }

    /// Lower triangle of the Hessian, d × d.
    fn hessian(&self, w: &[f64]) -> Vec<f64> {
        let (d, n) = (self.objective.data.d, self.objective.data.n as f64);
        let mut hessian = vec![0.0; d * d];
        for (x, _) in self.rows() {
            let p = sigmoid(dot(x, w));
            for (i, row) in hessian.chunks_mut(d).enumerate() {
                let scaled = p * (1.0 - p) * f64::from(x[i]) / n;
                row[..=i].iter_mut().zip(x).for_each(|(h, &x)| *h += scaled * f64::from(x));
            }
        }
        (0..d).for_each(|j| hessian[j * d + j] += self.objective.regularisation);
        hessian
    }
}

pub(crate) fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn residual(loss: Loss, z: f64, y: f64) -> f64 {
    match loss {
        Loss::LeastSquares => z - y,
        Loss::Logistic => sigmoid(z) - y,
    }
}

fn point_loss(loss: Loss, z: f64, y: f64) -> f64 {
    match loss {
        Loss::LeastSquares => 0.5 * (z - y) * (z - y),
        Loss::Logistic => z.max(0.0) - y * z + (-z.abs()).exp().ln_1p(),
    }
}

/// Eight running sums, so that it vectorises.
#[inline(always)]
pub(crate) fn dot(x: &[f32], w: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x_chunks, x_rest) = x.as_chunks::<8>();
    let (w_chunks, w_rest) = w.as_chunks::<8>();
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for i in 0..8 {
            sums[i] += f64::from(x[i]) * w[i];
        }
    }
    let rest: f64 = x_rest.iter().zip(w_rest).map(|(&x, w)| f64::from(x) * w).sum();
    sums.iter().sum::<f64>() + rest
}

fn norm2(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum()
}

/// Adds RᵀR to the lower triangle of `gram`, by block columns so that about half of the products
/// of the upper triangle are left out. `rows` has `stride` numbers a row, of which d count.
fn add_gram(rows: &[f64], stride: usize, d: usize, gram: &mut [f64]) {
    const PANEL: usize = 256;
    let n = rows.len() / stride;
    for first in (0..d).step_by(PANEL) {
        let width = PANEL.min(d - first);
        // SAFETY: gram[first.., first..first + width] is (d − first) × width inside d × d; rows
        // holds n × stride numbers with d ≤ stride, read at columns first..d; none of these overlap.
        unsafe {
            gemm::gemm(
                d - first,
                width,
                n,
                gram.as_mut_ptr().add(first * d + first),
                1,
                d as isize,
                true,
                rows.as_ptr().add(first),
                stride as isize,
                1,
                rows.as_ptr().add(first),
                1,
                stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
    }
}

/// A = LLᵀ, row-major.
struct Cholesky {
    l: Vec<f64>,
    d: usize,
}

impl Cholesky {
    /// Factors the symmetric matrix whose lower triangle is `a`, in place.
    fn new(mut a: Vec<f64>, d: usize) -> Result<Self, OptimumError> {
        vectorise(
            #[inline(always)]
            || {
                for i in 0..d {
                    let (above, row) = a.split_at_mut(i * d);
                    for j in 0..i {
                        let other = &above[j * d..j * d + j + 1];
                        row[j] = (row[j] - dot64(&row[..j], &other[..j])) / other[j];
                    }
                    let pivot = row[i] - dot64(&row[..i], &row[..i]);
                    if pivot.is_nan() || pivot <= 0.0 {
                        return Err(OptimumError::Singular { column: i });
                    }
                    row[i] = pivot.sqrt();
                }
                Ok(())
            },
        )?;
        Ok(Self { l: a, d })
    }

    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let (l, d) = (&self.l, self.d);
        let mut x = b.to_vec();
        for i in 0..d {
            x[i] = (x[i] - dot64(&l[i * d..i * d + i], &x[..i])) / l[i * d + i];
        }
        for i in (0..d).rev() {
            x[i] /= l[i * d + i];
            let scaled = x[i];
            x[..i].iter_mut().zip(&l[i * d..i * d + i]).for_each(|(x, l)| *x -= scaled * l);
        }
        x
    }
}

#[inline(always)]
fn dot64(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Precision;
    use crate::problem::dataset::DatasetSpec;
    use crate::workload::sgd::Grids;

    fn objective(data: &Dataset) -> Objective<'_> {
        let regularisation = data.regularisation.into();
        Objective { data, loss: data.loss, regularisation }
    }

    #[test]
    fn gradient_is_the_slope_of_the_value() {
        for spec in [DatasetSpec::Figure2 { n: 70, d: 9 }, DatasetSpec::Logistic { n: 70, d: 9 }] {
            let data = spec.load(5).unwrap();
            let objective = objective(&data);
            let model: Vec<f64> =
                (0..12).map(|j| if j < 9 { 0.1 * j as f64 } else { 0.0 }).collect();
            let gradient = objective.gradient(&model);
            for j in 0..9 {
                let h = 1e-5;
                let at = |h: f64| {
                    let mut moved = model.clone();
                    moved[j] += h;
                    objective.value(&moved)
                };
                // Error of a central difference: h²/6 times a third derivative of order 1, and
                // rounding of the values over h.
                let slope = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (slope - gradient[j]).abs() < h * h + 1e-15 * at(0.0) * 10.0 / h,
                    "{spec} {j}"
                );
            }
        }
    }

    #[test]
    fn optima_have_no_gradient() {
        for spec in [
            DatasetSpec::Digits,
            DatasetSpec::Figure2 { n: 128, d: 1024 },
            DatasetSpec::Figure2 { n: 5000, d: 33 },
            DatasetSpec::Figure2 { n: 1, d: 1 },
            DatasetSpec::Logistic { n: 200, d: 20 },
        ] {
            let data = spec.load(1).unwrap();
            let objective = objective(&data);
            let optimum = objective.optimum().unwrap();
            assert!(
                optimum.gradient_norm <= 1e-12 * (data.outputs as f64).sqrt(),
                "{spec}: {:e}",
                optimum.gradient_norm
            );
            let largest = optimum.model.iter().fold(0f64, |m, w| m.max(w.abs()));
            println!(
                "{spec}: loss {:.6}, largest |w| {largest:.3} of {}, accuracy {:?}",
                optimum.loss,
                data.model_range,
                objective.test_accuracy(&optimum.model)
            );
            assert!(largest <= data.model_range.into(), "{spec}: {largest}");
            // No neighbour is better.
            let mut moved = optimum.model.clone();
            moved[0] += 1e-3;
            assert!(objective.value(&moved) > optimum.loss);
        }
    }

    #[test]
    fn a_singular_problem_is_named() {
        let data = DatasetSpec::Figure2 { n: 2, d: 5 }.load(1).unwrap();
        let objective = Objective { regularisation: 0.0, ..objective(&data) };
        assert!(objective.optimum().unwrap_err().to_string().contains("singular"));
    }

    #[test]
    fn full_gradient_descent_reaches_the_optimum() {
        for spec in
            [DatasetSpec::Figure2 { n: 300, d: 20 }, DatasetSpec::Logistic { n: 300, d: 20 }]
        {
            let data = spec.load(2).unwrap();
            let objective = objective(&data);
            let case = SgdCase::new(&data, Precision::D32fM32f, data.n, 4000);
            let plan = Plan::new(&case, &data, &Grids::new(case.precision, &data));
            let (_, end) = objective.trajectory(&case, &plan).pop().unwrap();
            let optimum = objective.optimum().unwrap();
            let distance: f64 =
                end.iter().zip(&optimum.model).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            // The distance shrinks at least by 1 − αλ a step; α is an f32, of relative error u.
            let shrunk =
                (1.0 - f64::from(case.learning_rate) * objective.regularisation).powi(4000);
            let bound = shrunk * norm2(&optimum.model).sqrt() + 1e-12;
            assert!(distance <= bound, "{spec}: {distance:e} over {bound:e}");
            assert!(bound < 1e-2);
        }
    }
}
