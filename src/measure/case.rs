//! A case: what one row of the CSV measures, and its name.

use std::fmt;

use crate::gpu::DeviceInfo;
use crate::number::{Precision, Rounding, round};
use crate::problem::dataset::DatasetSpec;
use crate::problem::matrix::Origin;
use crate::record::Record;
use crate::workload::matmul::{Kernel, Shape};
use crate::workload::sgd::{Algorithm, LearningRate, Schedule};

/// What is computed, apart from the precision and the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A matrix product. The CPU has one kernel, the mirror: there `kernel` is `None`.
    Matmul {
        /// m×n×k.
        shape: Shape,
        /// The structure of the kernel.
        kernel: Option<Kernel>,
        /// Where A and B come from.
        origin: Origin,
        /// Random bits of one stochastic rounding; the usual number where it rounds to nearest.
        rounding_bits: u32,
    },
    /// A run of SGD.
    Sgd {
        /// Which data set.
        data: DatasetSpec,
        /// Examples a minibatch.
        batch: usize,
        /// Steps a run.
        steps: u32,
        /// The learning rate.
        learning_rate: LearningRate,
        /// The kernel. The CPU has one, the mirror: there it is `None`.
        schedule: Option<Schedule>,
        /// How it descends.
        algorithm: Algorithm,
        /// Random bits of one stochastic rounding; the usual number where it rounds to nearest.
        rounding_bits: u32,
    },
}

/// One workload at one shape, precision, kernel and device.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What is computed.
    pub work: Work,
    /// At which precision.
    pub precision: Precision,
    /// Position of the device among the session's.
    pub device: usize,
    /// The device's slug.
    pub device_slug: String,
}

impl Case {
    /// The workload's name.
    pub fn workload(&self) -> &'static str {
        match self.work {
            Work::Matmul { .. } => "matmul",
            Work::Sgd { .. } => "sgd",
        }
    }

    /// The kernel's name.
    pub fn kernel(&self) -> &'static str {
        match self.work {
            Work::Matmul { kernel: Some(kernel), .. } => kernel.name(),
            Work::Matmul { kernel: None, .. } => "mirror",
            Work::Sgd { schedule, .. } => schedule.map_or("mirror", Schedule::name),
        }
    }

    /// The shape.
    pub fn shape(&self) -> String {
        match &self.work {
            Work::Matmul { shape, .. } => shape.to_string(),
            Work::Sgd { data, batch, .. } => format!("{data}-b{batch}"),
        }
    }

    /// The shape as the case's id spells it: behind it the learning rate where that is not the data
    /// set's own, and the algorithm where that is not plain SGD; what the operands are, where they are
    /// not normal deviates; and the random bits of a rounding, where they are not the usual 16.
    pub fn shape_in_id(&self) -> String {
        let mut shape = self.shape();
        match &self.work {
            Work::Sgd { learning_rate, algorithm, .. } => {
                if *learning_rate != LearningRate::Auto {
                    shape += &format!("-lr{learning_rate}");
                }
                if *algorithm != Algorithm::Sgd {
                    shape += &format!("-{algorithm}");
                }
            }
            Work::Matmul { origin, .. } => {
                let id = origin.id();
                if !id.is_empty() {
                    shape += &format!("-{id}");
                }
            }
        }
        let (Work::Matmul { rounding_bits, .. } | Work::Sgd { rounding_bits, .. }) = self.work;
        if rounding_bits != round::ROUNDING_BITS {
            shape += &format!("-r{rounding_bits}");
        }
        shape
    }

    /// Random bits of one stochastic rounding; `None` where it rounds to nearest.
    pub fn rounding_bits(&self) -> Option<u32> {
        let (Work::Matmul { rounding_bits, .. } | Work::Sgd { rounding_bits, .. }) = self.work;
        (self.precision.rounding() == Rounding::Stochastic).then_some(rounding_bits)
    }

    /// Where the operands of a matrix product come from; `None` for SGD.
    pub fn origin(&self) -> Option<&Origin> {
        match &self.work {
            Work::Matmul { origin, .. } => Some(origin),
            Work::Sgd { .. } => None,
        }
    }

    /// Fills the columns that are known before anything runs.
    pub fn describe(&self, record: &mut Record, device: &DeviceInfo) {
        record.case_id = self.to_string();
        record.workload = self.workload().to_owned();
        record.implementation = "tradeoff".to_owned();
        record.kernel = self.kernel().to_owned();
        record.precision = self.precision.to_string();
        record.rounding = self.precision.rounding().name().to_owned();
        record.scaling = self.precision.scaling().map_or("", |s| s.name()).to_owned();
        record.operand_format = self.precision.storage().name().to_owned();
        record.accumulator_format = self.precision.accumulator().name().to_owned();
        record.shape = self.shape();
        record.device = device.slug.clone();
        record.device_name = device.name.clone();
        record.device_type = device.device_type.clone();
        record.vendor_id = Some(device.vendor_id);
        record.device_id = Some(device.device_id);
        record.backend = device.backend.clone();
        record.driver = device.driver.clone();
        record.driver_info = device.driver_info.clone();
        record.subgroup_min = Some(device.subgroup_min);
        record.subgroup_max = Some(device.subgroup_max);
    }
}

/// The bench id, such as `matmul/fp16/register_tiled/512x512x512/llvmpipe-vulkan`,
/// `matmul/fp16/register_tiled/512x512x512-cancel8/llvmpipe-vulkan`,
/// `matmul/fp16-sr/naive/512x512x512-r8/llvmpipe-vulkan`, `sgd/D8M8/mirror/digits-b32-lr0.5x/cpu` or
/// `sgd/D8M8-SR/mirror/digits-b32-averaged-sgd-r8/cpu`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workload, kernel) = (self.workload(), self.kernel());
        let (precision, shape, device) = (self.precision, self.shape_in_id(), &self.device_slug);
        write!(f, "{workload}/{precision}/{kernel}/{shape}/{device}")
    }
}
