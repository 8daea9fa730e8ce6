//! Who is ready to start, before any does.
//!
//! In: what is heard of each shard, and when. Out: who is missing, and why. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::exit_code::ExitCode;
use crate::plan::Share;

use super::super::error::RunError;
use super::channel::Heard;
use super::protocol::Report;
use super::roll::Patience;

/// The shards of a run that has not begun.
#[derive(Debug)]
pub(super) struct Barrier {
    of: u32,
    /// Those that are ready, and when each was last heard.
    ready: BTreeMap<u32, Moment>,
    /// Those that cannot begin, each with its exit code and why.
    unable: BTreeMap<u32, (ExitCode, String)>,
    /// How long one that is ready may say nothing; `None`: those that are gone are told of otherwise.
    silent_after: Option<Duration>,
}

impl Barrier {
    /// That of `of` shards, none of which is ready.
    pub(super) fn of(of: u32, patience: Patience) -> Self {
        let silent_after = patience.lost_after.map(|_| patience.silent_after);
        Self { of, ready: BTreeMap::new(), unable: BTreeMap::new(), silent_after }
    }

    /// Takes in what was heard of a share.
    pub(super) fn take(&mut self, share: Share, heard: &Heard, now: Moment) {
        let shard = share.shard();
        match heard {
            Heard::Report(Report::Ready) => {
                self.unable.remove(&shard);
                self.ready.insert(shard, now);
            }
            Heard::Report(Report::Failed { exit_code, message }) => {
                self.unable(shard, *exit_code, message);
            }
            Heard::Gone(how) => self.unable(shard, ExitCode::Unexpected, how),
            Heard::Replaced => {
                self.ready.remove(&shard);
                self.unable.remove(&shard);
            }
            // Nobody has a journal before the start.
            Heard::Report(_) | Heard::Second(_) | Heard::Beat | Heard::Missing(_) => {
                self.ready.entry(shard).and_modify(|heard| *heard = now);
            }
        }
    }

    fn unable(&mut self, shard: u32, exit_code: ExitCode, why: &str) {
        self.ready.remove(&shard);
        self.unable.entry(shard).or_insert_with(|| (exit_code, why.to_owned()));
    }

    /// Those that could not start at this moment.
    pub(super) fn missing(&self, now: Moment) -> BTreeSet<u32> {
        let is_there = |shard: &u32| {
            self.ready
                .get(shard)
                .is_some_and(|heard| self.silent_after.is_none_or(|after| now.since(*heard) <= after))
        };
        (1..=self.of).filter(|shard| !is_there(shard)).collect()
    }

    /// The first that cannot begin at all.
    pub(super) fn first_unable(&self) -> Option<RunError> {
        let (shard, (exit_code, message)) = self.unable.first_key_value()?;
        let (shard, of, exit_code, message) = (*shard, self.of, *exit_code, message.clone());
        Some(RunError::Shard { shard, of, exit_code, message })
    }

    /// Why each of those is missing that could not start at this moment.
    pub(super) fn absent(&self, now: Moment, waited: Duration) -> BTreeMap<u32, String> {
        let why = |shard: u32| match (self.unable.get(&shard), self.ready.get(&shard)) {
            (Some((_, why)), _) => why.clone(),
            (None, Some(_)) => "it was ready, and then nothing was heard of it".to_owned(),
            (None, None) => format!("it was not ready within {} s", waited.as_secs()),
        };
        self.missing(now).into_iter().map(|shard| (shard, why(shard))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn barrier(lost_after: Option<Duration>) -> Barrier {
        let silent = Duration::from_secs(3);
        Barrier::of(3, Patience { silent_after: silent, silent_at_the_end: silent, lost_after, alone: "" })
    }

    fn share(shard: u32) -> Share {
        Share::new(shard, 3).unwrap()
    }

    #[test]
    fn who_was_ready_and_fell_silent_is_missing_until_it_is_heard() {
        let mut barrier = barrier(Some(Duration::from_secs(10)));
        for shard in [1, 2, 3] {
            barrier.take(share(shard), &Heard::Report(Report::Ready), at(1));
        }
        assert!(barrier.missing(at(4)).is_empty());
        barrier.take(share(1), &Heard::Beat, at(4));
        barrier.take(share(3), &Heard::Beat, at(4));
        assert_eq!(barrier.missing(at(5)), [2].into());
        assert_eq!(
            barrier.absent(at(5), at(5).since(Moment::ZERO))[&2],
            "it was ready, and then nothing was heard of it"
        );
        barrier.take(share(2), &Heard::Beat, at(6));
        assert!(barrier.missing(at(6)).is_empty());
        // Somebody else in its place has to be ready itself.
        barrier.take(share(2), &Heard::Replaced, at(6));
        assert_eq!(barrier.missing(at(6)), [2].into());
    }

    #[test]
    fn a_child_that_waits_says_nothing_and_is_ready() {
        let mut barrier = barrier(None);
        barrier.take(share(1), &Heard::Beat, at(1));
        barrier.take(share(2), &Heard::Report(Report::Ready), at(1));
        barrier.take(share(3), &Heard::Gone("killed".to_owned()), at(2));
        assert_eq!(barrier.missing(at(100)), [1, 3].into());
        let why = barrier.absent(at(100), Duration::from_secs(60));
        assert_eq!((why[&1].as_str(), why[&3].as_str()), ("it was not ready within 60 s", "killed"));
        let error = barrier.first_unable().unwrap();
        assert!(matches!(error, RunError::Shard { shard: 3, of: 3, .. }), "{error}");
    }
}
