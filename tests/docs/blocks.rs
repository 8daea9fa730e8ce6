//! Every block of shell in the README and the manual is run, in a folder of its own, or listed with the reason why it is not.
//!
//! `blocks.toml` beside this file has the list, what is shortened, and what a page's reader has already.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use crate::{assert_none, markdown, pages, read, root};

/// How many lines of shell are not run. Change it only with an entry in `blocks.toml` that says why.
const LINES_NOT_RUN: usize = 42;
/// The longest that one block may take, in seconds.
const PATIENCE_S: &str = "120";
/// How many pages are tried at a time: a run mostly waits.
const PAGES_AT_A_TIME: usize = 8;

/// `blocks.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    not_run: Vec<NotRun>,
    shorter: Vec<Shorter>,
    before: Vec<Before>,
}

/// Lines that are not run: those that contain a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotRun {
    page: Option<String>,
    line: String,
    because: String,
}

/// What is run in the place of a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shorter {
    page: Option<String>,
    line: String,
    run: String,
}

/// What is done in a page's folder before its blocks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    page: String,
    run: String,
}

/// Whether an entry is about this page; without a page, it is about all.
fn is_about(entry: Option<&String>, page: &str) -> bool {
    entry.is_none_or(|of| of == page)
}

/// Which entries were needed, and how many lines were left out.
#[derive(Debug, Default)]
struct Used {
    not_run: BTreeSet<usize>,
    shorter: BTreeSet<usize>,
    lines_not_run: usize,
}

impl Rules {
    /// A line as it is run; `None` where it is not.
    fn line_to_run(&self, page: &str, line: &str, used: &mut Used) -> Option<String> {
        let mut entries = self.not_run.iter().enumerate();
        let fits = |entry: &NotRun| is_about(entry.page.as_ref(), page) && line.contains(&entry.line);
        if let Some((at, _)) = entries.find(|(_, entry)| fits(entry)) {
            used.not_run.insert(at);
            used.lines_not_run += 1;
            return None;
        }
        let mut line = line.to_owned();
        for (at, entry) in self.shorter.iter().enumerate() {
            if is_about(entry.page.as_ref(), page) && line.contains(&entry.line) {
                used.shorter.insert(at);
                line = line.replace(&entry.line, &entry.run);
            }
        }
        Some(until_it_listens(&line))
    }

    /// The script of a block; `None` where none of its lines is run.
    fn script(&self, page: &str, body: &str, used: &mut Used) -> Option<String> {
        let body = body.replace("\\\n", " ");
        let lines = body.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let kept: Vec<String> = lines.filter_map(|line| self.line_to_run(page, line, used)).collect();
        (!kept.is_empty()).then(|| [kept.join("\n"), "wait".to_owned()].join("\n"))
    }

    /// The entries that no line needed.
    fn unused(&self, used: &Used) -> Vec<String> {
        let not_run = self.not_run.iter().enumerate().filter(|(at, _)| !used.not_run.contains(at));
        let shorter = self.shorter.iter().enumerate().filter(|(at, _)| !used.shorter.contains(at));
        let lines = not_run.map(|(_, entry)| &entry.line).chain(shorter.map(|(_, entry)| &entry.line));
        lines.map(|line| format!("no line of a page has {line:?}")).collect()
    }
}

/// A line that serves until it is stopped: it is stopped as soon as it listens.
fn until_it_listens(line: &str) -> String {
    let command = line.trim_start_matches("target/release/");
    if !command.starts_with("resurge serve") || line.contains("--print") {
        return line.to_owned();
    }
    let line = line.split(" #").next().unwrap_or_default();
    // Without `--listen` it would take a port that another test may have.
    let free = if line.contains("--listen") { "" } else { " --listen 127.0.0.1:0" };
    format!(
        "{line}{free} >served 2>served-errors & server=$!
until grep -q 'listening on' served; do kill -0 $server || {{ cat served-errors >&2; exit 1; }}; sleep 0.05; done
kill $server; wait $server || true; rm served"
    )
}

