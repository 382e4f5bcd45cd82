//! The matmul kernels about as good as f32 and beyond it: the bits of C, and its error against the
//! exact product.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use tradeoff::error::{Bound, Guarantee, matmul_bound};
use tradeoff::gpu::{Context, DeviceInfo};
use tradeoff::mirror::convert::Operands;
use tradeoff::mirror::matmul::entries;
use tradeoff::number::{Entries, Precision};
use tradeoff::problem::layout::{Layout, Stored};
use tradeoff::problem::matrix::{Distribution, MatmulProblem};
use tradeoff::truth::matmul::MatmulTruth;
use tradeoff::workload::matmul::{GpuMatmul, Kernel, KernelSource, Shape};

use crate::devices::Device;

const KEY: [u32; 2] = [0x5eed, 7];

/// What the elements of A and B are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// Standard normal.
    Normal,
    /// A about 1e-30, in every fifth row 1e-42, B about 1e-10: parts, products and errors underflow.
    Tiny,
    /// Exponents from -26 to 12 along k, and sums that cancel to what the last pair leaves.
    Cancelling,
    /// Up to the largest f32: sums overflow, and what is not finite meets.
    Huge,
    /// Standard normal, given in f64 with digits beyond those of an f32, some beyond those of a pair.
    GivenInF64,
}

impl Data {
    fn problem(self, shape: Shape) -> Result<MatmulProblem, Failed> {
        let Shape { m, n, k, batch, .. } = shape;
        let (distribution, most) = (Distribution::Normal, u64::MAX);
        let mut p = MatmulProblem::generate_batch_within(distribution, [m, n, k], batch, 5, most)?;
        let scale = |exponent: i32| 2f64.powi(exponent);
        let largest = f64::from(f32::MAX);
        let times =
            |x: &mut f32, by: f64| *x = (f64::from(*x) * by).clamp(-largest, largest) as f32;
        match self {
            Self::Normal => {}
            Self::Tiny => {
                for (e, x) in p.a.data.iter_mut().enumerate() {
                    times(x, if e / k % 5 == 4 { 1e-42 } else { 1e-30 });
                }
                p.b.data.iter_mut().for_each(|x| times(x, 1e-10));
            }
            Self::Cancelling => {
                for (e, x) in p.a.data.iter_mut().enumerate() {
                    times(x, scale((e % k / 2 * 7 % 39) as i32 - 26));
                }
                for q in (1..k).step_by(2) {
                    for i in 0..batch * m {
                        p.a.data[i * k + q] = -p.a.data[i * k + q - 1];
                    }
                    for (product, j) in (0..batch).flat_map(|p| (0..n).map(move |j| (p, j))) {
                        let before = p.b.data[(product * k + q - 1) * n + j];
                        p.b.data[(product * k + q) * n + j] = before * (1.0 + f32::EPSILON * 3.0);
                    }
                }
            }
            Self::Huge => {
                for (e, x) in p.a.data.iter_mut().enumerate() {
                    times(x, scale((e * 29 % 128) as i32));
                }
            }
            Self::GivenInF64 => {
                let more = |data: &[f32], by: usize| -> Arc<[f64]> {
                    let place = |e: usize| scale(-25 - (e * by % 27) as i32);
                    let numbers = data.iter().enumerate();
                    numbers.map(|(e, &x)| f64::from(x) * (1.0 + place(e))).collect()
                };
                let given = [more(&p.a.data, 5), more(&p.b.data, 7)];
                p.a.data = given[0].iter().map(|&x| x as f32).collect();
                p.b.data = given[1].iter().map(|&x| x as f32).collect();
                p.given_f64 = Some(given);
            }
        }
        Ok(p)
    }
}

/// A device's kernels of these precisions, each with every set of parameters that it can have there, the
/// default first: those of software and those of hardware, whichever it is.
fn sources(device: &Device) -> Vec<Vec<KernelSource>> {
    let info = device.info();
    let of_type = |kind: &str| DeviceInfo { device_type: kind.to_owned(), ..info.clone() };
    let variants = [info.clone(), of_type("cpu"), of_type("discrete")];
    let pairs = Precision::WIDE.into_iter().flat_map(|p| Kernel::ALL.map(|kernel| (kernel, p)));
    let pairs = pairs.filter(|(kernel, precision)| {
        kernel.computes(*precision) && KernelSource::supports(*kernel, *precision, info).is_ok()
    });
    let with = |(kernel, precision)| {
        let mut sources: Vec<KernelSource> = vec![];
        for variant in &variants {
            for p in KernelSource::candidates(kernel, precision, Shape::square(1024), variant) {
                let source = KernelSource::with(kernel, precision, variant, p).unwrap();
                if sources.iter().all(|known| known.parameters != source.parameters) {
                    sources.push(source);
                }
            }
        }
        sources
    };
    pairs.map(with).collect()
}

