//! What the target counted itself, exactly: the other half of the reconciliation.
//!
//! In: nothing. Out: plain numbers, also as JSON at `GET /_resurge/counters`. Sessions end with one close each, so
//! `upgrades == Σ closes + sessions_open` always.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::{Abnormal, Cause, Initiator};
use crate::units::format_count;

use super::topic_truth::TopicTruth;

/// The target's own counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TargetCounters {
    /// TCP connections accepted, whatever came over them.
    pub accepted: u64,
    /// TCP connections whose first request went to the token endpoint.
    pub accepted_token: u64,
    /// TCP connections whose first request went to the control endpoint.
    pub accepted_control: u64,
    /// TCP connections whose first request went anywhere else: to the WebSocket endpoint. Connections over which no request
    /// came, as a token client's spare ones, are only in `accepted`.
    #[serde(default)]
    pub accepted_events: u64,
    /// Upgrade requests answered with 101.
    pub upgrades: u64,
    /// Upgrade requests refused, by status and cause.
    pub refused: Vec<RefusedCount>,
    /// Tokens issued.
    pub tokens_issued: u64,
    /// Token requests refused, by the OAuth error code (RFC 6749 §5.2).
    pub token_requests_refused: Vec<TokenRefusedCount>,
    /// Sessions ended, by who ended them and with which code.
    pub closes: Vec<CloseCount>,
    /// Sessions open now.
    pub sessions_open: u64,
    /// Data messages sent.
    pub messages_sent: u64,
    /// Data messages received.
    pub messages_received: u64,
    /// Requests that were none of the above, or no HTTP at all.
    pub bad_requests: u64,
    /// Requests that a route answered.
    #[serde(default)]
    pub routes_answered: u64,
    /// Requests that a route refused, by status and cause.
    #[serde(default)]
    pub routes_refused: Vec<RefusedCount>,
    /// Tickets issued.
    #[serde(default)]
    pub tickets_issued: u64,
    /// Tickets that ended because their client id had too many.
    #[serde(default)]
    pub tickets_evicted: u64,
    /// Handshakes that were refused in another way than by a status, by manner and cause: `socket` (they count as upgrades, too),
    /// `reset`, `silence`.
    #[serde(default)]
    pub refused_otherwise: Vec<RefusedOtherwise>,
    /// Used refresh tokens that were shown again (RFC 9700 §4.14.2).
    #[serde(default)]
    pub refresh_tokens_reused: u64,
    /// Families of tokens that ended because of that.
    #[serde(default)]
    pub refresh_families_ended: u64,
    /// Restarts because a probe had failed too often.
    #[serde(default)]
    pub restarts: u64,
    /// Faults that struck, by kind. All else is counted as the clients see it: an upgrade request that got no proper answer is no
    /// upgrade and no refusal, one that got a status is a refusal, a token that was not given is not issued, and a session that is
    /// struck was upgraded and ends once.
    #[serde(default)]
    pub faults_injected: Vec<FaultCount>,
    /// What became of the messages of topics, where the target has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<TopicCounts>,
}

impl TargetCounters {
    /// What clients must have heard is told only where all of them listen to the topics.
    pub fn settle_topics(&mut self, all_listen: bool) {
        if let Some(topics) = self.topics.as_mut().filter(|_| !all_listen) {
            topics.truth = None;
        }
    }

    /// Adds what another target counted.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.accepted, other.accepted),
            (&mut self.accepted_token, other.accepted_token),
            (&mut self.accepted_control, other.accepted_control),
            (&mut self.accepted_events, other.accepted_events),
            (&mut self.upgrades, other.upgrades),
            (&mut self.tokens_issued, other.tokens_issued),
            (&mut self.sessions_open, other.sessions_open),
            (&mut self.messages_sent, other.messages_sent),
            (&mut self.messages_received, other.messages_received),
            (&mut self.bad_requests, other.bad_requests),
            (&mut self.routes_answered, other.routes_answered),
            (&mut self.tickets_issued, other.tickets_issued),
            (&mut self.tickets_evicted, other.tickets_evicted),
            (&mut self.refresh_tokens_reused, other.refresh_tokens_reused),
            (&mut self.refresh_families_ended, other.refresh_families_ended),
            (&mut self.restarts, other.restarts),
        ] {
            *own += others;
        }
        add_rows(&mut self.refused, &other.refused, |row| (row.status, row.cause), |row| &mut row.count);
        add_rows(
            &mut self.token_requests_refused,
            &other.token_requests_refused,
            |row| row.error.clone(),
            |row| &mut row.count,
        );
        let of_close = |row: &CloseCount| (row.initiator, row.code, row.abnormal);
        add_rows(&mut self.closes, &other.closes, of_close, |row| &mut row.count);
        let of_refusal = |row: &RefusedCount| (row.status, row.cause);
        add_rows(&mut self.routes_refused, &other.routes_refused, of_refusal, |row| &mut row.count);
        let of_manner = |row: &RefusedOtherwise| (row.manner.clone(), row.cause);
        add_rows(&mut self.refused_otherwise, &other.refused_otherwise, of_manner, |row| &mut row.count);
        add_rows(
            &mut self.faults_injected,
            &other.faults_injected,
            |row| row.kind.clone(),
            |row| &mut row.count,
        );
        if let Some(topics) = &other.topics {
            match &mut self.topics {
                Some(own) => own.add(topics),
                None => self.topics = Some(*topics),
            }
        }
    }
}

