//! The program `peers` as a user runs it, on the CPU.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tradeoff::record::{Record, Status, read, read_samples};

/// A run of tiny products on the CPU; its output and the folder of the run.
fn run(root: &Path, arguments: &[&str]) -> (Output, PathBuf) {
    let output = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args(["--device", "cpu", "--rounds", "6", "--threads", "1", "--output"])
        .arg(root.join("results"))
        .args(arguments)
        .output()
        .unwrap();
    let folder = fs::read_dir(root.join("results")).unwrap().next().unwrap().unwrap().path();
    (output, folder)
}

fn row<'a>(rows: &'a [Record], case_id: &str) -> &'a Record {
    let found = rows.iter().find(|row| row.case_id == case_id);
    found.unwrap_or_else(|| panic!("no row {case_id} in {rows:#?}"))
}

/// A program that stands in for Python: a script that gets the peer's script and the job's folder.
fn stand_in(root: &Path, script: &str) -> String {
    let path = root.join("python-stand-in");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn peers_and_own_share_a_run() {
    let root = tempfile::tempdir().unwrap();
    let (output, folder) = run(
        root.path(),
        &["--sizes", "40x24x56", "--precisions", "fp32", "--python", "/no/such/python"],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let rows = read(&folder).unwrap();
    let samples = read_samples(&folder).unwrap();
    let own = row(&rows, "matmul/fp32/mirror/40x24x56/cpu");
    let gemm = row(&rows, "matmul/fp32/gemm/40x24x56/cpu");
    for measured in [own, gemm] {
        assert_eq!(measured.status, Status::Ok, "{}", measured.reason);
        assert_eq!(measured.interleaving, "rounds");
        assert_eq!(measured.samples, Some(6));
        assert!(measured.measured_over_bound.is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0));
        let drawn = samples.iter().filter(|sample| sample.case_id == measured.case_id);
        assert_eq!(drawn.count(), 6);
        assert!(text.contains(&measured.case_id), "{text}");
    }
    assert_eq!(gemm.inputs_sha256, own.inputs_sha256);
    assert_eq!((&*own.implementation, &*gemm.implementation), ("tradeoff", "gemm 0.19.0"));
    assert_eq!(gemm.mirror_mismatches, None);

    let openblas = row(&rows, "matmul/fp32/openblas/40x24x56/cpu");
    match openblas.status {
        Status::Ok => assert!(openblas.implementation.starts_with("OpenBLAS 0.")),
        _ => assert_eq!((openblas.status, openblas.median_ns), (Status::Skipped, None)),
    }
    let pytorch = row(&rows, "matmul/fp32/pytorch/40x24x56/cpu");
    assert_eq!((pytorch.status, pytorch.primary_error), (Status::Skipped, None));
    assert!(pytorch.reason.starts_with("cannot start python: "), "{}", pytorch.reason);
}

/// What a peer's process does wrong is its row's reason, and the others are measured all the same.
#[test]
fn a_bad_peer_harms_no_other() {
    for (script, status, told) in [
        ("exec sleep 1000", Status::Failed, "it hung: no answer in the 3 s"),
        ("echo oh >&2; exit 7", Status::Failed, "exit status: 7): oh"),
        (
            // Zeros are no product of these operands.
            "echo '@ready f32 host zeros'; while read word count; do case $word in \
             run) echo '@ns 30000000';; \
             *) head -c 1024 /dev/zero > \"$2/c.bin\"; echo '@done';; esac; done",
            Status::Wrong,
            "times its bound",
        ),
        (
            "echo '@ready f32 host short'; while read word count; do case $word in \
             run) echo '@ns 30000000';; \
             *) head -c 1000 /dev/zero > \"$2/c.bin\"; echo '@done';; esac; done",
            Status::Failed,
            "its C has 1000 bytes",
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        let python = stand_in(root.path(), script);
        let arguments = ["--sizes", "16", "--precisions", "fp32", "--peers", "pytorch,gemm"];
        let last = ["--python", &python, "--timeout-s", "3"];
        let (output, folder) = run(root.path(), &[&arguments[..], &last].concat());
        assert_eq!(output.status.code(), Some(1), "{script}");
        let rows = read(&folder).unwrap();
        let bad = row(&rows, "matmul/fp32/pytorch/16x16x16/cpu");
        assert_eq!((bad.status, bad.median_ns), (status, None), "{script}: {}", bad.reason);
        assert!(bad.reason.contains(told), "{script}: {}", bad.reason);
        assert_eq!(row(&rows, "matmul/fp32/gemm/16x16x16/cpu").status, Status::Ok);
    }
}

/// A peer that computes well at first and badly later is wrong.
#[test]
fn a_result_is_judged_after_the_samples_too() {
    let root = tempfile::tempdir().unwrap();
    let good = root.path().join("good.bin");
    // C = A·B for 1x1x1 is one product, which the first judgement sees; the second sees zero.
    let script = format!(
        "echo '@ready f32 host fickle'; while read word count; do case $word in \
         run) echo '@ns 30000000';; \
         *) if [ -e {0} ]; then cp {0} \"$2/c.bin\"; rm {0}; else head -c 4 /dev/zero > \"$2/c.bin\"; fi; \
         echo '@done';; esac; done",
        good.display()
    );
    let problem = tradeoff::problem::matrix::MatmulProblem::generate(
        tradeoff::problem::matrix::Distribution::Normal,
        1,
        1,
        1,
        1,
    );
    let problem = problem.unwrap();
    fs::write(&good, (problem.a.data[0] * problem.b.data[0]).to_le_bytes()).unwrap();
    let python = stand_in(root.path(), &script);
    let arguments = ["--sizes", "1", "--precisions", "fp32", "--peers", "pytorch"];
    let (_, folder) = run(root.path(), &[&arguments[..], &["--python", &python]].concat());
    let rows = read(&folder).unwrap();
    let fickle = row(&rows, "matmul/fp32/pytorch/1x1x1/cpu");
    assert_eq!(fickle.implementation, "fickle");
    assert_eq!((fickle.status, fickle.median_ns), (Status::Wrong, None), "{}", fickle.reason);
}
