//! Who may be hit, over real sockets: in a network of its own, in which addresses that belong to others answer, the program is led towards them in every way
//! there is, by the scenario and by what a service says. None of them gets a packet without `--authorize`, and each does with it.
//!
//! And how a fleet behaves towards whom it may hit: it says who it is, and obeys `Retry-After`.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// Runs at once.
const AT_ONCE: usize = 8;
/// Says to this program that it is inside of the network of its own, and where its files are.
const INSIDE: &str = "RESURGE_TEST_NAMESPACE";
/// Addresses of others, which answer here.
const OTHERS: [&str; 10] = [
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
/// Names of hosts, and addresses of each.
const HOSTS: &str = "127.0.0.1 localhost\n8.8.8.8 public.test\n127.0.0.1 mixed.test\n203.0.113.7 mixed.test\n2001:4860:4860::8888 six.test\n127.0.0.1 moving.test\n";

/// A request that came.
#[derive(Debug, Clone)]
struct Came {
    /// To which of this machine's addresses.
    to: IpAddr,
    head: String,
}

/// A service on every address of this machine.
struct Service {
    port: u16,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Service {
    fn start(bind: &str) -> Self {
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

    fn take(&self) -> Vec<Came> {
        std::mem::take(&mut self.came.lock().unwrap())
    }

    /// To which addresses of others something came since the last call.
    fn others_hit(&self) -> Vec<IpAddr> {
        let mut hit: Vec<IpAddr> = self.take().iter().map(|came| came.to).filter(is_of_others).collect();
        hit.sort_unstable();
        hit.dedup();
        hit
    }
}

fn is_of_others(address: &IpAddr) -> bool {
    OTHERS.iter().any(|other| other.parse::<IpAddr>().unwrap() == *address)
}

/// Answers each request of a connection as its path says: `/<status>`, `/to?<text>` (a redirect), `/says?<text>` (JSON), `/session?<text>`.
fn serve(mut stream: TcpStream, port: u16, all: &Mutex<Vec<Came>>) {
    let to = stream.local_addr().unwrap().ip().to_canonical();
    // A connection is a hit, whether anything is said on it or not.
    all.lock().unwrap().push(Came { to, head: String::new() });
    while let Some(head) = read_head(&mut stream) {
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

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
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
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
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

/// A group of one client.
struct Case {
    /// Lines of the target.
    target: String,
    /// Lines of the group.
    group: String,
}

fn to_url(url: &str) -> Case {
    Case { target: format!("url = \"{url}\""), group: "token = { grant = \"none\" }".into() }
}

fn near(group: &str) -> Case {
    Case { target: "url = \"ws://127.0.0.1:PORT/403\"".into(), group: group.into() }
}

fn token_at(url: &str) -> Case {
    near(&format!("token = {{ client_id = \"c\", client_secret = \"s\", url = \"{url}\" }}"))
}

fn step_at(url: &str, more: &str) -> Case {
    near(&format!(
        "token = {{ grant = \"none\" }}\nconnect = {{ url = \"{{uri}}\"{more} }}\nprepare = {{ steps = [{{ url = \"{url}\", save = {{ uri = \"/uri\" }} }}] }}"
    ))
}

struct World {
    home: PathBuf,
    service: Service,
    runs: usize,
}

impl World {
    fn text(&self, case: &Case) -> String {
        format!(
            "duration = \"30s\"\ndrain = \"250ms\"\n[target]\n{}\n[[groups]]\nname = \"g\"\nclients = 2\nreconnect = {{ max_attempts = 3, backoff = {{ kind = \"constant\", base = \"50ms\" }} }}\n{}\n",
            case.target, case.group
        )
        .replace("PORT", &self.service.port.to_string())
    }

    fn resurge(&mut self, command: &str, case: &Case, more: &[&str]) -> Output {
        self.runs += 1;
        let path = self.home.join(format!("case-{}.toml", self.runs));
        fs::write(&path, self.text(case)).unwrap();
        let out = self.home.join(format!("run-{}", self.runs));
        let mut resurge = Command::new(env!("CARGO_BIN_EXE_resurge"));
        resurge.arg(command).arg(&path).args(more).current_dir(&self.home);
        match command {
            "run" => resurge.args(["--progress", "none", "--out"]).arg(&out),
            _ => resurge.args(["--wait", "50ms", "--idle-timeout", "50ms"]),
        };
        resurge.output().unwrap()
    }

    fn run_json(&self) -> serde_json::Value {
        let file = self.home.join(format!("run-{}/run.json", self.runs));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }
}

/// Does something with each of several things, each with a service and a folder of its own: most of the time is waiting.
fn each_with_a_world<T: Sync>(home: &Path, things: &[T], work: impl Fn(&mut World, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let home = TempDir::new_in(home).unwrap();
                    work(
                        &mut World {
                            home: home.path().to_owned(),
                            service: Service::start("[::]:0"),
                            runs: 0,
                        },
                        thing,
                    );
                }
            });
        }
    });
}

