//! How exact division, square root, exp and log are, over a stated sample; integer dot products;
//! NaN, infinities and zeros.

use super::arithmetic::{ADD, COPY, EXPLICIT, LOAD, MULTIPLY, STORE};
use super::machine::{Bits, Denied, Machine, Needs, Ports, Probe, Words, pair, words};
use crate::gpu::Source;
use crate::wgsl;

const FUNCTIONS: Source = wgsl!("probe/functions.wgsl");
const DOT4: Source = wgsl!("probe/dot4.wgsl");
const SPECIAL: Source = wgsl!("probe/special.wgsl");

const fn probe(source: Source, entry: &'static str, cpu: fn(Words) -> Words) -> Probe {
    Probe { source, entry, needs: Needs::Nothing, ports: Ports::Words, cpu: Some(cpu) }
}

/// A function, the sample it is asked on, and its value in f64: exact for a quotient and a root as
/// far as rounding to f32 goes (53 ≥ 2·24 + 2 digits), and to about 1e-16 for exp and log.
pub(super) struct Function {
    pub name: &'static str,
    pub probe: Probe,
    /// What is drawn.
    pub sample: &'static str,
    draw: fn(&mut Bits) -> [f32; 2],
    value: fn(f64, f64) -> f64,
}

/// Operands of each function.
pub(super) const SAMPLE: usize = 1 << 16;

pub(super) const FUNCTION_LIST: [Function; 4] = [
    Function {
        name: "division",
        probe: probe(FUNCTIONS, "divide", |x| {
            let [a, b, ..] = x.map(f32::from_bits);
            pair(a / b, 0.0)
        }),
        sample: "both operands with random digits and exponents from -30 to 30",
        draw: |bits| [bits.number(-30, 30), bits.number(-30, 30)],
        value: |a, b| a / b,
    },
    Function {
        name: "square root",
        probe: probe(FUNCTIONS, "square_root", |x| pair(f32::from_bits(x[0]).sqrt(), 0.0)),
        sample: "random digits and exponents from -126 to 127",
        draw: |bits| [bits.number(-126, 127), 0.0],
        value: |a, _| a.sqrt(),
    },
    Function {
        name: "exp",
        probe: probe(FUNCTIONS, "exponential", |x| pair(f32::from_bits(x[0]).exp(), 0.0)),
        sample: "of either sign, random digits and exponents from -20 to 5 (up to 64)",
        draw: |bits| {
            let x = bits.number(-20, 5);
            [if bits.next() & 1 == 0 { x } else { -x }, 0.0]
        },
        value: |a, _| a.exp(),
    },
    Function {
        name: "log",
        probe: probe(FUNCTIONS, "logarithm", |x| pair(f32::from_bits(x[0]).ln(), 0.0)),
        sample: "half with random digits and exponents from -126 to 127, half from 0.5 to 2",
        draw: |bits| {
            let wide = bits.next() & 1 == 0;
            [if wide { bits.number(-126, 127) } else { bits.number(-1, 0) }, 0.0]
        },
        value: |a, _| a.ln(),
    },
];

/// Position of a number among all f32, so that neighbours differ by 1.
fn place(x: f32) -> i64 {
    let bits = i64::from(x.to_bits() & 0x7fff_ffff);
    if x.is_sign_negative() { -bits } else { bits }
}

/// Greatest distance from the correctly rounded value, in units in the last place.
pub(super) fn accuracy(machine: Machine<'_>, function: &Function) -> Result<String, Denied> {
    let mut bits = Bits::new(5);
    let sample: Vec<[f32; 2]> = (0..SAMPLE).map(|_| (function.draw)(&mut bits)).collect();
    let cases: Vec<Words> = sample.iter().map(|&[a, b]| pair(a, b)).collect();
    let answers = machine.ask(&function.probe, &cases)?;
    let (mut most, mut wrong, mut nan) = (0, 0, 0);
    for ([a, b], [got, ..]) in sample.into_iter().zip(answers) {
        let (expected, got) = ((function.value)(a.into(), b.into()) as f32, f32::from_bits(got));
        if got.is_nan() {
            nan += 1;
        } else {
            let distance = (place(got) - place(expected)).abs();
            most = most.max(distance);
            wrong += i64::from(distance > 0);
        }
    }
    Ok(match (most, nan) {
        (_, 1..) => format!("NaN for {nan} of {SAMPLE} numbers"),
        (0, _) => "correctly rounded".to_owned(),
        _ => format!("at most {most} ULP off; {wrong} of {SAMPLE} not correctly rounded"),
    })
}

const OF_SIGNED: Probe = probe(DOT4, "of_signed", |x| {
    let dot = dot_signed(x[0], x[1]) as u32;
    [dot, x[2].wrapping_add(dot), 0, 0]
});
const OF_UNSIGNED: Probe = probe(DOT4, "of_unsigned", |x| {
    let dot = dot_unsigned(x[0], x[1]);
    [dot, x[2].wrapping_add(dot), 0, 0]
});

