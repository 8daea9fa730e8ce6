//! The JSON Schema of the table `[target]`.
//!
//! In: nothing. Out: the part of the schema that [`super::schema`] has under `target`.

use serde_json::{Map, Value, json};

use super::parse_fault::{KINDS, KindRow};
use super::profiles::profile_names;
use super::schema::{
    delay, duration, duration_or_never, reference, save, strings, table, text_with_variables, words,
};
use super::schema_simulate::capacity;

/// The table `[target]`.
pub(super) fn target() -> Value {
    let mut keys = Map::new();
    for part in [guard(), service()] {
        if let Value::Object(part) = part {
            keys.extend(part);
        }
    }
    table(Value::Object(keys))
}

/// Tokens, idle sessions, refusals.
fn guard() -> Value {
    json!({
        "kind": words(&["embedded", "remote"]),
        "profile": words(&profile_names()),
        "idle_timeout": duration_or_never("A session without traffic for this long is closed; default 60s"),
        "idle_counts": words(&["client", "target", "either"]),
        "idle_control_frames": { "type": "boolean", "default": true },
        "idle_action": words(&["close", "drop", "silence"]),
        "idle_close_code": reference("code"),
        "token_life": duration("Default 24h"),
        "token_format": words(&["opaque", "jwt"]),
        "refresh_tokens": table(json!({ "life": reference("duration"), "rotate": { "type": "boolean" } })),
        "invalidation": words(&["never", "on-disconnect", "on-new-token", "on-use"]),
        "token_end": table(json!({
            "code": reference("code"),
            "grace": duration("After the token's expiry; default 0s"),
            "at_revocation": { "type": "boolean", "default": true },
        })),
        "token_limit": limit(&[]),
        "required_scopes": strings(),
        "refusal_status": { "oneOf": [{ "type": "integer", "minimum": 400, "maximum": 599 }, { "const": "rfc6750" }] },
        "refusal_detail": words(&["full", "bare", "html"]),
        "refusal_manner": { "oneOf": [
            words(&["status", "reset", "silence"]),
            table(json!({ "message": text_with_variables("What the refused client is told"), "close": reference("code") })),
        ] },
        "refusal_body": text_with_variables("Body of a full refusal"),
        "answer_headers": { "type": "object", "additionalProperties": { "type": "string" } },
        "token_error_body": text_with_variables("Body of the token endpoint's errors"),
        "accepts_token_in": { "type": "array", "minItems": 1, "items": words(&["header", "query", "subprotocol", "path"]) },
        "path": { "type": "string", "pattern": "^/", "description": "Path of the WebSocket endpoint; * may end it" },
        "query_parameter": { "type": "string", "minLength": 1 },
    })
}

