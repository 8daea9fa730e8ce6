//! What a sweep looks at, on runs whose numbers are known.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Moment;
use crate::record::{Journal, Manifest, StormManifest, manifest_of_a_test};
use crate::sample::{
    AttemptKind, Bin, CloseKey, Initiator, Life, NotBack, Phases, ReadySample, Sample, StormId, WayIn,
    WayOut, WhyNotBack,
};

#[test]
fn goals_and_conditions_parse_in_the_unit_of_their_measure() {
    // (text, unit, is highest)
    let goals = [
        ("recovery.p99", Unit::Us, false),
        ("lowest reconnect_latency{group:a}.p99.9", Unit::Us, false),
        ("reconnect_success_rate", Unit::Share, true),
        ("lowest reconnect_success_rate", Unit::Share, false),
        ("highest reconnects.rate", Unit::PerSecond, true),
        ("token_requests.peak", Unit::PerSecond, false),
        ("attempts.count", Unit::Count, false),
        ("cascade_depth.p99", Unit::Count, false),
        ("availability", Unit::Share, true),
        ("lowest availability{group:a}", Unit::Share, false),
        ("outages", Unit::Count, false),
        ("outage_cost", Unit::Count, false),
        ("outage_recovery.p95", Unit::Us, false),
    ];
    for (text, unit, is_highest) in goals {
        let goal = parse_goal(text).unwrap();
        assert_eq!((goal.measure.unit(), goal.is_highest), (unit, is_highest), "{text}");
    }
    // (text, limit, a value that holds, one that does not)
    let conditions = [
        ("token_requests.peak < 2000/s", 2_000.0, 1_999.0, 2_000.0),
        ("recovery.p99 <= 1m", 60e6, 60e6, 60_000_001.0),
        ("handshake_403_rate<1%", 0.01, 0.0, 0.01),
        ("reconnects.count >= 1_000", 1_000.0, 1_000.0, 999.0),
        ("reconnect_success_rate > 99%", 0.99, 0.995, 0.99),
        ("availability > 99%", 0.99, 0.9901, 0.99),
        ("outage_recovery.p95 < 30s", 30e6, 29e6, 30e6),
        ("outage_cost <= 500", 500.0, 500.0, 500.1),
    ];
    for (text, limit, good, bad) in conditions {
        let condition = parse_condition(text).unwrap();
        assert!((condition.limit - limit).abs() < 1e-9, "{text}: {}", condition.limit);
        let holds = |value| condition.holds(Measured::Value(value));
        assert!(holds(good) && !holds(bad), "{text}");
        // Of a time beyond what was seen only this is known: that it is longer.
        assert_eq!(condition.holds(Measured::Beyond(limit)), text.contains('>'), "{text}");
        assert!(!condition.holds(Measured::Beyond(limit - 0.001)), "{text}");
    }
}

#[test]
fn what_does_not_parse_is_told_why() {
    // (text, part of the message)
    let goals = [
        ("recovery", "pN"),
        ("recovery.p0", "pN"),
        ("speed.p99", "no measure `speed`"),
        ("fastest recovery.p99", "neither lowest nor highest"),
        ("reconnect_latency", "reconnect_latency.p99"),
        ("handshake_403_rate.p99", "is a share"),
        ("tokens_fetched", "peak"),
        ("recovery{x}.p99", "{group:NAME}"),
        ("outage_recovery", "pN"),
        ("outage_recovery.p101", "pN"),
        ("availability.p99", "one number"),
        ("outages.peak", "one number"),
    ];
    for (text, part) in goals {
        let message = parse_goal(text).unwrap_err();
        assert!(message.contains(part), "{text}: {message}");
    }
    for (text, part) in [
        ("recovery.p99", "MEASURE < LIMIT"),
        ("recovery.p99 < 5", "no limit"),
        ("attempts.count < x", "a number"),
    ] {
        let message = parse_condition(text).unwrap_err();
        assert!(message.contains(part), "{text}: {message}");
    }
}

fn second(ms: u64, tokens: u64, storm: Option<StormId>) -> PackedTally {
    let mut tally = Tally::default();
    tally.apply(&Sample::Count(Counter::Disconnects, 1));
    storm.map(Sample::StormDisconnect).iter().for_each(|sample| tally.apply(sample));
    let latency = Duration::from_millis(ms);
    let (kind, phases) = (AttemptKind::Reconnect, Phases::default());
    let ready = ReadySample { kind, storm, latency, service_time: latency, phases };
    tally.apply(&Sample::Ready(Box::new(ready)));
    tally.apply(&Sample::Count(Counter::TokensFetched, tokens));
    // In the run's first second 4 of 5 are those of clients that begin, in the last one 90 more.
    let at_start = if tokens == 5 { 4 } else { 0 };
    tally.apply(&Sample::Count(Counter::TokenRequestsAtStart, at_start));
    if tokens == 1 {
        tally.apply(&Sample::Count(Counter::TokensFetched, 90));
        tally.apply(&Sample::Count(Counter::TokenRequestsAtStart, 90));
    }
    PackedTally::of(&tally)
}