fn dot_signed(a: u32, b: u32) -> i32 {
    let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
    bytes.map(|(a, b)| i32::from(a as i8) * i32::from(b as i8)).sum()
}

fn dot_unsigned(a: u32, b: u32) -> u32 {
    let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
    bytes.map(|(a, b)| u32::from(a) * u32::from(b)).sum()
}

/// Words at the ends of the range, then random ones; the sum before is one that overflows.
fn dot_cases() -> Vec<Words> {
    let mut bits = Bits::new(4);
    let ends = [0x8080_8080, 0x7f7f_7f7f, 0xffff_ffff, 0, 0x0180_7fff];
    let pairs = ends.into_iter().flat_map(|a| ends.map(|b| [a, b]));
    let random = (0..4096).map(|_| [bits.next(), bits.next()]);
    pairs.chain(random).map(|[a, b]| [a, b, 0, 0]).collect::<Vec<_>>()
}

/// Whether `dot4I8Packed` (or `dot4U8Packed`) is exact, and what a sum that overflows does.
pub(super) fn dot4(machine: Machine<'_>, signed: bool) -> Result<String, Denied> {
    let probe = if signed { &OF_SIGNED } else { &OF_UNSIGNED };
    let exact = |a, b| if signed { dot_signed(a, b) as u32 } else { dot_unsigned(a, b) };
    let (cases, largest) = (dot_cases(), if signed { i32::MAX as u32 } else { u32::MAX });
    let answers = machine.ask(probe, &cases)?;
    let wrong = cases.iter().zip(&answers).filter(|(x, got)| got[0] != exact(x[0], x[1])).count();
    let [a, b] = [0x7f7f_7f7f; 2];
    let overflow = machine.ask(probe, &[[a, b, largest, 0]])?[0][1];
    let sum = if overflow == largest.wrapping_add(exact(a, b)) {
        "wraps".to_owned()
    } else if overflow == largest {
        "saturates".to_owned()
    } else {
        format!("gives {overflow:08x}")
    };
    let exactness = match wrong {
        0 => "exact".to_owned(),
        _ => format!("wrong for {wrong} of {} pairs of words", cases.len()),
    };
    Ok(format!("{exactness}; a sum that overflows {sum}"))
}

/// A number as the table has it.
fn shown(bits: u32) -> String {
    let x = f32::from_bits(bits);
    if x.is_nan() { "NaN".to_owned() } else { format!("{x:?}") }
}

const COMPARE: Probe = probe(SPECIAL, "compare", |x| {
    let [a, b, ..] = x.map(f32::from_bits);
    [comparisons(a, b), 0, 0, 0]
});
const EXTREMES: Probe = probe(SPECIAL, "extremes", |x| {
    let [a, b, ..] = x.map(f32::from_bits);
    pair(a.min(b), a.max(b))
});

fn comparisons(a: f32, b: f32) -> u32 {
    let truths = [a < b, a <= b, a == b, a != b, a > b, a >= b];
    truths.into_iter().enumerate().map(|(bit, is)| u32::from(is) << bit).sum()
}

/// Whether all six comparisons are those of IEEE 754, on NaN, infinities and zeros.
pub(super) fn comparing(machine: Machine<'_>) -> Result<String, Denied> {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let pairs = [[nan, 1.0], [1.0, nan], [nan, nan], [inf, inf], [-inf, f32::MIN], [-0.0, 0.0]];
    let answers = machine.ask(&COMPARE, &pairs.map(|[a, b]| pair(a, b)))?;
    let names = ["<", "<=", "==", "!=", ">", ">="];
    let mut odd = vec![];
    for ([a, b], [got, ..]) in pairs.into_iter().zip(answers) {
        let differing = got ^ comparisons(a, b);
        let wrong = names.iter().enumerate().filter(|(bit, _)| differing >> bit & 1 == 1);
        odd.extend(
            wrong.map(|(bit, name)| format!("{a:?} {name} {b:?} is {}", got >> bit & 1 == 1)),
        );
    }
    Ok(if odd.is_empty() { "as in IEEE 754".to_owned() } else { odd.join(", ") })
}

/// min and max where an operand is NaN or both are zeros.
pub(super) fn extremes(machine: Machine<'_>) -> Result<String, Denied> {
    let nan = f32::NAN;
    let answers = machine
        .ask(&EXTREMES, &[pair(nan, 1.0), pair(1.0, nan), pair(-0.0, 0.0), pair(0.0, -0.0)])?;
    let text = |case: usize, which: usize| shown(answers[case][which]);
    let of = |name: &str, which: usize| {
        format!(
            "{name}(NaN, 1) = {}, {name}(1, NaN) = {}, {name}(-0, 0) = {}, {name}(0, -0) = {}",
            text(0, which),
            text(1, which),
            text(2, which),
            text(3, which)
        )
    };
    Ok(format!("{}; {}", of("min", 0), of("max", 1)))
}

