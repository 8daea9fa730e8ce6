//! Targets that read files: scenarios, overrides, journals, baselines, feeders.
//!
//! In: bytes. Out: kinds of results.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use resurge::clock::Moment;
use resurge::compare::{Repeat, RunSet, Settings, compare, pack_baseline, read_baseline};
use resurge::engine::StopReason;
use resurge::plan::{Machine, Share, check_budget, needs, shards_needed, starts};
use resurge::record::{
    Entry, GeneratorHealth, GroupManifest, HostManifest, Journal, JournalWriter, Manifest, PackedTally,
    RunEnd, SCHEMA_VERSION, Steps, Tally, read_journal,
};
use resurge::report::{
    RunModel, Style, histograms_hlog, junit_xml, markdown, report_html, run_json, summary_csv, summary_text,
};
use resurge::sample::{
    AttemptEnd, AttemptKind, Cause, CloseKey, Counter, ErrorWord, ExchangeNews, Initiator, Outcome, Phases,
    ReadySample, Sample, SessionEnd, StormId, StreamNews, Talk, Traffic,
};
use resurge::scenario::{Faults, Loaded, ScenarioError, describe, load, load_for_traffic, load_target_rules};

use super::engine::Run;

/// A folder in memory, where there is one.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn kind_of(text: &str) -> u64 {
    // Numbers and names make no other kind.
    let words: String = text.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish() % 4_096
}

/// Every scenario that is shipped.
pub(crate) fn scenarios() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut texts = Vec::new();
    for folder in [root.clone(), root.join("services")] {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        texts.extend(
            files
                .iter()
                .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
                .map(|path| fs::read(path).unwrap()),
        );
    }
    let remote = "duration = \"1m\"\nlimits = { max_rate = \"9/s\" }\n[target]\nurl = \"wss://a.example/?key=1\"\ntoken_url = \"https://b.example/\"\n[[groups]]\nname = \"g\"\nclients = 9\nstart = { stages = [{ clients = 4, over = \"5s\" }, { clients = 5 }] }\n[groups.token]\nclient_id = \"c\"\nclient_secret = { env = \"S\" }\nclock_skew = \"-3s\"\n[groups.connect]\nproxy = \"http://u:p@h:1\"\nheaders = { X-Key = \"k\" }\n[[storms]]\nat = \"9s\"\nby = \"client\"\nfraction = \"50%\"\n";
    texts.push(remote.into());
    texts
}

pub(crate) const SCENARIO_WORDS: &[&[u8]] = &[
    b"duration",
    b"\"1s\"",
    b"\"99999999d\"",
    b"[[groups]]",
    b"[target]",
    b"clients",
    b"= 4294967295",
    b"start",
    b"{ over = \"0s\" }",
    b"{ rate = \"1e-300/s\" }",
    b"stages",
    b"token",
    b"{ env = \"A\" }",
    b"{ file = \".\" }",
    b"grant",
    b"\"none\"",
    b"\"fixed\"",
    b"backoff",
    b"\"exponential\"",
    b"factor = 1e300",
    b"max_attempts",
    b"headers",
    b"prepare",
    b"steps",
    b"save",
    b"\"/a\"",
    b"on_message",
    b"thresholds",
    b"\"p(99.999) < 1us\"",
    b"storms",
    b"fraction",
    b"\"0.0000001%\"",
    b"script",
    b"every",
    b"faults",
    b"share",
    b"window",
    b"uniform",
    b"log_normal",
    b"sigma",
    b"jitter",
    b"keep_alive",
    b"never",
    b"\"\"\"",
    b"\\u0000",
    b"\xc3\xa9",
    b"[[",
    b"]]",
    b"policy",
    b"profile",
    b"\"genesys\"",
    b"limits",
    b"token_limit",
    b"handshake_limit",
    b"{ count = 1, per = \"1s\" }",
    b"client_lock",
    b"tickets",
    b"routes",
    b"inf",
    b"nan",
    b"1979-05-27T07:32:00Z",
];

/// Where faults say that they are is in the text, and what is said of them can be shown.
fn look_at(faults: &Faults) -> u64 {
    for fault in &faults.faults {
        assert!(fault.span.start <= fault.span.end, "{fault:?}");
        assert!(fault.span.end <= faults.text.len(), "{fault:?} of {}", faults.text.len());
    }
    let shown = faults.render(false);
    assert!(!shown.is_empty() && !faults.faults.is_empty());
    kind_of(&faults.faults[0].message)
}

