//! The verbs around a measurement as a user calls them: run, resume after any interruption, shards
//! and their merge, list, publish, completions. All on the CPU, with small cases.

mod resume;
mod shards;
mod streams;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
fn random_bits_are_swept(selection: &[&str], [nearest, stochastic]: [&str; 2]) {
    let quick = ["--rounding-bits", "16,4", "--time", "5ms", "--samples", "6"];
    let (root, run) = run_of(&[selection, &quick].concat(), &[]);
    let plan = read_provenance(&run).unwrap().plan.unwrap();
    assert_eq!(plan.selection["TRADEOFF_ROUNDING_BITS"], "16,4");
    let ids = [nearest.to_owned(), stochastic.to_owned(), format!("{stochastic}-r4")];
    let ids = ids.map(|id| format!("{}/{id}/cpu", selection[0]));
    assert_eq!(plan.cases, ids);
    let rows = check_tables(&run);
    let bits = |id: &String| rows.iter().find(|row| row.case_id == *id).unwrap().rounding_bits;
    assert_eq!(ids.each_ref().map(bits), [None, Some(16), Some(4)]);

    let (run, report) = (run.to_str().unwrap(), root.path().join("report"));
    let precision = stochastic.split('/').next().unwrap();
    let told = ends(0, &["frontier", "--all", run]).0;
    assert!(told.contains(&format!(" {precision} r=4  mirror ")), "{told}");
    assert!(told.contains(&format!(" {precision}      mirror ")), "{told}");
    ends(0, &["report", run, "-o", report.to_str().unwrap()]);
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains(&format!("{precision} r=4")));
    assert!(page.contains("rounded at random by 4 random bits"));
    let dials = ["--of", "rounding_bits=4", "--to", "rounding_bits=16"];
    let told = ends(0, &[&["ratio", run][..], &dials].concat()).0;
    let pair = format!("{precision} r=4/mirror/cpu  {precision}/mirror/cpu");
    assert!(told.contains(&pair), "{told}");
    let (again, _) = ends(0, &["run", "--resume", run]);
    assert_eq!(check_tables(Path::new(run)), rows, "{again}");
}

#[test]
fn random_bits_of_products_are_swept() {
    let selection = ["matmul", "--size", "8", "--precision", "fp32,fp16-sr"];
    random_bits_are_swept(&selection, ["fp32/mirror/8x8x8", "fp16-sr/mirror/8x8x8"]);
}

/// The same of SGD.
#[test]
fn random_bits_of_sgd_are_swept() {
    let data = ["sgd", "--data-set", "figure2-64x16", "--batch", "8", "--steps", "30"];
    let selection = [&data[..], &["--precision", "D8M8,D8M8-SR"]].concat();
    let shape = "mirror/figure2-64x16-b8";
    let ids = ["D8M8", "D8M8-SR"].map(|precision| format!("{precision}/{shape}"));
    random_bits_are_swept(&selection, ids.each_ref().map(String::as_str));
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
        (vec!["--time", "8761h"], "of a year at most"),
        (vec!["--seed", "1\n2"], "--seed: `1\\n2` is no whole number"),
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

#[test]
fn every_verb_has_examples_and_every_shell_completions() {
    let help = ends(0, &["--help"]).0;
    let (verbs, examples) = help.split_once("Options:").unwrap();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let verbs = verbs.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs = verbs.filter(|line| line.starts_with(char::is_alphabetic));
    let verbs: Vec<&str> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(["run", "list", "merge", "publish", "completions"].iter().all(|v| verbs.contains(v)));
    let begun = examples.lines().filter_map(|line| line.strip_prefix("  tradeoff "));
    let begun: Vec<&str> = begun.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(begun, ["devices", "run", "frontier", "report"]);
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
    let document = include_str!("../../docs/FLEET.md");
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
    assert!(text(&output.stderr).contains("1 case missing"), "{}", text(&output.stderr));
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
    assert!(err.contains("\n0 cases missing") && err.contains("\n4 cases missing"), "{err}");
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
    resume::wait_for_a_row(&results);
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
