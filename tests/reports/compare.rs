//! `resurge compare` and `resurge baseline` through the real program, on journals whose numbers are known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use resurge::record::{Entry, GeneratorHealth, HostManifest, JournalWriter, Manifest, PackedTally, Tally};
use resurge::report::JOURNAL_FILE;
use resurge::sample::{
    AttemptKind, Cause, CloseKey, Counter, Initiator, Outcome, Phase, Phases, ReadySample, Sample, SessionEnd,
};

use crate::support::output::{said, text};
use crate::support::program::resurge;
use crate::synthetic::{self, attempt, run_end};

/// Clients of each run; each is thrown off once a second.
const CLIENTS: u64 = 60;
const SECONDS: u64 = 6;

/// A run to be written.
#[derive(Clone)]
pub(crate) struct Run {
    /// By how much latencies are multiplied.
    pub(crate) factor: f64,
    /// How it differs from its repeats, in percent.
    pub(crate) wobble: f64,
    /// Every so many handshakes are refused with 403; 0 for none.
    pub(crate) refused_every: u64,
    pub(crate) reconnects: bool,
    pub(crate) attempts: bool,
    pub(crate) lag_us: u64,
    pub(crate) scenario: String,
    pub(crate) cores: usize,
    pub(crate) ends: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            factor: 1.0,
            wobble: 0.0,
            refused_every: 0,
            reconnects: true,
            attempts: true,
            lag_us: 2_000,
            scenario: "duration = \"6s\"\n\n[target]\nidle_timeout = \"1s\"\n".into(),
            cores: 2,
            ends: true,
        }
    }
}

fn ready(kind: AttemptKind, latency: Duration) -> Sample {
    let mut phases = Phases::default();
    phases.add(Phase::Token, latency * 3 / 4);
    phases.add(Phase::Upgrade, latency - latency * 3 / 4);
    Sample::Ready(Box::new(ReadySample { kind, storm: None, latency, service_time: latency, phases }))
}

/// What a client does in a second: it comes (back), and is thrown off or, at the end, leaves.
fn second_of(run: &Run, second: u64, client: u64) -> Vec<Sample> {
    let kind = if second == 0 { AttemptKind::First } else { AttemptKind::Reconnect };
    // 20 ms to 79 ms in an order that seems random.
    let ms = 20.0 + ((client * 37 + second * 11) % CLIENTS) as f64;
    let latency = Duration::from_secs_f64(ms / 1e3 * run.factor * (1.0 + run.wobble / 100.0));
    let mut samples = Vec::new();
    if second == 0 {
        samples.push(Sample::Count(Counter::ClientsStarted, 1));
    } else if !run.reconnects {
        return samples;
    }
    if run.refused_every > 0 && (client + second).is_multiple_of(run.refused_every) {
        samples.push(attempt(kind, Outcome::Http403, Some(Cause::StaleToken), latency / 4));
    }
    samples.extend([
        Sample::Count(Counter::Upgrades, 1),
        attempt(kind, Outcome::Ok, None, latency),
        ready(kind, latency),
    ]);
    if second > 0 {
        samples.push(Sample::Count(Counter::TokensForReconnects, 1));
    }
    let is_last = second + 1 == SECONDS || !run.reconnects;
    let (initiator, code) = if is_last { (Initiator::Client, 1000) } else { (Initiator::Target, 1001) };
    let length = Duration::from_millis(900);
    samples.push(Sample::SessionEnd(SessionEnd { key: CloseKey::unsaid(initiator, code, None), length }));
    if !is_last {
        samples.push(Sample::Count(Counter::Disconnects, 1));
    }
    samples
}

fn manifest(run: &Run, seed: u64) -> Manifest {
    let host = HostManifest { cores: run.cores, kernel: "6.1.0".into(), descriptor_limit: 9, local_ports: 9 };
    Manifest {
        scenario_hash: format!("{:x}", run.scenario.len()),
        scenario_text: run.scenario.clone(),
        seed,
        started_unix_us: 1_750_000_000_000_000 + seed,
        duration_s: SECONDS as f64,
        target_url: "ws://127.0.0.1:1".into(),
        host,
        ..synthetic::manifest(&[("group|<b>", CLIENTS as u32)])
    }
}

