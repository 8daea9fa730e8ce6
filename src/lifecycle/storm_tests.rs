//! Tests of who is put down to which storm, back or still away.

use super::*;
use crate::sample::AwaySample;

#[test]
fn a_way_back_remembers_its_storm_through_failures_and_counts_from_when_it_was_due() {
    let by_target = StormRule::ByTarget { at: ms(500), code: 1012, all: true, id: StormId(4) };
    let by_client = |how| StormRule::ByClient { at: ms(500), how, id: StormId(4), fraction: 1.0 };
    let close = DisconnectHow::Close { code: 4000 };
    // (storm, how its session ends, 50 ms after it was due)
    let rows = [
        (by_target, Some(EndingHow::PeerClosed(1012)), Some(StormId(4))),
        (by_target, Some(EndingHow::PeerClosed(1001)), None),
        (by_target, Some(EndingHow::Abnormal(Abnormal::Rst)), None),
        (by_client(close), Some(EndingHow::Left), Some(StormId(4))),
        (by_client(close), Some(EndingHow::Abnormal(Abnormal::Timeout)), Some(StormId(4))),
        (by_client(close), Some(EndingHow::PeerClosed(1001)), None),
        (by_client(DisconnectHow::Reset), Some(EndingHow::Left), Some(StormId(4))),
        (by_client(DisconnectHow::HalfOpen), None, Some(StormId(4))),
    ];
    for (storm, how, expected) in rows {
        let mut stormy = rules(OnReconnect::Reuse);
        stormy.storms = vec![storm];
        stormy.session.silence_timeout = Some(Duration::from_secs(9));
        let mut bench = Bench::new(stormy);
        bench.bring_into_session(ms(0));
        if matches!(storm, StormRule::ByClient { .. }) {
            let leave = bench.step(ms(500), Event::Due(Signs { heard: ms(500), pong: ms(500) }));
            assert!(matches!(leave, Action::Leave(_)), "{storm:?} {leave:?}");
        }
        let (back_at, end) = match how {
            Some(how) => (ms(560), Event::Ended(Ending::new(ms(550), how))),
            None => {
                bench.step(ms(500), Event::Due(Signs::default()));
                (ms(9_510), Event::Due(Signs::default()))
            }
        };
        let ended_at = if how.is_some() { ms(550) } else { ms(9_500) };
        bench.step(ended_at, end);
        bench.step(back_at, Event::Due(Signs::default()));
        bench.step(back_at, refused(403, back_at, back_at));
        bench.step(back_at + Duration::from_millis(40), Event::Due(Signs::default()));
        let ready_at = back_at + Duration::from_millis(41);
        bench.step(ready_at, Event::Connected(marks(ready_at, ready_at)));
        let samples = &bench.samples;
        let struck: Vec<StormId> = samples
            .iter()
            .filter_map(|sample| if let Sample::StormDisconnect(id) = sample { Some(*id) } else { None })
            .collect();
        assert_eq!(struck, Vec::from_iter(expected), "{storm:?} {how:?}");
        let back = samples.iter().find_map(|sample| match sample {
            Sample::Ready(ready) if ready.kind == AttemptKind::Reconnect => Some(**ready),
            _ => None,
        });
        let back = back.unwrap();
        let from = if expected.is_some() { ms(500) } else { ms(550) };
        assert_eq!((back.storm, back.latency), (expected, ready_at.since(from)), "{storm:?} {how:?}");
    }
}

