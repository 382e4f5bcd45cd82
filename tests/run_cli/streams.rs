//! What a program is given and what takes its output may be anything: it says so in one line, and what
//! was measured stays.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use tradeoff::record::Status;

use super::{check_tables, only_run, text, tradeoff};

/// One case of one product.
const ONE: [&str; 9] =
    ["run", "matmul", "--size", "4", "--precision", "fp32", "--time", "5ms", "-o"];

/// A full disk behind stdout is an error, and the run is on its own disk by then; a closed one is none.
#[cfg(target_os = "linux")]
#[test]
fn a_run_outlives_its_output() {
    let root = tempfile::tempdir().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let place = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let mut run = tradeoff(&ONE);
    let output = run.arg(place("full")).stdout(full()).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.ends_with("error: writing to stdout: No space left on device (os error 28)\n"));
    let rows = check_tables(&only_run(&root.path().join("full")));
    assert!(rows.len() == 1 && rows[0].status == Status::Ok);
    // Nobody reads either stream.
    let mut run = tradeoff(&ONE);
    let mut child =
        run.arg(place("gone")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(check_tables(&only_run(&root.path().join("gone"))).len(), 1);
    let mut run = tradeoff(&ONE);
    let status = run.arg(place("mute")).stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0), "what cannot be told ends no run");
}

/// A folder of any bytes is one; a variable, which run.json must repeat, is a text.
#[cfg(target_os = "linux")]
#[test]
fn names_of_other_bytes() {
    use std::os::unix::ffi::OsStringExt;

    let root = tempfile::tempdir().unwrap();
    let name = std::ffi::OsString::from_vec(b"results \xff\n".to_vec());
    let place: PathBuf = root.path().join(&name);
    let output = tradeoff(&ONE).arg(&place).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let run = only_run(&place);
    assert_eq!(check_tables(&run).len(), 1);
    for verb in ["frontier", "ratio"] {
        let output = tradeoff(&[verb]).arg(&run).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(if verb == "ratio" { 2 } else { 0 }), "{told}");
        assert!(
            verb != "ratio" || told.contains("no two rows with status ok (1 in all)"),
            "{told}"
        );
    }
    let (report, copy) = (root.path().join(&name).join("report"), root.path().join("copy"));
    for (verb, to) in [("report", &report), ("publish", &copy), ("merge", &copy.join("merged"))] {
        let output = tradeoff(&[verb]).arg(&run).arg("-o").arg(to).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb}: {}", text(&output.stderr));
    }
    let before = fs::read_dir(root.path()).unwrap().count();
    let mut command = tradeoff(&ONE[..8]);
    let output = command.env("TRADEOFF_RESULTS", &place).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("error: TRADEOFF_RESULTS: `") && told.contains("is not UTF-8; write"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), before, "nothing was made");
}

/// More steps than there is memory for is a row with its reason, not the end of the program.
#[test]
fn steps_without_end_are_skipped() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().to_str().unwrap();
    let selection = ["--data-set", "figure2-4x4", "--batch", "1", "--precision", "fp32,D8M8-SR"];
    let more = ["--steps", "4294967295", "--algorithm", "sgd,averaged-sgd", "-o", place];
    let arguments = [&["run", "sgd"][..], &selection, &more].concat();
    let most = 4_294_967_295 * 4 * size_of::<tradeoff::workload::sgd::Step>() as u64;
    if tradeoff::measure::limits::available_host_bytes() > most {
        return; // the machine has a terabyte, and the run would take a week
    }
    let (_, err) = super::ends(0, &arguments);
    assert_eq!(err.matches("skipped: 4294967295 steps need ").count(), 4, "{err}");
    let listed = super::ends(0, &[&["list", "sgd"], &selection[..], &more[..4]].concat()).0;
    assert_eq!(listed.matches("  skipped: 4294967295 steps need ").count(), 4, "{listed}");
}
