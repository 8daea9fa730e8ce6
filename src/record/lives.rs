//! When the clients of a group were wanted in and were in, by tenths of a second: what outages are found by, and what availability is made of.
//!
//! In: turns of clients' lives. Out: sums that merge without loss, whatever the order; what is taken back is subtracted. An interval holds what was told in it,
//! of whatever moment; a run's totals hold [`Presence`] alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::sample::{Abnormal, AttemptKey, Bin, CloseKey, Life, NotBack, WayIn, WayOut, WhyNotBack};

/// A number that changes at moments: how much it has changed by, and its integral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Level {
    /// What it changed by.
    pub net: i64,
    /// The sum of each change times its moment, in nanoseconds since an origin.
    moments_ns: i128,
}

impl Level {
    /// It changes by `by`, `after_ns` behind the origin.
    const fn change(&mut self, after_ns: u64, by: i64) {
        self.net = self.net.saturating_add(by);
        self.moments_ns = self.moments_ns.saturating_add(after_ns as i128 * by as i128);
    }

    /// Adds another; its origin lies `later_ns` behind this one's.
    const fn add(&mut self, other: Self, later_ns: u64) {
        self.net = self.net.saturating_add(other.net);
        let shift = later_ns as i128 * other.net as i128;
        self.moments_ns = self.moments_ns.saturating_add(other.moments_ns).saturating_add(shift);
    }

    /// Its integral from the origin, where it was 0, to `until_ns` behind it.
    #[must_use]
    pub const fn integral_ns(&self, until_ns: u64) -> i128 {
        until_ns as i128 * self.net as i128 - self.moments_ns
    }

    const fn is_zero(&self) -> bool {
        self.net == 0 && self.moments_ns == 0
    }
}

/// How many clients were wanted in, and how many of them were out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Presence {
    /// Those that were wanted.
    pub wanted: Level,
    /// Those of them that were out.
    pub out: Level,
}

impl Presence {
    /// Adds another; its origin lies `later_ns` behind this one's.
    pub const fn add(&mut self, other: &Self, later_ns: u64) {
        self.wanted.add(other.wanted, later_ns);
        self.out.add(other.out, later_ns);
    }

    /// As many, from an origin on.
    #[must_use]
    pub const fn standing(&self) -> Self {
        Self {
            wanted: Level { net: self.wanted.net, moments_ns: 0 },
            out: Level { net: self.out.net, moments_ns: 0 },
        }
    }

    /// Client-seconds up to `until`: wanted, and those of them that were out, in nanoseconds.
    #[must_use]
    pub fn client_ns(&self, until: Moment) -> (i128, i128) {
        (self.wanted.integral_ns(until.as_ns()), self.out.integral_ns(until.as_ns()))
    }

    const fn is_zero(&self) -> bool {
        self.wanted.is_zero() && self.out.is_zero()
    }
}

/// How sessions ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// They were lost: by no wish of the client's, and by no storm of the scenario's.
    pub lost: i64,
    /// Of those, how many because nothing was heard of the peer: they are dated back to when it was last heard of.
    pub silent: i64,
    /// In another way.
    pub otherwise: i64,
}

/// Clients that were lost in one tenth of a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    /// How their sessions ended.
    pub by: BTreeMap<CloseKey, i64>,
    /// When the first was lost, and the last, in microseconds since the run's start; `None`: none was, by what this interval was told.
    pub between_us: Option<(u64, u64)>,
    /// Those that are not back; the origin is the run's start.
    pub out: Level,
    /// How many came back, by the millisecond of the run in which they did.
    pub back: BTreeMap<u32, i64>,
    /// How many were still away when the run ended, by the millisecond of the run in which it did for them.
    pub away: BTreeMap<u32, i64>,
    /// How many gave up.
    pub gave_up: i64,
    /// How many were not wanted back.
    pub not_wanted: i64,
    /// Attempts on the way back that failed.
    pub failed: BTreeMap<AttemptKey, i64>,
}

/// What was told of the lives of a group's clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lives {
    /// Changes in a tenth of a second; the origin of each is the tenth's begin.
    pub presence: BTreeMap<u32, Presence>,
    /// Sessions that let a client in, by the tenth of a second in which they were upgraded.
    pub began: BTreeMap<u32, i64>,
    /// The ends of such, by the tenth of a second, and that in which they had been upgraded.
    pub ended: BTreeMap<(u32, u32), Ends>,
    /// Who was lost, by the tenth of a second.
    pub losses: BTreeMap<u32, Losses>,
}

