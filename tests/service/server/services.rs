//! What the target is beside a guard: channels by REST, limits, revocation, ways to refuse, idle sessions, storms by schedule.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use resurge::scenario::keys::TargetRules;
use resurge::scenario::load_target_rules;
use resurge::service::server::{CONTROL_REVOKE_PATH, EVENTS_PATH, REVOKE_PATH, Server};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::common::*;

const CHANNELS: &str = "/api/v2/notifications/channels";

/// The rules of a profile with some changed, as on the command line.
fn rules(profile: &str, changes: &[(&str, &str)]) -> TargetRules {
    let changes: Vec<_> =
        changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load_target_rules(profile, &changes, &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

fn serve(profile: &str, changes: &[(&str, &str)]) -> Server {
    start(rules(profile, changes))
}

/// A token of the client `app`, as a header.
async fn bearer(server: &Server) -> String {
    format!("Bearer {}", fetch(server.addr(), "app").await)
}

async fn rest(server: &Server, method: &str, path: &str, bearer: &str, body: &str) -> Reply {
    http(server.addr(), method, path, &[("authorization", bearer)], body).await
}

/// Opens the socket of a channel; the status of a refusal otherwise.
async fn open(server: &Server, channel: &serde_json::Value) -> Result<Socket, u16> {
    let uri = channel["connectUri"].as_str().unwrap();
    let path = uri.strip_prefix(&format!("ws://{}", server.addr())).unwrap();
    match upgrade(server.addr(), upgrade_request(server.addr(), path, &[])).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn next_text(socket: &mut Socket) -> String {
    loop {
        match soon(socket.next()).await.expect("the session ended").expect("a message") {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_channel_has_a_life_a_uri_and_subscriptions() {
    let server = serve("genesys", &[]);
    let bearer = bearer(&server).await;
    let made = rest(&server, "POST", CHANNELS, &bearer, "{}").await;
    assert_eq!((made.status, made.header("inin-ratelimit-count")), (200, Some("1")), "{made:?}");
    assert_eq!(made.header("inin-ratelimit-allowed"), Some("300"));
    assert_eq!(made.header("inin-correlation-id").map(str::len), Some(32));
    let channel = made.json();
    assert!(channel["expires"].as_str().unwrap().ends_with('Z'), "{channel}");
    let id = channel["id"].as_str().unwrap();
    let listed = rest(&server, "GET", CHANNELS, &bearer, "").await;
    assert_eq!(listed.json()["entities"][0], json!({ "id": id, "connectUri": channel["connectUri"] }));
    for (name, status) in [(id, 200), ("00000000000000000000000000000000", 404)] {
        assert_eq!(rest(&server, "HEAD", &format!("{CHANNELS}/{name}"), &bearer, "").await.status, status);
    }
    let subscriptions = format!("{CHANNELS}/{id}/subscriptions");
    let topics = r#"[{"id":"v2.users.a.presence"},{"id":"v2.users.b.presence"}]"#;
    let added = rest(&server, "POST", &subscriptions, &bearer, topics).await;
    assert_eq!(added.json()["entities"][1], json!({ "id": "v2.users.b.presence", "state": "Permitted" }));
    let replaced = rest(&server, "PUT", &subscriptions, &bearer, r#"[{"id":"v2.users.c.presence"}]"#).await;
    assert_eq!(replaced.json()["entities"].as_array().unwrap().len(), 1);

    let mut socket = open(&server, &channel).await.unwrap();
    let subscribe = r#"{"message":"subscribe","topics":["v2.users.d.presence"],"correlationId":"x1"}"#;
    socket.send(Message::text(subscribe)).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&next_text(&mut socket).await).unwrap();
    assert_eq!(answer, json!({ "result": "200", "status": "subscribed", "correlationId": "x1" }));
    socket.send(Message::text(r#"{"message":"ping"}"#)).await.unwrap();
    assert!(next_text(&mut socket).await.contains("\"pong\""));
    let kept = rest(&server, "GET", &subscriptions, &bearer, "").await.json();
    let names: Vec<&str> =
        kept["entities"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["v2.users.c.presence", "v2.users.d.presence"]);
    assert_eq!(rest(&server, "DELETE", &subscriptions, &bearer, "").await.status, 200);

    // A second socket takes the first one's place.
    let second = open(&server, &channel).await.unwrap();
    assert_eq!(read_to_close(&mut socket).await.0.unwrap(), (1000, "Displaced".to_owned()));
    drop(second);
    let too_many: Vec<_> = (0..1_001).map(|n| json!({ "id": format!("v2.users.{n}.presence") })).collect();
    let refused = rest(&server, "PUT", &subscriptions, &bearer, &json!(too_many).to_string()).await;
    assert_eq!(refused.status, 400);
    let body = refused.json();
    let keys = ["message", "code", "status", "messageParams", "contextId", "details", "errors"];
    assert!(keys.iter().all(|key| body.get(key).is_some()), "{body}");
}

#[tokio::test]
async fn the_21st_channel_ends_the_oldest_without_a_socket_and_a_channel_ends_with_its_token() {
    let server = serve("genesys", &[]);
    let bearer = bearer(&server).await;
    let mut channels = Vec::new();
    for _ in 0..20 {
        channels.push(rest(&server, "POST", CHANNELS, &bearer, "").await.json());
    }
    let mut first = open(&server, &channels[0]).await.unwrap();
    rest(&server, "POST", CHANNELS, &bearer, "").await;
    assert_eq!(open(&server, &channels[1]).await.err(), Some(401), "evicted, for the oldest has a socket");
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let revoked = http(server.addr(), "POST", REVOKE_PATH, &[FORM], &format!("token={token}")).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(next_text(&mut first).await, r#"{"result":"404"}"#);
    let refused = rest(&server, "POST", CHANNELS, &bearer, "").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("bad.credentials")));
    assert_eq!(server.counters().tickets_evicted, 1);
    let unknown = http(server.addr(), "POST", REVOKE_PATH, &[FORM], "token=of-another-world").await;
    let without = http(server.addr(), "POST", REVOKE_PATH, &[FORM], "hint=x").await;
    assert_eq!((unknown.status, without.status), (200, 400), "RFC 7009 §2.2");
}

#[tokio::test]
async fn errors_are_the_services_own() {
    let listed = r#"[{ id = "app", secret = "s", scopes = ["other"] }]"#;
    let changes = [("required_scopes", r#"["notifications"]"#), ("clients", listed), ("token_life", "300ms")];
    let server = serve("genesys", &changes);
    let lacking = bearer(&server).await;
    let refused = rest(&server, "POST", CHANNELS, &lacking, "").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("missing.permissions")));
    soon(async {
        while rest(&server, "POST", CHANNELS, &lacking, "").await.json()["code"] != "credentials.expired" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let none = http(server.addr(), "POST", CHANNELS, &[], "").await;
    assert_eq!((none.status, none.json()["code"].as_str()), (401, Some("authentication.required")));
    let form = "grant_type=client_credentials&client_id=nobody&client_secret=s";
    let wrong = http(server.addr(), "POST", "/oauth/token", &[FORM], form).await.json();
    assert_eq!(wrong["error"], "invalid_client");
    assert_eq!(wrong["description"], wrong["error_description"]);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_when_to_come_back() {
    let server = serve("genesys", &[("request_limits.0.count", "3")]);
    let bearer = bearer(&server).await;
    for _ in 0..3 {
        assert_eq!(rest(&server, "GET", CHANNELS, &bearer, "").await.status, 200);
    }
    let over = rest(&server, "POST", CHANNELS, &bearer, "").await;
    assert_eq!((over.status, over.json()["code"].as_str()), (429, Some("too.many.requests")));
    let reset: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&reset), "{over:?}");
    assert_eq!(over.header("inin-ratelimit-reset").unwrap(), reset.to_string());
}

#[tokio::test]
async fn tokens_are_limited_where_the_rules_say_so() {
    let server = serve("forum", &[("token_limit", r#"{ count = 1, per = "60s", retry_after = false }"#)]);
    fetch(server.addr(), "app").await;
    let form = "grant_type=client_credentials&client_id=app&client_secret=s";
    let over = http(server.addr(), "POST", "/oauth/token", &[FORM], form).await;
    assert_eq!((over.status, over.header("retry-after")), (429, None));
    fetch(server.addr(), "another").await;
}

#[tokio::test]
async fn a_handshake_is_refused_in_the_manner_that_the_rules_have() {
    let message = r#"{ message = "{\"code\":\"{code}\"}", close = 4401 }"#;
    let server = serve("forum", &[("refusal_manner", message)]);
    let mut socket = connect(server.addr(), "nonsense").await.unwrap();
    let (close, before) = read_to_close(&mut socket).await;
    assert_eq!(close.unwrap(), (4401, "Refused".to_owned()));
    assert_eq!(before, [Message::text(r#"{"code":"token.unknown"}"#)]);
    let counters = settled(&server).await;
    assert_eq!((counters.refused.len(), counters.refused_otherwise[0].count), (0, 1));
    assert_eq!(closes(&counters), ["target 4401 × 1"]);

    let server = serve("forum", &[("refusal_manner", "reset")]);
    let request = upgrade_request(server.addr(), EVENTS_PATH, &[("authorization", "Bearer nonsense")]);
    let error = upgrade(server.addr(), request).await.unwrap_err();
    assert!(matches!(error, WsError::Io(_) | WsError::Protocol(_)), "{error:?}");
    assert_eq!(settled(&server).await.refused_otherwise[0].manner, "reset");

    let server = serve("forum", &[("refusal_manner", "silence")]);
    let request = upgrade_request(server.addr(), EVENTS_PATH, &[("authorization", "Bearer nonsense")]);
    let waiting = tokio::spawn(upgrade(server.addr(), request));
    until(|| !server.counters().refused_otherwise.is_empty()).await;
    assert!(!waiting.is_finished(), "it was answered");
    waiting.abort();
}

#[tokio::test]
async fn idle_sessions_are_dropped_or_left_in_silence() {
    let server = serve("forum", &[("idle_timeout", "200ms"), ("idle_action", "drop")]);
    let mut socket = connect(server.addr(), &fetch(server.addr(), "app").await).await.unwrap();
    assert_eq!(read_to_close(&mut socket).await, (None, vec![]), "no close frame");
    assert_eq!(closes(&settled(&server).await), ["network 1006 fin × 1"]);

    let changes = [("idle_timeout", "100ms"), ("idle_action", "silence"), ("invalidation", "never")];
    let server = serve("forum", &[&changes[..], &[("sessions_per_client", "1")]].concat());
    let token = fetch(server.addr(), "app").await;
    let mut socket = connect(server.addr(), &token).await.unwrap();
    // Silence is seen by the place that is free: the session is over, though nobody says so.
    soon(Box::pin(async { while connect(server.addr(), &token).await.is_err() {} })).await;
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_millis(300), socket.next()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let server = serve("bearer", &[("token_end", r#"{ code = 4401 }"#), ("required_scopes", "[]")]);
    let token = fetch(server.addr(), "app").await;
    let mut socket = connect(server.addr(), &token).await.unwrap();
    let revoked = http(server.addr(), "POST", CONTROL_REVOKE_PATH, &[JSON], r#"{"fraction":1.0}"#).await;
    assert_eq!(revoked.json()["revoked"], 1);
    assert_eq!(read_to_close(&mut socket).await.0.unwrap(), (4401, "Token ended".to_owned()));
    assert_eq!(connect(server.addr(), &token).await.err(), Some(401));
    for bad in ["{}x", r#"{"fraction":0}"#, r#"{"share":1}"#] {
        assert_eq!(http(server.addr(), "POST", CONTROL_REVOKE_PATH, &[JSON], bad).await.status, 400, "{bad}");
    }
    let server =
        serve("bearer", &[("token_end", r#"{ code = 4402, grace = "100ms" }"#), ("token_life", "400ms")]);
    let mut socket = connect(server.addr(), &fetch(server.addr(), "app").await).await.unwrap();
    assert_eq!(read_to_close(&mut socket).await.0.unwrap().0, 4402);
}

#[tokio::test]
async fn storms_come_by_schedule_with_a_warning_where_there_is_one() {
    let storms =
        r#"[{ at = "3s", warning_before = "1500ms", warning = "soon", code = 1012, fraction = "100%" }]"#;
    let server = serve("forum", &[("storms", storms)]);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(connect(server.addr(), &fetch(server.addr(), "app").await).await.unwrap());
    }
    let (close, before) = read_to_close(&mut sockets[0]).await;
    assert_eq!(before, [Message::text("soon")]);
    assert_eq!(close.unwrap().0, 1012);
    let server = serve("forum", &[("storms", r#"[{ at = "100ms", every = "100ms", code = 4000 }]"#)]);
    for _ in 0..3 {
        let mut socket = connect(server.addr(), &fetch(server.addr(), "app").await).await.unwrap();
        assert_eq!(read_to_close(&mut socket).await.0.unwrap().0, 4000);
    }
}
