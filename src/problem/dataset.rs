//! Data sets for SGD: the UCI handwritten digits, and two seeded synthetic problems.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use rand_distr::{Distribution, StandardNormal};
use rand_philox::{Philox, u32_to_unit_f64};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::hexadecimal::hexadecimal;

/// The loss of one output of one row; the objective is the mean over rows of the sum over outputs,
/// plus `λ/2·‖W‖²`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// `½(z − y)²`.
    LeastSquares,
    /// `ln(1 + eᶻ) − y·z` with `y` 0 or 1: one classifier an output (one-vs-rest).
    Logistic,
}

impl Loss {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeastSquares => "least-squares",
            Self::Logistic => "logistic",
        }
    }

    /// The largest second derivative of the loss in z.
    pub const fn curvature(self) -> f64 {
        match self {
            Self::LeastSquares => 1.0,
            Self::Logistic => 0.25,
        }
    }
}

/// Which data set, by name: `digits`, `figure2-NxD`, `normalised-NxD`, `logistic-NxD` (N rows, D
/// columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetSpec {
    /// UCI handwritten digits: 1,437 rows to train, 360 to test, 64 pixels and a constant.
    Digits,
    /// `x` standard normal, `y = x·w* + 0.1·ε`, `w*` normal with variance `1/d`, `ε` standard
    /// normal; least squares.
    Figure2 {
        /// Rows.
        n: u32,
        /// Columns.
        d: u32,
    },
    /// `Figure2` with x divided by √d, so that rows have a norm about 1, and w* (standard normal)
    /// multiplied by it: the same targets.
    Normalised {
        /// Rows.
        n: u32,
        /// Columns.
        d: u32,
    },
    /// `x` and `w*` as in `Figure2`, `y = 1` with probability `σ(4·x·w*)`, else 0; logistic.
    Logistic {
        /// Rows.
        n: u32,
        /// Columns.
        d: u32,
    },
}

/// What is wrong with a data set's name or shape.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No data set is called this.
    #[error(
        "unknown data set `{0}`; valid are digits, figure2-NxD, normalised-NxD and logistic-NxD, such as figure2-128x1024"
    )]
    Unknown(String),
    /// Zero rows or columns, or more numbers than an index can address.
    #[error("data set `{0}` needs at least 1 row and 1 column, and fewer than 2^32 numbers")]
    Shape(DatasetSpec),
    /// The embedded file does not read.
    #[error("the embedded digits.csv.gz is damaged ({0}); rebuild from a clean checkout")]
    Embedded(String),
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Figure2 { n, d } => write!(f, "figure2-{n}x{d}"),
            Self::Normalised { n, d } => write!(f, "normalised-{n}x{d}"),
            Self::Logistic { n, d } => write!(f, "logistic-{n}x{d}"),
        }
    }
}

impl FromStr for DatasetSpec {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        let unknown = || DatasetError::Unknown(text.to_owned());
        if text == "digits" {
            return Ok(Self::Digits);
        }
        let (name, shape) = text.split_once('-').ok_or_else(unknown)?;
        let (n, d) = shape.split_once('x').ok_or_else(unknown)?;
        let (n, d) = (n.parse().map_err(|_| unknown())?, d.parse().map_err(|_| unknown())?);
        match name {
            "figure2" => Ok(Self::Figure2 { n, d }),
            "normalised" => Ok(Self::Normalised { n, d }),
            "logistic" => Ok(Self::Logistic { n, d }),
            _ => Err(unknown()),
        }
    }
}

impl DatasetSpec {
    /// Rows to train on.
    pub const fn rows(self) -> usize {
        match self {
            Self::Digits => DIGITS_TRAIN,
            Self::Figure2 { n, .. } | Self::Normalised { n, .. } | Self::Logistic { n, .. } => {
                n as usize
            }
        }
    }

