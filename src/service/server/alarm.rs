//! Waking up on time: the delays of answers, kept to within a fraction of a millisecond.
//!
//! In: moments. Out: wake-ups, never early. Tokio's timers have a grain of a millisecond and are up to two late, which would
//! distort a delay of a few milliseconds; a thread that waits for the next due moment is not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::clock::{Clock, Moment};

/// Wakes tasks at moments. Its thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Alarm {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Board {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    sleepers: BinaryHeap<Reverse<Sleeper>>,
    is_over: bool,
}

/// A task that sleeps. Ordered by its moment alone.
#[derive(Debug)]
struct Sleeper {
    due: Moment,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Board {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm {
    pub(super) fn start(clock: Clock) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        let watched = Arc::clone(&board);
        let thread = std::thread::Builder::new()
            .name("target-alarm".to_owned())
            .spawn(move || watch(&watched, clock))?;
        Ok(Self { board, thread: Some(thread) })
    }

    /// Sleeps until `due`; returns at once where that has passed.
    pub(super) async fn sleep_until(&self, due: Moment) {
        let (wake, woken) = oneshot::channel();
        let is_first = {
            let mut queue = self.board.queue();
            let is_first = queue.sleepers.peek().is_none_or(|first| due < first.0.due);
            queue.sleepers.push(Reverse(Sleeper { due, wake }));
            is_first
        };
        if is_first {
            self.board.changed.notify_one();
        }
        // The sender goes without a word only when the alarm is dropped, and the server with it.
        let _ = woken.await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.board.queue().is_over = true;
        self.board.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the target's alarm thread panicked");
        }
    }
}

/// Wakes each sleeper when its moment has come.
fn watch(board: &Board, clock: Clock) {
    let mut queue = board.queue();
    while !queue.is_over {
        let now = clock.now();
        let next = queue.sleepers.peek().map(|first| first.0.due);
        queue = match next {
            Some(due) if due <= now => {
                if let Some(Reverse(sleeper)) = queue.sleepers.pop() {
                    // A request that was given up no longer listens.
                    let _ = sleeper.wake.send(());
                }
                queue
            }
            Some(due) => {
                let waited = board.changed.wait_timeout(queue, due.since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => board.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_moments_and_never_early() {
        let clock = Clock::start();
        let alarm = Alarm::start(clock).unwrap();
        let start = clock.now();
        let sleeps = [30_u64, 10, 20, 0].map(|ms| {
            let alarm = &alarm;
            async move {
                let due = start + Duration::from_millis(ms);
                alarm.sleep_until(due).await;
                (clock.now(), due)
            }
        });
        let mut woken = futures::future::join_all(sleeps).await;
        assert!(woken.iter().all(|(at, due)| at >= due), "{woken:?}");
        woken.sort();
        // Those that a stalled machine wakes together may tell of it in any order.
        let apart = |pair: &[(crate::clock::Moment, crate::clock::Moment)]| {
            pair[1].0.since(pair[0].0) < Duration::from_millis(5) || pair[0].1 < pair[1].1
        };
        assert!(woken.windows(2).all(apart), "{woken:?}");
    }
}
