//! Whether virtual time predicts reality: the same scenarios simulated, and run with real sockets on this machine.
//!
//! For each scenario: a real run of 500 clients, which calibrates; a simulation of 5,000 clients by it; a real run of 5,000 clients. The table says how far
//! each number deviates. In these scenarios the service is what a storm waits for, by its delays and capacities, and not this machine: a simulation knows nothing
//! of processors.
//!
//! `cargo bench --bench prediction` takes eight minutes; a word as `idle` or `deploy` runs the scenarios whose names hold it. It ends with 1 where a number deviates by more
//! than is allowed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use resurge::compare::{PredictionRow, check_prediction, prediction_markdown};
use resurge::record::read_journal;
use resurge::report::{JOURNAL_FILE, RunModel, Status};

const RESURGE: &str = env!("CARGO_BIN_EXE_resurge");
/// Clients of the run that calibrates, and of those that are compared.
const SMALL: u32 = 500;
const LARGE: u32 = 5_000;

/// A scenario: its name, the share of its clients in each group, and its text.
struct Case {
    name: &'static str,
    shares: &'static [f64],
    text: &'static str,
}

/// What the answers of a service far away take.
macro_rules! far_away {
    () => {
        "
token_delay = { log_normal = { median = \"30ms\", sigma = 0.4 } }
upgrade_delay = { log_normal = { median = \"20ms\", sigma = 0.4 } }
"
    };
}

/// A group that starts over eight seconds.
macro_rules! group {
    ($name:literal, $policy:literal, $reconnect:literal) => {
        concat!(
            "
[[groups]]
name = \"",
            $name,
            "\"
clients = 1
start = { over = \"8s\" }
[groups.token]
client_id = \"bench\"
client_secret = \"bench\"
on_reconnect = \"",
            $policy,
            "\"
[groups.reconnect]
",
            $reconnect,
            "
"
        )
    };
}

const STORM: &str = "
[[storms]]
at = \"12s\"
by = \"target\"
code = 1012
";

fn cases() -> Vec<(Case, String)> {
    let case = |name, shares, text| Case { name, shares, text };
    let idle = "duration = \"40s\"\n[target]\nidle_timeout = \"8s\"\n";
    let deploy = "duration = \"30s\"\n[target]\nidle_timeout = \"never\"\n";
    let quick = "[target.token_capacity]\nservers = 20\nservice = \"10ms\"\nqueue = 100000\n";
    let slow = "[target.token_capacity]\nservers = 4\nservice = { exponential = \"4ms\" }\nqueue = 1000\nover_limit = 429\n";
    let all: &[f64] = &[1.0];
    let rows = [
        (
            case("idle reconnect", all, group!("g", "fetch", "backoff = { kind = \"none\" }")),
            [idle, far_away!(), "", ""],
        ),
        (
            case("deploy, no jitter", all, group!("g", "fetch", "backoff = { kind = \"none\" }")),
            [deploy, far_away!(), quick, STORM],
        ),
        (
            case(
                "deploy, full jitter",
                all,
                group!(
                    "g",
                    "fetch",
                    "backoff = { kind = \"exponential\", base = \"5s\", max = \"30s\", jitter = \"full\" }"
                ),
            ),
            [deploy, far_away!(), quick, STORM],
        ),
        (
            case(
                "a fifth is stale",
                &[0.8, 0.2],
                concat!(
                    group!("fresh", "fetch", "backoff = { kind = \"none\" }"),
                    group!(
                        "stale",
                        "reuse",
                        "backoff = { kind = \"exponential\", base = \"1s\", max = \"5s\", jitter = \"full\" }\nrefetch_on = [403]"
                    )
                ),
            ),
            [idle, far_away!(), "invalidation = \"on-disconnect\"\n", ""],
        ),
        (
            case(
                "slow token endpoint",
                all,
                group!(
                    "g",
                    "fetch",
                    "backoff = { kind = \"exponential\", base = \"500ms\", max = \"5s\", jitter = \"full\" }"
                ),
            ),
            [deploy, far_away!(), slow, STORM],
        ),
    ];
    rows.into_iter()
        .map(|(case, parts)| {
            let text =
                format!("name = \"prediction\"\nseed = 42\ndrain = \"20s\"\n{}{}", parts.concat(), case.text);
            (case, text)
        })
        .collect()
}

/// Runs `resurge` on a scenario with so many clients, and reads its run folder.
fn run(command: &[&str], file: &Path, case: &Case, clients: u32, out: &Path) -> RunModel {
    let mut process = Command::new(RESURGE);
    process.args(command).arg(file).args(["--progress", "none", "--out"]).arg(out);
    for (index, share) in case.shares.iter().enumerate() {
        process.args(["--set", &format!("groups.{index}.clients={}", (share * f64::from(clients)).round())]);
    }
    let status = process.stdout(Stdio::null()).status().unwrap();
    assert!(matches!(status.code(), Some(0 | 110)), "{command:?} ended with {status}");
    RunModel::new(read_journal(&out.join(JOURNAL_FILE)).unwrap())
}

fn predict(case: &Case, text: &str) -> Vec<PredictionRow> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let file = path("scenario.toml");
    std::fs::write(&file, text).unwrap();
    run(&["run"], &file, case, SMALL, &path("small"));
    let small = path("small");
    let simulated =
        run(&["simulate", "--calibrate", small.to_str().unwrap()], &file, case, LARGE, &path("simulated"));
    let real = run(&["run"], &file, case, LARGE, &path("large"));
    if real.verdict.status == Status::NotValid {
        println!(
            "The real run of {} is not valid, and says little: {}\n",
            case.name,
            real.verdict.reasons.join("; ")
        );
    }
    check_prediction(&simulated, &real)
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    println!("Simulated, calibrated by {SMALL} real clients, against {LARGE} real ones:\n");
    let mut is_good = true;
    for (case, text) in cases() {
        if !wanted.is_empty() && !wanted.iter().any(|word| case.name.contains(word.as_str())) {
            continue;
        }
        let rows = predict(&case, &text);
        println!("{}", prediction_markdown(case.name, &rows));
        is_good &= rows.iter().all(PredictionRow::holds);
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
