//! Runs, shards and diagnoses tell no secret: not in a file, a stream, a metric.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use super::home::Home;
use crate::support::output::text;

/// Scrapes the metrics of a running child until it is gone; answers with all that was scraped.
fn scrape(address: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..200 {
        let Ok(mut stream) = TcpStream::connect(address) else { break };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Whoever is gone meanwhile answers nothing more.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_end(&mut all);
        std::thread::sleep(Duration::from_millis(100));
    }
    all
}

#[test]
fn nothing_of_a_run_tells_a_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let scenario = scenario.to_str().unwrap().to_owned();
    let exports: Vec<String> = ["text", "markdown", "json", "csv", "junit", "hlog", "html", "benchmark"]
        .iter()
        .flat_map(|format| ["--export".to_owned(), format!("{format}=export.{format}")])
        .collect();
    let mut child = home
        .command()
        .args(["run", &scenario, "--allow-commands", "--out", "run", "--metrics", "0", "--progress", "plain"])
        .args(&exports)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", "summary.md")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    let address = first.trim().trim_start_matches("metrics: http://").trim_end_matches("/metrics").to_owned();
    let scraping = std::thread::spawn(move || scrape(&address));
    // Its summary is longer than a pipe holds: it is read beside what it logs.
    let mut stdout = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut summary = Vec::new();
        stdout.read_to_end(&mut summary).map(|_| summary)
    });
    let mut said = first.into_bytes();
    stderr.read_to_end(&mut said).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = reading.join().unwrap().unwrap();
    output.stderr = said;
    let said = text(&output.stderr);
    // The thresholds fail; on a busy machine the run is not valid either.
    assert!(matches!(output.status.code(), Some(99 | 110)), "{said}");
    assert!(said.contains("DEBUG resurge"), "the logs were at their most talkative: {said}");
    home.said.push(("run".to_owned(), output));
    let scraped = scraping.join().unwrap();
    assert!(text(&scraped).contains("resurge_attempts_total"));
    std::fs::write(home.out().join("scraped.txt"), scraped).unwrap();

    let copy = std::fs::read_to_string(home.out().join("run/scenario.toml")).unwrap();
    assert!(copy.contains("RESURGE_TARGET_URL") && copy.contains("RESURGE_STEP_OK_STEP_0_BODY"), "{copy}");
    for format in ["text", "markdown", "json", "csv", "junit", "hlog", "html", "benchmark"] {
        assert!(home.out().join(format!("export.{format}")).exists(), "{format}");
        assert_eq!(home.run(&["report", "run", "--format", format]).status.code(), Some(0), "{format}");
    }
    home.run(&["report", "run", "--rewrite"]);
    for format in ["text", "markdown", "json", "csv", "html"] {
        home.run(&["compare", "run", "run", "--format", format]);
    }
    home.run(&["baseline", "save", "run", "--name", "v1", "--allow-invalid"]);
    home.run(&["baseline", "save", "run", "--name", "v1"]);
    home.assert_tight();
}

#[test]
fn nothing_of_shards_or_a_diagnosis_tells_a_secret() {
    let mut home = Home::new();
    let scenario = home.give("hostile.toml", &home.scenario());
    let scenario = scenario.to_str().unwrap().to_owned();
    let set = format!("groups.0.token.client_secret={}", home.text("set-secret"));
    for shard in ["1/2", "2/2"] {
        let out = format!("shard-{}", &shard[..1]);
        let output = home.run(&[
            "run",
            &scenario,
            "--allow-commands",
            "--shard",
            shard,
            "--out",
            &out,
            "--progress",
            "none",
            "--set",
            &set,
        ]);
        assert!(home.out().join(out).join("journal.bin").exists(), "{output:?}");
    }
    home.run(&["merge", "shard-1", "shard-2", "--out", "merged"]);
    assert!(home.out().join("merged/report.html").exists());
    home.run(&[
        "run",
        &scenario,
        "--allow-commands",
        "--shards",
        "2",
        "--out",
        "split",
        "--progress",
        "plain",
        "--set",
        &set,
    ]);
    assert!(home.out().join("split/shards/1/journal.bin").exists());
    let groups = [
        "token-word",
        "basic-html",
        "upgrade-word",
        "query-401",
        "query-word",
        "step-403",
        "step-ok",
        "sub-word",
        "proxy-word",
        "refresh-ok",
        "query-signed-word",
        "header-signed-401",
    ];
    let diagnoses: Vec<(String, Output)> = std::thread::scope(|scope| {
        let asking: Vec<_> = groups
            .iter()
            .flat_map(|group| [(group, "text"), (group, "json")])
            .map(|(group, format)| {
                let mut command = home.command();
                command.args([
                    "diagnose",
                    &scenario,
                    "--group",
                    group,
                    "--format",
                    format,
                    "--wait",
                    "50ms",
                    "--idle-timeout",
                    "50ms",
                ]);
                scope.spawn(move || (format!("diagnose {group} {format}"), command.output().unwrap()))
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (what, output) in &diagnoses {
        assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output.stderr));
    }
    home.said.extend(diagnoses);
    home.assert_tight();
}
