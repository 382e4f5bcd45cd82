//! One case through criterion: prepared and verified in the first call of criterion's closure, timed
//! in all of them, and kept as a row of the run's folder.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use tradeoff::measure::{Case, MatmulOverride, Measured, Prepared, Session};
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
    /// Alters each kernel before it is composed: nothing, except in tests of the harness.
    alter: MatmulOverride<'a>,
}

impl<'a> Harness<'a> {
    pub fn new(
        session: Session,
        clock: Clock,
        mode: Mode,
        provenance: Provenance,
        alter: MatmulOverride<'a>,
    ) -> Self {
        let (provenance, folder, tally) = (Some(provenance), None, Tally::new());
        Self { session, clock, mode, provenance, folder, tally, alter }
    }

    /// Measures a case, unless criterion's filter names others.
    ///
    /// Criterion runs the closure only if the case passes its filter, and not while listing: so
    /// devices are opened, and the case prepared, in the closure's first call.
    pub fn bench(
        &mut self,
        criterion: &mut Criterion<Clock>,
        case: &Case,
        place: &str,
    ) -> Result<(), RecordError> {
        let mut prepared: Option<Prepared> = None;
        let mut stopped: Option<Box<Measured>> = None;
        let Self { session, clock, mode, alter, .. } = self;
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
                    eprintln!("{place} {case}");
                    match prepare(session, case, *alter, mode) {
                        Ok(ready) => prepared = Some(ready),
                        Err(measured) => {
                            stopped = Some(measured);
                            resume_unwind(Box::new(NotTimed));
                        }
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

/// Everything about a case that can fail, before criterion begins to time it.
fn prepare(
    session: &mut Session,
    case: &Case,
    alter: MatmulOverride<'_>,
    mode: &Mode,
) -> Result<Prepared, Box<Measured>> {
    let mut ready = session.prepare_with(case, alter)?;
    if mode.records
        && let Err(why) = ready.time_side_stages()
    {
        return Err(Box::new(ready.fail(why)));
    }
    Ok(ready)
}
