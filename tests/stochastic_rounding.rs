//! Stochastic rounding on the CPU: exact values never move, and the mean of many roundings is the
//! number itself.
//!
//! A mean of N independent values that lie in an interval of width w is off by t or more with
//! probability at most 2·exp(−2N(t/w)²) (Hoeffding 1963). Each test fails with probability at most
//! [`FAILURE`] if the bits are random; they come from a fixed seed, so it always does or never.

use half::f16;
use tradeoff::mirror::convert::{Key, Operands};
use tradeoff::mirror::matmul::multiply;
use tradeoff::number::philox::{Stream, half_word, philox4x32};
use tradeoff::number::{Arithmetic, Precision, Rounding, round};
use tradeoff::problem::layout::{Layout, Stored};
use tradeoff::problem::matrix::Matrix;

/// Probability, at most, that a test fails by chance.
const FAILURE: f64 = 1e-9;
/// Weight of the last of the 16 random bits: the dropped fraction is cut there, in ULP.
const CUT: f64 = 1.0 / 65_536.0;
const KEY: Key = [2021, 3];

/// How far the mean of `n` values in an interval of width 1 may be off, in a test of `means`.
fn hoeffding(n: usize, means: usize) -> f64 {
    ((2.0 * means as f64 / FAILURE).ln() / (2.0 * n as f64)).sqrt()
}

/// 16 random bits, addressed as a matmul kernel addresses them: entry (i, j), product q.
fn random(i: usize, j: usize, q: usize) -> u32 {
    let counter = [i as u32, j as u32, q as u32 / 8, Stream::Accumulate as u32];
    half_word(philox4x32(counter, KEY), q as u32)
}

/// Spacing of the f16 numbers around `x`.
fn f16_ulp(x: f32) -> f64 {
    let exponent = f64::from(x.abs()).log2().floor().max(-14.0);
    exponent.exp2() * 2f64.powi(-10)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / f64::from(count)
}

/// Rounded to nearest, the mean error of these numbers is up to half an ULP.
#[test]
fn the_mean_of_many_roundings_to_f16_is_the_number() {
    const ROUNDINGS: usize = 1 << 18;
    // Normal numbers of both signs, a binade's ends, subnormals, less than half the least f16, and
    // the last number that cannot round to infinity.
    let numbers: [f32; 14] = [
        1.0003, -1.0007, 1.99991, 0.1, -0.333, 3.1e4, 65_503.0, 6.1e-5, 6.2e-5, -5.9e-5, 3.3e-6,
        4.4e-8, 1.0e-8, -2.0e-9,
    ];
    let within = hoeffding(ROUNDINGS, numbers.len());
    assert!(within < 0.01, "{within} ULP would let rounding to nearest pass");
    for (i, x) in numbers.into_iter().enumerate() {
        assert_ne!(f16::from_f32(x).to_f32(), x, "an exact number shows nothing");
        let error = |s: usize| {
            let rounded = round::f16_stochastic(x, random(i, s / 64, s % 64));
            (f64::from(rounded) - f64::from(x)) / f16_ulp(x)
        };
        assert!((0..ROUNDINGS).all(|s| error(s).abs() < 1.0), "{x} is not rounded to a neighbour");
        let bias = mean((0..ROUNDINGS).map(error));
        assert!(bias.abs() <= within + CUT, "{x}: mean error {bias} ULP, at most {within}");
    }
}

#[test]
fn the_mean_error_over_a_binade_is_zero() {
    const NUMBERS: usize = 1 << 20;
    for exponent in [0, -14, -20] {
        let error = |s: usize| {
            let [word, ..] = philox4x32([s as u32, 1, 2, 3], [4, 5]);
            let x = f32::from_bits(0x3f80_0000 | word >> 9) * 2f32.powi(exponent);
            let rounded = round::f16_stochastic(x, random(s / 64, 7, s % 64));
            (f64::from(rounded) - f64::from(x)) / f16_ulp(x)
        };
        // An error lies between −1 and 1 ULP.
        let within = 2.0 * hoeffding(NUMBERS, 3);
        let bias = mean((0..NUMBERS).map(error));
        assert!(bias.abs() <= within + CUT, "2^{exponent}: {bias} ULP, at most {within}");
    }
}

#[test]
fn the_mean_of_many_roundings_to_an_integer_is_the_number() {
    const ROUNDINGS: usize = 1 << 18;
    let numbers: [f32; 10] =
        [0.1, -0.1, 0.5, 0.999, 17.3, -17.3, 100.001, -126.9, 126.5, 2f32.powi(-10)];
    let within = hoeffding(ROUNDINGS, numbers.len());
    for (i, x) in numbers.into_iter().enumerate() {
        let rounded =
            |s: usize| round::integer(x, Rounding::Stochastic, random(i, s / 64, s % 64), 127);
        let bias = mean((0..ROUNDINGS).map(|s| f64::from(rounded(s)))) - f64::from(x);
        assert!(bias.abs() <= within + CUT, "{x}: mean error {bias}, at most {within}");
    }
}

