//! Tests of the lifecycle: scripts of events.

use super::*;
use crate::lifecycle::{
    AskedStorms, Ending, EndingHow, Evidence, Finish, Leave, StormRule, TokenFacts, TokenFailure,
};
use crate::sample::{Abnormal, Cause, CloseKey, Initiator, Outcome, SessionEnd, StormId};
use crate::scenario::keys::PrepareRules;
use crate::scenario::keys::{
    Backoff, ClientCredentials, ClientDisconnect, DisconnectHow, Grant, Growth, Jitter, KeepAlive,
    KeepAliveKind, OnReconnect, ReconnectRules, RefusalName, ResetOn, SessionRules, Sharing, TokenConnection,
    TokenRules,
};
use std::sync::Arc;

pub(in crate::lifecycle) const fn ms(ms: u64) -> Moment {
    Moment::from_ns(ms * 1_000_000)
}

pub(in crate::lifecycle) fn token_rules(on_reconnect: OnReconnect) -> TokenRules {
    TokenRules {
        certificate: None,
        dpop: None,
        grant: Grant::ClientCredentials(ClientCredentials::new("id", "secret")),
        on_reconnect,
        fetch_on_codes: None,
        refresh_before_expiry: None,
        refresh_jitter: 0.0,
        clock_skew: None,
        sharing: Sharing::Own,
        connection: TokenConnection::Pooled,
        max_connections: 8,
        timeout: Duration::from_secs(5),
        url: None,
    }
}

pub(in crate::lifecycle) fn rules(on_reconnect: OnReconnect) -> GroupRules {
    GroupRules {
        token: Some(token_rules(on_reconnect)),
        signature_life: None,
        may_show: false,
        prepare: None,
        session: SessionRules {
            ready_timeout: Duration::from_secs(5),
            admission: Duration::ZERO,
            refused_within: Duration::ZERO,
            ..SessionRules::default()
        },
        looks: Arc::default(),
        feeder: None,
        disconnects: Vec::new(),
        reconnect: ReconnectRules {
            on_codes: None,
            backoff: Backoff {
                growth: Growth::Constant { base: Duration::from_millis(10) },
                jitter: Jitter::None,
            },
            honour_retry_after: true,
            max_attempts: None,
            refetch_on: Vec::new(),
            give_up_on: Vec::new(),
            reset_on: ResetOn::Admitted,
            ..ReconnectRules::default()
        },
        storms: Vec::new(),
        asked: AskedStorms::default(),
        arrives: false,
        first: 0,
        seed: 1,
        traces: None,
    }
}

/// A client under test, with all that it has said.
pub(in crate::lifecycle) struct Bench {
    client: Client,
    rules: GroupRules,
    pub(in crate::lifecycle) samples: Vec<Sample>,
}

impl Bench {
    pub(in crate::lifecycle) fn new(rules: GroupRules) -> Self {
        Self { client: Client::new(1, 0), rules, samples: Vec::new() }
    }

    pub(in crate::lifecycle) fn step(&mut self, now: Moment, event: Event) -> Action {
        self.client.step(&self.rules, now, event, &mut self.samples)
    }

    pub(in crate::lifecycle) fn token_at(&mut self, now: Moment) -> Action {
        let facts = TokenFacts::new(now, now, Moment::NEVER);
        self.step(now, Event::TokenReady { facts, fetched: true })
    }

    /// Brings a new client into its first session, ready at `now`.
    fn bring_into_session(&mut self, now: Moment) {
        self.step(now, Event::Begin { due: now, leaves: Moment::NEVER });
        self.token_at(now);
        let action = self.step(now, Event::Connected(marks(now, now)));
        assert!(matches!(action, Action::Hold { .. }), "{action:?}");
        self.samples.clear();
    }

    pub(in crate::lifecycle) fn close_by_target(&mut self, now: Moment, code: u16) -> Action {
        self.step(now, Event::Ended(Ending::new(now, EndingHow::PeerClosed(code))))
    }

    pub(in crate::lifecycle) fn outcomes(&self) -> Vec<(Outcome, Option<Cause>)> {
        let of = |sample: &Sample| match sample {
            Sample::Attempt(end) => Some((end.outcome, end.cause)),
            _ => None,
        };
        self.samples.iter().filter_map(of).collect()
    }
}

