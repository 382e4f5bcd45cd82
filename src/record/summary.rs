//! What the terminal shows of finished cases: one line each, and at the end the fastest verified
//! kernel of each setting with what its speed costs in error.

use std::fmt::Write;

use super::{Record, Status};

/// The primary error with its name, and the test accuracy where there is one.
pub fn error_text(record: &Record) -> String {
    let value = record.primary_error.map_or_else(|| "-".to_owned(), |e| format!("{e:.2e}"));
    let accuracy = record.test_accuracy.map(|a| format!(", test accuracy {a:.3}"));
    format!("{value} {}{}", record.primary_error_metric, accuracy.unwrap_or_default())
}

/// How wrong a case is: its error, how near its bound that is, and whether its bits are the
/// mirror's.
pub fn verdict(record: &Record) -> String {
    let bound = match record.measured_over_bound {
        Some(ratio) => format!("; {ratio:.3} of its bound"),
        None => String::new(),
    };
    let bits = match (record.mirror_mismatches, record.verified_fraction) {
        (Some(0), Some(fraction)) => {
            format!("; bits equal the mirror's ({:.0} % of rows)", fraction * 100.0)
        }
        _ => String::new(),
    };
    format!("{}{bound}{bits}", error_text(record))
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

/// The fastest verified kernel of each setting (workload, precision, shape and device) as a table,
/// in the order in which the settings first come; empty where nothing was timed.
pub fn summary(rows: &[Record]) -> String {
    let best = fastest(rows);
    if best.is_empty() {
        return String::new();
    }
    let header = ["", "precision", "shape", "device", "kernel", "throughput", "", "converted", ""];
    let mut table = vec![header.map(str::to_owned)];
    table.extend(best.into_iter().map(cells));
    let mut widths = [0; 9];
    for line in &table {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text =
        String::from("fastest kernel of each setting, with what its speed costs in error\n\n");
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

/// The fastest `ok` row of each setting.
fn fastest(rows: &[Record]) -> Vec<&Record> {
    let mut best: Vec<&Record> = vec![];
    for row in rows.iter().filter(|row| row.status == Status::Ok) {
        let setting = |r: &Record| {
            [&r.workload, &r.precision, &r.shape, &r.device].map(String::as_str).join("\n")
        };
        match best.iter_mut().find(|other| setting(other) == setting(row)) {
            Some(other) if speed(row) > speed(other) => *other = row,
            Some(_) => {}
            None => best.push(row),
        }
    }
    best
}

fn cells(row: &Record) -> [String; 9] {
    [
        row.workload.clone(),
        row.precision.clone(),
        row.shape.clone(),
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
        assert_eq!(outcome(&row("fast", 1.0, Status::Skipped)), "skipped: no memory");
    }
}
