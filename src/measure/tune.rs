//! The autotuner: which parameters of a kernel are fastest on a device, found once and cached.
//!
//! The candidates of a kernel ([`KernelSource::candidates`]) are prepared and verified as any case is,
//! so one that is wrong cannot win. Those that are, by their first runs, within [`HOPELESS`] of the
//! fastest are then timed in turn, round by round, so that drift meets all alike, and the least median
//! wins; the default wins where no other beats it by more than [`WORTH_IT`], since so little is noise.
//! The choice holds for a shape class: m, n, k and the number of products rounded up to powers of two, in
//! one layout.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cache::{Adapter, Policy, host};
use super::case::{Case, Work};
use super::drawing::Caches;
use super::limits::foreseen_skip;
use super::session::{Prepared, Session};
use super::statistics::Summary;
use crate::gpu::DeviceInfo;
use crate::number::Precision;
use crate::record::utc_now;
use crate::workload::matmul::{Kernel, KernelSource, Parameters, Shape};

/// Time that tuning may take on one device in one run. What does not fit keeps its default, and the
/// next run goes on with it.
const BUDGET: Duration = Duration::from_secs(45);

/// Time that the rounds of one kernel take at most.
const ROUNDS_TIME: Duration = Duration::from_secs(2);
/// Rounds of one kernel at most: with 9, a median of times is off by chance less than one is.
const ROUNDS: u32 = 9;
/// Rounds that a choice needs to be cached.
const FEWEST_ROUNDS: usize = 3;
/// What a timing lasts at least, so that the grain of a clock is small beside it.
const LEAST_TIMING_NS: f64 = 2e6;
/// A candidate whose first runs take at least so many times the fastest's is not timed again.
const HOPELESS: f64 = 2.0;
/// Part of the default's time that another candidate must save.
const WORTH_IT: f64 = 0.02;
/// Host memory that candidates on a device in host memory may take, as a part of what is free.
const MEMORY_SHARE: f64 = 0.25;

/// Name of the cache's files.
const KIND: &str = "tuning";

/// What a choice depends on. Another value of any of these is another choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Key {
    #[serde(flatten)]
    adapter: Adapter,
    /// What does the device's work, where that is the processor: its name, its threads, and what
    /// limits them.
    processor: Option<[String; 3]>,
    wgpu_version: String,
    cold: bool,
    optimised: bool,
    checks: bool,
    kernel: &'static str,
    precision: String,
    class: String,
    /// Of all candidates' WGSL.
    kernels_sha256: Vec<String>,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    parameters: String,
    /// Median time of one product, or of its first run where it had no more. Unit: ns.
    median_ns: Option<f64>,
    /// Timings behind the median.
    rounds: u32,
    /// Why it was not timed.
    fault: Option<String>,
}

/// The parameters that won, and against what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Choice {
    /// When: RFC 3339, UTC.
    utc: String,
    shape: String,
    parameters: String,
    trials: Vec<Trial>,
}

/// A tuned kernel of a session.
struct Tuned {
    device: usize,
    kernel: Kernel,
    precision: Precision,
    class: Shape,
    parameters: Parameters,
    /// Where from: the word of the column `tuning`.
    origin: &'static str,
}

/// What a session has tuned, and for how long.
#[derive(Default)]
pub(super) struct Tuner {
    tuned: Vec<Tuned>,
    spent: Vec<(usize, Duration)>,
    told_of_budget: Vec<usize>,
}

impl Tuner {
    fn find(
        &self,
        device: usize,
        kernel: Kernel,
        precision: Precision,
        class: Shape,
    ) -> Option<&Tuned> {
        self.tuned.iter().find(|t| {
            (t.device, t.kernel, t.precision, t.class) == (device, kernel, precision, class)
        })
    }

    fn spent(&self, device: usize) -> Duration {
        self.spent.iter().filter(|(at, _)| *at == device).map(|(_, time)| *time).sum()
    }
}

