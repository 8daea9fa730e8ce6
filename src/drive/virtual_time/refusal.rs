//! What a client reads in a refusal.
//!
//! In: the rules' refusal. Out: the evidence that a client on the network would have read from the answer's header and body.

use std::time::Duration;

use crate::lifecycle::{Evidence, oauth_code};
use crate::sample::Cause;
use crate::scenario::keys::TargetRules;
use crate::service::refusal_text::{RefusalSays, refusal_says};
use crate::service::rules::HandshakeRefusal;

/// Status, cause, code, and whether it is of something in front of the service.
type RefusalKind = (u16, Cause, &'static str, bool);

/// Refusals that were read before: there are few kinds of them, and many of each.
#[derive(Debug, Default)]
pub(super) struct EvidenceBook {
    known: Vec<(RefusalKind, Evidence)>,
    /// The OAuth errors in such refusals of the token endpoint.
    codes: Vec<(RefusalKind, Option<&'static str>)>,
}

impl EvidenceBook {
    /// The evidence of a refusal; `is_edge`: of something in front of the service.
    pub(super) fn read(&mut self, rules: &TargetRules, refusal: HandshakeRefusal, is_edge: bool) -> Evidence {
        let HandshakeRefusal { status, cause, words, retry_after } = refusal;
        let kind = (status, cause, words.0, is_edge);
        let retry_after = retry_after.map(in_whole_seconds);
        if let Some((_, evidence)) = self.known.iter().find(|(known, _)| *known == kind) {
            return Evidence { retry_after, ..evidence.clone() };
        }
        let RefusalSays { challenge, content_type, body } = refusal_says(rules, refusal, is_edge);
        let evidence = Evidence::read(status, challenge.as_deref(), content_type, body.as_bytes(), None);
        self.known.push((kind, evidence.clone()));
        Evidence { retry_after, ..evidence }
    }

    /// The OAuth error of a refusal at the token endpoint.
    pub(super) fn token_code(
        &mut self,
        rules: &TargetRules,
        refusal: HandshakeRefusal,
    ) -> Option<&'static str> {
        let HandshakeRefusal { status, cause, words, .. } = refusal;
        let kind = (status, cause, words.0, false);
        if let Some((_, code)) = self.codes.iter().find(|(known, _)| *known == kind) {
            return *code;
        }
        let code = oauth_code(refusal_says(rules, refusal, false).body.as_bytes());
        self.codes.push((kind, code));
        code
    }
}

/// `Retry-After` is told in whole seconds, rounded up.
pub(super) fn in_whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
