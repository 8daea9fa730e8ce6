//! What a group looks for in messages.
//!
//! In: the group's rules, once; messages. Out: [`Look`]s, by which compiled rules judge.

use crate::scenario::keys::{Binary, Expression, OnMessage, Ready, SessionRules};

use super::binary::parts;
use super::condition::Condition;
use super::look::{Look, Payload};
use super::rules::TalkRules;
use super::sought::Sought;

/// Which messages make a session ready that waits for one.
#[derive(Debug, Clone, Default)]
enum Readies {
    /// None does.
    #[default]
    No,
    /// Every one.
    Any,
    /// Those.
    By(Condition),
}

/// Everything that a group looks for, compiled.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// What stands between the messages of a frame.
    split: Option<Box<str>>,
    /// What stands before the JSON of a message.
    prefix: Option<Expression>,
    /// How binary messages are written.
    binary: Option<Binary>,
    sought: Sought,
    ready: Readies,
    refused_on: Vec<Condition>,
    on_message: Vec<Condition>,
    /// What is said, and read of what is heard.
    talk: Option<Box<TalkRules>>,
}

impl Looks {
    /// What these rules look for.
    #[must_use]
    pub fn new(rules: &SessionRules) -> Self {
        let mut sought = Sought::default();
        let mut compile = |rule| Condition::new(rule, &mut sought);
        let ready = match &rules.ready {
            // Of packets, the talker knows which makes a session ready.
            Ready::Upgraded | Ready::Connack => Readies::No,
            Ready::FirstMessage => Readies::Any,
            Ready::Message(rule) => Readies::By(compile(rule)),
        };
        let refused_on = rules.refused_on.iter().map(|rule| compile(&rule.message)).collect();
        let on_message = rules.on_message.iter().map(|rule| compile(&rule.message)).collect();
        let talk = TalkRules::new(rules, &mut sought).map(Box::new);
        let split = rules.split.as_deref().map(Box::from);
        Self {
            split,
            prefix: rules.prefix.clone(),
            binary: rules.binary,
            ready,
            refused_on,
            on_message,
            talk,
            sought,
        }
    }

