//! Devices opened when first needed, problems and truths kept while cases share them, and the way
//! of one case from its plan to its row.

use std::fmt::Display;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::case::{Case, Work};
use super::cold;
use super::drawing::{Caches, Drawing};
use super::limits::available_host_bytes;
use super::matmul::{MatmulCache, MatmulOverride};
use super::roofline::{self, Roofline};
use super::selection::Selection;
use super::sgd::{SgdCache, Training};
use super::statistics::Summary;
use super::tune::Tuner;
use crate::fingerprint::DeviceFingerprint;
use crate::fingerprint::kernels::KernelOrder;
use crate::gpu::{Candidate, Command, Context, GpuError, TimingMethod};
use crate::hexadecimal::hexadecimal;
use crate::record::{Provenance, Record, Sample, Stage, Status, TrajectoryPoint};
use crate::workload::matmul::throughput_unit;
use crate::workload::sgd::Algorithm;

/// Timing samples of a stage that criterion does not draw.
const SIDE_SAMPLES: usize = 11;
/// Host time that such a sample should take, so that the clock's grain is small beside it.
const SIDE_SAMPLE_NS: f64 = 2e6;
/// Host time that all of them may take; at least five are drawn.
const SIDE_BUDGET_NS: f64 = 4e8;
/// Attempts at one sample whose pair of timestamps is not credible.
const TIMESTAMP_TRIES: usize = 3;

/// Why a case was not timed, or not to the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmeasured {
    /// What the row says of it.
    pub status: Status,
    /// In one line.
    pub reason: String,
    /// It may fit once other cases have given their memory back.
    pub(super) lacks_memory: bool,
}

impl Unmeasured {
    /// A status other than `ok`, and its reason.
    pub fn new(status: Status, reason: impl ToString) -> Self {
        Self { status, reason: reason.to_string(), lacks_memory: false }
    }
}

impl From<GpuError> for Unmeasured {
    /// What is over a limit is skipped; everything else failed.
    fn from(error: GpuError) -> Self {
        let status = match error {
            GpuError::OverLimit { .. } | GpuError::OutOfMemory { .. } => Status::Skipped,
            _ => Status::Failed,
        };
        let lacks_memory = matches!(error, GpuError::OutOfMemory { .. });
        Self { lacks_memory, ..Self::new(status, error) }
    }
}

/// Skips what needs more host memory, in bytes, than three quarters of what is free.
pub(super) fn check_host_memory(what: &dyn Display, needed: u128) -> Result<(), Unmeasured> {
    let available = available_host_bytes();
    if needed <= u128::from(available) {
        return Ok(());
    }
    let reason = format!(
        "{what} needs {needed} bytes of host memory, over the {available} available; choose a \
         smaller shape"
    );
    Err(Unmeasured { lacks_memory: true, ..Unmeasured::new(Status::Skipped, reason) })
}

/// SHA-256 of the bits of a result, in hexadecimal.
pub(super) fn result_sha256(words: impl Iterator<Item = u32>) -> String {
    let all = words.fold(Sha256::new(), |all, word| all.chain_update(word.to_le_bytes()));
    hexadecimal(&all.finalize())
}

/// The stages of a verified case, ready to run any number of times.
pub(super) trait Runner {
    /// The stage whose time is the row's.
    fn main_stage(&self) -> Stage;
    /// Other stages that are timed, if the case has them.
    fn side_stages(&self) -> &'static [Stage];
    /// Runs a stage so many times and returns the elapsed time.
    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured>;
    /// Dispatches of one iteration of the main stage; the CPU has none.
    fn dispatches(&self) -> u64 {
        0
    }
    /// Before timing: spoils the result, so that a run that computes nothing cannot pass for one.
    fn spoil(&mut self) -> Result<(), Unmeasured> {
        Ok(())
    }
    /// After timing: whether the result still is the one that was verified.
    fn unchanged(&mut self) -> Result<bool, Unmeasured>;
    /// The device's commands of the conversion and of the main stage; `None` on the CPU.
    fn commands(&self) -> Option<Commands>;
    /// A runner of the same case on memory of its own, whose results are not looked at, and the size
    /// of that memory in bytes; `None` on a device, where its commands are copied.
    fn copy(&self) -> Option<(Box<dyn Runner>, u64)>;
}

/// What a runner has its device do.
pub(super) struct Commands {
    pub context: Rc<Context>,
    pub conversion: Vec<Command>,
    pub main: Vec<Command>,
}

/// Elapsed times in ns by the two clocks; the CPU has only the host's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocked {
    pub host_ns: f64,
    pub device_ns: Option<f64>,
}

