//! A worker: takes a share of a run that a coordinator leads over NATS, and runs it.
//!
//! In: the run's name, perhaps which share. Out: a folder with the share's journal, whose copy the coordinator has when this ends. Where NATS is away the run goes on as
//! planned, and what is missing is sent when it is back.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::kv::Store;

use crate::clock::{Clock, Moment};
use crate::exit_code::ExitCode;
use crate::plan::Share;
use crate::scenario::load_text;

use super::super::error::RunError;
use super::super::folder::make_folder;
use super::super::prepare::{Bound, Consent, Processes};
use super::super::shards::{Order, Orders as _, Report, ShareRun, Voice as _, bind_share, run_bound};
use super::error::ClusterError;
use super::link::ClusterLink;
use super::names::RunName;
use super::offset::{Exchange, Offset, best_offset};
use super::post::{Post, PostPlace};
use super::spec::{Claim, PROTOCOL, RUN_KEY, RunSpec, Told, claim_key, here};

/// How often the run is looked for, while it is not there.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often the time is asked for; the best answer counts.
const QUESTIONS: usize = 20;
/// The largest bound of the error of the coordinator's time.
const MOST_UNCERTAIN: Duration = Duration::from_millis(50);
/// What this program is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct WorkRequest {
    /// The NATS server.
    pub link: ClusterLink,
    /// The run.
    pub run: RunName,
    /// The share, from 1; `None`: a free one.
    pub index: Option<u32>,
    /// Its folder; `None`: one under `reports/`.
    pub out: Option<PathBuf>,
    /// Hosts that the user of this machine authorised.
    pub authorised: Vec<String>,
    /// Whether events may run commands and signal processes here.
    pub allow_commands: bool,
    /// How long the run is waited for.
    pub wait: Duration,
    /// How long the end of the run is waited for where its coordinator is gone.
    pub orphan_grace: Duration,
}

/// A share that was taken.
struct Taken {
    share: Share,
    epoch: u64,
}

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
    let (spec, taken, offset) = runtime.block_on(async {
        let client = Box::pin(request.link.connect(&format!("resurge worker of {}", request.run))).await?;
        let context = request.link.jetstream(&client).await?;
        let joined = Box::pin(join(request, &context)).await;
        if let Err(error) = &joined {
            let who = format!("{}: {error}", here());
            let _ = client.publish(request.run.refusals(), who.into()).await;
            let _ = client.flush().await;
        }
        let (spec, taken) = joined?;
        let offset = measure(request, &client, &clock).await?;
        Ok::<_, ClusterError>((spec, taken, offset))
    })?;
    let (share, of) = (taken.share, taken.share.of());
    told(&format!(
        "share {share} of run {}; the coordinator's time is known to {:.2} ms",
        request.run,
        offset.uncertainty.as_secs_f64() * 1e3
    ));
    let place = PostPlace { link: request.link.clone(), run: request.run.clone(), share, epoch: taken.epoch };
    let post = Post::open(place).map_err(|source| RunError::Start { what: "the thread of NATS", source })?;
    let outcome = run_taken(request, &spec, &taken, offset, clock, &post);
    match outcome {
        Ok(folder) => {
            let is_whole = post.close(request.orphan_grace);
            if is_whole {
                told(&format!(
                    "the coordinator has the journal of share {share} of {of}; it is in {}",
                    folder.display()
                ));
            } else {
                told(&format!("the coordinator does not answer: resurge merge takes {}", folder.display()));
            }
            Ok(if is_whole { ExitCode::Pass } else { ExitCode::Incomplete })
        }
        Err(error) => {
            post.voice().say(&Report::Failed { exit_code: error.exit_code(), message: error.to_string() });
            post.close(Duration::from_secs(5));
            Err(error)
        }
    }
}

