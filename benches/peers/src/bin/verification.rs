//! What verifying a case costs beside timing it: wall time of the preparation of each case (the
//! device's or the CPU's result, the mirror, the comparison, errors and bound) over that of its
//! samples as `tradeoff run` draws them.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin verification -- --size 1024`
//! The truth, which the cases of a shape share, is computed before and not counted; with it goes the
//! mirror of a GPU's first case.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use tradeoff::gpu::discover;
use tradeoff::measure::sampler::{SamplerOptions, sample};
use tradeoff::measure::{Selection, Session};
use tradeoff::number::Precision;
use tradeoff::record::Provenance;
use tradeoff::workload::matmul::Shape;

/// Wall time of verification against that of timing, case by case.
#[derive(Parser)]
struct Arguments {
    /// Size of square matrices.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Device, by its name in bench ids.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Seconds of samples a case, as `tradeoff run --time`.
    #[arg(long, default_value_t = 1.0)]
    time: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.size > 0, "--size is at least 1");
    ensure!(arguments.time > 0.0 && arguments.time <= 3600.0, "--time is in (0, 3600] seconds");
    let selection = Selection {
        shapes: vec![Shape::square(arguments.size)],
        precisions: Precision::MATMUL.to_vec(),
        data_sets: vec![],
        ..Selection::default()
    };
    let devices = discover(Some(&arguments.device))?;
    let mut session = Session::new(devices, selection, &Provenance::collect());
    let options = SamplerOptions {
        time: Duration::from_secs_f64(arguments.time),
        ..SamplerOptions::default()
    };
    let plan = session.plan();
    if let Some(first) = plan.first() {
        let _ = session.prepare(first); // draws the problem and computes its truth
    }
    println!("{:48} {:>10} {:>10} {:>7}", "case", "verify ms", "sample ms", "ratio");
    for case in &plan {
        // Once: a session keeps a GPU's mirrors, so that a second time would count too little.
        let started = Instant::now();
        let mut prepared = match session.prepare(case) {
            Ok(prepared) => prepared,
            Err(measured) => bail!("{case}: {}", measured.record.reason),
        };
        let verified_ms = started.elapsed().as_secs_f64() * 1e3;
        let started = Instant::now();
        if let Err(why) = sample(&mut prepared, &options, &mut || false) {
            bail!("{case}: {}", why.reason);
        }
        let sampled_ms = started.elapsed().as_secs_f64() * 1e3;
        let ratio = verified_ms / sampled_ms;
        println!("{:48} {verified_ms:10.1} {sampled_ms:10.1} {ratio:7.3}", case.to_string());
    }
    Ok(())
}
