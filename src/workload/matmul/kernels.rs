//! The registry of matmul kernels: what there is, for which device, and with which parameters.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::files::{self, conversion_sources};
use super::parameters::Parameters;
use super::{Shape, tuning};
use crate::gpu::{Composed, DeviceInfo, Source, compose_with};
use crate::hexadecimal::hexadecimal;
use crate::number::{Format, Precision, round};
use crate::problem::layout::Layout;
use crate::wgsl;

/// The structure of a product kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// A thread an entry of C: the readable one, and the baseline.
    Naive,
    /// A block of C in each thread's registers, vectorised loads.
    RegisterTiled,
    /// A block of C in the registers of one subgroup, whose lanes hand each other what they load of A.
    Subgroup,
    /// Fragments of C on the device's matrix units.
    Cooperative,
    /// Matrix times vector, or vector times matrix: rows or columns of the matrix by fours in each lane.
    /// Where blocks along k share scales, a team of lanes shares the blocks of several rows, or of fours
    /// of columns.
    Gemv,
}

impl Kernel {
    /// All kernels, in the order in which they are measured.
    pub const ALL: [Self; 5] =
        [Self::Naive, Self::RegisterTiled, Self::Subgroup, Self::Cooperative, Self::Gemv];

    /// Whether the kernel exists at a precision, on whatever device.
    pub fn computes(self, precision: Precision) -> bool {
        precision.is_matmul()
            && match self {
                Self::Naive | Self::RegisterTiled | Self::Gemv => true,
                // Random bits for every product-add outweigh what shuffles save; lanes hand each other
                // words of one number each, which have left their block's scale behind, and no parts.
                Self::Subgroup => {
                    !files::is_sr(precision)
                        && !precision.is_wide()
                        && !precision.storage().is_blocked()
                }
                // What the matrix units of WGSL take: f16, rounded by the unit.
                Self::Cooperative => matches!(precision, Precision::Fp16 | Precision::Fp16Acc16),
            }
    }

    /// Whether the kernel is one for a shape, on whatever device: a product with a vector has a kernel
    /// that no other shape has.
    pub fn is_for(self, shape: Shape) -> bool {
        self != Self::Gemv || shape.has_vector()
    }

    /// Whether it reads operands that are stored transposed.
    pub fn reads_transposed(self, precision: Precision) -> bool {
        if precision.storage().is_blocked() {
            return self.computes(precision); // its conversion lays them out as they are multiplied
        }
        has_layouts(self, precision)
    }

    /// Whether the kernel runs a shape in its layout and batch, at a precision that it computes at.
    ///
    /// # Errors
    /// What it does not run, in words for the reason of a skipped row.
    pub fn runs(self, precision: Precision, shape: Shape) -> Result<(), String> {
        if !self.is_for(shape) {
            return Err(format!(
                "{self} multiplies by vectors alone: m or n must be 1, not {shape}"
            ));
        }
        if shape.layout != Layout::Nn && !self.reads_transposed(precision) {
            return Err(format!(
                "{self} reads operands in the layout nn alone, not {}",
                shape.layout
            ));
        }
        if shape.batch > 1 && self == Self::Cooperative {
            return Err(format!("{self} computes one product at a time, not {}", shape.batch));
        }
        Ok(())
    }

    /// Whether a mirror follows it bit for bit. A matrix unit sums in an order of its own and rounds as
    /// it likes on the way, an f16 accumulator not after each product-add: such a kernel is held to its
    /// bound, and to the exact product of small integers.
    pub fn has_mirror(self) -> bool {
        self != Self::Cooperative
    }

