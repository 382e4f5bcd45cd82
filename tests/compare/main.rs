//! Intervals of a ratio of medians against what theory says of them, and `tradeoff compare` as a
//! user and a CI job run it.

mod intervals;
mod refusals;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;
use tradeoff::compare::{By, Comparison, LEAST_SAMPLES, Method, Verdict, compare, sides};
use tradeoff::measure::statistics::Summary;
use tradeoff::record::{Provenance, Record, RunFolder, Sample, Stage, Status, load};

use intervals::{median_ci, skewed};
use refusals::refused;

/// A case measured with these times of one iteration.
fn row(precision: &str, times_ns: &[f64]) -> (Record, Vec<f64>) {
    let summary = Summary::of(times_ns.iter().map(|&time| (1, time))).unwrap();
    let record = Record {
        case_id: format!("matmul/{precision}/naive/8x8x8/gpu-vulkan"),
        workload: "matmul".into(),
        kernel: "naive".into(),
        wgsl_sha256: "ab12".into(),
        precision: precision.into(),
        shape: "8x8x8".into(),
        problem: "seeded".into(),
        distribution: "normal".into(),
        seed: Some(1),
        trial: Some(0),
        inputs_sha256: "cd34".into(),
        timing_method: "timestamp".into(),
        samples: Some(times_ns.len() as u64),
        median_ns: Some(summary.median_ns),
        median_ci95_low_ns: Some(summary.median_ci95_low_ns),
        median_ci95_high_ns: Some(summary.median_ci95_high_ns),
        primary_error_metric: "relative_frobenius".into(),
        primary_error: Some(1e-3),
        mirror_mismatches: Some(0),
        device: "gpu-vulkan".into(),
        backend: "vulkan".into(),
        driver: "d".into(),
        driver_info: "1".into(),
        crate_version: "0.1.0".into(),
        git_revision: "1234".into(),
        status: Status::Ok,
        ..Record::default()
    };
    (record, times_ns.to_vec())
}

/// `row`, changed.
fn edited(
    (mut record, times): (Record, Vec<f64>),
    edit: impl Fn(&mut Record),
) -> (Record, Vec<f64>) {
    edit(&mut record);
    (record, times)
}

/// 20 times around `median`, within 2 %.
fn around(median: f64) -> Vec<f64> {
    (0..20).map(|i| median * (0.98 + 0.04 * f64::from(i) / 19.0)).collect()
}

/// A run folder with these rows and their samples, of two iterations each. Of two runs, the later in
/// the alphabet is the later.
fn run(root: &TempDir, name: &str, rows: &[(Record, Vec<f64>)]) -> PathBuf {
    let provenance = Provenance {
        utc: "2026-01-02T03:04:05Z".into(),
        host: Some(name.into()),
        ..Provenance::default()
    };
    let mut folder = RunFolder::create(root.path(), provenance).unwrap();
    let utc = format!("2026-01-02T03:05:{}Z", 10 + name.as_bytes()[0] - b'a');
    for (record, times) in rows {
        folder.append(&Record { utc: utc.clone(), ..record.clone() }).unwrap();
        let sample = |(sample, time): (usize, &f64)| Sample {
            case_id: record.case_id.clone(),
            stage: Stage::Product,
            sample: sample as u64,
            iterations: 2,
            elapsed_ns: 2.0 * time,
            ..Sample::default()
        };
        let samples: Vec<_> = times.iter().enumerate().map(sample).collect();
        folder.append_samples(&samples).unwrap();
    }
    folder.path().to_owned()
}

/// Two runs compared by the library.
fn compared(a: &[(Record, Vec<f64>)], b: &[(Record, Vec<f64>)]) -> Comparison {
    let root = tempfile::tempdir().unwrap();
    let runs = load(&[run(&root, "a", a), run(&root, "b", b)]).unwrap();
    let (a, b) = sides(&runs, By::Run, ["a", "b"]).unwrap();
    compare(a, b, By::Run, false).unwrap()
}

/// Status, stdout and stderr of `tradeoff compare`.
fn cli<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("tradeoff").unwrap();
    let output = command.arg("compare").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn of_two(a: &Path, b: &Path, more: &[&str]) -> (i32, String, String) {
    let paths = [a.to_str().unwrap(), b.to_str().unwrap()];
    cli(&[&paths[..], more].concat())
}

/// The rows of CSV on stdout.
fn table(out: &str) -> Vec<HashMap<String, String>> {
    csv::Reader::from_reader(out.as_bytes()).deserialize().map(Result::unwrap).collect()
}

