//! What all clients of a worker share.
//!
//! In: the run's clock, policy, TLS and end. Out: [`RunShared`]: the worker's timers, names, ports, and its end of the channel to the
//! recorder.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, Moment};
use crate::drive::network::address::AddressPolicy;
use crate::drive::network::group_sink::GroupSink;
use crate::drive::network::ports::LocalPorts;
use crate::drive::network::resolve::Resolver;
use crate::drive::network::token::PoolWaits;
use crate::drive::network::wire::Wire;
use crate::drive::{SampleSink, Sleep, Timers};
use crate::lifecycle::StopPhase;
use crate::sample::{GroupId, Sample};

/// What all clients of a worker share.
#[derive(Debug)]
pub struct RunShared {
    clock: Clock,
    timers: Arc<Timers>,
    sink: SampleSink,
    flushing: JoinHandle<()>,
    stop: watch::Receiver<StopPhase>,
    /// When it was first seen that the run is over.
    over: OnceLock<Moment>,
    tls: Option<Arc<rustls::ClientConfig>>,
    names: Arc<Resolver>,
    ports: Arc<LocalPorts>,
    /// Where the embedded target listens; empty for one that has a single address.
    target_addresses: Vec<SocketAddr>,
    /// Connections that clients keep open in silence.
    silent: Mutex<Vec<Wire>>,
    pool_waits: Arc<PoolWaits>,
    /// Attempts that have ended since it was last asked.
    attempts_ended: Arc<AtomicU64>,
}

impl RunShared {
    /// What a worker's clients share; to be called in its runtime. `tls` is needed where any URL is `wss` or `https`.
    ///
    /// # Errors
    /// Where the system has no timer to give.
    pub fn new(
        clock: Clock,
        policy: Arc<AddressPolicy>,
        sink: SampleSink,
        stop: watch::Receiver<StopPhase>,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> io::Result<Self> {
        Ok(Self {
            clock,
            timers: Arc::new(Timers::start(clock)?),
            flushing: tokio::spawn(sink.clone().keep_flushing(clock)),
            sink,
            stop,
            over: OnceLock::new(),
            tls,
            names: Arc::new(Resolver::new(clock, policy)),
            ports: Arc::new(LocalPorts::of_machine()),
            target_addresses: Vec::new(),
            silent: Mutex::default(),
            pool_waits: Arc::default(),
            attempts_ended: Arc::default(),
        })
    }

    /// The same, where clients of the embedded target spread over these addresses of it by their number.
    #[must_use]
    pub fn spread_over(mut self, target_addresses: Vec<SocketAddr>) -> Self {
        self.target_addresses = target_addresses;
        self
    }

    /// Sleeps until `due`, to within a fraction of a millisecond.
    #[must_use]
    pub fn sleep_until(&self, due: Moment) -> Sleep<'_> {
        self.timers.sleep_until(due)
    }

    /// How many attempts have ended since the last call.
    #[must_use]
    pub fn take_attempts_ended(&self) -> u64 {
        self.attempts_ended.swap(0, Ordering::Relaxed)
    }

    /// Sends what waits to go to the recorder. To be called when the last client has ended.
    pub async fn flush(&self) {
        self.sink.flush().await;
    }

    /// Longest wait for a connection of a token pool so far.
    #[must_use]
    pub fn pool_wait_max(&self) -> Duration {
        self.pool_waits.max()
    }

    /// Longest wait of a token for a processor that signs it, so far.
    #[must_use]
    pub fn mint_wait_max(&self) -> Duration {
        self.pool_waits.mint_max()
    }

    pub(in crate::drive::network) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(in crate::drive::network) const fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    /// When the run was over, for whoever sees that it is.
    pub fn over(&self) -> Moment {
        *self.over.get_or_init(|| self.clock.now())
    }

    pub(in crate::drive::network) fn stop(&self) -> watch::Receiver<StopPhase> {
        self.stop.clone()
    }

    /// Keeps a connection open on which nobody says anything any more.
    pub(in crate::drive::network) fn keep_silent(&self, wire: Wire) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).push(wire);
    }

    /// Sends what happened to a group on this worker at `at`, and to none of its clients.
    pub async fn tell(&self, at: Moment, group: GroupId, samples: &mut Vec<Sample>) {
        self.sink.send_all(at, group, None, samples).await;
    }

    /// A group's end of the channel to the recorder.
    pub(super) fn sink_of(&self, group: GroupId) -> GroupSink {
        GroupSink::new(self.clock, self.sink.clone(), group, Arc::clone(&self.attempts_ended))
    }

    pub(super) fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.tls.clone()
    }

    pub(super) fn names(&self) -> Arc<Resolver> {
        Arc::clone(&self.names)
    }

    pub(super) fn ports(&self) -> Arc<LocalPorts> {
        Arc::clone(&self.ports)
    }

    pub(super) fn target_addresses(&self) -> &[SocketAddr] {
        &self.target_addresses
    }

    pub(super) fn pool_waits(&self) -> Arc<PoolWaits> {
        Arc::clone(&self.pool_waits)
    }
}

impl Drop for RunShared {
    fn drop(&mut self) {
        self.flushing.abort();
    }
}
