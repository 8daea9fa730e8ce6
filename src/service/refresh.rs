//! Refresh tokens: how they are used up, and what the reuse of one ends (RFC 6749 §6, RFC 9700 §4.14.2).
//!
//! In: `(now, event)`: a request that shows one. Out: whether it is good; the one that is issued in its place. No I/O, no clock.

use crate::clock::Moment;

use super::registry::{Standing, TokenId};
use super::rules::TargetState;
use super::shown::Shown;
use super::token::{TokenError, TokenRefusal, TokenRequest};

impl TargetState {
    /// Takes the refresh token of a request that shows one. Where tokens rotate, it is used up. Answers with its family, 0 where it has none.
    pub(super) fn use_refresh_token(
        &mut self,
        now: Moment,
        request: &TokenRequest<'_>,
        refresh: Option<Shown<'_>>,
    ) -> Result<u32, TokenRefusal> {
        let (Some(shown), Some(rules)) = (refresh, self.rules.refresh_tokens) else { return Ok(0) };
        if request.grant_type != Some("refresh_token") {
            return Ok(0);
        }
        let refuse = |description| TokenRefusal {
            error: TokenError::InvalidGrant,
            description,
            used_basic: request.used_basic,
        };
        match shown.standing(now, &self.refresh_tokens) {
            Standing::Good(id) => {
                if rules.rotate {
                    self.refresh_tokens.invalidate(id);
                }
                Ok(self.refresh_tokens.family_of(id))
            }
            Standing::Stale => {
                self.reused(shown);
                Err(refuse("the refresh token was used before"))
            }
            Standing::Expired => Err(refuse("the refresh token expired")),
            Standing::Unknown | Standing::Insufficient => Err(refuse("the refresh token is unknown")),
        }
    }

    /// A used refresh token was shown again: its family may end.
    fn reused(&mut self, shown: Shown<'_>) {
        self.tally.reuse_refresh_token();
        let Some(id) = shown.id(&self.refresh_tokens) else { return };
        let Some(family) = self.families.take(self.refresh_tokens.family_of(id)) else { return };
        self.tally.end_family();
        self.refresh_tokens.invalidate(family.refresh);
        family.access.into_iter().for_each(|token| self.invalidate(token));
    }

    /// A refresh token to go with an access token: always at first, and at a refresh where they rotate.
    pub(super) fn issue_refresh_token(&mut self, now: Moment, request: &TokenRequest<'_>) -> Option<TokenId> {
        let rules = self.rules.refresh_tokens?;
        let is_refresh = request.grant_type == Some("refresh_token");
        (!is_refresh || rules.rotate).then(|| self.refresh_tokens.issue(now, now + rules.life, true, None))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::keys::{OnReuse, RefreshTokens, TargetRules};
    use crate::service::token::{Issued, TokenAnswer};

    fn target(on_reuse: OnReuse) -> TargetState {
        let life = Duration::from_secs(60);
        let refresh_tokens = Some(RefreshTokens { life, rotate: true, on_reuse });
        TargetState::new(TargetRules { refresh_tokens, ..TargetRules::default() }, 1)
    }

    /// A grant by credentials, or by this refresh token; `None`: refused with `invalid_grant`.
    fn grant(target: &mut TargetState, refresh: Option<&str>) -> Option<Issued> {
        let grant_type = Some(if refresh.is_some() { "refresh_token" } else { "client_credentials" });
        let (client_id, client_secret) = (Some("c"), Some("s"));
        let request = TokenRequest {
            grant_type,
            client_id,
            client_secret,
            refresh_token: refresh,
            ..TokenRequest::default()
        };
        match target.token_request(Moment::ZERO, request) {
            TokenAnswer::Issued(issued) => Some(issued),
            TokenAnswer::Refused(refusal) => {
                assert_eq!(refusal.error, TokenError::InvalidGrant);
                None
            }
            TokenAnswer::Limited(limited) => panic!("{limited:?}"),
        }
    }

    #[test]
    fn a_reuse_ends_what_the_rules_say_and_no_other_grant() {
        // (rule, whether the newest refresh token is good after the reuse of an older one, whether the access tokens are, families ended)
        for (on_reuse, refreshes, opens, ended) in [
            (OnReuse::Refuse, true, true, 0),
            (OnReuse::EndFamily, false, true, 1),
            (OnReuse::EndFamilyAndTokens, false, false, 1),
        ] {
            let mut target = target(on_reuse);
            let refresh_of = |issued: &Issued| issued.refresh_token.clone().unwrap();
            let other = grant(&mut target, None).unwrap();
            let first = grant(&mut target, None).unwrap();
            let second = grant(&mut target, Some(&refresh_of(&first))).unwrap();
            let third = grant(&mut target, Some(&refresh_of(&second))).unwrap();
            assert!(grant(&mut target, Some(&refresh_of(&first))).is_none(), "{on_reuse:?}: used before");
            for issued in [&first, &second, &third] {
                let is_good =
                    matches!(target.standing(Moment::ZERO, &issued.access_token.text()), Standing::Good(_));
                assert_eq!(is_good, opens, "{on_reuse:?}");
            }
            assert_eq!(grant(&mut target, Some(&refresh_of(&third))).is_some(), refreshes, "{on_reuse:?}");
            assert!(grant(&mut target, Some(&refresh_of(&other))).is_some(), "{on_reuse:?}: another grant");
            let counters = target.counters();
            let reused = if refreshes { 1 } else { 2 };
            assert_eq!((counters.refresh_tokens_reused, counters.refresh_families_ended), (reused, ended));
        }
    }

    #[test]
    fn families_whose_refresh_token_is_dead_are_not_kept() {
        let mut target = target(OnReuse::EndFamilyAndTokens);
        for _ in 0..1_000 {
            let issued = grant(&mut target, None).unwrap();
            target.revoke(&issued.refresh_token.unwrap());
        }
        assert_eq!(target.families.count(), 0, "revoked");
        for _ in 0..1_000 {
            let refresh = grant(&mut target, None).unwrap().refresh_token.unwrap();
            assert!(grant(&mut target, Some(&refresh)).is_some());
            assert!(grant(&mut target, Some(&refresh)).is_none());
        }
        assert_eq!(target.families.count(), 0, "ended");
    }
}