#[test]
fn verdicts() {
    let noisy: Vec<f64> = (0..20).map(|i| 50.0 + 10.0 * f64::from(i)).collect();
    let shifted: Vec<f64> = noisy.iter().map(|time| 1.1 * time).collect();
    let comparison = compared(
        &[
            row("fp32", &around(100.0)),
            row("fp16", &around(100.0)),
            row("bf16", &around(100.0)),
            row("int8", &noisy),
        ],
        &[
            row("fp32", &around(200.0)),
            row("fp16", &around(50.0)),
            row("bf16", &around(100.0)),
            row("int8", &shifted),
        ],
    );
    let verdicts: Vec<_> = comparison.pairs.iter().map(|pair| pair.verdict).collect();
    use Verdict::{Faster, Slower, Undecided};
    assert_eq!(verdicts, [Slower, Faster, Undecided, Undecided]);
    for (pair, ratio) in comparison.pairs.iter().zip([2.0, 0.5, 1.0, 1.1]) {
        assert!((pair.ratio - ratio).abs() < 1e-12, "{pair:?}");
        assert_eq!(pair.method, Method::Bootstrap);
        let interval = pair.interval.unwrap();
        assert!(interval.low < ratio && ratio < interval.high, "{pair:?}");
    }
    assert_eq!(comparison.slower_by(0.05).count(), 1);
    assert_eq!(comparison.slower_by(0.9).count(), 1);
    assert_eq!(comparison.slower_by(1.0).count(), 0);
    assert_eq!(comparison.differences(), []);
}

/// The interval of a case is the same whatever is compared beside it.
#[test]
fn an_interval_depends_on_its_case_alone() {
    let (a, b) = (row("fp16", &skewed(20, 1, 0)), row("fp16", &skewed(20, 1, 1)));
    let other = row("fp32", &around(1.0));
    let alone = compared(std::slice::from_ref(&a), std::slice::from_ref(&b));
    let among = compared(&[other.clone(), a], &[b, other]);
    assert_eq!(alone.pairs[0].interval, among.pairs[1].interval);
    let interval = alone.pairs[0].interval.unwrap();
    assert!(interval.low < interval.high);
}

#[test]
fn geometric_means() {
    let rows = |times: [f64; 3]| {
        let shape = |(i, &time): (usize, &f64)| {
            let precision = if i < 2 { "fp32" } else { "fp16" };
            edited(row(precision, &[time; 10]), |r| {
                r.shape = format!("{i}x8x8");
                r.case_id = format!("matmul/{precision}/naive/{i}x8x8/gpu-vulkan");
            })
        };
        times.iter().enumerate().map(shape).collect::<Vec<_>>()
    };
    let comparison = compared(&rows([1.0, 1.0, 1.0]), &rows([8.0, 2.0, 0.5]));
    let means = comparison.geometric_means();
    assert_eq!(means.len(), 2);
    assert_eq!((means[0].precision.as_str(), means[0].cases), ("fp32", 2));
    assert!((means[0].ratio - 4.0).abs() < 1e-12, "{means:?}");
    assert_eq!((means[1].precision.as_str(), means[1].cases), ("fp16", 1));
    assert!((means[1].ratio - 0.5).abs() < 1e-12, "{means:?}");
}

#[test]
fn errors_and_bits() {
    let pair = |a: fn(&mut Record), b: fn(&mut Record)| {
        let (a, b) = (edited(row("fp16", &[1.0; 10]), a), edited(row("fp16", &[1.0; 10]), b));
        let pair = compared(&[a], &[b]).pairs.remove(0);
        (pair.error_ratio, pair.bits)
    };
    let (ratio, bits) = pair(|_| (), |_| ());
    assert_eq!(ratio, Some(1.0));
    assert_eq!((bits.mirror_a, bits.mirror_b), (Some(true), Some(true)));
    assert_eq!((bits.same_inputs, bits.same_wgsl), (Some(true), Some(true)));

    let (ratio, bits) = pair(
        |r| r.mirror_mismatches = None,
        |r| {
            r.primary_error = Some(4e-3);
            r.mirror_mismatches = Some(3);
            r.inputs_sha256 = "other".into();
            r.wgsl_sha256 = String::new();
        },
    );
    assert_eq!(ratio, Some(4.0));
    assert_eq!((bits.mirror_a, bits.mirror_b), (None, Some(false)));
    assert_eq!((bits.same_inputs, bits.same_wgsl), (Some(false), Some(false)));

    let zero: fn(&mut Record) = |r| r.primary_error = Some(0.0);
    assert_eq!(pair(zero, zero).0, Some(1.0));
    assert_eq!(pair(zero, |_| ()).0, Some(f64::INFINITY));
    assert_eq!(pair(|_| (), zero).0, Some(0.0));
    assert_eq!(pair(|r| r.primary_error = None, |_| ()).0, None);
    assert_eq!(pair(|r| r.primary_error_metric = "max_ulp".into(), |_| ()).0, None);
    let no_wgsl: fn(&mut Record) = |r| r.wgsl_sha256 = String::new();
    assert_eq!(pair(no_wgsl, no_wgsl).1.same_wgsl, None, "two CPU mirrors do not say");
}

