//! `resurge mark`.
//!
//! In: a run folder, a text. Out: the moment of the mark on stdout.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::run::mark_run;

const EXAMPLE: &str = "\
Examples:
  resurge run staging.toml --out reports/deploy &
  resurge mark reports/deploy \"deploy of 4f2a\"

Outages that begin within 30 s are named after it. SIGUSR1 to the run marks a moment, too.";

/// Arguments of `resurge mark`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct MarkArgs {
    /// The folder of a running run
    run: PathBuf,
    /// What happened, on one line of at most 200 characters
    text: String,
}

pub(super) fn run(args: &MarkArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match mark_run(&args.run, &args.text) {
        Ok(at) => {
            writeln!(out, "marked at {:.3} s", at.as_secs_f64())?;
            Ok(ExitCode::Pass)
        }
        Err(error) => {
            writeln!(err, "error: {error}")?;
            Ok(error.exit_code())
        }
    }
}
