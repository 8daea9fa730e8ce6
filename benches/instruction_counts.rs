//! How many instructions the hot pure parts take, counted by valgrind's callgrind, against the figures in
//! `instruction_counts.toml`.
//!
//! Each part runs in a process of its own: once to warm up, once counted. A count does not depend on the machine's speed or
//! load; it does depend on the compiler, the C library and whether the processor has AVX2, so figures of others are not
//! compared, and the check says so. More than 3 % above its figure fails; more than 3 % below asks for the better figure.
//!
//! `cargo bench --profile test --bench instruction_counts` compares, in the profile that the tests are built in anyway;
//! `-- --accept` writes the figures anew. In the profile `bench` it only prints the counts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and what it does not foresee ends it"
)]

mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use serde::{Deserialize, Serialize};

/// The figures to compare with.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instruction_counts.toml");
const COMPARE: &str = "cargo bench --profile test --bench instruction_counts";
/// By this share a count may be above its figure.
const TOLERANCE: f64 = 0.03;
/// What is counted, as callgrind names it.
const COUNTED: &str = "instruction_counts::counted";
/// The C library chooses its copying by the processor; here it takes the same one everywhere.
const TUNABLES: &str =
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-ERMS,-FSRM,-SSSE3,-BMI2,-MOVBE,-RTM";

/// Counts, and what they depend on.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    compiler: String,
    c_library: String,
    processor: String,
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if let Some(at) = arguments.iter().position(|argument| argument == "--part") {
        run_part(&arguments[at + 1]);
        return ExitCode::SUCCESS;
    }
    // `cargo bench --no-run` and `cargo test --benches` must not start anything.
    if has("--test") || has("--list") {
        return ExitCode::SUCCESS;
    }
    let found = Figures {
        compiler: says("rustc", "-V"),
        c_library: says("getconf", "GNU_LIBC_VERSION"),
        processor: processor(),
        instructions: count_all(),
    };
    if !cfg!(debug_assertions) {
        println!("Counted in another profile than the figures: not compared. To compare: {COMPARE}");
        return ExitCode::SUCCESS;
    }
    if has("--accept") {
        accept(&found);
        return ExitCode::SUCCESS;
    }
    let figures: Figures = toml::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    compare(&figures, &found)
}

/// In the counted process.
fn run_part(name: &str) {
    let part = parts::parts().into_iter().find(|part| part.name == name).unwrap();
    // Whatever is made once in a process is made here.
    (part.prepare)()();
    counted(&mut *(part.prepare)());
}

/// Collection begins and ends with this function.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
    std::hint::black_box(());
}

fn count_all() -> BTreeMap<String, u64> {
    // Under a name of one length, in a folder of its own: what stands on the stack's top is the same everywhere.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(std::env::current_exe().unwrap(), folder.path().join("counted")).unwrap();
    // A part's count does not depend on what runs beside it.
    let counted: Vec<u64> = thread::scope(|scope| {
        let begin = |part: parts::Part| {
            let (folder, name) = (folder.path(), part.name);
            scope.spawn(move || count(folder, name))
        };
        let threads: Vec<_> = parts::parts().into_iter().map(begin).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut counts = BTreeMap::new();
    for (part, count) in parts::parts().into_iter().zip(counted) {
        println!(
            "{:<16} {:>12} instructions, {:>9.1} for each of {} {}",
            part.name,
            count,
            count as f64 / part.elements as f64,
            part.elements,
            part.what
        );
        counts.insert(part.name.to_owned(), count);
    }
    counts
}

fn count(folder: &Path, name: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .args(["./counted", "--part", name])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GLIBC_TUNABLES", TUNABLES)
        .output();
    let output = output.unwrap_or_else(|error| {
        println!("valgrind cannot be run: {error}. Install it: apt-get install valgrind");
        std::process::exit(2)
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let line = said.lines().find_map(|line| line.split_once("Collected :")).unwrap().1;
    let count = line.trim().parse().unwrap();
    assert!(count > 0, "{name}: callgrind met no {COUNTED}");
    count
}

/// The kind of processor, as far as libraries choose their code by it.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = if std::arch::is_x86_feature_detected!("avx2") { " with AVX2" } else { " without AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    let features = "";
    format!("{}{features}", std::env::consts::ARCH)
}

/// The first line that a program prints.
fn says(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().next().unwrap().to_owned()
}

fn accept(found: &Figures) {
    let text = toml::to_string(found).unwrap();
    let head = format!("# Instructions of each hot part. Written by: {COMPARE} -- --accept\n");
    fs::write(FILE, head + &text).unwrap();
    println!("Written to benches/instruction_counts.toml: commit it, and say why.");
}

fn compare(figures: &Figures, found: &Figures) -> ExitCode {
    for (what, figure, here) in [
        ("compiler", &figures.compiler, &found.compiler),
        ("C library", &figures.c_library, &found.c_library),
        ("processor", &figures.processor, &found.processor),
    ] {
        if figure != here {
            println!("WARNING: NOT COMPARED: other {what}: the figures are of {figure}, this is {here}.");
            println!(
                "WARNING: until the figures are written anew, nothing is checked: {COMPARE} -- --accept"
            );
            return ExitCode::SUCCESS;
        }
    }
    let names = figures.instructions.keys().chain(found.instructions.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    let failed = names.into_iter().filter(|name| !is_kept(name, figures, found)).count();
    println!("{} parts compared, {failed} above their figures", found.instructions.len());
    if failed > 0 {
        println!("If that is meant to be, accept it and commit the file: {COMPARE} -- --accept");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Whether a part keeps to its figure; says so where not.
fn is_kept(name: &str, figures: &Figures, found: &Figures) -> bool {
    let (Some(&figure), Some(&count)) = (figures.instructions.get(name), found.instructions.get(name)) else {
        println!("FAILED: {name} is only in the figures, or only in the bench");
        return false;
    };
    let change = count as f64 / figure as f64 - 1.0;
    if change > TOLERANCE {
        println!(
            "FAILED: {name} takes {count} instructions, {:+.1} % of its figure {figure}",
            change * 100.0
        );
    } else if change < -TOLERANCE {
        println!(
            "BETTER: {name} takes {count} instructions, {:+.1} % of its figure {figure}. Commit the better one: {COMPARE} -- --accept",
            change * 100.0
        );
    }
    change <= TOLERANCE
}
