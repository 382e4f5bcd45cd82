//! The roofline of a GPU, by the kernels of `kernels/probe/peak_*.wgsl`. Of each roof the fastest of
//! a few candidates counts, at its fastest run: what other programs take away is no property of the
//! device.

use std::time::Instant;

use super::{Bandwidth, Peak, Roofline, Unit};
use crate::gpu::{Buffer, Command, Composed, Context, GpuError, Source, TimingMethod, compose};
use crate::record::utc_now;
use crate::wgsl;

/// Time of one timed dispatch: long beside its launch, short beside the time slices of other programs
/// that a software adapter shares the processor with, so that some dispatch goes undisturbed. ns.
const DISPATCH_NS: f64 = 3e6;
/// Timed dispatches of a candidate.
const TRIES: usize = 4;
/// Timed dispatches of the fastest candidate.
const FINAL_TRIES: usize = 24;
/// Invocations of a dispatch at most: several times what the largest GPU holds at once.
const MOST_INVOCATIONS: u32 = 1 << 23;
/// Results of chains at most; invocations beyond share them.
const MOST_RESULTS: u64 = 1 << 18;
/// Iterations of a peak's loop: long beside starting an invocation, and so short that a dispatch is
/// many waves of them, since its last one is not full. llvmpipe and lavapipe end a loop at 65,535.
const ITERATIONS: u32 = 256;
/// Steps of each chain that an iteration spells out, and sums of a subgroup.
const STEPS: u64 = 8;
const COOPERATIVE_SUMS: u64 = 8;
const COOPERATIVE_STEPS: u64 = 4;
/// First values in the operands of a chain.
const STARTS: usize = 64;
/// Places for results that the workgroups of the matrix units' kernel share.
const SLOTS: u64 = 64;
/// Size of each side of a copy on a GPU: several times the largest last-level cache. Bytes.
const GPU_BYTES: u64 = 512 << 20;
/// Least size at which a bandwidth still is one of memory. Bytes.
const LEAST_BYTES: u64 = 64 << 20;
/// Dispatches of one submission over which latency is averaged.
const DISPATCHES: u64 = 512;
/// Such submissions, and passes over the memory.
const PASSES: usize = 5;

/// A probe kernel as it is composed, for whoever checks that all are valid.
pub struct Probe {
    /// Its files.
    pub files: Vec<Source>,
    /// Its entry points.
    pub entry_points: Vec<&'static str>,
}

const F32: Source = wgsl!("probe/peak_f32.wgsl");
const F16: Source = wgsl!("probe/peak_f16.wgsl");
const DOT4: Source = wgsl!("probe/peak_dot4.wgsl");
const DOT4_SHARED: Source = wgsl!("probe/peak_dot4_shared.wgsl");
const COOPERATIVE: Source = wgsl!("probe/peak_cooperative.wgsl");
const MEMORY: Source = wgsl!("probe/peak_memory.wgsl");
const NOTHING: Source = wgsl!("probe/peak_nothing.wgsl");

/// Files of chains, and how many chains each has.
const CHAINS: [(u64, Source); 4] = [
    (2, wgsl!("probe/peak_chains_2.wgsl")),
    (3, wgsl!("probe/peak_chains_3.wgsl")),
    (4, wgsl!("probe/peak_chains_4.wgsl")),
    (8, wgsl!("probe/peak_chains_8.wgsl")),
];

/// The tiles of the matrix units, as an adapter lists them.
const TILES: [Tile; 5] = {
    const fn tile(
        name: &'static str,
        edge: u64,
        operand_f16: bool,
        unit: Unit,
        source: Source,
    ) -> Tile {
        Tile { name, edge, operand_f16, unit, source }
    }
    use Unit::{CooperativeF16 as InF16, CooperativeF32 as InF32};
    [
        tile(
            "16x16x16 f16·f16+f32",
            16,
            true,
            InF32,
            wgsl!("probe/peak_cooperative_16_f16_f32.wgsl"),
        ),
        tile(
            "16x16x16 f16·f16+f16",
            16,
            true,
            InF16,
            wgsl!("probe/peak_cooperative_16_f16_f16.wgsl"),
        ),
        tile("8x8x8 f16·f16+f32", 8, true, InF32, wgsl!("probe/peak_cooperative_8_f16_f32.wgsl")),
        tile("8x8x8 f16·f16+f16", 8, true, InF16, wgsl!("probe/peak_cooperative_8_f16_f16.wgsl")),
        tile("8x8x8 f32·f32+f32", 8, false, InF32, wgsl!("probe/peak_cooperative_8_f32_f32.wgsl")),
    ]
};

