//! The parameters that each kernel can have on a device: a short list, the default first.

use super::kernels::Kernel;
use super::parameters::Parameters;
use super::{Shape, output_format};
use crate::gpu::DeviceInfo;
use crate::number::{Format, Precision, Rounding};

/// Parameters valid on a device, the default first: one entry without a parameter for a kernel that
/// has none. Every other set is refused, since a kernel is only proven for those listed here.
pub(super) fn options(
    kernel: Kernel,
    precision: Precision,
    device: &DeviceInfo,
) -> Vec<Parameters> {
    let all = match kernel {
        Kernel::Naive => vec![Parameters::default()],
        Kernel::RegisterTiled => register_tiled(precision),
    };
    let (default, others) = (all[0].clone(), &all[1..]);
    // The default stays even where it does not fit, so that its row can say what is over a limit.
    let others = others.iter().filter(|parameters| fits(parameters, device)).cloned();
    std::iter::once(default).chain(others).collect()
}

/// Those of [`options`] that may be fast at a shape: no tile with more than half of it off the edge,
/// unless nothing else is left.
pub(super) fn candidates(options: Vec<Parameters>, tile: Tile, shape: Shape) -> Vec<Parameters> {
    let useful = |parameters: &Parameters| {
        let (rows, columns) = tile(parameters);
        rows < 2 * shape.m.max(8) && columns < 2 * shape.n.max(8)
    };
    let (useful, rest): (Vec<_>, Vec<_>) = options.into_iter().partition(useful);
    if useful.is_empty() { rest } else { useful }
}

/// Rows and columns of C that a workgroup covers.
pub(super) type Tile<'a> = &'a dyn Fn(&Parameters) -> (usize, usize);

fn register_tiled(precision: Precision) -> Vec<Parameters> {
    let half = output_format(precision) == Format::F16;
    if precision.storage() == Format::Int8 || (half && precision.rounding() == Rounding::Stochastic)
    {
        return vec![Parameters::default()];
    }
    let set = |[threads_m, threads_n, block_m, block_n]: [u32; 4]| {
        Parameters::new(&[
            ("threads_m", threads_m),
            ("threads_n", threads_n),
            ("block_m", block_m),
            ("block_n", block_n),
        ])
    };
    [[8, 8, 8, 8], [8, 8, 4, 8], [8, 16, 8, 4], [16, 16, 8, 8]].map(set).into()
}

/// What a device lacks for a kernel.
pub(super) fn supports(
    kernel: Kernel,
    precision: Precision,
    device: &DeviceInfo,
) -> Result<(), String> {
    let default = options(kernel, precision, device).swap_remove(0);
    if fits(&default, device) {
        return Ok(());
    }
    let limit = device.max_workgroup_invocations;
    Err(format!(
        "{kernel} with {default} needs a workgroup of more than the device's {limit} threads"
    ))
}

/// Rows and columns of C that a workgroup of a register-tiled kernel covers.
pub(super) fn tile(parameters: &Parameters) -> (usize, usize) {
    let product = |a, b| (parameters.get(a).unwrap_or(1) * parameters.get(b).unwrap_or(1)) as usize;
    (product("threads_m", "block_m"), product("threads_n", "block_n"))
}

/// Whether the threads of a workgroup are as many as the device allows.
fn fits(parameters: &Parameters, device: &DeviceInfo) -> bool {
    let threads = |name| parameters.get(name).unwrap_or(1);
    threads("threads_m") * threads("threads_n") <= device.max_workgroup_invocations
}