/// Packets that have gone over the loopback interface, on which every address of this network is.
fn packets() -> u64 {
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let line = devices.lines().find(|line| line.trim_start().starts_with("lo:")).unwrap().to_owned();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(done.status.success(), "ip {arguments:?}: {done:?}");
}

/// Not a test of its own: what runs in the network that the next one makes.
#[test]
fn inside_of_a_network_of_its_own() {
    let Some(home) = std::env::var_os(INSIDE) else { return };
    let home = PathBuf::from(home);
    ip(&["link", "set", "lo", "up"]);
    for other in OTHERS {
        let family = if other.contains(':') { "-6" } else { "-4" };
        let length = if other.contains(':') { "128" } else { "32" };
        ip(&[family, "addr", "add", &format!("{other}/{length}"), "dev", "lo"]);
    }
    let hosts = home.join("hosts");
    fs::write(&hosts, HOSTS).unwrap();
    let bound = Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts").status().unwrap();
    assert!(bound.success(), "the names of hosts are our own");
    let service = Service::start("[::]:0");
    let mut world = World { home, service, runs: 0 };
    named_by_the_scenario(&mut world);
    handed_out_by_a_service(&mut world);
    through_a_proxy(&mut world);
    a_name_that_moves(&mut world, &hosts);
}

/// The ways to run case `index`: shards and diagnoses take a moment, so that each kind of place is tried once.
fn ways_of(index: usize) -> &'static [(&'static str, &'static [&'static str])] {
    let ways: &[(&str, &[&str])] = &[("run", &[]), ("diagnose", &[]), ("run", &["--shards", "2"])];
    if [0, 7, 15, 18, 19, 21].contains(&index) { ways } else { &ways[..1] }
}

