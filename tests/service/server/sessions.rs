//! The target's sessions over real sockets: how they end, what that does to tokens, and that every end is counted once.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use resurge::clock::Clock;
use resurge::sample::Cause;
use resurge::scenario::keys::{Delay, IdleCounts, Invalidation, TargetRules};
use resurge::service::server::{EVENTS_PATH, Server, ServerSetup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::common::*;

const SHORT: Duration = Duration::from_millis(300);

fn short_idle() -> TargetRules {
    TargetRules { idle_timeout: Some(SHORT), close_timeout: SHORT, ..TargetRules::default() }
}

/// The only caller of the system's clock in these tests: they check that nothing happens too early.
#[expect(clippy::disallowed_methods, reason = "a test measures from outside")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn an_idle_session_is_closed_and_its_token_is_stale() {
    let server = start(short_idle());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let before = now();
    let mut socket = connect(addr, &token).await.unwrap();
    let (close, _) = read_to_close(&mut socket).await;
    assert!(before.elapsed() >= SHORT, "not early");
    assert_eq!(close, Some((1001, "Idle Timeout".to_owned())));
    // The server has ended TCP: there is nothing more to read.
    assert_eq!(soon(socket.get_mut().read(&mut [0; 8])).await.unwrap(), 0);
    assert_eq!(connect(addr, &token).await.unwrap_err(), 403);
    let fresh = fetch(addr, "a").await;
    drop(connect(addr, &fresh).await.unwrap());
    let counters = settled(&server).await;
    assert_eq!(closes(&counters), ["target 1001 × 1", "network 1006 fin × 1"]);
    assert_eq!((counters.upgrades, counters.tokens_issued, counters.accepted), (2, 2, 5));
    assert_eq!((counters.refused[0].status, counters.refused[0].cause), (403, Cause::StaleToken));
}

#[tokio::test]
async fn the_token_is_gone_when_the_close_frame_is_seen() {
    let server = start(short_idle());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let mut socket = connect(addr, &token).await.unwrap();
    assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Close(_)))));
    // The closing handshake is not over yet: the answer has not been sent.
    assert_eq!(connect(addr, &token).await.unwrap_err(), 403);
}

