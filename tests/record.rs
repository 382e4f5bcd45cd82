//! The results of a run: written, read back, refused where they are not whole, and published.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use tradeoff::record::{
    Provenance, Record, Row, RunFolder, SCHEMA_VERSION, Sample, Stage, Status, TrajectoryPoint,
    publish, read, read_provenance, read_samples, read_trajectory,
};

const README: &str = include_str!("../results/README.md");
const ROW_RS: &str = include_str!("../src/record/row.rs");
const PROVENANCE_RS: &str = include_str!("../src/record/provenance.rs");

fn provenance() -> Provenance {
    Provenance {
        utc: "2026-01-02T03:04:05Z".into(),
        host: Some("Box-7.lan".into()),
        ..Provenance::collect()
    }
}

fn new_run() -> (TempDir, RunFolder) {
    let root = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&root.path().join("results"), provenance()).unwrap();
    (root, run)
}

/// The cells of a row by column.
fn cells<R: Row>(row: &R) -> Vec<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row).unwrap();
    let line = writer.into_inner().unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
    reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect()
}

/// A record in which no column is empty and no two numbers are alike.
fn full() -> Record {
    let mut values: Vec<(String, String)> = Vec::new();
    for (index, column) in Record::columns().into_iter().enumerate() {
        // The first of these that the column takes; a float is tried before an integer, so that
        // a column of floats gets a number that needs all its digits.
        let float = format!("{:?}", std::f64::consts::PI * 10_f64.powi(index as i32 - 50));
        let integer = (1000 + index).to_string();
        let text = format!("text, \"quoted\" {index}");
        let candidates = [text, "wrong".into(), float, integer, "true".into()];
        let header = csv::StringRecord::from(vec![column.as_str()]);
        let value = candidates
            .into_iter()
            .find(|v| {
                csv::StringRecord::from(vec![v.as_str()])
                    .deserialize::<Record>(Some(&header))
                    .is_ok()
            })
            .unwrap_or_else(|| panic!("no value for {column}"));
        values.push((column, value));
    }
    let (header, row): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    csv::StringRecord::from(row).deserialize(Some(&csv::StringRecord::from(header))).unwrap()
}

