//! The target on sockets: hyper for HTTP, tungstenite for WebSocket, on a runtime of its own.
//!
//! In: an address, rules, a seed, the run's clock. Out: a running service on loopback or elsewhere, its counters, storms on
//! demand. Decides nothing: every decision is [`TargetState`](super::rules::TargetState)'s.

mod alarm;
mod answer;
mod body;
mod busy;
mod capacity;
mod connection;
mod control;
mod cors;
mod cut;
mod door;
mod listen;
mod paths;
mod route;
mod say;
mod serve;
mod session;
mod shared;
mod storms;
#[doc(hidden)]
pub mod strangers;
mod threads;
mod tls;
mod token;
mod token_form;
mod upgrade;
mod waiters;
mod well_known;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::scenario::keys::TargetRules;

use super::counters::TargetCounters;
use super::storms::StormError;
use door::Door;
use listen::Listener;
use shared::{Place, Shared};
use threads::Threads;

pub use paths::{
    CLOSE_PATH, CONTROL_REVOKE_PATH, COUNTERS_PATH, DISCOVERY_PATH, EVENTS_PATH, JWKS_PATH, REVOKE_PATH,
    TOKEN_PATH,
};
pub use tls::{Authority, ServerTls, ServerTlsError, client_verifier};

/// How often a port is looked for that is free at several addresses.
const BIND_TRIES: u32 = 20;

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
    /// Where the control endpoints are to be had, in plain HTTP; `None`: where all else is.
    pub control: Option<SocketAddr>,
    /// What control requests must show as a bearer token. `None`: nothing, where only this machine can reach them; where others can,
    /// there are no control endpoints then.
    pub control_token: Option<SecretString>,
    /// What it speaks TLS with; `None`: plain TCP, or a certificate made at its start where the rules say `tls`.
    pub tls: Option<ServerTls>,
}

/// A running target.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    control: Option<SocketAddr>,
    tls: Option<ServerTls>,
    shared: Arc<Shared>,
    /// Accepting ends when this is dropped.
    accepting: Option<watch::Sender<()>>,
    _threads: Threads,
}

impl Server {
    /// Starts a target on a runtime of its own. It listens when this returns.
    ///
    /// # Errors
    /// An address cannot be had, or no thread, or no certificate.
    pub fn start(setup: ServerSetup) -> io::Result<Self> {
        let doors = Self::bind(&[setup.listen])?;
        Self::start_behind(doors, setup)
    }

    /// Takes the addresses that a target is to listen on: with port 0 a free port, the same one at each. Nobody is answered yet.
    ///
    /// # Errors
    /// An address cannot be had.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<std::net::TcpListener>> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..BIND_TRIES {
            match listen::bind_all(addresses) {
                Ok(listeners) => return Ok(listeners),
                // A port that is free at the first address may be taken at another.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && addresses.len() > 1 => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Starts a target behind addresses that [`Self::bind`] took, the first of which is its own; `setup.listen` does not count.
    ///
    /// # Errors
    /// There is no address, no thread, or no certificate.
    pub fn start_behind(doors: Vec<std::net::TcpListener>, setup: ServerSetup) -> io::Result<Self> {
        let ServerSetup { listen: _, rules, seed, clock, worker_threads, control, control_token, tls } =
            setup;
        let first = doors.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let addr = first.local_addr()?;
        let tls = match tls {
            None if rules.tls => Some(ServerTls::generate(addr.ip()).map_err(io::Error::other)?),
            given => given,
        };
        let tls = match (tls, &rules.client_certificates) {
            (Some(tls), Some(asked)) => Some(tls.asking(asked).map_err(io::Error::other)?),
            (tls, _) => tls,
        };
        let separate = control.map(listen::bind).transpose()?;
        let control = separate.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        let has_control = separate.is_none();
        let door = |listener: &std::net::TcpListener, is_main: bool| -> io::Result<Door> {
            let is_open = !listener.local_addr()?.ip().to_canonical().is_loopback();
            Ok(if is_main { Door::Main { has_control, is_open } } else { Door::Control { is_open } })
        };
        let acceptor = || tls.as_ref().map(ServerTls::acceptor);
        let mut listeners = Vec::new();
        for main in doors {
            let door = door(&main, true)?;
            listeners.push((main, door, acceptor()));
        }
        if let Some(control) = separate {
            let door = door(&control, false)?;
            listeners.push((control, door, None));
        }
        let place = Place { address: addr.to_string(), is_secure: tls.is_some(), control_token };
        let shared = Arc::new(Shared::new(rules, seed, clock, place)?);
        let threads = Threads::start(worker_threads)?;
        let handle = threads.handle();
        let (accepting, stop) = watch::channel(());
        for (listener, door, tls) in listeners {
            let socket = {
                let _inside = handle.enter();
                TcpListener::from_std(listener)?
            };
            let listener = Listener { socket, door, tls };
            handle.spawn(listen::accept(Arc::clone(&shared), listener, stop.clone()));
        }
        storms::schedule(handle, &shared);
        Ok(Self { addr, control, tls, shared, accepting: Some(accepting), _threads: threads })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its control endpoints are to be had, if not there.
    #[must_use]
    pub const fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &TargetRules {
        &self.shared.rules
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The authority that clients must trust, where its certificate was made at its start.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        self.tls.as_ref()?.authority()
    }

    /// Its counters, as they are now.
    #[must_use]
    pub fn counters(&self) -> TargetCounters {
        self.shared.state().counters()
    }

    /// Its counters once no session is open any more, with what clients must have heard of its topics.
    #[must_use]
    pub fn final_counters(&self) -> TargetCounters {
        self.shared.state().final_counters()
    }

    /// How long the clients that it closed were away, by its own clock: microseconds to three digits, and how many.
    #[must_use]
    pub fn returns(&self) -> Vec<(u64, u64)> {
        self.shared.state().returns()
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
