//! The literals of a JavaScript file: what its constants, its options and the arguments of its calls are, as far as that stands there.
//!
//! In: the text. Out: values. Nothing is executed: what is computed is [`Value::Unread`].

use std::collections::BTreeMap;
use std::ops::Range;

use super::values::{Part, Value, joined, json_of, parts_of, tidied};

/// The deepest nesting that is read.
const MOST_DEPTH: usize = 64;

/// A call of a function.
#[derive(Debug)]
pub(super) struct Call {
    /// Its arguments.
    pub(super) arguments: Vec<Value>,
    /// Where it stands in the text, with its arguments.
    pub(super) range: Range<usize>,
}

/// A script, without its comments.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    constants: BTreeMap<String, Value>,
}

impl Script {
    pub(super) fn read(text: &str) -> Self {
        let mut script = Self { text: without_comments(text), constants: BTreeMap::new() };
        let mut at = 0;
        while let Some((word, from)) = script.next_word(&["const", "let", "var"], at) {
            at = from;
            let _ = word;
            let mut reader = Reader::new(&script.text, &script.constants, from);
            let Some(name) = reader.word() else { continue };
            if reader.takes("=") {
                let value = reader.value(0);
                at = reader.at;
                script.constants.insert(name, value);
            }
        }
        script
    }

    /// The constant of that name.
    pub(super) fn constant(&self, name: &str) -> Option<&Value> {
        self.constants.get(name)
    }

    /// Whether a text stands anywhere.
    pub(super) fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Whether a place is in the body of the function that begins with these words.
    pub(super) fn is_within(&self, head: &str, at: usize) -> bool {
        let body = |start: usize| {
            let open = start + self.text[start..].find('{')?;
            let mut reader = Reader::new(&self.text, &self.constants, open + 1);
            // A body is skipped as the inside of a bracket is.
            while reader.skip_to_close() {}
            Some(open..reader.at)
        };
        self.text.match_indices(head).filter_map(|(start, _)| body(start)).any(|body| body.contains(&at))
    }

    /// The event in whose handler a place is: `on('message', …)`, `addEventListener('message', …)`, `onmessage = …`.
    pub(super) fn event_around(&self, at: usize) -> Option<String> {
        let calls = [".on", ".addEventListener"].into_iter().flat_map(|name| self.calls(name));
        let around = calls.filter(|call| call.range.contains(&at)).max_by_key(|call| call.range.start);
        let called = around.and_then(|call| Some((call.range.start, call.arguments.first()?.text()?)));
        let assigned = ["open", "message", "close", "error"].into_iter().filter_map(|event| {
            let start = self.text[..at].rfind(&format!(".on{event}"))?;
            self.is_within(&self.text[start..start + event.len() + 3], at).then(|| (start, event.to_owned()))
        });
        assigned.chain(called).max_by_key(|(start, _)| *start).map(|(_, event)| event)
    }

    /// Every call of a function of that name, as `http.post` or `new WebSocket`, or of a method, as `.send`.
    pub(super) fn calls(&self, name: &str) -> Vec<Call> {
        let mut calls = Vec::new();
        for (start, _) in self.text.match_indices(name) {
            let before = self.text[..start].chars().next_back();
            if !name.starts_with('.') && before.is_some_and(|letter| is_word(letter) || letter == '.') {
                continue;
            }
            let mut reader = Reader::new(&self.text, &self.constants, start + name.len());
            if reader.text[reader.at..].starts_with(is_word) || !reader.takes("(") {
                continue;
            }
            let arguments = reader.list(")", 0);
            calls.push(Call { arguments, range: start..reader.at });
        }
        calls
    }

