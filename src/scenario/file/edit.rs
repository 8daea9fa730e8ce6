//! Overrides: `--set KEY=VALUE` changes a scenario's text before it is parsed.
//!
//! In: the file's text. Out: text. Comments and layout stay.

use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, Value};

/// The overrides of `--set KEY=VALUE`, in the order given.
pub type Overrides = Vec<(String, String)>;

/// An override that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditFault {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Sets the value at a dotted path. The value is TOML, or else a string.
pub(crate) fn apply_override(document: &mut DocumentMut, path: &str, value: &str) -> Result<(), EditFault> {
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
pub(crate) fn split_path(path: &str) -> Result<Vec<String>, EditFault> {
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
}
