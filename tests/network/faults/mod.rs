//! What networks do, at every stage of a connection: fault × stage, each a run over real sockets through a proxy of our own. Nothing hangs,
//! every attempt has its one outcome, the time is put down to the phase that took it, and where the clients' numbers are not the
//! target's, the difference is known number by number.

mod cell;
mod link;
mod proxy;
mod shim;
mod strike;
mod table;
mod target;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cell::{STAGES, run_cell};
use table::TABLE;

use crate::support::alone::alone;

/// Cells at once: most of their time is waiting.
const AT_ONCE: usize = 40;

#[test]
fn every_fault_at_every_stage_is_what_the_table_says() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let cells: Vec<_> = TABLE
        .iter()
        .flat_map(|(what, _, expected)| {
            STAGES.iter().zip(expected).map(move |(stage, expected)| (*what, stage.0, *expected))
        })
        .filter(|(_, _, expected)| !expected.starts_with('–'))
        .collect();
    assert!(cells.len() >= 75, "{} cells", cells.len());
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((what, stage, expected)) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let came = run_cell(*what, *stage, expected, runtime.handle());
                    seen.lock().unwrap().push((*what, *stage, *expected, came));
                }
            });
        }
    });
    let wrong: Vec<String> = seen
        .into_inner()
        .unwrap()
        .into_iter()
        .filter(|(_, _, expected, came)| {
            !came.as_ref().is_ok_and(|came| expected.split(" or: ").any(|one| one == came))
        })
        .map(|(what, stage, expected, came)| {
            let came = came.unwrap_or_else(|fault| fault);
            format!("{what:?} at {stage:?}:\n    expected  {expected}\n    came      {came}")
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}

/// The table, as the reader of the project sees it.
#[test]
fn the_table_is_told() {
    let mut text = String::from("| fault |");
    STAGES.iter().for_each(|(_, name)| write!(text, " {name} |").unwrap());
    text.push_str("\n|---|");
    STAGES.iter().for_each(|_| text.push_str("---|"));
    for (_, words, cells) in TABLE {
        write!(text, "\n| {words} |").unwrap();
        cells.iter().for_each(|cell| write!(text, " {cell} |").unwrap());
    }
    insta::assert_snapshot!("table", text);
}
