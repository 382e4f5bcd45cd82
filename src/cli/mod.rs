//! The command line, one file a verb.

mod compare;
mod completions;
mod devices;
mod frontier;
mod grade;
mod list;
mod merge;
mod output;
mod probe;
mod progress;
mod publish;
mod ratio;
mod repeat;
mod report;
mod run;
mod selection;
mod validate;

use std::process::ExitCode;

/// Measures what accuracy a speed costs, on every GPU present and on the CPU.
#[derive(clap::Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  tradeoff devices                      what could be measured here
  tradeoff run matmul --size 256,512    measures it, into a folder of results/
  tradeoff frontier results             which settings are worth having
  tradeoff report results -o report     figures, tables and a page"
)]
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
    Probe(probe::Probe),
    List(list::List),
    Run(run::Run),
    Merge(merge::Merge),
    Publish(publish::Publish),
    Compare(compare::Compare),
    Ratio(ratio::RatioArgs),
    Frontier(frontier::FrontierArgs),
    Grade(grade::GradeArgs),
    Report(report::Report),
    Validate(validate::Validate),
    Completions(completions::Completions),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Devices(verb) => verb.run(),
            Verb::Probe(verb) => verb.run(),
            Verb::List(verb) => verb.run(),
            Verb::Run(verb) => verb.run(),
            Verb::Merge(verb) => verb.run(),
            Verb::Publish(verb) => verb.run(),
            Verb::Compare(verb) => verb.run(),
            Verb::Ratio(verb) => verb.run(),
            Verb::Frontier(verb) => verb.run(),
            Verb::Grade(verb) => verb.run(),
            Verb::Report(verb) => verb.run(),
            Verb::Validate(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
        }
    }
}
