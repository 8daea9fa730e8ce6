//! A run writes into its own folder and nowhere else; a folder is read for what is in it, and what is missing is told.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::coming_and_going::coming_and_going;
use crate::support::output::said;
use crate::support::program::resurge;
use crate::support::scene::Scene;

/// A scenario in the folder in which the program runs, and another folder.
struct Place {
    scene: Scene,
    /// Where nothing may be written.
    outside: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "precious").unwrap();
        Self { scene: Scene::new(&coming_and_going(6, "800ms")), outside }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scene.path(name)
    }

    fn precious(&self) -> PathBuf {
        self.outside.path().join("precious")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = resurge();
        command.current_dir(self.path("")).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        self.output(&[&["run", "scenario.toml", "--progress", "none"], more].concat())
    }

    fn assert_nothing_is_outside(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read_to_string(self.precious()).unwrap(), "precious");
    }
}

/// Starts all at once; answers with their exit codes.
fn at_once(commands: Vec<Command>) -> Vec<(i32, String)> {
    let children: Vec<_> = commands.into_iter().map(|mut command| command.spawn().unwrap()).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs.map(|output| (output.status.code().unwrap(), said(&output))).collect()
}

#[test]
fn two_runs_never_share_a_folder() {
    let place = Place::new();
    for shards in ["1", "2"] {
        let out = format!("same-{shards}");
        let one = || {
            place.command(&["run", "scenario.toml", "--progress", "none", "--shards", shards, "--out", &out])
        };
        let mut ended = at_once((0..4).map(|_| one()).collect());
        ended.sort();
        let codes: Vec<i32> = ended.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [0, 2, 2, 2], "{ended:?}");
        assert!(ended[1..].iter().all(|(_, told)| told.contains("is there already")), "{ended:?}");
        let report = place.output(&["report", &out]);
        assert!(said(&report).starts_with("PASS"), "the one that has it is whole: {}", said(&report));
    }
}

