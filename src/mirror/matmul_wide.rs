//! Mirror of the matmul kernels of [`Precision::WIDE`], whose numbers have several parts or are f64,
//! and what the device `cpu` runs at these precisions. Each entry of C is summed over q = 0, 1, … in
//! order, as by every other kernel.
//!
//! An f64 fma is taken to be fused where that of f32 is: `gpu::double_differs` asks the device.

mod accumulate;
mod blocks;

use self::accumulate::{Accumulate, Bf16Triples, Compensated, Double, F16Pairs, F32Pairs, Number};
use self::blocks::{Numbers, run};
use super::convert::Operands;
use crate::number::{Arithmetic, Entries, Precision};
use crate::with_ops;

/// C = A·B as a device of this `arithmetic` computes it at `precision`, for the given rows of C
/// (`rows.len()`×n, row-major).
///
/// # Panics
/// If `precision` is none of [`Precision::WIDE`], or the operands were converted to another one.
pub fn multiply(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    rows: &[usize],
) -> Entries {
    with_sums(precision, arithmetic, operands, Rows { rows, finished: true })
}

/// One entry of C by the definition, product-add after product-add: what [`multiply`] must equal.
///
/// # Panics
/// As [`multiply`].
pub fn entry(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
) -> Entries {
    with_sums(precision, arithmetic, operands, Entry(i, j))
}

/// What [`multiply`] has before it rounds a sum to the format of C, each to the 53 bits of f64, for the
/// given rows of C. Where C has the format of its sums they are C.
///
/// # Panics
/// As [`multiply`].
pub fn sums(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    rows: &[usize],
) -> Vec<f64> {
    with_sums(precision, arithmetic, operands, Rows { rows, finished: false }).values()
}

/// How many additions of a product that is not 0 one entry of C takes, and how many of these leave its
/// sum as it was, every part of it. Once it is not finite, they are not counted.
///
/// # Panics
/// As [`multiply`].
pub fn absorbed(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    i: usize,
    j: usize,
) -> [u64; 2] {
    with_sums(precision, arithmetic, operands, Absorbed(i, j))
}

/// What is wanted of the sums of a precision, as a type, so that it is compiled for each.
trait Visit {
    type Output;
    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        operands: &Operands,
    ) -> Self::Output;
}

/// Rows of C, in blocks: as they are finished, or, to the 53 bits of f64, their sums before.
struct Rows<'a> {
    rows: &'a [usize],
    finished: bool,
}

impl Visit for Rows<'_> {
    type Output = Entries;

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        operands: &Operands,
    ) -> Entries {
        if self.finished {
            S::entries(run::<T, P, Q, S, _>(numbers, operands, self.rows, S::finished))
        } else {
            Entries::Double(run::<T, P, Q, S, _>(numbers, operands, self.rows, S::value))
        }
    }
}

/// One entry, by the definition.
struct Entry(usize, usize);

impl Visit for Entry {
    type Output = Entries;

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        operands: &Operands,
    ) -> Entries {
        let last = additions::<T, P, Q, S>(numbers, operands, (self.0, self.1)).last();
        let sum = last.map_or([T::default(); Q], |(_, [_, sum])| sum);
        S::entries(vec![S::finished(sum)])
    }
}

/// The additions of one entry.
struct Absorbed(usize, usize);

impl Visit for Absorbed {
    type Output = [u64; 2];

    fn visit<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
        self,
        numbers: Numbers<'_, T, P>,
        operands: &Operands,
    ) -> [u64; 2] {
        additions::<T, P, Q, S>(numbers, operands, (self.0, self.1))
            .take_while(|(_, [_, sum])| S::value(*sum).is_finite())
            .filter(|(factors, _)| factors.iter().all(|x| x.iter().any(|x| *x != T::default())))
            .fold([0, 0], |[all, absorbed], (_, [before, sum])| {
                [all + 1, absorbed + u64::from(before == sum)]
            })
    }
}

/// The two factors of each product of one entry, and its sum as it was and is.
fn additions<T: Number, const P: usize, const Q: usize, S: Accumulate<T, P, Q>>(
    numbers: Numbers<'_, T, P>,
    operands: &Operands,
    (i, j): (usize, usize),
) -> impl Iterator<Item = ([[T; P]; 2], [[T; Q]; 2])> {
    (0..operands.k).scan([T::default(); Q], move |sum, q| {
        let (at_a, at_b) = (operands.place_in_a(i, q), operands.place_in_b(i / operands.m, q, j));
        let (a, b) = (numbers.map(|[a, _]| a[at_a]), numbers.map(|[_, b]| b[at_b]));
        let before = *sum;
        *sum = S::step(before, a, b);
        Some(([a, b], [before, *sum]))
    })
}

fn with_sums<V: Visit>(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    visit: V,
) -> V::Output {
    let Operands { a, b, lower_a, lower_b, .. } = operands;
    let parts =
        |p: usize| if p == 0 { [&a[..], b] } else { [&lower_a[p - 1][..], &lower_b[p - 1]] };
    match precision {
        Precision::Fp16x2 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 2, 2, F16Pairs<O>>([0, 1].map(parts), operands)
        }),
        Precision::Bf16x3 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 3, 2, Bf16Triples<O>>([0, 1, 2].map(parts), operands)
        }),
        Precision::Fp32Comp => with_ops!(arithmetic, O => {
            visit.visit::<f32, 1, 2, Compensated<O>>([0].map(parts), operands)
        }),
        Precision::Fp32x2 => with_ops!(arithmetic, O => {
            visit.visit::<f32, 2, 2, F32Pairs<O>>([0, 1].map(parts), operands)
        }),
        Precision::Fp64 => {
            let numbers = [[&operands.a_f64[..], &operands.b_f64]];
            if arithmetic.fused_fma {
                visit.visit::<f64, 1, 1, Double<true>>(numbers, operands)
            } else {
                visit.visit::<f64, 1, 1, Double<false>>(numbers, operands)
            }
        }
        other => panic!("{other} is no precision of this mirror"),
    }
}

