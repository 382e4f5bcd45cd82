//! tradeoff's fastest kernels beside other people's libraries, in interleaved rounds: one table of
//! ratios a case on stdout, and a run folder of the usual schema.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml --features burn -- \
//!         --device llvmpipe-vulkan --sizes 512,1024 --precisions fp32,fp16 --peers burn
//!
//! Each peer runs in a process of its own, which is this program again (or Python): a peer that is
//! not here is a row `skipped`, one that hangs or crashes a row `failed`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use tradeoff::error::Guarantee;
use tradeoff::gpu::{Candidate, DeviceInfo, discover};
use tradeoff::measure::Unmeasured;
use tradeoff::number::{Arithmetic, Precision};
use tradeoff::record::{Provenance, RunFolder, Status};
use tradeoff::workload::matmul::Shape;
use tradeoff_peers::setting::Unit;
use tradeoff_peers::{
    Bench, Entrant, Job, Peer, Program, Ratios, Remote, Setting, gemm, openblas, race, serve,
};

/// PyTorch's side of a race.
const PYTORCH: &str = include_str!("../../pytorch.py");

/// Medians of tradeoff's fastest kernels and of other people's libraries, and their ratios.
#[derive(Parser)]
struct Arguments {
    /// Peers to race with.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "burn,gemm,openblas,pytorch")]
    peers: Vec<Name>,
    /// Devices: an index, a part of a name, cpu, all.
    #[arg(long, default_value = "all")]
    device: String,
    /// Sizes: n for n×n×n, or mxnxk.
    #[arg(long, value_delimiter = ',', default_value = "512,1024")]
    sizes: Vec<Shape>,
    /// Precisions; PyTorch adds tf32 to fp32 on a GPU.
    #[arg(long, value_delimiter = ',', default_value = "fp32,fp16,bf16,int8")]
    precisions: Vec<Precision>,
    /// Kernels of tradeoff to find the fastest among; all unless given.
    #[arg(long, value_delimiter = ',')]
    kernels: Vec<String>,
    /// Samples of each, drawn in turn.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Threads of every entrant on the CPU; all unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Longest time for one answer of a peer, its start and its tuning included.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
    /// The Python that has PyTorch.
    #[arg(long, default_value = "python3")]
    python: String,
    /// Folder for the folder of this run.
    #[arg(short, long, default_value = "results")]
    output: PathBuf,
    /// Serves the job of a folder as this peer; how the program calls itself.
    #[arg(long, hide = true, requires = "folder")]
    child: Option<Name>,
    #[arg(hide = true)]
    folder: Option<PathBuf>,
}

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// burn through CubeCL, on the same wgpu adapter.
    Burn,
    /// The crate `gemm`, on the CPU.
    Gemm,
    /// OpenBLAS, on the CPU.
    Openblas,
    /// PyTorch, on the CPU and on the GPUs that it has a driver for.
    Pytorch,
}

impl Name {
    const fn word(self) -> &'static str {
        match self {
            Self::Burn => "burn",
            Self::Gemm => "gemm",
            Self::Openblas => "openblas",
            Self::Pytorch => "pytorch",
        }
    }

    /// What it computes in beside tradeoff at `precision` on a device; nothing where it has no such
    /// product at all, wherever it is installed.
    fn settings(self, device: &DeviceInfo, precision: Precision) -> Vec<Setting> {
        let own = Setting::Own(precision);
        let is_cpu = device.backend == "cpu";
        let is_hardware =
            device.device_type != "cpu" && matches!(device.backend.as_str(), "vulkan" | "dx12");
        match (self, precision) {
            (Self::Gemm | Self::Openblas, Precision::Fp32) if is_cpu => vec![own],
            // WGSL has no bf16, and burn no integer product.
            (Self::Burn, Precision::Fp32 | Precision::Fp16) if !is_cpu => vec![own],
            (Self::Pytorch, Precision::Fp32) if is_hardware => vec![own, Setting::Tf32],
            (
                Self::Pytorch,
                Precision::Fp32 | Precision::Fp16 | Precision::Bf16 | Precision::Int8,
            ) if is_cpu || is_hardware => vec![own],
            _ => vec![],
        }
    }

    /// What adds up its products.
    fn unit(self, device: &DeviceInfo, setting: Setting) -> Unit {
        let is_cpu = device.backend == "cpu";
        match (self, setting) {
            (Self::Burn, _) => Unit::Vector(Guarantee::PORTABLE),
            (Self::Pytorch, Setting::Own(Precision::Fp32)) if !is_cpu => {
                Unit::Vector(Guarantee { rounds_to_nearest: true, ..Guarantee::PORTABLE })
            }
            (Self::Pytorch, _) if !is_cpu => Unit::Matrix,
            _ => Unit::Vector(Guarantee::of(Arithmetic::host(), true)),
        }
    }

    /// The peer itself, in its own process.
    fn open(self, job: &Job) -> Result<Box<dyn Peer>> {
        Ok(match self {
            Self::Gemm => Box::new(gemm::Gemm::default()),
            Self::Openblas => Box::new(openblas::OpenBlas::default()),
            Self::Burn => burn(job)?,
            Self::Pytorch => bail!("PyTorch's process is Python"),
        })
    }
}

