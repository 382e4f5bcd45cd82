//! Which cases to measure: the `TRADEOFF_*` environment variables, and the plan that they mean.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::cache::Policy;
use super::case::{Case, Work};
use crate::gpu::Candidate;
use crate::number::{Precision, Rounding, round};
use crate::problem::dataset::DatasetSpec;
use crate::problem::distribution::{self, Distribution};
use crate::problem::layout::Layout;
use crate::problem::matrix::Origin;
use crate::problem::npy::FileOperands;
use crate::workload::matmul::{Kernel, Shape};
use crate::workload::sgd::{Algorithm, LearningRate, Schedule};

/// A variable holds what it cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Not one of this program's variables.
    #[error("unknown variable {0}; valid are {names}", names = VARIABLES.join(", "))]
    Variable(String),
    /// The value is no text, so nothing that is written could name it again.
    #[error("{variable}: `{value}` is not UTF-8; write it so, or use another name")]
    NotUtf8 {
        /// The variable.
        variable: String,
        /// What of its value is text.
        value: String,
    },
    /// The value is not valid.
    #[error("{variable}: {reason}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// Every variable that is read, here or elsewhere.
pub const VARIABLES: [&str; 25] = [
    "TRADEOFF_DEVICES",
    "TRADEOFF_WORKLOADS",
    "TRADEOFF_SIZES",
    "TRADEOFF_DISTRIBUTIONS",
    "TRADEOFF_A",
    "TRADEOFF_B",
    "TRADEOFF_PRECISIONS",
    "TRADEOFF_KERNELS",
    "TRADEOFF_ROUNDING_BITS",
    "TRADEOFF_DATA_SETS",
    "TRADEOFF_BATCHES",
    "TRADEOFF_STEPS",
    "TRADEOFF_LEARNING_RATES",
    "TRADEOFF_ALGORITHMS",
    "TRADEOFF_SEED",
    "TRADEOFF_TRIAL",
    "TRADEOFF_TRIALS",
    "TRADEOFF_CHECKS",
    "TRADEOFF_ROOFLINE",
    "TRADEOFF_TUNE",
    "TRADEOFF_ORDERS",
    "TRADEOFF_CACHE",
    "TRADEOFF_RESULTS",
    "TRADEOFF_REQUIRE_GPU",
    "TRADEOFF_REQUIRE_CHROMIUM",
];

/// How many examples a minibatch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many.
    Rows(usize),
    /// All of the data set: gradient descent.
    Full,
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "n" => Ok(Self::Full),
            Ok(rows) if rows > 0 => Ok(Self::Rows(rows)),
            _ => Err(format!(
                "`{text}` is no batch size; write a number of at least 1, or n for all"
            )),
        }
    }
}

/// What to measure and how.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Matmul shapes, each at every precision on every device; empty where matmul is not selected.
    pub shapes: Vec<Shape>,
    /// Single matmul cases on GPUs beside those of `shapes`, where kernel and precision are selected.
    pub singles: Vec<(Shape, Kernel, Precision)>,
    /// Where the operands of matmul come from, one after the other.
    pub origins: Vec<Origin>,
    /// Precisions of either workload.
    pub precisions: Vec<Precision>,
    /// Matmul kernels on a GPU.
    pub kernels: Vec<Kernel>,
    /// Random bits of one stochastic rounding of either workload, one number after the other; the
    /// precisions that round to nearest are measured once.
    pub rounding_bits: Vec<u32>,
    /// SGD kernels on a GPU; none for the one that suits the shape.
    pub schedules: Vec<Schedule>,
    /// SGD data sets; empty where SGD is not selected.
    pub data_sets: Vec<DatasetSpec>,
    /// Batch sizes.
    pub batches: Vec<Batch>,
    /// SGD steps of one run.
    pub steps: u32,
    /// SGD learning rates.
    pub learning_rates: Vec<LearningRate>,
    /// How SGD descends.
    pub algorithms: Vec<Algorithm>,
    /// First word of the key of all random bits; it draws the problems too.
    pub seed: u32,
    /// Second word of the key: another trial rounds the same problem with other bits.
    pub trial: u32,
    /// Further seeds with which a stochastic rounding is repeated on the same inputs, to measure its
    /// bias and scatter; 0 for none.
    pub trials: u32,
    /// Keep the shaders' run-time checks of indices and loops.
    pub checks: bool,
    /// Whether the roofline of each device is measured.
    pub roofline: Policy,
    /// Whether the parameters of kernels are tuned.
    pub tune: Policy,
    /// Whether the summation orders of the kernels measured are found out.
    pub orders: Policy,
    /// The folder of what runs keep for each other; the system's if none is named.
    pub cache: Option<PathBuf>,
    /// The folder that run folders are made in.
    pub results: PathBuf,
}