    /// Outputs of a model.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Digits => CLASSES,
            Self::Figure2 { .. } | Self::Normalised { .. } | Self::Logistic { .. } => 1,
        }
    }

    /// Numbers of a row, the constant of the digits included, padding not.
    pub const fn columns(self) -> usize {
        match self {
            Self::Digits => PIXELS + 1,
            Self::Figure2 { d, .. } | Self::Normalised { d, .. } | Self::Logistic { d, .. } => {
                d as usize
            }
        }
    }

    /// The loss that the data set is meant for.
    pub const fn loss(self) -> Loss {
        match self {
            Self::Figure2 { .. } | Self::Normalised { .. } => Loss::LeastSquares,
            Self::Digits | Self::Logistic { .. } => Loss::Logistic,
        }
    }

    /// Whether there is such a data set.
    ///
    /// # Errors
    /// [`DatasetError::Shape`] if it has no number, or more than an index can address.
    pub fn check(self) -> Result<(), DatasetError> {
        let numbers = self.rows() as u128 * (self.columns() as u128).next_multiple_of(4);
        let fits = numbers > 0 && numbers <= u128::from(u32::MAX);
        if fits { Ok(()) } else { Err(DatasetError::Shape(self)) }
    }

    /// The data set of the paper's Figure 2 at each of its sizes, n = 2⁷ … 2¹⁶ with d = 1024.
    pub fn figure2_sizes() -> impl Iterator<Item = Self> {
        (7..=16).map(|p| Self::Figure2 { n: 1 << p, d: 1024 })
    }

    /// Generates or decodes the data set. `seed` draws the synthetic ones and splits the digits.
    pub fn load(self, seed: u32) -> Result<Dataset, DatasetError> {
        self.check()?;
        match self {
            Self::Digits => digits(seed),
            Self::Figure2 { n, d } | Self::Normalised { n, d } | Self::Logistic { n, d } => {
                Ok(synthetic(self, n as usize, d as usize, seed))
            }
        }
    }
}

/// Rows held out from training.
#[derive(Clone, Debug)]
pub struct TestSet {
    /// Row-major, `d_padded` numbers a row.
    pub x: Vec<f32>,
    /// The class of each row.
    pub labels: Vec<u32>,
}

/// Inputs of an SGD run, as f32: the reference that every setting's error is measured against.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What it was made from.
    pub spec: DatasetSpec,
    /// Rows to train on.
    pub n: usize,
    /// Columns.
    pub d: usize,
    /// Columns with the zeros that fill each row to a multiple of 4.
    pub d_padded: usize,
    /// Columns of the model: 1, or one a class.
    pub outputs: usize,
    /// n × d_padded, row-major.
    pub x: Vec<f32>,
    /// n × outputs, row-major: what each output should be (0 or 1 for classes).
    pub targets: Vec<f32>,
    /// Rows held out, where there are labels.
    pub test: Option<TestSet>,
    /// SHA-256 of x, targets and test set (little-endian f32 and u32), in hexadecimal.
    pub sha256: String,
    /// The loss that this data set is meant for.
    pub loss: Loss,
    /// The fixed-point grids of a model reach at least this magnitude. A property of the data set,
    /// stated before any run: 8 standard deviations of w* for the synthetic ones (8/√d, or 8 where
    /// rows are normalised), 4 for the digits; both lowered by 127/128 so that a grid of 8 bits reaches no further than it must.
    pub model_range: f32,
    /// Default L2 regularisation λ, positive so that the optimum is unique.
    pub regularisation: f32,
    /// λ_max(XᵀX)/n: by power iteration on the digits; (1 + √(d/n))², the Marchenko–Pastur edge,
    /// for standard normal data.
    pub gram_norm: f64,
    /// max ‖xᵢ‖² over the rows.
    pub max_row_norm2: f64,
}

impl Dataset {
    /// The default learning rate for minibatches of `batch` rows: `1/(2ℒ)` with ℒ the expected
    /// smoothness of sampling `batch` of n rows without replacement,
    /// `ℒ = n(b−1)/(b(n−1))·L + (n−b)/(b(n−1))·L_max`, for which SGD is stable (Gower, Loizou,
    /// Qian, Sailanbayev, Shulgin, Richtárik, "SGD: general analysis and improved rates", ICML
    /// 2019, proposition 3.8 and theorem 3.1). L and L_max are those of the regularised loss.
    pub fn learning_rate(&self, loss: Loss, batch: usize, regularisation: f32) -> f32 {
        let (n, b) = (self.n as f64, batch.clamp(1, self.n) as f64);
        let (full, row) = (self.gram_norm, self.max_row_norm2);
        let mixed = if self.n == 1 {
            row
        } else {
            (n * (b - 1.0) * full + (n - b) * row) / (b * (n - 1.0))
        };
        (0.5 / (loss.curvature() * mixed + f64::from(regularisation))) as f32
    }