    /// Whether messages may make a client refused, do something, or are measured.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !self.refused_on.is_empty() || !self.on_message.is_empty() || self.talk_reads()
    }

    /// The group's conversation; `None`: it has none.
    #[must_use]
    pub fn talk(&self) -> Option<&TalkRules> {
        self.talk.as_deref()
    }

    fn talk_reads(&self) -> bool {
        self.talk.as_deref().is_some_and(TalkRules::reads)
    }

    /// The messages of a frame, one after the other: what stands between them, and empty ones, are left out.
    pub fn messages<'m, 'l>(&'l self, payload: Payload<'m>) -> impl Iterator<Item = Look<'m, 'l>> {
        let split = self.split.as_deref();
        let (whole, texts, binary) = match (payload, split) {
            (Payload::Text(text), Some(split)) => (None, Some(text.split(split)), None),
            (Payload::Text(_), None) => (Some(payload), None, None),
            (Payload::Binary(bytes), _) => (None, None, Some(parts(self.binary, bytes))),
        };
        let texts = texts.into_iter().flatten().filter(|part| !part.is_empty()).map(Payload::Text);
        let binary = binary.into_iter().flatten().map(Payload::Binary);
        let is_read = self.binary.is_some();
        let look = move |payload| Look::new(payload, self.prefix.as_ref(), &self.sought, is_read);
        whole.into_iter().chain(texts).chain(binary).map(look)
    }

    /// Whether sessions wait for a message to be ready.
    #[must_use]
    pub const fn awaits_message(&self) -> bool {
        !matches!(self.ready, Readies::No)
    }

    /// Whether a frame makes a session ready that waits for one.
    #[must_use]
    pub fn makes_ready(&self, payload: Payload<'_>) -> bool {
        match &self.ready {
            Readies::No => false,
            Readies::Any => true,
            Readies::By(rule) => self.messages(payload).any(|look| rule.fits(&look)),
        }
    }

    /// The first of the rules by which the message refuses the client.
    #[must_use]
    pub fn refuses(&self, look: &Look<'_, '_>) -> Option<usize> {
        self.refused_on.iter().position(|rule| rule.fits(look))
    }

    /// Those of `rules`, which are the group's, that the message calls for.
    pub fn calls_for<'r>(
        &'r self,
        rules: &'r [OnMessage],
        look: &'r Look<'_, '_>,
    ) -> impl Iterator<Item = &'r OnMessage> {
        rules.iter().zip(&self.on_message).filter(|(_, fits)| fits.fits(look)).map(|(rule, _)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::{Literal, MessageRule, RefusedOn};

    fn rules(refused_on: Vec<MessageRule>) -> SessionRules {
        let refused_on = refused_on.into_iter().map(|message| RefusedOn { words: None, message }).collect();
        SessionRules { refused_on, ..SessionRules::default() }
    }

    fn field(pointer: &str, wanted: Option<Literal>) -> MessageRule {
        MessageRule { fields: vec![(pointer.to_owned(), wanted)], ..MessageRule::default() }
    }

    fn text(text: &str) -> Option<Literal> {
        Some(Literal::Text(text.to_owned()))
    }

    #[test]
    fn several_conditions_mean_all() {
        let named = MessageRule {
            starts_with: Some("42".into()),
            matches: Expression::new("\\[\"(a|b)").ok(),
            fields: vec![("/0".into(), None), ("/1/ok".into(), Some(Literal::Bool(false)))],
            ..MessageRule::default()
        };
        let binary = MessageRule { binary_starts_with: Some(vec![0x20, 2]), ..MessageRule::default() };
        let looks = Looks::new(&rules(vec![
            named,
            binary,
            field("/op", Some(Literal::Number(9.0))),
            field("/type", text("e")),
        ]));
        // (message, the rule that means it)
        let rows = [
            (Payload::Text("42[\"a\",{\"ok\":false}]"), Some(0)),
            (Payload::Text("42[\"c\",{\"ok\":false}]"), None),
            (Payload::Text("43[\"a\",{\"ok\":false}]"), None),
            (Payload::Text("42[\"a\",{\"ok\":true}]"), None),
            (Payload::Text("42[\"a\",{\"ok\":\"false\"}]"), None),
            (Payload::Binary(b"\x20\x02\0\x05"), Some(1)),
            (Payload::Binary(b"\x20\x03"), None),
            (Payload::Text(" \x02"), None),
            (Payload::Text("{\"op\":9}"), Some(2)),
            (Payload::Text("{\"op\":9.0,\"type\":\"e\"}"), Some(2)),
            (Payload::Text("{\"op\":\"9\",\"type\":\"e\"}"), Some(3)),
            (Payload::Text("{\"type\":null}"), None),
            (Payload::Text(""), None),
        ];
        for (payload, wanted) in rows {
            let look = looks.messages(payload).next().unwrap();
            assert_eq!(looks.refuses(&look), wanted, "{payload:?}");
        }
    }

    #[test]
    fn a_frame_may_hold_several_messages_and_a_message_something_before_its_json() {
        let split = SessionRules {
            split: Some("\u{1e}".into()),
            ..rules(vec![field("/type", Some(Literal::Number(7.0)))])
        };
        let looks = Looks::new(&split);
        let frame = "{\"type\":6}\u{1e}{\"type\":7}\u{1e}";
        let each: Vec<_> = looks.messages(Payload::Text(frame)).collect();
        assert_eq!(
            each.iter().map(|look| look.payload().text().unwrap()).collect::<Vec<_>>(),
            ["{\"type\":6}", "{\"type\":7}"]
        );
        assert_eq!(each.iter().map(|look| looks.refuses(look)).collect::<Vec<_>>(), [None, Some(0)]);
        assert_eq!(looks.messages(Payload::Text("\u{1e}")).count(), 0);
        assert_eq!(looks.messages(Payload::Binary(b"\x1e")).count(), 1, "only texts are split");

        let prefix = |prefix: Option<&str>| SessionRules {
            prefix: prefix.map(|prefix| Expression::new(prefix).unwrap()),
            ..rules(vec![field("/0", text("a"))])
        };
        let rows = [
            (None, "42/chat,17[\"a\"]", true),
            (None, "{x}[\"a\"]", false),
            (Some("^\\{x\\}"), "{x}[\"a\"]", true),
            (Some("^\\{x\\}"), "[\"a\"]", false),
            (Some("x"), "{x}[\"a\"]", false),
        ];
        for (given, text, is_meant) in rows {
            let looks = Looks::new(&prefix(given));
            let look = looks.messages(Payload::Text(text)).next().unwrap();
            assert_eq!(looks.refuses(&look).is_some(), is_meant, "{given:?} {text}");
        }
    }

    #[test]
    fn a_session_is_ready_by_what_the_rules_say() {
        let with =
            |ready| Looks::new(&SessionRules { ready, split: Some("|".into()), ..SessionRules::default() });
        let hello = MessageRule {
            fields: vec![("/op".into(), Some(Literal::Number(10.0)))],
            ..MessageRule::default()
        };
        let by = with(Ready::Message(hello));
        assert!(by.awaits_message() && !by.is_read());
        assert!(by.makes_ready(Payload::Text("{\"op\":1}|{\"op\":10}")));
        assert!(
            !by.makes_ready(Payload::Text("{\"op\":1}|")) && !by.makes_ready(Payload::Binary(b"{\"op\":10}"))
        );
        assert!(with(Ready::FirstMessage).makes_ready(Payload::Binary(b"")));
        assert!(!with(Ready::Upgraded).makes_ready(Payload::Text("x")));
    }
}
