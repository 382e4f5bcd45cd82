//! The precision grammar: one name a precision, the same in bench ids, the CLI, the CSV and figures.

use std::fmt;
use std::str::FromStr;

use super::{Format, Rounding};

/// How the scale of an integer format is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// One scale for the whole matrix.
    Tensor,
    /// One scale for each row of A and each column of B.
    Rowwise,
    /// One scale for each 32 numbers along k.
    Block32,
}

impl Scaling {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tensor => "tensor",
            Self::Rowwise => "rowwise",
            Self::Block32 => "block32",
        }
    }
}

/// Storage format of the operands, format of what accumulates, and rounding.
///
/// Matrix products are named by their operands (`fp16`) with suffixes for what departs from an
/// f32 accumulator rounded to nearest: `-comp` for a compensated f32 sum. `fp16x2` and `bf16x3` stand
/// for operands that are f32 split into two f16 or three bf16, `fp32x2` for operands, sums and
/// results that are pairs of f32 (double-single). SGD settings carry the DMGC signature of Buckwild!
/// (De Sa et al. 2017): `D` and the bits of the data set, `M` and the bits of the model, `f` for
/// floating point (the signature's own letter), `b` for bfloat16 (ours: its 16 bits are not those of
/// `16f`), nothing for fixed point, `-SR` where the model's updates are rounded stochastically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is what its name spells; `Precision::spec` holds the parts
pub enum Precision {
    Fp32,
    Fp16,
    Fp16Acc16,
    Fp16Sr,
    Bf16,
    Int8,
    Int8Rowwise,
    Int8Sr,
    Int8SrRowwise,
    Fp16x2,
    Bf16x3,
    Fp32Comp,
    Fp32x2,
    Fp64,
    Bf16Sr,
    Fp8E4m3,
    Fp8E4m3Sr,
    Fp8E5m2,
    Fp8E5m2Sr,
    Mxfp8,
    Mxint8,
    Int4,
    Int4Sr,
    D32fM32f,
    D16fM16f,
    D16fM16fSr,
    D8M8,
    D8M8Sr,
    D8M32f,
    D16M16Sr,
    D16bM16b,
    D16bM16bSr,
    D8M16Sr,
    D4M4Sr,
    D32fM8Sr,
}

/// What a [`Precision`] is made of.
struct Spec {
    name: &'static str,
    alias: Option<&'static str>,
    /// Matmul: operands. SGD: data set.
    storage: Format,
    /// Matmul: accumulator. SGD: model.
    accumulator: Format,
    rounding: Rounding,
    scaling: Option<Scaling>,
}

const fn spec(
    name: &'static str,
    alias: Option<&'static str>,
    storage: Format,
    accumulator: Format,
    rounding: Rounding,
    scaling: Option<Scaling>,
) -> Spec {
    Spec { name, alias, storage, accumulator, rounding, scaling }
}

impl Precision {
    /// The matmul precisions that are measured unless others are named, in the order in which they are
    /// measured: one of each kind that many devices have.
    pub const MATMUL: [Self; 9] = [
        Self::Fp32,
        Self::Fp16,
        Self::Fp16Acc16,
        Self::Fp16Sr,
        Self::Bf16,
        Self::Int8,
        Self::Int8Rowwise,
        Self::Int8Sr,
        Self::Int8SrRowwise,
    ];

    /// The matmul precisions narrower than these, or rounded otherwise: bf16 sums rounded stochastically,
    /// fp8, the Microscaling formats, int4. Measured where they are asked for by name.
    pub const NARROW: [Self; 9] = [
        Self::Bf16Sr,
        Self::Fp8E4m3,
        Self::Fp8E4m3Sr,
        Self::Fp8E5m2,
        Self::Fp8E5m2Sr,
        Self::Mxfp8,
        Self::Mxint8,
        Self::Int4,
        Self::Int4Sr,
    ];

    /// The matmul precisions about as good as f32 and beyond it, from the narrowest: sums of 16-bit
    /// operands, compensated and double-single sums, f64. Measured where they are asked for by name.
    pub const WIDE: [Self; 5] =
        [Self::Fp16x2, Self::Bf16x3, Self::Fp32Comp, Self::Fp32x2, Self::Fp64];

