//! What a client says first on a session, and last; and what it takes of the service's own words.
//!
//! In: the group's rules, a client's token and variables, a reason. Out: first messages; evidence without what the client itself had sent. Clients of a run
//! and probes share it.

use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use tokio_tungstenite::tungstenite::Message;

use crate::conversation::{SayKey, Words};
use crate::lifecycle::{Ending, Evidence};
use crate::mqtt;
use crate::scenario::keys::TokenIn;

use super::echo::without_echo;
use super::packets::connect_packet;
use super::session::Session;
use super::setup::GroupContext;
use super::speak::message_of;
use super::token::Token;
use super::traffic::TrafficTally;
use super::variables::{GroupTexts, Renderer, Variables};

/// The messages that a client of `context` sends as soon as its session is open: the one that carries the token, where the scenario puts it there, and
/// the session's first. One that speaks MQTT says who it is.
pub(super) fn first_messages(
    context: &GroupContext,
    token: Option<&Token>,
    client: Renderer<'_>,
) -> [Option<Message>; 2] {
    if let Some(rules) = &context.rules.session.mqtt {
        return [connect_packet(rules, context.rules.session.max_message_bytes, client), None];
    }
    let with_token = match (&context.token_in, token) {
        (TokenIn::FirstMessage(template), Some(_)) => Some(Words::Text(template)),
        _ => None,
    };
    let rules = &context.rules.session;
    let first = SayKey::FirstMessage.words(rules);
    [with_token, first].map(|words| Some(message_of(words?, rules.binary, |text| client.render(text))))
}

/// Closes a session with `code`. A client that speaks MQTT says that it leaves before (§3.14).
pub(super) async fn leave(
    session: &mut Session,
    context: &GroupContext,
    tally: &mut TrafficTally,
    code: u16,
) -> Ending {
    if context.rules.session.mqtt.is_some() {
        let goodbye = Message::Binary(mqtt::disconnect());
        if let Some(ending) = session.say(&context.session, tally, goodbye).await {
            return ending;
        }
    }
    session.close(&context.session, tally, code).await
}

/// What a client has told the service, or may tell it.
#[derive(Clone, Copy)]
pub(in crate::drive) struct Secrets<'a> {
    /// What its group's texts may name; `None`: they name nothing.
    pub(in crate::drive) texts: Option<&'a GroupTexts>,
    pub(in crate::drive) number: u32,
    pub(in crate::drive) token: Option<&'a Token>,
    pub(in crate::drive) variables: Option<&'a Variables>,
}

impl Secrets<'_> {
    /// The reason of a close frame, without them.
    pub(super) fn taken_out_of_reason(self, reason: Option<Box<str>>) -> Option<Box<str>> {
        let said = Evidence::of_message(Some(reason?.into_string()));
        self.taken_out_of(said).body_code.map(String::into_boxed_str)
    }

    /// Whether a word of the service's is one of them.
    pub(in crate::drive) fn have(self, word: &str) -> bool {
        self.taken_out_of(Evidence::of_message(Some(word.to_owned()))).body_code.is_none()
    }

    /// What a service said on a session, without them.
    pub(in crate::drive) fn taken_out_of(self, evidence: Evidence) -> Evidence {
        let mut sent = Zeroizing::new(String::new());
        let row = self.texts.into_iter().flat_map(|texts| texts.row(self.number));
        let row = row.map(ExposeSecret::expose_secret);
        let saved = self.variables.into_iter().flat_map(Variables::values);
        for secret in self.token.map(|token| token.expose_secret()).into_iter().chain(saved).chain(row) {
            sent.push_str(secret);
            sent.push('\n');
        }
        if let Some(jar) = self.variables.and_then(Variables::jar) {
            jar.add_values(&mut sent);
        }
        without_echo(evidence, sent.as_bytes())
    }
}
