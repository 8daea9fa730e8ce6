//! A journal becomes a run folder: every file, and the summary that people read.
//!
//! The samples are synthetic, so every number is known beforehand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use resurge::record::{
    Entry, GeneratorHealth, JournalWriter, Manifest, PackedTally, RunEnd, SCHEMA_VERSION, Tally, read_journal,
};
use resurge::report::{JOURNAL_FILE, Printed, RunModel, Style, printed_summary, summary_text, write_all};
use resurge::sample::{
    Abnormal, AttemptKind, Cause, CloseKey, Counter, Initiator, Outcome, Phase, Phases, ReadySample, Sample,
    SessionEnd, Traffic,
};
use resurge::service::counters::{CloseCount, RefusedCount, TargetCounters};

use crate::support::output::unwrapped;
use crate::support::run_folder::json;
use crate::support::tables::rows;
use crate::synthetic::{self, attempt};

const FRESH: u64 = 40;
const STALE: u64 = 10;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn ready(kind: AttemptKind, token_ms: u64) -> Sample {
    let mut phases = Phases::default();
    phases.add(Phase::Detect, ms(1));
    phases.add(Phase::Token, ms(token_ms));
    phases.add(Phase::Upgrade, ms(4));
    let (latency, service_time) = (phases.total(), ms(token_ms + 4));
    Sample::Ready(Box::new(ReadySample { kind, storm: None, latency, service_time, phases }))
}

fn end(initiator: Initiator, code: u16, abnormal: Option<Abnormal>) -> Sample {
    Sample::SessionEnd(SessionEnd { key: CloseKey::unsaid(initiator, code, abnormal), length: ms(5_000) })
}

/// A client comes in.
fn first() -> Vec<Sample> {
    vec![
        Sample::Count(Counter::ClientsStarted, 1),
        Sample::Count(Counter::TokensFetched, 1),
        Sample::Count(Counter::TcpConnections, 1),
        Sample::Count(Counter::Upgrades, 1),
        attempt(AttemptKind::First, Outcome::Ok, None, ms(2)),
        ready(AttemptKind::First, 3),
    ]
}

/// It is closed for idleness and comes back with a new token.
fn comes_back(n: u64) -> Vec<Sample> {
    vec![
        end(Initiator::Target, 1001, None),
        Sample::Count(Counter::Disconnects, 1),
        Sample::Count(Counter::TokensFetched, 1),
        Sample::Count(Counter::TcpConnections, 1),
        Sample::Count(Counter::Upgrades, 1),
        attempt(AttemptKind::Reconnect, Outcome::Ok, None, ms(2)),
        ready(AttemptKind::Reconnect, n),
        Sample::Count(Counter::MessagesMissed, 2),
        Sample::Count(Counter::OutagesMeasured, 1),
        Sample::Lag(ms(n / 10)),
    ]
}

/// It is closed for idleness and refused with its old token.
fn is_refused() -> Vec<Sample> {
    vec![
        end(Initiator::Target, 1001, None),
        Sample::Count(Counter::Disconnects, 1),
        Sample::Count(Counter::TcpConnections, 1),
        attempt(AttemptKind::Reconnect, Outcome::Http403, Some(Cause::StaleToken), ms(2)),
        Sample::Count(Counter::ReconnectsGivenUp, 1),
    ]
}

/// It leaves at the run's end; one connection is lost instead.
fn leaves(n: u64) -> Vec<Sample> {
    let traffic = Traffic { messages_in: 3, bytes_in: 300, bytes_out: 100, ..Traffic::default() };
    let end = match n {
        0 => end(Initiator::Network, 1006, Some(Abnormal::Rst)),
        _ => end(Initiator::Client, 1000, None),
    };
    vec![Sample::Traffic(Box::new(traffic)), end]
}

fn tally(samples: impl IntoIterator<Item = Vec<Sample>>) -> Tally {
    let mut tally = Tally::default();
    samples.into_iter().flatten().for_each(|sample| tally.apply(&sample));
    tally
}

fn manifest() -> Manifest {
    let thresholds = [
        "reconnect_latency{group:fresh-token}: p(99) < 1s",
        "handshake_403_rate{group:fresh-token}: rate < 0.1%",
        "handshake_403_rate{group:stale-token}: rate < 0.1%",
    ];
    let groups = [("fresh-token", FRESH as u32), ("stale-token", STALE as u32)];
    Manifest { thresholds: thresholds.map(str::to_owned).to_vec(), ..synthetic::manifest(&groups) }
}

