//! HTTP/1.1 requests of clients that wait for the answer, over connections that the group keeps.
//!
//! In: a request. Out: the answer's head and its body, up to a cap. hyper speaks the protocol; whoever waits for an answer drives the
//! connection itself, so that an exchange costs no task and wakes no other thread.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::clock::{Clock, Moment};
use crate::lifecycle::ConnectFailure;
use crate::scenario::bare_url;

use super::connect::{Way, open_tcp};
use super::context::{ContextError, Endpoint, GroupContext, endpoint};
use super::local::is_caused_by_local_limit;
use super::tls::secure;
use super::wire::Wire;

/// How long an unused connection is kept. Short, so that a storm's descriptors come back.
const IDLE: Duration = Duration::from_secs(5);

/// A server that is asked again and again.
pub(super) struct HttpPeer {
    endpoint: Endpoint,
    /// What the request line says: a path, or the whole URL where a proxy is to find the server.
    uri: Uri,
    /// `Host`, and `Proxy-Authorization` where the request itself goes to a proxy.
    headers: HeaderMap,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    keeps: bool,
    idle: Arc<Idle>,
}

impl fmt::Debug for HttpPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPeer").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Unused connections.
#[derive(Debug, Default)]
struct Idle {
    /// The one used last at the back.
    links: Mutex<VecDeque<(Moment, Link)>>,
    /// A task looks after them.
    is_tended: AtomicBool,
}

impl Idle {
    fn links(&self) -> MutexGuard<'_, VecDeque<(Moment, Link)>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of those unused for too long.
    fn thin_out(&self, now: Moment) {
        let mut links = self.links();
        while links.front().is_some_and(|(since, _)| now.since(*since) > IDLE) {
            links.pop_front();
        }
    }
}

/// Lets go of unused connections in time, until there are none.
async fn tend(idle: Arc<Idle>, clock: Clock) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        idle.thin_out(clock.now());
        let links = idle.links();
        if links.is_empty() {
            // While nobody can add one.
            idle.is_tended.store(false, Ordering::Relaxed);
            return;
        }
    }
}

/// A connection, and the means to ask over it.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpFailure {
    /// The server could not be reached.
    Connect(ConnectFailure),
    /// The connection ended, or what came is no HTTP answer of a fitting size.
    Broken,
    /// This machine ran out of something.
    LocalLimit,
}

