//! Conversions between formats: rounding, subnormals, overflow and NaN; f16's own arithmetic.

use half::f16;

use super::arithmetic::fate;
use super::machine::{Denied, Machine, Needs, Ports, Probe, Words, exp2, pair};
use super::rounding::{Grid, Mode, named, rule};
use crate::gpu::{CONVERT, Source};
use crate::wgsl;

const NARROW: Source = wgsl!("probe/narrow.wgsl");
const INTEGERS: Source = wgsl!("probe/integers.wgsl");
const F16: Source = wgsl!("probe/f16.wgsl");

/// A conversion of f32 to f16 whose answer is f16 bits, or the value held as f32.
pub(super) struct ToF16 {
    probe: Probe,
    as_f32: bool,
}

const fn to_f16(
    source: Source,
    entry: &'static str,
    (needs, ports): (Needs, Ports),
    as_f32: bool,
    cpu: Option<fn(Words) -> Words>,
) -> ToF16 {
    ToF16 { probe: Probe { source, entry, needs, ports, cpu }, as_f32 }
}

pub(super) const PACK: ToF16 = to_f16(
    NARROW,
    "pack",
    (Needs::Packing, Ports::Words),
    false,
    Some(|x| [f16::from_f32(f32::from_bits(x[0])).to_bits().into(), 0, 0, 0]),
);
pub(super) const QUANTIZE: ToF16 =
    to_f16(NARROW, "quantize", (Needs::Packing, Ports::Words), true, None);
pub(super) const NATIVE: ToF16 =
    to_f16(F16, "narrow", (Needs::F16, Ports::NumbersOut), false, None);

impl ToF16 {
    fn ask(&self, machine: Machine<'_>, numbers: &[f32]) -> Result<Vec<f64>, Denied> {
        let cases: Vec<Words> = numbers.iter().map(|&x| pair(x, 0.0)).collect();
        let value = |[word, ..]: Words| match self.as_f32 {
            true => f32::from_bits(word).into(),
            false => f16::from_bits(word as u16).to_f64(),
        };
        Ok(machine.ask(&self.probe, &cases)?.into_iter().map(value).collect())
    }

    /// Its rounding, and what it does with subnormals, overflow and NaN.
    pub fn describe(&self, machine: Machine<'_>) -> Result<String, Denied> {
        let normal = both_signs(&[
            1.0 + exp2(-11),
            1.0 + 3.0 * exp2(-11),
            1.0 + exp2(-11) + exp2(-20),
            1.0 + exp2(-11) - exp2(-20),
            1.0 + exp2(-20),
            65519.0,
            exp2(-14) + exp2(-25),
        ]);
        let exact = |numbers: &[f32], got: Vec<f64>| -> Vec<(f64, f64)> {
            numbers.iter().map(|&x| f64::from(x)).zip(got).collect()
        };
        let answers = exact(&normal, self.ask(machine, &normal)?);
        let mode = rule(&answers, Grid::F16);
        let tiny = both_signs(&[exp2(-20), 1.5 * exp2(-24), 2.5 * exp2(-24), 0.75 * exp2(-24)]);
        let answers = exact(&tiny, self.ask(machine, &tiny)?);
        let tiny = if answers.iter().all(|&(_, got)| got == 0.0) {
            "flushed to zero"
        } else if mode.is_some() && rule(&answers, Grid::F16) == mode {
            "kept"
        } else {
            "kept, but rounded otherwise"
        };
        let huge = self.ask(machine, &[65520.0, -65520.0, 1e6, -1e6])?;
        let signed = |bound: f64| [bound, -bound, bound, -bound];
        let huge = match huge {
            got if got == signed(f64::INFINITY) => "to infinity".to_owned(),
            got if got == signed(65504.0) => "to the largest".to_owned(),
            got => format!("65520 to {}, 1e6 to {}", got[0], got[2]),
        };
        let special = self.ask(machine, &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN])?;
        let infinite = special[..2] == [f64::INFINITY, f64::NEG_INFINITY];
        let mode = mode.map_or("in no known mode", Mode::name);
        Ok(format!(
            "{mode}; subnormal results {tiny}; overflow {huge}; infinity {}; NaN {}",
            if infinite { "kept" } else { "changed" },
            if special[2].is_nan() { "kept" } else { "changed" }
        ))
    }
}

fn both_signs(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().flat_map(|&x| [x, -x]).collect()
}

const fn integers(entry: &'static str, cpu: fn(Words) -> Words) -> Probe {
    Probe { source: INTEGERS, entry, needs: Needs::Nothing, ports: Ports::Words, cpu: Some(cpu) }
}

const TO_I32: Probe = integers("to_i32", |x| [f32::from_bits(x[0]) as i32 as u32, 0, 0, 0]);
const TO_U32: Probe = integers("to_u32", |x| [f32::from_bits(x[0]) as u32, 0, 0, 0]);
const FROM_I32: Probe = integers("from_i32", |x| [(x[0] as i32 as f32).to_bits(), 0, 0, 0]);
const FROM_U32: Probe = integers("from_u32", |x| [(x[0] as f32).to_bits(), 0, 0, 0]);

