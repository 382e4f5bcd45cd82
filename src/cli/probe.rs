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
use tradeoff::fingerprint::summation;
use tradeoff::fingerprint::{self, Comparison, DeviceFingerprint, SECTIONS};
use tradeoff::gpu::{self, Candidate, Context as Gpu, DeviceInfo, GpuError};
use tradeoff::number::Precision;
use tradeoff::record;
use tradeoff::report::tree;
use tradeoff::workload::matmul::{Kernel, KernelSource};

use super::output;
use crate::escaped;

/// Tells what the arithmetic of each device does: its fingerprint.
///
/// Whether fma is fused and a*b+c contracted, how sums, products and conversions are rounded, what
/// becomes of subnormals, NaN and infinity, which error-free transformations a compiler leaves alone,
/// how exact division, square root, exp and log are. Operands come from buffers; what compilers make
/// of literals is a section of its own. Nothing is timed, and a device that has not changed says the
/// same again: the hash is the column fingerprint_sha256 of every row that it measures.
///
/// --orders adds in which order each matmul kernel sums at each precision that it has, found out from its
/// results alone (FPRev): every kernel is compiled for that, which can take minutes. [0..63] is a sum from left to right, [0,4..60]
/// one of every fourth, pairwise[0..63] one of neighbours, then of pairs; other trees are drawn. A run
/// keeps the orders of the kernels that it measured, with the parameters that it measured: --orders
/// --against RUN asks the same kernels here, with those parameters where they are possible. What
/// --orders --json prints on one machine can be compared on another in the same way.
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
  tradeoff probe --orders --against run.json        do the kernels of the run sum in the same order here?
  tradeoff probe --orders --json > there.json       on one machine, to name it on another with --against

Exit status: 0; 1 if --against found a difference; 2 on bad input.")]
pub struct Probe {
    /// Devices: an index, a part of a name, cpu, all [TRADEOFF_DEVICES; default: all]
    #[arg(long, value_name = "LIST", value_parser = NonEmptyStringValueParser::new())]
    device: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Add the summation order of each matmul kernel.
    #[arg(long)]
    orders: bool,
    /// Draw each order as SVG in this folder, which is made.
    #[arg(long, value_name = "DIR", requires = "orders")]
    pictures: Option<PathBuf>,
    /// Compare with the devices of the same names in a run (its folder, or its run.json), or in a file
    /// that `tradeoff probe --json` printed.
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,
    /// Compare with this device there instead.
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

impl Probed {
    /// The fingerprint as `run.json` has it, with the orders of kernels beside it.
    fn whole(&self) -> Value {
        let mut whole = json!(self.fingerprint);
        summation::put(&mut whole, self.orders.as_deref().unwrap_or_default());
        whole
    }
}

/// Which kernels' orders are asked for.
enum Asked {
    None,
    /// Those of every precision, with the device's default parameters.
    All,
    /// Those of another device's list.
    Listed(Vec<KernelOrder>),
}

impl Probe {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // What cannot be read is told before anything is probed.
        let other = self.against.as_deref().map(Other::read).transpose()?;
        let devices = match &self.device {
            Some(list) => gpu::discover(Some(list))?,
            None => gpu::discover_from_env()?,
        };
        if let Some(hint) = gpu::no_gpu_hint(&devices) {
            eprintln!("{hint}");
        }
        let Some(other) = other else {
            let asked = if self.orders { Asked::All } else { Asked::None };
            let all = devices.iter().map(|device| probe(device, &asked));
            let probed = all.collect::<anyhow::Result<Vec<_>>>()?;
            self.draw(&probed)?;
            output::print(&self.describe(&probed)?)?;
            return Ok(ExitCode::SUCCESS);
        };
        let namesakes = self.namesakes(&devices, &other)?;
        let mut probed = vec![];
        for device in &devices {
            if let Some(namesake) = namesakes.get(&device.info.slug) {
                probed.push(probe(device, &self.asked(device, namesake, &other))?);
            }
        }
        self.draw(&probed)?;
        self.compare(&probed, &namesakes, &other)
    }

    /// The kernels whose orders can be compared with those there; where there are none, a line says how to
    /// have them. Only pictures are then worth the minutes that orders take.
    fn asked(&self, device: &Candidate, namesake: &Namesake, other: &Other) -> Asked {
        if !self.orders {
            return Asked::None;
        }
        let mut listed = summation::listed(&namesake.fingerprint);
        listed.retain(KernelOrder::is_asked);
        if !listed.is_empty() {
            return Asked::Listed(listed);
        }
        eprintln!(
            "{}: {} has no summation orders of {}, so they are not compared; have them there by a run \
             with --orders force, or by `tradeoff probe --orders --json > FILE`, and name that",
            device.info.slug, other.name, namesake.name
        );
        if self.pictures.is_some() { Asked::All } else { Asked::None }
    }

