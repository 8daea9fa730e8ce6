//! One connection, in stages that can be seen: name, TCP, TLS, upgrade.
//!
//! In: a client's number and token, where to go. Out: when each stage was passed, and a WebSocket or the reason why there is none.
//! Every stage has its timeout.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::timeout;
use url::Url;

use crate::clock::{Clock, Moment};
use crate::declare::template::{Template, UrlText};
use crate::lifecycle::{ConnectFailure, Marks};
use crate::sample::Counter;
use crate::scenario::keys::{ConnectRules, SignRules};

use super::cookies::Jar;
use super::dial::{Dialer, Way};
use super::endpoint::Endpoint;
use super::group_sink::GroupSink;
use super::signer::Signer;
use super::tls::TlsClient;
use super::token::{Token, USE_NONCE};
use super::upgrade::{Socket, Upgrader};
use super::variables::{Renderer, Variables};
use super::variation::Variation;
use super::wire::Wire;

/// Connects a group's clients on one worker.
pub(super) struct Connector {
    clock: Clock,
    endpoint: Endpoint,
    /// Where the URL has variables: what it is made of before each handshake.
    template: Option<Template>,
    dialer: Arc<Dialer>,
    tls: Option<Arc<TlsClient>>,
    tls_timeout: Duration,
    upgrader: Upgrader,
    /// Headers that are filled in before each handshake.
    filled: Vec<(String, Template)>,
    /// Where handshakes are signed.
    signer: Option<Box<Signer>>,
    /// Where tokens are bound to keys: where handshakes are counted that were made once more.
    proving: Option<GroupSink>,
}

impl Connector {
    /// Connects to `endpoint` unless the rules' URL has variables.
    pub(super) fn new(
        clock: Clock,
        endpoint: Endpoint,
        rules: &ConnectRules,
        dialer: Arc<Dialer>,
        tls: Option<Arc<TlsClient>>,
        upgrader: Upgrader,
    ) -> Self {
        let template = rules.url.as_ref().and_then(UrlText::template).cloned();
        Self {
            clock,
            endpoint,
            template,
            dialer,
            tls,
            tls_timeout: rules.tls_timeout,
            upgrader,
            signer: None,
            filled: Vec::new(),
            proving: None,
        }
    }

    /// The same; clients from number `first` on sign their handshakes where the rules say so.
    pub(super) fn signing(mut self, rules: Option<&Arc<SignRules>>, first: u32) -> Self {
        self.signer = rules.map(|rules| Box::new(Signer::new(self.clock, Arc::clone(rules), first)));
        self
    }

    /// The same; those of the `headers` that hold variables are filled in before each handshake.
    pub(super) fn filling(mut self, headers: &[(String, Template)]) -> Self {
        self.filled = headers.iter().filter(|(_, text)| text.fixed().is_none()).cloned().collect();
        self
    }

    /// The same, whose handshakes prove that the client holds the key of its token, where it is bound to one.
    pub(super) fn proving(self, proves: bool, sink: &GroupSink) -> Self {
        Self { proving: proves.then(|| sink.clone()), ..self }
    }

