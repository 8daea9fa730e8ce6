//! What a service sends, as bytes: the way in for the fuzz targets, to the very parsers that a run uses. No part of the interface.
//!
//! In: bytes. Out: a number for what was made of them, so that inputs which lead elsewhere can be told; a broken promise panics.

use std::io::{self, Read, Write};

use ::http::Request;
use bytes::Bytes;
use http_body_util::{Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use simple_dns::TYPE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::declare::template::Template;
use crate::deflate::{Layer, Offer, Side, Terms};
use crate::lifecycle::{Evidence, TokenKnowledge, attribute, oauth_code};
use crate::mqtt::{self, Packet, Reader, Version};
use crate::sample::Word;
use crate::scenario::keys::{Heartbeat, OnMessage};

use super::close_watch::CloseWatch;
use super::cookies::Jar;
use super::echo::without_echo;
use super::http::read;
use super::react::heartbeat;
use super::retry_after::parse_retry_after;
use super::traffic::TrafficTally;
use super::upgrade::websocket_config;
use super::upgrade_answer::{answer_in_order, parse, without_chunk_sizes};
use super::variables::{LONGEST_VALUE, Variables};
use super::{endpoint::Endpoint, name_server, proxy, token};

/// The key of the handshakes: the one of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What the clients sent, for what may come back of it.
const SENT: &[u8] =
    b"GET /x?ticket=secret-ticket HTTP/1.1\r\nAuthorization: Bearer secret-token-1234\r\n\r\n";
/// The most of a message, and of a body.
const CAP: usize = 64 * 1024;
/// The most of a packet.
const MOST_OF_PACKET: usize = 512;

/// Reads packets of MQTT: the version, where to cut, bytes.
///
/// # Panics
/// Where packets are read otherwise when they come in pieces, or one is larger than it may be.
#[must_use]
pub fn packets(bytes: &[u8]) -> u64 {
    let [version, cut, bytes @ ..] = bytes else { return 0 };
    let version = if version % 2 == 0 { Version::V311 } else { Version::V5 };
    let read = |pieces: &[&[u8]]| {
        let mut reader = Reader::new(version, MOST_OF_PACKET);
        let mut packets = Vec::new();
        for piece in pieces {
            reader.feed(piece);
            loop {
                match reader.next_packet() {
                    Ok(Some(packet)) => packets.push(packet),
                    Ok(None) => break,
                    Err(fault) => return (packets, Some(fault)),
                }
            }
        }
        (packets, None)
    };
    let whole = read(&[bytes]);
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(whole, read(&[first, second]), "in pieces they are the same");
    let large =
        |packet: &Packet| matches!(packet, Packet::Message { payload, .. } if payload.len() > MOST_OF_PACKET);
    assert!(!whole.0.iter().any(large), "beyond what is taken");
    let kind = |packet: &Packet| match packet {
        Packet::Accepted { .. } => 1,
        Packet::Refused(words) => 2 + words.len() as u64,
        Packet::Disconnected(code) => 2 + mqtt::words_of_code(*code).len() as u64,
        Packet::Message { acknowledge, .. } => 60 + u64::from(acknowledge.is_some()),
        Packet::Acknowledged { is_ok, .. } => 62 + u64::from(*is_ok),
        Packet::Subscribed { is_ok, .. } => 64 + u64::from(*is_ok),
        Packet::Pong => 66,
    };
    whole.0.iter().take(4).fold(u64::from(whole.1.is_some()), |sum, packet| sum * 67 + kind(packet))
}

/// Agrees on permessage-deflate, and reads frames whose messages may be compressed: a header's value, a zero byte, frames.
///
/// # Panics
/// Where a message is larger than it may be, or read otherwise when it comes in pieces.
#[must_use]
pub fn deflated(bytes: &[u8]) -> u64 {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..split]).unwrap_or_default();
    let frames = bytes.get(split + 1..).unwrap_or_default();
    let agreed = Offer::BROWSER.agree([text].into_iter());
    if let Some((answer, _)) = Offer::default().accept([text].into_iter()) {
        assert!(Offer::default().accept([answer.as_str()].into_iter()).is_some(), "{answer}");
    }
    let code = match agreed {
        Ok(None) => 1,
        Ok(Some(_)) => 2,
        Err(disagreement) => 3 + disagreement as u64,
    };
    let side = Side { takes_over: true, window_bits: 15 };
    let terms = agreed.ok().flatten().unwrap_or(Terms { own: side, peer: side });
    let read = |piece: usize| {
        let (mut layer, mut all, mut room) = (Layer::new(terms, CAP, 0, &[]), Vec::new(), [0; 512]);
        for raw in frames.chunks(piece) {
            layer.feed(raw);
            loop {
                match layer.give(&mut room) {
                    Ok(0) => break,
                    Ok(count) => all.extend_from_slice(&room[..count]),
                    Err(broken) => return (all, Some(broken), layer.take_volume()),
                }
            }
        }
        (all, None, layer.take_volume())
    };
    let whole = read(usize::MAX);
    let apart = read(3);
    assert!(whole.0 == apart.0 && whole.1 == apart.1, "the same, in whatever pieces");
    assert!(whole.2.plain_in <= (whole.0.len() as u64), "what was told came");
    code + 10 * whole.1.map_or(0, |broken| 1 + broken as u64) + 100 * u64::from(whole.2.plain_in > 0)
}

