//! Cases of one problem, sampled in turn: round by round, each round in an order of its own, so that
//! what drifts while they are measured (clocks, heat, other work) is in all of their times alike and
//! cancels in their ratios.

use std::time::{Duration, Instant};

use super::case::Case;
use super::drawing::{Caches, Drawing, Interleaving};
use super::limits::available_host_bytes;
use super::plan::{Ending, Observer, RunOptions, keep_fingerprints};
use super::sampler::{Drawn, Sampling, StopReason};
use super::session::{Measured, Prepared, Session, Unmeasured};
use super::telemetry::{Instruments, Reading, energy_of_iteration};
use crate::gpu::DeviceInfo;
use crate::number::philox::philox4x32;
use crate::record::{RecordError, RunFolder};

/// Device memory that the cases of a group may take together where the free memory is not known.
/// Unit: bytes.
const UNKNOWN_DEVICE_BYTES: u64 = 2 << 30;

/// In a round, a warm case runs once before its sample, untimed, since others have used the caches
/// meanwhile; but not if that takes longer, when filling the caches is a small part of it.
const LONGEST_REWARMING_NS: f64 = 250e6;

/// Counter of the random order of rounds, which shares no stream with what is computed.
const ORDER: u32 = 0x726f_756e;

/// A verified case that is sampled.
struct Live {
    case: Case,
    prepared: Prepared,
    sampling: Option<Sampling>,
    /// The device before the first sample.
    before: Reading,
    /// The device right after the last, once that is drawn.
    after: Option<Reading>,
}

/// What a group is measured with.
pub(super) struct Bench<'a> {
    pub session: &'a mut Session,
    pub folder: &'a mut RunFolder,
    pub options: &'a RunOptions,
    pub instruments: &'a mut Instruments,
    pub observer: &'a mut dyn Observer,
}

/// How far a group came.
pub(super) struct Taken {
    /// Cases from the start that are dealt with.
    pub cases: usize,
    pub ending: Ending,
}

