//! Runs with every kind of row, written as a bench writes them.

use std::path::PathBuf;

use tradeoff::record::{Provenance, Record, RunFolder, Status, TrajectoryPoint};

/// A matrix product of `size` on `device`; `ns` is its median, with an interval of ±2 %.
pub fn product(
    device: &str,
    precision: &str,
    kernel: &str,
    size: u64,
    ns: f64,
    error: f64,
) -> Record {
    let operations = 2 * size.pow(3);
    let shape = format!("{size}x{size}x{size}");
    Record {
        case_id: format!("matmul/{precision}/{kernel}/{shape}/{device}"),
        workload: "matmul".into(),
        m: Some(size),
        n: Some(size),
        k: Some(size),
        problem: "seeded".into(),
        distribution: "normal".into(),
        throughput: Some(operations as f64 / ns),
        throughput_unit: if precision.starts_with("int") { "GOP/s" } else { "GFLOP/s" }.into(),
        primary_error_metric: "relative_frobenius".into(),
        primary_error: Some(error),
        relative_frobenius: Some(error),
        // 3² + 4² = 5².
        conversion_error: Some(0.6 * error),
        accumulation_error: Some(0.8 * error),
        output_rounding_error: Some(0.0),
        parts_over_error: (error > 0.0).then_some(1.0),
        measured_over_bound: Some(0.02),
        relative_frobenius_bound: Some(1e-6 + 50.0 * error),
        bound_kind: "deterministic".into(),
        shape,
        operations: Some(operations),
        ..roofed(
            measured(device, precision, kernel, ns),
            operations as f64 / (12 * size * size) as f64,
        )
    }
}

/// With a roofline of 4000 (int8 8000) operations and 200 bytes a ns, and so many operations a byte.
fn roofed(row: Record, intensity: f64) -> Record {
    let int8 = row.precision.starts_with("int");
    Record {
        arithmetic_intensity: Some(intensity),
        peak_unit: if int8 { "dot4" } else { "f32_fma" }.into(),
        peak_throughput: Some(if int8 { 8e3 } else { 4e3 }),
        peak_bandwidth_gbs: Some(200.0),
        ..row
    }
}

/// A run of SGD of 100 steps on a data set of `examples`, `ns` for all steps.
pub fn learning(
    precision: &str,
    examples: u64,
    batch: u64,
    rate: f64,
    ns: f64,
    gap: f64,
) -> Record {
    let shape = format!("figure2-{examples}x16-b{batch}");
    Record {
        case_id: format!("sgd/{precision}/mirror/{shape}-a{rate}/cpu"),
        workload: "sgd".into(),
        examples: Some(examples),
        features: Some(16),
        batch: Some(batch),
        problem: "data set".into(),
        data_set: format!("figure2-{examples}x16"),
        loss_function: "least-squares".into(),
        learning_rate: Some(rate),
        steps: Some(100),
        throughput: Some(1600.0 * batch as f64 / ns),
        throughput_unit: "GNPS".into(),
        primary_error_metric: "loss_gap".into(),
        primary_error: Some(gap),
        loss_gap: Some(gap),
        shape,
        operations: Some(6400 * batch),
        ..roofed(measured("cpu", precision, "mirror", ns), 1.0)
    }
}

fn measured(device: &str, precision: &str, kernel: &str, ns: f64) -> Record {
    Record {
        precision: precision.into(),
        kernel: kernel.into(),
        seed: Some(1),
        trial: Some(0),
        samples: Some(10),
        min_ns: Some(0.97 * ns),
        median_ns: Some(ns),
        median_ci95_low_ns: Some(0.98 * ns),
        median_ci95_high_ns: Some(1.02 * ns),
        mad_ns: Some(0.01 * ns),
        device: device.into(),
        device_name: format!("Device <{device}> & Co"),
        device_type: "discrete".into(),
        status: Status::Ok,
        ..Record::default()
    }
}

/// The way of a row of [`learning`]: its gap falls as 1/step towards the row's own.
pub fn way(record: &Record) -> Vec<TrajectoryPoint> {
    let (ns, gap) = (record.median_ns.unwrap_or(0.0), record.loss_gap.unwrap_or(0.0));
    let point = |step: u64| TrajectoryPoint {
        case_id: record.case_id.clone(),
        step,
        elapsed_ns: Some(ns * step as f64 / 100.0),
        loss_gap: Some(gap * 100.0 / (step.max(1) as f64)),
        ..TrajectoryPoint::default()
    };
    [0, 1, 2, 5, 10, 20, 50, 100].map(point).to_vec()
}

/// A run with all kinds of figures, and the folder that holds it.
pub fn full() -> (tempfile::TempDir, PathBuf) {
    let mut rows = vec![];
    for size in [64, 256] {
        let base = size as f64 * size as f64 * 10.0;
        for (device, factor) in [("gpu-a", 1.0), ("cpu", 20.0)] {
            let mut add = |precision, kernel, ns: f64, error| {
                rows.push(product(device, precision, kernel, size, ns * factor * base, error));
            };
            add("fp32", "naive", 10.0, 2.9e-7);
            add("fp32", "register_tiled", 2.0, 2.9e-7);
            add("fp16", "register_tiled", 1.05, 2.95e-4);
            add("bf16", "register_tiled", 2.03, 2.36e-3);
            add("fp16-sr", "register_tiled", 9.0, 3.4e-3);
            add("int8", "register_tiled", 0.5, 1.43e-2);
        }
    }
    // What an integer kernel gives on integers: no error at all.
    rows.push(product("gpu-a", "int8-rowwise", "register_tiled", 64, 3e4, 0.0));
    for examples in [128, 512, 2048] {
        for batch in [1, 32, examples] {
            for (precision, ns) in [("D32fM32f", 9.0), ("D8M8-SR", 3.0)] {
                for (rate, gap) in [(0.1, 0.004), (0.01, 0.2)] {
                    let ns = ns * batch as f64 * 1e3;
                    rows.push(learning(precision, examples, batch, rate, ns, gap));
                }
            }
        }
    }
    rows.push(Record {
        case_id: "matmul/bf16/naive/64x64x64/cpu".into(),
        workload: "matmul".into(),
        precision: "bf16".into(),
        device: "cpu".into(),
        status: Status::Failed,
        reason: "</script><!-- \"it\" broke -->".into(),
        ..Record::default()
    });
    run(&rows)
}

/// A run of the rows given.
pub fn run(rows: &[Record]) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let provenance = Provenance { utc: "2026-01-02T03:04:05Z".into(), ..Provenance::collect() };
    let mut folder = RunFolder::create(&root.path().join("results"), provenance).unwrap();
    for row in rows {
        folder.append(row).unwrap();
        if row.workload == "sgd" {
            folder.append_trajectory(&way(row)).unwrap();
        }
    }
    let path = folder.path().to_owned();
    (root, path)
}
