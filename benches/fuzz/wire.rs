//! Targets over real sockets: the embedded target under whatever clients send, a client under whatever a service answers.
//!
//! In: bytes. Out: kinds of results. A panic of any task is a finding.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use resurge::clock::Clock;
use resurge::drive::network::{AddressPolicy, GroupSetup, Probe, ProbeShared, ProbeToken, TargetAddress};
use resurge::lifecycle::GroupRules;
use resurge::sample::GroupId;
use resurge::scenario::keys::TargetRules;
use resurge::scenario::load;
use resurge::service::server::{Server, ServerSetup};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::engine::Run;

/// How long an answer is waited for: what hangs longer is a session, or waits for more of a request.
const PATIENCE: Duration = Duration::from_millis(4);

/// Sends an input to a running target.
pub(crate) fn target_socket() -> Run {
    let rules = load_rules();
    let setup = ServerSetup {
        control_token: None,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        rules,
        seed: 1,
        clock: Clock::start(),
        worker_threads: 1,
        control: None,
        tls: None,
    };
    let server = Server::start(setup).unwrap();
    Box::new(move |bytes| {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A target that has heard enough closes before it has all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // Ports come back at once.
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        let status =
            answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        let answers =
            answer.windows(9).filter(|window| window.starts_with(b"HTTP/1.1 ")).count().min(4) as u64;
        let counters = server.counters();
        assert!(counters.upgrades >= counters.sessions_open);
        status.unwrap_or(0) + 1_000 * answers + 10_000 * u64::from(answer.len() > 400)
    })
}

fn load_rules() -> TargetRules {
    resurge::scenario::load_target_rules("genesys", &[], &|_| None).unwrap()
}

/// Requests as clients send them.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let order = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let upgrade = "GET /api/v2/analytics/events?access_token=t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer t\r\nSec-WebSocket-Protocol: a, bearer.t\r\nX-Resurge-Client: 7\r\n\r\n";
    let frames = "\u{1}\u{5}\0\0\0\0hello";
    vec![
        post("/oauth/token", "grant_type=client_credentials&client_id=a&client_secret=b&scope=x").into(),
        post("/oauth/revoke", "token=x").into(),
        order("/_resurge/close", "{\"code\":1001,\"fraction\":0.5}").into(),
        order("/_resurge/revoke", "{\"fraction\":0.5}").into(),
        post("/api/v2/notifications/channels", "[]").into(),
        post("/api/v2/notifications/channels/x/subscriptions", "[{\"id\":\"t\"}]").into(),
        b"GET /_resurge/counters HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n"
            .to_vec(),
        format!("{upgrade}{frames}").into(),
        upgrade.into(),
    ]
}

pub(crate) const REQUEST_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"GET ",
    b"POST ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"fffffffff\r\n",
    b"Authorization: Basic YTpi\r\n",
    b"Authorization: Bearer x\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"Expect: 100-continue\r\n",
    b"?access_token=",
    b"%00",
    b"%ff",
    b"{\"code\":1001}",
    b"client_id=",
    b"&grant_type=refresh_token&refresh_token=",
    b"\x81\x85\0\0\0\0hello",
    b"\x88\x82\0\0\0\0\x03\xe9",
    b"\x89\xfe\xff\xff",
    b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// Answers a client's requests with an input.
pub(crate) fn client_socket() -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let to_say = Arc::clone(&said);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let bytes = to_say.lock().unwrap().clone();
            // Whoever went away is told nothing.
            let _ = say(stream, &bytes);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let text = format!(
        "duration = \"1s\"\n[target]\nurl = \"ws://127.0.0.1:{port}/\"\ntoken_url = \"http://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\nconnection = \"fresh\"\ntimeout = \"8ms\"\n[groups.connect]\nupgrade_timeout = \"8ms\"\nclose_timeout = \"4ms\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
    let probe = runtime.block_on(async {
        let shared = ProbeShared::new(Clock::start(), Arc::new(AddressPolicy::new(&[])), None).unwrap();
        let setup = GroupSetup {
            id: GroupId(0),
            name: "g".into(),
            rules: GroupRules::of(&scenario, 0),
            connect: scenario.groups[0].connect.clone(),
        };
        let url = |scheme: &str| format!("{scheme}://127.0.0.1:{port}/").parse().unwrap();
        let target = TargetAddress::Remote { url: url("ws"), token_url: Some(url("http")) };
        (Probe::new(&shared, setup, &target).unwrap(), shared)
    });
    Box::new(move |bytes| {
        said.lock().unwrap().clear();
        said.lock().unwrap().extend_from_slice(bytes);
        let (probe, _) = &probe;
        runtime.block_on(async {
            let fetched = u64::from(probe.fetch().await.is_ok());
            let (_, connected) = probe.connect(&ProbeToken::nonsense()).await;
            match connected {
                Ok(mut session) => {
                    let ended = session.wait_end(PATIENCE).await;
                    10 + fetched + 20 * u64::from(ended.is_some())
                }
                Err(failure) => 100 + fetched + 2 * (failure.failure.outcome() as u64),
            }
        })
    })
}

/// Says `bytes` to whoever asks, the right `Sec-WebSocket-Accept` put in.
fn say(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut chunk = [0; 2_048];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&chunk[..length]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let original = String::from_utf8_lossy(&head).into_owned();
    let key = text
        .find("sec-websocket-key: ")
        .map(|at| original[at + 19..].lines().next().unwrap_or_default().to_owned());
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    let mut answer = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(6).position(|window| window == b"ACCEPT") {
        answer.extend_from_slice(&rest[..at]);
        answer.extend_from_slice(accept.as_bytes());
        rest = &rest[at + 6..];
    }
    answer.extend_from_slice(rest);
    stream.write_all(&answer)
}

/// Answers as services give them.
pub(crate) fn answers() -> Vec<Vec<u8>> {
    let session = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";
    let close: &[u8] = &[0x81, 2, b'{', b'}', 0x89, 0, 0x88, 4, 0x03, 0xe9, b'o', b'k'];
    let token = "{\"access_token\":\"t\",\"expires_in\":60,\"refresh_token\":\"r\"}";
    let ok = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    vec![
        [session.as_bytes(), close].concat(),
        session.into(),
        session.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").into(),
        ok(token).into(),
        ok("{\"uri\":\"ws://127.0.0.1:1/\"}").into(),
        b"HTTP/1.1 403 Forbidden\r\nWWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"expired\"\r\nContent-Length: 23\r\n\r\n{\"code\":\"token.expired\"}".to_vec(),
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<html><center>nginx</center>".to_vec(),
    ]
}

pub(crate) const ANSWER_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 101 x\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 ",
    b"Content-Length: 18446744073709551615\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"Retry-After: ",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"18446744073709551615",
    b"WWW-Authenticate: Bearer error=\"",
    b"error_description=",
    b"Sec-WebSocket-Accept: ACCEPT\r\n",
    b"Sec-WebSocket-Protocol: a\r\n",
    b"Sec-WebSocket-Extensions: x\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"secret-token-1234",
    b"{\"code\":\"",
    b"\"error\":\"invalid_grant\"",
    b"\x81\x7e\xff\xff",
    b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x88\x02\x03\xe9",
    b"\x88\x01\x03",
    b"\x89\x7d",
    b"\xc1\x00",
    b"\x01\x01a",
    b"\x80\x00",
    b"\"access_token\":\"",
    b"\"expires_in\":1e400",
    b"\"expires_in\":-1",
];
