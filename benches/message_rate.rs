//! What a received message costs the clients, beside a bare tokio-tungstenite loop, on this machine.
//!
//! A bare sender in a process of its own answers upgrades and sends messages like those of the embedded target, each with
//! its sequence number and the time when it was due. `resurge run` receives them, looks at both and counts; the floor is a
//! loop of tokio-tungstenite, with its default settings, that reads and counts. Both are charged with all CPU of their
//! process, from its start to its end. Each must count exactly what was sent.
//!
//! Flooded: the sender writes as fast as the receiver takes it, so that a read finds much. Paced: 300 messages a second for
//! each client, three in a write, so that a read finds three.
//!
//! Read: paced, and each message is parsed for its number and its time, and looked at by one more rule: the floor parses the same JSON with `serde_json`.
//!
//! `cargo bench --bench message_rate` prints CPU, rates and ratios, then the memory of a client; `-- --quick` takes a tenth
//! of it. Only the ratios say something on another machine.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

#[path = "message_rate/send.rs"]
mod send;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use send::send_all;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const RESURGE: &str = env!("CARGO_BIN_EXE_resurge");
/// Ticks per second in `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;
/// A stream, and a rule that no message fits.
const READ: &str = r#"
[[groups.session.streams]]
name = "all"
pointer = "/seq"
sequence = "/seq"
sent_at = { pointer = "/due_us", unit = "us" }
[[groups.session.on_message]]
pointer = "/type"
equals = "goodbye"
then = "reconnect"
"#;
const CLIENTS: u64 = 1_000;
/// Messages of a client each second when paced, and how many a write carries.
const PACED_PER_S: u64 = 300;
const PACED_BURST: u64 = 3;
/// Messages that a write carries when the receiver is flooded.
const FLOOD_BURST: u64 = 32;

/// How the sender sends: to so many clients, so many messages each, so many in a write, so long between writes.
#[derive(Clone, Copy)]
struct Load {
    clients: u64,
    messages_each: u64,
    burst: u64,
    every: Duration,
}

impl Load {
    fn total(self) -> u64 {
        self.clients * self.messages_each
    }

    /// As arguments of the sending process.
    fn arguments(self) -> [String; 4] {
        [self.clients, self.messages_each, self.burst, self.every.as_micros() as u64].map(|n| n.to_string())
    }

    fn from_arguments(arguments: &[String]) -> Self {
        let number = |at: usize| arguments[at].parse().unwrap();
        Self {
            clients: number(0),
            messages_each: number(1),
            burst: number(2),
            every: Duration::from_micros(number(3)),
        }
    }
}

/// What a receiving process spent on its messages.
#[derive(Clone, Copy)]
struct Spent {
    messages: u64,
    cpu_s: f64,
    sending_s: f64,
}

impl Spent {
    fn us_each(self) -> f64 {
        self.cpu_s * 1e6 / self.messages as f64
    }

    fn line(self) -> String {
        format!(
            "{:5.2} us each, {:9.0} per second of CPU ({:.0} sent per second)",
            self.us_each(),
            self.messages as f64 / self.cpu_s,
            self.messages as f64 / self.sending_s,
        )
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--sender") {
        return send_all(Load::from_arguments(&arguments[at + 1..]));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        let parses = arguments[at + 3] == "parses";
        return floor(arguments[at + 1].parse().unwrap(), arguments[at + 2].parse().unwrap(), parses);
    }
    // `cargo bench --no-run` and `cargo test --benches` must not start a load.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let (share, rounds) =
        if arguments.iter().any(|argument| argument == "--quick") { (10, 1) } else { (1, 3) };
    let flood =
        Load { clients: CLIENTS, messages_each: 10_000 / share, burst: FLOOD_BURST, every: Duration::ZERO };
    let paced = Load {
        clients: CLIENTS,
        messages_each: 3_000 / share,
        burst: PACED_BURST,
        every: Duration::from_secs(1) * PACED_BURST as u32 / PACED_PER_S as u32,
    };
    compare("flooded", flood, rounds, false);
    compare("paced", paced, rounds, false);
    compare("paced, each one read", paced, rounds, true);
    compare_memory(5_000 / share);
}

fn compare(how: &str, load: Load, rounds: usize, is_read: bool) {
    println!(
        "CPU of the receiving process, {} clients, {} messages each, {how}:",
        load.clients, load.messages_each
    );
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let ours = run_resurge(load, is_read);
        let bare = run_floor(load, is_read);
        let ratio = ours.us_each() / bare.us_each();
        println!("  round {round}: resurge {}", ours.line());
        println!("           floor   {}, ratio {ratio:.2}", bare.line());
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.2}", ratios[ratios.len() / 2]);
}

fn compare_memory(clients: u64) {
    let second = Duration::from_secs(1);
    let silent = |clients| Load { clients, messages_each: 0, burst: 1, every: second };
    let flowing = |clients| Load { clients, messages_each: 200, burst: 1, every: second / 10 };
    println!("Resident memory of the receiving process for each of {clients} clients:");
    for (what, load) in [("idle", &silent as &dyn Fn(u64) -> Load), ("10 messages a second", &flowing)] {
        let (one, many) = (resident_kib(load(1)), resident_kib(load(clients)));
        println!("  {what}: {:.0} bytes", (many - one) * 1024.0 / (clients - 1) as f64);
    }
}

