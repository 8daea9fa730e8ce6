//! What the structure promises, held by a test: who may import whom, no circles, file sizes, who writes what, words that must not be left in.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod fields;
mod files;
mod imports;
mod modules;

use std::collections::BTreeSet;

use fields::written_elsewhere;
use files::{RustFile, Token, code, rust_files};
use imports::{circles, each_path, imports, in_words};
use modules::{Meaning, Module, ModulePath, Modules};

/// The modules from the source of the data flow to its end. A module imports from itself, from those before it and from the
/// vocabulary.
const FLOW: &[&str] = &[
    "scenario",
    "plan",
    "conversation",
    "lifecycle",
    "service",
    "observe",
    "drive",
    "engine",
    "record",
    "report",
    "compare",
    "sweep",
    "run",
    "diagnose",
    "launch",
    "draft",
    "cli",
];
/// Words that everybody may use. They use nothing but each other.
const VOCABULARY: &[&str] = &[
    "clock",
    "declare",
    "deflate",
    "event_loop",
    "exit_code",
    "jose",
    "machine",
    "mqtt",
    "random",
    "access",
    "sample",
    "signing",
    "units",
];
/// A file with more lines holds more than one noun.
const MOST_LINES: usize = 500;

/// The module that a file under `src` belongs to.
fn module_of(path: &str) -> &str {
    let below = path.trim_start_matches("src/");
    below.split('/').next().unwrap().trim_end_matches(".rs")
}

fn rank(module: &str) -> Option<usize> {
    FLOW.iter().position(|name| *name == module)
}

/// The top-level modules that a module's code names, as it stands there or behind a re-export.
fn modules_named(modules: &Modules, at: &ModulePath, module: &Module) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut name = |path: &[String]| {
        if let [root, module, ..] = path {
            named.extend((root == "crate").then(|| module.clone()));
        }
        if let Some(Meaning::Item(file)) = modules.resolve(at, path) {
            named.insert(module_of(&file).to_owned());
        }
    };
    module.imports.iter().for_each(|import| name(&import.path));
    each_path(&module.body, &mut name);
    named
}

/// What a module of that name must not import: whatever stands behind it in the flow.
fn against_the_flow(modules: &Modules) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, module) in modules.iter() {
        let own = module_of(&module.file);
        if own == "lib" {
            continue;
        }
        if !VOCABULARY.contains(&own) && rank(own).is_none() {
            faults.push(format!("{}: the module {own} has no place in the flow", module.file));
        }
        for import in modules_named(modules, at, module) {
            let vocabulary = VOCABULARY.contains(&import.as_str());
            let before = rank(&import).zip(rank(own)).is_some_and(|(import, own)| import <= own);
            if !vocabulary && !before {
                faults.push(format!("{} imports crate::{import}", module.file));
            }
        }
    }
    faults
}

#[test]
fn imports_follow_the_flow_of_data() {
    let faults = against_the_flow(&Modules::of(&rust_files(&["src"])));
    assert!(faults.is_empty(), "against the flow:\n{}", faults.join("\n"));
}

#[test]
fn an_import_against_the_flow_is_found_however_it_is_written() {
    let of = |text: &str| {
        let file = |path: &str, text: &str| RustFile { path: path.to_owned(), text: text.to_owned() };
        let plan = "pub struct Plan;";
        let files = [
            file("src/lib.rs", "mod clock; mod plan; mod run;"),
            file("src/plan.rs", text),
            file("src/run.rs", plan),
            file("src/clock.rs", ""),
        ];
        against_the_flow(&Modules::of(&files))
    };
    for text in [
        "use crate::run::Plan;",
        "use crate::{clock, run};",
        "use super::run::Plan;",
        "fn f() { crate::run::start(); }",
        "fn f() -> super::run::Plan { log::info!(\"{}\", super::run::Plan) }",
    ] {
        assert_eq!(of(text), ["src/plan.rs imports crate::run"], "{text}");
    }
    for text in ["use crate::clock::Clock; // crate::run", "#[cfg(test)] mod tests { use crate::run::Plan; }"]
    {
        assert_eq!(of(text), [""; 0], "{text}");
    }
}

#[test]
fn no_files_need_each_other() {
    let imports = imports(&Modules::of(&rust_files(&["src"])));
    let circles = circles(&imports);
    let shown: Vec<String> = circles.iter().map(|circle| in_words(circle, &imports)).collect();
    assert!(circles.is_empty(), "{}", shown.join("\n\n"));
}

