//! Variance-reduced SGD on a GPU: the steps on the device, the outer loop on the host ([`Outer`]).

use super::gpu::{Built, build};
use super::kernels::KernelOverride;
use super::svrg::{Centring, Inner};
use super::{GpuOptions, Outer, SgdCase, SgdError, SvrgSnapshot};
use crate::gpu::{Command, Context, GpuError};
use crate::problem::dataset::Dataset;

/// A case by LP-SVRG or HALP on a device, ready to run as often as wanted.
#[derive(Debug)]
pub struct GpuSvrg {
    outer: Outer,
    built: Built,
    /// Commands of each segment of a run without snapshots, and of one with them.
    whole: Vec<Vec<Command>>,
    trajectory: Vec<Vec<Command>>,
}

impl GpuSvrg {
    /// Uploads the data set and builds everything; `options` name the algorithm.
    ///
    /// # Errors
    /// As [`Outer::new`], and what the device refuses.
    pub fn prepare(
        context: &Context,
        case: &SgdCase,
        data: &Dataset,
        options: GpuOptions,
        alter: KernelOverride<'_>,
    ) -> Result<Self, SgdError> {
        let outer = Outer::new(case, data, options.algorithm)?;
        let plan = outer.plan(data);
        let checkpoints = plan.checkpoints.clone();
        let built = build(context, case, data, options, plan, outer.rows_drawn(), alter)?;
        let builder = built.builder(context);
        let last = [case.steps];
        let whole = builder.segments(data, &outer.segments(&last))?;
        let trajectory = builder.segments(data, &outer.segments(&checkpoints))?;
        Ok(Self { outer, built, whole, trajectory })
    }

    /// Time to compile all pipelines, in ns.
    pub fn compile_ns(&self) -> f64 {
        self.built.compile_ns
    }

    /// The outer loop.
    pub fn outer(&self) -> &Outer {
        &self.outer
    }

    /// Dispatches of one run without snapshots.
    pub fn dispatches(&self) -> usize {
        self.whole.iter().flatten().filter(|command| command.is_dispatch()).count()
    }

    /// Memory of the device that a run touches, in bytes.
    pub fn buffer_bytes(&self) -> u64 {
        crate::gpu::buffer_bytes(&self.whole.concat())
    }

    /// All steps from the zero model: the model after them. The time is the caller's to take: part of
    /// the work is the host's.
    pub fn run(&self, context: &Context, data: &Dataset) -> Result<Vec<f64>, GpuError> {
        let mut model = vec![];
        let last = [self.built.plan.steps.len() as u32];
        self.follow(context, data, &last, &self.whole, &mut |snapshot| model = snapshot.model)?;
        Ok(model)
    }

    /// The same, with the model at each checkpoint.
    pub fn run_trajectory(
        &self,
        context: &Context,
        data: &Dataset,
    ) -> Result<Vec<SvrgSnapshot>, GpuError> {
        let mut snapshots = vec![];
        let checkpoints = &self.built.plan.checkpoints;
        let mut keep = |snapshot| snapshots.push(snapshot);
        self.follow(context, data, checkpoints, &self.trajectory, &mut keep)?;
        Ok(snapshots)
    }

    fn follow(
        &self,
        context: &Context,
        data: &Dataset,
        checkpoints: &[u32],
        segments: &[Vec<Command>],
        keep: &mut dyn FnMut(SvrgSnapshot),
    ) -> Result<(), GpuError> {
        let mut inner = OnGpu { context, built: &self.built, segments };
        self.outer.run(data, &mut inner, checkpoints, keep)
    }
}

struct OnGpu<'a> {
    context: &'a Context,
    built: &'a Built,
    segments: &'a [Vec<Command>],
}

impl OnGpu<'_> {
    fn clear(&self) -> Result<(), GpuError> {
        let buffers = &self.built.buffers;
        self.context.upload(&buffers.model, &vec![0; buffers.model_bytes as usize])
    }
}

impl Inner for OnGpu<'_> {
    type Error = GpuError;

    fn reset(&mut self) -> Result<(), GpuError> {
        self.clear()
    }

    fn recentre(&mut self, about: &Centring, clears_model: bool) -> Result<(), GpuError> {
        let buffers = &self.built.buffers;
        self.context.upload(&buffers.extra, bytemuck::cast_slice(&about.centre.numbers()))?;
        if let Some(products) = &about.products {
            self.context.upload(&buffers.targets, bytemuck::cast_slice(products))?;
        }
        if clears_model { self.clear() } else { Ok(()) }
    }

    fn run(&mut self, segment: usize) -> Result<(), GpuError> {
        self.context.run(&self.segments[segment], 1).map(|_| ())
    }

    fn words(&mut self) -> Result<Vec<u32>, GpuError> {
        let buffers = &self.built.buffers;
        let bytes = self.context.read(&buffers.model, 0, buffers.model_bytes)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}
