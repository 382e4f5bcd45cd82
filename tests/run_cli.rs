//! The verbs around a measurement as a user calls them: run, resume after any interruption, shards
//! and their merge, list, publish, completions. All on the CPU, with small cases.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, RngExt, SeedableRng};
use rand_philox::Philox;
use tempfile::TempDir;
use tradeoff::measure::statistics::Summary;
use tradeoff::record::{
    Provenance, Record, Sample, Stage, Status, read, read_provenance, read_samples, read_trajectory,
};

/// The program, with these arguments.
fn tradeoff(arguments: &[&str]) -> Command {
    let mut command = alone(Command::new(env!("CARGO_BIN_EXE_tradeoff")));
    command.args(arguments);
    command
}

/// Without what the environment selects: on the CPU. A backend that no Linux has is searched, so
/// that a start does not wait for a driver.
fn alone(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRADEOFF_") {
            command.env_remove(name);
        }
    }
    command.env("WGPU_BACKEND", "dx12").env("TRADEOFF_DEVICES", "cpu");
    // It takes seconds, and would be cached in the user's own folder.
    command.env("TRADEOFF_ROOFLINE", "off").env("TRADEOFF_TUNE", "off");
    command.env("TRADEOFF_ORDERS", "off");
    command
}

fn output(arguments: &[&str]) -> Output {
    tradeoff(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it, which must end with exit code `code`; returns stdout and stderr.
#[track_caller]
fn ends(code: i32, arguments: &[&str]) -> (String, String) {
    let output = output(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

/// The one line of a refusal, which is no start of a run.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let (out, err) = ends(2, arguments);
    let lines: Vec<&str> = err.lines().filter(|line| !line.starts_with("no GPU adapter")).collect();
    let [line] = lines[..] else { panic!("{arguments:?}: {err}") };
    assert!(line.starts_with("error: ") && out.is_empty(), "{line}{out}");
    line.to_owned()
}

/// A few quick cases: 4 of matmul and 2 of SGD.
const FEW: [&str; 14] = [
    "--precision",
    "fp32,int8",
    "--size",
    "4..8",
    "--data-set",
    "figure2-16x8",
    "--batch",
    "8",
    "--steps",
    "4",
    "--time",
    "5ms",
    "--samples",
    "3",
];

fn with<'a>(verb: &[&'a str], selection: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [verb, selection, more].concat()
}

/// The only run folder of `root`.
fn only_run(root: &Path) -> PathBuf {
    let mut runs: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.remove(0)
}

/// A finished run of a few cases.
fn run_few(more: &[&str]) -> (TempDir, PathBuf) {
    run_of(&FEW, more)
}

fn run_of(selection: &[&str], more: &[&str]) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    ends(0, &with(&["run"], selection, &[&["-o", results.to_str().unwrap()], more].concat()));
    let run = only_run(&results);
    (root, run)
}

fn edit_json(run: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = run.join(Provenance::FILE);
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, serde_json::to_vec_pretty(&json).unwrap()).unwrap();
}

/// Lines of a table by number, from 0 for the header.
fn edit_lines(path: &Path, edit: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    edit(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// Every row's statistics, from its samples; and nothing in the other tables without its row.
fn check_tables(run: &Path) -> Vec<Record> {
    let (rows, samples) = (read(run).unwrap(), read_samples(run).unwrap());
    let mut by_stage: HashMap<(&str, Stage), Vec<&Sample>> = HashMap::new();
    for sample in &samples {
        by_stage.entry((&sample.case_id, sample.stage)).or_default().push(sample);
    }
    for row in rows.iter().filter(|row| row.status == Status::Ok) {
        let main = if row.workload == "sgd" { Stage::Run } else { Stage::Product };
        let mut summary = |stage| {
            let samples = by_stage.remove(&(row.case_id.as_str(), stage))?;
            let numbers: Vec<u64> = samples.iter().map(|sample| sample.sample).collect();
            assert_eq!(numbers, (0..samples.len() as u64).collect::<Vec<_>>(), "{}", row.case_id);
            Some(Summary::of(samples.iter().map(|s| (s.iterations, s.elapsed_ns))).unwrap())
        };
        let all = summary(main).unwrap();
        assert_eq!(row.samples, Some(all.samples as u64));
        let columns = [
            (row.min_ns, all.min_ns),
            (row.q1_ns, all.q1_ns),
            (row.median_ns, all.median_ns),
            (row.median_ci95_low_ns, all.median_ci95_low_ns),
            (row.median_ci95_high_ns, all.median_ci95_high_ns),
            (row.q3_ns, all.q3_ns),
            (row.mad_ns, all.mad_ns),
        ];
        for (column, recomputed) in columns {
            assert_eq!(column, Some(recomputed), "{}", row.case_id);
        }
        let conversion = summary(Stage::Conversion);
        assert_eq!(row.conversion_median_ns, conversion.map(|s| s.median_ns), "{}", row.case_id);
        let total = summary(Stage::Total);
        assert_eq!(row.total_median_ns, total.map(|s| s.median_ns), "{}", row.case_id);
    }
    assert!(by_stage.is_empty(), "samples without a row: {:?}", by_stage.keys());
    let mut ends: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for point in read_trajectory(run).unwrap() {
        ends.entry(point.case_id).or_default().push(point.step);
    }
    for row in rows.iter().filter(|row| row.workload == "sgd" && row.status == Status::Ok) {
        let steps = ends.remove(&row.case_id).unwrap();
        assert!(steps.is_sorted_by(|a, b| a < b) && steps.last() == row.steps.as_ref());
    }
    assert!(ends.is_empty(), "trajectories without a row: {ends:?}");
    rows
}

fn ids(rows: &[Record]) -> Vec<&str> {
    rows.iter().map(|row| row.case_id.as_str()).collect()
}

#[test]
fn a_run_measures_what_list_names_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("deep/results");
    let arguments = with(&["run"], &FEW, &["-o", results.to_str().unwrap()]);
    let (out, err) = ends(0, &arguments);
    let run = only_run(&results);
    let rows = check_tables(&run);
    let listed = ends(0, &with(&["list"], &FEW[..10], &[])).0;
    let listed: Vec<&str> = listed.lines().collect();
    // Cases of one problem end in an order of their own.
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), ids(&rows).iter().collect());
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row.status == Status::Ok && row.samples.unwrap() <= 3));

    // Data on stdout: the table with the path; progress on stderr, in plain lines.
    assert!(out.starts_with("fastest kernel of each setting"), "{out}");
    assert!(out.ends_with(&format!("6 rows in {}\n", run.join("measurements.csv").display())));
    assert!(err.contains("\n[1/6] matmul/fp32/mirror/4x4x4/cpu\n"), "{err}");
    assert!(!err.contains('\r') && !err.contains('\u{1b}'), "{err}");
    let plan = read_provenance(&run).unwrap().plan.unwrap();
    assert_eq!(plan.cases, listed);
    assert!(rows.iter().all(|row| row.interleaving == "rounds" && row.cache == "warm"));
    assert!(rows.iter().all(|row| row.stop_reason == "samples" && row.processes == Some(1)));
    assert!(rows.iter().all(|row| row.interval_width_wanted == Some(0.05)));
    assert!(rows.iter().all(|row| row.sampling_ns.unwrap() > 0.0));
    assert!(rows.iter().all(|row| row.verification_ns.unwrap() > 0.0));
    let groups = read_provenance(&run).unwrap().interleaved;
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 2], "two shapes of matmul, one data set");
    assert_eq!(plan.selection["TRADEOFF_SIZES"], "4,8");
}

