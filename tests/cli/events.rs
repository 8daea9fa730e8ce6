//! What a run does to the service itself, and marks from outside: each thing that can go wrong, and that nothing is left running.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::begun::await_begun;
use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::signals::send;
use crate::support::waiting::until;

fn scene(duration: &str, events: &str) -> Scene {
    Scene::new(&(coming_and_going(6, duration) + events))
}

/// Runs a scene to its end.
fn run(scene: &Scene, more: &[&str]) -> Output {
    scene.command("run", more).env("EVENT_SECRET", "canary-of-events").output().unwrap()
}

/// The marks of the run folder `run`, by their names.
fn mark<'m>(json: &'m Value, name: &str) -> &'m Value {
    let marks = json["marks"].as_array().unwrap();
    let mut named = marks.iter().filter(|mark| mark["name"] == name);
    let mark = named.next().unwrap_or_else(|| panic!("{name} of {marks:?}"));
    assert!(named.next().is_none(), "{name} is there once");
    mark
}

/// Processes that have `word` among their arguments, and have not exited.
fn processes_with(word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    let has_word = |pid: &u32| {
        // One that has exited has no arguments any more.
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split('\0').any(|argument| argument == word)
    };
    pids.filter(has_word).collect()
}

#[test]
fn commands_are_run_only_where_the_user_allows_it() {
    let commands = scene(
        "1s",
        "[[events]]\nat = \"0s\"\ncommand = [\"touch\", \"done\"]\n[[events]]\nat = \"0s\"\nsignal = { pid_file = \"x\", signal = \"HUP\" }\n",
    );
    for more in [&[][..], &["--shards", "2"], &["--shard", "2/2"]] {
        let output = run(&commands, more);
        assert_eq!(output.status.code(), Some(77), "{more:?}: {}", said(&output));
        let told = said(&output);
        assert!(
            told.contains("\n  touch done\n  SIGHUP to ") && told.contains("add --allow-commands"),
            "{told}"
        );
        assert!(!commands.path("run").exists(), "nothing was begun");
    }
    let mut sweep = resurge();
    sweep.arg("sweep").arg(commands.file()).args([
        "--real",
        "--over",
        "groups.0.clients=1,2",
        "--quiet",
        "--out",
    ]);
    let output = sweep.arg(commands.path("sweep")).output().unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    // A request needs no more than its address to be free.
    let request =
        scene("1s", "[[events]]\nat = \"0s\"\nname = \"hook\"\nhttp = { url = \"http://127.0.0.1:9/\" }\n");
    assert_eq!(run(&request, &[]).status.code(), Some(0));
    assert_eq!(mark(&json(&request.path("run")), "hook")["outcome"]["is_good"], false);
    let stranger = scene("1s", "[[events]]\nat = \"0s\"\nhttp = { url = \"http://203.0.113.7/\" }\n");
    let output = run(&stranger, &["--allow-commands"]);
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("--authorize 203.0.113.7"), "{}", said(&output));
    // Virtual time has nobody to do it to.
    let output =
        resurge().arg("simulate").arg(commands.file()).arg("--out").arg(commands.path("virtual")).output();
    let output = output.unwrap();
    assert!(said(&output).contains("the event touch done is not done"), "{}", said(&output));
    assert_eq!(json(&commands.path("virtual"))["marks"], Value::Array(Vec::new()));
}

