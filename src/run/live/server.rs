//! The page of a run under way, over HTTP.
//!
//! In: the live view each second; requests. Out: the page, its news as server-sent events (HTML Standard, §9.2), the report once the run is over; commands to
//! the run. A reader that is slow or takes nothing holds up nobody: it gets the latest news when it takes some, and none waits for it in between.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::access::{AccessToken, Admitted, Gate, is_json};
use crate::record::LiveView;
use crate::report::html::{LivePage, live_policy};
use crate::report::{RunModel, report_html};
use crate::scenario::keys::Scenario;

use super::super::endpoint::{Answer, Endpoint, listen, plain, refused, whole};
use super::commands::LiveControl;

const HTML: &str = "text/html; charset=utf-8";
/// The largest body of a command, in bytes.
const MOST_BODY: usize = 1024;
/// How long a body may take, and how long the run may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long pages that are open get to take the report when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Resources of this page are for itself alone (Fetch Standard, §3.6).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Who reads.
#[derive(Debug, Clone, Copy, Default)]
struct Readers {
    /// Pages that are open.
    open: usize,
    /// Reports that were taken.
    reports: usize,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    control: LiveControl,
    page: Mutex<LivePage>,
    /// The number of the latest news.
    latest: watch::Sender<u64>,
    /// The latest news that were made, and their number.
    made: Mutex<(u64, Bytes)>,
    report: Mutex<Option<Bytes>>,
    readers: watch::Sender<Readers>,
    is_gone: watch::Sender<bool>,
}

/// The server, which serves until it is dropped.
#[derive(Debug)]
pub struct LiveServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _endpoint: Endpoint,
}

/// Takes in how a run stands.
#[derive(Debug, Clone)]
pub struct LiveFeed(Arc<Shared>);

impl LiveFeed {
    /// What is shown from now on.
    pub fn publish(&self, scenario: &Scenario, view: &LiveView) {
        lock(&self.0.page).take(scenario, view);
        self.0.latest.send_modify(|latest| *latest += 1);
    }
}

impl LiveServer {
    /// Listens at `addr`; port 0 takes a free one. What is asked for goes to `control`. Where other machines can reach it, `token` is asked for.
    ///
    /// # Errors
    /// The address cannot be had, or no thread, or no random numbers.
    pub fn start(addr: SocketAddr, token: Option<&AccessToken>, control: LiveControl) -> io::Result<Self> {
        let (listener, addr) = listen(addr)?;
        let shared = Arc::new(Shared {
            gate: Gate::new(addr, token).map_err(io::Error::other)?,
            control,
            page: Mutex::default(),
            latest: watch::Sender::new(1),
            made: Mutex::default(),
            report: Mutex::default(),
            readers: watch::Sender::new(Readers::default()),
            is_gone: watch::Sender::new(false),
        });
        let serving = Arc::clone(&shared);
        let answering =
            move |request| -> BoxFuture<'static, Answer> { Box::pin(answer(Arc::clone(&serving), request)) };
        let endpoint = Endpoint::start("live page", listener, Arc::new(answering))?;
        Ok(Self { addr, shared, _endpoint: endpoint })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a run tells how it stands.
    #[must_use]
    pub fn feed(&self) -> LiveFeed {
        LiveFeed(Arc::clone(&self.shared))
    }

    /// The run is over: pages that are open are told its verdict, and get a moment to take its report. Without one it takes no time.
    ///
    /// # Errors
    /// There is no runtime.
    pub fn finish(&self, model: &RunModel) -> io::Result<()> {
        let shared = &self.shared;
        let Readers { open, reports } = *shared.readers.borrow();
        if open == 0 {
            return Ok(());
        }
        match report_html(model) {
            Ok(report) => *lock(&shared.report) = Some(report.into()),
            Err(error) => log::warn!("{error}"),
        }
        lock(&shared.page).end(model);
        shared.latest.send_modify(|latest| *latest += 1);
        let mut readers = shared.readers.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let all = readers.wait_for(|readers| readers.reports >= reports + open);
            if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
                log::debug!("not every page that is open has taken the report");
            }
        });
        Ok(())
    }
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        // News end; else their connections would be waited for.
        self.shared.is_gone.send_replace(true);
    }
}

