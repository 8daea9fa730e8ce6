//! One connection: HTTP requests, and the hand-over to a session after an upgrade.
//!
//! In: an accepted stream. Out: answers; a session's own task once the connection is upgraded, so that nothing of HTTP
//! is kept for it. Every session that was admitted is ended, also one whose 101 never left. A connection that a fault cuts off is
//! taken out of HTTP's hands in the same way.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

use crate::deflate::{Layer, Terms};
use crate::sample::Abnormal;
use crate::scenario::keys::path_fits;
use crate::service::refusal::NOT_FOUND;
use crate::service::rules::{FirstRequest, HandshakeRefusal};
use crate::service::session::EndHow;

use super::answer::{self, Answer};
use super::busy::InFlight;
use super::connection::{Connection, Pending, Stage};
use super::cors::Page;
use super::cut::CutOff;
use super::door::{Caller, Door};
use super::paths::{CLOSE_PATH, CONTROL_REVOKE_PATH, COUNTERS_PATH, REVOKE_PATH, TOKEN_PATH};
use super::session::{MESSAGE_CAP, run_session};
use super::shared::Shared;
use super::wire::{HttpWire, SessionWire};
use super::{control, route, token, upgrade, well_known};

/// How long the end of a connection may take.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a connection to its end, or until it is a session's.
pub(super) async fn serve_connection(
    shared: Arc<Shared>,
    http: Arc<http1::Builder>,
    wire: HttpWire,
    caller: Caller,
    in_flight: InFlight,
) {
    let connection = Arc::new(Connection::new(shared, caller, in_flight));
    let service = service_fn(|request| Box::pin(respond(Arc::clone(&connection), request)));
    let mut served = http.serve_connection(TokioIo::new(wire), service);
    // Not to its shutdown: whatever comes of it, the socket is wanted back.
    let result = poll_fn(|context| served.poll_without_shutdown(context)).await;
    let parts = served.into_parts();
    let mut wire = parts.io.into_inner();
    match (connection.set(Stage::Used), result) {
        (Stage::Upgrading(pending), Ok(())) => {
            let Pending { admitted, in_flight, deflate } = *pending;
            let shared = Arc::clone(&connection.shared);
            let (wire, early) = session_wire(&shared, wire.into_session(), parts.read_buf.to_vec(), deflate);
            tokio::spawn(run_session(shared, admitted, wire, early, in_flight));
            return;
        }
        (Stage::Upgrading(pending), Err(error)) => {
            let how = if error.is_incomplete_message() { Abnormal::Fin } else { Abnormal::Rst };
            let session = pending.admitted.session;
            connection.shared.end_session(session.id(), session.end(EndHow::Abnormal(how)));
        }
        (Stage::Cut { cut, _in_flight }, _) => return cut.carry_out(wire).await,
        (stage, Err(error)) if is_bad_request(&stage, &error) => {
            log::debug!("a connection without a proper request: {error}");
            connection.shared.state().count_bad_request();
        }
        _ => {}
    }
    // A peer that is gone, or does not read, is left to itself.
    let _ = tokio::time::timeout(END_TIMEOUT, wire.shutdown()).await;
}

/// A session's wire, and what has been read from it already.
fn session_wire(
    shared: &Shared,
    wire: SessionWire,
    early: Vec<u8>,
    deflate: Option<Terms>,
) -> (SessionWire, Vec<u8>) {
    match deflate.zip(shared.rules.compression) {
        None => (wire, early),
        Some((terms, rules)) => {
            let layer = Layer::new(terms, MESSAGE_CAP, rules.threshold, &early);
            (wire.deflate(layer), Vec::new())
        }
    }
}

/// Whether a connection ended in something that is no HTTP. An idle connection that ran into the header's timeout, and
/// one that was dropped while its request was being answered, did not.
fn is_bad_request(stage: &Stage, error: &hyper::Error) -> bool {
    let is_fresh = matches!(stage, Stage::Fresh { .. });
    error.is_parse() || (is_fresh && (error.is_incomplete_message() || error.is_timeout()))
}

