//! From evidence to a verdict. Pure: the same evidence gives the same verdict.
//!
//! In: observations, and what the scenario does about its token. Out: findings, the most important first, each with the change
//! to make; [`Kind::CannotTell`] where the evidence does not suffice, with what would tell.

use crate::drive::network::TokenLook;
use crate::sample::{Cause, Outcome, RequestAnswer};

use super::finding::{Case, Finding, Kind, cannot_tell, finding, locked, rate_limited, session_limit};
use super::observation::{Experiment, Refused, Seen, wrong_with};
use super::sessions::judge_sessions;

/// The findings of a case, the most important first; never none.
#[must_use]
pub fn judge(case: &Case<'_>) -> Vec<Finding> {
    match case.seen(Experiment::FreshToken) {
        Some(Seen::Opened) => judge_sessions(case),
        Some(Seen::Refused(refused)) => vec![judge_first_refusal(case, refused)],
        Some(Seen::Failed { outcome }) => vec![unreachable(*outcome)],
        Some(Seen::TokenRefused { connection: Some(connection), .. }) => {
            vec![token_endpoint_unreachable(*connection)]
        }
        Some(Seen::TokenRefused { outcome, status, code, answer, .. }) => {
            vec![token_endpoint(*outcome, *status, *code, *answer)]
        }
        _ => vec![nothing_tried()],
    }
}

/// The finding where there is no evidence at all.
pub(super) fn nothing_tried() -> Finding {
    cannot_tell("no handshake was made", "running it again")
}

fn unreachable(outcome: Outcome) -> Finding {
    let (what, change) = why_unreachable(outcome, "target.url");
    let sentence = format!("The service cannot be reached: {what} ({outcome}).");
    finding(Kind::Unreachable, sentence, capital(&change)).of_unknown_need()
}

fn token_endpoint_unreachable(outcome: Outcome) -> Finding {
    let (what, change) = why_unreachable(outcome, "target.token_url");
    let sentence =
        format!("The token endpoint cannot be reached: {what} ({outcome}); no handshake was made.");
    finding(Kind::TokenEndpointFails, sentence, capital(&change)).of_unknown_need()
}

/// Why a connection came to nothing, and what to do; `key` names the URL.
fn why_unreachable(outcome: Outcome, key: &str) -> (&'static str, String) {
    let (what, change) = match outcome {
        Outcome::Dns => ("its name does not resolve", format!("correct the host in {key}")),
        Outcome::TcpRefused => {
            ("nothing listens there", format!("correct host and port in {key}, or start the service"))
        }
        Outcome::TcpReset => (
            "the connection is reset before it is answered",
            "look at what stands in front of the service, and whether it wants TLS (wss, https)".to_owned(),
        ),
        Outcome::Timeout => {
            ("it does not answer in time", "look at firewalls and the service's load".to_owned())
        }
        Outcome::Tls => (
            "TLS fails",
            format!(
                "look at its certificate: one of a private authority is trusted when target.ca_file names that authority's PEM file (resurge serve --tls writes resurge-ca.pem), and it must be for the host in {key}"
            ),
        ),
        Outcome::LocalLimit => ("this machine has no file descriptor or port left", "free some".to_owned()),
        _ => ("what answers does not speak the protocol", format!("correct {key}")),
    };
    (what, change)
}

fn token_endpoint(
    outcome: Outcome,
    status: Option<u16>,
    code: Option<&'static str>,
    answer: RequestAnswer,
) -> Finding {
    let said = match (status, code, wrong_with(answer)) {
        (Some(status), _, Some(wrong)) => format!("{status}, {wrong}"),
        (Some(status), Some(code), None) => format!("{status} {code}"),
        (Some(status), None, None) => status.to_string(),
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
