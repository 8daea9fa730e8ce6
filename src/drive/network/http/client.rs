//! The HTTP client of a group on one worker.
//!
//! In: a server, a request to it. Out: the answer, or why there is none. It follows no redirect, and what fails is never repeated, but for a
//! request that a kept connection did not take any more.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{Full, LengthLimitError};
use secrecy::ExposeSecret;
use url::Url;

use crate::clock::Clock;
use crate::drive::network::dial::{Dialer, Way};
use crate::drive::network::endpoint::Endpoint;
use crate::drive::network::local::is_caused_by_local_limit;
use crate::drive::network::tls::{TlsClient, alert_in, server_name};
use crate::drive::network::wire::Wire;
use crate::lifecycle::ConnectFailure;
use crate::sample::RequestAnswer;

use super::link::{Fault, Link, TakePiece};
use super::pool::{Origin, Pool};

/// Asks servers, over connections that are used again.
pub(in crate::drive::network) struct HttpClient {
    dialer: Arc<Dialer>,
    tls: Option<Arc<TlsClient>>,
    pool: Pool,
}

/// A URL as requests to it need it.
pub(in crate::drive::network) struct HttpTarget {
    endpoint: Endpoint,
    origin: Origin,
    /// What the request line says: a path, or the whole URL where a proxy is to find the server.
    uri: Uri,
    /// `Host`, and `Proxy-Authorization` where the request itself goes to a proxy.
    headers: HeaderMap,
    way: Way,
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A request.
pub(in crate::drive::network) struct HttpRequest<'a> {
    method: Method,
    headers: &'a HeaderMap,
    body: &'a Bytes,
    cap: usize,
    is_alone: bool,
}

impl<'a> HttpRequest<'a> {
    /// A request with all its headers, those of its target among them; of the answer's body no more than `cap` bytes are read.
    pub(in crate::drive::network) const fn new(
        method: Method,
        headers: &'a HeaderMap,
        body: &'a Bytes,
        cap: usize,
    ) -> Self {
        Self { method, headers, body, cap, is_alone: false }
    }

    /// The same over a connection of its own, if `is_alone`.
    pub(in crate::drive::network) const fn alone(mut self, is_alone: bool) -> Self {
        self.is_alone = is_alone;
        self
    }

