//! The keys that a scenario sets, for `resurge check`.
//!
//! In: the copy of a scenario, in which secrets are references. Out: for each of its tables the keys whose values are not the default, as the
//! file has them.

use toml::Value;

use crate::declare::{Presence, Shape};
use crate::scenario::keys::scenario::root;

/// What a line says already.
const TOLD: [&str; 4] = ["name", "clients", "description", "seed"];

/// What a table of the file sets: `token.sharing = "group"`.
pub(crate) struct Settings {
    root: toml::Table,
}

impl Settings {
    pub(crate) fn of(copy: &str) -> Self {
        Self { root: copy.parse().unwrap_or_default() }
    }

    /// What `[table]` sets.
    pub(crate) fn table(&self, table: &str) -> Vec<String> {
        self.root.get(table).map(|value| settings(value, &root().below(table))).unwrap_or_default()
    }

    /// What the element of `[[table]]` sets.
    pub(crate) fn element(&self, table: &str, index: usize) -> Vec<String> {
        let value = self.root.get(table).and_then(|list| list.get(index));
        let shapes: Vec<&Shape> = root().below(table).iter().flat_map(|shape| shape.below("0")).collect();
        value.map(|value| settings(value, &shapes)).unwrap_or_default()
    }
}

fn settings(value: &Value, shapes: &[&Shape]) -> Vec<String> {
    let mut found = Vec::new();
    collect("", value, shapes, &mut found);
    found
}

fn collect(path: &str, value: &Value, shapes: &[&Shape], found: &mut Vec<String>) {
    let Some(table) = value.as_table().filter(|_| has_keys(shapes)) else {
        // What there is several of has a line each.
        match value.as_array().filter(|list| list.len() > 1 && list.iter().all(Value::is_table)) {
            Some(list) => {
                found.extend(list.iter().enumerate().map(|(at, one)| format!("{path}.{at} = {one}")));
            }
            None => found.push(format!("{path} = {value}")),
        }
        return;
    };
    for (key, value) in table {
        let below: Vec<&Shape> = shapes.iter().flat_map(|shape| shape.below(key)).collect();
        if (path.is_empty() && TOLD.contains(&key.as_str())) || is_default(shapes, key, value) {
            continue;
        }
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(&path, value, &below, found);
    }
}

/// Whether a value is a table of keys; what is one of several things is told as the file has it.
fn has_keys(shapes: &[&Shape]) -> bool {
    matches!(shapes, [Shape::Table(_)])
}

fn is_default(shapes: &[&Shape], key: &str, value: &Value) -> bool {
    shapes.iter().any(|shape| match shape {
        Shape::Table(table) => table.keys.iter().any(|known| {
            let is_it = |text: &String| {
                format!("value = {text}")
                    .parse::<toml::Table>()
                    .is_ok_and(|table| table.get("value") == Some(value))
            };
            known.name == key && matches!(&known.presence, Presence::Default(text) if is_it(text))
        }),
        _ => false,
    })
}
