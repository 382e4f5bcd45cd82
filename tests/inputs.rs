//! The inputs of matrix products: each distribution against what its definition says, and the cases,
//! columns and messages of distributions and of the user's own files.

use std::collections::BTreeMap;

use tradeoff::gpu::discover;
use tradeoff::measure::{Case, Selection, Session};
use tradeoff::mirror::convert::Operands;
use tradeoff::mirror::matmul::multiply;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::distribution::{Distribution, parse_list};
use tradeoff::problem::matrix::{MatmulProblem, Matrix};
use tradeoff::record::{Provenance, Record, Status};
use tradeoff::truth::matmul::exact_dot;

const SEED: u64 = 3;

fn draw(distribution: &str, m: usize, n: usize, k: usize) -> MatmulProblem {
    MatmulProblem::generate(distribution.parse().unwrap(), m, n, k, SEED).unwrap()
}

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

fn selection(pairs: &[(&str, &str)]) -> Result<Selection, String> {
    let cpu = [("TRADEOFF_WORKLOADS", "matmul"), ("TRADEOFF_ROOFLINE", "off")];
    let all = pairs.iter().chain(&cpu).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Selection::from_variables(all.collect::<BTreeMap<_, _>>()).map_err(|e| e.to_string())
}

/// The verified rows of a selection on the CPU, without times.
fn rows(pairs: &[(&str, &str)]) -> Vec<Record> {
    let devices = discover(Some("cpu")).unwrap();
    let mut session = Session::new(devices, selection(pairs).unwrap(), &Provenance::collect());
    let row = |session: &mut Session, case: &Case| match session.prepare(case) {
        Ok(prepared) => Record { status: Status::Ok, ..prepared.record().clone() },
        Err(measured) => measured.record,
    };
    session.plan().iter().map(|case| row(&mut session, case)).collect()
}

#[test]
fn several_distributions_are_several_cases() {
    let rows = rows(&[
        ("TRADEOFF_SIZES", "8,9"),
        ("TRADEOFF_PRECISIONS", "fp32"),
        ("TRADEOFF_DISTRIBUTIONS", "normal,exponent-spread(2),exponent-spread(4)"),
    ]);
    let ids: Vec<&str> = rows.iter().map(|r| r.case_id.as_str()).collect();
    assert_eq!(ids[0], "matmul/fp32/mirror/8x8x8/cpu", "ids of before stay");
    assert_eq!(ids[1], "matmul/fp32/mirror/8x8x8-spread2/cpu");
    assert_eq!(ids[5], "matmul/fp32/mirror/9x9x9-spread4/cpu");
    let columns = |r: &Record| {
        [&r.shape, &r.problem, &r.distribution, &r.distribution_parameters].map(String::clone)
    };
    assert_eq!(columns(&rows[0]), ["8x8x8", "seeded", "normal", ""]);
    assert_eq!(columns(&rows[5]), ["9x9x9", "seeded", "exponent-spread", "phi=4"]);
    assert!(rows.iter().all(|r| r.status == Status::Ok), "{:?}", rows[5].reason);
    let inputs: std::collections::BTreeSet<_> = rows.iter().map(|r| &r.inputs_sha256).collect();
    assert_eq!(inputs.len(), 6);
}

/// The longest ids stay within what a file's name and criterion's folders bear.
#[test]
fn ids_are_short() {
    for text in ["outlier-columns(0.000001,123456.7)", "mean-shift(-12345.6)", "power-span(200)"] {
        let distribution: Distribution = text.parse().unwrap();
        let shape = format!("16777216x16777216x16384-{}", distribution.id());
        assert!(shape.len() <= 64, "{shape}");
    }
}

