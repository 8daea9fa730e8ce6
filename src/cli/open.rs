//! `resurge open`.
//!
//! In: a run. Out: its page, in the browser.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::exit_code::ExitCode;
use crate::report::PAGE_FILE;

use super::runs::{LAST, run_named};

/// What opens a page where `BROWSER` names nothing: of freedesktop.org, of macOS.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

const EXAMPLE: &str = "\
Examples:
  resurge open
  resurge open reports/idle-reconnect-20260101T120000Z-1a2b
  resurge open last --print        (only says where it is)";

/// Arguments of `resurge open`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct OpenArgs {
    /// The run folder; `last` is the latest one in reports/
    #[arg(default_value = LAST)]
    run: PathBuf,
    /// Print the path of the page, and do not open it
    #[arg(long)]
    print: bool,
}

pub(super) fn run(args: &OpenArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let page = match run_named(&args.run) {
        Ok(folder) => folder.join(PAGE_FILE),
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let page = match page.canonicalize() {
        Ok(page) => page,
        Err(error) => {
            let hint = "`resurge report RUN --rewrite` makes it again";
            writeln!(err, "error: {}: {error}; {hint}", page.display())?;
            return Ok(ExitCode::Unreadable);
        }
    };
    writeln!(out, "{}", page.display())?;
    if !args.print && !open(&page) {
        writeln!(err, "error: no program here opens it: set BROWSER to one that does")?;
        return Ok(ExitCode::Unexpected);
    }
    Ok(ExitCode::Pass)
}

/// Has a program open the page. Answers with whether there was one.
fn open(page: &Path) -> bool {
    let command = |program: &OsStr| {
        let mut command = Command::new(program);
        command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    match env::var_os("BROWSER").filter(|name| !name.is_empty()) {
        // It may be the browser itself, which stays.
        Some(own) => command(&own).spawn().is_ok(),
        // These hand the page over and end.
        None => OPENERS
            .iter()
            .any(|opener| command(OsStr::new(opener)).status().is_ok_and(|status| status.success())),
    }
}
