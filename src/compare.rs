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
mod difference;
mod fingerprints;
mod ratio;
mod side;

use std::collections::HashMap;
use std::fmt;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::frontier::{self, Interval};
use crate::measure::Caches;
use crate::record::{LoadError, Record, precision_label};

pub use bootstrap::{
    LEAST_PROCESSES, LEAST_SAMPLES, RESAMPLES, bootstrap, bootstrap_median,
    bootstrap_median_processes, bootstrap_processes, from_medians,
};
pub use difference::Difference;
pub use fingerprints::{FingerprintDifference, OrderDifference};
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

/// What the rows of one case agree in, apart from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaseName {
    /// Workload.
    pub workload: String,
    /// Precision.
    pub precision: String,
    /// Random bits of one stochastic rounding, where they are not the usual 16.
    pub rounding_bits: Option<u32>,
    /// Shape.
    pub shape: String,
    /// Device, unless devices or backends are compared.
    pub device: Option<String>,
    /// Implementation without its version, unless implementations are compared.
    pub implementation: Option<String>,
    /// Distribution or data set, or where else the inputs come from.
    pub problem: String,
    /// What of it the shape does not tell, and what else of the conditions is not the default: see
    /// [`CaseName::conditions`].
    conditions: String,
    /// How the operands are stored, and the number of products at once.
    layout: (String, u64),
    /// How an sgd case descends, and with which parameters, if not by plain SGD.
    algorithm: Option<[String; 2]>,
    /// Seed of the inputs.
    pub seed: Option<u64>,
    /// Repetition with other rounding bits.
    pub trial: Option<u32>,
    /// Whether the caches were cold.
    pub cold: bool,
    /// Steps, loss function, learning rate and regularisation.
    training: (Option<u64>, String, [Option<u64>; 2]),
}

impl CaseName {
    fn of(record: &Record, by: By) -> Self {
        let numbers = [record.learning_rate, record.regularisation].map(|x| x.map(f64::to_bits));
        Self {
            workload: record.workload.clone(),
            precision: record.precision.clone(),
            rounding_bits: record.fewer_rounding_bits(),
            shape: record.shape.clone(),
            device: matches!(by, By::Run | By::Implementation).then(|| record.device.clone()),
            implementation: (by != By::Implementation)
                .then(|| without_version(implementation(record)).to_owned()),
            problem: inputs(record),
            conditions: conditions(record),
            layout: (frontier::layout(record).to_owned(), frontier::batch_count(record)),
            algorithm: frontier::algorithm(record).map(|words| words.map(str::to_owned)),
            seed: record.seed,
            trial: record.trial,
            cold: record.cache == Caches::Cold.name(),
            training: (record.steps, record.loss_function.clone(), numbers),
        }
    }
}

impl CaseName {
    /// The columns that make a case, and what they hold.
    fn columns(&self) -> Vec<(&'static str, String)> {
        let (steps, loss, numbers) = &self.training;
        let number = |value: Option<u64>| value.map(|n| n.to_string()).unwrap_or_default();
        let [learning_rate, regularisation] =
            numbers.map(|bits| bits.map(|bits| shortest(f64::from_bits(bits))).unwrap_or_default());
        let algorithm = self.algorithm.as_ref().map(|words| words.join(" ")).unwrap_or_default();
        vec![
            ("workload", self.workload.clone()),
            ("precision", self.precision.clone()),
            ("rounding_bits", number(self.rounding_bits.map(u64::from))),
            ("shape", self.shape.clone()),
            ("device", self.device.clone().unwrap_or_default()),
            ("implementation", self.implementation.clone().unwrap_or_default()),
            ("problem", self.problem.clone()),
            ("operand_layout", self.layout.0.clone()),
            ("batch_count", self.layout.1.to_string()),
            ("algorithm", algorithm),
            ("seed", number(self.seed)),
            ("trial", number(self.trial.map(u64::from))),
            ("cache", if self.cold { "cold" } else { "warm" }.to_owned()),
            ("steps", number(*steps)),
            ("loss_function", loss.clone()),
            ("learning_rate", learning_rate),
            ("regularisation", regularisation),
        ]
    }

