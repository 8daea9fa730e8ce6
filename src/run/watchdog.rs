//! The watchdog of a worker's event loop: how late it was, and how late it was for the clients.
//!
//! In: the clock, how many attempts have ended. Out: two histograms of how late a timer of the clients' own event loop was, asked every
//! 20 ms (100 ms where few end): of all times that it was asked, and of the attempts that ended meanwhile. The second tells what the clients' own measurements
//! may owe to it: a storm of a second counts in a run of an hour as much as it has attempts. And how many attempts ended in seconds in
//! which the loop had no rest: there, what was measured is this machine's speed. Each time is a sample of every group's lag as well: so it
//! is known throughout a run, also while no client has anything due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::drive::network::RunShared;
use crate::lifecycle::StopPhase;
use crate::machine;
use crate::record::Latencies;
use crate::sample::{GroupId, Sample};

/// How often the event loop is asked while many attempts end.
const EVERY: Duration = Duration::from_millis(20);
/// And while few do: being woken is what costs most in a process that waits.
const EVERY_IDLE: Duration = Duration::from_millis(100);
/// Many are so many in a second.
const MANY: f64 = 200.0;

/// How long an event loop must be without rest to count as saturated: shorter bursts are the load's own.
const SECOND: Duration = Duration::from_secs(1);
/// The share of it that its thread runs or waits to run.
const NO_REST: f64 = 0.95;

/// How late an event loop was.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Each time that it was asked.
    pub(super) stalls: Latencies,
    /// Once for each attempt that ended meanwhile.
    pub(super) delays: Latencies,
    /// Attempts that ended.
    pub(super) attempts: u64,
    /// Those of them that ended in a second in which the event loop had no rest.
    pub(super) saturated: u64,
}

/// A second of a worker's thread.
struct Second {
    began: Moment,
    /// Time that the thread ran or waited for a processor, when the second began; `None` where the system does not tell.
    busy: Option<Duration>,
    attempts: u64,
    /// How late the loop was, each time that it was asked.
    late: Vec<Duration>,
}

impl Second {
    fn begin(now: Moment) -> Self {
        Self { began: now, busy: machine::thread_busy(), attempts: 0, late: Vec::new() }
    }

    /// Tells the groups how late their loop was.
    async fn tell(&self, worker: &RunShared, now: Moment, groups: u16) {
        for group in (0..groups).map(GroupId) {
            let mut samples = self.late.iter().copied().map(Sample::Lag).collect();
            worker.tell(now, group, &mut samples).await;
        }
    }

    /// Whether the thread ran, or would have run if it had been let, all the time.
    fn had_no_rest(&self, now: Moment) -> bool {
        let (Some(before), Some(after)) = (self.busy, machine::thread_busy()) else { return false };
        after.saturating_sub(before) >= now.since(self.began).mul_f64(NO_REST)
    }
}

impl Watched {
    fn take(&mut self, second: &Second, now: Moment) {
        self.attempts += second.attempts;
        // A shorter piece is a burst, and not yet a load.
        if now.since(second.began) >= SECOND && second.had_no_rest(now) {
            self.saturated += second.attempts;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.stalls.merge(&other.stalls);
        self.delays.merge(&other.delays);
        self.attempts += other.attempts;
        self.saturated += other.saturated;
    }
}

/// Watches until the run's time is over: then all clients leave at once, and nothing is measured any more.
pub(super) async fn watch_loop(
    worker: Arc<RunShared>,
    clock: Clock,
    mut phase: watch::Receiver<StopPhase>,
    groups: u16,
) -> Watched {
    let mut watched = Watched::default();
    let mut second = Second::begin(clock.now());
    let mut every = EVERY;
    let mut due = clock.now() + every;
    loop {
        let is_over = tokio::select! {
            // The end comes first: what it makes late is no measurement's fault.
            biased;
            _ = phase.wait_for(|phase| *phase > StopPhase::Running) => true,
            () = worker.sleep_until(due) => false,
        };
        if is_over {
            let now = worker.over();
            watched.take(&second, now);
            second.tell(&worker, now, groups).await;
            return watched;
        }
        let now = clock.now();
        let late = now.since(due);
        watched.stalls.record(late);
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let ended = worker.take_attempts_ended();
        watched.delays.record_many(late_us, ended);
        second.attempts += ended;
        second.late.push(late);
        if now.since(second.began) >= SECOND {
            watched.take(&second, now);
            second.tell(&worker, now, groups).await;
            second = Second::begin(now);
        }
        let many = MANY * (every + late).as_secs_f64();
        every = if ended as f64 >= many { EVERY } else { EVERY_IDLE };
        // What was missed is one stall, not many.
        due = now.max(due) + every;
    }
}
