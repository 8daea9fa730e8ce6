//! The run itself: engine, recorder, watchdog and signals side by side.
//!
//! In: a prepared run, its journal. Out: the journal, ended; or what of it had to stay in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::Moment;
use crate::drive::network::{GroupContext, GroupSetup};
use crate::drive::sample_channel;
use crate::engine::{EnginePlan, Population, RunControl, StopReason, StormStrike, walk_plan};
use crate::lifecycle::{AskedStorms, GroupRules};
use crate::machine::{self, HAS_SIGNALS, MarkSignals, StopSignals};
use crate::plan::{own_starts, target_storms};
use crate::record::{
    AnswerTally, AttemptLog, Entry, FirstStart, GeneratorHealth, IntervalFeed, Journal, JournalWriter,
    LiveView, Manifest, MarkBy, Note, PackedTally, Recorded, Recorder, RunEnd, Steps, Tally, merge_all,
    read_journal, run_recorder,
};
use crate::sample::{Counter, GroupId, Outcome, Request, RequestAnswer};
use crate::scenario::keys::Ready;
use crate::service::counters::TargetCounters;

use super::crew::{Hand, Watch, Watched, crew};
use super::display::Display;
use super::error::RunError;
use super::events::{Door, Marks, OnMark, OnNote, Runner};
use super::interrupt::tell_interrupt;
use super::live::{LiveCommands, Striker};
use super::observe::Observers;
use super::prepare::Prepared;
use super::request::OnProgress;
use super::workers::Workers;

/// How long the embedded target gets to see the last of its sessions end.
const QUIET: Duration = Duration::from_secs(10);

/// Notes that may wait for the recorder, which takes them once a second at least.
const NOTES_WAITING: usize = 4_096;

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
    /// Where each attempt is written to, if it is.
    pub(super) attempts: Option<AttemptLog>,
    /// Stops the run.
    pub(super) control: Arc<RunControl>,
    /// Told, when everything is ready for the first client, when that was.
    pub(super) on_ready: Option<Box<dyn FnOnce(Moment) + Send>>,
    /// Told of each mark at once.
    pub(super) on_mark: Option<OnMark>,
    /// What is asked of the run while it goes on.
    pub(super) live: Option<LiveCommands>,
}

