//! What a message makes a client do, by the group's rules.
//!
//! In: a message. Out: variables filled, replies to send, what the lifecycle has to know.

use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::conversation::{Look, Saying};
use crate::lifecycle::Event;
use crate::scenario::keys::{OnMessage, Then};

use super::variables::{Renderer, Variables, value_at};

/// What follows a message.
#[derive(Debug, Default)]
pub(in crate::drive) struct Reaction {
    pub(in crate::drive) replies: Vec<Message>,
    pub(in crate::drive) events: Vec<Event>,
    /// What of the group's sayings is to be said.
    pub(in crate::drive) calls: Vec<Saying>,
}

impl Reaction {
    /// Whether nothing follows.
    pub(super) const fn is_nothing(&self) -> bool {
        self.replies.is_empty() && self.events.is_empty() && self.calls.is_empty()
    }

    /// The lifecycle has to know this.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// This is sent back.
    pub(super) fn answer(&mut self, message: Message) {
        self.replies.push(message);
    }
}

/// Follows each of the `rules`, which a message calls for, for `client`, whose `variables` may change on the way.
pub(in crate::drive) fn react<'r>(
    rules: impl Iterator<Item = &'r OnMessage>,
    client: Renderer<'_>,
    variables: &mut Option<Box<Variables>>,
    look: &Look<'_, '_>,
    reaction: &mut Reaction,
) {
    for rule in rules {
        let json = look.json().unwrap_or_default();
        if !rule.save.is_empty() && !variables.get_or_insert_default().save(&rule.save, json.as_bytes()) {
            log::debug!("a message, {:?}, lacks what is to be saved", rule.message);
        }
        if let Some(reply) = &rule.reply {
            let renderer = variables.as_deref().map_or(client, |variables| client.with(variables));
            reaction.replies.push(Message::Text(renderer.render(reply).into()));
        }
        reaction.events.extend(heartbeat(rule, json));
        match rule.then {
            Then::GoOn => {}
            Then::Reconnect => reaction.events.push(Event::Asked { renew: false, overlap: rule.overlap }),
            Then::Renew => reaction.events.push(Event::Asked { renew: true, overlap: rule.overlap }),
        }
    }
}

pub(super) fn heartbeat(rule: &OnMessage, json: &str) -> Option<Event> {
    let pointer = &rule.heartbeat.as_ref()?.every_ms;
    let json: Value = serde_json::Deserializer::from_str(json).into_iter().next()?.ok()?;
    let ms: f64 = value_at(&json, pointer)?.parse().ok()?;
    let every = Duration::try_from_secs_f64(ms / 1e3).ok()?;
    Some(Event::Heartbeat { every })
}
