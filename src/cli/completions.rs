//! `tradeoff completions`: scripts that complete this command line in a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a script that completes tradeoff's command line in a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  source <(tradeoff completions bash)                                           this session
  tradeoff completions bash > ~/.local/share/bash-completion/completions/tradeoff
  tradeoff completions zsh > ~/.zfunc/_tradeoff                                 with ~/.zfunc in fpath
  tradeoff completions fish > ~/.config/fish/completions/tradeoff.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "tradeoff", &mut script);
        super::output::print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
