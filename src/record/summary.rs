//! What the terminal shows of finished cases: one line each, and at the end the fastest verified
//! kernel of each setting with what its speed costs in error.

use std::fmt::Write;

use super::{Record, Status};
use crate::workload::sgd::Algorithm;

/// The primary error with its name, and the test accuracy where there is one.
pub fn error_text(record: &Record) -> String {
    let value = record.primary_error.map_or_else(|| "-".to_owned(), |e| format!("{e:.2e}"));
    let accuracy = record.test_accuracy.map(|a| format!(", test accuracy {a:.3}"));
    format!("{value} {}{}", record.primary_error_metric, accuracy.unwrap_or_default())
}

/// How wrong a case is: its error, how near its bound that is, and what of it was checked.
pub fn verdict(record: &Record) -> String {
    let bound = match record.measured_over_bound {
        Some(ratio) => format!("; {ratio:.3} of its bound"),
        None => String::new(),
    };
    let bits = match (record.mirror_mismatches, record.verified_fraction) {
        (Some(0), Some(fraction)) => format!("; {}", checked(record, 100.0 * fraction)),
        _ => String::new(),
    };
    format!("{}{bound}{bits}", error_text(record))
}

/// What of a case was checked, and found right. On the CPU the mirror of SGD is what is measured: its
/// first steps are set beside their definition, those of LP-SVRG and HALP beside their run in f64.
fn checked(record: &Record, percent: f64) -> String {
    let on_cpu = record.workload == "sgd" && record.backend == "cpu";
    let reduced = record.algorithm.parse().is_ok_and(Algorithm::is_variance_reduced);
    match (on_cpu, reduced) {
        (true, true) => format!("each number is one that f64 allows ({percent:.3} % of steps)"),
        (true, false) => format!("bits equal their definition's ({percent:.3} % of steps)"),
        // A few of thousands of rows are not none.
        _ if percent < 1.0 => format!("bits equal the mirror's ({percent:.2} % of rows)"),
        _ => format!("bits equal the mirror's ({percent:.0} % of rows)"),
    }
}

/// How a case ended: its throughput and verdict, or its status and the reason.
pub fn outcome(record: &Record) -> String {
    match (record.status, record.throughput) {
        (Status::Ok, Some(throughput)) => {
            format!("{throughput:.3} {}, error {}", record.throughput_unit, verdict(record))
        }
        (status, _) => format!("{}: {}", status.name(), record.reason),
    }
}

/// How many cases were wrong, failed or skipped, in one line; `None` where all are `ok`.
pub fn faults(rows: &[Record]) -> Option<String> {
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let [wrong, failed, skipped] = [Status::Wrong, Status::Failed, Status::Skipped].map(count);
    (wrong + failed + skipped > 0)
        .then(|| format!("{wrong} wrong, {failed} failed, {skipped} skipped; the rows say why"))
}

/// The fastest verified kernel of each setting (workload, precision, random bits, shape and device) as
/// a table, in the order in which the settings first come; of several learning rates that of the least
/// error.
/// Empty where nothing was timed.
pub fn summary(rows: &[Record]) -> String {
    let best = fastest(rows);
    if best.is_empty() {
        return String::new();
    }
    let header = ["", "precision", "shape", "device", "kernel", "throughput", "", "converted", ""];
    let mut table = vec![header.map(str::to_owned)];
    table.extend(best.iter().map(|&row| cells(row)));
    let mut widths = [0; 9];
    for line in &table {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rate = |row: &&Record| row.learning_rate.map(f64::to_bits);
    let tuned = best.iter().any(|row| rivals(rows, row).any(|rival| rate(&rival) != rate(row)));
    let tuned = if tuned { ", at the learning rate of the least error" } else { "" };
    let mut text =
        format!("fastest kernel of each setting{tuned}, with what its speed costs in error\n\n");
    for (index, line) in table.iter().enumerate() {
        let error = if index == 0 { "error" } else { &line[8] };
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate().take(8) {
            // Writing to a String cannot fail.
            let _ = match column {
                5 | 7 => write!(text, "{cell:>width$}"),
                _ => write!(text, "{cell:<width$}"),
            };
            text += if column == 5 { " " } else { "  " };
        }
        text += error;
        text.push('\n');
    }
    text + "\nconverted: throughput with the conversion from f32 included\n"
}

fn speed(record: &Record) -> f64 {
    record.throughput.unwrap_or(0.0)
}

/// The `ok` rows of the setting of `row`, itself among them.
fn rivals<'a>(rows: &'a [Record], row: &'a Record) -> impl Iterator<Item = &'a Record> {
    let setting = |r: &'a Record| {
        let inputs = [&r.distribution, &r.distribution_parameters];
        let texts = [&r.workload, &r.precision, &r.shape, &r.device, &r.algorithm];
        (texts, inputs, r.fewer_rounding_bits())
    };
    rows.iter().filter(move |r| r.status == Status::Ok && setting(r) == setting(row))
}

