//! One line of a race: a peer, or a case of tradeoff.

use anyhow::{Context, Result, bail, ensure};
use tradeoff::error::ErrorMetrics;
use tradeoff::gpu::{DeviceInfo, discover};
use tradeoff::measure::statistics::Summary;
use tradeoff::measure::{Case, Measured, Prepared, Selection, Session, Unmeasured, fill_times};
use tradeoff::number::Precision;
use tradeoff::problem::matrix::{Distribution, MatmulProblem};
use tradeoff::record::{Provenance, Record, Sample, Status};
use tradeoff::truth::matmul::{MatmulTruth, sample_rows};
use tradeoff::workload::matmul::Shape;

use crate::{Peer, failed};

/// Product-adds in f64 that the truth of a shape may take; more, and it samples rows of C.
const TRUTH_PRODUCTS: usize = 1 << 30;
/// Rows that such a sample has at least.
const LEAST_ROWS: usize = 16;
/// Times that a kernel of tradeoff is tried to find the fastest; the least counts.
const TRIES: usize = 3;

/// The inputs and the truth of one shape, and the cases of tradeoff on one device.
pub struct Bench {
    shape: Shape,
    problem: MatmulProblem,
    truth: MatmulTruth,
    session: Session,
}

impl Bench {
    /// Draws the problem that tradeoff draws for `shape`, and opens `device` by its slug.
    pub fn new(shape: Shape, device: &str, provenance: &Provenance) -> Result<Self> {
        let selection = Selection {
            shapes: vec![shape],
            precisions: Precision::MATMUL.to_vec(),
            data_sets: vec![],
            ..Selection::default()
        };
        let Shape { m, n, k, .. } = shape;
        let plain = shape == Shape::new(m, n, k);
        ensure!(plain, "peers multiply one pair of operands in the layout nn, not {shape}");
        let seed = selection.seed.into();
        let problem = MatmulProblem::generate(Distribution::Normal, m, n, k, seed)?;
        let rows = (TRUTH_PRODUCTS / n.saturating_mul(k)).max(LEAST_ROWS);
        let sample = (rows < m).then(|| sample_rows(m, rows, seed));
        let truth = MatmulTruth::of(&problem, sample.as_deref())?;
        let mut devices = discover(None)?;
        devices.retain(|candidate| candidate.info.slug == device);
        ensure!(devices.len() == 1, "no device {device} here");
        let session = Session::new(devices, selection, provenance);
        Ok(Self { shape, problem, truth, session })
    }

    /// The device.
    pub fn device(&self) -> &DeviceInfo {
        // `new` made sure that there is one.
        &self.session.devices()[0].info
    }

    /// The fingerprints of the device, if it was opened, for `run.json`.
    pub fn fingerprints(&self) -> serde_json::Value {
        self.session.fingerprints()
    }

    /// Measures the roofline of the device and tunes the kernels that may race, or takes both from the
    /// cache.
    pub fn ready(&mut self, precisions: &[Precision]) {
        let mut cases = self.session.plan();
        cases.retain(|case| precisions.contains(&case.precision));
        let mut tell = |line: &str| eprintln!("{line}");
        self.session.measure_rooflines(&cases, &mut tell);
        self.session.tune(&cases, &mut tell);
    }

    /// The case of tradeoff itself at a precision, by its kernel's name.
    pub fn own(&mut self, precision: Precision, kernel: &str) -> Result<Entrant> {
        match self.prepared(precision, kernel)? {
            Ok(prepared) => Ok(Entrant::new(Kind::Own(Box::new(prepared)))),
            Err(record) => bail!("{}: {}", record.case_id, record.reason),
        }
    }

