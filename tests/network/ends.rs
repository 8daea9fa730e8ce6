//! Ends of sessions, and where clients go: what a run and a simulation tell of the same, and of services that others wrote.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use resurge::record::Agreement;
use resurge::report::RunModel;
use resurge::run::{InMemory, simulation_of};
use resurge::sample::{Counter, Metric, Outcome};
use resurge::scenario::load;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::in_process::run_file;
use crate::support::requests::{header, read_head};

/// What a service does with its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    /// Reads, and never answers.
    Mute,
    /// Ends TCP in place of an answer to the close frame.
    Curt,
    /// Answers the close frame with one without a code.
    Wordless,
    /// Sends two streams with a numbering each.
    TwoStreams,
}

/// A service of that temper; answers with its port.
fn service(temper: Temper) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream, temper));
        }
    });
    port
}

fn serve(mut stream: TcpStream, temper: Temper) {
    let Some(head) = read_head(&mut stream) else { return };
    let key = header(&head, "sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(answer.as_bytes()).is_err() {
        return;
    }
    let text = |text: &str| [&[0x81, text.len() as u8], text.as_bytes()].concat();
    if temper == Temper::TwoStreams {
        for message in 0..20_u64 {
            let streams = [(1, "a"), (7_000_000, "b")].map(|(from, topic)| {
                text(&format!("{{\"topic\":\"{topic}\",\"seq\":{},\"due_us\":1}}", from + message))
            });
            if stream.write_all(&streams.concat()).is_err() {
                return;
            }
        }
    }
    // The client says nothing but goodbye.
    let mut goodbye = [0; 8];
    if stream.read_exact(&mut goodbye).is_err() {
        return;
    }
    match temper {
        Temper::Mute => {}
        Temper::Curt => drop(stream.shutdown(Shutdown::Both)),
        Temper::Wordless | Temper::TwoStreams => {
            drop(stream.write_all(&[0x88, 0x00]));
            drop(stream.shutdown(Shutdown::Write));
        }
    }
    while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
}

/// A run of ten clients against a service of that temper, which is drained and closes in so much time.
fn run_against(folder: &Path, temper: Temper, drain: &str, close_timeout: &str) -> RunModel {
    let port = service(temper);
    let file = folder.join("ends.toml");
    let scenario = format!(
        "duration = \"1s\"\ndrain = \"{drain}\"\n[target]\nkind = \"remote\"\nurl = \"ws://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 10\ntoken = {{ grant = \"none\" }}\nconnect = {{ close_timeout = \"{close_timeout}\" }}\n"
    );
    std::fs::write(&file, scenario).unwrap();
    run_file(&file, &[], tempfile::tempdir_in(folder).unwrap().path().join("run")).model
}

fn ends(model: &RunModel) -> Vec<String> {
    model.all.closes.iter().map(|(key, count)| format!("{key} × {count}; {}", key.said)).collect()
}

#[test]
fn at_a_runs_end_like_clients_get_like_ends() {
    let folder = tempfile::tempdir().unwrap();
    let unanswered = "client 1000 (timeout) × 10; client 1000";
    // (the service, how long the run drains, how long an answer is waited for, how all sessions end)
    let rows = [
        (Temper::Mute, "5s", "200ms", unanswered),
        (Temper::Mute, "300ms", "9s", unanswered),
        (Temper::Mute, "400ms", "400ms", unanswered),
        (Temper::Curt, "5s", "2s", "client 1000 (fin) × 10; client 1000"),
        (
            Temper::Wordless,
            "5s",
            "2s",
            "client 1000 (target no code; client 1000) × 10; target no code; client 1000",
        ),
    ];
    for (temper, drain, close_timeout, expected) in rows {
        let model = run_against(folder.path(), temper, drain, close_timeout);
        assert_eq!(ends(&model), [expected], "{temper:?} {drain} {close_timeout}");
        assert!(model.account_faults.is_empty(), "{temper:?}: {:?}", model.account_faults);
    }
}

#[test]
fn a_strangers_numbers_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = run_against(folder.path(), Temper::TwoStreams, "5s", "2s");
    let all = &model.all;
    assert_eq!((all.counter(Counter::MessagesIn), all.counter(Counter::MessagesMissed)), (400, 0));
    assert!(!all.histograms.contains_key(&Metric::MessageLatency), "no due time is guessed");
}

