//! The requests before a handshake, over HTTP.
//!
//! In: the group's steps, a client's token and variables. Out: variables filled, or why not. What an answer says is kept in variables
//! alone, and never logged.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use tokio::time::timeout;

use crate::lifecycle::ConnectFailure;
use crate::sample::{Request, RequestAnswer, RequestEnd, Sample};
use crate::scenario::keys::{PrepareRules, Step};

use super::group_sink::GroupSink;
use super::http::{HttpClient, HttpFailure, HttpRequest};
use super::step::{StepFault, StepWalk, Turn, Whole, keep};
use super::trace::Beside;
use super::variables::{Renderer, Variables};
use super::word_book::WordBook;

/// The most that is read of an answer.
const ANSWER_CAP: usize = 256 * 1024;

/// Makes the requests of a group's clients on one worker.
pub(super) struct Preparer {
    sink: GroupSink,
    words: WordBook,
    http: Arc<HttpClient>,
    /// Scheme, host and port of requests that name only a path.
    base: String,
}

/// Fills a client's variables anew, beside what is `kept`: first what they hold at first, then what the steps bring; those are made by `preparer`, where there
/// are any.
pub(super) async fn prepare(
    preparer: Option<&Preparer>,
    rules: &PrepareRules,
    client: Renderer<'_>,
    kept: Variables,
) -> Result<Variables, ConnectFailure> {
    prepare_noting(preparer, rules, client, kept, &mut None).await
}

/// The same; `reached` names the step that is made, and so the one at which it ends.
pub(super) async fn prepare_noting<'r>(
    preparer: Option<&Preparer>,
    rules: &'r PrepareRules,
    client: Renderer<'_>,
    kept: Variables,
    reached: &mut Option<&'r str>,
) -> Result<Variables, ConnectFailure> {
    let mut variables = kept;
    let own = client.at_once();
    for (name, template) in &rules.variables {
        let value = own.with(&variables).render(template);
        variables.set(name, value);
    }
    for (index, step) in (0_u8..).zip(&rules.steps) {
        *reached = Some(&step.name);
        let preparer = preparer.ok_or(ConnectFailure::Protocol)?;
        preparer.make(index, step, client, &mut variables).await?;
    }
    Ok(variables)
}

/// What a step's answer says, or why there is none to go on with.
type Answered = Result<Whole, StepFault>;

impl From<HttpFailure> for StepFault {
    fn from(failed: HttpFailure) -> Self {
        let answer = failed.answer();
        Self::new(failure_of_step(failed), answer)
    }
}

impl Preparer {
    /// Asks over `http`; a step that names only a path, below `base`. How each request ends is told to `sink`.
    pub(super) fn new(sink: GroupSink, http: Arc<HttpClient>, base: String) -> Self {
        Self { sink, words: WordBook::default(), http, base }
    }

    /// Makes the request of a step, and fills `variables` from its answer.
    async fn make(
        &self,
        index: u8,
        step: &Step,
        client: Renderer<'_>,
        variables: &mut Variables,
    ) -> Result<(), ConnectFailure> {
        let began = self.sink.clock().now();
        let asked =
            timeout(step.timeout, self.ask(step, client.with(variables).at_once(), variables.beside())).await;
        let answered = match asked {
            Ok(answered) => answered.and_then(|whole| keep(step, variables, &whole)),
            Err(_) => Err(StepFault::new(ConnectFailure::Timeout, RequestAnswer::Timeout)),
        };
        let now = self.sink.clock().now();
        let (answer, status, error) = match &answered {
            Ok(status) => (RequestAnswer::Ok, Some(*status), None),
            Err(fault) => (fault.answer, fault.status, fault.word().map(|word| self.words.keep(index, word))),
        };
        let request = Request::Step(index);
        let end = RequestEnd { request, answer, status, error, latency: now.since(began) };
        self.sink.send(now, Sample::Request(Box::new(end))).await;
        answered.map(drop).map_err(|fault| fault.failure)
    }

    async fn ask(&self, step: &Step, client: Renderer<'_>, beside: Beside<'_>) -> Answered {
        let mut walk = StepWalk::begin(step, &self.base, client).ok_or_else(StepFault::not_sent)?;
        loop {
            let (head, body) = self.exchange(&mut walk, client.number(), beside).await?;
            let answer = (head.status, head.headers, body);
            match walk.take(step, answer, beside.jar, self.sink.clock().unix_us_now()) {
                Turn::Again => {}
                Turn::Done(whole) => return Ok(*whole),
                Turn::Failed(fault) => return Err(fault),
            }
        }
    }

    /// The next request of a step, and its answer.
    async fn exchange(
        &self,
        walk: &mut StepWalk,
        number: u32,
        beside: Beside<'_>,
    ) -> Result<(Parts, Bytes), StepFault> {
        let target = self.http.target(walk.url.clone()).ok_or_else(StepFault::not_sent)?;
        let mut headers =
            walk.headers(target.headers(), beside.jar, self.sink.clock().unix_us_now() / 1_000_000);
        if let Some(trace) = beside.trace {
            trace.put(&mut headers);
        }
        let request = HttpRequest::new(walk.method.clone(), &headers, &walk.body, ANSWER_CAP);
        Ok(self.http.send(&target, number, request).await?)
    }
}

fn failure_of_step(failure: HttpFailure) -> ConnectFailure {
    match failure {
        HttpFailure::Connect(failure) => failure,
        HttpFailure::LocalLimit => ConnectFailure::LocalLimit,
        HttpFailure::Broken => ConnectFailure::Reset,
        HttpFailure::TooLarge => ConnectFailure::Protocol,
    }
}