    fn to(&self, uri: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::drive::network) enum HttpFailure {
    /// The server could not be reached.
    Connect(ConnectFailure),
    /// The connection ended, or what came is no HTTP answer.
    Broken,
    /// The answer's body has more bytes than are read.
    TooLarge,
    /// This machine ran out of something.
    LocalLimit,
}

impl HttpFailure {
    /// What a request came to that failed so.
    pub(in crate::drive::network) const fn answer(&self) -> RequestAnswer {
        match self {
            Self::Connect(failure) => failure.answer(),
            Self::Broken => RequestAnswer::ConnectionBroken,
            Self::TooLarge => RequestAnswer::TooLarge,
            Self::LocalLimit => RequestAnswer::LocalLimit,
        }
    }
}

impl From<Fault> for HttpFailure {
    fn from(fault: Fault) -> Self {
        let is_local = match &fault {
            Fault::Hyper(error) => is_caused_by_local_limit(error),
            Fault::Body(error) => is_caused_by_local_limit(error.as_ref()),
        };
        let alert = match &fault {
            Fault::Hyper(error) => alert_within(error),
            Fault::Body(error) => alert_within(error.as_ref()),
        };
        match fault {
            _ if alert.is_some() => alert.map_or(Self::Broken, Self::Connect),
            _ if is_local => Self::LocalLimit,
            Fault::Body(error) if error.is::<LengthLimitError>() => Self::TooLarge,
            _ => Self::Broken,
        }
    }
}

/// The alert with which the peer ended TLS after the handshake, where that is what caused an error.
fn alert_within(error: &(dyn std::error::Error + 'static)) -> Option<ConnectFailure> {
    let mut source = Some(error);
    while let Some(current) = source {
        if let Some(alert) = current.downcast_ref::<std::io::Error>().and_then(alert_in) {
            return Some(alert);
        }
        source = current.source();
    }
    None
}

impl HttpTarget {
    /// The URL.
    pub(in crate::drive::network) const fn url(&self) -> &Url {
        &self.endpoint.url
    }

    /// The headers that every request to it has.
    pub(in crate::drive::network) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl HttpClient {
    pub(in crate::drive::network) fn new(
        dialer: Arc<Dialer>,
        tls: Option<Arc<TlsClient>>,
        clock: Clock,
    ) -> Self {
        Self { dialer, tls, pool: Pool::new(clock) }
    }

    /// `url` as requests of this client need it; `None` where it names no server that can be asked.
    pub(in crate::drive::network) fn target(&self, url: Url) -> Option<HttpTarget> {
        let endpoint =
            Endpoint::of(url).filter(|endpoint| matches!(endpoint.url.scheme(), "http" | "https"))?;
        let is_secure = endpoint.is_secure();
        if is_secure {
            server_name(&endpoint.host)?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(endpoint.authority.as_str()).ok()?);
        let mut uri = endpoint.target.as_str();
        if let Some(credentials) = self.dialer.forwards().filter(|_| !is_secure) {
            uri = &endpoint.url[..url::Position::AfterQuery];
            if let Some(secret) = credentials {
                let mut value = HeaderValue::try_from(secret.expose_secret()).ok()?;
                value.set_sensitive(true);
                headers.insert(PROXY_AUTHORIZATION, value);
            }
        }
        let uri = uri.parse().ok()?;
        let way = if is_secure { Way::Tunnel } else { Way::Forward };
        let origin = Origin::new(is_secure, &endpoint.host, endpoint.port);
        Some(HttpTarget { endpoint, origin, uri, headers, way })
    }

    /// Whether it can ask over TLS.
    pub(in crate::drive::network) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Makes a request for client `number`.
    pub(in crate::drive::network) async fn send(
        &self,
        target: &HttpTarget,
        number: u32,
        request: HttpRequest<'_>,
    ) -> Result<(Parts, Bytes), HttpFailure> {
        loop {
            let (mut link, is_new) = self.link(target, number, request.is_alone).await?;
            match link.exchange(request.to(&target.uri), request.cap).await {
                Ok(answer) => {
                    if !request.is_alone {
                        self.keep(target, link);
                    }
                    return Ok(answer);
                }
                // The server ended a kept connection before the request was on it.
                Err(fault) if fault.is_unsent() && !is_new => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Makes a request whose answer's body goes to `take` as it comes, so that none of it is kept. Where it is too large, the connection is closed.
    pub(in crate::drive::network) async fn send_in_pieces(
        &self,
        target: &HttpTarget,
        request: HttpRequest<'_>,
        take: TakePiece<'_>,
    ) -> Result<Parts, HttpFailure> {
        loop {
            let (mut link, is_new) = self.link(target, 0, request.is_alone).await?;
            match link.exchange_in_pieces(request.to(&target.uri), request.cap, &mut *take).await {
                Ok(parts) => {
                    self.keep(target, link);
                    return Ok(parts);
                }
                Err(fault) if fault.is_unsent() && !is_new => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// A connection for client `number`, and whether it is a new one.
    async fn link(
        &self,
        target: &HttpTarget,
        number: u32,
        is_alone: bool,
    ) -> Result<(Link, bool), HttpFailure> {
        match if is_alone { None } else { self.pool.take(&target.origin) } {
            Some(link) => Ok((link, false)),
            None => Ok((Box::pin(self.open(target, number)).await?, true)),
        }
    }

    /// Keeps a connection. Where it is not free for the next request at once, the server means to end it.
    fn keep(&self, target: &HttpTarget, mut link: Link) {
        if link.is_free() {
            self.pool.keep(&target.origin, link);
        }
    }

    async fn open(&self, target: &HttpTarget, number: u32) -> Result<Link, HttpFailure> {
        let endpoint = &target.endpoint;
        let mut resolved = None;
        let dialing = self.dialer.dial(&endpoint.host, endpoint.port, target.way, number, &mut resolved);
        let tcp = dialing.await.map_err(HttpFailure::Connect)?;
        let wire = match &self.tls {
            _ if !endpoint.is_secure() => Wire::plain(tcp),
            Some(tls) => tls.secure(endpoint, tcp).await.map_err(HttpFailure::Connect)?,
            None => return Err(HttpFailure::Connect(ConnectFailure::Tls(None))),
        };
        Link::over(wire).await.map_err(|_| HttpFailure::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_never_the_servers_fault() {
        let lacking = std::io::Error::from_raw_os_error(24);
        assert!(matches!(HttpFailure::from(Fault::Body(Box::new(lacking))), HttpFailure::LocalLimit));
        let other = std::io::Error::from_raw_os_error(104);
        assert!(matches!(HttpFailure::from(Fault::Body(Box::new(other))), HttpFailure::Broken));
    }
}
