//! `resurge serve` in a process of its own.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A served target. It ends with this value.
pub(crate) struct Served {
    /// What it says after its first line can still be read.
    pub(crate) process: Child,
    pub(crate) addr: SocketAddr,
}

impl Served {
    /// Starts it by a command that ends in the program, on a free port unless the arguments say where. Its messages go somewhere.
    pub(crate) fn start(mut command: Command, arguments: &[&str], messages: Stdio) -> Self {
        let listen: &[&str] =
            if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        command.arg("serve").args(arguments).args(listen).stdout(Stdio::piped()).stderr(messages);
        let mut process = command.spawn().unwrap();
        // Byte by byte: what comes behind the line is for others.
        let stdout = process.stdout.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while stdout.read(&mut byte).is_ok_and(|count| count == 1) && byte != *b"\n" {
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let addr = line.rsplit('/').next().and_then(|addr| addr.parse().ok());
        Self { process, addr: addr.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
