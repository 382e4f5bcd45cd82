//! Properties of the mirrors of matmul: conversions against the definitions of the formats, and
//! products of any shape, in blocks and threads, against the definition of one entry.

use half::{bf16, f16};
use proptest::prelude::*;
use tradeoff::mirror::convert::Operands;
use tradeoff::mirror::matmul::{entry, multiply};
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::matrix::{Distribution, MatmulProblem, Matrix};

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

    /// The whole of C, and any rows of it in any order, block by block.
    #[test]
    fn products_equal_their_definition(
        (m, n, k) in (1usize..=70, 1usize..=40, 1usize..=80),
        precision in prop::sample::select(&Precision::MATMUL[..]),
        arithmetic in arithmetics(),
        key: [u32; 2],
        picked in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let problem =
            MatmulProblem::generate(Distribution::Normal, m, n, k, key[0].into()).unwrap();
        let o = Operands::convert(precision, arithmetic, &problem.a, &problem.b, key);
        let some: Vec<_> = picked.iter().map(|index| index.index(m)).collect();
        for rows in [(0..m).collect(), some] {
            let c = multiply(precision, arithmetic, &o, &rows, key);
            prop_assert_eq!(c.len(), rows.len() * n);
            for (e, &got) in c.iter().enumerate() {
                let (i, j) = (rows[e / n], e % n);
                let expected = entry(precision, arithmetic, &o, i, j, key);
                prop_assert!(got == expected, "C[{i}, {j}] is {got:e}, by definition {expected:e}");
            }
        }
    }
}
