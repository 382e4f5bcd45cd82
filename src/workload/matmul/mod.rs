//! Matrix product C = A·B, m×n×k, row-major: shape, operations, bytes, kernels, and the commands
//! that run it on a device.

mod device;
mod files;
mod kernels;
mod narrow;
mod parameters;
mod tuning;

pub use device::GpuMatmul;
pub use files::conversion_sources;
pub use kernels::{F16Path, Kernel, KernelSource, TuningError};
pub use parameters::{Parameters, ParametersError};

use std::fmt;
use std::str::FromStr;

use crate::number::{Format, Precision};

/// C (m×n) = A (m×k) · B (k×n).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

impl Shape {
    /// n×n times n×n.
    pub const fn square(n: usize) -> Self {
        Self { m: n, n, k: n }
    }

    /// The class that shapes are tuned in: each of m, n and k rounded up to a power of two.
    pub fn class(self) -> Self {
        let [m, n, k] = [self.m, self.n, self.k].map(usize::next_power_of_two);
        Self { m, n, k }
    }

    /// Whether all its operations and bytes can be counted in 64 bits, padding and every stage of
    /// a conversion included.
    fn is_countable(self) -> bool {
        let [m, n, k] = [self.m, self.n, self.k].map(|x| x as u128);
        m * n * k <= 1 << 62 && [m * n, m * k, k * n].iter().all(|&numbers| numbers <= 1 << 56)
    }

    /// Multiplications and additions: 2·m·n·k.
    pub fn operations(self) -> u64 {
        2 * self.m as u64 * self.n as u64 * self.k as u64
    }

    /// The fewest bytes a product moves: A and B read once, C written once, unpadded.
    pub fn bytes(self, precision: Precision) -> u64 {
        let (m, n, k) = (self.m as u64, self.n as u64, self.k as u64);
        precision.storage().bytes(m * k + k * n) + output_format(precision).bytes(m * n)
    }

    /// The fewest bytes a conversion moves: A and B read in f32 (twice where a scale must be found
    /// first) and written in the storage format. 0 for f32 storage, which needs none.
    pub fn conversion_bytes(self, precision: Precision) -> u64 {
        let numbers = (self.m * self.k + self.k * self.n) as u64;
        match precision.storage() {
            Format::F32 => 0,
            format if format.is_blocked() => 2 * 4 * numbers + format.bytes(numbers),
            Format::Int8 => 2 * 4 * numbers + Format::Int8.bytes(numbers),
            format => 4 * numbers + format.bytes(numbers),
        }
    }

    /// Numbers in a row of A as a device stores it: k rounded up to 32, and 32 more where rows would
    /// start a multiple of 256 numbers apart.
    pub fn lda(self) -> usize {
        apart(self.k.next_multiple_of(32), 32)
    }

    /// Numbers in a row of B or C as a device stores it: n rounded up to 8, and 16 more likewise.
    pub fn ldb(self) -> usize {
        apart(self.n.next_multiple_of(8), 16)
    }
}

/// Rows so many numbers apart fall into the same few sets of a cache: neighbouring rows of a column of
/// blocks would push each other out.
const CONFLICT: usize = 256;

fn apart(numbers: usize, more: usize) -> usize {
    if numbers.is_multiple_of(CONFLICT) { numbers + more } else { numbers }
}

/// The format of C: that of a 16-bit accumulator, else f32.
pub fn output_format(precision: Precision) -> Format {
    match precision.accumulator() {
        short @ (Format::F16 | Format::Bf16) => short,
        _ => Format::F32,
    }
}

/// The unit of a matmul's throughput: integer products are no floating-point operations.
pub fn throughput_unit(precision: Precision) -> &'static str {
    match precision.storage() {
        Format::Int8 | Format::Int4 => "GOP/s",
        _ => "GFLOP/s",
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.m, self.n, self.k)
    }
}

/// A text that is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no matmul size; write one number n for n×n×n, or m,n,k or mxnxk, each at least 1, with \
     m·n·k at most 2^62 and at most 2^56 numbers in a matrix"
)]
pub struct ShapeError(pub String);

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let error = || ShapeError(text.trim().to_owned());
        let numbers: Vec<usize> = text
            .trim()
            .split([',', 'x', '×'])
            .map(|part| part.trim().parse::<u32>().ok().filter(|&x| x > 0).map(|x| x as usize))
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        let shape = match numbers[..] {
            [n] => Self::square(n),
            [m, n, k] => Self { m, n, k },
            _ => return Err(error()),
        };
        if shape.is_countable() { Ok(shape) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_read_back() {
        let shape = Shape { m: 257, n: 131, k: 73 };
        assert_eq!(shape.to_string().parse(), Ok(shape));
        assert_eq!("257,131,73".parse(), Ok(shape));
        assert_eq!(" 64 ".parse(), Ok(Shape::square(64)));
        for bad in ["", "0", "1,2", "1x2x0", "-3", "1e3", "1,2,3,4", "4294967295x1x4294967295"] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_shapes_can_be_counted() {
        for text in ["1660000", "16777216x16777216x16384", "1x4294967295x16777216"] {
            let shape: Shape = text.parse().unwrap();
            assert!(shape.operations() > 0);
            for precision in Precision::MATMUL {
                assert!(shape.bytes(precision) > 0 && shape.conversion_bytes(precision) < 1 << 62);
            }
            assert!(4 * (shape.lda() * shape.ldb()).max(shape.m * shape.lda()) as u64 > 0);
        }
        assert!("1670000".parse::<Shape>().is_err());
    }

    #[test]
    fn bytes_count_each_operand_once() {
        let shape = Shape { m: 2, n: 3, k: 5 };
        assert_eq!(shape.operations(), 60);
        assert_eq!(shape.bytes(Precision::Fp32), 4 * (10 + 15 + 6));
        assert_eq!(shape.bytes(Precision::Fp16Sr), 2 * (10 + 15 + 6));
        assert_eq!(shape.bytes(Precision::Int8), 10 + 15 + 4 * 6);
        assert_eq!(shape.conversion_bytes(Precision::Fp32), 0);
        assert_eq!(shape.conversion_bytes(Precision::Int8), 9 * 25);
    }
}
