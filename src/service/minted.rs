//! Tokens that clients signed by themselves: the target takes them as if it had issued them.
//!
//! In: `(now, JWT)`. Out: where it stands; from its first handshake on it has an end as any other token has. No I/O, no clock.

use std::time::Duration;

use crate::clock::Moment;
use crate::sample::Cause;

use super::assertion::{self, Said, Wrong};
use super::limits::ClientLimits;
use super::registry::{Standing, TokenId};
use super::rules::TargetState;

impl TargetState {
    /// What a JWT says that is trusted here; `None`: it is none, or none is.
    fn said(&self, text: &str) -> Option<Said> {
        assertion::read(text, self.rules.trusted.as_ref()?).ok()
    }

    /// What a refusal says of a text that is no token of this target: of a JWT, what is wrong with it.
    pub(super) fn wrong_with(&self, text: &str) -> (Cause, (&'static str, &'static str)) {
        let wrong = self.rules.trusted.as_ref().and_then(|trusted| assertion::read(text, trusted).err());
        match wrong {
            None | Some(Wrong::NoJwt) => (Cause::UnknownToken, Wrong::NoJwt.words()),
            Some(named) => (Cause::ForbiddenOther, named.words()),
        }
    }

    fn expiry(&self, said: &Said) -> Moment {
        Moment::ZERO + Duration::from_secs(said.expires_s.saturating_sub(self.writer.origin_s()))
    }

    fn suffices(&self, said: &Said) -> bool {
        self.rules.required_scopes.iter().all(|scope| said.scopes.contains(scope))
    }

    /// Takes the JWT of a handshake as a token of this target. `None`: it is none that is trusted.
    pub(super) fn adopt(&mut self, now: Moment, text: &str) -> Option<TokenId> {
        if self.rules.tickets.is_some() {
            return None;
        }
        let said = self.said(text)?;
        let id = TokenId::of_text(text);
        if !self.tokens.has(id) && !self.tokens.is_full(now) {
            let client = ClientLimits::are_needed(&self.rules).then(|| self.limits.key(&said.client));
            self.tokens.adopt(id, now, self.expiry(&said), self.suffices(&said), client);
        }
        Some(id)
    }

    /// Where a JWT stands that is trusted. `None`: it is none.
    pub(super) fn standing_of_minted(&self, now: Moment, text: &str) -> Option<Standing> {
        let said = self.said(text)?;
        let id = TokenId::of_text(text);
        Some(match self.tokens.standing_of(now, id) {
            Standing::Unknown if now >= self.expiry(&said) => Standing::Expired,
            Standing::Unknown if !self.suffices(&said) => Standing::Insufficient,
            Standing::Unknown => Standing::Good(id),
            known => known,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jose::{Algorithm, SigningKey, VerifyingKey, signing_input, with_signature};
    use crate::sample::Initiator;
    use crate::scenario::keys::{TargetRules, Trusted};
    use crate::service::rules::Handshake;
    use crate::service::session::Ended;

    fn sign(claims: &str) -> String {
        let key = SigningKey::read(Algorithm::Hs256, "k").unwrap();
        let header = serde_json::from_str("{\"alg\":\"HS256\"}").unwrap();
        let input = signing_input(&header, &serde_json::from_str(claims).unwrap());
        with_signature(&input, &key.sign(input.as_bytes()).unwrap())
    }

    #[test]
    fn a_minted_token_lives_and_ends_as_those_do_that_were_issued() {
        let keys = Arc::new(VerifyingKey::read(Algorithm::Hs256, "k").unwrap().into());
        let trusted = Some(Trusted { keys, audience: Some("me".into()), issuer: None });
        let mut target = TargetState::new(TargetRules { trusted, ..TargetRules::default() }, 1);
        target.set_origin(1_000_000_000);
        let at = |s| Moment::ZERO + Duration::from_secs(s);
        let claims = |rest: &str| format!("{{\"sub\":\"c\",\"aud\":\"me\",\"exp\":1060{rest}}}");
        let scope = ",\"scope\":\"analytics:events:read\"";
        let good = sign(&claims(scope));
        let refused =
            |target: &mut TargetState, now, text: &str| match target.handshake(now, Some(text), None) {
                Handshake::Refused(refusal) => Some(refusal.cause),
                Handshake::Admitted { session, .. } => {
                    target.end_session(
                        now,
                        session.id(),
                        Ended { initiator: Initiator::Client, code: 1000, abnormal: None },
                    );
                    None
                }
            };
        assert_eq!(refused(&mut target, at(1), &good), None);
        assert_eq!(refused(&mut target, at(2), &good), Some(Cause::StaleToken), "its session has ended");
        let other = sign(&claims(&format!("{scope},\"jti\":\"2\"")));
        assert_eq!(refused(&mut target, at(61), &other), Some(Cause::ExpiredToken));
        let bare = sign(&claims(",\"jti\":\"3\""));
        assert_eq!(refused(&mut target, at(1), &bare), Some(Cause::MissingScope));
        let elsewhere = sign(&claims(scope).replace("me", "you"));
        assert_eq!(refused(&mut target, at(1), &elsewhere), Some(Cause::ForbiddenOther), "it is for others");
        assert_eq!(refused(&mut target, at(1), &good[..good.len() / 2]), Some(Cause::UnknownToken));
    }
}
