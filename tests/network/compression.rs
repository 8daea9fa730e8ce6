//! permessage-deflate, resumed TLS sessions and failing TLS: against the embedded target, and against services that do them wrong.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use resurge::report::RunModel;
use resurge::sample::{Counter, Metric, Outcome};
use resurge::scenario::load;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::in_process::run_file;
use crate::support::program::resurge;
use crate::support::requests::{header, read_head};
use crate::support::served::Served;

const CLIENTS: u64 = 6;

fn run(folder: &Path, name: &str, text: &str) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    run_file(&path, &[], folder.join(name)).model
}

/// A run against the embedded target with these keys, of clients with those.
fn embedded(folder: &Path, name: &str, target: &str, connect: &str) -> RunModel {
    let text = format!(
        "duration = \"2s\"\ndrain = \"3s\"\n[target]\nmessages_every = \"20ms\"\nmessage_padding = 300\n{target}\n[[groups]]\nname = \"g\"\nclients = {CLIENTS}\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\non_reconnect = \"fetch\"\n[groups.connect]\n{connect}\n[groups.session]\nadmission = \"50ms\"\nsend = {{ rate = \"20/s\", text = \"{{}}, and {{}} once more\" }}\n[[groups.disconnects]]\nafter = \"400ms\"\n[groups.reconnect]\nbackoff = {{ kind = \"constant\", base = \"50ms\" }}\n"
    );
    run(folder, name, &text)
}

fn count(model: &RunModel, counter: Counter) -> u64 {
    model.all.counter(counter)
}

#[test]
fn messages_are_compressed_as_both_sides_agree_and_every_one_of_them_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = "{ client_max_window_bits = 9, server_max_window_bits = 9 }";
    let forgetful = "{ client_no_context_takeover = true, server_no_context_takeover = true }";
    // (name, the target's keys, the clients', whether they agree)
    let rows = [
        ("browser", "compression = true".to_owned(), "compression = true".to_owned(), true),
        ("narrow", format!("compression = {narrow}"), format!("compression = {narrow}"), true),
        ("forgetful", "compression = true".to_owned(), format!("compression = {forgetful}"), true),
        ("tls", "tls = true\ncompression = true".to_owned(), "compression = true".to_owned(), true),
        ("declined", String::new(), "compression = true".to_owned(), false),
        ("unasked", "compression = true".to_owned(), String::new(), false),
    ];
    let mut ratios = Vec::new();
    for (name, target, connect, agrees) in rows {
        let model = embedded(folder.path(), name, &target, &connect);
        assert!(model.end.is_some(), "{name}");
        assert_eq!(model.all.outcome(Outcome::Ok), model.all.attempts.values().sum::<u64>(), "{name}");
        let upgrades = count(&model, Counter::Upgrades);
        assert!(upgrades > CLIENTS, "{name}: {upgrades}");
        assert_eq!(count(&model, Counter::CompressedSessions), if agrees { upgrades } else { 0 }, "{name}");
        let (plain, payload) = (count(&model, Counter::PlainBytesIn), count(&model, Counter::PayloadBytesIn));
        assert_eq!(plain > 0, agrees, "{name}");
        let messages = count(&model, Counter::MessagesIn);
        assert!(messages > CLIENTS * 10, "{name}: {messages}");
        if agrees {
            assert!(plain > messages * 300, "{name}: {plain} in {messages}");
            let sent = count(&model, Counter::PlainBytesOut);
            assert_eq!(
                sent,
                count(&model, Counter::MessagesOut) * "{}, and {} once more".len() as u64,
                "{name}"
            );
            ratios.push(plain as f64 / payload as f64);
        }
        let latencies = model.all.histograms.get(&Metric::MessageLatency);
        assert!(latencies.is_some_and(|told| told.count() > 0), "{name}: messages are read as without");
    }
    // Of messages that are like those before, little is sent again, unless nothing is taken over.
    assert!(ratios[0] > 6.0 && ratios[2] < ratios[0] / 1.5, "{ratios:?}");
}

/// Answers every upgrade with these extensions, and says this.
fn wrong(extensions: &'static str, frames: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let frames = frames.clone();
            std::thread::spawn(move || answer(stream, extensions, &frames));
        }
    });
    port
}

fn answer(mut stream: TcpStream, extensions: &str, frames: &[u8]) {
    let Some(head) = read_head(&mut stream) else { return };
    let accept = derive_accept_key(header(&head, "sec-websocket-key").unwrap_or_default().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n"
    );
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(frames));
    while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
}

