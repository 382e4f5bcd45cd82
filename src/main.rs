//! The `tradeoff` program: data on stdout, everything else on stderr. Exit code 0; 1 where what was
//! asked ran and the answer is bad (a wrong case); 2 on an error.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
