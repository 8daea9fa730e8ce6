//! Proofs that a client holds the key of its token (DPoP, RFC 9449): whose key, which nonce, what is proved.
//!
//! In: a client's number, a request. Out: the proof. A key is made when its client first needs one, and never leaves this process. A proof is signed on
//! the loop that the clients run on: ES256 takes some 50 µs, and to hand it to another thread some 30.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::header::HeaderName;
use url::{Position, Url};

use crate::jose::{Algorithm, ProofKey, ProofOf, SigningKey, stand_in};
use crate::scenario::keys::{Sharing, Skew, TokenRules};

/// The header of a proof (RFC 9449 §4.1).
pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header of the nonce that the next proofs are to have (RFC 9449 §8).
pub(in crate::drive::network) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The error of a server that wants another nonce.
pub(in crate::drive) const USE_NONCE: &str = "use_dpop_nonce";
/// The longest nonce that is kept.
const LONGEST_NONCE: usize = 1024;

/// The keys of a group's clients.
pub(in crate::drive) struct DpopBook {
    clock_skew: Option<Skew>,
    /// The one of all clients; no key where it could not be made.
    common: Option<Option<Arc<Prover>>>,
    own: Mutex<HashMap<u32, Arc<Prover>>>,
    /// Whether proofs are signed.
    signs: bool,
}

/// What signs proofs.
enum Key {
    Own(ProofKey),
    /// Nothing: that thumbprint stands for it, before a target in the same process.
    StandIn([u8; 32]),
}

/// A key, and what servers want to see in its proofs.
pub(in crate::drive) struct Prover {
    key: Key,
    clock_skew: Option<Skew>,
    /// Of the token endpoint, and of the service.
    nonces: Mutex<[Option<Box<str>>; 2]>,
}

/// Who is shown a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::drive) enum ShownTo {
    /// The token endpoint.
    TokenEndpoint,
    /// The service that the token is for.
    Service,
}

impl fmt::Debug for DpopBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopBook").finish_non_exhaustive()
    }
}

impl DpopBook {
    /// The book of a group whose clients prove; `None` for others.
    pub(super) fn of(rules: &TokenRules) -> Option<Arc<Self>> {
        let dpop = rules.dpop.as_ref()?;
        let made = || Prover::new(generate()?, dpop.clock_skew);
        let common = match &dpop.key {
            Some(key) => Some(Prover::new(Arc::clone(key), dpop.clock_skew)),
            None => (rules.sharing != Sharing::Own).then(made),
        };
        Some(Arc::new(Self { clock_skew: dpop.clock_skew, common, own: Mutex::default(), signs: true }))
    }

    /// The same of a group whose proofs nobody signs: its target is in the same process.
    pub(in crate::drive) fn stand_in(rules: &TokenRules) -> Option<Arc<Self>> {
        let dpop = rules.dpop.as_ref()?;
        let is_common = dpop.key.is_some() || rules.sharing != Sharing::Own;
        let common = is_common.then(|| Some(Prover::stand_in(u32::MAX, dpop.clock_skew)));
        Some(Arc::new(Self { clock_skew: dpop.clock_skew, common, own: Mutex::default(), signs: false }))
    }

    /// The key of client `number`; `None` where the system has no randomness.
    pub(in crate::drive) fn prover(&self, number: u32) -> Option<Arc<Prover>> {
        if let Some(common) = &self.common {
            return common.clone();
        }
        if let Some(prover) = self.own().get(&number) {
            return Some(Arc::clone(prover));
        }
        // Not under the lock: a key takes as long as several proofs.
        let made = if self.signs {
            Prover::new(generate()?, self.clock_skew)?
        } else {
            Prover::stand_in(number, self.clock_skew)
        };
        Some(Arc::clone(self.own().entry(number).or_insert(made)))
    }

    fn own(&self) -> MutexGuard<'_, HashMap<u32, Arc<Prover>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn generate() -> Option<Arc<SigningKey>> {
    SigningKey::generate(Algorithm::Es256).map(Arc::new)
}

impl Prover {
    fn new(key: Arc<SigningKey>, clock_skew: Option<Skew>) -> Option<Arc<Self>> {
        Some(Arc::new(Self { key: Key::Own(ProofKey::new(key)?), clock_skew, nonces: Mutex::default() }))
    }