    /// Row `i` with its padding.
    #[inline]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.d_padded..(i + 1) * self.d_padded]
    }

    /// The largest |x|.
    pub fn max_abs(&self) -> f32 {
        self.x.par_iter().map(|x| x.abs()).reduce(|| 0.0, f32::max)
    }

    fn seal(mut self) -> Self {
        let mut sha = Sha256::new();
        for values in [&self.x, &self.targets] {
            hash_words(&mut sha, values.iter().map(|v| v.to_bits()));
        }
        if let Some(test) = &self.test {
            hash_words(&mut sha, test.x.iter().map(|v| v.to_bits()));
            hash_words(&mut sha, test.labels.iter().copied());
        }
        self.sha256 = hexadecimal(&sha.finalize());
        self.max_row_norm2 =
            self.x.par_chunks(self.d_padded).map(norm2).reduce(|| 0.0, f64::max).max(1e-30);
        self
    }
}

fn hash_words(sha: &mut Sha256, mut words: impl Iterator<Item = u32>) {
    let mut bytes = Vec::with_capacity(1 << 16);
    loop {
        bytes.clear();
        words.by_ref().take(1 << 14).for_each(|w| bytes.extend(w.to_le_bytes()));
        if bytes.is_empty() {
            return;
        }
        sha.update(&bytes);
    }
}

fn norm2(row: &[f32]) -> f64 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

const DIGITS: &[u8] = include_bytes!("data/digits.csv.gz");
const DIGITS_TRAIN: usize = 1437;
const PIXELS: usize = 64;
pub(crate) const CLASSES: usize = 10;

fn digits(seed: u32) -> Result<Dataset, DatasetError> {
    let rows = digits_rows()?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut rng = Philox::new([seed, Purpose::Split as u32], 0);
    for i in (1..order.len()).rev() {
        order.swap(i, rng.bounded(i as u32 + 1) as usize); // Fisher–Yates
    }
    let (d, d_padded) = (PIXELS + 1, (PIXELS + 1).next_multiple_of(4));
    let features = |order: &[usize]| -> Vec<f32> {
        order
            .iter()
            .flat_map(|&i| {
                let pixels = rows[i].0.iter().map(|&p| f32::from(p) / 16.0);
                pixels.chain([1.0]).chain(std::iter::repeat_n(0.0, d_padded - d))
            })
            .collect()
    };
    let (train, held_out) = order.split_at(DIGITS_TRAIN);
    let targets = train
        .iter()
        .flat_map(|&i| (0..CLASSES).map(move |c| (i, c)))
        .map(|(i, c)| f32::from(u8::from(usize::from(rows[i].1) == c)))
        .collect();
    let test = TestSet {
        x: features(held_out),
        labels: held_out.iter().map(|&i| u32::from(rows[i].1)).collect(),
    };
    let x = features(train);
    let gram_norm = gram_norm(&x, d_padded);
    Ok(Dataset {
        spec: DatasetSpec::Digits,
        n: DIGITS_TRAIN,
        d,
        d_padded,
        outputs: CLASSES,
        x,
        targets,
        test: Some(test),
        sha256: String::new(),
        loss: DatasetSpec::Digits.loss(),
        model_range: 4.0 * 127.0 / 128.0,
        regularisation: 1e-3,
        gram_norm,
        max_row_norm2: 0.0,
    }
    .seal())
}