    /// Where the next handshake of a client goes; `None`: to the group's endpoint. One that keeps its signature goes where its first handshake went.
    pub(super) fn way(
        &self,
        client: Renderer<'_>,
        variables: &mut Option<Box<Variables>>,
    ) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        if let Some(kept) = variables.as_deref().and_then(Variables::way) {
            return Ok(Some(Box::new(kept.clone())));
        }
        let own = variables.as_deref().map_or(client, |variables| client.with(variables));
        let way = self.elsewhere(&own)?;
        let keeps = self.signer.as_ref().is_some_and(|signer| signer.keeps());
        if let Some(way) = way.as_deref().filter(|_| keeps) {
            variables.get_or_insert_default().keep_way(way.clone());
        }
        Ok(way)
    }

    /// The same, but for one thing.
    pub(super) fn vary(&mut self, variation: &Variation) {
        match variation {
            Variation::Host(host) => self.endpoint.authority.clone_from(host),
            Variation::OtherSlash => {
                let mut url = self.endpoint.url.clone();
                let path = url.path().to_owned();
                url.set_path(&path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned));
                if let Some(endpoint) = Endpoint::of(url) {
                    self.endpoint = endpoint;
                }
            }
            Variation::OldSignature => {
                if let Some(signer) = &mut self.signer {
                    signer.outlive();
                }
            }
            Variation::PlainGet | Variation::OldHttp => self.upgrader.vary(variation),
        }
    }

    /// Where the next handshake goes, where the group's URL or headers have variables, or it is signed; `None`: to the group's endpoint. A URL that is
    /// none is the fault of whoever gave it.
    pub(super) fn elsewhere(&self, renderer: &Renderer<'_>) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        let place = self.signed_place(renderer)?;
        if self.filled.is_empty() {
            return Ok(place);
        }
        let mut place = place.unwrap_or_else(|| Box::new(self.endpoint.clone()));
        let mut lines = String::new();
        for (name, template) in &self.filled {
            let value = renderer.render(template);
            if HeaderValue::from_str(&value).is_err() {
                return Err(ConnectFailure::Protocol);
            }
            lines.extend([name, ": ", &value, "\r\n"]);
        }
        place.filled = lines.into();
        Ok(Some(place))
    }

    fn signed_place(&self, renderer: &Renderer<'_>) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        let place = self.by_template(renderer)?;
        let Some(signer) = &self.signer else { return Ok(place) };
        let signed = signer.sign(place.as_deref().unwrap_or(&self.endpoint), renderer);
        signed.map(|endpoint| Some(Box::new(endpoint))).ok_or(ConnectFailure::Protocol)
    }

    fn by_template(&self, renderer: &Renderer<'_>) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        let Some(template) = &self.template else { return Ok(None) };
        let url = Url::parse(&renderer.render(template)).ok();
        let url = url.filter(|url| matches!(url.scheme(), "ws" | "wss"));
        let found = url.and_then(Endpoint::of);
        found.map(|endpoint| Some(Box::new(endpoint))).ok_or(ConnectFailure::Protocol)
    }

    /// Connects client `number` with `token`; to `elsewhere` instead of the group's endpoint, where it is given. Cookies come from `jar`, and go there.
    pub(super) async fn connect(
        &self,
        number: u32,
        token: Option<Token>,
        elsewhere: Option<Box<Endpoint>>,
        jar: Option<&Jar>,
    ) -> (Marks, Result<Socket, ConnectFailure>) {
        let signed = elsewhere.as_ref().and_then(|endpoint| endpoint.signature.as_ref()).map(|made| made.at);
        let mut marks = Marks { began: self.clock.now(), signed, ..Marks::default() };
        let shown = (number, token);
        let mut result = self.connect_in_stages(shown.clone(), elsewhere.as_deref(), jar, &mut marks).await;
        if let Some(sink) = &self.proving
            && result.as_ref().err().is_some_and(asks_for_nonce)
        {
            result = Box::pin(self.connect_again(sink, shown, elsewhere.as_deref(), jar, &mut marks)).await;
        }
        if marks.ended == Moment::default() {
            marks.ended = self.clock.now();
        }
        (marks, result)
    }

    /// Makes a handshake once more, with the nonce that the answer to the first one asked for (RFC 9449 §9). Services end the connection with such an
    /// answer, so it has one of its own; what the first one took belongs to the upgrade.
    async fn connect_again(
        &self,
        sink: &GroupSink,
        shown: (u32, Option<Token>),
        elsewhere: Option<&Endpoint>,
        jar: Option<&Jar>,
        marks: &mut Marks,
    ) -> Result<Socket, ConnectFailure> {
        sink.count(Counter::NonceRetries).await;
        sink.count(Counter::TcpConnections).await;
        let began = self.clock.now();
        let (first, mut again) = (began.since(marks.began), Marks { began, ..Marks::default() });
        let result = self.connect_in_stages(shown, elsewhere, jar, &mut again).await;
        let earlier =
            |at: Option<Moment>| at.map(|at| Moment::from_ns(at.as_ns() - as_ns(first).min(at.as_ns())));
        *marks = Marks {
            began: marks.began,
            proved: earlier(again.proved),
            dns: earlier(again.dns),
            tcp: earlier(again.tcp),
            tls: earlier(again.tls),
            ended: again.ended,
            signed: marks.signed,
        };
        result
    }

    async fn connect_in_stages(
        &self,
        (number, token): (u32, Option<Token>),
        elsewhere: Option<&Endpoint>,
        jar: Option<&Jar>,
        marks: &mut Marks,
    ) -> Result<Socket, ConnectFailure> {
        let endpoint = elsewhere.unwrap_or(&self.endpoint);
        // A proof takes this machine's time, which is not to be told as the service's.
        let proved = self.upgrader.proves().then(|| {
            let request = self.upgrader.request(endpoint, number, token.as_ref(), jar);
            marks.proved = Some(self.clock.now());
            request
        });
        let dialing = self.dialer.dial(&endpoint.host, endpoint.port, Way::Tunnel, number, &mut marks.dns);
        let tcp = dialing.await?;
        marks.tcp = Some(self.clock.now());
        let is_secure = endpoint.is_secure();
        let wire = if is_secure {
            let tls = self.tls.as_ref().ok_or(ConnectFailure::Tls(None))?;
            let securing = timeout(self.tls_timeout, tls.secure_own(number, endpoint, tcp));
            let secured = Box::pin(securing).await.map_err(|_| ConnectFailure::Timeout)??;
            let now = self.clock.now();
            marks.tls = Some(now);
            Box::pin(tls.tell(now, now.since(marks.tcp.unwrap_or(now)), &secured)).await;
            secured.wire
        } else {
            Wire::plain(tcp)
        };
        if !is_secure {
            marks.tls = marks.tcp;
        }
        let request = proved.unwrap_or_else(|| self.upgrader.request(endpoint, number, token.as_ref(), jar));
        let keep = jar.map(|jar| (jar, &endpoint.url));
        Box::pin(self.upgrader.upgrade(wire, request, keep, marks)).await
    }
}

/// Whether a handshake was refused for the want of a nonce.
fn asks_for_nonce(failure: &ConnectFailure) -> bool {
    matches!(failure, ConnectFailure::Http(said) if said.status == 401 && said.bearer_error.as_deref() == Some(USE_NONCE))
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
