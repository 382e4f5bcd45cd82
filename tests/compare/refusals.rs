//! What cannot be compared, and what the program says of it.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tradeoff::record::{Record, Status, TrajectoryPoint};

use super::{cli, edited, of_two, row, run, table, three_devices};

/// Status 2, nothing on stdout, and this on stderr.
pub fn refused(arguments: &[&str], expected: &str) {
    let (status, out, err) = cli(arguments);
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(expected), "{err}");
}

#[test]
fn bad_arguments() {
    let root = tempfile::tempdir().unwrap();
    let path = three_devices(&root);
    let path = path.to_str().unwrap();
    refused(
        &["--by", "device", "gpu-vulkan", "tpu", path],
        "no row has device `tpu`; there are cpu, gpu-gl, gpu-vulkan",
    );
    refused(&["--by", "backend", "gl", "gl", path], "both sides are backend `gl`; name two");
    refused(&["--by", "device", "cpu", "gpu-gl"], "no results are named; write --by device A B");
    refused(&[path, path, path], "1 paths too many: A and B are the results");
    refused(&[path, path], "measurements.csv` is given twice; name it once");
    refused(&[path, "none"], "cannot read `none`");

    let other = tempfile::tempdir().unwrap();
    let second = edited(row("fp16", &[1.0; 10]), |r| {
        r.case_id = "matmul/fp16/naive/8x8x8/other-vulkan".into();
        r.device = "other-vulkan".into();
    });
    let second = run(&other, "b", &[second]);
    let second = second.to_str().unwrap();
    refused(
        &["--by", "backend", "vulkan", "gl", path, second],
        "backend `vulkan` has several devices here: gpu-vulkan, other-vulkan; compare by device",
    );
    refused(
        &[path, second],
        "A has 5, such as `matmul/fp16/naive/8x8x8/gpu-vulkan`; B has 1, such as",
    );
}

/// The ids are the same: what is not is named.
#[test]
fn one_id_of_two_cases() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &[1.0; 10])]);
    let b = run(&root, "b", &[edited(row("fp16", &[1.0; 10]), |r| r.seed = Some(2))]);
    refused(
        &[a.to_str().unwrap(), b.to_str().unwrap()],
        "`matmul/fp16/naive/8x8x8/gpu-vulkan` is on both, but differs in column `seed`: A has `1`, \
         B has `2`; name results that agree there",
    );
}

#[test]
fn a_ratio_of_an_unknown_value() {
    let root = tempfile::tempdir().unwrap();
    let path = run(&root, "a", &[row("fp16", &[1.0; 10]), row("fp32", &[1.0; 10])]);
    for flags in [["precision=fp61", "precision=fp32"], ["precision=fp32", "precision=fp61"]] {
        let mut command = Command::cargo_bin("tradeoff").unwrap();
        let command = command.arg("ratio").arg(&path).args(["--of", flags[0], "--to", flags[1]]);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
        let told = "error: no row has precision `fp61`; there are fp16, fp32\n";
        assert_eq!(String::from_utf8(output.stderr).unwrap(), told);
    }
}

#[test]
fn rows_that_failed_are_no_cases() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &[1.0; 10]), row("fp32", &[1.0; 10])]);
    let wrong = edited(row("fp16", &[1.0; 10]), |r| r.status = Status::Wrong);
    let b = run(&root, "b", &[wrong, row("fp32", &[1.0; 10])]);
    let (status, out, err) = of_two(&a, &b, &["--csv"]);
    assert_eq!((status, table(&out).len()), (0, 1));
    assert!(err.contains("rows left out of B: 1 wrong; -v lists them\n"), "{err}");
    assert!(err.contains("1 case only in A; -v lists them\n"), "{err}");
}

