//! Every composed kernel is valid WGSL, with the optional features it needs and no other; no file of
//! `kernels/` is unused. Needs no GPU.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use tradeoff::fingerprint;
use tradeoff::gpu::{Composed, DOUBLE, DeviceInfo, ERROR_FREE, PROBES, compose};
use tradeoff::measure::roofline::{Probe, probes};
use tradeoff::number::{Format, Precision};
use tradeoff::problem::dataset::Loss;
use tradeoff::workload::matmul::{F16Path, Kernel, KernelSource, Shape, conversion_sources};
use tradeoff::workload::sgd::{Algorithm, Stage, averaging_probe, conversion_kernel, kernels};

/// f16 as a type of its own: wgpu's `SHADER_F16`, which many devices lack.
const F16: Capabilities = Capabilities::SHADER_FLOAT16;
/// `pack2x16float` and `unpack2x16float`, part of core WGSL.
const PACKING: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

/// Subgroup operations; the builtins that number subgroups and lanes come with them.
const SUBGROUP: Capabilities = Capabilities::SUBGROUP;
/// Cooperative matrices.
const MATRIX: Capabilities = Capabilities::COOPERATIVE_MATRIX;
/// f64: wgpu's `SHADER_F64`.
const F64: Capabilities = Capabilities::FLOAT64;
/// All that a kernel may need.
const OPTIONAL: Capabilities = F16.union(PACKING).union(SUBGROUP).union(MATRIX).union(F64);

struct Module {
    name: String,
    composed: Composed,
    entry_points: Vec<&'static str>,
    /// The capabilities that naga must ask for, each of them.
    needs: Capabilities,
}

/// Devices that make the registry give all that it has: software and hardware, with and without f16,
/// every subgroup size, both sizes of matrix fragments.
fn devices() -> Vec<DeviceInfo> {
    let mut devices = vec![];
    for device_type in ["cpu", "discrete"] {
        for (lanes, size) in [(8, 8), (16, 16), (32, 16), (64, 8)] {
            let matrices = ["f16", "f32"].map(|sum| format!("{size}x{size}x{size} f16·f16+{sum}"));
            devices.extend([false, true].map(|shader_f16| DeviceInfo {
                device_type: device_type.into(),
                shader_f16,
                shader_f64: true,
                subgroups: true,
                subgroup_min: lanes,
                subgroup_max: lanes,
                cooperative_matrices: matrices.to_vec(),
                max_workgroup_bytes: 64 << 10,
                max_workgroup_invocations: 1024,
                ..DeviceInfo::default()
            }));
        }
    }
    devices
}

/// Every kernel with all parameters that it can have on some device, each text once.
fn product_modules(kernel: Kernel, precision: Precision) -> Vec<Module> {
    let mut modules: Vec<Module> = vec![];
    for device in devices() {
        if KernelSource::supports(kernel, precision, &device).is_err() {
            continue;
        }
        // The second is cut into slices.
        let shapes = [Shape::square(4096), Shape::new(64, 64, 16_384)];
        let candidates =
            shapes.map(|shape| KernelSource::candidates(kernel, precision, shape, &device));
        for parameters in candidates.concat() {
            let source = KernelSource::with(kernel, precision, &device, parameters).unwrap();
            let composed = source.composed();
            if modules.iter().any(|m| m.composed == composed) {
                continue;
            }
            let mut needs = match source.f16_path {
                Some(F16Path::Native) => F16,
                Some(F16Path::Packed) => PACKING,
                None => Capabilities::empty(),
            };
            needs.set(F64, precision.storage() == Format::F64);
            match kernel {
                Kernel::Subgroup => needs |= SUBGROUP,
                Kernel::Cooperative => needs |= SUBGROUP | MATRIX,
                Kernel::Naive | Kernel::RegisterTiled | Kernel::Gemv => {}
            }
            modules.extend(source.addition().map(|composed| Module {
                name: format!("sums of slices of {precision} {kernel} {}", source.parameters),
                composed,
                entry_points: vec!["add_slices"],
                needs: Capabilities::empty(),
            }));
            modules.push(Module {
                name: format!(
                    "matmul {precision} {kernel} {:?} {}",
                    source.f16_path, source.parameters
                ),
                composed,
                entry_points: vec!["multiply"],
                needs,
            });
        }
    }
    modules
}

fn matmul_modules() -> Vec<Module> {
    let mut modules = Vec::new();
    for precision in Precision::matmul() {
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.computes(precision)) {
            modules.extend(product_modules(kernel, precision));
        }
        let conversions = conversion_sources(precision);
        let entry_points: &[&[_]] = match conversions.len() {
            0 => &[],
            1 if precision.storage().is_blocked() => &[&["along", "across"]],
            1 => &[&["convert"]],
            _ => &[&["of_rows", "of_columns"], &["of_rows", "of_columns"]],
        };
        for (files, entry_points) in conversions.iter().zip(entry_points) {
            modules.push(Module {
                name: format!("conversion to {precision}"),
                composed: compose(files),
                entry_points: entry_points.to_vec(),
                needs: Capabilities::empty(), // rounds in integer bits
            });
        }
    }
    modules
}

