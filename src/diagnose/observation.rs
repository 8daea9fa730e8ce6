//! What an experiment asked, and what was seen.
//!
//! In: nothing. Out: plain types; they are also the evidence in the JSON answer.

use std::time::Duration;

use serde::Serialize;

use crate::lifecycle::{Evidence, TokenKnowledge, attribute};
use crate::sample::{Cause, Outcome, RequestAnswer};
use crate::units::{format_duration, format_us};

/// One thing that was changed, or left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Experiment {
    /// The first handshake, as the scenario has it.
    FreshToken,
    /// Whether the first session lasts.
    FirstSession,
    /// Without any token.
    NoToken,
    /// With a token that no service knows.
    NonsenseToken,
    /// With the token in the `Authorization` header.
    InHeader,
    /// With the token in the query, as `access_token`.
    InQuery,
    /// With another fresh token.
    AnotherFreshToken,
    /// With a fresh token after a wait.
    FreshAfterWait,
    /// With the same token, at once after a clean close.
    SameAfterClose,
    /// With a fresh token, after the same one had been refused after a clean close.
    FreshAfterClose,
    /// With that same token, after a wait.
    SameAfterCloseAndWait,
    /// With a fresh token, after a clean close and a wait.
    FreshAfterCloseAndWait,
    /// A new session, with a fresh token.
    NewSession,
    /// A second session beside it, with a token of its own.
    SecondBeside,
    /// What became of the first one when the second came.
    FirstBeside,
    /// A second session with the very token that another session is open with.
    SameBeside,
    /// With the older of two tokens, neither used before.
    OlderOfTwo,
    /// A session that does nothing: how and when it ends.
    IdleSession,
    /// With the same token, at once after the idle close.
    SameAfterIdle,
    /// With a fresh token, after the same one had been refused after the idle close.
    FreshAfterIdle,
    /// With a fresh token, after the idle close and a wait.
    FreshAfterIdleAndWait,
    /// With a token as old as the idle session's that no session was opened with.
    AgedUnused,
    /// With a token that asks for a scope which opens nothing.
    OtherScope,
    /// On the same channel, or with the same ticket, at once after a clean close.
    ChannelAfterClose,
    /// The same at once after the idle close.
    ChannelAfterIdle,
    /// A second session on the channel that another session is open on.
    ChannelBeside,
    /// What became of that one.
    FirstOnChannel,
}

impl Experiment {
    /// The experiment in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::FreshToken => "handshake as the scenario has it",
            Self::FirstSession => "that session, for a moment",
            Self::NoToken => "no token",
            Self::NonsenseToken => "a token that nobody knows",
            Self::InHeader => "token in the Authorization header",
            Self::InQuery => "token in the query, as access_token",
            Self::AnotherFreshToken => "another fresh token, at once",
            Self::FreshAfterWait => "a fresh token, after a wait",
            Self::SameAfterClose => "same token, at once after a clean close",
            Self::FreshAfterClose => "fresh token, at once after that",
            Self::SameAfterCloseAndWait => "that same token, after a wait",
            Self::FreshAfterCloseAndWait => "fresh token, after a wait",
            Self::NewSession => "a new session, fresh token",
            Self::SecondBeside => "a second session beside it, own token",
            Self::FirstBeside => "the first session meanwhile",
            Self::SameBeside => "a session with a token in use",
            Self::OlderOfTwo => "the older of two unused tokens",
            Self::IdleSession => "a session without traffic",
            Self::SameAfterIdle => "same token, at once after the idle close",
            Self::FreshAfterIdle => "fresh token, at once after that",
            Self::FreshAfterIdleAndWait => "fresh token, after a wait",
            Self::AgedUnused => "unused token of the same age",
            Self::OtherScope => "token asked for with another scope",
            Self::ChannelAfterClose => "same channel, at once after a clean close",
            Self::ChannelAfterIdle => "same channel, at once after the idle close",
            Self::ChannelBeside => "a second session on an open channel",
            Self::FirstOnChannel => "the first session on it meanwhile",
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Seen {
    /// 101: a session.
    Opened,
    /// A refusal.
    Refused(Refused),
    /// No answer that could be read.
    Failed {
        /// How it failed.
        outcome: Outcome,
    },
    /// The token endpoint gave no token.
    TokenRefused {
        /// How it failed.
        outcome: Outcome,
        /// How the connection to it failed, where it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<Outcome>,
        /// The HTTP status; `None` where there was no answer.
        status: Option<u16>,
        /// The error code, where it is a known one (RFC 6749 §5.2).
        code: Option<&'static str>,
        /// What the request came to.
        answer: RequestAnswer,
    },
    /// The session ended.
    Ended {
        /// The close code; 1006 where no close frame came.
        close_code: u16,
        /// How long it had lasted.
        after_s: f64,
    },
    /// The session went on.
    WentOn {
        /// For so long.
        for_s: f64,
    },
}

/// In which way a handshake was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "manner", rename_all = "snake_case")]
pub enum Manner {
    /// By an HTTP status.
    Status,
    /// 101, and the session was closed at once.
    Closed {
        /// With this code; 1006 where no close frame came.
        close_code: u16,
    },
    /// No answer, from a service that had answered before.
    Unanswered {
        /// How the attempt failed.
        outcome: Outcome,
    },
}

/// A refusal of a handshake, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// In which way.
    #[serde(flatten)]
    pub manner: Manner,
    /// The HTTP status; 101 where the refusal came after it, 0 where there was no answer.
    pub status: u16,
    /// The cause that the answer and the token's age give away.
    pub cause: Cause,
    /// The code in its body.
    pub code: Option<String>,
    /// `error` of its challenge (RFC 6750 §3).
    pub challenge: Option<String>,
    /// Whether its body is an HTML page.
    pub html: bool,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<f64>,
}

