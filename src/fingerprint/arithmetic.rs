//! fma, contraction, rounding, subnormals of f32, and what survives of error-free transformations.

use super::machine::{Denied, Machine, Needs, Ports, Probe, Words, exp2, pair, words};
use super::rounding::{Grid, named};
use crate::gpu::{ARITHMETIC, Source};
use crate::number::Arithmetic;
use crate::number::arithmetic::Ops;
use crate::{wgsl, with_ops};

const fn probe(source: Source, entry: &'static str, cpu: fn(Words) -> Words) -> Probe {
    Probe { source, entry, needs: Needs::Nothing, ports: Ports::Words, cpu: Some(cpu) }
}

const MEMORY: Source = wgsl!("probe/memory.wgsl");
const COMPENSATED: Source = wgsl!("probe/compensated.wgsl");

pub(super) const EXPLICIT: Probe = probe(ARITHMETIC, "multiply_add_explicit", |x| {
    let [a, b, c, _] = x.map(f32::from_bits);
    let fma = with_ops!(Arithmetic::host(), O => O::fma(a, b, c)).to_bits();
    [fma, fma, fma, 0]
});
const OPERATORS: Probe = probe(ARITHMETIC, "multiply_add_operators", |x| {
    let [a, b, c, _] = x.map(f32::from_bits);
    words([a * b + c, 0.0, 0.0, 0.0])
});
pub(super) const ADD: Probe = probe(ARITHMETIC, "add", |x| {
    let [a, b, ..] = x.map(f32::from_bits);
    words([a + b, 0.0, 0.0, 0.0])
});
pub(super) const MULTIPLY: Probe = probe(ARITHMETIC, "multiply", |x| {
    let [a, b, ..] = x.map(f32::from_bits);
    words([a * b, 0.0, 0.0, 0.0])
});

const fn moved(entry: &'static str, ports: Ports) -> Probe {
    Probe { source: MEMORY, entry, needs: Needs::Nothing, ports, cpu: Some(through_f32) }
}

pub(super) const LOAD: Probe = moved("load", Ports::NumbersIn);
pub(super) const STORE: Probe = moved("store", Ports::NumbersOut);
pub(super) const COPY: Probe = moved("copy", Ports::Numbers);

fn through_f32(case: Words) -> Words {
    case.map(|word| std::hint::black_box(f32::from_bits(word)).to_bits())
}

/// a, b, c whose fused and unfused a·b + c differ; no rounding here is near a tie.
fn fusion() -> [[f32; 3]; 4] {
    let (a, b) = (1.0 + exp2(-12), 1.0 + exp2(-13));
    [
        [a, b, -1.0 - exp2(-12) - exp2(-13)],
        [-a, b, 1.0 + exp2(-12) + exp2(-13)],
        [a, b, -1.0],
        [3.0 + exp2(-12), 5.0 + exp2(-12), -15.0 - exp2(-9)],
    ]
}

/// What explains the `answers` to [`fusion`].
fn fused(answers: impl Iterator<Item = u32>) -> &'static str {
    let (mut once, mut twice) = (true, true);
    for ([a, b, c], bits) in fusion().into_iter().zip(answers) {
        once &= bits == a.mul_add(b, c).to_bits();
        twice &= bits == (a * b + c).to_bits();
    }
    match (once, twice) {
        (true, _) => "rounded once",
        (_, true) => "rounded twice",
        _ => "neither rounded once nor twice throughout",
    }
}

/// `fma()` of scalars and of vectors.
pub(super) fn explicit_fma(machine: Machine<'_>, column: usize) -> Result<String, Denied> {
    let cases = fusion().map(|[a, b, c]| words([a, b, c, 0.0]));
    let answers = machine.ask(&EXPLICIT, &cases)?;
    Ok(fused(answers.iter().map(|words| words[column])).to_owned())
}

/// a·b + c by two operators.
pub(super) fn contraction(machine: Machine<'_>) -> Result<String, Denied> {
    let cases = fusion().map(|[a, b, c]| words([a, b, c, 0.0]));
    let answers = machine.ask(&OPERATORS, &cases)?;
    Ok(match fused(answers.iter().map(|words| words[0])) {
        "rounded once" => "contracted to one rounding".to_owned(),
        other => other.to_owned(),
    })
}

/// Sums that are ties or lie just off one, of both signs. Each is exact in f64.
fn sums() -> Vec<[f32; 2]> {
    let (ulp, tie, off) = (exp2(-23), exp2(-24), exp2(-26));
    let positive = [
        [1.0, tie],
        [1.0 + ulp, tie],
        [1.0, tie + off],
        [1.0, tie - off],
        [1.0, off],
        [1.0 + ulp, off],
        [1.5, 3.0 * tie],
    ];
    positive.into_iter().flat_map(|[a, b]| [[a, b], [-a, -b]]).collect()
}