/// An `.npy` file as NumPy writes it, version 1.0.
fn npy(descr: &str, fortran: &str, shape: &str, data: Vec<u8>) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let padding = (64 - (10 + dict.len() + 1) % 64) % 64;
    let header = format!("{dict}{}\n", " ".repeat(padding));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn files_are_a_problem_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let floats = |count: usize| (0..count).map(|i| (i as f32).sin());
    let a: Vec<u8> = floats(6).flat_map(f32::to_le_bytes).collect();
    let b: Vec<u8> = floats(12).flat_map(f32::to_be_bytes).collect();
    std::fs::write(path("a.npy"), npy("<f4", "False", "(2, 3)", a)).unwrap();
    std::fs::write(path("b.npy"), npy(">f4", "True", "(3, 4)", b)).unwrap();
    let (a, b) = (path("a.npy"), path("b.npy"));
    let files = [("TRADEOFF_A", a.as_str()), ("TRADEOFF_B", b.as_str())];
    let rows = rows(&files);
    assert_eq!(rows.len(), Precision::MATMUL.len());
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        assert_eq!((row.shape.as_str(), row.distribution.as_str()), ("2x4x3", ""));
        assert_eq!(row.problem, format!("npy-{:.8}", row.inputs_sha256));
        assert!(row.case_id.contains(&format!("/2x4x3-{}/cpu", row.problem)), "{}", row.case_id);
    }
    let refused = |more: &[(&str, &str)]| selection(&[&files, more].concat()).unwrap_err();
    assert!(refused(&[("TRADEOFF_SIZES", "8")]).contains("TRADEOFF_SIZES: `8`, but the sizes are"));
    assert!(refused(&[("TRADEOFF_DISTRIBUTIONS", "uniform")]).contains("leave it out"));
    let swapped = selection(&[("TRADEOFF_A", &b), ("TRADEOFF_B", &b)]).unwrap_err();
    assert!(swapped.contains("A is 3x4 and B 3x4"), "{swapped}");
}

fn row<'a>(rows: &'a [Record], precision: &str) -> &'a Record {
    rows.iter().find(|row| row.precision == precision).unwrap()
}

/// The parts of the error are what the docs of each say, and add up in squares. Over N = 1600 entries
/// two independent parts are off by 5/√N = 0.125 of the square less than once in 10⁶ times; where
/// only one is not 0 there is nothing to be off.
#[test]
fn errors_split_by_cause() {
    let rows = rows(&[("TRADEOFF_SIZES", "40x40x300"), ("TRADEOFF_SEED", "5")]);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        let parts = [row.conversion_error, row.accumulation_error, row.output_rounding_error];
        let [conversion, accumulation, output] = parts.map(Option::unwrap);
        let told = format!("{}: {parts:?} of {:?}", row.precision, row.relative_frobenius);
        let over = row.parts_over_error.unwrap();
        assert!((over * over - 1.0).abs() < 0.125, "{told}");
        let sum = conversion.powi(2) + accumulation.powi(2) + output.powi(2);
        let expected = sum.sqrt() / row.relative_frobenius.unwrap();
        assert!((over / expected - 1.0).abs() < 1e-9, "{told}");
        match row.precision.as_str() {
            "fp32" => assert!(conversion == 0.0 && output == 0.0 && accumulation > 0.0, "{told}"),
            "fp16" | "bf16" => {
                assert!(conversion > 100.0 * accumulation && output == 0.0, "{told}")
            }
            "fp16-acc16" | "fp16-sr" => {
                assert!(accumulation > conversion && output == 0.0, "{told}");
            }
            _ => assert!(accumulation == 0.0 && conversion > 100.0 * output, "{told}"),
        }
    }
    // Same operands, same conversion.
    let conversion = |name| row(&rows, name).conversion_error;
    assert_eq!(conversion("fp16"), conversion("fp16-sr"));
}

