//! The clients' end of the channel to the recorder.
//!
//! In: samples. Out: the same, stamped, in batches. The channel is bounded: where the recorder cannot keep up, clients wait and the
//! wait is counted, for no sample may be lost. Each worker has an end of its own, so that its clients wait for no other's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::clock::Moment;
use crate::sample::{GroupId, Sample, Stamped};

/// Samples that go to the recorder together.
const BATCH: usize = 256;
/// How many batches may be on their way to the recorder.
const CHANNEL_CAPACITY: usize = 256;
/// How long a sample may wait for its batch to fill, while samples come.
const FLUSH_EVERY: Duration = Duration::from_millis(20);
/// And when none has come for a while: an idle worker is to cost nothing.
const FLUSH_IDLE: Duration = Duration::from_millis(100);

/// The sending end of a worker's clients.
#[derive(Debug, Clone)]
pub struct SampleSink {
    sender: mpsc::Sender<Vec<Stamped>>,
    pending: Arc<Mutex<Vec<Stamped>>>,
    stalls: Arc<AtomicU64>,
}

/// A channel of the usual capacity: where clients put samples, and where the recorder takes them in batches.
#[must_use]
pub fn sample_channel() -> (SampleSink, mpsc::Receiver<Vec<Stamped>>) {
    let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
    (SampleSink { sender, pending: Arc::default(), stalls: Arc::default() }, receiver)
}

impl SampleSink {
    /// Another end of the same channel, for another worker.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { sender: self.sender.clone(), pending: Arc::default(), stalls: Arc::clone(&self.stalls) }
    }

    /// Sends `sample` with the batch that it fills; waits, and counts the wait, while the channel is full. A recorder that is
    /// gone takes nothing more.
    pub async fn send(&self, at: Moment, group: GroupId, sample: Sample) {
        if let Some(batch) = self.put(|pending| pending.push(Stamped { at, group, sample })) {
            self.pass_on(batch).await;
        }
    }

    /// Sends all of `samples`, as [`Self::send`] does.
    pub async fn send_all(&self, at: Moment, group: GroupId, samples: &mut Vec<Sample>) {
        let stamped = samples.drain(..).map(|sample| Stamped { at, group, sample });
        if let Some(batch) = self.put(|pending| pending.extend(stamped)) {
            self.pass_on(batch).await;
        }
    }

    /// Sends what waits for its batch to fill. Answers whether there was something.
    pub async fn flush(&self) -> bool {
        let batch = std::mem::take(&mut *self.pending());
        let is_some = !batch.is_empty();
        if is_some {
            self.pass_on(batch).await;
        }
        is_some
    }

    /// Flushes again and again; never ends.
    pub(super) async fn keep_flushing(self) {
        let mut pause = FLUSH_IDLE;
        loop {
            tokio::time::sleep(pause).await;
            pause = if self.flush().await { FLUSH_EVERY } else { FLUSH_IDLE };
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Vec<Stamped>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `add` add samples; answers with a batch when it is full.
    fn put(&self, add: impl FnOnce(&mut Vec<Stamped>)) -> Option<Vec<Stamped>> {
        let mut pending = self.pending();
        add(&mut pending);
        let is_full = pending.len() >= BATCH;
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
                    sink.send_all(Moment::ZERO, GroupId(0), &mut vec![count(n)]).await;
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