pub(super) async fn conduct(
    prepared: Arc<Prepared>,
    journal: JournalWriter,
    beside: Beside,
) -> Result<Conducted, RunError> {
    let clock = prepared.clock;
    let Beside { on_progress, feed, attempts, control, on_ready, on_mark, live: commands } = beside;
    let signals =
        StopSignals::listen().map_err(|source| RunError::Start { what: "hearing signals", source })?;
    let marking =
        MarkSignals::listen().map_err(|source| RunError::Start { what: "hearing signals", source })?;
    let cpu_before = machine::cpu_time();
    let (sink, samples) = sample_channel();
    let stalls = sink.stalls();
    let workers = Workers::start(prepared.processes.threads())
        .map_err(|source| RunError::Start { what: "the workers", source })?;
    let crew = crew(&prepared, &control, &sink, &workers)?;
    // The recorder ends with the workers' own ends of the channel.
    drop(sink);
    let asked = AskedStorms::default();
    let plan = plan_engine(&prepared, &crew, &asked)?;
    let (view, live) = watch::channel(LiveView::default());
    let (notes, noted) = mpsc::channel(NOTES_WAITING);
    let marks = Arc::new(Marks::new(clock, note_to(notes.clone()), prepared.redactor.clone(), on_mark));
    let door = open_door(&journal, &prepared, &marks);
    let recorder = Recorder::new(prepared.scenario.groups.len(), journal).feeding(feed).logging(attempts);
    let recording = tokio::spawn({
        let (prepared, control) = (Arc::clone(&prepared), Arc::clone(&control));
        async move { run_recorder(recorder, samples, noted, &prepared.scenario, &control, &view, clock).await }
    });
    let listening = [
        tokio::spawn(listen_to_signals(signals, Arc::clone(&control), prepared.scenario.drain)),
        tokio::spawn(enforce_policy(Arc::clone(&prepared), Arc::clone(&control))),
        tokio::spawn(listen_to_marks(marking, Arc::clone(&prepared), Arc::clone(&marks))),
    ];
    let following = commands.map(|commands| {
        let (prepared, marks, control) = (Arc::clone(&prepared), Arc::clone(&marks), Arc::clone(&control));
        tokio::spawn(Striker { prepared, marks, control, asked }.follow(commands))
    });
    let display = on_progress.map(|show| Display::start(prepared.scenario.clone(), show)).transpose();
    let display =
        display.map_err(|source| RunError::Start { what: "the thread that shows the progress", source })?;
    let showing = display.map(|display| tokio::spawn(show_progress(live, display)));
    let observers = Observers::begin(&prepared, &notes);
    let watch = Watch::begin(&crew, &control, clock, prepared.scenario.groups.len());

    if let Some(on_ready) = on_ready {
        on_ready(clock.now());
    }
    // The shards of a machine are told their common start a little ahead.
    tokio::time::sleep_until(clock.instant(Moment::ZERO).into()).await;
    let runner = Runner::start(&prepared, &marks, &control);
    let drained = walk_plan(plan, &control, clock).await;
    following.iter().for_each(tokio::task::JoinHandle::abort);
    let elapsed = clock.now();
    drop(notes);
    // What events have begun is gone before the recorder is.
    runner.end().await;
    drop(door);
    let watched = watch.end().await;
    let pool_wait_max = crew.iter().map(|hand| hand.shared.pool_wait_max()).max().unwrap_or_default();
    let mint_wait_max = crew.iter().map(|hand| hand.shared.mint_wait_max()).max().unwrap_or_default();
    for hand in crew {
        hand.shared.flush().await;
    }
    let last_numbers = async {
        match observers {
            Some(observers) => observers.end(elapsed, &control).await,
            None => Vec::new(),
        }
    };
    let (target_counters, last_notes) = tokio::join!(settle_target(&prepared), last_numbers);
    let mut recorded = recording
        .await
        .map_err(|error| RunError::Start { what: "the recorder", source: std::io::Error::other(error) })?;
    // Nobody waits for them but the journal's end.
    recorded.notes.extend(last_notes);
    listening.iter().for_each(tokio::task::JoinHandle::abort);
    // The recorder is gone, so this ends; not before the last numbers were shown.
    if let Some(showing) = showing
        && let Err(error) = showing.await
    {
        log::warn!("the progress could not be shown to its end: {error}");
    }

    // What is left does not depend on how many clients there were, or they leak. What was aborted is gone once its loop has had its turn.
    for worker in workers.handles() {
        let had_its_turn = worker.spawn(async {}).await;
        debug_assert!(had_its_turn.is_ok());
    }
    let left: usize = workers.handles().map(|handle| handle.metrics().num_alive_tasks()).sum();
    log::debug!(target: "resurge::tasks", "{left}");
    drop(workers);
    let mut health = health(&prepared, &recorded.totals, &watched);
    health.recorder_stalls = stalls.load(Ordering::Relaxed);
    health.token_pool_wait_max_us = u64::try_from(pool_wait_max.as_micros()).unwrap_or(u64::MAX);
    health.mint_wait_max_us = u64::try_from(mint_wait_max.as_micros()).unwrap_or(u64::MAX);
    if let Some((before, after)) = cpu_before.zip(machine::cpu_time()) {
        health.set_cpu(after.saturating_sub(before), elapsed.since(Moment::ZERO), machine::cores());
    }
    // A violation right before the end may have had nobody to notice it.
    let violated = prepared.policy.was_violated();
    let end = RunEnd {
        reason: if violated { StopReason::NotAuthorised } else { control.reason() },
        elapsed_s: elapsed.as_us() as f64 / 1e6,
        clients_planned: u64::from(prepared.share.clients(&prepared.scenario)),
        drained,
        health,
        target_counters,
        write_faults: Vec::new(),
        first_starts: first_start(&prepared, &control).into_iter().collect(),
        delays: Steps::of(&watched.delays),
        stalls: Steps::of(&watched.stalls),
        target_reconnects: target_reconnects(&prepared),
    };
    Ok(Conducted { in_memory: end_journal(&prepared.manifest, recorded, end) })
}

/// When the first client was started, where the share's machine has a clock of its own.
fn first_start(prepared: &Prepared, control: &RunControl) -> Option<FirstStart> {
    let (due, at) = control.first_start().filter(|_| !prepared.manifest.workers.is_empty())?;
    Some(FirstStart { shard: prepared.share.shard(), due_us: due.as_us(), began_us: at.as_us() })
}

