//! A run that is killed with SIGKILL at any moment loses at most its last second, and what is left is the truth.
//!
//! The truth is told by a target outside the killed process: its counters over time. Default: six kills. `RESURGE_KILLS=200` makes it two hundred, eight at a time.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use resurge::clock::{Clock, Moment};
use resurge::random::{Draws, Purpose};
use resurge::record::{JournalError, read_journal};
use resurge::report::RunModel;
use resurge::run::{FoundError, read_run_folder};
use resurge::sample::Counter;
use resurge::scenario::keys::TargetRules;
use resurge::service::server::{EVENTS_PATH, Server, ServerSetup, TOKEN_PATH};

use crate::support::output::text;
use crate::support::processes::processes_of;
use crate::support::program::resurge;
use crate::support::scene::Scene;

/// A run's journal may lack so much: the second that was open.
const SECOND_US: u64 = 1_000_000;
/// And what a machine that is short of processors takes to close it: this is a test of what is written, and not of how fast.
const STARVED_US: u64 = 2_000_000;
/// Kills at a time, where there are many.
const AT_ONCE: usize = 8;

/// Clients of which each comes and goes several times a second.
const BUSY: &str = r#"
seed = 5
duration = "60s"
[health]
max_lag_p99 = "60s"
max_stall = "60s"
[target]
kind = "remote"
url = "ws://ADDRESS/EVENTS"
token_url = "http://ADDRESS/TOKEN"
[[groups]]
name = "g"
clients = 20
start = { over = "500ms" }
token = { client_id = "a", client_secret = "b", on_reconnect = "fetch" }
reconnect = { backoff = { kind = "none" } }
"#;

/// How a run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In one process, once its journal is begun.
    Running,
    /// In one process, at any moment from its start.
    Young,
    /// In three processes, all of them.
    Sharded,
}

/// What the target had seen at some moment.
#[derive(Debug, Clone, Copy)]
struct Seen {
    unix_us: u64,
    upgrades: u64,
    tokens: u64,
}

struct Target {
    server: Server,
    seen: Mutex<Vec<Seen>>,
    clock: Clock,
}

impl Target {
    fn start() -> Self {
        let rules = TargetRules { idle_timeout: Some(Duration::from_millis(200)), ..TargetRules::default() };
        let clock = Clock::start();
        let setup = ServerSetup {
            control_token: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rules,
            seed: 11,
            clock,
            worker_threads: 1,
            control: None,
            tls: None,
        };
        Self { server: Server::start(setup).unwrap(), seen: Mutex::default(), clock }
    }

    fn now_us(&self) -> u64 {
        self.clock.unix_us(self.clock.now())
    }

    fn look(&self) -> Seen {
        let counters = self.server.counters();
        let (upgrades, tokens) = (counters.upgrades, counters.tokens_issued);
        let seen = Seen { unix_us: self.now_us(), upgrades, tokens };
        self.seen.lock().unwrap().push(seen);
        seen
    }

    /// Looks again and again until `until_us`.
    fn watch(&self, until_us: u64) {
        while self.now_us() < until_us {
            self.look();
            std::thread::sleep(
                Duration::from_millis(20).min(Duration::from_micros(until_us.saturating_sub(self.now_us()))),
            );
        }
    }

    /// The last that was seen before `unix_us`.
    fn seen_by(&self, unix_us: u64) -> Option<Seen> {
        self.seen.lock().unwrap().iter().rfind(|seen| seen.unix_us <= unix_us).copied()
    }
}

/// The journals of a run's folder that there are.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let shards = ["shards/1", "shards/2"].map(|shard| folder.join(shard));
    let all = [folder.to_owned()].into_iter().chain(shards).map(|folder| folder.join("journal.bin"));
    all.filter(|journal| journal.is_file()).collect()
}

fn kill_all(child: &mut Child, file: &Path) {
    // Shards first: those whose parent is gone would end in good order.
    let shards = processes_of(file).into_values().filter(|pid| *pid != child.id());
    let pids: Vec<String> = shards.chain([child.id()]).map(|pid| pid.to_string()).collect();
    // One that is gone meanwhile is as good as killed.
    let _ = Command::new("kill").args(["-s", "KILL"]).args(&pids).stderr(Stdio::null()).status().unwrap();
    child.wait().unwrap();
    while !processes_of(file).is_empty() {
        std::thread::yield_now();
    }
}

fn report(folder: &Path, more: &[&str]) -> Output {
    resurge().arg("report").arg(folder).args(more).output().unwrap()
}

/// Kills one run, and checks what is left; answers with how much of it is missing, in microseconds, where it had begun.
fn kill_one(kind: Kind, wait: Duration) -> Option<u64> {
    let target = Target::start();
    let address = target.server.addr().to_string();
    let text = BUSY.replace("ADDRESS", &address);
    let scene = Scene::new(&text.replace("/EVENTS", EVENTS_PATH).replace("/TOKEN", TOKEN_PATH));
    let (file, folder) = (scene.file(), scene.path("run"));
    let sharded: &[&str] = if kind == Kind::Sharded { &["--shards", "2"] } else { &[] };
    let mut command = scene.command("run", sharded);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = if kind == Kind::Sharded { 2 } else { 1 };
    while kind != Kind::Young && journals(&folder).len() < begun {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before it was killed");
        target.look();
        std::thread::sleep(Duration::from_millis(5));
    }
    target.watch(target.now_us() + u64::try_from(wait.as_micros()).unwrap());
    let before: Vec<_> = journals(&folder).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let killed_us = target.now_us();
    kill_all(&mut child, &file);
    for (before, path) in before {
        assert!(fs::read(&path).unwrap().starts_with(&before), "a journal only grows: {}", path.display());
    }
    check_left(&target, &folder, killed_us, kind)
}

