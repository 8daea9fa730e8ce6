//! A service as others write them, and what stands in front of it: a token endpoint, a step, a WebSocket, each by a world's own rules.
//!
//! In: how a handshake is answered. Out: the service's address. It admits, refuses and closes as it is told; a session without traffic is closed with 1001
//! after a second.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// What nginx ships with.
pub(crate) const NGINX: &str = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const IDLE: Duration = Duration::from_secs(1);

/// A handshake that asks to come in.
pub(crate) struct Asks {
    pub(crate) token: Option<String>,
    /// Whether the token is one that was issued, and lives.
    pub(crate) is_good: bool,
    pub(crate) origin: Option<String>,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) version: String,
    pub(crate) has_upgrade: bool,
    /// Those that are offered.
    pub(crate) subprotocols: Vec<String>,
}

/// How it is answered.
pub(crate) enum Says {
    /// A session.
    In,
    /// Status line's rest, content type, body.
    Http(&'static str, &'static str, &'static str),
    /// 101, and a close frame after so long.
    Close(Duration, u16, &'static str),
    /// 101; a first message has to show a good token, else the session is closed with 4403.
    AsksFirst,
    /// 101, and a session that ends without a close frame after a second.
    Drop,
    /// 101; this is said, and the session stays open.
    Message(&'static str),
    /// 101; this is said, the third message is answered with `ready`, and a client that says nothing for a second is closed with 4009.
    AsksForBeats(&'static str),
}

/// How a stranger behaves.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) answer: fn(&Asks) -> Says,
    /// Whether a token dies with the session that it opened.
    pub(crate) tokens_die: bool,
}

struct Stranger {
    manners: Manners,
    /// Tokens that were issued, and whether they live.
    tokens: Mutex<HashMap<String, bool>>,
}

/// Starts one; answers with its address.
pub(crate) fn stranger(manners: Manners) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = Arc::new(Stranger { manners, tokens: Mutex::default() });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let stranger = Arc::clone(&stranger);
            // A client that is gone in the middle is no matter here.
            std::thread::spawn(move || stranger.serve(stream).is_some());
        }
    });
    address
}

impl Stranger {
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let head = read_head(&mut stream)?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let token = header("authorization").and_then(|text| text.strip_prefix("Bearer ").map(str::to_owned));
        let is_good = token.as_ref().is_some_and(|token| self.is_good(token));
        match head.split(' ').nth(1)? {
            "/token" => {
                let mut tokens = self.tokens.lock().unwrap();
                let token = format!("a-token-of-this-very-stranger-{}", tokens.len());
                tokens.insert(token.clone(), true);
                let body =
                    format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}");
                return answer(&mut stream, "200 OK", "application/json", &body);
            }
            "/negotiate" if is_good => {
                return answer(&mut stream, "200 OK", "application/json", "{\"id\":\"c1\"}");
            }
            "/negotiate" => {
                let body = "{\"error\":\"no_such_key\"}";
                return answer(&mut stream, "401 Unauthorized", "application/json", body);
            }
            _ => {}
        }
        let mut line = head.lines().next()?.split(' ').skip(1);
        let offered = header("sec-websocket-protocol").unwrap_or_default();
        let offered = offered.split(',').map(str::trim).filter(|name| !name.is_empty());
        let asks = Asks {
            token,
            is_good,
            origin: header("origin"),
            host: header("host")?,
            path: line.next()?.to_owned(),
            version: line.next()?.to_owned(),
            has_upgrade: header("upgrade").is_some(),
            subprotocols: offered.map(str::to_owned).collect(),
        };
        let says = (self.manners.answer)(&asks);
        if let Says::Http(status, kind, body) = says {
            return answer(&mut stream, status, kind, body);
        }
        let accept = derive_accept_key(header("sec-websocket-key")?.as_bytes());
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(switch.as_bytes()).ok()?;
        stream.set_read_timeout(Some(IDLE)).ok()?;
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        match says {
            Says::Http(..) | Says::In | Says::AsksForBeats(_) => {}
            Says::Drop => {
                while socket.read().is_ok() {}
                return None;
            }
            Says::Close(after, code, reason) => {
                std::thread::sleep(after);
                return close(&mut socket, code, reason);
            }
            Says::AsksFirst => {
                let shown = socket.read().ok()?.into_text().ok()?;
                let tokens = self.tokens.lock().unwrap();
                let is_good = tokens.iter().any(|(token, lives)| *lives && shown.contains(token.as_str()));
                drop(tokens);
                if !is_good {
                    return close(&mut socket, 4403, "Forbidden");
                }
                socket.send(Message::text("{\"type\":\"connection_ack\"}")).ok()?;
            }
            Says::Message(text) => {
                socket.send(Message::text(text)).ok()?;
            }
        }
        if let Says::AsksForBeats(hello) = says {
            socket.send(Message::text(hello)).ok()?;
            (0..3).try_for_each(|_| socket.read().map(drop)).ok()?;
            socket.send(Message::text("ready")).ok()?;
            while socket.read().is_ok() {}
            return close(&mut socket, 4009, "no heartbeat");
        }
        while socket.read().is_ok() {}
        if self.manners.tokens_die
            && let Some(token) = &asks.token
        {
            self.tokens.lock().unwrap().insert(token.clone(), false);
        }
        close(&mut socket, 1001, "idle")
    }

    fn is_good(&self, token: &str) -> bool {
        self.tokens.lock().unwrap().get(token).copied().unwrap_or(false)
    }
}

/// Reads a request with its body.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(head.to_owned());
        }
    }
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> Option<()> {
    let length = body.len();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let text =
        format!("HTTP/1.1 {status}\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).ok()
}

fn close(socket: &mut WebSocket<TcpStream>, code: u16, reason: &'static str) -> Option<()> {
    socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).ok()?;
    while socket.read().is_ok() {}
    Some(())
}
