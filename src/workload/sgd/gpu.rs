//! SGD on a GPU: buffers, and every command of a run built up front.

use std::ops::Range;

use super::cpu::mean;
use super::kernels::TILE_ROWS;
use super::{
    Algorithm, Grids, Kernel, KernelOverride, Plan, Schedule, SgdCase, SgdError, Stage, Step,
};
use super::{
    averaging_probe, check_schedule, conversion_kernel, decode_model, half_bits, kernels_with,
    model_bytes,
};
use crate::gpu::{
    Buffer, Command, Context, DeviceInfo, Elapsed, GpuError, Pipeline, Uniforms, lost_sum_errors,
};
use crate::mirror::sgd::{BLOCK, LANES, Sums, TILE};
use crate::number::{Format, Rounding};
use crate::problem::dataset::{Dataset, DatasetSpec};

/// Bindings that the kernels give the data set.
pub const MAX_CHUNKS: usize = 4;
/// Threads of a workgroup where nothing else asks for more.
const THREADS: u64 = 64;
/// Threads of the persistent workgroup on a GPU; on a CPU, which has no more lanes, [`THREADS`].
const PERSISTENT_THREADS: u64 = 256;
/// Iterations of all loops together that one invocation may make: Mesa's software adapters end
/// loops after 65,535, and a submission must not last.
const ITERATIONS: u64 = 50_000;
/// Threads of a grid that give each several groups, so that it still fills a large GPU.
const FULL_GRID: u64 = 1 << 16;

/// How a run is laid out on its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Keeps wgpu's run-time checks of indices and loops.
    pub checks: bool,
    /// Splits the data set, as f32, into buffers of at most so many bytes; else as many as one
    /// binding of the device may hold.
    pub chunk_bytes: Option<u64>,
    /// Runs the steps so; if none is asked for, as [`Schedule::of`] says.
    pub schedule: Option<Schedule>,
    /// How it descends. [`super::GpuSvrg`] runs those that reduce variance, [`GpuSgd`] the others.
    pub algorithm: Algorithm,
}

/// What a run on a GPU gave.
#[derive(Clone, Debug)]
pub struct SgdRun {
    /// The model after the last step: outputs × d_padded.
    pub final_model: Vec<f32>,
    /// The model at each checkpoint: steps done, outputs × d_padded.
    pub snapshots: Vec<(u32, Vec<f32>)>,
    /// Time of all steps, snapshots included.
    pub elapsed: Elapsed,
    /// Time of the data set's conversion; none where it stays f32.
    pub conversion: Option<Elapsed>,
}

/// Runs a case once: conversion, then all steps with the trajectory recorded.
pub fn run_on_gpu(context: &Context, case: &SgdCase, data: &Dataset) -> Result<SgdRun, SgdError> {
    let sgd = GpuSgd::prepare(context, case, data)?;
    let conversion = match sgd.conversion_commands() {
        [] => None,
        commands => Some(context.run(commands, 1)?),
    };
    let elapsed = context.run(sgd.trajectory_commands(), 1)?;
    let (final_model, snapshots) = (sgd.model(context)?, sgd.snapshots(context)?);
    Ok(SgdRun { final_model, snapshots, elapsed, conversion })
}

/// A case on a device: buffers, pipelines and command lists, ready to run as often as wanted.
#[derive(Debug)]
pub struct GpuSgd {
    built: Built,
    model_format: Format,
    /// Models that are averaged.
    averaged: Option<u32>,
    data: Vec<(Buffer, u64)>,
    steps: Vec<Command>,
    trajectory: Vec<Command>,
}

/// What the command lists of a case are made of.
#[derive(Debug)]
pub(super) struct Built {
    pub plan: Plan,
    pub grids: Grids,
    pub compile_ns: f64,
    pub buffers: Buffers,
    pub conversion: Vec<Command>,
    rows_per_chunk: usize,
    pipelines: Pipelines,
    layout: Layout,
}

impl Built {
    pub(super) fn builder<'a>(&'a self, context: &'a Context) -> Builder<'a> {
        let Self { plan, buffers, pipelines, layout, .. } = self;
        Builder { context, plan, buffers, pipelines, layout: *layout }
    }
}

