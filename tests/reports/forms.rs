//! The forms of a report for other programs and for pull requests: escaped, bounded, worst first.
//!
//! The samples are synthetic, and the names are what a hostile scenario or server would choose.

use std::time::Duration;

use resurge::engine::StopReason;
use resurge::record::{Journal, Manifest, PackedTally, RunEnd, Tally};
use resurge::report::{
    RunModel, Style, annotations, benchmark_entries, junit_xml, markdown, run_json, step_summary,
    summary_text,
};
use resurge::sample::{
    AttemptKind, Cause, CloseKey, Counter, Initiator, Outcome, Phases, ReadySample, Sample, SessionEnd,
};

use crate::synthetic::{attempt, manifest, run_end};

const HOSTILE: &str = "<script>alert(1)</script> a|b `c` @octocat\r\n::error::x\u{0}\u{1b}[31m\u{202e}]]>";
const MIB: usize = 1024 * 1024;
/// How long an attempt takes.
const TOOK: Duration = Duration::from_millis(2);

/// A client that comes in, is closed, and comes back or is refused.
fn samples(comes_back: bool) -> Vec<Sample> {
    let length = Duration::from_secs(1);
    let latency = Duration::from_millis(12);
    let end = |initiator, code| {
        Sample::SessionEnd(SessionEnd { key: CloseKey::unsaid(initiator, code, None), length })
    };
    let ready = |kind| {
        let phases = Phases::default();
        Sample::Ready(Box::new(ReadySample { kind, storm: None, latency, service_time: latency, phases }))
    };
    let mut samples = vec![
        Sample::Count(Counter::ClientsStarted, 1),
        Sample::Count(Counter::Upgrades, 1),
        attempt(AttemptKind::First, Outcome::Ok, None, TOOK),
        ready(AttemptKind::First),
        end(Initiator::Target, 1001),
        Sample::Count(Counter::Disconnects, 1),
    ];
    if comes_back {
        samples.push(Sample::Count(Counter::Upgrades, 1));
        samples.push(attempt(AttemptKind::Reconnect, Outcome::Ok, None, TOOK));
        samples.push(ready(AttemptKind::Reconnect));
        samples.push(end(Initiator::Client, 1000));
    } else {
        samples.push(attempt(AttemptKind::Reconnect, Outcome::Http403, Some(Cause::StaleToken), TOOK));
        samples.push(Sample::Count(Counter::ReconnectsGivenUp, 1));
    }
    samples
}

fn tally(comes_back: bool) -> PackedTally {
    let mut tally = Tally::default();
    samples(comes_back).iter().for_each(|sample| tally.apply(sample));
    PackedTally::of(&tally)
}

/// A run with these groups, of which the last is refused, and these thresholds.
fn run(scenario: &str, groups: &[String], thresholds: Vec<String>, reason: Option<StopReason>) -> RunModel {
    let end = reason.map(|reason| RunEnd { reason, ..run_end(groups.len() as u64, 2.0) });
    let tallies = (0..groups.len()).map(|index| tally(index + 1 < groups.len())).collect();
    let groups: Vec<(&str, u32)> = groups.iter().map(|name| (name.as_str(), 1)).collect();
    let manifest = Manifest {
        scenario: scenario.into(),
        duration_s: 2.0,
        target_kind: "remote".into(),
        target_url: "wss://api.example.com/events".into(),
        thresholds,
        ..manifest(&groups)
    };
    RunModel::new(Journal { manifest, intervals: vec![(0, tallies)], notes: Vec::new(), end, torn_bytes: 0 })
}

fn small(reason: Option<StopReason>) -> RunModel {
    let thresholds =
        ["reconnect_latency{group:fresh}: p(99) < 1s", "handshake_403_rate{group:stale}: rate == 0%"];
    run("small", &["fresh".into(), "stale".into()], thresholds.map(str::to_owned).to_vec(), reason)
}

