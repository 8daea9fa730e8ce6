//! A refusal: the status, the true cause, what it says, and when to come back.
//!
//! In: a cause. Out: what a client is told. No I/O, no clock.

use std::time::Duration;

use crate::sample::Cause;
use crate::scenario::keys::{RefusalStatus, WindowLimit};

use super::windows::Usage;

/// Why a handshake is refused, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeRefusal {
    /// The HTTP status.
    pub status: u16,
    /// The true cause.
    pub cause: Cause,
    /// What a full refusal says in its body: a code and a sentence.
    pub words: (&'static str, &'static str),
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// An upgrade on a path where there is nothing.
pub(super) const NOTHING_HERE: HandshakeRefusal = HandshakeRefusal {
    status: 404,
    cause: Cause::ForbiddenOther,
    words: (NOT_FOUND, "there is nothing here"),
    retry_after: None,
};
/// An upgrade from a page that may not connect; its status is the rules'.
pub(super) const WRONG_ORIGIN: (&str, &str) =
    ("origin.forbidden", "connections from this origin are not allowed");
/// The code of an answer that says so.
pub(super) const NOT_FOUND: &str = "not.found";

/// The refusal of a token where the registry is full.
pub(super) const TOO_MANY_TOKENS: HandshakeRefusal = HandshakeRefusal {
    status: 503,
    cause: Cause::RateLimited,
    words: ("full", "more tokens are alive than this target remembers"),
    retry_after: None,
};

/// The status of a refusal for this cause.
pub(super) const fn status_of(rule: RefusalStatus, cause: Cause) -> u16 {
    match (rule, cause) {
        (RefusalStatus::Always(status), _) => status,
        (
            RefusalStatus::Rfc6750,
            Cause::NoToken | Cause::UnknownToken | Cause::StaleToken | Cause::ExpiredToken,
        ) => 401,
        (RefusalStatus::Rfc6750, _) => 403,
    }
}

/// Code and sentence of a refusal for the token's sake.
pub(super) const fn words_of(cause: Cause) -> (&'static str, &'static str) {
    match cause {
        Cause::NoToken => ("token.missing", "no access token was sent"),
        Cause::StaleToken => ("token.stale", "the access token was invalidated"),
        Cause::ExpiredToken => ("token.expired", "the access token expired"),
        Cause::MissingScope => ("missing.scope", "the access token lacks a required scope"),
        _ => ("token.unknown", "the access token is unknown"),
    }
}

/// The refusal of a request beyond a limit.
pub(super) fn over_limit(limit: WindowLimit, usage: Usage, sentence: &'static str) -> HandshakeRefusal {
    let retry_after: Option<Duration> = limit.retry_after.then_some(usage.reset);
    let words = ("too.many.requests", sentence);
    HandshakeRefusal { status: limit.status, cause: Cause::RateLimited, words, retry_after }
}
