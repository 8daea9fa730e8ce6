//! A URL as requests need it: its request line, its `Host`, where to connect.
//!
//! In: a URL. Out: an [`Endpoint`], or that there is no host in it.

use std::fmt;

use base64::Engine as _;
use secrecy::SecretString;
use url::Url;

use crate::clock::Moment;

/// How this program names itself to a target.
pub(super) const PRODUCT: &str = concat!("resurge/", env!("CARGO_PKG_VERSION"));

/// Where a request goes.
#[derive(Clone)]
pub(in crate::drive) struct Endpoint {
    pub(in crate::drive) url: Url,
    /// Path and query, as the request line has them.
    pub(super) target: String,
    /// The `Host` of a request to it.
    pub(in crate::drive) authority: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Where the handshake is signed.
    pub(in crate::drive) signature: Option<Signature>,
    /// The lines of a header that were filled in for this handshake.
    pub(super) filled: Box<str>,
}

/// A signature of a handshake.
#[derive(Clone)]
pub(in crate::drive) struct Signature {
    /// When it was made.
    pub(in crate::drive) at: Moment,
    /// The lines of the header that it is; empty where it stands in the query.
    pub(super) lines: Box<str>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Path and query may hold a ticket.
        f.debug_struct("Endpoint").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Where `url` leads; `None` where it has no host or no port.
    pub(in crate::drive) fn of(url: Url) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default()?;
        let target = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        Some(Self {
            target,
            authority: authority(&url),
            host,
            port,
            url,
            signature: None,
            filled: Box::default(),
        })
    }

    /// The same, which requests call by another name.
    pub(super) fn called(self, authority: &str) -> Self {
        Self { authority: authority.to_owned(), ..self }
    }

    /// The same, with these lines of a header.
    pub(super) fn filled(self, lines: Box<str>) -> Self {
        Self { filled: lines, ..self }
    }

    /// The same, with this signature.
    pub(super) fn signed(self, signature: Signature) -> Self {
        Self { signature: Some(signature), ..self }
    }

    /// The lines of a header that are its signature.
    pub(super) fn signature_lines(&self) -> &str {
        self.signature.as_ref().map_or("", |signature| &signature.lines)
    }

    /// Whether connections to it are made over TLS.
    pub(in crate::drive) fn is_secure(&self) -> bool {
        matches!(self.url.scheme(), "wss" | "https")
    }
}

/// Host and port as a request names them; the port is left out where it is the scheme's own.
fn authority(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

/// User and password of a URL as HTTP Basic has them (RFC 7617); `None` where it has neither.
pub(super) fn basic_credentials(url: &Url) -> Option<SecretString> {
    let has_any = !url.username().is_empty() || url.password().is_some();
    let decode = |part: &str| {
        // Of a form, only percent-decoding is wanted.
        let value = part.replace('+', "%2B").replace('&', "%26");
        url::form_urlencoded::parse(format!("x={value}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    has_any.then(|| {
        let joined = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(joined);
        SecretString::from(format!("Basic {encoded}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_url_are_decoded_before_they_are_joined() {
        let of = |text: &str| {
            let credentials = basic_credentials(&text.parse().unwrap());
            credentials.map(|text| secrecy::ExposeSecret::expose_secret(&text).to_owned())
        };
        assert_eq!(of("http://a+b:p%40s&s@host/").as_deref(), Some("Basic YStiOnBAcyZz"));
        assert_eq!(of("http://me@host/").as_deref(), Some("Basic bWU6"));
        assert_eq!(of("http://host/"), None);
    }

    #[test]
    fn a_url_is_taken_apart_and_its_path_is_not_shown() {
        let of = |text: &str| Endpoint::of(text.parse().unwrap());
        let endpoint = of("wss://[::1]:8443/events?ticket=s3cret#part").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 8443));
        assert_eq!(
            (endpoint.authority.as_str(), endpoint.target.as_str()),
            ("[::1]:8443", "/events?ticket=s3cret")
        );
        assert!(endpoint.is_secure() && !format!("{endpoint:?}").contains("s3cret"));
        let plain = of("http://api.example").unwrap();
        assert_eq!((plain.authority.as_str(), plain.port, plain.target.as_str()), ("api.example", 80, "/"));
        assert!(!plain.is_secure() && of("mailto:a@b").is_none());
    }
}
