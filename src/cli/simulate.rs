//! `resurge simulate`.
//!
//! In: arguments. Out: the summary on stdout, progress on stderr, reports in files that were asked for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::compare::{check_prediction, prediction_text};
use crate::exit_code::ExitCode;
use crate::plan::MOST_SHARDS;
use crate::record::read_journal;
use crate::report::{JOURNAL_FILE, RunModel, Style};
#[cfg(feature = "cluster")]
use crate::run::simulate_cluster;
use crate::run::{RunDone, RunError, SimulateRequest, VIRTUAL_START_UNIX_US, simulate_split};

use super::ended::{tell_done, tell_refusal};
use super::examples::named;
use super::key_value::{parse_override, parse_seed};
use super::progress::{Progress, ProgressKind, progress};
use super::report::{Export, check_exports, parse_export};
use super::streams::wants_colour;

const EXAMPLE: &str = "\
Examples:
  resurge simulate scenarios/deploy-storm.toml --clients 1000000
  resurge simulate scenarios/idle-reconnect.toml --set duration=24h --set target.idle_timeout=60s
  resurge simulate scenarios/deploy-storm.toml --calibrate reports/small-real-run --clients 100000
  resurge simulate staging.toml --set simulate.service=\\\"forum\\\"     (a remote target: by the rules of a profile)

The time model is the table [simulate] of the scenario; what it does not say is of the order of loopback. The same seed writes the same bytes.";

/// The most threads that make a difference.
const THREADS: usize = 2;

/// Arguments of `resurge simulate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SimulateArgs {
    /// The scenario file
    scenario: Option<PathBuf>,
    /// A shipped scenario, by the name that `resurge examples` lists
    #[arg(long, value_name = "NAME", conflicts_with = "scenario")]
    example: Option<String>,
    /// The number of clients in all groups together; each group keeps its share [default: as in the scenario]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    clients: Option<u32>,
    /// Take the duration of each stage from a real run's folder, in place of [simulate.stages]
    #[arg(long, value_name = "RUN")]
    #[cfg_attr(feature = "cluster", arg(conflicts_with = "workers"))]
    calibrate: Option<PathBuf>,
    /// The run folder; it must not exist yet [default: reports/<scenario>-<UTC>-<4 hex>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a key of the scenario by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Override the seed
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// The start time in the reports, RFC 3339 [default: 2000-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    start: Option<u64>,
    /// The number of threads: from 2 on, the recorder has its own; the numbers are the same [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print all tables of the summary
    #[arg(long)]
    details: bool,
    /// Write a row for each attempt to attempts.csv in the run folder
    #[arg(long)]
    attempts: bool,
    /// Compare with a real run of the same scenario; exit with 112 where a count deviates by more than 2 % or a time by more than 15 %
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,
    /// Split the clients over N processes, each with its own target: faster, and the same numbers where clients share nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    shards: Option<u32>,
    /// How to show progress, on stderr
    #[arg(long, value_enum, default_value = "auto")]
    progress: ProgressKind,
    /// Also write a report to a file, as junit=reports/junit.xml; repeatable
    #[arg(long = "export", value_name = "FORMAT=PATH", value_parser = parse_export)]
    exports: Vec<Export>,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    lead: super::cluster::LeadArgs,
}

pub(super) fn run(args: &SimulateArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    if let Err(fault) = check_exports(&args.exports, args.out.as_deref()) {
        writeln!(err, "error: {fault}")?;
        return Ok(ExitCode::Usage);
    }
    let Some(scenario) = named(args.scenario.as_ref(), args.example.as_deref(), "simulate", err)? else {
        return Ok(ExitCode::Usage);
    };
    let real = match args.against.as_deref().map(read_real).transpose() {
        Ok(real) => real,
        Err(fault) => {
            writeln!(err, "error: --against {fault}")?;
            return Ok(ExitCode::Unreadable);
        }
    };
    let Progress { show, finish } = progress(args.progress);
    let cores = crate::machine::cores().min(THREADS);
    let request = SimulateRequest {
        scenario,
        overrides: args.overrides.clone(),
        seed: args.seed,
        clients: args.clients,
        calibrate: args.calibrate.clone(),
        start_unix_us: args.start.unwrap_or(VIRTUAL_START_UNIX_US),
        out: args.out.clone(),
        threads: args.threads.map_or(cores, usize::from),
        attempts: args.attempts,
        on_progress: show,
    };
    let done = simulate_as_told(request, args, err);
    finish();
    let done = match done {
        Ok(done) => done,
        Err(error) => return tell_refusal(&error, err),
    };
    let style = Style { colour: wants_colour(&io::stdout()) };
    if let Some(other) = real.as_ref().filter(|real| real.manifest.scenario != done.model.manifest.scenario) {
        let (own, other) = (&done.model.manifest.scenario, &other.manifest.scenario);
        writeln!(
            err,
            "error: --against: that is a run of {other}, and this is {own}: name a real run of the same scenario"
        )?;
        return Ok(ExitCode::Unreadable);
    }
    let rows = real.as_ref().map(|real| check_prediction(&done.model, real));
    let told = rows.as_deref().map_or_else(String::new, |rows| {
        format!(
            "{}\n{}\n",
            style.bold("PREDICTION (allowed: 2 % of a count, 15 % of a time)"),
            prediction_text(rows)
        )
    });
    let is_written = tell_done(&done, (&told, args.details), &args.exports, out, err)?;
    Ok(match done.model.verdict.exit_code {
        ExitCode::Pass if !is_written => ExitCode::Unexpected,
        ExitCode::Pass if rows.iter().flatten().any(|row| !row.holds()) => ExitCode::Regression,
        code => code,
    })
}

/// Simulates it here, or leads those that do.
#[cfg(feature = "cluster")]
fn simulate_as_told(
    request: SimulateRequest,
    args: &SimulateArgs,
    err: &mut dyn Write,
) -> Result<RunDone, RunError> {
    match args.lead.request(args.shards)? {
        Some(cluster) => simulate_cluster(request, &cluster, &mut |text| drop(writeln!(err, "{text}"))),
        None => simulate_split(request, args.shards),
    }
}

/// Simulates it here.
#[cfg(not(feature = "cluster"))]
fn simulate_as_told(
    request: SimulateRequest,
    args: &SimulateArgs,
    _err: &mut dyn Write,
) -> Result<RunDone, RunError> {
    simulate_split(request, args.shards)
}

/// A real run, to be predicted.
fn read_real(run: &Path) -> Result<RunModel, String> {
    let file = if run.is_dir() { run.join(JOURNAL_FILE) } else { run.to_owned() };
    let journal = read_journal(&file).map_err(|error| error.to_string())?;
    match journal.manifest.simulated {
        Some(_) => Err(format!("{}: that run was simulated; name one that ran in real time", run.display())),
        None if journal.end.is_none() => {
            Err(format!("{}: that run was cut off; name one that came to its end", run.display()))
        }
        None => Ok(RunModel::new(journal)),
    }
}

/// A calendar time, in microseconds since 1970.
fn parse_start(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|_| "write it as 2026-01-31T12:00:00Z".to_owned())?;
    u64::try_from(time.as_microsecond()).map_err(|_| "it must be after 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_calendar_time() {
        assert_eq!(parse_start("2000-01-01T00:00:00Z"), Ok(VIRTUAL_START_UNIX_US));
        assert!(parse_start("1969-12-31T23:59:59Z").is_err() && parse_start("noon").is_err());
    }
}
