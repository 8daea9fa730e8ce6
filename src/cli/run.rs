//! `resurge run`.
//!
//! In: arguments. Out: the summary on stdout, progress on stderr, reports in files that were asked for.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::drive::network::parse_host;
use crate::exit_code::ExitCode;
use crate::machine::survive_mark_signals;
use crate::plan::{MOST_SHARDS, Share};
#[cfg(feature = "cluster")]
use crate::run::run_cluster;
use crate::run::{RunDone, RunError, RunRequest, Split, obey_parent, run_split};

use super::ended::{tell_done, tell_refusal};
use super::endpoints::{self, parse_addr};
use super::examples::named;
use super::key_value::{parse_override, parse_seed};
use super::otlp;
use super::plain::PlainArgs;
use super::progress::{Progress, ProgressKind, progress};
use super::report::{Export, check_exports, parse_export};

const EXAMPLE: &str = "\
Examples:
  resurge run scenarios/idle-reconnect.toml
  resurge run --example deploy-storm                           (resurge examples lists them)
  resurge run ws://127.0.0.1:8080/events --clients 50 --duration 1m
  resurge run wss://api.staging.example.com/events --token-url https://login.staging.example.com/oauth/token \
    --client-id load-test --authorize api.staging.example.com --authorize login.staging.example.com
  resurge run scenarios/smoke.toml --set groups.0.clients=200 --set duration=10s --out reports/mine
  resurge run scenarios/smoke.toml --export junit=junit.xml --export markdown=run.md
  resurge run scenarios/hundred-thousand.toml --shards auto
  resurge run cluster.toml --shard 2/4 --out shard-2              (the others elsewhere; then: resurge merge shard-* --out whole)
  resurge run scenarios/idle-reconnect.toml --metrics 9464    (then http://127.0.0.1:9464/metrics)
  resurge run scenarios/idle-reconnect.toml --live 8089       (then http://127.0.0.1:8089/ in a browser)
  resurge run scenarios/idle-reconnect.toml --otlp http://127.0.0.1:4318
  resurge run staging.toml --authorize api.staging.example.com --progress plain";

/// Arguments of `resurge run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct RunArgs {
    /// The scenario file, or the address of a service (ws:// or wss://): clients hold a session and reconnect
    #[arg(value_name = "SCENARIO|URL")]
    scenario: Option<PathBuf>,
    /// A shipped scenario, by the name that `resurge examples` lists
    #[arg(long, value_name = "NAME", conflicts_with = "scenario")]
    example: Option<String>,
    #[command(flatten)]
    plain: PlainArgs,
    /// The run folder; it must not exist yet [default: reports/<scenario>-<UTC>-<4 hex>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a key of the scenario by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Override the seed
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// Split the clients over N processes of this machine: each holds as many as it may open descriptors. auto: as many as needed
    #[arg(long, value_name = "N|auto", value_parser = parse_shards, conflicts_with = "shard")]
    shards: Option<Split>,
    /// Run shard I of N only, on one of several machines: `resurge merge` makes one run of the shards
    #[arg(long, value_name = "I/N")]
    #[cfg_attr(feature = "cluster", arg(conflicts_with = "workers"))]
    shard: Option<Share>,
    /// Be one of the processes of --shards
    #[arg(long, hide = true, requires = "shard")]
    under_parent: bool,
    /// How to show progress, on stderr
    #[arg(long, value_enum, default_value = "auto")]
    progress: ProgressKind,
    /// Also write a report to a file, as junit=reports/junit.xml; repeatable
    #[arg(long = "export", value_name = "FORMAT=PATH", value_parser = parse_export)]
    exports: Vec<Export>,
    /// Print all tables of the summary
    #[arg(long)]
    details: bool,
    /// Write a row for each attempt to attempts.csv in the run folder
    #[arg(long)]
    attempts: bool,
    /// Serve live metrics for Prometheus at http://ADDR/metrics, as 127.0.0.1:9464; a port alone means loopback, port 0 a free port
    #[arg(long, value_name = "ADDR", value_parser = parse_addr)]
    metrics: Option<SocketAddr>,
    /// Serve the page of the run under way at http://ADDR/, with a button for a storm and one to stop, as 127.0.0.1:8089; a port alone is on loopback
    #[arg(long, value_name = "ADDR", value_parser = parse_addr)]
    live: Option<SocketAddr>,
    /// Send the live run's numbers to an OpenTelemetry receiver over OTLP/HTTP, as http://127.0.0.1:4318; the standard OTEL_* variables hold
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    authorize: Vec<String>,
    /// Let the scenario's events run commands and send signals on this machine, with your rights; `resurge check` lists them
    #[arg(long)]
    allow_commands: bool,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    lead: super::cluster::LeadArgs,
}

pub(super) fn run(args: &RunArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    if let Err(error) = survive_mark_signals() {
        log::debug!("SIGUSR1 would end this process: {error}");
    }
    if let Some(share) = args.shard.filter(|_| args.under_parent) {
        return obey_parent(share);
    }
    if let Err(fault) = check_exports(&args.exports, args.out.as_deref()) {
        writeln!(err, "error: {fault}")?;
        return Ok(ExitCode::Usage);
    }
    let Some(scenario) = named(args.scenario.as_ref(), args.example.as_deref(), "run", err)? else {
        return Ok(ExitCode::Usage);
    };
    let overrides = match args.plain.overrides(&scenario) {
        Ok(of_plain_case) => of_plain_case.into_iter().chain(args.overrides.iter().cloned()).collect(),
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Usage);
        }
    };
    let (endpoints, live) = match endpoints::start(args.metrics, args.live, err)? {
        Ok(started) => started,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(ExitCode::Unexpected);
        }
    };
    let endpoints = match otlp::exporter(args.otlp.as_deref(), err)? {
        Ok(exporter) => endpoints.sending(exporter),
        Err(code) => return Ok(code),
    };
    let Progress { show, finish } = progress(args.progress);
    let request = RunRequest {
        scenario,
        overrides,
        seed: args.seed,
        out: args.out.clone(),
        authorised: args.authorize.clone(),
        attempts: args.attempts,
        allow_commands: args.allow_commands,
        on_progress: endpoints.with(show),
        live,
    };
    let own = args.shard.map(Split::Share);
    let split = own.or(args.shards).unwrap_or(Split::Share(Share::WHOLE));
    let done = run_as_told(request, args, split, err);
    finish();
    let done = match done {
        Ok(done) => done,
        Err(error) => return tell_refusal(&error, err),
    };
    let is_written = tell_done(&done, ("", args.details), &args.exports, out, err)?;
    endpoints.finish(&done.model, err)?;
    Ok(done.model.verdict.exit_code.if_written(is_written))
}

