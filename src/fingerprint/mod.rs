//! The fingerprint of a device: what its arithmetic does wherever IEEE 754 and WGSL leave a choice.
//!
//! [`gpu::Fingerprint`](crate::gpu::Fingerprint) is the small part that is probed whenever a device is
//! opened, since mirrors and bounds follow it. [`DeviceFingerprint`] is the whole: roundings,
//! conversions, subnormals, functions, special values. Its operands come from buffers; what compilers
//! make of literals stands apart. It holds no time and no name, so that devices of the same arithmetic
//! have the same hash.
//!
//! [`order`] reveals in which order a kernel sums, and [`kernels`] that of each matmul kernel, as the device's
//! compiler builds it: which kernels are asked depends on the run, so the hash is not of it, and [`summation`]
//! is apart.

mod arithmetic;
mod conversions;
mod functions;
pub mod kernels;
mod literals;
mod machine;
mod matrix_unit;
pub mod order;
mod rounding;
pub mod summation;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::gpu::{Context, Fingerprint, GpuError, Source, double_differs, lost_errors};
use crate::hexadecimal::hexadecimal;
use crate::number::Arithmetic;
use crate::wgsl;
use arithmetic::{ADD, COPY, EXPLICIT, FORMS, LOAD, MULTIPLY, STORE};
use conversions::{NATIVE, PACK, QUANTIZE};
use functions::{FUNCTION_LIST, SAMPLE, SPECIALS};
use machine::{Denied, Machine};
pub(crate) use matrix_unit::aligned_sum;
pub use summation::{ORDERS, compare_orders, orders};

/// What was seen, by property.
pub type Section = BTreeMap<String, String>;

/// What a device's arithmetic does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFingerprint {
    /// What mirrors and bounds follow.
    #[serde(flatten)]
    pub model: Fingerprint,
    /// What was seen, by section and property, in words that a later run repeats.
    pub observed: BTreeMap<String, Section>,
    /// SHA-256 of the canonical JSON (sorted keys, no spaces) of all else, in hexadecimal.
    pub sha256: String,
}

/// The sections in the order in which they are read.
pub const SECTIONS: [&str; 12] = [
    "fma",
    "rounding",
    "subnormals of f32",
    "subnormals of f16",
    "error-free transformations",
    "conversions",
    "f16 arithmetic",
    "functions",
    "dot4",
    "special values",
    "literals",
    "matrix units",
];

/// The kernels that a [`DeviceFingerprint`] is probed with, beside those of
/// [`gpu::PROBES`](crate::gpu::PROBES), [`gpu::ERROR_FREE`](crate::gpu::ERROR_FREE) and
/// [`gpu::DOUBLE`](crate::gpu::DOUBLE). That of f16 needs `SHADER_F16`.
pub const PROBES: [Source; 10] = [
    wgsl!("probe/memory.wgsl"),
    wgsl!("probe/compensated.wgsl"),
    wgsl!("probe/narrow.wgsl"),
    wgsl!("probe/integers.wgsl"),
    wgsl!("probe/f16.wgsl"),
    wgsl!("probe/functions.wgsl"),
    wgsl!("probe/dot4.wgsl"),
    wgsl!("probe/special.wgsl"),
    wgsl!("probe/literals.wgsl"),
    wgsl!("probe/literals_f16.wgsl"),
];

/// The kernels that matrix units are probed with, two files each. They need matrix units and subgroups,
/// and f16 but for the last.
pub fn matrix_probes() -> [[Source; 2]; 5] {
    matrix_unit::TILES.map(|tile| [tile.types, matrix_unit::KERNEL])
}

impl DeviceFingerprint {
    /// Probes an opened device, in a fraction of a second once its driver has compiled the kernels.
    ///
    /// # Errors
    /// A [`GpuError`] where the device fails. A probe that it lacks or refuses is said in its place.
    pub fn of(context: &Context) -> Result<Self, GpuError> {
        Ok(Self::with(context.fingerprint.clone(), observe(Machine::Gpu(context))?))
    }

    /// Of this program on the CPU: of the arithmetic of its mirrors.
    pub fn of_cpu() -> Self {
        let model = Fingerprint {
            arithmetic: Arithmetic::host(),
            contracts_mul_add: false,
            two_sum_survives: true,
            rounds_to_nearest: true,
            pack2x16_nearest_even: true,
            unmodelled: None,
        };
        // Only a device can fail.
        Self::with(model, observe(Machine::Cpu).unwrap_or_default())
    }

