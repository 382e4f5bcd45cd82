//! What differs between the two sides besides what is compared.

use std::fmt;

use super::{By, Comparison, implementation};
use crate::record::Record;

/// Something that differs between the rows of some pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// Pairs in which it does.
    pub pairs: usize,
    /// All pairs.
    pub of: usize,
    /// The first such case.
    pub case: String,
    /// What A has there.
    pub a: String,
    /// What B has there.
    pub b: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, pairs, of, case, a, b } = self;
        let shown = |text: &str| if text.is_empty() { "none".into() } else { format!("`{text}`") };
        let (a, b) = (shown(a), shown(b));
        write!(f, "different {what} in {pairs} of {of} cases: in {case}, A has {a}, B has {b}")
    }
}

/// What a row says about an aspect; `None` where it says nothing and that is no difference.
type Aspect = (&'static str, fn(&Record) -> Option<String>);

const ASPECTS: [Aspect; 14] = [
    (IMPLEMENTATIONS, |r| Some(implementation(r).to_owned())),
    ("drivers", |r| Some(format!("{} {}", r.driver, r.driver_info).trim().to_owned())),
    ("inputs", |r| Some(short(&r.inputs_sha256))),
    ("kernels", |r| Some(format!("{} {}", r.kernel, short(&r.wgsl_sha256)).trim().to_owned())),
    ("kernel parameters", |r| said(&r.kernel_parameters)),
    ("paths of f16", |r| said(&r.f16_path)),
    ("run-time checks", |r| r.runtime_checks.map(|on| if on { "on" } else { "off" }.to_owned())),
    ("timing methods", |r| Some(r.timing_method.clone())),
    ("interleaving", |r| said(&r.interleaving)),
    ("throttling", |r| r.throttled.map(|on| if on { "slowed" } else { "not slowed" }.to_owned())),
    ("processors", |r| said(&r.cpu)),
    ("versions of wgpu", |r| said(&r.wgpu_version)),
    ("crate revisions", |r| Some(revision(r))),
    ("primary errors", |r| Some(r.primary_error_metric.clone())),
];

/// What is compared by implementation and is no difference then.
const IMPLEMENTATIONS: &str = "implementations";

/// Nothing where the row says nothing: an older file, or a device that cannot be asked.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn all(comparison: &Comparison) -> Vec<Difference> {
    let compared = |what: &str| comparison.by == By::Implementation && what == IMPLEMENTATIONS;
    let aspects = ASPECTS.iter().filter(|(what, _)| !compared(what));
    aspects.filter_map(|aspect| of(comparison, *aspect)).collect()
}

fn of(comparison: &Comparison, (what, value): Aspect) -> Option<Difference> {
    let differing = comparison.pairs.iter().filter_map(|pair| {
        let (a, b) = comparison.rows(pair);
        let (a, b) = (value(&a.record)?, value(&b.record)?);
        (a != b).then(|| (pair.case.to_string(), a, b))
    });
    let differing: Vec<_> = differing.collect();
    let (pairs, of) = (differing.len(), comparison.pairs.len());
    differing.into_iter().next().map(|(case, a, b)| Difference { what, pairs, of, case, a, b })
}

/// Enough of a hash to tell one from the next in a message.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// A build from changed files is not the commit's.
fn revision(record: &Record) -> String {
    let dirty = if record.git_dirty == Some(true) { " with changes" } else { "" };
    format!("{} {}{dirty}", record.crate_version, short(&record.git_revision))
}
