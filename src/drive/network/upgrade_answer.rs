//! The answer to an upgrade request.
//!
//! In: a wire, the request as bytes. Out: the answer's header, what is looked at of it, the body of a refusal. Nothing is decided here.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::lifecycle::ConnectFailure;

use super::local::classify_io;
use super::tls::alert_in;
use super::token::DPOP_NONCE;
use super::wire::Wire;

/// What an answer's header is read into at first; most fit.
const ANSWER_SIZE: usize = 512;
/// The longest header of an answer.
const ANSWER_CAP: usize = 64 * 1024;
/// The most headers of an answer.
const MOST_HEADERS: usize = 124;
/// How much of a refusal's body is read for evidence.
const EVIDENCE_CAP: usize = 8 * 1024;

/// An answer's header, and what came behind it.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Where the header ends.
    pub(super) end: usize,
    pub(super) status: u16,
    /// Those that are looked at, by name; each as often as it came.
    headers: Vec<(HeaderName, String)>,
}

/// The headers of an answer that are looked at.
static LOOKED_AT: [HeaderName; 12] = [
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
    DPOP_NONCE,
];

pub(super) async fn ask(wire: &mut Wire, request: &[u8]) -> Result<Answer, ConnectFailure> {
    // Whoever closes in the middle of an upgrade has not refused a connection.
    let broken = |error: std::io::Error| match classify_io(&error) {
        ConnectFailure::Refused => ConnectFailure::Protocol,
        other => other,
    };
    let mut bytes = Vec::with_capacity(ANSWER_SIZE);
    let written = async { wire.write_all(request).await.and(wire.flush().await) }.await;
    if let Err(error) = written {
        // A peer that refuses the client's certificate says so, and closes; what it said may not have been read.
        let said = wire.read_buf(&mut bytes).await.err().and_then(|error| alert_in(&error));
        return Err(said.unwrap_or_else(|| broken(error)));
    }
    loop {
        if wire
            .read_buf(&mut bytes)
            .await
            .map_err(|error| alert_in(&error).unwrap_or_else(|| broken(error)))?
            == 0
        {
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
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a header's list has `word`, in whatever case.
    fn lists(&self, name: &HeaderName, word: &str) -> bool {
        self.all(name).flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    }
}

/// Whether a 101 is what RFC 6455 §4.1 has a client insist on: the upgrade, the key's answer, and a subprotocol only of those that were offered. It
/// may choose none. What it says of extensions is looked at apart.
pub(super) fn is_in_order(answer: &Answer, key: &str, mut was_offered: impl FnMut(&str) -> bool) -> bool {
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
pub(super) async fn read_body(wire: &mut Wire, answer: &Answer, body: &mut Vec<u8>) {
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
pub(super) fn content(answer: &Answer, mut body: Vec<u8>) -> Vec<u8> {
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
    fn chunk_sizes_are_taken_out() {
        assert_eq!(without_chunk_sizes(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(without_chunk_sizes(b"ff\r\ncut off"), b"cut off");
        assert_eq!(without_chunk_sizes(b"nonsense\r\n"), b"");
        assert_eq!(without_chunk_sizes(b""), b"");
    }
}