#[test]
fn flags_go_before_variables() {
    let list = |size: &[&str]| {
        let mut command = tradeoff(&with(&["list", "matmul", "--precision", "fp32"], size, &[]));
        text(&command.env("TRADEOFF_SIZES", "16..32").output().unwrap().stdout)
    };
    assert_eq!(list(&[]), "matmul/fp32/mirror/16x16x16/cpu\nmatmul/fp32/mirror/32x32x32/cpu\n");
    assert_eq!(list(&["--size", "2x3x5"]), "matmul/fp32/mirror/2x3x5/cpu\n");
    let bad = tradeoff(&["list"]).env("TRADEOFF_SIZES", "3..5").output().unwrap();
    assert!(text(&bad.stderr).contains("error: TRADEOFF_SIZES: `3` in `3..5` is no power of two"));
}

/// From the flag to the report: the rates are cases of their own, a run that diverges is wrong and
/// leaves the others alone, a stopped sweep goes on with what is missing, and the report takes the
/// best rate of those that came to an end.
#[test]
fn learning_rates_are_swept_and_the_report_takes_the_best() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let sweep = ["sgd", "--data-set", "figure2-64x8", "--precision", "fp32,D8M8", "--steps", "60"];
    let rates = ["--learning-rate", "auto,0.5x,2x,0.015625,1000x,1.0x"];
    let quick =
        ["--batch", "8", "--time", "5ms", "--samples", "5", "-o", results.to_str().unwrap()];
    let (out, err) = ends(1, &with(&["run"], &[&sweep[..], &rates[..]].concat(), &quick));
    let run = only_run(&results);
    let mut rows = check_tables(&run);
    // Rows are written as cases leave the rounds: a run that diverged is the first.
    let plan = read_provenance(&run).unwrap().plan.unwrap().cases;
    rows.sort_by_key(|row| plan.iter().position(|id| *id == row.case_id).unwrap());
    let shapes: Vec<&str> = rows.iter().step_by(2).map(Record::shape_in_id).collect();
    let base = "figure2-64x8-b8";
    let ids = ["", "-lr0.5x", "-lr2x", "-lr0.015625", "-lr1000x"].map(|end| format!("{base}{end}"));
    assert_eq!(shapes, ids, "1.0x is auto");
    assert!(rows.iter().all(|row| row.shape == base));
    let rate = |row: &Record| row.learning_rate.unwrap();
    assert_eq!(rate(&rows[2]), 0.5 * rate(&rows[0]));
    assert_eq!(rate(&rows[4]), 2.0 * rate(&rows[0]));
    assert_eq!(rate(&rows[6]), 0.015625);
    for row in &rows[8..] {
        assert_eq!(row.status, Status::Wrong);
        assert!(row.reason.contains("the run diverged; choose a lower rate"), "{}", row.reason);
    }
    assert!(rows[..8].iter().all(|row| row.status == Status::Ok));
    // Another rate is another trajectory in f64: that of fp32 stays near its own.
    let apart = |row: &Record| row.distance_to_f64_trajectory.unwrap();
    assert!(rows.iter().step_by(2).take(4).all(|row| apart(row) < 1e-5), "{rows:?}");
    assert!(out.contains("at the learning rate of the least error") && err.contains("2 wrong"));

    let folder = root.path().join("report");
    let (page, paths) = (folder.join("index.html"), [&run, Path::new("-o"), &folder]);
    let paths = paths.map(|path| path.to_str().unwrap());
    ends(0, &with(&["report"], &paths, &[]));
    let table = folder.join(format!("tables/time-to-loss-sgd-{base}.tex"));
    let table = fs::read_to_string(table).unwrap();
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Left out, for the run diverged or was else wrong: α = "), "{page}");
    assert!(page.contains("Measured were α = 0.0156, "), "{page}");
    assert_eq!(table.matches("$\\alpha$ = ").count(), 2, "{table}");
    let told = ends(0, &["frontier", "--all", paths[0]]).0;
    let head: Vec<&str> = told.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(head[..3], ["precision", "kernel", "rate"], "{told}");
    let points = told.lines().filter(|line| line.contains(" mirror  ")).count();
    assert_eq!(points, 8, "{told}");
}