#[derive(Clone, Copy)]
struct Tile {
    name: &'static str,
    edge: u64,
    operand_f16: bool,
    unit: Unit,
    source: Source,
}

/// Every kernel that a roofline is measured with.
pub fn probes() -> Vec<Probe> {
    let chained = [F32, F16, DOT4].into_iter().flat_map(|unit| {
        CHAINS.into_iter().map(move |(_, chains)| (vec![unit, chains], vec!["peak"]))
    });
    let tiles = TILES.into_iter().map(|tile| (vec![tile.source, COOPERATIVE], vec!["peak"]));
    let others = [
        (vec![DOT4_SHARED], vec!["peak"]),
        (vec![MEMORY], vec!["filling", "reading", "copying"]),
        (vec![NOTHING], vec!["nothing"]),
    ];
    let all = chained.chain(tiles).chain(others);
    all.map(|(files, entry_points)| Probe { files, entry_points }).collect()
}

/// What a kernel of a peak needs beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A result an invocation.
    Chains,
    /// Results a subgroup, of tiles of this edge, operands in f16 or else in f32.
    Tiles { edge: u64, operand_f16: bool },
}

/// A way to keep a unit busy.
#[derive(Clone, Debug)]
struct Candidate {
    name: String,
    files: Vec<Source>,
    kind: Kind,
    workgroup_size: u32,
    /// Operations that an iteration does in each invocation, or in each subgroup of tiles.
    operations: u64,
}

/// The candidates of a unit on a device; none where it has no such unit.
fn candidates(context: &Context, unit: Unit) -> Vec<Candidate> {
    let info = &context.info;
    let workgroup_size = info.max_workgroup_invocations.min(256);
    let chained = |source: Source, operations: u64| -> Vec<Candidate> {
        let one = |(chains, file): (u64, Source)| Candidate {
            name: format!("{chains} chains of 4, workgroups of {workgroup_size}"),
            files: vec![source, file],
            kind: Kind::Chains,
            workgroup_size,
            operations: STEPS * chains * 4 * operations,
        };
        CHAINS.into_iter().map(one).collect()
    };
    match unit {
        Unit::F32Fma => chained(F32, 2),
        Unit::F16Fma if info.shader_f16 => chained(F16, 2),
        Unit::F16Fma => vec![],
        Unit::Dot4 => {
            let mut all = chained(DOT4, 8);
            all.push(Candidate {
                name: format!("8 sums that share an operand, workgroups of {workgroup_size}"),
                files: vec![DOT4_SHARED],
                kind: Kind::Chains,
                workgroup_size,
                operations: STEPS * 8 * 8,
            });
            all
        }
        // Follows from the two.
        Unit::Dot4AndF32Fma => vec![],
        Unit::CooperativeF32 | Unit::CooperativeF16 => {
            let listed = |tile: &Tile| info.cooperative_matrices.iter().any(|m| m == tile.name);
            let usable = context.has_cooperative_matrices() && info.subgroups;
            let tiles =
                TILES.into_iter().filter(|tile| usable && tile.unit == unit && listed(tile));
            tiles.flat_map(|tile| tile_candidates(tile, info.subgroup_max)).collect()
        }
    }
}