/// `record` as a run's file gives it back.
fn through_a_file(record: &Record) -> Record {
    let (_root, mut run) = new_run();
    run.append(record).unwrap();
    let mut rows = read(run.path()).unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn in_run(record: &Record) -> Record {
    let run_id = "20260102T030405Z-box-7-lan".into();
    Record { schema_version: SCHEMA_VERSION, run_id, ..record.clone() }
}

#[test]
fn every_column_comes_back() {
    let record = full();
    for (column, cell) in Record::columns().iter().zip(cells(&record)) {
        assert!(!cell.is_empty(), "{column} is empty");
    }
    assert_eq!(through_a_file(&record), in_run(&record));
}

#[test]
fn an_empty_row_stays_empty() {
    let record = through_a_file(&Record::default());
    let filled: Vec<_> = Record::columns()
        .into_iter()
        .zip(cells(&record))
        .filter(|(_, cell)| !cell.is_empty())
        .map(|(column, _)| column)
        .collect();
    assert_eq!(filled, ["schema_version", "run_id", "utc", "status"]);
    assert_eq!(record.status, Status::Failed, "nobody said that it was ok");
}

#[test]
fn every_status_and_stage_is_a_lower_case_word() {
    let all = [Status::Ok, Status::Wrong, Status::Failed, Status::Skipped];
    assert_eq!(all.map(Status::name), ["ok", "wrong", "failed", "skipped"]);
    for status in all {
        let record = Record { status, ..Record::default() };
        assert_eq!(cells(&record).iter().rev().nth(1).unwrap(), status.name());
        assert_eq!(through_a_file(&record).status, status);
    }
    let (_root, mut run) = new_run();
    let stages = [Stage::Product, Stage::Conversion, Stage::Total, Stage::Run];
    let samples = stages.map(|stage| Sample { stage, ..Sample::default() });
    run.append_samples(&samples).unwrap();
    let text = fs::read_to_string(run.path().join("samples.csv")).unwrap();
    let words: Vec<_> = text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
    assert_eq!(words, ["product", "conversion", "total", "run"]);
    assert_eq!(
        read_samples(run.path()).unwrap().iter().map(|s| s.stage).collect::<Vec<_>>(),
        stages
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn numbers_and_texts_come_back_exactly(
        bits in any::<u64>(),
        seed in any::<u64>(),
        median_ns in any::<f64>().prop_filter("NaN is equal to nothing", |x| !x.is_nan()),
        dirty in any::<Option<bool>>(),
        vendor_id in any::<Option<u32>>(),
        reason in "[^\r\n]*",
        driver in "\\PC*",
    ) {
        let any_bits = f64::from_bits(bits);
        let record = Record {
            signed_bias: Some(any_bits).filter(|x| !x.is_nan()),
            median_ns: Some(median_ns),
            seed: Some(seed),
            git_dirty: dirty,
            vendor_id,
            reason,
            driver,
            utc: "2026-01-02T03:04:06Z".into(),
            ..Record::default()
        };
        let back = through_a_file(&record);
        prop_assert_eq!(back.median_ns.map(f64::to_bits), Some(median_ns.to_bits()));
        prop_assert_eq!(
            back.signed_bias.map(f64::to_bits),
            record.signed_bias.map(f64::to_bits)
        );
        prop_assert_eq!(back, in_run(&record));
    }
}

#[test]
fn what_is_infinite_or_undefined_is_written_so() {
    let record = Record {
        max_componentwise: Some(f64::INFINITY),
        signed_bias: Some(f64::NAN),
        loss_gap: Some(f64::NEG_INFINITY),
        ..Record::default()
    };
    let back = through_a_file(&record);
    assert_eq!(back.max_componentwise, Some(f64::INFINITY));
    assert!(back.signed_bias.unwrap().is_nan());
    assert_eq!(back.loss_gap, Some(f64::NEG_INFINITY));
}

#[test]
fn a_row_is_one_line() {
    let (_root, mut run) = new_run();
    let reason = "wgpu error:\r\n  invalid, \"x\"\n".into();
    run.append(&Record { reason, ..Record::default() }).unwrap();
    run.append(&Record { reason: "\n".into(), ..Record::default() }).unwrap();
    let text = fs::read_to_string(run.path().join("measurements.csv")).unwrap();
    assert_eq!(text.matches('\n').count(), 3);
    let reasons: Vec<_> = read(run.path()).unwrap().into_iter().map(|row| row.reason).collect();
    assert_eq!(reasons, ["wgpu error:    invalid, \"x\" ", " "]);
}

#[test]
fn samples_and_trajectories_come_back() {
    let (_root, mut run) = new_run();
    let sample = |sample, elapsed_ns| Sample {
        schema_version: SCHEMA_VERSION,
        case_id: "matmul/fp16/naive/1x1x1/cpu".into(),
        stage: Stage::Conversion,
        sample,
        process: Some(3),
        iterations: 1 << 40,
        elapsed_ns,
    };
    let samples = [sample(0, 0.1 + 0.2), sample(1, 1e300)];
    run.append_samples(&samples[..1]).unwrap();
    run.append_samples(&samples[1..]).unwrap();
    assert_eq!(read_samples(run.path()).unwrap(), samples);

    let point = TrajectoryPoint {
        schema_version: SCHEMA_VERSION,
        case_id: "sgd/D8M8-SR/naive/1797x64x32/cpu".into(),
        step: 7,
        elapsed_ns: Some(1.5),
        loss: Some(f64::MIN_POSITIVE),
        loss_gap: Some(-5e-324),
        distance_to_f64_trajectory: None,
        distance_to_optimum: Some(1.0 / 3.0),
        test_accuracy: None,
    };
    run.append_trajectory(std::slice::from_ref(&point)).unwrap();
    assert_eq!(read_trajectory(run.path()).unwrap(), [point]);
}

#[test]
fn the_headers_are_the_schema() {
    let (_root, run) = new_run();
    let header = |file| {
        let text = fs::read_to_string(run.path().join(file)).unwrap();
        assert_eq!(text.lines().count(), 1);
        text.trim_end().replace(',', "\n")
    };
    insta::assert_snapshot!("measurements_header", header("measurements.csv"));
    insta::assert_snapshot!(
        header("samples.csv"),
        @r"
    schema_version
    case_id
    stage
    sample
    process
    iterations
    elapsed_ns
    "
    );
    insta::assert_snapshot!(
        header("trajectory.csv"),
        @r"
    schema_version
    case_id
    step
    elapsed_ns
    loss
    loss_gap
    distance_to_f64_trajectory
    distance_to_optimum
    test_accuracy
    "
    );
    // The writer's header is the reader's, also where nothing has been measured yet.
    assert_eq!(read(run.path()).unwrap(), []);
    assert_eq!(read_samples(run.path()).unwrap(), []);
    assert_eq!(read_trajectory(run.path()).unwrap(), []);
}

/// Name and doc of each public field of a struct, from its source.
fn documented_fields(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source.split_once(&format!("pub struct {name} {{\n")).unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    let (mut fields, mut doc) = (Vec::new(), Vec::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if let Some(field) = line.strip_prefix("pub ") {
            fields.push((field.split_once(':').unwrap().0.to_owned(), doc.join(" ")));
            doc.clear();
        }
    }
    fields
}

/// The rows of the table under a heading of the README, as cells.
fn readme_table(heading: &str) -> Vec<Vec<String>> {
    let section = README.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let line = line.trim_start_matches("| ").trim_end_matches(" |").replace("\\|", "\u{1}");
        line.split(" | ").map(|cell| cell.replace('\u{1}', "|")).collect()
    })
    .collect()
}

