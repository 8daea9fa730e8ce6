//! The target's HTTP routes.
//!
//! In: a request. Out: the answer that the route's rules give, or a refusal. What it means is decided by the rules.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};

use crate::scenario::model::TokenPlace;
use crate::target::service::{RouteAnswer, Usage};

use super::answer::{self, Answer};
use super::body;
use super::credential;
use super::shared::Shared;
use super::upgrade::refuse;

/// The index of the route that a request is for.
pub(super) fn find(shared: &Shared, method: &str, path: &str) -> Option<usize> {
    shared.rules.routes.iter().position(|route| route.is_for(method, path))
}

pub(super) async fn answer(shared: &Arc<Shared>, index: usize, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    // Read, so that the connection can be used again; what it says is not looked at.
    if let Err(fault) = body::read(body).await {
        return fault.answer(shared);
    }
    let token = credential::token(&parts.headers, &parts.uri, &[TokenPlace::Header], "");
    let now = shared.clock.now();
    let answered = shared.state().route(now, index, token.as_deref());
    let route = &shared.rules.routes[index];
    let (mut answer, usage) = match answered {
        RouteAnswer::Refused(refusal, usage) => (refuse(&shared.rules, refusal), usage),
        RouteAnswer::Answered { ticket, usage } => {
            let address = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let text = route.body.render(|name| match name {
                "ticket" => ticket.clone(),
                "address" => Some(address.to_owned()),
                "unix_ms" => Some((shared.clock.unix_us(now) / 1_000).to_string()),
                _ => None,
            });
            let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
            (answer::json_answer(status, text), usage)
        }
    };
    if let (Some(names), Some(usage)) = (&route.limit_headers, usage) {
        tell_usage(&mut answer, names, usage);
    }
    answer
}

/// The headers that tell how many requests are left; the window's end is in whole seconds, rounded up, as `Retry-After`.
fn tell_usage(answer: &mut Answer, names: &[String; 3], usage: Usage) {
    let reset = usage.reset.as_secs() + u64::from(usage.reset.subsec_nanos() > 0);
    let values = [u64::from(usage.count), u64::from(usage.allowed), reset];
    for (name, value) in names.iter().zip(values) {
        if let Ok(name) = HeaderName::try_from(name.as_str()) {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
    }
    debug_assert!(usage.count <= usage.allowed || answer.headers().contains_key(RETRY_AFTER));
}