fn end_of_run() -> RunEnd {
    let close = |initiator, code, abnormal, count| CloseCount { initiator, code, abnormal, count };
    let mut end = synthetic::run_end(FRESH + STALE, 10.0);
    end.health = GeneratorHealth {
        lag_p99_us: 3_900,
        cpu_s: Some(0.5),
        cpu_share: Some(0.0),
        max_rss_bytes: Some(0),
        ..end.health
    };
    end.target_counters = Some(TargetCounters {
        accepted: 2 * (FRESH + STALE),
        accepted_events: 2 * (FRESH + STALE),
        upgrades: 2 * FRESH + STALE,
        refused: vec![RefusedCount { status: 403, cause: Cause::StaleToken, count: STALE }],
        tokens_issued: 2 * FRESH + STALE,
        closes: vec![
            close(Initiator::Target, 1001, None, FRESH + STALE),
            close(Initiator::Client, 1000, None, FRESH - 1),
            close(Initiator::Network, 1006, Some(Abnormal::Rst), 1),
        ],
        ..TargetCounters::default()
    });
    end
}

/// Writes the journal: seconds 0, 1, 4 and 9, as if nothing had been recorded between.
fn write_journal(folder: &Path) {
    let mut journal = JournalWriter::create(&folder.join(JOURNAL_FILE), &manifest()).unwrap();
    let fresh = |f: fn(u64) -> Vec<Sample>| tally((0..FRESH).map(f));
    let seconds = [
        (0, fresh(|_| first()), tally((0..STALE).map(|_| first()))),
        (1, Tally::default(), Tally::default()),
        (4, fresh(comes_back), tally((0..STALE).map(|_| is_refused()))),
        (9, fresh(leaves), Tally::default()),
    ];
    for (second, fresh, stale) in seconds {
        let groups = vec![PackedTally::of(&fresh), PackedTally::of(&stale)];
        journal.append(&Entry::Interval { second, groups }).unwrap();
    }
    journal.append(&Entry::End(Box::new(end_of_run()))).unwrap();
}

fn model_of(folder: &Path) -> RunModel {
    RunModel::new(read_journal(&folder.join(JOURNAL_FILE)).unwrap())
}

fn header(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap().lines().next().unwrap().to_owned()
}

fn sum(rows: &[BTreeMap<String, String>], column: &str) -> u64 {
    rows.iter().map(|row| row[column].parse::<u64>().unwrap()).sum()
}

#[test]
fn the_tables_hold_what_happened_under_the_documented_headers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_journal(folder);
    assert!(write_all(&model_of(folder), folder).is_empty());
    assert_eq!(
        header(folder, "summary.csv"),
        "group,metric,count,min_us,mean_us,stddev_us,p50_us,p75_us,p90_us,p95_us,p99_us,p99_9_us,p99_99_us,max_us,away,longest_away_us"
    );
    assert_eq!(
        header(folder, "outcomes.csv"),
        "group,kind,outcome,cause,count,share,where,said,answered_by,ground"
    );
    assert_eq!(header(folder, "closes.csv"), "group,initiator,code,count,how,said");
    assert_eq!(
        header(folder, "timeseries.csv"),
        "second,group,connected,attempts,ok,http_401,http_403,http_429,http_5xx,other_failures,disconnects,\
         tokens_fetched,messages_in,messages_out,bytes_in,bytes_out,reconnect_p50_us,reconnect_p99_us,\
         reconnect_max_us,lag_max_us,clients,clients_started,arrivals_dropped"
    );

    let outcomes = rows(folder, "outcomes.csv");
    assert_eq!(sum(&outcomes, "count"), 2 * (FRESH + STALE), "attempts");
    let refused: Vec<_> = outcomes.iter().filter(|row| row["outcome"] == "http_403").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0]["group"].as_str(), refused[0]["cause"].as_str()), ("stale-token", "stale_token"));
    assert_eq!((refused[0]["count"].as_str(), refused[0]["share"].as_str()), ("10", "1.000000"));
    assert_eq!(sum(&rows(folder, "closes.csv"), "count"), 2 * FRESH + STALE, "each session ended once");

    let summary = rows(folder, "summary.csv");
    let groups: Vec<&str> = summary.iter().map(|row| row["group"].as_str()).collect();
    assert!(
        groups
            .is_sorted_by_key(|group| ["fresh-token", "stale-token", "all"].iter().position(|g| g == group))
    );
    let row = |group: &str, metric: &str| {
        let found = summary.iter().find(|row| row["group"] == group && row["metric"] == metric);
        found.map(|row| (row["count"].clone(), row["min_us"].clone(), row["p50_us"].clone()))
    };
    // Latencies are 5 ms to 44 ms in steps of 1 ms, to three digits: bucket edges are 2^n apart.
    assert_eq!(row("fresh-token", "reconnect_latency"), Some(("40".into(), "5000".into(), "24015".into())));
    assert_eq!(row("stale-token", "reconnect_latency"), None, "no samples, no row");
    assert_eq!(row("all", "refused_latency").unwrap().0, "10");
}

