//! The runs that are published with the repository, `results/published/*`: whoever cites them can
//! compute their statistics again, and nothing in them tells whose machine it was.

mod recompute;

use std::collections::HashSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use tradeoff::measure::{Selection, Session};
use tradeoff::record::{
    Provenance, Record, RunFolder, Status, publish, read, read_provenance, read_trajectory,
};

fn published() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/published");
    let Ok(entries) = fs::read_dir(&folder) else { return vec![] };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.join(Provenance::FILE).exists()).collect()
}

#[test]
fn every_published_run_holds() {
    let runs = published();
    for run in &runs {
        println!("{}: {} rows", run.display(), check(run));
    }
    if runs.is_empty() {
        eprintln!("skipped: no run is published yet");
    }
}

/// All that must hold of a published run; its number of rows.
fn check(run: &Path) -> usize {
    let records = read(run).unwrap_or_else(|error| panic!("{error}"));
    assert!(!records.is_empty(), "{} has no rows", run.display());
    let timed = recompute::check(run);
    let ok = records.iter().filter(|record| record.status == Status::Ok).count();
    assert_eq!(timed, ok);
    let mut ids = HashSet::new();
    for record in &records {
        check_row(record);
        assert!(ids.insert(&record.case_id), "{} twice", record.case_id);
        assert_eq!(Some(&record.run_id[..]), run.file_name().and_then(|name| name.to_str()));
    }
    for point in read_trajectory(run).unwrap_or_else(|error| panic!("{error}")) {
        assert!(point.loss.is_some_and(f64::is_finite), "{} {}", point.case_id, point.step);
    }
    check_provenance(run, &records);
    records.len()
}

fn check_row(record: &Record) {
    let (id, reason) = (&record.case_id, &record.reason);
    match record.status {
        Status::Ok => assert!(record.primary_error.is_some_and(f64::is_finite), "{id}"),
        Status::Skipped => assert!(!reason.is_empty(), "{id} was skipped for no reason"),
        status => panic!("{id} is {}: {reason}", status.name()),
    }
    if let Some(ratio) = record.measured_over_bound {
        assert!(ratio <= 1.0, "{id}: the error is {ratio} times its bound");
    }
    if let Some(mismatches) = record.mirror_mismatches {
        assert_eq!(mismatches, 0, "{id}");
        assert!(record.verified_fraction.is_some_and(|fraction| fraction > 0.0), "{id}");
    }
}

/// Where it comes from is known, and whose machine it was is not.
fn check_provenance(run: &Path, records: &[Record]) {
    let provenance = read_provenance(run).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(provenance.host, None, "{}", run.display());
    let revision = &provenance.git_revision;
    let hexadecimal = |c: char| c.is_ascii_hexdigit();
    assert!(revision.len() == 40 && revision.chars().all(hexadecimal), "{revision}");
    assert_eq!(provenance.git_dirty, Some(false), "{}", run.display());
    for record in records {
        assert_eq!((&record.git_revision, record.git_dirty), (revision, Some(false)));
        assert_eq!((&record.os, &record.cpu), (&provenance.os, &provenance.cpu));
    }
    let name = run.file_name().unwrap().to_str().unwrap();
    let stamp: String = provenance.utc.chars().filter(char::is_ascii_alphanumeric).collect();
    let suffix = name.strip_prefix(&stamp).unwrap_or_else(|| panic!("{name} is not of {stamp}"));
    let counted = suffix.strip_prefix('-').is_some_and(|rest| rest.parse::<u32>().is_ok());
    assert!(suffix.is_empty() || counted, "{name} says more than its time");
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for sign in ["/home/", "/root", "/Users/", "/tmp", "/usr/", "/opt/", "/mnt/", ":\\\\", "~/"]
        {
            assert!(!text.contains(sign), "{}: a path with {sign}", path.display());
        }
        assert!(!text.contains("\"host\":"), "{}", path.display());
    }
}

