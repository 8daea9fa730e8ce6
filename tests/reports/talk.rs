//! Exchanges, streams and kinds in every report: a hand-made run in two shards, whose numbers are known, read back from each file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use resurge::clock::Moment;
use resurge::record::{
    Entry, JournalWriter, Machines, Manifest, MergeInput, Recorder, StreamName, TalkNames, plan_merge,
    read_journal,
};
use resurge::report::{
    JOURNAL_FILE, RunModel, Style, histograms_hlog, junit_xml, markdown, report_html, run_json, summary_text,
    write_all,
};
use resurge::sample::{
    Blind, BlindEnd, Counter, ErrorWord, ExchangeNews, GroupId, Sample, Stamped, StreamNews, Talk,
};

use crate::support::output::unwrapped;
use crate::synthetic::{manifest, run_end};

const THRESHOLDS: [&str; 6] = [
    "exchange_latency{exchange:sub}: p(99) < 16ms",
    "exchange_timeouts{group:a,exchange:sub}: count == 0",
    "stream_missed: count == 6",
    "stream_latency{stream:far}: max < 1ms",
    "stream_latency{stream:ahead}: max < 1s",
    "blind_time: max < 3s",
];

fn talking(shard: u32) -> Manifest {
    let stream = |name: &str, relative| StreamName { name: name.into(), relative };
    let names = TalkNames {
        exchanges: vec![(1, "sub".into()), (2, "never said".into())],
        streams: vec![stream("near", false), stream("far", true), stream("ahead", false)],
        kinds_at_most: Some(2),
    };
    Manifest {
        talks: vec![names, TalkNames::default()],
        thresholds: THRESHOLDS.map(str::to_owned).to_vec(),
        shards: 2,
        held: vec![shard],
        ..manifest(&[("a", 2), ("b", 2)])
    }
}

/// What a client of group `a` told in a second: ten messages were sent, and each ended in one of the five ways.
fn talk(shard: u32, second: u64) -> Talk {
    let sub = ExchangeNews {
        sent: 10,
        ok: 4,
        failed_checks: 1,
        timeouts: 2,
        cut_off: 2,
        unfinished: 1,
        unexpected: 3,
        most_in_flight: 2 + u64::from(shard),
        latencies_us: vec![1_000, 1_000, 1_000, 15_000],
        failed_latencies_us: vec![1_000],
    };
    let near = StreamNews {
        messages: 100,
        skipped: 3,
        filled: 1,
        skipped_away: 5,
        filled_away: 1,
        late: 2,
        duplicates: 1,
        keys: 1,
        latencies_us: vec![200, 300],
        blind: vec![Blind { storm: None, us: 2_000_000, end: BlindEnd::Seen }],
        ..StreamNews::default()
    };
    // The sender's clock is an hour behind ours in one, and a second ahead in the other.
    let offset = 3_600_000_000 + i64::from(shard) * 40_000;
    let far =
        StreamNews { messages: 2, latencies_us: vec![offset + 100, offset + 500], ..StreamNews::default() };
    let ahead = StreamNews { messages: 2, latencies_us: vec![-1_000_000, 4], ..StreamNews::default() };
    let word = ErrorWord::new;
    let kinds = vec![
        (word("tick"), 50),
        (word("news"), 20 + second),
        (word("rare"), 1),
        (word("rarer"), 1),
        (None, 7),
    ];
    Talk { exchanges: vec![(1, sub)], streams: vec![(0, near), (1, far), (2, ahead)], kinds }
}

fn stamped(second: u64, group: u16, sample: Sample) -> Stamped {
    let at = Moment::from_ns(second * 1_000_000_000);
    Stamped { at, client: None, group: GroupId(group), sample }
}

fn journal_of(folder: &Path, shard: u32) -> MergeInput {
    MergeInput { name: shard.to_string(), journal: folder.join(format!("{shard}.bin")), in_memory: None }
}

/// Two seconds of a shard; of the second shard, but the last.
fn write_shard(folder: &Path, shard: u32) {
    let writer = JournalWriter::create(&journal_of(folder, shard).journal, &talking(shard)).unwrap();
    let mut recorder = Recorder::new(2, writer);
    for group in [0, 1] {
        recorder.record(&stamped(0, group, Sample::Count(Counter::ClientsStarted, 1)));
    }
    for second in u64::from(shard - 1)..2 {
        recorder.record(&stamped(second, 0, Sample::Talk(Box::new(talk(shard, second)))));
        recorder.close_interval(second);
    }
    let mut recorded = recorder.finish();
    recorded.journal.append(&Entry::End(Box::new(run_end(4, 2.0)))).unwrap();
}