#[test]
fn generated_names_differ_when_runs_begin_together() {
    let place = Place::new();
    let ended =
        at_once((0..5).map(|_| place.command(&["run", "scenario.toml", "--progress", "none"])).collect());
    assert!(ended.iter().all(|(code, _)| *code == 0), "{ended:?}");
    let folders: BTreeSet<_> =
        fs::read_dir(place.path("reports")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 5);
    for folder in folders {
        assert!(
            folder.join("run.json").is_file()
                && folder.file_name().unwrap().to_str().unwrap().starts_with("scenario-")
        );
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let place = Place::new();
    symlink(place.outside.path().join("new"), place.path("dangling")).unwrap();
    symlink(place.outside.path(), place.path("leads")).unwrap();
    for (link, shards) in [("dangling", "1"), ("leads", "1"), ("dangling", "2"), ("leads", "2")] {
        let output = place.run(&["--out", link, "--shards", shards]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("is there already"), "{}", said(&output));
    }
    place.assert_nothing_is_outside();
    assert_eq!(place.run(&["--out", "run"]).status.code(), Some(0));
    // Every file of a folder is planted as a link, then all are written again, and merged, and saved.
    let names: Vec<PathBuf> =
        fs::read_dir(place.path("run")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in names.iter().filter(|path| !path.ends_with("journal.bin")) {
        fs::remove_file(path).unwrap();
        symlink(place.precious(), path).unwrap();
        drop(symlink(place.precious(), path.with_extension("tmp")));
    }
    let output = place.output(&["report", "run", "--rewrite"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(names.iter().all(|path| !path.symlink_metadata().unwrap().is_symlink()), "they are files again");
    place.assert_nothing_is_outside();
    symlink(place.outside.path().join("merged"), place.path("merged")).unwrap();
    let output = place.output(&["merge", "run", "--out", "merged"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for (planted, target) in [("v1.baseline", "precious"), ("v2.baseline", "not-there")] {
        symlink(place.outside.path().join(target), place.path(planted)).unwrap();
        let name = planted.trim_end_matches(".baseline");
        let save = ["baseline", "save", "run", "--name", name, "--folder", "."];
        let output = place.output(&save);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let output = place.output(&[&save, ["--force"].as_slice()].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(!place.path(planted).symlink_metadata().unwrap().is_symlink());
    }
    place.assert_nothing_is_outside();
}

#[test]
fn exports_are_checked_before_the_run() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    let rows: [(&[&str], &str); 6] = [
        (&["junit=no/such/folder.xml"], "Make its folder first"),
        (&["junit=file/x.xml"], "nothing can be written there"),
        (&["html=folder"], "it is a folder. Name a file in it"),
        (&["html=x", "json=x"], "two reports cannot have one file"),
        (&["json=out/journal.bin"], "the run keeps its own numbers there"),
        (&["json=out/shards"], "the run keeps its own numbers there"),
    ];
    for (exports, part) in rows {
        let exports: Vec<String> = exports.iter().map(|export| format!("--export={export}")).collect();
        let words: Vec<&str> =
            ["--out", "out"].into_iter().chain(exports.iter().map(String::as_str)).collect();
        let output = place.run(&words);
        assert_eq!(output.status.code(), Some(2), "{exports:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{exports:?}: {}", said(&output));
        assert!(!place.path("out").exists(), "{exports:?}: before the run");
    }
    symlink(place.precious(), place.path("link.md")).unwrap();
    let exports = [
        "junit=out/junit.xml",
        "json=all/mine.json",
        "markdown=link.md",
        "hlog=/dev/stdout",
        "csv=plain.csv",
    ];
    let exports: Vec<String> = exports.iter().map(|export| format!("--export={export}")).collect();
    let words: Vec<&str> = ["--out", "out"].into_iter().chain(exports.iter().map(String::as_str)).collect();
    // Only folders that the run makes may be missing.
    fs::create_dir(place.path("all")).unwrap();
    let output = place.run(&words);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for name in ["out/junit.xml", "all/mine.json", "link.md", "plain.csv"] {
        assert!(fs::symlink_metadata(place.path(name)).unwrap().is_file(), "{name}");
    }
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("#[Histogram log format version"),
        "{}",
        said(&output)
    );
    assert!(Path::new("/dev/stdout").symlink_metadata().unwrap().is_symlink());
    place.assert_nothing_is_outside();
    // The folder of all runs is made by the first.
    let output = place.run(&["--export", "junit=reports/junit.xml"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(place.path("reports/junit.xml").is_file());
}

#[test]
fn a_report_comes_from_the_journal_whatever_became_of_the_rest() {
    let place = Place::new();
    assert_eq!(place.run(&["--out", "run"]).status.code(), Some(0));
    let report = |format: &str| place.output(&["report", "run", "--format", format]);
    let (text, json) = (report("text"), report("json"));
    assert_eq!(json.status.code(), Some(0));
    let others: Vec<PathBuf> =
        fs::read_dir(place.path("run")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in others.iter().filter(|path| !path.ends_with("journal.bin")) {
        let whole = fs::read(path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for changed in [&whole[..whole.len() / 2], b"", &flipped, b"\0\xff{"] {
            fs::write(path, changed).unwrap();
            assert!(report("json") == json, "{}", path.display());
        }
        fs::remove_file(path).unwrap();
        assert!(report("json") == json, "{}", path.display());
        let (told, without) = (report("text"), !place.path("run/report.html").exists());
        // The last line names the page, where there is one.
        assert!(
            told == text || (without && text.stdout.starts_with(told.stdout.trim_ascii_end())),
            "{}",
            path.display()
        );
    }
    // The journal itself, wherever it is damaged: 65 and the byte, or what is left of it.
    let journal = place.path("run/journal.bin");
    let whole = fs::read(&journal).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&journal, flipped).unwrap();
        let output = report("text");
        assert_eq!(output.status.code(), Some(65), "{at}: {}", said(&output));
        let names_it = said(&output).contains("is damaged at byte ") || at < 8;
        assert!(names_it && output.stdout.is_empty(), "{at}: {}", said(&output));
        fs::write(&journal, &whole[..at]).unwrap();
        let output = report("text");
        match output.status.code() {
            Some(65) => assert!(said(&output).contains("holds nothing"), "{at}: {}", said(&output)),
            Some(0) => assert!(said(&output).contains("this run was cut off"), "{at}: {}", said(&output)),
            other => panic!("{at}: {other:?} {}", said(&output)),
        }
    }
}

#[test]
fn what_is_no_run_is_told() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    assert_eq!(place.run(&["--out", "split", "--shards", "2"]).status.code(), Some(0));
    // As if the parent had been killed before it merged.
    let all = place.path("split/journal.bin");
    let merged = fs::read(&all).unwrap();
    fs::remove_file(&all).unwrap();
    let rows: [(&[&str], i32, &str); 7] = [
        (
            &["report", "empty"],
            65,
            "empty is no run folder, or its run was killed before it began: there is no journal.bin",
        ),
        (&["report", "nowhere"], 65, "nowhere is no run folder: there is no such folder"),
        (&["merge", "empty", "--out", "x"], 65, "empty is no run folder: there is no journal.bin in it"),
        (&["merge", "nowhere", "--out", "x"], 65, "nowhere is no run folder: there is no such folder"),
        (&["merge", "split", "--out", "x"], 65, "name split/shards/*"),
        (&["compare", "empty", "split"], 65, "empty is no run folder and holds none"),
        (
            &["report", "split"],
            0,
            "The report is made of what the shards left in split/shards/1, split/shards/2",
        ),
    ];
    for (words, code, part) in rows {
        let output = place.output(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{words:?}: {}", said(&output));
    }
    let from_shards = place.output(&["report", "split", "--format", "json", "--rewrite"]);
    assert!(!all.exists(), "a parent that still runs has to write it");
    fs::write(&all, merged).unwrap();
    let own = place.output(&["report", "split", "--format", "json"]);
    let parts = |output: &Output| {
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ["accounting", "reconciliation", "verdict", "shards", "ended"].map(|part| json[part].to_string())
    };
    assert_eq!(parts(&from_shards), parts(&own), "the same run");
    // One shard has nothing: the other is reported, and the loss is told.
    fs::remove_file(&all).unwrap();
    fs::write(place.path("split/shards/2/journal.bin"), "").unwrap();
    let output = place.output(&["report", "split"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("shard 2 of 2 is lost")
            && said(&output).contains("it was killed before it began"),
        "{}",
        said(&output)
    );
}
