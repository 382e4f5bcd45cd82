//! A matmul case: problem, truth, device run, verification.

use std::rc::Rc;
use std::time::Instant;

use rayon::prelude::*;

use super::integers;
use super::judge::{self, Study};
use super::session::{
    Clocked, Commands, Prepared, Runner, Session, Unmeasured, check_host_memory, result_sha256,
};
use crate::error::{Bound, ErrorMetrics, Guarantee, matmul_bound};
use crate::gpu::{Command, Context, TimingMethod, double_differs, lost_errors};
use crate::mirror::convert::{Key, Operands};
use crate::mirror::matmul::{PackedB, entries, entry, multiply_packed};
use crate::mirror::matmul_wide;
use crate::number::{Arithmetic, Entries, Mismatches, Precision, Rounding};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::{MatmulProblem, Origin};
use crate::record::{Record, Stage, Status};
use crate::truth::matmul::{MatmulTruth, sample_rows};
use crate::workload::matmul::{
    GpuMatmul, Kernel, KernelSource, Shape, output_format, throughput_unit, upload_format,
};

/// Product-adds that a verification computes on the host; more, and it samples rows of C.
const VERIFIED_PRODUCTS: usize = 1 << 30;
/// Rows that a sample has at least.
pub(super) const LEAST_ROWS: usize = 16;
/// Rows of the CPU's C that are computed again entry by entry.
const CPU_CHECKED_ROWS: usize = 4;

/// Alters a kernel before it is composed; does nothing outside tests of the harness.
pub type MatmulOverride<'a> = &'a dyn Fn(&mut KernelSource);

/// Problem and truths of the last shape, and the mirror's results on it.
#[derive(Default)]
pub struct MatmulCache {
    /// With the f64 product for a truth, and with the exact one.
    inputs: [Option<Rc<Inputs>>; 2],
    /// Seeds that stochastic roundings are repeated with.
    trials: u32,
    /// Whether a case is verified and nothing more.
    pub(super) brief: bool,
    mirrors: Vec<(Variant, Rc<Mirrored>)>,
}

/// What the mirror's results on a problem depend on.
#[derive(Clone, Copy, PartialEq)]
struct Variant {
    precision: Precision,
    arithmetic: Arithmetic,
    /// Slices that k is cut into.
    slices: u32,
    /// Random bits of one stochastic rounding.
    rounding_bits: u32,
}

pub(super) struct Inputs {
    pub(super) shape: Shape,
    pub(super) problem: Rc<MatmulProblem>,
    origin: Origin,
    pub(super) truth: MatmulTruth,
    pub(super) key: Key,
}

impl Inputs {
    /// Rows of C of all products.
    pub(super) fn rows(&self) -> usize {
        self.shape.batch * self.shape.m
    }

    /// The operands in the shape's layout.
    pub(super) fn stored(&self) -> Stored<'_> {
        let Shape { layout, batch, .. } = self.shape;
        let problem = &self.problem;
        Stored::new(layout, batch, &problem.a, &problem.b).with_f64(problem.given_f64())
    }

    /// Whether a stage of its own makes the operands of a precision: not where they are taken as they
    /// come, nor where the host makes their parts of numbers given in f64.
    fn are_converted(&self, precision: Precision) -> bool {
        let given = self.problem.given_f64.is_some();
        upload_format(precision, given) != precision.storage()
    }
}

/// What the mirror computes on an arithmetic: steps of the operands, and the checked rows of C.
struct Mirrored {
    step_a: Vec<f32>,
    step_b: Vec<f32>,
    c: Entries,
    study: Study,
}

