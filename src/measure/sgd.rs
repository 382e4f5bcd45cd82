//! An SGD case: data set, f64 trajectory and optimum, device run, verification.

mod svrg;

use std::rc::Rc;
use std::time::Instant;

use super::limits::{available_host_bytes, dispatches_on, steps_skip};
use super::session::{
    Clocked, Commands, Prepared, Runner, Session, Unmeasured, check_host_memory, result_sha256,
};
use crate::gpu::{Command, Context, GpuError, Source, TimingMethod};
use crate::mirror::sgd::{Definition, Sums, differing};
use crate::number::{Arithmetic, Format, Precision, Rounding};
use crate::problem::dataset::{Dataset, DatasetSpec};
use crate::record::{Record, Stage, Status, TrajectoryPoint};
use crate::truth::sgd::{Objective, Optimum};
use crate::workload::sgd::{
    Algorithm, CpuSgd, GpuOptions, GpuSgd, KernelOverride, LearningRate, Plan, Schedule, SgdCase,
    SgdError, Stage as KernelStage, check_schedule, lost_averages, rows_drawn, sources_sha256_with,
};

/// The last data set with its optimum, and what was computed on it.
#[derive(Default)]
pub struct SgdCache {
    data: Option<Rc<Inputs>>,
    /// By batch, steps and the bits of the learning rate.
    trajectories: Vec<((usize, u32, u32), Rc<Exact>)>,
    alter: Option<Alteration>,
}

/// The model after some numbers of steps.
type Snapshots = Vec<(u32, Vec<f64>)>;

/// What the steps reach in f64.
struct Exact {
    snapshots: Snapshots,
    /// Of the models that [`Algorithm::AveragedSgd`] averages.
    mean: Vec<f64>,
}

impl Exact {
    /// The trajectory with the model that an algorithm returns in the place of the last: the mean where
    /// models are averaged.
    fn of(&self, algorithm: Algorithm) -> Snapshots {
        let mut snapshots = self.snapshots.clone();
        if let (Algorithm::AveragedSgd, Some((_, last))) = (algorithm, snapshots.last_mut()) {
            last.clone_from(&self.mean);
        }
        snapshots
    }
}

struct Inputs {
    data: Dataset,
    optimum: Optimum,
    seed: u32,
}

/// What is learnt, and how.
pub(super) struct Training {
    pub data: DatasetSpec,
    pub batch: usize,
    pub steps: u32,
    pub learning_rate: LearningRate,
    pub schedule: Option<Schedule>,
    pub algorithm: Algorithm,
    pub precision: Precision,
    pub rounding_bits: u32,
}

/// A hook that alters the SGD kernels of a session: see [`Session::alter_sgd`].
type Alteration = Box<dyn Fn(KernelStage, &mut Vec<Source>)>;

impl From<SgdError> for Unmeasured {
    fn from(error: SgdError) -> Self {
        match error {
            SgdError::Gpu(error) => error.into(),
            error => Self::new(Status::Skipped, error),
        }
    }
}

impl Session {
    /// From now on alters the SGD kernels before they are composed: how the harness is tested
    /// against kernels that are wrong.
    pub fn alter_sgd(&mut self, alter: impl Fn(KernelStage, &mut Vec<Source>) + 'static) {
        self.sgd.alter = Some(Box::new(alter));
    }

