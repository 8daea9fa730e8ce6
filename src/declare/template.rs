//! Texts with variables in them, and calls of functions: `Bearer {token}`, `{hex(hmac_sha256(api_secret, "GET/ws{unix_ms}"))}`.
//!
//! In: a text. Out: [`Template`], rendered with values. A brace that does not enclose a name or a call stands for itself, so JSON needs no
//! escapes.

use std::fmt;

use url::Url;

use super::functions::{FUNCTIONS, Function, function};
use super::hidden::Hidden;

/// Variables that every client has: its token, its number in the run, the time in milliseconds since 1970, in seconds, as ISO 8601 has it in
/// UTC to the millisecond; host and port of the target.
pub const BUILT_IN: [&str; 7] = ["token", "client", "unix_ms", "now_ms", "now", "now_iso", "address"];

/// Variables of a saying, beside `random:LOW-HIGH`: its number, and an id that is drawn for it.
pub const OF_SAYINGS: [&str; 2] = ["counter", "uuid"];
/// What a variable begins with that is drawn.
const RANDOM: &str = "random:";

/// The bounds of a variable that is a whole number drawn between them, as `random:1-100`, both included.
#[must_use]
pub fn random_range(name: &str) -> Option<(u64, u64)> {
    let (low, high) = name.strip_prefix(RANDOM)?.split_once('-')?;
    let number = |digits: &str| {
        let is_number =
            !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let (low, high): (u64, u64) = (number(low)?, number(high)?);
    (low <= high).then_some((low, high))
}

/// The value of a variable that tells the time.
#[must_use]
pub fn time_variable(name: &str, unix_us: u64) -> Option<String> {
    match name {
        "unix_ms" | "now_ms" => Some((unix_us / 1_000).to_string()),
        "now" => Some((unix_us / 1_000_000).to_string()),
        "now_iso" => {
            let at = jiff::Timestamp::from_millisecond(i64::try_from(unix_us / 1_000).ok()?).ok()?;
            Some(format!("{at:.3}"))
        }
        _ => None,
    }
}

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

/// A text with variables and calls of functions in it. What stands between them may be secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    /// What looks like a call and is none.
    faults: Vec<CallFault>,
}

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Variable(String),
    Call(Box<Call>),
}

/// A call of a function.
#[derive(Clone, PartialEq, Eq)]
struct Call {
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, PartialEq, Eq)]
enum Argument {
    /// In quotes.
    Text(Template),
    Variable(String),
    Call(Call),
}

/// What is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallFault {
    /// What stands there.
    pub(crate) what: String,
    /// What is needed.
    pub(crate) help: String,
}

/// What stands within braces in a saying and is meant for a variable that it is not.
fn slip(within: &str) -> Option<CallFault> {
    let bare = within.trim().to_ascii_lowercase();
    let what = format!("{{{within}}}");
    if bare.starts_with(RANDOM) && bare.contains('-') {
        let help =
            "write it as {random:1-100}: two whole numbers, the lower first, without spaces".to_owned();
        return Some(CallFault { what, help });
    }
    let known = BUILT_IN.iter().chain(&OF_SAYINGS).find(|name| **name == bare)?;
    Some(CallFault { what, help: format!("write it as {{{known}}}") })
}

/// Gives the value of a variable.
type ValueOf<'a> = &'a dyn Fn(&str) -> Option<String>;

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.variables().collect::<Vec<_>>()).finish()
    }
}

