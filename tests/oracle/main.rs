//! Conversions against vectors that independent implementations made: gfloat 0.5, ml_dtypes and exact
//! rational arithmetic, by `generate.py` beside this file, which imports nothing of this crate. The
//! vectors are committed, so this needs no Python; `generate.py` states the convention of stochastic
//! rounding that they follow.

use tradeoff::number::block::{BlockScale, INT4_LIMIT, MXINT8_LIMIT, e8m0_code};
use tradeoff::number::{Format, Fp8, Rounding, round};

/// The lines of a file of vectors below its head, which must be `head`, cut at commas.
fn lines<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(head));
    lines.map(|line| line.split(',').collect()).collect()
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap()
}

/// Both roundings of every input of a floating-point format; all NaN are one.
fn check_float(text: &str, to: impl Fn(f32, Option<u32>) -> u32, is_nan: impl Fn(u32) -> bool) {
    let lines = lines(text, "input,nearest,random,stochastic");
    assert!(lines.len() > 2000);
    for line in lines {
        let (bits, random) = (hex(line[0]), hex(line[2]));
        let x = f32::from_bits(bits);
        for (r, expected) in [(None, hex(line[1])), (Some(random), hex(line[3]))] {
            let got = to(x, r);
            let same = got == expected || (is_nan(got) && is_nan(expected));
            assert!(same, "{x:e} ({bits:08x}) by {r:x?} is {got:x}, not {expected:x}");
        }
    }
}

#[test]
fn f16() {
    let to = |x, random: Option<u32>| {
        let rounded = random.map_or(round::f16_nearest(x), |r| round::f16_stochastic(x, r));
        round::f16_pack(rounded).into()
    };
    check_float(include_str!("vectors/f16.csv"), to, |code| code & 0x7fff > 0x7c00);
}

#[test]
fn bf16() {
    let to = |x, random: Option<u32>| {
        random.map_or(round::bf16_nearest(x), |r| round::bf16_stochastic(x, r)).into()
    };
    check_float(include_str!("vectors/bf16.csv"), to, |code| code & 0x7fff > 0x7f80);
}

#[test]
fn fp8() {
    for (format, text) in [
        (Fp8::E4M3, include_str!("vectors/e4m3.csv")),
        (Fp8::E5M2, include_str!("vectors/e5m2.csv")),
    ] {
        let to = |x, random: Option<u32>| {
            random.map_or(format.nearest(x), |r| format.stochastic(x, r)).into()
        };
        check_float(text, to, |code| format.unpack(code as u8).is_nan());
    }
}

/// int8, int4 and 16-bit fixed point, which differ in the limit alone.
#[test]
fn integers() {
    let lines =
        lines(include_str!("vectors/integers.csv"), "input,limit,nearest,random,stochastic");
    assert!(lines.iter().any(|line| line[1] == INT4_LIMIT.to_string()));
    for line in lines {
        let x = f32::from_bits(hex(line[0]));
        let limit = line[1].parse().unwrap();
        let random = hex(line[3]);
        for (rounding, expected) in [(Rounding::Nearest, line[2]), (Rounding::Stochastic, line[4])]
        {
            let got = round::integer(x, rounding, random, limit);
            assert_eq!(got.to_string(), expected, "{x:e} of {limit}, {rounding:?} by {random:x}");
        }
    }
}

/// The shared scale and every element of blocks of the Microscaling formats.
#[test]
fn blocks() {
    for (format, text) in [
        (Format::MxFp8, include_str!("vectors/mxfp8.csv")),
        (Format::MxInt8, include_str!("vectors/mxint8.csv")),
    ] {
        for line in lines(text, "scale,inputs,elements") {
            let inputs: Vec<f32> =
                line[1].split(' ').map(|word| f32::from_bits(hex(word))).collect();
            let max = inputs.iter().map(|x| x.abs().to_bits()).max().unwrap();
            let code = e8m0_code(format, max);
            assert_eq!(code, hex(line[0]));
            let scale = BlockScale::power_of_two(format, code);
            for (i, &x) in inputs.iter().enumerate() {
                let scaled = x * scale.inverse;
                let got = match format {
                    Format::MxFp8 => Fp8::E4M3.nearest(scaled),
                    _ => round::integer(scaled, Rounding::Nearest, 0, MXINT8_LIMIT) as u8,
                };
                let expected = hex(&line[2][2 * i..2 * i + 2]);
                assert_eq!(u32::from(got), expected, "{x:e} in a block of 2^{}", code as i32 - 127);
            }
        }
    }
}
