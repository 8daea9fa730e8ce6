//! Whether the sums agree: within the run, and with what the target counted.
//!
//! In: tallies, the target's counters. Out: sentences for what does not add up, and the two sides of the reconciliation number by number.

use serde::{Deserialize, Serialize};

use crate::sample::{Counter, Initiator, Outcome};
use crate::target::counters::TargetCounters;

use super::tally::Tally;

/// How a row of the reconciliation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Both counted the same.
    Exact,
    /// They differ by no more than what the clients could not know the end of.
    Explained,
    /// They differ.
    Mismatch,
}

/// One number, as the clients and as the target counted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationRow {
    /// What was counted.
    pub what: String,
    /// The clients' number.
    pub clients: u64,
    /// The target's number.
    pub target: u64,
    /// How it came out.
    pub agreement: Agreement,
}

/// The clients' counts beside the target's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Attempts and sessions whose end at the target the clients could not know: cut off, timed out, reset, half-open.
    pub unsettled: u64,
    /// The numbers.
    pub rows: Vec<ReconciliationRow>,
}

impl Reconciliation {
    /// Whether no row is a mismatch.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.agreement != Agreement::Mismatch)
    }

    /// Whether every row is exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.rows.iter().all(|row| row.agreement == Agreement::Exact)
    }
}

/// What does not add up in the run's own numbers; `ended` says that the run came to its end, so that nothing may be open.
#[must_use]
pub fn check_accounts(name: &str, tally: &Tally, ended: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let by_outcome: u64 = Outcome::ALL.iter().map(|outcome| tally.outcome(*outcome)).sum();
    if by_outcome != tally.attempts_total() {
        faults.push(format!("{name}: {} attempts, {by_outcome} outcomes", tally.attempts_total()));
    }
    let (sessions, closes) = (tally.outcome(Outcome::Ok), tally.closes_total());
    if closes > sessions || (ended && closes != sessions) {
        faults.push(format!("{name}: {sessions} sessions began, {closes} ended"));
    }
    let settled: u64 = [
        Counter::Reconnects,
        Counter::ReconnectsGivenUp,
        Counter::ReconnectsNotWanted,
        Counter::ReconnectsUnfinished,
    ]
    .iter()
    .map(|counter| tally.counter(*counter))
    .sum();
    let disconnects = tally.counter(Counter::Disconnects);
    if settled > disconnects || (ended && settled != disconnects) {
        faults.push(format!("{name}: {disconnects} disconnects, {settled} came to an end"));
    }
    faults
}

/// Sets the clients' counts beside the target's. `tally` is that of all groups.
#[must_use]
pub fn reconcile(tally: &Tally, target: &TargetCounters) -> Reconciliation {
    let unsettled = unsettled(tally);
    let mut rows = Vec::new();
    let mut row = |what: String, clients: u64, counted: u64| {
        let agreement = match clients.abs_diff(counted) {
            0 => Agreement::Exact,
            difference if difference <= unsettled => Agreement::Explained,
            _ => Agreement::Mismatch,
        };
        rows.push(ReconciliationRow { what, clients, target: counted, agreement });
    };
    row("accepts".into(), tally.counter(Counter::TcpConnections), target.accepted_events);
    row("upgrades (101)".into(), tally.outcome(Outcome::Ok), target.upgrades);
    for status in refused_statuses(tally, target) {
        let counted = target
            .refused
            .iter()
            .filter(|refused| refused.status == status)
            .map(|refused| refused.count)
            .sum();
        row(format!("refused ({status})"), clients_refused(tally, status), counted);
    }
    row("tokens issued".into(), tally.counter(Counter::TokensFetched), target.tokens_issued);
    for code in codes(tally, target) {
        let clients = tally.closes.iter().filter(|((_, own, _), _)| *own == code).map(|(_, n)| n).sum();
        let counted = target.closes.iter().filter(|close| close.code == code).map(|close| close.count).sum();
        row(format!("closes {code}"), clients, counted);
    }
    Reconciliation { unsettled, rows }
}

