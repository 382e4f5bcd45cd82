//! Which files of `kernels/` make each SGD kernel. A new format is one file and one row here.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Algorithm;
use crate::gpu::{Composed, Source, compose, sums_probe};
use crate::hexadecimal::hexadecimal;
use crate::mirror::sgd::{BLOCK, TILE};
use crate::number::{Format, Precision, Rounding};
use crate::problem::dataset::{DatasetSpec, Loss};
use crate::wgsl;

/// How the steps of a run are spread over dispatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// Two dispatches a step, or three where a minibatch is more than one tile of 256 rows.
    Stepwise,
    /// One dispatch of one workgroup for many steps.
    Persistent,
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown kernel `{}`; valid are {names}", text.trim())
        })
    }
}

/// Up to so many products of a number with the model a step, one workgroup that goes on to the next
/// step by itself is faster than launching two grids.
const PERSISTENT_PRODUCTS: usize = 1 << 15;

impl Schedule {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stepwise, Self::Persistent];

    /// The name in the CSV's column `kernel`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stepwise => "stepwise",
            Self::Persistent => "persistent",
        }
    }

    /// Whether minibatches of `batch` rows can be run so.
    pub const fn applies(self, batch: usize) -> bool {
        match self {
            Self::Stepwise => true,
            Self::Persistent => batch <= TILE_ROWS,
        }
    }

    /// The one to use for minibatches of `batch` rows and a model of `outputs` × `columns`.
    pub const fn of(batch: usize, columns: usize, outputs: usize) -> Self {
        let small = batch.saturating_mul(columns * outputs) <= PERSISTENT_PRODUCTS;
        if small && Self::Persistent.applies(batch) { Self::Persistent } else { Self::Stepwise }
    }

    /// The same, for a data set that is not at hand.
    pub fn of_spec(spec: DatasetSpec, batch: usize) -> Self {
        Self::of(batch, spec.columns(), spec.outputs())
    }
}

