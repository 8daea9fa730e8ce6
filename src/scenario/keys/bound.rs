//! Tokens that only their holder can show: by the proof of a key (DPoP, RFC 9449), by a certificate (RFC 8705). Keys of clients and target.
//!
//! In: the tables. Out: [`Dpop`], [`ClientCertificate`], [`TargetDpop`], [`TargetCertificates`].

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::{
    At, Kind, SecretsElsewhere, Shape, Table, Value, above_zero, flag, meaning, of, secret, table, words,
};
use crate::jose::{Algorithm, SigningKey, sha256};

use super::fault::Skew;

/// `true`, `false`, or a table: a thing that is off where it is not named.
pub(crate) struct Switch<T>(PhantomData<T>, &'static str);

/// A thing that may be switched on, or told how; `help` says what is needed.
pub(crate) const fn switch<T: Value + Default>(help: &'static str) -> Switch<T> {
    Switch(PhantomData, help)
}

impl<T: Value + Default> Kind for Switch<T> {
    type Out = Option<T>;

    fn shape(&self) -> Shape {
        Shape::Either(vec![Shape::Boolean, T::shape()])
    }

    fn read(&self, at: &At<'_>) -> Option<Option<T>> {
        if at.table().is_some() {
            return T::read(at).map(Some);
        }
        if at.value().as_bool().is_none() {
            at.wrong(self.1);
            return None;
        }
        flag().read(at).map(|is_on| is_on.then(T::default))
    }

    fn write(&self, out: &Option<T>) -> Option<String> {
        out.is_none().then(|| "false".to_owned())
    }
}

table! {
    /// Proofs that the client holds the key of its token (DPoP, RFC 9449).
    pub struct DpopKeys {
        /// The private key in PEM (EC on P-256), as `{ file = "key.pem" }`: all clients of the group have it. Without it: each client makes its own, and clients that share a
        /// token share one.
        key: Option<SecretString> = None => secret();
        /// How far off the clock is by which proofs are dated: `"-5m"` is behind. Without it: it is right.
        clock_skew: Option<Skew> = None => of::<Skew>();
    }
}

/// How a client proves that it holds the key of its token.
#[derive(Debug, Clone, Default)]
pub struct Dpop {
    /// The key of all clients; `None`: each has its own.
    pub key: Option<Arc<SigningKey>>,
    /// How far off the clock is by which proofs are dated.
    pub clock_skew: Option<Skew>,
}

meaning! { Dpop: DpopKeys => |keys: DpopKeys, table: &Table<'_>| dpop(keys, table) }

fn dpop(keys: DpopKeys, table: &Table<'_>) -> Option<Dpop> {
    let DpopKeys { key, clock_skew } = keys;
    let key = match key.filter(|_| table.reading.told::<SecretsElsewhere>().is_none()) {
        Some(key) => {
            let read = SigningKey::read(Algorithm::Es256, key.expose_secret());
            let told = read.map_err(|why| tell(table, "key", &why, Algorithm::Es256.key_in_words()));
            Some(Arc::new(told.ok()?))
        }
        None => None,
    };
    Some(Dpop { key, clock_skew })
}

/// Tells why what stands at a key cannot be used. It is a secret, and is not shown.
fn tell(table: &Table<'_>, key: &str, why: &dyn std::fmt::Display, needed: &str) {
    if let Some(at) = table.peek(key) {
        at.elsewhere(
            format!("`{}` cannot be used: {why}", table.path_of(key)),
            format!("{needed} is needed"),
        );
    }
}

table! {
    /// A certificate with which clients show who they are.
    pub struct ClientCertificateKeys {
        /// The certificate in PEM, its chain after it, as `{ file = "client.pem" }`.
        chain: SecretString, needed "a client certificate needs chain = { file = \"client.pem\" } and key = { file = \"client.key\" }" => secret();
        /// Its private key in PEM, as `{ file = "client.key" }`.
        key: SecretString, needed "a client certificate needs chain = { file = \"client.pem\" } and key = { file = \"client.key\" }" => secret();
    }
}

/// A certificate with which clients show who they are, and its key. It is never printed.
#[derive(Clone)]
pub struct ClientCertificate(Option<Arc<CertifiedKey>>);

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl ClientCertificate {
    /// Chain and key, as rustls shows them; `None` in a process that is not the one that uses the secrets.
    #[must_use]
    pub fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

meaning! { ClientCertificate: ClientCertificateKeys => |keys: ClientCertificateKeys, table: &Table<'_>| certificate(&keys, table) }

fn certificate(keys: &ClientCertificateKeys, table: &Table<'_>) -> Option<ClientCertificate> {
    if table.reading.told::<SecretsElsewhere>().is_some() {
        return Some(ClientCertificate(None));
    }
    let pem = "a certificate in PEM (BEGIN CERTIFICATE)";
    let chain = read_chain(keys.chain.expose_secret()).map_err(|why| tell(table, "chain", &why, pem)).ok()?;
    let private = "a private key in PEM (PKCS#8, PKCS#1 or SEC1)";
    let key = PrivateKeyDer::from_pem_slice(keys.key.expose_secret().as_bytes());
    // What the library says of a key may hold some of it.
    let key = key.map_err(|_| tell(table, "key", &"it is no key in PEM", private)).ok()?;
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(certified) => Some(ClientCertificate(Some(Arc::new(certified)))),
        Err(why) => {
            tell(
                table,
                "key",
                &format!("with that certificate: {why}"),
                "the private key of the certificate",
            );
            None
        }
    }
}

/// The certificates in a PEM text.
fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("it has no BEGIN CERTIFICATE".to_owned()) } else { Ok(chain) }
}

/// The SHA-256 of a certificate, which names it (RFC 8705 §3.1).
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    sha256(certificate)
}

