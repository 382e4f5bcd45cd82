//! SGD kernels against their mirrors, bit by bit, on every adapter present.

use tradeoff::gpu::{Candidate, Context, Source, compose, discover_from_env};
use tradeoff::mirror::sgd::{F16, Number, Setting, Workspace, change_of, residual_of, run};
use tradeoff::number::philox::philox4x32;
use tradeoff::number::{Arithmetic, Format, Precision, Rounding};
use tradeoff::problem::dataset::{Dataset, DatasetSpec, Loss};
use tradeoff::truth::sgd::Objective;
use tradeoff::workload::sgd::{
    Algorithm, CpuSgd, CpuSvrg, GpuOptions, GpuSgd, GpuSvrg, Grids, Plan, Schedule, SgdCase, Step,
    lost_averages,
};
use tradeoff::{wgsl, with_ops};

/// Opens every adapter; says so where there is none.
fn contexts() -> Vec<Context> {
    let candidates = discover_from_env().unwrap();
    let adapters: Vec<&Candidate> = candidates.iter().filter(|c| !c.is_cpu()).collect();
    if adapters.is_empty() {
        eprintln!("no GPU adapter: the comparisons with a device are skipped");
    }
    adapters.into_iter().map(|c| c.open().unwrap()).collect()
}

/// Words that differ, +0 and −0 of floating-point formats being different too.
fn differing(a: &[u32], b: &[u32]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// A run on the device under each schedule that applies, against one of the mirror.
fn compare(context: &Context, case: &SgdCase, data: &Dataset, options: GpuOptions) {
    let arithmetic = context.fingerprint.arithmetic;
    let window = Algorithm::window(data.n, case.batch, case.steps);
    let averaged = (options.algorithm == Algorithm::AveragedSgd).then_some(window);
    let mut cpu = CpuSgd::prepare_averaging(case, data, arithmetic, averaged).unwrap();
    cpu.run_trajectory();
    for schedule in Schedule::ALL.into_iter().filter(|schedule| schedule.applies(case.batch)) {
        let options = GpuOptions { schedule: Some(schedule), ..options };
        compare_with(context, case, data, options, &cpu);
    }
}

fn compare_with(
    context: &Context,
    case: &SgdCase,
    data: &Dataset,
    options: GpuOptions,
    cpu: &CpuSgd,
) {
    let gpu = GpuSgd::prepare_with(context, case, data, options).unwrap();
    let name = format!(
        "{} {} {} {} batch {} {options:?}",
        context.info.slug,
        data.spec,
        case.loss.name(),
        case.precision,
        case.batch
    );
    if !gpu.conversion_commands().is_empty() {
        context.run(gpu.conversion_commands(), 1).unwrap();
    }
    let stored = gpu.data_words(context).unwrap();
    assert_eq!(differing(&stored, &cpu.data_words()), 0, "{name}: converted data");
    context.run(gpu.trajectory_commands(), 1).unwrap();
    let snapshots = gpu.snapshot_words(context).unwrap();
    assert_eq!(snapshots.len(), cpu.snapshot_words().len());
    for ((step, got), (_, expected)) in snapshots.iter().zip(cpu.snapshot_words()) {
        let wrong = differing(got, expected);
        assert_eq!(wrong, 0, "{name}: {wrong} of {} words differ at step {step}", got.len());
    }
    let words = gpu.model_words(context).unwrap();
    assert_eq!(differing(&words, &cpu.model_words()), 0, "{name}: end");
    assert!(words.iter().any(|&w| w != 0), "{name}: the model never moved");
    assert_eq!(gpu.sums(context).unwrap().as_ref(), cpu.sums(), "{name}: sums of models");
    assert_eq!(gpu.average(context).unwrap(), cpu.average(), "{name}: mean of models");
    // The list restores the model and its sums: two repeats end where one does.
    context.run(gpu.commands(), 2).unwrap();
    assert_eq!(differing(&gpu.model_words(context).unwrap(), &words), 0, "{name}: repeated");
    assert_eq!(gpu.sums(context).unwrap().as_ref(), cpu.sums(), "{name}: repeated sums");
}

#[test]
fn every_setting_loss_and_batch_equals_its_mirror() {
    let contexts = contexts();
    for (spec, batches) in [
        (DatasetSpec::Figure2 { n: 150, d: 70 }, &[1, 7, 16, 64, 100, 150][..]),
        (DatasetSpec::Logistic { n: 131, d: 33 }, &[1, 17, 131]),
        (DatasetSpec::Digits, &[7, 100]),
    ] {
        let data = spec.load(11).unwrap();
        for context in &contexts {
            for precision in Precision::SGD {
                for loss in [Loss::LeastSquares, Loss::Logistic] {
                    for &batch in batches {
                        let rate = 2.0 * data.learning_rate(loss, batch, 0.0);
                        let case = SgdCase {
                            loss,
                            learning_rate: rate,
                            seed: 3,
                            trial: 5,
                            ..SgdCase::new(&data, precision, batch, 24)
                        };
                        compare(context, &case, &data, GpuOptions::default());
                    }
                }
            }
        }
    }
}

/// Sums of models, under every schedule and beyond one tile of rows; the probe of their form says on each
/// device what they do there.
#[test]
fn sums_of_models_equal_their_mirror() {
    let contexts = contexts();
    for (spec, batches) in [
        (DatasetSpec::Figure2 { n: 150, d: 70 }, &[7, 64, 150][..]),
        (DatasetSpec::Figure2 { n: 700, d: 9 }, &[257, 700]),
        (DatasetSpec::Digits, &[100]),
    ] {
        let data = spec.load(11).unwrap();
        for context in &contexts {
            assert_eq!(lost_averages(context).unwrap(), None, "{}", context.info.slug);
            for precision in Precision::SGD {
                for &batch in batches {
                    let rate = 2.0 * data.learning_rate(data.loss, batch, 0.0);
                    let case = SgdCase {
                        learning_rate: rate,
                        seed: 3,
                        trial: 5,
                        ..SgdCase::new(&data, precision, batch, 40)
                    };
                    let algorithm = Algorithm::AveragedSgd;
                    let options = GpuOptions { algorithm, ..GpuOptions::default() };
                    compare(context, &case, &data, options);
                }
            }
        }
    }
}

/// LP-SVRG and HALP through several full gradients: what the steps store, and the models, in f64, that
/// follow, under every schedule, beyond one tile of rows, over several buffers and with run-time checks.
#[test]
fn variance_reduced_steps_equal_their_mirror() {
    let contexts = contexts();
    for (spec, batches) in [
        (DatasetSpec::Normalised { n: 60, d: 37 }, &[1, 7, 60][..]),
        (DatasetSpec::Logistic { n: 131, d: 33 }, &[5, 131]),
        (DatasetSpec::Figure2 { n: 600, d: 9 }, &[257, 600]),
        (DatasetSpec::Digits, &[100]),
    ] {
        let data = spec.load(11).unwrap();
        for (context, algorithm) in
            contexts.iter().flat_map(|c| [Algorithm::LpSvrg, Algorithm::Halp].map(|a| (c, a)))
        {
            for (&batch, loss) in batches
                .iter()
                .flat_map(|b| [Loss::LeastSquares, Loss::Logistic].map(|loss| (b, loss)))
            {
                let steps = 3 * Algorithm::period(data.n, batch) + 1;
                let case = SgdCase {
                    loss,
                    learning_rate: data.learning_rate(loss, batch, 0.0),
                    seed: 3,
                    trial: 5,
                    ..SgdCase::new(&data, Precision::D32fM8Sr, batch, steps)
                };
                compare_reduced(context, &case, &data, algorithm);
            }
        }
    }
}

/// A run by LP-SVRG or HALP under each schedule that applies, against the mirror's.
fn compare_reduced(context: &Context, case: &SgdCase, data: &Dataset, algorithm: Algorithm) {
    let SgdCase { loss, batch, rounding_bits, .. } = *case;
    let arithmetic = context.fingerprint.arithmetic;
    let mut cpu = CpuSvrg::prepare(case, data, algorithm, arithmetic).unwrap();
    let expected = cpu.run_trajectory(data);
    assert_eq!(cpu.run(data).0, expected.last().unwrap().model);
    let name = format!(
        "{} {} {} {algorithm} batch {batch} by {rounding_bits} bits",
        context.info.slug,
        data.spec,
        loss.name()
    );
    let moved = expected.iter().any(|now| now.words.iter().any(|&word| word != 0));
    assert!(moved, "{name}: nothing moves");
    for schedule in Schedule::ALL.into_iter().filter(|s| s.applies(batch)) {
        let options = GpuOptions {
            checks: batch == 7,
            chunk_bytes: (batch == 7).then_some(16 * 4 * data.d_padded as u64),
            schedule: Some(schedule),
            algorithm,
        };
        let gpu = GpuSvrg::prepare(context, case, data, options, &|_, _| {}).unwrap();
        let name = format!("{name} {}", schedule.name());
        let got = gpu.run_trajectory(context, data).unwrap();
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            let wrong = differing(&got.words, &expected.words);
            assert_eq!(wrong, 0, "{name}: words differ at step {}", expected.step);
            assert_eq!(got, expected, "{name}: models differ");
        }
        // A run leaves nothing that the next one would see.
        let again = gpu.run(context, data).unwrap();
        assert_eq!(again, expected.last().unwrap().model, "{name}: repeated");
    }
}

