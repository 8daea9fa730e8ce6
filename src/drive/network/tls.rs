//! TLS: one configuration for the whole run, and its handshakes.
//!
//! In: a PEM file of certificate authorities to trust beside the system's; connections. Out: a `rustls::ClientConfig`, shared by the
//! WebSocket connections and the token client; the same connections, secured. Sessions are resumed only where a group asks for it, and by each
//! client its own: the clients of a fleet share no tickets.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::clock::Moment;
use crate::lifecycle::ConnectFailure;
use crate::sample::{Counter, Sample};
use crate::scenario::keys::{ClientCertificate, TlsResumption};

use super::endpoint::Endpoint;
use super::group_sink::GroupSink;
use super::local::classify_io;
use super::tickets::TicketBook;
use super::wire::Wire;

/// Whether this machine has no certificates of authorities, as in an image from scratch. Nobody is told before a handshake fails.
static NO_SYSTEM_AUTHORITIES: AtomicBool = AtomicBool::new(false);

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities cannot be used.
    #[error("target.ca_file: {} holds no usable PEM certificates: {reason}. Name the PEM file of the authority that vouches for the target", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files of a client's certificate cannot be used.
    #[error("target.client_cert and client_key: {} cannot be used: {reason}. Name the PEM files of a certificate and of its key", path.display())]
    ClientFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// rustls refuses the configuration.
    #[error("TLS cannot be configured: {0}")]
    Config(#[from] rustls::Error),
}

/// Files of the clients' side of TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientFiles<'a> {
    /// Authorities to trust beside the system's.
    pub authorities: Option<&'a Path>,
    /// A certificate and its private key, with which clients show who they are.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// The TLS configuration of a run. `authority` is trusted besides: that of a target that made its own certificate.
///
/// # Errors
/// [`TlsError`] when a file cannot be read or holds nothing of the kind, or rustls refuses it.
pub fn client_config(
    files: ClientFiles<'_>,
    authority: Option<CertificateDer<'static>>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    // A certificate of the system's store that does not parse is skipped, as every TLS library does.
    let system = rustls_native_certs::load_native_certs();
    NO_SYSTEM_AUTHORITIES.store(system.certs.is_empty(), Ordering::Relaxed);
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = files.authorities {
        let fault = |reason: String| TlsError::CaFile { path: path.to_owned(), reason };
        for certificate in read_certificates(path).map_err(fault)? {
            roots.add(certificate)?;
        }
    }
    if let Some(authority) = authority {
        roots.add(authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match files.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let fault = |path: &Path, reason: String| TlsError::ClientFile { path: path.to_owned(), reason };
            let chain = read_certificates(chain).map_err(|reason| fault(chain, reason))?;
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, error.to_string()))?;
            builder.with_client_auth_cert(chain, read)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The clients' side of a group's TLS, or that of nobody's requests.
pub(super) struct TlsClient {
    connector: TlsConnector,
    /// `None`: nothing is counted.
    sink: Option<GroupSink>,
    /// Where clients resume their sessions.
    resuming: Option<Box<Resuming>>,
}

/// What it takes to resume.
struct Resuming {
    config: Arc<ClientConfig>,
    book: TicketBook,
}

/// A secured connection.
pub(super) struct Secured {
    pub(super) wire: Wire,
    /// Whether an earlier session was resumed.
    is_resumed: bool,
}

impl TlsClient {
    pub(super) fn new(config: Arc<ClientConfig>, sink: GroupSink) -> Self {
        Self { connector: TlsConnector::from(config), sink: Some(sink), resuming: None }
    }

    /// One whose handshakes are no group's.
    pub(super) fn uncounted(config: Arc<ClientConfig>) -> Self {
        Self { connector: TlsConnector::from(config), sink: None, resuming: None }
    }

    /// The same, but that each client resumes its sessions where that is wanted.
    pub(super) fn resuming(mut self, resumption: TlsResumption) -> Self {
        let config = Arc::clone(self.connector.config());
        let resuming = || Box::new(Resuming { config, book: TicketBook::default() });
        self.resuming = (resumption == TlsResumption::PerClient).then(resuming);
        self
    }

    /// Makes the TLS handshake with `endpoint`, of a connection that is no client's own.
    pub(super) async fn secure(&self, endpoint: &Endpoint, tcp: TcpStream) -> Result<Wire, ConnectFailure> {
        let secured = self.handshake(&self.connector, endpoint, tcp).await?;
        Ok(secured.wire)
    }

    /// Makes the TLS handshake of client `number` with `endpoint`.
    pub(super) async fn secure_own(
        &self,
        number: u32,
        endpoint: &Endpoint,
        tcp: TcpStream,
    ) -> Result<Secured, ConnectFailure> {
        let Some(resuming) = &self.resuming else {
            return self.handshake(&self.connector, endpoint, tcp).await;
        };
        let mut config = ClientConfig::clone(&resuming.config);
        config.resumption = Resumption::store(resuming.book.of(number));
        self.handshake(&TlsConnector::from(Arc::new(config)), endpoint, tcp).await
    }

    /// Tells how long such a handshake took, where some are resumed.
    pub(super) async fn tell(&self, at: Moment, took: Duration, secured: &Secured) {
        if let (Some(sink), Some(_)) = (&self.sink, &self.resuming) {
            sink.send(at, Sample::Tls { is_resumed: secured.is_resumed, took }).await;
        }
    }

    /// A certificate that is not trusted is counted, and told once.
    async fn handshake(
        &self,
        connector: &TlsConnector,
        endpoint: &Endpoint,
        tcp: TcpStream,
    ) -> Result<Secured, ConnectFailure> {
        let name = server_name(&endpoint.host).ok_or(ConnectFailure::Tls(None))?;
        match connector.connect(name, tcp).await {
            Ok(stream) => {
                let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                Ok(Secured { wire: Wire::tls(Box::new(stream)), is_resumed })
            }
            Err(error) => {
                if let Some(why) = certificate_fault(&error) {
                    tell_once(&endpoint.authority, &why);
                    if let Some(sink) = &self.sink {
                        sink.count(Counter::CertificatesNotTrusted).await;
                    }
                }
                Err(classify_tls(&error))
            }
        }
    }
}

/// The name that a certificate has to be for; `None` where no certificate can be for this host.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// The failure of a handshake whose end the peer tells only afterwards: that it refuses the client's certificate (RFC 8446 §4.4.2.4); `None`: it is
/// another.
pub(super) fn alert_in(error: &io::Error) -> Option<ConnectFailure> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(_) => Some(ConnectFailure::Tls(fault_name(error))),
        _ => None,
    }
}