/// Uploads the data set and compiles the kernels for the steps of a plan, with a place for each of
/// so many `rows` in the order that they take them from.
pub(super) fn build(
    context: &Context,
    case: &SgdCase,
    data: &Dataset,
    options: GpuOptions,
    plan: Plan,
    rows: usize,
    alter: KernelOverride<'_>,
) -> Result<Built, SgdError> {
    case.check(data)?;
    check_schedule(options.schedule, case.batch)?;
    let grids = Grids::new(case.precision, data);
    let chunks = Chunks::new(&context.info, data.spec, options.chunk_bytes)?;
    let layout = Layout::new(context, case, data, options.schedule);
    layout.check_bindings(&context.info, options.algorithm)?;
    let source = chunks.upload(context, data)?;
    let (stored, conversion, conversion_ns) =
        convert(context, case, data, &chunks, &source, &grids, options.checks)?;
    let buffers = Buffers::new(context, case, data, &plan, stored, (options.algorithm, rows))?;
    let stages = kernels_with(case.precision, case.loss, options.algorithm, alter);
    let pipelines = Pipelines::new(context, case, data, &chunks, &layout, (options, rows), stages)?;
    let compile_ns =
        conversion_ns + pipelines.stages.iter().map(|(_, p)| p.compile_ns).sum::<f64>();
    let rows_per_chunk = chunks.rows_per_chunk;
    Ok(Built { plan, grids, compile_ns, buffers, conversion, rows_per_chunk, pipelines, layout })
}

/// Whether a device's compiler leaves the errors of the sums of [`Algorithm::AveragedSgd`]: `None`, or what
/// it made of one.
///
/// # Errors
/// [`GpuError`] where the probe does not run.
pub fn lost_averages(context: &Context) -> Result<Option<String>, GpuError> {
    // The longest that a run may have, whose zero is made of the most bits.
    let record = Step { half_bits: half_bits(u32::MAX), ..Step::default() };
    let constants = [("GROUPS", 1.0), ("OUTPUTS", 1.0)];
    lost_sum_errors(context, &averaging_probe(), bytemuck::bytes_of(&record), &constants)
}

/// The first step whose model is averaged.
fn averaged_from(case: &SgdCase, data: &Dataset) -> u32 {
    case.steps - averaged_models(case, data)
}

fn averaged_models(case: &SgdCase, data: &Dataset) -> u32 {
    Algorithm::window(data.n, case.batch, case.steps).clamp(1, case.steps)
}

impl GpuSgd {
    /// Uploads the data set and builds everything, with the default options. The conversion has
    /// not run yet: run [`GpuSgd::conversion_commands`] before the first step.
    pub fn prepare(context: &Context, case: &SgdCase, data: &Dataset) -> Result<Self, SgdError> {
        Self::prepare_with(context, case, data, GpuOptions::default())
    }

    /// As [`GpuSgd::prepare`], with a layout of one's own.
    pub fn prepare_with(
        context: &Context,
        case: &SgdCase,
        data: &Dataset,
        options: GpuOptions,
    ) -> Result<Self, SgdError> {
        Self::prepare_altered(context, case, data, options, &|_, _| {})
    }

    /// As [`GpuSgd::prepare_with`], with a chance to alter the kernels of the steps before they are
    /// composed.
    pub fn prepare_altered(
        context: &Context,
        case: &SgdCase,
        data: &Dataset,
        options: GpuOptions,
        alter: KernelOverride<'_>,
    ) -> Result<Self, SgdError> {
        let (Algorithm::Sgd | Algorithm::AveragedSgd) = options.algorithm else {
            let (algorithm, precision) = (options.algorithm, case.precision);
            return Err(SgdError::Algorithm { algorithm, precision, remedy: "GpuSvrg" });
        };
        case.check(data)?;
        let plan = Plan::new(case, data, &Grids::new(case.precision, data));
        let built = build(context, case, data, options, plan, data.n, alter)?;
        let (steps, trajectory) = built.builder(context).build(data)?;
        let averages = options.algorithm == Algorithm::AveragedSgd;
        let storage = case.precision.storage();
        let pieces = data.x.chunks(built.rows_per_chunk * data.d_padded);
        let bytes = pieces.map(|piece| data_bytes(storage, piece.len()));
        Ok(Self {
            model_format: case.precision.accumulator(),
            averaged: averages.then(|| averaged_models(case, data)),
            data: built.buffers.stored.iter().cloned().zip(bytes).collect(),
            steps,
            trajectory,
            built,
        })
    }

