//! One connection, in stages that can be seen: name, TCP, TLS, upgrade.
//!
//! In: the group's context, a client's number and token. Out: when each stage was passed, and a WebSocket or the reason
//! why there is none. Every stage has its timeout.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response, generate_key};
use tokio_tungstenite::tungstenite::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::clock::Moment;
use crate::lifecycle::{ConnectFailure, Evidence, Marks};
use crate::scenario::model::TokenIn;

use super::context::{Endpoint, GroupContext, Token};
use super::local::classify_io;
use super::retry_after::parse_retry_after;
use super::wire::Wire;

/// A session's read buffer. It grows for larger messages; most sessions are idle, and memory for each counts.
const READ_BUFFER: usize = 512;
/// How much of a refusal's body is read for evidence.
const EVIDENCE_CAP: usize = 8 * 1024;
/// How long a refusal's body is waited for: the refusal itself has come by then.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// Names the client to the embedded target, which spreads its messages by it.
const CLIENT_HEADER: HeaderName = HeaderName::from_static("x-resurge-client");

/// A connected WebSocket.
pub(super) type Socket = WebSocketStream<Wire>;

/// Connects client `number` with `token`; to `elsewhere` instead of the group's endpoint, where it is given.
pub(super) async fn connect(
    context: &GroupContext,
    number: u32,
    token: Option<Token>,
    elsewhere: Option<Box<Endpoint>>,
) -> (Marks, Result<Socket, ConnectFailure>) {
    let mut marks = Marks { began: context.now(), ..Marks::default() };
    let result = connect_in_stages(context, number, token, elsewhere.as_deref(), &mut marks).await;
    if marks.ended == Default::default() {
        marks.ended = context.now();
    }
    (marks, result)
}

async fn connect_in_stages(
    context: &GroupContext,
    number: u32,
    token: Option<Token>,
    elsewhere: Option<&Endpoint>,
    marks: &mut Marks,
) -> Result<Socket, ConnectFailure> {
    let rules = &context.connect;
    let endpoint = elsewhere.unwrap_or(&context.endpoint);
    let tcp = open_tcp(context, &endpoint.host, endpoint.port, Way::Tunnel, number, &mut marks.dns).await?;
    marks.tcp = Some(context.now());
    let is_secure = endpoint.url.scheme() == "wss";
    let wire = match context.tls.as_ref().filter(|_| is_secure) {
        None if is_secure => return Err(ConnectFailure::Tls),
        Some(connector) => {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| ConnectFailure::Tls)?;
            let handshake = timeout(rules.tls_timeout, connector.connect(name, tcp));
            let stream = handshake.await.map_err(|_| ConnectFailure::Timeout)?;
            Wire::tls(Box::new(stream.map_err(|error| classify_tls(&error))?))
        }
        None => Wire::plain(tcp),
    };
    marks.tls = Some(if is_secure { context.now() } else { marks.tcp.unwrap_or_default() });
    let request = upgrade_request(context, endpoint, number, token.as_ref());
    let upgrade = Box::pin(upgrade(context, wire, request, marks));
    upgrade.await
}

/// What a proxy is asked for, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A tunnel to the host.
    Tunnel,
    /// To pass requests on.
    Forward,
}