/// What the scenario itself names is refused before anything is sent.
fn named_by_the_scenario(world: &mut World) {
    // (what is named, the host to authorise, where it then gets)
    let urls = [
        ("ws://8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://0x08080808:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://134744072:PORT/", "0x8.8.8.8", "8.8.8.8"),
        ("ws://010.8.2056:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://8.8.8.8.:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://%38.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://[::ffff:8.8.8.8]:PORT/", "::ffff:8.8.8.8", "8.8.8.8"),
        ("ws://[64:ff9b::8.8.8.8]:PORT/", "64:ff9b::808:808", "64:ff9b::808:808"),
        ("ws://[2002:808:808::1]:PORT/", "2002:808:808::1", "2002:808:808::1"),
        ("ws://[2001:4860:4860::8888]:PORT/", "[2001:4860:4860::8888]", "2001:4860:4860::8888"),
        ("ws://[fd00:ec2::254]:PORT/", "fd00:ec2::254", "fd00:ec2::254"),
        ("ws://100.64.0.1:PORT/", "100.64.0.1", "100.64.0.1"),
        ("ws://169.254.169.254:PORT/", "169.254.169.254", "169.254.169.254"),
        ("ws://192.0.2.1:PORT/", "192.0.2.1", "192.0.2.1"),
        ("ws://198.18.0.1:PORT/", "198.18.0.1", "198.18.0.1"),
        ("ws://public.test:PORT/", "public.test", "8.8.8.8"),
        ("ws://PUBLIC.test:PORT/", "Public.Test.", "8.8.8.8"),
        ("ws://six.test:PORT/", "six.test", "2001:4860:4860::8888"),
        ("ws://mixed.test:PORT/", "mixed.test", "203.0.113.7"),
    ];
    let mut cases: Vec<(Case, &str, &str)> =
        urls.iter().map(|(url, host, to)| (to_url(url), *host, *to)).collect();
    cases.push((token_at("http://8.8.8.8:PORT/"), "8.8.8.8", "8.8.8.8"));
    cases.push((token_at("http://public.test:PORT/"), "public.test", "8.8.8.8"));
    let far_url = "token = { grant = \"none\" }\nconnect = { url = \"ws://six.test:PORT/\" }";
    cases.push((near(far_url), "six.test", "2001:4860:4860::8888"));
    for (index, (case, _, _)) in cases.iter().enumerate() {
        let ways = ways_of(index);
        let text = world.text(case);
        for (command, more) in ways {
            let before = packets();
            let output = world.resurge(command, case, more);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(77), "{command} {text}: {said}");
            assert!(said.contains("--authorize"), "{command} {text}: {said}");
            assert_eq!((packets(), world.service.others_hit()), (before, Vec::new()), "{command} {text}");
        }
    }
    let home = world.home.clone();
    let numbered: Vec<(usize, &(Case, &str, &str))> = cases.iter().enumerate().collect();
    each_with_a_world(&home, &numbered, |world, (index, (case, host, to))| {
        let ways = ways_of(*index);
        let text = world.text(case);
        let elsewhere = world.resurge("run", case, &["--authorize", "other.test"]);
        assert_eq!((elsewhere.status.code(), world.service.others_hit()), (Some(77), Vec::new()), "{text}");
        for (command, more) in ways {
            // One of the names has a free address too, which the clients take by turns.
            let output = world.resurge(command, case, &[&["--authorize", host], *more].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_ne!(output.status.code(), Some(77), "{command} {text}: {said}");
            let hit = world.service.others_hit();
            let may_miss = text.contains("mixed.test") && *command == "diagnose";
            assert!(may_miss || hit == [to.parse::<IpAddr>().unwrap()], "{command} {text}: {hit:?} {said}");
            if *command == "run" {
                let authorised = world.run_json()["target"]["authorised_hosts"].to_string();
                assert!(authorised.len() > 4, "{text}: the consent is on record, not {authorised}");
            }
        }
    });
    for url in [
        "ws://0.0.0.0:PORT/",
        "ws://[::]:PORT/",
        "ws://255.255.255.255:PORT/",
        "ws://224.0.0.1:PORT/",
        "ws://[ff02::1]:PORT/",
    ] {
        let before = packets();
        let output = world.resurge("run", &to_url(url), &[]);
        assert_eq!((output.status.code(), packets()), (Some(77), before), "{url}");
    }
    // What is no URL, or has a user in it, is a fault of the scenario.
    for url in ["ws://127.0.0.1@8.8.8.8:PORT/", "ws://[fe80::1%25lo]:PORT/", "ws://256.8.8.8:PORT/"] {
        let before = packets();
        let output = world.resurge("run", &to_url(url), &[]);
        assert_eq!((output.status.code(), packets()), (Some(104), before), "{url}");
    }
    // The control: what is free is reached.
    for url in [
        "ws://127.0.0.1:PORT/",
        "ws://0x7f.1:PORT/",
        "ws://localhost:PORT/",
        "ws://[::1]:PORT/",
        "ws://[::ffff:127.0.0.1]:PORT/",
    ] {
        let output = world.resurge("run", &to_url(url), &[]);
        assert_ne!(output.status.code(), Some(77), "{url}");
        assert!(!world.service.take().is_empty(), "{url} is reached");
    }
}

