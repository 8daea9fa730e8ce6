//! The coordinator's side of NATS: orders go out, and what the workers tell becomes what is heard of their shares.
//!
//! In: orders; reports and pieces of journals from the run's stream, signs of life, questions for the time. Out: what is heard, and a copy of each worker's journal in
//! its share's folder. What comes twice, from a worker that was replaced, or from a stranger, is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{Context, Message};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::engine::StopReason;
use crate::plan::Share;
use crate::record::{JournalCopy, Note, Piece, Told as Entry};
use crate::report::JOURNAL_FILE;

use super::super::shards::{Channel, Heard, Order, Patience, Report};
use super::error::ClusterError;
use super::link::ClusterLink;
use super::names::{RunName, shard_of};
use super::spec::{AT, Addressed, Claim, EPOCH, RUN_KEY, RunSpec, Told, claim_key, order_key};

/// How long what a run has left on the server stays there where nobody takes it away.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long until something is tried again.
const RETRY: Duration = Duration::from_millis(300);
/// How long a worker may give no sign of life until that is told, and until nobody waits for it.
const SUSPECT_AFTER: Duration = Duration::from_secs(3);
const LOST_AFTER: Duration = Duration::from_secs(10);
/// How many things may wait to be heard.
const WAITING: usize = 1_024;

/// All workers of a run.
pub(super) struct Remote {
    context: Context,
    name: RunName,
    store: Store,
    orders: u64,
    heard: mpsc::Receiver<(Share, Heard)>,
    kill: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    client: Client,
}

fn failed<E: ToString>(what: &'static str) -> impl Fn(E) -> ClusterError {
    move |error| ClusterError::Failed { what, why: error.to_string() }
}

impl Remote {
    /// Publishes the run, and hears its workers from then on; copies of their journals go to `folders`, by share.
    ///
    /// # Errors
    /// NATS is away, does not let us in, or keeps nothing; the name was used.
    pub(super) async fn open(
        link: &ClusterLink,
        name: &RunName,
        spec: &RunSpec,
        folders: BTreeMap<u32, PathBuf>,
    ) -> Result<Self, ClusterError> {
        let client = Box::pin(link.connect(&format!("resurge coordinator of {name}"))).await?;
        let context = link.jetstream(&client).await?;
        let store = make_store(&context, name).await?;
        let value = serde_json::to_vec(spec).unwrap_or_default();
        if store.create(RUN_KEY, value.into()).await.is_err() {
            let by = match store.get(RUN_KEY).await.map_err(failed("the run's key"))? {
                Some(value) => serde_json::from_slice::<RunSpec>(&value)
                    .map_or_else(|_| "another version".to_owned(), |spec| spec.by),
                None => "somebody".to_owned(),
            };
            return Err(ClusterError::NameUsed { run: name.to_string(), by });
        }
        let stream = context
            .create_stream(Config {
                name: name.stream(),
                subjects: vec![name.reports()],
                retention: RetentionPolicy::WorkQueue,
                max_age: KEPT,
                ..Config::default()
            })
            .await
            .map_err(failed("the run's stream"))?;
        let reports: PullConsumer = stream
            .create_consumer(pull::Config {
                durable_name: Some("coordinator".to_owned()),
                ack_policy: AckPolicy::Explicit,
                ..pull::Config::default()
            })
            .await
            .map_err(failed("the stream's consumer"))?;
        let (sender, heard) = mpsc::channel(WAITING);
        let (kill, killed) = watch::channel(false);
        let desk = Desk {
            store: store.clone(),
            of: spec.workers,
            hash: spec.hash.clone(),
            folders,
            copies: BTreeMap::new(),
            epochs: BTreeMap::new(),
            refused: BTreeSet::new(),
            sealed: BTreeMap::new(),
            sender: sender.clone(),
        };
        let tasks = vec![
            tokio::spawn(hear_reports(reports, desk)),
            tokio::spawn(hear_beats(client.clone(), name.clone(), spec.workers, sender.clone())),
            tokio::spawn(tell_time(client.clone(), name.clone())),
            tokio::spawn(hear_refusals(client.clone(), name.clone())),
            tokio::spawn(give_up(killed, spec.workers, sender)),
        ];
        client.flush().await.map_err(failed("the subscriptions"))?;
        Ok(Self { context, name: name.clone(), store, orders: 0, heard, kill, tasks, client })
    }

    /// Takes everything of the run off the server.
    pub(super) async fn clear(context: &Context, name: &RunName) {
        for stream in [name.stream(), format!("KV_{}", name.bucket())] {
            if let Err(error) = context.delete_stream(&stream).await {
                log::warn!("{stream} is left on the NATS server: {error}");
            }
        }
    }
}

/// The run's key-value store. Made as the stream behind it, for older servers leave out fields of the answer that a client expects.
async fn make_store(context: &Context, name: &RunName) -> Result<Store, ClusterError> {
    let bucket = name.bucket();
    context
        .create_stream(Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            max_age: KEPT,
            num_replicas: 1,
            ..Config::default()
        })
        .await
        .map_err(failed("the run's key-value store"))?;
    context.get_key_value(bucket).await.map_err(failed("the run's key-value store"))
}

