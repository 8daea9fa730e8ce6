//! `diagnose` against services and gateways that are not ours: what it claims is true, or it says that it cannot tell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resurge::diagnose::{Diagnosis, Kind, diagnosis_text};
use tempfile::TempDir;

use crate::diagnose::diagnose_with;
use crate::stranger::{Asks, Manners, NGINX, Says, stranger};

/// A world that others made.
struct World {
    name: &'static str,
    answer: fn(&Asks) -> Says,
    tokens_die: bool,
    group: &'static str,
    /// Origins to try.
    origins: &'static [&'static str],
    kind: Kind,
    needs_fresh: Option<bool>,
    /// What the verdict has to say.
    words: &'static [&'static str],
}

const FETCHED: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";
const NEVER_GOOD: &str = "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n";
const ALL_LET_IN: World = World {
    name: "",
    answer: |_| Says::In,
    tokens_die: false,
    group: FETCHED,
    origins: &[],
    kind: Kind::Healthy,
    needs_fresh: Some(false),
    words: &[],
};

const OWN_PAGE: Says = Says::Http(
    "403 Forbidden",
    "text/html",
    "<!doctype html><html><title>Forbidden</title><body><p>Invalid credentials</p></body></html>",
);
const STOCK_PAGE: Says = Says::Http("403 Forbidden", "text/html", NGINX);
const BARE: Says = Says::Http("403 Forbidden", "", "");
const YES: Option<bool> = Some(true);

/// nginx with `auth_request`: its own page for every token that the service behind it does not take.
fn auth_request(asks: &Asks) -> Says {
    if asks.is_good { Says::In } else { STOCK_PAGE }
}

/// A close before the accept, as ASGI servers tell it: 403, and nothing of the close code.
fn asgi(asks: &Asks) -> Says {
    if asks.is_good { Says::In } else { BARE }
}

fn same_origin_or_none(asks: &Asks) -> Says {
    let is_right = asks.origin.as_ref().is_none_or(|origin| *origin == format!("http://{}", asks.host));
    if is_right && asks.is_good { Says::In } else { BARE }
}

fn same_origin_only(asks: &Asks) -> Says {
    if asks.origin.is_some() { same_origin_or_none(asks) } else { BARE }
}

fn late_close(asks: &Asks) -> Says {
    if asks.is_good { Says::In } else { Says::Close(Duration::from_millis(600), 4401, "") }
}

