//! The network driver against small servers of every temper: what each does to a client must come out as the right
//! sample, within the configured timeouts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use resurge::clock::{Clock, Moment};
use resurge::conversation::Looks;
use resurge::drive::network::{
    AddressPolicy, ClientFiles, GroupContext, GroupSetup, RunShared, TargetAddress, client_config,
    drive_client,
};
use resurge::drive::sample_channel;
use resurge::lifecycle::{AskedStorms, GroupRules, StopPhase};
use resurge::sample::{Cause, Counter, GroupId, Outcome, Phase, Sample};
use resurge::scenario::keys::{
    Backoff, ConnectRules, Growth, Jitter, MessageRule, Ready, ReconnectRules, ResetOn, SessionRules,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const SHORT: Duration = Duration::from_millis(300);

fn rules() -> GroupRules {
    GroupRules {
        token: None,
        signature_life: None,
        may_show: false,
        prepare: None,
        session: SessionRules { ready_timeout: SHORT, ..SessionRules::default() },
        looks: Arc::default(),
        feeder: None,
        disconnects: Vec::new(),
        reconnect: ReconnectRules {
            on_codes: Some(Vec::new()),
            backoff: Backoff { growth: Growth::None, jitter: Jitter::None },
            honour_retry_after: true,
            max_attempts: Some(1),
            refetch_on: Vec::new(),
            give_up_on: Vec::new(),
            reset_on: ResetOn::Admitted,
            ..ReconnectRules::default()
        },
        storms: Vec::new(),
        asked: AskedStorms::default(),
        arrives: false,
        first: 0,
        seed: 1,
        traces: None,
    }
}

fn connect_rules() -> ConnectRules {
    ConnectRules {
        dns_timeout: SHORT,
        dns_ttl: Duration::ZERO,
        tcp_timeout: SHORT,
        tls_timeout: SHORT,
        upgrade_timeout: SHORT,
        close_timeout: SHORT,
        ..ConnectRules::default()
    }
}

/// Runs one client against `url` to its end; answers with all that it reported.
async fn run_client(url: &str, rules: GroupRules, tls: Option<rustls::ClientConfig>) -> Vec<Sample> {
    let clock = Clock::start();
    let (sink, mut samples) = sample_channel();
    let (_stop, stopping) = watch::channel(StopPhase::Running);
    let (done, mut all_done) = mpsc::channel(1);
    let policy = Arc::new(AddressPolicy::new(&[]));
    let shared = Arc::new(RunShared::new(clock, policy, sink, stopping, tls.map(Arc::new)).unwrap());
    let setup = GroupSetup { id: GroupId(0), name: "g".into(), rules, connect: connect_rules() };
    let target = TargetAddress::Remote { url: url.parse().unwrap(), token_url: None };
    let worker = Arc::clone(&shared);
    let context = Arc::new(GroupContext::new(shared, setup, &target, done).unwrap());
    tokio::spawn(drive_client(context, 0, Moment::ZERO, Moment::NEVER));
    let limit = SHORT * 4 + Duration::from_secs(1);
    tokio::time::timeout(limit, all_done.recv()).await.expect("no hang beyond the timeouts");
    worker.flush().await;
    drop(worker);
    let mut seen = Vec::new();
    while let Some(batch) = samples.recv().await {
        seen.extend(batch.into_iter().map(|stamped| stamped.sample));
    }
    seen
}

/// The most bytes of a client's future: thousands of them wait at once. With what the runtime puts before and behind it, a task fits into 2 KiB.
const MOST_OF_A_CLIENT: usize = 1_900;

#[tokio::test]
async fn a_client_that_waits_takes_little_room() {
    let (sink, _samples) = sample_channel();
    let (_stop, stopping) = watch::channel(StopPhase::Running);
    let (done, _all_done) = mpsc::channel(1);
    let policy = Arc::new(AddressPolicy::new(&[]));
    let shared = RunShared::new(Clock::start(), policy, sink, stopping, None).unwrap();
    let setup = GroupSetup { id: GroupId(0), name: "g".into(), rules: rules(), connect: connect_rules() };
    let target = TargetAddress::Remote { url: "ws://127.0.0.1:9/".parse().unwrap(), token_url: None };
    let context = Arc::new(GroupContext::new(Arc::new(shared), setup, &target, done).unwrap());
    let size = size_of_val(&drive_client(context, 0, Moment::ZERO, Moment::NEVER));
    assert!(size <= MOST_OF_A_CLIENT, "{size} bytes");
}

/// A server that treats its first connection to `behave`.
async fn serve<F, Fut>(behave: F) -> SocketAddr
where
    F: FnOnce(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        behave(stream).await;
    });
    address
}