type Case = (Shape, Data, bool);

const fn stored(layout: Layout, batch: usize, m: usize, n: usize, k: usize) -> Shape {
    Shape { layout, batch, ..Shape::new(m, n, k) }
}

/// The cases of a kernel with its default parameters: every layout, and awkward shapes and numbers.
fn cases(source: &KernelSource) -> Vec<Case> {
    let mut cases = if source.kernel == Kernel::Gemv {
        vec![
            (Shape::square(1), Data::Normal, true),
            (Shape::new(130, 1, 515), Data::Normal, false),
            (Shape::new(1, 131, 70), Data::Normal, false),
            (stored(Layout::Tn, 3, 37, 1, 41), Data::Cancelling, true),
            (stored(Layout::Tn, 1, 1, 37, 73), Data::Normal, false),
            (stored(Layout::Nt, 1, 37, 1, 33), Data::Tiny, false),
            (stored(Layout::Nt, 2, 1, 66, 40), Data::Normal, true),
            (stored(Layout::Tt, 2, 65, 1, 40), Data::Normal, false),
            (stored(Layout::Tt, 1, 1, 133, 37), Data::Tiny, false),
            (Shape::new(21, 1, 36), Data::Tiny, false),
            (Shape::new(1, 21, 36), Data::Huge, false),
            (stored(Layout::Tn, 1, 19, 1, 36), Data::GivenInF64, false),
        ]
    } else {
        vec![
            (Shape::square(1), Data::Normal, true),
            (Shape::new(5, 130, 515), Data::Normal, false),
            (Shape::new(19, 21, 36), Data::Tiny, false),
            (stored(Layout::Nn, 3, 9, 21, 36), Data::Cancelling, true),
            (stored(Layout::Tn, 2, 35, 41, 37), Data::Normal, true),
            (stored(Layout::Nt, 3, 33, 70, 41), Data::Cancelling, false),
            (stored(Layout::Tt, 1, 19, 21, 36), Data::Tiny, false),
            (stored(Layout::Tt, 2, 37, 34, 73), Data::Normal, true),
            (Shape::new(19, 21, 36), Data::Huge, false),
            (Shape::new(19, 21, 36), Data::GivenInF64, false),
            (stored(Layout::Tt, 2, 11, 13, 36), Data::GivenInF64, false),
        ]
    };
    cases.retain(|(_, data, _)| *data != Data::GivenInF64 || source.precision.takes_f64());
    cases
}

/// The cases of a kernel with other parameters: around its tile.
fn edge_cases(source: &KernelSource) -> Vec<Case> {
    let (rows, columns) = source.tile;
    let shapes = if source.kernel == Kernel::Gemv {
        [stored(Layout::Nn, 1, rows + 1, 1, 17), stored(Layout::Tt, 2, 1, columns - 1, 21)]
    } else {
        [Shape::new(rows + 1, columns - 1, 17), stored(Layout::Tt, 2, rows - 1, columns + 1, 21)]
    };
    shapes.map(|shape| (shape, Data::Normal, shape.batch > 1)).into()
}

pub fn trials(device: &Arc<Device>) -> Vec<Trial> {
    let mut trials = vec![];
    let sources = sources(device);
    let with_default = sources
        .iter()
        .flat_map(|all| cases(&all[0]).into_iter().map(|case| (&all[0], case)).collect::<Vec<_>>());
    let every = sources.iter().flatten();
    let at_edges = every.flat_map(|source| {
        edge_cases(source).into_iter().map(|case| (source, case)).collect::<Vec<_>>()
    });
    for (source, (shape, data, checks)) in with_default.chain(at_edges) {
        let parameters = source.parameters.to_string().replace(' ', ",");
        let KernelSource { precision, kernel, .. } = source;
        let name = format!("{precision}/{kernel}/{parameters}/{shape}-{data:?}");
        let source = source.clone();
        trials.push(device.trial(name, move |device| check(device, &source, shape, data, checks)));
    }
    for kernel in [Kernel::Naive, Kernel::RegisterTiled, Kernel::Gemv] {
        let name = format!("wide/compensation_shows/{kernel}");
        trials.push(device.trial(name, move |device| compensation_shows(device, kernel)));
    }
    trials
}