/// Numbers of random bits that tests take.
const FEWER_BITS: [u32; 4] = [1, 4, 8, 13];

/// Fewer random bits than 16, of every setting that rounds by any, under every schedule and beyond one tile
/// of rows, with and without sums of models; and few of them matter.
#[test]
fn fewer_random_bits_equal_their_mirror() {
    let contexts = contexts();
    let data = DatasetSpec::Figure2 { n: 300, d: 37 }.load(11).unwrap();
    let stochastic = |p: &&Precision| p.rounding() == Rounding::Stochastic;
    for &precision in Precision::SGD.iter().filter(stochastic) {
        for batch in [7, 257] {
            let auto = SgdCase::new(&data, precision, batch, 24);
            let rate = 2.0 * auto.learning_rate;
            let by = |rounding_bits| SgdCase {
                learning_rate: rate,
                seed: 3,
                trial: 5,
                rounding_bits,
                ..auto
            };
            let result = |bits| {
                let mut cpu = CpuSgd::prepare(&by(bits), &data, Arithmetic::host()).unwrap();
                cpu.run();
                cpu.model_words()
            };
            for bits in FEWER_BITS {
                // Of 24·37 roundings one in 2·2^bits, at most, ends otherwise than by 16 bits.
                assert!(bits > 4 || result(bits) != result(16), "{precision} by {bits} bits");
                for context in &contexts {
                    compare(context, &by(bits), &data, GpuOptions::default());
                    if bits == 4 {
                        let algorithm = Algorithm::AveragedSgd;
                        let options = GpuOptions { algorithm, ..GpuOptions::default() };
                        compare(context, &by(bits), &data, options);
                    }
                }
            }
        }
    }
}

/// The same of LP-SVRG and HALP.
#[test]
fn fewer_random_bits_of_variance_reduced_steps_equal_their_mirror() {
    let contexts = contexts();
    for (spec, batch) in [
        (DatasetSpec::Normalised { n: 60, d: 37 }, 7),
        (DatasetSpec::Figure2 { n: 300, d: 9 }, 257),
    ] {
        let data = spec.load(11).unwrap();
        let steps = 3 * Algorithm::period(data.n, batch) + 1;
        let auto = SgdCase::new(&data, Precision::D32fM8Sr, batch, steps);
        for algorithm in [Algorithm::LpSvrg, Algorithm::Halp] {
            let result = |rounding_bits| {
                let case = SgdCase { rounding_bits, ..auto };
                let mut cpu =
                    CpuSvrg::prepare(&case, &data, algorithm, Arithmetic::host()).unwrap();
                cpu.run(&data).0
            };
            for rounding_bits in FEWER_BITS {
                let matters = batch == 7 && rounding_bits <= 4; // of some 2,000 roundings
                assert!(!matters || result(rounding_bits) != result(16), "{rounding_bits} bits");
                for context in &contexts {
                    compare_reduced(context, &SgdCase { rounding_bits, ..auto }, &data, algorithm);
                }
            }
        }
    }
}

