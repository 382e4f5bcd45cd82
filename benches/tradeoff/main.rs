//! `cargo bench`: every selected case on every device, verified, timed by criterion, and recorded
//! as a row of `results/<run>/measurements.csv`.

mod clock;
mod harness;
mod report;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clock::Clock;
use criterion::Criterion;
use harness::{Harness, Mode};
use tradeoff::gpu::{discover_from_env, no_gpu_hint};
use tradeoff::measure::{Selection, Session};
use tradeoff::record::{Provenance, RecordError};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// What the arguments ask of criterion, as far as the harness must know.
fn mode() -> Mode {
    let given =
        |flag: &str| std::env::args().any(|a| a == flag || a.starts_with(&format!("{flag}=")));
    let measures = given("--bench") && !given("--test") && !given("--list");
    if !given("--bench") && !given("--test") && !given("--list") && !given("--help") {
        eprintln!(
            "without --bench, criterion runs each case once and measures nothing; \
             add --bench to measure and record"
        );
    }
    let replaced = given("--profile-time") || given("--load-baseline");
    Mode { records: measures && !replaced, quick: given("--quick") }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let clock = Clock::new();
    // Few and short samples: the plan is long, and `--sample-size` and its like lengthen them.
    let criterion = || {
        Criterion::default()
            .with_measurement(clock.clone())
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600))
            .nresamples(10_000)
            .configure_from_args()
    };
    // Ends the program at once where the arguments are wrong or ask for help.
    drop(criterion());
    let selection = Selection::from_env()?;
    let mode = mode();
    if mode.records {
        check_writable(&selection.results)?;
    }
    let devices = discover_from_env()?;
    let hint = no_gpu_hint(&devices);
    let mut provenance = Provenance::collect();
    provenance.devices = devices.iter().map(|d| serde_json::json!(d.info)).collect();
    let session = Session::new(devices, selection, &provenance);
    let cases = session.plan();
    if cases.is_empty() {
        return Err(
            "nothing to measure: no selected precision belongs to a selected workload".into()
        );
    }
    if let Some(hint) = hint {
        eprintln!("{hint}");
    }
    let clock = clock.clone();
    let started = Instant::now();
    let mut harness = Harness::new(session, clock, mode, provenance, &criterion, &|_| {});
    for (index, case) in cases.iter().enumerate() {
        let place = format!("[{}/{}]", index + 1, cases.len());
        harness.bench(case, &place)?;
    }
    Ok(harness.finish(started.elapsed()))
}

/// Whether a run's folder could be made, known before anything is measured for it: makes a folder
/// where the first missing one will be, and removes it.
fn check_writable(results: &Path) -> Result<(), RecordError> {
    let existing = results.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = existing.join(format!(".tradeoff-{}", std::process::id()));
    fs::create_dir(&probe)
        .and_then(|()| fs::remove_dir(&probe))
        .map_err(|source| RecordError::Write { path: results.to_owned(), source })
}
