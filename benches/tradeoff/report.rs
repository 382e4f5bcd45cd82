//! What the terminal shows beside criterion's times: the error of each case, and at the end the
//! fastest verified kernel of each setting with its error.

use std::path::Path;
use std::process::ExitCode;

use tradeoff::record::{Record, Status, summary};

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

    /// The rows so far.
    pub fn rows(&self) -> &[Record] {
        &self.rows
    }

    /// Prints the table and says how the run ended: 1 if a case was wrong or failed.
    pub fn finish(&self, folder: Option<&Path>) -> ExitCode {
        let table = summary::summary(&self.rows);
        if !table.is_empty() {
            print!("\n{table}");
        }
        if let Some(folder) = folder {
            println!("\n{} rows in {}", self.rows.len(), folder.join("measurements.csv").display());
        }
        if let Some(faults) = summary::faults(&self.rows) {
            eprintln!("{faults}");
        }
        let bad = |row: &Record| matches!(row.status, Status::Wrong | Status::Failed);
        if self.rows.iter().any(bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Under criterion's own lines, in the column of its times.
fn error_line(record: &Record) -> String {
    format!("{:24}error:  {}", "", summary::verdict(record))
}
