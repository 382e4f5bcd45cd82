//! What two rows agree in that are one case.

use std::fmt;

use super::{By, implementation, without_version};
use crate::frontier;
use crate::measure::Caches;
use crate::record::Record;

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
    pub(super) fn of(record: &Record, by: By) -> Self {
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
    pub(super) fn columns(&self) -> Vec<(&'static str, String)> {
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
pub(super) fn key_words(record: &Record) -> Vec<String> {
    let words = [&record.workload, &record.shape, &record.loss_function].map(String::clone);
    let numbers = [record.seed, record.trial.map(u64::from), record.steps, record.batch_count];
    let numbers = numbers.map(|number| format!("{number:?}"));
    let checks = record.regularisation.map(|number| number.to_string()).unwrap_or_default();
    let algorithm = frontier::algorithm(record).map(|texts| texts.join(" ")).unwrap_or_default();
    words.into_iter().chain(numbers).chain([inputs(record), checks, algorithm]).collect()
}
