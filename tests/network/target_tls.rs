//! The target over TLS: a run against the embedded one, and the program's own target for any client.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::output::{said, text, unwrapped};
use crate::support::program::resurge;
use crate::support::run_folder::json;
use crate::support::scene::Scene;
use crate::support::served::Served;
use crate::support::tables::rows;

const SCENARIO: &str = r#"
duration = "2500ms"
drain = "2s"
[target]
TARGET
[[groups]]
name = "g"
clients = 5
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[[groups.disconnects]]
after = "500ms"
[groups.reconnect]
backoff = { kind = "constant", base = "100ms" }
"#;

/// A run of the scenario against a target of these keys.
struct Run {
    scene: Scene,
    output: Output,
    json: serde_json::Value,
}

fn run(target: &str) -> Run {
    let scene = Scene::new(&SCENARIO.replace("TARGET", target));
    let output = scene.command("run", &[]).output().unwrap();
    assert!(scene.path("run/run.json").exists(), "{}", said(&output));
    Run { json: json(&scene.path("run")), scene, output }
}

/// The `column` of a metric of the run's summary.
fn summary(run: &Run, metric: &str, column: &str) -> u64 {
    let rows = rows(&run.scene.path("run"), "summary.csv");
    let row = rows.iter().find(|row| row["group"] == "g" && row["metric"] == metric);
    row.unwrap_or_else(|| panic!("no {metric}"))[column].parse().unwrap()
}

fn outcomes(json: &serde_json::Value) -> Vec<&str> {
    json["accounting"]["all"]["outcomes"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_run_goes_over_tls_from_end_to_end() {
    // Large messages fill the socket: what TLS could not write at once must follow.
    let target = "tls = true\nmessages_every = \"20ms\"\nmessage_padding = 65536";
    let run = run(target);
    let (json, said) = (&run.json, text(&run.output.stdout));
    assert_eq!(json["accounting"]["closes"], true, "{said}");
    assert_eq!(json["reconciliation"]["exact"], true, "{json:#}");
    assert_eq!(outcomes(json), ["ok"]);
    assert!(json["target"]["url"].as_str().unwrap().starts_with("wss://127.0.0.1:"), "{json:#}");
    let counters = &json["accounting"]["all"]["counters"];
    let messages = counters["messages_in"].as_u64().unwrap();
    assert!(messages > 200, "{messages} messages");
    // TLS adds to each message, and takes nothing away.
    assert!(counters["bytes_in"].as_u64().unwrap() > messages * 65_536);
    assert!(summary(&run, "phase_tls", "count") >= 5);
    assert!(summary(&run, "phase_tls", "min_us") > 100, "a TLS handshake takes its time");
    assert_eq!(json["accounting"]["all"]["closes_1006"], serde_json::json!({}), "{said}");
}

/// The keys of a target that is this one, trusting the authorities in that file.
fn keys(served: &Served, ca: Option<&Path>) -> String {
    let address = served.addr;
    let ca = ca.map_or_else(String::new, |ca| format!("ca_file = {ca:?}\n"));
    format!(
        "url = \"wss://{address}/api/v2/analytics/events\"\ntoken_url = \"https://{address}/oauth/token\"\n{ca}"
    )
}

#[test]
fn a_served_target_makes_a_certificate_that_its_authority_vouches_for() {
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("authority.pem");
    let serving = Served::start(resurge(), &["--tls", "--tls-ca-out", ca.to_str().unwrap()], Stdio::null());
    let trusting = run(&keys(&serving, Some(&ca)));
    assert_eq!(outcomes(&trusting.json), ["ok"], "{}", said(&trusting.output));
    assert!(summary(&trusting, "phase_tls", "count") >= 5);
    // Who does not trust it gets no further than TLS, already at the token endpoint.
    let stranger = run(&keys(&serving, None));
    let json = &stranger.json;
    assert_eq!(outcomes(json), ["token_error"]);
    let said = unwrapped(&stranger.output.stdout);
    assert!(said.contains("the target's certificate is not trusted"), "{said}");
    assert!(said.contains("target.ca_file"), "{said}");
    let warned = text(&stranger.output.stderr);
    assert_eq!(warned.matches("UnknownIssuer").count(), 1, "{warned}");
    assert!(
        json["accounting"]["all"]["counters"]["certificates_not_trusted"].as_u64() >= Some(5),
        "{json:#}"
    );
    // The experiments find the same, and do not blame the URL.
    let asked = resurge().arg("diagnose").arg(stranger.scene.file()).output().unwrap();
    let said = text(&asked.stdout);
    assert!(said.contains("The token endpoint cannot be reached: TLS fails (tls)"), "{said}");
    assert!(
        said.replace("\n        ", " ").contains("target.ca_file names that authority's PEM file"),
        "{said}"
    );
}

#[test]
fn files_that_cannot_be_used_are_faults_of_the_scenario() {
    let home = tempfile::tempdir().unwrap();
    let (missing, page) = (home.path().join("missing.pem"), home.path().join("page.pem"));
    std::fs::write(&page, "<html>").unwrap();
    for (keys, named) in [
        (format!("ca_file = {missing:?}"), "target.ca_file: "),
        (format!("ca_file = {page:?}"), "target.ca_file: "),
        (format!("client_cert = {page:?}\nclient_key = {page:?}"), "target.client_cert and client_key: "),
    ] {
        let url = "url = \"wss://127.0.0.1:9/\"\ntoken_url = \"https://127.0.0.1:9/\"";
        let scene = Scene::new(&SCENARIO.replace("TARGET", &format!("{url}\n{keys}")));
        for command in ["run", "diagnose"] {
            let output = resurge().arg(command).arg(scene.file()).current_dir(home.path()).output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(104), "{command} {keys}: {said}");
            assert!(said.contains(named) && said.contains(". Name the PEM file"), "{command}: {said}");
        }
    }
    assert!(!home.path().join("reports").exists(), "no run folder was made");
}

#[test]
fn a_served_target_takes_a_certificate_from_files() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let arguments = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let serving = Served::start(resurge(), &arguments, Stdio::null());
    let run = run(&keys(&serving, Some(&certificate)));
    assert_eq!(outcomes(&run.json), ["ok"], "{}", said(&run.output));
}
