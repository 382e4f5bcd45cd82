//! A matmul case: problem, truth, device run, verification.

use std::rc::Rc;
use std::time::Instant;

use rayon::prelude::*;

use super::judge::{self, Study};
use super::session::{
    Clocked, Commands, Prepared, Runner, Session, Unmeasured, check_host_memory, result_sha256,
};
use crate::error::{Bound, ErrorMetrics, Guarantee, matmul_bound};
use crate::gpu::{Command, Context, TimingMethod};
use crate::mirror::convert::{Key, Operands};
use crate::mirror::matmul::{PackedB, entry, multiply, multiply_packed};
use crate::number::{Arithmetic, Precision};
use crate::problem::matrix::{MatmulProblem, Origin};
use crate::record::{Record, Stage, Status};
use crate::truth::matmul::{MatmulTruth, sample_rows};
use crate::workload::matmul::{
    GpuMatmul, Kernel, KernelSource, Shape, output_format, throughput_unit,
};

/// Product-adds that a verification computes on the host; more, and it samples rows of C.
const VERIFIED_PRODUCTS: usize = 1 << 30;
/// The same where every entry of the truth is summed exactly.
const EXACT_PRODUCTS: usize = 1 << 27;
/// Rows that a sample has at least.
pub(super) const LEAST_ROWS: usize = 16;
/// Rows of the CPU's C that are computed again entry by entry.
const CPU_CHECKED_ROWS: usize = 4;

/// Alters a kernel before it is composed; does nothing outside tests of the harness.
pub type MatmulOverride<'a> = &'a dyn Fn(&mut KernelSource);

/// Problem and truth of the last shape, and the mirror's results on it.
#[derive(Default)]
pub struct MatmulCache {
    problem: Option<Rc<Inputs>>,
    /// Seeds that stochastic roundings are repeated with.
    trials: u32,
    /// Whether a case is verified and nothing more.
    pub(super) brief: bool,
    mirrors: Vec<((Precision, Arithmetic), Rc<Mirrored>)>,
}

pub(super) struct Inputs {
    pub(super) problem: MatmulProblem,
    origin: Origin,
    pub(super) truth: MatmulTruth,
    pub(super) key: Key,
}

impl Inputs {
    pub(super) fn shape(&self) -> Shape {
        Shape { m: self.problem.m, n: self.problem.n, k: self.problem.k }
    }
}

/// What the mirror computes on an arithmetic: steps of the operands, and the checked rows of C.
struct Mirrored {
    step_a: Vec<f32>,
    step_b: Vec<f32>,
    c: Vec<f32>,
    study: Study,
}

