//! Answers, messages and files without an end: what is read of each has a limit, and the client or the program says so.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use resurge::report::RunModel;
use resurge::sample::{Abnormal, CloseKey, Initiator, Outcome};
use resurge::scenario::load;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::in_process::run_file;
use crate::support::output::text;
use crate::support::program::resurge;
use crate::support::requests::{header, read_head};

/// More than any limit and the sockets' buffers together; who reads so much reads for ever.
const ENDLESS: u64 = 64 << 20;

/// Sends without an end to whoever asks; answers with its port, and the most that anybody took.
fn endless() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let most = Arc::<AtomicU64>::default();
    let taken = Arc::clone(&most);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let taken = Arc::clone(&taken);
            std::thread::spawn(move || {
                taken.fetch_max(send(stream), Ordering::Relaxed);
            });
        }
    });
    (port, most)
}

/// Answers a request by its path, until the other side has had enough; answers with how much that was.
fn send(mut stream: TcpStream) -> u64 {
    let Some(head) = read_head(&mut stream) else { return 0 };
    let key = header(&head, "sec-websocket-key").unwrap_or_default();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let json = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let session = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    // A frame of a message that goes on, 4 KiB each.
    let frame = |first: u8| [&[first, 126, 0x10, 0x00], [b'x'; 0x1000].as_slice()].concat();
    let (begin, again) = match path.as_str() {
        _ if head.starts_with("CONNECT ") => (b"HTTP/1.1 200 ".to_vec(), b"x".repeat(0x1000)),
        "/json" => (json.as_bytes().to_vec(), chunk),
        "/length" => {
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(), b"x".repeat(0x1000))
        }
        "/refusal" => (b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), chunk),
        "/header" => (b"HTTP/1.1 101 x\r\nX: ".to_vec(), b"x".repeat(0x1000)),
        "/headers" => (b"HTTP/1.1 101 x\r\n".to_vec(), b"X: y\r\n".repeat(100)),
        "/message" => ([session.as_bytes(), &frame(0x01)].concat(), frame(0x00)),
        // One frame that says it has 2^62 bytes.
        "/frame" => {
            ([session.as_bytes(), &[0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]].concat(), b"x".repeat(0x1000))
        }
        _ => (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(), Vec::new()),
    };
    let mut sent = 0;
    let mut next = begin;
    while !next.is_empty() && sent < ENDLESS && stream.write_all(&next).is_ok() {
        sent += next.len() as u64;
        next.clone_from(&again);
    }
    sent
}

fn run_group(folder: &Path, name: &str, group: &str, port: u16) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    let text = format!(
        "duration = \"1s\"\ndrain = \"3s\"\n[target]\nurl = \"ws://127.0.0.1:PORT/none\"\n[[groups]]\nname = \"g\"\nclients = 2\nreconnect = {{ max_attempts = 1 }}\n{group}\n"
    );
    fs::write(&path, text.replace("PORT", &port.to_string())).unwrap();
    run_file(&path, &[], folder.join(name)).model
}

#[test]
fn answers_without_an_end_are_given_up() {
    let none = "token = { grant = \"none\" }";
    let token = |way: &str| {
        format!(
            "token = {{ client_id = \"c\", client_secret = \"s\", url = \"http://127.0.0.1:PORT{way}\" }}"
        )
    };
    let step = |way: &str| {
        format!(
            "{none}\nprepare = {{ steps = [{{ url = \"http://127.0.0.1:PORT{way}\", save = {{ a = \"/a\" }} }}] }}"
        )
    };
    let upgrade = |way: &str| format!("{none}\nconnect = {{ url = \"ws://127.0.0.1:PORT{way}\" }}");
    let rows = [
        ("token", token("/json"), Outcome::TokenError),
        ("token-length", token("/length"), Outcome::TokenError),
        ("token-headers", token("/headers"), Outcome::TokenError),
        ("step", step("/json"), Outcome::StepError),
        ("step-length", step("/length"), Outcome::StepError),
        ("refusal", upgrade("/refusal"), Outcome::Http403),
        ("header", upgrade("/header"), Outcome::Protocol),
        ("headers", upgrade("/headers"), Outcome::Protocol),
        ("proxy", format!("{none}\nconnect = {{ proxy = \"http://127.0.0.1:PORT\" }}"), Outcome::Protocol),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for (name, group, outcome) in &rows {
            let folder = folder.path();
            scope.spawn(move || {
                let (port, most) = endless();
                let model = run_group(folder, name, group, port);
                assert_eq!(model.all.outcome(*outcome), 2, "{name}: {:?}", model.all.attempts);
                let most = most.load(Ordering::Relaxed);
                assert!(most < ENDLESS, "{name}: {most} bytes were taken");
            });
        }
    });
}

#[test]
fn messages_without_an_end_end_the_session() {
    let folder = tempfile::tempdir().unwrap();
    for way in ["message", "frame"] {
        let (port, most) = endless();
        let group = format!(
            "token = {{ grant = \"none\" }}\nconnect = {{ url = \"ws://127.0.0.1:PORT/{way}\" }}\nsession = {{ max_message_bytes = 65536 }}"
        );
        let model = run_group(folder.path(), way, &group, port);
        let too_large =
            |key: &CloseKey| key.initiator == Initiator::Target && key.abnormal == Some(Abnormal::TooLarge);
        assert!(model.all.closes_where(too_large) >= 2, "{way}: {:?}", model.all.closes);
        assert!(most.load(Ordering::Relaxed) < ENDLESS, "{way}");
    }
}

/// A file that seems to be of `bytes` bytes, and takes no room.
fn hollow(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn files_without_an_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let why = |file: &Path| load(file, &Vec::new(), None, &|_| None).unwrap_err().to_string();
    hollow(&path("large.toml"), 4 * 1024 * 1024 + 1);
    assert!(why(&path("large.toml")).contains("more than 4194304 bytes"), "{}", why(&path("large.toml")));
    assert!(
        why(Path::new("/dev/zero")).contains("more than 4194304 bytes"),
        "a device has no length of its own"
    );
    let scenario = |secret: &str| {
        format!(
            "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ {secret} }}\n"
        )
    };
    hollow(&path("secret"), 64 * 1024 + 1);
    fs::write(path("s.toml"), scenario("client_id = \"a\", client_secret = { file = \"secret\" }")).unwrap();
    assert!(why(&path("s.toml")).contains("more than 65536 bytes"), "{}", why(&path("s.toml")));
    // A device has no length of its own.
    fs::write(path("s.toml"), scenario("client_id = \"a\", client_secret = { file = \"/dev/zero\" }"))
        .unwrap();
    assert!(why(&path("s.toml")).contains("more than 65536 bytes"), "{}", why(&path("s.toml")));
    hollow(&path("huge.baseline"), 64 * 1024 * 1024 + 1);
    let output =
        resurge().arg("compare").args([path("huge.baseline"), path("huge.baseline")]).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(65) && said.contains("more than 67108864 bytes"), "{said}");
}
