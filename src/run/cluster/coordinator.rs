//! The coordinator of a run: leads workers on other machines, and has no client itself.
//!
//! In: a scenario, how many workers, a NATS server. Out: one run folder, as if one process had done it all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::plan::{Share, processes_each};
use crate::record::Machines;
use crate::report::SHARDS_FOLDER;
use crate::scenario::keys::{Scenario, Target};
use crate::scenario::{Loaded, load_to_lead};

use super::super::done::RunDone;
use super::super::error::RunError;
use super::super::folder::make_folder;
use super::super::live::LiveCommands;
use super::super::prepare::machine_of;
use super::super::request::{OnProgress, RunRequest};
use super::super::shard_check::{check_shards, check_simulated_shares, warn_of_own_limits};
use super::super::shards::{SplitRun, start_display};
use super::super::simulate::{SimulateRequest, load_scaled, simulation_of};
use super::link::ClusterLink;
use super::names::RunName;
use super::remote::Remote;
use super::spec::{PROTOCOL, RunSpec, here, new_lead};
use super::target_lock::TargetLock;

/// How far ahead the common start is: all have to hear of it and to start their targets; so much, and so much for each.
const AHEAD: Duration = Duration::from_millis(1_500);
const AHEAD_EACH: Duration = Duration::from_millis(5);
/// How long a target is locked beyond a run's planned end, at most.
const LOCKED_BEYOND: Duration = Duration::from_secs(120);

/// A run over many machines.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// The NATS server.
    pub link: ClusterLink,
    /// The run's name; `None`: one after the scenario.
    pub run: Option<RunName>,
    /// How many workers.
    pub workers: u32,
    /// How many of them are enough to begin with; `None`: all.
    pub min_workers: Option<u32>,
    /// In how many processes each worker runs its part; `None`: as many as it takes on a machine like this one.
    pub processes: Option<u32>,
    /// How long they get to become ready.
    pub ready_within: Duration,
    /// Whether the target may be under load by another run.
    pub share_target: bool,
}

/// What is led, however it is run.
struct Led<'l> {
    loaded: &'l Loaded,
    /// When it begins in virtual time; `None`: it is run in real time.
    virtual_start_unix_us: Option<u64>,
    attempts: bool,
    out: Option<PathBuf>,
    on_progress: Option<OnProgress>,
    live: Option<LiveCommands>,
}

/// Leads a run to its end, and writes its run folder. `told` is told what workers have to know.
///
/// # Errors
/// [`RunError`] when the run cannot begin. What goes wrong later is in the result.
pub fn run_cluster(
    request: RunRequest,
    cluster: &ClusterRequest,
    told: &mut dyn FnMut(&str),
) -> Result<RunDone, RunError> {
    let loaded = load_to_lead(&request.scenario, &request.overrides, request.seed)?;
    let RunRequest { attempts, out, on_progress, live, .. } = request;
    lead(
        Led { loaded: &loaded, virtual_start_unix_us: None, attempts, out, on_progress, live },
        cluster,
        told,
    )
}

/// Leads a run in virtual time: each worker simulates its share of the clients, with a target of its own.
///
/// # Errors
/// [`RunError`] when the run cannot begin, or its shares have something in common.
pub fn simulate_cluster(
    request: SimulateRequest,
    cluster: &ClusterRequest,
    told: &mut dyn FnMut(&str),
) -> Result<RunDone, RunError> {
    let loaded = load_scaled(&request.scenario, &request.overrides, request.seed, request.clients)?;
    simulation_of(loaded.clone(), None)?;
    check_simulated_shares(&loaded.scenario)?;
    let SimulateRequest { attempts, out, on_progress, start_unix_us, .. } = request;
    let virtual_start_unix_us = Some(start_unix_us);
    lead(
        Led { loaded: &loaded, virtual_start_unix_us, attempts, out, on_progress, live: None },
        cluster,
        told,
    )
}

