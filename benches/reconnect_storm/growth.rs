//! What a session and a client cost as their number grows.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scenario::group;
use crate::spent::{Spent, children_cpu_s, children_of, proportional_bytes};
use crate::{RESURGE, Size, median, sessions_of};

/// CPU for a session and bytes for a client as the number of clients grows: both should stay what they are. The embedded targets' share is
/// in them. The rate of sessions is the same for each number of clients.
pub(crate) fn show_growth(size: Size) {
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
