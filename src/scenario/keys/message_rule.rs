//! Which messages a rule means: the same keys wherever messages are looked at.
//!
//! In: the keys, of which several together mean all. Out: [`MessageRule`]; rules that no message can fit are faults.

use regex_lite::Regex;

use crate::declare::{
    At, NOT_EMPTY, POINTER, Shape, Table, TextRule, TextShape, Value, any_of, flat, map, meaning, of, ruled,
    table,
};

/// The longest regular expression.
const LONGEST_EXPRESSION: usize = 4_096;

/// Which messages are meant: those that all of it fits. Without anything, every one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessageRule {
    /// Text messages that contain this.
    pub contains: Option<String>,
    /// The text message that is this.
    pub equals: Option<String>,
    /// Text messages that begin so.
    pub starts_with: Option<String>,
    /// Text messages in which this finds something.
    pub matches: Option<Expression>,
    /// What stands at JSON Pointers (RFC 6901): something, or this.
    pub fields: Vec<(String, Option<Literal>)>,
    /// Binary messages that begin with these bytes.
    pub binary_starts_with: Option<Vec<u8>>,
}

impl MessageRule {
    /// Text messages that contain this.
    #[must_use]
    pub fn containing(part: &str) -> Self {
        Self { contains: Some(part.to_owned()), ..Self::default() }
    }

    /// The text message that is this.
    #[must_use]
    pub fn equal_to(whole: &str) -> Self {
        Self { equals: Some(whole.to_owned()), ..Self::default() }
    }

    /// Text messages that begin so.
    #[must_use]
    pub fn starting_with(start: &str) -> Self {
        Self { starts_with: Some(start.to_owned()), ..Self::default() }
    }

    /// Whether it says anything of a message's text as it stands.
    #[must_use]
    pub const fn is_about_text(&self) -> bool {
        self.contains.is_some()
            || self.equals.is_some()
            || self.starts_with.is_some()
            || self.matches.is_some()
    }

    /// Whether a text message fits it, as far as its pointers do not matter.
    #[must_use]
    pub fn fits_text(&self, text: &str) -> bool {
        self.binary_starts_with.is_none()
            && self.starts_with.as_ref().is_none_or(|start| text.starts_with(start.as_str()))
            && self.equals.as_ref().is_none_or(|whole| text == whole)
            && self.contains.as_ref().is_none_or(|part| text.contains(part.as_str()))
            && self.matches.as_ref().is_none_or(|pattern| pattern.finds(text))
    }

    /// Why no message can fit it, where that is so.
    fn contradiction(&self) -> Option<String> {
        if self.binary_starts_with.is_some() && self.is_about_text() {
            return Some("a message is a text, or it is binary".to_owned());
        }
        let whole = self.equals.as_deref();
        let lacks = |wanted: Option<&str>, has: fn(&str, &str) -> bool| {
            whole.zip(wanted).is_some_and(|(whole, wanted)| !has(whole, wanted))
        };
        if lacks(self.contains.as_deref(), |whole, part| whole.contains(part)) {
            return Some("what `equals` says does not contain what `contains` says".to_owned());
        }
        if lacks(self.starts_with.as_deref(), |whole, start| whole.starts_with(start)) {
            return Some("what `equals` says does not begin with what `starts_with` says".to_owned());
        }
        if whole.zip(self.matches.as_ref()).is_some_and(|(whole, pattern)| !pattern.finds(whole)) {
            return Some("what `equals` says is nothing that `matches` finds".to_owned());
        }
        for (index, (pointer, wanted)) in self.fields.iter().enumerate() {
            for (other, also) in self.fields.iter().skip(index + 1) {
                if pointer == other && wanted.is_some() && also.is_some() && wanted != also {
                    return Some(format!("two values cannot stand at \"{pointer}\""));
                }
                let is_within = |outer: &str, inner: &str| {
                    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
                };
                let outer = match (wanted, also) {
                    (Some(_), _) if is_within(pointer, other) => Some((pointer, other)),
                    (_, Some(_)) if is_within(other, pointer) => Some((other, pointer)),
                    _ => None,
                };
                if let Some((outer, inner)) = outer {
                    return Some(format!("what stands at \"{outer}\" has nothing at \"{inner}\" below it"));
                }
            }
        }
        None
    }
}

