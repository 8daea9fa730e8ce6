//! Keys that sign.
//!
//! In: an algorithm, a key as text: a shared secret, or PEM. Out: signatures (RFC 7518 §3).

use std::fmt;

use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding,
};
use ring::{hmac, signature};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::algorithm::Algorithm;
use super::der::sec1_in_pkcs8;

/// Why a text is no key, without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has no PEM of a key.
    #[error("it is no key in PEM")]
    NoPem,
    /// It is a key of another kind, or of a size that is not allowed.
    #[error("it is no such key, or its size is not allowed")]
    Another,
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is a key in PEM where a shared secret is needed.
    #[error("it is a key in PEM, and no shared secret")]
    Pem,
}

/// A key that signs. It is never printed.
pub struct SigningKey {
    algorithm: Algorithm,
    kind: Kind,
    random: SystemRandom,
}

enum Kind {
    Shared(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The key of an algorithm by HMAC; `None` for others.
pub(super) fn shared_key(algorithm: Algorithm, text: &str) -> Option<Result<hmac::Key, KeyFault>> {
    let by = match algorithm {
        Algorithm::Hs256 => hmac::HMAC_SHA256,
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        _ => return None,
    };
    Some(match text {
        "" => Err(KeyFault::Empty),
        _ if text.contains("-----BEGIN ") => Err(KeyFault::Pem),
        _ => Ok(hmac::Key::new(by, text.as_bytes())),
    })
}

impl SigningKey {
    /// The key in a text.
    ///
    /// # Errors
    /// Why it is none of that algorithm.
    pub fn read(algorithm: Algorithm, text: &str) -> Result<Self, KeyFault> {
        let random = SystemRandom::new();
        if let Some(key) = shared_key(algorithm, text) {
            return Ok(Self { algorithm, kind: Kind::Shared(key?), random });
        }
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyFault::NoPem)?;
        let kind = match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => Kind::Ec(Box::new(ec(algorithm, &der, &random)?)),
            Algorithm::EdDsa => Kind::Ed(Box::new(ed(&der)?)),
            _ => Kind::Rsa(Box::new(rsa(&der)?), padding(algorithm)),
        };
        Ok(Self { algorithm, kind, random })
    }

    /// A key that nobody had before; `None` where ring makes none of that kind, or the system has no randomness.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Option<Self> {
        let random = SystemRandom::new();
        let kind = match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => {
                let by = curve(algorithm);
                let made = EcdsaKeyPair::generate_pkcs8(by, &random).ok()?;
                Kind::Ec(Box::new(EcdsaKeyPair::from_pkcs8(by, made.as_ref(), &random).ok()?))
            }
            Algorithm::EdDsa => {
                let made = Ed25519KeyPair::generate_pkcs8(&random).ok()?;
                Kind::Ed(Box::new(Ed25519KeyPair::from_pkcs8(made.as_ref()).ok()?))
            }
            _ => return None,
        };
        Some(Self { algorithm, kind, random })
    }

    /// What it signs by.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature of a message; `None` where the system has no randomness.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Shared(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Kind::Rsa(key, padding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*padding, &self.random, message, &mut signature).ok()?;
                Some(signature)
            }
            Kind::Ec(key) => Some(key.sign(&self.random, message).ok()?.as_ref().to_vec()),
            Kind::Ed(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }

    /// The secret that both sides know, where it is one.
    pub(super) const fn shared(&self) -> Option<&hmac::Key> {
        match &self.kind {
            Kind::Shared(key) => Some(key),
            _ => None,
        }
    }

    /// The public half, as ring takes it; `None` where both sides know the secret.
    pub(super) fn public(&self) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Shared(_) => None,
            Kind::Rsa(key, _) => Some(key.public_key().as_ref().to_vec()),
            Kind::Ec(key) => Some(key.public_key().as_ref().to_vec()),
            Kind::Ed(key) => Some(key.public_key().as_ref().to_vec()),
        }
    }
}