/// What a plain run measures of shapes that are not square: a matrix times a vector, transposed
/// operands, many small products, a tall A, and a small C of long sums.
const SINGLES: [(Shape, Kernel, Precision); 6] = [
    (Shape::new(1024, 1, 1024), Kernel::Gemv, Precision::Fp32),
    (Shape { layout: Layout::Tn, ..Shape::square(256) }, Kernel::RegisterTiled, Precision::Fp32),
    (Shape { layout: Layout::Nt, ..Shape::square(256) }, Kernel::RegisterTiled, Precision::Fp32),
    (Shape { batch: 32, ..Shape::square(64) }, Kernel::RegisterTiled, Precision::Fp32),
    (Shape::new(4096, 64, 64), Kernel::RegisterTiled, Precision::Fp32),
    (Shape::new(64, 64, 4096), Kernel::RegisterTiled, Precision::Fp32),
];

impl Default for Selection {
    /// What a plain `cargo bench` measures, without its single cases.
    fn default() -> Self {
        Self {
            shapes: vec![Shape::square(256), Shape::square(512)],
            singles: vec![],
            origins: vec![Origin::Seeded(Distribution::Normal)],
            precisions: Precision::standard().collect(),
            kernels: Kernel::ALL.to_vec(),
            rounding_bits: vec![round::ROUNDING_BITS],
            schedules: vec![],
            data_sets: vec![DatasetSpec::Digits, DatasetSpec::Figure2 { n: 1024, d: 1024 }],
            batches: vec![Batch::Rows(32)],
            steps: 200,
            learning_rates: vec![LearningRate::Auto],
            algorithms: vec![Algorithm::Sgd],
            seed: 1,
            trial: 0,
            trials: 0,
            checks: false,
            roofline: Policy::default(),
            tune: Policy::default(),
            orders: Policy::default(),
            cache: None,
            results: PathBuf::from("results"),
        }
    }
}