pub(crate) fn write_run(folder: &Path, run: &Run, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let mut journal = JournalWriter::create(&folder.join(JOURNAL_FILE), &manifest(run, seed)).unwrap();
    for second in 0..SECONDS {
        let mut tally = Tally::default();
        if run.attempts {
            let samples = (0..CLIENTS).flat_map(|client| second_of(run, second, client));
            samples.for_each(|sample| tally.apply(&sample));
        }
        journal.append(&Entry::Interval { second, groups: vec![PackedTally::of(&tally)] }).unwrap();
    }
    if !run.ends {
        return;
    }
    let mut end = run_end(if run.attempts { CLIENTS } else { 0 }, SECONDS as f64);
    end.health = GeneratorHealth {
        lag_p99_us: run.lag_us,
        cpu_s: Some(1.0),
        max_rss_bytes: Some(50_000_000),
        ..end.health
    };
    journal.append(&Entry::End(Box::new(end))).unwrap();
}

/// A folder of five repeats, which differ by some percent.
pub(crate) fn repeats(home: &Path, name: &str, run: &Run) -> PathBuf {
    let folder = home.join(name);
    for (n, wobble) in [0.0, 0.4, -0.3, 0.8, -0.6].into_iter().enumerate() {
        write_run(&folder.join(format!("r{n}")), &Run { wobble, ..run.clone() }, n as u64);
    }
    folder
}

pub(crate) fn in_home(home: &Path, arguments: &[&str]) -> Output {
    resurge().current_dir(home).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn a_regression_reads_at_a_glance_and_fails_the_gate() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run { factor: 1.1, refused_every: 40, ..Run::default() });
    let output = in_home(home, &["compare", "old", "new", "--gate"]);
    assert_eq!(output.status.code(), Some(112), "{}", said(&output));
    insta::assert_snapshot!("text", text(&output.stdout));
    let output = in_home(home, &["compare", "old", "new", "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(0), "without --gate nothing fails");
    let markdown = text(&output.stdout);
    assert!(!markdown.contains("<b>"), "{markdown}");
    insta::assert_snapshot!("markdown", markdown);
    let page = text(&in_home(home, &["compare", "old", "new", "--format", "html"]).stdout);
    assert!(page.contains("REGRESSED") && page.contains("Content-Security-Policy"));
    assert!(!page.contains("group|<b>"), "a name is no markup");
    let better = in_home(home, &["compare", "new", "old", "--gate"]);
    assert_eq!(better.status.code(), Some(0));
    assert!(text(&better.stdout).starts_with("IMPROVED"), "{}", text(&better.stdout));
}

#[test]
fn alike_runs_are_unchanged_and_the_result_is_the_same_each_time() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run { factor: 1.001, ..Run::default() });
    let arguments = ["compare", "old", "new", "--gate", "--strict", "--format", "json"];
    let output = in_home(home, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["schema_version"].as_u64(), json["verdict"].as_str()), (Some(2), Some("unchanged")));
    assert_eq!(output.stdout, in_home(home, &arguments).stdout);
    let csv = text(&in_home(home, &["compare", "old", "new", "--format", "csv"]).stdout);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        reader.deserialize().map(|row| row.unwrap()).collect();
    let p99 = rows.iter().find(|row| row["measure"] == "reconnect_latency.p99").unwrap();
    assert_eq!((p99["verdict"].as_str(), p99["group"].as_str()), ("unchanged", "group|<b>"));
    let measures = json["comparisons"][0]["measures"].as_array().unwrap();
    assert_eq!(rows.len(), measures.len());
}

#[test]
fn repeats_may_be_listed_and_several_candidates_named() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run { factor: 1.3, ..Run::default() });
    let listed = in_home(
        home,
        &["compare", "--baseline", "old/r0", "old/r1", "old/r2", "--candidate", "new/r0", "new/r1"],
    );
    assert!(
        text(&listed.stdout).contains("r0 … r1 (2 runs) against the baseline r0 … r2 (3 runs)"),
        "{}",
        text(&listed.stdout)
    );
    let several = in_home(home, &["compare", "old", "new", "old", "--gate"]);
    assert_eq!(several.status.code(), Some(112));
    let told = text(&several.stdout);
    assert!(told.starts_with("REGRESSED  new") && told.contains("\nUNCHANGED  old"), "{told}");
    let single = in_home(home, &["compare", "old/r0", "new/r0", "--gate"]);
    assert_eq!(single.status.code(), Some(0), "{}", text(&single.stdout));
    assert!(
        text(&single.stdout).starts_with("INCONCLUSIVE")
            && text(&single.stdout).contains("repeats each would decide")
    );
    assert_eq!(
        in_home(home, &["compare", "old/r0", "new/r0", "--gate", "--strict"]).status.code(),
        Some(112)
    );
}