/// The logistic residual alone, over all magnitudes of z and both targets.
#[test]
fn logistic_equals_its_mirror() {
    const MAIN: Source = Source {
        path: "main",
        text: "@group(0) @binding(0) var<storage, read> z: array<vec2<f32>>;
            @group(0) @binding(1) var<storage, read_write> r: array<vec2<f32>>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                r[id.x].x = residual_of(z[id.x].x, z[id.x].y, 0.0);
                r[id.x].y = residual_of(z[id.x].x, z[id.x].y, 1.0);
            }",
    };
    const COUNT: usize = 1 << 20;
    let random = |i| philox4x32([i, 0, 0, 0], [1, 2]);
    let inputs: Vec<[f32; 2]> = (0..COUNT as u32)
        .map(|i| {
            let [a, b, ..] = random(i);
            let magnitude = f32::from_bits(0x3000_0000 + a % 0x1300_0000); // 2^-31 to 2^7
            [if b & 1 == 0 { magnitude } else { -magnitude }, 1.0]
        })
        .collect();
    for context in contexts() {
        let composed = compose(&[
            wgsl!("sgd/loss_logistic.wgsl"),
            wgsl!("sgd/exponential.wgsl"),
            wgsl!("shared/reciprocal.wgsl"),
            MAIN,
        ]);
        let pipeline = context.pipeline(&composed, "main", &[]).unwrap();
        let source = context.buffer("z", (COUNT * 8) as u64).unwrap();
        let target = context.buffer("r", (COUNT * 8) as u64).unwrap();
        context.upload(&source, bytemuck::cast_slice(&inputs)).unwrap();
        let groups = [COUNT as u32 / 64, 1, 1];
        let dispatch = context.dispatch(&pipeline, &[(0, &source), (1, &target)], groups).unwrap();
        context.run(&[dispatch], 1).unwrap();
        let bytes = context.read(&target, 0, (COUNT * 8) as u64).unwrap();
        let got: Vec<[f32; 2]> = bytemuck::pod_collect_to_vec(&bytes);
        with_ops!(context.fingerprint.arithmetic, O => {
            let mut wrong = 0;
            for (&[z, scale], got) in inputs.iter().zip(&got) {
                let expected = [0.0, 1.0].map(|y| residual_of::<O>(Loss::Logistic, z, scale, y));
                if expected.map(f32::to_bits) != got.map(f32::to_bits) {
                    if wrong < 10 { println!("z = {z:e}: {got:?}, mirror {expected:?}"); }
                    wrong += 1;
                }
            }
            assert_eq!(wrong, 0, "{} of {COUNT} on {}", wrong, context.info.slug);
        });
    }
}

/// The change of the logistic residual alone, over all magnitudes of change and products at the centre.
#[test]
fn logistic_changes_equal_their_mirror() {
    const MAIN: Source = Source {
        path: "main",
        text: "@group(0) @binding(0) var<storage, read> given: array<vec4<f32>>;
            @group(0) @binding(1) var<storage, read_write> r: array<f32>;
            var<private> delta: f32;
            fn grid_step() -> f32 { return delta; }
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                delta = given[id.x].y;
                r[id.x] = residual_of(given[id.x].x, 1.0, given[id.x].z);
            }",
    };
    const COUNT: usize = 1 << 18;
    let signed = |bits: u32, x: f32| if bits & 1 == 0 { x } else { -x };
    let inputs: Vec<[f32; 4]> = (0..COUNT as u32)
        .map(|i| {
            let [a, b, c, d] = philox4x32([i, 0, 0, 0], [1, 3]);
            let product = f32::from_bits(0x3d00_0000 + a % 0x0600_0000); // 2^-5 to 2^7
            let step = f32::from_bits(0x2000_0000 + b % 0x2200_0000); // 2^-63 to 2^5
            let centre = f32::from_bits(0x3c00_0000 + c % 0x0700_0000); // 2^-7 to 2^7
            [signed(d, product), step, signed(d >> 1, centre), 0.0]
        })
        .collect();
    for context in contexts() {
        let files = [
            wgsl!("sgd/change_logistic.wgsl"),
            wgsl!("sgd/exponential.wgsl"),
            wgsl!("shared/reciprocal.wgsl"),
            MAIN,
        ];
        let pipeline = context.pipeline(&compose(&files), "main", &[]).unwrap();
        let source = context.buffer("given", (COUNT * 16) as u64).unwrap();
        let target = context.buffer("r", (COUNT * 4) as u64).unwrap();
        context.upload(&source, bytemuck::cast_slice(&inputs)).unwrap();
        let groups = [COUNT as u32 / 64, 1, 1];
        let dispatch = context.dispatch(&pipeline, &[(0, &source), (1, &target)], groups).unwrap();
        context.run(&[dispatch], 1).unwrap();
        let bytes = context.read(&target, 0, (COUNT * 4) as u64).unwrap();
        let got: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        with_ops!(context.fingerprint.arithmetic, O => {
            for (&[product, step, centre, _], got) in inputs.iter().zip(&got) {
                let expected = change_of::<O>(Loss::Logistic, product, step, centre);
                let name = format!("{}: {product:e} {step:e} {centre:e}", context.info.slug);
                assert_eq!(expected.to_bits(), got.to_bits(), "{name}: {got:e}, not {expected:e}");
            }
        });
    }
}

/// The data set over four buffers, with the run-time checks of wgpu: the same bits.
#[test]
fn chunks_and_checks_change_nothing() {
    let data = DatasetSpec::Figure2 { n: 150, d: 70 }.load(11).unwrap();
    let row_bytes = data.d_padded as u64 * 4;
    for context in contexts() {
        for precision in Precision::SGD {
            for (batch, rows, checks) in [(64, 38, false), (100, 40, true), (7, 75, true)] {
                let chunk_bytes = Some(rows * row_bytes);
                let options = GpuOptions { checks, chunk_bytes, ..GpuOptions::default() };
                let case = SgdCase::new(&data, precision, batch, 6);
                compare(&context, &case, &data, options);
            }
        }
        let case = SgdCase::new(&data, Precision::D32fM32f, 7, 6);
        let options = GpuOptions { chunk_bytes: Some(37 * row_bytes), ..GpuOptions::default() };
        let error = GpuSgd::prepare_with(&context, &case, &data, options).unwrap_err();
        assert!(error.to_string().contains("over the device's limit"), "{error}");
    }
}

/// More than one tile of rows, more than one a lane, and more workgroups than one dimension of
/// a grid holds.
#[test]
fn large_batches_equal_their_mirror() {
    for context in contexts() {
        let data = DatasetSpec::Figure2 { n: 5000, d: 9 }.load(4).unwrap();
        for precision in Precision::SGD {
            for batch in [255, 256, 257, 4097, 5000] {
                let case = SgdCase::new(&data, precision, batch, 5);
                let options = GpuOptions { checks: batch == 5000, ..GpuOptions::default() };
                compare(&context, &case, &data, options);
            }
        }
        let data = DatasetSpec::Figure2 { n: 270_000, d: 3 }.load(4).unwrap();
        assert!(data.n as u64 * 16 / 64 > 65_535);
        for batch in [data.n, data.n - 1] {
            let case = SgdCase::new(&data, Precision::D8M8Sr, batch, 3);
            compare(&context, &case, &data, GpuOptions::default());
        }
    }
}

