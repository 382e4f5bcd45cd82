//! The error of a product by cause: what its converted operands stand for multiplied as the truth is,
//! and the sums that the mirror has before the last rounding.

use rayon::prelude::*;

use crate::error::{Parts, Reference, Sums};
use crate::mirror::convert::Operands;
use crate::mirror::matmul_wide;
use crate::number::{Arithmetic, Format, Precision};
use crate::problem::matrix::MatmulProblem;
use crate::record::Record;
use crate::truth::matmul::{MatmulTruth, multiply_each, multiply_each_exactly};

/// Product-adds and entries of the product of the converted operands; beyond, rows are sampled.
const PARTS_PRODUCTS: usize = 1 << 28;
const PARTS_ENTRIES: usize = 1 << 22;

/// What the parts of an error are made of, on some rows of the truth.
#[derive(Default)]
pub(super) struct Causes {
    /// Positions among the truth's rows.
    positions: Vec<usize>,
    /// The product of the converted operands; `None` where they are the given ones, so that it is the
    /// truth.
    converted: Option<Product>,
    /// The mirror's sums, where C has not their format.
    sums: Option<Vec<f64>>,
}

/// Entries in f64, and what that leaves of them where they are exact.
struct Product {
    rounded: Vec<f64>,
    tail: Vec<f64>,
}

impl Causes {
    /// Of operands that were converted from those of `problem`.
    pub(super) fn of(
        precision: Precision,
        arithmetic: Arithmetic,
        operands: &Operands,
        problem: &MatmulProblem,
        truth: &MatmulTruth,
    ) -> Self {
        let Operands { n, k, .. } = *operands;
        let rows = (PARTS_PRODUCTS / n.saturating_mul(k)).min(PARTS_ENTRIES / n).max(1);
        let positions = super::spread(truth.rows.len(), rows);
        let rows: Vec<usize> = positions.iter().map(|&at| truth.rows[at]).collect();
        let as_given = matches!(precision.storage(), Format::F32 | Format::F32x2 | Format::F64)
            && problem.given_f64.is_none();
        let exact = !truth.tail.is_empty();
        Self {
            converted: (!as_given).then(|| product_of(precision, operands, &rows, exact)),
            sums: joins_sums(precision)
                .then(|| matmul_wide::sums(precision, arithmetic, operands, &rows)),
            positions,
        }
    }

    /// Fills the columns of a computed C, the rows of the truth. Without a mirror that `models` the
    /// device its sums are not known: where C has not their format, the error of the conversion is all
    /// that is filled.
    pub(super) fn fill<T: Copy + Into<f64> + Sync>(
        &self,
        computed: &[T],
        truth: &MatmulTruth,
        precision: Precision,
        models: bool,
        record: &mut Record,
    ) {
        let at = |x: &[f64]| if x.is_empty() { vec![] } else { self.rows_of(x, truth) };
        let (rounded, tail) = (at(&truth.product), at(&truth.tail));
        let truth_here = Reference { rounded: &rounded, tail: &tail };
        let converted = match &self.converted {
            Some(Product { rounded, tail }) => Reference { rounded, tail },
            None => truth_here,
        };
        let (sums, known) = match &self.sums {
            _ if precision.accumulator() == Format::Int32 => (Sums::Exact, true),
            None => (Sums::AsOutput, true),
            Some(sums) => (Sums::Before(sums), models),
        };
        let computed = self.rows_of(computed, truth);
        let Some(parts) = Parts::of(&computed, converted, truth_here, sums) else { return };
        record.conversion_error = Some(parts.conversion);
        if known {
            record.accumulation_error = Some(parts.accumulation);
            record.output_rounding_error = Some(parts.output_rounding);
            record.parts_over_error = parts.over_error;
        }
    }

    fn rows_of<T: Copy>(&self, entries: &[T], truth: &MatmulTruth) -> Vec<T> {
        super::rows_at(entries, &self.positions, truth.n)
    }
}

/// Whether an entry is joined from the two parts of a sum, and rounded by that.
fn joins_sums(precision: Precision) -> bool {
    matches!(precision, Precision::Fp16x2 | Precision::Bf16x3 | Precision::Fp32Comp)
}

/// Rows of the product of the converted operands: in f64, or exact.
fn product_of(precision: Precision, operands: &Operands, rows: &[usize], exact: bool) -> Product {
    let Operands { m, n, k, batch, .. } = *operands;
    let a = rows.par_iter().flat_map_iter(|&i| operands.values_of_a(precision, i));
    let a: Vec<f64> = a.collect();
    let row_of_b = |row: usize| operands.values_of_b(precision, row / k, row % k);
    let b: Vec<f64> = (0..batch * k).into_par_iter().flat_map_iter(row_of_b).collect();
    if exact {
        let entries = multiply_each_exactly(&a, &b, rows, [m, n, k]);
        let (rounded, tail) = entries.into_iter().map(|[rounded, tail]| (rounded, tail)).unzip();
        return Product { rounded, tail };
    }
    Product { rounded: multiply_each(&a, &b, rows, [m, n, k]), tail: vec![] }
}
