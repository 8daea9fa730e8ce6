//! What a key's value may look like, as data.
//!
//! In: nothing. Out: [`Shape`]s. The schema, the reference page, the copy of a run and the words of `check` are made from them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use regex_lite::Regex;

/// Whether a text is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It holds none.
    Never,
    /// It may hold one, behind a name that tells of it: `?api_key=…`.
    Perhaps,
    /// It is one where its key is the name of a header that carries one, or may hold one.
    Header,
    /// It is one where its key says so, or may hold one.
    Variable,
    /// It is one.
    Always,
}

/// A text and its rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextShape {
    /// What the text is called: `duration`, `rate`, `text`.
    pub(crate) name: &'static str,
    /// Regular expressions, each of which finds something in the text (ECMA-262, without look-around, so that every engine agrees).
    pub(crate) patterns: Vec<Cow<'static, str>>,
    /// A regular expression that must find nothing.
    pub(crate) except: Option<Cow<'static, str>>,
    /// Good values.
    pub(crate) examples: &'static [&'static str],
    /// Whether it is a secret. What may be one may be a reference as well: `{ env = "NAME" }`, `{ file = "path" }`.
    pub(crate) hold: Hold,
    /// Whether variables in braces are filled in.
    pub(crate) is_template: bool,
}

/// One of some words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    /// As the file has it.
    pub(crate) name: &'static str,
    /// What it means.
    pub(crate) about: &'static str,
}

impl TextShape {
    /// A text without rules, of that name.
    pub(crate) const fn plain(name: &'static str) -> Self {
        Self {
            name,
            patterns: Vec::new(),
            except: None,
            examples: &[],
            hold: Hold::Never,
            is_template: false,
        }
    }

    /// Whether every pattern finds something in `text`, and it is not taken.
    pub(crate) fn fits(&self, text: &str) -> bool {
        self.except.as_ref().is_none_or(|except| !finds(except, text))
            && self.patterns.iter().all(|pattern| finds(pattern, text))
    }
}

thread_local! {
    /// The patterns that were met so far, ready for use.
    static COMPILED: RefCell<BTreeMap<String, Option<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Whether a pattern finds something in a text. One that is none (a test holds that there is none such) finds nothing.
pub(crate) fn finds(pattern: &str, text: &str) -> bool {
    COMPILED.with_borrow_mut(|compiled| {
        if !compiled.contains_key(pattern) {
            compiled.insert(pattern.to_owned(), Regex::new(&without_captures(pattern)).ok());
        }
        compiled.get(pattern).and_then(Option::as_ref).is_some_and(|regex| regex.is_match(text))
    })
}

/// The pattern with groups that capture nothing: for what they capture, an engine keeps a place at each of its states, megabytes for a duration's.
fn without_captures(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len() * 2);
    let (mut is_escaped, mut is_in_class) = (false, false);
    for c in pattern.chars() {
        text.push(c);
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => is_in_class = true,
            ']' => is_in_class = false,
            '(' if !is_in_class => text.push_str("?:"),
            _ => {}
        }
    }
    text
}

/// What a value may look like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A whole number in one of some ranges, first and last of each.
    Integer(Vec<(u64, u64)>),
    /// A number.
    Number {
        /// The least.
        least: f64,
        /// Whether it must be above the least.
        above: bool,
        /// The most.
        most: f64,
    },
    /// A text.
    Text(TextShape),
    /// One of some words.
    Words(Vec<Word>),
    /// A list.
    List {
        /// Its elements.
        of: Box<Shape>,
        /// How many there are at least.
        least: usize,
        /// How many there are at most; `None`: any number.
        most: Option<usize>,
        /// Whether each stands there once.
        unique: bool,
    },
    /// A table whose keys are the user's: what a key looks like, and its value.
    Map(Vec<(TextShape, Shape)>),
    /// A table.
    Table(TableShape),
    /// One of several shapes, of which a value fits one at most.
    Either(Vec<Shape>),
}