/// NaN and infinity through memory, all their bits.
pub(super) fn moved_specials(machine: Machine<'_>) -> Result<String, Denied> {
    let case = [0x7fc0_0001, 0xffc1_2345, f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits()];
    let mut kept = vec![];
    for (name, probe) in [("load", &LOAD), ("store", &STORE), ("copy", &COPY)] {
        kept.push((name, machine.ask(probe, &[case])?[0] == case));
    }
    let changed: Vec<&str> = kept.iter().filter(|(_, kept)| !kept).map(|&(name, _)| name).collect();
    Ok(if changed.is_empty() {
        "all bits kept".to_owned()
    } else {
        format!("changed by {}", changed.join(", "))
    })
}

/// An operation on NaN, infinity or zero: its name, and what is asked.
pub(super) type Special = (&'static str, fn() -> (&'static Probe, Words));

pub(super) const SPECIALS: [Special; 17] = [
    ("NaN + 1", || (&ADD, pair(f32::NAN, 1.0))),
    ("inf + 1", || (&ADD, pair(f32::INFINITY, 1.0))),
    ("inf - inf", || (&ADD, pair(f32::INFINITY, f32::NEG_INFINITY))),
    ("-0 + -0", || (&ADD, pair(-0.0, -0.0))),
    ("NaN * 0", || (&MULTIPLY, pair(f32::NAN, 0.0))),
    ("inf * 0", || (&MULTIPLY, pair(f32::INFINITY, 0.0))),
    ("-1 * 0", || (&MULTIPLY, pair(-1.0, 0.0))),
    ("largest * 2", || (&MULTIPLY, pair(f32::MAX, 2.0))),
    ("fma(-0, 1, 0)", || (&EXPLICIT, words([-0.0, 1.0, 0.0, 0.0]))),
    ("fma(inf, 0, 1)", || (&EXPLICIT, words([f32::INFINITY, 0.0, 1.0, 0.0]))),
    ("1 / 0", || (&FUNCTION_LIST[0].probe, pair(1.0, 0.0))),
    ("0 / 0", || (&FUNCTION_LIST[0].probe, pair(0.0, 0.0))),
    ("sqrt(-1)", || (&FUNCTION_LIST[1].probe, pair(-1.0, 0.0))),
    ("exp(100)", || (&FUNCTION_LIST[2].probe, pair(100.0, 0.0))),
    ("exp(-inf)", || (&FUNCTION_LIST[2].probe, pair(f32::NEG_INFINITY, 0.0))),
    ("log(0)", || (&FUNCTION_LIST[3].probe, pair(0.0, 0.0))),
    ("log(-1)", || (&FUNCTION_LIST[3].probe, pair(-1.0, 0.0))),
];

pub(super) fn special(machine: Machine<'_>, special: &Special) -> Result<String, Denied> {
    let (probe, case) = special.1();
    Ok(shown(machine.ask(probe, &[case])?[0][0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_divides_and_takes_roots_by_the_standard() {
        for function in &FUNCTION_LIST[..2] {
            assert_eq!(accuracy(Machine::Cpu, function).unwrap(), "correctly rounded");
        }
        assert_eq!(dot4(Machine::Cpu, true).unwrap(), "exact; a sum that overflows wraps");
        assert_eq!(dot4(Machine::Cpu, false).unwrap(), "exact; a sum that overflows wraps");
        assert_eq!(comparing(Machine::Cpu).unwrap(), "as in IEEE 754");
        assert_eq!(moved_specials(Machine::Cpu).unwrap(), "all bits kept");
    }

    /// A function that errs is seen, and by how much.
    #[test]
    fn an_error_of_three_units_is_three() {
        fn off(x: Words) -> Words {
            let root = f32::from_bits(x[0]).sqrt().to_bits();
            [if x[0].is_multiple_of(4) { root + 3 } else { root }, 0, 0, 0]
        }
        let honest = &FUNCTION_LIST[1];
        let function = Function {
            probe: probe(FUNCTIONS, "square_root", off),
            name: honest.name,
            sample: honest.sample,
            draw: honest.draw,
            value: honest.value,
        };
        let text = accuracy(Machine::Cpu, &function).unwrap();
        assert!(text.starts_with("at most 3 ULP off; 1"), "{text}");
    }

    #[test]
    fn places_are_neighbours_through_zero() {
        assert_eq!(place(f32::from_bits(1)) - place(-f32::from_bits(1)), 2);
        assert_eq!(place(2.0) - place(2.0f32.next_down()), 1);
        assert_eq!(place(-0.0), place(0.0));
    }
}
