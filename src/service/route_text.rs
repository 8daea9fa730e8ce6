//! What a route's answer says, in the words that go over the wire.
//!
//! In: a route, what its rules answered, the time, where the target is to be had. Out: a body and headers. No I/O, no clock.

use crate::clock::Moment;
use crate::declare::template::Template;
use crate::scenario::keys::{Route, RouteDoes, TargetRules};

use super::routes::{Answered, RequestUsage};
use super::windows::Usage;

/// Where the target is to be had, and what time it is.
#[derive(Clone, Copy)]
pub struct Whereabouts<'a> {
    /// The scheme of its WebSocket URLs.
    pub ws: &'a str,
    /// Host and port as the client names them.
    pub address: &'a str,
    /// The time.
    pub now: Moment,
    /// Calendar time of the moment zero, in microseconds since 1970.
    pub origin_us: u64,
}

impl Whereabouts<'_> {
    pub(super) const fn unix_us(&self, at: Moment) -> u64 {
        self.origin_us.saturating_add(at.as_us())
    }
}

/// Fills in the body of an answer, or one of its headers.
#[must_use]
pub fn render(route: &Route, template: &Template, at: Whereabouts<'_>, answered: &Answered) -> String {
    let expires_us = answered.expires.map(|expires| at.unix_us(expires));
    let common = |name: &str| match name {
        "ws" => Some(at.ws.to_owned()),
        "address" => Some(at.address.to_owned()),
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
        "unix_ms" => Some((at.unix_us(at.now) / 1_000).to_string()),
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
/// refused tells, else the first: what comes later holds.
#[must_use]
pub fn usage_headers<'r>(
    rules: &'r TargetRules,
    route: &'r Route,
    usage: &[RequestUsage],
) -> Vec<(&'r str, u64)> {
    let names = |one: &RequestUsage| match one.limit {
        None => route.limit_headers.as_ref(),
        Some(index) => rules.request_limits[index].headers.as_ref(),
    };
    let over = usage.iter().find(|one| one.usage.is_over());
    let told = usage.iter().rev().chain(over).filter_map(|one| Some((names(one)?, one.usage)));
    told.flat_map(|(names, usage)| of_usage(names, usage)).collect()
}

/// The window's end is in whole seconds, rounded up, as `Retry-After`.
fn of_usage(names: &[String; 3], usage: Usage) -> [(&str, u64); 3] {
    let reset = usage.reset.as_secs() + u64::from(usage.reset.subsec_nanos() > 0);
    let [count, allowed, end] = names;
    [
        (count.as_str(), u64::from(usage.count)),
        (allowed.as_str(), u64::from(usage.allowed)),
        (end.as_str(), reset),
    ]
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
