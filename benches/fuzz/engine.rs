//! The loop: an input, an execution, what came of it.
//!
//! In: a target, a seed, how many executions. Out: how many kinds of results there were, and the first finding: a panic, or a hang.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::mutate::{below, mutated};

/// Takes an input in; answers with the kind of its result. What may not be panics.
pub(crate) type Run = Box<dyn FnMut(&[u8]) -> u64>;

/// Something that reads what strangers wrote.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Its share of the executions: slow ones have small ones.
    pub(crate) share: u64,
    /// Inputs that are as they should be.
    pub(crate) corpus: Vec<Vec<u8>>,
    /// Words of its format.
    pub(crate) words: Vec<&'static [u8]>,
    /// Makes what takes inputs in.
    pub(crate) prepare: fn() -> Run,
}

/// An input that does what none may.
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) execution: u64,
    input: Vec<u8>,
}

impl Finding {
    pub(crate) fn hex(&self) -> String {
        self.input.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn escaped(&self) -> String {
        self.input.escape_ascii().to_string()
    }
}

/// What came of a target.
pub(crate) struct Found {
    pub(crate) executions: u64,
    pub(crate) kinds: usize,
    pub(crate) finding: Option<Finding>,
}

/// An execution may not take longer: it hangs.
const HANGS: Duration = Duration::from_secs(20);
/// Inputs that are kept because they lead elsewhere.
const MOST_KEPT: usize = 500;

thread_local! {
    /// Where the last panic of this thread was.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}
/// Panics of any thread: those of a runtime's tasks come to nobody else's notice.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Takes note of panics instead of printing them.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            PANICKED.with(|last| *last.borrow_mut() = Some(panic.to_string()));
        }));
    });
}

/// Executes a target until there is a finding, or often enough.
pub(crate) fn fuzz(target: &Target, seed: u64, executions: u64) -> Found {
    listen_to_panics();
    let number =
        target.name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(257).wrapping_add(u64::from(byte)));
    let mut draws = ChaCha8Rng::seed_from_u64(number);
    let mut corpus = target.corpus.clone();
    let mut kinds = BTreeSet::new();
    let watched: Arc<Mutex<(u64, Vec<u8>)>> = Arc::default();
    let watching = watch(target.name, &watched);
    let mut run = (target.prepare)();
    let (mut done, mut finding) = (0, None);
    while done < executions && finding.is_none() {
        let as_they_are = done as usize;
        let input = match target.corpus.get(as_they_are) {
            Some(valid) => valid.clone(),
            None => mutated(&mut draws, &corpus, &target.words),
        };
        done += 1;
        {
            let mut watched = watched.lock().unwrap();
            watched.0 = done;
            watched.1.clone_from(&input);
        }
        let before = PANICS.load(Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| run(&input)));
        let panicked = PANICS.load(Ordering::Relaxed) > before;
        match result {
            Ok(kind) if !panicked => {
                if kinds.insert(kind) && corpus.len() < target.corpus.len() + MOST_KEPT {
                    corpus.push(input);
                } else if below(&mut draws, 5_000) == 0 && corpus.len() > target.corpus.len() {
                    // Room for others.
                    let at = target.corpus.len() + below(&mut draws, corpus.len() - target.corpus.len());
                    corpus.swap_remove(at);
                }
            }
            _ => {
                let what = PANICKED.with(|last| last.borrow_mut().take());
                let what = what.unwrap_or_else(|| "a panic in another thread".to_owned());
                finding = Some(Finding { what, execution: done, input });
            }
        }
    }
    drop(watching);
    Found { executions: done, kinds: kinds.len(), finding }
}

/// Looks whether executions go on until the answer is dropped; where they do not, says with which input, and ends the program.
fn watch(name: &'static str, watched: &Arc<Mutex<(u64, Vec<u8>)>>) -> SyncSender<()> {
    let (stop, stopped) = sync_channel(1);
    let watched = Arc::clone(watched);
    std::thread::spawn(move || {
        let mut last = u64::MAX;
        while stopped.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
            let (done, input) = watched.lock().unwrap().clone();
            if done == last {
                println!(
                    "FOUND in {name}: execution {done} hangs\n  {}",
                    Finding { what: String::new(), execution: done, input }.hex()
                );
                std::process::exit(1);
            }
            last = done;
        }
    });
    stop
}
