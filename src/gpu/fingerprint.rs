//! What a device's arithmetic does, asked with operands on which the possible answers differ.

use super::context::Context;
use super::error::GpuError;
use super::kernel::{Source, compose};
use crate::number::Arithmetic;
use crate::number::arithmetic::Ops;
use crate::with_ops;
use half::f16;

pub(crate) const ARITHMETIC: Source = crate::wgsl!("probe/arithmetic.wgsl");
pub(crate) const CONVERT: Source = crate::wgsl!("probe/convert.wgsl");
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
    [3.0 + exp2(-12), 5.0 + exp2(-12), -15.0 - exp2(-9)],
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

/// Invocations in a workgroup of every probe, one a case.
const WORKGROUP_SIZE: usize = 64;

/// Result words, one element a case.
type Words = Vec<[u32; 4]>;

/// What the kernels returned.
struct Observed {
    explicit: Words,
    operators: Words,
    add: Words,
    multiply: Words,
    two_sum: Words,
    /// Nothing where the device lacks the packing functions.
    convert: Words,
    /// [`HALVES`] as loaded by a kernel that has f16.
    half: Words,
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
        let operands = operands(&cases());
        let ask_of = |source, entry| ask(context, source, entry, &operands, cases().len());
        let ask_arithmetic = |entry| ask_of(ARITHMETIC, entry);
        let (has_packing, has_f16) = (context.has_packing(), context.info.shader_f16);
        let halves = half_operands();
        Ok(Self {
            explicit: ask_arithmetic("multiply_add_explicit")?,
            operators: ask_arithmetic("multiply_add_operators")?,
            add: ask_arithmetic("add")?,
            multiply: ask_arithmetic("multiply")?,
            two_sum: ask_arithmetic("two_sum")?,
            convert: if has_packing { ask_of(CONVERT, "convert")? } else { Words::new() },
            half: if has_f16 { ask(context, HALF, "widen", &halves, 2)? } else { Words::new() },
        })
    }
}

/// Bits of a, b, c of each case, and two of [`HALVES`] in turn.
fn operands(cases: &[[f32; 3]]) -> Vec<u32> {
    let pairs = half_operands().into_iter().cycle();
    cases
        .iter()
        .zip(pairs)
        .flat_map(|([a, b, c], pair)| [a.to_bits(), b.to_bits(), c.to_bits(), pair])
        .collect()
}

fn half_operands() -> Vec<u32> {
    HALVES.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect()
}

