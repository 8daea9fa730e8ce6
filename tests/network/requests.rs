//! Requests for tokens and steps before handshakes: what services that are not ours answer is told as it was, by both drivers alike.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use resurge::record::{Tally, ThresholdStatus};
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::sample::{Counter, Request, RequestAnswer};
use resurge::scenario::load;
use tempfile::TempDir;

use crate::support::in_process::run_file;
use crate::support::whole_request::read_request;

/// What a service does with a request.
enum Does {
    /// A status line's rest, headers with their ends of line, a body.
    Says(&'static str, &'static str, String),
    /// It closes the connection.
    Closes,
    /// It says nothing for a while.
    Hangs,
}

impl Does {
    fn json(status: &'static str, body: &str) -> Self {
        Self::Says(status, "Content-Type: application/json\r\n", body.to_owned())
    }

    fn html(status: &'static str) -> Self {
        Self::Says(status, "Content-Type: text/html\r\n", "<html></html>".to_owned())
    }
}

/// A service over HTTP, which counts its requests: its port, and the count.
fn service(does: impl Fn(&str, &str) -> Does + Send + Sync + Clone + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (does, count) = (does.clone(), Arc::clone(&count));
            std::thread::spawn(move || {
                let Some((head, body)) = read_request(&mut stream) else { return };
                count.fetch_add(1, Ordering::Relaxed);
                match does(&head, &String::from_utf8_lossy(&body)) {
                    Does::Says(status, headers, body) => {
                        let length = body.len();
                        let _ = stream.write_all(
                            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                                .as_bytes(),
                        );
                    }
                    Does::Closes => {}
                    Does::Hangs => std::thread::sleep(Duration::from_secs(3)),
                }
            });
        }
    });
    (port, asked)
}

fn run_text(folder: &Path, name: &str, text: &str) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    run_file(&path, &[], folder.join(name)).model
}

/// Requests by which they were, answer, status and word.
type Told = BTreeMap<(Request, RequestAnswer, Option<u16>, Option<String>), u64>;

fn told(tally: &Tally) -> Told {
    let rows = tally.requests.iter().flat_map(|((request, answer), of_answer)| {
        assert_eq!(of_answer.latencies.count(), of_answer.count(), "each was measured");
        of_answer.said.iter().map(move |((status, word), count)| {
            ((*request, *answer, *status, word.as_ref().map(ToString::to_string)), *count)
        })
    });
    rows.collect()
}

fn row(request: Request, answer: RequestAnswer, status: u16, word: &str, count: u64) -> Told {
    let (status, word) = ((status > 0).then_some(status), (!word.is_empty()).then(|| word.to_owned()));
    BTreeMap::from([((request, answer, status, word), count)])
}

/// A run of three clients that try once, and get their tokens from `port`.
fn of_tokens(port: u16, group: &str) -> String {
    format!(
        "duration = \"1s\"\n[target]\nurl = \"ws://127.0.0.1:{port}/\"\ntoken_url = \"http://127.0.0.1:{port}/token\"\n[[groups]]\nname = \"g\"\nclients = 3\n[groups.reconnect]\nmax_attempts = 1\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\ntimeout = \"700ms\"\n{group}"
    )
}