pub(in crate::lifecycle) fn marks(began: Moment, ended: Moment) -> Marks {
    Marks { began, proved: None, dns: Some(began), tcp: Some(began), tls: Some(began), ended, signed: None }
}

fn refused(status: u16, began: Moment, ended: Moment) -> Event {
    let evidence = Evidence { status, ..Evidence::default() };
    Event::ConnectFailed { marks: marks(began, ended), failure: ConnectFailure::Http(Box::new(evidence)) }
}

#[test]
fn fetch_takes_a_new_token_before_the_handshake_and_reuse_does_not() {
    // (policy, codes that call for a fetch, close code, whether a token is fetched)
    let rows = [
        (OnReconnect::Fetch, None, 1001, true),
        (OnReconnect::Fetch, Some(vec![1001, 1006]), 1001, true),
        (OnReconnect::Fetch, Some(vec![1001, 1006]), 1012, false),
        (OnReconnect::Reuse, None, 1001, false),
        (OnReconnect::FetchIfOlderThan(Duration::from_secs(2)), None, 1001, false),
        (OnReconnect::FetchIfOlderThan(Duration::from_millis(500)), None, 1001, true),
    ];
    for (policy, codes, code, fetches) in rows {
        let mut rules = rules(policy);
        rules.token.as_mut().unwrap().fetch_on_codes = codes;
        let mut bench = Bench::new(rules);
        bench.bring_into_session(ms(0));
        assert_eq!(bench.close_by_target(ms(1_000), code), Action::Sleep { until: ms(1_010) });
        let action = bench.step(ms(1_010), Event::Due(Signs::default()));
        let fetched = matches!(action, Action::FetchToken { .. });
        assert_eq!(fetched, fetches, "{policy:?} after {code}: {action:?}");
    }
}

#[test]
fn token_requests_of_a_fleet_that_begins_are_told_from_those_of_reconnects() {
    for (arrives, at_start) in [(false, 2), (true, 0)] {
        let mut bench = Bench::new(GroupRules { arrives, ..rules(OnReconnect::Fetch) });
        bench.step(ms(0), Event::Begin { due: ms(0), leaves: Moment::NEVER });
        let failed = Event::TokenFailed { failure: TokenFailure::Error, retry_after: None };
        assert!(matches!(bench.step(ms(1), failed), Action::Sleep { .. }));
        bench.step(ms(100), Event::Due(Signs::default()));
        bench.token_at(ms(101));
        bench.step(ms(102), Event::Connected(marks(ms(101), ms(102))));
        bench.close_by_target(ms(1_000), 1001);
        bench.step(ms(1_100), Event::Due(Signs::default()));
        bench.token_at(ms(1_101));
        let count = |counter| {
            let own = bench
                .samples
                .iter()
                .filter(|sample| matches!(sample, Sample::Count(own, 1) if *own == counter));
            own.count()
        };
        assert_eq!(count(Counter::TokenRequestsAtStart), at_start, "arrives: {arrives}");
        assert_eq!((count(Counter::TokensFetched), count(Counter::TokensForReconnects)), (2, 1));
    }
}

#[test]
fn a_reconnect_is_measured_from_its_disconnect_through_all_its_attempts() {
    let mut bench = Bench::new(rules(OnReconnect::Reuse));
    bench.bring_into_session(ms(0));
    let ending = Ending::new(ms(1_000), EndingHow::PeerClosed(1001));
    assert_eq!(bench.step(ms(1_002), Event::Ended(ending)), Action::Sleep { until: ms(1_012) });
    assert_eq!(bench.step(ms(1_015), Event::Due(Signs::default())), Action::Connect);
    assert_eq!(bench.step(ms(1_020), refused(403, ms(1_015), ms(1_020))), Action::Sleep { until: ms(1_030) });
    assert_eq!(bench.step(ms(1_030), Event::Due(Signs::default())), Action::Connect);
    let reached = Marks {
        began: ms(1_030),
        proved: None,
        dns: Some(ms(1_031)),
        tcp: Some(ms(1_033)),
        tls: Some(ms(1_036)),
        ended: ms(1_040),
        signed: None,
    };
    bench.step(ms(1_041), Event::Connected(reached));
    assert_eq!(bench.outcomes(), [(Outcome::Http403, Some(Cause::Unknown)), (Outcome::Ok, None)]);
    let ready = bench.samples.iter().find_map(|sample| match sample {
        Sample::Ready(ready) => Some(**ready),
        _ => None,
    });
    let ready = ready.unwrap();
    assert_eq!(ready.latency, Duration::from_millis(40), "from the close frame to the upgrade's answer");
    let expected = [
        (Phase::Detect, 2),
        (Phase::Backoff, 23),
        (Phase::Token, 0),
        (Phase::Dns, 1),
        (Phase::Tcp, 2),
        (Phase::Tls, 3),
        (Phase::Upgrade, 9),
        (Phase::Ready, 0),
    ];
    for (phase, time_ms) in expected {
        assert_eq!(ready.phases.get(phase), Duration::from_millis(time_ms), "{phase}");
    }
    assert_eq!(ready.service_time, Duration::from_millis(40 - 2 - 3), "without detection and our own lag");
}

