//! The summation order of every matmul kernel of a device, and of the mirrors that follow them.

use serde::{Deserialize, Serialize};

use super::order::{OrderError, Probes, Tree, reveal};
use crate::gpu::{Context, GpuError};
use crate::mirror::convert::Operands;
use crate::mirror::matmul::entries;
use crate::number::{Arithmetic, Format, Precision};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::Matrix;
use crate::workload::matmul::{GpuMatmul, Kernel, KernelSource, Parameters};

/// Products summed. Long enough for the block along k of any kernel here.
pub const TERMS: usize = 64;

/// What [`KernelOrder::order`] begins with where nobody looked.
pub const NOT_ASKED: &str = "not asked: ";

/// Columns of B, all of ones: every entry of a row of C must be summed in the same way.
const COLUMNS: usize = 8;

/// Columns of B that a kernel is asked with: a product with a vector has one, whatever the kernel does with
/// several.
fn columns(kernel: Kernel) -> usize {
    if kernel == Kernel::Gemv { 1 } else { COLUMNS }
}

/// Key of the random bits; none is looked at, for what is added to ±M vanishes whatever they are.
const KEY: [u32; 2] = [1, 0];

/// In which order a kernel sums.
///
/// It is that of a kernel as the device's compiler builds it, and so known by kernel, precision, parameters
/// and text, beside the device. It is asked at a size of its own, and at others taken to be the same, as it is
/// in every layout and by any number of random bits: the text says so, and results that are bit for bit those
/// of a mirror in the same row are the evidence. Kernels of matrix units have no such mirror.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelOrder {
    /// The kernel; `mirror` for the CPU's.
    pub kernel: String,
    /// Its precision.
    pub precision: String,
    /// Its tuning parameters, as the column `kernel_parameters` has them.
    pub parameters: String,
    /// SHA-256 of its text, as the column `wgsl_sha256` has it; empty for a mirror.
    #[serde(default)]
    pub wgsl_sha256: String,
    /// The products that were summed.
    pub terms: usize,
    /// Length of the sum that they are part of: the other products are 0. It is longer than `terms`
    /// where it takes more than two slices.
    #[serde(default = "plain_length")]
    pub k: usize,
    /// In words: `sequential`, `pairwise`, …, or why there is no order: `exact: …`, `not revealed: …`,
    /// `not asked: …`.
    pub order: String,
    /// The notation of the tree, as [`Tree`] prints it; empty where there is none.
    pub tree: String,
    /// The tree itself.
    #[serde(skip)]
    pub shape: Option<Tree>,
}

