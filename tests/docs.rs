//! The README and the manual are right: their links, command lines, scenarios, and the tables that the program can be asked about.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "docs/blocks.rs"]
mod blocks;
#[path = "docs/command_line.rs"]
mod command_line;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/series.rs"]
mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use command_line::{CommandLine, command_lines};
use resurge::sample::Metric;
use resurge::scenario::keys::talk_subject::{EXCHANGE_SUBJECTS, STREAM_SUBJECTS};

const MOST_README_LINES: usize = 200;
const MOST_README_COLUMNS: usize = 120;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn resurge(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
    // What a page's scenario takes from the environment.
    command.env("STAGING_SECRET", "a").current_dir(root()).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = resurge(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| format!("{page}: {error}"))
}

/// Every page, by its path from the root.
fn pages() -> BTreeMap<String, String> {
    let mut pages = files_below(&root().join("docs"), "md");
    let beside = ["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY", "reports/README"];
    pages.extend(beside.map(|page| root().join(page).with_extension("md")));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    pages.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn the_readme_is_one_page() {
    let readme = read("README.md");
    let lines = readme.lines().count();
    assert!(lines <= MOST_README_LINES, "{lines} lines: what is more belongs into docs/src");
    let long = readme.lines().filter(|line| line.chars().count() > MOST_README_COLUMNS);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new(), "lines over {MOST_README_COLUMNS} characters");
}

#[test]
fn the_readme_names_the_test_command_of_ci() {
    let blocks = markdown::fences(&read("README.md"));
    let first = blocks.iter().find(|block| block.language() == "sh").unwrap();
    assert_eq!(first.body, "cargo build --release\n", "the first command builds");
    assert!(
        blocks.iter().any(|block| block.body == "cargo test --all-features\n"),
        "a block of its own tests"
    );
    assert!(
        read(".ci/run").lines().any(|line| line.trim().ends_with(" cargo test --locked --all-features")),
        ".ci/run runs the same"
    );
}

#[test]
fn the_summary_lists_every_page() {
    let folder = root().join("docs/src");
    let summary = read("docs/src/SUMMARY.md");
    let listed: Vec<PathBuf> =
        markdown::links(&summary).unwrap().into_iter().map(|(_, target)| folder.join(target)).collect();
    let distinct: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a page is listed twice");
    let there = files_below(&folder, "md");
    let there: BTreeSet<&PathBuf> = there.iter().filter(|path| !path.ends_with("SUMMARY.md")).collect();
    let symmetric: Vec<_> = there.symmetric_difference(&distinct).collect();
    assert!(symmetric.is_empty(), "listed but not there, or there but not listed: {symmetric:?}");
}

/// What is wrong with one link of a page, if anything.
fn fault_of_link(page: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { root().join(page) } else { root().join(page).parent()?.join(path) };
    if !file.exists() {
        return Some(format!("{target} is not there"));
    }
    let wanted = anchor?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    (!markdown::anchors(&text).contains(wanted)).then(|| format!("{target}: no heading has this anchor"))
}

#[test]
fn every_link_points_to_something() {
    let mut faults = Vec::new();
    let mut links = 0;
    for (page, text) in pages() {
        match markdown::links(&text) {
            Err(fault) => faults.push(format!("{page}: {fault}")),
            Ok(found) => {
                links += found.len();
                let bad = found.iter().filter_map(|(line, to)| Some((line, fault_of_link(&page, to)?)));
                faults.extend(bad.map(|(line, fault)| format!("{page}:{line}: {fault}")));
            }
        }
    }
    assert!(links > 150, "only {links} links were found");
    assert_none("broken links", &faults);
}

/// The long options that a help text lists.
fn options_of(help: &str) -> BTreeSet<String> {
    let lines =
        help.lines().map(str::trim_start).filter(|line| line.starts_with('-') && !line.starts_with("- "));
    let words = lines.filter_map(|line| line.split([' ', ',', '[', '=']).find(|word| word.starts_with("--")));
    words.map(str::to_owned).collect()
}

