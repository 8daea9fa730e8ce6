//! The target's HTTP routes.
//!
//! In: a request. Out: the answer that the route's rules give, or a refusal. What it means is decided by the rules.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use crate::clock::Moment;
use crate::scenario::keys::TokenPlace;
use crate::scenario::keys::{RouteDoes, ticket_in};
use crate::service::credential;
use crate::service::route_text::{Whereabouts, render, usage_headers};
use crate::service::routes::{RouteAnswer, RouteRequest};
use crate::service::topics::topics_at;

use super::answer::{self, Answer};
use super::body;
use super::shared::Shared;
use super::upgrade::refuse;

/// The index of the route that a request is for.
pub(super) fn find(shared: &Shared, method: &str, path: &str) -> Option<usize> {
    shared.rules.routes.iter().position(|route| route.is_for(method, path))
}

pub(super) async fn answer(shared: &Arc<Shared>, index: usize, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    // Read in any case, so that the connection can be used again.
    let body = match body::read_large(body).await {
        Ok(body) => body,
        Err(fault) => return fault.answer(shared),
    };
    let route = &shared.rules.routes[index];
    let token = credential::token(&parts.headers, &parts.uri, &[TokenPlace::Header], "", "");
    let topics = match route.does {
        RouteDoes::AddTopics | RouteDoes::ReplaceTopics => {
            serde_json::from_slice(&body).ok().and_then(|json| topics_at(&json, ""))
        }
        _ => None,
    };
    let request = RouteRequest {
        credential: token.as_deref(),
        ticket: ticket_in(&route.path, parts.uri.path()),
        topics: topics.as_deref(),
    };
    let (now, answered) = shared.change(|state, now| (now, state.route(now, index, request)));
    let (mut answer, usage) = match answered {
        RouteAnswer::Refused(refusal, usage) => (refuse(shared, refusal), usage),
        RouteAnswer::Answered(answered) => {
            let address = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let origin_us = shared.clock.unix_us(Moment::ZERO);
            let at = Whereabouts { ws: shared.ws_scheme, address, now, origin_us };
            let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
            let mut answer = answer::json_answer(status, render(route, &route.body, at, &answered));
            shared.add_own_headers(&mut answer);
            for (name, value) in &route.headers {
                if let (Ok(name), Ok(value)) = (
                    HeaderName::try_from(name.as_str()),
                    HeaderValue::try_from(render(route, value, at, &answered)),
                ) {
                    answer.headers_mut().insert(name, value);
                }
            }
            (answer, answered.usage)
        }
    };
    for (name, value) in usage_headers(&shared.rules, route, &usage) {
        if let Ok(name) = HeaderName::try_from(name) {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
    }
    answer
}
