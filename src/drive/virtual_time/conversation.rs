//! What a client says on its session, and what the texts mean that come to it.
//!
//! In: a client with what it has, a text. Out: texts of its own; what its machine is to know. The rules are those of the network
//! ([`crate::conversation`]).

use crate::clock::Moment;
use crate::conversation::{Payload, SayKey, Saying, Talker, Words};
use crate::drive::network::Token;
use crate::drive::network::on_session::Secrets;
use crate::drive::network::react::{Reaction, react};
use crate::drive::network::speak::render_saying;
use crate::drive::network::variables::{Renderer, Variables};
use crate::lifecycle::{Evidence, refusal_by_message};
use crate::scenario::keys::TokenIn;

use super::group::Group;
use super::holdings::Holdings;

/// A client that speaks: what fills its texts.
pub(super) struct Speaker<'a> {
    pub(super) number: u32,
    pub(super) group: &'a Group,
    pub(super) token: Option<Token>,
    /// The time, in microseconds since 1970.
    pub(super) unix_us: u64,
}

impl<'a> Speaker<'a> {
    fn renderer(&self) -> Option<Renderer<'_>> {
        let writing = self.group.writing.as_ref()?;
        Some(writing.client(self.number, self.token.as_ref(), self.unix_us))
    }

    /// What it says as soon as its session is open: what carries the token, where the scenario puts it there, and the session's first.
    pub(super) fn first(&self) -> impl Iterator<Item = Words<'a>> {
        let group = self.group;
        let with_token = match (&group.connect.token_in, &self.token) {
            (TokenIn::FirstMessage(template), Some(_)) => Some(Words::Text(template)),
            _ => None,
        };
        with_token.into_iter().chain(SayKey::FirstMessage.words(&group.rules.session))
    }

    /// The text that the target reads of `words`, with what is drawn for a saying; `None`: it reads none.
    pub(super) fn text(
        &self,
        words: Words<'_>,
        drawn: Option<(&Talker, Saying)>,
        holdings: &Holdings,
    ) -> Option<String> {
        let Words::Text(template) = words else { return None };
        let client = self.renderer()?;
        let client = holdings.get(self.number).map_or(client, |variables| client.with(variables));
        Some(match drawn {
            Some((talker, saying)) => render_saying(template, client, talker, saying),
            None => client.render(template),
        })
    }

    /// What the client has told the service, or may tell it.
    fn secrets<'s>(&'s self, holdings: &'s Holdings) -> Secrets<'s> {
        Secrets {
            texts: self.group.writing.as_ref().map(|writing| writing.texts()),
            number: self.number,
            token: self.token.as_ref(),
            variables: holdings.get(self.number),
        }
    }

    /// What a text means that has come: what refuses the client, or what it does.
    pub(super) fn meaning_of(
        &self,
        text: &str,
        holdings: &mut Holdings,
        talker: Option<&mut Talker>,
        at: (Moment, u64),
    ) -> Result<Reaction, Box<Evidence>> {
        let (looks, rules) = (&self.group.rules.looks, &self.group.rules.session);
        let mut reaction = Reaction::default();
        let mut talk = looks.talk().zip(talker);
        for look in looks.messages(Payload::Text(text)) {
            if let Some(evidence) = refusal_by_message(looks, &rules.refused_on, &look) {
                return Err(Box::new(self.secrets(holdings).taken_out_of(evidence)));
            }
            if let Some((rules, talker)) = &mut talk {
                talker.hear(rules, &look, at, &mut reaction.calls, |word| self.secrets(holdings).have(word));
            }
            let Some(client) = self.renderer() else { continue };
            let called = looks.calls_for(&rules.on_message, &look);
            holdings.change(self.number, |held: &mut Option<Box<Variables>>| {
                react(called, client, held, &look, &mut reaction);
            });
        }
        Ok(reaction)
    }
}
