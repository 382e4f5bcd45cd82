//! The bounds against hand-computed values, and against plain-Rust products at every precision.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorMetrics;
use crate::mirror::convert::Operands;
use crate::number::arithmetic::Ops;
use crate::number::block::BLOCK;
use crate::number::{Scaling, philox, round};
use crate::problem::matrix::{Distribution, MatmulProblem, Matrix};
use crate::with_ops;

const IEEE: Guarantee =
    Guarantee { rounds_to_nearest: true, flush_f32_subnormals: false, flush_f16_subnormals: false };

fn problem(m: usize, n: usize, k: usize, seed: u64) -> MatmulProblem {
    MatmulProblem::generate(Distribution::Normal, m, n, k, seed).unwrap()
}

/// How the f32 operations of a product behave.
#[derive(Clone, Copy, Debug)]
struct Device {
    arithmetic: Arithmetic,
    /// Toward zero instead of to nearest (neither flushed nor fused then).
    toward_zero: bool,
}

impl Device {
    fn guarantee(self) -> Guarantee {
        Guarantee::of(self.arithmetic, !self.toward_zero)
    }

    /// acc + a·b.
    fn step(self, a: f32, b: f32, acc: f32) -> f32 {
        if self.toward_zero {
            return add_toward_zero(acc, mul_toward_zero(a, b));
        }
        with_ops!(self.arithmetic, O => O::fma(a, b, acc))
    }

    /// a·b.
    fn mul(self, a: f32, b: f32) -> f32 {
        if self.toward_zero {
            return mul_toward_zero(a, b);
        }
        with_ops!(self.arithmetic, O => O::mul(a, b))
    }
}

fn shrink(rounded: f32, away: bool) -> f32 {
    if away { f32::from_bits(rounded.to_bits() - 1) } else { rounded }
}

fn mul_toward_zero(a: f32, b: f32) -> f32 {
    let exact = f64::from(a) * f64::from(b);
    let rounded = exact as f32;
    shrink(rounded, f64::from(rounded).abs() > exact.abs())
}

/// By TwoSum (Knuth): the rounded sum and its exact error.
fn add_toward_zero(a: f32, b: f32) -> f32 {
    let sum = a + b;
    let virtual_b = sum - a;
    let error = (a - (sum - virtual_b)) + (b - virtual_b);
    shrink(sum, sum != 0.0 && error != 0.0 && (error < 0.0) == (sum > 0.0))
}

/// Ĉ of a precision by sequential loops, and the scales it used.
struct Computed {
    c: Vec<f32>,
    scales: [Vec<f32>; 2],
}

fn compute(precision: Precision, p: &MatmulProblem, device: Device, seed: u32) -> Computed {
    match precision.storage() {
        Format::Int8 => compute_int8(precision, p, device, seed),
        format if format.is_blocked() || format.fp8().is_some() => {
            compute_narrow(precision, p, device, seed)
        }
        _ => {
            let convert = |x: f32| match precision.storage() {
                Format::F16 => {
                    let bits = half::f16::from_f32(x).to_bits();
                    round::f16_unpack(bits, device.arithmetic.flush_f16_subnormals)
                }
                Format::Bf16 => half::bf16::from_f32(x).to_f32(),
                _ => x,
            };
            let c = entries(p, |i, j| {
                p.a.row(i).iter().zip(p.b.column(j)).enumerate().fold(0.0, |acc, (q, (&a, b))| {
                    let sum = device.step(convert(a), convert(b), acc);
                    match (precision.accumulator(), precision.rounding()) {
                        (Format::F16, Rounding::Nearest) => round::f16_nearest(sum),
                        (Format::F16, Rounding::Stochastic) => {
                            round::f16_stochastic(sum, random([i, j, q], seed))
                        }
                        (Format::Bf16, _) => {
                            round::bf16_unpack(round::bf16_stochastic(sum, random([i, j, q], seed)))
                        }
                        _ => sum,
                    }
                })
            });
            Computed { c, scales: [vec![], vec![]] }
        }
    }
}

