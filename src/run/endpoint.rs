//! An HTTP endpoint of a run, on a thread of its own, so that no client waits for it.
//!
//! In: an address, how a request is answered. Out: answers. Connections are bounded, and one that takes nothing is let go of.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::access::Refusal;

/// Connections at a time; more wait.
const MOST_CONNECTIONS: u32 = 32;
/// How long a request's head may take, also that of the next one on a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long what was sent may wait for a reader that takes nothing.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers under way get when it ends, and nobody is let in after the system had no descriptor to give.
const GRACE: Duration = Duration::from_secs(2);

/// An answer: whole, or one that goes on.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
/// How requests are answered.
pub(super) type Answering = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The endpoint, which serves until it is dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Serving ends when this is dropped.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A listener at `addr`, where port 0 takes a free one; and where that is.
///
/// # Errors
/// The address cannot be had.
pub(super) fn listen(addr: SocketAddr) -> io::Result<(StdListener, SocketAddr)> {
    let listener = StdListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

impl Endpoint {
    /// Serves what comes to `listener`, on a thread called `name`.
    ///
    /// # Errors
    /// There is no thread, or no event loop.
    pub(super) fn start(name: &'static str, listener: StdListener, answering: Answering) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(());
        let serve = move || runtime.block_on(serve(name, listener, answering, stopped));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A whole answer, which nobody keeps.
pub(super) fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A sentence.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    whole(status, "text/plain; charset=utf-8", text.into() + "\n")
}

/// What a request is told that may not be answered.
pub(super) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::AnotherSite(sign) => {
            plain(StatusCode::FORBIDDEN, format!("a page of another site asks for this: {sign}"))
        }
        Refusal::NoToken => {
            let text = "this wants the token that the run has told at its start: as Authorization: Bearer, or in a browser as ?token=";
            let mut answer = plain(StatusCode::UNAUTHORIZED, text);
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"resurge\""));
            answer
        }
    }
}

async fn serve(
    name: &'static str,
    listener: StdListener,
    answering: Answering,
    mut stop: watch::Receiver<()>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::warn!("{name}: nothing can be served: {error}"),
    };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&room).acquire_owned() => place,
            _ = stop.changed() => break,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (answering, stop) = (Arc::clone(&answering), stop.clone());
                tokio::spawn(async move {
                    serve_connection(name, answering, stream, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("{name}: nobody can be let in: {error}");
                tokio::time::sleep(GRACE).await;
            }
        }
    }
    // An answer under way is the last one: it is written to its end.
    drop(listener);
    let _ = tokio::time::timeout(GRACE, room.acquire_many(MOST_CONNECTIONS)).await;
}

/// Serves until the reader goes, or until it is to stop: then an answer under way is written to its end.
async fn serve_connection(
    name: &'static str,
    answering: Answering,
    stream: TcpStream,
    mut stop: watch::Receiver<()>,
) {
    if let Err(error) = limit_unread(&stream) {
        log::debug!("{name}: a reader that takes nothing stays: {error}");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = service_fn(move |request| {
        let answer = answering(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        _ = stop.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        log::debug!("{name}: a reader went away: {error}");
    }
}

/// Has the system end a connection whose peer takes nothing (tcp(7), TCP_USER_TIMEOUT).
fn limit_unread(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT))
}
