//! How the samples of a case were drawn: the columns of a row that say so.

use super::roofline::operations_per_joule;
use super::sampler::StopReason;
use super::telemetry::Reading;
use crate::record::Record;

/// Whether the samples of several cases are drawn in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interleaving {
    /// In rounds, each with a sample of every case of a problem, in an order of its own.
    #[default]
    Rounds,
    /// One case after the other.
    None,
}

impl Interleaving {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rounds => "rounds",
            Self::None => "none",
        }
    }
}

/// What the caches hold when an iteration begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caches {
    /// What the iteration before left there: each reads the same buffers.
    #[default]
    Warm,
    /// Nothing of use: iterations go through copies of the buffers that together are at least twice
    /// the last-level cache.
    Cold,
}

impl Caches {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// Who drew the samples of a row's main stage, how, and what the device said meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Why they ended.
    pub stop_reason: StopReason,
    /// Width of the median's interval, over the median, at which they were to end. Unit: 1.
    pub interval_width_wanted: Option<f64>,
    /// Whether they were drawn in turn with those of other cases.
    pub interleaving: Interleaving,
    /// Wall time of warm-up and samples. Unit: ns.
    pub sampling_ns: Option<f64>,
    /// The device before the first of them.
    pub before: Reading,
    /// The device after the last.
    pub after: Reading,
    /// Energy of one iteration. Unit: J.
    pub energy_j: Option<f64>,
}

impl Drawing {
    /// Criterion's, which neither interleaves nor stops at an interval.
    pub fn criterion() -> Self {
        Self {
            stop_reason: StopReason::Criterion,
            interval_width_wanted: None,
            interleaving: Interleaving::None,
            sampling_ns: None,
            before: Reading::default(),
            after: Reading::default(),
            energy_j: None,
        }
    }

    /// Fills the columns of a timed row.
    pub(super) fn fill(&self, record: &mut Record) {
        let Self { before, after, .. } = self;
        record.stop_reason = self.stop_reason.name().to_owned();
        record.interval_width_wanted = self.interval_width_wanted;
        record.interleaving = self.interleaving.name().to_owned();
        record.processes = Some(1);
        record.sampling_ns = self.sampling_ns;
        record.clock_before_mhz = before.clock_mhz;
        record.clock_after_mhz = after.clock_mhz;
        record.temperature_before_c = before.temperature_c;
        record.temperature_after_c = after.temperature_c;
        record.power_before_w = before.power_w;
        record.power_after_w = after.power_w;
        let throttling = Reading::throttling(before, after);
        record.throttled = throttling.as_ref().map(|throttling| throttling.slowed);
        record.throttle_reasons = throttling.map(|t| t.reasons.join(" ")).unwrap_or_default();
        record.energy_j = self.energy_j;
        record.operations_per_joule = operations_per_joule(record);
    }
}
