//! Takes a run up again: repairs what an interruption left half written, and tells whether the
//! machine and the program are still those that the run began with.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde_json::Value;

use super::row::Row;
use super::run::{Table, draft_of, encode, header, lock};
use super::{
    Provenance, Record, RecordError, RunFolder, Sample, Stage, Status, TrajectoryPoint, read,
    read_provenance, read_samples, read_trajectory,
};
use crate::measure::statistics::Summary;

/// A run that can be written to again.
#[derive(Debug)]
pub struct Resumed {
    /// Its folder, locked and repaired.
    pub folder: RunFolder,
    /// The rows that it has.
    pub rows: Vec<Record>,
    /// What was taken out.
    pub repairs: Repairs,
}

/// What was taken out of a run because an interruption had left it half written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Lines cut off at the end of a table.
    pub cut_lines: usize,
    /// Rows of `measurements.csv` without all of their samples or their trajectory.
    pub rows: usize,
    /// Samples without a row.
    pub samples: usize,
    /// Points of trajectories without a row.
    pub points: usize,
}

impl RunFolder {
    /// Opens the run in the folder `path` to append what is missing. A line that was cut short is
    /// removed, and so is what belongs to a case without a row, or with a row but not all of its
    /// samples or trajectory: those cases were never finished. A run of which everything is whole is not changed.
    ///
    /// # Errors
    /// [`RecordError::Read`] where the files are not a run's; [`RecordError::Resume`] where another
    /// process writes it, it is a merge of several runs, it has another schema than this build's,
    /// or it holds a case twice; [`RecordError::Write`] where the file system refuses.
    pub fn resume(path: &Path) -> Result<Resumed, RecordError> {
        let provenance = read_provenance(path)?;
        let lock = lock(path)?;
        let mut repairs = Repairs::default();
        cut::<Record>(path, &mut repairs)?;
        cut::<Sample>(path, &mut repairs)?;
        cut::<TrajectoryPoint>(path, &mut repairs)?;
        let (mut rows, mut samples) = (read(path)?, read_samples(path)?);
        let mut points = read_trajectory(path)?;
        refuse_duplicates(path, &rows)?;

        let complete = complete_cases(&rows, &samples, &points);
        repairs.rows = retain(&mut rows, |row| complete.contains(&row.case_id));
        repairs.samples = retain(&mut samples, |sample| complete.contains(&sample.case_id));
        repairs.points = retain(&mut points, |point| complete.contains(&point.case_id));
        // The rows first: were this cut short too, the next time would find samples without a row.
        rewrite(path, &rows, repairs.rows)?;
        rewrite(path, &samples, repairs.samples)?;
        rewrite(path, &points, repairs.points)?;
        let folder = Self {
            measurements: Table::open(path)?,
            samples: Table::open(path)?,
            trajectory: Table::open(path)?,
            path: path.to_owned(),
            provenance,
            _lock: lock,
        };
        Ok(Resumed { folder, rows, repairs })
    }
}

/// Removes drafts and the end of a table behind its last line break; a table that has not even a
/// header is begun anew.
fn cut<R: Row>(folder: &Path, repairs: &mut Repairs) -> Result<(), RecordError> {
    let path = folder.join(R::FILE);
    let write = |source| RecordError::write(&path, source);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        Err(source) => return Err(super::ReadError::Io { path: path.clone(), source }.into()),
    };
    let header = header::<R>();
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    if whole == 0 && header.as_bytes().starts_with(&bytes) {
        return fs::write(&path, header).map_err(write);
    }
    // A file without any line break that begins otherwise is not ours: reading it says so.
    if whole == 0 {
        return Ok(());
    }
    // Before anything is cut: a file that is not ours stays as it is.
    if !bytes.starts_with(header.as_bytes()) {
        let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let columns = first.split(|&byte| byte == b',').count();
        let why = format!(
            "the header of {} has {columns} columns that are not those of this tradeoff's schema; \
             resume it with the tradeoff that began it",
            R::FILE
        );
        return Err(RecordError::Resume { path: folder.to_owned(), why });
    }
    if whole < bytes.len() {
        repairs.cut_lines += 1;
        let file = File::options().write(true).open(&path).map_err(write)?;
        file.set_len(whole as u64).map_err(write)?;
    }
    Ok(())
}

