//! docs/VALIDATION.md is what `tradeoff validate` prints, and theory and mirrors agree.

use std::path::Path;
use std::sync::LazyLock;

use assert_cmd::Command;
use serde_json::Value;
use tradeoff::report::validation::document;
use tradeoff::validation::{Check, Experiment, PLANS, ROWS, Row, SEED};

/// All experiments, once for all tests.
static ALL: LazyLock<Vec<Experiment>> =
    LazyLock::new(|| PLANS.iter().map(|plan| plan.run(SEED).unwrap()).collect());

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

/// A line with `#` for each number, and the numbers as they are printed, such as 64, −0.5 and 2.9091·10⁻⁷.
fn parts(line: &str) -> (String, Vec<&str>) {
    const RAISED: [char; 11] = ['⁻', '⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let length = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (mut text, mut numbers, mut rest) = (String::new(), vec![], line);
    while let Some(first) = rest.chars().next() {
        let sign = if rest.starts_with('−') { '−'.len_utf8() } else { 0 };
        let mut end = sign + length(&rest[sign..]);
        if end == sign {
            text.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let decimals = rest[end..].strip_prefix('.').map_or(0, length);
        end += if decimals > 0 { 1 + decimals } else { 0 };
        if let Some(power) = rest[end..].strip_prefix("·10").filter(|p| p.starts_with(RAISED)) {
            let raised = power.find(|c| !RAISED.contains(&c)).unwrap_or(power.len());
            end += "·10".len() + raised;
        }
        text.push('#');
        numbers.push(&rest[..end]);
        rest = &rest[end..];
    }
    (text, numbers)
}

/// The value of a printed number.
fn value(number: &str) -> f64 {
    let plain = |c: char| match c {
        '−' | '⁻' => '-',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰' | '⁴'..='⁹' => char::from(b'0' + (c as u32 - '⁰' as u32) as u8),
        _ => c,
    };
    let number: String = number.replace("·10", "e").chars().map(plain).collect();
    number.parse().unwrap()
}

/// Whether two lines have the same text and whole numbers, and other numbers within one unit of the fifth
/// digit, to which the document prints them: the logarithms and exponentials of mathematics libraries
/// differ in their last bit.
fn same(a: &str, b: &str) -> bool {
    let near = |(a, b): (&&str, &&str)| {
        let (x, y) = (value(a), value(b));
        let unit = 10f64.powf(x.abs().max(y.abs()).log10().floor() - 4.0);
        let whole = !a.contains('.') && !b.contains('.');
        // What both decimal numbers lose in binary is far below a part of 10⁶ of the unit.
        a == b || !whole && (x - y).abs() <= unit * (1.0 + 1e-6)
    };
    let ((text, numbers), (other, others)) = (parts(a), parts(b));
    text == other && numbers.iter().zip(&others).all(near)
}

#[test]
fn lines_are_the_same_within_a_unit_of_the_fifth_digit() {
    let (text, numbers) = parts("| 1 − (x), −0.5 ± 4.7684·10⁻⁶ in 2⁻²⁴ | 12. |");
    assert_eq!(text, "| # − (x), # ± # in #⁻²⁴ | #. |");
    assert_eq!(numbers, ["1", "−0.5", "4.7684·10⁻⁶", "2", "12"]);
    assert_eq!(["−0.5", "4.7684·10⁻⁶", "2·10¹⁰", "12"].map(value), [-0.5, 4.7684e-6, 2e10, 12.0]);
    for (a, b, expected) in [
        ("| 0.4959 | agrees |", "| 0.49591 | agrees |", true),
        ("| 0.4959 | agrees |", "| 0.49592 | agrees |", false),
        ("| 0.4959 | agrees |", "| 0.4959 | **differs** |", false),
        ("−3.1571·10⁻⁴ to 2", "−3.1572·10⁻⁴ to 2", true),
        ("−3.1571·10⁻⁴", "−3.1571·10⁻⁵", false),
        ("−3.1571·10⁻⁴", "3.1571·10⁻⁴", false),
        ("99.999", "100", true),
        ("11 of 12", "12 of 12", false),
        ("11 of 12", "11 of 12 ", false),
    ] {
        assert_eq!(same(a, b), expected, "{a} and {b}");
        assert_eq!(same(b, a), expected, "{b} and {a}");
    }
}

#[test]
fn the_document_is_what_the_experiments_give() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/VALIDATION.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let now = document(&ALL, SEED);
    let differing = committed.lines().zip(now.lines()).find(|(a, b)| !same(a, b));
    let lines = [&committed, &now].map(|text| text.lines().count());
    assert!(
        differing.is_none() && lines[0] == lines[1],
        "{differing:?} in {lines:?} lines; `cargo run --release -- validate > docs/VALIDATION.md` renews it"
    );
}

/// Of a right theory all rows agree in about 99 of 100 seeds; this seed is fixed.
#[test]
fn theory_and_mirrors_agree_but_for_what_is_known() {
    let unexplained: Vec<&Row> = rows().filter(|row| row.is_unexplained()).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let known: Vec<&str> =
        rows().filter(|row| !row.agrees).map(|row| row.quantity.as_str()).collect();
    assert_eq!(known, [""; 0]);
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
        // What decides is a quarter to either side at most, but for what is predicted to be about 0.
        let about_0 = row.predicted == 0.0 || row.quantity.contains("‖|A||B|‖F");
        let width = deciding[1] - deciding[0];
        assert!(about_0 || width <= 0.5 * row.predicted.abs(), "{width}: {row:?}");
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
    assert!(words.contains("Printed here: `rounding`, from seed 2."), "{other}");
}

#[test]
fn an_unknown_experiment_is_named() {
    let (code, stdout, stderr) = outcome(&["halp", "nothing"]);
    assert_eq!((code, &stdout[..]), (Some(2), ""));
    let told = "error: unknown experiment `nothing`; valid are growth, stagnation, ";
    assert!(stderr.starts_with(told) && stderr.lines().count() == 1, "{stderr}");
}
