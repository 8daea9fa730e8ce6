//! The one recorder: takes samples, closes an interval each second, keeps the running totals.
//!
//! In: stamped samples over the bounded channel. Out: journal entries, a live view each second, and the totals at the end. A journal that cannot be written
//! does not end the run: its seconds stay in memory, the fault is told once, and each second tries again, for a full disk may have room later.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::engine::{RunControl, StopReason};
use crate::sample::{Sample, Stamped};
use crate::scenario::keys::{Group, Scenario, Threshold};

use super::attempt_log::AttemptLog;
use super::entry::Entry;
use super::journal::JournalWriter;
use super::note::{Mark, Note, settled_marks};
use super::outages::Recent;
use super::packed::PackedTally;
use super::talk::TalkBook;
use super::talk_names::TalkNames;
use super::talk_thresholds::evaluate_talk;
use super::tally::Tally;
use super::thresholds::{ThresholdResult, ThresholdStatus, evaluate};
use super::trace_book::TraceBook;
use super::words::WordBook;

/// Seconds that may wait in memory for a journal that cannot be written; then the newest are added up.
const MOST_UNWRITTEN: usize = 10_000;
/// Batches taken at once.
const MOST_BATCHES: usize = 16;

/// What can be seen of a run while it goes on.
#[derive(Debug, Clone, Default)]
pub struct LiveView {
    /// Seconds since the run's start.
    pub second: u64,
    /// Totals of each group.
    pub totals: Arc<Vec<Tally>>,
    /// The last second of each group.
    pub last: Arc<Vec<Tally>>,
    /// What the last two minutes told of all clients.
    pub recent: Recent,
    /// What was done to the service, or told from outside, in the order of time.
    pub marks: Arc<Vec<Mark>>,
}

/// What a recorder leaves behind.
#[derive(Debug)]
pub struct Recorded {
    /// Totals of each group.
    pub totals: Vec<Tally>,
    /// The journal, to append the run's end to.
    pub journal: JournalWriter,
    /// The seconds that could not be written to it so far, in order.
    pub unwritten: Vec<(u64, Vec<PackedTally>)>,
    /// What was told beside the numbers, and how much of it the journal has.
    pub notes: Vec<Note>,
    notes_written: usize,
    /// Why `attempts.csv` is not whole.
    pub attempts_fault: Option<String>,
    /// When the last sample was taken.
    pub last_sample: Moment,
}

impl Recorded {
    /// Puts a second behind those that wait to be written.
    fn keep(&mut self, second: u64, groups: Vec<PackedTally>) {
        if self.unwritten.len() < MOST_UNWRITTEN {
            self.unwritten.push((second, groups));
        } else if let Some((last, waiting)) = self.unwritten.last_mut() {
            *last = second;
            for (waiting, packed) in waiting.iter_mut().zip(&groups) {
                let mut tally = waiting.unpack();
                packed.add_second_to(&mut tally);
                *waiting = PackedTally::of(&tally);
            }
        }
    }

    /// Writes what waits, as far as that can be done.
    ///
    /// # Errors
    /// Whatever the file system says of the first second that cannot be written.
    pub fn write_kept(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = self.unwritten.iter().try_for_each(|(second, groups)| {
            self.journal.append(&Entry::Interval { second: *second, groups: groups.clone() })?;
            written += 1;
            io::Result::Ok(())
        });
        self.unwritten.drain(..written);
        result?;
        self.write_notes()
    }
}

impl Recorded {
    /// Writes the notes that wait.
    fn write_notes(&mut self) -> io::Result<()> {
        while let Some(note) = self.notes.get(self.notes_written) {
            self.journal.append(&Entry::Note(note.clone()))?;
            self.notes_written += 1;
        }
        Ok(())
    }
}

/// Where each second's numbers go beside the journal. What finds no room there is left out, for a recorder waits for nobody.
pub type IntervalFeed = SyncSender<(u64, Vec<PackedTally>)>;

/// The numbers of a run under way.
#[derive(Debug)]
pub struct Recorder {
    feed: Option<IntervalFeed>,
    /// Where each attempt is written to, if it is.
    attempts: Option<AttemptLog>,
    /// The marks among the notes, settled.
    marks: Arc<Vec<Mark>>,
    current: Vec<Tally>,
    words: Vec<WordBook>,
    talks: Vec<TalkBook>,
    traces: TraceBook,
    recorded: Recorded,
    next_second: u64,
}