impl Session {
    pub(super) fn prepare_matmul(
        &mut self,
        (shape, origin): (Shape, &Origin),
        kernel: Option<Kernel>,
        (precision, rounding_bits): (Precision, u32),
        context: Option<Rc<Context>>,
        record: &mut Record,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, Unmeasured> {
        describe(shape, precision, rounding_bits, record);
        describe_origin(origin, record);
        if let (Some(context), Some(kernel)) = (&context, kernel) {
            kernel
                .runs(precision, shape)
                .and_then(|()| KernelSource::supports(kernel, precision, &context.info))
                .map_err(|lacks| Unmeasured::new(Status::Skipped, lacks))?;
        }
        let (seed, trial) = (self.selection.seed, self.selection.trial);
        self.matmul.trials = self.selection.trials;
        let inputs = self.matmul.inputs(shape, origin, [seed, trial], precision)?;
        record.inputs_sha256 = inputs.problem.sha256.clone();
        if !inputs.are_converted(precision) {
            record.conversion_bytes = None;
        }
        record.reference = inputs.truth.reference.to_owned();
        record.reference_fraction = Some(inputs.truth.rows.len() as f64 / inputs.rows() as f64);
        match (context, kernel) {
            (Some(context), Some(kernel)) => {
                let (mut source, tuning) =
                    self.tuned_source(shape, kernel, precision, &context.info);
                record.kernel_parameters = source.parameters.to_string();
                record.tuning = tuning.to_owned();
                source.rounding_bits = rounding_bits;
                alter(&mut source);
                let checks = self.selection.checks;
                prepare_gpu(&mut self.matmul, &inputs, &source, context, checks, record)
            }
            _ => prepare_cpu(&self.matmul, &inputs, (precision, rounding_bits), record),
        }
    }
}

/// The columns known from the shape and the setting alone.
fn describe(shape: Shape, precision: Precision, rounding_bits: u32, record: &mut Record) {
    let Shape { m, n, k, layout, batch } = shape;
    record.m = Some(m as u64);
    record.n = Some(n as u64);
    record.k = Some(k as u64);
    record.rounding_bits = (precision.rounding() == Rounding::Stochastic).then_some(rounding_bits);
    record.operand_layout = layout.name().to_owned();
    record.batch_count = Some(batch as u64);
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

/// Host memory that a shape takes, in bytes, with `rows` of C verified: the operands as drawn, as stored
/// where that is another thing, padded for upload and converted by the mirror, three products, and the
/// truth. Where numbers have several parts or are f64, each of these takes up to three times as much.
pub(super) fn host_bytes(shape: Shape, rows: usize, precision: Precision) -> u128 {
    let Shape { m, n, k, layout, batch } = shape;
    let parts = if precision.is_wide() { 3 } else { 1 };
    let copies = if layout == Layout::Nn { 3 } else { 4 };
    let products = batch as u128;
    let product_bytes = 4 * products * m as u128 * n as u128;
    parts * (copies * products * MatmulProblem::operand_bytes(m, n, k) + 3 * product_bytes)
        + MatmulTruth::host_bytes(rows, n, k, batch)
}

/// What a shape's operands are.
fn problem(shape: Shape, origin: &Origin, seed: u64) -> Result<MatmulProblem, Unmeasured> {
    let Shape { m, n, k, batch, .. } = shape;
    match origin {
        Origin::Seeded(distribution) => {
            let (extents, budget) = ([m, n, k], isize::MAX as u64);
            MatmulProblem::generate_batch_within(*distribution, extents, batch, seed, budget)
                .map_err(|e| Unmeasured::new(Status::Skipped, e))
        }
        Origin::Files(files) => Ok(MatmulProblem::of_files(files, seed)),
    }
}

/// Rows of C of all products that are verified: all, or as many as a truth, exact or not, has time for.
fn verified_rows(shape: Shape, exact: bool) -> usize {
    let Shape { m, n, k, batch, .. } = shape;
    let all = batch * m;
    if exact {
        MatmulTruth::exact_rows(all, n, k, LEAST_ROWS)
    } else {
        (VERIFIED_PRODUCTS / n.saturating_mul(k).max(1)).max(LEAST_ROWS).min(all)
    }
}

impl MatmulCache {
    /// The problem and a truth of a shape; rows of C are sampled where the whole is too much work.
    fn inputs(
        &mut self,
        shape: Shape,
        origin: &Origin,
        key: Key,
        precision: Precision,
    ) -> Result<Rc<Inputs>, Unmeasured> {
        let exact = precision.needs_exact_truth() || origin.needs_exact_truth();
        let rows = verified_rows(shape, exact);
        check_host_memory(&shape, host_bytes(shape, rows, precision))?;
        let is_other = |inputs: &Rc<Inputs>| {
            inputs.shape != shape || inputs.origin != *origin || inputs.key != key
        };
        if self.inputs.iter().flatten().any(is_other) {
            self.inputs = [None, None];
            self.mirrors.clear();
        }
        if let Some(inputs) = &self.inputs[usize::from(exact)] {
            return Ok(inputs.clone());
        }
        let (all, seed) = (shape.batch * shape.m, key[0].into());
        let problem = match self.inputs.iter().flatten().next() {
            Some(other) => other.problem.clone(),
            None => Rc::new(problem(shape, origin, seed)?),
        };
        let sample = (rows < all).then(|| sample_rows(all, rows, seed));
        let truth = if exact { MatmulTruth::exact } else { MatmulTruth::of };
        let truth =
            truth(&problem, sample.as_deref()).map_err(|e| Unmeasured::new(Status::Failed, e))?;
        let origin = origin.clone();
        let inputs = Rc::new(Inputs { shape, problem, origin, truth, key });
        self.inputs[usize::from(exact)] = Some(inputs.clone());
        Ok(inputs)
    }

    fn mirror(&mut self, inputs: &Inputs, variant: Variant) -> Rc<Mirrored> {
        let Variant { precision, arithmetic, slices, rounding_bits } = variant;
        if let Some((_, found)) = self.mirrors.iter().find(|(known, _)| *known == variant) {
            return found.clone();
        }
        let (key, rows) = (inputs.key, &inputs.truth.rows);
        let stored = inputs.stored();
        let operands =
            Operands::convert_with_bits(precision, arithmetic, &stored, key, rounding_bits);
        let c = entries(precision, arithmetic, &operands, slices, rows, key);
        let study = Study::of(precision, arithmetic, &operands, inputs, self.trials);
        let study = if slices > 1 { study.of_slices() } else { study };
        let Operands { step_a, step_b, .. } = operands;
        let mirrored = Rc::new(Mirrored { step_a, step_b, c, study });
        self.mirrors.push((variant, mirrored.clone()));
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
    let unlike = unlike_f64(&context, source.precision)?;
    record.f16_path = source.f16_path.map_or("", |path| path.name()).to_owned();
    context.reset_peak();
    let gpu = GpuMatmul::prepare(&context, source, &inputs.stored(), inputs.key, checks)?;
    record.wgsl_sha256 = gpu.wgsl_sha256.clone();
    record.pipeline_compile_ns = Some(gpu.compile_ns);
    record.peak_device_memory_bytes = Some(context.peak_bytes());
    gpu.poison(&context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    let c = gpu.entries(&context)?;
    let checked = c.rows(&inputs.truth.rows, inputs.problem.n);

    let started = Instant::now();
    let fingerprint = &context.fingerprint;
    let unmodelled = if source.kernel.has_mirror() {
        let answer = fingerprint.unmodelled.as_ref().or(unlike.as_ref());
        answer.map(|answer| format!("this device ({answer})"))
    } else {
        Some("a matrix unit".to_owned())
    };
    let arithmetic = fingerprint.arithmetic;
    let KernelSource { precision, rounding_bits, .. } = *source;
    let variant = Variant { precision, arithmetic, slices: source.slices(), rounding_bits };
    let mirrored = cache.mirror(inputs, variant);
    let guarantee = if source.kernel.has_mirror() {
        Guarantee::of(fingerprint.arithmetic, fingerprint.rounds_to_nearest)
    } else {
        Guarantee::PORTABLE // the fingerprint is not the matrix unit's
    };
    let roundings = source.kernel.roundings(source.precision, inputs.problem.k);
    let (step_a, step_b) = (&mirrored.step_a, &mirrored.step_b);
    let bound = bound(source.precision, roundings, step_a, step_b, guarantee)?;
    let bound = judge::from_f64(bound, source.precision, &inputs.problem);
    if let Some(what) = unmodelled.as_ref().filter(|_| bound.is_vacuous()) {
        let reason = format!("no mirror models {what} and the bound says nothing at this k");
        return Err(Unmeasured::new(Status::Skipped, reason));
    }
    let expected = unmodelled.is_none().then_some(&mirrored.c);
    let fraction = inputs.truth.rows.len() as f64 / inputs.rows() as f64;
    let verified = verify(&checked, expected, fraction, inputs, source.precision, &bound, record);
    let (truth, models) = (&inputs.truth, unmodelled.is_none());
    mirrored.study.fill(&checked, truth, source.precision, models, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    verified?;
    if !guarantee.rounds_to_nearest {
        // Roundings to one side do not cancel: the theorem is not of these.
        (record.measured_over_probabilistic, record.probabilistic_failure) = (None, None);
    }
    let exact = unmodelled.is_some()
        && integers::check(&context, source, inputs.shape, inputs.key, checks)?;
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    if !cache.brief {
        judge::compare_runs(&context, source, &gpu, inputs, checks, &c, record)?;
    }
    if let Some(what) = unmodelled {
        let judges = if exact { "and to exact sums of small integers" } else { "alone" };
        record.reason = format!("no mirror models {what}; held to its bound {judges}");
    }
    let method = context.timing;
    let total = [gpu.conversion(), gpu.product()].concat();
    record.result_sha256 = result_sha256(c.words());
    let runner = GpuRunner { context, gpu, total, verified: c };
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), method))
}

/// Whether a device can be trusted with a precision whose results rest on more than its f32: a
/// compensated sum on a compiler that leaves the errors in, f64 on an fma that the mirror can follow.
/// What is unlike the mirror is returned; what would make a result of another precision than it says
/// is an error.
fn unlike_f64(context: &Context, precision: Precision) -> Result<Option<String>, Unmeasured> {
    if precision.is_compensated() {
        let skipped = |why| Err(Unmeasured::new(Status::Skipped, why));
        if !context.fingerprint.rounds_to_nearest {
            return skipped(
                "this device does not round to nearest, so what a sum leaves cannot be had"
                    .to_owned(),
            );
        }
        if let Some(answer) = lost_errors(context)? {
            return skipped(format!("this device's compiler loses what roundings leave: {answer}"));
        }
    }
    if precision == Precision::Fp64 {
        return Ok(double_differs(context, context.fingerprint.arithmetic)?);
    }
    Ok(None)
}

fn prepare_cpu(
    cache: &MatmulCache,
    inputs: &Rc<Inputs>,
    (precision, rounding_bits): (Precision, u32),
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let arithmetic = Arithmetic::host();
    let problem = &inputs.problem;
    let stored = inputs.stored().into_owned();
    let operands =
        Operands::convert_with_bits(precision, arithmetic, &stored, inputs.key, rounding_bits);
    let all: Vec<usize> = (0..inputs.rows()).collect();
    let c = entries(precision, arithmetic, &operands, 1, &all, inputs.key);
    let n = problem.n;
    let checked = c.rows(&inputs.truth.rows, n);
    let guarantee = Guarantee::of(arithmetic, true);
    let bound = bound(precision, problem.k, &operands.step_a, &operands.step_b, guarantee)?;
    let bound = judge::from_f64(bound, precision, problem);

    let started = Instant::now();
    // The mirror's blocks are checked against its definition, entry by entry.
    let key = inputs.key;
    let again = sample_rows(inputs.rows(), CPU_CHECKED_ROWS, key[0].into());
    let places = again.par_iter().flat_map_iter(|&i| (0..n).map(move |j| (i, j)));
    let found = places
        .map(|(i, j)| {
            let expected = if precision.is_wide() {
                matmul_wide::entry(precision, arithmetic, &operands, i, j)
            } else {
                Entries::Single(vec![entry(precision, arithmetic, &operands, i, j, key)])
            };
            c.rows(&[i * n + j], 1).mismatches(&expected)
        })
        .reduce(Mismatches::default, |a, b| Mismatches {
            entries: a.entries + b.entries,
            signed_zeros: a.signed_zeros + b.signed_zeros,
        });
    record.mirror_mismatches = Some(found.entries);
    record.mirror_signed_zero_mismatches = Some(found.signed_zeros);
    record.verified_fraction = Some(again.len() as f64 / inputs.rows() as f64);
    let verified = judge(&checked, found.entries, inputs, precision, &bound, record);
    let study = Study::of(precision, arithmetic, &operands, inputs, cache.trials);
    study.fill(&checked, &inputs.truth, precision, true, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    verified?;
    judge::compare_mirrors(precision, &operands, inputs, &c, record);
    record.result_sha256 = result_sha256(c.words());
    let runner = CpuRunner {
        inputs: inputs.clone(),
        precision,
        stored: Rc::new(stored),
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
    computed: &Entries,
    mirror: Option<&Entries>,
    fraction: f64,
    inputs: &Inputs,
    precision: Precision,
    bound: &Bound,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    let found = mirror.map(|mirror| computed.mismatches(mirror));
    if let Some(found) = found {
        record.mirror_mismatches = Some(found.entries);
        record.mirror_signed_zero_mismatches = Some(found.signed_zeros);
        record.verified_fraction = Some(fraction);
    }
    let mismatches = found.unwrap_or_default().entries;
    judge(computed, mismatches, inputs, precision, bound, record)
}

/// Fills the error columns; an error over its bound or a bit off its mirror makes the row wrong.
fn judge(
    computed: &Entries,
    mismatches: u64,
    inputs: &Inputs,
    precision: Precision,
    bound: &Bound,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    match computed {
        Entries::Single(c) => judge_values(c, mismatches, inputs, precision, bound, record),
        wide => judge_values(&wide.values(), mismatches, inputs, precision, bound, record),
    }
}

fn judge_values<T: Copy + Into<f64> + Sync>(
    computed: &[T],
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
    verified: Entries,
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
        Ok(self.gpu.entries(&self.context)?.same_bits(&self.verified))
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
    stored: Rc<Stored<'static>>,
    operands: Operands,
    rows: Vec<usize>,
    c: Entries,
    verified: Entries,
}

impl CpuRunner {
    fn convert(&mut self) {
        let Self { precision, ref stored, ref operands, .. } = *self;
        let (key, bits) = (self.inputs.key, operands.rounding_bits);
        self.operands =
            Operands::convert_with_bits(precision, Arithmetic::host(), stored, key, bits);
    }

    /// Packing B is part of the product, as in any BLAS.
    fn multiply(&mut self) {
        let Self { precision, operands, rows, c, inputs, .. } = self;
        let arithmetic = Arithmetic::host();
        match c {
            Entries::Single(c) if !precision.is_wide() => {
                let packed = PackedB::of(operands);
                multiply_packed(*precision, arithmetic, operands, &packed, rows, inputs.key, c);
            }
            c => *c = matmul_wide::multiply(*precision, arithmetic, operands, rows),
        }
    }
}

impl Runner for CpuRunner {
    fn main_stage(&self) -> Stage {
        Stage::Product
    }

    fn side_stages(&self) -> &'static [Stage] {
        if self.inputs.are_converted(self.precision) { SIDE_STAGES } else { &[] }
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
        self.c.spoil();
        Ok(())
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(self.c.same_bits(&self.verified))
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        let Self { inputs, precision, stored, operands, rows, c, .. } = self;
        let (inputs, stored, operands, rows, c) =
            (inputs.clone(), stored.clone(), operands.clone(), rows.clone(), c.clone());
        let bytes = operands.bytes() + c.bytes();
        let verified = Entries::Single(vec![]);
        let copy = Self { inputs, precision: *precision, stored, operands, rows, c, verified };
        Some((Box::new(copy), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::record::Provenance;

    /// Every precision beyond the default ones, on every device here that has what it needs: held
    /// to its mirror and its bound, the best of them against the exact truth, of all entries or of
    /// a sample that the row states.
    #[test]
    fn wide_precisions_are_verified_on_every_device() {
        let variables = [
            ("TRADEOFF_WORKLOADS", "matmul"),
            ("TRADEOFF_SIZES", "40x33x70-tt-b2,33x1x70-tn,40x2100x4096"),
            ("TRADEOFF_PRECISIONS", "fp32,fp16x2,bf16x3,fp32-comp,fp32x2,fp64"),
            ("TRADEOFF_KERNELS", "register_tiled,gemv"),
            ("TRADEOFF_ROOFLINE", "off"),
            ("TRADEOFF_TUNE", "off"),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let selection = Selection::from_variables(variables.into()).unwrap();
        let devices = discover(None).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        let mut errors = vec![];
        for case in session.plan() {
            let device = session.devices().iter().find(|d| d.info.slug == case.device_slug);
            let has_f64 = device.is_some_and(|d| d.is_cpu() || d.info.shader_f64);
            let prepared = match session.prepare(&case) {
                Ok(prepared) => prepared,
                Err(measured) => {
                    let reason = &measured.record.reason;
                    assert_eq!(
                        (case.precision, has_f64),
                        (Precision::Fp64, false),
                        "{case}: {reason}"
                    );
                    assert_eq!(measured.record.status, Status::Skipped);
                    continue;
                }
            };
            let record = prepared.record();
            let exact = case.precision.needs_exact_truth();
            assert_eq!(record.reference, if exact { "exact" } else { "f64 product" }, "{case}");
            let small = case.shape() != "40x2100x4096";
            let fraction = if exact && !small { 16.0 / 40.0 } else { 1.0 };
            assert_eq!(record.reference_fraction, Some(fraction), "{case}");
            assert_eq!(record.mirror_mismatches, Some(0), "{case}");
            assert!(record.measured_over_bound.unwrap() <= 1.0, "{case}");
            if !small {
                errors.push((case.precision, record.relative_frobenius.unwrap()));
            }
        }
        // At k = 4096 a plain f32 sum errs by 0.3·√k·u, 19 times what one rounding is at most.
        let u = f64::from(f32::EPSILON) / 2.0;
        for (precision, error) in errors {
            let once = error <= u;
            assert_eq!(once, precision.needs_exact_truth(), "{precision}: {error:e}");
        }
    }
}