/// The same of every other precision. Two parts are off by 5/√N = 0.125 of the square, three by twice
/// that, less than once in 10⁶ times.
#[test]
fn errors_of_every_precision_split_by_cause() {
    let others: Vec<&str> =
        Precision::NARROW.into_iter().chain(Precision::WIDE).map(Precision::name).collect();
    let rows = rows(&[
        ("TRADEOFF_SIZES", "40x40x300"),
        ("TRADEOFF_SEED", "5"),
        ("TRADEOFF_PRECISIONS", &others.join(",")),
    ]);
    assert_eq!(rows.len(), others.len());
    let u = 2f64.powi(-24);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        let parts = [row.conversion_error, row.accumulation_error, row.output_rounding_error];
        let [conversion, accumulation, output] = parts.map(Option::unwrap);
        let told = format!("{}: {parts:?} of {:?}", row.precision, row.relative_frobenius);
        let pairs = [conversion, accumulation, output].iter().filter(|part| **part > 0.0).count();
        let over = row.parts_over_error.unwrap();
        assert!((over * over - 1.0).abs() < 0.125 * (pairs as f64 - 1.0) + 1e-9, "{told}");
        let sum = conversion.powi(2) + accumulation.powi(2) + output.powi(2);
        let expected = sum.sqrt() / row.relative_frobenius.unwrap();
        assert!((over / expected - 1.0).abs() < 1e-9, "{told}");
        match row.precision.as_str() {
            "bf16-sr" => assert!(accumulation > conversion && output == 0.0, "{told}"),
            "fp16x2" => assert!(conversion > 0.0 && accumulation > 0.0, "{told}"),
            // Three bf16 are every f32 of this size.
            "bf16x3" => assert!(conversion == 0.0 && accumulation > 0.0, "{told}"),
            // What is left of the sums is some k·u² of |A||B|, here about 20 times C.
            "fp32-comp" => {
                assert!(conversion == 0.0 && accumulation < 20.0 * 300.0 * 300.0 * u * u, "{told}")
            }
            "fp32x2" | "fp64" => {
                assert!(conversion == 0.0 && output == 0.0 && accumulation > 0.0, "{told}");
            }
            _ => assert!(output == 0.0 && conversion > 100.0 * accumulation, "{told}"),
        }
        // A rounding to nearest of each entry, of which half an ULP is at most u.
        let joined = ["fp16x2", "bf16x3", "fp32-comp"].contains(&row.precision.as_str());
        assert_eq!(output > 0.0, joined, "{told}");
        assert!(output <= u, "{told}");
        let stagnated = row.stagnated_fraction.unwrap();
        match row.precision.as_str() {
            "bf16-sr" => assert!(stagnated > 0.0),
            "fp32-comp" | "fp32x2" | "fp64" => assert_eq!(stagnated, 0.0, "{told}"),
            _ => assert!(stagnated < 1e-3, "{told}: {stagnated}"),
        }
    }
}

/// Of several products and of operands stored transposed the parts are those of the whole: random bits of
/// int8-sr follow the place in memory, so P̂ of other bits would leave more than what the output rounds.
#[test]
fn errors_of_batches_and_layouts_split_by_cause() {
    let rows = rows(&[
        ("TRADEOFF_SIZES", "20x40x300-tn,20x40x300-nt-b3,20x40x300-b2"),
        ("TRADEOFF_PRECISIONS", "fp16,int8-sr-rowwise,fp16x2,fp32-comp"),
        ("TRADEOFF_TRIALS", "2"),
    ]);
    assert_eq!(rows.len(), 3 * 4);
    for row in &rows {
        let told = &row.case_id;
        assert_eq!(row.status, Status::Ok, "{told}: {}", row.reason);
        let over = row.parts_over_error.unwrap();
        assert!((over * over - 1.0).abs() < 10.0 / 800f64.sqrt(), "{told}: {over}");
        if row.precision == "int8-sr-rowwise" {
            assert_eq!(row.trials, Some(2));
            let output = row.output_rounding_error.unwrap();
            // Four roundings of the sum and its scales.
            assert!(output < 4.0 * 2f64.powi(-24), "{told}: {output:e}");
        }
    }
}

