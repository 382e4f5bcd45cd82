//! Which cases to measure: the `TRADEOFF_*` environment variables, and the plan that they mean.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::str::FromStr;

use super::cache::Policy;
use super::case::{Case, Work};
use crate::gpu::Candidate;
use crate::number::Precision;
use crate::problem::dataset::DatasetSpec;
use crate::workload::matmul::{Kernel, Shape};
use crate::workload::sgd::LearningRate;

/// A variable holds what it cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Not one of this program's variables.
    #[error("unknown variable {0}; valid are {names}", names = VARIABLES.join(", "))]
    Variable(String),
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
pub const VARIABLES: [&str; 18] = [
    "TRADEOFF_DEVICES",
    "TRADEOFF_WORKLOADS",
    "TRADEOFF_SIZES",
    "TRADEOFF_PRECISIONS",
    "TRADEOFF_KERNELS",
    "TRADEOFF_DATA_SETS",
    "TRADEOFF_BATCHES",
    "TRADEOFF_STEPS",
    "TRADEOFF_LEARNING_RATES",
    "TRADEOFF_SEED",
    "TRADEOFF_TRIAL",
    "TRADEOFF_CHECKS",
    "TRADEOFF_ROOFLINE",
    "TRADEOFF_TUNE",
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
    /// Matmul shapes; empty where matmul is not selected.
    pub shapes: Vec<Shape>,
    /// Precisions of either workload.
    pub precisions: Vec<Precision>,
    /// Matmul kernels on a GPU.
    pub kernels: Vec<Kernel>,
    /// SGD data sets; empty where SGD is not selected.
    pub data_sets: Vec<DatasetSpec>,
    /// Batch sizes.
    pub batches: Vec<Batch>,
    /// SGD steps of one run.
    pub steps: u32,
    /// SGD learning rates.
    pub learning_rates: Vec<LearningRate>,
    /// First word of the key of all random bits; it draws the problems too.
    pub seed: u32,
    /// Second word of the key: another trial rounds the same problem with other bits.
    pub trial: u32,
    /// Keep the shaders' run-time checks of indices and loops.
    pub checks: bool,
    /// Whether the roofline of each device is measured.
    pub roofline: Policy,
    /// Whether the parameters of kernels are tuned.
    pub tune: Policy,
    /// The folder of what runs keep for each other; the system's if none is named.
    pub cache: Option<PathBuf>,
    /// The folder that run folders are made in.
    pub results: PathBuf,
}

impl Default for Selection {
    /// What a plain `cargo bench` measures.
    fn default() -> Self {
        Self {
            shapes: vec![Shape::square(256), Shape::square(512)],
            precisions: Precision::standard().collect(),
            kernels: Kernel::ALL.to_vec(),
            data_sets: vec![DatasetSpec::Digits, DatasetSpec::Figure2 { n: 1024, d: 1024 }],
            batches: vec![Batch::Rows(32)],
            steps: 200,
            learning_rates: vec![LearningRate::Auto],
            seed: 1,
            trial: 0,
            checks: false,
            roofline: Policy::default(),
            tune: Policy::default(),
            cache: None,
            results: PathBuf::from("results"),
        }
    }
}

