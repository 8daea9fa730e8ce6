//! Requests before a handshake, under way.
//!
//! In: a client's steps, its variables, answers. Out: the next request, or what its steps came to.

use hyper::{HeaderMap, StatusCode, Uri};

use crate::clock::Moment;
use crate::drive::network::step::{StepFault, StepWalk, Turn, keep};
use crate::drive::network::variables::{Renderer, Variables};
use crate::drive::network::word_book::WordBook;
use crate::lifecycle::ConnectFailure;
use crate::sample::{Request, RequestAnswer, RequestEnd};
use crate::scenario::keys::{PrepareRules, Step};
use crate::service::pages::{Page, PageRequest};

use super::slab::{Beside, Key};

/// A client at its steps.
struct AtSteps {
    index: usize,
    walk: StepWalk,
    /// Its request, as the target reads it.
    headers: HeaderMap,
    uri: Uri,
    began: Moment,
    answer: Option<Page>,
    /// Its connection is reset in place of an answer.
    is_broken: bool,
    /// What the steps have brought so far.
    variables: Variables,
}

impl std::fmt::Debug for AtSteps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtSteps").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What comes after a step's answer.
pub(super) enum Next {
    /// Another request of the same step.
    Request,
    /// The step has ended: that is told, and what it has brought goes to the next.
    Ended(RequestEnd, Box<Stepped>),
}

/// A step that has ended: which, with what variables, and why it failed where it did.
pub(super) struct Stepped {
    pub(super) index: usize,
    pub(super) variables: Variables,
    pub(super) failure: Option<ConnectFailure>,
}

/// All clients that are at their steps, by their requests.
#[derive(Debug)]
pub(super) struct Steps {
    at: Beside<Box<AtSteps>>,
    /// The words of refusals, by group.
    words: Vec<WordBook>,
}

impl Steps {
    pub(super) fn new(groups: usize) -> Self {
        Self { at: Beside::default(), words: (0..groups).map(|_| WordBook::default()).collect() }
    }

    /// Step `index` begins. `false`: no request can be made of what the variables hold.
    pub(super) fn begin(
        &mut self,
        key: Key,
        (step, index): (&Step, usize),
        (base, client): (&str, Renderer<'_>),
        variables: Variables,
        now: Moment,
    ) -> Result<(), Box<Stepped>> {
        let begun = StepWalk::begin(step, base, client.with(&variables));
        let Some(mut walk) = begun else {
            let failure = Some(ConnectFailure::Protocol);
            return Err(Box::new(Stepped { index, variables, failure }));
        };
        let (uri, headers) = written(&mut walk, &variables, client.unix_us() / 1_000_000);
        let at = AtSteps { index, walk, headers, uri, began: now, answer: None, is_broken: false, variables };
        self.at.insert(key, Box::new(at));
        Ok(())
    }

    /// The request of a client, as the target reads it.
    pub(super) fn request(&self, key: Key) -> Option<PageRequest<'_>> {
        let at = self.at.get(key)?;
        Some(PageRequest {
            method: at.walk.method.as_str(),
            uri: &at.uri,
            headers: &at.headers,
            body: &at.walk.body,
            is_secure: at.walk.url.scheme() == "https",
        })
    }

    /// The target has answered a request.
    pub(super) fn answer(&mut self, key: Key, page: Page) {
        if let Some(at) = self.at.get_mut(key) {
            at.answer = Some(page);
        }
    }

    /// The connection of a request is reset before its client gives up.
    pub(super) fn break_off(&mut self, key: Key) {
        if let Some(at) = self.at.get_mut(key) {
            at.is_broken = true;
        }
    }

    /// The answer to a request has come to its client, of that group; or none came in time.
    pub(super) fn take(
        &mut self,
        key: Key,
        (group, rules): (usize, &PrepareRules),
        (now, unix_us): (Moment, u64),
    ) -> Option<Next> {
        let mut at = self.at.remove(key)?;
        let step = &rules.steps[at.index];
        let jar = at.variables.jar().cloned();
        let answered = match at.answer.take() {
            None if at.is_broken => {
                Err(StepFault::new(ConnectFailure::Reset, RequestAnswer::ConnectionBroken))
            }
            None => Err(StepFault::new(ConnectFailure::Timeout, RequestAnswer::Timeout)),
            Some((status, headers, body)) => {
                match at.walk.take(step, (status, headers, body.into()), jar.as_ref(), unix_us) {
                    Turn::Again => {
                        let request = written(&mut at.walk, &at.variables, unix_us / 1_000_000);
                        (at.uri, at.headers) = request;
                        self.at.insert(key, at);
                        return Some(Next::Request);
                    }
                    Turn::Done(whole) => keep(step, &mut at.variables, &whole),
                    Turn::Failed(fault) => Err(fault),
                }
            }
        };
        let number = u8::try_from(at.index).unwrap_or(u8::MAX);
        let words = &self.words[group];
        let (answer, status, error) = match &answered {
            Ok(status) => (RequestAnswer::Ok, Some(*status), None),
            Err(fault) => (fault.answer, fault.status, fault.word().map(|word| words.keep(number, word))),
        };
        let latency = now.since(at.began);
        let end = RequestEnd { request: Request::Step(number), answer, status, error, latency };
        let failure = answered.err().map(|fault| fault.failure);
        Some(Next::Ended(end, Box::new(Stepped { index: at.index, variables: at.variables, failure })))
    }

    /// A client is cut off.
    pub(super) fn cancel(&mut self, key: Key) {
        self.at.remove(key);
    }
}

/// The end of a step whose request cannot be sent.
pub(super) fn not_sent(index: usize) -> RequestEnd {
    let request = Request::Step(u8::try_from(index).unwrap_or(u8::MAX));
    let latency = std::time::Duration::ZERO;
    RequestEnd { request, answer: RequestAnswer::NotSent, status: None, error: None, latency }
}

/// A step's request: where it goes on the target, and its headers.
fn written(walk: &mut StepWalk, variables: &Variables, now_s: u64) -> (Uri, HeaderMap) {
    let of_place = crate::drive::network::endpoint::Endpoint::of(walk.url.clone());
    let host = of_place.and_then(|place| hyper::header::HeaderValue::try_from(place.authority).ok());
    let of_place = HeaderMap::from_iter(host.map(|host| (hyper::header::HOST, host)));
    let headers = walk.headers(&of_place, variables.jar(), now_s);
    let path = &walk.url[url::Position::BeforePath..url::Position::AfterQuery];
    (path.parse().unwrap_or_default(), headers)
}

/// A page that is nowhere to be had.
pub(super) fn no_page() -> Page {
    (StatusCode::NOT_FOUND, HeaderMap::new(), String::new())
}
