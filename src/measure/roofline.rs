//! The roofline of a device (Williams, Waterman, Patterson 2009): the most operations a second that
//! its units do on operands in registers, the most bytes a second that its memory moves, and what a
//! dispatch costs. Measured, not taken from a data sheet, and kept from run to run.

mod cpu;
mod gpu;
mod session;

use serde::{Deserialize, Serialize};

use crate::number::{Format, Precision};
use crate::record::Record;
use crate::workload::sgd::Algorithm;

pub use gpu::{Probe, probes};

/// A measured peak of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Operations a second, in billions, of the best run; a product-add is two.
    pub gops: f64,
    /// Those of the median run: much less where other programs disturbed most runs.
    pub median_gops: f64,
    /// The candidate that was fastest.
    pub kernel: String,
    /// Candidates that were tried.
    pub candidates: usize,
}

impl Peak {
    /// A warning where the median run was so much slower than the best that even the best may have
    /// been disturbed.
    fn disturbed(&self) -> Option<String> {
        let ratio = self.gops / self.median_gops;
        (ratio > 1.25).then(|| {
            format!(
                "the median run was {ratio:.1} times as slow as the best: the device was busy, and the \
                 peak may be too low; it counts for this run and is not cached"
            )
        })
    }
}

/// A measured bandwidth of the memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes read and written a second, in billions.
    pub gbs: f64,
    /// Bytes read and written in one pass over the buffers.
    pub pass_bytes: u64,
    /// The candidate that was fastest.
    pub kernel: String,
    /// Candidates that were tried.
    pub candidates: usize,
}

impl Bandwidth {
    /// Of reading: at least what a copy reads, half of its bytes.
    fn at_least_that_of(self, copy: &Self) -> Self {
        if self.gbs >= copy.gbs / 2.0 {
            return self;
        }
        let (gbs, pass_bytes) = (copy.gbs / 2.0, copy.pass_bytes / 2);
        Self { gbs, pass_bytes, kernel: format!("half of a copy, {}", copy.kernel), ..self }
    }
}

/// What bounds every kernel of a device. A unit that the device lacks is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// When it was measured: RFC 3339, UTC.
    pub utc: String,
    /// Time that measuring it took. Unit: s.
    pub measuring_s: f64,
    /// The clock of all its times: `timestamp` or `host`.
    pub timing_method: String,
    /// Product-adds in f32.
    pub f32_fma: Option<Peak>,
    /// Product-adds in f16, where the device computes in f16.
    pub f16_fma: Option<Peak>,
    /// Products of packed int8 summed in 32 bits.
    pub dot4: Option<Peak>,
    /// The matrix units, sums in f32.
    pub cooperative_f32: Option<Peak>,
    /// The matrix units, sums in f16.
    pub cooperative_f16: Option<Peak>,
    /// Reading.
    pub read: Option<Bandwidth>,
    /// Reading and writing as much.
    pub copy: Option<Bandwidth>,
    /// Time of a dispatch that does nothing, of many in one submission, each behind the one before.
    /// Unit: ns.
    pub dispatch_latency_ns: f64,
    /// Host time of submitting one such dispatch and waiting for it. Unit: ns.
    pub submission_round_trip_ns: Option<f64>,
}

/// A unit that computes. The name is the row's `peak_unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Product-adds in f32.
    F32Fma,
    /// Product-adds in f16.
    F16Fma,
    /// Products of packed int8.
    Dot4,
    /// Half of the operations products of packed int8, the other half product-adds in f32, one after
    /// the other: SGD on integers, whose inner products are exact and whose gradient sums are in f32.
    /// The update, in f32 too, is the smaller the larger the batch, 1 in batch + 1 of the operations,
    /// and counts as if it were mixed alike.
    Dot4AndF32Fma,
    /// The matrix units, sums in f32.
    CooperativeF32,
    /// The matrix units, sums in f16.
    CooperativeF16,
}

