//! The page of Prometheus series is what `--metrics` serves: names, types, units, labels, help.
//!
//! `RESURGE_ACCEPT=1 cargo test --test docs series` writes the page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{read, root};

const PAGE: &str = "docs/src/reference/prometheus.md";
/// Above the table.
const HEAD: &str = "<!-- Generated from what `--metrics` serves, by its test, with `RESURGE_ACCEPT=1`. Do not edit. -->
# Prometheus series

`resurge run --metrics ADDR` serves these under `/metrics`, as OpenMetrics or as Prometheus' text format, by the scraper's
`Accept`. Numbers are those of the last whole second. [Watch a run in Prometheus and Grafana](../run/prometheus.md) says how.

- Units are base units: seconds and bytes. The name ends in the unit, that of a counter in `_total`.
- The values of labels are bounded: groups, storms, names that the scenario gives, and the words of this manual.
- A histogram `NAME` has the series `NAME_bucket` (label `le` beside those below), `NAME_sum` and `NAME_count`.
- Series of storms, steps, exchanges and streams are there where the scenario has such.

| series | type | labels | is |
|---|---|---|---|
";

/// A family of series, as its page describes it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// Scenarios that have between them everything that has a series.
const SCENARIOS: [&[&str]; 2] = [
    &[
        "scenarios/services/graphql-ws.toml",
        "duration=3s",
        "target.storms=[]",
        "storms=[{at=\"1500ms\",by=\"target\",code=1012}]",
        "groups.0.clients=4",
        "groups.0.start=\"at-once\"",
    ],
    &[
        "scenarios/services/signalr-negotiate.toml",
        "duration=3s",
        "groups.0.clients=4",
        "groups.0.start=\"at-once\"",
    ],
];

/// A run that serves its numbers, and the address; it does not outlive the test.
struct Serving {
    run: Child,
    address: String,
}

impl Serving {
    fn start(arguments: &[&str], out: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resurge"));
        command.current_dir(root()).args(["run", arguments[0], "--metrics", "0", "--progress", "none"]);
        command.args(arguments[1..].iter().flat_map(|set| ["--set", *set])).arg("--out").arg(out);
        command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
        let mut run =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let found = lines.find_map(|line| {
            said.push(line.clone());
            let (_, rest) = line.split_once("http://")?;
            Some(rest.split('/').next()?.to_owned())
        });
        // What it says later is read, or its pipe would fill.
        std::thread::spawn(move || lines.count());
        Self { run, address: found.unwrap_or_else(|| panic!("no address: {said:?}")) }
    }

    fn scrape(&self) -> String {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        connection.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        page
    }

    /// The page of its last numbers.
    fn last_page(&self) -> String {
        for _ in 0..200 {
            let page = self.scrape();
            if page.contains("\nresurge_run_finished 1") {
                return page;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("it has not finished within 40 s: {}", self.scrape());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// The names of a series' labels, but for the bound of a bucket.
fn labels_of(line: &str) -> Vec<String> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let labels = rest.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
    let names =
        labels.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    names.filter(|name| *name != "le").map(str::to_owned).collect()
}

/// Adds the families of a page.
fn take_families(page: &str, families: &mut BTreeMap<String, Family>) {
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if line.starts_with("resurge_") {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let ends = ["", "_total", "_info", "_bucket", "_sum", "_count"];
            let family = ends
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|name| families.contains_key(*name));
            let family = family.unwrap_or_else(|| panic!("{line} belongs to no family"));
            families.get_mut(family).unwrap().labels.extend(labels_of(line));
        }
    }
}

#[test]
fn the_page_of_series_is_what_is_served() {
    let home = tempfile::tempdir().unwrap();
    let mut families = BTreeMap::new();
    let pages: Vec<String> = std::thread::scope(|scope| {
        // At the same time: a run that nobody scrapes does not wait for it at its end.
        let runs = (0..).zip(SCENARIOS).map(|(nth, scenario)| {
            let out = home.path().join(format!("run-{nth}"));
            scope.spawn(move || Serving::start(scenario, &out).last_page())
        });
        let runs: Vec<_> = runs.collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for page in &pages {
        take_families(page, &mut families);
    }
    assert!(families.len() > 40, "{families:?}");
    let mut page = HEAD.to_owned();
    for (name, Family { kind, help, labels }) in &families {
        assert!(!help.is_empty() && !kind.is_empty(), "{name}: {kind:?} {help:?}");
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let end = if kind == "counter" && !name.ends_with("_total") { "_total" } else { "" };
        writeln!(page, "| `{name}{end}` | {kind} | {labels} | {help} |").unwrap();
    }
    if std::env::var_os("RESURGE_ACCEPT").is_some() {
        std::fs::write(root().join(PAGE), &page).unwrap();
    }
    assert_eq!(read(PAGE), page, "left the page, right what is served: RESURGE_ACCEPT=1 writes it anew");
}
