//! What a client says first on a session, and what it takes of the service's own words.
//!
//! In: the group's rules, a client's token and variables, a message or a reason. Out: first messages; refusals as evidence, without what the
//! client itself had sent. Clients of a run and probes share it.

use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use crate::conversation::Payload;
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
) -> Meaning {
    let (looks, rules) = (&context.rules.looks, &context.rules.session);
    let client = Renderer::new(&context.texts, number, token, None);
    let mut meaning = Meaning::default();
    for look in looks.messages(payload) {
        if let Some(refusal) = refusal_by_message(looks, &rules.refused_on, &look) {
            meaning.refused = Some(Box::new(without_secrets(refusal, token, variables.as_deref())));
            return meaning;
        }
        react(looks.calls_for(&rules.on_message, &look), client, variables, &look, &mut meaning.reaction);
    }
    meaning
}

/// The reason of a close frame.
pub(super) fn reason_without_secrets(
    reason: Option<Box<str>>,
    token: Option<&Token>,
    variables: Option<&Variables>,
) -> Option<Box<str>> {
    let said = Evidence::of_message(Some(reason?.into_string()));
    without_secrets(said, token, variables).body_code.map(String::into_boxed_str)
}

/// What a service said on a session, without what it was sent.
fn without_secrets(evidence: Evidence, token: Option<&Token>, variables: Option<&Variables>) -> Evidence {
    let mut sent = Zeroizing::new(String::new());
    for secret in token
        .map(|token| token.expose_secret())
        .into_iter()
        .chain(variables.into_iter().flat_map(Variables::values))
    {
        sent.push_str(secret);
        sent.push('\n');
    }
    if let Some(jar) = variables.and_then(Variables::jar) {
        jar.add_values(&mut sent);
    }
    without_echo(evidence, sent.as_bytes())
}
