//! `tradeoff probe` as a user runs it, on every device of this machine.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tradeoff::fingerprint::kernels::of_kernel;
use tradeoff::fingerprint::order::{Probes, reveal};
use tradeoff::gpu::{Context, GpuError, Source, compose, discover};
use tradeoff::number::Precision;
use tradeoff::workload::matmul::{Kernel, KernelSource};

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
        // What is published as compensated rests on this form.
        let form = said("error-free transformations", "as the kernels write them");
        assert!(form == "survive" || form.starts_with("lost: the ") || !modelled, "{slug}: {form}");
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
    let path = run_with(root.path(), cpu.clone());
    let (code, stdout, stderr) = with(&[&path, "--of", "other-vulkan"]);
    assert_eq!((code, &stderr[..]), (Some(1), ""), "{stdout}");
    assert!(stdout.contains("from other-vulkan of the run"), "{stdout}");
    assert!(
        stdout
            .contains("rounding: sums\n    here   nearest, ties to even\n    there  toward zero\n")
    );
    // What the run says may be anything, and is text here.
    let mut odd = cpu.clone();
    odd["other-vulkan"]["observed"]["rounding"]["sums"] = "a\u{1b}[2J\nb".into();
    let path = run_with(root.path(), odd);
    let (code, stdout, _) = with(&[&path, "--of", "other-vulkan"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("\n    there  a\\u{1b}[2J\\nb\n"), "{stdout}");
    let path = run_with(root.path(), cpu);
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

/// A run keeps the orders of what it measured, and only those are asked again.
#[test]
fn orders_are_compared_with_those_of_a_run() {
    let root = tempfile::tempdir().unwrap();
    let run = |orders: &str| {
        // One folder for all, so that runs of one second have different names.
        let folder = root.path().join("results");
        let results = folder.to_str().unwrap();
        let runs = || {
            let all = fs::read_dir(&folder).into_iter().flatten();
            all.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let before = runs();
        let selection = ["run", "matmul", "--size", "8", "--precision", "fp32,int8,mxfp8"];
        let more = ["--device", "cpu", "--time", "5ms", "--roofline", "off", "-o", results];
        let arguments = [&selection[..], &more, &["--orders", orders]].concat();
        let (code, _, stderr) = outcome(&arguments);
        assert_eq!(code, Some(0), "{stderr}");
        let run = runs().into_iter().find(|run| !before.contains(run)).unwrap();
        (run.to_str().unwrap().to_owned(), fs::read_to_string(run.join("run.json")).unwrap())
    };
    let (path, json) = run("cached");
    let provenance: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(provenance["plan"]["selection"]["TRADEOFF_ORDERS"], "cached");
    let orders = provenance["fingerprints"]["cpu"]["summation_orders"].as_array().unwrap();
    let told: Vec<&str> = orders.iter().map(|order| order["order"].as_str().unwrap()).collect();
    let [fp32, int8, mxfp8] = told[..] else { panic!("{told:?}") };
    assert_eq!(
        (fp32, int8.split(':').next(), mxfp8.split(':').next()),
        ("sequential", Some("exact"), Some("not revealed"))
    );
    let hash = |arguments: &[&str]| fingerprints(arguments)["cpu"]["sha256"].clone();
    assert_eq!(provenance["fingerprints"]["cpu"]["sha256"], hash(&["--device", "cpu"]));

    let probe = ["probe", "--device", "cpu", "--orders", "--against"];
    let (code, stdout, stderr) = outcome(&[&probe[..], &[&path]].concat());
    assert_eq!((code, &stderr[..]), (Some(0), ""), "{stdout}");
    let (second, _) = run("force");
    let compare = ["compare", &path, &second];
    let (code, _, stderr) = outcome(&compare);
    assert!(code == Some(0) && !stderr.contains("summation orders"), "{stderr}");
    let other = json.replace("[0..63]", "pairwise[0..63]").replace("sequential", "pairwise");
    fs::write(Path::new(&path).join("run.json"), other).unwrap();
    let (code, stdout, _) = outcome(&[&probe[..], &[&path]].concat());
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("order of 64 products: fp32 mirror\n    here   sequential"),
        "{stdout}"
    );

    let (_, _, stderr) = outcome(&compare);
    let told = "different summation orders, so other errors are to be expected: A's fp32 mirror on cpu \
                sums pairwise: pairwise[0..63]; B's fp32 mirror on cpu sequential: [0..63]";
    assert!(stderr.contains(told), "{stderr}");

    let (path, json) = run("off");
    assert!(!json.contains("summation_orders"), "{json}");
    let (code, _, stderr) = outcome(&[&probe[..], &[&path]].concat());
    assert!(code == Some(0) && stderr.contains("--orders force"), "{stderr}");
}

/// A file of an earlier probe has orders, if they were asked for.
#[test]
fn orders_are_compared_with_those_of_an_earlier_probe() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, devices: &Value| {
        let path = root.path().join(name);
        fs::write(&path, devices.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut all = fingerprints(&["--device", "cpu", "--orders"]);
    let probe = ["probe", "--device", "cpu", "--orders", "--against"];
    let with = |more: &[&str]| outcome(&[&probe[..], more].concat());
    let count = |stdout: &str| {
        let words = stdout.split_whitespace().find_map(|word| word.parse::<usize>().ok());
        words.unwrap_or_else(|| panic!("{stdout}"))
    };
    let same = file("same.json", &all);
    let (code, stdout, stderr) = with(&[&same]);
    assert_eq!((code, &stderr[..]), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("cpu: as the file's, in all "), "{stdout}");
    let (_, properties, _) = outcome(&["probe", "--device", "cpu", "--against", &same]);
    let orders = all["cpu"]["summation_orders"].as_array().unwrap().len();
    assert_eq!(count(&stdout), count(&properties) + orders, "{stdout}{properties}");

    all["cpu"]["summation_orders"][0]["tree"] = "pairwise[0..63]".into();
    all["cpu"]["summation_orders"][0]["order"] = "pairwise".into();
    let (code, stdout, _) = with(&[&file("other.json", &all)]);
    assert_eq!(code, Some(1), "{stdout}");
    let told = "order of 64 products: fp32 mirror\n    here   sequential: [0..63]\n    there  \
                pairwise: pairwise[0..63]\n";
    assert!(stdout.contains(told), "{stdout}");

    all["cpu"].as_object_mut().unwrap().remove("summation_orders");
    for (path, whose) in
        [(file("without.json", &all), "the file"), (run_with(root.path(), all), "the run")]
    {
        let (code, stdout, stderr) = with(&[&path]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with(&format!("cpu: as {whose}'s, in all ")), "{stdout}");
        let told =
            format!("cpu: {whose} has no summation orders of cpu, so they are not compared; ");
        assert!(stderr.starts_with(&told) && stderr.lines().count() == 1, "{stderr}");
    }
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

/// Kernels whose sums have deliberately different orders: one vector of 64 numbers an invocation.
const ORDERS: &str = "
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> sums: array<f32>;

    @compute @workgroup_size(64)
    fn sequential(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x >= arrayLength(&sums)) { return; }
        var sum = 0.0;
        for (var q = 0u; q < 64u; q++) { sum += x[id.x * 64u + q]; }
        sums[id.x] = sum;
    }

    var<private> part: array<f32, 64>;

    @compute @workgroup_size(64)
    fn pairwise(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x >= arrayLength(&sums)) { return; }
        for (var q = 0u; q < 64u; q++) { part[q] = x[id.x * 64u + q]; }
        for (var step = 1u; step < 64u; step *= 2u) {
            for (var q = 0u; q < 64u; q += 2u * step) { part[q] += part[q + step]; }
        }
        sums[id.x] = part[0];
    }

    @compute @workgroup_size(64)
    fn strided(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x >= arrayLength(&sums)) { return; }
        var four = vec4<f32>();
        for (var q = 0u; q < 64u; q += 4u) {
            let at = id.x * 64u + q;
            four += vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
        }
        sums[id.x] = (four.x + four.y) + (four.z + four.w);
    }";