/// From the flag to the report: each number of random bits is a case of its own, with its name in the
/// table, the frontier, the report and a ratio; the plan keeps the list.
#[test]
fn random_bits_are_swept() {
    let selection = ["matmul", "--size", "8", "--precision", "fp32,fp16-sr"];
    let quick = ["--rounding-bits", "16,4", "--time", "5ms", "--samples", "6"];
    let (root, run) = run_of(&[&selection[..], &quick].concat(), &[]);
    let plan = read_provenance(&run).unwrap().plan.unwrap();
    assert_eq!(plan.selection["TRADEOFF_ROUNDING_BITS"], "16,4");
    let ids = ["fp32/mirror/8x8x8", "fp16-sr/mirror/8x8x8", "fp16-sr/mirror/8x8x8-r4"];
    assert_eq!(plan.cases, ids.map(|id| format!("matmul/{id}/cpu")));
    let rows = check_tables(&run);
    let bits = |id: &str| rows.iter().find(|row| row.case_id.contains(id)).unwrap().rounding_bits;
    assert_eq!(ids.map(|id| bits(&format!("{id}/cpu"))), [None, Some(16), Some(4)]);

    let (run, report) = (run.to_str().unwrap(), root.path().join("report"));
    let told = ends(0, &["frontier", "--all", run]).0;
    assert!(told.contains(" fp16-sr r=4  mirror ") && told.contains(" fp16-sr      mirror "));
    ends(0, &["report", run, "-o", report.to_str().unwrap()]);
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("fp16-sr r=4") && page.contains("rounded at random by 4 random bits"));
    let dials = ["--of", "rounding_bits=4", "--to", "rounding_bits=16"];
    let told = ends(0, &[&["ratio", run][..], &dials].concat()).0;
    assert!(told.contains("fp16-sr r=4/mirror/cpu  fp16-sr/mirror/cpu"), "{told}");
    let (again, _) = ends(0, &["run", "--resume", run]);
    assert_eq!(check_tables(Path::new(run)), rows, "{again}");
}

#[test]
fn list_tells_what_will_be_skipped_and_why() {
    let selection = ["sgd", "--data-set", "digits", "--batch", "8,1438", "--precision", "fp32"];
    let (out, err) = ends(0, &with(&["list"], &selection, &[]));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "sgd/D32fM32f/mirror/digits-b8/cpu");
    assert_eq!(
        lines[1],
        "sgd/D32fM32f/mirror/digits-b1438/cpu  skipped: batch of 1438 rows; choose 1 to 1437, the \
         rows of digits"
    );
    assert!(err.contains("2 cases, 1 of them to be skipped"), "{err}");
    let json = ends(0, &with(&["list", "--json"], &selection, &[])).0;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["skipped"], serde_json::Value::Null);
    assert!(json[1]["skipped"].as_str().unwrap().starts_with("batch of 1438 rows"));
    assert_eq!(json[1]["case_id"], "sgd/D32fM32f/mirror/digits-b1438/cpu");
}

#[test]
fn bad_input_is_one_line_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let place = ["-o", results.to_str().unwrap()];
    for (flags, told) in [
        (vec!["--size", "100..200"], "--size: `100` in `100..200` is no power of two"),
        (vec!["--size", "512..256"], "--size: range `512..256` is empty"),
        (vec!["--size", "0"], "--size: `0` is no matmul size"),
        (vec!["--size", ""], "a value is required for '--size"),
        (vec!["--rounding-bits", "8,17"], "--rounding-bits: `17` is no number of random bits"),
        (vec!["--size", "4294967295"], "--size: `4294967295` is no matmul size"),
        (vec!["--precision", "fp17"], "--precision: unknown precision `fp17`; valid are fp32,"),
        (vec!["--kernel", "fast"], "--kernel: unknown kernel `fast`; valid are naive,"),
        (vec!["--data-set", "mnist"], "--data-set: unknown data set `mnist`; valid are digits"),
        (vec!["--batch", "0"], "--batch: `0` is no batch size"),
        (vec!["--steps", "0"], "--steps: `0` is no whole number from 1"),
        (
            vec!["--learning-rate", "auto,0"],
            "--learning-rate: `0` is no learning rate; write auto,",
        ),
        (vec!["--learning-rate", "-0.1"], "--learning-rate: `-0.1` is no learning rate"),
        (vec!["--learning-rate", "NaN"], "--learning-rate: `NaN` is no learning rate"),
        (vec!["--learning-rate", "x"], "--learning-rate: `x` is no learning rate"),
        (vec!["--learning-rates", "inf"], "--learning-rate: `inf` is no learning rate"),
        (vec!["--seed", "-"], "--seed: `-` is no whole number"),
        (
            vec!["--distribution", "gauss"],
            "--distribution: unknown distribution `gauss`; valid are",
        ),
        (vec!["--device", "tpu"], "no device matches \"tpu\""),
        (vec!["--checks", "perhaps"], "[possible values: on, off]"),
        (vec!["--time", "10"], "write a time over 0 with its unit, such as 500ms"),
        (vec!["--time", "0s"], "write a time over 0"),
        (vec!["--time", "-1s"], "-1"),
        (vec!["--samples", "0"], "0 is not in 1.."),
        (vec!["--interval", "5"], "write a percentage over 0, such as 2%, or off"),
        (vec!["--interval", "0%"], "write a percentage over 0"),
        (vec!["--interleave", "always"], "[possible values: rounds, none]"),
        (vec!["--cache", "hot"], "[possible values: warm, cold]"),
        (vec!["--repeats", "0"], "--repeats"),
        (vec!["--shard", "5/4"], "`5/4` is no shard; write i/n"),
        (vec!["--shard", "400/401"], "shard 400/401 of"),
        (vec!["fft"], "[possible values: matmul, sgd, all]"),
        (vec!["sgd", "--precision", "bf16"], "the selection has no case"),
        (vec!["--allow-changes"], "--resume <RUN>"),
        (
            vec!["--resume", "x", "--seed", "1"],
            "'--resume <RUN>' cannot be used with: --seed <N> --output <DIR>",
        ),
        (
            vec!["--resume", "x", "--algorithm", "halp"],
            "'--resume <RUN>' cannot be used with: --algorithm <LIST> --output <DIR>",
        ),
    ] {
        let message = refused(&with(&["run"], &flags, &place));
        assert!(message.contains(told), "{flags:?}: {message}");
        assert!(!results.exists(), "{flags:?}");
    }
    let nothing = root.path().join("nothing");
    let message = refused(&["run", "--resume", nothing.to_str().unwrap()]);
    assert!(message.contains("nothing/run.json`: No such file"), "{message}");
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("results");
    let message = refused(&with(&["run"], &FEW, &["-o", below.to_str().unwrap()]));
    assert!(message.ends_with("; choose a results folder that can be written"), "{message}");
}

