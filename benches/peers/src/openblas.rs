//! OpenBLAS on the CPU, loaded at run time from where the system keeps it, so that it is neither
//! needed nor compiled to build this crate.

use std::ffi::{CStr, c_char, c_int};

use libloading::Library;
use tradeoff::error::{Bound, BoundError, Guarantee};
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::matrix::MatmulProblem;
use tradeoff::record::Status;

use crate::setting::{Setting, Unit, bound};
use crate::{Peer, failed};

/// Names under which systems keep the library with 32-bit indices.
const LIBRARIES: [&str; 6] = [
    "libopenblas.so.0",
    "libopenblas.so",
    "libopenblas.0.dylib",
    "libopenblas.dylib",
    "libopenblas.dll",
    "openblas.dll",
];

/// `cblas_sgemm`: order, transposition of A and B, m, n, k, α, A, lda, B, ldb, β, C, ldc.
type Sgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// CblasRowMajor of `cblas.h`.
const ROW_MAJOR: c_int = 101;
/// CblasNoTrans of `cblas.h`.
const NO_TRANSPOSE: c_int = 111;

/// f32 product of the system's OpenBLAS.
#[derive(Default)]
pub struct OpenBlas {
    library: Option<Loaded>,
    /// m, n and k.
    extents: [c_int; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

struct Loaded {
    sgemm: Sgemm,
    implementation: String,
    /// Keeps `sgemm` valid.
    _library: Library,
}

impl Loaded {
    fn load() -> Result<Self, Unmeasured> {
        // SAFETY: loading OpenBLAS starts its threads and runs no code of ours.
        let found = LIBRARIES.into_iter().find_map(|name| unsafe { Library::new(name) }.ok());
        let library = found.ok_or_else(|| {
            Unmeasured::new(
                Status::Skipped,
                "no OpenBLAS here; install it (Debian: apt-get install libopenblas0)",
            )
        })?;
        // SAFETY: the symbols have these types in every OpenBLAS of 32-bit indices, the only kind
        // that goes by these file names.
        unsafe { Self::of(library) }.map_err(|error| failed(format!("not OpenBLAS's own: {error}")))
    }

    /// # Safety
    /// The library is an OpenBLAS whose indices have 32 bits.
    unsafe fn of(library: Library) -> Result<Self, libloading::Error> {
        // SAFETY: as the caller promises.
        unsafe {
            let configuration: libloading::Symbol<'_, unsafe extern "C" fn() -> *const c_char> =
                library.get(b"openblas_get_config\0")?;
            let set_threads: libloading::Symbol<'_, unsafe extern "C" fn(c_int)> =
                library.get(b"openblas_set_num_threads\0")?;
            set_threads(rayon::current_num_threads() as c_int);
            let implementation = describe(&CStr::from_ptr(configuration()).to_string_lossy());
            let sgemm = *library.get::<Sgemm>(b"cblas_sgemm\0")?;
            Ok(Self { sgemm, implementation, _library: library })
        }
    }
}

/// `OpenBLAS 0.3.21 (SkylakeX)` from `OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH … SkylakeX MAX_THREADS=64`:
/// the core is the one whose kernels run.
fn describe(configuration: &str) -> String {
    let words: Vec<&str> = configuration.split_whitespace().collect();
    let version = words.get(1).copied().unwrap_or("of unknown version");
    match words.iter().skip(2).rfind(|word| !word.contains('=')) {
        Some(core) => format!("OpenBLAS {version} ({core})"),
        None => format!("OpenBLAS {version}"),
    }
}

impl Peer for OpenBlas {
    fn implementation(&self) -> String {
        self.library.as_ref().map_or("OpenBLAS".to_owned(), |found| found.implementation.clone())
    }

    fn kernel(&self) -> &'static str {
        "openblas"
    }

    fn precision(&self) -> Precision {
        Precision::Fp32
    }

    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), Unmeasured> {
        self.library = Some(Loaded::load()?);
        let extent = |x: usize| {
            c_int::try_from(x).map_err(|_| failed(format!("{x} is over an index of 32 bits")))
        };
        self.extents = [extent(problem.m)?, extent(problem.n)?, extent(problem.k)?];
        self.a.clone_from(&problem.a.data);
        self.b.clone_from(&problem.b.data);
        self.c = vec![f32::NAN; problem.m * problem.n];
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        let Self { library: Some(Loaded { sgemm, .. }), extents, a, b, c } = self else {
            return Err("it was not prepared".to_owned());
        };
        let [m, n, k] = *extents;
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let (order, none) = (ROW_MAJOR, NO_TRANSPOSE);
        // SAFETY: `prepare` made a, b and c of m·k, k·n and m·n numbers, which is what these
        // row-major extents and leading dimensions address; the library is loaded.
        unsafe { sgemm(order, none, none, m, n, k, 1.0, a, k, b, n, 0.0, c, n) };
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<f32>, String> {
        Ok(self.c.clone())
    }

    /// IEEE arithmetic, rounding to nearest.
    fn bound(&self, k: usize) -> Result<Bound, BoundError> {
        let unit = Unit::Vector(Guarantee::of(Arithmetic::host(), true));
        bound(Setting::Own(self.precision()), k, [&[], &[]], unit, self.output())
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn the_version_is_read_from_the_configuration() {
        let debian = "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64";
        assert_eq!(describe(debian), "OpenBLAS 0.3.21 (SkylakeX)");
        assert_eq!(describe("OpenBLAS 0.3.28"), "OpenBLAS 0.3.28");
        assert_eq!(describe(""), "OpenBLAS of unknown version");
    }
}
