//! Running command lists in submissions of bounded length, and what they took.

use super::context::{Caught, Command, Context};
use super::error::GpuError;
use super::kernel::{Source, compose};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::PoisonError;
use std::time::Instant;

pub(super) const PROBE: Source = crate::wgsl!("probe/timing.wgsl");

/// Work that one submission should hold: well below the watchdogs of drivers (2 s on Windows).
const SUBMISSION_NS: f64 = 250e6;

/// Commands of one submission at most, which bounds the memory that recording takes.
const SUBMISSION_COMMANDS: u64 = 16_384;

/// Commands of the first submission of a list whose duration is not known yet.
const FIRST_COMMANDS: u64 = 8;

/// Twice the dispatches take so many times as long where a clock can be believed.
const DOUBLE: std::ops::RangeInclusive<f64> = 1.6..=2.4;

/// The clock behind a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimingMethod {
    /// Timestamps that the device writes at the ends of its compute passes.
    Timestamps,
    /// The host's clock around submitting and waiting.
    Host,
}

impl TimingMethod {
    /// The word used in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamp",
            Self::Host => "host",
        }
    }
}

/// What a run took, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elapsed {
    /// Around submitting and waiting, summed over the submissions; recording is not in it.
    pub host_ns: f64,
    /// From the begin of the first to the end of the last compute pass of a submission, summed.
    /// `None` where the device is timed by the host or one pair of timestamps was not credible.
    pub device_ns: Option<f64>,
}

/// Two timestamps and the way to read them.
#[derive(Debug)]
pub(super) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    period_ns: f64,
}

impl Timer {
    fn new(context: &Context) -> Result<Self, GpuError> {
        use wgpu::BufferUsages as Usage;
        let device = context.device();
        let (queries, resolved) = context
            .scoped(|| {
                let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timestamps"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                });
                let resolved = device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("timestamps"),
                    size: 16,
                    usage: Usage::QUERY_RESOLVE | Usage::COPY_SRC,
                    mapped_at_creation: false,
                });
                (queries, resolved)
            })
            .map_err(|caught| caught.during("timestamps"))?;
        let period_ns = context.queue().get_timestamp_period().into();
        Ok(Self { queries, resolved, staging: context.staging(16)?, period_ns })
    }

    /// What a pass writes: the begin if it is the first, the end if it is the last.
    fn writes(&self, first: bool, last: bool) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (first || last).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: last.then_some(1),
        })
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 16);
    }

    fn read(&self, context: &Context, host_ns: f64) -> Result<Option<f64>, GpuError> {
        let mut bytes = Vec::with_capacity(16);
        context.map(&self.staging, 16, &mut bytes)?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(credible_ns(ticks[0], ticks[1], self.period_ns, host_ns))
    }
}

/// The duration between two timestamps, if it can be true: both written, in order, and not longer
/// than the host waited. Drivers have returned each of the contrary (wgpu #5660).
fn credible_ns(begin: u64, end: u64, period_ns: f64, host_ns: f64) -> Option<f64> {
    let ns = end.checked_sub(begin)? as f64 * period_ns;
    (begin != 0 && ns > 0.0 && ns <= host_ns).then_some(ns)
}

/// What commands of each list took in an earlier submission.
#[derive(Debug, Default)]
pub(super) struct Pace(HashMap<u64, Learnt>);

#[derive(Clone, Copy, Debug)]
struct Learnt {
    commands: u64,
    ns_per_command: f64,
}

impl Learnt {
    /// The rate of a much shorter submission is mostly overhead, so it replaces that of a longer
    /// one only where it shows that submissions have become too long.
    fn update(known: Option<Self>, commands: u64, host_ns: f64) -> Self {
        let new = Self { commands, ns_per_command: host_ns / commands as f64 };
        match known {
            Some(old) if commands * 2 < old.commands && host_ns < 2.0 * SUBMISSION_NS => old,
            _ => new,
        }
    }

    /// How many of the `remaining` commands the next submission takes: whole lists where one fits.
    fn next(known: Option<Self>, list: u64, remaining: u64) -> u64 {
        let fitting = match known {
            None => list.min(FIRST_COMMANDS),
            Some(learnt) => (SUBMISSION_NS / learnt.ns_per_command) as u64,
        };
        let fitting = fitting.clamp(1, SUBMISSION_COMMANDS);
        let whole = fitting - fitting % list;
        (if whole > 0 { whole } else { fitting }).min(remaining)
    }
}

