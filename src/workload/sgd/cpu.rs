//! SGD on the CPU: the mirror, with the API of the GPU's runs.

use std::time::Instant;

use super::{Grids, Plan, SgdCase, SgdError, decode_model};
use crate::mirror::sgd::{self, Bf16, F16, I4, Number, Setting, Workspace};
use crate::number::{Arithmetic, Format};
use crate::problem::dataset::Dataset;

/// A case held in memory, ready to run as often as wanted.
pub struct CpuSgd {
    plan: Plan,
    grids: Grids,
    model_format: Format,
    engine: Box<dyn Engine>,
    snapshots: Vec<(u32, Vec<u32>)>,
    averaged: Option<u32>,
}

impl CpuSgd {
    /// Converts the data set and sets the model to zero. `arithmetic` is the device's to follow,
    /// or [`Arithmetic::host`] for the CPU as a device of its own.
    pub fn prepare(
        case: &SgdCase,
        data: &Dataset,
        arithmetic: Arithmetic,
    ) -> Result<Self, SgdError> {
        Self::prepare_averaging(case, data, arithmetic, None)
    }

    /// As [`CpuSgd::prepare`], with the models after the last so many steps averaged in f64.
    pub fn prepare_averaging(
        case: &SgdCase,
        data: &Dataset,
        arithmetic: Arithmetic,
        averaged: Option<u32>,
    ) -> Result<Self, SgdError> {
        case.check(data)?;
        let averaged = averaged.map(|models| models.clamp(1, case.steps));
        let grids = Grids::new(case.precision, data);
        let plan = Plan::new(case, data, &grids);
        let setting = Setting {
            d_padded: data.d_padded,
            outputs: data.outputs,
            loss: case.loss,
            rounding: case.precision.rounding(),
            arithmetic,
            shuffled: plan.shuffled,
            averaged_from: averaged.map(|models| case.steps - models),
        };
        let (storage, model_format) = (case.precision.storage(), case.precision.accumulator());
        use Format::{Bf16 as Brain, F16 as Half, Fixed4, Fixed8, Fixed16};
        let engine: Box<dyn Engine> = match (storage, model_format) {
            (Half, _) => Box::new(Typed::<F16, F16>::new(setting, data, case.batch)),
            (Brain, _) => Box::new(Typed::<Bf16, Bf16>::new(setting, data, case.batch)),
            (Fixed4, _) => Box::new(Typed::<I4<4>, I4<8>>::new(setting, data, case.batch)),
            (Fixed16, _) => Box::new(Typed::<i16, i16>::new(setting, data, case.batch)),
            (Format::F32, Fixed8) => Box::new(Typed::<f32, i8>::new(setting, data, case.batch)),
            (Fixed8, Fixed8) => Box::new(Typed::<i8, i8>::new(setting, data, case.batch)),
            (Fixed8, Fixed16) => Box::new(Typed::<i8, i16>::new(setting, data, case.batch)),
            (Fixed8, _) => Box::new(Typed::<i8, f32>::new(setting, data, case.batch)),
            _ => Box::new(Typed::<f32, f32>::new(setting, data, case.batch)),
        };
        let mut run = Self { plan, grids, model_format, engine, snapshots: Vec::new(), averaged };
        run.convert(data);
        Ok(run)
    }

    /// Converts the data set anew, as [`CpuSgd::prepare`] did; returns the time in ns.
    pub fn convert(&mut self, data: &Dataset) -> f64 {
        let started = Instant::now();
        self.engine.convert(1.0 / self.grids.data_step(), &data.x);
        started.elapsed().as_nanos() as f64
    }

    /// The steps and checkpoints.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The fixed-point grids.
    pub fn grids(&self) -> &Grids {
        &self.grids
    }

    /// Sets the model to zero.
    pub fn reset(&mut self) {
        self.engine.reset();
    }

    /// All steps from the zero model, without snapshots; returns the time in ns.
    pub fn run(&mut self) -> f64 {
        let started = Instant::now();
        self.engine.reset();
        self.engine.run(&self.plan.steps);
        started.elapsed().as_nanos() as f64
    }

    /// The same, recording the model at each checkpoint.
    pub fn run_trajectory(&mut self) {
        self.engine.reset();
        self.snapshots.clear();
        let mut done = 0;
        for &checkpoint in &self.plan.checkpoints {
            self.engine.run(&self.plan.steps[done..checkpoint as usize]);
            self.snapshots.push((checkpoint, self.engine.model_words()));
            done = checkpoint as usize;
        }
    }

    /// The model's storage words, for comparison bit by bit.
    pub fn model_words(&self) -> Vec<u32> {
        self.engine.model_words()
    }

    /// The model: outputs × d_padded.
    pub fn model(&self) -> Vec<f32> {
        decode_model(&self.model_words(), self.model_format, &self.grids)
    }

    /// The mean of the models after the last steps, outputs × d_padded; `None` where none was asked
    /// for.
    pub fn average(&self) -> Option<Vec<f64>> {
        let (models, step) = (f64::from(self.averaged?), f64::from(self.grids.model_step()));
        Some(self.engine.sums().iter().map(|sum| sum / models * step).collect())
    }

    /// Storage words of the model at each checkpoint of the last [`CpuSgd::run_trajectory`].
    pub fn snapshot_words(&self) -> &[(u32, Vec<u32>)] {
        &self.snapshots
    }

    /// The model at each checkpoint: steps done, outputs × d_padded.
    pub fn snapshots(&self) -> Vec<(u32, Vec<f32>)> {
        let decode = |words: &[u32]| decode_model(words, self.model_format, &self.grids);
        self.snapshots.iter().map(|(step, words)| (*step, decode(words))).collect()
    }

    /// The converted data set's storage words, for comparison bit by bit.
    pub fn data_words(&self) -> Vec<u32> {
        self.engine.data_words()
    }
}

/// A run whose formats are types.
trait Engine: Send {
    fn convert(&mut self, inverse_step: f32, x: &[f32]);
    fn reset(&mut self);
    fn run(&mut self, steps: &[super::Step]);
    fn model_words(&self) -> Vec<u32>;
    fn data_words(&self) -> Vec<u32>;
    fn sums(&self) -> &[f64];
}

struct Typed<D, M> {
    setting: Setting,
    x: Vec<D>,
    targets: Vec<f32>,
    order: Vec<u32>,
    model: Vec<M>,
    workspace: Workspace,
}

impl<D: Number, M: Number> Typed<D, M> {
    fn new(setting: Setting, data: &Dataset, batch: usize) -> Self {
        Self {
            setting,
            x: vec![D::default(); data.x.len()],
            targets: data.targets.clone(),
            order: (0..data.n as u32).collect(),
            model: vec![M::default(); data.outputs * data.d_padded],
            workspace: Workspace::new(&setting, batch),
        }
    }
}

impl<D: Number, M: Number> Engine for Typed<D, M> {
    fn convert(&mut self, inverse_step: f32, x: &[f32]) {
        sgd::convert(self.setting.arithmetic, inverse_step, x, &mut self.x);
    }

    fn reset(&mut self) {
        self.model.fill(M::default());
        self.workspace.sums.fill(0.0);
    }

    fn run(&mut self, steps: &[super::Step]) {
        let Self { setting, x, targets, order, model, workspace } = self;
        sgd::run(setting, steps, x, targets, order, model, workspace);
    }

    fn model_words(&self) -> Vec<u32> {
        sgd::pack_words(&self.model)
    }

    fn data_words(&self) -> Vec<u32> {
        sgd::pack_words(&self.x)
    }

    fn sums(&self) -> &[f64] {
        &self.workspace.sums
    }
}