#[test]
fn the_time_series_has_every_second_and_its_sum_is_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_journal(folder);
    assert!(write_all(&model_of(folder), folder).is_empty());
    let series = rows(folder, "timeseries.csv");
    let fresh: Vec<_> = series.iter().filter(|row| row["group"] == "fresh-token").collect();
    let seconds: Vec<String> = fresh.iter().map(|row| row["second"].clone()).collect();
    assert_eq!(seconds, (0..10).map(|second| second.to_string()).collect::<Vec<_>>());
    let connected: Vec<&str> = fresh.iter().map(|row| row["connected"].as_str()).collect();
    assert_eq!(connected, ["40", "40", "40", "40", "40", "40", "40", "40", "40", "0"]);
    let parts = ["ok", "http_401", "http_403", "http_429", "http_5xx", "other_failures"];
    for row in &series {
        let parts: u64 = parts.iter().map(|part| row[*part].parse::<u64>().unwrap()).sum();
        assert_eq!(row["attempts"], parts.to_string());
    }
    assert_eq!(sum(&series, "attempts"), 2 * (FRESH + STALE));
    assert_eq!(sum(&series, "tokens_fetched"), 2 * FRESH + STALE);
}

#[test]
fn every_file_is_there_and_the_interval_log_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_journal(folder);
    let model = model_of(folder);
    assert!(write_all(&model, folder).is_empty());
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "availability.csv",
            "closes.csv",
            "histograms.hlog",
            "journal.bin",
            "outages.csv",
            "outcomes.csv",
            "report.html",
            "run.json",
            "scenario.toml",
            "steps.csv",
            "summary.csv",
            "timeseries.csv",
            "tokens.csv"
        ],
        "and nothing half written"
    );
    let run = json(folder);
    assert_eq!(run["schema_version"], SCHEMA_VERSION);
    assert_eq!(run["verdict"]["exit_code"], 99);
    assert_eq!(run["reconciliation"]["exact"], true);

    let log = fs::read_to_string(folder.join("histograms.hlog")).unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in log.lines().filter(|line| line.starts_with("Tag=")) {
        let cells: Vec<&str> = line.split(',').collect();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, cells[4]).unwrap();
        let histogram: hdrhistogram::Histogram<u64> =
            hdrhistogram::serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        let max_ms: f64 = cells[3].parse().unwrap();
        assert!((max_ms - histogram.max() as f64 / 1e3).abs() < 0.001, "{line}");
        *counts.entry(cells[0].trim_start_matches("Tag=").to_owned()).or_default() += histogram.len();
    }
    for (name, tally) in model.groups() {
        for (metric, histogram) in &tally.histograms {
            assert_eq!(counts.remove(&format!("{name}.{metric}")), Some(histogram.count()));
        }
    }
    assert_eq!(counts.len(), 0, "{counts:?}");
}

#[test]
fn a_run_that_was_cut_off_is_reported_up_to_its_last_whole_second() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_journal(folder);
    let path = folder.join(JOURNAL_FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let model = model_of(folder);
    assert_eq!(model.verdict.exit_code.number(), 111);
    assert_eq!(model.elapsed_s, 10.0);
    let text = unwrapped(summary_text(&model, Style { colour: false }).as_bytes());
    assert!(text.starts_with("INCOMPLETE"), "{text}");
    assert!(
        text.contains("the run's end is missing") && text.contains("at the journal's end were cut off"),
        "{text}"
    );
}