/// f32 to a 32-bit integer: rounding, what is out of range, NaN.
pub(super) fn to_integer(machine: Machine<'_>, signed: bool) -> Result<String, Denied> {
    let (probe, sign) = if signed { (&TO_I32, 1.0) } else { (&TO_U32, 0.0) };
    let value = |word: u32| if signed { f64::from(word as i32) } else { f64::from(word) };
    let mut within = vec![0.5, 1.5, 2.5, 0.75, 0.999_999_94, 4_194_303.5, 2_147_483_520.0];
    if signed {
        within = both_signs(&within);
    }
    let ask = |numbers: &[f32]| {
        let cases: Vec<Words> = numbers.iter().map(|&x| pair(x, 0.0)).collect();
        let answers = machine.ask(probe, &cases)?;
        Ok::<Vec<f64>, Denied>(answers.into_iter().map(|[word, ..]| value(word)).collect())
    };
    let answers: Vec<(f64, f64)> =
        within.iter().map(|&x| f64::from(x)).zip(ask(&within)?).collect();
    let mode = named(&answers, Grid::INTEGERS);
    let above = ask(&[exp2(32), 1e10, f32::INFINITY])?;
    let below = ask(&[-1.0 - sign * exp2(32), -1e10, f32::NEG_INFINITY])?;
    let nan = ask(&[f32::NAN])?[0];
    Ok(format!("{mode}; above the range {}; below {}; NaN {nan}", listed(&above), listed(&below)))
}