#[test]
fn bad_files() {
    let root = tempfile::tempdir().unwrap();
    let a = run(&root, "a", &[row("fp16", &[1.0; 10])]);
    let a = a.to_str().unwrap();
    for (edit, column) in [
        ((|r: &mut Record| r.median_ns = Some(f64::NAN)) as fn(&mut Record), "median_ns`: `NaN`"),
        (|r| r.median_ci95_low_ns = None, "median_ci95_low_ns`: empty"),
        (|r| r.median_ci95_high_ns = Some(-1.0), "median_ci95_high_ns`: `-1`"),
    ] {
        let b = run(&root, "b", &[edited(row("fp16", &[1.0; 10]), edit)]);
        let file = b.join("measurements.csv");
        let expected = format!("`{}`, line 2, column `{column}, but a row", file.display());
        refused(&[a, b.to_str().unwrap()], &expected);
    }
    for (edit, told) in [
        (
            (|r: &mut Record| r.median_ci95_low_ns = Some(1.5)) as fn(&mut Record),
            "median_ci95_low_ns`: `1.5`, but `median_ns` is below it: `1`",
        ),
        (
            |r| r.median_ci95_high_ns = Some(0.5),
            "median_ci95_high_ns`: `0.5`, but `median_ns` is above it: `1`",
        ),
        (
            |r| r.primary_error = Some(-1e-3),
            "primary_error`: `-0.001`, but relative_frobenius is never below 0",
        ),
        (
            |r| r.measured_over_bound = Some(1.25),
            "measured_over_bound`: `1.25`, but a row of status ok has at most 1 here",
        ),
    ] {
        let b = run(&root, "b", &[edited(row("fp16", &[1.0; 10]), edit)]);
        let file = b.join("measurements.csv");
        let expected = format!("error: `{}`, line 2, column `{told}; restore", file.display());
        refused(&[a, b.to_str().unwrap()], &expected);
        // A row that is not ok may be anything.
        let wrong = |r: &mut Record| {
            edit(r);
            r.status = Status::Wrong;
        };
        let rows = [row("fp16", &[1.0; 10]), edited(row("fp32", &[1.0; 10]), wrong)];
        let b = run(&root, "b", &rows);
        assert_eq!(of_two(Path::new(a), &b, &[]).0, 0);
    }
    let b = run(&root, "b", &[row("fp16", &[2.0; 10])]);
    let samples = b.join("samples.csv");
    let text = fs::read_to_string(&samples).unwrap();
    fs::write(&samples, &text[..text.len() - 3]).unwrap();
    let expected = format!("`{}`, line 11, column `elapsed_ns`: the file ends", samples.display());
    refused(&[a, b.to_str().unwrap()], &expected);
}

/// Of a run of SGD with status ok some point must be a number; that of one that diverged need not.
#[test]
fn a_trajectory_without_numbers() {
    let root = tempfile::tempdir().unwrap();
    let sgd = |precision, status| {
        edited(row(precision, &[1.0; 10]), move |r| {
            r.workload = "sgd".into();
            r.status = status;
        })
    };
    let rows = [sgd("fp32", Status::Ok), sgd("fp16", Status::Wrong)];
    let (a, b) = (run(&root, "a", &rows), run(&root, "b", &rows));
    let file = b.join("trajectory.csv");
    let write = |points: &[(&str, f64, f64)]| {
        let mut writer = csv::Writer::from_path(&file).unwrap();
        for (precision, loss, loss_gap) in points {
            let case_id = format!("matmul/{precision}/naive/8x8x8/gpu-vulkan");
            let [loss, loss_gap] = [loss, loss_gap].map(|x| Some(*x));
            let point = TrajectoryPoint {
                schema_version: 2,
                case_id,
                loss,
                loss_gap,
                ..Default::default()
            };
            writer.serialize(point).unwrap();
        }
    };
    let nan = f64::NAN;
    write(&[("fp16", nan, nan), ("fp32", nan, nan), ("fp32", 1.0, 0.5)]);
    assert_eq!(of_two(&a, &b, &[]).0, 0, "only the first point of the row that is ok is none");
    for (gap, column) in [(0.5, "loss"), (nan, "loss")] {
        write(&[("fp16", nan, nan), ("fp32", nan, gap), ("fp32", nan, gap)]);
        let told =
            format!("`{}`, line 3, column `{column}`: `NaN`, but `matmul/fp32", file.display());
        refused(&[a.to_str().unwrap(), b.to_str().unwrap()], &told);
    }
    write(&[("fp32", 1.0, nan), ("fp32", 1.0, nan)]);
    let told = format!("`{}`, line 2, column `loss_gap`: `NaN`", file.display());
    refused(&[a.to_str().unwrap(), b.to_str().unwrap()], &told);
}
