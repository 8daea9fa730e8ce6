//! Waking up on time: a worker's sleeps, kept to within a fraction of a millisecond.
//!
//! In: moments. Out: futures that end then, never early. Tokio's timers have a grain of a millisecond and round up, which a reconnect of
//! half a millisecond would show as three times as long; here one alarm of the system for each worker is set to the next moment that is
//! due, finer than that where the system has such ([`ALARM_GRAIN`](crate::machine)).

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use crate::clock::{Clock, Moment};
use crate::machine::Alarm;

/// The sleeps of one worker. Its task ends when this is dropped.
#[derive(Debug)]
pub struct Timers {
    board: Arc<Board>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Board {
    clock: Clock,
    alarm: Alarm,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// By moment; the number tells apart those of one moment.
    sleepers: BTreeMap<(Moment, u64), Waker>,
    next_number: u64,
    /// What the alarm is set to.
    set_to: Moment,
}

/// A sleep; ends at its moment. What is dropped before is forgotten.
#[derive(Debug)]
pub struct Sleep<'a> {
    board: &'a Board,
    due: Moment,
    number: Option<u64>,
}

impl Timers {
    /// Starts the timers of a worker; to be called in its runtime.
    ///
    /// # Errors
    /// Where the system has no timer to give.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        let queue = Queue { sleepers: BTreeMap::new(), next_number: 0, set_to: Moment::NEVER };
        let board = Arc::new(Board { clock, alarm, queue: Mutex::new(queue) });
        let task = tokio::spawn(wake_when_due(Arc::clone(&board)));
        Ok(Self { board, task })
    }

    /// Sleeps until `due`; ends at once where that has passed, and never for [`Moment::NEVER`].
    #[must_use]
    pub fn sleep_until(&self, due: Moment) -> Sleep<'_> {
        Sleep { board: &self.board, due, number: None }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Board {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the alarm to `due`, where it is not set to go off before.
    fn set(&self, queue: &mut Queue, due: Moment, now: Moment) {
        if due >= queue.set_to {
            return;
        }
        match self.alarm.set(self.clock.instant(due), due.since(now)) {
            Ok(()) => queue.set_to = due,
            // The descriptor and the value are in order, so there is nothing that the system could refuse.
            Err(error) => log::error!("a timer could not be set: {error}"),
        }
    }

    /// Takes those out whose moment has come, and sets the alarm to the next.
    fn due_now(&self) -> Vec<Waker> {
        let mut queue = self.queue();
        let now = self.clock.now();
        queue.set_to = Moment::NEVER;
        let later = queue.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut queue.sleepers, later);
        if let Some((next, _)) = queue.sleepers.first_key_value() {
            let next = next.0;
            self.set(&mut queue, next, now);
        }
        drop(queue);
        due.into_values().collect()
    }
}

async fn wake_when_due(board: Arc<Board>) {
    while board.alarm.gone_off().await.is_ok() {
        board.due_now().into_iter().for_each(Waker::wake);
    }
}

impl Sleep<'_> {
    /// When it ends.
    pub const fn due(&self) -> Moment {
        self.due
    }
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.due == Moment::NEVER {
            return Poll::Pending;
        }
        let now = self.board.clock.now();
        if now >= self.due {
            return Poll::Ready(());
        }
        let (board, due) = (self.board, self.due);
        let mut queue = board.queue();
        let number = self.number.unwrap_or(queue.next_number);
        if self.number.is_none() {
            queue.next_number += 1;
            self.number = Some(number);
        }
        match queue.sleepers.get_mut(&(due, number)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                queue.sleepers.insert((due, number), cx.waker().clone());
                board.set(&mut queue, due, now);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.board.queue().sleepers.remove(&(self.due, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;

    #[tokio::test]
    async fn sleeps_end_in_the_order_of_their_moments_and_never_early() {
        let clock = Clock::start();
        let timers = Timers::start(clock).unwrap();
        let start = clock.now();
        let sleeps = [30_u64, 10, 20, 0, 10].map(|ms| {
            let timers = &timers;
            async move {
                let due = start + Duration::from_millis(ms);
                timers.sleep_until(due).await;
                (due, clock.now())
            }
        });
        let woken = join_all(sleeps).await;
        assert!(woken.iter().all(|(due, at)| at >= due), "{woken:?}");
        assert!(timers.board.queue().sleepers.is_empty());
    }

    #[tokio::test]
    async fn what_is_dropped_is_forgotten_and_what_comes_later_is_not() {
        let clock = Clock::start();
        let timers = Timers::start(clock).unwrap();
        let soon = clock.now() + Duration::from_millis(20);
        let given_up = timers.sleep_until(clock.now() + Duration::from_millis(5)).now_or_never();
        assert_eq!(given_up, None);
        assert!(timers.board.queue().sleepers.is_empty(), "dropped with the future");
        timers.sleep_until(soon).await;
        assert!(clock.now() >= soon);
        assert_eq!(timers.sleep_until(Moment::NEVER).now_or_never(), None);
        assert_eq!(timers.sleep_until(Moment::ZERO).now_or_never(), Some(()));
    }
}
