//! What the target says in a session beside its messages, and what it makes of what it hears.
//!
//! In: `(now, event)` of a session: what is due, or what the client said. Out: texts to send, a close. No I/O, no clock.

use std::sync::Arc;

use serde_json::Value;

use crate::declare::template::Template;
use crate::scenario::keys::{MessageToken, ScriptRule, TargetRules, ValueAt};

use super::route_text::Whereabouts;
use super::rules::TargetState;
use super::script::json_in;
use super::session::{CloseOrder, Session};
use super::topics::topics_at;

/// Variables that tell how often a rule has said something.
const COUNTS: [&str; 2] = ["count", "count_hex"];

/// Something that the target does in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It sends a text message.
    Send(String),
    /// It closes the session. Nothing follows.
    Close(CloseOrder),
}

/// What follows, in order.
pub type Words = Vec<Word>;

impl TargetState {
    /// What a rule of the script says.
    pub fn say(&mut self, session: &mut Session, at: Whereabouts<'_>, rule: usize) -> Words {
        let rules = Arc::clone(&self.rules);
        let mut words = Words::new();
        if rule < rules.script.len() {
            self.say_rule(session, at, (&rules, rule, None), &mut words);
        }
        words
    }

    /// A text of the client, which may hold several messages: each may bring a token, or call for something of the script.
    pub fn hear(&mut self, session: &mut Session, at: Whereabouts<'_>, text: &str) -> Words {
        let rules = Arc::clone(&self.rules);
        let mut words = Words::new();
        if rules.script.is_empty() && rules.message_token.is_none() {
            return words;
        }
        match &rules.split {
            None => self.hear_message(session, at, text, &mut words),
            Some(split) => {
                for message in text.split(split.as_str()).filter(|message| !message.is_empty()) {
                    self.hear_message(session, at, message, &mut words);
                    if matches!(words.last(), Some(Word::Close(_))) {
                        break;
                    }
                }
            }
        }
        words
    }

    fn hear_message(&mut self, session: &mut Session, at: Whereabouts<'_>, text: &str, words: &mut Words) {
        let rules = Arc::clone(&self.rules);
        let wanted = rules.message_token.as_ref();
        let mut json = wanted.filter(|wanted| !wanted.pointers.is_empty()).and_then(|_| json_in(text));
        if let Some(wanted) = wanted
            && let Some(token) = token_in(wanted, text, json.as_ref())
            && self.refuses_token(session, at, (wanted, token), words)
        {
            return;
        }
        // A session whose token was refused is closing, and called for nothing.
        let called = session.heard_text(at.now, text);
        let reads =
            |rule: &ScriptRule| rule.topics.is_some() || rule.save.iter().any(|(_, at)| at.reads_json());
        if json.is_none() && called.iter().any(|rule| reads(&rules.script[*rule])) {
            json = json_in(text);
        }
        for rule in called {
            if self.say_rule(session, at, (&rules, rule, Some((text, json.as_ref()))), words).is_some() {
                break;
            }
        }
    }

