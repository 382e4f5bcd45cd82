//! Properties of the mirrors of matmul: conversions against the definitions of the formats, and
//! products of any shape, in blocks and threads, against the definition of one entry.

use half::{bf16, f16};
use proptest::prelude::*;
use tradeoff::mirror::convert::Operands;
use tradeoff::mirror::matmul::{entry, multiply, multiply_in_slices};
use tradeoff::number::arithmetic::Ops;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::layout::{Layout, Stored};
use tradeoff::problem::matrix::{Distribution, MatmulProblem, Matrix};
use tradeoff::with_ops;

/// Roundings, in units of 2^-24, between x and the number that is rounded to an integer: the scale,
/// its reciprocal and their product with x. As in the bound of int8 (`tradeoff::error`).
const INT8_UNITS: f64 = 16.0 / 16_777_216.0;

fn kept(fused_fma: bool) -> Arithmetic {
    Arithmetic { fused_fma, flush_f32_subnormals: false, flush_f16_subnormals: false }
}

fn arithmetics() -> impl Strategy<Value = Arithmetic> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(fused_fma, flush_f32_subnormals, flush_f16_subnormals)| Arithmetic {
            fused_fma,
            flush_f32_subnormals,
            flush_f16_subnormals,
        },
    )
}

/// Any finite f32: each exponent is as likely as any other.
fn finite() -> impl Strategy<Value = f32> {
    use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO, -100f32..100.0]
}

/// `batch` products of a shape [m, n, k], standard normal.
/// The matmul precisions whose sums are single numbers of f32.
fn single() -> Vec<Precision> {
    Precision::matmul().filter(|precision| !precision.is_wide()).collect()
}

fn problem(shape: [usize; 3], batch: usize, seed: u32) -> MatmulProblem {
    let (normal, budget) = (Distribution::Normal, u64::MAX);
    MatmulProblem::generate_batch_within(normal, shape, batch, seed.into(), budget).unwrap()
}

fn matrix(element: impl Strategy<Value = f32>) -> impl Strategy<Value = Matrix> {
    let any_of = prop::collection::vec(element, 1..=60);
    (any_of, 1usize..=10).prop_map(|(mut data, cols)| {
        let cols = cols.min(data.len());
        let rows = data.len() / cols;
        data.truncate(rows * cols);
        Matrix { rows, cols, data }
    })
}

/// Another matrix that a product of A with it exists.
fn beside(a: &Matrix) -> Matrix {
    Matrix { rows: a.cols, cols: a.rows, data: a.data.clone() }
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits()
}

/// What an entry of A stands for once converted: q and its step.
fn quantized(o: &Operands, e: usize) -> (f64, f64) {
    let row = e / o.k;
    (f64::from(o.a[e]), f64::from(o.step_a[if o.step_a.len() == 1 { 0 } else { row }]))
}

