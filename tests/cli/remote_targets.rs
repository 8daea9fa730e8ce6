//! Targets that the program did not start: some are none, one is a stranger's, one is its own in another process.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::runs::{Run, run_with};
use crate::support::program::resurge;
use crate::support::scene::Scene;
use crate::support::served::Served;
use crate::support::signals::send;

/// A server that answers every connection with the same bytes.
fn server_that_says(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // Whatever was asked, and however the asker takes the answer.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// Runs three clients against these places.
fn run_against(url: &str, token_url: &str, more: &[&str]) -> Run {
    let scene = Scene::new(&format!(
        "duration = \"1s\"\ndrain = \"2s\"\n[target]\nkind = \"remote\"\nurl = \"{url}\"\ntoken_url = \"{token_url}\"\n\
         [[groups]]\nname = \"g\"\nclients = 3\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"canary-7f3a\"\n"
    ));
    run_with(scene.file().to_str().unwrap(), more)
}

#[test]
fn targets_that_are_none_are_told_apart() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";
    let grant = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\nConnection: close\r\n\r\n{\"access_token\":\"canary-t0k\",\"expires\":60}";
    let (html, grant) = (server_that_says(html), server_that_says(grant));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // (WebSocket address, token address, outcome)
    let rows = [
        (&nobody, &grant, "tcp_refused"),
        (&html, &grant, "protocol"),
        (&html, &html, "token_error"),
        (&html, &nobody, "token_error"),
    ];
    for (websocket, token, outcome) in rows {
        let run = run_against(&format!("ws://{websocket}/"), &format!("http://{token}/"), &[]);
        assert_eq!(run.code(), 110, "{outcome}: {}{}", run.stdout(), run.stderr());
        assert!(
            run.stdout().contains("no handshake was ever answered") && run.stdout().contains(outcome),
            "{}",
            run.stdout()
        );
        for entry in fs::read_dir(&run.folder).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "a secret in the run folder");
        }
        assert!(!run.stdout().contains("canary") && !run.stderr().contains("canary"));
    }
}

#[test]
fn strangers_are_not_hit_unless_authorised() {
    // Addresses for documentation (RFC 5737): nobody is there.
    let run = run_against("ws://203.0.113.7/", "http://127.0.0.1:9/", &[]);
    assert_eq!(run.code(), 77, "{}", run.stderr());
    assert!(run.stderr().contains("--authorize 203.0.113.7"), "{}", run.stderr());
    assert!(!run.folder.exists(), "nothing was begun");
}

#[test]
fn a_target_in_another_process_is_driven_alike() {
    let mut served = Served::start(resurge(), &["forum", "--set", "idle_timeout=1s"], Stdio::null());
    let address = served.addr;
    let run = run_against(
        &format!("ws://{address}/api/v2/analytics/events"),
        &format!("http://{address}/oauth/token"),
        &["--set", "duration=3s", "--set", "groups.0.token.on_reconnect=fetch"],
    );
    send(served.process.id(), "TERM");
    assert_eq!(served.process.wait().unwrap().code(), Some(0));
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    assert_eq!(run.outcome("g", "first", "ok").0, 3);
    assert!(run.outcome("g", "reconnect", "ok").0 >= 3);
}
