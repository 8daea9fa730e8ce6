//! The verdict where the first handshake opened a session: what happens to those after it.
//!
//! In: the case. Out: findings, the most important first; never none. Pure, as all of the verdict.

use crate::drive::network::TokenLook;
use crate::units::format_us;

use super::finding::{Case, Finding, Kind, cannot_tell, finding, locked, rate_limited, session_limit};
use super::observation::{EndedBy, Experiment, Observation, Seen};
use super::refused::Refused;
use super::signed::signature_reused;

/// The first handshake opened a session: what happens to those after it?
pub(super) fn judge_sessions(case: &Case<'_>) -> Vec<Finding> {
    if let Some(limit) = case.rate_limit() {
        return vec![rate_limited(limit)];
    }
    if let Some(Seen::Ended { close_code, .. }) = case.seen(Experiment::FirstSession) {
        let sentence =
            format!("The handshake is admitted, and the session closed at once with {close_code}.");
        let change = "Look up that close code in the service's documentation: a refusal after the upgrade usually speaks of the token or of a first message that was expected.";
        return vec![finding(Kind::ClosedAfterUpgrade, sentence, change).of_unknown_need()];
    }
    if let Some(refused) = case.refused(Experiment::IdleSession) {
        return vec![refused_late(case, refused)];
    }
    let mut findings: Vec<Finding> = [
        signature_reused,
        newer_kills,
        second_session,
        second_on_channel,
        channel_gone,
        one_use,
        lock,
        expired,
        stale,
    ]
    .iter()
    .filter_map(|rule| rule(case))
    .collect();
    let has = |kind: Kind, findings: &[Finding]| findings.iter().any(|one| one.kind == kind);
    if has(Kind::OneUseToken, &findings) || has(Kind::ClientLocked, &findings) {
        // Each of them refuses the same token after a disconnect, too.
        findings.retain(|one| one.kind != Kind::StaleAfterDisconnect);
    }
    if findings.is_empty() {
        findings.push(unexplained(case).unwrap_or_else(|| healthy(case)));
    }
    findings
}

/// The session with a fresh token was closed late, by a code that refuses.
fn refused_late(case: &Case<'_>, refused: &Refused) -> Finding {
    let took_us = case
        .observations
        .iter()
        .find(|one| one.experiment == Experiment::IdleSession)
        .and_then(|one| one.took_us)
        .map_or_else(String::new, |us| format!(" after {}", format_us(us)));
    let sentence = format!(
        "A session that has heard nothing is closed{took_us} by a code that refuses ({}): the service takes its time to refuse.",
        refused.told_and_said()
    );
    let change = "Look up that close code in the service's documentation. Where it is no refusal there, leave it out of session.refused_on_codes, or lower session.refused_within.";
    finding(Kind::ClosedAfterUpgrade, sentence, change).of_unknown_need()
}

/// What a gateway's page says of who asks about the token.
fn by_whom(refused: &Refused) -> &'static str {
    if refused.is_by_edge() {
        " What answers is a gateway, and it is the token that it asks about."
    } else {
        ""
    }
}

fn newer_kills(case: &Case<'_>) -> Option<Finding> {
    let refused = case.refused(Experiment::OlderOfTwo)?;
    let sentence = format!(
        "A newer token ends the older one's life: the older of two unused tokens is refused ({}).",
        refused.told()
    );
    Some(finding(
        Kind::NewerTokenKills,
        sentence,
        "Share one token among all clients of a client id (token.sharing = \"group\") and fetch only when it has to be: each fetch cuts off the others.",
    ))
}

fn second_session(case: &Case<'_>) -> Option<Finding> {
    if let Some(refused) = case.refused(Experiment::SecondBeside) {
        return Some(session_limit(refused));
    }
    let Some(Seen::Ended { close_code, after_s, .. }) = case.seen(Experiment::FirstBeside) else {
        return None;
    };
    if case.ends_so_anyway(*close_code, *after_s) {
        return None;
    }
    let sentence = format!(
        "A second session of the client id takes the first one's place: it is closed with {close_code} when the second comes."
    );
    Some(finding(
        Kind::Displaced,
        sentence,
        "Use a client id (or channel) of its own for each client, and do not reconnect after that code: two clients that do evict each other without end.",
    ))
}

fn second_on_channel(case: &Case<'_>) -> Option<Finding> {
    let change = "Make a channel of its own for each client, and do not reconnect after that: two clients that do evict each other without end.";
    if let Some(refused) = case.refused(Experiment::ChannelBeside) {
        let sentence =
            format!("A channel has one session: a second one on it is refused ({}).", refused.told());
        return Some(finding(Kind::SessionLimit, sentence, change));
    }
    let Some(Seen::Ended { close_code, after_s, .. }) = case.seen(Experiment::FirstOnChannel) else {
        return None;
    };
    if case.ends_so_anyway(*close_code, *after_s) {
        return None;
    }
    let sentence = format!(
        "A second session on the same channel takes the first one's place: it is closed with {close_code} when the second comes."
    );
    Some(finding(Kind::Displaced, sentence, change))
}

fn channel_gone(case: &Case<'_>) -> Option<Finding> {
    let after_close = case
        .refused(Experiment::ChannelAfterClose)
        .filter(|_| case.opened(Experiment::SameAfterClose))
        .map(|refused| (refused, "session that it opened is closed"));
    let after_idle = case
        .refused(Experiment::ChannelAfterIdle)
        .filter(|_| case.opened(Experiment::SameAfterIdle))
        .map(|refused| (refused, "idle close"));
    let (refused, when) = after_close.or(after_idle)?;
    let sentence = format!(
        "The channel or ticket is gone after the {when}: it is refused ({}), and a new one is admitted with the same token.",
        refused.told()
    );
    let change = if case.prepares_each_time {
        "The scenario does it already: its requests are made before each handshake. The token may stay."
    } else {
        "Make the requests before each handshake (prepare.when = \"each-attempt\"), or after that refusal (prepare.renew_on). The token may stay."
    };
    Some(finding(Kind::ChannelGone, sentence, change))
}