impl Session {
    /// The kernel of a case with the parameters that the tuner chose, or its default, and the word of
    /// the column `tuning`.
    pub(super) fn tuned_source(
        &self,
        shape: Shape,
        kernel: Kernel,
        precision: Precision,
        device: &DeviceInfo,
    ) -> (KernelSource, &'static str) {
        let tuned = self.tuner.find(device.index, kernel, precision, shape.class());
        let chosen = tuned.and_then(|tuned| {
            let parameters = tuned.parameters.clone();
            let source = KernelSource::with(kernel, precision, device, parameters).ok()?;
            Some((source, tuned.origin))
        });
        chosen.unwrap_or_else(|| {
            let source = KernelSource::of(kernel, precision, device);
            let origin = if source.parameters.is_empty() { "" } else { "default" };
            (source, origin)
        })
    }

    /// Sees to it that the kernels of `cases` have their parameters, as the selection's policy says:
    /// the cached ones, or those found now, which takes at most 45 s a device. What happens
    /// goes to `tell`, line by line.
    pub fn tune<'a>(
        &mut self,
        cases: impl IntoIterator<Item = &'a Case>,
        tell: &mut dyn FnMut(&str),
    ) {
        for case in cases {
            self.tune_case(case, tell);
        }
    }

    fn tune_case(&mut self, case: &Case, tell: &mut dyn FnMut(&str)) {
        let policy = self.selection.tune;
        let Work::Matmul { shape, kernel: Some(kernel), .. } = case.work else { return };
        let precision = case.precision;
        let device = self.devices().iter().map(|d| &d.info).find(|i| i.slug == case.device_slug);
        let Some(device) = device.cloned() else { return };
        let known = self.tuner.find(device.index, kernel, precision, shape.class()).is_some();
        if policy == Policy::Off || known {
            return;
        }
        let candidates = KernelSource::candidates(kernel, precision, shape.class(), &device);
        let skipped = foreseen_skip(case, &device, super::limits::available_host_bytes()).is_some();
        if candidates.len() < 2 || skipped {
            return;
        }
        let key = self.tuning_key(&device, kernel, precision, shape, &candidates);
        let cache = self.open_cache(tell);
        let found = cache.as_ref().filter(|_| policy == Policy::Cached);
        let found = found.and_then(|c| c.load_or_tell(KIND, &key, "tuning anew", tell));
        let (choice, origin) = match found {
            Some(choice) => (choice, "cached"),
            None => {
                let found = self.choose(case, &device, &candidates, tell);
                let Some((choice, settled)) = found else { return };
                let kept = cache.filter(|_| settled).map(|c| c.store(KIND, &key, &choice));
                if let Some(Err(error)) = kept {
                    tell(&format!("warning: {error}; the next run tunes again"));
                }
                (choice, "tuned")
            }
        };
        // The key holds the hashes of all candidates, so what is cached is one of them.
        let Some(parameters) = candidates.into_iter().find(|p| p.to_string() == choice.parameters)
        else {
            return;
        };
        let (device, class) = (device.index, shape.class());
        self.tuner.tuned.push(Tuned { device, kernel, precision, class, parameters, origin });
    }

    fn tuning_key(
        &self,
        device: &DeviceInfo,
        kernel: Kernel,
        precision: Precision,
        shape: Shape,
        candidates: &[Parameters],
    ) -> Key {
        let sha256 = |parameters: &Parameters| {
            let source = KernelSource::with(kernel, precision, device, parameters.clone()).ok()?;
            Some(source.sha256())
        };
        Key {
            adapter: Adapter::of(device),
            processor: host(device, self.cpu_name()),
            wgpu_version: self.wgpu_version().to_owned(),
            cold: self.cache == Caches::Cold,
            optimised: !cfg!(debug_assertions),
            checks: self.selection.checks,
            kernel: kernel.name(),
            precision: precision.to_string(),
            class: shape.class().to_string(),
            kernels_sha256: candidates.iter().filter_map(sha256).collect(),
        }
    }

    /// Times the candidates of a case, and says whether the choice is worth keeping: all of them were
    /// tried, and those in the race often enough. `None` where the device's time is spent or none of
    /// them can be used.
    fn choose(
        &mut self,
        case: &Case,
        device: &DeviceInfo,
        candidates: &[Parameters],
        tell: &mut dyn FnMut(&str),
    ) -> Option<(Choice, bool)> {
        let left = BUDGET.saturating_sub(self.tuner.spent(device.index));
        if left.is_zero() {
            if !self.tuner.told_of_budget.contains(&device.index) {
                self.tuner.told_of_budget.push(device.index);
                tell(&format!(
                    "tuning {}: its {} s are spent; what is left keeps its default parameters, and \
                     the next run goes on",
                    device.slug,
                    BUDGET.as_secs()
                ));
            }
            return None;
        }
        let started = Instant::now();
        let (mut entrants, mut trials) = self.entrants(case, device, candidates, left, tell);
        let until = started + left.min(started.elapsed() + ROUNDS_TIME);
        race(&mut entrants, until);
        entrants.retain_mut(|entrant| match entrant.prepared.check() {
            Ok(()) => true,
            Err(why) => {
                tell(&format!(
                    "warning: tuning {case}: {} is out: {}",
                    entrant.parameters, why.reason
                ));
                false
            }
        });
        let untried = candidates.len() - entrants.len() - trials.len();
        let settled = untried == 0 && fair(&entrants);
        let times: Vec<_> =
            entrants.iter().map(|e| (e.parameters.clone(), e.typical_ns())).collect();
        let winner = fastest(&times, &candidates[0]).map(Parameters::to_string);
        trials.extend(entrants.iter().map(Entrant::trial));
        self.tuner.spent.push((device.index, started.elapsed()));
        let parameters = winner?;
        tell(&format!(
            "tuning {case}: {parameters} of {} candidates, {:.1} s",
            trials.len(),
            started.elapsed().as_secs_f64()
        ));
        let Work::Matmul { shape, .. } = case.work else { return None };
        let choice = Choice { utc: utc_now(), shape: shape.to_string(), parameters, trials };
        Some((choice, settled))
    }

    /// The candidates that passed verification, each with a first time, and what became of the others.
    fn entrants(
        &mut self,
        case: &Case,
        device: &DeviceInfo,
        candidates: &[Parameters],
        left: Duration,
        tell: &mut dyn FnMut(&str),
    ) -> (Vec<Entrant>, Vec<Trial>) {
        let started = Instant::now();
        let mut longest = Duration::ZERO;
        let (mut entrants, mut trials): (Vec<Entrant>, Vec<Trial>) = (vec![], vec![]);
        for parameters in candidates {
            let begun = started.elapsed();
            let peak = entrants.iter().filter_map(|e| e.prepared.record().peak_device_memory_bytes);
            let full = device.device_type != "discrete"
                && peak.sum::<u64>() as f64
                    > MEMORY_SHARE * super::limits::available_host_bytes() as f64;
            // The next may take as long as any before it, and the first whatever it takes.
            if full || begun + longest > left {
                break;
            }
            match self.entrant(case, device, parameters) {
                Ok(entrant) => entrants.push(entrant),
                Err(fault) => {
                    tell(&format!("warning: tuning {case}: {parameters} is out: {fault}"));
                    let (parameters, fault) = (parameters.to_string(), Some(fault));
                    trials.push(Trial { parameters, median_ns: None, rounds: 0, fault });
                }
            }
            longest = longest.max(started.elapsed() - begun);
        }
        (entrants, trials)
    }

    /// A candidate, verified as the case would be, and run for a first time.
    fn entrant(
        &mut self,
        case: &Case,
        device: &DeviceInfo,
        parameters: &Parameters,
    ) -> Result<Entrant, String> {
        let Work::Matmul { kernel: Some(kernel), rounding_bits, .. } = case.work else {
            return Err("it has no kernel".to_owned());
        };
        let source = KernelSource::with(kernel, case.precision, device, parameters.clone());
        let source = source.map_err(|error| error.to_string())?;
        let source = KernelSource { rounding_bits, ..source };
        // It is to be right; what else its row would say is not looked at.
        self.matmul.brief = true;
        let prepared = self.prepare_with(case, &|altered| *altered = source.clone());
        self.matmul.brief = false;
        let mut prepared = prepared.map_err(|measured| measured.record.reason)?;
        // The least of three, since one alone may have met another program.
        let mut first_ns = f64::INFINITY;
        for _ in 0..3 {
            first_ns = first_ns.min(prepared.run(1).map_err(|why| why.reason)?);
        }
        Ok(Entrant { parameters: parameters.clone(), prepared, first_ns, times_ns: vec![] })
    }
}

