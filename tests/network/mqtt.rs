//! Clients that speak MQTT, against a broker that does what brokers should not: packets in pieces, silence, refusals of all kinds, what is no packet.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::in_process::run_file;
use crate::support::requests::{header, read_head};
use crate::support::tables::rows;

/// What a broker answers to CONNECT, frame by frame, each with its opcode; what to a PUBLISH; whether to PINGREQ.
#[derive(Debug, Clone, Copy)]
struct Manner {
    frames: &'static [(u8, &'static [u8])],
    published: &'static [u8],
    answers_pings: bool,
}

const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;
/// CONNACK that accepts, of 3.1.1.
const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];
const GOOD: Manner = Manner { frames: &[(BINARY, ACCEPTED)], published: &[], answers_pings: true };

/// The packets that a broker was sent.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

fn broker(manner: Manner) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Heard::default());
    let told = Arc::clone(&heard);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let told = Arc::clone(&told);
            std::thread::spawn(move || serve(stream, manner, &told));
        }
    });
    (port, heard)
}

/// A frame of a client's: its opcode and its payload. It has less than 64 KiB.
fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let (mut mask, mut payload) = ([0; 4], vec![0; length]);
    stream.read_exact(&mut mask).ok()?;
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((head[0], payload))
}

fn serve(mut stream: TcpStream, manner: Manner, heard: &Heard) {
    let Some(head) = read_head(&mut stream) else { return };
    let accept = derive_accept_key(header(&head, "sec-websocket-key").unwrap_or_default().as_bytes());
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("mqtt"));
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(answer.as_bytes()).is_err() {
        return;
    }
    while let Some((opcode, packet)) = read_frame(&mut stream) {
        let answers: Vec<(u8, Vec<u8>)> = match (opcode, packet.first()) {
            (0x88, _) => vec![(0x88, packet.clone())],
            (_, Some(0x10)) => {
                manner.frames.iter().map(|(opcode, frame)| (*opcode, frame.to_vec())).collect()
            }
            // The identifier stands behind the topic `t`.
            (_, Some(0x32)) if !manner.published.is_empty() => {
                vec![(
                    BINARY,
                    [&[0x40, manner.published.len() as u8 + 2], &packet[5..7], manner.published].concat(),
                )]
            }
            (_, Some(0xc0)) if manner.answers_pings => vec![(BINARY, vec![0xd0, 0])],
            _ => Vec::new(),
        };
        heard.lock().unwrap().push(packet);
        for (opcode, payload) in answers {
            // A client that has gone is told nothing.
            let _ = stream.write_all(&[&[opcode, payload.len() as u8], &payload[..]].concat());
        }
    }
}

/// What a run told of a client that met a broker of that manner.
struct Told {
    /// (outcome, cause, words) × how often.
    attempts: BTreeMap<[String; 3], u64>,
    /// How sessions ended: initiator, code, how.
    ends: Vec<[String; 3]>,
    /// What each side said, end by end.
    said: Vec<String>,
    exchange: BTreeMap<String, String>,
    heard: Vec<Vec<u8>>,
}

fn run_against(folder: &Path, manner: Manner, mqtt: &str, duration: &str) -> Told {
    let (port, heard) = broker(manner);
    let out = tempfile::tempdir_in(folder).unwrap().keep();
    let file = out.join("mqtt.toml");
    let scenario = format!(
        "duration = \"{duration}\"\n[target]\nkind = \"remote\"\nurl = \"ws://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = {{ grant = \"none\" }}\nreconnect = {{ max_attempts = 1, backoff = {{ kind = \"constant\", base = \"10s\" }} }}\n[groups.session]\nmax_message_bytes = 125\nready_timeout = \"400ms\"\n[groups.session.mqtt]\n{mqtt}"
    );
    std::fs::write(&file, scenario).unwrap();
    let run = out.join("run");
    let model = run_file(&file, &[], run.clone()).model;
    assert!(model.account_faults.is_empty(), "{:?}", model.account_faults);
    let three = |row: &BTreeMap<String, String>, keys: [&str; 3]| keys.map(|key| row[key].clone());
    let of_group = |file| rows(&run, file).into_iter().filter(|row| row["group"] == "g");
    let mut attempts = BTreeMap::new();
    for row in of_group("outcomes.csv") {
        *attempts.entry(three(&row, ["outcome", "cause", "said"])).or_default() +=
            row["count"].parse::<u64>().unwrap();
    }
    let ends = of_group("closes.csv").map(|row| three(&row, ["initiator", "code", "how"])).collect();
    let said = of_group("closes.csv").map(|row| row["said"].clone()).collect();
    let has_exchanges = run.join("exchanges.csv").exists();
    let exchange = has_exchanges.then(|| of_group("exchanges.csv").next()).flatten().unwrap_or_default();
    let heard = heard.lock().unwrap().clone();
    Told { attempts, ends, said, exchange, heard }
}

const PUBLISH: &str = "[[groups.session.mqtt.publish]]\nname = \"p\"\ntopic = \"t\"\npayload = \"x\"\nqos = 1\ntimeout = \"200ms\"\n";