fn one_use(case: &Case<'_>) -> Option<Finding> {
    let refused = case.refused(Experiment::SameBeside).filter(|_| case.opened(Experiment::SecondBeside))?;
    let sentence = format!(
        "A token opens one session only: a second one with it is refused ({}), even while the first is open.",
        refused.told()
    );
    Some(
        finding(
            Kind::OneUseToken,
            sentence,
            "Fetch a token for each handshake (token.on_reconnect = \"fetch\").",
        )
        .needing_fresh_tokens(),
    )
}

const FRESH_AT_ONCE: [Experiment; 2] = [Experiment::FreshAfterClose, Experiment::FreshAfterIdle];
const AFTER_WAIT: [Experiment; 3] = [
    Experiment::SameAfterCloseAndWait,
    Experiment::FreshAfterCloseAndWait,
    Experiment::FreshAfterIdleAndWait,
];

fn lock(case: &Case<'_>) -> Option<Finding> {
    let refused = case.any_refused(&FRESH_AT_ONCE)?;
    case.any_opened(&AFTER_WAIT).then(|| {
        locked(refused, "after a disconnect even a fresh token is refused, and after a wait admitted")
    })
}

fn expired(case: &Case<'_>) -> Option<Finding> {
    let refused = case.refused(Experiment::AgedUnused)?;
    if case.refused(Experiment::OlderOfTwo).is_some() {
        return None;
    }
    let age = case.observations.iter().find(|one| one.experiment == Experiment::AgedUnused)?.token_age_s?;
    let sentence = format!(
        "The token expires: one of {age:.1} s that no session was opened with is refused ({}), a fresh one is admitted. The disconnect has no part in it.{}",
        refused.told(),
        by_whom(refused)
    );
    Some(finding(
        Kind::TokenExpired,
        sentence,
        "Fetch a token when the old one has expired, not at each reconnect (token.on_reconnect = { fetch_if_older_than = \"…\" } or token.refresh_before_expiry).",
    ))
}

fn stale(case: &Case<'_>) -> Option<Finding> {
    let after_close = case.refused(Experiment::SameAfterClose).is_some();
    let after_idle =
        case.refused(Experiment::SameAfterIdle).is_some() && case.refused(Experiment::AgedUnused).is_none();
    let refused = case.any_refused(&[Experiment::SameAfterClose, Experiment::SameAfterIdle])?;
    if !(after_close || after_idle) || !case.any_opened(&FRESH_AT_ONCE) {
        return None;
    }
    let when = match (after_close, after_idle) {
        (true, true) => "ends, whether closed or idle",
        (true, false) => "is closed",
        _ => "is closed for idleness",
    };
    let sentence = format!(
        "The token is stale after the disconnect: it is refused ({}) once the session that it opened {when}, and a fresh one is admitted at once.{}",
        refused.told(),
        by_whom(refused)
    );
    let change = if case.fetches_each_time {
        "The scenario does it already: a token is fetched after each disconnect, before the handshake (token.on_reconnect = \"fetch\")."
    } else {
        "Fetch a token after each disconnect, before the handshake (token.on_reconnect = \"fetch\")."
    };
    Some(finding(Kind::StaleAfterDisconnect, sentence, change).needing_fresh_tokens())
}

/// A refusal that no rule explains.
fn unexplained(case: &Case<'_>) -> Option<Finding> {
    let is_plain = |one: &&Observation| {
        !matches!(one.experiment, Experiment::OtherScope | Experiment::OldSignature)
            && matches!(one.seen, Seen::Refused(_) | Seen::Failed { .. } | Seen::TokenRefused { .. })
    };
    let one = case.observations.iter().find(is_plain)?;
    let why = format!("{}: {}, and no fresh token was admitted after it", one.words(), one.seen.words());
    let would_tell = if case.fetches {
        "a longer wait (--wait), and the service's own log"
    } else {
        "letting tokens be fetched, so that a fresh one can be tried"
    };
    Some(cannot_tell(&why, would_tell))
}

fn healthy(case: &Case<'_>) -> Finding {
    let idle = match case.seen(Experiment::IdleSession) {
        Some(Seen::Ended { close_code, .. }) => format!(" and after the idle close ({close_code})"),
        Some(Seen::WentOn { for_s }) => format!("; no idle close came within {for_s:.0} s"),
        _ => String::new(),
    };
    let what = match case.look {
        TokenLook::Absent if case.signs => "a client that signs",
        TokenLook::Absent => "a client without a token",
        _ => "the same token",
    };
    if let Some(Seen::Ended { by: EndedBy::Loss, after_s, .. }) = case.seen(Experiment::IdleSession) {
        let sentence = format!(
            "Nothing is wrong with the reconnect: {what} is admitted again at once after a clean close. But a session without traffic ended after {after_s:.1} s without a close frame of the service's (1006)."
        );
        let change = "Look at what ends sessions so: the service's log, and idle timeouts of what stands in front of it.";
        return finding(Kind::Healthy, sentence, change);
    }
    let sentence = format!("Nothing is wrong: {what} is admitted again at once after a clean close{idle}.");
    let change = match (case.fetches, case.fetches_each_time) {
        (true, true) => {
            "None is needed. Fetching a token for each reconnect is not needed either (token.on_reconnect = \"reuse\")."
        }
        _ => "None is needed.",
    };
    finding(Kind::Healthy, sentence, change)
}
