//! The end-to-end comparison with a floor, on this machine, side by side.
//!
//! The floor is a bare tokio loop that does the same exchanges with the same target (`resurge serve` in a process of its
//! own) by writing fixed bytes: a token request, a TCP connection, an upgrade, the target's close frame and its answer.
//! It parses nothing, measures nothing, records nothing. What resurge costs more than that is its own.
//!
//! `cargo bench --bench reconnect_storm` prints ratios; `-- --quick` takes a tenth of the sessions, and a word as `cpu`, `storm`, `memory` or
//! `growth` that part alone. Times of such short runs differ between machines and minutes: only the ratios say something.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use resurge::clock::{Clock, Moment};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};

const RESURGE: &str = env!("CARGO_BIN_EXE_resurge");
/// Connections over which tokens are fetched, on both sides.
const TOKEN_CONNECTIONS: usize = 64;
/// How long the target lets a session idle.
const IDLE: &str = "1s";
/// Ticks per second in `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;

/// How large a comparison is.
#[derive(Clone, Copy)]
struct Size {
    clients: usize,
    seconds: u64,
    idle_clients: usize,
    tls_clients: usize,
    rounds: usize,
    /// Clients of each step of growth.
    growth: &'static [usize],
}

const FULL: Size = Size {
    clients: 2_000,
    seconds: 20,
    idle_clients: 15_000,
    tls_clients: 5_000,
    rounds: 3,
    growth: &[1_000, 5_000, 15_000, 100_000],
};
const QUICK: Size = Size {
    clients: 500,
    seconds: 6,
    idle_clients: 2_000,
    tls_clients: 500,
    rounds: 1,
    growth: &[500, 1_000],
};

/// What a process spent on a number of sessions.
#[derive(Clone, Copy)]
struct Spent {
    sessions: f64,
    cpu_s: f64,
}

impl Spent {
    fn ms_per_thousand(self) -> f64 {
        self.cpu_s * 1e6 / self.sessions
    }
}

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
    // `cargo bench --no-run` and `cargo test --benches` must not start a load.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let size = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let parts: [(&str, Part); 4] =
        [("cpu", compare_cpu), ("storm", compare_storm), ("memory", compare_memory), ("growth", show_growth)];
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

/// CPU for a session and bytes for a client as the number of clients grows: both should stay what they are. The embedded targets' share is
/// in them. The rate of sessions is the same for each number of clients.
fn show_growth(size: Size) {
    println!(
        "Growth: clients and embedded targets together, `--shards auto`, {LIVES} sessions for each client, {LOOP_RATE} sessions each second for each event loop:"
    );
    // Few clients, as many sessions: what a busy process needs for itself.
    let alone = grow(FEW, 10.0).bytes;
    println!("  a process with {FEW} clients: {:.0} KiB", alone / 1024.0);
    // A machine's minutes differ: the rounds go through all sizes, and of each the middle counts.
    let mut rounds: Vec<Vec<Grown>> = vec![Vec::new(); size.growth.len()];
    for _ in 0..size.rounds {
        for (runs, &clients) in rounds.iter_mut().zip(size.growth) {
            runs.push(grow(clients, 0.0));
        }
    }
    for (runs, &clients) in rounds.iter().zip(size.growth) {
        let middle = |of: fn(&Grown) -> f64| median(runs.iter().map(of).collect());
        let (ms, bytes) = (middle(|run| run.spent.ms_per_thousand()), middle(|run| run.bytes));
        let (processes, all) = (runs[0].processes, runs.iter().map(|run| run.spent.ms_per_thousand()));
        let each = (bytes - alone * processes as f64) / (clients - FEW * processes) as f64;
        println!(
            "  {clients} clients in {processes} processes, {:.0} sessions: {ms:.0} ms per 1,000 sessions (rounds {:.0?}), {:.0} MiB in all, {each:.0} bytes for each client beside what a process needs for itself",
            runs[0].spent.sessions,
            all.collect::<Vec<_>>(),
            bytes / 1048576.0,
        );
    }
}

