//! One connection: HTTP requests, and the hand-over to a session after an upgrade.
//!
//! In: an accepted stream. Out: answers; a session's own task once the connection is upgraded, so that nothing of HTTP
//! is kept for it. Every session that was admitted is ended, also one whose 101 never left.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::sample::Abnormal;
use crate::target::rules::FirstRequest;
use crate::target::session::EndHow;

use super::answer::{self, Answer};
use super::busy::InFlight;
use super::session::run_session;
use super::shared::{Admitted, Shared};
use super::{CLOSE_PATH, COUNTERS_PATH, EVENTS_PATH, TOKEN_PATH, control, token, upgrade};

/// A connection while it speaks HTTP.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    /// Whether the peer is on this machine.
    pub(super) is_local: bool,
    stage: Mutex<Stage>,
}

#[derive(Debug)]
enum Stage {
    /// No request has come. Until one does, something may yet happen here, so the target is not quiet.
    Fresh { _in_flight: InFlight },
    /// Requests have come.
    Used,
    /// 101 is on its way.
    Upgrading(Box<Pending>),
}

/// A session whose connection is still hyper's.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) admitted: Admitted,
    pub(super) upgrade: OnUpgrade,
    pub(super) in_flight: InFlight,
}

impl Connection {
    fn set(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), stage)
    }

    /// Hands a session over to the connection's task.
    pub(super) fn hand_over(&self, pending: Pending) {
        self.set(Stage::Upgrading(Box::new(pending)));
    }
}

/// Serves a connection to its end, or until it is a session's.
pub(super) async fn serve_connection(
    shared: Arc<Shared>,
    http: Arc<http1::Builder>,
    stream: TcpStream,
    is_local: bool,
    in_flight: InFlight,
) {
    let stage = Mutex::new(Stage::Fresh { _in_flight: in_flight });
    let connection = Arc::new(Connection { shared, is_local, stage });
    let service = service_fn(|request| {
        let connection = Arc::clone(&connection);
        async move { Ok::<_, Infallible>(respond(connection, request).await) }
    });
    let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    match (connection.set(Stage::Used), served) {
        (Stage::Upgrading(pending), served) => {
            begin_session(&connection.shared, *pending, served.err()).await;
        }
        (stage, Err(error)) if is_bad_request(&stage, &error) => {
            log::debug!("a connection without a proper request: {error}");
            connection.shared.state().count_bad_request();
        }
        _ => {}
    }
}

/// Whether a connection ended in something that is no HTTP. An idle connection that ran into the header's timeout, and
/// one that was dropped while its request was being answered, did not.
fn is_bad_request(stage: &Stage, error: &hyper::Error) -> bool {
    let is_fresh = matches!(stage, Stage::Fresh { .. });
    error.is_parse() || (is_fresh && (error.is_incomplete_message() || error.is_timeout()))
}

/// Takes the socket out of hyper and gives it to a task of its own, which is all that is left of the connection.
async fn begin_session(shared: &Arc<Shared>, pending: Pending, failed: Option<hyper::Error>) {
    let Pending { admitted, upgrade, in_flight } = pending;
    match upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) {
        Ok(Ok(parts)) => {
            let stream = parts.io.into_inner();
            let early = parts.read_buf.to_vec();
            tokio::spawn(run_session(Arc::clone(shared), admitted, stream, early, in_flight));
        }
        _ => {
            let is_reset = failed.is_some_and(|error| !error.is_incomplete_message());
            let how = EndHow::Abnormal(if is_reset { Abnormal::Rst } else { Abnormal::Fin });
            shared.end_session(admitted.session.id(), admitted.session.end(how));
        }
    }
}

/// Answers a request.
async fn respond(connection: Arc<Connection>, request: Request<Incoming>) -> Answer {
    let in_flight = connection.shared.busy.begin();
    let is_first = matches!(connection.set(Stage::Used), Stage::Fresh { .. });
    let first = match request.uri().path() {
        TOKEN_PATH => FirstRequest::Token,
        COUNTERS_PATH | CLOSE_PATH => FirstRequest::Control,
        _ => FirstRequest::Events,
    };
    if is_first {
        connection.shared.state().count_first_request(first);
    }
    match request.uri().path() {
        TOKEN_PATH => token::answer(&connection.shared, request).await,
        EVENTS_PATH => upgrade::answer(&connection, request, in_flight).await,
        COUNTERS_PATH => control::counters(&connection, &request),
        CLOSE_PATH => control::close(&connection, request).await,
        _ => answer::bad(
            &connection.shared,
            StatusCode::NOT_FOUND,
            "not.found",
            "there is nothing here: POST /oauth/token for a token, connect to /api/v2/analytics/events with it",
        ),
    }
}