/// More steps than one dispatch of the persistent workgroup makes, over several epochs whose last
/// minibatch is smaller; and the number of threads changes nothing.
#[test]
fn long_runs_equal_their_mirror() {
    let data = DatasetSpec::Logistic { n: 3000, d: 30 }.load(4).unwrap();
    for context in contexts() {
        for (precision, batch) in [(Precision::D8M8Sr, 1), (Precision::D16fM16fSr, 7)] {
            let case = SgdCase::new(&data, precision, batch, 7000);
            compare(&context, &case, &data, GpuOptions::default());
        }
    }
    let data = DatasetSpec::Figure2 { n: 600, d: 700 }.load(4).unwrap();
    for batch in [64, 600] {
        let case = SgdCase::new(&data, Precision::D8M8Sr, batch, 20);
        let words = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut cpu = CpuSgd::prepare(&case, &data, Arithmetic::host()).unwrap();
                cpu.run();
                cpu.model_words()
            })
        };
        let alone = words(1);
        assert!(alone.iter().any(|&word| word != 0));
        assert_eq!(words(2), alone);
        assert_eq!(words(7), alone);
    }
}

/// One row, one column, one step, and shapes about the multiples of 4, 8 and 64.
#[test]
fn awkward_shapes_equal_their_mirror() {
    let contexts = contexts();
    for (n, d) in [(1, 1), (2, 3), (3, 5), (5, 63), (9, 64), (4, 65), (6, 257)] {
        let data = DatasetSpec::Figure2 { n, d }.load(n).unwrap();
        for context in &contexts {
            for precision in [Precision::D16fM16fSr, Precision::D8M8Sr, Precision::D16M16Sr] {
                let case = SgdCase::new(&data, precision, n.div_ceil(2) as usize, 9);
                compare_whole(context, &case, &data);
            }
        }
    }
}

/// As [`compare`], where a small model may well stay at zero.
fn compare_whole(context: &Context, case: &SgdCase, data: &Dataset) {
    let gpu = GpuSgd::prepare(context, case, data).unwrap();
    let mut cpu = CpuSgd::prepare(case, data, context.fingerprint.arithmetic).unwrap();
    context.run(gpu.conversion_commands(), 1).unwrap();
    context.run(gpu.commands(), 1).unwrap();
    cpu.run();
    let name = format!("{} {} {}", context.info.slug, data.spec, case.precision);
    assert_eq!(gpu.model_words(context).unwrap(), cpu.model_words(), "{name}");
}

fn norm(v: impl IntoIterator<Item = f64>) -> f64 {
    v.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f32]) -> f64 {
    norm(a.iter().zip(b).map(|(a, &b)| a - f64::from(b)))
}

/// Bound on the rounding errors of one full-gradient step of least squares in f32 from `w`, to
/// first order and then doubled: each product x·w is off by (d + 8)u |x|·|w|, its residual by u
/// more, the sum over b rows by (b + 8)u of its absolute values, the update by 4u of its terms.
fn step_rounding(data: &Dataset, w: &[f64], alpha: f64) -> f64 {
    let (u, n, d) = (2f64.powi(-24), data.n as f64, data.d as f64);
    let mut sums = vec![0.0; data.d_padded];
    for (x, &y) in data.x.chunks(data.d_padded).zip(&data.targets) {
        let product: f64 = x.iter().zip(w).map(|(&x, w)| f64::from(x) * w).sum();
        let absolute: f64 = x.iter().zip(w).map(|(&x, w)| (f64::from(x) * w).abs()).sum();
        let residual = (product - f64::from(y)).abs();
        let wrong = u * ((d + 8.0) * absolute + residual + (n + 8.0) * residual);
        sums.iter_mut().zip(x).for_each(|(s, &x)| *s += wrong * f64::from(x).abs());
    }
    let update = 4.0 * u * norm(w.iter().copied());
    2.0 * (alpha / n * norm(sums) + 2.0 * update)
}

/// Full gradient descent in f32 stays within its rounding errors of the f64 trajectory: a step of
/// at most 1/L carries an earlier error on without enlarging it.
#[test]
fn f32_follows_the_f64_trajectory_and_coarser_formats_less() {
    let data = DatasetSpec::Figure2 { n: 300, d: 40 }.load(6).unwrap();
    let case = SgdCase::new(&data, Precision::D32fM32f, data.n, 64);
    let plan = Plan::new(&case, &data, &Grids::new(case.precision, &data));
    let exact = Objective::new(&case, &data).trajectory(&case, &plan);
    let run = |precision| {
        let mut cpu =
            CpuSgd::prepare(&SgdCase { precision, ..case }, &data, Arithmetic::host()).unwrap();
        cpu.run_trajectory();
        cpu.snapshots()
    };
    let alpha = f64::from(case.learning_rate);
    // |w| grows to the optimum and no residual exceeds the targets: the largest of the bounds at
    // the recorded models, doubled for those between them.
    let largest = exact.iter().map(|(_, w)| step_rounding(&data, w, alpha)).fold(0.0, f64::max);
    let first = step_rounding(&data, &vec![0.0; data.d_padded], alpha);
    let f32_run = run(Precision::D32fM32f);
    for ((steps, exact), (_, got)) in exact.iter().zip(&f32_run) {
        let (error, bound) = (distance(exact, got), 2.0 * f64::from(*steps) * largest.max(first));
        assert!(error <= bound, "step {steps}: {error:e} over {bound:e}");
        assert!(bound < 0.05 * norm(exact.iter().copied()), "the bound says nothing: {bound:e}");
    }
    // f32, 16-bit and 8-bit grids: their units are apart by a factor of 256, their errors by less
    // (they grow differently with the steps) but by a factor that shows the order.
    let end = &exact.last().unwrap().1;
    let errors = [Precision::D32fM32f, Precision::D16M16Sr, Precision::D8M8Sr]
        .map(|precision| distance(end, &run(precision).last().unwrap().1));
    assert!(
        errors[0] > 0.0 && errors[1] > 4.0 * errors[0] && errors[2] > 4.0 * errors[1],
        "{errors:?}"
    );
}