/// The names of the program's subcommands.
fn subcommands() -> BTreeSet<String> {
    let help = stdout(&["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The subcommand of a command line, both words of `baseline save`.
fn subcommand(words: &[String]) -> Vec<&str> {
    let depth = if matches!(words[0].as_str(), "baseline" | "cluster") { 2 } else { 1 };
    words.iter().take(depth).map(String::as_str).collect()
}

/// What is wrong with a command line, if anything: judged by the program's own help, and by its own parser.
fn fault_of_command(command: &CommandLine) -> Option<String> {
    let words = &command.words;
    let is_clustered = matches!(words.first()?.as_str(), "worker" | "cluster")
        || command.long_options().any(|option| option == "--cluster");
    if is_clustered && cfg!(not(feature = "cluster")) {
        return None;
    }
    let known = subcommands();
    if !known.contains(words.first()?) {
        return Some(format!("there is no subcommand {}", words[0]));
    }
    let help = stdout(&[&subcommand(words)[..], &["--help"]].concat());
    let options = options_of(&help);
    if let Some(unknown) = command.long_options().find(|option| !options.contains(*option)) {
        return Some(format!("{} has no option {unknown}", words[0]));
    }
    let shipped = words.iter().filter(|word| word.starts_with("scenarios/") && !word.contains('*'));
    if let Some(missing) = shipped.into_iter().find(|path| !root().join(path).exists()) {
        return Some(format!("{missing} is not there"));
    }
    if command.has_placeholders() {
        return None;
    }
    // With the flag behind it, all that comes before is parsed, and nothing is done.
    let parsed = command.parsed();
    let arguments: Vec<&str> = parsed.iter().map(String::as_str).chain(["--help"]).collect();
    let output = resurge(&arguments);
    let first_line = || String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    (!output.status.success()).then(first_line)
}

#[test]
fn every_command_line_parses() {
    let mut faults = Vec::new();
    let mut commands = 0;
    for (page, text) in pages() {
        for command in command_lines(&text) {
            commands += 1;
            if let Some(fault) = fault_of_command(&command) {
                faults.push(format!("{page}:{}: resurge {}: {fault}", command.line, command.words.join(" ")));
            }
        }
    }
    assert!(commands > 80, "only {commands} command lines were found");
    assert_none("command lines that the program does not take", &faults);
}

#[test]
fn the_page_of_commands_names_every_command_and_option() {
    let page = read("docs/src/run/commands.md");
    let names: BTreeSet<String> = subcommands().into_iter().filter(|name| name != "help").collect();
    assert!(names.len() > 10, "{names:?}");
    for name in &names {
        let section = markdown::section(&page, name);
        assert!(section.is_some(), "no section of {name}");
        let second = if name == "cluster" { &["kubernetes", "slurm"][..] } else { &["save"] };
        let helps = second.iter().map(|second| {
            let words = [name.clone(), (*second).to_owned()];
            options_of(&stdout(&[&subcommand(&words)[..], &["--help"]].concat()))
        });
        let mut there: BTreeSet<String> = helps.flatten().collect();
        there.remove("--help");
        let lines = markdown::prose(section.unwrap());
        let spans =
            lines.iter().flat_map(|line| markdown::code_spans(line)).filter(|span| span.starts_with("--"));
        let told: BTreeSet<String> =
            spans.filter_map(|span| span.split_whitespace().next()).map(str::to_owned).collect();
        // A program without the feature `cluster` has fewer.
        let told = match cfg!(feature = "cluster") {
            true => told,
            false => told.intersection(&there).cloned().collect(),
        };
        assert_eq!(told, there, "{name}: left what the page names, right what --help does");
    }
}

/// What a fragment of a scenario may leave out.
const LEAST: &str = "
duration = '1m'
target = { kind = 'embedded' }
groups = [{ name = 'fresh-token', clients = 10 }]
token = { client_id = 'demo-client', client_secret = 'demo-secret' }
";

/// A scenario with a fragment's tables, and the least that they lack.
fn completed(fragment: &str) -> Result<String, String> {
    let mut scenario: toml::Table = fragment.parse().map_err(|error| format!("{error}"))?;
    let mut least: toml::Table = LEAST.parse().unwrap();
    let token = least.remove("token").unwrap();
    for (key, value) in least {
        scenario.entry(key).or_insert(value);
    }
    for group in scenario["groups"].as_array_mut().ok_or("groups are written [[groups]]")? {
        group.as_table_mut().ok_or("a group is a table")?.entry("token").or_insert(token.clone());
    }
    toml::to_string(&scenario).map_err(|error| error.to_string())
}

/// What is wrong with a block of TOML, if anything: whole scenarios as they are, others completed.
fn fault_of_scenario(block: &markdown::Fence, path: &Path) -> Option<String> {
    let text = if block.is_marked("scenario") { Ok(block.body.clone()) } else { completed(&block.body) };
    let text = match text {
        Ok(text) => text,
        Err(fault) => return Some(fault),
    };
    fs::write(path, text).unwrap();
    let output = resurge(&["check", path.to_str().unwrap()]);
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_scenario_passes_the_check() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("scenario.toml");
    let mut faults = Vec::new();
    let (mut whole, mut fragments) = (0, 0);
    for (page, text) in pages() {
        for block in markdown::fences(&text).iter().filter(|block| block.language() == "toml") {
            *if block.is_marked("scenario") { &mut whole } else { &mut fragments } += 1;
            write_feeder(&block.body, home.path());
            faults.extend(
                fault_of_scenario(block, &path).map(|fault| format!("{page}:{}: {fault}", block.line)),
            );
        }
    }
    assert!(whole >= 2 && fragments >= 15, "only {whole} scenarios and {fragments} fragments were found");
    assert_none("scenarios that `resurge check` refuses", &faults);
}

/// Writes the feeder of a scenario, whose columns stand in a comment behind its name: `feeder = "users.csv"   # user,room`.
fn write_feeder(scenario: &str, home: &Path) {
    let line = scenario.lines().find_map(|line| line.strip_prefix("feeder = \"")?.split_once("\""));
    let Some((name, comment)) = line else { return };
    let Some((_, columns)) = comment.split_once("# ") else { return };
    let row = columns.split(',').map(|_| "x").collect::<Vec<_>>().join(",");
    fs::write(home.join(name), format!("{columns}\n{row}\n")).unwrap();
}

#[test]
fn csv_headers_are_those_that_are_written() {
    let page = read("docs/src/results/csv.md");
    for table in
        ["summary", "outcomes", "closes", "tokens", "steps", "exchanges", "streams", "kinds", "timeseries"]
    {
        let section = markdown::section(&page, &format!("{table}.csv")).unwrap();
        let told =
            markdown::fences(section).into_iter().find(|block| block.language() == "csv").unwrap().body;
        let written = stdout(&["report", "reports/sample", "--format", "csv", "--table", table]);
        assert_eq!(
            told.lines().next(),
            written.lines().next(),
            "{table}.csv: left the page, right the program"
        );
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = stdout(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let codes: Vec<String> = listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.parse::<u8>().is_ok())
        .map(str::to_owned)
        .collect();
    assert!(codes.len() > 9, "{codes:?}");
    let told = markdown::first_cells(&read("docs/src/reference/exit-codes.md"));
    let told: Vec<&str> = told.iter().map(|cell| cell.trim_matches('`')).collect();
    assert_eq!(told, codes, "left the page, right --help");
}

#[test]
fn the_tables_name_what_there_is() {
    let of_page = |page: &str| markdown::keys(&read(page));
    let names = |folder: &str, ending: &str| -> BTreeSet<String> {
        let files = files_below(&root().join(folder), ending);
        files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let sample = fs::read_dir(root().join("reports/sample")).unwrap();
    let written: BTreeSet<String> =
        sample.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(of_page("docs/src/results/run-folder.md"), written, "files of a run folder");

    let exchanges = EXCHANGE_SUBJECTS.iter().map(|(name, _)| *name);
    let streams = STREAM_SUBJECTS.iter().map(|(name, _)| *name);
    let metrics = Metric::ALL.iter().map(|metric| metric.name()).chain(exchanges).chain(streams);
    let metrics = metrics.map(str::to_owned);
    assert_eq!(of_page("docs/src/results/metrics.md"), metrics.collect(), "metrics");

    let paths = files_below(&root().join("scenarios"), "toml");
    let scenarios = paths.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
    assert_eq!(of_page("docs/src/scenario/shipped.md"), scenarios.collect(), "shipped scenarios");

    assert_eq!(of_page("docs/src/serve/profiles.md"), names("src/scenario/profiles", "toml"), "profiles");
    let benches = markdown::first_cells(&read("docs/src/quality/benches.md"));
    let benches = benches.iter().map(|cell| markdown::code_spans(cell)[0].to_owned());
    let files = fs::read_dir(root().join("benches")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let files = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(benches.collect::<BTreeSet<_>>(), files.collect(), "benches");

    let reconnects = read("docs/src/scenario/reconnects.md");
    let policies = markdown::section(&reconnects, "Policies of known clients").unwrap();
    let policies: BTreeSet<String> =
        markdown::first_cells(policies).iter().map(|cell| cell.trim_matches('`').to_owned()).collect();
    assert_eq!(policies, names("src/scenario/policies", "toml"), "policies");
}

#[test]
fn keys_that_pages_name_are_in_the_reference() {
    let reference = read("docs/src/reference/scenario-keys.md");
    let mut faults = Vec::new();
    let mut named = 0;
    for page in ["service", "tokens", "connections", "sessions", "reconnects"] {
        let page = format!("docs/src/scenario/{page}.md");
        for line in markdown::prose(&read(&page)) {
            let is_key = |span: &&str| {
                span.contains('_') && span.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c))
            };
            let words = markdown::code_spans(&line).into_iter().filter(is_key);
            for key in words.filter_map(|word| word.split('.').next_back()) {
                named += 1;
                if !reference.contains(&format!("**`{key}`**")) {
                    faults.push(format!("{page}: {key}"));
                }
            }
        }
    }
    assert!(named > 50, "only {named} were found");
    assert_none("no keys of a scenario", &faults);
}

/// The paths of this repository that a page names as code.
fn paths_of(text: &str) -> Vec<String> {
    let lines = markdown::prose(text);
    let spans = lines.iter().flat_map(|line| markdown::code_spans(line)).map(str::to_owned);
    let folders = ["src/", "tests/", "benches/", "scenarios/", "reports/", "docs/", ".ci/", ".github/"];
    let paths = spans.filter(|span| folders.iter().any(|folder| span.starts_with(folder)));
    paths.filter(|path| !path.contains([' ', '<', '…', '*'])).collect()
}

#[test]
fn files_tests_and_benches_that_are_named_exist() {
    let mut faults = Vec::new();
    let mut named = 0;
    for (page, text) in pages() {
        // What a changelog names may be gone.
        let paths = if page == "CHANGELOG.md" { Vec::new() } else { paths_of(&text) };
        let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "`.:,;)".contains(c)).collect();
        let targets = words.windows(2).filter_map(|pair| match pair[0] {
            "--test" => Some(format!("tests/{}", pair[1])),
            "--bench" => Some(format!("benches/{}", pair[1])),
            _ => None,
        });
        for path in paths.into_iter().chain(targets.filter(|target| !target.contains('…'))) {
            named += 1;
            let places = [path.clone(), format!("{path}.rs"), format!("{path}/main.rs")];
            if !places.iter().any(|place| root().join(place).exists()) {
                faults.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(named > 100, "only {named} were found");
    assert_none("named, but not there", &faults);
}

#[test]
fn the_architecture_has_every_module_in_its_table() {
    let modules = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let modules = modules.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let modules: BTreeSet<String> = modules.filter(|name| name != "main" && name != "lib").collect();
    let page = read("ARCHITECTURE.md");
    assert_eq!(
        markdown::keys(markdown::section(&page, "The layers").unwrap()),
        modules,
        "left the page, right src"
    );
}

/// The headings of the summary's parts.
fn headings_of_summary(text: &str) -> BTreeSet<&str> {
    let is_heading = |line: &&str| line.starts_with(|c: char| c.is_ascii_uppercase());
    let lines = text.lines().filter(is_heading);
    lines.filter(|line| line.chars().take_while(|c| *c != ' ').all(|c| c.is_ascii_uppercase())).collect()
}

#[test]
fn summaries_have_the_headings_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let same = ["simulate", "scenarios/idle-reconnect.toml", "--set", "duration=12s", "--out", &out];
    let with_details = [&["report"][..], &[&out, "--details"]].concat();
    let sample = ["report", "reports/sample"];
    let today = [
        stdout(&sample),
        stdout(&[&sample[..], &["--details"]].concat()),
        stdout(&same),
        stdout(&with_details),
    ];
    let today = today.concat();
    let today: BTreeSet<&str> =
        headings_of_summary(&today).into_iter().filter(|line| !line.starts_with("PASS")).collect();
    assert!(today.len() > 8, "{today:?}");
    for page in ["README.md", "docs/src/start/first-run.md"] {
        let text = read(page);
        let shown =
            markdown::fences(&text).into_iter().find(|block| block.body.starts_with("PASS")).unwrap().body;
        let shown: BTreeSet<&str> =
            headings_of_summary(&shown).into_iter().filter(|line| !line.starts_with("PASS")).collect();
        assert!(shown.len() > 2, "{page}: {shown:?}");
        let gone: Vec<_> = shown.difference(&today).collect();
        assert!(gone.is_empty(), "{page} shows what is not printed any more: {gone:?}");
    }
    let told = markdown::keys(&read("docs/src/start/summary.md"));
    let names: BTreeSet<String> =
        today.iter().map(|line| line.split(" (").next().unwrap().to_owned()).collect();
    assert!(told.is_superset(&names), "parts that the page does not explain: {:?}", names.difference(&told));
}
