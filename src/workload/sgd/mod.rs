//! Stochastic gradient descent: `W ← Q(W − α/b·Σ rᵢxᵢᵀ − αλW)` over minibatches of b rows.
//!
//! The data set and the model each have a storage format; the arithmetic between is f32, and
//! exact in 32-bit integers where both are 8-bit fixed point. Minibatches are drawn without
//! replacement in each epoch by a counter-based permutation; where b does not divide n the last
//! minibatch of an epoch is smaller and divides by its own size. b = n is full gradient descent,
//! which takes the rows in their own order.

mod algorithm;
mod cpu;
mod gpu;
mod kernels;
mod rate;
mod svrg;
mod svrg_gpu;

pub use algorithm::{Algorithm, HALP_MU};
pub use cpu::CpuSgd;
pub(crate) use gpu::{Chunks, listed_dispatches};
pub use gpu::{GpuOptions, GpuSgd, MAX_CHUNKS, SgdRun, lost_averages, run_on_gpu};
pub use kernels::{
    Kernel, KernelOverride, Schedule, Stage, averaging_probe, conversion_kernel, kernels,
    kernels_with, sources_sha256, sources_sha256_with,
};
pub use rate::LearningRate;
pub use svrg::{CpuSvrg, Outer, SvrgSnapshot};
pub use svrg_gpu::GpuSvrg;

use crate::gpu::GpuError;
use crate::number::{Fixed, Format, Precision, round};
use crate::problem::dataset::{Dataset, DatasetSpec, Loss};

/// The longest row whose product with an 8-bit model is exact in 32-bit integers.
pub const MAX_D_INT8: usize = 133_144;

/// One SGD run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdCase {
    /// The data set.
    pub dataset: DatasetSpec,
    /// The loss.
    pub loss: Loss,
    /// One of [`Precision::SGD`].
    pub precision: Precision,
    /// Rows of a minibatch, 1 to n.
    pub batch: usize,
    /// α.
    pub learning_rate: f32,
    /// λ of the L2 penalty λ/2·‖W‖².
    pub regularisation: f32,
    /// Updates.
    pub steps: u32,
    /// Of minibatches and stochastic rounding: first word of the Philox key.
    pub seed: u32,
    /// Second word of the Philox key.
    pub trial: u32,
    /// Random bits of one stochastic rounding, 1 to 16: so many leading ones of the 16 that are drawn
    /// ([`round::leading_bits`]). Without effect where updates are rounded to nearest.
    pub rounding_bits: u32,
}

