//! An SGD case by LP-SVRG or HALP.
//!
//! On the CPU the mirror of the kernels is what is measured: it is followed step by step by the same run in
//! f64. On a GPU the steps run on the device and the full gradients on the host, and what is timed is
//! both, by the host's clock.

use std::rc::Rc;
use std::time::Instant;

use super::super::session::{Clocked, Commands, Prepared, Runner, Unmeasured, result_sha256};
use super::{Inputs, Snapshots, different, judge};
use crate::gpu::{Context, TimingMethod};
use crate::mirror::sgd::{Grid, Way};
use crate::number::Arithmetic;
use crate::problem::dataset::Dataset;
use crate::record::{Record, Stage, Status};
use crate::workload::sgd::{
    Algorithm, CpuSvrg, GpuOptions, GpuSvrg, KernelOverride, Outer, SgdCase, SvrgSnapshot,
};

/// Numbers of the data set whose products the check in f64 may form.
const CHECKED_NUMBERS: u64 = 1 << 26;

pub(super) fn prepare_cpu(
    case: &SgdCase,
    algorithm: Algorithm,
    inputs: &Rc<Inputs>,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let data = &inputs.data;
    let mut cpu = CpuSvrg::prepare(case, data, algorithm, Arithmetic::host())?;
    describe(case, data, algorithm, cpu.outer(), record);
    let started = Instant::now();
    let snapshots = cpu.run_trajectory(data);
    record.stagnated_fraction = cpu.stagnated_fraction();
    check_in_f64(case, data, algorithm, &mut cpu, &snapshots, record)?;
    let of = OnCpu { case: *case, algorithm, cpu };
    judged(case, algorithm, inputs, snapshots, started, of, record)
}

pub(super) fn prepare_gpu(
    case: &SgdCase,
    inputs: &Rc<Inputs>,
    context: Rc<Context>,
    options: GpuOptions,
    alter: KernelOverride<'_>,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let (data, algorithm) = (&inputs.data, options.algorithm);
    context.reset_peak();
    let gpu = GpuSvrg::prepare(&context, case, data, options, alter)?;
    describe(case, data, algorithm, gpu.outer(), record);
    record.pipeline_compile_ns = Some(gpu.compile_ns());
    record.peak_device_memory_bytes = Some(context.peak_bytes());
    let snapshots = gpu.run_trajectory(&context, data)?;

    let started = Instant::now();
    let mut mirror = CpuSvrg::prepare(case, data, algorithm, context.fingerprint.arithmetic)?;
    let mirrored = mirror.run_trajectory(data);
    record.stagnated_fraction = mirror.stagnated_fraction();
    let mismatches = words_that_differ(&snapshots, &mirrored);
    record.verified_fraction = Some(1.0);
    record.mirror_mismatches = Some(mismatches);
    if mismatches > 0 {
        record.verification_ns = Some(started.elapsed().as_nanos() as f64);
        let count = snapshots.len();
        let reason = format!(
            "{mismatches} words of the model differ from the mirror over {count} snapshots"
        );
        return Err(Unmeasured::new(Status::Wrong, reason));
    }
    let of = OnGpu { case: *case, options, context, gpu };
    judged(case, algorithm, inputs, snapshots, started, of, record)
}

/// The columns that differ from those of plain SGD.
fn describe(
    case: &SgdCase,
    data: &Dataset,
    algorithm: Algorithm,
    outer: &Outer,
    record: &mut Record,
) {
    if let Grid::Fixed(fixed) = outer.grid() {
        record.model_step = Some(fixed.step().into());
    }
    let rows = algorithm.rows_read(data.n, case.batch, case.steps);
    let entries = (data.d * data.outputs) as u64;
    // Product and gradient of each row, and direction, move and rounding of each coordinate.
    record.operations = Some(entries * (4 * rows + 6 * u64::from(case.steps)));
    let model = case.precision.accumulator().bytes(entries);
    let read = case.precision.storage().bytes(rows * data.d as u64);
    let (step, full) = (2 * model + CENTRE_BYTES * entries, FULL_GRADIENT_BYTES * entries);
    let gradients = case.steps.div_ceil(Algorithm::period(data.n, case.batch));
    record.bytes = Some(read + step * u64::from(case.steps) + full * u64::from(gradients));
}

/// Bytes that a step reads for each coordinate beside the model: of the centre and the full gradient, in
/// f32.
const CENTRE_BYTES: u64 = 2 * 4;
/// Bytes that a full gradient moves for each coordinate beside the data: the model read and the gradient
/// written in f64, and what the steps read of either written.
const FULL_GRADIENT_BYTES: u64 = 2 * 8 + CENTRE_BYTES;