    pub(super) fn prepare_sgd(
        &mut self,
        training: Training,
        context: Option<Rc<Context>>,
        record: &mut Record,
    ) -> Result<Prepared, Unmeasured> {
        let Training { data: spec, batch, steps, schedule, algorithm, precision, .. } = training;
        record.batch = Some(batch as u64);
        record.steps = Some(steps.into());
        record.data_set = spec.to_string();
        let rounding_bits = training.rounding_bits;
        let stochastic = precision.rounding() == Rounding::Stochastic;
        record.rounding_bits = stochastic.then_some(rounding_bits);
        let (seed, trial) = (self.selection.seed, self.selection.trial);
        let inputs = self.sgd.inputs(spec, seed)?;
        let data = &inputs.data;
        let auto = SgdCase::new(data, precision, batch, steps);
        let learning_rate = training.learning_rate.value(auto.learning_rate);
        let case = SgdCase { seed, trial, learning_rate, rounding_bits, ..auto };
        case.check(data)?;
        check_schedule(schedule, batch)?;
        algorithm.check(precision)?;
        let dispatches = context.as_ref().map_or(0, |context| {
            dispatches_on(&context.info, spec, batch, steps, (schedule, algorithm))
        });
        if let Some(reason) = steps_skip(steps, dispatches, available_host_bytes()) {
            return Err(Unmeasured::new(Status::Skipped, reason));
        }
        describe(&case, algorithm, &inputs, record);
        let Some(context) = context else {
            if algorithm.is_variance_reduced() {
                return svrg::prepare_cpu(&case, algorithm, &inputs, record);
            }
            let truth = self.sgd.trajectory(&case, &inputs).of(algorithm);
            return prepare_cpu(&case, algorithm, &inputs, &truth, record);
        };
        check_device(&context, algorithm)?;
        let checks = self.selection.checks;
        let options = GpuOptions { checks, schedule, algorithm, ..GpuOptions::default() };
        let unaltered: KernelOverride<'_> = &|_, _| {};
        let alter = self.sgd.alter.as_deref().unwrap_or(unaltered);
        record.wgsl_sha256 = sources_sha256_with(precision, case.loss, algorithm, alter);
        if algorithm.is_variance_reduced() {
            return svrg::prepare_gpu(&case, &inputs, context, options, alter, record);
        }
        let truth = self.sgd.trajectory(&case, &inputs).of(algorithm);
        let alter = self.sgd.alter.as_deref().unwrap_or(unaltered);
        prepare_gpu(&case, &inputs, &truth, context, options, alter, record)
    }
}

/// Bytes that a model added to the averaged ones moves for each coordinate: its sum, a pair of f32, is
/// read and written.
const SUM_BYTES: u64 = 2 * 8;

/// Skips what no mirror could follow on a device.
fn check_device(context: &Context, algorithm: Algorithm) -> Result<(), Unmeasured> {
    let skipped = |reason| Err(Unmeasured::new(Status::Skipped, reason));
    if let Some(answer) = &context.fingerprint.unmodelled {
        return skipped(format!(
            "no mirror models this device ({answer}) and no bound covers a run of SGD"
        ));
    }
    if algorithm == Algorithm::AveragedSgd
        && let Some(answer) = lost_averages(context)?
    {
        return skipped(format!("this device's compiler loses what roundings leave: {answer}"));
    }
    Ok(())
}

/// The columns known from the case and its data.
fn describe(case: &SgdCase, algorithm: Algorithm, inputs: &Inputs, record: &mut Record) {
    let data = &inputs.data;
    record.algorithm = algorithm.name().to_owned();
    record.algorithm_parameters = algorithm.parameters(data.n, case.batch, case.steps);
    record.examples = Some(data.n as u64);
    record.features = Some(data.d as u64);
    record.classes = data.test.as_ref().map(|_| data.outputs as u64);
    record.problem = if data.test.is_some() { "data set" } else { "seeded" }.to_owned();
    if data.test.is_none() {
        record.distribution = "normal".to_owned();
    }
    record.inputs_sha256 = data.sha256.clone();
    record.loss_function = case.loss.name().to_owned();
    record.learning_rate = Some(case.learning_rate.into());
    record.regularisation = Some(case.regularisation.into());
    record.output_format = case.precision.accumulator().name().to_owned();
    record.operations = Some(case.operations(data));
    record.bytes = Some(case.bytes(data));
    if let Some(models) = averaged(case, data, algorithm) {
        let added = u64::from(models) * (data.d * data.outputs) as u64;
        record.operations = Some(case.operations(data) + added);
        record.bytes = Some(case.bytes(data) + SUM_BYTES * added);
    }
    record.conversion_bytes = case.conversion_bytes(data);
    record.throughput_unit = "GNPS".to_owned();
    record.primary_error_metric = "loss_gap".to_owned();
    record.reference = "f64 trajectory and optimum".to_owned();
    record.bound_kind = "none".to_owned();
}

