//! The harness against itself: kernels that are wrong, devices that fail and shapes that do not fit
//! go the way of every case, and each must end as a row that says so, without a time.
//!
//! Kernels are sabotaged in memory, through the hook that `Session::prepare_with` and the bench's
//! `Harness` have for it (`Session::alter_sgd` for SGD); the rest is what `cargo bench` runs.

#[path = "../benches/tradeoff/clock.rs"]
mod clock;
#[path = "../benches/tradeoff/harness.rs"]
mod harness;
mod recompute;
#[path = "../benches/tradeoff/report.rs"]
mod report;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use criterion::Criterion;
use harness::{Harness, Mode};
use tempfile::TempDir;
use tradeoff::error::{Guarantee, matmul_bound};
use tradeoff::fingerprint::summation::listed;
use tradeoff::gpu::{Candidate, discover};
use tradeoff::measure::{Batch, Case, Measured, Selection, Session, Work};
use tradeoff::number::Precision;
use tradeoff::problem::dataset::DatasetSpec;
use tradeoff::problem::matrix::{Distribution, MatmulProblem};
use tradeoff::record::{
    Provenance, Record, Row, RunFolder, Status, read, read_provenance, read_samples,
    read_trajectory,
};
use tradeoff::truth::matmul::MatmulTruth;
use tradeoff::workload::matmul::{Kernel, KernelSource, Shape};
use tradeoff::workload::sgd::{Algorithm, LearningRate, Schedule, Stage};

/// Its C has padding (26 columns of 32), and no padding lies in k.
const SHAPE: Shape = Shape::new(37, 26, 64);
const ENTRIES: usize = SHAPE.m * SHAPE.n;

/// One test at a time uses the devices of this process: a GL context belongs to one thread.
fn devices() -> (MutexGuard<'static, ()>, Vec<Candidate>) {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    (guard, discover(Some("all")).expect("the environment selects devices"))
}

/// [`devices`] without the CPU; says so where that leaves none.
fn gpus() -> (MutexGuard<'static, ()>, Vec<Candidate>) {
    let (guard, mut devices) = devices();
    devices.retain(|device| !device.is_cpu());
    if devices.is_empty() {
        eprintln!("skipped: no GPU adapter here");
    }
    (guard, devices)
}

/// With the kernels that every device runs, so that no case is skipped.
fn selection() -> Selection {
    let kernels = vec![Kernel::Naive, Kernel::RegisterTiled];
    Selection { shapes: vec![SHAPE], kernels, data_sets: vec![], ..Selection::default() }
}

fn session(devices: &[Candidate], selection: Selection) -> Session {
    Session::new(devices.to_vec(), selection, &Provenance::collect())
}

fn find(session: &Session, device: &Candidate, kernel: Kernel, precision: Precision) -> Case {
    let wanted = |case: &Case| {
        let same = matches!(case.work, Work::Matmul { kernel: Some(k), .. } if k == kernel);
        same && case.precision == precision && case.device_slug == device.info.slug
    };
    session.plan().into_iter().find(wanted).expect("a case of the plan")
}

/// What the bench does with a case, without criterion.
fn measure(session: &mut Session, case: &Case, alter: &dyn Fn(&mut KernelSource)) -> Measured {
    let mut ready = match session.prepare_with(case, alter) {
        Ok(ready) => ready,
        Err(measured) => return *measured,
    };
    let mut samples = vec![];
    for _ in 0..7 {
        match ready.run(2).and_then(|ns| ready.check().map(|()| ns)) {
            Ok(elapsed_ns) => samples.push((2, elapsed_ns)),
            Err(why) => return ready.fail(why),
        }
    }
    ready.finish(&samples)
}

/// Columns that only a timed case has.
const TIMED: [&str; 22] = [
    "timing_method",
    "samples",
    "iterations_per_sample",
    "min_ns",
    "q1_ns",
    "median_ns",
    "median_ci95_low_ns",
    "median_ci95_high_ns",
    "q3_ns",
    "mad_ns",
    "throughput",
    "bandwidth_gbs",
    "conversion_median_ns",
    "conversion_median_ci95_low_ns",
    "conversion_median_ci95_high_ns",
    "total_median_ns",
    "total_median_ci95_low_ns",
    "total_median_ci95_high_ns",
    "total_throughput",
    "steps_per_second",
    "examples_per_second",
    "gnps",
];

/// The cells of a row by column.
fn cells(record: &Record) -> Vec<(String, String)> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(vec![]);
    writer.serialize(record).unwrap();
    let line = writer.into_inner().unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
    let row = reader.records().next().unwrap().unwrap();
    Record::columns().into_iter().zip(row.iter().map(str::to_owned)).collect()
}

fn assert_untimed(measured: &Measured, status: Status, told: &[&str]) {
    let record = &measured.record;
    let (name, reason) = (&record.case_id, &record.reason);
    assert_eq!(record.status, status, "{name}: {reason}");
    assert_eq!(reason.lines().count(), 1, "{name}: {reason}");
    for words in told {
        assert!(reason.contains(words), "{name}: no `{words}` in: {reason}");
    }
    let cells = cells(record);
    for column in TIMED {
        let (_, cell) = cells.iter().find(|(name, _)| name == column).expect("a column");
        assert_eq!(cell, "", "{name}: {column}");
    }
    assert_eq!(measured.samples, [], "{name}");
    assert!(measured.trajectory.iter().all(|point| point.elapsed_ns.is_none()), "{name}");
}

