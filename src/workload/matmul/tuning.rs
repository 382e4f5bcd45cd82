//! The parameters that each kernel can have on a device: a short list, the default first.

use super::files::is_sr;
use super::kernels::Kernel;
use super::parameters::Parameters;
use super::{Shape, output_format};
use crate::gpu::DeviceInfo;
use crate::number::{Format, Precision};

/// Parameters valid on a device, the default first: one entry without a parameter for a kernel that
/// has none. Every other set is refused, since a kernel is only proven for those listed here.
pub(super) fn options(
    kernel: Kernel,
    precision: Precision,
    device: &DeviceInfo,
) -> Vec<Parameters> {
    let all = match kernel {
        Kernel::Naive => vec![Parameters::default()],
        Kernel::RegisterTiled if is_sr(precision) || precision.storage().is_blocked() => {
            vec![Parameters::default()]
        }
        Kernel::RegisterTiled if precision.is_wide() => wide(),
        Kernel::RegisterTiled => register_tiled(precision, device),
        Kernel::Subgroup => subgroup(precision, device),
        Kernel::Cooperative => cooperative(precision, device),
        Kernel::Gemv => gemv(precision, device),
    };
    let first = all[0].clone();
    let valid = all.into_iter().filter(|p| fits(kernel, precision, p, device).is_ok());
    let valid: Vec<_> = valid.collect();
    // Where nothing fits, the first stays, so that a row can say what is over a limit.
    if valid.is_empty() { vec![first] } else { valid }
}

/// Those of [`options`] that may be fast at a shape: no tile with more than half of it off the edge, no
/// more slices than C leaves a device idle for, and no team with more lanes than k has blocks, unless
/// nothing else is left.
pub(super) fn candidates(
    kernel: Kernel,
    options: Vec<Parameters>,
    tile: Tile<'_>,
    shape: Shape,
) -> Vec<Parameters> {
    let useful = |parameters: &Parameters| {
        let (rows, columns) = tile(parameters);
        let tiles = if kernel == Kernel::Gemv {
            shape.m.max(shape.n).div_ceil(rows)
        } else {
            shape.m.div_ceil(rows) * shape.n.div_ceil(columns)
        };
        let slices = parameters.get("slices").unwrap_or(1) as usize;
        let worth =
            slices == 1 || (tiles * shape.batch < FEW_TILES && shape.k >= LEAST_SLICE * slices);
        let fits = rows < 2 * shape.m.max(8) && columns < 2 * shape.n.max(8);
        let team = parameters.get("team").unwrap_or(1) as usize;
        worth && team <= shape.k.div_ceil(BLOCK) && (fits || kernel == Kernel::Gemv)
    };
    let (useful, mut rest): (Vec<_>, Vec<_>) = options.into_iter().partition(useful);
    rest.retain(|parameters| parameters.get("slices").unwrap_or(1) == 1);
    if useful.is_empty() { rest } else { useful }
}

/// Workgroups of one slice that leave no device idle.
const FEW_TILES: usize = 256;
/// Of k: what a slice has at least, so that it outweighs the addition.
const LEAST_SLICE: usize = 256;
/// Numbers along k that share a scale.
const BLOCK: usize = 32;

/// Whether the sum of k may be cut into slices: f32 sums of what is added as it is.
fn may_slice(precision: Precision) -> bool {
    matches!(precision, Precision::Fp32 | Precision::Fp16 | Precision::Bf16)
}

type Tile<'a> = &'a dyn Fn(&Parameters) -> (usize, usize);

/// What a device lacks for a kernel.
pub(super) fn supports(
    kernel: Kernel,
    precision: Precision,
    device: &DeviceInfo,
) -> Result<(), String> {
    if matches!(kernel, Kernel::Subgroup | Kernel::Cooperative) {
        one_subgroup_size(device)?;
    }
    if precision.storage() == Format::F64 && !device.shader_f64 {
        return Err("the device has no f64".to_owned());
    }
    if kernel == Kernel::Cooperative {
        if !device.shader_f16 {
            return Err("the device has no f16 of its own".to_owned());
        }
        if fragment_size(precision, device).is_none() {
            return Err(format!(
                "the device lists no matrix units of 16x16x16 or 8x8x8 f16 with {} sums",
                precision.accumulator().name()
            ));
        }
    }
    let default = options(kernel, precision, device).swap_remove(0);
    fits(kernel, precision, &default, device)
}