/// In every form: the results' own bits where both rows have their hash and are of the same inputs,
/// the mirrors' otherwise.
#[test]
fn changes_in_bits() {
    type Edit = fn(&mut Record);
    let hash: Edit = |r| r.result_sha256 = "ef56".into();
    let cases: [(Edit, Edit, &str); 5] = [
        (hash, hash, "same"),
        (hash, |r| r.result_sha256 = "ef57".into(), "differ"),
        (hash, |_| (), "as mirrored"),
        (
            hash,
            |r| (r.result_sha256, r.inputs_sha256) = ("ef57".into(), "other".into()),
            "as mirrored",
        ),
        (hash, |r| r.mirror_mismatches = Some(1), "B differs"),
    ];
    for (a, b, bits) in cases {
        let root = tempfile::tempdir().unwrap();
        let a = run(&root, "a", &[edited(row("fp16", &[1.0; 10]), a)]);
        let b = run(&root, "b", &[edited(row("fp16", &[1.0; 10]), b)]);
        let line = of_two(&a, &b, &[]).1.lines().nth(4).unwrap().to_owned();
        assert!(line.ends_with(&format!("  {bits}")), "{line}");
        assert_eq!(table(&of_two(&a, &b, &["--csv"]).1)[0]["bits"], bits);
        let json: serde_json::Value = serde_json::from_str(&of_two(&a, &b, &["--json"]).1).unwrap();
        assert_eq!(json["cases"][0]["bits"], bits);
    }
}

/// A case is the same only where everything but the run is.
#[test]
fn what_is_one_case() {
    let matched = |edit: fn(&mut Record)| {
        let (base, keep) = (row("fp16", &[1.0; 10]), row("fp32", &[1.0; 10]));
        let other = edited(base.clone(), edit);
        compared(&[base, keep.clone()], &[other, keep]).pairs.len() == 2
    };
    assert!(matched(|_| ()));
    assert!(matched(|r| r.wgsl_sha256 = "other".into()));
    assert!(matched(|r| r.kernel = "the only one there".into()));
    assert!(!matched(|r| r.workload = "sgd".into()));
    assert!(!matched(|r| r.precision = "int8".into()));
    assert!(!matched(|r| r.shape = "9x9x9".into()));
    assert!(!matched(|r| r.distribution = "uniform".into()));
    assert!(!matched(|r| r.data_set = "digits".into()));
    assert!(!matched(|r| r.seed = Some(2)));
    assert!(!matched(|r| r.trial = Some(1)));
    assert!(!matched(|r| r.rounding_bits = Some(8)));
    assert!(matched(|r| r.rounding_bits = Some(16)), "as schema 1 leaves it out");
    assert!(!matched(|r| r.steps = Some(1)));
    assert!(!matched(|r| r.learning_rate = Some(0.5)));
    assert!(!matched(|r| r.device = "cpu".into()));
    assert!(!matched(|r| r.distribution_parameters = "phi=2".into()));
    assert!(!matched(|r| r.rounding_bits = Some(8)));
    assert!(matched(|r| r.rounding_bits = Some(16)), "as schema 1 leaves it out");
    assert!(!matched(|r| r.operand_layout = "tn".into()));
    assert!(matched(|r| r.operand_layout = "nn".into()), "as schema 1 leaves it out");
    assert!(!matched(|r| r.batch_count = Some(8)));
    assert!(!matched(|r| r.algorithm = "halp".into()));
    assert!(!matched(|r| r.implementation = "gemm 0.19.0".into()));
    assert!(matched(|r| r.implementation = "tradeoff".into()), "as schema 1 leaves it out");
}

