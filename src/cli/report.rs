//! `resurge report`.
//!
//! In: a run folder. Out: a report of it, made again from its journal.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::record::read_journal;
use crate::report::{
    JOURNAL_FILE, RunModel, Style, closes_csv, histograms_hlog, outcomes_csv, report_html, run_json,
    summary_csv, summary_text, timeseries_csv, write_all,
};

use super::{UNEXPECTED, wants_colour};

/// The exit code for a run folder that cannot be read.
const UNREADABLE: u8 = 65;

const EXAMPLE: &str = "\
Examples:
  resurge report reports/idle-reconnect-20260101T120000Z-1a2b
  resurge report RUN --format csv --table timeseries > timeseries.csv
  resurge report RUN --rewrite        (makes every file of the folder again, as after a crash)";

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The summary.
    Text,
    /// What run.json holds.
    Json,
    /// A CSV table.
    Csv,
    /// The HdrHistogram interval log.
    Hlog,
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
            "note: this run was cut off; its journal holds the first {seconds} s, at most the last second is lost"
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
    let text = match (args.format, args.table) {
        (Format::Text, _) => summary_text(&model, Style { colour: wants_colour(&io::stdout()) }),
        (Format::Json, _) => serde_json::to_string_pretty(&run_json(&model))? + "\n",
        (Format::Hlog, _) => histograms_hlog(&model),
        (Format::Html, _) => report_html(&model).map_err(io::Error::other)?,
        (Format::Csv, Table::Summary) => summary_csv(&model).map_err(io::Error::from)?,
        (Format::Csv, Table::Outcomes) => outcomes_csv(&model).map_err(io::Error::from)?,
        (Format::Csv, Table::Closes) => closes_csv(&model).map_err(io::Error::from)?,
        (Format::Csv, Table::Timeseries) => timeseries_csv(&model).map_err(io::Error::from)?,
    };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(0)
}