/// Fills what is known of the result, and readies the case to be timed.
fn judged(
    case: &SgdCase,
    algorithm: Algorithm,
    inputs: &Rc<Inputs>,
    snapshots: Vec<SvrgSnapshot>,
    started: Instant,
    of: impl Run,
    record: &mut Record,
) -> Result<Prepared, Unmeasured> {
    let last = snapshots.last().map(|last| &last.model[..]).unwrap_or_default();
    let verified: Vec<u64> = last.iter().map(|w| w.to_bits()).collect();
    let halves = verified.iter().flat_map(|&bits| [bits as u32, (bits >> 32) as u32]);
    record.result_sha256 = result_sha256(halves);
    let runner = SvrgRunner { inputs: inputs.clone(), of, result: vec![], verified };
    let models: Snapshots = snapshots.into_iter().map(|s| (s.step, s.model)).collect();
    let trajectory = judge(case, inputs, &vec![], &models, record);
    record.verification_ns = Some(started.elapsed().as_nanos() as f64);
    let rows = algorithm.rows_read(inputs.data.n, case.batch, case.steps);
    let numbers = rows * inputs.data.d as u64;
    Ok(Prepared::new(std::mem::take(record), Box::new(runner), TimingMethod::Host).with_sgd(
        trajectory?,
        numbers,
        rows,
    ))
}

/// Words of the stored numbers and coordinates of the model that differ over all snapshots.
fn words_that_differ(device: &[SvrgSnapshot], mirror: &[SvrgSnapshot]) -> u64 {
    let flat = |all: &[SvrgSnapshot]| -> Vec<u64> {
        let one = |s: &SvrgSnapshot| {
            let words = s.words.iter().map(|&word| u64::from(word));
            let model = s.model.iter().map(|w| w.to_bits());
            [u64::from(s.step)].into_iter().chain(words).chain(model).collect::<Vec<_>>()
        };
        all.iter().flat_map(one).collect()
    };
    different(&flat(device), &flat(mirror))
}

/// Steps whose rows are few enough to be followed in f64.
fn steps_to_check(case: &SgdCase, data: &Dataset, algorithm: Algorithm) -> u32 {
    let numbers =
        |steps| algorithm.rows_read(data.n, case.batch, steps) * (data.d * data.outputs) as u64;
    // More steps never read fewer rows.
    let (mut least, mut beyond) = (0, case.steps + 1);
    while beyond - least > 1 {
        let middle = least + (beyond - least) / 2;
        if numbers(middle) <= CHECKED_NUMBERS { least = middle } else { beyond = middle }
    }
    least.clamp(1, case.steps)
}

/// Holds the first steps, all of them if they are few enough, to the run in f64: each number that a step
/// stored must be one to which f64 arithmetic may round within the error of f32, and the models must be
/// the snapshots'.
fn check_in_f64(
    case: &SgdCase,
    data: &Dataset,
    algorithm: Algorithm,
    cpu: &mut CpuSvrg,
    snapshots: &[SvrgSnapshot],
    record: &mut Record,
) -> Result<(), Unmeasured> {
    let steps = steps_to_check(case, data, algorithm);
    let outer = *cpu.outer();
    let mut check = Check { outer, way: Way::new(outer.in_f64(data)), snapshots, wrong: 0 };
    cpu.step_by_step(data, steps, &mut |now| check.step(&now));
    let wrong = check.wrong;
    record.mirror_mismatches = Some(wrong);
    record.verified_fraction = Some(f64::from(steps) / f64::from(case.steps));
    if wrong == 0 {
        return Ok(());
    }
    let reason = format!(
        "{wrong} numbers of the model are none that the run in f64 allows over the first {steps} steps"
    );
    Err(Unmeasured::new(Status::Wrong, reason))
}

struct Check<'a> {
    outer: Outer,
    way: Way<'a>,
    snapshots: &'a [SvrgSnapshot],
    wrong: u64,
}

impl Check<'_> {
    fn step(&mut self, now: &SvrgSnapshot) {
        let allowed = self.way.foresee();
        let stored = self.outer.stored(&now.words);
        let outside = allowed.iter().zip(&stored).filter(|&(&[least, most], &q)| {
            let q = f64::from(q);
            !(least <= q && q <= most)
        });
        self.wrong += outside.count() as u64;
        self.way.advance(&stored);
        self.wrong += different(&self.way.model(), &now.model);
        // Steps one by one are those of the run that was recorded.
        if let Some(same) = self.snapshots.iter().find(|snapshot| snapshot.step == now.step) {
            self.wrong += different(&same.model, &now.model);
        }
    }
}

/// A run on either kind of device.
trait Run: Sized + 'static {
    /// All steps from the zero model: the model after them.
    fn run(&mut self, data: &Dataset) -> Result<Vec<f64>, Unmeasured>;

    fn dispatches(&self) -> u64 {
        0
    }

    /// The same run in memory of its own, and the bytes that it reads.
    fn copy(&self, data: &Dataset) -> Option<(Self, u64)>;
}

struct OnCpu {
    case: SgdCase,
    algorithm: Algorithm,
    cpu: CpuSvrg,
}