    fn with(model: Fingerprint, observed: BTreeMap<String, Section>) -> Self {
        let mut whole = Self { model, observed, sha256: String::new() };
        let mut value = serde_json::to_value(&whole).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.remove("sha256");
        }
        whole.sha256 = hexadecimal(&Sha256::digest(canonical(&value)));
        whole
    }
}

/// JSON with sorted keys and no spaces, whatever the order of a map is.
fn canonical(value: &Value) -> String {
    let text = |text: &str| Value::from(text).to_string();
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields: Vec<String> =
                sorted.into_iter().map(|(k, v)| format!("{}:{}", text(k), canonical(v))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// Sections as they are filled.
struct Notes<'a> {
    machine: Machine<'a>,
    all: BTreeMap<String, Section>,
}

impl<'a> Notes<'a> {
    fn put(&mut self, section: &str, property: &str, text: String) {
        self.all.entry(section.to_owned()).or_default().insert(property.to_owned(), text);
    }

    /// Asks, and notes the answer or why there is none. An error only where the device failed.
    fn ask(
        &mut self,
        section: &str,
        property: &str,
        question: impl FnOnce(Machine<'a>) -> Result<String, Denied>,
    ) -> Result<(), GpuError> {
        let answer = or_why_not(question(self.machine))?;
        self.put(section, property, answer.unwrap_or_else(|why| why));
        Ok(())
    }
}

/// An answer, or in words why there is none. An error only where the device failed.
fn or_why_not<T>(answer: Result<T, Denied>) -> Result<Result<T, String>, GpuError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Denied::Lacks(what)) => Ok(Err(format!("not available: {what}"))),
        Err(Denied::Fault(GpuError::Compile { entry, .. })) => {
            Ok(Err(format!("not available: the driver refuses {entry}")))
        }
        Err(Denied::Fault(GpuError::Invalid { operation, .. })) => {
            Ok(Err(format!("not available: the driver refuses {operation}")))
        }
        Err(Denied::Fault(error)) => Err(error),
    }
}

fn observe(machine: Machine<'_>) -> Result<BTreeMap<String, Section>, GpuError> {
    let mut notes = Notes { machine, all: BTreeMap::new() };
    observe_f32(&mut notes)?;
    observe_f16(&mut notes)?;
    observe_functions(&mut notes)?;
    for f16 in [false, true] {
        match or_why_not(literals::folded(machine, f16))? {
            Ok(all) => all.into_iter().for_each(|(name, text)| notes.put("literals", name, text)),
            Err(why) => notes.put("literals", if f16 { "f16" } else { "f32" }, why),
        }
    }
    match or_why_not(literals::neutral(machine))? {
        Ok(all) => all.into_iter().for_each(|(name, text)| notes.put("literals", name, text)),
        Err(why) => notes.put("literals", "x beside a literal", why),
    }
    let units = match machine {
        Machine::Gpu(context) => matrix_unit::of_device(context),
        Machine::Cpu => Err(Denied::Lacks("a program of the CPU has no such operation")),
    };
    match or_why_not(units)? {
        Ok(units) => {
            for (unit, features) in units {
                features.into_iter().for_each(|(name, text)| {
                    notes.put("matrix units", &format!("{unit}, {name}"), text);
                });
            }
        }
        Err(why) => notes.put("matrix units", "all", why),
    }
    Ok(notes.all)
}

fn observe_f32(notes: &mut Notes<'_>) -> Result<(), GpuError> {
    notes.ask("fma", "fma(a, b, c)", |m| arithmetic::explicit_fma(m, 0))?;
    notes.ask("fma", "fma(a, b, c) of vectors", |m| arithmetic::explicit_fma(m, 1))?;
    notes.ask("fma", "fma(a, b, c) of f64", fma_of_f64)?;
    notes.ask("fma", "a * b + c", arithmetic::contraction)?;
    notes.ask("rounding", "sums", arithmetic::rounding_of_sums)?;
    notes.ask("rounding", "products", arithmetic::rounding_of_products)?;
    let section = "subnormals of f32";
    for (property, probe) in [("loaded", &LOAD), ("stored", &STORE), ("copied", &COPY)] {
        notes.ask(section, property, |m| arithmetic::moved_subnormals(m, probe))?;
    }
    for (name, probe) in [("sums", &ADD), ("products", &MULTIPLY), ("fma", &EXPLICIT)] {
        for (which, as_operands) in [("operands", true), ("results", false)] {
            notes.ask(section, &format!("{which} of {name}"), |m| {
                arithmetic::computed_subnormals(m, probe, as_operands)
            })?;
        }
    }
    for form in &FORMS {
        notes.ask("error-free transformations", form.name, |m| arithmetic::survives(m, form))?;
    }
    notes.ask("error-free transformations", "as the kernels write them", errors_of_kernels)
}

