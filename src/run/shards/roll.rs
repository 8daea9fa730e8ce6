//! Who of a run's shards still runs, who has fallen silent, and who was stopped alone.
//!
//! In: what is heard of each, and when. Out: answers. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;

/// How long a shard may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Patience {
    /// Until that is told, while the run goes on: each second it tells something.
    pub(in super::super) silent_after: Duration,
    /// And once its time is over, while its target sees the last sessions end.
    pub(in super::super) silent_at_the_end: Duration,
    /// Until it is taken for lost, though it may come back; `None`: its end is known otherwise.
    pub(in super::super) lost_after: Option<Duration>,
    /// By what one can have stopped where nobody told it to.
    pub(in super::super) alone: &'static str,
}

/// The shards of a run.
#[derive(Debug)]
pub(super) struct Roll {
    shards: BTreeMap<u32, Entry>,
    over: Moment,
    patience: Patience,
}

#[derive(Debug, Default)]
struct Entry {
    heard: Moment,
    /// Its silence was told.
    is_silent: bool,
    /// It has been silent for so long that nobody waits for it.
    lost: Option<Duration>,
    is_gone: bool,
    /// It came to its end; and whether that was by a signal of its own.
    ended: Option<bool>,
}

impl Roll {
    /// That of these shards, all running, whose time is over at `over`.
    pub(super) fn of(shards: impl IntoIterator<Item = u32>, over: Moment, patience: Patience) -> Self {
        let shards = shards.into_iter().map(|shard| (shard, Entry::default())).collect();
        Self { shards, over, patience }
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, shard: u32) -> bool {
        self.shards.contains_key(&shard)
    }

    /// How many still run.
    pub(super) fn running(&self) -> usize {
        self.shards.values().filter(|entry| !entry.is_gone && entry.lost.is_none()).count()
    }

    /// Something was heard of it. Answers whether it had been silent.
    pub(super) fn hear(&mut self, shard: u32, now: Moment) -> bool {
        let Some(entry) = self.shards.get_mut(&shard) else { return false };
        entry.heard = now;
        entry.lost = None;
        std::mem::take(&mut entry.is_silent)
    }

    /// Nobody can be heard now, and nobody is blamed for it.
    pub(super) fn excuse(&mut self, now: Moment) {
        self.shards.values_mut().for_each(|entry| entry.heard = entry.heard.max(now));
    }

    /// Those that are taken for lost from now on.
    pub(super) fn newly_lost(&mut self, now: Moment) -> Vec<u32> {
        let Some(after) = self.patience.lost_after else { return Vec::new() };
        let mut found = Vec::new();
        for (shard, entry) in &mut self.shards {
            let silence = now.since(entry.heard);
            if !entry.is_gone && entry.lost.is_none() && silence > after {
                entry.lost = Some(silence);
                found.push(*shard);
            }
        }
        found
    }

    /// It came to its end, `alone` by a signal that nobody else had.
    pub(super) fn end(&mut self, shard: u32, alone: bool) {
        if let Some(entry) = self.shards.get_mut(&shard) {
            entry.ended = Some(alone);
        }
    }

    /// Its process is gone. Answers whether it came to its end before.
    pub(super) fn gone(&mut self, shard: u32) -> bool {
        let Some(entry) = self.shards.get_mut(&shard) else { return false };
        entry.is_gone = true;
        entry.ended.is_some()
    }

    /// How long it has said nothing.
    pub(super) fn silence(&self, shard: u32, now: Moment) -> Duration {
        self.shards.get(&shard).map_or(Duration::ZERO, |entry| now.since(entry.heard))
    }

    /// Those that have said nothing for too long, each told once until it is heard again.
    pub(super) fn newly_silent(&mut self, now: Moment) -> Vec<u32> {
        let patience = match self.patience {
            Patience { silent_after, .. } if now < self.over => silent_after,
            Patience { silent_at_the_end, .. } => silent_at_the_end,
        };
        let mut found = Vec::new();
        for (shard, entry) in &mut self.shards {
            let is_over = entry.is_gone || entry.ended.is_some() || entry.is_silent;
            if !is_over && now.since(entry.heard) > patience {
                entry.is_silent = true;
                found.push(*shard);
            }
        }
        found
    }

