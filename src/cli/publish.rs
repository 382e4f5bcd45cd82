//! `tradeoff publish`: a copy of a run that does not tell whose machine it was.

use std::path::PathBuf;
use std::process::ExitCode;

use tradeoff::record;

/// Copies a run without the name of its host, to be committed or cited.
///
/// A run in which a path or the name of a host or user is left is refused, and the cell named.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tradeoff publish results/20260102T030405Z-box                 to results/published
  tradeoff publish results/20260102T030405Z-box -o paper/data")]
pub struct Publish {
    /// Folder of the run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder in which the copy's own folder is made.
    #[arg(short, long, value_name = "DIR", default_value = "results/published")]
    output: PathBuf,
}

impl Publish {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let copy = record::publish(&self.run, &self.output)?;
        super::output::print(&format!("{}\n", copy.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