/// Why a case cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SgdError {
    /// The minibatch does not fit the data set.
    #[error("batch of {batch} rows; choose 1 to {n}, the rows of {dataset}")]
    Batch {
        /// Rows asked for.
        batch: usize,
        /// Rows there are.
        n: usize,
        /// The data set.
        dataset: DatasetSpec,
    },
    /// No update, or a run too long for 32-bit counters.
    #[error("{0} steps; choose 1 or more")]
    Steps(u32),
    /// The precision is no SGD setting.
    #[error(
        "precision `{0}` is no SGD setting; choose one of D32fM32f, D16fM16f, D16fM16f-SR, D8M8, D8M8-SR, D8M32f, D16M16-SR, D16bM16b, D16bM16b-SR, D8M16-SR, D4M4-SR, D32fM8-SR"
    )]
    Precision(Precision),
    /// Not a usable number.
    #[error("{what} {value}; choose a finite number, {range}")]
    Parameter {
        /// Which.
        what: &'static str,
        /// Its value.
        value: f32,
        /// What is valid.
        range: &'static str,
    },
    /// More random bits than are drawn, or none.
    #[error(
        "{0} random bits of a rounding; choose {least} to {most}",
        least = round::ROUNDING_BITS_VALID.start(),
        most = round::ROUNDING_BITS_VALID.end()
    )]
    RoundingBits(u32),
    /// 32-bit sums would no longer be exact.
    #[error("{d} columns overflow the 32-bit sums of {precision}; choose at most 133144")]
    Columns {
        /// Columns of the data set.
        d: usize,
        /// The setting.
        precision: Precision,
    },
    /// The case is for another data set than the one given.
    #[error("the case is for data set {case}, not {given}; pass the data set that it names")]
    Dataset {
        /// Named by the case.
        case: DatasetSpec,
        /// Given.
        given: DatasetSpec,
    },
    /// The minibatch is more than the kernel holds.
    #[error(
        "kernel {kernel} holds minibatches of at most 256 rows, not {batch}; choose stepwise or a \
         smaller batch",
        kernel = schedule.name()
    )]
    Schedule {
        /// The kernel asked for.
        schedule: Schedule,
        /// Rows of a minibatch.
        batch: usize,
    },
    /// The algorithm does not exist at the setting, or is run by another type.
    #[error("{algorithm} cannot be run so at {precision}; choose {remedy}")]
    Algorithm {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The setting.
        precision: Precision,
        /// What can.
        remedy: &'static str,
    },
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl SgdCase {
    /// The data set's own loss, regularisation and learning rate, with seed 0, trial 0 and all 16
    /// random bits.
    pub fn new(data: &Dataset, precision: Precision, batch: usize, steps: u32) -> Self {
        Self {
            dataset: data.spec,
            loss: data.loss,
            precision,
            batch,
            learning_rate: data.learning_rate(data.loss, batch, data.regularisation),
            regularisation: data.regularisation,
            steps,
            seed: 0,
            trial: 0,
            rounding_bits: round::ROUNDING_BITS,
        }
    }

    /// Whether the case can run on `data` at all.
    pub fn check(&self, data: &Dataset) -> Result<(), SgdError> {
        let &Self { batch, steps, precision, learning_rate, regularisation, rounding_bits, .. } =
            self;
        if self.dataset != data.spec {
            return Err(SgdError::Dataset { case: self.dataset, given: data.spec });
        }
        check_shape(data.spec, precision, batch)?;
        if steps == 0 {
            return Err(SgdError::Steps(steps));
        }
        if !round::ROUNDING_BITS_VALID.contains(&rounding_bits) {
            return Err(SgdError::RoundingBits(rounding_bits));
        }
        let positive = learning_rate.is_finite() && learning_rate > 0.0;
        let (what, range) = ("learning rate", "over 0");
        if !positive {
            return Err(SgdError::Parameter { what, value: learning_rate, range });
        }
        let (what, range) = ("regularisation", "0 or more");
        if !(regularisation.is_finite() && regularisation >= 0.0) {
            return Err(SgdError::Parameter { what, value: regularisation, range });
        }
        Ok(())
    }

    /// Multiplications and additions of all steps, those of the true columns: 2 for each number
    /// of the minibatch and output in the product with the model, 2 in the gradient, and 4 for
    /// each coordinate in the update.
    pub fn operations(&self, data: &Dataset) -> u64 {
        let entries = (data.d * data.outputs) as u64;
        entries * (4 * rows_drawn(data.n, self.batch, self.steps) + 4 * u64::from(self.steps))
    }

    /// Bytes that all steps must move: each row drawn read once, the model read and written once a
    /// step, each as it is stored (a 4-bit model's number in a byte).
    pub fn bytes(&self, data: &Dataset) -> u64 {
        let (storage, model) = (self.precision.storage(), self.precision.accumulator());
        let rows = storage.bytes(data.d as u64) * rows_drawn(data.n, self.batch, self.steps);
        rows + 2 * model_bytes(model, (data.d * data.outputs) as u64) * u64::from(self.steps)
    }

    /// Bytes that the conversion must move: the data set read in f32 and written in its format.
    /// None where it stays f32.
    pub fn conversion_bytes(&self, data: &Dataset) -> Option<u64> {
        let (storage, numbers) = (self.precision.storage(), (data.n * data.d) as u64);
        (storage != Format::F32).then(|| Format::F32.bytes(numbers) + storage.bytes(numbers))
    }

    /// Numbers of the data set that all steps process: rows drawn times columns. Divided by
    /// nanoseconds they give the GNPS of Buckwild! (De Sa et al. 2017).
    pub fn numbers(&self, data: &Dataset) -> u64 {
        data.d as u64 * rows_drawn(data.n, self.batch, self.steps)
    }
}

/// Whether a data set can be learnt at this precision and batch size, as far as its shape tells.
///
/// # Errors
/// [`SgdError::Precision`], [`SgdError::Batch`] or [`SgdError::Columns`].
pub fn check_shape(
    dataset: DatasetSpec,
    precision: Precision,
    batch: usize,
) -> Result<(), SgdError> {
    let (n, d) = (dataset.rows(), dataset.columns());
    if !Precision::SGD.contains(&precision) {
        return Err(SgdError::Precision(precision));
    }
    if batch == 0 || batch > n {
        return Err(SgdError::Batch { batch, n, dataset });
    }
    let formats = [precision.storage(), precision.accumulator()];
    if formats == [Format::Fixed8; 2] && d > MAX_D_INT8 {
        return Err(SgdError::Columns { d, precision });
    }
    Ok(())
}

/// Whether the kernel asked for holds minibatches of so many rows.
///
/// # Errors
/// [`SgdError::Schedule`].
pub fn check_schedule(schedule: Option<Schedule>, batch: usize) -> Result<(), SgdError> {
    match schedule {
        Some(schedule) if !schedule.applies(batch) => Err(SgdError::Schedule { schedule, batch }),
        _ => Ok(()),
    }
}