/// A finished measurement: its row and what belongs to it in the other tables.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The row of `measurements.csv`.
    pub record: Record,
    /// Every timing sample.
    pub samples: Vec<Sample>,
    /// SGD's loss by step and time.
    pub trajectory: Vec<TrajectoryPoint>,
}

/// A verified case, ready to be timed.
pub struct Prepared {
    record: Record,
    runner: Box<dyn Runner>,
    trajectory: Vec<TrajectoryPoint>,
    method: TimingMethod,
    numbers: Option<u64>,
    examples: Option<u64>,
    /// Samples of the side stages, once they are drawn.
    sides: Option<Vec<(Stage, Drawn)>>,
    roofline: Option<Rc<Roofline>>,
    /// Whether the result was spoilt since it was last looked at.
    spoilt: bool,
}

/// Timing samples: (iterations, elapsed ns of all of them).
type Drawn = Vec<(u64, f64)>;

impl Prepared {
    pub(super) fn new(record: Record, runner: Box<dyn Runner>, method: TimingMethod) -> Self {
        let (trajectory, numbers, examples, sides) = (vec![], None, None, None);
        Self {
            record,
            runner,
            trajectory,
            method,
            numbers,
            examples,
            sides,
            roofline: None,
            spoilt: false,
        }
    }

    pub(super) fn with_sgd(
        mut self,
        trajectory: Vec<TrajectoryPoint>,
        numbers: u64,
        examples: u64,
    ) -> Self {
        self.trajectory = trajectory;
        self.numbers = Some(numbers);
        self.examples = Some(examples);
        self
    }

    /// The row so far: what was computed, and how wrong.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Runs the case `iterations` times and returns the time of all of them, in ns, by the device's
    /// timestamps where it has credible ones, else by the host's clock around submit and wait.
    pub fn run(&mut self, iterations: u64) -> Result<f64, Unmeasured> {
        let stage = self.runner.main_stage();
        self.sample(stage, iterations)
    }

