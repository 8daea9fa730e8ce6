//! What the clients of a group share on one worker.
//!
//! In: a group's setup, what the worker's clients share, the target's address. Out: [`GroupContext`]: each of its parts ready to run, with
//! just what it needs.

use std::sync::Arc;

use tokio::sync::mpsc;
use url::Url;

use crate::conversation::Looks;
use crate::declare::bare_url;
use crate::declare::template::UrlText;
use crate::drive::network::connect::Connector;
use crate::drive::network::destination::Destination;
use crate::drive::network::dial::{Dialer, Spread};
use crate::drive::network::endpoint::Endpoint;
use crate::drive::network::group_sink::GroupSink;
use crate::drive::network::http::HttpClient;
use crate::drive::network::prepare::Preparer;
use crate::drive::network::proxy::Proxy;
use crate::drive::network::session::SessionTerms;
use crate::drive::network::tls::{TlsClient, showing};
use crate::drive::network::token::{TokenCommon, TokenEndpoint, TokenMeans, TokenSource};
use crate::drive::network::upgrade::Upgrader;
use crate::drive::network::upgrade_request::UpgradeWriter;
use crate::drive::network::variables::GroupTexts;
use crate::lifecycle::GroupRules;
use crate::sample::GroupId;
use crate::scenario::keys::{ConnectRules, Grant, TokenIn, TokenRules};

use super::error::ContextError;
use super::header_lines::header_lines;
use super::target::TargetAddress;
use super::worker::RunShared;

/// What a group is built from.
#[derive(Debug, Clone)]
pub struct GroupSetup {
    /// Its index in the scenario.
    pub id: GroupId,
    /// Its name, for messages.
    pub name: String,
    /// How its clients behave.
    pub rules: GroupRules,
    /// How they connect.
    pub connect: ConnectRules,
}

/// What the clients of a group share on one worker. The last one to let go of it closes `done`.
pub struct GroupContext {
    pub(in crate::drive::network) run: Arc<RunShared>,
    pub(in crate::drive::network) rules: GroupRules,
    pub(in crate::drive::network) sink: GroupSink,
    pub(in crate::drive::network) texts: GroupTexts,
    pub(in crate::drive::network) token_in: TokenIn,
    pub(in crate::drive::network) token: Option<TokenSource>,
    pub(in crate::drive::network) preparer: Option<Preparer>,
    pub(in crate::drive::network) connector: Connector,
    pub(in crate::drive::network) session: SessionTerms,
    token_common: Option<Arc<TokenCommon>>,
    done: mpsc::Sender<()>,
}

impl GroupContext {
    /// Builds what a group shares.
    ///
    /// # Errors
    /// [`ContextError`] when a URL, a header or the token client cannot be used.
    pub fn new(
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
        done: mpsc::Sender<()>,
    ) -> Result<Self, ContextError> {
        let common = setup.rules.token.as_ref().map(|token| Arc::new(TokenCommon::of(token)));
        Self::build(run, setup, target, done, common)
    }

    /// The same group on another worker: what its clients have in common wherever they are stays one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on_worker(
        &self,
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
    ) -> Result<Self, ContextError> {
        Self::build(run, setup, target, self.done.clone(), self.token_common.clone())
    }

    fn build(
        run: Arc<RunShared>,
        setup: GroupSetup,
        target: &TargetAddress,
        done: mpsc::Sender<()>,
        token_common: Option<Arc<TokenCommon>>,
    ) -> Result<Self, ContextError> {
        let GroupSetup { id, name, mut rules, connect } = setup;
        // Each worker has its own: those who look by a regular expression wait for one another.
        rules.looks = Arc::new(Looks::clone(&rules.looks));
        let clock = run.clock();
        let endpoint = endpoint(target.websocket_url(&connect)?)?;
        let is_embedded = target.is_embedded() && connect.url.as_ref().and_then(UrlText::fixed).is_none();
        let ways = Ways::of(&run, id, &name, &connect, &endpoint, is_embedded)?;
        let dpop = token_common.as_ref().and_then(|common| common.dpop());
        let writer = UpgradeWriter::new(header_lines(&name, &connect)?, connect.token_in.clone())
            .naming_client(is_embedded)
            .proving(dpop.clone());
        let upgrader = Upgrader::new(clock, &connect, writer, rules.session.max_message_bytes)
            .offering(connect.compression.as_ref(), &ways.sink);
        let token = match (&rules.token, &token_common) {
            (Some(token), Some(common)) => {
                Some(ways.token_source(&run, &name, rules.first, token, target, common)?)
            }
            _ => None,
        };
        let has_steps = rules.prepare.as_ref().is_some_and(|prepare| !prepare.steps.is_empty());
        let preparer = has_steps.then(|| ways.preparer(&endpoint));
        let Ways { sink, dialer, tls, .. } = ways;
        let texts = GroupTexts::new(clock, endpoint.authority.clone(), rules.feeder.as_ref(), rules.first);
        let destination = Destination::new(endpoint, &connect)
            .signing(connect.sign.as_ref(), rules.first)
            .filling(&connect.headers);
        Ok(Self {
            texts,
            session: SessionTerms::new(clock, sink.clone(), Arc::clone(&rules.looks), connect.close_timeout)
                .numbered(is_embedded && rules.session.streams.is_empty()),
            connector: Connector::new(clock, destination, &connect, dialer, tls, upgrader)
                .proving(dpop.is_some(), &sink),
            token_in: connect.token_in,
            run,
            rules,
            sink,
            token,
            preparer,
            token_common,
            done,
        })
    }
}

