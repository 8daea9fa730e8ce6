//! The service's own numbers: pages and servers that answer are believed to the digit, and those that are away, slow, huge or say nonsense cost the run
//! nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::output::said;
use crate::support::program::resurge;
use crate::support::requests::{header, read_head};
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::tables::rows;

const SCENARIO: &str = r#"
duration = "3s"
[target]
[[groups]]
name = "g"
clients = 4
token = { client_id = "a", client_secret = "b" }
"#;
/// What a page may have at most.
const CAP: u64 = 16 << 20;

/// A service: what it writes is up to `answer`, which gets the head of each request and how many there were before.
fn service(answer: impl Fn(&str, u64, &mut TcpStream) + Send + Sync + 'static) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (answer, asked) = (Arc::new(answer), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut stream) {
                    answer(&head, count.fetch_add(1, Ordering::SeqCst), &mut stream);
                }
            });
        }
    });
    (port, asked)
}

/// Whoever is gone is told nothing.
fn say(stream: &mut TcpStream, status: &str, body: &str) {
    let _ = stream
        .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

fn end(stream: &TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// A port at which nobody is.
fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn page(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[observe]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}/metrics\"\n{more}[[observe.series]]\nname = \"{name}\"\nmetric = \"m\"\n"
    )
}

/// The values of each series, by second.
fn observed(scene: &Scene, out: &str) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut found: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for row in rows(&scene.path(out), "observed.csv") {
        let second = row["second"].parse().unwrap();
        found.entry(row["series"].clone()).or_default().push((second, row["value"].clone()));
    }
    found
}