/// Replaces text of one file of a kernel.
struct Sabotage {
    what: &'static str,
    kernel: Kernel,
    precision: Precision,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Sabotage {
    fn apply(&self, source: &mut KernelSource) {
        let mut found = 0;
        for file in source.files.iter_mut().chain(source.conversion.iter_mut().flatten()) {
            if file.path == self.file {
                assert!(file.text.contains(self.from), "{}: {} changed", self.what, self.file);
                file.text = file.text.replace(self.from, self.to).leak();
                found += 1;
            }
        }
        assert!(found > 0, "{}: the kernel has no {}", self.what, self.file);
    }
}

/// The row of each on every adapter.
fn rows(all: &[Sabotage]) -> Vec<(&Sabotage, Measured)> {
    let (_guard, gpus) = gpus();
    let mut session = session(&gpus, selection());
    let mut rows = vec![];
    for gpu in &gpus {
        for sabotage in all {
            let case = find(&session, gpu, sabotage.kernel, sabotage.precision);
            let measured = measure(&mut session, &case, &|source| sabotage.apply(source));
            eprintln!("{}: {case}: {}", sabotage.what, measured.record.reason);
            rows.push((sabotage, measured));
        }
    }
    rows
}

const fn sabotage(
    what: &'static str,
    (kernel, precision): (Kernel, Precision),
    file: &'static str,
    (from, to): (&'static str, &'static str),
) -> Sabotage {
    Sabotage { what, kernel, precision, file, from, to }
}

const NAIVE_FP32: (Kernel, Precision) = (Kernel::Naive, Precision::Fp32);
const TILED_FP32: (Kernel, Precision) = (Kernel::RegisterTiled, Precision::Fp32);
const STORE: &str = "c[i * LDC + j] = values.x;";

#[test]
fn the_last_bit_of_one_entry() {
    let one = sabotage(
        "last bit of C[36, 25]",
        NAIVE_FP32,
        "number/out_f32.wgsl",
        (
            STORE,
            "c[i * LDC + j] = bitcast<f32>(bitcast<u32>(values.x) ^ u32(i == 36u && j == 25u));",
        ),
    );
    for (_, measured) in rows(&[one]) {
        let told = [format!("1 of {ENTRIES} entries differ from the mirror")];
        assert_untimed(&measured, Status::Wrong, &told.each_ref().map(String::as_str));
        assert_eq!(measured.record.mirror_mismatches, Some(1));
        assert!(measured.record.measured_over_bound.unwrap() < 1.0, "a bit is within the bound");
    }
}

#[test]
fn the_last_bit_of_every_entry() {
    let flip = "bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) ^ vec4<u32>(1u))";
    let tiled = format!("c[(i * LDC + j) >> 2u] = {flip};").leak();
    let scale = "return (sum * int8_step(maxima_a[i * PER_VECTOR]))";
    let scaled =
        "return bitcast<f32>(1u ^ bitcast<u32>(sum * int8_step(maxima_a[i * PER_VECTOR])))";
    let all = [
        sabotage(
            "f32, four at a time",
            TILED_FP32,
            "number/out_f32x4.wgsl",
            ("c[(i * LDC + j) >> 2u] = values;", tiled),
        ),
        sabotage(
            "f16, two at a time",
            (Kernel::Naive, Precision::Fp16Acc16),
            "number/out_f16.wgsl",
            ("f16_pack(values.x) | (", "(1u ^ f16_pack(values.x)) | (0x10000u ^ "),
        ),
        sabotage(
            "int8, its scale",
            (Kernel::RegisterTiled, Precision::Int8),
            "matmul/int8_sum.wgsl",
            (scale, scaled),
        ),
    ];
    for (sabotage, measured) in rows(&all) {
        assert_untimed(&measured, Status::Wrong, &["entries differ from the mirror"]);
        let mismatches = measured.record.mirror_mismatches.unwrap() as usize;
        // Flipping a factor's bit may leave a product unchanged by rounding.
        let least = if sabotage.precision == Precision::Int8 { ENTRIES / 2 } else { ENTRIES };
        assert!((least..=ENTRIES).contains(&mismatches), "{}: {mismatches}", sabotage.what);
    }
}

#[test]
fn k_one_short() {
    let last = "return select(b[(q * LDB + j) >> 2u], vec4<f32>(0.0), q == K - 1u);";
    let all = [
        sabotage("naive", NAIVE_FP32, "matmul/naive.wgsl", ("q < K;", "q < K - 1u;")),
        sabotage(
            "register_tiled",
            TILED_FP32,
            "number/f32x4.wgsl",
            ("return b[(q * LDB + j) >> 2u];", last),
        ),
        sabotage(
            "int8, whose words hold four of k",
            (Kernel::Naive, Precision::Int8),
            "matmul/int8_naive.wgsl",
            ("word < last;", "word < last - 1u;"),
        ),
    ];
    for (sabotage, measured) in rows(&all) {
        assert_untimed(&measured, Status::Wrong, &["entries differ from the mirror"]);
        if sabotage.precision == Precision::Fp32 {
            // Far over the bound too, so it needs no mirror to be caught.
            assert!(measured.record.reason.contains("times its bound"));
            assert!(measured.record.measured_over_bound.unwrap() > 1.0);
        }
    }
}

/// Stochastic rounding with other bits is as accurate as with the right ones: only the mirror tells.
#[test]
fn a_shifted_philox_counter() {
    let shift = ("var c = counter;", "var c = counter + vec4<u32>(0u, 0u, 1u, 0u);");
    let settings = [
        (Kernel::Naive, Precision::Fp16Sr),
        (Kernel::RegisterTiled, Precision::Fp16Sr),
        (Kernel::Naive, Precision::Int8Sr),
        (Kernel::RegisterTiled, Precision::Int8SrRowwise),
    ];
    let all = settings.map(|setting| sabotage("Philox", setting, "shared/philox.wgsl", shift));
    for (_, measured) in rows(&all) {
        assert_untimed(&measured, Status::Wrong, &["entries differ from the mirror"]);
        assert!(measured.record.measured_over_bound.unwrap() <= 1.0);
    }
}

/// What is not written is the NaN that C held before.
#[test]
fn an_output_that_is_never_written() {
    let never = "if (i >= M) { c[i * LDC + j] = values.x; }";
    let but_one = "if (i != 3u || j != 5u) { c[i * LDC + j] = values.x; }";
    for (text, mismatches) in [(never, ENTRIES), (but_one, 1)] {
        let file = "number/out_f32.wgsl";
        let sabotage = sabotage("not written", NAIVE_FP32, file, (STORE, text));
        for (_, measured) in rows(&[sabotage]) {
            let told = format!("{mismatches} of {ENTRIES} entries differ from the mirror");
            assert_untimed(&measured, Status::Wrong, &[&told, "= NaN where the truth"]);
            assert_eq!(measured.record.non_finite_count, Some(mismatches as u64));
        }
    }
}

#[test]
fn a_dispatch_that_fails() {
    let compile = [
        // Over the limit of every device.
        ("@workgroup_size(8, 8)", "@workgroup_size(1024, 1024)"),
        // No WGSL.
        ("var sum = 0.0;", "var sum = zero;"),
        // No entry point of the right name.
        ("fn multiply(", "fn divide("),
    ];
    let compile = compile.map(|edit| sabotage(edit.1, NAIVE_FP32, "matmul/naive.wgsl", edit));
    for (_, measured) in rows(&compile) {
        assert_untimed(&measured, Status::Failed, &["kernel entry multiply does not compile"]);
    }
    // The kernel's layout has no output.
    let unbound = sabotage("unbound", NAIVE_FP32, "number/out_f32.wgsl", (STORE, ""));
    for (_, measured) in rows(&[unbound]) {
        assert_untimed(&measured, Status::Failed, &["bind group refused"]);
    }
}

/// Right once, then one more in C[0, 0]: it keeps a mark in the padding of C. Needs N < LDC.
const SECOND_RUN_DIFFERS: (&str, &str) = (
    STORE,
    "c[i * LDC + j] = values.x;
     if (i == 0u && j == 0u) {
         let again = c[LDC - 1u] == 1.0;
         c[LDC - 1u] = 1.0;
         c[0] = select(values.x, values.x + 1.0, again);
     }",
);

#[test]
fn a_result_that_changes_between_runs() {
    let [fp32, fp16] = [Precision::Fp32, Precision::Fp16].map(|precision| {
        let setting = (Kernel::Naive, precision);
        sabotage("second run", setting, "number/out_f32.wgsl", SECOND_RUN_DIFFERS)
    });
    let told = ["another result than the one that was verified"];
    for (_, measured) in rows(&[fp32]) {
        assert_untimed(&measured, Status::Wrong, &told);
        assert_eq!(measured.record.mirror_mismatches, Some(0), "the first run was right");
    }
    // Only the runs of a stage beside the product show it, and `finish` is the first to look.
    let (_guard, gpus) = gpus();
    let mut session = session(&gpus, selection());
    for gpu in &gpus {
        let case = find(&session, gpu, Kernel::Naive, Precision::Fp16);
        let ready = session.prepare_with(&case, &|source| fp16.apply(source));
        let measured = ready.unwrap_or_else(|m| panic!("{}", m.record.reason)).finish(&[(1, 1.0)]);
        assert_untimed(&measured, Status::Wrong, &told);
    }
}

/// A wrong SGD kernel of either schedule: a number of the model off by its last bit, a row left out
/// of a gradient, another order of the rows, other random bits.
#[test]
fn sgd_kernels_that_are_wrong() {
    let stored = "return v;";
    let flipped = "return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v)
        ^ vec4<u32>(u32(group == 5u && step.step + advance == 3u), 0u, 0u, 0u));";
    let edits = [
        (Precision::D32fM32f, "sgd/model_f32.wgsl", stored, flipped),
        (Precision::D8M8, "sgd/gradient_rows.wgsl", "p < end;", "p + 1u < end;"),
        (
            Precision::D16M16Sr,
            "sgd/shuffle.wgsl",
            "order[position] = row;",
            "order[position] = position;",
        ),
        (Precision::D8M8Sr, "sgd/model_random.wgsl", "(half, 1u)", "(half, 2u)"),
        (Precision::D4M4Sr, "sgd/dot_i8.wgsl", "group < GROUPS;", "group + 1u < GROUPS;"),
        (Precision::D16bM16b, "sgd/residual_rows.wgsl", "step.scale", "step.scale * 1.5"),
    ];
    let (_guard, gpus) = gpus();
    for (precision, file, from, to) in edits {
        let selection = Selection {
            shapes: vec![],
            precisions: vec![precision],
            data_sets: vec![DatasetSpec::Figure2 { n: 64, d: 24 }],
            batches: vec![Batch::Rows(16)],
            steps: 8,
            schedules: Schedule::ALL.to_vec(),
            ..Selection::default()
        };
        let mut session = session(&gpus, selection);
        for case in session.plan() {
            let right = measure(&mut session, &case, &|_| {});
            assert_eq!(right.record.status, Status::Ok, "{case}: {}", right.record.reason);
            assert_eq!(right.record.mirror_mismatches, Some(0), "{case}");
            assert!([&"stepwise", &"persistent"].contains(&&&*right.record.kernel));
        }
        session.alter_sgd(move |_, files| {
            for found in files.iter_mut().filter(|found| found.path == file) {
                assert!(found.text.contains(from), "{file} changed");
                found.text = found.text.replace(from, to).leak();
            }
        });
        for case in session.plan() {
            let wrong = measure(&mut session, &case, &|_| {});
            assert_untimed(&wrong, Status::Wrong, &["words of the model differ from the mirror"]);
            assert!(wrong.record.mirror_mismatches > Some(0), "{case}");
        }
    }
}

