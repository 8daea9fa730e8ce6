//! What an upgrade request says (RFC 6455 §4.1).
//!
//! In: the group's headers, where it goes, a token, cookies. Out: the request's bytes. It is written from bytes that the group shares: a fleet that comes back
//! makes thousands of these each second. No I/O, no clock.

use std::sync::Arc;

use http::HeaderValue;
use secrecy::ExposeSecret;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::scenario::keys::{Compression, TokenIn};

use super::endpoint::Endpoint;
use super::token::{DpopBook, Prover, ShownTo, Token};
use super::trace::Beside;
use super::variation::Variation;

/// What a request is written into at first; most fit.
const REQUEST_SIZE: usize = 512;

/// Writes the upgrade requests of a group.
pub(in crate::drive) struct UpgradeWriter {
    /// Lines of the request that are the group's own.
    header_lines: Vec<u8>,
    names_client: bool,
    token_in: TokenIn,
    /// The line that offers permessage-deflate.
    compression: Option<Box<str>>,
    /// What a probe asks otherwise.
    variation: Option<Variation>,
    /// The keys to which tokens are bound.
    dpop: Option<Arc<DpopBook>>,
}

/// A request on its way.
pub(in crate::drive) struct UpgradeRequest {
    pub(in crate::drive) bytes: Vec<u8>,
    pub(super) key: String,
    /// The subprotocol that carries the token.
    pub(super) token_protocol: Option<String>,
    /// Whose proof it shows.
    pub(in crate::drive) prover: Option<Arc<Prover>>,
}

impl UpgradeWriter {
    /// Writes requests with these lines of the group's own, and the token there.
    pub(in crate::drive) const fn new(header_lines: Vec<u8>, token_in: TokenIn) -> Self {
        Self { header_lines, names_client: false, token_in, compression: None, variation: None, dpop: None }
    }

    /// The same, but that requests prove that the client holds the key of its token, where it is bound to one.
    pub(in crate::drive) fn proving(self, dpop: Option<Arc<DpopBook>>) -> Self {
        Self { dpop, ..self }
    }

    /// The same, but that permessage-deflate is offered where the rules say so.
    pub(super) fn offering(mut self, compression: Option<&Compression>) -> Self {
        let line = |compression: &Compression| {
            format!("Sec-WebSocket-Extensions: {}\r\n", compression.offer().header()).into()
        };
        self.compression = compression.map(line);
        self
    }

    /// The same, but that requests name the client to the embedded target, which spreads its messages by it.
    pub(in crate::drive) const fn naming_client(mut self, names_client: bool) -> Self {
        self.names_client = names_client;
        self
    }

    /// From here on it asks otherwise.
    pub(super) fn vary(&mut self, variation: &Variation) {
        self.variation = Some(variation.clone());
    }

    /// Whether requests show proofs.
    pub(in crate::drive) const fn proves(&self) -> bool {
        self.dpop.is_some()
    }

    /// The request of client `number`: the group's headers, a key, and the token where the group puts it. A token that cannot stand
    /// there is left out: the target will say so. The time is in microseconds since 1970.
    pub(in crate::drive) fn write(
        &self,
        endpoint: &Endpoint,
        (number, token, beside): (u32, Option<&Token>, Beside<'_>),
        unix_us: impl Fn() -> u64,
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
                let of = (("GET", &endpoint.url), (number, unix_us()));
                let proof = prover.prove(ShownTo::Service, of.0, of.1, Some(text)).unwrap_or_default();
                put(&["Authorization: DPoP ", text, "\r\nDPoP: ", &proof, "\r\n"]);
            }
            (Some(text), None) => put(&["Authorization: Bearer ", text, "\r\n"]),
            (None, _) => {}
        }
        if let Some(protocol) = &token_protocol {
            put(&["Sec-WebSocket-Protocol: ", protocol, "\r\n"]);
        }
        if let Some(line) = &self.compression {
            put(&[line]);
        }
        let cookies = beside.jar.and_then(|jar| jar.header(&endpoint.url, unix_us() / 1_000_000));
        if let Some(cookies) = &cookies {
            put(&["Cookie: ", cookies, "\r\n"]);
        }
        if let Some(trace) = beside.trace {
            put(&["traceparent: ", &trace.parent(), "\r\n"]);
        }
        if self.names_client {
            put(&["X-Resurge-Client: ", &number.to_string(), "\r\n"]);
        }
        bytes.extend_from_slice(&self.header_lines);
        bytes.extend_from_slice(b"\r\n");
        UpgradeRequest { bytes, key, token_protocol, prover }
    }
}

/// A header's value holds no line's end and no other control (RFC 9110 §5.5).
fn can_stand_in_a_header(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::trace::Trace;
    use super::*;
    use crate::clock::Moment;
    use crate::lifecycle::Traces;

    #[test]
    fn a_handshake_says_its_trace_where_it_has_one() {
        let writer = UpgradeWriter::new(Vec::new(), TokenIn::Header);
        let endpoint = Endpoint::of("ws://127.0.0.1/x".parse().unwrap()).unwrap();
        let trace = Trace::new(Traces::of(1, 2), 3, Moment::from_ns(4));
        let request = |trace| {
            let beside = Beside { jar: None, trace };
            String::from_utf8(writer.write(&endpoint, (3, None, beside), || 0).bytes).unwrap()
        };
        let lines = |text: &str| text.matches("\r\ntraceparent: 00-").count();
        let (first, again) = (request(Some(&trace)), request(Some(&trace)));
        assert_eq!([lines(&first), lines(&again), lines(&request(None))], [1, 1, 0]);
        let id = Traces::of(1, 2).id(3, Moment::from_ns(4)).to_string();
        assert!(first.contains(&id) && again.contains(&id), "{first}{again}");
    }

    #[test]
    fn what_would_break_a_header_is_left_out() {
        assert!(can_stand_in_a_header("abc.def-_~+/="));
        for text in ["a\r\nX: y", "a\nb", "\u{7f}"] {
            assert!(!can_stand_in_a_header(text), "{text:?}");
        }
    }
}
