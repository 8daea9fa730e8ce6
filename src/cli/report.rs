//! `resurge report`.
//!
//! In: a run folder. Out: a report of it, made again from its journal.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::record::read_journal;
use crate::report::{
    JOURNAL_FILE, RunModel, Style, WriteFault, benchmark_entries, closes_csv, histograms_hlog, junit_xml,
    markdown, outcomes_csv, report_html, run_json, summary_csv, summary_text, timeseries_csv, write_all,
    write_file,
};

use super::{UNEXPECTED, wants_colour};

/// The exit code for a run folder that cannot be read.
const UNREADABLE: u8 = 65;

const EXAMPLE: &str = "\
Examples:
  resurge report reports/idle-reconnect-20260101T120000Z-1a2b
  resurge report RUN --format csv --table timeseries > timeseries.csv
  resurge report RUN --format junit > junit.xml
  resurge report RUN --format markdown > summary.md
  resurge report RUN --rewrite        (makes every file of the folder again, as after a crash)";

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The summary.
    Text,
    /// Markdown, for a pull request or the summary of a CI step.
    Markdown,
    /// What run.json holds; `resurge schema --of run` prints its schema.
    Json,
    /// A CSV table.
    Csv,
    /// JUnit XML: a test case for each threshold, and for what makes a run valid.
    Junit,
    /// The HdrHistogram interval log.
    Hlog,
    /// A JSON array of numbers of which less is better (customSmallerIsBetter), for a history of benchmarks.
    Benchmark,
    /// A page with plots, which needs nothing but a browser.
    Html,
}

/// The CSV tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Latencies by group and metric.
    Summary,
    /// Attempts by outcome and cause.
    Outcomes,
    /// Sessions' ends by close code.
    Closes,
    /// A row for each second and group.
    Timeseries,
}

/// Arguments of `resurge report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct ReportArgs {
    /// The run folder
    run: PathBuf,
    /// The form of the report, on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Which table, with --format csv
    #[arg(long, value_enum, default_value = "summary")]
    table: Table,
    /// Make every file of the run folder again
    #[arg(long)]
    rewrite: bool,
}

pub(super) fn run(args: &ReportArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if !args.run.is_dir() {
        writeln!(err, "error: {} is no run folder: there is no such folder", args.run.display())?;
        return Ok(UNREADABLE);
    }
    let journal = match read_journal(&args.run.join(JOURNAL_FILE)) {
        Ok(journal) => journal,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(UNREADABLE);
        }
    };
    let model = RunModel::new(journal);
    if model.end.is_none() {
        let seconds = model.seconds.last().map_or(0, |(second, _)| second + 1);
        writeln!(
            err,
            "note: this run was cut off; its journal holds the first {seconds} s of {} s planned. A crash loses at most the last second; what is missing beyond that, somebody cut off",
            model.manifest.duration_s
        )?;
    }
    if args.rewrite {
        let faults = write_all(&model, &args.run);
        for fault in &faults {
            writeln!(err, "error: {fault}")?;
        }
        if !faults.is_empty() {
            return Ok(UNEXPECTED);
        }
    }
    let style = Style { colour: wants_colour(&io::stdout()) };
    let text = render(&model, args.format, args.table, style)?;
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(0)
}

/// A report of a run, in the form that was asked for.
fn render(model: &RunModel, format: Format, table: Table, style: Style) -> io::Result<String> {
    let json = |text: serde_json::Result<String>| text.map(|text| text + "\n").map_err(io::Error::from);
    match (format, table) {
        (Format::Text, _) => Ok(summary_text(model, style)),
        (Format::Markdown, _) => Ok(markdown(model)),
        (Format::Json, _) => json(serde_json::to_string_pretty(&run_json(model))),
        (Format::Junit, _) => junit_xml(model).map_err(io::Error::other),
        (Format::Hlog, _) => Ok(histograms_hlog(model)),
        (Format::Html, _) => report_html(model).map_err(io::Error::other),
        (Format::Benchmark, _) => json(serde_json::to_string_pretty(&benchmark_entries(model))),
        (Format::Csv, Table::Summary) => summary_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Outcomes) => outcomes_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Closes) => closes_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Timeseries) => timeseries_csv(model).map_err(io::Error::from),
    }
}

/// A report to write beside the run folder: `FORMAT=PATH`.
#[derive(Debug, Clone)]
pub(super) struct Export {
    format: Format,
    path: PathBuf,
}

/// Splits `FORMAT=PATH`.
pub(super) fn parse_export(text: &str) -> Result<Export, String> {
    let (name, path) = text.split_once('=').unwrap_or((text, ""));
    let names = || {
        let values = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    match Format::from_str(name, false) {
        Ok(format) if !path.is_empty() => Ok(Export { format, path: PathBuf::from(path) }),
        Ok(_) => Err(format!("write it with a file, as {name}=reports/latest.{name}")),
        Err(_) => Err(format!("write it as FORMAT=PATH, with one of {}", names())),
    }
}

/// Writes a report to its file, whole or not at all; a CSV is the summary's.
pub(super) fn export(model: &RunModel, export: &Export) -> Result<(), WriteFault> {
    let text = render(model, export.format, Table::Summary, Style { colour: false });
    let fault = |source| WriteFault { path: export.path.clone(), source };
    let text = text.map_err(fault)?;
    if export.path.metadata().is_ok_and(|found| !found.is_file()) {
        // A pipe or a terminal is written to, not replaced.
        return std::fs::write(&export.path, text).map_err(fault);
    }
    write_file(&export.path, &text)
}
