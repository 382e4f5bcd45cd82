//! SGD kernels against their mirrors, bit by bit, on every adapter present.

use tradeoff::gpu::{Candidate, Context, Source, compose, discover_from_env};
use tradeoff::mirror::sgd::residual_of;
use tradeoff::number::Precision;
use tradeoff::number::philox::philox4x32;
use tradeoff::problem::dataset::{Dataset, DatasetSpec, Loss};
use tradeoff::workload::sgd::{CpuSgd, GpuOptions, GpuSgd, SgdCase};
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

fn compare(context: &Context, case: &SgdCase, data: &Dataset, options: GpuOptions) {
    let gpu = GpuSgd::prepare_with(context, case, data, options).unwrap();
    let mut cpu = CpuSgd::prepare(case, data, context.fingerprint.arithmetic).unwrap();
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
    cpu.run_trajectory();
    let snapshots = gpu.snapshot_words(context).unwrap();
    assert_eq!(snapshots.len(), cpu.snapshot_words().len());
    for ((step, got), (_, expected)) in snapshots.iter().zip(cpu.snapshot_words()) {
        let wrong = differing(got, expected);
        assert_eq!(wrong, 0, "{name}: {wrong} of {} words differ at step {step}", got.len());
    }
    let words = gpu.model_words(context).unwrap();
    assert_eq!(differing(&words, &cpu.model_words()), 0, "{name}: end");
    assert!(words.iter().any(|&w| w != 0), "{name}: the model never moved");
    // The list restores the model: two repeats end where one does.
    context.run(gpu.commands(), 2).unwrap();
    assert_eq!(differing(&gpu.model_words(context).unwrap(), &words), 0, "{name}: repeated");
}

#[test]
fn every_setting_loss_and_batch_equals_its_mirror() {
    let contexts = contexts();
    for (spec, batches) in [
        (DatasetSpec::Figure2 { n: 150, d: 70 }, &[1, 7, 64, 100, 150][..]),
        (DatasetSpec::Logistic { n: 131, d: 33 }, &[1, 7, 64, 100, 131]),
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
        let composed = compose(&[wgsl!("sgd/loss_logistic.wgsl"), MAIN]);
        let pipeline = context.pipeline(&composed, "main", &[], false).unwrap();
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
