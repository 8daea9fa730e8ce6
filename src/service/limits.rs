//! What a client id may have and do at once: sessions, handshakes in a window, a lock after a session's end.
//!
//! In: `(now, client, event)`. Out: leave to open a session, whose place it takes, or why there is none. No I/O, no clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::{AtSessionLimit, RefusalStatus, TargetRules};

use super::client_key::ClientKey;
use super::refusal::{HandshakeRefusal, status_of};
use super::session::SessionId;
use super::windows::{Counted, Windows};

/// Why a client id may not open a session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Barred {
    pub(super) why: Bar,
    /// How long to stay away, where that is known.
    pub(super) retry_after: Option<Duration>,
}

/// Which limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bar {
    /// A session of it ended a moment ago.
    Locked,
    /// It has all the sessions that it may have.
    TooManySessions,
    /// Too many handshakes in the window; the status that says so.
    TooManyHandshakes(u16),
}

impl Bar {
    pub(super) const fn cause(self) -> Cause {
        match self {
            Self::Locked | Self::TooManySessions => Cause::ForbiddenOther,
            Self::TooManyHandshakes(_) => Cause::RateLimited,
        }
    }
}

impl Barred {
    /// What the client is told.
    pub(super) fn refusal(self, rule: RefusalStatus) -> HandshakeRefusal {
        let cause = self.why.cause();
        let (status, words) = match self.why {
            Bar::Locked => {
                (status_of(rule, cause), ("client.locked", "the client id was disconnected a moment ago"))
            }
            Bar::TooManySessions => {
                (status_of(rule, cause), ("too.many.sessions", "the client id has all its sessions open"))
            }
            Bar::TooManyHandshakes(status) => {
                (status, ("too.many.requests", "too many handshakes of this client id"))
            }
        };
        HandshakeRefusal { status, cause, words, retry_after: self.retry_after }
    }
}

#[derive(Debug, Default)]
struct Usage {
    open: VecDeque<SessionId>,
    locked_until: Moment,
}

/// All client ids that have asked for a token. Kept only where a rule looks at them.
#[derive(Debug, Default)]
pub(super) struct ClientLimits {
    keys: HashMap<String, ClientKey>,
    usage: Vec<Usage>,
}

impl ClientLimits {
    /// Whether any of `rules` looks at client ids.
    pub(super) const fn are_needed(rules: &TargetRules) -> bool {
        rules.client_lock.is_some()
            || rules.sessions_per_client.is_some()
            || rules.handshake_limit.is_some()
            || rules.tickets.is_some()
            || rules.token_limit.is_some()
            || !rules.request_limits.is_empty()
    }

    /// The key of a client id.
    pub(super) fn key(&mut self, id: &str) -> ClientKey {
        if let Some(key) = self.keys.get(id) {
            return *key;
        }
        let key = ClientKey::of(self.usage.len());
        self.usage.push(Usage::default());
        self.keys.insert(id.to_owned(), key);
        key
    }

    fn usage(&mut self, key: ClientKey) -> Option<&mut Usage> {
        self.usage.get_mut(key.index())
    }

    /// A handshake of this client has come: leave, or none. It counts either way.
    pub(super) fn ask(
        &mut self,
        now: Moment,
        key: ClientKey,
        rules: &TargetRules,
        windows: &mut Windows,
    ) -> Result<(), Barred> {
        let Some(usage) = self.usage(key) else { return Ok(()) };
        if let Some(limit) = rules.handshake_limit {
            let counted = windows.count(now, Counted::Handshakes(key), limit);
            if counted.is_over() {
                let retry_after = limit.retry_after.then_some(counted.reset);
                return Err(Barred { why: Bar::TooManyHandshakes(limit.status), retry_after });
            }
        }
        if now < usage.locked_until {
            return Err(Barred { why: Bar::Locked, retry_after: None });
        }
        let is_full = rules.sessions_per_client.is_some_and(|most| usage.open.len() >= most as usize);
        if is_full && rules.at_session_limit == AtSessionLimit::Refuse {
            return Err(Barred { why: Bar::TooManySessions, retry_after: None });
        }
        Ok(())
    }

    /// A session of this client was opened; answers with the one that it displaces.
    pub(super) fn open(&mut self, key: ClientKey, id: SessionId, rules: &TargetRules) -> Option<SessionId> {
        let most = rules.sessions_per_client;
        let usage = self.usage(key)?;
        usage.open.push_back(id);
        let is_over = most.is_some_and(|most| usage.open.len() > most as usize);
        if is_over { usage.open.pop_front() } else { None }
    }

    /// A session of this client is ending: its place is free, and the lock begins.
    pub(super) fn leave(&mut self, now: Moment, key: ClientKey, id: SessionId, rules: &TargetRules) {
        let lock = rules.client_lock;
        let Some(usage) = self.usage(key) else { return };
        usage.open.retain(|open| *open != id);
        if let Some(lock) = lock {
            usage.locked_until = usage.locked_until.max(now + lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::WindowLimit;

    fn at(s: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(s)
    }

    fn why(answer: Result<(), Barred>) -> Option<Bar> {
        answer.err().map(|barred| barred.why)
    }

    #[test]
    fn a_client_is_locked_after_its_session() {
        let rules = TargetRules { client_lock: Some(Duration::from_secs(3)), ..TargetRules::default() };
        let (mut limits, mut windows) = (ClientLimits::default(), Windows::default());
        let (a, b) = (limits.key("a"), limits.key("b"));
        assert_eq!(limits.open(a, SessionId(1), &rules), None);
        limits.leave(at(10), a, SessionId(1), &rules);
        assert_eq!(why(limits.ask(at(12), a, &rules, &mut windows)), Some(Bar::Locked));
        assert_eq!(why(limits.ask(at(12), b, &rules, &mut windows)), None, "another client is not");
        assert_eq!(why(limits.ask(at(13), a, &rules, &mut windows)), None);
        assert_eq!(limits.key("a"), a);
    }

    #[test]
    fn sessions_beyond_the_limit_are_refused_or_displace_the_oldest() {
        let refuse = TargetRules { sessions_per_client: Some(1), ..TargetRules::default() };
        let displace = TargetRules { at_session_limit: AtSessionLimit::Displace, ..refuse.clone() };
        let (mut limits, mut windows) = (ClientLimits::default(), Windows::default());
        let key = limits.key("a");
        limits.open(key, SessionId(1), &refuse);
        assert_eq!(why(limits.ask(at(0), key, &refuse, &mut windows)), Some(Bar::TooManySessions));
        assert_eq!(why(limits.ask(at(0), key, &displace, &mut windows)), None);
        assert_eq!(limits.open(key, SessionId(2), &displace), Some(SessionId(1)));
        limits.leave(at(1), key, SessionId(2), &refuse);
        assert_eq!(why(limits.ask(at(1), key, &refuse, &mut windows)), None, "its place is free");
    }

    #[test]
    fn handshakes_are_limited_in_a_window() {
        let limit = WindowLimit { count: 2, per: Duration::from_secs(10), status: 429, retry_after: true };
        let rules = TargetRules { handshake_limit: Some(limit), ..TargetRules::default() };
        let (mut limits, mut windows) = (ClientLimits::default(), Windows::default());
        let key = limits.key("a");
        let answers = [5, 6, 7, 14, 15].map(|s| limits.ask(at(s), key, &rules, &mut windows));
        let barred = |after| {
            let retry_after = Some(Duration::from_secs(after));
            Err(Barred { why: Bar::TooManyHandshakes(429), retry_after })
        };
        assert_eq!(answers, [Ok(()), Ok(()), barred(8), barred(1), Ok(())]);
    }
}
