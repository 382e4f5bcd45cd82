//! Loads several runs for a verb that reads results, each row with the place that it is from.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::{
    ReadError, Record, Row, Sample, Status, TrajectoryPoint, read, read_samples, read_trajectory,
};

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Line of the file, from 1.
    pub line: u64,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, line {}", self.file.display(), self.line)
    }
}

/// A file of measurements.
#[derive(Clone, Debug)]
pub struct LoadedRun {
    /// Position, among the paths given, of the one that led to it.
    pub given: usize,
    /// The file.
    pub file: PathBuf,
    /// Its rows, at least one.
    pub records: Vec<Record>,
    /// The line of each row.
    lines: Vec<u64>,
}

impl LoadedRun {
    /// Where row `index` stands.
    pub fn source(&self, index: usize) -> Source {
        // Each row is a line, behind the header, unless someone has edited the file.
        let line = self.lines.get(index).copied().unwrap_or(index as u64 + 2);
        Source { file: self.file.clone(), line }
    }

    /// The timing samples beside the file; `None` where it stands alone.
    ///
    /// # Errors
    /// [`ReadError`] if there is a `samples.csv` that is not whole.
    pub fn samples(&self) -> Result<Option<Vec<Sample>>, ReadError> {
        let file = self.file.with_file_name(Sample::FILE);
        if file.is_file() { read_samples(&file).map(Some) } else { Ok(None) }
    }
}

/// Results that cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A folder without runs.
    #[error(
        "no {} in `{}` nor in a folder in it; name the folder of a run, one of such folders, or a file",
        Record::FILE, .0.display()
    )]
    NoRun(PathBuf),
    /// A header and nothing else.
    #[error(
        "`{}`, line 1: no row follows the header, so the run measured nothing; leave it out, or run it again",
        .0.display()
    )]
    Empty(PathBuf),
    /// Two paths lead to one file.
    #[error("`{}` is given twice; name it once", .0.display())]
    Twice(PathBuf),
    /// A case twice in a run.
    #[error(
        "{second}, column `case_id`: run `{run_id}` has `{case_id}` at {first} already; delete one of the rows, or name only one copy of the run"
    )]
    Duplicate {
        /// The run.
        run_id: String,
        /// The case.
        case_id: String,
        /// The row that came first.
        first: Box<Source>,
        /// The row that repeats it.
        second: Box<Source>,
    },
    /// A measurement under two runs' names.
    #[error(
        "{second}, column `run_id`: the same measurement as {first}, under another name, as a published copy has; name only one of the two"
    )]
    Copy {
        /// The row that came first.
        first: Box<Source>,
        /// The row that repeats it.
        second: Box<Source>,
    },
    /// Rows of two schemas.
    #[error(
        "{second}, column `schema_version`: schema {version}, but {first} has {first_version}; read the files of one schema at a time"
    )]
    MixedSchemas {
        /// The first row.
        first: Box<Source>,
        /// Its schema.
        first_version: u32,
        /// The row that differs.
        second: Box<Source>,
        /// Its schema.
        version: u32,
    },
    /// A measured row lacks a number that a verb computes with.
    #[error(
        "{at}, column `{column}`: {found}, but a row of status ok has a number above 0 here; restore the row from the run that wrote it, or delete it"
    )]
    Unusable {
        /// The row.
        at: Box<Source>,
        /// The column.
        column: &'static str,
        /// What stands there, in words.
        found: String,
    },
    /// A number that no measurement can give.
    #[error(
        "{at}, column `{column}`: `{found}`, but {rule}; restore the row from the run that wrote it, or delete it"
    )]
    Impossible {
        /// The row.
        at: Box<Source>,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: f64,
        /// What would have to hold.
        rule: String,
    },
}

impl LoadError {
    /// A measured row whose `column` is empty or holds no number above 0.
    pub fn unusable(at: Source, column: &'static str, value: Option<f64>) -> Self {
        let found = value.map_or_else(|| "empty".to_owned(), |value| format!("`{value}`"));
        Self::Unusable { at: Box::new(at), column, found }
    }
}

