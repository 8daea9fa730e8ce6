//! `resurge report`.
//!
//! In: a run folder. Out: a report of it, made again from its journal.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::exit_code::ExitCode;
use crate::record::ATTEMPTS_FILE;
use crate::report::{
    JOURNAL_FILE, PAGE_FILE, Printed, RunModel, SHARDS_FOLDER, Style, WriteFault, attempts_parquet,
    availability_csv, benchmark_entries, check_writable, closes_csv, exchanges_csv, histograms_hlog,
    is_stream, junit_xml, kinds_csv, markdown, observed_csv, outages_csv, outcomes_csv, printed_summary,
    report_html, run_json, steps_csv, streams_csv, summary_csv, summary_text, timeseries_csv,
    timeseries_parquet, tokens_csv, write_all, write_named,
};

use crate::run::{FoundRun, folders_made, read_run_folder};

use super::runs::run_named;
use super::streams::wants_colour;

const EXAMPLE: &str = "\
Examples:
  resurge report reports/idle-reconnect-20260101T120000Z-1a2b
  resurge report RUN --format csv --table timeseries > timeseries.csv
  resurge report RUN --format parquet --table attempts > attempts.parquet
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
    /// The table of the seconds, or of the attempts, as Apache Parquet: for DuckDB, pandas, Spark.
    Parquet,
    /// JUnit XML: a test case for each threshold, and for what makes a run valid.
    Junit,
    /// The HdrHistogram interval log.
    Hlog,
    /// A JSON array of numbers of which less is better (customSmallerIsBetter), for a history of benchmarks.
    Benchmark,
    /// A page with plots, in a single file.
    Html,
}

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Latencies by group and metric.
    Summary,
    /// Attempts by outcome and cause.
    Outcomes,
    /// Sessions' ends by close code.
    Closes,
    /// Requests for tokens by answer.
    Tokens,
    /// Steps before handshakes by answer.
    Steps,
    /// Messages and their replies.
    Exchanges,
    /// Messages with numbers or times.
    Streams,
    /// Messages by their kind.
    Kinds,
    /// Outages: who was lost, how they came back.
    Outages,
    /// Client-seconds in and wanted, by group and minute.
    Availability,
    /// A row for each second and group.
    Timeseries,
    /// A row for each attempt, where the run was asked for them (--attempts).
    Attempts,
    /// The service's own numbers, a row for each second and series.
    Observed,
}

/// Arguments of `resurge report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct ReportArgs {
    /// The run folder; `last` is the latest one in reports/
    run: PathBuf,
    /// The form of the report, on stdout [default: text; with --table: csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Which table, as CSV [default: summary] or with --format parquet (timeseries, the default, or attempts)
    #[arg(long, value_enum)]
    table: Option<Table>,
    /// Print all tables of the summary
    #[arg(long)]
    details: bool,
    /// Write every file of the run folder again
    #[arg(long)]
    rewrite: bool,
}

