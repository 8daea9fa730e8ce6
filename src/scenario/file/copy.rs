//! The copy of a scenario that a run keeps: secrets written in the file become references.
//!
//! In: the document, and what there is to know of its keys. Out: text; comments and layout stay.

use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use crate::declare::{Hold, Shape, Template, holds_secret, is_secret_header, is_secret_name};
use crate::scenario::keys::scenario::root;

/// What the shipped scenarios have where a secret or a token would stand. They are public, and a copy that keeps them runs again as it is.
const DEMO_SECRETS: [&str; 2] = ["demo-secret", "of-another-world"];

/// What becomes of the [`DEMO_SECRETS`] in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demo {
    /// They stay.
    Stays,
    /// They become references, as any secret.
    Hidden,
}

/// The scenario as run: name and seed written out, secrets that stood in it replaced by references.
pub(crate) fn copy_as_run(document: &mut DocumentMut, name: &str, seed: u64, demo: Demo) -> String {
    let table = document.as_table_mut();
    let seed = i64::try_from(seed).unwrap_or(i64::MAX);
    for (key, value) in [("seed", Value::from(seed)), ("name", Value::from(name))] {
        if let Some(Item::Value(old)) = table.get_mut(key) {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        } else {
            table.insert(key, Item::Value(value));
        }
    }
    for (key, item) in table.iter_mut() {
        hide_item(item, &root().below(key.get()), &Place::of(key.get()), demo);
    }
    document.to_string()
}

/// Where a value stands, by the names of its tables; elements of lists have the list's name and their number.
#[derive(Clone, Default)]
struct Place {
    group: Option<String>,
    names: Vec<String>,
}

impl Place {
    fn of(key: &str) -> Self {
        Self { group: None, names: vec![key.to_owned()] }
    }

    fn key(&self, key: &str) -> Self {
        let mut below = self.clone();
        below.names.push(key.to_owned());
        below
    }

    fn element(&self, index: usize, name: Option<&str>) -> Self {
        let mut below = self.clone();
        match below.names.as_slice() {
            [groups] if groups == "groups" => {
                below.names.clear();
                below.group = Some(name.map_or_else(|| index.to_string(), str::to_owned));
            }
            _ => {
                let list = below.names.pop().unwrap_or_default();
                let one = match list.as_str() {
                    "on_message" => "message".to_owned(),
                    _ => list.strip_suffix('s').unwrap_or(&list).to_owned(),
                };
                below.names.push(format!("{one}_{index}"));
            }
        }
        below
    }

    /// The variable of the environment that stands for the secret at this place.
    fn variable(&self, hold: Hold) -> String {
        let (key, tables) =
            self.names.split_last().map_or(("", &[][..]), |(key, tables)| (key.as_str(), tables));
        let direct = tables.len().saturating_sub(1);
        let is_told = |(at, table): &(usize, &String)| match table.as_str() {
            "session" | "prepare" | "variables" | "headers" => false,
            // A key that is a secret speaks for itself.
            "token" | "connect" => hold == Hold::Perhaps && *at == direct,
            _ => true,
        };
        let tables = tables.iter().enumerate().filter(is_told).map(|(_, table)| table.as_str());
        let parts = self.group.as_deref().into_iter().chain(tables).chain([key]);
        format!("RESURGE_{}", parts.map(upper).collect::<Vec<_>>().join("_"))
    }
}

fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn hide_item(item: &mut Item, shapes: &[&Shape], place: &Place, demo: Demo) {
    match item {
        Item::Value(value) => hide_value(value, shapes, place, demo),
        Item::Table(table) => hide_table(table, shapes, place, demo),
        Item::ArrayOfTables(tables) => {
            let shapes = below(shapes, "0");
            for (index, table) in tables.iter_mut().enumerate() {
                let place = place.element(index, table.get("name").and_then(Item::as_str));
                hide_table(table, &shapes, &place, demo);
            }
        }
        Item::None => {}
    }
}

fn hide_value(value: &mut Value, shapes: &[&Shape], place: &Place, demo: Demo) {
    match value {
        Value::String(text) if demo == Demo::Stays && DEMO_SECRETS.contains(&text.value().as_str()) => {}
        Value::String(text) => {
            let key = place.names.last().map_or("", String::as_str);
            let hold = strictest(shapes);
            if is_secret(hold, key, text.value()) {
                let mut reference = InlineTable::new();
                reference.insert("env", Value::from(place.variable(hold)));
                *value = Value::InlineTable(reference);
            }
        }
        Value::InlineTable(table) => hide_table(table, shapes, place, demo),
        Value::Array(array) => {
            let shapes = below(shapes, "0");
            for (index, value) in array.iter_mut().enumerate() {
                let name =
                    value.as_inline_table().and_then(|table| table.get("name")).and_then(Value::as_str);
                let place = place.element(index, name);
                hide_value(value, &shapes, &place, demo);
            }
        }
        _ => {}
    }
}

fn hide_table(table: &mut dyn TableLike, shapes: &[&Shape], place: &Place, demo: Demo) {
    for (key, item) in table.iter_mut() {
        hide_item(item, &below(shapes, key.get()), &place.key(key.get()), demo);
    }
}

fn below<'s>(shapes: &[&'s Shape], key: &str) -> Vec<&'s Shape> {
    shapes.iter().flat_map(|shape| shape.below(key)).collect()
}

fn strictest(shapes: &[&Shape]) -> Hold {
    shapes.iter().map(|shape| shape.hold()).max_by_key(|hold| *hold as u8).unwrap_or(Hold::Never)
}