impl Run for OnCpu {
    fn run(&mut self, data: &Dataset) -> Result<Vec<f64>, Unmeasured> {
        Ok(self.cpu.run(data).0)
    }

    fn copy(&self, data: &Dataset) -> Option<(Self, u64)> {
        let &Self { case, algorithm, .. } = self;
        let cpu = CpuSvrg::prepare(&case, data, algorithm, Arithmetic::host()).ok()?;
        Some((Self { case, algorithm, cpu }, size_of_val(&*data.x) as u64))
    }
}

struct OnGpu {
    case: SgdCase,
    options: GpuOptions,
    context: Rc<Context>,
    gpu: GpuSvrg,
}

impl Run for OnGpu {
    fn run(&mut self, data: &Dataset) -> Result<Vec<f64>, Unmeasured> {
        Ok(self.gpu.run(&self.context, data)?)
    }

    fn dispatches(&self) -> u64 {
        self.gpu.dispatches() as u64
    }

    /// Its kernels are not altered, as those of no run that is timed are.
    fn copy(&self, data: &Dataset) -> Option<(Self, u64)> {
        let (case, options, context) = (self.case, self.options, self.context.clone());
        let gpu = GpuSvrg::prepare(&context, &case, data, options, &|_, _| {}).ok()?;
        let bytes = gpu.buffer_bytes();
        Some((Self { case, options, context, gpu }, bytes))
    }
}

struct SvrgRunner<R> {
    inputs: Rc<Inputs>,
    of: R,
    result: Vec<f64>,
    verified: Vec<u64>,
}

impl<R: Run> Runner for SvrgRunner<R> {
    fn main_stage(&self) -> Stage {
        Stage::Run
    }

    fn side_stages(&self) -> &'static [Stage] {
        &[]
    }

    fn run(&mut self, _: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let started = Instant::now();
        for _ in 0..iterations {
            self.result = self.of.run(&self.inputs.data)?;
        }
        Ok(Clocked { host_ns: started.elapsed().as_nanos() as f64, device_ns: None })
    }

    fn dispatches(&self) -> u64 {
        self.of.dispatches()
    }

    fn spoil(&mut self) -> Result<(), Unmeasured> {
        self.result.clear();
        Ok(())
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(self.result.iter().map(|w| w.to_bits()).eq(self.verified.iter().copied()))
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        let inputs = self.inputs.clone();
        let (of, bytes) = self.of.copy(&inputs.data)?;
        Some((Box::new(Self { inputs, of, result: vec![], verified: vec![] }), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Precision;
    use crate::problem::dataset::DatasetSpec;

    /// Every step through three full gradients is one that f64 allows, by few random bits too; the check
    /// leaves a choice to less than one number in a hundred, and finds one that is two steps of the grid
    /// off.
    #[test]
    fn steps_are_held_to_their_run_in_f64() {
        for (spec, batch, rounding_bits) in [
            (DatasetSpec::Normalised { n: 60, d: 37 }, 1, 16),
            (DatasetSpec::Normalised { n: 60, d: 37 }, 7, 2),
            (DatasetSpec::Logistic { n: 131, d: 33 }, 5, 8),
            (DatasetSpec::Digits, 60, 16),
        ] {
            let data = spec.load(3).unwrap();
            for algorithm in [Algorithm::LpSvrg, Algorithm::Halp] {
                let steps = 3 * Algorithm::period(data.n, batch);
                let auto = SgdCase::new(&data, Precision::D32fM8Sr, batch, steps);
                let case = SgdCase { seed: 4, rounding_bits, ..auto };
                let host = Arithmetic::host();
                let mut cpu = CpuSvrg::prepare(&case, &data, algorithm, host).unwrap();
                let outer = *cpu.outer();
                let check = || Check {
                    outer,
                    way: Way::new(outer.in_f64(&data)),
                    snapshots: &[],
                    wrong: 0,
                };
                let (mut sound, mut spoilt) = (check(), check());
                let mut way = Way::new(outer.in_f64(&data));
                let (mut numbers, mut loose) = (0, 0);
                cpu.step_by_step(&data, steps, &mut |mut now| {
                    sound.step(&now);
                    let allowed = way.foresee();
                    way.advance(&outer.stored(&now.words));
                    numbers += allowed.len();
                    loose += allowed.iter().filter(|[least, most]| least != most).count();
                    if now.step == steps {
                        let q = now.words[0] as u8 as i8;
                        let off = if q > 0 { q - 2 } else { q + 2 };
                        now.words[0] = now.words[0] & !0xff | u32::from(off as u8);
                    }
                    spoilt.step(&now);
                });
                assert_eq!(sound.wrong, 0, "{spec} {algorithm}");
                assert!(100 * loose < numbers, "{spec} {algorithm}: {loose} of {numbers}");
                // The number itself, and the coordinate of the model that follows from it.
                assert_eq!(spoilt.wrong, 2, "{spec} {algorithm}");
            }
        }
    }
}
