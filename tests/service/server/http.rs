//! The target's HTTP side over real sockets: tokens, refusals, control endpoints, and input that is no HTTP.

use resurge::sample::Cause;
use resurge::scenario::keys::{RefusalDetail, RefusalStatus, TargetClient, TargetRules};
use resurge::service::server::{CLOSE_PATH, CONTROL_REVOKE_PATH, COUNTERS_PATH, EVENTS_PATH, TOKEN_PATH};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WsError;

use super::common::*;

fn listed() -> TargetRules {
    let client = |id: &str, scopes: &[&str]| TargetClient {
        certificate: None,
        id: id.to_owned(),
        secret: SecretString::from("s3"),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
    };
    let clients = vec![client("reader", &["analytics:events:read"]), client("outsider", &["users:read"])];
    TargetRules { clients, ..TargetRules::default() }
}

#[tokio::test]
async fn the_token_endpoint_answers_as_the_rfc_says() {
    let server = start(listed());
    let basic = |joined: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(joined))
    };
    let (good, bad) = (basic("reader:s3"), basic("reader:no"));
    let grant = "grant_type=client_credentials";
    let in_body = format!("{grant}&client_id=reader&client_secret=s3");
    let large = "x".repeat(20_000);
    let charset = ("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8");
    let json = ("content-type", "application/json");
    // (method, headers, body, status, what the answer names)
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16, &'a str);
    let table: Vec<Row<'_>> = vec![
        ("POST", vec![FORM], &in_body, 200, "bearer"),
        ("POST", vec![charset, ("authorization", &good)], grant, 200, "bearer"),
        ("POST", vec![FORM, ("authorization", &bad)], grant, 401, "invalid_client"),
        ("POST", vec![FORM, ("authorization", &good)], &in_body, 400, "invalid_request"),
        (
            "POST",
            vec![FORM],
            "grant_type=password&client_id=reader&client_secret=s3",
            400,
            "unsupported_grant_type",
        ),
        ("POST", vec![FORM], "client_id=reader&client_secret=s3", 400, "invalid_request"),
        ("POST", vec![FORM], grant, 400, "invalid_client"),
        ("POST", vec![json], "{}", 415, "unsupported.media.type"),
        ("POST", vec![], grant, 415, "unsupported.media.type"),
        ("POST", vec![FORM], &large, 413, "too.large"),
        ("GET", vec![], "", 405, "method.not.allowed"),
    ];
    for (method, headers, body, status, name) in &table {
        let reply = http(server.addr(), method, TOKEN_PATH, headers, body).await;
        assert_eq!(reply.status, *status, "{reply:?}");
        assert!(reply.body.contains(name), "{reply:?}");
        if [200, 400, 401].contains(status) {
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert_eq!(challenge.starts_with("Basic"), *status == 401, "{reply:?}");
    }
    let counters = settled(&server).await;
    assert_eq!(counters.accepted, table.len() as u64);
    assert_eq!(counters.accepted_token, table.len() as u64);
    assert_eq!(counters.tokens_issued, 2);
    assert_eq!(counters.bad_requests, 4);
    let refused: Vec<(String, u64)> =
        counters.token_requests_refused.into_iter().map(|refused| (refused.error, refused.count)).collect();
    insta::assert_compact_debug_snapshot!(refused, @r#"[("invalid_client", 2), ("invalid_request", 2), ("unsupported_grant_type", 1)]"#);
}

#[tokio::test]
async fn a_token_says_how_long_it_lives_and_what_it_may() {
    let server = start(listed());
    let form = "grant_type=client_credentials&client_id=outsider&client_secret=s3";
    let reply = http(server.addr(), "POST", TOKEN_PATH, &[FORM], form).await.json();
    assert_eq!(reply["expires_in"], 86_400);
    assert_eq!(reply["token_type"], "bearer");
    assert_eq!(reply["scope"], "users:read");
    let token = reply["access_token"].as_str().unwrap();
    assert_eq!(token.len(), 32, "128 bits");
    assert_eq!(connect(server.addr(), token).await.unwrap_err(), 403);
    assert_eq!(settled(&server).await.refused[0].cause, Cause::MissingScope);
}

/// Tries to upgrade; answers with status, challenge and body.
async fn refused(server: &resurge::service::server::Server, headers: &[(&'static str, &str)]) -> String {
    let request = upgrade_request(server.addr(), EVENTS_PATH, headers);
    match upgrade(server.addr(), request).await {
        Err(WsError::Http(response)) => {
            let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            format!("{} | {} | {body}", response.status().as_u16(), challenge.unwrap_or("-"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_says_as_much_as_the_rules_want() {
    let server = start(TargetRules::default());
    insta::assert_snapshot!(refused(&server, &[]).await, @r#"403 | Bearer realm="resurge" | {"status":403,"code":"token.missing","message":"no access token was sent"}"#);
    insta::assert_snapshot!(refused(&server, &[("authorization", "Bearer nonsense")]).await, @r#"403 | Bearer realm="resurge", error="invalid_token", error_description="the access token is unknown" | {"status":403,"code":"token.unknown","message":"the access token is unknown"}"#);
    let bare = TargetRules {
        refusal_detail: RefusalDetail::Bare,
        refusal_status: RefusalStatus::Always(401),
        ..TargetRules::default()
    };
    let server = start(bare);
    insta::assert_snapshot!(refused(&server, &[]).await, @"401 | - | ");
    let counters = settled(&server).await;
    assert_eq!((counters.refused[0].status, counters.refused[0].cause), (401, Cause::NoToken));
}

#[tokio::test]
async fn a_token_is_taken_from_header_query_and_subprotocol() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let in_query = format!("{EVENTS_PATH}?access_token={}", fetch(addr, "a").await);
    let (_socket, answer) = upgrade(addr, upgrade_request(addr, &in_query, &[])).await.unwrap();
    assert_eq!(answer.headers().get("sec-websocket-protocol"), None);
    // The only offer is echoed; beside another one the token stays where it is.
    let alone = format!("bearer.{}", fetch(addr, "a").await);
    let both = format!("v2.events, bearer.{}", fetch(addr, "a").await);
    for (offer, chosen) in [(&alone, alone.as_str()), (&both, "v2.events")] {
        let request = upgrade_request(addr, EVENTS_PATH, &[("sec-websocket-protocol", offer)]);
        let (_socket, answer) = upgrade(addr, request).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], chosen);
    }
    assert_eq!(server.counters().upgrades, 3);
}

#[tokio::test]
async fn a_bad_upgrade_is_told_what_is_wrong() {
    let server = start(TargetRules::default());
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let (up, connection) = (("upgrade", "websocket"), ("connection", "upgrade"));
    type Row = (&'static str, &'static str, Vec<(&'static str, &'static str)>, u16, &'static str);
    let table: Vec<Row> = vec![
        ("GET", EVENTS_PATH, vec![], 426, "upgrade.required"),
        (
            "GET",
            EVENTS_PATH,
            vec![up, connection, key, ("sec-websocket-version", "8")],
            426,
            "websocket.version",
        ),
        ("GET", EVENTS_PATH, vec![up, connection, ("sec-websocket-version", "13")], 400, "Sec-WebSocket-Key"),
        ("POST", EVENTS_PATH, vec![], 405, "method.not.allowed"),
        ("GET", "/elsewhere", vec![], 404, "POST /oauth/token"),
    ];
    for (method, path, headers, status, name) in &table {
        let reply = http(server.addr(), method, path, headers, "").await;
        assert_eq!(reply.status, *status, "{reply:?}");
        assert!(reply.body.contains(name), "{reply:?}");
    }
    assert_eq!(settled(&server).await.bad_requests, table.len() as u64);
}

#[tokio::test]
async fn input_that_is_no_http_is_counted_and_does_no_harm() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let reply = send_raw(addr, b"\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n").await;
    assert_eq!(reply.map(|reply| reply.status), Some(400));
    let huge = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let reply = send_raw(addr, huge.as_bytes()).await;
    assert!(reply.is_none_or(|reply| reply.status == 431));
    let mut truncated = TcpStream::connect(addr).await.unwrap();
    truncated.write_all(b"POST /oauth/token HTTP/1.1\r\nhost:").await.unwrap();
    truncated.shutdown().await.unwrap();
    let mut rest = Vec::new();
    soon(truncated.read_to_end(&mut rest)).await.unwrap();
    let body_cut_off = format!(
        "POST {TOKEN_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ncontent-length: 99\r\n\r\ngrant",
        FORM.1
    );
    let mut cut_off = TcpStream::connect(addr).await.unwrap();
    cut_off.write_all(body_cut_off.as_bytes()).await.unwrap();
    cut_off.shutdown().await.unwrap();
    soon(cut_off.read_to_end(&mut rest)).await.unwrap();
    let silent = TcpStream::connect(addr).await.unwrap();
    drop(silent);
    // It serves on.
    let token = fetch(addr, "a").await;
    drop(connect(addr, &token).await.unwrap());
    let counters = settled(&server).await;
    assert_eq!(counters.accepted, 7);
    assert_eq!(counters.bad_requests, 4, "{counters:?}");
    assert_eq!((counters.accepted_token, counters.accepted_events, counters.tokens_issued), (2, 1, 1));
}

#[tokio::test]
async fn a_kept_connection_counts_once() {
    let server = start(TargetRules::default());
    let form = "grant_type=client_credentials&client_id=a&client_secret=b";
    let request = format!(
        "POST {TOKEN_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n{form}",
        FORM.1,
        form.len()
    );
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let mut answer = Vec::new();
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        answer.clear();
        while !answer.ends_with(b"}") {
            soon(stream.read_buf(&mut answer)).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    // The connection is still open, and idle: the target is quiet all the same.
    let counters = settled(&server).await;
    assert_eq!((counters.accepted, counters.accepted_token, counters.tokens_issued), (1, 1, 3));
}

#[tokio::test]
async fn the_control_endpoints_tell_and_refuse() {
    let server = start(TargetRules::default());
    let addr = server.addr();
    let token = fetch(addr, "a").await;
    let mut socket = connect(addr, &token).await.unwrap();
    let table = [
        (r#"{"code":1006}"#, 400, "close code 1006 cannot be sent"),
        (r#"{"code":1001,"fraction":0}"#, 400, "fraction 0 is not a share"),
        (r#"{"code":1001,"fraction":1.5}"#, 400, "fraction 1.5 is not a share"),
        (r#"{"code":70000}"#, 400, "the body must be like"),
        (r#"{"code":1001,"share":1}"#, 400, "unknown field `share`"),
        ("", 400, "the body must be like"),
        (r#"{"code":1012}"#, 200, r#"{"closed":1}"#),
        (r#"{"code":1012,"fraction":1.0}"#, 200, r#"{"closed":0}"#),
    ];
    for (body, status, says) in table {
        let reply = http(addr, "POST", CLOSE_PATH, &[JSON], body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.json().to_string().contains(says) || reply.body.contains(says), "{reply:?}");
    }
    // A page of another site, a name that has come to mean this machine.
    for foreign in
        [("origin", "http://evil.example"), ("host", "evil.example"), ("sec-fetch-site", "cross-site")]
    {
        let reply = http(addr, "POST", CLOSE_PATH, &[foreign, JSON], r#"{"code":1012}"#).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (403, Some("another.site")), "{foreign:?}");
    }
    // What any page may send without asking.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let header = ("content-type", content_type);
        for (path, body) in [(CLOSE_PATH, r#"{"code":1012}"#), (CONTROL_REVOKE_PATH, r#"{"fraction":1.0}"#)] {
            let reply = http(addr, "POST", path, &[header], body).await;
            assert_eq!((reply.status, reply.json()["code"].as_str()), (415, Some("not.json")), "{header:?}");
        }
    }
    let (close, _) = read_to_close(&mut socket).await;
    assert_eq!(close, Some((1012, "Storm".to_owned())));
    assert_eq!(http(addr, "GET", CLOSE_PATH, &[], "").await.status, 405);
    assert_eq!(http(addr, "POST", COUNTERS_PATH, &[], "").await.status, 405);
    assert!(server.wait_until_quiet(PATIENCE).await);
    let told: resurge::service::counters::TargetCounters =
        serde_json::from_value(http(addr, "GET", COUNTERS_PATH, &[], "").await.json()).unwrap();
    assert_eq!(told, server.counters());
    assert_eq!((told.accepted_control, told.bad_requests), (22, 19));
    assert_eq!(closes(&told), ["storm 1012 × 1"]);
}