impl Recorder {
    /// A recorder of that many groups, which writes to `journal`.
    #[must_use]
    pub fn new(groups: usize, journal: JournalWriter) -> Self {
        let recorded = Recorded {
            totals: vec![Tally::default(); groups],
            journal,
            unwritten: Vec::new(),
            notes: Vec::new(),
            notes_written: 0,
            attempts_fault: None,
            last_sample: Moment::ZERO,
        };
        let words = vec![WordBook::default(); groups];
        Self {
            feed: None,
            attempts: None,
            marks: Arc::default(),
            current: vec![Tally::default(); groups],
            words,
            talks: vec![TalkBook::default(); groups],
            traces: TraceBook::default(),
            recorded,
            next_second: 0,
        }
    }

    /// The same, which gives each second's numbers to `feed`.
    #[must_use]
    pub fn feeding(self, feed: Option<IntervalFeed>) -> Self {
        Self { feed, ..self }
    }

    /// The same, which writes each attempt to `attempts`.
    #[must_use]
    pub fn logging(self, attempts: Option<AttemptLog>) -> Self {
        Self { attempts, ..self }
    }

    /// Takes in a sample. It belongs to the interval that is open when it arrives.
    pub fn record(&mut self, stamped: &Stamped) {
        if let Some(attempts) = &mut self.attempts {
            attempts.record(stamped);
        }
        let group = usize::from(stamped.group.0);
        if let (Some(tally), Some(words)) = (self.current.get_mut(group), self.words.get_mut(group)) {
            match (&stamped.sample, self.talks.get_mut(group)) {
                (Sample::Talk(talk), Some(book)) => tally.apply_talk(talk, book),
                (Sample::Traced(traced), _) => self.traces.take(stamped.group, stamped.at, traced),
                (sample, _) => tally.apply(&words.bound(sample)),
            }
        }
        self.recorded.last_sample = self.recorded.last_sample.max(stamped.at);
    }

    /// Takes in a note. It is written with the interval that is open, or with a later one.
    pub fn note(&mut self, note: Note) {
        if let Note::Mark(mark) = &note {
            self.marks = Arc::new(settled_marks(self.marks.iter().chain([mark]).cloned()));
        }
        self.recorded.notes.push(note);
    }

    /// Closes the interval of `second`: appends it to the journal and adds it to the totals. Answers with it. A second
    /// that was closed before, or lies before one that was, is put behind the last.
    pub fn close_interval(&mut self, second: u64) -> Vec<Tally> {
        let second = second.max(self.next_second);
        self.next_second = second + 1;
        let groups = self.current.len();
        let mut closed = std::mem::replace(&mut self.current, vec![Tally::default(); groups]);
        closed.iter_mut().for_each(Tally::close);
        for (total, tally) in self.recorded.totals.iter_mut().zip(&closed) {
            total.merge(tally);
        }
        let packed: Vec<PackedTally> = closed.iter().map(PackedTally::of).collect();
        let left_out =
            self.feed.as_ref().is_some_and(|feed| feed.try_send((second, packed.clone())).is_err());
        if left_out {
            log::debug!("the numbers of second {second} found no reader but the journal");
        }
        self.traces.note(Some(second), &mut self.recorded.notes);
        self.write(second, packed);
        if let Some(attempts) = &mut self.attempts {
            attempts.flush();
        }
        closed
    }

    /// Writes a second, behind those that wait. What cannot be written waits for the next one.
    fn write(&mut self, second: u64, groups: Vec<PackedTally>) {
        let has_failed = !self.recorded.unwritten.is_empty();
        self.recorded.keep(second, groups);
        match (self.recorded.write_kept(), has_failed) {
            (Err(error), false) => {
                let path = self.recorded.journal.path().display();
                log::warn!(
                    "{path} cannot be written: {error}. The run goes on and keeps its numbers in memory"
                );
            }
            (Ok(()), true) => {
                let path = self.recorded.journal.path().display();
                log::warn!("{path} can be written again, and nothing is missing from it");
            }
            (Ok(()), false) | (Err(_), true) => {}
        }
    }

    /// The totals so far, the open interval not included.
    #[must_use]
    pub fn totals(&self) -> &[Tally] {
        &self.recorded.totals
    }

    /// Ends the recording.
    #[must_use]
    pub fn finish(mut self) -> Recorded {
        self.traces.note(None, &mut self.recorded.notes);
        self.recorded.attempts_fault = self.attempts.take().and_then(AttemptLog::finish);
        self.recorded
    }
}

