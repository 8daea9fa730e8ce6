//! Templates whose every value is quoted: none can end a scalar of YAML or a word of the shell, nor begin another.
//!
//! In: a template, values, how a value is quoted. Out: text. Values that were made here may stand as they are ([`plain`]).

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

/// What a text file holds where it is a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The template.
    pub(super) template: &'static str,
    /// How a text is quoted in it.
    pub(super) quoted: fn(&str) -> String,
}

impl Form {
    /// The text.
    ///
    /// # Errors
    /// The template does not fit the values: a fault of this program.
    pub(super) fn render(self, values: Value) -> Result<String, minijinja::Error> {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_formatter(move |out, _, value| match value.as_str() {
            Some(text) if !value.is_safe() => Ok(out.write_str(&(self.quoted)(text))?),
            _ => Ok(out.write_str(&value.to_string())?),
        });
        environment.add_template("text", self.template)?;
        let mut text = environment.get_template("text")?.render(values)?;
        text.push('\n');
        Ok(text)
    }
}

/// A value that stands as it is: nothing in it means anything to YAML or the shell.
pub(super) fn plain(text: impl Into<String>) -> Value {
    Value::from_safe_string(text.into())
}

/// A double-quoted scalar of YAML (1.1 and 1.2 alike), whatever the text holds.
pub(super) fn yaml_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for one in text.chars() {
        match one {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            one if is_printable(one) => quoted.push(one),
            one => quoted.push_str(&format!("\\U{:08X}", u32::from(one))),
        }
    }
    quoted.push('"');
    quoted
}

/// A scalar of YAML that holds a whole text: lines as they are below a key at `indent`, where they come back as they were; a quoted one otherwise.
pub(super) fn yaml_block(text: &str, indent: usize) -> String {
    let is_plain = |one: char| one == '\n' || one == '\t' || is_printable(one);
    if text.is_empty() || !text.chars().all(is_plain) {
        return yaml_quoted(text);
    }
    let chomp = match text.strip_suffix('\n') {
        None => "-",
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => "+",
        Some(_) => "",
    };
    let mut block = format!("|2{chomp}");
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent + 2));
            block.push_str(line);
        }
    }
    block
}

/// Whether a character of YAML stands for itself wherever it is, and ends no line (YAML 1.1 §5.1, §5.4).
const fn is_printable(one: char) -> bool {
    matches!(one, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// A single word of the shell, whatever the text holds.
pub(super) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_quoted_unless_it_was_made_here() {
        let form = Form { template: "a: {{ a }}\nb: {{ b }}\nn: {{ n }}", quoted: yaml_quoted };
        let text = form.render(minijinja::context! { a => "x: \"y\"\n--- #", b => plain("b"), n => 3 });
        assert_eq!(text.unwrap(), "a: \"x: \\\"y\\\"\\n--- #\"\nb: b\nn: 3\n");
        let form = Form { template: "{{ missing }}", ..form };
        assert!(form.render(minijinja::context! {}).is_err());
    }

    #[test]
    fn texts_become_scalars() {
        assert_eq!(
            yaml_quoted("a\u{85}\u{2028}\u{feff}\r\u{1f600}"),
            "\"a\\U00000085\\U00002028\\U0000FEFF\\r\u{1f600}\""
        );
        for (text, block) in [
            ("a\n b\n", "|2\n    a\n     b"),
            (" a\n\n---\t\n", "|2\n     a\n\n    ---\t"),
            ("a", "|2-\n    a"),
            ("a\n\n", "|2+\n    a\n"),
            ("a\r\n", "\"a\\r\\n\""),
            ("", "\"\""),
        ] {
            assert_eq!(yaml_block(text, 2), block, "{text:?}");
        }
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(shell_quoted("a b"), "'a b'");
        assert_eq!(shell_quoted("it's $(x)\n`y`"), "'it'\\''s $(x)\n`y`'");
    }
}
