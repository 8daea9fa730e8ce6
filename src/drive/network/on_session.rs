//! What a client says first on a session, and what it takes of the service's own words.
//!
//! In: the group's rules, a client's token and variables, a message or a reason. Out: first messages; refusals as evidence, without what the
//! client itself had sent. Clients of a run and probes share it.

use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use crate::lifecycle::{Evidence, refusal_by_message};
use crate::scenario::keys::TokenIn;

use super::echo::without_echo;
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
        (TokenIn::FirstMessage(template), Some(token)) => {
            Some(template.replace("{token}", token.expose_secret()))
        }
        _ => None,
    };
    let first = context.rules.session.first_message.as_ref().map(|template| client.render(template));
    [with_token, first]
}

/// What `text` says that refuses the client, by the group's rules.
pub(super) fn refusal_in(
    context: &GroupContext,
    text: &str,
    token: Option<&Token>,
    variables: Option<&Variables>,
) -> Option<Box<Evidence>> {
    let refusal = refusal_by_message(&context.rules.session.refused_on, text)?;
    Some(Box::new(without_secrets(refusal, token, variables)))
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
