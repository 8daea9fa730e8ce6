//! A worker: takes a share of a run that a coordinator leads over NATS, and runs it.
//!
//! In: the run's name, perhaps which share. Out: a folder with the share's journal, whose copy the coordinator has when this ends. Where NATS is away the run goes on as
//! planned, and what is missing is sent when it is back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;

use crate::clock::{Clock, Moment};
use crate::exit_code::ExitCode;
use crate::machine::StopSignals;
use crate::plan::Share;
use crate::record::Worker;
use crate::scenario::load_text;

use super::super::error::RunError;
use super::super::folder::make_folder;
use super::super::prepare::{Bound, Consent, Processes};
use super::super::shards::{
    Order, Orders as _, Report, ShareRun, Voice as _, bind_share, run_bound, simulate_share,
};
use super::super::simulate::{Simulation, simulation_of};
use super::error::ClusterError;
use super::offset::{Exchange, Offset, best_offset};
use super::parts::Parts;
use super::post::{Post, PostOrders, PostPlace, beat};
use super::request::WorkRequest;
use super::share::{Taken, join};
use super::spec::{RunSpec, Told, here};

/// How often the time is asked for in a row; the best answer counts.
const QUESTIONS: usize = 20;
/// The largest bound of the error of the coordinator's time.
const MOST_UNCERTAIN: Duration = Duration::from_millis(50);
/// How long until a server that is away is tried again.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// How long until the time is asked for again, where it is not known well enough.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// By how much a start may have passed when it is heard of.
const MOST_LATE: Duration = Duration::from_millis(50);
/// How long it may take to tell that a share cannot be run.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Takes a share and runs it; answers with the exit code, and says where its journal is.
///
/// # Errors
/// [`RunError`]: there is no such run, no share is free, or the scenario cannot be run here.
pub fn work(request: &WorkRequest, told: &mut dyn FnMut(&str)) -> Result<ExitCode, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { what: "the runtime", source })?;
    // The post has its own thread and connection; this one is for what comes before.
    let clock = Clock::start();
    let begun = leave_when_told().map_err(|source| RunError::Start { what: "hearing signals", source })?;
    let (spec, place, offset) = runtime.block_on(Box::pin(take_share(request, &clock)))?;
    let share = place.share;
    told(&format!(
        "share {share} of run {}; the coordinator's time is known to {:.2} ms",
        request.run,
        offset.uncertainty.as_secs_f64() * 1e3
    ));
    let parts = if request.is_part { Parts::none() } else { Parts::start(request, &spec, share)? };
    let outcome = work_share(request, &spec, place, (offset, clock, &begun), told);
    let of_parts = parts.wait();
    Ok(outcome?.max_by_gravity(of_parts))
}

/// Has a wish to stop end this process for as long as its share has not begun; answers with what says that it has. Process 1 of a container would not hear of it otherwise.
fn leave_when_told() -> std::io::Result<Arc<AtomicBool>> {
    let has_begun = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&has_begun);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = move || {
        runtime.block_on(async {
            let Ok(mut signals) = StopSignals::listen() else { return };
            signals.next().await;
            if !known.load(Ordering::Relaxed) {
                log::warn!("stopped before the run began");
                std::process::exit(i32::from(ExitCode::Interrupted.number()));
            }
        });
    };
    std::thread::Builder::new().name("until it begins".to_owned()).spawn(listen)?;
    Ok(has_begun)
}

