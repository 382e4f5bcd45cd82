//! An opened device: pipelines, dispatches, and the errors that wgpu reports out of line.

use super::adapters::DeviceInfo;
use super::buffer::{Buffer, Meter, Uniforms};
use super::error::{GpuError, one_line};
use super::fingerprint::Fingerprint;
use super::kernel::Composed;
use super::timer::{Pace, Timer, TimingMethod};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a submission may take before the device counts as hung.
const WAIT_LIMIT: Duration = Duration::from_secs(600);

/// One wait of the driver; the GL backend ends a longer one after 2.1 s all the same.
const WAIT_SLICE: Duration = Duration::from_secs(1);

/// An opened GPU adapter. Use it from one thread at a time: a GL context is a single lock, and
/// wgpu panics where another thread holds that for 6 s.
#[derive(Debug)]
pub struct Context {
    /// What was known before opening it.
    pub info: DeviceInfo,
    /// What its arithmetic does.
    pub fingerprint: Fingerprint,
    /// The clock that [`Context::run`] reports from.
    pub timing: TimingMethod,
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    meter: Arc<Meter>,
    pub(super) timer: Option<Timer>,
    pub(super) pace: Mutex<Pace>,
    commands: AtomicU64,
    /// The latest last.
    pipelines: Mutex<Vec<(PipelineKey, Pipeline)>>,
    has_packing: bool,
}

/// Pipelines that a context keeps for who compiles the same again: the tuner's winner, and what
/// several cases share.
const KEPT_PIPELINES: usize = 64;

/// What a pipeline is compiled from.
#[derive(Debug, PartialEq)]
struct PipelineKey {
    wgsl: String,
    entry: String,
    /// Names, and the bits of the values.
    constants: Vec<(String, u64)>,
    checks: bool,
}

/// A compiled entry point.
#[derive(Clone, Debug)]
pub struct Pipeline {
    raw: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    /// Time in which it was compiled, from WGSL to the driver's own code (whose cache may make it
    /// short). One that a context had compiled before keeps the time that it took then.
    pub compile_ns: f64,
}

/// One step of [`Context::run`]. It keeps its buffers alive; clones are cheap.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) id: u64,
    pub(super) step: Arc<Step>,
}

#[derive(Debug)]
pub(super) enum Step {
    Dispatch {
        pipeline: Pipeline,
        group: wgpu::BindGroup,
        workgroups: [u32; 3],
        /// What is bound, by number: buffers stay counted while a command may still use them.
        buffers: Vec<(u32, Buffer)>,
        /// Binding, records, and which of them.
        uniform: Option<(u32, Uniforms, usize)>,
    },
    Clear(Buffer),
    Copy {
        from: Buffer,
        from_offset: u64,
        to: Buffer,
        to_offset: u64,
        bytes: u64,
    },
}

impl Command {
    /// Whether it is a dispatch, and neither a copy nor a clear.
    pub fn is_dispatch(&self) -> bool {
        matches!(*self.step, Step::Dispatch { .. })
    }
}

impl Step {
    pub(super) fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>) {
        if let Self::Dispatch { pipeline, group, workgroups: [x, y, z], .. } = self {
            pass.set_pipeline(&pipeline.raw);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }

    pub(super) fn transfer(&self, encoder: &mut wgpu::CommandEncoder) {
        match self {
            Self::Dispatch { .. } => {}
            Self::Clear(buffer) => encoder.clear_buffer(buffer.raw(), 0, None),
            Self::Copy { from, from_offset, to, to_offset, bytes } => encoder
                .copy_buffer_to_buffer(from.raw(), *from_offset, to.raw(), *to_offset, *bytes),
        }
    }
}

/// Errors that reach no error scope, kept until the next call asks.
#[derive(Debug, Default)]
struct Faults {
    first: Mutex<Option<GpuError>>,
}

