//! The command line, one file a verb.

mod completions;
mod devices;
mod list;
mod merge;
mod progress;
mod publish;
mod run;
mod selection;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;

/// Measures what accuracy a speed costs, on every GPU present and on the CPU.
#[derive(clap::Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    #[command(after_help = "\
Examples:
  tradeoff devices                          what this machine has
  WGPU_BACKEND=vulkan tradeoff devices      of one backend only, and the CPU
  tradeoff devices --json | jq '.[].slug'   for other programs")]
    Devices(devices::Devices),
    List(list::List),
    Run(run::Run),
    Merge(merge::Merge),
    Publish(publish::Publish),
    Completions(completions::Completions),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Devices(verb) => verb.run().map(|()| ExitCode::SUCCESS),
            Verb::List(verb) => verb.run(),
            Verb::Run(verb) => verb.run(),
            Verb::Merge(verb) => verb.run(),
            Verb::Publish(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
        }
    }
}

/// Writes data to stdout. That its reader, such as `head`, has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to stdout"),
    }
}