impl Selection {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`SelectionError`] for a variable that is unknown, or whose value is not valid.
    pub fn from_env() -> Result<Self, SelectionError> {
        Self::from_variables(Self::environment()?)
    }

    /// The `TRADEOFF_*` variables of the environment, whether they are known or not.
    ///
    /// # Errors
    /// [`SelectionError::NotUtf8`] for a value that is not UTF-8: results would go to a folder of another
    /// name than the one given.
    pub fn environment() -> Result<BTreeMap<String, String>, SelectionError> {
        let text = |(name, value): (OsString, OsString)| {
            let variable = name.to_string_lossy().into_owned();
            variable.starts_with("TRADEOFF_").then(|| match value.into_string() {
                Ok(value) => Ok((variable, value)),
                Err(value) => {
                    let value = value.to_string_lossy().into_owned();
                    Err(SelectionError::NotUtf8 { variable, value })
                }
            })
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// Reads variables; one that is absent or empty leaves what a plain `cargo bench` measures.
    pub fn from_variables(variables: BTreeMap<String, String>) -> Result<Self, SelectionError> {
        if let Some(name) = variables.keys().find(|name| !VARIABLES.contains(&name.as_str())) {
            return Err(SelectionError::Variable(name.clone()));
        }
        let get = |name: &str| variables.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let mut selection = Self { singles: SINGLES.to_vec(), ..Self::default() };
        if let Some(text) = get("TRADEOFF_SIZES") {
            selection.shapes = shapes(text)?;
            selection.singles.clear();
        }
        if let Some(text) = get("TRADEOFF_DISTRIBUTIONS") {
            entries("TRADEOFF_DISTRIBUTIONS", text, ',')?; // at least one
            let found = distribution::parse_list(text);
            let found = found.map_err(|e| value("TRADEOFF_DISTRIBUTIONS", e.to_string()))?;
            selection.origins = found.into_iter().map(Origin::Seeded).collect();
        }
        if let Some((files, shape)) = files(&get)? {
            selection.shapes = vec![shape];
            selection.singles.clear();
            selection.origins = vec![Origin::Files(files)];
        }
        if let Some(text) = get("TRADEOFF_PRECISIONS") {
            let named = |text: &str| match text.to_ascii_lowercase().as_str() {
                "all" => Ok(Precision::all().collect()),
                _ => Precision::parse_all(text),
            };
            let found = list("TRADEOFF_PRECISIONS", text, named)?.concat();
            selection.precisions = Precision::all().filter(|p| found.contains(p)).collect();
        }
        if let Some(text) = get("TRADEOFF_KERNELS") {
            selection.choose_kernels(text)?;
        }
        if let Some(text) = get("TRADEOFF_ROUNDING_BITS") {
            selection.rounding_bits = list("TRADEOFF_ROUNDING_BITS", text, rounding_bits)?;
        }
        if let Some(text) = get("TRADEOFF_DATA_SETS") {
            selection.data_sets = list("TRADEOFF_DATA_SETS", text, str::parse)?;
        }
        if let Some(text) = get("TRADEOFF_BATCHES") {
            selection.batches = list("TRADEOFF_BATCHES", text, str::parse)?;
        }
        if let Some(text) = get("TRADEOFF_STEPS") {
            selection.steps = number("TRADEOFF_STEPS", text, 1)?;
        }
        if let Some(text) = get("TRADEOFF_LEARNING_RATES") {
            selection.learning_rates = list("TRADEOFF_LEARNING_RATES", text, str::parse)?;
        }
        if let Some(text) = get("TRADEOFF_ALGORITHMS") {
            selection.algorithms = list("TRADEOFF_ALGORITHMS", text, str::parse)?;
        }
        if let Some(text) = get("TRADEOFF_SEED") {
            selection.seed = number("TRADEOFF_SEED", text, 0)?;
        }
        if let Some(text) = get("TRADEOFF_TRIAL") {
            selection.trial = number("TRADEOFF_TRIAL", text, 0)?;
        }
        if let Some(text) = get("TRADEOFF_TRIALS") {
            // One trial has no variance, so it says nothing of an interval.
            selection.trials = number("TRADEOFF_TRIALS", text, 2)?;
        }
        if let Some(text) = get("TRADEOFF_CHECKS") {
            selection.checks = match text {
                "on" => true,
                "off" => false,
                _ => {
                    return Err(value(
                        "TRADEOFF_CHECKS",
                        format!("`{text}` is neither on nor off"),
                    ));
                }
            };
        }
        for (name, policy) in [
            ("TRADEOFF_ROOFLINE", &mut selection.roofline),
            ("TRADEOFF_TUNE", &mut selection.tune),
            ("TRADEOFF_ORDERS", &mut selection.orders),
        ] {
            if let Some(text) = get(name) {
                *policy = text.parse().map_err(|reason| value(name, reason))?;
            }
        }
        selection.cache = get("TRADEOFF_CACHE").map(PathBuf::from);
        if let Some(text) = get("TRADEOFF_RESULTS") {
            selection.results = PathBuf::from(text);
        }
        if let Some(text) = get("TRADEOFF_WORKLOADS") {
            let names = list("TRADEOFF_WORKLOADS", text, workload)?;
            if !names.contains(&"matmul") {
                selection.shapes.clear();
                selection.singles.clear();
            }
            if !names.contains(&"sgd") {
                selection.data_sets.clear();
            }
        }
        Ok(selection)
    }

    /// The kernels of a list, each of one of the workloads; a workload of which none is named keeps
    /// its default.
    fn choose_kernels(&mut self, text: &str) -> Result<(), SelectionError> {
        let named = list("TRADEOFF_KERNELS", text, |entry| match entry.parse::<Schedule>() {
            Ok(schedule) => Ok((None, Some(schedule))),
            Err(_) => {
                entry.parse::<Kernel>().map(|kernel| (Some(kernel), None)).map_err(|reason| {
                    format!(
                        "{reason} (matmul), {} (sgd)",
                        Schedule::ALL.map(Schedule::name).join(", ")
                    )
                })
            }
        })?;
        let kernels: Vec<Kernel> = named.iter().filter_map(|(kernel, _)| *kernel).collect();
        if !kernels.is_empty() {
            self.kernels = kernels;
        }
        self.schedules = named.into_iter().filter_map(|(_, schedule)| schedule).collect();
        Ok(())
    }

    /// The SGD kernels to run on a device.
    fn schedules_on(
        &self,
        device: &Candidate,
        data: DatasetSpec,
        batch: usize,
    ) -> Vec<Option<Schedule>> {
        if device.is_cpu() {
            vec![None]
        } else if self.schedules.is_empty() {
            vec![Some(Schedule::of_spec(data, batch))]
        } else {
            self.schedules.iter().copied().map(Some).collect()
        }
    }

    /// The numbers of random bits to measure a precision by: the usual one where it rounds by none.
    fn rounding_bits_of(&self, precision: Precision) -> &[u32] {
        match precision.rounding() {
            Rounding::Nearest => &[round::ROUNDING_BITS],
            Rounding::Stochastic => &self.rounding_bits,
        }
    }

    /// A product at a precision by each number of random bits, if it rounds by any.
    fn products(
        &self,
        shape: Shape,
        kernel: Option<Kernel>,
        origin: &Origin,
        precision: Precision,
    ) -> impl Iterator<Item = Work> {
        let bits = self.rounding_bits_of(precision).iter();
        bits.map(move |&rounding_bits| Work::Matmul {
            shape,
            kernel,
            origin: origin.clone(),
            rounding_bits,
        })
    }

    /// The cases, in the order in which they are measured: those that share a problem together, and
    /// each once, however often the selection names it.
    pub fn plan(&self, devices: &[Candidate]) -> Vec<Case> {
        let mut cases = vec![];
        let problems = self.shapes.iter().flat_map(|&s| self.origins.iter().map(move |o| (s, o)));
        for (shape, origin) in problems {
            for device in devices {
                for &precision in self.precisions.iter().filter(|p| p.is_matmul()) {
                    let kernels: Vec<_> = if device.is_cpu() {
                        vec![None]
                    } else {
                        let exist =
                            |kernel: &&Kernel| kernel.computes(precision) && kernel.is_for(shape);
                        self.kernels.iter().filter(exist).copied().map(Some).collect()
                    };
                    for kernel in kernels {
                        let works = self.products(shape, kernel, origin, precision);
                        cases.extend(works.map(|work| case(work, precision, device)));
                    }
                }
            }
        }
        for &(shape, kernel, precision) in &self.singles {
            if self.kernels.contains(&kernel) && self.precisions.contains(&precision) {
                for origin in &self.origins {
                    for work in self.products(shape, Some(kernel), origin, precision) {
                        let gpus = devices.iter().filter(|device| !device.is_cpu());
                        cases.extend(gpus.map(|device| case(work.clone(), precision, device)));
                    }
                }
            }
        }
        for &data in &self.data_sets {
            for &batch in &self.batches {
                let batch = match batch {
                    Batch::Rows(rows) => rows,
                    Batch::Full => data.rows(),
                };
                for &learning_rate in &self.learning_rates {
                    let steps = self.steps;
                    for device in devices {
                        let schedules = self.schedules_on(device, data, batch);
                        for &precision in
                            self.precisions.iter().filter(|p| Precision::SGD.contains(p))
                        {
                            let work = |algorithm, schedule, rounding_bits| Work::Sgd {
                                data,
                                batch,
                                steps,
                                learning_rate,
                                schedule,
                                algorithm,
                                rounding_bits,
                            };
                            // An algorithm that does not exist at the precision is a row that says so.
                            for &algorithm in &self.algorithms {
                                for &schedule in &schedules {
                                    let bits = self.rounding_bits_of(precision).iter();
                                    let works = bits.map(|&r| work(algorithm, schedule, r));
                                    cases.extend(works.map(|work| case(work, precision, device)));
                                }
                            }
                        }
                    }
                }
            }
        }
        let mut ids = HashSet::new();
        cases.retain(|case| ids.insert(case.to_string()));
        cases
    }
}

fn case(work: Work, precision: Precision, device: &Candidate) -> Case {
    Case { work, precision, device: device.info.index, device_slug: device.info.slug.clone() }
}

fn value(variable: &'static str, reason: String) -> SelectionError {
    SelectionError::Value { variable, reason }
}

fn list<'a, T, E: ToString>(
    variable: &'static str,
    text: &'a str,
    parse: impl Fn(&'a str) -> Result<T, E>,
) -> Result<Vec<T>, SelectionError> {
    entries(variable, text, ',')?
        .into_iter()
        .map(|entry| parse(entry).map_err(|e| value(variable, e.to_string())))
        .collect()
}

/// The entries of a list: at least one.
fn entries<'a>(
    variable: &'static str,
    text: &'a str,
    separator: char,
) -> Result<Vec<&'a str>, SelectionError> {
    let entries = text.split(separator).map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        let reason =
            format!("`{text}` is a list of nothing; name something, or unset the variable");
        return Err(value(variable, reason));
    }
    Ok(entries)
}

