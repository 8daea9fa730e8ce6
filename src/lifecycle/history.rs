//! What a client's own history says of why it was refused.
//!
//! In: its refusals, with the token of each, and its admissions. Out: which causes may be claimed at once, and which claims its later attempts
//! prove or refute. A counter-proof is: a token that had been good was refused, and the next attempt with a fresh one, nothing else changed, was let
//! in at once. It is no proof where fresh tokens were refused as well, or where old ones have been let in again: then refusals come and go without the
//! token. What passes by itself between the two attempts cannot be told from a token that is dead.

use crate::clock::Moment;
use crate::sample::{AnsweredBy, AttemptKey, Cause, Ground, Recount};

use super::cause::Attributed;

/// Kinds of refusals of a row that are remembered; the claims of more are left as they were made.
const MOST_REMEMBERED: usize = 8;

/// The token that an attempt carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// When it was requested: by that, tokens are told apart.
    pub(super) requested: Moment,
    /// Whether its life was over.
    pub(super) expired: bool,
    /// Whether it may have been over at the service: its life began before it came.
    pub(super) may_have_expired: bool,
    /// Whether it was granted fewer scopes than were asked for.
    pub(super) lacks_scope: bool,
}

/// What a client has met.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// The token of its last session.
    good: Option<Moment>,
    /// Whether it has ever been let in.
    was_in: bool,
    /// Whether a token that had had a session has opened another.
    old_let_in: bool,
    row: Option<Box<Row>>,
}

/// Refusals since it was last let in.
#[derive(Debug, Clone, Default)]
struct Row {
    refusals: Vec<Refused>,
    /// A token was refused that was neither old nor over its life.
    fresh_refused: bool,
    /// A fresh token was turned away for want of room: nothing can be concluded from what follows.
    is_spoiled: bool,
}

#[derive(Debug, Clone)]
struct Refused {
    key: AttemptKey,
    times: u32,
    carried: Carried,
    /// Whether the token had had a session.
    was_good: bool,
}

impl History {
    /// What may be claimed of a refusal.
    pub(super) fn judge(&self, found: Attributed, carried: Option<Carried>) -> Attributed {
        let unknown = Attributed { cause: Cause::Unknown, ground: Ground::Unknown };
        let is_refuted = match (found.ground, found.cause) {
            (Ground::Known, Cause::NoToken | Cause::MissingScope) => self.was_in,
            (Ground::Known, Cause::ExpiredToken) => self.row.as_ref().is_some_and(|row| {
                let alive = |refused: &Refused| {
                    !refused.carried.may_have_expired
                        && carried.is_some_and(|own| own.requested == refused.carried.requested)
                };
                row.fresh_refused || row.refusals.iter().any(alive)
            }),
            _ => false,
        };
        if is_refuted { unknown } else { found }
    }

    /// An attempt was refused, and is counted by `key`. Answers with what that refutes.
    pub(super) fn refused(&mut self, key: AttemptKey, carried: Option<Carried>) -> Vec<Recount> {
        let Some(carried) = carried else { return Vec::new() };
        let was_good = self.good == Some(carried.requested);
        let row = self.row.get_or_insert_default();
        if matches!(key.cause, Some(Cause::RateLimited | Cause::Overloaded | Cause::Displaced)) {
            row.is_spoiled |= !was_good;
            return Vec::new();
        }
        let mut refuted = Vec::new();
        if !was_good && !carried.may_have_expired && !row.fresh_refused {
            row.fresh_refused = true;
            refuted = row.refusals.iter_mut().filter_map(Refused::refute).collect();
        }
        if !matches!(key.cause, Some(Cause::Unknown | Cause::ExpiredToken)) || is_said(&key) {
            return refuted;
        }
        let room = row.refusals.len() < MOST_REMEMBERED;
        let same = row.refusals.iter_mut().find(|other| other.key == key && other.carried == carried);
        if let Some(same) = same {
            same.times += 1;
        } else if room {
            row.refusals.push(Refused { key, times: 1, carried, was_good });
        }
        refuted
    }

