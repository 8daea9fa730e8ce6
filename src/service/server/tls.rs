//! The target's own TLS: a certificate made at its start, or one from files.
//!
//! In: names and addresses, or PEM files. Out: a server's configuration, and the authority that clients are to trust. Private keys are
//! never written and never logged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, SanType};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

use crate::scenario::keys::TargetCertificates;

/// TLS as a server speaks it.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// The same, for the configuration of one that asks for certificates.
    own: Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    authority: Option<Authority>,
}

/// A certificate authority that was made for one target, and whose key is gone.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// The same as a PEM file holds it (RFC 7468).
    pub pem: String,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A PEM file cannot be used.
    #[error("{flag} {}: {reason}", path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate can be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not make a configuration.
    #[error("TLS cannot be configured: {0}")]
    Config(#[from] rustls::Error),
}

impl ServerTls {
    /// Makes an authority and a certificate by it for `localhost`, the loopback addresses and `address`. Its keys are of the curve P-256.
    ///
    /// # Errors
    /// [`ServerTlsError::Make`] when the system has no randomness to give.
    pub fn generate(address: IpAddr) -> Result<Self, ServerTlsError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "resurge embedded target authority");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let authority = Authority { certificate: certificate.der().clone(), pem: certificate.pem() };
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        if !addresses.contains(&address) && !address.is_unspecified() {
            addresses.push(address);
        }
        params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, "resurge embedded target");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self::of(vec![certificate.der().clone()], key, Some(authority))
    }

    /// Takes certificate (its chain after it) and key from PEM files.
    ///
    /// # Errors
    /// [`ServerTlsError::File`] when a file cannot be used, [`ServerTlsError::Config`] when they do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, ServerTlsError> {
        let fault =
            |flag, path: &Path, reason: String| ServerTlsError::File { flag, path: path.to_owned(), reason };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|error| fault("--tls-cert", certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(fault("--tls-cert", certificate, "it has no BEGIN CERTIFICATE".to_owned()));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| fault("--tls-key", key, error.to_string()))?;
        Self::of(chain, private, None)
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authority: Option<Authority>,
    ) -> Result<Self, ServerTlsError> {
        let config = server_config(chain.clone(), key.clone_key(), WebPkiClientVerifier::no_client_auth())?;
        Ok(Self { config, own: Arc::new((chain, key)), authority })
    }

    /// The same, which asks clients for certificates.
    pub(super) fn asking(self, asked: &TargetCertificates) -> Result<Self, ServerTlsError> {
        let verifier = client_verifier(asked)?;
        let (chain, key) = &*self.own;
        Ok(Self { config: server_config(chain.clone(), key.clone_key(), verifier)?, ..self })
    }

    /// The authority that clients must trust, where it was made here.
    #[must_use]
    pub const fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// What looks at the certificates of clients.
///
/// # Errors
/// It cannot be made of those authorities.
pub fn client_verifier(asked: &TargetCertificates) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    Ok(match &asked.authority {
        Some(roots) => {
            let building = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
            let building = if asked.required { building } else { building.allow_unauthenticated() };
            building.build().map_err(|error| rustls::Error::General(error.to_string()))?
        }
        None => Arc::new(AnyCertificate { provider: provider(), required: asked.required }),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes any certificate whose key the client has: whose it is, is for others to say (RFC 8705 §2.2).
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    required: bool,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    // Tickets hold all that it takes: whoever comes back may resume, however many came in between.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    // A browser offers HTTP/2 too, and must be told which it gets (RFC 7301 §3.2).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_and_its_authority_can_be_told() {
        let tls = ServerTls::generate(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))).unwrap();
        let authority = tls.authority().unwrap();
        assert!(authority.pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!authority.pem.contains("PRIVATE"));
        let again = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
        assert_eq!(again, authority.certificate);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), certified.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("other.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::write(path("none.pem"), "hello").unwrap();
        assert!(ServerTls::from_files(&path("cert.pem"), &path("key.pem")).unwrap().authority().is_none());
        for (certificate, key, said) in [
            ("none.pem", "key.pem", "--tls-cert "),
            ("missing.pem", "key.pem", "--tls-cert "),
            ("cert.pem", "none.pem", "--tls-key "),
            ("cert.pem", "other.pem", "TLS cannot be configured"),
        ] {
            let error = ServerTls::from_files(&path(certificate), &path(key)).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