/// Runs a recorder until every sender of `samples` is gone.
pub async fn run_recorder(
    mut recorder: Recorder,
    mut samples: mpsc::Receiver<Vec<Stamped>>,
    mut notes: mpsc::Receiver<Note>,
    scenario: &Scenario,
    control: &RunControl,
    view: &watch::Sender<LiveView>,
    clock: Clock,
) -> Recorded {
    let mut batches = Vec::with_capacity(MOST_BATCHES);
    let mut recent = Recent::default();
    let mut second = 0;
    loop {
        let close_at = clock.instant(Moment::ZERO + Duration::from_secs(second + 1));
        let is_open = tokio::select! {
            taken = samples.recv_many(&mut batches, MOST_BATCHES) => taken > 0,
            () = tokio::time::sleep_until(close_at.into()) => true,
        };
        for stamped in batches.drain(..).flatten() {
            recorder.record(&stamped);
        }
        while let Ok(note) = notes.try_recv() {
            recorder.note(note);
        }
        // The clock is asked, not the timer: while samples keep coming, the timer may not have its turn.
        let now = clock.now();
        if now.as_second() > second || !is_open {
            // What was late in coming is counted where it came.
            let closing = if is_open { now.as_second() - 1 } else { now.as_second() };
            let last = recorder.close_interval(closing);
            publish(view, closing, &recorder, last, &mut recent);
            second = now.as_second();
            abort_on_thresholds(scenario, recorder.totals(), now, control);
        }
        if !is_open {
            return recorder.finish();
        }
    }
}

fn publish(
    view: &watch::Sender<LiveView>,
    second: u64,
    recorder: &Recorder,
    last: Vec<Tally>,
    recent: &mut Recent,
) {
    if view.receiver_count() > 0 {
        recent.push(second, &last);
        let (totals, marks) = (Arc::new(recorder.totals().to_vec()), Arc::clone(&recorder.marks));
        let live = LiveView { second, totals, last: Arc::new(last), recent: recent.clone(), marks };
        view.send_replace(live);
    }
}

/// Stops the run when a threshold fails that is to do so.
fn abort_on_thresholds(scenario: &Scenario, totals: &[Tally], now: Moment, control: &RunControl) {
    if let Some(threshold) = failing_threshold(scenario, totals, now) {
        control.stop(StopReason::Threshold { threshold: threshold.source.clone() });
    }
}

/// The first threshold that is to end the run and fails at `now`, on the groups' totals.
#[must_use]
pub fn failing_threshold<'s>(scenario: &'s Scenario, totals: &[Tally], now: Moment) -> Option<&'s Threshold> {
    let failing = |threshold: &&Threshold| {
        let due = threshold.abort_after.is_some_and(|delay| now >= Moment::ZERO + delay);
        due && evaluate_now(threshold, scenario, totals, now).status == ThresholdStatus::Failed
    };
    scenario.thresholds.iter().find(failing)
}

fn evaluate_now(
    threshold: &Threshold,
    scenario: &Scenario,
    totals: &[Tally],
    now: Moment,
) -> ThresholdResult {
    let elapsed_s = now.as_us() as f64 / 1e6;
    let own = tallies_of(threshold, scenario, totals);
    if threshold.subject.is_of_talk() {
        let names: Vec<TalkNames> = own.iter().map(|(group, _)| TalkNames::of(group)).collect();
        let named: Vec<_> = own.iter().zip(&names).map(|((_, tally), names)| (*tally, names)).collect();
        return evaluate_talk(threshold, &named, elapsed_s);
    }
    let own: Vec<&Tally> = own.into_iter().map(|(_, tally)| tally).collect();
    evaluate(threshold, &own, elapsed_s)
}

