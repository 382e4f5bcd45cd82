//! The bench executable as a user runs it: `cargo bench` does nothing but start it with `--bench`.

mod recompute;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use tradeoff::record::{Record, Stage, Status, read, read_provenance, read_samples};

/// The executable, built as this test was, so that nothing but the bench target itself is compiled.
/// Cargo gives the path of binaries to a test, but not that of benches.
fn executable() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_tradeoff")).parent().unwrap();
        // `<target>/<profile>`, or `<target>/<triple>/<profile>`.
        let inner = binary.strip_prefix(target).unwrap().iter().map(|part| part.to_str().unwrap());
        let inner: Vec<&str> = inner.collect();
        let mut cargo = Process::new(env!("CARGO"));
        cargo.args(["test", "--bench", "tradeoff", "--no-run", "--locked", "--offline"]);
        cargo.args(["--message-format=json", "--target-dir"]).arg(target);
        match inner[..] {
            ["debug"] => {}
            [profile] => drop(cargo.args(["--profile", profile])),
            [triple, "debug"] => drop(cargo.args(["--target", triple])),
            [triple, profile] => drop(cargo.args(["--target", triple, "--profile", profile])),
            _ => panic!("{} is no folder of binaries", binary.display()),
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let messages = String::from_utf8(built.stdout).unwrap();
        let mut executables = messages.lines().filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let bench = message["target"]["kind"][0] == "bench";
            bench.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        });
        let found = executables.next();
        found.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&built.stderr)))
    })
}

/// A program in an empty folder, with nothing in its environment that steers it or tells of cargo.
fn alone(program: &Path, folder: &Path) -> Process {
    let mut command = Process::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["TRADEOFF_", "WGPU_", "CARGO", "RUST", "CRITERION_"];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // Mesa's device-select layer complains on stderr of a missing desktop session.
    command.env("NODEVICE_SELECT", "1").current_dir(folder);
    // It takes seconds, and would be cached outside of the folder.
    command.env("TRADEOFF_ROOFLINE", "off").env("TRADEOFF_TUNE", "off");
    command.env("TRADEOFF_ORDERS", "off");
    command
}

/// A folder in which the executable is started.
struct Place(TempDir);

/// How a start of it ended.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
        let mut command = alone(executable(), self.0.path());
        command.env("CRITERION_HOME", self.path("criterion"));
        command.envs(variables.iter().copied()).args(arguments);
        Outcome::of(command)
    }

    /// The folders of runs.
    fn runs(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path("results")) else { return vec![] };
        let mut runs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        runs.sort();
        runs
    }

    /// The one run's folder, and its rows.
    fn run_and_rows(&self) -> (PathBuf, Vec<Record>) {
        let [run] = &self.runs()[..] else { panic!("{:?}", self.runs()) };
        (run.clone(), read(run).unwrap())
    }

    /// A file that criterion keeps of a case.
    fn criterion_file(&self, row: &Record, baseline: &str, file: &str) -> PathBuf {
        let Record { workload, precision, kernel, shape, device, .. } = row;
        let case = format!("criterion/{workload}_{precision}/{kernel}_{shape}/{device}");
        self.path(&case).join(baseline).join(file)
    }
}

