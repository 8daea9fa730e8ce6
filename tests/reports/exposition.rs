//! What Prometheus is served, and the dashboard that shows it: every name that the dashboard asks for is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use resurge::record::{LiveView, Tally};
use resurge::report::{LiveRun, openmetrics_text, prometheus_text};
use resurge::sample::{
    AttemptEnd, AttemptKind, Blind, BlindEnd, Cause, CloseKey, Counter, ErrorWord, ExchangeNews, Initiator,
    Outcome, Phases, ReadySample, Request, RequestAnswer, RequestEnd, Sample, SessionEnd, StormId,
    StreamNews, Talk,
};
use resurge::scenario::load;

const SCENARIO: &str = "duration = \"9s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 3\ntoken = { grant = \"none\" }\n\
    [[groups.prepare.steps]]\nname = \"negotiate\"\npath = \"/x\"\n[[storms]]\nat = \"2s\"\nby = \"client\"\nhow = \"rst\"\n";

fn tally() -> Tally {
    let latency = Duration::from_millis(12);
    let storm = Some(StormId(0));
    let ready = ReadySample {
        kind: AttemptKind::Reconnect,
        storm,
        latency,
        service_time: latency,
        phases: Phases::default(),
    };
    let attempt = |outcome, cause| {
        let kind = AttemptKind::Reconnect;
        Sample::Attempt(AttemptEnd { kind, outcome, cause, answer: None, latency, token_age: None })
    };
    let end = |code| {
        let initiator = Initiator::Target;
        Sample::SessionEnd(SessionEnd { key: CloseKey::unsaid(initiator, code, None), length: latency })
    };
    let request = |request, answer, word| {
        let error = ErrorWord::new(word);
        Sample::Request(Box::new(RequestEnd { request, answer, status: Some(401), error, latency }))
    };
    let samples = [
        Sample::Count(Counter::Upgrades, 1),
        attempt(Outcome::Ok, None),
        attempt(Outcome::Http403, Some(Cause::StaleToken)),
        end(1001),
        end(4401),
        end(4_402),
        Sample::StormDisconnect(StormId(0)),
        Sample::Count(Counter::Disconnects, 1),
        Sample::Count(Counter::BytesIn, 42),
        request(Request::Credentials, RequestAnswer::Refused, "invalid_client"),
        request(Request::Step(0), RequestAnswer::Refused, "token_expired"),
        Sample::Ready(Box::new(ready)),
    ];
    let mut tally = Tally::default();
    samples.iter().for_each(|sample| tally.apply(sample));
    tally
}

fn live() -> Arc<LiveRun> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
    let view = LiveView { second: 3, totals: Arc::new(vec![tally()]), ..LiveView::default() };
    Arc::new(LiveRun::new(&scenario, view))
}

/// The names of a text's series, without what the kinds of metric put behind them.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn names_have_their_units_and_values_are_those_of_the_run() {
    let text = openmetrics_text(&live()).unwrap();
    for line in [
        r#"resurge_run_info{scenario="live",seed="1",version="0.1.0"} 1"#,
        "resurge_run_elapsed_seconds 4.0",
        "resurge_run_finished 0.0",
        r#"resurge_clients{group="g"} 3"#,
        r#"resurge_attempts_total{group="g",kind="reconnect",outcome="http_403",cause="stale_token"} 1"#,
        r#"resurge_attempts_total{group="g",kind="first",outcome="tls",cause=""} 0"#,
        r#"resurge_sessions_ended_total{group="g",initiator="target",code="1001",how=""} 1"#,
        r#"resurge_sessions_ended_total{group="g",initiator="target",code="4xxx",how=""} 2"#,
        r#"resurge_token_requests_total{group="g",request="credentials",answer="refused"} 1"#,
        r#"resurge_token_requests_total{group="g",request="credentials",answer="ok"} 0"#,
        r#"resurge_step_requests_total{group="g",step="negotiate",number="1",answer="refused"} 1"#,
        r#"resurge_received_bytes_total{group="g"} 42"#,
        r#"resurge_storm_due_seconds{storm="0"} 2.0"#,
        r#"resurge_storm_disconnects_total{group="g",storm="0"} 1"#,
        r#"resurge_reconnect_latency_seconds_bucket{le="0.008192",group="g"} 0"#,
        r#"resurge_reconnect_latency_seconds_bucket{le="0.012288",group="g"} 1"#,
        r#"resurge_reconnect_latency_seconds_bucket{le="+Inf",group="g"} 1"#,
        r#"resurge_reconnect_latency_percentile_seconds{group="g",percentile="99"} 0.012007"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(series(&text), series(&prometheus_text(&live()).unwrap()), "both texts have the same");
}

