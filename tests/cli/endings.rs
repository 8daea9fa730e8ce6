//! How a run may be ended from outside: signals, readers who leave, streams that are closed, a terminal that hangs up. In one process and in shards, the
//! report is written and the exit code says how the run came out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use resurge::record::read_journal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::support::begun::await_begun;
use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::processes::processes_of;
use crate::support::program::{resurge, resurge_behind};
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::served::Served;
use crate::support::signals::send;
use crate::support::waiting::until;

/// A run that ends by itself, with a failed threshold.
const SHORT: &[&str] = &["--set", "duration=1200ms"];

/// Before a program that is to hear SIGHUP, also where whoever runs the tests has it ignored, as under nohup: what is ignored is inherited.
const HEARS_HANGUPS: [&str; 2] = ["env", "--default-signal=HUP"];

/// Clients that stay until somebody ends the run; a threshold that fails once there was a reconnect.
struct Long(Scene);

impl Long {
    fn new() -> Self {
        Self(Scene::new(&(coming_and_going(12, "60s") + "[thresholds]\nreconnects = [\"count < 1\"]\n")))
    }

    fn folder(&self) -> PathBuf {
        self.0.path("run")
    }

    fn command(&self, more: &[&str]) -> Command {
        self.behind(&HEARS_HANGUPS, more)
    }

    /// A run whose command line a shell completes: `"$@"` is the program and its words.
    fn shell(&self, script: &str, more: &[&str]) -> Command {
        self.behind(&[&HEARS_HANGUPS[..], &["sh", "-c", script, "sh"]].concat(), more)
    }

    fn behind(&self, before: &[&str], more: &[&str]) -> Command {
        let mut command = resurge_behind(before);
        command.args(self.0.words("run", more)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn await_begun(&self, shards: u32) {
        await_begun(&self.folder(), shards);
    }

    fn json(&self) -> serde_json::Value {
        json(&self.folder())
    }

    /// How the run says that it ended. Its folder is whole.
    fn ended(&self) -> String {
        for name in ["journal.bin", "summary.csv", "timeseries.csv", "histograms.hlog", "report.html"] {
            assert!(self.folder().join(name).is_file(), "{name}");
        }
        assert!(read_journal(&self.folder().join("journal.bin")).unwrap().end.is_some());
        self.json()["ended"]["how"].as_str().unwrap().to_owned()
    }

    /// The processes of this run's shards.
    fn shards(&self) -> BTreeMap<String, u32> {
        let mut processes = processes_of(&self.0.file());
        processes.remove("parent");
        processes
    }
}

/// Does each of `rows` in a thread of its own.
fn at_once<R: Sync>(rows: &[R], act: impl Fn(&R) + Sync) {
    std::thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| act(row));
        }
    });
}

#[test]
fn a_signal_ends_the_run_with_its_report_and_105() {
    let rows: &[(&[&str], u32)] = &[
        (&["INT"], 1),
        (&["INT", "INT"], 1),
        (&["INT", "INT", "INT"], 1),
        (&["TERM"], 1),
        (&["HUP"], 1),
        (&["INT"], 2),
        (&["INT", "TERM"], 2),
        (&["TERM"], 2),
        (&["HUP"], 2),
    ];
    at_once(rows, |(signals, shards)| {
        let scene = Long::new();
        let of = shards.to_string();
        let child = scene.command(&["--shards", &of]).spawn().unwrap();
        scene.await_begun(*shards);
        signals.iter().for_each(|signal| send(child.id(), signal));
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(105), "{signals:?} {shards}: {}", said(&output));
        assert!(said(&output).contains("INTERRUPTED"), "{signals:?} {shards}: {}", said(&output));
        // Who is interrupted once lets every client take its leave.
        let exact = said(&output).contains("clients and target agree exactly");
        assert!(exact || signals.len() > 1, "{signals:?} {shards}: {}", said(&output));
        assert_eq!(scene.ended(), "interrupted", "{signals:?} {shards}");
        assert_eq!(scene.json()["accounting"]["closes"], true, "{signals:?} {shards}");
    });
}