impl Session {
    pub(super) fn prepare_matmul(
        &mut self,
        (shape, origin): (Shape, &Origin),
        kernel: Option<Kernel>,
        precision: Precision,
        context: Option<Rc<Context>>,
        record: &mut Record,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, Unmeasured> {
        describe(shape, precision, record);
        describe_origin(origin, record);
        if let (Some(context), Some(kernel)) = (&context, kernel) {
            KernelSource::supports(kernel, precision, &context.info)
                .map_err(|lacks| Unmeasured::new(Status::Skipped, lacks))?;
        }
        let (seed, trial) = (self.selection.seed, self.selection.trial);
        self.matmul.trials = self.selection.trials;
        let inputs = self.matmul.inputs(shape, origin, seed, trial)?;
        record.inputs_sha256 = inputs.problem.sha256.clone();
        record.reference = inputs.truth.reference.to_owned();
        match (context, kernel) {
            (Some(context), Some(kernel)) => {
                let (mut source, tuning) =
                    self.tuned_source(shape, kernel, precision, &context.info);
                record.kernel_parameters = source.parameters.to_string();
                record.tuning = tuning.to_owned();
                alter(&mut source);
                let checks = self.selection.checks;
                prepare_gpu(&mut self.matmul, &inputs, &source, context, checks, record)
            }
            _ => prepare_cpu(&self.matmul, &inputs, precision, record),
        }
    }
}

/// The columns known from the shape alone.
fn describe(shape: Shape, precision: Precision, record: &mut Record) {
    let Shape { m, n, k } = shape;
    record.m = Some(m as u64);
    record.n = Some(n as u64);
    record.k = Some(k as u64);
    record.output_format = output_format(precision).name().to_owned();
    record.operations = Some(shape.operations());
    record.bytes = Some(shape.bytes(precision));
    record.throughput_unit = throughput_unit(precision).to_owned();
    record.conversion_bytes = Some(shape.conversion_bytes(precision)).filter(|&b| b > 0);
    record.primary_error_metric = "relative_frobenius".to_owned();
}

/// The columns that say what the operands are.
fn describe_origin(origin: &Origin, record: &mut Record) {
    match origin {
        Origin::Seeded(distribution) => {
            record.problem = "seeded".to_owned();
            record.distribution = distribution.name().to_owned();
            record.distribution_parameters = distribution.parameters();
        }
        // What tells one pair of files from another wherever rows are compared.
        Origin::Files(_) => record.problem = origin.id(),
    }
}

/// Host memory that a shape takes, in bytes, with `rows` of C verified: the operands as drawn, padded
/// for upload and converted by the mirror, three products, and the truth.
pub(super) fn host_bytes(shape: Shape, rows: usize) -> u128 {
    let Shape { m, n, k } = shape;
    let product_bytes = 4 * m as u128 * n as u128;
    3 * (MatmulProblem::operand_bytes(m, n, k) + product_bytes)
        + MatmulTruth::host_bytes(rows, n, k)
}

impl MatmulCache {
    /// The problem and truth of a shape; rows of C are sampled where the whole is too much work.
    fn inputs(
        &mut self,
        shape: Shape,
        origin: &Origin,
        seed: u32,
        trial: u32,
    ) -> Result<Rc<Inputs>, Unmeasured> {
        let key = [seed, trial];
        if let Some(inputs) = &self.problem
            && inputs.shape() == shape
            && inputs.origin == *origin
            && inputs.key == key
        {
            return Ok(inputs.clone());
        }
        self.problem = None;
        self.mirrors.clear();
        let Shape { m, n, k } = shape;
        let exact = origin.needs_exact();
        let products = if exact { EXACT_PRODUCTS } else { VERIFIED_PRODUCTS };
        let rows = (products / n.saturating_mul(k).max(1)).max(LEAST_ROWS);
        check_host_memory(&shape, host_bytes(shape, rows.min(m)))?;
        let skipped = |e| Unmeasured::new(Status::Skipped, e);
        let problem = match origin {
            Origin::Seeded(distribution) => {
                MatmulProblem::generate(*distribution, m, n, k, seed.into()).map_err(skipped)?
            }
            Origin::Files(files) => MatmulProblem::of_files(files, seed.into()),
        };
        let sample = (rows < m).then(|| sample_rows(m, rows, seed.into()));
        let truth = MatmulTruth::of(&problem, sample.as_deref())
            .map_err(|e| Unmeasured::new(Status::Failed, e))?;
        let truth = if exact { truth.with_exact_entries(&problem) } else { truth };
        let inputs = Rc::new(Inputs { problem, origin: origin.clone(), truth, key });
        self.problem = Some(inputs.clone());
        Ok(inputs)
    }

