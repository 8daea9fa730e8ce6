//! How a run that came to its end is told, whether its time was real or virtual.
//!
//! In: a run, or why there is none. Out: the summary on stdout, where everything is on stderr, the reports that were asked for.

use std::io::{self, Write};

use crate::exit_code::ExitCode;
use crate::report::{Printed, Style, WriteFault, printed_summary};
use crate::run::{RunDone, RunError};
use crate::scenario::ScenarioError;

use super::ci::tell_ci;
use super::report::{Export, export};
use super::streams::wants_colour;

/// Says why there was no run, and answers with the exit code that says it.
pub(super) fn tell_refusal(error: &RunError, err: &mut dyn Write) -> io::Result<ExitCode> {
    match error {
        RunError::Scenario(ScenarioError::Faults(faults)) => {
            writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
        }
        other => writeln!(err, "error: {other}")?,
    }
    Ok(error.exit_code())
}

/// Tells a run: what is to stand above its summary, the summary with or without details, its folder, what could not be written. Answers whether everything was written.
pub(super) fn tell_done(
    done: &RunDone,
    (more, details): (&str, bool),
    exports: &[Export],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let style = Style { colour: wants_colour(&io::stdout()) };
    // What stdout cannot take must not change how the run came out, nor keep the rest from being written.
    writeln!(err, "run folder: {}", done.folder.display())?;
    let folder = Some(done.folder.as_path());
    let summary = printed_summary(&done.model, Printed { style, details, folder });
    let printed = write!(out, "{more}{summary}").and_then(|()| out.flush());
    let exported = exports.iter().filter_map(|wanted| export(&done.model, wanted).err());
    let mut told: Vec<String> = done.model.end.iter().flat_map(|end| end.write_faults.clone()).collect();
    told.extend(done.write_faults.iter().map(WriteFault::to_string));
    told.extend(exported.map(|fault| fault.to_string()));
    told.extend(printed.err().map(|error| format!("cannot write the summary to stdout: {error}")));
    for fault in &told {
        writeln!(err, "error: {fault}")?;
    }
    tell_ci(&done.model, err)?;
    Ok(told.is_empty())
}
