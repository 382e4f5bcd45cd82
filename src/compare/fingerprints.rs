//! Where the devices of the two sides were seen to compute otherwise.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Comparison, Measurement};
use crate::fingerprint::kernels::KernelOrder;
use crate::fingerprint::{self, Difference, summation};
use crate::record::Record;

/// Findings that a line names before it says how many more there are.
const NAMED: usize = 5;

/// Two devices of pairs whose fingerprints differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FingerprintDifference {
    /// A's device.
    pub device_a: String,
    /// B's device.
    pub device_b: String,
    /// Hash of A's fingerprint; empty where an earlier version took none.
    pub sha256_a: String,
    /// The same of B.
    pub sha256_b: String,
    /// Findings that differ: `here` is A, `there` is B.
    pub findings: Vec<Difference>,
    /// Findings that one alone has, for the other's version did not probe them.
    pub only_one: usize,
    /// Whether `run.json` tells the findings of both.
    pub known: bool,
}

impl fmt::Display for FingerprintDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_a, device_b, findings, only_one, .. } = self;
        let hash = |hash: &str| match hash.get(..12) {
            Some(short) => format!("`{short}`"),
            None => "no hash".to_owned(),
        };
        let (a, b) = (hash(&self.sha256_a), hash(&self.sha256_b));
        write!(f, "different fingerprints: A's {device_a} has {a}, B's {device_b} has {b}; ")?;
        if !self.known {
            return write!(f, "without both run.json nothing says in what");
        }
        if findings.is_empty() {
            return write!(f, "they differ only in {only_one} findings that one of them lacks");
        }
        let finding = |Difference { property, here, there }: &Difference| {
            format!("{property} (A: {}; B: {})", shortened(here), shortened(there))
        };
        let named: Vec<String> = findings.iter().take(NAMED).map(finding).collect();
        let differ = match findings.len() {
            1 => "1 finding differs".to_owned(),
            count => format!("{count} findings differ"),
        };
        write!(f, "{differ}: {}", named.join(", "))?;
        match findings.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more, which --json lists"),
        }
    }
}

/// Enough of a finding to tell it from the other side's in a message.
fn shortened(finding: &str) -> String {
    const LONGEST: usize = 48;
    match finding.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &finding[..end]),
        None => finding.to_owned(),
    }
}

/// A kernel of pairs that sums in another order on the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderDifference {
    /// Precision and kernel of A.
    pub kernel_a: String,
    /// A's device.
    pub device_a: String,
    /// A's order: its name and its tree.
    pub order_a: String,
    /// Precision and kernel of B.
    pub kernel_b: String,
    /// B's device.
    pub device_b: String,
    /// B's order.
    pub order_b: String,
}

impl fmt::Display for OrderDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel_a, device_a, order_a, kernel_b, device_b, order_b } = self;
        let (a, b) = (shortened(order_a), shortened(order_b));
        write!(
            f,
            "different summation orders, so other errors are to be expected: A's {kernel_a} on \
             {device_a} sums {a}; B's {kernel_b} on {device_b} {b}"
        )
    }
}

/// The kernels of pairs of which both sides know the order, where the two are not the same; each once, in
/// the order of the pairs. Sums that are exact have no order that matters, and none was found of others.
pub(super) fn of_orders(comparison: &Comparison) -> Vec<OrderDifference> {
    let mut all: Vec<OrderDifference> = vec![];
    for pair in &comparison.pairs {
        let (a, b) = comparison.rows(pair);
        let both = order(&comparison.a, a).zip(order(&comparison.b, b));
        let Some((a_sums, b_sums)) = both.filter(|(a, b)| (&a.tree, a.k) != (&b.tree, b.k)) else {
            continue;
        };
        let difference = OrderDifference {
            kernel_a: a_sums.of_what(),
            device_a: a.record.device.clone(),
            order_a: a_sums.told(),
            kernel_b: b_sums.of_what(),
            device_b: b.record.device.clone(),
            order_b: b_sums.told(),
        };
        if !all.contains(&difference) {
            all.push(difference);
        }
    }
    all
}

/// The order of the kernel that a row measured, if its run found one.
fn order(side: &super::Side, row: &Measurement) -> Option<KernelOrder> {
    let Measurement { record, source, .. } = row;
    let fingerprint = side.fingerprints.get(&(source.file.clone(), record.device.clone()))?;
    let of_row = |order: &KernelOrder| {
        let named = [&order.kernel, &order.precision, &order.parameters, &order.wgsl_sha256];
        let Record { kernel, precision, kernel_parameters, wgsl_sha256, .. } = record;
        named == [kernel, precision, kernel_parameters, wgsl_sha256] && !order.tree.is_empty()
    };
    summation::listed(fingerprint).into_iter().find(of_row)
}

/// Each two devices once, in the order of the pairs.
pub(super) fn all(comparison: &Comparison) -> Vec<FingerprintDifference> {
    let mut seen = vec![];
    let mut all: Vec<FingerprintDifference> = vec![];
    for pair in &comparison.pairs {
        let (a, b) = comparison.rows(pair);
        let key = [a, b].map(|row| (&row.source.file, &row.record.device));
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        // Several runs of one device say it once.
        if let Some(difference) = of(comparison, a, b).filter(|found| !all.contains(found)) {
            all.push(difference);
        }
    }
    all
}

fn of(comparison: &Comparison, a: &Measurement, b: &Measurement) -> Option<FingerprintDifference> {
    let [hash_a, hash_b] = [a, b].map(|row| row.record.fingerprint_sha256.clone());
    let both_hashed = !hash_a.is_empty() && !hash_b.is_empty();
    if both_hashed && hash_a == hash_b {
        return None;
    }
    let found = |side: &super::Side, row: &Measurement| -> Option<Value> {
        side.fingerprints.get(&(row.source.file.clone(), row.record.device.clone())).cloned()
    };
    let both = found(&comparison.a, a).zip(found(&comparison.b, b));
    let compared = both.map(|(a, b)| fingerprint::compare(&a, &b));
    let known = compared.is_some();
    let compared = compared.unwrap_or_default();
    // Where a version hashed nothing only what both probed can differ.
    (both_hashed || !compared.differences.is_empty()).then(|| FingerprintDifference {
        device_a: a.record.device.clone(),
        device_b: b.record.device.clone(),
        sha256_a: hash_a,
        sha256_b: hash_b,
        findings: compared.differences,
        only_one: compared.only_here.len() + compared.only_there.len(),
        known,
    })
}