impl SgdCache {
    fn inputs(&mut self, spec: DatasetSpec, seed: u32) -> Result<Rc<Inputs>, Unmeasured> {
        if let Some(inputs) = &self.data
            && inputs.data.spec == spec
            && inputs.seed == seed
        {
            return Ok(inputs.clone());
        }
        self.data = None;
        self.trajectories.clear();
        // The numbers as drawn, padded or in chunks for upload, and converted by the mirror; the
        // Gram matrix of the optimum and its factor in f64.
        let [n, d] = [spec.rows(), spec.columns()].map(|count| count as u128);
        check_host_memory(&spec, 3 * 4 * n * (d + 3) + 2 * 8 * d * d)?;
        let data = spec.load(seed).map_err(|e| Unmeasured::new(Status::Skipped, e))?;
        let objective =
            Objective { data: &data, loss: data.loss, regularisation: data.regularisation.into() };
        let optimum = objective.optimum().map_err(|e| Unmeasured::new(Status::Failed, e))?;
        let inputs = Rc::new(Inputs { data, optimum, seed });
        self.data = Some(inputs.clone());
        Ok(inputs)
    }

    /// The f64 trajectory, which all precisions and devices share.
    fn trajectory(&mut self, case: &SgdCase, inputs: &Inputs) -> Rc<Exact> {
        let name = (case.batch, case.steps, case.learning_rate.to_bits());
        if let Some((_, found)) = self.trajectories.iter().find(|(n, _)| *n == name) {
            return found.clone();
        }
        let grids = crate::workload::sgd::Grids::new(Precision::D32fM32f, &inputs.data);
        let plan = Plan::new(case, &inputs.data, &grids);
        let objective = Objective::new(case, &inputs.data);
        let window = Algorithm::window(inputs.data.n, case.batch, case.steps);
        let (snapshots, mean) = objective.trajectory_and_mean(case, &plan, window);
        let exact = Rc::new(Exact { snapshots, mean });
        self.trajectories.push((name, exact.clone()));
        exact
    }
}

fn prepare_gpu(
    case: &SgdCase,
    inputs: &Rc<Inputs>,
    truth: &Snapshots,
    context: Rc<Context>,
    options: GpuOptions,
    alter: KernelOverride<'_>,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let data = &inputs.data;
    context.reset_peak();
    let gpu = GpuSgd::prepare_altered(&context, case, data, options, alter)?;
    if case.precision.storage() == crate::number::Format::F16 {
        record.f16_path = "packed".to_owned();
    }
    record.pipeline_compile_ns = Some(gpu.compile_ns());
    record.peak_device_memory_bytes = Some(context.peak_bytes());
    record.dataset_step = gpu.grids().data.map(|grid| grid.step().into());
    record.model_step = gpu.grids().model.map(|grid| grid.step().into());
    context.run(gpu.conversion_commands(), 1)?;
    context.run(gpu.trajectory_commands(), 1)?;
    let words = gpu.snapshot_words(&context)?;
    let sums = gpu.sums(&context)?;

    let started = Instant::now();
    let arithmetic = context.fingerprint.arithmetic;
    let averaged = averaged(case, data, options.algorithm);
    let mut mirror = CpuSgd::prepare_averaging(case, data, arithmetic, averaged)?;
    mirror.run_trajectory();
    let numbers = |sums: Option<&Sums>| sums.map(Sums::numbers).unwrap_or_default();
    let mismatches = words_that_differ(&words, mirror.snapshot_words())
        + differing(&numbers(sums.as_ref()), &numbers(mirror.sums()));
    record.stagnated_fraction = mirror.stagnated_fraction();
    record.verified_fraction = Some(1.0);
    record.mirror_mismatches = Some(mismatches);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    if mismatches > 0 {
        let reason = format!(
            "{mismatches} words of the model differ from the mirror over {} snapshots",
            words.len()
        );
        return Err(Unmeasured::new(Status::Wrong, reason));
    }
    let mut snapshots = in_f64(gpu.snapshots(&context)?);
    if let Some((average, (_, last))) = gpu.average(&context)?.zip(snapshots.last_mut()) {
        *last = average;
    }
    let judged = judge(case, inputs, truth, &snapshots, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    let trajectory = judged?;
    let total = [gpu.conversion_commands(), gpu.commands()].concat();
    let verified = gpu_words(&context, &gpu)?;
    record.result_sha256 = result_sha256(verified.iter().copied());
    let method = context.timing;
    let runner = GpuRunner { context, gpu, total, verified };
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), method).with_sgd(
        trajectory,
        case.numbers(data),
        rows_drawn(data.n, case.batch, case.steps),
    ))
}