#[test]
fn who_is_away_when_the_run_ends_tells_since_when_and_by_which_storm() {
    let due = || Event::Due(Signs { heard: ms(500), pong: ms(500) });
    let closed = Event::Ended(Ending::new(ms(550), EndingHow::PeerClosed(1001)));
    let left = Event::Ended(Ending::new(ms(510), EndingHow::Left));
    let by_client = |how| StormRule::ByClient { at: ms(500), how, id: StormId(4), fraction: 1.0 };
    let (reset, silent) = (by_client(DisconnectHow::Reset), by_client(DisconnectHow::HalfOpen));
    // The client waits for 100 ms before each attempt. (what, storm, events, when the run ends, how, away for so many milliseconds, by a storm)
    type Row = (&'static str, Option<StormRule>, Vec<(u64, Event)>, u64, Event, Option<u64>);
    let waiting = vec![(550, closed.clone())];
    let second = vec![(550, closed.clone()), (650, due()), (660, refused(503, ms(650), ms(660)))];
    let rows: Vec<Row> = vec![
        ("waiting", None, waiting.clone(), 600, Event::Stop, Some(50)),
        ("waiting, cut off", None, waiting, 600, Event::Abort, Some(50)),
        ("waiting again", None, second, 700, Event::Stop, Some(150)),
        ("connecting", None, vec![(550, closed), (650, due())], 655, Event::Abort, Some(105)),
        ("in session", None, vec![], 700, Event::Abort, None),
        ("waiting after a storm", Some(reset), vec![(505, due()), (510, left)], 600, Event::Stop, Some(100)),
        ("leaving", Some(reset), vec![(505, due())], 507, Event::Abort, Some(7)),
        ("silent", Some(silent), vec![(505, due())], 900, Event::Stop, Some(400)),
        ("silent, cut off", Some(silent), vec![(505, due())], 900, Event::Abort, Some(400)),
    ];
    for (what, storm, events, end, how, expected) in rows {
        let mut rules = rules(OnReconnect::Reuse);
        rules.storms = storm.into_iter().collect();
        rules.session.silence_timeout = Some(Duration::from_secs(9));
        let growth = Growth::Constant { base: Duration::from_millis(100) };
        rules.reconnect.backoff = Backoff { growth, jitter: Jitter::None };
        let mut bench = Bench::new(rules);
        bench.bring_into_session(ms(0));
        for (at, event) in events {
            bench.step(ms(at), event);
        }
        let action = bench.step(ms(end), how);
        assert!(matches!(action, Action::Finish(_)), "{what}: {action:?}");
        let away = bench
            .samples
            .iter()
            .filter_map(|sample| if let Sample::Away(away) = sample { Some(*away) } else { None });
        let storm = storm.map(|_| StormId(4));
        let expected = expected.map(|ms| AwaySample { storm, away: Duration::from_millis(ms) });
        assert_eq!(away.collect::<Vec<_>>(), Vec::from_iter(expected), "{what}");
    }
}

#[test]
fn who_gets_in_while_the_run_drains_was_away_when_it_ended() {
    let mut rules = rules(OnReconnect::Reuse);
    let growth = Growth::Constant { base: Duration::from_millis(100) };
    rules.reconnect.backoff = Backoff { growth, jitter: Jitter::None };
    let mut bench = Bench::new(rules);
    bench.bring_into_session(ms(0));
    bench.step(ms(550), Event::Ended(Ending::new(ms(550), EndingHow::PeerClosed(1001))));
    bench.step(ms(650), Event::Due(Signs::default()));
    bench.client.stop(ms(670));
    let action = bench.step(ms(690), Event::Connected(marks(ms(690), ms(690))));
    assert_eq!(action, Action::Leave(Leave::Close { code: 1000 }), "the attempt goes on to its end");
    let is_back =
        |sample: &Sample| matches!(sample, Sample::Ready(ready) if ready.kind == AttemptKind::Reconnect);
    assert!(!bench.samples.iter().any(is_back));
    let away = bench.samples.iter().find_map(|sample| match sample {
        Sample::Away(away) => Some(away.away),
        _ => None,
    });
    assert_eq!(away, Some(Duration::from_millis(120)));
}

#[test]
fn whom_the_service_loses_by_an_event_was_struck_by_it_and_counts_from_its_own_loss() {
    let by_event = |every: Option<u64>| StormRule::ByEvent {
        at: ms(500),
        every: every.map(Duration::from_millis),
        window: Duration::from_millis(200),
        id: StormId(3),
    };
    let (closed, reset) = (EndingHow::PeerClosed(1001), EndingHow::Abnormal(Abnormal::Rst));
    // (done again after, when and how the session is lost, whether by the event)
    let rows = [
        (None, 499, closed, false),
        (None, 500, closed, true),
        (None, 600, reset, true),
        (None, 700, EndingHow::Abnormal(Abnormal::Fin), true),
        (None, 701, closed, false),
        (Some(1_000), 701, closed, false),
        (Some(1_000), 1_500, reset, true),
        (Some(1_000), 2_650, closed, true),
        (Some(1_000), 2_750, closed, false),
    ];
    for (every, lost, how, expected) in rows {
        let mut stormy = rules(OnReconnect::Reuse);
        stormy.storms = vec![by_event(every)];
        let mut bench = Bench::new(stormy);
        bench.bring_into_session(ms(0));
        bench.step(ms(lost), Event::Ended(Ending::new(ms(lost), how)));
        let back_at = ms(lost + 10);
        bench.step(back_at, Event::Due(Signs::default()));
        bench.step(back_at, Event::Connected(marks(back_at, back_at)));
        let struck = bench.samples.iter().any(|sample| matches!(sample, Sample::StormDisconnect(StormId(3))));
        assert_eq!(struck, expected, "{every:?} {lost} {how:?}");
        let initiators: Vec<Initiator> = bench
            .samples
            .iter()
            .filter_map(
                |sample| if let Sample::SessionEnd(end) = sample { Some(end.key.initiator) } else { None },
            )
            .collect();
        let author = if how == closed { Initiator::Target } else { Initiator::Network };
        assert_eq!(initiators, [author], "the end keeps its author");
        let back = bench.samples.iter().find_map(|sample| match sample {
            Sample::Ready(ready) if ready.kind == AttemptKind::Reconnect => Some(ready.latency),
            _ => None,
        });
        assert_eq!(back, Some(Duration::from_millis(10)), "{every:?} {lost} {how:?}");
    }
}
