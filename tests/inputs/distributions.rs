//! Each distribution against what its definition says.

use tradeoff::mirror::convert::Operands;
use tradeoff::mirror::matmul::multiply;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::distribution::parse_list;
use tradeoff::problem::matrix::{MatmulProblem, Matrix};
use tradeoff::record::Status;
use tradeoff::truth::matmul::exact_dot;

use super::{SEED, draw, row, rows};

/// Mean of f over the elements.
fn mean(matrix: &Matrix, f: impl Fn(f64) -> f64) -> f64 {
    matrix.data.iter().map(|&x| f(f64::from(x))).sum::<f64>() / matrix.data.len() as f64
}

#[test]
fn an_element_depends_on_its_place_alone() {
    let all = "normal,uniform01,uniform,exponent-spread(2),power-span(40),cancel(8),mean-shift(3),\
               outlier-columns(0.3,20),subnormal,integers";
    for distribution in parse_list(all).unwrap() {
        let draw = |m, n, k| MatmulProblem::generate(distribution, m, n, k, SEED).unwrap();
        let (small, large) = (draw(3, 5, 6), draw(40, 5, 12));
        for i in 0..3 {
            assert_eq!(small.a.row(i), &large.a.row(i)[..6], "{distribution}");
        }
        assert_eq!(small.b.data, large.b.data[..30], "{distribution}");
        assert_ne!(small.a.row(0), small.a.row(1), "{distribution}");
    }
}

/// Mean and variance within 5 standard errors of theirs: of the mean √(V/N), of the mean square
/// √(Var(x²)/N), where x² lies in [0, 1] and so has a variance of at most 1/4.
#[test]
fn uniforms_have_their_moments() {
    for (name, low, average, square) in
        [("uniform01", 0.0, 0.5, 1.0 / 3.0), ("uniform", -1.0, 0.0, 1.0 / 3.0)]
    {
        let a = draw(name, 300, 1, 300).a;
        let count = a.data.len() as f64;
        assert!(a.data.iter().all(|&x| (low..=1.0).contains(&x)));
        let variance: f64 = square - average * average;
        assert!((mean(&a, |x| x) - average).abs() < 5.0 * (variance / count).sqrt(), "{name}");
        assert!((mean(&a, |x| x * x) - square).abs() < 2.5 / count.sqrt(), "{name}");
    }
}

/// ln|x| = ln|U − 0.5| + φN has variance 1 + φ²: the first term is −E + a constant, E exponential.
/// Its excess kurtosis is at most that of E, 6, so the variance of N deviates has a standard error of
/// at most √(8/N)·(1 + φ²).
#[test]
fn exponents_spread_by_phi() {
    for phi in [0.0, 0.5, 1.0, 2.0, 4.0] {
        let a = draw(&format!("exponent-spread({phi})"), 300, 1, 300).a;
        let log = |x: f64| x.abs().ln();
        let average = mean(&a, log);
        let variance = mean(&a, |x| (log(x) - average).powi(2));
        let expected = 1.0 + phi * phi;
        let error = 5.0 * (8.0 / a.data.len() as f64).sqrt() * expected;
        assert!((variance - expected).abs() < error, "phi {phi}: {variance}");
        assert!(mean(&a, f64::signum).abs() < 5.0 / (a.data.len() as f64).sqrt());
    }
}

#[test]
fn a_mean_is_shifted() {
    let p = draw("mean-shift(10)", 200, 200, 200);
    for matrix in [&p.a, &p.b] {
        assert!((mean(matrix, |x| x) - 10.0).abs() < 5.0 / 200.0);
        assert!((mean(matrix, |x| (x - 10.0).powi(2)) - 1.0).abs() < 5.0 * 2f64.sqrt() / 200.0);
    }
}

/// |A||B| over |AB|, by exact dots, is what the docs of `cancel` say in every entry: for k = 3p
/// between 0.12·10^c + 1 and 6.7·10^c + 1. One or two remainders more, of at most 4 times the size of
/// another, add at most 2·4/p to the p of |AB|.
#[test]
fn cancel_has_its_condition_in_every_entry() {
    for digits in [0, 4, 8, 16, 30] {
        for k in [3, 6, 96, 97, 98] {
            let p = draw(&format!("cancel({digits})"), 9, 11, k);
            let threes = (k / 3) as f64;
            let power = 10f64.powi(digits);
            let least = 0.12 * power * threes / (threes + 4.0 * (k % 3) as f64);
            for i in 0..9 {
                for j in 0..11 {
                    let a = || p.a.row(i).iter().copied();
                    let b = || p.b.column(j);
                    let size = exact_dot(a().map(f32::abs), b().map(f32::abs));
                    let condition = size / exact_dot(a(), b()).abs() - 1.0;
                    let told = format!("{condition:e} for cancel({digits}) at {i}, {j}, k = {k}");
                    assert!((least..=6.7 * power).contains(&condition), "{told}");
                }
            }
        }
    }
    // Where the digits of f32 cancel nothing of the result is left, and the row says how much.
    let rows = rows(&[("TRADEOFF_SIZES", "12"), ("TRADEOFF_DISTRIBUTIONS", "cancel(20)")]);
    let single = row(&rows, "fp32");
    assert_eq!((single.status, single.reference.as_str()), (Status::Ok, "exact"));
    assert!(single.relative_frobenius.unwrap() > 0.9, "{:?}", single.relative_frobenius);
    assert!(single.max_componentwise.unwrap() < 1e-5);
    // Without three columns nothing cancels.
    let p = draw("cancel(8)", 2, 2, 2);
    assert!(p.a.data.iter().chain(&p.b.data).all(|&x| x > 0.0));
}