impl Context {
    /// Runs the list `repeats` times in order, each command seeing what those before it wrote, and
    /// waits for the device. The work is split into submissions of about 250 ms, between commands
    /// where one list takes longer; how long they take is learnt from earlier runs of the list.
    ///
    /// # Errors
    /// [`GpuError::Invalid`] where a command is invalid, [`GpuError::Lost`] where the device is,
    /// [`GpuError::Timeout`] where it never answers.
    pub fn run(&self, commands: &[Command], repeats: u64) -> Result<Elapsed, GpuError> {
        let list = commands.len() as u64;
        let total = list.saturating_mul(repeats);
        let key = key(commands);
        let mut known = self.lock_pace().0.get(&key).copied();
        let mut elapsed = Elapsed { host_ns: 0.0, device_ns: Some(0.0) };
        let mut done = 0;
        while done < total {
            let count = Learnt::next(known, list, total - done);
            let skip = (done % list) as usize;
            let part: Vec<&Command> =
                commands.iter().cycle().skip(skip).take(count as usize).collect();
            let took = self.submit(&part)?;
            elapsed.host_ns += took.host_ns;
            elapsed.device_ns = elapsed.device_ns.zip(took.device_ns).map(|(a, b)| a + b);
            known = Some(Learnt::update(known, count, took.host_ns));
            done += count;
        }
        if let Some(learnt) = known {
            self.lock_pace().0.insert(key, learnt);
        }
        elapsed.device_ns = elapsed.device_ns.filter(|&ns| ns > 0.0);
        Ok(elapsed)
    }

    fn lock_pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One submission: consecutive dispatches share a pass, in which wgpu orders them.
    fn submit(&self, commands: &[&Command]) -> Result<Elapsed, GpuError> {
        let refused = |caught: Caught| caught.during("submission");
        let passes = passes(commands).filter(|pass| pass[0].is_dispatch()).count();
        let timer = self.timer.as_ref().filter(|_| passes > 0);
        let buffer = self.scoped(|| self.record(commands, passes, timer)).map_err(refused)?;
        let started = Instant::now();
        self.scoped(|| self.queue().submit([buffer])).map_err(refused)?;
        self.wait()?;
        let host_ns = started.elapsed().as_nanos() as f64;
        let device_ns = match timer {
            Some(timer) => timer.read(self, host_ns)?,
            // A part of a list that is transfers alone has no pass to write timestamps.
            None => self.timer.is_some().then_some(0.0),
        };
        Ok(Elapsed { host_ns, device_ns })
    }

    fn record(
        &self,
        commands: &[&Command],
        count: usize,
        timer: Option<&Timer>,
    ) -> wgpu::CommandBuffer {
        let mut encoder = self.device().create_command_encoder(&Default::default());
        let mut index = 0;
        for pass in passes(commands) {
            if pass[0].is_dispatch() {
                let (first, last) = (index == 0, index + 1 == count);
                let mut recorder = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: timer.and_then(|timer| timer.writes(first, last)),
                });
                pass.iter().for_each(|command| command.step.dispatch(&mut recorder));
                index += 1;
            } else {
                pass.iter().for_each(|command| command.step.transfer(&mut encoder));
            }
        }
        if let Some(timer) = timer {
            timer.resolve(&mut encoder);
        }
        encoder.finish()
    }

    /// Sets `timing`: timestamps, if the device has them and twice the work takes twice as long by
    /// them in two of three tries; the host's clock otherwise.
    pub(super) fn probe_timing(&mut self) -> Result<(), GpuError> {
        if !self.info.timestamp_query {
            return Ok(());
        }
        self.timer = Some(Timer::new(self)?);
        if self.timestamps_scale()? {
            self.timing = TimingMethod::Timestamps;
        } else {
            self.timer = None;
        }
        Ok(())
    }

    fn timestamps_scale(&self) -> Result<bool, GpuError> {
        let work = self.timing_probe()?;
        let repeats = self.repeats_lasting(2e6, &work)?;
        let mut credible = 0;
        for _ in 0..3 {
            let ratio = self.ratio_of_double(&work, repeats)?;
            credible += usize::from(ratio.is_some_and(|ratio| DOUBLE.contains(&ratio)));
        }
        Ok(credible >= 2)
    }

    /// Repeats, a power of two, that take at least `ns` even when nothing disturbs them: long
    /// enough that launching is small beside the work, short enough to go undisturbed.
    pub(super) fn repeats_lasting(&self, ns: f64, work: &[Command]) -> Result<u64, GpuError> {
        let mut repeats = 1;
        loop {
            let mut shortest = f64::INFINITY;
            for _ in 0..3 {
                shortest = shortest.min(self.run(work, repeats)?.host_ns);
            }
            if shortest >= ns || repeats >= SUBMISSION_COMMANDS {
                return Ok(repeats);
            }
            repeats *= 2;
        }
    }

    /// How many times as long twice the repeats take by timestamps. Of a few interleaved runs the
    /// shortest count, since on a software adapter other programs run in between. `None` where a
    /// pair of timestamps was not credible.
    fn ratio_of_double(&self, work: &[Command], repeats: u64) -> Result<Option<f64>, GpuError> {
        let (mut once, mut twice) = (Some(f64::INFINITY), Some(f64::INFINITY));
        for _ in 0..5 {
            let shorter = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.min(b));
            once = shorter(once, self.run(work, repeats)?.device_ns);
            twice = shorter(twice, self.run(work, 2 * repeats)?.device_ns);
        }
        Ok(once.zip(twice).map(|(once, twice)| twice / once))
    }

    /// A list of one dispatch that computes, and hardly touches memory.
    fn timing_probe(&self) -> Result<[Command; 1], GpuError> {
        const WORKGROUPS: u32 = 64;
        const WORKGROUP_SIZE: u32 = 64;
        let state = self.buffer("timing probe", 4 * u64::from(WORKGROUPS * WORKGROUP_SIZE))?;
        let pipeline = self.compile(&compose(&[PROBE]), "timing", &[], false)?;
        Ok([self.dispatch(&pipeline, &[(0, &state)], [WORKGROUPS, 1, 1])?])
    }
}