#[test]
fn packets_in_pieces_are_packets_and_what_is_published_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = Manner {
        frames: &[
            (BINARY, b"\x20"),
            (BINARY, b"\x02\0"),
            (BINARY, b"\0\x32\x09\0\x03a/b\0\x0a{"),
            (BINARY, b"}"),
        ],
        published: &[],
        ..GOOD
    };
    let mqtt = "username = \"u\"\npassword = \"pw\"\nclient_id = \"c{client}\"\n";
    let told = run_against(folder.path(), pieces, mqtt, "600ms");
    assert_eq!(told.attempts.keys().map(|key| key[0].as_str()).collect::<Vec<_>>(), ["ok"]);
    assert_eq!(
        told.heard[..3],
        [
            b"\x10\x15\0\x04MQTT\x04\xc2\0\x3c\0\x02c0\0\x01u\0\x02pw".to_vec(),
            vec![0x40, 2, 0, 10],
            vec![0xe0, 0]
        ],
        "CONNECT, PUBACK, DISCONNECT, before the close frame"
    );
    // PUBACK of 3.1.1; of 5, one that says no, one that does; none.
    let v5 = Manner { frames: &[(BINARY, &[0x20, 3, 0, 0, 0])], ..GOOD };
    for (manner, version, ended) in [
        (Manner { published: &[0x87], ..v5 }, "version = \"5\"\n", "failed_checks"),
        (Manner { published: &[0x10], ..v5 }, "version = \"5\"\n", "ok"),
        (GOOD, "", "timeouts"),
    ] {
        let told = run_against(folder.path(), manner, &format!("{version}{PUBLISH}"), "700ms");
        assert_eq!(
            (told.exchange["sent"].as_str(), told.exchange[ended].as_str()),
            ("1", "1"),
            "{manner:?}: {:?}",
            told.exchange
        );
    }
}

/// A name, what the broker sends, what is told of it.
type Refusal = (&'static str, &'static [(u8, &'static [u8])], [&'static str; 3]);

#[test]
fn a_broker_that_refuses_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let v5 = "version = \"5\"\nusername = \"u\"\n";
    let v311 = "username = \"u\"\n";
    let rows: [Refusal; 8] = [
        (v311, &[(BINARY, &[0x20, 2, 0, 4])], ["refused_message", "unknown", "bad_user_name_or_password"]),
        (v311, &[(BINARY, &[0x20, 2, 0, 5])], ["refused_message", "unknown", "not_authorized"]),
        (v311, &[(BINARY, &[0x20, 2, 0, 3])], ["refused_message", "overloaded", "server_unavailable"]),
        ("", &[(BINARY, &[0x20, 2, 0, 5])], ["refused_message", "no_token", "not_authorized"]),
        (v5, &[(BINARY, &[0x20, 3, 0, 0x89, 0])], ["refused_message", "overloaded", "server_busy"]),
        (
            v5,
            &[(BINARY, &[0x20, 3, 0, 0x9f, 0])],
            ["refused_message", "rate_limited", "connection_rate_exceeded"],
        ),
        (v5, &[(BINARY, &[0xe0, 1, 0x8b])], ["refused_message", "unknown", "server_shutting_down"]),
        (v5, &[], ["not_ready", "", ""]),
    ];
    for (mqtt, frames, wanted) in rows {
        let told = run_against(folder.path(), Manner { frames, ..GOOD }, mqtt, "800ms");
        let attempts: Vec<_> = told.attempts.keys().collect();
        assert_eq!(attempts, [&wanted.map(str::to_owned)], "{frames:?}");
    }
}

#[test]
fn a_broker_that_ends_a_session_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let accepted: &[u8] = &[0x20, 3, 0, 0, 0];
    let rows: [(Manner, [&str; 4]); 3] = [
        (
            Manner {
                frames: &[(BINARY, &[0x20, 3, 0, 0, 0]), (BINARY, &[0xe0, 1, 0x8e]), (0x88, &[3, 0xe8])],
                ..GOOD
            },
            ["target", "1000", "", "target session_taken_over"],
        ),
        (
            Manner {
                frames: &[(BINARY, &[0x20, 3, 0, 0, 0]), (BINARY, &[0xe0, 1, 0x8b]), (0x88, &[])],
                ..GOOD
            },
            ["target", "1005", "", "target server_shutting_down"],
        ),
        (
            Manner { frames: &[(BINARY, &[0x20, 3, 0, 0, 0]), (0x88, &[3, 0xe8])], ..GOOD },
            ["target", "1000", "", "target 1000"],
        ),
    ];
    for (manner, wanted) in rows {
        assert_eq!(manner.frames[0].1, accepted);
        let told = run_against(folder.path(), manner, "version = \"5\"\n", "900ms");
        let [by, code, how, said] = wanted.map(str::to_owned);
        assert_eq!((&told.ends, &told.said), (&vec![[by, code, how]], &vec![said]), "{manner:?}");
    }
}

#[test]
fn who_breaks_the_protocol_or_falls_silent_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(Manner, &str, &str); 4] = [
        (Manner { frames: &[(BINARY, ACCEPTED), (TEXT, b"{}")], ..GOOD }, "network", "protocol"),
        (Manner { frames: &[(BINARY, ACCEPTED), (BINARY, &[0xc0, 0])], ..GOOD }, "network", "protocol"),
        (Manner { frames: &[(BINARY, ACCEPTED), (BINARY, &[0x30, 0x7f])], ..GOOD }, "target", "too_large"),
        (Manner { answers_pings: false, ..GOOD }, "network", "timeout"),
    ];
    for (manner, by, how) in rows {
        let told =
            run_against(folder.path(), manner, "keep_alive = \"1s\"\nping_timeout = \"300ms\"\n", "1800ms");
        assert_eq!(told.ends, [[by, "1006", how].map(str::to_owned)], "{manner:?}");
    }
    let pings = |manner| {
        let told =
            run_against(folder.path(), manner, "keep_alive = \"1s\"\nping_timeout = \"300ms\"\n", "2500ms");
        told.heard.iter().filter(|packet| packet[..] == [0xc0, 0]).count()
    };
    assert_eq!(pings(GOOD), 2);
    // A server's own keep-alive (MQTT 5 §3.2.2.3.14) is not known to 3.1.1.
    assert_eq!(pings(Manner { answers_pings: false, ..GOOD }), 1);
}
