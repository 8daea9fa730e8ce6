//! Whether the sums agree: within the run, and with what the target counted.
//!
//! In: tallies, the target's counters. Out: sentences for what does not add up, and the two sides of the reconciliation number by number.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::{Abnormal, CloseKey, Counter, Metric, Outcome, RequestAnswer};
use crate::service::counters::TargetCounters;

use super::histogram::Latencies;
use super::reconnect_clocks::ReconnectClocks;
use super::talk::StreamCounts;
use super::talk_names::TalkNames;
use super::tally::Tally;

/// How a row of the reconciliation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationRow {
    /// What was counted.
    pub what: String,
    /// The clients' number.
    pub clients: u64,
    /// The target's number.
    pub target: u64,
    /// By how much they may differ, because the clients could not know the end of so many.
    pub unsettled: u64,
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
    /// Reconnects by both sides' clocks, where both measured the same ones.
    pub reconnects: Option<ReconnectClocks>,
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
    let (sessions, closes) = (tally.counter(Counter::Upgrades), tally.closes_total());
    if closes > sessions || (ended && closes != sessions) {
        faults.push(format!("{name}: {sessions} sessions began, {closes} ended"));
    }
    let admitted = tally.attempts_where(|_, outcome, _| outcome.is_upgraded());
    if admitted > sessions {
        faults.push(format!("{name}: {sessions} handshakes were answered with 101, {admitted} came of them"));
    }
    if tally.minus.is_some() && ended {
        faults.push(format!("{name}: something was taken back that was never told"));
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
    faults.extend(check_away(name, tally));
    let by_storms: u64 = tally.storms.values().map(|storm| storm.disconnects).sum();
    let back_from_storms: u64 = tally.storms.values().map(|storm| storm.back.count()).sum();
    let reconnects = tally.counter(Counter::Reconnects);
    if by_storms > disconnects || back_from_storms > reconnects {
        faults.push(format!(
            "{name}: storms forced {by_storms} of {disconnects} disconnects, {back_from_storms} of {reconnects} reconnects followed them"
        ));
    }
    faults.extend(token_fault(name, tally, ended));
    for (id, storm) in &tally.storms {
        let (back, away) = (storm.back.count(), storm.away.count());
        if back + away > storm.disconnects {
            faults.push(format!(
                "{name}: storm {} forced {} disconnects, {back} came back, {away} are away",
                id.0, storm.disconnects,
            ));
        }
    }
    faults
}

/// Each message of an exchange that was sent ends in one way, and each reply that was waited for tells how long it took.
#[must_use]
pub fn check_exchanges(name: &str, tally: &Tally, names: &TalkNames, ended: bool) -> Vec<String> {
    let exchanges = tally.talk.iter().flat_map(|talk| &talk.exchanges);
    let sum = |[ok, failed]: [u64; 2]| ok.saturating_add(failed);
    let faults = exchanges.flat_map(|(index, exchange)| {
        let (counts, own) = (exchange.counts, names.exchange(*index));
        let (sent, ended_so) = (counts.sent, counts.ended());
        let is_open = ended_so > sent || (ended && ended_so != sent);
        let replies = [counts.ok, counts.failed_checks];
        let told = [exchange.latencies.count(), exchange.failed.count()];
        let sums =
            is_open.then(|| format!("{name}: exchange {own}: {sent} messages were sent, {ended_so} ended"));
        let times = (told != replies).then(|| {
            format!("{name}: exchange {own}: {} replies came, {} tell how long", sum(replies), sum(told))
        });
        [sums, times].into_iter().flatten()
    });
    faults.collect()
}

