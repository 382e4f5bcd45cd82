//! Variance-reduced SGD in low precision, LP-SVRG and HALP (De Sa, Leszczynski, Zhang, Marzoev, Aberger,
//! Olukotun, Ré, "High-accuracy low-precision training", arXiv 1803.03383): the outer loop, and the
//! inner one on the CPU.
//!
//! The outer loop is the host's, whatever the device: once a period it reads the model, computes the
//! full gradient in f64, and sets the centre and the grid. The inner loop is the device's: steps in f32
//! about that centre, in units of the grid's step δ. There the residual's change, which for an offset
//! of q steps is δ x·q, and the full gradient over δ are numbers of ordinary size however small δ has
//! become, so f32 costs HALP nothing of its limit, which is that of the full gradient in f64.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Instant;

use super::cpu::{Engine, engine, fraction};
use super::{Algorithm, Grids, HALP_MU, Plan, SgdCase, SgdError, Step, decode_model};
use crate::mirror::sgd::{Centre, Grid, Setting, Svrg};
use crate::number::Arithmetic;
use crate::problem::dataset::{Dataset, Loss};
use crate::truth::sgd::{Objective, dot};

/// The outer loop of a case.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    case: SgdCase,
    grid: Grid,
    period: u32,
}

/// What one full gradient gives.
#[derive(Clone, Debug)]
pub(super) struct Centring {
    /// The centre: outputs × d_padded.
    model: Vec<f64>,
    /// Distance of neighbours on the grid.
    grid_step: f64,
    /// What the inner loop is given.
    pub centre: Centre,
    /// The product of each row with each output of the centre, n × outputs, for a loss that is not
    /// quadratic.
    pub products: Option<Vec<f32>>,
}

/// A run's model after some steps.
#[derive(Clone, Debug, PartialEq)]
pub struct SvrgSnapshot {
    /// Steps done.
    pub step: u32,
    /// Storage words of the numbers that the steps round: of the model, or of its offset from the centre.
    pub words: Vec<u32>,
    /// The model: outputs × d_padded.
    pub model: Vec<f64>,
}

/// The inner loop of a device.
pub(super) trait Inner {
    type Error;
    /// Sets the stored numbers to zero.
    fn reset(&mut self) -> Result<(), Self::Error>;
    /// Sets what the next steps are about, and the stored numbers to zero where they are offsets.
    fn recentre(&mut self, about: &Centring, clears_model: bool) -> Result<(), Self::Error>;
    /// Runs the steps of one of the segments that it was prepared for.
    fn run(&mut self, segment: usize) -> Result<(), Self::Error>;
    /// The stored numbers' words.
    fn words(&mut self) -> Result<Vec<u32>, Self::Error>;
}

impl Outer {
    /// The outer loop of a case by LP-SVRG or HALP.
    ///
    /// # Errors
    /// [`SgdError::Algorithm`] where that is another algorithm, or the setting has none of these, and
    /// what [`SgdCase::check`] finds.
    pub fn new(case: &SgdCase, data: &Dataset, algorithm: Algorithm) -> Result<Self, SgdError> {
        case.check(data)?;
        let precision = case.precision;
        let refuse = |remedy| Err(SgdError::Algorithm { algorithm, precision, remedy });
        if !algorithm.is_variance_reduced() {
            return refuse("lp-svrg or halp");
        }
        algorithm.check(precision)?;
        let Some(fixed) = Grids::new(precision, data).model else {
            return refuse("D32fM8-SR");
        };
        let grid = match algorithm {
            Algorithm::LpSvrg => Grid::Fixed(fixed),
            _ => Grid::Centred { bits: fixed.bits, mu: HALP_MU },
        };
        Ok(Self { case: *case, grid, period: Algorithm::period(data.n, case.batch) })
    }

