//! The parent of a run's shards: everything but clients.
//!
//! In: what to run and how to split it. Out: a run folder like any other, made from the shards' merged journals; the shards' own lie in `shards/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::clock::{Clock, Moment};
use crate::engine::StopReason;
use crate::exit_code::ExitCode;
use crate::plan::{Share, check_split, shards_needed};
use crate::record::{ATTEMPTS_FILE, JournalError, LiveView, Machines, MergeInput, join_attempts, plan_merge};
use crate::report::{JOURNAL_FILE, RunModel, SHARDS_FOLDER, WriteFault, write_all};
use crate::scenario::keys::Scenario;
use crate::scenario::load_for_traffic;

use super::super::display::Display;
use super::super::done::RunDone;
use super::super::error::RunError;
use super::super::folder::{FolderError, make_folder};
use super::super::one_process::run_share;
use super::super::prepare::{self, Consent};
use super::super::request::RunRequest;
use super::super::shard_check::{check_shards, warn_of_own_limits};
use super::super::signals::{StopSignals, mark_signals, tell_interrupt};
use super::children::{Children, Heard};
use super::live::Live;
use super::protocol::{Order, Preparation, Report, VERSION, decoded, unpacked};
use super::roll::Roll;
use super::split::Split;

/// How long all shards together get to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How far ahead the common start is: all have to hear of it and to start their targets; so much, and so much for each.
const LEAD: Duration = Duration::from_millis(400);
const LEAD_EACH: Duration = Duration::from_millis(60);
/// How long a shard may take beyond its time before it is taken for stuck: cutting off, the target's last sessions, and as much again.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How long after a second's end its numbers are shown: shards need a moment to close it.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// Runs a scenario in several processes of this machine, or in this one where one is enough.
pub(in super::super) fn run_shards(request: RunRequest, split: Split) -> Result<RunDone, RunError> {
    let loaded = load_for_traffic(&request.scenario, &request.overrides, request.seed, &|name| {
        std::env::var(name).ok()
    })?;
    if let Split::Into(shards) = split {
        check_shards(shards, &loaded.scenario)?;
    }
    let (checked, machine) = prepare::check(loaded, consent_of(&request))?;
    let of = match split {
        Split::Into(shards) => shards,
        Split::Auto => shards_needed(&checked.scenario, &machine),
        Split::Share(share) => share.of(),
    };
    if of <= 1 {
        return run_share(request, Share::WHOLE);
    }
    check_split(&checked.scenario, &machine, of)?;
    if !fs::metadata(&request.scenario).is_ok_and(|found| found.is_file()) {
        return Err(RunError::NoFile { path: request.scenario });
    }
    warn_of_own_limits(&checked.scenario, of);
    let folder =
        make_folder(request.out.as_deref(), &checked.scenario.name, Clock::start().unix_us(Moment::ZERO))?;
    let shards = folder.join(SHARDS_FOLDER);
    fs::create_dir(&shards).map_err(|source| FolderError::Unwritable { path: shards, source })?;
    let preparation = Preparation {
        version: VERSION,
        scenario: request.scenario,
        hash: checked.hash().to_owned(),
        overrides: request.overrides,
        seed: request.seed,
        authorised: request.authorised,
        attempts: request.attempts,
        allow_commands: request.allow_commands,
        out: PathBuf::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    let run = SplitRun { of, scenario: &checked.scenario, folder: &folder };
    let display = request.on_progress.map(|show| Display::start(checked.scenario.clone(), show)).transpose();
    let display =
        display.map_err(|source| RunError::Start { what: "the thread that shows the progress", source })?;
    match runtime.block_on(run.conduct(&preparation, display.as_ref())) {
        Ok(ended) => finish(&run, ended, display),
        Err(error) => {
            // It was made for this run, which never was: nothing is in it but what the shards may have begun.
            if let Err(error) = fs::remove_dir_all(&folder) {
                log::warn!("{} is left: {error}", folder.display());
            }
            Err(error)
        }
    }
}

fn consent_of(request: &RunRequest) -> Consent<'_> {
    Consent { hosts: &request.authorised, commands: request.allow_commands }
}

/// What the shards left.
#[derive(Debug, Default)]
struct Ended {
    /// Why each lost shard was.
    lost: BTreeMap<u32, String>,
    /// Journals that shards could not write to their files.
    unwritten: BTreeMap<u32, Vec<u8>>,
}

