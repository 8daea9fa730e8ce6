//! What the target says in a session beside its messages: its script, warnings, ends of tokens and tickets, refusals.
//!
//! In: what is due, or what the client said. Out: frames on the session's socket. Decides nothing.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::declare::template::Template;
use crate::scenario::keys::RefusalManner;
use crate::scenario::keys::ScriptRule;
use crate::service::refusal::HandshakeRefusal;
use crate::service::script::json_in;
use crate::service::session::EndHow;
use crate::service::topics::topics_at;

use super::session::Live;
use super::upgrade::render_refusal;

impl Live {
    /// Says what a rule of the script says, and closes where it closes; `Some`: the session is over.
    pub(super) fn say(&mut self, rule: usize) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        self.say_rule(rules.script.get(rule)?, None)
    }

    /// Says what a rule says, in answer to a message where there is one.
    fn say_rule(&mut self, rule: &ScriptRule, message: Option<&serde_json::Value>) -> Option<EndHow> {
        let now = self.shared.clock.now();
        let saved: Vec<(&str, Option<String>)> = rule
            .save
            .iter()
            .map(|(name, pointer)| {
                (name.as_str(), message.and_then(|json| json.pointer(pointer)).map(text_of))
            })
            .collect();
        let mut send = rule.send.as_ref();
        if let Some(wanted) = &rule.topics {
            let topics = message.and_then(|json| topics_at(json, &wanted.pointer)).unwrap_or_default();
            let added = self.shared.state().add_topics(now, self.session.id(), &topics);
            if added.is_err() && wanted.refused.is_some() {
                send = wanted.refused.as_ref();
            }
        }
        if let Some(over) = send.and_then(|template| self.send_text(now, template, &saved)) {
            return Some(over);
        }
        let order = self.session.close_for(now, rule.close?, "Script")?;
        self.begin_close(order)
    }

    fn send_text(
        &mut self,
        now: Moment,
        template: &Template,
        saved: &[(&str, Option<String>)],
    ) -> Option<EndHow> {
        let shared = Arc::clone(&self.shared);
        let wants_ticket = template.variables().any(|name| name == "ticket");
        let ticket = wants_ticket.then(|| shared.ticket_for(now, self.session.id())).flatten();
        let text = template.render(|name| match name {
            "ticket" => ticket.clone(),
            "ws" => Some(shared.ws_scheme.to_owned()),
            "address" => Some(shared.address.clone()),
            "session" => Some(self.session.id().to_string()),
            "unix_ms" => Some((shared.clock.unix_us(now) / 1_000).to_string()),
            name => saved.iter().find(|(saved, _)| *saved == name).and_then(|(_, value)| value.clone()),
        });
        self.send_message(text)
    }

    fn send_message(&mut self, text: String) -> Option<EndHow> {
        let over = self.write(|socket| socket.write(Message::text(text)), |_| {});
        if over.is_none() {
            self.shared.state().count_message_sent();
        }
        over
    }

    /// A text message: it may bring a token, or call for something of the script.
    pub(super) fn take_text(&mut self, now: Moment, text: &str) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        if rules.script.is_empty() && rules.message_token.is_none() {
            return None;
        }
        let mut json = rules.message_token.as_ref().and_then(|_| json_in(text));
        if let Some(over) = json.as_ref().and_then(|json| self.take_token(now, json)) {
            return Some(over);
        }
        // A session whose token was refused is closing, and called for nothing.
        let called = self.session.heard_text(now, text);
        let reads = |rule: &ScriptRule| rule.topics.is_some() || !rule.save.is_empty();
        if json.is_none() && called.iter().any(|rule| reads(&rules.script[*rule])) {
            json = json_in(text);
        }
        called.into_iter().find_map(|rule| self.say_rule(&rules.script[rule], json.as_ref()))
    }

    /// A message that may bring a token.
    fn take_token(&mut self, now: Moment, json: &serde_json::Value) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        let wanted = rules.message_token.as_ref()?;
        let token = wanted.pointers.iter().find_map(|pointer| json.pointer(pointer)?.as_str())?;
        let answered = self.shared.state().authenticate(now, self.session.id(), token);
        match answered {
            Ok(expires) => {
                self.session.authenticated(now, expires);
                self.session.set_hold_end(self.shared.state().hold_end(self.session.id()));
                None
            }
            Err(cause) => {
                log::debug!("a token in a message is refused: {cause}");
                let order = self.session.close_for(now, wanted.refused_code, "Token refused")?;
                self.begin_close(order)
            }
        }
    }

    /// What the session was opened with may have come to its end by itself.
    pub(super) fn end_hold(&mut self) -> Option<EndHow> {
        let end = self.shared.state().hold_end(self.session.id());
        if end > self.shared.clock.now() {
            // Its life was made longer since.
            self.session.set_hold_end(end);
            return None;
        }
        self.tell_hold_end()
    }

    /// Tells the client that its token or ticket has ended.
    pub(super) fn tell_hold_end(&mut self) -> Option<EndHow> {
        let now = self.shared.clock.now();
        let rules = Arc::clone(&self.shared.rules);
        let holds_ticket = self.shared.state().holds_ticket(self.session.id());
        let (message, code) = if holds_ticket {
            (rules.ticket_end.message.as_ref(), rules.ticket_end.close)
        } else {
            (None, rules.token_end.map(|end| end.code))
        };
        if let Some(over) = message.and_then(|message| self.send_text(now, message, &[])) {
            return Some(over);
        }
        let reason = if holds_ticket { "Ticket ended" } else { "Token ended" };
        let order = self.session.close_for(now, code?, reason)?;
        self.begin_close(order)
    }

    /// Warns the client of a storm to come.
    pub(super) fn warn(&mut self, storm: usize) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        let warning = rules.storms.get(storm)?.warning.as_ref()?;
        self.send_text(self.shared.clock.now(), warning, &[])
    }

    /// Tells the client that its handshake is refused, on the socket that was opened for it.
    pub(super) fn refuse(&mut self, refusal: HandshakeRefusal) -> Option<EndHow> {
        let rules = Arc::clone(&self.shared.rules);
        let RefusalManner::Socket { message, close } = &rules.refusal_manner else { return None };
        if let Some(message) = message {
            let text = render_refusal(&self.shared, message, refusal);
            if let Some(over) = self.send_message(text) {
                return Some(over);
            }
        }
        let order = self.session.close_for(self.shared.clock.now(), (*close)?, "Refused")?;
        self.begin_close(order)
    }
}

/// A JSON value as it stands in a text: a string without its quotes.
fn text_of(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
