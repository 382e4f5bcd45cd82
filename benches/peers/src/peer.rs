//! What a peer must be able to do.

use std::time::Instant;

use tradeoff::error::{Bound, BoundError, Guarantee};
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Format, Precision};
use tradeoff::problem::matrix::MatmulProblem;
use tradeoff::workload::matmul::output_format;

use crate::setting::{Setting, Unit, bound};

/// Somebody else's implementation of C = A·B.
pub trait Peer {
    /// Its name and version, such as `gemm 0.19.0`, once it is prepared: the row's
    /// `implementation`.
    fn implementation(&self) -> String;

    /// Its name in ids, such as `gemm`: the row's `kernel`.
    fn kernel(&self) -> &'static str;

    /// The precision of tradeoff's whose operands it multiplies.
    fn precision(&self) -> Precision;

    /// What it computes in.
    fn setting(&self) -> Setting {
        Setting::Own(self.precision())
    }

    /// Format of C, once it is prepared.
    fn output(&self) -> Format {
        output_format(self.precision())
    }

    /// Whose clock [`Peer::time`] reads, once it is prepared: `host` or `timestamp`.
    fn clock(&self) -> &str {
        "host"
    }

    /// Takes over the inputs, and converts and uploads them where it needs to: none of that is
    /// timed. What is not here is an error of status `skipped`.
    fn prepare(&mut self, problem: &MatmulProblem) -> Result<(), Unmeasured>;

    /// Computes C once, and returns when it is there.
    fn run(&mut self) -> Result<(), String>;

    /// Computes C so many times; the time of all of them in ns, the last one's end included.
    fn time(&mut self, iterations: u64) -> Result<f64, String> {
        let started = Instant::now();
        for _ in 0..iterations {
            self.run()?;
        }
        Ok(started.elapsed().as_nanos() as f64)
    }

    /// C of the last run, m×n row-major.
    fn result(&mut self) -> Result<Vec<f32>, String>;

    /// What its error must keep to, whatever order it sums in: what WGSL promises of f32
    /// arithmetic, unless it knows better. Integer formats need the steps of their operands and
    /// override it.
    fn bound(&self, k: usize) -> Result<Bound, BoundError> {
        let unit = Unit::Vector(Guarantee::PORTABLE);
        bound(self.setting(), k, [&[], &[]], unit, self.output())
    }
}
