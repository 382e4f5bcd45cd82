//! Which devices there are, what they are called, and which of them were asked for.

use super::context::Context;
use super::error::{GpuError, SelectionError};
use std::collections::HashMap;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What is known of a device without opening it. Limits that the CPU does not have are 0. The default
/// is a device without any ability.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// Position among all devices found; the CPU is last.
    pub index: usize,
    /// Name for ids and file names: `[a-z0-9.-]`, at most 40 bytes, ends in the backend; identical
    /// GPUs are told apart by `-2`, `-3`, … in the order of their PCI bus ids.
    pub slug: String,
    /// Name as the driver or the processor gives it.
    pub name: String,
    /// `vulkan`, `gl`, `metal`, `dx12` or `cpu`.
    pub backend: String,
    /// Name of the driver.
    pub driver: String,
    /// Its version and the like.
    pub driver_info: String,
    /// `cpu`, `integrated`, `discrete`, `virtual` or `other`.
    pub device_type: String,
    /// Vendor, by its PCI id where there is one.
    pub vendor_id: u32,
    /// Device, by its PCI id where there is one.
    pub device_id: u32,
    /// Where the device sits, such as `0000:01:00.0`; empty where the driver does not say.
    pub pci_bus_id: String,
    /// Fewest invocations in a subgroup.
    pub subgroup_min: u32,
    /// Most invocations in a subgroup.
    pub subgroup_max: u32,
    /// Whether kernels may compute in f16.
    pub shader_f16: bool,
    /// Whether kernels may compute in f64.
    pub shader_f64: bool,
    /// Whether passes can write timestamps.
    pub timestamp_query: bool,
    /// Whether kernels may use subgroup operations.
    pub subgroups: bool,
    /// Shapes and types of the matrix units, such as `16x16x16 f16·f16+f32` (m×n×k, A·B+C).
    pub cooperative_matrices: Vec<String>,
    /// Largest buffer, in bytes; the CPU's memory.
    pub max_buffer_bytes: u64,
    /// Largest storage binding, in bytes; the CPU's memory.
    pub max_binding_bytes: u64,
    /// Most workgroups in one dimension of a dispatch.
    pub max_workgroups_per_dimension: u32,
    /// Most storage buffers of one kernel.
    pub max_storage_buffers: u32,
    /// Most workgroup memory, in bytes.
    pub max_workgroup_bytes: u32,
    /// Most invocations in a workgroup.
    pub max_workgroup_invocations: u32,
}

/// An adapter that can be opened, or the CPU.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What is known of it.
    pub info: DeviceInfo,
    adapter: Option<wgpu::Adapter>,
    /// Adapters that the search found, selected or not.
    adapters_found: usize,
}

impl Candidate {
    /// Whether this is the CPU, which has no [`Context`].
    pub fn is_cpu(&self) -> bool {
        self.adapter.is_none()
    }

    /// Opens the adapter and probes its clock and its arithmetic.
    ///
    /// # Errors
    /// [`GpuError::NotAGpu`] for the CPU, [`GpuError::Open`] where the driver refuses.
    pub fn open(&self) -> Result<Context, GpuError> {
        match &self.adapter {
            Some(adapter) => Context::open(adapter, self.info.clone()),
            None => Err(GpuError::NotAGpu { device: self.info.slug.clone() }),
        }
    }
}

/// [`discover`] with the selection that `TRADEOFF_DEVICES` holds.
///
/// # Errors
/// As [`discover`].
pub fn discover_from_env() -> Result<Vec<Candidate>, SelectionError> {
    discover(variable("TRADEOFF_DEVICES").as_deref())
}

