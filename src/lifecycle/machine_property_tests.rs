//! Properties of the lifecycle that hold for any sequence of events.

use proptest::prelude::*;

use super::*;
use crate::lifecycle::{TokenFacts, TokenFailure};
use crate::sample::{Bin, NotBack};

/// What must hold whatever happens to a client.
#[derive(Default)]
struct Ledger {
    attempt_open: bool,
    open_sessions: u32,
    /// Sessions that are kept beside the next ones.
    kept: u32,
    overlapped: u64,
    attempts: u64,
    outcomes: u64,
    disconnects: u64,
    settled: u64,
    by_storm: u64,
    back_from_storm: u64,
    unfinished: u64,
    away: u64,
    away_from_storm: u64,
    whereabouts: Whereabouts,
    /// Where it was before it was last let in.
    before: Whereabouts,
}

/// Where a client is by the turns of its life.
#[derive(Default, Debug, Clone, Copy, PartialEq)]
enum Whereabouts {
    #[default]
    Nowhere,
    OutSince(Moment),
    In,
    Gone,
}

impl Ledger {
    fn read(&mut self, samples: &[Sample]) {
        for sample in samples {
            match sample {
                Sample::Attempt(end) => {
                    // An attempt that needed no time for a token is first heard of by its end.
                    self.attempts += u64::from(!self.attempt_open);
                    self.attempt_open = false;
                    self.outcomes += 1;
                    assert_eq!(end.cause.is_some(), end.outcome.is_refusal(), "{end:?}");
                    assert!(end.cause.is_none() || end.answer.is_some(), "{end:?}");
                }
                Sample::Count(Counter::Upgrades, _) => {
                    assert!(self.open_sessions <= self.kept, "a session begins while another lasts");
                    self.open_sessions += 1;
                }
                Sample::Life(life) => self.live(life),
                Sample::TakeBack(told) => match &**told {
                    Sample::Life(Life::In(_)) => {
                        assert_eq!(self.whereabouts, Whereabouts::In);
                        self.whereabouts = self.before;
                    }
                    Sample::Attempt(_) => {
                        self.outcomes -= 1;
                        self.attempt_open = true;
                    }
                    Sample::Ready(ready) => {
                        self.settled -= u64::from(ready.kind == AttemptKind::Reconnect);
                        self.back_from_storm -= u64::from(ready.storm.is_some());
                    }
                    _ => {}
                },
                Sample::SessionEnd(_) => {
                    assert!(self.open_sessions > 0, "a session ends twice");
                    self.open_sessions -= 1;
                }
                Sample::Ready(ready) => {
                    assert_eq!(ready.latency, ready.phases.total());
                    assert!(ready.service_time <= ready.latency);
                    self.settled += u64::from(ready.kind == AttemptKind::Reconnect);
                    assert!(ready.storm.is_none() || ready.kind == AttemptKind::Reconnect);
                    self.back_from_storm += u64::from(ready.storm.is_some());
                }
                Sample::Count(Counter::ResumesOverlapped, _) => {
                    assert!(
                        matches!(self.whereabouts, Whereabouts::In | Whereabouts::Gone),
                        "it was never away"
                    );
                    self.overlapped += 1;
                }
                Sample::Count(Counter::Disconnects, n) => self.disconnects += n,
                Sample::Count(Counter::ReconnectsUnfinished, n) => {
                    self.settled += n;
                    self.unfinished += n;
                }
                Sample::Away(away) => {
                    self.away += 1;
                    self.away_from_storm += u64::from(away.storm.is_some());
                }
                Sample::StormDisconnect(_) => self.by_storm += 1,
                Sample::Count(Counter::ReconnectsGivenUp | Counter::ReconnectsNotWanted, n) => {
                    self.settled += n;
                }
                _ => {}
            }
        }
    }

