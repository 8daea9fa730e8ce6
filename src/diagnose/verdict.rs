//! From evidence to a verdict. Pure: the same evidence gives the same verdict.
//!
//! In: observations, and what the scenario does about its token. Out: findings, the most important first, each with the change
//! to make; [`Kind::CannotTell`] where the evidence does not suffice, with what would tell.

use serde::Serialize;

use crate::drive::network::TokenLook;
use crate::sample::{Cause, Outcome};

use super::observation::{Experiment, Observation, Refused, Seen};
use super::sessions::judge_sessions;

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
}

pub(super) fn finding(kind: Kind, sentence: impl Into<String>, change: impl Into<String>) -> Finding {
    Finding { kind, sentence: sentence.into(), change: change.into(), fresh_token_needed: Some(false) }
}

impl Finding {
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

    pub(super) fn refused(&self, experiment: Experiment) -> Option<&Refused> {
        match self.seen(experiment) {
            Some(Seen::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    pub(super) fn any_opened(&self, experiments: &[Experiment]) -> bool {
        experiments.iter().any(|experiment| self.opened(*experiment))
    }

    pub(super) fn any_refused(&self, experiments: &[Experiment]) -> Option<&Refused> {
        experiments.iter().find_map(|experiment| self.refused(*experiment))
    }

    /// Whether an idle session ends as one did that another session had come beside.
    pub(super) fn ends_so_anyway(&self, code: u16, after: f64) -> bool {
        matches!(
            self.seen(Experiment::IdleSession),
            Some(Seen::Ended { close_code, after_s }) if *close_code == code && *after_s < 2.0 * after
        )
    }

    pub(super) fn rate_limit(&self) -> Option<&Refused> {
        self.observations.iter().find_map(|one| match &one.seen {
            Seen::Refused(refused) if refused.is_rate_limit() => Some(refused),
            _ => None,
        })
    }
}

/// The findings of a case, the most important first; never none.
#[must_use]
pub fn judge(case: &Case<'_>) -> Vec<Finding> {
    match case.seen(Experiment::FreshToken) {
        Some(Seen::Opened) => judge_sessions(case),
        Some(Seen::Refused(refused)) => vec![judge_first_refusal(case, refused)],
        Some(Seen::Failed { outcome }) => vec![unreachable(*outcome)],
        Some(Seen::TokenRefused { outcome, status, code }) => {
            vec![token_endpoint(*outcome, *status, *code)]
        }
        _ => vec![nothing_tried()],
    }
}

/// The finding where there is no evidence at all.
pub(super) fn nothing_tried() -> Finding {
    cannot_tell("no handshake was made", "running it again")
}

pub(super) fn cannot_tell(why: &str, would_tell: &str) -> Finding {
    finding(
        Kind::CannotTell,
        format!("The evidence does not suffice: {why}."),
        format!("What would tell: {would_tell}."),
    )
    .of_unknown_need()
}

fn unreachable(outcome: Outcome) -> Finding {
    let (what, change) = match outcome {
        Outcome::Dns => ("its name does not resolve", "correct the host in target.url"),
        Outcome::TcpRefused => {
            ("nothing listens there", "correct host and port in target.url, or start the service")
        }
        Outcome::TcpReset => (
            "the connection is reset before the handshake is answered",
            "look at what stands in front of the service, and whether it wants TLS (wss)",
        ),
        Outcome::Timeout => ("it does not answer in time", "look at firewalls and the service's load"),
        Outcome::Tls => ("TLS fails", "check the certificate; a private authority goes into target.ca_file"),
        Outcome::LocalLimit => ("this machine has no file descriptor or port left", "free some"),
        _ => ("what answers does not speak WebSocket", "correct target.url"),
    };
    let sentence = format!("The service cannot be reached: {what} ({outcome}).");
    finding(Kind::Unreachable, sentence, capital(change)).of_unknown_need()
}

fn token_endpoint(outcome: Outcome, status: Option<u16>, code: Option<&'static str>) -> Finding {
    let said = match (status, code) {
        (Some(status), Some(code)) => format!("{status} {code}"),
        (Some(status), None) => status.to_string(),
        _ => "no answer".to_owned(),
    };
    if status == Some(429) {
        let sentence = format!("The token endpoint limits requests ({said}).");
        return finding(
            Kind::RateLimited,
            sentence,
            "Fetch fewer tokens: share one in the group (token.sharing = \"group\"), reuse it, back off by Retry-After.",
        );
    }
    if outcome == Outcome::TokenRefused {
        let change = match code {
            Some("invalid_client") => {
                "Correct token.client_id and token.client_secret, or token.auth (\"basic\" or \"body\")."
            }
            Some("invalid_scope") => {
                "Ask for scopes that the client is registered with (token.scopes), or register it with them."
            }
            Some("unauthorized_client" | "unsupported_grant_type") => {
                "Register the client for the client_credentials grant."
            }
            _ => "Compare the token request with what the endpoint's documentation asks for.",
        };
        let sentence =
            format!("The token endpoint refuses the client itself ({said}): no handshake was made.");
        return finding(Kind::CredentialsRefused, sentence, change).of_unknown_need();
    }
    let sentence = format!("The token endpoint cannot be used ({said}): no handshake was made.");
    finding(Kind::TokenEndpointFails, sentence, "Correct target.token_url, or mend the endpoint.")
        .of_unknown_need()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// The very first handshake was refused.
fn judge_first_refusal(case: &Case<'_>, first: &Refused) -> Finding {
    let status = first.status;
    match case.look {
        TokenLook::Plain => {}
        look => return no_token_sent(look, status),
    }
    if let Some(limit) = case.rate_limit() {
        return rate_limited(limit);
    }
    if case.opened(Experiment::FreshAfterWait) {
        return locked(first, "two fresh tokens were refused at once, and one was admitted after a wait");
    }
    for (experiment, place) in [
        (Experiment::InHeader, "the Authorization header (connect.token_in = \"header\")"),
        (Experiment::InQuery, "the query (connect.token_in = { query = \"access_token\" })"),
    ] {
        if case.opened(experiment) {
            let sentence = format!(
                "The token is good, but in the wrong place of the handshake: there it gets {status}, elsewhere 101."
            );
            return finding(Kind::PlaceWrong, sentence, format!("Send it in {place}."));
        }
    }
    if case.opened(Experiment::AnotherFreshToken) {
        return cannot_tell(
            &format!("one fresh token got {status}, the next one 101"),
            "several runs of this, and the service's own log at the time of the refusal",
        );
    }
    match status {
        400 | 404 | 405 | 410 | 426 => {
            let sentence =
                format!("The endpoint is wrong: {status} is an answer to the URL, not to the token.");
            return finding(Kind::EndpointWrong, sentence, "Correct the path in target.url.");
        }
        500..=599 => {
            let sentence = format!("The service itself fails ({status}); the token has no part in it.");
            return finding(
                Kind::Unreachable,
                sentence,
                "Look at the service and at what stands in front of it.",
            );
        }
        _ => {}
    }
    if first.html {
        let sentence = format!(
            "Something in front of the service refuses: the {status} is an HTML page, not the service's answer."
        );
        return finding(
            Kind::Edge,
            sentence,
            "Look at the proxy, firewall or gateway: host, path, Origin and User-Agent are what it judges by. No token helps.",
        );
    }
    by_cause(case, first)
}

fn no_token_sent(look: TokenLook, status: u16) -> Finding {
    let what = match look {
        TokenLook::Absent => "no token was sent".to_owned(),
        TokenLook::Empty => "the token that was sent is empty".to_owned(),
        TokenLook::Placeholder(word) => format!("the token that was sent is the word `{word}`"),
        TokenLook::Plain => "a token was sent".to_owned(),
    };
    let sentence = format!("No token: {what}, and the service answers {status}.");
    let change = "Look at where the token comes from: an answer's field read under another name, a variable not set, a request not awaited. In a scenario: [groups.token].";
    finding(Kind::NoTokenSent, sentence, change).of_unknown_need()
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

/// What the refusal itself says, and how others were refused beside it.
fn by_cause(case: &Case<'_>, first: &Refused) -> Finding {
    let status = first.status;
    let code = first.code.as_deref().or(first.challenge.as_deref()).unwrap_or_default();
    match first.cause {
        Cause::MissingScope if code.contains("permission") => {
            return permission_missing(status, &format!("it says {code}"));
        }
        Cause::MissingScope => {
            let sentence = format!(
                "The token lacks a scope ({status} {code}); a fresh one lacks it too, so fetching again cannot help."
            );
            return finding(
                Kind::ScopeMissing,
                sentence,
                "Register the client with the scope that the endpoint requires, and ask for it (token.scopes).",
            );
        }
        Cause::ExpiredToken if !case.fetches => {
            let sentence = format!("The fixed token has expired ({status} {code}).");
            return finding(
                Kind::TokenExpired,
                sentence,
                "Put a new one in its place, or let tokens be fetched.",
            )
            .needing_fresh_tokens();
        }
        Cause::StaleToken if !case.fetches => {
            let sentence = format!("The fixed token was invalidated ({status} {code}).");
            return finding(
                Kind::StaleAfterDisconnect,
                sentence,
                "Let tokens be fetched, one for each session.",
            )
            .needing_fresh_tokens();
        }
        Cause::UnknownToken | Cause::ExpiredToken | Cause::StaleToken => {
            let change = if case.fetches {
                "The token endpoint and the service do not belong together: compare host, environment, region and audience of target.url and target.token_url."
            } else {
                "Put a token of this service and environment in its place, or let tokens be fetched."
            };
            let sentence =
                format!("The service does not take the token for one of its own ({status} {code}).");
            return finding(Kind::UnknownToken, sentence, change);
        }
        Cause::ForbiddenOther if code == "client.locked" => return locked(first, "it says so"),
        Cause::ForbiddenOther if code == "too.many.sessions" => return session_limit(first),
        Cause::ForbiddenOther => {
            return cannot_tell(
                &format!(
                    "the service names a reason of its own, {code} ({status}), and a fresh token does not change it"
                ),
                "what its documentation says of that code",
            );
        }
        _ => {}
    }
    let same_as = |experiment| case.refused(experiment).is_some_and(|other| other.status == status);
    if let Some(nonsense) = case.refused(Experiment::NonsenseToken)
        && nonsense.status != status
    {
        return permission_missing(
            status,
            &format!("a token that nobody knows gets {}, so this one is known", nonsense.told()),
        );
    }
    let alike = match (same_as(Experiment::NonsenseToken), same_as(Experiment::NoToken)) {
        (true, true) => "no token at all and a token that nobody knows get the same",
        (true, false) => "a token that nobody knows gets the same",
        _ => "nothing else got another answer",
    };
    cannot_tell(
        &format!("a fresh token gets {status} without a reason, and {alike}"),
        "the service's own log; a token that is known to be good, as token = { env = \"…\" }; or a client with every scope and permission",
    )
}

fn permission_missing(status: u16, how: &str) -> Finding {
    let sentence = format!("A permission is missing ({status}): {how}; refreshing the token cannot help.");
    finding(
        Kind::PermissionMissing,
        sentence,
        "Give the client, or the role that it has, the permission or scope that the endpoint requires. Treat this 403 as final: a client that fetches and tries again only spins.",
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
