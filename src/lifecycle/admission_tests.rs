//! Tests of when a client is in, and of refusals wherever they are spoken.

use super::*;
use crate::lifecycle::Evidence;
use crate::sample::AnsweredBy;
use crate::scenario::keys::RefusalName;

const S: u64 = 1_000;

/// Rules as a remote service's clients have them: in after 500 ms, refused by a code up to 10 s.
fn remote() -> GroupRules {
    let mut rules = rules(OnReconnect::Reuse);
    rules.session.admission = Duration::from_millis(500);
    rules.session.refused_within = Duration::from_secs(10);
    rules.reconnect.backoff.growth = Growth::Steps([10, 100, 1_000].map(Duration::from_millis).to_vec());
    rules
}

impl Bench {
    /// Its handshake is answered with 101 at `now`.
    fn upgraded(&mut self, now: Moment) -> Action {
        self.step(now, Event::Connected(marks(now, now)))
    }

    fn begin(rules: GroupRules) -> Self {
        let mut bench = Self::new(rules);
        bench.step(ms(0), Event::Begin { due: ms(0), leaves: Moment::NEVER });
        assert_eq!(bench.token_at(ms(0)), Action::Connect);
        bench
    }

    fn due(&mut self, now: Moment, heard: Moment) -> Action {
        self.step(now, Event::Due(Signs { heard, pong: Moment::ZERO }))
    }

    fn closed(&mut self, now: Moment, code: u16, heard: Moment) -> Action {
        let ending = Ending::new(now, EndingHow::PeerClosed(code));
        self.step(now, Event::Closed { ending, reason: None, heard })
    }

    /// Outcomes, those that were taken back left out, with what was said.
    fn ends(&self) -> Vec<(Outcome, String)> {
        let mut ends = Vec::new();
        for sample in &self.samples {
            match sample {
                Sample::Attempt(end) => {
                    ends.push((
                        end.outcome,
                        end.answer.as_ref().map(|answer| answer.said()).unwrap_or_default(),
                    ));
                }
                Sample::TakeBack(told) if matches!(**told, Sample::Attempt(_)) => {
                    ends.pop();
                }
                _ => {}
            }
        }
        ends
    }

    /// How many were ready, less those that were taken back.
    fn ready(&self) -> i64 {
        let of = |sample: &Sample| match sample {
            Sample::Ready(_) => 1,
            Sample::TakeBack(told) if matches!(**told, Sample::Ready(_)) => -1,
            _ => 0,
        };
        self.samples.iter().map(of).sum()
    }

    fn counted(&self, wanted: Counter) -> u64 {
        let of = |sample: &Sample| match sample {
            Sample::Count(counter, n) if *counter == wanted => *n,
            _ => 0,
        };
        self.samples.iter().map(of).sum()
    }
}

fn plain(outcome: Outcome, said: &str) -> (Outcome, String) {
    (outcome, said.to_owned())
}

#[test]
fn a_client_is_in_when_its_session_has_lived_and_its_latency_ends_at_the_upgrade() {
    let mut bench = Bench::begin(remote());
    assert_eq!(
        bench.upgraded(ms(20)),
        Action::Hold { until: ms(550), awaiting_ready: false, entering: true }
    );
    assert!(bench.ends().is_empty() && bench.ready() == 0, "nothing is told yet");
    // Clients are looked at in batches, 50 ms apart.
    // Nothing was heard: a refusing close may still come.
    let action = bench.due(ms(550), ms(20));
    assert_eq!(action, Action::Hold { until: ms(10_050), awaiting_ready: false, entering: false });
    assert_eq!((bench.ends(), bench.ready()), (vec![plain(Outcome::Ok, "")], 1));
    let ready = bench.samples.iter().find_map(|sample| match sample {
        Sample::Ready(ready) => Some(ready.latency),
        _ => None,
    });
    assert_eq!(ready, Some(Duration::from_millis(20)));
    assert_eq!(bench.counted(Counter::Upgrades), 1);
    // Where something was heard, that is settled.
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(20));
    let action = bench.due(ms(550), ms(30));
    assert_eq!(action, Action::Hold { until: Moment::NEVER, awaiting_ready: false, entering: false });
}

