//! One line of a race: a peer, or a case of tradeoff.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tradeoff::error::ErrorMetrics;
use tradeoff::gpu::discover;
use tradeoff::measure::statistics::Summary;
use tradeoff::measure::{Measured, Prepared, Selection, Session};
use tradeoff::number::Precision;
use tradeoff::problem::matrix::{Distribution, MatmulProblem};
use tradeoff::record::{Provenance, Record, Sample, Status};
use tradeoff::truth::matmul::MatmulTruth;
use tradeoff::workload::matmul::{Shape, output_format};

use crate::Peer;

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
        let Shape { m, n, k } = shape;
        let seed = selection.seed.into();
        let problem = MatmulProblem::generate(Distribution::Normal, m, n, k, seed)?;
        let truth = MatmulTruth::of(&problem, None)?;
        let session = Session::new(discover(Some(device))?, selection, provenance);
        Ok(Self { shape, problem, truth, session })
    }

    /// The case of tradeoff itself at a precision, by its kernel's name.
    pub fn own(&mut self, precision: Precision, kernel: &str) -> Result<Entrant> {
        Ok(Entrant::new(Kind::Own(self.prepared(precision, kernel)?)))
    }

    fn prepared(&mut self, precision: Precision, kernel: &str) -> Result<Prepared> {
        let plan = self.session.plan();
        let case = plan
            .iter()
            .find(|case| case.precision == precision && case.kernel() == kernel)
            .with_context(|| format!("no case {precision}/{kernel} on this device"))?;
        match self.session.prepare(case) {
            Ok(prepared) => Ok(prepared),
            Err(measured) => bail!("{case}: {}", measured.record.reason),
        }
    }

    /// A peer beside the case of tradeoff of its precision and the kernel `beside`, from whose row
    /// its own takes shape, problem, device and machine.
    pub fn peer(&mut self, mut peer: Box<dyn Peer>, beside: &str) -> Result<Entrant> {
        let mut record = self.prepared(peer.precision(), beside)?.record().clone();
        ensure!(record.inputs_sha256 == self.problem.sha256, "the problems differ");
        as_peer(&mut record, peer.as_ref(), self.shape);
        if let Err((status, reason)) = self.verify(peer.as_mut(), &mut record) {
            (record.status, record.reason) = (status, reason);
            return Ok(Entrant::new(Kind::Absent(record)));
        }
        Ok(Entrant::new(Kind::Peer(peer, record)))
    }

    /// Runs the peer once and fills the columns of its errors.
    fn verify(&self, peer: &mut dyn Peer, record: &mut Record) -> Result<(), (Status, String)> {
        peer.prepare(&self.problem).map_err(|reason| (Status::Skipped, reason))?;
        let failed = |reason| (Status::Failed, reason);
        peer.run().map_err(failed)?;
        let c = peer.result().map_err(failed)?;
        if c.len() != self.truth.product.len() {
            return Err(failed(format!("C has {} entries", c.len())));
        }
        let metrics = ErrorMetrics::of(&c, &self.truth, output_format(peer.precision()));
        record.primary_error = Some(metrics.relative_frobenius);
        record.relative_frobenius = Some(metrics.relative_frobenius);
        record.max_componentwise = Some(metrics.max_componentwise);
        record.max_ulp = Some(metrics.max_ulp);
        record.median_ulp = Some(metrics.median_ulp);
        record.signed_bias = Some(metrics.bias);
        record.signed_bias_ci95_low = Some(metrics.bias - metrics.bias_ci95_half_width);
        record.signed_bias_ci95_high = Some(metrics.bias + metrics.bias_ci95_half_width);
        record.non_finite_count = Some(metrics.non_finite as u64);
        let bound = peer.bound(self.shape.k).map_err(|error| failed(error.to_string()))?;
        let Some(worst) = bound.worst(&c, &self.truth) else {
            let reason = "its bound says nothing at this k, so nothing could verify it";
            return Err((Status::Skipped, reason.to_owned()));
        };
        record.bound_kind = "deterministic".to_owned();
        record.bound = Some(worst.bound);
        record.measured_over_bound = Some(worst.ratio);
        if worst.ratio <= 1.0 {
            return Ok(());
        }
        let (row, column, ratio) = (worst.row, worst.column, worst.ratio);
        Err((Status::Wrong, format!("C[{row}, {column}]: the error is {ratio:.3} times its bound")))
    }
}

