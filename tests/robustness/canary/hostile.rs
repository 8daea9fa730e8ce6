//! A service that gives back whatever it was sent.
//!
//! In: HTTP requests. Out: refusals, redirects, sessions and junk, each with the request's secrets in it wherever there is room for a text.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::search::Canaries;
use crate::support::requests::header;
use crate::support::whole_request::read_request;

/// Ways of the token endpoint.
pub(crate) const TOKEN_WAYS: [&str; 12] = [
    "refused",
    "standard",
    "challenge",
    "html",
    "junk",
    "redirect",
    "huge",
    "hang",
    "cut",
    "retry",
    "newline",
    "word",
];
/// Ways of the guarded endpoint.
pub(crate) const UPGRADE_WAYS: [&str; 15] = [
    "403",
    "401",
    "html",
    "redirect",
    "500",
    "429",
    "junk",
    "bad-accept",
    "bad-protocol",
    "frames",
    "reset",
    "hang",
    "word",
    "long-header",
    "close-at-once",
];
/// Ways of the requests before a handshake.
pub(crate) const STEP_WAYS: [&str; 7] = ["403", "401", "redirect", "junk", "hang", "nowhere", "word"];

/// Longer than any timeout of the scenarios, shorter than the test.
const HANG: Duration = Duration::from_secs(4);

/// A request.
struct Asked {
    path: String,
    head: String,
    body: String,
}

