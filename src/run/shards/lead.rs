//! Leading a run whose clients are run elsewhere: everything but clients.
//!
//! In: the way to those that run its shares. Out: a run folder like any other, made from the shards' merged journals; the shards' own lie in `shards/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::engine::StopReason;
use crate::lifecycle::StopPhase;
use crate::machine::{MarkSignals, StopSignals};
use crate::plan::Share;
use crate::record::{ATTEMPTS_FILE, JournalError, LiveView, Machines, MergeInput, join_attempts, plan_merge};
use crate::report::{JOURNAL_FILE, RunModel, SHARDS_FOLDER, WriteFault, write_all};
use crate::scenario::keys::Scenario;

use super::super::display::Display;
use super::super::done::RunDone;
use super::super::error::RunError;
use super::super::interrupt::tell_interrupt;
use super::super::live::{LiveCommand, LiveCommands, StormOrder, check_storm, next_command};
use super::barrier::Barrier;
use super::channel::{Channel, Heard};
use super::live::Live;
use super::protocol::{Order, Report, decoded};
use super::roll::Roll;

/// How long a shard may take beyond its time before it is taken for stuck: cutting off, the target's last sessions, and as much again.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How often it is looked whether all are ready.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is told that more are ready, or fewer.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// How long after a second's end its numbers are shown: shards need a moment to close it.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// What the shards left.
#[derive(Debug, Default)]
pub(in super::super) struct Ended {
    /// Why those did not take part without which the run began.
    absent: BTreeMap<u32, String>,
    /// Why each lost shard was.
    lost: BTreeMap<u32, String>,
    /// Journals that shards could not write to their files.
    unwritten: BTreeMap<u32, Vec<u8>>,
}

/// Merges the shards' journals, and writes the run folder.
fn finish(run: &SplitRun<'_>, mut ended: Ended, display: Option<Display>) -> Result<RunDone, RunError> {
    let mut inputs = Vec::new();
    for share in Share::all(run.of).filter(|share| !ended.absent.contains_key(&share.shard())) {
        let in_memory = ended.unwritten.remove(&share.shard());
        let input = MergeInput { in_memory, ..MergeInput::in_folder(&run.shard_folder(share), JOURNAL_FILE) };
        match input.check() {
            Ok(()) => inputs.push(input),
            Err(error) => {
                let why = ended.lost.entry(share.shard()).or_insert_with(|| match &error {
                    JournalError::Damaged { .. } => error.to_string(),
                    _ => "it left no journal".to_owned(),
                });
                log::debug!("shard {share}: {why}: {error}");
            }
        }
    }
    let path = run.folder.join(JOURNAL_FILE);
    let plan = plan_merge(&inputs, run.machines, &ended.lost)?.without(&ended.absent);
    let (journal, unwritten) = plan.write_or_keep(&path)?;
    let model = RunModel::new(journal);
    if let Some(display) = display {
        let second = model.seconds.last().map_or(0, |(second, _)| *second);
        let last =
            model.seconds.last().map(|(_, groups)| groups.iter().map(|group| group.unpack()).collect());
        let totals = model.totals.clone().into();
        let (last, marks) = (Arc::new(last.unwrap_or_default()), Arc::new(model.marks.clone()));
        display.show(LiveView { second, totals, last, marks, ..LiveView::default() });
    }
    let mut write_faults = Vec::from_iter(unwritten.map(|source| WriteFault { path, source }));
    let folders: Vec<PathBuf> = Share::all(run.of).map(|share| run.shard_folder(share)).collect();
    if let Err(source) = join_attempts(&folders, run.folder) {
        write_faults.push(WriteFault { path: run.folder.join(ATTEMPTS_FILE), source });
    }
    write_faults.extend(write_all(&model, run.folder));
    Ok(RunDone { model, folder: run.folder.to_owned(), write_faults })
}

/// A run in several processes, wherever they are.
pub(in super::super) struct SplitRun<'r> {
    /// How many.
    pub(in super::super) of: u32,
    /// What they run.
    pub(in super::super) scenario: &'r Scenario,
    /// The run folder; their own are in `shards/` in it.
    pub(in super::super) folder: &'r Path,
    /// How far ahead the common start is: all have to hear of it, and to start their targets.
    pub(in super::super) ahead: Duration,
    /// How long all together get to become ready.
    pub(in super::super) ready_within: Duration,
    /// Whether they share a machine.
    pub(in super::super) machines: Machines,
    /// How many are enough to begin with, where not all are ready in time; `None`: all.
    pub(in super::super) at_least: Option<u32>,
    /// Whether it is run in virtual time: then nobody knows how long it takes.
    pub(in super::super) is_simulated: bool,
}