impl Faults {
    /// The first error stays until it is taken, but a lost device displaces every other.
    fn report(&self, error: GpuError) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() || matches!(error, GpuError::Lost { .. }) {
            *first = Some(error);
        }
    }

    /// Hands an error out once; a lost device stays lost.
    fn check(&self) -> Result<(), GpuError> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            None => Ok(()),
            Some(lost @ GpuError::Lost { .. }) => Err(lost.clone()),
            Some(_) => first.take().map_or(Ok(()), Err),
        }
    }
}

/// What an error scope caught.
pub(super) enum Caught {
    OutOfMemory,
    Refused(String),
    Fault(GpuError),
}

impl Caught {
    pub(super) fn during(self, operation: &str) -> GpuError {
        match self {
            Self::OutOfMemory => GpuError::OutOfMemory { what: operation.into(), bytes: 0 },
            Self::Refused(reason) => GpuError::Invalid { operation: operation.into(), reason },
            Self::Fault(error) => error,
        }
    }
}

impl Context {
    /// Opens the adapter with what it has of the features used here, then probes it.
    pub(super) fn open(adapter: &wgpu::Adapter, info: DeviceInfo) -> Result<Self, GpuError> {
        use wgpu::Features;
        let wanted = Features::SHADER_F16
            | Features::SHADER_F64
            | Features::TIMESTAMP_QUERY
            | Features::SUBGROUP
            | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let found = adapter.features() & wanted;
        let experimental_features = if found.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            // SAFETY: wgpu may have bugs here that are undefined behaviour. Only the kernels of this
            // crate that are made for matrix units use the feature, each is held to its bound before
            // it is timed, and no other kernel is compiled in another way because of it.
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("tradeoff"),
            required_features: found,
            required_limits: adapter.limits(),
            experimental_features,
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|error| GpuError::Open {
            device: info.slug.clone(),
            reason: one_line(&error.to_string()),
        })?;
        let mut context = Self {
            fingerprint: Fingerprint::unprobed(),
            timing: TimingMethod::Host,
            faults: watch(&device),
            device,
            queue,
            info,
            meter: Arc::default(),
            timer: None,
            pace: Mutex::default(),
            commands: AtomicU64::new(0),
            pipelines: Mutex::default(),
            has_packing: adapter
                .get_downlevel_capabilities()
                .flags
                .contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32),
        };
        context.probe_timing()?;
        context.fingerprint = Fingerprint::probe(&context)?;
        context.reset_peak();
        Ok(context)
    }

    /// Compiles an entry point. `constants` are the values of its `override`s. As WebGPU demands,
    /// wgpu clamps every index, bounds every loop and zeroes workgroup memory.
    ///
    /// # Errors
    /// [`GpuError::Compile`] where the WGSL is invalid, an override is unknown, the entry point is
    /// missing, or the driver refuses it.
    pub fn pipeline(
        &self,
        composed: &Composed,
        entry: &str,
        constants: &[(&str, f64)],
    ) -> Result<Pipeline, GpuError> {
        self.compile(composed, entry, constants, true)
    }

    /// The same; without `checks` nothing is clamped, bounded or zeroed. This is for the kernels of
    /// this crate, which must then stay within their buffers, end their loops and write their
    /// workgroup memory before reading it.
    pub(crate) fn compile(
        &self,
        composed: &Composed,
        entry: &str,
        constants: &[(&str, f64)],
        checks: bool,
    ) -> Result<Pipeline, GpuError> {
        let key = PipelineKey {
            wgsl: composed.wgsl.clone(),
            entry: entry.to_owned(),
            constants: constants.iter().map(|&(n, v)| (n.to_owned(), v.to_bits())).collect(),
            checks,
        };
        let kept = || self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pipeline)) = kept().iter().find(|(other, _)| *other == key) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.compile_anew(composed, entry, constants, checks)?;
        let mut kept = kept();
        if kept.len() == KEPT_PIPELINES {
            kept.remove(0);
        }
        kept.push((key, pipeline.clone()));
        Ok(pipeline)
    }

    fn compile_anew(
        &self,
        composed: &Composed,
        entry: &str,
        constants: &[(&str, f64)],
        checks: bool,
    ) -> Result<Pipeline, GpuError> {
        let started = Instant::now();
        let (raw, layout) = self
            .scoped(|| {
                let module = self.module(composed, entry, checks);
                let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(entry),
                    layout: None,
                    module: &module,
                    entry_point: Some(entry),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants,
                        zero_initialize_workgroup_memory: checks,
                    },
                    cache: None,
                });
                let layout = raw.get_bind_group_layout(0);
                (raw, layout)
            })
            .map_err(|caught| match caught {
                Caught::Refused(reason) => GpuError::Compile { entry: entry.into(), reason },
                other => other.during(&format!("compiling {entry}")),
            })?;
        let compile_ns = started.elapsed().as_nanos() as f64;
        Ok(Pipeline { raw, layout, compile_ns })
    }

    fn module(&self, composed: &Composed, entry: &str, checks: bool) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(entry),
            source: wgpu::ShaderSource::Wgsl(composed.wgsl.as_str().into()),
        };
        if checks {
            return self.device.create_shader_module(descriptor);
        }
        // SAFETY: only this crate's own kernels come here unchecked; `compile` states what they
        // must keep to, and the tests run each of them both ways.
        unsafe {
            self.device
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        }
    }

    /// A dispatch with whole buffers bound by number in group 0. Bind exactly what the entry
    /// point uses: the layout is derived from it.
    ///
    /// # Errors
    /// [`GpuError::OverLimit`] where there are too many workgroups in a dimension,
    /// [`GpuError::Invalid`] where the bindings do not fit the entry point.
    pub fn dispatch(
        &self,
        pipeline: &Pipeline,
        bindings: &[(u32, &Buffer)],
        workgroups: [u32; 3],
    ) -> Result<Command, GpuError> {
        self.bind(pipeline, bindings, None, workgroups)
    }

    /// As [`Context::dispatch`], with one record of [`Uniforms`] at a binding of its own:
    /// (binding, uniforms, index of the record).
    ///
    /// # Errors
    /// As [`Context::dispatch`], and [`GpuError::Invalid`] where there is no such record.
    pub fn dispatch_with(
        &self,
        pipeline: &Pipeline,
        bindings: &[(u32, &Buffer)],
        uniform: (u32, &Uniforms, usize),
        workgroups: [u32; 3],
    ) -> Result<Command, GpuError> {
        self.bind(pipeline, bindings, Some(uniform), workgroups)
    }

    pub(super) fn bind(
        &self,
        pipeline: &Pipeline,
        bindings: &[(u32, &Buffer)],
        uniform: Option<(u32, &Uniforms, usize)>,
        workgroups: [u32; 3],
    ) -> Result<Command, GpuError> {
        self.check_workgroups(workgroups)?;
        let buffers = bindings.iter().map(|&(binding, buffer)| (binding, buffer.clone())).collect();
        let mut entries: Vec<_> = bindings
            .iter()
            .map(|&(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.raw().as_entire_binding(),
            })
            .collect();
        if let Some((binding, uniforms, index)) = uniform {
            let slice = uniforms.binding(index).ok_or_else(|| GpuError::Invalid {
                operation: "dispatch".into(),
                reason: format!("uniform record {index} of {}", uniforms.len()),
            })?;
            let resource = wgpu::BindingResource::Buffer(slice);
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let descriptor =
            wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
        let group = self
            .scoped(|| self.device.create_bind_group(&descriptor))
            .map_err(|caught| caught.during("bind group"))?;
        let pipeline = pipeline.clone();
        let uniform = uniform.map(|(binding, uniforms, index)| (binding, uniforms.clone(), index));
        Ok(self.command(Step::Dispatch { pipeline, group, workgroups, buffers, uniform }))
    }

    fn check_workgroups(&self, workgroups: [u32; 3]) -> Result<(), GpuError> {
        let limit = self.info.max_workgroups_per_dimension;
        match workgroups.into_iter().zip(["x", "y", "z"]).find(|&(count, _)| count > limit) {
            None => Ok(()),
            Some((count, axis)) => Err(GpuError::OverLimit {
                what: format!("dispatch (workgroups in {axis})"),
                asked: count.into(),
                limit: limit.into(),
            }),
        }
    }

    /// Sets a buffer to zero.
    pub fn clear(&self, buffer: &Buffer) -> Command {
        self.command(Step::Clear(buffer.clone()))
    }

    /// Copies bytes from one buffer to another; offsets and size are multiples of 4.
    pub fn copy(
        &self,
        from: &Buffer,
        from_offset: u64,
        to: &Buffer,
        to_offset: u64,
        bytes: u64,
    ) -> Command {
        let (from, to) = (from.clone(), to.clone());
        self.command(Step::Copy { from, from_offset, to, to_offset, bytes })
    }

    fn command(&self, step: Step) -> Command {
        Command { id: self.commands.fetch_add(1, Relaxed), step: Arc::new(step) }
    }

    /// Runs wgpu calls and returns the error that tells most of those that they raised.
    pub(super) fn scoped<T>(&self, body: impl FnOnce() -> T) -> Result<T, Caught> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        self.faults.check().map_err(Caught::Fault)?;
        let scopes = [OutOfMemory, Internal, Validation].map(|f| self.device.push_error_scope(f));
        let value = body();
        // A call on what an earlier call failed to make is invalid too: that says least.
        let mut cause = None;
        for scope in scopes.into_iter().rev() {
            cause = pollster::block_on(scope.pop()).or(cause);
        }
        match cause {
            None => {}
            Some(wgpu::Error::OutOfMemory { .. }) => return Err(Caught::OutOfMemory),
            Some(error) => {
                // A lost device calls everything invalid, and its loss is told by a poll.
                let poll = || self.device.poll(wgpu::PollType::Poll);
                let _ = catch_unwind(AssertUnwindSafe(poll));
                self.faults.check().map_err(Caught::Fault)?;
                return Err(Caught::Refused(one_line(&error.to_string())));
            }
        }
        self.faults.check().map_err(Caught::Fault)?;
        Ok(value)
    }

    /// Waits for everything submitted.
    pub(super) fn wait(&self) -> Result<(), GpuError> {
        let started = Instant::now();
        let slice = wgpu::PollType::Wait { submission_index: None, timeout: Some(WAIT_SLICE) };
        loop {
            // wgpu panics in `poll` where it finds the device lost; here that is an error.
            let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(slice.clone())));
            self.faults.check()?;
            match polled {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(wgpu::PollError::Timeout)) if started.elapsed() < WAIT_LIMIT => {}
                Ok(Err(wgpu::PollError::Timeout)) => {
                    return Err(GpuError::Timeout { seconds: WAIT_LIMIT.as_secs() });
                }
                Ok(Err(error)) => {
                    let (operation, reason) = ("wait".into(), error.to_string());
                    return Err(GpuError::Invalid { operation, reason });
                }
                Err(_) => {
                    self.faults.report(GpuError::Lost { reason: "while waiting for it".into() });
                }
            }
        }
    }

    /// Gives the device up, for good: every later use of this context is [`GpuError::Lost`], as
    /// after a driver's reset or an unplugged GPU.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Whether kernels may use `pack2x16float` and `unpack2x16float`.
    pub(crate) fn has_packing(&self) -> bool {
        self.has_packing
    }

    /// Whether kernels may use cooperative matrices.
    pub(crate) fn has_cooperative_matrices(&self) -> bool {
        self.device.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

/// Catches what wgpu would otherwise panic on.
fn watch(device: &wgpu::Device) -> Arc<Faults> {
    let faults = Arc::<Faults>::default();
    let (lost, other) = (faults.clone(), faults.clone());
    device.set_device_lost_callback(move |reason, message| {
        lost.report(GpuError::Lost { reason: one_line(&format!("{reason:?} {message}")) });
    });
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let (operation, reason) = ("device".into(), one_line(&error.to_string()));
        other.report(GpuError::Invalid { operation, reason });
    }));
    faults
}
