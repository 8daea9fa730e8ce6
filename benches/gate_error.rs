//! The gate's own error: how often `resurge compare` calls two alike runs different, and how often it finds a known difference.
//!
//! Synthetic pairs by the thousand, whose noise is as real runs have it (see `src/compare/synthetic.rs`), and with `--real` pairs of real runs on
//! the embedded target. `cargo bench --bench gate_error` takes about two minutes, `-- --quick` some seconds, `-- --real` some ten minutes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::path::Path;
use std::process::Command;

use resurge::compare::synthetic::{Behaviour, synthetic_run};
use resurge::compare::{Comparison, Finding, Repeat, RunSet, Settings, compare};
use resurge::record::read_journal;
use resurge::report::{JOURNAL_FILE, RunModel};

const RESURGE: &str = env!("CARGO_BIN_EXE_resurge");

/// How pairs came out.
#[derive(Default, Clone, Copy)]
struct Outcomes {
    pairs: u32,
    regressed: u32,
    improved: u32,
    unchanged: u32,
    inconclusive: u32,
    /// Pairs in which the 99th percentile of the reconnect latency was called regressed.
    p99_found: u32,
}

impl Outcomes {
    fn add(&mut self, comparison: &Comparison) {
        self.pairs += 1;
        match comparison.finding {
            Finding::Regressed => self.regressed += 1,
            Finding::Improved => self.improved += 1,
            Finding::Unchanged => self.unchanged += 1,
            Finding::Inconclusive => self.inconclusive += 1,
        }
        let p99 = comparison.rows.iter().find(|row| row.measure.name == "reconnect_latency.p99");
        self.p99_found += u32::from(p99.is_some_and(|row| row.finding == Finding::Regressed));
    }

    fn print(&self, what: &str) {
        let share = |count: u32| 100.0 * f64::from(count) / f64::from(self.pairs.max(1));
        println!(
            "{what:<58} {:>6} {:>9.2}% {:>9.2}% {:>9.1}% {:>9.1}% {:>9.1}%",
            self.pairs,
            share(self.regressed),
            share(self.improved),
            share(self.unchanged),
            share(self.inconclusive),
            share(self.p99_found),
        );
    }
}

fn head() {
    println!(
        "{:<58} {:>6} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "pairs of", "pairs", "regressed", "improved", "unchanged", "open", "p99 found"
    );
}

fn set(repeats: Vec<Repeat>) -> RunSet {
    RunSet { name: String::new(), repeats, is_baseline: false }
}

/// Compares `pairs` synthetic pairs, on as many threads as there are cores.
fn synthetic(what: &str, a: Behaviour, b: Behaviour, repeats: (u64, u64), pairs: u64) -> Outcomes {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let settings = Settings::default();
    let of_thread = |thread: u64| {
        let mut outcomes = Outcomes::default();
        for pair in (thread..pairs).step_by(threads as usize) {
            let runs = |behaviour: &Behaviour, count: u64, side: u64| -> Vec<Repeat> {
                (0..count).map(|n| synthetic_run(behaviour, (pair << 16) | (side << 8) | n)).collect()
            };
            let (a, b) = (runs(&a, repeats.0, 0), runs(&b, repeats.1, 1));
            outcomes.add(&compare(&set(a), &set(b), &settings));
        }
        outcomes
    };
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        running.into_iter().fold(Outcomes::default(), |sum, thread| {
            let own = thread.join().unwrap();
            Outcomes {
                pairs: sum.pairs + own.pairs,
                regressed: sum.regressed + own.regressed,
                improved: sum.improved + own.improved,
                unchanged: sum.unchanged + own.unchanged,
                inconclusive: sum.inconclusive + own.inconclusive,
                p99_found: sum.p99_found + own.p99_found,
            }
        })
    });
    all.print(what);
    all
}

