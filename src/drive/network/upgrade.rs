//! The upgrade of a connection to a WebSocket (RFC 6455 §4.1).
//!
//! In: a connected wire, the group's headers, a token. Out: a WebSocket, or what the answer says instead. The request is written from
//! bytes that the group shares, and the answer is read into one buffer that goes when it is understood: a fleet that comes back makes
//! thousands of these each second. Frames are tungstenite's.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::{CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS, SET_COOKIE, WWW_AUTHENTICATE};
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use crate::clock::Clock;
use crate::deflate::{Layer, Offer, Terms};
use crate::lifecycle::{ConnectFailure, Evidence, Marks};
use crate::sample::Counter;
use crate::scenario::keys::{Compression, ConnectRules, TokenIn};

use super::cookies::Jar;
use super::echo::without_echo;
use super::endpoint::Endpoint;
use super::group_sink::GroupSink;
use super::retry_after::{clock_ahead, parse_retry_after};
use super::token::{DPOP_NONCE, DpopBook, Prover, ShownTo, Token, USE_NONCE};
use super::upgrade_answer::{Answer, ask, content, is_in_order, read_body};
use super::variation::Variation;
use super::wire::Wire;

/// What a request is written into at first; most fit.
const REQUEST_SIZE: usize = 512;
/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// How long a refusal's body is waited for at most, within the upgrade's timeout: the refusal itself has come by then.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connected WebSocket.
pub(super) type Socket = WebSocketStream<Wire>;

/// Asks for a group's upgrades on one worker.
pub(super) struct Upgrader {
    clock: Clock,
    /// Lines of the request that are the group's own.
    header_lines: Vec<u8>,
    names_client: bool,
    token_in: TokenIn,
    subprotocols: Vec<String>,
    timeout: Duration,
    max_message_bytes: usize,
    /// Where permessage-deflate is offered.
    compression: Option<Box<Compressing>>,
    /// What a probe asks otherwise.
    variation: Option<Variation>,
    /// The keys to which tokens are bound.
    dpop: Option<Arc<DpopBook>>,
}

/// How a group's clients have messages compressed.
struct Compressing {
    offer: Offer,
    /// The line of the request.
    line: String,
    threshold: usize,
    sink: GroupSink,
}

/// A request on its way.
pub(super) struct UpgradeRequest {
    bytes: Vec<u8>,
    key: String,
    /// The subprotocol that carries the token.
    token_protocol: Option<String>,
    /// Whose proof it shows.
    prover: Option<Arc<Prover>>,
}

impl Upgrader {
    /// Upgrades by the group's rules. `header_lines` are those of the group's own; no message of more than `max_message_bytes` is read.
    pub(super) fn new(
        clock: Clock,
        rules: &ConnectRules,
        header_lines: Vec<u8>,
        max_message_bytes: usize,
    ) -> Self {
        Self {
            clock,
            header_lines,
            names_client: false,
            token_in: rules.token_in.clone(),
            subprotocols: rules.subprotocols.clone(),
            timeout: rules.upgrade_timeout,
            max_message_bytes,
            compression: None,
            variation: None,
            dpop: None,
        }
    }

    /// The same, but that requests prove that the client holds the key of its token, where it is bound to one.
    pub(super) fn proving(self, dpop: Option<Arc<DpopBook>>) -> Self {
        Self { dpop, ..self }
    }

    /// Whether requests show proofs.
    pub(super) const fn proves(&self) -> bool {
        self.dpop.is_some()
    }

    /// The same, but that permessage-deflate is offered where the rules say so. Sessions that agree on it are counted.
    pub(super) fn offering(mut self, compression: Option<&Compression>, sink: &GroupSink) -> Self {
        self.compression = compression.map(|compression| {
            let offer = compression.offer();
            let line = format!("Sec-WebSocket-Extensions: {}\r\n", offer.header());
            Box::new(Compressing { offer, line, threshold: compression.threshold, sink: sink.clone() })
        });
        self
    }