/// Sizes between commas (`256,512-tn,257x131x73-b8`), or, where there is a semicolon, between semicolons
/// (`256;257,131,73`).
fn shapes(text: &str) -> Result<Vec<Shape>, SelectionError> {
    let separator = if text.contains(';') { ';' } else { ',' };
    entries("TRADEOFF_SIZES", text, separator)?
        .into_iter()
        .map(|entry| entry.parse().map_err(|e| value("TRADEOFF_SIZES", format!("{e}"))))
        .collect()
}

/// The user's own operands and the shape of their product, if they are named.
fn files<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<(Arc<FileOperands>, Shape)>, SelectionError> {
    let (a, b) = match (get("TRADEOFF_A"), get("TRADEOFF_B")) {
        (None, None) => return Ok(None),
        (Some(a), Some(b)) => (a, b),
        (Some(a), None) => {
            return Err(value("TRADEOFF_A", format!("`{a}` is A alone; name the file of B too")));
        }
        (None, Some(b)) => {
            return Err(value("TRADEOFF_B", format!("`{b}` is B alone; name the file of A too")));
        }
    };
    for (variable, what) in [("TRADEOFF_SIZES", "sizes"), ("TRADEOFF_DISTRIBUTIONS", "numbers")] {
        if let Some(text) = get(variable) {
            let reason =
                format!("`{text}`, but the {what} are those of `{a}` and `{b}`; leave it out");
            return Err(value(variable, reason));
        }
    }
    let files = FileOperands::read(a.as_ref(), b.as_ref());
    let files = files.map_err(|e| value("TRADEOFF_A", e.to_string()))?;
    let text = format!("{}x{}x{}", files.a.rows, files.b.cols, files.a.cols);
    let shape = text.parse().map_err(|e| value("TRADEOFF_A", format!("{e}")))?;
    Ok(Some((Arc::new(files), shape)))
}