impl Selection {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, SelectionError> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("TRADEOFF_"))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()));
        Self::from_variables(variables.collect())
    }

    /// Reads variables; one that is absent or empty leaves its default.
    pub fn from_variables(variables: BTreeMap<String, String>) -> Result<Self, SelectionError> {
        if let Some(name) = variables.keys().find(|name| !VARIABLES.contains(&name.as_str())) {
            return Err(SelectionError::Variable(name.clone()));
        }
        let get = |name: &str| variables.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let mut selection = Self::default();
        if let Some(text) = get("TRADEOFF_SIZES") {
            selection.shapes = shapes(text)?;
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
            selection.kernels = list("TRADEOFF_KERNELS", text, str::parse)?;
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
        if let Some(text) = get("TRADEOFF_SEED") {
            selection.seed = number("TRADEOFF_SEED", text, 0)?;
        }
        if let Some(text) = get("TRADEOFF_TRIAL") {
            selection.trial = number("TRADEOFF_TRIAL", text, 0)?;
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
        for (name, policy) in
            [("TRADEOFF_ROOFLINE", &mut selection.roofline), ("TRADEOFF_TUNE", &mut selection.tune)]
        {
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
            }
            if !names.contains(&"sgd") {
                selection.data_sets.clear();
            }
        }
        Ok(selection)
    }

    /// The cases, in the order in which they are measured: those that share a problem together, and
    /// each once, however often the selection names it.
    pub fn plan(&self, devices: &[Candidate]) -> Vec<Case> {
        let mut cases = vec![];
        for &shape in &self.shapes {
            for device in devices {
                for &precision in self.precisions.iter().filter(|p| Precision::MATMUL.contains(p)) {
                    let kernels: Vec<_> = if device.is_cpu() {
                        vec![None]
                    } else {
                        let exist = self.kernels.iter().filter(|kernel| kernel.computes(precision));
                        exist.copied().map(Some).collect()
                    };
                    let works = kernels.into_iter().map(|kernel| Work::Matmul { shape, kernel });
                    cases.extend(works.map(|work| case(work, precision, device)));
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
                    let work = Work::Sgd { data, batch, steps: self.steps, learning_rate };
                    for device in devices {
                        let settings =
                            self.precisions.iter().filter(|p| Precision::SGD.contains(p));
                        cases.extend(settings.map(|&p| case(work.clone(), p, device)));
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

/// Sizes between commas (`256,512,257x131x73`), or, where there is a semicolon, between semicolons
/// (`256;257,131,73`).
fn shapes(text: &str) -> Result<Vec<Shape>, SelectionError> {
    let separator = if text.contains(';') { ';' } else { ',' };
    entries("TRADEOFF_SIZES", text, separator)?
        .into_iter()
        .map(|entry| entry.parse().map_err(|e| value("TRADEOFF_SIZES", format!("{e}"))))
        .collect()
}

fn number(variable: &'static str, text: &str, least: u32) -> Result<u32, SelectionError> {
    text.parse().ok().filter(|&x| x >= least).ok_or_else(|| {
        value(variable, format!("`{text}` is no whole number from {least} to {}", u32::MAX))
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
            ("TRADEOFF_LEARNING_RATES", "auto, 0.5x,0.01"),
            ("TRADEOFF_SEED", ""),
        ])
        .unwrap();
        assert_eq!(s.shapes, [Shape::square(64), Shape { m: 257, n: 131, k: 73 }]);
        let fp16_sr = [Precision::Fp16Sr, Precision::D16fM16fSr];
        assert!(fp16_sr.iter().all(|p| s.precisions.contains(p)));
        assert_eq!(s.precisions.len(), 4);
        assert_eq!(s.batches, [Batch::Rows(1), Batch::Full]);
        let rates = [LearningRate::Auto, LearningRate::Times(0.5), LearningRate::Value(0.01)];
        assert_eq!(s.learning_rates, rates);
        assert!(s.checks);
        assert_eq!(s.seed, Selection::default().seed);
        let all = read(&[("TRADEOFF_PRECISIONS", "all")]).unwrap().precisions;
        assert!(all.iter().copied().eq(Precision::all()));
        assert!(Precision::standard().eq(Selection::default().precisions));
        assert!(all.len() > Selection::default().precisions.len());
        let s = read(&[("TRADEOFF_SIZES", "8;257,131,73"), ("TRADEOFF_WORKLOADS", "matmul")]);
        let s = s.unwrap();
        assert_eq!(s.shapes, [Shape::square(8), Shape { m: 257, n: 131, k: 73 }]);
        assert!(s.data_sets.is_empty());
    }

    #[test]
    fn what_cannot_be_names_the_value_and_the_remedy() {
        for (name, text, told) in [
            ("TRADEOFF_PRECISIONS", "fp17", "`fp17`; valid are fp32, fp16,"),
            ("TRADEOFF_KERNELS", "fast", "`fast`; valid are naive, register_tiled"),
            ("TRADEOFF_SIZES", "0", "`0` is no matmul size"),
            ("TRADEOFF_STEPS", "0", "`0` is no whole number from 1"),
            ("TRADEOFF_CHECKS", "yes", "`yes` is neither on nor off"),
            ("TRADEOFF_ROOFLINE", "on", "`on` is neither off, cached nor force"),
            ("TRADEOFF_TUNE", "1", "`1` is neither off, cached nor force"),
            ("TRADEOFF_WORKLOADS", "fft", "`fft`; valid are matmul, sgd"),
            ("TRADEOFF_DATA_SETS", "mnist", "`mnist`; valid are digits"),
            ("TRADEOFF_BATCHES", "-1", "`-1` is no batch size"),
            ("TRADEOFF_LEARNING_RATES", "auto,0x", "`0x` is no learning rate"),
            ("TRADEOFF_SIZES", ";", "`;` is a list of nothing"),
            ("TRADEOFF_KERNELS", " , ", "`,` is a list of nothing"),
        ] {
            let message = read(&[(name, text)]).unwrap_err().to_string();
            assert!(message.contains(told) && message.contains(name), "{message}");
        }
        let message = read(&[("TRADEOFF_PRECISION", "fp32")]).unwrap_err().to_string();
        assert!(message.contains("TRADEOFF_PRECISION;") && message.contains("TRADEOFF_PRECISIONS"));
    }
}
