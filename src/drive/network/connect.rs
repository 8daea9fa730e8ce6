//! One connection, in stages that can be seen: name, TCP, TLS, upgrade.
//!
//! In: a client's number and token, where to go. Out: when each stage was passed, and a WebSocket or the reason why there is none.
//! Every stage has its timeout.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::{Clock, Moment};
use crate::lifecycle::{ConnectFailure, Marks};
use crate::sample::Counter;
use crate::scenario::keys::ConnectRules;

use super::destination::{At, Destination};
use super::dial::{Dialer, Way};
use super::endpoint::Endpoint;
use super::group_sink::GroupSink;
use super::tls::TlsClient;
use super::token::{Token, USE_NONCE};
use super::trace::Beside;
use super::upgrade::{Socket, Upgrader};
use super::variables::{Renderer, Variables};
use super::variation::Variation;
use super::wire::Wire;

/// Connects a group's clients on one worker.
pub(super) struct Connector {
    clock: Clock,
    destination: Destination,
    dialer: Arc<Dialer>,
    tls: Option<Arc<TlsClient>>,
    tls_timeout: Duration,
    upgrader: Upgrader,
    /// Where tokens are bound to keys: where handshakes are counted that were made once more.
    proving: Option<GroupSink>,
}

impl Connector {
    /// Connects to that destination.
    pub(super) const fn new(
        clock: Clock,
        destination: Destination,
        rules: &ConnectRules,
        dialer: Arc<Dialer>,
        tls: Option<Arc<TlsClient>>,
        upgrader: Upgrader,
    ) -> Self {
        Self { clock, destination, dialer, tls, tls_timeout: rules.tls_timeout, upgrader, proving: None }
    }

    /// The same, whose handshakes prove that the client holds the key of its token, where it is bound to one.
    pub(super) fn proving(self, proves: bool, sink: &GroupSink) -> Self {
        Self { proving: proves.then(|| sink.clone()), ..self }
    }

    /// Where the next handshake of a client goes; `None`: to the group's endpoint.
    pub(super) fn way(
        &self,
        client: Renderer<'_>,
        variables: &mut Option<Box<Variables>>,
    ) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        self.destination.next(client, variables, self.now())
    }

    /// The same of a client that keeps no way.
    pub(super) fn elsewhere(&self, renderer: &Renderer<'_>) -> Result<Option<Box<Endpoint>>, ConnectFailure> {
        self.destination.elsewhere(renderer, self.now())
    }

    fn now(&self) -> At {
        let now = self.clock.now();
        (now, self.clock.unix_us(now))
    }

    /// The same, but for one thing.
    pub(super) fn vary(&mut self, variation: &Variation) {
        match variation {
            Variation::Host(host) => {
                self.destination.lead_to(self.destination.endpoint().clone().called(host));
            }
            Variation::OtherSlash => {
                let mut url = self.destination.endpoint().url.clone();
                let path = url.path().to_owned();
                url.set_path(&path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned));
                if let Some(endpoint) = Endpoint::of(url) {
                    self.destination.lead_to(endpoint);
                }
            }
            Variation::OldSignature => self.destination.outlive_signatures(),
            Variation::PlainGet | Variation::OldHttp => self.upgrader.vary(variation),
        }
    }

    /// Connects client `number` with `token`; to `elsewhere` instead of the group's endpoint, where it is given. Cookies come from the jar `beside`, and go there.
    pub(super) async fn connect(
        &self,
        number: u32,
        token: Option<Token>,
        elsewhere: Option<Box<Endpoint>>,
        beside: Beside<'_>,
    ) -> (Marks, Result<Socket, ConnectFailure>) {
        let signed = elsewhere.as_ref().and_then(|endpoint| endpoint.signature.as_ref()).map(|made| made.at);
        let mut marks = Marks { began: self.clock.now(), signed, ..Marks::default() };
        let shown = (number, token);
        let mut result =
            self.connect_in_stages(shown.clone(), elsewhere.as_deref(), beside, &mut marks).await;
        if let Some(sink) = &self.proving
            && result.as_ref().err().is_some_and(asks_for_nonce)
        {
            result =
                Box::pin(self.connect_again(sink, shown, elsewhere.as_deref(), beside, &mut marks)).await;
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
        beside: Beside<'_>,
        marks: &mut Marks,
    ) -> Result<Socket, ConnectFailure> {
        sink.count(Counter::NonceRetries).await;
        sink.count(Counter::TcpConnections).await;
        let began = self.clock.now();
        let mut again = Marks { began, ..Marks::default() };
        let result = self.connect_in_stages(shown, elsewhere, beside, &mut again).await;
        *marks = both(marks, again);
        result
    }

    async fn connect_in_stages(
        &self,
        (number, token): (u32, Option<Token>),
        elsewhere: Option<&Endpoint>,
        beside: Beside<'_>,
        marks: &mut Marks,
    ) -> Result<Socket, ConnectFailure> {
        let endpoint = elsewhere.unwrap_or_else(|| self.destination.endpoint());
        // A proof takes this machine's time, which is not to be told as the service's.
        let proved = self.upgrader.proves().then(|| {
            let request = self.upgrader.request(endpoint, number, token.as_ref(), beside);
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
        let request =
            proved.unwrap_or_else(|| self.upgrader.request(endpoint, number, token.as_ref(), beside));
        let keep = beside.jar.map(|jar| (jar, &endpoint.url));
        Box::pin(self.upgrader.upgrade(wire, request, keep, marks)).await
    }
}

/// What two handshakes took that are one to the lifecycle: what the first one took belongs to the upgrade.
pub(in crate::drive) fn both(first: &Marks, again: Marks) -> Marks {
    let before = again.began.since(first.began);
    let earlier =
        |at: Option<Moment>| at.map(|at| Moment::from_ns(at.as_ns() - as_ns(before).min(at.as_ns())));
    Marks {
        began: first.began,
        proved: earlier(again.proved),
        dns: earlier(again.dns),
        tcp: earlier(again.tcp),
        tls: earlier(again.tls),
        ended: again.ended,
        signed: first.signed,
    }
}

/// Whether a handshake was refused for the want of a nonce.
pub(in crate::drive) fn asks_for_nonce(failure: &ConnectFailure) -> bool {
    matches!(failure, ConnectFailure::Http(said) if said.status == 401 && said.bearer_error.as_deref() == Some(USE_NONCE))
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