impl Lives {
    /// Takes in a turn of a client's life, or, where `times` is -1, takes it back.
    pub(super) fn apply(&mut self, life: &Life, times: i64) {
        match life {
            Life::Came(due) => {
                self.want(*due, times);
                self.out(*due, times);
            }
            Life::In(WayIn { at, upgraded, lost_in }) => {
                self.out(*at, -times);
                add(self.began.entry(Bin::of(*upgraded).index()).or_default(), times);
                if let Some(losses) = lost_in.map(|bin| self.losses(bin)) {
                    add(losses.back.entry(millisecond(*at)).or_default(), times);
                    losses.out.change(at.as_ns(), -times);
                }
            }
            Life::Out(out) => self.apply_out(out, times),
            Life::Failed(bin, key) => {
                add(self.losses(*bin).failed.entry((**key).clone()).or_default(), times);
            }
            Life::Recounted(bin, recount) => {
                let failed = &mut self.losses(*bin).failed;
                add(failed.entry(recount.from.clone()).or_default(), -times * i64::from(recount.times));
                add(failed.entry(recount.to.clone()).or_default(), times * i64::from(recount.times));
            }
            Life::NotBack(NotBack { lost_in, at, why }) => {
                let losses = self.losses(*lost_in);
                match why {
                    WhyNotBack::GaveUp => return add(&mut losses.gave_up, times),
                    WhyNotBack::NotWanted => add(&mut losses.not_wanted, times),
                    WhyNotBack::RunEnded => add(losses.away.entry(millisecond(*at)).or_default(), times),
                }
                losses.out.change(at.as_ns(), -times);
            }
            Life::Gone { at, upgraded } => {
                self.want(*at, -times);
                match upgraded {
                    Some(upgraded) => add(&mut self.ends(*at, *upgraded).otherwise, times),
                    None => self.out(*at, -times),
                }
            }
        }
    }

    fn apply_out(&mut self, out: &WayOut, times: i64) {
        let WayOut { from, upgraded, key, is_lost } = *out;
        self.out(from, times);
        if !is_lost {
            return add(&mut self.ends(from, upgraded).otherwise, times);
        }
        let ends = self.ends(from, upgraded);
        add(&mut ends.lost, times);
        if key.abnormal == Some(Abnormal::Timeout) {
            add(&mut ends.silent, times);
        }
        let losses = self.losses(Bin::of(from));
        add(losses.by.entry(key).or_default(), times);
        losses.between_us = joined_us(losses.between_us, Some((from.as_us(), from.as_us())));
        losses.out.change(from.as_ns(), times);
    }

    fn want(&mut self, at: Moment, by: i64) {
        let bin = Bin::of(at);
        self.presence.entry(bin.index()).or_default().wanted.change(at.as_ns() - bin.begins().as_ns(), by);
    }

    fn out(&mut self, at: Moment, by: i64) {
        let bin = Bin::of(at);
        self.presence.entry(bin.index()).or_default().out.change(at.as_ns() - bin.begins().as_ns(), by);
    }

    fn ends(&mut self, at: Moment, upgraded: Moment) -> &mut Ends {
        self.ended.entry((Bin::of(at).index(), Bin::of(upgraded).index())).or_default()
    }

    fn losses(&mut self, bin: Bin) -> &mut Losses {
        self.losses.entry(bin.index()).or_default()
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (bin, presence) in &other.presence {
            self.presence.entry(*bin).or_default().add(presence, 0);
        }
        for (bin, n) in &other.began {
            add(self.began.entry(*bin).or_default(), *n);
        }
        for (bins, ends) in &other.ended {
            let own = self.ended.entry(*bins).or_default();
            add(&mut own.lost, ends.lost);
            add(&mut own.silent, ends.silent);
            add(&mut own.otherwise, ends.otherwise);
        }
        for (bin, losses) in &other.losses {
            self.losses.entry(*bin).or_default().merge(losses);
        }
    }

    /// Leaves out what has come to nothing: what was told and taken back.
    pub(super) fn settle(&mut self) {
        self.presence.retain(|_, presence| !presence.is_zero());
        self.began.retain(|_, n| *n != 0);
        self.ended.retain(|_, ends| *ends != Ends::default());
        self.losses.values_mut().for_each(Losses::settle);
        self.losses.retain(|_, losses| *losses != Losses::default());
    }

    /// All changes together; the origin is the run's start.
    #[must_use]
    pub fn presence(&self) -> Presence {
        let mut all = Presence::default();
        for (bin, presence) in &self.presence {
            all.add(presence, Bin::nth(*bin).begins().as_ns());
        }
        all
    }

    /// Keeps no more than who was present over all, as if told in the run's first tenth of a second.
    pub fn fold(&mut self) {
        let all = self.presence();
        *self = Self::default();
        if !all.is_zero() {
            self.presence.insert(0, all);
        }
    }

    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.presence.is_empty() && self.began.is_empty() && self.ended.is_empty() && self.losses.is_empty()
    }
}

impl Losses {
    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (key, n) in &other.by {
            add(self.by.entry(*key).or_default(), *n);
        }
        self.between_us = joined_us(self.between_us, other.between_us);
        self.out.add(other.out, 0);
        for (ms, n) in &other.back {
            add(self.back.entry(*ms).or_default(), *n);
        }
        for (ms, n) in &other.away {
            add(self.away.entry(*ms).or_default(), *n);
        }
        add(&mut self.gave_up, other.gave_up);
        add(&mut self.not_wanted, other.not_wanted);
        for (key, n) in &other.failed {
            add(self.failed.entry(key.clone()).or_default(), *n);
        }
    }

    fn settle(&mut self) {
        self.by.retain(|_, n| *n != 0);
        self.back.retain(|_, n| *n != 0);
        self.away.retain(|_, n| *n != 0);
        self.failed.retain(|_, n| *n != 0);
    }
}

fn add(to: &mut i64, n: i64) {
    *to = to.saturating_add(n);
}

/// The millisecond of the run; the last that there is where that is beyond it.
fn millisecond(at: Moment) -> u32 {
    u32::try_from(at.as_ns() / 1_000_000).unwrap_or(u32::MAX)
}

fn joined_us(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some((first, last)), Some((other_first, other_last))) => {
            Some((first.min(other_first), last.max(other_last)))
        }
        (one, other) => one.or(other),
    }
}
