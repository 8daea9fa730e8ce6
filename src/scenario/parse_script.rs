//! What the embedded target says in a session, and its storms, become typed data, or faults.
//!
//! In: tables of `[target]`. Out: the types of [`super::target_script`].

use std::time::Duration;

use super::parse_common::{close_code, repeat_every, share_or_all, target_text};
use super::reader::Table;
use super::target_script::{MessageToken, ScriptAt, ScriptRule, TargetStorm, TopicsAt};
use super::template::is_name;

/// Variables of what the target says in a session: a ticket issued for it, `ws` or `wss`, host and port as the client names them, the session's
/// number, the time in milliseconds since 1970.
const SAID: [&str; 5] = ["ticket", "ws", "address", "session", "unix_ms"];

/// A path of the target's.
pub(super) fn parse_plain_path(table: &Table<'_>, key: &str) -> Option<String> {
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
    let found = parse_plain_path(table, "path")?;
    if found.starts_with("/_resurge") || found.starts_with("/oauth/") {
        table.fault(table.span_of("path"), format!("{found} is taken"), "choose another path");
        return None;
    }
    Some(found)
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
        repeat_every(table, "every").map(ScriptAt::Every),
        table.string("message").filter(|text| !text.is_empty()).map(ScriptAt::Message),
    ]
    .into_iter()
    .flatten()
    .collect();
    let save = parse_saved(table);
    let mut known = SAID.to_vec();
    known.extend(save.iter().map(|(name, _)| name.as_str()));
    let (send, close) = (target_text(table, "send", &known), close_code(table, "close"));
    let refused = target_text(table, "topics_refused", &known);
    let topics = table.string("topics").map(|pointer| TopicsAt { pointer, refused });
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
    let needs_message = !save.is_empty() || topics.is_some();
    if needs_message && !matches!(at, ScriptAt::Message(_)) {
        let message = format!("`{}` reads a message, and none calls for it", table.path);
        table.fault(table.span.clone(), message, "`save` and `topics` go with message = \"…\"");
    }
    Some(ScriptRule { at, send, close, save, topics })
}

/// Variables, and where in a message they stand.
fn parse_saved(table: &Table<'_>) -> Vec<(String, String)> {
    let Some(saved) = table.table("save") else { return Vec::new() };
    let mut found = Vec::new();
    for key in saved.keys() {
        let name = key.get_ref().as_ref();
        let Some(pointer) = saved.string(name) else { continue };
        if !is_name(name) || SAID.contains(&name) || !(pointer.is_empty() || pointer.starts_with('/')) {
            let help = "write name = \"/pointer\": a name of lower-case letters, digits and _ that is not taken, and a JSON Pointer (RFC 6901)";
            saved.fault(key.span(), format!("`{}` is \"{pointer}\"", saved.path_of(name)), help);
        }
        found.push((name.to_owned(), pointer));
    }
    found
}

/// Sessions that the target closes by itself.
pub(super) fn parse_target_storm(table: &Table<'_>) -> Option<TargetStorm> {
    if table.get("at").is_none() {
        table.missing(
            "at",
            "a storm is { at = \"10m\", code = 1012, fraction = 0.5 }, and every where it comes again",
        );
    }
    let storm = TargetStorm {
        at: table.duration("at").unwrap_or_default(),
        every: repeat_every(table, "every"),
        code: close_code(table, "code").unwrap_or(1001),
        fraction: share_or_all(table, "fraction").unwrap_or(1.0),
        warning: target_text(table, "warning", &["address", "session", "unix_ms"]),
        warning_before: table.duration("warning_before").unwrap_or(Duration::from_secs(60)),
    };
    table.finish();
    if storm.warning.is_some() && storm.warning_before > storm.at {
        let message = format!("`{}` warns before the target starts", table.path);
        table.fault(
            table.span.clone(),
            message,
            "`at` must not be before `warning_before` (default \"60s\")",
        );
    }
    table.get("at").map(|_| storm)
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