#[test]
fn the_summary_answers_at_a_glance() {
    let folder = tempfile::tempdir().unwrap();
    write_journal(folder.path());
    let model = model_of(folder.path());
    let text = summary_text(&model, Style { colour: false });
    let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 80, "{}: {widest}", widest.chars().count());
    assert!(!text.contains('\u{1b}'), "no colour unless asked");
    let folder = Some(Path::new("reports/synthetic-1"));
    let short = printed_summary(&model, Printed { style: Style { colour: false }, details: false, folder });
    assert!(short.lines().count() <= 40, "{} lines", short.lines().count());
    insta::assert_snapshot!(short, @r#"
    THRESHOLD FAILED  synthetic: 50 clients, 10.0 s, seed 7, embedded target
        ws://127.0.0.1:1234
      fresh-token: All 40 clients were disconnected, and all came back: half within
        24.0 ms, 99 % within 44.0 ms. Most sessions that were lost ended by target
        1001 (40).
      stale-token: All 10 clients were disconnected, and none came back (10 gave
        up). Every attempt to come back (10) was refused with 403 because the token
        had been invalidated.
      next: let the clients fetch a token before they come back (token.on_reconnect
        = "fetch", or reconnect.refetch_on), and compare the two runs:
        resurge compare last --allow groups
      ! handshake_403_rate{group:stale-token}: rate < 0.1% (measured 50.0%)

    RECONNECT LATENCY (disconnect to ready session; >: beyond what was seen)
      group        disconnects  back  given up  away      p50      p99      max
      fresh-token           40    40         0     0  24.0 ms  44.0 ms  44.0 ms
      stale-token           10     0        10     0        -        -        -

    HANDSHAKES (each attempt has one outcome)
      group             kind  attempts  ok  refused    rate  other
      fresh-token      first        40  40        0    0.0%      0
      fresh-token  reconnect        40  40        0    0.0%      0
      stale-token      first        10  10        0    0.0%      0
      stale-token  reconnect        10   0       10  100.0%      0
          not ok: 403 stale_token 10

    WHERE THE TIME WENT (share of the reconnect time, and p99, of each phase)
      group            detect        token      upgrade
      fresh-token  4% 1.00 ms  80% 39.0 ms  16% 4.00 ms

    MESSAGES (with and without a reply; missed: while a client was away)
      group        sent  sent/s  received  received/s  missed
      fresh-token     0     0.0       120        12.0      80

      ✗ thresholds: 2 of 3 passed; the others are above
      ✓ generator healthy: lag p99 3.90 ms, longest stall 0 µs, CPU 0.0%
      ✓ totals: clients and target agree exactly (100 attempts)

    --details prints all tables. The page with plots:
    reports/synthetic-1/report.html
    "#);
    insta::assert_snapshot!(text, @r#"
    THRESHOLD FAILED  synthetic: 50 clients, 10.0 s, seed 7, embedded target
        ws://127.0.0.1:1234
      fresh-token: All 40 clients were disconnected, and all came back: half within
        24.0 ms, 99 % within 44.0 ms. Most sessions that were lost ended by target
        1001 (40).
      stale-token: All 10 clients were disconnected, and none came back (10 gave
        up). Every attempt to come back (10) was refused with 403 because the token
        had been invalidated.
      next: let the clients fetch a token before they come back (token.on_reconnect
        = "fetch", or reconnect.refetch_on), and compare the two runs: resurge
        compare last --allow groups
      ! handshake_403_rate{group:stale-token}: rate < 0.1% (measured 50.0%)

    RECONNECT LATENCY (disconnect to next ready session, with those still away when
      the run ended; >: beyond what was seen)
      group        clients  disconnects  back  given up  away  longest      p50
      fresh-token       40           40    40         0     0        -  24.0 ms
      stale-token       10           10     0        10     0        -        -
      group            p95      p99    p99.9      max
      fresh-token  42.0 ms  44.0 ms  44.0 ms  44.0 ms
      stale-token        -        -        -        -

    RECOVERY (until so many of those disconnected were back; >: not by the run's
      end, never: too many gave up; curve: share back over log time)
      group            from  disconnected  back      50%      95%     100%
      fresh-token  no storm            40    40  24.0 ms  42.0 ms  44.0 ms
          curve: ▁▁▁▁▁▁▁▂▂▂▂▃▃▄▄▅▅▆▇█
      stale-token  no storm            10     0        -        -        -

    HANDSHAKES (an attempt has one outcome; refused by status, close or message;
      causes as far as evidence goes)
      group             kind  attempts  ok  refused    rate  403  403 rate  other
      fresh-token      first        40  40        0    0.0%    0      0.0%      0
      fresh-token  reconnect        40  40        0    0.0%    0      0.0%      0
      stale-token      first        10  10        0    0.0%    0      0.0%      0
      stale-token  reconnect        10   0       10  100.0%   10    100.0%      0
          not ok: 403 stale_token 10

    TOKENS (age at the handshake; fetched per reconnect; handshakes wasted on a dead
      one; refusals in a row)
      group        fetched  per reconnect  age p50  age p99  dead-token handshakes
      fresh-token       80           0.00        -        -                      0
      stale-token       10              -        -        -                      0
      group        refusals in a row p50  max
      fresh-token                      -    -
      stale-token                      -    -

    WHERE THE TIME WENT (of those who came back: share of their time / p99 of the
      phase)
      group              detect          token        upgrade
      fresh-token  4% / 1.00 ms  80% / 39.0 ms  16% / 4.00 ms

    THROUGHPUT AND WHAT OUTAGES COST (rates are means over the run; token peak:
      requests in the busiest second, but for those at the start)
      group        reconnects/s  tokens/s  messages/s  token peak/s  missed messages
      fresh-token           4.0       8.0        12.0            40               80
      stale-token           0.0       1.0         0.0            10                -
      group        per outage
      fresh-token        2.00
      stale-token           -

    MESSAGES (with and without a reply; missed: while a client was away)
      group        sent  sent/s  received  received/s  missed
      fresh-token     0     0.0       120        12.0      80

    CLOSE CODES (by whom)
      fresh-token: target 1001 × 40; client 1000 × 39; network 1006 (rst) × 1
      stale-token: target 1001 × 10

    THRESHOLDS
      ✓ reconnect_latency{group:fresh-token}: p(99) < 1s (measured 44.0 ms)
      ✓ handshake_403_rate{group:fresh-token}: rate < 0.1% (measured 0.0%)
      ✗ handshake_403_rate{group:stale-token}: rate < 0.1% (measured 50.0%)

    GENERATOR
      healthy: lag p50 0 µs p99 3.90 ms max 0 µs; event loop stalls p99 0 µs max 0
        µs; CPU 0.5 s (0.0% of the machine); memory 0 MiB

    ACCOUNTS
      balanced: 100 attempts = 100 outcomes; 90 sessions = 90 ends + 0 open
      clients and target agree exactly (clients/target):
        accepts 100/100; upgrades (101) 90/90; refused (403) 10/10;
        tokens issued 90/90; closes 1000 39/39; closes 1001 50/50; closes 1006 1/1
    "#);
}

#[test]
fn a_threshold_that_cannot_be_read_or_has_no_group_never_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(JOURNAL_FILE);
    for threshold in ["attempts{group:gone}: count > 0", "of_another_version: p(99) < 1s"] {
        let manifest = Manifest { thresholds: vec![threshold.into()], ..manifest() };
        let mut journal = JournalWriter::create(&path, &manifest).unwrap();
        let groups = vec![PackedTally::of(&tally([first()])), PackedTally::of(&Tally::default())];
        journal.append(&Entry::Interval { second: 0, groups }).unwrap();
        let end = RunEnd { clients_planned: 1, target_counters: None, ..end_of_run() };
        journal.append(&Entry::End(Box::new(end))).unwrap();
        let model = model_of(folder.path());
        assert_eq!(model.thresholds.len(), 1, "{threshold}");
        let reasons = model.verdict.reasons.join("\n");
        assert!(reasons.contains(&format!("threshold without a sample: {threshold}")), "{reasons}");
        assert_eq!(model.verdict.exit_code.number(), 110);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_run_cut_off_after_some_of_its_seconds_has_every_form_of_a_report() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample").join(JOURNAL_FILE);
    let whole = read_journal(&sample).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut attempts = 0;
    let all = whole.intervals.len();
    for held in (0..all).step_by(4).chain([all]) {
        let mut journal = whole.clone();
        journal.intervals.truncate(held);
        journal.end = None;
        let model = RunModel::new(journal);
        assert_eq!(model.verdict.exit_code.number(), 111, "{held} seconds");
        assert!(model.account_faults.is_empty(), "{held} seconds: {:?}", model.account_faults);
        assert!(model.all.attempts_total() >= attempts, "{held} seconds: a prefix never has more");
        attempts = model.all.attempts_total();
        let faults = write_all(&model, home.path());
        assert!(faults.is_empty(), "{held} seconds: {faults:?}");
        let planned = format!("those of its first {held} s; planned were {} s", whole.manifest.duration_s);
        let text = unwrapped(summary_text(&model, Style { colour: false }).as_bytes());
        assert!(text.contains(&planned) && !resurge::report::markdown(&model).is_empty(), "{text}");
        assert!(resurge::report::junit_xml(&model).is_ok(), "{held} seconds");
    }
    assert_eq!(attempts, RunModel::new(whole).all.attempts_total());
}
