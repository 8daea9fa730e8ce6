//! Outages and availability in `resurge compare` and `resurge baseline`, through the real program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resurge::clock::Moment;
use resurge::record::{Entry, JournalWriter, Manifest, Mark, Note, PackedTally, Tally};
use resurge::report::JOURNAL_FILE;
use resurge::sample::{
    AttemptKind, Bin, CloseKey, Counter, Initiator, Life, Outcome, Phase, Phases, ReadySample, Sample,
    SessionEnd, WayIn, WayOut,
};
use serde_json::{Value, json};

use crate::compare::in_home;
use crate::support::output::{said, text};
use crate::synthetic::{self, attempt, run_end};

/// Clients of each run. One comes every 5 ms, and is in at once.
const CLIENTS: u64 = 200;
const SECONDS: usize = 60;

/// When all clients are lost, one each millisecond, in which order they come back, and after which mark.
#[derive(Clone)]
struct Fall {
    at_ms: u64,
    /// From 200 ms on, one each so many microseconds is back.
    every_us: u64,
    mark: Option<&'static str>,
}

/// A run to be written.
#[derive(Clone)]
struct Run {
    falls: Vec<Fall>,
    /// How it differs from its repeats, in percent.
    wobble: f64,
    /// Whether clients tell when they are wanted in, in and out.
    tells_lives: bool,
}

fn fall(at_ms: u64, every_us: u64, mark: Option<&'static str>) -> Fall {
    Fall { at_ms, every_us, mark }
}

fn run(falls: &[Fall]) -> Run {
    Run { falls: falls.to_vec(), wobble: 0.0, tells_lives: true }
}

/// The seconds of a run.
struct Told {
    seconds: Vec<Tally>,
    tells_lives: bool,
}

impl Told {
    fn at(&mut self, at: Moment, samples: impl IntoIterator<Item = Sample>) {
        let second = usize::try_from(at.as_ns() / 1_000_000_000).unwrap().min(SECONDS - 1);
        samples.into_iter().for_each(|sample| self.seconds[second].apply(&sample));
    }

    fn lived(&mut self, at: Moment, life: Life) {
        if self.tells_lives {
            self.at(at, [Sample::Life(life)]);
        }
    }

    fn comes(&mut self, at: Moment, since: Moment, lost_in: Option<Bin>) {
        let kind = if lost_in.is_some() { AttemptKind::Reconnect } else { AttemptKind::First };
        let latency = at.since(since);
        let mut phases = Phases::default();
        phases.add(Phase::Upgrade, latency);
        let ready = ReadySample { kind, storm: None, latency, service_time: latency, phases };
        let upgraded = [Sample::Count(Counter::Upgrades, 1), attempt(kind, Outcome::Ok, None, latency)];
        self.at(at, upgraded);
        self.at(at, [Sample::Ready(Box::new(ready))]);
        self.lived(at, Life::In(WayIn { at, upgraded: at, lost_in }));
    }

    fn ends(&mut self, at: Moment, key: CloseKey) {
        let length = Duration::from_secs(1);
        self.at(at, [Sample::SessionEnd(SessionEnd { key, length })]);
    }
}

fn us(us: u64) -> Moment {
    Moment::ZERO + Duration::from_micros(us)
}

fn seconds_of(run: &Run) -> Vec<Tally> {
    let mut told = Told { seconds: vec![Tally::default(); SECONDS], tells_lives: run.tells_lives };
    for client in 0..CLIENTS {
        let came = us(client * 5_000);
        told.at(came, [Sample::Count(Counter::ClientsStarted, 1)]);
        told.lived(came, Life::Came(came));
        told.comes(came, came, None);
        let mut upgraded = came;
        for fall in &run.falls {
            let from = us(fall.at_ms * 1_000 + client * 1_000);
            let key = CloseKey::unsaid(Initiator::Target, 1001, None);
            told.ends(from, key);
            told.at(from, [Sample::Count(Counter::Disconnects, 1)]);
            told.lived(from, Life::Out(Box::new(WayOut { from, upgraded, key, is_lost: true })));
            let later = client as f64 * fall.every_us as f64 * (1.0 + run.wobble / 100.0);
            upgraded = us(fall.at_ms * 1_000 + 200_000 + later as u64);
            told.at(upgraded, [Sample::Count(Counter::TokensForReconnects, 1)]);
            told.comes(upgraded, from, Some(Bin::of(from)));
        }
        let end = us(SECONDS as u64 * 1_000_000);
        told.ends(end, CloseKey::unsaid(Initiator::Client, 1000, None));
        told.lived(end, Life::Gone { at: end, upgraded: Some(upgraded) });
    }
    told.seconds.iter_mut().for_each(Tally::close);
    told.seconds
}

