//! A child: runs its share as its parent says.
//!
//! In: orders on standard input. Out: reports on standard output, and a journal in its folder. When its input ends, its parent is gone: it cuts the run off,
//! and goes itself even where that hangs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};

use crate::clock::{Clock, Moment};
use crate::engine::{RunControl, StopReason};
use crate::event_loop::single_loop;
use crate::exit_code::ExitCode;
use crate::plan::{Share, check_budget};
use crate::record::{JournalError, JournalWriter, Mark, PackedTally, journal_bytes};
use crate::report::JOURNAL_FILE;
use crate::scenario::{ScenarioError, load};

use super::super::conduct::{Beside, conduct};
use super::super::error::RunError;
use super::super::folder::{check_real_folder, make_folder};
use super::super::one_process::begin_attempts;
use super::super::prepare::{self, Bound, Consent, Processes};
use super::protocol::{Order, Preparation, Report, VERSION, encoded, line, packed, read};

/// How long a child without a parent gets to end by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(20);
/// Seconds whose numbers may wait for the parent to read them.
const SECONDS_WAITING: usize = 1_024;
/// The exit code of a child that could not go on, or was left alone.
const ENDED_EARLY: ExitCode = ExitCode::Interrupted;

/// Where a child speaks.
#[derive(Clone)]
struct Voice(Arc<Mutex<File>>);

impl Voice {
    /// A parent that does not listen any more is told nothing.
    fn say(&self, report: &Report) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = out.write_all(line(report).as_bytes()).and_then(|()| out.flush());
        if let Err(error) = said {
            log::debug!("the parent cannot be told: {error}");
        }
    }
}

