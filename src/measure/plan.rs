//! A plan, measured problem by problem into the folder of a run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::case::{Case, Work};
use super::drawing::{Caches, Interleaving};
use super::group::{Bench, groups};
use super::sampler::SamplerOptions;
use super::selection::VARIABLES;
use super::session::Session;
use super::telemetry::Instruments;
use crate::fingerprint::summation::joined_fingerprints;
use crate::gpu::DeviceInfo;
use crate::record::{Record, RecordError, RunFolder, RunPlan, Shard};
use crate::workload::matmul::KernelSource;
use crate::workload::sgd::sources_sha256;

/// Hears how far a plan is, and can stop it.
pub trait Observer {
    /// A case begins.
    fn started(&mut self, case: &Case) {
        let _ = case;
    }

    /// Something that a user may want to know, in one line.
    fn told(&mut self, note: &str) {
        let _ = note;
    }

    /// A case is on disk with its row.
    fn finished(&mut self, record: &Record) {
        let _ = record;
    }

    /// Asked before each case and between two samples: whether to measure no more.
    fn stopped(&mut self) -> bool {
        false
    }
}

/// How a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every case has its row.
    Complete,
    /// The observer stopped it. Of the cases that were under way, those with enough samples for an
    /// interval have a row.
    Stopped,
}

/// How a plan is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunOptions {
    /// How long each case is sampled.
    pub sampler: SamplerOptions,
    /// Whether the cases of a problem are sampled in turn.
    pub interleaving: Interleaving,
    /// What the caches hold when an iteration begins.
    pub cache: Caches,
}

impl Default for RunOptions {
    /// In rounds, warm.
    fn default() -> Self {
        Self {
            sampler: SamplerOptions::default(),
            interleaving: Interleaving::Rounds,
            cache: Caches::Warm,
        }
    }
}

