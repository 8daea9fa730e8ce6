//! What stands in a script: texts, numbers, lists, tables, and what is computed.
//!
//! In: values. Out: what is known of them, and their JSON. Pure.

/// What stands in a script.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A text; parts of it may not be known.
    Text(Vec<Part>),
    Number(f64),
    Truth(bool),
    List(Vec<Value>),
    /// Keys in their order.
    Table(Vec<(String, Value)>),
    /// Something that is computed, as it stands there.
    Unread(String),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Plain(String),
    /// A variable of the environment (`__ENV.NAME`, `process.env.NAME`).
    Env(String),
    /// Something that is computed.
    Unread(String),
}

impl Value {
    pub(super) fn plain(text: &str) -> Self {
        Self::Text(vec![Part::Plain(text.to_owned())])
    }

    /// What stands under a key of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A text without unknown parts.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Plain(text) => Some(text.as_str()),
                    Part::Env(_) | Part::Unread(_) => None,
                })
                .collect(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// The parts of a value in a text.
pub(super) fn parts_of(value: Value) -> Vec<Part> {
    match value {
        Value::Text(parts) => parts,
        Value::Number(number) => vec![Part::Plain(number.to_string())],
        Value::Truth(truth) => vec![Part::Plain(truth.to_string())],
        Value::Unread(text) => vec![Part::Unread(text)],
        Value::List(_) | Value::Table(_) => json_of(&value),
    }
}

pub(super) fn joined(first: Value, second: Value) -> Value {
    match (&first, &second) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a + b),
        _ => Value::Text(tidied(parts_of(first).into_iter().chain(parts_of(second)).collect())),
    }
}

/// Neighbours that are plain are one; nothing is empty.
pub(super) fn tidied(parts: Vec<Part>) -> Vec<Part> {
    let mut tidy: Vec<Part> = Vec::new();
    for part in parts {
        match (tidy.last_mut(), part) {
            (_, Part::Plain(text)) if text.is_empty() => {}
            (Some(Part::Plain(before)), Part::Plain(text)) => before.push_str(&text),
            (_, part) => tidy.push(part),
        }
    }
    tidy
}

/// The JSON of a value; what is not known in it stays a part of its own.
pub(super) fn json_of(value: &Value) -> Vec<Part> {
    let plain = |text: &str| Part::Plain(text.to_owned());
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut parts = Vec::new();
    match value {
        Value::Text(inner) => {
            parts.push(plain("\""));
            for part in inner {
                parts.push(match part {
                    Part::Plain(text) => plain(quoted(text).trim_start_matches('"').trim_end_matches('"')),
                    other => other.clone(),
                });
            }
            parts.push(plain("\""));
        }
        Value::List(values) => {
            parts.push(plain("["));
            for (at, value) in values.iter().enumerate() {
                parts.extend((at > 0).then(|| plain(",")));
                parts.extend(json_of(value));
            }
            parts.push(plain("]"));
        }
        Value::Table(entries) => {
            parts.push(plain("{"));
            for (at, (key, value)) in entries.iter().enumerate() {
                parts.push(plain(&format!("{}{}:", if at > 0 { "," } else { "" }, quoted(key))));
                parts.extend(json_of(value));
            }
            parts.push(plain("}"));
        }
        Value::Number(_) | Value::Truth(_) | Value::Unread(_) => parts.extend(parts_of(value.clone())),
    }
    tidied(parts)
}

/// How a text stands in the script, for people.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Text(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Plain(text) => text.clone(),
                Part::Env(name) => format!("${{__ENV.{name}}}"),
                Part::Unread(text) => format!("${{{text}}}"),
            })
            .collect(),
        Value::Unread(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