    /// The fastest verified kernel of tradeoff at a precision, by the least of three times each, as
    /// the first of the entrants; behind it those that could not be verified.
    pub fn fastest(&mut self, precision: Precision, kernels: &[String]) -> Result<Vec<Entrant>> {
        let mut best: Option<(f64, Entrant)> = None;
        let mut absent = vec![];
        let cases = self.cases(precision);
        let wanted =
            |case: &&Case| kernels.is_empty() || kernels.iter().any(|k| k == case.kernel());
        for case in cases.iter().filter(wanted) {
            let mut entrant = match self.prepared(precision, case.kernel())? {
                Ok(prepared) => Entrant::new(Kind::Own(Box::new(prepared))),
                Err(record) => {
                    absent.push(Entrant::new(Kind::Absent(record)));
                    continue;
                }
            };
            let mut least_ns = f64::INFINITY;
            for _ in 0..=TRIES {
                least_ns = least_ns.min(entrant.sample(1, false).unwrap_or(f64::INFINITY));
            }
            if !entrant.is_here() {
                absent.push(entrant);
            } else if best.as_ref().is_none_or(|(ns, _)| least_ns < *ns) {
                best = Some((least_ns, entrant));
            }
        }
        Ok(best.map(|(_, entrant)| entrant).into_iter().chain(absent).collect())
    }

    fn cases(&self, precision: Precision) -> Vec<Case> {
        self.session.plan().into_iter().filter(|case| case.precision == precision).collect()
    }

    /// A case, verified, or its row with the reason.
    fn prepared(
        &mut self,
        precision: Precision,
        kernel: &str,
    ) -> Result<std::result::Result<Prepared, Box<Record>>> {
        let cases = self.cases(precision);
        let case = cases
            .iter()
            .find(|case| case.kernel() == kernel)
            .with_context(|| format!("no case {precision}/{kernel} on this device"))?;
        Ok(self.session.prepare(case).map_err(|measured| Box::new(measured.record)))
    }

    /// A peer, verified, beside the case of tradeoff `beside`, from whose row its own takes shape,
    /// problem, device and machine.
    pub fn peer(&self, mut peer: Box<dyn Peer>, beside: &Record) -> Entrant {
        let mut record = beside.clone();
        let verified = self.verify(peer.as_mut(), &mut record);
        as_peer(&mut record, peer.as_ref(), self.shape);
        match verified {
            Ok(()) => Entrant::new(Kind::Peer(peer, Box::new(record))),
            Err(why) => Entrant::new(Kind::absent(record, why)),
        }
    }

    /// A peer that is not started at all, and why.
    pub fn absent(&self, peer: &dyn Peer, beside: &Record, why: Unmeasured) -> Entrant {
        let mut record = beside.clone();
        clear_errors(&mut record);
        as_peer(&mut record, peer, self.shape);
        Entrant::new(Kind::absent(record, why))
    }

    /// Prepares the peer, runs it once and fills the columns of its errors.
    fn verify(&self, peer: &mut dyn Peer, record: &mut Record) -> Result<(), Unmeasured> {
        clear_errors(record);
        peer.prepare(&self.problem)?;
        peer.run().map_err(failed)?;
        self.judge(peer, record)
    }

    /// Fills the columns of the errors of the last run; an error over its bound is wrong.
    fn judge(&self, peer: &mut dyn Peer, record: &mut Record) -> Result<(), Unmeasured> {
        let c = peer.result().map_err(failed)?;
        let Shape { m, n, k, .. } = self.shape;
        if c.len() != m * n {
            return Err(failed(format!("C has {} entries", c.len())));
        }
        let rows = &self.truth.rows;
        let c: Vec<f32> = rows.iter().flat_map(|&i| &c[i * n..][..n]).copied().collect();
        let metrics = ErrorMetrics::of(&c, &self.truth, peer.output());
        record.primary_error = Some(metrics.relative_frobenius);
        record.relative_frobenius = Some(metrics.relative_frobenius);
        record.max_componentwise = Some(metrics.max_componentwise);
        record.max_ulp = Some(metrics.max_ulp);
        record.median_ulp = Some(metrics.median_ulp);
        record.signed_bias = Some(metrics.bias);
        record.signed_bias_ci95_low = Some(metrics.bias - metrics.bias_ci95_half_width);
        record.signed_bias_ci95_high = Some(metrics.bias + metrics.bias_ci95_half_width);
        record.non_finite_count = Some(metrics.non_finite as u64);
        let bound = peer.bound(k).map_err(|error| failed(error.to_string()))?;
        let Some(worst) = bound.worst(&c, &self.truth) else {
            let reason = "its bound says nothing at this k, so nothing could verify it";
            return Err(Unmeasured::new(Status::Skipped, reason.to_owned()));
        };
        record.bound_kind = "deterministic".to_owned();
        record.bound = Some(worst.bound);
        record.measured_over_bound = Some(worst.ratio);
        if worst.ratio <= 1.0 {
            return Ok(());
        }
        let (row, column, ratio) = (worst.row, worst.column, worst.ratio);
        let reason = format!("C[{row}, {column}]: the error is {ratio:.3} times its bound");
        Err(Unmeasured::new(Status::Wrong, reason))
    }

