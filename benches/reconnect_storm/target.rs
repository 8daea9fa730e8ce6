//! The target, in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::RESURGE;

/// A target in a process of its own; ended when dropped.
pub(crate) struct Target {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Where its counters are: it speaks plain HTTP there, whatever it speaks to clients.
    control: SocketAddr,
    /// Its authority's certificate, where it speaks TLS.
    pub(crate) folder: TempDir,
    pub(crate) is_secure: bool,
    /// Kept open, so that the target may go on to speak.
    _words: BufReader<ChildStderr>,
}

impl Target {
    pub(crate) fn start(idle: &str, is_secure: bool) -> Self {
        Self::start_with(idle, is_secure, &[])
    }

    /// With further rules, each a `KEY=VALUE`.
    pub(crate) fn start_with(idle: &str, is_secure: bool, rules: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let idle = format!("idle_timeout={idle}");
        let mut command = Command::new(RESURGE);
        command.args(["serve", "forum", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(["--set", &idle, "--set", "invalidation=never"]);
        for rule in rules {
            command.args(["--set", rule]);
        }
        if is_secure {
            command.arg("--tls").arg("--tls-ca-out").arg(folder.path().join("ca.pem"));
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("://").unwrap().1.parse().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap());
        while !line.contains("counters  GET") {
            line.clear();
            assert!(words.read_line(&mut line).unwrap() > 0, "where the counters are is not told");
        }
        let control = line.rsplit_once("://").unwrap().1.split('/').next().unwrap().parse().unwrap();
        Self { process, address, control, folder, is_secure, _words: words }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.control).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let body =
            self.ask("GET /_resurge/counters HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()[name].as_u64().unwrap()
    }

    /// Closes every session.
    pub(crate) fn storm(&self) {
        let body = r#"{"code":1012,"fraction":1.0}"#;
        let head = "POST /_resurge/close HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close";
        self.ask(&format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    pub(crate) fn wait_for_sessions(&self, clients: usize) {
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            if self.counter("sessions_open") == clients as u64 {
                return;
            }
        }
        assert_eq!(self.counter("sessions_open"), clients as u64, "all clients are connected");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