    /// Roundings on the way of one product into a sum of `k`, at most, in the units that a bound counts
    /// with. A matrix unit may align the products of a step to the largest and cut off what sticks out
    /// before it rounds the sum (Fasi, Higham, Mikaitis, Pranesh 2021): over steps of at least two
    /// products, at most two roundings each. The unit of an f32 sum allows for truncation where the
    /// guarantee is [`Guarantee::PORTABLE`](crate::error::Guarantee::PORTABLE); that of an f16 sum is
    /// that of rounding to nearest, so a truncation counts as two. Where k is cut into slices, a term goes
    /// through the product-adds of its slice and an addition for each doubling of the slices that hold
    /// any, which are never more than k.
    pub fn roundings(self, precision: Precision, k: usize) -> usize {
        match (self.has_mirror(), precision.accumulator()) {
            (true, _) => k,
            (false, Format::F16) => k.saturating_mul(4),
            (false, _) => k.saturating_mul(2),
        }
    }

    /// The name in bench ids, the CLI and the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::RegisterTiled => "register_tiled",
            Self::Subgroup => "subgroup",
            Self::Cooperative => "cooperative",
            Self::Gemv => "gemv",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|k| k.name()).collect();
            format!("unknown kernel `{}`; valid are {}", text.trim(), names.join(", "))
        })
    }
}

/// Whether a kernel's files are written for every layout, whichever of them is tried.
pub(super) fn has_layouts(kernel: Kernel, precision: Precision) -> bool {
    let is_written = matches!(kernel, Kernel::Naive | Kernel::RegisterTiled | Kernel::Gemv);
    is_written && !precision.storage().is_blocked()
}

/// How a kernel reads f16 operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum F16Path {
    /// As the device's own type (`SHADER_F16`).
    Native,
    /// As halves of 32-bit words, on every device.
    Packed,
}

impl F16Path {
    /// How a kernel reads the operands of a precision; `None` where none of them is f16. Where a lane
    /// loads numbers one by one, as software does, two in a word come cheaper than the device's own.
    fn of(kernel: Kernel, precision: Precision, device: &DeviceInfo) -> Option<Self> {
        let native = match kernel {
            Kernel::Naive => device.shader_f16,
            Kernel::RegisterTiled | Kernel::Subgroup | Kernel::Gemv => {
                device.shader_f16 && !tuning::is_software(device)
            }
            Kernel::Cooperative => true, // it exists in no other way
        };
        let path = if native { Self::Native } else { Self::Packed };
        match precision.storage() {
            Format::F16 => Some(path),
            Format::F16x2 => Some(Self::Packed), // two in a word
            _ => None,
        }
    }

    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Packed => "packed",
        }
    }
}

/// A product kernel: its files, and the entries of C that one workgroup computes.
#[derive(Clone, Debug)]
pub struct KernelSource {
    /// What it computes with.
    pub precision: Precision,
    /// Its structure.
    pub kernel: Kernel,
    /// How it reads f16; `None` where there is none.
    pub f16_path: Option<F16Path>,
    /// Files of `kernels/`, in the order in which they are concatenated.
    pub files: Vec<Source>,
    /// Files of the kernels that convert its operands, as [`conversion_sources`] has them.
    pub conversion: Vec<Vec<Source>>,
    /// Values of its tuning parameters, which its files read as constants.
    pub parameters: Parameters,
    /// Rows and columns of C that a workgroup covers.
    pub tile: (usize, usize),
    /// Random bits of one stochastic rounding, 1 to 16.
    pub rounding_bits: u32,
}

/// Parameters that a kernel cannot have on a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "kernel {kernel} at {precision} has no parameters `{found}` on {device}; valid are {}",
    .valid.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ")
)]
pub struct TuningError {
    kernel: Kernel,
    precision: Precision,
    device: String,
    found: Parameters,
    valid: Vec<Parameters>,
}

impl KernelSource {
    /// The kernel at a precision with the parameters that a device of this class does best with as a
    /// rule: the first of [`KernelSource::candidates`]' list before any shape is known. Where
    /// [`KernelSource::supports`] says that the device cannot run it, it is what the device would run.
    ///
    /// # Panics
    /// If the kernel does not exist at that precision, as [`Kernel::computes`] tells.
    pub fn of(kernel: Kernel, precision: Precision, device: &DeviceInfo) -> Self {
        let default = tuning::options(kernel, precision, device).swap_remove(0);
        Self::compose(kernel, precision, device, default)
    }