/// A value in a message's JSON, as a rule says it.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
}

const LITERAL: &str = "a text, a number, true or false is needed";

impl Value for Literal {
    fn shape() -> Shape {
        Shape::Either(vec![
            Shape::Text(TextShape::plain("text")),
            Shape::Number { least: f64::MIN, above: false, most: f64::MAX },
            Shape::Boolean,
        ])
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text().map(|text| Self::Text(text.to_owned()));
        let number = || at.number().filter(|number| number.is_finite()).map(Self::Number);
        let literal = text.or_else(number).or_else(|| at.value().as_bool().map(Self::Bool));
        if literal.is_none() {
            at.wrong(LITERAL);
        }
        literal
    }
}

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Expression(Regex);

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// Why it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_EXPRESSION {
            return Err(format!("it is longer than {LONGEST_EXPRESSION} bytes"));
        }
        Regex::new(text).map(Self).map_err(|error| format!("it is no regular expression ({error})"))
    }

    /// Whether it finds something.
    #[must_use]
    pub fn finds(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Where its find ends, if that begins with the text.
    #[must_use]
    pub fn end_of_start(&self, text: &str) -> Option<usize> {
        self.0.find(text).filter(|found| found.start() == 0).map(|found| found.end())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Value for Expression {
    fn shape() -> Shape {
        Shape::Text(TextShape { examples: &["^4[23]\\d*\\["], ..TextShape::plain("regular_expression") })
    }

    fn read(at: &At<'_>) -> Option<Self> {
        const NEEDED: &str = "a regular expression is needed, as '^4[23]\\d*\\['";
        let Some(text) = at.text() else {
            at.wrong(NEEDED);
            return None;
        };
        Self::new(text)
            .map_err(|why| at.elsewhere(format!("`{}` cannot be used: {why}", at.path), NEEDED))
            .ok()
    }
}

/// Bytes, two hexadecimal digits each.
pub(super) const HEX: TextRule = TextRule {
    name: "bytes_in_hexadecimal",
    patterns: &["^([0-9a-fA-F][0-9a-fA-F])+$"],
    except: None,
    allowed: "pairs of hexadecimal digits are needed, as \"20020000\"",
    examples: &["20020000"],
};

/// The bytes of a text that follows [`HEX`].
pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

table! {
    /// Which messages are meant: those that all of these keys fit.
    pub struct MeantKeys {
        /// The text messages that contain this are meant.
        contains: Option<String> = None => ruled(NOT_EMPTY);
        /// The text message that is this is meant; with `pointer`, the messages at whose pointer this stands: a text, a number or a truth value.
        equals: Option<Literal> = None => of::<Literal>();
        /// The text messages that begin with this are meant.
        starts_with: Option<String> = None => ruled(NOT_EMPTY);
        /// The text messages in which this regular expression finds something are meant.
        matches: Option<Expression> = None => of::<Expression>();
        /// The messages are meant in whose JSON something stands here (JSON Pointer, RFC 6901): what `equals` says, if that is there. The JSON may stand behind other
        /// text, as in `42["event",{}]`.
        pointer: Option<String> = None => ruled(POINTER);
        /// The messages are meant at all of whose pointers (JSON Pointers, RFC 6901) these values stand.
        fields: Vec<(String, Literal)> = Vec::new() => map(POINTER, of::<Literal>());
        /// The binary messages that begin with these bytes, in hexadecimal, are meant.
        binary_starts_with: Option<String> = None => ruled(HEX);
    }
    needs: [any_of(
        &[&["contains"], &["equals"], &["starts_with"], &["matches"], &["pointer"], &["fields"], &["binary_starts_with"]],
        "say which messages are meant: contains = \"reconnect\", equals = \"2\", starts_with = \"44\", matches = \"^4[0-9]\", pointer = \"/type\" with equals = \"error\", fields = { \"/type\" = \"error\" } or binary_starts_with = \"20\"; several together mean all"
    )];
}

flat! { MessageRule: MeantKeys => meant }
meaning! { MessageRule: MeantKeys => |keys: MeantKeys, table: &Table<'_>| meant(keys, table) }

/// The rule that the keys make up.
fn meant(keys: MeantKeys, table: &Table<'_>) -> Option<MessageRule> {
    let MeantKeys { contains, equals, starts_with, matches, pointer, fields, binary_starts_with } = keys;
    let mut rule = MessageRule {
        contains,
        starts_with,
        matches,
        fields: fields.into_iter().map(|(pointer, wanted)| (pointer, Some(wanted))).collect(),
        binary_starts_with: binary_starts_with.map(|hex| bytes_of(&hex)),
        ..MessageRule::default()
    };
    match (pointer, equals) {
        (Some(pointer), wanted) => rule.fields.push((pointer, wanted)),
        (None, Some(Literal::Text(whole))) => rule.equals = Some(whole),
        (None, Some(_)) => {
            let message = format!("`{}` is no text, and a whole message is one", table.path_of("equals"));
            table.between(Some("equals"), message, "say where the value stands: pointer = \"/op\"");
        }
        (None, None) => {}
    }
    if let Some(why) = rule.contradiction() {
        table.between(None, format!("`{}` means no message: {why}", table.path), "leave one of the two out");
    }
    Some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_message_can_fit_is_told() {
        let field = |pointer: &str, wanted: Option<Literal>| (pointer.to_owned(), wanted);
        let text = |text: &str| Some(Literal::Text(text.to_owned()));
        let whole = MessageRule::equal_to("42[1]");
        let fields = |fields| MessageRule { fields, ..MessageRule::default() };
        let rows = [
            (MessageRule { contains: Some("x".into()), ..whole.clone() }, Some("contain")),
            (MessageRule { contains: Some("[1".into()), ..whole.clone() }, None),
            (MessageRule { starts_with: Some("2".into()), ..whole.clone() }, Some("begin")),
            (MessageRule { starts_with: Some("42".into()), ..whole.clone() }, None),
            (MessageRule { matches: Expression::new("^43").ok(), ..whole.clone() }, Some("finds")),
            (MessageRule { matches: Expression::new("^4\\d").ok(), ..whole.clone() }, None),
            (MessageRule { binary_starts_with: Some(vec![1]), ..whole }, Some("binary")),
            (fields(vec![field("/a", text("x")), field("/a", text("y"))]), Some("two values")),
            (fields(vec![field("/a", text("x")), field("/a", None)]), None),
            (fields(vec![field("/a", text("x")), field("/a/b", None)]), Some("below")),
            (fields(vec![field("/a/b", None), field("/a", text("x"))]), Some("below")),
            (fields(vec![field("/a", None), field("/a/b", text("x"))]), None),
            (fields(vec![field("/a", text("x")), field("/ab", text("x"))]), None),
        ];
        for (rule, wanted) in rows {
            let why = rule.contradiction();
            assert_eq!(why.is_some(), wanted.is_some(), "{rule:?}: {why:?}");
            assert!(why.unwrap_or_default().contains(wanted.unwrap_or_default()), "{rule:?}");
        }
    }

    #[test]
    fn expressions_are_bounded() {
        assert!(Expression::new(&"a".repeat(1 << 20)).unwrap_err().contains("longer"));
        assert!(Expression::new("(").is_err());
        assert!(Expression::new("(a{1000}){1000}").is_err(), "too large when compiled");
        assert_eq!(bytes_of("20fF00"), [0x20, 0xff, 0]);
    }
}
