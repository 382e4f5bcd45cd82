//! Formats, roundings, random bits and the names of precisions. Knows nothing else of the crate.

pub mod arithmetic;
mod fixed;
pub mod lanes;
pub mod philox;
mod precision;
pub mod round;

pub use arithmetic::Arithmetic;
pub use fixed::Fixed;
pub use precision::{Precision, PrecisionError, Scaling};

/// A storage or accumulator format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE binary32, unit roundoff 2⁻²⁴.
    F32,
    /// IEEE binary16, unit roundoff 2⁻¹¹.
    F16,
    /// bfloat16, unit roundoff 2⁻⁸.
    Bf16,
    /// 8-bit integers in [−127, 127] times an f32 scale taken from the data.
    Int8,
    /// 32-bit two's complement integers.
    Int32,
    /// 4-bit fixed point: integers in [−7, 7] times a power-of-two step.
    Fixed4,
    /// 8-bit fixed point: integers in [−127, 127] times a power-of-two step.
    Fixed8,
    /// 16-bit fixed point: integers in [−32767, 32767] times a power-of-two step.
    Fixed16,
}

impl Format {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int32 => "int32",
            Self::Fixed4 => "fixed4",
            Self::Fixed8 => "fixed8",
            Self::Fixed16 => "fixed16",
        }
    }

    /// Bits of one stored number.
    pub const fn bits(self) -> u32 {
        match self {
            Self::F32 | Self::Int32 => 32,
            Self::F16 | Self::Bf16 | Self::Fixed16 => 16,
            Self::Int8 | Self::Fixed8 => 8,
            Self::Fixed4 => 4,
        }
    }

    /// Bytes that `n` numbers occupy, without padding.
    pub const fn bytes(self, n: u64) -> u64 {
        n * self.bits() as u64 / 8
    }

    /// Unit roundoff `u`: the largest relative error of one rounding to nearest of a normal
    /// number. 0 for the integer and fixed-point formats, whose rounding error is absolute.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 1.0 / 16_777_216.0,
            Self::F16 => 1.0 / 2048.0,
            Self::Bf16 => 1.0 / 256.0,
            Self::Int8 | Self::Int32 | Self::Fixed4 | Self::Fixed8 | Self::Fixed16 => 0.0,
        }
    }
}

/// How a result that its format cannot hold is replaced by a neighbour that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest, ties to the even one.
    Nearest,
    /// Up with probability equal to the dropped fraction (16 random bits), else down.
    Stochastic,
}

impl Rounding {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Stochastic => "stochastic",
        }
    }
}