#[test]
fn who_breaks_a_connection_off_is_not_known_but_for_violations() {
    let by = |how: Abnormal| Evidence::of_close(1006, Some(how.name())).by();
    assert_eq!([Abnormal::Fin, Abnormal::Rst, Abnormal::Timeout].map(by), [AnsweredBy::Unknown; 3]);
    assert_eq!([Abnormal::BadUtf8, Abnormal::MaskedFrame].map(by), [AnsweredBy::Service; 2]);
}

#[test]
fn a_session_that_the_service_ends_before_is_no_admission() {
    // (code, at, heard at, what comes of the attempt, whether the client was in)
    let rows = [
        (4401, 25, 20, plain(Outcome::RefusedClose, "4401"), 0),
        (1013, 320, 20, plain(Outcome::RefusedClose, "1013"), 0),
        (1008, 320, 100, plain(Outcome::RefusedClose, "1008"), 0),
        (1001, 320, 20, plain(Outcome::EndedEarly, "1001"), 0),
        (4500, 320, 20, plain(Outcome::EndedEarly, "4500"), 0),
        (3003, 9 * S, 20, plain(Outcome::RefusedClose, "3003"), 0),
        (3003, 9 * S, 700, plain(Outcome::Ok, ""), 1),
        (3003, 11 * S, 20, plain(Outcome::Ok, ""), 1),
        (1001, 9 * S, 20, plain(Outcome::Ok, ""), 1),
    ];
    for (code, at, heard, end, ready) in rows {
        let mut bench = Bench::begin(remote());
        let mut action = bench.upgraded(ms(20));
        while let Action::Hold { until, .. } = action
            && until < ms(at)
        {
            action = bench.due(until, ms(heard).min(until));
        }
        let action = bench.closed(ms(at), code, ms(heard));
        assert_eq!(
            (bench.ends(), bench.ready()),
            (vec![end], ready),
            "{code} after {at} ms, heard at {heard}"
        );
        assert_eq!(bench.counted(Counter::Disconnects), ready as u64, "who was not in is not disconnected");
        assert!(matches!(action, Action::Sleep { .. }), "{action:?}");
        let sessions = bench.samples.iter().filter(|sample| matches!(sample, Sample::SessionEnd(_)));
        assert_eq!(sessions.count(), 1, "but its session was one");
    }
}

#[test]
fn an_end_that_is_heard_of_late_is_judged_by_when_it_was() {
    // The client was busy: it hears of the close before it looked at the session.
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(20));
    bench.closed(ms(30 * S), 1001, ms(20));
    assert_eq!((bench.ends(), bench.ready()), (vec![plain(Outcome::Ok, "")], 1));
    assert_eq!(bench.counted(Counter::Disconnects), 1);
}

#[test]
fn a_disconnect_goes_on_until_the_client_is_in() {
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(0));
    bench.due(ms(500), ms(100));
    bench.samples.clear();
    bench.closed(ms(20 * S), 1001, ms(100));
    bench.due(ms(20_010), Moment::ZERO);
    bench.upgraded(ms(20_020));
    bench.closed(ms(20_030), 4401, ms(20_020));
    // The second wait of the schedule: nothing was reset.
    bench.due(ms(20_130), Moment::ZERO);
    bench.upgraded(ms(20_140));
    bench.due(ms(20_650), ms(20_150));
    let ready = bench.samples.iter().find_map(|sample| match sample {
        Sample::Ready(ready) => Some(**ready),
        _ => None,
    });
    let ready = ready.unwrap();
    assert_eq!((ready.latency, ready.phases.total()), (Duration::from_millis(140), ready.latency));
    assert_eq!(ready.phases.get(Phase::Ready), Duration::from_millis(10), "the session that was refused");
    assert_eq!(bench.counted(Counter::Disconnects), 1);
    let depth = bench.samples.iter().find_map(|sample| match sample {
        Sample::Cascade(depth) => Some(*depth),
        _ => None,
    });
    assert_eq!(depth, Some(1), "a refusal by close is one of a row");
}