#[test]
fn the_readme_documents_each_column_as_the_code_does() {
    let tables = [
        ("measurements.csv", "Record", Record::columns()),
        ("samples.csv", "Sample", Sample::columns()),
        ("trajectory.csv", "TrajectoryPoint", TrajectoryPoint::columns()),
    ];
    for (file, name, columns) in tables {
        let fields = documented_fields(ROW_RS, name);
        let rows = readme_table(file);
        let in_readme: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(in_readme, columns, "{file}");
        for (row, (field, doc)) in rows.iter().zip(fields) {
            let [column, unit, meaning] = &row[..] else { panic!("{file}: {row:?}") };
            assert_eq!(column, &format!("`{field}`"));
            let expected =
                if unit == "—" { meaning.clone() } else { format!("{meaning} Unit: {unit}.") };
            assert_eq!(doc, expected, "{file}: {field}");
            let suffixes = [("_ns", "ns"), ("bytes", "bytes"), ("_gbs", "GB/s"), ("_ulp", "ULP")];
            for (suffix, of_suffix) in suffixes {
                assert!(!field.ends_with(suffix) || unit == of_suffix, "{file}: {field}: {unit}");
            }
        }
    }
    let keys = readme_table("run.json").into_iter().map(|row| (row[0].clone(), row[1].clone()));
    let fields = documented_fields(PROVENANCE_RS, "Provenance");
    let fields = fields.into_iter().map(|(field, doc)| (format!("`{field}`"), doc));
    assert!(keys.eq(fields));
}

/// The message with which a file of these contents is refused, without its path.
fn refusal<R>(
    name: &str,
    text: impl AsRef<[u8]>,
    read: impl Fn(&Path) -> Result<R, tradeoff::record::ReadError>,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let Err(error) = read(&path) else { panic!("a bad file was read") };
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    let prefix = format!("`{}`, ", path.display());
    message.strip_prefix(&prefix).unwrap_or_else(|| panic!("no path in: {message}")).to_owned()
}

fn bad_measurements(text: impl AsRef<[u8]>) -> String {
    refusal("measurements.csv", text, |path| read(path).map(drop))
}

#[test]
fn a_foreign_file_is_refused() {
    insta::assert_snapshot!(
        bad_measurements("name,mean\nfoo,1\n"),
        @"line 1, column `schema_version`: no such column, so this is no measurements.csv that tradeoff wrote; name one of a run's folder"
    );
    insta::assert_snapshot!(
        bad_measurements(""),
        @"line 1, column `schema_version`: no such column, so this is no measurements.csv that tradeoff wrote; name one of a run's folder"
    );
    // The samples of a run are no measurements.
    insta::assert_snapshot!(
        bad_measurements("schema_version,case_id,stage,sample,iterations,elapsed_ns\n1,a,product,0,1,2.0\n"),
        @"line 1, column `status`: no such column, so this is no measurements.csv that tradeoff wrote; name one of a run's folder"
    );
}

#[test]
fn an_unknown_schema_is_refused() {
    insta::assert_snapshot!(
        bad_measurements("schema_version,case_id,status,a_new_column\n999,a,ok,7\n"),
        @"line 2, column `schema_version`: schema `999`, but this tradeoff knows 1 to 3; install the tradeoff that wrote the file"
    );
    insta::assert_snapshot!(
        bad_measurements("schema_version,case_id,status\n1,a,ok\n,b,ok\n"),
        @"line 3, column `schema_version`: schema ``, but this tradeoff knows 1 to 3; install the tradeoff that wrote the file"
    );
    let zero = bad_measurements("schema_version,case_id,status\n0,a,ok\n");
    assert!(zero.starts_with("line 2, column `schema_version`: schema `0`"), "{zero}");
    insta::assert_snapshot!(
        bad_measurements("schema_version,case_id,status,speed\n1,a,ok,7\n"),
        @"line 1, column `speed`: unknown to schema 3; remove the column, or read the file with the tradeoff that wrote it"
    );
    insta::assert_snapshot!(
        bad_measurements("schema_version,case_id,status,case_id\n1,a,ok,b\n"),
        @"line 1, column `case_id`: named twice in the header; remove one of the two"
    );
}

