//! Documents made from a JSON Schema: every way through it, bounds first.
//!
//! In: the schema, a seed. Out: values that the schema takes, nearly always; the validator has the last word.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::{RegexGeneratorStrategy, string_regex};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use regex::Regex;
use serde_json::{Map, Value, json};

/// Chances, by a seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 (Steele et al., 2014).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`, which is not 0.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// True in `of` cases of a hundred.
    pub(crate) fn percent(&mut self, of: u64) -> bool {
        self.next() % 100 < of
    }

    pub(crate) fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

/// What a secret may be in place of a text.
const REFERENCE: &str = "#/$defs/reference";
/// Stands in every text that is a secret.
pub(crate) const SECRET: &str = "sEcReT-1f2e";
/// Stands in texts that may hold one.
pub(crate) const HIDDEN: &str = "hIdDeN-3d4c";

/// A schema, ready to make documents of.
pub(crate) struct Maker {
    schema: Value,
    /// `None`: texts cannot be made of it, as of those with anchors within.
    texts: RefCell<BTreeMap<String, Option<RegexGeneratorStrategy<String>>>>,
    patterns: RefCell<BTreeMap<String, Regex>>,
}

impl Maker {
    pub(crate) fn new(schema: Value) -> Self {
        Self { schema, texts: RefCell::default(), patterns: RefCell::default() }
    }

    /// A document; of the keys that need not be there, `density` of a hundred are.
    pub(crate) fn document(&self, chance: &mut Chance, density: u64) -> Value {
        self.value(&self.schema, chance, density)
    }