/// Reads the answer to an upgrade request.
///
/// # Panics
/// Where it is read otherwise when it comes in pieces.
#[must_use]
pub fn upgrade_answer(bytes: &[u8]) -> u64 {
    let (end, status, headers) = match parse(bytes) {
        Err(_) => return 1,
        Ok(None) => return 2,
        Ok(Some(head)) => head,
    };
    assert!(end <= bytes.len() && headers.len() < 200, "a header ends within the answer");
    let again = parse(&bytes[..end]);
    assert!(matches!(&again, Ok(Some(head)) if head.0 == end && head.1 == status && head.2 == headers));
    assert!(!matches!(parse(&bytes[..end - 1]), Ok(Some(_))), "it ends where it ends");
    let body = without_chunk_sizes(&bytes[end..]);
    assert!(body.len() <= bytes.len());
    let header =
        |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let retry_after = header("retry-after").and_then(|text| parse_retry_after(text, 1_700_000_000_000_000));
    let evidence =
        Evidence::read(status, header("www-authenticate"), header("content-type"), &body, retry_after);
    let evidence = without_echo(evidence, SENT);
    let shown =
        format!("{:?}{:?}{:?}", evidence.body_code, evidence.bearer_error, evidence.bearer_description);
    let is_echo = ["secret-token-1234", "secret-ticket"].iter().any(|secret| shown.contains(secret));
    assert!(!is_echo, "what was sent does not come back: {shown}");
    let cause = attribute(&evidence, TokenKnowledge::Sent).cause as u64;
    let in_order = answer_in_order(bytes.to_vec(), end, status, headers, KEY);
    10 + u64::from(in_order) + 2 * cause + 100 * u64::from(status / 100)
}

/// Reads a token endpoint's answer: two bytes of status, then the body; and the same as a program's output.
#[must_use]
pub fn token_answer(bytes: &[u8]) -> u64 {
    let Some((status, body)) = bytes.split_at_checked(2) else { return 1 };
    let status = 100 + u16::from_le_bytes([status[0], status[1]]) % 500;
    let code = oauth_code(body).map_or(0, |code| code.len() as u64);
    let granted = token::read_answer(status, body, token::Places::standard(1_700_000_000_000_000));
    let life = granted.as_ref().ok().and_then(|grant| grant.life);
    let output = token::read_output(body, 1_700_000_000_000_000).is_ok();
    10 + u64::from(granted.is_ok()) + 2 * u64::from(output) + 4 * u64::from(life.is_some()) + 8 * code
}

/// Reads a proxy's answer to CONNECT, and the time that a `Retry-After` names.
#[must_use]
pub fn small_answers(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let wait = parse_retry_after(&text, 1_700_000_000_000_000);
    let status = proxy::status(bytes);
    u64::from(wait.is_some()) + 2 * u64::from(status.unwrap_or_default() / 100)
}

/// Reads a name server's answer to a question for an IPv4 address, and to one for an IPv6 address.
#[must_use]
pub fn name_answer(bytes: &[u8]) -> u64 {
    let read = |kind| match name_server::read_answer(bytes, 7, "service.test", kind) {
        None => 1,
        Some(name_server::Answer::Truncated) => 2,
        Some(name_server::Answer::Found(found)) => {
            3 + found.addresses.len() as u64 + 100 * u64::from(found.ttl.is_zero())
        }
    };
    read(TYPE::A) + 1000 * read(TYPE::AAAA)
}

/// Reads an HTTP answer over a connection in memory, as tokens' and steps' are.
///
/// # Panics
/// Where more is taken than the cap.
pub async fn http_answer(bytes: &[u8]) -> u64 {
    let (near, mut far) = duplex(bytes.len().max(1) + 4 * 1024);
    let Ok((mut sender, connection)) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(near)).await else {
        return 2;
    };
    let answering = async {
        // An answer before the question is none. There is room for all of it.
        let asked = far.read(&mut [0; 1024]).await;
        let written = far.write_all(bytes).await.and(far.shutdown().await);
        asked.and(written)
    };
    let asking = async {
        let answer = sender.send_request(Request::new(Full::new(Bytes::new()))).await.map_err(|_| 3_u64)?;
        let (parts, body) = answer.into_parts();
        let body = read(Limited::new(body, CAP)).await.map_err(|_| 4_u64)?;
        Ok((parts.status.as_u16(), body))
    };
    let asking = async { tokio::join!(asking, answering).0 };
    tokio::pin!(connection, asking);
    let answered = tokio::select! {
        answered = &mut asking => answered,
        _ = &mut connection => asking.await,
    };
    match answered {
        Ok((status, body)) => {
            assert!(body.len() <= CAP, "a body is capped");
            10 + u64::from(status / 100) + 10 * u64::from(!body.is_empty())
        }
        Err(class) => class,
    }
}