    /// The finished row and its samples. A peer's result is judged again: it must have stayed right
    /// while it was timed.
    pub fn finish(&self, entrant: Entrant) -> Measured {
        let samples = entrant.samples;
        let mut measured = match entrant.kind {
            Kind::Own(prepared) => prepared.finish(&samples),
            Kind::Peer(mut peer, mut record) => {
                let timed = self
                    .judge(peer.as_mut(), &mut record)
                    .and_then(|()| timed(&mut record, peer.clock(), &samples));
                self.session.fill_roofline(&self.device().slug, &mut record);
                match timed {
                    Ok(samples) => Measured { record: *record, samples, trajectory: vec![] },
                    Err(why) => absent(*record, why),
                }
            }
            Kind::Absent(record) => {
                Measured { record: *record, samples: vec![], trajectory: vec![] }
            }
        };
        if measured.record.status == Status::Ok {
            measured.record.interleaving = "rounds".to_owned();
            measured.record.stop_reason = "samples".to_owned();
            measured.record.cache = "warm".to_owned();
            measured.record.processes = Some(1);
        }
        measured
    }
}

/// Empties the columns of another's errors.
fn clear_errors(record: &mut Record) {
    record.primary_error = None;
    record.relative_frobenius = None;
    record.max_componentwise = None;
    record.max_ulp = None;
    record.median_ulp = None;
    record.signed_bias = None;
    record.signed_bias_ci95_low = None;
    record.signed_bias_ci95_high = None;
    record.non_finite_count = None;
    record.bound_kind.clear();
    record.bound = None;
    record.measured_over_bound = None;
    record.verified_fraction = None;
    record.mirror_mismatches = None;
    record.mirror_signed_zero_mismatches = None;
    record.verification_ns = None;
    record.reason.clear();
}

/// Makes the row of a case of tradeoff that of a peer on the same inputs: whose it is changes, and
/// what was said of the kernel goes.
fn as_peer(record: &mut Record, peer: &dyn Peer, shape: Shape) {
    let (setting, kernel, device) = (peer.setting(), peer.kernel(), record.device.clone());
    record.case_id = format!("matmul/{}/{kernel}/{shape}/{device}", setting.name());
    record.implementation = peer.implementation();
    record.kernel = kernel.to_owned();
    record.precision = setting.name().to_owned();
    record.operand_format = setting.operand_format().to_owned();
    record.output_format = peer.output().name().to_owned();
    let Shape { m, n, k, .. } = shape;
    let (operands, entries) = ((m * k + k * n) as u64, (m * n) as u64);
    let bytes = setting.operands().storage().bytes(operands) + peer.output().bytes(entries);
    record.bytes = Some(bytes);
    record.arithmetic_intensity = record.operations.map(|count| count as f64 / bytes as f64);
    record.wgsl_sha256.clear();
    record.kernel_parameters.clear();
    record.tuning.clear();
    record.f16_path.clear();
    record.runtime_checks = None;
    record.peak_device_memory_bytes = None;
    record.pipeline_compile_ns = None;
    record.conversion_bytes = None;
}

