//! The header `traceparent` of an attempt's requests (W3C Trace Context, level 1).
//!
//! In: which attempt of which client. Out: a header for each of its requests, all of one trace, each with a span of its own. No I/O, no clock.

use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Moment;
use crate::lifecycle::Traces;

use super::cookies::Jar;

/// The header's name.
pub(in crate::drive) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace of an attempt, or of a request that belongs to none.
#[derive(Debug)]
pub(in crate::drive) struct Trace {
    traces: Traces,
    number: u32,
    began: Moment,
    /// Requests so far.
    requests: AtomicU32,
}

impl Trace {
    /// That of client `number`'s attempt that began then.
    pub(super) const fn new(traces: Traces, number: u32, began: Moment) -> Self {
        Self { traces, number, began, requests: AtomicU32::new(0) }
    }

    /// When its attempt began.
    pub(super) const fn began(&self) -> Moment {
        self.began
    }

    /// What the next request says: version 00, the trace, a span, and that it is sampled.
    pub(in crate::drive) fn parent(&self) -> String {
        let nth = self.requests.fetch_add(1, Ordering::Relaxed);
        let span = self.traces.span(self.number, self.began, nth);
        format!("00-{}-{span:016x}-01", self.traces.id(self.number, self.began))
    }

    /// Adds the header of the next request.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.parent()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// What a client's request carries beside what its group says: its cookies, and its trace.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::drive) struct Beside<'a> {
    pub(in crate::drive) jar: Option<&'a Jar>,
    pub(in crate::drive) trace: Option<&'a Trace>,
}

impl<'a> Beside<'a> {
    /// These cookies alone.
    pub(in crate::drive) const fn cookies(jar: Option<&'a Jar>) -> Self {
        Self { jar, trace: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_an_attempt_have_one_trace_and_a_span_each() {
        let trace = Trace::new(Traces::of(7, 1), 3, Moment::from_ns(5));
        // The grammar of the specification, §3.2.
        let form = regex::Regex::new("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$").unwrap();
        let (first, second) = (trace.parent(), trace.parent());
        assert!(form.is_match(&first) && form.is_match(&second), "{first} {second}");
        assert_eq!(first[..36], second[..36]);
        assert_ne!(first[36..], second[36..]);
        let mut headers = HeaderMap::new();
        trace.put(&mut headers);
        assert!(form.is_match(headers[TRACEPARENT].to_str().unwrap()));
    }
}