/// Loads the measurements that `paths` lead to: files, folders of a run, and folders of such
/// folders (`published/` within one is not entered). The order is that of the paths, and by name
/// within a folder.
///
/// # Errors
/// [`LoadError`] if a file is not whole, a folder has no run, a row of status ok has a number that
/// no measurement gives, or the rows cannot be used together: one row twice, or two schemas.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<LoadedRun>, LoadError> {
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    for (given, path) in paths.iter().enumerate() {
        for file in files(path.as_ref())? {
            let identity = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            if !seen.insert(identity) {
                return Err(LoadError::Twice(file));
            }
            let records = read(&file)?;
            if records.is_empty() {
                return Err(LoadError::Empty(file));
            }
            let lines = lines(&file)?;
            runs.push(LoadedRun { given, file, records, lines });
        }
    }
    check(&runs)?;
    runs.iter().try_for_each(check_numbers)?;
    Ok(runs)
}

/// The tables of measurements that a path leads to.
fn files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let own = path.join(Record::FILE);
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if own.is_file() {
        return Ok(vec![own]);
    }
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path().join(Record::FILE);
        if file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() { Err(LoadError::NoRun(path.to_owned())) } else { Ok(found) }
}

/// The line of each row of a table that [`read`] took.
fn lines(file: &Path) -> Result<Vec<u64>, ReadError> {
    let io = |source| ReadError::Io { path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(io)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&bytes[..]);
    let positions = reader.byte_records().map_while(Result::ok);
    Ok(positions.filter_map(|row| row.position().map(csv::Position::line)).collect())
}

/// Refuses rows that stand there twice, and rows of different schemas.
fn check(runs: &[LoadedRun]) -> Result<(), LoadError> {
    let mut cases: HashMap<_, Source> = HashMap::new();
    let mut measurements: HashMap<_, Source> = HashMap::new();
    let mut schema: Option<(u32, Source)> = None;
    for run in runs {
        for (index, record) in run.records.iter().enumerate() {
            let at = run.source(index);
            let (first_version, first) =
                schema.get_or_insert_with(|| (record.schema_version, at.clone()));
            if *first_version != record.schema_version {
                return Err(LoadError::MixedSchemas {
                    first: Box::new(first.clone()),
                    first_version: *first_version,
                    second: Box::new(at),
                    version: record.schema_version,
                });
            }
            if let Some(first) = cases.insert(case(record), at.clone()) {
                return Err(LoadError::Duplicate {
                    run_id: record.run_id.clone(),
                    case_id: record.case_id.clone(),
                    first: Box::new(first),
                    second: Box::new(at),
                });
            }
            let Some(measurement) = measurement(record) else { continue };
            if let Some(first) = measurements.insert(measurement, at.clone()) {
                return Err(LoadError::Copy { first: Box::new(first), second: Box::new(at) });
            }
        }
    }
    Ok(())
}

/// Refuses rows of status ok that contradict themselves: such a file was edited.
fn check_numbers(run: &LoadedRun) -> Result<(), LoadError> {
    for (index, record) in run.records.iter().enumerate() {
        if record.status == Status::Ok
            && let Some((column, found, rule)) = contradiction(record)
        {
            return Err(LoadError::Impossible {
                at: Box::new(run.source(index)),
                column,
                found,
                rule,
            });
        }
    }
    check_trajectory(run)
}

/// Errors that are norms, distances or magnitudes.
const NOT_NEGATIVE: [&str; 7] = [
    "relative_frobenius",
    "max_componentwise",
    "max_ulp",
    "median_ulp",
    "measured_over_bound",
    "distance_to_f64_trajectory",
    "distance_to_optimum",
];

