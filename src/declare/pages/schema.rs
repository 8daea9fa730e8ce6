//! The JSON Schema of a file, for editors.
//!
//! In: the keys. Out: a schema (draft 2020-12). Rules between keys are in it as far as a schema can say them; a test holds that the parser and
//! the schema take and refuse the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::declare::shape::{Hold, Key, Needs, Presence, Shape, TableShape, TextShape, Variants, Word};
/// The JSON Schema of a file, by its root table.
pub(crate) fn schema(title: &str, root: &TableShape) -> Value {
    let mut defs = Defs::default();
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(title));
    schema.extend(defs.table(root));
    let defs: Map<String, Value> = defs.0.into_iter().collect();
    schema.insert("$defs".to_owned(), Value::Object(defs));
    Value::Object(schema)
}

/// What is referred to by its name.
#[derive(Default)]
struct Defs(BTreeMap<String, Value>);

impl Defs {
    /// A table; the choices of its variants are alternatives.
    fn table(&mut self, table: &TableShape) -> Map<String, Value> {
        let mut ways = ways_of(table);
        let mut schema = match ways.len() {
            1 => self.way(&ways.remove(0)),
            _ => {
                let ways: Vec<Value> = ways.iter().map(|way| Value::Object(self.way(way))).collect();
                object(json!({ "type": "object", "oneOf": ways }))
            }
        };
        if !table.about.is_empty() {
            schema.insert("description".to_owned(), json!(table.about));
        }
        schema
    }

    /// A table without choices.
    fn way(&mut self, way: &Way<'_>) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (variants, word) in &way.tags {
            properties
                .insert(variants.tag.to_owned(), json!({ "const": word.name, "description": about(word) }));
            if !variants.defaults.contains(&word.name) {
                required.push(variants.tag);
            }
        }
        for key in &way.keys {
            properties.insert(key.name.to_owned(), self.key(key));
            if key.presence == Presence::Required {
                required.push(key.name);
            }
        }
        let mut schema =
            object(json!({ "type": "object", "additionalProperties": false, "properties": properties }));
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        match way.needs.as_slice() {
            [] => {}
            [needs] => schema.extend(object(needed(needs))),
            several => {
                let all: Vec<Value> = several.iter().map(|needs| needed(needs)).collect();
                schema.insert("allOf".to_owned(), json!(all));
            }
        }
        schema
    }

    fn key(&mut self, key: &Key) -> Value {
        let mut schema = object(self.shape(&key.shape));
        schema.insert("description".to_owned(), json!(described(key)));
        if let Presence::Default(text) = &key.presence
            && let Some(value) = json_of(text)
        {
            schema.insert("default".to_owned(), value);
        }
        Value::Object(schema)
    }

    fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Integer(ranges) => integer(ranges),
            Shape::Number { least, above, most } => {
                let least_is = if *above { "exclusiveMinimum" } else { "minimum" };
                json!({ "type": "number", least_is: least, "maximum": most })
            }
            Shape::Text(text) => self.text(text),
            Shape::Words(words) => json!({ "enum": words.iter().map(|word| word.name).collect::<Vec<_>>() }),
            Shape::List { of, least, most, unique } => {
                let mut list = object(json!({ "type": "array", "items": self.shape(of) }));
                if *least > 0 {
                    list.insert("minItems".to_owned(), json!(least));
                }
                if let Some(most) = most {
                    list.insert("maxItems".to_owned(), json!(most));
                }
                if *unique {
                    list.insert("uniqueItems".to_owned(), json!(true));
                }
                Value::Object(list)
            }
            Shape::Map(rows) => self.map(rows),
            Shape::Table(table) => Value::Object(self.table(table)),
            Shape::Either(shapes) => {
                json!({ "anyOf": shapes.iter().map(|shape| self.shape(shape)).collect::<Vec<_>>() })
            }
        }
    }

    fn map(&mut self, rows: &[(TextShape, Shape)]) -> Value {
        let mut properties = Map::new();
        let mut names = Vec::new();
        for (name, shape) in rows {
            // A name has a single pattern; what it may not be stands beside it.
            let pattern = name.patterns.first().map_or("", AsRef::as_ref);
            properties.insert(pattern.to_owned(), self.shape(shape));
            names.extend(name.except.as_ref().map(|except| json!({ "not": { "pattern": except } })));
        }
        let mut map = object(
            json!({ "type": "object", "patternProperties": properties, "additionalProperties": false }),
        );
        if let Some(name) = names.pop() {
            map.insert("propertyNames".to_owned(), name);
        }
        Value::Object(map)
    }

    /// A text, by its name; what may be a secret may be a reference as well.
    fn text(&mut self, text: &TextShape) -> Value {
        let is_plain = text.patterns.is_empty() && text.except.is_none();
        let string = if is_plain {
            json!({ "type": "string" })
        } else {
            self.0.entry(text.name.to_owned()).or_insert_with(|| string(text));
            json!({ "$ref": format!("#/$defs/{}", text.name) })
        };
        if text.hold == Hold::Never {
            return string;
        }
        self.0.entry("reference".to_owned()).or_insert_with(reference);
        json!({ "anyOf": [string, { "$ref": "#/$defs/reference" }] })
    }
}

