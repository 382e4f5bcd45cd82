//! Ratios of two settings: how many times as fast one is as the other.
//!
//! Rows whose samples were drawn in turn are compared round by round: the ratio is the median, over
//! the rounds that both have, of the quotient of the two times of a round, and its 95 % interval a
//! percentile bootstrap that resamples rounds, and processes before them where several drew the samples.
//! What slows a whole round slows both of its times, so drift cancels. Other rows are compared by the quotient of their medians, each side resampled on
//! its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use super::bootstrap::{LEAST_SAMPLES, RESAMPLES, bootstrap_median, bootstrap_median_processes};
use super::case::key_words;
use super::pair::{bootstrap_key, resampled};
use super::{By, CompareError, Measurement, Side};
use crate::frontier::Interval;
use crate::number::Precision;
use crate::number::round::ROUNDING_BITS;
use crate::record::{LoadedRun, Provenance, Record, read_provenance};

/// A column that a setting may fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dial {
    /// `precision`: `fp16` is that of matmul and `D16fM16f` of SGD.
    Precision,
    /// `rounding_bits`.
    RoundingBits,
    /// `kernel`.
    Kernel,
    /// `device`.
    Device,
    /// `backend`.
    Backend,
    /// `implementation`.
    Implementation,
    /// `cache`.
    Cache,
    /// `operand_layout`.
    Layout,
}

impl Dial {
    const ALL: [Self; 8] = [
        Self::Precision,
        Self::RoundingBits,
        Self::Kernel,
        Self::Device,
        Self::Backend,
        Self::Implementation,
        Self::Cache,
        Self::Layout,
    ];

    /// The column's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Precision => "precision",
            Self::RoundingBits => "rounding_bits",
            Self::Kernel => "kernel",
            Self::Device => "device",
            Self::Backend => "backend",
            Self::Implementation => "implementation",
            Self::Cache => "cache",
            Self::Layout => "operand_layout",
        }
    }

    /// What a row has there; a column that an older schema lacks has what it then always was.
    fn of(self, record: &Record) -> Cow<'_, str> {
        let text: &str = match self {
            Self::Precision => &record.precision,
            Self::RoundingBits => {
                let usual = (record.rounding == "stochastic").then_some(ROUNDING_BITS);
                let bits = record.rounding_bits.or(usual);
                return bits.map_or(Cow::Borrowed(""), |bits| bits.to_string().into());
            }
            Self::Kernel => &record.kernel,
            Self::Device => &record.device,
            Self::Backend => &record.backend,
            Self::Implementation if record.implementation.is_empty() => "tradeoff",
            Self::Implementation => &record.implementation,
            Self::Cache if record.cache.is_empty() => "warm",
            Self::Cache => &record.cache,
            Self::Layout => &record.operand_layout,
        };
        text.into()
    }

    /// The same for rows that are to agree there: the usual number of random bits is none, so that what
    /// is rounded by them is compared with what is rounded to nearest.
    fn shared(self, record: &Record) -> String {
        match self {
            Self::RoundingBits => {
                record.fewer_rounding_bits().map(|bits| bits.to_string()).unwrap_or_default()
            }
            _ => self.of(record).into_owned(),
        }
    }
}

/// Rows of certain values in certain columns: `precision=fp16,kernel=naive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting(Vec<(Dial, String)>);

/// A text that is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no setting; write column=value, several between commas, such as precision=fp16; columns are {dials}",
    dials = Dial::ALL.map(Dial::name).join(", ")
)]
pub struct SettingError(String);

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let part = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let dial = Dial::ALL.into_iter().find(|dial| dial.name() == name.trim())?;
            let value = value.trim();
            (!value.is_empty()).then(|| (dial, value.to_owned()))
        };
        let parts: Option<Vec<_>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or_else(|| SettingError(text.to_owned()))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(dial, value)| format!("{}={value}", dial.name()));
        write!(f, "{}", parts.collect::<Vec<_>>().join(","))
    }
}

impl Setting {
    fn has(&self, record: &Record) -> bool {
        self.0.iter().all(|(dial, value)| match dial {
            Dial::Precision => match Precision::parse_all(value) {
                Ok(all) => all.iter().any(|precision| precision.to_string() == record.precision),
                Err(_) => *value == record.precision,
            },
            // A peer's column holds its version too.
            Dial::Implementation => {
                let found = dial.of(record);
                found == *value || found.split_whitespace().next() == Some(value)
            }
            _ => dial.of(record) == *value,
        })
    }

