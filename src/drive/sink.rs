//! The clients' end of the channel to the recorder.
//!
//! In: samples. Out: the same, stamped, in batches. The channel is bounded: where the recorder cannot keep up, clients wait and the
//! wait is counted, for no sample may be lost. Each worker has an end of its own, so that its clients wait for no other's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
};

use crate::clock::{Clock, Moment};
use crate::sample::{ClientNumber, GroupId, Sample, Stamped};

/// Samples that go to the recorder together.
const BATCH: usize = 256;
/// How many batches may be on their way to the recorder.
const CHANNEL_CAPACITY: usize = 256;
/// How long a sample may wait for its batch to fill.
const FLUSH_AFTER: Duration = Duration::from_millis(100);
/// So long before a second's end, when the recorder closes it, nothing waits any longer: what comes later is counted in the next one.
const BEFORE_CLOSE: Duration = Duration::from_millis(5);

/// The sending end of a worker's clients.
#[derive(Debug, Clone)]
pub struct SampleSink {
    sender: mpsc::Sender<Vec<Stamped>>,
    pending: Arc<Mutex<Vec<Stamped>>>,
    /// Told when the first sample of a batch has come.
    begun: Arc<Notify>,
    stalls: Arc<AtomicU64>,
}

/// A channel of the usual capacity: where clients put samples, and where the recorder takes them in batches.
#[must_use]
pub fn sample_channel() -> (SampleSink, mpsc::Receiver<Vec<Stamped>>) {
    let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
    let sink = SampleSink { sender, pending: Arc::default(), begun: Arc::default(), stalls: Arc::default() };
    (sink, receiver)
}

impl SampleSink {
    /// Another end of the same channel, for another worker.
    #[must_use]
    pub fn another(&self) -> Self {
        let (pending, begun) = (Arc::default(), Arc::default());
        Self { sender: self.sender.clone(), pending, begun, stalls: Arc::clone(&self.stalls) }
    }

    /// Sends `sample` with the batch that it fills; waits, and counts the wait, while the channel is full. A recorder that is
    /// gone takes nothing more.
    pub async fn send(&self, at: Moment, group: GroupId, sample: Sample) {
        if let Some(batch) = self.put(|pending| pending.push(Stamped { at, client: None, group, sample })) {
            self.pass_on(batch).await;
        }
    }

    /// Sends all of `samples`, as [`Self::send`] does; those of a step of a client with its number.
    pub async fn send_all(
        &self,
        at: Moment,
        group: GroupId,
        client: Option<ClientNumber>,
        samples: &mut Vec<Sample>,
    ) {
        let stamped = samples.drain(..).map(|sample| Stamped { at, client, group, sample });
        if let Some(batch) = self.put(|pending| pending.extend(stamped)) {
            self.pass_on(batch).await;
        }
    }

    /// Sends what waits for its batch to fill.
    pub async fn flush(&self) {
        let batch = std::mem::take(&mut *self.pending());
        if !batch.is_empty() {
            self.pass_on(batch).await;
        }
    }

    /// Flushes what has waited long enough; never ends. Where no samples come, it does nothing.
    pub(super) async fn keep_flushing(self, clock: Clock) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(patience(clock.now())).await;
            self.flush().await;
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Vec<Stamped>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `add` add samples; answers with a batch when it is full.
    fn put(&self, add: impl FnOnce(&mut Vec<Stamped>)) -> Option<Vec<Stamped>> {
        let mut pending = self.pending();
        let is_first = pending.is_empty();
        add(&mut pending);
        let is_full = pending.len() >= BATCH;
        if is_first && !is_full {
            self.begun.notify_one();
        }
        is_full.then(|| std::mem::replace(&mut *pending, Vec::with_capacity(BATCH + 16)))
    }

    async fn pass_on(&self, batch: Vec<Stamped>) {
        if let Err(TrySendError::Full(batch)) = self.sender.try_send(batch) {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            // Boxed: every client's state would have to have room for it.
            let gone = Box::pin(self.sender.send(batch)).await;
            drop(gone);
        }
    }

    /// The counter of waits for room in the channel; it outlives the sink.
    #[must_use]
    pub fn stalls(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.stalls)
    }
}

/// How long what comes at `now` may wait.
fn patience(now: Moment) -> Duration {
    let next_second = Moment::ZERO + Duration::from_secs(now.as_second() + 1);
    match next_second.since(now).checked_sub(BEFORE_CLOSE) {
        Some(left) if !left.is_zero() => left.min(FLUSH_AFTER),
        // Too late for this second.
        _ => FLUSH_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Counter;

    #[tokio::test]
    async fn every_sample_arrives_in_order_however_it_was_sent() {
        let (sink, mut samples) = sample_channel();
        let count = |n: usize| Sample::Count(Counter::MessagesIn, n as u64);
        let total = BATCH * 3 + 5;
        let sending = async move {
            for n in 0..total {
                if n % 3 == 0 {
                    sink.send_all(Moment::ZERO, GroupId(0), None, &mut vec![count(n)]).await;
                } else {
                    sink.send(Moment::ZERO, GroupId(0), count(n)).await;
                }
            }
            sink.flush().await;
            sink.flush().await;
            sink.stalls().load(Ordering::Relaxed)
        };
        let receiving = async {
            let mut seen = Vec::new();
            while let Some(batch) = samples.recv().await {
                assert!(!batch.is_empty());
                seen.extend(batch.into_iter().map(|stamped| format!("{:?}", stamped.sample)));
            }
            seen
        };
        let (stalls, seen) = tokio::join!(sending, receiving);
        assert_eq!(seen, (0..total).map(|n| format!("{:?}", count(n))).collect::<Vec<_>>());
        assert_eq!(stalls, 0);
    }

    #[test]
    fn nothing_waits_across_the_end_of_a_second_but_what_comes_right_before_it() {
        let patience = |ms| patience(Moment::ZERO + Duration::from_millis(ms)).as_millis();
        assert_eq!([0, 895, 896, 990, 994].map(patience), [100, 100, 99, 5, 1]);
        assert_eq!([995, 999, 1_000, 1_950].map(patience), [100, 100, 100, 45]);
    }

    #[tokio::test]
    async fn what_waits_is_sent_on_and_where_nothing_comes_nothing_is_done() {
        let (sink, mut samples) = sample_channel();
        let flushing = tokio::spawn(sink.clone().keep_flushing(Clock::start()));
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(samples.try_recv().is_err());
        for n in 0..3 {
            sink.send(Moment::ZERO, GroupId(0), Sample::Count(Counter::MessagesIn, n)).await;
        }
        assert_eq!(samples.recv().await.map(|batch| batch.len()), Some(3));
        flushing.abort();
    }

    #[tokio::test]
    async fn a_full_channel_makes_clients_wait_and_says_so() {
        let (sink, mut samples) = sample_channel();
        let stalls = sink.stalls();
        let other = sink.another();
        let most = BATCH * (CHANNEL_CAPACITY + 1);
        let sending = tokio::spawn(async move {
            for _ in 0..most {
                other.send(Moment::ZERO, GroupId(0), Sample::Count(Counter::MessagesIn, 1)).await;
            }
        });
        drop(sink);
        while stalls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let mut seen = 0;
        while let Some(batch) = samples.recv().await {
            seen += batch.len();
        }
        sending.await.unwrap();
        assert_eq!((seen, stalls.load(Ordering::Relaxed)), (most, 1));
    }
}