impl Unit {
    /// The word in the column `peak_unit`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32Fma => "f32_fma",
            Self::F16Fma => "f16_fma",
            Self::Dot4 => "dot4",
            Self::Dot4AndF32Fma => "dot4+f32_fma",
            Self::CooperativeF32 | Self::CooperativeF16 => "cooperative",
        }
    }

    /// The unit that a row's kernel computes with; `None` for a precision that this build does not
    /// know, for LP-SVRG and HALP on a GPU, whose full gradients are the host's, and for a peer in fewer
    /// bits than f32: it may have units that no WGSL reaches. Formats that
    /// the kernels widen (bf16, packed f16, fixed point beside f32) compute in f32, and so does an f16
    /// accumulator that is rounded in integer bits, which is all but that of the kernels called `native`.
    pub fn of(record: &Record) -> Option<Self> {
        if is_of_two_machines(record) {
            return None;
        }
        let precision: Precision = record.precision.parse().ok()?;
        let (storage, accumulator) = (precision.storage(), precision.accumulator());
        let is_peer = !matches!(record.implementation.as_str(), "" | "tradeoff");
        if is_peer && storage != Format::F32 {
            return None;
        }
        let in_f16 = accumulator == Format::F16;
        Some(match (storage, accumulator) {
            (Format::Int8 | Format::Int4 | Format::MxInt8, _) => Self::Dot4,
            (Format::Fixed8, Format::Fixed8) | (Format::Fixed4, Format::Fixed4) => {
                Self::Dot4AndF32Fma
            }
            // No peak of f64 is measured.
            (Format::F64, _) => return None,
            _ if record.kernel.starts_with("cooperative") && in_f16 => Self::CooperativeF16,
            _ if record.kernel.starts_with("cooperative") => Self::CooperativeF32,
            _ if in_f16 && record.kernel.contains("native") => Self::F16Fma,
            _ => Self::F32Fma,
        })
    }
}

impl Roofline {
    /// Whether a peak may be too low because the device was busy.
    fn is_disturbed(&self) -> bool {
        let peaks = [&self.f32_fma, &self.f16_fma, &self.dot4];
        let matrices = [&self.cooperative_f32, &self.cooperative_f16];
        peaks.into_iter().chain(matrices).flatten().any(|peak| peak.disturbed().is_some())
    }

    /// Unit: Gop/s.
    fn peak(&self, unit: Unit) -> Option<f64> {
        let peak = match unit {
            Unit::F32Fma => &self.f32_fma,
            Unit::F16Fma => &self.f16_fma,
            Unit::Dot4 => &self.dot4,
            // The time of each half adds up.
            Unit::Dot4AndF32Fma => {
                let (dot4, f32_fma) = (self.peak(Unit::Dot4)?, self.peak(Unit::F32Fma)?);
                return Some(2.0 / (1.0 / dot4 + 1.0 / f32_fma));
            }
            Unit::CooperativeF32 => &self.cooperative_f32,
            Unit::CooperativeF16 => &self.cooperative_f16,
        };
        peak.as_ref().map(|peak| peak.gops)
    }

    /// Of reading for SGD, which writes next to nothing, and on the CPU; else of a copy. `None` for a row
    /// that two machines share.
    fn bandwidth(&self, record: &Record) -> Option<&Bandwidth> {
        if is_of_two_machines(record) {
            return None;
        }
        let reads = record.workload == "sgd" || record.backend == "cpu";
        if reads { self.read.as_ref() } else { self.copy.as_ref() }
    }
}

/// Whether the work of a row is in part a GPU's and in part the host's, as that of LP-SVRG and HALP on a
/// GPU, whose full gradients the host computes in f64: the roofs and the energy of neither are those of
/// its operations and bytes.
pub(super) fn is_of_two_machines(record: &Record) -> bool {
    let reduced = record.algorithm.parse().is_ok_and(Algorithm::is_variance_reduced);
    reduced && record.backend != "cpu"
}

/// The column `operations_per_joule`, which a row that two machines share leaves empty.
pub(super) fn operations_per_joule(record: &Record) -> Option<f64> {
    let joules = record.energy_j.filter(|_| !is_of_two_machines(record))?;
    Some(record.operations? as f64 / joules)
}