/// Kernels made of whole subgroups need to know their size, and none can be asked for.
fn one_subgroup_size(device: &DeviceInfo) -> Result<(), String> {
    let (least, most) = (device.subgroup_min, device.subgroup_max);
    if !device.subgroups {
        return Err("the device has no subgroup operations".to_owned());
    }
    if least != most {
        return Err(format!(
            "the device runs subgroups of {least} to {most} lanes, and none can be asked for"
        ));
    }
    if !LANES.contains(&least) {
        return Err(format!("there is no kernel for subgroups of {least} lanes"));
    }
    Ok(())
}

/// Rows and columns of C that a workgroup covers.
pub(super) fn tile(
    kernel: Kernel,
    precision: Precision,
    parameters: &Parameters,
) -> (usize, usize) {
    let get = |name| parameters.get(name).unwrap_or(1) as usize;
    match kernel {
        Kernel::Naive if output_format(precision).bits() == 16 => (8, 16),
        Kernel::Naive => (8, 8),
        Kernel::RegisterTiled if is_sr(precision) => (16, 32),
        Kernel::RegisterTiled if precision.storage().is_blocked() => (32, 32),
        Kernel::RegisterTiled => {
            (get("threads_m") * get("block_m"), get("threads_n") * get("block_n"))
        }
        Kernel::Subgroup => (get("rows"), 4 * get("lanes") * get("vectors")),
        Kernel::Cooperative => (
            get("subgroups_m") * get("fragments_m") * get("size"),
            get("subgroups_n") * get("fragments_n") * get("size"),
        ),
        // Of whichever of the two C has more than one of.
        Kernel::Gemv => {
            let fours = get("threads") / get("team") * get("vectors");
            (4 * fours, 4 * fours)
        }
    }
}

/// Slices, threads, block, depth, stages and swizzle of a register-tiled kernel.
fn blocks(
    slices: u32,
    [threads_m, threads_n, block_m, block_n, depth, stages, swizzle]: [u32; 7],
) -> Parameters {
    Parameters::new(&[
        ("threads_m", threads_m),
        ("threads_n", threads_n),
        ("block_m", block_m),
        ("block_n", block_n),
        ("depth", depth),
        ("stages", stages),
        ("slices", slices),
        ("swizzle", swizzle),
    ])
}

/// Sums of several parts fill the registers sooner; their operands come straight from storage.
fn wide() -> Vec<Parameters> {
    let tiles = [[8, 8, 4, 4, 4, 0, 16], [16, 16, 4, 4, 4, 0, 16], [8, 8, 8, 4, 4, 0, 16]];
    tiles.map(|tile| blocks(1, tile)).into()
}

fn register_tiled(precision: Precision, device: &DeviceInfo) -> Vec<Parameters> {
    // Straight from storage: best where workgroup memory is memory like any other.
    let direct = [[8, 8, 8, 8, 4, 0, 16], [8, 8, 4, 4, 4, 0, 16]];
    // Product-adds a stage: those of int8 take four numbers each, and a stage at most 32.
    let depth = if precision.storage() == Format::Int8 { 8 } else { 16 };
    let staged = [
        [16, 16, 8, 8, depth, 2, 8],
        [16, 16, 8, 8, 8, 2, 8],
        [16, 16, 8, 8, depth, 1, 8],
        [8, 8, 8, 8, depth, 2, 8],
        [8, 8, 8, 8, 8, 2, 8],
        [8, 16, 8, 4, 8, 2, 8],
    ];
    let all = if is_software(device) {
        [&direct[..], &staged[4..5]].concat()
    } else {
        [&staged[..], &direct[..1]].concat()
    };
    // In slices: small tiles, since it is small C that is cut so.
    let small = if is_software(device) { direct[1] } else { staged[4] };
    let sliced = if may_slice(precision) { &SLICES[..] } else { &[] };
    let mut sets: Vec<_> = vec![];
    let whole = all.into_iter().map(|tile| blocks(1, tile));
    for parameters in whole.chain(sliced.iter().map(|&slices| blocks(slices, small))) {
        if !sets.contains(&parameters) {
            sets.push(parameters); // at int8 two of the depths are the same
        }
    }
    sets
}

/// Into how many slices k may be cut.
const SLICES: [u32; 4] = [2, 4, 8, 16];

