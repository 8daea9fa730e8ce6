//! `resurge examples`, and what `--example` stands for.
//!
//! In: a name, or none. Out: the shipped scenarios, or the text of one.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::scenario::{SHIPPED, ShippedScenario, shipped_path, shipped_scenario};

const EXAMPLE: &str = "\
Examples:
  resurge examples
  resurge examples deploy-storm > mine.toml      (to change it)
  resurge run --example deploy-storm             (as it is; --set changes a key)

Where a command takes a scenario file, example:NAME stands for a shipped one, as in resurge check example:deploy-storm";

/// Arguments of `resurge examples`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct ExamplesArgs {
    /// Print this one, as a file to begin with
    name: Option<String>,
}

pub(super) fn run(args: &ExamplesArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match args.name.as_deref().map(shipped_scenario) {
        None => out.write_all(listed().as_bytes())?,
        Some(Ok(scenario)) => out.write_all(scenario.text.as_bytes())?,
        Some(Err(fault)) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Usage);
        }
    }
    Ok(ExitCode::Pass)
}

/// The shipped scenarios, a line each.
fn listed() -> String {
    let widest = SHIPPED.iter().map(|known| known.name.len()).max().unwrap_or(0);
    let line = |known: &ShippedScenario| format!("  {:widest$}  {}\n", known.name, known.description());
    SHIPPED.iter().map(line).collect()
}

/// The path that a scenario is loaded by: the file's, or what stands for a shipped one. `None` once it was told that neither was named.
pub(super) fn named(
    scenario: Option<&PathBuf>,
    example: Option<&str>,
    command: &str,
    err: &mut dyn Write,
) -> io::Result<Option<PathBuf>> {
    if let Some(name) = example {
        return Ok(Some(PathBuf::from(shipped_path(name))));
    }
    if scenario.is_none() {
        writeln!(
            err,
            "error: no scenario: name a file, or one of those that are shipped:\n{}\n  resurge {command} --example smoke      runs one of them\n  resurge examples smoke > mine.toml   makes it a file to change",
            listed()
        )?;
    }
    Ok(scenario.cloned())
}