/// A small run of the CPU, published.
fn example(root: &Path) -> PathBuf {
    let mut provenance = Provenance::collect();
    // As a clean checkout gives it; whether this one is clean is not the matter here.
    provenance.git_revision = "0123456789abcdef0123456789abcdef01234567".into();
    provenance.git_dirty = Some(false);
    let variables = [
        ("TRADEOFF_SIZES", "16"),
        ("TRADEOFF_PRECISIONS", "fp32,int8"),
        ("TRADEOFF_DATA_SETS", "figure2-40x8"),
        ("TRADEOFF_STEPS", "10"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let selection = Selection::from_variables(variables.into()).unwrap();
    let cpu = tradeoff::gpu::discover(Some("cpu")).unwrap();
    let mut session = Session::new(cpu, selection, &provenance);
    let mut run = RunFolder::create(&root.join("results"), provenance).unwrap();
    for case in session.plan() {
        let mut ready = session.prepare(&case).unwrap_or_else(|m| panic!("{}", m.record.reason));
        let samples = [1, 1, 2, 1].map(|iterations| (iterations, ready.run(iterations).unwrap()));
        let measured = ready.finish(&samples);
        run.append_samples(&measured.samples).unwrap();
        run.append_trajectory(&measured.trajectory).unwrap();
        run.append(&measured.record).unwrap();
    }
    publish(run.path(), &root.join("published")).unwrap_or_else(|error| panic!("{error}"))
}

/// What holds of a good run does not hold once any file of it was touched up.
#[test]
fn a_run_that_was_touched_up_is_found_out() {
    let root = tempfile::tempdir().unwrap();
    let run = example(root.path());
    assert_eq!(check(&run), 4);
    let replace_cell = |file: &str, column: &str, line: usize, to: &str| {
        let text = fs::read_to_string(run.join(file)).unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let at = rows[0].iter().position(|name| name == column).unwrap();
        let mut writer = csv::Writer::from_writer(vec![]);
        for (index, row) in rows.iter().enumerate() {
            let cells = row.iter().enumerate();
            let cells = cells.map(|(i, cell)| if (index, i) == (line, at) { to } else { cell });
            writer.write_record(cells).unwrap();
        }
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    };
    let replace_text = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(run.join(file)).unwrap();
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let edits = [
        ("samples.csv", replace_cell("samples.csv", "elapsed_ns", 2, "1")),
        ("samples.csv", replace_cell("samples.csv", "case_id", 1, "matmul/none")),
        ("measurements.csv", replace_cell("measurements.csv", "median_ns", 1, "1")),
        ("measurements.csv", replace_cell("measurements.csv", "throughput", 2, "1000")),
        ("measurements.csv", replace_cell("measurements.csv", "total_median_ns", 2, "1")),
        ("measurements.csv", replace_cell("measurements.csv", "status", 2, "wrong")),
        ("measurements.csv", replace_cell("measurements.csv", "status", 1, "skipped")),
        ("measurements.csv", replace_cell("measurements.csv", "measured_over_bound", 1, "1.01")),
        ("measurements.csv", replace_cell("measurements.csv", "mirror_mismatches", 1, "1")),
        ("measurements.csv", replace_cell("measurements.csv", "git_dirty", 1, "true")),
        ("measurements.csv", replace_cell("measurements.csv", "reason", 1, "see /home/someone/x")),
        ("trajectory.csv", replace_cell("trajectory.csv", "elapsed_ns", 3, "1")),
        ("run.json", replace_text("run.json", "\"git_dirty\": false", "\"git_dirty\": true")),
        ("run.json", replace_text("run.json", "\"utc\"", "\"host\": \"box\", \"utc\"")),
    ];
    for (file, text) in edits {
        let path = run.join(file);
        let whole = fs::read_to_string(&path).unwrap();
        assert_ne!(text, whole, "{file}");
        fs::write(&path, text).unwrap();
        assert!(catch_unwind(|| check(&run)).is_err(), "not found out: {file}");
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(check(&run), 4);
}