fn sgd_modules() -> Vec<Module> {
    let mut modules = Vec::new();
    for precision in Precision::SGD {
        let stores_f16 = [precision.storage(), precision.accumulator()].contains(&Format::F16);
        for loss in [Loss::LeastSquares, Loss::Logistic] {
            let algorithms = Algorithm::ALL.into_iter().filter(|a| a.runs(precision));
            let all = algorithms.flat_map(|algorithm| {
                let stages = kernels(precision, loss, algorithm).into_iter();
                stages.map(move |(stage, kernel)| (algorithm, stage, kernel))
            });
            for (algorithm, stage, kernel) in all {
                // It touches neither data nor model.
                let apart = stage == Stage::Shuffle;
                let needs = if stores_f16 && !apart { PACKING } else { Capabilities::empty() };
                modules.push(Module {
                    name: format!("{algorithm} {precision} {} {}", loss.name(), kernel.entry),
                    composed: kernel.composed,
                    entry_points: vec![kernel.entry],
                    needs,
                });
            }
        }
        modules.extend(conversion_kernel(precision).map(|kernel| Module {
            name: format!("sgd conversion to {precision}"),
            composed: kernel.composed,
            entry_points: vec![kernel.entry],
            needs: if stores_f16 { PACKING } else { Capabilities::empty() },
        }));
    }
    modules
}

fn probe_modules() -> Vec<Module> {
    let module = |source: tradeoff::gpu::Source| {
        let (entry_points, needs) = match source.path {
            "probe/half.wgsl" => (vec!["widen"], F16),
            "probe/convert.wgsl" => (vec!["convert"], PACKING),
            "probe/timing.wgsl" => (vec!["timing"], Capabilities::empty()),
            "probe/f16.wgsl" => (vec!["narrow", "add", "multiply_add", "load", "copy"], F16),
            "probe/narrow.wgsl" => (vec!["pack", "quantize"], PACKING),
            "probe/literals_f16.wgsl" => (vec!["written", "assigned", "loaded"], PACKING),
            "probe/literals.wgsl" => (vec!["written", "assigned", "loaded"], Capabilities::empty()),
            "probe/memory.wgsl" => (vec!["load", "store", "copy"], Capabilities::empty()),
            "probe/compensated.wgsl" => (vec!["plain", "xor_zero"], Capabilities::empty()),
            "probe/integers.wgsl" => (vec!["to_i32", "from_u32"], Capabilities::empty()),
            "probe/functions.wgsl" => (vec!["divide", "logarithm"], Capabilities::empty()),
            "probe/dot4.wgsl" => (vec!["of_signed", "of_unsigned"], Capabilities::empty()),
            "probe/special.wgsl" => (vec!["compare", "extremes"], Capabilities::empty()),
            _ => (vec!["add", "multiply", "two_sum"], Capabilities::empty()),
        };
        Module { name: source.path.into(), composed: compose(&[source]), entry_points, needs }
    };
    let errors = ERROR_FREE.iter().map(|files| Module {
        name: format!("probe/error_free.wgsl with {}", files[0].path),
        composed: compose(files),
        entry_points: vec!["error_free"],
        needs: Capabilities::empty(),
    });
    let sums = Module {
        name: "probe/two_sum.wgsl".into(),
        composed: averaging_probe(),
        entry_points: vec!["errors_of_sums"],
        needs: Capabilities::empty(),
    };
    let double = Module {
        name: DOUBLE.path.into(),
        composed: compose(&[DOUBLE]),
        entry_points: vec!["multiply_add"],
        needs: F64,
    };
    let units = fingerprint::matrix_probes().into_iter().map(|files| {
        let [types, _] = files;
        let mut needs = Capabilities::COOPERATIVE_MATRIX;
        needs.set(F16, types.path.contains("_f16_"));
        Module {
            name: format!("probe of matrix units, {}", types.path),
            composed: compose(&files),
            entry_points: vec!["multiply_add"],
            needs,
        }
    });
    let all = PROBES.into_iter().chain(fingerprint::PROBES).map(module);
    all.chain(units).chain(errors).chain([sums, double]).collect()
}

/// The kernels that rooflines are measured with.
fn roofline_modules() -> Vec<Module> {
    let module = |probe: Probe| {
        let has = |part: &str| probe.files.iter().any(|file| file.path.contains(part));
        let mut needs = Capabilities::empty();
        needs.set(F16, has("peak_f16") || has("_f16_"));
        needs.set(Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP, has("cooperative"));
        let name = probe.files.iter().map(|file| file.path).collect::<Vec<_>>().join(" + ");
        Module { name, composed: compose(&probe.files), entry_points: probe.entry_points, needs }
    };
    probes().into_iter().map(module).collect()
}

fn modules() -> Vec<Module> {
    [matmul_modules(), sgd_modules(), probe_modules(), roofline_modules()]
        .into_iter()
        .flatten()
        .collect()
}

fn parse(module: &Module) -> naga::Module {
    let wgsl = &module.composed.wgsl;
    naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|error| panic!("{}: {}", module.name, error.emit_to_string(wgsl)))
}

