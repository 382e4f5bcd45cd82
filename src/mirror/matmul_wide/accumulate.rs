//! How each of these precisions adds a product to a sum, operation by operation as
//! `kernels/shared/two_sum.wgsl`, `two_product.wgsl` beside it and `kernels/matmul/accumulate_*` do it.

use std::marker::PhantomData;

use crate::number::Entries;
use crate::number::arithmetic::{Ops, two_sum};

/// f32 or f64.
pub(super) trait Number: Copy + Default + PartialEq + Send + Sync {}

impl Number for f32 {}
impl Number for f64 {}

/// How a product is added to a sum: numbers of `P` parts of type `T`, sums of `Q`.
pub(super) trait Accumulate<T, const P: usize, const Q: usize> {
    /// What a finished sum is.
    type Entry: Copy + Default + Send + Sync;
    /// sum + a·b.
    fn step(sum: [T; Q], a: [T; P], b: [T; P]) -> [T; Q];
    /// The entry of C.
    fn finished(sum: [T; Q]) -> Self::Entry;
    /// The sum before it becomes an entry.
    fn value(sum: [T; Q]) -> f64;
    /// Entries in the format that says what they are.
    fn entries(entries: Vec<Self::Entry>) -> Entries;
}

/// The upper 12 bits of a significand.
#[inline(always)]
fn upper(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0xffff_f000)
}

/// a·b and what its rounding leaves (Dekker).
#[inline(always)]
pub(super) fn two_product<O: Ops>(a: f32, b: f32) -> [f32; 2] {
    let product = O::mul(a, b);
    let (a_hi, b_hi) = (upper(a), upper(b));
    let (a_lo, b_lo) = (O::add(a, -a_hi), O::add(b, -b_hi));
    let error = O::fma(a_hi, b_lo, O::fma(a_hi, b_hi, -product));
    [product, O::fma(a_lo, b_lo, O::fma(a_lo, b_hi, error))]
}

/// fp32-comp: the plain sum, and the sum of all that roundings left.
pub(super) struct Compensated<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 1, 2> for Compensated<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], [a]: [f32; 1], [b]: [f32; 1]) -> [f32; 2] {
        let [product, product_error] = two_product::<O>(a, b);
        let [sum, sum_error] = two_sum::<O>(hi, product);
        [sum, O::add(lo, O::add(sum_error, product_error))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::add(hi, lo)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

/// fp32x2.
pub(super) struct F32Pairs<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 2, 2> for F32Pairs<O> {
    type Entry = [f32; 2];

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
        let [product, error] = two_product::<O>(a[0], b[0]);
        let lower = O::fma(a[1], b[0], O::fma(a[0], b[1], error));
        let [sum, sum_error] = two_sum::<O>(hi, product);
        two_sum::<O>(sum, O::add(lo, O::add(sum_error, lower)))
    }

    #[inline(always)]
    fn finished(sum: [f32; 2]) -> [f32; 2] {
        sum
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Pair(entries)
    }
}

/// fp16x2: the sum of the products of upper parts, and of the mixed ones times 2¹¹.
pub(super) struct F16Pairs<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 2, 2> for F16Pairs<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
        [O::fma(a[0], b[0], hi), O::fma(a[0], b[1], O::fma(a[1], b[0], lo))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::fma(lo, 1.0 / 2048.0, hi)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo) / 2048.0
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

/// bf16x3: the sum of the products of first parts, and of the five next ones.
pub(super) struct Bf16Triples<O>(PhantomData<O>);

impl<O: Ops> Accumulate<f32, 3, 2> for Bf16Triples<O> {
    type Entry = f32;

    #[inline(always)]
    fn step([hi, lo]: [f32; 2], a: [f32; 3], b: [f32; 3]) -> [f32; 2] {
        let smallest = O::fma(a[2], b[0], O::fma(a[0], b[2], O::fma(a[1], b[1], lo)));
        [O::fma(a[0], b[0], hi), O::fma(a[1], b[0], O::fma(a[0], b[1], smallest))]
    }

    #[inline(always)]
    fn finished([hi, lo]: [f32; 2]) -> f32 {
        O::add(hi, lo)
    }

    #[inline(always)]
    fn value([hi, lo]: [f32; 2]) -> f64 {
        f64::from(hi) + f64::from(lo)
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Single(entries)
    }
}

/// fp64.
pub(super) struct Double<const FUSED: bool>;

impl<const FUSED: bool> Accumulate<f64, 1, 1> for Double<FUSED> {
    type Entry = f64;

    #[inline(always)]
    fn step([sum]: [f64; 1], [a]: [f64; 1], [b]: [f64; 1]) -> [f64; 1] {
        [if FUSED { a.mul_add(b, sum) } else { a * b + sum }]
    }

    #[inline(always)]
    fn finished([sum]: [f64; 1]) -> f64 {
        sum
    }

    #[inline(always)]
    fn value([sum]: [f64; 1]) -> f64 {
        sum
    }

    fn entries(entries: Vec<Self::Entry>) -> Entries {
        Entries::Double(entries)
    }
}
