//! The clients' end of the channel to the recorder.
//!
//! In: samples. Out: the same, stamped. The channel is bounded: where the recorder cannot keep up, clients wait and the
//! wait is counted, for no sample may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::clock::Moment;
use crate::sample::{GroupId, Sample, Stamped};

/// How many samples may be on their way to the recorder.
pub const CHANNEL_CAPACITY: usize = 65_536;

/// The sending end, shared by all clients.
#[derive(Debug, Clone)]
pub struct SampleSink {
    sender: mpsc::Sender<Stamped>,
    stalls: Arc<AtomicU64>,
}

/// A channel of the usual capacity: where clients put samples, and where the recorder takes them.
#[must_use]
pub fn sample_channel() -> (SampleSink, mpsc::Receiver<Stamped>) {
    let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
    (SampleSink { sender, stalls: Arc::default() }, receiver)
}

impl SampleSink {
    /// Sends `sample`; waits, and counts the wait, while the channel is full. A recorder that is gone takes nothing more.
    pub async fn send(&self, at: Moment, group: GroupId, sample: Sample) {
        if let Err(TrySendError::Full(stamped)) = self.sender.try_send(Stamped { at, group, sample }) {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            let gone = self.sender.send(stamped).await;
            drop(gone);
        }
    }

    /// The counter of waits for room in the channel; it outlives the sink.
    #[must_use]
    pub fn stalls(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.stalls)
    }
}