fn check_left(target: &Target, folder: &Path, killed_us: u64, kind: Kind) -> Option<u64> {
    let output = report(folder, &[]);
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    let found = read_run_folder(folder);
    if let Err(
        FoundError::NoFolder { .. }
        | FoundError::NoJournal { .. }
        | FoundError::Journal(JournalError::Empty { .. }),
    ) = &found
    {
        // It was killed before its first entry was written.
        assert_eq!(kind, Kind::Young, "{said}");
        assert_eq!(output.status.code(), Some(65), "{said}");
        return None;
    }
    let found = found.unwrap().journal;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(shown.starts_with("INCOMPLETE") && shown.contains("the run's end is missing"), "{shown}");
    assert!(said.contains("this run was cut off") && said.contains("Missing are the seconds from"), "{said}");
    assert!(!folder.join("run.json").exists(), "nobody has reported it yet");
    let started_us = found.manifest.started_unix_us;
    let held_us = journals(folder).iter().map(|path| held_us(path)).min().unwrap();
    let model = RunModel::new(found);
    assert!(model.account_faults.is_empty(), "{:?}", model.account_faults);
    assert_eq!(model.verdict.exit_code.number(), 111);
    // No more than the target had seen by the end, no less than it had seen well before what is held ends.
    let (upgrades, tokens) =
        (model.all.counter(Counter::Upgrades), model.all.counter(Counter::TokensFetched));
    let most = target.look();
    assert!(
        upgrades <= most.upgrades && tokens <= most.tokens,
        "{upgrades} upgrades, {tokens} tokens of {most:?}"
    );
    if let Some(least) =
        target.seen_by((started_us + held_us).saturating_sub(SECOND_US)).filter(|_| held_us > 0)
    {
        assert!(
            upgrades >= least.upgrades && tokens >= least.tokens,
            "{upgrades} upgrades, {tokens} tokens of {least:?}"
        );
    }
    check_json(folder, &model);
    // A shard's clock starts a little after its journal.
    let missing_us = killed_us.saturating_sub(started_us + held_us);
    assert!(missing_us <= SECOND_US + STARVED_US, "{missing_us} us are missing: {said}");
    Some(missing_us)
}

/// How much of its run a journal holds, in microseconds.
fn held_us(journal: &Path) -> u64 {
    let journal = read_journal(journal).unwrap();
    assert_eq!(journal.end, None);
    journal.intervals.last().map_or(0, |(second, _)| (second + 1) * SECOND_US)
}

/// What the program says is what the journal holds: every attempt has one outcome.
fn check_json(folder: &Path, model: &RunModel) {
    let output = report(folder, &["--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = &json["accounting"]["all"];
    let outcomes: u64 =
        all["outcomes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(all["attempts"].as_u64(), Some(outcomes));
    assert_eq!(outcomes, model.all.attempts_total());
    assert_eq!(
        (&json["accounting"]["closes"], &json["ended"]),
        (&serde_json::Value::Bool(true), &serde_json::Value::Null)
    );
}

#[test]
fn a_run_killed_at_any_moment_loses_at_most_its_last_second() {
    let kills: u64 = std::env::var("RESURGE_KILLS").map_or(6, |text| text.parse().unwrap());
    let seed = Clock::start().unix_us(Moment::ZERO);
    let (next, missing) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= kills {
                return;
            }
            let drawn = Draws::new(seed, Purpose::Storm, u32::try_from(number).unwrap()).next_u64();
            let (kind, most_ms) = match number % 3 {
                0 => (Kind::Running, 3_000),
                1 => (Kind::Young, 600),
                _ => (Kind::Sharded, 3_000),
            };
            let wait = Duration::from_micros(drawn % (most_ms * 1_000));
            // Where it fails, this is what failed.
            let killed = std::panic::catch_unwind(|| kill_one(kind, wait));
            let killed =
                killed.unwrap_or_else(|_| panic!("kill {number} of seed {seed}: {kind:?} after {wait:?}"));
            missing.lock().unwrap().extend(killed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(usize::try_from(kills).unwrap()) {
            scope.spawn(work);
        }
    });
    let mut missing = missing.into_inner().unwrap();
    missing.sort_unstable();
    assert!(missing.len() as u64 >= kills * 2 / 3, "{} of {kills} runs had begun", missing.len());
    let (median, most) = (missing[missing.len() / 2], missing[missing.len() - 1]);
    let over = missing.iter().filter(|us| **us > SECOND_US).count();
    // Past the harness, which shows nothing of a test that passes.
    let told = format!(
        "{kills} kills, {} of runs that had begun: {:.3} s were missing in the middle, {:.3} s at most, more than 1 s in {over}\n",
        missing.len(),
        median as f64 / 1e6,
        most as f64 / 1e6
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}
