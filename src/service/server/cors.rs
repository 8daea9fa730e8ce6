//! What pages of other origins may ask (Fetch Standard, CORS protocol).
//!
//! In: the rules, a request's headers. Out: the answer to a preflight, headers of other answers. Without `allowed_origins` there is nothing of it.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};

use crate::scenario::keys::TargetRules;
use crate::service::origin::is_listed;

use super::answer::{self, Answer};

/// Methods of the routes that there may be.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may read beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, WWW-Authenticate, DPoP-Nonce");
/// How long a browser keeps the answer to a preflight, in seconds.
const KEPT_S: HeaderValue = HeaderValue::from_static("600");

/// The page that asks, and whether the rules know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    origin: HeaderValue,
    is_allowed: bool,
    is_anybody: bool,
}

impl Page {
    /// The page of a request; `None` where it is no browser's, or where the rules do not look at origins.
    pub(super) fn of(rules: &TargetRules, headers: &HeaderMap) -> Option<Self> {
        if rules.allowed_origins.is_empty() {
            return None;
        }
        let origin = headers.get(ORIGIN)?.clone();
        let is_allowed = origin.to_str().is_ok_and(|origin| is_listed(rules, origin));
        let is_anybody = rules.allowed_origins.iter().any(|allowed| allowed == "*");
        Some(Self { origin, is_allowed, is_anybody })
    }

    /// The answer to a preflight; `None` where the request is none.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Answer> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut answer = answer::bare(StatusCode::NO_CONTENT);
        if self.is_allowed {
            let fields = answer.headers_mut();
            fields.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            fields.insert(ACCESS_CONTROL_MAX_AGE, KEPT_S);
            if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        self.mark(&mut answer);
        Some(answer)
    }

    /// Lets the page read an answer, if it may. Cookies go with pages that are named, not with those of anybody.
    pub(super) fn mark(&self, answer: &mut Answer) {
        let fields = answer.headers_mut();
        fields.append(VARY, HeaderValue::from_static("Origin"));
        if !self.is_allowed {
            return;
        }
        fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if self.is_anybody {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
            fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(allowed: &[&str], origin: &'static str) -> Option<Page> {
        let allowed_origins = allowed.iter().map(|text| (*text).to_owned()).collect();
        let rules = TargetRules { allowed_origins, ..TargetRules::default() };
        Page::of(&rules, &HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]))
    }

    #[test]
    fn pages_read_answers_where_the_rules_name_them() {
        const APP: &str = "http://localhost:3000";
        let allowed = |page: &Page| {
            let mut answer = answer::bare(StatusCode::OK);
            page.mark(&mut answer);
            let text = |name| {
                answer.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            (text(ACCESS_CONTROL_ALLOW_ORIGIN), text(ACCESS_CONTROL_ALLOW_CREDENTIALS))
        };
        assert_eq!(page(&[], APP), None);
        assert_eq!(allowed(&page(&[APP], APP).unwrap()), (Some(APP.to_owned()), Some("true".to_owned())));
        assert_eq!(allowed(&page(&["*"], APP).unwrap()), (Some("*".to_owned()), None));
        assert_eq!(allowed(&page(&[APP], "http://localhost:3001").unwrap()), (None, None));
    }

    #[test]
    fn a_preflight_is_answered_and_nothing_else() {
        let asked = HeaderMap::from_iter([
            (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST")),
            (ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("authorization")),
        ]);
        let page = page(&["http://localhost:3000"], "http://localhost:3000").unwrap();
        assert!(page.preflight(&Method::POST, &asked).is_none());
        assert!(page.preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
        let answer = page.preflight(&Method::OPTIONS, &asked).unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3000");
    }
}