/// Each algorithm is a row of its own on the CPU, with its parameters; the plain one is checked
/// against the definition of its steps, those that reduce variance against their run in f64, and HALP
/// goes where LP-SVRG stalls.
#[test]
fn sgd_by_other_algorithms() {
    let (_guard, devices) = devices();
    let selection = Selection {
        shapes: vec![],
        precisions: vec![Precision::D32fM8Sr, Precision::D8M8],
        data_sets: vec![DatasetSpec::Normalised { n: 1000, d: 100 }],
        batches: vec![Batch::Rows(1)],
        steps: 40_000,
        learning_rates: vec![LearningRate::Value(0.1)],
        algorithms: Algorithm::ALL.to_vec(),
        ..Selection::default()
    };
    let cpu: Vec<_> = devices.into_iter().filter(Candidate::is_cpu).collect();
    let mut session = session(&cpu, selection);
    let mut rows = vec![];
    for case in session.plan() {
        let measured = measure(&mut session, &case, &|_| {});
        let record = measured.record;
        let Work::Sgd { algorithm, .. } = case.work else { unreachable!("sgd alone") };
        if !algorithm.runs(case.precision) {
            let told = format!("{algorithm} cannot be run so at D8M8; choose D32fM8-SR");
            assert_eq!((record.status, record.reason), (Status::Skipped, told));
            continue;
        }
        assert_eq!(record.status, Status::Ok, "{case}: {}", record.reason);
        assert!(record.gradient_norm.is_some_and(f64::is_finite), "{case}");
        rows.push(record);
    }
    let row = |algorithm: Algorithm| {
        let is = |row: &&Record| row.algorithm == algorithm.name() && row.precision == "D32fM8-SR";
        rows.iter().find(is).unwrap_or_else(|| panic!("no row of {algorithm}"))
    };
    assert_eq!(rows.len(), 6, "D8M8 has no variance-reduced algorithm");
    let plain = row(Algorithm::Sgd);
    assert_eq!((plain.mirror_mismatches, plain.verified_fraction), (Some(0), Some(2.0 / 40_000.0)));
    let checked = |row: &Record| (row.mirror_mismatches, row.verified_fraction);
    for algorithm in [Algorithm::LpSvrg, Algorithm::Halp] {
        assert_eq!(checked(row(algorithm)), (Some(0), Some(1.0)), "{algorithm}");
    }
    for row in &rows {
        let stagnated = row.stagnated_fraction.unwrap_or(f64::NAN);
        assert!(stagnated > 0.0 && stagnated < 1.0, "{}: {stagnated}", row.case_id);
    }
    assert_eq!(row(Algorithm::AveragedSgd).algorithm_parameters, "window=1000");
    assert_eq!(row(Algorithm::Halp).algorithm_parameters, "mu=0.03 period=2000");
    assert!(row(Algorithm::Halp).case_id.contains("-b1-lr0.1-halp/"));
    assert_ne!(plain.result_sha256, row(Algorithm::AveragedSgd).result_sha256);
    let norm = |algorithm| row(algorithm).gradient_norm.unwrap_or(f64::NAN);
    let stalled = norm(Algorithm::LpSvrg);
    assert!((1e-2..4e-2).contains(&stalled), "{stalled:e}");
    assert!(norm(Algorithm::Halp) < 1e-6, "{:e}", norm(Algorithm::Halp));
}

