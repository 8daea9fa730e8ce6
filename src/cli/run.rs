//! `resurge run`.
//!
//! In: arguments. Out: the summary on stdout, progress on stderr, reports in files that were asked for.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::drive::network::parse_host;
use crate::exit_code::ExitCode;
use crate::plan::{MOST_SHARDS, Share};
use crate::report::Status;
#[cfg(feature = "cluster")]
use crate::run::run_cluster;
use crate::run::{
    MetricsServer, OnProgress, OtlpExporter, OtlpSettings, OtlpTally, RunDone, RunError, RunRequest, Split,
    obey_parent, run_split, survive_mark_signals,
};

use super::ended::{tell_done, tell_refusal};
use super::examples::named;
use super::key_value::parse_override;
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
  resurge run scenarios/idle-reconnect.toml --otlp http://127.0.0.1:4318
  resurge run staging.toml --authorize api.staging.example.com --progress plain";

/// Arguments of `resurge run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct RunArgs {
    /// The scenario file; or the address of a service, ws:// or wss://, for the plain case: clients that hold a session and come back
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
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Split the clients over so many processes of this machine: one can hold as many as it may open descriptors. auto: as many as it takes
    #[arg(long, value_name = "N|auto", value_parser = parse_shards, conflicts_with = "shard")]
    shards: Option<Split>,
    /// Run one share of the clients alone, shard I of N, for the machines of a cluster: `resurge merge` makes one run of them
    #[arg(long, value_name = "I/N")]
    #[cfg_attr(feature = "cluster", arg(conflicts_with = "workers"))]
    shard: Option<Share>,
    /// Be one of the processes of --shards
    #[arg(long, hide = true, requires = "shard")]
    under_parent: bool,
    /// How progress is shown, on stderr
    #[arg(long, value_enum, default_value = "auto")]
    progress: ProgressKind,
    /// Write a report to a file of its own as well, as junit=reports/junit.xml; repeatable
    #[arg(long = "export", value_name = "FORMAT=PATH", value_parser = parse_export)]
    exports: Vec<Export>,
    /// Write a row for each attempt to attempts.csv in the run folder, as the run goes on
    #[arg(long)]
    attempts: bool,
    /// Serve the live run to Prometheus at http://ADDR/metrics, as 127.0.0.1:9464; a port alone is on loopback, port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = parse_metrics_addr)]
    metrics: Option<SocketAddr>,
    /// Send the live run's numbers to an OpenTelemetry receiver over OTLP/HTTP, as http://127.0.0.1:4318; the standard OTEL_* variables hold
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Allow load on a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    authorize: Vec<String>,
    /// Let the scenario's events run commands and send signals on this machine, with your rights; `resurge check` says which
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
    let metrics = match args.metrics.map(|addr| (addr, MetricsServer::start(addr))) {
        None => None,
        Some((_, Ok(server))) => {
            writeln!(err, "metrics: http://{}/metrics", server.addr())?;
            Some(server)
        }
        Some((addr, Err(error))) => {
            writeln!(
                err,
                "error: --metrics {addr}: {error}. Name another address, or port 0 for a free one"
            )?;
            return Ok(ExitCode::Unexpected);
        }
    };
    let otlp = match exporter(args.otlp.as_deref(), err)? {
        Ok(exporter) => exporter,
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
        on_progress: watched(show, metrics.as_ref(), otlp.as_ref()),
    };
    let own = args.shard.map(Split::Share);
    let split = own.or(args.shards).unwrap_or(Split::Share(Share::WHOLE));
    let done = run_as_told(request, args, split, err);
    finish();
    let done = match done {
        Ok(done) => done,
        Err(error) => return tell_refusal(&error, err),
    };
    let is_written = tell_done(&done, "", &args.exports, out, err)?;
    if let Some(exporter) = otlp {
        tell_exports(&exporter.finish(done.model.verdict.status != Status::Interrupted), err)?;
    }
    if let Some(server) = &metrics {
        await_last_scrape(server, done.model.verdict.status, err)?;
    }
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

/// Shows the progress and feeds the metrics, where any of them is wanted.
fn watched(
    mut show: Option<OnProgress>,
    metrics: Option<&MetricsServer>,
    otlp: Option<&OtlpExporter>,
) -> Option<OnProgress> {
    let (metrics, otlp) = (metrics.map(MetricsServer::feed), otlp.map(OtlpExporter::feed));
    if show.is_none() && metrics.is_none() && otlp.is_none() {
        return None;
    }
    Some(Box::new(move |scenario, view| {
        metrics.iter().for_each(|feed| feed.publish(scenario, view));
        otlp.iter().for_each(|feed| feed.publish(scenario, view));
        // Of nothing there is nothing to show.
        if let Some(show) = show.as_mut().filter(|_| !view.totals.is_empty()) {
            show(scenario, view);
        }
    }))
}

/// What sends numbers to `endpoint`, where one is given. A fault is told, and is an exit code.
fn exporter(
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
fn tell_exports(tally: &OtlpTally, err: &mut dyn Write) -> io::Result<()> {
    let OtlpTally { accepted, dropped, rejected, why } = tally;
    if *dropped == 0 && *rejected == 0 {
        return Ok(());
    }
    let why = why.as_deref().unwrap_or("no reason given");
    writeln!(err, "otlp: {accepted} exports taken, {dropped} not, {rejected} data points rejected ({why})")
}

/// Keeps the metrics up until the last of them were scraped; not for a user who has interrupted the run.
fn await_last_scrape(server: &MetricsServer, status: Status, err: &mut dyn Write) -> io::Result<()> {
    let longest = server.finish();
    if longest.is_zero() || status == Status::Interrupted {
        return Ok(());
    }
    let seconds = longest.as_secs();
    server.wait_for_reader(longest, || {
        writeln!(err, "waiting for the last scrape of the metrics, at most {seconds} s (Ctrl-C ends it)")
    })
}

/// An address to listen at; a port alone, with or without a colon, is on loopback.
fn parse_metrics_addr(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match port {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse().map_err(|_| "write it as 127.0.0.1:9464, [::1]:9464 or 9464".to_owned()),
    }
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

    #[test]
    fn metrics_are_on_loopback_unless_told() {
        for (text, expected) in [
            ("9464", Some("127.0.0.1:9464")),
            (":0", Some("127.0.0.1:0")),
            ("0.0.0.0:9464", Some("0.0.0.0:9464")),
            ("[::1]:1", Some("[::1]:1")),
            ("", None),
            ("localhost", None),
            ("65536", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(
                parse_metrics_addr(text).ok().map(|addr| addr.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