#[test]
fn a_third_interrupt_kills_shards_that_do_not_hear() {
    let scene = Long::new();
    let mut child = scene.command(&["--shards", "2"]).spawn().unwrap();
    scene.await_begun(2);
    let shards = scene.shards();
    shards.values().for_each(|pid| send(*pid, "STOP"));
    (0..3).for_each(|_| {
        send(child.id(), "INT");
        // Two that come at once are one to the system.
        std::thread::sleep(Duration::from_millis(300));
    });
    let told = read_all(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(111), "{told}{}", said(&output));
    assert!(told.contains("the user interrupted a third time. 1 of 2 goes on"), "{told}");
    assert!(told.contains("the user interrupted a third time. No other is running"), "{told}");
    assert_eq!(scene.json()["shards"]["lost"].as_array().unwrap().len(), 2);
    assert!(
        scene.json()["accounting"]["all"]["attempts"].as_u64().unwrap() >= 12,
        "what was written is reported"
    );
    assert_eq!(scene.shards(), BTreeMap::new());
}

fn read_all(stream: Option<ChildStderr>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let scene = Long::new();
    let child = scene.shell("trap '' HUP; exec \"$@\"", &["--set", "duration=3s"]).spawn().unwrap();
    scene.await_begun(1);
    send(child.id(), "HUP");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{}", said(&output));
    assert_eq!(scene.ended(), "completed");
}

#[test]
fn readers_who_leave_and_closed_streams_do_not_change_the_exit_code() {
    let rows: &[(&str, &[&str])] = &[
        ("exec \"$@\" <&- >&- 2>&-", &["--shards", "1"]),
        ("exec \"$@\" <&- >&- 2>&-", &["--shards", "2"]),
        ("exec \"$@\" >/dev/full", &["--shards", "1"]),
        ("exec \"$@\" 2>/dev/full", &["--progress", "plain"]),
        ("exec \"$@\"", &["--progress", "plain"]),
        ("exec \"$@\"", &["--shards", "2"]),
    ];
    at_once(rows, |(script, more)| {
        let scene = Long::new();
        let mut child = scene.shell(script, &[*more, SHORT].concat()).spawn().unwrap();
        // Nobody reads: both ends are closed before the first word.
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(99), "{script} {more:?}");
        assert_eq!(scene.ended(), "completed", "{script} {more:?}");
    });
}

#[test]
fn a_stdout_that_cannot_be_written_is_an_error_of_a_run_that_passed() {
    let scene = Long::new();
    let pass = ["--set", "thresholds.reconnects=[\"count > 0\"]", "--set", "duration=1500ms"];
    let output = scene.shell("exec \"$@\" >/dev/full", &pass).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(said(&output).matches("No space left on device").count(), 1, "{}", said(&output));
    assert!(said(&output).contains("cannot write the summary to stdout"), "{}", said(&output));
    assert_eq!(scene.json()["verdict"]["exit_code"], 0);
    let report = |stdout: Stdio| {
        let mut command = resurge();
        command.arg("report").arg(scene.folder()).args(["--format", "html"]);
        command.stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), said(&output).matches("error: ").count())
    };
    assert_eq!(report(Stdio::piped()), (Some(0), 0), "as `resurge report | true`");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(report(full.into()), (Some(1), 1), "a full disk is told once");
}