/// The devices that `selection` names: a comma-separated list of indices, slugs, parts of a slug
/// or a name in any case, `cpu` and `all`. `None` and the empty list are `all`.
///
/// Adapters are searched in the backends of `WGPU_BACKEND` (`vulkan`, `gl`, `metal`, `dx12`; by
/// default all), and those kept that have `WGPU_ADAPTER_NAME` in their name. Neither variable
/// concerns the CPU. Nothing is opened.
///
/// # Errors
/// A [`SelectionError`] for an entry that names no backend or matches no device.
pub fn discover(selection: Option<&str>) -> Result<Vec<Candidate>, SelectionError> {
    let backends = match variable("WGPU_BACKEND") {
        Some(list) => parse_backends(&list)?,
        None => wgpu::Backends::all(),
    };
    let mut candidates = find(backends);
    if let Some(part) = variable("WGPU_ADAPTER_NAME") {
        candidates = keep_named(candidates, &part)?;
    }
    let infos: Vec<&DeviceInfo> = candidates.iter().map(|candidate| &candidate.info).collect();
    let chosen = select(&infos, selection.unwrap_or(""))?;
    Ok(candidates
        .into_iter()
        .zip(chosen)
        .filter_map(|(candidate, chosen)| chosen.then_some(candidate))
        .collect())
}

/// The line to print on stderr where the search that gave `devices` found no adapter at all.
pub fn no_gpu_hint(devices: &[Candidate]) -> Option<&'static str> {
    (devices.first()?.adapters_found == 0).then_some(
        "no GPU adapter found (WGPU_BACKEND, if set, limits the search), so there is only the CPU; \
         a software Vulkan driver adds one (Debian: apt-get install mesa-vulkan-drivers)",
    )
}

/// An environment variable, if it is set and not empty.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.trim().is_empty()).then_some(value)
}

/// The names that wgpu itself accepts; wgpu would ignore a misspelt one.
fn parse_backends(list: &str) -> Result<wgpu::Backends, SelectionError> {
    let mut backends = wgpu::Backends::empty();
    for entry in list.split(',').map(str::trim) {
        backends |= match entry.to_lowercase().as_str() {
            "vulkan" | "vk" => wgpu::Backends::VULKAN,
            "gl" | "gles" | "opengl" => wgpu::Backends::GL,
            "metal" | "mtl" => wgpu::Backends::METAL,
            "dx12" | "d3d12" => wgpu::Backends::DX12,
            _ => return Err(SelectionError::Backend { entry: entry.into() }),
        };
    }
    Ok(backends)
}

/// All devices, in the order in which wgpu lists its backends, then the CPU.
fn find(backends: wgpu::Backends) -> Vec<Candidate> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // Debug builds would add validation layers, which slow every call.
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let mut infos: Vec<DeviceInfo> = adapters.iter().map(describe).collect();
    infos.push(describe_cpu());
    number(&mut infos);
    let adapters_found = adapters.len();
    let adapters = adapters.into_iter().map(Some).chain([None]);
    infos
        .into_iter()
        .zip(adapters)
        .map(|(info, adapter)| Candidate { info, adapter, adapters_found })
        .collect()
}

fn describe(adapter: &wgpu::Adapter) -> DeviceInfo {
    let (features, limits) = (adapter.features(), adapter.limits());
    let matrices = adapter.cooperative_matrix_properties();
    DeviceInfo {
        shader_f16: features.contains(wgpu::Features::SHADER_F16),
        shader_f64: features.contains(wgpu::Features::SHADER_F64),
        timestamp_query: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        cooperative_matrices: matrices.iter().map(matrix_name).collect(),
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        ..identify(adapter.get_info())
    }
}