#[test]
fn each_measure_is_taken_of_its_group_and_peaks_of_the_busiest_second() {
    let storm = Some(StormId::of(0));
    let seconds = [second(10, 5, None), second(20, 9, storm), second(40, 1, storm)];
    let intervals = seconds.into_iter().enumerate().map(|(n, tally)| (n as u64, vec![tally])).collect();
    let manifest = manifest_of_a_test();
    let storms = vec![StormManifest { at_s: 1.0, what: "1012".into(), fraction: 1.0 }];
    let manifest = Manifest { storms, ..manifest };
    let run = RunModel::new(Journal { manifest, intervals, notes: Vec::new(), end: None, torn_bytes: 0 });
    let value = |text: &str| parse_goal(text).unwrap().measure.value(&run)?.seen();
    assert_eq!(value("token_requests.peak"), Some(9.0));
    assert_eq!(value("token_requests.count"), Some(105.0), "all of them");
    assert_eq!(value("tokens_fetched.count"), Some(105.0));
    assert_eq!(value("tokens_fetched.rate"), Some(35.0));
    assert_eq!(value("tokens_fetched{group:g}.peak"), Some(91.0));
    assert_eq!(value("tokens_fetched{group:x}.peak"), None);
    assert_eq!(value("reconnect_latency.p1"), Some(10_007.0));
    assert_eq!(value("recovery.p50"), Some(20_015.0), "by storms where there are any");
    assert_eq!(value("recovery.p99"), Some(40_031.0));
    assert_eq!((value("handshake_403_rate"), value("connect_latency.p50")), (None, None));
}

#[test]
fn a_percentile_of_few_values_says_so() {
    let intervals = (0..30).map(|n| (n, vec![second(10, 1, None)])).collect();
    let manifest = manifest_of_a_test();
    let run = RunModel::new(Journal { manifest, intervals, notes: Vec::new(), end: None, torn_bytes: 0 });
    let of = |text: &str| parse_goal(text).unwrap().measure.too_few(&run);
    assert_eq!(of("reconnect_latency.p99"), Some((30, 1_000)));
    assert_eq!(of("reconnect_latency{group:g}.p95"), Some((30, 200)));
    assert_eq!(of("recovery.p99"), Some((30, 1_000)));
    for enough in
        ["reconnect_latency.p50", "connect_latency.p99", "reconnect_latency.mean", "tokens_fetched.peak"]
    {
        assert_eq!(of(enough), None, "{enough}");
    }
}

fn ms(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

/// A run of 60 s: 200 clients come within the first second, each is in at once; at 20 s all are lost, one each millisecond, and one each 10 ms is back, from 20.2 s
/// on; but the last `away` are not.
fn run_with_an_outage(lost: u64, away: u64) -> RunModel {
    let mut tally = Tally::default();
    let mut lived = |life: Life| tally.apply(&Sample::Life(life));
    for client in 0..200 {
        let came = ms(client * 5);
        lived(Life::Came(came));
        lived(Life::In(WayIn { at: came, upgraded: came, lost_in: None }));
        let mut upgraded = Some(came);
        if client < lost {
            let from = ms(20_000 + client);
            let key = CloseKey::unsaid(Initiator::Target, 1001, None);
            lived(Life::Out(Box::new(WayOut { from, upgraded: came, key, is_lost: true })));
            let lost_in = Bin::of(from);
            let back = ms(20_200 + client * 10);
            upgraded = (client + away < lost).then_some(back);
            lived(match upgraded {
                Some(at) => Life::In(WayIn { at, upgraded: at, lost_in: Some(lost_in) }),
                None => Life::NotBack(NotBack { lost_in, at: ms(60_000), why: WhyNotBack::RunEnded }),
            });
        }
        lived(Life::Gone { at: ms(60_000), upgraded });
    }
    tally.close();
    let intervals = vec![(59, vec![PackedTally::of(&tally)])];
    let manifest = Manifest { duration_s: 60.0, ..manifest_of_a_test() };
    RunModel::new(Journal { manifest, intervals, notes: Vec::new(), end: None, torn_bytes: 0 })
}

#[test]
fn outages_and_availability_are_those_of_the_report() {
    let (whole, away, none) =
        (run_with_an_outage(200, 0), run_with_an_outage(200, 20), run_with_an_outage(0, 0));
    let value = |run: &RunModel, text: &str| parse_goal(text).unwrap().measure.value(run);
    let is = |run: &RunModel, text: &str, expected: f64, within: f64| {
        let found = value(run, text).and_then(Measured::seen).unwrap();
        assert!((found - expected).abs() <= within, "{text}: {found}");
    };
    // Client n is out for 0.2 s and 9 n ms: 219.1 client-seconds, of 200 times 60 less the half second that they come late in the mean.
    is(&whole, "outages", 1.0, 0.0);
    is(&whole, "outage_cost", 219.1, 1e-6);
    is(&whole, "outage_cost{group:g}", 219.1, 1e-6);
    is(&whole, "availability", 1.0 - 219.1 / 11_900.5, 1e-9);
    // Of 200, the 190th is back after 0.2 s and 1.89 s; to the millisecond that it ended in.
    is(&whole, "outage_recovery.p95", 2_091_000.0, 1.0);
    assert_eq!(value(&away, "outage_recovery.p95").and_then(Measured::beyond), Some(40_001_000.0));
    is(&away, "outage_recovery.p50", 1_191_000.0, 1.0);
    for text in ["outages", "outage_cost", "outage_recovery.p95"] {
        is(&none, text, 0.0, 0.0);
    }
    is(&none, "availability", 1.0, 0.0);
    let measure = parse_goal("availability").unwrap().measure;
    assert_eq!(measure.words(Measured::Value(0.99987)), "99.987 %");
    assert_eq!(value(&none, "outages{group:x}"), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        let _ = (parse_goal(&text), parse_condition(&text));
    }
}