fn hostile() -> RunModel {
    let thresholds = vec![format!("reconnect_latency{{group:{HOSTILE}}}: p(99) < 1s")];
    run(HOSTILE, &[format!("1 {HOSTILE}"), format!("2 {HOSTILE}")], thresholds, Some(StopReason::Completed))
}

#[test]
fn markdown_answers_worst_first() {
    let text = markdown(&small(Some(StopReason::Completed)));
    insta::assert_snapshot!(text, @r#"
    ## ❌ THRESHOLD FAILED: small

    2 clients, 2.0 s, seed 7, remote target wss://api.example.com/events, resurge 0.1.0

    - fresh: The one client was disconnected, and the client came back in 12.0 ms. The session that was lost ended by target 1001 (1).
    - stale: The one client was disconnected, and none came back (1 gave up). Every attempt to come back (1) was refused with 403 because the token had been invalidated.
    - **Next:** let the clients fetch a token before they come back (token.on\_reconnect = "fetch", or reconnect.refetch\_on), and compare the two runs: resurge compare last --allow groups

    - handshake\_403\_rate{group:stale}: rate == 0% (measured 50.0%)

    ### Thresholds

    | | threshold | measured |
    | --- | --- | ---: |
    | ❌ failed | handshake\_403\_rate{group:stale}: rate == 0% | 50.0% |
    | ✅ passed | reconnect\_latency{group:fresh}: p(99) &lt; 1s | 12.0 ms |

    ### Reconnect latency

    | group | clients | disconnects | back | given up | away | longest | p50 | p95 | p99 | p99.9 | max |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | stale | 1 | 1 | 0 | 1 | 0 | \- | \- | \- | \- | \- | \- |
    | fresh | 1 | 1 | 1 | 0 | 0 | \- | 12.0 ms | 12.0 ms | 12.0 ms | 12.0 ms | 12.0 ms |

    <sub>disconnect to next ready session, with those still away when the run ended; &gt;: beyond what was seen</sub>

    ### Recovery

    | group | from | disconnected | back | 50% | 95% | 100% | curve |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | stale | no storm | 1 | 0 | \- | \- | \- |  |
    | fresh | no storm | 1 | 1 | 12.0 ms | 12.0 ms | 12.0 ms | ████████████████████ |

    <sub>until so many of those disconnected were back; &gt;: not by the run's end, never: too many gave up; curve: share back over log time</sub>

    ### Handshakes

    | group | kind | attempts | ok | refused | rate | 403 | 403 rate | other | not ok |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | stale | first | 1 | 1 | 0 | 0.0% | 0 | 0.0% | 0 | \- |
    | stale | reconnect | 1 | 0 | 1 | 100.0% | 1 | 100.0% | 0 | 403 stale\_token 1 |
    | fresh | first | 1 | 1 | 0 | 0.0% | 0 | 0.0% | 0 | \- |
    | fresh | reconnect | 1 | 1 | 0 | 0.0% | 0 | 0.0% | 0 | \- |

    <sub>an attempt has one outcome; refused by status, close or message; causes as far as evidence goes</sub>

    ### Throughput and what outages cost

    | group | reconnects/s | tokens/s | messages/s | token peak/s | missed messages | per outage |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | stale | 0.0 | 0.0 | 0.0 | 0 | \- | \- |
    | fresh | 0.5 | 0.0 | 0.0 | 0 | \- | \- |

    <sub>rates are means over the run; token peak: requests in the busiest second, but for those at the start</sub>

    ### Close codes

    - stale: target 1001 × 1
    - fresh: target 1001 × 1, client 1000 × 1

    ### Can the numbers be believed?

    - ✅ the generator kept up
    - ✅ the counts balance
    - ➖ clients and target agree: cannot be told, the target's own counters are not there
    - ✅ every threshold has samples
    - ✅ the load was achieved
    - ✅ handshakes were answered
    - ✅ every client came to its end
    - generator: lag p99 0 µs, longest stall 0 µs, CPU not known here
    - 4 attempts, 3 sessions, 3 ends
    "#);
}

#[test]
fn junit_has_a_case_for_each_threshold_and_for_what_makes_a_run_valid() {
    let xml = junit_xml(&small(Some(StopReason::Completed))).unwrap();
    insta::assert_snapshot!(xml, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="resurge small" tests="9" skipped="1" failures="1" errors="0" time="2.000">
        <testsuite name="small thresholds" tests="2" skipped="0" errors="0" failures="1" time="2.000">
            <properties>
                <property name="verdict" value="THRESHOLD FAILED"/>
                <property name="exit_code" value="99"/>
                <property name="scenario_hash" value="00ff"/>
                <property name="seed" value="7"/>
                <property name="target" value="remote wss://api.example.com/events"/>
                <property name="resurge_version" value="0.1.0"/>
            </properties>
            <testcase name="reconnect_latency{group:fresh}: p(99) &lt; 1s" classname="small.thresholds" time="0.000">
                <properties>
                    <property name="measured" value="12007"/>
                    <property name="limit" value="1000000"/>
                </properties>
                <system-out>measured 12.0 ms</system-out>
            </testcase>
            <testcase name="handshake_403_rate{group:stale}: rate == 0%" classname="small.thresholds" time="0.000">
                <properties>
                    <property name="measured" value="0.5"/>
                    <property name="limit" value="0"/>
                </properties>
                <failure message="measured 50.0%, wanted handshake_403_rate{group:stale}: rate == 0%" type="threshold_failed">measured 50.0%, wanted handshake_403_rate{group:stale}: rate == 0%</failure>
                <system-out>measured 50.0%</system-out>
            </testcase>
        </testsuite>
        <testsuite name="small validity" tests="7" skipped="1" errors="0" failures="0">
            <properties>
                <property name="verdict" value="THRESHOLD FAILED"/>
                <property name="exit_code" value="99"/>
                <property name="scenario_hash" value="00ff"/>
                <property name="seed" value="7"/>
                <property name="target" value="remote wss://api.example.com/events"/>
                <property name="resurge_version" value="0.1.0"/>
            </properties>
            <testcase name="the run came to its end" classname="small.validity" time="0.000"/>
            <testcase name="the generator kept up" classname="small.validity" time="0.000"/>
            <testcase name="the counts balance" classname="small.validity" time="0.000"/>
            <testcase name="clients and target agree" classname="small.validity" time="0.000">
                <skipped message="the target&apos;s own counters are not there"/>
            </testcase>
            <testcase name="the load was achieved" classname="small.validity" time="0.000"/>
            <testcase name="handshakes were answered" classname="small.validity" time="0.000"/>
            <testcase name="every client came to its end" classname="small.validity" time="0.000"/>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_run_that_was_cut_off_or_is_not_valid_is_an_error_in_junit() {
    let xml = junit_xml(&small(None)).unwrap();
    assert!(xml.contains(r#"<error message="the run&apos;s end is missing"#), "{xml}");
    assert!(xml.contains(r#"<skipped message="the run was cut off"/>"#), "{xml}");
    let with = |threshold: &str| run("s", &["a".into()], vec![threshold.into()], Some(StopReason::Completed));
    let xml = junit_xml(&with("message_latency: p(99) < 1s")).unwrap();
    assert!(xml.contains(r#"type="no_samples""#) && xml.contains(r#"errors="1""#), "{xml}");
    let xml = junit_xml(&with("reconnect_latency: p(99) < 1s")).unwrap();
    assert!(
        xml.contains("measured nobody came back: 1 of 1 given up") && xml.contains(r#"failures="1""#),
        "{xml}"
    );
    let without = run("s", &["a".into()], Vec::new(), Some(StopReason::Completed));
    let xml = junit_xml(&without).unwrap();
    assert!(!xml.contains("s thresholds") && xml.contains(r#"tests="7""#), "{xml}");
}

#[test]
fn nothing_hostile_is_markup_anywhere() {
    let model = hostile();
    let text = markdown(&model) + &step_summary(&model, 0).unwrap();
    for wrong in ["<script", "@octocat", "\u{0}", "\u{1b}", "\n::", "\r", " a|b", "\u{202e}"] {
        assert!(!text.contains(wrong), "{wrong:?} in {text}");
    }
    let xml = junit_xml(&model).unwrap();
    for wrong in ["<script", "\u{0}", "\u{1b}", "\n::"] {
        assert!(!xml.contains(wrong), "{wrong:?} in {xml}");
    }
    for line in annotations(&model) {
        assert!(line.starts_with("::error title=") && !line.contains(['\n', '\r', '\u{1b}']), "{line}");
    }
    for json in [serde_json::to_string(&run_json(&model)), serde_json::to_string(&benchmark_entries(&model))]
    {
        assert!(serde_json::from_str::<serde_json::Value>(&json.unwrap()).is_ok());
    }
    assert!(summary_text(&model, Style { colour: false }).contains("p(99)"));
}

#[test]
fn the_largest_run_stays_under_a_mebibyte_and_says_what_was_left_out() {
    let groups: Vec<String> = (0..3_000).map(|n| format!("{n} {}", HOSTILE.repeat(20))).collect();
    let thresholds: Vec<String> = (0..3_000).map(|n| format!("{n} {}", HOSTILE.repeat(20))).collect();
    let model = run("large", &groups, thresholds, Some(StopReason::Completed));
    let text = markdown(&model);
    assert!(text.len() < MIB, "{}", text.len());
    assert!(text.contains("2,900 more reasons were left out"), "{}", &text[..2_000]);
    assert_eq!(annotations(&model).len(), 10);
    assert!(annotations(&model)[9].contains("2991 more"), "{}", annotations(&model)[9]);
}

#[test]
fn a_step_summary_is_never_longer_than_what_there_is_room_for() {
    let model = small(Some(StopReason::Completed));
    let whole = step_summary(&model, 0).unwrap();
    let mib = MIB as u64;
    assert!(whole.contains("### Handshakes"));
    let room = whole.len() as u64;
    assert_eq!(step_summary(&model, mib - room).as_deref(), Some(whole.as_str()));
    let short = step_summary(&model, mib - room + 1).unwrap();
    assert!(short.len() < whole.len() && short.contains("want of room"), "{short}");
    assert_eq!(step_summary(&model, mib - 10), None);
    assert_eq!(step_summary(&model, 2 * mib), None);
}

#[test]
fn a_run_that_passed_has_nothing_to_annotate() {
    let model = run("s", &["a".into()], vec!["attempts: count > 0".into()], Some(StopReason::Completed));
    assert_eq!(model.verdict.exit_code.number(), 0, "{:?}", model.verdict);
    assert_eq!(annotations(&model), [""; 0]);
    let interrupted = small(Some(StopReason::Interrupted));
    assert!(annotations(&interrupted)[0].starts_with("::error title=resurge small%3A INTERRUPTED::"));
}

#[test]
fn only_numbers_of_which_less_is_better_are_benchmarks() {
    let json = serde_json::to_value(benchmark_entries(&small(Some(StopReason::Completed)))).unwrap();
    let entry = |name: &str| json.as_array().unwrap().iter().find(|entry| entry["name"] == name).cloned();
    let p99 = entry("small / fresh / reconnect_latency p99").unwrap();
    assert_eq!((p99["unit"].as_str(), p99["value"].as_f64()), (Some("ms"), Some(12.007)));
    assert_eq!(entry("small / stale / handshake_403_rate").unwrap()["value"], 50.0);
    assert_eq!(entry("small / stale / reconnect_latency p99"), None, "what was not measured is not there");
    let mean = entry("small / fresh / reconnect_latency mean").unwrap();
    assert_eq!(mean["range"], "± 0.000");
}