/// A candidate in the race.
struct Entrant {
    parameters: Parameters,
    prepared: Prepared,
    first_ns: f64,
    /// Of one product each.
    times_ns: Vec<f64>,
}

impl Entrant {
    fn typical_ns(&self) -> f64 {
        let summary = Summary::of(self.times_ns.iter().map(|&ns| (1, ns)));
        summary.map_or(self.first_ns, |summary| summary.median_ns)
    }

    fn trial(&self) -> Trial {
        Trial {
            parameters: self.parameters.to_string(),
            median_ns: Some(self.typical_ns()),
            rounds: self.times_ns.len() as u32,
            fault: None,
        }
    }
}

/// The longest first time with which an entrant is in the race.
fn slowest_raced_ns(entrants: &[Entrant]) -> f64 {
    HOPELESS * entrants.iter().map(|e| e.first_ns).fold(f64::INFINITY, f64::min)
}

/// Whether each entrant that was in the race was timed as often as a choice needs that is kept.
fn fair(entrants: &[Entrant]) -> bool {
    let slowest_ns = slowest_raced_ns(entrants);
    let mut raced = entrants.iter().filter(|e| e.first_ns <= slowest_ns);
    raced.all(|e| e.times_ns.len() >= FEWEST_ROUNDS)
}

/// Times the entrants in turn until `until`, though each as often as any other. One that fails on the
/// way leaves.
fn race(entrants: &mut Vec<Entrant>, until: Instant) {
    let slowest_ns = slowest_raced_ns(entrants);
    let in_race = |e: &Entrant| e.first_ns <= slowest_ns;
    for _ in 0..ROUNDS {
        let round_ns: f64 =
            entrants.iter().filter(|e| in_race(e)).map(|e| e.first_ns.max(LEAST_TIMING_NS)).sum();
        if Instant::now() + Duration::from_nanos(round_ns as u64) > until {
            return;
        }
        entrants.retain_mut(|entrant| {
            if !in_race(entrant) {
                return true;
            }
            let iterations = (LEAST_TIMING_NS / entrant.first_ns.max(1.0)).ceil().max(1.0);
            let timed = entrant.prepared.run(iterations as u64);
            timed.map(|ns| entrant.times_ns.push(ns / iterations)).is_ok()
        });
    }
}