proptest! {
    #[test]
    fn sixteen_bit_operands_are_the_nearest(a in matrix(finite())) {
        let b = beside(&a);
        let convert =
            |precision| Operands::convert(precision, kept(true), &a, &b, [0, 0]);
        for precision in [Precision::Fp16, Precision::Fp16Acc16, Precision::Fp16Sr] {
            let o = convert(precision);
            for (&x, got) in a.data.iter().chain(&b.data).zip(o.a.iter().chain(&o.b)) {
                prop_assert!(same(*got, f16::from_f32(x).to_f32()), "{x:e} became {got:e}");
            }
        }
        let o = convert(Precision::Bf16);
        for (&x, got) in a.data.iter().chain(&b.data).zip(o.a.iter().chain(&o.b)) {
            prop_assert!(same(*got, bf16::from_f32(x).to_f32()), "{x:e} became {got:e}");
        }
        let o = convert(Precision::Fp32);
        prop_assert!(o.a == a.data && o.b == b.data);
    }

    /// Integers in range, the largest of a scale at its end, and no further from x than the
    /// rounding allows: half a step to nearest, one step stochastically.
    #[test]
    fn int8_operands_are_within_their_step(
        a in matrix(finite()),
        fused: bool,
        rowwise: bool,
        stochastic: bool,
        key: [u32; 2],
    ) {
        let precision = match (stochastic, rowwise) {
            (false, false) => Precision::Int8,
            (false, true) => Precision::Int8Rowwise,
            (true, false) => Precision::Int8Sr,
            (true, true) => Precision::Int8SrRowwise,
        };
        let o = Operands::convert(precision, kept(fused), &a, &beside(&a), key);
        prop_assert_eq!(o.step_a.len(), if rowwise { a.rows } else { 1 });
        for (e, &x) in a.data.iter().enumerate() {
            let (q, step) = quantized(&o, e);
            prop_assert!(q.fract() == 0.0 && q.abs() <= 127.0, "{q}");
            let off = (f64::from(x) - q * step).abs();
            let allowed = if stochastic { 1.0 } else { 0.5 };
            let most = allowed * step + INT8_UNITS * f64::from(x.abs());
            prop_assert!(off <= most, "{x:e}: {q} of {step:e} is off by {off:e}, over {most:e}");
            prop_assert!(q == 0.0 || (q > 0.0) == (x > 0.0), "{x:e} became {q}");
        }
        let vectors: Vec<_> = a.data.chunks(if rowwise { a.cols } else { a.data.len() }).collect();
        for (vector, q) in vectors.iter().zip(o.a.chunks(vectors[0].len())) {
            let largest = vector.iter().fold(0f32, |m, x| m.max(x.abs()));
            // Below that, one step stands for more.
            if largest >= 2f32.powi(-99) && !stochastic {
                let reached = q.iter().fold(0f32, |m, q| m.max(q.abs()));
                prop_assert_eq!(reached, 127.0, "of a largest {:e}", largest);
            }
        }
    }

    #[test]
    fn int8_treats_signs_alike(a in matrix(finite()), key: [u32; 2]) {
        let negated = Matrix { data: a.data.iter().map(|x| -x).collect(), ..a.clone() };
        for precision in [Precision::Int8, Precision::Int8Sr, Precision::Int8SrRowwise] {
            let convert =
                |a: &Matrix| Operands::convert(precision, kept(true), a, &beside(a), key);
            let (o, mirrored) = (convert(&a), convert(&negated));
            prop_assert!(o.a.iter().zip(&mirrored.a).all(|(q, r)| *q == -r));
            prop_assert_eq!(o.step_a, mirrored.step_a);
        }
    }

    /// The whole of C, and any rows of it in any order, block by block, of operands in any layout and of
    /// any number of products.
    #[test]
    fn products_equal_their_definition(
        (m, n, k) in (1usize..=70, 1usize..=40, 1usize..=80),
        layout in prop::sample::select(&Layout::ALL[..]),
        batch in 1usize..=3,
        precision in prop::sample::select(single()),
        arithmetic in arithmetics(),
        key: [u32; 2],
        picked in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let problem = problem([m, n, k], batch, key[0]);
        let stored = Stored::new(layout, batch, &problem.a, &problem.b);
        let o = Operands::convert_stored(precision, arithmetic, &stored, key);
        let some: Vec<_> = picked.iter().map(|index| index.index(batch * m)).collect();
        for rows in [(0..batch * m).collect(), some] {
            let c = multiply(precision, arithmetic, &o, &rows, key);
            prop_assert_eq!(c.len(), rows.len() * n);
            for (e, &got) in c.iter().enumerate() {
                let (i, j) = (rows[e / n], e % n);
                let expected = entry(precision, arithmetic, &o, i, j, key);
                prop_assert!(got == expected, "C[{i}, {j}] is {got:e}, by definition {expected:e}");
            }
        }
    }

    /// Scales and random bits of fp8 and of the formats with blocks belong to rows of A and columns of B: a
    /// layout changes no bit of C.
    #[test]
    fn a_layout_changes_no_bit_of_a_narrow_product(
        (m, n, k) in (1usize..=20, 1usize..=20, 1usize..=80),
        layout in prop::sample::select(&Layout::ALL[..]),
        batch in 1usize..=3,
        precision in prop::sample::select(Precision::NARROW[1..].to_vec()),
        arithmetic in arithmetics(),
        key: [u32; 2],
    ) {
        let problem = problem([m, n, k], batch, key[0]);
        let product = |layout| {
            let stored = Stored::new(layout, batch, &problem.a, &problem.b);
            let o = Operands::convert_stored(precision, arithmetic, &stored, key);
            let rows: Vec<_> = (0..batch * m).collect();
            multiply(precision, arithmetic, &o, &rows, key)
        };
        prop_assert_eq!(product(layout), product(Layout::Nn), "{}", precision);
    }

    /// A layout and a batch change where numbers lie, not what is computed: what is converted to nearest
    /// gives each product the bits that it has alone, if its scale is its own.
    #[test]
    fn a_product_of_a_batch_equals_the_same_product_alone(
        (m, n, k) in (1usize..=20, 1usize..=20, 1usize..=50),
        layout in prop::sample::select(&Layout::ALL[..]),
        precision in prop::sample::select(vec![
            Precision::Fp32, Precision::Fp16, Precision::Fp16Acc16, Precision::Bf16,
            Precision::Int8Rowwise, Precision::Fp8E4m3, Precision::Fp8E5m2, Precision::Mxfp8,
            Precision::Mxint8, Precision::Int4,
        ]),
        arithmetic in arithmetics(),
        key: [u32; 2],
    ) {
        let problem = problem([m, n, k], 3, key[0]);
        let stored = Stored::new(layout, 3, &problem.a, &problem.b);
        let all = Operands::convert_stored(precision, arithmetic, &stored, key);
        let all = multiply(precision, arithmetic, &all, &(0..3 * m).collect::<Vec<_>>(), key);
        for p in 0..3 {
            let part = |matrix: &Matrix, rows: usize| Matrix {
                rows,
                cols: matrix.cols,
                data: matrix.data[p * rows * matrix.cols..][..rows * matrix.cols].to_vec(),
            };
            let (a, b) = (part(&problem.a, m), part(&problem.b, k));
            let alone = Operands::convert(precision, arithmetic, &a, &b, key);
            let alone = multiply(precision, arithmetic, &alone, &(0..m).collect::<Vec<_>>(), key);
            prop_assert_eq!(&all[p * m * n..][..m * n], &alone[..]);
        }
    }

    /// Each slice as a product of its own, for which all else of A is zero, and then the tree.
    #[test]
    fn slices_equal_their_definition(
        (m, n, k) in (1usize..=9, 1usize..=20, 1usize..=300),
        layout in prop::sample::select(&Layout::ALL[..]),
        power in 0u32..=4,
        precision in prop::sample::select(vec![Precision::Fp32, Precision::Fp16, Precision::Bf16]),
        arithmetic in arithmetics(),
        key: [u32; 2],
    ) {
        let slices = 1 << power;
        let problem = problem([m, n, k], 1, key[0]);
        let stored = Stored::new(layout, 1, &problem.a, &problem.b);
        let o = Operands::convert_stored(precision, arithmetic, &stored, key);
        let rows: Vec<_> = (0..m).collect();
        let c = multiply_in_slices(precision, arithmetic, &o, slices as u32, &rows, key);
        let length = k.div_ceil(32 * slices) * 32;
        let alone = |slice: usize| {
            let mut a = problem.a.clone();
            for (e, x) in a.data.iter_mut().enumerate() {
                if (e % k) / length != slice {
                    *x = 0.0;
                }
            }
            Operands::convert(precision, arithmetic, &a, &problem.b, key)
        };
        let alone: Vec<_> = (0..slices).map(alone).collect();
        for (e, &got) in c.iter().enumerate() {
            let sum = |o: &Operands| entry(precision, arithmetic, o, e / n, e % n, key);
            let mut sums: Vec<f32> = alone.iter().map(sum).collect();
            while sums.len() > 1 {
                let half = sums.len() / 2;
                let sum = |i: usize| with_ops!(arithmetic, O => O::add(sums[i], sums[i + half]));
                sums = (0..half).map(sum).collect();
            }
            prop_assert!(got == sums[0], "entry {e} is {got:e}, by definition {:e}", sums[0]);
        }
    }
}