/// Clients of a process whose memory is its own.
const FEW: usize = 100;
/// Sessions each second of each event loop while the number of clients grows: how densely they come decides more of what one costs than how many clients
/// there are, for a loop that is woken for a single event finds nothing of its own in the caches.
const LOOP_RATE: f64 = 250.0;
/// Sessions of each client.
const LIVES: f64 = 2.2;

/// What a run with so many clients took.
#[derive(Clone, Copy)]
struct Grown {
    spent: Spent,
    /// Memory of all processes (PSS) while all clients are connected.
    bytes: f64,
    /// Those with clients.
    processes: usize,
}

/// How many event loops have clients, as `--shards auto` would have it.
fn loops_of(clients: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("growth.toml");
    fs::write(&file, growth_scenario(clients, 10.0, 10.0)).unwrap();
    let output = Command::new(RESURGE).arg("check").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let shards = text.split_once("needs --shards ").and_then(|(_, rest)| rest.split_whitespace().next());
    let shards = shards.map_or(1, |number| number.parse().unwrap());
    shards * std::thread::available_parallelism().unwrap().get().div_ceil(shards)
}

fn growth_scenario(clients: usize, over: f64, seconds: f64) -> String {
    let group = group(clients, over, "");
    format!(
        r#"
name = "growth"
duration = "{seconds:.1}s"
drain = "60s"
[target]
idle_timeout = "{over}s"
{group}
"#
    )
}

/// Runs so many clients, for their sessions or for so many seconds, whatever takes longer.
fn grow(clients: usize, least_s: f64) -> Grown {
    let over = clients as f64 / LOOP_RATE / loops_of(clients) as f64;
    let seconds = (over * LIVES).max(least_s);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("growth.toml");
    fs::write(&file, growth_scenario(clients, over, seconds)).unwrap();
    let before = children_cpu_s();
    let mut process = Command::new(RESURGE)
        .args(["run", file.to_str().unwrap(), "--shards", "auto", "--progress", "none", "--out"])
        .arg(folder.path().join("run"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // All are connected, and the start is over.
    std::thread::sleep(Duration::from_secs_f64((seconds - 1.0).max(over * 1.5)));
    let children = children_of(process.id());
    let bytes = children.iter().chain([&process.id()]).map(|id| proportional_bytes(*id)).sum();
    // A machine with other things to do makes the run not valid; what it spent is spent all the same.
    let status = process.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 110)), "resurge run ended with {status}");
    let spent = Spent { sessions: sessions_of(folder.path()), cpu_s: children_cpu_s() - before };
    Grown { spent, bytes, processes: children.len().max(1) }
}

fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok())
            == Some(parent)
    };
    let ids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(is_child).collect()
}

