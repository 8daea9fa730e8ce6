//! Fuzzing of everything that reads what strangers wrote: files, answers, requests, frames.
//!
//! `cargo bench --profile test --bench fuzz -- --executions 10000000 --seed 7` spreads so many executions over the targets, with overflow checks and assertions
//! on; names of targets take those alone. The same seed gives the same inputs on every machine. A finding is printed with its input, and
//! `-- --replay TARGET HEX` runs that alone. No coverage is measured: inputs that lead to another result than all before are kept and changed further.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that meets what it does not expect ends"
)]

#[path = "fuzz/engine.rs"]
mod engine;
#[path = "fuzz/files.rs"]
mod files;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/talk.rs"]
mod talk;
#[path = "fuzz/targets.rs"]
mod targets;
#[path = "fuzz/wire.rs"]
mod wire;

use std::process::ExitCode;

use engine::{Found, fuzz};
use targets::targets;

/// More memory than this no target may take, whatever its input says: the program ends where it does.
const MOST_MEMORY: u64 = 6 << 30;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut executions, mut seed, mut names) = (1_000_000, 1, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--executions" => executions = number().unwrap_or(executions),
            "--seed" => seed = number().unwrap_or(seed),
            "--replay" => {
                let (name, hex) =
                    (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
                return replay(&name, &hex);
            }
            _ => names.push(argument),
        }
    }
    rlimit::setrlimit(rlimit::Resource::AS, MOST_MEMORY, MOST_MEMORY).unwrap();
    let chosen: Vec<_> = targets()
        .into_iter()
        .filter(|target| names.is_empty() || names.iter().any(|name| name == target.name))
        .collect();
    let shares: u64 = chosen.iter().map(|target| target.share).sum();
    let mut findings = 0;
    for target in chosen {
        let wanted = executions * target.share / shares.max(1);
        let Found { executions, kinds, finding } = fuzz(&target, seed, wanted);
        println!("{:<18} {executions:>9} executions, {kinds:>5} kinds of results", target.name);
        if let Some(finding) = finding {
            findings += 1;
            println!(
                "FOUND in {}: {}\n  seed {seed}, execution {}\n  --replay {} {}\n  {}",
                target.name,
                finding.what,
                finding.execution,
                target.name,
                finding.hex(),
                finding.escaped()
            );
        }
    }
    println!("{findings} findings");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(name: &str, hex: &str) -> ExitCode {
    let target = targets().into_iter().find(|target| target.name == name);
    let bytes: Option<Vec<u8>> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()).collect();
    let (Some(target), Some(bytes)) = (target, bytes) else {
        println!("--replay TARGET HEX: there is no target {name}, or {hex} is no hex");
        return ExitCode::FAILURE;
    };
    println!("result {}", (target.prepare)()(&bytes));
    ExitCode::SUCCESS
}