    /// The SGD settings, in the order in which they are measured.
    pub const SGD: [Self; 12] = [
        Self::D32fM32f,
        Self::D16fM16f,
        Self::D16fM16fSr,
        Self::D8M8,
        Self::D8M8Sr,
        Self::D8M32f,
        Self::D16M16Sr,
        Self::D16bM16b,
        Self::D16bM16bSr,
        Self::D8M16Sr,
        Self::D4M4Sr,
        Self::D32fM8Sr,
    ];

    /// Those that are measured unless others are named: the head of [`Precision::SGD`].
    pub const SGD_STANDARD: [Self; 7] = {
        let [a, b, c, d, e, f, g, ..] = Self::SGD;
        [a, b, c, d, e, f, g]
    };

    /// Every precision of every workload.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::matmul().chain(Self::SGD)
    }

    /// Every precision of matrix products, the ones of [`Precision::MATMUL`] first.
    pub fn matmul() -> impl Iterator<Item = Self> + Clone {
        Self::MATMUL.into_iter().chain(Self::NARROW).chain(Self::WIDE)
    }

    /// What is measured unless precisions are named: [`Precision::MATMUL`] and
    /// [`Precision::SGD_STANDARD`].
    pub fn standard() -> impl Iterator<Item = Self> {
        Self::MATMUL.into_iter().chain(Self::SGD_STANDARD)
    }

    /// Whether it is a precision of matrix products, default or not.
    pub fn is_matmul(self) -> bool {
        Self::matmul().any(|precision| precision == self)
    }

    /// Whether it is one of [`Precision::WIDE`].
    pub fn is_wide(self) -> bool {
        Self::WIDE.contains(&self)
    }

    /// Whether its sums carry the errors of their own roundings, and so depend on a compiler that
    /// leaves them in.
    pub const fn is_compensated(self) -> bool {
        matches!(self, Self::Fp32Comp | Self::Fp32x2)
    }

    /// Whether its results are so good that an f64 product is no truth for them.
    pub const fn needs_exact_truth(self) -> bool {
        self.is_compensated() || matches!(self, Self::Fp64)
    }

    /// Whether operands that were given in f64 are taken as they are, or as parts of their own, and not
    /// rounded to f32 first.
    pub const fn takes_f64(self) -> bool {
        matches!(self.storage(), Format::F16x2 | Format::Bf16x3 | Format::F32x2 | Format::F64)
    }

    const fn spec(self) -> Spec {
        use Format::{Bf16, Bf16x3, F16, F16x2, F32, F32x2, F64, Int8, Int32};
        use Format::{E4m3, E5m2, Fixed4, Fixed8, Fixed16, Int4, MxFp8, MxInt8};
        use Rounding::{Nearest, Stochastic};
        use Scaling::{Block32, Rowwise, Tensor};
        match self {
            Self::Fp32 => spec("fp32", None, F32, F32, Nearest, None),
            Self::Fp16 => spec("fp16", None, F16, F32, Nearest, None),
            Self::Fp16Acc16 => spec("fp16-acc16", None, F16, F16, Nearest, None),
            Self::Fp16Sr => spec("fp16-sr", None, F16, F16, Stochastic, None),
            Self::Bf16 => spec("bf16", None, Bf16, F32, Nearest, None),
            Self::Int8 => spec("int8", None, Int8, Int32, Nearest, Some(Tensor)),
            Self::Int8Rowwise => spec("int8-rowwise", None, Int8, Int32, Nearest, Some(Rowwise)),
            Self::Int8Sr => spec("int8-sr", None, Int8, Int32, Stochastic, Some(Tensor)),
            Self::Int8SrRowwise => {
                spec("int8-sr-rowwise", None, Int8, Int32, Stochastic, Some(Rowwise))
            }
            Self::Fp16x2 => spec("fp16x2", None, F16x2, F32, Nearest, None),
            Self::Bf16x3 => spec("bf16x3", None, Bf16x3, F32, Nearest, None),
            Self::Fp32Comp => spec("fp32-comp", None, F32, F32x2, Nearest, None),
            Self::Fp32x2 => spec("fp32x2", None, F32x2, F32x2, Nearest, None),
            Self::Fp64 => spec("fp64", None, F64, F64, Nearest, None),
            Self::Bf16Sr => spec("bf16-sr", None, Bf16, Bf16, Stochastic, None),
            Self::Fp8E4m3 => spec("fp8-e4m3", None, E4m3, F32, Nearest, None),
            Self::Fp8E4m3Sr => spec("fp8-e4m3-sr", None, E4m3, F32, Stochastic, None),
            Self::Fp8E5m2 => spec("fp8-e5m2", None, E5m2, F32, Nearest, None),
            Self::Fp8E5m2Sr => spec("fp8-e5m2-sr", None, E5m2, F32, Stochastic, None),
            Self::Mxfp8 => spec("mxfp8", None, MxFp8, F32, Nearest, Some(Block32)),
            Self::Mxint8 => spec("mxint8", None, MxInt8, F32, Nearest, Some(Block32)),
            Self::Int4 => spec("int4", None, Int4, F32, Nearest, Some(Block32)),
            Self::Int4Sr => spec("int4-sr", None, Int4, F32, Stochastic, Some(Block32)),
            Self::D32fM32f => spec("D32fM32f", Some("fp32"), F32, F32, Nearest, None),
            Self::D16fM16f => spec("D16fM16f", Some("fp16"), F16, F16, Nearest, None),
            Self::D16fM16fSr => spec("D16fM16f-SR", Some("fp16-sr"), F16, F16, Stochastic, None),
            Self::D8M8 => spec("D8M8", Some("int8"), Fixed8, Fixed8, Nearest, None),
            Self::D8M8Sr => spec("D8M8-SR", Some("int8-sr"), Fixed8, Fixed8, Stochastic, None),
            Self::D8M32f => spec("D8M32f", None, Fixed8, F32, Nearest, None),
            Self::D16M16Sr => spec("D16M16-SR", None, Fixed16, Fixed16, Stochastic, None),
            Self::D16bM16b => spec("D16bM16b", None, Bf16, Bf16, Nearest, None),
            Self::D16bM16bSr => spec("D16bM16b-SR", None, Bf16, Bf16, Stochastic, None),
            Self::D8M16Sr => spec("D8M16-SR", None, Fixed8, Fixed16, Stochastic, None),
            Self::D4M4Sr => spec("D4M4-SR", None, Fixed4, Fixed4, Stochastic, None),
            Self::D32fM8Sr => spec("D32fM8-SR", None, F32, Fixed8, Stochastic, None),
        }
    }

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The matmul-style name under which an SGD setting is selected too.
    pub const fn alias(self) -> Option<&'static str> {
        self.spec().alias
    }

    /// Format of the operands (matmul) or of the data set (SGD).
    pub const fn storage(self) -> Format {
        self.spec().storage
    }

    /// Format of the accumulator (matmul) or of the model (SGD).
    pub const fn accumulator(self) -> Format {
        self.spec().accumulator
    }

    /// Rounding of the accumulator after every product-add (fp16-sr, bf16-sr), of the operands on
    /// conversion (int8-sr, int4-sr, fp8-e4m3-sr, fp8-e5m2-sr) or of the model (SGD).
    pub const fn rounding(self) -> Rounding {
        self.spec().rounding
    }

    /// How the integer formats share their scale; `None` elsewhere.
    pub const fn scaling(self) -> Option<Scaling> {
        self.spec().scaling
    }

    /// The precisions that `text` names, by canonical name or alias, ignoring case: `fp16-sr` is
    /// both the matmul precision and the SGD setting D16fM16f-SR.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, PrecisionError> {
        let text = text.trim();
        let is = |name: &str| name.eq_ignore_ascii_case(text);
        let found: Vec<_> =
            Self::all().filter(|p| is(p.name()) || p.alias().is_some_and(is)).collect();
        if found.is_empty() { Err(PrecisionError(text.to_owned())) } else { Ok(found) }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    /// Reads a canonical name, ignoring case.
    fn from_str(text: &str) -> Result<Self, PrecisionError> {
        Self::all()
            .find(|p| p.name().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| PrecisionError(text.trim().to_owned()))
    }
}

/// A name that is no precision's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrecisionError(pub String);

impl fmt::Display for PrecisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Precision::all().map(Precision::name).collect();
        write!(f, "unknown precision `{}`; valid are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for PrecisionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for p in Precision::all() {
            assert_eq!(p.to_string().parse::<Precision>().unwrap(), p);
            assert!(p.is_matmul() != Precision::SGD.contains(&p));
        }
    }

    #[test]
    fn an_alias_selects_both_workloads() {
        let found = Precision::parse_all("FP16-SR").unwrap();
        assert_eq!(found, [Precision::Fp16Sr, Precision::D16fM16fSr]);
        assert!(Precision::parse_all("fp17").unwrap_err().to_string().contains("`fp17`"));
    }
}
