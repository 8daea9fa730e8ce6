//! The workers of a run: what the clients on each share, and how late its event loop was.
//!
//! In: a prepared run, its workers. Out: a [`Hand`] for each worker; and what was [`Watched`] while the run went on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::drive::SampleSink;
use crate::drive::network::RunShared;
use crate::engine::RunControl;

use super::error::RunError;
use super::prepare::Prepared;
use super::watchdog::watch_loop;
use super::workers::Workers;

pub(super) use super::watchdog::Watched;

/// A worker, and what the clients on it share.
pub(super) struct Hand {
    pub(super) worker: Handle,
    pub(super) shared: Arc<RunShared>,
}

/// Sets up what the clients of each worker share.
pub(super) fn crew(
    prepared: &Prepared,
    control: &RunControl,
    sink: &SampleSink,
    workers: &Workers,
) -> Result<Vec<Hand>, RunError> {
    let tls = prepared.tls.clone().map(Arc::new);
    let hand = |worker: &Handle| {
        let _entered = worker.enter();
        let (policy, stop) = (Arc::clone(&prepared.policy), control.subscribe());
        let shared = RunShared::new(prepared.clock, policy, sink.another(), stop, tls.clone())?
            .spread_over(prepared.target_addresses.clone());
        Ok(Hand { worker: worker.clone(), shared: Arc::new(shared) })
    };
    let crew: std::io::Result<_> = workers.handles().map(hand).collect();
    crew.map_err(|source| RunError::Start { what: "the workers' timers", source })
}

/// The watch over the event loops of a crew.
pub(super) struct Watch {
    watchers: Vec<JoinHandle<Watched>>,
}

impl Watch {
    /// Begins it. It lasts until the run's time is over.
    pub(super) fn begin(crew: &[Hand], control: &RunControl, clock: Clock, groups: usize) -> Self {
        let groups = u16::try_from(groups).unwrap_or(u16::MAX);
        let watch = |hand: &Hand| {
            hand.worker.spawn(watch_loop(Arc::clone(&hand.shared), clock, control.subscribe(), groups))
        };
        Self { watchers: crew.iter().map(watch).collect() }
    }

    /// Answers with what all saw.
    pub(super) async fn end(self) -> Watched {
        let mut all = Watched::default();
        for watcher in self.watchers {
            match watcher.await {
                Ok(watched) => all.merge(&watched),
                Err(error) => log::error!("an event loop was not watched to its end: {error}"),
            }
        }
        all
    }
}
