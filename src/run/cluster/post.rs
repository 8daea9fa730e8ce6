//! A worker's post: reports and the journal go to the coordinator, orders come from it.
//!
//! In: reports, the file that the journal grows in. Out: messages that are sent until the server has kept them, again from wherever the coordinator misses some; signs of
//! life; orders. On a thread of its own with a connection of its own: neither a slow server nor one that is away holds up a client.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::kv::Store;
use async_nats::{Client, HeaderMap};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::engine::StopReason;
use crate::plan::Share;
use crate::report::JOURNAL_FILE;

use super::super::shards::{Order, Orders, Report, Voice};
use super::error::ClusterError;
use super::link::ClusterLink;
use super::names::RunName;
use super::seal::sha256_of;
use super::spec::{AT, EPOCH, Given, RETRY, order_keys};

/// How often a sign of life is given.
const BEAT: Duration = Duration::from_secs(1);
/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The most bytes of a journal in a message: half of what a server takes.
const MOST_BYTES: usize = 512 * 1024;
/// Bytes of a message beside its payload, at most.
const HEADERS: usize = 4 * 1024;
/// How many reports, and orders, may wait.
const WAITING: usize = 256;
/// How long a run that has not begun may be without its coordinator.
const LEADERLESS: Duration = Duration::from_secs(60);

/// Where a worker's post goes.
#[derive(Debug, Clone)]
pub(super) struct PostPlace {
    pub(super) link: ClusterLink,
    pub(super) run: RunName,
    /// Whose orders count.
    pub(super) lead: String,
    pub(super) share: Share,
    pub(super) epoch: u64,
    /// How long the run goes on without its coordinator; `None`: to its planned end.
    pub(super) orphan_grace: Option<Duration>,
}

/// The post of a worker.
pub(super) struct Post {
    say: mpsc::Sender<Report>,
    orders: Mutex<Option<Receiver<Order>>>,
    /// The folder of the journal, once there is one.
    folder: watch::Sender<Option<PathBuf>>,
    /// How long the coordinator may take for the rest, once nothing more is to come.
    closing: watch::Sender<Option<Duration>>,
    thread: Mutex<Option<std::thread::JoinHandle<bool>>>,
}

/// What a worker says.
#[derive(Clone)]
pub(super) struct PostVoice(mpsc::Sender<Report>);

impl Voice for PostVoice {
    fn say(&self, report: &Report) {
        // Seconds and marks are in the journal, whose copy goes out.
        if matches!(report, Report::Second { .. } | Report::Mark { .. }) {
            return;
        }
        if self.0.try_send(report.clone()).is_err() {
            log::warn!("the coordinator is not told: too much waits for it");
        }
    }
}

/// What a worker is told.
pub(super) struct PostOrders(Option<Receiver<Order>>);

impl Orders for PostOrders {
    fn next(&mut self) -> Option<Order> {
        self.0.as_ref()?.recv().ok()
    }
}