fn worlds() -> Vec<World> {
    use Kind::*;
    vec![
        World {
            name: "a gateway that asks, tokens die",
            answer: auth_request,
            tokens_die: true,
            kind: StaleAfterDisconnect,
            needs_fresh: YES,
            words: &["it is the token that it asks about"],
            ..ALL_LET_IN
        },
        World { name: "a gateway that asks, and all is well", answer: auth_request, ..ALL_LET_IN },
        World {
            name: "a gateway that asks, never good",
            answer: auth_request,
            group: NEVER_GOOD,
            kind: CannotTell,
            needs_fresh: None,
            words: &["a token that is known to be good", "without the gateway"],
            ..ALL_LET_IN
        },
        World {
            name: "a gateway that refuses whatever comes",
            answer: |_| STOCK_PAGE,
            kind: CannotTell,
            needs_fresh: None,
            words: &["stock page", "the log of the service"],
            ..ALL_LET_IN
        },
        World {
            name: "a gateway that does not take long headers",
            answer: |asks| match asks.token.as_ref().map(String::len) {
                Some(31..) => Says::Http(
                    "400 Bad Request",
                    "text/html",
                    "<html><body><center>Request Header Or Cookie Too Large</center><hr><center>nginx</center></body></html>",
                ),
                _ => Says::Http("401 Unauthorized", "application/json", "{\"error\":\"no_such_key\"}"),
            },
            kind: Edge,
            needs_fresh: None,
            words: &["the service has not seen this one"],
            ..ALL_LET_IN
        },
        World {
            name: "ASGI, tokens die",
            answer: asgi,
            tokens_die: true,
            kind: StaleAfterDisconnect,
            needs_fresh: YES,
            ..ALL_LET_IN
        },
        World {
            name: "ASGI, never good",
            answer: asgi,
            group: NEVER_GOOD,
            kind: CannotTell,
            needs_fresh: None,
            words: &["the token gets 403 without a reason", "a token that is known to be good"],
            ..ALL_LET_IN
        },
        World {
            name: "a page of its own, never good",
            answer: |asks| if asks.is_good { Says::In } else { OWN_PAGE },
            group: NEVER_GOOD,
            kind: CannotTell,
            needs_fresh: None,
            words: &["an HTML page, which services write as well", "a token that is known to be good"],
            ..ALL_LET_IN
        },
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
        World {
            name: "a redirect",
            answer: |_| Says::Http("302 Found\r\nLocation: /login", "text/plain", ""),
            kind: CannotTell,
            needs_fresh: None,
            words: &["a redirect (302)"],
            ..ALL_LET_IN
        },
        World {
            name: "let in without a token, refused with a bad one",
            answer: |asks| if asks.token.is_none() || asks.is_good { Says::In } else { BARE },
            group: NEVER_GOOD,
            kind: TokenRefused,
            needs_fresh: None,
            words: &["It is the token that is refused"],
            ..ALL_LET_IN
        },
        World {
            name: "one refusal that passes, of a token that is fixed",
            answer: |asks| {
                static REFUSED: AtomicBool = AtomicBool::new(false);
                let is_first = asks.token.as_deref() == Some("of-another-world")
                    && !REFUSED.swap(true, Ordering::Relaxed);
                let is_known = asks.token.as_deref() == Some("of-another-world");
                if is_first || !is_known { BARE } else { Says::In }
            },
            group: NEVER_GOOD,
            kind: CannotTell,
            needs_fresh: None,
            words: &["the same was let in a moment later"],
            ..ALL_LET_IN
        },
        World {
            name: "a first message, and all is well",
            answer: |_| Says::AsksFirst,
            group: "[groups.connect]\ntoken_in = \"nowhere\"\n[groups.session]\nfirst_message = '{\"token\":\"{token}\"}'\nready = { message_contains = \"connection_ack\" }\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            ..ALL_LET_IN
        },
        World {
            name: "a first message with the token, the other way",
            answer: |_| Says::AsksFirst,
            group: "[groups.connect]\ntoken_in = { first_message = '{\"token\":\"{token}\"}' }\n[groups.session]\nready = { message_contains = \"connection_ack\" }\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            ..ALL_LET_IN
        },
        World {
            name: "a reply and heartbeats on the way in, and ever after",
            answer: |_| Says::AsksForBeats("{\"op\":10,\"every\":200}"),
            group: "[groups.session]\nready = { message_equals = \"ready\" }\non_message = [{ contains = \"op\", reply = \"hello\", heartbeat = { every_ms = \"/every\", text = \"beat\" } }]\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            words: &["no idle close came within 3 s"],
            ..ALL_LET_IN
        },
        World {
            name: "a first message, never good",
            answer: |_| Says::AsksFirst,
            group: "[groups.connect]\ntoken_in = \"nowhere\"\n[groups.session]\nfirst_message = '{\"token\":\"{token}\"}'\nready = { message_contains = \"connection_ack\" }\n[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            kind: CannotTell,
            needs_fresh: None,
            words: &["closed with 4403 Forbidden"],
            ..ALL_LET_IN
        },
        World {
            name: "a refusing message, never good",
            answer: |_| Says::Message("44{\"message\":\"Invalid token\"}"),
            group: "[groups.session]\nrefused_on = [{ starts_with = \"44\", words = \"/message\" }]\n[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            kind: CannotTell,
            needs_fresh: None,
            words: &["turned away by a message Invalid token"],
            ..ALL_LET_IN
        },
        World {
            name: "a service that takes its time to refuse, tokens die",
            answer: late_close,
            tokens_die: true,
            kind: StaleAfterDisconnect,
            needs_fresh: YES,
            words: &["101, then closed with 4401"],
            ..ALL_LET_IN
        },
        World {
            name: "a service that takes its time to refuse, never good",
            answer: late_close,
            group: NEVER_GOOD,
            kind: ClosedAfterUpgrade,
            needs_fresh: None,
            words: &["takes its time to refuse", "4401"],
            ..ALL_LET_IN
        },
        World {
            name: "a service that fails after the upgrade",
            answer: |_| Says::Close(Duration::ZERO, 1011, ""),
            kind: ClosedAfterUpgrade,
            needs_fresh: None,
            words: &["closed at once with 1011"],
            ..ALL_LET_IN
        },
        World {
            name: "a token that is taken, and a session that is not",
            answer: |asks| match asks.is_good {
                true => Says::Close(Duration::ZERO, 4409, ""),
                false => Says::Http("401 Unauthorized", "", ""),
            },
            kind: ClosedAfterUpgrade,
            needs_fresh: None,
            words: &["a token that nobody knows gets 401"],
            ..ALL_LET_IN
        },
        World {
            name: "sessions that are dropped when they idle",
            answer: |asks| if asks.is_good { Says::Drop } else { BARE },
            words: &["without a close frame", "Nothing is wrong with the reconnect: the same token"],
            ..ALL_LET_IN
        },
        World {
            name: "a service without room",
            answer: |_| Says::Close(Duration::ZERO, 1013, "try later"),
            kind: Unreachable,
            needs_fresh: None,
            words: &["no room now"],
            ..ALL_LET_IN
        },
        World {
            name: "a step that is refused",
            group: "[groups.connect]\ntoken_in = \"nowhere\"\n[[groups.prepare.steps]]\nname = \"negotiate\"\nmethod = \"POST\"\nurl = \"http://ADDRESS/negotiate\"\nheaders = { Authorization = \"Bearer {token}\" }\nsave = { id = \"/id\" }\n[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            kind: StepRefused,
            needs_fresh: None,
            words: &["`negotiate`", "401 no_such_key", "no handshake was made"],
            ..ALL_LET_IN
        },
    ]
}

