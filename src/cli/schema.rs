//! `resurge schema`.
//!
//! In: nothing. Out: the JSON Schema of the scenario file.

use std::io::{self, Write};

use clap::Args;

const EXAMPLE: &str = "\
Example:
  resurge schema > resurge.schema.json    (then point your editor's TOML support at it)";

/// Arguments of `resurge schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SchemaArgs {}

pub(super) fn run(_args: &SchemaArgs, out: &mut dyn Write) -> io::Result<u8> {
    let text = serde_json::to_string_pretty(&crate::scenario::schema())?;
    writeln!(out, "{text}")?;
    Ok(0)
}