/// Bounds: which apply, and that the results keep them (each fails with a chance of at most 1 %, and
/// the model of nearest rounding is far on the safe side here).
#[test]
fn bounds_with_a_probability_stand_beside_the_others() {
    let rows = rows(&[("TRADEOFF_SIZES", "16x16x2048"), ("TRADEOFF_DISTRIBUTIONS", "uniform01")]);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        let nearest = (row.measured_over_probabilistic, row.probabilistic_failure);
        let stochastic = (row.measured_over_stochastic, row.stochastic_failure);
        let holds = |(ratio, failure): (Option<f64>, Option<f64>)| {
            let (ratio, failure) = (ratio.unwrap(), failure.unwrap());
            assert!(ratio > 0.0 && ratio <= 1.0 && (failure - 0.01).abs() < 1e-9, "{ratio}");
        };
        let vacuous = ["fp16-acc16", "fp16-sr"].contains(&row.precision.as_str());
        assert_eq!(row.bound_vacuous, Some(vacuous), "{}", row.precision);
        match row.precision.as_str() {
            "fp16-sr" => holds(stochastic),
            // It stagnates: its errors are not independent, so the model need not hold.
            "fp16-acc16" => assert!(nearest.0.is_some() && stochastic.0.is_none()),
            "fp32" | "fp16" | "bf16" => {
                holds(nearest);
                // √k against k roundings: the bound is the closer.
                assert!(nearest.0 > row.measured_over_bound || row.precision != "fp32");
            }
            _ => assert!(nearest.0.is_none() && stochastic.0.is_none()),
        }
    }
}

/// The same of every other precision: sums to nearest in f32 or f64 have the one, of parts of numbers and
/// of blocks too, bf16-sr the other, and those that carry their own errors neither.
#[test]
fn bounds_with_a_probability_of_every_precision() {
    let others: Vec<&str> =
        Precision::NARROW.into_iter().chain(Precision::WIDE).map(Precision::name).collect();
    let rows = rows(&[
        ("TRADEOFF_SIZES", "16x16x2048"),
        ("TRADEOFF_DISTRIBUTIONS", "uniform01"),
        ("TRADEOFF_PRECISIONS", &others.join(",")),
    ]);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        let nearest = (row.measured_over_probabilistic, row.probabilistic_failure);
        let stochastic = (row.measured_over_stochastic, row.stochastic_failure);
        let holds = |(ratio, failure): (Option<f64>, Option<f64>)| {
            let (ratio, failure) = (ratio.unwrap(), failure.unwrap());
            let told = format!("{}: {ratio} {failure}", row.precision);
            assert!(ratio > 0.0 && ratio <= 1.0 && (failure - 0.01).abs() < 1e-9, "{told}");
        };
        assert_eq!(row.bound_vacuous, Some(row.precision == "bf16-sr"), "{}", row.precision);
        match row.precision.as_str() {
            "bf16-sr" => {
                holds(stochastic);
                assert_eq!(nearest, (None, None));
            }
            "fp32-comp" | "fp32x2" => {
                assert_eq!((nearest, stochastic), ((None, None), (None, None)));
            }
            name => {
                holds(nearest);
                assert_eq!(stochastic, (None, None));
                // √k against k roundings, where these are what the bound is made of.
                let closer = nearest.0 > row.measured_over_bound;
                assert!(closer || !["fp16x2", "bf16x3", "fp64"].contains(&name), "{name}");
            }
        }
    }
}

/// Ones added in f16 stop at 2048: of 4096 additions the second half is absorbed, all of the error
/// is accumulation, and what is rounded stochastically goes on.
#[test]
fn stagnation_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ones = vec![1f32; 2 * 4096];
    let bytes: Vec<u8> = ones.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(path("a.npy"), npy("<f4", "False", "(2, 4096)", bytes.clone())).unwrap();
    std::fs::write(path("b.npy"), npy("<f4", "False", "(4096, 2)", bytes)).unwrap();
    let (a, b) = (path("a.npy"), path("b.npy"));
    let rows = rows(&[("TRADEOFF_A", &a), ("TRADEOFF_B", &b)]);
    let nearest = row(&rows, "fp16-acc16");
    assert_eq!(nearest.stagnated_fraction, Some(0.5));
    assert_eq!((nearest.conversion_error, nearest.accumulation_error), (Some(0.0), Some(0.5)));
    assert_eq!(nearest.parts_over_error, Some(1.0));
    assert_eq!(row(&rows, "fp32").stagnated_fraction, Some(0.0));
    assert_eq!(row(&rows, "int8").stagnated_fraction, Some(0.0));
    // From 2048 on every addition is absorbed with a chance of ½: 2·2 entries of some 2048 each.
    let stochastic = row(&rows, "fp16-sr").stagnated_fraction.unwrap();
    let deviation = (0.25 / (4.0 * 2048.0f64)).sqrt();
    assert!((2.0 * stochastic - 0.5).abs() < 5.0 * deviation, "{stochastic}");
}

