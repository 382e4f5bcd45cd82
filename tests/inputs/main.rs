//! The inputs of matrix products: each distribution against what its definition says, and the cases,
//! columns and messages of distributions and of the user's own files.

mod distributions;
mod errors;

use std::collections::BTreeMap;

use tradeoff::gpu::discover;
use tradeoff::measure::{Case, Selection, Session};
use tradeoff::number::Precision;
use tradeoff::problem::distribution::Distribution;
use tradeoff::problem::matrix::{MatmulProblem, Matrix};
use tradeoff::record::{Provenance, Record, Status};

const SEED: u64 = 3;

fn draw(distribution: &str, m: usize, n: usize, k: usize) -> MatmulProblem {
    MatmulProblem::generate(distribution.parse().unwrap(), m, n, k, SEED).unwrap()
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