    /// Whose clock [`Prepared::run`] reads: `timestamp` or `host`.
    pub fn clock(&self) -> &'static str {
        self.method.name()
    }

    /// From now on times by the host's clock around submit and wait, whatever the device has: beside
    /// a program that has no other.
    pub fn use_host_clock(&mut self) {
        self.method = TimingMethod::Host;
    }

    fn sample(&mut self, stage: Stage, iterations: u64) -> Result<f64, Unmeasured> {
        let computes = stage != Stage::Conversion;
        if computes && !std::mem::replace(&mut self.spoilt, true) {
            self.runner.spoil()?;
        }
        for _ in 0..TIMESTAMP_TRIES {
            let clocked = self.runner.run(stage, iterations)?;
            match self.method {
                TimingMethod::Host => return Ok(clocked.host_ns),
                TimingMethod::Timestamps => {
                    if let Some(ns) = clocked.device_ns {
                        return Ok(ns);
                    }
                }
            }
        }
        let reason = format!(
            "the device's timestamps were absent or absurd {TIMESTAMP_TRIES} times in a row"
        );
        Err(Unmeasured::new(Status::Failed, reason))
    }

    /// Checks that the last run still gave the result that was verified: a kernel with a race, or
    /// a device that errs now and then, is wrong however fast it is.
    pub fn check(&mut self) -> Result<(), Unmeasured> {
        self.spoilt = false;
        if self.runner.unchanged()? {
            return Ok(());
        }
        let reason = "a run that was timed gave another result than the one that was verified";
        Err(Unmeasured::new(Status::Wrong, reason))
    }

    /// Times the stages beside the main one (conversion, and conversion with the main stage), and
    /// checks the result that they leave. [`Prepared::finish`] does it for who did not.
    pub fn time_side_stages(&mut self) -> Result<(), Unmeasured> {
        let mut sides = vec![];
        for &stage in self.runner.side_stages() {
            sides.push((stage, self.draw(stage)?));
        }
        self.sides = Some(sides);
        self.check()
    }

    /// The row with the statistics of `samples`: (iterations, elapsed ns). Where the case turns out
    /// wrong or fails, the row has no time and there are no samples. The row does not say how they
    /// were drawn: [`Prepared::finish_drawn`] does.
    pub fn finish(self, samples: &[(u64, f64)]) -> Measured {
        self.complete_with(samples, None)
    }

    /// [`Prepared::finish`] with the columns that say how the samples were drawn.
    pub fn finish_drawn(self, samples: &[(u64, f64)], drawing: &Drawing) -> Measured {
        self.complete_with(samples, Some(drawing))
    }

    fn complete_with(mut self, samples: &[(u64, f64)], drawing: Option<&Drawing>) -> Measured {
        match self.complete(samples) {
            Ok(rows) => {
                if let Some(drawing) = drawing {
                    drawing.fill(&mut self.record);
                }
                self.record.status = Status::Ok;
                Measured { record: self.record, samples: rows, trajectory: self.trajectory }
            }
            Err(why) => self.fail(why),
        }
    }

    /// The row of a case that could not be timed to the end.
    pub fn fail(mut self, why: Unmeasured) -> Measured {
        self.record.status = why.status;
        self.record.reason = why.reason;
        Measured { record: self.record, samples: vec![], trajectory: self.trajectory }
    }

    /// Fills the row's times and returns the samples behind them. Nothing is filled where this
    /// fails.
    fn complete(&mut self, samples: &[(u64, f64)]) -> Result<Vec<Sample>, Unmeasured> {
        self.check()?;
        if self.sides.is_none() {
            self.time_side_stages()?;
        }
        let summarise = |samples: &[(u64, f64)]| {
            Summary::of(samples.iter().copied()).map_err(|e| Unmeasured::new(Status::Failed, e))
        };
        let summary = summarise(samples)?;
        let sides = self.sides.take().unwrap_or_default();
        let summaries: Vec<Summary> =
            sides.iter().map(|(_, drawn)| summarise(drawn)).collect::<Result<_, _>>()?;
        self.fill_main(samples, &summary);
        let mut rows = self.rows(self.runner.main_stage(), samples);
        for ((stage, drawn), summary) in sides.iter().zip(&summaries) {
            self.fill_side(*stage, summary);
            rows.extend(self.rows(*stage, drawn));
        }
        Ok(rows)
    }

    fn rows(&self, stage: Stage, samples: &[(u64, f64)]) -> Vec<Sample> {
        let row = |(sample, &(iterations, elapsed_ns)): (usize, &(u64, f64))| Sample {
            case_id: self.record.case_id.clone(),
            stage,
            sample: sample as u64,
            process: Some(0),
            iterations,
            elapsed_ns,
            ..Sample::default()
        };
        samples.iter().enumerate().map(row).collect()
    }

    /// Samples of a side stage.
    fn draw(&mut self, stage: Stage) -> Result<Drawn, Unmeasured> {
        let first = self.runner.run(stage, 1)?.host_ns;
        let iterations = (SIDE_SAMPLE_NS / first).ceil().clamp(1.0, 1e6) as u64;
        let fitting = (SIDE_BUDGET_NS / (first * iterations as f64)) as usize;
        let count = fitting.clamp(5, SIDE_SAMPLES);
        (0..count).map(|_| Ok((iterations, self.sample(stage, iterations)?))).collect()
    }

    fn fill_main(&mut self, samples: &[(u64, f64)], summary: &Summary) {
        let median = summary.median_ns;
        let record = &mut self.record;
        record.timing_method = self.method.name().to_owned();
        fill_times(record, samples, summary);
        record.bandwidth_gbs = record.bytes.map(|bytes| bytes as f64 / median);
        match self.numbers {
            None => record.throughput = record.operations.map(|ops| ops as f64 / median),
            Some(numbers) => {
                let gnps = numbers as f64 / median;
                record.throughput = Some(gnps);
                record.gnps = Some(gnps);
            }
        }
        roofline::fill(record, self.roofline.as_deref(), self.runner.dispatches());
        let per_second = |count: u64| count as f64 / median * 1e9;
        record.steps_per_second = record.steps.map(per_second);
        record.examples_per_second = self.examples.map(per_second);
        fill_elapsed(&mut self.trajectory, record);
    }

    fn fill_side(&mut self, stage: Stage, summary: &Summary) {
        fill_side(&mut self.record, stage, summary);
        if stage != Stage::Conversion {
            let work = self.numbers.or(self.record.operations);
            self.record.total_throughput = work.map(|work| work as f64 / summary.median_ns);
        }
    }
}

/// The statistics of the main stage, from its samples: (iterations, elapsed ns).
pub fn fill_times(record: &mut Record, samples: &[(u64, f64)], summary: &Summary) {
    record.samples = Some(summary.samples as u64);
    let first = samples.first().map(|s| s.0);
    record.iterations_per_sample = first.filter(|&n| samples.iter().all(|s| s.0 == n));
    record.min_ns = Some(summary.min_ns);
    record.q1_ns = Some(summary.q1_ns);
    record.median_ns = Some(summary.median_ns);
    record.median_ci95_low_ns = Some(summary.median_ci95_low_ns);
    record.median_ci95_high_ns = Some(summary.median_ci95_high_ns);
    record.q3_ns = Some(summary.q3_ns);
    record.mad_ns = Some(summary.mad_ns);
}