    fn mirror(
        &mut self,
        inputs: &Inputs,
        precision: Precision,
        arithmetic: Arithmetic,
    ) -> Rc<Mirrored> {
        let name = (precision, arithmetic);
        if let Some((_, found)) = self.mirrors.iter().find(|(n, _)| *n == name) {
            return found.clone();
        }
        let (a, b) = (&inputs.problem.a, &inputs.problem.b);
        let operands = Operands::convert(precision, arithmetic, a, b, inputs.key);
        let c = multiply(precision, arithmetic, &operands, &inputs.truth.rows, inputs.key);
        let study = Study::of(precision, arithmetic, &operands, inputs, self.trials);
        let Operands { step_a, step_b, .. } = operands;
        let mirrored = Rc::new(Mirrored { step_a, step_b, c, study });
        self.mirrors.push((name, mirrored.clone()));
        mirrored
    }
}

fn prepare_gpu(
    cache: &mut MatmulCache,
    inputs: &Rc<Inputs>,
    source: &KernelSource,
    context: Rc<Context>,
    checks: bool,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    record.f16_path = source.f16_path.map_or("", |path| path.name()).to_owned();
    context.reset_peak();
    let (a, b) = (&inputs.problem.a, &inputs.problem.b);
    let gpu = GpuMatmul::prepare(&context, source, a, b, inputs.key, checks)?;
    record.wgsl_sha256 = gpu.wgsl_sha256.clone();
    record.pipeline_compile_ns = Some(gpu.compile_ns);
    record.peak_device_memory_bytes = Some(context.peak_bytes());
    gpu.poison(&context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    let c = gpu.result(&context)?;
    let n = inputs.problem.n;
    let checked: Vec<f32> =
        inputs.truth.rows.iter().flat_map(|&i| &c[i * n..][..n]).copied().collect();

    let started = Instant::now();
    let fingerprint = &context.fingerprint;
    let unmodelled = if source.kernel.has_mirror() {
        fingerprint.unmodelled.as_ref().map(|answer| format!("this device ({answer})"))
    } else {
        Some("a matrix unit".to_owned())
    };
    let mirrored = cache.mirror(inputs, source.precision, fingerprint.arithmetic);
    let guarantee = if source.kernel.has_mirror() {
        Guarantee::of(fingerprint.arithmetic, fingerprint.rounds_to_nearest)
    } else {
        Guarantee::PORTABLE // the fingerprint is not the matrix unit's
    };
    let roundings = source.kernel.roundings(source.precision, inputs.problem.k);
    let (step_a, step_b) = (&mirrored.step_a, &mirrored.step_b);
    let bound = bound(source.precision, roundings, step_a, step_b, guarantee)?;
    let bound = judge::from_f64(bound, &inputs.problem);
    if let Some(what) = unmodelled.as_ref().filter(|_| bound.is_vacuous()) {
        let reason = format!("no mirror models {what} and the bound says nothing at this k");
        return Err(Unmeasured::new(Status::Skipped, reason));
    }
    let expected = unmodelled.is_none().then_some(&mirrored.c[..]);
    let fraction = inputs.truth.rows.len() as f64 / inputs.problem.m as f64;
    let verified = verify(&checked, expected, fraction, inputs, source.precision, &bound, record);
    let (truth, models) = (&inputs.truth, unmodelled.is_none());
    mirrored.study.fill(&checked, truth, source.precision, models, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    verified?;
    if !cache.brief {
        judge::compare_runs(&context, source, &gpu, inputs, checks, &c, record)?;
    }
    if let Some(what) = unmodelled {
        record.reason = format!("no mirror models {what}; held to its bound alone");
    }
    let method = context.timing;
    let total = [gpu.conversion(), gpu.product()].concat();
    record.result_sha256 = result_sha256(c.iter().map(|x| x.to_bits()));
    let runner = GpuRunner { context, gpu, total, verified: c };
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), method))
}

fn prepare_cpu(
    cache: &MatmulCache,
    inputs: &Rc<Inputs>,
    precision: Precision,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let arithmetic = Arithmetic::host();
    let problem = &inputs.problem;
    let operands = Operands::convert(precision, arithmetic, &problem.a, &problem.b, inputs.key);
    let all: Vec<usize> = (0..problem.m).collect();
    let c = multiply(precision, arithmetic, &operands, &all, inputs.key);
    let n = problem.n;
    let checked: Vec<f32> =
        inputs.truth.rows.iter().flat_map(|&i| &c[i * n..][..n]).copied().collect();
    let guarantee = Guarantee::of(arithmetic, true);
    let bound = bound(precision, problem.k, &operands.step_a, &operands.step_b, guarantee)?;
    let bound = judge::from_f64(bound, problem);

    let started = Instant::now();
    // The mirror's blocks are checked against its definition, entry by entry.
    let key = inputs.key;
    let again = sample_rows(problem.m, CPU_CHECKED_ROWS, key[0].into());
    let entries = again.par_iter().flat_map_iter(|&i| (0..n).map(move |j| (i, j)));
    let (mismatches, zeros) = entries
        .map(|(i, j)| {
            let expected = entry(precision, arithmetic, &operands, i, j, key);
            let (mut mismatches, mut zeros) = (0, 0);
            count_mismatch(c[i * n + j], expected, &mut mismatches, &mut zeros);
            (mismatches, zeros)
        })
        .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    record.mirror_mismatches = Some(mismatches);
    record.mirror_signed_zero_mismatches = Some(zeros);
    record.verified_fraction = Some(again.len() as f64 / problem.m as f64);
    let verified = judge(&checked, mismatches, inputs, precision, &bound, record);
    let study = Study::of(precision, arithmetic, &operands, inputs, cache.trials);
    study.fill(&checked, &inputs.truth, precision, true, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    verified?;
    judge::compare_mirrors(precision, &operands, inputs, &c, record);
    record.result_sha256 = result_sha256(c.iter().map(|x| x.to_bits()));
    let runner = CpuRunner {
        inputs: inputs.clone(),
        precision,
        operands,
        rows: all,
        verified: c.clone(),
        c,
    };
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), TimingMethod::Host))
}

