//! What a device's arithmetic does, asked with operands on which the possible answers differ.

use super::context::Context;
use super::error::GpuError;
use super::kernel::{Composed, Source, compose};
use crate::number::Arithmetic;
use crate::number::arithmetic::Ops;
use crate::with_ops;
use half::f16;

pub(super) const ARITHMETIC: Source = crate::wgsl!("probe/arithmetic.wgsl");
pub(super) const HALF: Source = crate::wgsl!("probe/half.wgsl");

/// What a device does where IEEE 754 and WGSL leave a choice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint {
    /// The model that predicts every probed `fma`, `+`, `·` and f16 load; the closest one where
    /// [`Fingerprint::unmodelled`] says that none does.
    pub arithmetic: Arithmetic,
    /// `a·b + c` written with operators was rounded once.
    pub contracts_mul_add: bool,
    /// Knuth's TwoSum returned the exact error of a sum, and was not simplified to zero.
    pub two_sum_survives: bool,
    /// Sums and products were rounded to nearest, ties to even.
    pub rounds_to_nearest: bool,
    /// `pack2x16float` rounded to nearest, ties to even, subnormal results included.
    pub pack2x16_nearest_even: bool,
    /// The first answer that no model gives. Then no mirror can follow the device bit for bit, and
    /// its results are held to their bounds alone.
    pub unmodelled: Option<String>,
}

