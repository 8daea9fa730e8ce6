//! Getting a token: by a client's own request, or the group's.
//!
//! In: the group's grant, what the client needs. Out: a token and what is known of it, or why there is none. A token is never logged.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Notify, Semaphore};
use url::Url;

use crate::clock::Moment;
use crate::lifecycle::{SharedTokens, TokenFacts, TokenFailure, TokenVerdict, believed_expiry};
use crate::sample::{Counter, Outcome, Sample};
use crate::scenario::keys::{ClientCredentials, Grant, Sharing, Skew, TokenConnection, TokenRules};

use super::context::{ContextError, GroupContext, Token};
use super::http::PeerSetup;
use super::token_command::run_command;
use super::token_http::{TokenGrant, TokenHttp};

/// Programs that a group runs at once.
const MOST_COMMANDS: usize = 4;

/// Where a group's tokens come from.
#[derive(Debug)]
pub(super) enum TokenSource {
    /// Always this one.
    Fixed(Token),
    /// Fetched.
    Fetched(Box<TokenFetcher>),
}

/// How tokens are fetched.
#[derive(Debug)]
pub(super) struct TokenFetcher {
    from: Asked,
    timeout: Duration,
    /// What the clients' clock makes of a token's life.
    skew: Option<Skew>,
    common: Arc<TokenCommon>,
    /// Whether only one request for the group's token is under way at a time.
    is_single_flight: bool,
}

/// What all of a group's clients have in common, whichever worker they are on.
#[derive(Debug)]
pub(super) struct TokenCommon {
    /// Requests at once, where they are limited.
    slots: Option<Semaphore>,
    shared: Option<SharedToken>,
}

impl TokenCommon {
    pub(super) fn of(rules: &TokenRules) -> Self {
        let slots = match &rules.grant {
            Grant::Command(_) => Some(MOST_COMMANDS),
            _ if rules.connection == TokenConnection::Pooled => Some(rules.max_connections as usize),
            _ => None,
        };
        Self {
            slots: slots.map(Semaphore::new),
            shared: (rules.sharing != Sharing::Own).then(SharedToken::default),
        }
    }
}

/// Whom to ask.
enum Asked {
    Http(Box<TokenHttp>),
    Command(Vec<String>),
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => f.debug_tuple("Http").field(http).finish(),
            // Its arguments may be secret.
            Self::Command(command) => f.debug_tuple("Command").field(&command.first()).finish(),
        }
    }
}

/// What a client brings when it needs a token.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// The client's index in its group.
    pub(super) index: u32,
    /// The refresh token that it holds.
    pub(super) refresh: Option<Token>,
    /// A token requested earlier will not do.
    pub(super) not_before: Moment,
    /// A token that expires earlier will not do.
    pub(super) valid_until: Moment,
}

/// The token of a group that shares one.
#[derive(Debug, Default)]
struct SharedToken {
    state: Mutex<SharedState>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct SharedState {
    rules: SharedTokens,
    token: Option<Token>,
    refresh: Option<Token>,
    /// How the last request ended, and how many there have been.
    requests: u64,
    failure: Option<Refusal>,
}

/// A token that came.
#[derive(Debug)]
pub(super) struct Acquired {
    pub(super) token: Token,
    pub(super) facts: TokenFacts,
    /// The refresh token that came with it.
    pub(super) refresh: Option<Token>,
    /// Whether this call's own request brought it.
    pub(super) fetched: bool,
}

/// Why no token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of failure.
    pub failure: TokenFailure,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
    /// How the connection failed, or that the answer did not come in time; `None` where there was an answer, or nothing of the kind.
    pub connection: Option<Outcome>,
    /// The HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// The error code, where it is one of the standard's (RFC 6749 §5.2).
    pub code: Option<&'static str>,
}

impl From<TokenFailure> for Refusal {
    fn from(failure: TokenFailure) -> Self {
        Self { failure, retry_after: None, connection: None, status: None, code: None }
    }
}

impl Refusal {
    /// A request to which there was no answer, because the connection failed so.
    pub(super) const fn of_connection(failure: TokenFailure, connection: Outcome) -> Self {
        Self { failure, retry_after: None, connection: Some(connection), status: None, code: None }
    }
}

impl TokenSource {
    pub(super) fn fixed(token: &SecretString) -> Self {
        Self::Fixed(Arc::new(token.clone()))
    }

    pub(super) fn endpoint(
        setup: &PeerSetup<'_>,
        url: &Url,
        credentials: &ClientCredentials,
        rules: &TokenRules,
        common: Arc<TokenCommon>,
    ) -> Result<Self, ContextError> {
        Ok(Self::new(Asked::Http(Box::new(TokenHttp::new(setup, url, credentials, rules)?)), rules, common))
    }

    pub(super) fn command(command: &[String], rules: &TokenRules, common: Arc<TokenCommon>) -> Self {
        Self::new(Asked::Command(command.to_vec()), rules, common)
    }

