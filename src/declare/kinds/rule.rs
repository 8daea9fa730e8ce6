//! Rules for texts: a pattern, what it is called, what is said of a text that does not follow it.
//!
//! In: a text. Out: whether it follows the rule, or what is wrong.

use crate::declare::shape::TextShape;

/// A rule for texts that are no secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextRule {
    /// What such a text is called.
    pub(crate) name: &'static str,
    /// Patterns, each of which must find something.
    pub(crate) patterns: &'static [&'static str],
    /// A pattern that must find nothing.
    pub(crate) except: Option<&'static str>,
    /// Said of a text that does not follow it.
    pub(crate) allowed: &'static str,
    /// Good texts.
    pub(crate) examples: &'static [&'static str],
}

impl TextRule {
    /// As data.
    pub(crate) fn shape(self) -> TextShape {
        let patterns = self.patterns.iter().map(|pattern| (*pattern).into()).collect();
        TextShape {
            patterns,
            except: self.except.map(Into::into),
            examples: self.examples,
            ..TextShape::plain(self.name)
        }
    }

    /// Whether a text follows it; else what is wrong, and what is allowed.
    pub(crate) fn check(self, text: &str) -> Result<(), (String, String)> {
        if self.shape().fits(text) {
            return Ok(());
        }
        Err((format!("\"{text}\" is no {}", self.name.replace('_', " ")), self.allowed.to_owned()))
    }
}

/// Any text.
pub(crate) const ANY: TextRule =
    TextRule { name: "text", patterns: &[], except: None, allowed: "a string is needed", examples: &[] };
/// A text that is not empty.
pub(crate) const NOT_EMPTY: TextRule = TextRule {
    name: "text_with_something_in_it",
    patterns: &["[\\s\\S]"],
    except: None,
    allowed: "a string with something in it is needed",
    examples: &["x"],
};
/// What stands in file names and CSV cells.
pub(crate) const NAME: TextRule = TextRule {
    name: "name",
    patterns: &["^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"],
    except: None,
    allowed: "a name has 1 to 64 letters, digits, `-`, `_` or `.`, and no `.` in front",
    examples: &["stale-token", "fleet_2"],
};
/// A header's name (RFC 9110 §5.1).
pub(crate) const HEADER_NAME: TextRule = TextRule {
    name: "header_name",
    patterns: &["^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"],
    except: None,
    allowed: "letters, digits and `-` are allowed",
    examples: &["X-Client", "Accept-Language"],
};
/// The name of an environment variable.
pub(crate) const ENVIRONMENT_NAME: TextRule = TextRule {
    name: "environment_name",
    patterns: &["^[A-Za-z_][A-Za-z0-9_]{0,99}$"],
    except: None,
    allowed: "letters, digits and _ are allowed, no digit first",
    examples: &["KUBECONFIG", "PGPASSWORD"],
};
/// What a program can be given.
pub(crate) const NO_NUL: TextRule = TextRule {
    name: "text_for_a_program",
    patterns: &["^[^\\x00]*$"],
    except: None,
    allowed: "a string without the character U+0000 is needed, or { env = \"NAME\" } or { file = \"path\" }",
    examples: &["rollout"],
};
/// A header's value: no control characters but the tab.
pub(crate) const HEADER_VALUE: TextRule = TextRule {
    name: "header_value",
    patterns: &["^[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$"],
    except: None,
    allowed: "a header's value has no line breaks and no other control characters",
    examples: &["application/json"],
};
/// A variable's name that is not one of those that every client has.
pub(crate) const VARIABLE: TextRule = TextRule {
    name: "variable_name",
    patterns: &["^[a-z][a-z0-9_]{0,39}$"],
    except: Some("^(token|client|unix_ms|address)$"),
    allowed: "lower-case letters, digits and _ are allowed, a letter first; {token}, {client}, {unix_ms} and {address} are there already",
    examples: &["uri", "session_id"],
};
/// A JSON Pointer (RFC 6901).
pub(crate) const POINTER: TextRule = TextRule {
    name: "JSON_Pointer",
    patterns: &["^(/([^~]|~[01])*)?$"],
    except: None,
    allowed: "it begins with `/`, as \"/data/url\", and in it `~0` is a `~` and `~1` a `/` of a name (RFC 6901)",
    examples: &["/data/url", "/connectUri"],
};
/// A JSON Pointer that is not to the whole.
pub(crate) const INNER_POINTER: TextRule = TextRule {
    name: "inner_JSON_Pointer",
    patterns: &["^/([^~]|~[01])*$"],
    except: None,
    allowed: "it begins with `/`, as \"/d/token\", and in it `~0` is a `~` and `~1` a `/` of a name (RFC 6901)",
    examples: &["/d/token"],
};
