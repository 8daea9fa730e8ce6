//! Keys that check signatures.
//!
//! In: an algorithm, a key as text: a shared secret, a public key in PEM, or a private one. Out: whether a signature is right.

use std::fmt;

use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::algorithm::Algorithm;
use super::der::key_in_spki;
use super::signing::{KeyFault, SigningKey, shared_key};

/// A key that checks signatures. It is never printed: it may be a shared secret.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Shared(hmac::Key),
    Public(Vec<u8>),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// The key in a text.
    ///
    /// # Errors
    /// Why it is none of that algorithm.
    pub fn read(algorithm: Algorithm, text: &str) -> Result<Self, KeyFault> {
        if let Some(key) = shared_key(algorithm, text) {
            return Ok(Self { algorithm, kind: Kind::Shared(key?) });
        }
        let public = if text.contains("PRIVATE KEY-----") {
            SigningKey::read(algorithm, text)?.public()
        } else {
            let spki =
                SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyFault::NoPem)?;
            key_in_spki(&spki).map(<[u8]>::to_vec).filter(|key| may_be_of(algorithm, key))
        };
        let public = public.ok_or(KeyFault::Another)?;
        Ok(Self { algorithm, kind: Kind::Public(public) })
    }

    /// What checks the signatures of a key.
    #[must_use]
    pub fn of(key: &SigningKey) -> Option<Self> {
        match key.shared() {
            Some(shared) => Some(Self { algorithm: key.algorithm(), kind: Kind::Shared(shared.clone()) }),
            None => Self::of_public(key.algorithm(), key.public()?),
        }
    }

    /// The one whose public half ring takes as these bytes; `None` where that is none of that algorithm.
    pub(super) fn of_public(algorithm: Algorithm, public: Vec<u8>) -> Option<Self> {
        may_be_of(algorithm, &public).then_some(Self { algorithm, kind: Kind::Public(public) })
    }

    /// What it checks.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether that is its signature of a message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::Shared(key) => hmac::verify(key, message, signature).is_ok(),
            Kind::Public(key) => {
                UnparsedPublicKey::new(verification(self.algorithm), key).verify(message, signature).is_ok()
            }
        }
    }
}

/// Whether a public key can be one of that algorithm, by its form: a point that is not compressed, 32 bytes, or a sequence of two numbers.
fn may_be_of(algorithm: Algorithm, key: &[u8]) -> bool {
    match algorithm {
        Algorithm::Es256 => key.len() == 65 && key[0] == 4,
        Algorithm::Es384 => key.len() == 97 && key[0] == 4,
        Algorithm::EdDsa => key.len() == 32,
        _ => key.len() > 256 && key[0] == 0x30,
    }
}

fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &ED25519,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    }
}