/// Pixels and digit of each embedded image.
fn digits_rows() -> Result<Vec<([u8; PIXELS], u8)>, DatasetError> {
    let damaged = |why: String| DatasetError::Embedded(why);
    let mut text = String::new();
    flate2::read::GzDecoder::new(DIGITS)
        .read_to_string(&mut text)
        .map_err(|e| damaged(e.to_string()))?;
    let parse = |line: &str| -> Option<([u8; PIXELS], u8)> {
        let values: Vec<u8> = line.split(',').map(|v| v.parse().ok()).collect::<Option<_>>()?;
        let (digit, pixels) = values.split_last()?;
        (*digit < CLASSES as u8).then_some((pixels.try_into().ok()?, *digit))
    };
    let rows: Vec<_> = text
        .lines()
        .enumerate()
        .map(|(i, line)| parse(line).ok_or_else(|| damaged(format!("line {}", i + 1))))
        .collect::<Result<_, _>>()?;
    if rows.len() <= DIGITS_TRAIN {
        return Err(damaged(format!("{} lines", rows.len())));
    }
    Ok(rows)
}

/// λ_max(XᵀX)/n by 100 power iterations from the vector of ones, in f64.
fn gram_norm(x: &[f32], d_padded: usize) -> f64 {
    let n = (x.len() / d_padded) as f64;
    let mut v = vec![1.0 / (d_padded as f64).sqrt(); d_padded];
    let mut norm = 0.0;
    for _ in 0..100 {
        let mut next = vec![0.0; d_padded];
        for row in x.chunks(d_padded) {
            let z: f64 = row.iter().zip(&v).map(|(&x, v)| f64::from(x) * v).sum();
            next.iter_mut().zip(row).for_each(|(g, &x)| *g += z * f64::from(x));
        }
        norm = next.iter().map(|g| g * g).sum::<f64>().sqrt();
        v = next.into_iter().map(|g| g / norm).collect();
    }
    norm / n
}

/// What a problem's random numbers are for: the second key word, so that no two uses share any.
#[derive(Clone, Copy)]
enum Purpose {
    Data = 0x5347_4400,
    Noise,
    Optimum,
    Split,
}

/// The generator of one number, addressed by seed, purpose, row and column. It advances through
/// the counter's first word, so that a rejected draw touches nobody else's bits.
fn at(seed: u32, purpose: Purpose, row: usize, column: usize) -> Philox {
    Philox::new([seed, purpose as u32], (row as u128) << 64 | (column as u128) << 32)
}