/// Each algorithm on each GPU: verified, timed, and with the result of the CPU's row where their
/// arithmetic is the same; and a kernel of theirs that is wrong is found.
#[test]
fn sgd_by_other_algorithms_on_gpus() {
    let (_guard, gpus) = gpus();
    let selection = Selection {
        shapes: vec![],
        precisions: vec![Precision::D32fM8Sr],
        data_sets: vec![DatasetSpec::Logistic { n: 90, d: 21 }],
        batches: vec![Batch::Rows(2)],
        steps: 300,
        algorithms: Algorithm::ALL.to_vec(),
        ..Selection::default()
    };
    let mut plain = session(&gpus, selection.clone());
    let mut other = session(&gpus, selection);
    other.alter_sgd(|stage, files| {
        for file in files.iter_mut().filter(|_| stage == Stage::Persistent) {
            file.text = match file.path {
                "sgd/apply_averaged.wgsl" => swap(file.text, "sum.hi, s", "sum.lo, s"),
                "sgd/apply_centred.wgsl" => swap(file.text, "decayed - full", "decayed + full"),
                _ => file.text,
            };
        }
    });
    for case in plain.plan() {
        let measured = measure(&mut plain, &case, &|_| {});
        let row = &measured.record;
        assert_eq!(row.status, Status::Ok, "{case}: {}", row.reason);
        assert_eq!((row.mirror_mismatches, row.verified_fraction), (Some(0), Some(1.0)), "{case}");
        assert!(row.stagnated_fraction.is_some_and(|part| part > 0.0 && part < 1.0), "{case}");
        let host = ["lp-svrg", "halp"].contains(&&*row.algorithm);
        assert!(!host || row.timing_method == "host", "{case}: {}", row.timing_method);
        if row.algorithm != Algorithm::Sgd.name() {
            let wrong = measure(&mut other, &case, &|_| {});
            assert_untimed(&wrong, Status::Wrong, &["words of the model differ from the mirror"]);
        }
    }
}

