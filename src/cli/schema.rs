//! `resurge schema`.
//!
//! In: of what. Out: the JSON Schema of the scenario file, or of `run.json`.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use crate::report::run_json_schema;

const EXAMPLE: &str = "\
Examples:
  resurge schema > resurge.schema.json    (then point your editor's TOML support at it)
  resurge schema --of run > run.schema.json";

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The scenario file.
    Scenario,
    /// run.json, and what `resurge report --format json` prints.
    Run,
}

/// Arguments of `resurge schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SchemaArgs {
    /// Of what
    #[arg(long, value_enum, default_value = "scenario")]
    of: Subject,
}

pub(super) fn run(args: &SchemaArgs, out: &mut dyn Write) -> io::Result<u8> {
    let text = match args.of {
        Subject::Scenario => serde_json::to_string_pretty(&crate::scenario::schema())?,
        Subject::Run => serde_json::to_string_pretty(&run_json_schema())?,
    };
    writeln!(out, "{text}")?;
    Ok(0)
}
