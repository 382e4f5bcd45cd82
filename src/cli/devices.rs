//! `tradeoff devices`: what could be measured here. Opens nothing.

use std::process::ExitCode;
use tradeoff::gpu::{self, DeviceInfo};

/// Lists the devices that WGPU_BACKEND, WGPU_ADAPTER_NAME and TRADEOFF_DEVICES select.
#[derive(clap::Args)]
pub struct Devices {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let candidates = gpu::discover_from_env()?;
        if let Some(hint) = gpu::no_gpu_hint(&candidates) {
            eprintln!("{hint}");
        }
        let infos: Vec<&DeviceInfo> = candidates.iter().map(|candidate| &candidate.info).collect();
        let text = if self.json {
            serde_json::to_string_pretty(&infos)? + "\n"
        } else {
            infos.iter().map(|info| describe(info)).collect::<Vec<_>>().join("\n")
        };
        super::output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One device: its index and slug, then one line a property.
fn describe(info: &DeviceInfo) -> String {
    let mut text = format!("{}  {}\n", info.index, info.slug);
    for (property, value) in properties(info) {
        if !value.is_empty() {
            text += &format!("   {property:<21}{value}\n");
        }
    }
    text
}

fn properties(info: &DeviceInfo) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("name", info.name.clone()),
        ("backend", info.backend.clone()),
        ("type", info.device_type.clone()),
    ];
    if info.backend == "cpu" {
        list.push(("memory", bytes(info.max_buffer_bytes)));
        return list;
    }
    let workgroup = format!(
        "{} invocations, {}",
        info.max_workgroup_invocations,
        bytes(info.max_workgroup_bytes.into())
    );
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    list.extend([
        ("driver", driver.trim().to_owned()),
        ("vendor and device", format!("{:04x}:{:04x}", info.vendor_id, info.device_id)),
        ("PCI bus id", info.pci_bus_id.clone()),
        ("largest buffer", bytes(info.max_buffer_bytes)),
        ("largest binding", bytes(info.max_binding_bytes)),
        ("storage buffers", info.max_storage_buffers.to_string()),
        ("workgroup", workgroup),
        ("workgroups", format!("{} in each dimension", info.max_workgroups_per_dimension)),
        ("subgroup", subgroup(info)),
        ("f16 arithmetic", yes(info.shader_f16)),
        ("f64 arithmetic", yes(info.shader_f64)),
        ("timestamps", yes(info.timestamp_query)),
        ("cooperative matrices", matrices(info)),
    ]);
    list
}

fn subgroup(info: &DeviceInfo) -> String {
    match info {
        DeviceInfo { subgroups: false, .. } => "no".into(),
        DeviceInfo { subgroup_min: min, subgroup_max: max, .. } if min == max => min.to_string(),
        DeviceInfo { subgroup_min: min, subgroup_max: max, .. } => format!("{min} to {max}"),
    }
}

fn matrices(info: &DeviceInfo) -> String {
    match info.cooperative_matrices.as_slice() {
        [] => "none".into(),
        shapes => shapes.join(", "),
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.into()
}

/// In the largest binary unit that leaves at least 1, to one decimal where that is not whole.
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (count.max(1).ilog2() / 10) as usize;
    let value = count as f64 / (1u64 << (10 * power)) as f64;
    let decimals = if value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.decimals$} {}", units[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        let shown = [0, 1023, 1024, 3 << 19, 128 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 MiB", "128 MiB", "16 EiB"]);
    }
}