    /// It was let in. Answers with what that proves and refutes.
    pub(super) fn let_in(&mut self, carried: Option<Carried>) -> Vec<Recount> {
        self.was_in = true;
        let row = self.row.take();
        let Some(carried) = carried else { return Vec::new() };
        self.old_let_in |= self.good == Some(carried.requested);
        self.good = Some(carried.requested);
        let Some(mut row) = row else { return Vec::new() };
        let proves = !row.fresh_refused && !row.is_spoiled && !self.old_let_in;
        let judged = row.refusals.iter_mut().filter_map(|refused| {
            if refused.carried.requested == carried.requested {
                // The same token is good after all.
                return if refused.by_edge() {
                    refused.recount(Cause::Edge, Ground::Proved)
                } else {
                    refused.refute()
                };
            }
            if !proves || !(refused.was_good || refused.carried.expired) {
                return None;
            }
            match (refused.carried.expired, refused.carried.may_have_expired) {
                (true, _) => refused.recount(Cause::ExpiredToken, Ground::Proved),
                (false, false) => refused.recount(Cause::StaleToken, Ground::Proved),
                // It was the token's fault, but which one nobody can tell.
                (false, true) => None,
            }
        });
        judged.collect()
    }
}

fn is_said(key: &AttemptKey) -> bool {
    key.answer.as_ref().is_some_and(|answer| answer.ground == Ground::Said)
}

impl Refused {
    fn by_edge(&self) -> bool {
        self.key.answer.as_ref().is_some_and(|answer| answer.by == AnsweredBy::Edge)
    }

    /// Takes back what is claimed of it.
    fn refute(&mut self) -> Option<Recount> {
        let is_claimed = self.key.cause != Some(Cause::Unknown);
        if is_claimed { self.recount(Cause::Unknown, Ground::Unknown) } else { None }
    }

