//! One case on both sides: the ratio of its times with an interval, and what the rows say of bits.

use sha2::{Digest, Sha256};

use super::bootstrap::{LEAST_SAMPLES, RESAMPLES, bootstrap, bootstrap_processes, from_medians};
use super::{CaseName, Measurement, Side};
use crate::frontier::Interval;
use crate::record::Record;

/// Whether B takes longer than A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// B is faster: the interval of the ratio lies below 1.
    Faster,
    /// B is slower: it lies above 1.
    Slower,
    /// It holds 1, or there are too few samples for one.
    Undecided,
}

impl Verdict {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Undecided => "undecided",
        }
    }

    fn of(interval: Option<Interval>) -> Self {
        match interval {
            Some(interval) if interval.low > 1.0 => Self::Slower,
            Some(interval) if interval.high < 1.0 => Self::Faster,
            _ => Self::Undecided,
        }
    }
}

/// Where the interval of a ratio is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// [`bootstrap`] over both sides' samples.
    Bootstrap,
    /// [`bootstrap_processes`]: a side has the samples of several processes.
    Processes,
    /// [`from_medians`].
    Medians,
    /// There is none: a side has fewer than [`LEAST_SAMPLES`] samples.
    None,
}

/// What the two rows say about bits; `None` where a row does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// A's entries that were compared with its mirror all have the mirror's bits.
    pub mirror_a: Option<bool>,
    /// The same of B.
    pub mirror_b: Option<bool>,
    /// The two results have the same bits; `None` too where they are of other inputs, seeds or
    /// trials, of which other bits say nothing.
    pub same_result: Option<bool>,
    /// The inputs are the same bytes.
    pub same_inputs: Option<bool>,
    /// The WGSL is the same text.
    pub same_wgsl: Option<bool>,
}

impl Bits {
    fn of(a: &Record, b: &Record) -> Self {
        let same = |a: &str, b: &str| (!a.is_empty() || !b.is_empty()).then_some(a == b);
        let alike = (a.seed, a.trial, &a.inputs_sha256) == (b.seed, b.trial, &b.inputs_sha256);
        let known = ![a, b].iter().any(|row| row.result_sha256.is_empty());
        Self {
            same_result: (alike && known).then(|| a.result_sha256 == b.result_sha256),
            mirror_a: a.mirror_mismatches.map(|count| count == 0),
            mirror_b: b.mirror_mismatches.map(|count| count == 0),
            same_inputs: same(&a.inputs_sha256, &b.inputs_sha256),
            same_wgsl: same(&a.wgsl_sha256, &b.wgsl_sha256),
        }
    }
}

/// One case on both sides.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What the two have in common.
    pub case: CaseName,
    /// A's row: a position in [`Side::rows`].
    pub a: usize,
    /// B's row.
    pub b: usize,
    /// B's median time over A's. Unit: 1.
    pub ratio: f64,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// Where that is from.
    pub method: Method,
    /// What it says of B.
    pub verdict: Verdict,
    /// B's primary error over A's: 1 if both are 0, `None` if one is missing or of another column.
    /// Unit: 1.
    pub error_ratio: Option<f64>,
    /// What the rows say about bits.
    pub bits: Bits,
}

pub(super) fn pair(case: CaseName, (a, i): (&Side, usize), (b, j): (&Side, usize)) -> Pair {
    let (row_a, row_b) = (&a.rows[i], &b.rows[j]);
    let (interval, method) = interval(&case, row_a, row_b);
    Pair {
        ratio: row_b.median_ns / row_a.median_ns,
        interval,
        method,
        verdict: Verdict::of(interval),
        error_ratio: error_ratio(&row_a.record, &row_b.record),
        bits: Bits::of(&row_a.record, &row_b.record),
        case,
        a: i,
        b: j,
    }
}

fn interval(case: &CaseName, a: &Measurement, b: &Measurement) -> (Option<Interval>, Method) {
    let few = |row: &Measurement| row.sample_count.is_some_and(|n| n < LEAST_SAMPLES as u64);
    if few(a) || few(b) {
        return (None, Method::None);
    }
    if a.times_ns.is_empty() || b.times_ns.is_empty() {
        return (Some(from_medians(a.median_ci, b.median_ci)), Method::Medians);
    }
    let key = bootstrap_key(&format!("{case:?} {} {}", a.record.kernel, b.record.kernel));
    resampled(a, b, key)
}

/// From the samples of both sides.
pub(super) fn resampled(
    a: &Measurement,
    b: &Measurement,
    key: [u32; 2],
) -> (Option<Interval>, Method) {
    let (of_a, of_b) = (a.processes_ns(), b.processes_ns());
    let (interval, method) = if of_a.len().max(of_b.len()) > 1 {
        (bootstrap_processes(&of_a, &of_b, RESAMPLES, key), Method::Processes)
    } else {
        (bootstrap(&a.times_ns, &b.times_ns, RESAMPLES, key), Method::Bootstrap)
    };
    (interval, if interval.is_some() { method } else { Method::None })
}

fn error_ratio(a: &Record, b: &Record) -> Option<f64> {
    if a.primary_error_metric != b.primary_error_metric {
        return None;
    }
    match (a.primary_error?, b.primary_error?) {
        (a, b) if a == b => Some(1.0),
        (a, b) => Some(b / a),
    }
}

/// The key of a bootstrap's random bits, so that an interval does not depend on what else is
/// compared.
pub(super) fn bootstrap_key(name: &str) -> [u32; 2] {
    let digest = Sha256::digest(name.as_bytes());
    let word = |at: usize| digest[at..at + 4].iter().fold(0, |word, &b| word << 8 | u32::from(b));
    [word(0), word(4)]
}