/// A server that answers each request with the head of it in its body, and this status.
fn echo(status: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let body = String::from_utf8_lossy(&request[..count]).into_owned();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // Whoever does not wait for it has it told.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn each_way_to_end_is_told_and_no_secret_with_it() {
    let (good, bad) = (echo(202), echo(500));
    let events = format!(
        r#"
[[events]]
at = "100ms"
name = "says"
command = ["sh", "-c", "echo out; echo err >&2; echo $MINE; printf '\\033[31mred\\033[0m\\n'; exit 3"]
environment = {{ MINE = {{ env = "EVENT_SECRET" }} }}
[[events]]
at = "100ms"
name = "by argument"
command = ["echo", {{ env = "EVENT_SECRET" }}, "rest"]
[[events]]
at = "100ms"
name = "killed"
command = ["sh", "-c", "kill -USR1 $$"]
[[events]]
at = "100ms"
name = "not there"
command = ["/nowhere/program"]
[[events]]
at = "100ms"
name = "stubborn"
timeout = "300ms"
command = ["sh", "-c", "trap '' TERM; sleep 86311 & sleep 86311"]
[[events]]
at = "100ms"
name = "forks"
command = ["sh", "-c", "sleep 86312 & echo left"]
[[events]]
at = "100ms"
name = "many lines"
command = ["sh", "-c", "seq 1 100000"]
[[events]]
at = "100ms"
name = "accepted"
http = {{ url = "http://{good}/", headers = {{ Authorization = {{ env = "EVENT_SECRET" }} }}, body = "hello", expect = [202] }}
[[events]]
at = "100ms"
name = "failing"
http = {{ method = "GET", url = "http://{bad}/" }}
[[events]]
at = "100ms"
name = "no number"
signal = {{ pid_file = "scenario.toml", signal = "TERM" }}
[[events]]
at = "1500ms"
name = "cut off"
command = ["sleep", "86313"]
[[events]]
at = "200ms"
every = "1s"
name = "too slow"
command = ["sleep", "1.8"]
"#
    );
    let scene = scene(
        "3s",
        &events.replacen(
            "[[events]]\nat = \"200ms\"\nevery",
            "[[events]]\nat = \"200ms\"\nwait = \"started\"\nevery",
            1,
        ),
    );
    let output = run(&scene, &["--allow-commands"]);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "a failure is told, and no more: {told}");
    let json = json(&scene.path("run"));
    // (name, how it ended with what, whether that was good)
    let rows = [
        ("says", serde_json::json!({ "how": "exited", "code": 3 }), false),
        ("by argument", serde_json::json!({ "how": "exited", "code": 0 }), true),
        ("killed", serde_json::json!({ "how": "killed", "signal": 10 }), false),
        ("stubborn", serde_json::json!({ "how": "timed_out" }), false),
        ("forks", serde_json::json!({ "how": "exited", "code": 0 }), true),
        ("many lines", serde_json::json!({ "how": "exited", "code": 0 }), true),
        ("accepted", serde_json::json!({ "how": "answered", "status": 202 }), true),
        ("failing", serde_json::json!({ "how": "answered", "status": 500 }), false),
        ("cut off", serde_json::json!({ "how": "ended_with_run" }), false),
    ];
    for (name, end, is_good) in rows {
        let outcome = &mark(&json, name)["outcome"];
        assert_eq!((&outcome["end"], &outcome["is_good"]), (&end, &is_good.into()), "{name}: {told}");
    }
    for (name, part) in
        [("not there", "cannot be started"), ("no number", "does not hold a process's number")]
    {
        let end = mark(&json, name)["outcome"]["end"].to_string();
        assert!(end.contains("not_done") && end.contains(part), "{name}: {end}");
    }
    assert_eq!(mark(&json, "says")["outcome"]["last_lines"], serde_json::json!(["out", "err", "…", "red"]));
    assert_eq!(mark(&json, "by argument")["outcome"]["last_lines"], serde_json::json!(["… rest"]));
    assert_eq!(mark(&json, "by argument")["does"], "echo … rest");
    let lines = mark(&json, "many lines")["outcome"]["last_lines"].as_array().unwrap();
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (20, Some("100000")));
    let echoed = mark(&json, "accepted")["outcome"]["last_lines"].to_string();
    assert!(echoed.contains("POST / HTTP/1.1") && echoed.contains("hello"), "{echoed}");
    // One that has ended by itself is over then, whatever it has left behind.
    assert!(mark(&json, "forks")["outcome"]["took_us"].as_u64().unwrap() < 1_000_000);
    // Again and again, but not while it still runs.
    let slow: Vec<&str> = json["marks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mark| mark["name"] == "too slow")
        .map(|mark| mark["outcome"]["end"]["how"].as_str().unwrap())
        .collect();
    assert_eq!(slow, ["exited", "not_done", "ended_with_run"], "{told}");
    for seconds in ["86311", "86312", "86313"] {
        assert_eq!(processes_with(seconds), Vec::<u32>::new(), "sleep {seconds} is left");
    }
    assert!(
        !told.contains('\u{1b}') && told.contains("WARNINGS") && told.contains("event says at "),
        "{told}"
    );
    for entry in fs::read_dir(scene.path("run")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary-of-events"), "a secret in the run folder");
    }
    assert!(!told.contains("canary-of-events"), "{told}");
    let html = fs::read_to_string(scene.path("run/report.html")).unwrap();
    assert!(
        html.contains("Events and marks") && html.contains("\"label\":\"accepted\""),
        "a line in every plot over time"
    );
}