fn synthetic_pairs(pairs: u64) {
    let typical = Behaviour::default();
    // As 16 repeats behaved while compilers ran beside them.
    let busy = Behaviour { run_spread: 0.005, tail_spread: 0.028, ..typical };
    let rough =
        Behaviour { run_spread: 0.05, tail_spread: 0.05, second_spread: 0.10, memory: 0.9, ..typical };
    let wild = Behaviour { run_spread: 0.20, ..rough };
    let slower = |factor: f64| Behaviour { median_us: typical.median_us * factor, ..typical };
    let tail = |factor: f64| Behaviour { tail_factor: factor, ..typical };
    let some = pairs / 4;
    println!("A against A: nothing is different; regressed and improved are false alarms");
    head();
    synthetic("noise as measured, 5 repeats against 5", typical, typical, (5, 5), pairs);
    synthetic("a busy machine's noise, 5 against 5", busy, busy, (5, 5), pairs);
    synthetic("rough noise (runs differ by 5 %), 5 against 5", rough, rough, (5, 5), pairs);
    synthetic("wild noise (runs differ by 20 %), 5 against 5", wild, wild, (5, 5), pairs);
    synthetic("noise as measured, 3 against 3", typical, typical, (3, 3), some);
    synthetic("rough noise, 3 against 3", rough, rough, (3, 3), some);
    synthetic("rough noise, 10 against 10", rough, rough, (10, 10), some);
    synthetic("rough noise, 5 against 1", rough, rough, (5, 1), some);
    synthetic("noise as measured, 1 against 1", typical, typical, (1, 1), some);
    synthetic("rough noise, 1 against 1", rough, rough, (1, 1), some);
    println!("\nA against B, noise as measured: B is slower");
    head();
    synthetic("everything +10 %, 5 against 5", typical, slower(1.10), (5, 5), pairs / 2);
    synthetic("only the tail: p99 +10 %, 5 against 5", typical, tail(1.10), (5, 5), pairs / 2);
    let busy_tail = Behaviour { tail_factor: 1.10, ..busy };
    synthetic("only the tail +10 %, a busy machine, 5 against 5", busy, busy_tail, (5, 5), pairs / 2);
    synthetic("everything +5 %, 5 against 5", typical, slower(1.05), (5, 5), some);
    synthetic("only the tail: p99 +5 %, 5 against 5", typical, tail(1.05), (5, 5), some);
    synthetic("everything +10 %, 3 against 3", typical, slower(1.10), (3, 3), some);
    synthetic("only the tail: p99 +10 %, 3 against 3", typical, tail(1.10), (3, 3), some);
    synthetic("only the tail: p99 +10 %, 10 against 10", typical, tail(1.10), (10, 10), some);
    synthetic("everything +10 %, 5 against 1", typical, slower(1.10), (5, 1), some);
    synthetic("everything twice as slow, 1 against 1", typical, slower(2.0), (1, 1), some);
}

/// A run of `scenarios/smoke.toml` on the embedded target, whose tokens take `token_ms`.
fn real_run(folder: &Path, seed: u32, token_ms: f64) -> Repeat {
    let out = folder.join(format!("{seed}"));
    let delay = format!("target.token_delay={{ log_normal = {{ median = \"{token_ms}ms\", sigma = 0.1 }} }}");
    let sets = ["groups.0.clients=400", "target.idle_timeout=300ms", "duration=2s", delay.as_str()];
    let mut command = Command::new(RESURGE);
    command.args(["run", "scenarios/smoke.toml", "--progress", "none", "--seed", &seed.to_string(), "--out"]);
    command.arg(&out).current_dir(env!("CARGO_MANIFEST_DIR"));
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    let ran = command.output().unwrap();
    assert!(matches!(ran.status.code(), Some(0 | 99 | 110)), "{}", String::from_utf8_lossy(&ran.stderr));
    let model = RunModel::new(read_journal(&out.join(JOURNAL_FILE)).unwrap());
    Repeat::of(&model, &seed.to_string())
}

/// Thirty pairs of five runs against five, of alike runs and of runs whose tokens take a tenth longer. Runs are made in turns, so that what changes on
/// the machine strikes both sides; each pair has runs of its own.
fn real_pairs(pairs: u32) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::default();
    let (mut same, mut slower) = (Outcomes::default(), Outcomes::default());
    let mut seed = 0;
    for _ in 0..pairs {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            for (side, token_ms) in [(&mut a, 200.0), (&mut b, 200.0), (&mut c, 220.0)] {
                seed += 1;
                side.push(real_run(folder.path(), seed, token_ms));
            }
        }
        let a = set(a);
        same.add(&compare(&a, &set(b), &settings));
        slower.add(&compare(&a, &set(c), &settings));
    }
    println!("\nreal runs on the embedded target, 5 against 5");
    head();
    same.print("A against A");
    slower.print("A against B: tokens take a tenth longer");
}

fn main() {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    if given("--real") {
        real_pairs(if given("--quick") { 3 } else { 30 });
    } else {
        synthetic_pairs(if given("--quick") { 100 } else { 2_000 });
    }
}