/// A program in the folder's `bin`.
fn write_program(home: &Path, name: &str, script: &str) {
    let path = home.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a reader has: a clone with the program, the sample report, a scenario of their own, tools that take what is piped to them.
fn lay_out(home: &Path) {
    let program = env!("CARGO_BIN_EXE_resurge");
    for folder in ["bin", "target/release", "reports"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    // A busy machine makes a run not valid (110). Here it is the command that is tried, not the machine.
    let script = format!(
        "case $1 in run|sweep|merge) ;; *) exec {program} \"$@\";; esac
{program} \"$@\"; code=$?; [ $code = 110 ] && exit 0; exit $code"
    );
    write_program(home, "resurge", &script);
    symlink(home.join("bin/resurge"), home.join("target/release/resurge")).unwrap();
    symlink(root().join("scenarios"), home.join("scenarios")).unwrap();
    for folder in ["reports/sample", "RUN"] {
        fs::create_dir_all(home.join(folder)).unwrap();
        for file in fs::read_dir(root().join("reports/sample")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), home.join(folder).join(file.file_name())).unwrap();
        }
    }
    // `cargo run --release -- …` is the program; nothing is compiled here.
    write_program(
        home,
        "cargo",
        "[ \"$1 $2 $3\" = 'run --release --' ] || exit 1\nshift 3\nexec resurge \"$@\"",
    );
    for receiver in ["kubectl", "sbatch"] {
        write_program(home, receiver, "[ \"$1\" = rollout ] || grep -q . || exit 1");
    }
    let of_real_service = markdown::fences(&read("docs/src/run/real-service.md"));
    let staging = of_real_service.into_iter().find(|block| block.is_marked("scenario")).unwrap();
    fs::write(home.join("staging.toml"), staging.body).unwrap();
}

/// Writes the blocks that a page's reader saves: those marked `file=NAME`.
fn write_files(text: &str, home: &Path) {
    for block in markdown::fences(text) {
        if let Some(name) = block.info.split(',').find_map(|mark| mark.trim().strip_prefix("file=")) {
            fs::write(home.join(name), &block.body).unwrap();
        }
    }
}

/// Runs a script in a folder; what it said where it failed.
fn fault_of_script(script: &str, home: &Path) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", PATIENCE_S, "sh", "-ec", script]).current_dir(home).stdin(Stdio::null());
    command.env("PATH", format!("{}:{path}", home.join("bin").display()));
    command.env("STAGING_SECRET", "a").env("BROWSER", "true");
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    let output = command.output().unwrap();
    if output.status.success() {
        return None;
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let lines: Vec<&str> = said.iter().flat_map(|text| text.lines()).collect();
    let last = lines[lines.len().saturating_sub(30)..].join("\n    ");
    Some(format!("{}\n    {script}\n    {last}", output.status))
}

/// The scripts of a page, each with the line of its block.
fn scripts_of(page: &str, text: &str, rules: &Rules, used: &mut Used) -> Vec<(usize, String)> {
    let blocks =
        markdown::fences(text).into_iter().filter(|block| matches!(block.language(), "sh" | "console"));
    blocks.filter_map(|block| Some((block.line, rules.script(page, &block.body, used)?))).collect()
}

/// What fails on a page, each block after the one above it.
fn faults_of_page(page: &str, scripts: &[(usize, String)], before: &[&Before]) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    lay_out(home.path());
    write_files(&read(page), home.path());
    for entry in before {
        if let Some(fault) = fault_of_script(&entry.run, home.path()) {
            return vec![format!("{page}, before: {fault}")];
        }
    }
    let faults =
        scripts.iter().filter_map(|(line, script)| Some((line, fault_of_script(script, home.path())?)));
    faults.map(|(line, fault)| format!("{page}:{line}: {fault}")).collect()
}

#[test]
#[cfg_attr(not(feature = "cluster"), ignore = "some blocks need the feature cluster")]
fn every_block_of_shell_runs() {
    let rules: Rules = toml::from_str(&read("tests/docs/blocks.toml")).unwrap();
    assert!(rules.not_run.iter().all(|entry| entry.because.len() > 10), "each says why");
    let mut used = Used::default();
    let mut pages: Vec<_> =
        pages().into_iter().map(|(page, text)| (scripts_of(&page, &text, &rules, &mut used), page)).collect();
    pages.retain(|(scripts, _)| !scripts.is_empty());
    assert_none("entries of blocks.toml", &rules.unused(&used));
    assert_eq!(
        used.lines_not_run, LINES_NOT_RUN,
        "left the lines that are not run, right how many are said to be"
    );
    // For one who writes a page: the name of that page alone.
    let only = std::env::var("RESURGE_PAGE").unwrap_or_default();
    pages.retain(|(_, page)| page.contains(&only));
    let blocks: usize = pages.iter().map(|(scripts, _)| scripts.len()).sum();
    assert!(blocks > 40 || !only.is_empty(), "only {blocks} blocks were found");

    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PAGES_AT_A_TIME {
            scope.spawn(|| {
                while let Some((scripts, page)) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let before: Vec<_> = rules.before.iter().filter(|entry| entry.page == *page).collect();
                    let found = faults_of_page(page, scripts, &before);
                    faults.lock().unwrap().extend(found);
                }
            });
        }
    });
    assert_none("blocks of shell that fail", &faults.into_inner().unwrap());
}
