//! What can be found, and the case that is judged.
//!
//! In: observations. Out: findings, each with the change to make. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::drive::network::TokenLook;

use super::observation::{Experiment, Observation, Seen};
use super::refused::Refused;

/// What is wrong, or that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing is wrong.
    Healthy,
    /// A token dies with the session that it opened.
    StaleAfterDisconnect,
    /// A token dies of age.
    TokenExpired,
    /// The token lacks a scope.
    ScopeMissing,
    /// The token is known and good, and what it stands for may not do this.
    PermissionMissing,
    /// A client id is refused for a while after a disconnect.
    ClientLocked,
    /// Too many requests.
    RateLimited,
    /// The URL is wrong.
    EndpointWrong,
    /// The token belongs elsewhere in the handshake.
    PlaceWrong,
    /// Something in front of the service refuses.
    Edge,
    /// No token was sent.
    NoTokenSent,
    /// The service does not know the token.
    UnknownToken,
    /// A token opens one session only.
    OneUseToken,
    /// A newer token ends the older one's life.
    NewerTokenKills,
    /// A second session takes the first one's place.
    Displaced,
    /// The client id may have no more sessions.
    SessionLimit,
    /// A channel or ticket opens no second session; a new one does.
    ChannelGone,
    /// Admitted, then closed at once.
    ClosedAfterUpgrade,
    /// The token endpoint refuses the client.
    CredentialsRefused,
    /// The token endpoint cannot be used.
    TokenEndpointFails,
    /// The service cannot be reached, or fails.
    Unreachable,
    /// The evidence does not suffice.
    CannotTell,
    /// The service refuses by `Origin`.
    OriginRefused,
    /// What answers does not take the handshake for an upgrade.
    UpgradeUnknown,
    /// A request before the handshake is refused.
    StepRefused,
    /// The service does not take the signature of a handshake.
    SignatureRefused,
    /// A signature that is shown again is refused once its time is over.
    SignatureExpires,
    /// Nothing comes of what makes a session ready.
    NotReady,
    /// It is the token that is refused; why is not told.
    TokenRefused,
    /// The service wants a subprotocol, or another one.
    SubprotocolWrong,
    /// The service does not answer by this `Host`.
    HostWrong,
}

/// A finding: what is so, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The same in one sentence.
    pub sentence: String,
    /// The change to make.
    pub change: String,
    /// The same for `--set`, where it is a key's value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Whether a token has to be fetched for each reconnect; `None`: not known.
    pub fresh_token_needed: Option<bool>,
}

/// What there is to judge.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The evidence, in the order of time.
    pub observations: &'a [Observation],
    /// What kind of text the first token was.
    pub look: TokenLook,
    /// Whether tokens are fetched (not fixed, not left out).
    pub fetches: bool,
    /// Whether the scenario fetches one for each reconnect already.
    pub fetches_each_time: bool,
    /// Whether the scenario makes its requests before each handshake.
    pub prepares_each_time: bool,
    /// Whether its handshakes may show something else in a token's place: a cookie, a ticket in the URL, a header, a first message.
    pub may_show: bool,
    /// Whether the scenario's clients sign their own tokens.
    pub mints: bool,
    /// The `Origin` that the scenario sends.
    pub origin: Option<&'a str>,
    /// Whether the scenario signs its handshakes.
    pub signs: bool,
    /// How long a signature is good that the scenario's clients show again when they come back.
    pub reuses_signature: Option<Duration>,
}

pub(super) fn finding(kind: Kind, sentence: impl Into<String>, change: impl Into<String>) -> Finding {
    let (sentence, change) = (sentence.into(), change.into());
    Finding { kind, sentence, change, set: Vec::new(), fresh_token_needed: Some(false) }
}

/// The tables of a group's keys that a change may name.
const OF_A_GROUP: [&str; 4] = ["token.", "connect.", "reconnect.", "session."];

/// What a change sets, as `--set` takes it: each key with a value that a text names, by its whole path.
fn settings_of(text: &str, group: usize) -> Vec<String> {
    let starts = OF_A_GROUP.iter().flat_map(|table| text.match_indices(table).map(|(at, _)| at));
    let mut starts: Vec<usize> = starts.filter(|at| *at == 0 || text[..*at].ends_with([' ', '('])).collect();
    starts.sort_unstable();
    let set = |at: usize| {
        let (key, rest) = text[at..].split_once(" = ")?;
        let is_key = key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_'));
        let value = value_at(rest).filter(|value| is_key && !value.contains('…'))?;
        Some(format!("groups.{group}.{key}={value}"))
    };
    starts.into_iter().filter_map(set).collect()
}

/// The string or list of strings that a text begins with.
fn value_at(text: &str) -> Option<&str> {
    let end = match text.chars().next()? {
        '"' => text[1..].find('"')? + 2,
        '[' => text.find(']')? + 1,
        _ => return None,
    };
    text.get(..end)
}

impl Finding {
    /// The same, with what its change sets in this group.
    pub(super) fn in_group(self, group: usize) -> Self {
        // What is so already, or is not needed, is not to be set.
        let is_none =
            ["The scenario does it already", "None "].iter().any(|none| self.change.starts_with(none));
        let set = if is_none { Vec::new() } else { settings_of(&self.change, group) };
        Self { set, ..self }
    }

