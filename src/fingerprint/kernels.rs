//! The summation order of every matmul kernel of a device, and of the mirrors that follow them.

use serde::{Deserialize, Serialize};

use super::order::{OrderError, Probes, Tree, reveal};
use crate::gpu::{Context, GpuError};
use crate::mirror::convert::Operands;
use crate::mirror::matmul::multiply;
use crate::number::{Arithmetic, Format, Precision};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::Matrix;
use crate::workload::matmul::{GpuMatmul, Kernel, KernelSource};

/// Products summed. Long enough for the block along k of any kernel here.
pub const TERMS: usize = 64;

/// Columns of B, all of ones: every entry of a row of C must be summed in the same way.
const COLUMNS: usize = 8;

/// Columns of B that a kernel is asked with: a product with a vector has one.
fn columns(kernel: Kernel) -> usize {
    if kernel == Kernel::Gemv { 1 } else { COLUMNS }
}

/// Key of the random bits; none is looked at, for what is added to ±M vanishes whatever they are.
const KEY: [u32; 2] = [1, 0];

/// In which order a kernel sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelOrder {
    /// The kernel; `mirror` for the CPU's.
    pub kernel: String,
    /// Its precision.
    pub precision: String,
    /// Its tuning parameters: those that the device has by default.
    pub parameters: String,
    /// The products that were summed.
    pub terms: usize,
    /// In words: `sequential`, `pairwise`, …, or why there is no order.
    pub order: String,
    /// The notation of the tree, as [`Tree`] prints it; empty where there is none.
    pub tree: String,
    /// The tree itself.
    #[serde(skip)]
    pub shape: Option<Tree>,
}

/// Rows of C differ from column to column.
#[derive(Debug, thiserror::Error)]
enum KernelError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("entries of one row are summed in different orders")]
    ByColumn,
}

impl KernelOrder {
    fn new(kernel: &str, precision: Precision, parameters: String) -> Self {
        Self {
            kernel: kernel.to_owned(),
            precision: precision.to_string(),
            parameters,
            terms: TERMS,
            order: String::new(),
            tree: String::new(),
            shape: None,
        }
    }

    fn with(mut self, revealed: Result<Tree, String>) -> Self {
        match revealed {
            Ok(tree) => {
                (self.order, self.tree) = (tree.name(), tree.to_string());
                self.shape = Some(tree);
            }
            Err(why) => self.order = why,
        }
        self
    }
}

/// What stands for M and for a unit at a precision, or why there is no order to reveal.
fn probes(precision: Precision, arithmetic: Arithmetic) -> Result<Probes, String> {
    match (precision.storage(), precision.accumulator()) {
        (_, Format::Int32) => Err("exact: integers, so that no order matters".to_owned()),
        (Format::F16, _) if arithmetic.flush_f16_subnormals => {
            Err("not revealed: the units are f16 subnormals, which the device flushes".to_owned())
        }
        (Format::F16, _) => Ok(Probes::F16),
        (Format::F32 | Format::Bf16, Format::F32) => Ok(Probes::F32),
        _ => Err("not revealed: no M and units are known for its formats".to_owned()),
    }
}

/// The orders of all kernels that a device can run, with its default parameters.
///
/// # Errors
/// A [`GpuError`] where the device is lost; what it refuses is said in its place.
pub fn of_device(context: &Context) -> Result<Vec<KernelOrder>, GpuError> {
    let mut orders = vec![];
    for precision in Precision::MATMUL {
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.computes(precision)) {
            if KernelSource::supports(kernel, precision, &context.info).is_ok() {
                orders.push(of_kernel(context, kernel, precision)?);
            }
        }
    }
    Ok(orders)
}

/// The order of one kernel.
///
/// # Errors
/// As [`of_device`].
///
/// # Panics
/// If the kernel does not exist at that precision, as [`Kernel::computes`] tells.
pub fn of_kernel(
    context: &Context,
    kernel: Kernel,
    precision: Precision,
) -> Result<KernelOrder, GpuError> {
    let source = KernelSource::of(kernel, precision, &context.info);
    let order = KernelOrder::new(kernel.name(), precision, source.parameters.to_string());
    let probes = match probes(precision, context.fingerprint.arithmetic) {
        Ok(probes) => probes,
        Err(why) => return Ok(order.with(Err(why))),
    };
    let revealed = reveal(TERMS, probes, |vectors| {
        let (a, b) = operands(vectors, columns(kernel));
        let gpu =
            GpuMatmul::prepare(context, &source, &Stored::new(Layout::Nn, 1, &a, &b), KEY, false)?;
        gpu.poison(context)?;
        context.run(gpu.conversion(), 1)?;
        context.run(gpu.product(), 1)?;
        by_row(&gpu.result(context)?, columns(kernel))
    });
    Ok(match revealed {
        Err(OrderError::Sum(KernelError::Gpu(
            error @ (GpuError::Lost { .. } | GpuError::Timeout { .. }),
        ))) => return Err(error),
        Err(error) => order.with(Err(format!("not revealed: {error}"))),
        Ok(tree) => order.with(Ok(tree)),
    })
}

/// The orders of the CPU's mirrors.
pub fn of_cpu() -> Vec<KernelOrder> {
    Precision::MATMUL.into_iter().map(of_mirror).collect()
}

fn of_mirror(precision: Precision) -> KernelOrder {
    let (order, arithmetic) =
        (KernelOrder::new("mirror", precision, String::new()), Arithmetic::host());
    let revealed = probes(precision, arithmetic).and_then(|probes| {
        let sums = |vectors: &[Vec<f32>]| {
            let (a, b) = operands(vectors, COLUMNS);
            let operands = Operands::convert(precision, arithmetic, &a, &b, KEY);
            let rows: Vec<usize> = (0..a.rows).collect();
            by_row(&multiply(precision, arithmetic, &operands, &rows, KEY), COLUMNS)
        };
        reveal(TERMS, probes, sums).map_err(|error| format!("not revealed: {error}"))
    });
    order.with(revealed)
}

/// A of one vector a row, and B of ones.
fn operands(vectors: &[Vec<f32>], columns: usize) -> (Matrix, Matrix) {
    let a = Matrix { rows: vectors.len(), cols: TERMS, data: vectors.concat() };
    let b = Matrix { rows: TERMS, cols: columns, data: vec![1.0; TERMS * columns] };
    (a, b)
}

/// The entry that all columns of a row have.
fn by_row(c: &[f32], columns: usize) -> Result<Vec<f64>, KernelError> {
    c.chunks(columns)
        .map(|row| match row.iter().all(|x| x == &row[0]) {
            true => Ok(row[0].into()),
            false => Err(KernelError::ByColumn),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_sum_one_after_the_other() {
        for order in of_cpu() {
            match order.precision.as_str() {
                "fp32" | "fp16" | "fp16-acc16" | "fp16-sr" | "bf16" => {
                    assert_eq!(
                        (&*order.order, &*order.tree),
                        ("sequential", "[0..63]"),
                        "{order:?}"
                    );
                }
                name if name.starts_with("int8") => {
                    assert!(order.order.starts_with("exact") && order.shape.is_none(), "{order:?}");
                }
                _ => {}
            }
        }
    }
}
