//! The user's own operands, from `.npy` files: f32 or f64, little- or big-endian, in C or Fortran
//! order, in any version of the format that NumPy writes (1.0, 2.0, 3.0).

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray_npy::ReadableElement;
use ndarray_npy::npy::header::{Header, ReadHeaderError};

use super::matrix::{Matrix, identity, identity_f64};
use crate::memory::available_host_bytes;

/// A and B of a product as the user gave them.
#[derive(Clone, Debug)]
pub struct FileOperands {
    /// m×k, in f32.
    pub a: Matrix,
    /// k×n, in f32.
    pub b: Matrix,
    /// The elements of A and B as they were given, where one of the two was given in f64.
    pub given_f64: Option<[Arc<[f64]>; 2]>,
    /// SHA-256 of the operands as they were given, see [`super::matrix::MatmulProblem::sha256`].
    pub sha256: String,
}

/// Why a file holds no operand.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// It cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no `.npy` file, or not a whole one.
    #[error("{path} is no .npy file that can be read ({reason}); save it with numpy.save",
        path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// More numbers than there is memory for.
    #[error(
        "reading {a} and {b}, matrices of {}x{} and {}x{}, takes {bytes} bytes of host memory, over the \
         {available} available; cut them, save both in f32, or use a machine with more memory",
        .extents[0][0], .extents[0][1], .extents[1][0], .extents[1][1],
        a = .a.display(), b = .b.display()
    )]
    OverMemory {
        /// The file of A.
        a: PathBuf,
        /// The file of B.
        b: PathBuf,
        /// Rows and columns of each.
        extents: [[usize; 2]; 2],
        /// Bytes that reading both takes at its peak.
        bytes: u128,
        /// Bytes that there are.
        available: u64,
    },
    /// Numbers of another type.
    #[error(
        "{path} holds numbers of type {found}; f32 and f64 can be read: save it with \
         numpy.save(name, x.astype(numpy.float32))", path = .path.display()
    )]
    Type {
        /// The file.
        path: PathBuf,
        /// NumPy's name of the type.
        found: String,
    },
    /// Not a matrix.
    #[error(
        "{path} has {dimensions} dimensions ({shape:?}) where a matrix has 2; a vector is made one by \
         x.reshape(1, -1) or x.reshape(-1, 1)", path = .path.display()
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// How many dimensions it has.
        dimensions: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A dimension of 0, or one too large to count with.
    #[error("{path} is a matrix of {rows}x{columns}; each must be from 1 to {max}",
        path = .path.display(), max = u32::MAX)]
    Extent {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// An element that no truth can be computed of, or that f32 does not hold.
    #[error(
        "{path}[{row}, {column}] is {value:e}, which is no finite f32; replace it, or scale the matrix",
        path = .path.display()
    )]
    Element {
        /// The file.
        path: PathBuf,
        /// Its row, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// The element.
        value: f64,
    },
    /// A and B do not fit each other.
    #[error(
        "A is {rows_a}x{columns_a} and B {rows_b}x{columns_b}: A must have as many columns as B has \
         rows; transpose or cut one of them"
    )]
    Inner {
        /// Rows of A.
        rows_a: usize,
        /// Columns of A.
        columns_a: usize,
        /// Rows of B.
        rows_b: usize,
        /// Columns of B.
        columns_b: usize,
    },
}

impl FileOperands {
    /// Reads A and B.
    ///
    /// # Errors
    /// [`NpyError`] if a file holds no matrix of finite numbers of f32, the two do not fit, or there is
    /// too little memory to read them.
    pub fn read(a: &Path, b: &Path) -> Result<Self, NpyError> {
        Self::read_within(a, b, available_host_bytes())
    }