#[tokio::test]
async fn traffic_of_the_client_keeps_a_session_open() {
    let server = start(short_idle());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let mut socket = connect(addr, &token).await.unwrap();
    let begun = now();
    let mut pongs = 0;
    while begun.elapsed() < 3 * SHORT {
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        match soon(socket.next()).await {
            Some(Ok(Message::Pong(echo))) => assert_eq!(echo, "are you there".as_bytes()),
            other => panic!("{other:?}"),
        }
        pongs += 1;
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(pongs > 3);
    socket.send(Message::text("one")).await.unwrap();
    socket.send(Message::binary(vec![0; 100_000])).await.unwrap();
    let (close, _) = read_to_close(&mut socket).await;
    assert_eq!(close.map(|close| close.0), Some(1001));
    assert_eq!(settled(&server).await.messages_received, 2);
}

#[tokio::test]
async fn every_way_to_end_is_told_apart() {
    let rules = TargetRules { close_timeout: SHORT, ..TargetRules::default() };
    let server = start(rules);
    let addr = server.addr();
    let mut sockets = Vec::new();
    for _ in 0..7 {
        let token = fetch(addr, "a").await;
        sockets.push(connect(addr, &token).await.unwrap());
    }
    let mut next = || sockets.pop().unwrap();

    let mut leaves = next();
    leaves.close(Some(CloseFrame { code: 4001.into(), reason: "bye".into() })).await.unwrap();
    assert_eq!(read_to_close(&mut leaves).await.0, Some((4001, "bye".to_owned())), "an echo");
    let mut leaves_without_code = next();
    leaves_without_code.close(None).await.unwrap();
    assert_eq!(read_to_close(&mut leaves_without_code).await.0, None);
    drop(next());
    let resets = next().into_inner();
    socket2::SockRef::from(&resets).set_linger(Some(Duration::ZERO)).unwrap();
    drop(resets);
    let mut breaks_the_protocol = next().into_inner();
    breaks_the_protocol.write_all(b"\x81\x02hi").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(breaks_the_protocol.read_to_end(&mut rest)).await;
    let mut sends_too_much = next().into_inner();
    sends_too_much.write_all(b"\x82\xff\x00\x00\x00\x00\x00\x20\x00\x00mask").await.unwrap();
    let _ = soon(sends_too_much.read_to_end(&mut rest)).await;
    // The last one neither reads nor answers: the target gives up on it.
    let falls_silent = next();
    until(|| server.counters().sessions_open <= 1).await;
    assert_eq!(server.storm(1012, 1.0), Ok(1));
    let counters = settled(&server).await;
    drop(falls_silent);
    insta::assert_compact_debug_snapshot!(closes(&counters), @r#"["client 1005 × 1", "client 4001 × 1", "network 1006 fin × 1", "network 1006 rst × 1", "network 1006 protocol × 2", "storm 1012 × 1"]"#);
}

#[tokio::test]
async fn a_storm_closes_its_share_and_the_counters_agree() {
    let server = start(TargetRules { invalidation: Invalidation::OnNewToken, ..TargetRules::default() });
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(connect(addr, &token).await.unwrap());
    }
    assert_eq!(server.storm(1012, 0.25), Ok(10));
    let ends =
        sockets.into_iter().map(|mut socket| tokio::spawn(async move { read_to_close(&mut socket).await.0 }));
    let ends: Vec<_> = ends.collect();
    until(|| server.counters().sessions_open <= 30).await;
    assert_eq!(server.storm(1001, 1.0), Ok(30));
    let ends = futures::future::join_all(ends).await;
    let of_code = |code| ends.iter().filter(|end| end.as_ref().unwrap().as_ref().unwrap().0 == code).count();
    assert_eq!((of_code(1012), of_code(1001)), (10, 30));
    assert_eq!(closes(&settled(&server).await), ["storm 1001 × 30", "storm 1012 × 10"]);
    assert!(server.storm(1005, 1.0).is_err());
}

#[tokio::test]
async fn a_storm_reaches_a_client_that_never_stops_sending() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let (mut sink, mut stream) = connect(addr, &token).await.unwrap().split();
    let flood = tokio::spawn(async move { while sink.feed(Message::text("x".repeat(100))).await.is_ok() {} });
    until(|| server.counters().messages_received >= 1_000).await;
    assert_eq!(server.storm(1012, 1.0), Ok(1));
    match soon(stream.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1012),
        other => panic!("{other:?}"),
    }
    drop(stream);
    soon(flood).await.unwrap();
    assert_eq!(closes(&settled(&server).await), ["storm 1012 × 1"]);
}

#[tokio::test]
async fn a_newer_token_ends_the_older_one() {
    let server = start(TargetRules { invalidation: Invalidation::OnNewToken, ..TargetRules::default() });
    let addr = server.addr();
    let older = fetch(addr, "a").await;
    let other = fetch(addr, "b").await;
    let _session = connect(addr, &older).await.unwrap();
    let newer = fetch(addr, "a").await;
    assert_eq!(connect(addr, &older).await.unwrap_err(), 403);
    drop(connect(addr, &newer).await.unwrap());
    drop(connect(addr, &newer).await.unwrap());
    drop(connect(addr, &other).await.unwrap());
}

#[tokio::test]
async fn an_expired_token_is_refused_as_such() {
    let server = start(TargetRules { token_life: Duration::from_millis(1), ..TargetRules::default() });
    let token = fetch(server.addr(), "a").await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(connect(server.addr(), &token).await.unwrap_err(), 403);
    assert_eq!(server.counters().refused[0].cause, Cause::ExpiredToken);
}

/// Sequence number and due time of a message.
fn read_message(message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> (u64, u64) {
    let text = message.unwrap().unwrap().into_text().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["topicName"], "v2.analytics.events");
    assert_eq!(value["eventBody"]["padding"].as_str().map(str::len), Some(10));
    (value["seq"].as_u64().unwrap(), value["due_us"].as_u64().unwrap())
}

