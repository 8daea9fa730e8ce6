//! TLS tickets and the secrets of sessions that clients resume stay with them.
//!
//! In: a server that puts a canary in each ticket, and knows what it stands for. Out: neither is in a file, a stream or a log.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::server::ProducesTickets;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::home::Home;
use crate::support::requests::{header, read_head};

/// Makes tickets that say the canary, and remembers what is in them.
#[derive(Debug)]
struct Ticketer {
    canary: String,
    made: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    resumed: Mutex<u32>,
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3_600
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut made = self.made.lock().unwrap();
        let ticket = format!("{} {}", self.canary, made.len()).into_bytes();
        made.insert(ticket.clone(), plain.to_vec());
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.made.lock().unwrap().get(cipher).cloned();
        *self.resumed.lock().unwrap() += u32::from(plain.is_some());
        plain
    }
}

/// Upgrades, and ends the session a little later.
fn answer(stream: TcpStream, config: Arc<rustls::ServerConfig>) {
    let connection = rustls::ServerConnection::new(config).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let Some(head) = read_head(&mut stream) else { return };
    let Some(key) = header(&head, "sec-websocket-key") else { return };
    let accept = derive_accept_key(key.as_bytes());
    let said = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(said.as_bytes()).is_ok() {
        std::thread::sleep(Duration::from_millis(300));
        // 1012, so that the client comes back.
        let _ = stream.write_all(&[0x88, 2, 0x03, 0xf4]).and_then(|()| stream.flush());
        let _ = stream.read(&mut [0; 64]);
    }
}

#[test]
fn nothing_of_a_run_tells_a_ticket() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut home = Home::new();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        home.give("server.pem", &made.cert.pem());
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let builder =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let ticketer = Arc::new(Ticketer {
            canary: home.text("tls-ticket"),
            made: Mutex::default(),
            resumed: Mutex::default(),
        });
        config.ticketer = Arc::<Ticketer>::clone(&ticketer);
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || answer(stream, config));
            }
        });
        let scenario = home.give(
            "tickets.toml",
            &format!(
                "duration = \"2s\"\n[target]\nurl = \"wss://127.0.0.1:{port}/\"\nca_file = \"server.pem\"\n[[groups]]\nname = \"g\"\nclients = 2\ntoken = {{ grant = \"none\" }}\n[groups.connect]\ntls_resumption = \"per-client\"\n[groups.reconnect]\nbackoff = {{ kind = \"constant\", base = \"10ms\" }}\n[groups.session]\nadmission = \"50ms\"\n"
            ),
        );
        let output = home.run(&["run", scenario.to_str().unwrap(), "--out", "run", "--progress", "plain"]);
        assert!(home.out().join("run/report.html").exists(), "{output:?}");
        let summary = std::fs::read_to_string(home.out().join("run/summary.csv")).unwrap();
        assert!(summary.contains("g,tls_resumed,") && *ticketer.resumed.lock().unwrap() > 2, "{summary}");
        home.assert_tight();
        // What a ticket stands for has the secret of its session: any part of it that is no text of TLS's own.
        let made = ticketer.made.lock().unwrap();
        let mut out = [output.stdout, output.stderr].concat();
        for entry in std::fs::read_dir(home.out().join("run")).unwrap() {
            let path = entry.unwrap().path();
            out.extend(if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() });
        }
        let seen: std::collections::HashSet<&[u8]> = out.windows(16).collect();
        let is_random = |part: &[u8]| part.iter().collect::<std::collections::HashSet<_>>().len() > 11;
        let parts = made.values().flat_map(|plain| plain.windows(16)).filter(|part| is_random(part));
        assert!(parts.clone().count() > 16);
        assert_eq!(parts.filter(|part| seen.contains(part)).count(), 0);
    }
}