fn outcome(samples: &[Sample]) -> (Outcome, Option<Cause>) {
    let mut ends = samples.iter().filter_map(|sample| match sample {
        Sample::Attempt(end) => Some((end.outcome, end.cause)),
        _ => None,
    });
    let first = ends.next().expect("an attempt has an outcome");
    assert_eq!(ends.next(), None, "and only one");
    first
}

/// `initiator code`, and how, and what was said where that does not tell it.
fn ending(samples: &[Sample]) -> String {
    let mut ends = samples.iter().filter_map(|sample| match sample {
        Sample::SessionEnd(end) => Some(end.key.to_string()),
        _ => None,
    });
    let first = ends.next().expect("a session ends");
    assert_eq!(ends.next(), None, "and only once");
    first
}

/// Reads an HTTP request, and answers with `answer`.
async fn answer_http(mut stream: TcpStream, answer: &[u8]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_answer_to_the_upgrade_has_its_outcome() {
    let json = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 22\r\n\r\n{\"code\":\"token.stale\"}".as_slice();
    let chunked = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{\"code\":\"missing.any.permi\r\n7\r\nssions\"\r\n1\r\n}\r\n0\r\n\r\n";
    let page = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    // The client sends no token: that is why, where the answer does not say otherwise.
    let rows: &[(&'static [u8], Outcome, Option<Cause>)] = &[
        (json, Outcome::Http403, Some(Cause::StaleToken)),
        (chunked, Outcome::Http403, Some(Cause::MissingScope)),
        (page, Outcome::Http403, Some(Cause::NoToken)),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Outcome::Http401, Some(Cause::NoToken)),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", Outcome::Http429, Some(Cause::RateLimited)),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Outcome::Http4xx, None),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Outcome::Http5xx, Some(Cause::Overloaded)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Outcome::Protocol, None),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", Outcome::Protocol, None),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
            Outcome::Protocol,
            None,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Outcome::Protocol, None),
        (b"", Outcome::TcpReset, None),
        (b"HTTP/1.1 101 Swi", Outcome::TcpReset, None),
    ];
    for (answer, expected, cause) in rows {
        let answer = *answer;
        let address = serve(move |stream| answer_http(stream, answer)).await;
        let samples = run_client(&format!("ws://{address}/"), rules(), None).await;
        assert_eq!(outcome(&samples), (*expected, *cause), "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn silence_refusal_and_unknown_names_have_their_outcomes() {
    let stalled = serve(|stream| async move {
        tokio::time::sleep(SHORT * 10).await;
        drop(stream);
    })
    .await;
    let samples = run_client(&format!("ws://{stalled}/"), rules(), None).await;
    assert_eq!(outcome(&samples), (Outcome::Timeout, None));

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let samples = run_client(&format!("ws://{closed}/"), rules(), None).await;
    assert_eq!(outcome(&samples), (Outcome::TcpRefused, None));

    let samples = run_client("ws://no-such-host.invalid/", rules(), None).await;
    assert!(matches!(outcome(&samples).0, Outcome::Dns | Outcome::Timeout), "{samples:?}");

    let reset = serve(|stream| async move {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let samples = run_client(&format!("ws://{reset}/"), rules(), None).await;
    assert_eq!(outcome(&samples), (Outcome::TcpReset, None));
}

#[tokio::test]
async fn a_refusal_whose_body_does_not_come_is_no_longer_than_its_timeout() {
    let half = serve(|mut stream| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let answer =
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{";
        stream.write_all(answer).await.unwrap();
        tokio::time::sleep(SHORT * 10).await;
        drop(stream);
    })
    .await;
    let samples = run_client(&format!("ws://{half}/"), rules(), None).await;
    assert_eq!(outcome(&samples), (Outcome::Http403, Some(Cause::NoToken)));
    let took = samples.iter().find_map(|sample| match sample {
        Sample::Attempt(end) => Some(end.latency),
        _ => None,
    });
    assert!(took.unwrap() <= SHORT + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn every_end_of_a_session_has_its_close_code() {
    let with_frame = serve(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let frame = CloseFrame { code: 1012.into(), reason: "restart".into() };
        socket.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let samples = run_client(&format!("ws://{with_frame}/"), rules(), None).await;
    assert_eq!(ending(&samples), "target 1012");

    let without_code = serve(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.send(Message::Close(None)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let samples = run_client(&format!("ws://{without_code}/"), rules(), None).await;
    assert_eq!(ending(&samples), "target 1005");

    let fin = serve(|stream| async move {
        drop(tokio_tungstenite::accept_async(stream).await.unwrap());
    })
    .await;
    let samples = run_client(&format!("ws://{fin}/"), rules(), None).await;
    assert_eq!(ending(&samples), "network 1006 (fin)");

    let rst = serve(|stream| async move {
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let samples = run_client(&format!("ws://{rst}/"), rules(), None).await;
    assert_eq!(ending(&samples), "network 1006 (rst)");

    let silent = serve(|stream| async move {
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        tokio::time::sleep(SHORT * 10).await;
        drop(socket);
    })
    .await;
    let mut wary = rules();
    wary.session.silence_timeout = Some(SHORT);
    let samples = run_client(&format!("ws://{silent}/"), wary, None).await;
    assert_eq!(ending(&samples), "network 1006 (timeout)");
}

#[tokio::test]
async fn a_service_that_breaks_the_protocol_is_told_so_and_named() {
    // (what it sends after the upgrade, how the session ends)
    let rows: [(&'static [u8], &str); 9] = [
        (&[0xff, 0x01, 0x00], "target 1006 (bad_opcode; client 1002)"),
        (&[0xc1, 0x01, b'a'], "target 1006 (reserved_bits; client 1002)"),
        (&[0x81, 0x81, 0, 0, 0, 0, b'a'], "target 1006 (masked_frame; client 1002)"),
        (&[0x81, 0x02, 0xc3, 0x28], "target 1006 (bad_utf8; client 1007)"),
        (&[0x88, 0x02, 0x03, 0xed], "target 1006 (bad_close_code; target 1005; client 1002)"),
        (
            &[0x81, 0x02, b'h', b'i', 0x88, 0x02, 0x03, 0xee],
            "target 1006 (bad_close_code; target 1006; client 1002)",
        ),
        // What the library puts in place of such a frame, and what it cannot know: a code that was registered since.
        (b"\x88\x14\x03\xeaProtocol violation", "target 1002"),
        (&[0x88, 0x02, 0x03, 0xea], "target 1002"),
        (&[0x88, 0x02, 0x03, 0xf6], "target 1014 (target 1014; client 1002)"),
    ];
    for (bytes, expected) in rows {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let stranger = serve(move |stream| async move {
            let mut stream = tokio_tungstenite::accept_async(stream).await.unwrap().into_inner();
            stream.write_all(bytes).await.unwrap();
            let mut head = [0; 8];
            stream.read_exact(&mut head).await.unwrap();
            let code = u16::from_be_bytes([head[6] ^ head[2], head[7] ^ head[3]]);
            tell.send((head[0], code)).unwrap();
        })
        .await;
        let samples = run_client(&format!("ws://{stranger}/"), rules(), None).await;
        assert_eq!(ending(&samples), expected, "{bytes:?}");
        let (opcode, code) = told.recv().unwrap();
        let said = if expected.contains("1007") { 1007 } else { 1002 };
        assert_eq!((opcode, code), (0x88, said), "the service was told: {bytes:?}");
    }
}

#[tokio::test]
async fn a_message_that_comes_with_the_upgrades_answer_is_not_lost() {
    let eager = serve(|mut stream| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(request).unwrap();
        let headers = text.lines().filter_map(|line| line.split_once(": "));
        let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let key = keys.next().unwrap().1;
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(b"\x81\x05hello\x88\x02\x03\xe9");
        stream.write_all(&answer).await.unwrap();
        let mut sink = [0; 64];
        while matches!(stream.read(&mut sink).await, Ok(1..)) {}
    })
    .await;
    let mut waiting = rules();
    waiting.session.ready = Ready::Message(MessageRule::containing("hell"));
    waiting.looks = Arc::new(Looks::new(&waiting.session));
    let samples = run_client(&format!("ws://{eager}/"), waiting, None).await;
    assert!(samples.iter().any(|sample| matches!(sample, Sample::Ready(_))), "{samples:?}");
    assert_eq!(ending(&samples), "target 1001");
    let messages: u64 = samples
        .iter()
        .map(|sample| if let Sample::Traffic(traffic) = sample { traffic.messages_in } else { 0 })
        .sum();
    assert_eq!(messages, 1);
}

#[tokio::test]
async fn a_flood_is_counted_to_the_last_message() {
    const SENT: u64 = 3_000;
    let flooding = serve(|stream| async move {
        let mut socket = Box::pin(tokio_tungstenite::accept_async(stream)).await.unwrap();
        for message in 0..SENT {
            let text =
                format!("{{\"seq\":{},\"due_us\":1,\"rest\":\"{}\"}}", message * message, "x".repeat(60));
            socket.feed(Message::Text(text.into())).await.unwrap();
        }
        let frame = CloseFrame { code: 1001.into(), reason: "".into() };
        socket.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let samples = run_client(&format!("ws://{flooding}/"), rules(), None).await;
    assert_eq!(ending(&samples), "target 1001");
    let traffic = samples.iter().filter_map(|sample| match sample {
        Sample::Traffic(traffic) => Some((traffic.messages_in, traffic.message_latencies_us.len() as u64)),
        _ => None,
    });
    let (messages, latencies) = traffic.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert_eq!((messages, latencies), (SENT, 0), "a stranger's numbers are not ours to read");
    let missed = |sample: &Sample| matches!(sample, Sample::Count(Counter::MessagesMissed, _));
    assert!(!samples.iter().any(missed));
}

/// A server's TLS configuration, and a client's that trusts its authority (written to a file, as a user would have it).
fn tls_pair() -> (Arc<rustls::ServerConfig>, rustls::ClientConfig) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    (
        Arc::new(server),
        client_config(ClientFiles { authorities: Some(&ca_file), identity: None }, None).unwrap(),
    )
}

#[tokio::test]
async fn tls_is_a_phase_of_its_own_and_strangers_are_not_trusted() {
    let (server, client) = tls_pair();
    let secure = |server: Arc<rustls::ServerConfig>| {
        serve(move |stream| async move {
            let Ok(stream) = tokio_rustls::TlsAcceptor::from(server).accept(stream).await else { return };
            let mut socket = Box::pin(tokio_tungstenite::accept_async(stream)).await.unwrap();
            socket.send(Message::Close(None)).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        })
    };
    let address = secure(Arc::clone(&server)).await;
    let url = format!("wss://localhost:{}/", address.port());
    // The server closes at once: who is let in by the upgrade was let in.
    let mut at_once = rules();
    at_once.session.admission = Duration::ZERO;
    let samples = run_client(&url, at_once, Some(client)).await;
    assert_eq!(outcome(&samples), (Outcome::Ok, None));
    let tls = samples.iter().find_map(|sample| match sample {
        Sample::Ready(ready) => Some(ready.phases.get(Phase::Tls)),
        _ => None,
    });
    assert!(tls.unwrap() > Duration::ZERO);

    let address = secure(server).await;
    let stranger = client_config(ClientFiles::default(), None).unwrap();
    let samples = run_client(&format!("wss://127.0.0.1:{}/", address.port()), rules(), Some(stranger)).await;
    assert_eq!(outcome(&samples), (Outcome::Tls, None));
}

#[tokio::test]
async fn an_address_that_is_not_authorised_is_never_connected_to() {
    let samples = run_client("ws://203.0.113.1/", rules(), None).await;
    assert_eq!(outcome(&samples), (Outcome::Dns, None));
}