#[test]
fn a_required_event_that_fails_makes_the_run_not_valid() {
    let events = "[[events]]\nat = \"100ms\"\nname = \"deploy\"\nrequired = true\ncommand = [\"false\"]\n";
    let failing = scene("1s", events);
    let output = run(&failing, &["--allow-commands"]);
    assert_eq!(output.status.code(), Some(110), "{}", said(&output));
    assert!(said(&output).contains("! the event deploy at 1"), "{}", said(&output));
    let good = scene("1s", &events.replace("false", "true"));
    assert_eq!(run(&good, &["--allow-commands"]).status.code(), Some(0));
    let junit = resurge().args(["report", "--format", "junit"]).arg(failing.path("run")).output().unwrap();
    let junit = said(&junit);
    assert!(junit.contains("required events were done") && junit.contains("the event deploy at"), "{junit}");
}

#[test]
fn a_gigabyte_costs_neither_memory_nor_the_run() {
    let events = "[[events]]\nat = \"100ms\"\nname = \"all\"\nwait = \"exited\"\ncommand = [\"sh\", \"-c\", \"head -c 1000000000 /dev/zero; echo; echo the end\"]\n";
    let scene = scene("20s", events);
    let mut child = scene.command("run", &["--allow-commands"]).stdout(Stdio::piped()).spawn().unwrap();
    await_begun(&scene.path("run"), 1);
    let journal = scene.path("run/journal.bin");
    let is_over = || {
        let journal = resurge::record::read_journal(&journal).unwrap();
        journal
            .notes
            .iter()
            .any(|note| matches!(note, resurge::record::Note::Mark(mark) if mark.outcome.is_some()))
    };
    until("the gigabyte to be read", is_over);
    send(child.id(), "INT");
    child.wait().unwrap();
    let json = json(&scene.path("run"));
    assert_eq!(mark(&json, "all")["outcome"]["last_lines"].as_array().unwrap().last().unwrap(), "the end");
    let rss = json["generator"]["max_rss_bytes"].as_u64().unwrap();
    assert!(rss < 300 << 20, "{rss} bytes");
}

/// A scene whose command runs until it is ended, with a process in its background.
fn with_a_long_command(seconds: &str) -> Scene {
    scene(
        "60s",
        &format!(
            "[[events]]\nat = \"100ms\"\nname = \"long\"\ntimeout = \"60s\"\ncommand = [\"sh\", \"-c\", \"sleep {seconds} & sleep {seconds}\"]\n"
        ),
    )
}

/// Waits until both processes of [`with_a_long_command`] are there.
fn await_command(seconds: &str) {
    until("the command to be under way", || processes_with(seconds).len() == 2);
}