/// What a run with `arguments` does until it is killed after `delay`; whether it was still going.
fn kill_after(arguments: &[&str], delay: Duration) -> bool {
    let mut child: Child =
        tradeoff(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let was_going = child.try_wait().unwrap().is_none();
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    was_going
}

/// Takes up to 60 bytes off the end of a table, as a system that loses power does.
fn tear(run: &Path, random: &mut impl Rng) {
    let tables = ["measurements.csv", "samples.csv", "trajectory.csv"];
    let path = run.join(tables[random.random_range(0..tables.len())]);
    let Ok(file) = File::options().write(true).open(path) else { return };
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(random.random_range(1..60))).unwrap();
}

/// Killed at 20 random moments and resumed each time, a run holds its plan exactly once.
#[test]
fn a_run_survives_being_killed() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let selection = [
        "--size",
        "1..8;2,3,5;7,1,2;16;5,17,3;24",
        "--data-set",
        "figure2-16x8,logistic-20x4",
        "--batch",
        "1,2,3,5,8,n",
        "--steps",
        "6",
        "--time",
        "8ms",
        "--samples",
        "4",
    ];
    let place = ["-o", results.to_str().unwrap()];
    let planned = ends(0, &with(&["list"], &selection[..8], &[])).0;
    let planned: Vec<&str> = planned.lines().collect();
    assert!(planned.len() > 150, "{}", planned.len());

    let mut random = Philox::seed_from_u64(20);
    let (mut kills, mut torn, mut run) = (0, 0, None::<PathBuf>);
    while kills < 20 {
        let begin = with(&["run"], &selection, &place);
        let resume = run.as_ref().map(|run| ["run", "--resume", run.to_str().unwrap()]);
        let arguments = resume.as_ref().map_or(&begin[..], |resume| &resume[..]);
        let delay = Duration::from_millis(random.random_range(5..450));
        assert!(kill_after(arguments, delay), "the plan is too short for 20 kills");
        kills += 1;
        if run.is_none() && results.exists() && fs::read_dir(&results).unwrap().next().is_some() {
            let begun = only_run(&results);
            // Killed before it could say what it is: nothing was measured, and it is begun anew.
            if begun.join("run.json").exists() {
                run = Some(begun);
            } else {
                fs::remove_dir_all(begun).unwrap();
            }
        }
        if let Some(run) = run.as_ref().filter(|_| kills % 3 == 0) {
            tear(run, &mut random);
            torn += 1;
        }
    }
    assert!(torn >= 5, "{torn}");
    let run = run.unwrap();
    let before = read_to_last_line(&run);
    assert!(before < planned.len(), "something is left for the last time");
    let (out, err) = ends(0, &["run", "--resume", run.to_str().unwrap()]);
    assert!(out.contains(&format!("{} rows in ", planned.len())), "{out}{err}");

    let rows = check_tables(&run);
    let measured: HashSet<&str> = ids(&rows).into_iter().collect();
    assert_eq!(rows.len(), planned.len(), "each case once");
    assert_eq!(measured, planned.into_iter().collect());
    assert!(rows.iter().all(|row| row.status == Status::Ok));
    let resumed = read_provenance(&run).unwrap().resumed;
    assert!(!resumed.is_empty() && resumed.iter().all(|r| r.changes.is_empty()), "{resumed:?}");
    let files = fs::read_dir(&run).unwrap().count();
    assert_eq!(files, 4, "run.json, three tables and no draft");

    // Nothing is missing any more, so nothing is written.
    let whole = fs::read(run.join("measurements.csv")).unwrap();
    let (_, err) = ends(0, &["run", "--resume", run.to_str().unwrap()]);
    assert!(err.contains("0 cases are missing"), "{err}");
    assert_eq!(fs::read(run.join("measurements.csv")).unwrap(), whole);
}

/// Whole rows of a table whose last line may be torn.
fn read_to_last_line(run: &Path) -> usize {
    let bytes = fs::read(run.join("measurements.csv")).unwrap();
    bytes.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1)
}

