//! The target in the open: crowds that hold what they can get. What each connection costs is bounded, good clients are served meanwhile,
//! and when a crowd has gone its descriptors are there again. Who may ask for counters, where others can reach it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use resurge::service::server::{CLOSE_PATH, CONTROL_REVOKE_PATH, COUNTERS_PATH, EVENTS_PATH, TOKEN_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::common::*;

/// What a crowd does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// Nothing.
    Silent,
    /// A byte of a header now and then (slowloris).
    SlowHeader,
    /// Almost as much of a header as is taken, and no more.
    FullHeader,
    /// A body that is announced and hardly begun.
    SlowBody,
    /// The beginning of TLS.
    HalfTls,
    /// A session, and nothing in it.
    SilentSession,
    /// The header of the largest frame that is taken, and hardly more.
    GiantFrame,
    /// Fragments of one message, almost as much as is taken.
    Fragments,
    /// Pings, whose answers are not read.
    Pings,
    /// Messages.
    Messages,
}

/// A crowd, its part of the number that is asked for, and how much memory a connection of it may take at most, in KiB.
const CROWDS: [(Crowd, usize, u64); 10] = [
    (Crowd::Silent, 1, 24),
    (Crowd::SlowHeader, 1, 32),
    (Crowd::FullHeader, 2, 48),
    (Crowd::SlowBody, 2, 40),
    (Crowd::HalfTls, 1, 32),
    (Crowd::SilentSession, 1, 12),
    (Crowd::GiantFrame, 4, 32),
    // A message may have 1 MiB, and the memory that it is put together in grows by doubling.
    (Crowd::Fragments, 20, 2_200),
    // What waits to be written may be 256 KiB.
    (Crowd::Pings, 20, 512),
    (Crowd::Messages, 20, 64),
];

const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const MESSAGE: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

impl Crowd {
    const fn is_in_session(self) -> bool {
        matches!(
            self,
            Self::SilentSession | Self::GiantFrame | Self::Fragments | Self::Pings | Self::Messages
        )
    }

    /// One of it.
    async fn join(self, addr: SocketAddr, token: &str) -> TcpStream {
        let mut stream = soon(TcpStream::connect(addr)).await.unwrap();
        if self.is_in_session() {
            upgrade_raw(&mut stream, token).await;
        }
        let opening: Vec<u8> = match self {
            Self::Silent | Self::SilentSession | Self::Pings | Self::Messages => Vec::new(),
            Self::SlowHeader => b"GET / HTTP/1.1\r\nx: ".to_vec(),
            Self::FullHeader => format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(15 * 1024)).into_bytes(),
            Self::SlowBody => format!(
                "POST {TOKEN_PATH} HTTP/1.1\r\nhost: x\r\n{}: {}\r\ncontent-length: 10000000000\r\n\r\ngrant_type=",
                FORM.0, FORM.1
            )
            .into_bytes(),
            Self::HalfTls => vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00],
            Self::GiantFrame => [b"\x82\xff".as_slice(), &(1_u64 << 20).to_be_bytes(), &[0; 4 + 64]].concat(),
            Self::Fragments => fragments(1_000),
        };
        soon(stream.write_all(&opening)).await.unwrap();
        stream
    }

    /// What it goes on with.
    async fn go_on(self, stream: &mut TcpStream) {
        match self {
            Self::SlowHeader | Self::SlowBody => soon(stream.write_all(b"z")).await.unwrap(),
            // As long as the socket takes them: the target reads on, or it does not.
            Self::Pings => drop(stream.try_write(&PING.repeat(20_000))),
            Self::Messages => drop(stream.try_write(&MESSAGE.repeat(2_000))),
            _ => {}
        }
    }
}

/// The first fragments of a message, a KiB each.
fn fragments(count: usize) -> Vec<u8> {
    let fragment = |opcode: u8| [[opcode, 0xfe, 0x04, 0x00, 0, 0, 0, 0].as_slice(), &[b'x'; 1_024]].concat();
    [fragment(0x01), fragment(0x00).repeat(count - 1)].concat()
}