/// A connection on which everything has come already, and everything is taken.
pub(super) struct Came<'b>(pub(super) &'b [u8]);

impl Read for Came<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.0, buffer)
    }
}

impl Write for Came<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads frames, and follows their messages as a client does.
///
/// # Panics
/// Where a message is larger than the cap, or its numbers make no sense.
#[must_use]
pub fn frames(bytes: &[u8]) -> u64 {
    let mut socket = WebSocket::from_raw_socket(Came(bytes), Role::Client, Some(websocket_config(CAP)));
    let mut tally = TrafficTally::default();
    let (mut messages, mut told) = (0, 0);
    for turn in 0..4_096 {
        if turn % 3 == 0 {
            tally.begin_session();
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                assert!(text.len() <= CAP, "a message is capped");
                told |= follow(text.as_str(), &mut tally);
                messages += 1;
            }
            Ok(Message::Close(frame)) => {
                let handed_on = frame.map_or(Word::NoCode, |frame| Word::Code(frame.code.into()));
                let said = watched(bytes);
                // The library puts 1002 in the place of what may not be sent.
                assert!(said == Some(handed_on) || handed_on == Word::Code(1002), "{said:?}, {handed_on:?}");
                told |= 1 << 8;
            }
            Ok(message) => {
                assert!(message.len() <= CAP, "a message is capped");
                told |= 1 << 8;
            }
            Err(error) => {
                let class = match error {
                    WsError::Protocol(_) => 1,
                    WsError::Capacity(_) => 2,
                    WsError::Utf8(_) => 3,
                    WsError::ConnectionClosed | WsError::AlreadyClosed => 4,
                    _ => 5,
                };
                return class + 10 * told + 10_000 * u64::from(messages > 1);
            }
        }
    }
    9
}

/// What the close frame in `bytes` holds, which come in two pieces.
fn watched(bytes: &[u8]) -> Option<Word> {
    let mut watch = CloseWatch::new();
    watch.begin();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    watch.read(first);
    watch.read(second);
    watch.said()
}

/// What a message makes a client do.
fn follow(text: &str, tally: &mut TrafficTally) -> u64 {
    let gap = tally.received(text, Some(1_700_000_000_000_000));
    assert!(gap.is_none_or(|gap| gap.missed <= 1_000_000_000), "no service sends so much meanwhile");
    let rule = OnMessage {
        message: crate::scenario::keys::MessageRule::default(),
        save: Vec::new(),
        reply: None,
        heartbeat: Some(Heartbeat {
            every_ms: "/d/heartbeat_interval".to_owned(),
            text: Template::parse("{token}"),
        }),
        then: crate::scenario::keys::Then::GoOn,
        overlap: None,
    };
    let beats = heartbeat(&rule, text).is_some();
    let wanted = vec![("uri".to_owned(), "/d/url".to_owned())];
    let saved = Variables::default().save(&wanted, text.as_bytes());
    u64::from(gap.is_some()) + 2 * u64::from(beats) + 4 * u64::from(saved)
}

/// Takes a service's `Set-Cookie` lines, and sends them back.
///
/// # Panics
/// Where they take more room than there is, what is sent can stand in no header, or another site's cookies are sent.
#[must_use]
pub fn cookies(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let Ok(from) = url::Url::parse("http://app.a.example/login/form") else { return 0 };
    let others = [
        "ws://app.a.example/socket",
        "wss://b.a.example/",
        "ws://a.example/",
        "ws://b.example/",
        "ws://xa.example/",
    ];
    let (jar, now_s) = (Jar::default(), 1_700_000_000);
    text.lines().for_each(|line| jar.take(&from, line, now_s));
    let (count, room) = jar.size();
    assert!(count <= 50 && room <= 32 * 1024, "{count} cookies in {room} bytes");
    let mut kinds = count.min(5) as u64;
    for (index, other) in others.iter().enumerate() {
        let Ok(url) = url::Url::parse(other) else { continue };
        let Some(sent) = jar.header(&url, now_s) else { continue };
        assert!(index < 3, "{other} is another site: {sent}");
        assert!(::http::HeaderValue::from_str(&sent).is_ok(), "{sent:?}");
        kinds += 10 << index;
    }
    kinds
}

/// Saves from a JSON answer by a pointer, and renders a template: `pointer NUL template NUL answer`.
///
/// # Panics
/// Where a value is longer than is kept, or a text without variables changes.
#[must_use]
pub fn steps(bytes: &[u8]) -> u64 {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (pointer, template, answer) = (text(), text(), text());
    let mut variables = Variables::default();
    let saved = variables.save(&[("a".to_owned(), pointer)], answer.as_bytes());
    let template = Template::parse(&template);
    let value = variables.get("a").unwrap_or_default().to_owned();
    assert!(value.len() <= LONGEST_VALUE);
    let rendered = template.render(|name| (name == "a").then(|| value.clone()));
    let names: Vec<&str> = template.variables().collect();
    let url = url::Url::parse(&rendered).ok().and_then(Endpoint::of);
    u64::from(saved) + 2 * u64::from(url.is_some()) + 4 * (names.len().min(3) as u64)
}
