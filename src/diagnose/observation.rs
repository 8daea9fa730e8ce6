//! What an experiment asked, and what was seen.
//!
//! In: nothing. Out: plain types; they are also the evidence in the JSON answer.

use std::time::Duration;

use serde::Serialize;

use crate::drive::network::ProbeEnding;
use crate::sample::{Outcome, RequestAnswer};
use crate::units::{format_duration, format_us};

use super::refused::Refused;

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
    /// Without the `Origin` that the scenario sends.
    WithoutOrigin,
    /// With the origin of the target's own host.
    OwnOrigin,
    /// With an origin that was named for it, or that another group of the scenario sends.
    GivenOrigin,
    /// With the origin `null`, as of a page without one.
    NullOrigin,
    /// Without the subprotocols that the scenario offers.
    WithoutSubprotocol,
    /// With all subprotocols offered that are known or were named.
    KnownSubprotocols,
    /// With one of them.
    OneSubprotocol,
    /// With another `Host`.
    OtherHost,
    /// With the path's slash taken away, or put there.
    OtherSlash,
    /// A plain GET of the same URL.
    PlainGet,
    /// The same handshake by HTTP/1.0.
    OldHttp,
    /// With a signature whose time is over.
    OldSignature,
    /// The first handshake once more, after another one had let the client in.
    SameAgain,
}

impl Experiment {
    /// Whether it changes how the request is written, and nothing of what a service reads after its upgrade.
    pub(super) const fn is_of_writing(self) -> bool {
        matches!(self, Self::OtherHost | Self::OtherSlash | Self::PlainGet | Self::OldHttp)
    }

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
            Self::OldSignature => "a signature whose time is over",
            Self::AgedUnused => "unused token of the same age",
            Self::OtherScope => "token asked for with another scope",
            Self::ChannelAfterClose => "same channel, at once after a clean close",
            Self::ChannelAfterIdle => "same channel, at once after the idle close",
            Self::ChannelBeside => "a second session on an open channel",
            Self::FirstOnChannel => "the first session on it meanwhile",
            Self::WithoutOrigin => "without an Origin",
            Self::OwnOrigin | Self::GivenOrigin | Self::NullOrigin => "with the Origin",
            Self::WithoutSubprotocol => "without a subprotocol",
            Self::KnownSubprotocols => "with subprotocols that others want",
            Self::OneSubprotocol => "with the subprotocol",
            Self::OtherHost => "with the Host",
            Self::OtherSlash => "path with its slash the other way",
            Self::PlainGet => "a plain GET of the same URL",
            Self::OldHttp => "the handshake by HTTP/1.0",
            Self::SameAgain => "as the scenario has it, once more",
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Seen {
    /// 101, and the service let the client in.
    Opened,
    /// A refusal.
    Refused(Refused),
    /// No answer that could be read.
    Failed {
        /// How it failed.
        outcome: Outcome,
        /// The request before the handshake that failed, by its name; `None`: it was the handshake.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<String>,
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
        /// The error code, where it is a known one (RFC 6749 §5.2); where the answer has no token, what stands in its place.
        code: Option<&'static str>,
        /// What the request came to.
        answer: RequestAnswer,
    },
    /// The session ended.
    Ended {
        /// The close code; 1006 where no close frame came, 1000 where a message made the client leave.
        close_code: u16,
        /// How long it had lasted.
        after_s: f64,
        /// Who ended it.
        by: EndedBy,
    },
    /// The session went on.
    WentOn {
        /// For so long.
        for_s: f64,
    },
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The service, by a close frame.
    Close,
    /// Nobody in good order: the connection was gone.
    Loss,
    /// The client, as a message refused it.
    Refusal,
    /// The client, as a message asked it to come back.
    Request,
}

impl From<ProbeEnding> for EndedBy {
    fn from(ending: ProbeEnding) -> Self {
        match ending {
            ProbeEnding::Closed => Self::Close,
            ProbeEnding::Lost => Self::Loss,
            ProbeEnding::Refused => Self::Refusal,
            ProbeEnding::Asked => Self::Request,
        }
    }
}

impl Seen {
    /// The same in words.
    #[must_use]
    pub fn words(&self) -> String {
        let seconds = |s: f64| format_duration(Duration::from_millis((s * 1e3).round() as u64));
        match self {
            Self::Opened => "101, opened".to_owned(),
            Self::Refused(refused) => refused.words(),
            Self::Failed { outcome, step: None } => format!("failed: {outcome}"),
            Self::Failed { outcome, step: Some(step) } => format!("the step `{step}` failed: {outcome}"),
            Self::TokenRefused { outcome, connection, status, code, answer } => {
                let mut words = format!("no token: {outcome}");
                if let Some(connection) = connection {
                    words.push_str(&format!(", {connection}"));
                }
                if let Some(status) = status {
                    words.push_str(&format!(", {status}"));
                }
                match (wrong_with(*answer), code) {
                    (Some(wrong), instead) => words.push_str(&format!(", {wrong}{}", in_its_place(*instead))),
                    (None, Some(code)) => words.push_str(&format!(" {code}")),
                    (None, None) => {}
                }
                words
            }
            Self::Ended { close_code, after_s, by } => {
                let how = match by {
                    EndedBy::Close | EndedBy::Loss => format!("closed with {close_code}"),
                    EndedBy::Refusal => "refused by a message".to_owned(),
                    EndedBy::Request => "asked to come back".to_owned(),
                };
                format!("{how} after {}", seconds(*after_s))
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
    /// The `Origin` that was sent, where the experiment changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The subprotocol or the `Host` that was sent, where the experiment changed that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
}

impl Observation {
    /// The cells of its line in a table.
    #[must_use]
    pub fn cells(&self) -> [String; 4] {
        let age = self.token_age_s.map_or_else(String::new, |age| format!("{age:.1} s"));
        let took = self.took_us.map_or_else(String::new, format_us);
        [self.words(), age, self.seen.words(), took]
    }

    /// The experiment in words.
    #[must_use]
    pub fn words(&self) -> String {
        let words = self.experiment.words();
        let changed = self.origin.as_ref().or(self.sent.as_ref());
        changed.map_or_else(|| words.to_owned(), |changed| format!("{words} {changed}"))
    }
}

/// What stands where a token, or its life, should.
pub(super) fn in_its_place(instead: Option<&'static str>) -> String {
    instead.map_or_else(String::new, |kind| format!(" ({} in its place)", kind.replace('_', " ")))
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
