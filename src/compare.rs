//! Runs, devices or backends side by side, on the cases that both have.
//!
//! Two rows are one case if they agree in workload, precision, random bits of a rounding, kernel, shape,
//! layout and number of products, problem, seed, trial, cache, algorithm and the training's settings, in
//! the device unless devices or backends are what is compared, and in the implementation (apart from its
//! version) unless that is.
//! Where the two sides have no kernel of a case in common, as a GPU and the CPU do, each side's
//! fastest kernel is compared.
//!
//! A ratio is B's median time over A's: above 1, B is slower. Its 95 % interval is a [`bootstrap`]
//! over the samples of the two rows, or, where a run has no samples, what the intervals of the two
//! medians leave ([`from_medians`]). Where a side was measured by several processes, processes are
//! resampled, then samples within ([`bootstrap_processes`]). B is slower or faster if the interval
//! excludes 1, otherwise undecided. With one process a side the interval speaks for the two runs; how
//! much a median differs from one process to the next is not in it.

mod bootstrap;
mod case;
mod difference;
mod fingerprints;
mod pair;
mod ratio;
mod side;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::frontier::Interval;
use crate::record::{LoadError, Record, precision_label};
use pair::pair;

pub use bootstrap::{
    LEAST_PROCESSES, LEAST_SAMPLES, RESAMPLES, bootstrap, bootstrap_median,
    bootstrap_median_processes, bootstrap_processes, from_medians,
};
pub use case::CaseName;
pub use difference::Difference;
pub use fingerprints::{FingerprintDifference, OrderDifference};
pub use pair::{Bits, Method, Pair, Verdict};
pub use ratio::{Basis, Dial, Ratio, Setting, SettingError, Which, by_rounds, ratios};
pub use side::{Measurement, Side, sides};

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The same devices in two runs, or sets of runs.
    #[default]
    Run,
    /// Two devices.
    Device,
    /// Two backends of one device.
    Backend,
    /// Two implementations on one device, such as this crate and a peer.
    Implementation,
}

impl By {
    /// The word for one of what is compared.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Device => "device",
            Self::Backend => "backend",
            Self::Implementation => "implementation",
        }
    }

    /// The column of a row that says which it is.
    fn of(self, record: &Record) -> &str {
        match self {
            Self::Run => &record.run_id,
            Self::Device => &record.device,
            Self::Backend => &record.backend,
            Self::Implementation => implementation(record),
        }
    }

    /// Whether a row is of the one named; a peer's version may be left out.
    fn is(self, name: &str, record: &Record) -> bool {
        let found = self.of(record);
        found == name || self == Self::Implementation && without_version(found) == name
    }
}

/// Whose code measured a row; schema 1 knew only this crate's.
fn implementation(record: &Record) -> &str {
    if record.implementation.is_empty() { "tradeoff" } else { &record.implementation }
}

/// `gemm` of `gemm 0.19.0`.
fn without_version(implementation: &str) -> &str {
    implementation.split_whitespace().next().unwrap_or_default()
}

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The results cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No row is of this device or backend, or has this value in a column that a setting names.
    #[error("no row has {by} `{name}`; there {are}", are = listed(.there))]
    Unknown {
        /// The column.
        by: &'static str,
        /// The name given.
        name: String,
        /// The names that rows have.
        there: Vec<String>,
    },
    /// One thing beside itself.
    #[error("both sides are {by} `{name}`; name two")]
    Same {
        /// `device` or `backend`.
        by: &'static str,
        /// The name given twice.
        name: String,
    },
    /// A backend of several devices.
    #[error("backend `{name}` has several devices here: {}; compare by device", .devices.join(", "))]
    SeveralDevices {
        /// The backend.
        name: String,
        /// Its devices.
        devices: Vec<String>,
    },
    /// No two rows whose ratio is asked for.
    #[error(
        "none of the {rows} rows with status ok has a partner: no two differ in the columns named and agree in the others; `tradeoff ratio` without --of and --to shows what there is"
    )]
    NoRatio {
        /// Rows that were measured.
        rows: usize,
    },
    /// No two rows of one problem.
    #[error(
        "nothing to compare: no two rows with status ok ({rows} in all) are of one problem; measure another precision, kernel or device on the same sizes, such as `tradeoff run matmul --precision fp32,fp16`"
    )]
    Alone {
        /// Rows that were measured.
        rows: usize,
    },
    /// The same case ids on both sides, and yet no case in common.
    #[error(
        "no case is on both sides: `{case_id}` is on both, but differs in {columns}; name results that agree there"
    )]
    SameIds {
        /// A case id that both have.
        case_id: String,
        /// The columns that differ, each with the two values.
        columns: String,
    },
    /// No case on both sides.
    #[error(
        "no case with status ok is on both sides: A has {a}, such as {example_a}; B has {b}, such as {example_b}; name results of one selection, or compare with --by device"
    )]
    NothingInCommon {
        /// Rows of A.
        a: usize,
        /// One of them.
        example_a: String,
        /// Rows of B.
        b: usize,
        /// One of them.
        example_b: String,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "is none".to_owned(),
        [name] => format!("is {name}"),
        names => format!("are {}", names.join(", ")),
    }
}