/// Every GPU of this machine, opened.
fn gpus() -> Vec<Context> {
    let devices = discover(None).unwrap();
    devices.iter().filter(|device| !device.is_cpu()).map(|device| device.open().unwrap()).collect()
}

#[test]
fn orders_of_three_kernels_are_told_apart() {
    for context in gpus() {
        let composed = compose(&[Source { path: "orders.wgsl", text: ORDERS }]);
        for (entry, name, tree) in [
            ("sequential", "sequential", "[0..63]"),
            ("pairwise", "pairwise", "pairwise[0..63]"),
            (
                "strided",
                "a tree of depth 17 of 64 numbers",
                "(([0,4..60] + [1,5..61]) + ([2,6..62] + [3,7..63]))",
            ),
        ] {
            let pipeline = context.pipeline(&composed, entry, &[]).unwrap();
            let revealed = reveal(64, Probes::F32, |vectors| {
                let (numbers, bytes) = (vectors.concat(), 4 * vectors.len() as u64);
                let from = context.buffer("vectors", 64 * bytes)?;
                let to = context.buffer("sums", bytes)?;
                context.upload(&from, bytemuck::cast_slice(&numbers))?;
                let groups = [vectors.len().div_ceil(64) as u32, 1, 1];
                let command = context.dispatch(&pipeline, &[(0, &from), (1, &to)], groups)?;
                context.run(&[command], 1)?;
                let sums: Vec<f32> = bytemuck::pod_collect_to_vec(&context.read(&to, 0, bytes)?);
                Ok::<_, GpuError>(sums.into_iter().map(f64::from).collect())
            });
            let revealed =
                revealed.unwrap_or_else(|e| panic!("{} {entry}: {e}", context.info.slug));
            assert_eq!((&*revealed.name(), &*revealed.to_string()), (name, tree), "{entry}");
        }
    }
}