/// The times of the points of a run, which share its median.
pub(super) fn fill_elapsed(trajectory: &mut [TrajectoryPoint], record: &Record) {
    let algorithm: Algorithm = record.algorithm.parse().unwrap_or_default();
    let [n, batch] = [record.examples, record.batch].map(|count| count.unwrap_or(1) as usize);
    let units = |steps: u64| algorithm.time_units(n, batch, steps as u32) as f64;
    let all = units(record.steps.unwrap_or(1));
    for point in trajectory {
        point.elapsed_ns = record.median_ns.map(|median| median * units(point.step) / all);
    }
}

/// Median and interval of the conversion, or of the total.
pub(super) fn fill_side(record: &mut Record, stage: Stage, summary: &Summary) {
    let (low, high) = (summary.median_ci95_low_ns, summary.median_ci95_high_ns);
    if stage == Stage::Conversion {
        record.conversion_median_ns = Some(summary.median_ns);
        record.conversion_median_ci95_low_ns = Some(low);
        record.conversion_median_ci95_high_ns = Some(high);
    } else {
        record.total_median_ns = Some(summary.median_ns);
        record.total_median_ci95_low_ns = Some(low);
        record.total_median_ci95_high_ns = Some(high);
    }
}

/// Opens devices when a case first needs them, and prepares cases.
pub struct Session {
    devices: Vec<Candidate>,
    contexts: Vec<Option<Result<Rc<Context>, GpuError>>>,
    /// What to measure and how.
    pub selection: Selection,
    /// What the caches hold when an iteration begins; warm unless it is set.
    pub cache: Caches,
    base: Record,
    pub(super) tuner: Tuner,
    /// By device, where one was measured or cached.
    pub(super) rooflines: Vec<Option<Rc<Roofline>>>,
    /// By device, once one was asked for.
    pub(super) fingerprints: Vec<Option<Rc<DeviceFingerprint>>>,
    /// By device: the summation orders of its kernels, once the run has measured them.
    pub(super) orders: Vec<Vec<KernelOrder>>,
    /// By device: whether its roofline was looked for.
    pub(super) roofs_sought: Vec<bool>,
    pub(super) matmul: MatmulCache,
    pub(super) sgd: SgdCache,
}

impl Session {
    /// A session over `devices`; `provenance` fills the columns that all rows share.
    pub fn new(devices: Vec<Candidate>, selection: Selection, provenance: &Provenance) -> Self {
        Self {
            contexts: devices.iter().map(|_| None).collect(),
            tuner: Tuner::default(),
            rooflines: vec![None; devices.len()],
            fingerprints: vec![None; devices.len()],
            orders: vec![vec![]; devices.len()],
            roofs_sought: vec![false; devices.len()],
            devices,
            selection,
            cache: Caches::Warm,
            base: provenance.row(),
            matmul: MatmulCache::default(),
            sgd: SgdCache::default(),
        }
    }

    /// The devices of the session.
    pub fn devices(&self) -> &[Candidate] {
        &self.devices
    }

    /// The devices opened so far, the CPU never among them.
    pub fn opened(&self) -> impl Iterator<Item = &Context> {
        self.contexts.iter().flatten().flatten().map(Rc::as_ref)
    }

    /// The cases of the selection on the session's devices.
    pub fn plan(&self) -> Vec<Case> {
        self.selection.plan(&self.devices)
    }

    /// The unit of a case's throughput, and how much work one run is in units of 10⁻⁹ of it a
    /// second: operations, or numbers of the data set.
    pub fn throughput(&self, case: &Case) -> (&'static str, u64) {
        match case.work {
            Work::Matmul { shape, .. } => (throughput_unit(case.precision), shape.operations()),
            Work::Sgd { data, batch, steps, algorithm, .. } => {
                let rows = algorithm.rows_read(data.rows(), batch, steps);
                ("GNPS", (data.columns() as u64).saturating_mul(rows))
            }
        }
    }

    /// Prepares and verifies a case. What cannot be timed comes back as its finished row.
    pub fn prepare(&mut self, case: &Case) -> Result<Prepared, Box<Measured>> {
        self.prepare_with(case, &|_| {})
    }

