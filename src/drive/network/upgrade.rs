//! The upgrade of a connection to a WebSocket (RFC 6455 §4.1).
//!
//! In: a connected wire, the group's headers, a token. Out: a WebSocket, or what the answer says instead. The request is written from
//! bytes that the group shares, and the answer is read into one buffer that goes when it is understood: a fleet that comes back makes
//! thousands of these each second. Frames are tungstenite's.

use std::time::Duration;

use http::HeaderValue;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
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
use super::local::classify_io;
use super::retry_after::{clock_ahead, parse_retry_after};
use super::token::Token;
use super::variation::Variation;
use super::wire::Wire;

/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// What an answer's header is read into at first; most fit.
const ANSWER_SIZE: usize = 512;
/// The longest header of an answer.
const ANSWER_CAP: usize = 64 * 1024;
/// The most headers of an answer.
const MOST_HEADERS: usize = 124;
/// How much of a refusal's body is read for evidence.
const EVIDENCE_CAP: usize = 8 * 1024;
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
}

/// An answer's header, and what came behind it.
struct Answer {
    bytes: Vec<u8>,
    /// Where the header ends.
    end: usize,
    status: u16,
    /// Those that are looked at, by name; each as often as it came.
    headers: Vec<(HeaderName, String)>,
}

/// The headers of an answer that are looked at.
const LOOKED_AT: [HeaderName; 11] = [
    UPGRADE,
    CONNECTION,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_EXTENSIONS,
    WWW_AUTHENTICATE,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    RETRY_AFTER,
    SET_COOKIE,
];

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
        }
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
        let mut bytes = Vec::with_capacity(ANSWER_SIZE);
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
        put(&[version, "\r\nHost: ", &endpoint.authority, "\r\n", endpoint.signature_lines()]);
        if self.variation == Some(Variation::PlainGet) {
            put(&["Connection: close\r\n"]);
        } else {
            put(&[
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
            ]);
            put(&[&key, "\r\n"]);
        }
        if let Some(text) = authorization {
            put(&["Authorization: Bearer ", text, "\r\n"]);
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
        UpgradeRequest { bytes, key, token_protocol }
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
            answer.header(&WWW_AUTHENTICATE),
            answer.header(&CONTENT_TYPE),
            &body,
            retry_after,
        );
        ConnectFailure::Http(Box::new(without_echo(Evidence { clock_ahead_s, ..evidence }, sent)))
    }
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

async fn ask(wire: &mut Wire, request: &[u8]) -> Result<Answer, ConnectFailure> {
    // Whoever closes in the middle of an upgrade has not refused a connection.
    let broken = |error: std::io::Error| match classify_io(&error) {
        ConnectFailure::Refused => ConnectFailure::Protocol,
        other => other,
    };
    wire.write_all(request).await.map_err(broken)?;
    wire.flush().await.map_err(broken)?;
    let mut bytes = Vec::with_capacity(ANSWER_SIZE);
    loop {
        if wire.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            return Err(ConnectFailure::Reset);
        }
        match parse(&bytes)? {
            Some((end, status, headers)) => return Ok(Answer { bytes, end, status, headers }),
            None if bytes.len() > ANSWER_CAP => return Err(ConnectFailure::Protocol),
            None => {}
        }
    }
}

/// Where a header ends, its status, and what is looked at of it.
pub(super) type Head = (usize, u16, Vec<(HeaderName, String)>);

/// Reads an answer's header; `None` while its end has not come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, ConnectFailure> {
    let mut parsed = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut parsed);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ConnectFailure::Protocol),
    };
    let looked_at = response.headers.iter().filter_map(|header| {
        let name = LOOKED_AT.iter().find(|name| header.name.eq_ignore_ascii_case(name.as_str()))?;
        Some((name.clone(), std::str::from_utf8(header.value).ok()?.trim().to_owned()))
    });
    Ok(Some((end, response.code.unwrap_or_default(), looked_at.collect())))
}

impl Answer {
    /// The first of that name.
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a header's list has `word`, in whatever case.
    fn lists(&self, name: &HeaderName, word: &str) -> bool {
        self.all(name).flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    }
}

/// Whether a 101 is what RFC 6455 §4.1 has a client insist on: the upgrade, the key's answer, and a subprotocol only of those that were offered. It
/// may choose none. What it says of extensions is looked at apart.
fn is_in_order(answer: &Answer, key: &str, mut was_offered: impl FnMut(&str) -> bool) -> bool {
    let accepts = answer.header(&SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str());
    accepts
        && answer.lists(&UPGRADE, "websocket")
        && answer.lists(&CONNECTION, "upgrade")
        && answer.header(&SEC_WEBSOCKET_PROTOCOL).is_none_or(&mut was_offered)
}