    fn live(&mut self, life: &Life) {
        use Whereabouts::{Gone, In, Nowhere, OutSince};
        self.whereabouts = match (self.whereabouts, life) {
            (Nowhere, Life::Came(due)) => OutSince(*due),
            (OutSince(since), Life::In(way)) => {
                assert!(since <= way.at && way.upgraded <= way.at, "{since:?} {way:?}");
                assert!(way.lost_in.is_none_or(|bin| bin == Bin::of(since)), "{since:?} {way:?}");
                self.before = self.whereabouts;
                In
            }
            (In, Life::Out(out)) => {
                assert!(out.upgraded <= out.from, "{out:?}");
                OutSince(out.from)
            }
            (In, Life::Gone { upgraded: Some(_), .. }) => Gone,
            (OutSince(since), Life::Gone { at, upgraded: None }) => {
                assert!(since <= *at);
                Gone
            }
            (
                OutSince(since),
                Life::Failed(bin, _) | Life::Recounted(bin, _) | Life::NotBack(NotBack { lost_in: bin, .. }),
            ) => {
                assert_eq!(*bin, Bin::of(since));
                self.whereabouts
            }
            // The one whose session was just let in.
            (In, Life::Recounted(..)) => In,
            (whereabouts, life) => panic!("{whereabouts:?} {life:?}"),
        };
    }

    fn take_action(&mut self, action: Action) {
        if matches!(action, Action::Keep { .. }) {
            assert_eq!(self.kept, 0, "one is kept at a time");
            self.kept = 1;
        }
        if matches!(action, Action::FetchToken { .. } | Action::Connect) && !self.attempt_open {
            self.attempt_open = true;
            self.attempts += 1;
        }
    }
}

fn kept_ended(choice: u8, now: Moment) -> Event {
    let how = match choice % 4 {
        0 => EndingHow::PeerClosed(4004),
        1 => EndingHow::Abnormal(Abnormal::Rst),
        2 => EndingHow::Abnormal(Abnormal::Timeout),
        _ => EndingHow::Left,
    };
    Event::KeptEnded { ending: Ending::new(now, how), closed: !choice.is_multiple_of(2) }
}

/// An event that fits the action (`choice` decides which), or, one time in eight, any event at all.
fn event_for(action: Action, choice: u8, now: Moment, spoiled: bool) -> Event {
    let facts = TokenFacts::new(now, now, now + Duration::from_secs(u64::from(choice)));
    let ended = |how| Event::Ended(Ending::new(now, how));
    let any = |choice: u8| match choice % 16 {
        0 => Event::Due(Signs { heard: now, pong: now }),
        1 => Event::TokenReady { facts, fetched: choice.is_multiple_of(2) },
        2 => Event::TokenFailed { failure: TokenFailure::Error, retry_after: None },
        3 => Event::Connected(marks(now, now)),
        14 if choice > 200 => kept_ended(choice, now),
        4 => refused(if choice > 128 { 403 } else { 401 }, now, now),
        5 => Event::BecameReady,
        6 => Event::Sent,
        7 => ended(EndingHow::PeerClosed(1001)),
        8 => ended(EndingHow::Abnormal(Abnormal::Rst)),
        9 => Event::Stop,
        10 => Event::Abort,
        11 => Event::Prepared,
        12 => Event::PrepareFailed(ConnectFailure::Timeout),
        13 => Event::Asked {
            renew: choice > 128,
            overlap: choice.is_multiple_of(3).then_some(Duration::from_millis(100)),
        },
        14 => Event::Heartbeat { every: Duration::from_millis(20) },
        15 if choice > 128 => Event::Closed {
            ending: Ending::new(now, EndingHow::PeerClosed(4401)),
            reason: (choice > 200).then(|| "token expired".into()),
            heard: Moment::ZERO,
        },
        15 => Event::Refused { evidence: Box::new(Evidence::of_message(None)), heard: Moment::ZERO },
        _ => Event::Begin { due: now, leaves: Moment::NEVER },
    };
    if spoiled {
        return any(choice);
    }
    match action {
        Action::Sleep { .. } => any(if choice.is_multiple_of(40) { 9 } else { 0 }),
        Action::FetchToken { .. } => any(if choice.is_multiple_of(5) { 2 } else { 1 }),
        Action::Connect if choice.is_multiple_of(7) => {
            let failure = ConnectFailure::Timeout;
            Event::ConnectFailed { marks: Marks { began: now, ended: now, ..Marks::default() }, failure }
        }
        Action::Connect => any(if choice.is_multiple_of(3) { 4 } else { 3 }),
        Action::Prepare => any(if choice.is_multiple_of(5) { 12 } else { 11 }),
        Action::Hold { awaiting_ready, .. } => any(match choice % 7 {
            0 => 7,
            1 => 8,
            2 if awaiting_ready => 5,
            3 => 1,
            4 => 13,
            5 if choice > 90 => 15,
            5 => 14,
            _ => 0,
        }),
        Action::Leave(Leave::FallSilent) => any(0),
        Action::Leave(_) => {
            ended(if choice.is_multiple_of(4) { EndingHow::PeerClosed(1001) } else { EndingHow::Left })
        }
        Action::Finish(_) => Event::Abort,
        _ => Event::Sent,
    }
}