/// What the name of a case does not tell stands beside it.
#[test]
fn conditions_are_told_beside_the_case() {
    let root = tempfile::tempdir().unwrap();
    let cases = || {
        let other = |id: &'static str, edit: fn(&mut Record)| {
            edited(row("fp16-sr", &[1.0; 10]), move |r| {
                r.case_id = format!("matmul/fp16-sr/naive/8x8x8-{id}/gpu-vulkan");
                r.rounding_bits = Some(16);
                edit(r);
            })
        };
        [
            other("a", |_| ()),
            other("b", |r| r.rounding_bits = Some(8)),
            other("c", |r| {
                r.distribution = "exponent-spread".into();
                r.distribution_parameters = "phi=2".into();
            }),
            other("d", |r| r.operand_layout = "tn".into()),
            other("e", |r| r.batch_count = Some(4)),
        ]
    };
    let (a, b) = (run(&root, "a", &cases()), run(&root, "b", &cases()));
    let (status, out, err) = of_two(&a, &b, &["--csv"]);
    assert_eq!(status, 0, "{err}");
    let told: Vec<_> = table(&out).into_iter().map(|line| line["conditions"].clone()).collect();
    let expected = [
        "normal",
        "normal, r=8",
        "exponent-spread(phi=2)",
        "normal, operands tn",
        "normal, 4 at once",
    ];
    assert_eq!(told, expected);
    let (_, out, _) = of_two(&a, &b, &[]);
    assert!(expected.iter().all(|text| out.contains(text)), "{out}");
}

/// A fingerprint as run.json has it, and the run of one case on its device.
fn on_device(root: &TempDir, name: &str, hash: &str, sums: &str) -> PathBuf {
    let hash = format!("{hash}{}", "0".repeat(63));
    let case = edited(row("fp16", &[1.0; 10]), |r| r.fingerprint_sha256 = hash.clone());
    let path = run(root, name, &[case]);
    let json = path.join("run.json");
    let mut whole: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let observed = serde_json::json!({ "rounding": { "sums": sums, "products": "even" } });
    whole["fingerprints"]["gpu-vulkan"] =
        serde_json::json!({ "observed": observed, "sha256": hash });
    fs::write(&json, whole.to_string()).unwrap();
    path
}

/// The hashes first, then the findings that differ, and nothing where the hashes are equal.
#[test]
fn differing_fingerprints_are_named() {
    let root = tempfile::tempdir().unwrap();
    let a = on_device(&root, "a", "a", "even");
    let b = on_device(&root, "b", "b", "toward zero");
    let (status, _, err) = of_two(&a, &b, &[]);
    assert_eq!(status, 0);
    insta::assert_snapshot!(err, @"warning: different fingerprints: A's gpu-vulkan has `a00000000000`, B's gpu-vulkan has `b00000000000`; 1 finding differs: rounding: sums (A: even; B: toward zero)");
    let (_, out, _) = of_two(&a, &b, &["--json"]);
    let whole: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(whole["fingerprints"][0]["findings"][0]["property"], "rounding: sums");
    assert_eq!(whole["fingerprints"][0]["sha256_b"], format!("b{}", "0".repeat(63)));

    let same = on_device(&root, "c", "a", "even");
    let (_, _, err) = of_two(&a, &same, &[]);
    assert!(!err.contains("fingerprint"), "{err}");
    fs::remove_file(b.join("run.json")).unwrap();
    let (_, _, err) = of_two(&a, &b, &[]);
    assert!(err.contains("without both run.json nothing says in what"), "{err}");
}