/// Where f32 gradient descent stops, what it takes for the gradient is its own rounding error.
#[test]
fn full_gradient_descent_reaches_the_optimum_in_f32() {
    let data = DatasetSpec::Figure2 { n: 300, d: 20 }.load(2).unwrap();
    let case = SgdCase::new(&data, Precision::D32fM32f, data.n, 2000);
    let objective = Objective::new(&case, &data);
    let optimum = objective.optimum().unwrap();
    let mut cpu = CpuSgd::prepare(&case, &data, Arithmetic::host()).unwrap();
    cpu.run();
    let model: Vec<f64> = cpu.model().iter().map(|&w| w.into()).collect();
    let alpha = f64::from(case.learning_rate);
    // At rest |α·∇f| is at most the rounding error of a step; in a cycle, as much again.
    let bound = 2.0 * step_rounding(&data, &optimum.model, alpha) / alpha;
    let gradient_norm = objective.gradient_norm(&model);
    assert!(gradient_norm <= bound, "{gradient_norm:e} over {bound:e}");
    assert!(bound < 1e-2 * objective.gradient_norm(&vec![0.0; model.len()]));
}

#[test]
fn digits_are_learnt() {
    let data = DatasetSpec::Digits.load(1).unwrap();
    for (precision, least) in
        [(Precision::D32fM32f, 0.9), (Precision::D16fM16fSr, 0.9), (Precision::D8M8Sr, 0.9)]
    {
        let case = SgdCase::new(&data, precision, 32, 900); // 20 epochs
        let objective = Objective::new(&case, &data);
        let accuracy = |model: Vec<f32>| {
            let model: Vec<f64> = model.into_iter().map(f64::from).collect();
            objective.test_accuracy(&model).unwrap()
        };
        let mut cpu = CpuSgd::prepare(&case, &data, Arithmetic::host()).unwrap();
        cpu.run();
        let reached = accuracy(cpu.model());
        assert!(reached > least, "{precision}: {reached}");
    }
    assert!(
        Objective::new(&SgdCase::new(&data, Precision::D32fM32f, 1, 1), &data)
            .test_accuracy(&vec![0.0; 10 * data.d_padded])
            .is_some_and(|chance| chance < 0.2)
    );
}

/// One mirror step of an n = 1 least-squares problem from `model`, with rate and decay given.
fn one_step<M: Number>(model: &mut [M], x: &[f32], y: f32, now: Step) {
    one_step_by(16, model, x, y, now);
}

/// The same by so many random bits.
fn one_step_by<M: Number>(rounding_bits: u32, model: &mut [M], x: &[f32], y: f32, now: Step) {
    let setting = Setting {
        d_padded: model.len(),
        outputs: 1,
        loss: Loss::LeastSquares,
        rounding: Rounding::Stochastic,
        rounding_bits,
        arithmetic: Arithmetic::host(),
        shuffled: false,
        averaged_from: None,
        centred: false,
        counts: false,
    };
    let mut workspace = Workspace::new(&setting, 1);
    let now = Step { batch: 1, rows: 1, half_bits: 1, scale: 1.0, ..now };
    run(&setting, &[now], x, &[y], &mut [0], model, &mut workspace);
}

#[test]
fn stored_values_never_move_without_an_update() {
    let x: Vec<f32> = (0..64).map(|i| i as f32 - 31.5).collect();
    for trial in 0..50 {
        let now = Step { trial, ..Step::default() };
        let bytes: Vec<i8> = (0..64).map(|i| (i * 4 - 127) as i8).collect();
        let words: Vec<i16> = (0..64).map(|i| (i * 1040 - 32_767) as i16).collect();
        let halves: Vec<F16> = (0..64).map(|i| F16(i * 480 + 1)).collect();
        let (mut a, mut b, mut c) = (bytes.clone(), words.clone(), halves.clone());
        one_step(&mut a, &x, 1.0, now);
        one_step(&mut b, &x, 1.0, now);
        one_step(&mut c, &x, 1.0, now);
        assert!(a == bytes && b == words && c == halves, "trial {trial}");
    }
}

/// The mean of stochastically rounded updates is the update, within six standard errors of a
/// mean of 20,000 numbers of standard deviation at most ½, plus the 2⁻¹⁶ that 16 bits cut off.
#[test]
fn stochastic_updates_are_unbiased_in_trial_and_coordinate() {
    let x = vec![1.0; 8];
    let (trials, target) = (20_000, 10.0 - 0.3);
    let mut sums = [0.0; 8];
    for trial in 0..trials {
        let mut model = vec![10i8; 8];
        // z = 80, r = 80 − 79 = 1: each coordinate becomes 10 − 0.3.
        one_step(&mut model, &x, 79.0, Step { trial, rate: 0.3, ..Step::default() });
        sums.iter_mut().zip(&model).for_each(|(s, &w)| *s += f64::from(w));
    }
    let tolerance = 6.0 * 0.5 / f64::from(trials).sqrt() + 2f64.powi(-16);
    for sum in sums {
        let mean = sum / f64::from(trials);
        assert!((mean - target).abs() <= tolerance, "{mean}");
    }
}

/// By r random bits an update by f steps of the grid, 0 ≤ f < 1, moves a coordinate away from 0 with
/// probability ⌊2ʳf⌋/2ʳ and towards it with ⌈2ʳf⌉/2ʳ: it is the magnitude that is cut to r bits before they
/// decide. So what is below 2⁻ʳ of a step stalls away from 0, as rounding to nearest does below a half, and
/// goes on too fast towards it; by 16 bits it does neither. Six standard deviations of the mean of 32,000
/// draws are allowed, and nothing where the probability is 0 or 1.
#[test]
fn small_updates_stall_away_from_zero_by_few_bits() {
    const D: usize = 64;
    const TRIALS: u32 = 500;
    // z = Σw = ±640 and r = ∓1: each coordinate goes by `f` from ±10, away from 0 or towards it.
    let moved = |bits: u32, side: i8, away: bool, f: f32| {
        let (mut moved, target) = (0, f32::from(side) * (640.0 + if away { 1.0 } else { -1.0 }));
        for trial in 0..TRIALS {
            let mut model = [10 * side; D];
            let now = Step { trial, rate: f, ..Step::default() };
            one_step_by(bits, &mut model, &[1.0; D], target, now);
            moved += model.iter().filter(|&&w| w != 10 * side).count();
        }
        moved as f64 / (D as f64 * f64::from(TRIALS))
    };
    for bits in [1, 2, 4, 8, 16] {
        let parts = 2f64.powi(bits);
        let bits = bits as u32;
        // Far enough from a multiple of 2⁻ʳ that the update's rounding, by 2⁻²¹ at most, crosses none.
        let sizes = [0.9 / parts, 1.1 / parts, 0.3, 0.7].map(|f| f as f32);
        for f in if bits == 16 { &sizes[2..] } else { &sizes[..] } {
            for side in [1, -1] {
                let product = f64::from(*f) * parts;
                for (away, p) in [(true, product.floor() / parts), (false, product.ceil() / parts)]
                {
                    let p = p.min(1.0);
                    let tolerance = 6.0 * (p * (1.0 - p) / (D as f64 * f64::from(TRIALS))).sqrt();
                    let found = moved(bits, side, away, *f);
                    let name = format!("{bits} bits, {f} steps, away: {away}");
                    assert!((found - p).abs() <= tolerance, "{name}: {found}, not {p}");
                    assert!(p == 0.0 || p == 1.0 || found > 0.0 && found < 1.0, "{name}: {found}");
                }
            }
        }
    }
}

