//! The page of a report in headless Chromium: every position of the dial against the row of the CSV
//! that it cites, every filter, the sorting, the keyboard, the width of a phone, and no word on the
//! console. Without Chromium the tests show as ignored, or fail if TRADEOFF_REQUIRE_CHROMIUM is 1.

mod results;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tradeoff::record::Record;
use tradeoff::report;

const HOOKS: &str = "<script>window.faults = []; \
    addEventListener('error', (e) => faults.push(`error: ${e.message}`)); \
    addEventListener('unhandledrejection', (e) => faults.push(`rejection: ${e.reason}`)); \
    addEventListener('securitypolicyviolation', (e) => faults.push(`policy: ${e.blockedURI}`)); \
    for (const level of ['error', 'warn', 'log']) \
      console[level] = (...words) => faults.push(`${level}: ${words.join(' ')}`);</script>";

const LISTENER: &str = "<script>addEventListener('message', (event) => { \
    const pre = document.createElement('pre'); pre.id = 'outcome'; \
    pre.textContent = event.data; document.body.append(pre); });</script>";

const REMEDY: &str =
    "no Chromium found: install it (Debian: apt-get install chromium), or name it in CHROMIUM";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let browser = browser();
    let required = std::env::var("TRADEOFF_REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
    if browser.is_none() && !arguments.list {
        eprintln!("{REMEDY}");
    }
    let trial = |name: &'static str, test: fn(&Path) -> Result<(), Failed>| {
        let browser = browser.clone();
        let ignored = browser.is_none() && !required;
        let run = move || test(&browser.ok_or(REMEDY)?);
        Trial::test(name, run).with_ignored_flag(ignored)
    };
    let trials = vec![
        trial("desktop", |browser| check(browser, (1200, 900))),
        trial("phone", |browser| check(browser, (390, 844))),
        trial("one_setting_on_one_device", single),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// `CHROMIUM`, or the first of its usual names on the path.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || {
        std::env::split_paths(&path)
            .flat_map(|folder| names.map(|name| folder.join(name)))
            .find(|program| program.is_file())
    };
    named.or_else(found)
}

