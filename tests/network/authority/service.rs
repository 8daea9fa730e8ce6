//! A service on every address of this machine, which takes note of who is hit, and hands out what it is told to.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::requests::header;
use crate::support::whole_request::read_request;

/// Addresses of others, which answer here.
pub(crate) const OTHERS: [&str; 10] = [
    "8.8.8.8",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.7",
    "2001:4860:4860::8888",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "fd00:ec2::254",
];

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    /// To which of this machine's addresses.
    pub(crate) to: IpAddr,
    pub(crate) head: String,
}

/// A service on every address of this machine.
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) came: Arc<Mutex<Vec<Came>>>,
}

impl Service {
    pub(crate) fn start(bind: &str) -> Self {
        let listener = TcpListener::bind(bind).unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&came);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(stream, port, &all));
            }
        });
        Self { port, came }
    }

    pub(crate) fn take(&self) -> Vec<Came> {
        std::mem::take(&mut self.came.lock().unwrap())
    }

    /// To which addresses of others something came since the last call.
    pub(crate) fn others_hit(&self) -> Vec<IpAddr> {
        let mut hit: Vec<IpAddr> = self.take().iter().map(|came| came.to).filter(is_of_others).collect();
        hit.sort_unstable();
        hit.dedup();
        hit
    }
}

pub(crate) fn is_of_others(address: &IpAddr) -> bool {
    OTHERS.iter().any(|other| other.parse::<IpAddr>().unwrap() == *address)
}

/// Answers each request of a connection as its path says: `/<status>`, `/to?<text>` (a redirect), `/says?<text>` (JSON), `/session?<text>`.
fn serve(mut stream: TcpStream, port: u16, all: &Mutex<Vec<Came>>) {
    let to = stream.local_addr().unwrap().ip().to_canonical();
    // A connection is a hit, whether anything is said on it or not.
    all.lock().unwrap().push(Came { to, head: String::new() });
    while let Some((head, _)) = read_request(&mut stream) {
        all.lock().unwrap().push(Came { to, head: head.clone() });
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        // A proxy is told the whole URL.
        let place = target
            .strip_prefix("http://")
            .map_or(target.as_str(), |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let (path, text) = place.split_once('?').unwrap_or((place, ""));
        let text = percent_decoded(text).replace("PORT", &port.to_string());
        let answer = match path {
            _ if is_of_others(&to) => answer(403, "", "{\"code\":\"reached\"}"),
            "/to" => answer(307, &format!("Location: {text}\r\n"), ""),
            "/says" => answer(200, "", &format!("{{\"uri\":\"{text}\",\"access_token\":\"t\"}}")),
            "/session" => {
                session(&mut stream, &head, &text);
                return;
            }
            "/503" => answer(503, &format!("Retry-After: {text}\r\n"), ""),
            "/429" => {
                answer(429, &format!("Retry-After: {}\r\n", in_two_seconds()), "{\"error\":\"slow_down\"}")
            }
            _ => answer(403, "", "{}"),
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={text}").as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Opens a session, and says in it where the next one is.
fn session(stream: &mut TcpStream, head: &str, text: &str) {
    let accept = derive_accept_key(header(head, "sec-websocket-key").unwrap_or_default().as_bytes());
    let message = format!("{{\"go\":\"{text}\"}}");
    let mut bytes = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes();
    bytes.extend([0x81, u8::try_from(message.len()).unwrap()]);
    bytes.extend(message.into_bytes());
    let _ = stream.write_all(&bytes);
    // The client takes its leave, and is answered.
    let _ = stream.read(&mut [0; 64]);
    let _ = stream.write_all(&[0x88, 2, 0x03, 0xe8]);
}

fn in_two_seconds() -> String {
    let seconds = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 2;
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
