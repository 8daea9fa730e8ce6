//! An upgrade request as the rules look at it: what it shows, of which page it is, which message stream it names.
//!
//! In: the rules, a request's headers and URI, the time. Out: the decision on it. No I/O, no clock.

use hyper::header::{HeaderName, ORIGIN};
use hyper::{HeaderMap, Uri};

use crate::clock::Moment;
use crate::scenario::keys::{Signatures, TargetRules};
use crate::signing::SignatureFault;

use super::credential;
use super::holder::Holder;
use super::rules::{Handshake, TargetState};
use super::signature::judge;

/// Names the message stream of a client.
const STREAM_HEADER: HeaderName = HeaderName::from_static("x-resurge-client");

/// What a handshake shows.
enum Shows {
    /// A token or a ticket, or nothing.
    Credential(Option<String>),
    /// A signature, by the access key whose it is.
    Signature(Result<String, SignatureFault>),
}

/// The connection that a request came over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Over {
    /// The SHA-256 of the certificate that the client showed.
    pub certificate: Option<[u8; 32]>,
    /// Whether it is TLS.
    pub is_secure: bool,
}

/// An upgrade request that was looked at.
pub struct UpgradeLook<'h> {
    headers: &'h HeaderMap,
    shows: Shows,
    /// What a proof is to name.
    uri: String,
    is_dpop: bool,
    certificate: Option<[u8; 32]>,
}

impl<'h> UpgradeLook<'h> {
    /// Looks at a request. The time is in microseconds since 1970.
    #[must_use]
    pub fn of(
        rules: &TargetRules,
        (headers, uri): (&'h HeaderMap, &Uri),
        over: Over,
        unix_us: impl FnOnce() -> u64,
    ) -> Self {
        let proved = if rules.dpop.is_some() { credential::proved_token(headers) } else { None };
        let is_dpop = proved.is_some();
        let judged = rules.signatures.as_ref().map(|rules| judge_signature(rules, headers, uri, unix_us()));
        let is_unsigned =
            |rules: &Signatures| rules.takes_any && judged == Some(Err(SignatureFault::Missing));
        let judged = judged.clone().filter(|_| !rules.signatures.as_ref().is_some_and(is_unsigned));
        let shows = judged.map_or_else(
            || {
                let places = &rules.accepts_token_in;
                Shows::Credential(proved.or_else(|| {
                    credential::token(headers, uri, places, &rules.query_parameter, &rules.cookie)
                }))
            },
            Shows::Signature,
        );
        let uri = if is_dpop { credential::target_uri(headers, uri, over.is_secure) } else { String::new() };
        Self { headers, shows, uri, is_dpop, certificate: over.certificate }
    }

    /// Decides on it.
    pub fn decide(&self, state: &mut TargetState, now: Moment) -> Handshake {
        if let Some(refused) = state.refuse_origin(now, origin(self.headers)) {
            return refused;
        }
        let stream = stream_number(self.headers);
        match &self.shows {
            Shows::Signature(judged) => {
                state.handshake_signed(now, judged.as_deref().map_err(|fault| *fault), stream)
            }
            Shows::Credential(token) => {
                let holder = Holder {
                    proof: credential::proof(self.headers),
                    method: "GET",
                    uri: &self.uri,
                    certificate: self.certificate,
                    is_dpop: self.is_dpop,
                };
                let refused = state.refuse_holder(now, token.as_deref(), holder);
                refused.unwrap_or_else(|| state.handshake(now, token.as_deref(), stream))
            }
        }
    }
}

/// Whose signature a request bears. A header that comes more than once counts as its values joined, as it is signed.
pub(super) fn judge_signature(
    signatures: &Signatures,
    headers: &HeaderMap,
    uri: &Uri,
    unix_us: u64,
) -> Result<String, SignatureFault> {
    let header = |name: &str| {
        let values: Option<Vec<&str>> =
            headers.get_all(name).into_iter().map(|value| value.to_str().ok()).collect();
        values.filter(|values| !values.is_empty()).map(|values| values.join(","))
    };
    judge(signatures, (uri.path(), uri.query().unwrap_or_default()), header, unix_us)
}

/// The page that the client belongs to, as its browser says; a header that is no text is no page's.
fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN).map(|value| value.to_str().unwrap_or_default())
}

/// The number of the message stream that the client names.
pub(super) fn stream_number(headers: &HeaderMap) -> Option<u64> {
    headers.get(STREAM_HEADER)?.to_str().ok()?.parse().ok()
}