    /// Reads A and B where that takes at most `available` bytes of memory, which is known from their
    /// headers: a system that promises more than it has kills who then uses it.
    fn read_within(a: &Path, b: &Path, available: u64) -> Result<Self, NpyError> {
        let (a, b) = (Opened::new(a)?, Opened::new(b)?);
        if a.columns != b.rows {
            return Err(NpyError::Inner {
                rows_a: a.rows,
                columns_a: a.columns,
                rows_b: b.rows,
                columns_b: b.columns,
            });
        }
        let bytes = peak_bytes(&a, &b);
        if bytes > available.into() {
            let extents = [&a, &b].map(|file| [file.rows, file.columns]);
            let [a, b] = [a.path, b.path];
            return Err(NpyError::OverMemory { a, b, extents, bytes, available });
        }
        let ([a, b], [a_f64, b_f64]) = {
            let (a, b) = (a.load()?, b.load()?);
            ([a.matrix, b.matrix], [a.given_f64, b.given_f64])
        };
        let widened = |given: Option<Vec<f64>>, matrix: &Matrix| -> Arc<[f64]> {
            match given {
                Some(given) => given.into(),
                None => matrix.data.iter().map(|&x| f64::from(x)).collect(),
            }
        };
        let given_f64 =
            (a_f64.is_some() || b_f64.is_some()).then(|| [widened(a_f64, &a), widened(b_f64, &b)]);
        let extents = [a.rows, b.cols, a.cols];
        let sha256 = match &given_f64 {
            Some([a, b]) => identity_f64(&extents, [a, b]),
            None => identity(&extents, &a, &b),
        };
        Ok(Self { a, b, given_f64, sha256 })
    }
}

/// A file whose header was read, and which holds as many numbers as that says.
struct Opened {
    path: PathBuf,
    /// At its first number.
    file: BufReader<File>,
    header: Header,
    rows: usize,
    columns: usize,
    /// Whether its numbers are f64, not f32.
    is_f64: bool,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, NpyError> {
        let io = |source| NpyError::Io { path: path.to_owned(), source };
        let format = |reason: String| NpyError::Format { path: path.to_owned(), reason };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let header = header(&mut file).map_err(format)?;
        let path = path.to_owned();
        let [rows, columns] = header.shape[..] else {
            let (dimensions, shape) = (header.shape.len(), header.shape);
            return Err(NpyError::Dimensions { path, dimensions, shape });
        };
        let countable = |x: usize| x > 0 && u32::try_from(x).is_ok();
        if !countable(rows) || !countable(columns) {
            return Err(NpyError::Extent { path, rows, columns });
        }
        let descriptor = header.type_descriptor.to_string();
        let is_f64 = match descriptor.trim_matches('\'').trim_start_matches(['<', '>', '=', '|']) {
            "f4" => false,
            "f8" => true,
            found => return Err(NpyError::Type { path, found: found.to_owned() }),
        };
        // Before memory is taken: a header may ask for more than the file holds.
        let needed = rows as u128 * columns as u128 * if is_f64 { 8 } else { 4 };
        let held = file.get_ref().metadata().map_err(io)?.len();
        let held = held - file.stream_position().map_err(io)?.min(held);
        if needed != u128::from(held) {
            return Err(format(format!(
                "its header asks for {needed} bytes of numbers and it holds {held}"
            )));
        }
        Ok(Self { path, file, header, rows, columns, is_f64 })
    }

    /// Bytes of memory that [`Opened::load`] takes at its peak, and that stay taken.
    fn bytes(&self) -> (u128, u128) {
        let numbers = self.rows as u128 * self.columns as u128;
        let (width, held) = if self.is_f64 { (8, 12) } else { (4, 4) };
        // By columns and by rows at a time, where they do not lie by rows.
        let copies = if self.header.layout.is_fortran() { 2 } else { 1 };
        ((copies * width).max(held) * numbers, held * numbers)
    }

    fn load(self) -> Result<Loaded, NpyError> {
        let Self { path, file, header, rows, columns, is_f64 } = self;
        let format = |reason| NpyError::Format { path: path.clone(), reason };
        let fortran = header.layout.is_fortran();
        if !is_f64 {
            let data = elements::<f32>(file, &header, rows * columns).map_err(format)?;
            let matrix =
                Matrix { rows, cols: columns, data: by_rows(data, rows, columns, fortran) };
            return Loaded { matrix, given_f64: None }.finite(&path);
        }
        let data = elements::<f64>(file, &header, rows * columns).map_err(format)?;
        let given = by_rows(data, rows, columns, fortran);
        let matrix =
            Matrix { rows, cols: columns, data: given.iter().map(|&x| x as f32).collect() };
        Loaded { matrix, given_f64: Some(given) }.finite(&path)
    }
}