#[cfg(feature = "burn")]
fn burn(job: &Job) -> Result<Box<dyn Peer>> {
    Ok(Box::new(tradeoff_peers::burn::Burn::new(job.setting.parse()?, &job.device)))
}

#[cfg(not(feature = "burn"))]
fn burn(_: &Job) -> Result<Box<dyn Peer>> {
    bail!("this program was built without burn")
}

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::parse();
    if let (Some(name), Some(folder)) = (arguments.child, &arguments.folder) {
        serve(folder, |job| name.open(job));
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(arguments.rounds > 0, "--rounds: at least 1 sample is drawn of each");
    arguments.peers.dedup();
    // The children read these too.
    let threads = match arguments.threads {
        Some(count) => count,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .context("cannot start the threads; choose a smaller --threads")?;

    let devices = discover(Some(&arguments.device))?;
    let mut provenance = Provenance::collect();
    provenance.devices = devices.iter().map(|device| serde_json::json!(device.info)).collect();
    let scripts = tempfile::tempdir().context("no temporary folder for PyTorch's script")?;
    let script = scripts.path().join("pytorch.py");
    std::fs::write(&script, PYTORCH).context("cannot write PyTorch's script")?;
    let mut folder = RunFolder::create(&arguments.output, provenance.clone())?;
    let meet = Meet { arguments, threads, script, provenance };
    let mut good = true;
    for &shape in &meet.arguments.sizes {
        for device in &devices {
            good &= meet.races(shape, device, &mut folder)?;
        }
    }
    eprintln!("{threads} threads; rows in {}", folder.path().display());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All races of one run.
struct Meet {
    arguments: Arguments,
    threads: usize,
    script: PathBuf,
    provenance: Provenance,
}

impl Meet {
    /// The races of one shape on one device, one a precision; false if one failed or was wrong.
    fn races(&self, shape: Shape, device: &Candidate, folder: &mut RunFolder) -> Result<bool> {
        let mut provenance = self.provenance.clone();
        folder.run_id().clone_into(&mut provenance.run_id);
        let mut bench = Bench::new(shape, &device.info.slug, &provenance)?;
        bench.ready(&self.arguments.precisions);
        let mut good = true;
        for &precision in &self.arguments.precisions {
            let mut entrants = bench.fastest(precision, &self.arguments.kernels)?;
            let Some(beside) = entrants.first().map(|own| own.record().clone()) else {
                bail!("tradeoff has no kernel for {precision} on {}", device.info.slug);
            };
            for &name in &self.arguments.peers {
                for setting in name.settings(&device.info, precision) {
                    eprintln!("{} {} {shape} on {}", name.word(), setting.name(), device.info.slug);
                    entrants.push(self.peer(&bench, name, setting, &beside)?);
                }
            }
            let race = race(&mut entrants, self.arguments.rounds, Ratios::OfFirst);
            println!("{race}");
            let mut together = vec![];
            for entrant in entrants {
                let measured = bench.finish(entrant);
                good &= matches!(measured.record.status, Status::Ok | Status::Skipped);
                if measured.record.status == Status::Ok {
                    together.push(measured.record.case_id.clone());
                }
                folder.append_case(&measured.record, &measured.samples, &measured.trajectory)?;
            }
            folder.update_provenance(|provenance| provenance.interleaved.push(together))?;
        }
        keep_fingerprints(folder, bench.fingerprints())?;
        Ok(good)
    }

    /// A peer, started and verified.
    fn peer(
        &self,
        bench: &Bench,
        name: Name,
        setting: Setting,
        beside: &tradeoff::record::Record,
    ) -> Result<Entrant> {
        let device = bench.device();
        let program = self.program(name)?;
        let peer = Remote::new(program, setting, name.unit(device, setting), device);
        if name == Name::Burn && !cfg!(feature = "burn") {
            let reason = "this program was built without burn; add --features burn".to_owned();
            let why = Unmeasured::new(Status::Skipped, reason);
            return Ok(bench.absent(&peer, beside, why));
        }
        Ok(bench.peer(Box::new(peer), beside))
    }

    /// How a peer's process is started.
    fn program(&self, name: Name) -> Result<Program> {
        let text = |path: &Path| {
            let text = path.to_str().map(str::to_owned);
            text.with_context(|| format!("`{}` is no UTF-8", path.display()))
        };
        let command = if name == Name::Pytorch {
            vec![self.arguments.python.clone(), text(&self.script)?]
        } else {
            let own = std::env::current_exe().context("where is this program?")?;
            vec![text(&own)?, "--child".to_owned(), name.word().to_owned()]
        };
        Ok(Program {
            kernel: name.word(),
            command,
            foreign: name == Name::Pytorch,
            threads: self.threads,
            timeout: Duration::from_secs(self.arguments.timeout_s),
        })
    }
}

/// Adds fingerprints to those that `run.json` has.
fn keep_fingerprints(folder: &mut RunFolder, new: serde_json::Value) -> Result<()> {
    use serde_json::Value::Object;
    let mut all = folder.provenance().fingerprints.clone();
    match (&mut all, new) {
        (Object(all), Object(new)) => all.extend(new),
        (all, new) => *all = new,
    }
    Ok(folder.update_provenance(|provenance| provenance.fingerprints = all)?)
}
