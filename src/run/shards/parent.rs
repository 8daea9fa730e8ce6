//! The parent of a run's shards: everything but clients.
//!
//! In: what to run and how to split it. Out: a run folder like any other, made from the shards' merged journals; the shards' own lie in `shards/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::{Clock, Moment};
use crate::engine::StopReason;
use crate::plan::{Share, check_split, shards_needed};
use crate::record::{LiveView, Machines, MergeInput, open_journal, plan_merge, read_journal};
use crate::report::{JOURNAL_FILE, RunModel, write_all};
use crate::scenario::load_for_traffic;
use crate::scenario::model::Scenario;

use super::super::folder::make_folder;
use super::super::{OnProgress, RunDone, RunError, RunRequest, check_shards, prepare, warn_of_own_limits};
use super::Split;
use super::children::{Children, Heard};
use super::live::Live;
use super::protocol::{Order, Preparation, Report, VERSION, unpacked};

/// The folder of the shards' own journals, in the run folder.
const SHARDS: &str = "shards";
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
    let (checked, machine) = prepare::check(loaded, &request.authorised)?;
    let of = match split {
        Split::Into(shards) => shards,
        Split::Auto => shards_needed(&checked.scenario, &machine),
        Split::Share(share) => share.of(),
    };
    if of <= 1 {
        return super::super::run(request);
    }
    check_split(&checked.scenario, &machine, of)?;
    if !fs::metadata(&request.scenario).is_ok_and(|found| found.is_file()) {
        return Err(RunError::NoFile { path: request.scenario });
    }
    warn_of_own_limits(&checked.scenario, of);
    let folder =
        make_folder(request.out.as_deref(), &checked.scenario.name, Clock::start().unix_us(Moment::ZERO))?;
    let preparation = Preparation {
        version: VERSION,
        scenario: request.scenario,
        hash: checked.hash().to_owned(),
        overrides: request.overrides,
        seed: request.seed,
        authorised: request.authorised,
        out: PathBuf::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    let run = SplitRun { of, scenario: &checked.scenario, folder: &folder };
    let mut on_progress = request.on_progress;
    match runtime.block_on(run.conduct(&preparation, &mut on_progress)) {
        Ok(lost) => finish(&run, lost, on_progress),
        Err(error) => {
            // It was made for this run, which never was: nothing is in it but what the shards may have begun.
            if let Err(error) = fs::remove_dir_all(&folder) {
                log::warn!("{} is left: {error}", folder.display());
            }
            Err(error)
        }
    }
}

/// Merges the shards' journals, and writes the run folder.
fn finish(
    run: &SplitRun<'_>,
    mut lost: BTreeMap<u32, String>,
    on_progress: Option<OnProgress>,
) -> Result<RunDone, RunError> {
    let mut inputs = Vec::new();
    for share in Share::all(run.of) {
        let journal = run.shard_folder(share).join(JOURNAL_FILE);
        match open_journal(&journal) {
            Ok(_) => inputs.push(MergeInput { name: run.shard_folder(share).display().to_string(), journal }),
            Err(error) => {
                let why = lost.entry(share.shard()).or_insert_with(|| "it left no journal".to_owned());
                log::debug!("shard {share}: {why}: {error}");
            }
        }
    }
    let path = run.folder.join(JOURNAL_FILE);
    plan_merge(&inputs, Machines::One, &lost)?.write(&path)?;
    let model = RunModel::new(read_journal(&path)?);
    if let Some(mut show) = on_progress {
        let second = model.seconds.last().map_or(0, |(second, _)| *second);
        let last =
            model.seconds.last().map(|(_, groups)| groups.iter().map(|group| group.unpack()).collect());
        let totals = model.totals.clone().into();
        show(run.scenario, &LiveView { second, totals, last: std::sync::Arc::new(last.unwrap_or_default()) });
    }
    let write_faults = write_all(&model, run.folder);
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
    /// Why each lost shard was.
    lost: BTreeMap<u32, String>,
    /// Shards that have ended as they should, and those that said why they could not go on.
    done: Vec<Share>,
    running: u32,
    interrupts: u32,
    stopped: bool,
    /// When those that still run are taken for stuck.
    stuck_at: Moment,
}

