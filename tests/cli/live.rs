//! The page of a run under way: who may see it and ask something of the run, what comes of that, and that nobody who watches holds it up.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use resurge::clock::{Clock, Moment};
use resurge::record::read_journal;
use resurge::report::RunModel;
use serde_json::Value;

use crate::support::begun::await_begun;
use crate::support::output::{said, text};
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::served::Served;

const TOKEN: &str = "0123456789abcdef-live";
const CLIENTS: u64 = 20;
const JSON: &str = "Content-Type: application/json";

/// Clients that stay in until somebody or something ends their sessions.
fn staying(duration: &str, target: &str) -> String {
    format!(
        r#"
seed = 3
duration = "{duration}"
drain = "5s"
health = {{ max_lag_p99 = "60s", max_stall = "60s", max_delay = "60s", max_saturated_share = "100%" }}
[target]
{target}
[[groups]]
name = "g"
clients = {CLIENTS}
token = {{ client_id = "a", client_secret = "b", on_reconnect = "fetch" }}
reconnect = {{ backoff = {{ kind = "none" }} }}
session = {{ ready = "first-message" }}
"#
    )
}

const EMBEDDED: &str = "idle_timeout = \"never\"\nmessages_every = \"100ms\"";

/// A run with a live page.
struct Watched {
    process: Child,
    port: u16,
    /// What is told on the error stream before the run, and where the rest comes.
    told: Vec<String>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Watched {
    fn start(scene: &Scene, live: &str, more: &[&str]) -> Self {
        let mut command = scene.command("run", more);
        command.args(["--live", live]).env("RESURGE_LIVE_TOKEN", TOKEN);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let (mut told, mut port) = (Vec::new(), None);
        while port.is_none() {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{told:?}");
            port = line
                .strip_prefix("live page: http://")
                .and_then(|rest| rest.trim_end().trim_end_matches('/').rsplit(':').next()?.parse().ok());
            told.push(line);
        }
        Self { process, port: port.unwrap(), told, stderr }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The answer to a request with these lines in its head, which says that it is the last one.
    fn ask(&self, line: &str, headers: &[&str], body: &str) -> String {
        let mut stream = self.connect();
        let host = format!("Host: 127.0.0.1:{}", self.port);
        let own = headers.iter().any(|header| header.starts_with("Host:"));
        let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let host = (!own).then_some(host.as_str());
        for header in host.into_iter().chain(headers.iter().copied()) {
            head += &format!("{header}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        text(&answer)
    }

    /// The news of the run, one after the other.
    fn news(&self) -> impl Iterator<Item = Value> + use<> {
        let mut stream = self.connect();
        stream
            .write_all(format!("GET /events HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port).as_bytes())
            .unwrap();
        BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap()))
    }

    fn end(mut self) -> Output {
        let mut stderr = self.told.concat().into_bytes();
        self.stderr.read_to_end(&mut stderr).unwrap();
        let output = self.process.wait_with_output().unwrap();
        Output { stderr, ..output }
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// The figure of that name, in digits.
fn figure(news: &Value, name: &str) -> u64 {
    let figures = news["figures"].as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["name"] == name).unwrap();
    figure["value"].as_str().unwrap().replace(',', "").parse().unwrap()
}

/// How many clients each storm of a run has struck, and how many of them came back: of all groups together.
fn struck(folder: &Path) -> Vec<(u64, u64)> {
    let model = RunModel::new(read_journal(&folder.join("journal.bin")).unwrap());
    let curves = model.recovery_curves().into_iter();
    let own = curves.filter(|curve| curve.group.is_none() && curve.storm.is_some());
    own.map(|curve| (curve.disconnects, curve.back.count())).collect()
}

#[test]
fn a_storm_and_the_stop_come_from_the_page_and_from_nowhere_else() {
    let planned = "[[storms]]\nat = \"50s\"\n";
    let scene = Scene::new(&(staying("60s", EMBEDDED) + planned));
    let run = Watched::start(&scene, "0", &[]);
    await_begun(&scene.path("run"), 1);
    let port = run.port;
    let page = run.ask("GET /", &[], "");
    assert_eq!(status(&page), 200, "{page}");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    for guard in [
        "default-src 'none'; connect-src 'self'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "x-frame-options: DENY",
    ] {
        assert!(head.contains(guard), "{guard}: {head}");
    }
    assert!(body.contains("id=\"live-storm\"") && !page.contains(TOKEN), "no token on loopback");
    // What a page of another site can send, and what is no command.
    let own = format!("Origin: http://127.0.0.1:{port}");
    let half = r#"{"fraction":0.5}"#;
    let rows: [(&str, &[&str], &str, u16); 16] = [
        ("POST /storm", &["Content-Type: text/plain"], half, 415),
        ("POST /storm", &["Content-Type: application/x-www-form-urlencoded"], half, 415),
        ("POST /storm", &[], half, 415),
        ("POST /stop", &["Content-Type: text/plain"], "{}", 415),
        ("POST /storm", &[JSON, "Host: evil.example"], half, 403),
        ("POST /storm", &[JSON, "Origin: http://evil.example"], half, 403),
        ("POST /storm", &[JSON, "Origin: null"], half, 403),
        ("POST /stop", &[JSON, "Origin: http://127.0.0.1:1"], "{}", 403),
        ("POST /stop", &[JSON, "Sec-Fetch-Site: same-site"], "{}", 403),
        ("GET /", &["Host: evil.example"], "", 403),
        ("GET /events", &["Host: 192.168.7.7"], "", 403),
        ("GET /storm", &[], "", 405),
        ("POST /storm", &[JSON], r#"{"fraction":0}"#, 400),
        ("POST /storm", &[JSON], r#"{"share":1}"#, 400),
        ("POST /stop", &[JSON], "", 400),
        ("GET /report.html", &[], "", 404),
    ];
    for (line, headers, body, expected) in rows {
        let answer = run.ask(line, headers, body);
        assert_eq!(status(&answer), expected, "{line} {headers:?}: {answer}");
    }
    let mut news = run.news();
    assert!(news.any(|news| news["state"] == "running" && figure(&news, "Connected") == CLIENTS));
    let answer = run.ask("POST /storm", &[JSON, &own, "Sec-Fetch-Site: same-origin"], "{}");
    assert!(status(&answer) == 200 && answer.contains("A storm struck at "), "{answer}");
    let clients = CLIENTS.to_string();
    assert!(
        news.any(|news| news["tables"]["storms"][0][2] == clients.as_str()
            && figure(&news, "Reconnects") == CLIENTS)
    );
    let answer = run.ask("POST /stop", &[JSON], "{}");
    assert_eq!(status(&answer), 200, "{answer}");
    let last = news.last().unwrap();
    assert_eq!(
        (last["state"].as_str(), last["verdict"]["title"].as_str()),
        (Some("ended"), Some("INTERRUPTED"))
    );
    let output = run.end();
    assert_eq!(output.status.code(), Some(105), "{}", said(&output));
    let told = json(&scene.path("run"));
    let storms = told["storms"].as_array().unwrap();
    assert_eq!(storms[1]["what"], "the target closes with 1012, by hand", "{storms:?}");
    assert_eq!(struck(&scene.path("run")), [(0, 0), (CLIENTS, CLIENTS)]);
    let mark = &told["marks"][0];
    assert_eq!((mark["name"].as_str(), mark["storm"]["number"].as_u64()), (Some("storm by hand"), Some(0)));
    assert!(text(&output.stdout).contains("by hand"), "{}", said(&output));
}

#[test]
fn a_reader_that_takes_nothing_holds_up_nobody() {
    let scene = Scene::new(&staying("3s", EMBEDDED));
    let run = Watched::start(&scene, "0", &[]);
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = run.connect();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        deaf.push(stream);
    }
    let clock = Clock::start();
    let output = run.end();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(clock.now().since(Moment::ZERO) < Duration::from_secs(30), "it waited for who does not read");
}

#[test]
fn beyond_loopback_the_token_is_asked_for_and_never_written() {
    let scene = Scene::new(&staying("60s", EMBEDDED));
    let run = Watched::start(&scene, "0.0.0.0:0", &["--metrics", "0.0.0.0:0"]);
    await_begun(&scene.path("run"), 1);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let rows: [(&str, &[&str]); 4] = [
        ("GET /", &[]),
        ("GET /events", &["Authorization: Bearer wrong"]),
        ("GET /?token=wrong", &[]),
        ("POST /stop", &[JSON]),
    ];
    for (line, headers) in rows {
        assert_eq!(status(&run.ask(line, headers, "{}")), 401, "{line} {headers:?}");
    }
    assert_eq!(status(&run.ask("GET /", &[&bearer, "Host: bench-7.example"], "")), 200);
    let exchanged = run.ask(&format!("GET /?token={TOKEN}"), &[], "");
    assert_eq!(status(&exchanged), 303, "{exchanged}");
    assert!(
        exchanged.contains("location: /\r\n")
            && exchanged.contains("; Path=/; HttpOnly; SameSite=Strict\r\n")
    );
    let cookie = exchanged.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let cookie = format!("Cookie: {cookie}");
    let page = run.ask("GET /", &[&cookie], "");
    assert!(status(&page) == 200 && !page.contains(TOKEN), "{page}");
    assert_eq!(status(&run.ask("POST /stop", &[&cookie, JSON, "Origin: http://127.0.0.1:3000"], "{}")), 403);
    assert_eq!(status(&run.ask("POST /stop", &[&cookie, JSON], "{}")), 200);
    let output = run.end();
    assert_eq!(output.status.code(), Some(105), "{}", said(&output));
    assert!(
        said(&output).contains("RESURGE_LIVE_TOKEN") && !said(&output).contains(TOKEN),
        "{}",
        said(&output)
    );
    assert_nowhere(&scene.path("run"));
}

/// No file of the folder holds the token.
fn assert_nowhere(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            let is_there = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!is_there, "{}", path.display());
        }
    }
}

#[test]
fn with_shards_one_page_shows_all_and_one_storm_strikes_all() {
    let scene = Scene::new(&staying("60s", EMBEDDED));
    let run = Watched::start(&scene, "0", &["--shards", "2"]);
    await_begun(&scene.path("run"), 2);
    let mut news = run.news();
    assert!(news.any(|news| figure(&news, "Connected") == CLIENTS));
    assert_eq!(status(&run.ask("POST /storm", &[JSON], "{}")), 200);
    assert!(news.any(|news| figure(&news, "Reconnects") == CLIENTS));
    assert_eq!(status(&run.ask("POST /stop", &[JSON], "{}")), 200);
    let output = run.end();
    assert_eq!(output.status.code(), Some(105), "{}", said(&output));
    let told = json(&scene.path("run"));
    assert_eq!(struck(&scene.path("run")), [(CLIENTS, CLIENTS)]);
    assert_eq!(told["storms"].as_array().map(Vec::len), Some(1), "{}", told["storms"]);
}

#[test]
fn the_clients_of_a_service_that_is_not_ours_make_the_storm_themselves() {
    let rules = ["--set", "idle_timeout=never", "--set", "messages_every=100ms"];
    let served = Served::start(resurge(), &rules, Stdio::null());
    let (url, token_url) = (
        format!("ws://{}/api/v2/analytics/events", served.addr),
        format!("http://{}/oauth/token", served.addr),
    );
    let target = format!("kind = \"remote\"\nurl = \"{url}\"\ntoken_url = \"{token_url}\"");
    let scene = Scene::new(&staying("60s", &target));
    let run = Watched::start(&scene, "0", &[]);
    await_begun(&scene.path("run"), 1);
    let mut news = run.news();
    assert!(news.any(|news| figure(&news, "Connected") == CLIENTS));
    for storms in 1..=2 {
        assert_eq!(status(&run.ask("POST /storm", &[JSON], "{}")), 200);
        assert!(
            news.any(|news| figure(&news, "Connected") == CLIENTS
                && figure(&news, "Reconnects") == storms * CLIENTS)
        );
    }
    assert_eq!(status(&run.ask("POST /stop", &[JSON], "{}")), 200);
    run.end();
    let told = json(&scene.path("run"));
    assert_eq!(told["storms"][1]["what"], "clients reset, by hand");
    assert_eq!(struck(&scene.path("run")), [(CLIENTS, CLIENTS), (CLIENTS, CLIENTS)]);
}
