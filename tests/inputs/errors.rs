//! What a row says of its error: the parts that its causes have, the bounds that hold with a probability,
//! and what stagnated.

use tradeoff::number::Precision;
use tradeoff::record::{Record, Status};

use super::{npy, row, rows};

/// The names of the precisions beside those of a plain run, between commas.
fn others() -> String {
    let others = Precision::NARROW.into_iter().chain(Precision::WIDE);
    others.map(Precision::name).collect::<Vec<_>>().join(",")
}

/// What a measured row's error is made of: conversion, accumulation and output, which add up in squares
/// as its column says. With the square of that sum over the error's.
fn parts(row: &Record) -> ([f64; 3], f64) {
    assert_eq!(row.status, Status::Ok, "{}", row.reason);
    let parts = [row.conversion_error, row.accumulation_error, row.output_rounding_error];
    let parts = parts.map(Option::unwrap);
    let over = row.parts_over_error.unwrap();
    let expected =
        parts.iter().map(|x| x * x).sum::<f64>().sqrt() / row.relative_frobenius.unwrap();
    assert!((over / expected - 1.0).abs() < 1e-9, "{}: {over} of {parts:?}", row.precision);
    (parts, over * over)
}

/// The ratio of a measured row's error to each bound that holds with a probability: for sums rounded to
/// nearest, and for those rounded at random. That it holds, with the usual chance, where `is_kept`.
fn bounded(row: &Record, is_kept: bool) -> [Option<f64>; 2] {
    assert_eq!(row.status, Status::Ok, "{}", row.reason);
    let nearest = (row.measured_over_probabilistic, row.probabilistic_failure);
    let stochastic = (row.measured_over_stochastic, row.stochastic_failure);
    [nearest, stochastic].map(|(ratio, failure)| {
        assert_eq!(ratio.is_some(), failure.is_some(), "{}", row.precision);
        let (ratio, failure) = (ratio?, failure?);
        let told = format!("{}: {ratio} {failure}", row.precision);
        assert!((failure - 0.01).abs() < 1e-9, "{told}");
        assert!(ratio > 0.0 && (ratio <= 1.0 || !is_kept), "{told}");
        Some(ratio)
    })
}

/// The parts of the error are what the docs of each say, and add up in squares. Over N = 1600 entries
/// two independent parts are off by 5/√N = 0.125 of the square less than once in 10⁶ times; where
/// only one is not 0 there is nothing to be off.
#[test]
fn errors_split_by_cause() {
    let rows = rows(&[("TRADEOFF_SIZES", "40x40x300"), ("TRADEOFF_SEED", "5")]);
    for row in &rows {
        let ([conversion, accumulation, output], square) = parts(row);
        let told = format!("{}: {:?} of {:?}", row.precision, parts(row), row.relative_frobenius);
        assert!((square - 1.0).abs() < 0.125, "{told}");
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
    let others = others();
    let rows = rows(&[
        ("TRADEOFF_SIZES", "40x40x300"),
        ("TRADEOFF_SEED", "5"),
        ("TRADEOFF_PRECISIONS", &others),
    ]);
    assert_eq!(rows.len(), others.split(',').count());
    let u = 2f64.powi(-24);
    for row in &rows {
        let ([conversion, accumulation, output], square) = parts(row);
        let told = format!("{}: {:?} of {:?}", row.precision, parts(row), row.relative_frobenius);
        let made = [conversion, accumulation, output].iter().filter(|part| **part > 0.0).count();
        assert!((square - 1.0).abs() < 0.125 * (made as f64 - 1.0) + 1e-9, "{told}");
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
        let precision = row.precision.as_str();
        let vacuous = ["fp16-acc16", "fp16-sr"].contains(&precision);
        assert_eq!(row.bound_vacuous, Some(vacuous), "{precision}");
        // fp16-acc16 stagnates: its errors are not independent, so the model need not hold.
        let [nearest, stochastic] = bounded(row, precision != "fp16-acc16");
        match precision {
            "fp16-sr" => assert!(stochastic.is_some()),
            "fp32" | "fp16" | "bf16" | "fp16-acc16" => {
                assert!(nearest.is_some() && stochastic.is_none());
            }
            _ => assert!(nearest.is_none() && stochastic.is_none()),
        }
        // √k against k roundings: the bound is the closer.
        assert!(nearest > row.measured_over_bound || precision != "fp32");
    }
}

/// The same of every other precision: sums to nearest in f32 or f64 have the one, of parts of numbers and
/// of blocks too, bf16-sr the other, and those that carry their own errors neither.
#[test]
fn bounds_with_a_probability_of_every_precision() {
    let rows = rows(&[
        ("TRADEOFF_SIZES", "16x16x2048"),
        ("TRADEOFF_DISTRIBUTIONS", "uniform01"),
        ("TRADEOFF_PRECISIONS", &others()),
    ]);
    for row in &rows {
        let precision = row.precision.as_str();
        assert_eq!(row.bound_vacuous, Some(precision == "bf16-sr"), "{precision}");
        let [nearest, stochastic] = bounded(row, true);
        match precision {
            "bf16-sr" => assert!(nearest.is_none() && stochastic.is_some()),
            "fp32-comp" | "fp32x2" => assert!(nearest.is_none() && stochastic.is_none()),
            _ => {
                assert!(nearest.is_some() && stochastic.is_none());
                // √k against k roundings, where these are what the bound is made of.
                let closer = nearest > row.measured_over_bound;
                assert!(
                    closer || !["fp16x2", "bf16x3", "fp64"].contains(&precision),
                    "{precision}"
                );
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
    let files = [("TRADEOFF_A", a.as_str()), ("TRADEOFF_B", &b)];
    let rows = rows(&[&files[..], &[("TRADEOFF_PRECISIONS", &others())]].concat());
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
        let rows = super::rows(&[&files[..], &[("TRADEOFF_PRECISIONS", precision)]].concat());
        (rows[0].stagnated_fraction.unwrap(), rows[0].accumulation_error.unwrap())
    };
    let error = 399.0 / (2f64.powi(25) + 399.0);
    let (fraction, found) = stagnated("fp32");
    // Each norm of two entries is within some roundings of f64.
    assert!(fraction == 399.0 / 400.0 && (found / error - 1.0).abs() < 1e-14, "{found:e}");
    assert_eq!(stagnated("fp32-comp"), (0.0, 0.0));
    assert_eq!(stagnated("fp64"), (0.0, 0.0));
}