/// Finds the run, and takes a share.
async fn join(request: &WorkRequest, context: &Context) -> Result<(RunSpec, Taken), ClusterError> {
    let (store, spec) = find(request, context).await?;
    let run = request.run.to_string();
    if spec.protocol != PROTOCOL || spec.tool_version != VERSION {
        let (theirs, ours) = (spec.tool_version, VERSION.to_owned());
        return Err(ClusterError::OtherVersion { run, theirs, ours });
    }
    let of = spec.workers;
    let shares: Vec<Share> = match request.index {
        Some(index) => {
            vec![Share::new(index, of).ok_or(ClusterError::NoShare { run: run.clone(), shard: index, of })?]
        }
        None => Share::all(of).collect(),
    };
    let claim = serde_json::to_vec(&Claim { by: here() }).unwrap_or_default();
    for share in &shares {
        if let Ok(epoch) = store.create(claim_key(share.shard()), claim.clone().into()).await {
            return Ok((spec, Taken { share: *share, epoch }));
        }
    }
    match shares.as_slice() {
        [share] if request.index.is_some() => {
            let shard = share.shard();
            let found = store.get(claim_key(shard)).await.ok().flatten();
            let by = found.and_then(|value| serde_json::from_slice::<Claim>(&value).ok());
            let by = by.map_or_else(|| "somebody".to_owned(), |claim| claim.by);
            Err(ClusterError::ShareTaken { run, shard, of, by })
        }
        _ => Err(ClusterError::NoneLeft { run, of }),
    }
}

/// The run, once its coordinator has published it.
async fn find(request: &WorkRequest, context: &Context) -> Result<(Store, RunSpec), ClusterError> {
    let look = async {
        loop {
            if let Ok(store) = context.get_key_value(request.run.bucket()).await
                && let Ok(Some(value)) = store.get(RUN_KEY).await
            {
                return (store, value);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let (store, value) = tokio::time::timeout(request.wait, look).await.map_err(|_| ClusterError::NoRun {
        run: request.run.to_string(),
        address: request.link.shown(),
        waited_s: request.wait.as_secs(),
    })?;
    let spec = serde_json::from_slice::<RunSpec>(&value).map_err(|_| ClusterError::OtherVersion {
        run: request.run.to_string(),
        theirs: "of another version".to_owned(),
        ours: VERSION.to_owned(),
    })?;
    Ok((store, spec))
}

/// How far the coordinator's calendar is ahead of this process's monotonic clock.
async fn measure(request: &WorkRequest, client: &Client, clock: &Clock) -> Result<Offset, ClusterError> {
    let now_ns = || i64::try_from(clock.now().as_ns()).unwrap_or(i64::MAX);
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
    let uncertain = |known: Duration| ClusterError::Uncertain {
        run: request.run.to_string(),
        known_ms: u64::try_from(known.as_millis()).unwrap_or(u64::MAX),
        most_ms: u64::try_from(MOST_UNCERTAIN.as_millis()).unwrap_or(u64::MAX),
    };
    match best_offset(&exchanges) {
        Some(offset) if offset.uncertainty <= MOST_UNCERTAIN => Ok(offset),
        Some(offset) => Err(uncertain(offset.uncertainty)),
        None => {
            Err(ClusterError::Failed { what: "the coordinator's time", why: "it was not told".to_owned() })
        }
    }
}

/// Runs the share; answers with its folder.
fn run_taken(
    request: &WorkRequest,
    spec: &RunSpec,
    taken: &Taken,
    offset: Offset,
    clock: Clock,
    post: &Post,
) -> Result<PathBuf, RunError> {
    let bound = bind(request, spec, taken.share)?;
    let voice = post.voice();
    voice.say(&Report::Ready);
    let mut orders = post.orders();
    let start = loop {
        match orders.next() {
            Some(Order::Start { unix_us }) => break unix_us,
            Some(Order::Stop { .. } | Order::Abort) | None => return Err(RunError::Interrupted),
            Some(_) => {}
        }
    };
    let start_ns = i128::from(start) * 1_000 - i128::from(offset.ahead_ns);
    let origin = Moment::from_ns(u64::try_from(start_ns).unwrap_or(0));
    let clock = clock.counting_from(origin, start);
    let out = request.out.clone();
    let name = format!("{}-{}", spec.scenario, taken.share.shard());
    let folder = make_folder(out.as_deref(), &name, start)?;
    post.follow(&folder);
    let run = ShareRun { attempts: spec.attempts, folder: folder.clone(), clock };
    run_bound(bound, &run, orders, &voice)?;
    Ok(folder)
}

/// Everything up to the moment of the start.
fn bind(request: &WorkRequest, spec: &RunSpec, share: Share) -> Result<Bound, RunError> {
    let loaded = load_text(&spec.text, &spec.scenario, &|name| std::env::var(name).ok())?;
    if loaded.hash != spec.hash {
        return Err(ClusterError::OtherScenario {
            run: request.run.to_string(),
            theirs: spec.hash.clone(),
            ours: loaded.hash,
        }
        .into());
    }
    let consent = Consent { hosts: &request.authorised, commands: request.allow_commands };
    bind_share(loaded, consent, share, Processes::ONE)
}
