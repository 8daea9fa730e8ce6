//! `resurge completions`.
//!
//! In: a shell's name, and the command line to complete. Out: its completions.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit_code::ExitCode;

const EXAMPLE: &str = "\
Example:
  resurge completions bash > ~/.local/share/bash-completion/completions/resurge";

/// Arguments of `resurge completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(
    args: &CompletionsArgs,
    command: &mut Command,
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "resurge", &mut text);
    out.write_all(&text)?;
    Ok(ExitCode::Pass)
}