impl Template {
    /// Reads a text. It never fails: what is neither variable nor call is text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_within(text, DEEPEST, false)
    }

    /// Reads the text of a saying, in which numbers may be drawn: `{random:1-100}`.
    #[must_use]
    pub fn parse_saying(text: &str) -> Self {
        Self::parse_within(text, DEEPEST, true)
    }

    fn parse_within(text: &str, depth: usize, draws: bool) -> Self {
        let (mut segments, mut faults) = (Vec::new(), Vec::new());
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let inside = &rest[at + 1..];
            let name = &inside[..length_of_name(inside)];
            let drawn = inside
                .split_once('}')
                .map(|(drawn, _)| drawn)
                .filter(|drawn| draws && random_range(drawn).is_some());
            let found = match (inside[name.len()..].chars().next(), drawn) {
                (_, Some(drawn)) => Some((Segment::Variable(drawn.to_owned()), drawn.len())),
                (Some('}'), _) if is_name(name) => Some((Segment::Variable(name.to_owned()), name.len())),
                (Some('('), _) if is_name(name) => match read_call(inside, depth) {
                    Ok(Some((call, length))) => Some((Segment::Call(Box::new(call)), length)),
                    Ok(None) => None,
                    Err(fault) => {
                        faults.push(fault);
                        None
                    }
                },
                _ => None,
            };
            if let Some((segment, length)) = found {
                if let Segment::Call(call) = &segment {
                    faults.extend(call.faults().cloned());
                }
                if !plain.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut plain)));
                }
                segments.push(segment);
                rest = &inside[length + 1..];
            } else {
                faults.extend(inside.split_once('}').filter(|_| draws).and_then(|(within, _)| slip(within)));
                plain.push('{');
                rest = inside;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            segments.push(Segment::Text(plain));
        }
        Self { segments, faults }
    }

    /// A text without variables, whatever stands in it.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { segments: vec![Segment::Text(text.to_owned())], faults: Vec::new() }
    }

    /// The text, where nothing is filled in.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it is a text without anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Text(text) if text.is_empty()))
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|segment| match segment {
            Segment::Variable(name) => vec![name.as_str()],
            Segment::Call(call) => call.variables(),
            Segment::Text(_) => Vec::new(),
        })
    }

    /// Whether it calls functions.
    pub(crate) fn has_calls(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Call(_)))
    }

    /// What looks like a call of a function and is none.
    pub(crate) fn faults(&self) -> &[CallFault] {
        &self.faults
    }

    /// The text with the values that `value` gives. A variable without a value leaves nothing.
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> String {
        self.render_as(&value, |text| text)
    }

    /// The same; what is filled in goes through `written`.
    pub(crate) fn render_as(&self, value: ValueOf<'_>, written: impl Fn(String) -> String) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(plain) => text.push_str(plain),
                Segment::Variable(name) => text.push_str(&written(value(name).unwrap_or_default())),
                Segment::Call(call) => {
                    let bytes = call.value(value);
                    text.push_str(&written(String::from_utf8(bytes).unwrap_or_default()));
                }
            }
        }
        text
    }
}

impl Call {
    fn variables(&self) -> Vec<&str> {
        let each = self.arguments.iter().flat_map(|argument| match argument {
            Argument::Text(text) => text.variables().collect(),
            Argument::Variable(name) => vec![name.as_str()],
            Argument::Call(call) => call.variables(),
        });
        each.collect()
    }

    /// What is wrong within its texts.
    fn faults(&self) -> Box<dyn Iterator<Item = &CallFault> + '_> {
        Box::new(self.arguments.iter().flat_map(|argument| match argument {
            Argument::Text(text) => Box::new(text.faults.iter()) as Box<dyn Iterator<Item = &CallFault>>,
            Argument::Call(call) => call.faults(),
            Argument::Variable(_) => Box::new(std::iter::empty()),
        }))
    }

    fn value(&self, value: ValueOf<'_>) -> Vec<u8> {
        let arguments: Vec<Vec<u8>> = self
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Text(text) => text.render_as(value, |text| text).into_bytes(),
                Argument::Variable(name) => value(name).unwrap_or_default().into_bytes(),
                Argument::Call(call) => call.value(value),
            })
            .collect();
        self.function.apply(&arguments)
    }
}

/// Calls and texts within each other, at most.
const DEEPEST: usize = 8;

/// How a call is read: it is none, it is one, or it would be one.
enum Unread {
    /// It is something else.
    Other,
    /// It is a call, and wrong.
    Wrong(CallFault),
}

/// The call that `text` begins with, up to the brace that closes it, and its length. `None`: it is no call.
fn read_call(text: &str, depth: usize) -> Result<Option<(Call, usize)>, CallFault> {
    let is_ours = function(&text[..length_of_name(text)]).is_some();
    let mut reader = CallReader { text, at: 0, depth };
    let read = reader.call().and_then(|call| {
        reader.skip_blanks();
        if reader.peek() == Some('}') { Ok(call) } else { Err(Unread::Other) }
    });
    match read {
        Ok(call) if call.function.gives_bytes => {
            let what = format!("{} gives bytes, which no text can hold", call.function.name);
            Err(CallFault { what, help: "write hex(…) or base64(…) around it".to_owned() })
        }
        Ok(call) => Ok(Some((call, reader.at))),
        Err(Unread::Wrong(fault)) => {
            // Of another language, unless all of it reads as ours.
            let mut reader = CallReader { text, at: 0, depth };
            let reads = reader.skip_call() && reader.peek() == Some('}');
            if is_ours || reads { Err(fault) } else { Ok(None) }
        }
        Err(Unread::Other) if is_ours => {
            let name = &text[..length_of_name(text)];
            let what = format!("the call of {name} does not end as a call does");
            let help = "arguments are variables, texts in quotes and other calls, as {hex(hmac_sha256(api_secret, \"GET/ws{unix_ms}\"))}";
            Err(CallFault { what, help: help.to_owned() })
        }
        Err(Unread::Other) => Ok(None),
    }
}

