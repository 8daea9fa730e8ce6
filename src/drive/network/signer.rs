//! Handshakes that a client signs.
//!
//! In: where a handshake goes, what the client has, the time. Out: the same place with a signature in its query, or in lines of its header. Keys are
//! read when they are needed, and kept nowhere.

use http::HeaderValue;
use secrecy::SecretString;
use std::sync::Arc;

use crate::clock::Moment;
use crate::declare::Template;
use crate::scenario::keys::{OnSignedReconnect, SignRules, SignaturePlace};
use crate::signing::{Credentials, sign_headers, sign_query};

use super::endpoint::{Endpoint, Signature};
use super::variables::Renderer;

/// By how much a signature that is to be too old is older than it may be.
const LATE_S: u64 = 60;

/// Signs a group's handshakes.
pub(super) struct Signer {
    rules: Arc<SignRules>,
    /// Number of the group's first client.
    first: u32,
    /// Signatures are of so many seconds ago.
    ago_s: u64,
}

impl Signer {
    pub(super) const fn new(rules: Arc<SignRules>, first: u32) -> Self {
        Self { rules, first, ago_s: 0 }
    }

    /// From now on signatures are so old that their time is over.
    pub(super) fn outlive(&mut self) {
        self.ago_s = self.rules.life().as_secs() + LATE_S;
    }

    /// Whether a client shows its first signature again when it comes back.
    pub(super) fn keeps(&self) -> bool {
        self.rules.on_reconnect == OnSignedReconnect::Reuse
    }

    /// The same place, signed at that moment, which is `unix_us` microseconds after 1970.
    pub(super) fn sign(
        &self,
        endpoint: &Endpoint,
        client: &Renderer<'_>,
        (at, unix_us): (Moment, u64),
    ) -> Option<Endpoint> {
        let credentials = self.credentials(client);
        let purpose = &self.rules.purpose;
        let unix_s = (unix_us / 1_000_000).saturating_sub(self.ago_s);
        let place = (endpoint.url.path(), endpoint.url.query().unwrap_or_default());
        let authority = endpoint.authority.as_str();
        let mut url = endpoint.url.clone();
        let mut lines = String::new();
        match self.rules.place {
            SignaturePlace::Query => {
                let times = (unix_s, self.rules.expires.as_secs());
                url.set_query(Some(&sign_query(place, authority, &credentials, purpose, times)));
            }
            SignaturePlace::Header => {
                for (name, value) in sign_headers(place, authority, &credentials, purpose, unix_s) {
                    // One that cannot stand there is left out: the target will say so.
                    if HeaderValue::from_str(&value).is_ok() {
                        lines.extend([name, ": ", &value, "\r\n"]);
                    }
                }
            }
        }
        let signature = Signature { at, lines: lines.into() };
        Some(Endpoint { authority: endpoint.authority.clone(), ..Endpoint::of(url)?.signed(signature) })
    }

    fn credentials(&self, client: &Renderer<'_>) -> Credentials {
        let index = client.number().saturating_sub(self.first);
        let fed = |name: &str| {
            let value = self.rules.feeder.as_ref()?.value(index, name)?;
            Some(secrecy::ExposeSecret::expose_secret(value).to_owned())
        };
        let text = |template: &Template| template.render(|name| fed(name).or_else(|| client.value(name)));
        let secret = |template: &Template| SecretString::from(text(template));
        let SignRules { access_key_id, secret_access_key, session_token, .. } = &*self.rules;
        let token = session_token.as_ref().map(secret);
        Credentials {
            access_key: text(access_key_id),
            secret_key: secret(secret_access_key),
            // Credentials that are not temporary have none.
            session_token: token.filter(|token| !secrecy::ExposeSecret::expose_secret(token).is_empty()),
        }
    }
}