fn tile_candidates(tile: Tile, subgroup: u32) -> impl Iterator<Item = Candidate> {
    let Tile { name, edge, operand_f16, source, .. } = tile;
    [1, 2, 4, 8].into_iter().map(move |subgroups| Candidate {
        name: format!("{name}, {COOPERATIVE_SUMS} sums, workgroups of {}", subgroups * subgroup),
        files: vec![source, COOPERATIVE],
        kind: Kind::Tiles { edge, operand_f16 },
        workgroup_size: subgroups * subgroup,
        operations: COOPERATIVE_STEPS * COOPERATIVE_SUMS * 2 * edge.pow(3),
    })
}

/// The operands of the measurement: irregular numbers, on which the chains neither grow nor die.
fn operands(unit: Unit, kind: Kind) -> Vec<u8> {
    // Uniform bits from an LCG (Knuth's MMIX), whose high half is good enough for operands.
    let mut state = 1u64;
    let mut word = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    let unit_interval = |word: u32| (word as i32 >> 8) as f32 / (1 << 23) as f32;
    match kind {
        Kind::Chains if unit == Unit::Dot4 => {
            (0..4 * (STARTS + 3)).flat_map(|_| word().to_le_bytes()).collect()
        }
        Kind::Chains => {
            let mut numbers: Vec<f32> = (0..4 * STARTS).map(|_| unit_interval(word())).collect();
            // x → b − (1 − 2⁻⁹)·x: bounded, and of the other sign nearly every time.
            numbers.extend([-1.0 + 1.0 / 512.0, 0.3125, 0.0, 0.0]);
            bytemuck::cast_slice(&numbers).to_vec()
        }
        Kind::Tiles { edge, operand_f16 } => {
            let tile = (edge * edge) as usize;
            let left: Vec<f32> = (0..tile).map(|_| unit_interval(word())).collect();
            let other = left.iter().map(|x| -x);
            let right: Vec<f32> = (0..tile).map(|_| unit_interval(word())).collect();
            tile_bytes(left.iter().copied().chain(other).chain(right.iter().copied()), operand_f16)
        }
    }
}

fn tile_bytes(numbers: impl Iterator<Item = f32>, f16: bool) -> Vec<u8> {
    numbers
        .flat_map(|x| match f16 {
            true => half::f16::from_f32(x).to_le_bytes().to_vec(),
            false => x.to_le_bytes().to_vec(),
        })
        .collect()
}

/// A candidate ready to run at any number of workgroups up to that its results were made for.
struct Ready<'a> {
    context: &'a Context,
    candidate: &'a Candidate,
    pipeline: crate::gpu::Pipeline,
    operands: Buffer,
    results: Buffer,
    subgroups: Buffer,
}

impl<'a> Ready<'a> {
    fn new(
        context: &'a Context,
        candidate: &'a Candidate,
        operands: &[u8],
        iterations: u32,
        most_workgroups: u32,
    ) -> Result<Self, GpuError> {
        let invocations = u64::from(most_workgroups) * u64::from(candidate.workgroup_size);
        let results = invocations.min(MOST_RESULTS);
        let mut constants = vec![
            ("WORKGROUP_SIZE", f64::from(candidate.workgroup_size)),
            ("ITERATIONS", f64::from(iterations)),
        ];
        constants.extend((candidate.kind == Kind::Chains).then_some(("RESULTS", results as f64)));
        let composed = compose(&candidate.files);
        let pipeline = context.compile(&composed, "peak", &constants, false)?;
        let uploaded = context.buffer("peak operands", operands.len() as u64)?;
        context.upload(&uploaded, operands)?;
        let bytes = match candidate.kind {
            Kind::Chains => 16 * results,
            // Sums of at most four bytes; no subgroup has less than four invocations.
            Kind::Tiles { edge, .. } => {
                let subgroups = u64::from(candidate.workgroup_size).div_ceil(4);
                SLOTS * subgroups * COOPERATIVE_SUMS * edge * edge * 4
            }
        };
        let results = context.buffer("peak results", bytes)?;
        let subgroups = context.buffer("peak subgroups", 4)?;
        Ok(Self { context, candidate, pipeline, operands: uploaded, results, subgroups })
    }