/// The same of an answer in parts, where nothing was offered.
pub(super) fn answer_in_order(
    bytes: Vec<u8>,
    end: usize,
    status: u16,
    headers: Vec<(HeaderName, String)>,
    key: &str,
) -> bool {
    is_in_order(&Answer { bytes, end, status, headers }, key, |_| false)
}

/// How much of a refusal's body is wanted.
fn wanted(answer: &Answer) -> usize {
    let length = answer.header(&CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    let is_chunked = answer.header(&TRANSFER_ENCODING).is_some();
    if is_chunked { EVIDENCE_CAP } else { length.unwrap_or(EVIDENCE_CAP).min(EVIDENCE_CAP) }
}

/// Reads a refusal's body, as far as it goes and is wanted; what has come stays in `body`, also where the rest is not waited for.
async fn read_body(wire: &mut Wire, answer: &Answer, body: &mut Vec<u8>) {
    let is_chunked = answer.header(&TRANSFER_ENCODING).is_some();
    let mut chunk = [0; 1024];
    while body.len() < wanted(answer) && !(is_chunked && body.ends_with(b"0\r\n\r\n")) {
        match wire.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => body.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A refusal's body as it was meant.
fn content(answer: &Answer, mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(wanted(answer));
    if answer.header(&TRANSFER_ENCODING).is_some() { without_chunk_sizes(&body) } else { body }
}

/// The content of a chunked body (RFC 9112 §7.1), as far as it came.
pub(super) fn without_chunk_sizes(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).ok().and_then(|line| {
            let digits = line.split(';').next().unwrap_or_default().trim();
            usize::from_str_radix(digits, 16).ok()
        });
        let Some(size) = size.filter(|size| *size > 0) else { break };
        body = &body[end + 2..];
        let size = size.min(body.len());
        content.extend_from_slice(&body[..size]);
        body = &body[size..];
        body = body.strip_prefix(b"\r\n").unwrap_or(body);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// The answer to [`KEY`], as RFC 6455 §1.3 has it.
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn answer(text: &str) -> Answer {
        let bytes = text.as_bytes().to_vec();
        let Ok(Some((end, status, headers))) = parse(&bytes) else { panic!("{text}") };
        Answer { bytes, end, status, headers }
    }

    #[test]
    fn an_answer_is_taken_only_as_the_rfc_has_it() {
        let offered = |name: &str| name == "chat";
        let with = |more: &str| is_in_order(&answer(&format!("{GOOD}{more}\r\n")), KEY, offered);
        let without = |name: &str| {
            let lines: String = GOOD
                .split_inclusive("\r\n")
                .filter(|line| !line.to_ascii_lowercase().starts_with(name))
                .collect();
            is_in_order(&answer(&format!("{lines}\r\n")), KEY, offered)
        };
        assert!(with("") && with("Sec-WebSocket-Protocol: chat\r\n"));
        assert!(!with("Sec-WebSocket-Protocol: other\r\n"), "never offered");
        for name in ["upgrade", "connection", "sec-websocket-accept"] {
            assert!(!without(name), "{name} is missing");
        }
        assert!(!is_in_order(&answer(&format!("{GOOD}\r\n")), "AAAAAAAAAAAAAAAAAAAAAA==", offered));
    }

    #[test]
    fn a_header_ends_where_it_ends_however_it_is_sliced() {
        let whole = format!("{GOOD}\r\nmore");
        let end = whole.len() - "more".len();
        for cut in 0..whole.len() {
            let head = parse(&whole.as_bytes()[..cut]).map_err(|_| ()).unwrap();
            assert_eq!(
                head.map(|(end, status, _)| (end, status)),
                (cut >= end).then_some((end, 101)),
                "{cut}"
            );
        }
        for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0"] {
            assert!(matches!(parse(garbage.as_bytes()), Err(ConnectFailure::Protocol)), "{garbage}");
        }
        let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert!(matches!(parse(many.as_bytes()), Err(ConnectFailure::Protocol)));
    }

    #[test]
    fn what_would_break_a_header_is_left_out() {
        assert!(can_stand_in_a_header("abc.def-_~+/="));
        for text in ["a\r\nX: y", "a\nb", "\u{7f}"] {
            assert!(!can_stand_in_a_header(text), "{text:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_taken_out() {
        assert_eq!(without_chunk_sizes(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(without_chunk_sizes(b"ff\r\ncut off"), b"cut off");
        assert_eq!(without_chunk_sizes(b"nonsense\r\n"), b"");
        assert_eq!(without_chunk_sizes(b""), b"");
    }
}