/// The same scenario, run and simulated.
fn both(folder: &Path, scenario: &str) -> [(&'static str, RunModel); 2] {
    let file = folder.join("both.toml");
    std::fs::write(&file, scenario).unwrap();
    let run = run_file(&file, &[], tempfile::tempdir_in(folder).unwrap().path().join("run")).model;
    let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap();
    let simulated = simulation_of(loaded, None).unwrap().run_in_memory(InMemory::Seconds);
    [("run", run), ("simulate", RunModel::new(simulated))]
}

const EMBEDDED: &str = r#"
duration = "1500ms"
drain = "2s"
[target]
kind = "embedded"
idle_timeout = "never"
messages_every = "50ms"
path = "/socket/websocket"
FAULTS
[[groups]]
name = "g"
clients = 5
[groups.token]
client_id = "a"
client_secret = "b"
[groups.connect]
close_timeout = "300ms"
CONNECT
[groups.reconnect]
backoff = { kind = "constant", base = "20s" }
"#;

#[test]
fn clients_go_where_their_target_is_and_a_404_is_counted_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let there = EMBEDDED.replace("FAULTS", "").replace("CONNECT", "");
    for (way, model) in both(folder.path(), &there) {
        let all = &model.all;
        assert_eq!((all.outcome(Outcome::Ok), all.attempts_total()), (5, 5), "{way}: {:?}", all.attempts);
        let reconciliation = model.reconciliation.as_ref().unwrap();
        assert!(reconciliation.is_exact(), "{way}: {reconciliation:?}");
        assert_eq!(ends(&model), ["client 1000 × 5; client 1000"], "{way}");
        let measured = all.histograms[&Metric::MessageLatency].count();
        let received = all.counter(Counter::MessagesIn);
        // What comes while clients leave is counted, and not measured: one each at most, so shortly before.
        assert!(
            measured > 0 && (measured..=measured + 5).contains(&received),
            "{way}: {measured} of {received}"
        );
    }
    let elsewhere = EMBEDDED.replace("FAULTS", "").replace("CONNECT", "path = \"/elsewhere\"");
    for (way, model) in both(folder.path(), &elsewhere) {
        assert_eq!(model.all.outcome(Outcome::Http4xx), 5, "{way}: {:?}", model.all.attempts);
        let counters = model.end.as_ref().unwrap().target_counters.as_ref().unwrap();
        let refused: Vec<_> =
            counters.refused.iter().map(|refused| (refused.status, refused.count)).collect();
        assert_eq!((refused, counters.bad_requests), (vec![(404, 5)], 0), "{way}");
        let rows = &model.reconciliation.as_ref().unwrap().rows;
        let row = rows.iter().find(|row| row.what == "refused (other 4xx)").unwrap();
        assert_eq!((row.clients, row.target, row.agreement), (5, 5, Agreement::Exact), "{way}");
    }
}

#[test]
fn violations_and_unanswered_goodbyes_are_the_same_in_virtual_time() {
    let folder = tempfile::tempdir().unwrap();
    // (the fault, how all sessions end)
    let rows = [
        ("kind = \"masked_frame\"", "target 1006 (masked_frame; client 1002) × 5; client 1002"),
        ("kind = \"malformed_frame\"", "target 1006 (reserved_bits; client 1002) × 5; client 1002"),
        (
            "kind = \"malformed_frame\"\nflaw = \"opcode\"",
            "target 1006 (bad_opcode; client 1002) × 5; client 1002",
        ),
        ("kind = \"invalid_utf8\"", "target 1006 (bad_utf8; client 1007) × 5; client 1007"),
        ("kind = \"half_open\"", "client 1000 (timeout) × 5; client 1000"),
    ];
    for (fault, expected) in rows {
        let scenario =
            EMBEDDED.replace("FAULTS", &format!("[[target.faults]]\n{fault}")).replace("CONNECT", "");
        for (way, model) in both(folder.path(), &scenario) {
            assert_eq!(ends(&model), [expected], "{way}: {fault}");
            let reconciliation = model.reconciliation.as_ref().unwrap();
            assert!(reconciliation.holds(), "{way}: {fault}: {reconciliation:?}");
            assert!(model.account_faults.is_empty(), "{way}: {:?}", model.account_faults);
        }
    }
}

#[test]
fn the_generators_lag_is_known_in_each_second() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = EMBEDDED.replace("1500ms", "4s").replace("FAULTS", "").replace("CONNECT", "");
    let file = folder.path().join("lag.toml");
    // Clients that have nothing to do after their start.
    std::fs::write(&file, scenario.replace("messages_every = \"50ms\"\n", "")).unwrap();
    let model = run_file(&file, &[], folder.path().join("run")).model;
    let known =
        |tally: &resurge::record::Tally| tally.histograms.get(&Metric::Lag).map_or(0, |lag| lag.count());
    let seconds: Vec<u64> =
        model.unpacked_seconds().take(4).map(|(_, groups)| groups.iter().map(known).sum()).collect();
    assert!(seconds.len() == 4 && seconds[1..].iter().all(|count| *count > 0), "{seconds:?}");
    let sampled = Duration::from_secs(4).as_millis() as u64 / 100;
    assert!(known(&model.all) >= sampled / 2, "{} samples", known(&model.all));
}