    fn describe(&self, probed: &[Probed]) -> anyhow::Result<String> {
        if self.json {
            let all: BTreeMap<&str, Value> =
                probed.iter().map(|p| (p.info.slug.as_str(), p.whole())).collect();
            return Ok(serde_json::to_string_pretty(&all)? + "\n");
        }
        Ok(probed.iter().map(described).collect::<Vec<_>>().join("\n"))
    }

    /// The fingerprint that each device here is compared with, and its name there.
    fn namesakes(
        &self,
        devices: &[Candidate],
        other: &Other,
    ) -> anyhow::Result<BTreeMap<String, Namesake>> {
        let there = other.devices.keys().cloned().collect::<Vec<_>>().join(", ");
        if let Some(name) = &self.of
            && !other.devices.contains_key(name)
        {
            bail!("--of {name}: {} has no such device; it has {there}", other.name);
        }
        let mut found = BTreeMap::new();
        for device in devices {
            let slug = &device.info.slug;
            let name = self.of.as_ref().unwrap_or(slug);
            match other.devices.get(name) {
                Some(value) => {
                    let namesake = Namesake { name: name.clone(), fingerprint: value.clone() };
                    found.insert(slug.clone(), namesake);
                }
                None => eprintln!("{slug}: not in {}, left out", other.name),
            }
        }
        if found.is_empty() {
            bail!(
                "{} has none of these devices; it has {there}; name one of them with --of",
                other.name
            );
        }
        Ok(found)
    }

    fn compare(
        &self,
        probed: &[Probed],
        namesakes: &BTreeMap<String, Namesake>,
        other: &Other,
    ) -> anyhow::Result<ExitCode> {
        let mut compared = vec![];
        for one in probed {
            let Some(Namesake { name, fingerprint: there }) = namesakes.get(&one.info.slug) else {
                continue;
            };
            let (device, here, place) = (&one.info.slug, one.whole(), other.name);
            let mut comparison = fingerprint::compare(&here, there);
            if comparison.same + comparison.differences.len() == 0 {
                bail!(
                    "the fingerprint of {name} in {place} has no property known to this tradeoff"
                );
            }
            if self.orders && !fingerprint::orders(there).is_empty() {
                let orders = fingerprint::compare_orders(&here, there);
                if orders.same + orders.differences.len() == 0 {
                    eprintln!(
                        "{device}: no kernel in common with {name}, so no orders are compared"
                    );
                }
                comparison = comparison.and(orders);
            }
            compared.push(Compared { device, against: name, place, comparison });
        }
        compared.iter().for_each(Compared::warn);
        let text = if self.json {
            serde_json::to_string_pretty(&compared)? + "\n"
        } else {
            compared.iter().map(Compared::told).collect()
        };
        output::print(&text)?;
        let differs = compared.iter().any(|one| !one.comparison.differences.is_empty());
        Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// A picture of each order of each device, and the names of the files on stderr.
    fn draw(&self, probed: &[Probed]) -> anyhow::Result<()> {
        let Some(folder) = &self.pictures else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
        let mut drawn = vec![];
        for Probed { info, orders, .. } in probed {
            for order in orders.iter().flatten() {
                let Some(tree) = &order.shape else { continue };
                let KernelOrder { kernel, precision, .. } = order;
                // Of a kernel that is listed with several parameters, the first has the plain name.
                let mut file = folder.join(format!("{}-{kernel}-{precision}.svg", info.slug));
                if drawn.contains(&file) {
                    let parameters = order.parameters.replace(' ', "-").replace('=', "");
                    let name = format!("{}-{kernel}-{precision}-{parameters}.svg", info.slug);
                    file = folder.join(name);
                }
                drawn.push(file.clone());
                let title = format!("{kernel} at {precision} on {}: {}", info.slug, order.order);
                fs::write(&file, tree::svg(tree, &title))
                    .with_context(|| format!("writing `{}`", file.display()))?;
                eprintln!("{}", file.display());
            }
        }
        Ok(())
    }
}

/// What is compared with: the devices of a run, or of an earlier probe.
struct Other {
    /// How it is called in messages: `the run`, `the file`.
    name: &'static str,
    devices: serde_json::Map<String, Value>,
}

impl Other {
    fn read(path: &Path) -> anyhow::Result<Self> {
        if let Some(devices) = printed_by_probe(path) {
            return Ok(Self { name: "the file", devices });
        }
        match record::read_provenance(path)?.fingerprints {
            Value::Object(devices) if !devices.is_empty() => Ok(Self { name: "the run", devices }),
            _ => bail!("`{}` has no fingerprint of a device; name another run", path.display()),
        }
    }
}

/// What `tradeoff probe --json` printed: devices by name, and nothing else.
fn printed_by_probe(path: &Path) -> Option<serde_json::Map<String, Value>> {
    let Value::Object(all) = serde_json::from_slice(&fs::read(path).ok()?).ok()? else {
        return None;
    };
    let are_devices = all.values().all(|device| device["arithmetic"].is_object());
    (are_devices && !all.is_empty()).then_some(all)
}

/// A device there.
struct Namesake {
    name: String,
    fingerprint: Value,
}

/// A device here beside one there.
#[derive(Serialize)]
struct Compared<'a> {
    device: &'a str,
    against: &'a str,
    /// What has the other one.
    #[serde(skip)]
    place: &'a str,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Compared<'_> {
    /// Of what only one side has.
    fn warn(&self) {
        let Self { device, place, comparison, .. } = self;
        for (count, who) in [
            (comparison.only_here.len(), format!("{place} has not")),
            (comparison.only_there.len(), format!("only {place} has")),
        ] {
            if count > 0 {
                eprintln!("{device}: {count} properties that {who} are not compared");
            }
        }
    }

    fn told(&self) -> String {
        let Self { device, against, place, comparison } = self;
        let against =
            if device == against { format!("{place}'s") } else { format!("{against} of {place}") };
        let against = escaped(&against);
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
            let [property, here, there] = [property, here, there].map(|told| escaped(told));
            text += &format!("  {property}\n    here   {here}\n    there  {there}\n");
        }
        text
    }
}

