//! Fingerprints of a session's devices: taken from the cache or probed, each once.

use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cache::{Adapter, Policy};
use super::session::Session;
use crate::fingerprint::{DeviceFingerprint, PROBES, matrix_probes, summation};
use crate::gpu::{Context, DOUBLE, ERROR_FREE, Fingerprint, GpuError, compose};
use crate::hexadecimal::hexadecimal;
use crate::number::Arithmetic;

/// Name of the cache's files.
const KIND: &str = "fingerprint";

/// What a fingerprint depends on. What was probed when the device was opened is part of it: where that
/// changes, all is probed anew.
#[derive(Serialize)]
struct Key<'a> {
    #[serde(flatten)]
    adapter: Adapter,
    crate_version: &'static str,
    wgpu_version: &'a str,
    kernels_sha256: String,
    model: &'a Fingerprint,
    /// Name of the processor that computes for a software adapter.
    host: Option<&'a str>,
}

impl<'a> Key<'a> {
    fn of(context: &'a Context, cpu: &'a str, wgpu_version: &'a str) -> Self {
        let info = &context.info;
        let single = PROBES.into_iter().map(|probe| compose(&[probe]));
        let all = single
            .chain(matrix_probes().iter().map(|files| compose(files)))
            .chain(ERROR_FREE.iter().map(|files| compose(files)))
            .chain([compose(&[DOUBLE])])
            .fold(Sha256::new(), |all, probe| all.chain_update(probe.wgsl));
        Self {
            adapter: Adapter::of(info),
            crate_version: env!("CARGO_PKG_VERSION"),
            wgpu_version,
            kernels_sha256: hexadecimal(&all.finalize()),
            model: &context.fingerprint,
            host: (info.device_type == "cpu").then_some(cpu),
        }
    }
}

impl Session {
    /// The fingerprint of a device of the session, probed when it is first asked for. A device's is
    /// cached as rooflines are, and under the same policy; what the cache cannot do is done anew, in
    /// well under a second, and needs no word.
    ///
    /// # Errors
    /// A [`GpuError`] where the device cannot be opened or fails; it is opened again by its next use.
    pub fn fingerprint(&mut self, position: usize) -> Result<Rc<DeviceFingerprint>, GpuError> {
        if let Some(known) = &self.fingerprints[position] {
            return Ok(known.clone());
        }
        let probed = match self.opened_at(position)? {
            None => Ok(DeviceFingerprint::of_cpu()),
            Some(context) => self.cached_fingerprint(&context),
        };
        if probed.is_err() {
            self.forget(position);
        }
        let probed = Rc::new(probed?);
        self.fingerprints[position] = Some(probed.clone());
        Ok(probed)
    }

    fn cached_fingerprint(&self, context: &Context) -> Result<DeviceFingerprint, GpuError> {
        let policy = self.selection.roofline;
        let cache = (policy != Policy::Off).then(|| self.open_cache(&mut |_| {})).flatten();
        let key = Key::of(context, self.cpu_name(), self.wgpu_version());
        let kept = cache.as_ref().filter(|_| policy == Policy::Cached);
        let kept =
            kept.and_then(|cache| cache.load::<DeviceFingerprint>(KIND, &key).ok().flatten());
        if let Some(known) = kept {
            return Ok(known);
        }
        let probed = DeviceFingerprint::of(context)?;
        if let Some(cache) = cache {
            // Without it the next run probes again.
            let _ = cache.store(KIND, &key, &probed);
        }
        Ok(probed)
    }

    /// Fingerprints of the devices opened so far, by slug, for `run.json`, with the summation orders that
    /// were found; of the CPU, that of the arithmetic that its mirrors use.
    pub fn fingerprints(&self) -> Value {
        let mut all = serde_json::Map::new();
        let devices = self.devices().iter().zip(&self.fingerprints).zip(&self.orders);
        for ((device, known), orders) in devices {
            let opened = self.opened().find(|context| context.info.slug == device.info.slug);
            let mut fingerprint = match (known, opened) {
                (Some(known), _) => json!(**known),
                (None, Some(context)) => json!(context.fingerprint),
                (None, None) if device.is_cpu() => json!({ "arithmetic": Arithmetic::host() }),
                (None, None) => continue,
            };
            summation::put(&mut fingerprint, orders);
            all.insert(device.info.slug.clone(), fingerprint);
        }
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::gpu::discover;
    use crate::measure::Selection;
    use crate::record::Provenance;

    fn session(policy: Policy, cache: &Path) -> Session {
        let selection =
            Selection { roofline: policy, cache: Some(cache.to_owned()), ..Selection::default() };
        Session::new(discover(None).unwrap(), selection, &Provenance::collect())
    }

    fn hashes(policy: Policy, cache: &Path) -> Vec<String> {
        let mut session = session(policy, cache);
        let count = session.devices().len();
        (0..count).map(|i| session.fingerprint(i).unwrap().sha256.clone()).collect()
    }

    /// Probed, cached and probed by force: always the same hash.
    #[test]
    fn a_fingerprint_is_the_same_from_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let files = || std::fs::read_dir(root.path()).unwrap().count();
        let probed = hashes(Policy::Off, root.path());
        assert_eq!(files(), 0);
        assert_eq!(hashes(Policy::Cached, root.path()), probed);
        assert_eq!(files(), probed.len() - 1, "each but the CPU");
        assert_eq!(hashes(Policy::Cached, root.path()), probed);
        assert_eq!(hashes(Policy::Force, root.path()), probed);
    }

    #[test]
    fn run_json_has_the_whole_of_what_was_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let mut session = session(Policy::Off, root.path());
        let cpu = session.devices().len() - 1;
        let before = session.fingerprints();
        assert!(before["cpu"]["arithmetic"].is_object() && before["cpu"]["sha256"].is_null());
        let known = session.fingerprint(cpu).unwrap();
        assert_eq!(session.fingerprints()["cpu"]["sha256"], known.sha256);
    }
}