/// Maximal runs of dispatches, and of the rest.
fn passes<'a, 'b>(commands: &'b [&'a Command]) -> impl Iterator<Item = &'b [&'a Command]> {
    commands.chunk_by(|a, b| a.is_dispatch() == b.is_dispatch())
}

/// Identifies a list by its commands, so that what was learnt is found again.
fn key(commands: &[Command]) -> u64 {
    let mut hasher = DefaultHasher::new();
    commands.iter().for_each(|command| command.id.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::tests::on_each_device;

    /// A list that is known to be slow goes out a command at a time, its transfers too.
    #[test]
    fn transfers_alone_in_a_submission_keep_the_timestamps() {
        on_each_device(|context| {
            let [work] = context.timing_probe().unwrap();
            let buffer = context.buffer("cleared", 64).unwrap();
            let list = [context.clear(&buffer), work];
            let slow = Learnt { commands: 1, ns_per_command: SUBMISSION_NS };
            context.lock_pace().0.insert(key(&list), slow);
            let elapsed = context.run(&list, 1).unwrap();
            assert_eq!(elapsed.device_ns.is_some(), context.timing == TimingMethod::Timestamps);
        });
    }

    #[test]
    fn only_credible_pairs_of_timestamps_count() {
        assert_eq!(credible_ns(100, 300, 0.5, 100.0), Some(100.0));
        assert_eq!(credible_ns(100, 300, 0.5, 99.0), None, "longer than the host waited");
        assert_eq!(credible_ns(0, 300, 1.0, 1e9), None, "begin not written");
        assert_eq!(credible_ns(300, 0, 1.0, 1e9), None, "end not written");
        assert_eq!(credible_ns(300, 200, 1.0, 1e9), None, "out of order");
        assert_eq!(credible_ns(300, 300, 1.0, 1e9), None, "no time at all");
    }

    #[test]
    fn submissions_hold_whole_lists_of_about_250_ms() {
        let at = |ns_per_command| Some(Learnt { commands: 1, ns_per_command });
        assert_eq!(Learnt::next(None, 3, 100), 3, "an unknown short list goes alone");
        assert_eq!(Learnt::next(None, 1000, 5000), FIRST_COMMANDS);
        assert_eq!(Learnt::next(at(1e6), 100, 5000), 200, "two lists of 100 ms");
        assert_eq!(Learnt::next(at(1e6), 1000, 5000), 250, "part of a list of 1 s");
        assert_eq!(Learnt::next(at(1e10), 10, 50), 1, "commands cannot be split");
        assert_eq!(Learnt::next(at(1.0), 7, u64::MAX), 16_380, "whole lists under the cap");
        assert_eq!(Learnt::next(at(0.0), 7, 5), 5, "no more than remain");
    }

    #[test]
    fn a_short_remainder_does_not_displace_what_was_learnt() {
        let old = Learnt { commands: 100, ns_per_command: 1e6 };
        assert_eq!(Learnt::update(Some(old), 1, 5e6).ns_per_command, 1e6);
        assert_eq!(Learnt::update(Some(old), 80, 8e6).ns_per_command, 1e5);
        assert_eq!(Learnt::update(Some(old), 1, 1e9).ns_per_command, 1e9, "far too long");
        assert_eq!(Learnt::update(None, 4, 8.0).ns_per_command, 2.0);
    }
}