pub(super) fn run(args: &ReportArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let (format, table) = match form(args) {
        Ok(form) => form,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Usage);
        }
    };
    let run = match run_named(&args.run) {
        Ok(run) => run,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let FoundRun { journal, shards } = match read_run_folder(&run) {
        Ok(found) => found,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let model = RunModel::new(journal);
    if !shards.is_empty() {
        let names: Vec<String> = shards.iter().map(|shard| shard.display().to_string()).collect();
        writeln!(
            err,
            "note: this run has no {JOURNAL_FILE} of its own: its parent was killed before it merged its shards, could not write it, or still runs. The report is made of what the shards left in {}",
            names.join(", ")
        )?;
    }
    if model.end.is_none() {
        writeln!(err, "note: {}", cut_off_words(&model))?;
    }
    if args.rewrite {
        let faults = write_all(&model, &run);
        for fault in &faults {
            writeln!(err, "error: {fault}")?;
        }
        if !faults.is_empty() {
            return Ok(ExitCode::Unexpected);
        }
    }
    match (format, table) {
        (Format::Parquet, Table::Timeseries) => timeseries_parquet(&model, out)?,
        (Format::Parquet | Format::Csv, Table::Attempts) => {
            return write_attempts(&model, &run, format, out, err);
        }
        (Format::Text, _) => {
            let style = Style { colour: wants_colour(&io::stdout()) };
            // A run whose reports were not made yet has no page.
            let folder = run.join(PAGE_FILE).is_file().then_some(run.as_path());
            let text = printed_summary(&model, Printed { style, details: args.details, folder });
            out.write_all(text.as_bytes())?;
        }
        (format, table) => out.write_all(render(&model, format, table)?.as_bytes())?,
    }
    out.flush()?;
    Ok(ExitCode::Pass)
}

/// Writes the attempts of the run in the folder `run`, as they are or as Parquet.
fn write_attempts(
    model: &RunModel,
    run: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let path = run.join(ATTEMPTS_FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            let hint = "It is written where the run is asked for it: resurge run --attempts";
            writeln!(err, "error: {}: {error}. {hint}", path.display())?;
            return Ok(ExitCode::Unreadable);
        }
    };
    if format == Format::Csv {
        io::copy(&mut file, out)?;
    } else {
        drop(file);
        match attempts_parquet(model, &path, out) {
            Ok(false) => {}
            Ok(true) => writeln!(err, "note: the last row of {} is cut off, and left out", path.display())?,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                writeln!(err, "error: {} cannot be read: {error}", path.display())?;
                return Ok(ExitCode::Unreadable);
            }
            Err(error) => return Err(error),
        }
    }
    out.flush()?;
    Ok(ExitCode::Pass)
}

/// What is asked for.
///
/// # Errors
/// A table of a form that has none, or details of one that has all: a sentence that says so.
fn form(args: &ReportArgs) -> Result<(Format, Table), String> {
    let format = args.format.unwrap_or(if args.table.is_some() { Format::Csv } else { Format::Text });
    match (format, args.table) {
        (Format::Csv | Format::Parquet, _) | (_, None) => {}
        (_, Some(_)) => return Err("--table is for --format csv and --format parquet".to_owned()),
    }
    if format == Format::Parquet && !matches!(args.table, None | Some(Table::Timeseries | Table::Attempts)) {
        return Err(
            "--format parquet has the tables timeseries and attempts. The others are short: take --format csv"
                .to_owned(),
        );
    }
    if args.details && format != Format::Text {
        return Err("--details is for --format text: every other form has all".to_owned());
    }
    let usual = if format == Format::Parquet { Table::Timeseries } else { Table::Summary };
    Ok((format, args.table.unwrap_or(usual)))
}

/// What there is of a run without an end, and what is missing.
fn cut_off_words(model: &RunModel) -> String {
    let held = model.seconds.last().map_or(0, |(second, _)| second + 1);
    let planned = model.manifest.duration_s;
    let there = match held {
        0 => "its journal holds how it was begun, and not a second".to_owned(),
        1 => "its journal holds second 0".to_owned(),
        held => format!("its journal holds seconds 0 to {} ({held} s)", held - 1),
    };
    let missing = if (held as f64) < planned {
        format!("the seconds from {held} to its planned end at {planned} s, and ")
    } else {
        String::new()
    };
    let torn = match model.torn_bytes {
        0 => String::new(),
        bytes => format!(
            "; {bytes} bytes behind the last whole second were cut off within an entry, as by a crash"
        ),
    };
    format!(
        "this run was cut off: {there}{torn}. Missing are {missing}how it ended, what the target counted, and the generator's health. \
         A kill loses at most the last second; what is missing beyond that was never run, or cut off later"
    )
}

