//! `resurge sweep`.
//!
//! In: a scenario, keys with their values, what is sought. Out: the best points on stdout, a folder with the table and the plot of all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use clap::{Args, ValueEnum};

use crate::clock::Clock;
use crate::exit_code::ExitCode;
use crate::machine;
use crate::report::{RunModel, Status, Style, write_file};
use crate::run::{
    InMemory, RunError, RunRequest, SimulateRequest, VIRTUAL_START_UNIX_US, load_scaled, make_folder,
    run as run_scenario, simulate, simulation_of,
};
use crate::scenario::Overrides;
use crate::scenario::{Loaded, ScenarioError};
use crate::sweep::{
    Axis, Condition, Goal, Grid, Point, Sweep, parse_axis, parse_condition, parse_goal, sweep_csv,
    sweep_html, sweep_json, sweep_markdown, sweep_text,
};

use super::key_value::{parse_override, parse_seed};
use super::streams::wants_colour;

/// More clients than are simulated at several points at a time.
const MOST_BESIDE: u32 = 250_000;

const EXAMPLE: &str = "\
Examples:
  resurge sweep scenarios/simulate/million-deploy.toml --over groups.0.reconnect.backoff.max=10s,30s,2m \\
      --best recovery.p99 --subject-to 'token_requests.peak < 2500/s'
  resurge sweep storm.toml --over 'groups.0.reconnect.backoff={kind=\"none\"},{kind=\"exponential\",jitter=\"full\"}' --over groups.0.clients=1000,9000
  resurge sweep scenarios/smoke.toml --real --over groups.0.clients=50,100 --best reconnect_latency.p99

Measures:
  recovery.pN                      until N % of all clients that were cut off were back
  reconnect_latency.p99            any time of summary.csv, with pN, min, mean, max or count
  handshake_403_rate               any share that a threshold may look at
  token_requests.peak              any counter, attempts and token_requests: count, rate (per second), peak (in the busiest second)
  {group:NAME} before the point limits one to a group.";

/// The forms of a sweep on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns, the best points.
    Text,
    /// A table for a pull request.
    Markdown,
    /// Every number.
    Json,
    /// A row for each point.
    Csv,
}