impl Post {
    /// Opens it.
    ///
    /// # Errors
    /// There is no thread, or no runtime.
    pub(super) fn open(place: PostPlace) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (say, reports) = mpsc::channel(WAITING);
        let (give, orders) = sync_channel(WAITING);
        let (folder, followed) = watch::channel(None);
        let (closing, closed) = watch::channel(None);
        let carry = move || {
            let carried = runtime.block_on(carry(place, reports, give, followed, closed));
            carried.unwrap_or_else(|error| {
                log::warn!("{error}");
                false
            })
        };
        let thread = std::thread::Builder::new().name("post".to_owned()).spawn(carry)?;
        let (orders, thread) = (Mutex::new(Some(orders)), Mutex::new(Some(thread)));
        Ok(Self { say, orders, folder, closing, thread })
    }

    /// Where to speak.
    pub(super) fn voice(&self) -> PostVoice {
        PostVoice(self.say.clone())
    }

    /// Where to hear; whoever asks first has them.
    pub(super) fn orders(&self) -> PostOrders {
        PostOrders(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// Sends the journal that grows in `folder` from now on.
    pub(super) fn follow(&self, folder: &Path) {
        self.folder.send_replace(Some(folder.to_owned()));
    }

    /// Nothing more is to come: sends what is left. Answers whether the coordinator has all of it, for which it has `grace`.
    pub(super) fn close(&self, grace: Duration) -> bool {
        self.closing.send_replace(Some(grace));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has said so.
        thread.is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

/// What the coordinator has asked the post itself for.
#[derive(Debug, Default)]
struct Asked {
    /// From where on bytes of the journal are missing.
    missing: Option<u64>,
    /// It has all of it.
    is_seen: bool,
}

/// Carries the post until it is closed; answers whether the coordinator has all.
async fn carry(
    place: PostPlace,
    reports: mpsc::Receiver<Report>,
    give: SyncSender<Order>,
    folder: watch::Receiver<Option<PathBuf>>,
    mut closed: watch::Receiver<Option<Duration>>,
) -> Result<bool, ClusterError> {
    let name = format!("resurge worker {} of {}", place.share, place.run);
    let grace = async {
        let grace = closed.wait_for(Option::is_some).await.ok().and_then(|grace| *grace).unwrap_or_default();
        tokio::time::sleep(grace).await;
    };
    let working = async {
        let connections = watch::Sender::new(0);
        let connected = connections.subscribe();
        let (client, context, store) = Box::pin(open_run(&place, &name, connections)).await;
        let asked = Arc::new(Mutex::new(Asked::default()));
        let own = place.share.shard();
        let most_bytes = client.server_info().max_payload.saturating_sub(HEADERS).clamp(1, MOST_BYTES);
        let aside = [
            tokio::spawn(beat(client.clone(), place.clone())),
            tokio::spawn(hear_orders(
                store.clone(),
                place.lead.clone(),
                None,
                give.clone(),
                Arc::clone(&asked),
                connected.clone(),
            )),
            tokio::spawn(hear_orders(
                store,
                place.lead.clone(),
                Some(own),
                give.clone(),
                Arc::clone(&asked),
                connected,
            )),
            tokio::spawn(watch_leader(client, place.clone(), folder.clone(), give)),
        ];
        let (queue, sent, ended, is_refused) = (VecDeque::new(), 0, None, AtomicBool::new(false));
        let sender = Sender { context, place, folder, asked, queue, sent, ended, most_bytes, is_refused };
        sender.send_all(reports).await;
        aside.iter().for_each(JoinHandle::abort);
    };
    tokio::select! {
        () = working => Ok(true),
        () = grace => Ok(false),
    }
}

/// The connection, and the run's store: until they are there.
async fn open_run(
    place: &PostPlace,
    name: &str,
    connections: watch::Sender<u64>,
) -> (Client, Context, Store) {
    loop {
        match Box::pin(place.link.connect_telling(name, connections.clone())).await {
            Ok(client) => {
                let context = async_nats::jetstream::new(client.clone());
                match context.get_key_value(place.run.bucket()).await {
                    Ok(store) => return (client, context, store),
                    Err(error) => log::debug!("the run's key-value store: {error}"),
                }
            }
            Err(error) => log::debug!("{error}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Gives signs of life.
pub(super) async fn beat(client: Client, place: PostPlace) {
    let (subject, epoch) = (place.run.beat(place.share.shard()), place.epoch.to_string());
    let mut every = tokio::time::interval(BEAT);
    loop {
        every.tick().await;
        let _ = client.publish(subject.clone(), epoch.clone().into()).await;
    }
}

/// Hears whether there is a coordinator. Without one, a run that has not begun does not; one that has goes on, unless it was told for how long.
async fn watch_leader(
    client: Client,
    place: PostPlace,
    folder: watch::Receiver<Option<PathBuf>>,
    give: SyncSender<Order>,
) {
    let clock = Clock::start();
    let mut heard = clock.now();
    loop {
        let Ok(mut beats) = client.subscribe(place.run.lead()).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        loop {
            let has_begun = folder.borrow().is_some();
            match tokio::time::timeout(BEAT, beats.next()).await {
                Ok(Some(_)) => heard = clock.now(),
                Ok(None) => break,
                Err(_) => {}
            }
            let patience = if has_begun { place.orphan_grace } else { Some(LEADERLESS) };
            let silence = clock.now().since(heard);
            if patience.is_some_and(|patience| silence > patience) {
                let seconds = silence.as_secs();
                log::warn!(
                    "nothing was heard of the coordinator for {seconds} s: share {} stops",
                    place.share
                );
                // Whoever has stopped listening is on its way out.
                let _ = give.try_send(Order::Stop { reason: StopReason::Interrupted });
                return;
            }
        }
    }
}

/// Hears orders of one kind, each once and in order. A server that was away has forgotten who listens: it is told anew at each connection.
async fn hear_orders(
    store: Store,
    lead: String,
    to: Option<u32>,
    give: SyncSender<Order>,
    asked: Arc<Mutex<Asked>>,
    mut connected: watch::Receiver<u64>,
) {
    let (mut last, mut is_told) = (String::new(), false);
    loop {
        connected.mark_unchanged();
        if let Ok(mut orders) = store.watch_with_history(order_keys(to)).await {
            loop {
                let entry = tokio::select! {
                    entry = orders.next() => entry,
                    Ok(()) = connected.changed() => break,
                };
                let Some(Ok(entry)) = entry else { break };
                if entry.key <= last {
                    continue;
                }
                let given = serde_json::from_slice::<Given>(&entry.value);
                let Some(Given { order, .. }) = given.ok().filter(|given| given.lead == lead) else {
                    if !std::mem::replace(&mut is_told, true) {
                        log::warn!("an order that is not the coordinator's does not count");
                    }
                    continue;
                };
                last = entry.key;
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                match order {
                    Order::Resend { from } => asked.missing = Some(from),
                    Order::Seen => asked.is_seen = true,
                    // Whoever has stopped listening is on its way out.
                    order => drop(give.try_send(order)),
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Who sends reports and the journal, in order.
struct Sender {
    context: Context,
    place: PostPlace,
    folder: watch::Receiver<Option<PathBuf>>,
    asked: Arc<Mutex<Asked>>,
    queue: VecDeque<Report>,
    /// How many bytes of the journal the server has.
    sent: u64,
    /// Why the run has ended, once it has; and whether the journal's seal went out.
    ended: Option<(StopReason, bool)>,
    /// The most bytes of a journal in a message of this server.
    most_bytes: usize,
    /// It was told that the server does not keep what it is given.
    is_refused: AtomicBool,
}

impl Sender {
    /// Until the coordinator has all of it.
    async fn send_all(mut self, mut reports: mpsc::Receiver<Report>) {
        let mut every = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                report = reports.recv(), if !reports.is_closed() || !reports.is_empty() => self.queue.extend(report),
                _ = every.tick() => {}
            }
            while let Some(report) = self.queue.pop_front() {
                match report {
                    Report::Done { reason, unwritten } => {
                        self.ended = Some((reason, false));
                        if unwritten.is_some() {
                            log::warn!(
                                "the journal could not be written to its end: the coordinator has what was"
                            );
                        }
                    }
                    report => self.publish(None, serde_json::to_vec(&report).unwrap_or_default()).await,
                }
            }
            self.send_journal().await;
            let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
            if asked.is_seen {
                return;
            }
            if let Some(from) = asked.missing {
                self.sent = self.sent.min(from);
                if let Some((_, is_out)) = &mut self.ended {
                    *is_out = false;
                }
            }
        }
    }

    /// Sends what the journal has grown by, and its seal behind the last of it.
    async fn send_journal(&mut self) {
        let Some(path) = self.folder.borrow().as_ref().map(|folder| folder.join(JOURNAL_FILE)) else {
            return;
        };
        loop {
            match piece(&path, self.sent, self.most_bytes) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => {
                    let length = bytes.len() as u64;
                    self.publish(Some(self.sent), bytes).await;
                    self.sent += length;
                }
                Err(error) => {
                    log::debug!("{}: {error}", path.display());
                    return;
                }
            }
        }
        if let Some((reason, false)) = self.ended.clone() {
            let sha256 = match sha256_of(&path) {
                Ok(sha256) => sha256,
                Err(error) => {
                    log::debug!("{}: {error}", path.display());
                    return;
                }
            };
            let sealed = Report::Sealed { length: self.sent, sha256, reason: reason.clone() };
            self.publish(None, serde_json::to_vec(&sealed).unwrap_or_default()).await;
            self.ended = Some((reason, true));
        }
    }

    /// Until the server has kept it.
    async fn publish(&self, at: Option<u64>, payload: Vec<u8>) {
        let subject = self.place.run.report(self.place.share.shard());
        let mut headers = HeaderMap::new();
        headers.insert(EPOCH, self.place.epoch.to_string());
        if let Some(at) = at {
            headers.insert(AT, at.to_string());
        }
        let payload = bytes::Bytes::from(payload);
        loop {
            let kept = match self
                .context
                .publish_with_headers(subject.clone(), headers.clone(), payload.clone())
                .await
            {
                Ok(kept) => kept.await.map(drop),
                Err(error) => Err(error),
            };
            match kept {
                Ok(()) => {
                    if self.is_refused.swap(false, Ordering::Relaxed) {
                        log::warn!("the NATS server keeps reports again");
                    }
                    return;
                }
                Err(error) => {
                    log::debug!("a report is not out yet: {error}");
                    // A server that is away says nothing; one that says no is full, or does not let us.
                    let says_no =
                        matches!(error.kind(), PublishErrorKind::Other | PublishErrorKind::StreamNotFound);
                    if says_no && !self.is_refused.swap(true, Ordering::Relaxed) {
                        log::warn!(
                            "the NATS server does not keep what share {} reports ({error}): it is tried again, and the journal here is whole",
                            self.place.share
                        );
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What stands in a file from there on, up to a message full.
fn piece(path: &Path, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
