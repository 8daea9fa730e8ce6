//! The token endpoint: what it answers, and what a client reads in that.
//!
//! In: token requests, as they are written. Out: tokens, refusals, or nothing.

use crate::drive::virtual_time::slab::Key;
use crate::drive::virtual_time::token_answer::TokenSays;
use crate::drive::virtual_time::token_reading::{self, Telling};
use crate::drive::virtual_time::transit::Transit;
use crate::lifecycle::oauth_code;
use crate::scenario::keys::{ClientCredentials, FaultKind, TokenBody, TokenRequestBody};
use crate::service::faults::skewed;
use crate::service::handle::{Credential, HandleAnswer};
use crate::service::rules::HandshakeRefusal;
use crate::service::token::{TokenRefusal, TokenRequest};

use super::{ServiceSide, TokenReply};

impl ServiceSide {
    /// Answers a token request; it may show a refresh token.
    pub(in crate::drive::virtual_time) fn answer_token(
        &mut self,
        transit: &mut Transit,
        key: Key,
        shown: Option<(TokenRequest<'_>, Option<Credential<'_>>)>,
        reads: Option<&ClientCredentials>,
    ) -> TokenReply {
        let fault = self.visits.get(key).and_then(|visit| visit.fault);
        match fault {
            Some(FaultKind::TokenHang) => return TokenReply::Hangs,
            Some(FaultKind::TokenStatus(status)) => {
                return TokenReply::Says(TokenSays::refused(status.status, None, status.retry_after));
            }
            Some(FaultKind::TokenHtml | FaultKind::TokenTruncated) => {
                return TokenReply::Says(TokenSays::not_json());
            }
            _ => {}
        }
        let Some((request, refresh)) = shown else { return TokenReply::Says(TokenSays::NOTHING) };
        let proves = request.holder.proof.is_some();
        let now = transit.now();
        let (answer, scope) = self.target.handle_and_tell(now, request, refresh);
        self.tell_hold_ends(transit);
        TokenReply::Says(match answer {
            HandleAnswer::Issued { token, expires_in, refresh, lacks_scope, is_dpop } => {
                let life = Some(match fault {
                    Some(FaultKind::TokenClockSkew(skew)) => skewed(expires_in, skew),
                    _ => expires_in,
                });
                let says = TokenSays::Token { token, life, refresh, lacks_scope };
                let unix_us = self.start_unix_us.saturating_add(now.as_us());
                let telling =
                    Telling { says, scope: scope.as_deref(), is_dpop, is_jwt: self.is_jwt, unix_us };
                match reads {
                    Some(credentials) => token_reading::read(&self.rules, credentials, proves, telling),
                    None if proves && !is_dpop => TokenSays::not_bound(),
                    None => says,
                }
            }
            HandleAnswer::Refused(refusal) => self.write_refusal(refusal),
            HandleAnswer::Limited(refusal) => self.refuses_token(refusal),
        })
    }

    /// Refuses a token request that is written in a way that the target does not take; `None`: it takes it.
    pub(in crate::drive::virtual_time) fn refuse_body(&mut self, body: TokenBody) -> Option<TokenSays> {
        let is_taken = match self.rules.token_request {
            TokenRequestBody::Either => true,
            TokenRequestBody::Form => body == TokenBody::Form,
            TokenRequestBody::Json => body == TokenBody::Json,
        };
        if is_taken {
            return None;
        }
        self.target.count_bad_request();
        Some(TokenSays::refused(415, None, None))
    }

    /// What a client reads of an OAuth error, which may be written in the service's own way.
    fn write_refusal(&self, refusal: TokenRefusal) -> TokenSays {
        let code = match &self.rules.token_error_body {
            None => Some(refusal.error.name()),
            Some(template) => {
                let text = template.render(|name| match name {
                    "error" => Some(refusal.error.name().to_owned()),
                    "message" => Some(refusal.description.to_owned()),
                    _ => Some(String::new()),
                });
                oauth_code(text.as_bytes())
            }
        };
        TokenSays::refused(refusal.status(), code, None)
    }

    /// What a client reads where the token endpoint refuses as a handshake is refused.
    pub(in crate::drive::virtual_time) fn refuses_token(&mut self, refusal: HandshakeRefusal) -> TokenSays {
        let code = self.evidence.token_code(&self.rules, refusal);
        TokenSays::refused(refusal.status, code, refusal.retry_after)
    }
}