fn env(name: &str) -> Option<String> {
    (name != "UNSET").then(|| "value".to_owned())
}

/// What is done with a scenario before anything is connected to.
fn look_at_plan(loaded: &Loaded) {
    let scenario = &loaded.scenario;
    assert!(!describe(loaded).is_empty());
    let machine = Machine { descriptors: 20_000, ports: 28_000, cores: 2, target_addresses: 1 };
    let _ = (
        needs(scenario, Share::WHOLE, 1),
        check_budget(scenario, &machine, Share::WHOLE),
        shards_needed(scenario, &machine),
    );
    for index in 0..scenario.groups.len() {
        let mut last = Moment::ZERO;
        for arrival in starts(scenario, index).take(200) {
            assert!(arrival.at >= last && arrival.leaves >= arrival.at, "clients start in order");
            last = arrival.at;
        }
    }
}

pub(crate) fn scenario() -> Run {
    let folder = folder();
    let file = folder.path().join("s.toml");
    Box::new(move |bytes| {
        let _keeps = &folder;
        fs::write(&file, bytes).unwrap();
        let loaded = match load_for_traffic(&file, &Vec::new(), None, &env) {
            Ok(loaded) => loaded,
            Err(ScenarioError::Faults(faults)) => return look_at(&faults),
            Err(_) => return 1,
        };
        look_at_plan(&loaded);
        fs::write(&file, &loaded.copy).unwrap();
        match load(&file, &Vec::new(), None, &env) {
            Ok(again) => {
                assert_eq!((again.copy, again.hash), (loaded.copy, loaded.hash), "a copy is its own copy");
            }
            // A reference that stands for a URL has none here.
            Err(error) => assert!(loaded.copy.contains("RESURGE_"), "a copy can be run: {error}"),
        }
        5_000 + loaded.scenario.groups.len() as u64
    })
}