/// The truth of an averaged run is the mean of the same models in f64: that in f32 is within the error of
/// its models, each less than the largest of a doubled step's rounding times the steps, and the last model
/// of the trajectory is not.
#[test]
fn an_averaged_truth_is_the_mean_of_the_same_models() {
    let data = DatasetSpec::Figure2 { n: 300, d: 40 }.load(6).unwrap();
    let case = SgdCase::new(&data, Precision::D32fM32f, 20, 90);
    let plan = Plan::new(&case, &data, &Grids::new(case.precision, &data));
    let objective = Objective::new(&case, &data);
    let models = Algorithm::window(data.n, 20, 90);
    let (snapshots, mean) = objective.trajectory_and_mean(&case, &plan, models);
    assert_eq!(snapshots, objective.trajectory(&case, &plan));
    let mut sum = vec![0.0; mean.len()];
    for steps in 91 - models..=90 {
        let case = SgdCase { steps, ..case };
        let plan = Plan::new(&case, &data, &Grids::new(case.precision, &data));
        let (_, last) = objective.trajectory(&case, &plan).pop().unwrap();
        sum.iter_mut().zip(last).for_each(|(sum, w)| *sum += w);
    }
    assert_eq!(mean, sum.iter().map(|w| w / f64::from(models)).collect::<Vec<_>>());
    let host = Arithmetic::host();
    let mut cpu = CpuSgd::prepare_averaging(&case, &data, host, Some(models)).unwrap();
    cpu.run();
    let average = cpu.average().unwrap();
    let apart = |from: &[f64]| norm(average.iter().zip(from).map(|(a, b)| a - b));
    let (to_mean, to_last) = (apart(&mean), apart(&snapshots.last().unwrap().1));
    assert!(100.0 * to_mean < to_last, "{to_mean:e} and {to_last:e}");
}

/// The mean over the last steps is that of the models that shorter runs end with: exactly, where they
/// are on a grid, else within the 2u² of the sum of magnitudes that an addition of pairs may lose.
#[test]
fn averages_are_those_of_the_models() {
    let data = DatasetSpec::Digits.load(3).unwrap();
    for precision in Precision::SGD {
        let case = SgdCase::new(&data, precision, 20, 90);
        let host = Arithmetic::host();
        let mut cpu = CpuSgd::prepare_averaging(&case, &data, host, Some(4)).unwrap();
        cpu.run();
        let average = cpu.average().unwrap();
        cpu.run_trajectory();
        assert_eq!(cpu.average().unwrap(), average, "{precision}: a run restarts the sums");
        let (mut sums, mut sizes) = (vec![0.0; average.len()], vec![0.0; average.len()]);
        for steps in 87..=90 {
            let mut cpu = CpuSgd::prepare(&SgdCase { steps, ..case }, &data, host).unwrap();
            cpu.run();
            assert_eq!(cpu.average(), None);
            // Every model is on a grid of powers of two, or f32: f64 sums of four are exact enough
            // to be the same in either unit.
            sums.iter_mut().zip(cpu.model()).for_each(|(sum, w)| *sum += f64::from(w));
            sizes.iter_mut().zip(cpu.model()).for_each(|(size, w)| *size += f64::from(w).abs());
        }
        let wide = matches!(precision.accumulator(), Format::F32 | Format::Bf16);
        let lost = if wide { 4.0 * 2f64.powi(-47) } else { 0.0 };
        for ((mean, sum), size) in average.iter().zip(&sums).zip(&sizes) {
            assert!((4.0 * mean - sum).abs() <= lost * size, "{precision}: {mean:e}, {sum:e} / 4");
        }
    }
}

/// Updates that change nothing: all of them once rounding to nearest has stalled, and by chance where
/// rounding is stochastic. An update of φ grid steps then leaves the coordinate with probability 1 − φ:
/// six standard deviations are allowed, and 2⁻¹⁶ for the bits that are cut off.
#[test]
fn updates_that_change_nothing_are_counted() {
    // With n = 1 and x = 1 in each of d columns, z = Σw and each coordinate's update is −rate·(z − y).
    let fraction = |rounding, rate: f32, target: f32| {
        const D: usize = 4096;
        let setting = Setting {
            d_padded: D,
            outputs: 1,
            loss: Loss::LeastSquares,
            rounding,
            rounding_bits: 16,
            arithmetic: Arithmetic::host(),
            shuffled: false,
            averaged_from: None,
            centred: false,
            counts: true,
        };
        let mut workspace = Workspace::new(&setting, 1);
        let (x, mut model) = (vec![1.0; D], vec![0i8; D]);
        let now = Step { batch: 1, rows: 1, half_bits: 1, scale: 1.0, rate, ..Step::default() };
        run(&setting, &[now], &x, &[target], &mut [0], &mut model, &mut workspace);
        let [all, none] = workspace.updates();
        assert_eq!(none, model.iter().filter(|&&w| w == 0).count() as u64 * all / D as u64);
        (all, none as f64 / D as f64)
    };
    assert_eq!(fraction(Rounding::Nearest, 0.25, 1.0), (4096, 1.0));
    assert_eq!(fraction(Rounding::Nearest, 0.75, 1.0), (4096, 0.0));
    assert_eq!(fraction(Rounding::Nearest, 0.75, 0.0), (0, 0.0), "no gradient is no update");
    let (all, none) = fraction(Rounding::Stochastic, 0.25, 1.0);
    let tolerance = 6.0 * (0.25f64 * 0.75 / 4096.0).sqrt() + 2f64.powi(-16);
    assert!(all == 4096 && (none - 0.75).abs() <= tolerance, "{none}");
    // As a column of a whole run.
    let data = DatasetSpec::Figure2 { n: 300, d: 40 }.load(6).unwrap();
    let stagnated = Precision::SGD.map(|precision| {
        let case = SgdCase::new(&data, precision, data.n, 400);
        let mut cpu = CpuSgd::prepare(&case, &data, Arithmetic::host()).unwrap();
        assert_eq!(cpu.stagnated_fraction(), None);
        cpu.run_trajectory();
        cpu.stagnated_fraction().unwrap()
    });
    let of = |precision| {
        let place = Precision::SGD.iter().position(|&p| p == precision).unwrap();
        stagnated[place]
    };
    // The coarser the grid the sooner it stalls, and rounding stochastically it never does.
    let [fine, half, coarse] = [Precision::D32fM32f, Precision::D16fM16f, Precision::D8M8].map(of);
    assert!(fine < half && half < coarse && of(Precision::D8M8Sr) < coarse, "{stagnated:?}");
}