/// Makes the row of a case of tradeoff that of a peer on the same inputs: whose it is changes, and
/// what was said of the mirror and the kernel goes.
fn as_peer(record: &mut Record, peer: &dyn Peer, shape: Shape) {
    let (precision, kernel, device) = (peer.precision(), peer.kernel(), record.device.clone());
    record.case_id = format!("matmul/{precision}/{kernel}/{shape}/{device}");
    record.implementation = peer.implementation();
    record.kernel = kernel.to_owned();
    record.wgsl_sha256.clear();
    record.kernel_parameters.clear();
    record.tuning.clear();
    record.f16_path.clear();
    record.runtime_checks = None;
    record.peak_device_memory_bytes = None;
    record.pipeline_compile_ns = None;
    record.conversion_bytes = None;
    record.verified_fraction = None;
    record.mirror_mismatches = None;
    record.mirror_signed_zero_mismatches = None;
    record.verification_ns = None;
}

enum Kind {
    Own(Prepared),
    Peer(Box<dyn Peer>, Record),
    /// A peer that is not here, or not right.
    Absent(Record),
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

    /// Times so many iterations; without `keep` they are a warm-up.
    pub fn sample(&mut self, iterations: u64, keep: bool) -> Result<f64> {
        let elapsed_ns = match &mut self.kind {
            Kind::Own(prepared) => match prepared.run(iterations) {
                Ok(elapsed_ns) => elapsed_ns,
                Err(why) => bail!("{}: {}", prepared.record().case_id, why.reason),
            },
            Kind::Peer(peer, _) => {
                let started = Instant::now();
                for _ in 0..iterations {
                    peer.run().map_err(anyhow::Error::msg)?;
                }
                started.elapsed().as_nanos() as f64
            }
            Kind::Absent(record) => bail!("{}: {}", record.case_id, record.reason),
        };
        if keep {
            self.samples.push((iterations, elapsed_ns));
        }
        Ok(elapsed_ns)
    }

    /// Times of one iteration, in ns, by sample.
    pub fn times_ns(&self) -> Vec<f64> {
        self.samples.iter().map(|&(iterations, ns)| ns / iterations as f64).collect()
    }

    /// The finished row and its samples. `interleaved`: samples were drawn in rounds.
    pub fn finish(self) -> Result<Measured> {
        let samples = self.samples;
        let mut measured = match self.kind {
            Kind::Own(prepared) => prepared.finish(&samples),
            Kind::Peer(peer, record) => {
                Measured { samples: rows(&record, &samples), record, trajectory: vec![] }
                    .timed(&samples)
                    .with_context(|| peer.implementation())?
            }
            Kind::Absent(record) => Measured { record, samples: vec![], trajectory: vec![] },
        };
        if measured.record.status == Status::Ok {
            measured.record.interleaving = "rounds".to_owned();
            measured.record.stop_reason = "samples".to_owned();
            measured.record.cache = "warm".to_owned();
        }
        Ok(measured)
    }
}

fn rows(record: &Record, samples: &[(u64, f64)]) -> Vec<Sample> {
    let row = |(sample, &(iterations, elapsed_ns)): (usize, &(u64, f64))| Sample {
        case_id: record.case_id.clone(),
        sample: sample as u64,
        iterations,
        elapsed_ns,
        ..Sample::default()
    };
    samples.iter().enumerate().map(row).collect()
}

/// Fills a peer's times as `Prepared::finish` does those of a case.
trait Timed: Sized {
    fn timed(self, samples: &[(u64, f64)]) -> Result<Self>;
}

impl Timed for Measured {
    fn timed(mut self, samples: &[(u64, f64)]) -> Result<Self> {
        let summary = Summary::of(samples.iter().copied())?;
        let record = &mut self.record;
        record.timing_method = "host".to_owned();
        record.samples = Some(summary.samples as u64);
        let first = samples.first().map(|sample| sample.0);
        record.iterations_per_sample = first.filter(|&n| samples.iter().all(|s| s.0 == n));
        record.min_ns = Some(summary.min_ns);
        record.q1_ns = Some(summary.q1_ns);
        record.median_ns = Some(summary.median_ns);
        record.median_ci95_low_ns = Some(summary.median_ci95_low_ns);
        record.median_ci95_high_ns = Some(summary.median_ci95_high_ns);
        record.q3_ns = Some(summary.q3_ns);
        record.mad_ns = Some(summary.mad_ns);
        record.throughput =
            record.operations.map(|operations| operations as f64 / summary.median_ns);
        record.bandwidth_gbs = record.bytes.map(|bytes| bytes as f64 / summary.median_ns);
        record.status = Status::Ok;
        record.reason.clear();
        Ok(self)
    }
}
