//! Where what happens in a group goes to the recorder.
//!
//! In: samples. Out: the same, stamped and marked with the group, on the worker's channel; and how many attempts they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Moment};
use crate::drive::SampleSink;
use crate::sample::{ClientNumber, Counter, GroupId, Sample};

/// A group's end of the channel to the recorder.
#[derive(Debug, Clone)]
pub(super) struct GroupSink {
    clock: Clock,
    sink: SampleSink,
    group: GroupId,
    /// The worker's count of attempts that have ended.
    attempts_ended: Arc<AtomicU64>,
}

impl GroupSink {
    pub(super) const fn new(
        clock: Clock,
        sink: SampleSink,
        group: GroupId,
        attempts_ended: Arc<AtomicU64>,
    ) -> Self {
        Self { clock, sink, group, attempts_ended }
    }

    /// The clock that it stamps by.
    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Sends what happened at `at`.
    pub(super) async fn send(&self, at: Moment, sample: Sample) {
        self.sink.send(at, self.group, sample).await;
    }

    /// Counts one, now.
    pub(super) async fn count(&self, counter: Counter) {
        self.send(self.clock.now(), Sample::Count(counter, 1)).await;
    }

    /// Sends all that happened at `at`, in a step of a client or beside.
    pub(super) async fn send_all(&self, at: Moment, client: Option<ClientNumber>, samples: &mut Vec<Sample>) {
        let ended = samples.iter().filter(|sample| matches!(sample, Sample::Attempt(_))).count() as u64;
        if ended > 0 {
            self.attempts_ended.fetch_add(ended, Ordering::Relaxed);
        }
        self.sink.send_all(at, self.group, client, samples).await;
    }
}