/// How far a run has come.
struct State {
    clock: Clock,
    live: Live,
    ended: Ended,
    /// Who still runs, and when each was last heard.
    roll: Roll,
    interrupts: u32,
    /// How many storms were asked for.
    storms: u16,
    stopped: bool,
    /// Since when nobody can be heard, because of this end.
    deaf_since: Option<Moment>,
    /// When those that still run are taken for stuck.
    stuck_at: Moment,
}

impl SplitRun<'_> {
    fn shard_folder(&self, share: Share) -> PathBuf {
        self.folder.join(SHARDS_FOLDER).join(share.shard().to_string())
    }

    /// Runs the shards to their end; answers with what they left. None is left, however it ends.
    ///
    /// # Errors
    /// Not all became ready.
    pub(in super::super) async fn lead(
        &self,
        mut channel: impl Channel,
        display: Option<&Display>,
        live: Option<LiveCommands>,
    ) -> Result<Ended, RunError> {
        let mut signals =
            StopSignals::listen().map_err(|source| RunError::Start { what: "hearing signals", source })?;
        let absent = match self.await_ready(&mut channel, &mut signals).await {
            Ok(absent) => absent,
            Err(error) => {
                channel.tell_all(&Order::Abort).await;
                channel.end().await;
                return Err(error);
            }
        };
        for (shard, why) in &absent {
            log::warn!("shard {shard} of {} does not take part, which --min-workers allows: {why}", self.of);
        }
        let now = Clock::start();
        let unix_us = now.unix_us(Moment::ZERO + self.ahead);
        channel.tell_all(&Order::Start { unix_us, absent: absent.keys().copied().collect() }).await;
        let present = (1..=self.of).filter(|shard| !absent.contains_key(shard));
        let state = State {
            clock: Clock::starting_at(unix_us),
            live: Live::new(self.scenario.groups.len()),
            roll: Roll::of(present, Moment::ZERO + self.scenario.duration, channel.patience()),
            ended: Ended { absent, ..Ended::default() },
            interrupts: 0,
            storms: 0,
            stopped: false,
            deaf_since: None,
            stuck_at: match self.is_simulated {
                true => Moment::NEVER,
                false => Moment::ZERO + self.scenario.duration + self.scenario.drain + STUCK_AFTER,
            },
        };
        let ended = self.accompany(state, &mut channel, (&mut signals, live), display).await;
        channel.end().await;
        Ok(ended)
    }

    /// Makes the run folder of what they left, or takes it away where there was no run.
    ///
    /// # Errors
    /// There was none, or nothing to merge.
    pub(in super::super) fn end(
        &self,
        led: Result<Ended, RunError>,
        display: Option<Display>,
    ) -> Result<RunDone, RunError> {
        match led {
            Ok(ended) => finish(self, ended, display),
            Err(error) => {
                // It was made for this run, which never was: nothing is in it but what the shards may have begun.
                if let Err(error) = fs::remove_dir_all(self.folder) {
                    log::warn!("{} is left: {error}", self.folder.display());
                }
                Err(error)
            }
        }
    }

    /// Waits until every shard is ready; answers with those without which the run begins, and why.
    async fn await_ready(
        &self,
        channel: &mut impl Channel,
        signals: &mut StopSignals,
    ) -> Result<BTreeMap<u32, String>, RunError> {
        let clock = Clock::start();
        let mut barrier = Barrier::of(self.of, channel.patience());
        // How many were ready when that was told last, and when.
        let mut told = (0, clock.now());
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                heard = channel.hear() => match heard {
                    Some((share, heard)) => barrier.take(share, &heard, clock.now()),
                    None => return Err(RunError::Interrupted),
                },
                () = signals.next() => return Err(RunError::Interrupted),
                _ = looks.tick() => {}
            }
            let now = clock.now();
            let missing = barrier.missing(now);
            if missing.is_empty() {
                return Ok(BTreeMap::new());
            }
            let there = self.of - missing.len() as u32;
            if there != told.0 && now.since(told.1) >= TOLD_EVERY {
                channel.note_ready(there, &missing);
                told = (there, now);
            }
            let is_over = now.since(Moment::ZERO) >= self.ready_within;
            match self.at_least {
                None => {
                    if let Some(error) = barrier.first_unable() {
                        return Err(error);
                    }
                }
                Some(least) if is_over && there >= least => return Ok(barrier.absent(now, self.ready_within)),
                Some(_) => {}
            }
            if is_over {
                return Err(RunError::NotReady {
                    missing: missing.into_iter().collect(),
                    of: self.of,
                    within: self.ready_within,
                });
            }
        }
    }

    /// Shows, judges and stops the shards until all are gone.
    async fn accompany(
        &self,
        mut state: State,
        channel: &mut impl Channel,
        (signals, mut live): (&mut StopSignals, Option<LiveCommands>),
        display: Option<&Display>,
    ) -> Ended {
        let mut second = 0;
        let mut marking = MarkSignals::listen();
        while state.roll.running() > 0 {
            let show_at = Moment::ZERO + Duration::from_secs(second + 1) + SHOWN_AFTER;
            tokio::select! {
                heard = channel.hear() => match heard {
                    Some((share, heard)) => self.take_in(&mut state, channel, share, heard).await,
                    None => break,
                },
                () = signals.next() => state.interrupt(channel, self.scenario.drain).await,
                // Marks are made by the first shard.
                () = next_mark(&mut marking) => self.mark(channel).await,
                command = next_command(&mut live) => match command {
                    LiveCommand::Storm(order) => state.storm(channel, order).await,
                    LiveCommand::Stop => state.interrupt(channel, self.scenario.drain).await,
                },
                () = tokio::time::sleep_until(state.clock.instant(show_at).into()) => {
                    let now = state.clock.now();
                    if let Some(display) = display {
                        display.show(state.live.view(second));
                    }
                    second = now.as_second().max(second + 1);
                    let failing = state.live.failing(self.scenario, now).map(|threshold| threshold.source.clone());
                    if let Some(threshold) = failing.filter(|_| !state.stopped) {
                        state.stop(channel, StopReason::Threshold { threshold }, self.scenario.drain).await;
                    }
                    state.hear_at_all(channel.is_deaf(), now);
                    for shard in state.roll.newly_lost(now) {
                        let silence = state.roll.silence(shard, now).as_secs();
                        log::warn!("shard {shard} of {} is lost: nothing was heard of it for {silence} s. {}", self.of, state.roll.others_words());
                    }
                    for shard in state.roll.newly_silent(now) {
                        let of = self.of;
                        let (silence, left) = (state.roll.silence(shard, now).as_secs(), state.stuck_at.since(now).as_secs());
                        let then = match channel.patience().lost_after {
                            Some(after) => format!("after {} s it counts as lost", after.as_secs()),
                            None => format!("it is killed in {left} s"),
                        };
                        log::warn!("shard {shard} of {of} has said nothing for {silence} s: its numbers are missing from what is shown. If it stays so, {then}");
                    }
                    if now > state.stuck_at {
                        channel.kill();
                    }
                }
            }
        }
        if state.interrupts == 0 {
            state.ended.lost.extend(state.roll.stopped_alone());
        }
        for (shard, why) in state.roll.fallen_silent() {
            state.ended.lost.entry(shard).or_insert(why);
        }
        state.ended
    }

    /// Has the first shard mark this moment.
    async fn mark(&self, channel: &mut impl Channel) {
        if let Some(first) = Share::all(self.of).next() {
            channel.tell(first, &Order::Mark).await;
        }
    }

    async fn take_in(&self, state: &mut State, channel: &mut impl Channel, share: Share, heard: Heard) {
        let (shard, of) = (share.shard(), self.of);
        if !state.roll.has(shard) {
            return log::debug!("shard {shard} of {of} takes no part: {heard:?}");
        }
        if !matches!(heard, Heard::Gone(_)) && state.roll.hear(shard, state.clock.now()) {
            log::warn!("shard {shard} of {of} is heard again");
        }
        match heard {
            Heard::Second(groups) => state.live.add(&groups),
            Heard::Beat => {}
            Heard::Replaced => log::warn!(
                "shard {shard} of {of} was taken over after the start: what its new worker tells does not count"
            ),
            Heard::Missing(from) => channel.tell(share, &Order::Resend { from }).await,
            Heard::Report(Report::Mark { mark }) => state.live.mark(*mark),
            Heard::Report(Report::Late { by_us }) => {
                log::warn!(
                    "shard {share} began {:.1} ms late: its first clients show it as lag",
                    by_us as f64 / 1e3
                );
            }
            Heard::Report(Report::Done { reason, unwritten }) => {
                let is_alone = reason == StopReason::Interrupted && !state.stopped;
                state.roll.end(shard, is_alone);
                channel.tell(share, &Order::Seen).await;
                match unwritten.map(|text| decoded(&text)) {
                    Some(Some(bytes)) => drop(state.ended.unwritten.insert(shard, bytes)),
                    Some(None) => log::warn!("the journal of shard {share} came in pieces"),
                    None => {}
                }
                if reason == StopReason::NotAuthorised && !state.stopped {
                    state.stop(channel, reason, Duration::ZERO).await;
                    channel.tell_all(&Order::Abort).await;
                }
            }
            Heard::Report(Report::Failed { message, .. }) => {
                state.ended.lost.insert(shard, message);
            }
            Heard::Report(Report::Ready | Report::Second { .. } | Report::Sealed { .. }) => {}
            Heard::Gone(how) => {
                let has_ended = state.roll.gone(shard);
                if !has_ended {
                    let how = state.killed_by_us().unwrap_or(how);
                    let why = state.ended.lost.entry(shard).or_insert(how);
                    log::warn!("shard {shard} of {of} is lost: {why}. {}", state.roll.others_words());
                } else if state.interrupts == 0 && state.roll.was_alone(shard) {
                    log::warn!(
                        "shard {shard} of {of} was stopped alone, by a signal of its own. {}",
                        state.roll.others_words()
                    );
                }
            }
        }
    }
}