/// In 16 bits the pairs no longer cancel: so close an answer needs the digits that were cut off.
#[test]
fn conversion_errors_of_cancelling_pairs_do_not_cancel() {
    let p = draw("cancel(6)", 8, 8, 96);
    let o = Operands::convert(Precision::Fp16, Arithmetic::host(), &p.a, &p.b, [0, 0]);
    let dot = |a: &[f32], b: &Matrix, j| exact_dot(a.iter().copied(), b.column(j));
    let b = Matrix { data: o.b.clone(), ..p.b.clone() };
    for i in 0..8 {
        let truth = dot(p.a.row(i), &p.b, 0);
        let converted = dot(&o.a[i * 96..][..96], &b, 0);
        assert!((converted - truth).abs() > truth.abs(), "{converted:e} of {truth:e}");
    }
}

/// The factors of `power-span` are powers of two that cancel: numbers and results are the same
/// as without, bit for bit, in floating point.
#[test]
fn a_span_of_powers_cancels_exactly() {
    let (plain, spread) = (draw("normal", 16, 17, 64), draw("power-span(40)", 16, 17, 64));
    let mut seen = std::collections::BTreeSet::new();
    for q in 0..64 {
        let factor = spread.a.row(0)[q] / plain.a.row(0)[q];
        let exponent = factor.log2();
        assert!((-20.0..=20.0).contains(&exponent) && exponent.fract() == 0.0, "{exponent}");
        seen.insert(exponent as i32);
        for i in 0..16 {
            assert_eq!(spread.a.row(i)[q], factor * plain.a.row(i)[q]);
        }
        for j in 0..17 {
            assert_eq!(spread.b.row(q)[j], plain.b.row(q)[j] / factor);
        }
    }
    assert!(seen.len() > 20, "{seen:?}"); // 64 draws from 41: 32 are expected
    let rows: Vec<usize> = (0..16).collect();
    let product = |p: &MatmulProblem| {
        let o = Operands::convert(Precision::Fp32, Arithmetic::host(), &p.a, &p.b, [0, 0]);
        multiply(Precision::Fp32, Arithmetic::host(), &o, &rows, [0, 0])
    };
    assert_eq!(product(&plain), product(&spread));
}

/// Outliers are whole columns of A, as many as their probability says within 5 standard deviations
/// of the binomial distribution, and B is as it was.
#[test]
fn outliers_are_columns_of_a() {
    let k = 2000;
    let (plain, with) = (draw("normal", 4, 3, k), draw("outlier-columns(0.1,20)", 4, 3, k));
    assert_eq!(plain.b, with.b);
    let mut outliers = 0.0;
    for q in 0..k {
        let ratio = |i: usize| (with.a.row(i)[q] / plain.a.row(i)[q]).round();
        let first = ratio(0);
        assert!(first == 1.0 || first == 20.0);
        assert!((0..4).all(|i| ratio(i) == first));
        outliers += f64::from(u8::from(first == 20.0));
    }
    let deviation = (k as f64 * 0.1 * 0.9).sqrt();
    assert!((outliers - 0.1 * k as f64).abs() < 5.0 * deviation, "{outliers}");
}

#[test]
fn subnormals_are_those_of_f16() {
    let p = draw("subnormal", 50, 5, 50);
    for &x in &p.a.data {
        let h = half::f16::from_f32(x);
        assert!(h.classify() == std::num::FpCategory::Subnormal && h.to_f32() == x, "{x:e}");
    }
    assert!(p.b.data.iter().all(|x| x.is_normal()));
}

/// Integers are exact in every format, and so is every product here: sums of at most 100 in f16.
#[test]
fn integers_are_exact_in_every_format() {
    let (m, n, k) = (20, 20, 100);
    let p = draw("integers", m, n, k);
    let rows: Vec<usize> = (0..m).collect();
    for precision in Precision::MATMUL {
        let o = Operands::convert(precision, Arithmetic::host(), &p.a, &p.b, [0, 0]);
        if o.step_a.is_empty() || precision.scaling().is_none() {
            assert_eq!((&o.a, &o.b), (&p.a.data, &p.b.data), "{precision}");
            let c = multiply(precision, Arithmetic::host(), &o, &rows, [0, 0]);
            for i in 0..m {
                for j in 0..n {
                    let exact = exact_dot(p.a.row(i).iter().copied(), p.b.column(j));
                    assert_eq!(f64::from(c[i * n + j]), exact, "{precision} at {i}, {j}");
                }
            }
        } else {
            let scaled = |q: &[f32]| q.iter().map(|x| x / 127.0).collect::<Vec<_>>();
            assert_eq!((scaled(&o.a), scaled(&o.b)), (p.a.data.clone(), p.b.data.clone()));
        }
    }
}