/// The same TLS for clients that show this certificate.
pub(super) fn showing(config: &Arc<ClientConfig>, certificate: &ClientCertificate) -> Arc<ClientConfig> {
    let Some(certified) = certificate.certified() else { return Arc::clone(config) };
    let mut config = ClientConfig::clone(config);
    config.client_auth_cert_resolver = Arc::new(Shown(certified));
    Arc::new(config)
}

/// Shows one certificate to whoever asks for one.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The name of what is wrong: of the certificate's fault, of the peer's alert (RFC 8446 §6.2), or of the library's error.
fn fault_name(error: &io::Error) -> Option<Box<str>> {
    let fault = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match fault {
        rustls::Error::InvalidCertificate(fault) => named("certificate", fault),
        rustls::Error::AlertReceived(alert) => alert_name(*alert),
        other => named("", other),
    })
}

/// The name of a peer's alert.
pub(in crate::drive) fn alert_name(alert: AlertDescription) -> Box<str> {
    named("alert", &alert)
}

fn named(of: &str, what: &dyn std::fmt::Debug) -> Box<str> {
    let shown = format!("{what:?}");
    // The name of a variant, without what it holds.
    let name: String = shown.chars().take_while(char::is_ascii_alphanumeric).collect();
    let name = snake(name.trim_end_matches("Context"));
    [of, &name].join(" ").trim().into()
}

/// `UnknownIssuer` as `unknown_issuer`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut was_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_small {
            out.push('_');
        }
        was_small = !c.is_ascii_uppercase();
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// What is wrong with a server's certificate, where that is why the handshake failed.
fn certificate_fault(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        fault @ rustls::Error::InvalidCertificate(_) => Some(fault.to_string()),
        _ => None,
    }
}

fn tell_once(authority: &str, why: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        log::warn!("{}", refused_certificate(authority, why, NO_SYSTEM_AUTHORITIES.load(Ordering::Relaxed)));
    }
}

fn refused_certificate(authority: &str, why: &str, has_no_authorities: bool) -> String {
    let machine = match has_no_authorities {
        true => {
            "; this machine has no certificates of authorities: install ca-certificates, or set SSL_CERT_FILE"
        }
        false => "",
    };
    format!(
        "TLS with {authority}: {why}{machine}; name the authority that vouches for it in target.ca_file, or correct the host in the URL"
    )
}

/// A TLS failure that was a connection's end is one.
fn classify_tls(error: &io::Error) -> ConnectFailure {
    match classify_io(error) {
        ConnectFailure::LocalLimit => ConnectFailure::LocalLimit,
        ConnectFailure::Reset => ConnectFailure::Reset,
        _ => ConnectFailure::Tls(fault_name(error)),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?.collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it has no BEGIN CERTIFICATE".to_owned()) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_a_name() {
        use rustls::{AlertDescription, CertificateError, Error};
        let rows = [
            (Error::InvalidCertificate(CertificateError::Expired), "certificate expired"),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "certificate unknown_issuer"),
            (Error::InvalidCertificate(CertificateError::NotValidForName), "certificate not_valid_for_name"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "alert certificate_expired"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "alert unknown_ca"),
            (Error::NoApplicationProtocol, "no_application_protocol"),
            (Error::General("some text".into()), "general"),
        ];
        for (error, name) in rows {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(classify_tls(&error), ConnectFailure::Tls(Some(name.into())));
        }
        assert_eq!(classify_tls(&io::Error::other("?")), ConnectFailure::Tls(None));
    }

    #[test]
    fn a_machine_without_authorities_is_told_so() {
        let told = |none| refused_certificate("api.example.com:443", "UnknownIssuer", none);
        assert!(told(true).contains("install ca-certificates"), "{}", told(true));
        assert!(!told(false).contains("this machine"), "{}", told(false));
        assert!(told(false).contains("target.ca_file") && told(true).contains("target.ca_file"));
    }

    #[test]
    fn a_bad_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let trusting = ClientFiles { authorities: Some(&path), identity: None };
        assert!(client_config(trusting, None).unwrap_err().to_string().contains("ca.pem"));
        std::fs::write(&path, "hello").unwrap();
        assert!(client_config(trusting, None).unwrap_err().to_string().contains("BEGIN CERTIFICATE"));
        let shown = ClientFiles { authorities: None, identity: Some((&path, &path)) };
        assert!(client_config(shown, None).unwrap_err().to_string().contains("client_cert"));
        assert!(client_config(ClientFiles::default(), None).is_ok());
    }
}