/// Answers a request, in a way that pages of other origins may read where the rules let them.
async fn respond(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Answer, CutOff> {
    let Some(page) = Page::of(&connection.shared.rules, request.headers()) else {
        return answer_by_path(connection, request).await;
    };
    if is_control(&connection, request.uri().path()) {
        return answer_by_path(connection, request).await;
    }
    if let Some(answer) = page.preflight(request.method(), request.headers()) {
        if matches!(connection.set(Stage::Used), Stage::Fresh { .. }) {
            connection.shared.state().count_first_request(FirstRequest::Token);
        }
        return Ok(answer);
    }
    let mut answer = answer_by_path(connection, request).await?;
    page.mark(&mut answer);
    Ok(answer)
}

/// Whether a path is that of a control endpoint, or the door that of those alone.
fn is_control(connection: &Connection, path: &str) -> bool {
    matches!(path, COUNTERS_PATH | CLOSE_PATH | CONTROL_REVOKE_PATH)
        || matches!(connection.caller.door, Door::Control { .. })
}

async fn answer_by_path(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Answer, CutOff> {
    let in_flight = connection.shared.busy.begin();
    let is_first = matches!(connection.set(Stage::Used), Stage::Fresh { .. });
    let route = route::find(&connection.shared, request.method().as_str(), request.uri().path());
    let is_upgrade = request.headers().contains_key(UPGRADE);
    let first = match request.uri().path() {
        TOKEN_PATH | REVOKE_PATH => FirstRequest::Token,
        _ if route.is_some() => FirstRequest::Token,
        COUNTERS_PATH | CLOSE_PATH | CONTROL_REVOKE_PATH => FirstRequest::Control,
        // Plain HTTP that nobody answers: a step whose path is wrong, and no way to the WebSocket endpoint.
        _ if !is_upgrade => FirstRequest::Token,
        _ => FirstRequest::Events,
    };
    if is_first {
        connection.shared.state().count_first_request(first);
    }
    let (is_service, has_control) = match connection.caller.door {
        Door::Main { has_control, .. } => (true, has_control),
        Door::Control { .. } => (false, true),
    };
    let told = if is_service && route.is_none() {
        well_known::answer(&connection.shared, request.method(), request.uri().path())
    } else {
        None
    };
    if let Some(told) = told {
        return Ok(told);
    }
    Ok(match request.uri().path() {
        TOKEN_PATH if is_service => {
            token::answer(&connection.shared, connection.caller.certificate, request).await
        }
        REVOKE_PATH if is_service => token::revoke(&connection.shared, request).await,
        COUNTERS_PATH if has_control => control::counters(&connection, &request),
        CLOSE_PATH if has_control => control::close(&connection, request).await,
        CONTROL_REVOKE_PATH if has_control => control::revoke(&connection, request).await,
        path if is_service => match route {
            Some(index) => route::answer(&connection.shared, index, request).await,
            None if path_fits(&connection.shared.rules.path, path) => {
                return upgrade::answer(&connection, request, in_flight).await;
            }
            None if is_upgrade => {
                let refusal = connection.shared.state().refuse_path();
                nothing_here(&connection, Some(refusal))
            }
            None => nothing_here(&connection, None),
        },
        _ => nothing_here(&connection, None),
    })
}

/// The answer where there is nothing: to a refused upgrade, or to a request that counts as a bad one.
fn nothing_here(connection: &Connection, refused: Option<HandshakeRefusal>) -> Answer {
    let message = match connection.caller.door {
        Door::Main { .. } => {
            "there is nothing here: POST /oauth/token for a token, connect to the WebSocket endpoint with it"
        }
        Door::Control { .. } => {
            "there is nothing here: GET /_resurge/counters, POST /_resurge/close, POST /_resurge/revoke"
        }
    };
    match refused {
        Some(refusal) => answer::fault(StatusCode::NOT_FOUND, refusal.words.0, message),
        None => connection.shared.bad_request(StatusCode::NOT_FOUND, NOT_FOUND, message),
    }
}
