//! Whether a run that goes on and on stays as it is: memory, descriptors, tasks.
//!
//! 2,000 clients against the embedded target, each thrown off after three seconds and back after up to two, so that within a few
//! sessions nothing is left of the order in which they began. Each second the process is looked at; after the warm-up a
//! line is fitted to the means of ten seconds each (seconds beside each other are alike), with Student's t for its interval.
//! `cargo bench --bench soak -- --minutes 10` (10 is the default; `--clients N`). It exits with 1 where memory grows, or where descriptors,
//! threads or tasks are left over.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use resurge::compare::two_sided_t;
use resurge::run::{RunDone, RunRequest, run};
use resurge::sample::{Counter, Outcome};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of the run's time, this share is its warm-up; at most so many seconds.
const WARM_UP_SHARE: f64 = 0.3;
const LONGEST_WARM_UP_S: f64 = 180.0;
/// Seconds that are taken together.
const BLOCK: usize = 10;
/// Memory may grow by this share of itself in a minute, where more cannot be excluded.
const TOLERATED: f64 = 0.001;

/// Tasks that were alive when the last run had drained, as the program's log tells.
static TASKS_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Hears how many tasks are left.
struct Tasks;

impl log::Log for Tasks {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "resurge::tasks"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            TASKS_LEFT.store(record.args().to_string().parse().unwrap(), Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// The process, at a moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    rss_kib: f64,
    descriptors: usize,
    threads: usize,
}

impl Look {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self {
            rss_kib: line.trim().trim_end_matches("kB").trim().parse().unwrap(),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }
}

/// A line's slope, and how far it may be off.
struct Slope {
    each: f64,
    half_width: f64,
}

/// The least squares through points that are one apart; the interval has 95 %.
fn fit(values: &[f64]) -> Slope {
    let n = values.len() as f64;
    let (mean_x, mean_y) = ((n - 1.0) / 2.0, values.iter().sum::<f64>() / n);
    let points = || values.iter().enumerate().map(|(x, y)| (x as f64 - mean_x, y - mean_y));
    let spread: f64 = points().map(|(x, _)| x * x).sum();
    let each = points().map(|(x, y)| x * y).sum::<f64>() / spread;
    let rest: f64 = points().map(|(x, y)| (y - each * x).powi(2)).sum();
    let error = (rest / (n - 2.0) / spread).sqrt();
    Slope { each, half_width: two_sided_t(0.05, n - 2.0) * error }
}

fn scenario(clients: u32, seconds: f64) -> String {
    format!(
        r#"
name = "soak"
duration = "{seconds}s"
[target]
idle_timeout = "3s"
messages_every = "1s"
[[groups]]
name = "fresh-token"
clients = {clients}
start = {{ over = "5s" }}
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "exponential", base = "2s", max = "4s", jitter = "full" }}
"#
    )
}

/// The number behind `name`, if it is there.
fn argument(name: &str) -> Option<f64> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == name)?;
    Some(arguments.get(at + 1).and_then(|text| text.parse().ok()).unwrap())
}

fn conduct(home: &Path, name: &str, text: &str) -> RunDone {
    let file = home.join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    let request = RunRequest {
        scenario: file,
        overrides: Vec::new(),
        seed: None,
        out: Some(home.join(name)),
        authorised: Vec::new(),
        attempts: false,
        allow_commands: false,
        on_progress: None,
        live: None,
    };
    run(request).unwrap()
}

/// Waits until what ends in the background has ended.
fn settled(before: Look) -> Look {
    let mut look = Look::now();
    for _ in 0..100 {
        if look.descriptors <= before.descriptors && look.threads <= before.threads {
            break;
        }
        thread::sleep(Duration::from_millis(100));
        look = Look::now();
    }
    look
}

