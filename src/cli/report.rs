//! `tradeoff report`: figures and tables for the paper and one HTML page.

use std::path::PathBuf;
use std::process::ExitCode;

use tradeoff::report::{self, Options};

use super::output;

/// Makes figures and tables for a paper, and one HTML page, from results.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tradeoff report results/20260102T030405Z-box -o report
  tradeoff report results -o report --force
  tradeoff report a/measurements.csv b/measurements.csv --target-gap 0.01 -o report")]
pub struct Report {
    /// CSV files, folders of runs, or folders of such folders.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// Folder to make, with index.html, figures/, tables/ and report.tex.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Replace an older report in that folder.
    #[arg(long)]
    force: bool,
    /// Loss gap to which the time of SGD is measured [default: what the best setting reaches].
    #[arg(long, value_name = "GAP", value_parser = gap)]
    target_gap: Option<f64>,
}

impl Report {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let Self { results, output, force, target_gap } = self;
        let options = Options { folder: output.clone(), force: *force, target_gap: *target_gap };
        let report = report::write(results, &options)?;
        if !report.left_out.is_empty() {
            let all = report.left_out.iter().map(|(why, count)| format!("{count} {why}"));
            let all: Vec<String> = all.collect();
            eprintln!("rows in the table of the page and in no figure: {}", all.join("; "));
        }
        for missing in &report.figures.missing {
            eprintln!("left out: {}: {}", missing.title, missing.remedy);
        }
        let figures = output.join("figures");
        let mut text: String = report
            .figures
            .figures
            .iter()
            .map(|f| format!("{}\n", figures.join(format!("{}.pdf", f.id)).display()))
            .collect();
        text += &format!("{}\n", report.page.display());
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn gap(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|gap: &f64| gap.is_finite() && *gap > 0.0)
        .ok_or_else(|| "write a number above 0, such as 0.01".to_owned())
}
