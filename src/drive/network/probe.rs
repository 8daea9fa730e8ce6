//! One connection at a time, by hand: what experiments are made of.
//!
//! In: a group's setup. Out: tokens and handshakes, one call each. Nothing here decides what comes next, and nothing reaches a recorder.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::drive::sample_channel;
use crate::lifecycle::{ConnectFailure, Marks, StopPhase, TokenFacts};
use crate::scenario::keys::Sharing;

use super::address::AddressPolicy;
use super::cookies::Jar;
use super::endpoint::Endpoint;
use super::prepare::prepare_noting;
use super::probe_session::ProbeSession;
use super::session::Session;
use super::setup::{ContextError, GroupContext, GroupSetup, RunShared, TargetAddress};
use super::token::{Refusal, Token, Wish};
use super::trace::Beside;
use super::variables::{Renderer, Variables};
use super::variation::Variation;

/// What probes of one target share.
pub struct ProbeShared {
    run: Arc<RunShared>,
    /// Kept, so that nothing takes the run for ended.
    _stop: watch::Sender<StopPhase>,
}

impl ProbeShared {
    /// What probes share. `tls` is needed where any URL is `wss` or `https`.
    ///
    /// # Errors
    /// Where the system has no timer to give.
    pub fn new(
        clock: Clock,
        policy: Arc<AddressPolicy>,
        tls: Option<rustls::ClientConfig>,
    ) -> std::io::Result<Self> {
        let (stop, stopping) = watch::channel(StopPhase::Running);
        // Without its receiver the channel takes nothing, and never fills.
        let (sink, _) = sample_channel();
        let run = RunShared::new(clock, policy, sink, stopping, tls.map(Arc::new))?;
        Ok(Self { run: Arc::new(run), _stop: stop })
    }
}

/// A client that does what it is told, step by step.
pub struct Probe {
    context: Arc<GroupContext>,
    /// What the steps before the last handshake brought.
    made: Mutex<Option<Variables>>,
    _done: mpsc::Receiver<()>,
}

/// A token in a probe's hand, or that it has none.
#[derive(Debug, Clone)]
pub struct ProbeToken {
    token: Option<Token>,
    facts: TokenFacts,
}

/// What kind of text a token is; the token itself is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLook {
    /// There is none.
    Absent,
    /// It is empty.
    Empty,
    /// It is a word that programs write when they have none, as `undefined`.
    Placeholder(&'static str),
    /// It is anything else.
    Plain,
}

/// What programs write where they have no token.
const PLACEHOLDERS: [&str; 6] = ["undefined", "null", "None", "nil", "NaN", "[object Object]"];
/// A token that no service issues.
const NONSENSE: &str = "resurge-diagnose-no-such-token";

impl ProbeToken {
    /// No token.
    #[must_use]
    pub const fn none() -> Self {
        let facts = TokenFacts::new(Moment::ZERO, Moment::ZERO, Moment::NEVER);
        Self { token: None, facts }
    }

    /// A token that no service knows.
    #[must_use]
    pub fn nonsense() -> Self {
        Self { token: Some(Arc::new(SecretString::from(NONSENSE))), ..Self::none() }
    }

    /// What is known of it.
    #[must_use]
    pub const fn facts(&self) -> TokenFacts {
        self.facts
    }

    /// What kind of text it is.
    #[must_use]
    pub fn look(&self) -> TokenLook {
        let Some(token) = &self.token else { return TokenLook::Absent };
        let text = token.expose_secret().trim();
        if text.is_empty() {
            return TokenLook::Empty;
        }
        PLACEHOLDERS.into_iter().find(|word| *word == text).map_or(TokenLook::Plain, TokenLook::Placeholder)
    }
}

/// Why there is no session.
#[derive(Debug)]
pub struct NotConnected {
    /// The step before the handshake at which it ended, by its name; `None`: it was the handshake.
    pub step: Option<String>,
    /// What it came to.
    pub failure: ConnectFailure,
}

impl From<ConnectFailure> for NotConnected {
    fn from(failure: ConnectFailure) -> Self {
        Self { step: None, failure }
    }
}

impl Probe {
    /// A probe that behaves as a client of `setup` does, but for what it is told.
    ///
    /// # Errors
    /// [`ContextError`] when a URL, a header or the token client cannot be used.
    pub fn new(
        shared: &ProbeShared,
        mut setup: GroupSetup,
        target: &TargetAddress,
    ) -> Result<Self, ContextError> {
        if let Some(token) = &mut setup.rules.token {
            // Each experiment needs a token of its own.
            token.sharing = Sharing::Own;
        }
        let (done, receiver) = mpsc::channel(1);
        let context = GroupContext::new(Arc::clone(&shared.run), setup, target, done)?;
        Ok(Self { context: Arc::new(context), made: Mutex::new(None), _done: receiver })
    }

