//! The target's counters in words.
//!
//! In: counters. Out: lines for people.

use std::io::{self, Write};

use crate::service::counters::TargetCounters;

/// The counters in words.
pub(super) fn write_counters(counters: &TargetCounters, err: &mut dyn Write) -> io::Result<()> {
    let TargetCounters { accepted, accepted_token, accepted_control, upgrades, .. } = counters;
    writeln!(
        err,
        "connections  {accepted} accepted, {accepted_token} of them for tokens and other HTTP, {accepted_control} for control"
    )?;
    writeln!(err, "tokens       {} issued", counters.tokens_issued)?;
    for refused in &counters.token_requests_refused {
        writeln!(err, "             {} refused: {}", refused.count, refused.error)?;
    }
    if counters.refresh_tokens_reused > 0 {
        let (reused, ended) = (counters.refresh_tokens_reused, counters.refresh_families_ended);
        writeln!(err, "             {reused} used refresh tokens were shown again, {ended} families ended")?;
    }
    writeln!(err, "upgrades     {upgrades}")?;
    for refused in &counters.refused {
        writeln!(err, "             {} refused with {}: {}", refused.count, refused.status, refused.cause)?;
    }
    for refused in &counters.refused_otherwise {
        writeln!(err, "             {} refused by {}: {}", refused.count, refused.manner, refused.cause)?;
    }
    if counters.routes_answered > 0 || !counters.routes_refused.is_empty() {
        let (answered, tickets) = (counters.routes_answered, counters.tickets_issued);
        writeln!(
            err,
            "routes       {answered} answered, {tickets} tickets issued, {} evicted",
            counters.tickets_evicted
        )?;
        for refused in &counters.routes_refused {
            writeln!(
                err,
                "             {} refused with {}: {}",
                refused.count, refused.status, refused.cause
            )?;
        }
    }
    writeln!(err, "sessions     {} still open", counters.sessions_open)?;
    for close in &counters.closes {
        let how = close.abnormal.map(|how| format!(" ({how})")).unwrap_or_default();
        writeln!(err, "             {} ended by {}, {}{how}", close.count, close.initiator, close.code)?;
    }
    writeln!(err, "messages     {} sent, {} received", counters.messages_sent, counters.messages_received)?;
    if let Some(topics) = &counters.topics {
        writeln!(err, "topics       it {topics}")?;
    }
    writeln!(err, "bad requests {}", counters.bad_requests)?;
    for fault in &counters.faults_injected {
        writeln!(err, "faults       {} {}", fault.count, fault.kind)?;
    }
    if counters.restarts > 0 {
        writeln!(err, "restarts     {}, as its probe had failed", counters.restarts)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Abnormal, Cause, Initiator};
    use crate::service::counters::{
        CloseCount, FaultCount, RefusedCount, RefusedOtherwise, TokenRefusedCount,
    };

    #[test]
    fn counters_read_well() {
        let close = |initiator, code, abnormal, count| CloseCount { initiator, code, abnormal, count };
        let counters = TargetCounters {
            accepted: 12,
            accepted_token: 4,
            accepted_control: 1,
            accepted_events: 7,
            upgrades: 5,
            refused: vec![RefusedCount { status: 403, cause: Cause::StaleToken, count: 2 }],
            tokens_issued: 4,
            token_requests_refused: vec![TokenRefusedCount { error: "invalid_client".to_owned(), count: 1 }],
            closes: vec![
                close(Initiator::Target, 1001, None, 3),
                close(Initiator::Network, 1006, Some(Abnormal::Rst), 1),
            ],
            sessions_open: 1,
            messages_sent: 7,
            messages_received: 8,
            bad_requests: 0,
            routes_answered: 0,
            routes_refused: Vec::new(),
            tickets_issued: 0,
            tickets_evicted: 0,
            refresh_tokens_reused: 5,
            refresh_families_ended: 2,
            restarts: 3,
            topics: None,
            refused_otherwise: vec![RefusedOtherwise {
                manner: "reset".to_owned(),
                cause: Cause::NoToken,
                count: 3,
            }],
            faults_injected: vec![FaultCount { kind: "half_open".to_owned(), count: 2 }],
        };
        let mut text = Vec::new();
        write_counters(&counters, &mut text).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
        connections  12 accepted, 4 of them for tokens and other HTTP, 1 for control
        tokens       4 issued
                     1 refused: invalid_client
                     5 used refresh tokens were shown again, 2 families ended
        upgrades     5
                     2 refused with 403: stale_token
                     3 refused by reset: no_token
        sessions     1 still open
                     3 ended by target, 1001
                     1 ended by network, 1006 (rst)
        messages     7 sent, 8 received
        bad requests 0
        faults       2 half_open
        restarts     3, as its probe had failed
        "#);
    }
}
