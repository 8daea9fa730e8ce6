//! The JSON Schema of the scenario file, for editors.
//!
//! In: nothing. Out: a schema (draft 2020-12). It is written here by hand beside the parser, for the file's values (durations,
//! choices between a word and a table) have shapes that no derive knows; a test holds that both know the same keys.

use serde_json::{Map, Value, json};

use super::parse_fault::{KINDS, KindRow};
use super::policies::policy_names;
use super::profiles::profile_names;
use super::threshold::subject_names;

/// The JSON Schema of a scenario file.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "resurge scenario",
        "type": "object",
        "additionalProperties": false,
        "required": ["duration", "target", "groups"],
        "properties": {
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$", "description": "Default: the file's stem" },
            "description": { "type": "string" },
            "seed": { "type": "integer", "minimum": 0, "default": 1 },
            "duration": duration("How long clients are held"),
            "drain": duration("How long attempts and sessions get to end then; default 10s"),
            "target": target(),
            "groups": { "type": "array", "minItems": 1, "items": group() },
            "storms": { "type": "array", "items": storm() },
            "thresholds": thresholds(),
            "health": table(json!({
                "max_lag_p99": duration("99th percentile of the clients' lag; default 250ms"),
                "max_stall": duration("Longest stall of the event loop; default 1s"),
            })),
        },
        "$defs": {
            "duration": { "type": "string", "pattern": "^([0-9.]+ *(ns|us|µs|ms|s|m|min|h|d) *)+$" },
            "rate": { "type": "string", "pattern": "^[0-9.]+ */ *(s|m|min|h)$" },
            "share": { "type": "string", "pattern": "^[0-9.]+ *%?$" },
            "code": { "type": "integer", "minimum": 1000, "maximum": 4999 },
            "secret": { "oneOf": [
                { "type": "string" },
                { "type": "object", "additionalProperties": false, "required": ["env"], "properties": { "env": { "type": "string" } } },
                { "type": "object", "additionalProperties": false, "required": ["file"], "properties": { "file": { "type": "string" } } },
            ] },
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn duration(description: &str) -> Value {
    json!({ "$ref": "#/$defs/duration", "description": description })
}

fn duration_or_never(description: &str) -> Value {
    json!({ "oneOf": [{ "const": "never" }, { "$ref": "#/$defs/duration" }], "description": description })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn strings() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn codes() -> Value {
    json!({ "oneOf": [{ "const": "any" }, { "type": "array", "items": { "$ref": "#/$defs/code" } }] })
}

fn statuses() -> Value {
    json!({ "type": "array", "items": { "type": "integer", "minimum": 400, "maximum": 599 } })
}

/// A table with these keys and no others.
#[expect(clippy::needless_pass_by_value, reason = "a literal reads better than a reference to one")]
fn table(properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// A table with exactly one key.
fn single(key: &str, value: Value) -> Value {
    let mut properties = Map::new();
    properties.insert(key.to_owned(), value);
    json!({ "type": "object", "additionalProperties": false, "required": [key], "properties": properties })
}

fn delay() -> Value {
    let uniform =
        json!({ "type": "array", "items": { "$ref": "#/$defs/duration" }, "minItems": 2, "maxItems": 2 });
    let log_normal = json!({
        "type": "object", "additionalProperties": false, "required": ["median", "sigma"],
        "properties": { "median": { "$ref": "#/$defs/duration" }, "sigma": { "type": "number", "minimum": 0, "maximum": 3 } },
    });
    json!({ "oneOf": [reference("duration"), single("uniform", uniform), single("log_normal", log_normal)] })
}

fn target() -> Value {
    table(json!({
        "kind": words(&["embedded", "remote"]),
        "profile": words(&profile_names()),
        "idle_timeout": duration_or_never("A session without traffic for this long is closed; default 60s"),
        "idle_counts": words(&["client", "either"]),
        "idle_close_code": reference("code"),
        "token_life": duration("Default 24h"),
        "token_format": words(&["opaque", "jwt"]),
        "refresh_tokens": table(json!({ "life": reference("duration"), "rotate": { "type": "boolean" } })),
        "invalidation": words(&["never", "on-disconnect", "on-new-token", "on-use"]),
        "required_scopes": strings(),
        "refusal_status": { "oneOf": [{ "type": "integer", "minimum": 400, "maximum": 599 }, { "const": "rfc6750" }] },
        "refusal_detail": words(&["full", "bare", "html"]),
        "accepts_token_in": { "type": "array", "minItems": 1, "items": words(&["header", "query", "subprotocol", "path"]) },
        "path": { "type": "string", "pattern": "^/", "description": "Path of the WebSocket endpoint; * may end it" },
        "query_parameter": { "type": "string", "minLength": 1 },
        "routes": { "type": "array", "items": route() },
        "tickets": table(json!({
            "life": reference("duration"),
            "one_use": { "type": "boolean" },
            "per_client": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
            "displaces": { "type": "boolean" },
            "optional": { "type": "boolean" },
        })),
        "script": { "type": "array", "items": table(json!({
            "at": words(&["open", "authenticated"]),
            "after": reference("duration"),
            "every": reference("duration"),
            "message": { "type": "string", "minLength": 1 },
            "send": text_with_variables("What the target sends"),
            "close": reference("code"),
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
        "handshake_limit": limit(),
        "clients": { "type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["id", "secret"],
            "properties": { "id": { "type": "string" }, "secret": reference("secret"), "scopes": strings() },
        } },
        "messages_every": duration_or_never("Each session gets a message this often; default never"),
        "message_padding": { "type": "integer", "minimum": 0, "maximum": 65_536 },
        "upgrade_delay": delay(),
        "token_delay": delay(),
        "close_timeout": duration("Default 5s"),
        "tls": { "type": "boolean", "default": false },
        "faults": { "type": "array", "items": { "oneOf": KINDS.iter().map(target_fault).collect::<Vec<_>>() } },
        "url": { "type": "string", "pattern": "^wss?://" },
        "token_url": { "type": "string", "pattern": "^https?://" },
        "ca_file": { "type": "string" },
        "client_cert": { "type": "string", "description": "PEM file with which clients show who they are" },
        "client_key": { "type": "string", "description": "PEM file of its private key" },
    }))
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

/// So many in a window.
fn limit() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["count", "per"],
        "properties": {
            "count": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
            "per": { "$ref": "#/$defs/duration" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
        },
    })
}

/// An HTTP request that the embedded target answers.
fn route() -> Value {
    table(json!({
        "method": words(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        "path": { "type": "string", "pattern": "^/" },
        "needs_token": { "type": "boolean" },
        "status": { "type": "integer", "minimum": 200, "maximum": 599 },
        "body": text_with_variables("The answer, JSON"),
        "limit": limit(),
        "limit_headers": { "type": "array", "minItems": 3, "maxItems": 3, "items": { "type": "string" } },
    }))
}

fn group() -> Value {
    let stage = json!({
        "type": "object", "additionalProperties": false, "required": ["clients"],
        "properties": { "clients": { "type": "integer", "minimum": 1 }, "over": { "$ref": "#/$defs/duration" } },
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "clients", "token"],
        "properties": {
            "name": { "type": "string", "not": { "const": "all" } },
            "clients": { "type": "integer", "minimum": 1 },
            "start": { "oneOf": [
                { "const": "at-once" },
                single("over", reference("duration")),
                single("rate", reference("rate")),
                single("stages", json!({ "type": "array", "items": stage })),
            ] },
            "policy": words(&policy_names()),
            "token": token(),
            "prepare": prepare(),
            "connect": connect(),
            "session": session(),
            "disconnects": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["after"],
                "properties": {
                    "after": reference("duration"),
                    "how": words(&["close", "rst", "half-open"]),
                    "code": reference("code"),
                },
            } },
            "reconnect": reconnect(),
        },
    })
}

fn token() -> Value {
    table(json!({
        "grant": words(&["client_credentials", "refresh_token", "command", "fixed", "none"]),
        "feeder": { "type": "string", "description": "CSV file with the columns client_id and client_secret, a row a client" },
        "refresh_token": reference("secret"),
        "command": { "type": "array", "minItems": 1, "items": { "type": "string" } },
        "refresh_jitter": { "type": "number", "minimum": 0, "maximum": 1 },
        "clock_skew": { "type": "string", "pattern": "^[+-]?[0-9.]+ *(ns|us|µs|ms|s|m|min|h|d)" },
        "client_id": { "type": "string" },
        "client_secret": reference("secret"),
        "auth": words(&["body", "basic"]),
        "scopes": strings(),
        "token": reference("secret"),
        "on_reconnect": { "oneOf": [words(&["reuse", "fetch"]), single("fetch_if_older_than", reference("duration"))] },
        "fetch_on_codes": codes(),
        "refresh_before_expiry": reference("duration"),
        "sharing": words(&["own", "group", "group-stampede"]),
        "connection": words(&["pooled", "fresh"]),
        "max_connections": { "type": "integer", "minimum": 1, "maximum": 100_000 },
        "timeout": reference("duration"),
        "url": { "type": "string", "pattern": "^https?://" },
    }))
}

fn connect() -> Value {
    table(json!({
        "url": { "type": "string", "description": "ws:// or wss://; may hold variables, as \"{uri}\"" },
        "path": { "type": "string", "pattern": "^/" },
        "proxy": reference("secret"),
        "source_addresses": strings(),
        "headers": { "type": "object", "additionalProperties": reference("secret") },
        "subprotocols": strings(),
        "token_in": { "oneOf": [
            words(&["header", "nowhere"]),
            single("query", json!({ "type": "string" })),
            single("subprotocol", json!({ "type": "string" })),
            single("first_message", json!({ "type": "string" })),
        ] },
        "dns_timeout": reference("duration"),
        "dns_ttl": reference("duration"),
        "tcp_timeout": reference("duration"),
        "tls_timeout": reference("duration"),
        "upgrade_timeout": reference("duration"),
        "close_timeout": reference("duration"),
    }))
}

fn session() -> Value {
    table(json!({
        "ready": { "oneOf": [words(&["upgraded", "first-message"]), single("message_contains", json!({ "type": "string" }))] },
        "ready_timeout": reference("duration"),
        "keep_alive": table(json!({
            "ping_every": reference("duration"),
            "text_every": reference("duration"),
            "text": { "type": "string" },
            "timeout": reference("duration"),
        })),
        "send": table(json!({ "rate": reference("rate"), "text": { "type": "string" } })),
        "silence_timeout": duration_or_never("A session that hears nothing for this long is taken for dead; default never"),
        "max_message_bytes": { "type": "integer", "minimum": 125 },
        "first_message": text_with_variables("Sent right after the upgrade"),
        "refresh_message": text_with_variables("Sent when a token was refreshed while the session lasts"),
        "on_message": { "type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["contains"],
            "properties": {
                "contains": { "type": "string", "minLength": 1 },
                "save": save(),
                "reply": text_with_variables("Sent back"),
                "heartbeat": {
                    "type": "object", "additionalProperties": false, "required": ["every_ms", "text"],
                    "properties": {
                        "every_ms": { "type": "string", "description": "JSON Pointer to the interval in milliseconds" },
                        "text": text_with_variables("The heartbeat"),
                    },
                },
                "then": words(&["reconnect", "renew"]),
            },
        } },
    }))
}

fn text_with_variables(description: &str) -> Value {
    json!({ "type": "string", "description": format!("{description}; variables as {{token}} are filled in") })
}

/// Variables and where in a JSON text their values stand.
fn save() -> Value {
    let pointer =
        json!({ "type": "string", "pattern": "^(/.*)?$", "description": "JSON Pointer (RFC 6901)" });
    json!({ "type": "object", "additionalProperties": pointer })
}

/// HTTP requests before a handshake.
fn prepare() -> Value {
    let step = table(json!({
        "name": { "type": "string" },
        "method": words(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        "url": { "type": "string" },
        "path": { "type": "string", "pattern": "^/" },
        "headers": { "type": "object", "additionalProperties": reference("secret") },
        "body": text_with_variables("The body"),
        "content_type": { "type": "string" },
        "save": save(),
        "expect": { "type": "array", "items": { "type": "integer", "minimum": 100, "maximum": 599 } },
        "timeout": reference("duration"),
    }));
    table(json!({
        "variables": { "type": "object", "additionalProperties": { "type": "string" } },
        "steps": { "type": "array", "maxItems": 32, "items": step },
        "when": words(&["each-attempt", "once"]),
        "renew_on": statuses(),
        "renew_on_codes": { "type": "array", "items": { "oneOf": [reference("code"), { "type": "string" }] } },
    }))
}

fn reconnect() -> Value {
    table(json!({
        "on_codes": codes(),
        "terminal_codes": { "type": "array", "items": { "oneOf": [
            reference("code"),
            { "type": "string", "pattern": "^[1-4][0-9]{3} *- *[1-4][0-9]{3}$" },
        ] } },
        "failure_is_close": { "type": "boolean", "description": "A connection that fails counts as a close with 1006; default false" },
        "backoff": table(json!({
            "kind": words(&["none", "constant", "linear", "exponential", "steps"]),
            "steps": { "type": "array", "minItems": 1, "items": reference("duration") },
            "base": reference("duration"),
            "max": reference("duration"),
            "factor": { "type": "number", "minimum": 1, "maximum": 100 },
            "jitter": { "oneOf": [
                words(&["none", "full", "equal", "decorrelated"]),
                { "type": "number", "minimum": 0, "maximum": 1 },
                single("add", json!({ "type": "array", "items": { "$ref": "#/$defs/duration" }, "minItems": 2, "maxItems": 2 })),
            ] },
        })),
        "honour_retry_after": { "type": "boolean" },
        "max_attempts": { "type": "integer", "minimum": 1 },
        "give_up_after": duration_or_never("Time after the disconnect beyond which no attempt begins; default never"),
        "refetch_on": statuses(),
        "give_up_on": statuses(),
    }))
}

fn storm() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["at"],
        "properties": {
            "at": reference("duration"),
            "by": words(&["target", "client"]),
            "code": reference("code"),
            "how": words(&["close", "rst", "half-open"]),
            "fraction": reference("share"),
            "groups": strings(),
        },
    })
}

fn thresholds() -> Value {
    let names = subject_names().join("|");
    let expression = json!({ "type": "string" });
    let detailed = json!({
        "type": "object", "additionalProperties": false, "required": ["expr"],
        "properties": {
            "expr": { "type": "string" }, "abort_on_fail": { "type": "boolean" }, "delay": { "$ref": "#/$defs/duration" },
        },
    });
    let one = json!({ "oneOf": [expression, detailed] });
    json!({
        "type": "object",
        "patternProperties": {
            (format!("^({names})(\\{{group:[^}}]+\\}})?$")): { "oneOf": [one, { "type": "array", "items": one }] },
        },
        "additionalProperties": false,
    })
}
