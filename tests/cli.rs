//! The `tradeoff` program as a user runs it.

use assert_cmd::Command;
use serde_json::Value;

/// With nothing in its environment that selects devices.
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
fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn stdout(command: Command) -> String {
    let (code, stdout, stderr) = outcome(command);
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

fn devices_json() -> Vec<Value> {
    serde_json::from_str(&stdout(tradeoff(&["devices", "--json"]))).unwrap()
}

#[test]
fn devices_as_text_and_as_json_are_the_same() {
    let devices = devices_json();
    let text = stdout(tradeoff(&["devices"]));
    let blocks: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(blocks.len(), devices.len(), "{text}");
    for (index, (block, device)) in blocks.iter().zip(&devices).enumerate() {
        assert_eq!(device["index"], index);
        let slug = device["slug"].as_str().unwrap();
        let backend = device["backend"].as_str().unwrap();
        assert!(slug.ends_with(backend) || slug.contains(&format!("{backend}-")), "{slug}");
        let valid = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
        assert!(slug.chars().all(valid) && slug.len() <= 40, "{slug}");
        assert_eq!(block.lines().next(), Some(&format!("{index}  {slug}")[..]));
        for property in ["name", "backend"] {
            let value = device[property].as_str().unwrap();
            let line = format!("   {property:<21}{value}");
            assert!(block.lines().any(|other| other == line), "no `{line}` in:\n{block}");
        }
        if backend != "cpu" {
            for property in ["driver", "largest binding", "subgroup", "f16 arithmetic"] {
                assert!(block.contains(&format!("\n   {property} ")), "no {property} in:\n{block}");
            }
            for property in ["timestamps", "cooperative matrices", "workgroups"] {
                assert!(block.contains(&format!("\n   {property} ")), "no {property} in:\n{block}");
            }
        }
    }
    assert_eq!(devices.last().unwrap()["slug"], "cpu", "the CPU is last");
}

#[test]
fn a_selection_lists_what_it_selects() {
    let all = devices_json();
    for device in &all {
        for name in [device["slug"].as_str().unwrap().to_owned(), device["index"].to_string()] {
            let mut command = tradeoff(&["devices", "--json"]);
            command.env("TRADEOFF_DEVICES", &name);
            let listed: Vec<Value> = serde_json::from_str(&stdout(command)).unwrap();
            assert_eq!(listed, std::slice::from_ref(device), "TRADEOFF_DEVICES={name}");
        }
    }
    let mut command = tradeoff(&["devices", "--json"]);
    command.env("TRADEOFF_DEVICES", "cpu, ALL");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&stdout(command)).unwrap(), all);
}

/// Data on stdout, the rest on stderr: JSON stays JSON where a hint is given.
#[cfg(target_os = "linux")]
#[test]
fn without_a_gpu_the_hint_is_on_stderr() {
    let mut command = tradeoff(&["devices", "--json"]);
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
        command.env(name, "/nonexistent");
    }
    command.env("WGPU_BACKEND", "vulkan,gl");
    let (code, stdout, stderr) = outcome(command);
    assert_eq!(code, Some(0), "{stderr}");
    let devices: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert_eq!(devices.iter().map(|device| &device["slug"]).collect::<Vec<_>>(), ["cpu"]);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("mesa-vulkan-drivers"), "{stderr}");
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    for (name, value, told) in [
        ("TRADEOFF_DEVICES", "quantum", "\"quantum\"; valid: all, an index, or part of a name: 0 "),
        ("TRADEOFF_DEVICES", "cpu,99", "no device matches \"99\""),
        (
            "WGPU_BACKEND",
            "vulkan,voodoo",
            "\"voodoo\" is no backend; valid: vulkan, gl, metal, dx12",
        ),
        ("WGPU_ADAPTER_NAME", "Voodoo", "\"Voodoo\" matches no adapter; found: "),
    ] {
        let mut command = tradeoff(&["devices"]);
        command.env(name, value);
        let (code, stdout, stderr) = outcome(command);
        assert_eq!((code, &stdout[..]), (Some(2), ""), "{name}={value}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name}={value}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(told), "{name}={value}: {stderr}");
    }
}

#[test]
fn a_wrong_command_line_exits_2_and_shows_the_way_to_the_help() {
    for arguments in [
        &["nonsense"][..],
        &["devices", "--nonsense"],
        &["devices", "--jso"],
        &["devices", "0"],
        &[],
    ] {
        let (code, stdout, stderr) = outcome(tradeoff(arguments));
        assert_eq!((code, &stdout[..]), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("tip:"), "{arguments:?}: {stderr}");
        assert!(stderr.contains("--help") || stderr.contains("Usage"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_and_version_are_data() {
    let help = stdout(tradeoff(&["--help"]));
    assert!(help.contains("accuracy") && help.contains("\n  devices "), "{help}");
    let help = stdout(tradeoff(&["devices", "--help"]));
    assert!(help.contains("--json") && help.contains("TRADEOFF_DEVICES"), "{help}");
    let version = concat!("tradeoff ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(stdout(tradeoff(&["--version"])), version);
}