/// All that a run on a GPU results in: the model as it is stored, and the sums of models, if any.
fn gpu_words(context: &Context, gpu: &GpuSgd) -> Result<Vec<u32>, GpuError> {
    let sums = gpu.sums(context)?.map(|sums| sums.numbers()).unwrap_or_default();
    let mut words = gpu.model_words(context)?;
    words.extend(sums.into_iter().map(f32::to_bits));
    Ok(words)
}

/// How many models are averaged, if any.
fn averaged(case: &SgdCase, data: &Dataset, algorithm: Algorithm) -> Option<u32> {
    let window = Algorithm::window(data.n, case.batch, case.steps);
    (algorithm == Algorithm::AveragedSgd).then_some(window)
}

/// Words of the model that differ over all snapshots.
fn words_that_differ(device: &[(u32, Vec<u32>)], mirror: &[(u32, Vec<u32>)]) -> u64 {
    let flat = |all: &[(u32, Vec<u32>)]| -> Vec<u32> {
        all.iter().flat_map(|(step, words)| std::iter::once(*step).chain(words.clone())).collect()
    };
    different(&flat(device), &flat(mirror))
}

/// Numbers that differ. What one side lacks differs.
fn different<T: PartialEq>(a: &[T], b: &[T]) -> u64 {
    (a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())) as u64
}

/// Models in the format that they are judged in.
fn in_f64(snapshots: Vec<(u32, Vec<f32>)>) -> Snapshots {
    let wide = |model: Vec<f32>| model.into_iter().map(f64::from).collect();
    snapshots.into_iter().map(|(step, model)| (step, wide(model))).collect()
}

fn prepare_cpu(
    case: &SgdCase,
    algorithm: Algorithm,
    inputs: &Rc<Inputs>,
    truth: &Snapshots,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let data = &inputs.data;
    let averaged = averaged(case, data, algorithm);
    let mut cpu = CpuSgd::prepare_averaging(case, data, Arithmetic::host(), averaged)?;
    record.dataset_step = cpu.grids().data.map(|grid| grid.step().into());
    record.model_step = cpu.grids().model.map(|grid| grid.step().into());
    cpu.run_trajectory();
    record.stagnated_fraction = cpu.stagnated_fraction();
    let started = Instant::now();
    if case.precision.storage() == Format::Fixed4 {
        // On the CPU a 4-bit number takes a byte.
        let in_bytes = SgdCase { precision: Precision::D8M8Sr, ..*case };
        let added = u64::from(averaged.unwrap_or(0)) * (data.d * data.outputs) as u64;
        record.bytes = Some(in_bytes.bytes(data) + SUM_BYTES * added);
        record.conversion_bytes = in_bytes.conversion_bytes(data);
    }
    check_first_steps(case, data, &cpu, record)?;
    let mut snapshots = in_f64(cpu.snapshots());
    if let Some((average, (_, last))) = cpu.average().zip(snapshots.last_mut()) {
        *last = average;
    }
    let judged = judge(case, inputs, truth, &snapshots, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    let trajectory = judged?;
    let verified = result_words(&cpu);
    record.result_sha256 = result_sha256(verified.iter().copied());
    let (numbers, examples) = (case.numbers(data), rows_drawn(data.n, case.batch, case.steps));
    let converts = case.precision.storage() != Format::F32;
    let case = *case;
    let runner = CpuRunner { inputs: inputs.clone(), case, averaged, cpu, converts, verified };
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), TimingMethod::Host)
        .with_sgd(trajectory, numbers, examples))
}