/// Geometric mean of the ratios of one precision.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GeometricMean {
    /// Workload.
    pub workload: String,
    /// Precision, and its random bits where they are not the usual 16: `fp16-sr r=8`.
    pub precision: String,
    /// Cases behind it.
    pub cases: usize,
    /// exp of the mean of the logarithms of the ratios. Unit: 1.
    pub ratio: f64,
}

/// Two sides and what they have in common.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What is compared.
    pub by: By,
    /// The side that ratios are over.
    pub a: Side,
    /// The side that verdicts are about.
    pub b: Side,
    /// The cases of both, in A's order.
    pub pairs: Vec<Pair>,
    /// Rows of A without one of B: positions in [`Side::rows`].
    pub only_a: Vec<usize>,
    /// Rows of B without one of A.
    pub only_b: Vec<usize>,
}

/// Compares two sides, the `best_kernel` of each or kernel by kernel.
///
/// # Errors
/// [`CompareError::NothingInCommon`] if no case is on both sides.
pub fn compare(a: Side, b: Side, by: By, best_kernel: bool) -> Result<Comparison, CompareError> {
    let matched = matched(&a, &b, by, best_kernel);
    let pairs: Vec<Pair> =
        matched.into_par_iter().map(|(case, i, j)| pair(case, (&a, i), (&b, j))).collect();
    if pairs.is_empty() {
        if let Some(error) = same_ids(&a, &b, by) {
            return Err(error);
        }
        return Err(CompareError::NothingInCommon {
            a: a.rows.len(),
            example_a: a.example(),
            b: b.rows.len(),
            example_b: b.example(),
        });
    }
    let only = |side: &Side, of: fn(&Pair) -> usize| {
        let mut alone = vec![true; side.rows.len()];
        pairs.iter().for_each(|pair| alone[of(pair)] = false);
        (0..alone.len()).filter(|&row| alone[row]).collect()
    };
    let (only_a, only_b) = (only(&a, |pair| pair.a), only(&b, |pair| pair.b));
    Ok(Comparison { by, a, b, pairs, only_a, only_b })
}

impl Comparison {
    /// The two rows of a pair.
    pub fn rows(&self, pair: &Pair) -> (&Measurement, &Measurement) {
        (&self.a.rows[pair.a], &self.b.rows[pair.b])
    }

    /// Pairs whose interval is that of processes, of which a side has fewer than
    /// [`LEAST_PROCESSES`].
    pub fn of_few_processes(&self) -> usize {
        let few = |row: &Measurement| row.processes_ns().len() < LEAST_PROCESSES;
        let pairs = self.pairs.iter().filter(|pair| pair.method == Method::Processes);
        let rows = pairs.map(|pair| self.rows(pair));
        rows.filter(|(a, b)| few(a) || few(b)).count()
    }

    /// Pairs whose whole interval is above 1 + `fraction`: B is slower by more than that.
    pub fn slower_by(&self, fraction: f64) -> impl Iterator<Item = &Pair> {
        let over = move |interval: Interval| interval.low > 1.0 + fraction;
        self.pairs.iter().filter(move |pair| pair.interval.is_some_and(over))
    }

