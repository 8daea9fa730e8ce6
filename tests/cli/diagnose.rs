//! `diagnose` in worlds whose truth is known: it must name each, and see that a healthy one is.

use std::path::Path;
use std::time::Duration;

use resurge::diagnose::{
    DiagnoseRequest, Diagnosis, Experiment, Kind, Seen, Tries, Waits, diagnose, diagnosis_text,
};
use tempfile::TempDir;

/// A world: the embedded target's rules, the client's, and the verdict that is right there.
struct World {
    name: &'static str,
    target: &'static str,
    group: &'static str,
    kind: Kind,
    /// Whether a token has to be fetched for each reconnect.
    needs_fresh: Option<bool>,
}

const CREDENTIALS: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";

const fn world(
    name: &'static str,
    target: &'static str,
    group: &'static str,
    kind: Kind,
    needs_fresh: Option<bool>,
) -> World {
    World { name, target, group, kind, needs_fresh }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

/// Clients of whom one lacks the scope.
const REGISTERED: &str = "[[target.clients]]\nid = \"c\"\nsecret = \"s\"\nscopes = [\"users:read\"]\n";

/// A target of channels: a route makes one, and the handshake goes there without a token.
macro_rules! channels {
    ($rules:literal) => {
        concat!(
            "profile = \"bearer\"\npath = \"/channels/*\"\naccepts_token_in = [\"path\"]\nidle_timeout = \"1s\"\n",
            "tickets = { life = \"60s\", ",
            $rules,
            " }\n[[target.routes]]\nmethod = \"POST\"\npath = \"/make\"\nbody = '{\"uri\":\"ws://{address}/channels/{ticket}\"}'"
        )
    };
}

/// A client that makes a channel and goes there.
const ON_A_CHANNEL: &str = "[groups.connect]\nurl = \"{uri}\"\ntoken_in = \"nowhere\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n[[groups.prepare.steps]]\nname = \"make\"\nmethod = \"POST\"\npath = \"/make\"\nheaders = { Authorization = \"Bearer {token}\" }\nsave = { uri = \"/uri\" }\n";

fn worlds() -> Vec<World> {
    use Kind::*;
    vec![
        world("stale, said in full", "profile = \"forum\"", CREDENTIALS, StaleAfterDisconnect, YES),
        world(
            "stale, said by nothing but 403",
            "profile = \"forum\"\nrefusal_detail = \"bare\"",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, 401",
            "profile = \"forum\"\nrefusal_status = \"rfc6750\"\nrefusal_detail = \"bare\"",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, with a page of HTML",
            "profile = \"forum\"\nrefusal_detail = \"html\"",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, told on the socket",
            "profile = \"forum\"\nrefusal_manner = { message = '{\"error\":\"{code}\"}', close = 4401 }",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, told by a reset",
            "profile = \"forum\"\nrefusal_manner = \"reset\"",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world("healthy", "profile = \"forum\"\ninvalidation = \"never\"", CREDENTIALS, Healthy, NO),
        world(
            "healthy, and idle before a second session has been looked at",
            "profile = \"bearer\"\nidle_timeout = \"500ms\"",
            CREDENTIALS,
            Healthy,
            NO,
        ),
        world(
            "stale, and idle before a second session has been looked at",
            "profile = \"forum\"\nidle_timeout = \"500ms\"",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world("healthy by RFC 6750", "profile = \"bearer\"", CREDENTIALS, Healthy, NO),
        world(
            "healthy, never idle",
            "profile = \"bearer\"\nidle_timeout = \"never\"",
            CREDENTIALS,
            Healthy,
            NO,
        ),
        world(
            "healthy with a fixed token by subprotocol",
            "profile = \"bearer\"\naccepts_token_in = [\"subprotocol\"]",
            "[groups.connect]\ntoken_in = { subprotocol = \"bearer.\" }\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            Healthy,
            NO,
        ),
        world(
            "expired, said in full",
            "profile = \"bearer\"\ntoken_life = \"900ms\"\nidle_timeout = \"1200ms\"",
            CREDENTIALS,
            TokenExpired,
            NO,
        ),
        world(
            "expired, bare",
            "profile = \"forum\"\ninvalidation = \"never\"\nrefusal_detail = \"bare\"\ntoken_life = \"900ms\"\nidle_timeout = \"1200ms\"",
            CREDENTIALS,
            TokenExpired,
            NO,
        ),
        world(
            "scope missing, said in full",
            "profile = \"forum\"\nREGISTERED",
            CREDENTIALS,
            ScopeMissing,
            NO,
        ),
        world("scope missing by RFC 6750", "profile = \"bearer\"\nREGISTERED", CREDENTIALS, ScopeMissing, NO),
        world(
            "permission missing: only the status says so",
            "profile = \"bearer\"\nrefusal_detail = \"bare\"\nREGISTERED",
            CREDENTIALS,
            PermissionMissing,
            NO,
        ),
        world(
            "403 for everything",
            "profile = \"forum\"\nrefusal_detail = \"bare\"\nREGISTERED",
            CREDENTIALS,
            CannotTell,
            None,
        ),
        world(
            "client id locked",
            "profile = \"forum\"\ninvalidation = \"never\"\nclient_lock = \"700ms\"",
            CREDENTIALS,
            ClientLocked,
            NO,
        ),
        world(
            "client id locked, bare",
            "profile = \"forum\"\ninvalidation = \"never\"\nrefusal_detail = \"bare\"\nclient_lock = \"700ms\"",
            CREDENTIALS,
            ClientLocked,
            NO,
        ),
        world(
            "rate limited",
            "profile = \"forum\"\ninvalidation = \"never\"\nhandshake_limit = { count = 2, per = \"3s\" }",
            CREDENTIALS,
            RateLimited,
            NO,
        ),
        world(
            "a page of HTML for every token: nobody can tell whose it is",
            "profile = \"forum\"\nrefusal_detail = \"html\"\nREGISTERED",
            CREDENTIALS,
            CannotTell,
            None,
        ),
        world(
            "the stock page of an edge for every token",
            "profile = \"forum\"\n[[target.faults]]\nkind = \"upgrade_status\"\nstatus = 403",
            CREDENTIALS,
            CannotTell,
            None,
        ),
        world(
            "an edge that reaches no service",
            "profile = \"forum\"\n[[target.faults]]\nkind = \"upgrade_status\"\nstatus = 502",
            CREDENTIALS,
            Unreachable,
            NO,
        ),
        world(
            "stale, told by a close",
            "profile = \"forum\"\nrefusal_manner = { close = 4401 }",
            CREDENTIALS,
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, told by a message on a session that stays open",
            "profile = \"forum\"\nrefusal_manner = { message = '{\"error\":\"{code}\"}' }",
            "[groups.session]\nrefused_on = [{ contains = \"token.\", words = \"/error\" }]\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "stale, told by nothing",
            "profile = \"forum\"\nrefusal_manner = \"silence\"",
            "[groups.connect]\nupgrade_timeout = \"500ms\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            StaleAfterDisconnect,
            YES,
        ),
        world(
            "expired, told by a close",
            "profile = \"bearer\"\ntoken_life = \"900ms\"\nidle_timeout = \"1200ms\"\nrefusal_manner = { close = 4401 }",
            CREDENTIALS,
            TokenExpired,
            NO,
        ),
        world(
            "a fixed token that is never good, told by a close",
            "profile = \"forum\"\nrefusal_detail = \"bare\"\nrefusal_manner = { close = 4401 }",
            "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            CannotTell,
            None,
        ),
        world(
            "a fixed token that is never good, and nothing of what makes ready comes",
            "profile = \"forum\"\nrefusal_manner = { message = '{\"error\":\"{code}\"}' }",
            "[groups.session]\nready = { message_contains = \"welcome\" }\nready_timeout = \"400ms\"\n[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            NotReady,
            None,
        ),
        world(
            "wrong place",
            "profile = \"forum\"\naccepts_token_in = [\"query\"]",
            CREDENTIALS,
            PlaceWrong,
            NO,
        ),
        world(
            "wrong place, the other way",
            "profile = \"bearer\"",
            "[groups.connect]\ntoken_in = { query = \"access_token\" }\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            PlaceWrong,
            NO,
        ),
        world(
            "wrong path",
            "profile = \"forum\"",
            "[groups.connect]\npath = \"/api/v2/nothing\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            EndpointWrong,
            NO,
        ),
        world(
            "another page, and it says so",
            "profile = \"forum\"\nallowed_origins = [\"https://app.example.com\"]\norigin_required = true",
            CREDENTIALS,
            OriginRefused,
            NO,
        ),
        world(
            "another page, bare: one without an origin is let in",
            "profile = \"forum\"\ninvalidation = \"never\"\nrefusal_detail = \"bare\"\nallowed_origins = [\"https://app.example.com\"]",
            "[groups.connect]\norigin = \"https://evil.example\"\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            OriginRefused,
            NO,
        ),
        world("no token", "profile = \"forum\"", "[groups.token]\ngrant = \"none\"\n", NoTokenSent, None),
        world(
            "the token is undefined",
            "profile = \"forum\"\nrefusal_detail = \"bare\"",
            "[groups.token]\ngrant = \"fixed\"\ntoken = \"undefined\"\n",
            NoTokenSent,
            None,
        ),
        world(
            "the token is empty",
            "profile = \"forum\"\nrefusal_detail = \"bare\"",
            "[groups.token]\ngrant = \"fixed\"\ntoken = \"\"\n",
            NoTokenSent,
            None,
        ),
        world(
            "a fixed token that nobody knows",
            "profile = \"forum\"",
            "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            UnknownToken,
            NO,
        ),
        world(
            "a fixed token, and nothing says what is wrong",
            "profile = \"forum\"\nrefusal_detail = \"bare\"",
            "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n",
            CannotTell,
            None,
        ),
        world(
            "displaced",
            "profile = \"forum\"\ninvalidation = \"never\"\nsessions_per_client = 1\nat_session_limit = \"displace\"",
            CREDENTIALS,
            Displaced,
            NO,
        ),
        world(
            "one session a client",
            "profile = \"forum\"\ninvalidation = \"never\"\nsessions_per_client = 1",
            CREDENTIALS,
            SessionLimit,
            NO,
        ),
        world(
            "a newer token kills the older",
            "profile = \"forum\"\ninvalidation = \"on-new-token\"",
            CREDENTIALS,
            NewerTokenKills,
            NO,
        ),
        world(
            "a newer token kills the older, bare",
            "profile = \"forum\"\nrefusal_detail = \"bare\"\ninvalidation = \"on-new-token\"",
            CREDENTIALS,
            NewerTokenKills,
            NO,
        ),
        world(
            "one-use tickets",
            "profile = \"ticket\"",
            "[groups.connect]\ntoken_in = { query = \"access_token\" }\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n",
            OneUseToken,
            YES,
        ),
        world("a channel of one use", channels!("one_use = true"), ON_A_CHANNEL, ChannelGone, NO),
        world(
            "a channel with room for one",
            channels!("one_use = false, displaces = true"),
            ON_A_CHANNEL,
            Displaced,
            NO,
        ),
        world("healthy, on a channel", channels!("one_use = false"), ON_A_CHANNEL, Healthy, NO),
        world(
            "wrong secret",
            "profile = \"forum\"\n[[target.clients]]\nid = \"c\"\nsecret = \"another\"",
            CREDENTIALS,
            CredentialsRefused,
            None,
        ),
    ]
}

fn scenario(world: &World) -> String {
    let mut target = world.target.replace("REGISTERED", REGISTERED);
    if !target.contains("idle_timeout") {
        target = target.replacen('\n', "\nidle_timeout = \"1s\"\n", 1);
        if !target.contains('\n') {
            target.push_str("\nidle_timeout = \"1s\"");
        }
    }
    format!(
        "name = \"world\"\nduration = \"1s\"\n[target]\nkind = \"embedded\"\n{target}\n[[groups]]\nname = \"g\"\nclients = 500\n{}",
        world.group
    )
}

fn diagnose_text(folder: &Path, name: &str, text: &str) -> Diagnosis {
    diagnose_with(folder, name, text, &[])
}

/// Diagnoses a scenario, with these origins to try.
pub(crate) fn diagnose_with(folder: &Path, name: &str, text: &str, origins: &[&str]) -> Diagnosis {
    let path = folder.join(format!("{}.toml", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
    std::fs::write(&path, text).unwrap();
    let request = DiagnoseRequest {
        scenario: path,
        overrides: Vec::new(),
        group: None,
        waits: Waits {
            look: Duration::from_millis(100),
            idle: Duration::from_secs(3),
            pause: Duration::from_millis(1_000),
        },
        authorised: Vec::new(),
        tries: Tries {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Tries::default()
        },
    };
    let diagnosis = diagnose(&request, &mut |_| {});
    assert!(diagnosis.is_ok(), "{name}: {:?}\n{text}", diagnosis.err());
    diagnosis.unwrap()
}

#[test]
fn each_world_gets_its_verdict() {
    let folder = TempDir::new().unwrap();
    let worlds = worlds();
    assert!(worlds.len() >= 16);
    let faults: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = worlds
            .iter()
            .map(|world| {
                let folder = folder.path();
                scope.spawn(move || {
                    let diagnosis = diagnose_text(folder, world.name, &scenario(world));
                    let found = (diagnosis.verdict.kind, diagnosis.verdict.fresh_token_needed);
                    let right = found == (world.kind, world.needs_fresh) && diagnosis.also.is_empty();
                    (!right).then(|| {
                        format!(
                            "{}: {found:?}, not {:?}\n{}",
                            world.name,
                            (world.kind, world.needs_fresh),
                            diagnosis_text(&diagnosis)
                        )
                    })
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} worlds are taken for others:\n\n{}", faults.len(), faults.join("\n\n"));
}

#[test]
fn where_nothing_listens_it_says_so() {
    let folder = TempDir::new().unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let target =
        format!("[target]\nurl = \"ws://127.0.0.1:{port}/x\"\ntoken_url = \"http://127.0.0.1:{port}/t\"\n");
    let base = "name = \"gone\"\nduration = \"1s\"\n";
    let fetching = format!("{base}{target}[[groups]]\nname = \"g\"\nclients = 1\n{CREDENTIALS}");
    assert_eq!(diagnose_text(folder.path(), "fetching", &fetching).verdict.kind, Kind::TokenEndpointFails);
    let fixed = format!(
        "{base}{target}[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\ngrant = \"fixed\"\ntoken = \"x\"\n"
    );
    assert_eq!(diagnose_text(folder.path(), "fixed", &fixed).verdict.kind, Kind::Unreachable);
}

#[test]
fn the_evidence_is_whole_and_holds_no_secret() {
    let folder = TempDir::new().unwrap();
    let secret = "fixed-token-that-must-not-be-seen";
    let text = format!(
        "name = \"world\"\nduration = \"1s\"\n[target]\nkind = \"embedded\"\nprofile = \"forum\"\n[[groups]]\nname = \"g\"\nclients = 7\n[groups.token]\ngrant = \"fixed\"\ntoken = \"{secret}\"\n"
    );
    let diagnosis = diagnose_text(folder.path(), "secret", &text);
    let json = serde_json::to_string(&diagnosis).unwrap();
    assert!(!json.contains(secret) && !diagnosis_text(&diagnosis).contains(secret));
    let first = &diagnosis.evidence[0];
    assert_eq!(first.experiment, Experiment::FreshToken);
    assert!(matches!(&first.seen, Seen::Refused(refused) if refused.status == 403), "{first:?}");
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["verdict"]["kind"], "unknown_token");
    assert_eq!(parsed["evidence"][0]["result"], "refused");
    assert_eq!(parsed["evidence"][0]["code"], "token.unknown");
    assert_eq!(parsed["evidence"][0]["answered_by"], "service");
    assert_eq!(parsed["unseen"], serde_json::Value::Null, "nobody was let in");
}
