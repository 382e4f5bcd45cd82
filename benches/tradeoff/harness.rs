//! One case through criterion: prepared and verified in the first call of criterion's closure, timed
//! in all of them, and kept as a row of the run's folder.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Duration;

use criterion::{Bencher, BenchmarkId, Criterion, SamplingMode, Throughput};
use tradeoff::measure::{Case, Drawing, MatmulOverride, Measured, Prepared, Session, keep_orders};
use tradeoff::record::{Provenance, RecordError, RunFolder};

use crate::clock::{Clock, Timed};
use crate::report::Tally;

/// What criterion was asked to do, as far as the harness must know.
pub struct Mode {
    /// Samples are drawn, so rows are recorded: not with `--list`, `--test`, `--profile-time` or a
    /// baseline loaded in place of measuring.
    pub records: bool,
    /// Criterion doubles the iterations and keeps the last two samples.
    pub quick: bool,
}

/// Thrown through criterion by a case that is not to be timed: criterion has no other way out of a
/// benchmark that it has begun. `resume_unwind` calls no panic hook, so nothing is printed.
struct NotTimed;

pub struct Harness<'a> {
    pub session: Session,
    clock: Clock,
    mode: Mode,
    /// Until the folder takes it.
    provenance: Option<Provenance>,
    pub folder: Option<RunFolder>,
    pub tally: Tally,
    /// Criterion as the arguments configure it.
    criterion: &'a dyn Fn() -> Criterion<Clock>,
    /// Alters each kernel before it is composed: nothing, except in tests of the harness.
    alter: MatmulOverride<'a>,
}

impl<'a> Harness<'a> {
    pub fn new(
        session: Session,
        clock: Clock,
        mode: Mode,
        provenance: Provenance,
        criterion: &'a dyn Fn() -> Criterion<Clock>,
        alter: MatmulOverride<'a>,
    ) -> Self {
        let (provenance, folder, tally) = (Some(provenance), None, Tally::new());
        Self { session, clock, mode, provenance, folder, tally, criterion, alter }
    }

    /// Measures a case, unless criterion's filter names others.
    ///
    /// Criterion calls the closure only if the case passes its filter, and not while listing: so
    /// devices are opened, and the case prepared, in the closure's first call.
    pub fn bench(&mut self, case: &Case, place: &str) -> Result<(), RecordError> {
        let mut prepared: Option<Prepared> = None;
        let mut stopped: Option<Box<Measured>> = None;
        if self.mode.quick && self.mode.records {
            // Quick criterion counts the whole of the first call into the time it may take, and
            // would stop after one run: there the first call only tells that there is one.
            if !self.in_criterion(case, |_, _| resume_unwind(Box::new(NotTimed))) {
                return Ok(());
            }
            match self.prepare(case, place) {
                Ok(ready) => prepared = Some(ready),
                Err(measured) => return self.keep(&measured),
            }
        }
        self.in_criterion(case, |harness, bencher| {
            if prepared.is_none() {
                match harness.prepare(case, place) {
                    Ok(ready) => prepared = Some(ready),
                    Err(measured) => stopped = Some(measured),
                }
            }
            let Some(ready) = &mut prepared else { resume_unwind(Box::new(NotTimed)) };
            let mut outcome = Ok(());
            bencher.iter_custom(|iterations| {
                let elapsed_ns = ready.run(iterations).unwrap_or_else(|why| {
                    outcome = Err(why);
                    f64::NAN
                });
                Timed { iterations, elapsed_ns }
            });
            // Here criterion has analysed nothing yet: what is wrong leaves no estimate behind.
            if let Err(why) = outcome.and_then(|()| ready.check()) {
                stopped = prepared.take().map(|ready| Box::new(ready.fail(why)));
                resume_unwind(Box::new(NotTimed));
            }
        });
        match (stopped, prepared) {
            (Some(measured), _) => self.keep(&measured),
            (None, Some(ready)) if self.mode.records => {
                let mut samples = self.clock.take();
                if self.mode.quick && samples.len() > 2 {
                    samples.drain(..samples.len() - 2);
                }
                self.keep(&ready.finish_drawn(&samples, &Drawing::criterion()))
            }
            (None, Some(ready)) => {
                self.tally.verified(ready.record());
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Ends the run: keeps the orders of its sums, has criterion sum up, prints the table, and says how the
    /// run ended. That the orders cannot be kept is told last, and is exit code 2 unless a case was wrong
    /// or failed, which is 1 all the same.
    pub fn finish(&mut self, took: Duration) -> ExitCode {
        let kept = self.keep_orders(took);
        (self.criterion)().final_summary();
        let code = self.tally.finish(self.folder.as_ref().map(RunFolder::path));
        match kept {
            Ok(()) => code,
            Err(error) => {
                eprintln!("error: {error}");
                if code == ExitCode::SUCCESS { ExitCode::from(2) } else { code }
            }
        }
    }

    /// Finds out in which order the kernels sum that were measured, once nothing is timed any more.
    fn keep_orders(&mut self, took: Duration) -> Result<(), RecordError> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        let tell = &mut |line: &str| eprintln!("{line}");
        keep_orders(&mut self.session, self.tally.rows(), folder, took, &mut || false, tell)
    }

    /// Hands criterion a benchmark. Returns whether `body` left it as [`NotTimed`].
    fn in_criterion(
        &mut self,
        case: &Case,
        mut body: impl FnMut(&mut Self, &mut Bencher<'_, Clock>),
    ) -> bool {
        let (unit, work) = self.session.throughput(case);
        self.clock.set_unit(unit);
        self.clock.take();
        let mut criterion = (self.criterion)();
        let mut group =
            criterion.benchmark_group(format!("{}/{}", case.workload(), case.precision));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(work));
        let name = format!("{}/{}", case.kernel(), case.shape_in_id());
        let id = BenchmarkId::new(name, &case.device_slug);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group.bench_function(id, |bencher| body(self, bencher));
        }));
        match outcome {
            Ok(()) => false,
            Err(payload) if payload.is::<NotTimed>() => true,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Everything about a case that can fail, before criterion begins to time it.
    fn prepare(&mut self, case: &Case, place: &str) -> Result<Prepared, Box<Measured>> {
        if self.mode.records {
            let tell = &mut |line: &str| eprintln!("{line}");
            self.session.measure_rooflines([case], tell);
            self.session.tune([case], tell);
        }
        eprintln!("{place} {case}");
        let mut ready = self.session.prepare_with(case, self.alter)?;
        if self.mode.records
            && let Err(why) = ready.time_side_stages()
        {
            return Err(Box::new(ready.fail(why)));
        }
        Ok(ready)
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
            let (fingerprints, rooflines) = (self.session.fingerprints(), self.session.rooflines());
            let known = folder.provenance();
            if known.fingerprints != fingerprints || known.rooflines != rooflines {
                folder.update_provenance(|p| {
                    p.fingerprints = fingerprints;
                    p.rooflines = rooflines;
                })?;
            }
            folder.append_samples(&measured.samples)?;
            folder.append_trajectory(&measured.trajectory)?;
            folder.append(&measured.record)?;
        }
        Ok(())
    }
}