/// `path NUL value`: overrides of a scenario.
pub(crate) fn overrides() -> Run {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bad-day.toml");
    Box::new(move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let set: Vec<(String, String)> = text
            .split('\n')
            .filter_map(|line| line.split_once('\0'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        match load(&file, &set, None, &env) {
            Ok(_) => 1,
            Err(ScenarioError::Faults(faults)) => look_at(&faults),
            Err(_) => 2,
        }
    })
}

/// The keys of `[target]` as a file of their own.
pub(crate) fn profile() -> Run {
    let folder = folder();
    let file = folder.path().join("p.toml");
    Box::new(move |bytes| {
        let _keeps = &folder;
        fs::write(&file, bytes).unwrap();
        match load_target_rules(file.to_str().unwrap(), &[], &env) {
            Ok(rules) => 5_000 + rules.routes.len() as u64,
            Err(ScenarioError::Faults(faults)) => look_at(&faults),
            Err(_) => 1,
        }
    })
}

/// Credentials of many clients.
pub(crate) fn feeder() -> Run {
    let folder = folder();
    let text = "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\nfeeder = \"f.csv\"\n";
    let (scenario, file) = (folder.path().join("s.toml"), folder.path().join("f.csv"));
    fs::write(&scenario, text).unwrap();
    Box::new(move |bytes| {
        let _keeps = &folder;
        fs::write(&file, bytes).unwrap();
        match load(&scenario, &Vec::new(), None, &env) {
            Ok(_) => 1,
            Err(ScenarioError::Faults(faults)) => look_at(&faults),
            Err(_) => 2,
        }
    })
}

fn tally(second: u64) -> Tally {
    let mut tally = Tally::default();
    let ms = Duration::from_millis;
    for n in 0..20_u64 {
        let outcome = [Outcome::Ok, Outcome::Http403, Outcome::Timeout][(n % 3) as usize];
        let cause = (outcome == Outcome::Http403).then_some(Cause::StaleToken);
        let kind = if n % 2 == 0 { AttemptKind::First } else { AttemptKind::Reconnect };
        let latency = ms(1 + n * (second + 1));
        tally.apply(&Sample::Attempt(AttemptEnd {
            kind,
            outcome,
            cause,
            answer: None,
            latency,
            token_age: Some(latency),
        }));
        if outcome == Outcome::Ok {
            let storm = (kind == AttemptKind::Reconnect).then_some(StormId(0));
            tally.apply(&Sample::Ready(Box::new(ReadySample {
                kind,
                storm,
                latency,
                service_time: latency,
                phases: Phases::default(),
            })));
            tally.apply(&Sample::SessionEnd(SessionEnd {
                key: CloseKey::unsaid(Initiator::Target, 1001, None),
                length: ms(900),
            }));
        }
    }
    tally.apply(&Sample::StormDisconnect(StormId(0)));
    let exchange = ExchangeNews { sent: 2, ok: 1, latencies_us: vec![15_000], ..ExchangeNews::default() };
    let stream = StreamNews { messages: 2, latencies_us: vec![-40, 90], ..StreamNews::default() };
    let kinds = vec![(ErrorWord::new("tick"), 2), (None, 1)];
    let talk = Talk { exchanges: vec![(0, exchange)], streams: vec![(0, stream)], kinds };
    tally.apply(&Sample::Talk(Box::new(talk)));
    tally.apply(&Sample::Count(Counter::ClientsStarted, 20));
    tally.apply(&Sample::Traffic(Box::new(Traffic {
        messages_in: 3,
        bytes_in: 300,
        message_latencies_us: vec![9, 900, 90_000],
        ..Traffic::default()
    })));
    tally
}

fn manifest() -> Manifest {
    let group = |name: &str| GroupManifest { name: name.into(), clients: 20 };
    Manifest {
        steps: Vec::new(),
        token_pointers: Vec::new(),
        talks: Vec::new(),
        simulated: None,
        schema_version: SCHEMA_VERSION,
        tool_version: "0".into(),
        scenario: "fuzz".into(),
        scenario_hash: "h".into(),
        scenario_text: "name = \"fuzz\"\n".into(),
        seed: 42,
        started_unix_us: 1_700_000_000_000_000,
        duration_s: 4.0,
        target_kind: "embedded".into(),
        target_url: "ws://127.0.0.1:1/".into(),
        authorised_hosts: vec!["a.example".into()],
        shards: 1,
        held: vec![1],
        lost: Vec::new(),
        absent: Vec::new(),
        workers: Vec::new(),
        groups: vec![group("a"), group("b")],
        storms: Vec::new(),
        observed: Vec::new(),
        thresholds: vec![
            "reconnect_latency: p(99) < 1s".into(),
            "handshake_403_rate{group:a}: rate < 1%".into(),
        ],
        host: HostManifest { cores: 2, kernel: "k".into(), descriptor_limit: 20_000, local_ports: 28_000 },
    }
}

/// A journal of four seconds, with its end or without.
fn journal_bytes(with_end: bool) -> Vec<u8> {
    let folder = folder();
    let file = folder.path().join("journal.bin");
    let mut writer = JournalWriter::create(&file, &manifest()).unwrap();
    for second in 0..4 {
        let groups = vec![PackedTally::of(&tally(second)), PackedTally::of(&tally(second + 9))];
        writer.append(&Entry::Interval { second, groups }).unwrap();
    }
    if with_end {
        let end = RunEnd {
            reason: StopReason::Completed,
            elapsed_s: 4.2,
            clients_planned: 40,
            drained: true,
            health: GeneratorHealth::default(),
            target_counters: None,
            write_faults: Vec::new(),
            first_starts: Vec::new(),
            delays: Steps::default(),
            stalls: Steps::default(),
            target_reconnects: None,
        };
        writer.append(&Entry::End(Box::new(end))).unwrap();
    }
    drop(writer);
    fs::read(&file).unwrap()
}

pub(crate) fn journals() -> Vec<Vec<u8>> {
    vec![journal_bytes(true), journal_bytes(false)]
}

fn read_bytes(file: &Path, bytes: &[u8]) -> Result<Journal, u64> {
    fs::write(file, bytes).unwrap();
    read_journal(file).map_err(|error| kind_of(&error.to_string().replace(&file.display().to_string(), "")))
}

/// Damaged journals: what is read of one is true.
pub(crate) fn journal() -> Run {
    let folder = folder();
    let file = folder.path().join("journal.bin");
    let truth = read_bytes(&file, &journal_bytes(true)).unwrap();
    Box::new(move |bytes| {
        let _keeps = &folder;
        let journal = match read_bytes(&file, bytes) {
            Ok(journal) => journal,
            Err(kind) => return kind,
        };
        for (second, groups) in &journal.intervals {
            let (_, true_groups) = &truth.intervals[usize::try_from(*second).unwrap()];
            assert_eq!(groups, true_groups, "second {second} is as it was written");
        }
        5_000 + 10 * journal.intervals.len() as u64 + u64::from(journal.end.is_some())
    })
}

/// Bytes before a journal's first frame, and before a frame's payload.
const JOURNAL_HEAD: usize = 8;
const FRAME_HEAD: usize = 12;

/// A journal whose frames have lengths and checksums that fit, whatever is in them.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut mended = b"RSRGJR02".to_vec();
    let mut rest = bytes.get(JOURNAL_HEAD..).unwrap_or_default();
    while let Some((head, behind)) = rest.split_at_checked(FRAME_HEAD) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (payload, next) = behind.split_at(length.clamp(1, behind.len().max(1)).min(behind.len()));
        let (offset, at) = (mended.len() as u64, mended.len());
        mended.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        mended.extend(crc32c::crc32c(payload).to_le_bytes());
        let head = crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), &mended[at..]);
        mended.extend(head.to_le_bytes());
        mended.extend(payload);
        rest = next;
    }
    mended
}