/// LP-SVRG and HALP of De Sa et al. (2018), whose steps are here in f32: n = 1000, d = 100, α = 0.1,
/// T = 2n, 8 bits, μ = 0.03. LP-SVRG stays at a gradient norm of 2e-2 (within a factor of two at each
/// of the last ten full gradients), and HALP goes on to the roundoff of the gradient in f64, of which ten
/// times is allowed, as if all were f64 (`mirror::sgd::Svrg`), its norm halving at least from one full
/// gradient to the next until it is near. So it does where the loss is logistic, if more slowly: there it
/// need only fall.
#[test]
fn halp_converges_where_lp_svrg_stalls() {
    for (spec, rate, epochs, factor) in [
        (DatasetSpec::Normalised { n: 1000, d: 100 }, Some(0.1), 50, 0.5),
        (DatasetSpec::Logistic { n: 400, d: 20 }, None, 120, 1.0),
    ] {
        let data = spec.load(1).unwrap();
        let period = Algorithm::period(data.n, 1);
        let auto = SgdCase::new(&data, Precision::D32fM8Sr, 1, epochs * period);
        let case = SgdCase {
            learning_rate: rate.unwrap_or(auto.learning_rate),
            regularisation: if rate.is_some() { 0.0 } else { auto.regularisation },
            seed: 1,
            ..auto
        };
        let objective = Objective::new(&case, &data);
        let norms = |algorithm| -> Vec<f64> {
            let mut cpu = CpuSvrg::prepare(&case, &data, algorithm, Arithmetic::host()).unwrap();
            let (mut norms, mut done) = (vec![], 0);
            cpu.at_full_gradients(&data, &mut |now| {
                assert_eq!(now.step, done + period);
                done = now.step;
                norms.push(objective.gradient_norm(&now.model));
            });
            norms
        };
        let (stalled, centred) = (norms(Algorithm::LpSvrg), norms(Algorithm::Halp));
        println!("{spec}: LP-SVRG {:?}\nHALP {:?}", &stalled[stalled.len() - 5..], centred);
        if rate.is_some() {
            assert!(stalled[20..].iter().all(|norm| (1e-2..4e-2).contains(norm)), "{stalled:?}");
        }
        let optimum = objective.optimum().unwrap().model;
        let mut roundoff = vec![0.0; data.d_padded];
        for (x, &y) in data.x.chunks(data.d_padded).zip(&data.targets) {
            let z: f64 = x.iter().zip(&optimum).map(|(&x, w)| f64::from(x) * w).sum();
            let residual = match case.loss {
                Loss::LeastSquares => z - f64::from(y),
                Loss::Logistic => 1.0 / (1.0 + (-z).exp()) - f64::from(y),
            };
            roundoff.iter_mut().zip(x).for_each(|(sum, &x)| {
                *sum += residual.abs() * f64::from(x).abs() / data.n as f64;
            });
        }
        let roundoff = f64::EPSILON * norm(roundoff);
        let reached = centred.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(reached <= 10.0 * roundoff, "{spec}: {reached:e} against {roundoff:e}");
        let pairs = centred.windows(2).take_while(|pair| pair[1] > 1e3 * roundoff);
        let worst = pairs.map(|pair| pair[1] / pair[0]).fold(0.0, f64::max);
        assert!(worst < factor, "{spec}: {worst}");
    }
}

/// A quadratic ½Σλⱼ(wⱼ − w*ⱼ)² as least squares on a diagonal matrix, so that its coordinates do not
/// touch: row j holds √(nλⱼ) in column j. The model is 8-bit with δ = 1.
struct Quadratic {
    /// √(nλⱼ), exact.
    roots: Vec<f32>,
    optimum: Vec<f32>,
    rounding: Rounding,
}

impl Quadratic {
    const D: usize = 64;

    fn curvature(&self, j: usize) -> f64 {
        f64::from(self.roots[j]).powi(2) / Self::D as f64
    }

    fn loss(&self, model: impl Fn(usize) -> f64) -> f64 {
        let term = |j| 0.5 * self.curvature(j) * (model(j) - f64::from(self.optimum[j])).powi(2);
        (0..Self::D).map(term).sum()
    }

    /// Steps `first` to `end` − 1 of full gradients, calling `after` with each model; the sums over
    /// the models from step `averaged` on.
    fn descend(
        &self,
        alpha: f32,
        model: &mut [i8],
        (first, end, averaged): (u32, u32, u32),
        trial: u32,
        mut after: impl FnMut(&[i8]),
    ) -> Vec<f64> {
        let d = Self::D;
        let mut x = vec![0.0; d * d];
        (0..d).for_each(|j| x[j * d + j] = self.roots[j]);
        let targets: Vec<f32> = self.roots.iter().zip(&self.optimum).map(|(x, w)| x * w).collect();
        let setting = Setting {
            d_padded: d,
            outputs: 1,
            loss: Loss::LeastSquares,
            rounding: self.rounding,
            rounding_bits: 16,
            arithmetic: Arithmetic::host(),
            shuffled: false,
            averaged_from: Some(averaged),
            centred: false,
            counts: false,
        };
        let mut workspace = Workspace::new(&setting, d);
        let mut order: Vec<u32> = (0..d as u32).collect();
        for step in first..end {
            let now = Step {
                step,
                batch: d as u32,
                rows: d as u32,
                half_bits: 3,
                trial,
                rate: alpha / d as f32,
                scale: 1.0,
                ..Step::default()
            };
            run(&setting, &[now], &x, &targets, &mut order, model, &mut workspace);
            after(model);
        }
        workspace.sums.values()
    }
}

