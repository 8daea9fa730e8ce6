//! What a client says: the messages that words make, and what its group's conversation wants to be said.
//!
//! In: words; sayings that are due, or that messages called for. Out: messages, on the session, with the client's variables filled in.

use std::cell::Cell;

use tokio_tungstenite::tungstenite::Message;

use crate::clock::Moment;
use crate::conversation::{PingDue, SayKey, Saying, Talker, Words, write_binary};
use crate::declare::template::{Template, random_range};
use crate::lifecycle::{Ending, EndingHow, Event};
use crate::mqtt;
use crate::sample::{Abnormal, Sample};
use crate::scenario::keys::{Binary, MqttRules};

use super::packets::said_packet;
use super::react::Reaction;
use super::session::Session;
use super::setup::GroupContext;
use super::token::Token;
use super::traffic::TrafficTally;
use super::variables::{Renderer, Variables};

/// How many messages a client says before the others have their turn.
const SAYINGS_AT_ONCE: usize = 256;

/// A client that has something to say.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) context: &'a GroupContext,
    pub(super) number: u32,
    pub(super) token: Option<&'a Token>,
    pub(super) variables: Option<&'a Variables>,
}

impl Speaker<'_> {
    /// Says what is due. `Some`: it could not be sent, and the session is over.
    pub(super) async fn say_due(self, session: &mut Session, tally: &mut TrafficTally) -> Option<Ending> {
        if let Some(ending) = Box::pin(self.ping_if_due(session, tally)).await {
            return Some(ending);
        }
        for _ in 0..SAYINGS_AT_ONCE {
            let now = self.context.sink.clock().now();
            let saying = self.context.rules.looks.talk().zip(tally.talker.as_deref_mut());
            let Some(saying) = saying.and_then(|(rules, talker)| talker.take_due(rules, now)) else { break };
            self.context.sink.send(now, Sample::Lag(now.since(saying.due))).await;
            if let Some(ending) = self.say(session, tally, saying).await {
                return Some(ending);
            }
        }
        None
    }

    /// Pings a broker that was told nothing for long. `Some`: it has not answered the ping before, and is taken for dead since it was heard last; or as above.
    async fn ping_if_due(self, session: &mut Session, tally: &mut TrafficTally) -> Option<Ending> {
        let now = self.context.sink.clock().now();
        match tally.talker.as_deref_mut()?.line()?.take_ping(now)? {
            PingDue::Dead => {
                let heard = session.signs.heard;
                Some(Ending::new(heard, EndingHow::Abnormal(Abnormal::Timeout)))
            }
            PingDue::Send { due } => {
                self.context.sink.send(now, Sample::Lag(now.since(due))).await;
                session.say(&self.context.session, tally, Message::Binary(mqtt::ping())).await
            }
        }
    }

    /// Does what a message makes the client do; what the lifecycle has to know is added to `untold`. `Some`: as above.
    pub(super) async fn follow(
        self,
        session: &mut Session,
        tally: &mut TrafficTally,
        reaction: Reaction,
        untold: &mut Vec<Event>,
    ) -> Option<Ending> {
        for reply in reaction.replies {
            if let Some(ending) = session.say(&self.context.session, tally, reply).await {
                return Some(ending);
            }
        }
        let ending = self.say_all(session, tally, reaction.calls).await;
        untold.extend(reaction.events);
        ending
    }

    /// Says what messages called for. `Some`: as above.
    pub(super) async fn say_all(
        self,
        session: &mut Session,
        tally: &mut TrafficTally,
        calls: Vec<Saying>,
    ) -> Option<Ending> {
        for saying in calls {
            if let Some(ending) = self.say(session, tally, saying).await {
                return Some(ending);
            }
        }
        None
    }

    async fn say(self, session: &mut Session, tally: &mut TrafficTally, saying: Saying) -> Option<Ending> {
        let Self { context, number, token, variables } = self;
        let (rules, talker) = context.rules.looks.talk().zip(tally.talker.as_deref_mut())?;
        let client = Renderer::new(&context.texts, number, token, variables);
        let (message, id) = match &context.rules.session.mqtt {
            Some(mqtt) => packet(mqtt, client, talker, saying, context.sink.clock().now())?,
            None => {
                let written = context.rules.session.binary;
                let words = SayKey::Say(saying.index).words(&context.rules.session)?;
                (message_of(words, written, |text| render_saying(text, client, talker, saying)), None)
            }
        };
        talker.said(rules, saying, id);
        let ending = session.say(&context.session, tally, message).await;
        if ending.is_none() {
            session.report_if_due(&context.session, tally).await;
        }
        ending
    }
}

/// The message that `words` make, their variables filled in by `render`; a binary one is `written` so, where the group's are.
pub(super) fn message_of(
    words: Words<'_>,
    written: Option<Binary>,
    render: impl FnOnce(&Template) -> String,
) -> Message {
    match (words, written) {
        (Words::Bytes(bytes), _) => Message::Binary(bytes.to_vec().into()),
        (Words::Text(text), _) => Message::Text(render(text).into()),
        (Words::Binary(text), None) => Message::Binary(render(text).into()),
        (Words::Binary(text), Some(rules)) => {
            let text = render(text);
            // What a variable has made no JSON goes as it is: the service will say so.
            let bytes = write_binary(rules, &text).unwrap_or_else(|_| text.into_bytes());
            Message::Binary(bytes.into())
        }
    }
}

/// A saying as a packet of MQTT, and the identifier that acknowledges it.
fn packet(
    rules: &MqttRules,
    client: Renderer<'_>,
    talker: &mut Talker,
    saying: Saying,
    now: Moment,
) -> Option<(Message, Option<u16>)> {
    let is_acknowledged = rules.published(saying.index).is_none_or(|publish| publish.qos == 1);
    let line = talker.line()?;
    line.sent(now);
    let id = is_acknowledged.then(|| line.take_id());
    let message =
        said_packet(rules, saying.index, id, |template| render_saying(template, client, talker, saying))?;
    Some((message, id))
}

/// The text of a saying.
pub(in crate::drive) fn render_saying(
    template: &Template,
    client: Renderer<'_>,
    talker: &Talker,
    saying: Saying,
) -> String {
    let drawn = Cell::new(0);
    client.render_with(template, |name| match name {
        "counter" => Some(saying.counter.to_string()),
        "uuid" => Some(talker.uuid(saying)),
        other => random_range(other).map(|range| {
            drawn.set(drawn.get() + 1);
            talker.random(saying, drawn.get(), range).to_string()
        }),
    })
}