/// Journals that somebody has made: whatever they say, reports and comparisons can be made of them.
pub(crate) fn made_journal() -> Run {
    let folder = folder();
    let file = folder.path().join("journal.bin");
    let usual = Repeat::of(&RunModel::new(read_bytes(&file, &journal_bytes(true)).unwrap()), "usual");
    let mut nth = 0_u64;
    Box::new(move |bytes| {
        let _keeps = &folder;
        let journal = match read_bytes(&file, &with_checksums(bytes)) {
            Ok(journal) => journal,
            Err(kind) => return kind,
        };
        let ended = journal.end.is_some();
        let model = RunModel::new(journal);
        let mut written = summary_text(&model, Style { colour: false }).len();
        nth += 1;
        if nth.is_multiple_of(8) {
            written += markdown(&model).len()
                + junit_xml(&model).unwrap().len()
                + summary_csv(&model).unwrap().len();
            written +=
                serde_json::to_string(&run_json(&model)).unwrap().len() + histograms_hlog(&model).len();
            written += report_html(&model).unwrap().len();
            look_at_repeat(&usual, Repeat::of(&model, "made"));
        }
        assert!(written > 0);
        5_000 + kind_of(model.verdict.status.title()) + u64::from(ended)
    })
}

fn look_at_repeat(usual: &Repeat, made: Repeat) {
    let set = |repeat: Repeat| RunSet { name: "x".into(), repeats: vec![repeat], is_baseline: false };
    let settings = Settings::default();
    let _ = compare(&set(usual.clone()), &set(made.clone()), &settings);
    let _ = compare(&set(made.clone()), &set(made), &settings);
}

fn usual_repeat() -> Repeat {
    let folder = folder();
    let file = folder.path().join("journal.bin");
    Repeat::of(&RunModel::new(read_bytes(&file, &journal_bytes(true)).unwrap()), "usual")
}

pub(crate) fn baselines() -> Vec<Vec<u8>> {
    let repeat = usual_repeat();
    vec![pack_baseline(std::slice::from_ref(&repeat)).unwrap(), pack_baseline(&vec![repeat; 3]).unwrap()]
}

/// Damaged baselines are refused.
pub(crate) fn baseline() -> Run {
    let valid = baselines();
    Box::new(move |bytes| match read_baseline(bytes, "x") {
        Ok(repeats) => {
            assert!(valid.iter().any(|known| known == bytes), "what was changed is found out");
            5_000 + repeats.len() as u64
        }
        Err(error) => kind_of(&error.to_string()),
    })
}

/// The contents of baselines, before they are packed.
pub(crate) fn baseline_contents() -> Vec<Vec<u8>> {
    baselines()
        .iter()
        .map(|bytes| {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&bytes[16..]), &mut plain)
                .unwrap();
            plain
        })
        .collect()
}

/// Baselines that somebody has made.
pub(crate) fn made_baseline() -> Run {
    let usual = usual_repeat();
    let mut nth = 0_u64;
    Box::new(move |bytes| {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        let rest = packer.finish().unwrap();
        let mut file = b"RSRGBASE".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(crc32c::crc32c(&rest).to_le_bytes());
        file.extend(rest);
        match read_baseline(&file, "x") {
            Ok(repeats) => {
                nth += 1;
                // A comparison resamples, and takes its time.
                for repeat in repeats.iter().take(1).filter(|_| nth.is_multiple_of(16)) {
                    look_at_repeat(&usual, repeat.clone());
                }
                5_000 + repeats.len() as u64
            }
            Err(error) => kind_of(&error.to_string()),
        }
    })
}
