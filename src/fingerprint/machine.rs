//! What is asked, and who answers: a device by a kernel, the CPU by the same operations in Rust.

use std::hint::black_box;

use crate::gpu::{Context, GpuError, Source, compose};

/// Invocations in a workgroup of every probe, one a case.
const WORKGROUP_SIZE: usize = 64;

/// One case, or its answer: the bits of up to four numbers.
pub(super) type Words = [u32; 4];

/// What a device must have to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// `pack2x16float` and its like.
    Packing,
    /// f16 as a type (`SHADER_F16`).
    F16,
}

/// Which bindings an entry point reads and writes: words or numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ports {
    /// 0 to 1.
    Words,
    /// 2 to 1.
    NumbersIn,
    /// 0 to 3.
    NumbersOut,
    /// 2 to 3.
    Numbers,
    /// 1 alone.
    Nothing,
}

impl Ports {
    fn bindings(self) -> (Option<u32>, u32) {
        match self {
            Self::Words => (Some(0), 1),
            Self::NumbersIn => (Some(2), 1),
            Self::NumbersOut => (Some(0), 3),
            Self::Numbers => (Some(2), 3),
            Self::Nothing => (None, 1),
        }
    }
}

/// One question: an entry point, and what the CPU does in its place.
pub(super) struct Probe {
    pub source: Source,
    pub entry: &'static str,
    pub needs: Needs,
    pub ports: Ports,
    /// `None` where the CPU's programs have no such operation.
    pub cpu: Option<fn(Words) -> Words>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Denied {
    /// The device has no such operation.
    Lacks(&'static str),
    /// The device was asked and did not answer.
    Fault(GpuError),
}

impl From<GpuError> for Denied {
    fn from(error: GpuError) -> Self {
        Self::Fault(error)
    }
}

/// Who answers.
#[derive(Clone, Copy)]
pub(super) enum Machine<'a> {
    Cpu,
    Gpu(&'a Context),
}

impl Machine<'_> {
    /// The answer to each case.
    pub fn ask(self, probe: &Probe, cases: &[Words]) -> Result<Vec<Words>, Denied> {
        match self {
            Self::Cpu => match probe.cpu {
                Some(answer) => Ok(cases.iter().map(|&case| answer(black_box(case))).collect()),
                None => Err(Denied::Lacks("a program of the CPU has no such operation")),
            },
            Self::Gpu(context) => ask(context, probe, cases),
        }
    }
}

fn ask(context: &Context, probe: &Probe, cases: &[Words]) -> Result<Vec<Words>, Denied> {
    match probe.needs {
        Needs::Packing if !context.has_packing() => return Err(Denied::Lacks("no packing of f16")),
        Needs::F16 if !context.info.shader_f16 => return Err(Denied::Lacks("no f16 arithmetic")),
        _ => {}
    }
    let bytes: &[u8] = bytemuck::cast_slice(cases);
    let pipeline = context.compile(&compose(&[probe.source]), probe.entry, &[], false)?;
    let to = context.buffer("probe results", bytes.len() as u64)?;
    let (input, output) = probe.ports.bindings();
    let workgroups = [cases.len().div_ceil(WORKGROUP_SIZE) as u32, 1, 1];
    let command = match input {
        Some(input) => {
            let from = context.buffer("probe operands", bytes.len() as u64)?;
            context.upload(&from, bytes)?;
            context.dispatch(&pipeline, &[(input, &from), (output, &to)], workgroups)?
        }
        None => context.dispatch(&pipeline, &[(output, &to)], [1, 1, 1])?,
    };
    context.run(&[command], 1)?;
    Ok(bytemuck::pod_collect_to_vec(&context.read(&to, 0, bytes.len() as u64)?))
}

/// The bits of a, b, c and d.
pub(super) fn words(numbers: [f32; 4]) -> Words {
    numbers.map(f32::to_bits)
}

/// The bits of a and b, and two zeros.
pub(super) fn pair(a: f32, b: f32) -> Words {
    words([a, b, 0.0, 0.0])
}

/// 2^exponent, exactly, of a normal or subnormal f32.
pub(super) fn exp2(exponent: i32) -> f32 {
    2f64.powi(exponent) as f32
}

/// Uniform bits from an LCG (Knuth's MMIX), whose high half is good enough for operands: the same
/// in every run.
pub(super) struct Bits(u64);

impl Bits {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A positive f32 with random digits and an exponent of `low` to `high`.
    pub fn number(&mut self, low: i32, high: i32) -> f32 {
        let (digits, exponent) = (self.next() & 0x007f_ffff, self.next());
        let exponent = low + (exponent % (high - low + 1) as u32) as i32;
        f32::from_bits(digits | ((exponent + 127) as u32) << 23)
    }
}
