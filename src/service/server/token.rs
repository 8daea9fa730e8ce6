//! `POST /oauth/token` over HTTP.
//!
//! In: a request. Out: the answer of RFC 6749 §5. What it means is decided by the rules.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::Serialize;

use crate::scenario::keys::{FaultKind, FaultStage, TokenRequestBody};
use crate::service::capacity::Endpoint;
use crate::service::credential::{self, DPOP_NONCE};
use crate::service::faults::skewed;
use crate::service::holder::Holder;
use crate::service::token::{Issued, TokenAnswer, TokenError, TokenRefusal};
use crate::service::token_text::{Granted, granted_text};

use super::answer::{self, Answer};
use super::body;
use super::shared::Shared;
use super::token_form::{TokenForm, Written};
use super::upgrade;

/// What is left of an answer that broke off.
const TRUNCATED: &str = "{\"access_token\":\"0123456789abcdef01234567";

/// A refusal (RFC 6749 §5.2).
#[derive(Serialize)]
struct Refusal {
    error: &'static str,
    error_description: &'static str,
}

pub(super) async fn answer(
    shared: &Arc<Shared>,
    certificate: Option<[u8; 32]>,
    request: Request<Incoming>,
) -> Answer {
    let arrived = shared.clock.now();
    let written = match written(shared, &request) {
        Ok(written) => written,
        Err(refusal) => return *refusal,
    };
    let (parts, body) = request.into_parts();
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(fault) => return fault.answer(shared),
    };
    let form = TokenForm::parse(parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes), &body, written);
    let fault = shared.strike(FaultStage::Token);
    let delay = {
        let mut state = shared.state();
        match fault {
            Some(FaultKind::TokenSlow { delay }) => state.next_token_delay() + state.next_fault_delay(delay),
            _ => state.next_token_delay(),
        }
    };
    let worked_off = match shared.work_off(Endpoint::Token, arrived).await {
        Ok(worked_off) => worked_off,
        Err(refusal) => return upgrade::refuse(shared, refusal),
    };
    shared.hold_back(worked_off, delay).await;
    if let Some(faulty) = faulty_answer(fault).await {
        return faulty;
    }
    let uri = credential::target_uri(&parts.headers, &parts.uri, shared.is_secure());
    let proof = credential::proof(&parts.headers);
    let holder = Holder { proof, method: "POST", uri: &uri, certificate, is_dpop: false };
    // Decided when the answer leaves: a client that has gone by then has no token, and none is counted.
    let (decided, nonce) = shared.change(|state, now| {
        let decided = match &form {
            Ok(form) => state.token_request(now, form.request(holder)),
            Err(refusal) => TokenAnswer::Refused(state.refuse_token(*refusal)),
        };
        (decided, state.proof_nonce(now, false))
    });
    let mut answer = match decided {
        TokenAnswer::Issued(issued) => success(shared, issued, fault),
        TokenAnswer::Refused(refusal) => refused(shared, refusal),
        TokenAnswer::Limited(refusal) => upgrade::refuse(shared, refusal),
    };
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
        headers.insert(DPOP_NONCE, nonce);
    }
    answer
}

/// `POST /oauth/revoke` (RFC 7009): 200 whether there was such a token or not. Who holds a token may end it, so no client is asked for.
pub(super) async fn revoke(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    if let Some(refusal) = refuse_form(shared, &request) {
        return refusal;
    }
    let body = match body::read(request.into_body()).await {
        Ok(body) => body,
        Err(fault) => return fault.answer(shared),
    };
    let token = url::form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    match token {
        Some((_, token)) => {
            shared.change(|state, _| state.revoke(&token));
            answer::bare(StatusCode::OK)
        }
        None => {
            let used_basic = false;
            let description = "the parameter token is missing";
            refused(shared, TokenRefusal { error: TokenError::InvalidRequest, description, used_basic })
        }
    }
}

/// The refusal of a request that is no POST of a form.
fn refuse_form(shared: &Shared, request: &Request<Incoming>) -> Option<Answer> {
    if request.method() != Method::POST {
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "method.not.allowed");
        let mut answer = shared.bad_request(status, code, "this is done by POST");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(answer);
    }
    if !is_form(request.headers()) {
        let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported.media.type");
        return Some(shared.bad_request(status, code, "the body must be application/x-www-form-urlencoded"));
    }
    None
}

/// How a token request is written, as far as this target takes it so.
fn written(shared: &Shared, request: &Request<Incoming>) -> Result<Written, Box<Answer>> {
    let is_json = has_type(request.headers(), "application/json");
    match shared.rules.token_request {
        TokenRequestBody::Json | TokenRequestBody::Either if is_json && request.method() == Method::POST => {
            return Ok(Written::Json);
        }
        TokenRequestBody::Json if request.method() == Method::POST => {
            let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported.media.type");
            return Err(Box::new(shared.bad_request(status, code, "the body must be application/json")));
        }
        _ => {}
    }
    refuse_form(shared, request).map_or(Ok(Written::Form), |refusal| Err(Box::new(refusal)))
}

fn is_form(headers: &HeaderMap) -> bool {
    has_type(headers, "application/x-www-form-urlencoded")
}

fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(wanted)
}

/// A fault's answer in place of the true one; `None` where the true one is given. A token request that hangs ends with its
/// connection.
async fn faulty_answer(fault: Option<FaultKind>) -> Option<Answer> {
    match fault? {
        FaultKind::TokenHang => std::future::pending().await,
        FaultKind::TokenStatus(status) => Some(answer::faulty_status(status)),
        FaultKind::TokenHtml => Some(answer::html(StatusCode::OK, answer::EDGE_PAGE)),
        FaultKind::TokenTruncated => Some(answer::json_text(TRUNCATED)),
        _ => None,
    }
}

fn success(shared: &Shared, issued: Issued, fault: Option<FaultKind>) -> Answer {
    let token_type = issued.token_type();
    let Issued { access_token, expires_in, scope, refresh_token, is_dpop: _ } = issued;
    let granted = Granted {
        access_token: &access_token.text(),
        token_type,
        expires_in: match fault {
            Some(FaultKind::TokenClockSkew(skew)) => skewed(expires_in, skew),
            _ => expires_in,
        },
        scope: scope.as_deref(),
        refresh_token: refresh_token.as_deref(),
    };
    let text = granted_text(&shared.rules, granted, shared.clock.unix_us_now() / 1_000_000);
    answer::json_answer(StatusCode::OK, text)
}

fn refused(shared: &Shared, refusal: TokenRefusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let (error, description) = (refusal.error.name(), refusal.description);
    let mut answer = match &shared.rules.token_error_body {
        None => answer::json(status, &Refusal { error, error_description: description }),
        Some(template) => {
            let text = template.render(|name| match name {
                "error" => Some(error.to_owned()),
                "message" => Some(description.to_owned()),
                "request" => Some(shared.next_request()),
                _ => None,
            });
            answer::json_answer(status, text)
        }
    };
    if refusal.is_challenge() {
        let challenge = HeaderValue::from_static("Basic realm=\"resurge\", charset=\"UTF-8\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}
