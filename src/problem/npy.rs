//! The user's own operands, from `.npy` files: f32 or f64, little- or big-endian, in C or Fortran
//! order, in any version of the format that NumPy writes (1.0, 2.0, 3.0).

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray_npy::ReadableElement;
use ndarray_npy::npy::header::{Header, ReadHeaderError};

use super::matrix::{Matrix, identity, identity_f64};

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
    /// More numbers than the system has memory for.
    #[error(
        "{path} is a matrix of {rows}x{columns}, and the system refused {bytes} bytes of memory to read \
         it; cut it, or use a machine with more memory", path = .path.display()
    )]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Bytes of all that reading it takes.
        bytes: u128,
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
    /// [`NpyError`] if a file holds no matrix of finite numbers of f32, or the two do not fit.
    pub fn read(a: &Path, b: &Path) -> Result<Self, NpyError> {
        let ([a, b], [a_f64, b_f64]) = {
            let (a, b) = (Loaded::read(a)?, Loaded::read(b)?);
            ([a.matrix, b.matrix], [a.given_f64, b.given_f64])
        };
        if a.cols != b.rows {
            return Err(NpyError::Inner {
                rows_a: a.rows,
                columns_a: a.cols,
                rows_b: b.rows,
                columns_b: b.cols,
            });
        }
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

/// One file, row-major.
struct Loaded {
    matrix: Matrix,
    given_f64: Option<Vec<f64>>,
}

impl Loaded {
    fn read(path: &Path) -> Result<Self, NpyError> {
        let io = |source| NpyError::Io { path: path.to_owned(), source };
        let format = |reason: String| NpyError::Format { path: path.to_owned(), reason };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let header = header(&mut file).map_err(format)?;
        let [rows, columns] = header.shape[..] else {
            let (dimensions, shape) = (header.shape.len(), header.shape);
            return Err(NpyError::Dimensions { path: path.to_owned(), dimensions, shape });
        };
        let countable = |x: usize| x > 0 && u32::try_from(x).is_ok();
        if !countable(rows) || !countable(columns) {
            return Err(NpyError::Extent { path: path.to_owned(), rows, columns });
        }
        let descriptor = header.type_descriptor.to_string();
        let width = match descriptor.trim_matches('\'').trim_start_matches(['<', '>', '=', '|']) {
            "f4" => 4,
            "f8" => 8,
            found => {
                return Err(NpyError::Type { path: path.to_owned(), found: found.to_owned() });
            }
        };
        // Before memory is taken: a header may ask for more than the file holds.
        let needed = rows as u128 * columns as u128 * width;
        let held = file.get_ref().metadata().map_err(io)?.len();
        let held = held - file.stream_position().map_err(io)?.min(held);
        if needed != u128::from(held) {
            return Err(format(format!(
                "its header asks for {needed} bytes of numbers and it holds {held}"
            )));
        }
        let fortran = header.layout.is_fortran();
        // The elements, once more by rows where they lie by columns, and those of f64 in f32 too.
        let copies = if fortran { 2 } else { 1 };
        let bytes = copies * needed + if width == 8 { needed / 2 } else { 0 };
        if !has_memory(bytes) {
            let path = path.to_owned();
            return Err(NpyError::OutOfMemory { path, rows, columns, bytes });
        }
        if width == 4 {
            let data = elements::<f32>(file, &header, rows * columns).map_err(format)?;
            let matrix =
                Matrix { rows, cols: columns, data: by_rows(data, rows, columns, fortran) };
            let loaded = Self { matrix, given_f64: None };
            return loaded.finite(path);
        }
        let data = elements::<f64>(file, &header, rows * columns).map_err(format)?;
        let given = by_rows(data, rows, columns, fortran);
        let matrix =
            Matrix { rows, cols: columns, data: given.iter().map(|&x| x as f32).collect() };
        Self { matrix, given_f64: Some(given) }.finite(path)
    }

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

/// Whether the system gives so many bytes; they are given back at once.
fn has_memory(bytes: u128) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok())
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
    (0..rows).flat_map(|i| data[i..].iter().step_by(rows).take(columns).copied()).collect()
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
                    let loaded = Loaded::read(&path).unwrap();
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

    /// A file with a hole may be larger than any memory, as far as the file system and the system's
    /// promises of memory let one be made.
    #[test]
    fn a_file_over_the_memory_is_refused_before_it_is_read() {
        assert!(has_memory(1) && !has_memory(u128::from(u64::MAX)));
        let folder = Folder(tempfile::tempdir().unwrap());
        for exponent in (40..=62).rev() {
            let (columns, held) = (1u64 << 30, 1u64 << exponent);
            let bytes = npy(1, "<f8", "True", &format!("({}, {columns})", held / 8 / columns), &[]);
            let path = folder.file("x.npy", &bytes);
            let file = File::options().write(true).open(&path).unwrap();
            let made = file.set_len(bytes.len() as u64 + held).is_ok();
            if !made || has_memory(5 * u128::from(held) / 2) {
                continue;
            }
            let message = Loaded::read(&path).err().unwrap().to_string();
            assert!(message.contains("bytes of memory to read it"), "{message}");
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
            let message = Loaded::read(&path).err().unwrap().to_string();
            assert!(message.contains(told) && message.contains("x.npy"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        // A header of 4 GiB is not even taken for one.
        let long = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes(), b"{'descr'"].concat();
        let message = Loaded::read(&folder.file("long.npy", &long)).err().unwrap().to_string();
        assert!(message.contains("its header has 4294967295 bytes"), "{message}");
        let row = folder.file("row.npy", &npy(1, "<f4", "False", "(2, 3)", &six));
        let message = FileOperands::read(&row, &row).unwrap_err().to_string();
        assert!(message.contains("A is 2x3 and B 2x3"), "{message}");
        let message = FileOperands::read(&row, Path::new("absent.npy")).unwrap_err().to_string();
        assert!(message.starts_with("absent.npy: "), "{message}");
    }
}
