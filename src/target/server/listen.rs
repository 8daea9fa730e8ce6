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

use crate::scenario::model::{FaultKind, FaultStage};

use super::connection::serve_connection;
use super::shared::Shared;
use super::wire::HttpWire;

/// Connections that wait to be accepted: a storm brings all clients back at once. The system caps it (`somaxconn`).
const BACKLOG: i32 = 16_384;
/// How long to wait after an accept that failed: descriptors come back when sessions end.
const BACK_OFF: Duration = Duration::from_millis(20);
/// How long a request's header may take: a slow peer must not hold a connection for ever.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that a request's header may take up.
const HEADER_CAP: usize = 16 * 1024;

/// Listens on `address`.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a target that has just ended linger in TIME_WAIT, and must not keep the next one from its port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the other end of `stop` is gone.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, mut stop: watch::Receiver<()>) {
    let http = Arc::new(http());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                shared.state().count_accepted();
                spawn(&shared, &http, stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                log::warn!("the target cannot accept: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn spawn(shared: &Arc<Shared>, http: &Arc<http1::Builder>, stream: TcpStream, peer: SocketAddr) {
    // A small frame must not wait for the answer to the one before it.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("no TCP_NODELAY: {error}");
    }
    let is_local = peer.ip().to_canonical().is_loopback();
    let in_flight = shared.busy.begin();
    let (shared, http) = (Arc::clone(shared), Arc::clone(http));
    tokio::spawn(async move {
        if let Some(FaultKind::AcceptSlow { delay }) = shared.strike(FaultStage::Accept) {
            let (now, delay) = (shared.clock.now(), shared.state().next_fault_delay(delay));
            shared.hold_back(now, delay).await;
        }
        serve_connection(shared, http, HttpWire::Plain(stream), is_local, in_flight).await;
    });
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
