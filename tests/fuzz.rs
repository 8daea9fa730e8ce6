//! A short slice of the fuzzing in `benches/fuzz.rs`: every target, with the same inputs each time. The long form is a command in `CONTRIBUTING.md`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a test that meets what it does not expect has failed; the bench's replay is not a test's"
)]

#[path = "../benches/fuzz/engine.rs"]
mod engine;
#[path = "../benches/fuzz/files.rs"]
mod files;
#[path = "../benches/fuzz/mutate.rs"]
mod mutate;
#[path = "../benches/fuzz/talk.rs"]
mod talk;
#[path = "../benches/fuzz/targets.rs"]
mod targets;
#[path = "../benches/fuzz/wire.rs"]
mod wire;

use std::sync::{Mutex, PoisonError};

use engine::{Found, Target, fuzz};
use targets::targets;

/// One at a time: a panic of any thread is taken for the target's.
static ALONE: Mutex<()> = Mutex::new(());

/// Executions of a target for each share of it.
const PER_SHARE: u64 = 100;

fn assert_nothing_found(targets: Vec<Target>) {
    for target in targets {
        let Found { executions, kinds, finding } = fuzz(&target, 1, target.share * PER_SHARE);
        let found = finding.map(|finding| {
            format!(
                "{}: {}\n  cargo bench --profile test --bench fuzz -- --replay {} {}\n  {}",
                target.name,
                finding.what,
                target.name,
                finding.hex(),
                finding.escaped()
            )
        });
        assert_eq!(found, None);
        assert!(executions > 0 && kinds > 1, "{}: its inputs lead nowhere", target.name);
    }
}

#[test]
fn what_strangers_write_breaks_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_nothing_found(targets());
}

#[test]
fn a_target_that_breaks_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let breaks = || -> engine::Run {
        Box::new(|bytes| {
            assert!(!bytes.windows(2).any(|two| two == b"\xff!"), "planted");
            u64::from(bytes.contains(&0xff))
        })
    };
    let target = Target {
        name: "planted",
        share: 1,
        corpus: vec![b"hello!".to_vec()],
        words: vec![b"!"],
        prepare: breaks,
    };
    let finding = fuzz(&target, 1, 1_000_000).finding.unwrap();
    assert!(finding.what.contains("planted") && finding.hex().contains("ff21"), "{}", finding.what);
}