fn merged(folder: &Path, order: [u32; 2]) -> RunModel {
    let shards = order.map(|shard| journal_of(folder, shard));
    let out = folder.join(format!("{}{}.bin", order[0], order[1]));
    plan_merge(&shards, Machines::One, &BTreeMap::new()).unwrap().write(&out).unwrap();
    RunModel::new(read_journal(&out).unwrap())
}

fn model() -> (tempfile::TempDir, RunModel) {
    let folder = tempfile::tempdir().unwrap();
    [1, 2].into_iter().for_each(|shard| write_shard(folder.path(), shard));
    let model = merged(folder.path(), [1, 2]);
    assert_eq!(merged(folder.path(), [2, 1]).totals, model.totals, "whatever their order");
    (folder, model)
}

type Row = HashMap<String, String>;

/// The rows of a CSV file, each by its header.
fn rows(folder: &Path, file: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(folder.join(file)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn assert_numbers(row: &Row, expected: &[(&str, f64, f64)]) {
    for (column, wanted, within) in expected {
        let number: f64 = row[*column].parse().unwrap();
        assert!((number - wanted).abs() <= *within, "{column} is not {wanted}: {row:?}");
    }
}

#[test]
fn the_files_have_the_numbers_that_were_told() {
    let (folder, model) = model();
    assert_eq!(model.account_faults, [""; 0]);
    assert!(write_all(&model, folder.path()).is_empty());
    let exchanges = rows(folder.path(), "exchanges.csv");
    assert_eq!(exchanges.len(), 2, "{exchanges:?}");
    let (sub, never) = (&exchanges[0], &exchanges[1]);
    assert_eq!([sub["group"].as_str(), sub["exchange"].as_str()], ["a", "sub"]);
    let exact = |(column, number)| (column, number, 0.0);
    assert_numbers(
        sub,
        &[
            ("sent", 30.0),
            ("ok", 12.0),
            ("failed_checks", 3.0),
            ("timeouts", 6.0),
            ("cut_off", 6.0),
            ("unfinished", 3.0),
            ("unexpected", 9.0),
            ("most_in_flight", 4.0),
            ("count", 12.0),
            ("min_us", 1_000.0),
            ("p50_us", 1_000.0),
        ]
        .map(exact),
    );
    assert_numbers(
        sub,
        &[("max_us", 15_000.0, 8.0), ("mean_us", 4_500.0, 3.0), ("failed_max_us", 1_000.0, 1.0)],
    );
    assert_eq!([&never["exchange"], &never["sent"], &never["p50_us"]], ["never said", "0", ""]);
    let streams = rows(folder.path(), "streams.csv");
    assert_eq!(streams.len(), 3, "{streams:?}");
    let (near, far, ahead) = (&streams[0], &streams[1], &streams[2]);
    assert_numbers(
        near,
        &[
            ("messages", 300.0),
            ("missed", 6.0),
            ("missed_away", 12.0),
            ("late", 6.0),
            ("duplicates", 3.0),
            ("keys", 3.0),
            ("least_us", 200.0),
            ("below_zero", 0.0),
            ("count", 6.0),
            ("p50_us", 200.0),
            ("max_us", 300.0),
            ("blind_count", 3.0),
        ]
        .map(exact),
    );
    assert_numbers(near, &[("blind_p50_us", 2e6, 1_100.0)]);
    // The least of the run is none: the second shard's clock is 40 ms off.
    assert_eq!([&far["relative"], &far["least_us"]], ["true", "3600040100"]);
    assert_numbers(far, &[("p50_us", 400.0, 16.0), ("max_us", 40_400.0, 50.0)]);
    assert_eq!([&ahead["below_zero"], &ahead["least_us"], &ahead["count"]], ["3", "-1000000", "6"]);
    assert_eq!([&ahead["p50_us"], &ahead["max_us"]], ["", ""]);
    let kinds = rows(folder.path(), "kinds.csv");
    let told: Vec<[&str; 3]> =
        kinds.iter().map(|row| ["kind", "count", "rate_per_s"].map(|column| row[column].as_str())).collect();
    let expected = [
        ["tick", "150", "75.000"],
        ["news", "62", "31.000"],
        ["other", "6", "3.000"],
        ["(none)", "21", "10.500"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_reports_say_the_same() {
    let (_folder, model) = model();
    let json = serde_json::to_value(run_json(&model)).unwrap();
    assert_eq!(json["exchanges"][0]["sent"], 30);
    assert_eq!(json["exchanges"][0]["latency"]["p50_us"], 1_000);
    assert_eq!(json["streams"][0]["missed_away"], 12);
    assert!(json["streams"][2]["latency"].is_null());
    assert_eq!(json["streams"][2]["least_us"], -1_000_000);
    assert_eq!(json["kinds"][1]["kind"], "news");
    let text = unwrapped(summary_text(&model, Style { colour: false }).as_bytes());
    for wanted in [
        "EXCHANGES (",
        "STREAMS (",
        "BLIND TIME (",
        "KINDS (",
        "3 below 0: not told",
        "exchanges: 30 sent = 12 ok + 3 with failed checks + 6 timed out + 6 cut off + 3 open",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    let markdown = markdown(&model);
    assert!(markdown.contains("Exchanges") && markdown.contains("Blind time"), "{markdown}");
    let html = report_html(&model).unwrap();
    for wanted in
        ["percentiles-exchanges", "exchange-0", "percentiles-blind", "percentiles-streams", "never said"]
    {
        assert!(html.contains(wanted), "{wanted}");
    }
    let hlog = histograms_hlog(&model);
    let tagged = |tag: &str| hlog.lines().filter(|line| line.starts_with(&format!("Tag={tag},"))).count();
    let counted = ["a.exchange:sub", "a.stream:near", "a.blind_time:near", "a.stream:far"].map(tagged);
    assert_eq!(counted, [2; 4]);
    assert_eq!(["a.stream:ahead", "a.exchange:never_said"].map(tagged), [0, 0]);
    let results: Vec<String> = model
        .thresholds
        .iter()
        .map(|result| format!("{:?} {}", result.status, result.measured_text))
        .collect();
    assert_eq!(results[..4], ["Passed 15.0 ms", "Failed 6", "Passed 6", "Failed 40.4 ms"]);
    assert!(results[4].starts_with("NoSamples 3 are below zero"), "{}", results[4]);
    assert!(results[5].starts_with("Passed 2.00 s"), "{}", results[5]);
    let junit = junit_xml(&model).unwrap();
    assert!(junit.contains("exchange_timeouts{group:a,exchange:sub}"), "{junit}");
}

#[test]
fn sums_that_do_not_agree_are_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join(JOURNAL_FILE);
    let mut recorder = Recorder::new(2, JournalWriter::create(&journal, &talking(1)).unwrap());
    let news = ExchangeNews { sent: 5, ok: 3, latencies_us: vec![1], ..ExchangeNews::default() };
    let talk = Talk { exchanges: vec![(1, news)], ..Talk::default() };
    recorder.record(&stamped(0, 0, Sample::Talk(Box::new(talk))));
    recorder.close_interval(0);
    let mut recorded = recorder.finish();
    // Under way, messages wait.
    let times = "a: exchange sub: 3 replies came, 1 tell how long";
    assert_eq!(RunModel::new(read_journal(&journal).unwrap()).account_faults, [times]);
    recorded.journal.append(&Entry::End(Box::new(run_end(4, 2.0)))).unwrap();
    let faults = RunModel::new(read_journal(&journal).unwrap()).account_faults;
    assert_eq!(faults, ["a: exchange sub: 5 messages were sent, 3 ended", times]);
}

#[test]
fn a_run_without_such_has_no_such_files() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join(JOURNAL_FILE);
    let mut writer = JournalWriter::create(&journal, &manifest(&[("a", 2)])).unwrap();
    writer.append(&Entry::End(Box::new(run_end(2, 1.0)))).unwrap();
    let model = RunModel::new(read_journal(&journal).unwrap());
    assert!(write_all(&model, folder.path()).is_empty());
    for file in ["exchanges.csv", "streams.csv", "kinds.csv"] {
        assert!(!folder.path().join(file).exists(), "{file}");
    }
    let json = serde_json::to_value(run_json(&model)).unwrap();
    assert!(json.get("exchanges").is_none());
    assert!(!report_html(&model).unwrap().contains("Exchanges and streams"));
    assert!(!summary_text(&model, Style { colour: false }).contains("EXCHANGES"));
}