#[test]
fn the_policy_says_from_when_on_attempts_are_counted_anew() {
    // (rule, waits before the attempts that follow three sessions that are refused at once)
    let rows = [
        (ResetOn::Open, [10, 10, 10]),
        (ResetOn::Admitted, [100, 1_000, 1_000]),
        (ResetOn::Ready, [10, 10, 10]),
        (ResetOn::After(Duration::from_secs(5)), [100, 1_000, 1_000]),
    ];
    for (reset_on, expected) in rows {
        let mut rules = remote();
        rules.reconnect.reset_on = reset_on;
        let mut bench = Bench::begin(rules);
        let mut now = ms(0);
        let waits = expected.map(|_| {
            bench.upgraded(now);
            let Action::Sleep { until } = bench.closed(now, 4401, now) else { panic!("it waits") };
            let wait = until.since(now).as_millis();
            now = until;
            assert_eq!(bench.due(now, Moment::ZERO), Action::Connect);
            wait
        });
        assert_eq!(waits, expected, "{reset_on:?}");
    }
    // A session that did not last does not count, though the client was in.
    let mut rules = remote();
    rules.reconnect.reset_on = ResetOn::After(Duration::from_secs(5));
    let mut bench = Bench::begin(rules);
    bench.upgraded(ms(0));
    bench.due(ms(500), ms(100));
    let wait = |action, now: Moment| match action {
        Action::Sleep { until } => until.since(now).as_millis(),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(bench.closed(ms(2 * S), 1001, ms(100)), ms(2 * S)), 100);
    bench.due(ms(2_100), Moment::ZERO);
    bench.upgraded(ms(2_100));
    bench.due(ms(2_600), ms(2_200));
    assert_eq!(wait(bench.closed(ms(8 * S), 1001, ms(2_200)), ms(8 * S)), 10);
}

#[test]
fn what_a_refusal_means_to_tokens_holds_wherever_it_is_spoken() {
    let mut rules = remote();
    rules.reconnect.refetch_on = vec![RefusalName::Code(4401), RefusalName::Words("bad token".into())];
    rules.reconnect.give_up_on = vec![RefusalName::Words("go away".into()), RefusalName::Code(4410)];
    let mut bench = Bench::begin(rules.clone());
    bench.upgraded(ms(0));
    bench.closed(ms(5), 4401, ms(0));
    assert!(matches!(bench.due(ms(200), Moment::ZERO), Action::FetchToken { .. }));
    let mut bench = Bench::begin(rules.clone());
    bench.upgraded(ms(0));
    assert_eq!(bench.closed(ms(5), 4410, ms(0)), Action::Finish(Finish::GaveUp));
    assert_eq!(bench.counted(Counter::FirstGivenUp), 1);
    for (words, ends) in [("bad token", false), ("go away", true)] {
        let mut bench = Bench::begin(rules.clone());
        bench.upgraded(ms(0));
        let evidence = Box::new(Evidence::of_message(Some(words.to_owned())));
        let leave = bench.step(ms(5), Event::Refused { evidence, heard: ms(0) });
        assert_eq!(leave, Action::Leave(Leave::Close { code: 1000 }));
        assert_eq!(bench.ends(), [plain(Outcome::RefusedMessage, words)]);
        let action = bench.step(ms(6), Event::Ended(Ending::new(ms(6), EndingHow::Left)));
        if ends {
            assert_eq!(action, Action::Finish(Finish::GaveUp));
        } else {
            assert!(matches!(bench.due(ms(200), Moment::ZERO), Action::FetchToken { .. }));
        }
    }
}