/// Bytes of memory that [`FileOperands::read`] takes at its peak: A is loaded, then B beside it; then,
/// where one of them is f64, each is copied to where it stays in f64.
fn peak_bytes(a: &Opened, b: &Opened) -> u128 {
    let ((loading_a, held_a), (loading_b, held_b)) = (a.bytes(), b.bytes());
    let loading = loading_a.max(held_a + loading_b);
    if !a.is_f64 && !b.is_f64 {
        return loading;
    }
    let [numbers_a, numbers_b] = [a, b].map(|file| file.rows as u128 * file.columns as u128);
    let widening_a = held_a + held_b + 8 * numbers_a;
    let widening_b = 12 * numbers_a + held_b + 8 * numbers_b;
    loading.max(widening_a).max(widening_b)
}

/// One file, row-major.
struct Loaded {
    matrix: Matrix,
    given_f64: Option<Vec<f64>>,
}

impl Loaded {
    /// Itself, if all its elements are finite in f32.
    fn finite(self, path: &Path) -> Result<Self, NpyError> {
        let Some(at) = self.matrix.data.iter().position(|x| !x.is_finite()) else {
            return Ok(self);
        };
        let (row, column) = (at / self.matrix.cols, at % self.matrix.cols);
        let value = self.given_f64.map_or(f64::from(self.matrix.data[at]), |given| given[at]);
        Err(NpyError::Element { path: path.to_owned(), row, column, value })
    }
}

/// The longest header that is read, in bytes: NumPy's own limit (`max_header_size`). A file may claim 4 GiB,
/// for which memory would be taken.
const LONGEST_HEADER: u64 = 10_000;

/// The header, once its length is known to be that of one.
fn header(file: &mut impl Read) -> Result<Header, String> {
    // The magic string (6 bytes), the version (2), and the length: 2 bytes in version 1, else 4.
    let mut bytes = vec![];
    let mut take = |count: u64, bytes: &mut Vec<u8>| {
        file.take(count).read_to_end(bytes).map_err(|error| error.to_string())
    };
    take(10, &mut bytes)?;
    if bytes.get(6).is_some_and(|&version| version > 1) {
        take(2, &mut bytes)?;
    }
    let length = bytes.get(8..).unwrap_or_default().iter().rev();
    let length = length.fold(0, |length, &byte| length << 8 | u64::from(byte));
    // A file of another kind has any bytes there; it is told by its first ones, below.
    take(length.min(LONGEST_HEADER), &mut bytes)?;
    if bytes.starts_with(b"\x93NUMPY") && length > LONGEST_HEADER {
        return Err(format!(
            "its header has {length} bytes, and NumPy reads at most {LONGEST_HEADER}"
        ));
    }
    // The parser draws where it stopped, on lines of its own.
    let told = |error: ReadHeaderError| error.to_string().lines().next().unwrap_or_default().into();
    Header::from_reader(&mut &bytes[..]).map_err(told)
}

fn elements<T: ReadableElement>(
    file: impl Read,
    header: &Header,
    count: usize,
) -> Result<Vec<T>, String> {
    T::read_to_end_exact_vec(file, &header.type_descriptor, count).map_err(|e| e.to_string())
}

