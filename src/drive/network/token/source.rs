//! Getting a token: by a client's own request, or the group's.
//!
//! In: the group's grant, what the client needs. Out: a token and what is known of it, or why there is none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;

use crate::clock::{Clock, Moment};
use crate::drive::network::group_sink::GroupSink;
use crate::lifecycle::{TokenFacts, TokenFailure, believed_expiry};
use crate::sample::{Request, RequestAnswer};
use crate::scenario::keys::{Grant, JwtKeys, Sharing, Skew, TokenConnection, TokenFill, TokenRules};

use super::answer::{Acquired, Refusal, Token, Wish};
use super::command::run_command;
use super::dpop::DpopBook;
use super::endpoint::TokenEndpoint;
use super::grant::TokenGrant;
use super::mint::Mint;
use super::pool::{PoolWaits, wait_for_slot};
use super::shared::{Share, SharedToken};
use super::watched::watched;

/// Programs that a group runs at once.
const MOST_COMMANDS: usize = 4;

/// Where a group's tokens come from.
#[derive(Debug)]
pub(in crate::drive::network) struct TokenSource {
    clock: Clock,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Always this one.
    Fixed(Token),
    /// Fetched.
    Fetched(Box<TokenFetcher>),
}

/// How tokens are fetched.
#[derive(Debug)]
struct TokenFetcher {
    clock: Clock,
    sink: GroupSink,
    waits: Arc<PoolWaits>,
    from: TokenMeans,
    timeout: Duration,
    /// What the clients' clock makes of a token's life.
    skew: Option<Skew>,
    common: Arc<TokenCommon>,
}

/// What all of a group's clients have in common, whichever worker they are on.
#[derive(Debug)]
pub(in crate::drive::network) struct TokenCommon {
    /// Requests at once, where they are limited.
    slots: Option<Semaphore>,
    shared: Option<SharedToken>,
    /// Their keys, where tokens are bound to such.
    dpop: Option<Arc<DpopBook>>,
}

impl TokenCommon {
    pub(in crate::drive::network) fn of(rules: &TokenRules) -> Self {
        let slots = match &rules.grant {
            Grant::Command(_) => Some(MOST_COMMANDS),
            Grant::Jwt(_) => None,
            _ if rules.connection == TokenConnection::Pooled => Some(rules.max_connections as usize),
            _ => None,
        };
        let is_shared = rules.sharing != Sharing::Own;
        Self {
            slots: slots.map(Semaphore::new),
            shared: is_shared.then(|| SharedToken::new(rules.sharing == Sharing::Group)),
            dpop: DpopBook::of(rules),
        }
    }

    /// The keys to which tokens are bound.
    pub(in crate::drive::network) fn dpop(&self) -> Option<Arc<DpopBook>> {
        self.dpop.clone()
    }
}

/// Whom to ask.
pub(in crate::drive::network) enum TokenMeans {
    /// An endpoint.
    Http(Box<TokenEndpoint>),
    /// A program.
    Command(Vec<String>),
    /// Nobody: the clients of the group, whose first has that number, sign their own.
    Mint(Arc<JwtKeys>, u32),
}

impl fmt::Debug for TokenMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => f.debug_tuple("Http").field(http).finish(),
            // Its arguments may be secret.
            Self::Command(command) => f.debug_tuple("Command").field(&command.first()).finish(),
            Self::Mint(..) => f.debug_tuple("Mint").finish(),
        }
    }
}

impl TokenSource {
    /// Always the same token.
    pub(in crate::drive::network) fn fixed(clock: Clock, token: &SecretString) -> Self {
        Self { clock, kind: Kind::Fixed(Arc::new(token.clone())) }
    }

