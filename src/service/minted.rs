//! Tokens that clients signed by themselves: the target takes them as if it had issued them.
//!
//! In: `(now, JWT)`. Out: where it stands; from its first handshake on it has an end as any other token has. No I/O, no clock.

use std::time::Duration;

use crate::clock::Moment;
use crate::scenario::keys::{TargetRules, Trusted};

use super::assertion::{self, LEEWAY_S, Wrong};
use super::limits::ClientLimits;
use super::registry::{Standing, TokenId};
use super::rules::TargetState;

/// A token that a client signed by itself, as a target reads it: for a driver that is in the same process.
#[derive(Debug, Clone)]
pub struct MintedToken {
    pub(super) id: TokenId,
    /// What it says, or why it is not trusted.
    pub(super) says: Result<Says, Wrong>,
}

/// What a trusted token says, as far as a target looks at it.
#[derive(Debug, Clone)]
pub(super) struct Says {
    /// It is unknown before that.
    begins: Moment,
    expires: Moment,
    is_sufficient: bool,
    client: Box<str>,
}

/// Reads tokens that clients signed as a target with the same rules does.
#[derive(Debug, Clone)]
pub struct MintedReader {
    trusted: Option<Trusted>,
    required_scopes: Vec<String>,
    origin_s: u64,
}

impl MintedReader {
    /// One for a target by `rules`, whose moment zero is that, in microseconds since 1970.
    #[must_use]
    pub fn of(rules: &TargetRules, unix_us: u64) -> Self {
        let required_scopes = rules.required_scopes.clone();
        Self { trusted: rules.trusted.clone(), required_scopes, origin_s: unix_us / 1_000_000 }
    }

    /// What a token says.
    #[must_use]
    pub fn read(&self, text: &str) -> MintedToken {
        let trusted = self.trusted.as_ref();
        let says = trusted
            .ok_or(Wrong::NoJwt)
            .and_then(|trusted| says(text, trusted, &self.required_scopes, self.origin_s));
        MintedToken { id: TokenId::of_text(text), says }
    }
}

/// What a JWT says that is trusted here, or why it is not.
fn says(text: &str, trusted: &Trusted, required_scopes: &[String], origin_s: u64) -> Result<Says, Wrong> {
    let said = assertion::read(text, trusted)?;
    let at = |unix_s: u64| Moment::ZERO + Duration::from_secs(unix_s.saturating_sub(origin_s));
    Ok(Says {
        begins: at(said.begins_s.saturating_sub(LEEWAY_S)),
        expires: at(said.expires_s),
        is_sufficient: required_scopes.iter().all(|scope| said.scopes.contains(scope)),
        client: said.client.into_boxed_str(),
    })
}

impl TargetState {
    fn says(&self, text: &str) -> Result<Says, Wrong> {
        let trusted = self.rules.trusted.as_ref().ok_or(Wrong::NoJwt)?;
        says(text, trusted, &self.rules.required_scopes, self.writer.origin_s())
    }

    /// What is wrong with a text that is no token of this target.
    pub(super) fn wrong_with(&self, text: &str) -> Wrong {
        self.says(text).err().unwrap_or(Wrong::NoJwt)
    }

    /// Takes the JWT of a handshake as a token of this target. `None`: it is none that is trusted.
    pub(super) fn adopt(&mut self, now: Moment, text: &str) -> Option<TokenId> {
        if self.rules.trusted.is_none() || self.rules.tickets.is_some() {
            return None;
        }
        let says = self.says(text).ok()?;
        let id = TokenId::of_text(text);
        self.take_in(now, id, &says);
        Some(id)
    }

    /// The same of one that was read already. One that is not trusted stays unknown.
    pub(super) fn adopt_minted(&mut self, now: Moment, minted: &MintedToken) {
        if let (Ok(says), true) = (&minted.says, self.rules.tickets.is_none()) {
            self.take_in(now, minted.id, says);
        }
    }

    fn take_in(&mut self, now: Moment, id: TokenId, says: &Says) {
        if says.begins <= now && !self.tokens.has(id) && !self.tokens.is_full(now) {
            let client = ClientLimits::are_needed(&self.rules).then(|| self.limits.key(&says.client));
            self.tokens.adopt(id, now, says.expires, says.is_sufficient, client);
        }
    }

    /// Where a JWT stands that is trusted. `None`: it is none.
    pub(super) fn standing_of_minted(&self, now: Moment, text: &str) -> Option<Standing> {
        self.rules.trusted.as_ref()?;
        let says = self.says(text).ok()?;
        let id = TokenId::of_text(text);
        Some(match self.tokens.standing_of(now, id) {
            Standing::Unknown if now < says.begins => Standing::Unknown,
            Standing::Unknown if now >= says.expires => Standing::Expired,
            Standing::Unknown if !says.is_sufficient => Standing::Insufficient,
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
    use crate::sample::{Cause, Initiator};
    use crate::scenario::keys::{TargetRules, Trusted};
    use crate::service::handle::Credential;
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
        let early = sign(&claims(&format!("{scope},\"jti\":\"4\",\"nbf\":1050")));
        assert_eq!(refused(&mut target, at(1), &early), Some(Cause::UnknownToken), "its time has not come");
        assert_eq!(refused(&mut target, at(45), &early), None, "with a leeway of 5 s");
        let bare = sign(&claims(",\"jti\":\"3\""));
        assert_eq!(refused(&mut target, at(1), &bare), Some(Cause::MissingScope));
        let elsewhere = sign(&claims(scope).replace("me", "you"));
        assert_eq!(refused(&mut target, at(1), &elsewhere), Some(Cause::UnknownToken), "it is for others");
        assert_eq!(refused(&mut target, at(1), &good[..good.len() / 2]), Some(Cause::UnknownToken));
        // What a driver in the same process reads once comes to the same.
        let reader = MintedReader::of(target.rules(), 1_000_000_000);
        let mut other_target = TargetState::new(TargetRules::clone(target.rules()), 1);
        other_target.set_origin(1_000_000_000);
        for (s, text) in [(1, &good), (61, &other), (1, &early), (45, &early), (1, &bare), (1, &elsewhere)] {
            let minted = reader.read(text);
            let by_handle = other_target.handle_handshake(at(s), Some(Credential::Minted(&minted)), None);
            let cause = match by_handle {
                Handshake::Refused(refusal) => Some(refusal.cause),
                Handshake::Admitted { .. } => None,
            };
            let mut fresh = TargetState::new(TargetRules::clone(target.rules()), 1);
            fresh.set_origin(1_000_000_000);
            assert_eq!(cause, refused(&mut fresh, at(s), text), "{s} {text}");
        }
    }
}
