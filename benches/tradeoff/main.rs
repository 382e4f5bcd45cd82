//! `cargo bench`: every selected case on every device, verified, timed by criterion, and recorded
//! as a row of `results/<run>/measurements.csv`.

mod clock;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clock::{Clock, Timed};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use report::Tally;
use tradeoff::gpu::{discover_from_env, no_gpu_hint};
use tradeoff::measure::{Case, Measured, Prepared, Selection, Session};
use tradeoff::record::{Provenance, RecordError, RunFolder};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// What criterion was asked to do, as far as the harness must know.
struct Mode {
    /// Samples are drawn, so rows are recorded: not with `--list`, `--test`, `--profile-time` or a
    /// baseline loaded in place of measuring.
    records: bool,
    /// Criterion doubles the iterations and keeps the last two samples.
    quick: bool,
}

impl Mode {
    fn from_args() -> Self {
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
        Self { records: measures && !replaced, quick: given("--quick") }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let selection = Selection::from_env()?;
    let devices = discover_from_env()?;
    if let Some(hint) = no_gpu_hint(&devices) {
        eprintln!("{hint}");
    }
    let clock = Clock::new();
    // Few and short samples: the plan is long, and `--sample-size` and its like lengthen them.
    let mut criterion = Criterion::default()
        .with_measurement(clock.clone())
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(10_000)
        .configure_from_args();
    let mut provenance = Provenance::collect();
    provenance.devices = devices.iter().map(|d| serde_json::json!(d.info)).collect();
    let session = Session::new(devices, selection, &provenance);
    let cases = session.plan();
    let mode = Mode::from_args();
    let mut harness = Harness {
        session,
        clock,
        mode,
        provenance: Some(provenance),
        folder: None,
        tally: Tally::new(),
    };
    for (index, case) in cases.iter().enumerate() {
        harness.bench(&mut criterion, case, index, cases.len())?;
    }
    criterion.final_summary();
    Ok(harness.tally.finish(harness.folder.as_ref().map(RunFolder::path)))
}

/// Thrown through criterion by a case that is not to be timed: criterion has no other way out of a
/// benchmark that it has begun. `resume_unwind` calls no panic hook, so nothing is printed.
struct NotTimed;

struct Harness {
    session: Session,
    clock: Clock,
    mode: Mode,
    /// Until the folder takes it.
    provenance: Option<Provenance>,
    folder: Option<RunFolder>,
    tally: Tally,
}

impl Harness {
    /// Criterion runs the closure only if the case passes its filter, and not while listing: so
    /// devices are opened, and the case prepared, in the closure's first call.
    fn bench(
        &mut self,
        criterion: &mut Criterion<Clock>,
        case: &Case,
        index: usize,
        count: usize,
    ) -> Result<(), RecordError> {
        let mut prepared: Option<Prepared> = None;
        let mut stopped: Option<Box<Measured>> = None;
        let Self { session, clock, .. } = self;
        let (unit, work) = session.throughput(case);
        clock.set_unit(unit);
        clock.take();
        let mut group =
            criterion.benchmark_group(format!("{}/{}", case.workload(), case.precision));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(work));
        let id = BenchmarkId::new(format!("{}/{}", case.kernel(), case.shape()), &case.device_slug);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group.bench_function(id, |bencher| {
                if prepared.is_none() {
                    eprintln!("[{}/{count}] {case}", index + 1);
                    match session.prepare(case) {
                        Ok(ready) => prepared = Some(ready),
                        Err(measured) => {
                            stopped = Some(measured);
                            resume_unwind(Box::new(NotTimed));
                        }
                    }
                }
                bencher.iter_custom(|iterations| {
                    let ran = prepared.as_mut().map(|ready| ready.run(iterations));
                    match ran {
                        Some(Ok(elapsed_ns)) => Timed { iterations, elapsed_ns },
                        Some(Err(why)) => {
                            stopped = prepared.take().map(|ready| Box::new(ready.fail(why)));
                            resume_unwind(Box::new(NotTimed))
                        }
                        None => resume_unwind(Box::new(NotTimed)),
                    }
                });
            });
        }));
        if let Err(payload) = outcome
            && !payload.is::<NotTimed>()
        {
            resume_unwind(payload);
        }
        drop(group);
        match (stopped, prepared) {
            (Some(measured), _) => self.keep(&measured),
            (None, Some(ready)) if self.mode.records => {
                let mut samples = self.clock.take();
                if self.mode.quick && samples.len() > 2 {
                    samples.drain(..samples.len() - 2);
                }
                self.keep(&ready.finish(&samples))
            }
            (None, Some(ready)) => {
                self.tally.verified(ready.record());
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Writes a finished case to the run's folder, which the first one makes.
    fn keep(&mut self, measured: &Measured) -> Result<(), RecordError> {
        self.tally.add(&measured.record);
        if !self.mode.records {
            return Ok(());
        }
        if let Some(provenance) = self.provenance.take() {
            let root = &self.session.selection.results;
            self.folder = Some(RunFolder::create(root, provenance)?);
        }
        if let Some(folder) = &mut self.folder {
            let fingerprints = self.session.fingerprints();
            if folder.provenance().fingerprints != fingerprints {
                folder.update_provenance(|p| p.fingerprints = fingerprints)?;
            }
            folder.append_samples(&measured.samples)?;
            folder.append_trajectory(&measured.trajectory)?;
            folder.append(&measured.record)?;
        }
        Ok(())
    }
}