/// The text of a kernel with one place changed.
fn swap(text: &str, from: &str, to: &str) -> &'static str {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    Box::leak(text.replace(from, to).into_boxed_str())
}

/// What a schedule cannot run is a row that says so.
#[test]
fn an_sgd_kernel_that_the_minibatch_does_not_fit() {
    let (_guard, gpus) = gpus();
    let selection = Selection {
        shapes: vec![],
        precisions: vec![Precision::D8M8],
        data_sets: vec![DatasetSpec::Figure2 { n: 300, d: 8 }],
        batches: vec![Batch::Full],
        steps: 2,
        schedules: vec![Schedule::Persistent],
        ..Selection::default()
    };
    let mut session = session(&gpus, selection);
    for case in session.plan() {
        let measured = measure(&mut session, &case, &|_| {});
        assert_untimed(&measured, Status::Skipped, &["at most 256 rows, not 300"]);
    }
}

/// Nothing but the bound looks at this result.
#[test]
fn an_error_of_twice_the_bound() {
    let Shape { m, n, k, .. } = SHAPE;
    let problem = MatmulProblem::generate(Distribution::Normal, m, n, k, 1).unwrap();
    let truth = MatmulTruth::of(&problem, None).unwrap();
    for precision in Precision::MATMUL {
        let bound = matmul_bound(precision, k, &[0.02], &[0.02], Guarantee::PORTABLE).unwrap();
        let exact: Vec<f32> = truth.product.iter().map(|&c| c as f32).collect();
        let ratio = bound.ratio(&exact, &truth).unwrap();
        assert!(ratio <= 0.5, "{precision}: rounding the truth to f32 is {ratio} of the bound");
        for (i, j) in [(0, 0), (m - 1, n - 1), (m / 2, 3)] {
            let (at, allowed) = (i * n + j, bound.at(i, j, &truth));
            let mut computed = exact.clone();
            computed[at] = (truth.product[at] + 2.0 * allowed) as f32;
            let worst = bound.worst(&computed, &truth).unwrap();
            assert_eq!((worst.row, worst.column), (i, j), "{precision}");
            // The sum was rounded to f32, which is half a unit in the last place of it.
            let rounding = f64::from(computed[at].abs()) * 2f64.powi(-24) / allowed;
            assert!((worst.ratio - 2.0).abs() <= rounding, "{precision}: {}", worst.ratio);
        }
    }
}

/// Criterion over the plan, as `cargo bench` has it, with short samples.
struct Bench {
    root: TempDir,
    rows: Vec<Record>,
    exit: ExitCode,
}

impl Bench {
    fn of(devices: &[Candidate], selection: Selection, alter: &dyn Fn(&mut KernelSource)) -> Self {
        Self::meddled_with(devices, selection, alter, &|_| {})
    }