#[test]
fn a_token_endpoint_that_refuses_is_named_with_the_count_that_it_made_itself() {
    let folder = TempDir::new().unwrap();
    let body = "{\"error\":\"invalid_client\",\"error_description\":\"client is disabled\"}";
    let (port, asked) = service(move |_, _| Does::json("401 Unauthorized", body));
    let text = of_tokens(port, "")
        .replace("max_attempts = 1", "backoff = { kind = \"constant\", base = \"200ms\" }");
    let model = run_text(folder.path(), "refuses", &text);
    let asked = asked.load(Ordering::Relaxed) as u64;
    assert!(asked >= 9, "{asked}");
    assert_eq!(
        told(&model.all),
        row(Request::Credentials, RequestAnswer::Refused, 401, "invalid_client", asked)
    );
    let reason = format!("the token endpoint refuses the client: 401 invalid_client ({asked} of {asked})");
    assert!(model.verdict.reasons.iter().any(|told| told.ends_with(&reason)), "{:?}", model.verdict.reasons);
    let csv = std::fs::read_to_string(folder.path().join("refuses/tokens.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(rows.len(), 1, "{csv}");
    let expected = format!("g,credentials,refused,401,invalid_client,{asked},1.000000,");
    assert!(rows[0].starts_with(&expected), "{csv}");
}

#[test]
fn a_step_that_is_refused_is_named_with_the_services_word() {
    let folder = TempDir::new().unwrap();
    let (port, asked) = service(|head, _| {
        // A word beside the secret that it was sent, which must not be told.
        let word = if head.contains("/negotiate") { "token_expired" } else { "old-token-0123" };
        Does::json("401 Unauthorized", &format!("{{\"error\":\"{word}\"}}"))
    });
    let scenario = |path: &str| {
        format!(
            "duration = \"8s\"\n[target]\nurl = \"ws://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 5\n[groups.token]\ngrant = \"fixed\"\ntoken = \"old-token-0123\"\n[[groups.prepare.steps]]\nname = \"negotiate\"\nmethod = \"POST\"\nurl = \"http://127.0.0.1:{port}/{path}\"\nheaders = {{ Authorization = \"Bearer {{token}}\" }}\n[groups.reconnect]\nbackoff = {{ kind = \"constant\", base = \"100ms\" }}\nmax_attempts = 3\n"
        )
    };
    let model = run_text(folder.path(), "step", &scenario("negotiate"));
    assert_eq!(asked.load(Ordering::Relaxed), 15);
    assert_eq!(told(&model.all), row(Request::Step(0), RequestAnswer::Refused, 401, "token_expired", 15));
    let reason = "the step \"negotiate\" is refused: 401 token_expired (15 of 15)";
    assert!(model.verdict.reasons.iter().any(|told| told.ends_with(reason)), "{:?}", model.verdict.reasons);
    let csv = std::fs::read_to_string(folder.path().join("step/steps.csv")).unwrap();
    assert!(csv.contains("\ng,negotiate,1,refused,401,token_expired,15,1.000000,"), "{csv}");
    let echo = run_text(folder.path(), "echo", &scenario("echo"));
    assert_eq!(
        told(&echo.all),
        row(Request::Step(0), RequestAnswer::Refused, 401, "", 15),
        "what was sent is not told"
    );
}

#[test]
fn what_is_wrong_with_an_answer_is_told() {
    let folder = TempDir::new().unwrap();
    // Nobody listens there: a port that was free a moment ago is another test's by now.
    let closed = 9;
    let (port, _) = service(|head, body| match head.split(' ').nth(1).unwrap_or_default() {
        "/html" => Does::html("200 OK"),
        "/none" => Does::json("200 OK", "{\"token\":\"t\"}"),
        "/soon" => Does::json("200 OK", "{\"access_token\":\"t\",\"expires_in\":\"soon\"}"),
        "/text" => Does::json("200 OK", "{\"access_token\":\"t\",\"expires_in\":\"3\"}"),
        "/redirect" => Does::Says("302 Found", "Location: /\r\n", String::new()),
        "/busy" => Does::html("503 Service Unavailable"),
        "/own" => Does::json("400 Bad Request", "{\"error\":\"secret of a is wrong\"}"),
        "/closes" => Does::Closes,
        "/hangs" => Does::Hangs,
        "/large" => Does::Says("200 OK", "", " ".repeat(70_000)),
        "/refresh" if body.contains("grant_type=refresh_token") => {
            Does::json("400 Bad Request", "{\"error\":\"invalid_grant\"}")
        }
        "/refresh" => Does::json("200 OK", "{\"access_token\":\"t\"}"),
        _ => Does::html("403 Forbidden"),
    });
    let at = |path: &str| format!("url = \"http://127.0.0.1:{port}/{path}\"\n");
    let credentials = |answer, status, word| row(Request::Credentials, answer, status, word, 3);
    let command = |command: &str| format!("grant = \"command\"\ncommand = [{command}]\n");
    let mut refreshed = row(Request::Refresh, RequestAnswer::Refused, 400, "invalid_grant", 3);
    refreshed.append(&mut credentials(RequestAnswer::Ok, 200, ""));
    let rows = [
        ("html", at("html"), credentials(RequestAnswer::NotJson, 200, "")),
        ("none", at("none"), credentials(RequestAnswer::NoAccessToken, 200, "nothing")),
        ("soon", at("soon"), credentials(RequestAnswer::UnreadableField, 200, "a_text")),
        ("text", at("text"), credentials(RequestAnswer::Ok, 200, "")),
        ("redirect", at("redirect"), credentials(RequestAnswer::UnexpectedStatus, 302, "")),
        ("busy", at("busy"), credentials(RequestAnswer::Refused, 503, "")),
        ("own", at("own"), credentials(RequestAnswer::Refused, 400, "other")),
        ("closes", at("closes"), credentials(RequestAnswer::ConnectionBroken, 0, "")),
        ("hangs", at("hangs"), credentials(RequestAnswer::Timeout, 0, "")),
        ("large", at("large"), credentials(RequestAnswer::TooLarge, 0, "")),
        (
            "nobody",
            format!("url = \"http://127.0.0.1:{closed}/\"\n"),
            credentials(RequestAnswer::TcpRefused, 0, ""),
        ),
        ("refresh", at("refresh") + "grant = \"refresh_token\"\nrefresh_token = \"r\"\n", refreshed),
        ("command", command("\"printf\", \"t\""), row(Request::Command, RequestAnswer::Ok, 0, "", 3)),
        ("failing", command("\"false\""), row(Request::Command, RequestAnswer::CommandFailed, 0, "", 3)),
    ];
    std::thread::scope(|scope| {
        for (name, token, expected) in &rows {
            let folder = folder.path();
            scope.spawn(move || {
                let mut text = of_tokens(port, token);
                if token.starts_with("grant") {
                    text = text.replace("client_id = \"a\"\nclient_secret = \"b\"\n", "");
                }
                let model = run_text(folder, name, &text);
                assert_eq!(told(&model.all), *expected, "{name}");
                assert_eq!(model.account_faults, [""; 0], "{name}");
            });
        }
    });
}

/// The same scenario in real time and in virtual time.
fn by_both(folder: &Path, name: &str, text: &str) -> [RunModel; 2] {
    let real = run_text(folder, name, text);
    let loaded = load(&folder.join(format!("{name}.toml")), &Vec::new(), None, &|_| None).unwrap();
    [real, RunModel::new(simulation_of(loaded, None).unwrap().run_in_memory(InMemory::Totals))]
}

#[test]
fn both_drivers_tell_the_same_of_the_same_answers() {
    let folder = TempDir::new().unwrap();
    let known = "[[target.clients]]\nid = \"a\"\nsecret = \"right\"\nscopes = []\n";
    let fault = |kind: &str| format!("[[target.faults]]\nkind = \"{kind}\"\n");
    let status = fault("token_status") + "status = 503\n";
    let expired = "[target.refresh_tokens]\nlife = \"50ms\"\n";
    let refreshing =
        "grant = \"refresh_token\"\non_reconnect = \"fetch\"\n[[groups.disconnects]]\nafter = \"200ms\"\n";
    for (name, target, token) in [
        ("unknown", known, "auth = \"basic\"\n"),
        ("body", known, ""),
        ("limited", "token_limit = { count = 1, per = \"1m\" }\n", ""),
        ("status", &status, ""),
        ("page", &fault("token_html"), ""),
        ("cut", &fault("token_truncated"), ""),
        ("hang", &fault("token_hang"), "timeout = \"200ms\"\n"),
        ("refresh", expired, refreshing),
    ] {
        let text = format!(
            "duration = \"3s\"\n[target]\nidle_timeout = \"never\"\n{target}[[groups]]\nname = \"g\"\nclients = 4\n[groups.reconnect]\nmax_attempts = 2\nbackoff = {{ kind = \"constant\", base = \"1ms\" }}\nhonour_retry_after = false\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"wrong\"\n{token}"
        );
        let [real, simulated] = by_both(folder.path(), name, &text);
        let (mut real_rows, mut simulated_rows) = (told(&real.all), told(&simulated.all));
        assert!(!real_rows.is_empty(), "{name}");
        if name == "refresh" {
            // How often depends on the machine.
            assert!(real_rows.contains_key(&(
                Request::Refresh,
                RequestAnswer::Refused,
                Some(400),
                Some("invalid_grant".into())
            )));
            real_rows.values_mut().chain(simulated_rows.values_mut()).for_each(|count| *count = 0);
        }
        assert_eq!(real_rows, simulated_rows, "{name}");
        assert_eq!((&real.account_faults[..], &simulated.account_faults[..]), (&[][..], &[][..]), "{name}");
    }
}

#[test]
fn the_reuse_of_a_shared_refresh_token_ends_its_family_in_both_drivers() {
    let folder = TempDir::new().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/refresh-race.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    for model in by_both(folder.path(), "refresh-race", &text.replace("\"12s\"", "\"6s\"")) {
        let failed: Vec<_> =
            model.thresholds.iter().filter(|result| result.status != ThresholdStatus::Passed).collect();
        assert!(
            failed.is_empty() && model.account_faults.is_empty(),
            "{failed:?} {:?}",
            model.account_faults
        );
        let counters = model.end.as_ref().unwrap().target_counters.as_ref().unwrap();
        assert!(counters.refresh_families_ended > 0, "{counters:?}");
        let [race, alone] = [&model.totals[0], &model.totals[1]];
        let refused = |tally: &Tally| {
            tally.requests.get(&(Request::Refresh, RequestAnswer::Refused)).map_or(0, |n| n.count())
        };
        assert_eq!(refused(race), race.counter(Counter::RefreshTokensRefused));
        assert!(refused(race) > 0 && counters.refresh_tokens_reused >= counters.refresh_families_ended);
        assert_eq!((refused(alone), alone.counter(Counter::Disconnects)), (0, 0));
        let said = resurge::report::summary_text(&model, resurge::report::Style { colour: false })
            .replace("\n    ", " ");
        for words in
            ["race: ", "refused (invalid_grant)", "a used refresh token was shown again", "ended the family"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