/// The fastest `ok` row of each setting, at the learning rate of the least error.
fn fastest(rows: &[Record]) -> Vec<&Record> {
    let mut best: Vec<&Record> = vec![];
    for row in rows.iter().filter(|row| row.status == Status::Ok) {
        if rivals(rows, row).any(|rival| best.iter().any(|known| std::ptr::eq(*known, rival))) {
            continue;
        }
        let error = |r: &&Record| r.primary_error.unwrap_or(f64::INFINITY);
        let least = rivals(rows, row).min_by(|a, b| error(a).total_cmp(&error(b)));
        let rate = least.map(|r| r.learning_rate);
        let tuned = rivals(rows, row).filter(|r| Some(r.learning_rate) == rate);
        // Of equals the first, which `max_by` would leave for the last.
        best.extend(tuned.min_by(|a, b| speed(b).total_cmp(&speed(a))));
    }
    best
}

fn cells(row: &Record) -> [String; 9] {
    [
        row.workload.clone(),
        row.precision.clone(),
        row.shape_in_id().to_owned(),
        row.device.clone(),
        row.kernel.clone(),
        format!("{:.3}", speed(row)),
        row.throughput_unit.clone(),
        row.total_throughput.map_or_else(|| "-".to_owned(), |t| format!("{t:.3}")),
        error_text(row),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: &str, throughput: f64, status: Status) -> Record {
        Record {
            workload: "matmul".into(),
            precision: "fp16".into(),
            shape: "8x8x8".into(),
            device: "cpu".into(),
            kernel: kernel.into(),
            throughput: Some(throughput),
            throughput_unit: "GFLOP/s".into(),
            primary_error: Some(1.25e-3),
            primary_error_metric: "relative_frobenius".into(),
            status,
            reason: if status == Status::Ok { "" } else { "no memory" }.into(),
            ..Record::default()
        }
    }

    #[test]
    fn the_fastest_verified_kernel_of_a_setting_is_shown() {
        let rows = [
            row("slow", 1.0, Status::Ok),
            row("fast", 2.5, Status::Ok),
            row("wrong", 9.0, Status::Wrong),
            Record { device: "gpu-vulkan".into(), ..row("tiled", 4.0, Status::Ok) },
        ];
        let expected = "\
fastest kernel of each setting, with what its speed costs in error

        precision  shape  device      kernel  throughput          converted  error
matmul  fp16       8x8x8  cpu         fast         2.500 GFLOP/s          -  1.25e-3 relative_frobenius
matmul  fp16       8x8x8  gpu-vulkan  tiled        4.000 GFLOP/s          -  1.25e-3 relative_frobenius

converted: throughput with the conversion from f32 included
";
        assert_eq!(summary(&rows), expected);
        assert_eq!(faults(&rows).unwrap(), "1 wrong, 0 failed, 0 skipped; the rows say why");
        assert_eq!(faults(&rows[..2]), None);
        assert_eq!(summary(&rows[2..3]), "");
    }

    #[test]
    fn of_several_learning_rates_that_of_the_least_error_is_shown() {
        let rate = |name: &str, rate, throughput, error| Record {
            case_id: format!("sgd/D8M8/mirror/digits-b32{name}/cpu"),
            workload: "sgd".into(),
            shape: "digits-b32".into(),
            learning_rate: Some(rate),
            primary_error: Some(error),
            ..row("mirror", throughput, Status::Ok)
        };
        let rows = [
            rate("", 0.02, 2.0, 0.5),
            rate("-lr0.5x", 0.01, 1.0, 0.25),
            rate("-lr2x", 0.04, 3.0, f64::NAN),
        ];
        let told = summary(&rows);
        assert!(told.starts_with("fastest kernel of each setting, at the learning rate of"));
        assert!(told.contains("  digits-b32-lr0.5x  ") && !told.contains("lr2x"), "{told}");
        assert_eq!(told.lines().count(), 6, "{told}");
    }

    #[test]
    fn an_outcome_is_one_line() {
        let ok = Record {
            mirror_mismatches: Some(0),
            verified_fraction: Some(0.25),
            measured_over_bound: Some(0.5),
            ..row("fast", 2.5, Status::Ok)
        };
        assert_eq!(
            outcome(&ok),
            "2.500 GFLOP/s, error 1.25e-3 relative_frobenius; 0.500 of its bound; bits equal the \
             mirror's (25 % of rows)"
        );
        let few = Record { verified_fraction: Some(4.0 / 1024.0), ..ok.clone() };
        assert!(outcome(&few).ends_with("(0.39 % of rows)"), "{}", outcome(&few));
        let end = |backend: &str, algorithm: &str| {
            let (workload, backend) = ("sgd".into(), backend.into());
            let row = Record { workload, backend, algorithm: algorithm.into(), ..ok.clone() };
            outcome(&row).rsplit("; ").next().unwrap().to_owned()
        };
        assert_eq!(end("vulkan", "halp"), "bits equal the mirror's (25 % of rows)");
        assert_eq!(end("cpu", "sgd"), "bits equal their definition's (25.000 % of steps)");
        assert_eq!(end("cpu", "halp"), "each number is one that f64 allows (25.000 % of steps)");
        assert_eq!(outcome(&row("fast", 1.0, Status::Skipped)), "skipped: no memory");
    }
}
