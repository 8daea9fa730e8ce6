//! One walk through a plan.
//!
//! In: who starts when, which storms strike when, when the run ends. Out: nothing but its end; what happens on the way is
//! in the clients' samples.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::clock::{Clock, Moment};
use crate::drive::{Driver, Timers};
use crate::lifecycle::StopPhase;
use crate::scenario::Arrival;

use super::control::{RunControl, StopReason};

/// How long clients get to end once everything was cut off: no wait of theirs outlasts that.
const ABORT_GRACE: Duration = Duration::from_secs(15);

/// The clients of a group on one worker, and when each is due to start.
pub struct Population<D> {
    /// Where they run.
    pub worker: Handle,
    /// Who drives them.
    pub driver: Arc<D>,
    /// Each of them, by due start.
    pub starts: Box<dyn Iterator<Item = Arrival> + Send>,
}

/// A storm that the target is to raise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StormStrike {
    /// When.
    pub at: Moment,
    /// With which close code.
    pub code: u16,
    /// On which share of the sessions.
    pub fraction: f64,
}

/// What a walk needs.
pub struct EnginePlan<D> {
    /// The clients. They hold the senders of `done`.
    pub populations: Vec<Population<D>>,
    /// Closed when the last client has ended.
    pub done: mpsc::Receiver<()>,
    /// Storms, by time.
    pub storms: Vec<StormStrike>,
    /// Raises a storm at the target.
    pub strike: Box<dyn Fn(StormStrike) + Send + Sync>,
    /// When the run's time is over.
    pub end: Moment,
    /// How long it may drain then.
    pub drain: Duration,
}

/// Walks `plan` to its end: returns when every client has ended.
///
/// Clients that do not end within the drain are cut off; `false` says that some did not end even then.
pub async fn walk_plan<D: Driver>(plan: EnginePlan<D>, control: &Arc<RunControl>, clock: Clock) -> bool {
    let EnginePlan { populations, mut done, storms, strike, end, drain } = plan;
    let timers = populations.first().map(|population| Arc::clone(population.driver.timers()));
    for population in populations {
        let worker = population.worker.clone();
        worker.spawn(start_clients(population, Arc::clone(control), clock));
    }
    let stormy = tokio::spawn(raise_storms(storms, strike, control.subscribe(), timers));
    let mut phase = control.subscribe();
    tokio::select! {
        () = until(clock, end) => control.stop(StopReason::Completed),
        _ = phase.wait_for(|phase| *phase > StopPhase::Running) => {}
        _ = done.recv() => control.stop(StopReason::ClientsDone),
    }
    stormy.abort();
    let drained = tokio::select! {
        _ = done.recv() => true,
        () = tokio::time::sleep(drain) => false,
        _ = phase.wait_for(|phase| *phase == StopPhase::Aborting) => false,
    };
    if drained {
        return true;
    }
    control.abort();
    timeout(ABORT_GRACE, done.recv()).await.is_ok()
}

/// Starts each client when it is due, until the run stops.
async fn start_clients<D: Driver>(population: Population<D>, control: Arc<RunControl>, clock: Clock) {
    let Population { driver, starts, .. } = population;
    let mut phase = control.subscribe();
    for (nth, Arrival { client, at: due, leaves }) in starts.enumerate() {
        if due > clock.now() {
            tokio::select! {
                () = driver.timers().sleep_until(due) => {}
                _ = phase.wait_for(|phase| *phase > StopPhase::Running) => return,
            }
        } else if *phase.borrow() > StopPhase::Running {
            return;
        } else if nth.is_multiple_of(64) {
            // Many clients due at one moment must not keep those already started from running.
            tokio::task::yield_now().await;
        }
        if nth == 0 {
            control.note_start(due, clock.now());
        }
        match client {
            Some(number) => drop(tokio::spawn(Arc::clone(&driver).drive(number, due, leaves))),
            None => driver.drop_arrival(due).await,
        }
    }
}

async fn raise_storms(
    storms: Vec<StormStrike>,
    strike: Box<dyn Fn(StormStrike) + Send + Sync>,
    mut phase: watch::Receiver<StopPhase>,
    timers: Option<Arc<Timers>>,
) {
    let Some(timers) = timers else { return };
    for storm in storms {
        tokio::select! {
            () = timers.sleep_until(storm.at) => strike(storm),
            _ = phase.wait_for(|phase| *phase > StopPhase::Running) => return,
        }
    }
}

async fn until(clock: Clock, moment: Moment) {
    tokio::time::sleep_until(clock.instant(moment).into()).await;
}