/// Reads one call.
struct CallReader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl CallReader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn name(&mut self) -> Result<&str, Unread> {
        let length = length_of_name(&self.text[self.at..]);
        let name = &self.text[self.at..self.at + length];
        self.at += length;
        if is_name(name) { Ok(name) } else { Err(Unread::Other) }
    }

    fn call(&mut self) -> Result<Call, Unread> {
        let name = self.name()?.to_owned();
        self.arguments_of(&name)
    }

    fn arguments_of(&mut self, name: &str) -> Result<Call, Unread> {
        if self.peek() != Some('(') || self.depth == 0 {
            return Err(Unread::Other);
        }
        self.at += 1;
        self.depth -= 1;
        let mut arguments = Vec::new();
        loop {
            self.skip_blanks();
            if self.peek() == Some(')') && arguments.is_empty() {
                break;
            }
            arguments.push(self.argument()?);
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(')') => break,
                _ => return Err(Unread::Other),
            }
        }
        self.at += 1;
        self.depth += 1;
        let Some(function) = function(name) else {
            let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
            let what = format!("there is no function {name}");
            return Err(Unread::Wrong(CallFault { what, help: format!("there are {}", names.join(", ")) }));
        };
        if !function.takes(arguments.len()) {
            let what = format!("{name} cannot be called with {} arguments", arguments.len());
            return Err(Unread::Wrong(CallFault { what, help: format!("write {}", function.usage) }));
        }
        let given = arguments.iter().find_map(|argument| match argument {
            Argument::Call(call) if call.function.is_digest() => Some(call.function.name),
            _ => None,
        });
        if let (true, Some(given)) = (function.wants_text(), given) {
            let what = format!("{name} takes a text, and {given} gives bytes");
            let help = format!("write {name}(base64({given}(…))) or {name}(hex({given}(…)))");
            return Err(Unread::Wrong(CallFault { what, help }));
        }
        Ok(Call { function, arguments })
    }

    fn argument(&mut self) -> Result<Argument, Unread> {
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            let text = self.quoted(quote)?;
            return Ok(Argument::Text(Template::parse_within(&text, self.depth, false)));
        }
        let name = self.name()?.to_owned();
        if self.peek() == Some('(') {
            return self.arguments_of(&name).map(Argument::Call);
        }
        Ok(Argument::Variable(name))
    }

    /// A text in quotes; `\n` is a new line, and a backslash takes the character behind it as it is.
    fn quoted(&mut self, quote: char) -> Result<String, Unread> {
        let mut text = String::new();
        let mut characters = self.text[self.at + 1..].char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => text.extend(characters.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c if c == quote => {
                    self.at += 1 + at + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(Unread::Other)
    }

    /// Goes over a call whatever its functions are. `false`: it does not read as one.
    fn skip_call(&mut self) -> bool {
        if self.name().is_err() || self.peek() != Some('(') || self.depth == 0 {
            return false;
        }
        self.at += 1;
        self.depth -= 1;
        loop {
            self.skip_blanks();
            let before = self.at;
            let is_read = match self.peek() {
                Some(')') => true,
                Some(quote @ ('"' | '\'')) => self.quoted(quote).is_ok(),
                _ => {
                    self.name().is_ok() && {
                        let is_call = self.peek() == Some('(');
                        if is_call {
                            self.at = before;
                        }
                        !is_call || self.skip_call()
                    }
                }
            };
            self.skip_blanks();
            match self.peek() {
                Some(',') if is_read => self.at += 1,
                Some(')') if is_read => break,
                _ => return false,
            }
        }
        self.at += 1;
        self.depth += 1;
        self.skip_blanks();
        true
    }
}

/// How long the name is that a text begins with.
fn length_of_name(text: &str) -> usize {
    let ends = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    text.find(ends).unwrap_or(text.len())
}

/// Whether a text calls one of our functions, also where it is cut off.
pub(crate) fn calls_function(text: &str) -> bool {
    FUNCTIONS.iter().any(|function| {
        let call = format!("{}(", function.name);
        text.strip_prefix('{').unwrap_or(text).starts_with(&call)
    })
}

/// Whether a text can name a variable: lower-case letters, digits and `_`, a letter first.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 40
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
