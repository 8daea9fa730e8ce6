//! The recorder: samples become histograms and counters, closed into an interval each second and appended to the journal.
//!
//! In: samples, over one bounded channel. Out: the run's journal, from which every report derives, and a live view of the totals.
//! One writer owns all numbers; nothing here prints.

mod accounting;
mod attempt_log;
mod availability;
mod blind;
#[cfg(test)]
mod damage_tests;
mod differences;
mod encoding;
mod entry;
mod frame;
mod health;
mod histogram;
mod journal;
mod journal_copy;
mod journal_error;
mod journal_reader;
mod lives;
mod manifest;
mod merge;
mod merge_ends;
#[cfg(test)]
mod merge_tests;
mod note;
mod observed;
mod outage_thresholds;
pub mod outages;
mod packed;
mod packed_old;
mod reconnect_clocks;
mod reconnects;
mod recorder;
mod requests;
mod steps;
mod survival;
mod talk;
mod talk_names;
mod talk_packed;
mod talk_thresholds;
mod tally;
mod thresholds;
mod trace_book;
mod traces;
mod words;

pub use accounting::{
    Agreement, Reconciliation, ReconciliationRow, check_accounts, check_exchanges, reconcile,
};
pub use attempt_log::{ATTEMPTS_FILE, ATTEMPTS_HEADER, AttemptLog, join_attempts};
pub use availability::{Availability, Share, availability_of};
pub use blind::{BlindByStorm, BlindTally};
pub use differences::Differences;
pub use encoding::HistogramError;
pub use entry::Entry;
pub use health::{GeneratorHealth, health_faults};
pub use histogram::Latencies;
#[cfg(test)]
pub(crate) use journal::tests::manifest as manifest_of_a_test;
pub use journal::{Journal, JournalWriter, journal_bytes, read_journal};
pub use journal_copy::{CopyFault, JournalCopy, Piece, Told};
pub use journal_error::JournalError;
pub use journal_reader::{JournalReader, open_journal};
pub use lives::{Ends, Level, Lives, Losses, Presence};
pub use manifest::{
    AbsentShard, Asks, FirstStart, GroupManifest, HostManifest, LostShard, Manifest, ObservedSeries, RunEnd,
    SCHEMA_VERSION, Simulated, StormManifest, Worker, planned_storms,
};
pub use merge::{MergeError, MergeInput, MergePlan, plan_merge};
pub use merge_ends::{Machines, merge_ends};
pub use note::{
    AskedStorm, EventEnd, Mark, MarkBy, MarkOutcome, Note, Observed, add_asked_storms, mark_behind,
    settled_marks,
};
pub use observed::{ObservedSpread, Unanswered, around, settled_observed, unanswered};
pub use outage_thresholds::evaluate_outages;
pub use packed::PackedTally;
pub use reconnect_clocks::{ClockRow, ReconnectClocks};
pub use reconnects::{Reconnects, Times, count_not_back, success_of};
pub use recorder::{IntervalFeed, LiveView, Recorded, Recorder, failing_threshold, run_recorder};
pub use requests::{AnswerTally, Requests};
pub use steps::Steps;
pub use survival::{Quantile, Survival, SurvivalStep, percentile_of_ascending};
pub use talk::{ExchangeCounts, ExchangeTally, StreamCounts, StreamTally, TalkTally};
pub use talk_names::{StreamName, TalkNames};
pub use talk_thresholds::{NamedTally, evaluate_talk};
pub use tally::{Attempts, Closes, StormTally, Tally, merge_all};
pub use thresholds::{RunTime, ThresholdResult, ThresholdStatus, evaluate, share_of};
pub use traces::{RefusedTrace, settled_traces};
