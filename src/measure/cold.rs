//! Cold caches: iterations go through copies of a case's buffers that together are at least twice
//! the last-level cache, so that no iteration finds what an earlier one left there.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::case::Case;
use super::last_level_cache;
use super::limits::available_host_bytes;
use super::session::{Clocked, Commands, Runner, Unmeasured};
use crate::gpu::{Command, Context, DeviceInfo, GpuError, buffer_bytes};
use crate::record::{Stage, Status};

/// The copies together are so many times the last-level cache.
const TIMES_THE_CACHE: u64 = 2;

/// A case that would need more copies is too small to be measured cold.
const MOST_COPIES: u64 = 4096;

/// What the last-level cache is taken to be on a GPU, whose driver does not tell: an integrated one
/// shares the processor's and may have one of its own; a discrete one has up to 128 MiB (RTX 5090),
/// but for AMD's MI300X with 256 MiB, of which twice this is the whole. Unit: bytes.
const INTEGRATED_CACHE_BYTES: u64 = 64 << 20;
const DISCRETE_CACHE_BYTES: u64 = 128 << 20;

/// Last-level cache of a device. Unit: bytes.
pub(super) fn last_level_cache_bytes(info: &DeviceInfo, root: &Path) -> u64 {
    let host = || last_level_cache::host_bytes(root);
    match info.device_type.as_str() {
        "cpu" => host(),
        _ if info.backend == "cpu" => host(),
        "integrated" => host().max(INTEGRATED_CACHE_BYTES),
        _ => DISCRETE_CACHE_BYTES,
    }
}

/// Has `runner` go through copies of its buffers. Returns the size of all of them, in bytes.
pub(super) fn rotate(
    runner: &mut Box<dyn Runner>,
    case: &Case,
    info: &DeviceInfo,
) -> Result<u64, Unmeasured> {
    let cache = last_level_cache_bytes(info, Path::new("/"));
    if let Some(commands) = runner.commands() {
        let bytes = buffer_bytes(&commands.main).max(1);
        let count = copies(case, bytes, cache)?;
        let all = [&commands.conversion[..], &commands.main].concat();
        if info.device_type == "cpu" {
            check_host_memory(case, count, buffer_bytes(&all))?;
        }
        let lists = duplicates(&commands, &all, case, count)?;
        take(runner, |inner| Box::new(DeviceRotation::new(inner, commands, lists)));
        return Ok(count * bytes);
    }
    let Some((first, bytes)) = runner.copy() else {
        return Err(Unmeasured::new(Status::Failed, format!("{case} cannot be copied")));
    };
    let count = copies(case, bytes.max(1), cache)?;
    check_host_memory(case, count, bytes)?;
    let rest = (2..count).map_while(|_| runner.copy()).map(|(copy, _)| copy);
    let copies: Vec<_> = std::iter::once(first).chain(rest).collect();
    take(runner, |inner| Box::new(HostRotation::new(inner, copies)));
    Ok(count * bytes)
}

/// Puts a runner around a runner.
fn take(runner: &mut Box<dyn Runner>, wrap: impl FnOnce(Box<dyn Runner>) -> Box<dyn Runner>) {
    let inner = std::mem::replace(runner, Box::new(Nothing));
    *runner = wrap(inner);
}

/// How many copies of so many bytes outgrow the cache: at least two.
fn copies(case: &Case, bytes: u64, cache: u64) -> Result<u64, Unmeasured> {
    let count = (TIMES_THE_CACHE * cache).div_ceil(bytes).max(2);
    if count <= MOST_COPIES {
        return Ok(count);
    }
    let reason = format!(
        "{case} is too small for a cold cache: {count} copies of its {bytes} bytes would be needed \
         to outgrow {cache} bytes of cache, over the {MOST_COPIES} that are made; choose a larger \
         shape, or --cache warm"
    );
    Err(Unmeasured::new(Status::Skipped, reason))
}

fn check_host_memory(case: &Case, count: u64, bytes: u64) -> Result<(), Unmeasured> {
    let (needed, available) = (count.saturating_mul(bytes), available_host_bytes());
    if needed <= available {
        return Ok(());
    }
    let reason = format!(
        "{case} needs {needed} bytes of host memory for the {count} copies of a cold cache, over \
         the {available} available; choose --cache warm"
    );
    Err(Unmeasured { lacks_memory: true, ..Unmeasured::new(Status::Skipped, reason) })
}

/// The copies of a case's commands, its own not among them.
fn duplicates(
    commands: &Commands,
    all: &[Command],
    case: &Case,
    count: u64,
) -> Result<Vec<Vec<Command>>, Unmeasured> {
    let copy = |_| {
        commands.context.duplicate(all).map_err(|error| match error {
            GpuError::OutOfMemory { .. } => {
                let reason = format!(
                    "{case} needs {count} copies of {} bytes for a cold cache, and the device's \
                     memory is full before; choose --cache warm",
                    buffer_bytes(all)
                );
                Unmeasured { lacks_memory: true, ..Unmeasured::new(Status::Skipped, reason) }
            }
            error => error.into(),
        })
    };
    (1..count).map(copy).collect()
}

/// In the place of a runner for the moment in which it is wrapped.
struct Nothing;

impl Runner for Nothing {
    fn main_stage(&self) -> Stage {
        Stage::Run
    }

    fn side_stages(&self) -> &'static [Stage] {
        &[]
    }

    fn run(&mut self, _: Stage, _: u64) -> Result<Clocked, Unmeasured> {
        Err(Unmeasured::new(Status::Failed, "there is nothing to run"))
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        Ok(false)
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        None
    }
}

