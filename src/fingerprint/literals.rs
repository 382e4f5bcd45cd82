//! What compilers make of operations on literals, apart from what the hardware does: most of it never
//! runs on any device.

use super::machine::{Denied, Machine, Needs, Ports, Probe, Words, exp2, words};
use crate::gpu::Source;
use crate::wgsl;

const F32: Source = wgsl!("probe/literals.wgsl");
const F16: Source = wgsl!("probe/literals_f16.wgsl");

const F32_NAMES: [&str; 7] = [
    "fma whose fusing shows",
    "sum just above a tie",
    "product that is subnormal",
    "product of a subnormal",
    "fma(-0, 1, 0)",
    "TwoSum of 1 and 2^-30",
    "1 / 3",
];

const F16_NAMES: [&str; 5] = [
    "unpack2x16float of a subnormal",
    "pack2x16float of a tie",
    "pack2x16float to a subnormal",
    "quantizeToF16 to a subnormal",
    "quantizeToF16 of a tie",
];

/// The operands of the kernels' literals, for the same operations at run time.
fn f32_cases() -> Vec<Words> {
    let (a, b) = (1.0 + exp2(-12), 1.0 + exp2(-13));
    [
        [a, b, -1.0 - exp2(-12) - exp2(-13)],
        [1.0, 1.5 * exp2(-24), 0.0],
        [exp2(-100), exp2(-30), 0.0],
        [exp2(-130), exp2(10), 0.0],
        [-0.0, 1.0, 0.0],
        [1.0, exp2(-30), 0.0],
        [1.0, 3.0, 0.0],
    ]
    .map(|[a, b, c]| words([a, b, c, 0.0]))
    .to_vec()
}

fn f16_cases() -> Vec<Words> {
    let (tie, tiny) = ((1.0 + exp2(-11)).to_bits(), (1.5 * exp2(-24)).to_bits());
    [1, tie, tiny, tiny, tie].map(|word| [word, 0, 0, 0]).to_vec()
}

/// Every case by name, with what became of it `written` as an expression and `assigned` to variables.
pub(super) fn folded(
    machine: Machine<'_>,
    f16: bool,
) -> Result<Vec<(&'static str, String)>, Denied> {
    let (source, needs, names, cases) = match f16 {
        true => (F16, Needs::Packing, &F16_NAMES[..], f16_cases()),
        false => (F32, Needs::Nothing, &F32_NAMES[..], f32_cases()),
    };
    let ask = |entry, ports| machine.ask(&Probe { source, entry, needs, ports, cpu: None }, &cases);
    let loaded = ask("loaded", Ports::Words)?;
    let written = ask("written", Ports::Nothing)?;
    let assigned = ask("assigned", Ports::Nothing)?;
    let told = |(i, &name): (usize, &&'static str)| {
        let [loaded, written, assigned] = [&loaded, &written, &assigned].map(|all| all[i][0]);
        let text = match (written == loaded, assigned == loaded) {
            (true, true) => "as at run time".to_owned(),
            (written_same, assigned_same) => {
                let mut odd = vec![];
                if !written_same {
                    odd.push(format!("{written:08x} as an expression"));
                }
                if !assigned_same {
                    odd.push(format!("{assigned:08x} in variables"));
                }
                format!("{}, {loaded:08x} at run time", odd.join(" and "))
            }
        };
        (name, text)
    };
    Ok(names.iter().enumerate().map(told).collect())
}

/// Operations on a run-time number and on literals that an optimiser may take for neutral, by name, with
/// what became of them.
pub(super) fn neutral(machine: Machine<'_>) -> Result<Vec<(&'static str, String)>, Denied> {
    let names = [
        "x + literal 0, x = -0",
        "fma(x, literals 1, 0), x = -0",
        "x * literal 0, x = inf",
        "x * literal 1, x = 2^-130",
    ];
    let cases =
        [[-0.0, 0.0, 0.0], [-0.0, 1.0, 0.0], [f32::INFINITY, 0.0, 0.0], [exp2(-130), 1.0, 0.0]]
            .map(|[a, b, c]| words([a, b, c, 0.0]));
    let ask = |entry| {
        let (source, needs, ports) = (F32, Needs::Nothing, Ports::Words);
        machine.ask(&Probe { source, entry, needs, ports, cpu: None }, &cases)
    };
    let (literal, loaded) = (ask("neutral")?, ask("neutral_loaded")?);
    let told = |(name, (literal, loaded)): (&'static str, (Words, Words))| {
        let [literal, loaded] = [literal[0], loaded[0]].map(f32::from_bits);
        let same = literal.to_bits() == loaded.to_bits() || (literal.is_nan() && loaded.is_nan());
        let text = match same {
            true => "as at run time".to_owned(),
            false => format!("{literal:?}, {loaded:?} at run time"),
        };
        (name, text)
    };
    Ok(names.into_iter().zip(literal.into_iter().zip(loaded)).map(told).collect())
}