fn gemv(precision: Precision, device: &DeviceInfo) -> Vec<Parameters> {
    if precision.storage().is_blocked() {
        return block_gemv(device);
    }
    if is_sr(precision) {
        let threads = if is_software(device) { [8, 32] } else { [32, 64] };
        return threads.map(|threads| Parameters::new(&[("threads", threads)])).into();
    }
    let set = |(threads, vectors, slices): (u32, u32, u32)| {
        Parameters::new(&[("threads", threads), ("vectors", vectors), ("slices", slices)])
    };
    // More vectors a lane take more of each row of a matrix that is read across its rows.
    let all: &[_] = if is_software(device) {
        &[(32, 1, 1), (8, 4, 1), (8, 1, 1), (8, 4, 4)]
    } else {
        &[(32, 1, 1), (64, 1, 1), (32, 4, 1), (32, 1, 4), (32, 1, 16), (64, 1, 16)]
    };
    let valid = all.iter().filter(|(_, _, slices)| *slices == 1 || may_slice(precision));
    valid.copied().map(set).collect()
}

/// Teams share the blocks of a row or column of the matrix, which fills a device without slices of k.
/// More vectors a lane take more rows or columns to each load of the vector.
fn block_gemv(device: &DeviceInfo) -> Vec<Parameters> {
    let set = |(threads, vectors, team): (u32, u32, u32)| {
        Parameters::new(&[("threads", threads), ("vectors", vectors), ("team", team)])
    };
    let all: &[_] = if is_software(device) {
        // No more vectors: their loops are no longer unrolled, and llvmpipe ends loops early.
        &[(8, 8, 1), (32, 1, 1), (8, 1, 1), (8, 4, 1)]
    } else {
        // The last two are for a k of few blocks, where larger teams have lanes without one.
        &[
            (128, 2, 16),
            (128, 1, 16),
            (256, 1, 32),
            (64, 1, 8),
            (128, 2, 8),
            (128, 4, 16),
            (64, 1, 4),
            (64, 1, 1),
        ]
    };
    all.iter().copied().map(set).collect()
}

/// Whether a device is a program: its storage is cached like its workgroup memory.
pub(super) fn is_software(device: &DeviceInfo) -> bool {
    device.device_type == "cpu"
}

/// Subgroup sizes that the subgroup kernel is made for.
const LANES: [u32; 4] = [8, 16, 32, 64];

fn subgroup(precision: Precision, device: &DeviceInfo) -> Vec<Parameters> {
    // Where a product-add is long, sums that stay in registers matter more than loads.
    let is_long = matches!(precision.accumulator(), Format::Int32 | Format::F16);
    let lanes = if LANES.contains(&device.subgroup_max) { device.subgroup_max } else { LANES[0] };
    let set = |[rows, vectors, depth, group]: [u32; 4]| {
        Parameters::new(&[
            ("lanes", lanes),
            ("rows", rows),
            ("vectors", vectors),
            ("depth", depth),
            ("group", group),
            ("swizzle", 16),
        ])
    };
    match lanes {
        8 | 16 if is_long => vec![[16, 2, 4, 1], [32, 1, 4, 1], [16, 4, 4, 1], [16, 2, 4, 2]],
        // Sums that go through memory: few, and once for two products.
        8 | 16 if precision.storage() == Format::F32 => {
            vec![[16, 1, 4, 2], [32, 1, 4, 2], [16, 2, 4, 2], [16, 4, 4, 1], [32, 4, 4, 1]]
        }
        8 | 16 => vec![[16, 4, 4, 1], [32, 2, 4, 1], [16, 2, 4, 1], [16, 2, 4, 2]],
        32 => vec![[32, 1, 4, 2], [16, 1, 8, 4], [16, 2, 8, 2], [32, 2, 4, 1]],
        _ => vec![[32, 1, 8, 2], [64, 1, 4, 2]],
    }
    .into_iter()
    .map(set)
    .collect()
}

/// The larger of the sizes of fragments that a device's matrix units take.
fn fragment_size(precision: Precision, device: &DeviceInfo) -> Option<u32> {
    let sums = precision.accumulator().name();
    [16, 8].into_iter().find(|size| {
        let name = format!("{size}x{size}x{size} f16·f16+{sums}");
        device.cooperative_matrices.contains(&name)
    })
}

fn cooperative(precision: Precision, device: &DeviceInfo) -> Vec<Parameters> {
    let lanes = if LANES.contains(&device.subgroup_max) { device.subgroup_max } else { 32 };
    let size = fragment_size(precision, device).unwrap_or(16);
    let set = |[subgroups_m, subgroups_n, fragments_m, fragments_n]: [u32; 4]| {
        Parameters::new(&[
            ("lanes", lanes),
            ("subgroups_m", subgroups_m),
            ("subgroups_n", subgroups_n),
            ("fragments_m", fragments_m),
            ("fragments_n", fragments_n),
            ("size", size),
            ("depth", 32),
            ("swizzle", 8),
        ])
    };
    [[2, 2, 4, 2], [2, 4, 4, 2], [2, 2, 4, 4], [1, 4, 4, 2], [2, 1, 2, 2]].map(set).into()
}

