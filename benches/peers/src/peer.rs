//! What a peer must be able to do.

use tradeoff::error::{Bound, BoundError, Guarantee, matmul_bound};
use tradeoff::number::Precision;
use tradeoff::problem::matrix::MatmulProblem;

/// Somebody else's implementation of C = A·B.
pub trait Peer {
    /// Its name and version, such as `gemm 0.19.0`: the row's `implementation`.
    fn implementation(&self) -> String;

    /// Its name in ids, such as `gemm`: the row's `kernel`.
    fn kernel(&self) -> &'static str;

    /// What it computes in.
    fn precision(&self) -> Precision;

    /// Takes over the inputs, and converts and uploads them where it needs to: none of that is
    /// timed. An error is the reason of a row that is `skipped`.
    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), String>;

    /// Computes C once, and returns when it is there.
    fn run(&mut self) -> Result<(), String>;

    /// C of the last run, m×n row-major.
    fn result(&mut self) -> Result<Vec<f32>, String>;

    /// What its error must keep to, whatever order it sums in: what WGSL promises of f32
    /// arithmetic, unless it knows better. Integer formats need the steps of their operands and
    /// override it.
    fn bound(&self, k: usize) -> Result<Bound, BoundError> {
        matmul_bound(self.precision(), k, &[], &[], Guarantee::PORTABLE)
    }
}