#[test]
fn nothing_is_left_running_however_the_run_ends() {
    // (signals to the run, shards, the exit code)
    let rows: [(&[&str], &str, &str, Option<i32>); 5] = [
        (&["INT"], "1", "86321", Some(105)),
        (&["INT", "INT"], "1", "86322", Some(105)),
        (&["TERM"], "2", "86323", Some(105)),
        (&["KILL"], "1", "86324", None),
        (&["KILL"], "2", "86325", None),
    ];
    std::thread::scope(|scope| {
        for (signals, shards, seconds, code) in rows {
            scope.spawn(move || {
                let scene = with_a_long_command(seconds);
                let more = ["--allow-commands", "--shards", shards];
                let mut child = scene.command("run", &more).stdout(Stdio::null()).spawn().unwrap();
                await_begun(&scene.path("run"), shards.parse().unwrap());
                await_command(seconds);
                signals.iter().for_each(|signal| send(child.id(), signal));
                assert_eq!(child.wait().unwrap().code(), code, "{signals:?} {shards}");
                // What is killed has a guard, and that takes its time.
                until("the command to be gone", || processes_with(seconds).is_empty());
                if code.is_some() {
                    let json = json(&scene.path("run"));
                    assert_eq!(mark(&json, "long")["outcome"]["end"]["how"], "ended_with_run");
                    assert!(!scene.path("run/mark.sock").exists(), "the door is gone with the run");
                }
            });
        }
    });
}

/// `resurge mark`, and what it came to.
fn knock(folder: &Path, text: &str) -> (Option<i32>, String) {
    let output = resurge().arg("mark").arg(folder).arg(text).output().unwrap();
    (output.status.code(), said(&output).trim().to_owned())
}

#[test]
fn marks_come_from_outside_while_a_run_goes_on() {
    std::thread::scope(|scope| {
        for shards in [1_u32, 3] {
            scope.spawn(move || {
                let scene = Scene::new(&coming_and_going(6, "60s"));
                let more = ["--shards", &shards.to_string()];
                let mut child = scene.command("run", &more).stdout(Stdio::null()).spawn().unwrap();
                let folder = scene.path("run");
                await_begun(&folder, shards);
                let door =
                    if shards == 1 { folder.join("mark.sock") } else { folder.join("shards/1/mark.sock") };
                let mode = fs::metadata(&door).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "nobody else may mark");
                let (code, told) = knock(&folder, "deploy of 4f2a");
                assert_eq!(code, Some(0), "{told}");
                let at: f64 = told
                    .strip_prefix("marked at ")
                    .and_then(|rest| rest.strip_suffix(" s"))
                    .unwrap()
                    .parse()
                    .unwrap();
                for (text, part) in [
                    ("", "no text"),
                    ("a\u{1b}[2J", "U+001B"),
                    ("a\nb", "U+000A"),
                    (&"x".repeat(201), "201 characters"),
                ] {
                    let (code, told) = knock(&folder, text);
                    assert!(code == Some(2) && told.contains(part), "{text:?}: {code:?} {told}");
                }
                // A stranger's bytes, and one who says nothing.
                let connect = || std::os::unix::net::UnixStream::connect(&door).unwrap();
                let silent: Vec<_> = (0..20).map(|_| connect()).collect();
                let mut stranger = connect();
                let garbage = stranger
                    .write_all(&[0xff; 700])
                    .and_then(|()| stranger.shutdown(std::net::Shutdown::Write));
                let mut answer = String::new();
                let answered = garbage.and_then(|()| stranger.read_to_string(&mut answer));
                assert!(answered.is_ok() && answer.starts_with("no "), "{answered:?} {answer}");
                drop(silent);
                send(child.id(), "USR1");
                let marks = || {
                    resurge::record::read_journal(&door.with_file_name("journal.bin")).unwrap().notes.len()
                };
                until("both marks to be written", || marks() == 2);
                send(child.id(), "INT");
                assert_eq!(child.wait().unwrap().code(), Some(105));
                let json = json(&folder);
                let by_text = mark(&json, "deploy of 4f2a");
                assert_eq!(by_text["by"], "outside");
                assert!((by_text["at_us"].as_f64().unwrap() / 1e6 - at).abs() < 0.001, "{by_text} {at}");
                assert_eq!(mark(&json, "SIGUSR1")["by"], "signal");
                assert_eq!(json["marks"].as_array().unwrap().len(), 2, "nothing else was taken");
                let numbers: std::collections::BTreeSet<u64> = json["marks"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|mark| mark["number"].as_u64().unwrap())
                    .collect();
                assert_eq!(numbers.len(), 2);
                let (code, told) = knock(&folder, "too late");
                assert!(code == Some(1) && told.contains("the run is over"), "{code:?} {told}");
            });
        }
    });
}