/// Whether a workgroup's threads and its memory are within the device's limits.
fn fits(
    kernel: Kernel,
    precision: Precision,
    parameters: &Parameters,
    device: &DeviceInfo,
) -> Result<(), String> {
    let get = |name| parameters.get(name).unwrap_or(1);
    let (rows, columns) = tile(kernel, precision, parameters);
    let (rows, columns) = (rows as u32, columns as u32);
    let threads = match kernel {
        Kernel::RegisterTiled if !parameters.is_empty() => get("threads_m") * get("threads_n"),
        Kernel::Subgroup => get("lanes"),
        Kernel::Gemv => get("threads"),
        Kernel::Cooperative => get("lanes") * get("subgroups_m") * get("subgroups_n"),
        _ => 64,
    };
    let bytes = match kernel {
        Kernel::RegisterTiled if !parameters.is_empty() => {
            16 * get("stages") * get("depth") * (rows / 4 + 1 + columns / 4)
        }
        Kernel::Cooperative => {
            let panels = rows * (get("depth") + 8) + get("depth") * (columns + 8);
            let results = get("subgroups_m") * get("subgroups_n") * get("size").pow(2);
            2 * panels + output_format(precision).bytes(results.into()) as u32
        }
        // What a team hands over, of two rounds; a team of 1 has one word, for an array has to have one.
        Kernel::Gemv if get("team") > 1 => 2 * 4 * get("team") * (rows + 1),
        Kernel::Gemv if precision.storage().is_blocked() => 4,
        _ => 0,
    };
    for (what, needed, limit) in [
        ("threads", threads, device.max_workgroup_invocations),
        ("bytes of workgroup memory", bytes, device.max_workgroup_bytes),
    ] {
        if needed > limit {
            return Err(format!(
                "{kernel} needs {needed} {what}, over the device's limit of {limit}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much as a discrete GPU has.
    fn device(device_type: &str) -> DeviceInfo {
        DeviceInfo {
            slug: "some-gpu-vulkan".into(),
            device_type: device_type.into(),
            subgroups: true,
            subgroup_min: 32,
            subgroup_max: 32,
            shader_f16: true,
            shader_f64: true,
            cooperative_matrices: vec!["16x16x16 f16·f16+f32".into(), "8x8x8 f16·f16+f16".into()],
            max_workgroup_bytes: 48 << 10,
            max_workgroup_invocations: 1024,
            ..DeviceInfo::default()
        }
    }

    fn pairs() -> impl Iterator<Item = (Kernel, Precision)> {
        let all = Kernel::ALL.into_iter();
        let precisions = Precision::matmul;
        let all =
            all.flat_map(move |kernel| precisions().map(move |precision| (kernel, precision)));
        all.filter(|&(kernel, precision)| kernel.computes(precision))
    }

    #[test]
    fn lists_are_short_distinct_and_valid() {
        // The least that WebGPU promises, and more.
        for (device_type, bytes, threads) in
            [("cpu", 32 << 10, 1024), ("discrete", 48 << 10, 1024), ("other", 16 << 10, 256)]
        {
            let device = DeviceInfo {
                max_workgroup_bytes: bytes,
                max_workgroup_invocations: threads,
                ..device(device_type)
            };
            for (kernel, precision) in pairs() {
                assert_eq!(supports(kernel, precision, &device), Ok(()), "{kernel} {precision}");
                let options = options(kernel, precision, &device);
                assert!((1..=12).contains(&options.len()));
                for text in ["4096", "64x64x16384", "4096x1x4096", "16-tn-b64"] {
                    let shape = text.parse().unwrap();
                    let tile = |p: &Parameters| tile(kernel, precision, p);
                    let few = candidates(kernel, options.clone(), &tile, shape);
                    assert!((1..=8).contains(&few.len()), "{kernel} {precision} {text}");
                    assert!(few.iter().all(|p| options.contains(p)));
                }
                for (index, parameters) in options.iter().enumerate() {
                    assert_eq!(fits(kernel, precision, parameters, &device), Ok(()));
                    assert!(!options[..index].contains(parameters), "{parameters} twice");
                    assert!(parameters.names().eq(options[0].names()));
                }
            }
        }
    }

    /// What the kernels' files demand of their parameters.
    #[test]
    fn parameters_are_what_the_kernels_are_proven_for() {
        for lanes in LANES {
            let device =
                DeviceInfo { subgroup_min: lanes, subgroup_max: lanes, ..device("discrete") };
            for (kernel, precision) in pairs() {
                for parameters in options(kernel, precision, &device) {
                    let get = |name| parameters.get(name).unwrap();
                    let [word, step] = match precision.storage() {
                        Format::Int8 => [4, 4],
                        Format::F16 | Format::Bf16 => [2, 1],
                        Format::E4m3 | Format::E5m2 => [4, 1],
                        _ => [1, 1],
                    };
                    if kernel == Kernel::Subgroup {
                        assert!(get("depth").is_multiple_of(4) && 32 % (get("depth") * word) == 0);
                        assert!((get("rows") * get("depth") / 4).is_multiple_of(get("lanes")));
                        assert!([1, 2, 4].contains(&get("group")));
                    } else if kernel == Kernel::RegisterTiled && !parameters.is_empty() {
                        assert!(get("block_n").is_multiple_of(4));
                        if get("stages") > 0 {
                            assert!(get("block_m").is_multiple_of(4));
                            let whole = 32 % (get("depth") * step) == 0;
                            assert!(get("depth").is_multiple_of(4) && whole, "{parameters}");
                        } else {
                            assert!(get("block_m").is_multiple_of(4));
                        }
                    } else if let (Kernel::Gemv, Some(team)) = (kernel, parameters.get("team")) {
                        assert!(get("threads").is_multiple_of(team));
                    } else if kernel == Kernel::Cooperative {
                        assert!(32 % get("depth") == 0 && get("depth").is_multiple_of(get("size")));
                    }
                }
            }
        }
    }

    /// The subgroup kernel's own way to a word of A, lane by lane: for each row and each word of an
    /// iteration, the word that its lane holds in front is that word of that row.
    #[test]
    fn words_come_to_the_front_in_their_order() {
        for lanes in LANES {
            let device =
                DeviceInfo { subgroup_min: lanes, subgroup_max: lanes, ..device("discrete") };
            for precision in Precision::matmul().filter(|&p| Kernel::Subgroup.computes(p)) {
                for parameters in options(Kernel::Subgroup, precision, &device) {
                    let get = |name| parameters.get(name).unwrap();
                    let [rows, depth, group] = ["rows", "depth", "group"].map(get);
                    // What lane `lane` loads l-th: row and word of each of the four.
                    let load = |l: u32, lane: u32| {
                        let at = l * lanes + lane;
                        [0, 1, 2, 3].map(|word| [at % rows, 4 * (at / rows) + word])
                    };
                    let loads = rows * depth / (4 * lanes);
                    let held = |lane| (0..loads).map(|l| load(l, lane)).collect::<Vec<_>>();
                    let mut a: Vec<Vec<[[u32; 2]; 4]>> = (0..lanes).map(held).collect();
                    for four in 0..depth / 4 {
                        for g in 0..4 / group {
                            for (r, d) in (0..rows).flat_map(|r| (0..group).map(move |d| (r, d))) {
                                let holder = r + rows * four;
                                let words = a[(holder % lanes) as usize][(holder / lanes) as usize];
                                let expected = [r, 4 * four + group * g + d];
                                assert_eq!(words[d as usize], expected, "{parameters}");
                            }
                            a.iter_mut()
                                .flatten()
                                .for_each(|words| words.rotate_left(group as usize % 4));
                        }
                    }
                }
            }
        }
        let text = include_str!("../../../kernels/matmul/subgroup.wgsl");
        for turn in [
            "GROUP == 1u) {\n        return words.yzwx",
            "GROUP == 2u) {\n        return words.zwxy",
        ] {
            assert!(text.contains(turn), "what is turned here is what the kernel turns");
        }
    }

    #[test]
    fn what_a_device_lacks_is_said() {
        let lacks = |kernel, change: &dyn Fn(&mut DeviceInfo)| {
            let mut device = device("discrete");
            change(&mut device);
            supports(kernel, Precision::Fp16, &device).unwrap_err()
        };
        let subgroup = Kernel::Subgroup;
        assert!(lacks(subgroup, &|d| d.subgroups = false).contains("no subgroup operations"));
        assert!(lacks(subgroup, &|d| d.subgroup_min = 8).contains("8 to 32 lanes"));
        let cooperative = Kernel::Cooperative;
        assert!(lacks(cooperative, &|d| d.cooperative_matrices.clear()).contains("16x16x16"));
        assert!(lacks(cooperative, &|d| d.shader_f16 = false).contains("no f16"));
        let tiled = Kernel::RegisterTiled;
        let none = DeviceInfo { shader_f64: false, ..device("discrete") };
        let lacking = supports(tiled, Precision::Fp64, &none).unwrap_err();
        assert!(lacking.contains("no f64"), "{lacking}");
        assert!(lacks(cooperative, &|d| d.max_workgroup_bytes = 1 << 10).contains("bytes"));
        assert!(lacks(tiled, &|d| d.max_workgroup_invocations = 32).contains("256 threads"));
    }

    #[test]
    fn fragments_are_those_that_the_adapter_lists() {
        let size =
            |precision| options(Kernel::Cooperative, precision, &device("discrete"))[0].get("size");
        assert_eq!(size(Precision::Fp16), Some(16));
        assert_eq!(size(Precision::Fp16Acc16), Some(8));
    }

    /// A lane of a team has a block of k, on whatever device.
    #[test]
    fn a_short_k_leaves_small_teams() {
        for (device_type, k, most) in
            [("discrete", 1, 1), ("discrete", 33, 1), ("discrete", 97, 4), ("discrete", 128, 4)]
                .into_iter()
                .chain([("discrete", 257, 8), ("discrete", 1 << 12, 32), ("cpu", 128, 1)])
        {
            for precision in [Precision::Int4, Precision::Mxfp8, Precision::Mxint8] {
                let tile = |p: &Parameters| tile(Kernel::Gemv, precision, p);
                let options = options(Kernel::Gemv, precision, &device(device_type));
                for shape in [Shape::new(4096, 1, k), Shape::new(1, 4096, k)] {
                    let few = candidates(Kernel::Gemv, options.clone(), &tile, shape);
                    let largest = few.iter().filter_map(|p| p.get("team")).max();
                    assert_eq!(largest, Some(most), "{device_type} {precision} {shape}");
                }
            }
        }
    }

    /// As the kernel's file declares it.
    #[test]
    fn teams_are_held_to_the_workgroup_memory() {
        let text = include_str!("../../../kernels/matmul/block_gemv.wgsl");
        assert!(text.contains("PARTS: u32 = select(2u * TEAM * PITCH, 1u, TEAM == 1u);"));
        assert!(text.contains("var<workgroup> parts: array<f32, PARTS>;"));
        let fits = |precision, team, bytes| {
            let names = [("threads", 8), ("vectors", 8), ("team", team)];
            let device = DeviceInfo { max_workgroup_bytes: bytes, ..device("cpu") };
            fits(Kernel::Gemv, precision, &Parameters::new(&names), &device)
        };
        // Two rounds of 4 lanes, each of 2 teams' 32 entries, and 1 number that keeps lanes to different banks.
        let bytes = 2 * 4 * 4 * (2 * 32 + 1);
        assert_eq!(fits(Precision::Mxint8, 4, bytes), Ok(()));
        assert!(fits(Precision::Mxint8, 4, bytes - 1).is_err_and(|e| e.contains("2080 bytes")));
        assert_eq!(fits(Precision::Mxint8, 1, 4), Ok(()));
        assert!(fits(Precision::Mxint8, 1, 3).is_err());
        assert_eq!(fits(Precision::Fp32, 1, 0), Ok(()), "no workgroup memory there");
    }

    #[test]
    fn small_shapes_leave_small_tiles() {
        let device = device("discrete");
        let of = |shape| {
            let tile = |p: &Parameters| tile(Kernel::RegisterTiled, Precision::Fp32, p);
            let options = options(Kernel::RegisterTiled, Precision::Fp32, &device);
            candidates(Kernel::RegisterTiled, options, &tile, shape)
        };
        let all = of(Shape::square(4096));
        let few = of(Shape::square(40));
        assert!(!few.is_empty() && few.len() < all.len());
        assert!(few.iter().all(|p| all.contains(p)));
        assert!(!of(Shape::square(1)).is_empty());
        // Slices where C is small and k long, and there alone.
        let slices = |shape| of(shape).iter().filter_map(|p| p.get("slices")).max().unwrap();
        assert_eq!(slices(Shape::square(4096)), 1);
        assert_eq!(slices(Shape::new(64, 64, 1024)), 4);
        assert_eq!(slices(Shape::new(64, 64, 1 << 16)), 16);
    }
}