/// Validates under `capabilities`; an error as its message.
fn validate(
    module: &Module,
    parsed: &naga::Module,
    capabilities: Capabilities,
) -> Result<ModuleInfo, String> {
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(parsed)
        .map_err(|error| error.emit_to_string(&module.composed.wgsl))
}

#[test]
fn every_module_has_its_entry_points() {
    let modules = modules();
    assert!(modules.len() > 100, "the registries list {} modules", modules.len());
    for module in modules {
        let parsed = parse(&module);
        for entry in &module.entry_points {
            let found = parsed.entry_points.iter().any(|point| point.name == *entry);
            assert!(found, "{} has no entry point {entry}", module.name);
        }
        assert!(parsed.entry_points.iter().all(|p| p.stage == naga::ShaderStage::Compute));
    }
}

/// On a device with the features it needs and nothing else, and on one that has all.
#[test]
fn every_module_is_valid_with_what_it_needs_and_with_more() {
    for module in modules() {
        let parsed = parse(&module);
        for capabilities in [module.needs, OPTIONAL, Capabilities::all()] {
            let verdict = validate(&module, &parsed, capabilities);
            assert!(verdict.is_ok(), "{} {capabilities:?}: {verdict:?}", module.name);
        }
    }
}

/// A capability that a module is said to need is one: a device without it must not be given it.
#[test]
fn no_module_is_valid_without_what_it_needs() {
    let mut refused = 0;
    for module in modules() {
        let parsed = parse(&module);
        for missing in module.needs.iter() {
            let verdict = validate(&module, &parsed, OPTIONAL - missing);
            assert!(verdict.is_err(), "{} is valid without {missing:?}", module.name);
            refused += 1;
        }
    }
    // Three f16 precisions, each with every kernel, by both paths; and more in SGD.
    assert!(refused > 2 * 3 * Kernel::ALL.len());
}

/// Matrix units are on no machine that these tests can count on, so at least the way to SPIR-V, which
/// Vulkan takes, is gone: overrides resolved, written, and for the units alone with their capability.
#[test]
fn every_product_becomes_spirv() {
    let shape = [("M", 300.0), ("N", 200.0), ("K", 100.0), ("LDA", 128.0), ("LDB", 200.0)];
    let others = [("LDC", 200.0), ("SEED", 1.0), ("TRIAL", 0.0)];
    let settings = [("PER_VECTOR", 0.0), ("ROUNDING_BITS", 16.0)];
    let stored = [("LDK", 128.0), ("BATCH", 2.0), ("A_TRANSPOSED", 0.0), ("B_TRANSPOSED", 1.0)];
    let constants = shape.into_iter().chain(others).chain(settings).chain(stored);
    let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    let entry = naga::back::spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "multiply".to_owned(),
    };
    let mut units = 0;
    for module in matmul_modules().iter().filter(|m| m.entry_points == ["multiply"]) {
        let parsed = parse(module);
        let info = validate(module, &parsed, Capabilities::all()).unwrap();
        let has =
            |name: &str| parsed.overrides.iter().any(|(_, o)| o.name.as_deref() == Some(name));
        let constants = constants.clone().filter(|(name, _)| has(name));
        let constants = constants.map(|(name, value)| (name.to_owned(), value)).collect();
        let resolved =
            naga::back::pipeline_constants::process_overrides(&parsed, &info, None, &constants);
        let (resolved, info) = resolved.unwrap_or_else(|e| panic!("{}: {e}", module.name));
        let words = naga::back::spv::write_vec(&resolved, &info, &options, Some(&entry));
        let words = words.unwrap_or_else(|e| panic!("{}: {e}", module.name));
        // OpCapability CooperativeMatrixKHR
        let has_units = words.windows(2).any(|pair| pair == [2 << 16 | 17, 6022]);
        assert_eq!(has_units, module.needs.contains(MATRIX), "{}", module.name);
        units += usize::from(has_units);
    }
    assert!(units >= 4, "{units} kernels for matrix units");
}

/// The paths of all .wgsl files under `kernels/`, relative to it.
fn files(folder: &Path, root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, root));
        } else {
            found.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

#[test]
fn every_file_is_part_of_a_kernel() {
    // `compose` names each part in a line of its own.
    let parts = |module: &Module| -> Vec<String> {
        let lines = module.composed.wgsl.lines();
        lines.filter_map(|line| line.strip_prefix("// ---- ")).map(str::to_owned).collect()
    };
    let used: BTreeSet<_> = modules().iter().flat_map(parts).collect();
    // Separators as in the registry, whatever the system's are.
    let name =
        |path: &PathBuf| path.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/");
    let present: BTreeSet<_> = files(&root(), &root()).iter().map(name).collect();
    let orphans: Vec<_> = present.difference(&used).collect();
    assert!(orphans.is_empty(), "in no kernel: {orphans:?}");
    assert_eq!(used, present, "a part that is no file");
}

#[test]
fn every_file_opens_with_what_it_is() {
    for path in files(&root(), &root()) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let says = first.strip_prefix("// ").is_some_and(|words| words.len() > 10);
        assert!(says, "{} opens with {first:?}, not with a comment", path.display());
    }
}