#[test]
fn a_target_whose_first_line_was_read_serves_on() {
    at_once(&["INT", "TERM", "HUP"], |signal| {
        let mut served = Served::start(resurge_behind(&HEARS_HANGUPS), &[], Stdio::piped());
        // As `resurge serve | head -1`.
        drop((served.process.stdout.take(), served.process.stderr.take()));
        let address = served.addr;
        let mut stream = TcpStream::connect(address).unwrap();
        let request =
            format!("GET /_resurge/counters HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        send(served.process.id(), signal);
        assert_eq!(served.process.wait().unwrap().code(), Some(0), "{signal}");
    });
}

/// A run on a terminal of its own, which hangs up once the run has begun.
fn hang_up(shards: u32) -> (Long, ExitStatus) {
    let scene = Long::new();
    // No other process may inherit it: then it would not hang up.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let (slave, master) = (File::from(ioctl_tiocgptpeer(&master, flags).unwrap()), File::from(master));
    let of = shards.to_string();
    let mut command = scene.behind(&[&HEARS_HANGUPS[..], &["setsid", "--ctty"]].concat(), &["--shards", &of]);
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    command.env("TERM", "xterm");
    let mut child = command.spawn().unwrap();
    // Ours of the terminal are closed with it.
    drop(command);
    let begun = Arc::new(Mutex::new(false));
    let reading = std::thread::spawn({
        let begun = Arc::clone(&begun);
        move || {
            let (mut master, mut shown, mut buffer) = (master, Vec::new(), [0; 4_096]);
            // The live view is drawn each second, so this is never long in coming.
            while !*begun.lock().unwrap() {
                let found = master.read(&mut buffer).unwrap_or(0);
                shown.extend_from_slice(&buffer[..found]);
            }
            shown
        }
    });
    scene.await_begun(shards);
    *begun.lock().unwrap() = true;
    let shown = String::from_utf8_lossy(&reading.join().unwrap()).into_owned();
    assert!(shown.contains("left"), "the live view was on the terminal: {shown}");
    let status = child.wait().unwrap();
    (scene, status)
}

#[test]
fn a_closed_terminal_ends_the_run_with_its_report() {
    at_once(&[1, 2], |shards| {
        let (scene, status) = hang_up(*shards);
        assert_eq!(status.code(), Some(105), "{shards}: {status}");
        assert_eq!(scene.ended(), "interrupted", "{shards}");
        assert_eq!(scene.json()["accounting"]["closes"], true, "{shards}");
    });
}

/// A run of three shards that ends some seconds after it began, and its stderr as it comes.
struct Three {
    scene: Long,
    child: Child,
    told: Arc<Mutex<String>>,
    pids: BTreeMap<String, u32>,
}

impl Three {
    fn begin(duration: &str) -> Self {
        let scene = Long::new();
        let duration = format!("duration={duration}");
        let mut child = scene.command(&["--shards", "3", "--set", &duration]).spawn().unwrap();
        let told = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let told = Arc::clone(&told);
            move || {
                stderr
                    .lines()
                    .map_while(Result::ok)
                    .for_each(|line| told.lock().unwrap().push_str(&(line + "\n")));
            }
        });
        scene.await_begun(3);
        let pids = scene.shards();
        Self { scene, child, told, pids }
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    fn end(self) -> (Long, String, Option<i32>) {
        let told = Arc::clone(&self.told);
        let output = self.child.wait_with_output().unwrap();
        until("the last words", || told.lock().unwrap().contains("run folder: "));
        let told = format!("{}{}", told.lock().unwrap(), said(&output));
        (self.scene, told, output.status.code())
    }
}

#[test]
fn a_shard_that_is_stopped_alone_is_its_own_loss() {
    at_once(&["TERM", "INT", "HUP"], |signal| {
        let three = Three::begin("3s");
        send(three.pids["2/3"], signal);
        let (scene, told, code) = three.end();
        assert_eq!(code, Some(111), "{told}");
        assert!(
            told.contains("shard 2 of 3 was stopped alone, by a signal of its own. 2 of 3 go on"),
            "{told}"
        );
        assert!(
            told.contains(
                "shard 2 of 3 is lost with its 4 clients (g 4): its numbers are missing from second"
            ),
            "{told}"
        );
        let json = scene.json();
        assert_eq!(
            (&json["ended"]["how"], json["shards"]["lost"].as_array().unwrap().len()),
            (&"completed".into(), 1)
        );
        assert_eq!(json["accounting"]["closes"], true);
    });
}

#[test]
fn that_no_shard_goes_on_is_told() {
    let three = Three::begin("60s");
    three.pids.values().for_each(|pid| send(*pid, "KILL"));
    let (scene, told, code) = three.end();
    assert_eq!(code, Some(111), "{told}");
    assert_eq!(told.matches("No other is running").count(), 1, "{told}");
    assert!(!told.contains("The others go on"), "{told}");
    assert_eq!(scene.json()["shards"]["lost"].as_array().unwrap().len(), 3);
}

#[test]
fn a_shard_that_falls_silent_is_named() {
    let three = Three::begin("60s");
    send(three.pids["3/3"], "STOP");
    until("its silence to be told", || three.told().contains("shard 3 of 3 has said nothing for"));
    assert!(three.told().contains("it is killed in"), "{}", three.told());
    send(three.pids["3/3"], "CONT");
    until("it to be heard again", || three.told().contains("shard 3 of 3 is heard again"));
    send(three.child.id(), "INT");
    let (scene, told, code) = three.end();
    assert_eq!(code, Some(105), "{told}");
    assert_eq!(scene.json()["shards"]["lost"].as_array().unwrap().len(), 0, "{told}");
}
