//! A refusal, as far as it may be shown.
//!
//! In: what was said where a client was not let in. Out: plain types; they are part of the evidence in the JSON answer.

use serde::Serialize;

use crate::lifecycle::{Evidence, TokenKnowledge, attribute, is_attributed};
use crate::sample::{AnsweredBy, Cause, Ground, Outcome};
use crate::units::format_duration;

/// In which way a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "manner", rename_all = "snake_case")]
pub enum Manner {
    /// By an HTTP status.
    Status,
    /// 101, and the session was closed before the client was in.
    Closed {
        /// With this code; 1006 where no close frame came.
        close_code: u16,
    },
    /// No answer, from a service that had answered before.
    Unanswered {
        /// How the attempt failed.
        outcome: Outcome,
    },
    /// 101, and then a message that turned the client away.
    Message,
    /// 101, and then nothing of what makes a session ready.
    NotReady {
        /// So long was it waited for, in milliseconds.
        after_ms: u64,
    },
}

/// A refusal, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// In which way.
    #[serde(flatten)]
    pub manner: Manner,
    /// The HTTP status; 101 where the refusal came after it, 0 where there was no answer.
    pub status: u16,
    /// The cause that the answer and the token's age give away.
    pub cause: Cause,
    /// What it says: the code in its body, a close frame's reason, a message's words.
    pub code: Option<String>,
    /// `error` of its challenge (RFC 6750 §3).
    pub challenge: Option<String>,
    /// Whether its body is an HTML page.
    pub html: bool,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<f64>,
    /// How far the service's clock is ahead of ours, in seconds, where the handshake was signed and the answer says what time it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_s: Option<i64>,
    /// Who answered. It says nothing of why.
    pub answered_by: AnsweredBy,
    /// The request before the handshake that was refused, by its name; `None`: it was the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

impl Refused {
    /// What `evidence` says of a handshake, or a request before it, with a token of which `knowledge` is had.
    #[must_use]
    pub fn new(manner: Manner, evidence: &Evidence, knowledge: TokenKnowledge) -> Self {
        let is_status = manner == Manner::Status;
        let words = if is_status {
            evidence.body_code.as_deref().and_then(|code| evidence.known_words().or_else(|| showable(code)))
        } else {
            // Sentences too, where they are short and plain.
            evidence.answer(Ground::Unknown).words.map(String::from)
        };
        let cause =
            if is_attributed(evidence) { attribute(evidence, knowledge).cause } else { Cause::Unknown };
        Self {
            manner,
            status: if is_status { evidence.status } else { 101 },
            cause,
            code: words,
            challenge: evidence.bearer_error.as_deref().and_then(showable),
            html: evidence.html,
            retry_after_s: evidence.retry_after.map(|wait| wait.as_secs_f64()),
            clock_ahead_s: evidence.clock_ahead_s,
            answered_by: evidence.by(),
            step: None,
        }
    }

    /// No answer came where one had come before.
    #[must_use]
    pub const fn unanswered(outcome: Outcome) -> Self {
        Self {
            manner: Manner::Unanswered { outcome },
            status: 0,
            cause: Cause::Unknown,
            code: None,
            challenge: None,
            html: false,
            retry_after_s: None,
            clock_ahead_s: None,
            answered_by: AnsweredBy::Unknown,
            step: None,
        }
    }

    /// The same, of the step of that name.
    #[must_use]
    pub fn at_step(self, step: Option<String>) -> Self {
        Self { step, ..self }
    }

    /// How it was told: a status, or what stood in its place.
    #[must_use]
    pub fn told(&self) -> String {
        let told = match self.manner {
            Manner::Status => self.status.to_string(),
            Manner::Closed { close_code } => format!("101, then closed with {close_code}"),
            Manner::Unanswered { outcome } => format!("no answer: {outcome}"),
            Manner::Message => "101, then turned away by a message".to_owned(),
            Manner::NotReady { after_ms } => {
                let waited = std::time::Duration::from_millis(after_ms);
                format!("101, then not ready within {}", format_duration(waited))
            }
        };
        self.step.as_ref().map_or_else(|| told.clone(), |step| format!("the step `{step}`: {told}"))
    }

