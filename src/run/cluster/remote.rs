//! The coordinator's side of NATS: orders go out, and what the workers tell becomes what is heard of their shares.
//!
//! In: orders; what the desk takes in of the run's stream, signs of life. Out: what is heard. Everything of the run on the server is made here, and taken away here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::plan::Share;

use super::super::shards::{Channel, Heard, Order, Patience};
use super::claims::Claims;
use super::desk::{Desk, hear_reports};
use super::error::ClusterError;
use super::listen::{Echo, hear_beats, hear_echo, hear_refusals, lead_beat, tell_time};
use super::names::RunName;
use super::spec::{Given, RETRY, RUN_KEY, RunSpec, order_key};

/// How long what a run has left on the server stays there where nobody takes it away.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a worker may give no sign of life until that is told, and until nobody waits for it.
const SUSPECT_AFTER: Duration = Duration::from_secs(3);
const LOST_AFTER: Duration = Duration::from_secs(10);
/// How long nobody may be heard of a run until its name is free again.
const LEFT_AFTER: Duration = Duration::from_secs(12);
/// A value that is put to see whether the server keeps it.
const PROBE_KEY: &str = "probe";
const PROBE_BYTES: usize = 4 * 1024;
/// So many times an order may fail until that is told.
const TELL_AFTER: u32 = 10;
/// How long this end may not hear itself until nobody's silence means anything.
const DEAF_AFTER: Duration = Duration::from_secs(2);
/// How many shards are named that are not ready.
const MOST_NAMED: usize = 10;
/// How many things may wait to be heard, or told.
const WAITING: usize = 1_024;
/// How long the last orders may take to go out.
const LAST_ORDERS: Duration = Duration::from_secs(10);
/// After so long without a sign of life all workers are gone, and the server may forget the last orders.
const ALL_GONE: Duration = Duration::from_millis(1_300);

/// All workers of a run.
pub(super) struct Remote<'t> {
    context: Context,
    name: RunName,
    orders: mpsc::Sender<(Option<u32>, Order)>,
    giving: JoinHandle<()>,
    heard: mpsc::Receiver<(Share, Heard)>,
    kill: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    client: Client,
    echo: Echo,
    told: Option<&'t mut dyn FnMut(&str)>,
}

fn failed<E: ToString>(what: &'static str) -> impl Fn(E) -> ClusterError {
    move |error| ClusterError::Failed { what, why: error.to_string() }
}

impl<'t> Remote<'t> {
    /// Publishes the run, and hears its workers from then on; copies of their journals go to `folders`, by share.
    ///
    /// # Errors
    /// NATS keeps nothing; the name was used.
    pub(super) async fn open(
        (client, context): (Client, Context),
        name: &RunName,
        spec: &RunSpec,
        folders: BTreeMap<u32, PathBuf>,
    ) -> Result<Self, ClusterError> {
        let mut store = make_store(&context, name).await?;
        let value = bytes::Bytes::from(serde_json::to_vec(spec).unwrap_or_default());
        if let Err(error) = store.create(RUN_KEY, value.clone()).await {
            let Ok(Some(used)) = store.get(RUN_KEY).await else {
                Self::clear(&context, name).await;
                return Err(ClusterError::Failed { what: "the run's key", why: error.to_string() });
            };
            let used = serde_json::from_slice::<RunSpec>(&used);
            let by = used.map_or_else(|_| "another version".to_owned(), |used| used.by);
            let is_used = || ClusterError::NameUsed { run: name.to_string(), by: by.clone() };
            if !Box::pin(is_left(&client, name)).await {
                return Err(is_used());
            }
            log::warn!(
                "run `{name}` was left on the NATS server by {by}, and nobody is heard of it any more: its name is free again"
            );
            Self::clear(&context, name).await;
            store = make_store(&context, name).await?;
            store.create(RUN_KEY, value).await.map_err(|_| is_used())?;
        }
        // Whether it keeps more than one small value is known before anybody waits for the run.
        let kept = match store.put(PROBE_KEY, vec![b' '; PROBE_BYTES].into()).await {
            Ok(_) => make_stream(&context, name).await,
            Err(error) => Err(ClusterError::Failed {
                what: "the server does not keep what it is given",
                why: error.to_string(),
            }),
        };
        let reports = match kept {
            Ok(reports) => reports,
            Err(error) => {
                Self::clear(&context, name).await;
                return Err(error);
            }
        };
        let (sender, heard) = mpsc::channel(WAITING);
        let (kill, killed) = watch::channel(false);
        let (of, claims, echo) = (spec.shares(), Claims::of(store.clone()), Echo::new());
        let desk = Desk::new(claims.clone(), of, spec.hash.clone(), folders, sender.clone());
        let tasks = vec![
            tokio::spawn(hear_reports(reports, desk)),
            tokio::spawn(hear_beats(client.clone(), name.clone(), of, claims, sender.clone())),
            tokio::spawn(tell_time(client.clone(), name.clone())),
            tokio::spawn(hear_refusals(client.clone(), name.clone())),
            tokio::spawn(lead_beat(client.clone(), name.clone())),
            tokio::spawn(hear_echo(client.clone(), name.clone(), echo.clone())),
            tokio::spawn(give_up(killed, of, sender)),
        ];
        client.flush().await.map_err(failed("the subscriptions"))?;
        let (orders, given) = mpsc::channel(WAITING);
        let giving = tokio::spawn(give_orders(store, spec.lead.clone(), given));
        Ok(Self { context, name: name.clone(), orders, giving, heard, kill, tasks, client, echo, told: None })
    }

