//! The embedded target's routes and tickets become typed data, or faults.
//!
//! In: tables of `[target]`. Out: the types of [`super::target_script`].

use std::time::Duration;

use super::parse_common::{close_code, target_text};
use super::parse_limit::{limit_headers, parse_window_limit};
use super::parse_script::parse_plain_path;
use super::reader::Table;
use super::target_script::{Evicts, Route, RouteDoes, TICKET_IN_PATH, TicketEnd, Tickets};
use super::template::Template;

/// Variables of an answer: a ticket, the scheme of WebSocket URLs (`ws` or `wss`), host and port as the client names them, the time in milliseconds since 1970, the end of the
/// ticket's life as such and as a date of RFC 3339, the entities that are listed.
const ANSWERED: [&str; 7] = ["ticket", "ws", "address", "unix_ms", "expires_ms", "expires", "entities"];
/// Variables of an entity.
const LISTED: [&str; 5] = ["topic", "ticket", "ws", "address", "expires"];
const METHODS: [(&str, &str); 6] = [
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
];
const DOES: [(&str, RouteDoes); 8] = [
    ("answer", RouteDoes::Answer),
    ("list-tickets", RouteDoes::ListTickets),
    ("find-ticket", RouteDoes::FindTicket),
    ("end-ticket", RouteDoes::EndTicket),
    ("list-topics", RouteDoes::ListTopics),
    ("add-topics", RouteDoes::AddTopics),
    ("replace-topics", RouteDoes::ReplaceTopics),
    ("drop-topics", RouteDoes::DropTopics),
];

/// A route.
pub(super) fn parse_route(table: &Table<'_>) -> Option<Route> {
    if table.get("path").is_none() {
        table.missing("path", "a route is { method = \"POST\", path = \"/open\", body = '{\"url\":\"ws://{address}/?ticket={ticket}\"}' }");
    }
    let does = table.one_of("does", &DOES).unwrap_or(RouteDoes::Answer);
    let route = Route {
        method: table.one_of("method", &METHODS).unwrap_or("GET").to_owned(),
        path: parse_plain_path(table, "path").unwrap_or_default(),
        does,
        needs_token: table.boolean("needs_token").unwrap_or(true),
        status: table.integer("status", 200..=599).unwrap_or(200) as u16,
        body: target_text(table, "body", &ANSWERED).unwrap_or_else(|| Template::parse("{}")),
        entity: target_text(table, "entity", &LISTED)
            .unwrap_or_else(|| Template::parse("{\"id\":\"{topic}{ticket}\"}")),
        limit: table.table("limit").and_then(|limit| parse_window_limit(&limit)),
        limit_headers: limit_headers(table, "limit_headers"),
    };
    table.finish();
    let is_about_one = !matches!(does, RouteDoes::Answer | RouteDoes::ListTickets);
    if is_about_one && !route.path.is_empty() && !route.path.contains(TICKET_IN_PATH) {
        let message = format!("`{}` is \"{}\", and names no ticket", table.path_of("path"), route.path);
        table.fault(
            table.span_of("path"),
            message,
            "write {ticket} where the ticket stands, as \"/channels/{ticket}\"",
        );
    }
    (!route.path.is_empty()).then_some(route)
}

/// Tickets.
pub(super) fn parse_tickets(table: &Table<'_>) -> Tickets {
    let evicts = [("oldest", Evicts::Oldest), ("unconnected-first", Evicts::UnconnectedFirst)];
    let tickets = Tickets {
        life: table.positive_duration("life").unwrap_or(Duration::from_secs(60)),
        one_use: table.boolean("one_use").unwrap_or(true),
        per_client: table.integer("per_client", 1..=1_000_000).map(|most| most as u32),
        displaces: table.boolean("displaces").unwrap_or(false),
        optional: table.boolean("optional").unwrap_or(false),
        evicts: table.one_of("evicts", &evicts).unwrap_or(Evicts::Oldest),
        ends_with_token: table.boolean("ends_with_token").unwrap_or(false),
        most_topics: table.integer("most_topics", 0..=1_000_000).unwrap_or(1_000) as u32,
        renewed_by_topics: table.boolean("renewed_by_topics").unwrap_or(false),
    };
    table.finish();
    tickets
}

/// What the session of a ticket is told when the ticket ends.
pub(super) fn parse_ticket_end(table: &Table<'_>) -> Option<TicketEnd> {
    let end = TicketEnd { message: target_text(table, "message", &[]), close: close_code(table, "close") };
    table.finish();
    if !end.is_told() {
        let help = "message = \"…\" or close = 4000 is needed";
        table.fault(table.span.clone(), "`ticket_end` says nothing", help);
        return None;
    }
    Some(end)
}