/// What became of the messages of topics, over all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TopicCounts {
    /// Messages that were not sent.
    pub dropped: u64,
    /// Messages that were sent twice.
    pub repeated: u64,
    /// Messages that were sent in their neighbour's place.
    pub moved: u64,
    /// What clients must have heard where all that was sent arrives; `null`: not known, or clients listen to something else.
    pub truth: Option<TopicTruth>,
}

impl std::fmt::Display for TopicCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [dropped, repeated, moved] = [self.dropped, self.repeated, self.moved].map(format_count);
        write!(f, "lost {dropped} messages, sent {repeated} twice and {moved} in another's place")
    }
}

impl TopicCounts {
    fn add(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.repeated += other.repeated;
        self.moved += other.moved;
        self.truth = self.truth.zip(other.truth).map(|(mut own, others)| {
            own.add(&others);
            own
        });
    }
}

/// Adds the counts of `others` to the rows of the same key; rows stay, or come to be, in the keys' order.
fn add_rows<R: Clone, K: Ord>(
    own: &mut Vec<R>,
    others: &[R],
    key: impl Fn(&R) -> K,
    count: impl Fn(&mut R) -> &mut u64,
) {
    for other in others {
        let more = *count(&mut other.clone());
        match own.iter().position(|row| key(row) == key(other)) {
            Some(at) => *count(&mut own[at]) += more,
            None => own.push(other.clone()),
        }
    }
    own.sort_by_key(key);
}

/// How often a fault of this kind was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultCount {
    /// Its name, as in the scenario.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// How often an upgrade was refused with this status for this cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedCount {
    /// HTTP status.
    pub status: u16,
    /// The true cause: the target knows.
    pub cause: Cause,
    /// How often.
    pub count: u64,
}

/// How often a handshake was refused in this way for this cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedOtherwise {
    /// `socket`, `reset` or `silence`.
    pub manner: String,
    /// The true cause.
    pub cause: Cause,
    /// How often.
    pub count: u64,
}

/// How often a token request was refused with this error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRefusedCount {
    /// OAuth error code, as `invalid_client`.
    pub error: String,
    /// How often.
    pub count: u64,
}

/// How often a session ended this way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloseCount {
    /// Who ended it: `target` (idle), `storm`, `client` (its close frame came first) or `network` (no close frame).
    pub initiator: Initiator,
    /// The code in the first close frame; 1006 where none came.
    pub code: u16,
    /// How, for 1006.
    pub abnormal: Option<Abnormal>,
    /// How often.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_several_targets_are_added_row_by_row() {
        let close = |code, count| CloseCount { initiator: Initiator::Target, code, abnormal: None, count };
        let refused = |status, count| RefusedCount { status, cause: Cause::StaleToken, count };
        let fault = |kind: &str, count| FaultCount { kind: kind.into(), count };
        let one = TargetCounters {
            upgrades: 2,
            closes: vec![close(1001, 1), close(1012, 1)],
            refused: vec![refused(403, 4)],
            ..TargetCounters::default()
        };
        let two = TargetCounters {
            upgrades: 3,
            sessions_open: 1,
            closes: vec![close(1000, 2), close(1001, 5)],
            faults_injected: vec![fault("half_open", 1)],
            ..TargetCounters::default()
        };
        let (mut sum, mut other_way) = (one.clone(), two.clone());
        sum.add(&two);
        other_way.add(&one);
        assert_eq!(sum, other_way);
        assert_eq!((sum.upgrades, sum.sessions_open), (5, 1));
        assert_eq!(sum.closes, [close(1000, 2), close(1001, 6), close(1012, 1)]);
        assert_eq!(sum.refused, [refused(403, 4)]);
        assert_eq!(sum.faults_injected, [fault("half_open", 1)]);
    }
}