fn compute_int8(precision: Precision, p: &MatmulProblem, device: Device, seed: u32) -> Computed {
    let scale = |x: &mut dyn Iterator<Item = f32>| x.fold(0f32, |max, x| max.max(x.abs())) / 127.0;
    let scales = match precision.scaling() {
        Some(Scaling::Rowwise) => [
            (0..p.m).map(|i| scale(&mut p.a.row(i).iter().copied())).collect(),
            (0..p.n).map(|j| scale(&mut p.b.column(j))).collect(),
        ],
        _ => [&p.a, &p.b].map(|x| vec![scale(&mut x.data.iter().copied())]),
    };
    let at = |scales: &[f32], i: usize| if scales.len() == 1 { scales[0] } else { scales[i] };
    let quantize = |x: f32, scale: f32, place: [usize; 3]| {
        round::integer(device.mul(x, 1.0 / scale), precision.rounding(), random(place, seed), 127)
    };
    let c = entries(p, |i, j| {
        let (scale_a, scale_b) = (at(&scales[0], i), at(&scales[1], j));
        let a = p.a.row(i).iter().enumerate().map(|(q, &x)| quantize(x, scale_a, [i, q, 1]));
        let b = p.b.column(j).enumerate().map(|(q, x)| quantize(x, scale_b, [q, j, 2]));
        let sum: i32 = a.zip(b).map(|(a, b)| a * b).sum();
        device.mul(device.mul(sum as f32, scale_a), scale_b)
    });
    Computed { c, scales }
}

/// Converted as the mirror does, which the vectors of `tests/oracle` hold to the formats; summed by
/// loops of its own.
fn compute_narrow(precision: Precision, p: &MatmulProblem, device: Device, seed: u32) -> Computed {
    let o = Operands::convert(precision, device.arithmetic, &p.a, &p.b, [seed, 0]);
    let blocks = p.k.div_ceil(BLOCK);
    let c = entries(p, |i, j| {
        let dot = |from: usize, to: usize| {
            (from..to).fold(0.0, |sum, q| device.step(o.a[i * p.k + q], o.b[q * p.n + j], sum))
        };
        if o.scale_a.is_empty() {
            return dot(0, p.k);
        }
        (0..blocks).fold(0.0, |sum, block| {
            let products = dot(block * BLOCK, p.k.min((block + 1) * BLOCK));
            let scaled = device.mul(products, o.scale_a[i * blocks + block]);
            device.step(scaled, o.scale_b[block * p.n + j], sum)
        })
    });
    Computed { c, scales: [o.step_a, o.step_b] }
}

fn random(place: [usize; 3], seed: u32) -> u32 {
    philox::philox4x32([place[0] as u32, place[1] as u32, place[2] as u32, 0], [seed, 0])[0]
}

fn entries(p: &MatmulProblem, entry: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..p.m * p.n).map(|e| entry(e / p.n, e % p.n)).collect()
}

fn bound_of(precision: Precision, p: &MatmulProblem, r: &Computed, guarantee: Guarantee) -> Bound {
    matmul_bound(precision, p.k, &r.scales[0], &r.scales[1], guarantee).unwrap()
}

