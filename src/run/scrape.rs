//! The endpoint that a run under way is scraped at: `GET /metrics`.
//!
//! In: an address, the live view each second. Out: answers over HTTP, on a thread of its own so that no client waits for it. After the run it
//! stays until its last numbers were scraped, where anybody scraped at all, and never for long.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::watch;

use crate::access::{AccessToken, Gate};
use crate::clock::{Clock, Moment};
use crate::machine::StopSignals;
use crate::record::LiveView;
use crate::report::{LiveRun, OPENMETRICS_TYPE, PROMETHEUS_TYPE, openmetrics_text, prometheus_text};
use crate::scenario::keys::Scenario;

use super::endpoint::{Answer, Endpoint, listen, plain, refused, whole};

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
    /// Who may read it.
    gate: Gate,
    run: watch::Sender<Option<Arc<LiveRun>>>,
    readers: watch::Sender<Readers>,
    clock: Clock,
}

/// The endpoint, which serves until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _endpoint: Endpoint,
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
    /// Listens at `addr`; port 0 takes a free one. Where other machines can reach it, `token` is asked for.
    ///
    /// # Errors
    /// The address cannot be had, or no thread, or no random numbers.
    pub fn start(addr: SocketAddr, token: Option<&AccessToken>) -> io::Result<Self> {
        let (listener, addr) = listen(addr)?;
        let shared = Arc::new(Shared {
            gate: Gate::new(addr, token).map_err(io::Error::other)?,
            run: watch::Sender::new(None),
            readers: watch::Sender::new(Readers::default()),
            clock: Clock::start(),
        });
        let serving = Arc::clone(&shared);
        let answering = move |request: Request<Incoming>| -> futures::future::BoxFuture<'static, Answer> {
            let answer = answer(&serving, &request);
            Box::pin(std::future::ready(answer))
        };
        let endpoint = Endpoint::start("metrics", listener, Arc::new(answering))?;
        Ok(Self { addr, shared, _endpoint: endpoint })
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

fn answer(shared: &Shared, request: &Request<Incoming>) -> Answer {
    // The token may stand in the address, too; metrics are no page, and set no cookie.
    if let Err(refusal) = shared.gate.admit(request.headers(), request.uri()) {
        return refused(refusal);
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {}
        (&Method::GET | &Method::HEAD, "/") => return plain(StatusCode::OK, "resurge: GET /metrics"),
        (&Method::GET | &Method::HEAD, _) => {
            return plain(StatusCode::NOT_FOUND, "there is nothing here: GET /metrics");
        }
        _ => {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
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
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no memory for the metrics");
    };
    if request.method() == Method::GET {
        note_scrape(shared, run.is_some_and(|run| run.is_final()));
    }
    whole(StatusCode::OK, content_type, text)
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
