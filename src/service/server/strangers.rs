//! What clients send, as bytes: the way in for the fuzz targets, to the very parsers that the target uses. No part of the interface.
//!
//! In: bytes. Out: a number for what was made of them, so that inputs which lead elsewhere can be told; a broken promise panics.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Uri, Version};
use secrecy::SecretString;
use serde_json::Value;

use crate::scenario::keys::{SignatureKey, Signatures, TokenPlace, ticket_in};
use crate::service::credential;
use crate::service::holder::Holder;
use crate::service::presented::judge_signature;
use crate::service::topics::topics_at;
use crate::signing::Purpose;

use super::token_form::{TokenForm, Written};
use super::{control, upgrade};

/// Most headers of a request.
const MOST_HEADERS: usize = 100;

/// Reads a token request: the `Authorization` header, a NUL, the form or the JSON object.
#[must_use]
pub fn token_form(bytes: &[u8]) -> u64 {
    let (header, body) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (Some(&bytes[..at]), &bytes[at + 1..]),
        None => (None, bytes),
    };
    let written = if body.first() == Some(&b'{') { Written::Json } else { Written::Form };
    match TokenForm::parse(header, body, written) {
        Ok(form) => {
            let request = form.request(Holder::default());
            10 + u64::from(request.client_id.is_some()) + 2 * u64::from(request.refresh_token.is_some())
        }
        Err(refusal) => u64::from(refusal.status()) + refusal.error.name().len() as u64,
    }
}

/// Reads an upgrade request as far as the target itself does: hyper has parsed it.
#[must_use]
pub fn upgrade_request(bytes: &[u8]) -> u64 {
    let Some(request) = request(bytes) else { return 1 };
    let headers = request.headers();
    let places = [
        TokenPlace::Header,
        TokenPlace::Query,
        TokenPlace::Path,
        TokenPlace::Subprotocol,
        TokenPlace::Cookie,
    ];
    let found = places.iter().enumerate().map(|(index, place)| {
        let token =
            credential::token(headers, request.uri(), std::slice::from_ref(place), "access_token", "session");
        u64::from(token.is_some()) << index
    });
    let found: u64 = found.sum();
    let ticket = ticket_in("/channels/{ticket}/x", request.uri().path()).is_some();
    100 + found + 32 * u64::from(ticket) + 64 * upgrade::looked_at(&request)
}

fn request(bytes: &[u8]) -> Option<Request<()>> {
    let mut parsed = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut parsed);
    head.parse(bytes).ok().filter(httparse::Status::is_complete)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = head.path?.parse::<Uri>().ok()?;
    *request.version_mut() = if head.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    for header in head.headers.iter() {
        let (name, value) =
            (HeaderName::try_from(header.name).ok()?, HeaderValue::from_bytes(header.value).ok()?);
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Reads the signature of an upgrade request, in its query or in its headers, and checks it by a key.
#[must_use]
pub fn signature(bytes: &[u8]) -> u64 {
    let Some(request) = request(bytes) else { return 1 };
    let key = SignatureKey {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    };
    let purpose =
        Purpose { service: "service".to_owned(), region: "us-east-1".to_owned(), signs_session_token: true };
    let rules =
        Signatures { purpose, tolerance: Duration::from_secs(300), keys: vec![key], takes_any: false };
    match judge_signature(&rules, request.headers(), request.uri(), 1_440_938_160_000_000) {
        Ok(_) => 2,
        Err(fault) => 3 + fault as u64,
    }
}

/// Reads the bodies of control requests, and topics at a pointer: the pointer, a NUL, the body.
#[must_use]
pub fn json_bodies(bytes: &[u8]) -> u64 {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (pointer, body) = (String::from_utf8_lossy(&bytes[..at]), bytes.get(at + 1..).unwrap_or_default());
    let control = control::is_order(body);
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let topics = json.as_ref().and_then(|json| topics_at(json, &pointer));
    u64::from(json.is_some()) + 2 * u64::from(topics.is_some_and(|topics| !topics.is_empty())) + 4 * control
}