    /// What a node refers to.
    pub(crate) fn resolved<'s>(&'s self, node: &'s Value) -> &'s Value {
        match node["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("references stay within the schema");
                self.schema.pointer(pointer).expect("each reference leads somewhere")
            }
            None => node,
        }
    }

    /// A value for a node of the schema.
    pub(crate) fn value(&self, node: &Value, chance: &mut Chance, density: u64) -> Value {
        let node = self.resolved(node);
        if let Some(value) = node.get("const") {
            return value.clone();
        }
        if let Some(words) = node["enum"].as_array() {
            return chance.one(words).clone();
        }
        match node["type"].as_str() {
            Some("object") if node.get("properties").is_some() => self.table(node, chance, density),
            Some("object") if node.get("patternProperties").is_some() => self.map(node, chance, density),
            Some("array") => self.list(node, chance, density),
            Some("boolean") => json!(chance.percent(50)),
            Some("integer") => integer(node, chance),
            Some("number") => number(node, chance),
            Some("string") => json!(self.text(node, chance)),
            _ => {
                let ways = node["oneOf"].as_array().or_else(|| node["anyOf"].as_array());
                let way = chance.one(ways.unwrap_or_else(|| panic!("no way through {node}")));
                let value = self.value(way, chance, density);
                let may_be_secret = ways.is_some_and(|ways| ways.iter().any(|way| way["$ref"] == REFERENCE));
                match value.as_str() {
                    Some(text) if may_be_secret => {
                        json!(self.with_secret(text, self.resolved(way), node["writeOnly"] == json!(true)))
                    }
                    _ => value,
                }
            }
        }
    }

    /// The text with a secret in it, where there is a place for one.
    fn with_secret(&self, text: &str, node: &Value, is_secret: bool) -> String {
        if is_secret {
            return SECRET.to_owned();
        }
        let is_url = text.contains("://");
        let ways = [format!("{text}?key={HIDDEN}"), format!("{text}{HIDDEN}")];
        let pattern = node["pattern"].as_str();
        let mut fitting = ways
            .into_iter()
            .take(if is_url { 1 } else { 2 })
            .filter(|text| pattern.is_none_or(|pattern| self.finds(pattern, text)));
        fitting.next().filter(|_| !text.contains('?')).unwrap_or_else(|| text.to_owned())
    }

    fn table(&self, node: &Value, chance: &mut Chance, density: u64) -> Value {
        let properties = node["properties"].as_object().expect("properties are a table");
        let mut wanted: Vec<&str> = names(&node["required"]);
        let mut unwanted = Vec::new();
        for needs in needs_of(node) {
            let sets = needs.1;
            let chosen = chance.one(&sets).clone();
            if needs.0 {
                // One set alone is complete: of each other, a key that is not of the chosen one is left away.
                let others = sets.iter().filter(|set| **set != chosen);
                unwanted
                    .extend(others.filter_map(|set| set.iter().find(|key| !chosen.contains(key)).copied()));
            }
            wanted.extend(chosen);
        }
        let mut table = Map::new();
        for (name, key) in properties {
            let is_wanted = wanted.contains(&name.as_str());
            let is_unwanted = !is_wanted && unwanted.contains(&name.as_str());
            if is_wanted || (!is_unwanted && chance.percent(density)) {
                table.insert(name.clone(), self.value(key, chance, density));
            }
        }
        Value::Object(table)
    }

    fn map(&self, node: &Value, chance: &mut Chance, density: u64) -> Value {
        let rows: Vec<_> = node["patternProperties"].as_object().expect("a table").iter().collect();
        let but = node["propertyNames"]["not"]["pattern"].as_str();
        let mut map = Map::new();
        for _ in 0..chance.below(4) {
            let (pattern, of) = *chance.one(&rows);
            let name = self.matching(pattern, chance).expect("names are simple");
            if but.is_none_or(|but| !self.finds(but, &name)) {
                map.insert(name, self.value(of, chance, density));
            }
        }
        Value::Object(map)
    }

    fn list(&self, node: &Value, chance: &mut Chance, density: u64) -> Value {
        let least = node["minItems"].as_u64().unwrap_or(0) as usize;
        let most = node["maxItems"].as_u64().map_or(least + 3, |most| (most as usize).min(least + 3));
        let count = least + chance.below(most - least + 1);
        let mut list: Vec<Value> = Vec::new();
        for _ in 0..count {
            let element = self.value(&node["items"], chance, density);
            if node["uniqueItems"] != json!(true) || !list.contains(&element) {
                list.push(element);
            }
        }
        json!(list)
    }

    fn text(&self, node: &Value, chance: &mut Chance) -> String {
        let all = node["allOf"].as_array().into_iter().flatten();
        let patterns: Vec<&str> = node["pattern"]
            .as_str()
            .into_iter()
            .chain(all.filter_map(|one| one["pattern"].as_str()))
            .collect();
        let but = node["not"]["pattern"].as_str();
        let examples = node["examples"].as_array().map_or(&[][..], Vec::as_slice);
        let fits = |text: &str| {
            patterns.iter().all(|pattern| self.finds(pattern, text))
                && but.is_none_or(|but| !self.finds(but, text))
        };
        if patterns.is_empty() {
            return self.matching("[\\s\\S]*", chance).unwrap_or_default();
        }
        let is_example = chance.percent(25);
        for _ in 0..20 {
            let pattern = *chance.one(&patterns);
            let text = self.matching(pattern, chance);
            if let Some(text) = text.filter(|text| !is_example && fits(text)) {
                return text;
            }
        }
        match examples {
            [] => String::new(),
            some => chance.one(some).as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether a pattern finds something in a text.
    fn finds(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        if !patterns.contains_key(pattern) {
            patterns.insert(pattern.to_owned(), Regex::new(pattern).expect("a pattern is one"));
        }
        patterns[pattern].is_match(text)
    }

    /// A text in which the pattern finds something.
    fn matching(&self, pattern: &str, chance: &mut Chance) -> Option<String> {
        let bare = pattern.strip_prefix('^').unwrap_or(pattern);
        let bare = bare.strip_suffix('$').unwrap_or(bare);
        let mut texts = self.texts.borrow_mut();
        let strategy = match texts.entry(pattern.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(string_regex(bare).ok()),
        };
        let seed =
            [chance.next(), chance.next(), chance.next(), chance.next()].map(u64::to_le_bytes).concat();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        strategy.as_ref().map(|strategy| strategy.new_tree(&mut runner).expect("a text").current())
    }
}

/// Which keys must be there, beside `required`: whether one set alone may be complete, and the sets.
pub(crate) fn needs_of(node: &Value) -> Vec<(bool, Vec<Vec<&str>>)> {
    let all = node["allOf"].as_array().into_iter().flatten();
    let mut needs = Vec::new();
    for part in all.chain([node]) {
        for (name, is_exclusive) in [("oneOf", true), ("anyOf", false)] {
            let sets = part[name].as_array().into_iter().flatten();
            let sets: Vec<Vec<&str>> = sets.map(|set| names(&set["required"])).collect();
            if !sets.is_empty() {
                needs.push((is_exclusive, sets));
            }
        }
    }
    needs
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn integer(node: &Value, chance: &mut Chance) -> Value {
    let range = match node["anyOf"].as_array() {
        Some(ranges) => chance.one(ranges),
        None => node,
    };
    let least = range["minimum"].as_u64().unwrap_or(0);
    // TOML's integers end here.
    let most = range["maximum"].as_u64().unwrap_or(u64::MAX).min(i64::MAX as u64);
    let wide = most - least;
    json!(match chance.below(6) {
        0 => least,
        1 => most,
        2 => least + chance.next() % wide.saturating_add(1).max(1),
        _ => least + chance.next() % wide.clamp(1, 50),
    })
}

fn number(node: &Value, chance: &mut Chance) -> Value {
    let most = node["maximum"].as_f64().unwrap_or(1e9);
    let above = node["exclusiveMinimum"].as_f64();
    let least = above.or_else(|| node["minimum"].as_f64()).unwrap_or(0.0);
    let share = (chance.next() % 1000 + 1) as f64 / 1000.0;
    match chance.below(5) {
        0 if above.is_none() => json!(least),
        1 => json!(most),
        2 if least < most.floor() && most < 1e15 => json!(most.floor() as i64),
        _ => json!((least + (most - least).min(100.0) * share).min(most)),
    }
}
