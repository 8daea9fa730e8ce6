//! `resurge check`.
//!
//! In: scenario files. Out: each one's plan in words, or all its faults.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::plan::needs;
use crate::scenario::{ScenarioError, describe, load};
use crate::units::format_count;

use super::{parse_override, wants_colour};

const EXAMPLE: &str = "\
Examples:
  resurge check scenarios/*.toml
  resurge check scenarios/smoke.toml --set groups.0.clients=200";

/// Arguments of `resurge check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct CheckArgs {
    /// The scenario files
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// Override a key of the scenarios by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
}

pub(super) fn run(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let mut code = 0;
    for path in &args.scenarios {
        match load(path, &args.overrides, None, &|name| std::env::var(name).ok()) {
            Ok(loaded) => {
                write!(out, "{}", describe(&loaded.scenario))?;
                let needs = needs(&loaded.scenario);
                writeln!(out, "  needs at most {} file descriptors", format_count(needs.descriptors))?;
            }
            Err(ScenarioError::Faults(faults)) => {
                writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
                code = 104;
            }
            Err(error) => {
                writeln!(err, "error: {error}")?;
                code = 104;
            }
        }
    }
    Ok(code)
}