    /// The grid.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The same run in f64, to which its steps can be held.
    pub fn in_f64<'a>(&self, data: &'a Dataset) -> Svrg<'a> {
        let Self { ref case, grid, period } = *self;
        Svrg {
            objective: Objective::new(case, data),
            learning_rate: case.learning_rate.into(),
            batch: case.batch,
            period,
            grid,
            key: [case.seed, case.trial],
            rounding_bits: case.rounding_bits,
        }
    }

    /// The steps and checkpoints.
    pub(super) fn plan(&self, data: &Dataset) -> Plan {
        Plan::centred(&self.case, data, self.period)
    }

    /// Rows that the steps between two full gradients draw.
    pub(super) fn rows_drawn(&self) -> usize {
        self.period as usize * self.case.batch
    }

    /// The numbers that are stored, in units of the grid.
    pub fn stored(&self, words: &[u32]) -> Vec<f32> {
        let unscaled = Grids { data: None, model: None };
        decode_model(words, self.case.precision.accumulator(), &unscaled)
    }

    fn model(&self, about: &Centring, words: &[u32]) -> Vec<f64> {
        let offsets = self.stored(words).into_iter().map(|q| f64::from(q) * about.grid_step);
        match self.grid {
            Grid::Fixed(_) => offsets.collect(),
            Grid::Centred { .. } => about.model.iter().zip(offsets).map(|(c, z)| c + z).collect(),
        }
    }

    /// The full gradient at `model`, and what follows from it.
    fn centre(&self, data: &Dataset, model: Vec<f64>) -> Centring {
        let gradient = Objective::new(&self.case, data).gradient(&model);
        let grid_step = match self.grid {
            Grid::Fixed(fixed) => fixed.step().into(),
            Grid::Centred { bits, mu } => {
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                norm / mu / f64::from((1u32 << (bits - 1)) - 1)
            }
        };
        // Without a gradient nothing moves.
        let scale =
            if grid_step > 0.0 { f64::from(self.case.learning_rate) / grid_step } else { 0.0 };
        let origin = match self.grid {
            Grid::Fixed(_) => model.iter().map(|w| (w / grid_step) as f32).collect(),
            Grid::Centred { .. } => vec![0.0; model.len()],
        };
        let full = gradient.iter().map(|g| (scale * g) as f32).collect();
        let products = match self.case.loss {
            Loss::LeastSquares => None,
            Loss::Logistic => {
                let outputs = || model.chunks(data.d_padded);
                let of_row = |x| outputs().map(move |w| dot(x, w) as f32);
                Some(data.x.chunks(data.d_padded).flat_map(of_row).collect())
            }
        };
        let centre = Centre { origin, full, grid_step: grid_step as f32 };
        Centring { model, grid_step, centre, products }
    }

    /// The steps up to the last of the ascending `checkpoints`, cut at each and before each full gradient.
    pub(super) fn segments(&self, checkpoints: &[u32]) -> Vec<Range<u32>> {
        let mut segments = vec![];
        let mut start = 0;
        for &checkpoint in checkpoints {
            while start < checkpoint {
                let full = (start / self.period + 1).saturating_mul(self.period);
                let end = full.min(checkpoint);
                segments.push(start..end);
                start = end;
            }
        }
        segments
    }

    /// Runs segments from the zero model; `keep` is given each of the `checkpoints`.
    pub(super) fn run<I: Inner>(
        &self,
        data: &Dataset,
        inner: &mut I,
        checkpoints: &[u32],
        keep: &mut dyn FnMut(SvrgSnapshot),
    ) -> Result<(), I::Error> {
        inner.reset()?;
        let mut about = self.centre(data, vec![0.0; data.outputs * data.d_padded]);
        let offsets = matches!(self.grid, Grid::Centred { .. });
        for (i, segment) in self.segments(checkpoints).into_iter().enumerate() {
            if segment.start % self.period == 0 {
                if segment.start > 0 {
                    let model = self.model(&about, &inner.words()?);
                    about = self.centre(data, model);
                }
                inner.recentre(&about, offsets)?;
            }
            inner.run(i)?;
            if checkpoints.binary_search(&segment.end).is_ok() {
                let words = inner.words()?;
                let model = self.model(&about, &words);
                keep(SvrgSnapshot { step: segment.end, words, model });
            }
        }
        Ok(())
    }
}

/// A case by LP-SVRG or HALP on the CPU: the mirror of the kernels.
pub struct CpuSvrg {
    outer: Outer,
    plan: Plan,
    engine: Box<dyn Engine>,
    stagnated: Option<f64>,
}

