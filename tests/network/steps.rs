//! Steps before a handshake at services that are not ours: forms, cookies, redirects, what is saved of an answer; and what a service must not get by them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use resurge::sample::{Outcome, Request, RequestAnswer};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::in_process::run_file;
use crate::support::output::text;
use crate::support::program::resurge;
use crate::support::requests::{header, read_head};
use crate::support::whole_request::read_request;

/// What a request brought: its line, `Cookie`, `Authorization`, its body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Came {
    line: String,
    cookie: Option<String>,
    authorization: Option<String>,
    body: String,
}

type Log = Arc<Mutex<Vec<Came>>>;

/// A service whose answers are status, headers with their ends of line, body; `WS` is a 101.
fn service(answer: impl Fn(&str) -> (String, String, String) + Send + Sync + 'static) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Log::default();
    let (kept, answer) = (Arc::clone(&log), Arc::new(answer));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (log, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            std::thread::spawn(move || {
                let Some((head, body)) = read_request(&mut stream) else { return };
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                let of = |name| header(&head, name).map(str::to_owned);
                let (cookie, authorization) = (of("cookie"), of("authorization"));
                let body = String::from_utf8_lossy(&body).into_owned();
                log.lock().unwrap().push(Came { line: line.clone(), cookie, authorization, body });
                let (status, headers, body) = answer(&line);
                if status == "WS" {
                    let accept = derive_accept_key(header(&head, "sec-websocket-key").unwrap().as_bytes());
                    let head = format!(
                        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
                    );
                    let _ = stream.write_all(head.as_bytes());
                    let _ = stream.read(&mut [0; 64]);
                    return;
                }
                let length = body.len();
                let whole = format!(
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(whole.as_bytes());
            });
        }
    });
    (port, log)
}

fn says(status: &str, headers: &str, body: &str) -> (String, String, String) {
    (status.to_owned(), headers.to_owned(), body.to_owned())
}

/// A run of one client that tries once.
fn scenario(port: u16, prepare: &str) -> String {
    format!(
        "duration = \"10s\"\n[target]\nurl = \"ws://localhost:{port}/ws\"\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ grant = \"none\" }}\nreconnect = {{ max_attempts = 1 }}\n[groups.prepare]\n{prepare}"
    )
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_client_logs_in_as_a_browser_does() {
    let folder = TempDir::new().unwrap();
    let (other, others) = service(|_| says("200 OK", "Set-Cookie: there=1\r\n", "{}"));
    let (port, log) = service(move |line| match line {
        "GET /login" => says(
            "200 OK",
            "Set-Cookie: sid=one; Path=/; HttpOnly\r\nSet-Cookie: evil=1; Domain=example.com\r\nX-Request: r7\r\n",
            "<input name=\"csrf\" value=\"a&amp;b c\">",
        ),
        "POST /login" => says("303 See Other", "Location: /home?x=1\r\nSet-Cookie: sid=two; Path=/\r\n", ""),
        "GET /home?x=1" => says("302 Found", &format!("Location: http://127.0.0.1:{other}/away\r\n"), ""),
        "GET /ws" => says("WS", "Set-Cookie: at=ws\r\n", ""),
        _ => says("404 Not Found", "", ""),
    });
    let prepare = format!(
        "cookies = true\n[[groups.prepare.steps]]\nurl = \"http://localhost:{port}/login\"\nsave = {{ csrf = {{ regex = 'value=\"([^\"]+)\"' }}, id = {{ header = \"x-request\" }}, sid = {{ cookie = \"sid\" }}, code = \"status\" }}\n\
         [[groups.prepare.steps]]\nmethod = \"POST\"\nurl = \"http://localhost:{port}/login\"\nheaders = {{ Authorization = \"Basic c2VjcmV0\" }}\nform = {{ csrf = \"{{csrf}}\", more = \"{{id}}-{{sid}}-{{code}}\" }}\nredirects = 3\n"
    );
    let path = write(folder.path(), "login", &scenario(port, &prepare));
    let done = run_file(&path, &[], folder.path().join("login"));
    assert_eq!(done.model.all.outcome(Outcome::Ok), 1);
    let came = |line: &str, cookie: Option<&str>, authorization: Option<&str>, body: &str| Came {
        line: line.to_owned(),
        cookie: cookie.map(str::to_owned),
        authorization: authorization.map(str::to_owned),
        body: body.to_owned(),
    };
    let basic = Some("Basic c2VjcmV0");
    assert_eq!(
        *log.lock().unwrap(),
        [
            came("GET /login", None, None, ""),
            came("POST /login", Some("sid=one"), basic, "csrf=a%26amp%3Bb+c&more=r7-one-200"),
            came("GET /home?x=1", Some("sid=two"), basic, ""),
            came("GET /ws", Some("sid=two"), None, ""),
        ]
    );
    assert_eq!(
        *others.lock().unwrap(),
        [came("GET /away", None, None, "")],
        "another origin gets neither credentials nor cookies"
    );
}

#[test]
fn redirects_have_an_end() {
    let folder = TempDir::new().unwrap();
    let (port, log) = service(|_| says("302 Found", "Location: /again\r\n", ""));
    for (redirects, asked) in [(0, 1), (3, 4)] {
        let prepare = format!(
            "[[groups.prepare.steps]]\nurl = \"http://localhost:{port}/\"\nredirects = {redirects}\n"
        );
        let name = format!("round-{redirects}");
        let path = write(folder.path(), &name, &scenario(port, &prepare));
        let done = run_file(&path, &[], folder.path().join(&name));
        assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), asked);
        let key = (Request::Step(0), RequestAnswer::UnexpectedStatus);
        assert_eq!(done.model.all.requests[&key].count(), 1);
    }
}

