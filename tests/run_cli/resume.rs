//! A run goes on after any interruption, and says why it cannot.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, RngExt, SeedableRng};
use rand_philox::Philox;
use tradeoff::record::{Status, read, read_provenance};

use super::{
    check_tables, edit_json, edit_lines, ends, ids, only_run, refused, run_few, text, tradeoff,
    with,
};

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
    assert!(err.contains("0 cases missing"), "{err}");
    assert_eq!(fs::read(run.join("measurements.csv")).unwrap(), whole);
}

/// Whole rows of a table whose last line may be torn.
fn read_to_last_line(run: &Path) -> usize {
    let bytes = fs::read(run.join("measurements.csv")).unwrap();
    bytes.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1)
}

/// Returns once some `measurements.csv` below `folder` has a row, which on a busy machine takes a while.
#[cfg(unix)]
pub fn wait_for_a_row(folder: &Path) {
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
