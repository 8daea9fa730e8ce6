//! The guarded WebSocket endpoint, up to the answer to the upgrade request.
//!
//! In: an HTTP request. Out: 101 and a session handed over, or a refusal as detailed as the rules want it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::declare::template::Template;
use crate::deflate::Terms;
use crate::sample::Cause;
use crate::scenario::keys::{Compression, FaultKind, FaultStage, RefusalDetail, RefusalManner};
use crate::service::capacity::Endpoint;
use crate::service::credential::{self, DPOP_NONCE};
use crate::service::presented::{Over, UpgradeLook, stream_number};
use crate::service::refusal::HandshakeRefusal;
use crate::service::refusal_text::{challenge, own_code, refusal_text};

use super::answer::{self, Answer};
use super::busy::InFlight;
use super::connection::{Connection, Pending};
use super::cut::{Cut, CutOff};
use super::shared::Shared;

/// A subprotocol that no client offers.
const UNSOLICITED: &str = "resurge.unsolicited";

/// What is wrong with an upgrade request (RFC 6455 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadUpgrade {
    Method,
    NoUpgrade,
    Version,
    Malformed(&'static str),
}

pub(super) async fn answer(
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    in_flight: InFlight,
) -> Result<Answer, CutOff> {
    let shared = &connection.shared;
    let arrived = shared.clock.now();
    if let Err(fault) = check(&request) {
        return Ok(refuse_bad(shared, fault));
    }
    let fault = shared.strike(FaultStage::Upgrade);
    let delay = shared.state().next_upgrade_delay();
    let worked_off = match shared.work_off(Endpoint::Upgrade, arrived).await {
        Ok(worked_off) => worked_off,
        Err(refusal) => return Ok(refuse(shared, refusal)),
    };
    shared.hold_back(worked_off, delay).await;
    match fault {
        // It ends with its connection.
        Some(FaultKind::UpgradeStall) => return std::future::pending().await,
        Some(FaultKind::UpgradeStatus(status)) => {
            let refusal = shared.state().refuse_by_fault(status);
            return Ok(refuse_with(RefusalDetail::Html, refusal, None));
        }
        Some(fault) if fault.after().is_none() => {
            return match wrong_answer(&fault, request.headers()) {
                Some(cut) => Err(connection.cut_off(cut, in_flight)),
                None => Ok(answer::bare(StatusCode::INTERNAL_SERVER_ERROR)),
            };
        }
        _ => {}
    }
    // Decided when the answer leaves: a client that has gone by then has no session, and is counted nowhere.
    let rules = &shared.rules;
    let over = Over { certificate: connection.caller.certificate, is_secure: shared.is_secure() };
    let look =
        UpgradeLook::of(rules, (request.headers(), request.uri()), over, || shared.clock.unix_us_now());
    match shared.handshake(&look) {
        Err(refusal) => match rules.refusal_manner {
            RefusalManner::Reset => Err(connection.cut_off(Cut::Reset(b""), in_flight)),
            // It ends with its connection.
            RefusalManner::Silence => std::future::pending().await,
            _ => {
                let mut answer = refuse(shared, refusal);
                add_nonce(shared, &mut answer);
                Ok(answer)
            }
        },
        Ok(mut admitted) => {
            if let Some(fault) = fault {
                admitted.session.plan_fault(fault);
            }
            let mut answer = switch_protocols(request.headers());
            add_nonce(shared, &mut answer);
            let deflate =
                rules.compression.and_then(|wanted| accept(request.headers(), &wanted, &mut answer));
            connection.hand_over(Pending { admitted, in_flight, deflate });
            Ok(answer)
        }
    }
}

/// Tells the nonce that the next proofs are to have, where such are wanted.
fn add_nonce(shared: &Shared, answer: &mut Answer) {
    if shared.rules.dpop.is_none() {
        return;
    }
    let nonce = shared.state().proof_nonce(shared.clock.now(), true);
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
        answer.headers_mut().insert(DPOP_NONCE, nonce);
    }
}

/// What a fault sends in place of a proper answer.
fn wrong_answer(fault: &FaultKind, headers: &HeaderMap) -> Option<Cut> {
    const BEGIN: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let accept = derive_accept_key(key);
    match fault {
        FaultKind::ResetBeforeUpgrade => Some(Cut::Reset(b"")),
        FaultKind::ResetDuringUpgrade => {
            Some(Cut::Reset(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: webso"))
        }
        FaultKind::WrongAccept => {
            // The answer to another key: of the right form, and wrong.
            let wrong = derive_accept_key(accept.as_bytes());
            Some(Cut::Wrong(format!("{BEGIN}sec-websocket-accept: {wrong}\r\n\r\n").into_bytes()))
        }
        FaultKind::UnsolicitedSubprotocol => {
            let lines =
                format!("sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {UNSOLICITED}\r\n\r\n");
            Some(Cut::Wrong(format!("{BEGIN}{lines}").into_bytes()))
        }
        _ => None,
    }
}

/// Checks an upgrade request by RFC 6455 §4.2.1.
fn check<B>(request: &Request<B>) -> Result<(), BadUpgrade> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(BadUpgrade::Method);
    }
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(BadUpgrade::NoUpgrade);
    }
    if request.version() < Version::HTTP_11 {
        return Err(BadUpgrade::Malformed("a WebSocket upgrade needs HTTP/1.1"));
    }
    if !headers.contains_key(HOST) {
        return Err(BadUpgrade::Malformed("the header Host is missing"));
    }
    match headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) {
        Some(b"13") => {}
        Some(_) => return Err(BadUpgrade::Version),
        None => return Err(BadUpgrade::Malformed("the header Sec-WebSocket-Version is missing")),
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(()),
        _ => Err(BadUpgrade::Malformed("Sec-WebSocket-Key must be 16 bytes in base64")),
    }
}

