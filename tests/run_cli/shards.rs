//! A run that was split over machines, joined and published.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use tradeoff::record::{read, read_provenance};

use super::{
    FEW, check_tables, edit_json, edit_lines, ends, ids, only_run, refused, run_few, text, with,
};

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
    assert!(err.contains("warning: 2 of 6 cases missing"), "{err}");
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