/// Routes, tickets, what it says, limits, faults; and where a remote one is.
fn service() -> Value {
    json!({
        "routes": { "type": "array", "items": route() },
        "request_limits": { "type": "array", "items": limit(&[
            ("of", words(&["token", "client"])),
            ("headers", three_headers()),
        ]) },
        "ticket_end": table(json!({ "message": { "type": "string" }, "close": reference("code") })),
        "tickets": table(json!({
            "life": reference("duration"),
            "one_use": { "type": "boolean" },
            "per_client": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
            "displaces": { "type": "boolean" },
            "optional": { "type": "boolean" },
            "evicts": words(&["oldest", "unconnected-first"]),
            "ends_with_token": { "type": "boolean" },
            "most_topics": { "type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 1_000 },
            "renewed_by_topics": { "type": "boolean" },
        })),
        "script": { "type": "array", "items": table(json!({
            "at": words(&["open", "authenticated"]),
            "after": reference("duration"),
            "every": reference("duration"),
            "message": { "type": "string", "minLength": 1 },
            "send": text_with_variables("What the target sends"),
            "close": reference("code"),
            "save": save(),
            "topics": { "type": "string", "pattern": "^(/.*)?$", "description": "JSON Pointer to topics in the message" },
            "topics_refused": text_with_variables("What the target sends where they are too many"),
        })) },
        "message_token": table(json!({
            "pointers": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^/" } },
            "within": reference("duration"),
            "late_code": reference("code"),
            "refused_code": reference("code"),
            "expired_code": reference("code"),
            "grace": reference("duration"),
        })),
        "refusal_codes": { "type": "object", "additionalProperties": { "type": "string" } },
        "client_lock": duration_or_never("A client id is refused for this long after a session of it has ended; default never"),
        "sessions_per_client": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
        "at_session_limit": words(&["refuse", "displace"]),
        "displaced_code": reference("code"),
        "handshake_limit": limit(&[]),
        "clients": { "type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["id", "secret"],
            "properties": { "id": { "type": "string" }, "secret": reference("secret"), "scopes": strings() },
        } },
        "messages_every": duration_or_never("Each session gets a message this often; default never"),
        "message_padding": { "type": "integer", "minimum": 0, "maximum": 65_536 },
        "upgrade_delay": delay(),
        "token_delay": delay(),
        "token_capacity": capacity("Token requests at once, and how long each takes; default any number, in no time"),
        "upgrade_capacity": capacity("Upgrade requests at once, and how long each takes; default any number, in no time"),
        "close_timeout": duration("Default 5s"),
        "tls": { "type": "boolean", "default": false },
        "addresses": { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string" }, "description": "Loopback addresses to listen on; clients spread over them by their number" },
        "faults": { "type": "array", "items": { "oneOf": KINDS.iter().map(target_fault).collect::<Vec<_>>() } },
        "storms": { "type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["at"],
            "properties": {
                "at": duration("Since the target's start"),
                "every": duration("Again and again after that; default: once"),
                "code": reference("code"),
                "fraction": { "oneOf": [{ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }, { "$ref": "#/$defs/share" }] },
                "warning": text_with_variables("What the sessions are told before"),
                "warning_before": duration("Default 60s"),
            },
        } },
        "url": { "type": "string", "pattern": "^wss?://" },
        "token_url": { "type": "string", "pattern": "^https?://" },
        "ca_file": { "type": "string" },
        "client_cert": { "type": "string", "description": "PEM file with which clients show who they are" },
        "client_key": { "type": "string", "description": "PEM file of its private key" },
    })
}

/// A fault of one kind, with the keys that belong to it.
fn target_fault(row: &KindRow) -> Value {
    let mut properties = Map::new();
    properties.insert("kind".to_owned(), json!({ "const": row.name }));
    let share = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1 });
    properties.insert("share".to_owned(), json!({ "oneOf": [share, { "$ref": "#/$defs/share" }] }));
    properties.insert("from".to_owned(), duration("Since the target's start; default 0s"));
    properties.insert("until".to_owned(), duration("Since the target's start; default: to the end"));
    for key in row.keys {
        let value = match *key {
            "delay" => delay(),
            "status" => json!({ "type": "integer", "minimum": 400, "maximum": 599, "default": 503 }),
            "skew" => {
                json!({ "type": "string", "pattern": "^[+-]?([0-9.]+ *(ns|us|µs|ms|s|m|min|h|d) *)+$" })
            }
            "bytes" => json!({ "type": "integer", "minimum": 126 }),
            "flaw" => words(&["reserved-bits", "opcode"]),
            "after" => duration("Since the upgrade; default 0s"),
            _ => reference("duration"),
        };
        properties.insert((*key).to_owned(), value);
    }
    let mut required = vec!["kind"];
    required.extend(&row.keys[..row.needed]);
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// So many in a window, with more keys where there are any.
fn limit(more: &[(&str, Value)]) -> Value {
    let mut limit = json!({
        "type": "object", "additionalProperties": false, "required": ["count", "per"],
        "properties": {
            "count": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
            "per": { "$ref": "#/$defs/duration" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "default": 429 },
            "retry_after": { "type": "boolean", "default": true },
        },
    });
    for (key, value) in more {
        limit["properties"][*key] = value.clone();
    }
    limit
}

fn three_headers() -> Value {
    json!({ "type": "array", "minItems": 3, "maxItems": 3, "items": { "type": "string" } })
}

/// An HTTP request that the embedded target answers.
fn route() -> Value {
    table(json!({
        "method": words(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        "path": { "type": "string", "pattern": "^/" },
        "needs_token": { "type": "boolean" },
        "status": { "type": "integer", "minimum": 200, "maximum": 599 },
        "body": text_with_variables("The answer, JSON"),
        "does": words(&[
            "answer", "list-tickets", "find-ticket", "end-ticket", "list-topics", "add-topics", "replace-topics", "drop-topics",
        ]),
        "entity": text_with_variables("One of {entities} in the body"),
        "limit": limit(&[]),
        "limit_headers": three_headers(),
    }))
}
