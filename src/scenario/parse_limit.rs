//! Limits of requests in a window of time become typed data, or faults.
//!
//! In: tables of `[target]`. Out: [`WindowLimit`]s and [`RequestLimit`]s.

use super::model::{LimitOf, RequestLimit, WindowLimit};
use super::reader::Table;

/// A table that holds a limit and nothing else.
pub(super) fn parse_window_limit(table: &Table<'_>) -> Option<WindowLimit> {
    let limit = window_limit(table);
    table.finish();
    limit
}

/// A limit of the requests for all routes together.
pub(super) fn parse_request_limit(table: &Table<'_>) -> Option<RequestLimit> {
    let of = table.one_of("of", &[("token", LimitOf::Token), ("client", LimitOf::Client)]);
    let limit = window_limit(table);
    let headers = limit_headers(table, "headers");
    table.finish();
    Some(RequestLimit { of: of.unwrap_or(LimitOf::Token), limit: limit?, headers })
}

fn window_limit(table: &Table<'_>) -> Option<WindowLimit> {
    for key in ["count", "per"] {
        if table.get(key).is_none() {
            table.missing(key, "a limit is { count = 10, per = \"60s\" }, and status where it is not 429");
        }
    }
    let (count, per) = (table.integer("count", 1..=1_000_000), table.positive_duration("per"));
    let status = table.integer("status", 400..=599).unwrap_or(429) as u16;
    let retry_after = table.boolean("retry_after").unwrap_or(true);
    Some(WindowLimit { count: count? as u32, per: per?, status, retry_after })
}

/// The names of three headers: counted, allowed, seconds until the window ends.
pub(super) fn limit_headers(table: &Table<'_>, key: &str) -> Option<[String; 3]> {
    match <[String; 3]>::try_from(table.strings(key)?) {
        Ok(names) if names.iter().all(|name| http::HeaderName::try_from(name.as_str()).is_ok()) => {
            Some(names)
        }
        _ => {
            let message = format!("`{}` does not name three headers", table.path_of(key));
            let help = "three header names are needed: counted, allowed, seconds until the window ends";
            table.fault(table.span_of(key), message, help);
            None
        }
    }
}
