//! What the target answers to requests that are no handshake and ask for no token, for a driver in the same process.
//!
//! In: `(now, request)`. Out: the same decisions and the same texts as the server gives. No I/O, no clock.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode, Uri};
use serde_json::json;

use crate::clock::Moment;
use crate::scenario::keys::{RouteDoes, TargetRules, TokenPlace, path_fits, ticket_in};

use super::credential;
use super::refusal::{HandshakeRefusal, NOT_FOUND};
use super::refusal_text::refusal_says;
use super::route_text::{Whereabouts, render, usage_headers};
use super::routes::{RouteAnswer, RouteRequest};
use super::rules::TargetState;
use super::topics::topics_at;

/// A request for a page.
#[derive(Clone, Copy)]
pub struct PageRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// Whether it comes over TLS.
    pub is_secure: bool,
}

/// The answer: status, headers, body.
pub type Page = (StatusCode, HeaderMap, String);

impl TargetState {
    /// Answers a request for a page.
    pub fn page(&mut self, now: Moment, request: PageRequest<'_>) -> Page {
        let rules = Arc::clone(&self.rules);
        let path = request.uri.path();
        match rules.routes.iter().position(|route| route.is_for(request.method, path)) {
            Some(index) => self.route_page(now, index, &rules, request),
            None if path_fits(&rules.path, path) && request.method != "GET" => {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                self.bad_page(status, "method.not.allowed", "an upgrade is a GET")
            }
            None if path_fits(&rules.path, path) => {
                let message = "this is a WebSocket endpoint: send Connection: Upgrade and Upgrade: websocket";
                self.bad_page(StatusCode::UPGRADE_REQUIRED, "upgrade.required", message)
            }
            None => {
                let message = "there is nothing here: POST /oauth/token for a token, connect to the WebSocket endpoint with it";
                self.bad_page(StatusCode::NOT_FOUND, NOT_FOUND, message)
            }
        }
    }

    fn bad_page(&mut self, status: StatusCode, code: &str, message: &str) -> Page {
        self.count_bad_request();
        let body = json!({ "status": status.as_u16(), "code": code, "message": message });
        (status, json_headers(), body.to_string())
    }

    fn route_page(
        &mut self,
        now: Moment,
        index: usize,
        rules: &TargetRules,
        request: PageRequest<'_>,
    ) -> Page {
        let PageRequest { uri, headers, body, is_secure, .. } = request;
        let route = &rules.routes[index];
        let token = credential::token(headers, uri, &[TokenPlace::Header], "", "");
        let topics = match route.does {
            RouteDoes::AddTopics | RouteDoes::ReplaceTopics => {
                serde_json::from_slice(body).ok().and_then(|json| topics_at(&json, ""))
            }
            _ => None,
        };
        let asked = RouteRequest {
            credential: token.as_deref(),
            ticket: ticket_in(&route.path, uri.path()),
            topics: topics.as_deref(),
        };
        let (mut page, usage) = match self.route(now, index, asked) {
            RouteAnswer::Refused(refusal, usage) => (self.refusal_page(now, refusal), usage),
            RouteAnswer::Answered(answered) => {
                let address = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                let origin_us = self.writer.origin_s() * 1_000_000;
                let at = Whereabouts { ws: if is_secure { "wss" } else { "ws" }, address, now, origin_us };
                let mut headers = json_headers();
                self.add_own_headers(now, &mut headers);
                for (name, value) in &route.headers {
                    put(&mut headers, name, &render(route, value, at, &answered));
                }
                let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
                ((status, headers, render(route, &route.body, at, &answered)), answered.usage)
            }
        };
        for (name, value) in usage_headers(rules, route, &usage) {
            put(&mut page.1, name, &value.to_string());
        }
        page
    }

    fn refusal_page(&self, now: Moment, refusal: HandshakeRefusal) -> Page {
        let says = refusal_says(&self.rules, refusal, false);
        let mut headers = HeaderMap::new();
        if let Some(kind) = says.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let wait = refusal.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let texts = [(WWW_AUTHENTICATE, says.challenge), (RETRY_AFTER, wait.map(|wait| wait.to_string()))];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        self.add_own_headers(now, &mut headers);
        (StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN), headers, says.body)
    }

    /// Adds the headers that the rules give to every answer.
    pub fn add_own_headers(&self, now: Moment, headers: &mut HeaderMap) {
        let unix_ms = self.writer.origin_s() * 1_000 + now.as_us() / 1_000;
        for (name, value) in &self.rules.answer_headers {
            let text = value.render(|name| match name {
                "request" => Some("0".repeat(32)),
                "unix_ms" => Some(unix_ms.to_string()),
                _ => None,
            });
            put(headers, name, &text);
        }
    }
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
