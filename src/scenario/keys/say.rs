//! `[[groups.session.say]]`: what clients say, when, and which messages are replies to it.
//!
//! In: the tables. Out: [`Say`], [`Reply`], [`Check`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::declare::template::OF_SAYINGS;
use crate::declare::{
    At, Keys, NAME, Shape, Table, Template, TextRule, TextShape, Value, Word, above_zero, duration, flat,
    interval, list, of, one_of, pace, read_table, ruled, say_template, table,
};

use super::arrivals::Process;
use super::message_rule::{HEX, Literal, MessageRule, bytes_of};
use super::prepare::number_in_list;
use super::threshold::Comparison;
use super::value_at::ValueAt;

/// Checks of a reply.
const MOST_CHECKS: usize = 32;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(Template),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Bytes in Base64.
const BASE64: TextRule = TextRule {
    name: "bytes_in_base64",
    patterns: &["^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"],
    except: None,
    allowed: "Base64 with padding is needed, as \"gaFhAQ==\"",
    examples: &["gaFhAQ=="],
};

table! {
    /// What is said: one of these keys.
    pub struct SaidKeys {
        /// The text; may hold variables, `{counter}` (1, 2, 3 … for each client and saying), `{uuid}` and `{random:1-100}`.
        text: Option<Template> = None => say_template();
        /// The bytes of a binary message, in hexadecimal.
        hex: Option<String> = None => ruled(HEX);
        /// The bytes of a binary message, in Base64.
        base64: Option<String> = None => ruled(BASE64);
    }
    needs: [one_of(
        &[&["text"], &["hex"], &["base64"]],
        "a message is text = \"{\\\"id\\\":{counter}}\", hex = \"c000\" or base64 = \"gaFhAQ==\""
    )];
}

flat! { Said: SaidKeys => |keys: SaidKeys, table: &Table<'_>| {
    let decoded = |text: String| STANDARD.decode(text).map_err(|_| {
        table.between(Some("base64"), format!("`{}` is no Base64", table.path_of("base64")), "its last digit has bits that stand for nothing");
    });
    let bytes = keys.hex.map(|hex| bytes_of(&hex)).or_else(|| decoded(keys.base64?).ok());
    keys.text.map(Said::Text).or(bytes.map(Said::Bytes))
} }

/// When it is said, in each session that is ready.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// `"ready"`: as soon as the session is ready.
    Ready,
    /// `{ every = "30s" }`: as often, first so long after it.
    Every(Duration),
    /// `{ rate = "5/s", arrivals = "poisson" }`: at this rate a second.
    Rate(f64, Process),
    /// `{ after = "10s" }`: once, so long after it.
    After(Duration),
    /// `{ on = { … } }`: at each message that fits.
    On(Box<MessageRule>),
}

table! {
    /// When a message is sent.
    pub struct WhenKeys {
        /// As often, first so long after the session is ready.
        every: Option<Duration> = None => interval();
        /// At this rate, from when the session is ready.
        rate: Option<f64> = None => pace("a rate is needed, as \"5/s\"");
        /// With `rate`: how the messages are spread.
        arrivals: Process = Process::Constant;
        /// Once, so long after the session is ready.
        after: Option<Duration> = None => duration();
        /// At each message that fits.
        on: Option<MessageRule> = None => of::<MessageRule>();
    }
    needs: [one_of(&[&["every"], &["rate"], &["after"], &["on"]], WHEN)];
}

const WHEN: &str = "\"ready\", { every = \"30s\" }, { rate = \"5/s\" }, { after = \"10s\" } or { on = { equals = \"2\" } } is needed";
const READY: Word = Word { name: "ready", about: "As soon as the session is ready." };

impl Value for When {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Words(vec![READY]), Shape::Table(WhenKeys::table())])
    }

    fn read(at: &At<'_>) -> Option<Self> {
        if at.table().is_none() {
            let is_ready = at.text() == Some(READY.name);
            if !is_ready {
                at.wrong(WHEN);
            }
            return is_ready.then_some(Self::Ready);
        }
        let keys: WhenKeys = read_table(at, None)?;
        let WhenKeys { every, rate, arrivals, after, on } = keys;
        let timed = every.map(Self::Every).or(rate.map(|rate| Self::Rate(rate, arrivals)));
        timed.or(after.map(Self::After)).or(on.map(|rule| Self::On(Box::new(rule))))
    }

    fn write(&self) -> Option<String> {
        (*self == Self::Ready).then(|| "\"ready\"".to_owned())
    }
}

table! {
    /// A message that clients send.
    #[derive(PartialEq)]
    pub struct Say {
        /// Its name in reports. Default: its number, as `say-1`.
        name: String = String::new(), over (number) => ruled(NAME);
        /// When it is sent.
        when: When = When::Ready => of::<When>();
        /// Whether a text goes as a binary message.
        binary: bool = false;
        /// Which message is its reply, until when it must come and what it must say. Without it: none is waited for.
        reply: Option<Reply> = None => of::<Reply>();
        ..
        /// What is said.
        what: Said;
    }
    check: check_say;
}

/// The name of a saying that has none.
fn number(table: &Table<'_>) -> String {
    named_by_number("say", table)
}

/// The name of an element of a list that has none.
pub(super) fn named_by_number(kind: &str, table: &Table<'_>) -> String {
    format!("{kind}-{}", number_in_list(table))
}

