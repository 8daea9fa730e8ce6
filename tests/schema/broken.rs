//! One rule of a document broken, anywhere.
//!
//! In: a document and its schema. Out: the document with one value changed, a key too many or too few.

use serde_json::{Value, json};

use super::instance::{Chance, Maker};

/// A value of a document, and the node of the schema that it was made by.
struct Place<'s> {
    pointer: String,
    node: &'s Value,
}

/// The document with one place changed.
pub(crate) fn break_one(document: &Value, schema: &Value, maker: &Maker, chance: &mut Chance) -> Value {
    let mut places = Vec::new();
    gather(document, schema, maker, String::new(), &mut places);
    let place = &places[chance.below(places.len())];
    let mut broken = document.clone();
    let value = broken.pointer_mut(&place.pointer).expect("the place is there");
    let new = changed(value, place.node, maker, chance);
    // A file is a table in any case.
    if new.is_object() || !place.pointer.is_empty() {
        *value = new;
    }
    broken
}

/// Every place of a document, with what the schema says of it. Where there are several ways, the first that its tags allow.
fn gather<'s>(
    value: &Value,
    node: &'s Value,
    maker: &'s Maker,
    pointer: String,
    places: &mut Vec<Place<'s>>,
) {
    let node = way_of(value, maker.resolved(node), maker);
    match value {
        Value::Object(table) => {
            for (name, below) in table {
                let named = &node["properties"][name];
                let of = match node["patternProperties"].as_object().and_then(|rows| rows.values().next()) {
                    Some(of) if named.is_null() => of,
                    _ => named,
                };
                let name = name.replace('~', "~0").replace('/', "~1");
                gather(below, of, maker, format!("{pointer}/{name}"), places);
            }
        }
        Value::Array(list) => {
            for (index, below) in list.iter().enumerate() {
                gather(below, &node["items"], maker, format!("{pointer}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(Place { pointer, node });
}

fn way_of<'s>(value: &Value, node: &'s Value, maker: &'s Maker) -> &'s Value {
    if node.get("properties").is_some() || node.get("type").is_some_and(|kind| kind != "object") {
        return node;
    }
    let ways = node["oneOf"].as_array().or_else(|| node["anyOf"].as_array());
    let Some(ways) = ways else { return node };
    let allows = |way: &&Value| {
        let way = maker.resolved(way);
        let Value::Object(table) = value else { return way["type"] != "object" };
        let properties = way["properties"].as_object();
        properties.is_some_and(|properties| {
            let is_as_said = |(name, key): (&String, &Value)| {
                key.get("const").is_none_or(|word| table.get(name).is_none_or(|is| is == word))
            };
            properties.iter().all(is_as_said) && table.keys().all(|key| properties.contains_key(key))
        })
    };
    ways.iter().find(allows).map_or(node, |way| way_of(value, maker.resolved(way), maker))
}

fn changed(value: &Value, node: &Value, maker: &Maker, chance: &mut Chance) -> Value {
    let other = [json!(true), json!("x"), json!(""), json!(1.5), json!(7), json!([]), json!({}), json!(-1)];
    if chance.percent(15) {
        return chance.one(&other).clone();
    }
    match value {
        Value::Object(table) => {
            let mut table = table.clone();
            let name = table.keys().nth(chance.below(table.len().max(1))).cloned();
            match (chance.below(3), name) {
                (0, Some(name)) => {
                    table.remove(&name);
                }
                (1, Some(name)) => {
                    // A misspelt key.
                    let of = table.remove(&name);
                    table.insert(format!("{name}s"), of.unwrap_or_default());
                }
                _ => {
                    let known = node["properties"].as_object().filter(|keys| !keys.is_empty());
                    let key = known.and_then(|keys| keys.iter().nth(chance.below(keys.len())));
                    match key.filter(|_| chance.percent(60)) {
                        Some((name, of)) => table.insert(name.clone(), maker.value(of, chance, 20)),
                        None => table.insert("no_key".to_owned(), json!(1)),
                    };
                }
            }
            Value::Object(table)
        }
        Value::Array(list) => {
            let mut list = list.clone();
            match (chance.below(3), list.first().cloned()) {
                (0, Some(_)) => list.clear(),
                (1, Some(first)) => list.push(first),
                (2, Some(first)) => list = vec![first; 70],
                _ => list.push(json!({ "no": "element" })),
            }
            json!(list)
        }
        Value::Number(number) => beside(number, node, chance),
        Value::String(text) => json!(misspelt(text, chance)),
        Value::Bool(_) | Value::Null => chance.one(&other).clone(),
    }
}

/// A number beside a bound.
fn beside(number: &serde_json::Number, node: &Value, chance: &mut Chance) -> Value {
    let bound = chance.one(&["minimum", "maximum", "exclusiveMinimum"]);
    match (&node[*bound], *bound) {
        (Value::Number(bound), name) if bound.is_f64() => {
            let bound = bound.as_f64().unwrap_or_default();
            json!(if name == "maximum" {
                bound + 0.001
            } else {
                bound - 0.001 * f64::from(u8::from(name == "minimum"))
            })
        }
        (Value::Number(bound), name) => {
            let bound = bound.as_i64().unwrap_or(i64::MAX);
            json!(if name == "maximum" { bound.saturating_add(1) } else { bound - 1 })
        }
        // TOML tells 3.0 from 3, JSON does not: so it is no whole number.
        _ => json!(number.as_f64().unwrap_or_default() % 1000.0 + 0.25),
    }
}

/// A text with something wrong about it.
fn misspelt(text: &str, chance: &mut Chance) -> String {
    let at = chance.below(text.chars().count() + 1);
    let (before, after): (String, String) =
        (text.chars().take(at).collect(), text.chars().skip(at).collect());
    let odd = [" ", "\n", "0", "9", "/", "-", "%", "s", "@", "{", "}", ".", "\u{7f}", "é", "_", ":"];
    match chance.below(4) {
        0 => before,
        1 => after,
        2 => format!("{before}{}", after.chars().skip(1).collect::<String>()),
        _ => format!("{before}{}{after}", chance.one(&odd)),
    }
}

/// The document with one more key, somewhere.
pub(crate) fn grow(document: &Value, schema: &Value, maker: &Maker, chance: &mut Chance) -> Value {
    let mut places = Vec::new();
    gather(document, schema, maker, String::new(), &mut places);
    places.retain(|place| place.node["properties"].is_object());
    let place = &places[chance.below(places.len())];
    let mut grown = document.clone();
    let keys = place.node["properties"].as_object().expect("a table has keys");
    if let (Some((name, of)), Some(Value::Object(table))) =
        (keys.iter().nth(chance.below(keys.len().max(1))), grown.pointer_mut(&place.pointer))
    {
        let density = *chance.one(&[1, 10, 40]);
        table.insert(name.clone(), maker.value(of, chance, density));
    }
    grown
}
