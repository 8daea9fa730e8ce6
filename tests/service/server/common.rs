//! What the target's tests share: a server on a free port, a plain HTTP client, a WebSocket client.

use std::future::Future;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use resurge::clock::Clock;
use resurge::scenario::keys::TargetRules;
use resurge::service::counters::TargetCounters;
use resurge::service::server::{COUNTERS_PATH, EVENTS_PATH, Server, ServerSetup, TOKEN_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::support::program::resurge;
use crate::support::served::Served;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Long enough for anything that is to happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

/// Waits until that holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn start(rules: TargetRules) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServerSetup {
        listen,
        rules,
        seed: 11,
        clock: Clock::start(),
        worker_threads: 2,
        control: None,
        control_token: None,
        tls: None,
    })
    .unwrap()
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Sends bytes and reads until the server ends the connection; `None` where it says nothing.
pub(crate) async fn send_raw(addr: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may end the connection before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    parse_reply(&answer)
}

fn parse_reply(answer: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_owned(), body: body.to_owned() })
}

pub(crate) async fn http(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    send_raw(addr, text.as_bytes()).await.expect("an answer")
}

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// Fetches a token for `client`.
pub(crate) async fn fetch(addr: SocketAddr, client: &str) -> String {
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret=s");
    let reply = http(addr, "POST", TOKEN_PATH, &[FORM], &form).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn upgrade_request(addr: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
    for &(name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

pub(crate) async fn upgrade(addr: SocketAddr, request: Request) -> Result<(Socket, Response), WsError> {
    let stream = TcpStream::connect(addr).await.unwrap();
    soon(tokio_tungstenite::client_async(request, stream)).await
}

/// Connects with a token; a refusal's status otherwise.
pub(crate) async fn connect(addr: SocketAddr, token: &str) -> Result<Socket, u16> {
    let bearer = format!("Bearer {token}");
    let request = upgrade_request(addr, EVENTS_PATH, &[("authorization", &bearer)]);
    match upgrade(addr, request).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Reads to the end of the session: the close frame's code and reason, and what else came before.
pub(crate) async fn read_to_close(socket: &mut Socket) -> (Option<(u16, String)>, Vec<Message>) {
    let mut before = Vec::new();
    let mut close = None;
    while let Some(Ok(message)) = soon(socket.next()).await {
        match message {
            Message::Close(frame) => {
                close = frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
            }
            other => before.push(other),
        }
    }
    (close, before)
}

/// The closes of a target: `initiator code abnormal × count`, in order.
pub(crate) fn closes(counters: &TargetCounters) -> Vec<String> {
    let describe = |close: &resurge::service::counters::CloseCount| {
        let abnormal = close.abnormal.map(|how| format!(" {how}")).unwrap_or_default();
        format!("{} {}{abnormal} × {}", close.initiator, close.code, close.count)
    };
    counters.closes.iter().map(describe).collect()
}

/// The counters when nothing is in flight any more.
pub(crate) async fn settled(server: &Server) -> TargetCounters {
    assert!(server.wait_until_quiet(PATIENCE).await, "{:?}", server.counters());
    let counters = server.counters();
    let ended: u64 = counters.closes.iter().map(|close| close.count).sum();
    assert_eq!((counters.sessions_open, counters.upgrades), (0, ended), "{counters:?}");
    counters
}

/// A good client has its token and its session within this time, whatever others do.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// A good client comes, and goes.
pub(crate) async fn serve_one(addr: SocketAddr) {
    let good = async {
        let token = fetch(addr, "good").await;
        let mut socket = connect(addr, &token).await.unwrap();
        socket.close(None).await.unwrap();
        read_to_close(&mut socket).await;
    };
    tokio::time::timeout(PROMPT, good).await.expect("a good client was not served in time");
}

/// One crowd at a time: two large ones are more than this process may hold.
pub(crate) static ONE_CROWD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How many connections a crowd has: `RESURGE_OPEN`, or 1,000.
pub(crate) fn crowd() -> usize {
    let crowd =
        std::env::var("RESURGE_OPEN").map_or(1_000, |text| text.parse().expect("RESURGE_OPEN is a number"));
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit > crowd as u64 + 500, "the limit of descriptors is {limit}");
    crowd
}

/// `resurge serve` in a process of its own, which may open as many descriptors as this one, and is watched.
pub(crate) struct Watched(Served);

impl Watched {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self(Served::start(resurge(), arguments, Stdio::null()))
    }

    /// The same by a command that ends in it, with its messages somewhere.
    pub(crate) fn start_by(command: Command, messages: Stdio) -> Self {
        Self(Served::start(command, &[], messages))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    pub(crate) async fn counter(&self, name: &str) -> u64 {
        http(self.addr(), "GET", COUNTERS_PATH, &[], "").await.json()[name].as_u64().unwrap()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.process.id())).unwrap().count()
    }

    /// The processor time that it has taken, in ticks of 10 ms (proc(5), fields 14 and 15).
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}