fn any_rules() -> impl Strategy<Value = GroupRules> {
    let policy = prop_oneof![
        Just(OnReconnect::Reuse),
        Just(OnReconnect::Fetch),
        Just(OnReconnect::FetchIfOlderThan(Duration::from_millis(50))),
    ];
    let how = prop_oneof![
        Just(DisconnectHow::Close { code: 4000 }),
        Just(DisconnectHow::Reset),
        Just(DisconnectHow::HalfOpen),
    ];
    let times = (prop::sample::select(&[0, 40, 500][..]), prop::sample::select(&[0, 300][..]));
    (policy, how, any::<[bool; 8]>(), 1_u32..5, times).prop_map(|(policy, how, flags, most, times)| {
        let mut rules = rules(policy);
        rules.session.admission = Duration::from_millis(times.0);
        rules.session.refused_within = Duration::from_millis(times.1);
        let token = rules.token.as_mut().unwrap();
        token.sharing = if flags[0] { Sharing::Group } else { Sharing::Own };
        token.refresh_before_expiry = flags[1].then_some(Duration::from_secs(3));
        rules.session.ready = if flags[2] { Ready::FirstMessage } else { Ready::Upgraded };
        rules.session.keep_alive = flags[3].then_some(KeepAlive {
            every: Duration::from_millis(70),
            what: KeepAliveKind::Ping,
            timeout: Duration::from_millis(30),
        });
        let when = if flags[6] { PrepareWhen::Once } else { PrepareWhen::EachAttempt };
        let renews = PrepareRules {
            when,
            renew_on: vec![403],
            renew_on_codes: vec![(1001, 1001)],
            ..PrepareRules::default()
        };
        rules.prepare = flags[7].then(|| Box::new(renews));
        rules.session.silence_timeout = Some(Duration::from_millis(500));
        rules.disconnects = vec![ClientDisconnect { after: Duration::from_millis(90), how }];
        rules.reconnect.max_attempts = flags[4].then_some(most);
        if flags[5] {
            rules.storms = vec![StormRule::ByClient { at: ms(200), how, id: StormId(0), fraction: 0.5 }];
        }
        rules
    })
}

