//! The end-to-end comparison with a floor, on this machine, side by side.
//!
//! The floor is a bare tokio loop that does the same exchanges with the same target (`resurge serve` in a process of its
//! own) by writing fixed bytes: a token request, a TCP connection, an upgrade, the target's close frame and its answer.
//! It parses nothing, measures nothing, records nothing. What resurge costs more than that is its own.
//!
//! `cargo bench --bench reconnect_storm` prints ratios; `-- --quick` takes a tenth of the sessions, and a word as `cpu`, `storm`, `memory`,
//! `deflate` or `growth` that part alone. Times of such short runs differ between machines and minutes: only the ratios say something.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

#[path = "reconnect_storm/deflate.rs"]
mod deflate;
#[path = "reconnect_storm/floor.rs"]
mod floor;
#[path = "reconnect_storm/growth.rs"]
mod growth;
#[path = "reconnect_storm/scenario.rs"]
mod scenario;
#[path = "reconnect_storm/spent.rs"]
mod spent;
#[path = "reconnect_storm/target.rs"]
mod target;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use resurge::clock::{Clock, Moment};

use deflate::{show_deflate, zlib_alone};
use floor::floor;
use growth::show_growth;
use scenario::{scenario, scenario_of};
use spent::{Spent, children_cpu_s, resident_of};
use target::Target;

const RESURGE: &str = env!("CARGO_BIN_EXE_resurge");
/// How long the target lets a session idle.
const IDLE: &str = "1s";
/// How large a comparison is.
#[derive(Clone, Copy)]
struct Size {
    clients: usize,
    seconds: u64,
    idle_clients: usize,
    tls_clients: usize,
    deflate_clients: usize,
    rounds: usize,
    /// Clients of each step of growth.
    growth: &'static [usize],
}

const FULL: Size = Size {
    clients: 2_000,
    seconds: 20,
    idle_clients: 15_000,
    tls_clients: 5_000,
    deflate_clients: 2_000,
    rounds: 3,
    growth: &[1_000, 5_000, 15_000, 100_000],
};
const QUICK: Size = Size {
    clients: 500,
    seconds: 6,
    idle_clients: 2_000,
    tls_clients: 500,
    deflate_clients: 500,
    rounds: 1,
    growth: &[500, 1_000],
};

/// A part of the comparison.
type Part = fn(Size);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        let address = arguments[at + 1].parse().unwrap();
        let number = |offset: usize| arguments[at + offset].parse().unwrap();
        return floor(address, number(2), number(3), 5.0);
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--storm-floor") {
        // Each is thrown off once.
        let address = arguments[at + 1].parse().unwrap();
        let clients: usize = arguments[at + 2].parse().unwrap();
        return floor(address, clients, 2, start_s(clients));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--zlib") {
        return zlib_alone(
            arguments[at + 1].parse().unwrap(),
            arguments[at + 2] == "1",
            arguments[at + 3] == "1",
        );
    }
    // `cargo bench --no-run` and `cargo test --benches` must not start a load.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let size = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let parts: [(&str, Part); 5] = [
        ("cpu", compare_cpu),
        ("storm", compare_storm),
        ("memory", compare_memory),
        ("deflate", show_deflate),
        ("growth", show_growth),
    ];
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !parts.iter().any(|(name, _)| is_named(name));
    parts.iter().filter(|(name, _)| all || is_named(name)).for_each(|(_, part)| part(size));
}

/// Over how many seconds so many clients start: gently, for the start is not what is measured.
fn start_s(clients: usize) -> f64 {
    (clients as f64 / 1_500.0).max(1.0)
}

fn compare_cpu(size: Size) {
    println!(
        "CPU of the client process, {} clients for {} s, idle timeout {IDLE}:",
        size.clients, size.seconds
    );
    let mut ratios = Vec::new();
    for round in 1..=size.rounds {
        let ours = run_resurge(size);
        let sessions_each = (ours.sessions / size.clients as f64).round().max(1.0) as usize;
        let floor = run_floor(size.clients, sessions_each);
        let ratio = ours.ms_per_thousand() / floor.ms_per_thousand();
        println!(
            "  round {round}: resurge {:6.1} ms per 1,000 sessions ({:.0}), floor {:6.1} ms ({:.0}), ratio {ratio:.2}",
            ours.ms_per_thousand(),
            ours.sessions,
            floor.ms_per_thousand(),
            floor.sessions,
        );
        ratios.push(ratio);
    }
    println!("  median ratio {:.2}", median(ratios));
}

