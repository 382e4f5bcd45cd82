//! `tradeoff probe` as a user runs it, on every device of this machine.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn tradeoff(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradeoff"));
    for name in ["TRADEOFF_DEVICES", "WGPU_BACKEND", "WGPU_ADAPTER_NAME"] {
        command.env_remove(name);
    }
    // Mesa's device-select layer complains on stderr of a missing desktop session.
    command.env("NODEVICE_SELECT", "1").args(arguments);
    command
}

/// Exit code, stdout and stderr.
fn outcome(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tradeoff(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn fingerprints(arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = outcome(&[&["probe", "--json"], arguments].concat());
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// A run whose devices have these fingerprints, in a file of its own.
fn run_with(folder: &Path, fingerprints: Value) -> String {
    let run = serde_json::json!({ "schema_version": 3, "fingerprints": fingerprints });
    let path = folder.join("run.json");
    fs::write(&path, run.to_string()).unwrap();
    path.to_string_lossy().into_owned()
}

/// What any device is known to do, and what this one says.
#[test]
fn every_device_says_what_it_does_and_says_it_again() {
    let first = fingerprints(&[]);
    assert_eq!(fingerprints(&[]), first, "another process, the same words and hash");
    for (slug, fingerprint) in first.as_object().unwrap() {
        println!("{slug} {}", serde_json::to_string_pretty(fingerprint).unwrap());
        let said = |section: &str, property: &str| {
            let text = fingerprint["observed"][section][property].as_str();
            text.unwrap_or_else(|| panic!("{slug} {section}: {property}")).to_owned()
        };
        let fused = fingerprint["arithmetic"]["fused_fma"].as_bool().unwrap();
        let modelled = fingerprint["unmodelled"].is_null();
        if modelled {
            let expected = if fused { "rounded once" } else { "rounded twice" };
            assert_eq!(said("fma", "fma(a, b, c)"), expected, "{slug}");
            assert_eq!(said("rounding", "sums"), "nearest, ties to even", "{slug}");
            let flushed = fingerprint["arithmetic"]["flush_f32_subnormals"].as_bool().unwrap();
            let fate = if flushed { "flushed to zero" } else { "kept" };
            assert_eq!(said("subnormals of f32", "operands of products"), fate, "{slug}");
            assert_eq!(said("subnormals of f32", "results of sums"), fate, "{slug}");
        }
        let survives = fingerprint["two_sum_survives"].as_bool().unwrap();
        let plain = said("error-free transformations", "TwoSum");
        assert_eq!(plain == "survives", survives, "{slug}: {plain}");
        assert_eq!(said("error-free transformations", "splitting by mask"), "survives", "{slug}");
        for signed in ["dot4I8Packed", "dot4U8Packed"] {
            assert!(said("dot4", signed).starts_with("exact; "), "{slug}");
        }
        assert!(said("conversions", "f32 to i32").starts_with("toward zero; "), "{slug}");
    }
}

#[test]
fn a_run_is_compared_with_the_devices_here() {
    let root = tempfile::tempdir().unwrap();
    let mut cpu = fingerprints(&["--device", "cpu"]);
    let path = run_with(root.path(), cpu.clone());
    let probe = ["probe", "--device", "cpu", "--against"];
    let with = |more: &[&str]| outcome(&[&probe[..], more].concat());
    let (code, stdout, stderr) = with(&[&path]);
    assert_eq!((code, &stderr[..]), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("cpu: as the run's, in all "), "{stdout}");
    let (code, ..) = with(&[root.path().to_str().unwrap()]);
    assert_eq!(code, Some(0), "the folder serves as well as the file");

    cpu["cpu"]["observed"]["rounding"]["sums"] = "toward zero".into();
    cpu["other-vulkan"] = cpu["cpu"].take();
    let path = run_with(root.path(), cpu);
    let (code, stdout, stderr) = with(&[&path, "--of", "other-vulkan"]);
    assert_eq!((code, &stderr[..]), (Some(1), ""), "{stdout}");
    assert!(stdout.contains("from other-vulkan of the run"), "{stdout}");
    assert!(
        stdout
            .contains("rounding: sums\n    here   nearest, ties to even\n    there  toward zero\n")
    );
    let (code, stdout, _) = with(&[&path, "--of", "other-vulkan", "--json"]);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json[0]["differences"][0]["there"]), (Some(1), &"toward zero".into()));

    for (arguments, told) in [
        (vec![&path[..], "--of", "nothing"], "no such device; it has cpu, other-vulkan"),
        (vec!["missing.json"], "cannot read `missing.json`"),
        (vec![env!("CARGO_MANIFEST_DIR")], "cannot read"),
    ] {
        let (code, stdout, stderr) = with(&arguments);
        assert_eq!((code, &stdout[..]), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(told), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let path = run_with(root.path(), Value::Null);
    assert!(with(&[&path]).2.contains("has no fingerprint of a device"));
}

/// What an earlier version published is compared as far as it goes.
#[test]
fn a_published_run_can_be_compared_with() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/published");
    let run = fs::read_dir(published).unwrap().map(|entry| entry.unwrap().path());
    let run = run.filter(|path| path.join("run.json").is_file()).min().unwrap();
    let arguments = ["probe", "--device", "cpu", "--against", run.to_str().unwrap()];
    let (code, stdout, stderr) = outcome(&arguments);
    // The processor there may have an fma, or lack it: either answer is one.
    assert!(matches!(code, Some(0 | 1)), "{stderr}");
    assert!(stdout.starts_with("cpu: "), "{stdout}");
    assert!(stderr.contains("properties that the run has not are not compared"), "{stderr}");
}
