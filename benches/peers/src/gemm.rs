//! The crate `gemm` on the CPU: f32, AVX-512, AVX2 or NEON chosen at run time.

use tradeoff::error::{Bound, BoundError, Guarantee, matmul_bound};
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::matrix::MatmulProblem;

use crate::Peer;

/// Version that `Cargo.lock` holds; a test compares the two.
const VERSION: &str = "0.19.0";

/// f32 product on the threads of the current pool.
#[derive(Default)]
pub struct Gemm {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Peer for Gemm {
    fn implementation(&self) -> String {
        format!("gemm {VERSION}")
    }

    fn kernel(&self) -> &'static str {
        "gemm"
    }

    fn precision(&self) -> Precision {
        Precision::Fp32
    }

    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), Unmeasured> {
        (self.m, self.n, self.k) = (problem.m, problem.n, problem.k);
        self.a.clone_from(&problem.a.data);
        self.b.clone_from(&problem.b.data);
        self.c = vec![f32::NAN; self.m * self.n];
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        let Self { m, n, k, a, b, c } = self;
        let (columns_a, columns_b) = (*k as isize, *n as isize);
        // SAFETY: `prepare` made the slices of m·k, k·n and m·n elements, which is what these
        // row-major strides address (columns, 1), and `c` is borrowed apart from the operands.
        unsafe {
            gemm::gemm(
                *m,
                *n,
                *k,
                c.as_mut_ptr(),
                1,
                columns_b,
                false, // C is written, not read
                a.as_ptr(),
                1,
                columns_a,
                b.as_ptr(),
                1,
                columns_b,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0), // all of the pool
            );
        }
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<f32>, String> {
        Ok(self.c.clone())
    }

    /// IEEE arithmetic, rounding to nearest.
    fn bound(&self, k: usize) -> Result<Bound, BoundError> {
        matmul_bound(self.precision(), k, &[], &[], Guarantee::of(Arithmetic::host(), true))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_locked_one() {
        let lock = include_str!("../Cargo.lock");
        let entry = format!("name = \"gemm\"\nversion = \"{}\"\n", super::VERSION);
        assert!(lock.contains(&entry), "set VERSION to that of Cargo.lock");
    }
}