proptest! {
    #[test]
    fn accounts_close_whatever_the_order_of_events(
        rules in any_rules(),
        script in prop::collection::vec((any::<u8>(), 0_u64..60, any::<u8>()), 1..200),
        leaves in prop::option::of(0_u64..3_000),
    ) {
        let mut bench = Bench::new(rules);
        let mut ledger = Ledger::default();
        let mut now = ms(0);
        let leaves = leaves.map_or(Moment::NEVER, ms);
        let mut action = bench.step(now, Event::Begin { due: now, leaves });
        for (choice, later_ms, spoil) in script {
            ledger.read(&std::mem::take(&mut bench.samples));
            ledger.take_action(action);
            if matches!(action, Action::Finish(_)) {
                break;
            }
            now = match action {
                Action::Sleep { until } | Action::Hold { until, .. } if until != Moment::NEVER => now.max(until),
                _ => now + Duration::from_millis(later_ms),
            };
            if ledger.kept > 0 && (spoil >= 224 || later_ms > 55) {
                // It may end whatever the client does, which goes on.
                let waits = matches!(action, Action::Hold { .. } | Action::Sleep { .. });
                let goes_on = bench.step(now, kept_ended(choice, now));
                ledger.kept = 0;
                ledger.read(&std::mem::take(&mut bench.samples));
                assert!(!matches!(goes_on, Action::Finish(_)), "{goes_on:?}");
                if waits {
                    action = goes_on;
                }
            }
            let event = event_for(action, choice, now, spoil < 8);
            ledger.kept -= u32::from(ledger.kept > 0 && matches!(event, Event::KeptEnded { .. }));
            let leaves_kept = matches!(action, Action::Leave(_)) && ledger.open_sessions <= ledger.kept;
            ledger.kept -= u32::from(leaves_kept);
            action = bench.step(now, event);
        }
        if !matches!(action, Action::Finish(_)) {
            action = bench.step(now, Event::Abort);
        }
        prop_assert!(matches!(action, Action::Finish(_)), "an abort ends it at once: {action:?}");
        ledger.read(&std::mem::take(&mut bench.samples));
        let is_out_for_good = matches!(ledger.whereabouts, Whereabouts::OutSince(_));
        prop_assert_eq!(is_out_for_good, action == Action::Finish(Finish::GaveUp), "{:?}", ledger.whereabouts);
        prop_assert!(is_out_for_good || ledger.whereabouts == Whereabouts::Gone);
        prop_assert!(!ledger.attempt_open, "an attempt without an outcome");
        prop_assert_eq!(ledger.open_sessions, 0, "a session without an end");
        prop_assert_eq!(ledger.attempts, ledger.outcomes);
        prop_assert_eq!(ledger.disconnects, ledger.settled, "each disconnect comes to one end");
        prop_assert!(ledger.back_from_storm + ledger.away_from_storm <= ledger.by_storm);
        prop_assert!(ledger.by_storm <= ledger.disconnects);
        prop_assert_eq!(ledger.away, ledger.unfinished, "who is away tells how long");
    }

    #[test]
    fn a_client_that_is_told_to_stop_ends(rules in any_rules(), choices in prop::collection::vec(any::<u8>(), 64)) {
        let mut bench = Bench::new(rules);
        let mut now = ms(0);
        let mut action = bench.step(now, Event::Begin { due: now, leaves: Moment::NEVER });
        bench.client.stop(now);
        for choice in choices {
            now = now + Duration::from_millis(5);
            action = match action {
                Action::Finish(_) => break,
                Action::Hold { until, entering: true, .. } => {
                    now = now.max(until);
                    bench.step(now, Event::Due(Signs::default()))
                }
                Action::Sleep { .. } | Action::Hold { .. } => bench.step(now, Event::Stop),
                other => bench.step(now, event_for(other, choice, now, false)),
            };
        }
        prop_assert!(matches!(action, Action::Finish(_)), "{action:?}");
    }

    #[test]
    fn a_client_leaves_when_its_time_is_over(rules in any_rules(), choices in prop::collection::vec(any::<u8>(), 400)) {
        let mut bench = Bench::new(rules);
        let mut now = ms(0);
        let mut action = bench.step(now, Event::Begin { due: now, leaves: ms(700) });
        let mut steps_after = 0;
        for choice in choices {
            action = match action {
                Action::Finish(_) => break,
                Action::Sleep { until } | Action::Hold { until, entering: false, .. } => {
                    prop_assert!(until <= ms(700) || now >= ms(700), "{until:?}");
                    now = now.max(until);
                    bench.step(now, Event::Due(Signs::default()))
                }
                Action::Hold { until, .. } => {
                    now = now.max(until);
                    bench.step(now, Event::Due(Signs::default()))
                }
                other => {
                    now = now + Duration::from_millis(5);
                    bench.step(now, event_for(other, choice, now, false))
                }
            };
            steps_after += u32::from(now >= ms(700));
        }
        prop_assert!(matches!(action, Action::Finish(_)), "{action:?} after {steps_after} steps");
        prop_assert!(steps_after <= 64, "{steps_after}");
    }

    #[test]
    fn the_same_seed_and_events_lead_to_the_same_actions(
        rules in any_rules(),
        number in any::<u32>(),
        choices in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let live = |mut client: Client| {
            let mut samples = Vec::new();
            let mut now = ms(0);
            let mut actions = vec![client.step(&rules, now, Event::Begin { due: now, leaves: Moment::NEVER }, &mut samples)];
            for &choice in &choices {
                let action = actions[actions.len() - 1];
                if matches!(action, Action::Finish(_)) {
                    break;
                }
                now = now + Duration::from_millis(10);
                actions.push(client.step(&rules, now, event_for(action, choice, now, false), &mut samples));
            }
            (actions, format!("{samples:?}"))
        };
        prop_assert_eq!(live(Client::new(9, number)), live(Client::new(9, number)));
    }
}