/// Products likewise.
fn products() -> Vec<[f32; 2]> {
    let (half, quarter) = (exp2(-12), exp2(-13));
    let positive = [
        [1.0 + exp2(-23), 1.5],
        [1.0 + 3.0 * exp2(-23), 1.5],
        [1.0 + half, 1.0 + half],
        [1.0 + half, 1.0 + 3.0 * quarter],
        [1.0 + half, 1.0 + quarter],
        [1.0 + half + quarter, 1.0 + half],
    ];
    positive.into_iter().flat_map(|[a, b]| [[a, b], [-a, b]]).collect()
}

fn rounding_of(
    machine: Machine<'_>,
    probe: &Probe,
    cases: &[[f32; 2]],
    exact: fn(f64, f64) -> f64,
) -> Result<String, Denied> {
    let asked: Vec<Words> = cases.iter().map(|&[a, b]| pair(a, b)).collect();
    let answers = machine.ask(probe, &asked)?;
    let answers: Vec<(f64, f64)> = cases
        .iter()
        .zip(answers)
        .map(|(&[a, b], [got, ..])| (exact(a.into(), b.into()), f32::from_bits(got).into()))
        .collect();
    Ok(named(&answers, Grid::F32))
}

pub(super) fn rounding_of_sums(machine: Machine<'_>) -> Result<String, Denied> {
    rounding_of(machine, &ADD, &sums(), |a, b| a + b)
}

pub(super) fn rounding_of_products(machine: Machine<'_>) -> Result<String, Denied> {
    rounding_of(machine, &MULTIPLY, &products(), |a, b| a * b)
}

/// What became of subnormals, from (answer, what it is where they are kept, where they are flushed).
/// A zero may have either sign.
pub(super) fn fate(answers: impl IntoIterator<Item = [u32; 3]>, sign: u32) -> String {
    let same = |a: u32, b: u32| a == b || (a | b) & !sign == 0;
    let (mut kept, mut flushed) = (true, true);
    for [got, whole, gone] in answers {
        kept &= same(got, whole);
        flushed &= same(got, gone);
    }
    match (kept, flushed) {
        (true, _) => "kept",
        (_, true) => "flushed to zero",
        _ => "some kept and some flushed, or changed",
    }
    .to_owned()
}

const SIGN: u32 = 1 << 31;

/// Subnormals that are only moved.
pub(super) fn moved_subnormals(machine: Machine<'_>, probe: &Probe) -> Result<String, Denied> {
    let tiny = [exp2(-130), -exp2(-130), exp2(-149), -1.5 * exp2(-127)].map(f32::to_bits);
    let answers = machine.ask(probe, &[tiny])?;
    Ok(fate(answers[0].iter().zip(tiny).map(|(&got, bits)| [got, bits, bits & SIGN]), SIGN))
}

/// Subnormals as operands or as results: a, b, c, and the result without what is flushed.
pub(super) fn computed_subnormals(
    machine: Machine<'_>,
    probe: &Probe,
    as_operands: bool,
) -> Result<String, Denied> {
    let (tiny, least) = (exp2(-130), exp2(-126));
    let cases: &[[f32; 5]] = match (probe.entry, as_operands) {
        ("add", true) => {
            &[[tiny, least, 0.0, least + tiny, least], [-least, -tiny, 0.0, -least - tiny, -least]]
        }
        ("add", false) => &[[1.5 * least, -least, 0.0, 0.5 * least, 0.0]],
        ("multiply", true) => {
            &[[tiny, exp2(10), 0.0, exp2(-120), 0.0], [exp2(20), -tiny, 0.0, -exp2(-110), -0.0]]
        }
        ("multiply", false) => {
            &[[exp2(-100), exp2(-30), 0.0, tiny, 0.0], [exp2(-70), -exp2(-60), 0.0, -tiny, -0.0]]
        }
        (_, true) => &[
            [tiny, exp2(10), exp2(-120), exp2(-119), exp2(-120)],
            [1.0, least, tiny, least + tiny, least],
        ],
        (_, false) => &[[1.0, 1.5 * least, -least, 0.5 * least, 0.0]],
    };
    let asked: Vec<Words> = cases.iter().map(|&[a, b, c, ..]| words([a, b, c, 0.0])).collect();
    let answers = machine.ask(probe, &asked)?;
    let answers = answers.iter().zip(cases);
    Ok(fate(answers.map(|(got, x)| [got[0], x[3].to_bits(), x[4].to_bits()]), SIGN))
}