/// Makes the report of a run, drives its page, and returns what came of it.
fn outcome(browser: &Path, run: &Path, (width, height): (u32, u32)) -> Result<Value, Failed> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("report");
    let options = report::Options { folder: folder.clone(), force: false, target_gap: None };
    let made = report::write(&[run], &options)?;
    let page = fs::read_to_string(made.page)?;
    let driver = format!("<script>{}</script></body>", include_str!("driver.js"));
    let driven =
        page.replacen("<head>", &format!("<head>{HOOKS}"), 1).replacen("</body>", &driver, 1);
    fs::write(folder.join("driven.html"), driven)?;
    // A frame, as no window is as narrow as a phone.
    let file = folder.join("frame.html");
    let frame = format!(
        "<iframe src=\"driven.html\" width=\"{width}\" height=\"{height}\"></iframe>{LISTENER}"
    );
    fs::write(&file, frame)?;
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg("--window-size=1300,1000")
        .arg(format!("--user-data-dir={}", root.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()?;
    let dom = String::from_utf8_lossy(&output.stdout);
    let json =
        dom.rsplit_once("<pre id=\"outcome\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let (json, _) = json.ok_or_else(|| format!("the driver did not end: {errors}"))?;
    if let Some(line) = errors.lines().find(|line| line.contains("CONSOLE")) {
        return Err(line.to_owned().into());
    }
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Ok(serde_json::from_str(&json)?)
}

/// The cells of a line of a CSV by column.
type Row = HashMap<String, String>;

/// The rows of a run by the citation that the page gives them, read without this crate's reader.
fn cited(run: &Path) -> Result<HashMap<String, Row>, Failed> {
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(run.join("measurements.csv"))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut rows = HashMap::new();
    for (index, row) in reader.deserialize().enumerate() {
        rows.insert(format!("{name}/measurements.csv, line {}", index + 2), row?);
    }
    Ok(rows)
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or(f64::NAN)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn check(browser: &Path, size: (u32, u32)) -> Result<(), Failed> {
    let (_root, run) = results::full();
    let rows = cited(&run)?;
    let outcome = outcome(browser, &run, size)?;
    let faults = list(&outcome, "faults");
    ensure(faults.is_empty(), || format!("{faults:?}"))?;
    ensure(outcome["width"] == size.0, || format!("the window is {} wide", outcome["width"]))?;
    ensure(outcome["scrolls"] == false && outcome["scrolls_open"] == false, || {
        "the page scrolls sideways".into()
    })?;
    ensure(outcome["first_screen"] == true, || {
        "the dial's words are below the first screen".into()
    })?;
    ensure(outcome["unnamed"] == 0, || format!("{} controls have no name", outcome["unnamed"]))?;
    dials(&outcome, &rows)?;
    filters(&outcome, &rows)?;
    sorts(&outcome)?;
    keyboard(&outcome["keyboard"], &outcome)
}

fn dials(outcome: &Value, rows: &HashMap<String, Row>) -> Result<(), Failed> {
    let dials = list(outcome, "dials");
    ensure(dials.len() == 4 + 9, || format!("{} dials", dials.len()))?;
    for dial in dials {
        let positions = list(dial, "positions");
        let row = |position: &Value| -> Result<&Row, Failed> {
            let source = text(position, "source");
            Ok(rows.get(source).ok_or_else(|| format!("no row is cited as `{source}`"))?)
        };
        let exact = row(&positions[0])?;
        let settings = rows.values().filter(|r| r["status"] == "ok");
        let settings =
            settings.filter(|r| r["shape"] == exact["shape"] && r["device"] == exact["device"]);
        let mut precisions: Vec<&str> = settings.map(|r| r["precision"].as_str()).collect();
        precisions.sort_unstable();
        precisions.dedup();
        ensure(precisions.len() == positions.len(), || {
            format!("{}: {} positions of {precisions:?}", dial["label"], positions.len())
        })?;
        let mut error = f64::NEG_INFINITY;
        for (index, position) in positions.iter().enumerate() {
            let row = row(position)?;
            let said =
                |what: String| format!("{}, position {index}: {what}: {position}", dial["label"]);
            ensure(text(dial, "label").contains(&exact["shape"]), || said("label".into()))?;
            ensure(number(row, "primary_error") >= error, || {
                said("not from exact to fast".into())
            })?;
            error = number(row, "primary_error");
            speed(position, row, exact, index).map_err(said)?;
            wrongness(position, row).map_err(said)?;
        }
    }
    Ok(())
}

/// The words about speed against the two rows, and the numbers beside the bar.
fn speed(position: &Value, row: &Row, exact: &Row, index: usize) -> Result<(), String> {
    let words = text(position, "speed");
    let precision = &row["precision"];
    if !words.starts_with(&format!("{precision}: ")) || text(position, "pressed") != precision {
        return Err(format!("not about {precision}"));
    }
    if ["speed", "error", "advice"]
        .iter()
        .any(|part| !text(position, "spoken").contains(text(position, part)))
    {
        return Err("what is spoken is not what is shown".into());
    }
    let shown = first_number(text(position, "throughput")).unwrap_or(f64::NAN);
    let throughput = number(row, "throughput");
    if (shown / throughput - 1.0).abs() > 0.006 {
        return Err(format!("{shown} is not {throughput}"));
    }
    if index == 0 {
        return if words.contains("most exact") { Ok(()) } else { Err("not the start".into()) };
    }
    let (of, than) = (throughput, number(exact, "throughput"));
    // All intervals of the run are ±2 % in time.
    let apart = of.max(than) * 0.98 > of.min(than) * 1.02;
    let claimed = words
        .split_once(" times")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse::<f64>().ok());
    match claimed {
        None if !apart && words.contains("as far as these samples can tell") => Ok(()),
        Some(times) if apart => {
            let faster = words.contains("times as fast as") && !words.contains("slower");
            let slower = words.contains("slower") && words.contains("times as long as");
            let ratio = if of > than { of / than } else { than / of };
            let right = if of > than { faster } else { slower };
            let close = (times / ratio - 1.0).abs() < 0.05
                && words.ends_with(&format!("{}.", exact["precision"]));
            if right && close { Ok(()) } else { Err(format!("the ratio is {}", of / than)) }
        }
        _ => Err(format!("{of} against {than}")),
    }
}

/// The words about the error against the row.
fn wrongness(position: &Value, row: &Row) -> Result<(), String> {
    let words = text(position, "error");
    let error = number(row, "primary_error");
    let said = match row["workload"].as_str() {
        "matmul" if error == 0.0 => {
            return if words.contains("equals the truth") {
                Ok(())
            } else {
                Err("not exact".into())
            };
        }
        "matmul" => {
            let (_, words) = words.split_once("off by about ").ok_or("no size of the error")?;
            let (count, of) = words.split_once(" in ").ok_or("no parts")?;
            let scale = of.trim_end_matches('.').replace(',', "");
            let scale = scale.replace(" million", "000000").replace(" billion", "000000000");
            let scale: f64 = scale.parse().map_err(|_| "no number of parts")?;
            first_number(count).unwrap_or(f64::NAN) / scale
        }
        _ => {
            if !words.starts_with(&format!("After {} steps", row["steps"])) {
                return Err(format!("not after {} steps", row["steps"]));
            }
            words.split("loss is ").nth(1).and_then(first_number).unwrap_or(f64::NAN)
        }
    };
    let shown = text(position, "value").contains(&row["primary_error_metric"]);
    let close = (said / error - 1.0).abs() < 0.05;
    if shown && close { Ok(()) } else { Err(format!("{said} is not {error}")) }
}

/// The number that a text begins with or has first.
fn first_number(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[digits..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

fn filters(outcome: &Value, rows: &HashMap<String, Row>) -> Result<(), Failed> {
    let filters = list(outcome, "filters");
    for column in ["device", "workload", "precision"] {
        let mut values: Vec<&str> = rows.values().map(|row| row[column].as_str()).collect();
        values.sort_unstable();
        values.dedup();
        let tried = filters.iter().filter(|filter| filter["name"] == column);
        let mut tried: Vec<&str> = tried.map(|filter| text(filter, "value")).collect();
        tried.sort_unstable();
        ensure(tried == values, || format!("{column}: {tried:?} for {values:?}"))?;
    }
    for filter in filters {
        let (name, value) = (text(filter, "name"), text(filter, "value"));
        let fitting = rows.values().filter(|row| row[name] == value).count();
        ensure(filter["rows"] == fitting && filter["strangers"] == 0, || format!("{filter}"))?;
        ensure(filter["marks"].as_u64() > Some(0), || format!("nothing is drawn: {filter}"))?;
        let said = text(filter, "said").starts_with(&format!("{fitting} of {} rows", rows.len()));
        ensure(said, || format!("{filter}"))?;
    }
    ensure(outcome["rows"] == rows.len(), || "a filter that is taken off leaves rows hidden".into())
}

fn sorts(outcome: &Value) -> Result<(), Failed> {
    let sorts = list(outcome, "sorts");
    ensure(sorts.len() == 26, || format!("{} sorts", sorts.len()))?;
    for sort in sorts {
        let numbers: Vec<f64> = list(sort, "numbers").iter().filter_map(Value::as_f64).collect();
        let rising = sort["direction"] == "ascending";
        let sorted = numbers.windows(2).all(|w| if rising { w[0] <= w[1] } else { w[0] >= w[1] });
        ensure(sorted && sort["said"] == sort["direction"], || format!("{sort}"))?;
    }
    let numeric = sorts.iter().filter(|sort| !list(sort, "numbers").is_empty()).count();
    ensure(numeric >= 8, || format!("only {numeric} sorts of numbers"))
}

fn keyboard(keyboard: &Value, outcome: &Value) -> Result<(), Failed> {
    ensure(outcome["reachable"] == 1, || "a plot has not one stop for Tab".into())?;
    for step in ["moved", "shown", "hidden", "went"] {
        ensure(keyboard[step] == true, || format!("{step}: {keyboard}"))?;
    }
    let details = text(keyboard, "details");
    let told = ["device", "median", "throughput", "error", "bound", "source", "line "];
    ensure(told.iter().all(|word| details.contains(word)), || details.to_owned())?;
    ensure(details != text(keyboard, "before"), || "the details did not follow".into())
}

/// A run of one row has a dial of one position and says which figures are not drawn.
fn single(browser: &Path) -> Result<(), Failed> {
    // Without a roofline, against which one row is a figure already.
    let row = Record {
        peak_throughput: None,
        ..results::product("cpu", "fp32", "mirror", 64, 1e5, 1e-7)
    };
    let (_root, run) = results::run(&[row]);
    let root = tempfile::tempdir()?;
    let options = report::Options { folder: root.path().join("r"), force: false, target_gap: None };
    let made = report::write(&[&run], &options)?;
    ensure(made.figures.figures.is_empty(), || "a figure of one point".into())?;
    let page = fs::read_to_string(made.page)?;
    ensure(page.contains("Not drawn"), || "the page does not say what is not drawn".into())?;
    let outcome = outcome(browser, &run, (1200, 900))?;
    let faults = list(&outcome, "faults");
    ensure(faults.is_empty(), || format!("{faults:?}"))?;
    let positions = list(&list(&outcome, "dials")[0], "positions");
    ensure(positions.len() == 1, || format!("{positions:?}"))
}