    /// Of each workload's precision, in the order of the pairs.
    pub fn geometric_means(&self) -> Vec<GeometricMean> {
        let mut means: Vec<GeometricMean> = Vec::new();
        for pair in &self.pairs {
            let workload = &pair.case.workload;
            let precision = precision_label(&pair.case.precision, pair.case.rounding_bits);
            let log = pair.ratio.ln();
            let known = means
                .iter_mut()
                .find(|mean| mean.workload == *workload && mean.precision == precision);
            match known {
                Some(mean) => (mean.cases, mean.ratio) = (mean.cases + 1, mean.ratio + log),
                None => means.push(GeometricMean {
                    workload: workload.clone(),
                    precision,
                    cases: 1,
                    ratio: log,
                }),
            }
        }
        means.iter_mut().for_each(|mean| mean.ratio = (mean.ratio / mean.cases as f64).exp());
        means
    }

    /// What else differs between the two sides than what is compared.
    pub fn differences(&self) -> Vec<Difference> {
        difference::all(self)
    }

    /// Devices of pairs that were seen to compute otherwise.
    pub fn fingerprints(&self) -> Vec<FingerprintDifference> {
        fingerprints::all(self)
    }

    /// Kernels of pairs that sum in different orders, where both sides know theirs.
    pub fn orders(&self) -> Vec<OrderDifference> {
        fingerprints::of_orders(self)
    }
}

/// The pairs of rows that are one case.
fn matched(a: &Side, b: &Side, by: By, best_kernel: bool) -> Vec<(CaseName, usize, usize)> {
    let (order, cases_a) = cases(a, by);
    let (_, cases_b) = cases(b, by);
    let mut found = Vec::new();
    for case in order {
        let (Some(in_a), Some(in_b)) = (cases_a.get(&case), cases_b.get(&case)) else { continue };
        let kernel = |side: &Side, row: usize| side.rows[row].record.kernel.clone();
        let same = |&i: &usize| {
            let j = in_b.iter().find(|&&j| kernel(a, i) == kernel(b, j))?;
            Some((case.clone(), i, *j))
        };
        let common: Vec<_> = in_a.iter().filter_map(same).collect();
        if common.is_empty() || best_kernel {
            let best = |side: &Side, rows: &[usize]| {
                let median = |row: usize| side.rows[row].median_ns;
                rows.iter().copied().min_by(|&x, &y| median(x).total_cmp(&median(y)))
            };
            if let (Some(i), Some(j)) = (best(a, in_a), best(b, in_b)) {
                found.push((case, i, j));
            }
        } else {
            found.extend(common);
        }
    }
    found
}

/// Why rows of one id are not one case.
fn same_ids(a: &Side, b: &Side, by: By) -> Option<CompareError> {
    let of_b: HashMap<&str, &Record> =
        b.rows.iter().map(|row| (&*row.record.case_id, &row.record)).collect();
    let (row_a, row_b) = a
        .rows
        .iter()
        .find_map(|row| Some((&row.record, *of_b.get(row.record.case_id.as_str())?)))?;
    let (case_a, case_b) = (CaseName::of(row_a, by), CaseName::of(row_b, by));
    let columns = case_a.columns().into_iter().zip(case_b.columns());
    let shown = |text: &str| if text.is_empty() { "none".into() } else { format!("`{text}`") };
    let differing = columns.filter(|((_, a), (_, b))| a != b).map(|((column, a), (_, b))| {
        format!("column `{column}`: A has {}, B has {}", shown(&a), shown(&b))
    });
    let columns = differing.collect::<Vec<_>>().join("; ");
    (!columns.is_empty()).then(|| CompareError::SameIds { case_id: row_a.case_id.clone(), columns })
}

/// The cases of a side, in order, and the rows of each.
fn cases(side: &Side, by: By) -> (Vec<CaseName>, HashMap<CaseName, Vec<usize>>) {
    let (mut order, mut rows) = (Vec::new(), HashMap::<CaseName, Vec<usize>>::new());
    for (index, row) in side.rows.iter().enumerate() {
        let case = CaseName::of(&row.record, by);
        if !rows.contains_key(&case) {
            order.push(case.clone());
        }
        rows.entry(case).or_default().push(index);
    }
    (order, rows)
}