fn check_say(say: Say, table: &Table<'_>) -> Option<Say> {
    let correlated = say.reply.as_ref().is_some_and(|reply| reply.correlate_by.is_some());
    if correlated && say.repeats().is_none() {
        let message = format!(
            "`{}` is known by a value, and the message has none",
            table.path_of("reply.correlate_by")
        );
        table.between(Some("reply"), message, "put {counter} or {uuid} into the text, one of them");
    }
    if say.binary && matches!(say.what, Said::Bytes(_)) {
        let message = format!("`{}` says nothing of bytes", table.path_of("binary"));
        table.between(Some("binary"), message, "bytes are always sent as a binary message: leave it out");
    }
    Some(say)
}

impl Say {
    /// The variable that its reply repeats: the only one of [`OF_SAYINGS`] in its text.
    #[must_use]
    pub fn repeats(&self) -> Option<&'static str> {
        let Said::Text(template) = &self.what else { return None };
        let stands = |name: &&str| template.variables().any(|variable| variable == *name);
        let mut standing = OF_SAYINGS.into_iter().filter(stands);
        standing.next().filter(|_| standing.next().is_none())
    }
}

table! {
    /// The reply to a message: which messages are replies, and what they must say.
    #[derive(PartialEq)]
    pub struct Reply {
        /// Where the reply repeats the message's `{counter}` or `{uuid}`: a JSON Pointer (RFC 6901), or a regular expression. Without it: replies come in
        /// the order of the messages.
        correlate_by: Option<ValueAt> = None => of::<ValueAt>();
        /// Longest wait for it, from when the message was due.
        timeout: Duration = Duration::from_secs(10) => above_zero();
        /// What must hold in its JSON: `"/ok == true"`, `"/n < 5"`, `"/status != failed"`, `"/result"` (something stands there).
        check: Vec<Check> = Vec::new() => list(of(), "a list of checks is needed, as [\"/ok == true\"]").most(MOST_CHECKS);
        ..
        /// Which messages are replies.
        message: MessageRule;
    }
}

/// What must hold in a message: something stands at a pointer, or compares so.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Where (JSON Pointer, RFC 6901).
    pub pointer: String,
    /// How what stands there compares; `None`: that something does is enough.
    pub compares: Option<(Comparison, Literal)>,
}

const CHECK: &str = "a check is a JSON Pointer, as \"/result\", or compares what stands there, as \"/ok == true\" or \"/n < 5\"";

impl Check {
    /// Reads one: POINTER, or POINTER OPERATOR VALUE. A value is a number, `true`, `false` or a text, which may stand in double quotes.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !text.starts_with('/') {
            return Err("it does not begin with a JSON Pointer".to_owned());
        }
        let Some(space) = text.find(' ') else {
            let is_glued = text.contains(['=', '<', '>', '!']);
            return if is_glued {
                Err("a blank is needed before and behind the operator".to_owned())
            } else {
                Ok(Self { pointer: text.to_owned(), compares: None })
            };
        };
        let (pointer, rest) = (text[..space].to_owned(), text[space..].trim_start());
        let (operator, value) = rest.split_once(' ').ok_or("a value is missing behind the operator")?;
        let comparison = match operator {
            "<" => Comparison::Below,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Above,
            ">=" => Comparison::AtLeast,
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            other => return Err(format!("`{other}` is no operator: there are <, <=, >, >=, == and !=")),
        };
        let wanted = literal(value.trim());
        let is_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if is_order && !matches!(wanted, Literal::Number(_)) {
            return Err("only numbers are smaller or larger".to_owned());
        }
        Ok(Self { pointer, compares: Some((comparison, wanted)) })
    }
}

fn literal(text: &str) -> Literal {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (quoted, text, number) {
        (Some(text), ..) => Literal::Text(text.to_owned()),
        (None, "true", _) => Literal::Bool(true),
        (None, "false", _) => Literal::Bool(false),
        (None, _, Some(number)) => Literal::Number(number),
        (None, text, None) => Literal::Text(text.to_owned()),
    }
}

impl Value for Check {
    fn shape() -> Shape {
        Shape::Text(TextShape {
            patterns: vec!["^/[^ ]*( +(==|!=|<=|>=|<|>) +[\\s\\S]+)?$".into()],
            examples: &["/ok == true", "/n < 5", "/result"],
            ..TextShape::plain("check")
        })
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let Some(text) = at.text() else {
            at.wrong(CHECK);
            return None;
        };
        Self::parse(text).map_err(|why| at.elsewhere(format!("`{}` is no check: {why}", at.path), CHECK)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_compare_numbers_words_and_truth() {
        let check = |text| Check::parse(text).unwrap();
        let compares = |text| check(text).compares.unwrap();
        assert_eq!(check("/a/b"), Check { pointer: "/a/b".into(), compares: None });
        assert_eq!(compares("/ok == true"), (Comparison::Equal, Literal::Bool(true)));
        assert_eq!(compares("/n  <=  -5e3"), (Comparison::AtMost, Literal::Number(-5e3)));
        assert_eq!(compares("/s != not found"), (Comparison::NotEqual, Literal::Text("not found".into())));
        assert_eq!(compares("/s == \"5\""), (Comparison::Equal, Literal::Text("5".into())));
        for (wrong, why) in [
            ("ok == true", "pointer"),
            ("", "pointer"),
            ("/ok=true", "blank"),
            ("/ok ==", "missing"),
            ("/ok === true", "no operator"),
            ("/ok < high", "only numbers"),
        ] {
            let said = Check::parse(wrong).unwrap_err().to_lowercase();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