/// Returns once some `measurements.csv` below `folder` has a row, which on a busy machine takes a while.
#[cfg(unix)]
fn wait_for_a_row(folder: &Path) {
    fn has_a_row(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| {
            if path.is_dir() {
                return has_a_row(&path);
            }
            let rows = || fs::read_to_string(&path).unwrap_or_default().lines().count() > 1;
            path.ends_with("measurements.csv") && rows()
        })
    }
    let given_up = Instant::now() + Duration::from_mins(2);
    while !has_a_row(folder) {
        assert!(Instant::now() < given_up, "no row in two minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_and_says_how_to_go_on() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let place = ["run", "-o", results.to_str().unwrap()];
    let arguments = with(&place, &["--size", "8..64", "--time", "300ms"], &[]);
    let mut command = tradeoff(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_row(&results);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    let run = only_run(&results);
    let last = err.lines().last().unwrap();
    let go_on = format!("go on with `tradeoff run --resume {}`", run.display());
    assert!(last.starts_with("stopped with ") && last.ends_with(&go_on), "{err}");
    let rows = check_tables(&run);
    assert!(!rows.is_empty(), "{err}");
    // A case that was under way has a row if it had enough samples for an interval.
    for row in &rows {
        let reasons = ["interval", "samples", "time", "interrupted"];
        assert!(reasons.contains(&row.stop_reason.as_str()), "{}", row.stop_reason);
        assert!(row.samples.unwrap() >= 6, "{}", row.case_id);
    }
    let begun = err.lines().filter(|line| line.starts_with('[')).count();
    assert!(rows.len() <= begun && begun < 40, "{err}");
}

#[test]
fn a_changed_machine_or_program_is_refused_by_name() {
    let (_root, run) = run_few(&[]);
    let path = run.to_str().unwrap();
    edit_lines(&run.join("measurements.csv"), |lines| lines.truncate(4));
    for (key, value, told) in [
        ("git_revision", "0123", "the git revision was `0123` and is `"),
        ("crate_version", "0.0.1", "the version of tradeoff was `0.0.1` and is `"),
        ("rustc", "1.0.0", "the compiler was `1.0.0` and is `"),
    ] {
        let before = fs::read(run.join("run.json")).unwrap();
        edit_json(&run, |json| json[key] = value.into());
        let message = refused(&["run", "--resume", path]);
        assert!(message.contains(told) && message.contains("--allow-changes"), "{message}");
        fs::write(run.join("run.json"), before).unwrap();
    }
    let environment = tradeoff(&["run", "--resume", path]).env("RAYON_NUM_THREADS", "1").output();
    let message = text(&environment.unwrap().stderr);
    assert!(message.contains("RAYON_NUM_THREADS was `unset` and is `1`"), "{message}");
    edit_json(&run, |json| json["devices"][0]["name"] = "Another CPU".into());
    let message = refused(&["run", "--resume", path]);
    assert!(message.contains("name of cpu was \"Another CPU\" and is "), "{message}");
    assert_eq!(read(&run).unwrap().len(), 3, "a refusal leaves the rows");

    ends(0, &["run", "--resume", path, "--allow-changes"]);
    assert_eq!(check_tables(&run).len(), 6);
    let resumed = read_provenance(&run).unwrap().resumed;
    assert_eq!(resumed.len(), 1);
    assert!(resumed[0].changes[0].contains("Another CPU"), "{resumed:?}");
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let (_root, run) = run_few(&[]);
    let path = run.to_str().unwrap().to_owned();
    let resume = || refused(&["run", "--resume", &path]);
    let json = fs::read(run.join("run.json")).unwrap();
    edit_json(&run, |json| drop(json.as_object_mut().unwrap().remove("plan")));
    assert!(resume().contains("run.json has no plan"), "{}", resume());
    fs::write(run.join("run.json"), &json).unwrap();
    edit_json(&run, |json| json["plan"]["cases"][0] = "matmul/fp32/naive/4x4x4/gone".into());
    assert!(resume().contains("case `matmul/fp32/naive/4x4x4/gone` of its plan is none here"));
    fs::write(run.join("run.json"), &json[..40]).unwrap();
    assert!(resume().contains("run.json`, line "), "{}", resume());
    fs::write(run.join("run.json"), &json).unwrap();

    let table = run.join("measurements.csv");
    let rows = fs::read(&table).unwrap();
    edit_lines(&table, |lines| lines.push(lines[1].clone()));
    assert!(
        resume().contains("line 8: case `matmul/fp32/mirror/4x4x4/cpu` was measured in line 2")
    );
    fs::write(&table, "a,b\n1,2\n").unwrap();
    assert!(resume().contains("the header of measurements.csv has 2 columns"), "{}", resume());

    // A row that is bad stays, is not measured again, and is told by the exit code.
    fs::write(&table, rows).unwrap();
    edit_lines(&table, |lines| lines[2] = lines[2].replace(",ok,", ",failed,"));
    ends(1, &["run", "--resume", &path]);
}

/// Shards of a few cases, in folders of their own.
fn shards(root: &Path, count: usize, more: &[&str]) -> Vec<PathBuf> {
    let run = |index: usize| {
        let results = root.join(format!("shard-{index}"));
        let shard = format!("{index}/{count}");
        let place = ["-o", results.to_str().unwrap(), "--shard", &shard];
        ends(0, &with(&["run"], &FEW, &[&place, more].concat()));
        only_run(&results)
    };
    (1..=count).map(run).collect()
}

fn merge<'a>(parts: &[&'a Path], to: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let parts: Vec<&str> = parts.iter().map(|part| part.to_str().unwrap()).collect();
    with(&["merge"], &parts, &[&["-o", to.to_str().unwrap()], more].concat())
}

#[test]
fn shards_merge_into_the_plan() {
    let root = tempfile::tempdir().unwrap();
    let parts = shards(root.path(), 3, &[]);
    let to = root.path().join("all/merged");
    let paths: Vec<&Path> = parts.iter().map(PathBuf::as_path).collect();
    let (out, _) = ends(0, &merge(&[paths[2], paths[0], paths[1]], &to, &[]));
    assert_eq!(out, format!("6 rows in {}\n", to.join("measurements.csv").display()));
    let rows = check_tables(&to);
    let listed = ends(0, &with(&["list"], &FEW[..10], &[])).0;
    assert_eq!(ids(&rows), listed.lines().collect::<Vec<_>>(), "in the order of the plan");

    // Each row is the part's, bit for bit, with its own run id.
    for part in &parts {
        let (own, run_id) = (read(part).unwrap(), read_provenance(part).unwrap().run_id);
        assert_eq!(own.len(), 2);
        for row in own {
            assert_eq!(row.run_id, run_id);
            assert!(rows.contains(&row), "{}", row.case_id);
        }
    }
    let whole = read_provenance(&to).unwrap();
    assert_eq!(whole.run_id, "merged");
    assert_eq!(whole.parts.len(), 3);
    assert!(parts.iter().all(|part| whole.parts.contains(&read_provenance(part).unwrap())));
    let plan = whole.plan.unwrap();
    assert_eq!((plan.shard, plan.cases.len()), (None, 6));
    assert!(!whole.cpu.is_empty() && whole.cpu == whole.parts[0].cpu);
    let files: Vec<_> = fs::read_dir(to.parent().unwrap()).unwrap().collect();
    assert_eq!(files.len(), 1, "no draft: {files:?}");

    let message = refused(&["run", "--resume", to.to_str().unwrap()]);
    assert!(message.contains("it is a merge; resume the part"), "{message}");
}

#[test]
fn a_partial_merge_takes_the_rest_later() {
    let root = tempfile::tempdir().unwrap();
    let parts = shards(root.path(), 3, &[]);
    let (some, all) = (root.path().join("some"), root.path().join("all"));
    let message = refused(&merge(&[&parts[0], &parts[1]], &some, &[]));
    assert!(
        message.contains("2 of the 6 cases of the plan are in no part, such as `"),
        "{message}"
    );
    assert!(!some.exists());
    let (_, err) = ends(0, &merge(&[&parts[0], &parts[1]], &some, &["--partial"]));
    assert!(err.contains("warning: 2 of 6 cases are missing"), "{err}");
    ends(0, &merge(&[&some, &parts[2]], &all, &[]));
    assert_eq!(check_tables(&all).len(), 6);
    assert_eq!(read_provenance(&all).unwrap().parts.len(), 3);
    let run_ids: HashSet<String> = read(&all).unwrap().into_iter().map(|row| row.run_id).collect();
    assert_eq!(run_ids.len(), read_run_ids(&parts).len());
}

