//! What a report is made of: the rows of all runs, each with its source, and what belongs to them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::ReportError;
use crate::frontier::{self, Exclusion, Frontier, LeftOut, Survey};
use crate::record::{
    LoadError, LoadedRun, Provenance, Record, Row, Status, TrajectoryPoint, load, read_provenance,
    read_trajectory,
};

/// One run: a file of measurements and what lies beside it.
#[derive(Debug)]
pub struct Run {
    /// Name under which the report cites it: its run id, or the file's name where the rows of the
    /// file have several or none.
    pub name: String,
    /// `run.json`; `None` for a file that stands alone.
    pub provenance: Option<Provenance>,
}

/// Where a row stands, without the folders that lead there: a report is handed on, and they tell
/// whose machine it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// Position in [`Data::runs`].
    pub run: usize,
    /// `<run>/<file>`.
    pub file: String,
    /// Line of the file, from 1.
    pub line: u64,
}

/// The rows of all runs.
#[derive(Debug)]
pub struct Data {
    /// The runs, in the order in which they were named.
    pub runs: Vec<Run>,
    /// All rows.
    pub records: Vec<Record>,
    /// The source of each row.
    pub citations: Vec<Citation>,
    /// The way of each SGD row, by step; empty for other rows.
    pub trajectories: Vec<Vec<TrajectoryPoint>>,
    /// The frontiers, in each row's primary error.
    pub frontiers: Vec<Frontier>,
    /// Rows on no frontier, and why.
    pub left_out: Vec<LeftOut>,
}

impl Data {
    /// Loads the runs that `paths` lead to: files, folders of a run, or folders of such folders.
    ///
    /// # Errors
    /// [`ReportError::Load`] and [`ReportError::Read`] if a table is not whole or a measured row
    /// lacks a number,
    /// [`ReportError::NothingMeasured`] if no row could be drawn.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, ReportError> {
        let mut data = Self {
            runs: vec![],
            records: vec![],
            citations: vec![],
            trajectories: vec![],
            frontiers: vec![],
            left_out: vec![],
        };
        let mut sources = vec![];
        for run in load(paths)? {
            sources.extend((0..run.records.len()).map(|index| run.source(index)));
            data.add(run)?;
        }
        let Survey { frontiers, left_out } =
            frontier::survey(&data.records, frontier::Options::default());
        for LeftOut { row, why } in &left_out {
            if let Exclusion::Unusable { column, value } = *why {
                return Err(LoadError::unusable(sources[*row].clone(), column, value).into());
            }
        }
        if frontiers.is_empty() {
            return Err(nothing(&data, &left_out));
        }
        Ok(Self { frontiers, left_out, ..data })
    }

    fn add(&mut self, run: LoadedRun) -> Result<(), ReportError> {
        let folder = run.file.parent().unwrap_or(Path::new("")).to_owned();
        let mut ways = trajectories(&folder)?;
        let provenance = folder.join(Provenance::FILE).is_file().then(|| read_provenance(&folder));
        let name = self.unused(run_name(&run));
        let file = run.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = if file == name { file } else { format!("{name}/{file}") };
        for (index, record) in run.records.iter().enumerate() {
            let line = run.source(index).line;
            self.citations.push(Citation { run: self.runs.len(), file: file.clone(), line });
            self.trajectories.push(ways.remove(&record.case_id).unwrap_or_default());
        }
        self.records.extend(run.records);
        self.runs.push(Run { name, provenance: provenance.transpose()? });
        Ok(())
    }

    /// `name`, with a number behind it where another run has it already.
    fn unused(&self, name: String) -> String {
        let taken = |name: &str| self.runs.iter().any(|run| run.name == name);
        let numbered = (2..).map(|count| format!("{name}-{count}"));
        std::iter::once(name.clone()).chain(numbered).find(|n| !taken(n)).unwrap_or(name)
    }
}

fn run_name(run: &LoadedRun) -> String {
    let id = &run.records[0].run_id; // a loaded run has at least one row
    if !id.is_empty() && run.records.iter().all(|record| &record.run_id == id) {
        return id.clone();
    }
    run.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The ways of a run's SGD cases, if it had any, each by step.
fn trajectories(folder: &Path) -> Result<HashMap<String, Vec<TrajectoryPoint>>, ReportError> {
    let mut ways: HashMap<String, Vec<TrajectoryPoint>> = HashMap::new();
    let file: PathBuf = folder.join(TrajectoryPoint::FILE);
    if file.is_file() {
        for point in read_trajectory(&file)? {
            ways.entry(point.case_id.clone()).or_default().push(point);
        }
    }
    for way in ways.values_mut() {
        way.sort_by_key(|point| point.step);
    }
    Ok(ways)
}

/// Why no row can be drawn, by the first of them.
fn nothing(data: &Data, left_out: &[LeftOut]) -> ReportError {
    let ok = data.records.iter().filter(|record| record.status == Status::Ok).count();
    let first = left_out.first();
    ReportError::NothingMeasured {
        rows: data.records.len(),
        ok,
        file: first.map_or(String::new(), |l| data.citations[l.row].file.clone()),
        line: first.map_or(0, |l| data.citations[l.row].line),
        why: first.map_or(String::new(), |l| l.why.to_string()),
    }
}
