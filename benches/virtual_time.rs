//! Virtual time: sessions and events for each second of CPU, and bytes for each client.
//!
//! `cargo bench --bench virtual_time` prints a table; `-- --quick` takes a tenth of the clients and of the time. Nothing here passes or fails.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and stops at what it does not expect"
)]

use std::time::Duration;

use resurge::machine;
use resurge::record::Journal;
use resurge::report::RunModel;
use resurge::run::{InMemory, SimulateRequest, VIRTUAL_START_UNIX_US, simulate, simulation_of};
use resurge::sample::Outcome;
use resurge::scenario::load;

const GROUP: &str = "[[groups]]\nname = \"g\"\nclients = CLIENTS\nstart = { over = \"START\" }\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\non_reconnect = \"fetch\"\nmax_connections = 100_000\n[groups.reconnect]\nbackoff = BACKOFF\n";

struct Row {
    name: &'static str,
    scenario: String,
}

fn scenario(target: &str, storm: &str, clients: u64, times: [&str; 2], backoff: &str) -> String {
    let [duration, start] = times;
    let group =
        GROUP.replace("CLIENTS", &clients.to_string()).replace("START", start).replace("BACKOFF", backoff);
    format!("seed = 1\nduration = \"{duration}\"\n[target]\n{target}\n{group}{storm}")
}

fn rows(scale: u64) -> Vec<Row> {
    let storm = "[[storms]]\nat = \"30s\"\ncode = 1012\n";
    let full = "{ kind = \"exponential\", base = \"10s\", max = \"30s\", jitter = \"full\" }";
    let busy = "idle_timeout = \"never\"\ntoken_capacity = { servers = 64, service = { exponential = \"1ms\" }, queue = 1_000_000 }";
    let hours = if scale == 1 { "24h" } else { "2400s" };
    vec![
        Row {
            name: "a storm, each client back by a token of its own",
            scenario: scenario("idle_timeout = \"never\"", storm, 1_000_000 / scale, ["60s", "20s"], full),
        },
        Row {
            name: "the same against a token endpoint of 64 servers",
            scenario: scenario(busy, storm, 1_000_000 / scale, ["60s", "20s"], full),
        },
        Row {
            name: "10,000 clients, closed after 60 s of silence",
            scenario: scenario("idle_timeout = \"60s\"", "", 10_000, [hours, "60s"], "{ kind = \"none\" }"),
        },
    ]
}

fn main() {
    // cargo's own argument says that it is a bench; cargo test runs none.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let scale = if std::env::args().any(|argument| argument == "--quick") { 10 } else { 1 };
    println!(
        "| what | clients | sessions | CPU, driver and totals | events for each second of it | sessions likewise | CPU, with run folder | bytes for each client |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (nth, row) in rows(scale).into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bench.toml");
        std::fs::write(&file, &row.scenario).unwrap();
        let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap();
        let clients = u64::from(loaded.scenario.clients());
        let simulation = simulation_of(loaded, None).unwrap();
        // The high-water mark only grows: the first row is the largest, and tells.
        let before = machine::max_rss_bytes().unwrap();
        let ((journal, events), alone) = timed(|| {
            let (journal, end) = simulation.run_audited(InMemory::Totals, None);
            (journal, end.events)
        });
        let bytes = machine::max_rss_bytes().unwrap().saturating_sub(before) / clients;
        let bytes = if nth == 0 { bytes.to_string() } else { "-".to_owned() };
        let sessions = sessions(journal);
        let ((), whole) = timed(|| {
            let out = Some(folder.path().join("run"));
            let request = SimulateRequest {
                scenario: file.clone(),
                overrides: Vec::new(),
                seed: None,
                clients: None,
                calibrate: None,
                start_unix_us: VIRTUAL_START_UNIX_US,
                out,
                threads: 2,
                attempts: false,
                on_progress: None,
            };
            assert_eq!(simulate(request).unwrap().model.verdict.exit_code.number(), 0);
        });
        let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
        println!(
            "| {} | {clients} | {sessions} | {:.1} s | {:.2} M | {:.0} k | {:.1} s | {bytes} |",
            row.name,
            alone.as_secs_f64(),
            per_second(events, alone) / 1e6,
            per_second(sessions, alone) / 1e3,
            whole.as_secs_f64(),
        );
    }
}

fn sessions(journal: Journal) -> u64 {
    RunModel::new(journal).all.outcome(Outcome::Ok)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = machine::cpu_time().unwrap();
    let result = work();
    (result, machine::cpu_time().unwrap().saturating_sub(before))
}