/// How long it takes until all are back whom the target threw off at one moment: the same for both, told by the target.
fn compare_storm(size: Size) {
    let clients = size.idle_clients;
    println!("A storm: all of {clients} clients thrown off at once, each back by a token of its own:");
    let mut ratios = Vec::new();
    for round in 1..=size.rounds {
        let ours = storm_s(clients, |target, folder| {
            start_resurge(folder, &scenario(target.address, clients, 60, start_s(clients)))
        });
        let theirs = storm_s(clients, |target, _| start_floor(target, clients));
        let rate = |seconds: f64| clients as f64 / seconds;
        println!(
            "  round {round}: resurge {ours:.2} s ({:.0} sessions/s), floor {theirs:.2} s ({:.0} sessions/s), ratio {:.2}",
            rate(ours),
            rate(theirs),
            ours / theirs
        );
        ratios.push(ours / theirs);
    }
    println!("  median ratio {:.2}", median(ratios));
}

/// Seconds from the storm until `clients` sessions are open again.
fn storm_s(clients: usize, start: impl Fn(&Target, &Path) -> Child) -> f64 {
    let target = Target::start("never", false);
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(&target, folder.path());
    target.wait_for_sessions(clients);
    std::thread::sleep(Duration::from_secs(3));
    let before = target.counter("upgrades");
    let clock = Clock::start();
    target.storm();
    while target.counter("upgrades") < before + clients as u64 {
        assert!(clock.now() < Moment::ZERO + Duration::from_secs(60), "not everyone came back");
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = clock.now().since(Moment::ZERO).as_secs_f64();
    process.kill().unwrap();
    process.wait().unwrap();
    took
}

fn compare_memory(size: Size) {
    println!("Resident memory of the client process, against a separate target:");
    for (what, clients, is_secure) in
        [("plain", size.idle_clients, false), ("with TLS", size.tls_clients, true)]
    {
        let empty = resident_kib(1, is_secure);
        let full = resident_kib(clients, is_secure);
        let each = (full - empty) * 1024.0 / (clients - 1) as f64;
        println!(
            "  {what}: 1 client {empty:.0} KiB, {clients} idle clients {full:.0} KiB: {each:.0} bytes for each"
        );
    }
    let clients = size.idle_clients;
    let floor = (floor_kib(clients) - floor_kib(1)) * 1024.0 / (clients - 1) as f64;
    println!("  the floor, plain: {floor:.0} bytes for each of {clients}");
}

/// Resident memory of the floor while its clients are connected and idle.
fn floor_kib(clients: usize) -> f64 {
    let target = Target::start("never", false);
    let mut process = start_floor(&target, clients);
    target.wait_for_sessions(clients);
    std::thread::sleep(Duration::from_secs(7));
    let kib = resident_of(process.id());
    process.kill().unwrap();
    process.wait().unwrap();
    kib
}

/// The floor, each of whose clients has two sessions.
fn start_floor(target: &Target, clients: usize) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--storm-floor", &target.address.to_string(), &clients.to_string()];
    Command::new(program).args(arguments).spawn().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn start_resurge(folder: &Path, scenario: &str) -> Child {
    let file = folder.join("bench.toml");
    fs::write(&file, scenario).unwrap();
    Command::new(RESURGE)
        .args(["run", file.to_str().unwrap(), "--progress", "none", "--out"])
        .arg(folder.join("run"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn run_resurge(size: Size) -> Spent {
    let target = Target::start(IDLE, false);
    let folder = tempfile::tempdir().unwrap();
    let before = children_cpu_s();
    let over = (size.seconds as f64 / 4.0).max(1.0);
    let mut process =
        start_resurge(folder.path(), &scenario(target.address, size.clients, size.seconds, over));
    let status = process.wait().unwrap();
    assert!(status.success(), "resurge run ended with {status}");
    let cpu_s = children_cpu_s() - before;
    Spent { sessions: sessions_of(folder.path()), cpu_s }
}

/// Sessions that a run in `folder` opened.
fn sessions_of(folder: &Path) -> f64 {
    let mut reader = csv::Reader::from_path(folder.join("run/outcomes.csv")).unwrap();
    let rows = reader.records().map(|row| row.unwrap());
    rows.filter(|row| &row[2] == "ok").map(|row| row[4].parse::<f64>().unwrap()).sum()
}

fn run_floor(clients: usize, sessions_each: usize) -> Spent {
    let target = Target::start(IDLE, false);
    let before = children_cpu_s();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--floor", &target.address.to_string(), &clients.to_string(), &sessions_each.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "the floor ended with {status}");
    Spent { sessions: (clients * sessions_each) as f64, cpu_s: children_cpu_s() - before }
}

/// Resident memory of `resurge run` while `clients` idle clients are connected to a separate target.
fn resident_kib(clients: usize, is_secure: bool) -> f64 {
    let target = Target::start("never", is_secure);
    let folder = tempfile::tempdir().unwrap();
    let ca = target.is_secure.then(|| target.folder.path().join("ca.pem"));
    let text = scenario_of(target.address, clients, 60, start_s(clients), ca.as_deref());
    let mut process = start_resurge(folder.path(), &text);
    target.wait_for_sessions(clients);
    // What the connecting needed is given back soon after.
    std::thread::sleep(Duration::from_secs(7));
    let kib = resident_of(process.id());
    process.kill().unwrap();
    process.wait().unwrap();
    kib
}
