//! The shape of a matrix product, its text, and what it costs.

use std::fmt;
use std::str::FromStr;

use super::output_format;
use crate::number::{Format, Precision};
use crate::problem::layout::{Layout, Stored, padded, padded_k};

/// C (m×n) = A (m×k) · B (k×n), once or several times, each with its own A, B and C.
///
/// Its text is m×n×k, the layout where it is not `nn`, and the number of products where it is not 1:
/// `257x131x73`, `512x512x512-tn`, `64x64x64-b8`, `64x64x64-tt-b8`. One number stands for all of m, n
/// and k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// How A and B are stored.
    pub layout: Layout,
    /// Independent products.
    pub batch: usize,
}

impl Shape {
    /// One m×n×k product of operands that are stored as they are multiplied.
    pub const fn new(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k, layout: Layout::Nn, batch: 1 }
    }

    /// Of operands as they are stored.
    pub fn of(operands: &Stored<'_>) -> Self {
        let (layout, batch) = (operands.layout, operands.batch);
        Self { m: operands.m(), n: operands.n(), k: operands.k(), layout, batch }
    }

    /// n×n times n×n.
    pub const fn square(n: usize) -> Self {
        Self::new(n, n, n)
    }

    /// The class that shapes are tuned in: each of m, n, k and the number of products rounded up to a
    /// power of two, in the same layout. A vector is a class of its own.
    pub fn class(self) -> Self {
        let round = usize::next_power_of_two;
        let (m, n, k, batch) = (round(self.m), round(self.n), round(self.k), round(self.batch));
        Self { m, n, k, batch, layout: self.layout }
    }

    /// Whether it is a matrix times a vector, or a vector times a matrix.
    pub const fn has_vector(self) -> bool {
        self.m == 1 || self.n == 1
    }

    /// Whether all its operations and bytes can be counted in 64 bits, padding and every stage of
    /// a conversion included.
    fn is_countable(self) -> bool {
        let [m, n, k, batch] = [self.m, self.n, self.k, self.batch].map(|x| x as u128);
        batch * m * n * k <= 1 << 62
            && [m * n, m * k, k * n].iter().all(|&numbers| batch * numbers <= 1 << 56)
    }

    /// Multiplications and additions: 2·m·n·k a product.
    pub fn operations(self) -> u64 {
        2 * (self.batch * self.m) as u64 * self.n as u64 * self.k as u64
    }

    /// The fewest bytes that the products move: A and B read once, C written once, unpadded.
    pub fn bytes(self, precision: Precision) -> u64 {
        let [a, b, c] = self.numbers();
        precision.storage().bytes(a + b) + output_format(precision).bytes(c)
    }

    /// The fewest bytes a conversion moves: A and B read in f32 (twice where a scale must be found
    /// first) and written in the storage format. 0 for f32 and wider storage, which need none.
    pub fn conversion_bytes(self, precision: Precision) -> u64 {
        let [a, b, _] = self.numbers();
        let numbers = a + b;
        match precision.storage() {
            Format::F32 | Format::F32x2 | Format::F64 => 0,
            format if format.is_blocked() => 2 * 4 * numbers + format.bytes(numbers),
            Format::Int8 => 2 * 4 * numbers + Format::Int8.bytes(numbers),
            format => 4 * numbers + format.bytes(numbers),
        }
    }

    /// Numbers of all A, of all B and of all C.
    fn numbers(self) -> [u64; 3] {
        let [m, n, k] = [self.m as u64, self.n as u64, self.k as u64];
        [m * k, k * n, m * n].map(|numbers| self.batch as u64 * numbers)
    }

    /// The shape with the operands as they lie once converted to the storage format of a precision: in
    /// formats with blocks as they are multiplied.
    pub fn converted(self, precision: Precision) -> Self {
        let layout = if precision.storage().is_blocked() { Layout::Nn } else { self.layout };
        Self { layout, ..self }
    }

    /// Numbers to a row along k as a device stores it, and rows of a matrix whose columns go along k.
    pub fn ldk(self) -> usize {
        padded_k(self.k)
    }

    /// Numbers to a row of A as a device stores it.
    pub fn lda(self) -> usize {
        if self.layout.a_transposed() { padded(self.m) } else { self.ldk() }
    }

    /// Numbers to a row of B as a device stores it.
    pub fn ldb(self) -> usize {
        if self.layout.b_transposed() { self.ldk() } else { padded(self.n) }
    }

    /// Numbers to a row of C as a device stores it.
    pub fn ldc(self) -> usize {
        padded(self.n)
    }

    /// Rows of A as a device stores it, of all products.
    pub fn stored_rows_of_a(self) -> usize {
        self.batch * if self.layout.a_transposed() { self.ldk() } else { self.m }
    }

    /// Rows of B as a device stores it, of all products.
    pub fn stored_rows_of_b(self) -> usize {
        self.batch * if self.layout.b_transposed() { self.n } else { self.ldk() }
    }

    /// Numbers of all A as a device stores them, padding included.
    pub fn stored_numbers_of_a(self) -> u64 {
        self.stored_rows_of_a() as u64 * self.lda() as u64
    }

    /// Numbers of all B as a device stores them, padding included.
    pub fn stored_numbers_of_b(self) -> u64 {
        self.stored_rows_of_b() as u64 * self.ldb() as u64
    }

    /// Numbers of all C as a device stores them, padding included.
    pub fn stored_numbers_of_c(self) -> u64 {
        (self.batch * self.m) as u64 * self.ldc() as u64
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.m, self.n, self.k)?;
        if self.layout != Layout::Nn {
            write!(f, "-{}", self.layout)?;
        }
        if self.batch != 1 { write!(f, "-b{}", self.batch) } else { Ok(()) }
    }
}

