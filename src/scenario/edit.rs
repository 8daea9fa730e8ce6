//! Changing a scenario's text: overrides before it is parsed, and the copy that a run keeps.
//!
//! In: the file's text. Out: text. Comments and layout stay. Secrets written in the file become references in the copy.

use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, TableLike, Value};

use super::secrets::{holds_secret, is_secret_header, is_secret_name};
use super::template::Template;

/// An override that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EditFault {
    pub(super) message: String,
    pub(super) help: String,
}

/// Sets the value at a dotted path. The value is TOML, or else a string.
pub(super) fn apply_override(document: &mut DocumentMut, path: &str, value: &str) -> Result<(), EditFault> {
    let keys = split_path(path)?;
    let (last, parents) = keys.split_last().ok_or_else(|| no_path(path))?;
    let mut item = document.as_item_mut();
    for key in parents {
        item = enter(item, key, path)?;
    }
    let value: Value = value.parse().unwrap_or_else(|_| Value::from(value));
    put(item, last, value, path)
}

/// The keys of a dotted path; quoted keys may hold dots.
pub(super) fn split_path(path: &str) -> Result<Vec<String>, EditFault> {
    let keys = Key::parse(path).map_err(|_| no_path(path))?;
    Ok(keys.into_iter().map(|key| key.get().to_owned()).collect())
}

fn no_path(path: &str) -> EditFault {
    EditFault {
        message: format!("`{path}` is no path to a key"),
        help: "write it as groups.0.clients, quoting keys with other letters: thresholds.\"x{group:a}\""
            .to_owned(),
    }
}

fn index_of(key: &str, length: usize, path: &str) -> Result<usize, EditFault> {
    key.parse::<usize>().ok().filter(|index| *index < length).ok_or_else(|| EditFault {
        message: format!("`{path}` leads nowhere: there is no element {key}"),
        help: format!("there are {length}, counted from 0"),
    })
}

/// The item of `key`; a table that is not there yet is made.
fn enter<'d>(item: &'d mut Item, key: &str, path: &str) -> Result<&'d mut Item, EditFault> {
    let nowhere = || EditFault {
        message: format!("`{path}` leads nowhere: `{key}` is not inside a table or a list"),
        help: "name a key of the scenario by its dotted path, as groups.0.clients".to_owned(),
    };
    let length = match item {
        Item::ArrayOfTables(tables) => Some(tables.len()),
        Item::Value(Value::Array(array)) => Some(array.len()),
        _ => None,
    };
    if let Some(length) = length {
        let index = index_of(key, length, path)?;
        return item.get_mut(index).ok_or_else(nowhere);
    }
    let is_inline = matches!(item, Item::Value(_));
    let table = item.as_table_like_mut().ok_or_else(nowhere)?;
    if !table.contains_key(key) {
        let fresh = if is_inline {
            Item::Value(Value::InlineTable(InlineTable::new()))
        } else {
            Item::Table(Table::new())
        };
        table.insert(key, fresh);
    }
    item.get_mut(key).ok_or_else(nowhere)
}

fn put(item: &mut Item, key: &str, value: Value, path: &str) -> Result<(), EditFault> {
    if let Item::Value(Value::Array(array)) = item {
        let index = index_of(key, array.len(), path)?;
        array.replace(index, value);
        return Ok(());
    }
    let Some(table) = item.as_table_like_mut() else {
        let help = "name a key of the scenario by its dotted path, as groups.0.clients".to_owned();
        return Err(EditFault { message: format!("`{path}` leads nowhere"), help });
    };
    match table.get_mut(key) {
        // The line keeps its comment.
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
    }
    Ok(())
}

/// The scenario as run: name and seed written out, secrets that stood in it replaced by references.
pub(super) fn copy_as_run(document: &mut DocumentMut, name: &str, seed: u64) -> String {
    let root = document.as_table_mut();
    let seed = i64::try_from(seed).unwrap_or(i64::MAX);
    for (key, value) in [("seed", Value::from(seed)), ("name", Value::from(name))] {
        if let Some(Item::Value(old)) = root.get_mut(key) {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        } else {
            root.insert(key, Item::Value(value));
        }
    }
    if let Some(target) = root.get_mut("target").and_then(Item::as_table_like_mut) {
        hide_texts(target, &["url", "token_url"], "TARGET");
        for_each_table(target.get_mut("clients"), |index, table| {
            hide(table, "secret", &format!("TARGET_CLIENT_{index}_SECRET"));
        });
    }
    for_each_table(root.get_mut("groups"), |index, table| {
        let group = table.get("name").and_then(|name| name.as_str()).map_or_else(|| index.to_string(), upper);
        hide_in_group(table, &group);
    });
    document.to_string()
}

