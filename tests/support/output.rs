//! What a program said.

use std::process::Output;

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it wrote to stdout, each sentence on one line, and then what it wrote to stderr.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}", unwrapped(&output.stdout), text(&output.stderr))
}

/// A summary, each sentence on one line.
pub(crate) fn unwrapped(bytes: &[u8]) -> String {
    text(bytes).replace("\n    ", " ")
}