/// A table and its keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TableShape {
    /// What it is for.
    pub(crate) about: String,
    /// The keys that it has in any case.
    pub(crate) keys: Vec<Key>,
    /// More keys, which depend on the value of one.
    pub(crate) variants: Vec<Variants>,
    /// Which of them must be there together.
    pub(crate) needs: Vec<Needs>,
}

/// Which keys must be there: of some sets of keys, one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The sets.
    pub(crate) sets: &'static [&'static [&'static str]],
    /// Whether no more than one set may be complete.
    pub(crate) is_exclusive: bool,
    /// What is to be written.
    pub(crate) help: &'static str,
}

/// Keys that depend on the value of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variants {
    /// The key whose value chooses.
    pub(crate) tag: &'static str,
    /// What it chooses.
    pub(crate) about: &'static str,
    /// The rows that may hold where the key is absent; empty: it is required. Where there are several, the other keys tell which.
    pub(crate) defaults: Vec<&'static str>,
    /// The choices.
    pub(crate) rows: Vec<Row>,
}

/// A choice, and the keys that it brings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The value that chooses it.
    pub(crate) word: Word,
    /// Its keys.
    pub(crate) table: TableShape,
}

/// Whether a key must be there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Presence {
    /// It must.
    Required,
    /// It need not; without it, nothing is done of its kind.
    Optional,
    /// It need not; without it, this value holds, as the file would have it.
    Default(String),
}

/// A key of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) about: String,
    /// What its value may look like.
    pub(crate) shape: Shape,
    /// Whether it must be there.
    pub(crate) presence: Presence,
    /// The version that brought it.
    pub(crate) since: &'static str,
}

impl Shape {
    /// What may stand below `key`, the index of an element included. Several, where a choice decides.
    pub(crate) fn below(&self, key: &str) -> Vec<&Self> {
        match self {
            Self::Table(table) => table.below(key),
            Self::Map(rows) => {
                rows.iter().filter(|(name, _)| name.fits(key)).map(|(_, shape)| shape).collect()
            }
            Self::List { of, .. } => vec![of],
            Self::Either(shapes) => shapes.iter().flat_map(|shape| shape.below(key)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a text here is a secret: the strictest of what it may be.
    pub(crate) fn hold(&self) -> Hold {
        match self {
            Self::Text(text) => text.hold,
            Self::Either(shapes) => {
                let holds = shapes.iter().map(Self::hold);
                holds.max_by_key(|hold| *hold as u8).unwrap_or(Hold::Never)
            }
            _ => Hold::Never,
        }
    }
}

impl TableShape {
    /// The keys of another table stand in this one too.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.variants.extend(other.variants);
        self.needs.extend(other.needs);
    }

    /// The table, or a further value of its tag and nothing else: its own keys stand beside each of the other values.
    pub(crate) fn or_nothing_but(self, word: Word) -> Self {
        let Self { about, keys, mut variants, needs } = self;
        for chosen in &mut variants {
            for row in &mut chosen.rows {
                row.table.keys.extend(keys.iter().cloned());
                row.table.needs.extend(needs.iter().copied());
            }
            chosen.rows.push(Row { word, table: Self::default() });
        }
        Self { about, keys: Vec::new(), variants, needs: Vec::new() }
    }

    /// More keys, which depend on the value of one.
    pub(crate) fn add_variants(&mut self, variants: Variants) {
        self.variants.push(variants);
    }

    /// What may stand below `key`.
    pub(crate) fn below(&self, key: &str) -> Vec<&Shape> {
        let own = self.keys.iter().filter(|known| known.name == key).map(|key| &key.shape);
        let rows = self.variants.iter().flat_map(|variants| &variants.rows);
        own.chain(rows.flat_map(|row| row.table.below(key))).collect()
    }
}

/// The first version.
pub(crate) const FIRST: &str = "0.1";

/// A doc comment as a line of text.
pub(crate) fn line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_capture_nothing_and_what_is_no_group_stays() {
        for (pattern, expected) in [
            ("^(a|(b))$", "^(?:a|(?:b))$"),
            ("\\(x\\)", "\\(x\\)"),
            ("[(\\](]+(y)", "[(\\](]+(?:y)"),
            ("", ""),
        ] {
            assert_eq!(without_captures(pattern), expected);
        }
    }
}