fn synthetic(spec: DatasetSpec, n: usize, d: usize, seed: u32) -> Dataset {
    let d_padded = d.next_multiple_of(4);
    let length = (d as f64).sqrt();
    let normalised = matches!(spec, DatasetSpec::Normalised { .. });
    let (scale, unit) = if normalised { (1.0, 1.0 / length) } else { (1.0 / length, 1.0) };
    let normal = |purpose, row, column| -> f64 {
        StandardNormal.sample(&mut at(seed, purpose, row, column))
    };
    let optimum: Vec<f64> = (0..d).map(|j| normal(Purpose::Optimum, 0, j) * scale).collect();
    let mut x = vec![0.0; n * d_padded];
    let mut targets = vec![0.0; n];
    x.par_chunks_mut(d_padded).zip(&mut targets).enumerate().for_each(|(i, (row, y))| {
        for (j, x) in row[..d].iter_mut().enumerate() {
            *x = (normal(Purpose::Data, i, j) * unit) as f32;
        }
        let z: f64 = row.iter().zip(&optimum).map(|(&x, w)| f64::from(x) * w).sum();
        *y = if let DatasetSpec::Logistic { .. } = spec {
            let u = u32_to_unit_f64(at(seed, Purpose::Noise, i, 0).next_u32());
            f32::from(u8::from(u < 1.0 / (1.0 + (-4.0 * z).exp())))
        } else {
            (z + 0.1 * normal(Purpose::Noise, i, 0)) as f32
        };
    });
    let logistic = matches!(spec, DatasetSpec::Logistic { .. });
    Dataset {
        spec,
        n,
        d,
        d_padded,
        outputs: 1,
        x,
        targets,
        test: None,
        sha256: String::new(),
        loss: spec.loss(),
        // The logistic's w* is 4 times as long.
        model_range: (if logistic { 32.0 } else { 8.0 } * scale * 127.0 / 128.0) as f32,
        regularisation: (1e-2 * unit * unit) as f32,
        gram_norm: unit * unit * (1.0 + (d as f64 / n as f64).sqrt()).powi(2),
        max_row_norm2: 0.0,
    }
    .seal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_the_ones_of_the_wheel() {
        let data = DatasetSpec::Digits.load(1).unwrap();
        assert_eq!((data.n, data.d, data.d_padded, data.outputs), (1437, 65, 68, 10));
        let test = data.test.as_ref().unwrap();
        assert_eq!(test.labels.len(), 360);
        // Counts of the digits 0 to 9 in the whole set, from the data set's own description.
        let mut counts = [0; 10];
        test.labels.iter().for_each(|&l| counts[l as usize] += 1);
        for row in data.targets.chunks(10) {
            assert_eq!(row.iter().sum::<f32>(), 1.0);
            counts[row.iter().position(|&y| y == 1.0).unwrap()] += 1;
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert!((0..data.n).all(|i| data.row(i)[64] == 1.0 && data.row(i)[65..] == [0.0; 3]));
        assert_eq!(data.max_abs(), 1.0);
        assert_ne!(data.sha256, DatasetSpec::Digits.load(2).unwrap().sha256);
    }

    #[test]
    fn a_number_depends_on_seed_row_and_column_alone() {
        let small = DatasetSpec::Figure2 { n: 3, d: 5 }.load(7).unwrap();
        let large = DatasetSpec::Figure2 { n: 300, d: 70 }.load(7).unwrap();
        for i in 0..3 {
            assert_eq!(small.row(i)[..5], large.row(i)[..5]);
        }
        let other = DatasetSpec::Figure2 { n: 3, d: 5 }.load(8).unwrap();
        assert_ne!(small.x, other.x);
    }

    #[test]
    fn synthetic_data_is_standard_normal() {
        let data = DatasetSpec::Figure2 { n: 1000, d: 100 }.load(3).unwrap();
        let count = 1e5;
        let mean = data.x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = data.x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
        // Five standard deviations of the sample mean and of the sample variance.
        assert!(mean.abs() < 5.0 / count.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{variance}");
    }

    #[test]
    fn names_read_back_and_bad_ones_are_named() {
        for text in ["digits", "figure2-128x1024", "normalised-10x3", "logistic-200x20"] {
            assert_eq!(text.parse::<DatasetSpec>().unwrap().to_string(), text);
        }
        for text in ["digit", "figure2", "figure2-0x", "iris-3x4"] {
            assert!(text.parse::<DatasetSpec>().unwrap_err().to_string().contains(text));
        }
        assert!("figure2-0x4".parse::<DatasetSpec>().unwrap().load(0).is_err());
    }

    /// Normalised rows carry the same problem at another scale.
    #[test]
    fn normalised_rows_have_the_targets_of_figure_2() {
        let plain = DatasetSpec::Figure2 { n: 50, d: 64 }.load(3).unwrap();
        let normalised = DatasetSpec::Normalised { n: 50, d: 64 }.load(3).unwrap();
        assert!(plain.x.iter().zip(&normalised.x).all(|(a, b)| a / 8.0 == *b), "√64 is exact");
        // √64 is a power of two, so every product and sum is the same number.
        assert_eq!(plain.targets, normalised.targets);
        assert_eq!(normalised.gram_norm * 64.0, plain.gram_norm);
    }

    /// The power iteration against the identity's known norm, and the edge against a sample.
    #[test]
    fn gram_norms() {
        let identity: Vec<f32> = (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
        assert!((gram_norm(&identity, 4) - 0.25).abs() < 1e-12);
        let data = DatasetSpec::Figure2 { n: 2000, d: 200 }.load(1).unwrap();
        let sampled = gram_norm(&data.x, 200);
        // The largest eigenvalue fluctuates about the edge on the scale n^(-2/3).
        assert!((sampled / data.gram_norm - 1.0).abs() < 10.0 * 2000f64.powf(-2.0 / 3.0));
    }
}