    /// Whether it was stopped by a signal of its own.
    pub(super) fn was_alone(&self, shard: u32) -> bool {
        self.shards.get(&shard).is_some_and(|entry| entry.ended == Some(true))
    }

    /// Those that were stopped by a signal of their own, each with the reason that it is lost.
    pub(super) fn stopped_alone(&self) -> impl Iterator<Item = (u32, String)> {
        let why = format!("it was stopped alone, {}", self.patience.alone);
        let alone = self.shards.iter().filter(|(_, entry)| entry.ended == Some(true));
        alone.map(move |(shard, _)| (*shard, why.clone()))
    }

    /// Those that are lost because nothing was heard of them, each with that reason.
    pub(super) fn fallen_silent(&self) -> impl Iterator<Item = (u32, String)> {
        let lost = self.shards.iter().filter(|(_, entry)| !entry.is_gone);
        let lost = lost.filter_map(|(shard, entry)| entry.lost.map(|silence| (*shard, silence)));
        lost.map(|(shard, silence)| (shard, format!("nothing was heard of it for {} s", silence.as_secs())))
    }

    /// What becomes of the others.
    pub(super) fn others_words(&self) -> String {
        match (self.running(), self.shards.len()) {
            (0, _) => "No other is running".to_owned(),
            (1, of) => format!("1 of {of} goes on"),
            (running, of) => format!("{running} of {of} go on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Patience = Patience {
        silent_after: Duration::from_secs(5),
        silent_at_the_end: Duration::from_secs(15),
        lost_after: None,
        alone: "by a signal",
    };

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_told_once_and_not_of_those_that_ended() {
        let mut roll = Roll::of(1..=3, at(60), HERE);
        roll.hear(1, at(4));
        roll.end(3, false);
        assert_eq!(roll.newly_silent(at(5)), Vec::<u32>::new());
        assert_eq!(roll.newly_silent(at(6)), [2]);
        assert_eq!(roll.newly_silent(at(7)), Vec::<u32>::new());
        assert_eq!(roll.silence(2, at(7)), Duration::from_secs(7));
        assert!(roll.hear(2, at(8)) && !roll.hear(2, at(8)));
        assert_eq!(roll.newly_silent(at(14)), [1, 2]);
        // At the end a shard may be busy with its target for longer.
        let mut roll = Roll::of(1..=1, at(60), HERE);
        roll.hear(1, at(59));
        assert_eq!((roll.newly_silent(at(70)), roll.newly_silent(at(75))), (vec![], vec![1]));
    }

    #[test]
    fn what_becomes_of_the_others_is_true() {
        let mut roll = Roll::of(1..=3, at(60), HERE);
        assert!(!roll.gone(2));
        assert_eq!(roll.others_words(), "2 of 3 go on");
        roll.end(1, true);
        assert!(roll.gone(1) && roll.was_alone(1) && !roll.was_alone(2));
        assert_eq!(roll.others_words(), "1 of 3 goes on");
        roll.gone(3);
        assert_eq!((roll.running(), roll.others_words().as_str()), (0, "No other is running"));
        assert_eq!(roll.stopped_alone().map(|(shard, _)| shard).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn who_is_silent_for_too_long_is_lost_until_it_is_heard() {
        let mut roll =
            Roll::of(1..=2, at(60), Patience { lost_after: Some(Duration::from_secs(10)), ..HERE });
        roll.hear(1, at(9));
        assert_eq!(
            (roll.newly_lost(at(10)), roll.newly_lost(at(11)), roll.newly_lost(at(12))),
            (vec![], vec![2], vec![])
        );
        assert_eq!(roll.running(), 1);
        roll.hear(2, at(13));
        assert_eq!(roll.running(), 2);
        // What this end could not hear is nobody's silence.
        roll.excuse(at(30));
        assert_eq!((roll.newly_lost(at(40)), roll.newly_lost(at(41))), (vec![], vec![1, 2]));
    }
}
