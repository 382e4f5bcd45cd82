//! The adapters under test, each opened at most once and used by one thread at a time, and what
//! `TRADEOFF_REQUIRE_GPU` demands of them.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Failed, Trial};
use tradeoff::gpu::{
    Candidate, Context, DeviceInfo, SelectionError, discover_from_env, no_gpu_hint,
};

/// Stands for a device in the names of tests that have none.
pub const NO_ADAPTER: &str = "no-adapter";

/// The variable that names the backends to be tested.
const REQUIRE: &str = "TRADEOFF_REQUIRE_GPU";

/// Backends that wgpu may find an adapter of, as [`tradeoff::gpu::DeviceInfo`] names them.
const BACKENDS: [&str; 4] = ["vulkan", "gl", "metal", "dx12"];

/// An adapter and, once a test asked for it, its context.
pub struct Device {
    candidate: Candidate,
    context: Mutex<Option<Context>>,
    /// Cases that ran to a verdict.
    cases: AtomicUsize,
}

impl Device {
    pub fn slug(&self) -> &str {
        &self.candidate.info.slug
    }

    pub fn info(&self) -> &DeviceInfo {
        &self.candidate.info
    }

    fn backend(&self) -> &str {
        &self.candidate.info.backend
    }

    /// Hands the context to `body`, opening it first where that was not done yet. Others wait: a
    /// context is for one thread at a time.
    pub fn with<T>(&self, body: impl FnOnce(&Context) -> Result<T, Failed>) -> Result<T, Failed> {
        // A test that panicked leaves the device as usable as one that failed.
        let mut slot = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let context = match slot.take() {
            Some(context) => context,
            None => self.candidate.open()?,
        };
        body(slot.insert(context))
    }

    /// A test named `{slug}/{name}` that counts as a case of this device.
    pub fn trial(
        self: &Arc<Self>,
        name: String,
        case: impl FnOnce(&Device) -> Result<(), Failed> + Send + 'static,
    ) -> Trial {
        let device = self.clone();
        Trial::test(format!("{}/{name}", self.slug()), move || {
            let verdict = case(&device);
            device.cases.fetch_add(1, Relaxed);
            verdict
        })
    }
}

/// The selected adapters, none of them opened. One line on stderr where there are none.
pub fn discover() -> Result<Vec<Arc<Device>>, SelectionError> {
    let candidates = discover_from_env()?;
    let hint = no_gpu_hint(&candidates);
    let gpus = candidates.into_iter().filter(|candidate| !candidate.is_cpu());
    let devices: Vec<_> = gpus
        .map(|candidate| Device {
            candidate,
            context: Mutex::default(),
            cases: AtomicUsize::default(),
        })
        .map(Arc::new)
        .collect();
    if devices.is_empty() {
        eprintln!("{}", hint.unwrap_or("TRADEOFF_DEVICES selects no GPU adapter"));
    }
    Ok(devices)
}

/// The backends of which an adapter must have been tested.
pub struct Required {
    backends: Vec<&'static str>,
}

impl Required {
    /// Reads [`REQUIRE`]; unset or empty, nothing is required.
    pub fn from_env() -> Result<Self, String> {
        let list = env::var_os(REQUIRE).unwrap_or_default().to_string_lossy().to_lowercase();
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let backend = |entry: &str| {
            BACKENDS.into_iter().find(|&backend| backend == entry).ok_or_else(|| {
                format!("{REQUIRE}={entry:?} is no backend; valid: {}", BACKENDS.join(", "))
            })
        };
        Ok(Self { backends: entries.map(backend).collect::<Result<_, _>>()? })
    }

    /// The test that the required adapters are there and open. It is how a runner that gives each
    /// test a process of its own sees that one is missing.
    pub fn trial(&self, devices: &[Arc<Device>]) -> Option<Trial> {
        let (backends, devices) = (self.backends.clone(), devices.to_vec());
        (!backends.is_empty()).then(|| {
            Trial::test("required_adapters", move || {
                let missing: Vec<_> = backends
                    .into_iter()
                    .filter(|&backend| devices.iter().all(|device| device.backend() != backend))
                    .collect();
                if !missing.is_empty() {
                    let missing = missing.join(", ");
                    return Err(format!("{REQUIRE}: no adapter of {missing} was found").into());
                }
                devices.iter().try_for_each(|device| device.with(|_| Ok(())))
            })
        })
    }

    /// Prints how many cases each backend ran, and returns whether each required one ran any.
    pub fn report(&self, devices: &[Arc<Device>]) -> bool {
        let mut ran = Vec::new();
        for backend in BACKENDS {
            let of_backend = devices.iter().filter(|device| device.backend() == backend);
            let counted: Vec<_> = of_backend
                .map(|device| (device.cases.load(Relaxed), device.slug()))
                .filter(|&(cases, _)| cases > 0)
                .collect();
            for (cases, slug) in &counted {
                eprintln!("{backend}: {cases} cases on {slug}");
            }
            if !counted.is_empty() {
                ran.push(backend);
            }
        }
        let idle: Vec<_> =
            self.backends.iter().copied().filter(|backend| !ran.contains(backend)).collect();
        if !idle.is_empty() {
            eprintln!("{REQUIRE}: no case ran on an adapter of {}", idle.join(", "));
        }
        idle.is_empty()
    }
}
