//! How the embedded target refuses becomes typed data, or faults.
//!
//! In: keys of `[target]`. Out: statuses, codes, manners, bodies, headers.

use crate::sample::Cause;

use super::model::{RefusalManner, RefusalStatus};
use super::parse_common::{close_code, target_text};
use super::reader::Table;
use super::template::Template;

/// Variables of a refusal: its status, code, sentence and cause, a number of the request.
const REFUSED: [&str; 5] = ["status", "code", "message", "cause", "request"];

pub(super) fn parse_refusal_status(table: &Table<'_>) -> Option<RefusalStatus> {
    let value = table.get("refusal_status")?;
    if value.get_ref().as_str().is_some() {
        return table.one_of("refusal_status", &[("rfc6750", RefusalStatus::Rfc6750)]);
    }
    table.integer("refusal_status", 400..=599).map(|status| RefusalStatus::Always(status as u16))
}

/// In which way a handshake is refused.
pub(super) fn parse_refusal_manner(table: &Table<'_>) -> Option<RefusalManner> {
    let value = table.get("refusal_manner")?;
    if value.get_ref().as_str().is_some() {
        let [status, reset, silence] = [0, 1, 2];
        let word =
            table.one_of("refusal_manner", &[("status", status), ("reset", reset), ("silence", silence)])?;
        return Some(match word {
            0 => RefusalManner::Status,
            1 => RefusalManner::Reset,
            _ => RefusalManner::Silence,
        });
    }
    let socket = table.as_table("refusal_manner", value)?;
    let (message, close) = (target_text(&socket, "message", &REFUSED), close_code(&socket, "close"));
    socket.finish();
    if message.is_none() && close.is_none() {
        let help = "\"status\", \"reset\", \"silence\" or { message = \"…\", close = 4401 } is needed";
        table.fault(table.span_of("refusal_manner"), "`refusal_manner` says nothing", help);
        return None;
    }
    Some(RefusalManner::Socket { message, close })
}

/// Body of a full refusal.
pub(super) fn parse_refusal_body(table: &Table<'_>) -> Option<Template> {
    target_text(table, "refusal_body", &REFUSED)
}

/// Body of the token endpoint's errors.
pub(super) fn parse_token_error_body(table: &Table<'_>) -> Option<Template> {
    target_text(table, "token_error_body", &["error", "message", "request"])
}

/// Headers of the answers over HTTP.
pub(super) fn parse_answer_headers(table: &Table<'_>) -> Option<Vec<(String, Template)>> {
    let headers = table.table("answer_headers")?;
    let mut found = Vec::new();
    for key in headers.keys() {
        let name = key.get_ref().as_ref();
        let Some(value) = target_text(&headers, name, &["request", "unix_ms"]) else { continue };
        let sample = value.render(|_| Some("0".to_owned()));
        if http::HeaderName::try_from(name).is_err() || http::HeaderValue::try_from(&sample).is_err() {
            let help = "a header has a name of letters, digits and `-`, and a value without line breaks";
            headers.fault(key.span(), format!("`{}` is no header", headers.path_of(name)), help);
        }
        found.push((name.to_owned(), value));
    }
    Some(found)
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