    fn meddled_with(
        devices: &[Candidate],
        selection: Selection,
        alter: &dyn Fn(&mut KernelSource),
        before_the_end: &dyn Fn(&mut Harness),
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        let results = root.path().join("results");
        let selection = Selection { results: results.clone(), ..selection };
        let clock = Clock::new();
        let criterion = || {
            Criterion::default()
                .with_measurement(clock.clone())
                .output_directory(&root.path().join("criterion"))
                .warm_up_time(Duration::from_millis(5))
                .measurement_time(Duration::from_millis(20))
                .sample_size(10)
                .nresamples(100)
        };
        let provenance = Provenance::collect();
        let session = Session::new(devices.to_vec(), selection, &provenance);
        let cases = session.plan();
        let mode = Mode { records: true, quick: false };
        let clock = clock.clone();
        let mut harness = Harness::new(session, clock, mode, provenance, &criterion, alter);
        for case in &cases {
            harness.bench(case, "").unwrap();
        }
        let folder = harness.folder.as_ref().expect("a row makes the folder").path().to_owned();
        let rows = read(&folder).unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.case_id.clone()).collect();
        assert_eq!(ids, cases.iter().map(Case::to_string).collect::<Vec<_>>());
        before_the_end(&mut harness);
        // Of which 3 % is long enough for every kernel here.
        let exit = harness.finish(Duration::from_secs(3600));
        Self { rows, exit, root }
    }

    /// Whether criterion kept an estimate of the case.
    fn has_estimate(&self, row: &Record) -> bool {
        let Record { workload, precision, kernel, shape, device, .. } = row;
        let folder = format!("{workload}_{precision}/{kernel}_{shape}/{device}/new");
        self.root.path().join("criterion").join(folder).exists()
    }
}