/// What a service says is not obeyed where it leads to others.
fn handed_out_by_a_service(world: &mut World) {
    let no_token = "token = { grant = \"none\" }";
    // Redirects: none is followed, whether authorised or not.
    let redirects = [
        to_url("ws://127.0.0.1:PORT/to?http://8.8.8.8:PORT/"),
        to_url("ws://127.0.0.1:PORT/to?ws://public.test:PORT/"),
        token_at("http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/"),
        step_at("http://127.0.0.1:PORT/to?http://8.8.8.8:PORT/", ""),
        step_at("http://127.0.0.1:PORT/to?//[2001:4860:4860::8888]:PORT/", ""),
    ];
    let home = world.home.clone();
    each_with_a_world(&home, &redirects, |world, case| {
        for more in [&[][..], &["--authorize", "8.8.8.8", "--authorize", "public.test"]] {
            for command in ["run", "diagnose"] {
                let output = world.resurge(command, case, more);
                assert_ne!(output.status.code(), Some(104), "{}: {output:?}", world.text(case));
                let came = world.service.take();
                assert!(
                    !came.is_empty() && came.iter().all(|came| !is_of_others(&came.to)),
                    "{}: {came:?}",
                    world.text(case)
                );
            }
        }
    });
    // URLs in answers and messages.
    let urls = [
        ("ws://8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://0x8080808:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://127.0.0.1@8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://127.0.0.1%2523@8.8.8.8:PORT/", "8.8.8.8", "8.8.8.8"),
        ("ws://[::ffff:8.8.8.8]:PORT/", "::ffff:8.8.8.8", "8.8.8.8"),
        ("ws://[64:ff9b::8.8.8.8]:PORT/", "64:ff9b::808:808", "64:ff9b::808:808"),
        ("ws://public.test:PORT/", "public.test", "8.8.8.8"),
        ("ws://six.test:PORT/", "six.test", "2001:4860:4860::8888"),
        ("ws://169.254.169.254:PORT/latest", "169.254.169.254", "169.254.169.254"),
    ];
    each_with_a_world(&home, &urls, |world, (url, host, to)| {
        let by_step = step_at(&format!("http://127.0.0.1:PORT/says?{url}"), "");
        let by_message = near(&format!(
            "{no_token}\nconnect = {{ url = \"{{uri}}\" }}\nprepare = {{ when = \"once\", variables = {{ uri = \"ws://127.0.0.1:PORT/session?{url}\" }}, steps = [] }}\nsession = {{ on_message = [{{ contains = \"go\", save = {{ uri = \"/go\" }}, then = \"reconnect\" }}] }}"
        ));
        let steps_away = near(&format!(
            "{no_token}\nconnect = {{ url = \"ws://127.0.0.1:PORT/403\" }}\nprepare = {{ steps = [{{ url = \"http://127.0.0.1:PORT/says?{0}\", save = {{ uri = \"/uri\" }} }}, {{ url = \"{{uri}}\" }}] }}",
            url.replace("ws:", "http:")
        ));
        let step_named = step_at(&url.replace("ws:", "http:").replace("%2523", "%23"), "");
        for case in [&by_step, &by_message, &steps_away, &step_named] {
            let output = world.resurge("run", case, &[]);
            let text = world.text(case);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                (output.status.code(), world.service.others_hit()),
                (Some(77), Vec::new()),
                "{text}: {said}"
            );
            let output = world.resurge("run", case, &["--authorize", host]);
            let hit = world.service.others_hit();
            assert_eq!(hit, [to.parse::<IpAddr>().unwrap()], "{text}: {output:?}");
        }
        let diagnosed = world.resurge("diagnose", &by_step, &[]);
        assert_eq!(world.service.others_hit(), Vec::<IpAddr>::new(), "{diagnosed:?}");
    });
}