#[test]
fn what_matters_is_settable() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run { factor: 1.1, ..Run::default() });
    let code =
        |more: &[&str]| in_home(home, &[&["compare", "old", "new", "--gate"], more].concat()).status.code();
    assert_eq!(code(&[]), Some(112));
    assert_eq!(
        code(&["--min-effect", "reconnect_latency=20%", "--min-effect", "connect_latency=20%"]),
        Some(0)
    );
    assert_eq!(code(&["--decide-by", "handshake_403_rate"]), Some(0));
    assert_eq!(code(&["--decide-by", "nothing"]), Some(2));
    assert_eq!(code(&["--min-effect", "nothing=5%"]), Some(2));
    assert_eq!(code(&["--alpha", "0"]), Some(2));
}

#[test]
fn what_cannot_be_compared_is_told_in_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write_run(&home.join("good"), &Run::default(), 1);
    write_run(&home.join("empty"), &Run { attempts: false, ..Run::default() }, 2);
    write_run(&home.join("silent"), &Run { reconnects: false, ..Run::default() }, 3);
    write_run(&home.join("cut"), &Run { ends: false, ..Run::default() }, 4);
    let scenario = Run::default().scenario.replace("\"1s\"", "\"20s\"");
    write_run(&home.join("other"), &Run { scenario, ..Run::default() }, 5);
    write_run(&home.join("host"), &Run { cores: 64, ..Run::default() }, 6);
    write_run(&home.join("late"), &Run { lag_us: 900_000, ..Run::default() }, 7);
    fs::create_dir(home.join("folder")).unwrap();
    fs::create_dir(home.join("nothing")).unwrap();
    fs::write(home.join("nothing").join(JOURNAL_FILE), "").unwrap();
    let bytes = fs::read(home.join("good").join(JOURNAL_FILE)).unwrap();
    fs::create_dir(home.join("damaged")).unwrap();
    let mut damaged = bytes;
    damaged[900] ^= 1;
    fs::write(home.join("damaged").join(JOURNAL_FILE), damaged).unwrap();
    fs::create_dir(home.join("newer")).unwrap();
    let newer = Manifest { schema_version: 99, ..manifest(&Run::default(), 8) };
    drop(JournalWriter::create(&home.join("newer").join(JOURNAL_FILE), &newer).unwrap());

    // (candidate, exit code, with --gate, what is said)
    let rows = [
        ("gone", 65, 65, "there is no run folder and no baseline `gone`"),
        ("folder", 65, 65, "is no run folder and holds none"),
        ("nothing", 65, 65, "holds nothing: the run ended before it began"),
        ("damaged", 65, 65, "is damaged at byte"),
        ("newer", 65, 65, "has schema version 99"),
        ("empty", 65, 65, "not comparable: empty is empty: no client made an attempt"),
        ("silent", 65, 65, "the candidate (silent) has no reconnect in group group|<b>"),
        ("cut", 65, 65, "not comparable: cut is not whole: the run's end is missing"),
        (
            "other",
            65,
            65,
            "good and other are of different scenarios: target.idle_timeout is \"1s\" and \"20s\"",
        ),
        ("host", 65, 65, "host ran on another machine (64 cores, kernel 6.1.0)"),
        ("late", 65, 110, "late is not valid: the generator was late"),
    ];
    for (candidate, code, gate, part) in rows {
        let output = in_home(home, &["compare", "good", candidate]);
        let told = text(&output.stderr);
        assert!(told.contains(part), "{candidate}: {told}");
        assert_eq!(output.status.code(), Some(code), "{candidate}: {told}");
        assert!(output.stdout.is_empty() && !told.contains("panicked"), "{candidate}");
        let gated = in_home(home, &["compare", "good", candidate, "--gate"]);
        assert_eq!(gated.status.code(), Some(gate), "{candidate} --gate");
    }
    for candidate in ["empty", "silent", "cut", "other", "host", "late"] {
        let forced = in_home(home, &["compare", "good", candidate, "--force", "--details"]);
        assert_eq!(forced.status.code(), Some(0), "{candidate}: {}", text(&forced.stderr));
        assert!(text(&forced.stdout).contains("not comparable, but forced"), "{candidate}");
    }
    assert_eq!(in_home(home, &["compare", "good", "late", "--force", "--gate"]).status.code(), Some(110));
    assert_eq!(in_home(home, &["compare", "good", "host", "--allow", "host"]).status.code(), Some(0));
    assert_eq!(
        in_home(home, &["compare", "good", "other", "--allow", "target.idle_timeout"]).status.code(),
        Some(0)
    );
    let both_silent = in_home(home, &["compare", "silent", "silent"]);
    assert_eq!(both_silent.status.code(), Some(0), "{}", text(&both_silent.stderr));
    assert!(text(&both_silent.stdout).contains("has no completed reconnect on either side"));
}

