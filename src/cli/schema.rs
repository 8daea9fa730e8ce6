//! `resurge schema`.
//!
//! In: of what, and how. Out: the JSON Schema of the scenario file or of `run.json`, or the scenario's keys as a Markdown page.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use crate::exit_code::ExitCode;
use crate::report::run_json_schema;

const EXAMPLE: &str = "\
Examples:
  resurge schema > resurge.schema.json    (then point your editor's TOML support at it)
  resurge schema --format markdown        (every key, for people)
  resurge schema --of run > run.schema.json";

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The scenario file.
    Scenario,
    /// run.json, and what `resurge report --format json` prints.
    Run,
}

/// What it is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON Schema, draft 2020-12
    Json,
    /// A reference page, for the scenario file only
    Markdown,
}

/// Arguments of `resurge schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SchemaArgs {
    /// The document to describe
    #[arg(long, value_enum, default_value = "scenario")]
    of: Subject,
    /// The form of the schema
    #[arg(long, value_enum, default_value = "json")]
    format: Form,
}

pub(super) fn run(args: &SchemaArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let text = match (args.of, args.format) {
        (Subject::Scenario, Form::Json) => serde_json::to_string_pretty(&crate::scenario::schema())?,
        (Subject::Scenario, Form::Markdown) => crate::scenario::reference().trim_end().to_owned(),
        (Subject::Run, Form::Json) => serde_json::to_string_pretty(&run_json_schema())?,
        (Subject::Run, Form::Markdown) => {
            writeln!(err, "error: run.json has no reference page: leave out --format markdown")?;
            return Ok(ExitCode::Usage);
        }
    };
    writeln!(out, "{text}")?;
    Ok(ExitCode::Pass)
}
