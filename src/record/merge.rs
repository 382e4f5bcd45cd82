//! Joins the parts of a run that was split over machines.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::provenance::utc_now;
use super::resume::complete_cases;
use super::row::Row;
use super::{
    Provenance, ReadError, Record, RecordError, RunFolder, RunPlan, Sample, TrajectoryPoint, read,
    read_provenance, read_samples, read_trajectory,
};
use crate::fingerprint::summation::common_fingerprints;

/// Parts that cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A part cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The whole cannot be written.
    #[error(transparent)]
    Write(#[from] RecordError),
    /// No part was named.
    #[error("no part to merge; name the folders of the shards")]
    NoPart,
    /// The new folder exists.
    #[error("`{}` exists already; name a folder that does not", .0.display())]
    Exists(PathBuf),
    /// A part is no run of `tradeoff run`, so nothing says which cases it should hold.
    #[error(
        "`{}`: no plan in it, so it is no run of `tradeoff run`; only such runs can be merged",
        .0.join(Provenance::FILE).display()
    )]
    NoPlan(PathBuf),
    /// Two parts did not set out to measure the same.
    #[error(
        "`{}` and `{}` are no parts of one plan: {difference}; run all shards with the same selection",
        first.join(Provenance::FILE).display(), second.join(Provenance::FILE).display()
    )]
    OtherPlan {
        /// Folder of the first part.
        first: PathBuf,
        /// Folder of the part that departs from it.
        second: PathBuf,
        /// In what.
        difference: String,
    },
    /// Two rows have different schemas.
    #[error(
        "`{}`, line {line}: schema {found}, but the first row of `{}` has schema {expected}; measure all parts with one tradeoff",
        path.display(), first.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// Its schema.
        found: u32,
        /// The file that it is compared with.
        first: PathBuf,
        /// The schema there.
        expected: u32,
    },
    /// A case was measured twice.
    #[error(
        "`{}`, line {line}: case `{case}` is in `{}`, line {first_line}, too; leave one of the two parts out",
        path.display(), first.display()
    )]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// The case.
        case: String,
        /// The file that has the case too.
        first: PathBuf,
        /// Line of it.
        first_line: usize,
    },
    /// A row is of no case of the plan.
    #[error(
        "`{}`, line {line}: case `{case}` is not in the plan of the run; remove the line and its samples",
        path.display()
    )]
    Unplanned {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// The case.
        case: String,
    },
    /// A sample or a point of a trajectory whose case has no row, or a row whose medians do not
    /// follow from its samples.
    #[error(
        "`{}`, line {line}: the row and the samples of case `{case}` do not fit, so it was cut short; finish the part with `tradeoff run --resume {}`",
        path.display(), part.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// The case.
        case: String,
        /// Folder of the part.
        part: PathBuf,
    },
    /// Cases of the plan are in no part.
    #[error(
        "{missing} of the {planned} cases of the plan are in no part, such as `{first}`; add the missing shards, finish them with `tradeoff run --resume`, or merge what there is with --partial"
    )]
    Incomplete {
        /// How many.
        missing: usize,
        /// Cases of the plan.
        planned: usize,
        /// The first of them.
        first: String,
    },
}

/// A merged run.
#[derive(Clone, Debug)]
pub struct Merged {
    /// Its rows, in the order of the plan.
    pub rows: Vec<Record>,
    /// Cases of the plan.
    pub planned: usize,
    /// In what the parts differ that makes their rows less comparable, each in one line.
    pub warnings: Vec<String>,
}

/// Joins the runs in the folders `parts`, all of one plan, into a new folder `to`. Rows come in the
/// order of the plan; each keeps the id of the run that measured it, and `run.json` the provenance
/// of every part. Cases that no part measured are an error unless `partial`.
///
/// # Errors
/// [`MergeError`] names the file and line, or the case, that is in the way; `to` does not exist
/// then.
pub fn merge(parts: &[PathBuf], to: &Path, partial: bool) -> Result<Merged, MergeError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(MergeError::Exists(to.to_owned()));
    }
    let parts = parts.iter().map(|path| Part::read(path)).collect::<Result<Vec<_>, _>>()?;
    let plan = common_plan(&parts)?;
    check_schemas(&parts)?;
    let places = place_rows(&parts, &plan)?;
    parts.iter().try_for_each(Part::check_finished)?;
    if let Some(first) = places.iter().position(Option::is_none).filter(|_| !partial) {
        let missing = places.iter().filter(|place| place.is_none()).count();
        let (planned, first) = (plan.cases.len(), plan.cases[first].clone());
        return Err(MergeError::Incomplete { missing, planned, first });
    }
    let rows: Vec<Record> =
        places.iter().flatten().map(|&(part, line)| parts[part].rows[line].clone()).collect();
    let planned = plan.cases.len();
    let warnings = warnings(&parts);
    let provenance = common_provenance(&parts, plan, to);
    write(&parts, &rows, provenance, to)?;
    Ok(Merged { rows, planned, warnings })
}