/// 2^exponent, of a normal f32.
const fn exp2(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// a, b, c whose fused and unfused a·b + c differ; no rounding here is near a tie.
const FUSION: [[f32; 3]; 4] = [
    [1.0 + exp2(-12), 1.0 + exp2(-13), -1.0 - exp2(-12) - exp2(-13)],
    [-1.0 - exp2(-12), 1.0 + exp2(-13), 1.0 + exp2(-12) + exp2(-13)],
    [1.0 + exp2(-12), 1.0 + exp2(-13), -1.0],
    [3.0 + exp2(-10), 5.0 + exp2(-10), -15.0 - exp2(-7)],
];

/// Sums a + b and products a·b that are ties, and that lie just off a tie, of both signs.
const ROUNDING: [[f32; 3]; 10] = [
    [1.0, exp2(-24), 0.0],
    [1.0 + exp2(-23), exp2(-24), 0.0],
    [1.0, exp2(-24) + exp2(-25), 0.0],
    [-1.0, -exp2(-24) - exp2(-25), 0.0],
    [-1.0 - exp2(-23), -exp2(-24), 0.0],
    [1.0 + exp2(-23), 1.5, 0.0],
    [1.0 + 3.0 * exp2(-23), 1.5, 0.0],
    [1.0 + exp2(-12), -1.0 - 3.0 * exp2(-13), 0.0],
    [1.0 + exp2(-12), 1.0 + exp2(-13), 0.0],
    [-1.0 - exp2(-12), 1.0 + exp2(-12), 0.0],
];

/// The f32 subnormal 2^-130.
const SUBNORMAL: f32 = f32::from_bits(1 << 19);

/// Subnormals as an operand of each operation, and as the result of each.
const TINY: [[f32; 3]; 8] = [
    [SUBNORMAL, exp2(10), 0.0],
    [exp2(10), -SUBNORMAL, SUBNORMAL],
    [exp2(-100), exp2(-30), 0.0],
    [exp2(-100), -exp2(-30), 0.0],
    [1.5 * exp2(-126), -exp2(-126), 0.0],
    [exp2(-126), SUBNORMAL, exp2(-126)],
    [1.0, 1.5 * exp2(-126), -exp2(-126)],
    [exp2(-60), exp2(-60), -exp2(-121)],
];

/// Sums that are inexact, for TwoSum.
const SUMS: [[f32; 3]; 4] =
    [[1.0, exp2(-30), 0.0], [-3.0, 5.0 * exp2(-26), 0.0], [1.0e8, 3.25, 0.0], [0.1, 1.0e5, 0.0]];

/// Values whose conversion to f16 is a tie, lies just off a tie, is subnormal, or is the largest.
const PACKED: [[f32; 3]; 5] = [
    [1.0 + exp2(-11), 1.0 + 3.0 * exp2(-11), 0.0],
    [1.0 + exp2(-11) + exp2(-20), -1.0 - exp2(-11), 0.0],
    [1.0 + exp2(-11) - exp2(-20), -1.0 - 3.0 * exp2(-11), 0.0],
    [1.5 * exp2(-25), -2.5 * exp2(-24), 0.0],
    [65504.0, 5.0 * exp2(-25), 0.0],
];

/// f16 patterns to widen: subnormals of both signs, then normals.
const HALVES: [u16; 8] = [0x0001, 0x03ff, 0x8001, 0x8200, 0x0400, 0x3c01, 0x7bff, 0xfbff];

fn cases() -> Vec<[f32; 3]> {
    [&FUSION[..], &ROUNDING, &TINY, &SUMS, &PACKED].concat()
}

/// Result words, one element a case.
type Words = Vec<[u32; 4]>;

/// What the kernels returned.
struct Observed {
    explicit: Words,
    operators: Words,
    add: Words,
    multiply: Words,
    two_sum: Words,
    convert: Words,
    /// [`HALVES`] as loaded by a kernel that has f16.
    half: Option<Words>,
}

impl Fingerprint {
    /// Before anything is known.
    pub(super) fn unprobed() -> Self {
        Self {
            arithmetic: Arithmetic {
                fused_fma: false,
                flush_f32_subnormals: false,
                flush_f16_subnormals: false,
            },
            contracts_mul_add: false,
            two_sum_survives: false,
            rounds_to_nearest: false,
            pack2x16_nearest_even: false,
            unmodelled: Some("not probed".into()),
        }
    }

    pub(super) fn probe(context: &Context) -> Result<Self, GpuError> {
        Ok(judge(&Observed::of(context)?))
    }
}

impl Observed {
    fn of(context: &Context) -> Result<Self, GpuError> {
        let composed = compose(&[ARITHMETIC]);
        let operands = operands();
        let ask = |entry| ask(context, &composed, entry, &operands);
        Ok(Self {
            explicit: ask("multiply_add_explicit")?,
            operators: ask("multiply_add_operators")?,
            add: ask("add")?,
            multiply: ask("multiply")?,
            two_sum: ask("two_sum")?,
            convert: ask("convert")?,
            half: match context.info.shader_f16 {
                true => Some(self::ask(context, &compose(&[HALF]), "widen", &half_operands())?),
                false => None,
            },
        })
    }
}

/// Bits of a, b, c of each case, and two of [`HALVES`] in turn.
fn operands() -> Vec<u32> {
    let pair = |i: usize| {
        let at = 2 * i % HALVES.len();
        u32::from(HALVES[at]) | u32::from(HALVES[at + 1]) << 16
    };
    let bits = |(i, [a, b, c]): (usize, [f32; 3])| [a.to_bits(), b.to_bits(), c.to_bits(), pair(i)];
    cases().into_iter().enumerate().flat_map(bits).collect()
}

fn half_operands() -> Vec<u32> {
    HALVES.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect()
}

/// Runs one probe: `operands` at binding 0, four words a result at binding 1.
fn ask(
    context: &Context,
    composed: &Composed,
    entry: &str,
    operands: &[u32],
) -> Result<Words, GpuError> {
    let bytes: &[u8] = bytemuck::cast_slice(operands);
    let from = context.buffer("probe operands", bytes.len() as u64)?;
    // Four words a result, at least one result a case of two words.
    let to = context.buffer("probe results", 2 * bytes.len() as u64)?;
    context.upload(&from, bytes)?;
    let pipeline = context.pipeline(composed, entry, &[], false)?;
    let command = context.dispatch(&pipeline, &[(0, &from), (1, &to)], [1, 1, 1])?;
    context.run(&[command], 1)?;
    let words = context.read(&to, 0, 2 * bytes.len() as u64)?;
    Ok(bytemuck::pod_collect_to_vec(&words))
}

/// The predictions of one model for fma, sum and product of a case.
fn predict(arithmetic: Arithmetic, [a, b, c]: [f32; 3]) -> [f32; 3] {
    with_ops!(arithmetic, O => [O::fma(a, b, c), O::add(a, b), O::mul(a, b)])
}

/// Equal bits, where the two zeros are one.
fn same(bits: u32, value: f32) -> bool {
    bits == value.to_bits() || (value == 0.0 && bits << 1 == 0)
}

fn judge(observed: &Observed) -> Fingerprint {
    let cases = cases();
    let models = [(false, false), (false, true), (true, false), (true, true)];
    let judged = models.map(|(fused_fma, flush_f32_subnormals)| {
        let model = Arithmetic { fused_fma, flush_f32_subnormals, flush_f16_subnormals: false };
        (model, contradictions(observed, &cases, model))
    });
    let [first, rest @ ..] = judged;
    let (mut arithmetic, contradictions) = rest
        .into_iter()
        .fold(first, |best, next| if next.1.len() < best.1.len() { next } else { best });
    let halves = flushes_halves(observed);
    arithmetic.flush_f16_subnormals = halves.unwrap_or(false);
    let mixed =
        || halves.is_none().then(|| "f16 subnormals are neither all kept nor all flushed".into());
    Fingerprint {
        arithmetic,
        contracts_mul_add: contracts(observed),
        two_sum_survives: two_sum_survives(observed),
        rounds_to_nearest: rounds_to_nearest(observed),
        pack2x16_nearest_even: packs_to_nearest_even(observed),
        unmodelled: contradictions.into_iter().next().or_else(mixed),
    }
}

/// What the device answered and the model would not.
fn contradictions(observed: &Observed, cases: &[[f32; 3]], model: Arithmetic) -> Vec<String> {
    let mut found = Vec::new();
    for (i, &case) in cases.iter().enumerate() {
        let [fma, sum, product] = predict(model, case);
        let [scalar, first, last, _] = observed.explicit[i];
        let answers = [
            ("fma", scalar, fma),
            ("fma of vectors", first, fma),
            ("fma of vectors", last, fma),
            ("sum", observed.add[i][0], sum),
            ("product", observed.multiply[i][0], product),
        ];
        for (what, bits, expected) in answers.into_iter().filter(|&(_, b, e)| !same(b, e)) {
            let [a, b, c] = case.map(f32::to_bits);
            let expected = expected.to_bits();
            found.push(format!(
                "{what} of {a:08x} {b:08x} {c:08x} is {bits:08x}, the closest model says {expected:08x}"
            ));
        }
    }
    found
}

fn contracts(observed: &Observed) -> bool {
    let fused = |(case, bits): (&[f32; 3], &[u32; 4])| {
        let [a, b, c] = *case;
        same(bits[0], a.mul_add(b, c))
    };
    FUSION.iter().zip(&observed.operators).any(fused)
}

fn two_sum_survives(observed: &Observed) -> bool {
    let start = FUSION.len() + ROUNDING.len() + TINY.len();
    SUMS.iter().zip(&observed.two_sum[start..]).all(|([a, b, _], bits)| {
        // Both sums are exact: the operands span fewer than 53 bits.
        let error = (f64::from(*a) + f64::from(*b)) - f64::from(a + b);
        same(bits[0], error as f32)
    })
}

fn rounds_to_nearest(observed: &Observed) -> bool {
    let start = FUSION.len();
    ROUNDING.iter().enumerate().all(|(i, [a, b, _])| {
        same(observed.add[start + i][0], a + b) && same(observed.multiply[start + i][0], a * b)
    })
}

fn packs_to_nearest_even(observed: &Observed) -> bool {
    let start = observed.convert.len() - PACKED.len();
    PACKED.iter().zip(&observed.convert[start..]).all(|([a, b, _], words)| {
        let [a, b] = [a, b].map(|x| u32::from(f16::from_f32(*x).to_bits()));
        words[2] == a | b << 16
    })
}

/// Whether f16 subnormals became zero, if they all did or none did, however they were loaded.
fn flushes_halves(observed: &Observed) -> Option<bool> {
    let unpacked = observed.convert.iter().flat_map(|words| &words[..2]);
    let loaded = observed.half.iter().flatten().flatten();
    let pairs = |words: Vec<&u32>| {
        words.into_iter().copied().zip(HALVES.into_iter().cycle()).collect::<Vec<_>>()
    };
    let pairs = [pairs(unpacked.collect()), pairs(loaded.collect())].concat();
    let agrees = |flush: bool| {
        pairs.iter().all(|&(bits, half)| {
            let half = f16::from_bits(half);
            let gone = flush && half.classify() == std::num::FpCategory::Subnormal;
            same(bits, if gone { 0.0 } else { half.to_f32() })
        })
    };
    [false, true].into_iter().find(|&flush| agrees(flush))
}
