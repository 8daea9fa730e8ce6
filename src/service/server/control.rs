//! The control endpoints: counters and storms. To this machine only, or to who shows the token for it.
//!
//! In: requests of whoever runs the target. Out: JSON.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::access::{Reach, is_json, sign_of_another_site};
use crate::scenario::keys::TokenPlace;

use crate::service::credential;

use super::answer::{self, Answer};
use super::body;
use super::connection::Connection;
use super::door::{Caller, Door};

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
    match refuse(connection, request, &Method::GET) {
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
    let bad = |message: &str| shared.bad_request(StatusCode::BAD_REQUEST, "bad.request", message);
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
            shared.bad_request(StatusCode::BAD_REQUEST, "bad.request", &message)
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
    if let Some(refusal) = refuse(connection, &request, &Method::POST) {
        return Err(refusal);
    }
    if !is_json(request.headers()) {
        let message = "a control request has a body of Content-Type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(connection.shared.bad_request(status, "not.json", message));
    }
    body::read(request.into_body()).await.map_err(|fault| fault.answer(&connection.shared))
}

/// What a control request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// None is asked for.
    NotNeeded,
    Right,
    WrongOrNone,
}

/// Whether a caller may see and do what is here. Where a token is set, it alone decides; without one only this machine may, through a
/// door that no other machine can reach.
const fn may_control(caller: Caller, shown: Shown) -> bool {
    let is_open = match caller.door {
        Door::Main { has_control: false, .. } => return false,
        Door::Main { is_open, .. } | Door::Control { is_open } => is_open,
    };
    match shown {
        Shown::Right => true,
        Shown::WrongOrNone => false,
        Shown::NotNeeded => caller.is_local && !is_open,
    }
}

fn shown(token: Option<&SecretString>, headers: &HeaderMap) -> Shown {
    let Some(token) = token else { return Shown::NotNeeded };
    let given =
        credential::token(headers, &Uri::default(), &[TokenPlace::Header], "", "").unwrap_or_default();
    // In constant time: how long it takes must not tell how much of it is right.
    let is_right: bool = given.as_bytes().ct_eq(token.expose_secret().as_bytes()).into();
    if is_right { Shown::Right } else { Shown::WrongOrNone }
}

/// The refusal of a request that may not be made, or not in this way.
fn refuse(connection: &Connection, request: &Request<Incoming>, allowed: &Method) -> Option<Answer> {
    let shared = &connection.shared;
    let shown = shown(shared.control_token.as_ref(), request.headers());
    if !may_control(connection.caller, shown) {
        return Some(match shown {
            Shown::NotNeeded => {
                let message = "no control endpoints here: other machines can reach this address, and no token was set for them";
                shared.bad_request(StatusCode::FORBIDDEN, "not.local", message)
            }
            _ => {
                let message = "the control endpoints want their token, as Authorization: Bearer";
                shared.bad_request(StatusCode::UNAUTHORIZED, "control.token", message)
            }
        });
    }
    // Who shows the token is no page that came by chance.
    if shown == Shown::NotNeeded
        && let Some(sign) = sign_of_another_site(request.headers(), Reach::Loopback)
    {
        let message = format!("a page of another site asks for this: {sign}");
        return Some(shared.bad_request(StatusCode::FORBIDDEN, "another.site", &message));
    }
    let method = request.method();
    if method != allowed {
        let message = format!("use {allowed}");
        let mut answer = shared.bad_request(StatusCode::METHOD_NOT_ALLOWED, "method.not.allowed", &message);
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
    use hyper::header::AUTHORIZATION;

    #[test]
    fn others_may_control_only_with_a_token() {
        let main = |has_control, is_open| Door::Main { has_control, is_open };
        let control = |is_open| Door::Control { is_open };
        use Shown::{NotNeeded, Right, WrongOrNone};
        // (door, whether the caller is on this machine, what it shows, whether it may)
        let table = [
            (main(true, false), true, NotNeeded, true),
            (main(true, false), false, NotNeeded, false),
            // A proxy on this machine may stand for somebody else.
            (main(true, true), true, NotNeeded, false),
            (main(true, true), false, NotNeeded, false),
            (main(true, true), false, Right, true),
            (main(true, true), true, WrongOrNone, false),
            (main(true, false), true, WrongOrNone, false),
            (main(false, false), true, NotNeeded, false),
            (main(false, true), true, Right, false),
            (control(false), true, NotNeeded, true),
            (control(false), true, WrongOrNone, false),
            (control(true), true, NotNeeded, false),
            (control(true), false, NotNeeded, false),
            (control(true), false, Right, true),
        ];
        for (door, is_local, shown, may) in table {
            assert_eq!(
                may_control(Caller { door, is_local, certificate: None }, shown),
                may,
                "{door:?} {is_local} {shown:?}"
            );
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = SecretString::from("let me in");
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            shown(Some(&token), &headers)
        };
        assert_eq!(with("Bearer let me in"), Shown::Right);
        for wrong in ["Bearer let me", "Bearer let me in!", "Bearer ", "Basic let me in", ""] {
            assert_eq!(with(wrong), Shown::WrongOrNone, "{wrong:?}");
        }
        assert_eq!(shown(Some(&token), &HeaderMap::new()), Shown::WrongOrNone);
        assert_eq!(shown(None, &HeaderMap::new()), Shown::NotNeeded);
    }
}