#[test]
fn a_mark_where_no_run_is_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (code, told) = knock(&home.path().join("none"), "x");
    assert!(code == Some(65) && told.contains("is no run folder"), "{code:?} {told}");
    // What a run that was killed has left behind.
    fs::write(home.path().join("journal.bin"), "").unwrap();
    drop(UnixListener::bind(home.path().join("mark.sock")).unwrap());
    let (code, told) = knock(home.path(), "x");
    assert!(code == Some(1) && told.contains("was killed"), "{code:?} {told}");
}

#[test]
fn a_folder_whose_path_is_too_long_for_a_socket_takes_marks_all_the_same() {
    let scene = Scene::new(&coming_and_going(2, "60s"));
    let folder = scene.path(&"deep".repeat(30)).join("run");
    let mut command = resurge();
    command.arg("run").arg(scene.file()).arg("--out").arg(&folder).args(["--progress", "none"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    await_begun(&folder, 1);
    let (code, told) = knock(&folder, "from afar");
    assert_eq!(code, Some(0), "{told}");
    send(child.id(), "INT");
    child.wait().unwrap();
    assert_eq!(mark(&json(&folder), "from afar")["by"], "outside");
}

#[test]
fn shards_do_an_event_once_and_the_merged_run_has_it_once() {
    let events = |place: &Path| {
        let file = place.join("once");
        format!(
            "[[events]]\nat = \"300ms\"\nname = \"once\"\ncommand = [\"sh\", \"-c\", \"echo line >> {}\"]\n",
            file.display()
        )
    };
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("once");
    let scene = scene("1500ms", &events(home.path()));
    let output = run(&scene, &["--allow-commands", "--shards", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), "line\n");
    let split = json(&scene.path("run"));
    assert_eq!(mark(&split, "once")["outcome"]["end"]["code"], 0);
    // The same on many machines, which are merged afterwards.
    for shard in ["1/2", "2/2"] {
        let out = format!("part-{}", &shard[..1]);
        let output = scene.command(&out, &["--allow-commands", "--shard", shard]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "line\nline\n", "by the first machine alone");
    assert_eq!(json(&scene.path("part-2"))["marks"].as_array().unwrap().len(), 0);
    let merged = resurge()
        .arg("merge")
        .args([scene.path("part-1"), scene.path("part-2")])
        .arg("--out")
        .arg(scene.path("whole"))
        .output()
        .unwrap();
    assert_eq!(merged.status.code(), Some(0), "{}", said(&merged));
    assert_eq!(json(&scene.path("whole"))["marks"], json(&scene.path("part-1"))["marks"]);
}

#[test]
fn a_signal_reaches_the_process_of_a_pid_file() {
    let mut process = Command::new("sleep").arg("86331").spawn().unwrap();
    let scene = scene(
        "1s",
        "[[events]]\nat = \"200ms\"\nname = \"ends it\"\nsignal = { pid_file = \"pid\", signal = \"TERM\" }\n",
    );
    fs::write(scene.path("pid"), format!("{}\n", process.id())).unwrap();
    let output = run(&scene, &["--allow-commands"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let end = mark(&json(&scene.path("run")), "ends it")["outcome"]["end"].clone();
    assert_eq!(end, serde_json::json!({ "how": "signalled", "pid": process.id() }));
    assert!(!process.wait().unwrap().success());
}
