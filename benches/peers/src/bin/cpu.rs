//! The CPU mirrors beside the crate `gemm`, in interleaved rounds.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin cpu -- --sizes 512,1024`
//! prints medians and ratios and writes a run folder of the usual schema.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tradeoff::number::Precision;
use tradeoff::record::{Provenance, RunFolder};
use tradeoff::workload::matmul::Shape;
use tradeoff_peers::{Bench, Ratios, gemm::Gemm, race};

/// Medians and ratios of the CPU's matrix products to the crate gemm's f32.
#[derive(Parser)]
struct Arguments {
    /// Sizes of square matrices.
    #[arg(long, value_delimiter = ',', default_value = "512,1024")]
    sizes: Vec<usize>,
    /// Precisions of the mirrors.
    #[arg(long, value_delimiter = ',', default_value = "fp32,fp16-sr,fp16-acc16,bf16,int8")]
    precisions: Vec<Precision>,
    /// Samples of each, drawn in turn.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Threads of all of them.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Folder for the folder of this run.
    #[arg(short, long, default_value = "results")]
    output: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.sizes.iter().all(|&size| size > 0), "--sizes: a size is at least 1");
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()
        .context("cannot start the threads; choose a smaller --threads")?;
    let provenance = Provenance::collect();
    let mut folder = RunFolder::create(&arguments.output, provenance.clone())?;
    for &size in &arguments.sizes {
        let mut bench = Bench::new(Shape::square(size), "cpu", &provenance)?;
        bench.ready(&arguments.precisions);
        let mut own = vec![];
        for &precision in &arguments.precisions {
            own.push(bench.own(precision, "mirror")?);
        }
        let beside = bench.own(Precision::Fp32, "mirror")?;
        let mut entrants = vec![bench.peer(Box::new(Gemm::default()), beside.record())];
        entrants.append(&mut own);
        println!("{}", race(&mut entrants, arguments.rounds, Ratios::ToFirst));
        let mut together = vec![];
        for measured in entrants.into_iter().map(|entrant| bench.finish(entrant)) {
            together.push(measured.record.case_id.clone());
            folder.append_case(&measured.record, &measured.samples, &measured.trajectory)?;
        }
        folder.update_provenance(|provenance| provenance.interleaved.push(together))?;
    }
    eprintln!("{} threads; rows in {}", arguments.threads, folder.path().display());
    Ok(())
}