/// A device's commands and their copies, in turn.
struct DeviceRotation {
    inner: Box<dyn Runner>,
    context: Rc<Context>,
    /// Conversion and main stage, once a copy; the original's come first.
    lists: Vec<Vec<Command>>,
    /// Commands of the conversion, at the head of each.
    conversion: usize,
    /// The copy that has waited longest.
    next: usize,
}

impl DeviceRotation {
    fn new(inner: Box<dyn Runner>, commands: Commands, copies: Vec<Vec<Command>>) -> Self {
        let Commands { context, conversion, main } = commands;
        let own = [&conversion[..], &main].concat();
        let lists = std::iter::once(own).chain(copies).collect();
        Self { inner, context, lists, conversion: conversion.len(), next: 0 }
    }

    /// A stage on `count` copies, beginning with the one that has waited longest.
    fn turn(&self, stage: Stage, count: usize) -> Vec<Command> {
        let lists = self.lists.iter().cycle().skip(self.next).take(count);
        let part = |list: &'_ Vec<Command>| match stage {
            Stage::Conversion => list[..self.conversion].to_vec(),
            Stage::Total => list.clone(),
            _ => list[self.conversion..].to_vec(),
        };
        lists.flat_map(part).collect()
    }
}

impl Runner for DeviceRotation {
    fn main_stage(&self) -> Stage {
        self.inner.main_stage()
    }

    fn side_stages(&self) -> &'static [Stage] {
        self.inner.side_stages()
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let count = self.lists.len();
        let (turns, rest) = (iterations / count as u64, (iterations % count as u64) as usize);
        let mut sum = Clocked { host_ns: 0.0, device_ns: Some(0.0) };
        let mut run = |commands: &[Command], times| -> Result<(), Unmeasured> {
            let elapsed = self.context.run(commands, times)?;
            sum.host_ns += elapsed.host_ns;
            sum.device_ns = sum.device_ns.zip(elapsed.device_ns).map(|(sum, ns)| sum + ns);
            Ok(())
        };
        if turns > 0 {
            run(&self.turn(stage, count), turns)?;
        }
        if rest > 0 {
            run(&self.turn(stage, rest), 1)?;
        }
        self.next = (self.next + rest) % count;
        Ok(sum)
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        self.inner.unchanged()
    }

    fn commands(&self) -> Option<Commands> {
        self.inner.commands()
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        None
    }
}

/// A runner of the CPU and its copies, in turn.
struct HostRotation {
    /// The original comes first.
    runners: Vec<Box<dyn Runner>>,
    next: usize,
}

impl HostRotation {
    fn new(inner: Box<dyn Runner>, copies: Vec<Box<dyn Runner>>) -> Self {
        Self { runners: std::iter::once(inner).chain(copies).collect(), next: 0 }
    }
}

impl Runner for HostRotation {
    fn main_stage(&self) -> Stage {
        self.runners[0].main_stage()
    }

    fn side_stages(&self) -> &'static [Stage] {
        self.runners[0].side_stages()
    }

    fn run(&mut self, stage: Stage, iterations: u64) -> Result<Clocked, Unmeasured> {
        let started = Instant::now();
        for _ in 0..iterations {
            self.runners[self.next].run(stage, 1)?;
            self.next = (self.next + 1) % self.runners.len();
        }
        Ok(Clocked { host_ns: started.elapsed().as_nanos() as f64, device_ns: None })
    }

    fn unchanged(&mut self) -> Result<bool, Unmeasured> {
        self.runners[0].unchanged()
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn copy(&self) -> Option<(Box<dyn Runner>, u64)> {
        self.runners[0].copy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::measure::{Caches, Selection, Session};
    use crate::record::Provenance;

    /// On every device: the copies outgrow the cache, their times are counted, and the result stays
    /// the one that was verified; a case that is too small is skipped, with its reason.
    #[test]
    fn cold_cases_go_through_their_copies() {
        let devices = discover(None).unwrap();
        let variables = [
            ("TRADEOFF_SIZES", "8,512"),
            ("TRADEOFF_PRECISIONS", "fp32,fp16,int8,D32fM32f,D8M8"),
            ("TRADEOFF_KERNELS", "register_tiled"),
            ("TRADEOFF_DATA_SETS", "figure2-2048x256"),
            ("TRADEOFF_STEPS", "3"),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let selection = Selection::from_variables(variables.into()).unwrap();
        let mut session = Session::new(devices, selection, &Provenance::collect());
        session.cache = Caches::Cold;
        for case in session.plan() {
            let position = session.devices().iter().position(|d| d.info.slug == case.device_slug);
            let info = session.devices()[position.unwrap()].info.clone();
            let cache = last_level_cache_bytes(&info, Path::new("/"));
            match session.prepare(&case) {
                Ok(mut ready) => {
                    let bytes = ready.record().rotated_bytes.unwrap();
                    assert!(bytes >= 2 * cache, "{case}: {bytes}");
                    let samples = [1, 3, 2].map(|n| (n, ready.run(n).unwrap()));
                    let measured = ready.finish(&samples);
                    let row = measured.record;
                    assert_eq!(
                        (row.status, row.cache.as_str()),
                        (Status::Ok, "cold"),
                        "{case}: {}",
                        row.reason
                    );
                    let peak = row.peak_device_memory_bytes;
                    assert!(peak.is_none_or(|peak| peak >= bytes), "{case}: {peak:?}");
                }
                Err(measured) => {
                    let row = measured.record;
                    assert_eq!(row.status, Status::Skipped, "{case}: {}", row.reason);
                    assert!(row.reason.contains("too small for a cold cache"), "{}", row.reason);
                    assert!(case.shape().starts_with("8x"), "{case}");
                }
            }
        }
    }
}
