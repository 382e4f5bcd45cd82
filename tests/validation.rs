//! docs/VALIDATION.md is what `tradeoff validate` prints, and theory and mirrors agree.

use std::path::Path;
use std::sync::LazyLock;

use assert_cmd::Command;
use serde_json::Value;
use tradeoff::report::validation::document;
use tradeoff::validation::{Check, Experiment, PLANS, ROWS, Row};

/// The seed of the document.
const SEED: u32 = 1;

/// All experiments, once for all tests.
static ALL: LazyLock<Vec<Experiment>> =
    LazyLock::new(|| PLANS.iter().map(|plan| plan.run(SEED)).collect());

fn rows() -> impl Iterator<Item = &'static Row> {
    ALL.iter().flat_map(|experiment| &experiment.rows)
}

/// Exit code, stdout and stderr.
fn outcome(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradeoff"));
    let output = command.arg("validate").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_document_is_what_the_experiments_give() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/VALIDATION.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let now = document(&ALL, SEED);
    let differing = committed.lines().zip(now.lines()).find(|(a, b)| a != b);
    let lines = (committed.lines().count(), now.lines().count());
    assert!(
        committed == now,
        "{differing:?} in {lines:?} lines; `cargo run --release -- validate > docs/VALIDATION.md` renews it"
    );
}

/// Of a right theory all rows agree in 99 of 100 seeds; this seed is fixed.
#[test]
fn theory_and_mirrors_agree_but_for_what_is_known() {
    let unexplained: Vec<&Row> = rows().filter(|row| row.is_unexplained()).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let known: Vec<&str> =
        rows().filter(|row| !row.agrees).map(|row| row.quantity.as_str()).collect();
    let expected = [
        "HALP, 8 bits: problems solved to the roundoff of f64",
        "1 − (1 − 2⁻²⁴) by a matrix unit without extra bits, in 2⁻²⁴",
    ];
    assert_eq!(known, expected);
}

/// The confidence is shared by at most so many rows; an interval that could not tell a wrong prediction
/// from a right one would be no evidence.
#[test]
fn intervals_are_shared_out_and_say_something() {
    let decided = rows().filter(|row| matches!(row.check, Check::Interval { .. })).count();
    assert!(decided <= ROWS, "{decided} rows");
    for row in rows() {
        let Check::Interval { ci95: [low, high], deciding, trials } = row.check else { continue };
        assert!(trials >= 8 && deciding[0] <= low && high <= deciding[1], "{row:?}");
        // A quarter to either side at most, but for what is predicted to be about 0.
        let about_0 = row.predicted == 0.0 || row.quantity.contains("‖|A||B|‖F");
        assert!(about_0 || high - low <= 0.5 * row.predicted.abs(), "{row:?}");
    }
}

#[test]
fn one_experiment_is_the_same_alone() {
    let (code, stdout, stderr) = outcome(&["rounding", "exact", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let json: Value = serde_json::from_str(&stdout).unwrap();
    let names: Vec<&str> = PLANS.iter().map(|plan| plan.name).collect();
    for one in json.as_array().unwrap() {
        let at = names.iter().position(|name| one["name"] == *name).unwrap();
        assert_eq!(one, &serde_json::to_value(&ALL[at]).unwrap());
    }
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let (_, other, _) = outcome(&["rounding", "--seed", "2"]);
    let words = other.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("from the seed 2;") && words.contains("2 of 2 rows agree"), "{other}");
}

#[test]
fn an_unknown_experiment_is_named() {
    let (code, stdout, stderr) = outcome(&["halp", "nothing"]);
    assert_eq!((code, &stdout[..]), (Some(2), ""));
    let told = "error: unknown experiment `nothing`; valid are growth, stagnation, ";
    assert!(stderr.starts_with(told) && stderr.lines().count() == 1, "{stderr}");
}
