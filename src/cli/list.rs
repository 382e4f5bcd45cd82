//! `tradeoff list`: the cases of a selection, and which of them will be skipped. Opens nothing.

use std::process::ExitCode;

use serde::Serialize;
use tradeoff::measure::limits::{available_host_bytes, foreseen_skip};
use tradeoff::record::Shard;
use tradeoff::words::counted;

use super::selection::SelectionArgs;

/// Lists the cases of a selection and why some will be skipped; measures nothing.
///
/// A case is known to be skipped where the limits that a device states, or the memory of the host,
/// are too small for it. No device is opened.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff list                                   every case of a plain `tradeoff run`
  tradeoff list matmul --size 256..65536          which sizes fit this machine's devices
  tradeoff list sgd --batch 1,n --device cpu      SGD on the CPU, at both ends of the batch size
  tradeoff list --shard 1/4                       what the first of four machines would measure
  tradeoff list --json | jq -r '.[].case_id'      for other programs")]
pub struct List {
    #[command(flatten)]
    selection: SelectionArgs,
    /// List the cases of one shard of the plan.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// A case of the list.
#[derive(Serialize)]
struct Entry {
    case_id: String,
    workload: &'static str,
    precision: String,
    kernel: &'static str,
    shape: String,
    device: String,
    /// Why it will be skipped, if that is known.
    skipped: Option<String>,
}

impl List {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (session, cases, _) = self.selection.variables()?.session()?;
        let host_bytes = available_host_bytes();
        let mine = |position| self.shard.is_none_or(|shard| shard.has(position));
        let chosen = cases.iter().enumerate().filter(|(position, _)| mine(*position));
        let entries: Vec<Entry> = chosen
            .map(|(_, case)| {
                let mut devices = session.devices().iter().map(|device| &device.info);
                let device = devices.find(|info| info.slug == case.device_slug);
                Entry {
                    case_id: case.to_string(),
                    workload: case.workload(),
                    precision: case.precision.to_string(),
                    kernel: case.kernel(),
                    shape: case.shape(),
                    device: case.device_slug.clone(),
                    skipped: device.and_then(|info| foreseen_skip(case, info, host_bytes)),
                }
            })
            .collect();
        super::output::print(&if self.json {
            serde_json::to_string_pretty(&entries)? + "\n"
        } else {
            entries.iter().map(line).collect()
        })?;
        let skipped = entries.iter().filter(|entry| entry.skipped.is_some()).count();
        eprintln!("{}, {skipped} of them to be skipped", counted(entries.len(), "case"));
        Ok(ExitCode::SUCCESS)
    }
}

/// The id alone, or with the reason behind it.
fn line(entry: &Entry) -> String {
    match &entry.skipped {
        None => format!("{}\n", entry.case_id),
        Some(reason) => format!("{}  skipped: {reason}\n", entry.case_id),
    }
}