/// The kernels that mirrors follow sum q = 0, 1, … in order, as they say.
#[test]
fn kernels_sum_in_the_order_that_they_document() {
    for context in gpus() {
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Fp16Acc16, Precision::Bf16] {
            for kernel in [Kernel::Naive, Kernel::RegisterTiled, Kernel::Subgroup] {
                if KernelSource::supports(kernel, precision, &context.info).is_ok() {
                    let order = of_kernel(&context, kernel, precision).unwrap();
                    let said = (&*order.order, &*order.tree);
                    assert_eq!(said, ("sequential", "[0..63]"), "{} {order:?}", context.info.slug);
                }
            }
        }
        let order = of_kernel(&context, Kernel::Naive, Precision::Int8).unwrap();
        assert!(order.order.starts_with("exact"), "{order:?}");
    }
}

#[test]
fn orders_are_printed_and_drawn() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("deeper/trees");
    let pictures = folder.to_str().unwrap();
    let arguments = ["probe", "--device", "cpu", "--orders", "--pictures", pictures];
    let (code, stdout, stderr) = outcome(&arguments);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("fp32 mirror") && stdout.contains("sequential: [0..63]"), "{stdout}");
    assert!(stdout.contains("exact: integers"), "{stdout}");
    let svg = fs::read_to_string(folder.join("cpu-mirror-fp32.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 63, "as many sums as there are");
    let json = fingerprints(&["--device", "cpu", "--orders"]);
    assert_eq!(json["cpu"]["summation_orders"][0]["tree"], "[0..63]");
    assert_eq!(json["cpu"]["sha256"], fingerprints(&["--device", "cpu"])["cpu"]["sha256"]);
}
