//! The error of int8 products, from the steps of their operands.

use rayon::prelude::*;

use super::statistics::Estimate;
use super::{ARITHMETIC, Experiment, Purpose, Row, key_of, seed_of};
use crate::mirror::convert::Operands;
use crate::mirror::matmul::multiply;
use crate::number::Precision;
use crate::problem::matrix::{Distribution, MatmulProblem};

/// Products of one side, and how many rows of C are looked at.
const SIDES: [(usize, usize); 2] = [(256, 12), (1024, 8)];
const ROWS: usize = 64;

/// relF² of one problem: measured and predicted, to nearest and stochastically.
fn squared(side: usize, seed: u64) -> [(f64, f64); 2] {
    let Ok(problem) = MatmulProblem::generate(Distribution::Normal, side, side, side, seed) else {
        unreachable!("{side} is no shape without entries");
    };
    let truth = exact(&problem);
    let squares = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    let (of_rows, of_b) = (squares(&problem.a.data[..ROWS * side]), squares(&problem.b.data));
    let size: f64 = truth.iter().map(|c| c * c).sum();
    [(Precision::Int8, 12.0), (Precision::Int8Sr, 6.0)].map(|(precision, divisor)| {
        let key = key_of(seed);
        let o = Operands::convert(precision, ARITHMETIC, &problem.a, &problem.b, key);
        let rows: Vec<usize> = (0..ROWS).collect();
        let c = multiply(precision, ARITHMETIC, &o, &rows, key);
        let error: f64 = c.iter().zip(&truth).map(|(&c, t)| (f64::from(c) - t).powi(2)).sum();
        // E_A·B + A·E_B + E_A·E_B, where an entry of E has the mean square of one rounding.
        let [of_a_error, of_b_error] =
            [o.step_a[0], o.step_b[0]].map(|step| f64::from(step).powi(2) / divisor);
        let (rows, side) = (ROWS as f64, side as f64);
        let predicted = rows * of_a_error * of_b
            + side * of_b_error * of_rows
            + rows * side * side * of_a_error * of_b_error;
        (error / size, predicted / size)
    })
}

/// The first [`ROWS`] rows of C in f64, whose own errors are 10⁻¹³ of what is measured.
fn exact(problem: &MatmulProblem) -> Vec<f64> {
    let (n, k) = (problem.n, problem.k);
    let mut c = vec![0.0; ROWS * n];
    for (i, row) in c.chunks_mut(n).enumerate() {
        for (q, &a) in problem.a.row(i).iter().enumerate().take(k) {
            let a = f64::from(a);
            row.iter_mut().zip(problem.b.row(q)).for_each(|(c, &b)| *c += a * f64::from(b));
        }
    }
    c
}

pub(super) fn int8(seed: u32) -> Experiment {
    let mut rows = vec![];
    for (side, trials) in SIDES {
        let trials: Vec<[(f64, f64); 2]> = (0..trials)
            .into_par_iter()
            .map(|trial| squared(side, seed_of(seed, Purpose::Int8, side, trial)))
            .collect();
        for (which, name) in ["int8", "int8-sr"].into_iter().enumerate() {
            let of: Vec<_> = trials.iter().map(|trial| trial[which]).collect();
            let (predicted, estimate) = Estimate::paired(&of);
            let quantity = format!("`{name}`, {side}³: relF");
            rows.push(Row::estimated(quantity, predicted.sqrt(), &estimate.map(f64::sqrt)));
        }
        let ratios: Vec<_> = trials.iter().map(|[one, sr]| (sr.0 / one.0, sr.1 / one.1)).collect();
        let (predicted, estimate) = Estimate::paired(&ratios);
        let quantity = format!("{side}³: relF² of `int8-sr` over that of `int8`");
        rows.push(Row::estimated(quantity, predicted, &estimate));
    }
    Experiment {
        title: "The error of int8, and its doubling by stochastic rounding",
        setup: format!(
            "`int8` and `int8-sr` (one scale a tensor), normal, {} problems of 256³ and {} of 1024³; of each \
             the first {ROWS} rows of C.",
            SIDES[0].1, SIDES[1].1
        ),
        formula: "Operands are rounded to multiples of Δ = max|x|/127, the sums are exact. With ε² = Δ²/12 \
                  to nearest and Δ²/6 stochastically, E‖Ĉ − C‖² = m·εa²·‖B‖² + n·εb²·‖A‖² + m·n·k·εa²·εb², \
                  evaluated on the same operands; over normal data relF² = εa²/σa² + εb²/σb² + \
                  εa²εb²/σa²σb².",
        source: "Uniform quantisation noise (Widrow and Kollár 2008), independent in A and B.",
        remark: "relF grows with the size, since the largest of more numbers is larger and the step with it. \
                 The ratio is a little over 2: the product of both errors is four times as large."
            .to_owned(),
        rows,
        ..Experiment::untitled()
    }
}
