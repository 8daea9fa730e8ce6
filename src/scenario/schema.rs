//! The JSON Schema of the scenario file, for editors.
//!
//! In: nothing. Out: a schema (draft 2020-12). It is written here by hand beside the parser, for the file's values (durations,
//! choices between a word and a table) have shapes that no derive knows; a test holds that both know the same keys.

use serde_json::{Map, Value, json};

use super::policies::policy_names;
use super::schema_simulate::simulate;
use super::schema_target::target;
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
            "simulate": simulate(),
            "health": table(json!({
                "max_lag_p99": duration("99th percentile of the clients' lag; default 250ms"),
                "max_stall": duration("Longest stall of the event loop; default 500ms"),
                "max_delay": duration("Delay of the event loop at an attempt's end up to which it is not looked at, its median and a tenth of its 99th percentile; default 2ms"),
                "max_delay_share": { "description": "Share that it may be of the same percentile of the latencies; default 3%", "oneOf": [{ "type": "number", "minimum": 0, "maximum": 1 }, { "$ref": "#/$defs/share" }] },
                "max_saturated_share": { "description": "Share of the attempts that may end in seconds in which the event loop had no rest; default 5%", "oneOf": [{ "type": "number", "minimum": 0, "maximum": 1 }, { "$ref": "#/$defs/share" }] },
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

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

pub(super) fn duration(description: &str) -> Value {
    json!({ "$ref": "#/$defs/duration", "description": description })
}

pub(super) fn duration_or_never(description: &str) -> Value {
    json!({ "oneOf": [{ "const": "never" }, { "$ref": "#/$defs/duration" }], "description": description })
}

pub(super) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

pub(super) fn strings() -> Value {
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
pub(super) fn table(properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// A table with exactly one key.
pub(super) fn single(key: &str, value: Value) -> Value {
    let mut properties = Map::new();
    properties.insert(key.to_owned(), value);
    json!({ "type": "object", "additionalProperties": false, "required": [key], "properties": properties })
}

pub(super) fn delay() -> Value {
    let uniform =
        json!({ "type": "array", "items": { "$ref": "#/$defs/duration" }, "minItems": 2, "maxItems": 2 });
    let log_normal = json!({
        "type": "object", "additionalProperties": false, "required": ["median", "sigma"],
        "properties": { "median": { "$ref": "#/$defs/duration" }, "sigma": { "type": "number", "minimum": 0, "maximum": 3 } },
    });
    json!({ "oneOf": [
        reference("duration"),
        single("constant", reference("duration")),
        single("uniform", uniform),
        single("exponential", duration("The mean")),
        single("log_normal", log_normal),
    ] })
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

pub(super) fn text_with_variables(description: &str) -> Value {
    json!({ "type": "string", "description": format!("{description}; variables as {{token}} are filled in") })
}

/// Variables and where in a JSON text their values stand.
pub(super) fn save() -> Value {
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
        "renew_after": { "type": "integer", "minimum": 0, "maximum": 1_000_000, "description": "Reuses after which the steps are made anew" },
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
