//! HTTP answers.
//!
//! In: a status and what to say. Out: a response with a JSON body.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::shared::Shared;

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

/// An error that is counted as a bad request.
pub(super) fn bad(shared: &Shared, status: StatusCode, code: &str, message: &str) -> Answer {
    shared.state().count_bad_request();
    fault(status, code, message)
}