/// The ways out of a group: for its sessions, its tokens and its steps alike.
struct Ways {
    sink: GroupSink,
    dialer: Arc<Dialer>,
    tls: Option<Arc<TlsClient>>,
    http: Arc<HttpClient>,
}

impl Ways {
    fn of(
        run: &RunShared,
        id: GroupId,
        group: &str,
        connect: &ConnectRules,
        endpoint: &Endpoint,
        is_embedded: bool,
    ) -> Result<Self, ContextError> {
        let clock = run.clock();
        let sink = run.sink_of(id);
        let proxy = match &connect.proxy {
            Some(url) => {
                Some(Proxy::new(url).ok_or_else(|| ContextError::Proxy { group: group.to_owned() })?)
            }
            None => None,
        };
        let spread = if is_embedded {
            Spread::over(&endpoint.host, endpoint.port, run.target_addresses())
        } else {
            None
        };
        let dialer = Dialer::new(clock, run.names(), run.ports(), connect, proxy, spread);
        let dialer = Arc::new(dialer.racing(connect.race_after, &sink));
        let tls_client =
            |config| Arc::new(TlsClient::new(config, sink.clone()).resuming(connect.tls_resumption));
        let config = run.tls().map(|config| match &connect.certificate {
            Some(certificate) => showing(&config, certificate),
            None => config,
        });
        let tls = config.map(tls_client);
        let http = Arc::new(HttpClient::new(Arc::clone(&dialer), tls.clone(), clock));
        Ok(Self { sink, dialer, tls, http })
    }

    fn token_source(
        &self,
        run: &RunShared,
        group: &str,
        first: u32,
        rules: &TokenRules,
        target: &TargetAddress,
        common: &Arc<TokenCommon>,
    ) -> Result<TokenSource, ContextError> {
        let (clock, sink) = (run.clock(), self.sink.clone());
        let means = match &rules.grant {
            Grant::Fixed(token) => return Ok(TokenSource::fixed(clock, token)),
            Grant::Command(command) => TokenMeans::Command(command.to_vec()),
            Grant::Jwt(keys) => TokenMeans::Mint(Arc::clone(keys), first),
            Grant::ClientCredentials(credentials)
            | Grant::RefreshToken { credentials, .. }
            | Grant::Shown { credentials, .. } => {
                let url = target.token_url(rules)?;
                let url = url.ok_or_else(|| ContextError::NoTokenUrl { group: group.to_owned() })?;
                let http = self.token_http(run, rules);
                let to = (clock, sink.clone(), run.pool_waits());
                let asked = TokenEndpoint::new(to, http, &url, first, credentials, rules, common.dpop());
                TokenMeans::Http(Box::new(asked.ok_or_else(|| ContextError::NoHost { url: bare_url(&url) })?))
            }
        };
        Ok(TokenSource::fetched((clock, sink), run.pool_waits(), means, rules, Arc::clone(common)))
    }

    /// The way to a token endpoint: that of all else, unless clients show a certificate of their own there.
    fn token_http(&self, run: &RunShared, rules: &TokenRules) -> Arc<HttpClient> {
        let (Some(certificate), Some(config)) = (&rules.certificate, run.tls()) else {
            return Arc::clone(&self.http);
        };
        let tls = TlsClient::new(showing(&config, certificate), self.sink.clone());
        Arc::new(HttpClient::new(Arc::clone(&self.dialer), Some(Arc::new(tls)), run.clock()))
    }

    /// Who makes the requests before a handshake. Those that name only a path go to `endpoint`'s server.
    fn preparer(&self, endpoint: &Endpoint) -> Preparer {
        let scheme = if endpoint.is_secure() { "https" } else { "http" };
        Preparer::new(self.sink.clone(), Arc::clone(&self.http), format!("{scheme}://{}", endpoint.authority))
    }
}

fn endpoint(url: Url) -> Result<Endpoint, ContextError> {
    let bare = bare_url(&url);
    Endpoint::of(url).ok_or(ContextError::NoHost { url: bare })
}