impl Bench<'_> {
    /// Measures the first of `cases`, as many as fit into memory together. `place` tells this group
    /// from the others.
    pub(super) fn run(&mut self, cases: &[Case], place: u32) -> Result<Taken, RecordError> {
        let mut live = vec![];
        let (taken, ending) = self.prepare(cases, &mut live)?;
        let stopped = Taken { cases: taken, ending: Ending::Stopped };
        if ending == Ending::Stopped {
            return Ok(stopped);
        }
        let Some(live) = self.warm_up(live)? else { return Ok(stopped) };
        // A group of one, too: what was sampled alone must not pass for part of an earlier group.
        if self.options.interleaving == Interleaving::Rounds {
            self.announce(&live)?;
        }
        let ending = self.rounds(live, place)?;
        Ok(Taken { cases: taken, ending })
    }

    /// Prepares cases until one does not fit beside the others.
    fn prepare(
        &mut self,
        cases: &[Case],
        live: &mut Vec<Live>,
    ) -> Result<(usize, Ending), RecordError> {
        // What a case took of the host's memory: the first, with the problem that the others share,
        // and the largest of the others.
        let (mut first, mut largest) = (0, 0);
        for (index, case) in cases.iter().enumerate() {
            if self.observer.stopped() {
                return Ok((index, Ending::Stopped));
            }
            let free = available_host_bytes();
            let expected = if largest > 0 { largest } else { first };
            let full = (!live.is_empty() && free < expected)
                .then(|| format!("the host has room for {free} bytes, and a case took {expected}"));
            if let Some(why) = full.or_else(|| self.full(live, case)) {
                self.split(index, cases.len(), &why);
                return Ok((index, Ending::Complete));
            }
            self.observer.started(case);
            match self.session.prepare_or_say(case, &|_| {}) {
                Ok(prepared) => live.push(Live {
                    case: case.clone(),
                    prepared,
                    sampling: None,
                    before: Reading::default(),
                    after: None,
                }),
                Err((measured, true)) if !live.is_empty() => {
                    self.split(index, cases.len(), &measured.record.reason);
                    return Ok((index, Ending::Complete));
                }
                Err((measured, _)) => self.keep(&measured)?,
            }
            let took = free.saturating_sub(available_host_bytes());
            if index == 0 {
                first = took;
            } else {
                largest = largest.max(took);
            }
        }
        Ok((cases.len(), Ending::Complete))
    }

    fn split(&mut self, taken: usize, of: usize, why: &str) {
        self.observer.told(&format!(
            "of {of} cases of one problem, {taken} are interleaved and the rest after them: {why}"
        ));
    }

    /// Why the device of `case` has no room for it beside the others, by what they took.
    fn full(&mut self, live: &[Live], case: &Case) -> Option<String> {
        let info = info(self.session, case)?;
        if matches!(info.device_type.as_str(), "cpu" | "integrated") || info.backend == "cpu" {
            // Its memory is the host's.
            return None;
        }
        let peak = |live: &Live| live.prepared.record().peak_device_memory_bytes.unwrap_or(0);
        let own = || live.iter().filter(|live| live.case.device_slug == case.device_slug);
        let (taken, largest) = (own().map(peak).sum::<u64>(), own().map(peak).max()?);
        let room = match self.instruments.of(&info).free_bytes() {
            Some(free) => free / 4 * 3,
            None => UNKNOWN_DEVICE_BYTES.saturating_sub(taken),
        };
        (largest > room).then(|| {
            format!("{} has room for {room} bytes beside the {taken} taken", case.device_slug)
        })
    }

    /// Warm-up of each, and its side stages; `None` if stopped.
    fn warm_up(&mut self, live: Vec<Live>) -> Result<Option<Vec<Live>>, RecordError> {
        let mut warm = Vec::with_capacity(live.len());
        for mut one in live {
            let Self { observer, options, .. } = self;
            let Live { prepared, .. } = &mut one;
            let mut run = |iterations| prepared.run(iterations);
            let sampling =
                Sampling::warm_up(&mut run, &options.sampler, &mut || observer.stopped());
            // The warm-up of the main stage warms the device up for the others.
            let sampling = sampling.and_then(|sampling| {
                if sampling.is_some() {
                    prepared.time_side_stages()?;
                }
                Ok(sampling)
            });
            match sampling {
                Ok(None) => return Ok(None),
                Ok(sampling) => warm.push(Live { sampling, ..one }),
                Err(why) => self.keep(&one.prepared.fail(why))?,
            }
        }
        Ok(Some(warm))
    }

    /// Writes to `run.json` which cases are sampled together, before the first of them has a row.
    /// Those that begin anew after others have left are a group of their own from then on.
    fn announce(&mut self, live: &[Live]) -> Result<(), RecordError> {
        let ids: Vec<String> = live.iter().map(|live| live.case.to_string()).collect();
        self.folder.update_provenance(|provenance| provenance.interleaved.push(ids))
    }

    /// Samples all until each has reached its end. A case leaves, with its row, when it has.
    fn rounds(&mut self, mut live: Vec<Live>, place: u32) -> Result<Ending, RecordError> {
        let key = [self.session.selection.seed, self.session.selection.trial];
        let (mut round, mut announced) = (0, live.len());
        while !live.is_empty() {
            let ids: Vec<String> = live.iter().map(|live| live.case.to_string()).collect();
            for at in order(live.len(), [place, round], key) {
                if self.observer.stopped() {
                    return self.leave_early(live).map(|()| Ending::Stopped);
                }
                let crowd = ids.len();
                // Positions are those at the start of the round; who left meanwhile is skipped.
                let Some(here) = live.iter().position(|l| l.case.to_string() == ids[at]) else {
                    continue;
                };
                match self.draw(&mut live[here], crowd) {
                    Ok(Drawn::Kept) => {}
                    // All begin anew, so that a round is a round for each of them.
                    Ok(Drawn::TooShort) => {
                        for one in &mut live {
                            one.sampling.iter_mut().for_each(Sampling::restart);
                            one.after = None;
                        }
                        if live.len() < announced {
                            announced = live.len();
                            self.announce(&live)?;
                        }
                        break;
                    }
                    Err(why) => {
                        let gone = live.remove(here);
                        self.keep(&gone.prepared.fail(why))?;
                    }
                }
            }
            let ended = live.extract_if(.., |one| one.ended().is_some());
            for one in ended.collect::<Vec<_>>() {
                let reason = one.ended().unwrap_or(StopReason::Time);
                self.leave(one, reason)?;
            }
            round += 1;
        }
        Ok(Ending::Complete)
    }

    /// One sample of one case.
    fn draw(&mut self, one: &mut Live, crowd: usize) -> Result<Drawn, Unmeasured> {
        let Live { case, prepared, sampling, before, after } = one;
        let Some(sampling) = sampling else {
            return Err(Unmeasured::new(crate::record::Status::Failed, "it was not warmed up"));
        };
        let warm = self.options.cache == Caches::Warm;
        if crowd > 1 && warm && sampling.iteration_ns() < LONGEST_REWARMING_NS {
            let started = Instant::now();
            prepared.run(1)?;
            sampling.wall += started.elapsed();
        }
        let mut read = || Some(self.instruments.of(&info(self.session, case)?).read());
        if sampling.samples.is_empty() {
            *before = read().unwrap_or_default();
        }
        let drawn = sampling.draw(&mut |iterations| prepared.run(iterations))?;
        if sampling.ended().is_some() {
            *after = read();
        }
        Ok(drawn)
    }

    /// Ctrl-C: who has enough samples for an interval keeps them.
    fn leave_early(&mut self, live: Vec<Live>) -> Result<(), RecordError> {
        let enough =
            |one: &Live| one.sampling.as_ref().is_some_and(|sampling| sampling.has_enough());
        live.into_iter().filter(enough).try_for_each(|one| self.leave(one, StopReason::Interrupted))
    }

    /// The row of a case that is sampled to its end.
    fn leave(&mut self, one: Live, stop_reason: StopReason) -> Result<(), RecordError> {
        let Live { case, mut prepared, sampling, before, mut after } = one;
        let Some(sampling) = sampling else { return Ok(()) };
        let mut energy = Ok(None);
        if let Some(info) = info(self.session, &case) {
            let source = self.instruments.of(&info);
            after = after.or_else(|| Some(source.read()));
            if stop_reason != StopReason::Interrupted {
                let iteration_ns = sampling.iteration_ns();
                energy = energy_of_iteration(source, iteration_ns, &mut |n| prepared.run(n));
            }
        }
        let energy_j = match energy {
            Ok(energy_j) => energy_j,
            Err(why) => return self.keep(&prepared.fail(why)),
        };
        let drawing = Drawing {
            stop_reason,
            interval_width_wanted: self.options.sampler.interval,
            interleaving: self.options.interleaving,
            sampling_ns: Some(ns(sampling.wall)),
            before,
            after: after.unwrap_or_default(),
            energy_j,
        };
        let measured = prepared.finish_drawn(&sampling.samples, &drawing);
        self.keep(&measured)
    }

    /// Appends a finished case to the folder.
    fn keep(&mut self, measured: &Measured) -> Result<(), RecordError> {
        keep_fingerprints(self.session, self.folder)?;
        let Measured { record, samples, trajectory } = measured;
        self.folder.append_case(record, samples, trajectory)?;
        self.observer.finished(record);
        Ok(())
    }
}

