//! How fast is SGD at each setting, against D32fM32f and against the memory's bandwidth?
//!
//!     cargo run --release --example sgd_ratio -- [n] [d] [batch] [rounds] [steps]
//!
//! On the CPU and on every GPU present (`TRADEOFF_DEVICES` chooses), all settings take turns, round
//! by round, with a plain read (CPU) or copy (GPU) of memory, so that drift cancels in the ratios.
//! Prints medians with their spread, and ratios of medians with a bootstrap interval. The data set
//! counts once a step, as the rows of the minibatch are read once; on the CPU only the f32 setting
//! is set against bandwidth, on the GPU also the conversions.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use tradeoff::compare::{RESAMPLES, bootstrap};
use tradeoff::gpu::{Context, GpuError, discover_from_env};
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::problem::dataset::{Dataset, DatasetSpec};
use tradeoff::workload::sgd::{CpuSgd, GpuSgd, SgdCase};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SETTINGS: [Precision; 5] = [
    Precision::D32fM32f,
    Precision::D16fM16f,
    Precision::D16M16Sr,
    Precision::D8M8,
    Precision::D8M8Sr,
];

/// What takes turns: its work in units of 10⁹ a second of `unit`, and one timed run in ns.
struct Contender<'a> {
    name: String,
    unit: &'static str,
    work: f64,
    run: Box<dyn FnMut() -> Outcome<f64> + 'a>,
    ns: Vec<f64>,
}

impl Contender<'_> {
    fn median_ns(&self) -> f64 {
        let mut sorted = self.ns.clone();
        sorted.sort_by(f64::total_cmp);
        0.5 * (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2])
    }

    fn rate(&self) -> f64 {
        self.work / self.median_ns()
    }
}

fn main() -> Outcome<()> {
    let argument = |at, default| std::env::args().nth(at).map_or(Ok(default), |a| a.parse());
    let (n, d) = (argument(1, 65_536)?, argument(2, 4096)?);
    let (batch, rounds) = (argument(3, 64)? as usize, argument(4, 15)?);
    let data = DatasetSpec::Figure2 { n, d }.load(0)?;
    let per_epoch = data.n.div_ceil(batch) as u32;
    let steps = argument(5, per_epoch)?;
    println!("{} batch {batch}, {steps} steps a run, {rounds} rounds", data.spec);
    for candidate in discover_from_env()? {
        if candidate.is_cpu() {
            on_cpu(&data, batch, steps, rounds)?;
        } else {
            let context = candidate.open()?;
            if let Err(error) = on_gpu(&context, &data, batch, steps, rounds) {
                eprintln!("{}: {error}", context.info.slug);
            }
        }
    }
    Ok(())
}

fn on_cpu(data: &Dataset, batch: usize, steps: u32, rounds: u32) -> Outcome<()> {
    let mut contenders = vec![Contender {
        name: "read".into(),
        unit: "GB/s",
        work: size_of_val(&data.x[..]) as f64,
        run: Box::new(|| Ok(timed(|| black_box(read(black_box(&data.x)))))),
        ns: Vec::new(),
    }];
    for precision in SETTINGS {
        let case = SgdCase::new(data, precision, batch, steps);
        let mut sgd = CpuSgd::prepare(&case, data, Arithmetic::host())?;
        contenders.push(Contender {
            name: precision.to_string(),
            unit: "GNPS",
            work: case.numbers(data) as f64,
            run: Box::new(move || Ok(sgd.run())),
            ns: Vec::new(),
        });
    }
    println!("cpu, {} threads", rayon::current_num_threads());
    take_turns(&mut contenders, rounds)?;
    let bytes = Contender {
        name: "bytes of D32fM32f".into(),
        work: 4.0 * contenders[1].work,
        ns: contenders[1].ns.clone(),
        unit: "GB/s",
        run: Box::new(|| Ok(0.0)),
    };
    ratio(&bytes, &contenders[0]);
    ratios(&contenders[1..]);
    Ok(())
}