fn unsettled(tally: &Tally) -> u64 {
    let cut_off =
        [Outcome::Timeout, Outcome::Aborted, Outcome::TcpReset, Outcome::LocalLimit, Outcome::TokenError];
    let attempts: u64 = cut_off.iter().map(|outcome| tally.outcome(*outcome)).sum();
    // A connection that broke may have swallowed a close frame that the target has sent.
    let closes: u64 =
        tally.closes.iter().filter(|((who, _, _), _)| *who == Initiator::Network).map(|(_, n)| n).sum();
    attempts + closes + tally.counter(Counter::Unsettled)
}

/// Statuses of which either side counted a refusal.
fn refused_statuses(tally: &Tally, target: &TargetCounters) -> Vec<u16> {
    let mut statuses: Vec<u16> = target.refused.iter().map(|refused| refused.status).collect();
    let own = [(Outcome::Http401, 401), (Outcome::Http403, 403), (Outcome::Http429, 429)];
    statuses.extend(own.iter().filter(|(outcome, _)| tally.outcome(*outcome) > 0).map(|(_, status)| status));
    statuses.push(403);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn clients_refused(tally: &Tally, status: u16) -> u64 {
    tally.outcome(match status {
        401 => Outcome::Http401,
        403 => Outcome::Http403,
        429 => Outcome::Http429,
        400..=499 => Outcome::Http4xx,
        _ => Outcome::Http5xx,
    })
}

/// Close codes that either side counted.
fn codes(tally: &Tally, target: &TargetCounters) -> Vec<u16> {
    let own = tally.closes.keys().map(|(_, code, _)| *code);
    let mut codes: Vec<u16> = own.chain(target.closes.iter().map(|close| close.code)).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptEnd, AttemptKind, Sample, SessionEnd};
    use crate::target::counters::CloseCount;

    fn attempt(outcome: Outcome) -> Sample {
        Sample::Attempt(AttemptEnd {
            kind: AttemptKind::First,
            outcome,
            cause: None,
            latency: Duration::ZERO,
        })
    }

    fn end(initiator: Initiator, code: u16) -> Sample {
        Sample::SessionEnd(SessionEnd { initiator, code, abnormal: None, length: Duration::ZERO })
    }

    fn tally(samples: &[Sample]) -> Tally {
        let mut tally = Tally::default();
        samples.iter().for_each(|sample| tally.apply(sample));
        tally
    }

    fn target(upgrades: u64, closes: &[(Initiator, u16, u64)]) -> TargetCounters {
        let closes = closes.iter().map(|(initiator, code, count)| CloseCount {
            initiator: *initiator,
            code: *code,
            abnormal: None,
            count: *count,
        });
        TargetCounters {
            accepted_events: upgrades,
            upgrades,
            closes: closes.collect(),
            ..TargetCounters::default()
        }
    }

    #[test]
    fn agreement_is_exact_or_explained_or_none() {
        let sessions =
            [attempt(Outcome::Ok), Sample::Count(Counter::TcpConnections, 1), end(Initiator::Storm, 1012)];
        let exact = reconcile(&tally(&sessions), &target(1, &[(Initiator::Target, 1012, 1)]));
        assert!(exact.is_exact() && exact.holds(), "{exact:?}");
        let wrong = reconcile(&tally(&sessions), &target(1, &[(Initiator::Target, 1001, 1)]));
        assert!(!wrong.holds());
        let mut cut_off = sessions.to_vec();
        cut_off.push(attempt(Outcome::Aborted));
        let explained = reconcile(&tally(&cut_off), &target(2, &[(Initiator::Target, 1012, 2)]));
        assert!(explained.holds() && !explained.is_exact(), "{explained:?}");
        let too_many = reconcile(&tally(&cut_off), &target(3, &[(Initiator::Target, 1012, 3)]));
        assert!(!too_many.holds());
    }

    #[test]
    fn a_session_without_an_end_is_found() {
        let open = tally(&[attempt(Outcome::Ok)]);
        assert!(check_accounts("g", &open, false).is_empty());
        assert_eq!(check_accounts("g", &open, true), ["g: 1 sessions began, 0 ended"]);
        let twice =
            tally(&[attempt(Outcome::Ok), end(Initiator::Target, 1001), end(Initiator::Target, 1001)]);
        assert_eq!(check_accounts("g", &twice, false).len(), 1);
        let lost = tally(&[Sample::Count(Counter::Disconnects, 2), Sample::Count(Counter::Reconnects, 1)]);
        assert_eq!(check_accounts("g", &lost, true), ["g: 2 disconnects, 1 came to an end"]);
    }
}
