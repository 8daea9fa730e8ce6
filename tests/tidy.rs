//! What the structure promises, held by a test: who may import whom, file sizes, words that must not be left in.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the source of the data flow to its end. A module imports from itself, from those before it and from the
/// vocabulary.
const FLOW: &[&str] = &[
    "scenario",
    "plan",
    "lifecycle",
    "service",
    "drive",
    "engine",
    "record",
    "report",
    "compare",
    "sweep",
    "run",
    "diagnose",
    "cli",
];
/// Words that everybody may use. They use nothing but each other.
const VOCABULARY: &[&str] = &["clock", "event_loop", "exit_code", "random", "sample", "units"];
/// A file with more lines holds more than one noun.
const MOST_LINES: usize = 600;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module that a file under `src` belongs to.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a file's text names after `crate::`, but for its tests.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in lines {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

fn rank(module: &str) -> Option<usize> {
    FLOW.iter().position(|name| *name == module)
}

#[test]
fn imports_follow_the_flow_of_data() {
    let mut faults = Vec::new();
    for file in rust_files(&source()) {
        let module = module_of(&file);
        if module == "lib" || module == "main" || file.ends_with("machine_tests.rs") {
            continue;
        }
        let known = VOCABULARY.contains(&module.as_str()) || rank(&module).is_some();
        assert!(known, "{}: the module {module} has no place in the flow", file.display());
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let vocabulary = VOCABULARY.contains(&import.as_str());
            let before = rank(&import).zip(rank(&module)).is_some_and(|(import, own)| import <= own);
            if !vocabulary && !before {
                faults.push(format!("{} imports crate::{import}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "against the flow:\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_holds_one_noun() {
    let mut faults = Vec::new();
    for file in rust_files(&source()) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!("{} has {lines} lines", file.display()));
        }
        if !text.starts_with("//!") && !file.ends_with("machine_tests.rs") {
            faults.push(format!("{} does not begin with //!", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_unfinished_is_left_in() {
    // Spelled in two parts, so that this file does not find itself.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimpl", "emented!")];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches"].map(|folder| root.join(folder));
    let files = folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| rust_files(folder));
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in words.iter().filter(|word| text.contains(**word)) {
            faults.push(format!("{} holds {word}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_clock_reads_the_clock() {
    let calls = [
        concat!("Instant", "::now("),
        concat!("SystemTime", "::now("),
        concat!("Timestamp", "::now("),
        concat!("Zoned", "::now("),
    ];
    for file in rust_files(&source()) {
        if file.ends_with("clock.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for call in calls {
            assert!(!text.contains(call), "{} calls {call}", file.display());
        }
    }
}