#[test]
fn refusals_lead_where_the_rules_say() {
    let mut fetching = rules(OnReconnect::Reuse);
    fetching.reconnect.refetch_on = vec![RefusalName::Code(401)];
    fetching.reconnect.give_up_on = vec![RefusalName::Code(410)];
    fetching.reconnect.max_attempts = Some(3);
    let mut bench = Bench::new(fetching);
    bench.bring_into_session(ms(0));
    bench.close_by_target(ms(100), 1001);
    assert_eq!(bench.step(ms(110), Event::Due(Signs::default())), Action::Connect);
    bench.step(ms(120), refused(401, ms(110), ms(120)));
    let action = bench.step(ms(130), Event::Due(Signs::default()));
    assert_eq!(
        action,
        Action::FetchToken { not_before: ms(120), valid_until: Moment::ZERO },
        "401 wants a token"
    );
    assert_eq!(bench.token_at(ms(131)), Action::Connect);
    bench.step(ms(140), refused(403, ms(131), ms(140)));
    assert_eq!(bench.step(ms(150), Event::Due(Signs::default())), Action::Connect, "403 does not");
    let action = bench.step(ms(160), refused(403, ms(150), ms(160)));
    assert_eq!(action, Action::Finish(Finish::GaveUp), "three attempts and no more");

    let mut bench = Bench::new(bench.rules);
    bench.bring_into_session(ms(0));
    bench.close_by_target(ms(100), 1001);
    bench.step(ms(110), Event::Due(Signs::default()));
    assert_eq!(bench.step(ms(120), refused(410, ms(110), ms(120))), Action::Finish(Finish::GaveUp));
}

#[test]
fn retry_after_is_obeyed_where_it_is_longer() {
    for (honour, until) in [(true, ms(5_120)), (false, ms(130))] {
        let mut rules = rules(OnReconnect::Reuse);
        rules.reconnect.honour_retry_after = honour;
        let mut bench = Bench::new(rules);
        bench.bring_into_session(ms(0));
        bench.close_by_target(ms(100), 1001);
        bench.step(ms(110), Event::Due(Signs::default()));
        let evidence =
            Evidence { status: 503, retry_after: Some(Duration::from_secs(5)), ..Evidence::default() };
        let failure = ConnectFailure::Http(Box::new(evidence));
        let action = bench.step(ms(120), Event::ConnectFailed { marks: marks(ms(110), ms(120)), failure });
        assert_eq!(action, Action::Sleep { until });
        assert_eq!(bench.outcomes(), [(Outcome::Http5xx, Some(Cause::Overloaded))]);
    }
}

#[test]
fn a_session_is_put_down_to_whoever_ended_it() {
    let mut stormy = rules(OnReconnect::Reuse);
    stormy.storms = vec![StormRule::ByTarget { at: ms(500), code: 1012, all: true, id: StormId(0) }];
    // (ending, initiator, code, abnormal)
    let rows = [
        (EndingHow::PeerClosed(1001), Initiator::Target, 1001, None),
        (EndingHow::PeerClosed(1012), Initiator::Storm, 1012, None),
        (EndingHow::Abnormal(Abnormal::Fin), Initiator::Network, 1006, Some(Abnormal::Fin)),
        (EndingHow::Abnormal(Abnormal::Rst), Initiator::Network, 1006, Some(Abnormal::Rst)),
        (EndingHow::Abnormal(Abnormal::BadUtf8), Initiator::Target, 1006, Some(Abnormal::BadUtf8)),
    ];
    for (how, initiator, code, abnormal) in rows {
        let mut bench = Bench::new(stormy.clone());
        bench.bring_into_session(ms(0));
        bench.step(ms(600), Event::Ended(Ending::new(ms(600), how)));
        let length = Duration::from_millis(600);
        let said = Ending::new(ms(600), how).said;
        let expected = SessionEnd { key: CloseKey { initiator, code, abnormal, said }, length };
        assert!(
            bench.samples.iter().any(|sample| matches!(sample, Sample::SessionEnd(end) if *end == expected))
        );
    }
}