#[test]
fn what_can_come_about_is_there_before_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.toml");
    let storms = "[[storms]]\nat = \"3s\"\nby = \"target\"\ncode = 1012\n\
        [[storms]]\nat = \"4s\"\nby = \"client\"\ncode = 4001\n";
    std::fs::write(&file, format!("{SCENARIO}{storms}")).unwrap();
    let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
    // Before the first second is over.
    let text = openmetrics_text(&Arc::new(LiveRun::new(&scenario, LiveView::default()))).unwrap();
    for line in [
        "resurge_run_elapsed_seconds 0.0",
        r#"resurge_sessions_ended_total{group="g",initiator="storm",code="1006",how="dropped"} 0"#,
        r#"resurge_sessions_ended_total{group="g",initiator="storm",code="1012",how=""} 0"#,
        r#"resurge_sessions_ended_total{group="g",initiator="storm",code="4xxx",how=""} 0"#,
        r#"resurge_sessions_ended_total{group="g",initiator="target",code="1001",how=""} 0"#,
        r#"resurge_sessions_ended_total{group="g",initiator="client",code="1000",how=""} 0"#,
        r#"resurge_storm_disconnects_total{group="g",storm="2"} 0"#,
        r#"resurge_storm_reconnects_total{group="g",storm="0"} 0"#,
        r#"resurge_step_requests_total{group="g",step="negotiate",number="1",answer="refused"} 0"#,
        r#"resurge_attempts_total{group="g",kind="reconnect",outcome="step_refused",cause="stale_token"} 0"#,
        r#"resurge_reconnect_latency_seconds_count{group="g"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_last_numbers_say_that_they_are() {
    let last = Arc::new(live().as_ref().clone().into_final());
    assert!(openmetrics_text(&last).unwrap().contains("resurge_run_finished 1.0\n"));
}

#[test]
fn the_dashboard_asks_for_nothing_that_is_not_served() {
    let served = series(&openmetrics_text(&live()).unwrap());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let texts = queries.filter_map(|query| query["expr"].as_str());
    for text in texts.chain(variables.iter().filter_map(|variable| variable["query"]["query"].as_str())) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        asked.extend(words.filter(|word| word.starts_with("resurge_")).map(str::to_owned));
    }
    assert!(asked.len() > 15, "{asked:?}");
    let missing: Vec<_> = asked.difference(&served).collect();
    assert!(missing.is_empty(), "{missing:?} of {served:?}");
    let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn what_clients_say_and_hear_is_there_by_name_from_the_start() {
    let talk = "[[groups.session.say]]\nname = \"ask\"\ntext = \"{counter}\"\nreply = { starts_with = \"1\" }\n\
                [[groups.session.streams]]\nname = \"ticks\"\nstarts_with = \"{\"\nsequence = \"/seq\"\n\
                [[groups.session.streams]]\nname = \"far\"\nstarts_with = \"{\"\nsent_at = { pointer = \"/ts\", unit = \"ms\" }\nrelative = true\n\
                [groups.session.kinds]\npointer = \"/op\"\n";
    let scenario =
        "duration = \"9s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 3\ntoken = { grant = \"none\" }\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.toml");
    std::fs::write(&file, format!("{scenario}{talk}")).unwrap();
    let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
    let text = |tally: Tally| {
        let view = LiveView { second: 3, totals: Arc::new(vec![tally]), ..LiveView::default() };
        openmetrics_text(&Arc::new(LiveRun::new(&scenario, view))).unwrap()
    };
    let nothing = text(Tally::default());
    assert!(nothing.contains("resurge_exchange_sent_total{group=\"g\",exchange=\"ask\"} 0"), "{nothing}");
    let news = ExchangeNews {
        sent: 7,
        ok: 5,
        timeouts: 1,
        latencies_us: vec![15_000; 5],
        ..ExchangeNews::default()
    };
    let ticks = StreamNews {
        messages: 9,
        skipped: 4,
        filled: 1,
        blind: vec![Blind { storm: None, us: 2_000_000, end: BlindEnd::Seen }],
        ..StreamNews::default()
    };
    let far = StreamNews { messages: 1, latencies_us: vec![-5], ..StreamNews::default() };
    let kinds = vec![(ErrorWord::new("tick"), 8), (ErrorWord::new("other"), 1), (None, 2)];
    let talk = Talk { exchanges: vec![(0, news)], streams: vec![(0, ticks), (1, far)], kinds };
    let mut tally = Tally::default();
    tally.apply(&Sample::Talk(Box::new(talk)));
    let told = text(tally);
    for line in [
        r#"resurge_exchange_sent_total{group="g",exchange="ask"} 7"#,
        r#"resurge_exchange_ended_total{group="g",exchange="ask",end="ok"} 5"#,
        r#"resurge_exchange_ended_total{group="g",exchange="ask",end="timeout"} 1"#,
        r#"resurge_exchange_latency_seconds_count{group="g",exchange="ask"} 5"#,
        r#"resurge_stream_messages_total{group="g",stream="ticks"} 9"#,
        r#"resurge_stream_missed{group="g",stream="ticks"} 3.0"#,
        r#"resurge_blind_time_seconds_count{group="g",stream="ticks"} 1"#,
        r#"resurge_messages_of_kind_total{group="g",kind="tick"} 8"#,
        r#"resurge_messages_of_kind_total{group="g",kind="other"} 1"#,
        r#"resurge_messages_of_kind_total{group="g",kind="(none)"} 2"#,
    ] {
        assert!(told.lines().any(|own| own == line), "{line} is not in:\n{told}");
    }
    assert!(!told.contains("resurge_stream_latency_seconds_count{group=\"g\",stream=\"far\"}"), "{told}");
}