/// A results file may hold anything: on the terminal it is text on the line it belongs to.
#[test]
fn what_files_hold_does_not_steer_the_terminal() {
    let root = tempfile::tempdir().unwrap();
    let odd = "odd\u{1b}[2J\nwarning: \u{9b}31m";
    let a = on_device(&root, "a", "a", "even");
    let b = on_device(&root, "b", "b", odd);
    for (run, order) in [(&a, "sequential"), (&b, odd)] {
        let orders = serde_json::json!([{
            "kernel": "naive", "precision": "fp16", "parameters": "", "wgsl_sha256": "ab12",
            "terms": 64, "order": order, "tree": order,
        }]);
        let json = run.join("run.json");
        let mut whole: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        whole["fingerprints"]["gpu-vulkan"]["summation_orders"] = orders;
        fs::write(&json, whole.to_string()).unwrap();
        // A case that one side alone has, and one of another name on each.
        let csv = run.join("measurements.csv");
        let text = fs::read_to_string(&csv).unwrap();
        let row = text.lines().nth(1).unwrap();
        let only = row
            .replace("matmul/fp16/naive/8x8x8/gpu-vulkan", &format!("\"{odd}{order}\""))
            .replace("fp16", "fp32")
            .replace("8x8x8", if order == odd { "9x9x9" } else { "7x7x7" });
        fs::write(&csv, format!("{text}{only}\n")).unwrap();
    }
    let shown = "odd\\u{1b}[2J\\nwarning: \\u{9b}31m";
    let (status, out, err) = of_two(&a, &b, &["-v"]);
    assert_eq!(status, 0, "{err}");
    for line in [
        format!(
            "warning: different fingerprints: A's gpu-vulkan has `a00000000000`, B's gpu-vulkan has `b00000000000`; 1 finding differs: rounding: sums (A: even; B: {shown})"
        ),
        format!("B's fp16 naive on gpu-vulkan {shown}"),
        format!("only in A: `{}`, line 3: {shown}sequential", a.join("measurements.csv").display()),
    ] {
        assert!(err.contains(&line), "{line}\n{err}");
    }
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!err.contains(steers) && !out.contains(steers), "{err}{out}");
    assert!(err.lines().all(|line| !line.starts_with("warning: \\u{9b}")), "{err}");

    // The names of the two sides.
    let device = "gpu\u{1b}[2J";
    let json = fs::read_to_string(a.join("measurements.csv")).unwrap();
    fs::write(a.join("measurements.csv"), json.replace(",gpu-vulkan,", &format!(",{device},")))
        .unwrap();
    let b = run(&root, "c", &[row("fp16", &[1.0; 10])]);
    let [a, b] = [&a, &b].map(|path| path.to_str().unwrap());
    let (status, out, err) = cli(&["--by", "device", device, "gpu-vulkan", a, b]);
    assert!(
        status == 0 && out.starts_with("A is device gpu\\u{1b}[2J\nB is device gpu-vulkan\n"),
        "{out}{err}"
    );
}

/// A peer is another case, unless it is what is compared; its next version is the same case.
#[test]
fn implementations() {
    let root = tempfile::tempdir().unwrap();
    let peer = |version: &str, time: f64| {
        let version = version.to_owned();
        edited(row("fp32", &[time; 10]), move |r| {
            r.implementation = version.clone();
            r.case_id = "matmul/fp32/gemm/8x8x8/gpu-vulkan".into();
            r.kernel = "gemm".into();
        })
    };
    let own = || row("fp32", &[20.0; 10]);
    let a = run(&root, "a", &[own(), peer("gemm 0.19.0", 10.0)]);
    let b = run(&root, "b", &[own(), peer("gemm 0.20.0", 15.0)]);
    let path = a.to_str().unwrap();
    let (status, out, err) = cli(&["--by", "implementation", "tradeoff", "gemm", path, "--csv"]);
    assert_eq!((status, &*table(&out)[0]["ratio"]), (0, "0.5"), "{err}");
    assert!(!err.contains("implementations"), "{err}");
    refused(
        &["--by", "implementation", "tradeoff", "faer", path],
        "no row has implementation `faer`; there are gemm 0.19.0, tradeoff",
    );
    let (status, out, err) = of_two(&a, &b, &["--csv", "--best-kernel"]);
    let ratios: Vec<_> = table(&out).into_iter().map(|line| line["ratio"].clone()).collect();
    assert_eq!((status, ratios), (0, vec!["1.0".to_owned(), "1.5".to_owned()]));
    assert!(err.contains("different implementations in 1 of 2 cases"), "{err}");
    assert!(err.contains("A has `gemm 0.19.0`, B has `gemm 0.20.0`"), "{err}");
}

/// Each condition that was another one is told, and none where a row does not say.
#[test]
fn other_conditions_are_said() {
    let told = |of: fn(&mut Record), than: fn(&mut Record)| {
        let (of, than) =
            (edited(row("fp16", &[1.0; 10]), of), edited(row("fp16", &[1.0; 10]), than));
        let told = compared(&[of], &[than]).differences();
        told.iter().map(|difference| difference.what).collect::<Vec<_>>()
    };
    type Edit = fn(&mut Record);
    let cases: [(Edit, Edit, &str); 6] = [
        (|r| r.cpu = "x".into(), |r| r.cpu = "y".into(), "processors"),
        (
            |r| r.kernel_parameters = "rows=8".into(),
            |r| r.kernel_parameters = "rows=4".into(),
            "kernel parameters",
        ),
        (|r| r.f16_path = "native".into(), |r| r.f16_path = "packed".into(), "paths of f16"),
        (|r| r.interleaving = "rounds".into(), |r| r.interleaving = "none".into(), "interleaving"),
        (|r| r.wgpu_version = "30".into(), |r| r.wgpu_version = "29".into(), "versions of wgpu"),
        (|r| r.throttled = Some(true), |r| r.throttled = Some(false), "throttling"),
    ];
    for (a, b, what) in cases {
        assert_eq!(told(a, b), [what]);
        assert_eq!(told(a, a), [""; 0]);
        assert_eq!(told(a, |_| ()), [""; 0], "{what}");
    }
}