/// Random shape, precision and arithmetic. The elements of each operand are ±2^low to
/// ±2^(low + spread), with low from below the subnormals of the storage format to where no sum
/// overflows, so that operands, scales and products underflow in some cases and not in others.
fn case() -> impl Strategy<Value = (Precision, MatmulProblem, Device, u32)> {
    let shape = (1usize..4, 1usize..4, 1usize..200, any::<u64>());
    let summed: Vec<_> = Precision::matmul().filter(|precision| !precision.is_wide()).collect();
    let place = (prop::sample::select(summed), 0.0f32..1.0, 0.0f32..1.0, 0.0f32..20.0);
    let device = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>());
    (shape, place, device).prop_map(|((m, n, k, seed), (precision, at_a, at_b, spread), device)| {
        // From k = 128 on, eight bits rounded stochastically have no bound.
        let k = if precision == Precision::Bf16Sr { 1 + k % 120 } else { k };
        // 200 products of at most 2^(low_a + low_b + 2·spread) stay below 65,504, or 2^127.
        let (low_a, low_b, spread) = match precision.storage() {
            Format::F16 => (-26.0 + at_a * 24.0, -26.0 + at_b * 24.0, spread / 5.0),
            // Some saturate.
            Format::E4m3 | Format::E5m2 => (-22.0 + at_a * 38.0, -22.0 + at_b * 38.0, spread / 4.0),
            _ => {
                let low_a = -148.0 + at_a * 158.0;
                (low_a, (-148.0 + at_b * 235.0).min(78.0 - low_a), spread)
            }
        };
        let mut p = problem(m, n, k, seed);
        for (x, low) in [(&mut p.a, low_a), (&mut p.b, low_b)] {
            for x in &mut x.data {
                let exponent = low + spread * (x.abs() / 4.0).min(1.0);
                *x = (f64::from(x.signum()) * f64::from(exponent).exp2()) as f32;
            }
        }
        let (fused_fma, flush_f32_subnormals, flush_f16_subnormals, toward_zero, seed) = device;
        let arithmetic = Arithmetic {
            fused_fma,
            flush_f32_subnormals: flush_f32_subnormals && !toward_zero,
            flush_f16_subnormals,
        };
        (precision, p, Device { arithmetic, toward_zero }, seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_product_exceeds_its_bound((precision, p, device, seed) in case()) {
        let truth = MatmulTruth::of(&p, None).unwrap();
        let computed = compute(precision, &p, device, seed);
        for guarantee in [device.guarantee(), Guarantee::PORTABLE] {
            let worst = bound_of(precision, &p, &computed, guarantee).worst(&computed.c, &truth);
            let worst = worst.unwrap();
            prop_assert!(worst.ratio <= 1.0, "{precision} {device:?} {guarantee:?} {worst:?}");
        }
    }

    /// From k = 2 on the bound exceeds the rounding of the seeded value to f32.
    #[test]
    fn an_error_of_twice_the_bound_is_caught((precision, p, device, seed) in case(), at: usize) {
        prop_assume!(p.k >= 2);
        let truth = MatmulTruth::of(&p, None).unwrap();
        let mut computed = compute(precision, &p, device, seed);
        let bound = bound_of(precision, &p, &computed, device.guarantee());
        let e = at % computed.c.len();
        let size = 2.0 * bound.at(e / p.n, e % p.n, &truth);
        let wrong = truth.product[e] + size.copysign(truth.product[e]);
        computed.c[e] = wrong as f32;
        let worst = bound.worst(&computed.c, &truth).unwrap();
        prop_assert!(worst.ratio > 1.0, "{precision} {device:?} {worst:?}");
        prop_assert_eq!((worst.row, worst.column), (e / p.n, e % p.n));
    }
}

/// a = (1, 2), b = (3, 4): C = P = 11, Σ|a| = 3, Σ|b| = 7.
fn by_hand() -> (MatmulProblem, MatmulTruth) {
    let mut p = problem(1, 1, 2, 0);
    p.a = Matrix { rows: 1, cols: 2, data: vec![1.0, 2.0] };
    p.b = Matrix { rows: 2, cols: 1, data: vec![3.0, 4.0] };
    let truth = MatmulTruth::of(&p, None).unwrap();
    (p, truth)
}

/// The bound of the case by hand, up to what f64 adds: 2⁻⁵³·(k·P + 2·34·bound).
fn assert_bound(bound: &Bound, expected: f64) {
    let got = bound.at(0, 0, &by_hand().1);
    let added = F64_UNIT * (22.0 + 68.0 * expected);
    assert!(got >= expected && got - expected <= 2.0 * added, "{got:e}, not {expected:e}");
}

#[test]
fn floating_point_bounds_by_hand() {
    let at = |precision, guarantee| matmul_bound(precision, 2, &[], &[], guarantee).unwrap();
    let u = 2f64.powi(-24);
    let gamma = 2.0 * u / (1.0 - 2.0 * u);
    assert_bound(&at(Precision::Fp32, IEEE), 11.0 * gamma);
    let either = Guarantee { rounds_to_nearest: false, ..IEEE };
    assert_bound(&at(Precision::Fp32, either), 11.0 * 4.0 * u / (1.0 - 4.0 * u));

    for (precision, v, eta) in
        [(Precision::Fp16, 2f64.powi(-11), 2f64.powi(-25)), (Precision::Bf16, 2f64.powi(-8), 0.0)]
    {
        let converted = (2.0 * v + v * v) * 11.0 + (1.0 + v) * eta * 10.0 + 2.0 * eta * eta;
        // Without underflow this is the (2v + v²) + (1 + v)²·γ_k of Blanchard, Higham, Lopez, Mary and
        // Pranesh, "Mixed precision block fused multiply-add", SIAM J. Sci. Comput. 42(3), 2020.
        assert_bound(&at(precision, IEEE), converted + gamma * (11.0 + converted));
    }
}

#[test]
fn f16_accumulator_and_int8_bounds_by_hand() {
    let (v, eta, u) = (2f64.powi(-11), 2f64.powi(-25), 2f64.powi(-24));
    let converted = (2.0 * v + v * v) * 11.0 + (1.0 + v) * eta * 10.0 + 2.0 * eta * eta;
    for (precision, factor) in [(Precision::Fp16Acc16, 1.0), (Precision::Fp16Sr, 2.0)] {
        let step = (1.0 + factor * v) * (1.0 + u) - 1.0;
        let gamma = 2.0 * step / (1.0 - 2.0 * step);
        let accumulated = gamma * (11.0 + converted) + 2.0 * factor * eta * (1.0 + gamma);
        let bound = matmul_bound(precision, 2, &[], &[], IEEE).unwrap();
        assert_bound(&bound, converted + accumulated);
    }

    for (precision, steps) in [(Precision::Int8, 0.5), (Precision::Int8Sr, 1.0)] {
        let (scale_a, scale_b) = (1.0 / 64.0, 1.0 / 32.0);
        let (ea, eb, r) = (steps * scale_a, steps * scale_b, 2f64.powi(-20));
        let converted =
            (2.0 * r + r * r) * 11.0 + (1.0 + r) * (eb * 3.0 + ea * 7.0) + 2.0 * ea * eb;
        let output = ((1.0 + u).powi(4) - 1.0) * (11.0 + converted);
        let bound = matmul_bound(precision, 2, &[scale_a as f32], &[scale_b as f32], IEEE).unwrap();
        assert_bound(&bound, converted + output);
    }
}

/// a = (1, 2), b = (3, 4) in every narrow format, with errors of conversion η that are powers of two.
#[test]
fn narrow_bounds_by_hand() {
    let u = 2f64.powi(-24);
    let (eta_a, eta_b) = (2f64.powi(-8), 2f64.powi(-7));
    for (precision, v, roundings) in [
        (Precision::Fp8E4m3, 2f64.powi(-4), 2.0),
        (Precision::Fp8E4m3Sr, 2f64.powi(-3), 2.0),
        (Precision::Fp8E5m2, 2f64.powi(-3), 2.0),
        (Precision::Fp8E5m2Sr, 2f64.powi(-2), 2.0),
        (Precision::Mxfp8, 2f64.powi(-4), 3.0), // two in the block, and the block's own
        (Precision::Mxint8, 0.0, 1.0),          // the block's own
    ] {
        let converted = (2.0 * v + v * v) * 11.0
            + (1.0 + v) * (eta_b * 3.0 + eta_a * 7.0)
            + 2.0 * eta_a * eta_b;
        let gamma = roundings * u / (1.0 - roundings * u);
        let bound = matmul_bound(precision, 2, &[eta_a as f32], &[eta_b as f32], IEEE).unwrap();
        assert_bound(&bound, converted + gamma * (11.0 + converted));
    }
    for (precision, steps) in [(Precision::Int4, 0.5), (Precision::Int4Sr, 1.0)] {
        let (ea, eb, r) = (steps * eta_a, steps * eta_b, 2f64.powi(-20));
        let converted =
            (2.0 * r + r * r) * 11.0 + (1.0 + r) * (eb * 3.0 + ea * 7.0) + 2.0 * ea * eb;
        let gamma = 3.0 * u / (1.0 - 3.0 * u); // two scales and one block
        let bound = matmul_bound(precision, 2, &[eta_a as f32], &[eta_b as f32], IEEE).unwrap();
        assert_bound(&bound, converted + gamma * (11.0 + converted));
    }
}

#[test]
fn vacuous_from_where_gamma_is_undefined() {
    let vacuous =
        |precision, k| matmul_bound(precision, k, &[1.0], &[1.0], IEEE).unwrap().is_vacuous();
    assert!(!vacuous(Precision::Fp16Acc16, 2046) && vacuous(Precision::Fp16Acc16, 2048));
    assert!(!vacuous(Precision::Fp16Sr, 1022) && vacuous(Precision::Fp16Sr, 1024));
    assert!(!vacuous(Precision::Bf16Sr, 126) && vacuous(Precision::Bf16Sr, 128));
    assert!(!vacuous(Precision::Mxint8, 1 << 28) && vacuous(Precision::Mxint8, 1 << 29));
    assert!(!vacuous(Precision::Fp32, 1 << 23) && vacuous(Precision::Fp32, 1 << 24));
    assert!(!vacuous(Precision::Int8, 1 << 30));
    let (_, truth) = by_hand();
    let bound = matmul_bound(Precision::Fp16Sr, 1024, &[], &[], IEEE).unwrap();
    assert_eq!((bound.ratio(&[11.0], &truth), bound.at(0, 0, &truth)), (None, f64::INFINITY));
}

#[test]
fn ratios_of_exact_and_of_meaningless_results() {
    let (_, truth) = by_hand();
    let bound = matmul_bound(Precision::Fp32, 2, &[], &[], IEEE).unwrap();
    assert_eq!(bound.ratio(&[11.0], &truth), Some(0.0));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(bound.ratio(&[bad], &truth), Some(f64::INFINITY));
    }
    // A scale that is no number gives no bound, and so no pass.
    for scale in [f32::NAN, f32::INFINITY] {
        let bound = matmul_bound(Precision::Int8, 2, &[scale], &[1.0], IEEE).unwrap();
        assert_eq!(bound.ratio(&[10.0], &truth), Some(f64::INFINITY));
    }
    let error = matmul_bound(Precision::D8M8, 2, &[], &[], IEEE).unwrap_err();
    assert!(error.to_string().contains("D8M8"));
}

#[test]
fn gammas() {
    assert_eq!(gamma(1, 0.5), Some(1.0));
    assert_eq!(gamma(2, 0.5), None);
    assert_eq!(gamma(1 << 40, 0.0), Some(0.0));
    // exp(4·√100·0.001 + 100·10⁻⁶/0.999) − 1 and 2·exp(−8·0.999²).
    assert!((gamma_probabilistic(100, 1e-3, 4.0) - 0.040_914_964).abs() < 1e-9);
    assert!((failure_probability(1e-3, 4.0) - 6.817_409_44e-4).abs() < 1e-9);
    assert_eq!(failure_probability(0.1, 0.0), 1.0);
}

/// docs/VALIDATION.md derives it: relF² = Δa²/12σa² + Δb²/12σb² + Δa²Δb²/144σa²σb² on Gaussian data, and
/// Δ²/6 in the place of Δ²/12 stochastically. Both sides vary with the draw by about 0.5 % at 256 (a relative √(2/256)
/// a row of the Gram matrices of A, B and their errors, over √256 rows); 2 % is 4 standard errors.
#[test]
fn int8_has_the_error_of_uniform_rounding() {
    let p = problem(256, 256, 256, 3);
    let truth = MatmulTruth::of(&p, None).unwrap();
    let device = Device { arithmetic: Arithmetic::host(), toward_zero: false };
    let relative = |x: &Matrix, scale: f32, steps: f64| {
        let square = x.data.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        steps * f64::from(scale).powi(2) / 12.0 * x.data.len() as f64 / square
    };
    for (precision, steps) in [(Precision::Int8, 1.0), (Precision::Int8Sr, 2.0)] {
        let computed = compute(precision, &p, device, 9);
        let a = relative(&p.a, computed.scales[0][0], steps);
        let b = relative(&p.b, computed.scales[1][0], steps);
        let expected = (a + b + a * b).sqrt();
        let got = ErrorMetrics::of(&computed.c, &truth, Format::F32).relative_frobenius;
        assert!((got / expected - 1.0).abs() < 0.02, "{precision}: {got} against {expected}");
    }
}

/// Sequential f32 sums of 2^p products of U(0, 1) have 2/√84 = 0.218·√k·u as k grows, and 0.226 at k = 1024
/// (docs/VALIDATION.md, √k growth, where the first is derived). Here over 64² entries, whose root mean square has a standard error of 1/√(2·64²) = 1.1 %: four of them on
/// each side.
#[test]
fn sequential_f32_sums_have_their_known_error() {
    let mut p = problem(64, 64, 1024, 1);
    let words = |key: u32| (0..).flat_map(move |c| philox::philox4x32([c, 0, 0, 0], [key, 0]));
    let uniform = |word: u32| (word >> 8) as f32 / 16_777_216.0;
    p.a.data.iter_mut().zip(words(1)).for_each(|(x, w)| *x = uniform(w));
    p.b.data.iter_mut().zip(words(2)).for_each(|(x, w)| *x = uniform(w));
    let truth = MatmulTruth::of(&p, None).unwrap();
    let arithmetic = Arithmetic { fused_fma: false, ..Arithmetic::host() };
    let computed = compute(Precision::Fp32, &p, Device { arithmetic, toward_zero: false }, 0);
    let got = ErrorMetrics::of(&computed.c, &truth, Format::F32).relative_frobenius;
    let constant = got / (32.0 * 2f64.powi(-24));
    assert!((0.218 * 0.956..0.226 * 1.044).contains(&constant), "{constant}");
}