#[test]
fn a_truncated_file_is_refused() {
    let header = "schema_version,case_id,median_ns,status\n";
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,ok\n1,b,2.")),
        @"line 3, column `status`: the file ends within this row; delete the line and run its case again, or end it with a newline if it is whole"
    );
    // Every field is there, but nothing says that the last one is whole.
    let no_newline = bad_measurements(format!("{header}1,a,2.5,ok"));
    assert!(
        no_newline.starts_with("line 2, column `status`: the file ends within"),
        "{no_newline}"
    );
    let short_line = bad_measurements(format!("{header}1,a\n"));
    assert!(short_line.starts_with("line 2, column `median_ns`: the file ends"), "{short_line}");
    let header_only = bad_measurements("schema_version,case_id,sta");
    assert!(header_only.starts_with("line 1, column `sta`: the file ends"), "{header_only}");
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,ok\n1,b,2.5,ok\n")),
        @"line 2, column `status`: 3 fields where the header has 4; delete the line or restore it"
    );
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,ok,x\n")),
        @"line 2, column `status`: 5 fields where the header has 4; delete the line or restore it"
    );
    // Wherever the file of a real run is cut, it is refused.
    let (_root, mut run) = new_run();
    run.append(&full()).unwrap();
    let path = run.path().join("measurements.csv");
    let whole = fs::read(&path).unwrap();
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let file = fs::File::options().write(true).open(&path).unwrap();
    for cut in (0..whole.len()).rev().filter(|&cut| cut != header) {
        file.set_len(cut as u64).unwrap();
        assert!(read(&path).is_err(), "read although cut at byte {cut}");
    }
}

#[test]
fn a_cell_that_does_not_fit_is_refused() {
    let header = "schema_version,case_id,median_ns,seed,git_dirty,status\n";
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,1,true,ok\n1,b,fast,1,true,ok\n")),
        @"line 3, column `median_ns`: `fast` does not fit: invalid float literal; restore the cell from the run that wrote it"
    );
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,-1,true,ok\n")),
        @"line 2, column `seed`: `-1` does not fit: invalid digit found in string; restore the cell from the run that wrote it"
    );
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,1,maybe,ok\n")),
        @"line 2, column `git_dirty`: `maybe` does not fit: provided string was not `true` or `false`; restore the cell from the run that wrote it"
    );
    insta::assert_snapshot!(
        bad_measurements(format!("{header}1,a,2.5,1,true,fine\n")),
        @"line 2, column `status`: `fine` does not fit: unknown variant `fine`, expected one of `ok`, `wrong`, `failed`, `skipped`; restore the cell from the run that wrote it"
    );
    insta::assert_snapshot!(
        bad_measurements([header.as_bytes(), b"1,\xff,2.5,1,true,ok\n"].concat()),
        @"line 2, column `case_id`: not UTF-8: cut short, or saved in another encoding; delete the line or save as UTF-8"
    );
    // What breaks a line or has no end is shown as far as it serves.
    let broken = bad_measurements(format!("{header}1,a,\"2.5\n\",1,true,ok\n"));
    assert!(broken.starts_with("line 2, column `median_ns`: `2.5\\n` does not fit"), "{broken}");
    let long = bad_measurements(format!("{header}1,a,{},1,true,ok\n", "x".repeat(10_000)));
    assert!(long.contains(&format!("`{}…` does not fit", "x".repeat(60))), "{long}");
    let column = bad_measurements("schema_version,case_id,\"\u{1b}[2J\",status\n1,a,b,ok\n");
    assert!(column.starts_with("line 1, column `\\u{1b}[2J`: unknown to schema"), "{column}");
    // In the long tables no number may be missing.
    let samples = "schema_version,case_id,stage,sample,iterations,elapsed_ns\n1,a,product,0,1,\n";
    let message = refusal("samples.csv", samples, |path| read_samples(path).map(drop));
    assert!(message.starts_with("line 2, column `elapsed_ns`: `` does not fit: "), "{message}");
    let points = "schema_version,case_id,step,loss\n1,a,0.5,1\n";
    let message = refusal("trajectory.csv", points, |path| read_trajectory(path).map(drop));
    assert!(message.starts_with("line 2, column `step`: `0.5` does not fit: "), "{message}");
}