/// Arguments of `resurge sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SweepArgs {
    /// The scenario file
    scenario: PathBuf,
    /// A key of the scenario and the values that it takes; repeatable: every combination is a point. Keys that change together have a plus between
    /// them, and so have their values: groups.0.clients+groups.1.clients=90+10,50+50
    #[arg(long, value_name = "KEY=VALUE,VALUE…", required = true, value_parser = parse_axis)]
    over: Vec<Axis>,
    /// The measure that ranks the points, with lowest or highest before it where that is not clear
    #[arg(long, value_name = "MEASURE", default_value = "recovery.p99", value_parser = parse_goal)]
    best: Goal,
    /// A threshold that a good point must meet beside the scenario's own thresholds; repeatable
    #[arg(long, value_name = "CONDITION", value_parser = parse_condition)]
    subject_to: Vec<Condition>,
    /// Override a key of the scenario for all points; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Override the seed, which all points share
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// The number of clients in all groups together, at every point [default: as in the scenario]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), conflicts_with = "real")]
    clients: Option<u32>,
    /// Take the duration of each stage from a real run's folder, as `simulate` does
    #[arg(long, value_name = "RUN", conflicts_with = "real")]
    calibrate: Option<PathBuf>,
    /// The number of points simulated at a time [default: one for each core; 1 above 250,000 clients]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), conflicts_with = "real")]
    threads: Option<u16>,
    /// Keep the run folder of each simulated point; real ones are always kept
    #[arg(long)]
    keep: bool,
    /// Run each point with real sockets, one after the other
    #[arg(long)]
    real: bool,
    /// With --real: allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", requires = "real")]
    authorize: Vec<String>,
    /// With --real: let the scenario's events run commands and send signals on this machine, with your rights, at every point
    #[arg(long, requires = "real")]
    allow_commands: bool,
    /// The sweep's folder; it must not exist yet [default: reports/sweep-<scenario>-<UTC>-<4 hex>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The form of the result, on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &SweepArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let grid = match Grid::new(args.over.clone()) {
        Ok(grid) => grid,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(ExitCode::Usage);
        }
    };
    // All points are checked before the first is run.
    let mut first = None;
    for at in grid.points() {
        match load_point(args, &grid, &at) {
            Ok(loaded) => first = first.or(Some(loaded)),
            Err(error) => {
                return tell(&settings(&grid, &at), &error, err);
            }
        }
    }
    let Some(Loaded { scenario, .. }) = first else { return Ok(ExitCode::Usage) };
    let names: Vec<&str> = scenario.groups.iter().map(|group| group.name.as_str()).collect();
    let mut measures =
        [&args.best.measure].into_iter().chain(args.subject_to.iter().map(|condition| &condition.measure));
    if let Some(measure) = measures.find(|measure| !measure.fits(&names)) {
        writeln!(err, "error: {}: there is no such group; there are {}", measure.name, names.join(", "))?;
        return Ok(ExitCode::Usage);
    }
    let clock = Clock::start();
    let folder = match make_folder(
        args.out.as_deref(),
        &format!("sweep-{}", scenario.name),
        clock.unix_us(clock.now()),
    ) {
        Ok(folder) => folder,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(RunError::Folder(error).exit_code());
        }
    };
    let mut sweep = Sweep {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        is_simulated: !args.real,
        clients: args.clients.unwrap_or_else(|| scenario.clients()),
        grid,
        goal: args.best.clone(),
        conditions: args.subject_to.clone(),
        points: Vec::new(),
    };
    if let Some(code) = run_points(args, &mut sweep, &folder, err)? {
        return Ok(code);
    }
    let is_cut = sweep.points.iter().any(|point| point.status == Status::Interrupted);
    let sweep = sweep.ranked();
    let faults = write_files(&sweep, &folder, err)?;
    print(args.format, &sweep, out)?;
    writeln!(err, "sweep folder: {}", folder.display())?;
    Ok(if is_cut { ExitCode::Interrupted } else { sweep.exit_code().if_written(faults == 0) })
}

/// A point that could not begin.
struct Refused {
    at: Vec<usize>,
    error: RunError,
}

/// Runs the points, until one is interrupted. An exit code where one could not begin.
fn run_points(
    args: &SweepArgs,
    sweep: &mut Sweep,
    folder: &Path,
    err: &mut dyn Write,
) -> io::Result<Option<ExitCode>> {
    let count = sweep.grid.len();
    let at_a_time = if args.real { 1 } else { threads(args, sweep.clients) };
    let points: Vec<Vec<usize>> = sweep.grid.points().collect();
    let next = AtomicUsize::new(0);
    let mut done = 0;
    let mut refused = None;
    let (goal, conditions, grid) = (&sweep.goal, &sweep.conditions, &sweep.grid);
    let mut found: Vec<(usize, Point)> = Vec::new();
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(at_a_time);
        for _ in 0..at_a_time.min(count) {
            let (sender, next, points) = (sender.clone(), &next, &points);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(at) = points.get(index) else { return };
                    let run = run_point(args, grid, at, &folder.join(format!("points/{:04}", index + 1)));
                    let point = run
                        .map(|run| Point::of_run(at.clone(), &run, goal, conditions))
                        .map_err(|error| Refused { at: at.clone(), error });
                    if sender.send((index, point)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, result) in results {
            let point = match result {
                Ok(point) => point,
                Err(fault) => {
                    next.store(count, Ordering::Relaxed);
                    refused = Some(fault);
                    continue;
                }
            };
            done += 1;
            if !args.quiet {
                let value =
                    point.value.map_or_else(|| "no sample".to_owned(), |value| goal.measure.words(value));
                writeln!(
                    err,
                    "{done} of {count}: {}: {} {value}",
                    settings(grid, &point.at),
                    goal.measure.name
                )?;
            }
            if point.status == Status::Interrupted {
                next.store(count, Ordering::Relaxed);
            }
            found.push((index, point));
        }
        Ok::<(), io::Error>(())
    })?;
    if let Some(Refused { at, error }) = refused {
        return tell(&settings(&sweep.grid, &at), &error, err).map(Some);
    }
    found.sort_by_key(|(index, _)| *index);
    sweep.points = found.into_iter().map(|(_, point)| point).collect();
    Ok(None)
}

