//! Who takes the samples of a run in virtual time: the recorder that takes those of a real one, or memory alone.
//!
//! In: samples in order. Out: seconds in the journal, or totals. A recorder may have a thread of its own: what it writes is the same.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::drive::virtual_time::{GoOn, SampleTaker};
use crate::record::outages::Recent;
use crate::record::{LiveView, PackedTally, Recorded, Recorder, Tally, failing_threshold};
use crate::sample::Stamped;
use crate::scenario::keys::{Scenario, Subject, Threshold};

use super::request::OnProgress;

/// How often progress is shown, in real time.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// Batches that may be on their way to a recorder.
const BATCHES: usize = 16;

/// A recorder that writes a journal.
pub(super) struct JournalTaker<'s> {
    recorder: Recorder,
    scenario: &'s Scenario,
    on_progress: Option<OnProgress>,
    clock: Clock,
    shown: Moment,
    recent: Recent,
    /// The threshold that ended the run.
    pub(super) ended_by: Option<Threshold>,
}

impl<'s> JournalTaker<'s> {
    pub(super) fn new(recorder: Recorder, scenario: &'s Scenario, on_progress: Option<OnProgress>) -> Self {
        let clock = Clock::start();
        Self {
            recorder,
            scenario,
            on_progress,
            clock,
            shown: Moment::ZERO,
            recent: Recent::default(),
            ended_by: None,
        }
    }

    pub(super) fn finish(self) -> (Recorded, Option<Threshold>) {
        (self.recorder.finish(), self.ended_by)
    }

    fn show(&mut self, second: u64, last: Vec<Tally>) {
        let Some(show) = &mut self.on_progress else { return };
        self.recent.push(second, &last);
        let now = self.clock.now();
        if now.since(self.shown) >= SHOW_EVERY {
            self.shown = now;
            let (totals, last) = (self.recorder.totals().to_vec(), last);
            let recent = self.recent.clone();
            show(
                self.scenario,
                &LiveView { second, totals: totals.into(), last: last.into(), recent, ..LiveView::default() },
            );
        }
    }
}

impl SampleTaker for JournalTaker<'_> {
    fn take(&mut self, samples: &mut Vec<Stamped>) {
        samples.drain(..).for_each(|stamped| self.recorder.record(&stamped));
    }

    fn close_second(&mut self, second: u64) -> GoOn {
        let last = self.recorder.close_interval(second);
        self.show(second, last);
        if self.ended_by.is_some() {
            return GoOn::Yes;
        }
        let now = Moment::ZERO + Duration::from_secs(second + 1);
        self.ended_by = failing_threshold(self.scenario, self.recorder.totals(), now).cloned();
        if self.ended_by.is_some() { GoOn::Stop } else { GoOn::Yes }
    }
}

/// Whether a threshold may end the run: then the recorder must have seen each second before the next begins.
pub(super) fn may_end_early(scenario: &Scenario) -> bool {
    scenario.thresholds.iter().any(|threshold| threshold.abort_after.is_some())
}

/// Whether a threshold asks for outages: then who was lost when is kept to the end.
fn asks_for_outages(scenario: &Scenario) -> bool {
    scenario.thresholds.iter().any(|threshold| matches!(threshold.subject, Subject::Outage(_)))
}

/// What goes to a recorder with a thread of its own.
enum Parcel {
    Samples(Vec<Stamped>),
    Second(u64),
}

/// Hands samples to a thread.
pub(super) struct Sender {
    parcels: SyncSender<Parcel>,
    /// Batches that were emptied, to be filled again.
    empty: Receiver<Vec<Stamped>>,
}

/// Takes them there.
pub(super) struct Recipient {
    parcels: Receiver<Parcel>,
    empty: SyncSender<Vec<Stamped>>,
}

/// Two ends: what is put in at one comes out at the other, in order.
pub(super) fn hand_over() -> (Sender, Recipient) {
    let (put, parcels) = sync_channel(BATCHES);
    let (give_back, empty) = sync_channel(2 * BATCHES);
    (Sender { parcels: put, empty }, Recipient { parcels, empty: give_back })
}