fn write_run(folder: &Path, run: &Run, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let manifest =
        Manifest { duration_s: SECONDS as f64, seed, ..synthetic::manifest(&[("fleet", CLIENTS as u32)]) };
    let mut journal = JournalWriter::create(&folder.join(JOURNAL_FILE), &manifest).unwrap();
    for (number, fall) in run.falls.iter().enumerate() {
        let Some(name) = fall.mark else { continue };
        let at_us = fall.at_ms * 1_000 - 400_000;
        let mark =
            json!({ "number": number + 1, "name": name, "by": "outside", "at_us": at_us, "until_us": null });
        let mark: Mark = serde_json::from_value(mark).unwrap();
        journal.append(&Entry::Note(Note::Mark(mark))).unwrap();
    }
    for (second, tally) in (0..).zip(seconds_of(run)) {
        journal.append(&Entry::Interval { second, groups: vec![PackedTally::of(&tally)] }).unwrap();
    }
    journal.append(&Entry::End(Box::new(run_end(CLIENTS, SECONDS as f64)))).unwrap();
}

/// A folder of five repeats, which differ by some percent.
fn repeats(home: &Path, name: &str, run: &Run) -> PathBuf {
    let folder = home.join(name);
    for (n, wobble) in [0.0, 0.4, -0.3, 0.8, -0.6].into_iter().enumerate() {
        write_run(&folder.join(format!("r{n}")), &Run { wobble, ..run.clone() }, n as u64);
    }
    folder
}

fn row<'j>(json: &'j Value, measure: &str) -> &'j Value {
    let rows = json["comparisons"][0]["measures"].as_array().unwrap();
    rows.iter().find(|row| row["measure"] == measure).unwrap()
}

const BY_OUTAGES: [&str; 6] =
    ["--decide-by", "availability", "--decide-by", "outage_cost", "--decide-by", "outage_1.recovery_p95"];

#[test]
fn a_deploy_that_costs_more_regresses_where_outages_are_asked_to_decide() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &run(&[fall(20_100, 10_000, Some("deploy of 4f2a"))]));
    repeats(home, "new", &run(&[fall(20_300, 20_000, Some("deploy of 9b1c"))]));
    let arguments = [&["compare", "old", "new", "--gate"], BY_OUTAGES.as_slice()].concat();
    let output = in_home(home, &arguments);
    assert_eq!(output.status.code(), Some(112), "{}", said(&output));
    insta::assert_snapshot!("outages_text", text(&output.stdout));

    let json: Value =
        serde_json::from_slice(&in_home(home, &[&arguments[..], &["--format", "json"]].concat()).stdout)
            .unwrap();
    // The run as written: client n is lost after n ms and back after 200 ms and 10 n ms, each time to the end of its millisecond. Of all five, the 950th of
    // 1,000 is client 189 of the run in the middle; buckets are a thousandth wide.
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 0.003;
    let p95 = row(&json, "outage_1.recovery_p95");
    assert!(
        near(&p95["baseline"]["repeats"][0], 2.091e6) && near(&p95["candidate"]["repeats"][0], 3.981e6),
        "{p95:#}"
    );
    assert!(near(&p95["baseline"]["value"], 2.093e6), "{p95:#}");
    assert_eq!((p95["unit"].as_str(), p95["verdict"].as_str()), (Some("us"), Some("regressed")));
    let cost = row(&json, "outage_cost");
    assert!((cost["baseline"]["repeats"][0].as_f64().unwrap() - 219.1).abs() < 1e-6, "{cost:#}");
    assert!((cost["candidate"]["repeats"][0].as_f64().unwrap() - 418.1).abs() < 1e-6, "{cost:#}");
    assert_eq!((cost["unit"].as_str(), cost["test"]["scale"].as_str()), (Some("client_s"), Some("linear")));
    // Of 200 clients for 60 s, who come half a second late in the mean.
    let available = row(&json, "availability");
    let expected = 1.0 - 219.1 / 11_900.5;
    assert!((available["baseline"]["repeats"][0].as_f64().unwrap() - expected).abs() < 1e-9, "{available:#}");
    assert_eq!(row(&json, "outages")["verdict"], "unchanged");
    assert_eq!(row(&json, "outages")["decides"], false);
    let notes = json["comparisons"][0]["notes"].to_string();
    assert!(notes.contains("outage 1: \\\"deploy of 4f2a\\\" at 20.1 s in the baseline, \\\"deploy of 9b1c\\\" at 20.3 s in the candidate"), "{notes}");

    let of = |format| text(&in_home(home, &[&arguments[..], &["--format", format]].concat()).stdout);
    let markdown = of("markdown");
    assert!(
        markdown.contains("| fleet | outage\\_cost | 219.") && markdown.contains("deploy of 9b1c"),
        "{markdown}"
    );
    assert!(of("csv").contains(",fleet,outage_1.recovery_p95,us,true,"));
    let page = of("html");
    assert!(
        page.contains("outage-1-0-0") && page.contains("Outage 1: share back by time since the first loss")
    );

    assert_eq!(
        in_home(home, &[&["compare", "new", "old", "--gate"], BY_OUTAGES.as_slice()].concat()).status.code(),
        Some(0)
    );
    let alike =
        in_home(home, &[&["compare", "old", "old", "--gate", "--strict"], BY_OUTAGES.as_slice()].concat());
    assert_eq!(alike.status.code(), Some(0), "{}", said(&alike));
    let lenient = [
        "--min-effect",
        "availability=5%",
        "--min-effect",
        "outage_cost=10%,500",
        "--min-effect",
        "outage_1=100%",
    ];
    let lenient = in_home(home, &[&arguments[..], &lenient].concat());
    assert_eq!(lenient.status.code(), Some(0), "{}", said(&lenient));
    let by_default = in_home(home, &["compare", "old", "new", "--decide-by", "handshake_403_rate", "--gate"]);
    assert_eq!(
        by_default.status.code(),
        Some(0),
        "they explain, unless they are asked: {}",
        said(&by_default)
    );
}