fn on_gpu(context: &Context, data: &Dataset, batch: usize, steps: u32, rounds: u32) -> Outcome<()> {
    let bytes = (256 << 20).min(context.info.max_binding_bytes).min(context.info.max_buffer_bytes);
    let [from, to] = [context.buffer("from", bytes)?, context.buffer("to", bytes)?];
    let copy = [context.copy(&from, 0, &to, 0, bytes)];
    let runs: Vec<(SgdCase, GpuSgd)> = SETTINGS
        .into_iter()
        .map(|precision| {
            let case = SgdCase::new(data, precision, batch, steps);
            let sgd = GpuSgd::prepare(context, &case, data)?;
            context.run(sgd.conversion_commands(), 1)?;
            Ok((case, sgd))
        })
        .collect::<Outcome<_>>()?;
    let mut contenders = vec![Contender {
        name: "copy".into(),
        unit: "GB/s",
        work: 2.0 * bytes as f64,
        run: Box::new(|| clocked(context.run(&copy, 1))),
        ns: Vec::new(),
    }];
    for (case, sgd) in &runs {
        contenders.push(Contender {
            name: case.precision.to_string(),
            unit: "GNPS",
            work: case.numbers(data) as f64,
            run: Box::new(|| clocked(context.run(sgd.commands(), 1))),
            ns: Vec::new(),
        });
    }
    for (case, sgd) in &runs {
        if let Some(bytes) = case.conversion_bytes(data) {
            contenders.push(Contender {
                name: format!("conversion to {}", case.precision.storage().name()),
                unit: "GB/s",
                work: bytes as f64,
                run: Box::new(|| clocked(context.run(sgd.conversion_commands(), 1))),
                ns: Vec::new(),
            });
        }
    }
    println!("{}, timed by {}", context.info.slug, context.timing.name());
    take_turns(&mut contenders, rounds)?;
    contenders.iter().skip(1 + runs.len()).for_each(|c| ratio(c, &contenders[0]));
    ratios(&contenders[1..=runs.len()]);
    Ok(())
}

/// A run on the device, by its own clock where that can be believed.
fn clocked(elapsed: Result<tradeoff::gpu::Elapsed, GpuError>) -> Outcome<f64> {
    let elapsed = elapsed?;
    Ok(elapsed.device_ns.unwrap_or(elapsed.host_ns))
}

fn timed<T>(body: impl FnOnce() -> T) -> f64 {
    let started = Instant::now();
    body();
    started.elapsed().as_nanos() as f64
}

/// One pass over the numbers by all threads: each piece by as many running sums as keep it bound
/// by memory.
fn read(x: &[f32]) -> u32 {
    let piece = |x: &[f32]| {
        let mut sums = [0u32; 64];
        for x in x.as_chunks::<64>().0 {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum ^= x.to_bits());
        }
        sums.into_iter().fold(0, |a, b| a ^ b)
    };
    x.par_chunks(1 << 20).map(piece).reduce(|| 0, |a, b| a ^ b)
}

/// One run each to warm up, then all in turn.
fn take_turns(contenders: &mut [Contender<'_>], rounds: u32) -> Outcome<()> {
    for round in 0..=rounds {
        for contender in contenders.iter_mut() {
            let ns = (contender.run)()?;
            if round > 0 {
                contender.ns.push(ns);
            }
        }
    }
    for contender in contenders {
        let rates = contender.ns.iter().map(|ns| contender.work / ns);
        let (low, high) = rates.fold((f64::INFINITY, 0.0f64), |(l, h), r| (l.min(r), h.max(r)));
        println!(
            "  {:<24} median {:8.3} {} ({low:.3} to {high:.3})",
            contender.name,
            contender.rate(),
            contender.unit
        );
    }
    Ok(())
}

/// Each setting against the first.
fn ratios(contenders: &[Contender<'_>]) {
    contenders[1..].iter().for_each(|contender| ratio(contender, &contenders[0]));
}

/// a's rate over b's.
fn ratio(a: &Contender<'_>, b: &Contender<'_>) {
    let scale = a.work / b.work;
    let interval = bootstrap(&a.ns, &b.ns, RESAMPLES, [0, 0]);
    let interval = interval.map_or("too few rounds for an interval".into(), |interval| {
        format!("95 % {:.3} to {:.3}", interval.low * scale, interval.high * scale)
    });
    println!("  {} / {}: {:.3} ({interval})", a.name, b.name, a.rate() / b.rate());
}
