//! What virtual time does not know.
//!
//! In: a scenario, the target's rules. Out: a sentence for each thing in them that would need what is not simulated: texts that clients and
//! service exchange beside tokens, programs, other services.

use crate::scenario::keys::{
    ClientCredentials, EXPIRES_POINTER, FaultKind, FrameFlaw, Grant, Group, Scenario, TOKEN_POINTER,
    TargetRules, TokenBody, TokenIn, TokenRequestBody,
};

/// Why a scenario cannot be run in virtual time, a sentence for each reason; empty: it can.
#[must_use]
pub fn unsupported(scenario: &Scenario, rules: &TargetRules) -> Vec<String> {
    let mut reasons: Vec<String> = scenario
        .groups
        .iter()
        .flat_map(|group| of_group(group).into_iter().chain(of_token(group, rules)))
        .collect();
    let of_rules = [
        (rules.tickets.is_some(), "the target's handshakes show tickets (target.tickets)"),
        (rules.message_token.is_some(), "the target takes its token from a message (target.message_token)"),
        (rules.signatures.is_some(), "the target checks signatures (target.signatures)"),
        (!rules.script.is_empty(), "the target has a script (target.script)"),
        (
            rules.client_certificates.is_some(),
            "the target asks clients for certificates (target.client_certificates)",
        ),
        (
            rules.storms.iter().any(|storm| storm.warning.is_some()),
            "the target warns of its storms (target.storms, warning)",
        ),
        (
            rules.faults.iter().any(|fault| is_of_deflate(&fault.kind)),
            "the target breaks compressed messages (target.faults, flaw = \"deflate\")",
        ),
    ];
    reasons.extend(of_rules.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| why.to_owned()));
    reasons
}

/// In virtual time no message has a payload that could be compressed.
const fn is_of_deflate(fault: &FaultKind) -> bool {
    matches!(fault, FaultKind::MalformedFrame { flaw: FrameFlaw::Deflate, .. })
}

/// What of a group's token requests is not simulated: ways of writing and answering that the two sides do not share.
fn of_token(group: &Group, rules: &TargetRules) -> Vec<String> {
    let Some(grant) = group.token.as_ref().map(|token| &token.grant) else { return Vec::new() };
    let credentials = grant.credentials();
    let holds = |is: &dyn Fn(&ClientCredentials) -> bool| credentials.is_some_and(is);
    let rows = [
        (
            group.token.as_ref().is_some_and(|token| token.dpop.is_some()) || rules.dpop.is_some(),
            "has tokens that are bound to a key, or asks a target that binds them (token.dpop, target.dpop)",
        ),
        (
            holds(&|credentials| {
                (credentials.body == TokenBody::Form) == (rules.token_request == TokenRequestBody::Json)
                    && rules.token_request != TokenRequestBody::Either
            }),
            "writes its token requests in a way that the target does not take (token.body)",
        ),
        (
            holds(&|credentials| {
                rules.token_body.is_some()
                    || (credentials.token_pointer.as_str(), credentials.expires_pointer.as_str())
                        != (TOKEN_POINTER, EXPIRES_POINTER)
            }),
            "reads token answers that are not those of RFC 6749 (target.token_body, token.token_pointer)",
        ),
    ];
    let holding = rows.into_iter().filter(|(holds, _)| *holds);
    holding.map(|(_, why)| format!("group \"{}\" {why}", group.name)).collect()
}

fn of_group(group: &Group) -> Vec<String> {
    let grant = group.token.as_ref().map(|token| &token.grant);
    let steps = group.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
    let elsewhere = group.connect.url.is_some();
    let token_elsewhere = group.token.as_ref().is_some_and(|token| token.url.is_some());
    let rows = [
        (steps, "makes requests before its handshake (prepare.steps)"),
        (matches!(grant, Some(Grant::Command(_))), "gets its tokens from a program (token.command)"),
        (
            matches!(group.connect.token_in, TokenIn::FirstMessage(_)),
            "sends its token in a message (connect.token_in)",
        ),
        (!group.session.on_message.is_empty(), "reacts to messages (session.on_message)"),
        (elsewhere, "connects to a URL of its own (connect.url)"),
        (token_elsewhere, "has a token endpoint of its own (token.url)"),
        (group.session.mqtt.is_some(), "speaks MQTT, and the target does not (session.mqtt)"),
    ];
    let holding = rows.into_iter().filter(|(holds, _)| *holds);
    holding.map(|(_, why)| format!("group \"{}\" {why}", group.name)).collect()
}