impl HttpPeer {
    /// The server of `url`; `keeps` says whether connections to it are used again.
    pub(super) fn new(context: &PeerSetup<'_>, url: &Url, keeps: bool) -> Result<Self, ContextError> {
        let no_host = || ContextError::NoHost { url: bare_url(url) };
        let is_secure = url.scheme() == "https";
        let endpoint = endpoint(url.clone())?;
        let tls = match context.tls {
            Some(config) if is_secure => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| no_host())?;
                Some((Arc::clone(config), name))
            }
            None if is_secure => return Err(no_host()),
            _ => None,
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(endpoint.authority.as_str()).map_err(|_| no_host())?);
        let is_forwarded = context.proxy.is_some() && !is_secure;
        if let Some(secret) = context.proxy.filter(|_| is_forwarded).and_then(|proxy| proxy.authorization()) {
            let mut value = HeaderValue::try_from(secret.expose_secret()).map_err(|_| no_host())?;
            value.set_sensitive(true);
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        let uri = if is_forwarded {
            endpoint.url.as_str().parse().map_err(|_| no_host())?
        } else {
            endpoint.target.parse().map_err(|_| no_host())?
        };
        Ok(Self { endpoint, uri, headers, tls, keeps, idle: Arc::default() })
    }

    /// The headers that every request to it has. To be part of those that are given to [`Self::post`].
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Posts `body` for client `number`, and reads the answer up to `cap` bytes.
    pub(super) async fn post(
        &self,
        context: &GroupContext,
        number: u32,
        headers: &HeaderMap,
        body: Bytes,
        cap: usize,
    ) -> Result<(Parts, Bytes), HttpFailure> {
        loop {
            let kept = self.kept(context.now());
            let is_new = kept.is_none();
            let mut link = match kept {
                Some(link) => link,
                None => Box::pin(self.open(context, number)).await?,
            };
            let request = self.request(headers.clone(), body.clone());
            match exchange(&mut link, request, cap).await {
                Ok(answer) => {
                    // Where the connection is not free for the next request at once, the server means to end it.
                    if self.keeps && matches!(drive_to_ready(&mut link).now_or_never(), Some(Ok(()))) {
                        self.keep(context, link);
                    }
                    return Ok(answer);
                }
                // The server ended a kept connection before the request was on it.
                Err(Fault::Hyper(error)) if error.is_canceled() && !is_new => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    fn request(&self, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    fn keep(&self, context: &GroupContext, link: Link) {
        self.idle.links().push_back((context.now(), link));
        if !self.idle.is_tended.swap(true, Ordering::Relaxed) {
            tokio::spawn(tend(Arc::clone(&self.idle), context.run.clock));
        }
    }

    /// A kept connection that is still good.
    fn kept(&self, now: Moment) -> Option<Link> {
        self.idle.thin_out(now);
        let mut links = self.idle.links();
        while let Some((_, mut link)) = links.pop_back() {
            if matches!(drive_to_ready(&mut link).now_or_never(), Some(Ok(()))) {
                return Some(link);
            }
        }
        None
    }

    async fn open(&self, context: &GroupContext, number: u32) -> Result<Link, HttpFailure> {
        let way = if self.tls.is_some() { Way::Tunnel } else { Way::Forward };
        let (host, port) = (&self.endpoint.host, self.endpoint.port);
        let tcp =
            open_tcp(context, host, port, way, number, &mut None).await.map_err(HttpFailure::Connect)?;
        let wire = match &self.tls {
            None => Wire::plain(tcp),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let secured = secure(context, &connector, &self.endpoint, name.clone(), tcp).await;
                secured.map_err(HttpFailure::Connect)?
            }
        };
        let handshake = http1::Builder::new().handshake(TokioIo::new(wire)).await;
        let (sender, connection) = handshake.map_err(|_| HttpFailure::Broken)?;
        Ok(Link { sender, connection: Box::pin(connection) })
    }
}

/// What a peer is set up with.
pub(super) struct PeerSetup<'a> {
    pub(super) tls: Option<&'a Arc<rustls::ClientConfig>>,
    pub(super) proxy: Option<&'a super::proxy::Proxy>,
}

enum Fault {
    Hyper(hyper::Error),
    /// The body's own, or that it is too large.
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Fault> for HttpFailure {
    fn from(fault: Fault) -> Self {
        let is_local = match &fault {
            Fault::Hyper(error) => is_caused_by_local_limit(error),
            Fault::Body(error) => is_caused_by_local_limit(error.as_ref()),
        };
        if is_local { Self::LocalLimit } else { Self::Broken }
    }
}

/// One request and its answer.
async fn exchange(
    link: &mut Link,
    request: Request<Full<Bytes>>,
    cap: usize,
) -> Result<(Parts, Bytes), Fault> {
    let Link { sender, connection } = link;
    let answering = async {
        let (parts, body) = sender.send_request(request).await.map_err(Fault::Hyper)?.into_parts();
        Ok((parts, read(Limited::new(body, cap)).await.map_err(Fault::Body)?))
    };
    drive(connection, answering).await
}

/// Reads a body to its end. Most come in one piece, which is not copied.
pub(super) async fn read<B>(mut body: B) -> Result<Bytes, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.into() })
}

/// Waits until the connection is free for a request.
async fn drive_to_ready(link: &mut Link) -> hyper::Result<()> {
    let Link { sender, connection } = link;
    drive(connection, sender.ready()).await
}

/// Drives `connection` until `waiting` has what it waits for.
async fn drive<F: Future>(
    connection: &mut Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
    waiting: F,
) -> F::Output {
    let mut waiting = pin!(waiting);
    let mut is_over = false;
    poll_fn(|cx| {
        // What waits may have given the connection something to do, and the other way about.
        for _ in 0..2 {
            if !is_over {
                // How it ended is told to what waits.
                is_over = connection.as_mut().poll(cx).is_ready();
            }
            if let Poll::Ready(output) = waiting.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    #[tokio::test]
    async fn a_body_is_whole_in_however_many_pieces_it_comes() {
        for pieces in [vec![], vec!["all"], vec!["", "a", "", "bc", "d"]] {
            let frames =
                pieces.iter().map(|piece| Ok::<_, ()>(Frame::data(Bytes::from_static(piece.as_bytes()))));
            let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
            assert_eq!(read(body).await.unwrap(), pieces.concat());
        }
    }

    #[test]
    fn what_this_machine_lacks_is_never_the_servers_fault() {
        let lacking = std::io::Error::from_raw_os_error(24);
        assert!(matches!(HttpFailure::from(Fault::Body(Box::new(lacking))), HttpFailure::LocalLimit));
        let other = std::io::Error::from_raw_os_error(104);
        assert!(matches!(HttpFailure::from(Fault::Body(Box::new(other))), HttpFailure::Broken));
    }
}
