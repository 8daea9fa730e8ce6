//! Accepting connections.
//!
//! In: an address. Out: a task for each connection. An accept that fails never ends the server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::clock::Moment;
use crate::machine::free_old_connections;
use crate::scenario::keys::{FaultKind, FaultStage};

use super::door::{Caller, Door};
use super::serve::serve_connection;
use super::shared::Shared;
use super::wire::HttpWire;

/// Connections that wait to be accepted: a storm brings all clients back at once. The system caps it (`somaxconn`).
const BACKLOG: i32 = 16_384;
/// How long to wait after an accept that failed: descriptors come back when sessions end.
const BACK_OFF: Duration = Duration::from_millis(20);
/// How often it is told that an accept failed.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long a request's header may take: a slow peer must not hold a connection for ever.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that a request's header may take up.
const HEADER_CAP: usize = 16 * 1024;

/// Listens on `address`.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a target that has just ended must not keep the next one from its port.
    free_old_connections(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on each of `addresses`; those with port 0 at the port that the first one got.
pub(super) fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<std::net::TcpListener>> {
    let mut listeners: Vec<std::net::TcpListener> = Vec::new();
    for address in addresses {
        let mut address = *address;
        if let Some(first) = listeners.first().filter(|_| address.port() == 0) {
            address.set_port(first.local_addr()?.port());
        }
        listeners.push(bind(address)?);
    }
    Ok(listeners)
}

/// A socket that listens, and what is behind it.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) door: Door,
    pub(super) tls: Option<TlsAcceptor>,
}

/// Accepts until the other end of `stop` is gone.
pub(super) async fn accept(shared: Arc<Shared>, listener: Listener, mut stop: watch::Receiver<()>) {
    let Listener { socket, door, tls } = listener;
    let http = Arc::new(http());
    let mut told: Option<Moment> = None;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                shared.state().count_accepted();
                let is_local = peer.ip().to_canonical().is_loopback();
                let in_flight = shared.busy.begin();
                let (shared, http, tls) = (Arc::clone(&shared), Arc::clone(&http), tls.clone());
                tokio::spawn(async move {
                    // Boxed, for a session's task keeps nothing of it.
                    if let Some(wire) = Box::pin(open(&shared, stream, door, tls)).await {
                        let caller = Caller { door, is_local, certificate: wire.certificate() };
                        serve_connection(shared, http, wire, caller, in_flight).await;
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Not told each time that it is tried again.
                let now = shared.clock.now();
                if told.is_none_or(|told| now.since(told) >= TELL_EVERY) {
                    log::warn!("the target cannot accept: {error}; it goes on when sessions end");
                    told = Some(now);
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Makes an accepted connection ready for its requests; `None` where nothing comes of it.
async fn open(shared: &Shared, stream: TcpStream, door: Door, tls: Option<TlsAcceptor>) -> Option<HttpWire> {
    // A small frame must not wait for the answer to the one before it.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("no TCP_NODELAY: {error}");
    }
    if matches!(door, Door::Main { .. })
        && let Some(FaultKind::AcceptSlow { delay }) = shared.strike(FaultStage::Accept)
    {
        let (now, delay) = (shared.clock.now(), shared.state().next_fault_delay(delay));
        shared.hold_back(now, delay).await;
    }
    let Some(tls) = tls else { return Some(HttpWire::Plain(stream)) };
    match tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(HttpWire::Tls(Box::new(stream))),
        failed => {
            log::debug!("a connection without TLS: {:?}", failed.map(|accepted| accepted.err()));
            shared.state().count_bad_request();
            None
        }
    }
}

/// Whether the failure was that of a connection that went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_CAP);
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_have_one_port() {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| address.parse().unwrap());
        let listeners = bind_all(&addresses).unwrap();
        let bound: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert!(bound.iter().zip(&addresses).all(|(bound, wanted)| bound.ip() == wanted.ip()), "{bound:?}");
        assert!(
            bound.iter().all(|address| address.port() == bound[0].port() && address.port() > 0),
            "{bound:?}"
        );
        let again = bind_all(&bound[1..]).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