fn read_run_ids(parts: &[PathBuf]) -> HashSet<String> {
    parts.iter().map(|part| read_provenance(part).unwrap().run_id).collect()
}

#[test]
fn parts_that_do_not_fit_are_refused_by_file_and_line() {
    let root = tempfile::tempdir().unwrap();
    let parts = shards(root.path(), 2, &[]);
    let (a, b) = (parts[0].as_path(), parts[1].as_path());
    let to = root.path().join("merged");
    let refusal = |parts: &[&Path]| {
        let message = refused(&merge(parts, &to, &[]));
        assert!(!to.exists(), "{message}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "no draft: {message}");
        message
    };
    let table = |run: &Path, file: &str| run.join(file).display().to_string();

    let message = refusal(&[a, b, a]);
    let case = read(a).unwrap()[0].case_id.clone();
    let measurements = table(a, "measurements.csv");
    let told =
        format!("`{measurements}`, line 2: case `{case}` is in `{measurements}`, line 2, too");
    assert!(message.contains(&told), "{message}");

    let (_other_root, other) = run_few(&["--seed", "7", "--shard", "2/2"]);
    let message = refusal(&[a, &other]);
    assert!(message.contains("TRADEOFF_SEED is its default in one and `7` in the other"));
    let (_third_root, third) = run_few(&["--shard", "2/3"]);
    assert!(refusal(&[a, &third]).contains("split into 2 shards and the other into 3"));

    let json = fs::read(b.join("run.json")).unwrap();
    edit_json(b, |json| drop(json.as_object_mut().unwrap().remove("plan")));
    assert!(refusal(&[a, b]).contains(&format!("`{}`: no plan in it", table(b, "run.json"))));
    fs::write(b.join("run.json"), json).unwrap();

    let path = b.join("measurements.csv");
    let rows = fs::read(&path).unwrap();
    // The first column is the version of the schema.
    let line = text(&rows).lines().nth(2).unwrap().to_owned();
    let (_, rest) = line.split_once(',').unwrap();
    edit_lines(&path, |lines| lines[2] = format!("9,{rest}"));
    let message = refusal(&[a, b]);
    assert!(message.contains(&table(b, "measurements.csv")) && message.contains("line 3"));
    edit_lines(&path, |lines| lines[2] = line.replace("/cpu,", "/gone,"));
    assert!(refusal(&[a, b]).contains("line 3: case `"), "{}", refusal(&[a, b]));
    fs::write(&path, &rows[..rows.len() - 20]).unwrap();
    assert!(refusal(&[a, b]).contains("the file ends within this row"), "{}", refusal(&[a, b]));
    edit_lines(&path, |lines| lines.truncate(2));
    let message = refusal(&[a, b]);
    assert!(
        message.contains(&table(b, "samples.csv"))
            && message.contains("so it was cut short; finish")
    );
    fs::write(&path, rows).unwrap();

    let message = refusal(&[a, &root.path().join("nothing")]);
    assert!(message.contains("nothing/run.json`: No such file"), "{message}");
    ends(0, &merge(&[a, b], &to, &[]));
    assert!(refused(&merge(&[a, b], &to, &[])).contains("merged` exists already"));
}

#[test]
fn shards_on_other_machines_are_warned_of() {
    let root = tempfile::tempdir().unwrap();
    let parts = shards(root.path(), 2, &[]);
    edit_json(&parts[1], |json| json["cpu"] = "Another CPU".into());
    let to = root.path().join("merged");
    let (_, err) = ends(0, &merge(&[&parts[0], &parts[1]], &to, &[]));
    assert!(err.contains("and is `Another CPU`; rows before and after"), "{err}");
    assert_eq!(read_provenance(&to).unwrap().cpu, "differs, see `parts`");
}

#[test]
fn a_published_merge_names_no_host() {
    let root = tempfile::tempdir().unwrap();
    let parts = shards(root.path(), 2, &[]);
    for (part, host) in parts.iter().zip(["secret-one", "secret-two"]) {
        let stamp = read_provenance(part).unwrap().run_id[..16].to_owned();
        let run_id = format!("{stamp}-{host}");
        edit_json(part, |json| {
            json["host"] = host.into();
            json["run_id"] = run_id.clone().into();
            json["resumed"] = serde_json::json!([{"utc": "", "host": host, "changes": []}]);
        });
        edit_lines(&part.join("measurements.csv"), |lines| {
            for line in &mut lines[1..] {
                let mut cells: Vec<&str> = line.split(',').collect();
                cells[1] = &run_id;
                *line = cells.join(",");
            }
        });
    }
    let (merged, published) = (root.path().join("merged"), root.path().join("published"));
    ends(0, &merge(&[&parts[0], &parts[1]], &merged, &[]));
    let arguments = ["publish", merged.to_str().unwrap(), "-o", published.to_str().unwrap()];
    let (out, _) = ends(0, &arguments);
    let copy = only_run(&published);
    assert_eq!(out, format!("{}\n", copy.display()));
    for entry in fs::read_dir(&copy).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("secret"), "{text}");
    }
    let whole = read_provenance(&copy).unwrap();
    let ids: HashSet<String> = whole.parts.iter().map(|part| part.run_id.clone()).collect();
    let rows = check_tables(&copy);
    assert_eq!(
        rows.iter().map(|r| r.run_id.clone()).collect::<HashSet<_>>(),
        ids,
        "rows and parts"
    );
    assert_eq!(ids.len(), 2);
}