/// A kernel's place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The epoch's permutation of the rows.
    Shuffle,
    /// The rows that variance-reduced SGD takes until the next full gradient.
    Draw,
    /// Residuals of the minibatch.
    Residual,
    /// Gradient and update of at most 256 rows.
    Update,
    /// Partial gradients of more than 256 rows.
    Gradient,
    /// Update from partial gradients.
    UpdateTiles,
    /// Several whole steps of at most 256 rows.
    Persistent,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 7] = [
        Self::Shuffle,
        Self::Draw,
        Self::Residual,
        Self::Update,
        Self::Gradient,
        Self::UpdateTiles,
        Self::Persistent,
    ];

    /// The entry point.
    pub const fn entry(self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::Draw => "draw",
            Self::Residual => "residual",
            Self::Update => "update",
            Self::Gradient => "gradient",
            Self::UpdateTiles => "update_tiles",
            Self::Persistent => "persistent",
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

/// Rows of a tile.
pub(super) const TILE_ROWS: usize = BLOCK * TILE;

const PHILOX: Source = wgsl!("shared/philox.wgsl");
const STREAMS: Source = wgsl!("shared/streams.wgsl");
const ROUNDING: Source = wgsl!("shared/rounding.wgsl");
const ROUNDING_BITS: Source = wgsl!("shared/rounding_bits.wgsl");
const INTEGERS: Source = wgsl!("sgd/integers.wgsl");
const SHAPE: Source = wgsl!("sgd/shape.wgsl");
const ORDER: Source = wgsl!("sgd/order.wgsl");
const THREADS: Source = wgsl!("sgd/threads.wgsl");
const SHARES: Source = wgsl!("sgd/shares.wgsl");
const TILES: Source = wgsl!("sgd/tiles.wgsl");
const RECIPROCAL: Source = wgsl!("shared/reciprocal.wgsl");
const PAIR4: Source = wgsl!("shared/pair4.wgsl");
const TWO_SUM: Source = wgsl!("shared/two_sum.wgsl");
const ZERO: Source = wgsl!("sgd/zero.wgsl");

/// The file of a storage format.
fn four(format: Format) -> Source {
    match format {
        Format::F16 => wgsl!("sgd/four_f16.wgsl"),
        Format::Fixed16 => wgsl!("sgd/four_i16.wgsl"),
        // 4-bit numbers are handled as 8-bit ones once they are loaded.
        Format::Fixed4 | Format::Fixed8 => wgsl!("sgd/four_i8.wgsl"),
        Format::Bf16 => wgsl!("sgd/four_bf16.wgsl"),
        _ => wgsl!("sgd/four_f32.wgsl"),
    }
}

fn data_format(format: Format) -> Source {
    match format {
        Format::F16 => wgsl!("sgd/data_f16.wgsl"),
        Format::Fixed16 => wgsl!("sgd/data_i16.wgsl"),
        Format::Fixed8 => wgsl!("sgd/data_i8.wgsl"),
        Format::Fixed4 => wgsl!("sgd/data_i4.wgsl"),
        Format::Bf16 => wgsl!("sgd/data_bf16.wgsl"),
        _ => wgsl!("sgd/data_f32.wgsl"),
    }
}

fn model_format(format: Format, rounding: Rounding) -> Source {
    match (format, rounding) {
        (Format::F16, Rounding::Nearest) => wgsl!("sgd/model_f16.wgsl"),
        (Format::F16, Rounding::Stochastic) => wgsl!("sgd/model_f16_sr.wgsl"),
        (Format::Bf16, Rounding::Nearest) => wgsl!("sgd/model_bf16.wgsl"),
        (Format::Bf16, Rounding::Stochastic) => wgsl!("sgd/model_bf16_sr.wgsl"),
        // D4M4 has no setting that rounds to nearest.
        (Format::Fixed4, _) => wgsl!("sgd/model_i4_sr.wgsl"),
        // D16M16 has no setting that rounds to nearest.
        (Format::Fixed16, _) => wgsl!("sgd/model_i16_sr.wgsl"),
        (Format::Fixed8, Rounding::Nearest) => wgsl!("sgd/model_i8.wgsl"),
        (Format::Fixed8, Rounding::Stochastic) => wgsl!("sgd/model_i8_sr.wgsl"),
        _ => wgsl!("sgd/model_f32.wgsl"),
    }
}

/// Of the residual of plain SGD, or of its change between the centre and the model.
fn residual_files(loss: Loss, centred: bool) -> Vec<Source> {
    let rows = wgsl!("sgd/residual_rows.wgsl");
    let logistic = |file| vec![file, rows, wgsl!("sgd/exponential.wgsl"), RECIPROCAL];
    match (loss, centred) {
        (Loss::LeastSquares, false) => vec![wgsl!("sgd/loss_least_squares.wgsl"), rows],
        (Loss::LeastSquares, true) => vec![wgsl!("sgd/change_least_squares.wgsl"), rows],
        (Loss::Logistic, false) => logistic(wgsl!("sgd/loss_logistic.wgsl")),
        (Loss::Logistic, true) => logistic(wgsl!("sgd/change_logistic.wgsl")),
    }
}

/// Of the update of a thread's coordinates.
fn apply_files(algorithm: Algorithm) -> Vec<Source> {
    let all = wgsl!("sgd/apply_all.wgsl");
    match algorithm {
        Algorithm::Sgd => vec![wgsl!("sgd/apply.wgsl"), all],
        Algorithm::AveragedSgd => {
            vec![PAIR4, ZERO, TWO_SUM, wgsl!("sgd/apply_averaged.wgsl"), all]
        }
        Algorithm::LpSvrg | Algorithm::Halp => vec![wgsl!("sgd/apply_centred.wgsl"), all],
    }
}

/// Alters the files of a stage before they are composed: how the harness is tested against kernels
/// that are wrong.
pub type KernelOverride<'a> = &'a dyn Fn(Stage, &mut Vec<Source>);

/// The kernels of a step, in the order of [`Stage::ALL`].
pub fn kernels(precision: Precision, loss: Loss, algorithm: Algorithm) -> Vec<(Stage, Kernel)> {
    kernels_with(precision, loss, algorithm, &|_, _| {})
}

/// [`kernels`] of altered files.
pub fn kernels_with(
    precision: Precision,
    loss: Loss,
    algorithm: Algorithm,
    alter: KernelOverride<'_>,
) -> Vec<(Stage, Kernel)> {
    let centred = algorithm.is_variance_reduced();
    let (storage, model) = (precision.storage(), precision.accumulator());
    let mut formats = vec![PHILOX, STREAMS, ROUNDING, INTEGERS, SHAPE, four(storage)];
    if model != storage {
        formats.push(four(model));
    }
    let packed = storage == Format::Fixed4;
    let loads = if packed { wgsl!("sgd/data_nibbles.wgsl") } else { wgsl!("sgd/data.wgsl") };
    let data = [data_format(storage), loads, ORDER];
    let mut weights = vec![model_format(model, precision.rounding()), wgsl!("sgd/model.wgsl")];
    if precision.rounding() == Rounding::Stochastic {
        weights.extend([ROUNDING_BITS, wgsl!("sgd/model_random.wgsl")]);
    }
    if centred {
        weights.push(wgsl!("sgd/centre.wgsl"));
    }
    let small = |format| matches!(format, Format::Fixed4 | Format::Fixed8);
    let exact = small(storage) && small(model);
    let dot = match (centred, exact) {
        (true, _) => wgsl!("sgd/dot_offset.wgsl"),
        (false, true) => wgsl!("sgd/dot_i8.wgsl"),
        (false, false) => wgsl!("sgd/dot_f32.wgsl"),
    };
    let with = |parts: &[&[Source]]| [formats.as_slice(), &parts.concat()].concat();
    let residuals = wgsl!("sgd/residuals.wgsl");
    let residual = [residual_files(loss, centred), vec![dot]].concat();
    let rows = [THREADS, residuals, SHARES, wgsl!("sgd/gradient_rows.wgsl")];
    let apply = apply_files(algorithm);
    let update = [&apply[..], &[wgsl!("sgd/update_rows.wgsl")]].concat();
    let files = |stage| match stage {
        Stage::Shuffle => vec![PHILOX, STREAMS, SHAPE, wgsl!("sgd/shuffle.wgsl")],
        Stage::Draw => vec![PHILOX, STREAMS, SHAPE, wgsl!("sgd/draw.wgsl")],
        Stage::Residual => {
            let entry = [THREADS, residuals, wgsl!("sgd/residual.wgsl")];
            with(&[&data, &weights, &residual, &entry])
        }
        Stage::Update => with(&[&data, &weights, &rows, &update, &[wgsl!("sgd/update.wgsl")]]),
        Stage::Gradient => with(&[&data, &rows, &[TILES, wgsl!("sgd/gradient.wgsl")]]),
        Stage::UpdateTiles => {
            let entry = wgsl!("sgd/update_tiles.wgsl");
            with(&[&weights, &[THREADS, SHARES], &apply, &[TILES, entry]])
        }
        Stage::Persistent => {
            let entry = [wgsl!("sgd/persistent.wgsl")];
            with(&[&data, &weights, &residual, &rows, &update, &entry])
        }
    };
    let kernel = |stage: Stage| {
        let mut files = files(stage);
        alter(stage, &mut files);
        Kernel { entry: stage.entry(), composed: compose(&files) }
    };
    let unused = if centred { Stage::Shuffle } else { Stage::Draw };
    let stages = Stage::ALL.into_iter().filter(|&stage| stage != unused);
    stages.map(|stage| (stage, kernel(stage))).collect()
}

/// The probe of the sums of [`Algorithm::AveragedSgd`]: the very functions of its kernels.
pub fn averaging_probe() -> Composed {
    sums_probe(&[PAIR4, SHAPE, ZERO])
}

/// The kernel that converts a data set from f32; none where it stays f32.
pub fn conversion_kernel(precision: Precision) -> Option<Kernel> {
    let storage = precision.storage();
    let entry = match storage {
        Format::Fixed4 => wgsl!("sgd/convert_nibbles.wgsl"),
        _ => wgsl!("sgd/convert.wgsl"),
    };
    let files = [ROUNDING, INTEGERS, four(storage), data_format(storage), entry];
    (storage != Format::F32).then(|| Kernel { entry: "convert", composed: compose(&files) })
}

/// One identity for all WGSL of a setting: SHA-256, in hexadecimal, of the kernels' digests in
/// the order of [`Stage::ALL`], the conversion's last.
pub fn sources_sha256(precision: Precision, loss: Loss, algorithm: Algorithm) -> String {
    sources_sha256_with(precision, loss, algorithm, &|_, _| {})
}

/// [`sources_sha256`] of altered files.
pub fn sources_sha256_with(
    precision: Precision,
    loss: Loss,
    algorithm: Algorithm,
    alter: KernelOverride<'_>,
) -> String {
    let mut sha = Sha256::new();
    let conversion = conversion_kernel(precision);
    let stages = kernels_with(precision, loss, algorithm, alter);
    for kernel in stages.iter().map(|(_, kernel)| kernel).chain(&conversion) {
        sha.update(kernel.composed.sha256.as_bytes());
    }
    hexadecimal(&sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Every setting with each algorithm that it has.
    fn settings() -> impl Iterator<Item = (Precision, Algorithm)> {
        let algorithms = |precision: Precision| {
            Algorithm::ALL.into_iter().filter(move |algorithm| algorithm.runs(precision))
        };
        Precision::SGD.into_iter().flat_map(move |precision| {
            algorithms(precision).map(move |algorithm| (precision, algorithm))
        })
    }

    /// Every kernel of every setting is valid WGSL without any optional feature of a device.
    /// (`SHADER_FLOAT16_IN_FLOAT32` is `unpack2x16float` itself, which core WGSL has.)
    #[test]
    fn every_kernel_validates() {
        for (precision, algorithm) in settings() {
            for loss in [Loss::LeastSquares, Loss::Logistic] {
                let stages =
                    kernels(precision, loss, algorithm).into_iter().map(|(_, kernel)| kernel);
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
        for (precision, algorithm) in settings() {
            for loss in [Loss::LeastSquares, Loss::Logistic] {
                let new = seen.insert(sources_sha256(precision, loss, algorithm));
                // LP-SVRG and HALP are the same kernels about different centres.
                assert!(new != (algorithm == Algorithm::Halp), "{precision} {algorithm}");
            }
        }
    }
}
