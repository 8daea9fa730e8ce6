//! How a run in virtual time ended.
//!
//! In: nothing of its own. Out: what ended it, the target's counts, and by how much they differ from the clients'.

use crate::clock::Moment;
use crate::service::counters::TargetCounters;

use super::request::Unheard;

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Its time was over.
    Time,
    /// Every client was done before.
    ClientsDone,
    /// Whoever took the samples.
    Taker,
}

/// How a run in virtual time ended.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualEnd {
    /// What ended it.
    pub by: EndedBy,
    /// When the last client was done.
    pub elapsed: Moment,
    /// The target's counts, once it had seen the last session end.
    pub counters: TargetCounters,
    /// What the target did that no client came to know of.
    pub lost: Lost,
    /// Events that were worked off.
    pub events: u64,
    /// What an audit found; empty where none was asked for.
    pub faults: Vec<String>,
}

/// What one side knows and the other does not: exactly by how much their counts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// TCP connections that clients count and the target does not, for no upgrade request came over them; less those that the target
    /// counts and a client that was cut off does not.
    pub requests: i64,
    /// Upgrades (101) whose answer found no client.
    pub upgrades: u64,
    /// Refusals of handshakes whose answer found no client.
    pub refusals: u64,
    /// Tokens that were issued to a client that had gone.
    pub tokens: u64,
}

impl Lost {
    /// An answer of the service found no client.
    pub(super) const fn count_unheard(&mut self, unheard: Option<Unheard>) {
        match unheard {
            Some(Unheard::Token) => self.tokens += 1,
            Some(Unheard::Admission) => self.upgrades += 1,
            Some(Unheard::Refusal) => self.refusals += 1,
            None => {}
        }
    }

    /// A client was cut off whose request the target has seen, or has not.
    pub(super) fn count_cut_off(&mut self, is_seen: bool) {
        self.requests -= i64::from(is_seen);
    }

    /// A request came to nothing over a connection that the client had, or had not, and that the target has seen, or has not.
    pub(super) fn count_request(&mut self, connected: bool, is_seen: bool) {
        self.requests += i64::from(connected && !is_seen);
    }
}
