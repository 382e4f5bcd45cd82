//! `tradeoff merge`: the shards of a run as one run.

use std::path::PathBuf;
use std::process::ExitCode;

use tradeoff::record::{self, Record, Row};
use tradeoff::words::counted;

/// Joins the parts of a run that was split with --shard.
///
/// Each row keeps the id of the run that measured it, and run.json the provenance of every part.
/// A case measured twice, parts of different plans or schemas, and a part that was cut short are
/// refused.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff merge shards/* -o results/merged                all shards of a plan
  tradeoff merge shards/* -o so-far --partial              what there is of them")]
pub struct Merge {
    /// Folders of the parts.
    #[arg(required = true, value_name = "RUN")]
    parts: Vec<PathBuf>,
    /// The folder to make; it must not exist.
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// Merge also where cases of the plan are in no part.
    #[arg(long)]
    partial: bool,
}

impl Merge {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let merged = record::merge(&self.parts, &self.output, self.partial)?;
        for warning in &merged.warnings {
            eprintln!("warning: {warning}; rows before and after may not be comparable");
        }
        let rows = merged.rows.len();
        if rows < merged.planned {
            let (missing, planned) = (merged.planned - rows, counted(merged.planned, "case"));
            eprintln!("warning: {missing} of {planned} missing");
        }
        let table = self.output.join(Record::FILE);
        super::output::print(&format!("{} in {}\n", counted(rows, "row"), table.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
