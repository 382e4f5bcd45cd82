//! The `tradeoff` program: data on stdout, everything else on stderr. Exit code 0; 1 where what was
//! asked for was done and the answer is bad (a wrong case); 2 on an error, which is one line.

/// The standard macro of this name panics where stderr is closed, as by `2>&1 | head`: what cannot be
/// told there must not end a run. What a results file or run.json holds may be anything, and much of it
/// is repeated: each call is one line, with nothing in it that steers the terminal.
macro_rules! eprintln {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{}", $crate::escaped(&format!($($arguments)*)));
    }};
}

mod cli;

use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if is_help(&error) => error.exit(),
        Err(error) => {
            eprintln!("{}", in_one_line(&error.render().to_string()));
            return ExitCode::from(2);
        }
    };
    cli.run().unwrap_or_else(|error| {
        eprintln!("error: {}", causes(&error));
        ExitCode::from(2)
    })
}

/// Whether clap has no complaint but a text to show: for --help, --version, and no verb at all.
fn is_help(error: &clap::Error) -> bool {
    !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// What clap says of a bad argument, without the usage and its guesses at what was meant, and where
/// to read what is right.
fn in_one_line(message: &str) -> String {
    let parts = message.split("\n\n").filter(|part| !part.trim().is_empty());
    let dropped = |part: &&str| {
        ["Usage:", "For more", "tip:"].iter().any(|start| part.trim_start().starts_with(start))
    };
    let parts = parts.filter(|part| !dropped(part));
    let line = |part: &str| part.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    parts.map(line).collect::<Vec<_>>().join("; ") + "; see --help"
}

/// On one line whatever a value holds that the text repeats: a line break in it as `\n`, and what
/// steers a terminal as `\u{1b}`.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// An error and what caused it, each once: many errors of the library tell their cause themselves.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        match (told.is_empty(), told.contains(&cause)) {
            (true, _) => cause,
            (false, true) => told,
            (false, false) => format!("{told}: {cause}"),
        }
    })
}
