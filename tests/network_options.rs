//! Ways to the target: source addresses, a proxy, a certificate of the client's own.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use resurge::report::RunModel;
use resurge::run::{RunRequest, run};
use resurge::sample::Outcome;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;

fn run_text(folder: &Path, name: &str, text: &str) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    let request = RunRequest {
        scenario: path,
        overrides: Vec::new(),
        seed: None,
        out: Some(folder.join(name)),
        authorised: Vec::new(),
        on_progress: None,
    };
    let done = run(request);
    assert!(done.is_ok(), "{name}: {:?}", done.err());
    done.unwrap().model
}

/// Reads an HTTP header.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn clients_connect_from_the_addresses_that_they_are_given_by_turns() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peers = Arc::new(Mutex::new(Vec::<IpAddr>::new()));
    let seen = Arc::clone(&peers);
    std::thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            seen.lock().unwrap().push(peer.ip());
            read_head(&mut stream);
            let _ =
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let folder = TempDir::new().unwrap();
    let text = format!(
        "duration = \"500ms\"\n[target]\nurl = \"ws://127.0.0.1:{port}/\"\n[[groups]]\nname = \"g\"\nclients = 9\ntoken = {{ grant = \"none\" }}\n[groups.connect]\nsource_addresses = [\"127.0.0.2\", \"127.0.0.3\", \"127.0.0.4\"]\n[groups.reconnect]\nmax_attempts = 1\n"
    );
    let model = run_text(folder.path(), "sources", &text);
    assert_eq!(model.all.outcome(Outcome::Http403), 9);
    let peers = peers.lock().unwrap();
    let distinct: BTreeSet<String> = peers.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let each = |end: u8| peers.iter().filter(|peer| **peer == IpAddr::from([127, 0, 0, end])).count();
    assert_eq!([2, 3, 4].map(each), [3, 3, 3]);
}

/// Copies what comes from one side to the other until it ends.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// An HTTP proxy that wants credentials; counts tunnels and forwarded requests.
fn proxy(tunnels: Arc<AtomicUsize>, forwarded: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let (tunnels, forwarded) = (Arc::clone(&tunnels), Arc::clone(&forwarded));
            std::thread::spawn(move || {
                let head = read_head(&mut client);
                let first = head.lines().next().unwrap_or_default().to_owned();
                // me:p@ss
                if !head.to_ascii_lowercase().contains("proxy-authorization: basic bwu6cebzcw==") {
                    let _ = client.write_all(
                        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                    );
                    return;
                }
                let place = first.split(' ').nth(1).unwrap().trim_start_matches("http://").to_owned();
                let mut server = TcpStream::connect(place.split('/').next().unwrap()).unwrap();
                if first.starts_with("CONNECT ") {
                    tunnels.fetch_add(1, Ordering::Relaxed);
                    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                } else {
                    forwarded.fetch_add(1, Ordering::Relaxed);
                    server.write_all(head.as_bytes()).unwrap();
                }
                let (to_client, from_client) = (client.try_clone().unwrap(), client);
                let from_server = server.try_clone().unwrap();
                let back = std::thread::spawn(move || pump(from_server, to_client));
                pump(from_client, server);
                back.join().unwrap();
            });
        }
    });
    port
}

#[test]
fn a_proxy_is_gone_through_for_sessions_and_for_tokens() {
    let (tunnels, forwarded) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let port = proxy(Arc::clone(&tunnels), Arc::clone(&forwarded));
    let folder = TempDir::new().unwrap();
    let text = |password: &str| {
        format!(
            "duration = \"1s\"\n[target]\nprofile = \"bearer\"\n[[groups]]\nname = \"g\"\nclients = 5\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\nconnection = \"fresh\"\n[groups.connect]\nproxy = \"http://me:{password}@127.0.0.1:{port}\"\n[groups.reconnect]\nmax_attempts = 1\n"
        )
    };
    let model = run_text(folder.path(), "proxied", &text("p%40ss"));
    assert_eq!(model.all.outcome(Outcome::Ok), 5);
    assert_eq!((tunnels.load(Ordering::Relaxed), forwarded.load(Ordering::Relaxed)), (5, 5));
    assert!(model.reconciliation.as_ref().unwrap().holds());
    let copy = std::fs::read_to_string(folder.path().join("proxied/scenario.toml")).unwrap();
    assert!(!copy.contains("p%40ss"), "the copy of the scenario holds the proxy's password:\n{copy}");
    // A proxy that refuses is no token and no session.
    let model = run_text(folder.path(), "refused", &text("wrong"));
    assert_eq!(model.all.outcome(Outcome::TokenError), 5);
}

#[test]
fn clients_show_a_certificate_where_they_have_one() {
    let folder = TempDir::new().unwrap();
    let home = folder.path();
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(home.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(home.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        let chain = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        (chain, key)
    };
    let ((server, server_key), (client, _)) = (certificate("server"), certificate("client"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server], server_key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&shown);
    std::thread::spawn(move || {
        let config = Arc::new(config);
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            if read_head(&mut tls).contains("Upgrade") {
                seen.fetch_add(tls.conn.peer_certificates().map_or(0, <[_]>::len), Ordering::Relaxed);
                let _ = tls
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = tls.flush();
            }
        }
    });
    let text = |identity: &str| {
        format!(
            "duration = \"500ms\"\n[target]\nurl = \"wss://127.0.0.1:{port}/\"\nca_file = \"server.pem\"\n{identity}\n[[groups]]\nname = \"g\"\nclients = 3\ntoken = {{ grant = \"none\" }}\n[groups.reconnect]\nmax_attempts = 1\n"
        )
    };
    let model = run_text(home, "shown", &text("client_cert = \"client.pem\"\nclient_key = \"client.key\""));
    assert_eq!((model.all.outcome(Outcome::Http403), shown.load(Ordering::Relaxed)), (3, 3));
    let model = run_text(home, "not-shown", &text(""));
    assert_eq!(model.all.outcome(Outcome::Http403), 0, "without one it is turned away");
    assert_eq!(shown.load(Ordering::Relaxed), 3);
}

#[test]
fn a_source_address_that_this_machine_does_not_have_is_told_before_the_run() {
    let home = tempfile::tempdir().unwrap();
    // TEST-NET-1 (RFC 5737): nobody's.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_resurge"))
        .args(["run", "scenarios/smoke.toml", "--set", "groups.0.connect.source_addresses=[\"192.0.2.7\"]"])
        .arg("--out")
        .arg(home.path().join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(110), "{said}");
    assert!(
        said.contains("cannot connect from 192.0.2.7") && said.contains("connect.source_addresses"),
        "{said}"
    );
    assert!(!home.path().join("run").exists(), "no run, no folder");
}
