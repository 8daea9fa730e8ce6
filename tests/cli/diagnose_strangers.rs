//! `diagnose` against services and gateways that are not ours: what it claims is true, or it says that it cannot tell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resurge::diagnose::{Diagnosis, Kind, diagnosis_text};
use tempfile::TempDir;

use crate::diagnose::diagnose_with;
use crate::diagnose_handshakes::handshakes;
use crate::stranger::{Asks, Manners, NGINX, Says, stranger};

/// A world that others made.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) answer: fn(&Asks) -> Says,
    pub(crate) tokens_die: bool,
    pub(crate) group: &'static str,
    /// Origins to try.
    pub(crate) origins: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) needs_fresh: Option<bool>,
    /// What the verdict has to say.
    pub(crate) words: &'static [&'static str],
}

const FETCHED: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";
const NEVER_GOOD: &str = "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n";
pub(crate) const ALL_LET_IN: World = World {
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
pub(crate) const BARE: Says = Says::Http("403 Forbidden", "", "");
const YES: Option<bool> = Some(true);

/// nginx with `auth_request`: its own page for every token that the service behind it does not take.
fn auth_request(asks: &Asks) -> Says {
    if asks.is_good { Says::In } else { STOCK_PAGE }
}

/// A close before the accept, as ASGI servers tell it: 403, and nothing of the close code.
fn asgi(asks: &Asks) -> Says {
    if asks.is_good { Says::In } else { BARE }
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
    let worlds: Vec<World> = worlds().into_iter().chain(handshakes()).collect();
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