#[test]
fn a_body_goes_to_no_other_origin() {
    let folder = TempDir::new().unwrap();
    let (other, others) = service(|_| says("200 OK", "", "{}"));
    let away = format!("Location: http://127.0.0.1:{other}/\r\n");
    let (port, log) = service(move |_| says("307 Temporary Redirect", &away, ""));
    let prepare = format!(
        "[[groups.prepare.steps]]\nmethod = \"POST\"\nurl = \"http://localhost:{port}/\"\nform = {{ password = \"x\" }}\nredirects = 3\n"
    );
    let path = write(folder.path(), "body", &scenario(port, &prepare));
    let done = run_file(&path, &[], folder.path().join("body"));
    let key = (Request::Step(0), RequestAnswer::UnexpectedStatus);
    assert_eq!(done.model.all.requests[&key].count(), 1);
    assert_eq!((log.lock().unwrap().len(), others.lock().unwrap().len()), (1, 0));
}

/// Answers every request with a page of 1 GB, as long as it is taken; counts what went out.
fn huge_pages(head: &'static str) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, sent) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let (page, mut left) = (vec![b'x'; 1 << 16], 1_u64 << 30);
                let mut goes_on =
                    read_head(&mut stream).is_some() && stream.write_all(head.as_bytes()).is_ok();
                while left > 0 && goes_on {
                    goes_on = stream.write_all(&page).is_ok();
                    left -= page.len() as u64;
                    count.fetch_add(page.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    (port, sent)
}

#[test]
fn a_page_of_a_gigabyte_is_not_read() {
    let folder = TempDir::new().unwrap();
    for (name, head) in [
        ("announced", "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"),
        ("endless", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ] {
        let (port, sent) = huge_pages(head);
        let prepare = format!(
            "[[groups.prepare.steps]]\nurl = \"http://localhost:{port}/\"\nsave = {{ csrf = {{ regex = 'x(y)' }} }}\n"
        );
        let path = write(folder.path(), name, &scenario(port, &prepare));
        let done = run_file(&path, &[], folder.path().join(name));
        let key = (Request::Step(0), RequestAnswer::TooLarge);
        assert!(done.model.all.requests[&key].count() > 0, "{name}: {:?}", done.model.all.requests);
        assert_eq!(done.model.all.requests.len(), 1, "{name}: that is all that they came to");
        // What is sent stands in the buffers of the two sockets.
        let requests = done.model.all.requests[&key].count();
        assert!(sent.load(Ordering::Relaxed) < requests * (32 << 20), "{name}: {sent:?} for {requests}");
    }
}

#[test]
fn a_redirect_leads_nobody_to_where_the_run_may_not_go() {
    let folder = TempDir::new().unwrap();
    let (port, _) = service(|_| says("307 Temporary Redirect", "Location: http://203.0.113.9/\r\n", ""));
    let prepare = format!("[[groups.prepare.steps]]\nurl = \"http://localhost:{port}/\"\nredirects = 3\n");
    let path = write(folder.path(), "away", &scenario(port, &prepare));
    let done = resurge()
        .args(["run", path.to_str().unwrap(), "--progress", "none"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(77), "{}", text(&done.stderr));
}

#[test]
fn what_check_says_of_steps() {
    let folder = TempDir::new().unwrap();
    let step = |keys: &str| format!("[[groups.prepare.steps]]\nurl = \"http://localhost:1/\"\n{keys}\n");
    let rows = [
        (step("save = { a = { regex = 'x' } }"), "a regular expression with a group"),
        (step("save = { a = { regex = '(' } }"), "it is no regular expression"),
        (step("save = { a = { regex = '(?:x)' } }"), "it has no group"),
        (step("save = { a = { cookies = 'x' } }"), "{ cookie = "),
        (step("save = { a = 'nowhere' }"), "it begins with `/`"),
        (step("redirects = 21"), "20"),
        (step("body = 'x'\nform = { a = 'b' }"), "write body or form, not both"),
        (
            "cookies = true\n[groups.connect]\nheaders = { Cookie = 'a=b' }\n".to_owned(),
            "two headers `Cookie`",
        ),
        (
            "[groups.connect]\nheaders = { Traceparent = 'a' }\n[[groups]]\nname = \"h\"\nclients = 1\ntrace = true\ntoken = { grant = \"none\" }\nconnect = { headers = { Traceparent = 'a' } }\n".to_owned(),
            "two headers `traceparent`",
        ),
    ];
    for (index, (prepare, said)) in rows.iter().enumerate() {
        let path = write(folder.path(), &format!("bad-{index}"), &scenario(1, prepare));
        let done = resurge().args(["check", path.to_str().unwrap()]).output().unwrap();
        let told = text(&done.stderr) + &text(&done.stdout);
        assert_eq!(done.status.code(), Some(104), "{prepare}: {told}");
        assert!(told.contains(said), "{prepare}: {told}");
    }
}