#[test]
fn the_table_of_two_runs() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp32", &[1000.0; 10]), row("fp16", &[500.0; 10])]);
    let b = run(
        &root,
        "b",
        &[
            row("fp32", &[1100.0; 10]),
            edited(row("fp16", &[400.0; 10]), |r| r.primary_error = Some(2e-3)),
        ],
    );
    let (status, out, err) = of_two(&a, &b, &[]);
    assert_eq!((status, err.as_str()), (0, ""));
    let out = out.replace(&root.path().display().to_string(), "");
    insta::assert_snapshot!(out, @r"
    A is run /20260102T030405Z-a
    B is run /20260102T030405Z-b

    case                          inputs  kernel         A         B     B/A  95 % interval     B is    error B/A  bits
    matmul/fp32/8x8x8/gpu-vulkan  normal  naive   1.000 µs  1.100 µs   1.100  [1.100, 1.100]    slower       1.00  as mirrored
    matmul/fp16/8x8x8/gpu-vulkan  normal  naive   500.0 ns  400.0 ns  0.8000  [0.8000, 0.8000]  faster       2.00  as mirrored

    geometric mean of B/A
    matmul/fp32   1.100  1 case
    matmul/fp16  0.8000  1 case

    intervals: percentile bootstrap, 9999 resamples, of 2 ratios
    ");
}

#[test]
fn a_slower_case_fails_a_ci_job() {
    let root = tempfile::tempdir().unwrap();
    let noisy: Vec<f64> = (0..20).map(|i| 50.0 + 10.0 * f64::from(i)).collect();
    let twice: Vec<f64> = noisy.iter().map(|time| 1.5 * time).collect();
    let a = run(
        &root,
        "a",
        &[row("fp32", &[100.0; 10]), row("fp16", &[100.0; 10]), row("int8", &noisy)],
    );
    let b = run(
        &root,
        "b",
        &[row("fp32", &[104.0; 10]), row("fp16", &[106.0; 10]), row("int8", &twice)],
    );
    let (status, out, err) = of_two(&a, &b, &["--fail-if-slower", "5%"]);
    assert_eq!(status, 1);
    assert!(out.contains("geometric mean"), "the result is printed all the same");
    assert_eq!(
        err,
        "slower by more than 5 %: matmul/fp16/8x8x8/gpu-vulkan, normal, naive: ratio 1.060, \
         95 % interval [1.060, 1.060]\n--fail-if-slower tested 3 of 3 cases; a case of two equal sides \
         fails by chance in 2.5 % of comparisons at 0 %, less often above\n",
        "4 % is within, and the noisy case is 50 % slower but undecided"
    );
    let (_, csv, _) = of_two(&a, &b, &["--csv"]);
    assert_eq!(table(&csv)[2]["verdict"], "undecided");
    assert_eq!(of_two(&a, &b, &["--fail-if-slower", "7%"]).0, 0);
    assert_eq!(of_two(&a, &b, &["--fail-if-slower", "3%"]).2.lines().count(), 3);
    assert_eq!(of_two(&b, &a, &["--fail-if-slower", "0%"]).0, 0, "faster is no failure");
    assert_eq!(of_two(&a, &b, &[]).0, 0, "nor is slower unless asked");
    for wrong in ["5", "0.05", "-5%", "x%", "NaN%"] {
        let (status, _, err) = of_two(&a, &b, &[&format!("--fail-if-slower={wrong}")]);
        assert_eq!(status, 2);
        assert!(err.contains("write a percentage of at least 0, such as 5%"), "{err}");
    }
}

