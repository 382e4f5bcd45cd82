//! Which files of `kernels/` make each SGD kernel. A new format is one file and one row here.

use sha2::{Digest, Sha256};

use crate::gpu::{Composed, Source, compose};
use crate::number::{Format, Precision, Rounding};
use crate::problem::dataset::Loss;
use crate::wgsl;

/// The name of this implementation in the CSV: what shares a row is a block of 64 threads.
pub const KERNEL: &str = "blocked";

/// A kernel's place in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The epoch's permutation of the rows.
    Shuffle,
    /// Residuals of the minibatch.
    Residual,
    /// Gradient and update of at most 64 rows.
    UpdateRows,
    /// Partial gradients of more than 64 rows.
    Gradient,
    /// Second level of the gradient's sum.
    Combine,
    /// Update from partial gradients.
    UpdatePartials,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 6] = [
        Self::Shuffle,
        Self::Residual,
        Self::UpdateRows,
        Self::Gradient,
        Self::Combine,
        Self::UpdatePartials,
    ];

    /// The entry point.
    pub const fn entry(self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::Residual => "residual",
            Self::UpdateRows => "update_rows",
            Self::Gradient => "gradient",
            Self::Combine => "combine",
            Self::UpdatePartials => "update_partials",
        }
    }
}

/// A composed kernel and its entry point.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Name of the entry point.
    pub entry: &'static str,
    /// The WGSL.
    pub composed: Composed,
}

const PHILOX: Source = wgsl!("shared/philox.wgsl");
const STREAMS: Source = wgsl!("shared/streams.wgsl");
const ROUNDING: Source = wgsl!("shared/rounding.wgsl");
const INTEGERS: Source = wgsl!("sgd/integers.wgsl");
const SHAPE: Source = wgsl!("sgd/shape.wgsl");
const ORDER: Source = wgsl!("sgd/order.wgsl");

/// The file of a storage format.
fn four(format: Format) -> Source {
    match format {
        Format::F16 => wgsl!("sgd/four_f16.wgsl"),
        Format::Fixed16 => wgsl!("sgd/four_i16.wgsl"),
        Format::Fixed8 => wgsl!("sgd/four_i8.wgsl"),
        _ => wgsl!("sgd/four_f32.wgsl"),
    }
}

fn data_format(format: Format) -> Source {
    match format {
        Format::F16 => wgsl!("sgd/data_f16.wgsl"),
        Format::Fixed16 => wgsl!("sgd/data_i16.wgsl"),
        Format::Fixed8 => wgsl!("sgd/data_i8.wgsl"),
        _ => wgsl!("sgd/data_f32.wgsl"),
    }
}

fn model_format(format: Format, rounding: Rounding) -> Source {
    match (format, rounding) {
        (Format::F16, Rounding::Nearest) => wgsl!("sgd/model_f16.wgsl"),
        (Format::F16, Rounding::Stochastic) => wgsl!("sgd/model_f16_sr.wgsl"),
        // D16M16 has no setting that rounds to nearest.
        (Format::Fixed16, _) => wgsl!("sgd/model_i16_sr.wgsl"),
        (Format::Fixed8, Rounding::Nearest) => wgsl!("sgd/model_i8.wgsl"),
        (Format::Fixed8, Rounding::Stochastic) => wgsl!("sgd/model_i8_sr.wgsl"),
        _ => wgsl!("sgd/model_f32.wgsl"),
    }
}

fn loss_file(loss: Loss) -> Source {
    match loss {
        Loss::LeastSquares => wgsl!("sgd/loss_least_squares.wgsl"),
        Loss::Logistic => wgsl!("sgd/loss_logistic.wgsl"),
    }
}

