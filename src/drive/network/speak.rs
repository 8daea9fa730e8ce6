//! What a client says by the rules of its group's conversation.
//!
//! In: sayings that are due, or that messages called for. Out: the same as messages on the session, with the client's variables filled in.

use std::cell::Cell;

use tokio_tungstenite::tungstenite::Message;

use crate::conversation::{Saying, Talker, write_binary};
use crate::declare::template::{Template, random_range};
use crate::lifecycle::Ending;
use crate::sample::Sample;
use crate::scenario::keys::Said;

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
        let say = context.rules.session.say.get(saying.index)?;
        let client = Renderer::new(&context.texts, number, token, variables);
        let message = match &say.what {
            Said::Bytes(bytes) => Message::Binary(bytes.clone().into()),
            Said::Text(template) => {
                let text = render_saying(template, client, talker, saying);
                match (say.binary, context.rules.session.binary) {
                    (false, _) => Message::Text(text.into()),
                    (true, None) => Message::Binary(text.into()),
                    // What a variable has made no JSON goes as it is: the service will say so.
                    (true, Some(rules)) => {
                        let bytes = write_binary(rules, &text).unwrap_or_else(|_| text.into_bytes());
                        Message::Binary(bytes.into())
                    }
                }
            }
        };
        talker.said(rules, saying);
        tally.sent();
        let ending = session.send(&context.session, message).await;
        if ending.is_none() {
            let now = context.sink.clock().now();
            if tally.is_due(now) {
                session.report(&context.session, tally, now).await;
            }
        }
        ending
    }
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
