//! A child: runs its share as its parent says.
//!
//! In: orders on standard input. Out: reports on standard output, and a journal in its folder. When its input ends, its parent is gone: it cuts the run off,
//! and goes itself even where that hangs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::engine::{RunControl, StopReason};
use crate::event_loop::single_loop;
use crate::exit_code::ExitCode;
use crate::machine::{mark_this_process, standard_input, standard_output};
use crate::plan::{Share, check_budget};
use crate::record::{JournalError, JournalWriter, Mark, PackedTally, Worker, journal_bytes};
use crate::report::JOURNAL_FILE;
use crate::scenario::{Loaded, ScenarioError, load};

use super::super::conduct::{Beside, conduct};
use super::super::error::RunError;
use super::super::folder::{check_real_folder, make_folder};
use super::super::live::{LiveControl, live_commands};
use super::super::one_process::begin_attempts;
use super::super::prepare::{self, Bound, Consent, Processes};
use super::super::simulate::{Simulation, simulation_of};
use super::channel::{Orders, Voice};
use super::protocol::{Order, Preparation, Report, VERSION, Virtual, encoded, line, packed, read};

/// How long a child without a parent gets to end by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(20);
/// Seconds whose numbers may wait for the parent to read them.
const SECONDS_WAITING: usize = 1_024;
/// The exit code of a child that could not go on, or was left alone.
const ENDED_EARLY: ExitCode = ExitCode::Interrupted;

/// Where a child speaks.
#[derive(Clone)]
struct Output(Arc<Mutex<File>>);

impl Voice for Output {
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
    let out = standard_output()?;
    let voice = Output(Arc::new(Mutex::new(out)));
    let mut orders = Input(BufReader::new(standard_input()?));
    let Some(Order::Prepare(preparation)) = orders.next() else { return Ok(ENDED_EARLY) };
    match run_child(share, &preparation, orders, &voice) {
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

/// Where a child hears.
struct Input(BufReader<File>);

impl Orders for Input {
    fn next(&mut self) -> Option<Order> {
        let mut text = String::new();
        match self.0.read_line(&mut text) {
            Ok(0) | Err(_) => None,
            Ok(_) => read(text.trim_end()),
        }
    }
}

fn run_child(
    share: Share,
    preparation: &Preparation,
    mut orders: impl Orders,
    voice: &impl Voice,
) -> Result<ExitCode, RunError> {
    if let Some(simulated) = &preparation.simulated {
        return simulate_child(share, preparation, simulated, orders, voice);
    }
    let bound = bind(share, preparation)?;
    voice.say(&Report::Ready);
    let Some(Order::Start { unix_us, .. }) = orders.next() else { return Ok(ENDED_EARLY) };
    if let Some(shards) = preparation.out.parent() {
        check_real_folder(shards)?;
    }
    let folder = make_folder(Some(&preparation.out), bound.name(), unix_us)?;
    let run =
        ShareRun { attempts: preparation.attempts, folder, clock: Clock::starting_at(unix_us), worker: None };
    run_bound(bound, &run, orders, voice)?;
    Ok(ExitCode::Pass)
}

/// The same, in virtual time.
fn simulate_child(
    share: Share,
    preparation: &Preparation,
    simulated: &Virtual,
    mut orders: impl Orders,
    voice: &impl Voice,
) -> Result<ExitCode, RunError> {
    let simulation = simulation_of(load_as_parent(preparation)?, simulated.calibrate.as_deref())?
        .starting_at(simulated.start_unix_us)
        .of_share(share);
    voice.say(&Report::Ready);
    let Some(Order::Start { unix_us, .. }) = orders.next() else { return Ok(ENDED_EARLY) };
    if let Some(shards) = preparation.out.parent() {
        check_real_folder(shards)?;
    }
    let folder = make_folder(Some(&preparation.out), &simulation.scenario().name, unix_us)?;
    simulate_share(&simulation, &folder, preparation.attempts, orders, voice)?;
    Ok(ExitCode::Pass)
}

/// Runs a share in virtual time, and tells how it ends.
pub(in super::super) fn simulate_share(
    simulation: &Simulation,
    folder: &Path,
    attempts: bool,
    orders: impl Orders,
    voice: &impl Voice,
) -> Result<(), RunError> {
    // It comes to its end by itself; where nobody wants it any more, the process goes.
    follow_orders(orders, Arc::new(RunControl::new()), None)
        .map_err(|source| RunError::Start { what: "the thread that hears the parent", source })?;
    let (reason, in_memory) = simulation.write_journal(folder, 1, attempts, None)?;
    let unwritten = in_memory
        .as_ref()
        .map(journal_bytes)
        .transpose()
        .map_err(|source| RunError::Start { what: "a journal that could not be written", source })?;
    voice.say(&Report::Done { reason, unwritten: unwritten.map(|bytes| encoded(&bytes)) });
    Ok(())
}

/// A share that is about to start.
pub(in super::super) struct ShareRun {
    /// Whether each attempt is written to `attempts.csv`.
    pub(in super::super) attempts: bool,
    /// Where its journal goes.
    pub(in super::super) folder: PathBuf,
    /// The run's clock.
    pub(in super::super) clock: Clock,
    /// Who runs it, where that is one of several machines.
    pub(in super::super) worker: Option<Worker>,
}

/// Runs a share to its end, as it is told, and tells how it goes. What cannot be written is told too.
pub(in super::super) fn run_bound(
    bound: Bound,
    run: &ShareRun,
    orders: impl Orders,
    voice: &impl Voice,
) -> Result<(), RunError> {
    let mut prepared = bound.begin(run.clock)?;
    prepared.manifest.workers.extend(run.worker.clone());
    let path = run.folder.join(JOURNAL_FILE);
    let journal = JournalWriter::create(&path, &prepared.manifest)
        .map_err(|source| JournalError::Io { path: path.clone(), source })?;
    let attempts = run.attempts.then(|| begin_attempts(&run.folder, &prepared.scenario)).transpose()?;
    let runtime = single_loop().map_err(|source| RunError::Start { what: "the runtime", source })?;
    let control = Arc::new(RunControl::new());
    let (asking, commands) = live_commands();
    follow_orders(orders, Arc::clone(&control), Some(asking))
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
        live: Some(commands),
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
            return Ok(());
        }
    };
    voice.say(&Report::Done { reason: control.reason(), unwritten });
    Ok(())
}