    /// Refuses a value that no row has.
    fn check(&self, side: &Side) -> Result<(), CompareError> {
        for (dial, value) in &self.0 {
            let alone = Self(vec![(*dial, value.clone())]);
            if !side.rows.iter().any(|row| alone.has(&row.record)) {
                let mut there: Vec<String> =
                    side.rows.iter().map(|row| dial.of(&row.record).into_owned()).collect();
                there.sort();
                there.dedup();
                let (by, name) = (dial.name(), value.clone());
                return Err(CompareError::Unknown { by, name, there });
            }
        }
        Ok(())
    }

    fn names(&self, dial: Dial) -> bool {
        self.0.iter().any(|(named, _)| *named == dial)
    }
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Each row with the fastest of its problem, on any device.
    Fastest,
    /// The rows of one setting with those of another that agree in everything else.
    Settings {
        /// What ratios are of.
        of: Setting,
        /// What ratios are to.
        to: Setting,
        /// The fastest kernel of each, instead of kernel by kernel.
        best_kernel: bool,
    },
}

/// How a ratio came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Round by round.
    Rounds,
    /// From the medians; the samples of the two rows were drawn at different times.
    Medians,
}

/// How many times as fast one row is as another.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// The row whose speed it is.
    pub of: Measurement,
    /// The row that it is compared with.
    pub to: Measurement,
    /// Time of `to` over time of `of`: above 1, `of` is faster. Unit: 1.
    pub speed: f64,
    /// Its 95 % interval; `None` with fewer than [`LEAST_SAMPLES`] rounds or samples.
    pub interval: Option<Interval>,
    /// How it came about.
    pub basis: Basis,
    /// Rounds, or the lesser number of samples, behind it.
    pub count: usize,
}

/// The ratios that `runs` hold, in the order of the rows.
///
/// # Errors
/// [`CompareError`] if rows cannot be used, or no two can be compared.
pub fn ratios(runs: &[LoadedRun], which: &Which) -> Result<Vec<Ratio>, CompareError> {
    let mut found = vec![];
    let side = Side::new("all", By::Run, runs, |_, _| true)?;
    let groups = Groups::of(runs);
    match which {
        Which::Fastest => {
            let all = |_: &Record| true;
            use Dial::{Backend, Device, Kernel, RoundingBits};
            let dials = [Dial::Precision, RoundingBits, Kernel, Device, Backend];
            let fastest = fastest(&side, all, &dials);
            for row in &side.rows {
                let to = fastest[&key(&row.record, &dials)];
                if to.record.case_id != row.record.case_id || to.record.run_id != row.record.run_id
                {
                    found.push(groups.ratio(row, to));
                }
            }
        }
        Which::Settings { of, to, best_kernel } => {
            [of, to].into_iter().try_for_each(|setting| setting.check(&side))?;
            let mut dials: Vec<Dial> =
                Dial::ALL.into_iter().filter(|dial| of.names(*dial) || to.names(*dial)).collect();
            // Another device has another backend, another implementation kernels of its own.
            if dials.contains(&Dial::Device) {
                dials.push(Dial::Backend);
            }
            if *best_kernel || dials.contains(&Dial::Implementation) {
                dials.push(Dial::Kernel);
            }
            let slow = fastest(&side, |record| to.has(record), &dials);
            let quick = fastest(&side, |record| of.has(record), &dials);
            let mut seen = vec![];
            for row in &side.rows {
                let key = key(&row.record, &dials);
                let pair = quick.get(&key).zip(slow.get(&key));
                if let Some((of, to)) = pair.filter(|_| !seen.contains(&key)) {
                    found.push(groups.ratio(of, to));
                    seen.push(key);
                }
            }
        }
    }
    if found.is_empty() {
        let rows = side.rows.len();
        return Err(match which {
            Which::Fastest => CompareError::Alone { rows },
            Which::Settings { .. } => CompareError::NoRatio { rows },
        });
    }
    Ok(found)
}

/// What rows agree in that are compared, apart from the dials turned.
fn key(record: &Record, turned: &[Dial]) -> Vec<String> {
    let dials = Dial::ALL.into_iter().filter(|dial| !turned.contains(dial));
    let mut words: Vec<String> = dials.map(|dial| dial.shared(record)).collect();
    words.extend(key_words(record));
    words
}

/// The fastest row of each key among those wanted.
fn fastest<'a>(
    side: &'a Side,
    wanted: impl Fn(&Record) -> bool,
    turned: &[Dial],
) -> HashMap<Vec<String>, &'a Measurement> {
    let mut best: HashMap<Vec<String>, &Measurement> = HashMap::new();
    for row in side.rows.iter().filter(|row| wanted(&row.record)) {
        let known = best.entry(key(&row.record, turned)).or_insert(row);
        if row.median_ns < known.median_ns {
            *known = row;
        }
    }
    best
}

