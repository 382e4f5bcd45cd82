//! What the terminal shows beside criterion's times: the error of each case, and at the end the
//! fastest verified kernel of each setting with its error.

use std::path::Path;
use std::process::ExitCode;

use tradeoff::record::{Record, Status};

pub struct Tally {
    rows: Vec<Record>,
    verified: usize,
}

impl Tally {
    pub fn new() -> Self {
        Self { rows: vec![], verified: 0 }
    }

    /// A case that was verified and, as asked, not timed.
    pub fn verified(&mut self, record: &Record) {
        self.verified += 1;
        println!("{}", error_line(record));
    }

    /// A case with its row.
    pub fn add(&mut self, record: &Record) {
        match record.status {
            Status::Ok => println!("{}", error_line(record)),
            status => eprintln!("{}: {}: {}", record.case_id, status.name(), record.reason),
        }
        self.rows.push(record.clone());
    }

    /// Prints the table and says how the run ended: 1 if a case was wrong or failed.
    pub fn finish(&self, folder: Option<&Path>) -> ExitCode {
        self.table();
        let count = |status| self.rows.iter().filter(|r| r.status == status).count();
        let (wrong, failed) = (count(Status::Wrong), count(Status::Failed));
        let skipped = count(Status::Skipped);
        if let Some(folder) = folder {
            println!("\n{} rows in {}", self.rows.len(), folder.join("measurements.csv").display());
        }
        if wrong + failed + skipped > 0 {
            eprintln!("{wrong} wrong, {failed} failed, {skipped} skipped; the rows say why");
        }
        if wrong + failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn table(&self) {
        let timed: Vec<&Record> = self.rows.iter().filter(|r| r.status == Status::Ok).collect();
        if timed.is_empty() {
            return;
        }
        println!("\nfastest kernel of each setting, with what its speed costs in error\n");
        println!(
            "{:<8}{:<17}{:<24}{:<22}{:<16}{:>17}  {:>10}  error",
            "", "precision", "shape", "device", "kernel", "throughput", "converted"
        );
        let mut shown: Vec<[&str; 4]> = vec![];
        for row in &timed {
            let setting = |r: &'_ Record| {
                [r.workload.clone(), r.precision.clone(), r.shape.clone(), r.device.clone()]
            };
            if shown.iter().any(|s| setting(row).iter().eq(s.iter())) {
                continue;
            }
            shown.push([&row.workload, &row.precision, &row.shape, &row.device]);
            let rivals = timed.iter().filter(|r| setting(r) == setting(row));
            let speed = |r: &Record| r.throughput.unwrap_or(0.0);
            let best = rivals.max_by(|a, b| speed(a).total_cmp(&speed(b))).unwrap_or(row);
            println!(
                "{:<8}{:<17}{:<24}{:<22}{:<16}{:>9.3} {:<7}  {:>10}  {}",
                best.workload,
                best.precision,
                best.shape,
                best.device,
                best.kernel,
                speed(best),
                best.throughput_unit,
                best.total_throughput.map_or_else(|| "-".to_owned(), |t| format!("{t:.3}")),
                error(best),
            );
        }
        println!("\nconverted: throughput with the conversion from f32 included");
    }
}

/// The primary error with its name.
fn error(record: &Record) -> String {
    let value = record.primary_error.map_or_else(|| "-".to_owned(), |e| format!("{e:.2e}"));
    let accuracy = record.test_accuracy.map(|a| format!(", test accuracy {a:.3}"));
    format!("{value} {}{}", record.primary_error_metric, accuracy.unwrap_or_default())
}

fn error_line(record: &Record) -> String {
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
    format!("{:24}error:  {}{bound}{bits}", "", error(record))
}