/// A report of a run, in the form that was asked for.
fn render(model: &RunModel, format: Format, table: Table) -> io::Result<String> {
    let json = |text: serde_json::Result<String>| text.map(|text| text + "\n").map_err(io::Error::from);
    match (format, table) {
        (Format::Text, _) => Ok(summary_text(model, Style { colour: false })),
        (Format::Markdown, _) => Ok(markdown(model)),
        (Format::Json, _) => json(serde_json::to_string_pretty(&run_json(model))),
        (Format::Junit, _) => junit_xml(model).map_err(io::Error::other),
        (Format::Hlog, _) => Ok(histograms_hlog(model)),
        (Format::Html, _) => report_html(model).map_err(io::Error::other),
        (Format::Benchmark, _) => json(serde_json::to_string_pretty(&benchmark_entries(model))),
        (Format::Csv, Table::Summary) => summary_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Outcomes) => outcomes_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Closes) => closes_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Tokens) => tokens_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Steps) => steps_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Exchanges) => exchanges_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Streams) => streams_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Kinds) => kinds_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Outages) => outages_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Availability) => availability_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Timeseries) => timeseries_csv(model).map_err(io::Error::from),
        (Format::Csv, Table::Observed) => observed_csv(model).map_err(io::Error::from),
        // These are no texts, or not made of the model: who asks for them has them written.
        (Format::Parquet, _) | (Format::Csv, Table::Attempts) => Err(io::ErrorKind::Unsupported.into()),
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

/// Checks, before a run is made for them, that the reports can be written: the run makes the folder `out` and those above it.
///
/// # Errors
/// A sentence about the first that cannot.
pub(super) fn check_exports(exports: &[Export], out: Option<&Path>) -> Result<(), String> {
    for (nth, export) in exports.iter().enumerate() {
        let path = &export.path;
        let refuse = |why: &str| Err(format!("--export to {}: {why}", path.display()));
        if exports[..nth].iter().any(|other| other.path == *path) && !is_stream(path) {
            return refuse("two reports cannot have one file. Name another for one of them");
        }
        if path.is_dir() {
            return refuse("it is a folder. Name a file in it");
        }
        if is_stream(path) {
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let is_own = out.is_some_and(|out| out == folder);
        let name = path.file_name().unwrap_or_default();
        if is_own && (name == JOURNAL_FILE || name == SHARDS_FOLDER) {
            return refuse("the run keeps its own numbers there. Name another file");
        }
        if folders_made(out).any(|made| made == folder) && !folder.is_dir() {
            continue;
        }
        if let Err(error) = check_writable(path) {
            return refuse(&format!(
                "nothing can be written there ({error}). Make its folder first, or name another file"
            ));
        }
    }
    Ok(())
}

/// Writes a report to its file, whole or not at all; a CSV is the summary's, and Parquet that of the seconds.
pub(super) fn export(model: &RunModel, export: &Export) -> Result<(), WriteFault> {
    let bytes = if export.format == Format::Parquet {
        let mut bytes = Vec::new();
        timeseries_parquet(model, &mut bytes).map(|()| bytes)
    } else {
        render(model, export.format, Table::Summary).map(String::into_bytes)
    };
    let bytes = bytes.map_err(|source| WriteFault { path: export.path.clone(), source })?;
    write_named(&export.path, bytes)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn a_table_is_csv_and_nothing_that_was_said_is_ignored() {
        let form_of = |arguments: &[&str]| {
            let command = ReportArgs::augment_args(clap::Command::new("report").no_binary_name(true));
            let matches = command.try_get_matches_from([&["run"], arguments].concat()).unwrap();
            form(&ReportArgs::from_arg_matches(&matches).unwrap())
        };
        assert_eq!(form_of(&[]), Ok((Format::Text, Table::Summary)));
        assert_eq!(form_of(&["--details"]), Ok((Format::Text, Table::Summary)));
        assert_eq!(form_of(&["--format", "csv"]), Ok((Format::Csv, Table::Summary)));
        assert_eq!(form_of(&["--table", "tokens"]), Ok((Format::Csv, Table::Tokens)));
        assert_eq!(form_of(&["--table", "tokens", "--format", "csv"]), Ok((Format::Csv, Table::Tokens)));
        assert!(form_of(&["--table", "tokens", "--format", "json"]).is_err());
        assert!(form_of(&["--details", "--format", "json"]).is_err());
    }
}
