//! The end-to-end comparison with a floor, on this machine, side by side.
//!
//! The floor is a bare tokio loop that does the same exchanges with the same target (`resurge serve` in a process of its
//! own) by writing fixed bytes: a token request, a TCP connection, an upgrade, the target's close frame and its answer.
//! It parses nothing, measures nothing, records nothing. What resurge costs more than that is its own.
//!
//! `cargo bench --bench reconnect_storm` prints ratios; `-- --quick` takes a tenth of the sessions. Times of such
//! short runs differ between machines and minutes: only the ratios say something.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

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
    rounds: usize,
}

const FULL: Size = Size { clients: 2_000, seconds: 20, idle_clients: 15_000, rounds: 3 };
const QUICK: Size = Size { clients: 500, seconds: 6, idle_clients: 2_000, rounds: 1 };

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

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        let address = arguments[at + 1].parse().unwrap();
        let number = |offset: usize| arguments[at + offset].parse().unwrap();
        return floor(address, number(2), number(3));
    }
    // `cargo bench --no-run` and `cargo test --benches` must not start a load.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let size = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
    compare_cpu(size);
    compare_memory(size);
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
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.2}", ratios[ratios.len() / 2]);
}

fn compare_memory(size: Size) {
    let empty = resident_kib(1);
    let full = resident_kib(size.idle_clients);
    let each = (full - empty) * 1024.0 / (size.idle_clients - 1) as f64;
    println!("Resident memory of the client process, against a separate target:");
    println!(
        "  1 client {empty:.0} KiB, {} idle clients {full:.0} KiB: {each:.0} bytes for each",
        size.idle_clients
    );
}

/// A target in a process of its own; ended when dropped.
struct Target {
    process: Child,
    address: SocketAddr,
}

impl Target {
    fn start(idle: &str) -> Self {
        let idle = format!("idle_timeout={idle}");
        let mut process = Command::new(RESURGE)
            .args([
                "serve",
                "forum",
                "--listen",
                "127.0.0.1:0",
                "--set",
                &idle,
                "--set",
                "invalidation=never",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").unwrap().1.parse().unwrap();
        Self { process, address }
    }

    fn sessions_open(&self) -> u64 {
        let mut stream = StdStream::connect(self.address).unwrap();
        stream.write_all(b"GET /_resurge/counters HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        body["sessions_open"].as_u64().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn scenario(target: SocketAddr, clients: usize, seconds: u64) -> String {
    format!(
        r#"
name = "bench"
duration = "{seconds}s"
[target]
kind = "remote"
url = "ws://{target}/api/v2/analytics/events"
token_url = "http://{target}/oauth/token"
[[groups]]
name = "g"
clients = {clients}
start = {{ over = "{over}s" }}
[groups.token]
client_id = "bench"
client_secret = "bench"
on_reconnect = "fetch"
max_connections = {TOKEN_CONNECTIONS}
[groups.reconnect]
backoff = {{ kind = "none" }}
"#,
        over = (seconds / 4).max(1),
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
    let target = Target::start(IDLE);
    let folder = tempfile::tempdir().unwrap();
    let before = children_cpu_s();
    let mut process = start_resurge(folder.path(), &scenario(target.address, size.clients, size.seconds));
    let status = process.wait().unwrap();
    assert!(status.success(), "resurge run ended with {status}");
    let cpu_s = children_cpu_s() - before;
    let mut reader = csv::Reader::from_path(folder.path().join("run/outcomes.csv")).unwrap();
    let rows = reader.records().map(|row| row.unwrap());
    let sessions = rows.filter(|row| &row[2] == "ok").map(|row| row[4].parse::<f64>().unwrap()).sum();
    Spent { sessions, cpu_s }
}

fn run_floor(clients: usize, sessions_each: usize) -> Spent {
    let target = Target::start(IDLE);
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
fn resident_kib(clients: usize) -> f64 {
    let target = Target::start("never");
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_resurge(folder.path(), &scenario(target.address, clients, 40));
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(100));
        if target.sessions_open() == clients as u64 {
            break;
        }
    }
    assert_eq!(target.sessions_open(), clients as u64, "all clients are connected");
    // What the connecting needed is given back soon after.
    std::thread::sleep(Duration::from_secs(7));
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    kib
}

/// The floor: fixed bytes, the same exchanges, nothing looked at but where an answer ends.
fn floor(address: SocketAddr, clients: usize, sessions_each: usize) {
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
                tokio::time::sleep(Duration::from_secs(5).mul_f64(client as f64 / clients as f64)).await;
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
    let kept = idle.lock().await.pop();
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(address).await.unwrap(),
    };
    stream.write_all(request).await.unwrap();
    let mut buffer = [0; 2048];
    // The answer is small and comes in one segment.
    assert!(stream.read(&mut buffer).await.unwrap() > 0, "the target closed a token connection");
    idle.lock().await.push(stream);
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
