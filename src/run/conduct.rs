//! The run itself: engine, recorder, watchdog and signals side by side.
//!
//! In: a prepared run, its journal. Out: the journal, ended; or what of it had to stay in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Moment;
use crate::drive::network::{GroupContext, GroupSetup, RunShared};
use crate::drive::{SampleSink, sample_channel};
use crate::engine::{EnginePlan, Population, RunControl, StopReason, StormStrike, walk_plan};
use crate::lifecycle::GroupRules;
use crate::plan::{own_starts, target_storms};
use crate::record::{
    Entry, GeneratorHealth, IntervalFeed, Journal, JournalWriter, Latencies, LiveView, PackedTally, Recorded,
    Recorder, RunEnd, Tally, merge_all, run_recorder,
};
use crate::sample::Counter;
use crate::sample::{GroupId, Metric, Outcome};
use crate::target::counters::TargetCounters;

use super::prepare::Prepared;
use super::{OnProgress, RunError, host, watchdog};

/// How long the embedded target gets to see the last of its sessions end.
const QUIET: Duration = Duration::from_secs(10);
/// How often the address policy is asked whether it was violated.
const POLICY_EVERY: Duration = Duration::from_millis(100);

/// A run that was conducted.
pub(super) struct Conducted {
    /// The whole journal, where it could not be written to its end.
    pub(super) in_memory: Option<Journal>,
}

/// Who is beside a run while it goes on.
#[derive(Default)]
pub(super) struct Beside {
    /// Told how the run stands.
    pub(super) on_progress: Option<OnProgress>,
    /// Given each second's numbers.
    pub(super) feed: Option<IntervalFeed>,
    /// Stops the run.
    pub(super) control: Arc<RunControl>,
    /// Told, when everything is ready for the first client, when that was.
    pub(super) on_ready: Option<Box<dyn FnOnce(Moment) + Send>>,
}

pub(super) async fn conduct(
    prepared: Arc<Prepared>,
    journal: JournalWriter,
    beside: Beside,
) -> Result<Conducted, RunError> {
    let clock = prepared.clock;
    let Beside { on_progress, feed, control, on_ready } = beside;
    let cpu_before = host::cpu_time();
    let (sink, samples) = sample_channel();
    let stalls = sink.stalls();
    let (shared, plan) = plan_engine(&prepared, &control, sink)?;
    let (view, live) = watch::channel(LiveView::default());
    let recorder = Recorder::new(prepared.scenario.groups.len(), journal).feeding(feed);
    let recording = tokio::spawn({
        let (prepared, control) = (Arc::clone(&prepared), Arc::clone(&control));
        async move { run_recorder(recorder, samples, &prepared.scenario, &control, &view, clock).await }
    });
    let listening = [
        tokio::spawn(listen_to_signals(Arc::clone(&control))),
        tokio::spawn(enforce_policy(Arc::clone(&prepared), Arc::clone(&control))),
    ];
    let showing = tokio::spawn(show_progress(Arc::clone(&prepared), live, on_progress));
    let (stop_watchdog, stopped) = oneshot::channel();
    let watching = tokio::spawn(watchdog::watch(clock, stopped));

    if let Some(on_ready) = on_ready {
        on_ready(clock.now());
    }
    // The shards of a machine are told their common start a little ahead.
    tokio::time::sleep_until(clock.instant(Moment::ZERO).into()).await;
    let drained = walk_plan(plan, &control, clock).await;
    let elapsed = clock.now();
    let pool_wait_max = shared.pool_wait_max();
    drop(shared);
    let target_counters = settle_target(&prepared).await;
    drop(stop_watchdog);
    let stall_histogram = watching.await.unwrap_or_default();
    let recorded = recording
        .await
        .map_err(|error| RunError::Start { what: "the recorder", source: std::io::Error::other(error) })?;
    listening.iter().for_each(tokio::task::JoinHandle::abort);
    // The recorder is gone, so this ends; not before the last numbers were shown.
    if let Err(error) = showing.await {
        log::warn!("the progress could not be shown to its end: {error}");
    }

    let health =
        health(&prepared, &recorded.totals, &stall_histogram, &stalls, pool_wait_max, elapsed, cpu_before);
    let end = RunEnd {
        reason: control.reason(),
        elapsed_s: elapsed.as_us() as f64 / 1e6,
        clients_planned: u64::from(prepared.share.clients(&prepared.scenario)),
        drained,
        health,
        target_counters,
        write_faults: recorded.write_faults.clone(),
    };
    Ok(Conducted { in_memory: end_journal(&prepared, recorded, end) })
}