/// Until the next SIGUSR1.
async fn next_mark(marking: &mut std::io::Result<MarkSignals>) {
    match marking {
        Ok(marking) => marking.next().await,
        Err(_) => std::future::pending().await,
    }
}

impl State {
    /// Nobody is blamed for what this end could not hear.
    fn hear_at_all(&mut self, is_deaf: bool, now: Moment) {
        match (is_deaf, self.deaf_since) {
            (true, None) => {
                self.deaf_since = Some(now);
                log::warn!(
                    "no shard can be heard now: the way to them is broken at this end. They go on as planned"
                );
            }
            (false, Some(since)) => {
                self.deaf_since = None;
                log::warn!("shards can be heard again, after {} s", now.since(since).as_secs());
            }
            _ => {}
        }
        if is_deaf {
            self.roll.excuse(now);
        }
    }

    /// Why the parent itself has killed those that still ran.
    fn killed_by_us(&self) -> Option<String> {
        if self.interrupts > 2 {
            Some("it was killed, for the user interrupted a third time".to_owned())
        } else if self.clock.now() > self.stuck_at {
            Some("it did not end when its time was over, and was killed".to_owned())
        } else {
            None
        }
    }

    /// Once: drain. Twice: cut off. Once more: those that do not even hear that are killed.
    async fn interrupt(&mut self, channel: &mut impl Channel, drain: Duration) {
        self.interrupts += 1;
        match self.interrupts {
            1 => {
                tell_interrupt(drain);
                self.stop(channel, StopReason::Interrupted, drain).await;
            }
            2 => {
                channel.tell_all(&Order::Abort).await;
                self.stuck_at = self.stuck_at.min(self.clock.now() + STUCK_AFTER);
            }
            _ => channel.kill(),
        }
    }

    /// Every share strikes its own sessions; the first marks it.
    async fn storm(&mut self, channel: &mut impl Channel, order: StormOrder) {
        let now = self.clock.now();
        let phase = if self.stopped { StopPhase::Draining } else { StopPhase::Running };
        let checked = check_storm(self.storms, phase);
        if checked.is_ok() {
            channel.tell_all(&Order::Storm { number: self.storms, fraction: order.fraction }).await;
            self.storms += 1;
        }
        order.reply(checked.map(|()| now));
    }

    async fn stop(&mut self, channel: &mut impl Channel, reason: StopReason, drain: Duration) {
        self.stopped = true;
        channel.tell_all(&Order::Stop { reason }).await;
        self.stuck_at = self.stuck_at.min(self.clock.now() + drain + STUCK_AFTER);
    }
}