/// Memory of a process, what it shares counted by its share.
fn proportional_bytes(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A target in a process of its own; ended when dropped.
struct Target {
    process: Child,
    address: SocketAddr,
    /// Where its counters are: it speaks plain HTTP there, whatever it speaks to clients.
    control: SocketAddr,
    /// Its authority's certificate, where it speaks TLS.
    folder: TempDir,
    is_secure: bool,
    /// Kept open, so that the target may go on to speak.
    _words: BufReader<ChildStderr>,
}

impl Target {
    fn start(idle: &str, is_secure: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let idle = format!("idle_timeout={idle}");
        let mut command = Command::new(RESURGE);
        command.args(["serve", "forum", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(["--set", &idle, "--set", "invalidation=never"]);
        if is_secure {
            command.arg("--tls").arg("--tls-ca-out").arg(folder.path().join("ca.pem"));
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("://").unwrap().1.parse().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap());
        while !line.contains("counters  GET") {
            line.clear();
            assert!(words.read_line(&mut line).unwrap() > 0, "where the counters are is not told");
        }
        let control = line.rsplit_once("://").unwrap().1.split('/').next().unwrap().parse().unwrap();
        Self { process, address, control, folder, is_secure, _words: words }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = StdStream::connect(self.control).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn counter(&self, name: &str) -> u64 {
        let body = self.ask("GET /_resurge/counters HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()[name].as_u64().unwrap()
    }

    /// Closes every session.
    fn storm(&self) {
        let body = r#"{"code":1012,"fraction":1.0}"#;
        let head =
            "POST /_resurge/close HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close";
        self.ask(&format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    fn wait_for_sessions(&self, clients: usize) {
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            if self.counter("sessions_open") == clients as u64 {
                return;
            }
        }
        assert_eq!(self.counter("sessions_open"), clients as u64, "all clients are connected");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A group of clients that start over `over` seconds, and come back at once by a token of their own.
fn group(clients: usize, over: f64, token_rules: &str) -> String {
    format!(
        r#"[[groups]]
name = "g"
clients = {clients}
start = {{ over = "{over_ms}ms" }}
[groups.token]
client_id = "bench"
client_secret = "bench"
on_reconnect = "fetch"
{token_rules}
[groups.reconnect]
backoff = {{ kind = "none" }}"#,
        over_ms = (over * 1_000.0) as u64,
    )
}

fn scenario(target: SocketAddr, clients: usize, seconds: u64, over: f64) -> String {
    scenario_of(target, clients, seconds, over, None)
}

fn scenario_of(target: SocketAddr, clients: usize, seconds: u64, over: f64, ca: Option<&Path>) -> String {
    let (s, ca_file) = match ca {
        Some(path) => ("s", format!("ca_file = \"{}\"", path.display())),
        None => ("", String::new()),
    };
    let group = group(clients, over, &format!("max_connections = {TOKEN_CONNECTIONS}"));
    format!(
        r#"
name = "bench"
duration = "{seconds}s"
[target]
kind = "remote"
url = "ws{s}://{target}/api/v2/analytics/events"
token_url = "http{s}://{target}/oauth/token"
{ca_file}
{group}
"#
    )
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

/// CPU time of the children that were waited for (proc(5), fields 16 and 17).
fn children_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / TICKS
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

fn resident_of(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// The floor: fixed bytes, the same exchanges, nothing looked at but where an answer ends.
fn floor(address: SocketAddr, clients: usize, sessions_each: usize, over: f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let token = fetch_token(address).await;
        let token_request = Arc::new(token_request());
        let upgrade = Arc::new(upgrade_request(&token));
        let idle = Arc::new(Mutex::new(Vec::new()));
        let slots = Arc::new(Semaphore::new(TOKEN_CONNECTIONS));
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (token_request, upgrade) = (Arc::clone(&token_request), Arc::clone(&upgrade));
            let (idle, slots) = (Arc::clone(&idle), Arc::clone(&slots));
            tasks.push(tokio::spawn(async move {
                // Spread as the clients of the scenario are.
                tokio::time::sleep(Duration::from_secs_f64(over * client as f64 / clients as f64)).await;
                for _ in 0..sessions_each {
                    floor_token(address, &token_request, &idle, &slots).await;
                    floor_session(address, &upgrade).await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn token_request() -> Vec<u8> {
    let form = "grant_type=client_credentials&client_id=bench&client_secret=bench";
    format!(
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

fn upgrade_request(token: &str) -> Vec<u8> {
    format!(
        "GET /api/v2/analytics/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

async fn fetch_token(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&token_request()).await.unwrap();
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer).await.unwrap();
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

async fn floor_token(address: SocketAddr, request: &[u8], idle: &Mutex<Vec<TcpStream>>, slots: &Semaphore) {
    let _slot = slots.acquire().await.unwrap();
    let mut buffer = [0; 2048];
    loop {
        let kept = idle.lock().await.pop();
        let is_new = kept.is_none();
        let mut stream = match kept {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.unwrap(),
        };
        // The answer is small and comes in one segment.
        let answered = async {
            stream.write_all(request).await?;
            stream.read(&mut buffer).await
        };
        match answered.await {
            Ok(count) if count > 0 => return idle.lock().await.push(stream),
            // The target lets go of a connection that was not used for a while.
            _ => assert!(!is_new, "the target closed a new token connection"),
        }
    }
}

async fn floor_session(address: SocketAddr, upgrade: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(upgrade).await.unwrap();
    let mut buffer = [0; 512];
    let n = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..n].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&buffer[..n]));
    // The close frame, its answer, the end.
    assert!(stream.read(&mut buffer).await.unwrap() > 0, "no close frame");
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
    while stream.read(&mut buffer).await.unwrap() > 0 {}
}