#[test]
fn every_file_holds_one_noun() {
    let files = rust_files(&["src", "tests", "benches"]);
    let long = files.iter().filter(|file| file.text.lines().count() > MOST_LINES);
    let faults: Vec<&str> = long.map(|file| file.path.as_str()).collect();
    assert!(faults.is_empty(), "more than {MOST_LINES} lines:\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let files = rust_files(&["src"]);
    let silent = files.iter().filter(|file| !file.text.starts_with("//!"));
    let faults: Vec<&str> = silent.map(|file| file.path.as_str()).collect();
    assert!(faults.is_empty(), "without //! at the top:\n{}", faults.join("\n"));
}

#[test]
fn a_struct_is_written_by_its_own_file() {
    let found = written_elsewhere(&rust_files(&["src"]));
    assert!(found.is_empty(), "a file, and a struct beside it whose fields it writes: {found:#?}");
}

#[test]
fn nothing_unfinished_is_left_in() {
    // Spelled in two parts, so that this file does not find itself.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimpl", "emented!")];
    let mut faults = Vec::new();
    for file in rust_files(&["src", "tests", "benches"]) {
        let left = words.iter().filter(|word| file.text.contains(**word));
        faults.extend(left.map(|word| format!("{} holds {word}", file.path)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What only one kind of system has: crates, types and methods of the standard library and of Tokio, and conditions.
const OF_ONE_SYSTEM: [&str; 10] = [
    "nix",
    "rustix",
    "libc",
    "rlimit",
    "UnixStream",
    "UnixListener",
    "target_os",
    "target_family",
    "process_group",
    "set_reuse_address",
];
/// The same, where it stands in a path behind one of the modules that have such, or in a condition: else it may be anybody's name.
const OF_ONE_SYSTEM_IN_PATHS: [&str; 4] = ["unix", "windows", "linux", "fd"];
const PARENTS: [&str; 3] = ["os", "io", "signal"];

/// The words of one system that stand in a file's code, tests left out.
fn of_one_system(text: &str) -> BTreeSet<String> {
    fn look(tokens: &[Token], is_condition: bool, found: &mut BTreeSet<String>) {
        for (at, token) in tokens.iter().enumerate() {
            let before = &tokens[..at];
            let is_in_path = matches!(before, [.., module, first, second]
                if first.is_sign(':') && second.is_sign(':') && module.word().is_some_and(|word| PARENTS.contains(&word)));
            match token {
                Token::Group(_, inner) => {
                    let is_cfg = before.iter().rev().take(2).any(|before| before.is_word("cfg"));
                    look(inner, is_condition || is_cfg, found);
                }
                Token::Word(word)
                    if OF_ONE_SYSTEM.contains(&word.as_str())
                        || (is_condition || is_in_path)
                            && OF_ONE_SYSTEM_IN_PATHS.contains(&word.as_str()) =>
                {
                    found.insert(word.clone());
                }
                _ => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    look(&code(text), false, &mut found);
    found
}

#[test]
fn only_the_machine_names_what_one_system_has() {
    for file in rust_files(&["src"]).iter().filter(|file| !file.path.starts_with("src/machine/")) {
        let found = of_one_system(&file.text);
        assert!(found.is_empty(), "{} names {found:?}: src/machine is the place for it", file.path);
    }
}

#[test]
fn what_one_system_has_is_found_however_it_is_written() {
    for (text, found) in [
        ("use std::os::unix::fs::symlink;", "unix"),
        ("fn f() { if cfg!(target_os = \"linux\") {} }", "target_os"),
        ("fn f() { rlimit::increase_nofile_limit(1); }", "rlimit"),
        ("fn f(c: &mut Command) { c.process_group(0); }", "process_group"),
        ("#[cfg(windows)] fn f() {}", "windows"),
    ] {
        assert_eq!(of_one_system(text), BTreeSet::from([found.to_owned()]), "{text}");
    }
    let harmless = "// nix\n const A: &str = \"unix\"; fn unix_us(unix: u8, fd: u8) { a.windows(2); } #[cfg(test)] mod tests { use nix::x; }";
    assert!(of_one_system(harmless).is_empty());
}

#[test]
fn only_the_clock_reads_the_clock() {
    let calls = [
        concat!("Instant", "::now("),
        concat!("SystemTime", "::now("),
        concat!("Timestamp", "::now("),
        concat!("Zoned", "::now("),
    ];
    for file in rust_files(&["src"]) {
        if file.path.ends_with("clock.rs") {
            continue;
        }
        for call in calls {
            assert!(!file.text.contains(call), "{} calls {call}", file.path);
        }
    }
}
