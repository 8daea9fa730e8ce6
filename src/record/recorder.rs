//! The one recorder: takes samples, closes an interval each second, keeps the running totals.
//!
//! In: stamped samples over the bounded channel. Out: journal entries, a live view each second, and the totals at the end. A journal that cannot be written
//! does not end the run: the intervals are kept in memory, and the fault is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::engine::{RunControl, StopReason};
use crate::sample::Stamped;
use crate::scenario::model::{Scenario, Threshold};

use super::journal::{Entry, JournalWriter};
use super::tally::{Tally, merge_all};
use super::thresholds::{ThresholdStatus, evaluate};

/// Samples taken at once.
const BATCH: usize = 1_024;

/// What can be seen of a run while it goes on.
#[derive(Debug, Clone, Default)]
pub struct LiveView {
    /// Seconds since the run's start.
    pub second: u64,
    /// Totals of each group.
    pub totals: Arc<Vec<Tally>>,
    /// The last second of each group.
    pub last: Arc<Vec<Tally>>,
}

/// What a recorder leaves behind.
#[derive(Debug)]
pub struct Recorded {
    /// Totals of each group.
    pub totals: Vec<Tally>,
    /// Every interval that is not in the journal, because it could not be written.
    pub unwritten: Vec<Entry>,
    /// The journal, to append the run's end to; `None` once it could not be written.
    pub journal: Option<JournalWriter>,
    /// What could not be written.
    pub write_faults: Vec<String>,
    /// When the last sample was taken.
    pub last_sample: Moment,
}

/// The numbers of a run under way.
#[derive(Debug)]
pub struct Recorder {
    current: Vec<Tally>,
    recorded: Recorded,
    next_second: u64,
}

impl Recorder {
    /// A recorder of that many groups, which writes to `journal`.
    #[must_use]
    pub fn new(groups: usize, journal: JournalWriter) -> Self {
        let recorded = Recorded {
            totals: vec![Tally::default(); groups],
            unwritten: Vec::new(),
            journal: Some(journal),
            write_faults: Vec::new(),
            last_sample: Moment::ZERO,
        };
        Self { current: vec![Tally::default(); groups], recorded, next_second: 0 }
    }

    /// Takes in a sample. It belongs to the interval that is open when it arrives.
    pub fn record(&mut self, stamped: &Stamped) {
        if let Some(tally) = self.current.get_mut(usize::from(stamped.group.0)) {
            tally.apply(&stamped.sample);
        }
        self.recorded.last_sample = self.recorded.last_sample.max(stamped.at);
    }

    /// Closes the interval of `second`: appends it to the journal and adds it to the totals. Answers with it. A second
    /// that was closed before, or lies before one that was, is put behind the last.
    pub fn close_interval(&mut self, second: u64) -> Vec<Tally> {
        let second = second.max(self.next_second);
        self.next_second = second + 1;
        let groups = self.current.len();
        let closed = std::mem::replace(&mut self.current, vec![Tally::default(); groups]);
        for (total, tally) in self.recorded.totals.iter_mut().zip(&closed) {
            total.merge(tally);
        }
        self.write(Entry::Interval { second, groups: closed.clone() });
        closed
    }

    fn write(&mut self, entry: Entry) {
        let Some(journal) = &mut self.recorded.journal else { return self.recorded.unwritten.push(entry) };
        if let Err(error) = journal.append(&entry) {
            // What was half written is a torn tail; the journal must not go on behind it.
            self.recorded.write_faults.push(format!("the journal ends early: {error}"));
            self.recorded.journal = None;
            self.recorded.unwritten.push(entry);
        }
    }

    /// The totals so far, the open interval not included.
    #[must_use]
    pub fn totals(&self) -> &[Tally] {
        &self.recorded.totals
    }

    /// Ends the recording.
    #[must_use]
    pub fn finish(self) -> Recorded {
        self.recorded
    }
}

/// Runs a recorder until every sender of `samples` is gone.
pub async fn run_recorder(
    mut recorder: Recorder,
    mut samples: mpsc::Receiver<Stamped>,
    scenario: &Scenario,
    control: &RunControl,
    view: &watch::Sender<LiveView>,
    clock: Clock,
) -> Recorded {
    let mut batch = Vec::with_capacity(BATCH);
    let mut second = 0;
    loop {
        let close_at = clock.instant(Moment::ZERO + Duration::from_secs(second + 1));
        let is_open = tokio::select! {
            taken = samples.recv_many(&mut batch, BATCH) => taken > 0,
            () = tokio::time::sleep_until(close_at.into()) => true,
        };
        for stamped in batch.drain(..) {
            recorder.record(&stamped);
        }
        // The clock is asked, not the timer: while samples keep coming, the timer may not have its turn.
        let now = clock.now();
        if now.as_second() > second || !is_open {
            // What was late in coming is counted where it came.
            let closing = if is_open { now.as_second() - 1 } else { now.as_second() };
            let last = recorder.close_interval(closing);
            publish(view, closing, recorder.totals(), last);
            second = now.as_second();
            abort_on_thresholds(scenario, recorder.totals(), now, control);
        }
        if !is_open {
            return recorder.finish();
        }
    }
}

fn publish(view: &watch::Sender<LiveView>, second: u64, totals: &[Tally], last: Vec<Tally>) {
    if view.receiver_count() > 0 {
        let live = LiveView { second, totals: Arc::new(totals.to_vec()), last: Arc::new(last) };
        view.send_replace(live);
    }
}

/// Stops the run when a threshold fails that is to do so.
fn abort_on_thresholds(scenario: &Scenario, totals: &[Tally], now: Moment, control: &RunControl) {
    let failing = |threshold: &&Threshold| {
        let due = threshold.abort_after.is_some_and(|delay| now >= Moment::ZERO + delay);
        due && evaluate(threshold, &tally_of(threshold, scenario, totals), now.as_us() as f64 / 1e6).status
            == ThresholdStatus::Failed
    };
    if let Some(threshold) = scenario.thresholds.iter().find(failing) {
        control.stop(StopReason::Threshold { threshold: threshold.source.clone() });
    }
}

/// The tally that a threshold looks at.
fn tally_of(threshold: &Threshold, scenario: &Scenario, totals: &[Tally]) -> Tally {
    let chosen = scenario
        .groups
        .iter()
        .zip(totals)
        .filter(|(group, _)| threshold.group.as_ref().is_none_or(|name| *name == group.name));
    merge_all(chosen.map(|(_, tally)| tally))
}
