//! Upgrade requests that are written out: those in which more stands than a token.
//!
//! In: a group's rules, what a client has. Out: the request as it would go over a wire, and its parts as the target reads them. The texts are made by what
//! makes them on the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::Uri;
use url::Url;

use crate::clock::Moment;
use crate::declare::template::UrlText;
use crate::drive::network::destination::Destination;
use crate::drive::network::endpoint::Endpoint;
use crate::drive::network::trace::Beside;
use crate::drive::network::upgrade_request::UpgradeWriter;
use crate::drive::network::variables::{GroupTexts, Renderer, Variables};
use crate::drive::network::{DpopBook, Prover, TargetAddress, Token, header_lines};
use crate::lifecycle::ConnectFailure;
use crate::plan::first_number;
use crate::scenario::keys::{ConnectRules, Scenario, Target, TargetRules, TokenPlace, TokenRules};

/// The port of a target that listens nowhere.
const PORT: u16 = 8080;
/// The most headers of a request.
const MOST_HEADERS: usize = 256;

/// How a group's upgrade requests are written.
pub(super) struct Writing {
    texts: GroupTexts,
    destination: Destination,
    writer: UpgradeWriter,
    /// Scheme, host and port of requests that name only a path.
    base: String,
}

/// A request.
pub(super) struct Written {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Where it goes.
    pub(super) url: Url,
    /// When it was signed.
    pub(super) signed: Option<Moment>,
    /// Whose proof it shows.
    pub(super) prover: Option<Arc<Prover>>,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl Writing {
    /// That of a group, where its requests, or what the target looks at in them, are more than a token.
    pub(super) fn of(
        scenario: &Scenario,
        index: usize,
        target: &TargetRules,
        dpop: Option<Arc<DpopBook>>,
    ) -> Option<Box<Self>> {
        let group = &scenario.groups[index];
        let connect = &group.connect;
        let is_plain = connect.url.is_none()
            && connect.sign.is_none()
            && connect.headers.is_empty()
            && group.prepare.is_none()
            && group.session.on_message.is_empty()
            && connect.path.as_ref().is_none_or(|path| !path.contains('?'));
        let binds = target.client_certificates.as_ref().is_some_and(|asked| asked.bind_tokens);
        let looks_at_more = target.tickets.is_some()
            || target.dpop.is_some()
            || hears_texts(target)
            || binds
            || target.signatures.is_some()
            || target.accepts_token_in.contains(&TokenPlace::Path);
        if is_plain && !looks_at_more && dpop.is_none() {
            return None;
        }
        let endpoint = Endpoint::of(url_of(&scenario.target, connect)?)?;
        let lines = header_lines(&group.name, connect).unwrap_or_default();
        let scheme = if endpoint.is_secure() { "https" } else { "http" };
        Some(Box::new(Self {
            base: format!("{scheme}://{}", endpoint.authority),
            texts: GroupTexts::timeless(
                endpoint.authority.clone(),
                group.feeder.as_ref(),
                first_number(scenario, index),
            ),
            destination: Destination::new(endpoint, connect)
                .signing(connect.sign.as_ref(), first_number(scenario, index))
                .filling(&connect.headers),
            writer: UpgradeWriter::new(lines, connect.token_in.clone())
                .proving(dpop)
                .naming_client(connect.url.as_ref().and_then(UrlText::fixed).is_none()),
        }))
    }

    /// Whether its clients prove that they hold the keys of their tokens.
    pub(super) const fn proves(&self) -> bool {
        self.writer.proves()
    }

    /// Scheme, host and port of requests that name only a path.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What the group's texts may name.
    pub(super) const fn texts(&self) -> &GroupTexts {
        &self.texts
    }

    /// Client `number`, with its token, at a time in microseconds since 1970.
    pub(super) const fn client<'a>(
        &'a self,
        number: u32,
        token: Option<&'a Token>,
        unix_us: u64,
    ) -> Renderer<'a> {
        Renderer::new(&self.texts, number, token, None).at(unix_us)
    }

    /// The request of client `number`, which has this token and these variables.
    pub(super) fn write(
        &self,
        (number, token): (u32, Option<&Token>),
        variables: &mut Option<Box<Variables>>,
        (now, unix_us): (Moment, u64),
    ) -> Result<Written, ConnectFailure> {
        let client = self.client(number, token, unix_us);
        let way = self.destination.next(client, variables, (now, unix_us))?;
        let endpoint = way.as_deref().unwrap_or_else(|| self.destination.endpoint());
        let jar = variables.as_deref().and_then(Variables::jar);
        let request = self.writer.write(endpoint, (number, token, Beside::cookies(jar)), || unix_us);
        let (uri, headers) = read(&request.bytes).ok_or(ConnectFailure::Protocol)?;
        let signed = endpoint.signature.as_ref().map(|signature| signature.at);
        Ok(Written { uri, headers, url: endpoint.url.clone(), signed, prover: request.prover })
    }
}

/// Whether the target looks at what clients say.
pub(super) fn hears_texts(target: &TargetRules) -> bool {
    !target.script.is_empty() || target.message_token.is_some()
}

impl Written {
    /// Whether it goes over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "wss"
    }
}

/// Where a group's handshakes go unless their URL has variables.
fn url_of(target: &Target, connect: &ConnectRules) -> Option<Url> {
    address_of(target).websocket_url(connect).ok()
}

/// Where the target is to be had.
fn address_of(target: &Target) -> TargetAddress {
    match target {
        Target::Embedded(rules) => TargetAddress::Embedded {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            tls: rules.tls,
            path: rules.path.clone(),
        },
        Target::Remote(remote) => TargetAddress::Remote {
            url: Url::clone(&remote.url),
            token_url: remote.token_url.as_deref().cloned(),
        },
    }
}

/// Host and port of the target.
pub(super) fn authority(target: &Target) -> String {
    let url = address_of(target).websocket_url(&ConnectRules::default()).ok();
    url.and_then(Endpoint::of).map(|endpoint| endpoint.authority).unwrap_or_default()
}

/// Where a group's token requests go.
pub(super) fn token_url(target: &Target, rules: &TokenRules) -> Option<Url> {
    address_of(target).token_url(rules).ok()?
}

/// A request's parts as a server reads them.
fn read(bytes: &[u8]) -> Option<(Uri, HeaderMap)> {
    let mut parsed = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut parsed);
    request.parse(bytes).ok().filter(httparse::Status::is_complete)?;
    let uri = request.path?.parse().ok()?;
    let headers = request.headers.iter().map(|header| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    });
    let mut all = HeaderMap::new();
    for header in headers {
        let (name, value) = header?;
        all.append(name, value);
    }
    Some((uri, all))
}

/// A token as a client's texts hold it.
pub(super) fn token_of(text: String) -> Token {
    Arc::new(text.into())
}