#[test]
fn a_baseline_is_saved_once_found_by_name_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    repeats(home, "old", &Run::default());
    repeats(home, "new", &Run { factor: 1.2, ..Run::default() });
    let saved = in_home(home, &["baseline", "save", "old", "--name", "v1.2"]);
    assert_eq!(saved.status.code(), Some(0), "{}", text(&saved.stderr));
    assert!(text(&saved.stdout).contains("5 runs"), "{}", text(&saved.stdout));
    let file = home.join("reports/baselines/v1.2.baseline");
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() < 200_000);

    let by_run = in_home(home, &["compare", "old", "new", "--format", "csv"]);
    for name in ["v1.2", "reports/baselines/v1.2.baseline"] {
        let by_name = in_home(home, &["compare", name, "new", "--gate", "--format", "csv"]);
        assert_eq!(by_name.status.code(), Some(112), "{}", text(&by_name.stderr));
        assert_eq!(
            text(&by_name.stdout).replace("v1.2,", "old,"),
            text(&by_run.stdout),
            "a baseline that fits tells what its runs tell"
        );
    }
    let again = in_home(home, &["baseline", "save", "new", "--name", "v1.2"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("is there already: --force replaces it"), "{}", text(&again.stderr));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let near = in_home(home, &["compare", "v1.3", "new"]);
    assert_eq!(near.status.code(), Some(65));
    assert!(text(&near.stderr).contains("is v1.2 meant?"), "{}", text(&near.stderr));

    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let damaged = in_home(home, &["compare", "v1.2", "new", "--gate"]);
    assert_eq!(damaged.status.code(), Some(65));
    assert!(text(&damaged.stderr).contains("is damaged: its checksum is wrong"), "{}", text(&damaged.stderr));

    write_run(&home.join("late"), &Run { lag_us: 900_000, ..Run::default() }, 7);
    assert_eq!(in_home(home, &["baseline", "save", "late", "--name", "x"]).status.code(), Some(110));
    assert_eq!(in_home(home, &["baseline", "save", "gone", "--name", "x"]).status.code(), Some(65));
    assert_eq!(in_home(home, &["baseline", "save", "old", "--name", "../x"]).status.code(), Some(2));
    assert_eq!(
        in_home(home, &["baseline", "save", "new", "--name", "v1.2", "--force"]).status.code(),
        Some(0)
    );
}

#[test]
fn a_trend_shows_every_release_in_order() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (name, factor) in [("v1.9", 1.0), ("v1.10", 1.3), ("v1.11", 0.8)] {
        repeats(home, name, &Run { factor, ..Run::default() });
        assert_eq!(in_home(home, &["baseline", "save", name, "--name", name]).status.code(), Some(0));
    }
    let files = ["v1.11", "v1.10", "v1.9"].map(|name| format!("reports/baselines/{name}.baseline"));
    let arguments = |format| {
        ["compare", "--trend", &files[0], &files[1], &files[2], "--format", format].map(str::to_owned)
    };
    let of = |format| {
        let arguments = arguments(format);
        let output = in_home(home, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    insta::assert_snapshot!("trend", of("text"));
    assert!(of("markdown").contains("group\\|&lt;b&gt;"), "{}", of("markdown"));
    let json: serde_json::Value = serde_json::from_str(&of("json")).unwrap();
    assert_eq!(json["steps"], serde_json::json!(["regressed", "improved"]));
    assert!(of("csv").lines().nth(1).unwrap().starts_with("v1.9,group|<b>,reconnect_latency.p50,us,true,"));
    assert_eq!(in_home(home, &["compare", "--trend", "v1.9", "gone"]).status.code(), Some(65));
}
