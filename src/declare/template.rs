//! Texts with variables in them: `Bearer {token}`.
//!
//! In: a text. Out: [`Template`], rendered with values. A brace that does not enclose a name stands for itself, so JSON needs no
//! escapes.

use std::fmt;

use url::Url;

use super::hidden::Hidden;

/// Variables that every client has: its token, its number in the run, the time in milliseconds since 1970, host and port of the
/// target.
pub const BUILT_IN: [&str; 4] = ["token", "client", "unix_ms", "address"];

/// A URL, or a template of one.
#[derive(Debug, Clone)]
pub enum UrlText {
    /// A URL.
    Fixed(Box<Hidden<Url>>),
    /// A text that is a URL when its variables are filled in.
    Template(Template),
}

impl UrlText {
    /// The URL, if it is known before variables are filled in.
    #[must_use]
    pub fn fixed(&self) -> Option<&Url> {
        match self {
            Self::Fixed(url) => Some(url),
            Self::Template(_) => None,
        }
    }

    /// The template, if it is one.
    #[must_use]
    pub const fn template(&self) -> Option<&Template> {
        match self {
            Self::Fixed(_) => None,
            Self::Template(template) => Some(template),
        }
    }
}

/// A text with variables in it. What stands between them may be secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Variable(String),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.variables().collect::<Vec<_>>()).finish()
    }
}

impl Template {
    /// Reads a text. It never fails: what is no variable is text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let name = rest[at + 1..].split('}').next().unwrap_or_default();
            if is_name(name) && rest[at + 1 + name.len()..].starts_with('}') {
                if !plain.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut plain)));
                }
                segments.push(Segment::Variable(name.to_owned()));
                rest = &rest[at + name.len() + 2..];
            } else {
                plain.push('{');
                rest = &rest[at + 1..];
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            segments.push(Segment::Text(plain));
        }
        Self { segments }
    }

    /// A text without variables, whatever stands in it.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { segments: vec![Segment::Text(text.to_owned())] }
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The text with the values that `value` gives. A variable without a value leaves nothing.
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(plain) => text.push_str(plain),
                Segment::Variable(name) => text.push_str(&value(name).unwrap_or_default()),
            }
        }
        text
    }
}

/// Whether a text can name a variable: lower-case letters, digits and `_`, a letter first.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 40
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn render(text: &str) -> String {
        Template::parse(text).render(|name| (name != "gone").then(|| format!("<{name}>")))
    }

    #[test]
    fn variables_are_told_from_json() {
        for (text, rendered) in [
            ("Bearer {token}", "Bearer <token>"),
            ("{uri}", "<uri>"),
            ("{\"op\":2,\"d\":{\"token\":\"{token}\"}}", "{\"op\":2,\"d\":{\"token\":\"<token>\"}}"),
            ("{}{ a }{A}{{x}", "{}{ a }{A}{<x>"),
            ("{gone}.", "."),
            ("{unclosed", "{unclosed"),
            ("", ""),
        ] {
            assert_eq!(render(text), rendered, "{text}");
        }
        let template = Template::parse("{a}{b_2}-{c");
        assert_eq!(template.variables().collect::<Vec<_>>(), ["a", "b_2"]);
    }

    proptest! {
        #[test]
        fn a_text_without_variables_stays_as_it_is(text in "[^{]{0,40}") {
            prop_assert_eq!(render(&text), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            render(&text);
        }
    }
}
