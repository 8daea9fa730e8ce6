//! The target over TLS: a run against the embedded one, and the program's own target for any client.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

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

fn resurge() -> Command {
    Command::new(env!("CARGO_BIN_EXE_resurge"))
}

/// Runs the scenario with these keys of the target, in that folder.
fn run(home: &Path, target: &str) -> (Output, serde_json::Value) {
    let (scenario, folder) = (home.join("tls.toml"), home.join("run"));
    std::fs::write(&scenario, SCENARIO.replace("TARGET", target)).unwrap();
    let output = resurge()
        .arg("run")
        .arg(&scenario)
        .args(["--progress", "none", "--out"])
        .arg(&folder)
        .output()
        .unwrap();
    let text = std::fs::read_to_string(folder.join("run.json"))
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output, serde_json::from_str(&text).unwrap())
}

/// The `column` of a metric of the run's summary.
fn summary(home: &Path, metric: &str, column: &str) -> u64 {
    let mut reader = csv::Reader::from_path(home.join("run/summary.csv")).unwrap();
    let at = reader.headers().unwrap().iter().position(|header| header == column).unwrap();
    let row = reader.records().map(|row| row.unwrap()).find(|row| &row[0] == "g" && &row[1] == metric);
    row.unwrap_or_else(|| panic!("no {metric}"))[at].parse().unwrap()
}

fn outcomes(json: &serde_json::Value) -> Vec<&str> {
    json["accounting"]["all"]["outcomes"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_run_goes_over_tls_from_end_to_end() {
    let home = tempfile::tempdir().unwrap();
    // Large messages fill the socket: what TLS could not write at once must follow.
    let target = "tls = true\nmessages_every = \"20ms\"\nmessage_padding = 65536";
    let (output, json) = run(home.path(), target);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(json["accounting"]["closes"], true, "{said}");
    assert_eq!(json["reconciliation"]["exact"], true, "{json:#}");
    assert_eq!(outcomes(&json), ["ok"]);
    assert!(json["target"]["url"].as_str().unwrap().starts_with("wss://127.0.0.1:"), "{json:#}");
    let counters = &json["accounting"]["all"]["counters"];
    let messages = counters["messages_in"].as_u64().unwrap();
    assert!(messages > 200, "{messages} messages");
    // TLS adds to each message, and takes nothing away.
    assert!(counters["bytes_in"].as_u64().unwrap() > messages * 65_536);
    assert!(summary(home.path(), "phase_tls", "count") >= 5);
    assert!(summary(home.path(), "phase_tls", "min_us") > 100, "a TLS handshake takes its time");
    assert_eq!(json["accounting"]["all"]["closes_1006"], serde_json::json!({}), "{said}");
}

/// The program's own target, until it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = resurge()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on https://").map(str::to_owned);
        Self { child, address: address.unwrap_or_else(|| panic!("{line:?}")) }
    }

    /// The keys of a target that is this one, trusting the authorities in that file.
    fn keys(&self, ca: Option<&Path>) -> String {
        let address = &self.address;
        let ca = ca.map_or_else(String::new, |ca| format!("ca_file = {ca:?}\n"));
        format!(
            "url = \"wss://{address}/api/v2/analytics/events\"\ntoken_url = \"https://{address}/oauth/token\"\n{ca}"
        )
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_served_target_makes_a_certificate_that_its_authority_vouches_for() {
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("authority.pem");
    let serving = Serving::start(&["--tls", "--tls-ca-out", ca.to_str().unwrap()]);
    let (output, json) = run(home.path(), &serving.keys(Some(&ca)));
    assert_eq!(outcomes(&json), ["ok"], "{}", String::from_utf8_lossy(&output.stdout));
    assert!(summary(home.path(), "phase_tls", "count") >= 5);
    // Who does not trust it gets no further than TLS, already at the token endpoint.
    let stranger = tempfile::tempdir().unwrap();
    let (output, json) = run(stranger.path(), &serving.keys(None));
    assert_eq!(outcomes(&json), ["token_error"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the target's certificate is not trusted"), "{said}");
    assert!(said.contains("target.ca_file"), "{said}");
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(warned.matches("UnknownIssuer").count(), 1, "{warned}");
    assert!(
        json["accounting"]["all"]["counters"]["certificates_not_trusted"].as_u64() >= Some(5),
        "{json:#}"
    );
    // The experiments find the same, and do not blame the URL.
    let asked = resurge().arg("diagnose").arg(stranger.path().join("tls.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(said.contains("The token endpoint cannot be reached: TLS fails (tls)"), "{said}");
    assert!(
        said.replace("\n        ", " ").contains("target.ca_file names that authority's PEM file"),
        "{said}"
    );
}

#[test]
fn files_that_cannot_be_used_are_faults_of_the_scenario() {
    let home = tempfile::tempdir().unwrap();
    let scenario = home.path().join("tls.toml");
    let (missing, page) = (home.path().join("missing.pem"), home.path().join("page.pem"));
    std::fs::write(&page, "<html>").unwrap();
    for (keys, named) in [
        (format!("ca_file = {missing:?}"), "target.ca_file: "),
        (format!("ca_file = {page:?}"), "target.ca_file: "),
        (format!("client_cert = {page:?}\nclient_key = {page:?}"), "target.client_cert and client_key: "),
    ] {
        let url = "url = \"wss://127.0.0.1:9/\"\ntoken_url = \"https://127.0.0.1:9/\"";
        std::fs::write(&scenario, SCENARIO.replace("TARGET", &format!("{url}\n{keys}"))).unwrap();
        for command in ["run", "diagnose"] {
            let output = resurge().arg(command).arg(&scenario).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
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
    let serving = Serving::start(&arguments);
    let (output, json) = run(home.path(), &serving.keys(Some(&certificate)));
    assert_eq!(outcomes(&json), ["ok"], "{}", String::from_utf8_lossy(&output.stdout));
}