fn bound(
    precision: Precision,
    roundings: usize,
    step_a: &[f32],
    step_b: &[f32],
    guarantee: Guarantee,
) -> Result<Bound, Unmeasured> {
    matmul_bound(precision, roundings, step_a, step_b, guarantee)
        .map_err(|e| Unmeasured::new(Status::Failed, e))
}

/// Bits against the mirror, where one models the device; then error against truth and bound.
fn verify(
    computed: &[f32],
    mirror: Option<&[f32]>,
    fraction: f64,
    inputs: &Inputs,
    precision: Precision,
    bound: &Bound,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    let (mut mismatches, mut zeros) = (0, 0);
    if let Some(mirror) = mirror {
        for (&c, &expected) in computed.iter().zip(mirror) {
            count_mismatch(c, expected, &mut mismatches, &mut zeros);
        }
        record.mirror_mismatches = Some(mismatches);
        record.mirror_signed_zero_mismatches = Some(zeros);
        record.verified_fraction = Some(fraction);
    }
    judge(computed, mismatches, inputs, precision, bound, record)
}

/// Equal bits: all NaNs are equal; zeros of different sign are equal and counted apart.
fn count_mismatch(computed: f32, expected: f32, mismatches: &mut u64, zeros: &mut u64) {
    if computed.to_bits() == expected.to_bits() || (computed.is_nan() && expected.is_nan()) {
        return;
    }
    if computed == expected {
        *zeros += 1;
    } else {
        *mismatches += 1;
    }
}

