//! The command line, one file a verb.

mod devices;
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
    Devices(devices::Devices),
    Report(report::Report),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Devices(verb) => verb.run(),
            Verb::Report(verb) => verb.run(),
        }
    }
}
