//! A plan, measured case by case into the folder of a run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::case::{Case, Work};
use super::sampler::{SamplerOptions, sample};
use super::selection::VARIABLES;
use super::session::{Measured, Session};
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
    /// The observer stopped it. The case that was under way has no row.
    Stopped,
}

/// Measures `cases` one after the other and appends each to `folder` as soon as it is finished.
/// What cannot be measured is a row that says why.
///
/// # Errors
/// [`RecordError`] where the folder cannot be written.
pub fn run_plan(
    session: &mut Session,
    cases: &[Case],
    folder: &mut RunFolder,
    options: &SamplerOptions,
    observer: &mut dyn Observer,
) -> Result<Ending, RecordError> {
    for case in cases {
        if observer.stopped() {
            return Ok(Ending::Stopped);
        }
        observer.started(case);
        let Some(measured) = measure(session, case, options, observer) else {
            return Ok(Ending::Stopped);
        };
        keep_fingerprints(session, folder)?;
        let Measured { record, samples, trajectory } = &measured;
        folder.append_case(record, samples, trajectory)?;
        observer.finished(record);
    }
    Ok(Ending::Complete)
}

/// Adds the fingerprints and rooflines of the devices used so far to those of a run that was
/// resumed.
fn keep_fingerprints(session: &Session, folder: &mut RunFolder) -> Result<(), RecordError> {
    let before = folder.provenance();
    let fingerprints = joined(&before.fingerprints, session.fingerprints());
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

/// One case; `None` if it was stopped.
fn measure(
    session: &mut Session,
    case: &Case,
    options: &SamplerOptions,
    observer: &mut dyn Observer,
) -> Option<Measured> {
    let mut prepared = match session.prepare(case) {
        Ok(prepared) => prepared,
        Err(measured) => return Some(*measured),
    };
    match sample(&mut prepared, options, &mut || observer.stopped()) {
        Ok(Some(samples)) => Some(prepared.finish(&samples)),
        Ok(None) => None,
        Err(why) => Some(prepared.fail(why)),
    }
}

/// Variables that select no case: where results and what is cached go, and what a test demands of
/// the machine.
const NOT_SELECTING: [&str; 3] = ["TRADEOFF_RESULTS", "TRADEOFF_CACHE", "TRADEOFF_REQUIRE_GPU"];

/// The plan as `run.json` keeps it: `variables` are those that made the selection.
pub fn describe_plan(
    variables: &BTreeMap<String, String>,
    options: &SamplerOptions,
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
        time_s: options.time.as_secs_f64(),
        samples: options.samples,
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
            Some(source.ok()?.composed().sha256)
        }
        Work::Sgd { data, .. } => Some(sources_sha256(case.precision, data.loss())),
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
        let options =
            SamplerOptions { time: std::time::Duration::from_millis(4), samples: Some(2) };
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
}