/// The sending process; ended when dropped.
struct Sender {
    process: Child,
    address: SocketAddr,
    lines: BufReader<ChildStdout>,
    _stdin: ChildStdin,
}

impl Sender {
    fn start(load: Load) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--sender")
            .args(load.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let _stdin = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let mut sender = Self { process, address: ([127, 0, 0, 1], 0).into(), lines, _stdin };
        sender.address = sender.line().parse().unwrap();
        sender
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// How long the sending took, in seconds.
    fn sending_s(&mut self) -> f64 {
        self.line().parse().unwrap()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn scenario(address: SocketAddr, clients: u64, seconds: u64) -> String {
    format!(
        r#"
name = "messages"
duration = "{seconds}s"
# A flood makes everything late: what it costs is asked here, and no latency is told.
health = {{ max_lag_p99 = "60s", max_stall = "60s", max_delay = "60s", max_saturated_share = "100%" }}
[target]
kind = "remote"
url = "ws://{address}/"
[[groups]]
name = "g"
clients = {clients}
start = {{ over = "1s" }}
token = {{ grant = "none" }}
# The sender ends each session with 1000, once.
reconnect = {{ on_codes = [1006] }}
"#
    )
}

fn start_resurge(folder: &Path, scenario: &str) -> Child {
    let file = folder.join("messages.toml");
    fs::write(&file, scenario).unwrap();
    Command::new(RESURGE)
        .args(["run", file.to_str().unwrap(), "--progress", "none", "--out"])
        .arg(folder.join("run"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn run_resurge(load: Load, is_read: bool) -> Spent {
    let mut sender = Sender::start(load);
    let folder = tempfile::tempdir().unwrap();
    let before = children_cpu_s();
    let read = if is_read { READ } else { "" };
    let scenario = scenario(sender.address, load.clients, 300) + read;
    let mut process = start_resurge(folder.path(), &scenario);
    let sending_s = sender.sending_s();
    // Every client has had its messages and the close frame behind them: the run has nothing more to do.
    interrupt(&process);
    let status = process.wait().unwrap();
    assert!([Some(0), Some(105)].contains(&status.code()), "resurge run ended with {status}");
    let cpu_s = children_cpu_s() - before;
    let mut reader = csv::Reader::from_path(folder.path().join("run/timeseries.csv")).unwrap();
    let column = reader.headers().unwrap().iter().position(|name| name == "messages_in").unwrap();
    let messages = reader.records().map(|row| row.unwrap()[column].parse::<u64>().unwrap()).sum();
    assert_eq!(messages, load.total(), "every message that was sent is counted once");
    if is_read {
        let mut reader = csv::Reader::from_path(folder.path().join("run/streams.csv")).unwrap();
        let columns = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let value = |name: &str| row[columns.iter().position(|column| column == name).unwrap()].to_owned();
        assert_eq!(value("messages"), load.total().to_string(), "each is the stream's");
        assert_eq!([value("missed"), value("late")], ["0", "0"], "none is missed");
        assert_eq!(value("count"), load.total().to_string(), "each is measured");
    }
    Spent { messages, cpu_s, sending_s }
}

fn interrupt(process: &Child) {
    let sent = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn run_floor(load: Load, parses: bool) -> Spent {
    let mut sender = Sender::start(load);
    let before = children_cpu_s();
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--floor", &sender.address.to_string(), &load.clients.to_string()])
        .arg(if parses { "parses" } else { "counts" })
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sending_s = sender.sending_s();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "the floor ended with {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert_eq!(messages, load.total(), "the floor counts every message, too");
    Spent { messages, cpu_s: children_cpu_s() - before, sending_s }
}

/// CPU time of the children that were waited for (proc(5), fields 16 and 17); the sender is waited for afterwards.
fn children_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / TICKS
}

/// Resident memory of `resurge run`, in KiB: the median of some looks while the clients are connected.
fn resident_kib(load: Load) -> f64 {
    let mut sender = Sender::start(load);
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_resurge(folder.path(), &scenario(sender.address, load.clients, 60));
    assert_eq!(sender.line(), "connected");
    // What the connecting needed is given back soon after.
    std::thread::sleep(Duration::from_secs(6));
    let mut looks: Vec<f64> = (0..20)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(210));
            let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches("kB").trim().parse().unwrap()
        })
        .collect();
    process.kill().unwrap();
    process.wait().unwrap();
    looks.sort_by(f64::total_cmp);
    looks[looks.len() / 2]
}

/// The floor: reads, parses where it is told to, and counts, until each client was closed.
fn floor(address: SocketAddr, clients: u64, parses: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let total = runtime.block_on(async move {
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                tokio::spawn(async move {
                    // Spread as the clients of the scenario are.
                    tokio::time::sleep(Duration::from_secs(1).mul_f64(client as f64 / clients as f64)).await;
                    floor_session(address, parses).await
                })
            })
            .collect();
        let mut total = 0;
        for task in tasks {
            total += task.await.unwrap();
        }
        total
    });
    println!("{total}");
}

async fn floor_session(address: SocketAddr, parses: bool) -> u64 {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await.unwrap();
    let mut count = 0;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message.unwrap() {
            let is_counted = !parses || {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                json["seq"].is_u64() && json["due_us"].is_u64()
            };
            count += u64::from(is_counted);
        }
    }
    count
}
