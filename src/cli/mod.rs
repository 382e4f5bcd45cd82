//! The command line, one file a verb.

mod compare;
mod devices;
mod frontier;
mod output;
mod report;

/// Measures what accuracy a speed costs, on every GPU present and on the CPU.
#[derive(clap::Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Compare(compare::Compare),
    Devices(devices::Devices),
    Frontier(frontier::FrontierArgs),
    Report(report::Report),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Compare(verb) => verb.run(),
            Verb::Devices(verb) => verb.run(),
            Verb::Frontier(verb) => verb.run(),
            Verb::Report(verb) => verb.run(),
        }
    }
}
