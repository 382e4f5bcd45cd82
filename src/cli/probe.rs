//! `tradeoff probe`: what the arithmetic of each device does, and how that differs from a run's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::{Value, json};
use tradeoff::fingerprint::kernels::{self, KernelOrder};
use tradeoff::fingerprint::{self, Comparison, DeviceFingerprint, SECTIONS};
use tradeoff::gpu::{self, Candidate, DeviceInfo, GpuError};
use tradeoff::record;
use tradeoff::report::tree;

use super::output;

/// Tells what the arithmetic of each device does: its fingerprint.
///
/// Whether fma is fused and a*b+c contracted, how sums, products and conversions are rounded, what
/// becomes of subnormals, NaN and infinity, which error-free transformations a compiler leaves alone,
/// how exact division, square root, exp and log are. Operands come from buffers; what compilers make
/// of literals is a section of its own. Nothing is timed, and a device that has not changed says the
/// same again: the hash is the column fingerprint_sha256 of every row that it measures.
///
/// --orders adds in which order each matmul kernel sums, found out from its results alone (FPRev): every
/// kernel is compiled for that, which can take a minute. [0..63] is a sum from left to right, [0,4..60]
/// one of every fourth, pairwise[0..63] one of neighbours, then of pairs; other trees are drawn.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff probe                                    every device of this machine
  tradeoff probe --device cpu,vulkan --json         as run.json has it
  tradeoff probe --orders --pictures trees          and the order of every kernel's sums
  tradeoff probe --against results/20260102T030405Z-box
                                                    do the devices here compute as those did?
  tradeoff probe --device vulkan --against run.json --of nvidia-h100-vulkan
                                                    this device beside another machine's

Exit status: 0; 1 if --against found a difference; 2 on bad input.")]
pub struct Probe {
    /// Devices: an index, a part of a name, cpu, all [TRADEOFF_DEVICES; default: all]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    device: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Add the summation order of each matmul kernel.
    #[arg(long, conflicts_with = "against")]
    orders: bool,
    /// Draw each order as SVG in this folder, which is made.
    #[arg(long, value_name = "DIR", requires = "orders")]
    pictures: Option<PathBuf>,
    /// Compare with the devices of the same names in a run: its folder, or its run.json.
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,
    /// Compare with this device of the run instead.
    #[arg(long, value_name = "DEVICE", requires = "against")]
    of: Option<String>,
}

/// A device and what it was found to do.
struct Probed {
    info: DeviceInfo,
    fingerprint: DeviceFingerprint,
    /// Of its kernels, where they were asked for.
    orders: Option<Vec<KernelOrder>>,
}