#[test]
fn a_half_open_client_notices_by_its_keep_alive() {
    let mut rules = rules(OnReconnect::Reuse);
    rules.session.keep_alive = Some(KeepAlive {
        every: Duration::from_millis(400),
        what: KeepAliveKind::Ping,
        timeout: Duration::from_millis(100),
    });
    rules.disconnects =
        vec![ClientDisconnect { after: Duration::from_millis(500), how: DisconnectHow::HalfOpen }];
    let mut bench = Bench::new(rules);
    bench.bring_into_session(ms(0));
    assert_eq!(bench.step(ms(400), Event::Due(Signs::default())), Action::Ping);
    assert_eq!(
        bench.step(ms(400), Event::Sent),
        Action::Hold { until: ms(500), awaiting_ready: false, entering: false }
    );
    let alive = Signs { heard: ms(401), pong: ms(401) };
    assert_eq!(bench.step(ms(500), Event::Due(alive)), Action::Leave(Leave::FallSilent));
    let due = bench.step(ms(500), Event::Due(alive));
    assert_eq!(due, Action::Sleep { until: ms(900) }, "the ping at 800 stays without an answer for 100 ms");
    assert_eq!(bench.step(ms(900), Event::Due(alive)), Action::Sleep { until: ms(910) }, "then its backoff");
    assert_eq!(bench.step(ms(910), Event::Due(alive)), Action::Connect);
    bench.step(ms(911), Event::Connected(marks(ms(910), ms(911))));
    let ready = bench.samples.iter().find_map(|sample| match sample {
        Sample::Ready(ready) => Some(**ready),
        _ => None,
    });
    let ready = ready.unwrap();
    assert_eq!(ready.phases.get(Phase::Detect), Duration::from_millis(400), "from when it fell silent");
    assert_eq!(ready.latency, Duration::from_millis(411));
}

#[test]
fn a_silent_peer_is_given_up_and_a_live_one_is_not() {
    let mut rules = rules(OnReconnect::Reuse);
    rules.session.silence_timeout = Some(Duration::from_millis(300));
    let mut bench = Bench::new(rules);
    bench.bring_into_session(ms(0));
    let heard = |at| Signs { heard: ms(at), pong: Moment::ZERO };
    let action = bench.step(ms(300), Event::Due(heard(250)));
    assert_eq!(action, Action::Hold { until: ms(550), awaiting_ready: false, entering: false });
    assert_eq!(bench.step(ms(550), Event::Due(heard(250))), Action::Leave(Leave::Abandon));
    bench.step(ms(550), Event::Ended(Ending::new(ms(550), EndingHow::Left)));
    let end = bench.samples.iter().find_map(|sample| match sample {
        Sample::SessionEnd(end) => Some(*end),
        _ => None,
    });
    let end = end.unwrap();
    assert_eq!(end.key, CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Timeout)));
}

#[test]
fn a_token_is_refreshed_before_it_expires() {
    let mut rules = rules(OnReconnect::Reuse);
    rules.token.as_mut().unwrap().refresh_before_expiry = Some(Duration::from_secs(2));
    let mut bench = Bench::new(rules);
    let facts = |at| TokenFacts::new(ms(at), ms(at), ms(at + 10_000));
    bench.step(ms(0), Event::Begin { due: ms(0), leaves: Moment::NEVER });
    bench.step(ms(0), Event::TokenReady { facts: facts(0), fetched: true });
    let action = bench.step(ms(0), Event::Connected(marks(ms(0), ms(0))));
    assert!(matches!(action, Action::Hold { .. }));
    let ready_gone = bench.step(ms(8_000), Event::Due(Signs::default()));
    assert!(matches!(ready_gone, Action::StartRefresh { .. }), "{ready_gone:?}");
    bench.step(ms(8_000), Event::Sent);
    let action = bench.step(ms(8_050), Event::TokenReady { facts: facts(8_050), fetched: true });
    assert_eq!(action, Action::Hold { until: ms(16_050), awaiting_ready: false, entering: false });
    bench.close_by_target(ms(9_000), 1001);
    assert_eq!(
        bench.step(ms(9_010), Event::Due(Signs::default())),
        Action::Connect,
        "the refreshed one will do"
    );
}

