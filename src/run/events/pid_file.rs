//! A signal to a process whose number stands in a file.
//!
//! In: the file, the signal. Out: the process that it was sent to, or why it was not.

use std::io::Read;
use std::path::Path;

use crate::machine::{open_without_waiting, signal_process};
use crate::scenario::keys::SignalTo;

/// Bytes of a file with a process's number.
const MOST_BYTES: u64 = 64;

/// Sends it. Answers with the process's number.
///
/// # Errors
/// A sentence that says why it was not sent.
pub(super) fn send_signal(to: &SignalTo) -> Result<i32, String> {
    let pid = read_pid(&to.pid_file)?;
    if u32::try_from(pid) == Ok(std::process::id()) {
        return Err(format!("{} holds the number of this very run", to.pid_file.display()));
    }
    signal_process(pid, to.signal.name())
        .map_err(|why| format!("process {pid} of {}: {why}", to.pid_file.display()))?;
    Ok(pid)
}

fn read_pid(path: &Path) -> Result<i32, String> {
    let fault = |why: String| format!("{} {why}", path.display());
    // A pipe without a writer must not hold up the run.
    let file = open_without_waiting(path);
    let mut text = Vec::new();
    file.and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text))
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<i32>().ok());
    match pid {
        // 0 and negative numbers are groups, and 1 is the system's own.
        Some(pid) if pid > 1 => Ok(pid),
        Some(pid) => Err(fault(format!("holds {pid}, which is no process to signal"))),
        None => Err(fault("does not hold a process's number and nothing else".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::scenario::keys::EventSignal;

    #[test]
    fn only_a_number_of_a_process_is_signalled() {
        let home = tempfile::tempdir().unwrap();
        let pid_file = home.path().join("pid");
        let send = |text: &str| {
            std::fs::write(&pid_file, text).unwrap();
            send_signal(&SignalTo { pid_file: pid_file.clone(), signal: EventSignal::Term }).unwrap_err()
        };
        let own = std::process::id().to_string();
        for (text, part) in [
            ("", "does not hold"),
            ("12 13", "does not hold"),
            ("abc", "does not hold"),
            (&"1".repeat(1_000), "does not hold"),
            ("0", "no process to signal"),
            ("1\n", "no process to signal"),
            ("-5", "no process to signal"),
            ("2147483647\n", "No such process"),
            (&own, "this very run"),
        ] {
            assert!(send(text).contains(part), "{text}: {}", send(text));
        }
        let missing = SignalTo { pid_file: home.path().join("none"), signal: EventSignal::Hup };
        assert!(send_signal(&missing).unwrap_err().contains("cannot be read"));
        assert!(Command::new("mkfifo").arg(home.path().join("pipe")).status().unwrap().success());
        let pipe = SignalTo { pid_file: home.path().join("pipe"), signal: EventSignal::Hup };
        assert!(send_signal(&pipe).unwrap_err().contains("does not hold"), "and it did not wait");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        std::fs::write(&pid_file, format!("{}\n", child.id())).unwrap();
        let to = SignalTo { pid_file, signal: EventSignal::Usr1 };
        assert_eq!(send_signal(&to), Ok(i32::try_from(child.id()).unwrap()));
        assert_eq!(child.wait().unwrap().signal(), Some(10));
    }
}