#[test]
fn without_samples_the_medians_intervals_serve() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &around(100.0))]);
    let b = run(&root, "b", &[row("fp16", &around(150.0))]);
    fs::remove_file(b.join("samples.csv")).unwrap();
    let (status, out, err) = of_two(&a, &b, &["--csv"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let line = &table(&out)[0];
    assert_eq!((&*line["interval"], &*line["resamples"]), ("medians", ""));
    let (ci_a, ci_b) = (median_ci(&around(100.0)), median_ci(&around(150.0)));
    assert_eq!(line["ratio_ci95_low"].parse::<f64>().unwrap(), ci_b.low / ci_a.high);
    assert_eq!(line["ratio_ci95_high"].parse::<f64>().unwrap(), ci_b.high / ci_a.low);
    let (_, out, _) = of_two(&a, &b, &[]);
    assert!(out.contains("\nintervals: from the 95 % intervals of both medians"), "{out}");
}

/// Samples that name several processes are resampled by process.
#[test]
fn processes_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let times: Vec<f64> = (0..4).flat_map(|p| [100.0 + 10.0 * f64::from(p); 5]).collect();
    let slower: Vec<f64> = times.iter().map(|time| 1.05 * time).collect();
    let a = run(&root, "a", &[row("fp16", &times)]);
    let b = run(&root, "b", &[row("fp16", &slower)]);
    for folder in [&a, &b] {
        let file = folder.join("samples.csv");
        let mut reader = csv::Reader::from_path(&file).unwrap();
        let samples: Vec<Sample> = reader.deserialize().map(Result::unwrap).collect();
        let mut writer = csv::Writer::from_path(&file).unwrap();
        for sample in samples {
            let process = Some(sample.sample as u32 / 5);
            writer.serialize(Sample { process, ..sample }).unwrap();
        }
    }
    let (status, out, err) = of_two(&a, &b, &["--csv"]);
    let line = &table(&out)[0];
    assert_eq!((status, &*line["interval"], &*line["verdict"]), (0, "processes", "undecided"));
    let high: f64 = line["ratio_ci95_high"].parse().unwrap();
    assert!(high > 1.05 * 120.0 / 110.0, "the processes' scatter is in it: {high}");
    let told = "warning: the intervals of 1 case are of fewer than 5 processes on a side";
    assert!(err.starts_with(told), "{err}");
    let (_, out, _) = of_two(&a, &b, &[]);
    assert!(out.contains("bootstrap over processes and the samples within"), "{out}");
}

#[test]
fn samples_of_something_else_are_not_used() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &around(100.0))]);
    let b = run(&root, "b", &[row("fp16", &around(150.0))]);
    fs::copy(a.join("samples.csv"), b.join("samples.csv")).unwrap();
    let (status, out, err) = of_two(&a, &b, &["--csv"]);
    assert_eq!((status, &*table(&out)[0]["interval"]), (0, "medians"));
    assert!(
        err.starts_with("warning: 1 row of B with samples in samples.csv that do not"),
        "{err}"
    );
}

#[test]
fn few_samples_decide_nothing() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &[100.0; LEAST_SAMPLES - 1])]);
    let b = run(&root, "b", &[row("fp16", &[200.0; LEAST_SAMPLES])]);
    let (status, out, err) = of_two(&a, &b, &["--csv", "--fail-if-slower", "0%"]);
    let line = &table(&out)[0];
    assert_eq!((status, &*line["verdict"], &*line["ratio"]), (0, "undecided", "2.0"));
    assert_eq!((&*line["interval"], &*line["ratio_ci95_low"]), ("none", ""));
    assert!(err.contains("fewer than 6 samples; measure them for longer"), "{err}");
}

#[test]
fn what_else_differs_is_said() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &[1.0; 10])]);
    let b = run(
        &root,
        "b",
        &[edited(row("fp16", &[1.0; 10]), |r| {
            r.driver_info = "2".into();
            r.inputs_sha256 = "other".into();
            r.wgsl_sha256 = "another".into();
            r.runtime_checks = Some(true);
            r.timing_method = "host".into();
            r.git_revision = "5678".into();
            r.git_dirty = Some(true);
        })],
    );
    let (status, _, err) = of_two(&a, &b, &[]);
    assert_eq!(status, 0);
    insta::assert_snapshot!(err, @r"
    warning: different drivers in 1 of 1 cases: in matmul/fp16/8x8x8/gpu-vulkan, A has `d 1`, B has `d 2`
    warning: different inputs in 1 of 1 cases: in matmul/fp16/8x8x8/gpu-vulkan, A has `cd34`, B has `other`
    warning: different kernels in 1 of 1 cases: in matmul/fp16/8x8x8/gpu-vulkan, A has `naive ab12`, B has `naive another`
    warning: different timing methods in 1 of 1 cases: in matmul/fp16/8x8x8/gpu-vulkan, A has `timestamp`, B has `host`
    warning: different crate revisions in 1 of 1 cases: in matmul/fp16/8x8x8/gpu-vulkan, A has `0.1.0 1234`, B has `0.1.0 5678 with changes`
    ");
}

