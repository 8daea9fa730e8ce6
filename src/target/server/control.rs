//! The control endpoints: counters and storms, for peers on this machine only unless they have a listener of their own.
//!
//! In: requests of whoever runs the target. Out: JSON.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::body;
use super::connection::{Caller, Connection};
use super::listen::Door;

/// `POST /_resurge/close`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseRequest {
    code: u16,
    #[serde(default = "all")]
    fraction: f64,
}

const fn all() -> f64 {
    1.0
}

/// Its answer.
#[derive(Serialize)]
struct Closed {
    closed: u64,
}

/// `POST /_resurge/revoke`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    #[serde(default = "all")]
    fraction: f64,
}

/// Its answer.
#[derive(Serialize)]
struct Revoked {
    revoked: u64,
}

pub(super) fn counters(connection: &Arc<Connection>, request: &Request<Incoming>) -> Answer {
    match refuse(connection, request.method(), &Method::GET) {
        Some(refusal) => refusal,
        None => answer::json(StatusCode::OK, &connection.shared.state().counters()),
    }
}

pub(super) async fn close(connection: &Arc<Connection>, request: Request<Incoming>) -> Answer {
    let shared = &connection.shared;
    let bytes = match posted(connection, request).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    let bad = |message: &str| answer::bad(shared, StatusCode::BAD_REQUEST, "bad.request", message);
    match serde_json::from_slice::<CloseRequest>(&bytes) {
        Err(error) => bad(&format!("the body must be like {{\"code\":1001,\"fraction\":1.0}}: {error}")),
        Ok(CloseRequest { code, fraction }) => match shared.storm(code, fraction) {
            Ok(closed) => answer::json(StatusCode::OK, &Closed { closed }),
            Err(error) => bad(&error.to_string()),
        },
    }
}

pub(super) async fn revoke(connection: &Arc<Connection>, request: Request<Incoming>) -> Answer {
    let shared = &connection.shared;
    let bytes = match posted(connection, request).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    match serde_json::from_slice::<RevokeRequest>(&bytes) {
        Ok(RevokeRequest { fraction }) if fraction > 0.0 && fraction <= 1.0 => {
            let revoked = shared.change(|state, now| state.revoke_share(now, fraction));
            answer::json(StatusCode::OK, &Revoked { revoked })
        }
        other => {
            let why = other
                .err()
                .map_or_else(|| "fraction is above 0 and up to 1".to_owned(), |error| error.to_string());
            let message = format!("the body must be like {{\"fraction\":1.0}}: {why}");
            answer::bad(shared, StatusCode::BAD_REQUEST, "bad.request", &message)
        }
    }
}

/// Which orders a body is: a bit for each.
pub(super) fn is_order(body: &[u8]) -> u64 {
    let is_close = serde_json::from_slice::<CloseRequest>(body).is_ok();
    u64::from(is_close) + 2 * u64::from(serde_json::from_slice::<RevokeRequest>(body).is_ok())
}

/// The body of a POST that may be made.
async fn posted(connection: &Connection, request: Request<Incoming>) -> Result<Vec<u8>, Answer> {
    match refuse(connection, request.method(), &Method::POST) {
        Some(refusal) => Err(refusal),
        None => body::read(request.into_body()).await.map_err(|fault| fault.answer(&connection.shared)),
    }
}

/// Whether a caller may see and do what is here. Who opened a listener for it alone says by its address who can.
fn may_control(caller: Caller) -> bool {
    match caller.door {
        Door::Main { has_control } => has_control && caller.is_local,
        Door::Control => true,
    }
}

/// The refusal of a request that may not be made, or not in this way.
fn refuse(connection: &Connection, method: &Method, allowed: &Method) -> Option<Answer> {
    let shared = &connection.shared;
    if !may_control(connection.caller) {
        let message = "the control endpoints answer only on this machine";
        return Some(answer::bad(shared, StatusCode::FORBIDDEN, "not.local", message));
    }
    if method != allowed {
        let message = format!("use {allowed}");
        let mut answer = answer::bad(shared, StatusCode::METHOD_NOT_ALLOWED, "method.not.allowed", &message);
        if let Ok(value) = HeaderValue::from_str(allowed.as_str()) {
            answer.headers_mut().insert(ALLOW, value);
        }
        return Some(answer);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_control_only_where_there_is_a_listener_for_it() {
        let main = |has_control| Door::Main { has_control };
        // (door, whether the caller is on this machine, whether it may)
        let table = [
            (main(true), true, true),
            (main(true), false, false),
            (main(false), true, false),
            (main(false), false, false),
            (Door::Control, true, true),
            (Door::Control, false, true),
        ];
        for (door, is_local, may) in table {
            assert_eq!(may_control(Caller { door, is_local }), may, "{door:?} {is_local}");
        }
    }
}