impl CpuSvrg {
    /// Readies a run under the arithmetic of a device, or [`Arithmetic::host`].
    ///
    /// # Errors
    /// As [`Outer::new`].
    pub fn prepare(
        case: &SgdCase,
        data: &Dataset,
        algorithm: Algorithm,
        arithmetic: Arithmetic,
    ) -> Result<Self, SgdError> {
        let outer = Outer::new(case, data, algorithm)?;
        let setting = Setting {
            d_padded: data.d_padded,
            outputs: data.outputs,
            loss: case.loss,
            rounding: case.precision.rounding(),
            rounding_bits: case.rounding_bits,
            arithmetic,
            shuffled: true,
            averaged_from: None,
            centred: true,
            counts: false,
        };
        let mut engine = engine(case, setting, data, outer.rows_drawn());
        engine.convert(1.0, &data.x);
        Ok(Self { outer, plan: outer.plan(data), engine, stagnated: None })
    }

    /// The outer loop.
    pub fn outer(&self) -> &Outer {
        &self.outer
    }

    /// The steps and checkpoints.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All steps from the zero model: the model after them, and the time in ns.
    pub fn run(&mut self, data: &Dataset) -> (Vec<f64>, f64) {
        let started = Instant::now();
        let mut model = vec![];
        let last = [self.plan.steps.len() as u32];
        self.follow(data, &last, &mut |snapshot| model = snapshot.model);
        (model, started.elapsed().as_nanos() as f64)
    }

    /// The same, with the model at each checkpoint, and counting the updates that change nothing.
    pub fn run_trajectory(&mut self, data: &Dataset) -> Vec<SvrgSnapshot> {
        let checkpoints = self.plan.checkpoints.clone();
        let mut snapshots = vec![];
        self.engine.count(true);
        self.follow(data, &checkpoints, &mut |snapshot| snapshots.push(snapshot));
        self.engine.count(false);
        self.stagnated = fraction(self.engine.updates());
        snapshots
    }

    /// Runs from the zero model, with `each` given the models about which full gradients are taken, but for
    /// the first, and the last model.
    pub fn at_full_gradients(&mut self, data: &Dataset, each: &mut dyn FnMut(SvrgSnapshot)) {
        let steps = self.plan.steps.len() as u32;
        let period = self.outer.period as usize;
        let ends = (period..steps as usize).step_by(period).map(|step| step as u32);
        let checkpoints: Vec<u32> = ends.chain([steps]).collect();
        self.follow(data, &checkpoints, each);
    }

    /// Runs from the zero model, with `each` given the model after the first so many steps, one by one.
    pub fn step_by_step(&mut self, data: &Dataset, steps: u32, each: &mut dyn FnMut(SvrgSnapshot)) {
        let steps = steps.min(self.plan.steps.len() as u32);
        let checkpoints: Vec<u32> = (1..=steps).collect();
        self.follow(data, &checkpoints, each);
    }

    /// As [`super::CpuSgd::stagnated_fraction`]; the full gradient counts as part of each update.
    pub fn stagnated_fraction(&self) -> Option<f64> {
        self.stagnated
    }

    fn follow(&mut self, data: &Dataset, checkpoints: &[u32], keep: &mut dyn FnMut(SvrgSnapshot)) {
        let segments = self.outer.segments(checkpoints);
        let mut inner = OnCpu { engine: &mut *self.engine, steps: &self.plan.steps, segments };
        let Ok(()) = self.outer.run(data, &mut inner, checkpoints, keep);
    }
}

struct OnCpu<'a> {
    engine: &'a mut dyn Engine,
    steps: &'a [Step],
    segments: Vec<Range<u32>>,
}

impl Inner for OnCpu<'_> {
    type Error = Infallible;

    fn reset(&mut self) -> Result<(), Infallible> {
        self.engine.reset();
        Ok(())
    }

    fn recentre(&mut self, about: &Centring, clears_model: bool) -> Result<(), Infallible> {
        self.engine.recentre(&about.centre, about.products.as_deref(), clears_model);
        Ok(())
    }

    fn run(&mut self, segment: usize) -> Result<(), Infallible> {
        let Range { start, end } = self.segments[segment];
        self.engine.run(&self.steps[start as usize..end as usize]);
        Ok(())
    }

    fn words(&mut self) -> Result<Vec<u32>, Infallible> {
        Ok(self.engine.model_words())
    }
}
