//! What a row says of its error: the parts that its causes have, the bounds that hold with a probability,
//! and what stagnated.

use tradeoff::number::Precision;
use tradeoff::record::{Record, Status};

use super::{npy, row, rows};

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
    let ok = |row: &&Record| row.status == Status::Ok;
    assert_eq!(rows.iter().filter(ok).count(), 3 * 2 + 2);
    for row in rows.iter().filter(ok) {
        let told = &row.case_id;
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
