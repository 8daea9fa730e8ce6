//! HTTP answers.
//!
//! In: a status and what to say. Out: a response with a JSON body.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::scenario::keys::StatusFault;
pub(super) use crate::service::refusal_text::{EDGE_PAGE, OWN_PAGE};

/// A response of the target.
pub(super) type Answer = Response<Full<Bytes>>;

/// The body of an error.
#[derive(Serialize)]
struct Fault<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

/// A response without a body.
pub(super) fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// A response with an HTML page.
pub(super) fn html(status: StatusCode, page: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(page));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}

/// A response that says it is JSON, whatever the text is.
pub(super) fn json_text(text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A fault's status, as of a proxy in front of a service that is down.
pub(super) fn faulty_status(fault: StatusFault) -> Answer {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut answer = html(status, EDGE_PAGE);
    add_retry_after(&mut answer, fault.retry_after);
    answer
}

/// Adds `Retry-After` in whole seconds, rounded up: a client that comes back then is not too early (RFC 9110 §10.2.3).
pub(super) fn add_retry_after(answer: &mut Answer, retry_after: Option<Duration>) {
    if let Some(retry_after) = retry_after {
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// A response with this JSON text.
pub(super) fn json_answer(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A response with a JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(text) => {
            let mut answer = Response::new(Full::from(text));
            *answer.status_mut() = status;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer
        }
        Err(error) => {
            log::error!("an answer could not be written: {error}");
            bare(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// An error with a code and a sentence.
pub(super) fn fault(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &Fault { status: status.as_u16(), code, message })
}