/// Entries of one value: A's and B's, and an entry's and its neighbour's, must go up independently.
#[test]
fn converted_operands_are_unbiased_and_independent() {
    const SIDE: usize = 512;
    for precision in [Precision::Int8Sr, Precision::Int8SrRowwise] {
        let (value, largest) = (38.4f32 / 127.0, 1.0);
        let mut data = vec![value; SIDE * SIDE];
        // The diagonal holds the maximum of every row and column.
        (0..SIDE).for_each(|i| data[i * (SIDE + 1)] = largest);
        let matrix = Matrix { rows: SIDE, cols: SIDE, data };
        let operands = Operands::convert(precision, Arithmetic::host(), &matrix, &matrix, KEY);
        let off_diagonal = || (0..SIDE * SIDE).filter(|e| e % (SIDE + 1) != 0);
        let exact = 127.0 * f64::from(value);
        let up = |q: &[f32], e: usize| f64::from(q[e]) - exact.floor();
        let expected = exact.fract();
        // What the scale's own roundings move: 16 units of 2^-24, as in the bound of int8.
        let scale = 16.0 * exact * 2f64.powi(-24);
        let within = hoeffding(SIDE * (SIDE - 1) - 2 * SIDE, 2 * 4) + CUT + scale;
        for (name, q) in [("A", &operands.a), ("B", &operands.b)] {
            assert!(off_diagonal().all(|e| [0.0, 1.0].contains(&up(q, e))), "{name}");
            let share = mean(off_diagonal().map(|e| up(q, e)));
            assert!((share - expected).abs() <= within, "{precision} {name}: {share} go up");
        }
        let both = |other: &dyn Fn(usize) -> f64| {
            let pairs = off_diagonal().filter(|e| (e + 1) % (SIDE + 1) != 0 && e % 2 == 0);
            mean(pairs.map(|e| up(&operands.a, e) * other(e)))
        };
        // Half as many pairs.
        let within = within * 2f64.sqrt();
        for (name, share) in [
            ("of A and of B", both(&|e| up(&operands.b, e))),
            ("and its neighbour", both(&|e| up(&operands.a, (e + 1) % (SIDE * SIDE)))),
        ] {
            let expected = expected * expected;
            assert!((share - expected).abs() <= within, "{precision} {name}: {share} both up");
        }
    }
}

/// One dot product in many places of C: each step adds a fifth of an ULP, which to nearest is lost.
#[test]
fn accumulation_in_f16_is_unbiased() {
    const SIDE: usize = 512;
    const STEPS: usize = 16;
    let step = 0.2 * 2f32.powi(-10);
    let row: Vec<f32> = (0..=STEPS).map(|q| if q == 0 { 1.0 } else { 0.5 }).collect();
    let column: Vec<f32> = (0..=STEPS).map(|q| if q == 0 { 1.0 } else { 2.0 * step }).collect();
    let a = Matrix { rows: SIDE, cols: STEPS + 1, data: row.repeat(SIDE) };
    let b_data = column.iter().flat_map(|&x| vec![x; SIDE]).collect();
    let b = Matrix { rows: STEPS + 1, cols: SIDE, data: b_data };
    let rows: Vec<usize> = (0..SIDE).collect();
    let product = |precision| {
        let operands = Operands::convert(precision, Arithmetic::host(), &a, &b, KEY);
        multiply(precision, Arithmetic::host(), &operands, &rows, KEY)
    };
    let exact = 1.0 + STEPS as f64 * 0.5 * f16::from_f32(2.0 * step).to_f64();
    let ulp = 2f64.powi(-10);
    // A result lies between 1 and 1 + 16 ULP, and its mean is exact but for the cut of each step's
    // bits and the rounding of each step's sum to f32.
    let width = STEPS as f64 * ulp;
    let within = width * hoeffding(SIDE * SIDE, 1) + STEPS as f64 * (CUT * ulp + 2f64.powi(-24));
    let c = product(Precision::Fp16Sr);
    let range = 1.0..=1.0 + width as f32;
    assert!(c.iter().all(|x| range.contains(x)));
    let bias = mean(c.iter().map(|&x| f64::from(x))) - exact;
    assert!(bias.abs() <= within, "mean error {bias}, at most {within}");
    let nearest = product(Precision::Fp16Acc16);
    assert!(nearest.iter().all(|&x| x == 1.0), "this sum shows what stochastic rounding saves");
    assert!(exact - 1.0 > 10.0 * within);
}

