//! The reference page: every key of a file.
//!
//! In: the keys. Out: Markdown, a section for each table.

use crate::declare::shape::{FIRST, Key, Presence, Shape, TableShape, Variants, Word};
use crate::units::wrapped;

use super::in_words::in_words;

/// The longest line.
const WIDTH: usize = 118;

/// The reference page: what stands at its head, the tables, and sections at its end, each a heading and paragraphs.
pub(crate) fn reference(head: &str, root: &TableShape, end: &[(&str, Vec<String>)]) -> String {
    let mut page = Page { text: String::new() };
    for line in head.lines() {
        if line.starts_with("<!--") || line.starts_with('#') {
            page.line(line);
        } else {
            page.wrapped("", line);
        }
    }
    page.table("", "The file", root);
    for (heading, paragraphs) in end {
        page.line("");
        page.line(&format!("## {heading}"));
        for paragraph in paragraphs {
            page.line("");
            page.wrapped("", paragraph);
        }
    }
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A paragraph; the lines after the first are indented by two where it is an item.
    fn wrapped(&mut self, mark: &str, text: &str) {
        wrapped(mark, text, mark.len(), WIDTH).iter().for_each(|line| self.line(line));
    }

    fn table(&mut self, path: &str, heading: &str, table: &TableShape) {
        self.line("");
        self.line(&format!("## {heading}"));
        if !table.about.is_empty() {
            self.line("");
            self.wrapped("", &table.about);
        }
        self.line("");
        for key in &table.keys {
            self.key(key);
        }
        for variants in &table.variants {
            self.variants(variants);
        }
        for needs in &table.needs {
            self.line("");
            self.wrapped(
                "",
                &format!(
                    "{}: {}.",
                    if needs.is_exclusive { "One of these" } else { "At least one of these" },
                    sets(needs.sets)
                ),
            );
        }
        for key in all_keys(table) {
            self.below(path, &key);
        }
    }

    fn key(&mut self, key: &Key) {
        let presence = match &key.presence {
            Presence::Required => "; **required**".to_owned(),
            Presence::Optional => String::new(),
            Presence::Default(text) => format!("; default `{text}`"),
        };
        let since = if key.since == FIRST { String::new() } else { format!(" Since {}.", key.since) };
        self.wrapped(
            "- ",
            &format!("**`{}`**: {} ({}{presence}){since}", key.name, key.about, in_words(&key.shape)),
        );
        for word in described(&key.shape) {
            self.wrapped("  - ", &format!("`\"{}\"`: {}", word.name, word.about.trim()));
        }
    }

    fn variants(&mut self, variants: &Variants) {
        let presence = match variants.defaults.as_slice() {
            [] => "; **required**".to_owned(),
            [word] => format!("; default `\"{word}\"`"),
            _ => String::new(),
        };
        self.wrapped("- ", &format!("**`{}`**: {} (a word{presence})", variants.tag, variants.about));
        for row in &variants.rows {
            self.wrapped("  - ", &format!("`\"{}\"`: {}", row.word.name, row.word.about.trim()));
        }
        for row in
            variants.rows.iter().filter(|row| !row.table.keys.is_empty() || !row.table.variants.is_empty())
        {
            self.line("");
            self.line(&format!("With `{} = \"{}\"`:", variants.tag, row.word.name));
            self.line("");
            row.table.keys.iter().for_each(|key| self.key(key));
            row.table.variants.iter().for_each(|variants| self.variants(variants));
        }
    }

    /// The tables below a key.
    fn below(&mut self, path: &str, key: &Key) {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        for (is_list, table) in tables_in(&key.shape) {
            let heading = if is_list { format!("`[[{path}]]`") } else { format!("`[{path}]`") };
            self.table(&path, &heading, table);
        }
    }
}

/// Sets of keys, in words.
fn sets(sets: &[&[&str]]) -> String {
    let set = |set: &&[&str]| set.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
    sets.iter().map(set).collect::<Vec<_>>().join("; ")
}

/// Every key of a table once, those of its variants included.
pub(crate) fn all_keys(table: &TableShape) -> Vec<Key> {
    let mut keys = table.keys.clone();
    for row in table.variants.iter().flat_map(|variants| &variants.rows) {
        for key in all_keys(&row.table) {
            if !keys.iter().any(|known| known.name == key.name) {
                keys.push(key);
            }
        }
    }
    keys
}

/// The tables that a value is, or is a list of; a table with a single key is told where it stands.
pub(crate) fn tables_in(shape: &Shape) -> Vec<(bool, &TableShape)> {
    match shape {
        Shape::Table(table) if table.keys.len() > 1 || !table.variants.is_empty() => vec![(false, table)],
        Shape::Table(table) => table.keys.iter().flat_map(|key| tables_in(&key.shape)).collect(),
        Shape::List { of, .. } => tables_in(of).into_iter().map(|(_, table)| (true, table)).collect(),
        Shape::Either(shapes) => shapes.iter().flat_map(tables_in).collect(),
        _ => Vec::new(),
    }
}

/// The words of a value that say something of themselves.
fn described(shape: &Shape) -> Vec<Word> {
    match shape {
        Shape::Words(words) => words.iter().copied().filter(|word| !word.about.trim().is_empty()).collect(),
        Shape::Either(shapes) => shapes.iter().flat_map(described).collect(),
        Shape::List { of, .. } => described(of),
        _ => Vec::new(),
    }
}