impl Outcome {
    fn of(command: Process) -> Self {
        let output = Command::from_std(command).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The ids of `--list`.
    fn ids(&self) -> Vec<&str> {
        self.stdout.lines().filter_map(|line| line.strip_suffix(": benchmark")).collect()
    }
}

/// Cases that take no time, on the CPU.
const SMALL: [(&str, &str); 4] = [
    ("TRADEOFF_DEVICES", "cpu"),
    ("TRADEOFF_WORKLOADS", "matmul"),
    ("TRADEOFF_SIZES", "16"),
    ("TRADEOFF_PRECISIONS", "fp32,fp16-acc16,int8-sr"),
];

/// Kernels that every device runs, so that no case is skipped.
const EVERYWHERE: (&str, &str) = ("TRADEOFF_KERNELS", "naive,register_tiled");

/// Short samples.
const BRIEF: [&str; 5] = ["--bench", "--warm-up-time", "0.01", "--measurement-time", "0.05"];

fn devices(variables: &[(&str, &str)]) -> Vec<Value> {
    let place = Place::new();
    let mut command = alone(Path::new(env!("CARGO_BIN_EXE_tradeoff")), place.0.path());
    command.args(["devices", "--json"]).envs(variables.iter().copied());
    let listed = Outcome::of(command).succeeded();
    serde_json::from_str(&listed.stdout).unwrap()
}

fn slugs(devices: &[Value]) -> BTreeSet<&str> {
    devices.iter().map(|device| device["slug"].as_str().unwrap()).collect()
}

#[test]
fn listing_names_every_case_once_and_leaves_nothing_behind() {
    let place = Place::new();
    // Sizes and batches that name a case twice.
    let twice = [("TRADEOFF_SIZES", "64,64x64x64"), ("TRADEOFF_BATCHES", "1024,n")];
    for arguments in [&["--list"][..], &["--bench", "--list"]] {
        let listed = place.run(&twice, arguments).succeeded();
        let ids = listed.ids();
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:#?}");
        for id in &ids {
            let components: Vec<&str> = id.split('/').collect();
            assert_eq!(components.len(), 5, "{id}");
            // Criterion cuts the names of its folders at 64 bytes.
            assert!(components.iter().all(|part| !part.is_empty() && part.len() < 64), "{id}");
            assert!(components[0].len() + 1 + components[1].len() < 64, "{id}");
            assert!(components[2].len() + 1 + components[3].len() < 64, "{id}");
        }
        let listed_slugs: BTreeSet<_> = ids.iter().filter_map(|id| id.rsplit('/').next()).collect();
        assert_eq!(listed_slugs, slugs(&devices(&[])));
        for workload in ["matmul/fp32/", "matmul/int8-sr-rowwise/", "sgd/D32fM32f/", "sgd/D8M8-SR/"]
        {
            assert!(ids.iter().any(|id| id.starts_with(workload)), "{workload}");
        }
        assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_is_listed_is_what_is_measured() {
    let place = Place::new();
    let variables = [
        EVERYWHERE,
        ("TRADEOFF_SIZES", "16,5x3x7"),
        ("TRADEOFF_DATA_SETS", "figure2-40x12"),
        ("TRADEOFF_BATCHES", "8,n"),
        ("TRADEOFF_STEPS", "10"),
        ("TRADEOFF_PRECISIONS", "fp32,int8-sr"),
    ];
    let listed = place.run(&variables, &["--list"]);
    let measured = place.run(&variables, &[&BRIEF[..], &["--quick"]].concat()).succeeded();
    let (run, rows) = place.run_and_rows();
    let ids: Vec<_> = rows.iter().map(|row| row.case_id.as_str()).collect();
    assert_eq!(ids, listed.ids());
    assert!(rows.iter().all(|row| row.status == Status::Ok), "{}", measured.stderr);
    assert_eq!(recompute::check(&run), rows.len());
    // Progress belongs on stderr, and the fingerprints of what was opened into the run.
    assert!(measured.stderr.contains(&format!("[1/{}] {}", ids.len(), ids[0])));
    let provenance = read_provenance(&run).unwrap();
    let used: BTreeSet<_> = rows.iter().map(|row| row.device.as_str()).collect();
    let fingerprints = provenance.fingerprints.as_object().unwrap();
    assert_eq!(fingerprints.keys().map(String::as_str).collect::<BTreeSet<_>>(), used);
}

#[test]
fn trying_each_case_measures_nothing() {
    let place = Place::new();
    for arguments in [&["--bench", "--test"][..], &["--test"], &[]] {
        let tried = place.run(&SMALL, arguments).succeeded();
        assert_eq!(tried.stdout.matches("Success").count(), 3, "{}", tried.stdout);
        assert_eq!(tried.stdout.matches("of its bound").count(), 3, "{}", tried.stdout);
        assert_eq!(tried.stderr.contains("add --bench to measure"), arguments.is_empty());
        assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);
    }
    place.run(&SMALL, &["--bench", "--profile-time", "1", "matmul/fp32"]).succeeded();
    assert_eq!(place.runs(), [] as [PathBuf; 0]);
}

#[test]
fn a_filter_measures_what_it_names() {
    let place = Place::new();
    place.run(&SMALL, &[&BRIEF[..], &["--quick", "matmul/fp16"]].concat()).succeeded();
    let (_, rows) = place.run_and_rows();
    assert_eq!(rows.iter().map(|row| &row.precision).collect::<Vec<_>>(), ["fp16-acc16"]);
    let nothing = Place::new();
    nothing.run(&SMALL, &["--bench", "no-such-case"]).succeeded();
    assert_eq!(nothing.runs(), [] as [PathBuf; 0]);
}

/// The numbers of a list of a JSON file, each read to the nearest f64 (`serde_json` is off by a bit
/// now and then).
fn numbers(json: &str, key: &str) -> Vec<f64> {
    let (_, rest) = json.split_once(&format!("\"{key}\":[")).unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    list.split(',').map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_samples_are_criterions_own() {
    let variables = [EVERYWHERE, ("TRADEOFF_SIZES", "24"), ("TRADEOFF_PRECISIONS", "fp32,fp16-sr")];
    let sgd = [("TRADEOFF_DATA_SETS", "figure2-40x12"), ("TRADEOFF_STEPS", "10")];
    let thirteen = [&BRIEF[..], &["--sample-size", "13", "--noplot"]].concat();
    for (arguments, samples) in [(thirteen, 13), (vec!["--bench", "--quick"], 2)] {
        let place = Place::new();
        place.run(&[&variables[..], &sgd].concat(), &arguments).succeeded();
        let (run, rows) = place.run_and_rows();
        let recorded = read_samples(&run).unwrap();
        for row in &rows {
            let id = &row.case_id;
            let kept = fs::read_to_string(place.criterion_file(row, "new", "sample.json")).unwrap();
            let own = recorded.iter().filter(|sample| {
                &sample.case_id == id && matches!(sample.stage, Stage::Product | Stage::Run)
            });
            let (iterations, times): (Vec<_>, Vec<_>) =
                own.map(|sample| (sample.iterations as f64, sample.elapsed_ns)).unzip();
            assert_eq!(times.len(), samples, "{id}");
            assert_eq!(iterations, numbers(&kept, "iters"), "{id}");
            assert_eq!(times, numbers(&kept, "times"), "{id}");
        }
        assert_eq!(recompute::check(&run), rows.len());
    }
}

#[test]
fn baselines_are_saved_compared_with_and_loaded() {
    let place = Place::new();
    place.run(&SMALL, &[&BRIEF[..], &["--save-baseline", "before"]].concat()).succeeded();
    let (_, rows) = place.run_and_rows();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert!(place.criterion_file(row, "before", "estimates.json").exists(), "{}", row.case_id);
    }
    let compared = place.run(&SMALL, &[&BRIEF[..], &["--baseline", "before"]].concat()).succeeded();
    assert_eq!(compared.stdout.matches("change:").count(), 3, "{}", compared.stdout);
    assert_eq!(place.runs().len(), 2);
    let loaded = ["--bench", "--baseline", "before", "--load-baseline", "before"];
    let loaded = place.run(&SMALL, &loaded).succeeded();
    assert_eq!(loaded.stdout.matches("change:").count(), 3, "{}", loaded.stdout);
    assert_eq!(place.runs().len(), 2, "what was loaded was not measured");
}

/// Stopped in the middle, a run keeps the rows that it had: each is on disk before the next begins.
#[test]
fn a_run_that_is_killed_keeps_its_rows() {
    let place = Place::new();
    let mut command = alone(executable(), place.0.path());
    command.env("CRITERION_HOME", place.path("criterion"));
    command.envs(SMALL).env("TRADEOFF_SIZES", "16,17,18,19,20,21,22,23").args(BRIEF);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The third case's progress line comes after the second one's row.
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let third = lines.map(Result::unwrap).find(|line| line.starts_with("[3/"));
    assert!(third.is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let (run, rows) = place.run_and_rows();
    assert!((2..24).contains(&rows.len()), "{} rows", rows.len());
    let samples = read_samples(&run).unwrap();
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}: {}", row.case_id, row.reason);
        let own = samples.iter().filter(|s| s.case_id == row.case_id && s.stage == Stage::Product);
        assert_eq!(own.count() as u64, row.samples.unwrap(), "{}", row.case_id);
    }
}

/// Copied to a folder of its own, with no cargo to be found.
#[test]
fn the_executable_runs_alone() {
    let place = Place::new();
    let copy = place.path(&format!("copied{}", std::env::consts::EXE_SUFFIX));
    fs::copy(executable(), &copy).unwrap();
    let mut command = alone(&copy, place.0.path());
    command.envs([EVERYWHERE, ("TRADEOFF_SIZES", "16")]);
    command.env("PATH", "").args(BRIEF).arg("--quick");
    command.env("TRADEOFF_WORKLOADS", "matmul").env("TRADEOFF_PRECISIONS", "fp16");
    let outcome = Outcome::of(command).succeeded();
    let (run, rows) = place.run_and_rows();
    let used: BTreeSet<_> = rows.iter().map(|row| row.device.as_str()).collect();
    assert_eq!(used, slugs(&devices(&[])));
    assert!(rows.iter().all(|row| row.status == Status::Ok), "{}", outcome.stderr);
    let file = Path::new("results").join(run.file_name().unwrap()).join("measurements.csv");
    assert!(outcome.stdout.contains(&format!("{} rows in {}", rows.len(), file.display())));
}

#[test]
fn results_go_where_they_are_told() {
    let place = Place::new();
    let there = place.path("some/where");
    let variables = [&SMALL[..], &[("TRADEOFF_RESULTS", there.to_str().unwrap())]].concat();
    place.run(&variables, &[&BRIEF[..], &["--quick", "fp32"]].concat()).succeeded();
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
    assert!(!place.path("results").exists());
    let run = fs::read_dir(&there).unwrap().next().unwrap().unwrap().path();
    let steering = read_provenance(&run).unwrap().environment;
    assert_eq!(steering["TRADEOFF_RESULTS"], "<path>");
}

/// One line on stderr that names the value and the remedy, and nothing done.
#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let below_a_file = place.path("file/results");
    let below_a_file = below_a_file.to_str().unwrap();
    for (name, value, told) in [
        ("TRADEOFF_DEVICES", "quantum", "\"quantum\"; valid: all, an index, or part of a name: 0 "),
        ("TRADEOFF_DEVICES", "99", "no device matches \"99\""),
        ("TRADEOFF_WORKLOADS", "fft", "`fft`; valid are matmul, sgd"),
        ("TRADEOFF_SIZES", "0", "`0` is no matmul size; write one number n"),
        ("TRADEOFF_SIZES", "16x", "`16x` is no matmul size"),
        ("TRADEOFF_SIZES", "4000000", "`4000000` is no matmul size"),
        ("TRADEOFF_SIZES", ",", "`,` is a list of nothing"),
        ("TRADEOFF_PRECISIONS", "fp17", "`fp17`; valid are fp32, fp16,"),
        ("TRADEOFF_KERNELS", "fast", "`fast`; valid are naive, register_tiled"),
        ("TRADEOFF_DATA_SETS", "mnist", "`mnist`; valid are digits"),
        ("TRADEOFF_BATCHES", "0", "`0` is no batch size"),
        ("TRADEOFF_STEPS", "-1", "`-1` is no whole number from 1"),
        ("TRADEOFF_SEED", "one", "`one` is no whole number from 0"),
        ("TRADEOFF_TRIAL", "4294967296", "`4294967296` is no whole number from 0 to 4294967295"),
        ("TRADEOFF_CHECKS", "maybe", "`maybe` is neither on nor off"),
        ("TRADEOFF_SIZE", "16", "TRADEOFF_SIZE; valid are TRADEOFF_DEVICES,"),
        ("WGPU_BACKEND", "voodoo", "\"voodoo\" is no backend; valid: vulkan, gl, metal, dx12"),
        ("WGPU_ADAPTER_NAME", "Voodoo", "\"Voodoo\" matches no adapter; found: "),
        ("TRADEOFF_RESULTS", below_a_file, "file/results`: "),
    ] {
        let outcome = place.run(&[(name, value)], &["--bench"]);
        assert_eq!(outcome.code, Some(2), "{name}={value}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{name}={value}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(told), "{name}={value}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{name}={value}");
    }
    let nothing = [("TRADEOFF_WORKLOADS", "matmul"), ("TRADEOFF_PRECISIONS", "D8M8")];
    let outcome = place.run(&nothing, &["--bench"]);
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(2), 1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("nothing to measure"), "{}", outcome.stderr);
    assert_eq!(place.run(&SMALL, &["--bench", "--no-such-flag"]).code, Some(2));
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1, "only the file made here");
}

