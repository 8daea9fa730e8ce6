//! From evidence to a verdict. Pure: the same evidence gives the same verdict.
//!
//! In: observations, and what the scenario does about its token. Out: findings, the most important first, each with the change
//! to make; [`Kind::CannotTell`] where the evidence does not suffice, with what would tell.

use crate::report::token_hint;
use crate::sample::{Outcome, RequestAnswer};

use super::finding::{Case, Finding, Kind, cannot_tell, finding};
use super::first_refusal::judge_first_refusal;
use super::observation::{Experiment, Seen, in_its_place, wrong_with};
use super::sessions::judge_sessions;

/// The findings of a case, the most important first; never none.
#[must_use]
pub fn judge(case: &Case<'_>) -> Vec<Finding> {
    match case.seen(Experiment::FreshToken) {
        Some(Seen::Opened) => judge_sessions(case),
        Some(Seen::Refused(refused)) => vec![judge_first_refusal(case, refused)],
        Some(Seen::Failed { outcome, step }) => vec![unreachable(*outcome, step.as_deref())],
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

fn unreachable(outcome: Outcome, step: Option<&str>) -> Finding {
    if let Some(step) = step {
        let (what, change) = why_unreachable(outcome, "the step's URL");
        let what = if outcome == Outcome::Protocol {
            "its answer cannot be read, or lacks what is to be saved of it (save)"
        } else {
            what
        };
        let sentence =
            format!("The step `{step}` brings nothing: {what} ({outcome}); no handshake was made.");
        return finding(Kind::StepRefused, sentence, capital(&change)).of_unknown_need();
    }
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
                "look at its certificate: one of a private authority is trusted when target.ca_file names that authority's PEM file (resurge serve --tls writes resurge-ca.pem), and it must be for the host in {key}; where the service asks its clients for a certificate, look at connect.certificate"
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
        (Some(status), instead, Some(wrong)) => format!("{status}, {wrong}{}", in_its_place(instead)),
        (Some(status), Some(code), None) => format!("{status} {code}"),
        (Some(status), None, None) => status.to_string(),
        (None, Some(code), _) => code.to_owned(),
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
    let change = token_hint(status, code, answer).map(capital);
    if outcome == Outcome::TokenRefused {
        let change = change.unwrap_or_else(|| {
            "Compare the token request with what the endpoint's documentation asks for.".to_owned()
        });
        let sentence =
            format!("The token endpoint refuses the client itself ({said}): no handshake was made.");
        return finding(Kind::CredentialsRefused, sentence, change).of_unknown_need();
    }
    let sentence = format!("The token endpoint cannot be used ({said}): no handshake was made.");
    let change = change.unwrap_or_else(|| "Correct target.token_url, or mend the endpoint.".to_owned());
    finding(Kind::TokenEndpointFails, sentence, change).of_unknown_need()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}
