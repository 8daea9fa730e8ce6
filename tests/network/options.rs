//! Ways to the target: source addresses, a proxy, a certificate of the client's own.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use resurge::report::RunModel;
use resurge::sample::{Counter, Outcome};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;

use crate::support::in_process::run_file;
use crate::support::output::text;
use crate::support::program::resurge;
use crate::support::requests::{header, read_head};

fn run_text(folder: &Path, name: &str, text: &str) -> RunModel {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    run_file(&path, &[], folder.join(name)).model
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
                let head = read_head(&mut client).unwrap_or_default();
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

/// A connection that a service had: from where, and the heads of its requests.
type Had = (IpAddr, Vec<String>);

/// A service that grants tokens and answers steps, over connections that go on, and refuses sessions.
struct Service {
    port: u16,
    had: Arc<Mutex<Vec<Had>>>,
}

impl Service {
    /// Over TLS where there is a configuration of it.
    fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let had = Arc::<Mutex<Vec<Had>>>::default();
        let all = Arc::clone(&had);
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                let (all, tls) = (Arc::clone(&all), tls.clone());
                std::thread::spawn(move || {
                    let heads = match tls {
                        None => answer_all(stream),
                        Some(config) => {
                            let connection = rustls::ServerConnection::new(config).unwrap();
                            answer_all(rustls::StreamOwned::new(connection, stream))
                        }
                    };
                    all.lock().unwrap().push((peer.ip(), heads));
                });
            }
        });
        Self { port, had }
    }

    /// The connections that have ended, once all that were made for `requests` requests have.
    fn had(&self, requests: usize) -> Vec<Had> {
        for _ in 0..1_000 {
            let had = self.had.lock().unwrap().clone();
            if had.iter().map(|(_, heads)| heads.len()).sum::<usize>() >= requests {
                return had;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{requests} requests did not come: {:?}", self.had.lock().unwrap());
    }
}

/// Answers each request of a connection; answers with their heads.
fn answer_all(mut stream: impl Read + Write) -> Vec<String> {
    let mut heads = Vec::new();
    while let Some(head) = read_head(&mut stream) {
        let head = head.to_ascii_lowercase();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        let is_upgrade = head.contains("upgrade: websocket");
        heads.push(head);
        let answer: &[u8] = if is_upgrade {
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"t\"}"
        };
        let told = stream.read_exact(&mut body).and_then(|()| stream.write_all(answer));
        if told.and_then(|()| stream.flush()).is_err() {
            break;
        }
    }
    heads
}

/// A server's side of TLS for 127.0.0.1; its certificate is in the folder, as `server.pem`.
fn server_tls(folder: &Path) -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("server.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap())
}

/// Clients that get a token and make a step, and then are refused.
fn stepping(service: &Service, scheme: &str, target: &str, connect: &str) -> String {
    let base = format!("127.0.0.1:{}", service.port);
    let websocket = if scheme == "https" { "wss" } else { "ws" };
    format!(
        "duration = \"1s\"\n[target]\nurl = \"{websocket}://{base}/session\"\ntoken_url = \"{scheme}://{base}/token\"\n{target}\n[[groups]]\nname = \"g\"\nclients = 6\n[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n[groups.connect]\n{connect}\n[groups.reconnect]\nmax_attempts = 1\n[[groups.prepare.steps]]\nmethod = \"POST\"\nurl = \"{scheme}://{base}/step\"\nbody = \"{{token}}\"\n"
    )
}

#[test]
fn tokens_and_steps_share_their_connections_and_come_from_the_addresses_that_are_given() {
    let folder = TempDir::new().unwrap();
    for scheme in ["http", "https"] {
        let tls = (scheme == "https").then(|| server_tls(folder.path()));
        let target = if tls.is_some() { "ca_file = \"server.pem\"" } else { "" };
        let service = Service::start(tls);
        let sources = "source_addresses = [\"127.0.0.2\", \"127.0.0.3\"]";
        let model = run_text(folder.path(), scheme, &stepping(&service, scheme, target, sources));
        assert_eq!(model.all.outcome(Outcome::Http403), 6);
        let had = service.had(18);
        let of = |heads: &[String], path: &str| {
            heads.iter().filter(|head| head.split(' ').nth(1) == Some(path)).count()
        };
        let all = |path: &str| had.iter().map(|(_, heads)| of(heads, path)).sum::<usize>();
        assert_eq!([all("/token"), all("/step"), all("/session")], [6, 6, 6], "{had:?}");
        let sources: BTreeSet<String> = had.iter().map(|(peer, _)| peer.to_string()).collect();
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["127.0.0.2", "127.0.0.3"]);
        let both = had.iter().filter(|(_, heads)| of(heads, "/token") > 0 && of(heads, "/step") > 0);
        assert!(both.count() > 0, "one pool for both: {had:?}");
        let connections = had.iter().filter(|(_, heads)| of(heads, "/session") == 0).count();
        assert!(connections < 12, "{connections} connections for 12 requests");
    }
}

