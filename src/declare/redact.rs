//! Secrets taken out of texts that strangers wrote: what a command printed, what a server answered.
//!
//! In: the secrets that a scenario holds or refers to, a line of text. Out: the line without them, and without control characters.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::reading::secrets::masked;

/// Shorter texts say nothing of a credential, and stand in many a line.
const SHORTEST: usize = 4;
/// What stands where a secret was.
const GONE: &str = "…";

/// Knows the secrets of a scenario, and takes them out of texts.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The longest first: one may be a part of another.
    secrets: Vec<Zeroizing<String>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor of {}", self.secrets.len())
    }
}

impl Redactor {
    /// One that knows these secrets, each line of theirs by itself.
    #[must_use]
    pub fn new(secrets: &[SecretString]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.expose_secret().lines()).map(str::trim);
        let mut secrets: Vec<_> =
            lines.filter(|line| line.len() >= SHORTEST).map(|line| Zeroizing::new(line.to_owned())).collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// `line` as everybody may see it.
    #[must_use]
    pub fn clean(&self, line: &str) -> String {
        masked(&without_controls(&self.redact(line)))
    }

    /// The same for a line whose end was cut off, where a secret may have begun.
    #[must_use]
    pub fn clean_cut(&self, line: &str) -> String {
        let redacted = self.redact(line);
        masked(&without_controls(&redacted[..redacted.len() - self.begun(&redacted)]))
    }

    fn redact(&self, line: &str) -> String {
        self.secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret.as_str(), GONE))
    }

    /// How many bytes at the end of `text` are the beginning of a secret.
    fn begun(&self, text: &str) -> usize {
        let beginnings = self.secrets.iter().flat_map(|secret| {
            secret
                .char_indices()
                .map(|(at, _)| at)
                .filter(|at| *at > 0)
                .filter(|at| text.ends_with(&secret[..*at]))
        });
        beginnings.max().unwrap_or(0)
    }
}

/// A text without the escape sequences of terminals (ECMA-48 §5.4), and a dot for each other control character, and for each letter that turns the
/// direction of writing.
#[must_use]
pub fn without_controls(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' | '\u{9b}' => {
                let is_sequence = c == '\u{9b}' || characters.next_if_eq(&'[').is_some();
                while is_sequence && characters.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
                if is_sequence {
                    characters.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
                } else {
                    plain.push('·');
                }
            }
            '\t' => plain.push(' '),
            c if is_unruly(c) => plain.push('·'),
            c => plain.push(c),
        }
    }
    plain
}

/// Whether a character has no place in a line that people read: a control character, or one that turns the direction of writing.
#[must_use]
pub fn is_unruly(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&[
            "hush-hush".into(),
            "abc".into(),
            "-----BEGIN\n  line-of-key\n".into(),
            "hush-hush-more".into(),
        ])
    }

    #[test]
    fn secrets_are_taken_out() {
        for (line, expected) in [
            ("login with hush-hush ok", "login with … ok"),
            ("hush-hush-more", "…"),
            ("abc", "abc"),
            ("x line-of-key y", "x … y"),
            ("token=whatever", "token=********"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redactor().clean(line), expected, "{line}");
        }
        assert_eq!(redactor().clean_cut("ends with hush-h"), "ends with ");
        assert_eq!(redactor().clean_cut("ends with hush-hush"), "ends with …");
        assert_eq!(redactor().clean_cut("ends"), "ends");
        assert_eq!(format!("{:?}", redactor()), "Redactor of 4");
    }

    #[test]
    fn nothing_is_left_that_moves_a_cursor() {
        for (text, expected) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}", "·]0;title·"),
            ("\u{9b}2Ja", "a"),
            ("a\rb\u{8}", "a·b·"),
            ("a\tb", "a b"),
            ("\u{202e}x", "·x"),
            ("\u{1b}", "·"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(without_controls(text), expected, "{text:?}");
        }
    }
}