    /// What it says in words of its own.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.code.as_deref().or(self.challenge.as_deref())
    }

    /// How it was told, and what it says.
    #[must_use]
    pub fn told_and_said(&self) -> String {
        match self.said() {
            Some(said) => format!("{} {said}", self.told()),
            None => self.told(),
        }
    }

    /// Whether it says that there were too many requests.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        self.status == 429 || self.cause == Cause::RateLimited
    }

    /// Whether it may be for anything of the handshake: it names no other cause, and was told by a status or a close.
    #[must_use]
    pub const fn leaves_handshake_open(&self) -> bool {
        matches!(self.manner, Manner::Status | Manner::Closed { .. })
            && matches!(self.cause, Cause::Unknown | Cause::ForbiddenOther | Cause::NoToken | Cause::Origin)
    }

    /// Whether the stock page of a gateway told it.
    #[must_use]
    pub fn is_by_edge(&self) -> bool {
        self.answered_by == AnsweredBy::Edge
    }

    /// Whether nothing tells the two apart.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.manner == other.manner
            && self.status == other.status
            && self.said() == other.said()
            && self.html == other.html
            && self.answered_by == other.answered_by
            && self.step == other.step
    }

    /// The same in words.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.told();
        match (self.said(), self.html) {
            (Some(said), _) => words.push_str(&format!(" {said}")),
            (None, true) if self.is_by_edge() => words.push_str(" with a gateway's stock page"),
            (None, true) => words.push_str(" with an HTML page"),
            (None, false) if self.manner == Manner::Status && self.status >= 400 => {
                words.push_str(" without a reason");
            }
            (None, false) => {}
        }
        if let Some(seconds) = self.retry_after_s {
            words.push_str(&format!(", Retry-After {seconds} s"));
        }
        words
    }
}

/// A code of a target, where it looks like one: anything else may hold what must not be shown.
fn showable(code: &str) -> Option<String> {
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!code.is_empty() && code.len() <= 40 && code.chars().all(is_code)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_code_is_shown() {
        assert_eq!(showable("missing.permissions").as_deref(), Some("missing.permissions"));
        assert_eq!(showable("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc"), None, "too long");
        assert_eq!(showable("Bearer abc"), None);
        assert_eq!(showable(""), None);
    }

    #[test]
    fn a_refusal_says_where_and_how_it_was_told() {
        let of_close = |code, reason| {
            Refused::new(
                Manner::Closed { close_code: code },
                &Evidence::of_close(code, Some(reason)),
                TokenKnowledge::Sent,
            )
        };
        let by_message = Refused::new(Manner::Message, &Evidence::of_message(None), TokenKnowledge::Sent);
        let silent =
            Refused::new(Manner::NotReady { after_ms: 2_000 }, &Evidence::silence(), TokenKnowledge::NotSent);
        let bare = Refused::new(
            Manner::Status,
            &Evidence::read(401, None, None, b"{\"error\":\"token_expired\"}", None),
            TokenKnowledge::Sent,
        );
        // (refusal, its words, its cause)
        let rows = [
            (
                of_close(4401, "token expired"),
                "101, then closed with 4401 token expired",
                Cause::ExpiredToken,
            ),
            (of_close(1006, ""), "101, then closed with 1006", Cause::Unknown),
            (
                of_close(4401, "eyJhbGciOiJIUzI1NiJ9eyJzdWIiOiIx"),
                "101, then closed with 4401",
                Cause::Unknown,
            ),
            (by_message, "101, then turned away by a message", Cause::Unknown),
            (silent, "101, then not ready within 2s", Cause::Unknown),
            (
                bare.at_step(Some("negotiate".to_owned())),
                "the step `negotiate`: 401 token_expired",
                Cause::ExpiredToken,
            ),
        ];
        for (refused, words, cause) in rows {
            assert_eq!((refused.words().as_str(), refused.cause), (words, cause));
        }
    }
}
