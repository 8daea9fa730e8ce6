//! `resurge simulate` through the binary: the run folder, the same bytes for the same seed, what it refuses, a calibration by a real run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::output::{text, unwrapped};
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::tables::rows;

const STORM: &str = "scenarios/deploy-storm.toml";

/// Exit code, stdout and stderr.
fn simulate(arguments: &[&str]) -> (i32, String, String) {
    let output = resurge().arg("simulate").args(arguments).args(["--progress", "none"]).output().unwrap();
    (output.status.code().unwrap(), unwrapped(&output.stdout), text(&output.stderr))
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn the_same_seed_writes_the_same_bytes_whatever_the_threads() {
    let root = tempfile::tempdir().unwrap();
    let run = |folder: &str, more: &[&str]| {
        let out = root.path().join(folder);
        let out_text = out.display().to_string();
        let (code, summary, stderr) =
            simulate(&[&[STORM, "--clients", "3000", "--out", &out_text], more].concat());
        assert_eq!(code, 0, "{summary}{stderr}");
        (files(&out), summary)
    };
    let (one, summary) = run("one", &["--threads", "1"]);
    assert_eq!(one.len(), 13, "{:?}", one.keys());
    let (two, _) = run("two", &["--threads", "4"]);
    for (file, bytes) in &one {
        assert!(two[file] == *bytes, "{file} differs");
    }
    let (other, _) = run("other", &["--seed", "43"]);
    assert!(other["journal.bin"] != one["journal.bin"], "another seed is another run");
    assert!(summary.contains("3,000 clients") && summary.contains("simulated in virtual time"), "{summary}");
    assert!(summary.contains("clients and target agree exactly"), "{summary}");
    assert!(summary.contains("tcp 100us"), "the time model is told: {summary}");
}

#[test]
fn every_report_says_that_it_was_simulated() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let exports: Vec<String> = ["markdown", "junit", "html", "json", "hlog", "text"]
        .iter()
        .map(|format| format!("{format}={}", root.path().join(format).display()))
        .collect();
    let mut arguments = vec![STORM.to_owned(), "--clients".into(), "40".into(), "--out".into()];
    arguments.push(out.display().to_string());
    exports.iter().for_each(|export| arguments.extend(["--export".to_owned(), export.clone()]));
    let (code, summary, stderr) = simulate(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, 0, "{summary}{stderr}");
    for format in ["markdown", "junit", "html", "hlog", "text"] {
        let text = std::fs::read_to_string(root.path().join(format)).unwrap();
        assert!(text.contains("simulated in virtual time"), "{format}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.path().join("json")).unwrap()).unwrap();
    assert_eq!(json["target"]["kind"], "simulated");
    assert!(
        json["simulated"]["assumptions"][0].as_str().unwrap().contains("upgrade 300us"),
        "{}",
        json["simulated"]
    );
    assert_eq!(json["reconciliation"]["exact"], true);
    assert_eq!(json["start"], "2000-01-01T00:00:00Z");
}

#[test]
fn what_cannot_be_simulated_is_told_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let group =
        "[[groups]]\nname = \"g\"\nclients = 3\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\n";
    let remote = format!(
        "duration = \"5s\"\n[target]\nkind = \"remote\"\nurl = \"wss://x.invalid/\"\ntoken_url = \"https://x.invalid/\"\n{group}"
    );
    let embedded = |more: &str| format!("duration = \"5s\"\n[target]\n{more}{group}");
    let command = embedded("")
        .replace("client_id = \"a\"\nclient_secret = \"b\"", "grant = \"command\"\ncommand = [\"x\"]");
    // (file, arguments, exit code, what is said)
    let table: [(String, &[&str], i32, &str); 9] = [
        (write("remote.toml", &remote), &[], 104, "[simulate] service = \"forum\""),
        (
            write("served.toml", &format!("{remote}[simulate]\nservice = \"forum\"\n")),
            &["--set", "duration=2s"],
            0,
            "",
        ),
        (
            write("none.toml", &embedded("token_capacity = { servers = 0, service = \"1ms\" }\n")),
            &[],
            104,
            "from 1 to 1000000",
        ),
        (
            write("instant.toml", &embedded("token_capacity = { servers = 1, service = \"0s\" }\n")),
            &[],
            104,
            "is zero",
        ),
        (write("command.toml", &command), &[], 104, "gets its tokens from a program"),
        (write("long.toml", &embedded("")), &["--set", "duration=4000d"], 104, "at most 10 years"),
        (write("year.toml", &embedded("")), &["--set", "duration=40d"], 104, "at most 31 days"),
        (write("nobody.toml", &embedded("")), &["--clients", "0"], 2, "is not in 1..=10000000"),
        (
            write("few.toml", &format!("{}{}", embedded(""), group.replace("\"g\"", "\"h\""))),
            &["--clients", "1"],
            104,
            "each needs one",
        ),
    ];
    for (file, more, code, said) in table {
        let out = folder.path().join(format!("{}.run", name(&PathBuf::from(&file)))).display().to_string();
        let (found, stdout, stderr) = simulate(&[&[file.as_str(), "--out", &out], more].concat());
        assert_eq!(found, code, "{file}: {stdout}{stderr}");
        assert!(stderr.contains(said), "{file}: {stderr}");
    }
}

const SMALL: &str = r#"
duration = "3s"
seed = 7
[target]
idle_timeout = "600ms"
token_delay = "20ms"
upgrade_delay = "10ms"
[[groups]]
name = "g"
clients = 40
start = { over = "500ms" }
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[groups.reconnect]
backoff = { kind = "none" }
"#;

/// A small real run, a simulation that takes its times from it: the two tell the same story, and the calibration says what it did.
#[test]
fn a_simulation_is_calibrated_by_a_real_run() {
    let scene = Scene::new(SMALL);
    let path = |name: &str| scene.path(name).display().to_string();
    let scenario = path("scenario.toml");
    let real = scene.command("real", &[]).output().unwrap();
    // Whether this machine was fast enough is not asked here.
    assert!(matches!(real.status.code(), Some(0 | 110)), "{}", text(&real.stderr));
    let (code, summary, stderr) =
        simulate(&[&scenario, "--calibrate", &path("real"), "--out", &path("simulated")]);
    assert_eq!(code, 0, "{summary}{stderr}");
    assert!(
        summary.contains("token: as measured") && summary.contains("less what its target's rules held back"),
        "{summary}"
    );
    // Exactly the target's own delays and what was measured beside them: 30 ms, and not twice that.
    let p50 = |run: &str| -> u64 {
        let rows = rows(&scene.path(run), "summary.csv");
        let row = rows.iter().find(|row| row["group"] == "g" && row["metric"] == "reconnect_latency");
        row.unwrap()["p50_us"].parse().unwrap()
    };
    let (p50_us, measured) = (p50("simulated"), p50("real"));
    assert!(p50_us >= 30_000, "{p50_us}");
    assert!(
        p50_us < measured + 30_000,
        "the configured delays are counted once: {p50_us} against {measured}"
    );
    let (code, _, stderr) =
        simulate(&[&scenario, "--calibrate", &path("simulated"), "--out", &path("again")]);
    assert_eq!(code, 65, "{stderr}");
    assert!(stderr.contains("that run was simulated"), "{stderr}");
    // Of a run that was cut off, what there is is taken, and told.
    let journal = scene.path("real/journal.bin");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 10]).unwrap();
    assert!(!summary.contains("that run was cut off"), "{summary}");
    let (code, summary, stderr) =
        simulate(&[&scenario, "--calibrate", &path("real"), "--out", &path("torn")]);
    assert_eq!(code, 0, "{summary}{stderr}");
    assert!(summary.contains("that run was cut off: its times are those until then"), "{summary}");
}