fn rsa(der: &PrivateKeyDer<'_>) -> Result<RsaKeyPair, KeyFault> {
    let key = match der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(KeyFault::Another),
    };
    key.map_err(|_| KeyFault::Another)
}

fn padding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::Rs384 => &RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        Algorithm::Ps384 => &RSA_PSS_SHA384,
        Algorithm::Ps512 => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

fn curve(algorithm: Algorithm) -> &'static signature::EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}

fn ec(
    algorithm: Algorithm,
    der: &PrivateKeyDer<'_>,
    random: &SystemRandom,
) -> Result<EcdsaKeyPair, KeyFault> {
    let (is_p256, by) = (algorithm == Algorithm::Es256, curve(algorithm));
    let key = match der {
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_pkcs8(by, &sec1_in_pkcs8(der.secret_sec1_der(), is_p256), random)
        }
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(by, der.secret_pkcs8_der(), random),
        _ => return Err(KeyFault::Another),
    };
    key.map_err(|_| KeyFault::Another)
}

fn ed(der: &PrivateKeyDer<'_>) -> Result<Ed25519KeyPair, KeyFault> {
    match der {
        // OpenSSL writes version 1, without the public half.
        PrivateKeyDer::Pkcs8(der) => {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| KeyFault::Another)
        }
        _ => Err(KeyFault::Another),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::EcdsaSigningAlgorithm;

    use super::super::verifying::VerifyingKey;
    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn ec_pem(by: &'static EcdsaSigningAlgorithm) -> String {
        let key = EcdsaKeyPair::generate_pkcs8(by, &SystemRandom::new()).unwrap();
        pem("PRIVATE KEY", key.as_ref())
    }

    #[test]
    fn keys_in_pem_sign_and_their_own_public_half_verifies() {
        let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let rows = [
            (Algorithm::Es256, ec_pem(&ECDSA_P256_SHA256_FIXED_SIGNING), 64),
            (Algorithm::Es384, ec_pem(&ECDSA_P384_SHA384_FIXED_SIGNING), 96),
            (Algorithm::EdDsa, pem("PRIVATE KEY", ed.as_ref()), 64),
        ];
        for (algorithm, text, length) in &rows {
            let key = SigningKey::read(*algorithm, text).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), *length, "{algorithm:?}");
            let verifying = VerifyingKey::read(*algorithm, text).unwrap();
            assert!(
                verifying.verifies(b"message", &signature) && !verifying.verifies(b"massage", &signature)
            );
            assert!(!format!("{key:?}{verifying:?}").contains(text.lines().nth(1).unwrap()));
            for (other, text, _) in rows.iter().filter(|(other, ..)| other != algorithm) {
                assert_eq!(
                    SigningKey::read(*algorithm, text).err(),
                    Some(KeyFault::Another),
                    "{algorithm:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_key_is_told() {
        let ec = ec_pem(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let read = |algorithm, text: &str| SigningKey::read(algorithm, text).err();
        assert_eq!(read(Algorithm::Hs256, ""), Some(KeyFault::Empty));
        assert_eq!(read(Algorithm::Hs512, &ec), Some(KeyFault::Pem));
        assert_eq!(read(Algorithm::Rs256, &ec), Some(KeyFault::Another));
        assert_eq!(read(Algorithm::Rs256, "hush"), Some(KeyFault::NoPem));
        assert_eq!(read(Algorithm::Es256, &ec[..90]), Some(KeyFault::NoPem));
        assert_eq!(read(Algorithm::EdDsa, &pem("PRIVATE KEY", b"garbage")), Some(KeyFault::Another));
        assert_eq!(read(Algorithm::Es256, &pem("EC PRIVATE KEY", b"garbage")), Some(KeyFault::Another));
        let public = |text: &str| VerifyingKey::read(Algorithm::Es256, text).err();
        assert_eq!(public(&pem("PUBLIC KEY", b"garbage")), Some(KeyFault::Another));
        assert_eq!(public("hush"), Some(KeyFault::NoPem));
    }
}