    /// The same, but that its handshakes differ in one thing.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn varied(
        shared: &ProbeShared,
        setup: GroupSetup,
        target: &TargetAddress,
        variation: &Variation,
    ) -> Result<Self, ContextError> {
        let mut probe = Self::new(shared, setup, target)?;
        if let Some(context) = Arc::get_mut(&mut probe.context) {
            context.connector.vary(variation);
        }
        Ok(probe)
    }

    /// The moment that it is now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.context.run.clock().now()
    }

    /// Whether each call of [`Self::fetch`] brings another token.
    #[must_use]
    pub fn fetches(&self) -> bool {
        self.context.token.as_ref().is_some_and(|source| source.fixed_token().is_none())
    }

    /// Whether the group has tokens.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.context.token.is_some()
    }

    /// Whether its handshakes may show something else in a token's place: a cookie, a ticket in the URL, a header, a first message.
    #[must_use]
    pub fn may_show(&self) -> bool {
        self.context.rules.may_show
    }

    /// Gets a token as the group does: from its endpoint, its fixed one, or none.
    ///
    /// # Errors
    /// Why none came.
    pub async fn fetch(&self) -> Result<ProbeToken, Refusal> {
        let Some(source) = &self.context.token else { return Ok(ProbeToken::none()) };
        let wish = Wish::new(0, None, Moment::ZERO, Moment::NEVER);
        let acquired = source.acquire(&wish).await?;
        Ok(ProbeToken { token: Some(acquired.token), facts: acquired.facts })
    }

    /// Whether requests before each handshake bring a channel or a ticket.
    #[must_use]
    pub fn prepares(&self) -> bool {
        self.context.rules.prepare.as_ref().is_some_and(|rules| !rules.steps.is_empty())
    }

    fn renderer<'a>(&'a self, token: Option<&'a Token>, variables: Option<&'a Variables>) -> Renderer<'a> {
        Renderer::new(&self.context.texts, 0, token, variables)
    }

    /// Makes the requests before a handshake. Answers with where it goes.
    async fn prepare(&self, token: Option<&Token>) -> Result<Option<Box<Endpoint>>, NotConnected> {
        let variables = match &self.context.rules.prepare {
            Some(rules) => {
                let (client, mut step) = (self.renderer(token, None), None);
                let kept = Variables::with_jar(rules.cookies.then(Jar::default));
                let made =
                    prepare_noting(self.context.preparer.as_ref(), rules, client, kept, &mut step).await;
                Some(made.map_err(|failure| NotConnected { step: step.map(str::to_owned), failure })?)
            }
            None => None,
        };
        let way = self.context.connector.elsewhere(&self.renderer(token, variables.as_ref()));
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = variables;
        Ok(way?)
    }

    /// Connects with `token`, with all the requests before it, and says what a client says first.
    ///
    /// # Errors
    /// Why there is no session; the marks say when each stage was passed.
    pub async fn connect(&self, token: &ProbeToken) -> (Marks, Result<ProbeSession, NotConnected>) {
        let began = self.now();
        let way = self.prepare(token.token.as_ref()).await;
        self.go(token, began, way).await
    }

    /// Connects with `token` to where the last handshake went, without the requests before it.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_again(&self, token: &ProbeToken) -> (Marks, Result<ProbeSession, NotConnected>) {
        let way = {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            self.context.connector.elsewhere(&self.renderer(token.token.as_ref(), made.as_ref()))
        };
        self.go(token, self.now(), way.map_err(NotConnected::from)).await
    }

    async fn go(
        &self,
        token: &ProbeToken,
        began: Moment,
        way: Result<Option<Box<Endpoint>>, NotConnected>,
    ) -> (Marks, Result<ProbeSession, NotConnected>) {
        let elsewhere = match way {
            Ok(elsewhere) => elsewhere,
            Err(failure) => {
                return (Marks { began, ended: self.now(), ..Marks::default() }, Err(failure));
            }
        };
        let jar = {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.as_ref().and_then(Variables::jar).cloned()
        };
        let connecting =
            self.context.connector.connect(0, token.token.clone(), elsewhere, Beside::cookies(jar.as_ref()));
        let (marks, connected) = connecting.await;
        let socket = match connected {
            Ok(socket) => socket,
            Err(failure) => return (marks, Err(failure.into())),
        };
        let variables = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let session = Session::new(&self.context.session, socket, marks.ended);
        let mut session = ProbeSession::new(
            session,
            Arc::clone(&self.context),
            token.token.clone(),
            variables,
            marks.ended,
        );
        session.begin().await;
        (marks, Ok(session))
    }
}