fn refuse_duplicates(path: &Path, rows: &[Record]) -> Result<(), RecordError> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some(first) = seen.insert(&row.case_id, index) {
            let why = format!(
                "{}, line {}: case `{}` was measured in line {} already; remove one of the two \
                 and its samples",
                Record::FILE,
                index + 2,
                row.case_id,
                first + 2
            );
            return Err(RecordError::Resume { path: path.to_owned(), why });
        }
    }
    Ok(())
}

/// The cases whose row has all its samples, so that its medians follow from them, and the way of a
/// timed SGD run to its last step. A row is written after these, so only a system that lost what it
/// had accepted (a power cut) leaves one without.
pub(super) fn complete_cases(
    rows: &[Record],
    samples: &[Sample],
    points: &[TrajectoryPoint],
) -> HashSet<String> {
    let mut by_stage: HashMap<(&str, Stage), Vec<(u64, f64)>> = HashMap::new();
    for sample in samples {
        let stage = by_stage.entry((&sample.case_id, sample.stage)).or_default();
        stage.push((sample.iterations, sample.elapsed_ns));
    }
    let gives = |id, stage, samples: Option<u64>, median_ns: Option<f64>| {
        let Some(median_ns) = median_ns else { return true };
        let Some(found) = by_stage.get(&(id, stage)) else { return false };
        let summary = Summary::of(found.iter().copied());
        samples.is_none_or(|samples| samples == found.len() as u64)
            && summary.is_ok_and(|summary| summary.median_ns.to_bits() == median_ns.to_bits())
    };
    let ends: HashSet<(&str, u64)> = points.iter().map(|p| (p.case_id.as_str(), p.step)).collect();
    let complete = rows.iter().filter(|&row| {
        let id = row.case_id.as_str();
        let main = if row.workload == "sgd" { Stage::Run } else { Stage::Product };
        let ended = row.steps.is_none_or(|steps| ends.contains(&(id, steps)));
        gives(id, main, row.samples, row.median_ns)
            && gives(id, Stage::Conversion, None, row.conversion_median_ns)
            && gives(id, Stage::Total, None, row.total_median_ns)
            && (ended || row.status != Status::Ok)
    });
    complete.map(|row| row.case_id.clone()).collect()
}

/// Keeps some, and tells how many were taken out.
fn retain<R>(rows: &mut Vec<R>, keep: impl FnMut(&R) -> bool) -> usize {
    let before = rows.len();
    rows.retain(keep);
    before - rows.len()
}

/// Writes a table anew if rows were taken out of it; the old file stays until the new one is whole.
/// The rows keep their own run ids and times.
fn rewrite<R: Row>(folder: &Path, rows: &[R], removed: usize) -> Result<(), RecordError> {
    let path = folder.join(R::FILE);
    let draft = draft_of(&path);
    if removed == 0 {
        // A draft that an interrupted repair left behind says nothing that the file does not.
        let _ = fs::remove_file(&draft);
        return Ok(());
    }
    let mut text = header::<R>().into_bytes();
    for row in rows {
        let line = encode(row).map_err(|why| RecordError::Encode { path: path.clone(), why })?;
        text.extend(line);
    }
    fs::write(&draft, text).map_err(|source| RecordError::write(&draft, source))?;
    fs::rename(&draft, &path).map_err(|source| RecordError::write(&path, source))
}

impl Provenance {
    /// What of the program, the steering environment and the devices is not as it was when `self`
    /// was recorded, each in a few words. Rows measured before and after such a change are not
    /// comparable, or at least nobody can tell.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = vec![];
        let mut compare = |what: &str, before: &str, after: &str| {
            if before != after {
                changes.push(format!("{what} was `{before}` and is `{after}`"));
            }
        };
        compare("the version of tradeoff", &self.crate_version, &now.crate_version);
        compare("the git revision", &self.git_revision, &now.git_revision);
        compare("git dirty", &word(self.git_dirty), &word(now.git_dirty));
        compare("the version of wgpu", &self.wgpu_version, &now.wgpu_version);
        compare("the compiler", &self.rustc, &now.rustc);
        compare("the target", &self.target, &now.target);
        compare("the build profile", &self.build_profile, &now.build_profile);
        let (before, after) = (steering(&self.environment), steering(&now.environment));
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let [before, after] = [&before, &after].map(|map| map.get(name).unwrap_or(&"unset"));
            compare(name, before, after);
        }
        changes.extend(device_changes(&self.devices, &now.devices));
        changes
    }
}