/// The kernels of a step, in the order of [`Stage::ALL`].
pub fn kernels(precision: Precision, loss: Loss) -> Vec<(Stage, Kernel)> {
    let (storage, model) = (precision.storage(), precision.accumulator());
    let mut formats = vec![PHILOX, STREAMS, ROUNDING, INTEGERS, SHAPE, four(storage)];
    if model != storage {
        formats.push(four(model));
    }
    let data = [data_format(storage), wgsl!("sgd/data.wgsl"), ORDER];
    let weights = [model_format(model, precision.rounding()), wgsl!("sgd/model.wgsl")];
    let exact = storage == Format::Fixed8 && model == Format::Fixed8;
    let dot = if exact { wgsl!("sgd/dot_i8.wgsl") } else { wgsl!("sgd/dot_f32.wgsl") };
    let with = |parts: &[&[Source]]| [formats.as_slice(), &parts.concat()].concat();
    let rows = wgsl!("sgd/gradient_rows.wgsl");
    let (partials, apply) = (wgsl!("sgd/partials.wgsl"), wgsl!("sgd/apply.wgsl"));
    let files = |stage| match stage {
        Stage::Shuffle => vec![PHILOX, STREAMS, SHAPE, wgsl!("sgd/shuffle.wgsl")],
        Stage::Residual => {
            let mut own = vec![loss_file(loss), dot, wgsl!("sgd/residual.wgsl")];
            if loss == Loss::Logistic {
                own.push(wgsl!("shared/reciprocal.wgsl"));
            }
            with(&[&data, &weights, &own])
        }
        Stage::UpdateRows => {
            with(&[&data, &weights, &[rows, apply, wgsl!("sgd/update_rows.wgsl")]])
        }
        Stage::Gradient => with(&[&data, &[rows, wgsl!("sgd/gradient.wgsl")]]),
        Stage::Combine => vec![SHAPE, partials, wgsl!("sgd/combine.wgsl")],
        Stage::UpdatePartials => {
            with(&[&weights, &[partials, apply, wgsl!("sgd/update_partials.wgsl")]])
        }
    };
    let kernel = |stage: Stage| Kernel { entry: stage.entry(), composed: compose(&files(stage)) };
    Stage::ALL.into_iter().map(|stage| (stage, kernel(stage))).collect()
}

/// The kernel that converts a data set from f32; none where it stays f32.
pub fn conversion_kernel(precision: Precision) -> Option<Kernel> {
    let storage = precision.storage();
    let files =
        [ROUNDING, INTEGERS, four(storage), data_format(storage), wgsl!("sgd/convert.wgsl")];
    (storage != Format::F32).then(|| Kernel { entry: "convert", composed: compose(&files) })
}

/// One identity for all WGSL of a setting: SHA-256, in hexadecimal, of the kernels' digests in
/// the order of [`Stage::ALL`], the conversion's last.
pub fn sources_sha256(precision: Precision, loss: Loss) -> String {
    let mut sha = Sha256::new();
    let conversion = conversion_kernel(precision);
    for kernel in kernels(precision, loss).iter().map(|(_, kernel)| kernel).chain(&conversion) {
        sha.update(kernel.composed.sha256.as_bytes());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Every kernel of every setting is valid WGSL without any optional feature of a device.
    /// (`SHADER_FLOAT16_IN_FLOAT32` is `unpack2x16float` itself, which core WGSL has.)
    #[test]
    fn every_kernel_validates() {
        for precision in Precision::SGD {
            for loss in [Loss::LeastSquares, Loss::Logistic] {
                let stages = kernels(precision, loss).into_iter().map(|(_, kernel)| kernel);
                for Kernel { entry, composed } in stages.chain(conversion_kernel(precision)) {
                    let module = naga::front::wgsl::parse_str(&composed.wgsl).unwrap_or_else(|e| {
                        panic!("{precision} {entry}: {}", e.emit_to_string(&composed.wgsl))
                    });
                    assert!(module.entry_points.iter().any(|point| point.name == entry));
                    Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
                        .validate(&module)
                        .unwrap_or_else(|e| {
                            panic!("{precision} {entry}: {}", e.emit_to_string(&composed.wgsl))
                        });
                }
            }
        }
    }

    #[test]
    fn settings_have_their_own_identity() {
        let mut seen = std::collections::HashSet::new();
        for precision in Precision::SGD {
            for loss in [Loss::LeastSquares, Loss::Logistic] {
                assert!(seen.insert(sources_sha256(precision, loss)));
            }
        }
    }
}
