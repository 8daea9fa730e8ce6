//! What is told of a run: samples with their moments, and the messages of each group.
//!
//! In: what clients tell, step by step, and what goes over their sessions. Out: stamped samples, in the order of their moments.

use crate::clock::Moment;
use crate::sample::{ClientNumber, GroupId, Sample, Stamped, Traffic};

use super::taker::SampleTaker;

/// Samples that are handed over together.
const BATCH: usize = 2_048;

/// Samples that were told, and not handed over yet.
#[derive(Debug)]
pub(super) struct SampleLog {
    /// Of the step under way.
    step: Vec<Sample>,
    told: Vec<Stamped>,
    traffic: Vec<Traffic>,
    keeps_lag: bool,
}

impl SampleLog {
    pub(super) fn new(groups: usize, keeps_lag: bool) -> Self {
        Self {
            step: Vec::new(),
            told: Vec::with_capacity(BATCH + 64),
            traffic: vec![Traffic::default(); groups],
            keeps_lag,
        }
    }

    /// Where a client's step leaves what it tells.
    pub(super) const fn step(&mut self) -> &mut Vec<Sample> {
        &mut self.step
    }

    /// Stamps what the step of a client of `group` has told.
    pub(super) fn stamp_step(&mut self, at: Moment, client: u32, group: GroupId) {
        let keeps_lag = self.keeps_lag;
        // There is no generator that could be late.
        let told = self.step.drain(..).filter(|sample| keeps_lag || !matches!(sample, Sample::Lag(_)));
        self.told.extend(told.map(|sample| Stamped {
            at,
            client: Some(ClientNumber::of(client)),
            group,
            sample,
        }));
    }

    pub(super) fn tell(&mut self, at: Moment, group: GroupId, sample: Sample) {
        self.told.push(Stamped { at, client: None, group, sample });
    }

    /// A client of `group` has sent a message.
    pub(super) fn count_out(&mut self, group: GroupId) {
        if let Some(traffic) = self.traffic.get_mut(usize::from(group.0)) {
            traffic.messages_out += 1;
        }
    }

    /// A client of `group` has got a message; of one that was due at a moment, how late it came.
    pub(super) fn count_in(&mut self, group: GroupId, latency_us: Option<u32>) {
        if let Some(traffic) = self.traffic.get_mut(usize::from(group.0)) {
            traffic.messages_in += 1;
            traffic.message_latencies_us.extend(latency_us);
        }
    }

    /// Tells what went over the sessions of each group since the last time.
    pub(super) fn flush_traffic(&mut self, at: Moment) {
        for (index, traffic) in (0_u16..).zip(&mut self.traffic) {
            let traffic = std::mem::take(traffic);
            if traffic != Traffic::default() {
                let sample = Sample::Traffic(Box::new(traffic));
                self.told.push(Stamped { at, client: None, group: GroupId(index), sample });
            }
        }
    }

    /// Hands over what was told, once it is enough.
    pub(super) fn hand_over_batch(&mut self, taker: &mut impl SampleTaker) {
        if self.told.len() >= BATCH {
            taker.take(&mut self.told);
        }
    }

    /// Hands over what was told.
    pub(super) fn hand_over(&mut self, taker: &mut impl SampleTaker) {
        taker.take(&mut self.told);
    }
}