    /// From now on it is told how many workers are ready.
    pub(super) fn tell_of_arrivals(&mut self, told: &'t mut dyn FnMut(&str)) {
        self.told = Some(told);
    }

    /// Takes everything of the run off the server.
    async fn clear(context: &Context, name: &RunName) {
        for stream in [name.stream(), format!("KV_{}", name.bucket())] {
            match context.delete_stream(&stream).await {
                Ok(_) => {}
                Err(error) if error.to_string().contains("not found") => {}
                Err(error) => log::warn!("{stream} is left on the NATS server: {error}"),
            }
        }
    }
}

/// Whether nobody is heard of a run whose name is used: neither its coordinator nor a worker.
async fn is_left(client: &Client, name: &RunName) -> bool {
    let (Ok(leads), Ok(beats)) = (client.subscribe(name.lead()).await, client.subscribe(name.beats()).await)
    else {
        return false;
    };
    let mut signs = futures::stream::select(leads, beats);
    tokio::time::timeout(LEFT_AFTER, signs.next()).await.is_err()
}

/// The run's stream of reports, and the coordinator's place in it.
async fn make_stream(context: &Context, name: &RunName) -> Result<PullConsumer, ClusterError> {
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
    stream
        .create_consumer(pull::Config {
            durable_name: Some("coordinator".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        })
        .await
        .map_err(failed("the stream's consumer"))
}

/// The stream behind a key-value store, which is made as that: older servers leave out fields of the answer that a client expects.
pub(super) fn kept_config(bucket: &str) -> Config {
    Config {
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
    }
}

/// The run's key-value store.
async fn make_store(context: &Context, name: &RunName) -> Result<Store, ClusterError> {
    let bucket = name.bucket();
    context.create_stream(kept_config(&bucket)).await.map_err(failed("the run's key-value store"))?;
    context.get_key_value(bucket).await.map_err(failed("the run's key-value store"))
}

impl Channel for Remote<'_> {
    async fn tell(&mut self, share: Share, order: &Order) {
        let _ = self.orders.send((Some(share.shard()), order.clone())).await;
    }

    async fn tell_all(&mut self, order: &Order) {
        let _ = self.orders.send((None, order.clone())).await;
    }

    async fn hear(&mut self) -> Option<(Share, Heard)> {
        self.heard.recv().await
    }

    fn patience(&self) -> Patience {
        Patience {
            silent_after: SUSPECT_AFTER,
            silent_at_the_end: SUSPECT_AFTER,
            lost_after: Some(LOST_AFTER),
            alone: "by a signal of its own (SIGINT, SIGTERM or SIGHUP) or by --orphan-grace",
        }
    }

    fn is_deaf(&self) -> bool {
        self.client.connection_state() != async_nats::connection::State::Connected
            || self.echo.silence() > DEAF_AFTER
    }

    fn note_ready(&mut self, ready: u32, missing: &BTreeSet<u32>) {
        let named: Vec<String> = missing.iter().take(MOST_NAMED).map(u32::to_string).collect();
        let more = missing.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let of = ready as usize + missing.len();
        if let Some(told) = &mut self.told {
            told(&format!("{ready} of {of} shards ready; missing: {}{more}", named.join(", ")));
        }
    }

    fn kill(&self) {
        self.kill.send_replace(true);
    }

    async fn end(mut self) {
        drop(self.orders);
        if tokio::time::timeout(LAST_ORDERS, self.giving).await.is_err() {
            log::warn!("not all orders could be given");
        }
        // Who has heard that all is well gives no more signs of life.
        let gone =
            async { while let Ok(Some(_)) = tokio::time::timeout(ALL_GONE, self.heard.recv()).await {} };
        let _ = tokio::time::timeout(LAST_ORDERS, gone).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        Self::clear(&self.context, &self.name).await;
    }
}

/// Gives the orders, one after the other, each until the server has it: none is lost because that is away for a while.
async fn give_orders(store: Store, lead: String, mut orders: mpsc::Receiver<(Option<u32>, Order)>) {
    let mut number = 0;
    while let Some((to, order)) = orders.recv().await {
        number += 1;
        let value = serde_json::to_vec(&Given { lead: lead.clone(), order }).unwrap_or_default();
        let mut failed = 0;
        while let Err(error) = store.put(order_key(to, number), value.clone().into()).await {
            failed += 1;
            match failed {
                TELL_AFTER => log::warn!("an order is not out yet, and is tried again: {error}"),
                _ => log::debug!("an order is not out yet: {error}"),
            }
            tokio::time::sleep(RETRY).await;
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