#[test]
fn steps_go_through_the_proxy_as_tokens_do() {
    let folder = TempDir::new().unwrap();
    for (scheme, ways) in [("http", (6, 12)), ("https", (18, 0))] {
        let (tunnels, forwarded) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let port = proxy(Arc::clone(&tunnels), Arc::clone(&forwarded));
        let tls = (scheme == "https").then(|| server_tls(folder.path()));
        let target = if tls.is_some() { "ca_file = \"server.pem\"" } else { "" };
        let service = Service::start(tls);
        let proxied = |password: &str| format!("proxy = \"http://me:{password}@127.0.0.1:{port}\"");
        let model = run_text(folder.path(), scheme, &stepping(&service, scheme, target, &proxied("p%40ss")));
        assert_eq!(model.all.outcome(Outcome::Http403), 6);
        let had = service.had(18);
        let heads: Vec<&String> = had.iter().flat_map(|(_, heads)| heads).collect();
        let asked = |path: &str| heads.iter().filter(|head| head.split(' ').nth(1) == Some(path)).count();
        let whole = |path: &str| asked(&format!("http://127.0.0.1:{}{path}", service.port));
        let is_forwarded = scheme == "http";
        assert_eq!((whole("/token"), whole("/step")), if is_forwarded { (6, 6) } else { (0, 0) });
        assert_eq!((asked("/token"), asked("/step")), if is_forwarded { (0, 0) } else { (6, 6) });
        // Each way is counted once for a connection, of which requests share some.
        let (tunnels, forwarded) = (tunnels.load(Ordering::Relaxed), forwarded.load(Ordering::Relaxed));
        assert!(tunnels <= ways.0 && forwarded <= ways.1, "{tunnels} tunnels, {forwarded} forwarded");
        assert!(tunnels >= 6 && (forwarded > 0) == is_forwarded, "{tunnels} tunnels, {forwarded} forwarded");
        // What is for the proxy alone goes no further than to it, where it is a tunnel.
        let leaked = heads.iter().any(|head| head.contains("proxy-authorization"));
        assert!(is_forwarded || !leaked, "{heads:?}");
    }
    // A proxy that refuses is asked no further.
    let port = proxy(Arc::default(), Arc::default());
    let service = Service::start(None);
    let text = stepping(&service, "http", "", &format!("proxy = \"http://me:wrong@127.0.0.1:{port}\""));
    let text = text.replace("client_id = \"c\"\nclient_secret = \"s\"", "grant = \"none\"");
    let model = run_text(folder.path(), "refused", &text);
    assert_eq!(model.all.outcome(Outcome::StepRefused), 6, "407 is an answer");
    assert!(service.had.lock().unwrap().is_empty());
}

#[test]
fn a_step_over_tls_that_nobody_vouches_for_is_counted_as_any_other() {
    let folder = TempDir::new().unwrap();
    let service = Service::start(Some(server_tls(folder.path())));
    let text = stepping(&service, "https", "", "");
    let text = text.replace("client_id = \"c\"\nclient_secret = \"s\"", "grant = \"none\"");
    let model = run_text(folder.path(), "strangers", &text);
    assert_eq!(model.all.outcome(Outcome::StepError), 6);
    assert_eq!(model.all.counter(Counter::CertificatesNotTrusted), 6);
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
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
            if read_head(&mut tls).is_some_and(|head| head.contains("Upgrade")) {
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
    let output = resurge()
        .args(["run", "scenarios/smoke.toml", "--set", "groups.0.connect.source_addresses=[\"192.0.2.7\"]"])
        .arg("--out")
        .arg(home.path().join("run"))
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(110), "{said}");
    assert!(
        said.contains("cannot connect from 192.0.2.7") && said.contains("connect.source_addresses"),
        "{said}"
    );
    assert!(!home.path().join("run").exists(), "no run, no folder");
}