fn compute(
    context: &Context,
    source: &KernelSource,
    (problem, layout): (&MatmulProblem, Layout),
    checks: bool,
) -> Result<Entries, Failed> {
    let stored = Stored::new(layout, problem.batch, &problem.a, &problem.b);
    let stored = stored.with_f64(problem.given_f64());
    let gpu = GpuMatmul::prepare(context, source, &stored, KEY, checks)?;
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    Ok(gpu.entries(context)?)
}

fn bound_of(context: &Context, precision: Precision, k: usize) -> Result<Bound, Failed> {
    let fingerprint = &context.fingerprint;
    let guarantee = Guarantee::of(fingerprint.arithmetic, fingerprint.rounds_to_nearest);
    Ok(matmul_bound(precision, k, &[], &[], guarantee)?)
}

fn check(
    device: &Device,
    source: &KernelSource,
    shape: Shape,
    data: Data,
    checks: bool,
) -> Result<(), Failed> {
    let precision = source.precision;
    let problem = data.problem(shape)?;
    device.with(|context| {
        let c = compute(context, source, (&problem, shape.layout), checks)?;
        let fingerprint = &context.fingerprint;
        if fingerprint.unmodelled.is_none() {
            let arithmetic = fingerprint.arithmetic;
            let stored = Stored::new(shape.layout, shape.batch, &problem.a, &problem.b);
            let stored = stored.with_f64(problem.given_f64());
            let operands = Operands::convert_stored(precision, arithmetic, &stored, KEY);
            let rows: Vec<_> = (0..shape.batch * shape.m).collect();
            let mirror = entries(precision, arithmetic, &operands, 1, &rows, KEY);
            let found = c.mismatches(&mirror);
            if found.entries > 0 {
                let (c, mirror) = (c.values(), mirror.values());
                let first = (0..c.len()).find(|&e| c[e] != mirror[e]);
                let first = first.map(|e| (e / shape.n, e % shape.n, c[e], mirror[e]));
                return Err(format!(
                    "{} of {} entries differ from the mirror, the first {first:?}",
                    found.entries,
                    c.len()
                )
                .into());
            }
        }
        let truth = MatmulTruth::exact(&problem, None)?;
        let overflows = data == Data::Huge && precision != Precision::Fp64;
        let bound = bound_of(context, precision, shape.k)?;
        let bound = if data == Data::GivenInF64 { bound.of_f64(precision) } else { bound };
        let worst = bound.worst(&c.values(), &truth);
        match worst {
            _ if overflows => Ok(()),
            Some(worst) if worst.ratio <= 1.0 => Ok(()),
            worst => Err(format!("over its bound: {worst:?}").into()),
        }
    })
}

/// What a plain f32 sum of k = 256 loses is more than the bound of each compensated one allows, and
/// each keeps to it: the compensation took place.
fn compensation_shows(device: &Device, kernel: Kernel) -> Result<(), Failed> {
    let shape = if kernel == Kernel::Gemv { [2048, 1, 256] } else { [32, 64, 256] };
    let shape = Shape::new(shape[0], shape[1], shape[2]);
    let problem = Data::Normal.problem(shape)?;
    let truth = MatmulTruth::exact(&problem, None)?;
    for precision in [Precision::Fp32Comp, Precision::Fp32x2] {
        let ratio = |of: Precision| {
            device.with(|context| {
                let source = KernelSource::of(kernel, of, device.info());
                let c = compute(context, &source, (&problem, Layout::Nn), false)?.values();
                let bound = bound_of(context, precision, shape.k)?;
                Ok(bound.ratio(&c, &truth).unwrap_or(f64::INFINITY))
            })
        };
        let (plain, compensated) = (ratio(Precision::Fp32)?, ratio(precision)?);
        if !(compensated <= 1.0 && plain > 1.0) {
            let bound =
                format!("of the bound of {precision}: plain {plain}, compensated {compensated}");
            return Err(bound.into());
        }
    }
    Ok(())
}