    /// Says what a rule says, in answer to a message where there is one; `Some`: and closes.
    fn say_rule(
        &mut self,
        session: &mut Session,
        at: Whereabouts<'_>,
        (rules, index, message): (&TargetRules, usize, Option<Heard<'_>>),
        words: &mut Words,
    ) -> Option<()> {
        let rule = &rules.script[index];
        let mut saved: Vec<(&str, Option<String>)> = rule
            .save
            .iter()
            .map(|(name, at)| (name.as_str(), message.and_then(|message| value_in(message, at))))
            .collect();
        let mut send = rule.send.as_ref();
        if let Some(wanted) = &rule.topics {
            let topics = message.and_then(|(_, json)| topics_at(json?, &wanted.pointer)).unwrap_or_default();
            let added = self.add_topics(at.now, session.id(), &topics);
            if added.is_err() && wanted.refused.is_some() {
                send = wanted.refused.as_ref();
            }
        }
        if let Some(template) = send {
            if template.variables().any(|name| COUNTS.contains(&name)) {
                let count = session.script_count(index);
                saved.extend(COUNTS.into_iter().zip([Some(count.to_string()), Some(format!("{count:x}"))]));
            }
            words.push(Word::Send(self.text(session, at, template, &saved)));
        }
        words.push(Word::Close(session.close_for(at.now, rule.close?, "Script")?));
        Some(())
    }

    fn text(
        &mut self,
        session: &Session,
        at: Whereabouts<'_>,
        template: &Template,
        saved: &[(&str, Option<String>)],
    ) -> String {
        let wants_ticket = template.variables().any(|name| name == "ticket");
        let ticket = wants_ticket.then(|| self.ticket_for(at.now, session.id())).flatten();
        template.render(|name| match name {
            "ticket" => ticket.clone(),
            "ws" => Some(at.ws.to_owned()),
            "address" => Some(at.address.to_owned()),
            "session" => Some(session.id().to_string()),
            "unix_ms" => Some((at.unix_us(at.now) / 1_000).to_string()),
            name => saved.iter().find(|(saved, _)| *saved == name).and_then(|(_, value)| value.clone()),
        })
    }

    /// A message has brought a token; whether it is no good, and the session ends.
    fn refuses_token(
        &mut self,
        session: &mut Session,
        at: Whereabouts<'_>,
        (wanted, token): (&MessageToken, &str),
        words: &mut Words,
    ) -> bool {
        let cause = match self.authenticate(at.now, session.id(), token) {
            Ok(expires) => {
                session.authenticated(at.now, expires);
                session.set_hold_end(self.hold_end(session.id()));
                return false;
            }
            Err(cause) => cause,
        };
        log::debug!("a token in a message is refused: {cause}");
        let Some(order) = session.close_for(at.now, wanted.refused_code, "Token refused") else {
            return false;
        };
        if let Some(message) = &wanted.refused_message {
            words.push(Word::Send(self.text(session, at, message, &[])));
        }
        words.push(Word::Close(order));
        true
    }

    /// What the session was opened with may have come to its end by itself.
    pub fn end_hold(&mut self, session: &mut Session, at: Whereabouts<'_>) -> Words {
        let end = self.hold_end(session.id());
        if end > at.now {
            // Its life was made longer since.
            session.set_hold_end(end);
            return Words::new();
        }
        self.tell_hold_end(session, at)
    }

    /// Tells the client that its token or ticket has ended.
    pub fn tell_hold_end(&mut self, session: &mut Session, at: Whereabouts<'_>) -> Words {
        let rules = Arc::clone(&self.rules);
        let holds_ticket = self.holds_ticket(session.id());
        let (message, code, reason) = if holds_ticket {
            (rules.ticket_end.message.as_ref(), rules.ticket_end.close, "Ticket ended")
        } else {
            (None, rules.token_end.map(|end| end.code), "Token ended")
        };
        let mut words: Words =
            message.map(|message| Word::Send(self.text(session, at, message, &[]))).into_iter().collect();
        words.extend(code.and_then(|code| session.close_for(at.now, code, reason)).map(Word::Close));
        words
    }

    /// Warns the client of a storm to come.
    pub fn warning(&mut self, session: &Session, at: Whereabouts<'_>, storm: usize) -> Words {
        let rules = Arc::clone(&self.rules);
        let warning = rules.storms.get(storm).and_then(|storm| storm.warning.as_ref());
        warning.map(|warning| Word::Send(self.text(session, at, warning, &[]))).into_iter().collect()
    }
}

/// A message's text, and its JSON where that is asked for.
type Heard<'a> = (&'a str, Option<&'a Value>);

/// What stands there in a message.
fn value_in((text, json): Heard<'_>, at: &ValueAt) -> Option<String> {
    match at {
        ValueAt::Pointer(pointer) => json?.pointer(pointer).map(text_of),
        ValueAt::Regex(pattern) => pattern.find(text).map(str::to_owned),
    }
}

/// The token that a message brings.
fn token_in<'m>(wanted: &MessageToken, text: &'m str, json: Option<&'m Value>) -> Option<&'m str> {
    if let Some(pattern) = &wanted.regex {
        return pattern.find(text);
    }
    wanted.pointers.iter().find_map(|pointer| json?.pointer(pointer)?.as_str())
}

/// A JSON value as it stands in a text: a string without its quotes.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
