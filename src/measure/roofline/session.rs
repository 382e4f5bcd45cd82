//! Rooflines of a session's devices: taken from the cache or measured, each once.

use std::path::Path;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Roofline, cpu, gpu};
use crate::gpu::{DeviceInfo, GpuError, compose};
use crate::hexadecimal::hexadecimal;
use crate::measure::cache::{Adapter, Cache, CacheError, Policy, host};
use crate::measure::{Case, Session, last_level_cache};
use crate::record::Record;

/// Name of the cache's files.
const KIND: &str = "roofline";

/// What a roofline depends on. Another value of any of these is another roofline.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Key {
    #[serde(flatten)]
    adapter: Adapter,
    crate_version: &'static str,
    /// Whether vectors are those of a build with or without optimisation.
    optimised: bool,
    kernels_sha256: String,
    /// Of what computes on the processor: its name, its threads, and what limits them.
    host: Option<[String; 3]>,
}

impl Key {
    fn of(info: &DeviceInfo, cpu: &str) -> Self {
        Self {
            adapter: Adapter::of(info),
            crate_version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            kernels_sha256: kernels_sha256(),
            host: host(info, cpu),
        }
    }
}

fn kernels_sha256() -> String {
    let all = gpu::probes()
        .into_iter()
        .fold(Sha256::new(), |all, probe| all.chain_update(compose(&probe.files).wgsl));
    hexadecimal(&all.finalize())
}

/// Stores a roofline for later runs, unless other work on the machine was in it.
fn keep(cache: &Cache, key: &Key, roofline: &Roofline) -> Result<(), CacheError> {
    if roofline.is_disturbed() { Ok(()) } else { cache.store(KIND, key, roofline) }
}