/// Resolves the name, then opens TCP to the first of its addresses that answers; to the group's proxy where it has one. `resolved`
/// is set to when the name was resolved.
pub(super) async fn open_tcp(
    context: &GroupContext,
    host: &str,
    port: u16,
    way: Way,
    number: u32,
    resolved: &mut Option<Moment>,
) -> Result<TcpStream, ConnectFailure> {
    let rules = &context.connect;
    let (target_host, target_port) = (host, port);
    let (host, port) = match &context.proxy {
        // The target's own address is the proxy's to find out.
        Some(_) if !context.run.policy().allows_unresolved(host) => return Err(ConnectFailure::Dns),
        Some(proxy) => (proxy.host.as_str(), proxy.port),
        None => (host, port),
    };
    let is_own = context.is_embedded
        && context.proxy.is_none()
        && (host, port) == (context.endpoint.host.as_str(), context.endpoint.port);
    let addresses = match context.run.target_address(number).filter(|_| is_own) {
        Some(address) => vec![address],
        None => {
            let resolving = context.run.resolve(host, port, rules.dns_ttl, number);
            timeout(rules.dns_timeout, resolving).await.map_err(|_| ConnectFailure::Timeout)?
        }
    };
    if addresses.is_empty() {
        return Err(ConnectFailure::Dns);
    }
    *resolved = Some(context.now());
    let attempt = async {
        let mut last = ConnectFailure::Refused;
        for address in addresses {
            match open_from(source_address(&rules.source_addresses, number, address), address).await {
                Ok(mut stream) => {
                    if let Some(proxy) = context.proxy.as_ref().filter(|_| way == Way::Tunnel) {
                        proxy.tunnel(&mut stream, target_host, target_port).await?;
                    }
                    return Ok(stream);
                }
                Err(error) => last = classify_io(&error),
            }
        }
        Err(last)
    };
    let stream = timeout(rules.tcp_timeout, attempt).await.map_err(|_| ConnectFailure::Timeout)??;
    // A small frame must not wait for the answer to the one before it. A socket that refuses the option is closed already:
    // the upgrade will say so.
    let refused = stream.set_nodelay(true).is_err();
    if refused { Err(ConnectFailure::Reset) } else { Ok(stream) }
}

/// The address from which client `number` connects to `target`: the next of those of the same family.
fn source_address(sources: &[IpAddr], number: u32, target: SocketAddr) -> Option<IpAddr> {
    let fitting = || sources.iter().filter(|source| source.is_ipv4() == target.is_ipv4());
    let count = fitting().count();
    fitting().nth(number as usize % count.max(1)).copied()
}

async fn open_from(source: Option<IpAddr>, target: SocketAddr) -> std::io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(target).await };
    let socket = bound_to(source, target)?;
    socket.connect(target).await
}

/// A socket that will connect to `target` from `source`.
///
/// The port is chosen by connect(2), where one may serve again for another address of the target (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
fn bound_to(source: IpAddr, target: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Err(error) = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true) {
        // A kernel without it takes a port for this socket alone.
        log::debug!("IP_BIND_ADDRESS_NO_PORT: {error}");
    }
    socket.bind(SocketAddr::new(source, 0))?;
    Ok(socket)
}

/// A TLS failure that was a connection's end is one.
pub(super) fn classify_tls(error: &std::io::Error) -> ConnectFailure {
    match classify_io(error) {
        ConnectFailure::LocalLimit => ConnectFailure::LocalLimit,
        ConnectFailure::Reset => ConnectFailure::Reset,
        _ => ConnectFailure::Tls,
    }
}

/// The request of client `number`: the group's headers, a key, and the token where the group puts it.
fn upgrade_request(
    context: &GroupContext,
    endpoint: &Endpoint,
    number: u32,
    token: Option<&Token>,
) -> Request {
    let mut request = Request::new(());
    *request.uri_mut() = endpoint.uri.clone();
    *request.headers_mut() = context.headers.clone();
    if !std::ptr::eq(endpoint, &context.endpoint)
        && let Ok(host) = HeaderValue::try_from(endpoint.authority())
    {
        request.headers_mut().insert(HOST, host);
    }
    if let Ok(key) = HeaderValue::try_from(generate_key()) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
    if context.is_embedded {
        request.headers_mut().insert(CLIENT_HEADER, HeaderValue::from(number));
    }
    if let Some(token) = token {
        place_token(context, endpoint, &mut request, token);
    }
    request
}

/// Puts the token into the request. A token that cannot stand there is left out: the target will say so.
fn place_token(context: &GroupContext, endpoint: &Endpoint, request: &mut Request, token: &Token) {
    let text = token.expose_secret();
    let sensitive = |text: String| {
        HeaderValue::try_from(text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        })
    };
    match &context.connect.token_in {
        TokenIn::Header => {
            if let Some(value) = sensitive(format!("Bearer {text}")) {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        TokenIn::Subprotocol(prefix) => {
            if let Some(value) = sensitive(format!("{prefix}{text}")) {
                request.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, value);
            }
        }
        TokenIn::Query(name) => {
            let mut url = endpoint.url.clone();
            url.query_pairs_mut().append_pair(name, text);
            if let Ok(uri) = url.as_str().parse() {
                *request.uri_mut() = uri;
            }
        }
        TokenIn::FirstMessage(_) | TokenIn::Nowhere => {}
    }
}

