//! What control of a run over many machines asks of NATS and of the coordinator, by how many workers there are.
//!
//! `cargo bench --features cluster --bench cluster_control` prints a table; `-- 10 100` takes those numbers of workers. It needs `nats-server` on the path (or in
//! `NATS_SERVER`). The coordinator is real, and so are the journals, frame by frame; the workers are mocked: they make no load, and each sends the journal that its share
//! left in virtual time, a second's part each second. Nothing here passes or fails.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and stops at what it does not expect"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, kv::Store};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt as _;
use resurge::clock::{Clock, Moment};
use resurge::machine;
use resurge::plan::Share;
use resurge::record::journal_bytes;
use resurge::run::{InMemory, simulation_of};
use resurge::scenario::load;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const SECONDS: u64 = 20;
const CLIENTS_EACH: u32 = 50;
const PORT: u16 = 24_222;
const MONITOR: u16 = 28_222;
const RUN: &str = "bench";

fn scenario(workers: u32) -> String {
    let clients = workers * CLIENTS_EACH;
    format!(
        "name = \"bench\"\nduration = \"{SECONDS}s\"\ndrain = \"1s\"\n[target]\nidle_timeout = \"5s\"\n[[groups]]\nname = \"g\"\nclients = {clients}\n\
         start = {{ over = \"5s\" }}\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\n"
    )
}

/// Messages and bytes that a server has taken in and given out.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    messages: [u64; 2],
    bytes: [u64; 2],
}

fn traffic() -> Traffic {
    let mut stream = TcpStream::connect(("127.0.0.1", MONITOR)).unwrap();
    stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let number = |name: &str| body[name].as_u64().unwrap();
    Traffic {
        messages: [number("in_msgs"), number("out_msgs")],
        bytes: [number("in_bytes"), number("out_bytes")],
    }
}