#[test]
fn a_bad_run_json_is_refused() {
    let bad = |text: &str| refusal("run.json", text, |path| read_provenance(path).map(drop));
    let message = bad("{\n  \"schema_version\": \"one\"\n}");
    assert!(message.starts_with("line 2, column 25: invalid type: string"), "{message}");
    let message = bad("{\n  \"schema_version\": 999,\n  \"more\": 1\n}");
    assert!(message.starts_with("line 2, column `schema_version`: schema `999`"), "{message}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let root = tempfile::tempdir().unwrap();
    let message = read(root.path()).unwrap_err().to_string();
    let file = root.path().join("measurements.csv");
    assert!(message.starts_with(&format!("cannot read `{}`: ", file.display())), "{message}");
    assert!(message.ends_with("; name the folder of a run, or a file in one"), "{message}");
}

#[test]
fn a_row_of_an_older_schema_has_the_missing_columns_empty() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("measurements.csv");
    // Fewer columns, in another order.
    fs::write(&path, "status,schema_version,median_ns,case_id\nok,1,2.5,a\nskipped,1,,b\n")
        .unwrap();
    let row = |case_id: &str, median_ns, status| Record {
        schema_version: 1,
        case_id: case_id.into(),
        median_ns,
        status,
        ..Record::default()
    };
    let expected = [row("a", Some(2.5), Status::Ok), row("b", None, Status::Skipped)];
    assert_eq!(read(&path).unwrap(), expected);
    assert_eq!(read(root.path()).unwrap(), expected, "the folder stands for its file");
}

#[test]
fn runs_of_the_same_second_get_folders_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let runs = [(); 3].map(|()| RunFolder::create(root.path(), provenance()).unwrap());
    let ids = runs.each_ref().map(RunFolder::run_id);
    let first = "20260102T030405Z-box-7-lan";
    assert_eq!(ids, [first, &format!("{first}-2"), &format!("{first}-3")]);
    for run in &runs {
        assert_eq!(run.path(), root.path().join(run.run_id()));
        assert_eq!(read_provenance(run.path()).unwrap(), *run.provenance());
    }
}

#[test]
fn a_row_is_on_disk_before_the_next_is_measured() {
    let (_root, mut run) = new_run();
    for count in 1..=3 {
        run.append(&Record::default()).unwrap();
        assert_eq!(read(run.path()).unwrap().len(), count);
        run.append_samples(&[Sample::default(), Sample::default()]).unwrap();
        assert_eq!(read_samples(run.path()).unwrap().len(), 2 * count);
        run.append_trajectory(&[TrajectoryPoint::default()]).unwrap();
        assert_eq!(read_trajectory(run.path()).unwrap().len(), count);
    }
    // Not a destructor's work either.
    let path = run.path().to_owned();
    std::mem::forget(run);
    assert_eq!(read(&path).unwrap().len(), 3);
}

#[test]
fn what_is_learnt_on_the_way_goes_to_run_json() {
    let (_root, mut run) = new_run();
    run.update_provenance(|provenance| {
        provenance.run_id = "another".into();
        provenance.fingerprints = json!({"cpu": {"fused_fma": true}});
    })
    .unwrap();
    let read = read_provenance(run.path()).unwrap();
    assert_eq!(read.fingerprints["cpu"]["fused_fma"], true);
    assert_eq!(read.run_id, run.run_id());
    assert_eq!(&read, run.provenance());
    let files = fs::read_dir(run.path()).unwrap().count();
    assert_eq!(files, 4, "run.json, three tables and no draft");
}

#[test]
fn a_row_takes_the_shared_columns_from_the_run() {
    let (_root, run) = new_run();
    let (row, provenance) = (run.provenance().row(), run.provenance());
    assert_eq!(row.run_id, run.run_id());
    assert_eq!(
        [&row.os, &row.cpu, &row.rustc, &row.git_revision, &row.wgpu_version],
        [
            &provenance.os,
            &provenance.cpu,
            &provenance.rustc,
            &provenance.git_revision,
            &provenance.wgpu_version
        ]
    );
    assert!(!row.wgpu_version.is_empty() && !row.rustc.is_empty() && !row.git_revision.is_empty());
}