/// What does not fit is a row, the rest runs on, and that is no failure.
#[test]
fn a_shape_that_does_not_fit_is_skipped() {
    let place = Place::new();
    let variables = [&SMALL[..], &[("TRADEOFF_SIZES", "1000000,16")]].concat();
    let outcome = place.run(&variables, &[&BRIEF[..], &["--quick", "fp32"]].concat()).succeeded();
    let (_, rows) = place.run_and_rows();
    let statuses: Vec<_> = rows.iter().map(|row| (&row.shape[..], row.status)).collect();
    let expected = [("1000000x1000000x1000000", Status::Skipped), ("16x16x16", Status::Ok)];
    assert_eq!(statuses, expected);
    assert!(rows[0].reason.contains("bytes of host memory, over the"), "{}", rows[0].reason);
    assert!(outcome.stderr.contains("0 wrong, 0 failed, 1 skipped"), "{}", outcome.stderr);
}

/// Loaders that are told of no driver find none.
#[cfg(target_os = "linux")]
const NO_DRIVERS: [(&str, &str); 4] = [
    ("VK_DRIVER_FILES", "/nonexistent"),
    ("VK_ICD_FILENAMES", "/nonexistent"),
    ("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent"),
    ("WGPU_BACKEND", "vulkan,gl"),
];

