//! Connections through an HTTP proxy.
//!
//! In: a proxy's URL. Out: a tunnel to a host by CONNECT (RFC 9110 §9.3.6), with Basic credentials where the URL has them (RFC 7617).

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::lifecycle::ConnectFailure;

use super::endpoint::{PRODUCT, basic_credentials};
use super::local::classify_io;

/// The longest answer to CONNECT.
const ANSWER_CAP: usize = 8 * 1024;

/// A proxy.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    /// `Proxy-Authorization`.
    authorization: Option<SecretString>,
}

impl Proxy {
    /// Reads a URL: `http://user:password@host:port`. `None` where it is none.
    pub(super) fn new(text: &SecretString) -> Option<Self> {
        let url = Url::parse(text.expose_secret()).ok().filter(|url| url.scheme() == "http")?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authorization = basic_credentials(&url).filter(|_| !url.username().is_empty());
        let port = url.port_or_known_default()?;
        Some(Self { host, port, authorization })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// `Proxy-Authorization` of a request that goes to the proxy itself.
    pub(super) const fn authorization(&self) -> Option<&SecretString> {
        self.authorization.as_ref()
    }

    /// Makes a connection to the proxy one to `host`.
    pub(super) async fn tunnel(
        &self,
        tcp: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), ConnectFailure> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {PRODUCT}\r\n");
        if let Some(value) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {}\r\n", value.expose_secret()));
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes()).await.map_err(|error| classify_io(&error))?;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(at) = memchr::memmem::find(&answer, b"\r\n\r\n") {
                break at + 4;
            }
            if answer.len() > ANSWER_CAP {
                return Err(ConnectFailure::Protocol);
            }
            let mut chunk = [0; 512];
            match tcp.read(&mut chunk).await {
                Ok(0) => return Err(ConnectFailure::Reset),
                Ok(n) => answer.extend_from_slice(&chunk[..n]),
                Err(error) => return Err(classify_io(&error)),
            }
        };
        match status(&answer) {
            // Nothing follows the answer until this side has spoken.
            Some(200..=299) if answer.len() > end => Err(ConnectFailure::Protocol),
            Some(200..=299) => Ok(()),
            Some(status) => {
                log::debug!("the proxy answers CONNECT with {status}");
                Err(ConnectFailure::Refused)
            }
            None => Err(ConnectFailure::Protocol),
        }
    }
}

pub(super) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_is_not_shown() {
        let proxy = Proxy::new(&SecretString::from("http://me:p%40ss@proxy.example:3128")).unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert_eq!(proxy.authorization.as_ref().unwrap().expose_secret(), "Basic bWU6cEBzcw==");
        assert!(!format!("{proxy:?}").contains("p@ss") && !format!("{proxy:?}").contains("p%40ss"));
        assert_eq!(Proxy::new(&SecretString::from("http://[::1]")).unwrap().port, 80);
        for none in ["https://proxy", "socks5://proxy", "proxy:3128", ""] {
            assert!(Proxy::new(&SecretString::from(none)).is_none(), "{none}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n"), Some(407));
        assert_eq!(status(b"hello\r\n\r\n"), None);
    }
}