    /// The first of these words from a place on, with the place behind it.
    fn next_word(&self, words: &[&'static str], from: usize) -> Option<(&'static str, usize)> {
        let found = words.iter().filter_map(|word| {
            let mut at = from;
            loop {
                let start = at + self.text[at..].find(word)?;
                let end = start + word.len();
                let is_alone =
                    !self.text[..start].ends_with(is_word) && !self.text[end..].starts_with(is_word);
                if is_alone {
                    return Some((*word, end));
                }
                at = end;
            }
        });
        found.min_by_key(|(_, end)| *end)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

/// Reads values from a place on.
struct Reader<'t> {
    text: &'t str,
    constants: &'t BTreeMap<String, Value>,
    at: usize,
}

impl<'t> Reader<'t> {
    const fn new(text: &'t str, constants: &'t BTreeMap<String, Value>, at: usize) -> Self {
        Self { text, constants, at }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.skip_space();
        let is_there = self.rest().starts_with(sign);
        self.at += if is_there { sign.len() } else { 0 };
        is_there
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest().chars().next()
    }

    fn word(&mut self) -> Option<String> {
        self.skip_space();
        let word: String = self.rest().chars().take_while(|letter| is_word(*letter)).collect();
        self.at += word.len();
        (!word.is_empty()).then_some(word)
    }

    /// An expression: values with `+` between them are a text; of `a || b`, the first that is known.
    fn value(&mut self, depth: usize) -> Value {
        let start = self.at;
        let mut value = self.single(depth);
        loop {
            if self.takes("+") {
                let next = self.single(depth);
                value = joined(value, next);
            } else if self.takes("||") || self.takes("??") {
                let next = self.single(depth);
                let is_known = !matches!(&value, Value::Unread(_)) && value.text() != Some(String::new());
                let has_default = matches!(&value, Value::Text(parts) if parts.iter().any(|part| matches!(part, Part::Env(_))));
                value = if is_known && !has_default { value } else { next };
            } else if matches!(self.peek(), None | Some(',' | ';' | ')' | ']' | '}'))
                || self.is_new_line(start)
            {
                return value;
            } else {
                // Something else is done with it.
                self.skip_expression(depth);
                return Value::Unread(self.text[start..self.at].trim().to_owned());
            }
        }
    }

    /// Whether the line has ended since the value: without a semicolon, that ends it too.
    fn is_new_line(&self, start: usize) -> bool {
        let behind = self.text[start..self.at].trim_end().len() + start;
        self.text[behind..self.at].contains('\n') && !self.rest().starts_with(['.', '?', '(', '*', '/'])
    }

    fn single(&mut self, depth: usize) -> Value {
        self.skip_space();
        let start = self.at;
        if depth > MOST_DEPTH {
            self.skip_expression(depth);
            return Value::Unread(String::new());
        }
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some('`') => self.template(depth),
            Some('[') => {
                self.at += 1;
                Value::List(self.list("]", depth + 1))
            }
            Some('{') => {
                self.at += 1;
                self.table(depth + 1)
            }
            Some(letter) if letter.is_ascii_digit() || letter == '-' => self.number(start),
            Some(letter) if is_word(letter) => self.named(depth),
            _ => {
                self.skip_expression(depth);
                Value::Unread(self.text[start..self.at].trim().to_owned())
            }
        }
    }

    fn number(&mut self, start: usize) -> Value {
        let digits: String = self
            .rest()
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || "-._".contains(*letter))
            .collect();
        self.at += digits.len();
        let mut number = digits.replace('_', "").parse::<f64>().ok();
        // As in `60 * 1000`.
        while self.takes("*") {
            let factor = self.single(MOST_DEPTH).number();
            number = number.zip(factor).map(|(a, b)| a * b);
        }
        number
            .filter(|number| number.is_finite())
            .map_or_else(|| Value::Unread(self.text[start..self.at].trim().to_owned()), Value::Number)
    }

    fn quoted(&mut self, quote: char) -> Value {
        self.at += 1;
        let mut text = String::new();
        while let Some(letter) = self.letter() {
            match letter {
                '\\' => text.push(self.escaped()),
                letter if letter == quote => break,
                letter => text.push(letter),
            }
        }
        Value::plain(&text)
    }

    fn template(&mut self, depth: usize) -> Value {
        self.at += 1;
        let (mut parts, mut text) = (Vec::new(), String::new());
        while let Some(letter) = self.letter() {
            match letter {
                '`' => break,
                '\\' => text.push(self.escaped()),
                '$' if self.rest().starts_with('{') => {
                    self.at += 1;
                    parts.push(Part::Plain(std::mem::take(&mut text)));
                    let value = self.value(depth + 1);
                    self.takes("}");
                    parts.extend(parts_of(value));
                }
                letter => text.push(letter),
            }
        }
        parts.push(Part::Plain(text));
        Value::Text(tidied(parts))
    }

    fn letter(&mut self) -> Option<char> {
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn escaped(&mut self) -> char {
        match self.letter() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(sign @ ('u' | 'x')) => {
                let length = if sign == 'u' { 4 } else { 2 };
                let digits = self.rest().get(..length).unwrap_or_default();
                let letter = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                self.at += if letter.is_some() { length } else { 0 };
                letter.unwrap_or(sign)
            }
            other => other.unwrap_or('\\'),
        }
    }