    /// Inputs, as far as the shape does not tell them, and what else is not the default: random bits,
    /// algorithm, layout, number of products, caches. `cancel(digits=4), r=8`.
    pub fn conditions(&self) -> &str {
        &self.conditions
    }

    /// Inputs and training, which the name does not tell: `normal seed 1 trial 0`.
    pub fn details(&self) -> String {
        let (steps, loss, [learning_rate, regularisation]) = &self.training;
        let number = |name, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let float = |bits: &Option<u64>| bits.map(|bits| shortest(f64::from_bits(bits)));
        let parts = [
            self.implementation.clone().filter(|name| name != "tradeoff"),
            Some(self.problem.clone()),
            number("seed", self.seed.map(|seed| seed.to_string())),
            number("trial", self.trial.map(|trial| trial.to_string())),
            self.cold.then(|| "cold".to_owned()),
            Some(loss.clone()),
            number("steps", steps.map(|steps| steps.to_string())),
            number("learning rate", float(learning_rate)),
            number("regularisation", float(regularisation)),
        ];
        let said = parts.into_iter().flatten().filter(|part| !part.is_empty());
        said.collect::<Vec<_>>().join(" ")
    }
}

/// A number that was an f32 in the digits of one.
fn shortest(value: f64) -> String {
    let short = value as f32;
    if f64::from(short) == value { short.to_string() } else { value.to_string() }
}

/// As a bench id spells it, without the kernel.
impl fmt::Display for CaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.workload, self.precision, self.shape)?;
        self.rounding_bits.iter().try_for_each(|bits| write!(f, "-r{bits}"))?;
        self.device.iter().try_for_each(|device| write!(f, "/{device}"))
    }
}

/// See [`CaseName::conditions`].
fn conditions(record: &Record) -> String {
    let inputs = frontier::problem(record);
    let inputs = if record.shape.contains(&inputs) { String::new() } else { inputs };
    // The name's precision is told already.
    let setting = frontier::name(record);
    let setting = setting.strip_prefix(record.precision.as_str()).unwrap_or_default();
    let setting = setting.trim().to_owned();
    let parts = [inputs, setting, frontier::conditions(record)];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// Distribution or data set, or where else the inputs come from.
fn inputs(record: &Record) -> String {
    let inputs =
        [&record.problem, &record.distribution, &record.distribution_parameters, &record.data_set];
    let inputs = inputs.map(String::as_str).into_iter().filter(|text| !text.is_empty());
    inputs.collect::<Vec<_>>().join(" ")
}

/// Shape, inputs, key and training of a row in words: what two settings of one problem share.
fn key_words(record: &Record) -> Vec<String> {
    let words = [&record.workload, &record.shape, &record.loss_function].map(String::clone);
    let numbers = [record.seed, record.trial.map(u64::from), record.steps, record.batch_count];
    let numbers = numbers.map(|number| format!("{number:?}"));
    let checks = record.regularisation.map(|number| number.to_string()).unwrap_or_default();
    let algorithm = frontier::algorithm(record).map(|texts| texts.join(" ")).unwrap_or_default();
    words.into_iter().chain(numbers).chain([inputs(record), checks, algorithm]).collect()
}

/// The key of a bootstrap's random bits, so that an interval does not depend on what else is
/// compared.
fn bootstrap_key(name: &str) -> [u32; 2] {
    let digest = Sha256::digest(name.as_bytes());
    let word = |at: usize| digest[at..at + 4].iter().fold(0, |word, &b| word << 8 | u32::from(b));
    [word(0), word(4)]
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

fn pair(case: CaseName, (a, i): (&Side, usize), (b, j): (&Side, usize)) -> Pair {
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
fn resampled(a: &Measurement, b: &Measurement, key: [u32; 2]) -> (Option<Interval>, Method) {
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