fn number(variable: &'static str, text: &str, least: u32) -> Result<u32, SelectionError> {
    text.parse().ok().filter(|&x| x >= least).ok_or_else(|| {
        value(variable, format!("`{text}` is no whole number from {least} to {}", u32::MAX))
    })
}

fn rounding_bits(text: &str) -> Result<u32, String> {
    let valid = round::ROUNDING_BITS_VALID;
    text.parse().ok().filter(|bits| valid.contains(bits)).ok_or_else(|| {
        format!(
            "`{text}` is no number of random bits of a rounding; write one from {} to {}",
            valid.start(),
            valid.end()
        )
    })
}

fn workload(name: &str) -> Result<&'static str, String> {
    let all = ["matmul", "sgd"];
    all.into_iter()
        .find(|w| w.eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("unknown workload `{name}`; valid are {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Selection, SelectionError> {
        Selection::from_variables(
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        )
    }

    #[test]
    fn variables_narrow_and_widen() {
        let s = read(&[
            ("TRADEOFF_SIZES", "64, 257x131x73"),
            ("TRADEOFF_PRECISIONS", "fp16-sr,int8"),
            ("TRADEOFF_BATCHES", "1,n"),
            ("TRADEOFF_CHECKS", "on"),
            ("TRADEOFF_KERNELS", "persistent,Naive"),
            ("TRADEOFF_ALGORITHMS", "sgd,HALP"),
            ("TRADEOFF_LEARNING_RATES", "auto, 0.5x,0.01"),
            ("TRADEOFF_SEED", ""),
        ])
        .unwrap();
        assert_eq!(s.shapes, [Shape::square(64), Shape::new(257, 131, 73)]);
        let fp16_sr = [Precision::Fp16Sr, Precision::D16fM16fSr];
        assert!(fp16_sr.iter().all(|p| s.precisions.contains(p)));
        assert_eq!(s.precisions.len(), 4);
        assert_eq!(s.batches, [Batch::Rows(1), Batch::Full]);
        let rates = [LearningRate::Auto, LearningRate::Times(0.5), LearningRate::Value(0.01)];
        assert_eq!(s.learning_rates, rates);
        assert!(s.checks);
        assert_eq!(s.algorithms, [Algorithm::Sgd, Algorithm::Halp]);
        assert_eq!(
            (&s.kernels[..], &s.schedules[..]),
            (&[Kernel::Naive][..], &[Schedule::Persistent][..])
        );
        let s = read(&[("TRADEOFF_KERNELS", "stepwise")]).unwrap();
        assert_eq!(
            (&s.kernels[..], &s.schedules[..]),
            (&Kernel::ALL[..], &[Schedule::Stepwise][..])
        );
        assert_eq!(s.seed, Selection::default().seed);
        let all = read(&[("TRADEOFF_PRECISIONS", "all")]).unwrap().precisions;
        assert!(all.iter().copied().eq(Precision::all()));
        assert!(Precision::standard().eq(Selection::default().precisions));
        assert!(all.len() > Selection::default().precisions.len());
        let s = read(&[("TRADEOFF_SIZES", "8;257,131,73"), ("TRADEOFF_WORKLOADS", "matmul")]);
        let s = s.unwrap();
        assert_eq!(s.shapes, [Shape::square(8), Shape::new(257, 131, 73)]);
        assert!(s.data_sets.is_empty());
    }

    /// A product with a vector has a kernel of its own, and single cases stay with the default sizes.
    #[test]
    fn kernels_are_planned_for_their_shapes() {
        let kernels = |sizes: &str, chosen: &str| {
            let s = read(&[
                ("TRADEOFF_SIZES", sizes),
                ("TRADEOFF_PRECISIONS", "fp32"),
                ("TRADEOFF_KERNELS", chosen),
                ("TRADEOFF_WORKLOADS", "matmul"),
            ]);
            let cases = s.unwrap().plan(&crate::gpu::discover(None).unwrap());
            cases.into_iter().filter(|case| case.device_slug != "cpu").collect::<Vec<_>>()
        };
        assert_eq!(kernels("8,8-tn", "gemv"), []);
        assert!(kernels("8x1x8,1x8x8-tt-b3", "gemv").iter().all(|case| case.kernel() == "gemv"));
        let plain = read(&[("TRADEOFF_KERNELS", "register_tiled")]).unwrap();
        assert_eq!(plain.singles.len(), SINGLES.len());
        assert_eq!(read(&[("TRADEOFF_SIZES", "8")]).unwrap().singles, []);
        assert_eq!(read(&[("TRADEOFF_WORKLOADS", "sgd")]).unwrap().singles, []);
    }

    /// Each number of random bits is a case of its own where anything is rounded by them; the usual
    /// number is no part of an id.
    #[test]
    fn random_bits_multiply_stochastic_cases_alone() {
        let ids = |bits: &[(&str, &str)]| -> Vec<String> {
            let selected = [
                ("TRADEOFF_SIZES", "8"),
                ("TRADEOFF_PRECISIONS", "fp16,fp16-sr,int8-sr"),
                ("TRADEOFF_DISTRIBUTIONS", "cancel(8)"),
                ("TRADEOFF_DATA_SETS", "figure2-16x8"),
                ("TRADEOFF_BATCHES", "4"),
            ];
            let selection = read(&[&selected[..], bits].concat()).unwrap();
            let cases = selection.plan(&crate::gpu::discover(Some("cpu")).unwrap());
            let stochastic = |case: &Case| case.precision.rounding() == Rounding::Stochastic;
            assert!(cases.iter().all(|case| case.rounding_bits().is_some() == stochastic(case)));
            cases.iter().map(Case::to_string).collect()
        };
        let matmul = |precision: &str, bits: &str| {
            format!("matmul/{precision}/mirror/8x8x8-cancel8{bits}/cpu")
        };
        let sgd = |precision: &str, algorithm: &str, bits: &str| {
            format!("sgd/{precision}/mirror/figure2-16x8-b4{algorithm}{bits}/cpu")
        };
        let by = |algorithm: &str, precision: &str| {
            let bits = if precision.ends_with("-SR") { &["-r4", "", "-r8"][..] } else { &[""] };
            bits.iter().map(|bits| sgd(precision, algorithm, bits)).collect::<Vec<_>>()
        };
        let algorithms = ["", "-averaged-sgd"];
        let settings = ["D16fM16f", "D16fM16f-SR", "D8M8-SR"];
        let usual = ["fp16", "fp16-sr", "int8-sr"].map(|precision| matmul(precision, ""));
        assert_eq!(ids(&[]), [usual, settings.map(|precision| sgd(precision, "", ""))].concat());
        let several =
            [("TRADEOFF_ROUNDING_BITS", "4, 16,8,4"), ("TRADEOFF_ALGORITHMS", "sgd,averaged-sgd")];
        let expected = [
            matmul("fp16", ""),
            matmul("fp16-sr", "-r4"),
            matmul("fp16-sr", ""),
            matmul("fp16-sr", "-r8"),
            matmul("int8-sr", "-r4"),
            matmul("int8-sr", ""),
            matmul("int8-sr", "-r8"),
        ];
        let trained = settings.map(|precision| algorithms.map(|a| by(a, precision)).concat());
        assert_eq!(ids(&several), [&expected[..], &trained.concat()].concat());
    }

    #[test]
    fn what_cannot_be_names_the_value_and_the_remedy() {
        for (name, text, told) in [
            ("TRADEOFF_SIZES", "8-nq", "`8-nq` is no matmul size"),
            ("TRADEOFF_PRECISIONS", "fp17", "`fp17`; valid are fp32, fp16,"),
            ("TRADEOFF_KERNELS", "fast", "`fast`; valid are naive, register_tiled"),
            ("TRADEOFF_SIZES", "0", "`0` is no matmul size"),
            ("TRADEOFF_STEPS", "0", "`0` is no whole number from 1"),
            ("TRADEOFF_CHECKS", "yes", "`yes` is neither on nor off"),
            ("TRADEOFF_ROOFLINE", "on", "`on` is neither off, cached nor force"),
            ("TRADEOFF_TUNE", "1", "`1` is neither off, cached nor force"),
            ("TRADEOFF_ORDERS", "all", "`all` is neither off, cached nor force"),
            ("TRADEOFF_WORKLOADS", "fft", "`fft`; valid are matmul, sgd"),
            ("TRADEOFF_DATA_SETS", "mnist", "`mnist`; valid are digits"),
            ("TRADEOFF_ALGORITHMS", "svrg", "`svrg`; valid are sgd, averaged-sgd,"),
            ("TRADEOFF_BATCHES", "-1", "`-1` is no batch size"),
            ("TRADEOFF_LEARNING_RATES", "auto,0x", "`0x` is no learning rate"),
            ("TRADEOFF_SIZES", ";", "`;` is a list of nothing"),
            ("TRADEOFF_KERNELS", " , ", "`,` is a list of nothing"),
            ("TRADEOFF_DISTRIBUTIONS", "gauss", "unknown distribution `gauss`; valid are normal"),
            ("TRADEOFF_DISTRIBUTIONS", ",", "`,` is a list of nothing"),
            ("TRADEOFF_TRIALS", "1", "`1` is no whole number from 2"),
            (
                "TRADEOFF_ROUNDING_BITS",
                "8,0",
                "`0` is no number of random bits of a rounding; write one from 1 to 16",
            ),
            ("TRADEOFF_ROUNDING_BITS", "17", "`17` is no number of random bits"),
            ("TRADEOFF_ROUNDING_BITS", "eight", "`eight` is no number of random bits"),
            ("TRADEOFF_ROUNDING_BITS", ",", "`,` is a list of nothing"),
            ("TRADEOFF_A", "a.npy", "`a.npy` is A alone"),
            ("TRADEOFF_B", "b.npy", "`b.npy` is B alone"),
        ] {
            let message = read(&[(name, text)]).unwrap_err().to_string();
            assert!(message.contains(told) && message.contains(name), "{message}");
        }
        let message = read(&[("TRADEOFF_PRECISION", "fp32")]).unwrap_err().to_string();
        assert!(message.contains("TRADEOFF_PRECISION;") && message.contains("TRADEOFF_PRECISIONS"));
    }
}