/// Steps that are checked on the CPU: each checkpoint that one step more leads to.
const DEFINED_STEPS: usize = 2;

/// The first steps again by their definition, every number of the model: on the CPU the mirror itself
/// is what is measured.
fn check_first_steps(
    case: &SgdCase,
    data: &Dataset,
    cpu: &CpuSgd,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    let (grids, arithmetic) = (cpu.grids(), Arithmetic::host());
    let definition = Definition { case, data, grids, arithmetic };
    let mut model = vec![0.0; data.outputs * data.d_padded];
    let (mut mismatches, mut checked) = (0, 0);
    for (now, (steps, mirror)) in cpu.plan().steps.iter().zip(cpu.snapshots()).take(DEFINED_STEPS) {
        if steps != now.step + 1 {
            break;
        }
        mismatches += differing(&mirror, &definition.step(now, &model));
        (model, checked) = (mirror, checked + 1);
    }
    record.mirror_mismatches = Some(mismatches);
    record.verified_fraction = Some(f64::from(checked) / f64::from(case.steps));
    if mismatches == 0 {
        return Ok(());
    }
    let reason = format!(
        "{mismatches} numbers of the model differ from the definition over the first {checked} steps"
    );
    Err(Unmeasured::new(Status::Wrong, reason))
}

/// A run whose loss ends over so many times that of the zero model, with which it began, diverged.
const DIVERGED: f64 = 10.0;

/// Fills the error columns from the model after the last step, and the trajectory.
fn judge(
    case: &SgdCase,
    inputs: &Inputs,
    truth: &Snapshots,
    snapshots: &Snapshots,
    record: &mut Record,
) -> Result<Vec<TrajectoryPoint>, Unmeasured> {
    let objective = Objective::new(case, &inputs.data);
    let point = |(step, model): &(u32, Vec<f64>)| {
        let loss = objective.value(model);
        let exact = truth.iter().find(|(at, _)| at == step).map(|(_, exact)| exact);
        TrajectoryPoint {
            case_id: record.case_id.clone(),
            step: (*step).into(),
            loss: Some(loss),
            loss_gap: Some(loss - inputs.optimum.loss),
            distance_to_f64_trajectory: exact.map(|exact| distance(model, exact)),
            distance_to_optimum: Some(distance(model, &inputs.optimum.model)),
            test_accuracy: objective.test_accuracy(model),
            ..TrajectoryPoint::default()
        }
    };
    let trajectory: Vec<TrajectoryPoint> = snapshots.iter().map(point).collect();
    let Some((last, (_, model))) = trajectory.last().zip(snapshots.last()) else {
        return Err(Unmeasured::new(Status::Failed, "the run recorded no model"));
    };
    record.primary_error = last.loss_gap;
    record.loss_gap = last.loss_gap;
    record.distance_to_f64_trajectory = last.distance_to_f64_trajectory;
    record.distance_to_optimum = last.distance_to_optimum;
    record.test_accuracy = last.test_accuracy;
    record.gradient_norm = Some(objective.gradient_norm(model));
    let non_finite = model.iter().filter(|w| !w.is_finite()).count();
    record.non_finite_count = Some(non_finite as u64);
    let initial = objective.value(&vec![0.0; model.len()]);
    let loss = last.loss.unwrap_or(f64::NAN);
    let why = if non_finite > 0 {
        format!("{non_finite} weights are not finite")
    } else if loss <= DIVERGED * initial {
        return Ok(trajectory);
    } else {
        format!("the loss is {loss:.2e}, over {DIVERGED} times that of the zero model")
    };
    let (rate, steps) = (case.learning_rate, case.steps);
    let reason = format!(
        "{why} after {steps} steps at the learning rate {rate}: the run diverged; choose a lower \
         rate"
    );
    Err(Unmeasured::new(Status::Wrong, reason))
}

