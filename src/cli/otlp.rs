//! Numbers that are sent to a receiver of OpenTelemetry while a run goes on.
//!
//! In: what was typed, the standard variables. Out: what sends them; what did not arrive, on the error stream.

use std::io::{self, Write};

use crate::exit_code::ExitCode;
use crate::run::{OtlpExporter, OtlpSettings, OtlpTally};

/// What sends numbers to `endpoint`, where one is given. A fault is told, and is an exit code.
pub(super) fn exporter(
    endpoint: Option<&str>,
    err: &mut dyn Write,
) -> io::Result<Result<Option<OtlpExporter>, ExitCode>> {
    let Some(endpoint) = endpoint else { return Ok(Ok(None)) };
    let settings = match OtlpSettings::read(endpoint, &|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(Err(ExitCode::Usage));
        }
    };
    let url = settings.url().clone();
    match OtlpExporter::start(settings) {
        Ok(exporter) => {
            writeln!(err, "otlp: {url}, service.instance.id {}", exporter.run_id())?;
            Ok(Ok(Some(exporter)))
        }
        Err(error) => {
            writeln!(err, "error: --otlp {url}: {error}")?;
            Ok(Err(ExitCode::Unexpected))
        }
    }
}

/// What did not arrive.
pub(super) fn tell_exports(tally: &OtlpTally, err: &mut dyn Write) -> io::Result<()> {
    let OtlpTally { accepted, dropped, rejected, why } = tally;
    if *dropped == 0 && *rejected == 0 {
        return Ok(());
    }
    let why = why.as_deref().unwrap_or("no reason given");
    writeln!(err, "otlp: {accepted} exports taken, {dropped} not, {rejected} data points rejected ({why})")
}