fn hide_in_group(table: &mut dyn TableLike, group: &str) {
    if let Some(token) = sub_table(table, "token") {
        hide(token, "client_secret", &format!("{group}_CLIENT_SECRET"));
        hide(token, "token", &format!("{group}_TOKEN"));
        hide(token, "refresh_token", &format!("{group}_REFRESH_TOKEN"));
        hide_texts(token, &["url"], &format!("{group}_TOKEN"));
    }
    if let Some(connect) = sub_table(table, "connect") {
        hide(connect, "proxy", &format!("{group}_PROXY"));
        hide_texts(connect, &["url", "path"], &format!("{group}_CONNECT"));
        hide_headers(connect.get_mut("headers"), group);
        if let Some(place) = sub_table(connect, "token_in") {
            hide_texts(place, &["first_message"], &format!("{group}_TOKEN_IN"));
        }
    }
    if let Some(session) = sub_table(table, "session") {
        hide_texts(session, &["first_message", "refresh_message"], group);
        for key in ["send", "keep_alive"] {
            if let Some(inner) = sub_table(session, key) {
                hide_texts(inner, &["text"], &format!("{group}_{}", upper(key)));
            }
        }
        for_each_table(session.get_mut("on_message"), |index, rule| {
            hide_texts(rule, &["reply"], &format!("{group}_MESSAGE_{index}"));
        });
    }
    let Some(prepare) = sub_table(table, "prepare") else { return };
    if let Some(variables) = sub_table(prepare, "variables") {
        let names: Vec<String> = variables.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let is_plain = |text: &str| Template::parse(text).variables().next().is_none();
            let value = variables.get(&name).and_then(Item::as_str);
            if is_secret_name(&name) && value.is_some_and(is_plain) {
                hide(variables, &name, &format!("{group}_{}", upper(&name)));
            }
            hide_texts(variables, &[&name], group);
        }
    }
    for_each_table(prepare.get_mut("steps"), |index, step| {
        hide_headers(step.get_mut("headers"), &format!("{group}_STEP_{index}"));
        hide_texts(step, &["url", "path", "body"], &format!("{group}_STEP_{index}"));
    });
}

fn sub_table<'d>(table: &'d mut dyn TableLike, key: &str) -> Option<&'d mut dyn TableLike> {
    table.get_mut(key).and_then(Item::as_table_like_mut)
}

/// Replaces texts with a secret in them.
fn hide_texts(table: &mut dyn TableLike, keys: &[&str], owner: &str) {
    for key in keys {
        if table.get(key).and_then(Item::as_str).is_some_and(holds_secret) {
            hide(table, key, &format!("{owner}_{}", upper(key)));
        }
    }
}

/// Replaces headers that hold credentials. One that is made of variables holds none.
fn hide_headers(headers: Option<&mut Item>, owner: &str) {
    let Some(headers) = headers.and_then(Item::as_table_like_mut) else { return };
    let is_secret = |name: &str, value: &Item| {
        let text = value.as_str().unwrap_or_default();
        is_secret_header(name) && Template::parse(text).variables().next().is_none()
    };
    let names: Vec<String> = headers
        .iter()
        .filter(|(name, value)| is_secret(name, value))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        hide(headers, &name, &format!("{owner}_{}", upper(&name)));
    }
}

fn for_each_table(item: Option<&mut Item>, mut change: impl FnMut(usize, &mut dyn TableLike)) {
    let Some(item) = item else { return };
    match item {
        Item::ArrayOfTables(tables) => {
            for (index, table) in tables.iter_mut().enumerate() {
                change(index, table);
            }
        }
        Item::Value(Value::Array(array)) => {
            for (index, value) in array.iter_mut().enumerate() {
                if let Value::InlineTable(table) = value {
                    change(index, table);
                }
            }
        }
        _ => {}
    }
}

/// Replaces a secret that stands in the text by a reference to an environment variable.
fn hide(table: &mut dyn TableLike, key: &str, variable: &str) {
    if let Some(Item::Value(value)) = table.get_mut(key)
        && value.is_str()
    {
        let mut reference = InlineTable::new();
        reference.insert("env", Value::from(format!("RESURGE_{variable}")));
        *value = Value::InlineTable(reference);
    }
}

fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
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

    fn edited(path: &str, value: &str) -> Result<String, EditFault> {
        let mut document: DocumentMut = TEXT.parse().unwrap();
        apply_override(&mut document, path, value)?;
        Ok(document.to_string())
    }

    #[test]
    fn overrides_reach_every_place_and_keep_comments() {
        // (path, value, what the text then holds)
        let rows = [
            ("groups.0.clients", "200", "clients = 200 # how many"),
            ("groups.0.reconnect.backoff.base", "5s", "base = \"5s\""),
            ("groups.0.reconnect.backoff.max", "9s", "max = \"9s\""),
            ("target.idle_timeout", "2s", "[target]\nidle_timeout = \"2s\""),
            ("seed", "7", "seed = 7"),
            ("thresholds.\"x{group:a}\"", "[\"p(99) < 1s\"]", "\"x{group:a}\" = [\"p(99) < 1s\"]"),
            ("groups.0.token.scopes", "[\"a\"]", "scopes = [\"a\"]"),
        ];
        for (path, value, part) in rows {
            let text = edited(path, value).unwrap();
            assert!(text.contains(part), "{path}: {text}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_so() {
        for (path, part) in [
            ("groups.7.clients", "no element 7"),
            ("groups.x.clients", "no element x"),
            ("name.first", "leads nowhere"),
            ("groups.0.name.x.y", "not inside a table"),
            ("", "no path"),
            ("a..b", "no path"),
        ] {
            let message = edited(path, "1").unwrap_err().message;
            assert!(message.contains(part), "{path}: {message}");
        }
    }

    #[test]
    fn the_copy_holds_references_and_no_secret() {
        let mut document: DocumentMut = TEXT.parse().unwrap();
        let copy = copy_as_run(&mut document, "x", 9);
        assert!(!copy.contains("hush") && !copy.contains("Basic abc"), "{copy}");
        assert!(copy.contains("client_secret = { env = \"RESURGE_A_B_CLIENT_SECRET\" }"), "{copy}");
        assert!(copy.contains("Authorization = { env = \"RESURGE_A_B_AUTHORIZATION\" }"), "{copy}");
        assert!(
            copy.contains("X-Other = \"fine\"") && copy.contains("seed = 9") && copy.contains("# how many")
        );
    }
}
