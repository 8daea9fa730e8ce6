//! The JSON Schema of `[simulate]` and of capacities.
//!
//! In: nothing. Out: the parts of the schema that [`super::schema`] and [`super::schema_target`] have.

use serde_json::{Map, Value, json};

use super::model::TimeStage;
use super::parse_simulate::{LONGEST_QUEUE, MOST_SERVERS};
use super::profiles::profile_names;
use super::schema::{delay, duration, table, words};

/// The table `[simulate]`.
pub(super) fn simulate() -> Value {
    let stages: Map<String, Value> =
        TimeStage::ALL.iter().map(|stage| (stage.name().to_owned(), delay())).collect();
    let fault = json!({
        "type": "object", "additionalProperties": false, "required": ["stage", "kind"],
        "properties": {
            "stage": words(&["dns", "tcp", "tls", "upgrade", "token"]),
            "kind": words(&["refused", "reset", "blackhole"]),
            "share": { "description": "Share of those that pass the stage; default 1", "oneOf": [{ "type": "number", "minimum": 0, "maximum": 1 }, { "$ref": "#/$defs/share" }] },
            "from": duration("Default 0s"),
            "until": duration("Default: to the end"),
        },
    });
    table(json!({
        "service": words(&profile_names()),
        "stages": table(Value::Object(stages)),
        "token": capacity("Capacity of the token endpoint, in place of target.token_capacity"),
        "upgrade": capacity("Capacity of the WebSocket endpoint, in place of target.upgrade_capacity"),
        "faults": { "type": "array", "items": fault },
    }))
}

/// A capacity.
pub(super) fn capacity(description: &str) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["servers", "service"],
        "description": description,
        "properties": {
            "servers": { "type": "integer", "minimum": 1, "maximum": MOST_SERVERS },
            "service": delay(),
            "queue": { "type": "integer", "minimum": 0, "maximum": LONGEST_QUEUE },
            "over_limit": { "type": "integer", "minimum": 400, "maximum": 599, "default": 503 },
            "retry_after": duration("Retry-After of a refusal; default none"),
            "abandoned": words(&["served", "dropped"]),
        },
    })
}
