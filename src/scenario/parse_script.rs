//! The embedded target's routes, tickets and script become typed data, or faults.
//!
//! In: tables of `[target]`. Out: the types of [`super::target_script`].

use std::time::Duration;

use crate::sample::Cause;

use super::parse_common::close_code;
use super::parse_rules::parse_handshake_limit;
use super::reader::Table;
use super::target_script::{MessageToken, Route, ScriptAt, ScriptRule, Tickets};
use super::template::Template;

/// Variables of the target's texts: a ticket issued for the answer, host and port as the client names them, the session's number,
/// the time in milliseconds since 1970.
const KNOWN: [&str; 4] = ["ticket", "address", "session", "unix_ms"];
const METHODS: [(&str, &str); 6] = [
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
];

fn template(table: &Table<'_>, key: &str) -> Option<Template> {
    let template = Template::parse(&table.string(key)?);
    for name in template.variables().filter(|name| !KNOWN.contains(name)) {
        let message = format!("`{}` names {{{name}}}, which nothing fills", table.path_of(key));
        table.fault(table.span_of(key), message, format!("there are {}", KNOWN.join(", ")));
    }
    Some(template)
}

fn path(table: &Table<'_>, key: &str) -> Option<String> {
    let path = table.string(key)?;
    if !path.starts_with('/') || path.contains(char::is_whitespace) || path.contains('?') {
        let message = format!("`{}` is \"{path}\"", table.path_of(key));
        table.fault(
            table.span_of(key),
            message,
            "a path begins with `/` and holds no spaces and no `?`; `*` may end it",
        );
        return None;
    }
    Some(path)
}

/// The path of the WebSocket endpoint.
pub(super) fn parse_path(table: &Table<'_>) -> Option<String> {
    let found = path(table, "path")?;
    if found.starts_with("/_resurge") || found == "/oauth/token" {
        table.fault(table.span_of("path"), format!("{found} is taken"), "choose another path");
        return None;
    }
    Some(found)
}

pub(super) fn parse_route(table: &Table<'_>) -> Option<Route> {
    if table.get("path").is_none() {
        table.missing("path", "a route is { method = \"POST\", path = \"/open\", body = '{\"url\":\"ws://{address}/?ticket={ticket}\"}' }");
    }
    let limit_headers =
        table.strings("limit_headers").and_then(|names| match <[String; 3]>::try_from(names) {
            Ok(names) if names.iter().all(|name| http::HeaderName::try_from(name.as_str()).is_ok()) => {
                Some(names)
            }
            _ => {
                let help = "three header names are needed: counted, allowed, seconds until the window ends";
                table.fault(
                    table.span_of("limit_headers"),
                    "`limit_headers` does not name three headers",
                    help,
                );
                None
            }
        });
    let route = Route {
        method: table.one_of("method", &METHODS).unwrap_or("GET").to_owned(),
        path: path(table, "path").unwrap_or_default(),
        needs_token: table.boolean("needs_token").unwrap_or(true),
        status: table.integer("status", 200..=599).unwrap_or(200) as u16,
        body: template(table, "body").unwrap_or_else(|| Template::parse("{}")),
        limit: table.table("limit").and_then(|limit| parse_handshake_limit(&limit)),
        limit_headers,
    };
    table.finish();
    (!route.path.is_empty()).then_some(route)
}

pub(super) fn parse_tickets(table: &Table<'_>) -> Tickets {
    let tickets = Tickets {
        life: table.positive_duration("life").unwrap_or(Duration::from_secs(60)),
        one_use: table.boolean("one_use").unwrap_or(true),
        per_client: table.integer("per_client", 1..=1_000_000).map(|most| most as u32),
        displaces: table.boolean("displaces").unwrap_or(false),
        optional: table.boolean("optional").unwrap_or(false),
    };
    table.finish();
    tickets
}

pub(super) fn parse_script_rule(table: &Table<'_>) -> Option<ScriptRule> {
    let allowed = "one of at = \"open\", at = \"authenticated\", after = \"2h\", every = \"30s\", message = \"ping\" is needed";
    let words = [("open", ScriptWord::Open), ("authenticated", ScriptWord::Authenticated)];
    let ways: Vec<ScriptAt> = [
        table.one_of("at", &words).map(|word| match word {
            ScriptWord::Open => ScriptAt::Open,
            ScriptWord::Authenticated => ScriptAt::Authenticated,
        }),
        table.positive_duration("after").map(ScriptAt::After),
        super::parse_common::repeat_every(table, "every").map(ScriptAt::Every),
        table.string("message").filter(|text| !text.is_empty()).map(ScriptAt::Message),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (send, close) = (template(table, "send"), close_code(table, "close"));
    let given = ["at", "after", "every", "message"].iter().filter(|key| table.get(key).is_some()).count();
    table.finish();
    if given != 1
        || (send.is_none() && close.is_none() && table.get("send").is_none() && table.get("close").is_none())
    {
        let message = format!("`{}` does not say when, or not what", table.path);
        table.fault(table.span.clone(), message, format!("{allowed}, and send or close"));
        return None;
    }
    let at = ways.into_iter().next()?;
    Some(ScriptRule { at, send, close })
}

#[derive(Clone, Copy)]
enum ScriptWord {
    Open,
    Authenticated,
}

pub(super) fn parse_message_token(table: &Table<'_>) -> Option<MessageToken> {
    if table.get("pointers").is_none() {
        table.missing("pointers", "say where the token stands, as pointers = [\"/d/token\"] (JSON Pointers)");
    }
    let pointers = table.strings("pointers").unwrap_or_default();
    for pointer in pointers.iter().filter(|pointer| !pointer.starts_with('/')) {
        let message = format!("\"{pointer}\" is no JSON Pointer");
        table.fault(table.span_of("pointers"), message, "it begins with `/`, as \"/d/token\" (RFC 6901)");
    }
    let refused_code = close_code(table, "refused_code").unwrap_or(3000);
    let rules = MessageToken {
        pointers,
        within: table.positive_duration("within").unwrap_or(Duration::from_secs(10)),
        late_code: close_code(table, "late_code").unwrap_or(3008),
        refused_code,
        expired_code: close_code(table, "expired_code"),
        grace: table.duration("grace").unwrap_or(Duration::ZERO),
    };
    table.finish();
    (!rules.pointers.is_empty()).then_some(rules)
}

/// What a full refusal writes as its code, by cause.
pub(super) fn parse_refusal_codes(table: &Table<'_>) -> Vec<(Cause, String)> {
    let mut codes = Vec::new();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        match (Cause::from_name(name), table.string(name)) {
            (Some(cause), Some(code)) => codes.push((cause, code)),
            (None, _) => {
                let names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
                table.fault(
                    key.span(),
                    format!("there is no cause `{name}`"),
                    format!("there are {}", names.join(", ")),
                );
            }
            _ => {}
        }
    }
    codes
}