/// The groups that runs were interleaved in, by the id of the run and of the case.
struct Groups(HashMap<(String, String), usize>);

impl Groups {
    fn of(runs: &[LoadedRun]) -> Self {
        let mut groups = HashMap::new();
        let mut add = |provenance: &Provenance| {
            for ids in &provenance.interleaved {
                let group = groups.len();
                for id in ids {
                    groups.insert((provenance.run_id.clone(), id.clone()), group);
                }
            }
        };
        for run in runs {
            // A table without its run.json says nothing of rounds.
            let beside = run.file.with_file_name(Provenance::FILE);
            if let Some(provenance) = read_provenance(&beside).ok().filter(|_| beside.is_file()) {
                add(&provenance);
                provenance.parts.iter().for_each(&mut add);
            }
        }
        Self(groups)
    }

    fn ratio(&self, of: &Measurement, to: &Measurement) -> Ratio {
        let group = |row: &Measurement| {
            self.0.get(&(row.record.run_id.clone(), row.record.case_id.clone())).copied()
        };
        let together = group(of).is_some() && group(of) == group(to);
        let pairs = if together { paired(of, to) } else { BTreeMap::new() };
        let pairs: Vec<Vec<f64>> = pairs.into_values().collect();
        let key = bootstrap_key(&format!("{} {}", of.record.case_id, to.record.case_id));
        let (basis, count, speed, interval) =
            if let Some((speed, interval)) = by_rounds(&pairs, key) {
                (Basis::Rounds, pairs.iter().map(Vec::len).sum(), speed, interval)
            } else {
                let count = of.times_ns.len().min(to.times_ns.len());
                let interval = (count >= LEAST_SAMPLES).then(|| resampled(of, to, key).0);
                (Basis::Medians, count, to.median_ns / of.median_ns, interval.flatten())
            };
        Ratio { of: of.clone(), to: to.clone(), speed, interval, basis, count }
    }
}

/// The median of the quotients of two times, one a round, by process, and its 95 % interval, a
/// percentile bootstrap under `key` that resamples rounds, and before them processes where there are
/// several; no interval with fewer than [`LEAST_SAMPLES`] rounds, and nothing of none.
pub fn by_rounds(quotients: &[Vec<f64>], key: [u32; 2]) -> Option<(f64, Option<Interval>)> {
    let interval = match quotients {
        [one] => bootstrap_median(one, RESAMPLES, key),
        several => bootstrap_median_processes(several, RESAMPLES, key),
    };
    let all = quotients.concat();
    (!all.is_empty()).then(|| (median(&all), interval))
}

/// Time of `to` over that of `of` in each round that both have, by process.
fn paired(of: &Measurement, to: &Measurement) -> BTreeMap<u64, Vec<f64>> {
    let rounds: HashMap<[u64; 2], f64> =
        of.rounds.iter().copied().zip(of.times_ns.iter().copied()).collect();
    let mut by_process = BTreeMap::<u64, Vec<f64>>::new();
    for (round, time) in to.rounds.iter().zip(&to.times_ns) {
        if let Some(other) = rounds.get(round) {
            by_process.entry(round[0]).or_default().push(time / other);
        }
    }
    by_process
}