/// Below a regular file not even root can make a folder.
#[test]
fn a_folder_that_cannot_be_written_is_one_line_with_its_remedy() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("results");
    let message = RunFolder::create(&below, provenance()).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot write `{}`: ", below.display())), "{message}");
    assert!(message.ends_with("; choose a results folder that can be written"), "{message}");
    assert_eq!(message.lines().count(), 1);
}

/// A run with rows in each table.
fn run_to_publish(reason: &str) -> (TempDir, RunFolder) {
    let (root, mut run) = new_run();
    run.update_provenance(|provenance| {
        provenance.os = "Linux 12 Debian".into();
        provenance.devices = json!([{"slug": "cpu", "driver_info": "Mesa 22.3.6"}]);
        provenance.arguments = vec!["--bench".into(), "matmul/fp16".into()];
        provenance.environment.clear();
    })
    .unwrap();
    let row = Record {
        case_id: "matmul/fp32/naive/1x1x1/cpu".into(),
        reason: reason.into(),
        ..run.provenance().row()
    };
    run.append(&row).unwrap();
    run.append_samples(&[Sample { case_id: row.case_id.clone(), ..Sample::default() }]).unwrap();
    run.append_trajectory(&[TrajectoryPoint {
        case_id: row.case_id,
        ..TrajectoryPoint::default()
    }])
    .unwrap();
    (root, run)
}

#[test]
fn a_published_run_does_not_tell_whose_machine_it_was() {
    let (root, run) = run_to_publish("over 128 MiB");
    let to = root.path().join("published");
    let path = publish(run.path(), &to).unwrap();
    assert_eq!(path, to.join("20260102T030405Z"));
    let again = publish(run.path(), &to).unwrap();
    assert_eq!(again, to.join("20260102T030405Z-2"));

    for file in fs::read_dir(&path).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap().to_lowercase();
        assert!(!text.contains("box-7"), "{text}");
        assert!(!text.contains("\"host\""), "{text}");
    }
    let (before, after) = (read_provenance(run.path()).unwrap(), read_provenance(&path).unwrap());
    let run_id = "20260102T030405Z".to_owned();
    assert_eq!(after, Provenance { host: None, run_id: run_id.clone(), ..before });
    let mut records = read(run.path()).unwrap();
    records[0].run_id = run_id;
    assert_eq!(read(&path).unwrap(), records);
    assert_eq!(read_samples(&path).unwrap(), read_samples(run.path()).unwrap());
    assert_eq!(read_trajectory(&path).unwrap(), read_trajectory(run.path()).unwrap());
}

/// The message with which a run is not published, without its path.
fn refused(run: &RunFolder, file: &str) -> String {
    let to = run.path().parent().unwrap().join("published");
    let message = publish(run.path(), &to).unwrap_err().to_string();
    assert!(!to.exists(), "nothing is written");
    let prefix = format!("`{}`, ", run.path().join(file).display());
    message.strip_prefix(&prefix).unwrap_or_else(|| panic!("no path in: {message}")).to_owned()
}

#[test]
fn a_run_that_tells_is_not_published() {
    let (_root, run) = run_to_publish("cannot open /home/someone/a.npy: denied");
    insta::assert_snapshot!(
        refused(&run, "measurements.csv"),
        @"line 2, column `reason`: `/home/someone/a.npy` is a path or the name of a host or user; take it out of the run, then publish again"
    );
    let (_root, run) = run_to_publish("BOX-7 went away");
    let message = refused(&run, "measurements.csv");
    assert!(message.starts_with("line 2, column `reason`: `Box-7` is a path or"), "{message}");

    let (_root, mut run) = run_to_publish("");
    run.append_samples(&[Sample { case_id: "C:\\a".into(), ..Sample::default() }]).unwrap();
    let message = refused(&run, "samples.csv");
    assert!(message.starts_with("line 3, column `case_id`: `C:\\a` is a path or"), "{message}");

    let (_root, mut run) = run_to_publish("");
    run.update_provenance(|p| p.devices = json!([{"inner": {"note": "on box-7.lan"}}])).unwrap();
    let message = refused(&run, "run.json");
    assert!(message.starts_with("key `note`: `Box-7.lan` is a path or"), "{message}");
}

#[test]
fn only_a_whole_run_is_published() {
    let root = tempfile::tempdir().unwrap();
    let missing = PathBuf::from(root.path()).join("none");
    let message = publish(&missing, root.path()).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot read `{}`", missing.display())), "{message}");
}