#[cfg(target_os = "linux")]
#[test]
fn without_a_gpu_the_cpu_is_measured_and_a_line_says_what_to_install() {
    let place = Place::new();
    let small = SMALL.into_iter().filter(|(name, _)| *name != "TRADEOFF_DEVICES");
    let variables: Vec<_> = small.chain(NO_DRIVERS).collect();
    let outcome = place.run(&variables, &[&BRIEF[..], &["--quick"]].concat()).succeeded();
    let hints = outcome.stderr.lines().filter(|line| line.contains("mesa-vulkan-drivers"));
    assert_eq!(hints.count(), 1, "{}", outcome.stderr);
    let (_, rows) = place.run_and_rows();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert_eq!((row.status, &row.device[..]), (Status::Ok, "cpu"), "{}", row.reason);
    }
}

/// Mesa's GL driver can be told to have no compute shaders: a device that fails for real.
#[cfg(target_os = "linux")]
#[test]
fn a_device_that_fails_is_rows_and_a_non_zero_exit() {
    let crippled = ("MESA_EXTENSION_OVERRIDE", "-GL_ARB_compute_shader");
    let found = devices(&[crippled]);
    let without_compute = |device: &&Value| device["max_workgroups_per_dimension"] == 0;
    let broken: Vec<_> =
        found.iter().filter(|d| d["backend"] == "gl").filter(without_compute).collect();
    let [broken] = broken[..] else {
        eprintln!("skipped: Mesa has no GL adapter here that can be crippled");
        return;
    };
    let slug = broken["slug"].as_str().unwrap();
    let variables = [EVERYWHERE, ("TRADEOFF_DEVICES", "all"), ("TRADEOFF_SIZES", "16"), crippled];
    let variables = [&variables[..], &[("TRADEOFF_WORKLOADS", "matmul")]].concat();
    let place = Place::new();
    // It is listed, because nothing is opened for that.
    let listed = place.run(&variables, &["--list"]).succeeded();
    assert!(listed.ids().iter().any(|id| id.ends_with(slug)), "{}", listed.stdout);
    let filter = "matmul/(fp32|int8-sr)/";
    let outcome = place.run(&variables, &[&BRIEF[..], &["--quick", filter]].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let (run, rows) = place.run_and_rows();
    for row in &rows {
        let estimates = place.criterion_file(row, "new", "estimates.json");
        if row.device == slug {
            assert_eq!((row.status, row.median_ns), (Status::Failed, None));
            assert!(row.reason.contains("COMPUTE_SHADERS"), "{}", row.reason);
            let line = format!("{}: failed: {}", row.case_id, row.reason);
            assert!(outcome.stderr.contains(&line), "{}", outcome.stderr);
        } else {
            assert_eq!(row.status, Status::Ok, "{}: {}", row.case_id, row.reason);
        }
        assert_eq!(estimates.exists(), row.status == Status::Ok, "{}", row.case_id);
    }
    let failed = rows.iter().filter(|row| row.status == Status::Failed).count();
    assert_eq!(failed, 4, "two precisions, two kernels");
    assert_eq!(recompute::check(&run), rows.len() - failed);
    assert!(outcome.stderr.contains("0 wrong, 4 failed, 0 skipped"), "{}", outcome.stderr);
    // Trying the cases fails as well, so that continuous integration sees it.
    let tried = place.run(&variables, &["--bench", "--test", filter]);
    assert_eq!(tried.code, Some(1), "{}", tried.stderr);
    assert_eq!(place.runs().len(), 1);
}