/// Each token that a client took was granted to a request of its own; a grant that no client took was that of one cut off meanwhile. Journals of
/// before such requests were recorded hold none.
fn token_fault(name: &str, tally: &Tally, ended: bool) -> Option<String> {
    let asked = || tally.requests.iter().filter(|((request, _), _)| request.asks_for_token());
    let granted: u64 =
        asked().filter(|((_, answer), _)| *answer == RequestAnswer::Ok).map(|(_, n)| n.count()).sum();
    let fetched = tally.counter(Counter::TokensFetched);
    let untaken = tally.counter(Counter::Unsettled) + tally.outcome(Outcome::Aborted);
    let is_wrong = fetched > granted || (ended && granted - fetched > untaken);
    (is_wrong && asked().next().is_some())
        .then(|| format!("{name}: {granted} token requests were granted, {fetched} tokens came"))
}

/// Each reconnect that was under way when the run ended tells how long its client had been away; before schema version 3 none did.
fn check_away(name: &str, tally: &Tally) -> Option<String> {
    let told = tally.histograms.get(&Metric::ReconnectAway).map_or(0, Latencies::count);
    let unfinished = tally.counter(Counter::ReconnectsUnfinished);
    (told > 0 && told != unfinished)
        .then(|| format!("{name}: {unfinished} reconnects were under way at the end, {told} tell how long"))
}

/// Sets the clients' counts beside the target's. `tally` is that of all groups.
#[must_use]
pub fn reconcile(tally: &Tally, target: &TargetCounters) -> Reconciliation {
    let bounds = Bounds::of(tally);
    let mut rows = Vec::new();
    let mut row = |what: String, clients: u64, counted: u64, unsettled: u64| {
        let agreement = match clients.abs_diff(counted) {
            0 => Agreement::Exact,
            difference if difference <= unsettled => Agreement::Explained,
            _ => Agreement::Mismatch,
        };
        rows.push(ReconciliationRow { what, clients, target: counted, unsettled, agreement });
    };
    // What comes where TLS should begin is no request, and counted as a bad one.
    let garbled = tally.outcome(Outcome::Protocol).min(target.bad_requests);
    let unsettled = bounds.accepts + garbled;
    row("accepts".into(), tally.counter(Counter::TcpConnections), target.accepted_events, unsettled);
    row("upgrades (101)".into(), tally.counter(Counter::Upgrades), target.upgrades, bounds.attempts);
    for (what, outcome) in REFUSALS {
        let counted = target.refused.iter().filter(|refused| refusal_of(refused.status) == outcome);
        let counted: u64 = counted.map(|refused| refused.count).sum();
        // A handshake that was made once more for a nonce was refused before.
        let again = if outcome == Outcome::Http401 { tally.counter(Counter::NonceRetries) } else { 0 };
        let clients = tally.outcome(outcome) + again;
        // A request that it can make nothing of is refused as well, and counted as a bad one.
        let bad = if outcome == Outcome::Http4xx { target.bad_requests } else { 0 };
        if outcome == Outcome::Http403 || clients + counted > 0 {
            row(what.into(), clients, counted, bounds.attempts + bad);
        }
    }
    let on_sessions = target.refused_otherwise.iter().filter(|refused| refused.manner == "socket");
    let on_sessions: u64 = on_sessions.map(|refused| refused.count).sum();
    if on_sessions > 0 {
        let clients = tally.outcome(Outcome::RefusedClose) + tally.outcome(Outcome::RefusedMessage);
        // A client that waits for a message or a code in vain knows of no refusal.
        let unknown = tally.outcome(Outcome::EndedEarly) + tally.outcome(Outcome::NotReady);
        row("refused on a session".into(), clients, on_sessions, bounds.attempts + unknown);
    }
    row("tokens issued".into(), tally.counter(Counter::TokensFetched), target.tokens_issued, bounds.tokens);
    for code in close_codes(tally, target) {
        let clients = tally.closes_where(|key| key.code_at_target() == code);
        let counted = target.closes.iter().filter(|close| close.code == code).map(|close| close.count).sum();
        row(format!("closes {code}"), clients, counted, bounds.closes);
    }
    if let Some(truth) = target.topics.and_then(|topics| topics.truth) {
        let heard = tally.talk.iter().flat_map(|talk| talk.streams.values());
        let heard = heard.map(|stream| &stream.counts);
        let sum = |of: fn(&StreamCounts) -> u64| heard.clone().map(of).sum::<u64>();
        // Where a session does not end with a close frame, something that was sent may not have come.
        let broken = bounds.closes + tally.closes_where(|key| key.abnormal.is_some());
        let unsettled = if broken > 0 { target.messages_sent } else { 0 };
        row("missed".into(), sum(StreamCounts::missed), truth.missed, unsettled);
        row("missed while away".into(), sum(StreamCounts::missed_away), truth.missed_away, unsettled);
        row("late".into(), sum(|counts| counts.late), truth.late, unsettled);
        row("duplicates".into(), sum(|counts| counts.duplicates), truth.duplicates, unsettled);
    }
    Reconciliation { unsettled: bounds.attempts + tally.counter(Counter::Unsettled), rows, reconnects: None }
}

