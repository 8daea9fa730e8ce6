//! The target on sockets: hyper for HTTP, tungstenite for WebSocket, on a runtime of its own.
//!
//! In: an address, rules, a seed, the run's clock. Out: a running service on loopback or elsewhere, its counters, storms on
//! demand. Decides nothing: every decision is [`TargetState`](super::rules::TargetState)'s.

mod alarm;
mod answer;
mod body;
mod busy;
mod connection;
mod control;
mod credential;
mod cut;
mod listen;
mod session;
mod shared;
mod token;
mod token_form;
mod upgrade;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::scenario::model::TargetRules;

use super::counters::TargetCounters;
use super::rules::StormError;
use shared::Shared;

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Path of the guarded WebSocket endpoint.
pub const EVENTS_PATH: &str = "/api/v2/analytics/events";
/// Path of the counters.
pub const COUNTERS_PATH: &str = "/_resurge/counters";
/// Path of storms.
pub const CLOSE_PATH: &str = "/_resurge/close";

/// What a server needs.
#[derive(Debug)]
pub struct ServerSetup {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its rules.
    pub rules: TargetRules,
    /// Seed of its tokens, delays and storms.
    pub seed: u64,
    /// The clock whose origin is the target's; message numbers count from it.
    pub clock: Clock,
    /// Threads of its runtime, at least 1.
    pub worker_threads: usize,
}

/// A running target.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Accepting ends when this is dropped.
    accepting: Option<watch::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a target on a runtime of its own. It listens when this returns.
    ///
    /// # Errors
    /// The address cannot be had, or no thread.
    pub fn start(setup: ServerSetup) -> io::Result<Self> {
        let listener = listen::bind(setup.listen)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(setup.rules, setup.seed, setup.clock)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(setup.worker_threads.max(1))
            .thread_name("target")
            .enable_all()
            .build()?;
        let registered = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)
        };
        let listener = match registered {
            Ok(listener) => listener,
            Err(error) => {
                // A runtime that is dropped inside another one would panic.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (accepting, stop) = watch::channel(());
        runtime.spawn(listen::accept(Arc::clone(&shared), listener, stop));
        Ok(Self { addr, shared, accepting: Some(accepting), runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its counters, as they are now.
    #[must_use]
    pub fn counters(&self) -> TargetCounters {
        self.shared.state().counters()
    }

    /// Closes this share of the sessions with `code`; answers with how many.
    ///
    /// # Errors
    /// A code that cannot be sent, or a fraction outside (0, 1].
    pub fn storm(&self, code: u16, fraction: f64) -> Result<u64, StormError> {
        self.shared.storm(code, fraction)
    }

    /// Waits until no session is open and no request is in flight, at most `timeout`; whether it came to that. Connections
    /// that have not sent a request yet count as in flight, idle ones that were answered do not.
    pub async fn wait_until_quiet(&self, timeout: Duration) -> bool {
        self.shared.busy.wait_until_quiet(timeout).await
    }

    /// Stops accepting, waits at most `deadline` for sessions and requests to end, and cuts off what is left. Answers with
    /// the final counters, in which sessions that were cut off still count as open.
    pub async fn shutdown(mut self, deadline: Duration) -> TargetCounters {
        self.accepting = None;
        let is_quiet = self.wait_until_quiet(deadline).await;
        if !is_quiet {
            log::warn!("the target was stopped with work in flight");
        }
        self.counters()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A runtime that is dropped inside another one would panic: let its threads go instead.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