    pub(super) const fn needing_fresh_tokens(mut self) -> Self {
        self.fresh_token_needed = Some(true);
        self
    }

    pub(super) const fn of_unknown_need(mut self) -> Self {
        self.fresh_token_needed = None;
        self
    }
}

impl Case<'_> {
    pub(super) fn seen(&self, experiment: Experiment) -> Option<&Seen> {
        self.observations.iter().find(|one| one.experiment == experiment).map(|one| &one.seen)
    }

    pub(super) fn opened(&self, experiment: Experiment) -> bool {
        self.seen(experiment) == Some(&Seen::Opened)
    }

    /// Whether the very first handshake let the client in.
    pub(super) fn was_let_in(&self) -> bool {
        self.opened(Experiment::FreshToken)
    }

    pub(super) fn refused(&self, experiment: Experiment) -> Option<&Refused> {
        match self.seen(experiment) {
            Some(Seen::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    /// The `Origin` of the first experiment of that kind that let the client in; the inner `None`: it had none.
    pub(super) fn let_in_by_origin(&self) -> Option<Option<&str>> {
        let changes_origin = |experiment| {
            matches!(
                experiment,
                Experiment::WithoutOrigin
                    | Experiment::OwnOrigin
                    | Experiment::GivenOrigin
                    | Experiment::NullOrigin
            )
        };
        let opened = |one: &&Observation| changes_origin(one.experiment) && one.seen == Seen::Opened;
        self.observations.iter().find(opened).map(|one| one.origin.as_deref())
    }

    /// What the first experiment of that kind had sent that let the client in, where one did; the inner `None`: nothing is told of it.
    pub(super) fn let_in_with(&self, experiment: Experiment) -> Option<Option<&str>> {
        let opened = |one: &&Observation| one.experiment == experiment && one.seen == Seen::Opened;
        self.observations.iter().find(opened).map(|one| one.sent.as_deref())
    }

    /// The token that the scenario's client sends, in words.
    pub(super) const fn token_words(&self) -> &'static str {
        if self.fetches { "a fresh token" } else { "the token" }
    }

    pub(super) fn any_opened(&self, experiments: &[Experiment]) -> bool {
        experiments.iter().any(|experiment| self.opened(*experiment))
    }

    pub(super) fn any_refused(&self, experiments: &[Experiment]) -> Option<&Refused> {
        experiments.iter().find_map(|experiment| self.refused(*experiment))
    }

    /// Whether a session that ended with this code when it was so old would have ended by then anyway, for idleness.
    pub(super) fn ends_so_anyway(&self, code: u16, age_s: f64) -> bool {
        matches!(
            self.seen(Experiment::IdleSession),
            Some(Seen::Ended { close_code, after_s, .. }) if *close_code == code && age_s >= 0.8 * *after_s
        )
    }

    pub(super) fn rate_limit(&self) -> Option<&Refused> {
        self.observations.iter().find_map(|one| match &one.seen {
            Seen::Refused(refused) if refused.is_rate_limit() => Some(refused),
            _ => None,
        })
    }
}

pub(super) fn cannot_tell(why: &str, would_tell: &str) -> Finding {
    finding(
        Kind::CannotTell,
        format!("The evidence does not suffice: {why}."),
        format!("What would tell: {would_tell}."),
    )
    .of_unknown_need()
}

pub(super) fn rate_limited(limit: &Refused) -> Finding {
    let wait = limit.retry_after_s.map_or_else(String::new, |s| format!(", Retry-After {s} s"));
    let sentence = format!(
        "Handshakes are limited in number ({}{wait}): the refusal is not about the token.",
        limit.told()
    );
    finding(
        Kind::RateLimited,
        sentence,
        "Come back more slowly: a backoff with jitter, and obey Retry-After (reconnect.honour_retry_after = true).",
    )
}

pub(super) fn locked(refused: &Refused, how: &str) -> Finding {
    let sentence = format!(
        "The client id is locked for a while: {how} ({}); no token helps, waiting does.",
        refused.told()
    );
    finding(
        Kind::ClientLocked,
        sentence,
        "Wait before the reconnect (reconnect.backoff), and keep the token: a fresh one is refused just the same.",
    )
}

pub(super) fn session_limit(refused: &Refused) -> Finding {
    let sentence = format!(
        "The client id has all the sessions that it may have: one more is refused ({}).",
        refused.told()
    );
    finding(
        Kind::SessionLimit,
        sentence,
        "Close sessions before opening others, or use a client id of its own for each client.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_can_be_pasted() {
        // (change, what it sets in the second group)
        let rows: [(&str, &[&str]); 6] = [
            ("Fetch a token (token.on_reconnect = \"fetch\").", &["groups.1.token.on_reconnect=\"fetch\""]),
            ("Set connect.subprotocols = [\"a\", \"b\"].", &["groups.1.connect.subprotocols=[\"a\", \"b\"]"]),
            ("Not at each (token.on_reconnect = { fetch_if_older_than = \"…\" }).", &[]),
            ("Correct target.token_url = \"x\", or connect.path.", &[]),
            ("The scenario does it already (token.on_reconnect = \"fetch\").", &[]),
            ("None is needed (token.on_reconnect = \"reuse\").", &[]),
        ];
        for (change, set) in rows {
            assert_eq!(finding(Kind::Unreachable, "", change).in_group(1).set, set, "{change}");
        }
    }
}