/// By how much the two sides may differ, for each kind of row: an unknown end excuses only what it can have changed.
struct Bounds {
    accepts: u64,
    attempts: u64,
    tokens: u64,
    closes: u64,
}

impl Bounds {
    fn of(tally: &Tally) -> Self {
        let outcomes =
            |wanted: &[Outcome]| -> u64 { wanted.iter().map(|wanted| tally.outcome(*wanted)).sum() };
        let unsettled = tally.counter(Counter::Unsettled);
        let attempts = outcomes(&[Outcome::Timeout, Outcome::Aborted, Outcome::TcpReset]);
        // A token may have been issued whose answer never came.
        let unanswered = outcomes(&[Outcome::Aborted, Outcome::TokenError]);
        let tokens = unanswered.max(tally.counter(Counter::TokenFailures)) + unsettled;
        // A peer that fell silent may have closed the session in its own way, and a reset, whosever it is, swallows a close frame on its way.
        let silent = tally.closes_where(|key| key.code == 1006 && key.abnormal != Some(Abnormal::Fin));
        // A connection whose TLS failed has brought no request, by which the target counts it.
        let accepts = attempts + tally.outcome(Outcome::Tls);
        Self { accepts, attempts, tokens, closes: attempts + unsettled + silent }
    }
}

/// Refusals as the clients tell them apart.
const REFUSALS: [(&str, Outcome); 5] = [
    ("refused (401)", Outcome::Http401),
    ("refused (403)", Outcome::Http403),
    ("refused (429)", Outcome::Http429),
    ("refused (other 4xx)", Outcome::Http4xx),
    ("refused (5xx)", Outcome::Http5xx),
];

/// What a client calls a refusal with this status.
const fn refusal_of(status: u16) -> Outcome {
    match status {
        401 => Outcome::Http401,
        403 => Outcome::Http403,
        429 => Outcome::Http429,
        400..=499 => Outcome::Http4xx,
        _ => Outcome::Http5xx,
    }
}

