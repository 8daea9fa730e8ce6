//! The upgrade of a connection to a WebSocket (RFC 6455 §4.1).
//!
//! In: a connected wire, a request. Out: a WebSocket, or what the answer says instead. The answer is read into one buffer that goes when it is
//! understood. Frames are tungstenite's.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS, SET_COOKIE, WWW_AUTHENTICATE};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use crate::clock::Clock;
use crate::deflate::{Layer, Offer, Terms};
use crate::lifecycle::{ConnectFailure, Evidence, Marks};
use crate::sample::Counter;
use crate::scenario::keys::{Compression, ConnectRules};

use super::cookies::Jar;
use super::echo::without_echo;
use super::endpoint::Endpoint;
use super::group_sink::GroupSink;
use super::retry_after::{clock_ahead, parse_retry_after};
use super::token::{DPOP_NONCE, ShownTo, Token, USE_NONCE};
use super::trace::Beside;
use super::upgrade_answer::{Answer, ask, content, is_in_order, read_body};
use super::upgrade_request::{UpgradeRequest, UpgradeWriter};
use super::variation::Variation;
use super::wire::Wire;

/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// How long a refusal's body is waited for at most, within the upgrade's timeout: the refusal itself has come by then.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connected WebSocket.
pub(super) type Socket = WebSocketStream<Wire>;

/// Asks for a group's upgrades on one worker.
pub(super) struct Upgrader {
    clock: Clock,
    writer: UpgradeWriter,
    subprotocols: Vec<String>,
    timeout: Duration,
    max_message_bytes: usize,
    /// Where permessage-deflate is offered.
    compression: Option<Box<Compressing>>,
}

/// How a group's clients have messages compressed.
struct Compressing {
    offer: Offer,
    threshold: usize,
    sink: GroupSink,
}

impl Upgrader {
    /// Upgrades by the group's rules. `writer` writes the requests; no message of more than `max_message_bytes` is read.
    pub(super) fn new(
        clock: Clock,
        rules: &ConnectRules,
        writer: UpgradeWriter,
        max_message_bytes: usize,
    ) -> Self {
        Self {
            clock,
            writer,
            subprotocols: rules.subprotocols.clone(),
            timeout: rules.upgrade_timeout,
            max_message_bytes,
            compression: None,
        }
    }

    /// Whether requests show proofs.
    pub(super) const fn proves(&self) -> bool {
        self.writer.proves()
    }

    /// The same, but that permessage-deflate is offered where the rules say so. Sessions that agree on it are counted.
    pub(super) fn offering(mut self, compression: Option<&Compression>, sink: &GroupSink) -> Self {
        self.writer = self.writer.offering(compression);
        self.compression = compression.map(|compression| {
            let (offer, threshold) = (compression.offer(), compression.threshold);
            Box::new(Compressing { offer, threshold, sink: sink.clone() })
        });
        self
    }

    /// From here on it asks otherwise.
    pub(super) fn vary(&mut self, variation: &Variation) {
        self.writer.vary(variation);
    }

    /// The request of client `number`.
    pub(super) fn request(
        &self,
        endpoint: &Endpoint,
        number: u32,
        token: Option<&Token>,
        beside: Beside<'_>,
    ) -> UpgradeRequest {
        self.writer.write(endpoint, (number, token, beside), || self.clock.unix_us_now())
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

/// How frames are read: none, and no message, of more than `most` bytes.
pub(super) fn websocket_config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}