    /// The steps and checkpoints.
    pub fn plan(&self) -> &Plan {
        &self.built.plan
    }

    /// The fixed-point grids.
    pub fn grids(&self) -> &Grids {
        &self.built.grids
    }

    /// Overwrites the model and its sums, which every run sets to zero first, so that a run that does
    /// nothing is seen.
    pub fn spoil_model(&self, context: &Context) -> Result<(), GpuError> {
        let Buffers { model, extra, .. } = &self.built.buffers;
        let sums = self.averaged.map(|_| extra);
        [model]
            .into_iter()
            .chain(sums)
            .try_for_each(|buffer| context.upload(buffer, &vec![0xff; buffer.bytes() as usize]))
    }

    /// Time to compile all pipelines, in ns.
    pub fn compile_ns(&self) -> f64 {
        self.built.compile_ns
    }

    /// Converts the uploaded f32 data set to its format; empty where it stays f32.
    pub fn conversion_commands(&self) -> &[Command] {
        &self.built.conversion
    }

    /// All steps from the zero model, which the first command restores: each repeat does the same.
    pub fn commands(&self) -> &[Command] {
        &self.steps
    }

    /// The same with the model recorded at each checkpoint.
    pub fn trajectory_commands(&self) -> &[Command] {
        &self.trajectory
    }

    /// Sets the model to zero.
    pub fn reset(&self, context: &Context) -> Result<(), GpuError> {
        context.run(&[context.clear(&self.built.buffers.model)], 1).map(|_| ())
    }

    /// The model's storage words, for comparison bit by bit.
    pub fn model_words(&self, context: &Context) -> Result<Vec<u32>, GpuError> {
        let Buffers { model, model_bytes, .. } = &self.built.buffers;
        Ok(words(&context.read(model, 0, *model_bytes)?))
    }

    /// The model: outputs × d_padded.
    pub fn model(&self, context: &Context) -> Result<Vec<f32>, GpuError> {
        Ok(decode_model(&self.model_words(context)?, self.model_format, &self.built.grids))
    }

    /// Storage words of the model at each checkpoint of the last run of the trajectory.
    pub fn snapshot_words(&self, context: &Context) -> Result<Vec<(u32, Vec<u32>)>, GpuError> {
        let Built { plan, buffers, .. } = &self.built;
        let Buffers { history, model_bytes, .. } = buffers;
        let count = plan.checkpoints.len() as u64;
        let all = words(&context.read(history, 0, count * model_bytes)?);
        let models = all.chunks_exact((model_bytes / 4) as usize).map(<[u32]>::to_vec);
        Ok(plan.checkpoints.iter().copied().zip(models).collect())
    }

    /// The model at each checkpoint: steps done, outputs × d_padded.
    pub fn snapshots(&self, context: &Context) -> Result<Vec<(u32, Vec<f32>)>, GpuError> {
        let decode = |words: Vec<u32>| decode_model(&words, self.model_format, &self.built.grids);
        let snapshots = self.snapshot_words(context)?.into_iter();
        Ok(snapshots.map(|(step, words)| (step, decode(words))).collect())
    }

    /// The sums of the models that are averaged; `None` where none are.
    pub fn sums(&self, context: &Context) -> Result<Option<Sums>, GpuError> {
        if self.averaged.is_none() {
            return Ok(None);
        }
        let buffer = &self.built.buffers.extra;
        let coordinates = self.built.layout.groups * self.built.layout.outputs * 4;
        let bytes = context.read(buffer, 0, 2 * 4 * coordinates)?;
        Ok(Some(Sums::from_parts(&bytemuck::pod_collect_to_vec::<u8, f32>(&bytes))))
    }

    /// The mean of the models after the last steps, outputs × d_padded; `None` where none was asked for.
    pub fn average(&self, context: &Context) -> Result<Option<Vec<f64>>, GpuError> {
        let sums = self.sums(context)?;
        Ok(sums.zip(self.averaged).map(|(sums, models)| mean(&sums, models, &self.built.grids)))
    }

