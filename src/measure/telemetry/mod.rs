//! Clock, temperature, power, throttling and energy of a device, where it can be asked: NVIDIA's
//! management library for its GPUs, the files of Linux for the CPU and the software adapters that
//! run on it. What cannot be asked is an empty cell and no error.

mod host;
mod nvml;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::session::Unmeasured;
use crate::gpu::DeviceInfo;
use host::Host;
use nvml::Library;

/// What a device says of itself at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Clock. Unit: MHz.
    pub clock_mhz: Option<f64>,
    /// Temperature. Unit: °C.
    pub temperature_c: Option<f64>,
    /// Power. Unit: W.
    pub power_w: Option<f64>,
    /// What slows it; `None` where it cannot be asked.
    pub slowdown: Option<Slowdown>,
}

/// What keeps a device under its clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slowdown {
    /// What does now, and whether it is heat or power.
    pub now: Vec<(String, bool)>,
    /// How often, or for how long, heat or power did since the device was started.
    pub counters: Vec<(String, u64)>,
}

/// Whether a device was slowed between two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttling {
    /// Everything that kept it under its clock, each once.
    pub reasons: Vec<String>,
    /// Heat or power did.
    pub slowed: bool,
}

impl Reading {
    /// What slowed the device at one of two readings or, by its counters, between them.
    pub fn throttling(before: &Self, after: &Self) -> Option<Throttling> {
        let both: Vec<&Slowdown> =
            [before, after].iter().filter_map(|r| r.slowdown.as_ref()).collect();
        if both.is_empty() {
            return None;
        }
        let now = || both.iter().flat_map(|slowdown| &slowdown.now);
        let mut slowed = now().any(|(_, heat_or_power)| *heat_or_power);
        let mut reasons: BTreeSet<String> = now().map(|(name, _)| name.clone()).collect();
        if let [first, last] = both[..] {
            for (name, count) in &last.counters {
                let grew = |(other, before): &(String, u64)| other == name && before < count;
                if first.counters.iter().any(grew) {
                    slowed = true;
                    reasons.insert(name.clone());
                }
            }
        }
        Some(Throttling { reasons: reasons.into_iter().collect(), slowed })
    }
}

/// A device that can be asked.
pub trait Source {
    /// Its state now.
    fn read(&mut self) -> Reading;

    /// Energy that it has used since some moment before the first call. Unit: J.
    fn energy_j(&mut self) -> Option<f64>;

    /// Memory that is free on it. Unit: bytes.
    fn free_bytes(&mut self) -> Option<u64> {
        None
    }
}

/// A device that cannot be asked.
struct Silent;

impl Source for Silent {
    fn read(&mut self) -> Reading {
        Reading::default()
    }

    fn energy_j(&mut self) -> Option<f64> {
        None
    }
}

/// The sources of a machine, by device.
pub struct Instruments {
    root: PathBuf,
    /// NVIDIA's library, once it was looked for.
    library: Option<Option<Library>>,
    sources: HashMap<String, Box<dyn Source>>,
}

impl Instruments {
    /// Of this machine.
    pub fn new() -> Self {
        Self::at(Path::new("/"))
    }

    /// Those of the files below `root`, where `/sys` and `/proc` are looked for.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), library: None, sources: HashMap::new() }
    }

    /// Puts a source in the place of a device's own.
    pub fn insert(&mut self, slug: &str, source: Box<dyn Source>) {
        self.sources.insert(slug.to_owned(), source);
    }

    /// The source of a device.
    pub fn of(&mut self, info: &DeviceInfo) -> &mut dyn Source {
        if !self.sources.contains_key(&info.slug) {
            let source = self.find(info);
            self.sources.insert(info.slug.clone(), source);
        }
        &mut **self.sources.entry(info.slug.clone()).or_insert_with(|| Box::new(Silent))
    }

    fn find(&mut self, info: &DeviceInfo) -> Box<dyn Source> {
        if info.device_type == "cpu" || info.backend == "cpu" {
            return Box::new(Host::new(&self.root));
        }
        let library = self.library.get_or_insert_with(Library::load);
        match library.as_ref().and_then(|library| library.device(&info.pci_bus_id)) {
            Some(device) => Box::new(device),
            None => Box::new(Silent),
        }
    }
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new()
    }
}

/// Time between two changes of an energy counter that are measured between, at least.
const ENERGY_WINDOW: Duration = Duration::from_millis(500);
/// A counter that stands still for so long counts nothing.
const STANDS_STILL: Duration = Duration::from_millis(500);
/// What is run between two looks at the counter. Unit: ns.
const LOOK_NS: f64 = 2e6;

/// Energy of one iteration in J: the case runs without a pause from one change of the device's
/// counter to the first one after half a second, since some counters change ten times a second
/// only. `None` where there is none.
///
/// # Errors
/// What `run` returns.
pub(super) fn energy_of_iteration(
    source: &mut dyn Source,
    iteration_ns: f64,
    run: &mut dyn FnMut(u64) -> Result<f64, Unmeasured>,
) -> Result<Option<f64>, Unmeasured> {
    let started = Instant::now();
    energy_by(&|| started.elapsed(), source, iteration_ns, run)
}