#[cfg(test)]
mod tests {
    use super::accumulate::two_product;
    use super::*;
    use crate::number::arithmetic::two_sum;
    use crate::problem::layout::{Layout, Stored};
    use crate::problem::matrix::{Distribution, MatmulProblem, Matrix};

    #[test]
    fn blocks_equal_the_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 35, 3), (5, 16, 9), (9, 17, 33), (3, 3, 1100)] {
            let mut p = MatmulProblem::generate(Distribution::Normal, m, n, k, 9).unwrap();
            p.a.data.iter_mut().step_by(3).for_each(|x| *x *= 1e-38);
            for precision in Precision::WIDE {
                for arithmetic in Arithmetic::each() {
                    let o = Operands::convert(precision, arithmetic, &p.a, &p.b, [0, 0]);
                    let rows: Vec<_> = (0..m).rev().collect();
                    let c = multiply(precision, arithmetic, &o, &rows);
                    for (r, &i) in rows.iter().enumerate() {
                        for j in 0..n {
                            let expected = entry(precision, arithmetic, &o, i, j);
                            let got = c.rows(&[r * n + j], 1);
                            let what = format!("{precision} {m}x{n}x{k} at {i},{j}");
                            assert!(got.same_bits(&expected), "{what}: {got:?} {expected:?}");
                        }
                    }
                }
            }
        }
    }

    /// A layout changes where numbers lie, and no bit of C, by the blocks or by the definition.
    #[test]
    fn a_layout_changes_no_bit() {
        let (distribution, shape) = (Distribution::Normal, [5, 19, 33]);
        let p = MatmulProblem::generate_batch_within(distribution, shape, 2, 9, u64::MAX).unwrap();
        let rows = [9, 0, 4, 6];
        for precision in Precision::WIDE {
            let arithmetic = Arithmetic::host();
            let operands = Layout::ALL.map(|layout| {
                let stored = Stored::new(layout, 2, &p.a, &p.b);
                Operands::convert_stored(precision, arithmetic, &stored, [0, 0])
            });
            let [c, transposed @ ..] =
                operands.each_ref().map(|o| multiply(precision, arithmetic, o, &rows));
            for (layout, (other, o)) in
                Layout::ALL[1..].iter().zip(transposed.iter().zip(&operands[1..]))
            {
                assert!(other.same_bits(&c), "{precision} {layout}");
                for (r, &i) in rows.iter().enumerate() {
                    let expected = entry(precision, arithmetic, o, i, 17);
                    let told = format!("{precision} {layout} row {i}");
                    assert!(c.rows(&[r * shape[1] + 17], 1).same_bits(&expected), "{told}");
                }
            }
        }
    }

    /// Row i of product p is row p·m + i, with B of its own.
    #[test]
    fn batches_are_their_products() {
        let (distribution, shape) = (Distribution::Normal, [5, 19, 33]);
        let p = MatmulProblem::generate_batch_within(distribution, shape, 3, 9, u64::MAX).unwrap();
        let [m, n, k] = shape;
        for precision in Precision::WIDE {
            let arithmetic = Arithmetic::host();
            let stored = Stored::new(Layout::Nn, 3, &p.a, &p.b);
            let all = Operands::convert_stored(precision, arithmetic, &stored, [0, 0]);
            let rows = [1, 4, 6, 11, 14];
            let c = multiply(precision, arithmetic, &all, &rows);
            for (r, i) in rows.into_iter().enumerate() {
                let product = i / m;
                let part = |x: &Matrix, rows: usize| {
                    let data = x.data[product * rows * x.cols..][..rows * x.cols].to_vec();
                    Matrix { rows, cols: x.cols, data }
                };
                let (a, b) = (part(&p.a, m), part(&p.b, k));
                let one = Operands::convert(precision, arithmetic, &a, &b, [0, 0]);
                let expected = multiply(precision, arithmetic, &one, &[i % m]);
                assert!(c.rows(&[r], n).same_bits(&expected), "{precision} row {i}");
                let last = entry(precision, arithmetic, &all, i, n - 1);
                assert!(c.rows(&[r * n + n - 1], 1).same_bits(&last), "{precision} row {i}");
            }
        }
    }

    /// hi + lo is the exact sum or product, of numbers of any size that keeps the error normal.
    #[test]
    fn errors_are_exact_under_either_fma() {
        let p = MatmulProblem::generate(Distribution::Normal, 64, 1, 64, 4).unwrap();
        for (e, pair) in p.a.data.windows(2).enumerate() {
            let scale = 2f32.powi(e as i32 % 41 - 20);
            let (a, b) = (pair[0] * scale, pair[1]);
            for arithmetic in Arithmetic::each() {
                with_ops!(arithmetic, O => {
                    let [hi, lo] = two_product::<O>(a, b);
                    assert_eq!(hi, a * b);
                    let exact = f64::from(a) * f64::from(b);
                    assert_eq!(f64::from(hi) + f64::from(lo), exact, "{a} · {b}");
                    let [hi, lo] = two_sum::<O>(a, b);
                    assert_eq!(hi, a + b);
                    // What the f64 sum of the two leaves is 0: they span fewer than 53 bits.
                    assert_eq!(f64::from(hi) + f64::from(lo), f64::from(a) + f64::from(b));
                });
            }
        }
    }
}