/// An error-free transformation: its name, its kernel, and what it does.
pub(super) struct Form {
    pub name: &'static str,
    pub probe: Probe,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sum,
    Split,
    Product,
}

const fn form(
    name: &'static str,
    entry: &'static str,
    kind: Kind,
    cpu: fn(Words) -> Words,
) -> Form {
    Form { name, probe: probe(COMPENSATED, entry, cpu), kind }
}

/// The forms of error-free transformations that a compiler might leave alone, as
/// kernels/probe/compensated.wgsl writes them.
pub(super) const FORMS: [Form; 10] = [
    form("TwoSum", "plain", Kind::Sum, |x| two_sum(x, |y, _| y)),
    form("FastTwoSum", "fast", Kind::Sum, |x| {
        let [a, b, ..] = x.map(f32::from_bits);
        let sum = a + b;
        pair(sum, b - (sum - a))
    }),
    form("TwoSum through integer bits", "through_bits", Kind::Sum, |x| {
        two_sum(x, |y, _| f32::from_bits(y.to_bits()))
    }),
    form("TwoSum, XOR with run-time 0", "xor_zero", Kind::Sum, |x| {
        two_sum(x, |y, [_, _, _, zero]| f32::from_bits(y.to_bits() ^ zero))
    }),
    form("TwoSum, times run-time 1", "times_one", Kind::Sum, |x| {
        two_sum(x, |y, [_, _, one, _]| y * f32::from_bits(one))
    }),
    form("TwoSum, fma by run-time 1", "fma_one", Kind::Sum, |x| two_sum(x, |y, _| y)),
    form("TwoSum, max(x, -3.4e38)", "at_least", Kind::Sum, |x| two_sum(x, |y, _| y.max(-3.4e38))),
    form("splitting by mask", "split_by_mask", Kind::Split, |x| {
        let high = f32::from_bits(x[0] & 0xffff_f000);
        pair(high, f32::from_bits(x[0]) - high)
    }),
    form("TwoProduct by fma", "product_by_fma", Kind::Product, |x| {
        let [a, b, ..] = x.map(f32::from_bits);
        let product = a * b;
        pair(product, with_ops!(Arithmetic::host(), O => O::fma(a, b, -product)))
    }),
    form("TwoProduct by splitting", "product_by_split", Kind::Product, |x| {
        let [a, b, ..] = x.map(f32::from_bits);
        let [high_a, high_b] = [x[0], x[1]].map(|word| f32::from_bits(word & 0xffff_f000));
        let (low_a, low_b, product) = (a - high_a, b - high_b, a * b);
        let fma = |a, b, c| with_ops!(Arithmetic::host(), O => O::fma(a, b, c));
        let first = fma(high_a, high_b, -product);
        let second = fma(low_a, high_b, fma(high_a, low_b, first));
        pair(product, fma(low_a, low_b, second))
    }),
];

fn two_sum(x: Words, keep: impl Fn(f32, Words) -> f32) -> Words {
    let [a, b, ..] = x.map(f32::from_bits);
    let sum = keep(a + b, x);
    let part_b = keep(sum - a, x);
    let part_a = keep(sum - part_b, x);
    pair(sum, (a - part_a) + (b - part_b))
}

/// Whether a form returns the exact error of inexact sums, splits or products.
pub(super) fn survives(machine: Machine<'_>, form: &Form) -> Result<String, Denied> {
    let (one, zero) = (1.0f32, 0.0f32);
    let numbers: [[f32; 2]; 6] = [
        [1.0, exp2(-30)],
        [-3.0, 5.0 * exp2(-26)],
        [1.0e8, 3.25],
        [1.0e5, 0.1],
        [1.0 + exp2(-23), 1.0 - exp2(-24)],
        [-7.123_456_7, 1.234_567_8],
    ];
    let asked = numbers.map(|[a, b]| words([a, b, one, zero]));
    let answers = machine.ask(&form.probe, &asked)?;
    let (mut exact, mut gone) = (true, true);
    for ([a, b], [value, error, ..]) in numbers.into_iter().zip(answers) {
        let (a64, b64, value) = (f64::from(a), f64::from(b), f64::from(f32::from_bits(value)));
        let error = f64::from(f32::from_bits(error));
        // Exact in f64: the sums span fewer than 53 bits, the products have at most 48.
        let whole = match form.kind {
            Kind::Sum => a64 + b64,
            Kind::Split => a64,
            Kind::Product => a64 * b64,
        };
        exact &= value + error == whole;
        gone &= error == 0.0;
    }
    Ok(match (exact, gone) {
        (true, _) => "survives",
        (_, true) => "removed: the error comes out as 0",
        _ => "the error comes out inexact",
    }
    .to_owned())
}