fn lead(led: Led<'_>, cluster: &ClusterRequest, told: &mut dyn FnMut(&str)) -> Result<RunDone, RunError> {
    let Led {
        loaded: Loaded { scenario, copy, hash, .. },
        virtual_start_unix_us,
        attempts,
        out,
        on_progress,
        live,
    } = led;
    let workers = cluster.workers;
    check_shards(workers, scenario)?;
    let processes = match (virtual_start_unix_us, cluster.processes) {
        (Some(_), given) => given.unwrap_or(1),
        (None, Some(processes)) => processes,
        (None, None) => processes_each(scenario, &machine_of(scenario), workers),
    };
    let spec = RunSpec {
        protocol: PROTOCOL,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        by: here(),
        lead: new_lead(),
        scenario: scenario.name.clone(),
        text: copy.clone(),
        hash: hash.clone(),
        workers,
        processes,
        is_simulated: virtual_start_unix_us.is_some(),
        virtual_start_unix_us: virtual_start_unix_us.unwrap_or(0),
        attempts,
    };
    let of = spec.shares();
    check_shards(of, scenario)?;
    warn_of_own_limits(scenario, of);
    let unix_us = Clock::start().unix_us(Moment::ZERO);
    let name =
        cluster.run.clone().unwrap_or_else(|| RunName::of(&scenario.name, (unix_us ^ unix_us >> 16) as u16));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    let folder = make_folder(out.as_deref(), &scenario.name, unix_us)?;
    let run = SplitRun {
        of,
        scenario,
        folder: &folder,
        ahead: AHEAD + AHEAD_EACH * of,
        ready_within: cluster.ready_within,
        machines: Machines::Several,
        at_least: cluster.min_workers.map(|least| least * processes),
        is_simulated: spec.is_simulated,
    };
    let folders: BTreeMap<u32, _> = Share::all(of)
        .map(|share| (share.shard(), folder.join(SHARDS_FOLDER).join(share.shard().to_string())))
        .collect();
    let display = start_display(scenario, on_progress)?;
    let led = runtime.block_on(async {
        let client = Box::pin(cluster.link.connect(&format!("resurge coordinator of {name}"))).await?;
        let context = cluster.link.jetstream(&client).await?;
        let lock = match locked_host(cluster, scenario, spec.is_simulated) {
            Some(host) => {
                let lasts = cluster.ready_within + scenario.duration + scenario.drain + LOCKED_BEYOND;
                Some(Box::pin(TargetLock::take(&context, host, &name, lasts)).await?)
            }
            None => None,
        };
        let led = async {
            let mut remote = Box::pin(Remote::open((client, context.clone()), &name, &spec, folders)).await?;
            let each = if processes > 1 { format!(", each in {processes} processes") } else { String::new() };
            let noun = if workers == 1 { "worker" } else { "workers" };
            told(&format!("run {name} waits for {workers} {noun}{each}: {}", worker_command(cluster, &name)));
            remote.tell_of_arrivals(told);
            Box::pin(run.lead(remote, display.as_ref(), live)).await
        }
        .await;
        if let Some(lock) = lock {
            lock.give_back(&context).await;
        }
        led
    });
    run.end(led, display)
}

/// What starts a worker. Whose address has a user is not the workers', who have one of their own.
fn worker_command(cluster: &ClusterRequest, name: &RunName) -> String {
    if cluster.link.address.contains('@') {
        return format!(
            "resurge worker --run {name}, with the address and the workers' user in RESURGE_CLUSTER"
        );
    }
    format!("resurge worker --cluster {} --run {name}", cluster.link.shown())
}

/// The host of the target that all workers share, where they share one and the user does not share it with others.
fn locked_host<'s>(cluster: &ClusterRequest, scenario: &'s Scenario, is_simulated: bool) -> Option<&'s str> {
    let Target::Remote(remote) = &scenario.target else { return None };
    remote.url.host_str().filter(|_| !cluster.share_target && !is_simulated)
}