#[test]
fn what_was_prepared_is_reused_as_often_as_the_rules_say() {
    for (renew_after, expected) in [(Some(0), 4), (Some(1), 2), (Some(2), 2), (None, 1)] {
        let mut rules = rules(OnReconnect::Reuse);
        rules.token = None;
        rules.prepare =
            Some(Box::new(PrepareRules { when: PrepareWhen::Once, renew_after, ..PrepareRules::default() }));
        let mut bench = Bench::new(rules);
        let mut now = ms(0);
        let mut action = bench.step(now, Event::Begin { due: now, leaves: Moment::NEVER });
        let (mut prepared, mut sessions) = (0, 0);
        while sessions < 4 {
            now = now + Duration::from_millis(20);
            action = match action {
                Action::Prepare => {
                    prepared += 1;
                    bench.step(now, Event::Prepared)
                }
                Action::Connect => {
                    sessions += 1;
                    bench.step(now, Event::Connected(marks(now, now)));
                    bench.close_by_target(now, 1001)
                }
                Action::Sleep { until } => bench.step(until.max(now), Event::Due(Signs::default())),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(prepared, expected, "{renew_after:?}");
    }
}

#[test]
fn when_the_run_ends_the_client_says_goodbye_and_that_is_no_disconnect() {
    let mut bench = Bench::new(rules(OnReconnect::Reuse));
    bench.bring_into_session(ms(0));
    assert_eq!(bench.step(ms(700), Event::Stop), Action::Leave(Leave::Close { code: 1000 }));
    let ending = Ending::new(ms(700), EndingHow::Left);
    assert_eq!(bench.step(ms(701), Event::Ended(ending)), Action::Finish(Finish::RunEnded));
    assert!(!bench.samples.iter().any(|sample| matches!(sample, Sample::Count(Counter::Disconnects, _))));
}

#[path = "admission_tests.rs"]
mod admission;
#[path = "machine_property_tests.rs"]
mod properties;
#[path = "storm_tests.rs"]
mod storms;

#[test]
fn a_signature_that_is_shown_again_after_its_life_is_a_credential_that_has_expired() {
    let mut rules =
        GroupRules { token: None, signature_life: Some(Duration::from_secs(2)), ..rules(OnReconnect::Reuse) };
    rules.reconnect.max_attempts = None;
    let mut bench = Bench::new(rules);
    let signed = |began: u64, at: u64| Marks { signed: Some(ms(at)), ..marks(ms(began), ms(began + 5)) };
    let refusal = || ConnectFailure::Http(Box::new(Evidence { status: 403, ..Evidence::default() }));
    assert_eq!(bench.step(ms(0), Event::Begin { due: ms(0), leaves: Moment::NEVER }), Action::Connect);
    bench.step(ms(5), Event::Connected(signed(0, 0)));
    bench.step(ms(3_000), Event::Ended(Ending::new(ms(3_000), EndingHow::PeerClosed(1001))));
    assert_eq!(bench.step(ms(3_010), Event::Due(Signs::default())), Action::Connect);
    bench.step(ms(3_015), Event::ConnectFailed { marks: signed(3_010, 0), failure: refusal() });
    bench.step(ms(3_030), Event::Due(Signs::default()));
    // Bare, and of a signature that is fresh: nothing tells why.
    bench.step(ms(3_035), Event::ConnectFailed { marks: signed(3_030, 3_030), failure: refusal() });
    let causes: Vec<_> = bench.outcomes().into_iter().filter_map(|(_, cause)| cause).collect();
    assert_eq!(causes, [Cause::ExpiredToken, Cause::Unknown]);
    let ages: Vec<_> = bench
        .samples
        .iter()
        .filter_map(|sample| match sample {
            Sample::Attempt(end) => Some(end.token_age),
            _ => None,
        })
        .collect();
    assert_eq!(ages, [0, 3_010, 0].map(|age| Some(Duration::from_millis(age))));
}