#[test]
fn whoever_is_away_slow_huge_or_says_nonsense_costs_the_run_nothing() {
    let sent = Arc::new(AtomicU64::new(0));
    let most = Arc::clone(&sent);
    let (huge, _) = service(move |_, _, stream| {
        let block = "x{a=\"b\"} 1\n".repeat(6_000);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let mut all = 0;
        while all < (1 << 30) && stream.write_all(block.as_bytes()).is_ok() {
            all += block.len() as u64;
        }
        most.fetch_max(all, Ordering::SeqCst);
        end(stream);
    });
    let (slow, asked_slow) = service(|_, _, _| {});
    let (refuses, _) = service(|_, _, stream| say(stream, "401 Unauthorized", "m 1\n"));
    let (fails, _) = service(|_, _, stream| say(stream, "500 Oh", "<html>"));
    let (html, _) = service(|_, _, stream| say(stream, "200 OK", "<html><body>\nm 1</body></html>"));
    let (broken, _) = service(|_, _, stream| say(stream, "200 OK", "a 1\nm{x=\"1} 2\n"));
    let (leads, _) = service(move |_, _, stream| {
        let _ = stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    });
    let (cut, _) = service(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nm 1\n");
        end(stream);
    });
    let (no_http, _) = service(|_, _, stream| {
        let _ = stream.write_all(b"m 1\n\n");
        end(stream);
    });
    let (good, asked) = service(|head, nth, stream| {
        let is_known = header(head, "authorization") == Some("Bearer hush-hush");
        let body = format!("# TYPE m gauge\nm{{x=\"1\"}} {nth}\nm{{x=\"2\"}} 0.5\nc_total {}\n", 10 * nth);
        say(stream, if is_known { "200 OK" } else { "403 No" }, &body);
    });
    let broken_off = "the connection ended before the answer did, or what came is no HTTP";
    // (name, port, why there is no answer)
    let away = [
        ("away", nobody(), "connection refused"),
        ("slow", slow, "no answer within 250ms"),
        ("refuses", refuses, "HTTP 401"),
        ("fails", fails, "HTTP 500"),
        ("html", html, "what came is no page of metrics"),
        ("broken", broken, "a line of m cannot be read"),
        ("leads", leads, "HTTP 302"),
        ("cut", cut, broken_off),
        ("no_http", no_http, broken_off),
        ("huge", huge, "the answer has more than 16 MiB"),
    ];
    let mut scenario = SCENARIO.to_owned();
    for (name, port, _) in away {
        let more = if name == "slow" { "timeout = \"250ms\"\n" } else { "" };
        scenario += &page(name, port, more);
    }
    let known = "headers = { Authorization = \"Bearer hush-hush\" }\n";
    scenario += &page("good", good, known);
    scenario += "[[observe.series]]\nname = \"gone\"\nmetric = \"n\"\n";
    scenario += "[[observe.series]]\nname = \"most\"\nmetric = \"m\"\naggregate = \"max\"\n";
    scenario +=
        "[[observe.series]]\nname = \"one\"\nmetric = \"m\"\nlabels = { x = \"2\" }\nunit = \"bytes\"\n";
    scenario += "[[observe.series]]\nname = \"growth\"\nmetric = \"c_total\"\nrate = true\n";
    let scene = Scene::new(&scenario);
    // A busy machine leaves out a second, or is late with an answer.
    let output = scene.command("run", &["--set", "duration=6s"]).output().unwrap();
    let told = said(&output);
    let run = json(&scene.path("run"));
    assert_eq!(run["ended"]["how"], "completed", "{told}");
    assert_eq!(run["reconciliation"]["exact"], true, "{told}");
    assert_eq!(run["accounting"]["all"]["outcomes"], serde_json::json!({ "ok": 4 }), "{told}");
    for (name, _, why) in away {
        let series =
            run["observed"].as_array().unwrap().iter().find(|series| series["series"] == name).unwrap();
        assert_eq!((&series["why"], &series["seconds"]), (&why.into(), &0.into()), "{name}: {series}");
        assert!(series["unanswered"].as_u64().unwrap() >= 1, "{series}");
        assert_eq!(told.matches(&format!("observe {name}: {why}")).count(), 1, "once: {told}");
        assert!(told.contains(&format!("{name} of {name}: ")), "{told}");
    }
    assert!(asked_slow.load(Ordering::SeqCst) <= 7, "once a second at most");
    let sent = sent.load(Ordering::SeqCst);
    assert!((CAP..4 * CAP).contains(&sent), "the connection is closed, and {sent} bytes were taken");

    // What was said is what the page told, in the order of its numbers.
    let found = observed(&scene, "run");
    let seconds: Vec<u64> = found["good"].iter().map(|(second, _)| *second).collect();
    assert!(seconds.len() >= 3 && seconds.windows(2).all(|pair| pair[0] < pair[1]), "{seconds:?}");
    let mut nth: f64 = 0.0;
    for (place, (_, value)) in found["good"].iter().enumerate().filter(|(_, (_, value))| !value.is_empty()) {
        assert_eq!(*value, format!("{}", nth + 0.5));
        assert_eq!(found["most"][place].1, format!("{}", nth.max(0.5)));
        assert_eq!((found["one"][place].1.as_str(), found["gone"][place].1.as_str()), ("0.5", ""));
        nth += 1.0;
    }
    assert!(nth >= 3.0 && asked.load(Ordering::SeqCst) as f64 - nth <= 1.0, "{nth} of {asked:?}");
    let growth: Vec<f64> = found["growth"].iter().filter_map(|(_, value)| value.parse().ok()).collect();
    assert!(growth.len() as f64 >= nth - 1.0 && growth.iter().all(|value| *value > 0.0), "{growth:?}");
    assert!(told.contains("gone of good: never a number"), "{told}");
    let page = std::fs::read_to_string(scene.path("run/report.html")).unwrap();
    assert!(page.contains("observed-connected") && page.contains("observed-14"), "plots of each");
    let copy = std::fs::read_to_string(scene.path("run/scenario.toml")).unwrap();
    assert!(!copy.contains("hush") && !told.contains("hush") && copy.contains("RESURGE_"), "{copy}");

    // The same again from the journal.
    for (format, part) in
        [("csv", "second,series,value,unit"), ("markdown", "not observed"), ("json", "\"observed\"")]
    {
        let mut report = resurge();
        report.arg("report").arg(scene.path("run")).args(["--format", format]);
        if format == "csv" {
            report.args(["--table", "observed"]);
        }
        assert!(said(&report.output().unwrap()).contains(part), "{format}");
    }
}

