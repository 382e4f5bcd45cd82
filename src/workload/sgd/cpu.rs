//! SGD on the CPU: the mirror, with the API of the GPU's runs.

use std::time::Instant;

use super::{Grids, Plan, SgdCase, SgdError, decode_model};
use crate::mirror::sgd::{self, Bf16, Centre, F16, I4, Number, Setting, Sums, Workspace};
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
    stagnated: Option<f64>,
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

    /// As [`CpuSgd::prepare`], with the models after the last so many steps averaged.
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
            rounding_bits: case.rounding_bits,
            arithmetic,
            shuffled: plan.shuffled,
            averaged_from: averaged.map(|models| case.steps - models),
            centred: false,
            counts: false,
        };
        let model_format = case.precision.accumulator();
        let engine = engine(case, setting, data, data.n);
        let (snapshots, stagnated) = (Vec::new(), None);
        let mut run = Self { plan, grids, model_format, engine, snapshots, averaged, stagnated };
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

    /// The same, recording the model at each checkpoint, and counting the updates that change nothing.
    pub fn run_trajectory(&mut self) {
        self.engine.reset();
        self.engine.count(true);
        self.snapshots.clear();
        let mut done = 0;
        for &checkpoint in &self.plan.checkpoints {
            self.engine.run(&self.plan.steps[done..checkpoint as usize]);
            self.snapshots.push((checkpoint, self.engine.model_words()));
            done = checkpoint as usize;
        }
        self.engine.count(false);
        self.stagnated = fraction(self.engine.updates());
    }

    /// Of the updates of coordinates in the last [`CpuSgd::run_trajectory`] that were not 0 before they
    /// were rounded (gradient or decay were not), the part that left the coordinate as it was. `None`
    /// before a run, or where there were none.
    pub fn stagnated_fraction(&self) -> Option<f64> {
        self.stagnated
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
        Some(mean(self.engine.sums(), self.averaged?, &self.grids))
    }

    /// The sums of these models as a device stores them; `None` where none was asked for.
    pub fn sums(&self) -> Option<&Sums> {
        self.averaged.map(|_| self.engine.sums())
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

/// The mean of so many models from their sums in units of the model's grid.
pub(super) fn mean(sums: &Sums, models: u32, grids: &Grids) -> Vec<f64> {
    let (models, step) = (f64::from(models), f64::from(grids.model_step()));
    sums.values().into_iter().map(|sum| sum / models * step).collect()
}

/// Updates that changed nothing out of those that were to change something.
pub(super) fn fraction([all, none]: [u64; 2]) -> Option<f64> {
    (all > 0).then(|| none as f64 / all as f64)
}

/// A run of the case's formats, with so many rows in the order that its steps take them from.
pub(super) fn engine(
    case: &SgdCase,
    setting: Setting,
    data: &Dataset,
    rows: usize,
) -> Box<dyn Engine> {
    use Format::{Bf16 as Brain, F16 as Half, F32, Fixed4, Fixed8, Fixed16};
    let of = (setting, data, case.batch, rows);
    match (case.precision.storage(), case.precision.accumulator()) {
        (Half, _) => Box::new(Typed::<F16, F16>::new(of)),
        (Brain, _) => Box::new(Typed::<Bf16, Bf16>::new(of)),
        (Fixed4, _) => Box::new(Typed::<I4<4>, I4<8>>::new(of)),
        (Fixed16, _) => Box::new(Typed::<i16, i16>::new(of)),
        (F32, Fixed8) => Box::new(Typed::<f32, i8>::new(of)),
        (Fixed8, Fixed8) => Box::new(Typed::<i8, i8>::new(of)),
        (Fixed8, Fixed16) => Box::new(Typed::<i8, i16>::new(of)),
        (Fixed8, _) => Box::new(Typed::<i8, f32>::new(of)),
        _ => Box::new(Typed::<f32, f32>::new(of)),
    }
}

/// A run whose formats are types.
pub(super) trait Engine: Send {
    fn convert(&mut self, inverse_step: f32, x: &[f32]);
    fn reset(&mut self);
    fn run(&mut self, steps: &[super::Step]);
    fn model_words(&self) -> Vec<u32>;
    fn data_words(&self) -> Vec<u32>;
    fn sums(&self) -> &Sums;
    /// From now on counts updates that change nothing, or no longer.
    fn count(&mut self, on: bool);
    fn updates(&self) -> [u64; 2];
    /// Sets what the steps of variance-reduced SGD are about: the products of each row with the centre
    /// take the place of the targets where there are any.
    fn recentre(&mut self, centre: &Centre, products: Option<&[f32]>, clears_model: bool);
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
    fn new((setting, data, batch, rows): (Setting, &Dataset, usize, usize)) -> Self {
        Self {
            setting,
            x: vec![D::default(); data.x.len()],
            targets: data.targets.clone(),
            order: (0..rows as u32).collect(),
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
        self.workspace.reset();
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

    fn sums(&self) -> &Sums {
        &self.workspace.sums
    }

    fn count(&mut self, on: bool) {
        self.setting.counts = on;
    }

    fn updates(&self) -> [u64; 2] {
        self.workspace.updates()
    }

    fn recentre(&mut self, centre: &Centre, products: Option<&[f32]>, clears_model: bool) {
        self.workspace.centre = centre.clone();
        if let Some(products) = products {
            self.targets.copy_from_slice(products);
        }
        if clears_model {
            self.model.fill(M::default());
        }
    }
}
