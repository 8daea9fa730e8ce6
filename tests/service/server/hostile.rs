//! Bad input never keeps the target from serving others: garbage, floods of headers, drips of bytes, crowds that say nothing. And the
//! control endpoints, where they have a listener of their own.

use std::net::SocketAddr;
use std::time::Duration;

use futures::SinkExt;
use resurge::clock::Clock;
use resurge::scenario::keys::TargetRules;
use resurge::service::server::{CLOSE_PATH, COUNTERS_PATH, EVENTS_PATH, Server, ServerSetup, TOKEN_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::common::*;

/// A peer that does not get its header together is cut off within this time: 10 s by the server's rule, and what a busy machine adds.
const CUT_OFF: Duration = Duration::from_secs(15);

#[tokio::test]
async fn whatever_one_sends_the_next_is_served() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let many: String = (0..5_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13";
    let upgrade = format!("host: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n{key}\r\n\r\n");
    let rows: Vec<Vec<u8>> = vec![
        b"\0\0\0\0\0\0\0\0\r\n\r\n".to_vec(),
        b"\xff\xfe\xfd GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost\r\n\r\n".to_vec(),
        b"POST /oauth/token HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /oauth/token HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        format!(
            "POST {TOKEN_PATH} HTTP/1.1\r\n{}: {}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            FORM.0, FORM.1
        )
        .into_bytes(),
        format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1_000_000)).into_bytes(),
        format!("GET {EVENTS_PATH}?access_token=%00%ff%zz HTTP/1.1\r\n{upgrade}").into_bytes(),
        format!("GET {EVENTS_PATH} HTTP/1.1\r\nauthorization: Bearer \u{fc}\r\n{upgrade}").into_bytes(),
    ];
    for row in rows {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The server may end the connection before it has read all.
        let _ = stream.write_all(&row).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        let status = answer.starts_with(b"HTTP/1.1 4");
        assert!(status || answer.is_empty(), "{:?}", String::from_utf8_lossy(&answer));
        serve_one(addr).await;
    }
    settled(&server).await;
}

#[tokio::test]
async fn garbage_in_a_session_ends_that_session_alone() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let mut bystander = connect(addr, &fetch(addr, "bystander").await).await.unwrap();
    // Reserved bits, a reserved opcode, an unmasked frame, a message beyond the cap, a control frame that is too long.
    let long_ping = [b"\x89\xfe\x01\x00".as_slice(), &[0; 4 + 256]].concat();
    let frames: [&[u8]; 5] = [
        b"\xf1\x80\0\0\0\0",
        b"\x83\x80\0\0\0\0",
        b"\x81\x02hi",
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
        &long_ping,
    ];
    for frame in frames {
        let mut socket = connect(addr, &fetch(addr, "bad").await).await.unwrap();
        socket.get_mut().write_all(frame).await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(socket.get_mut().read_to_end(&mut rest)).await;
        serve_one(addr).await;
    }
    bystander.send("still here".into()).await.unwrap();
    until(|| server.counters().messages_received == 1).await;
    bystander.close(None).await.unwrap();
    read_to_close(&mut bystander).await;
    let counters = settled(&server).await;
    assert!(closes(&counters).contains(&"network 1006 protocol × 5".to_owned()), "{:?}", closes(&counters));
}

/// Sends a byte of a request's header now and then, until the server ends the connection.
async fn drip(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET /{} HTTP/1.1\r\n", "x".repeat(2_000));
    for byte in request.bytes() {
        let is_over = stream.write_all(&[byte]).await.is_err();
        let mut answer = [0; 64];
        match tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return,
            _ if is_over => return,
            _ => {}
        }
    }
    panic!("the server read a header for ever");
}

#[tokio::test]
async fn drips_of_bytes_are_cut_off_and_crowds_that_say_nothing_keep_nobody_out() {
    let crowd = crowd();
    let alone = ONE_CROWD.lock().await;
    let server = Watched::start(&[]);
    let addr = server.addr();
    let mut silent = Vec::new();
    for _ in 0..crowd {
        silent.push(soon(TcpStream::connect(addr)).await.unwrap());
    }
    let drips: Vec<_> = (0..20).map(|_| tokio::spawn(drip(addr))).collect();
    for _ in 0..20 {
        serve_one(addr).await;
    }
    // All of them are inside, and so are those who were served, and the one that asks.
    assert!(server.counter("accepted").await > crowd as u64 + 20 + 40);
    for drip in drips {
        tokio::time::timeout(CUT_OFF, drip).await.expect("a drip was not cut off").unwrap();
    }
    // Those who said nothing are let go too.
    let mut nothing = [0; 1];
    for stream in &mut silent {
        let read = tokio::time::timeout(CUT_OFF, stream.read(&mut nothing)).await.expect("it was kept");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    drop((silent, alone));
    serve_one(addr).await;
    // The sessions that were: the clients above, each with one, all ended.
    assert_eq!((server.counter("upgrades").await, server.counter("sessions_open").await), (21, 0));
}

#[tokio::test]
async fn a_crowd_that_never_begins_tls_keeps_nobody_out() {
    let server = start(TargetRules { tls: true, ..TargetRules::default() });
    let addr = server.addr();
    let mut crowd = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        crowd.push(stream);
    }
    let authority = server.authority().unwrap().certificate.clone();
    let config = resurge::drive::network::client_config(
        resurge::drive::network::ClientFiles::default(),
        Some(authority),
    )
    .unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let good = async {
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let stream = TcpStream::connect(addr).await.unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = format!("GET {COUNTERS_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(PROMPT, good).await.expect("a good client was not served in time");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // Plain HTTP is no TLS, and is told so by the end of the connection.
    until(|| server.counters().bad_requests >= 100).await;
    drop(crowd);
    settled(&server).await;
}

#[tokio::test]
async fn control_can_have_a_listener_of_its_own() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let setup = ServerSetup {
        listen: free,
        rules: TargetRules::default(),
        seed: 11,
        clock: Clock::start(),
        worker_threads: 2,
        control: Some(free),
        control_token: None,
        tls: None,
    };
    let server = Server::start(setup).unwrap();
    let (addr, control) = (server.addr(), server.control_addr().unwrap());
    let mut socket = connect(addr, &fetch(addr, "a").await).await.unwrap();
    // (where, method, path, status)
    for (place, method, path, status) in [
        (addr, "GET", COUNTERS_PATH, 404),
        (addr, "POST", CLOSE_PATH, 404),
        (control, "POST", TOKEN_PATH, 404),
        (control, "GET", EVENTS_PATH, 404),
        (control, "GET", COUNTERS_PATH, 200),
        (control, "POST", COUNTERS_PATH, 405),
    ] {
        let reply = http(place, method, path, &[], "").await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
    }
    let reply = http(control, "POST", CLOSE_PATH, &[JSON], r#"{"code":1012}"#).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"closed":1}"#));
    let (close, _) = read_to_close(&mut socket).await;
    assert_eq!(close, Some((1012, "Storm".to_owned())));
    let told = http(control, "GET", COUNTERS_PATH, &[], "").await.json();
    assert_eq!(told["upgrades"], 1);
    settled(&server).await;
}