/// How many points are simulated at a time. A million clients take a gigabyte.
fn threads(args: &SweepArgs, clients: u32) -> usize {
    let by_default = if clients > MOST_BESIDE { 1 } else { machine::cores() };
    args.threads.map_or(by_default, usize::from)
}

fn run_point(args: &SweepArgs, grid: &Grid, at: &[usize], folder: &Path) -> Result<RunModel, RunError> {
    let overrides = overrides(args, grid, at);
    if args.real {
        let request = RunRequest {
            scenario: args.scenario.clone(),
            overrides,
            seed: args.seed,
            out: Some(folder.to_owned()),
            authorised: args.authorize.clone(),
            attempts: false,
            allow_commands: args.allow_commands,
            on_progress: None,
            live: None,
        };
        return run_scenario(request).map(|done| done.model);
    }
    if args.keep {
        let request = SimulateRequest {
            scenario: args.scenario.clone(),
            overrides,
            seed: args.seed,
            clients: args.clients,
            calibrate: args.calibrate.clone(),
            start_unix_us: VIRTUAL_START_UNIX_US,
            out: Some(folder.to_owned()),
            threads: 1,
            attempts: false,
            on_progress: None,
        };
        return simulate(request).map(|done| done.model);
    }
    let loaded = load_scaled(&args.scenario, &overrides, args.seed, args.clients)?;
    let simulation = simulation_of(loaded, args.calibrate.as_deref())?;
    Ok(RunModel::new(simulation.run_in_memory(InMemory::Seconds)))
}

fn overrides(args: &SweepArgs, grid: &Grid, at: &[usize]) -> Overrides {
    args.overrides.iter().cloned().chain(grid.overrides(at)).collect()
}

fn load_point(args: &SweepArgs, grid: &Grid, at: &[usize]) -> Result<Loaded, RunError> {
    load_scaled(&args.scenario, &overrides(args, grid, at), args.seed, args.clients)
}

fn settings(grid: &Grid, at: &[usize]) -> String {
    let pairs: Vec<String> = grid.written(at).map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(", ")
}

/// Says why a point could not begin, and answers with the exit code that says it.
fn tell(at: &str, error: &RunError, err: &mut dyn Write) -> io::Result<ExitCode> {
    match error {
        RunError::Scenario(ScenarioError::Faults(faults)) => {
            writeln!(err, "error: at {at}:\n{}", faults.render(wants_colour(&io::stderr())))?;
        }
        other => writeln!(err, "error: at {at}: {other}")?,
    }
    Ok(error.exit_code())
}

/// Writes the sweep's files; how many could not be.
fn write_files(sweep: &Sweep, folder: &Path, err: &mut dyn Write) -> io::Result<usize> {
    let pretty = serde_json::to_string_pretty(&sweep_json(sweep)).map(|text| text + "\n");
    let files = [
        ("sweep.csv", sweep_csv(sweep).map_err(io::Error::from)),
        ("sweep.html", sweep_html(sweep).map_err(io::Error::other)),
        ("sweep.json", pretty.map_err(io::Error::from)),
    ];
    let mut faults = 0;
    for (name, text) in files {
        let path = folder.join(name);
        let written = text.map_err(|error| error.to_string());
        let written = written.and_then(|text| write_file(&path, &text).map_err(|fault| fault.to_string()));
        if let Err(fault) = written {
            writeln!(err, "error: {fault}")?;
            faults += 1;
        }
    }
    Ok(faults)
}

fn print(format: Format, sweep: &Sweep, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => write!(out, "{}", sweep_text(sweep, Style { colour: wants_colour(&io::stdout()) })),
        Format::Markdown => write!(out, "{}", sweep_markdown(sweep)),
        Format::Csv => write!(out, "{}", sweep_csv(sweep).map_err(io::Error::from)?),
        Format::Json => writeln!(out, "{:#}", sweep_json(sweep)),
    }?;
    out.flush()
}