/// ‖a − b‖ / ‖b‖, in the Euclidean norm.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let norm2 = |x: f64, y: f64| (x - y) * (x - y);
    let difference: f64 = a.iter().zip(b).map(|(&a, &b)| norm2(a, b)).sum();
    let size: f64 = b.iter().map(|&b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / size).sqrt() }
}

const SIDE_STAGES: &[Stage] = &[Stage::Conversion, Stage::Total];

struct GpuRunner {
    context: Rc<Context>,
    gpu: GpuSgd,
    total: Vec<Command>,
    verified: Vec<u32>,
}

impl Runner for GpuRunner {
    fn main_stage(&self) -> Stage {
        Stage::Run
    }

    fn side_stages(&self) -> &'static [Stage] {
        if self.gpu.conversion_commands().is_empty() { &[] } else { SIDE_STAGES }
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let commands = match stage {
            Stage::Conversion => self.gpu.conversion_commands(),
            Stage::Total => &self.total,
            _ => self.gpu.commands(),
        };
        let elapsed = self.context.run(commands, iterations)?;
        Ok(Clocked { host_ns: elapsed.host_ns, device_ns: elapsed.device_ns })
    }

    fn dispatches(&self) -> u64 {
        self.gpu.commands().iter().filter(|command| command.is_dispatch()).count() as u64
    }

    fn spoil(&mut self) -> Result<(), Unmeasured> {
        Ok(self.gpu.spoil_model(&self.context)?)
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(gpu_words(&self.context, &self.gpu)? == self.verified)
    }

    fn commands(&self) -> Option<Commands> {
        let conversion = self.gpu.conversion_commands().to_vec();
        let main = self.gpu.commands().to_vec();
        Some(Commands { context: self.context.clone(), conversion, main })
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        None
    }
}

/// All that a run on the CPU results in, as on a GPU.
fn result_words(cpu: &CpuSgd) -> Vec<u32> {
    let sums = cpu.sums().map(Sums::numbers).unwrap_or_default();
    cpu.model_words().into_iter().chain(sums.into_iter().map(f32::to_bits)).collect()
}

struct CpuRunner {
    inputs: Rc<Inputs>,
    case: SgdCase,
    averaged: Option<u32>,
    cpu: CpuSgd,
    converts: bool,
    verified: Vec<u32>,
}

impl Runner for CpuRunner {
    fn main_stage(&self) -> Stage {
        Stage::Run
    }

    fn side_stages(&self) -> &'static [Stage] {
        if self.converts { SIDE_STAGES } else { &[] }
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let started = Instant::now();
        for _ in 0..iterations {
            if stage != Stage::Run {
                self.cpu.convert(&self.inputs.data);
            }
            if stage != Stage::Conversion {
                self.cpu.run();
            }
        }
        Ok(Clocked { host_ns: started.elapsed().as_nanos() as f64, device_ns: None })
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(result_words(&self.cpu) == self.verified)
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        let Self { case, averaged, converts, .. } = *self;
        let inputs = self.inputs.clone();
        let host = Arithmetic::host();
        let cpu = CpuSgd::prepare_averaging(&case, &inputs.data, host, averaged).ok()?;
        let bytes = case.precision.storage().bytes(inputs.data.x.len() as u64);
        let verified = vec![];
        Some((Box::new(Self { inputs, case, averaged, cpu, converts, verified }), bytes))
    }
}