/// The fastest of the candidates with their times; `default` where it is as good as that.
fn fastest<'a>(times: &'a [(Parameters, f64)], default: &Parameters) -> Option<&'a Parameters> {
    let (fastest, least_ns) = times.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let usual = times.iter().find(|(parameters, _)| parameters == default);
    let kept = usual.filter(|(_, ns)| ns * (1.0 - WORTH_IT) <= *least_ns);
    Some(kept.map_or(fastest, |(parameters, _)| parameters))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::record::Provenance;

    fn session(policy: Policy, cache: &Path) -> Session {
        let selection = Selection {
            tune: policy,
            cache: Some(cache.to_owned()),
            shapes: vec![Shape::new(65, 40, 33)],
            precisions: vec![Precision::Fp32],
            kernels: vec![Kernel::RegisterTiled],
            data_sets: vec![],
            ..Selection::default()
        };
        Session::new(discover(None).unwrap(), selection, &Provenance::collect())
    }

    /// What a session tells of its tuning, and the parameters and origin of each case's row.
    fn told(policy: Policy, cache: &Path) -> (Vec<String>, Vec<(String, String)>) {
        let mut session = session(policy, cache);
        let (mut lines, cases) = (vec![], session.plan());
        session.tune(&cases, &mut |line| lines.push(line.to_owned()));
        let gpus = cases.iter().filter(|case| case.device_slug != "cpu");
        let rows = gpus.map(|case| match session.prepare(case) {
            Ok(ready) => ready.record().clone(),
            Err(measured) => panic!("{case}: {}", measured.record.reason),
        });
        (lines, rows.map(|row| (row.kernel_parameters, row.tuning)).collect())
    }

    #[test]
    fn a_choice_is_made_once_and_then_cached() {
        let root = tempfile::tempdir().unwrap();
        let (lines, rows) = told(Policy::Off, root.path());
        assert_eq!(lines, [""; 0]);
        assert!(rows.iter().all(|row| row.1 == "default"), "{rows:?}");
        let gpus = rows.len();
        let (lines, tuned) = told(Policy::Cached, root.path());
        assert_eq!(lines.len(), gpus, "{lines:?}");
        assert!(tuned.iter().all(|row| row.1 == "tuned"), "{tuned:?}");
        for (line, (parameters, _)) in lines.iter().zip(&tuned) {
            assert!(line.starts_with("tuning matmul/fp32/") && line.contains(parameters), "{line}");
        }
        let (lines, cached) = told(Policy::Cached, root.path());
        assert_eq!(lines, [""; 0]);
        let parameters = |rows: &[(String, String)]| -> Vec<String> {
            rows.iter().map(|row| row.0.clone()).collect()
        };
        assert!(cached.iter().all(|row| row.1 == "cached"), "{cached:?}");
        assert_eq!(parameters(&cached), parameters(&tuned));
        let (lines, forced) = told(Policy::Force, root.path());
        assert_eq!(lines.len(), gpus, "{lines:?}");
        assert!(forced.iter().all(|row| row.1 == "tuned"), "{forced:?}");
    }

    #[test]
    fn what_is_cached_holds_for_a_class_and_these_kernels_alone() {
        let session = session(Policy::Cached, Path::new("unused"));
        let device = DeviceInfo { driver_info: "1".into(), ..session.devices()[0].info.clone() };
        let key = |device: &DeviceInfo, shape: Shape| {
            let kernel = Kernel::RegisterTiled;
            let candidates = KernelSource::candidates(kernel, Precision::Fp32, shape, device);
            session.tuning_key(device, kernel, Precision::Fp32, shape, &candidates)
        };
        let shape = Shape::square(300);
        assert_eq!(key(&device, shape), key(&device, Shape::square(512)));
        for other in ["300x200x300", "300-tn", "300-b2", "300x1x300"] {
            assert_ne!(key(&device, shape), key(&device, other.parse().unwrap()), "{other}");
        }
        let newer = DeviceInfo { driver_info: "2".into(), ..device.clone() };
        assert_ne!(key(&device, shape), key(&newer, shape));
        assert!(key(&device, shape).kernels_sha256.len() > 1);
    }

    fn trial(name: u32, ns: f64) -> (Parameters, f64) {
        (format!("rows={name}").parse().unwrap(), ns)
    }

    #[test]
    fn the_default_yields_only_to_what_is_clearly_faster() {
        let default = trial(1, 0.0).0;
        let winner = |times: &[(Parameters, f64)]| fastest(times, &default).map(|p| p.get("rows"));
        assert_eq!(winner(&[trial(1, 100.0), trial(2, 99.0), trial(3, 120.0)]), Some(Some(1)));
        assert_eq!(winner(&[trial(1, 100.0), trial(2, 97.0), trial(3, 90.0)]), Some(Some(3)));
        assert_eq!(winner(&[trial(2, 99.0), trial(3, 120.0)]), Some(Some(2)), "no default");
        assert_eq!(winner(&[]), None);
    }
}
