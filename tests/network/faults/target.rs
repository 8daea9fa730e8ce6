//! The target of a cell, in this process or in one that can be stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use resurge::clock::Clock;
use resurge::scenario::keys::{Invalidation, TargetRules};
use resurge::service::counters::TargetCounters;
use resurge::service::server::{COUNTERS_PATH, Server, ServerSetup};

use super::strike::Effect;
use crate::support::program::resurge;
use crate::support::served::Served;
use crate::support::signals::send;

/// How often the target sends a message.
pub(crate) const MESSAGES_EVERY: Duration = Duration::from_millis(30);
/// Long enough for anything that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The target behind the proxies.
pub(crate) enum Target {
    Here(Box<Server>),
    /// `resurge serve`, which ends with this value.
    Apart {
        served: Served,
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
        let mut arguments = vec!["--control", "127.0.0.1:0", "--threads", "1"];
        for rule in ["idle_timeout=never", "invalidation=never", "token_life=30m", "messages_every=30ms"] {
            arguments.extend(["--set", rule]);
        }
        if is_secure {
            arguments.extend(["--tls", "--tls-ca-out", ca.to_str().unwrap()]);
        }
        let mut served = Served::start(resurge(), &arguments, Stdio::piped());
        // To the last line that it writes before it serves: it must be able to write it.
        let told = BufReader::new(served.process.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let told: Vec<String> = told.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        let counters =
            told.iter().find_map(|line| line.trim().strip_prefix("counters  GET  http://")).unwrap();
        let control = counters.split('/').next().unwrap().parse().unwrap();
        Self::Apart { served, control }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Here(server) => server.addr(),
            Self::Apart { served, .. } => served.addr,
        }
    }

    /// The process that can be stopped.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Here(_) => panic!("this target is no process of its own"),
            Self::Apart { served, .. } => served.process.id(),
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

fn fetch_counters(address: SocketAddr) -> TargetCounters {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {COUNTERS_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Sends a signal to a process that this test started.
fn signal(name: &str, pid: u32) {
    send(pid, name);
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