/// A connection to the server, which may come later than its workers.
async fn connect(request: &WorkRequest, clock: &Clock) -> Result<Client, ClusterError> {
    let mut is_told = false;
    loop {
        match Box::pin(request.link.connect(&format!("resurge worker of {}", request.run))).await {
            Err(ClusterError::Away { .. })
                if clock.now().since(Moment::ZERO) + CONNECT_AGAIN < request.wait =>
            {
                if !std::mem::replace(&mut is_told, true) {
                    let (address, most) = (request.link.shown(), request.wait.as_secs());
                    log::warn!("no NATS server answers at {address} yet: it is waited for, {most} s at most");
                }
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Takes a share, and finds out what time it is for its coordinator.
async fn take_share(
    request: &WorkRequest,
    clock: &Clock,
) -> Result<(RunSpec, PostPlace, Offset), ClusterError> {
    let client = Box::pin(connect(request, clock)).await?;
    let context = request.link.jetstream(&client).await?;
    let refused = async |error: &ClusterError| {
        let who = format!("{}: {error}", here());
        let _ = client.publish(request.run.refusals(), who.into()).await;
        let _ = client.flush().await;
    };
    let (spec, Taken { share, epoch }) = match Box::pin(join(request, &client, &context)).await {
        Ok(joined) => joined,
        Err(error) => {
            refused(&error).await;
            return Err(error);
        }
    };
    let (link, run, orphan_grace) = (request.link.clone(), request.run.clone(), request.orphan_grace);
    let lead = spec.lead.clone();
    let place = PostPlace { link, run, lead, share, epoch, orphan_grace };
    // Who gives no sign of life is replaced.
    let beating = tokio::spawn(beat(client.clone(), place.clone()));
    let measured = measure(request, &client, clock).await;
    beating.abort();
    if let Err(error) = &measured {
        refused(error).await;
    }
    measured.map(|offset| (spec, place, offset))
}

/// Runs the share, and has its coordinator know.
fn work_share(
    request: &WorkRequest,
    spec: &RunSpec,
    place: PostPlace,
    time: (Offset, Clock, &AtomicBool),
    told: &mut dyn FnMut(&str),
) -> Result<ExitCode, RunError> {
    let share = place.share;
    let post = Post::open(place).map_err(|source| RunError::Start { what: "the thread of NATS", source })?;
    match run_taken(request, spec, share, time, &post) {
        Ok(folder) => {
            let is_whole = post.close(request.upload_within);
            let folder = folder.display();
            told(&match is_whole {
                true => format!("the coordinator has the journal of share {share}; it is in {folder}"),
                false => format!("the coordinator does not answer: resurge merge takes {folder}"),
            });
            Ok(if is_whole { ExitCode::Pass } else { ExitCode::Incomplete })
        }
        Err(error) => {
            post.voice().say(&Report::Failed { exit_code: error.exit_code(), message: error.to_string() });
            post.close(LAST_WORDS);
            Err(error)
        }
    }
}

/// How far the coordinator's calendar is ahead of this process's monotonic clock.
async fn measure(request: &WorkRequest, client: &Client, clock: &Clock) -> Result<Offset, ClusterError> {
    let now_ns = || i64::try_from(clock.now().as_ns()).unwrap_or(i64::MAX);
    let begun = clock.now();
    let mut best = None;
    loop {
        let mut exchanges = Vec::new();
        for _ in 0..QUESTIONS {
            let asked_ns = now_ns();
            let answer = client.request(request.run.time(), "".into()).await;
            let known_ns = now_ns();
            if let Some(Told { heard_ns, told_ns }) =
                answer.ok().and_then(|answer| serde_json::from_slice(&answer.payload).ok())
            {
                exchanges.push(Exchange { asked_ns, heard_ns, told_ns, known_ns });
            }
        }
        best = best.into_iter().chain(best_offset(&exchanges)).min_by_key(|offset| offset.uncertainty);
        match best {
            Some(offset) if offset.uncertainty <= MOST_UNCERTAIN => return Ok(offset),
            _ if clock.now().since(begun) < request.wait => tokio::time::sleep(ASK_AGAIN).await,
            _ => break,
        }
    }
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Err(match best {
        Some(Offset { uncertainty, .. }) => ClusterError::Uncertain {
            run: request.run.to_string(),
            known_ms: milliseconds(uncertainty),
            most_ms: milliseconds(MOST_UNCERTAIN),
        },
        None => ClusterError::CalledOff { run: request.run.to_string() },
    })
}

/// A share that can be run.
enum Able {
    Real(Box<Bound>),
    Virtual(Box<Simulation>),
}

/// Runs the share; answers with its folder.
fn run_taken(
    request: &WorkRequest,
    spec: &RunSpec,
    share: Share,
    (offset, clock, has_begun): (Offset, Clock, &AtomicBool),
    post: &Post,
) -> Result<PathBuf, RunError> {
    let able = prepare(request, spec, share)?;
    let voice = post.voice();
    voice.say(&Report::Ready);
    let mut orders = post.orders();
    let start = await_start(request, share, &mut orders)?;
    let start_ns = i128::from(start) * 1_000 - i128::from(offset.ahead_ns);
    let origin = Moment::from_ns(u64::try_from(start_ns).unwrap_or(0));
    let late = clock.now().since(origin);
    if late > MOST_LATE && !spec.is_simulated {
        return Err(begun(request, share, late).into());
    }
    let own_unix_us = clock.unix_us(origin);
    let name = format!("{}-{}", spec.scenario, share.shard());
    let folder = make_folder(request.out.as_deref(), &name, start)?;
    post.follow(&folder);
    has_begun.store(true, Ordering::Relaxed);
    match able {
        Able::Virtual(simulation) => {
            simulate_share(&simulation, &folder, spec.attempts, orders, &voice)?;
        }
        Able::Real(bound) => {
            let worker = Worker {
                shard: share.shard(),
                by: here(),
                clock_ahead_us: i64::try_from(i128::from(start) - i128::from(own_unix_us)).unwrap_or(0),
                clock_uncertainty_us: u64::try_from(offset.uncertainty.as_micros()).unwrap_or(u64::MAX),
            };
            let clock = clock.counting_from(origin, start);
            let run =
                ShareRun { attempts: spec.attempts, folder: folder.clone(), clock, worker: Some(worker) };
            run_bound(*bound, &run, orders, &voice)?;
        }
    }
    Ok(folder)
}

fn begun(request: &WorkRequest, share: Share, late: Duration) -> ClusterError {
    let (run, shard, of) = (request.run.to_string(), share.shard(), share.of());
    ClusterError::Begun { run, shard, of, late_s: late.as_secs_f64() }
}

/// When the run starts, in microseconds since 1970 by the coordinator's clock.
fn await_start(request: &WorkRequest, share: Share, orders: &mut PostOrders) -> Result<u64, RunError> {
    loop {
        match orders.next() {
            Some(Order::Start { absent, .. }) if absent.contains(&share.shard()) => {
                return Err(begun(request, share, Duration::ZERO).into());
            }
            Some(Order::Start { unix_us, .. }) => return Ok(unix_us),
            Some(Order::Stop { .. } | Order::Abort) | None => {
                return Err(ClusterError::CalledOff { run: request.run.to_string() }.into());
            }
            Some(_) => {}
        }
    }
}

/// Everything up to the moment of the start.
fn prepare(request: &WorkRequest, spec: &RunSpec, share: Share) -> Result<Able, RunError> {
    let loaded = load_text(&spec.text, &spec.scenario, &|name| std::env::var(name).ok())?;
    if loaded.hash != spec.hash {
        return Err(ClusterError::OtherScenario {
            run: request.run.to_string(),
            theirs: spec.hash.clone(),
            ours: loaded.hash,
        }
        .into());
    }
    if spec.is_simulated {
        let simulation = simulation_of(loaded, None)?.starting_at(spec.virtual_start_unix_us).of_share(share);
        return Ok(Able::Virtual(Box::new(simulation)));
    }
    let consent = Consent { hosts: &request.authorised, commands: request.allow_commands };
    Ok(Able::Real(Box::new(bind_share(loaded, consent, share, Processes(spec.processes))?)))
}
