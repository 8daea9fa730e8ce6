//! Latency is true: against a target that holds its answers back by a known distribution, the measured percentiles are those of the
//! distribution, within 2 % + 1 ms, at 1,000 clients, whenever the generator says that it is healthy; the last thousandth within its longest stall.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::process::Command;

/// Uniform delays between these, in microseconds: their quantiles are known, also the high ones, from few samples.
const LOW_US: f64 = 20_000.0;
const HIGH_US: f64 = 120_000.0;

#[test]
fn phase_upgrade_has_the_quantiles_of_the_delay() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("truth.toml");
    let text = r#"
duration = "14s"
[target]
idle_timeout = "3s"
upgrade_delay = { uniform = ["20ms", "120ms"] }
[[groups]]
name = "g"
clients = 1000
start = { over = "3s" }
[groups.token]
client_id = "a"
client_secret = "b"
on_reconnect = "fetch"
[groups.reconnect]
backoff = { kind = "none" }
"#;
    std::fs::write(&file, text).unwrap();
    let folder = home.path().join("run");
    let output = Command::new(env!("CARGO_BIN_EXE_resurge"))
        .args(["run", file.to_str().unwrap(), "--progress", "none", "--out"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let healthy = said.contains("healthy:") && !said.contains("NOT HEALTHY");
    if !healthy {
        // The machine had other things to do. Then the run must say that it is not valid.
        assert_eq!(output.status.code(), Some(110), "{said}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut reader = csv::Reader::from_path(folder.join("summary.csv")).unwrap();
    let rows = reader.records().map(|row| row.unwrap());
    let row = rows.into_iter().find(|row| &row[0] == "g" && &row[1] == "phase_upgrade").unwrap();
    let count: f64 = row[2].parse().unwrap();
    assert!(count > 2_500.0, "{count} reconnects");
    // Columns of summary.csv, and the share of values below.
    for (column, quantile) in [(6, 0.5), (10, 0.99), (11, 0.999)] {
        let measured: f64 = row[column].parse().unwrap();
        let true_us = LOW_US + (HIGH_US - LOW_US) * quantile;
        // Three standard errors of a sample's quantile come on top: the delays are drawn, after all.
        let sampling_us = 3.0 * (HIGH_US - LOW_US) * (quantile * (1.0 - quantile) / count).sqrt();
        // A single stall of the generator, of which it tells, may be all of the last thousandth of so few values.
        let stall_us = if quantile > 0.99 { stall_max_us(&folder) } else { 0.0 };
        let allowed_us = 0.02 * true_us + 1_000.0 + sampling_us + stall_us;
        assert!(
            (measured - true_us).abs() <= allowed_us,
            "p{} is {measured} µs, {true_us} ± {allowed_us:.0} µs was to be found\n{said}",
            quantile * 100.0
        );
    }
}

/// The longest stall of the generator's event loops that the run tells of.
fn stall_max_us(folder: &std::path::Path) -> f64 {
    let text = std::fs::read(folder.join("run.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    json["generator"]["stall_max_us"].as_f64().unwrap()
}