/// 400 ones added in bf16: from 256 on each of the 144 is absorbed with a chance of ½, in 4 entries. With
/// blocks it is their sums that are added, in f32, which takes them all, as pairs and f64 take ones.
#[test]
fn stagnation_is_counted_at_every_precision() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bytes: Vec<u8> = [1f32; 800].iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(path("a.npy"), npy("<f4", "False", "(2, 400)", bytes.clone())).unwrap();
    std::fs::write(path("b.npy"), npy("<f4", "False", "(400, 2)", bytes)).unwrap();
    let (a, b) = (path("a.npy"), path("b.npy"));
    let others: Vec<&str> =
        Precision::NARROW.into_iter().chain(Precision::WIDE).map(Precision::name).collect();
    let rows =
        rows(&[("TRADEOFF_A", &a), ("TRADEOFF_B", &b), ("TRADEOFF_PRECISIONS", &others.join(","))]);
    for row in &rows {
        let stagnated = row.stagnated_fraction.unwrap();
        if row.precision != "bf16-sr" {
            assert_eq!(stagnated, 0.0, "{}", row.precision);
            continue;
        }
        let absorbed = 400.0 / 144.0 * stagnated;
        let deviation = (0.25 / (4.0 * 144.0f64)).sqrt();
        assert!((absorbed - 0.5).abs() < 5.0 * deviation, "{absorbed}");
    }
    // 2²⁵ and ones: f32 takes none of them, a compensated sum every one.
    let mut numbers = [1f32; 400];
    numbers[0] = 2f32.powi(25);
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(path("a.npy"), npy("<f4", "False", "(1, 400)", bytes)).unwrap();
    let stagnated = |precision| {
        let rows = self::rows(&[
            ("TRADEOFF_A", &a),
            ("TRADEOFF_B", &b),
            ("TRADEOFF_PRECISIONS", precision),
        ]);
        (rows[0].stagnated_fraction.unwrap(), rows[0].accumulation_error.unwrap())
    };
    let error = 399.0 / (2f64.powi(25) + 399.0);
    let (fraction, found) = stagnated("fp32");
    // Each norm of two entries is within some roundings of f64.
    assert!(fraction == 399.0 / 400.0 && (found / error - 1.0).abs() < 1e-14, "{found:e}");
    assert_eq!(stagnated("fp32-comp"), (0.0, 0.0));
    assert_eq!(stagnated("fp64"), (0.0, 0.0));
}

/// What does not fit the format is skipped with the reason, not called wrong.
#[test]
fn what_a_format_cannot_hold_is_skipped() {
    let rows = |distribution, size| {
        rows(&[("TRADEOFF_DISTRIBUTIONS", distribution), ("TRADEOFF_SIZES", size)])
    };
    let found = rows("mean-shift(100000)", "4");
    let half = row(&found, "fp16");
    assert_eq!(half.status, Status::Skipped);
    assert!(
        half.reason.contains("an operand is 1.000e5, and f16 ends at 6.550e4"),
        "{}",
        half.reason
    );
    assert!(["fp32", "bf16", "int8"].iter().all(|name| row(&found, name).status == Status::Ok));
    let found = rows("mean-shift(1000)", "4x4x100");
    assert!(row(&found, "fp16-acc16").reason.contains("products' magnitudes is 1.0"));
    assert_eq!(row(&found, "fp16").status, Status::Ok, "its accumulator is f32");
}

