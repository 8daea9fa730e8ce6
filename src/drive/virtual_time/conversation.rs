//! What a client says on its session, and what the texts mean that come to it.
//!
//! In: a client with what it has, a text. Out: texts of its own; what its machine is to know. The rules are those of the network
//! ([`crate::conversation`]).

use crate::clock::Moment;
use crate::conversation::{Payload, Saying, Talker};
use crate::declare::template::Template;
use crate::drive::network::Token;
use crate::drive::network::on_session::Secrets;
use crate::drive::network::react::{Reaction, react};
use crate::drive::network::speak::render_saying;
use crate::drive::network::variables::{Renderer, Variables};
use crate::lifecycle::{Action, Evidence, refusal_by_message};
use crate::scenario::keys::{KeepAliveKind, Said, TokenIn};

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

impl Speaker<'_> {
    fn renderer(&self) -> Option<Renderer<'_>> {
        let writing = self.group.writing.as_ref()?;
        Some(writing.client(self.number, self.token.as_ref(), self.unix_us))
    }

    fn render(&self, holdings: &Holdings, template: &Template) -> String {
        let held = holdings.get(self.number);
        self.renderer()
            .map(|client| held.map_or(client, |variables| client.with(variables)).render(template))
            .unwrap_or_default()
    }

    /// The messages that it sends as soon as its session is open.
    pub(super) fn first(&self, holdings: &Holdings) -> Vec<String> {
        let with_token = match (&self.group.connect.token_in, &self.token) {
            (TokenIn::FirstMessage(template), Some(_)) => Some(self.render(holdings, template)),
            _ => None,
        };
        let first = self.group.rules.session.first_message.as_ref();
        with_token.into_iter().chain(first.map(|template| self.render(holdings, template))).collect()
    }

    /// The text of an action that sends one.
    pub(super) fn text_of(&self, action: Action, holdings: &Holdings) -> String {
        let rules = &self.group.rules.session;
        let template = match action {
            Action::SendHeartbeat => {
                let heartbeat = rules.on_message.iter().find_map(|rule| rule.heartbeat.as_ref());
                heartbeat.map(|heartbeat| &heartbeat.text)
            }
            Action::SendRefreshed => rules.refresh_message.as_ref(),
            Action::SendKeepAlive => match rules.keep_alive.as_ref().map(|keep| &keep.what) {
                Some(KeepAliveKind::Text(text)) => Some(text),
                _ => None,
            },
            _ => rules.send.as_ref().map(|send| &send.text),
        };
        template.map(|template| self.render(holdings, template)).unwrap_or_default()
    }

    /// The text of a saying; `None`: it has none, but bytes.
    pub(super) fn saying(&self, talker: &Talker, saying: Saying, holdings: &Holdings) -> Option<String> {
        let say = self.group.rules.session.say.get(saying.index)?;
        let (Said::Text(template), false) = (&say.what, say.binary) else { return None };
        let client = self.renderer()?;
        let client = holdings.get(self.number).map_or(client, |variables| client.with(variables));
        Some(render_saying(template, client, talker, saying))
    }

    /// What the client has told the service, or may tell it.
    fn secrets<'a>(&'a self, holdings: &'a Holdings) -> Secrets<'a> {
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
