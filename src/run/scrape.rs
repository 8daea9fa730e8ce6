//! The endpoint that a run under way is scraped at: `GET /metrics`.
//!
//! In: an address, the live view each second. Out: answers over HTTP, on a thread of its own so that no client waits for it. After the run it
//! stays until its last numbers were scraped, where anybody scraped at all, and never for long.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, Moment};
use crate::machine::StopSignals;
use crate::record::LiveView;
use crate::report::{LiveRun, OPENMETRICS_TYPE, PROMETHEUS_TYPE, openmetrics_text, prometheus_text};
use crate::same_site::sign_of_another_site;
use crate::scenario::keys::Scenario;

/// Connections at a time; more wait.
const MOST_CONNECTIONS: u32 = 16;
/// How long a request's head may take, also that of the next one on a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the last numbers wait for a reader whose interval is not known, and at most for any.
const WAIT_UNKNOWN: Duration = Duration::from_secs(15);
const WAIT_MOST: Duration = Duration::from_secs(65);
/// How late a reader may be.
const GRACE: Duration = Duration::from_secs(2);

/// Who read what.
#[derive(Debug, Clone, Copy, Default)]
struct Readers {
    scrapes: u64,
    last: Moment,
    /// The longest time between two scrapes.
    interval: Option<Duration>,
    had_final: bool,
}

#[derive(Debug)]
struct Shared {
    /// Whether this machine alone can read it.
    is_loopback: bool,
    run: watch::Sender<Option<Arc<LiveRun>>>,
    readers: watch::Sender<Readers>,
    clock: Clock,
}

/// The endpoint, which serves until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Serving ends when this is dropped.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes in how a run stands.
#[derive(Debug, Clone)]
pub struct MetricsFeed(Arc<Shared>);

impl MetricsFeed {
    /// What is scraped from now on.
    pub fn publish(&self, scenario: &Scenario, view: &LiveView) {
        self.0.run.send_replace(Some(Arc::new(LiveRun::new(scenario, view.clone()))));
    }
}

impl MetricsServer {
    /// Listens at `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be had, or no thread.
    pub fn start(addr: SocketAddr) -> io::Result<Self> {
        let listener = StdListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared {
            is_loopback: addr.ip().is_loopback(),
            run: watch::Sender::new(None),
            readers: watch::Sender::new(Readers::default()),
            clock: Clock::start(),
        });
        let (stop, stopped) = watch::channel(());
        let serving = Arc::clone(&shared);
        let serve = move || runtime.block_on(serve(serving, listener, stopped));
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a run tells how it stands.
    #[must_use]
    pub fn feed(&self) -> MetricsFeed {
        MetricsFeed(Arc::clone(&self.shared))
    }

    /// Says that nothing more is to come. Answers with how long the last numbers should wait for a reader: twice the longest time between two
    /// scrapes; not at all where nobody reads.
    #[must_use]
    pub fn finish(&self) -> Duration {
        self.shared.run.send_modify(|run| {
            if let Some(run) = run {
                *run = Arc::new(run.as_ref().clone().into_final());
            }
        });
        let readers = *self.shared.readers.borrow();
        match readers.interval {
            _ if readers.scrapes == 0 => Duration::ZERO,
            None => WAIT_UNKNOWN,
            Some(interval) => (interval * 2 + GRACE).min(WAIT_MOST),
        }
    }

    /// Waits until the last numbers were read, at most `longest` or until the user interrupts; `announce` is called when it can be interrupted.
    ///
    /// # Errors
    /// There is no runtime, signals cannot be heard, or what `announce` answers.
    pub fn wait_for_reader(
        &self,
        longest: Duration,
        announce: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut readers = self.shared.readers.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = StopSignals::listen()?;
            announce()?;
            tokio::select! {
                _ = tokio::time::timeout(longest, readers.wait_for(|readers| readers.had_final)) => {}
                () = signals.next() => {}
            }
            Ok(())
        })
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

async fn serve(shared: Arc<Shared>, listener: StdListener, mut stop: watch::Receiver<()>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::warn!("the metrics cannot be served: {error}"),
    };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                tokio::spawn(async move {
                    serve_connection(shared, stream, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("the metrics' endpoint cannot accept: {error}");
                tokio::time::sleep(GRACE).await;
            }
        }
    }
    // An answer under way is the last numbers: it is written to its end.
    drop(listener);
    let _ = tokio::time::timeout(GRACE, room.acquire_many(MOST_CONNECTIONS)).await;
}

/// Serves until the reader goes, or until it is to stop: then an answer under way is written to its end.
async fn serve_connection(shared: Arc<Shared>, stream: TcpStream, mut stop: watch::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = service_fn(move |request| {
        let answer = answer(&shared, &request);
        async move { answer }
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
        log::debug!("a reader of the metrics went away: {error}");
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let plain = |status, text: &'static str| {
        let answer = Response::builder().status(status).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        answer.header(ALLOW, "GET, HEAD").body(Full::new(Bytes::from_static(text.as_bytes())))
    };
    if shared.is_loopback && sign_of_another_site(request.headers()).is_some() {
        return plain(StatusCode::FORBIDDEN, "a page of another site asks for this\n");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {}
        (&Method::GET | &Method::HEAD, "/") => return plain(StatusCode::OK, "resurge: GET /metrics\n"),
        (&Method::GET | &Method::HEAD, _) => {
            return plain(StatusCode::NOT_FOUND, "there is nothing here: GET /metrics\n");
        }
        _ => return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n"),
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_openmetrics = accept.contains("application/openmetrics-text");
    let run = shared.run.borrow().clone();
    let (content_type, text) = match &run {
        // Before the first second is over there is nothing to tell.
        None if is_openmetrics => (OPENMETRICS_TYPE, Ok("# EOF\n".to_owned())),
        None => (PROMETHEUS_TYPE, Ok(String::new())),
        Some(run) if is_openmetrics => (OPENMETRICS_TYPE, openmetrics_text(run)),
        Some(run) => (PROMETHEUS_TYPE, prometheus_text(run)),
    };
    let Ok(text) = text else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no memory for the metrics\n");
    };
    if request.method() == Method::GET {
        note_scrape(shared, run.is_some_and(|run| run.is_final()));
    }
    Response::builder().header(CONTENT_TYPE, content_type).body(Full::new(Bytes::from(text)))
}

fn note_scrape(shared: &Shared, is_final: bool) {
    let now = shared.clock.now();
    shared.readers.send_modify(|readers| {
        let since = (readers.scrapes > 0).then(|| now.since(readers.last));
        readers.interval = readers.interval.max(since);
        readers.last = now;
        readers.scrapes += 1;
        readers.had_final |= is_final;
    });
}