#[test]
fn an_outage_that_one_side_alone_had_is_told_and_costs() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let first = fall(20_100, 10_000, None);
    repeats(home, "none", &run(&[]));
    repeats(home, "one", &run(std::slice::from_ref(&first)));
    repeats(home, "two", &run(&[first, fall(40_000, 10_000, Some("reload"))]));
    let more = in_home(
        home,
        &["compare", "one", "two", "--gate", "--decide-by", "outages", "--decide-by", "outage_1"],
    );
    assert_eq!(more.status.code(), Some(112), "{}", said(&more));
    let told = text(&more.stdout);
    assert!(
        told.contains(
            "outages: the baseline 1, the candidate 2: those behind the first are not compared one by one"
        ),
        "{told}"
    );
    let changed = ["outages ", "outage_1.recovery_p95"].map(|name| {
        let line = told.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_default().split_whitespace().last().unwrap_or_default().to_owned()
    });
    assert_eq!(changed, ["regressed", "unchanged"], "{told}");
    let second = told.lines().find(|line| line.contains("outage_2.recovery_p50"));
    assert!(second.is_some_and(|line| line.ends_with("not judged (the baseline has no sample)")), "{told}");
    // Nobody was cut off on one side: there are no latencies, but there is a cost.
    let cost = ["--decide-by", "outage_cost", "--gate"];
    for (baseline, candidate, code) in [("none", "one", 112), ("one", "none", 0), ("none", "none", 0)] {
        let output = in_home(home, &[&["compare", baseline, candidate], cost.as_slice()].concat());
        assert_eq!(output.status.code(), Some(code), "{baseline} {candidate}: {}", said(&output));
        assert!(text(&output.stdout).contains(" 0.0 client-s"), "{}", text(&output.stdout));
    }
}

#[test]
fn a_baseline_has_them_and_one_of_before_says_that_it_has_not() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let deploy = run(&[fall(20_100, 10_000, Some("deploy of 4f2a"))]);
    repeats(home, "old", &deploy);
    repeats(home, "new", &run(&[fall(20_300, 20_000, None)]));
    write_run(&home.join("single"), &Run { tells_lives: false, ..deploy }, 1);
    for (runs, name) in [("old", "v2"), ("single", "v1")] {
        let saved = in_home(home, &["baseline", "save", runs, "--name", name]);
        assert_eq!(saved.status.code(), Some(0), "{}", said(&saved));
    }
    let by_run = in_home(home, &["compare", "old", "new", "--format", "csv"]);
    let by_name = in_home(home, &["compare", "v2", "new", "--format", "csv"]);
    assert_eq!(text(&by_name.stdout).replace("v2,", "old,"), text(&by_run.stdout));
    assert!(text(&by_run.stdout).contains(",outage_1.recovery_p95,"));

    // A file of version 2 ends where one of version 3 says that of outages nothing is known.
    let file = home.join("reports/baselines/v1.baseline");
    let bytes = fs::read(&file).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&bytes[16..]), &mut plain).unwrap();
    assert_eq!(plain.pop(), Some(0));
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, &plain).unwrap();
    let rest = packer.finish().unwrap();
    let mut before = b"RSRGBASE".to_vec();
    before.extend(2_u32.to_le_bytes());
    before.extend(crc32c::crc32c(&rest).to_le_bytes());
    before.extend(rest);
    for bytes in [bytes, before] {
        fs::write(&file, bytes).unwrap();
        let output = in_home(home, &["compare", "v1", "new", "--details"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let told = text(&output.stdout);
        let note =
            "note: v1 is from before outages were found: neither they nor the availability are compared";
        assert!(told.contains(note), "{told}");
        assert!(!told.contains("outage_") && !told.contains("· availability"), "{told}");
        assert!(told.contains("reconnect_latency.p95"), "{told}");
    }
    let trend = in_home(home, &["compare", "--trend", "v1", "v2", "new", "--details"]);
    assert_eq!(trend.status.code(), Some(0), "{}", said(&trend));
    let told = text(&trend.stdout);
    let line = told.lines().find(|line| line.contains("outage_1.recovery_p95")).unwrap_or_default();
    assert!(line.contains("2.10 s") && line.contains("3.99 s") && line.trim_end().ends_with('✗'), "{told}");
}