fn through_a_proxy(world: &mut World) {
    let near_proxy = ", proxy = \"http://127.0.0.1:PORT\"";
    let far_proxies = [
        ("http://8.8.8.8:PORT", "8.8.8.8"),
        ("http://public.test:PORT", "public.test"),
        ("http://0x8.8.8.8:PORT", "8.8.8.8"),
    ];
    let plain =
        |proxy: &str| near(&format!("token = {{ grant = \"none\" }}\nconnect = {{ proxy = \"{proxy}\" }}"));
    let token = |proxy: &str| {
        near(&format!(
            "token = {{ client_id = \"c\", client_secret = \"s\", url = \"http://127.0.0.1:PORT/says?x\" }}\nconnect = {{ proxy = \"{proxy}\" }}"
        ))
    };
    for (proxy, host) in far_proxies {
        for case in [
            plain(proxy),
            token(proxy),
            step_at("http://127.0.0.1:PORT/says?x", &format!(", proxy = \"{proxy}\"")),
        ] {
            let output = world.resurge("run", &case, &[]);
            assert_eq!(
                (output.status.code(), world.service.others_hit()),
                (Some(77), Vec::new()),
                "{}",
                world.text(&case)
            );
            let output = world.resurge("run", &case, &["--authorize", host]);
            assert_ne!(output.status.code(), Some(77), "{}", world.text(&case));
            assert_eq!(
                world.service.others_hit(),
                ["8.8.8.8".parse::<IpAddr>().unwrap()],
                "{}",
                world.text(&case)
            );
        }
    }
    // A proxy that may be hit is not asked for what may not.
    let asked = [
        step_at("http://public.test:PORT/", near_proxy),
        step_at("http://8.8.8.8:PORT/", near_proxy),
        step_at("http://127.0.0.1:PORT/says?ws://public.test:PORT/", near_proxy),
    ];
    for case in &asked {
        let before = world.service.take().len();
        assert_eq!(before, 0);
        let output = world.resurge("run", case, &[]);
        assert_eq!(output.status.code(), Some(77), "{}: {output:?}", world.text(case));
        let asked_for = |came: &Came| {
            came.head.lines().next().is_some_and(|line| {
                line.contains("public.test:") && !line.contains("says") || line.contains("8.8.8.8")
            })
        };
        let came = world.service.take();
        assert!(!came.iter().any(asked_for), "{}: {came:?}", world.text(case));
        let output = world.resurge("run", case, &["--authorize", "public.test", "--authorize", "8.8.8.8"]);
        assert_ne!(output.status.code(), Some(77), "{}", world.text(case));
        assert!(world.service.take().iter().any(asked_for), "{}: {output:?}", world.text(case));
    }
}

/// A name that is free when the run begins, and then another's: each connection asks anew.
fn a_name_that_moves(world: &mut World, hosts: &Path) {
    let move_to = |address: &str| {
        let text = HOSTS.replace("127.0.0.1 moving.test", &format!("{address} moving.test"));
        // In place: the file is mounted where the system looks.
        fs::write(hosts, text).unwrap();
    };
    let mut case = to_url("ws://moving.test:PORT/");
    case.group.push_str("\nconnect = { dns_ttl = \"0s\" }");
    case.target.push_str("\n[health]\nmax_lag_p99 = \"10s\"");
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let came = Arc::clone(&world.service.came);
    std::thread::scope(|scope| {
        let mover = scope.spawn(move || {
            // Once the run is under way, or is over without having begun.
            while came.lock().unwrap().len() < 2 && receiver.try_recv().is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
            move_to("203.0.113.7");
        });
        let output = world.resurge(
            "run",
            &Case { target: case.target.clone(), group: case.group.clone() },
            &["--set", "groups.0.reconnect.max_attempts=100000"],
        );
        let _ = sender.send(());
        mover.join().unwrap();
        let came = world.service.take();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(77), "{said} {}", String::from_utf8_lossy(&output.stderr));
        assert!(came.iter().any(|came| came.to.is_loopback()), "it had begun: {came:?}");
        assert!(came.iter().all(|came| !is_of_others(&came.to)), "{came:?}");
        assert!(said.contains("NOT AUTHORISED"), "{said}");
    });
    let output = world.resurge("run", &case, &["--authorize", "moving.test"]);
    assert_eq!(world.service.others_hit(), ["203.0.113.7".parse::<IpAddr>().unwrap()], "{output:?}");
}