/// Of the sums and products with their errors on which fp32-comp and fp32x2 rest: of the very functions
/// that those kernels call, since a compiler may spare one form and not another.
fn errors_of_kernels(machine: Machine<'_>) -> Result<String, Denied> {
    let lost = match machine {
        Machine::Gpu(context) => lost_errors(context)?,
        // Rust reassociates nothing.
        Machine::Cpu => None,
    };
    Ok(lost.map_or("survive".to_owned(), |answer| format!("lost: {answer}")))
}

/// Of f64, on which fp64 rests: as that of f32, or the first answer that is another.
fn fma_of_f64(machine: Machine<'_>) -> Result<String, Denied> {
    let (arithmetic, differs) = match machine {
        Machine::Gpu(context) if !context.info.shader_f64 => return Err(Denied::Lacks("no f64")),
        Machine::Gpu(context) => {
            let arithmetic = context.fingerprint.arithmetic;
            (arithmetic, double_differs(context, arithmetic)?)
        }
        Machine::Cpu => (Arithmetic::host(), None),
    };
    let rounded = if arithmetic.fused_fma { "rounded once" } else { "rounded twice" };
    Ok(differs.map_or(rounded.to_owned(), |answer| format!("not as that of f32: {answer}")))
}

fn observe_f16(notes: &mut Notes<'_>) -> Result<(), GpuError> {
    let section = "subnormals of f16";
    notes.ask(section, "unpack2x16float", conversions::unpacked_subnormals)?;
    notes.ask(section, "loaded as f16", conversions::loaded_subnormals)?;
    notes.ask(section, "copied as f16", conversions::copied_subnormals)?;
    notes.ask(section, "operands in f16", |m| conversions::computed_subnormals(m, true))?;
    notes.ask(section, "results in f16", |m| conversions::computed_subnormals(m, false))?;
    let section = "conversions";
    notes.ask(section, "f32 to f16, pack2x16float", |m| PACK.describe(m))?;
    notes.ask(section, "f32 to f16, quantizeToF16", |m| QUANTIZE.describe(m))?;
    notes.ask(section, "f32 to f16, f16()", |m| NATIVE.describe(m))?;
    notes.ask(section, "f32 to i32", |m| conversions::to_integer(m, true))?;
    notes.ask(section, "f32 to u32", |m| conversions::to_integer(m, false))?;
    notes.ask(section, "i32 to f32", |m| conversions::from_integer(m, true))?;
    notes.ask(section, "u32 to f32", |m| conversions::from_integer(m, false))?;
    let section = "f16 arithmetic";
    notes.ask(section, "sums", |m| conversions::native_rounding(m, true))?;
    notes.ask(section, "products", |m| conversions::native_rounding(m, false))?;
    notes.ask(section, "fma(a, b, c)", conversions::native_fma)
}

fn observe_functions(notes: &mut Notes<'_>) -> Result<(), GpuError> {
    for function in &FUNCTION_LIST {
        notes.ask("functions", function.name, |m| functions::accuracy(m, function))?;
        let sample = format!("{SAMPLE} numbers, {}", function.sample);
        notes.put("functions", &format!("{}, sample", function.name), sample);
    }
    notes.ask("dot4", "dot4I8Packed", |m| functions::dot4(m, true))?;
    notes.ask("dot4", "dot4U8Packed", |m| functions::dot4(m, false))?;
    let section = "special values";
    for special in &SPECIALS {
        notes.ask(section, special.0, |m| functions::special(m, special))?;
    }
    notes.ask(section, "comparisons", functions::comparing)?;
    notes.ask(section, "min and max", functions::extremes)?;
    notes.ask(section, "NaN and infinity in memory", functions::moved_specials)
}

/// What differs between two fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Properties that both have, and that differ.
    pub differences: Vec<Difference>,
    /// Properties that only the one here has: the other was written before they were probed.
    pub only_here: Vec<String>,
    /// Properties that only the other one has.
    pub only_there: Vec<String>,
    /// Properties that both have and that are the same.
    pub same: usize,
}

/// A property that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name, with that of its section.
    pub property: String,
    /// What was seen here.
    pub here: String,
    /// What the other has.
    pub there: String,
}

