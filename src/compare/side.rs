//! One side of a comparison: measured rows with their sources and samples.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::{By, CaseName, CompareError};
use crate::frontier::Interval;
use crate::measure::statistics::Summary;
use crate::record::{
    LoadError, LoadedRun, Provenance, Record, Sample, Source, Stage, Status, read_provenance,
};

/// A row that was measured to the end.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The row.
    pub record: Record,
    /// Where it stands.
    pub source: Source,
    /// Its median time of one iteration. Unit: ns.
    pub median_ns: f64,
    /// 95 % confidence interval of the median. Unit: ns.
    pub median_ci: Interval,
    /// Samples that the row says are behind it.
    pub sample_count: Option<u64>,
    /// Time of one iteration by sample; empty without samples. Unit: ns.
    pub times_ns: Vec<f64>,
    /// Of each of these, the process that drew it and its number within that process.
    pub rounds: Vec<[u64; 2]>,
}

impl Measurement {
    /// The times by the process that drew them. Unit: ns.
    pub fn processes_ns(&self) -> Vec<Vec<f64>> {
        let mut by_process = BTreeMap::<u64, Vec<f64>>::new();
        for (round, time) in self.rounds.iter().zip(&self.times_ns) {
            by_process.entry(round[0]).or_default().push(*time);
        }
        by_process.into_values().collect()
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// What it is called.
    pub label: String,
    /// What was measured.
    pub rows: Vec<Measurement>,
    /// Rows left out, by status.
    pub left_out: Vec<(Status, Source)>,
    /// Older measurements of a case that was measured again: only the latest counts.
    pub superseded: Vec<Source>,
    /// Rows whose samples do not give the row's median: their samples are not used.
    pub stale: Vec<Source>,
    /// Fingerprints of the devices as `run.json` has them, by the file of measurements beside it and
    /// the device.
    pub fingerprints: HashMap<(PathBuf, String), Value>,
}

/// The two sides named `a` and `b` of `runs`: by run, what the first and the second path led to; by
/// device, backend or implementation, the rows of these names.
///
/// # Errors
/// [`CompareError`] if a name is in no row or twice the same, a measured row lacks its median or
/// the ends of its interval, or samples are not whole.
pub fn sides(runs: &[LoadedRun], by: By, [a, b]: [&str; 2]) -> Result<(Side, Side), CompareError> {
    if by != By::Run {
        check_names(runs, by, [a, b])?;
    }
    let side = |label: &str, given: usize| {
        Side::new(label, by, runs, |run, record| match by {
            By::Run => run.given == given,
            By::Device | By::Backend | By::Implementation => by.is(label, record),
        })
    };
    Ok((side(a, 0)?, side(b, 1)?))
}

fn check_names(runs: &[LoadedRun], by: By, names: [&str; 2]) -> Result<(), CompareError> {
    let records = || runs.iter().flat_map(|run| &run.records);
    if names[0] == names[1] {
        return Err(CompareError::Same { by: by.name(), name: names[0].to_owned() });
    }
    for name in names {
        let rows = || records().filter(|record| by.is(name, record));
        if rows().next().is_none() {
            let there = distinct(records().map(|record| by.of(record)));
            return Err(CompareError::Unknown { by: by.name(), name: name.to_owned(), there });
        }
        let devices = distinct(rows().map(|record| record.device.as_str()));
        if by == By::Backend && devices.len() > 1 {
            return Err(CompareError::SeveralDevices { name: name.to_owned(), devices });
        }
    }
    Ok(())
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

impl Side {
    pub(super) fn new(
        label: &str,
        by: By,
        runs: &[LoadedRun],
        keep: impl Fn(&LoadedRun, &Record) -> bool,
    ) -> Result<Self, LoadError> {
        let mut side = Self { label: label.to_owned(), ..Self::default() };
        for run in runs {
            let kept = |&index: &usize| keep(run, &run.records[index]);
            let rows: Vec<usize> = (0..run.records.len()).filter(kept).collect();
            if rows.is_empty() {
                continue;
            }
            let samples = Samples::of(run)?;
            for row in rows {
                side.add(run, row, &samples)?;
            }
            side.add_fingerprints(run)?;
        }
        side.keep_latest(by);
        Ok(side)
    }

    fn add(&mut self, run: &LoadedRun, row: usize, samples: &Samples) -> Result<(), LoadError> {
        let (record, source) = (run.records[row].clone(), run.source(row));
        if record.status != Status::Ok {
            self.left_out.push((record.status, source));
            return Ok(());
        }
        let positive = |column, value: Option<f64>| match value {
            Some(v) if v.is_finite() && v > 0.0 => Ok(v),
            _ => Err(LoadError::unusable(source.clone(), column, value)),
        };
        let median_ns = positive("median_ns", record.median_ns)?;
        let low = positive("median_ci95_low_ns", record.median_ci95_low_ns)?;
        let high = positive("median_ci95_high_ns", record.median_ci95_high_ns)?;
        let (times_ns, rounds) = match samples.times(&record) {
            Times::Known(times) => times.into_iter().unzip(),
            Times::None => Default::default(),
            Times::Stale => {
                self.stale.push(source.clone());
                Default::default()
            }
        };
        self.rows.push(Measurement {
            median_ci: Interval { low: low.min(median_ns), high: high.max(median_ns) },
            sample_count: record.samples,
            record,
            source,
            median_ns,
            times_ns,
            rounds,
        });
        Ok(())
    }

    fn add_fingerprints(&mut self, run: &LoadedRun) -> Result<(), LoadError> {
        let beside = run.file.with_file_name(Provenance::FILE);
        if beside.is_file()
            && let Value::Object(all) = read_provenance(&beside)?.fingerprints
        {
            let named = all.into_iter().map(|(device, value)| ((run.file.clone(), device), value));
            self.fingerprints.extend(named);
        }
        Ok(())
    }

    /// Of several measurements of one case by one kernel of one implementation, keeps that of the
    /// latest hour.
    fn keep_latest(&mut self, by: By) {
        let mut latest: HashMap<(CaseName, String), usize> = HashMap::new();
        let mut old = vec![false; self.rows.len()];
        for (index, row) in self.rows.iter().enumerate() {
            let Record { kernel, implementation, operand_layout, .. } = &row.record;
            let kernel = [kernel, implementation, operand_layout].map(String::as_str).join("\n");
            let key = (CaseName::of(&row.record, by), kernel);
            match latest.get_mut(&key) {
                None => _ = latest.insert(key, index),
                Some(known) if self.rows[*known].record.utc > row.record.utc => old[index] = true,
                Some(known) => {
                    old[*known] = true;
                    *known = index;
                }
            }
        }
        let mut old = old.into_iter();
        let superseded = self.rows.extract_if(.., |_| old.next().unwrap_or(false));
        self.superseded = superseded.map(|row| row.source).collect();
    }

    /// A case of the side, for a message.
    pub(super) fn example(&self) -> String {
        let first = self.rows.first().map(|row| format!("`{}`", row.record.case_id));
        first.unwrap_or_else(|| "none at all".to_owned())
    }
}

/// The samples of a run, by case.
struct Samples(HashMap<String, Vec<Sample>>);

/// What the samples say about a row.
enum Times {
    /// Each time with its process and its number there.
    Known(Vec<(f64, [u64; 2])>),
    None,
    /// Another number of samples, or another median.
    Stale,
}

impl Samples {
    fn of(run: &LoadedRun) -> Result<Self, LoadError> {
        let mut by_case: HashMap<String, Vec<Sample>> = HashMap::new();
        let main = |sample: &Sample| matches!(sample.stage, Stage::Product | Stage::Run);
        for sample in run.samples()?.into_iter().flatten().filter(main) {
            by_case.entry(sample.case_id.clone()).or_default().push(sample);
        }
        Ok(Self(by_case))
    }

    /// The times behind a row's median. That the samples give that very median shows that they
    /// are the row's: a case id does not say which trial, and a file can be replaced.
    fn times(&self, record: &Record) -> Times {
        let Some(samples) = self.0.get(&record.case_id) else { return Times::None };
        let pairs = samples.iter().map(|sample| (sample.iterations, sample.elapsed_ns));
        let same = |summary: Summary| {
            let median = record.median_ns.unwrap_or(f64::NAN);
            (summary.median_ns - median).abs() <= 1e-9 * median
                && record.samples.is_none_or(|count| count == summary.samples as u64)
        };
        if !Summary::of(pairs).is_ok_and(same) {
            return Times::Stale;
        }
        let mut counts: HashMap<u32, u64> = HashMap::new();
        let known = samples.iter().map(|sample| {
            let process = sample.process.unwrap_or(0);
            let count = counts.entry(process).or_default();
            let round = [process.into(), *count];
            *count += 1;
            (sample.elapsed_ns / sample.iterations as f64, round)
        });
        Times::Known(known.collect())
    }
}