impl Refused {
    /// What `evidence` says of a handshake with a token of which `knowledge` is had.
    #[must_use]
    pub fn new(evidence: &Evidence, knowledge: TokenKnowledge) -> Self {
        Self {
            manner: Manner::Status,
            status: evidence.status,
            cause: attribute(evidence, knowledge).cause,
            code: evidence.body_code.as_deref().and_then(showable),
            challenge: evidence.bearer_error.as_deref().and_then(showable),
            html: evidence.html,
            retry_after_s: evidence.retry_after.map(|wait| wait.as_secs_f64()),
        }
    }

    /// A refusal that is none of HTTP's: it says nothing of its cause.
    #[must_use]
    pub const fn otherwise(manner: Manner) -> Self {
        let status = match manner {
            Manner::Closed { .. } => 101,
            _ => 0,
        };
        Self {
            manner,
            status,
            cause: Cause::Unknown,
            code: None,
            challenge: None,
            html: false,
            retry_after_s: None,
        }
    }

    /// How it was told: a status, or what stood in its place.
    #[must_use]
    pub fn told(&self) -> String {
        match self.manner {
            Manner::Status => self.status.to_string(),
            Manner::Closed { close_code } => format!("101, then closed with {close_code}"),
            Manner::Unanswered { outcome } => format!("no answer: {outcome}"),
        }
    }

    /// Whether it says that there were too many requests.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        self.status == 429 || self.cause == Cause::RateLimited
    }

    fn words(&self) -> String {
        let mut words = self.told();
        if self.manner != Manner::Status {
            return words;
        }
        let said = self.code.as_deref().or(self.challenge.as_deref());
        match (said, self.html) {
            (Some(said), _) => words.push_str(&format!(" {said}")),
            (None, true) => words.push_str(" with an HTML page"),
            (None, false) => words.push_str(" without a reason"),
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

impl Seen {
    /// The same in words.
    #[must_use]
    pub fn words(&self) -> String {
        let seconds = |s: f64| format_duration(Duration::from_millis((s * 1e3).round() as u64));
        match self {
            Self::Opened => "101, opened".to_owned(),
            Self::Refused(refused) => refused.words(),
            Self::Failed { outcome } => format!("failed: {outcome}"),
            Self::TokenRefused { outcome, connection, status, code, answer } => {
                let mut words = format!("no token: {outcome}");
                if let Some(connection) = connection {
                    words.push_str(&format!(", {connection}"));
                }
                if let Some(status) = status {
                    words.push_str(&format!(", {status}"));
                }
                if let Some(code) = code {
                    words.push_str(&format!(" {code}"));
                }
                if let Some(wrong) = wrong_with(*answer) {
                    words.push_str(&format!(", {wrong}"));
                }
                words
            }
            Self::Ended { close_code, after_s } => {
                format!("closed with {close_code} after {}", seconds(*after_s))
            }
            Self::WentOn { for_s } => format!("still open after {}", seconds(*for_s)),
        }
    }
}

/// One line of the evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// The experiment.
    pub experiment: Experiment,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
    /// When, in seconds since the beginning.
    pub at_s: f64,
    /// How old the token was, in seconds; `None`: none was fetched for it.
    pub token_age_s: Option<f64>,
    /// From the connection's beginning to its answer, in microseconds.
    pub took_us: Option<u64>,
}

impl Observation {
    /// The cells of its line in a table.
    #[must_use]
    pub fn cells(&self) -> [String; 4] {
        let age = self.token_age_s.map_or_else(String::new, |age| format!("{age:.1} s"));
        let took = self.took_us.map_or_else(String::new, format_us);
        [self.experiment.words().to_owned(), age, self.seen.words(), took]
    }
}

/// What is wrong with the body of an answer with a good status.
pub(super) const fn wrong_with(answer: RequestAnswer) -> Option<&'static str> {
    match answer {
        RequestAnswer::NotJson => Some("and no JSON"),
        RequestAnswer::NoAccessToken => Some("and no access_token"),
        RequestAnswer::UnreadableField => Some("and a field that cannot be read, as expires_in"),
        RequestAnswer::TooLarge => Some("and more than is read"),
        _ => None,
    }
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
}