#[tokio::test]
async fn sequence_numbers_go_on_while_a_client_is_away() {
    let every = Duration::from_millis(20);
    let rules = TargetRules {
        idle_timeout: Some(SHORT),
        idle_counts: IdleCounts::Either,
        messages_every: Some(every),
        message_padding: 10,
        ..TargetRules::default()
    };
    let clock = Clock::start();
    let listen = ([127, 0, 0, 1], 0).into();
    let server = Server::start(ServerSetup {
        listen,
        rules,
        seed: 1,
        clock,
        worker_threads: 1,
        control: None,
        control_token: None,
        tls: None,
    })
    .unwrap();
    let addr = server.addr();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let bearer = format!("Bearer {}", fetch(addr, "a").await);
        let headers = [("authorization", bearer.as_str()), ("x-resurge-client", "77")];
        let (mut socket, _) = upgrade(addr, upgrade_request(addr, EVENTS_PATH, &headers)).await.unwrap();
        for _ in 0..5 {
            let (sequence, due_us) = read_message(soon(socket.next()).await);
            assert!(clock.unix_us(clock.now()) >= due_us, "no message comes before it is due");
            seen.push((sequence, due_us));
        }
        socket.close(None).await.unwrap();
        read_to_close(&mut socket).await;
        // Being away is what this test is about.
        tokio::time::sleep(3 * every).await;
    }
    let (first, first_due) = seen[0];
    for pair in seen.windows(2) {
        assert!(pair[1].0 > pair[0].0, "{seen:?}");
    }
    for session in seen.chunks(5) {
        assert_eq!(session[4].0 - session[0].0, 4, "none is missing within a session: {seen:?}");
    }
    assert!(seen[5].0 - seen[4].0 >= 4, "those of the time away are missing: {seen:?}");
    for &(sequence, due_us) in &seen {
        assert_eq!(due_us - first_due, (sequence - first) * 20_000);
    }
    assert!(settled(&server).await.messages_sent >= 15);
}

#[tokio::test]
async fn answers_are_held_back_and_never_early() {
    let (token_delay, upgrade_delay) = (Duration::from_millis(40), Duration::from_millis(60));
    let rules = TargetRules {
        token_delay: Delay::Constant(token_delay),
        upgrade_delay: Delay::Constant(upgrade_delay),
        ..TargetRules::default()
    };
    let server = start(rules);
    for _ in 0..5 {
        let begun = now();
        let token = fetch(server.addr(), "a").await;
        assert!(begun.elapsed() >= token_delay);
        let begun = now();
        drop(connect(server.addr(), &token).await.unwrap());
        assert!(begun.elapsed() >= upgrade_delay);
        let begun = now();
        assert_eq!(connect(server.addr(), "none").await.unwrap_err(), 403);
        assert!(begun.elapsed() >= upgrade_delay, "a refusal is held back too");
    }
}

#[tokio::test]
async fn a_client_that_gives_up_during_the_delay_is_counted_nowhere() {
    let rules =
        TargetRules { upgrade_delay: Delay::Constant(Duration::from_secs(600)), ..TargetRules::default() };
    let server = start(rules);
    let addr = server.addr();
    let bearer = format!("Bearer {}", fetch(addr, "a").await);
    let request = upgrade_request(addr, EVENTS_PATH, &[("authorization", &bearer)]);
    assert!(tokio::time::timeout(SHORT, upgrade(addr, request)).await.is_err());
    let counters = settled(&server).await;
    assert_eq!((counters.upgrades, counters.refused.len(), counters.bad_requests), (0, 0, 0));
    assert_eq!((counters.accepted, counters.accepted_token), (2, 1));
}

#[tokio::test]
async fn a_shutdown_waits_for_sessions_within_its_bound() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let mut leaving = connect(addr, &token).await.unwrap();
    let token = fetch(addr, "a").await;
    let _staying = connect(addr, &token).await.unwrap();
    leaving.close(None).await.unwrap();
    let counters = soon(server.shutdown(SHORT)).await;
    assert_eq!(
        (counters.upgrades, counters.sessions_open),
        (2, 1),
        "one was cut off, and is counted as open"
    );
    assert_eq!(closes(&counters), ["client 1005 × 1"]);
    // The port is free again, as soon as the last task is gone.
    let again = soon(async {
        loop {
            let (clock, rules) = (Clock::start(), TargetRules::default());
            let setup = ServerSetup {
                listen: addr,
                rules,
                seed: 1,
                clock,
                worker_threads: 1,
                control: None,
                control_token: None,
                tls: None,
            };
            match Server::start(setup) {
                Ok(server) => break server,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(again.await.counters(), Default::default());
}