/// Who the adapter is, with all its abilities still 0.
fn identify(info: wgpu::AdapterInfo) -> DeviceInfo {
    let backend = match info.backend {
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Noop => "noop",
        wgpu::Backend::BrowserWebGpu => "webgpu",
    };
    let device_type = match info.device_type {
        wgpu::DeviceType::Cpu => "cpu",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Other => "other",
    };
    DeviceInfo {
        index: 0,
        slug: slug(&info.name, backend),
        name: info.name,
        backend: backend.into(),
        driver: info.driver,
        driver_info: info.driver_info,
        device_type: device_type.into(),
        vendor_id: info.vendor,
        device_id: info.device,
        pci_bus_id: info.device_pci_bus_id,
        subgroup_min: info.subgroup_min_size,
        subgroup_max: info.subgroup_max_size,
        shader_f16: false,
        shader_f64: false,
        timestamp_query: false,
        subgroups: false,
        cooperative_matrices: Vec::new(),
        max_buffer_bytes: 0,
        max_binding_bytes: 0,
        max_workgroups_per_dimension: 0,
        max_storage_buffers: 0,
        max_workgroup_bytes: 0,
        max_workgroup_invocations: 0,
    }
}

fn matrix_name(shape: &wgpu::CooperativeMatrixProperties) -> String {
    let name = |scalar| match scalar {
        wgpu::CooperativeScalarType::F32 => "f32",
        wgpu::CooperativeScalarType::F16 => "f16",
        wgpu::CooperativeScalarType::I32 => "i32",
        wgpu::CooperativeScalarType::U32 => "u32",
    };
    let (ab, c) = (name(shape.ab_type), name(shape.cr_type));
    let saturates = if shape.saturating_accumulation { " saturating" } else { "" };
    format!("{}x{}x{} {ab}·{ab}+{c}{saturates}", shape.m_size, shape.n_size, shape.k_size)
}

fn describe_cpu() -> DeviceInfo {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpu = system.as_ref().and_then(|system| system.cpus().first());
    let memory = system.as_ref().map_or(0, System::total_memory);
    let brand = cpu.map(|cpu| cpu.brand().trim()).filter(|brand| !brand.is_empty());
    let mut info = identify(wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Noop));
    info.name = brand.unwrap_or(std::env::consts::ARCH).into();
    info.slug = "cpu".into();
    info.backend = "cpu".into();
    (info.subgroup_min, info.subgroup_max) = (0, 0);
    (info.max_buffer_bytes, info.max_binding_bytes) = (memory, memory);
    info
}

/// Longest slug, in bytes: criterion cuts path components at 64.
const SLUG_BYTES: usize = 40;

/// Room for `-99` behind a name, kept even where it is not needed so that a name is cut alike.
const ORDINAL_BYTES: usize = 3;

/// `name-backend` in `[a-z0-9.-]`, without what the name has in parentheses.
fn slug(name: &str, backend: &str) -> String {
    let mut slug = String::new();
    let mut depth = 0u32;
    for c in name.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if c.is_ascii_alphanumeric() || c == '.' => slug.push(c.to_ascii_lowercase()),
            _ if !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(SLUG_BYTES - ORDINAL_BYTES - 1 - backend.len());
    let slug = slug.trim_matches(['-', '.']);
    format!("{}-{backend}", if slug.is_empty() { "gpu" } else { slug })
}

/// Sets the indices, and tells equal slugs apart.
fn number(infos: &mut [DeviceInfo]) {
    let mut order: Vec<usize> = (0..infos.len()).collect();
    order.sort_by(|&a, &b| infos[a].pci_bus_id.cmp(&infos[b].pci_bus_id));
    let mut seen: HashMap<String, usize> = HashMap::new();
    for i in order {
        let info = &mut infos[i];
        info.index = i;
        let count = seen.entry(info.slug.clone()).or_default();
        *count += 1;
        if *count > 1 {
            info.slug = format!("{}-{count}", info.slug);
        }
    }
}

/// The CPU, and the adapters that have `part` in their name in any case, as wgpu compares.
fn keep_named(candidates: Vec<Candidate>, part: &str) -> Result<Vec<Candidate>, SelectionError> {
    let wanted = part.trim().to_lowercase();
    let matches = |c: &Candidate| c.info.name.to_lowercase().contains(&wanted);
    let gpus = || candidates.iter().filter(|c| !c.is_cpu());
    if !gpus().any(matches) {
        let found: Vec<&str> = gpus().map(|c| c.info.name.as_str()).collect();
        let found = if found.is_empty() { "none".into() } else { found.join(", ") };
        return Err(SelectionError::Adapter { entry: part.into(), found });
    }
    Ok(candidates.into_iter().filter(|c| c.is_cpu() || matches(c)).collect())
}