    fn command(&self, workgroups: u32) -> Result<Command, GpuError> {
        let mut bindings = vec![(0, &self.operands), (1, &self.results)];
        if self.candidate.kind != Kind::Chains {
            bindings.push((2, &self.subgroups));
        }
        self.context.dispatch(&self.pipeline, &bindings, [workgroups, 1, 1])
    }

    /// Operations of a dispatch; a tile's only after one has run, which counts the subgroups.
    fn operations(&self, workgroups: u32) -> Result<f64, GpuError> {
        let each = match self.candidate.kind {
            Kind::Chains => u64::from(self.candidate.workgroup_size),
            Kind::Tiles { .. } => {
                let words = self.context.read(&self.subgroups, 0, 4)?;
                bytemuck::pod_collect_to_vec::<u8, u32>(&words)[0].into()
            }
        };
        let iterations = f64::from(ITERATIONS) * self.candidate.operations as f64;
        Ok(iterations * each as f64 * f64::from(workgroups))
    }
}

/// Time of a list by the clock that the device's rows are timed with; the host's where a pair of
/// timestamps is not credible.
fn time_ns(context: &Context, commands: &[Command], repeats: u64) -> Result<f64, GpuError> {
    let elapsed = context.run(commands, repeats)?;
    Ok(match context.timing {
        TimingMethod::Timestamps => elapsed.device_ns.unwrap_or(elapsed.host_ns),
        TimingMethod::Host => elapsed.host_ns,
    })
}

