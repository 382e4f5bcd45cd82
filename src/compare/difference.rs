//! What differs between the two sides besides what is compared.

use std::fmt;

use super::Comparison;
use crate::record::Record;

/// Something that differs between the rows of some pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What, in the plural.
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

const ASPECTS: [Aspect; 7] = [
    ("drivers", |r| Some(format!("{} {}", r.driver, r.driver_info).trim().to_owned())),
    ("inputs", |r| Some(short(&r.inputs_sha256))),
    ("kernels", |r| Some(format!("{} {}", r.kernel, short(&r.wgsl_sha256)).trim().to_owned())),
    ("run-time checks", |r| r.runtime_checks.map(|on| if on { "on" } else { "off" }.to_owned())),
    ("timing methods", |r| Some(r.timing_method.clone())),
    ("crate revisions", |r| Some(revision(r))),
    ("primary errors", |r| Some(r.primary_error_metric.clone())),
];

pub(super) fn all(comparison: &Comparison) -> Vec<Difference> {
    ASPECTS.iter().filter_map(|aspect| of(comparison, *aspect)).collect()
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