/// CPU time of a process, and the most memory that it had, in KiB.
fn used(process: &Child) -> (Duration, u64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", process.id())).unwrap();
    let stat = read("stat");
    let fields: Vec<u64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // utime and stime are the 14th and 15th field of all, and the state before them is no number.
    let ticks = fields[10] + fields[11];
    let status = read("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse().unwrap();
    (Duration::from_millis(ticks * 10), peak)
}

/// A worker that makes no load: takes its share, is ready, and sends its journal as that would have grown.
async fn mock(share: Share, journal: Vec<u8>) {
    let client = async_nats::connect(format!("127.0.0.1:{PORT}")).await.unwrap();
    let context = jetstream::new(client.clone());
    let shard = share.shard();
    let store = loop {
        match context.get_key_value(format!("resurge_{RUN}")).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let claim = json!({ "by": format!("mock {shard}") }).to_string();
    let epoch = store.create(format!("claim.{shard}"), claim.into()).await.unwrap();
    for _ in 0..20 {
        // The run may be there before its coordinator hears questions.
        while client.request(format!("resurge.{RUN}.time"), Bytes::new()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let beating = tokio::spawn(beat(client.clone(), shard, epoch));
    let say = async |at: Option<usize>, payload: Vec<u8>| {
        let mut headers = HeaderMap::new();
        headers.insert("Resurge-Epoch", epoch.to_string());
        if let Some(at) = at {
            headers.insert("Resurge-At", at.to_string());
        }
        let subject = format!("resurge.{RUN}.report.{shard}");
        context.publish_with_headers(subject, headers, payload.into()).await.unwrap().await.unwrap();
    };
    let waiting = tokio::spawn(wait_for(store.clone(), "order.all.*".to_owned(), "start"));
    let seen = tokio::spawn(wait_for(store, format!("order.{shard}.*"), "seen"));
    say(None, json!({ "report": "ready" }).to_string().into_bytes()).await;
    waiting.await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let part = journal.len().div_ceil(SECONDS as usize);
    let mut every = tokio::time::interval(Duration::from_secs(1));
    for (nth, bytes) in journal.chunks(part).enumerate() {
        every.tick().await;
        say(Some(nth * part), bytes.to_vec()).await;
    }
    let sha256: String = Sha256::digest(&journal).iter().map(|byte| format!("{byte:02x}")).collect();
    let sealed = json!({ "report": "sealed", "length": journal.len(), "sha256": sha256, "reason": { "how": "completed" } });
    say(None, sealed.to_string().into_bytes()).await;
    seen.await.unwrap();
    beating.abort();
}

async fn beat(client: Client, shard: u32, epoch: u64) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        client.publish(format!("resurge.{RUN}.beat.{shard}"), epoch.to_string().into()).await.unwrap();
    }
}

/// Until an order of that kind comes.
async fn wait_for(store: Store, keys: String, order: &'static str) {
    let mut orders = store.watch_with_history(keys).await.unwrap();
    while let Some(Ok(entry)) = orders.next().await {
        let found: Value = serde_json::from_slice(&entry.value).unwrap();
        if found["order"] == order {
            return;
        }
    }
}

fn server(home: &Path) -> Child {
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
    let server = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &PORT.to_string(), "-m", &MONITOR.to_string(), "-sd"])
        .arg(home.join("nats"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

async fn measure(workers: u32) {
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("bench.toml");
    std::fs::write(&file, scenario(workers)).unwrap();
    let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap();
    let simulation = simulation_of(loaded, None).unwrap();
    let journals: Vec<(Share, Vec<u8>)> = Share::all(workers)
        .map(|share| {
            let journal = simulation.clone().of_share(share).run_in_memory(InMemory::Seconds);
            (share, journal_bytes(&journal).unwrap())
        })
        .collect();
    let bytes: usize = journals.iter().map(|(_, journal)| journal.len()).sum();
    let mut nats = server(home.path());
    let mut coordinator = Command::new(env!("CARGO_BIN_EXE_resurge"))
        .arg("run")
        .arg(&file)
        .args(["--cluster", &format!("nats://127.0.0.1:{PORT}"), "--workers", &workers.to_string()])
        .args(["--run", RUN, "--progress", "none", "--out"])
        .arg(home.path().join("run"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let clock = Clock::start();
    let mocks: Vec<_> =
        journals.into_iter().map(|(share, journal)| tokio::spawn(mock(share, journal))).collect();
    let client = async_nats::connect(format!("127.0.0.1:{PORT}")).await.unwrap();
    let context = jetstream::new(client);
    let store = loop {
        match context.get_key_value(format!("resurge_{RUN}")).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    Box::pin(wait_for(store, "order.all.*".to_owned(), "start")).await;
    let barrier = clock.now();
    // The middle of the run, between the barrier and the end.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, (cpu_before, _)) = (traffic(), used(&coordinator));
    let steady = clock.now();
    tokio::time::sleep(Duration::from_secs(SECONDS - 8)).await;
    let (after, (cpu_after, peak)) = (traffic(), used(&coordinator));
    let took = clock.now().since(steady).as_secs_f64();
    let each = |before: u64, after: u64| (after - before) as f64 / took / f64::from(workers);
    for mock in mocks {
        mock.await.unwrap();
    }
    let code = coordinator.wait().unwrap().code();
    println!(
        "| {workers} | {:.1} s | {:.1} | {:.1} | {:.1} KiB | {:.1} KiB | {:.1} KiB | {:.1} % | {:.0} MiB | {} |",
        barrier.since(Moment::ZERO).as_secs_f64(),
        each(before.messages[0], after.messages[0]),
        each(before.messages[1], after.messages[1]),
        each(before.bytes[0], after.bytes[0]) / 1024.0,
        each(before.bytes[1], after.bytes[1]) / 1024.0,
        bytes as f64 / f64::from(workers) / 1024.0,
        (cpu_after - cpu_before).as_secs_f64() / took * 100.0,
        peak as f64 / 1024.0,
        code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
    );
    nats.kill().unwrap();
    nats.wait().unwrap();
}

fn main() {
    // cargo's own argument says that it is a bench; cargo test runs none.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let given: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if given.is_empty() { vec![1, 10, 100, 300, 1_000] } else { given };
    println!("{CLIENTS_EACH} clients each, {} cores", machine::cores());
    println!(
        "| workers | to the start | messages in | messages out | bytes in | bytes out | a journal | coordinator's CPU | its memory | exit code |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for workers in numbers {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(measure(workers));
    }
}