/// Times of so many runs, rising.
fn times_ns(
    context: &Context,
    commands: &[Command],
    repeats: u64,
    tries: usize,
) -> Result<Vec<f64>, GpuError> {
    let mut times = vec![];
    for _ in 0..tries {
        times.push(time_ns(context, commands, repeats)?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Billions of operations a second of a candidate, and the workgroups that it took.
fn rate(ready: &Ready) -> Result<(f64, u32), GpuError> {
    let context = ready.context;
    let most = most_workgroups(context, ready.candidate);
    let mut workgroups = 1;
    loop {
        let command = ready.command(workgroups)?;
        let ns = time_ns(context, std::slice::from_ref(&command), 1)?;
        if ns >= DISPATCH_NS || workgroups == most {
            let ns = ns.min(times_ns(context, std::slice::from_ref(&command), 1, TRIES)?[0]);
            return Ok((ready.operations(workgroups)? / ns, workgroups));
        }
        // Not all of the way at once: the first dispatches are mostly launch, and on a GPU as
        // fast as a hundred times as many.
        let factor = (1.2 * DISPATCH_NS / ns).clamp(2.0, 16.0);
        workgroups = ((f64::from(workgroups) * factor) as u32).min(most);
    }
}

fn most_workgroups(context: &Context, candidate: &Candidate) -> u32 {
    let most = MOST_INVOCATIONS / candidate.workgroup_size.max(1); // 0: a driver that tells no limit
    most.min(context.info.max_workgroups_per_dimension).max(1)
}

/// The peak of a unit; `None` where the device has no such unit, or refuses all candidates.
fn peak(
    context: &Context,
    unit: Unit,
    warnings: &mut Vec<String>,
) -> Result<Option<Peak>, GpuError> {
    let candidates = candidates(context, unit);
    let mut best: Option<(f64, Ready, u32)> = None;
    for candidate in &candidates {
        let operands = operands(unit, candidate.kind);
        let most = most_workgroups(context, candidate);
        let tried = Ready::new(context, candidate, &operands, ITERATIONS, most)
            .and_then(|ready| rate(&ready).map(|(rate, workgroups)| (rate, ready, workgroups)));
        match tried {
            Ok(found) if best.as_ref().is_none_or(|best| found.0 > best.0) => best = Some(found),
            Ok(_) => {}
            Err(lost @ (GpuError::Lost { .. } | GpuError::Timeout { .. })) => return Err(lost),
            Err(error) => warnings.push(format!("{}, {}: {error}", unit.name(), candidate.name)),
        }
    }
    let Some((rate, ready, workgroups)) = best else { return Ok(None) };
    // Once more: it may have been disturbed each time so far.
    let times = times_ns(context, &[ready.command(workgroups)?], 1, FINAL_TRIES)?;
    let operations = ready.operations(workgroups)?;
    let peak = Peak {
        gops: rate.max(operations / times[0]),
        median_gops: operations / times[FINAL_TRIES / 2],
        kernel: ready.candidate.name.clone(),
        candidates: candidates.len(),
    };
    warnings.extend(peak.disturbed().map(|why| format!("{}: {why}", unit.name())));
    Ok(Some(peak))
}

/// Buffers to move, in pairs: what is read and where it is copied to.
struct Memory<'a> {
    context: &'a Context,
    composed: Composed,
    pairs: Vec<(Buffer, Buffer)>,
    results: Buffer,
    bytes: u64,
}

/// How a kernel goes through a buffer.
#[derive(Clone, Copy)]
struct Walk {
    workgroup_size: u32,
    elements: u32,
    /// Neighbouring invocations read neighbouring elements.
    interleaved: bool,
}

const WALKS: [Walk; 3] = [
    Walk { workgroup_size: 256, elements: 16, interleaved: true },
    Walk { workgroup_size: 256, elements: 64, interleaved: true },
    Walk { workgroup_size: 64, elements: 64, interleaved: false },
];

/// What every walk covers a whole number of times: 64 elements of 16 bytes, 256 invocations.
const GRAIN: u64 = 64 * 16 * 256;

impl<'a> Memory<'a> {
    /// Buffers of `bytes` in all on each side, fewer where the device has no room for them.
    fn new(context: &'a Context, bytes: u64) -> Result<Option<Self>, GpuError> {
        let info = &context.info;
        let one = info.max_binding_bytes.min(info.max_buffer_bytes).min(256 << 20) / GRAIN * GRAIN;
        let mut bytes = bytes;
        while bytes >= LEAST_BYTES && one > 0 {
            match Self::allocate(context, one, bytes) {
                Ok(memory) => return Ok(Some(memory)),
                Err(GpuError::OutOfMemory { .. }) => bytes /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn allocate(context: &'a Context, one: u64, bytes: u64) -> Result<Self, GpuError> {
        let count = bytes.div_ceil(one);
        let each = (bytes / count).next_multiple_of(GRAIN);
        let pair = |_| Ok((context.buffer("read", each)?, context.buffer("copied", each)?));
        let pairs = (0..count).map(pair).collect::<Result<Vec<_>, GpuError>>()?;
        let results = context.buffer("results of reading", each / 16)?;
        let composed = compose(&[MEMORY]);
        let memory = Self { context, composed, pairs, results, bytes: count * each };
        context.run(&memory.commands("filling", WALKS[0])?, 1)?;
        Ok(memory)
    }

    /// A dispatch a pair. What is filled is what is read later.
    fn commands(&self, entry: &str, walk: Walk) -> Result<Vec<Command>, GpuError> {
        let Walk { workgroup_size, elements, interleaved } = walk;
        let invocations = self.pairs[0].0.bytes() / 16 / u64::from(elements);
        let steps = if interleaved { (1, invocations) } else { (u64::from(elements), 1) };
        let constants = [
            ("WORKGROUP_SIZE", f64::from(workgroup_size)),
            ("ELEMENTS", f64::from(elements)),
            ("FIRST", steps.0 as f64),
            ("NEXT", steps.1 as f64),
        ];
        let pipeline = self.context.compile(&self.composed, entry, &constants, false)?;
        let workgroups = [(invocations / u64::from(workgroup_size)) as u32, 1, 1];
        let dispatch = |(source, target): &(Buffer, Buffer)| {
            let bindings: &[(u32, &Buffer)] = match entry {
                "filling" => &[(1, source)],
                "reading" => &[(0, source), (2, &self.results)],
                _ => &[(0, source), (1, target)],
            };
            self.context.dispatch(&pipeline, bindings, workgroups)
        };
        self.pairs.iter().map(dispatch).collect()
    }

    /// The fastest walk of an entry point, or what else moves `pass_bytes` a pass.
    fn bandwidth(&self, entry: &str, pass_bytes: u64) -> Result<Bandwidth, GpuError> {
        let mut lists = vec![];
        for walk in WALKS {
            let Walk { workgroup_size, elements, interleaved } = walk;
            let order = if interleaved { "interleaved" } else { "in runs" };
            let name = format!("{elements} elements {order}, workgroups of {workgroup_size}");
            lists.push((name, self.commands(entry, walk)?));
        }
        if entry == "copying" {
            let copy = |(source, target): &(Buffer, Buffer)| {
                self.context.copy(source, 0, target, 0, source.bytes())
            };
            lists.push(("buffer copy".to_owned(), self.pairs.iter().map(copy).collect()));
        }
        let mut best =
            Bandwidth { gbs: 0.0, pass_bytes, kernel: String::new(), candidates: lists.len() };
        for (name, list) in lists {
            let once = time_ns(self.context, &list, 1)?;
            let repeats = (8e6 / once).ceil().clamp(1.0, 256.0) as u64;
            let ns = times_ns(self.context, &list, repeats, PASSES)?[0] / repeats as f64;
            let gbs = pass_bytes as f64 / ns;
            if gbs > best.gbs {
                (best.gbs, best.kernel) = (gbs, name);
            }
        }
        Ok(best)
    }
}

/// Latency of a dispatch among many, and the round trip of one alone, both in ns.
fn latency(context: &Context) -> Result<(f64, f64), GpuError> {
    let pipeline = context.compile(&compose(&[NOTHING]), "nothing", &[], false)?;
    let flag = context.buffer("flag", 4)?;
    let command = [context.dispatch(&pipeline, &[(0, &flag)], [1, 1, 1])?];
    context.run(&command, DISPATCHES)?; // learns how long submissions may be
    let (mut one, mut many, mut round_trip) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..PASSES {
        many = many.min(time_ns(context, &command, DISPATCHES)?);
        one = one.min(time_ns(context, &command, 1)?);
        round_trip = round_trip.min(context.run(&command, 1)?.host_ns);
    }
    Ok(((many - one).max(0.0) / (DISPATCHES - 1) as f64, round_trip))
}

/// Measures a device. `cache_bytes` is the size of the last-level cache that a software adapter
/// works in. What one roof alone could not be measured by is a warning.
pub(super) fn measure(
    context: &Context,
    cache_bytes: u64,
) -> Result<(Roofline, Vec<String>), GpuError> {
    let started = Instant::now();
    let mut warnings = vec![];
    let (dispatch_latency_ns, round_trip) = latency(context)?;
    let mut of = |unit| peak(context, unit, &mut warnings);
    let peaks = [of(Unit::F32Fma)?, of(Unit::F16Fma)?, of(Unit::Dot4)?];
    let matrices = [of(Unit::CooperativeF32)?, of(Unit::CooperativeF16)?];
    let software = context.info.device_type == "cpu";
    let bytes =
        if software { cache_bytes.saturating_mul(4).clamp(128 << 20, 1 << 30) } else { GPU_BYTES };
    let (mut read, mut copy) = (None, None);
    match Memory::new(context, bytes)? {
        Some(memory) => {
            let copied = memory.bandwidth("copying", 2 * memory.bytes)?;
            let reading = memory.bandwidth("reading", memory.bytes)?;
            read = Some(reading.at_least_that_of(&copied));
            copy = Some(copied);
        }
        None => warnings.push("bandwidth: no memory for buffers over the cache".to_owned()),
    }
    context.reset_peak();
    let [f32_fma, f16_fma, dot4] = peaks;
    let [cooperative_f32, cooperative_f16] = matrices;
    let roofline = Roofline {
        utc: utc_now(),
        measuring_s: started.elapsed().as_secs_f64(),
        timing_method: context.timing.name().to_owned(),
        f32_fma,
        f16_fma,
        dot4,
        cooperative_f32,
        cooperative_f16,
        read,
        copy,
        dispatch_latency_ns,
        submission_round_trip_ns: Some(round_trip),
    };
    Ok((roofline, warnings))
}

#[cfg(test)]
mod tests;