/// Codes with which either side saw a session end.
///
/// Sessions are compared by code and not by who ended them (a violation of the target's by the code with which it was told of it): a storm that the scenario has its clients make is `storm` to the
/// clients and `client` to the target, and a connection that a client resets is the client's doing here and the network's there.
fn close_codes(tally: &Tally, target: &TargetCounters) -> BTreeSet<u16> {
    let own = tally.closes.keys().map(CloseKey::code_at_target);
    own.chain(target.closes.iter().map(|close| close.code)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::Cause;
    use crate::sample::{
        AttemptEnd, AttemptKind, AwaySample, Initiator, Request, RequestEnd, Sample, SessionEnd, StormId,
    };
    use crate::service::counters::{CloseCount, RefusedCount};

    fn attempt(outcome: Outcome) -> Sample {
        Sample::Attempt(AttemptEnd {
            kind: AttemptKind::First,
            outcome,
            cause: None,
            latency: Duration::ZERO,
            token_age: None,
            answer: None,
        })
    }

    fn end(initiator: Initiator, code: u16) -> Sample {
        let key = CloseKey::unsaid(initiator, code, None);
        Sample::SessionEnd(SessionEnd { key, length: Duration::ZERO })
    }

    fn tally(samples: &[Sample]) -> Tally {
        let mut tally = Tally::default();
        samples.iter().for_each(|sample| tally.apply(sample));
        let upgrades = tally.attempts_where(|_, outcome, _| outcome.is_upgraded());
        tally.apply(&Sample::Count(Counter::Upgrades, upgrades));
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
    fn a_storm_of_the_clients_is_the_clients_to_the_target() {
        let connected = [attempt(Outcome::Ok), Sample::Count(Counter::TcpConnections, 1)];
        for (here, there, code) in [
            (Initiator::Storm, Initiator::Client, 4001),
            (Initiator::Storm, Initiator::Storm, 1012),
            (Initiator::Storm, Initiator::Network, 1006),
            (Initiator::Client, Initiator::Network, 1006),
        ] {
            let samples = [connected.as_slice(), &[end(here, code)]].concat();
            let reconciliation = reconcile(&tally(&samples), &target(1, &[(there, code, 1)]));
            assert!(reconciliation.is_exact(), "{here} here, {there} there: {reconciliation:?}");
        }
    }

    #[test]
    fn an_unknown_end_excuses_only_what_it_can_have_changed() {
        let lost_peer = [
            attempt(Outcome::Ok),
            Sample::Count(Counter::TcpConnections, 1),
            Sample::Count(Counter::Unsettled, 1),
            Sample::SessionEnd(SessionEnd {
                key: CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Timeout)),
                length: Duration::ZERO,
            }),
        ];
        let closed_there = reconcile(&tally(&lost_peer), &target(1, &[(Initiator::Target, 1001, 1)]));
        assert!(closed_there.holds() && !closed_there.is_exact(), "{closed_there:?}");
        let one_too_many = reconcile(&tally(&lost_peer), &target(2, &[(Initiator::Target, 1001, 1)]));
        assert!(!one_too_many.holds(), "a lost session explains no upgrade: {one_too_many:?}");
        let failed_token = tally(&[attempt(Outcome::TokenError)]);
        let issued = |tokens_issued, upgrades| TargetCounters { tokens_issued, ..target(upgrades, &[]) };
        assert!(reconcile(&failed_token, &issued(1, 0)).holds());
        assert!(!reconcile(&failed_token, &issued(2, 0)).holds());
        assert!(!reconcile(&failed_token, &issued(0, 1)).holds(), "a failed token request opens nothing");
    }

    #[test]
    fn what_brought_no_request_or_a_bad_one_is_explained() {
        let opened = |outcome| tally(&[attempt(outcome), Sample::Count(Counter::TcpConnections, 1)]);
        assert!(reconcile(&opened(Outcome::Tls), &TargetCounters::default()).holds());
        assert!(!reconcile(&opened(Outcome::Protocol), &TargetCounters::default()).holds());
        let no_tls = TargetCounters { bad_requests: 1, ..TargetCounters::default() };
        assert!(reconcile(&opened(Outcome::Protocol), &no_tls).holds(), "a request where TLS should begin");
        let bad =
            |bad_requests| TargetCounters { accepted_events: 1, bad_requests, ..TargetCounters::default() };
        assert!(reconcile(&opened(Outcome::Http4xx), &bad(1)).holds(), "a path that is not there");
        assert!(!reconcile(&opened(Outcome::Http4xx), &bad(0)).holds());
    }

    #[test]
    fn refusals_of_any_status_are_compared() {
        let refused = |status, count| TargetCounters {
            refused: vec![RefusedCount { status, cause: Cause::Unknown, count }],
            ..TargetCounters::default()
        };
        for (outcome, status) in [
            (Outcome::Http401, 401),
            (Outcome::Http403, 403),
            (Outcome::Http429, 429),
            (Outcome::Http4xx, 404),
            (Outcome::Http5xx, 503),
        ] {
            let ours = tally(&[attempt(outcome)]);
            assert!(reconcile(&ours, &refused(status, 1)).is_exact(), "{outcome}");
            assert!(!reconcile(&ours, &refused(status, 2)).holds(), "{outcome}");
            assert!(
                !reconcile(&ours, &TargetCounters::default()).holds(),
                "{outcome} that the target never gave"
            );
        }
    }

    #[test]
    fn a_session_without_an_end_is_found() {
        let open = tally(&[attempt(Outcome::Ok)]);
        assert!(check_accounts("g", &open, false).is_empty());
        assert_eq!(check_accounts("g", &open, true), ["g: 1 sessions began, 0 ended"]);
        let twice =
            tally(&[attempt(Outcome::Ok), end(Initiator::Target, 1001), end(Initiator::Target, 1001)]);
        assert_eq!(check_accounts("g", &twice, false).len(), 1);
        let by_storm = tally(&[Sample::StormDisconnect(StormId(0))]);
        assert_eq!(
            check_accounts("g", &by_storm, false),
            ["g: storms forced 1 of 0 disconnects, 0 of 0 reconnects followed them"]
        );
        let lost = tally(&[Sample::Count(Counter::Disconnects, 2), Sample::Count(Counter::Reconnects, 1)]);
        assert_eq!(check_accounts("g", &lost, true), ["g: 2 disconnects, 1 came to an end"]);
    }

    #[test]
    fn every_token_that_came_was_granted() {
        let granted = Sample::Request(Box::new(RequestEnd {
            request: Request::Refresh,
            answer: RequestAnswer::Ok,
            status: Some(200),
            error: None,
            latency: Duration::ZERO,
        }));
        let fetched = |n| Sample::Count(Counter::TokensFetched, n);
        let unsettled = Sample::Count(Counter::Unsettled, 1);
        let faults = |samples: &[Sample], ended| check_accounts("g", &tally(samples), ended);
        let one = [granted.clone(), fetched(1)];
        assert_eq!(faults(&one, true), [""; 0]);
        assert_eq!(faults(&[fetched(1)], true), [""; 0], "of a journal without requests");
        let two = ["g: 1 token requests were granted, 2 tokens came"];
        assert_eq!(faults(&[granted.clone(), fetched(2)], false), two);
        let none = ["g: 1 token requests were granted, 0 tokens came"];
        assert_eq!(faults(&one[..1], true), none);
        assert_eq!(faults(&one[..1], false), [""; 0], "it may yet be taken");
        assert_eq!(faults(&[granted, unsettled], true), [""; 0]);
    }

    #[test]
    fn each_client_that_is_away_tells_how_long_or_none_does() {
        let unfinished = Sample::Count(Counter::ReconnectsUnfinished, 1);
        let away = |storm| Sample::Away(AwaySample { storm, away: Duration::from_secs(1) });
        let (disconnect, id) = (Sample::Count(Counter::Disconnects, 1), StormId(0));
        let faults = |samples: &[Sample]| check_accounts("g", &tally(samples), true);
        let told = [disconnect.clone(), unfinished.clone(), away(None)];
        assert_eq!(faults(&told), [""; 0]);
        assert_eq!(faults(&told[..2]), [""; 0], "as journals before schema version 3 have it");
        let twice = faults(&[told.as_slice(), &[away(None)]].concat());
        assert_eq!(twice, ["g: 1 reconnects were under way at the end, 2 tell how long"]);
        let by_storm = faults(&[disconnect, unfinished, away(Some(id))]);
        assert_eq!(by_storm, ["g: storm 0 forced 0 disconnects, 0 came back, 1 are away"]);
    }
}
