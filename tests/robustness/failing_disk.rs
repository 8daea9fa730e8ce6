//! A disk that is full or fails while a run goes on: the run goes on in memory, says so once, and ends with whole numbers and a list of what could not be
//! written. Exit code 1, unless the run has a graver one.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::program::{resurge, resurge_behind};
use crate::support::scene::Scene;

/// No file may be longer: a journal of this scenario is some seconds then.
const MOST_BYTES: &str = "--fsize=4000";

/// A run whose target is embedded, so that its numbers are whole where both sides agree.
fn scene() -> Scene {
    // The journal holds the scenario's text, so that its first seconds reach the end of a page.
    let long = format!("# {}\n", "long ".repeat(180));
    Scene::new(&(long + &coming_and_going(12, "3s") + "[thresholds]\nreconnects = [\"count > 0\"]\n"))
}

/// Whether `program` does that here; where not, says that a test is skipped, past the harness.
fn can(program: &str, arguments: &[&str], test: &str) -> bool {
    let can = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !can {
        let words = arguments.join(" ");
        let told = format!("SKIPPED {test}: `{program} {words}` does not work here\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }
    can
}

fn report(folder: &Path) -> Output {
    resurge().arg("report").arg(folder).output().unwrap()
}

/// Attempts, by the summary.
fn attempts(summary: &str) -> u64 {
    let words: Vec<&str> = summary.split_whitespace().collect();
    // `(99 attempts)`, or `99 attempts = 99 outcomes` where the target's numbers are missing.
    let at = words.windows(2).position(|pair| pair[0] == "attempts)" || pair == ["attempts", "="]).unwrap();
    words[at - 1].trim_start_matches('(').replace(',', "").parse().unwrap()
}

fn assert_whole(told: &str) {
    assert!(told.contains("clients and target agree exactly"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// No temporary file is left.
fn assert_tidy(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_none_or(|ending| ending != "tmp"), "{}", path.display());
        if path.is_dir() {
            assert_tidy(&path);
        }
    }
}

#[test]
fn files_that_may_not_grow_do_not_end_the_run() {
    if !can("prlimit", &[MOST_BYTES, "true"], "files_that_may_not_grow_do_not_end_the_run") {
        return;
    }
    let failing = "thresholds.reconnects=[\"count < 1\"]";
    let rows: &[(&[&str], i32)] = &[
        (&[], 1),
        (&["--set", failing], 99),
        (&["--shards", "2"], 1),
        (&["--shards", "2", "--set", failing], 99),
    ];
    std::thread::scope(|scope| {
        for (more, code) in rows {
            scope.spawn(move || {
                let scene = scene();
                let folder = scene.path("run");
                let words = scene.words("run", &[&["--progress", "none"], *more].concat());
                let output = resurge_behind(&["prlimit", MOST_BYTES]).args(words).output().unwrap();
                let told = said(&output);
                assert_eq!(output.status.code(), Some(*code), "{told}");
                assert_whole(&told);
                let shards = if more.contains(&"--shards") { 2 } else { 1 };
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    stderr.matches("The run goes on and keeps its numbers in memory").count(),
                    shards,
                    "{told}"
                );
                assert!(
                    told.contains("cannot write") && told.contains("report.html: File too large"),
                    "{told}"
                );
                for shard in (1..=shards).filter(|_| shards == 2) {
                    let named = format!("shard {shard} of 2: ");
                    assert!(
                        told.contains(&named) && told.contains(&format!("shards/{shard}/journal.bin")),
                        "{told}"
                    );
                }
                // The table of seconds is whole, though the journal is not.
                let table = fs::read_to_string(folder.join("timeseries.csv")).unwrap();
                let column =
                    table.lines().next().unwrap().split(',').position(|name| name == "attempts").unwrap();
                let sum: u64 = table
                    .lines()
                    .skip(1)
                    .map(|row| row.split(',').nth(column).unwrap().parse::<u64>().unwrap())
                    .sum();
                assert_eq!(sum, attempts(&told), "{told}");
                assert!(table.lines().count() >= 4, "{table}");
                assert_tidy(&folder);
                let left = report(&folder);
                assert_eq!(left.status.code(), Some(0), "{}", said(&left));
                assert!(said(&left).contains("this run was cut off"), "{}", said(&left));
                assert!(attempts(&said(&left)) < attempts(&told), "{}", said(&left));
            });
        }
    });
}

/// Mounts a small file system for one run, and does `script` there: `$1` is the program, `$2` the scenario, `$3` the mount, `$4` a file for stderr.
fn on_a_small_disk(scene: &Scene, script: &str) -> (Output, String) {
    let (mount, log) = (scene.path("disk"), scene.path("stderr"));
    fs::create_dir(&mount).unwrap();
    fs::write(&log, "").unwrap();
    let script = format!("mount -t tmpfs -o size=64k none \"$3\" || exit 42\n{script}");
    let mut command = resurge_behind(&["unshare", "-rm", "sh", "-c", &script, "sh"]);
    let output = command.arg(scene.file()).arg(&mount).arg(&log).output().unwrap();
    (output, fs::read_to_string(log).unwrap())
}

#[test]
fn a_full_disk_does_not_end_the_run() {
    let test = "a_full_disk_does_not_end_the_run";
    if !can("unshare", &["-rm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"], test) {
        return;
    }
    std::thread::scope(|scope| {
        for (more, shards) in [("", 1), ("--shards 2", 2)] {
            scope.spawn(move || {
                let scene = scene();
                // So many pages are left: one for each journal.
                let script = format!(
                    "head -c {} /dev/zero > \"$3/fill\"
                    \"$1\" run \"$2\" --progress none --out \"$3/run\" {more} 2>\"$4\"; echo \"code $?\"
                    \"$1\" report \"$3/run\" 2>&1; echo \"report $?\"; ls -A \"$3/run\"",
                    65_536 - shards * 4_096
                );
                let (output, log) = on_a_small_disk(&scene, &script);
                let told = format!("{}\n{log}", said(&output));
                assert!(told.contains("\ncode 1\n") && told.contains("\nreport 0\n"), "{told}");
                assert_eq!(
                    log.matches("cannot be written: No space left on device").count(),
                    shards,
                    "{told}"
                );
                let (run, left) = told.split_once("\ncode 1\n").unwrap();
                assert_whole(run);
                assert!(left.contains("this run was cut off"), "{told}");
                assert!(left.lines().all(|name| !name.ends_with(".tmp")), "{told}");
                assert!(log.contains("report.html: No space left on device"), "{told}");
            });
        }
    });
}

#[test]
fn a_disk_that_has_room_again_has_everything_in_the_end() {
    let test = "a_disk_that_has_room_again_has_everything_in_the_end";
    if !can("unshare", &["-rm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"], test) {
        return;
    }
    let scene = scene();
    let script = "head -c 61440 /dev/zero > \"$3/fill\"
        \"$1\" run \"$2\" --progress none --set duration=5s --out \"$3/run\" 2>\"$4\" & run=$!
        await() { until grep -q \"$1\" \"$2\"; do kill -0 $run || exit 43; sleep 0.05; done; }
        await 'cannot be written' \"$4\"
        rm \"$3/fill\"; mount -o remount,size=4m none \"$3\"
        await 'can be written again' \"$4\"
        wait $run; echo \"code $?\"; \"$1\" report \"$3/run\" 2>&1; echo \"report $?\"";
    let (output, log) = on_a_small_disk(&scene, script);
    let told = format!("{}\n{log}", said(&output));
    assert!(told.contains("\ncode 0\n") && told.contains("\nreport 0\n"), "{told}");
    let (run, again) = told.split_once("\ncode 0\n").unwrap();
    assert_whole(run);
    assert_whole(again);
    assert_eq!(attempts(run), attempts(again), "{told}");
    assert!(!told.contains("cut off:") && !told.contains("error:"), "{told}");
}

#[test]
fn a_disk_that_is_full_from_the_beginning_is_told() {
    let test = "a_disk_that_is_full_from_the_beginning_is_told";
    if !can("unshare", &["-rm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"], test) {
        return;
    }
    let scene = scene();
    let script = "cat /dev/zero > \"$3/fill\" 2>/dev/null; \"$1\" run \"$2\" --progress none --out \"$3/run\" 2>\"$4\"; echo \"code $?\"";
    let (output, log) = on_a_small_disk(&scene, script);
    assert!(said(&output).contains("code 1\n"), "{}{log}", said(&output));
    assert!(log.contains("No space left on device") && log.contains("/disk/run"), "{log}");
}