    /// The stored data set's words, for comparison bit by bit.
    pub fn data_words(&self, context: &Context) -> Result<Vec<u32>, GpuError> {
        let mut all = Vec::new();
        for (buffer, bytes) in &self.data {
            all.extend(words(&context.read(buffer, 0, *bytes)?));
        }
        Ok(all)
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// Enough workgroups of 64 threads for `threads`.
fn grid(context: &Context, threads: u64) -> [u32; 3] {
    grid_of(context, threads.div_ceil(THREADS))
}

/// So many workgroups: one row of them, or several where one is over the device's limit (`linear`
/// in `kernels/sgd/shape.wgsl`).
fn grid_of(context: &Context, workgroups: u64) -> [u32; 3] {
    let workgroups = workgroups.max(1);
    let rows = workgroups.div_ceil(context.info.max_workgroups_per_dimension.into());
    let [x, y] = [workgroups.div_ceil(rows), rows].map(|v| u32::try_from(v).unwrap_or(u32::MAX));
    [x, y, 1]
}

/// How the rows are spread over buffers.
pub(crate) struct Chunks {
    rows_per_chunk: usize,
    count: usize,
}

impl Chunks {
    /// Over as few buffers as the device's limits let, or of at most `bytes` each.
    ///
    /// # Errors
    /// [`GpuError::OverLimit`] where these are more than a kernel reads from.
    pub(crate) fn new(
        info: &DeviceInfo,
        spec: DatasetSpec,
        bytes: Option<u64>,
    ) -> Result<Self, GpuError> {
        let limit = info.max_binding_bytes.min(info.max_buffer_bytes);
        let (n, row_bytes) = (spec.rows(), 4 * (spec.columns() as u64).next_multiple_of(4));
        let chunk_bytes = bytes.map_or(limit, |asked| asked.clamp(row_bytes, limit.max(row_bytes)));
        let most = ((chunk_bytes / row_bytes) as usize).clamp(1, n);
        // An even number, so that every chunk begins with a word of a 4-bit data set.
        let rows_per_chunk = if most < n && most > 1 { most & !1 } else { most };
        let count = n.div_ceil(rows_per_chunk);
        if count > MAX_CHUNKS {
            let most = (rows_per_chunk * MAX_CHUNKS) as u64 * row_bytes;
            let what = format!("data set {spec} as f32 (bytes)");
            return Err(GpuError::OverLimit { what, asked: n as u64 * row_bytes, limit: most });
        }
        Ok(Self { rows_per_chunk, count })
    }

    fn upload(&self, context: &Context, data: &Dataset) -> Result<Vec<Buffer>, GpuError> {
        let pieces = data.x.chunks(self.rows_per_chunk * data.d_padded);
        pieces
            .map(|piece| {
                let buffer = context.buffer("data set as f32", size_of_val(piece) as u64)?;
                context.upload(&buffer, bytemuck::cast_slice(piece))?;
                Ok(buffer)
            })
            .collect()
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Conversion {
    fours: u32,
    inverse_step: f32,
    padding: [u32; 2],
}

/// Bytes of a buffer of so many stored numbers, in whole words.
fn data_bytes(format: Format, numbers: usize) -> u64 {
    format.bytes(numbers as u64).next_multiple_of(4)
}

/// The stored data set, the commands that fill it, and the compile time in ns.
fn convert(
    context: &Context,
    case: &SgdCase,
    data: &Dataset,
    chunks: &Chunks,
    source: &[Buffer],
    grids: &Grids,
    checks: bool,
) -> Result<(Vec<Buffer>, Vec<Command>, f64), GpuError> {
    let Some(Kernel { entry, composed }) = conversion_kernel(case.precision) else {
        return Ok((source.to_vec(), Vec::new(), 0.0));
    };
    let pipeline = context.compile(&composed, entry, &[], checks)?;
    let at_a_time = if case.precision.storage() == Format::Fixed4 { 8 } else { 4 };
    let numbers: Vec<usize> =
        data.x.chunks(chunks.rows_per_chunk * data.d_padded).map(<[f32]>::len).collect();
    let inverse_step = 1.0 / grids.data_step();
    let records: Vec<Conversion> = numbers
        .iter()
        .map(|&n| Conversion { fours: n as u32 / 4, inverse_step, padding: [0; 2] })
        .collect();
    let record_bytes = size_of::<Conversion>();
    let uniforms = context.uniforms("conversion", record_bytes, bytemuck::cast_slice(&records))?;
    let (mut stored, mut commands) = (Vec::new(), Vec::new());
    for (i, (source, &numbers)) in source.iter().zip(&numbers).enumerate() {
        let bytes = data_bytes(case.precision.storage(), numbers);
        let buffer = context.buffer("data set", bytes)?;
        let workgroups = grid(context, (numbers as u64).div_ceil(at_a_time));
        let bindings = [(1, source), (2, &buffer)];
        commands.push(context.dispatch_with(
            &pipeline,
            &bindings,
            (0, &uniforms, i),
            workgroups,
        )?);
        stored.push(buffer);
    }
    Ok((stored, commands, pipeline.compile_ns))
}

/// How a workgroup's threads share the sum of a gradient (`kernels/sgd/shares.wgsl`).
#[derive(Clone, Copy, Debug)]
struct Sharing {
    columns: u64,
    shares: u64,
    /// Groups of a thread.
    fours: u64,
}

impl Sharing {
    /// For `parts` to be joined, at most 16 at a time, over `groups` of each output.
    fn new(parts: usize, groups: u64, threads: u64, several: bool) -> Self {
        let shares = parts.clamp(1, LANES).next_power_of_two() as u64;
        let columns = (threads / shares).max(16);
        let fours = if several { (groups / columns).clamp(1, 4) } else { 1 };
        Self { columns, shares, fours }
    }

    /// Workgroups that an output takes.
    fn places(&self, groups: u64) -> u64 {
        groups.div_ceil(self.columns * self.fours)
    }

    fn constants(&self) -> [(&'static str, f64); 4] {
        [
            ("THREADS", (self.columns * self.shares) as f64),
            ("COLUMNS", self.columns as f64),
            ("SHARES", self.shares as f64),
            ("FOURS", self.fours as f64),
        ]
    }
}

/// Dispatches of the two lists that a run has, without and with snapshots, at most.
pub(crate) fn listed_dispatches(
    info: &DeviceInfo,
    data: DatasetSpec,
    batch: usize,
    steps: u32,
    (schedule, algorithm): (Option<Schedule>, Algorithm),
) -> u64 {
    let layout = Layout::of(info, batch, [data.columns(), data.outputs()], schedule);
    let epoch = match algorithm.is_variance_reduced() {
        true => Algorithm::period(data.rows(), batch).into(),
        false => data.rows().div_ceil(batch) as u64,
    };
    let steps = u64::from(steps);
    let epochs = steps.div_ceil(epoch);
    // Those of an epoch that one dispatch makes, but for its last, which is of fewer rows, and where
    // one of the checkpoints, fewer than 64, cuts.
    let records = steps.min(epochs * (epoch.div_ceil(layout.steps) + 1) + 64);
    let each = match layout.schedule {
        Schedule::Persistent => 1,
        _ if batch <= TILE_ROWS => 2,
        _ => 3,
    };
    2 * (records * each + epochs)
}

/// How the steps are spread over dispatches and threads.
#[derive(Clone, Copy, Debug)]
struct Layout {
    schedule: Schedule,
    /// Groups of four coordinates of an output.
    groups: u64,
    outputs: u64,
    /// Of the blocks of a tile.
    blocks: Sharing,
    /// Of the tiles of a minibatch.
    tiles: Sharing,
    /// Steps of one dispatch.
    steps: u64,
}

impl Layout {
    fn new(context: &Context, case: &SgdCase, data: &Dataset, asked: Option<Schedule>) -> Self {
        Self::of(&context.info, case.batch, [data.d, data.outputs], asked)
    }

    fn of(
        info: &DeviceInfo,
        batch: usize,
        [columns, outputs]: [usize; 2],
        asked: Option<Schedule>,
    ) -> Self {
        let schedule = asked.unwrap_or_else(|| Schedule::of(batch, columns, outputs));
        let (groups, outputs) = (columns.div_ceil(4) as u64, outputs as u64);
        let on_cpu = info.device_type == "cpu";
        let threads = match schedule {
            Schedule::Persistent if !on_cpu => PERSISTENT_THREADS,
            _ => THREADS,
        };
        let several = |blocks: usize| on_cpu || blocks as u64 * groups * outputs / 4 >= FULL_GRID;
        let blocks = batch.div_ceil(BLOCK);
        let tiles = batch.div_ceil(TILE_ROWS);
        let mut layout = Self {
            schedule,
            groups,
            outputs,
            blocks: Sharing::new(blocks.min(TILE), groups, threads, several(blocks)),
            tiles: Sharing::new(tiles, groups, THREADS, false),
            steps: 1,
        };
        if schedule == Schedule::Persistent {
            layout.steps = (ITERATIONS / layout.iterations(batch as u64)).max(1);
        }
        layout
    }

    /// Whether the device binds as many buffers as a kernel of the algorithm reads and writes.
    fn check_bindings(&self, info: &DeviceInfo, algorithm: Algorithm) -> Result<(), GpuError> {
        // Order, targets, residuals and model; sums or centre.
        let extra = u64::from(algorithm != Algorithm::Sgd);
        let (asked, limit) = (MAX_CHUNKS as u64 + 4 + extra, u64::from(info.max_storage_buffers));
        if extra == 0 || asked <= limit {
            return Ok(());
        }
        Err(GpuError::OverLimit { what: format!("{algorithm} (storage buffers)"), asked, limit })
    }

    /// At most so many iterations of loops that a thread of the persistent workgroup makes a step.
    fn iterations(&self, batch: u64) -> u64 {
        let lanes = LANES as u64;
        let threads = self.blocks.columns * self.blocks.shares;
        let residuals = (batch * self.outputs).div_ceil(threads / lanes);
        // Rows, each with its groups; the joining of shares; ten rounds of Philox for each group.
        let place = 1
            + (BLOCK as u64 + 1) * (1 + self.blocks.fours)
            + self.blocks.fours * (self.blocks.shares + 12);
        1 + residuals * (1 + self.groups.div_ceil(lanes))
            + self.outputs * self.blocks.places(self.groups) * place
    }
}

/// The buffers of the steps.
#[derive(Debug)]
pub(super) struct Buffers {
    stored: Vec<Buffer>,
    pub targets: Buffer,
    order: Buffer,
    residuals: Buffer,
    pub model: Buffer,
    pub model_bytes: u64,
    tiles: Buffer,
    history: Buffer,
    /// The sums of averaged models (`kernels/sgd/apply_averaged.wgsl`), or the centre of steps that reduce
    /// variance (`kernels/sgd/centre.wgsl`).
    pub extra: Buffer,
}

impl Buffers {
    fn new(
        context: &Context,
        case: &SgdCase,
        data: &Dataset,
        plan: &Plan,
        stored: Vec<Buffer>,
        (algorithm, rows): (Algorithm, usize),
    ) -> Result<Self, GpuError> {
        let entries = (data.outputs * data.d_padded) as u64;
        let tiles = if case.batch > TILE_ROWS { case.batch.div_ceil(TILE_ROWS) as u64 } else { 0 };
        let model_bytes = model_bytes(case.precision.accumulator(), entries);
        let buffers = Self {
            stored,
            targets: context.buffer("targets", size_of_val(&*data.targets) as u64)?,
            order: context.buffer("order", rows as u64 * 4)?,
            residuals: context.buffer("residuals", (case.batch * data.outputs) as u64 * 4)?,
            model: context.buffer("model", model_bytes)?,
            model_bytes,
            tiles: context.buffer("partial gradients", tiles * entries * 4)?,
            history: context.buffer("history", plan.checkpoints.len() as u64 * model_bytes)?,
            extra: match algorithm {
                Algorithm::Sgd => context.buffer("nothing", 0)?,
                Algorithm::AveragedSgd => context.buffer("sums of models", 8 * entries)?,
                Algorithm::LpSvrg | Algorithm::Halp => {
                    context.buffer("centre", 8 * entries + 16)?
                }
            },
        };
        context.upload(&buffers.targets, bytemuck::cast_slice(&data.targets))?;
        let rows: Vec<u32> = (0..data.n as u32).collect();
        context.upload(&buffers.order, bytemuck::cast_slice(&rows))?;
        Ok(buffers)
    }
}

/// The pipelines of the stages that a case needs.
#[derive(Debug)]
struct Pipelines {
    stages: Vec<(Stage, Pipeline)>,
    algorithm: Algorithm,
}

impl Pipelines {
    fn new(
        context: &Context,
        case: &SgdCase,
        data: &Dataset,
        chunks: &Chunks,
        layout: &Layout,
        (options, rows): (GpuOptions, usize),
        stages: Vec<(Stage, Kernel)>,
    ) -> Result<Self, GpuError> {
        let shape = [("GROUPS", layout.groups as f64), ("OUTPUTS", layout.outputs as f64)];
        let split =
            [("ROWS_PER_CHUNK", chunks.rows_per_chunk as f64), ("CHUNKS", chunks.count as f64)];
        let persistent = layout.schedule == Schedule::Persistent;
        let one_tile = case.batch <= TILE_ROWS;
        let averaging = match options.algorithm {
            Algorithm::AveragedSgd => vec![("AVERAGED_FROM", averaged_from(case, data).into())],
            _ => vec![],
        };
        // Every kernel that reads or writes the model has the bits by which it is rounded.
        let rounding: Vec<_> = match case.precision.rounding() {
            Rounding::Nearest => vec![],
            Rounding::Stochastic => vec![("ROUNDING_BITS", f64::from(case.rounding_bits))],
        };
        let needed = |stage| match stage {
            Stage::Shuffle => case.batch < data.n,
            Stage::Draw => true,
            Stage::Persistent => persistent,
            Stage::Residual => !persistent,
            Stage::Update => !persistent && one_tile,
            Stage::Gradient | Stage::UpdateTiles => !one_tile,
        };
        let constants = |stage| match stage {
            Stage::Shuffle => shape.to_vec(),
            Stage::Draw => [&shape[..], &[("DRAWN", rows as f64)]].concat(),
            Stage::Residual => {
                [&shape[..], &split, &[("THREADS", THREADS as f64)], &rounding].concat()
            }
            Stage::UpdateTiles => {
                [&shape[..], &layout.tiles.constants(), &averaging, &rounding].concat()
            }
            Stage::Gradient => [&shape[..], &split, &layout.blocks.constants()].concat(),
            Stage::Update | Stage::Persistent => {
                [&shape[..], &split, &layout.blocks.constants(), &averaging, &rounding].concat()
            }
        };
        let compile = |(stage, Kernel { entry, composed })| {
            Ok((stage, context.compile(&composed, entry, &constants(stage), options.checks)?))
        };
        let stages = stages.into_iter().filter(|&(stage, _)| needed(stage));
        let stages = stages.map(compile).collect::<Result<_, _>>()?;
        Ok(Self { stages, algorithm: options.algorithm })
    }

    fn get(&self, stage: Stage) -> Result<&Pipeline, GpuError> {
        let found = self.stages.iter().find(|(known, _)| *known == stage);
        found.map(|(_, pipeline)| pipeline).ok_or_else(|| GpuError::Invalid {
            operation: format!("stage {}", stage.entry()),
            reason: "not compiled for this batch".into(),
        })
    }
}

/// Builds the command lists.
pub(super) struct Builder<'a> {
    context: &'a Context,
    plan: &'a Plan,
    buffers: &'a Buffers,
    pipelines: &'a Pipelines,
    layout: Layout,
}

impl Builder<'_> {
    /// The list without and with snapshots.
    fn build(&self, data: &Dataset) -> Result<(Vec<Command>, Vec<Command>), GpuError> {
        Ok((self.list(data, &[])?, self.list(data, &self.plan.checkpoints)?))
    }

    /// All steps, with the model copied to the history after each checkpoint.
    fn list(&self, data: &Dataset, checkpoints: &[u32]) -> Result<Vec<Command>, GpuError> {
        let Buffers { model, model_bytes, history, extra, .. } = self.buffers;
        let records = self.records(checkpoints);
        let mut commands = vec![self.context.clear(model)];
        if self.pipelines.algorithm == Algorithm::AveragedSgd {
            commands.push(self.context.clear(extra));
        }
        let mut recorded = 0;
        for (now, step) in records.iter().zip(self.steps(data, &records)?) {
            commands.extend(step);
            if checkpoints.get(recorded) == Some(&(now.step + now.count)) {
                let offset = recorded as u64 * model_bytes;
                commands.push(self.context.copy(model, 0, history, offset, *model_bytes));
                recorded += 1;
            }
        }
        Ok(commands)
    }

    /// The steps of each of the segments, which follow one another from the first step on.
    pub(super) fn segments(
        &self,
        data: &Dataset,
        segments: &[Range<u32>],
    ) -> Result<Vec<Vec<Command>>, GpuError> {
        let starts: Vec<u32> = segments.iter().map(|segment| segment.start).collect();
        let records = self.records(&starts);
        let mut lists: Vec<Vec<Command>> = segments.iter().map(|_| vec![]).collect();
        for (now, step) in records.iter().zip(self.steps(data, &records)?) {
            let segment = segments.partition_point(|segment| segment.end <= now.step);
            if let Some(list) = lists.get_mut(segment) {
                list.extend(step);
            }
        }
        Ok(lists)
    }

    /// The commands of each record.
    fn steps(&self, data: &Dataset, records: &[Step]) -> Result<Vec<Vec<Command>>, GpuError> {
        let bytes = bytemuck::cast_slice(records);
        let uniforms = self.context.uniforms("steps", size_of::<Step>(), bytes)?;
        let step = |(i, now)| {
            let mut commands = vec![];
            self.step(data, now, (0, &uniforms, i), &mut commands)?;
            Ok(commands)
        };
        records.iter().enumerate().map(step).collect()
    }

    /// The steps with those that one dispatch makes as one record: they are of one epoch and
    /// equally large, with no checkpoint in between.
    fn records(&self, checkpoints: &[u32]) -> Vec<Step> {
        let mut records: Vec<Step> = Vec::with_capacity(self.plan.steps.len());
        for now in &self.plan.steps {
            match records.last_mut() {
                Some(last)
                    if u64::from(last.count) < self.layout.steps
                        && (last.epoch, last.batch) == (now.epoch, now.batch)
                        && !checkpoints.contains(&now.step) =>
                {
                    last.count += 1;
                }
                _ => records.push(*now),
            }
        }
        records
    }

    fn step(
        &self,
        data: &Dataset,
        now: &Step,
        record: (u32, &Uniforms, usize),
        commands: &mut Vec<Command>,
    ) -> Result<(), GpuError> {
        let Buffers { order, targets, residuals, model, tiles, extra, .. } = self.buffers;
        let mut dispatch = |stage, bindings: &[(u32, &Buffer)], workgroups: u64| {
            let pipeline = self.pipelines.get(stage)?;
            let grid = grid_of(self.context, workgroups);
            commands.push(self.context.dispatch_with(pipeline, bindings, record, grid)?);
            Ok::<_, GpuError>(())
        };
        let Layout { schedule, groups, outputs, blocks, .. } = self.layout;
        let x = self.chunk_bindings();
        // What the update alone binds, and what residuals bind too.
        let (sums, centre) = match self.pipelines.algorithm {
            Algorithm::Sgd => (None, None),
            Algorithm::AveragedSgd => (Some((6, extra)), None),
            Algorithm::LpSvrg | Algorithm::Halp => (None, Some((7, extra))),
        };
        let updated: Vec<(u32, &Buffer)> = sums.into_iter().chain(centre).collect();
        let centre: Vec<(u32, &Buffer)> = centre.into_iter().collect();
        let inputs = [&[(1, order), (2, targets), (3, residuals), (4, model)], &x[..]].concat();
        if self.plan.shuffles_before(now) {
            let (stage, rows) = match self.pipelines.algorithm.is_variance_reduced() {
                true => (Stage::Draw, order.bytes() / 4),
                false => (Stage::Shuffle, now.rows.into()),
            };
            dispatch(stage, &[(1, order)], rows.div_ceil(THREADS))?;
        }
        if schedule == Schedule::Persistent {
            return dispatch(Stage::Persistent, &[&inputs[..], &updated].concat(), 1);
        }
        let lanes = u64::from(now.batch) * data.outputs as u64 * LANES as u64;
        dispatch(Stage::Residual, &[&inputs[..], &centre].concat(), lanes.div_ceil(THREADS))?;
        let places = outputs * blocks.places(groups);
        if self.pipelines.get(Stage::Update).is_ok() {
            let bindings = [&[(1, order), (3, residuals), (4, model)], &x[..], &updated].concat();
            return dispatch(Stage::Update, &bindings, places);
        }
        let bindings = [&[(1, order), (3, residuals), (5, tiles)], &x[..]].concat();
        let count = (now.batch as usize).div_ceil(TILE_ROWS) as u64;
        dispatch(Stage::Gradient, &bindings, places * count)?;
        let places = outputs * self.layout.tiles.places(groups);
        dispatch(Stage::UpdateTiles, &[&[(4, model), (5, tiles)], &updated[..]].concat(), places)
    }

    /// Bindings x0 to x3; those beyond the last chunk are never read and take the first.
    fn chunk_bindings(&self) -> [(u32, &Buffer); MAX_CHUNKS] {
        let stored = &self.buffers.stored;
        std::array::from_fn(|i| (8 + i as u32, stored.get(i).unwrap_or(&stored[0])))
    }
}