/// The query of a request, decoded.
fn asked_for(head: &str) -> (String, BTreeMap<String, String>) {
    let path = head.split(' ').nth(1).unwrap();
    let url = url::Url::parse(&format!("http://h{path}")).unwrap();
    let pairs = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
    (url.path().to_owned(), pairs.collect())
}

/// An answer of a server to a query about a moment.
fn vector(values: &[&str]) -> String {
    let samples: Vec<String> =
        values.iter().map(|value| format!("{{\"metric\":{{}},\"value\":[1.5,\"{value}\"]}}")).collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}",
        samples.join(",")
    )
}

/// An answer to one about a span of time, which has 8 at every step but the second.
fn matrix(form: &BTreeMap<String, String>) -> String {
    let number = |name: &str| form[name].parse::<f64>().unwrap();
    let (mut at, mut values) = (number("start"), String::new());
    while at <= number("end") {
        if at != number("start") + number("step") {
            let _ = write!(values, "{}[{at:.3},\"8\"]", if values.is_empty() { "" } else { "," });
        }
        at += number("step");
    }
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":{{}},\"values\":[{values}]}}]}}}}"
    )
}

fn server(head: &str, _: u64, stream: &mut TcpStream) {
    let error =
        |text: &str| format!("{{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"{text}\"}}");
    let (path, form) = asked_for(head);
    match (path.as_str(), form["query"].as_str()) {
        ("/base/api/v1/query", "late" | "live") => say(stream, "200 OK", &vector(&["7"])),
        ("/base/api/v1/query_range", "late") => say(stream, "200 OK", &matrix(&form)),
        ("/base/api/v1/query", "two") => say(stream, "200 OK", &vector(&["1", "2"])),
        ("/base/api/v1/query", "none") => say(stream, "200 OK", &vector(&[])),
        (_, "echo") => {
            say(
                stream,
                "400 Bad",
                &error(&format!("you: {}", header(head, "x-scope-key").unwrap_or_default())),
            );
        }
        (_, "sum(") => say(stream, "400 Bad", &error("invalid parameter: 1:5: parse error")),
        ("/base/api/v1/query_range", "live") => say(stream, "503 Away", "<html>"),
        _ => say(stream, "404 No", ""),
    }
}

#[test]
fn a_server_is_asked_live_and_for_the_whole_run_and_its_words_are_told() {
    let (port, _) = service(server);
    let mut scenario = format!(
        "{SCENARIO}[[observe]]\nname = \"prom\"\nprometheus = \"http://127.0.0.1:{port}/base/\"\nheaders = {{ X-Scope-Key = \"hush-hush\" }}\n"
    );
    // (query, why there is no answer, why none for the whole run)
    let queries = [
        ("late", None, None),
        ("live", None, Some("HTTP 503")),
        ("sum(", Some("HTTP 400, bad_data: invalid parameter: 1:5: parse error"), Some("")),
        ("two", Some("the query brings 2 series, and one is needed: fold them, as sum(…)"), Some("HTTP 404")),
        ("none", None, Some("HTTP 404")),
        ("echo", Some("what it says repeats what it was sent, and is not shown"), Some("")),
    ];
    for (index, (query, _, _)) in queries.iter().enumerate() {
        let _ = write!(scenario, "[[observe.series]]\nname = \"q{index}\"\nquery = \"{query}\"\n");
    }
    let scene = Scene::new(&scenario);
    // A busy machine leaves out a second, or is late with an answer.
    let output = scene.command("run", &["--set", "duration=6s"]).output().unwrap();
    let told = said(&output);
    let run = json(&scene.path("run"));
    assert_eq!(
        (&run["ended"]["how"], &run["reconciliation"]["exact"]),
        (&"completed".into(), &true.into()),
        "{told}"
    );
    for (index, (query, why, at_end)) in queries.iter().enumerate() {
        let series = &run["observed"][index];
        assert_eq!(series["why"].as_str(), *why, "{query}: {series}");
        let at_end = if *at_end == Some("") { why } else { at_end };
        assert_eq!(series["at_end"].as_str(), *at_end, "{query}: {series}");
        if let Some(why) = why {
            assert!(told.contains(&format!("observe prom (`{query}`): {why}")), "as the run begins: {told}");
        }
    }
    assert!(!told.contains("hush"), "{told}");
    let found = observed(&scene, "run");
    let values = |name: &str| found[name].iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    // What the server has at the end stands for all of the run, gaps included.
    let late = values("q0");
    assert!(late.len() >= 3 && late[1].is_empty(), "{late:?}");
    assert!(late.iter().enumerate().all(|(second, value)| second == 1 || *value == "8"), "{late:?}");
    assert!(values("q1").iter().filter(|value| **value == "7").count() >= 3, "what was seen live stands");
    assert!(values("q3").iter().chain(&values("q4")).all(|value| value.is_empty()));
}