/// Errors of int8-sr are independent between trials and without bias, so the square of that of the
/// mean of T is 1/T of that of one. The inner product of two trials' errors, over their square, has
/// a standard deviation of at most 1/√1024, as each operand has 1024 roundings of its own; T = 8
/// trials have T(T − 1)/2 pairs, which makes √2 of them beside 1: 5 of those are allowed. Errors of int4-sr
/// and fp8-sr are of different sizes, those of fp8-sr as the binades of the numbers: where their variances
/// v vary, the variance of the inner product is E(v²)/E(v)² times as large, and v is about the square of a
/// normal deviate (a factor of 3) times f(1 − f), f uniform (1.2), so the deviation is below twice as large.
#[test]
fn trials_average_out() {
    let rows = rows(&[
        ("TRADEOFF_SIZES", "32"),
        (
            "TRADEOFF_PRECISIONS",
            "fp16,fp16-sr,int8-sr,int8-sr-rowwise,bf16-sr,fp8-e4m3-sr,fp8-e5m2-sr,int4-sr",
        ),
        ("TRADEOFF_TRIALS", "8"),
    ]);
    assert_eq!(row(&rows, "fp16").trials, None, "nothing is random there");
    let stochastic =
        Precision::matmul().filter(|p| p.rounding() == tradeoff::number::Rounding::Stochastic);
    for name in stochastic.map(Precision::name) {
        let row = row(&rows, name);
        assert_eq!(row.trials, Some(8));
        let (one, mean) = (row.trial_error.unwrap(), row.trial_mean_error.unwrap());
        assert!(mean < one, "{name}: {mean} of {one}");
        let [low, bias, high] =
            [row.trial_bias_ci95_low, row.trial_bias, row.trial_bias_ci95_high].map(Option::unwrap);
        assert!(low < bias && bias < high);
        let times = match name {
            "fp16-sr" | "bf16-sr" => continue, // the conversion to nearest is the same in all
            "int8-sr" | "int8-sr-rowwise" => 1.0,
            _ => 2.0,
        };
        let off = 8.0 * (mean / one).powi(2) - 1.0;
        assert!(off.abs() < times * 5.0 * 2f64.sqrt() / 32.0, "{name}: {off}");
    }
}

/// The random bits of a rounding are a setting: each number is a case with an id, a column and results of
/// its own, and the conversion to int8 is biased by what each number of bits cuts off.
#[test]
fn random_bits_are_a_setting() {
    let rows = rows(&[
        ("TRADEOFF_SIZES", "32"),
        ("TRADEOFF_DISTRIBUTIONS", "uniform01"),
        ("TRADEOFF_PRECISIONS", "fp16,fp16-sr,int8-sr,fp8-e4m3-sr,bf16-sr,int4-sr"),
        ("TRADEOFF_ROUNDING_BITS", "4,8,16"),
        ("TRADEOFF_TRIALS", "16"),
        ("TRADEOFF_SEED", "3"),
    ]);
    assert_eq!(rows.len(), 1 + 5 * 3);
    let p = draw("uniform01", 32, 32, 32);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
        let (bits, precision) = (row.rounding_bits, &row.precision);
        let suffix = match bits {
            None | Some(16) => String::new(),
            Some(bits) => format!("-r{bits}"),
        };
        assert_eq!(bits.is_none(), precision == "fp16");
        let id = format!("matmul/{precision}/mirror/32x32x32-uniform01{suffix}/cpu");
        assert_eq!((&row.case_id, row.shape.as_str()), (&id, "32x32x32"));
        assert_eq!(row.mirror_mismatches, Some(0), "{id}");
        assert!(row.repeatable == Some(true) && row.measured_over_bound.unwrap_or(0.0) <= 1.0);
        if precision == "int8-sr" {
            let bits = bits.unwrap();
            let expected = [&p.a, &p.b].map(|x| mean_of_int8(x, bits));
            let bias = expected_bias(&p, &expected);
            let (found, low) = (row.trial_bias.unwrap(), row.trial_bias_ci95_low.unwrap());
            // Student's t of 15 degrees of freedom is beyond 4 · 2.13 once in 5 million times.
            assert!(
                (found - bias).abs() <= 4.0 * (found - low),
                "{bits} bits: {found}, not {bias}"
            );
            assert!(bits > 4 || found + 4.0 * (found - low) < 0.0, "{found} {low}");
        }
    }
    let results: std::collections::BTreeSet<_> = rows.iter().map(|r| &r.result_sha256).collect();
    assert_eq!(results.len(), rows.len(), "each number of bits rounds otherwise");
}