    /// Tokens that are fetched.
    pub(in crate::drive::network) fn fetched(
        (clock, sink): (Clock, GroupSink),
        waits: Arc<PoolWaits>,
        from: TokenMeans,
        rules: &TokenRules,
        common: Arc<TokenCommon>,
    ) -> Self {
        let (timeout, skew) = (rules.timeout, rules.clock_skew);
        let fetcher = TokenFetcher { clock, sink, waits, from, timeout, skew, common };
        Self { clock, kind: Kind::Fetched(Box::new(fetcher)) }
    }

    /// The token, where it is always the same.
    pub(in crate::drive::network) const fn fixed_token(&self) -> Option<&Token> {
        match &self.kind {
            Kind::Fixed(token) => Some(token),
            Kind::Fetched(_) => None,
        }
    }

    /// Gets a token such as the client wishes.
    pub(in crate::drive::network) async fn acquire(&self, wish: &Wish) -> Result<Acquired, Refusal> {
        match &self.kind {
            Kind::Fixed(token) => {
                let now = self.clock.now();
                let facts = TokenFacts::new(now, now, Moment::NEVER);
                Ok(Acquired::from_cache(Arc::clone(token), facts))
            }
            Kind::Fetched(fetcher) => match &fetcher.common.shared {
                Some(shared) => fetcher.acquire_shared(shared, wish).await,
                None => fetcher.fetch(wish, wish.refresh.as_ref()).await,
            },
        }
    }
}

impl TokenFetcher {
    async fn acquire_shared(&self, shared: &SharedToken, wish: &Wish) -> Result<Acquired, Refusal> {
        match shared.request(wish).await? {
            Share::Token(acquired) => Ok(acquired),
            Share::Lead(flight) => {
                let fetched = self.fetch(wish, flight.refresh().as_ref()).await;
                flight.settle(&fetched);
                fetched
            }
        }
    }

    async fn fetch(&self, wish: &Wish, refresh: Option<&Token>) -> Result<Acquired, Refusal> {
        let slot = match &self.common.slots {
            Some(slots) => {
                let waiting = wait_for_slot(slots, &self.waits, self.clock, &self.sink);
                Some(waiting.await.ok_or(TokenFailure::Error)?)
            }
            None => None,
        };
        let requested = self.clock.now();
        let deadline = requested + self.timeout;
        let answer = match &self.from {
            TokenMeans::Http(http) => http.ask(wish.index, refresh, wish.beside(), deadline).await,
            TokenMeans::Command(command) => {
                let unix_us = self.clock.unix_us_now();
                let running = Box::pin(run_command(command, unix_us));
                watched(&self.sink, Request::Command, deadline, running).await
            }
            TokenMeans::Mint(keys, first) => {
                let minting = Box::pin(self.mint(keys, first.saturating_add(wish.index), wish.index));
                watched(&self.sink, Request::Mint, deadline, minting).await
            }
        };
        drop(slot);
        let grant = answer?;
        let received = self.clock.now();
        let expires = believed_expiry(received, grant.life, self.skew);
        let life_ends = believed_expiry(received, grant.life, None);
        let lacks_scope = match &self.from {
            TokenMeans::Http(http) => http.lacks_scope(&grant),
            TokenMeans::Command(_) | TokenMeans::Mint(..) => false,
        };
        let facts = TokenFacts { requested, received, expires, life_ends, lacks_scope };
        let fetched = !matches!(self.from, TokenMeans::Mint(..));
        Ok(Acquired { fetched, ..Acquired::granted(grant, facts) })
    }

    async fn mint(&self, keys: &JwtKeys, client: u32, index: u32) -> Result<TokenGrant, Refusal> {
        let unix_us = self.clock.unix_us_now();
        let fill = TokenFill { client, index, unix_us, feeder: keys.feeder.as_deref() };
        let minted =
            Mint::new(self.clock, self.sink.clone(), Arc::clone(&self.waits)).token(&keys.mint, &fill).await;
        let (token, life) = minted.ok_or_else(|| Refusal::of(TokenFailure::Error, RequestAnswer::NotSent))?;
        Ok(TokenGrant::minted(token, life))
    }
}
