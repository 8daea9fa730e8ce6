//! Worlds in which something else of a handshake than its token is the reason: its `Origin`, its subprotocols, its `Host`, its path, the way that it comes.

use std::time::Duration;

use resurge::diagnose::Kind;

use crate::diagnose_strangers::{ALL_LET_IN, BARE, World};
use crate::stranger::{Asks, Says};

fn same_origin_or_none(asks: &Asks) -> Says {
    let is_right = asks.origin.as_ref().is_none_or(|origin| *origin == format!("http://{}", asks.host));
    if is_right && asks.is_good { Says::In } else { BARE }
}

fn same_origin_only(asks: &Asks) -> Says {
    if asks.origin.is_some() { same_origin_or_none(asks) } else { BARE }
}

/// The worlds.
pub(crate) fn handshakes() -> Vec<World> {
    use Kind::*;
    vec![
        World {
            name: "its own origin only",
            answer: same_origin_only,
            kind: OriginRefused,
            words: &["refuses by Origin", "Set connect.origin = \"http://127.0.0.1:"],
            ..ALL_LET_IN
        },
        World {
            name: "no other origin",
            answer: same_origin_or_none,
            group: "[groups.connect]\norigin = \"https://elsewhere.example\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            kind: OriginRefused,
            words: &[
                "with https://elsewhere.example it gets 403, with none it is admitted",
                "Leave connect.origin out",
            ],
            ..ALL_LET_IN
        },
        World {
            name: "an origin that was named for it",
            answer: |asks| {
                let is_right = asks.origin.as_deref() == Some("https://app.example");
                if is_right && asks.is_good { Says::In } else { BARE }
            },
            origins: &["https://other.example", "https://app.example"],
            kind: OriginRefused,
            words: &["Set connect.origin = \"https://app.example\""],
            ..ALL_LET_IN
        },
        World {
            name: "an origin that nobody named",
            answer: |asks| {
                if asks.origin.as_deref() == Some("https://app.example") { Says::In } else { BARE }
            },
            kind: CannotTell,
            needs_fresh: None,
            words: &["another Origin does not change it", "--origin"],
            ..ALL_LET_IN
        },
        World {
            name: "pages without an origin only",
            answer: |asks| if asks.origin.as_deref() == Some("null") { Says::In } else { BARE },
            kind: OriginRefused,
            words: &["with none it gets 403", "Set connect.origin = \"null\""],
            ..ALL_LET_IN
        },
        World {
            name: "an origin that it names, and that nobody has",
            answer: |_| Says::Http("403 Forbidden", "text/plain", "Cross origin websockets not allowed"),
            kind: OriginRefused,
            words: &["by Origin, not by the token: it says so (403)", "--origin"],
            ..ALL_LET_IN
        },
        World {
            name: "another page as Rails refuses it",
            answer: |asks| {
                let is_right =
                    asks.origin.as_ref().is_some_and(|origin| *origin == format!("http://{}", asks.host));
                if is_right { Says::In } else { Says::Http("404 Not Found", "text/plain", "Page not found") }
            },
            kind: OriginRefused,
            words: &["with none it gets 404, with http://127.0.0.1:"],
            ..ALL_LET_IN
        },
        World {
            name: "a subprotocol that it wants",
            answer: |asks| {
                let is_there = asks.subprotocols.iter().any(|name| name == "graphql-transport-ws");
                if is_there {
                    Says::In
                } else {
                    Says::Http("400 Bad Request", "text/plain", "no subprotocol")
                }
            },
            kind: SubprotocolWrong,
            words: &[
                "with `graphql-transport-ws` it is admitted",
                "connect.subprotocols = [\"graphql-transport-ws\"]",
            ],
            ..ALL_LET_IN
        },
        World {
            name: "a subprotocol that it wants, told by a close",
            answer: |asks| {
                let is_there = asks.subprotocols.iter().any(|name| name == "ocpp1.6");
                if is_there { Says::In } else { Says::Close(Duration::ZERO, 1002, "") }
            },
            kind: SubprotocolWrong,
            words: &["closed with 1002", "with `ocpp1.6` it is admitted"],
            ..ALL_LET_IN
        },
        World {
            name: "a subprotocol that it does not know",
            answer: |asks| if asks.subprotocols.is_empty() { Says::In } else { BARE },
            group: "[groups.connect]\nsubprotocols = [\"v9.acme\"]\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            kind: SubprotocolWrong,
            words: &["without any it is admitted", "Leave connect.subprotocols out"],
            ..ALL_LET_IN
        },
        World {
            name: "another Host",
            answer: |asks| if asks.host.starts_with("localhost:") { Says::In } else { BARE },
            kind: HostWrong,
            words: &["with Host localhost:", "ALLOWED_HOSTS"],
            ..ALL_LET_IN
        },
        World {
            name: "a Host without its port",
            answer: |asks| {
                if asks.host == "127.0.0.1" {
                    Says::In
                } else {
                    Says::Http("400 Bad Request", "text/plain", "")
                }
            },
            kind: HostWrong,
            words: &["gets 400, with Host 127.0.0.1 it is admitted"],
            ..ALL_LET_IN
        },
        World {
            name: "a path without its slash",
            answer: |asks| {
                if asks.path == "/socket/" { Says::In } else { Says::Http("404 Not Found", "text/plain", "") }
            },
            group: "[groups.connect]\nurl = \"ws://ADDRESS/socket\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            kind: EndpointWrong,
            words: &["wrong by a slash", "gets 404"],
            ..ALL_LET_IN
        },
        World {
            name: "a path with a slash too many",
            answer: |asks| {
                let there = Says::Http(
                    "301 Moved Permanently\r\nLocation: /socket?v=2",
                    "text/html",
                    "<html></html>",
                );
                if asks.path == "/socket?v=2" { Says::In } else { there }
            },
            group: "[groups.connect]\nurl = \"ws://ADDRESS/socket/?v=2\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            kind: EndpointWrong,
            words: &["wrong by a slash", "follow no redirect"],
            ..ALL_LET_IN
        },
        World {
            name: "a proxy that drops Upgrade, before a service that says 400",
            answer: |_| Says::Http("400 Bad Request", "text/plain", "Can \"Upgrade\" only to \"WebSocket\"."),
            kind: UpgradeUnknown,
            needs_fresh: None,
            words: &["as to a plain GET of the same URL", "proxy_set_header Upgrade"],
            ..ALL_LET_IN
        },
        World {
            name: "a proxy that speaks HTTP/1.0",
            answer: |asks| match (asks.has_upgrade, asks.version.as_str()) {
                (false, _) => Says::Http("426 Upgrade Required", "text/plain", "no Upgrade"),
                // Whatever came, the proxy passes HTTP/1.0 on.
                (true, _) => Says::Http("400 Bad Request", "text/plain", "HTTP/1.1 is needed"),
            },
            kind: UpgradeUnknown,
            needs_fresh: None,
            words: &["comes to the service as HTTP/1.0", "proxy_http_version 1.1"],
            ..ALL_LET_IN
        },
        World {
            name: "a bad request, whoever asks, and not as a plain one is",
            answer: |asks| match (asks.has_upgrade, asks.version.as_str()) {
                (true, "HTTP/1.1") => Says::Http("400 Bad Request", "text/plain", "no"),
                (true, _) => Says::Http("505 HTTP Version Not Supported", "text/plain", "no"),
                (false, _) => Says::Http("404 Not Found", "text/plain", "no"),
            },
            kind: CannotTell,
            needs_fresh: None,
            words: &["what answers sees a handshake", "--subprotocol"],
            ..ALL_LET_IN
        },
        World {
            name: "a proxy that does not know Upgrade",
            answer: |_| Says::Http("200 OK", "text/plain", "ok"),
            kind: UpgradeUnknown,
            needs_fresh: None,
            words: &["A proxy on the way", "answers 200", "proxy_set_header Upgrade"],
            ..ALL_LET_IN
        },
        World {
            name: "a service that saw no Upgrade",
            answer: |_| Says::Http("426 Upgrade Required", "text/plain", "no"),
            kind: UpgradeUnknown,
            needs_fresh: None,
            ..ALL_LET_IN
        },
    ]
}