/// Runs one probe: `operands` at binding 0, the words of `count` results at binding 1.
fn ask(
    context: &Context,
    source: Source,
    entry: &str,
    operands: &[u32],
    count: usize,
) -> Result<Words, GpuError> {
    let operands: &[u8] = bytemuck::cast_slice(operands);
    let result_bytes = (count * size_of::<[u32; 4]>()) as u64;
    let from = context.buffer("probe operands", operands.len() as u64)?;
    let to = context.buffer("probe results", result_bytes)?;
    context.upload(&from, operands)?;
    let pipeline = context.compile(&compose(&[source]), entry, &[], false)?;
    let workgroups = [count.div_ceil(WORKGROUP_SIZE) as u32, 1, 1];
    let command = context.dispatch(&pipeline, &[(0, &from), (1, &to)], workgroups)?;
    context.run(&[command], 1)?;
    Ok(bytemuck::pod_collect_to_vec(&context.read(&to, 0, result_bytes)?))
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
            let ([a, b, c], model) = (case.map(f32::to_bits), expected.to_bits());
            found.push(format!(
                "{what} of {a:08x} {b:08x} {c:08x} is {bits:08x}, the closest model has {model:08x}"
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
    let packs = |([a, b, _], words): (&[f32; 3], &[u32; 4])| {
        let [a, b] = [a, b].map(|x| u32::from(f16::from_f32(*x).to_bits()));
        words[2] == a | b << 16
    };
    let last = observed.convert.iter().rev();
    !observed.convert.is_empty() && PACKED.iter().rev().zip(last).all(packs)
}

/// Whether f16 subnormals became zero, if they all did or none did, however they were loaded.
fn flushes_halves(observed: &Observed) -> Option<bool> {
    let unpacked = observed.convert.iter().flat_map(|words| &words[..2]).zip(HALVES.iter().cycle());
    let loaded = observed.half.iter().flatten().zip(&HALVES);
    let widened: Vec<(&u32, &u16)> = unpacked.chain(loaded).collect();
    let agrees = |flush: bool| widened.iter().all(|&(&bits, &half)| same(bits, widen(half, flush)));
    [false, true].into_iter().find(|&flush| agrees(flush))
}

fn widen(half: u16, flush: bool) -> f32 {
    let half = f16::from_bits(half);
    let gone = flush && half.classify() == std::num::FpCategory::Subnormal;
    if gone { 0.0 } else { half.to_f32() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a device of this arithmetic would answer, with TwoSum and contraction as given.
    fn simulate(model: Arithmetic, contracts: bool, two_sum: bool) -> Observed {
        let fused = Arithmetic { fused_fma: contracts, ..model };
        let words = |f: &dyn Fn([f32; 3]) -> f32| -> Words {
            cases().into_iter().map(|case| [f(case).to_bits(); 4]).collect()
        };
        let widen = |half| widen(half, model.flush_f16_subnormals).to_bits();
        let convert = |(i, [a, b, _]): (usize, [f32; 3])| {
            let [a, b] = [a, b].map(|x| u32::from(f16::from_f32(x).to_bits()));
            let at = 2 * i % HALVES.len();
            [widen(HALVES[at]), widen(HALVES[at + 1]), a | b << 16, 0]
        };
        Observed {
            explicit: words(&|case| predict(model, case)[0]),
            operators: words(&|case| predict(fused, case)[0]),
            add: words(&|case| predict(model, case)[1]),
            multiply: words(&|case| predict(model, case)[2]),
            two_sum: words(&|[a, b, _]| {
                let error = (f64::from(a) + f64::from(b)) - f64::from(a + b);
                if two_sum { error as f32 } else { 0.0 }
            }),
            convert: cases().into_iter().enumerate().map(convert).collect(),
            half: Words::new(),
        }
    }

    fn models() -> impl Iterator<Item = Arithmetic> {
        (0..8).map(|bits| Arithmetic {
            fused_fma: bits & 1 != 0,
            flush_f32_subnormals: bits & 2 != 0,
            flush_f16_subnormals: bits & 4 != 0,
        })
    }

    #[test]
    fn every_model_is_recognised() {
        for arithmetic in models() {
            for (contracts_mul_add, two_sum_survives) in [(false, true), (true, false)] {
                let observed = simulate(arithmetic, contracts_mul_add, two_sum_survives);
                let expected = Fingerprint {
                    arithmetic,
                    contracts_mul_add,
                    two_sum_survives,
                    rounds_to_nearest: true,
                    pack2x16_nearest_even: true,
                    unmodelled: None,
                };
                assert_eq!(judge(&observed), expected);
            }
        }
    }

    #[test]
    fn a_device_that_truncates_is_not_modelled() {
        let toward_zero = |exact: f64| {
            let near = exact as f32;
            let beyond = f64::from(near).abs() > exact.abs();
            if beyond { f32::from_bits(near.to_bits() - 1) } else { near }
        };
        for model in models() {
            let mut observed = simulate(model, false, true);
            for (words, [a, b, _]) in observed.add.iter_mut().zip(cases()) {
                words[0] = toward_zero(f64::from(a) + f64::from(b)).to_bits();
            }
            let fingerprint = judge(&observed);
            assert!(!fingerprint.rounds_to_nearest);
            assert!(fingerprint.unmodelled.is_some_and(|why| why.contains("sum of")));
        }
    }

    #[test]
    fn one_odd_answer_is_not_modelled() {
        let [fused, ..] = models().filter(|m| m.fused_fma).collect::<Vec<_>>()[..] else {
            unreachable!("half of the models are fused")
        };
        let mut observed = simulate(fused, false, true);
        let unfused = Arithmetic { fused_fma: false, ..fused };
        observed.explicit[0][2] = predict(unfused, FUSION[0])[0].to_bits();
        let why = judge(&observed).unmodelled;
        assert!(why.is_some_and(|why| why.starts_with("fma of vectors of 3f800800")));

        let mut observed = simulate(fused, false, true);
        let normal = |half| widen(half, true).to_bits();
        observed.half = vec![[0; 4], std::array::from_fn(|i| normal(HALVES[4 + i]))];
        let why = judge(&observed).unmodelled;
        assert!(why.is_some_and(|why| why.starts_with("f16 subnormals")));
    }

    #[test]
    fn wrong_packing_is_seen() {
        let exact = Arithmetic {
            fused_fma: true,
            flush_f32_subnormals: false,
            flush_f16_subnormals: false,
        };
        let mut observed = simulate(exact, false, true);
        let last = observed.convert.len() - 1;
        observed.convert[last][2] ^= 1 << 16;
        assert!(!judge(&observed).pack2x16_nearest_even);
    }

    /// Uniform bits from an LCG (Knuth's MMIX), whose high half is good enough for operands.
    fn random_words() -> impl FnMut() -> u32 {
        let mut state = 1u64;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        }
    }

    /// Finite operands whose products reach from far below the subnormals to 2^120; in every
    /// second case c cancels the product, where fused and unfused differ most.
    fn random_cases(count: usize) -> Vec<[f32; 3]> {
        let mut word = random_words();
        let mut number = |low: u32, high: u32| {
            let (bits, exponent) = (word(), word());
            f32::from_bits(bits & 0x807f_ffff | (low + exponent % (high - low)) << 23)
        };
        let case = |i: usize| {
            let (a, b, c) = (number(47, 187), number(47, 187), number(0, 187));
            [a, b, if i.is_multiple_of(2) { -(a * b) } else { c }]
        };
        (0..count).map(case).collect()
    }

    #[test]
    fn the_fingerprint_predicts_random_operands() {
        super::super::tests::on_each_device(|context| {
            let arithmetic = context.fingerprint.arithmetic;
            let cases = random_cases(1 << 16);
            let operands = operands(&cases);
            let answer = |entry| ask(context, ARITHMETIC, entry, &operands, cases.len()).unwrap();
            let observed = Observed {
                explicit: answer("multiply_add_explicit"),
                operators: Words::new(),
                add: answer("add"),
                multiply: answer("multiply"),
                two_sum: Words::new(),
                convert: Words::new(),
                half: Words::new(),
            };
            let wrong = contradictions(&observed, &cases, arithmetic);
            if context.fingerprint.unmodelled.is_none() {
                assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), cases.len(), wrong[0]);
            }
            let other = Arithmetic { fused_fma: !arithmetic.fused_fma, ..arithmetic };
            assert!(!contradictions(&observed, &cases, other).is_empty(), "fma must matter here");
        });
    }
}