/// Rows of n that all minibatches draw together: b each, less at the end of an epoch.
pub fn rows_drawn(n: usize, batch: usize, steps: u32) -> u64 {
    let batch = batch.clamp(1, n.max(1));
    let per_epoch = n.div_ceil(batch) as u64;
    let (epochs, rest) = (u64::from(steps) / per_epoch, u64::from(steps) % per_epoch);
    epochs * n as u64 + rest * batch as u64
}

/// The grids of a case's fixed-point formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grids {
    /// Of the data set: reaches its largest magnitude.
    pub data: Option<Fixed>,
    /// Of the model: reaches [`Dataset::model_range`].
    pub model: Option<Fixed>,
}

impl Grids {
    /// For a precision on a data set.
    pub fn new(precision: Precision, data: &Dataset) -> Self {
        let grid = |format: Format, range: f32| match format {
            Format::Fixed4 | Format::Fixed8 | Format::Fixed16 => {
                Some(Fixed::covering(range, format.bits()))
            }
            _ => None,
        };
        let storage = precision.storage();
        let max_abs = if grid(storage, 1.0).is_some() { data.max_abs() } else { 0.0 };
        Self {
            data: grid(storage, max_abs),
            model: grid(precision.accumulator(), data.model_range),
        }
    }

    /// Step of the data set's grid, 1 for floating point.
    pub fn data_step(&self) -> f32 {
        self.data.map_or(1.0, Fixed::step)
    }

    /// Step of the model's grid, 1 for floating point.
    pub fn model_step(&self) -> f32 {
        self.model.map_or(1.0, Fixed::step)
    }
}

/// The record of one step, as the kernels read it (`kernels/sgd/shape.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// From 0 over the whole run.
    pub step: u32,
    /// Passes over the data before this one.
    pub epoch: u32,
    /// Where the minibatch starts in the epoch's order.
    pub start: u32,
    /// Rows in the minibatch.
    pub batch: u32,
    /// n.
    pub rows: u32,
    /// Half the bits of the shuffle's domain.
    pub half_bits: u32,
    /// First word of the Philox key.
    pub seed: u32,
    /// Second word of the Philox key.
    pub trial: u32,
    /// α over the rows in the minibatch, times data step over model step.
    pub rate: f32,
    /// α·λ.
    pub decay: f32,
    /// Data step times model step.
    pub scale: f32,
    /// Steps of a dispatch that makes several from this one on, each as large; else 1.
    pub count: u32,
}

/// Half the bits of the smallest even power of two that holds `rows`, at least 1.
pub fn half_bits(rows: u32) -> u32 {
    rows.saturating_sub(1).checked_ilog2().map_or(1, |top| top / 2 + 1)
}

/// Every step of a case, and where its trajectory is recorded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The records, in order.
    pub steps: Vec<Step>,
    /// Whether the rows are shuffled: not where the minibatch is the whole data set.
    pub shuffled: bool,
    /// Numbers of steps done after which the model is recorded: 1, 2, 4, …, and the last.
    pub checkpoints: Vec<u32>,
}

impl Plan {
    /// The plan of a case that [`SgdCase::check`] accepts.
    pub fn new(case: &SgdCase, data: &Dataset, grids: &Grids) -> Self {
        let (n, per_epoch) = (data.n, data.n.div_ceil(case.batch) as u32);
        let step = |step: u32| {
            let start = (step % per_epoch) as usize * case.batch;
            let batch = case.batch.min(n - start);
            Step {
                step,
                epoch: step / per_epoch,
                start: start as u32,
                batch: batch as u32,
                rows: n as u32,
                half_bits: half_bits(n as u32),
                seed: case.seed,
                trial: case.trial,
                rate: case.learning_rate / batch as f32 * (grids.data_step() / grids.model_step()),
                decay: case.learning_rate * case.regularisation,
                scale: grids.data_step() * grids.model_step(),
                count: 1,
            }
        };
        let checkpoints = checkpoints(case.steps);
        Self { steps: (0..case.steps).map(step).collect(), shuffled: case.batch < n, checkpoints }
    }

    /// The plan of variance-reduced SGD, in units of the model's grid, whose step the host may change:
    /// between two full gradients, `period` steps apart, rows are drawn with replacement.
    pub fn centred(case: &SgdCase, data: &Dataset, period: u32) -> Self {
        let step = |step: u32| Step {
            step,
            epoch: step / period,
            start: step % period * case.batch as u32,
            batch: case.batch as u32,
            rows: data.n as u32,
            half_bits: half_bits(data.n as u32),
            seed: case.seed,
            trial: case.trial,
            rate: case.learning_rate / case.batch as f32,
            decay: case.learning_rate * case.regularisation,
            scale: 1.0,
            count: 1,
        };
        let checkpoints = checkpoints(case.steps);
        Self { steps: (0..case.steps).map(step).collect(), shuffled: true, checkpoints }
    }