/// One run on a GPU under two backends and on the CPU.
fn three_devices(root: &TempDir) -> PathBuf {
    let on = |device: &'static str, backend: &'static str, kernel: &'static str, time: f64| {
        edited(row("fp16", &[time; 10]), move |r| {
            r.case_id = format!("matmul/fp16/{kernel}/8x8x8/{device}");
            r.device = device.into();
            r.backend = backend.into();
            r.kernel = kernel.into();
        })
    };
    run(
        root,
        "all",
        &[
            on("gpu-vulkan", "vulkan", "naive", 40.0),
            on("gpu-vulkan", "vulkan", "tiled", 10.0),
            on("gpu-gl", "gl", "naive", 80.0),
            on("gpu-gl", "gl", "tiled", 5.0),
            on("cpu", "cpu", "mirror", 100.0),
        ],
    )
}

#[test]
fn devices_and_backends() {
    let root = tempfile::tempdir().unwrap();
    let path = three_devices(&root);
    let path = path.to_str().unwrap();
    let ratios = |arguments: &[&str]| {
        let (status, out, err) = cli(&[arguments, &[path, "--csv"]].concat());
        assert_eq!(status, 0, "{err}");
        let cell = |line: &HashMap<String, String>| {
            format!("{} {} {}", line["kernel_a"], line["kernel_b"], line["ratio"])
        };
        (table(&out).iter().map(cell).collect::<Vec<_>>(), err)
    };
    let (by_backend, _) = ratios(&["--by", "backend", "vulkan", "gl"]);
    assert_eq!(by_backend, ["naive naive 2.0", "tiled tiled 0.5"]);
    let (by_device, _) = ratios(&["--by", "device", "gpu-gl", "gpu-vulkan"]);
    assert_eq!(by_device, ["naive naive 0.5", "tiled tiled 2.0"]);
    // No kernel in common: the fastest of each.
    let (with_cpu, err) = ratios(&["--by", "device", "gpu-vulkan", "cpu"]);
    assert_eq!(with_cpu, ["tiled mirror 10.0"]);
    assert!(err.contains("1 case only in A; -v lists them\n"), "{err}");
    let (_, err) = ratios(&["--by", "device", "gpu-vulkan", "cpu", "-v"]);
    assert!(err.contains(".csv`, line 2: matmul/fp16/naive/8x8x8/gpu-vulkan\n"), "{err}");
    let (best, _) = ratios(&["--by", "backend", "gl", "vulkan", "--best-kernel"]);
    assert_eq!(best, ["tiled tiled 2.0"]);
}

#[test]
fn json() {
    let root = tempfile::tempdir().unwrap();
    let path = three_devices(&root);
    let path = path.to_str().unwrap();
    let (_, out, _) = cli(&["--by", "device", "gpu-vulkan", "cpu", path, "--json"]);
    let whole: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&whole["by"], &whole["b"]), (&"device".into(), &"cpu".into()));
    let case = &whole["cases"][0];
    assert_eq!((&case["ratio"], &case["verdict"]), (&10.0.into(), &"slower".into()));
    assert_eq!((&case["line_a"], &case["line_b"]), (&3.into(), &6.into()));
    assert_eq!((&case["same_inputs"], &case["mirror_equal_a"]), (&true.into(), &true.into()));
    assert_eq!(whole["only_a"][0], "matmul/fp16/naive/8x8x8/gpu-vulkan");
    assert_eq!(whole["geometric_means"][0]["cases"], 1);
    assert!(whole["warnings"][0].as_str().unwrap().starts_with("different kernels"));
}

#[test]
fn the_latest_of_several_measurements_counts() {
    let root = tempfile::tempdir().unwrap();
    let old = run(&root, "a", &[row("fp16", &[1.0; 10])]);
    run(&root, "b", &[row("fp16", &[2.0; 10])]);
    let other = tempfile::tempdir().unwrap();
    let b = run(&other, "c", &[row("fp16", &[6.0; 10])]);
    let (status, out, err) = of_two(root.path(), &b, &["--csv"]);
    assert_eq!((status, &*table(&out)[0]["ratio"]), (0, "3.0"));
    let first = old.join("measurements.csv");
    let expected =
        format!("measured again, such as `{}`, line 2; the latest count", first.display());
    assert!(err.contains(&expected), "{err}");
}