/// The engine's plan: each group's clients spread evenly over the workers.
fn plan_engine(
    prepared: &Arc<Prepared>,
    crew: &[Hand],
    asked: &AskedStorms,
) -> Result<EnginePlan<GroupContext>, RunError> {
    let scenario = &prepared.scenario;
    let (done_sender, done) = mpsc::channel(1);
    let mut populations = Vec::new();
    for (index, group) in scenario.groups.iter().enumerate() {
        let setup = GroupSetup {
            id: GroupId(u16::try_from(index).unwrap_or(u16::MAX)),
            name: group.name.clone(),
            rules: GroupRules::of(scenario, index)
                .traced(scenario, index, prepared.manifest.started_unix_us)
                .hearing(asked),
            connect: group.connect.clone(),
        };
        let mut first: Option<Arc<GroupContext>> = None;
        for (nth, hand) in crew.iter().enumerate() {
            let (shared, setup) = (Arc::clone(&hand.shared), setup.clone());
            let _entered = hand.worker.enter();
            let driver = match &first {
                None => GroupContext::new(shared, setup, &prepared.address, done_sender.clone())?,
                Some(first) => first.on_worker(shared, setup, &prepared.address)?,
            };
            let driver = Arc::new(driver);
            first.get_or_insert_with(|| Arc::clone(&driver));
            let starts = own_starts(scenario, index, prepared.share);
            let starts = Box::new(starts.skip(nth).step_by(crew.len()));
            populations.push(Population { worker: hand.worker.clone(), driver, starts });
        }
    }
    let storms =
        target_storms(scenario).into_iter().map(|(at, code, fraction)| StormStrike { at, code, fraction });
    let striker = Arc::clone(prepared);
    let strike = move |storm: StormStrike| {
        let struck = striker.server.as_ref().map(|server| server.storm(storm.code, storm.fraction));
        log::debug!("storm with {}: {struck:?} sessions", storm.code);
    };
    Ok(EnginePlan {
        populations,
        done,
        storms: storms.collect(),
        strike: Box::new(strike),
        end: Moment::ZERO + scenario.duration,
        drain: scenario.drain,
    })
}

/// The embedded target's counters, once it has seen the last session end.
async fn settle_target(prepared: &Prepared) -> Option<TargetCounters> {
    let server = prepared.server.as_ref()?;
    if !server.wait_until_quiet(QUIET).await {
        log::warn!("the embedded target still has sessions open");
    }
    let mut counters = server.final_counters();
    counters.settle_topics(prepared.scenario.hears_topics());
    Some(counters)
}

/// Takes notes to the recorder.
fn note_to(notes: mpsc::Sender<Note>) -> OnNote {
    Box::new(move |note| {
        if let Err(error) = notes.try_send(note) {
            // Thousands in a second; or the run is over, and with it the recorder.
            log::debug!("a mark finds no recorder: {error}");
        }
    })
}

/// Whether this process does what is done to the service: one of a run's shards does.
fn is_first(prepared: &Prepared) -> bool {
    prepared.share.shard() == 1
}

/// The way in for marks, beside the journal. A file system that holds no sockets is no reason for no run.
fn open_door(journal: &JournalWriter, prepared: &Prepared, marks: &Arc<Marks>) -> Option<Door> {
    let folder = journal.path().parent().filter(|_| is_first(prepared))?;
    let door = Door::open(folder, Arc::clone(marks));
    door.inspect_err(|error| {
        let folder = folder.display();
        let instead = if HAS_SIGNALS { "; SIGUSR1 marks it all the same" } else { "" };
        log::warn!("`resurge mark` cannot reach this run ({folder}: {error}){instead}");
    })
    .ok()
}

/// Marks each SIGUSR1.
async fn listen_to_marks(mut signals: MarkSignals, prepared: Arc<Prepared>, marks: Arc<Marks>) {
    loop {
        signals.next().await;
        if !is_first(&prepared) {
            log::warn!("SIGUSR1 marks nothing here: shard 1 makes the marks of a run");
        } else if let Err(why) = marks.mark_now(MarkBy::Signal, "SIGUSR1") {
            log::warn!("no mark: {why}");
        }
    }
}