    /// Whether the step starts an epoch whose order must be drawn first.
    pub fn shuffles_before(&self, step: &Step) -> bool {
        self.shuffled && step.start == 0
    }
}

/// 1, 2, 4, … and the last of so many steps.
fn checkpoints(steps: u32) -> Vec<u32> {
    let powers = (0..32).map(|p| 1 << p).take_while(|&s| s < steps);
    powers.chain([steps]).collect()
}

/// Bytes in which `entries` numbers of the model are stored: a 4-bit number takes a byte, since two threads that update neighbours must not share a word.
pub(crate) fn model_bytes(format: Format, entries: u64) -> u64 {
    let stored = if format == Format::Fixed4 { Format::Fixed8 } else { format };
    stored.bytes(entries)
}

/// The model as f32 from the 32-bit words of its buffer: outputs × d_padded.
pub fn decode_model(words: &[u32], format: Format, grids: &Grids) -> Vec<f32> {
    let step = grids.model_step();
    match format {
        Format::F16 => {
            let halves = words.iter().flat_map(|w| [*w as u16, (w >> 16) as u16]);
            halves.map(|h| round::f16_unpack(h, false)).collect()
        }
        Format::Fixed16 => {
            let halves = words.iter().flat_map(|w| [*w as i16, (w >> 16) as i16]);
            halves.map(|q| f32::from(q) * step).collect()
        }
        Format::Bf16 => {
            let halves = words.iter().flat_map(|w| [w << 16, w & 0xffff_0000]);
            halves.map(f32::from_bits).collect()
        }
        Format::Fixed4 | Format::Fixed8 => {
            let bytes = words.iter().flat_map(|w| w.to_le_bytes());
            bytes.map(|q| f32::from(q as i8) * step).collect()
        }
        _ => words.iter().map(|&w| f32::from_bits(w)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_bits_hold_their_rows() {
        for (rows, bits) in [(1, 1), (2, 1), (4, 1), (5, 2), (16, 2), (17, 3), (64, 3), (65, 4)] {
            assert_eq!(half_bits(rows), bits, "{rows}");
        }
        assert_eq!(half_bits(u32::MAX), 16);
    }

    #[test]
    fn an_epoch_takes_each_row_once() {
        let data = DatasetSpec::Figure2 { n: 10, d: 3 }.load(0).unwrap();
        let case = SgdCase::new(&data, Precision::D32fM32f, 4, 8);
        let plan = Plan::new(&case, &data, &Grids::new(case.precision, &data));
        let batches: Vec<_> = plan.steps.iter().map(|s| (s.epoch, s.start, s.batch)).collect();
        assert_eq!(batches[..4], [(0, 0, 4), (0, 4, 4), (0, 8, 2), (1, 0, 4)]);
        assert_eq!(plan.checkpoints, [1, 2, 4, 8]);
        assert_eq!(case.numbers(&data), 3 * (10 + 10 + 8));
        assert_eq!(case.bytes(&data), 4 * case.numbers(&data) + 2 * 4 * 3 * 8);
        assert_eq!(case.operations(&data), 4 * case.numbers(&data) + 4 * 3 * 8);
    }

    #[test]
    fn bad_cases_are_named() {
        let data = DatasetSpec::Figure2 { n: 10, d: 3 }.load(0).unwrap();
        let good = SgdCase::new(&data, Precision::D8M8, 4, 8);
        assert!(good.check(&data).is_ok());
        let message = |case: SgdCase| case.check(&data).unwrap_err().to_string();
        assert!(message(SgdCase { batch: 11, ..good }).contains("11 rows"));
        assert!(message(SgdCase { steps: 0, ..good }).contains("0 steps"));
        for rounding_bits in [0, 17] {
            let told = format!("{rounding_bits} random bits of a rounding; choose 1 to 16");
            assert_eq!(message(SgdCase { rounding_bits, ..good }), told);
        }
        assert!(message(SgdCase { learning_rate: f32::NAN, ..good }).contains("NaN"));
        assert!(message(SgdCase { regularisation: -1.0, ..good }).contains("-1"));
        assert!(message(SgdCase { precision: Precision::Bf16, ..good }).contains("`bf16`"));
        assert!(message(SgdCase { dataset: DatasetSpec::Digits, ..good }).contains("digits"));
    }
}
