//! What a cell needs beside its proxies: the target, in this process or in one that can be stopped; a process of our own program whose
//! calendar and names can be meddled with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use resurge::clock::Clock;
use resurge::scenario::keys::{Invalidation, TargetRules};
use resurge::service::counters::TargetCounters;
use resurge::service::server::{COUNTERS_PATH, Server, ServerSetup};

use crate::proxy::Effect;

/// How often the target sends a message.
pub(crate) const MESSAGES_EVERY: Duration = Duration::from_millis(30);
/// Long enough for anything that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The target behind the proxies.
pub(crate) enum Target {
    Here(Box<Server>),
    /// `resurge serve`, which ends with this value.
    Apart {
        child: Child,
        address: SocketAddr,
        control: SocketAddr,
    },
}

impl Target {
    pub(crate) fn here(is_secure: bool) -> Self {
        let rules = TargetRules {
            idle_timeout: None,
            invalidation: Invalidation::Never,
            token_life: Duration::from_secs(30 * 60),
            messages_every: Some(MESSAGES_EVERY),
            tls: is_secure,
            ..TargetRules::default()
        };
        let setup = ServerSetup {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rules,
            seed: 3,
            clock: Clock::start(),
            worker_threads: 1,
            control: None,
            control_token: None,
            tls: None,
        };
        Self::Here(Box::new(Server::start(setup).unwrap()))
    }

    pub(crate) fn apart(is_secure: bool, ca: &Path) -> Self {
        let mut command = resurge();
        command.args(["serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--threads", "1"]);
        for rule in ["idle_timeout=never", "invalidation=never", "token_life=30m", "messages_every=30ms"] {
            command.args(["--set", rule]);
        }
        if is_secure {
            command.args(["--tls", "--tls-ca-out"]).arg(ca);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().parse().unwrap();
        // To the last line that it writes before it serves: it must be able to write it.
        let told = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let told: Vec<String> = told.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        let counters =
            told.iter().find_map(|line| line.trim().strip_prefix("counters  GET  http://")).unwrap();
        let control = counters.split('/').next().unwrap().parse().unwrap();
        Self::Apart { child, address, control }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Here(server) => server.addr(),
            Self::Apart { address, .. } => *address,
        }
    }

    /// The process that can be stopped.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Here(_) => panic!("this target is no process of its own"),
            Self::Apart { child, .. } => child.id(),
        }
    }

    /// Writes the authority that clients must trust, where the target is here.
    pub(crate) fn write_authority(&self, ca: &Path) {
        if let Self::Here(server) = self
            && let Some(authority) = server.authority()
        {
            std::fs::write(ca, &authority.pem).unwrap();
        }
    }

    /// What it counted, when nothing is in flight any more.
    pub(crate) fn counters(&self, runtime: &tokio::runtime::Handle) -> TargetCounters {
        match self {
            Self::Here(server) => {
                let is_quiet = runtime.block_on(server.wait_until_quiet(PATIENCE));
                assert!(is_quiet, "the target does not come to rest: {:?}", server.counters());
                server.counters()
            }
            Self::Apart { control, .. } => {
                for _ in 0..200 {
                    let counters = fetch_counters(*control);
                    if counters.sessions_open == 0 {
                        return counters;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                panic!("the target does not come to rest");
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::Apart { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn fetch_counters(address: SocketAddr) -> TargetCounters {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {COUNTERS_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

pub(crate) fn resurge() -> Command {
    Command::new(env!("CARGO_BIN_EXE_resurge"))
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
    if name == "STOP" {
        await_stop(pid);
    }
}

/// A stop reaches the threads of a process one after the other.
fn await_stop(pid: u32) {
    let is_stopped = |stat: &str| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
    for _ in 0..5_000 {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stats =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default());
        if stats.into_iter().all(|stat| is_stopped(&stat)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("process {pid} does not stop");
}

/// Stops a process, and lets it go on.
pub(crate) fn stop(pid: Arc<OnceLock<u32>>) -> Effect {
    Arc::new(move |begins| signal(if begins { "STOP" } else { "CONT" }, *pid.get().unwrap()))
}

/// What stands before the C library of a process.
pub(crate) struct Shim {
    told: PathBuf,
}

impl Shim {
    /// A shim whose file is in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let told = home.join("shim");
        std::fs::write(&told, [0; 24]).unwrap();
        Self { told }
    }

    /// Has a process run behind it.
    pub(crate) fn stand_before(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("RESURGE_TEST_SHIM", &self.told);
    }

    /// The calendar goes so many seconds forward, or back. It stays there.
    pub(crate) fn jump(&self, seconds: i64) -> Effect {
        let told = self.told.clone();
        Arc::new(move |begins| {
            if begins {
                tell(&told, 0, seconds);
            }
        })
    }

    /// While it lasts no name resolves: at all (1), or in time (2).
    pub(crate) fn names(&self, how: i64) -> Effect {
        let told = self.told.clone();
        Arc::new(move |begins| tell(&told, 8, if begins { how } else { 0 }))
    }

    /// Whether the process has asked it for anything.
    pub(crate) fn was_asked(&self) -> bool {
        std::fs::read(&self.told).unwrap()[16..24].iter().any(|byte| *byte != 0)
    }
}

fn tell(told: &Path, at: u64, number: i64) {
    let file = std::fs::OpenOptions::new().write(true).open(told).unwrap();
    file.write_all_at(&number.to_ne_bytes(), at).unwrap();
}

/// The shim, built by the C compiler once.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network_faults/shim.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network_faults_shim.so");
        let output = Command::new("cc")
            .args(["-O1", "-Wall", "-shared", "-fPIC", "-o"])
            .arg(&built)
            .arg(source)
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    })
}

#[test]
fn the_shim_moves_the_calendar_of_a_process() {
    let home = tempfile::tempdir().unwrap();
    let shim = Shim::new(home.path());
    shim.jump(3_600)(true);
    let seconds = |command: &mut Command| {
        let output = command.arg("+%s").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
    };
    let here = seconds(&mut Command::new("date"));
    let mut moved = Command::new("date");
    shim.stand_before(&mut moved);
    let there = seconds(&mut moved);
    assert!((3_500..3_700).contains(&(there - here)), "{there} is not an hour after {here}");
    assert!(shim.was_asked());
}
