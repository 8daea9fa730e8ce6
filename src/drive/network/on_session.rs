//! What a client says first on a session, and what it takes of the service's own words.
//!
//! In: the group's rules, a client's token and variables, a message or a reason. Out: first messages; refusals as evidence, without what the
//! client itself had sent. Clients of a run and probes share it.

use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use crate::conversation::{Payload, Talker};
use crate::lifecycle::{Evidence, refusal_by_message};
use crate::scenario::keys::TokenIn;

use super::echo::without_echo;
use super::react::{Reaction, react};
use super::setup::GroupContext;
use super::token::Token;
use super::variables::{Renderer, Variables};

/// The messages that a client of `context` sends as soon as its session is open: the one that carries the token, where the scenario puts it there, and
/// the session's first.
pub(super) fn first_messages(
    context: &GroupContext,
    token: Option<&Token>,
    client: Renderer<'_>,
) -> [Option<String>; 2] {
    let with_token = match (&context.token_in, token) {
        (TokenIn::FirstMessage(template), Some(_)) => Some(client.render(template)),
        _ => None,
    };
    let first = context.rules.session.first_message.as_ref().map(|template| client.render(template));
    [with_token, first]
}

/// What the messages of a frame mean to a client.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// What refuses it.
    pub(super) refused: Option<Box<Evidence>>,
    /// What they make it do.
    pub(super) reaction: Reaction,
}

/// What the messages of a frame mean to client `number` with this token, by the group's rules; what it saves of them goes into its `variables`.
pub(super) fn meaning_of(
    context: &GroupContext,
    payload: Payload<'_>,
    (number, token): (u32, Option<&Token>),
    variables: &mut Option<Box<Variables>>,
    talker: Option<&mut Talker>,
) -> Meaning {
    let (looks, rules) = (&context.rules.looks, &context.rules.session);
    let mut talk = looks.talk().zip(talker).map(|(rules, talker)| {
        let clock = context.sink.clock();
        let now = clock.now();
        (rules, talker, (now, clock.unix_us(now)))
    });
    let client = Renderer::new(&context.texts, number, token, None);
    let mut meaning = Meaning::default();
    for look in looks.messages(payload) {
        if let Some(refusal) = refusal_by_message(looks, &rules.refused_on, &look) {
            let secrets = Secrets { context, number, token, variables: variables.as_deref() };
            meaning.refused = Some(Box::new(secrets.taken_out_of(refusal)));
            return meaning;
        }
        react(looks.calls_for(&rules.on_message, &look), client, variables, &look, &mut meaning.reaction);
        if let Some((rules, talker, at)) = &mut talk {
            let secrets = Secrets { context, number, token, variables: variables.as_deref() };
            let is_secret = |word: &str| secrets.have(word);
            talker.hear(rules, &look, *at, &mut meaning.reaction.calls, is_secret);
        }
    }
    meaning
}

/// What a client has told the service, or may tell it.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    pub(super) context: &'a GroupContext,
    pub(super) number: u32,
    pub(super) token: Option<&'a Token>,
    pub(super) variables: Option<&'a Variables>,
}

impl Secrets<'_> {
    /// The reason of a close frame, without them.
    pub(super) fn taken_out_of_reason(self, reason: Option<Box<str>>) -> Option<Box<str>> {
        let said = Evidence::of_message(Some(reason?.into_string()));
        self.taken_out_of(said).body_code.map(String::into_boxed_str)
    }

    /// Whether a word of the service's is one of them.
    fn have(self, word: &str) -> bool {
        self.taken_out_of(Evidence::of_message(Some(word.to_owned()))).body_code.is_none()
    }

    /// What a service said on a session, without them.
    fn taken_out_of(self, evidence: Evidence) -> Evidence {
        let mut sent = Zeroizing::new(String::new());
        let row = self.context.texts.row(self.number).map(ExposeSecret::expose_secret);
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