/// The same by a clock of any kind.
fn energy_by(
    clock: &dyn Fn() -> Duration,
    source: &mut dyn Source,
    iteration_ns: f64,
    run: &mut dyn FnMut(u64) -> Result<f64, Unmeasured>,
) -> Result<Option<f64>, Unmeasured> {
    let Some(mut last) = source.energy_j() else { return Ok(None) };
    let chunk = (LOOK_NS / iteration_ns.max(1.0)).clamp(1.0, 1e6) as u64;
    let mut begun: Option<(f64, Duration)> = None;
    let (mut iterations, mut changed) = (0, clock());
    loop {
        run(chunk)?;
        iterations += chunk;
        let Some(now) = source.energy_j() else { return Ok(None) };
        if now == last {
            // One chunk may be longer than the counter's pauses.
            if clock() - changed > STANDS_STILL.max(Duration::from_nanos(4 * LOOK_NS as u64)) {
                return Ok(None);
            }
            continue;
        }
        (last, changed) = (now, clock());
        match begun {
            None => {
                begun = Some((now, changed));
                iterations = 0;
            }
            Some((before, since)) if clock() - since >= ENERGY_WINDOW => {
                return Ok(Some((now - before) / iterations as f64));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::record::Status;

    fn reading(now: &[(&str, bool)], counters: &[(&str, u64)]) -> Reading {
        let now = now.iter().map(|(name, slows)| ((*name).to_owned(), *slows)).collect();
        let counters = counters.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        Reading { slowdown: Some(Slowdown { now, counters }), ..Reading::default() }
    }

    #[test]
    fn throttling_is_what_slows_or_what_has_grown() {
        let quiet = reading(&[], &[("core_thermal", 7)]);
        let told = |before: &Reading, after: &Reading| {
            Reading::throttling(before, after).map(|t| (t.reasons.join(" "), t.slowed))
        };
        assert_eq!(told(&Reading::default(), &Reading::default()), None, "nobody to ask");
        assert_eq!(told(&quiet, &quiet), Some((String::new(), false)));
        let set = reading(&[("applications_clocks_setting", false)], &[("core_thermal", 7)]);
        assert_eq!(told(&quiet, &set), Some(("applications_clocks_setting".to_owned(), false)));
        let capped = reading(&[("sw_power_cap", true)], &[("core_thermal", 8)]);
        assert_eq!(told(&quiet, &capped), Some(("core_thermal sw_power_cap".to_owned(), true)));
        assert_eq!(told(&capped, &quiet), Some(("sw_power_cap".to_owned(), true)), "it was before");
        let hot = reading(&[], &[("core_thermal", 9)]);
        assert_eq!(told(&quiet, &hot), Some(("core_thermal".to_owned(), true)));
    }

    /// A device of `watts`, whose counter changes every `grain` of a time that only its work lets pass.
    struct Meter<'a> {
        now: &'a Cell<Duration>,
        watts: f64,
        grain: Duration,
    }

    impl Source for Meter<'_> {
        fn read(&mut self) -> Reading {
            Reading::default()
        }

        fn energy_j(&mut self) -> Option<f64> {
            let grains = self.now.get().as_nanos() / self.grain.as_nanos();
            Some(self.watts * self.grain.as_secs_f64() * grains as f64)
        }
    }

    /// The energy of iterations of 1 ms by a meter of 50 W, and how long they ran.
    fn metered(grain: Duration) -> (Option<f64>, Duration) {
        let now = Cell::new(Duration::ZERO);
        let mut run = |iterations: u64| {
            now.set(now.get() + Duration::from_millis(iterations));
            Ok(1e6 * iterations as f64)
        };
        let mut meter = Meter { now: &now, watts: 50.0, grain };
        let joules = energy_by(&|| now.get(), &mut meter, 1e6, &mut run).unwrap();
        (joules, now.get())
    }

    /// 50 W for 1 ms an iteration is 50 mJ, though the counter changes every 100 ms, or every 7.
    #[test]
    fn energy_is_counted_between_changes() {
        for grain in [100, 7] {
            let (joules, took) = metered(Duration::from_millis(grain));
            // Each end is off by a chunk of 2 ms of 500.
            assert!((joules.unwrap() / 0.05 - 1.0).abs() <= 4.0 / 500.0, "{joules:?}");
            assert!(took <= Duration::from_millis(500 + 2 * grain + 4), "{took:?}");
        }
    }

    #[test]
    fn a_counter_that_is_absent_or_stands_still_gives_none() {
        assert_eq!(energy_of_iteration(&mut Silent, 1e6, &mut |_| Ok(5e6)), Ok(None));
        assert_eq!(metered(Duration::from_secs(3600)), (None, Duration::from_millis(502)));
        let now = Cell::new(Duration::ZERO);
        let mut still = Meter { now: &now, watts: 1.0, grain: Duration::from_secs(3600) };
        let lost = Unmeasured::new(Status::Failed, "device lost");
        let mut fails = |_| Err(lost.clone());
        assert_eq!(energy_of_iteration(&mut still, 1e6, &mut fails), Err(lost.clone()));
    }
}