/// Fills the error columns; an error over its bound or a bit off its mirror makes the row wrong.
fn judge(
    computed: &[f32],
    mismatches: u64,
    inputs: &Inputs,
    precision: Precision,
    bound: &Bound,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    let metrics = ErrorMetrics::of(computed, &inputs.truth, output_format(precision));
    record.primary_error = Some(metrics.relative_frobenius);
    record.relative_frobenius = Some(metrics.relative_frobenius);
    record.max_componentwise = Some(metrics.max_componentwise);
    record.max_ulp = Some(metrics.max_ulp);
    record.median_ulp = Some(metrics.median_ulp);
    record.signed_bias = Some(metrics.bias);
    record.signed_bias_ci95_low = Some(metrics.bias - metrics.bias_ci95_half_width);
    record.signed_bias_ci95_high = Some(metrics.bias + metrics.bias_ci95_half_width);
    record.non_finite_count = Some(metrics.non_finite as u64);
    let worst = bound.worst(computed, &inputs.truth);
    record.bound_kind = if bound.is_vacuous() { "none" } else { "deterministic" }.to_owned();
    record.relative_frobenius_bound = bound.relative_frobenius(&inputs.truth);
    record.bound = worst.as_ref().map(|worst| worst.bound);
    record.measured_over_bound = worst.as_ref().map(|worst| worst.ratio);
    judge::fill_bounds(computed, &inputs.truth, precision, bound, record);
    if metrics.non_finite > 0
        && mismatches == 0
        && let Some(skipped) = judge::overflow(&inputs.problem, &inputs.truth, precision)
    {
        return Err(skipped);
    }
    let mut faults = vec![];
    if mismatches > 0 {
        faults.push(format!("{mismatches} of {} entries differ from the mirror", computed.len()));
    }
    // A NaN is not within its bound either.
    if let Some(w) = worst.filter(|w| !matches!(w.ratio.partial_cmp(&1.0), Some(o) if o.is_le())) {
        faults.push(format!(
            "C[{}, {}] = {:e} where the truth is {:e}: the error is {:.3} times its bound",
            w.row, w.column, w.computed, w.truth, w.ratio
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(Unmeasured::new(Status::Wrong, faults.join("; "))) }
}

/// The stages beside the product, where operands are converted.
const SIDE_STAGES: &[Stage] = &[Stage::Conversion, Stage::Total];

struct GpuRunner {
    context: Rc<Context>,
    gpu: GpuMatmul,
    total: Vec<Command>,
    verified: Vec<f32>,
}

impl Runner for GpuRunner {
    fn main_stage(&self) -> Stage {
        Stage::Product
    }

    fn side_stages(&self) -> &'static [Stage] {
        if self.gpu.conversion().is_empty() { &[] } else { SIDE_STAGES }
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let commands = match stage {
            Stage::Conversion => self.gpu.conversion(),
            Stage::Total => &self.total,
            _ => self.gpu.product(),
        };
        let elapsed = self.context.run(commands, iterations)?;
        Ok(Clocked { host_ns: elapsed.host_ns, device_ns: elapsed.device_ns })
    }

    fn dispatches(&self) -> u64 {
        self.gpu.product().iter().filter(|command| command.is_dispatch()).count() as u64
    }

    fn spoil(&mut self) -> Result<(), Unmeasured> {
        Ok(self.gpu.poison(&self.context)?)
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(same_bits(&self.gpu.result(&self.context)?, &self.verified))
    }

    fn commands(&self) -> Option<Commands> {
        let (conversion, main) = (self.gpu.conversion().to_vec(), self.gpu.product().to_vec());
        Some(Commands { context: self.context.clone(), conversion, main })
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        None
    }
}

struct CpuRunner {
    inputs: Rc<Inputs>,
    precision: Precision,
    operands: Operands,
    rows: Vec<usize>,
    c: Vec<f32>,
    verified: Vec<f32>,
}

impl CpuRunner {
    fn convert(&mut self) {
        let (a, b) = (&self.inputs.problem.a, &self.inputs.problem.b);
        let key = self.inputs.key;
        self.operands = Operands::convert(self.precision, Arithmetic::host(), a, b, key);
    }

    /// Packing B is part of the product, as in any BLAS.
    fn multiply(&mut self) {
        let Self { precision, operands, rows, c, inputs, .. } = self;
        let packed = PackedB::new(&operands.b, operands.k, operands.n);
        let arithmetic = Arithmetic::host();
        multiply_packed(*precision, arithmetic, operands, &packed, rows, inputs.key, c);
    }
}

impl Runner for CpuRunner {
    fn main_stage(&self) -> Stage {
        Stage::Product
    }

    fn side_stages(&self) -> &'static [Stage] {
        if self.precision == Precision::Fp32 { &[] } else { SIDE_STAGES }
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let started = Instant::now();
        for _ in 0..iterations {
            if stage != Stage::Product {
                self.convert();
            }
            if stage != Stage::Conversion {
                self.multiply();
            }
        }
        Ok(Clocked { host_ns: started.elapsed().as_nanos() as f64, device_ns: None })
    }

    fn spoil(&mut self) -> Result<(), Unmeasured> {
        self.c.fill(f32::NAN);
        Ok(())
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(same_bits(&self.c, &self.verified))
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        let Self { inputs, precision, operands, rows, c, .. } = self;
        let (inputs, operands, rows, c) =
            (inputs.clone(), operands.clone(), rows.clone(), c.clone());
        let bytes =
            size_of_val(&operands.a[..]) + size_of_val(&operands.b[..]) + size_of_val(&c[..]);
        let copy = Self { inputs, precision: *precision, operands, rows, c, verified: vec![] };
        Some((Box::new(copy), bytes as u64))
    }
}

pub(super) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