impl Live {
    fn ended(&self) -> Option<StopReason> {
        self.sampling.as_ref().and_then(Sampling::ended)
    }
}

fn ns(time: Duration) -> f64 {
    time.as_nanos() as f64
}

fn info(session: &Session, case: &Case) -> Option<DeviceInfo> {
    let mut devices = session.devices().iter();
    devices.find(|device| device.info.slug == case.device_slug).map(|device| device.info.clone())
}

/// A random order of `count` cases for one round of one group, the same for the same key.
fn order(count: usize, [place, round]: [u32; 2], key: [u32; 2]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|&at| philox4x32([at as u32, round, place, ORDER], key));
    order
}

/// The cases that are sampled together: neighbours of one workload, shape and
/// origin of the operands, or each alone.
pub(super) fn groups(cases: &[Case], interleaving: Interleaving) -> impl Iterator<Item = &[Case]> {
    let together = move |a: &Case, b: &Case| {
        interleaving == Interleaving::Rounds
            && a.workload() == b.workload()
            && a.shape() == b.shape()
            && a.origin() == b.origin()
    };
    cases.chunk_by(together)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_an_order_of_its_own() {
        let orders: Vec<Vec<usize>> = (0..600).map(|round| order(3, [0, round], [1, 0])).collect();
        let mut counts = std::collections::HashMap::new();
        for order in &orders {
            *counts.entry(order.clone()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6, "every order of three");
        // 100 of 600 expected; 4.4 standard deviations either way.
        assert!(counts.values().all(|count| (60..=140).contains(count)), "{counts:?}");
        assert_ne!(order(9, [0, 0], [1, 0]), order(9, [1, 0], [1, 0]), "by group");
        assert_eq!(order(9, [4, 2], [7, 0]), order(9, [4, 2], [7, 0]));
    }
}