    fn recount(&mut self, cause: Cause, ground: Ground) -> Option<Recount> {
        let mut to = self.key.clone();
        to.cause = Some(cause);
        to.answer.as_mut()?.ground = ground;
        let from = std::mem::replace(&mut self.key, to.clone());
        (from != to).then_some(Recount { from, to, times: self.times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Answer, AttemptKind, Outcome, Spoken};

    const fn carried(requested: u64, expired: bool) -> Option<Carried> {
        Some(Carried {
            requested: Moment::from_ns(requested),
            expired,
            may_have_expired: expired,
            lacks_scope: false,
        })
    }

    fn key(cause: Cause, ground: Ground, by: AnsweredBy) -> AttemptKey {
        let answer = Answer { spoken: Spoken::Http, code: 403, words: None, by, ground };
        AttemptKey {
            kind: AttemptKind::Reconnect,
            outcome: Outcome::Http403,
            cause: Some(cause),
            answer: Some(Box::new(answer)),
        }
    }

    fn bare() -> AttemptKey {
        key(Cause::Unknown, Ground::Unknown, AnsweredBy::Unknown)
    }

    fn expired() -> AttemptKey {
        key(Cause::ExpiredToken, Ground::Known, AnsweredBy::Unknown)
    }

    /// A client that has had a session with the token of moment 1.
    fn known() -> History {
        let mut history = History::default();
        assert!(history.let_in(carried(1, false)).is_empty());
        history
    }

    fn proved(recounts: &[Recount]) -> Vec<(Cause, Ground, u32)> {
        let of = |recount: &Recount| {
            let ground = recount.to.answer.as_ref().unwrap().ground;
            (recount.to.cause.unwrap(), ground, recount.times)
        };
        recounts.iter().map(of).collect()
    }

    #[test]
    fn a_fresh_token_that_is_let_in_at_once_proves_that_it_was_the_tokens_fault() {
        let mut history = known();
        history.refused(bare(), carried(1, false));
        history.refused(bare(), carried(1, false));
        history.refused(expired(), carried(1, true));
        let recounts = history.let_in(carried(2, false));
        let expected = [(Cause::StaleToken, Ground::Proved, 2), (Cause::ExpiredToken, Ground::Proved, 1)];
        assert_eq!(proved(&recounts), expected);
        assert!(history.let_in(carried(3, false)).is_empty(), "once");
    }

    #[test]
    fn a_token_at_the_end_of_its_life_may_have_been_stale_or_expired() {
        let mut history = known();
        history
            .refused(bare(), carried(1, false).map(|carried| Carried { may_have_expired: true, ..carried }));
        assert!(history.let_in(carried(2, false)).is_empty());
    }

    #[test]
    fn where_fresh_tokens_are_refused_as_well_it_was_not() {
        let mut history = known();
        history.refused(expired(), carried(1, true));
        let refuted = history.refused(bare(), carried(2, false));
        assert_eq!(proved(&refuted), [(Cause::Unknown, Ground::Unknown, 1)]);
        let claim = Attributed { cause: Cause::ExpiredToken, ground: Ground::Known };
        assert_eq!(history.judge(claim, carried(2, true)).cause, Cause::Unknown);
        assert!(history.let_in(carried(3, false)).is_empty());
    }

    #[test]
    fn a_token_that_was_refused_while_it_was_good_is_not_refused_for_its_age() {
        let mut history = known();
        history.refused(bare(), carried(1, false));
        let claim = Attributed { cause: Cause::ExpiredToken, ground: Ground::Known };
        assert_eq!(history.judge(claim, carried(1, true)).cause, Cause::Unknown);
        assert_eq!(known().judge(claim, carried(1, true)), claim);
    }

    #[test]
    fn what_comes_and_goes_by_itself_proves_nothing() {
        let mut history = known();
        history.refused(bare(), carried(1, false));
        assert!(history.let_in(carried(1, false)).is_empty(), "the old token, let in again");
        history.refused(bare(), carried(1, false));
        assert!(history.let_in(carried(2, false)).is_empty());
        // A token that never had a session may have been refused for anything.
        let mut history = History::default();
        history.refused(bare(), carried(1, false));
        assert!(history.let_in(carried(2, false)).is_empty());
        let mut history = known();
        history.refused(bare(), carried(1, false));
        history.refused(key(Cause::Overloaded, Ground::Said, AnsweredBy::Service), carried(2, false));
        assert!(history.let_in(carried(2, false)).is_empty(), "it had waited for room in between");
    }

    #[test]
    fn the_same_token_let_in_clears_it_and_blames_what_answered_in_front() {
        let mut history = known();
        history.refused(key(Cause::ExpiredToken, Ground::Known, AnsweredBy::Edge), carried(1, true));
        let recounts = history.let_in(carried(1, true));
        assert_eq!(proved(&recounts), [(Cause::Edge, Ground::Proved, 1)]);
        history.refused(expired(), carried(1, true));
        assert_eq!(proved(&history.let_in(carried(1, true))), [(Cause::Unknown, Ground::Unknown, 1)]);
    }

    #[test]
    fn no_token_is_no_reason_for_a_client_that_was_in_without_one() {
        let claim = Attributed { cause: Cause::NoToken, ground: Ground::Known };
        let mut history = History::default();
        assert_eq!(history.judge(claim, None), claim);
        history.let_in(None);
        assert_eq!(history.judge(claim, None).cause, Cause::Unknown);
    }

    #[test]
    fn what_the_service_said_is_not_weighed() {
        let mut history = known();
        history.refused(key(Cause::ExpiredToken, Ground::Said, AnsweredBy::Service), carried(1, false));
        assert!(history.refused(bare(), carried(2, false)).is_empty());
        assert!(history.let_in(carried(3, false)).is_empty());
    }
}