    /// The same, but that requests name the client to the embedded target, which spreads its messages by it.
    pub(super) const fn naming_client(mut self, names_client: bool) -> Self {
        self.names_client = names_client;
        self
    }

    /// From here on it asks otherwise.
    pub(super) fn vary(&mut self, variation: &Variation) {
        self.variation = Some(variation.clone());
    }

    /// The request of client `number`: the group's headers, a key, and the token where the group puts it. A token that cannot stand
    /// there is left out: the target will say so.
    pub(super) fn request(
        &self,
        endpoint: &Endpoint,
        number: u32,
        token: Option<&Token>,
        jar: Option<&Jar>,
    ) -> UpgradeRequest {
        let key = generate_key();
        let mut bytes = Vec::with_capacity(REQUEST_SIZE);
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        let text = token.map(|token| token.expose_secret()).filter(|text| can_stand_in_a_header(text));
        let (mut authorization, mut token_protocol, mut query) = (None, None, None);
        match (&self.token_in, text) {
            (TokenIn::Header, text) => authorization = text,
            (TokenIn::Subprotocol(prefix), Some(text)) => token_protocol = Some(format!("{prefix}{text}")),
            (TokenIn::Query(name), Some(text)) => query = Some((name, text)),
            _ => {}
        }
        put(&["GET "]);
        match query {
            None => put(&[&endpoint.target]),
            Some((name, text)) => {
                let mut url = endpoint.url.clone();
                url.query_pairs_mut().append_pair(name, text);
                put(&[&url[url::Position::BeforePath..url::Position::AfterQuery]]);
            }
        }
        let version = if self.variation == Some(Variation::OldHttp) { " HTTP/1.0" } else { " HTTP/1.1" };
        put(&[
            version,
            "\r\nHost: ",
            &endpoint.authority,
            "\r\n",
            endpoint.signature_lines(),
            &endpoint.filled,
        ]);
        if self.variation == Some(Variation::PlainGet) {
            put(&["Connection: close\r\n"]);
        } else {
            put(&[
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
            ]);
            put(&[&key, "\r\n"]);
        }
        let prover = authorization.and_then(|_| self.dpop.as_ref()?.prover(number));
        match (authorization, &prover) {
            (Some(text), Some(prover)) => {
                let of = (("GET", &endpoint.url), (number, self.clock.unix_us_now()));
                let proof = prover.prove(ShownTo::Service, of.0, of.1, Some(text)).unwrap_or_default();
                put(&["Authorization: DPoP ", text, "\r\nDPoP: ", &proof, "\r\n"]);
            }
            (Some(text), None) => put(&["Authorization: Bearer ", text, "\r\n"]),
            (None, _) => {}
        }
        if let Some(protocol) = &token_protocol {
            put(&["Sec-WebSocket-Protocol: ", protocol, "\r\n"]);
        }
        if let Some(compressing) = &self.compression {
            put(&[&compressing.line]);
        }
        let cookies = jar.and_then(|jar| jar.header(&endpoint.url, self.unix_s_now()));
        if let Some(cookies) = &cookies {
            put(&["Cookie: ", cookies, "\r\n"]);
        }
        if self.names_client {
            put(&["X-Resurge-Client: ", &number.to_string(), "\r\n"]);
        }
        bytes.extend_from_slice(&self.header_lines);
        bytes.extend_from_slice(b"\r\n");
        UpgradeRequest { bytes, key, token_protocol, prover }
    }