/// Which of `infos` the list names.
fn select(infos: &[&DeviceInfo], list: &str) -> Result<Vec<bool>, SelectionError> {
    let entries: Vec<&str> = list.split(',').map(str::trim).filter(|e| !e.is_empty()).collect();
    if entries.is_empty() {
        return Ok(vec![true; infos.len()]);
    }
    let mut chosen = vec![false; infos.len()];
    for entry in entries {
        let matched = match_entry(infos, &entry.to_lowercase());
        if !matched.contains(&true) {
            let valid = infos.iter().map(|info| format!("{} {}", info.index, info.slug));
            let valid = valid.collect::<Vec<_>>().join(", ");
            return Err(SelectionError::Device { entry: entry.into(), valid });
        }
        chosen.iter_mut().zip(matched).for_each(|(chosen, matched)| *chosen |= matched);
    }
    Ok(chosen)
}

/// An exact meaning (`all`, an index, a whole slug) goes before a part of a name: "4090" is a
/// name and no index, and a slug does not also choose its twin, whose slug it begins.
fn match_entry(infos: &[&DeviceInfo], entry: &str) -> Vec<bool> {
    let index = entry.parse().ok();
    let exact =
        |info: &&DeviceInfo| entry == "all" || index == Some(info.index) || entry == info.slug;
    let part =
        |info: &&DeviceInfo| info.slug.contains(entry) || info.name.to_lowercase().contains(entry);
    if infos.iter().any(exact) {
        infos.iter().map(exact).collect()
    } else {
        infos.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{Backend, DeviceType};

    fn adapter(name: &str, backend: Backend, bus: &str) -> DeviceInfo {
        let mut info = wgpu::AdapterInfo::new(DeviceType::DiscreteGpu, backend);
        info.name = name.into();
        info.device_pci_bus_id = bus.into();
        identify(info)
    }

    /// A CPU with two identical GPUs, enumerated against the order of their bus ids.
    fn machine() -> Vec<DeviceInfo> {
        let h100 = "NVIDIA H100 80GB HBM3";
        let mut infos = vec![
            adapter(h100, Backend::Vulkan, "0000:c1:00.0"),
            adapter(h100, Backend::Vulkan, "0000:41:00.0"),
            adapter("NVIDIA GeForce RTX 4090/PCIe/SSE2", Backend::Gl, ""),
            describe_cpu(),
        ];
        number(&mut infos);
        infos
    }

    fn chosen(list: &str) -> Result<Vec<usize>, SelectionError> {
        let infos = machine();
        let chosen = select(&infos.iter().collect::<Vec<_>>(), list)?;
        Ok((0..infos.len()).filter(|&i| chosen[i]).collect())
    }

    #[test]
    fn slugs_keep_what_names_a_device() {
        let cases = [
            ("llvmpipe (LLVM 15.0.6, 256 bits)", "vulkan", "llvmpipe-vulkan"),
            ("NVIDIA H100 80GB HBM3", "vulkan", "nvidia-h100-80gb-hbm3-vulkan"),
            ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "vulkan", "amd-radeon-rx-7900-xtx-vulkan"),
            ("Intel(R) UHD Graphics 620 (KBL (GT2))", "gl", "intel-uhd-graphics-620-gl"),
            (
                "NVIDIA GeForce RTX 4090 Laptop GPU",
                "vulkan",
                "nvidia-geforce-rtx-4090-laptop-vulkan",
            ),
            ("Apple M2 Max", "metal", "apple-m2-max-metal"),
            ("(unknown) \u{1f600}", "dx12", "gpu-dx12"),
        ];
        for (name, backend, expected) in cases {
            assert_eq!(slug(name, backend), expected);
        }
    }

    #[test]
    fn slugs_are_short_and_plain() {
        let long = "A. Very Long Name_of#a GPU that No Vendor Would Sell ".repeat(4);
        for name in [long.as_str(), "é\u{0}\n", "", "(((", ")x(y"] {
            let infos = &mut vec![adapter(name, Backend::Vulkan, ""); 99];
            number(infos);
            let slugs: std::collections::HashSet<_> = infos.iter().map(|i| &i.slug).collect();
            assert_eq!(slugs.len(), 99);
            for slug in slugs {
                assert!(slug.len() <= SLUG_BYTES, "{slug}");
                assert!(
                    slug.bytes().all(|b| b.is_ascii_lowercase()
                        || b.is_ascii_digit()
                        || b"-.".contains(&b)),
                    "{slug}"
                );
                assert!(slug.contains("-vulkan"), "{slug}");
            }
        }
    }

    #[test]
    fn identical_gpus_are_numbered_by_their_bus() {
        let slugs: Vec<_> = machine().into_iter().map(|info| info.slug).collect();
        let expected = [
            "nvidia-h100-80gb-hbm3-vulkan-2",
            "nvidia-h100-80gb-hbm3-vulkan",
            "nvidia-geforce-rtx-4090-pcie-sse2-gl",
            "cpu",
        ];
        assert_eq!(slugs, expected);
        assert!(machine().iter().enumerate().all(|(i, info)| info.index == i));
    }

    #[test]
    fn selection_takes_indices_names_and_words() {
        assert_eq!(chosen(""), Ok(vec![0, 1, 2, 3]));
        assert_eq!(chosen(" , all"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(chosen("cpu"), Ok(vec![3]));
        assert_eq!(chosen("3, 0"), Ok(vec![0, 3]));
        assert_eq!(chosen("H100"), Ok(vec![0, 1]));
        assert_eq!(chosen("nvidia-h100-80gb-hbm3-vulkan"), Ok(vec![1]), "a slug is not a part");
        assert_eq!(chosen("4090"), Ok(vec![2]), "no index, so a name");
        assert_eq!(chosen("geforce rtx,-GL"), Ok(vec![2]));
    }

    #[test]
    fn an_entry_without_a_match_is_named_with_the_valid_ones() {
        let error = chosen("cpu,TPU").unwrap_err().to_string();
        assert!(error.contains("\"TPU\""), "{error}");
        assert!(error.contains("1 nvidia-h100-80gb-hbm3-vulkan, 2 nvidia-geforce"), "{error}");
        assert!(error.contains("3 cpu") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn backends_are_those_of_wgpu() {
        use wgpu::Backends;
        for name in ["vulkan", "VK", "gl", "gles", "opengl", "metal", "mtl", "dx12", "d3d12"] {
            assert_eq!(parse_backends(name), Ok(Backends::from_comma_list(name)));
        }
        assert_eq!(parse_backends("vk, gl"), Ok(Backends::VULKAN | Backends::GL));
        for bad in ["vulcan", "vk,", "vk;gl", "noop"] {
            let entry = bad.split(',').next_back().unwrap_or_default().to_owned();
            assert_eq!(parse_backends(bad), Err(SelectionError::Backend { entry }));
        }
    }

    #[test]
    fn the_hint_needs_a_search_without_adapters() {
        let cpu =
            |adapters_found| Candidate { info: describe_cpu(), adapter: None, adapters_found };
        assert!(no_gpu_hint(&[cpu(0)]).is_some_and(|hint| hint.contains("mesa-vulkan-drivers")));
        assert_eq!(no_gpu_hint(&[cpu(1)]), None, "adapters were found and not selected");
        assert!(matches!(cpu(0).open(), Err(GpuError::NotAGpu { .. })));
        assert!(!cpu(0).info.name.is_empty() && cpu(0).info.max_buffer_bytes > 0);
    }
}