/// Round-to-nearest moves a coordinate where |∂f| > δ/2α and nowhere else: at gradients a part in
/// 10,000 (a thousand times the roundoff of f32) to either side, and at the end of a descent.
#[test]
fn nearest_stalls_at_half_a_step_over_the_rate() {
    for alpha in [0.125f32, 0.25, 0.4] {
        for (factor, moves) in [(1.0 - 1e-4, false), (1.0 + 1e-4, true)] {
            // λ = 1: the gradient at 10 is 10 − w*.
            let quadratic = Quadratic {
                roots: vec![8.0; 64],
                optimum: (0..64)
                    .map(|j| 10.0 + if j % 2 == 0 { 0.5 } else { -0.5 } / alpha * factor)
                    .collect(),
                rounding: Rounding::Nearest,
            };
            let mut model = vec![10i8; 64];
            quadratic.descend(alpha, &mut model, (0, 1, 1), 0, |_| {});
            for (j, &w) in model.iter().enumerate() {
                let expected = if !moves {
                    10
                } else if j % 2 == 0 {
                    11
                } else {
                    9
                };
                assert_eq!(w, expected, "rate {alpha}, factor {factor}, coordinate {j}");
            }
        }
        let quadratic = Quadratic {
            roots: vec![8.0; 64],
            optimum: (0..64).map(|j| (j as f32 - 31.7) * 1.9).collect(),
            rounding: Rounding::Nearest,
        };
        let mut model = vec![0i8; 64];
        let mut last = vec![];
        quadratic.descend(alpha, &mut model, (0, 1000, 1000), 0, |model| {
            last = model.to_vec();
        });
        quadratic.descend(alpha, &mut model, (1000, 1001, 1001), 0, |_| {});
        assert_eq!(model, last, "it has not come to rest");
        let largest = (0..64).map(|j| (f32::from(model[j]) - quadratic.optimum[j]).abs());
        let largest = largest.fold(0.0, f32::max);
        let threshold = 0.5 / alpha;
        assert!(largest <= threshold * (1.0 + 1e-4), "{largest} over {threshold}");
        // A descent stops where it first may: the largest gradient left is less than one move of
        // at least δ below the threshold.
        assert!(largest > threshold - 1.0, "{largest} far below {threshold}");
    }
}

/// With full gradients, αλ ≤ 1, SR leaves a loss of ½Σλφ(1−φ)δ², φ = frac(w*/δ), whatever α; and the
/// mean of T iterates cuts it by T over their integrated correlation.
///
/// A coordinate moves between the two neighbours of w* with probabilities αλφ up and αλ(1−φ) down: a
/// chain whose stationary variance about w* is φ(1−φ) and whose correlation falls by ρ = 1 − αλ a
/// step. So the time mean of its loss has the variance (½λ)²·φ(1−φ)(1−2φ)²·(1+ρ)/((1−ρ)T), and the mean
/// of the iterates φ(1−φ)·((1+ρ)/(1−ρ) − 2ρ(1−ρᵀ)/(T(1−ρ)²))/T. Six standard deviations are allowed:
/// less than 2e-9 for a normal variable. 16 random bits move a probability by at most 2⁻¹⁶, and with it
/// a mean by 2⁻¹⁶/αλ.
#[test]
fn stochastic_rounding_has_its_floor_and_averaging_cuts_it() {
    let fraction = |j: usize| (j as f64 + 0.5) / 64.0;
    let variance = |j: usize| fraction(j) * (1.0 - fraction(j));
    let cut_bits = 2f64.powi(-16);
    let optimum: Vec<f32> = (0..64).map(|j| j as f32 - 32.0 + fraction(j) as f32).collect();
    let start: Vec<i8> = optimum.iter().map(|w| w.floor() as i8).collect();
    let mixed = Quadratic {
        roots: (0..64).map(|j| if j % 3 == 0 { 4.0 } else { 8.0 }).collect(),
        optimum: optimum.clone(),
        rounding: Rounding::Stochastic,
    };
    let floor: f64 = (0..64).map(|j| 0.5 * mixed.curvature(j) * variance(j)).sum();
    for alpha in [0.25f32, 0.5, 1.0] {
        let (burn_in, end) = (200, 20_200);
        let (mut sum, mut seen, mut model) = (0.0, 0, start.clone());
        mixed.descend(alpha, &mut model, (0, end, end), 1, |model| {
            seen += 1;
            if seen > burn_in {
                sum += mixed.loss(|j| f64::from(model[j]));
            }
        });
        let steps = f64::from(end - burn_in);
        let spread: f64 = (0..64)
            .map(|j| {
                let (lambda, phi) = (mixed.curvature(j), fraction(j));
                let rho = 1.0 - f64::from(alpha) * lambda;
                let own = (0.5 * lambda).powi(2) * variance(j) * (1.0 - 2.0 * phi).powi(2);
                own * (1.0 + rho) / (1.0 - rho) / steps
            })
            .sum();
        let tolerance = 6.0 * spread.sqrt() + 64.0 * 0.5 * cut_bits / f64::from(alpha);
        let measured = sum / steps;
        println!("rate {alpha}: floor {measured:.4}, predicted {floor:.4} ± {tolerance:.4}");
        assert!((measured - floor).abs() <= tolerance, "{measured} against {floor}");
        assert!(tolerance < 0.05 * floor, "the tolerance says nothing");
    }
    let even = Quadratic { roots: vec![8.0; 64], optimum, rounding: Rounding::Stochastic };
    let floor: f64 = (0..64).map(|j| 0.5 * variance(j)).sum();
    for (alpha, averaged) in [(0.25f32, 600u32), (0.25, 2000), (0.5, 1500)] {
        let (trials, burn_in) = (40, 200);
        let mut sum = 0.0;
        for trial in 0..trials {
            let mut model = start.clone();
            let range = (0, burn_in + averaged, burn_in);
            let sums = even.descend(alpha, &mut model, range, trial, |_| {});
            sum += even.loss(|j| sums[j] / f64::from(averaged));
        }
        let (rho, steps) = (1.0 - f64::from(alpha), f64::from(averaged));
        let correlation = (1.0 + rho) / (1.0 - rho)
            - 2.0 * rho * (1.0 - rho.powf(steps)) / (steps * (1.0 - rho).powi(2));
        let predicted = floor * correlation / steps;
        // A sum of squares of nearly normal means, weighted by their variances.
        let squares: f64 = (0..64).map(|j| variance(j).powi(2)).sum();
        let relative = (2.0 * squares / f64::from(trials)).sqrt() / (2.0 * floor);
        let bias = 32.0 * (cut_bits / f64::from(alpha)).powi(2);
        let tolerance = 6.0 * relative * predicted + bias;
        let measured = sum / f64::from(trials);
        let cut = floor / measured;
        println!(
            "rate {alpha}, {averaged} iterates: cut {cut:.0}, predicted {:.0}, within {:.0} %",
            floor / predicted,
            100.0 * tolerance / predicted
        );
        assert!((measured - predicted).abs() <= tolerance, "{measured} against {predicted}");
        assert!((74.0..=620.0).contains(&cut), "{cut}");
    }
}