impl Asked {
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let (head, body) = read_request(stream)?;
        let path = head.split(' ').nth(1)?.to_owned();
        Some(Self { path, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// All of it as one line, credentials decoded too.
    fn echo(&self) -> String {
        let all = format!("{} {}", self.head, self.body);
        let decoded: String = all
            .split_whitespace()
            .filter_map(|word| STANDARD.decode(word).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        format!("{all} {decoded}").replace(['\r', '\n', '"', '\\'], " ")
    }

    /// The first secret in it that can stand as an error code.
    fn word(&self, canaries: &Canaries) -> String {
        let echo = self.echo();
        let found = canaries.0.iter().find(|canary| echo.contains(canary.word()));
        found.map_or("nothing", |canary| canary.word()).to_owned()
    }
}

/// Starts it; answers with its port. It serves until the test ends.
pub(crate) fn start(canaries: &Canaries) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let canaries = Arc::new(canaries.clone());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let canaries = Arc::clone(&canaries);
            std::thread::spawn(move || {
                while let Some(asked) = Asked::read(&mut stream) {
                    // Whoever is gone is told nothing.
                    if !answer(&mut stream, &asked, &canaries, port).unwrap_or(false) {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Answers; whether the connection goes on.
fn answer(stream: &mut TcpStream, asked: &Asked, canaries: &Canaries, port: u16) -> std::io::Result<bool> {
    let (echo, word) = (asked.echo(), asked.word(canaries));
    let json = format!("{{\"error\":\"{echo}\",\"code\":\"{echo}\",\"error_description\":\"{echo}\"}}");
    let worded = format!("{{\"error\":\"{word}\",\"code\":\"{word}\"}}");
    let html = format!("<html><center>nginx</center>{echo}</html>");
    let challenge = format!("WWW-Authenticate: Bearer error=\"{echo}\", error_description=\"{echo}\"\r\n");
    let location =
        format!("Location: http://127.0.0.1:{port}/upgrade/403?token={}\r\n", echo.replace(' ', "%20"));
    let mut parts = asked.path.trim_start_matches('/').split(['/', '?']);
    let (place, way) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (place, way) {
        (_, "redirect") => http(stream, 302, &location, &json),
        (_, "hang") => {
            std::thread::sleep(HANG);
            Ok(false)
        }
        (_, "html") => {
            http(stream, if place == "token" { 500 } else { 403 }, "Content-Type: text/html\r\n", &html)
        }
        (_, "junk") => {
            stream.write_all(format!("HTTP/1.1 2{echo}\0\0{echo}").as_bytes())?;
            Ok(false)
        }
        (_, "word") => http(stream, if place == "token" { 400 } else { 403 }, "", &worded),
        ("token", "refused") => http(stream, 400, "", &json),
        ("token", "standard") => http(
            stream,
            401,
            "",
            &format!("{{\"error\":\"invalid_client\",\"error_description\":\"{echo}\"}}"),
        ),
        ("token", "challenge") => http(stream, 401, &challenge, &json),
        ("token", "huge") => {
            http(stream, 200, "", &format!("{{\"access_token\":\"{}\"}}", echo.repeat(2_000)))
        }
        ("token", "cut") => {
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{{\"access_token\":\"{echo}")
                    .as_bytes(),
            )?;
            Ok(false)
        }
        (_, "retry" | "429") => http(stream, 429, &format!("Retry-After: {echo}\r\n"), &json),
        ("token", "newline") => {
            let token = canaries.get("access-token").text();
            http(stream, 200, "", &format!("{{\"access_token\":\"{token}\\r\\nX: {token}\"}}"))
        }
        ("token", _) => {
            let (token, refresh) =
                (canaries.get("access-token").text(), canaries.get("refresh-token").text());
            http(
                stream,
                200,
                "",
                &format!(
                    "{{\"access_token\":\"{token}\",\"expires_in\":600,\"refresh_token\":\"{refresh}\"}}"
                ),
            )
        }
        ("step", "ok") => {
            let ticket =
                canaries.get("ticket").text().replace('+', "%2B").replace('=', "%3D").replace('/', "%2F");
            let cookie = canaries.get("jar-cookie").text();
            http(
                stream,
                200,
                &format!(
                    "Set-Cookie: sid={cookie}; Path=/\r\nSet-Cookie: x={cookie}; Domain=example.com\r\n"
                ),
                &format!(
                    "{{\"uri\":\"ws://127.0.0.1:{port}/upgrade/403?ticket={ticket}\",\"id\":\"{ticket}\"}}"
                ),
            )
        }
        ("step", "nowhere") => http(stream, 200, "", &format!("{{\"uri\":\"{echo}\",\"id\":\"{echo}\"}}")),
        (_, "403" | "500") => http(stream, way.parse().unwrap_or(500), &challenge, &json),
        (_, "401") => http(stream, 401, &challenge, &html),
        ("upgrade", "reset") => {
            stream.write_all(format!("HTTP/1.1 101 {echo}\r\nUpgrade: websocket\r\nX: ").as_bytes())?;
            Ok(false)
        }
        ("upgrade", "long-header") => {
            stream.write_all(
                format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", echo.repeat(1_000)).as_bytes(),
            )?;
            Ok(false)
        }
        // The page of metrics, or the answer to a query, is the echo.
        ("observe", "200") => http(stream, 200, "", &format!("{json}\nup{{x=\"{echo}\"}} 1\nup {echo}\n")),
        ("upgrade", _) => session(stream, asked, way, &echo),
        _ => http(stream, 404, "", &json),
    }
}

fn http(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<bool> {
    let head = format!("HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n{headers}\r\n", "Said", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    Ok(true)
}

/// Opens a session, says everything in it, closes it with all of it as the reason.
fn session(stream: &mut TcpStream, asked: &Asked, way: &str, echo: &str) -> std::io::Result<bool> {
    let key = header(&asked.head, "sec-websocket-key").unwrap_or_default();
    let accept = if way == "bad-accept" { echo.to_owned() } else { derive_accept_key(key.as_bytes()) };
    let protocol = match header(&asked.head, "sec-websocket-protocol") {
        _ if way == "bad-protocol" => format!("Sec-WebSocket-Protocol: {echo}\r\n"),
        Some(offered) => {
            format!("Sec-WebSocket-Protocol: {}\r\n", offered.split(',').next().unwrap_or_default())
        }
        None => String::new(),
    };
    stream.write_all(
        format!("HTTP/1.1 101 {echo}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Said: {echo}\r\n{protocol}\r\n")
            .as_bytes(),
    )?;
    let text: Vec<u8> = echo.bytes().take(100).collect();
    if way != "close-at-once" {
        stream.write_all(&frame(0x81, &text))?;
        // What the client says in its first message, if it does.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut said = [0; 1024];
        let _ = stream.read(&mut said);
    }
    if way == "frames" {
        stream.write_all(&frame(0xf7, &text))?;
        return Ok(false);
    }
    let reason: Vec<u8> = 1001_u16.to_be_bytes().into_iter().chain(echo.bytes().take(110)).collect();
    stream.write_all(&frame(0x88, &reason))?;
    Ok(false)
}

/// A frame of at most 125 bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap_or(125)], payload].concat()
}