#[test]
fn nobody_is_hit_who_was_not_authorised() {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("-rnm").args(arguments);
        command
    };
    let possible = unshare(&["ip", "link", "set", "lo", "up"]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        println!(
            "SKIPPED: no network of its own can be made here (unshare -rnm ip link set lo up): {possible:?}"
        );
        return;
    }
    let home = TempDir::new().unwrap();
    let this = std::env::current_exe().unwrap();
    let output = unshare(&[])
        .arg(this)
        .args(["--exact", "inside_of_a_network_of_its_own", "--nocapture"])
        .env(INSIDE, home.path())
        .output()
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{why}");
}

fn run_here(service: &Service, case: &Case, more: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    let service = Service { port: service.port, came: Arc::clone(&service.came) };
    World { home: home.path().to_owned(), service, runs: 0 }.resurge("run", case, more)
}

#[test]
fn every_request_says_who_makes_it() {
    let service = Service::start("127.0.0.1:0");
    let product = concat!("resurge/", env!("CARGO_PKG_VERSION"));
    let token =
        "token = { client_id = \"c\", client_secret = \"s\", url = \"http://127.0.0.1:PORT/says?x\" }";
    let prepare = "prepare = { steps = [{ url = \"http://127.0.0.1:PORT/says?ws://127.0.0.1:PORT/403\", save = { uri = \"/uri\" } }] }";
    let proxied = format!("{token}\nconnect = {{ proxy = \"http://127.0.0.1:PORT\" }}");
    // (group, places of requests, the agent)
    let own = "connect = { headers = { User-Agent = \"staging-check (ops@example.com)\" } }";
    let rows = [
        (
            format!("{token}\n{prepare}\nconnect = {{ url = \"{{uri}}\" }}"),
            vec!["POST /says?x ", "GET /says?ws:", "GET /403 "],
            product,
        ),
        (proxied, vec!["POST http://", "CONNECT "], product),
        (
            format!("token = {{ grant = \"none\" }}\n{own}"),
            vec!["GET /403 "],
            "staging-check (ops@example.com)",
        ),
    ];
    for (group, places, agent) in rows {
        let output = run_here(&service, &near(&group), &[]);
        let came = service.take();
        for place in places {
            let there: Vec<&Came> = came.iter().filter(|came| came.head.starts_with(place)).collect();
            assert!(!there.is_empty(), "{place}: {output:?} {came:?}");
            for came in there {
                assert_eq!(header(&came.head, "user-agent"), Some(agent), "{}", came.head);
                assert_eq!(came.head.to_ascii_lowercase().matches("user-agent").count(), 1, "{}", came.head);
            }
        }
    }
}

#[test]
fn a_fleet_waits_as_long_as_it_is_asked_to() {
    let upgrade = || Case {
        target: "url = \"ws://127.0.0.1:PORT/503?1\"".into(),
        group: "token = { grant = \"none\" }".into(),
    };
    let token = || token_at("http://127.0.0.1:PORT/429");
    // (case, what it asks for, whether it obeys, the fewest requests that two clients make in 2.5 s, the most)
    let rows = [
        (upgrade(), "GET /503", true, 4, 6),
        (token(), "POST /429", true, 2, 6),
        (upgrade(), "GET /503", false, 20, usize::MAX),
        (token(), "POST /429", false, 20, usize::MAX),
    ];
    std::thread::scope(|scope| {
        for (case, what, obeys, least, most) in rows {
            scope.spawn(move || {
                let service = Service::start("127.0.0.1:0");
                let set = format!("groups.0.reconnect.honour_retry_after={obeys}");
                let output = run_here(
                    &service,
                    &case,
                    &[
                        "--set",
                        "duration=2500ms",
                        "--set",
                        &set,
                        "--set",
                        "groups.0.reconnect.max_attempts=100000",
                    ],
                );
                let asked = service.take().iter().filter(|came| came.head.starts_with(what)).count();
                assert!(
                    (least..=most).contains(&asked),
                    "{what}, obeyed {obeys}: {asked} requests; {output:?}"
                );
            });
        }
    });
}