/// One part, read whole.
struct Part {
    path: PathBuf,
    provenance: Provenance,
    rows: Vec<Record>,
    samples: Vec<Sample>,
    points: Vec<TrajectoryPoint>,
}

impl Part {
    fn read(path: &Path) -> Result<Self, MergeError> {
        let (path, provenance) = (path.to_owned(), read_provenance(&path.join(Provenance::FILE))?);
        if provenance.plan.is_none() {
            return Err(MergeError::NoPlan(path));
        }
        let (rows, samples) = (read(&path)?, read_samples(&path)?);
        let points = read_trajectory(&path)?;
        Ok(Self { path, provenance, rows, samples, points })
    }

    fn file<R: Row>(&self) -> PathBuf {
        self.path.join(R::FILE)
    }

    /// Refuses a row without its samples, and samples and points without a row.
    fn check_finished(&self) -> Result<(), MergeError> {
        let complete = complete_cases(&self.rows, &self.samples, &self.points);
        let rows = self.rows.iter().map(|row| &row.case_id).collect();
        let samples = self.samples.iter().map(|sample| &sample.case_id).collect();
        let points = self.points.iter().map(|point| &point.case_id).collect();
        let tables: [(PathBuf, Vec<&String>); 3] = [
            (self.file::<Record>(), rows),
            (self.file::<Sample>(), samples),
            (self.file::<TrajectoryPoint>(), points),
        ];
        for (path, cases) in tables {
            if let Some(index) = cases.iter().position(|&id| !complete.contains(id)) {
                let (line, case, part) = (index + 2, cases[index].clone(), self.path.clone());
                return Err(MergeError::Unfinished { path, line, case, part });
            }
        }
        Ok(())
    }
}

/// The plan that all parts share, without a shard.
fn common_plan(parts: &[Part]) -> Result<RunPlan, MergeError> {
    let (first, others) = parts.split_first().ok_or(MergeError::NoPart)?;
    let plan = |part: &Part| part.provenance.plan.clone().unwrap_or_default();
    // A merge has no shard, and so nothing that a part's number of shards could be compared with.
    let reference = parts.iter().find(|part| plan(part).shard.is_some()).unwrap_or(first);
    for part in std::iter::once(first).chain(others) {
        if let Some(difference) = plan(reference).difference(&plan(part)) {
            let (first, second) = (reference.path.clone(), part.path.clone());
            return Err(MergeError::OtherPlan { first, second, difference });
        }
    }
    Ok(RunPlan { shard: None, ..plan(first) })
}

fn check_schemas(parts: &[Part]) -> Result<(), MergeError> {
    let mut reference: Option<(PathBuf, u32)> = None;
    for part in parts {
        for (index, row) in part.rows.iter().enumerate() {
            let path = part.file::<Record>();
            let (first, expected) =
                reference.get_or_insert_with(|| (path.clone(), row.schema_version));
            if row.schema_version != *expected {
                let (first, expected) = (first.clone(), *expected);
                let (line, found) = (index + 2, row.schema_version);
                return Err(MergeError::Schema { path, line, found, first, expected });
            }
        }
    }
    Ok(())
}

/// For each case of the plan the part and the index of its row, if there is one.
fn place_rows(parts: &[Part], plan: &RunPlan) -> Result<Vec<Option<(usize, usize)>>, MergeError> {
    let positions: HashMap<&str, usize> =
        plan.cases.iter().enumerate().map(|(position, id)| (id.as_str(), position)).collect();
    let mut places: Vec<Option<(usize, usize)>> = vec![None; plan.cases.len()];
    for (number, part) in parts.iter().enumerate() {
        for (index, row) in part.rows.iter().enumerate() {
            let (path, line, case) = (part.file::<Record>(), index + 2, row.case_id.clone());
            let Some(&position) = positions.get(row.case_id.as_str()) else {
                return Err(MergeError::Unplanned { path, line, case });
            };
            if let Some((other, first)) = places[position].replace((number, index)) {
                let (first, first_line) = (parts[other].file::<Record>(), first + 2);
                return Err(MergeError::Duplicate { path, line, case, first, first_line });
            }
        }
    }
    Ok(places)
}

