//! The registry: which files of `kernels/` make each matmul kernel. A kernel is their concatenation.

use std::fmt;
use std::str::FromStr;

use super::parameters::Parameters;
use super::{Shape, tuning};
use crate::gpu::{Composed, DeviceInfo, Source, compose_with};
use crate::number::{Format, Precision, Rounding};
use crate::wgsl;

/// The structure of a product kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// A thread an entry of C: the readable one, and the baseline.
    Naive,
    /// A block of C in each thread's registers, vectorised loads.
    RegisterTiled,
}

impl Kernel {
    /// All kernels, in the order in which they are measured.
    pub const ALL: [Self; 2] = [Self::Naive, Self::RegisterTiled];

    /// Whether the kernel exists at a precision, on whatever device.
    pub fn computes(self, precision: Precision) -> bool {
        Precision::MATMUL.contains(&precision)
    }

    /// The name in bench ids, the CLI and the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::RegisterTiled => "register_tiled",
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

/// How a kernel reads f16 operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum F16Path {
    /// As the device's own type (`SHADER_F16`).
    Native,
    /// As halves of 32-bit words, on every device.
    Packed,
}

impl F16Path {
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
        Self::compose(kernel, precision, device.shader_f16, default)
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
            return Ok(Self::compose(kernel, precision, device.shader_f16, parameters));
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
        let tile =
            |p: &Parameters| Self::compose(kernel, precision, device.shader_f16, p.clone()).tile;
        tuning::candidates(options, &tile, shape)
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
        native_f16: bool,
        parameters: Parameters,
    ) -> Self {
        assert!(kernel.computes(precision), "there is no kernel {kernel} at {precision}");
        let f16_path = (precision.storage() == Format::F16).then_some(if native_f16 {
            F16Path::Native
        } else {
            F16Path::Packed
        });
        let mut files = vec![wgsl!("matmul/problem.wgsl")];
        let conversion = conversion_sources(precision);
        if precision.storage() == Format::Int8 {
            files.extend([
                wgsl!("matmul/int8_scale.wgsl"),
                wgsl!("shared/reciprocal.wgsl"),
                wgsl!("matmul/int8_sum.wgsl"),
            ]);
            let (structure, tile) = match kernel {
                Kernel::Naive => (wgsl!("matmul/int8_naive.wgsl"), (8, 8)),
                Kernel::RegisterTiled => (wgsl!("matmul/int8_register_tiled.wgsl"), (64, 32)),
            };
            files.push(structure);
            return Self { precision, kernel, f16_path, files, conversion, parameters, tile };
        }
        files.push(operand_file(kernel, precision.storage(), f16_path));
        let stochastic = precision.rounding() == Rounding::Stochastic;
        let half_output = precision.accumulator() == Format::F16;
        if half_output {
            files.push(wgsl!("shared/rounding.wgsl"));
        }
        if stochastic {
            files.extend([wgsl!("shared/philox.wgsl"), wgsl!("shared/streams.wgsl")]);
        }
        let accumulate = match (half_output, stochastic) {
            (false, _) => wgsl!("matmul/accumulate_f32.wgsl"),
            (true, false) => wgsl!("matmul/accumulate_f16.wgsl"),
            (true, true) => wgsl!("matmul/accumulate_f16_sr.wgsl"),
        };
        let tile = match kernel {
            Kernel::Naive => {
                let (out, columns) = if half_output {
                    (wgsl!("number/out_f16.wgsl"), 16)
                } else {
                    (wgsl!("number/out_f32.wgsl"), 8)
                };
                files.extend([out, accumulate, wgsl!("matmul/naive.wgsl")]);
                (8, columns)
            }
            Kernel::RegisterTiled => {
                files.push(if half_output {
                    wgsl!("number/out_f16x4.wgsl")
                } else {
                    wgsl!("number/out_f32x4.wgsl")
                });
                if stochastic {
                    files.push(wgsl!("matmul/register_tiled_sr.wgsl"));
                    (16, 32)
                } else {
                    files.extend([accumulate, wgsl!("matmul/register_tiled.wgsl")]);
                    tuning::tile(&parameters)
                }
            }
        };
        Self { precision, kernel, f16_path, files, conversion, parameters, tile }
    }

    /// The kernel's text: its parameters as constants, then its files.
    pub fn composed(&self) -> Composed {
        compose_with(&self.parameters.declarations(), &self.files)
    }

    /// Workgroups that cover C.
    pub fn workgroups(&self, shape: Shape) -> [u32; 3] {
        let (rows, columns) = self.tile;
        [shape.n.div_ceil(columns) as u32, shape.m.div_ceil(rows) as u32, 1]
    }
}

fn operand_file(kernel: Kernel, storage: Format, f16_path: Option<F16Path>) -> Source {
    match (kernel, storage, f16_path) {
        (Kernel::Naive, Format::F16, Some(F16Path::Native)) => wgsl!("number/f16_native.wgsl"),
        (Kernel::Naive, Format::F16, _) => wgsl!("number/f16_packed.wgsl"),
        (Kernel::Naive, Format::Bf16, _) => wgsl!("number/bf16.wgsl"),
        (Kernel::Naive, ..) => wgsl!("number/f32.wgsl"),
        (_, Format::F16, Some(F16Path::Native)) => wgsl!("number/f16_native_x4.wgsl"),
        (_, Format::F16, _) => wgsl!("number/f16_packed_x4.wgsl"),
        (_, Format::Bf16, _) => wgsl!("number/bf16x4.wgsl"),
        _ => wgsl!("number/f32x4.wgsl"),
    }
}

/// The files of the conversion to the storage format of `precision`: the one kernel of a 16-bit
/// format, or the two of int8 (maxima, then quantisation). Empty for f32.
pub fn conversion_sources(precision: Precision) -> Vec<Vec<Source>> {
    let elementwise = |format: Source| {
        vec![vec![wgsl!("shared/rounding.wgsl"), format, wgsl!("matmul/convert.wgsl")]]
    };
    match precision.storage() {
        Format::F16 => elementwise(wgsl!("number/convert_f16.wgsl")),
        Format::Bf16 => elementwise(wgsl!("number/convert_bf16.wgsl")),
        Format::Int8 => {
            let mut quantize = vec![
                wgsl!("matmul/problem.wgsl"),
                wgsl!("matmul/int8_scale.wgsl"),
                wgsl!("shared/reciprocal.wgsl"),
                wgsl!("shared/rounding.wgsl"),
                wgsl!("shared/streams.wgsl"),
            ];
            if precision.rounding() == Rounding::Stochastic {
                quantize.extend([wgsl!("shared/philox.wgsl"), wgsl!("matmul/quantize_sr.wgsl")]);
            } else {
                quantize.push(wgsl!("matmul/quantize_nearest.wgsl"));
            }
            quantize.push(wgsl!("matmul/quantize.wgsl"));
            vec![vec![wgsl!("matmul/absmax.wgsl")], quantize]
        }
        _ => vec![],
    }
}
