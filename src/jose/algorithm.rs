//! The algorithms that sign tokens (RFC 7518 §3.1, RFC 8037 §3.1).
//!
//! In: nothing. Out: [`Algorithm`]. Those that ring signs by; not ES512, ES256K, `EdDSA` by Ed448.

use crate::declare::words;

words! {
    /// What signs a token: those that ring can. ES512, ES256K and Ed448 are none of them.
    pub enum Algorithm {
        /// HMAC by SHA-256, with a shared secret.
        Hs256 = "HS256",
        /// HMAC by SHA-384, with a shared secret.
        Hs384 = "HS384",
        /// HMAC by SHA-512, with a shared secret.
        Hs512 = "HS512",
        /// RSASSA-PKCS1-v1_5 by SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 by SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 by SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS by SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS by SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS by SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 by SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 by SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

impl Algorithm {
    /// Whether the key is a secret that both sides know.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// What a key of it is.
    #[must_use]
    pub const fn key_in_words(self) -> &'static str {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => "a shared secret that is not empty, and no PEM",
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                "an RSA key of 2048 to 4096 bits (PEM: PKCS#8 or PKCS#1)"
            }
            Self::Es256 => "an EC key on P-256 (PEM: PKCS#8 or SEC1)",
            Self::Es384 => "an EC key on P-384 (PEM: PKCS#8 or SEC1)",
            Self::EdDsa => "an Ed25519 key (PEM: PKCS#8)",
        }
    }
}