#[test]
fn a_threshold_may_end_a_simulation_early_and_is_judged_as_in_a_run() {
    let scene = Scene::new(
        "duration = \"60s\"\n[target]\nidle_timeout = \"1s\"\n[[groups]]\nname = \"g\"\nclients = 5\n[groups.token]\nclient_id = \"a\"\nclient_secret = \"b\"\n[groups.reconnect]\nbackoff = { kind = \"constant\", base = \"100ms\", jitter = \"none\" }\n[thresholds]\nhandshake_403_rate = [{ expr = \"rate < 1%\", abort_on_fail = true, delay = \"5s\" }]\n",
    );
    let out = scene.path("run");
    let (code, summary, stderr) = simulate(&[scene.file().to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(code, 99, "{summary}{stderr}");
    assert!(summary.contains("ended early by handshake_403_rate"), "{summary}");
    assert_eq!(json(&out)["elapsed_s"], 5.0, "at the very second");
}

/// A token endpoint with one server: thirty clients at once, with patience for three services; all who fail try once more.
///
/// Three are served, 22 give up after 1.3 s, five find no room and are back after 2.2 s. What they find then depends on whether the abandoned are
/// worked off. Everything that could go one way or the other is 100 ms and more away from the moment that decides it.
const BUSY: &str = r#"
duration = "5s"
[target]
idle_timeout = "never"
token_capacity = { servers = 1, service = "400ms", queue = 24, over_limit = 429, abandoned = "ABANDONED" }
[[groups]]
name = "many"
clients = 30
[groups.token]
client_id = "a"
client_secret = "b"
timeout = "1300ms"
connection = "fresh"
[groups.reconnect]
max_attempts = 2
backoff = { kind = "constant", base = "2200ms", jitter = "none" }
"#;

/// The same capacity on the network and in virtual time: as many are served, refused, and wait in vain.
#[test]
fn a_capacity_is_the_same_on_the_network_and_in_virtual_time() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    // (what becomes of the abandoned, clients that come in)
    let table = [("served", 3), ("dropped", 3 + 3 + 2)];
    for (abandoned, _) in table {
        std::fs::write(path(abandoned), BUSY.replace("ABANDONED", abandoned)).unwrap();
    }
    std::thread::scope(|scope| {
        for (abandoned, _) in table {
            let (scenario, out) = (path(abandoned), path(&format!("{abandoned}-real")));
            scope.spawn(move || {
                let run =
                    resurge().args(["run", &scenario, "--out", &out, "--progress", "none"]).output().unwrap();
                // Whether this machine was fast enough is not asked here.
                assert!(matches!(run.status.code(), Some(0 | 110)), "{}", text(&run.stderr));
            });
        }
    });
    for (abandoned, ok) in table {
        let (code, summary, stderr) =
            simulate(&[&path(abandoned), "--out", &path(&format!("{abandoned}-simulated"))]);
        assert_eq!(code, 0, "{summary}{stderr}");
        let folder = |kind: &str| root.path().join(format!("{abandoned}-{kind}"));
        let outcomes = |kind: &str| std::fs::read_to_string(folder(kind).join("outcomes.csv")).unwrap();
        let found = outcomes("simulated");
        assert!(found.contains(&format!("many,first,ok,,{ok},")), "{abandoned}: {found}");
        assert_eq!(outcomes("real"), found, "{abandoned}");
        let refused = |kind: &str| {
            json(&folder(kind))["reconciliation"]["target_counters"]["token_requests_refused"].clone()
        };
        assert_eq!(refused("real"), refused("simulated"), "{abandoned}");
        assert_eq!(refused("real")[0]["error"], "too_busy");
    }
}

/// What shipped scenarios promise of a run holds in virtual time, too.
#[test]
fn shipped_scenarios_hold_their_thresholds_in_virtual_time() {
    let root = tempfile::tempdir().unwrap();
    for scenario in [
        "smoke",
        "idle-reconnect",
        "missing-scope",
        "token-expiry",
        "refetch-loop",
        "refresh-race",
        "eviction-cascade",
        "probe-cascade",
        "bad-day",
        "browser-fleet",
        "services/own-jwt",
        "services/slack-socket-mode",
        "services/twitch-eventsub",
    ] {
        let out = root.path().join(scenario.replace('/', "-")).display().to_string();
        let (code, summary, stderr) = simulate(&[&format!("scenarios/{scenario}.toml"), "--out", &out]);
        assert_eq!(code, 0, "{scenario}: {summary}{stderr}");
        for more in [&[][..], &["--details"]] {
            let told = resurge().args(["report", &out]).args(more).output().unwrap();
            assert_fits(&text(&told.stdout), &out);
        }
    }
}

/// A terminal of 80 columns wraps no line but a path's, and the last line is the page's path.
fn assert_fits(summary: &str, folder: &str) {
    let wide = summary.lines().find(|line| line.chars().count() > 80 && !line.contains(folder));
    assert_eq!(wide, None, "{summary}");
    assert_eq!(summary.lines().last(), Some(format!("{folder}/report.html").as_str()), "{summary}");
}