impl Shared {
    /// The latest news as an event, made once for all readers; whether they are the last.
    fn news(&self, number: u64) -> (Bytes, bool) {
        let page = lock(&self.page);
        let mut made = lock(&self.made);
        if made.0 != number {
            *made = (number, format!("data: {}\n\n", page.news()).into());
        }
        (made.1.clone(), page.is_over())
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let admitted = match shared.gate.admit(request.headers(), request.uri()) {
        Ok(admitted) => admitted,
        Err(refusal) => return refused(refusal),
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let (Admitted::WithCookie(cookie), &Method::GET) = (&admitted, &method) {
        return with_cookie(cookie);
    }
    match (&method, path.as_str()) {
        (&Method::GET, "/") => page(&shared),
        (&Method::GET, "/events") => events(&shared),
        (&Method::GET, "/report.html") => report(&shared),
        // Browsers ask for it by themselves.
        (&Method::GET, "/favicon.ico") => whole(StatusCode::NO_CONTENT, "image/x-icon", ""),
        (&Method::POST, "/storm") => storm(&shared, request).await,
        (&Method::POST, "/stop") => stop(&shared, request).await,
        (_, "/" | "/events" | "/report.html") => not_allowed("GET"),
        (_, "/storm" | "/stop") => not_allowed("POST"),
        _ => plain(
            StatusCode::NOT_FOUND,
            "there is nothing here: GET /, /events, /report.html; POST /storm, /stop",
        ),
    }
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The page without the token in its address, by a cookie in its place.
fn with_cookie(cookie: &str) -> Answer {
    let mut answer = plain(StatusCode::SEE_OTHER, "the page is at /");
    let headers = answer.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static("/"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // It is made of printable characters.
    headers.extend(HeaderValue::from_str(cookie).ok().map(|cookie| (SET_COOKIE, cookie)));
    answer
}

fn page(shared: &Shared) -> Answer {
    let page = lock(&shared.page).clone();
    match page.html() {
        Ok(html) => guarded(whole(StatusCode::OK, HTML, html)),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn report(shared: &Shared) -> Answer {
    let Some(report) = lock(&shared.report).clone() else {
        return plain(StatusCode::NOT_FOUND, "the run goes on: there is no report yet");
    };
    shared.readers.send_modify(|readers| readers.reports += 1);
    guarded(whole(StatusCode::OK, HTML, report))
}

/// A page that is shown in no frame, fetches from nowhere else, and tells nobody where it was.
fn guarded(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    let policy = format!("{}; frame-ancestors 'none'", live_policy());
    headers.extend(HeaderValue::from_str(&policy).ok().map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// A page that is open, while its news are taken.
struct Reading(Arc<Shared>);

impl Reading {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.readers.send_modify(|readers| readers.open += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.send_modify(|readers| readers.open -= 1);
    }
}

/// News at once, and whenever there are some. They are made when the reader takes them.
fn events(shared: &Arc<Shared>) -> Answer {
    let mut latest = shared.latest.subscribe();
    latest.mark_changed();
    let begun = (Reading::begin(shared), latest, shared.is_gone.subscribe(), false);
    let news = futures::stream::unfold(begun, |(reading, mut latest, mut gone, was_last)| async move {
        if was_last {
            return None;
        }
        tokio::select! {
            changed = latest.changed() => changed.ok()?,
            _ = gone.wait_for(|is_gone| *is_gone) => return None,
        }
        let number = *latest.borrow_and_update();
        let (event, is_last) = reading.0.news(number);
        Some((event, (reading, latest, gone, is_last)))
    });
    let frames = news.map(|event| Ok::<_, Infallible>(Frame::data(event)));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// `POST /storm`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StormRequest {
    #[serde(default = "all")]
    fraction: f64,
}

const fn all() -> f64 {
    1.0
}

/// `POST /stop`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {}

/// The answer to a command.
#[derive(Serialize)]
struct Said {
    message: String,
}

fn said(status: StatusCode, message: impl Into<String>) -> Answer {
    // Plain data always has a JSON form.
    let text = serde_json::to_string(&Said { message: message.into() }).unwrap_or_default();
    whole(status, "application/json", text)
}

async fn storm(shared: &Shared, request: Request<Incoming>) -> Answer {
    let StormRequest { fraction } = match command(request, "{\"fraction\":0.5}").await {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    if !(fraction > 0.0 && fraction <= 1.0) {
        return said(
            StatusCode::BAD_REQUEST,
            format!("fraction {fraction} is not a share: above 0 and up to 1"),
        );
    }
    match tokio::time::timeout(PATIENCE, shared.control.storm(fraction)).await {
        Ok(Ok(at)) => said(
            StatusCode::OK,
            format!("A storm struck at {:.1} s.", at.since(crate::clock::Moment::ZERO).as_secs_f64()),
        ),
        Ok(Err(why)) => said(StatusCode::CONFLICT, format!("No storm: {why}.")),
        Err(_) => said(StatusCode::CONFLICT, "The run has not begun: the storm strikes when it does."),
    }
}

async fn stop(shared: &Shared, request: Request<Incoming>) -> Answer {
    let StopRequest {} = match command(request, "{}").await {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    match shared.control.stop() {
        Ok(()) => said(StatusCode::OK, "The run stops: its clients drain. Once more cuts them off."),
        Err(why) => said(StatusCode::CONFLICT, format!("No stop: {why}.")),
    }
}

/// What a command's body says.
async fn command<T: DeserializeOwned>(request: Request<Incoming>, like: &str) -> Result<T, Answer> {
    if !is_json(request.headers()) {
        let text = "a command has a body of Content-Type: application/json";
        return Err(said(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = Limited::new(request.into_body(), MOST_BODY).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            return Err(said(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")));
        }
        Err(_) => return Err(said(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    serde_json::from_slice(&body)
        .map_err(|error| said(StatusCode::BAD_REQUEST, format!("the body must be like {like}: {error}")))
}