#[test]
fn every_verb_has_examples_and_every_shell_completions() {
    let help = ends(0, &["--help"]).0;
    let verbs = help.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs = verbs.filter(|line| line.starts_with(char::is_alphabetic));
    let verbs: Vec<&str> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(["run", "list", "merge", "publish", "completions"].iter().all(|v| verbs.contains(v)));
    for verb in verbs.iter().filter(|&&verb| verb != "help") {
        let help = ends(0, &[verb, "--help"]).0;
        assert!(help.contains("Examples:\n  "), "{verb}");
        assert!(help.contains(&format!("tradeoff {verb}")), "{verb}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ends(0, &["completions", shell]).0;
        assert!(verbs.iter().all(|verb| script.contains(verb)), "{shell}");
        assert!(script.contains("allow-changes"), "{shell}");
    }
    assert!(refused(&["completions", "tcsh"]).contains("[possible values: bash,"));
}

/// The batch script of docs/FLEET.md, as Slurm would run it: each task once, one of them killed and
/// submitted again, then the merge.
#[cfg(unix)]
#[test]
fn the_script_of_fleet_md_works() {
    let document = include_str!("../docs/FLEET.md");
    let blocks: Vec<&str> = document.split("```bash\n").skip(1).collect();
    let block = |i: usize| blocks[i].split("```").next().unwrap();
    let (script, submit) = (block(0), block(1));
    let selection = "selection=(matmul --precision fp16,int8 --size 256..4096 --time 10s)";
    assert!(script.contains(selection) && script.contains("--array=1-4\n"), "{script}");
    let small = "selection=(matmul --precision fp16,int8 --size 2..16 --time 20ms --samples 3)";
    let script = script.replace(selection, small);

    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tradeoff"), bin.join("tradeoff")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/env", bin.join("srun")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let shell = |script: &str, task: usize| {
        let mut command = alone(Command::new("bash"));
        command
            .args(["-c", script])
            .current_dir(root.path())
            .env("PATH", &path)
            .env("SLURM_SUBMIT_DIR", &bin)
            .env("SLURM_ARRAY_TASK_ID", task.to_string());
        command
    };
    for task in 1..=4 {
        let output = shell(&script, task).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    // What a task that was killed leaves, and the same task again.
    let third = only_run(&root.path().join("shards/3"));
    edit_lines(&third.join("measurements.csv"), |lines| lines.truncate(2));
    let output = shell(&script, 3).output().unwrap();
    assert!(text(&output.stderr).contains("1 cases are missing"), "{}", text(&output.stderr));
    let merge = submit.split("--wrap '").nth(1).unwrap().split('\'').next().unwrap();
    let output = shell(merge, 0).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(check_tables(&root.path().join("results/merged")).len(), 8);
}

/// Measured in the first run, taken from the cache in the second, and in each row of both.
#[test]
fn a_run_measures_the_roofline_of_its_devices_once() {
    let root = tempfile::tempdir().unwrap();
    let run = |policy: &str, told: &str| {
        let folder = root.path().join(policy);
        let output = tradeoff(&["run", "--size", "16", "--data-set", "digits", "--steps", "3"])
            .args(["--precision", "fp32,int8,D8M8", "--time", "5ms", "--samples", "2"])
            .args(["--roofline", policy, "-o"])
            .arg(&folder)
            .env("TRADEOFF_CACHE", root.path().join("cache"))
            .output()
            .unwrap();
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
        fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path()
    };
    let measured = run("cached", "roofline of cpu: measuring");
    let forced = run("force", "roofline of cpu: took ");
    let without = run("off", "4 cases to");
    assert!(read_provenance(&without).unwrap().rooflines["cpu"].is_null());
    for row in read(&without).unwrap() {
        assert!(row.arithmetic_intensity.is_some() && row.percent_of_peak.is_none());
    }
    for folder in [measured, forced] {
        let roofline = &read_provenance(&folder).unwrap().rooflines["cpu"];
        for row in read(&folder).unwrap() {
            let [f32, int8] =
                ["f32_fma", "dot4"].map(|unit| roofline[unit]["gops"].as_f64().unwrap());
            let (unit, peak) = match &*row.precision {
                "fp32" | "D32fM32f" => ("f32_fma", f32),
                "int8" => ("dot4", int8),
                _ => ("dot4+f32_fma", 2.0 / (1.0 / int8 + 1.0 / f32)),
            };
            assert_eq!(row.peak_unit, unit, "{}", row.case_id);
            let got = row.peak_throughput.unwrap();
            assert!((got / peak - 1.0).abs() < 1e-12, "{got} for {peak}"); // of two numbers in text
            assert_eq!(row.peak_bandwidth_gbs, roofline["read"]["gbs"].as_f64());
            assert_eq!(row.dispatch_latency_ns, Some(0.0));
            let percent = row.operations.unwrap() as f64 / row.median_ns.unwrap();
            let percent = 100.0 * (percent / row.peak_throughput.unwrap());
            assert_eq!(row.percent_of_peak, Some(percent));
            assert!(["compute", "bandwidth"].contains(&&*row.limited_by), "{}", row.limited_by);
        }
    }
}

/// Two processes: their samples are pooled, numbered on and told apart, and the run is as any other.
/// Cut short in the second process, it goes on there.
#[test]
fn repeats_pool_the_samples_of_processes() {
    let (_root, run) = run_few(&["--repeats", "2"]);
    let rows = check_tables(&run);
    assert_eq!(rows.len(), 6);
    assert_eq!(fs::read_dir(&run).unwrap().count(), 4, "the processes' own runs are gone");
    let samples = read_samples(&run).unwrap();
    for row in &rows {
        let main = if row.workload == "sgd" { Stage::Run } else { Stage::Product };
        let own = samples.iter().filter(|s| s.case_id == row.case_id && s.stage == main);
        let mut medians = vec![];
        for process in [0, 1] {
            let drawn = own.clone().filter(|s| s.process == Some(process));
            let drawn: Vec<(u64, f64)> = drawn.map(|s| (s.iterations, s.elapsed_ns)).collect();
            medians.push(Summary::of(drawn).unwrap().median_ns);
        }
        let sd = (medians[0] - medians[1]).abs() / 2f64.sqrt();
        let told = row.between_processes_sd_ns.unwrap();
        assert!((told - sd).abs() <= 1e-9 * sd, "{}: {told}, {sd}", row.case_id);
        assert_eq!(row.processes, Some(2));
        assert_eq!(row.status, Status::Ok, "{}", row.reason);
    }

    // As it is after SIGKILL in the second process: no row yet, one process whole, one not.
    let place = |process: u32| run.join("processes").join(process.to_string());
    for process in [0, 1] {
        let place = place(process);
        let place = place.to_str().unwrap();
        ends(0, &with(&["run"], &FEW, &["-o", place]));
    }
    edit_lines(&only_run(&place(1)).join("measurements.csv"), |lines| lines.truncate(3));
    for table in ["measurements.csv", "samples.csv", "trajectory.csv"] {
        edit_lines(&run.join(table), |lines| lines.truncate(1));
    }
    let (out, err) = ends(0, &["run", "--resume", run.to_str().unwrap()]);
    assert!(out.contains("6 rows in ") && err.contains("process 2 of 2"), "{out}{err}");
    assert!(
        err.contains("\n0 cases are missing") && err.contains("\n4 cases are missing"),
        "{err}"
    );
    assert_eq!(check_tables(&run).len(), 6);
    assert_eq!(fs::read_dir(&run).unwrap().count(), 4);
}

/// Ctrl-C that reaches only the parent stops the process that measures, and says how to go on.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_processes_too() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let place = ["-o", results.to_str().unwrap(), "--size", "8..64", "--repeats", "3"];
    let mut command = tradeoff(&with(&["run"], &place, &[]));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_row(&results);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    let go_on = format!("go on with `tradeoff run --resume {}`", only_run(&results).display());
    assert!(err.lines().last().unwrap().ends_with(&go_on), "{err}");
    assert!(!err.contains("process 2 of 3"), "{err}");
}

/// One command prints the ratio of two settings of one run, round by round.
#[test]
fn a_ratio_of_two_settings() {
    let sampling = ["--time", "40ms", "--samples", "12", "--interval", "off"];
    let (_root, run) = run_of(&FEW[..10], &sampling);
    let path = run.to_str().unwrap();
    let setting = ["--of", "precision=int8", "--to", "precision=fp32"];
    let (out, err) = ends(0, &with(&["ratio", path], &setting, &[]));
    let cells: Vec<Vec<&str>> =
        out.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(cells[0], ["problem", "of", "to"]);
    assert_eq!(out.matches(" rounds\n").count(), 3, "{out}");
    assert!(cells.contains(&vec!["matmul/8x8x8", "int8/mirror/cpu", "fp32/mirror/cpu"]), "{out}");
    assert!(!err.contains("warning"), "{err}");

    // What the CSV says follows from the samples.
    let (csv, _) = ends(0, &with(&["ratio", path], &setting, &["--csv"]));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let samples = read_samples(&run).unwrap();
    let mut lines = 0;
    for line in reader.deserialize::<BTreeMap<String, String>>() {
        let line = line.unwrap();
        let times = |case: &str| -> Vec<f64> {
            let main = |s: &&Sample| matches!(s.stage, Stage::Product | Stage::Run);
            let own = samples.iter().filter(main).filter(|s| s.case_id == line[case]);
            own.map(|s| s.elapsed_ns / s.iterations as f64).collect()
        };
        let number = |column: &str| line[column].parse::<f64>().unwrap();
        let median = |times: &[f64]| Summary::of(times.iter().map(|&t| (1, t))).unwrap().median_ns;
        let (of, to) = (times("case_id_of"), times("case_id_to"));
        let ratios: Vec<f64> = to.iter().zip(&of).map(|(to, of)| to / of).collect();
        assert_eq!((line["basis"].as_str(), number("count")), ("rounds", ratios.len() as f64));
        assert!((number("speed_ratio") / median(&ratios) - 1.0).abs() < 1e-12);
        assert!(number("speed_ratio_ci95_low") <= number("speed_ratio"));
        assert!(number("speed_ratio_ci95_high") >= number("speed_ratio"));
        assert_eq!((number("median_of_ns"), number("median_to_ns")), (median(&of), median(&to)));
        lines += 1;
    }
    assert_eq!(lines, 3);

    // Each with the fastest of its problem; and settings of which there are none.
    let (out, _) = ends(0, &["ratio", path]);
    assert_eq!(out.matches(" rounds\n").count(), 3, "{out}");
    let message = refused(&["ratio", path, "--of", "precision=bf16", "--to", "precision=fp32"]);
    assert!(message.contains("no row has precision `bf16`"), "{message}");
    let message = refused(&["ratio", path, "--of", "speed=1", "--to", "precision=fp32"]);
    assert!(message.contains("`speed=1` is no setting"), "{message}");

    // Measured one after the other, they are compared by their medians, with a warning.
    let more = [&sampling[..], &["--interleave", "none"]].concat();
    let (_root, alone) = run_of(&FEW[..10], &more);
    let (out, err) = ends(0, &with(&["ratio", alone.to_str().unwrap()], &setting, &[]));
    assert_eq!(out.matches("  medians\n").count(), 3, "{out}");
    assert!(err.contains("warning: 3 of 3 ratios are of rows that were not sampled in turn"));
    assert!(read_provenance(&alone).unwrap().interleaved.is_empty());
    assert!(read(&alone).unwrap().iter().all(|row| row.interleaving == "none"));
}

/// Cold rows go through twice the last-level cache; what is too small for it is skipped.
#[test]
fn a_cold_cache_is_named_and_sized() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    let place = ["-o", results.to_str().unwrap(), "--cache", "cold", "--time", "20ms"];
    let small = ["--size", "4,256", "--precision", "fp32", "--samples", "3"];
    ends(0, &with(&["run", "matmul"], &small, &place));
    let rows = check_tables(&only_run(&results));
    let [small, large] =
        ["4x4x4", "256x256x256"].map(|shape| rows.iter().find(|row| row.shape == shape).unwrap());
    assert_eq!((small.status, small.cache.as_str()), (Status::Skipped, "cold"));
    assert!(small.reason.contains("too small for a cold cache"), "{}", small.reason);
    assert_eq!((large.status, large.cache.as_str()), (Status::Ok, "cold"), "{}", large.reason);
    let copy = 3 * 256 * 256 * 4;
    let rotated = large.rotated_bytes.unwrap();
    assert!(rotated % copy == 0 && rotated / copy >= 2, "{rotated}");
}
