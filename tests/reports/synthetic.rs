//! Runs that never were: what all of them have in common.

use std::time::Duration;

use resurge::engine::StopReason;
use resurge::record::GeneratorHealth;
use resurge::record::{GroupManifest, HostManifest, Manifest, RunEnd, SCHEMA_VERSION, Steps};
use resurge::sample::{AttemptEnd, AttemptKind, Cause, Outcome, Sample};

/// The manifest of a run of these groups, each with so many clients.
pub(crate) fn manifest(groups: &[(&str, u32)]) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        scenario: "synthetic".into(),
        scenario_hash: "00ff".into(),
        scenario_text: "name = \"synthetic\"\n".into(),
        seed: 7,
        started_unix_us: 1_750_000_000_000_000,
        duration_s: 10.0,
        target_kind: "embedded".into(),
        target_url: "ws://127.0.0.1:1234".into(),
        authorised_hosts: Vec::new(),
        shards: 1,
        held: Vec::new(),
        lost: Vec::new(),
        absent: Vec::new(),
        workers: Vec::new(),
        groups: groups
            .iter()
            .map(|(name, clients)| GroupManifest { name: (*name).into(), clients: *clients })
            .collect(),
        storms: Vec::new(),
        observed: Vec::new(),
        thresholds: Vec::new(),
        host: HostManifest { cores: 2, kernel: "6.0".into(), descriptor_limit: 20_000, local_ports: 28_000 },
        steps: Vec::new(),
        token_pointers: Vec::new(),
        talks: Vec::new(),
        simulated: None,
    }
}

/// The end of a run of so many clients and seconds that came to it in good order.
pub(crate) fn run_end(clients: u64, elapsed_s: f64) -> RunEnd {
    RunEnd {
        reason: StopReason::Completed,
        elapsed_s,
        clients_planned: clients,
        drained: true,
        health: GeneratorHealth {
            max_lag_p99_us: 250_000,
            max_stall_us: 1_000_000,
            ..GeneratorHealth::default()
        },
        target_counters: None,
        write_faults: Vec::new(),
        first_starts: Vec::new(),
        delays: Steps::default(),
        stalls: Steps::default(),
        target_reconnects: None,
    }
}

pub(crate) fn attempt(
    kind: AttemptKind,
    outcome: Outcome,
    cause: Option<Cause>,
    latency: Duration,
) -> Sample {
    Sample::Attempt(AttemptEnd { kind, outcome, cause, answer: None, latency, token_age: None })
}