/// Sets up what the clients share, and the engine's plan.
fn plan_engine(
    prepared: &Arc<Prepared>,
    control: &Arc<RunControl>,
    sink: SampleSink,
) -> Result<(Arc<RunShared>, EnginePlan), RunError> {
    let scenario = &prepared.scenario;
    let policy = Arc::clone(&prepared.policy);
    let shared = RunShared::new(prepared.clock, policy, sink, control.subscribe(), prepared.tls.clone());
    let shared = Arc::new(shared.spread_over(prepared.target_addresses.clone()));
    let (done_sender, done) = mpsc::channel(1);
    let mut populations = Vec::new();
    for (index, group) in scenario.groups.iter().enumerate() {
        let setup = GroupSetup {
            id: GroupId(u16::try_from(index).unwrap_or(u16::MAX)),
            name: group.name.clone(),
            rules: GroupRules::of(scenario, index),
            connect: group.connect.clone(),
        };
        let context = GroupContext::new(Arc::clone(&shared), setup, &prepared.address, done_sender.clone())?;
        let starts = own_starts(scenario, index, prepared.share);
        populations.push(Population { context: Arc::new(context), starts });
    }
    let storms =
        target_storms(scenario).into_iter().map(|(at, code, fraction)| StormStrike { at, code, fraction });
    let striker = Arc::clone(prepared);
    let strike = move |storm: StormStrike| {
        let struck = striker.server.as_ref().map(|server| server.storm(storm.code, storm.fraction));
        log::debug!("storm with {}: {struck:?} sessions", storm.code);
    };
    let plan = EnginePlan {
        populations,
        done,
        storms: storms.collect(),
        strike: Box::new(strike),
        end: Moment::ZERO + scenario.duration,
        drain: scenario.drain,
    };
    Ok((shared, plan))
}

/// The embedded target's counters, once it has seen the last session end.
async fn settle_target(prepared: &Prepared) -> Option<TargetCounters> {
    let server = prepared.server.as_ref()?;
    if !server.wait_until_quiet(QUIET).await {
        log::warn!("the embedded target still has sessions open");
    }
    Some(server.counters())
}

/// Once: the run drains. Twice: it is cut off.
async fn listen_to_signals(control: Arc<RunControl>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut heard = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        heard += 1;
        control.stop(StopReason::Interrupted);
        if heard > 1 {
            control.abort();
        }
    }
}

/// Ends the run when a name has come to resolve to an address that may not be hit.
async fn enforce_policy(prepared: Arc<Prepared>, control: Arc<RunControl>) {
    loop {
        tokio::time::sleep(POLICY_EVERY).await;
        if prepared.policy.was_violated() {
            control.stop(StopReason::NotAuthorised);
            control.abort();
            return;
        }
    }
}

async fn show_progress(
    prepared: Arc<Prepared>,
    mut live: watch::Receiver<LiveView>,
    on_progress: Option<OnProgress>,
) {
    let Some(mut show) = on_progress else { return };
    while live.changed().await.is_ok() {
        let view = live.borrow_and_update().clone();
        show(&prepared.scenario, &view);
    }
}

fn health(
    prepared: &Prepared,
    totals: &[Tally],
    stalls: &Latencies,
    recorder_stalls: &AtomicU64,
    pool_wait_max: Duration,
    elapsed: Moment,
    cpu_before: Duration,
) -> GeneratorHealth {
    let all = merge_all(totals);
    let lag = all.histograms.get(&Metric::Lag);
    let lag_us = |percentile| lag.map_or(0, |lag| lag.percentile_us(percentile));
    let cpu_s = host::cpu_time().saturating_sub(cpu_before).as_secs_f64();
    let available_s = elapsed.as_us() as f64 / 1e6 * host::cores() as f64;
    let mut health = GeneratorHealth {
        lag_p50_us: lag_us(50.0),
        lag_p99_us: lag_us(99.0),
        lag_max_us: lag.map_or(0, Latencies::max_us),
        stall_p99_us: stalls.percentile_us(99.0),
        stall_max_us: stalls.max_us(),
        local_limits: all.outcome(Outcome::LocalLimit),
        recorder_stalls: recorder_stalls.load(Ordering::Relaxed),
        token_pool_waits: all.counter(Counter::TokenPoolWaits),
        token_pool_wait_max_us: u64::try_from(pool_wait_max.as_micros()).unwrap_or(u64::MAX),
        descriptors_needed: prepared.needs.descriptors,
        descriptor_limit: prepared.manifest.host.descriptor_limit,
        cpu_s,
        cpu_share: if available_s > 0.0 { cpu_s / available_s } else { 0.0 },
        max_rss_bytes: host::max_rss_bytes(),
        ..GeneratorHealth::default()
    };
    health.set_limits(&prepared.scenario.health);
    health
}

/// Appends the run's end to the journal. Where that cannot be, answers with the journal as it should have been.
fn end_journal(prepared: &Prepared, mut recorded: Recorded, mut end: RunEnd) -> Option<Journal> {
    if let Some(mut journal) = recorded.journal.take() {
        let ended = journal.append(&Entry::End(Box::new(end.clone()))).and_then(|()| journal.sync());
        match ended {
            Ok(()) => return None,
            Err(error) => end.write_faults.push(format!("the journal's end could not be written: {error}")),
        }
    }
    // The seconds that were written are in the file; the totals are whole in memory all the same.
    let totals = recorded.totals.iter().map(PackedTally::of).collect();
    let intervals = vec![(end.elapsed_s as u64, totals)];
    Some(Journal { manifest: prepared.manifest.clone(), intervals, end: Some(end), torn_bytes: 0 })
}