/// The elements row by row, from column by column where that is how they lie.
fn by_rows<T: Copy>(data: Vec<T>, rows: usize, columns: usize, fortran: bool) -> Vec<T> {
    if !fortran {
        return data;
    }
    // As long as it becomes, where a vector that grows would take more.
    let mut rowwise = Vec::with_capacity(data.len());
    (0..rows).for_each(|i| rowwise.extend(data[i..].iter().step_by(rows).take(columns)));
    rowwise
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as NumPy writes it: magic, version, length of the header, header, numbers.
    fn npy(version: u8, descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let dict =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        let before = if version == 1 { 10 } else { 12 };
        let padding = (64 - (before + dict.len() + 1) % 64) % 64;
        let header = format!("{dict}{}\n", " ".repeat(padding));
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    /// [[1, 2, 3], [4, 5, 6.1]] in every type, byte order, memory order and version.
    #[test]
    fn every_layout_that_numpy_writes_is_the_same_matrix() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.1f64];
        let columns = [1.0, 4.0, 2.0, 5.0, 3.0, 6.1f64];
        let mut seen = 0;
        for version in [1, 2, 3] {
            for (fortran, order) in [("False", rows), ("True", columns)] {
                for descr in ["<f4", ">f4", "<f8", ">f8"] {
                    let bytes: Vec<u8> = match descr {
                        "<f4" => order.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
                        ">f4" => order.iter().flat_map(|&x| (x as f32).to_be_bytes()).collect(),
                        "<f8" => order.iter().flat_map(|x| x.to_le_bytes()).collect(),
                        _ => order.iter().flat_map(|x| x.to_be_bytes()).collect(),
                    };
                    let path =
                        folder.file("x.npy", &npy(version, descr, fortran, "(2, 3)", &bytes));
                    let loaded = load(&path).unwrap();
                    assert_eq!((loaded.matrix.rows, loaded.matrix.cols), (2, 3));
                    assert_eq!(loaded.matrix.data, rows.map(|x| x as f32));
                    let given = descr.ends_with('8').then(|| rows.to_vec());
                    assert_eq!(loaded.given_f64, given);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 24);
    }

    fn load(path: &Path) -> Result<Loaded, NpyError> {
        Opened::new(path)?.load()
    }

    /// A of 2x3 and B of 3x4 by hand, in bytes: 6 and 12 numbers.
    #[test]
    fn operands_over_the_memory_are_refused_before_they_are_read() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let file = |name: &str, descr: &str, fortran: &str, shape: &str| {
            let numbers = if name == "a" { 6 } else { 12 };
            let width = if descr == "<f8" { 8 } else { 4 };
            folder.file(name, &npy(1, descr, fortran, shape, &vec![0; numbers * width]))
        };
        for (a, b, peak) in [
            // Both as they are.
            (("<f4", "False"), ("<f4", "False"), 24 + 48),
            // A stays while B is there by columns and by rows; the other way round, B alone is more.
            (("<f4", "False"), ("<f4", "True"), 24 + 96),
            (("<f4", "True"), ("<f4", "False"), 24 + 48),
            // Both in f32 and f64, and B in f64 once more.
            (("<f8", "False"), ("<f8", "False"), 72 + 144 + 96),
            (("<f8", "True"), ("<f8", "True"), 72 + 144 + 96),
            // B in f32 has no copy in f64 to be freed.
            (("<f8", "False"), ("<f4", "False"), 72 + 48 + 96),
            (("<f4", "False"), ("<f8", "False"), 72 + 144 + 96),
        ] {
            let (path_a, path_b) = (file("a", a.0, a.1, "(2, 3)"), file("b", b.0, b.1, "(3, 4)"));
            assert!(FileOperands::read_within(&path_a, &path_b, peak).is_ok(), "{a:?} {b:?}");
            let error = FileOperands::read_within(&path_a, &path_b, peak - 1).unwrap_err();
            assert!(matches!(error, NpyError::OverMemory { .. }), "{a:?} {b:?}: {error}");
            let told = format!(
                "matrices of 2x3 and 3x4, takes {peak} bytes of host memory, over the {} available; \
                 cut them, save both in f32, or use a machine with more memory",
                peak - 1
            );
            assert!(error.to_string().ends_with(&told), "{error}");
        }
    }

    /// Files with holes may be larger than any memory, as far as the file system lets such be made.
    #[test]
    fn files_over_the_memory_of_this_machine_are_refused() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let hollow = |name: &str, shape: &str, held: u64| {
            let header = npy(1, "<f8", "True", shape, &[]);
            let path = folder.file(name, &header);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(header.len() as u64 + held).is_ok().then_some(path)
        };
        for exponent in (40..=62).rev() {
            let (long, short, held) = (1u64 << 30, 1u64 << (exponent - 33), 1 << exponent);
            let a = hollow("a.npy", &format!("({short}, {long})"), held);
            let b = hollow("b.npy", &format!("({long}, {short})"), held);
            let Some((a, b)) = a.zip(b) else { continue };
            if u64::from(u32::MAX) < short || available_host_bytes() > 4 * (held / 4 * 3) {
                continue;
            }
            let error = FileOperands::read(&a, &b).unwrap_err();
            assert!(matches!(error, NpyError::OverMemory { .. }), "{error}");
            return;
        }
    }

    #[test]
    fn a_product_of_f32_and_f64_is_given_in_f64() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let a = folder.file("a.npy", &npy(1, "<f4", "False", "(1, 1)", &0.1f32.to_le_bytes()));
        let b = folder.file("b.npy", &npy(1, "<f8", "False", "(1, 1)", &0.1f64.to_le_bytes()));
        let both = FileOperands::read(&a, &b).unwrap();
        let [given_a, given_b] = both.given_f64.unwrap();
        assert_eq!((given_a[0], given_b[0]), (f64::from(0.1f32), 0.1));
        assert_eq!(both.a, both.b);
        let single = FileOperands::read(&a, &a).unwrap();
        assert!(single.given_f64.is_none());
        assert_ne!(both.sha256, single.sha256, "the digits beyond f32 are other inputs");
    }

    #[test]
    fn what_is_no_operand_is_named_with_the_remedy() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let six = [0u8; 24];
        let infinite = 1e300f64.to_le_bytes();
        for (bytes, told) in [
            (npy(1, "<f4", "False", "(6,)", &six), "has 1 dimensions ([6]) where a matrix has 2"),
            (npy(1, "<f4", "False", "(1, 2, 3)", &six), "has 3 dimensions"),
            (npy(1, "<f4", "False", "(0, 3)", &[]), "a matrix of 0x3; each must be from 1"),
            (npy(1, "<i4", "False", "(2, 3)", &six), "type i4; f32 and f64 can be read"),
            (
                npy(1, "<f4", "False", "(2, 4)", &six),
                "asks for 32 bytes of numbers and it holds 24",
            ),
            (npy(1, "<f4", "False", "(4294967295, 4294967295)", &six), "it holds 24"),
            (
                npy(1, "<f8", "False", "(1, 1)", &infinite),
                "[0, 0] is 1e300, which is no finite f32",
            ),
            (b"PK\x03\x04 a zip archive".to_vec(), "is no .npy file"),
            (npy(9, "<f4", "False", "(2, 3)", &six), "is no .npy file"),
            (vec![], "is no .npy file"),
            (b"\x93NUMPY".to_vec(), "is no .npy file"),
            (npy(1, "<f4", "False", "(2, 3)", &six)[..20].to_vec(), "is no .npy file"),
            (npy(1, "|O", "False", "(2, 3)", b"\x80\x04N."), "type O; f32 and f64"),
            (npy(1, "<f8", "False", "(-1, 3)", &six), "is no .npy file"),
            (npy(1, "<f8", "False", "(99999999999999999999, 3)", &six), "is no .npy file"),
            (npy(2, "<f4", "False", &"(".repeat(5000), &six), "is no .npy file"),
            (npy(3, "<f4", "False", &"2,".repeat(6000), &six), "NumPy reads at most 10000"),
        ] {
            let path = folder.file("x.npy", &bytes);
            let message = load(&path).err().unwrap().to_string();
            assert!(message.contains(told) && message.contains("x.npy"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        // A header of 4 GiB is not even taken for one.
        let long = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes(), b"{'descr'"].concat();
        let message = load(&folder.file("long.npy", &long)).err().unwrap().to_string();
        assert!(message.contains("its header has 4294967295 bytes"), "{message}");
        let row = folder.file("row.npy", &npy(1, "<f4", "False", "(2, 3)", &six));
        let message = FileOperands::read(&row, &row).unwrap_err().to_string();
        assert!(message.contains("A is 2x3 and B 2x3"), "{message}");
        let message = FileOperands::read(&row, Path::new("absent.npy")).unwrap_err().to_string();
        assert!(message.starts_with("absent.npy: "), "{message}");
    }
}