#[test]
fn several_shards_ask_once_and_virtual_time_asks_nobody() {
    let (port, asked) = service(|_, nth, stream| say(stream, "200 OK", &format!("m {nth}\n")));
    let scene = Scene::new(&format!("{SCENARIO}{}", page("once", port, "")));
    let output = scene.command("split", &["--shards", "2"]).output().unwrap();
    let found = observed(&scene, "split");
    let values: Vec<f64> = found["once"].iter().filter_map(|(_, value)| value.parse().ok()).collect();
    let expected: Vec<f64> = (0..values.len()).map(|nth| nth as f64).collect();
    assert_eq!(values, expected, "nobody asked between: {}", said(&output));
    let asked_in_all = asked.load(Ordering::SeqCst);
    assert!(!values.is_empty() && asked_in_all - values.len() as u64 <= 1, "{asked_in_all}");
    let mut simulate = resurge();
    simulate.arg("simulate").arg(scene.file()).arg("--out").arg(scene.path("simulated"));
    let told = said(&simulate.output().unwrap());
    assert!(told.contains("nobody was asked for the service's own numbers"), "{told}");
    assert!(!scene.path("simulated/observed.csv").exists(), "{told}");
    assert_eq!(asked.load(Ordering::SeqCst), asked_in_all);
}

#[test]
fn what_makes_no_sense_is_told_all_at_once() {
    let scenario = format!(
        "{SCENARIO}{}",
        r#"
[[observe]]
url = "http://127.0.0.1:1/"
every = "500ms"
[[observe.series]]
name = "a"
query = "up"
labels = { x = "y" }
[[observe.series]]
name = "a"
metric = "up{job=\"x\"}"
[[observe]]
url = "http://127.0.0.1:1/"
prometheus = "http://127.0.0.1:1/"
[[observe.series]]
name = "b"
[[observe]]
prometheus = "ftp://h/"
series = []
[[observe]]
prometheus = "http://127.0.0.1:1/"
[[observe.series]]
name = "c"
metric = "up"
rat = true
"#
    );
    let scene = Scene::new(&scenario);
    let mut check = resurge();
    let output = check.arg("check").arg(scene.file()).output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(104), "{told}");
    for part in [
        "a source is asked once a second at most",
        "a query is for a server",
        "`labels` goes with a metric",
        "the name of a metric alone is needed",
        "has `url` and `prometheus`",
        "has none of `metric`, `query`",
        "a URL with http:// or https:// is needed",
        "a metric is for a page",
        "did you mean `rate`?",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let twice = format!("{SCENARIO}{}{}", page("same", 1, ""), page("same", 2, ""));
    let scene = Scene::new(&twice);
    let mut check = resurge();
    let told = said(&check.arg("check").arg(scene.file()).output().unwrap());
    assert!(told.contains("two observed series are named \"same\""), "{told}");
}
