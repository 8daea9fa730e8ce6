//! The target's HTTP routes.
//!
//! In: a request. Out: the answer that the route's rules give, or a refusal. What it means is decided by the rules.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use crate::clock::Moment;
use crate::declare::template::Template;
use crate::scenario::keys::TokenPlace;
use crate::scenario::keys::{Route, RouteDoes, ticket_in};
use crate::service::credential;
use crate::service::routes::{Answered, RequestUsage, RouteAnswer, RouteRequest};
use crate::service::windows::Usage;

use super::answer::{self, Answer};
use super::body;
use super::shared::Shared;
use super::topics::topics_at;
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
            let filled = |template| render(shared, route, template, (now, address), &answered);
            let text = filled(&route.body);
            let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
            let mut answer = answer::json_answer(status, text);
            shared.add_own_headers(&mut answer);
            for (name, value) in &route.headers {
                if let (Ok(name), Ok(value)) =
                    (HeaderName::try_from(name.as_str()), HeaderValue::try_from(filled(value)))
                {
                    answer.headers_mut().insert(name, value);
                }
            }
            (answer, answered.usage)
        }
    };
    tell_all_usage(shared, route, &mut answer, &usage);
    answer
}

/// Fills in the body of an answer, or one of its headers.
fn render(
    shared: &Shared,
    route: &Route,
    template: &Template,
    (now, address): (Moment, &str),
    answered: &Answered,
) -> String {
    let expires_us = answered.expires.map(|expires| shared.clock.unix_us(expires));
    let common = |name: &str| match name {
        "ws" => Some(shared.ws_scheme.to_owned()),
        "address" => Some(address.to_owned()),
        "expires" => expires_us.map(calendar),
        _ => None,
    };
    let entity = |of: &String| {
        route.entity.render(|name| match (name, route.does) {
            ("ticket", RouteDoes::ListTickets) | ("topic", _) => Some(in_json(of)),
            ("ticket", _) => answered.ticket.clone(),
            (name, _) => common(name),
        })
    };
    template.render(|name| match name {
        "ticket" => answered.ticket.clone(),
        "unix_ms" => Some((shared.clock.unix_us(now) / 1_000).to_string()),
        "expires_ms" => expires_us.map(|us| (us / 1_000).to_string()),
        "entities" => Some(answered.entities.iter().map(entity).collect::<Vec<_>>().join(",")),
        name => common(name),
    })
}

/// A text as it stands between the quotes of a JSON string.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A date of RFC 3339, in milliseconds.
fn calendar(unix_us: u64) -> String {
    let ms = i64::try_from(unix_us / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// The headers that tell how many requests are left, of each limit that has such. Of two limits with the same headers, the one that
/// refused tells, else the first.
fn tell_all_usage(shared: &Shared, route: &Route, answer: &mut Answer, usage: &[RequestUsage]) {
    let names = |one: &RequestUsage| match one.limit {
        None => route.limit_headers.as_ref(),
        Some(index) => shared.rules.request_limits[index].headers.as_ref(),
    };
    for one in usage.iter().rev() {
        if let Some(names) = names(one) {
            tell_usage(answer, names, one.usage);
        }
    }
    if let Some((one, names)) =
        usage.iter().find(|one| one.usage.is_over()).and_then(|one| Some((one, names(one)?)))
    {
        tell_usage(answer, names, one.usage);
    }
}

/// The window's end is in whole seconds, rounded up, as `Retry-After`.
fn tell_usage(answer: &mut Answer, names: &[String; 3], usage: Usage) {
    let reset = usage.reset.as_secs() + u64::from(usage.reset.subsec_nanos() > 0);
    let values = [u64::from(usage.count), u64::from(usage.allowed), reset];
    for (name, value) in names.iter().zip(values) {
        if let Ok(name) = HeaderName::try_from(name.as_str()) {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_json_are_escaped_and_dates_are_those_of_the_rfc() {
        assert_eq!(in_json("v2.users.\"x\"\n"), "v2.users.\\\"x\\\"\\n");
        assert_eq!(calendar(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
    }
}
