//! Requests before a handshake, tickets, cookies, URLs of a group's own.

use std::io::Read;

use resurge::record::AnswerTally;
use resurge::sample::{Cause, Outcome, Request, RequestAnswer};
use tempfile::TempDir;

use super::{Case, by_both, compare};

const TOKEN: &str = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";

/// A service that answers a request with a URL, whose ticket is good once.
const OPEN: &str = "path = \"/link\"\nquery_parameter = \"ticket\"\naccepts_token_in = [\"query\"]\nrequired_scopes = []\ntickets = { life = \"30s\", one_use = true }\n[[target.routes]]\nmethod = \"POST\"\npath = \"/open\"\nbody = '{\"url\":\"{ws}://{address}/link?ticket={ticket}\"}'\n";
const STEP: &str = "[[groups.prepare.steps]]\nmethod = \"POST\"\npath = \"/open\"\nheaders = { Authorization = \"Bearer {token}\" }\nsave = { url = \"/url\" }\n";
const CONNECT: &str = "[groups.connect]\nurl = \"{url}\"\ntoken_in = \"nowhere\"\n";

#[test]
fn both_drivers_make_steps_and_show_tickets_alike() {
    let open = |rest: &str| format!("{TOKEN}{STEP}{CONNECT}{rest}");
    let once = open("[groups.prepare]\nwhen = \"once\"\n");
    let is_403 = |cause| Some((Outcome::Http403, Some(cause)));
    let strange = "[groups.token]\ngrant = \"fixed\"\ntoken = \"of-another-world\"\n";
    let refused = Some((Outcome::StepRefused, Some(Cause::UnknownToken)));
    let error = Some((Outcome::StepError, None));
    let login = "accepts_token_in = [\"cookie\"]\ncookie = \"sid\"\nrequired_scopes = []\ntickets = { life = \"60s\", one_use = false }\n[[target.routes]]\npath = \"/login\"\nneeds_token = false\nheaders = { Content-Type = \"text/html\", Set-Cookie = \"csrf=x; Path=/\" }\nbody = '<input name=\"csrf\" value=\"abc\">'\n[[target.routes]]\nmethod = \"POST\"\npath = \"/login\"\nneeds_token = false\nstatus = 302\nheaders = { Location = \"/\", Set-Cookie = \"sid={ticket}; Path=/\" }\n[[target.routes]]\npath = \"/\"\nneeds_token = false\n";
    let logs_in = "token = { grant = \"none\" }\n[groups.connect]\ntoken_in = \"nowhere\"\n[groups.prepare]\ncookies = true\n[[groups.prepare.steps]]\npath = \"/login\"\nsave = { csrf = { regex = 'value=\"([^\"]+)\"' } }\n[[groups.prepare.steps]]\nmethod = \"POST\"\npath = \"/login\"\nform = { csrf = \"{csrf}\" }\nredirects = 1\n";
    let cases = [
        Case::new("ticket", OPEN, &open(""), None),
        Case::new("ticket-again", OPEN, &once, is_403(Cause::StaleToken)),
        Case::new("no-ticket", OPEN, TOKEN, is_403(Cause::NoToken)),
        Case::new("strange-token", OPEN, &open("").replace(TOKEN, strange), refused),
        Case::new("nothing-to-save", OPEN, &open("").replace("\"/url\"", "\"/uri\""), error),
        Case::new(
            "another-page",
            OPEN,
            &open("").replace("path = \"/open\"", "path = \"/opened\""),
            Some((Outcome::StepRefused, None)),
        ),
        Case::new(
            "the-endpoint-itself",
            OPEN,
            &open("").replace("path = \"/open\"", "path = \"/link\""),
            Some((Outcome::StepRefused, None)),
        ),
        Case::new("unexpected", OPEN, &open("").replace("save =", "expect = [201]\nsave ="), error),
        Case::new("cookies", login, logs_in, None),
        Case::new(
            "no-cookies",
            login,
            &logs_in.replace("cookies = true", "cookies = false"),
            is_403(Cause::NoToken),
        ),
        Case::new("redirect", login, &logs_in.replace("redirects = 1", ""), error),
        Case::new(
            "limited",
            &OPEN.replace("path = \"/open\"", "path = \"/open\"\nlimit = { count = 1, per = \"1h\" }"),
            &open(""),
            Some((Outcome::StepRefused, Some(Cause::RateLimited))),
        ),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

#[test]
fn both_drivers_go_where_a_group_says_alike() {
    let at = |url: &str| format!("{TOKEN}[groups.connect]\nurl = \"{url}\"\n");
    let cases = [
        Case::new("own-url", "path = \"/socket\"\n", &at("ws://{address}/socket"), None),
        Case::new(
            "another-path",
            "path = \"/socket\"\n",
            &at("ws://{address}/other"),
            Some((Outcome::Http4xx, None)),
        ),
        Case::new(
            "plain-to-tls",
            "path = \"/socket\"\ntls = true\n",
            &at("ws://{address}/socket"),
            Some((Outcome::Protocol, None)),
        ),
        Case::new(
            "tls-to-plain",
            "path = \"/socket\"\n",
            &at("wss://{address}/socket"),
            Some((Outcome::Tls, None)),
        ),
        Case::new("no-url", "", &at("http://{address}/"), Some((Outcome::Protocol, None))),
        Case::new(
            "token-in-the-path",
            "path = \"/app/*\"\naccepts_token_in = [\"path\"]\n",
            &(at("ws://{address}/app/{token}?v=7") + "token_in = \"nowhere\"\n"),
            None,
        ),
        Case::new(
            "token-in-a-header-of-its-own",
            "",
            &format!(
                "{TOKEN}[groups.connect]\ntoken_in = \"nowhere\"\nheaders = {{ Authorization = \"Bearer {{token}}\" }}\n"
            ),
            None,
        ),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}

/// What stands behind the address does to each connection.
fn stub(does: fn(std::net::TcpStream)) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It ends with the process: nobody tells it when a run is over.
    std::thread::spawn(move || listener.incoming().flatten().for_each(does));
    port
}

#[test]
fn what_the_network_does_to_steps_is_the_same_by_both_drivers() {
    let folder = TempDir::new().unwrap();
    let resets = stub(|connection| {
        let _ = (&connection).read(&mut [0; 64]);
        // With bytes unread, the end of a connection is a reset.
        drop(connection);
    });
    let swallows = stub(|connection| {
        std::thread::spawn(move || {
            let mut connection = connection;
            while connection.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        });
    });
    let rows = [
        ("reset", resets, Outcome::StepError, RequestAnswer::ConnectionBroken),
        ("blackhole", swallows, Outcome::StepError, RequestAnswer::Timeout),
    ];
    for (kind, port, outcome, answer) in rows {
        // On the network, the step is somebody else's; in virtual time it is our target's, and the fault strikes it.
        let scenario = format!(
            "duration = \"2s\"\n[target]\nidle_timeout = \"never\"\n[[groups]]\nname = \"g\"\nclients = 3\nreconnect = {{ max_attempts = 2, backoff = {{ kind = \"constant\", base = \"1ms\" }} }}\n{TOKEN}[[groups.prepare.steps]]\nurl = \"http://127.0.0.1:{port}/open?a={}\"\ntimeout = \"300ms\"\n[[simulate.faults]]\nstage = \"step\"\nkind = \"{kind}\"\n",
            "x".repeat(200)
        );
        for (driver, model) in
            ["network", "virtual time"].into_iter().zip(by_both(folder.path(), kind, &scenario))
        {
            let all = &model.all;
            assert_eq!(
                all.attempts_where(|_, of, _| of == outcome),
                6,
                "{kind} by {driver}: {:?}",
                all.attempts
            );
            assert_eq!(all.attempts_where(|_, _, _| true), 6, "{kind} by {driver}");
            let answered = all.requests.get(&(Request::Step(0), answer)).map(AnswerTally::count);
            assert_eq!(answered, Some(6), "{kind} by {driver}: {:?}", all.requests);
        }
    }
}