/// A text that is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no matmul size; write one number n for n×n×n, or m,n,k or mxnxk, each at least 1, behind \
     it -tn, -nt or -tt for transposed operands and -b8 for 8 products, with m·n·k of all products at \
     most 2^62 and at most 2^56 numbers in the matrices of a kind"
)]
pub struct ShapeError(pub String);

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let error = || ShapeError(text.trim().to_owned());
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u32>().ok().filter(|&x| digits && x > 0);
            number.map(|x| x as usize).ok_or_else(error)
        };
        let mut parts = text.trim().split('-').peekable();
        let extents = parts.next().unwrap_or_default().split([',', 'x', '×']);
        let extents: Vec<_> = extents.map(|part| number(part.trim())).collect::<Result<_, _>>()?;
        let mut shape = match extents[..] {
            [n] => Self::square(n),
            [m, n, k] => Self::new(m, n, k),
            _ => return Err(error()),
        };
        if let Some(layout) = parts.next_if(|part| !part.starts_with('b')) {
            shape.layout = layout.parse().map_err(|_| error())?;
        }
        if let Some(batch) = parts.next() {
            shape.batch = number(batch.strip_prefix('b').ok_or_else(error)?)?;
        }
        let whole = parts.next().is_none();
        if whole && shape.is_countable() { Ok(shape) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_read_back() {
        let shape = Shape::new(257, 131, 73);
        assert_eq!(shape.to_string().parse(), Ok(shape));
        assert_eq!("257,131,73".parse(), Ok(shape));
        assert_eq!(" 64 ".parse(), Ok(Shape::square(64)));
        for (text, layout, batch, whole) in [
            ("512-tn", Layout::Tn, 1, "512x512x512-tn"),
            ("64-b32", Layout::Nn, 32, "64x64x64-b32"),
            ("256x128x64-nt", Layout::Nt, 1, "256x128x64-nt"),
            ("64x64x64-tt-b8", Layout::Tt, 8, "64x64x64-tt-b8"),
            ("8,8,8-nn-b1", Layout::Nn, 1, "8x8x8"),
        ] {
            let shape: Shape = text.parse().unwrap();
            assert_eq!((shape.layout, shape.batch), (layout, batch), "{text}");
            assert_eq!(shape.to_string(), whole);
            assert_eq!(whole.parse(), Ok(shape));
        }
        for bad in [
            "",
            "0",
            "1,2",
            "1x2x0",
            "-3",
            "1e3",
            "1,2,3,4",
            "4294967295x1x4294967295",
            "+8",
            "8-",
            "8-xy",
            "8-b0",
            "8-b",
            "8-b2-tn",
            "8-tn-b2-b2",
            "8-tn-nt",
            "-tn",
            "65536-b4294967295",
        ] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }

    /// A bench id's part may have 64 bytes.
    #[test]
    fn texts_are_short() {
        let most = u32::MAX as usize;
        let shape = Shape { layout: Layout::Tn, batch: most, ..Shape::square(most) };
        assert!(shape.to_string().len() <= 64);
    }

    #[test]
    fn the_largest_shapes_can_be_counted() {
        for text in ["1660000", "16777216x16777216x16384", "1x4294967295x16777216", "1024-b4294967"]
        {
            let shape: Shape = text.parse().unwrap();
            assert!(shape.operations() > 0);
            for precision in Precision::matmul() {
                assert!(shape.bytes(precision) > 0 && shape.conversion_bytes(precision) < 1 << 62);
            }
            assert!(4 * shape.stored_numbers_of_a().max(shape.stored_numbers_of_b()) > 0);
        }
        assert!("1670000".parse::<Shape>().is_err());
    }

    #[test]
    fn bytes_count_each_operand_once() {
        let shape = Shape::new(2, 3, 5);
        assert_eq!(shape.operations(), 60);
        assert_eq!(shape.bytes(Precision::Fp32), 4 * (10 + 15 + 6));
        assert_eq!(shape.bytes(Precision::Fp16Sr), 2 * (10 + 15 + 6));
        assert_eq!(shape.bytes(Precision::Int8), 10 + 15 + 4 * 6);
        assert_eq!(shape.conversion_bytes(Precision::Fp32), 0);
        assert_eq!(shape.conversion_bytes(Precision::Int8), 9 * 25);
        assert_eq!(shape.bytes(Precision::Fp32Comp), shape.bytes(Precision::Fp32));
        assert_eq!(shape.bytes(Precision::Fp32x2), shape.bytes(Precision::Fp64));
        assert_eq!(shape.bytes(Precision::Bf16x3), 6 * 25 + 4 * 6);
        assert_eq!(shape.conversion_bytes(Precision::Bf16x3), 10 * 25);
        assert_eq!(shape.conversion_bytes(Precision::Fp64), 0);
        let seven = Shape { batch: 7, layout: Layout::Tt, ..shape };
        assert_eq!(seven.operations(), 7 * 60);
        assert_eq!(seven.bytes(Precision::Fp32), 7 * shape.bytes(Precision::Fp32));
        assert_eq!(seven.conversion_bytes(Precision::Int8), 7 * 9 * 25);
    }

    #[test]
    fn padding_is_of_what_is_stored() {
        let shape = Shape::new(20, 9, 33);
        let of = |layout| {
            let shape = Shape { layout, batch: 2, ..shape };
            [shape.stored_rows_of_a(), shape.lda(), shape.stored_rows_of_b(), shape.ldb()]
        };
        assert_eq!(of(Layout::Nn), [40, 64, 128, 16]);
        assert_eq!(of(Layout::Tt), [128, 24, 18, 64]);
        assert_eq!((Shape::square(256).ldk(), Shape::square(256).ldc()), (288, 272));
    }

    #[test]
    fn classes_keep_layout_batch_and_vectors_apart() {
        let class = |text: &str| text.parse::<Shape>().unwrap().class().to_string();
        assert_eq!(class("300x1x70-tn-b5"), "512x1x128-tn-b8");
        assert_ne!(class("300x2x70"), class("300x1x70"));
    }
}
