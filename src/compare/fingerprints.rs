//! Where the devices of the two sides were seen to compute otherwise.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Comparison, Measurement};
use crate::fingerprint::{self, Difference};

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