async fn upgrade_raw(stream: &mut TcpStream, token: &str) {
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13";
    let request = format!(
        "GET {EVENTS_PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\nconnection: upgrade\r\n{key}\r\n\r\n"
    );
    soon(stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
}

async fn until_descriptors(server: &Watched, holds: impl Fn(usize) -> bool) {
    soon(async {
        while !holds(server.descriptors()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Has a crowd come and go. Answers with what a connection of it took, in KiB.
async fn meet(crowd: Crowd, count: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let is_secure = crowd == Crowd::HalfTls;
    let arguments = ["--tls", "--tls-ca-out", ca.to_str().unwrap()];
    let server = Watched::start(if is_secure { &arguments } else { &[] });
    let addr = server.addr();
    let good = async || {
        if !is_secure {
            serve_one(addr).await;
        }
    };
    let token = if is_secure { String::new() } else { fetch(addr, "crowd").await };
    // What the program needs for itself is there after some clients.
    for _ in 0..20 {
        good().await;
    }
    let idle = server.descriptors();
    let before = server.rss_kib();
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(crowd.join(addr, &token).await);
    }
    until_descriptors(&server, |open| open >= idle + count).await;
    let mut most = 0;
    for _ in 0..3 {
        for stream in &mut held {
            crowd.go_on(stream).await;
        }
        good().await;
        most = most.max(server.rss_kib());
    }
    drop(held);
    until_descriptors(&server, |open| open <= idle).await;
    good().await;
    most.saturating_sub(before) as f64 / count as f64
}

#[tokio::test]
async fn what_a_crowd_holds_is_bounded_and_others_are_served() {
    let mut wrong = Vec::new();
    for (crowd, part, bound_kib) in CROWDS {
        let count = (super::common::crowd() / part).max(20);
        let alone = ONE_CROWD.lock().await;
        let each_kib = Box::pin(meet(crowd, count)).await;
        drop(alone);
        let told =
            format!("{crowd:?}: {each_kib:.1} KiB for each of {count} connections, at most {bound_kib}");
        println!("{told}");
        if each_kib > bound_kib as f64 {
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn fragments_without_end_and_bodies_without_end_are_cut_off() {
    let server = Watched::start(&[]);
    let addr = server.addr();
    let mut session = soon(TcpStream::connect(addr)).await.unwrap();
    upgrade_raw(&mut session, &fetch(addr, "a").await).await;
    // One KiB more than a message may have; the target ends the connection, which may be while it is still written to.
    let _ = soon(session.write_all(&fragments(1_025))).await;
    let mut rest = Vec::new();
    let _ = soon(session.read_to_end(&mut rest)).await;
    serve_one(addr).await;
    let head = format!(
        "POST {TOKEN_PATH} HTTP/1.1\r\nhost: x\r\n{}: {}\r\ncontent-length: 10000000000\r\n\r\n",
        FORM.0, FORM.1
    );
    let mut flood = soon(TcpStream::connect(addr)).await.unwrap();
    let (mut reads, mut writes) = flood.split();
    let pour = async {
        writes.write_all(head.as_bytes()).await.unwrap();
        while writes.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    };
    let mut answer = Vec::new();
    let _ = soon(async { tokio::join!(pour, reads.read_to_end(&mut answer)) }).await;
    let answer = String::from_utf8_lossy(&answer);
    // A reset may overtake the answer.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    serve_one(addr).await;
    assert_eq!(server.counter("sessions_open").await, 0);
}

#[tokio::test]
async fn without_descriptors_the_target_waits_for_some() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("messages");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_resurge")]);
    let server = Watched::start_by(command, Stdio::from(std::fs::File::create(&told).unwrap()));
    let addr = server.addr();
    let failures = || std::fs::read_to_string(&told).unwrap().matches("the target cannot accept").count();
    for _ in 0..2 {
        let mut held = Vec::new();
        for _ in 0..200 {
            held.push(soon(TcpStream::connect(addr)).await.unwrap());
        }
        until_descriptors(&server, |open| open >= 100).await;
        until(|| failures() > 0).await;
        let before = server.ticks();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let spent = server.ticks() - before;
        assert!(spent < 50, "it took {spent} ticks of 10 ms of a second to wait");
        drop(held);
        until_descriptors(&server, |open| open < 60).await;
        serve_one(addr).await;
    }
    // It tries fifty times a second.
    assert!(failures() < 5, "it was told {} times", failures());
}

#[tokio::test]
async fn counters_are_for_this_machine_or_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let file = file.to_str().unwrap();
    let right: &[(&str, &str)] = &[("authorization", "Bearer 0123456789abcdef")];
    let wrong: &[(&str, &str)] = &[("authorization", "Bearer 0123456789abcdee")];
    // (arguments, headers, status)
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], u16);
    let rows: [Row<'_>; 7] = [
        (&[], &[], 200),
        (&["--control-token", file], &[], 401),
        (&["--control-token", file], wrong, 401),
        (&["--control-token", file], right, 200),
        (&["--listen", "0.0.0.0:0"], &[], 401),
        (&["--listen", "0.0.0.0:0"], right, 401),
        (&["--listen", "0.0.0.0:0", "--control-token", file], right, 200),
    ];
    for (arguments, headers, status) in rows {
        let server = Watched::start(arguments);
        let addr = SocketAddr::from(([127, 0, 0, 1], server.addr().port()));
        for (method, path, body) in [
            ("GET", COUNTERS_PATH, ""),
            ("POST", CLOSE_PATH, r#"{"code":1012}"#),
            ("POST", CONTROL_REVOKE_PATH, r#"{"fraction":1.0}"#),
        ] {
            let headers = [headers, &[JSON]].concat();
            let reply = http(addr, method, path, &headers, body).await;
            assert_eq!(reply.status, status, "{arguments:?} {headers:?} {path}: {reply:?}");
        }
        // The service itself is not behind the token.
        serve_one(addr).await;
    }
}