/// What is made of a request before anything is decided on it: a number for the way that it goes.
pub(super) fn looked_at<B>(request: &Request<B>) -> u64 {
    let headers = request.headers();
    let answer = switch_protocols(headers);
    let way = match check(request) {
        Ok(()) => 0,
        Err(BadUpgrade::Method) => 1,
        Err(BadUpgrade::NoUpgrade) => 2,
        Err(BadUpgrade::Version) => 3,
        Err(BadUpgrade::Malformed(_)) => 4,
    };
    way + 8 * u64::from(stream_number(headers).is_some())
        + 16 * u64::from(answer.headers().contains_key(SEC_WEBSOCKET_PROTOCOL))
}

/// Whether a header's list contains `word`.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn refuse_bad(shared: &Shared, fault: BadUpgrade) -> Answer {
    match fault {
        BadUpgrade::Method => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut answer = shared.bad_request(status, "method.not.allowed", "an upgrade is a GET");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            answer
        }
        BadUpgrade::NoUpgrade => {
            let message = "this is a WebSocket endpoint: send Connection: Upgrade and Upgrade: websocket";
            let mut answer = shared.bad_request(StatusCode::UPGRADE_REQUIRED, "upgrade.required", message);
            // RFC 9110 §15.5.22: a 426 names the protocol, and `Upgrade` goes with `Connection`.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer
        }
        BadUpgrade::Version => {
            let message = "only version 13 of the WebSocket protocol is spoken here";
            let mut answer = shared.bad_request(StatusCode::UPGRADE_REQUIRED, "websocket.version", message);
            answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            answer
        }
        BadUpgrade::Malformed(message) => shared.bad_request(StatusCode::BAD_REQUEST, "bad.upgrade", message),
    }
}

fn switch_protocols(headers: &HeaderMap) -> Answer {
    let mut answer = answer::bare(StatusCode::SWITCHING_PROTOCOLS);
    let fields = answer.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) {
        fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = credential::chosen_protocol(headers).and_then(|name| HeaderValue::from_str(name).ok());
    if let Some(protocol) = protocol {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

/// Accepts permessage-deflate, where it is offered in a way that will do.
fn accept(headers: &HeaderMap, wanted: &Compression, answer: &mut Answer) -> Option<Terms> {
    let lists = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    let (text, terms) = wanted.offer().accept(lists.filter_map(|value| value.to_str().ok()))?;
    answer.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::try_from(text).ok()?);
    Some(terms)
}

/// A refusal by the rules.
pub(super) fn refuse(shared: &Shared, refusal: HandshakeRefusal) -> Answer {
    let rules = &shared.rules;
    let mut answer = refuse_with(rules.refusal_detail, refusal, own_code(rules, refusal));
    if let (Some(body), RefusalDetail::Full) = (&rules.refusal_body, rules.refusal_detail) {
        *answer.body_mut() = render_refusal(shared, body, refusal).into();
    }
    if rules.signatures.is_some() {
        // It challenges to show a token, which nobody asks for.
        answer.headers_mut().remove(WWW_AUTHENTICATE);
    }
    shared.add_own_headers(&mut answer);
    answer
}

/// The text of a refusal.
pub(super) fn render_refusal(shared: &Shared, template: &Template, refusal: HandshakeRefusal) -> String {
    refusal_text(&shared.rules, template, refusal, || shared.next_request())
}

/// A refusal, with a code of its own.
fn refuse_with(detail: RefusalDetail, refusal: HandshakeRefusal, code: Option<&str>) -> Answer {
    let HandshakeRefusal { status, cause, words: (usual, message), retry_after } = refusal;
    let code = code.unwrap_or(usual);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    let mut answer = match detail {
        RefusalDetail::Bare => answer::bare(status),
        RefusalDetail::Html if cause == Cause::Edge => answer::html(status, answer::EDGE_PAGE),
        RefusalDetail::Html => answer::html(status, answer::OWN_PAGE),
        RefusalDetail::Full => answer::fault(status, code, message),
    };
    let challenge = challenge(cause, usual, message).and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(challenge) = challenge.filter(|_| detail == RefusalDetail::Full) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer::add_retry_after(&mut answer, retry_after);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut Request<()>)) -> Result<(), BadUpgrade> {
        let mut request = Request::new(());
        let fields = request.headers_mut();
        for (name, value) in [
            (HOST, "localhost"),
            (UPGRADE, "WebSocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        change(&mut request);
        check(&request)
    }

    #[test]
    fn an_upgrade_is_checked_as_the_rfc_says() {
        let set = |name: HeaderName, value: &'static str| {
            request(move |request| {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            })
        };
        let without = |name: HeaderName| {
            request(move |request| {
                request.headers_mut().remove(name);
            })
        };
        assert_eq!(request(|_| {}), Ok(()));
        assert_eq!(request(|request| *request.method_mut() = Method::POST), Err(BadUpgrade::Method));
        assert_eq!(set(UPGRADE, "h2c"), Err(BadUpgrade::NoUpgrade));
        assert_eq!(set(CONNECTION, "keep-alive"), Err(BadUpgrade::NoUpgrade));
        assert_eq!(set(SEC_WEBSOCKET_VERSION, "8"), Err(BadUpgrade::Version));
        let old = request(|request| *request.version_mut() = Version::HTTP_10);
        for malformed in [
            old,
            without(HOST),
            without(SEC_WEBSOCKET_VERSION),
            without(SEC_WEBSOCKET_KEY),
            set(SEC_WEBSOCKET_KEY, "c2hvcnQ="),
            set(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ"),
        ] {
            assert!(matches!(malformed, Err(BadUpgrade::Malformed(_))), "{malformed:?}");
        }
    }
}
