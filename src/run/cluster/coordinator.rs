//! The coordinator of a run: leads workers on other machines, and has no client itself.
//!
//! In: a scenario, how many workers, a NATS server. Out: one run folder, as if one process had done it all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::plan::Share;
use crate::record::Machines;
use crate::report::SHARDS_FOLDER;
use crate::scenario::load_for_traffic;

use super::super::done::RunDone;
use super::super::error::RunError;
use super::super::folder::make_folder;
use super::super::request::RunRequest;
use super::super::shard_check::{check_shards, warn_of_own_limits};
use super::super::shards::{SplitRun, start_display};
use super::link::ClusterLink;
use super::names::RunName;
use super::remote::Remote;
use super::spec::{PROTOCOL, RunSpec, here};

/// How far ahead the common start is: all have to hear of it and to start their targets; so much, and so much for each.
const AHEAD: Duration = Duration::from_millis(1_500);
const AHEAD_EACH: Duration = Duration::from_millis(5);

/// A run over many machines.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// The NATS server.
    pub link: ClusterLink,
    /// The run's name; `None`: one after the scenario.
    pub run: Option<RunName>,
    /// How many workers.
    pub workers: u32,
    /// How long they get to become ready.
    pub ready_within: Duration,
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
    // Who leads needs no secret: a worker has them where it runs.
    let env = |name: &str| Some(std::env::var(name).unwrap_or_else(|_| format!("of-the-worker-{name}")));
    let loaded = load_for_traffic(&request.scenario, &request.overrides, request.seed, &env)?;
    let (scenario, of) = (loaded.scenario, cluster.workers);
    check_shards(of, &scenario)?;
    warn_of_own_limits(&scenario, of);
    let unix_us = Clock::start().unix_us(Moment::ZERO);
    let name =
        cluster.run.clone().unwrap_or_else(|| RunName::of(&scenario.name, (unix_us ^ unix_us >> 16) as u16));
    let spec = RunSpec {
        protocol: PROTOCOL,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        by: here(),
        scenario: scenario.name.clone(),
        text: loaded.copy,
        hash: loaded.hash,
        workers: of,
        attempts: request.attempts,
    };
    let folder = make_folder(request.out.as_deref(), &scenario.name, unix_us)?;
    let folders: BTreeMap<u32, _> = Share::all(of)
        .map(|share| (share.shard(), folder.join(SHARDS_FOLDER).join(share.shard().to_string())))
        .collect();
    let run = SplitRun {
        of,
        scenario: &scenario,
        folder: &folder,
        ahead: AHEAD + AHEAD_EACH * of,
        ready_within: cluster.ready_within,
        machines: Machines::Several,
    };
    let display = start_display(&scenario, request.on_progress)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    let led = runtime.block_on(async {
        let remote = Box::pin(Remote::open(&cluster.link, &name, &spec, folders)).await?;
        told(&format!(
            "run {name} waits for {of} workers: resurge worker --cluster {} --run {name}",
            cluster.link.shown()
        ));
        Box::pin(run.lead(remote, display.as_ref())).await
    });
    run.end(led, display)
}