impl Probe {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // What cannot be read is told before anything is probed.
        let run = self.against.as_deref().map(fingerprints_of).transpose()?;
        let devices = match &self.device {
            Some(list) => gpu::discover(Some(list))?,
            None => gpu::discover_from_env()?,
        };
        if let Some(hint) = gpu::no_gpu_hint(&devices) {
            eprintln!("{hint}");
        }
        let namesakes = run.as_ref().map(|run| self.namesakes(&devices, run)).transpose()?;
        let mut probed = vec![];
        for device in &devices {
            if namesakes.as_ref().is_none_or(|names| names.contains_key(&device.info.slug)) {
                probed.push(probe(device, self.orders)?);
            }
        }
        if let Some(folder) = &self.pictures {
            draw(folder, &probed)?;
        }
        match namesakes {
            Some(namesakes) => self.compare(&probed, &namesakes),
            None => {
                output::print(&self.describe(&probed)?)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn describe(&self, probed: &[Probed]) -> anyhow::Result<String> {
        if self.json {
            let all: BTreeMap<&str, Whole> =
                probed.iter().map(|p| (p.info.slug.as_str(), Whole::of(p))).collect();
            return Ok(serde_json::to_string_pretty(&all)? + "\n");
        }
        Ok(probed.iter().map(described).collect::<Vec<_>>().join("\n"))
    }

    /// The fingerprint of the run that each device here is compared with, and its name there.
    fn namesakes(
        &self,
        devices: &[Candidate],
        run: &serde_json::Map<String, Value>,
    ) -> anyhow::Result<BTreeMap<String, (String, Value)>> {
        let there = run.keys().cloned().collect::<Vec<_>>().join(", ");
        if let Some(name) = &self.of
            && !run.contains_key(name)
        {
            bail!("--of {name}: the run has no such device; it has {there}");
        }
        let mut found = BTreeMap::new();
        for device in devices {
            let slug = &device.info.slug;
            let name = self.of.as_ref().unwrap_or(slug);
            match run.get(name) {
                Some(value) => {
                    found.insert(slug.clone(), (name.clone(), value.clone()));
                }
                None => eprintln!("{slug}: not in the run, left out"),
            }
        }
        if found.is_empty() {
            bail!("the run has none of these devices; it has {there}; name one of them with --of");
        }
        Ok(found)
    }

    fn compare(
        &self,
        probed: &[Probed],
        namesakes: &BTreeMap<String, (String, Value)>,
    ) -> anyhow::Result<ExitCode> {
        let mut compared = vec![];
        for Probed { info, fingerprint, .. } in probed {
            let Some((name, there)) = namesakes.get(&info.slug) else { continue };
            let comparison = fingerprint::compare(&json!(fingerprint), there);
            if comparison.same + comparison.differences.len() == 0 {
                bail!("the run's fingerprint of {name} has no property that this tradeoff knows");
            }
            compared.push(Compared { device: &info.slug, against: name, comparison });
        }
        for one in &compared {
            for (count, who) in [
                (one.comparison.only_here.len(), "the run has not"),
                (one.comparison.only_there.len(), "only the run has"),
            ] {
                if count > 0 {
                    eprintln!("{}: {count} properties that {who} are not compared", one.device);
                }
            }
        }
        let text = if self.json {
            serde_json::to_string_pretty(&compared)? + "\n"
        } else {
            compared.iter().map(Compared::told).collect()
        };
        output::print(&text)?;
        let differs = compared.iter().any(|one| !one.comparison.differences.is_empty());
        Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// A device here beside one of a run.
#[derive(Serialize)]
struct Compared<'a> {
    device: &'a str,
    against: &'a str,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Compared<'_> {
    fn told(&self) -> String {
        let Self { device, against, comparison } = self;
        let against = if device == against {
            "the run's".to_owned()
        } else {
            format!("{against} of the run")
        };
        let (differing, same) = (comparison.differences.len(), comparison.same);
        let mut text = match differing {
            0 => format!("{device}: as {against}, in all {same} properties that both have\n"),
            _ => format!(
                "{device}: {differing} of {} properties differ from {against}\n",
                same + differing
            ),
        };
        for difference in &comparison.differences {
            let fingerprint::Difference { property, here, there } = difference;
            text += &format!("  {property}\n    here   {here}\n    there  {there}\n");
        }
        text
    }
}

fn fingerprints_of(path: &Path) -> anyhow::Result<serde_json::Map<String, Value>> {
    match record::read_provenance(path)?.fingerprints {
        Value::Object(all) if !all.is_empty() => Ok(all),
        _ => bail!("`{}` has no fingerprint of a device; name another run", path.display()),
    }
}

fn probe(device: &Candidate, with_orders: bool) -> anyhow::Result<Probed> {
    let info = device.info.clone();
    if device.is_cpu() {
        let orders = with_orders.then(kernels::of_cpu);
        return Ok(Probed { info, fingerprint: DeviceFingerprint::of_cpu(), orders });
    }
    let ask = || {
        let context = device.open()?;
        let fingerprint = DeviceFingerprint::of(&context)?;
        let orders = with_orders.then(|| kernels::of_device(&context)).transpose()?;
        Ok::<_, GpuError>((fingerprint, orders))
    };
    let (fingerprint, orders) = ask().with_context(|| format!("probing {}", info.slug))?;
    Ok(Probed { info, fingerprint, orders })
}

/// A fingerprint as `run.json` has it, with the orders of kernels beside it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    fingerprint: &'a DeviceFingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    summation_orders: Option<&'a [KernelOrder]>,
}

impl<'a> Whole<'a> {
    fn of(probed: &'a Probed) -> Self {
        Self { fingerprint: &probed.fingerprint, summation_orders: probed.orders.as_deref() }
    }
}

/// A picture of each order of each device, and the names of the files on stderr.
fn draw(folder: &Path, probed: &[Probed]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    for Probed { info, orders, .. } in probed {
        for order in orders.iter().flatten() {
            let Some(tree) = &order.shape else { continue };
            let KernelOrder { kernel, precision, .. } = order;
            let file = folder.join(format!("{}-{kernel}-{precision}.svg", info.slug));
            let title = format!("{kernel} at {precision} on {}: {}", info.slug, order.order);
            fs::write(&file, tree::svg(tree, &title))
                .with_context(|| format!("writing `{}`", file.display()))?;
            eprintln!("{}", file.display());
        }
    }
    Ok(())
}

/// Width of the names of properties.
const NAMES: usize = 31;

fn described(probed: &Probed) -> String {
    let Probed { info, fingerprint, orders } = probed;
    let mut text = format!("{}  {}\n  {:<NAMES$}{}\n", info.index, info.slug, "name", info.name);
    let mut line = |name: &str, value: &str| text += &format!("  {name:<NAMES$}{value}\n");
    line("sha256", &fingerprint.sha256);
    let model = fingerprint.model.unmodelled.as_deref();
    line("mirrors", model.unwrap_or("follow it bit for bit"));
    for section in SECTIONS {
        let Some(properties) = fingerprint.observed.get(section) else { continue };
        text += &format!("  {section}\n");
        for (property, value) in properties {
            text += &format!("    {property:<width$} {value}\n", width = NAMES - 3);
        }
    }
    if let Some(orders) = orders {
        text += &format!("  summation orders of {} products\n", kernels::TERMS);
        orders.iter().for_each(|order| text += &ordered(order));
    }
    text
}

fn ordered(order: &KernelOrder) -> String {
    let name = format!("{} {}", order.precision, order.kernel);
    let mut text = format!("    {name:<width$} {}", order.order, width = NAMES - 3);
    if let Some(tree) = &order.shape {
        let lines = tree.lines();
        let mut lines = lines.lines();
        text += &format!(": {}\n", lines.next().unwrap_or_default());
        lines.for_each(|line| text += &format!("    {:width$} {line}\n", "", width = NAMES - 3));
    } else {
        text.push('\n');
    }
    text
}