/// Once: the run drains. Twice: it is cut off.
async fn listen_to_signals(mut signals: StopSignals, control: Arc<RunControl>, drain: Duration) {
    signals.next().await;
    tell_interrupt(drain);
    control.stop(StopReason::Interrupted);
    loop {
        signals.next().await;
        control.abort();
    }
}

/// Ends the run when a name has come to resolve to an address that may not be hit.
async fn enforce_policy(prepared: Arc<Prepared>, control: Arc<RunControl>) {
    prepared.policy.violation().await;
    control.stop(StopReason::NotAuthorised);
    control.abort();
}

/// Shows each view until there are no more of them.
async fn show_progress(mut live: watch::Receiver<LiveView>, display: Display) {
    while live.changed().await.is_ok() {
        display.show(live.borrow_and_update().clone());
    }
}

fn health(prepared: &Prepared, totals: &[Tally], watched: &Watched) -> GeneratorHealth {
    let all = merge_all(totals);
    let mut health = GeneratorHealth {
        local_limits: all.outcome(Outcome::LocalLimit),
        token_pool_waits: all.counter(Counter::TokenPoolWaits),
        mint_waits: all.counter(Counter::MintWaits),
        mint_timeouts: all
            .requests
            .get(&(Request::Mint, RequestAnswer::Timeout))
            .map_or(0, AnswerTally::count),
        descriptors_needed: prepared.needs.descriptors,
        descriptor_limit: prepared.manifest.host.descriptor_limit,
        max_rss_bytes: machine::max_rss_bytes(),
        timer_grain_us: machine::ALARM_GRAIN.as_micros() as u64,
        ..GeneratorHealth::default()
    };
    health.attempts_watched = watched.attempts;
    health.attempts_saturated = machine::thread_busy().map(|_| watched.saturated);
    health.set_limits(&prepared.scenario.health);
    health.set_distributions(&all, &watched.delays, &watched.stalls);
    health
}

/// How long clients were away by the target's clock, where that is the same as a reconnect: not where they wait for more than the
/// upgrade.
fn target_reconnects(prepared: &Prepared) -> Option<Steps> {
    let server = prepared.server.as_ref()?;
    let groups = &prepared.scenario.groups;
    groups.iter().all(|group| group.session.ready == Ready::Upgraded).then(|| Steps(server.returns()))
}

/// Appends the run's end to the journal. Where that cannot be, answers with the journal as it should have been.
pub(super) fn end_journal(manifest: &Manifest, mut recorded: Recorded, mut end: RunEnd) -> Option<Journal> {
    end.write_faults.extend(recorded.attempts_fault.take());
    let written = recorded.write_kept().and_then(|()| {
        recorded.journal.append(&Entry::End(Box::new(end.clone())))?;
        recorded.journal.sync()
    });
    let error = written.err()?;
    let path = recorded.journal.path();
    let missing = match recorded.unwritten.first() {
        Some((second, _)) => format!("its seconds from {second} on, and how the run ended, are not in it"),
        None => "how the run ended may not be in it".to_owned(),
    };
    end.write_faults.push(format!(
        "{} could not be written to its end: {error}. The numbers here are complete; {missing}, so `resurge report` will call the run cut off",
        path.display()
    ));
    let manifest = manifest.clone();
    let intervals = whole_intervals(&recorded).unwrap_or_else(|| {
        // What was written cannot be read either: the totals are whole in memory all the same.
        vec![(end.elapsed_s as u64, recorded.totals.iter().map(PackedTally::of).collect())]
    });
    Some(Journal { manifest, intervals, notes: recorded.notes, end: Some(end), torn_bytes: 0 })
}

/// All seconds: those in the journal, and those that could not be written. `None` where they are not all that was recorded.
fn whole_intervals(recorded: &Recorded) -> Option<Vec<(u64, Vec<PackedTally>)>> {
    let mut intervals = read_journal(recorded.journal.path()).ok()?.intervals;
    intervals.extend(recorded.unwritten.iter().cloned());
    let mut totals = vec![Tally::default(); recorded.totals.len()];
    for (_, groups) in &intervals {
        for (total, packed) in totals.iter_mut().zip(groups) {
            packed.add_to(total);
        }
    }
    (totals == recorded.totals).then_some(intervals)
}