/// One number where all are the same.
fn listed(values: &[f64]) -> String {
    match values {
        [first, rest @ ..] if rest.iter().all(|x| x == first) => first.to_string(),
        _ => values.iter().map(f64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A 32-bit integer to f32.
pub(super) fn from_integer(machine: Machine<'_>, signed: bool) -> Result<String, Denied> {
    let large = [(1 << 24) + 1, (1 << 24) + 3, (1 << 25) + 3, (1 << 25) + 1, (1 << 30) + (1 << 6)];
    let ties = large.into_iter().chain([(1 << 30) + 65, i32::MAX as u32, 1 << 24, 7]);
    let (probe, words): (_, Vec<u32>) = if signed {
        let negative = |x: u32| (x as i32).wrapping_neg() as u32;
        (&FROM_I32, ties.flat_map(|x| [x, negative(x)]).chain([i32::MIN as u32]).collect())
    } else {
        (&FROM_U32, ties.chain([u32::MAX, (1 << 31) + (1 << 7), (1 << 31) + 129]).collect())
    };
    let cases: Vec<Words> = words.iter().map(|&word| [word, 0, 0, 0]).collect();
    let exact = |word: u32| if signed { f64::from(word as i32) } else { f64::from(word) };
    let answers = machine.ask(probe, &cases)?.into_iter();
    let answers: Vec<(f64, f64)> = words
        .into_iter()
        .zip(answers)
        .map(|(word, [got, ..])| (exact(word), f32::from_bits(got).into()))
        .collect();
    Ok(named(&answers, Grid::F32))
}

const fn native(entry: &'static str, ports: Ports) -> Probe {
    Probe { source: F16, entry, needs: Needs::F16, ports, cpu: None }
}

const ADD: Probe = native("add", Ports::Numbers);
const MULTIPLY: Probe = native("multiply", Ports::Numbers);
const MULTIPLY_ADD: Probe = native("multiply_add", Ports::Numbers);
const LOAD: Probe = native("load", Ports::NumbersIn);
const COPY: Probe = native("copy", Ports::Numbers);

/// `unpack2x16float` on the CPU is the same conversion as everywhere: exact.
const UNPACK: Probe = Probe {
    source: CONVERT,
    entry: "convert",
    needs: Needs::Packing,
    ports: Ports::Words,
    cpu: Some(|x| {
        let [low, high] = [x[3] as u16, (x[3] >> 16) as u16];
        let [low, high] = [low, high].map(|bits| f16::from_bits(bits).to_f32().to_bits());
        [low, high, 0, 0]
    }),
};

/// The least f16 subnormal, a larger one, and negatives.
const TINY: [u16; 4] = [0x0001, 0x03ff, 0x8001, 0x8200];

/// f16 subnormals as `unpack2x16float` returns them.
pub(super) fn unpacked_subnormals(machine: Machine<'_>) -> Result<String, Denied> {
    let cases = TINY.map(|bits| [0, 0, 0, u32::from(bits)]);
    let answers = machine.ask(&UNPACK, &cases)?;
    let whole = |bits: u16| f16::from_bits(bits).to_f32().to_bits();
    Ok(fate(answers.iter().zip(TINY).map(|(got, bits)| [got[0], whole(bits), 0]), 1 << 31))
}

/// f16 subnormals that the device loads as f16 and widens.
pub(super) fn loaded_subnormals(machine: Machine<'_>) -> Result<String, Denied> {
    let answers = machine.ask(&LOAD, &TINY.map(|bits| [u32::from(bits), 0, 0, 0]))?;
    let whole = |bits: u16| f16::from_bits(bits).to_f32().to_bits();
    Ok(fate(answers.iter().zip(TINY).map(|(got, bits)| [got[0], whole(bits), 0]), 1 << 31))
}

/// f16 subnormals that the device loads as f16 and stores again.
pub(super) fn copied_subnormals(machine: Machine<'_>) -> Result<String, Denied> {
    let answers = machine.ask(&COPY, &TINY.map(|bits| [u32::from(bits), 0, 0, 0]))?;
    let got = answers.iter().map(|words| words[0] & 0xffff);
    Ok(fate(got.zip(TINY).map(|(got, bits)| [got, bits.into(), 0]), 1 << 15))
}

/// f16 subnormals as operands, or as results, of the device's own sums and products.
pub(super) fn computed_subnormals(
    machine: Machine<'_>,
    as_operands: bool,
) -> Result<String, Denied> {
    let h = |x: f32| u32::from(f16::from_f32(x).to_bits());
    let (tiny, least) = (exp2(-20), exp2(-14));
    // a, b, the result, and the result without what is flushed.
    let (sum, product) = if as_operands {
        ([tiny, least, least + tiny, least], [tiny, exp2(10), exp2(-10), 0.0])
    } else {
        ([1.5 * least, -least, 0.5 * least, 0.0], [exp2(-10), exp2(-10), tiny, 0.0])
    };
    let mut answers = vec![];
    for (probe, [a, b, whole, gone]) in [(&ADD, sum), (&MULTIPLY, product)] {
        let [got, ..] = machine.ask(probe, &[[h(a), h(b), 0, 0]])?[0];
        answers.push([got & 0xffff, h(whole), h(gone)]);
    }
    Ok(fate(answers, 1 << 15))
}

/// Rounding of f16 sums (or products) of the device's own arithmetic.
pub(super) fn native_rounding(machine: Machine<'_>, sums: bool) -> Result<String, Denied> {
    let (ulp, tie) = (exp2(-10), exp2(-11));
    let cases: Vec<[f32; 2]> = if sums {
        let positive = [[1.0, tie], [1.0 + ulp, tie], [1.0, 1.5 * tie], [1.0, 0.5 * tie]];
        positive.into_iter().flat_map(|[a, b]| [[a, b], [-a, -b]]).collect()
    } else {
        let positive = [[1.0 + ulp, 1.5], [1.0 + 3.0 * ulp, 1.5], [1.0 + exp2(-6), 1.0 + exp2(-6)]];
        positive.into_iter().flat_map(|[a, b]| [[a, b], [-a, b]]).collect()
    };
    let h = |x: f32| u32::from(f16::from_f32(x).to_bits());
    let asked: Vec<Words> = cases.iter().map(|&[a, b]| [h(a), h(b), 0, 0]).collect();
    let answers = machine.ask(if sums { &ADD } else { &MULTIPLY }, &asked)?;
    let exact = |[a, b]: [f32; 2]| f64::from(if sums { a + b } else { a * b });
    let answers: Vec<(f64, f64)> = cases
        .into_iter()
        .zip(answers)
        .map(|(case, [got, ..])| (exact(case), f16::from_bits(got as u16).to_f64()))
        .collect();
    Ok(named(&answers, Grid::F16))
}

/// Whether f16's own `fma()` rounds once.
pub(super) fn native_fma(machine: Machine<'_>) -> Result<String, Denied> {
    let h = |x: f64| u32::from(f16::from_f64(x).to_bits());
    // The product needs 13 bits; its rounding cancels or does not.
    let (a, b) = (1.0 + 2f64.powi(-6), 1.0 + 2f64.powi(-7));
    let c = -1.0;
    let [got, ..] = machine.ask(&MULTIPLY_ADD, &[[h(a), h(b), h(c), 0]])?[0];
    let (got, rounded) = (got & 0xffff, f16::from_f64(a * b).to_f64());
    Ok(if got == h(a * b + c) {
        "rounded once"
    } else if got == h(rounded + c) {
        "rounded twice"
    } else {
        "neither rounded once nor twice"
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_converts_by_the_standard() {
        let cpu = Machine::Cpu;
        let to_f16 = "nearest, ties to even; subnormal results kept; overflow to infinity; \
                      infinity kept; NaN kept";
        assert_eq!(PACK.describe(cpu).unwrap(), to_f16);
        assert!(matches!(QUANTIZE.describe(cpu), Err(Denied::Lacks(_))));
        assert_eq!(
            to_integer(cpu, true).unwrap(),
            "toward zero; above the range 2147483647; below -2147483648; NaN 0"
        );
        assert_eq!(
            to_integer(cpu, false).unwrap(),
            "toward zero; above the range 4294967295; below 0; NaN 0"
        );
        assert_eq!(from_integer(cpu, true).unwrap(), "nearest, ties to even");
        assert_eq!(from_integer(cpu, false).unwrap(), "nearest, ties to even");
        assert_eq!(unpacked_subnormals(cpu).unwrap(), "kept");
    }
}
