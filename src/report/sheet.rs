//! What a summary is written on: lines of at most 80 columns, and their colours.
//!
//! In: sentences and tables. Out: text.

use super::fitted::{WIDTH, fitted, folded};
use super::tables::Table;

/// How the text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are used.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// How a sentence's first word looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Bold,
    Good,
    Bad,
}

/// What stands before the items of a list.
const LIST: &str = "    ";

/// A text that grows.
#[derive(Debug)]
pub(super) struct Sheet {
    text: String,
    style: Style,
}

impl Sheet {
    pub(super) fn new(style: Style) -> Self {
        Self { text: String::new(), style }
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A sentence, indented by two spaces.
    pub(super) fn say(&mut self, text: &str) {
        folded("  ", text, 4).iter().for_each(|line| self.line(line));
    }

    /// A sentence behind a word of that tone.
    pub(super) fn say_as(&mut self, tone: Tone, word: &str, text: &str) {
        self.marked("  ", tone, word, text);
    }

    /// The same, at the beginning of the line.
    pub(super) fn begin_as(&mut self, tone: Tone, word: &str, text: &str) {
        self.marked("", tone, word, text);
    }

    fn marked(&mut self, before: &str, tone: Tone, word: &str, text: &str) {
        let painted = match tone {
            Tone::Plain => word.to_owned(),
            Tone::Bold => self.style.bold(word),
            Tone::Good => self.style.good(word),
            Tone::Bad => self.style.bad(word),
        };
        let lines = folded(&format!("{before}{word} "), text, 4);
        for (at, line) in lines.iter().enumerate() {
            if at == 0 { self.line(&line.replacen(word, &painted, 1)) } else { self.line(line) }
        }
    }

    /// Items, as many on a line as fit; none is broken that a line holds.
    pub(super) fn list(&mut self, items: &[String]) {
        let mut line = String::new();
        for (at, item) in items.iter().enumerate() {
            let item = if at + 1 == items.len() { item.clone() } else { format!("{item};") };
            let taken = LIST.len() + line.chars().count() + 1 + item.chars().count();
            if !line.is_empty() && taken > WIDTH {
                folded(LIST, &std::mem::take(&mut line), 6).iter().for_each(|line| self.line(line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&item);
        }
        folded(LIST, &line, 6).iter().for_each(|line| self.line(line));
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.line("");
    }

    /// A heading, after an empty line.
    pub(super) fn heading(&mut self, title: &str) {
        self.gap();
        for line in folded("", title, 2) {
            let bold = self.style.bold(&line);
            self.line(&bold);
        }
    }

    /// A table under its heading.
    pub(super) fn table(&mut self, table: &Table) {
        self.heading(&format!("{} ({})", table.title.to_uppercase(), table.note));
        self.text.push_str(&fitted(&table.rows));
    }

    /// What was written.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