impl Channel for Remote {
    async fn tell(&mut self, share: Share, order: &Order) {
        self.publish(Some(share.shard()), order).await;
    }

    async fn tell_all(&mut self, order: &Order) {
        self.publish(None, order).await;
    }

    async fn hear(&mut self) -> Option<(Share, Heard)> {
        self.heard.recv().await
    }

    fn patience(&self) -> Patience {
        Patience {
            silent_after: SUSPECT_AFTER,
            silent_at_the_end: SUSPECT_AFTER,
            lost_after: Some(LOST_AFTER),
        }
    }

    fn is_deaf(&self) -> bool {
        self.client.connection_state() != async_nats::connection::State::Connected
    }

    fn kill(&self) {
        self.kill.send_replace(true);
    }

    async fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        Self::clear(&self.context, &self.name).await;
    }
}

impl Remote {
    /// Until it is there: an order is never lost for a server that is away for a while.
    async fn publish(&mut self, to: Option<u32>, order: &Order) {
        self.orders += 1;
        publish_order(&self.store, self.orders, to, order).await;
    }
}

async fn publish_order(store: &Store, number: u64, to: Option<u32>, order: &Order) {
    let value = serde_json::to_vec(&Addressed { to, order: order.clone() }).unwrap_or_default();
    let put = async {
        while let Err(error) = store.put(order_key(number), value.clone().into()).await {
            log::debug!("an order is not out yet: {error}");
            tokio::time::sleep(RETRY).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), put).await.is_err() {
        log::warn!("an order could not be given: NATS is away");
    }
}

/// Who takes in what the workers tell.
struct Desk {
    store: Store,
    of: u32,
    hash: String,
    folders: BTreeMap<u32, PathBuf>,
    copies: BTreeMap<u32, (JournalCopy, File)>,
    /// The epoch in which each share was taken.
    epochs: BTreeMap<u32, u64>,
    /// Of whom it was told that he does not count.
    refused: BTreeSet<String>,
    /// How long the journals are that were sealed, and why their shares ended.
    sealed: BTreeMap<u32, (u64, StopReason)>,
    sender: mpsc::Sender<(Share, Heard)>,
}