fn diagnosed(folder: &TempDir, world: &World) -> Diagnosis {
    let address = stranger(Manners { answer: world.answer, tokens_die: world.tokens_die });
    let group = world.group.replace("ADDRESS", &address);
    let group = match group.strip_prefix("[groups.session]\n") {
        Some(session) => format!("[groups.session]\nadmission = \"300ms\"\n{session}"),
        None if group.contains("[groups.session]") => group,
        None => format!("[groups.session]\nadmission = \"300ms\"\n{group}"),
    };
    let text = format!(
        "name = \"stranger\"\nduration = \"1s\"\n[target]\nkind = \"remote\"\nurl = \"ws://{address}/\"\ntoken_url = \"http://{address}/token\"\n[[groups]]\nname = \"g\"\nclients = 40\n{group}"
    );
    diagnose_with(folder.path(), world.name, &text, world.origins)
}

#[test]
fn what_is_claimed_of_strangers_is_true() {
    let folder = TempDir::new().unwrap();
    let worlds = worlds();
    let faults: Vec<String> = std::thread::scope(|scope| {
        let folder = &folder;
        let asking: Vec<_> = worlds
            .iter()
            .map(|world| {
                scope.spawn(move || {
                    let diagnosis = diagnosed(folder, world);
                    let verdict = &diagnosis.verdict;
                    let text = diagnosis_text(&diagnosis);
                    let said = format!("{} {}", verdict.sentence, verdict.change);
                    let missing: Vec<_> =
                        world.words.iter().filter(|words| !said.contains(**words)).collect();
                    let found = (verdict.kind, verdict.fresh_token_needed);
                    let right = found == (world.kind, world.needs_fresh);
                    (!right || !missing.is_empty() || !diagnosis.also.is_empty())
                        .then(|| format!("{}: {found:?}, without {missing:?}\n{text}", world.name))
                })
            })
            .collect();
        asking.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} of {} worlds:\n\n{}", faults.len(), worlds.len(), faults.join("\n\n"));
}

#[test]
fn one_client_does_not_see_what_many_meet() {
    let folder = TempDir::new().unwrap();
    let healthy = diagnosed(&folder, &World { name: "healthy", ..ALL_LET_IN });
    assert!(healthy.unseen.is_some_and(|unseen| unseen.contains("handshakes a second")));
    assert!(diagnosis_text(&healthy).contains("\nunseen  One client cannot see limits"));
    let refused = diagnosed(&folder, &World { name: "refused", answer: |_| BARE, ..ALL_LET_IN });
    assert_eq!(refused.unseen, None);
}