const fn plain_length() -> usize {
    TERMS
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
    /// Of a kernel that was not asked yet.
    pub fn of(source: &KernelSource) -> Self {
        let KernelSource { kernel, precision, parameters, .. } = source;
        Self {
            parameters: parameters.to_string(),
            wgsl_sha256: source.sha256(),
            k: Summands::of(source.slices() as usize).k,
            ..Self::of_name(kernel.name(), precision.name())
        }
    }

    /// Of a kernel of which nothing but its name and precision is known.
    pub fn of_name(kernel: &str, precision: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            precision: precision.to_owned(),
            parameters: String::new(),
            wgsl_sha256: String::new(),
            terms: TERMS,
            k: TERMS,
            order: String::new(),
            tree: String::new(),
            shape: None,
        }
    }

    /// Says why nobody looked.
    #[must_use]
    pub fn not_asked(self, why: &str) -> Self {
        Self { order: format!("{NOT_ASKED}{why}"), ..self }
    }

    /// Whether somebody looked.
    pub fn is_asked(&self) -> bool {
        !self.order.starts_with(NOT_ASKED)
    }

    /// Whether both are of one kernel.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let key = |order: &Self| {
            let Self { kernel, precision, parameters, wgsl_sha256, .. } = order.clone();
            [kernel, precision, parameters, wgsl_sha256]
        };
        key(self) == key(other)
    }

    /// Slices that k is cut into, by the parameters; 1 where they name none.
    pub fn slices(&self) -> u32 {
        let parameters = self.parameters.parse::<Parameters>().ok();
        parameters.and_then(|parameters| parameters.get("slices")).unwrap_or(1)
    }

    /// Precision, kernel, and slices where there are several.
    pub fn of_what(&self) -> String {
        let slices = match self.slices() {
            1 => String::new(),
            slices => format!(" in {slices} slices"),
        };
        format!("{} {}{slices}", self.precision, self.kernel)
    }

    /// The order in words, with the tree where there is one.
    pub fn told(&self) -> String {
        let Self { order, tree, .. } = self;
        if tree.is_empty() { order.clone() } else { format!("{order}: {tree}") }
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

/// Which products of a sum are not 0.
struct Summands {
    /// Length of the sum.
    k: usize,
    /// Those in one slice: the first ones of it.
    in_slice: usize,
    /// Of one slice.
    length: usize,
}

impl Summands {
    /// The first [`TERMS`] of two slices or one, else as many of each slice.
    fn of(slices: usize) -> Self {
        // Slices are as long as that or a multiple (`kernels/matmul/slices.wgsl`).
        const LENGTH: usize = 32;
        let slices = slices.next_power_of_two().clamp(1, TERMS);
        match TERMS / slices {
            in_slice if in_slice < LENGTH => Self { k: LENGTH * slices, in_slice, length: LENGTH },
            _ => Self { k: TERMS, in_slice: TERMS, length: TERMS },
        }
    }

    /// Where a summand stands in the sum.
    fn place(&self, summand: usize) -> usize {
        summand / self.in_slice * self.length + summand % self.in_slice
    }

    /// A of one vector a row, and B of ones.
    fn operands(&self, vectors: &[Vec<f32>], columns: usize) -> (Matrix, Matrix) {
        let k = self.k;
        let mut a = Matrix { rows: vectors.len(), cols: k, data: vec![0.0; vectors.len() * k] };
        for (row, vector) in a.data.chunks_exact_mut(k).zip(vectors) {
            for (summand, &value) in vector.iter().enumerate() {
                row[self.place(summand)] = value;
            }
        }
        let b = Matrix { rows: k, cols: columns, data: vec![1.0; k * columns] };
        (a, b)
    }

    /// The tree with places in the sum for leaves.
    fn placed(&self, tree: Tree) -> Tree {
        match tree {
            Tree::Leaf(summand) => Tree::Leaf(self.place(summand)),
            Tree::Sum(parts) => {
                Tree::Sum(parts.into_iter().map(|part| self.placed(part)).collect())
            }
        }
    }
}

/// What stands for M and for a unit at a precision, or why there is no order to reveal.
fn probes(precision: Precision, arithmetic: Arithmetic) -> Result<Probes, String> {
    match (precision.storage(), precision.accumulator()) {
        (_, Format::Int32) => Err("exact: integers, so that no order matters".to_owned()),
        (Format::F16 | Format::F16x2, _) if arithmetic.flush_f16_subnormals => {
            Err("not revealed: the units are f16 subnormals, which the device flushes".to_owned())
        }
        _ if precision.is_compensated() => {
            Err("not revealed: its sums keep what their roundings lose".to_owned())
        }
        // Of numbers in several parts, whose first alone is not 0 here, the sum of the leading products.
        (Format::F16 | Format::F16x2, _) => Ok(Probes::F16),
        (Format::E5m2, Format::F32) => Ok(Probes::E5M2),
        (Format::F32 | Format::Bf16 | Format::Bf16x3, Format::F32 | Format::Bf16)
        | (Format::F64, Format::F64) => Ok(Probes::F32),
        _ => Err("not revealed: its operands hold no M and units at once".to_owned()),
    }
}

/// The orders of all kernels that a device can run, at every precision of matrix products, with its default
/// parameters. Those of which no order can be revealed are listed with the reason, and not compiled.
///
/// # Errors
/// A [`GpuError`] where the device is lost; what else fails is said in the kernel's place.
pub fn of_device(context: &Context) -> Result<Vec<KernelOrder>, GpuError> {
    let mut orders = vec![];
    for precision in Precision::matmul() {
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.computes(precision)) {
            if KernelSource::supports(kernel, precision, &context.info).is_ok() {
                orders.push(of_kernel(context, kernel, precision)?);
            }
        }
    }
    Ok(orders)
}

/// The order of one kernel with the device's default parameters.
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
    of_source(context, &KernelSource::of(kernel, precision, &context.info), false)
}

/// The order of one kernel with parameters of one's own choice; `checks` leaves the shader's run-time
/// checks on.
///
/// # Errors
/// As [`of_device`].
pub fn of_source(
    context: &Context,
    source: &KernelSource,
    checks: bool,
) -> Result<KernelOrder, GpuError> {
    let order = KernelOrder::of(source);
    let probes = match probes(source.precision, context.fingerprint.arithmetic) {
        Ok(probes) => probes,
        Err(why) => return Ok(order.with(Err(why))),
    };
    let summands = Summands::of(source.slices() as usize);
    let columns = columns(source.kernel);
    let revealed = reveal(TERMS, probes, |vectors| {
        let (a, b) = summands.operands(vectors, columns);
        let stored = Stored::new(Layout::Nn, 1, &a, &b);
        let gpu = GpuMatmul::prepare(context, source, &stored, KEY, checks)?;
        gpu.poison(context)?;
        context.run(gpu.conversion(), 1)?;
        context.run(gpu.product(), 1)?;
        by_row(&gpu.result(context)?, columns)
    });
    concluded(order, revealed.map(|tree| summands.placed(tree)))
}