/// Runs `share` as the parent at the other end of standard input and output says; answers with the exit code.
///
/// # Errors
/// Standard output cannot be used, or there is no thread.
pub fn obey_parent(share: Share) -> io::Result<ExitCode> {
    // Its own handle: the command line holds the usual one.
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let voice = Voice(Arc::new(Mutex::new(out)));
    let mut input = BufReader::new(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    let Some(Order::Prepare(preparation)) = next_order(&mut input) else { return Ok(ENDED_EARLY) };
    match run_child(share, &preparation, input, &voice) {
        Ok(code) => Ok(code),
        Err(error) => {
            let message = match &error {
                RunError::Scenario(ScenarioError::Faults(faults)) => faults.render(false),
                error => error.to_string(),
            };
            voice.say(&Report::Failed { exit_code: error.exit_code(), message });
            Ok(error.exit_code())
        }
    }
}

fn next_order(input: &mut impl BufRead) -> Option<Order> {
    let mut text = String::new();
    match input.read_line(&mut text) {
        Ok(0) | Err(_) => None,
        Ok(_) => read(text.trim_end()),
    }
}

fn run_child(
    share: Share,
    preparation: &Preparation,
    mut input: BufReader<File>,
    voice: &Voice,
) -> Result<ExitCode, RunError> {
    let bound = bind(share, preparation)?;
    voice.say(&Report::Ready);
    let Some(Order::Start { unix_us }) = next_order(&mut input) else { return Ok(ENDED_EARLY) };
    let clock = Clock::starting_at(unix_us);
    let prepared = bound.begin(clock)?;
    if let Some(shards) = preparation.out.parent() {
        check_real_folder(shards)?;
    }
    let folder = make_folder(Some(&preparation.out), &prepared.scenario.name, unix_us)?;
    let path = folder.join(JOURNAL_FILE);
    let journal = JournalWriter::create(&path, &prepared.manifest)
        .map_err(|source| JournalError::Io { path: path.clone(), source })?;
    let attempts = preparation.attempts.then(|| begin_attempts(&folder, &prepared.scenario)).transpose()?;
    let runtime = single_loop().map_err(|source| RunError::Start { what: "the runtime", source })?;
    let control = Arc::new(RunControl::new());
    follow_orders(input, Arc::clone(&control))
        .map_err(|source| RunError::Start { what: "the thread that hears the parent", source })?;
    let (feed, seconds) = sync_channel(SECONDS_WAITING);
    let telling = tell_seconds(seconds, voice.clone())
        .map_err(|source| RunError::Start { what: "the thread that tells the parent", source })?;
    let teller = voice.clone();
    let on_ready = move |ready: Moment| {
        if ready > Moment::ZERO {
            teller.say(&Report::Late { by_us: ready.as_us() });
        }
    };
    let marker = voice.clone();
    let on_mark = move |mark: &Mark| marker.say(&Report::Mark { mark: Box::new(mark.clone()) });
    let beside = Beside {
        on_progress: None,
        feed: Some(feed),
        attempts,
        control: Arc::clone(&control),
        on_ready: Some(Box::new(on_ready)),
        on_mark: Some(Box::new(on_mark)),
    };
    let conducted = runtime.block_on(conduct(Arc::new(prepared), journal, beside))?;
    runtime.shutdown_background();
    // A thread that panicked has said so.
    let _ = telling.join();
    let unwritten = match conducted.in_memory.as_ref().map(journal_bytes) {
        None => None,
        Some(Ok(bytes)) => Some(encoded(&bytes)),
        Some(Err(error)) => {
            let message = format!("{} could not be written to its end: {error}", path.display());
            voice.say(&Report::Failed { exit_code: ExitCode::Unexpected, message });
            return Ok(ExitCode::Pass);
        }
    };
    voice.say(&Report::Done { reason: control.reason(), unwritten });
    Ok(ExitCode::Pass)
}

/// Everything up to the moment of the start.
fn bind(share: Share, preparation: &Preparation) -> Result<Bound, RunError> {
    let Preparation { version, scenario, hash, overrides, seed, authorised, allow_commands, .. } =
        preparation;
    let mismatch = |what| RunError::Start { what: "a shard", source: io::Error::other(what) };
    if *version != VERSION {
        return Err(mismatch("the program was replaced while it ran; start it again"));
    }
    let mut loaded = load(scenario, overrides, *seed, &|name| std::env::var(name).ok())?;
    // What ends the run early is judged by the parent, over all shards.
    for threshold in &mut loaded.scenario.thresholds {
        threshold.abort_after = None;
    }
    let (checked, machine) =
        prepare::check(loaded, Consent { hosts: authorised, commands: *allow_commands })?;
    if checked.hash() != hash {
        return Err(mismatch("the scenario's file has changed meanwhile; start again"));
    }
    let needs = check_budget(&checked.scenario, &machine, share)?;
    checked.bind(needs, share, Processes(share.of()))
}

/// Does what the parent says until its input ends; then there is no parent.
fn follow_orders(mut input: BufReader<File>, control: Arc<RunControl>) -> io::Result<()> {
    let follow = move || {
        while let Some(order) = next_order(&mut input) {
            match order {
                Order::Stop { reason } => control.stop(reason),
                Order::Abort => {
                    control.stop(StopReason::Interrupted);
                    control.abort();
                }
                Order::Mark => {
                    if let Err(error) = raise(Signal::SIGUSR1) {
                        log::debug!("this process cannot signal itself: {error}");
                    }
                }
                Order::Prepare(_) | Order::Start { .. } => log::debug!("an order that comes too late"),
            }
        }
        control.stop(StopReason::Interrupted);
        control.abort();
        std::thread::sleep(ORPHAN_GRACE);
        std::process::exit(i32::from(ENDED_EARLY.number()));
    };
    std::thread::Builder::new().name("orders".to_owned()).spawn(follow).map(drop)
}

/// Tells the parent each second's numbers, on a thread of its own: a parent that reads slowly must not hold up a client.
fn tell_seconds(seconds: Receiver<(u64, Vec<PackedTally>)>, voice: Voice) -> io::Result<JoinHandle<()>> {
    let tell = move || {
        for (_, groups) in seconds {
            voice.say(&Report::Second { groups: packed(&groups) });
        }
    };
    std::thread::Builder::new().name("seconds".to_owned()).spawn(tell)
}