/// Merges the shards' journals, and writes the run folder.
fn finish(run: &SplitRun<'_>, mut ended: Ended, display: Option<Display>) -> Result<RunDone, RunError> {
    let mut inputs = Vec::new();
    for share in Share::all(run.of) {
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
    let (journal, unwritten) = plan_merge(&inputs, Machines::One, &ended.lost)?.write_or_keep(&path)?;
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

/// A run in several processes.
struct SplitRun<'r> {
    of: u32,
    scenario: &'r Scenario,
    folder: &'r Path,
}

/// How far a run has come.
struct State {
    clock: Clock,
    live: Live,
    ended: Ended,
    /// Who still runs, and when each was last heard.
    roll: Roll,
    interrupts: u32,
    stopped: bool,
    /// When those that still run are taken for stuck.
    stuck_at: Moment,
}

impl SplitRun<'_> {
    fn shard_folder(&self, share: Share) -> PathBuf {
        self.folder.join(SHARDS_FOLDER).join(share.shard().to_string())
    }

    /// Runs the shards to their end; answers with what they left. No child is left, however it ends.
    async fn conduct(&self, preparation: &Preparation, display: Option<&Display>) -> Result<Ended, RunError> {
        let mut signals =
            StopSignals::listen().map_err(|source| RunError::Start { what: "hearing signals", source })?;
        let folder = self.folder.join(SHARDS_FOLDER);
        let start = Children::start(self.of, preparation, &folder);
        let mut children =
            start.await.map_err(|source| RunError::Start { what: "a shard's process", source })?;
        if let Err(error) = self.await_ready(&mut children, &mut signals).await {
            children.end().await;
            return Err(error);
        }
        let now = Clock::start();
        let unix_us = now.unix_us(Moment::ZERO + LEAD + LEAD_EACH * self.of);
        children.tell_all(&Order::Start { unix_us }).await;
        let state = State {
            clock: Clock::starting_at(unix_us),
            live: Live::new(self.scenario.groups.len()),
            ended: Ended::default(),
            roll: Roll::of(self.of, Moment::ZERO + self.scenario.duration),
            interrupts: 0,
            stopped: false,
            stuck_at: Moment::ZERO + self.scenario.duration + self.scenario.drain + STUCK_AFTER,
        };
        let ended = self.accompany(state, &mut children, &mut signals, display).await;
        children.end().await;
        Ok(ended)
    }

    /// Waits until every shard is ready.
    async fn await_ready(&self, children: &mut Children, signals: &mut StopSignals) -> Result<(), RunError> {
        let mut ready = 0;
        let of = self.of;
        let all_ready = async {
            while ready < of {
                let heard = tokio::select! {
                    heard = children.hear() => heard,
                    () = signals.next() => return Err(RunError::Interrupted),
                };
                let fault = |share: Share, exit_code, message| RunError::Shard {
                    shard: share.shard(),
                    of,
                    exit_code,
                    message,
                };
                match heard {
                    Some((_, Heard::Report(Report::Ready))) => ready += 1,
                    Some((share, Heard::Report(Report::Failed { exit_code, message }))) => {
                        return Err(fault(share, exit_code, message));
                    }
                    Some((share, Heard::Gone(how))) => return Err(fault(share, ExitCode::Unexpected, how)),
                    Some((_, Heard::Report(_))) => {}
                    None => return Err(RunError::Interrupted),
                }
            }
            Ok(())
        };
        match tokio::time::timeout(READY_TIMEOUT, all_ready).await {
            Ok(result) => result,
            Err(_) => {
                let source =
                    std::io::Error::other(format!("not all were ready within {} s", READY_TIMEOUT.as_secs()));
                Err(RunError::Start { what: "the shards", source })
            }
        }
    }

    /// Shows, judges and stops the shards until all are gone.
    async fn accompany(
        &self,
        mut state: State,
        children: &mut Children,
        signals: &mut StopSignals,
        display: Option<&Display>,
    ) -> Ended {
        let mut second = 0;
        let mut marking = mark_signals();
        while state.roll.running() > 0 {
            let show_at = Moment::ZERO + Duration::from_secs(second + 1) + SHOWN_AFTER;
            tokio::select! {
                heard = children.hear() => match heard {
                    Some((share, heard)) => self.take_in(&mut state, children, share, heard).await,
                    None => break,
                },
                () = signals.next() => state.interrupt(children, self.scenario.drain).await,
                // Marks are made by the first shard.
                () = next_mark(&mut marking) => self.mark(children).await,
                () = tokio::time::sleep_until(state.clock.instant(show_at).into()) => {
                    let now = state.clock.now();
                    if let Some(display) = display {
                        display.show(state.live.view(second));
                    }
                    second = now.as_second().max(second + 1);
                    let failing = state.live.failing(self.scenario, now).map(|threshold| threshold.source.clone());
                    if let Some(threshold) = failing.filter(|_| !state.stopped) {
                        state.stop(children, StopReason::Threshold { threshold }, self.scenario.drain).await;
                    }
                    for shard in state.roll.newly_silent(now) {
                        let left = state.stuck_at.since(now).as_secs();
                        log::warn!(
                            "shard {shard} of {} has said nothing for {} s: its numbers are missing from what is shown. If it stays so, it is killed in {left} s",
                            self.of, state.roll.silence(shard, now).as_secs()
                        );
                    }
                    if now > state.stuck_at {
                        children.kill();
                    }
                }
            }
        }
        if state.interrupts == 0 {
            state.ended.lost.extend(state.roll.stopped_alone());
        }
        state.ended
    }

    /// Has the first shard mark this moment.
    async fn mark(&self, children: &mut Children) {
        if let Some(first) = Share::all(self.of).next() {
            children.tell(first, &Order::Mark).await;
        }
    }

    async fn take_in(&self, state: &mut State, children: &mut Children, share: Share, heard: Heard) {
        let (shard, of) = (share.shard(), self.of);
        if state.roll.hear(shard, state.clock.now()) && matches!(heard, Heard::Report(_)) {
            log::warn!("shard {shard} of {of} is heard again");
        }
        match heard {
            Heard::Report(Report::Second { groups }) => match unpacked(&groups) {
                Some(groups) => state.live.add(&groups),
                None => log::warn!("a second of shard {share} cannot be read; its journal has it"),
            },
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
                match unwritten.map(|text| decoded(&text)) {
                    Some(Some(bytes)) => drop(state.ended.unwritten.insert(shard, bytes)),
                    Some(None) => log::warn!("the journal of shard {share} came in pieces"),
                    None => {}
                }
                if reason == StopReason::NotAuthorised && !state.stopped {
                    state.stop(children, reason, Duration::ZERO).await;
                    children.tell_all(&Order::Abort).await;
                }
            }
            Heard::Report(Report::Failed { message, .. }) => {
                state.ended.lost.insert(shard, message);
            }
            Heard::Report(Report::Ready) => {}
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
async fn next_mark(marking: &mut std::io::Result<Signal>) {
    match marking {
        Ok(marking) => drop(marking.recv().await),
        Err(_) => std::future::pending().await,
    }
}

impl State {
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
    async fn interrupt(&mut self, children: &mut Children, drain: Duration) {
        self.interrupts += 1;
        match self.interrupts {
            1 => {
                tell_interrupt(drain);
                self.stop(children, StopReason::Interrupted, drain).await;
            }
            2 => {
                children.tell_all(&Order::Abort).await;
                self.stuck_at = self.stuck_at.min(self.clock.now() + STUCK_AFTER);
            }
            _ => children.kill(),
        }
    }

    async fn stop(&mut self, children: &mut Children, reason: StopReason, drain: Duration) {
        self.stopped = true;
        children.tell_all(&Order::Stop { reason }).await;
        self.stuck_at = self.stuck_at.min(self.clock.now() + drain + STUCK_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    /// The program of a unit test is no resurge: as a child it ends at once.
    #[test]
    fn shards_that_cannot_begin_are_told_and_gone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("never.toml");
        let text = "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 3\ntoken = { grant = \"none\" }\n";
        fs::write(&file, text).unwrap();
        let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
        let preparation = Preparation {
            version: VERSION,
            scenario: file.clone(),
            hash: "h".into(),
            overrides: Vec::new(),
            seed: None,
            authorised: Vec::new(),
            attempts: false,
            allow_commands: false,
            out: PathBuf::new(),
        };
        let run = SplitRun { of: 3, scenario: &scenario, folder: home.path() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(run.conduct(&preparation, None)).unwrap_err();
        assert!(matches!(error, RunError::Shard { of: 3, exit_code: ExitCode::Unexpected, .. }), "{error}");
        assert!(error.to_string().contains("could not begin: it panicked (exit code 101)"), "{error}");
        let ours = file.to_str().unwrap();
        let is_ours = |process: &fs::DirEntry| {
            let arguments = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            arguments.split('\0').any(|argument| argument == ours)
        };
        let left: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(is_ours).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
