//! Formats, roundings, random bits and the names of precisions. Knows nothing else of the crate.

pub mod arithmetic;
pub mod block;
mod entries;
mod fixed;
mod fp8;
pub mod lanes;
pub mod philox;
mod precision;
pub mod round;

pub use arithmetic::Arithmetic;
pub use entries::{Entries, Mismatches};
pub use fixed::Fixed;
pub use fp8::Fp8;
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
    /// OCP OFP8 E4M3: up to 448, no infinity, unit roundoff 2⁻⁴.
    E4m3,
    /// OCP OFP8 E5M2: up to 57,344, unit roundoff 2⁻³.
    E5m2,
    /// OCP Microscaling: E4M3 elements, one power of two for each 32 along k.
    MxFp8,
    /// OCP Microscaling: integers in [−127, 127] times 2⁻⁶, one power of two for each 32 along k.
    MxInt8,
    /// 8-bit integers in [−127, 127] times an f32 scale taken from the data.
    Int8,
    /// 4-bit integers in [−7, 7] times an f32 scale for each 32 along k.
    Int4,
    /// 32-bit two's complement integers.
    Int32,
    /// 4-bit fixed point: integers in [−7, 7] times a power-of-two step.
    Fixed4,
    /// 8-bit fixed point: integers in [−127, 127] times a power-of-two step.
    Fixed8,
    /// 16-bit fixed point: integers in [−32767, 32767] times a power-of-two step.
    Fixed16,
    /// Two f16, x = hi + lo·2⁻¹¹: 22 bits in the range of f16.
    F16x2,
    /// Three bf16, x = x₀ + x₁ + x₂: the 24 bits of an f32.
    Bf16x3,
    /// Two f32, x = hi + lo (double-single): about 48 bits in the range of f32.
    F32x2,
    /// IEEE binary64, unit roundoff 2⁻⁵³.
    F64,
}

impl Format {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::E4m3 => "e4m3",
            Self::E5m2 => "e5m2",
            Self::MxFp8 => "mxfp8",
            Self::MxInt8 => "mxint8",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int32 => "int32",
            Self::Fixed4 => "fixed4",
            Self::Fixed8 => "fixed8",
            Self::Fixed16 => "fixed16",
            Self::F16x2 => "f16x2",
            Self::Bf16x3 => "bf16x3",
            Self::F32x2 => "f32x2",
            Self::F64 => "f64",
        }
    }

    /// Bits of one stored number, without its share of a scale.
    pub const fn bits(self) -> u32 {
        match self {
            Self::F32x2 | Self::F64 => 64,
            Self::Bf16x3 => 48,
            Self::F32 | Self::Int32 | Self::F16x2 => 32,
            Self::F16 | Self::Bf16 | Self::Fixed16 => 16,
            Self::E4m3 | Self::E5m2 | Self::MxFp8 | Self::MxInt8 => 8,
            Self::Int8 | Self::Fixed8 => 8,
            Self::Int4 | Self::Fixed4 => 4,
        }
    }

    /// Bytes that `n` numbers occupy, without padding: with the scales of their blocks, but without
    /// the few that int8 has.
    pub const fn bytes(self, n: u64) -> u64 {
        let blocks = n.div_ceil(block::BLOCK as u64);
        let scales = match self {
            Self::MxFp8 | Self::MxInt8 => blocks,
            Self::Int4 => 4 * blocks,
            _ => 0,
        };
        (n * self.bits() as u64).div_ceil(8) + scales
    }

    /// Whether numbers share a scale in blocks along k.
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::MxFp8 | Self::MxInt8 | Self::Int4)
    }

    /// The 8-bit floating-point format of one number, where it is one.
    pub const fn fp8(self) -> Option<Fp8> {
        match self {
            Self::E4m3 | Self::MxFp8 => Some(Fp8::E4M3),
            Self::E5m2 => Some(Fp8::E5M2),
            _ => None,
        }
    }

    /// Unit roundoff `u`: the largest relative error of one rounding to nearest of a normal
    /// number. 0 for the integer and fixed-point formats, whose rounding error is absolute.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 1.0 / 16_777_216.0,
            Self::F16 => 1.0 / 2048.0,
            Self::Bf16 => 1.0 / 256.0,
            // Of a pair, the half ULP of its lower part: 2⁻²² and 2⁻⁴⁸.
            Self::F16x2 => 1.0 / 4_194_304.0,
            Self::Bf16x3 => 1.0 / 16_777_216.0,
            Self::F32x2 => 1.0 / 281_474_976_710_656.0,
            Self::F64 => f64::EPSILON / 2.0,
            Self::E4m3 | Self::MxFp8 => 1.0 / 16.0,
            Self::E5m2 => 1.0 / 8.0,
            Self::Int8 | Self::Int4 | Self::MxInt8 => 0.0,
            Self::Int32 | Self::Fixed4 | Self::Fixed8 | Self::Fixed16 => 0.0,
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