impl Session {
    /// Sees to it that every device of `cases` has its roofline, as the selection's policy says: the
    /// cached one, or one measured now, which takes some seconds a device. Cases prepared later
    /// carry it into their rows. What happens, and what could not be measured, goes to `tell`, line
    /// by line.
    pub fn measure_rooflines<'a>(
        &mut self,
        cases: impl IntoIterator<Item = &'a Case>,
        tell: &mut dyn FnMut(&str),
    ) {
        let policy = self.selection.roofline;
        if policy == Policy::Off {
            return;
        }
        for case in cases {
            let slug = &case.device_slug;
            let Some(position) = self.devices().iter().position(|d| d.info.slug == *slug) else {
                continue;
            };
            if !std::mem::replace(&mut self.roofs_sought[position], true) {
                self.rooflines[position] = self.roofline(position, policy, tell).map(Rc::new);
            }
        }
    }

    /// Fills the columns that the measured roofline of a device gives a timed row of another
    /// program, which takes one dispatch an iteration.
    pub fn fill_roofline(&self, slug: &str, record: &mut Record) {
        let position = self.devices().iter().position(|device| device.info.slug == slug);
        let roofline = position.and_then(|position| self.rooflines[position].as_deref());
        super::fill(record, roofline, 1);
    }

    fn roofline(
        &mut self,
        position: usize,
        policy: Policy,
        tell: &mut dyn FnMut(&str),
    ) -> Option<Roofline> {
        let info = self.devices()[position].info.clone();
        let slug = &info.slug;
        let cache = self.open_cache(tell);
        let key = Key::of(&info, self.cpu_name());
        if policy == Policy::Cached
            && let Some(cache) = &cache
            && let Some(roofline) =
                cache.load_or_tell::<Roofline>(KIND, &key, "measuring the roofline anew", tell)
        {
            tell(&format!("roofline of {slug}: cached, measured {}", roofline.utc));
            return Some(roofline);
        }
        tell(&format!("roofline of {slug}: measuring"));
        match self.measured(position) {
            Ok((roofline, warnings)) => {
                for warning in warnings {
                    tell(&format!("warning: roofline of {slug}: {warning}"));
                }
                tell(&format!("roofline of {slug}: took {:.1} s", roofline.measuring_s));
                if let Some(Err(error)) = cache.map(|cache| keep(&cache, &key, &roofline)) {
                    tell(&format!("warning: {error}; the next run measures the roofline again"));
                }
                Some(roofline)
            }
            // A device that would not open says so in the reason of each of its rows.
            Err(error) => {
                tell(&format!("warning: no roofline of {slug}: {error}"));
                None
            }
        }
    }

    fn measured(&mut self, position: usize) -> Result<(Roofline, Vec<String>), GpuError> {
        let Some(context) = self.opened_at(position)? else { return Ok(cpu::measure()) };
        let measured = gpu::measure(&context, last_level_cache::host_bytes(Path::new("/")));
        if measured.is_err() {
            // A device that a probe lost is opened again for the cases.
            self.forget(position);
        }
        measured
    }

    /// Rooflines of the devices that have one, by slug, for `run.json`.
    pub fn rooflines(&self) -> Value {
        let named = self.devices().iter().zip(&self.rooflines);
        let known = named.filter_map(|(device, roofline)| {
            let roofline = serde_json::to_value(roofline.as_deref()?).ok()?;
            Some((device.info.slug.clone(), roofline))
        });
        Value::Object(known.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Peak;
    use super::*;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::record::Provenance;

    fn session(policy: Policy, cache: &Path) -> Session {
        let selection = Selection {
            roofline: policy,
            cache: Some(cache.to_owned()),
            shapes: vec![crate::workload::matmul::Shape::square(8)],
            data_sets: vec![],
            ..Selection::default()
        };
        Session::new(discover(Some("cpu")).unwrap(), selection, &Provenance::collect())
    }

    /// What a session tells of its rooflines, and the rooflines.
    fn told(policy: Policy, cache: &Path) -> (Vec<String>, Value) {
        let mut session = session(policy, cache);
        let (mut lines, cases) = (vec![], session.plan());
        session.measure_rooflines(&cases, &mut |line| lines.push(line.to_owned()));
        (lines, session.rooflines())
    }

    #[test]
    fn a_roofline_is_measured_once_and_then_cached() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(told(Policy::Off, root.path()), (vec![], serde_json::json!({})));
        let (lines, measured) = told(Policy::Cached, root.path());
        assert_eq!(lines[0], "roofline of cpu: measuring");
        let mut roofline: Roofline = serde_json::from_value(measured["cpu"].clone()).unwrap();
        for peak in [&mut roofline.f32_fma, &mut roofline.dot4].into_iter().flatten() {
            assert!(peak.gops > 0.0, "{measured}");
            // As on an idle machine, which this one may not be.
            peak.gops = peak.median_gops;
        }
        store(root.path(), &roofline);
        let (lines, cached) = told(Policy::Cached, root.path());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("roofline of cpu: cached, measured 2"), "{lines:?}");
        assert_eq!(cached["cpu"], serde_json::json!(roofline));
        let (lines, _) = told(Policy::Force, root.path());
        assert_eq!(lines[0], "roofline of cpu: measuring");

        let file = std::fs::read_dir(root.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, "{}").unwrap();
        let (lines, _) = told(Policy::Cached, root.path());
        assert!(lines[0].starts_with("warning: ") && lines[0].contains("no entry"), "{lines:?}");
        assert_eq!(lines[1], "roofline of cpu: measuring");
    }

    fn store(folder: &Path, roofline: &Roofline) {
        let session = session(Policy::Cached, folder);
        let cache = session.open_cache(&mut |line| panic!("{line}")).unwrap();
        keep(&cache, &Key::of(&session.devices()[0].info, session.cpu_name()), roofline).unwrap();
    }

    #[test]
    fn a_roofline_that_was_disturbed_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let peak = |gops| Peak { gops, median_gops: 1.0, kernel: "k".into(), candidates: 1 };
        let roofline = |gops| Roofline {
            utc: String::new(),
            measuring_s: 1.0,
            timing_method: "host".into(),
            f32_fma: Some(peak(1.0)),
            f16_fma: None,
            dot4: Some(peak(gops)),
            cooperative_f32: None,
            cooperative_f16: None,
            read: None,
            copy: None,
            dispatch_latency_ns: 0.0,
            submission_round_trip_ns: None,
        };
        let entries = || std::fs::read_dir(root.path()).unwrap().count();
        store(root.path(), &roofline(2.0));
        assert_eq!(entries(), 0);
        store(root.path(), &roofline(1.1));
        assert_eq!(entries(), 1);
    }

    #[test]
    fn another_driver_or_thread_count_is_another_roofline() {
        let devices = discover(Some("cpu")).unwrap();
        let info = &devices[0].info;
        let newer = DeviceInfo { driver_info: "2.0".into(), ..info.clone() };
        let key = Key::of(info, "a processor");
        assert_ne!(key, Key::of(&newer, "a processor"));
        assert_ne!(key, Key::of(info, "another processor"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(17).build().unwrap();
        assert_ne!(key, pool.install(|| Key::of(info, "a processor")));
        let discrete = DeviceInfo { device_type: "discrete".into(), ..info.clone() };
        assert_eq!(Key::of(&discrete, "a processor"), Key::of(&discrete, "another processor"));
    }
}
