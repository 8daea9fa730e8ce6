//! Requests before a handshake, tickets, cookies, URLs of a group's own.

use resurge::sample::{Cause, Outcome};
use tempfile::TempDir;

use super::{Case, compare};

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