fn word(value: Option<bool>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

/// What steers a run besides `TRADEOFF_*`, whose place the plan takes.
fn steering(environment: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let all = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, _)| !name.starts_with("TRADEOFF_")).collect()
}

/// What tells a device and its driver apart from another; limits such as free memory may vary.
const IDENTITY: [&str; 6] = ["name", "backend", "driver", "driver_info", "vendor_id", "device_id"];

fn device_changes(before: &Value, now: &Value) -> Vec<String> {
    let list = |devices: &Value| devices.as_array().cloned().unwrap_or_default();
    let slug = |device: &Value| device["slug"].as_str().unwrap_or_default().to_owned();
    let now = list(now);
    let mut changes = vec![];
    for device in list(before) {
        let name = slug(&device);
        let Some(same) = now.iter().find(|other| slug(other) == name) else {
            changes.push(format!("device {name} is not here"));
            continue;
        };
        for key in IDENTITY.into_iter().filter(|key| device[key] != same[key]) {
            changes.push(format!("{key} of {name} was {} and is {}", device[key], same[key]));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provenance() -> Provenance {
        Provenance {
            crate_version: "0.1.0".into(),
            git_revision: "abc".into(),
            git_dirty: Some(false),
            environment: [("LP_NUM_THREADS".to_owned(), "2".to_owned())].into(),
            devices: json!([{"slug": "gpu-vulkan", "name": "GPU", "driver_info": "550.1"}]),
            ..Provenance::default()
        }
    }

    #[test]
    fn what_changed_is_named_with_both_values() {
        let before = provenance();
        assert!(before.changes(&before).is_empty());
        let mut now = provenance();
        now.environment = [("TRADEOFF_SEED".to_owned(), "2".to_owned())].into();
        now.git_revision = "abd".into();
        now.git_dirty = None;
        now.devices[0]["driver_info"] = json!("560.3");
        assert_eq!(
            before.changes(&now),
            [
                "the git revision was `abc` and is `abd`",
                "git dirty was `false` and is `unknown`",
                "LP_NUM_THREADS was `2` and is `unset`",
                "driver_info of gpu-vulkan was \"550.1\" and is \"560.3\"",
            ]
        );
        now = Provenance { devices: json!([]), ..provenance() };
        assert_eq!(before.changes(&now), ["device gpu-vulkan is not here"]);
    }

    /// A run of three cases: `a` with 2 samples of each stage, `b` of SGD with 3, and `c`, skipped,
    /// with none.
    fn run() -> (tempfile::TempDir, std::path::PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(root.path(), Provenance::collect()).unwrap();
        for (case, count) in [("a", 2), ("b", 3), ("c", 0)] {
            let row = Record {
                case_id: case.into(),
                workload: if case == "b" { "sgd" } else { "matmul" }.into(),
                samples: Some(count).filter(|&n| n > 0),
                median_ns: Some(10.0).filter(|_| count > 0),
                total_median_ns: Some(20.0).filter(|_| count > 0),
                steps: (case == "b").then_some(4),
                status: if count > 0 { Status::Ok } else { Status::Skipped },
                ..Record::default()
            };
            let main = if case == "b" { Stage::Run } else { Stage::Product };
            let sample = |stage, sample, elapsed_ns| Sample {
                case_id: case.into(),
                stage,
                sample,
                iterations: 1,
                elapsed_ns,
                ..Sample::default()
            };
            let mut samples: Vec<Sample> = (0..count).map(|i| sample(main, i, 10.0)).collect();
            // The lesser half alone would have another median.
            samples.extend(
                (0..count)
                    .map(|i| sample(Stage::Total, i, 40.0 * (i + 1) as f64 / (count + 1) as f64)),
            );
            let point = |&step| TrajectoryPoint {
                case_id: case.into(),
                step,
                ..TrajectoryPoint::default()
            };
            let steps: &[u64] = if case == "b" { &[1, 2, 4] } else { &[] };
            let points: Vec<TrajectoryPoint> = steps.iter().map(point).collect();
            run.append_case(&row, &samples, &points).unwrap();
        }
        let path = run.path().to_owned();
        (root, path)
    }

    fn state(path: &Path) -> (Vec<String>, usize, usize) {
        let rows = read(path).unwrap().into_iter().map(|row| row.case_id).collect();
        (rows, read_samples(path).unwrap().len(), read_trajectory(path).unwrap().len())
    }

    #[test]
    fn a_whole_run_is_left_as_it_is() {
        let (_root, path) = run();
        let before = fs::read(path.join(Record::FILE)).unwrap();
        let resumed = RunFolder::resume(&path).unwrap();
        assert_eq!(resumed.repairs, Repairs::default());
        assert_eq!(resumed.rows.len(), 3);
        assert_eq!(fs::read(path.join(Record::FILE)).unwrap(), before);
    }

    /// Cut at a byte, each table alone: what is left is whole, and grows to whole rows.
    #[test]
    fn tables_cut_anywhere_are_repaired() {
        let (_root, path) = run();
        for file in [Record::FILE, Sample::FILE, TrajectoryPoint::FILE] {
            let table = path.join(file);
            let whole: Vec<(std::path::PathBuf, Vec<u8>)> =
                [Record::FILE, Sample::FILE, TrajectoryPoint::FILE]
                    .map(|name| (path.join(name), fs::read(path.join(name)).unwrap()))
                    .into();
            let bytes = fs::read(&table).unwrap();
            // Every place of the last line, and some before it, the header included.
            let last = bytes[..bytes.len() - 1].iter().rposition(|&b| b == b'\n').unwrap();
            for end in (0..last).step_by(41).chain(last..bytes.len()) {
                for (path, bytes) in &whole {
                    fs::write(path, bytes).unwrap();
                }
                fs::write(&table, &bytes[..end]).unwrap();
                let mut resumed = RunFolder::resume(&path).unwrap();
                let rows: Vec<&str> = resumed.rows.iter().map(|r| r.case_id.as_str()).collect();
                let (kept, samples, points) = state(&path);
                assert_eq!(kept, rows, "{file} cut at {end}");
                let expected: usize =
                    rows.iter().map(|id| [4, 6, 0][(id.as_bytes()[0] - b'a') as usize]).sum();
                assert_eq!(samples, expected, "{file} cut at {end}");
                assert_eq!(points, if rows.contains(&"b") { 3 } else { 0 }, "{file} cut at {end}");
                resumed.folder.append(&Record::default()).unwrap();
                assert_eq!(state(&path).0.len(), kept.len() + 1);
            }
            for (path, bytes) in &whole {
                fs::write(path, bytes).unwrap();
            }
        }
    }

    #[test]
    fn a_run_is_resumed_by_one_process_at_a_time() {
        let (_root, path) = run();
        let first = RunFolder::resume(&path).unwrap();
        if cfg!(target_os = "linux") {
            let message = RunFolder::resume(&path).unwrap_err().to_string();
            assert!(message.contains("another process is writing it"), "{message}");
        }
        drop(first);
        assert!(RunFolder::resume(&path).is_ok());
    }

    #[test]
    fn a_case_twice_and_a_foreign_header_are_refused() {
        let (_root, path) = run();
        let table = path.join(Record::FILE);
        let text = fs::read_to_string(&table).unwrap();
        let line = text.lines().nth(1).unwrap();
        fs::write(&table, format!("{text}{line}\n")).unwrap();
        let message = RunFolder::resume(&path).unwrap_err().to_string();
        assert!(message.contains("line 5: case `a` was measured in line 2 already"), "{message}");
        // Nothing is cut off a table that is not ours.
        let foreign = text.replacen("schema_version,", "", 1) + "half a line";
        fs::write(&table, &foreign).unwrap();
        let message = RunFolder::resume(&path).unwrap_err().to_string();
        assert!(message.contains("the header of measurements.csv has"), "{message}");
        assert_eq!(message.lines().count(), 1);
        assert_eq!(fs::read_to_string(&table).unwrap(), foreign);
    }
}