/// The groups that a threshold looks at, and their tallies.
fn tallies_of<'t>(
    threshold: &Threshold,
    scenario: &'t Scenario,
    totals: &'t [Tally],
) -> Vec<(&'t Group, &'t Tally)> {
    let chosen = scenario
        .groups
        .iter()
        .zip(totals)
        .filter(|(group, _)| threshold.group.as_ref().is_none_or(|name| *name == group.name));
    chosen.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::journal::{read_journal, tests::manifest};
    use crate::record::merge_all;
    use crate::sample::{Counter, GroupId, Metric, Sample};
    use crate::scenario::{load, parse_threshold};

    fn minimal() -> Scenario {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("minimal.toml");
        let text = "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = { grant = \"none\" }\n";
        std::fs::write(&file, text).unwrap();
        load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
    }

    fn sample(second: u64, group: u16, sample: Sample) -> Stamped {
        Stamped { at: Moment::from_ns(second * 1_000_000_000), client: None, group: GroupId(group), sample }
    }

    fn lag(second: u64) -> Stamped {
        sample(second, 0, Sample::Lag(Duration::from_millis(3)))
    }

    fn recorder(path: &Path) -> Recorder {
        Recorder::new(1, JournalWriter::create(path, &manifest()).unwrap())
    }

    #[test]
    fn intervals_add_up_to_the_totals_and_never_go_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        let mut recorder = recorder(&path);
        recorder.record(&lag(0));
        assert_eq!(recorder.close_interval(4)[0].histograms[&Metric::Lag].count(), 1);
        recorder.record(&lag(4));
        recorder.record(&lag(2));
        recorder.close_interval(4);
        let recorded = recorder.finish();
        let journal = read_journal(&path).unwrap();
        let seconds: Vec<u64> = journal.intervals.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [4, 5], "a second closed twice is put behind the last");
        let sum =
            merge_all(&journal.intervals.iter().map(|(_, groups)| groups[0].unpack()).collect::<Vec<_>>());
        assert_eq!(sum, recorded.totals[0]);
        assert_eq!(sum.histograms[&Metric::Lag].count(), 3);
        assert_eq!(recorded.last_sample, Moment::from_ns(4_000_000_000));
    }

    #[test]
    fn a_journal_that_cannot_be_written_loses_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        drop(JournalWriter::create(&path, &manifest()).unwrap());
        let mut recorder = Recorder::new(1, JournalWriter::read_only(&path));
        for second in 0..3 {
            recorder.record(&lag(second));
            recorder.close_interval(second);
        }
        let recorded = recorder.finish();
        assert_eq!(recorded.totals[0].histograms[&Metric::Lag].count(), 3);
        let waiting: Vec<u64> = recorded.unwritten.iter().map(|(second, _)| *second).collect();
        assert_eq!(waiting, [0, 1, 2]);
        assert_eq!(read_journal(&path).unwrap().intervals, [], "and what was there before is whole");
    }

    #[test]
    fn what_waits_is_bounded_and_loses_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        drop(JournalWriter::create(&path, &manifest()).unwrap());
        let mut recorded = Recorder::new(1, JournalWriter::read_only(&path)).finish();
        let mut tally = Tally::default();
        tally.apply(&lag(0).sample);
        let all = MOST_UNWRITTEN as u64 + 5;
        (0..all).for_each(|second| recorded.keep(second, vec![PackedTally::of(&tally)]));
        assert_eq!(recorded.unwritten.len(), MOST_UNWRITTEN);
        let (last, groups) = recorded.unwritten.last().unwrap();
        assert_eq!((*last, groups[0].unpack().histograms[&Metric::Lag].count()), (all - 1, 6));
    }

    #[tokio::test]
    async fn a_recorder_takes_everything_and_ends_with_its_last_sender() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        let (sender, samples) = mpsc::channel(4);
        let (view, live) = watch::channel(LiveView::default());
        let scenario = minimal();
        let control = RunControl::new();
        let (_notes, no_notes) = mpsc::channel(1);
        let recording =
            run_recorder(recorder(&path), samples, no_notes, &scenario, &control, &view, Clock::start());
        let sending = async move {
            for n in 0..3_000 {
                sender.send(vec![sample(0, 0, Sample::Count(Counter::MessagesIn, n))]).await.unwrap();
            }
        };
        let (recorded, ()) = tokio::join!(recording, sending);
        let expected = 3_000 * 2_999 / 2;
        assert_eq!(recorded.totals[0].counter(Counter::MessagesIn), expected);
        assert_eq!(live.borrow().totals[0].counter(Counter::MessagesIn), expected, "the last view is whole");
        let journal = read_journal(&path).unwrap();
        let written: u64 =
            journal.intervals.iter().map(|(_, groups)| groups[0].counter(Counter::MessagesIn)).sum();
        assert_eq!(written, expected);
    }

    #[test]
    fn only_a_failed_threshold_whose_delay_is_over_ends_the_run() {
        let mut tally = Tally::default();
        tally.apply(&lag(0).sample);
        // (threshold, delay in seconds, ends the run at 5 s)
        for (source, delay, ends) in [
            ("lag: max < 1ms", Some(5), true),
            ("lag: max < 1ms", Some(6), false),
            ("lag: max < 1ms", None, false),
            ("lag: max < 1s", Some(0), false),
            ("reconnect_latency: max < 1s", Some(0), false),
            ("lag{group:g}: max < 1ms", Some(0), true),
        ] {
            let mut scenario = minimal();
            let abort_after = delay.map(Duration::from_secs);
            scenario.thresholds = vec![Threshold { abort_after, ..parse_threshold(source).unwrap() }];
            let control = RunControl::new();
            abort_on_thresholds(
                &scenario,
                std::slice::from_ref(&tally),
                Moment::from_ns(5_000_000_000),
                &control,
            );
            assert_eq!(
                control.reason() == StopReason::Threshold { threshold: source.into() },
                ends,
                "{source} {delay:?}"
            );
        }
    }
}