/// Fills the columns of a timed row that its operations, bytes and `dispatches` an iteration give
/// together with the roofline of its device.
pub(super) fn fill(record: &mut Record, roofline: Option<&Roofline>, dispatches: u64) {
    let (operations, bytes) = (record.operations.map(|n| n as f64), record.bytes.map(|n| n as f64));
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?).filter(|ratio| ratio.is_finite());
    record.arithmetic_intensity = ratio(operations, bytes);
    let Some(roofline) = roofline else { return };
    let unit = Unit::of(record).filter(|&unit| roofline.peak(unit).is_some());
    let peak = unit.and_then(|unit| roofline.peak(unit));
    let bandwidth = roofline.bandwidth(record).map(|bandwidth| bandwidth.gbs);
    record.peak_unit = unit.map_or("", Unit::name).to_owned();
    record.peak_throughput = peak;
    record.percent_of_peak = ratio(ratio(operations, record.median_ns), peak).map(|r| 100.0 * r);
    record.peak_bandwidth_gbs = bandwidth;
    record.percent_of_bandwidth = ratio(record.bandwidth_gbs, bandwidth).map(|r| 100.0 * r);
    record.dispatch_latency_ns = Some(roofline.dispatch_latency_ns);
    // The least time that each could leave, were the others free.
    let bounds = [
        ("compute", ratio(operations, peak)),
        ("bandwidth", ratio(bytes, bandwidth)),
        ("latency", Some(dispatches as f64 * roofline.dispatch_latency_ns)),
    ];
    let known = bounds.map(|(name, ns)| Some((name, ns?)));
    // Without one of the roofs, the highest of the others is not known to be the nearest.
    if known.iter().all(Option::is_some) {
        let nearest = known.into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1));
        record.limited_by = nearest.map_or("", |(name, _)| name).to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(gops: f64) -> Option<Peak> {
        Some(Peak { gops, median_gops: gops, kernel: "k".into(), candidates: 1 })
    }

    fn bandwidth(gbs: f64) -> Option<Bandwidth> {
        Some(Bandwidth { gbs, pass_bytes: 1, kernel: "k".into(), candidates: 1 })
    }

    fn roofline() -> Roofline {
        Roofline {
            utc: String::new(),
            measuring_s: 1.0,
            timing_method: "host".into(),
            f32_fma: peak(1000.0),
            f16_fma: peak(2000.0),
            dot4: peak(4000.0),
            cooperative_f32: peak(8000.0),
            cooperative_f16: None,
            read: bandwidth(100.0),
            copy: bandwidth(80.0),
            dispatch_latency_ns: 5000.0,
            submission_round_trip_ns: Some(9000.0),
        }
    }

    fn row(workload: &str, precision: &str, kernel: &str) -> Record {
        Record {
            workload: workload.into(),
            precision: precision.into(),
            kernel: kernel.into(),
            backend: "vulkan".into(),
            operations: Some(2_000_000),
            bytes: Some(40_000),
            median_ns: Some(4000.0),
            bandwidth_gbs: Some(10.0),
            ..Record::default()
        }
    }

    #[test]
    fn a_row_is_set_against_the_roofs_of_its_unit() {
        let mut record = row("matmul", "fp32", "naive");
        fill(&mut record, Some(&roofline()), 0);
        assert_eq!(record.arithmetic_intensity, Some(50.0));
        assert_eq!((&*record.peak_unit, record.peak_throughput), ("f32_fma", Some(1000.0)));
        assert_eq!(record.percent_of_peak, Some(50.0), "500 of 1000 GFLOP/s");
        assert_eq!(record.peak_bandwidth_gbs, Some(80.0), "a product writes too");
        assert_eq!(record.percent_of_bandwidth, Some(12.5));
        assert_eq!(record.dispatch_latency_ns, Some(5000.0));
        assert_eq!(record.limited_by, "compute", "2000 ns against 500 ns");
    }

    /// The operations of the host's full gradients are set against no roof of the GPU.
    #[test]
    fn a_row_of_two_machines_has_no_roof() {
        let reduced = |backend: &str| Record {
            algorithm: "halp".into(),
            backend: backend.into(),
            energy_j: Some(2.0),
            ..row("sgd", "D32fM8-SR", "persistent")
        };
        let mut record = reduced("vulkan");
        fill(&mut record, Some(&roofline()), 3);
        let empty = Record {
            arithmetic_intensity: Some(50.0),
            dispatch_latency_ns: Some(5000.0),
            ..reduced("vulkan")
        };
        assert_eq!((&record, operations_per_joule(&record)), (&empty, None));
        let mut record = reduced("cpu");
        fill(&mut record, Some(&roofline()), 0);
        assert_eq!((record.percent_of_peak, &*record.limited_by), (Some(50.0), "compute"));
        assert_eq!(operations_per_joule(&record), Some(1e6));
    }

    #[test]
    fn the_nearest_roof_is_the_one_that_takes_longest() {
        let limited_by = |operations, bytes, dispatches| {
            let mut record = row("matmul", "fp32", "naive");
            (record.operations, record.bytes) = (Some(operations), Some(bytes));
            fill(&mut record, Some(&roofline()), dispatches);
            record.limited_by
        };
        // At 1000 operations a ns, 80 bytes a ns, and 5000 ns a dispatch.
        assert_eq!(limited_by(4_900_000, 80_000, 1), "latency");
        assert_eq!(limited_by(5_100_000, 80_000, 1), "compute");
        assert_eq!(limited_by(5_100_000, 420_000, 1), "bandwidth");
        assert_eq!(limited_by(5_100_000, 420_000, 2), "latency");
    }

    #[test]
    fn the_unit_follows_from_the_formats_and_the_kernel() {
        for (workload, precision, kernel, name) in [
            ("matmul", "fp32", "naive", "f32_fma"),
            ("matmul", "bf16", "register_tiled", "f32_fma"),
            ("matmul", "fp16", "register_tiled", "f32_fma"),
            ("matmul", "fp16-acc16", "register_tiled", "f32_fma"),
            ("matmul", "fp16-acc16", "native", "f16_fma"),
            ("matmul", "fp16-sr", "register_tiled", "f32_fma"),
            ("matmul", "fp16", "cooperative", "cooperative"),
            ("matmul", "int8-sr-rowwise", "naive", "dot4"),
            ("sgd", "D32fM32f", "gradient", "f32_fma"),
            ("sgd", "D8M8-SR", "gradient", "dot4+f32_fma"),
            ("sgd", "D8M32f", "gradient", "f32_fma"),
            ("sgd", "D16M16-SR", "gradient", "f32_fma"),
        ] {
            let mut record = row(workload, precision, kernel);
            fill(&mut record, Some(&roofline()), 1);
            assert_eq!(record.peak_unit, name, "{precision} {kernel}");
            let expected = if workload == "sgd" { 100.0 } else { 80.0 };
            assert_eq!(record.peak_bandwidth_gbs, Some(expected), "{precision}");
        }
        let mut both = row("sgd", "D8M8", "gradient");
        fill(&mut both, Some(&roofline()), 1);
        assert_eq!(
            both.peak_throughput,
            Some(1600.0),
            "1000 and 4000 Gop/s, half of the work each"
        );
        let peer = |precision| Record {
            implementation: "PyTorch 2".into(),
            ..row("matmul", precision, "pytorch")
        };
        assert_eq!(Unit::of(&peer("fp32")), Some(Unit::F32Fma));
        assert_eq!(Unit::of(&peer("bf16")), None, "it may compute on units of its own");
        let accumulates_in_f16 = row("matmul", "fp16-acc16", "cooperative");
        assert_eq!(Unit::of(&accumulates_in_f16), Some(Unit::CooperativeF16));
        assert_eq!(Unit::of(&row("matmul", "fp4", "naive")), None);
    }

    #[test]
    fn what_was_not_measured_stays_empty() {
        let mut record = row("matmul", "fp16-acc16", "cooperative");
        fill(&mut record, Some(&roofline()), 1);
        assert_eq!((&*record.peak_unit, &*record.limited_by), ("", ""));
        assert_eq!((record.peak_throughput, record.percent_of_peak), (None, None));
        assert_eq!(record.percent_of_bandwidth, Some(12.5));
        let mut record = row("matmul", "fp32", "naive");
        fill(&mut record, None, 1);
        assert_eq!(record.arithmetic_intensity, Some(50.0));
        let empty = Record { arithmetic_intensity: Some(50.0), ..row("matmul", "fp32", "naive") };
        assert_eq!(record, empty);
    }

    #[test]
    fn reading_is_no_slower_than_what_a_copy_reads() {
        let [slow, fast, copy] = [30.0, 50.0, 80.0].map(|gbs| bandwidth(gbs).unwrap());
        assert_eq!(fast.clone().at_least_that_of(&copy), fast);
        assert_eq!(slow.at_least_that_of(&copy).gbs, 40.0);
    }

    #[test]
    fn a_busy_device_is_told() {
        let peak = |median_gops| Peak { median_gops, ..peak(100.0).unwrap() };
        assert_eq!(peak(90.0).disturbed(), None);
        assert!(peak(50.0).disturbed().unwrap().contains("2.0 times as slow"));
    }

    #[test]
    fn a_roofline_comes_back_from_json_as_it_was() {
        let text = serde_json::to_string(&roofline()).unwrap();
        assert_eq!(serde_json::from_str::<Roofline>(&text).unwrap(), roofline());
    }
}
