//! `resurge sweep`, `resurge simulate --against`: what they write, and how they end.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::output::{said, text};
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;

const SCENARIO: &str = r#"
name = "grid"
seed = 7
duration = "20s"
[target]
idle_timeout = "never"
[target.token_capacity]
servers = 1
service = "10ms"
queue = 1000
[[groups]]
name = "g"
clients = 200
start = { over = "3s" }
[groups.token]
client_id = "demo"
client_secret = "demo"
on_reconnect = "fetch"
[groups.reconnect]
backoff = { kind = "exponential", base = "1s", max = "4s", jitter = "full" }
[[storms]]
at = "5s"
by = "target"
code = 1012
"#;

/// The program in the folder of a scene.
fn output(scene: &Scene, arguments: &[&str]) -> Output {
    resurge().current_dir(scene.path("")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

const OVER: [&str; 6] = [
    "sweep",
    "scenario.toml",
    "--over",
    "groups.0.reconnect.backoff.base=1s,3s",
    "--over",
    "groups.0.reconnect.backoff.jitter=none,full",
];

#[test]
fn a_sweep_writes_table_and_plot_with_the_best_on_top_and_the_same_bytes_for_any_number_of_threads() {
    let scene = Scene::new(SCENARIO);
    let run = |out: &str, threads: &str| {
        let more = [
            "--best",
            "recovery.p99",
            "--subject-to",
            "token_requests.peak <= 100/s",
            "--out",
            out,
            "--threads",
            threads,
        ];
        output(&scene, &[OVER.as_slice(), more.as_slice()].concat())
    };
    let (one, three) = (run("one", "1"), run("three", "3"));
    assert_eq!((code(&one), code(&three)), (0, 0), "{}", text(&one.stderr));
    assert_eq!(text(&one.stdout), text(&three.stdout));
    for file in ["sweep.csv", "sweep.html", "sweep.json"] {
        let read = |out: &str| fs::read(scene.path(out).join(file)).unwrap();
        assert_eq!(read("one"), read("three"), "{file}");
    }
    let json: Value = serde_json::from_slice(&fs::read(scene.path("one/sweep.json")).unwrap()).unwrap();
    let points = json["points"].as_array().unwrap();
    assert_eq!((points.len(), json["simulated"].as_bool()), (4, Some(true)));
    let best = points[0]["value"].as_f64().unwrap();
    // 200 tokens of 10 ms each one after the other: nobody can be quicker than that, whatever the backoff.
    assert!(best >= 1.9e6, "{best}");
    let holding = points
        .iter()
        .filter(|point| point["standing"] == "holds")
        .map(|point| point["value"].as_f64().unwrap());
    assert!(holding.clone().all(|value| value >= best) && holding.count() > 0);
    let csv = fs::read_to_string(scene.path("one/sweep.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn a_point_is_what_a_simulation_of_its_settings_is() {
    let scene = Scene::new(SCENARIO);
    let swept = output(
        &scene,
        &[
            "sweep",
            "scenario.toml",
            "--over",
            "groups.0.reconnect.backoff.base=3s",
            "--best",
            "reconnect_latency.p99",
            "--out",
            "s",
            "--keep",
            "--format",
            "json",
        ],
    );
    assert_eq!(code(&swept), 0, "{}", text(&swept.stderr));
    let json: Value = serde_json::from_slice(&swept.stdout).unwrap();
    let set = "groups.0.reconnect.backoff.base=3s";
    let alone =
        output(&scene, &["simulate", "scenario.toml", "--set", set, "--out", "alone", "--progress", "none"]);
    assert_eq!(code(&alone), 0, "{}", text(&alone.stderr));
    let summary = |path: &str| fs::read_to_string(scene.path(path).join("summary.csv")).unwrap();
    assert_eq!(summary("alone"), summary("s/points/0001"));
    let row =
        summary("alone").lines().find(|line| line.starts_with("all,reconnect_latency")).unwrap().to_owned();
    let p99: f64 = row.split(',').nth(10).unwrap().parse().unwrap();
    assert_eq!(json["points"][0]["value"].as_f64(), Some(p99), "{row}");
}

#[test]
fn a_sweep_in_which_nothing_holds_fails_and_what_cannot_be_run_is_told_by_its_point() {
    let scene = Scene::new(SCENARIO);
    // (arguments behind the scenario, exit code, part of stderr or stdout)
    let rows: [(&[&str], i32, &str); 7] = [
        (&["--over", "groups.0.clients=10,20", "--subject-to", "token_requests.peak < 1/s"], 99, "breaks"),
        (&["--over", "groups.0.clients=10,-3"], 104, "groups.0.clients=-3"),
        (&["--over", "groups.0.clinets=10"], 104, "clinets"),
        (&["--over", "seed=1,2", "--best", "reconnect_latency{group:x}.p99"], 2, "there is no such group"),
        (&["--over", "seed=1", "--over", "seed=2"], 2, "twice"),
        (&["--over", "seed=1,2", "--best", "speed"], 2, "no measure"),
        (&["--over", "duration=1s", "--best", "recovery.p99"], 104, "the storm would strike"),
    ];
    for (arguments, expected, part) in rows {
        let done = output(&scene, &[&["sweep", "scenario.toml", "--quiet"], arguments].concat());
        let told = said(&done);
        assert_eq!(code(&done), expected, "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}

#[test]
fn points_are_run_with_real_sockets_where_that_is_wanted() {
    let scene = Scene::new(SCENARIO);
    let done = output(
        &scene,
        &[
            "sweep",
            "scenario.toml",
            "--real",
            "--over",
            "groups.0.clients=5,10",
            "--set",
            "duration=3s",
            "--set",
            "groups.0.start.over=500ms",
            "--set",
            "groups.0.reconnect.backoff.base=100ms",
            "--set",
            "storms.0.at=1s",
            "--out",
            "s",
            "--quiet",
        ],
    );
    assert!(matches!(code(&done), 0 | 110), "{}", text(&done.stderr));
    for point in ["0001", "0002"] {
        let manifest = json(&scene.path("s/points").join(point));
        assert_eq!(manifest["target"]["kind"], "embedded", "{manifest}");
    }
}

#[test]
fn a_prediction_is_measured_by_a_real_run_and_not_by_a_simulated_one() {
    let scene = Scene::new(SCENARIO);
    let simulated = output(&scene, &["simulate", "scenario.toml", "--out", "sim", "--progress", "none"]);
    assert_eq!(code(&simulated), 0, "{}", text(&simulated.stderr));
    let refused = output(
        &scene,
        &["simulate", "scenario.toml", "--against", "sim", "--out", "again", "--progress", "none"],
    );
    assert_eq!(code(&refused), 65);
    assert!(text(&refused.stderr).contains("simulated"), "{}", text(&refused.stderr));
    let real = output(
        &scene,
        &[
            "run",
            "scenario.toml",
            "--out",
            "real",
            "--progress",
            "none",
            "--set",
            "duration=7s",
            "--set",
            "groups.0.clients=20",
            "--set",
            "storms.0.at=4s",
        ],
    );
    assert!(matches!(code(&real), 0 | 110), "{}", text(&real.stderr));
    let other = output(
        &scene,
        &["simulate", "scenario.toml", "--against", "real", "--out", "far", "--progress", "none"],
    );
    assert_eq!(code(&other), 112, "ten times as many clients are no prediction: {}", text(&other.stdout));
    assert!(text(&other.stdout).contains("exceeded"), "{}", text(&other.stdout));
}

#[test]
fn the_cookbooks_scenarios_run_in_virtual_time() {
    let scene = Scene::new(SCENARIO);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/simulate");
    let mut found = 0;
    for entry in fs::read_dir(shipped).unwrap() {
        let file = entry.unwrap().path();
        let out = scene.path(file.file_stem().unwrap().to_str().unwrap());
        let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
        // A day has as many seconds however few the clients are: half an hour of it will do.
        let arguments = [
            "simulate",
            file,
            "--clients",
            "300",
            "--set",
            "duration=30m",
            "--out",
            out,
            "--progress",
            "none",
        ];
        let done = output(&scene, &arguments);
        assert_eq!(code(&done), 0, "{file}: {}{}", text(&done.stdout), text(&done.stderr));
        found += 1;
    }
    assert_eq!(found, 3);
}

#[test]
fn a_file_full_of_faults_is_told_with_the_first_hundred() {
    let scene = Scene::new(SCENARIO);
    let groups = (0..70_000).map(|n| format!("[[groups]]\nname = \"g{n}\"\nclients = 1\n"));
    let crowd = "duration = \"9s\"\n[target]\n".to_owned() + &groups.collect::<String>();
    fs::write(scene.path("crowd.toml"), crowd).unwrap();
    let done = output(&scene, &["simulate", "crowd.toml", "--progress", "none"]);
    let told = text(&done.stderr);
    assert_eq!(code(&done), 104, "{told}");
    assert!(told.contains("there are 70000 groups") && told.contains("the first 100 are above"), "{told}");
}