/// Runs it here, or leads those that do.
#[cfg(feature = "cluster")]
fn run_as_told(
    request: RunRequest,
    args: &RunArgs,
    split: Split,
    err: &mut dyn Write,
) -> Result<RunDone, RunError> {
    let processes = match args.shards {
        Some(Split::Into(processes)) => Some(processes),
        _ => None,
    };
    match args.lead.request(processes)? {
        Some(cluster) => run_cluster(request, &cluster, &mut |text| drop(writeln!(err, "{text}"))),
        None => run_split(request, split),
    }
}

/// Runs it here.
#[cfg(not(feature = "cluster"))]
fn run_as_told(
    request: RunRequest,
    _args: &RunArgs,
    split: Split,
    _err: &mut dyn Write,
) -> Result<RunDone, RunError> {
    run_split(request, split)
}

/// How many shards.
fn parse_shards(text: &str) -> Result<Split, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Split::Auto),
        Ok(shards @ 1..=MOST_SHARDS) => Ok(Split::Into(shards)),
        _ => Err(format!("write a number from 1 to {MOST_SHARDS}, or auto")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_a_number_or_auto() {
        assert_eq!(parse_shards("auto"), Ok(Split::Auto));
        assert_eq!(parse_shards("12"), Ok(Split::Into(12)));
        for text in ["0", "x", "", "-1", "10001", "1.5"] {
            assert!(parse_shards(text).is_err(), "{text}");
        }
    }
}