impl Comparison {
    /// Both at once: of what two comparisons of one device found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.differences.extend(other.differences);
        self.only_here.extend(other.only_here);
        self.only_there.extend(other.only_there);
        Self { same: self.same + other.same, ..self }
    }
}

/// Compares two fingerprints as `run.json` has them, of whatever version: property by property.
pub fn compare(here: &Value, there: &Value) -> Comparison {
    compared(&properties(here), &properties(there))
}

fn compared(here: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> Comparison {
    let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut comparison = Comparison::default();
    for name in names {
        match (here.get(name), there.get(name)) {
            (Some(here), Some(there)) if here == there => comparison.same += 1,
            (Some(here), Some(there)) => comparison.differences.push(Difference {
                property: name.clone(),
                here: here.clone(),
                there: there.clone(),
            }),
            (Some(_), None) => comparison.only_here.push(name.clone()),
            _ => comparison.only_there.push(name.clone()),
        }
    }
    comparison
}

/// The properties of a fingerprint as `run.json` has it, by `section: property`; what mirrors follow is
/// in the section `model`. Its hash, what describes a sample and the orders of kernels are none.
pub fn properties(fingerprint: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let Value::Object(fields) = fingerprint else { return all };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    let counts = |name: &str| !["sha256", ORDERS].contains(&name);
    for (name, value) in fields.iter().filter(|(name, _)| counts(name)) {
        match (name.as_str(), value) {
            ("observed", Value::Object(sections)) => {
                for (section, properties) in sections {
                    for (property, value) in properties.as_object().into_iter().flatten() {
                        if !property.ends_with(", sample") {
                            all.insert(format!("{section}: {property}"), text(value));
                        }
                    }
                }
            }
            ("arithmetic", Value::Object(choices)) => {
                all.extend(choices.iter().map(|(k, v)| (format!("model: {k}"), text(v))));
            }
            _ => {
                all.insert(format!("model: {name}"), text(value));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_every_section_and_a_stable_hash() {
        let cpu = DeviceFingerprint::of_cpu();
        let known: BTreeSet<&str> = cpu.observed.keys().map(String::as_str).collect();
        assert_eq!(known, BTreeSet::from(SECTIONS));
        assert_eq!(cpu, DeviceFingerprint::of_cpu());
        assert_eq!(cpu.sha256.len(), 64);
        let said = |section: &str, property: &str| cpu.observed[section][property].as_str();
        assert_eq!(said("error-free transformations", "TwoSum"), "survives");
        assert_eq!(said("subnormals of f32", "results of products"), "kept");
        assert_eq!(said("rounding", "sums"), "nearest, ties to even");
        assert_eq!(said("special values", "inf - inf"), "NaN");
    }

    #[test]
    fn the_hash_is_of_what_was_seen() {
        let cpu = DeviceFingerprint::of_cpu();
        let mut observed = cpu.observed.clone();
        observed.get_mut("fma").unwrap().insert("a * b + c".into(), "otherwise".into());
        let other = DeviceFingerprint::with(cpu.model.clone(), observed);
        assert_ne!(other.sha256, cpu.sha256);
        let back: DeviceFingerprint =
            serde_json::from_str(&serde_json::to_string(&cpu).unwrap()).unwrap();
        assert_eq!(back, cpu);
        assert_eq!(
            canonical(&serde_json::json!({"b": [1, "x\""], "a": null})),
            r#"{"a":null,"b":[1,"x\""]}"#
        );
    }

    #[test]
    fn a_difference_names_both_sides() {
        let here = serde_json::to_value(DeviceFingerprint::of_cpu()).unwrap();
        assert_eq!(compare(&here, &here).differences, []);
        let mut there = here.clone();
        there["observed"]["rounding"]["sums"] = "toward zero".into();
        there["arithmetic"]["fused_fma"] = Value::Null;
        there["sha256"] = "of something else".into();
        let found = compare(&here, &there);
        let names: Vec<&str> = found.differences.iter().map(|d| d.property.as_str()).collect();
        assert_eq!(names, ["model: fused_fma", "rounding: sums"]);
        assert_eq!(found.differences[1].there, "toward zero");
        // As a run of schema 2 wrote it: the CPU had its model alone.
        let old = serde_json::json!({ "arithmetic": here["arithmetic"] });
        let found = compare(&here, &old);
        assert_eq!((found.same, found.differences.len(), found.only_there.len()), (3, 0, 0));
        assert!(found.only_here.len() > 50, "{}", found.only_here.len());
    }
}