#[test]
fn a_run_with_a_wrong_case_exits_non_zero_and_leaves_no_estimate_of_it() {
    let (_guard, devices) = devices();
    let first = |text| sabotage("bench", NAIVE_FP32, "number/out_f32.wgsl", (STORE, text));
    let plus_one = first("c[i * LDC + j] = values.x + 1.0;");
    let second_run = first(SECOND_RUN_DIFFERS.1);
    let broken = first("c[i * LDC + j] = nothing;");
    for (sabotage, status) in
        [(plus_one, Status::Wrong), (second_run, Status::Wrong), (broken, Status::Failed)]
    {
        let selection = Selection { precisions: vec![Precision::Fp32], ..selection() };
        let alter = |source: &mut KernelSource| {
            if source.kernel == Kernel::Naive {
                sabotage.apply(source);
            }
        };
        let bench = Bench::of(&devices, selection, &alter);
        let sabotaged = |row: &&Record| row.kernel == "naive";
        for row in bench.rows.iter().filter(sabotaged) {
            assert_eq!(row.status, status, "{}: {}", row.case_id, row.reason);
            assert_eq!(row.median_ns, None);
            assert!(!bench.has_estimate(row), "{}", row.case_id);
        }
        for row in bench.rows.iter().filter(|row| !sabotaged(row)) {
            assert_eq!(row.status, Status::Ok, "{}: {}", row.case_id, row.reason);
            assert!(bench.has_estimate(row), "{}", row.case_id);
        }
        let any = bench.rows.iter().any(|row| sabotaged(&row));
        assert_eq!(any, devices.len() > 1);
        let expected = if any { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        assert_eq!(bench.exit, expected);
    }
}

/// The disk may be full by then: the summary and the exit code of wrong cases are lost by that no more
/// than their rows.
#[test]
fn orders_that_cannot_be_kept_hide_no_wrong_case() {
    let (_guard, mut devices) = devices();
    devices.retain(Candidate::is_cpu);
    for (is_wrong, expected) in [(false, ExitCode::from(2)), (true, ExitCode::FAILURE)] {
        let selection = Selection { precisions: vec![Precision::Fp32], ..selection() };
        let lose_the_folder = |harness: &mut Harness| {
            fs::remove_dir_all(harness.folder.as_ref().unwrap().path()).unwrap();
            if is_wrong {
                harness.tally.add(&Record { status: Status::Wrong, ..Record::default() });
            }
        };
        let bench = Bench::meddled_with(&devices, selection, &|_| {}, &lose_the_folder);
        assert!(bench.rows.iter().all(|row| row.status == Status::Ok) && !bench.rows.is_empty());
        assert_eq!(bench.exit, expected);
    }
}

#[test]
fn a_run_of_right_cases_exits_zero_and_its_statistics_can_be_recomputed() {
    let (_guard, devices) = devices();
    let precisions = ["fp32", "fp16-sr", "int8"].map(|name| Precision::parse_all(name).unwrap());
    let selection = Selection {
        precisions: precisions.concat(),
        kernels: vec![Kernel::RegisterTiled],
        data_sets: vec![DatasetSpec::Figure2 { n: 40, d: 12 }],
        steps: 20,
        ..selection()
    };
    let bench = Bench::of(&devices, selection, &|_| {});
    for row in &bench.rows {
        assert_eq!(row.status, Status::Ok, "{}: {}", row.case_id, row.reason);
        assert!(bench.has_estimate(row), "{}", row.case_id);
    }
    assert_eq!(bench.exit, ExitCode::SUCCESS);
    let runs = fs::read_dir(bench.root.path().join("results")).unwrap();
    let [run] = &runs.map(|run| run.unwrap().path()).collect::<Vec<_>>()[..] else {
        panic!("one run, one folder");
    };
    assert_eq!(recompute::check(run), bench.rows.len());
    let products = || bench.rows.iter().filter(|row| row.workload == "matmul");
    let fingerprints = read_provenance(run).unwrap().fingerprints;
    for row in products() {
        let orders = listed(&fingerprints[&row.device]);
        let of_row = orders.iter().filter(|order| {
            let named = [&order.kernel, &order.precision, &order.parameters, &order.wgsl_sha256];
            named == [&row.kernel, &row.precision, &row.kernel_parameters, &row.wgsl_sha256]
        });
        let [order] = of_row.collect::<Vec<_>>()[..] else { panic!("{}: {orders:?}", row.case_id) };
        let is_exact = order.order.starts_with("exact");
        assert_eq!(is_exact, row.precision == "int8", "{order:?}");
        assert!(is_exact || !order.tree.is_empty(), "{order:?}");
        assert_eq!(orders.len(), products().filter(|other| other.device == row.device).count());
    }
}

/// One row of B, or the rows of workgroups, just over what the adapter has.
fn over_limits(gpu: &Candidate) -> [(Shape, u64, u64); 2] {
    let info = &gpu.info;
    let limit = info.max_binding_bytes.min(info.max_buffer_bytes);
    // B in f32 has 32 rows where k = 1, and a multiple of 8 columns.
    let n = (limit / 128).next_multiple_of(8) as usize + 8;
    let wide = (Shape::new(1, n, 1), 128 * n as u64, limit);
    // A thread of `naive` makes an entry, and a workgroup has 8 rows of them.
    let most = u64::from(info.max_workgroups_per_dimension);
    let m = 8 * most as usize + 1;
    [wide, (Shape::new(m, 1, 1), most + 1, most)]
}

#[test]
fn a_shape_over_a_limit_of_the_device_is_skipped_and_the_rest_runs_on() {
    let (_guard, gpus) = gpus();
    for gpu in &gpus {
        for (shape, asked, limit) in over_limits(gpu) {
            let selection = Selection {
                shapes: vec![shape, SHAPE],
                precisions: vec![Precision::Fp32],
                kernels: vec![Kernel::Naive],
                ..selection()
            };
            let mut session = session(std::slice::from_ref(gpu), selection);
            let cases = session.plan();
            let rows: Vec<_> =
                cases.iter().map(|case| measure(&mut session, case, &|_| {})).collect();
            let told = format!("needs {asked}, over the device's limit of {limit}; choose a");
            assert_untimed(&rows[0], Status::Skipped, &[&told]);
            assert_eq!(rows[0].record.shape, shape.to_string());
            assert_eq!(rows[1].record.status, Status::Ok, "{}", rows[1].record.reason);
        }
    }
}

#[test]
fn a_shape_over_the_host_memory_is_skipped_and_the_rest_runs_on() {
    let (_guard, devices) = devices();
    let selection = Selection {
        // 12 TB, and what only just fits into 64 bits; a Gram matrix of 160 PB.
        shapes: vec![Shape::square(1_000_000), "1x4294967295x16777216".parse().unwrap(), SHAPE],
        precisions: vec![Precision::Fp32, Precision::Int8],
        kernels: vec![Kernel::Naive],
        data_sets: vec![DatasetSpec::Figure2 { n: 40, d: 100_000_000 }],
        ..selection()
    };
    let precisions = [&selection.precisions[..], &[Precision::D8M8]].concat();
    let bench = Bench::of(&devices, Selection { precisions, ..selection }, &|_| {});
    assert_eq!(bench.rows.len(), 7 * devices.len());
    for row in &bench.rows {
        if row.shape == SHAPE.to_string() {
            assert_eq!(row.status, Status::Ok, "{}: {}", row.case_id, row.reason);
        } else {
            assert_eq!(row.status, Status::Skipped, "{}: {}", row.case_id, row.reason);
            assert!(row.reason.contains("bytes of host memory, over the"), "{}", row.reason);
            assert!(!bench.has_estimate(row));
        }
    }
    assert_eq!(bench.exit, ExitCode::SUCCESS, "what does not fit is no failure");
}

fn statuses(run: &Path, slug: &str) -> Vec<Status> {
    let rows = read(run).unwrap();
    rows.iter().filter(|row| row.device == slug).map(|row| row.status).collect()
}

/// The first adapter is lost after its first row is on disk, at the second prepared case.
#[test]
fn a_device_lost_in_the_middle() {
    let (_guard, devices) = devices();
    let selection = Selection {
        precisions: vec![Precision::Fp32, Precision::D32fM32f, Precision::D8M8Sr],
        data_sets: vec![DatasetSpec::Figure2 { n: 40, d: 12 }],
        steps: 20,
        ..selection()
    };
    for gpu in devices.iter().filter(|device| !device.is_cpu()) {
        let slug = &gpu.info.slug;
        let root = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(root.path(), Provenance::collect()).unwrap();
        let mut session = session(&devices, selection.clone());
        let lose = |session: &Session| {
            session.opened().find(|context| context.info.slug == *slug).unwrap().destroy();
        };
        let mut started = 0;
        for case in session.plan() {
            started += usize::from(case.device_slug == *slug);
            let measured = match session.prepare(&case) {
                Ok(mut ready) if case.device_slug == *slug && started == 2 => {
                    assert_eq!(statuses(run.path(), slug), [Status::Ok], "on disk before the loss");
                    let before = ready.run(1);
                    assert!(before.is_ok(), "{before:?}");
                    lose(&session);
                    let why = ready.run(1).expect_err("the device is gone");
                    ready.fail(why)
                }
                Ok(mut ready) => {
                    let elapsed_ns =
                        ready.run(1).unwrap_or_else(|e| panic!("{case}: {}", e.reason));
                    ready.finish(&[(1, elapsed_ns)])
                }
                Err(measured) => *measured,
            };
            if case.device_slug == *slug && started > 1 {
                assert_untimed(&measured, Status::Failed, &["device lost"]);
            }
            run.append_samples(&measured.samples).unwrap();
            run.append_trajectory(&measured.trajectory).unwrap();
            run.append(&measured.record).unwrap();
        }
        for device in &devices {
            let found = statuses(run.path(), &device.info.slug);
            let (first, rest) = found.split_first().unwrap();
            let expected = if device.info.slug == *slug { Status::Failed } else { Status::Ok };
            assert_eq!(*first, Status::Ok, "{}", device.info.slug);
            assert!(rest.iter().all(|&status| status == expected), "{}", device.info.slug);
        }
        assert!(started >= 4, "matmul and SGD both went on failing");
        let of_lost = |id: &str| id.ends_with(&format!("/{slug}"));
        let samples = read_samples(run.path()).unwrap();
        assert_eq!(samples.iter().filter(|s| of_lost(&s.case_id)).count(), 1);
        let points = read_trajectory(run.path()).unwrap();
        assert!(points.iter().all(|point| !of_lost(&point.case_id)));
    }
}

/// A loss while side stages or the result are looked at, after all samples were drawn.
#[test]
fn a_device_lost_after_its_samples() {
    let (_guard, gpus) = gpus();
    for gpu in &gpus {
        let mut session = session(std::slice::from_ref(gpu), selection());
        let case = find(&session, gpu, Kernel::Naive, Precision::Fp16);
        let mut ready = session.prepare(&case).unwrap_or_else(|m| panic!("{}", m.record.reason));
        let samples = [(1, ready.run(1).unwrap()), (1, ready.run(1).unwrap())];
        session.opened().for_each(|context| context.destroy());
        assert_untimed(&ready.finish(&samples), Status::Failed, &["device lost"]);
    }
}

/// The CPU has no hook, but its row goes wrong by the same rule where no sample was drawn.
#[test]
fn no_samples_and_absurd_ones_are_no_measurement() {
    let (_guard, mut devices) = devices();
    devices.retain(Candidate::is_cpu);
    let selection = Selection { precisions: vec![Precision::Int8], ..selection() };
    let mut session = session(&devices, selection);
    let case = session.plan().remove(0);
    let cases: [(&[(u64, f64)], &str); 4] = [
        (&[], "no timing samples"),
        (&[(1, 5.0), (0, 5.0)], "timing sample 1 has 0 iterations"),
        (&[(1, f64::NAN)], "timing sample 0 took NaN ns"),
        (&[(1, -1.0)], "timing sample 0 took -1 ns"),
    ];
    for (samples, told) in cases {
        let ready = session.prepare(&case).unwrap_or_else(|m| panic!("{}", m.record.reason));
        assert_untimed(&ready.finish(samples), Status::Failed, &[told]);
    }
}

/// The hook is asked once for each case, and what it leaves alone is what the registry has.
#[test]
fn the_hook_changes_nothing_by_itself() {
    let (_guard, gpus) = gpus();
    let precisions: Vec<_> = Precision::matmul().filter(|&p| Kernel::Naive.computes(p)).collect();
    let mut session = session(&gpus, Selection { precisions: precisions.clone(), ..selection() });
    for gpu in &gpus {
        let runs = |&&p: &&Precision| KernelSource::supports(Kernel::Naive, p, &gpu.info).is_ok();
        for &precision in precisions.iter().filter(runs) {
            let case = find(&session, gpu, Kernel::Naive, precision);
            let asked = Cell::new(0);
            let plain = measure(&mut session, &case, &|_| asked.set(asked.get() + 1));
            assert_eq!(asked.get(), 1);
            assert_eq!(plain.record.status, Status::Ok, "{case}: {}", plain.record.reason);
            assert!(plain.samples.len() >= 7);
        }
    }
}