/// The mean of the two middle values where their number is even; there is at least one.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    0.5 * (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_philox::Philox;

    #[test]
    fn settings_read_back_and_bad_ones_are_named() {
        let text = "precision=fp16,kernel=naive";
        assert_eq!(text.parse::<Setting>().unwrap().to_string(), text);
        for bad in ["", "fp16", "precision=", "size=4", "precision=fp16,"] {
            let message = bad.parse::<Setting>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{bad}` is no setting")), "{message}");
        }
    }

    #[test]
    fn a_precision_is_that_of_either_workload_and_a_peer_needs_no_version() {
        let row = |precision: &str, implementation: &str| Record {
            precision: precision.into(),
            implementation: implementation.into(),
            ..Record::default()
        };
        let has = |setting: &str, row: Record| setting.parse::<Setting>().unwrap().has(&row);
        assert!(has("precision=fp16", row("fp16", "")));
        assert!(has("precision=fp16", row("D16fM16f", "")));
        assert!(!has("precision=fp16", row("fp16-sr", "")));
        assert!(has("implementation=tradeoff", row("fp32", "")));
        assert!(has("implementation=gemm", row("fp32", "gemm 0.19.0")));
        assert!(has("cache=warm", row("fp32", "")), "schema 1 had no other");
    }

    /// The usual number of random bits is none, so that what is rounded by it meets what is rounded to
    /// nearest; any other meets its own, unless numbers of bits are what is compared.
    #[test]
    fn random_bits_are_a_dial() {
        let row = |rounding: &str, rounding_bits| Record {
            rounding: rounding.into(),
            rounding_bits,
            ..Record::default()
        };
        let all = [
            row("nearest", None),
            row("stochastic", None),
            row("stochastic", Some(16)),
            row("stochastic", Some(8)),
        ];
        let has = |text: &str| all.each_ref().map(|row| text.parse::<Setting>().unwrap().has(row));
        assert_eq!(has("rounding_bits=16"), [false, true, true, false]);
        assert_eq!(has("rounding_bits=8"), [false, false, false, true]);
        let keys =
            |dials: &[Dial]| all.each_ref().map(|row| key(row, dials) == key(&all[0], dials));
        assert_eq!(keys(&[Dial::Precision]), [true, true, true, false]);
        assert_eq!(keys(&[Dial::RoundingBits]), [true; 4]);
    }

    fn measurement(case: &str, times: Vec<f64>) -> Measurement {
        let record = Record { case_id: case.into(), run_id: "r".into(), ..Record::default() };
        let rounds = (0..times.len() as u64).map(|round| [0, round]).collect();
        let source = crate::record::Source { file: "f".into(), line: 1 };
        let median_ns = median(&times);
        let median_ci = Interval::exactly(median_ns);
        let sample_count = Some(times.len() as u64);
        Measurement { record, source, median_ns, median_ci, sample_count, times_ns: times, rounds }
    }

    /// Under a drift of 50 % and noise of 2 %, the interval of rounds holds the ratio as often as it
    /// says and is far narrower than that of independent samples.
    #[test]
    fn drift_cancels_in_rounds() {
        const TRIALS: u32 = 300;
        let (mut random, mut held, mut narrower) = (Philox::seed_from_u64(3), 0, 0.0);
        let names = ["a", "b"].map(|case| ("r".to_owned(), case.to_owned()));
        let together = Groups(names.map(|name| (name, 0)).into());
        let apart = Groups(HashMap::new());
        for _ in 0..TRIALS {
            let mut times = |scale: f64| -> Vec<f64> {
                let drift = |round: u32| 1.0 + 0.5 * f64::from(round) / 40.0;
                (0..40).map(|r| scale * drift(r) * random.random_range(0.98..1.02)).collect()
            };
            let (of, to) = (measurement("a", times(10.0)), measurement("b", times(12.0)));
            let (by_rounds, by_medians) = (together.ratio(&of, &to), apart.ratio(&of, &to));
            assert_eq!((by_rounds.basis, by_rounds.count), (Basis::Rounds, 40));
            assert_eq!(by_medians.basis, Basis::Medians);
            let [rounds, medians] = [by_rounds, by_medians].map(|ratio| ratio.interval.unwrap());
            held += u32::from((rounds.low..=rounds.high).contains(&1.2));
            narrower += (medians.high - medians.low) / (rounds.high - rounds.low);
        }
        // A percentile bootstrap of 40 values; 4 binomial standard deviations under 95 %.
        assert!(f64::from(held) >= 0.90 * f64::from(TRIALS), "{held} of {TRIALS}");
        assert!(narrower / f64::from(TRIALS) > 5.0, "{narrower}");
    }

    #[test]
    fn only_rounds_that_both_have_count() {
        let of = measurement("a", vec![1.0; 8]);
        let mut to = measurement("b", vec![2.0; 9]);
        to.rounds[0] = [1, 0];
        assert_eq!(paired(&of, &to), BTreeMap::from([(0, vec![2.0; 7])]));
    }

    /// Where the processes differ and the rounds of one do not, the interval spans the processes.
    #[test]
    fn what_differs_between_processes_is_in_the_interval() {
        let ratios = [1.0, 1.1, 1.2, 1.3, 1.4];
        let processes = ratios.map(|ratio| vec![ratio; 40]);
        let (ratio, interval) = by_rounds(&processes, [1, 2]).unwrap();
        let Interval { low, high } = interval.unwrap();
        assert_eq!(ratio, 1.2);
        assert!(low <= 1.1 && high >= 1.3, "[{low}, {high}]");
        let (_, pooled) = by_rounds(&[processes.concat()], [1, 2]).unwrap();
        let pooled = pooled.unwrap();
        assert!(pooled.high - pooled.low < high - low, "samples of one process are no news");
    }
}