/// The scenario, if it is the one that the parent has read.
fn load_as_parent(preparation: &Preparation) -> Result<Loaded, RunError> {
    let Preparation { version, scenario, hash, overrides, seed, .. } = preparation;
    let mismatch = |what| RunError::Start { what: "a shard", source: io::Error::other(what) };
    if *version != VERSION {
        return Err(mismatch("the program was replaced while it ran; start it again"));
    }
    let loaded = load(scenario, overrides, *seed, &|name| std::env::var(name).ok())?;
    if loaded.hash != *hash {
        return Err(mismatch("the scenario's file has changed meanwhile; start again"));
    }
    Ok(loaded)
}

/// Everything up to the moment of the start.
fn bind(share: Share, preparation: &Preparation) -> Result<Bound, RunError> {
    let Preparation { authorised, allow_commands, .. } = preparation;
    let loaded = load_as_parent(preparation)?;
    let consent = Consent { hosts: authorised, commands: *allow_commands };
    bind_share(loaded, consent, share, Processes(share.of()))
}

/// Everything of a share up to the moment of its start; `processes` of the run share this machine.
pub(in super::super) fn bind_share(
    mut loaded: Loaded,
    consent: Consent<'_>,
    share: Share,
    processes: Processes,
) -> Result<Bound, RunError> {
    // What ends the run early is judged by who leads it, over all shards.
    for threshold in &mut loaded.scenario.thresholds {
        threshold.abort_after = None;
    }
    let (checked, machine) = prepare::check(loaded, consent)?;
    let needs = check_budget(&checked.scenario, &machine, share)?;
    checked.bind(needs, share, processes)
}

/// Does what the parent says until its input ends; then there is no parent.
fn follow_orders(
    mut orders: impl Orders,
    control: Arc<RunControl>,
    asking: Option<LiveControl>,
) -> io::Result<()> {
    let follow = move || {
        while let Some(order) = orders.next() {
            match order {
                Order::Stop { reason } => control.stop(reason),
                Order::Abort => {
                    control.stop(StopReason::Interrupted);
                    control.abort();
                }
                Order::Mark => mark_this_process(),
                Order::Storm { number, fraction } => match &asking {
                    Some(asking) => asking.pass_on(number, fraction),
                    None => log::debug!("a storm by hand in virtual time"),
                },
                Order::Prepare(_) | Order::Start { .. } => log::debug!("an order that comes too late"),
                Order::Resend { .. } | Order::Seen => {
                    log::debug!("an order for those whose journals go out in pieces");
                }
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
fn tell_seconds(seconds: Receiver<(u64, Vec<PackedTally>)>, voice: impl Voice) -> io::Result<JoinHandle<()>> {
    let tell = move || {
        for (_, groups) in seconds {
            voice.say(&Report::Second { groups: packed(&groups) });
        }
    };
    std::thread::Builder::new().name("seconds".to_owned()).spawn(tell)
}