fn probe(device: &Candidate, asked: &Asked) -> anyhow::Result<Probed> {
    let info = device.info.clone();
    if device.is_cpu() {
        let orders = match asked {
            Asked::None => None,
            Asked::All => Some(kernels::of_cpu()),
            Asked::Listed(listed) => Some(mirrors(listed)),
        };
        return Ok(Probed { info, fingerprint: DeviceFingerprint::of_cpu(), orders });
    }
    let ask = || {
        let context = device.open()?;
        let fingerprint = DeviceFingerprint::of(&context)?;
        let orders = match asked {
            Asked::None => None,
            Asked::All => Some(kernels::of_device(&context)?),
            Asked::Listed(listed) => {
                let sources = sources(listed, &context);
                let all = sources.iter().map(|source| kernels::of_source(&context, source, false));
                Some(all.collect::<Result<_, _>>()?)
            }
        };
        Ok::<_, GpuError>((fingerprint, orders))
    };
    let (fingerprint, orders) = ask().with_context(|| format!("probing {}", info.slug))?;
    Ok(Probed { info, fingerprint, orders })
}

/// The orders of the mirrors that a list has.
fn mirrors(listed: &[KernelOrder]) -> Vec<KernelOrder> {
    let mirrors = listed.iter().filter(|order| order.kernel == "mirror");
    let precisions = mirrors.filter_map(|order| order.precision.parse::<Precision>().ok());
    precisions.filter(|precision| precision.is_matmul()).map(kernels::of_mirror).collect()
}

/// The kernels that a list has, as far as this device can run them, each once: with the parameters there,
/// or, where these are not possible here, with its default ones.
fn sources(listed: &[KernelOrder], context: &Gpu) -> Vec<KernelSource> {
    let mut sources: Vec<KernelSource> = vec![];
    for order in listed {
        let kernel = order.kernel.parse::<Kernel>().ok();
        let (Some(kernel), Ok(precision)) = (kernel, order.precision.parse::<Precision>()) else {
            continue;
        };
        let info = &context.info;
        let runs =
            kernel.computes(precision) && KernelSource::supports(kernel, precision, info).is_ok();
        if !runs {
            continue;
        }
        let same = order.parameters.parse().ok();
        let same = same.and_then(|same| KernelSource::with(kernel, precision, info, same).ok());
        // Other slices would be another sum, and no other sum is that of the list.
        let usual =
            || Some(KernelSource::of(kernel, precision, info)).filter(|_| order.slices() == 1);
        let Some(source) = same.or_else(usual) else { continue };
        let sha256 = source.sha256();
        if !sources.iter().any(|known| known.sha256() == sha256) {
            sources.push(source);
        }
    }
    sources
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
    let name = order.of_what();
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