/// What follows from an attempt: that there is no order to reveal only where the kernel has answered. What
/// the device refused it may grant the next time.
fn concluded(
    order: KernelOrder,
    revealed: Result<Tree, OrderError<KernelError>>,
) -> Result<KernelOrder, GpuError> {
    Ok(match revealed {
        Ok(tree) => order.with(Ok(tree)),
        Err(OrderError::Sum(KernelError::Gpu(error))) => match error {
            GpuError::Lost { .. } | GpuError::Timeout { .. } => return Err(error),
            _ => order.not_asked(&error.to_string()),
        },
        Err(error) => order.with(Err(format!("not revealed: {error}"))),
    })
}

/// Whether there is an order to look for at a precision; where there is none, [`of_source`] says why without
/// compiling anything.
pub fn is_revealed(precision: Precision, arithmetic: Arithmetic) -> bool {
    probes(precision, arithmetic).is_ok()
}

/// The orders of the CPU's mirrors.
pub fn of_cpu() -> Vec<KernelOrder> {
    Precision::matmul().map(of_mirror).collect()
}

/// The order of the CPU's mirror at a precision.
pub fn of_mirror(precision: Precision) -> KernelOrder {
    let (order, arithmetic) =
        (KernelOrder::of_name("mirror", precision.name()), Arithmetic::host());
    let summands = Summands::of(1);
    let revealed = probes(precision, arithmetic).and_then(|probes| {
        let sums = |vectors: &[Vec<f32>]| {
            let (a, b) = summands.operands(vectors, COLUMNS);
            let operands = Operands::convert(precision, arithmetic, &a, &b, KEY);
            let rows: Vec<usize> = (0..a.rows).collect();
            let c = entries(precision, arithmetic, &operands, 1, &rows, KEY).values();
            by_row(&c.into_iter().map(|x| x as f32).collect::<Vec<_>>(), COLUMNS)
        };
        reveal(TERMS, probes, sums).map_err(|error| format!("not revealed: {error}"))
    });
    order.with(revealed)
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

    /// Only what a kernel has answered is an answer.
    #[test]
    fn what_a_device_refuses_is_not_asked() {
        let conclude = |revealed| concluded(KernelOrder::of_name("naive", "fp32"), revealed);
        let refused = |error| conclude(Err(OrderError::Sum(KernelError::Gpu(error))));
        let full = GpuError::OutOfMemory { what: "C".to_owned(), bytes: 7 };
        let order = refused(full).unwrap();
        assert!(!order.is_asked() && order.order.contains("no device memory for C"), "{order:?}");
        let lost = GpuError::Lost { reason: "gone".to_owned() };
        assert!(refused(lost).is_err());
        assert!(refused(GpuError::Timeout { seconds: 1 }).is_err());
        for error in [
            OrderError::Sum(KernelError::ByColumn),
            OrderError::NoTree { plus: 0, minus: 1, result: 0.5 },
        ] {
            let order = conclude(Err(error)).unwrap();
            assert!(order.is_asked() && order.order.starts_with("not revealed: "), "{order:?}");
        }
        let order = conclude(Ok(Tree::Sum(vec![Tree::Leaf(0), Tree::Leaf(1)]))).unwrap();
        assert_eq!(order.tree, "[0..1]");
    }

    /// Of every precision, and with a word on those that have no order.
    #[test]
    fn a_probe_lists_every_precision() {
        let listed: Vec<String> = of_cpu().into_iter().map(|order| order.precision).collect();
        let all: Vec<String> = Precision::matmul().map(|p| p.name().to_owned()).collect();
        assert_eq!(listed, all);
    }

    #[test]
    fn mirrors_sum_one_after_the_other() {
        for order in Precision::matmul().map(of_mirror) {
            match order.precision.as_str() {
                name if name.starts_with("int8") => {
                    assert!(order.order.starts_with("exact") && order.shape.is_none(), "{order:?}");
                }
                // Two numbers so far apart are not in reach of E4M3 or of one scale.
                "fp8-e4m3" | "fp8-e4m3-sr" | "mxfp8" | "mxint8" | "int4" | "int4-sr" => {
                    assert!(order.order.starts_with("not revealed: its operands"), "{order:?}");
                }
                "fp32-comp" | "fp32x2" => {
                    assert!(order.order.starts_with("not revealed: its sums keep"), "{order:?}");
                }
                _ => {
                    let said = (&*order.order, &*order.tree);
                    assert_eq!(said, ("sequential", "[0..63]"), "{order:?}");
                }
            }
        }
    }
}