#[test]
fn wrong_answers_and_wrong_messages_are_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    // A block that repeats one byte 258 times, again and again: 64 KiB of it are 64 MiB.
    let mut bomb = vec![0xc2, 0x7f];
    let zeros = {
        let mut compress = flate2::Compress::new_with_window_bits(flate2::Compression::best(), false, 15);
        let mut out = Vec::with_capacity(1 << 20);
        compress.compress_vec(&vec![0; 32 << 20], &mut out, flate2::FlushCompress::Sync).unwrap();
        out
    };
    bomb.extend((zeros.len() as u64).to_be_bytes());
    bomb.extend(&zeros);
    let hello = vec![0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    // (what is agreed to, what is sent, whether attempts fail, how sessions end)
    let rows: [(&str, Vec<u8>, bool, &str); 7] = [
        ("permessage-deflate", hello.clone(), false, ""),
        ("permessage-deflate; server_max_window_bits=16", hello.clone(), true, ""),
        ("permessage-deflate; client_max_window_bits", hello.clone(), true, ""),
        ("permessage-bzip2", hello, true, ""),
        ("permessage-deflate", bomb, false, "1006 (too_large; client 1009)"),
        ("permessage-deflate", vec![0xc1, 0x02, 0x07, 0xff], false, "1006 (bad_deflate; client 1007)"),
        ("permessage-deflate", vec![0xc9, 0x00], false, "1006 (reserved_bits; client 1002)"),
    ];
    for (number, (extensions, frames, fails, end)) in rows.into_iter().enumerate() {
        let port = wrong(extensions, frames);
        let text = format!(
            "duration = \"1s\"\ndrain = \"300ms\"\n[target]\nurl = \"ws://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 2\ntoken = {{ grant = \"none\" }}\nconnect = {{ compression = true, close_timeout = \"200ms\" }}\nsession = {{ admission = \"0s\", max_message_bytes = 100_000 }}\n[groups.reconnect]\nmax_attempts = 1\n"
        );
        let model = run(folder.path(), &format!("wrong{number}"), &text);
        let failed = model.all.outcome(Outcome::Protocol);
        assert_eq!(failed > 0, fails, "{extensions}");
        let ends: Vec<String> = model.all.closes.keys().map(ToString::to_string).collect();
        assert!(end.is_empty() || ends.iter().any(|told| told.contains(end)), "{extensions}: {ends:?}");
        if number == 0 {
            assert_eq!(
                (count(&model, Counter::PlainBytesIn), count(&model, Counter::PayloadBytesIn)),
                (10, 14)
            );
        }
    }
}

#[test]
fn clients_that_come_back_resume_their_own_tls_sessions_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let resumed = embedded(folder.path(), "resumed", "tls = true", "tls_resumption = \"per-client\"");
    let handshakes =
        |model: &RunModel, metric| model.all.histograms.get(&metric).map_or(0, |told| told.count());
    let reconnects = count(&resumed, Counter::Upgrades) - CLIENTS;
    assert!(reconnects > 0);
    assert_eq!(handshakes(&resumed, Metric::TlsFull), CLIENTS, "the first of each");
    assert_eq!(handshakes(&resumed, Metric::TlsResumed), reconnects);
    let never = embedded(folder.path(), "never", "tls = true", "");
    assert!(count(&never, Counter::Upgrades) > CLIENTS);
    assert_eq!(handshakes(&never, Metric::TlsFull) + handshakes(&never, Metric::TlsResumed), 0);
}

#[test]
fn a_tls_handshake_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let make = |name: &str, until: i32| {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(path(&format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    make("expired", 2021);
    make("good", 2090);
    // (the certificate, the authorities, the host, what is said)
    let rows = [
        ("expired", "expired", "localhost", "certificate expired"),
        ("good", "expired", "localhost", "certificate unknown_issuer"),
        ("good", "good", "127.0.0.1", "certificate not_valid_for_name"),
    ];
    for (certificate, authorities, host, expected) in rows {
        let (pem, key) = (path(&format!("{certificate}.pem")), path(&format!("{certificate}.key")));
        let serving = Served::start(resurge(), &["--tls-cert", &pem, "--tls-key", &key], Stdio::null());
        let port = serving.addr.port();
        let text = format!(
            "duration = \"5s\"\n[target]\nurl = \"wss://{host}:{port}/api/v2/analytics/events\"\nca_file = \"{}\"\n[[groups]]\nname = \"g\"\nclients = 2\ntoken = {{ grant = \"none\" }}\n[groups.reconnect]\nmax_attempts = 1\n",
            path(&format!("{authorities}.pem"))
        );
        let model = run(folder.path(), &expected.replace(' ', "-"), &text);
        let said: Vec<(Outcome, String)> = model
            .all
            .attempts
            .keys()
            .map(|key| (key.outcome, key.answer.as_ref().map(|answer| answer.said()).unwrap_or_default()))
            .collect();
        assert_eq!(said, [(Outcome::Tls, expected.to_owned())]);
        assert_eq!(count(&model, Counter::CertificatesNotTrusted), 2);
    }
}

#[test]
fn windows_that_cannot_be_are_told_before_the_run() {
    let folder = TempDir::new().unwrap();
    for bits in [7, 16] {
        for key in ["client_max_window_bits", "server_max_window_bits"] {
            let of = |target: &str, group: &str| {
                format!(
                    "duration = \"1s\"\n[target]\n{target}\n[[groups]]\nname = \"g\"\ntoken = {{ grant = \"none\" }}\n{group}\n"
                )
            };
            let keys = format!("compression = {{ {key} = {bits} }}");
            for text in [of(&keys, ""), of("", &format!("connect = {{ {keys} }}"))] {
                let path = folder.path().join("windows.toml");
                std::fs::write(&path, &text).unwrap();
                let told = load(&path, &Vec::new(), None, &|_| None).map(|_| ()).unwrap_err().to_string();
                assert!(
                    told.contains(&format!("{key}` is {bits}")) && told.contains("8 to 15"),
                    "{text}\n{told}"
                );
            }
        }
    }
}