#[test]
fn a_session_that_must_show_something_is_in_at_that_moment() {
    let mut rules = remote();
    rules.session.ready = Ready::FirstMessage;
    rules.session.ready_timeout = Duration::from_secs(2);
    let mut bench = Bench::begin(rules.clone());
    let action = bench.upgraded(ms(0));
    assert_eq!(action, Action::Hold { until: ms(2_000), awaiting_ready: true, entering: true });
    bench.step(ms(700), Event::BecameReady);
    assert_eq!((bench.ends(), bench.ready()), (vec![plain(Outcome::Ok, "")], 1));
    let mut bench = Bench::begin(rules.clone());
    bench.upgraded(ms(0));
    bench.due(ms(2_000), ms(0));
    assert_eq!((bench.ends(), bench.ready()), (vec![plain(Outcome::NotReady, "")], 0));
    let mut bench = Bench::begin(rules);
    bench.upgraded(ms(0));
    bench.closed(ms(1_500), 4403, ms(900));
    assert_eq!(bench.ends(), [plain(Outcome::RefusedClose, "4403")]);
}

#[test]
fn who_is_on_the_way_in_goes_on_while_the_run_drains() {
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(0));
    let action = bench.step(ms(100), Event::Stop);
    assert_eq!(action, Action::Hold { until: ms(500), awaiting_ready: false, entering: true });
    assert_eq!(bench.due(ms(500), ms(0)), Action::Leave(Leave::Close { code: 1000 }));
    assert_eq!(bench.ends(), [plain(Outcome::Ok, "")]);
    // Whoever is cut off before is not known to be in.
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(0));
    bench.step(ms(100), Event::Stop);
    bench.step(ms(200), Event::Abort);
    assert_eq!((bench.ends(), bench.ready()), (vec![plain(Outcome::Aborted, "")], 0));
}

#[test]
fn who_loses_its_session_while_it_says_goodbye_had_no_time_to_come_back() {
    let mut bench = Bench::begin(remote());
    bench.upgraded(ms(0));
    bench.due(ms(500), ms(100));
    assert_eq!(bench.step(ms(5 * S), Event::Stop), Action::Leave(Leave::Close { code: 1000 }));
    // The service's own close was on its way; the closing handshake takes its time.
    let ending = Ending::new(ms(5 * S), EndingHow::PeerClosed(1001));
    assert_eq!(bench.step(ms(5_117), Event::Ended(ending)), Action::Finish(Finish::RunEnded));
    assert_eq!((bench.counted(Counter::Disconnects), bench.counted(Counter::ReconnectsUnfinished)), (1, 1));
    let away = bench.samples.iter().find_map(|sample| match sample {
        Sample::Away(away) => Some(away.away),
        _ => None,
    });
    assert_eq!(away, Some(Duration::ZERO));
}

#[test]
fn a_fresh_token_that_is_let_in_settles_what_came_before() {
    let mut rules = remote();
    rules.reconnect.refetch_on = vec![RefusalName::Code(403)];
    let mut bench = Bench::begin(rules);
    bench.upgraded(ms(0));
    bench.due(ms(500), ms(100));
    bench.closed(ms(20 * S), 1001, ms(100));
    bench.due(ms(20_010), Moment::ZERO);
    bench.step(ms(20_020), refused(403, ms(20_010), ms(20_020)));
    assert_eq!(bench.counted(Counter::DeadTokenHandshakes), 0);
    bench.due(ms(21 * S), Moment::ZERO);
    bench.token_at(ms(21 * S));
    bench.upgraded(ms(21 * S));
    bench.due(ms(21_500), ms(21_100));
    let recount = bench.samples.iter().find_map(|sample| match sample {
        Sample::Recount(recount) => Some((**recount).clone()),
        _ => None,
    });
    let recount = recount.unwrap();
    assert_eq!((recount.from.cause, recount.to.cause), (Some(Cause::Unknown), Some(Cause::StaleToken)));
    assert_eq!(bench.counted(Counter::DeadTokenHandshakes), 1);
}
