//! What converted operands stand for: where each number lies, and its value in f64, which holds it
//! exactly. The product of these values is what a product kernel computes but for its sums.

use super::Operands;
use crate::number::block::BLOCK;
use crate::number::{Format, Precision};

impl Operands {
    /// Where A[i, q] lies, i a row of all products.
    #[inline(always)]
    pub fn place_in_a(&self, i: usize, q: usize) -> usize {
        let Self { m, k, .. } = *self;
        if self.layout.a_transposed() { (i / m * k + q) * m + i % m } else { i * k + q }
    }

    /// Where B[q, j] of product `p` lies.
    #[inline(always)]
    pub fn place_in_b(&self, p: usize, q: usize, j: usize) -> usize {
        let Self { n, k, .. } = *self;
        if self.layout.b_transposed() { (p * n + j) * k + q } else { (p * k + q) * n + j }
    }

    /// The k numbers of row `i` of A, of all products, where the operands were converted to
    /// `precision`: parts added up, integers and elements of blocks times their scales.
    ///
    /// # Panics
    /// If there is no such row, or they were converted to another precision.
    pub fn values_of_a(&self, precision: Precision, i: usize) -> Vec<f64> {
        let side = Side { first: &self.a, lower: &self.lower_a, wide: &self.a_f64 };
        let blocks = self.k.div_ceil(BLOCK);
        let scale = |q: usize| match precision.storage() {
            Format::Int8 => shared(&self.step_a, i),
            format if format.is_blocked() => self.scale_a[i * blocks + q / BLOCK],
            _ => 1.0,
        };
        let value = |q| side.number(precision, self.place_in_a(i, q)) * f64::from(scale(q));
        (0..self.k).map(value).collect()
    }

    /// Row `q` of B of product `p`, n numbers, as [`Operands::values_of_a`].
    ///
    /// # Panics
    /// As [`Operands::values_of_a`].
    pub fn values_of_b(&self, precision: Precision, p: usize, q: usize) -> Vec<f64> {
        let side = Side { first: &self.b, lower: &self.lower_b, wide: &self.b_f64 };
        let blocks = self.k.div_ceil(BLOCK);
        let scale = |j: usize| match precision.storage() {
            Format::Int8 => shared(&self.step_b, p * self.n + j),
            format if format.is_blocked() => self.scale_b[(p * blocks + q / BLOCK) * self.n + j],
            _ => 1.0,
        };
        let value = |j| side.number(precision, self.place_in_b(p, q, j)) * f64::from(scale(j));
        (0..self.n).map(value).collect()
    }
}

/// The step of vector `i`, where one may serve all.
fn shared(steps: &[f32], i: usize) -> f32 {
    steps[if steps.len() == 1 { 0 } else { i }]
}

/// One operand, in whichever of its forms.
struct Side<'a> {
    first: &'a [f32],
    lower: &'a [Vec<f32>],
    wide: &'a [f64],
}

impl Side<'_> {
    /// The number at a place, without its scale. A sum of parts has as many bits as they have between
    /// them: at most 53.
    fn number(&self, precision: Precision, place: usize) -> f64 {
        if let Some(&x) = self.wide.get(place) {
            return x;
        }
        let weight = if precision.storage() == Format::F16x2 { 1.0 / 2048.0 } else { 1.0 };
        let lower = self.lower.iter().map(|part| weight * f64::from(part[place]));
        lower.fold(self.first[place].into(), |sum, part| sum + part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Guarantee, matmul_bound};
    use crate::number::Arithmetic;
    use crate::problem::layout::{Layout, Stored};
    use crate::problem::matrix::{Distribution, MatmulProblem};

    /// Each value is the number that was converted, within what the bound allows its conversion: at
    /// every precision, in every layout and batch that it is computed in.
    #[test]
    fn values_are_the_numbers_within_their_conversion() {
        let (m, n, k, batch) = (5, 7, 70, 2);
        let p = MatmulProblem::generate_batch_within(
            Distribution::Normal,
            [m, n, k],
            batch,
            3,
            u64::MAX,
        )
        .unwrap();
        let arithmetic = Arithmetic::host();
        let one = MatmulProblem::generate(Distribution::Normal, m, n, k, 3).unwrap();
        for precision in Precision::matmul() {
            for (layout, batch) in Layout::ALL.into_iter().flat_map(|l| [(l, 1), (l, 2)]) {
                let p = if batch == 1 { &one } else { &p };
                let stored = Stored::new(layout, batch, &p.a, &p.b);
                let o = Operands::convert_stored(precision, arithmetic, &stored, [1, 2]);
                let guarantee = Guarantee::of(arithmetic, true);
                let bound = matmul_bound(precision, k, &o.step_a, &o.step_b, guarantee).unwrap();
                let told = format!("{precision} {layout} {batch}");
                for i in 0..batch * m {
                    let c = &bound.inputs().conversion_a;
                    for (x, value) in p.a.row(i).iter().zip(o.values_of_a(precision, i)) {
                        assert!(c.allows(i, (*x).into(), value), "{told} A {i}: {x} {value}");
                    }
                }
                for (row, (product, q)) in
                    (0..batch).flat_map(|p| (0..k).map(move |q| (p, q))).enumerate()
                {
                    let c = &bound.inputs().conversion_b;
                    let values = o.values_of_b(precision, product, q);
                    for (j, (x, value)) in p.b.row(row).iter().zip(values).enumerate() {
                        let allows = c.allows(product * n + j, (*x).into(), value);
                        assert!(allows, "{told} B {q},{j}: {x} {value}");
                    }
                }
            }
        }
    }
}