/// What the user may do.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, RunError> {
        let hear = |kind| signal(kind).map_err(|source| RunError::Start { what: "hearing signals", source });
        Ok(Self { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl SplitRun<'_> {
    fn shard_folder(&self, share: Share) -> PathBuf {
        self.folder.join(SHARDS).join(share.shard().to_string())
    }

    /// Runs the shards to their end; answers with why each lost one was. No child is left, however it ends.
    async fn conduct(
        &self,
        preparation: &Preparation,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<BTreeMap<u32, String>, RunError> {
        let mut signals = Signals::listen()?;
        let folder = self.folder.join(SHARDS);
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
            lost: BTreeMap::new(),
            done: Vec::new(),
            running: self.of,
            interrupts: 0,
            stopped: false,
            stuck_at: Moment::ZERO + self.scenario.duration + self.scenario.drain + STUCK_AFTER,
        };
        let lost = self.accompany(state, &mut children, &mut signals, on_progress).await;
        children.end().await;
        Ok(lost)
    }

    /// Waits until every shard is ready.
    async fn await_ready(&self, children: &mut Children, signals: &mut Signals) -> Result<(), RunError> {
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
                    Some((share, Heard::Gone(how))) => return Err(fault(share, 1, how)),
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
        signals: &mut Signals,
        on_progress: &mut Option<OnProgress>,
    ) -> BTreeMap<u32, String> {
        let mut second = 0;
        while state.running > 0 {
            let show_at = Moment::ZERO + Duration::from_secs(second + 1) + SHOWN_AFTER;
            tokio::select! {
                heard = children.hear() => match heard {
                    Some((share, heard)) => self.take_in(&mut state, children, share, heard).await,
                    None => break,
                },
                () = signals.next() => state.interrupt(children, self.scenario.drain).await,
                () = tokio::time::sleep_until(state.clock.instant(show_at).into()) => {
                    let now = state.clock.now();
                    if let Some(show) = on_progress {
                        show(self.scenario, &state.live.view(second));
                    }
                    second = now.as_second().max(second + 1);
                    let failing = state.live.failing(self.scenario, now).map(|threshold| threshold.source.clone());
                    if let Some(threshold) = failing.filter(|_| !state.stopped) {
                        state.stop(children, StopReason::Threshold { threshold }, self.scenario.drain).await;
                    }
                    if now > state.stuck_at {
                        children.kill();
                    }
                }
            }
        }
        state.lost
    }

    async fn take_in(&self, state: &mut State, children: &mut Children, share: Share, heard: Heard) {
        match heard {
            Heard::Report(Report::Second { groups }) => match unpacked(&groups) {
                Some(groups) => state.live.add(&groups),
                None => log::warn!("a second of shard {share} cannot be read; its journal has it"),
            },
            Heard::Report(Report::Late { by_us }) => {
                log::warn!(
                    "shard {share} began {:.1} ms late: its first clients show it as lag",
                    by_us as f64 / 1e3
                );
            }
            Heard::Report(Report::Done { reason }) => {
                state.done.push(share);
                if reason == StopReason::NotAuthorised && !state.stopped {
                    state.stop(children, reason, Duration::ZERO).await;
                    children.tell_all(&Order::Abort).await;
                }
            }
            Heard::Report(Report::Failed { message, .. }) => {
                state.lost.insert(share.shard(), message);
            }
            Heard::Report(Report::Ready) => {}
            Heard::Gone(how) => {
                state.running -= 1;
                if !state.done.contains(&share) {
                    let stuck = state.clock.now() > state.stuck_at;
                    let how = if stuck {
                        "it did not end when its time was over, and was killed".to_owned()
                    } else {
                        how
                    };
                    let why = state.lost.entry(share.shard()).or_insert(how);
                    log::warn!("shard {share} is lost: {why}. The others go on");
                }
            }
        }
    }
}

impl State {
    /// Once: drain. Twice: cut off. Once more: those that do not even hear that are killed.
    async fn interrupt(&mut self, children: &mut Children, drain: Duration) {
        self.interrupts += 1;
        match self.interrupts {
            1 => self.stop(children, StopReason::Interrupted, drain).await,
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
            out: PathBuf::new(),
        };
        let run = SplitRun { of: 3, scenario: &scenario, folder: home.path() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(run.conduct(&preparation, &mut None)).unwrap_err();
        assert!(matches!(error, RunError::Shard { of: 3, exit_code: 1, .. }), "{error}");
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