    /// Asks for the upgrade, within the group's timeout. What the answer sets is kept where `keep` says, as of that URL.
    pub(super) async fn upgrade(
        &self,
        mut wire: Wire,
        request: UpgradeRequest,
        keep: Option<(&Jar, &Url)>,
        marks: &mut Marks,
    ) -> Result<Socket, ConnectFailure> {
        let began = self.clock.now();
        let asked = timeout(self.timeout, ask(&mut wire, &request.bytes)).await;
        marks.ended = self.clock.now();
        let answer = asked.map_err(|_| ConnectFailure::Timeout)??;
        if let Some((jar, url)) = keep {
            answer.all(&SET_COOKIE).for_each(|line| jar.take(url, line, self.unix_s_now()));
        }
        if let Some(prover) = &request.prover {
            prover.keep_nonce(ShownTo::Service, answer.header(&DPOP_NONCE));
        }
        if answer.status != 101 {
            let left = self.timeout.saturating_sub(marks.ended.since(began)).min(EVIDENCE_TIMEOUT);
            return Err(Box::pin(self.refusal(&mut wire, answer, &request.bytes, left)).await);
        }
        let mut offered = self.subprotocols.iter().chain(&request.token_protocol);
        if !is_in_order(&answer, &request.key, |name| offered.any(|offered| offered == name)) {
            return Err(ConnectFailure::Protocol);
        }
        let mut early = answer.bytes[answer.end..].to_vec();
        match self.agreed(&answer)? {
            None => wire.watch_frames(&early),
            Some((compressing, terms)) => {
                let early = std::mem::take(&mut early);
                wire = wire.deflate(Layer::new(terms, self.max_message_bytes, compressing.threshold, &early));
                wire.watch_frames(&[]);
                Box::pin(compressing.sink.count(Counter::CompressedSessions)).await;
            }
        }
        let config = websocket_config(self.max_message_bytes);
        Ok(WebSocketStream::from_partially_read(wire, early, Role::Client, Some(config)).await)
    }

    /// How messages are compressed, where both sides agree on it. An extension that was not offered, or on other terms, fails the
    /// connection (RFC 6455 §9.1).
    fn agreed(&self, answer: &Answer) -> Result<Option<(&Compressing, Terms)>, ConnectFailure> {
        let mut extensions = answer.all(&SEC_WEBSOCKET_EXTENSIONS);
        let Some(compressing) = &self.compression else {
            return if extensions.all(str::is_empty) { Ok(None) } else { Err(ConnectFailure::Protocol) };
        };
        match compressing.offer.agree(extensions) {
            Ok(terms) => Ok(terms.map(|terms| (&**compressing, terms))),
            Err(disagreement) => {
                log::debug!("the upgrade's answer: {disagreement}");
                Err(ConnectFailure::Protocol)
            }
        }
    }

    fn unix_s_now(&self) -> u64 {
        self.clock.unix_us_now() / 1_000_000
    }

    /// What an HTTP answer that is no upgrade says; its body is waited for so long.
    async fn refusal(
        &self,
        wire: &mut Wire,
        answer: Answer,
        sent: &[u8],
        patience: Duration,
    ) -> ConnectFailure {
        let mut body = answer.bytes[answer.end..].to_vec();
        if timeout(patience, read_body(wire, &answer, &mut body)).await.is_err() {
            log::debug!("the body of a refusal did not come in time");
        }
        let (body, now) = (content(&answer, body), self.clock.unix_us_now());
        let retry_after = answer.header(&RETRY_AFTER).and_then(|text| parse_retry_after(text, now));
        let clock_ahead_s = clock_ahead(&answer.bytes[..answer.end], sent, now);
        let evidence = Evidence::read(
            answer.status,
            challenge_of(&answer),
            answer.header(&CONTENT_TYPE),
            &body,
            retry_after,
        );
        ConnectFailure::Http(Box::new(without_echo(Evidence { clock_ahead_s, ..evidence }, sent)))
    }
}

/// The challenge of a refusal: that which asks for a nonce, else the first.
fn challenge_of(answer: &Answer) -> Option<&str> {
    let asks = answer.all(&WWW_AUTHENTICATE).find(|line| line.contains(USE_NONCE));
    asks.or_else(|| answer.header(&WWW_AUTHENTICATE))
}

/// A header's value holds no line's end and no other control (RFC 9110 §5.5).
fn can_stand_in_a_header(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// How frames are read: none, and no message, of more than `most` bytes.
pub(super) fn websocket_config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_header_is_left_out() {
        assert!(can_stand_in_a_header("abc.def-_~+/="));
        for text in ["a\r\nX: y", "a\nb", "\u{7f}"] {
            assert!(!can_stand_in_a_header(text), "{text:?}");
        }
    }
}