async fn upgrade(
    context: &GroupContext,
    mut wire: Wire,
    request: Request,
    marks: &mut Marks,
) -> Result<Socket, ConnectFailure> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(context.rules.session.max_message_bytes))
        .max_frame_size(Some(context.rules.session.max_message_bytes));
    let handshake = tokio_tungstenite::client_async_with_config(request, &mut wire, Some(config));
    let answered = timeout(context.connect.upgrade_timeout, handshake).await;
    marks.ended = context.now();
    match answered {
        Err(_) => return Err(ConnectFailure::Timeout),
        Ok(Ok(_)) => {}
        // RFC 6455 §4.1 lets a server choose none of the subprotocols that were offered. All else was found in order before.
        Ok(Err(WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )))) => {}
        Ok(Err(WsError::Http(response))) => return Err(refusal(context, &mut wire, &response).await),
        Ok(Err(error)) => return Err(classify_upgrade(&error)),
    }
    // Wrapped anew, so that the handshake's buffers are given back.
    let held = wire.take_held();
    Ok(WebSocketStream::from_partially_read(wire, held, Role::Client, Some(config)).await)
}

fn classify_upgrade(error: &WsError) -> ConnectFailure {
    match error {
        WsError::Io(error) => match classify_io(error) {
            ConnectFailure::Refused => ConnectFailure::Protocol,
            other => other,
        },
        WsError::Protocol(ProtocolError::HandshakeIncomplete) | WsError::ConnectionClosed => {
            ConnectFailure::Reset
        }
        _ => ConnectFailure::Protocol,
    }
}

/// What an HTTP answer that is no upgrade says.
async fn refusal(context: &GroupContext, wire: &mut Wire, response: &Response) -> ConnectFailure {
    let status = response.status().as_u16();
    if status < 400 {
        return ConnectFailure::Protocol;
    }
    let headers = response.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let body = timeout(EVIDENCE_TIMEOUT, read_body(wire, headers)).await.unwrap_or_default();
    let retry_after = text(RETRY_AFTER).and_then(|text| parse_retry_after(text, context.run.unix_us()));
    let evidence = Evidence::read(status, text(WWW_AUTHENTICATE), text(CONTENT_TYPE), &body, retry_after);
    ConnectFailure::Http(Box::new(evidence))
}

/// Reads a refusal's body, as far as it goes and is wanted.
async fn read_body(wire: &mut Wire, headers: &HeaderMap) -> Vec<u8> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let wanted = if chunked { EVIDENCE_CAP } else { length.unwrap_or(EVIDENCE_CAP).min(EVIDENCE_CAP) };
    let mut body = wire.take_held();
    let mut chunk = [0; 1024];
    while body.len() < wanted && !(chunked && body.ends_with(b"0\r\n\r\n")) {
        match wire.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => body.extend_from_slice(&chunk[..n]),
        }
    }
    body.truncate(wanted);
    if chunked { without_chunk_sizes(&body) } else { body }
}

/// The content of a chunked body (RFC 9112 §7.1), as far as it came.
fn without_chunk_sizes(mut body: &[u8]) -> Vec<u8> {
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

    #[tokio::test]
    async fn a_source_address_takes_no_port_before_it_connects() {
        for (source, target) in [("127.0.0.7", "127.0.0.1:1"), ("::1", "[::1]:1")] {
            let socket = bound_to(source.parse().unwrap(), target.parse().unwrap());
            let Ok(socket) = socket else {
                assert!(source.contains(':'), "{source}: {socket:?}");
                continue;
            };
            let address = socket.local_addr().unwrap();
            assert_eq!((address.ip().to_string().as_str(), address.port()), (source, 0));
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