/// Takes in reports for as long as there is a run.
async fn hear_reports(consumer: PullConsumer, mut desk: Desk) {
    loop {
        if let Ok(mut messages) = consumer.messages().await {
            while let Some(message) = messages.next().await {
                match message {
                    Ok(message) => {
                        desk.take(&message).await;
                        // One that could not be acknowledged comes again, and is known then.
                        let _ = message.ack().await;
                    }
                    Err(error) => log::debug!("the stream of reports: {error}"),
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Desk {
    async fn take(&mut self, message: &Message) {
        let shard = shard_of(&message.subject);
        let number = |name: &str| message.headers.as_ref()?.get(name)?.as_str().parse::<u64>().ok();
        let Some(share) = shard.and_then(|shard| Share::new(shard, self.of)) else {
            return self.refuse(&message.subject, "there is no such share");
        };
        let Some(epoch) = number(EPOCH) else { return self.refuse(&message.subject, "it says no epoch") };
        match self.epoch_of(share.shard()).await {
            Some(current) if current == epoch => {}
            _ => {
                return self
                    .refuse(&format!("{} in epoch {epoch}", message.subject), "it has not taken that share");
            }
        }
        match number(AT) {
            Some(at) => self.take_piece(share, at, &message.payload).await,
            None => match serde_json::from_slice::<Report>(&message.payload) {
                Ok(report) => self.take_report(share, report).await,
                Err(_) => self.refuse(&message.subject, "it says what is no report"),
            },
        }
    }

    /// Says once of whom, and why, what he tells does not count.
    fn refuse(&mut self, who: &str, why: &str) {
        if self.refused.len() < 1_000 && self.refused.insert(format!("{who}: {why}")) {
            log::warn!("what comes from {who} does not count: {why}");
        }
    }

    async fn epoch_of(&mut self, shard: u32) -> Option<u64> {
        if let Some(epoch) = self.epochs.get(&shard) {
            return Some(*epoch);
        }
        let entry = self.store.entry(claim_key(shard)).await.ok().flatten()?;
        serde_json::from_slice::<Claim>(&entry.value).ok()?;
        self.epochs.insert(shard, entry.revision);
        Some(entry.revision)
    }

    async fn take_piece(&mut self, share: Share, at: u64, bytes: &[u8]) {
        let shard = share.shard();
        let opened = match self.copies.remove(&shard) {
            Some(copy) => Ok(copy),
            None => self.open_copy(shard).map(|file| (JournalCopy::default(), file)),
        };
        let (mut copy, mut file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                log::warn!("the copy of share {share}'s journal cannot be kept: {error}; its worker has it");
                return;
            }
        };
        let taken = match copy.take(at, bytes) {
            Ok(Piece::Fresh { bytes, told }) => match file.write_all(bytes) {
                Ok(()) => Some(told),
                Err(error) => {
                    log::warn!(
                        "the copy of share {share}'s journal cannot be written: {error}; its worker has it"
                    );
                    None
                }
            },
            Ok(Piece::Gap(from)) => {
                log::debug!("share {share}: bytes from {from} on were lost on the way");
                self.say(share, Heard::Missing(from)).await;
                None
            }
            Err(fault) => {
                self.refuse(&format!("share {share}"), &fault.to_string());
                None
            }
        };
        let is_strange = copy.manifest().is_some_and(|manifest| manifest.scenario_hash != self.hash);
        self.copies.insert(shard, (copy, file));
        if is_strange {
            return self.refuse(&format!("share {share}"), "its journal is of another scenario");
        }
        for entry in taken.into_iter().flatten() {
            match entry {
                Entry::Second(groups) => self.say(share, Heard::Second(groups)).await,
                Entry::Note(Note::Mark(mark)) => {
                    self.say(share, Heard::Report(Report::Mark { mark: Box::new(mark) })).await;
                }
                Entry::Note(_) => {}
            }
        }
        self.end_if_whole(share).await;
    }

    fn open_copy(&self, shard: u32) -> std::io::Result<File> {
        let folder = self.folders.get(&shard).ok_or_else(|| std::io::Error::other("it has no folder"))?;
        std::fs::create_dir_all(folder)?;
        OpenOptions::new().create_new(true).append(true).open(folder.join(JOURNAL_FILE))
    }

    async fn take_report(&mut self, share: Share, report: Report) {
        match report {
            Report::Sealed { length, reason } => {
                self.sealed.insert(share.shard(), (length, reason));
                self.end_if_whole(share).await;
            }
            report => self.say(share, Heard::Report(report)).await,
        }
    }

    /// A worker is done when its whole journal is here.
    async fn end_if_whole(&mut self, share: Share) {
        let here = self.copies.get(&share.shard()).map_or(0, |(copy, _)| copy.length());
        let Some((length, reason)) = self.sealed.get(&share.shard()) else { return };
        if here < *length {
            return self.say(share, Heard::Missing(here)).await;
        }
        let done = Report::Done { reason: reason.clone(), unwritten: None };
        self.sealed.remove(&share.shard());
        self.say(share, Heard::Report(done)).await;
        self.say(share, Heard::Gone("it has ended".to_owned())).await;
    }

    async fn say(&self, share: Share, heard: Heard) {
        // Where nobody listens, there is nobody to tell.
        let _ = self.sender.send((share, heard)).await;
    }
}

/// Hears that workers are there.
async fn hear_beats(client: Client, name: RunName, of: u32, sender: mpsc::Sender<(Share, Heard)>) {
    loop {
        if let Ok(mut beats) = client.subscribe(name.beats()).await {
            while let Some(beat) = beats.next().await {
                if let Some(share) = shard_of(&beat.subject).and_then(|shard| Share::new(shard, of)) {
                    let _ = sender.send((share, Heard::Beat)).await;
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tells workers what time it is here.
async fn tell_time(client: Client, name: RunName) {
    let clock = Clock::start();
    let now_ns = || {
        i64::try_from(clock.unix_us(crate::clock::Moment::ZERO))
            .unwrap_or(0)
            .saturating_mul(1_000)
            .saturating_add(i64::try_from(clock.now().as_ns()).unwrap_or(0))
    };
    loop {
        if let Ok(mut questions) = client.subscribe(name.time()).await {
            while let Some(question) = questions.next().await {
                let heard_ns = now_ns();
                let Some(reply) = question.reply else { continue };
                let told = Told { heard_ns, told_ns: now_ns() };
                let _ = client.publish(reply, serde_json::to_vec(&told).unwrap_or_default().into()).await;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Says who was refused, as they say themselves.
async fn hear_refusals(client: Client, name: RunName) {
    let Ok(mut refusals) = client.subscribe(name.refusals()).await else { return };
    let mut told = 0;
    while let Some(refusal) = refusals.next().await {
        told += 1;
        if told <= 100 {
            let text: String = String::from_utf8_lossy(&refusal.payload)
                .chars()
                .filter(|one| !one.is_control())
                .take(300)
                .collect();
            log::warn!("a worker is not taken: {text}");
        }
    }
}

/// Where those that still run are to be ended at once: they are told to, and nobody is waited for.
async fn give_up(mut killed: watch::Receiver<bool>, of: u32, sender: mpsc::Sender<(Share, Heard)>) {
    if killed.wait_for(|killed| *killed).await.is_ok() {
        for share in Share::all(of) {
            let _ = sender.send((share, Heard::Gone("nothing was heard of it".to_owned()))).await;
        }
    }
}