    /// One that signs nothing; its thumbprint is of that number.
    fn stand_in(number: u32, clock_skew: Option<Skew>) -> Arc<Self> {
        let mut thumbprint = [0; 32];
        thumbprint[..4].copy_from_slice(&number.to_be_bytes());
        Arc::new(Self { key: Key::StandIn(thumbprint), clock_skew, nonces: Mutex::default() })
    }

    /// The proof of client `number` for a request to `url`, and for the token that goes with it.
    pub(in crate::drive) fn prove(
        &self,
        to: ShownTo,
        (method, url): (&str, &Url),
        (number, unix_us): (u32, u64),
        token: Option<&str>,
    ) -> Option<String> {
        let nonce = self.nonces()[to as usize].clone();
        let now = Duration::from_micros(unix_us);
        let issued = match self.clock_skew {
            None => now,
            Some(Skew::Longer(by)) => now.saturating_add(by),
            Some(Skew::Shorter(by)) => now.saturating_sub(by),
        };
        let of = ProofOf {
            method,
            uri: &proved_uri(url),
            issued_s: issued.as_secs(),
            id: &format!("{number}-{unix_us}-{}", to as usize),
            nonce: nonce.as_deref(),
            token,
        };
        match &self.key {
            Key::Own(key) => key.prove(of),
            Key::StandIn(thumbprint) => Some(stand_in(*thumbprint, of)),
        }
    }

    /// Keeps the nonce of an answer, where it has one.
    pub(in crate::drive) fn keep_nonce(&self, of: ShownTo, nonce: Option<&str>) {
        if let Some(nonce) = nonce.filter(|nonce| nonce.len() <= LONGEST_NONCE && !nonce.is_empty()) {
            let kept = &mut self.nonces()[of as usize];
            if kept.as_deref() != Some(nonce) {
                *kept = Some(nonce.into());
            }
        }
    }

    fn nonces(&self) -> MutexGuard<'_, [Option<Box<str>>; 2]> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a header that shows a proof.
pub(super) fn header_of(proof: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(proof).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What `htu` says of a request: its URI as HTTP has it, without query and fragment.
pub(in crate::drive) fn proved_uri(url: &Url) -> String {
    let text = &url[..Position::AfterPath];
    match url.scheme() {
        "ws" | "wss" => format!("http{}", &text[2..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::read_proof;
    use crate::scenario::keys::Dpop;

    #[test]
    fn the_uri_is_that_of_http() {
        for (url, uri) in [
            ("wss://h/a?token=x#y", "https://h/a"),
            ("ws://127.0.0.1:9/", "http://127.0.0.1:9/"),
            ("https://h:443/oauth/token?x", "https://h/oauth/token"),
        ] {
            assert_eq!(proved_uri(&url.parse().unwrap()), uri);
        }
    }

    #[test]
    fn each_client_has_its_key_and_each_server_its_nonce() {
        let skew = Some(Skew::Shorter(Duration::from_secs(60)));
        let book = DpopBook { clock_skew: skew, common: None, own: Mutex::default(), signs: true };
        let url = "wss://h/e".parse().unwrap();
        let read = |number, to| {
            let proof =
                book.prover(number).unwrap().prove(to, ("GET", &url), (number, 90_000_000), Some("t"));
            read_proof(&proof.unwrap()).unwrap()
        };
        let first = read(1, ShownTo::Service);
        assert_eq!((first.issued_s, first.nonce.as_deref()), (30.0, None));
        assert_eq!(read(1, ShownTo::Service).thumbprint, first.thumbprint);
        assert_ne!(read(2, ShownTo::Service).thumbprint, first.thumbprint);
        book.prover(1).unwrap().keep_nonce(ShownTo::Service, Some("n"));
        assert_eq!(read(1, ShownTo::Service).nonce.as_deref(), Some("n"));
        assert_eq!(read(1, ShownTo::TokenEndpoint).nonce, None);
        assert_eq!(read(2, ShownTo::Service).nonce, None);
        let shared = Dpop { key: generate(), clock_skew: None };
        let common = Some(Prover::new(shared.key.unwrap(), None));
        let book = DpopBook { clock_skew: None, common, own: Mutex::default(), signs: true };
        assert!(Arc::ptr_eq(&book.prover(1).unwrap(), &book.prover(2).unwrap()));
    }
}