/// Whether a text is, or holds, a secret that no variable fills.
fn is_secret(hold: Hold, key: &str, text: &str) -> bool {
    let is_plain = || Template::parse(text).variables().next().is_none();
    match hold {
        Hold::Never => false,
        Hold::Perhaps => holds_secret(text),
        Hold::Header => holds_secret(text) || (is_secret_header(key) && is_plain()),
        Hold::Variable => holds_secret(text) || (is_secret_name(key) && is_plain()),
        Hold::Always => true,
    }
}

/// Whether the value at a dotted path is a secret by what its key says.
pub(crate) fn is_secret_path(keys: &[String]) -> bool {
    let Some((first, rest)) = keys.split_first() else { return false };
    let shapes = rest.iter().fold(root().below(first), |shapes, key| below(&shapes, key));
    strictest(&shapes) == Hold::Always
}

/// Where the texts stand that are secrets by what their keys say.
pub(crate) fn secret_spans(document: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for (key, value) in document {
        collect_spans(value, &root().below(key.get_ref()), &mut spans);
    }
    spans
}

fn collect_spans(value: &toml::Spanned<DeValue<'_>>, shapes: &[&Shape], spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                collect_spans(value, &below(shapes, key.get_ref()), spans);
            }
        }
        DeValue::Array(array) => {
            let shapes = below(shapes, "0");
            for value in array {
                collect_spans(value, &shapes, spans);
            }
        }
        _ if strictest(shapes) == Hold::Always => spans.push(value.span()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "x" # the name
[[groups]]
name = "a-b"
clients = 5 # how many
[groups.token]
client_secret = "hush"
[groups.connect]
headers = { Authorization = "Basic abc", X-Other = "fine" }
[groups.reconnect]
backoff = { kind = "constant", base = "1s" }
"#;

    #[test]
    fn the_copy_holds_references_and_no_secret() {
        let mut document: DocumentMut = TEXT.parse().unwrap();
        let copy = copy_as_run(&mut document, "x", 9, Demo::Stays);
        assert!(!copy.contains("hush") && !copy.contains("Basic abc"), "{copy}");
        assert!(copy.contains("client_secret = { env = \"RESURGE_A_B_CLIENT_SECRET\" }"), "{copy}");
        assert!(copy.contains("Authorization = { env = \"RESURGE_A_B_AUTHORIZATION\" }"), "{copy}");
        assert!(
            copy.contains("X-Other = \"fine\"") && copy.contains("seed = 9") && copy.contains("# how many")
        );
    }

    #[test]
    fn what_the_shipped_scenarios_have_for_a_secret_stays_where_it_is_all_there_is() {
        let text = TEXT.replace("hush", DEMO_SECRETS[0]);
        let copy = |demo| copy_as_run(&mut text.parse().unwrap(), "x", 9, demo);
        assert!(copy(Demo::Stays).contains("client_secret = \"demo-secret\""));
        assert!(!copy(Demo::Hidden).contains(DEMO_SECRETS[0]));
        let more = TEXT.replace("hush", "demo-secret-of-mine");
        let copy = copy_as_run(&mut more.parse().unwrap(), "x", 9, Demo::Stays);
        assert!(!copy.contains(DEMO_SECRETS[0]), "{copy}");
    }

    #[test]
    fn variables_have_the_names_that_runs_of_before_know() {
        let text = r#"
[target]
url = "wss://h/?api_key=hush"
[[target.clients]]
id = "i"
secret = "hush"
[[groups]]
name = "g"
[groups.token]
refresh_token = "hush"
url = "https://h/?key=hush"
[groups.connect]
path = "/x?api_key=hush"
proxy = "http://me:hush@h"
token_in = { first_message = '{"key":"hush","t":"{token}"}' }
[groups.session]
first_message = '{"password":"hush"}'
send = { rate = "1/s", text = '{"password":"hush"}' }
keep_alive = { text_every = "1s", text = '{"password":"hush"}' }
[[groups.session.on_message]]
reply = '{"password":"hush"}'
[groups.prepare]
variables = { session_key = "hush", id = "fine" }
[[groups.prepare.steps]]
url = "https://h/?key=hush"
headers = { X-Auth = "hush", Accept = "fine" }
body = '{"password":"hush"}'
"#;
        let mut document: DocumentMut = text.parse().unwrap();
        let copy = copy_as_run(&mut document, "x", 9, Demo::Stays);
        assert!(!copy.contains("hush"), "{copy}");
        for name in [
            "TARGET_URL",
            "TARGET_CLIENT_0_SECRET",
            "G_REFRESH_TOKEN",
            "G_TOKEN_URL",
            "G_CONNECT_PATH",
            "G_PROXY",
            "G_TOKEN_IN_FIRST_MESSAGE",
            "G_FIRST_MESSAGE",
            "G_SEND_TEXT",
            "G_KEEP_ALIVE_TEXT",
            "G_MESSAGE_0_REPLY",
            "G_SESSION_KEY",
            "G_STEP_0_URL",
            "G_STEP_0_X_AUTH",
            "G_STEP_0_BODY",
        ] {
            assert!(copy.contains(&format!("{{ env = \"RESURGE_{name}\" }}")), "{name}: {copy}");
        }
        let root = DeTable::parse(text).unwrap();
        let always = secret_spans(root.get_ref());
        assert_eq!(always.iter().filter(|span| text[(**span).clone()].contains("hush")).count(), 3);
        assert!(is_secret_path(&["groups", "0", "token", "client_secret"].map(str::to_owned)));
        assert!(!is_secret_path(&["groups", "0", "clients"].map(str::to_owned)));
    }
}