    fn new(from: Asked, rules: &TokenRules, common: Arc<TokenCommon>) -> Self {
        Self::Fetched(Box::new(TokenFetcher {
            from,
            timeout: rules.timeout,
            skew: rules.clock_skew,
            common,
            is_single_flight: rules.sharing == Sharing::Group,
        }))
    }

    /// Gets a token such as the client wishes.
    pub(super) async fn acquire(&self, context: &GroupContext, wish: &Wish) -> Result<Acquired, Refusal> {
        match self {
            Self::Fixed(token) => {
                let now = context.now();
                let facts = TokenFacts { requested: now, received: now, expires: Moment::NEVER };
                Ok(Acquired { token: Arc::clone(token), facts, refresh: None, fetched: false })
            }
            Self::Fetched(fetcher) => match &fetcher.common.shared {
                Some(shared) => fetcher.acquire_shared(context, shared, wish).await,
                None => fetcher.fetch(context, wish.index, wish.refresh.as_ref()).await,
            },
        }
    }
}

impl TokenFetcher {
    async fn acquire_shared(
        &self,
        context: &GroupContext,
        shared: &SharedToken,
        wish: &Wish,
    ) -> Result<Acquired, Refusal> {
        loop {
            let settled = shared.settled.notified();
            tokio::pin!(settled);
            let request = {
                let mut state = shared.lock();
                match state.rules.request(wish.not_before, wish.valid_until) {
                    TokenVerdict::Use(facts) => {
                        let token = state.token.clone().ok_or(TokenFailure::Error)?;
                        return Ok(Acquired { token, facts, refresh: None, fetched: false });
                    }
                    TokenVerdict::Lead => None,
                    TokenVerdict::Wait if !self.is_single_flight => None,
                    TokenVerdict::Wait => {
                        settled.as_mut().enable();
                        Some(state.requests)
                    }
                }
            };
            let Some(request) = request else { return self.lead(context, shared, wish.index).await };
            settled.await;
            let state = shared.lock();
            if let Some(refusal) = state.failure.filter(|_| state.requests == request + 1) {
                return Err(refusal);
            }
        }
    }

    /// Fetches for the group. If this future is dropped, the next client leads.
    async fn lead(
        &self,
        context: &GroupContext,
        shared: &SharedToken,
        index: u32,
    ) -> Result<Acquired, Refusal> {
        let mut flight = Flight { shared, result: Err(TokenFailure::Error.into()) };
        let refresh = shared.lock().refresh.clone();
        let fetched = self.fetch(context, index, refresh.as_ref()).await;
        flight.result = match &fetched {
            Ok(acquired) => Ok((acquired.facts, Arc::clone(&acquired.token), acquired.refresh.clone())),
            Err(refusal) => Err(*refusal),
        };
        drop(flight);
        fetched
    }

    async fn fetch(
        &self,
        context: &GroupContext,
        index: u32,
        refresh: Option<&Token>,
    ) -> Result<Acquired, Refusal> {
        let slot = match &self.common.slots {
            Some(slots) => Some(wait_for_slot(context, slots).await?),
            None => None,
        };
        let requested = context.now();
        let asking = async {
            match &self.from {
                Asked::Http(http) => http.ask(context, index, refresh).await,
                Asked::Command(command) => run_command(command).await,
            }
        };
        let answer = tokio::time::timeout(self.timeout, asking).await;
        drop(slot);
        let TokenGrant { access_token, expires_in, refresh_token } =
            answer.map_err(|_| Refusal::of_connection(TokenFailure::Error, Outcome::Timeout))??;
        let received = context.now();
        let life = expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let expires = believed_expiry(received, life, self.skew);
        Ok(Acquired {
            token: Arc::new(access_token),
            facts: TokenFacts { requested, received, expires },
            refresh: refresh_token.map(Arc::new),
            fetched: true,
        })
    }
}

impl SharedToken {
    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shared request under way; settled when dropped, whatever became of it.
struct Flight<'a> {
    shared: &'a SharedToken,
    result: Result<(TokenFacts, Token, Option<Token>), Refusal>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.requests += 1;
        state.failure = self.result.as_ref().err().copied();
        state.rules.settle(self.result.as_ref().ok().map(|(facts, _, _)| *facts));
        if let Ok((_, token, refresh)) = &self.result {
            state.token = Some(Arc::clone(token));
            if refresh.is_some() {
                state.refresh.clone_from(refresh);
            }
        }
        drop(state);
        self.shared.settled.notify_waiters();
    }
}

/// Waits for a connection of the pool, and counts the wait where there is one: it is this program's, not the target's.
async fn wait_for_slot<'a>(
    context: &GroupContext,
    slots: &'a Semaphore,
) -> Result<tokio::sync::SemaphorePermit<'a>, Refusal> {
    if let Ok(slot) = slots.try_acquire() {
        return Ok(slot);
    }
    let since = context.now();
    let slot = slots.acquire().await.map_err(|_| TokenFailure::Error)?;
    let now = context.now();
    context.run.note_pool_wait(now.since(since));
    context.send(now, Sample::Count(Counter::TokenPoolWaits, 1)).await;
    Ok(slot)
}