    /// The same with parameters of one's own choice.
    ///
    /// # Errors
    /// [`TuningError`] where they are none of those that the kernel can have on the device.
    ///
    /// # Panics
    /// As [`KernelSource::of`].
    pub fn with(
        kernel: Kernel,
        precision: Precision,
        device: &DeviceInfo,
        parameters: Parameters,
    ) -> Result<Self, TuningError> {
        let valid = tuning::options(kernel, precision, device);
        if valid.contains(&parameters) {
            return Ok(Self::compose(kernel, precision, device, parameters));
        }
        let (device, found) = (device.slug.clone(), parameters);
        Err(TuningError { kernel, precision, device, found, valid })
    }

    /// The parameters worth trying at a shape on a device, at least one and at most eight, each valid
    /// under the device's limits.
    ///
    /// # Panics
    /// As [`KernelSource::of`].
    pub fn candidates(
        kernel: Kernel,
        precision: Precision,
        shape: Shape,
        device: &DeviceInfo,
    ) -> Vec<Parameters> {
        let options = tuning::options(kernel, precision, device);
        let tile = |p: &Parameters| tuning::tile(kernel, precision, p);
        tuning::candidates(kernel, options, &tile, shape)
    }

    /// Whether a device has what a kernel needs, by what is known without opening it.
    ///
    /// # Errors
    /// What the device lacks, in words for the reason of a skipped row.
    pub fn supports(
        kernel: Kernel,
        precision: Precision,
        device: &DeviceInfo,
    ) -> Result<(), String> {
        tuning::supports(kernel, precision, device)
    }

    fn compose(
        kernel: Kernel,
        precision: Precision,
        device: &DeviceInfo,
        parameters: Parameters,
    ) -> Self {
        assert!(kernel.computes(precision), "there is no kernel {kernel} at {precision}");
        let f16_path = F16Path::of(kernel, precision, device);
        Self {
            precision,
            kernel,
            f16_path,
            files: files::product(kernel, precision, f16_path, &parameters),
            conversion: conversion_sources(precision),
            tile: tuning::tile(kernel, precision, &parameters),
            parameters,
            rounding_bits: round::ROUNDING_BITS,
        }
    }

    /// The kernel's text: its parameters as constants, then its files.
    pub fn composed(&self) -> Composed {
        compose_with(&self.parameters.declarations(), &self.files)
    }

    /// Slices that it cuts k into: 1 where it sums from end to end.
    pub fn slices(&self) -> u32 {
        self.parameters.get("slices").unwrap_or(1)
    }

    /// The kernel that adds the sums of slices up; `None` where there is one slice.
    pub fn addition(&self) -> Option<Composed> {
        let files = [wgsl!("matmul/problem.wgsl"), wgsl!("matmul/sum_slices.wgsl")];
        (self.slices() > 1).then(|| compose_with(&self.parameters.declarations(), &files))
    }

    /// SHA-256, in hexadecimal, of the kernel's text, and of that of the addition behind it where there
    /// is one.
    pub fn sha256(&self) -> String {
        match self.addition() {
            None => self.composed().sha256,
            Some(addition) => {
                hexadecimal(&Sha256::digest([self.composed().wgsl, addition.wgsl].concat()))
            }
        }
    }

    /// Workgroups that cover all C, as many times as there are slices.
    pub fn workgroups(&self, shape: Shape) -> [u32; 3] {
        let (rows, columns) = self.tile;
        let z = (shape.batch as u32).saturating_mul(self.slices());
        if self.kernel == Kernel::Gemv {
            return [shape.m.max(shape.n).div_ceil(rows) as u32, 1, z];
        }
        [shape.n.div_ceil(columns) as u32, shape.m.div_ceil(rows) as u32, z]
    }
}