fn string(text: &TextShape) -> Value {
    let mut string = object(json!({ "type": "string" }));
    match text.patterns.as_slice() {
        [] => {}
        [pattern] => {
            string.insert("pattern".to_owned(), json!(pattern));
        }
        several => {
            let all: Vec<Value> = several.iter().map(|pattern| json!({ "pattern": pattern })).collect();
            string.insert("allOf".to_owned(), json!(all));
        }
    }
    if let Some(except) = &text.except {
        string.insert("not".to_owned(), json!({ "pattern": except }));
    }
    if !text.examples.is_empty() {
        string.insert("examples".to_owned(), json!(text.examples));
    }
    Value::Object(string)
}

/// What a secret may be in place of a string.
fn reference() -> Value {
    let single = |key: &str, about: &str| {
        json!({
            "type": "object", "additionalProperties": false, "required": [key],
            "properties": { key: { "type": "string", "description": about } },
        })
    };
    json!({ "oneOf": [
        single("env", "The environment variable that holds it."),
        single("file", "The file that holds it, relative to the scenario's folder."),
    ] })
}

fn integer(ranges: &[(u64, u64)]) -> Value {
    let bounds = |(least, most): &(u64, u64)| json!({ "minimum": least, "maximum": most });
    let mut integer = object(json!({ "type": "integer" }));
    match ranges {
        [range] => integer.extend(object(bounds(range))),
        several => {
            integer.insert("anyOf".to_owned(), json!(several.iter().map(bounds).collect::<Vec<_>>()));
        }
    }
    Value::Object(integer)
}

fn needed(needs: &Needs) -> Value {
    let sets: Vec<Value> = needs.sets.iter().map(|set| json!({ "required": set })).collect();
    json!({ (if needs.is_exclusive { "oneOf" } else { "anyOf" }): sets })
}

/// A table as it is when every choice is made.
#[derive(Clone, Default)]
struct Way<'s> {
    tags: Vec<(&'s Variants, Word)>,
    keys: Vec<&'s Key>,
    needs: Vec<&'s Needs>,
}

fn ways_of(table: &TableShape) -> Vec<Way<'_>> {
    let own =
        Way { tags: Vec::new(), keys: table.keys.iter().collect(), needs: table.needs.iter().collect() };
    let mut ways = vec![own];
    for variants in &table.variants {
        let mut further = Vec::new();
        for row in &variants.rows {
            for below in ways_of(&row.table) {
                further.extend(ways.iter().cloned().map(|mut way| {
                    way.tags.push((variants, row.word));
                    way.tags.extend(below.tags.iter().copied());
                    way.keys.extend(below.keys.iter().copied());
                    way.needs.extend(below.needs.iter().copied());
                    way
                }));
            }
        }
        ways = further;
    }
    ways
}

/// What a key says, its words included.
fn described(key: &Key) -> String {
    let mut text = key.about.clone();
    for word in words_of(&key.shape).iter().filter(|word| !word.about.is_empty()) {
        text.push_str(&format!("\n- `\"{}\"`: {}", word.name, about(word)));
    }
    text
}

fn words_of(shape: &Shape) -> Vec<Word> {
    match shape {
        Shape::Words(words) => words.clone(),
        Shape::Either(shapes) => shapes.iter().flat_map(words_of).collect(),
        Shape::List { of, .. } => words_of(of),
        _ => Vec::new(),
    }
}

fn about(word: &Word) -> &str {
    word.about.trim()
}

/// A value as TOML has it, as JSON has it.
fn json_of(text: &str) -> Option<Value> {
    let mut table: toml::Table = format!("value = {text}").parse().ok()?;
    serde_json::to_value(table.remove("value")?).ok()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