/// What int8-sr makes of a matrix of positive numbers in the mean: each number of steps with its fraction
/// cut to so many bits, times the step.
fn mean_of_int8(matrix: &Matrix, bits: u32) -> Vec<f64> {
    let step = f64::from(matrix.data.iter().copied().fold(0.0, f32::max)) / 127.0;
    let cut = 2f64.powi(bits as i32);
    matrix.data.iter().map(|&x| (f64::from(x) / step * cut).floor() / cut * step).collect()
}

/// The mean of (AB of these means − AB) / AB over all entries: operands are rounded independently.
fn expected_bias(p: &MatmulProblem, [a, b]: &[Vec<f64>; 2]) -> f64 {
    let dot = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| {
        (0..p.k).map(|q| a(q) * b(q)).sum::<f64>()
    };
    let mut sum = 0.0;
    for (i, j) in (0..p.m).flat_map(|i| (0..p.n).map(move |j| (i, j))) {
        let exact = dot(&|q| p.a.row(i)[q].into(), &|q| p.b.row(q)[j].into());
        sum += dot(&|q| a[i * p.k + q], &|q| b[q * p.n + j]) / exact - 1.0;
    }
    sum / (p.m * p.n) as f64
}

/// Equal bits again, and of a row alone: on every device here. A step that all rows share is what
/// makes a row depend on the others.
#[test]
fn runs_and_rows_alone_have_equal_bits() {
    let variables = [
        ("TRADEOFF_WORKLOADS", "matmul"),
        ("TRADEOFF_SIZES", "33x40x70"),
        ("TRADEOFF_PRECISIONS", "fp32,fp16-sr,int8,int8-rowwise"),
        ("TRADEOFF_KERNELS", "naive,register_tiled"),
        ("TRADEOFF_ROUNDING_BITS", "16,10"),
    ];
    let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let selection = Selection::from_variables(variables.into()).unwrap();
    let mut session = Session::new(discover(None).unwrap(), selection, &Provenance::collect());
    for case in session.plan() {
        let prepared = session.prepare(&case).unwrap();
        let row = prepared.record();
        assert_eq!(row.repeatable, Some(true), "{case}");
        assert_eq!(row.batch_invariant, Some(row.precision != "int8"), "{case}");
    }
}

