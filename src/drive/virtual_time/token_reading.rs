//! Token answers that are written out and read, as they are on the network: those that RFC 6749 does not have so.
//!
//! In: a token, the target's rules, where a group looks for it. Out: what its client makes of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use crate::drive::network::{Places, Unreadable, read_answer};
use crate::lifecycle::{TokenFailure, oauth_code};
use crate::scenario::keys::{ClientCredentials, EXPIRES_POINTER, TOKEN_POINTER, TargetRules};
use crate::service::handle::TokenHandle;
use crate::service::token_text::{Granted, granted_text};

use super::token_answer::{Said, TokenSays};

/// A life in seconds and a date in seconds since 1970 are told apart by their size, which works from 2001 on; a run in virtual time may begin before, and
/// is read as if it began so much later.
const LATER_US: u64 = 1_000_000_000_000_000;

/// What is granted, and how it is told.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) says: TokenSays,
    pub(super) scope: Option<&'a str>,
    pub(super) is_dpop: bool,
    /// Whether the target's tokens are JWTs, whose `exp` may be read.
    pub(super) is_jwt: bool,
    /// The time, in microseconds since 1970.
    pub(super) unix_us: u64,
}

/// Whether answers between this target and this group have to be written out.
pub(super) fn is_needed(rules: &TargetRules, credentials: &ClientCredentials) -> bool {
    let pointers = (credentials.token_pointer.as_str(), credentials.expires_pointer.as_str());
    rules.token_body.is_some() || pointers != (TOKEN_POINTER, EXPIRES_POINTER)
}

/// What a client with these credentials reads in an answer.
pub(super) fn read(
    rules: &TargetRules,
    credentials: &ClientCredentials,
    proves: bool,
    telling: Telling<'_>,
) -> TokenSays {
    let Telling { says, scope, is_dpop, is_jwt, unix_us } = telling;
    let unix_us = unix_us.saturating_add(LATER_US);
    let TokenSays::Token { token, life: Some(life), refresh, .. } = says else { return says };
    let own = if is_jwt { as_jwt(token, unix_us / 1_000_000 + life.as_secs()) } else { token.text() };
    let refresh_text = refresh.map(TokenHandle::text);
    let granted = Granted {
        access_token: &own,
        token_type: if is_dpop { "DPoP" } else { "Bearer" },
        expires_in: life,
        scope,
        refresh_token: refresh_text.as_deref(),
    };
    let body = granted_text(rules, granted, unix_us / 1_000_000);
    match read_answer(200, body.as_bytes(), Places::of(credentials, unix_us)) {
        Ok(grant) if proves && grant.is_bearer => TokenSays::not_bound(),
        Ok(grant) => {
            let text = grant.access_token.expose_secret();
            let refresh = grant.refresh_token.as_ref().map(|text| TokenHandle::of_text(text.expose_secret()));
            TokenSays::Token {
                token: if *text == own { token } else { TokenHandle::of_text(text) },
                life: grant.life,
                refresh,
                lacks_scope: grant.lacks(&credentials.scopes),
            }
        }
        Err(Unreadable { failure, answer, instead }) => {
            let code = oauth_code(body.as_bytes()).or(instead);
            unread(failure, Said { answer, status: Some(200), code })
        }
    }
}

const fn unread(failure: TokenFailure, said: Said) -> TokenSays {
    TokenSays::Failed { failure, retry_after: None, said }
}

/// A token as a JWT that says when it expires.
fn as_jwt(token: TokenHandle, expires_s: u64) -> String {
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{expires_s}}}"));
    format!("e30.{claims}.{}", token.text())
}