/// A certificate that a client of the target is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Value for Fingerprint {
    fn shape() -> Shape {
        secret().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let text = secret().read(at)?;
        if at.reading.told::<SecretsElsewhere>().is_some() {
            return Some(Self([0; 32]));
        }
        match read_chain(text.expose_secret()) {
            Ok(chain) => chain.first().map(|first| Self(fingerprint(first))),
            Err(why) => {
                let help = "a certificate in PEM is needed, as { file = \"client.pem\" }";
                at.elsewhere(format!("`{}` is no certificate: {why}", at.path), help);
                None
            }
        }
    }
}

words! {
    /// Where the target wants a nonce of its own in proofs (RFC 9449 §8, §9).
    pub enum NonceAt {
        /// Nowhere.
        Never = "never",
        /// At the token endpoint.
        Token = "token",
        /// At the handshake.
        Handshake = "handshake",
        /// At both.
        Both = "both",
    }
}

impl NonceAt {
    /// Whether proofs of token requests need one.
    #[must_use]
    pub const fn is_at_token(self) -> bool {
        matches!(self, Self::Token | Self::Both)
    }

    /// Whether proofs of handshakes need one.
    #[must_use]
    pub const fn is_at_handshake(self) -> bool {
        matches!(self, Self::Handshake | Self::Both)
    }
}

table! {
    /// Tokens of the target that are bound to a client's key (DPoP, RFC 9449).
    #[derive(Copy, PartialEq, Eq)]
    default pub struct TargetDpop {
        /// Whether a token request without a proof is refused. `false`: it brings a token that anybody can show.
        required: bool = true;
        /// Where it wants a nonce of its own in proofs.
        nonce: NonceAt = NonceAt::Never;
        /// How long such a nonce is good for, at least; for twice as long at most.
        nonce_life: Duration = Duration::from_secs(300) => above_zero();
        /// How old a proof may be, and how far from the future.
        window: Duration = Duration::from_secs(60) => above_zero();
    }
}

table! {
    /// Certificates that the target asks clients for, with TLS (RFC 8705).
    pub struct TargetCertificatesKeys {
        /// The authorities in PEM whose certificates it takes, as `{ file = "ca.pem" }`. Without it: any certificate, as of clients that signed their own; whose it is, `clients` say.
        authority: Option<SecretString> = None => secret();
        /// Whether a connection without one is refused.
        required: bool = false;
        /// Whether a token is good only over TLS with the certificate that its request had.
        bind_tokens: bool = false;
    }
}

/// Certificates that the target asks clients for.
#[derive(Debug, Clone)]
pub struct TargetCertificates {
    /// Whose certificates it takes; `None`: any.
    pub authority: Option<Arc<RootCertStore>>,
    /// Whether a connection without one is refused.
    pub required: bool,
    /// Whether a token is good only with the certificate that its request had.
    pub bind_tokens: bool,
}

impl PartialEq for TargetCertificates {
    fn eq(&self, other: &Self) -> bool {
        let roots = |it: &Self| it.authority.as_ref().map(Arc::as_ptr);
        roots(self) == roots(other)
            && (self.required, self.bind_tokens) == (other.required, other.bind_tokens)
    }
}

meaning! { TargetCertificates: TargetCertificatesKeys => |keys: TargetCertificatesKeys, table: &Table<'_>| asked(keys, table) }

fn asked(keys: TargetCertificatesKeys, table: &Table<'_>) -> Option<TargetCertificates> {
    let TargetCertificatesKeys { authority, required, bind_tokens } = keys;
    let authority = match authority.filter(|_| table.reading.told::<SecretsElsewhere>().is_none()) {
        Some(text) => {
            let needed = "the certificate of an authority in PEM (BEGIN CERTIFICATE)";
            let chain =
                read_chain(text.expose_secret()).map_err(|why| tell(table, "authority", &why, needed));
            let mut roots = RootCertStore::empty();
            for certificate in chain.ok()? {
                roots.add(certificate).map_err(|why| tell(table, "authority", &why, needed)).ok()?;
            }
            Some(Arc::new(roots))
        }
        None => None,
    };
    Some(TargetCertificates { authority, required, bind_tokens })
}