impl Recipient {
    /// Gives everything to `taker` until the other end is gone.
    pub(super) fn give_to(&self, taker: &mut impl SampleTaker) {
        for parcel in &self.parcels {
            match parcel {
                Parcel::Samples(mut samples) => {
                    taker.take(&mut samples);
                    samples.clear();
                    // Enough are on their way back, or nobody wants them any more.
                    if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
                        self.empty.try_send(samples)
                    {
                        drop(batch);
                    }
                }
                Parcel::Second(second) => {
                    taker.close_second(second);
                }
            }
        }
    }
}

impl SampleTaker for Sender {
    fn take(&mut self, samples: &mut Vec<Stamped>) {
        if samples.is_empty() {
            return;
        }
        let empty = self.empty.try_recv().unwrap_or_default();
        let full = std::mem::replace(samples, empty);
        // A recipient that is gone has panicked, which its joining tells.
        let _ = self.parcels.send(Parcel::Samples(full));
    }

    fn close_second(&mut self, second: u64) -> GoOn {
        let _ = self.parcels.send(Parcel::Second(second));
        GoOn::Yes
    }
}

/// Keeps totals, and the seconds where they are wanted.
pub(super) struct MemoryTaker<'s> {
    scenario: &'s Scenario,
    current: Vec<Tally>,
    totals: Vec<Tally>,
    keeps_seconds: bool,
    seconds: Vec<(u64, Vec<PackedTally>)>,
    last: u64,
    /// Whether a threshold asks for outages.
    keeps_lives: bool,
    may_end_early: bool,
    pub(super) ended_by: Option<Threshold>,
}

impl<'s> MemoryTaker<'s> {
    pub(super) fn new(scenario: &'s Scenario, keeps_seconds: bool) -> Self {
        let nothing = vec![Tally::default(); scenario.groups.len()];
        Self {
            scenario,
            current: nothing.clone(),
            totals: nothing,
            keeps_seconds,
            seconds: Vec::new(),
            last: 0,
            keeps_lives: asks_for_outages(scenario),
            may_end_early: may_end_early(scenario),
            ended_by: None,
        }
    }

    /// The seconds; where they were not kept, one that holds everything.
    pub(super) fn finish(mut self) -> (Vec<(u64, Vec<PackedTally>)>, Option<Threshold>) {
        if !self.keeps_seconds {
            self.current.iter_mut().for_each(Tally::close);
            self.seconds = vec![(self.last, self.current.iter().map(PackedTally::of).collect())];
        }
        (self.seconds, self.ended_by)
    }
}

impl SampleTaker for MemoryTaker<'_> {
    fn take(&mut self, samples: &mut Vec<Stamped>) {
        for stamped in samples.drain(..) {
            if let Some(tally) = self.current.get_mut(usize::from(stamped.group.0)) {
                tally.apply(&stamped.sample);
            }
        }
    }

    fn close_second(&mut self, second: u64) -> GoOn {
        self.last = second;
        if self.keeps_seconds {
            let nothing = vec![Tally::default(); self.current.len()];
            let mut closed = std::mem::replace(&mut self.current, nothing);
            closed.iter_mut().for_each(Tally::close);
            self.seconds.push((second, closed.iter().map(PackedTally::of).collect()));
            if self.may_end_early {
                self.totals.iter_mut().zip(&closed).for_each(|(total, tally)| total.merge(tally));
            }
        } else if !self.keeps_lives {
            self.current.iter_mut().for_each(Tally::fold_lives);
        }
        if !self.may_end_early || self.ended_by.is_some() {
            return GoOn::Yes;
        }
        let totals = if self.keeps_seconds { &self.totals } else { &self.current };
        let now = Moment::ZERO + Duration::from_secs(second + 1);
        self.ended_by = failing_threshold(self.scenario, totals, now).cloned();
        if self.ended_by.is_some() { GoOn::Stop } else { GoOn::Yes }
    }
}