    /// Values up to a closing bracket.
    fn list(&mut self, close: &str, depth: usize) -> Vec<Value> {
        let mut values = Vec::new();
        while !self.takes(close) && self.peek().is_some() {
            let before = self.at;
            values.push(self.value(depth));
            self.takes(",");
            if self.at == before {
                self.at += self.peek().map_or(0, char::len_utf8);
            }
        }
        values
    }

    fn table(&mut self, depth: usize) -> Value {
        let mut entries = Vec::new();
        while !self.takes("}") && self.peek().is_some() {
            let before = self.at;
            let key = match self.peek() {
                Some(quote @ ('"' | '\'')) => self.quoted(quote).text(),
                _ => self.word(),
            };
            if let Some(key) = key {
                let value = if self.takes(":") {
                    self.value(depth)
                } else {
                    self.constants.get(&key).cloned().unwrap_or(Value::Unread(key.clone()))
                };
                entries.push((key, value));
            } else {
                self.skip_expression(depth);
            }
            self.takes(",");
            if self.at == before {
                self.at += self.peek().map_or(0, char::len_utf8);
            }
        }
        Value::Table(entries)
    }

    /// What a name stands for: a truth value, a constant, the environment, or a call.
    fn named(&mut self, depth: usize) -> Value {
        let start = self.at;
        let rest = self.rest();
        for env in ["__ENV", "process.env"] {
            if let Some(behind) = rest.strip_prefix(env).filter(|behind| behind.starts_with(['.', '['])) {
                let name = behind.trim_start_matches(['.', '[', '\'', '"']);
                let length = name.chars().take_while(|letter| is_word(*letter)).count();
                let name = &name[..length];
                let offset = name.as_ptr() as usize - rest.as_ptr() as usize + length;
                self.at += offset;
                self.at += self.rest().len() - self.rest().trim_start_matches(['\'', '"', ']']).len();
                return Value::Text(vec![Part::Env(name.to_owned())]);
            }
        }
        if self.takes("JSON.stringify(") {
            let arguments = self.list(")", depth + 1);
            return arguments
                .first()
                .map_or(Value::Unread("JSON.stringify()".to_owned()), |value| Value::Text(json_of(value)));
        }
        let name = self.word().unwrap_or_default();
        match (name.as_str(), self.constants.get(&name), self.peek()) {
            ("true", ..) => Value::Truth(true),
            ("false", ..) => Value::Truth(false),
            (_, Some(value), next) if !matches!(next, Some('.' | '[' | '(')) => value.clone(),
            _ => {
                self.skip_expression(depth);
                Value::Unread(self.text[start..self.at].trim().to_owned())
            }
        }
    }

    /// Goes on behind what an open bracket holds, one sign that [`Self::skip_expression`] stops at after the other. Answers with whether there is more.
    fn skip_to_close(&mut self) -> bool {
        self.skip_expression(0);
        match self.rest().chars().next() {
            Some(',' | ';' | '\n') => {
                self.at += 1;
                true
            }
            _ => false,
        }
    }

    /// Goes on behind an expression: to the next comma, semicolon or closing bracket that is not within it.
    fn skip_expression(&mut self, depth: usize) {
        let mut open = 0_usize;
        while let Some(letter) = self.rest().chars().next() {
            match letter {
                ',' | ';' if open == 0 => return,
                // Without a semicolon, a line that goes on with a word begins something else.
                '\n' if open == 0 && self.rest().trim_start().starts_with(is_word) => return,
                ')' | ']' | '}' if open == 0 => return,
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open -= 1,
                '"' | '\'' => {
                    self.quoted(letter);
                    continue;
                }
                '`' if depth < MOST_DEPTH => {
                    self.template(depth + 1);
                    continue;
                }
                _ => {}
            }
            self.at += letter.len_utf8();
        }
    }
}

/// The text with its comments as spaces; what looks like one within a text stays.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => {
                kept.push(letter);
                kept.extend(letters.next());
            }
            (Some(open), letter) => {
                // A line ends a text in simple quotes: it was none, as in a regular expression.
                if letter == open || (letter == '\n' && open != '`') {
                    quote = None;
                }
                kept.push(letter);
            }
            (None, '/') if letters.peek() == Some(&'/') => {
                while letters.peek().is_some_and(|next| *next != '\n') {
                    letters.next();
                }
            }
            (None, '/') if letters.peek() == Some(&'*') => {
                let mut last = ' ';
                letters.next();
                for next in letters.by_ref() {
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
                kept.push(' ');
            }
            (None, letter) => {
                if matches!(letter, '"' | '\'' | '`') {
                    quote = Some(letter);
                }
                kept.push(letter);
            }
        }
    }
    kept
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
