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