/// Measures `cases`, those of one problem in turn, and appends each to `folder` as soon as it is
/// finished. What cannot be measured is a row that says why.
///
/// # Errors
/// [`RecordError`] where the folder cannot be written.
pub fn run_plan(
    session: &mut Session,
    cases: &[Case],
    folder: &mut RunFolder,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Ending, RecordError> {
    run_plan_with(session, cases, folder, options, observer, &mut Instruments::new())
}

/// [`run_plan`] with sources of clocks, temperatures and energy of one's own.
///
/// # Errors
/// As [`run_plan`].
pub fn run_plan_with(
    session: &mut Session,
    cases: &[Case],
    folder: &mut RunFolder,
    options: &RunOptions,
    observer: &mut dyn Observer,
    instruments: &mut Instruments,
) -> Result<Ending, RecordError> {
    session.cache = options.cache;
    let mut bench = Bench { session, folder, options, instruments, observer };
    for (place, group) in groups(cases, options.interleaving).enumerate() {
        let mut rest = group;
        while !rest.is_empty() {
            let taken = bench.run(rest, place as u32)?;
            if taken.ending == Ending::Stopped {
                return Ok(Ending::Stopped);
            }
            rest = &rest[taken.cases..];
        }
    }
    Ok(Ending::Complete)
}

/// Adds the fingerprints and rooflines of the devices used so far to those of a run that was
/// resumed.
pub(super) fn keep_fingerprints(
    session: &Session,
    folder: &mut RunFolder,
) -> Result<(), RecordError> {
    let before = folder.provenance();
    let fingerprints = joined_fingerprints(&before.fingerprints, session.fingerprints());
    let rooflines = joined(&before.rooflines, session.rooflines());
    if before.fingerprints == fingerprints && before.rooflines == rooflines {
        return Ok(());
    }
    folder.update_provenance(|provenance| {
        provenance.fingerprints = fingerprints;
        provenance.rooflines = rooflines;
    })
}

/// An object with the keys of both, the new ones' values where both have one.
fn joined(old: &Value, new: Value) -> Value {
    let mut all = old.clone();
    match (&mut all, new) {
        (Value::Object(all), Value::Object(new)) => all.extend(new),
        (all, new) => *all = new,
    }
    all
}

/// Variables that select no case: where results and what is cached go, and what a test demands of
/// the machine.
const NOT_SELECTING: [&str; 3] = ["TRADEOFF_RESULTS", "TRADEOFF_CACHE", "TRADEOFF_REQUIRE_GPU"];

/// The plan as `run.json` keeps it: `variables` are those that made the selection.
pub fn describe_plan(
    variables: &BTreeMap<String, String>,
    options: &RunOptions,
    processes: u32,
    shard: Option<Shard>,
    cases: &[Case],
) -> RunPlan {
    let selects = |name: &str| VARIABLES.contains(&name) && !NOT_SELECTING.contains(&name);
    let selection = variables
        .iter()
        .filter(|(name, value)| selects(name) && !value.trim().is_empty())
        .map(|(name, value)| (name.clone(), value.trim().to_owned()));
    RunPlan {
        selection: selection.collect(),
        time_s: options.sampler.time.as_secs_f64(),
        samples: options.sampler.samples,
        interval: options.sampler.interval,
        interleaving: options.interleaving.name().to_owned(),
        cache: options.cache.name().to_owned(),
        processes,
        shard,
        cases: cases.iter().map(Case::to_string).collect(),
    }
}

/// SHA-256 of the WGSL that a case runs on a device with the given tuning parameters (the column
/// `kernel_parameters`), as its row has it; `None` on the CPU, and where this program's kernel has
/// no such parameters.
pub fn kernel_sha256(case: &Case, device: &DeviceInfo, parameters: &str) -> Option<String> {
    if device.backend == "cpu" {
        return None;
    }
    match case.work {
        Work::Matmul { kernel, .. } => {
            let parameters = parameters.parse().ok()?;
            let source = KernelSource::with(kernel?, case.precision, device, parameters);
            Some(source.ok()?.sha256())
        }
        Work::Sgd { data, algorithm, .. } => {
            Some(sources_sha256(case.precision, data.loss(), algorithm))
        }
    }
}

/// The rows that a kernel made which is no longer this program's, each in a few words.
pub fn kernel_changes(rows: &[Record], session: &Session, cases: &[Case]) -> Vec<String> {
    let mut changes = vec![];
    for row in rows.iter().filter(|row| !row.wgsl_sha256.is_empty()) {
        let case = cases.iter().find(|case| case.to_string() == row.case_id);
        let found = case.and_then(|case| {
            let devices = session.devices().iter();
            let device = devices.map(|d| &d.info).find(|info| info.slug == case.device_slug)?;
            Some(kernel_sha256(case, device, &row.kernel_parameters))
        });
        let (id, was) = (&row.case_id, &row.wgsl_sha256);
        match found {
            Some(Some(now)) if now != *was => {
                changes.push(format!("the kernel of {id} was {was:.12}… and is {now:.12}…"));
            }
            Some(None) => changes.push(format!(
                "the kernel of {id} has parameters `{}` no longer",
                row.kernel_parameters
            )),
            _ => {}
        }
    }
    changes
}

/// Sizes with each range `a..b` replaced by the powers of two from a to b, both included:
/// `256..1024` is `256,512,1024`. What is no range stays as it is.
///
/// # Errors
/// What is wrong with a range, and what would be right.
pub fn expand_sizes(text: &str) -> Result<String, String> {
    let separator = if text.contains(';') { ';' } else { ',' };
    let expand = |entry: &str| match entry.split_once("..") {
        None => Ok(entry.to_owned()),
        Some((from, to)) => {
            let power = |text: &str| {
                let number = text.trim().parse::<u32>().ok();
                number.filter(|number| number.is_power_of_two()).ok_or_else(|| {
                    format!(
                        "`{}` in `{}` is no power of two; a range goes from one to a later one, \
                         such as 256..4096",
                        text.trim(),
                        entry.trim()
                    )
                })
            };
            let (from, to) = (power(from)?, power(to)?);
            if from > to {
                return Err(format!(
                    "range `{}` is empty; write the smaller power of two first",
                    entry.trim()
                ));
            }
            let sizes = (from.ilog2()..=to.ilog2()).map(|power| (1u32 << power).to_string());
            Ok(sizes.collect::<Vec<_>>().join(&separator.to_string()))
        }
    };
    let entries = text.split(separator).map(expand).collect::<Result<Vec<_>, _>>()?;
    Ok(entries.join(&separator.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::measure::telemetry::{Reading, Slowdown, Source};
    use crate::record::{Provenance, Status};

    #[test]
    fn ranges_are_powers_of_two() {
        assert_eq!(expand_sizes("256..1024").unwrap(), "256,512,1024");
        assert_eq!(expand_sizes("8, 1..2 ,257x131x73").unwrap(), "8,1,2,257x131x73");
        assert_eq!(expand_sizes("64..64;257,131,73").unwrap(), "64;257,131,73");
        assert_eq!(expand_sizes("100,200").unwrap(), "100,200");
        for (bad, told) in [
            ("100..200", "`100` in `100..200` is no power of two"),
            ("256..", "`` in `256..` is no power of two"),
            ("256..512..1024", "`512..1024` in"),
            ("512..256", "range `512..256` is empty"),
            ("0..8", "`0` in"),
        ] {
            let message = expand_sizes(bad).unwrap_err();
            assert!(message.contains(told), "{message}");
        }
    }

    fn session(variables: &[(&str, &str)]) -> Session {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let selection = Selection::from_variables(variables.collect()).unwrap();
        Session::new(discover(Some("cpu")).unwrap(), selection, &Provenance::collect())
    }

    #[test]
    fn a_case_named_twice_is_measured_once() {
        let session = session(&[
            ("TRADEOFF_SIZES", "8,8"),
            ("TRADEOFF_DATA_SETS", "digits"),
            ("TRADEOFF_BATCHES", "1437,n"),
            ("TRADEOFF_PRECISIONS", "fp32"),
        ]);
        let ids: Vec<String> = session.plan().iter().map(Case::to_string).collect();
        assert_eq!(ids, ["matmul/fp32/mirror/8x8x8/cpu", "sgd/D32fM32f/mirror/digits-b1437/cpu"]);
    }

    /// On every GPU here: the hash that a case is foreseen to have is the one that its row gets, and
    /// a row of another kernel is named.
    #[test]
    fn kernels_are_identified_before_they_run() {
        let variables = [
            ("TRADEOFF_SIZES", "8"),
            ("TRADEOFF_DATA_SETS", "figure2-16x8,logistic-16x8"),
            ("TRADEOFF_BATCHES", "4"),
            ("TRADEOFF_STEPS", "2"),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let selection = Selection::from_variables(variables.into()).unwrap();
        let devices = discover(None).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        let cases = session.plan();
        let mut rows: Vec<Record> = vec![];
        for case in &cases {
            rows.extend(session.prepare(case).ok().map(|prepared| prepared.record().clone()));
        }
        assert_eq!(kernel_changes(&rows, &session, &cases), [""; 0]);
        let gpu_row = rows.iter_mut().find(|row| !row.wgsl_sha256.is_empty());
        let Some(changed) = gpu_row else { return };
        let id = changed.case_id.clone();
        changed.wgsl_sha256 = "0123456789abcdef".into();
        let told = kernel_changes(&rows, &session, &cases);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("the kernel of {id} was 0123456789ab… and is ")));
    }

    fn options(ms: u64, samples: usize, interleaving: Interleaving) -> RunOptions {
        let time = std::time::Duration::from_millis(ms);
        let sampler = SamplerOptions { time, samples: Some(samples), interval: None };
        RunOptions { sampler, interleaving, cache: Caches::Warm }
    }

    /// Stops after so many cases.
    struct Count {
        left: usize,
        finished: Vec<Status>,
    }

    impl Observer for Count {
        fn finished(&mut self, record: &Record) {
            self.left -= 1;
            self.finished.push(record.status);
        }

        fn stopped(&mut self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn a_stopped_plan_keeps_what_was_measured() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(root.path(), Provenance::collect()).unwrap();
        let mut session =
            session(&[("TRADEOFF_SIZES", "4,5,6"), ("TRADEOFF_PRECISIONS", "fp32,bf16")]);
        let cases: Vec<Case> =
            session.plan().into_iter().filter(|c| c.workload() == "matmul").collect();
        let options = options(4, 2, Interleaving::None);
        let mut observer = Count { left: 2, finished: vec![] };
        let ending = run_plan(&mut session, &cases, &mut folder, &options, &mut observer).unwrap();
        assert_eq!((ending, observer.finished), (Ending::Stopped, vec![Status::Ok; 2]));
        let mut observer = Count { left: usize::MAX, finished: vec![] };
        let rest = &cases[2..];
        let ending = run_plan(&mut session, rest, &mut folder, &options, &mut observer).unwrap();
        assert_eq!(ending, Ending::Complete);
        let rows = crate::record::read(folder.path()).unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
        assert_eq!(ids, cases.iter().map(Case::to_string).collect::<Vec<_>>());
    }

    /// A device whose clock falls and whose energy grows by 2 J a look.
    struct Falling {
        looks: f64,
    }

    impl Source for Falling {
        fn read(&mut self) -> Reading {
            self.looks += 1.0;
            let now = vec![("sw_power_cap".to_owned(), true)];
            Reading {
                clock_mhz: Some(2000.0 - self.looks),
                temperature_c: Some(60.0),
                power_w: Some(200.0),
                slowdown: Some(Slowdown { now, counters: vec![] }),
            }
        }

        fn energy_j(&mut self) -> Option<f64> {
            self.looks += 1.0;
            Some(2.0 * self.looks)
        }
    }

    /// Both cases of a shape are in one group, their samples come in rounds, and the columns say how
    /// the device was: throttled rows are flagged and stay.
    #[test]
    fn rounds_and_readings_are_in_the_rows() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(root.path(), Provenance::collect()).unwrap();
        let mut session =
            session(&[("TRADEOFF_SIZES", "4,5"), ("TRADEOFF_PRECISIONS", "fp32,bf16")]);
        let cases: Vec<Case> =
            session.plan().into_iter().filter(|c| c.workload() == "matmul").collect();
        let mut instruments = Instruments::at(root.path());
        instruments.insert("cpu", Box::new(Falling { looks: 0.0 }));
        let options = options(40, 6, Interleaving::Rounds);
        let mut observer = Count { left: usize::MAX, finished: vec![] };
        let ending = run_plan_with(
            &mut session,
            &cases,
            &mut folder,
            &options,
            &mut observer,
            &mut instruments,
        );
        assert_eq!(ending.unwrap(), Ending::Complete);
        let ids: Vec<String> = cases.iter().map(Case::to_string).collect();
        assert_eq!(folder.provenance().interleaved, [&ids[..2], &ids[2..]]);
        let rows = crate::record::read(folder.path()).unwrap();
        assert_eq!(rows.len(), 4);
        for row in &rows {
            assert_eq!((row.status, row.samples), (Status::Ok, Some(6)), "{}", row.reason);
            assert_eq!(
                (row.interleaving.as_str(), row.stop_reason.as_str()),
                ("rounds", "samples")
            );
            assert!(row.clock_before_mhz > row.clock_after_mhz);
            assert_eq!((row.temperature_after_c, row.power_before_w), (Some(60.0), Some(200.0)));
            assert_eq!(
                (row.throttled, row.throttle_reasons.as_str()),
                (Some(true), "sw_power_cap")
            );
            let (joules, operations) = (row.energy_j.unwrap(), row.operations.unwrap() as f64);
            assert!(joules > 0.0);
            assert_eq!(row.operations_per_joule, Some(operations / joules));
        }
    }

    /// Stopped in the rounds: who has enough samples for an interval has a row that says so.
    #[test]
    fn an_interrupted_case_with_enough_samples_has_its_row() {
        struct After(u32);
        impl Observer for After {
            fn stopped(&mut self) -> bool {
                self.0 = self.0.saturating_sub(1);
                self.0 == 0
            }
        }
        for (asked, rows) in [(12, 0), (60, 2)] {
            let root = tempfile::tempdir().unwrap();
            let mut folder = RunFolder::create(root.path(), Provenance::collect()).unwrap();
            let mut session =
                session(&[("TRADEOFF_SIZES", "4"), ("TRADEOFF_PRECISIONS", "fp32,bf16")]);
            let cases: Vec<Case> =
                session.plan().into_iter().filter(|c| c.workload() == "matmul").collect();
            let options = options(4, 10_000, Interleaving::Rounds);
            let time = std::time::Duration::from_secs(60);
            let sampler = SamplerOptions { time, ..options.sampler };
            // A warm-up asks too: time / 4, at most a second, in doubling steps.
            let options = RunOptions { sampler, ..options };
            let mut observer = After(asked);
            let ending = run_plan(&mut session, &cases, &mut folder, &options, &mut observer);
            assert_eq!(ending.unwrap(), Ending::Stopped);
            let found = crate::record::read(folder.path()).unwrap();
            assert_eq!(found.len(), rows, "after {asked}");
            assert!(found.iter().all(|row| row.stop_reason == "interrupted"));
            assert!(found.iter().all(|row| row.samples >= Some(6)));
        }
    }
}