/// The first column of a measured row that cannot be so, what it holds, and what would have to hold.
/// Numbers that are missing or NaN are left to the verbs that need them.
fn contradiction(record: &Record) -> Option<(&'static str, f64, String)> {
    // Positive: what is not is no time at all, and the verbs say so.
    let time = |value: Option<f64>| value.filter(|ns| *ns > 0.0);
    let [low, median, high] =
        [record.median_ci95_low_ns, record.median_ns, record.median_ci95_high_ns].map(time);
    if let (Some(low), Some(median)) = (low, median)
        && low > median
    {
        return Some(("median_ci95_low_ns", low, format!("`median_ns` is below it: `{median}`")));
    }
    if let (Some(high), Some(median)) = (high, median)
        && high < median
    {
        return Some(("median_ci95_high_ns", high, format!("`median_ns` is above it: `{median}`")));
    }
    let metric = record.primary_error_metric.as_str();
    if let Some(error) = record.primary_error.filter(|error| *error < 0.0)
        && NOT_NEGATIVE.contains(&metric)
    {
        return Some(("primary_error", error, format!("{metric} is never below 0")));
    }
    let over = record.measured_over_bound.filter(|over| *over > 1.0)?;
    Some(("measured_over_bound", over, "a row of status ok has at most 1 here".to_owned()))
}

/// Refuses a measured run of SGD that was at no number at any point of its way. A trajectory that
/// cannot be read is left to the verb that draws it.
fn check_trajectory(run: &LoadedRun) -> Result<(), LoadError> {
    let file = run.file.with_file_name(TrajectoryPoint::FILE);
    let ok = |record: &&Record| record.workload == "sgd" && record.status == Status::Ok;
    let ok: HashSet<&str> = run.records.iter().filter(ok).map(|row| &*row.case_id).collect();
    if ok.is_empty() || !file.is_file() {
        return Ok(());
    }
    let Ok(points) = read_trajectory(&file) else { return Ok(()) };
    let lines = lines(&file)?;
    let mut ways: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, point) in points.iter().enumerate() {
        ways.entry(&point.case_id).or_default().push(index);
    }
    type Column = (&'static str, fn(&TrajectoryPoint) -> Option<f64>);
    let columns: [Column; 2] = [("loss", |p| p.loss), ("loss_gap", |p| p.loss_gap)];
    let mut bad: Vec<(usize, &str, &'static str)> = vec![];
    for (case_id, way) in ways.iter().filter(|(case_id, _)| ok.contains(*case_id)) {
        for (column, of) in columns {
            if way.iter().all(|&point| of(&points[point]).is_some_and(f64::is_nan)) {
                bad.push((way[0], case_id, column));
            }
        }
    }
    bad.sort();
    let Some((point, case_id, column)) = bad.into_iter().next() else { return Ok(()) };
    Err(LoadError::Impossible {
        at: Box::new(Source { line: lines.get(point).copied().unwrap_or_default(), file }),
        column,
        found: f64::NAN,
        rule: format!("`{case_id}` has status ok and no number here at any step"),
    })
}

/// What there is one row of in a run.
fn case(record: &Record) -> impl Eq + std::hash::Hash + use<> {
    let texts = [
        &record.run_id,
        &record.case_id,
        &record.problem,
        &record.distribution,
        &record.distribution_parameters,
        &record.loss_function,
        &record.algorithm,
    ];
    let numbers = [record.seed, record.trial.map(u64::from), record.steps];
    (texts.map(String::clone), numbers, record.learning_rate.map(f64::to_bits))
}

/// What no two measurements have in common, whatever their run is called: a case does not end twice
/// in one second with the same times to the last bit.
fn measurement(record: &Record) -> Option<impl Eq + std::hash::Hash + use<>> {
    if record.status != Status::Ok || record.median_ns.is_none() {
        return None;
    }
    let times = [record.median_ns, record.min_ns, record.mad_ns, record.median_ci95_high_ns];
    let draw = (record.seed, record.trial);
    Some((record.utc.clone(), record.case_id.clone(), draw, times.map(|x| x.map(f64::to_bits))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_schemas_are_not_mixed() {
        let run = |file: &str, schema_version| LoadedRun {
            given: 0,
            file: file.into(),
            records: vec![Record { schema_version, run_id: file.into(), ..Record::default() }],
            lines: vec![2],
        };
        assert!(check(&[run("a.csv", 1), run("b.csv", 1)]).is_ok());
        let message = check(&[run("a.csv", 1), run("b.csv", 2)]).unwrap_err().to_string();
        assert_eq!(
            message,
            "`b.csv`, line 2, column `schema_version`: schema 2, but `a.csv`, line 2 has 1; \
             read the files of one schema at a time"
        );
    }
}
