//! What is known of a token, and what a request for one came to.
//!
//! In: what was read of an answer. Out: a token, or a refusal, whose text is not kept.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Moment;
use crate::drive::network::cookies::Jar;
use crate::drive::network::trace::{Beside, Trace};
use crate::lifecycle::{TokenFacts, TokenFailure};
use crate::sample::{ErrorWord, Outcome, Request, RequestAnswer, RequestEnd};

use super::grant::{TokenGrant, Unreadable};

/// A token in a client's hand: shared where the group shares it.
pub(in crate::drive) type Token = Arc<SecretString>;

/// What a client brings when it needs a token.
#[derive(Debug, Clone)]
pub(in crate::drive::network) struct Wish {
    /// The client's index in its group.
    pub(in crate::drive::network) index: u32,
    /// The refresh token that it holds.
    pub(in crate::drive::network) refresh: Option<Token>,
    /// A token requested earlier will not do.
    pub(in crate::drive::network) not_before: Moment,
    /// A token that expires earlier will not do.
    pub(in crate::drive::network) valid_until: Moment,
    /// The client's cookies.
    pub(in crate::drive::network) jar: Option<Jar>,
    /// The trace that its request belongs to.
    trace: Option<Arc<Trace>>,
}

impl Wish {
    /// What the group's client `index` needs, which holds this refresh token.
    pub(in crate::drive::network) const fn new(
        index: u32,
        refresh: Option<Token>,
        not_before: Moment,
        valid_until: Moment,
    ) -> Self {
        Self { index, refresh, not_before, valid_until, jar: None, trace: None }
    }

    /// The same of a client that keeps cookies.
    pub(in crate::drive::network) fn with_jar(self, jar: Option<Jar>) -> Self {
        Self { jar, ..self }
    }

    /// The same, whose request belongs to that trace.
    pub(in crate::drive::network) fn with_trace(self, trace: Option<Arc<Trace>>) -> Self {
        Self { trace, ..self }
    }

    /// What its request carries.
    pub(super) fn beside(&self) -> Beside<'_> {
        Beside { jar: self.jar.as_ref(), trace: self.trace.as_deref() }
    }
}

/// A token that came.
#[derive(Debug)]
pub(in crate::drive::network) struct Acquired {
    pub(in crate::drive::network) token: Token,
    pub(in crate::drive::network) facts: TokenFacts,
    /// The refresh token that came with it.
    pub(in crate::drive::network) refresh: Option<Token>,
    /// Whether this call's own request brought it.
    pub(in crate::drive::network) fetched: bool,
}

impl Acquired {
    /// A token that was there already.
    pub(super) const fn from_cache(token: Token, facts: TokenFacts) -> Self {
        Self { token, facts, refresh: None, fetched: false }
    }

    /// What a request brought.
    pub(super) fn granted(grant: TokenGrant, facts: TokenFacts) -> Self {
        let TokenGrant { access_token, refresh_token, .. } = grant;
        Self { token: Arc::new(access_token), facts, refresh: refresh_token.map(Arc::new), fetched: true }
    }
}

/// Why TLS fails, as far as it is told.
const TLS_REASONS: [&str; 19] = [
    "alert_access_denied",
    "alert_bad_certificate",
    "alert_certificate_expired",
    "alert_certificate_required",
    "alert_certificate_revoked",
    "alert_certificate_unknown",
    "alert_decrypt_error",
    "alert_handshake_failure",
    "alert_internal_error",
    "alert_no_certificate",
    "alert_protocol_version",
    "alert_unknown_ca",
    "alert_unrecognised_name",
    "alert_unsupported_certificate",
    "certificate_expired",
    "certificate_not_valid_for_name",
    "certificate_not_valid_yet",
    "certificate_revoked",
    "certificate_unknown_issuer",
];

/// Why no token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of failure.
    pub failure: TokenFailure,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
    /// How the connection failed, or that the answer did not come in time; `None` where there was an answer, or nothing of the kind.
    pub connection: Option<Outcome>,
    /// The HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// The error code, where it is one of RFC 6749 §5.2 or one that token endpoints are known to use; [`ErrorWord::OTHER`] for any other. Where an answer has no token
    /// or a field that cannot be read: what stands there instead, as `nothing` or `a_list`.
    pub code: Option<&'static str>,
    /// What the request came to.
    pub answer: RequestAnswer,
}

impl From<TokenFailure> for Refusal {
    fn from(failure: TokenFailure) -> Self {
        let answer = if failure == TokenFailure::LocalLimit {
            RequestAnswer::LocalLimit
        } else {
            RequestAnswer::ConnectionBroken
        };
        Self::of(failure, answer)
    }
}

impl Refusal {
    /// A failure of which nothing more is known.
    pub(super) const fn of(failure: TokenFailure, answer: RequestAnswer) -> Self {
        Self { failure, retry_after: None, connection: None, status: None, code: None, answer }
    }

    /// What an endpoint said that grants nothing.
    pub(super) fn said(
        Unreadable { failure, answer, instead }: Unreadable,
        status: u16,
        code: Option<&'static str>,
        retry_after: Option<Duration>,
    ) -> Self {
        Self { failure, retry_after, connection: None, status: Some(status), code: code.or(instead), answer }
    }

    /// A request to which there was no answer, because the connection failed so.
    pub(super) const fn of_connection(connection: Outcome, answer: RequestAnswer) -> Self {
        let failure = TokenFailure::Error;
        Self { failure, retry_after: None, connection: Some(connection), status: None, code: None, answer }
    }

    /// The same, where TLS gave its reason a name.
    pub(super) fn for_reason(self, reason: Option<&str>) -> Self {
        Self { code: reason.and_then(tls_code).or(self.code), ..self }
    }
}

/// The code of a request that TLS failed for this reason, where that is told.
pub(in crate::drive) fn tls_code(reason: &str) -> Option<&'static str> {
    TLS_REASONS.iter().find(|known| reason.replace(' ', "_") == **known).copied()
}

/// The end of a request for a token that took so long.
pub(super) fn end_of(
    request: Request,
    answered: &Result<TokenGrant, Refusal>,
    latency: Duration,
) -> RequestEnd {
    match answered {
        Ok(grant) => {
            let status = Some(grant.status).filter(|status| *status > 0 && request != Request::Command);
            RequestEnd { request, answer: RequestAnswer::Ok, status, error: None, latency }
        }
        Err(refusal) => {
            let error = refusal.code.map(ErrorWord::or_other);
            RequestEnd { request, answer: refusal.answer, status: refusal.status, error, latency }
        }
    }
}