/// What holds more than an f32, or parts of one, takes what the file holds, on every device here: fp64 as it
/// is, the others as parts that the host makes of it. The bounds of fp64 and fp32x2, without a term for
/// rounding to f32, are a small part of what that rounding costs the others, and the columns say which
/// numbers were given.
#[test]
fn numbers_given_in_f64_reach_what_can_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (m, n, k) = (9, 21, 40);
    let numbers = |count: usize, first: usize| (first..first + count).map(|i| (i as f64).sin());
    let write = |name: &str, shape: [usize; 2], numbers: Vec<f64>| {
        let shape = format!("({}, {})", shape[0], shape[1]);
        let bytes = numbers.into_iter().flat_map(f64::to_le_bytes).collect();
        std::fs::write(path(name), npy("<f8", "False", &shape, bytes)).unwrap();
    };
    let a: Vec<f64> = numbers(m * k, 1).collect();
    write("a.npy", [m, k], a.clone());
    write("b.npy", [k, n], numbers(k * n, 1000).collect());
    // The same in f32, and another file.
    write("c.npy", [m, k], a.iter().map(|&x| f64::from(x as f32)).collect());
    let prepare = |a: &str| {
        let (a, b) = (path(a), path("b.npy"));
        let pairs = [
            ("TRADEOFF_A", a.as_str()),
            ("TRADEOFF_B", b.as_str()),
            ("TRADEOFF_PRECISIONS", "fp32,fp32-comp,fp16x2,bf16x3,fp32x2,fp64"),
            ("TRADEOFF_KERNELS", "register_tiled"),
            ("TRADEOFF_TUNE", "off"),
        ];
        let selection = selection(&pairs).unwrap();
        let mut session = Session::new(discover(None).unwrap(), selection, &Provenance::collect());
        let lacks_f64 = |case: &Case, session: &Session| {
            let device = session.devices().iter().find(|d| d.info.slug == case.device_slug);
            let has = device.is_some_and(|d| d.is_cpu() || d.info.shader_f64);
            case.precision == Precision::Fp64 && !has
        };
        let mut cases = session.plan();
        cases.retain(|case| !lacks_f64(case, &session));
        let row = |case: &Case| match session.prepare(case) {
            Ok(prepared) => prepared.record().clone(),
            Err(measured) => panic!("{case}: {}", measured.record.reason),
        };
        cases.iter().map(row).collect::<Vec<Record>>()
    };
    let rows = prepare("a.npy");
    for row in &rows {
        let id = &row.case_id;
        assert_eq!(row.mirror_mismatches, Some(0), "{id}");
        assert!(row.measured_over_bound.unwrap() <= 1.0, "{id}");
        let equal_again = (row.repeatable, row.batch_invariant);
        assert_eq!(equal_again, (Some(true), Some(true)), "{id}");
        let (error, bound) =
            (row.relative_frobenius.unwrap(), row.relative_frobenius_bound.unwrap());
        // |A||B| is below 2⁶ times |AB| in the mean square of these data.
        let (k, f32_rounding) = (k as f64, 2f64.powi(-24));
        let most = match row.precision.as_str() {
            "fp64" => 64.0 * (k + 2.0) * 2f64.powi(-53),
            "fp32x2" => 64.0 * (3.0 * k + 20.0) * f32_rounding * f32_rounding,
            _ => {
                // Rounding the operands alone moves each product by 0.4 units in the mean square.
                assert!(
                    error > 0.1 * f32_rounding && bound > 2.0 * f32_rounding,
                    "{id}: {error:e}"
                );
                continue;
            }
        };
        assert!(error <= bound && bound <= most && most < 0.01 * f32_rounding, "{id}: {bound:e}");
    }
    // An f32 leaves up to 2⁻²⁴ of a number, 1/√3 of that in the mean square, three bf16 at most 2⁻²⁶.
    let conversion = |precision: &str| {
        rows.iter().find(|row| row.precision == precision).unwrap().conversion_error.unwrap()
    };
    assert!(conversion("bf16x3") < 0.5 * conversion("fp32"));
    // The host made the parts: no stage of the device's does.
    assert!(rows.iter().all(|row| row.conversion_bytes.is_none()));
    let others = prepare("c.npy");
    for (row, other) in rows.iter().zip(&others) {
        let takes_more = ["fp64", "fp32x2", "fp16x2", "bf16x3"].contains(&row.precision.as_str());
        assert_eq!(row.result_sha256 != other.result_sha256, takes_more, "{}", row.precision);
        assert_ne!(row.inputs_sha256, other.inputs_sha256);
        assert_ne!(row.case_id, other.case_id);
    }
}

/// The truth of f64 operands is of what the file holds: of 0.1·0.1 in f32, the error is that of rounding
/// 0.1, twice, and of the product, once; what was rounded before the kernel is conversion.
#[test]
fn rounding_to_f32_is_a_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy").to_str().unwrap().to_owned();
    std::fs::write(&path, npy("<f8", "False", "(1, 1)", 0.1f64.to_le_bytes().to_vec())).unwrap();
    let files = [("TRADEOFF_A", path.as_str()), ("TRADEOFF_B", path.as_str())];
    let rows = rows(&files);
    let x = f64::from(0.1f32);
    let truth = 0.1 * 0.1;
    let near = |found: Option<f64>, expected: f64| {
        // Each is a difference of numbers with an error of some 2⁻⁵³ of theirs.
        assert!((found.unwrap() - expected.abs() / truth).abs() < 8.0 * f64::EPSILON, "{found:?}");
    };
    let single = row(&rows, "fp32");
    assert_eq!(single.status, Status::Ok, "{}", single.reason);
    near(single.conversion_error, x * x - truth);
    near(single.accumulation_error, f64::from(0.1f32 * 0.1f32) - x * x);
    near(single.relative_frobenius, f64::from(0.1f32 * 0.1f32) - truth);
    // The bound knows of it: without, 2⁻²⁴ of one product would be exceeded.
    assert!(single.relative_frobenius.unwrap() > 2f64.powi(-24));
    assert!(single.measured_over_bound.unwrap() <= 1.0);
}
