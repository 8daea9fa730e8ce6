//! Which pages may connect: the `Origin` of a handshake (RFC 6455 §10.2).
//!
//! In: the rules, an `Origin` or none. Out: a refusal, or nothing. No I/O.

use crate::clock::Moment;
use crate::sample::Cause;
use crate::scenario::keys::TargetRules;

use super::refusal::{HandshakeRefusal, WRONG_ORIGIN, status_of};
use super::rules::{Handshake, TargetState};

/// Whether a page of this origin may connect; programs that are no browsers send none.
#[must_use]
pub fn lets_in(rules: &TargetRules, origin: Option<&str>) -> bool {
    match origin {
        _ if rules.allowed_origins.is_empty() => true,
        None => !rules.origin_required,
        Some(origin) => is_listed(rules, origin),
    }
}

/// Whether the rules list an origin. Schemes and hosts do not differ by case.
pub(super) fn is_listed(rules: &TargetRules, origin: &str) -> bool {
    rules.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

impl TargetState {
    /// Refuses an upgrade request for its `Origin`; `None`: it is looked at further.
    pub fn refuse_origin(&mut self, now: Moment, origin: Option<&str>) -> Option<Handshake> {
        if lets_in(&self.rules, origin) {
            return None;
        }
        let cause = Cause::Origin;
        let status = status_of(self.rules.refusal_status, cause);
        Some(self.refuse(now, HandshakeRefusal { status, cause, words: WRONG_ORIGIN, retry_after: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_connect() {
        const APP: &str = "https://app.example.com";
        // (allowed, an origin is required, what is sent, is it let in)
        let rows: [(&[&str], bool, Option<&str>, bool); 10] = [
            (&[], false, Some("https://evil.example"), true),
            (&[], true, None, true),
            (&[APP], false, Some(APP), true),
            (&[APP], false, Some("https://APP.example.com"), true),
            (&[APP], false, Some("http://app.example.com"), false),
            (&[APP], false, Some("https://app.example.com:8443"), false),
            (&[APP], false, Some("null"), false),
            (&[APP], false, None, true),
            (&[APP], true, None, false),
            (&["*"], true, Some("null"), true),
        ];
        for (allowed, origin_required, origin, is_in) in rows {
            let allowed_origins = allowed.iter().map(|text| (*text).to_owned()).collect();
            let rules = TargetRules { allowed_origins, origin_required, ..TargetRules::default() };
            assert_eq!(lets_in(&rules, origin), is_in, "{allowed:?} {origin_required} {origin:?}");
            let refused = TargetState::new(rules, 1).refuse_origin(Moment::ZERO, origin);
            match refused {
                None => assert!(is_in),
                Some(Handshake::Refused(refusal)) => {
                    assert_eq!((is_in, refusal.status, refusal.cause), (false, 403, Cause::Origin));
                }
                Some(Handshake::Admitted { .. }) => panic!("{origin:?}"),
            }
        }
    }
}