/// What differs between the parts' programs, steering and drivers.
fn warnings(parts: &[Part]) -> Vec<String> {
    let Some((first, others)) = parts.split_first() else { return vec![] };
    let mut warnings = vec![];
    for part in others {
        let (a, b) = (first.path.display(), part.path.display());
        let changes = first.provenance.changes(&part.provenance).into_iter();
        warnings.extend(changes.map(|change| format!("from `{a}` to `{b}`: {change}")));
        let (cpu, other) = (&first.provenance.cpu, &part.provenance.cpu);
        if cpu != other {
            warnings.push(format!("from `{a}` to `{b}`: the CPU was `{cpu}` and is `{other}`"));
        }
    }
    warnings
}

/// What stands for a text that is not the same in all parts.
const DIFFERS: &str = "differs, see `parts`";

/// The keys that are the same in all parts, and the parts themselves.
fn common_provenance(parts: &[Part], plan: RunPlan, to: &Path) -> Provenance {
    let values: Vec<Value> =
        parts.iter().filter_map(|part| serde_json::to_value(&part.provenance).ok()).collect();
    let mut common = values.first().cloned().unwrap_or_default();
    if let Some(keys) = common.as_object_mut() {
        for (key, value) in keys.iter_mut() {
            if values.iter().any(|other| other.get(key) != Some(value)) {
                *value = if value.is_string() { DIFFERS.into() } else { Value::Null };
            }
        }
        // A key that is null for lack of agreement takes its default: it is absent.
        keys.retain(|_, value| !value.is_null());
        for own in ["resumed", "parts", "shard", "plan", "arguments", "interleaved"] {
            keys.remove(own);
        }
    }
    let common: Provenance = serde_json::from_value(common).unwrap_or_default();
    // Parts of one plan measure other kernels, so their lists of orders are not alike.
    let fingerprints = common_fingerprints(parts.iter().map(|part| &part.provenance.fingerprints));
    let common = Provenance { fingerprints: fingerprints.unwrap_or_default(), ..common };
    let flat = parts.iter().flat_map(|part| match &part.provenance.parts[..] {
        [] => std::slice::from_ref(&part.provenance),
        merged => merged,
    });
    Provenance {
        run_id: to.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        utc: utc_now(),
        host: None,
        arguments: Provenance::collect().arguments,
        plan: Some(plan),
        parts: flat.cloned().collect(),
        ..common
    }
}

/// Writes the folder beside its place and moves it there once it is whole.
fn write(
    parts: &[Part],
    rows: &[Record],
    provenance: Provenance,
    to: &Path,
) -> Result<(), MergeError> {
    let parent = match to.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|source| RecordError::write(parent, source))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let draft = parent.join(format!(".{name}.merging-{}", std::process::id()));
    fs::create_dir(&draft).map_err(|source| RecordError::write(&draft, source))?;
    let written = fill(parts, rows, provenance, &draft)
        .and_then(|()| fs::rename(&draft, to).map_err(|source| RecordError::write(to, source)));
    if written.is_err() {
        // Half a merge must not be taken for one; the error says what went wrong.
        let _ = fs::remove_dir_all(&draft);
    }
    Ok(written?)
}

fn fill(
    parts: &[Part],
    rows: &[Record],
    provenance: Provenance,
    draft: &Path,
) -> Result<(), RecordError> {
    let mut folder = RunFolder::fill(draft.to_owned(), provenance)?;
    let samples = by_case(parts.iter().flat_map(|part| &part.samples), |s| &s.case_id);
    let points = by_case(parts.iter().flat_map(|part| &part.points), |p| &p.case_id);
    for row in rows {
        let id = row.case_id.as_str();
        folder.append_samples(samples.get(id).map_or(&[], Vec::as_slice))?;
        folder.append_trajectory(points.get(id).map_or(&[], Vec::as_slice))?;
        folder.append_part(row)?;
    }
    Ok(())
}

/// Rows of a table by their case, in their order.
fn by_case<'a, R: Row + 'a>(
    rows: impl Iterator<Item = &'a R>,
    case: impl Fn(&'a R) -> &'a String,
) -> HashMap<&'a str, Vec<R>> {
    let mut map: HashMap<&str, Vec<R>> = HashMap::new();
    for row in rows {
        map.entry(case(row)).or_default().push(row.clone());
    }
    map
}