/// With r random bits of the 16 that a rounding from f32 to bf16 drops, the mean error is
/// −(2^−r − 2^−16)/2 units in the last place: over all fractions, and over the numbers of a binade. To
/// f16, where 13 are dropped, it is −(2^−r − 2^−13)/2, and 0 from r = 13 on.
#[test]
fn fewer_random_bits_round_toward_zero_by_the_predicted_bias() {
    const NUMBERS: usize = 1 << 20;
    for bits in [4, 8, 10, 13, 16] {
        let predicted = -(2f64.powi(-(bits as i32)) - CUT) / 2.0;
        // The convention itself: of each fraction its first bits, and every value that they can have.
        // Within 2^−14 of exact: only every fourth fraction is tried.
        let ups = |fraction: u32, r: u32| {
            let x = f32::from_bits(0x3f80_0000 | fraction);
            let random = round::leading_bits(r << (16 - bits), bits);
            f64::from(round::bf16_stochastic(x, random) - 0x3f80) - f64::from(fraction) * CUT
        };
        let of_fraction = |fraction| mean((0..1 << bits.min(8)).map(|r| ups(fraction, r)));
        if bits <= 8 {
            let bias = mean((0..1 << 16).map(of_fraction));
            assert!((bias - predicted).abs() < 1e-12, "{bits} bits: {bias}, not {predicted}");
        }
        let error = |s: usize| {
            let [word, ..] = philox4x32([s as u32, 8, 2, 3], [4, 5]);
            let x = f32::from_bits(0x3f80_0000 | word >> 9);
            let r = round::leading_bits(random(s / 64, 11, s % 64), bits);
            let rounded = round::bf16_unpack(round::bf16_stochastic(x, r));
            (f64::from(rounded) - f64::from(x)) * 128.0
        };
        // An error lies between −1 and 1 ULP.
        let within = 2.0 * hoeffding(NUMBERS, 10);
        let bias = mean((0..NUMBERS).map(error));
        assert!((bias - predicted).abs() <= within, "{bits} bits: {bias} ULP, not {predicted}");
        let to_f16 = |s: usize| {
            let [_, word, ..] = philox4x32([s as u32, 8, 2, 3], [4, 5]);
            let x = f32::from_bits(0x3f80_0000 | word >> 9);
            let r = round::leading_bits(random(s / 64, 12, s % 64), bits);
            (f64::from(round::f16_stochastic(x, r)) - f64::from(x)) * 1024.0
        };
        let (bias, expected) = (
            mean((0..NUMBERS).map(to_f16)),
            (2f64.powi(-13) - 2f64.powi(-(bits as i32))).min(0.0) / 2.0,
        );
        assert!((bias - expected).abs() <= within, "{bits} bits: {bias} ULP, not {expected}");
        assert!(bits > 4 || -predicted > 4.0 * within, "{within} would hide the bias of 4 bits");
    }
}

/// The same in products, whose operands and sums are rounded by the bits that are asked for.
#[test]
fn products_use_as_many_random_bits_as_they_are_given() {
    let matrix = |salt: u32| {
        let number = |e: u32| f64::from(philox4x32([e, salt, 0, 0], [6, 1])[0]) * 2f64.powi(-32);
        Matrix { rows: 64, cols: 64, data: (0..64 * 64).map(|e| number(e) as f32).collect() }
    };
    let (a, b) = (matrix(1), matrix(2));
    let ab = Stored::new(Layout::Nn, 1, &a, &b);
    let rows: Vec<usize> = (0..64).collect();
    for precision in Precision::matmul().filter(|precision| !precision.is_wide()) {
        let product = |bits| {
            let o = Operands::convert_with_bits(precision, Arithmetic::host(), &ab, KEY, bits);
            multiply(precision, Arithmetic::host(), &o, &rows, KEY)
        };
        let (few, many) = (product(4), product(16));
        let sum = |c: &[f32]| c.iter().map(|&x| f64::from(x)).sum::<f64>();
        if precision.rounding() == Rounding::Nearest {
            assert!(few == many, "{precision} draws no random bits");
        } else {
            // All numbers are positive, and each of millions of roundings loses 2^−5 ULP.
            assert!(sum(&few) < sum(&many), "{precision}");
        }
    }
}

#[test]
fn exact_values_never_move() {
    for pattern in 0..=u16::MAX {
        let x = f16::from_bits(pattern).to_f32();
        for q in 0..64 {
            let rounded = round::f16_stochastic(x, random(pattern.into(), 0, q));
            let same = rounded.to_bits() == x.to_bits() || (x.is_nan() && rounded.is_nan());
            assert!(same, "{pattern:04x} became {rounded}");
        }
    }
    for i in -127..=127 {
        for r in 0..=0xffff {
            assert_eq!(round::integer(i as f32, Rounding::Stochastic, r, 127), i);
        }
    }
}

#[test]
fn negative_numbers_are_rounded_as_their_magnitudes() {
    for s in 0..1 << 16 {
        let [bits, r, ..] = philox4x32([s, 9, 9, 9], KEY);
        let x = f32::from_bits(bits & 0x7fff_ffff);
        let (positive, negative) = (round::f16_stochastic(x, r), round::f16_stochastic(-x, r));
        assert!(negative == -positive || x.is_nan(), "{x} {r:04x}");
        let integer = |x| round::integer(x, Rounding::Stochastic, r, 32_767);
        assert_eq!(integer(-x), -integer(x));
    }
}