    /// [`Session::prepare`] with a chance to alter the kernel before it is composed: how the
    /// harness is tested against kernels that are wrong.
    pub fn prepare_with(
        &mut self,
        case: &Case,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, Box<Measured>> {
        self.prepare_or_say(case, alter).map_err(|(measured, _)| measured)
    }

    /// The same; of what cannot be timed also whether it only lacked memory, so that it may fit
    /// once others have given theirs back.
    pub(super) fn prepare_or_say(
        &mut self,
        case: &Case,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, (Box<Measured>, bool)> {
        let mut record = self.base.clone();
        let result = self.try_prepare(case, &mut record, alter);
        result.map_err(|Unmeasured { status, reason, lacks_memory }| {
            record.status = status;
            record.reason = reason;
            (Box::new(Measured { record, samples: vec![], trajectory: vec![] }), lacks_memory)
        })
    }

    fn try_prepare(
        &mut self,
        case: &Case,
        record: &mut Record,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, Unmeasured> {
        let position = self.position(case)?;
        case.describe(record, &self.devices[position].info);
        record.seed = Some(self.selection.seed.into());
        record.trial = Some(self.selection.trial);
        let context = self.context(position)?;
        record.fingerprint_sha256 = self.fingerprint(position)?.sha256.clone();
        record.cache = self.cache.name().to_owned();
        if context.is_some() {
            record.runtime_checks = Some(self.selection.checks);
        }
        // Other cases may be alive: their buffers are not this one's.
        let others = context.as_ref().map_or(0, |context| context.allocated_bytes());
        let own = |record: &mut Record| {
            let peak = context.as_ref().map(|context| context.peak_bytes());
            let counted = record.peak_device_memory_bytes.and(peak);
            record.peak_device_memory_bytes = counted.map(|bytes| bytes.saturating_sub(others));
        };
        let mut prepared = match self.prepare_work(case, context.clone(), record, alter) {
            Ok(prepared) => prepared,
            Err(why) => {
                own(record);
                return Err(why);
            }
        };
        prepared.roofline = self.rooflines[position].clone();
        let mut rotated = Ok(());
        if self.cache == Caches::Cold {
            let info = &self.devices[position].info;
            rotated = cold::rotate(&mut prepared.runner, case, info)
                .map(|bytes| prepared.record.rotated_bytes = Some(bytes));
        }
        own(&mut prepared.record);
        if let Err(why) = rotated {
            *record = prepared.record;
            return Err(why);
        }
        Ok(prepared)
    }

    fn prepare_work(
        &mut self,
        case: &Case,
        context: Option<Rc<Context>>,
        record: &mut Record,
        alter: MatmulOverride<'_>,
    ) -> Result<Prepared, Unmeasured> {
        match case.work {
            Work::Matmul { shape, kernel, ref origin, rounding_bits } => {
                let (problem, dial) = ((shape, origin), (case.precision, rounding_bits));
                self.prepare_matmul(problem, kernel, dial, context, record, alter)
            }
            Work::Sgd { data, batch, steps, learning_rate, schedule, algorithm, rounding_bits } => {
                let training = Training {
                    data,
                    batch,
                    steps,
                    learning_rate,
                    schedule,
                    algorithm,
                    precision: case.precision,
                    rounding_bits,
                };
                self.prepare_sgd(training, context, record)
            }
        }
    }

    /// Where a case's device is among those here, whatever number it was planned under.
    pub(super) fn position(&self, case: &Case) -> Result<usize, Unmeasured> {
        let position = self.devices.iter().position(|d| d.info.slug == case.device_slug);
        position.ok_or_else(|| {
            Unmeasured::new(Status::Failed, format!("no device {} here", case.device_slug))
        })
    }

    fn context(&mut self, position: usize) -> Result<Option<Rc<Context>>, Unmeasured> {
        self.opened_at(position).map_err(Into::into)
    }

    /// Gives up a device, which its next use opens anew.
    pub(super) fn forget(&mut self, position: usize) {
        self.contexts[position] = None;
    }

    /// Version of wgpu, which translates the kernels.
    pub(super) fn wgpu_version(&self) -> &str {
        &self.base.wgpu_version
    }

    /// Name of the processor, which also does the work of software adapters.
    pub(super) fn cpu_name(&self) -> &str {
        &self.base.cpu
    }

    /// Whether a device was opened already, or would not open.
    pub(super) fn is_opened(&self, position: usize) -> bool {
        self.contexts[position].is_some()
    }

    /// The opened device, or `None` for the CPU. A device that would not open is not tried again.
    pub(super) fn opened_at(&mut self, position: usize) -> Result<Option<Rc<Context>>, GpuError> {
        let candidate = &self.devices[position];
        if candidate.is_cpu() {
            return Ok(None);
        }
        let opened = self.contexts[position].get_or_insert_with(|| candidate.open().map(Rc::new));
        opened.clone().map(Some)
    }
}
