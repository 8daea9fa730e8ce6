//! What a coordinator hears and tells in passing: nothing of it is kept by the server.
//!
//! In: signs of life, questions for the time, refusals. Out: who is there; what time it is here; that the coordinator is there, which it hears itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, Moment};
use crate::plan::Share;

use super::super::shards::Heard;
use super::claims::{Claims, Held};
use super::names::{RunName, shard_of};
use super::spec::{RETRY, Told};

/// How often a coordinator says that it is there.
const LEAD_BEAT: Duration = Duration::from_millis(500);

/// Hears that workers are there.
pub(super) async fn hear_beats(
    client: Client,
    name: RunName,
    of: u32,
    claims: Claims,
    sender: mpsc::Sender<(Share, Heard)>,
) {
    loop {
        if let Ok(mut beats) = client.subscribe(name.beats()).await {
            while let Some(beat) = beats.next().await {
                let share = shard_of(&beat.subject).and_then(|shard| Share::new(shard, of));
                let epoch = std::str::from_utf8(&beat.payload).ok().and_then(|text| text.parse().ok());
                let Some((share, epoch)) = share.zip(epoch) else { continue };
                match claims.holds(share.shard(), epoch).await {
                    Held::Yes => {}
                    Held::Anew => drop(sender.send((share, Heard::Replaced)).await),
                    Held::No => continue,
                }
                let _ = sender.send((share, Heard::Beat)).await;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// When this end last heard itself.
#[derive(Debug, Clone)]
pub(super) struct Echo {
    clock: Clock,
    /// In nanoseconds by the clock.
    heard: Arc<AtomicU64>,
}

impl Echo {
    /// Just now.
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), heard: Arc::default() }
    }

    fn hear(&self) {
        self.heard.store(self.clock.now().as_ns(), Ordering::Relaxed);
    }

    /// For how long it has not heard itself.
    pub(super) fn silence(&self) -> Duration {
        self.clock.now().since(Moment::from_ns(self.heard.load(Ordering::Relaxed)))
    }
}

/// Tells workers that their coordinator is there.
pub(super) async fn lead_beat(client: Client, name: RunName) {
    let mut every = tokio::time::interval(LEAD_BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let _ = client.publish(name.lead(), "".into()).await;
    }
}

/// Hears what the workers hear: while it does not, they cannot be heard either.
pub(super) async fn hear_echo(client: Client, name: RunName, echo: Echo) {
    loop {
        if let Ok(mut beats) = client.subscribe(name.lead()).await {
            while beats.next().await.is_some() {
                echo.hear();
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tells workers what time it is here.
pub(super) async fn tell_time(client: Client, name: RunName) {
    let clock = Clock::start();
    let now_ns = || {
        i64::try_from(clock.unix_us(Moment::ZERO))
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
pub(super) async fn hear_refusals(client: Client, name: RunName) {
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