enum Kind {
    Own(Box<Prepared>),
    Peer(Box<dyn Peer>, Box<Record>),
    /// One that is not here, not right, or failed.
    Absent(Box<Record>),
}

impl Kind {
    fn absent(record: Record, why: Unmeasured) -> Self {
        Self::Absent(Box::new(absent(record, why).record))
    }
}

/// The row of what was not measured to its end.
fn absent(mut record: Record, why: Unmeasured) -> Measured {
    (record.status, record.reason) = (why.status, why.reason);
    Measured { record, samples: vec![], trajectory: vec![] }
}

/// A peer or a case of tradeoff, verified, and its samples so far.
pub struct Entrant {
    kind: Kind,
    /// (iterations, elapsed ns of all of them).
    samples: Vec<(u64, f64)>,
}

impl Entrant {
    fn new(kind: Kind) -> Self {
        Self { kind, samples: vec![] }
    }

    /// The row so far.
    pub fn record(&self) -> &Record {
        match &self.kind {
            Kind::Own(prepared) => prepared.record(),
            Kind::Peer(_, record) | Kind::Absent(record) => record,
        }
    }

    /// Whether it can be timed.
    pub fn is_here(&self) -> bool {
        !matches!(self.kind, Kind::Absent(_))
    }

    /// Whose clock times it; `None` where it is not here.
    pub fn clock(&self) -> Option<&str> {
        match &self.kind {
            Kind::Own(prepared) => Some(prepared.clock()),
            Kind::Peer(peer, _) => Some(peer.clock()),
            Kind::Absent(_) => None,
        }
    }

    /// From now on times a case of tradeoff by the host's clock; a peer keeps the one it has.
    pub fn use_host_clock(&mut self) {
        if let Kind::Own(prepared) = &mut self.kind {
            prepared.use_host_clock();
        }
    }

    /// Times so many iterations, in ns; without `keep` they are a warm-up. `None` where it failed,
    /// from when on it is not here.
    pub fn sample(&mut self, iterations: u64, keep: bool) -> Option<f64> {
        let outcome = match &mut self.kind {
            Kind::Own(prepared) => prepared.run(iterations),
            Kind::Peer(peer, _) => peer.time(iterations).map_err(failed),
            Kind::Absent(_) => return None,
        };
        match outcome {
            Ok(elapsed_ns) => {
                if keep {
                    self.samples.push((iterations, elapsed_ns));
                }
                Some(elapsed_ns)
            }
            Err(why) => {
                self.kind = Kind::absent(self.record().clone(), why);
                self.samples.clear();
                None
            }
        }
    }

    /// Times of one iteration, in ns, by sample.
    pub fn times_ns(&self) -> Vec<f64> {
        self.samples.iter().map(|&(iterations, ns)| ns / iterations as f64).collect()
    }
}

/// Fills a peer's times as `Prepared::finish` does those of a case, and returns its samples.
fn timed(
    record: &mut Record,
    clock: &str,
    samples: &[(u64, f64)],
) -> Result<Vec<Sample>, Unmeasured> {
    let summary =
        Summary::of(samples.iter().copied()).map_err(|error| failed(error.to_string()))?;
    record.timing_method = clock.to_owned();
    fill_times(record, samples, &summary);
    record.throughput = record.operations.map(|operations| operations as f64 / summary.median_ns);
    record.bandwidth_gbs = record.bytes.map(|bytes| bytes as f64 / summary.median_ns);
    record.status = Status::Ok;
    record.reason.clear();
    let row = |(sample, &(iterations, elapsed_ns)): (usize, &(u64, f64))| Sample {
        case_id: record.case_id.clone(),
        sample: sample as u64,
        process: Some(0),
        iterations,
        elapsed_ns,
        ..Sample::default()
    };
    Ok(samples.iter().enumerate().map(row).collect())
}