fn main() -> ExitCode {
    let seconds = argument("--minutes").unwrap_or(10.0) * 60.0;
    let clients = argument("--clients").unwrap_or(2_000.0) as u32;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let home = tempfile::tempdir().unwrap();
    // What a process opens once, as its pipe for signals, is there after a first run.
    log::set_logger(&Tasks).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    conduct(home.path(), "first", &scenario(10, 8.0));
    let tasks_before = TASKS_LEFT.swap(usize::MAX, Ordering::Relaxed);
    thread::sleep(Duration::from_secs(1));
    let before = Look::now();
    let is_over = AtomicBool::new(false);
    let (done, looks) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = Vec::new();
            while !is_over.load(Ordering::Relaxed) && (looks.len() as f64) < seconds {
                thread::sleep(Duration::from_secs(1));
                looks.push(Look::now());
            }
            looks
        });
        let done = conduct(home.path(), "soak", &scenario(clients, seconds));
        is_over.store(true, Ordering::Relaxed);
        (done, looking.join().unwrap())
    });
    let journal = fs::metadata(done.folder.join("journal.bin")).unwrap().len();
    let (all, accounts) = (done.model.all.clone(), done.model.account_faults.clone());
    let agrees = done.model.reconciliation.as_ref().is_some_and(|books| books.holds());
    drop(done);
    let after = settled(before);

    let warm_up = (seconds * WARM_UP_SHARE).min(LONGEST_WARM_UP_S) as usize;
    // The last seconds are those of the end.
    let steady = &looks[warm_up.min(looks.len())..looks.len().saturating_sub(2)];
    let blocks: Vec<f64> = steady
        .chunks_exact(BLOCK)
        .map(|block| block.iter().map(|look| look.rss_kib).sum::<f64>() / BLOCK as f64)
        .collect();
    assert!(
        blocks.len() > 2,
        "{} blocks of {BLOCK} s are too few for a line: give it more minutes",
        blocks.len()
    );
    let slope = fit(&blocks);
    let a_minute = 60.0 / BLOCK as f64;
    let (each, half_width) = (slope.each * a_minute, slope.half_width * a_minute);
    let mean = blocks.iter().sum::<f64>() / blocks.len() as f64;
    let most = |of: fn(&Look) -> usize| steady.iter().map(of).max().unwrap_or(0);
    println!(
        "{clients} clients, {seconds} s: {} sessions, {} disconnects, {} tokens",
        all.outcome(Outcome::Ok),
        all.counter(Counter::Disconnects),
        all.counter(Counter::TokensFetched)
    );
    println!(
        "memory after {warm_up} s of warm-up: mean {:.1} MiB, {} blocks of {BLOCK} s",
        mean / 1024.0,
        blocks.len()
    );
    let series: Vec<String> = blocks.iter().map(|kib| format!("{:.1}", kib / 1024.0)).collect();
    println!("  MiB: {}", series.join(" "));
    println!(
        "  grows by {each:+.1} ± {half_width:.1} KiB a minute (95 %): {:+.4} % ± {:.4} %",
        100.0 * each / mean,
        100.0 * half_width / mean
    );
    println!(
        "descriptors: {} before, {} at most, {} after the drain",
        before.descriptors,
        most(|look| look.descriptors),
        after.descriptors
    );
    println!(
        "threads:     {} before, {} at most, {} after the drain",
        before.threads,
        most(|look| look.threads),
        after.threads
    );
    let tasks_after = TASKS_LEFT.load(Ordering::Relaxed);
    println!("tasks:       {tasks_before} left by a run of 10 clients, {tasks_after} by this one");
    println!(
        "memory after the drain: {:.1} MiB; journal {:.0} KiB",
        after.rss_kib / 1024.0,
        journal as f64 / 1024.0
    );

    let mut faults = Vec::new();
    let is_flat =
        (each - half_width..=each + half_width).contains(&0.0) || each + half_width < TOLERATED * mean;
    if !is_flat && each > 0.0 {
        faults.push("memory grows".to_owned());
    }
    if after.descriptors > before.descriptors || after.threads > before.threads {
        faults.push("descriptors or threads are left over".to_owned());
    }
    if tasks_after > tasks_before {
        faults.push("tasks are left over".to_owned());
    }
    if !accounts.is_empty() || !agrees {
        faults.push(format!("the accounts do not close: {accounts:?}"));
    }
    faults.iter().for_each(|fault| println!("FAIL: {fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
