//! The error columns that a frontier can be drawn in.

use std::str::FromStr;

use super::Interval;
use crate::record::Record;

/// An error column of the results: the smaller, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the column of its name; `results/README.md` defines them
pub enum Metric {
    RelativeFrobenius,
    MaxComponentwise,
    MaxUlp,
    MedianUlp,
    /// The magnitude of `signed_bias`, which has an interval of its own.
    SignedBias,
    MeasuredOverBound,
    DistanceToF64Trajectory,
    DistanceToOptimum,
    LossGap,
}

/// A column that is no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no error column; valid are {names}", names = Metric::ALL.map(Metric::name).join(", "))]
pub struct MetricError(pub String);

impl Metric {
    /// Every one, in the order of the columns.
    pub const ALL: [Self; 9] = [
        Self::RelativeFrobenius,
        Self::MaxComponentwise,
        Self::MaxUlp,
        Self::MedianUlp,
        Self::SignedBias,
        Self::MeasuredOverBound,
        Self::DistanceToF64Trajectory,
        Self::DistanceToOptimum,
        Self::LossGap,
    ];

    /// Name of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RelativeFrobenius => "relative_frobenius",
            Self::MaxComponentwise => "max_componentwise",
            Self::MaxUlp => "max_ulp",
            Self::MedianUlp => "median_ulp",
            Self::SignedBias => "signed_bias",
            Self::MeasuredOverBound => "measured_over_bound",
            Self::DistanceToF64Trajectory => "distance_to_f64_trajectory",
            Self::DistanceToOptimum => "distance_to_optimum",
            Self::LossGap => "loss_gap",
        }
    }

    /// The error of a row, if its workload has this one. Unit: as the column.
    pub fn of(self, record: &Record) -> Option<f64> {
        match self {
            Self::RelativeFrobenius => record.relative_frobenius,
            Self::MaxComponentwise => record.max_componentwise,
            Self::MaxUlp => record.max_ulp,
            Self::MedianUlp => record.median_ulp,
            Self::SignedBias => record.signed_bias.map(f64::abs),
            Self::MeasuredOverBound => record.measured_over_bound,
            Self::DistanceToF64Trajectory => record.distance_to_f64_trajectory,
            Self::DistanceToOptimum => record.distance_to_optimum,
            Self::LossGap => record.loss_gap,
        }
    }

    /// The interval that the row itself gives the error.
    pub fn interval(self, record: &Record) -> Option<Interval> {
        let Self::SignedBias = self else { return None };
        let (low, high) = (record.signed_bias_ci95_low?, record.signed_bias_ci95_high?);
        let magnitudes = [low.abs(), high.abs()];
        let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { f64::min(low.abs(), high.abs()) };
        let ends = Interval { low: least, high: magnitudes[0].max(magnitudes[1]) };
        (ends.low.is_finite() && ends.high.is_finite()).then_some(ends)
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| MetricError(text.to_owned()))
    }
}
