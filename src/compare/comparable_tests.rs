//! Which runs may be compared, and what is said of those that may not.

use super::super::measure::{decide_by, measures};
use super::*;
use crate::compare::repeat::{Block, Counts, GroupBlock};
use crate::record::{GroupManifest, HostManifest};

fn run(source: &str, scenario: &str) -> Repeat {
    let counts = Counts { attempts: 9, back: 5, reconnects_ended: 5, ..Counts::default() };
    let facts = Facts {
        source: source.into(),
        scenario: "s".into(),
        scenario_hash: scenario.len().to_string(),
        scenario_text: scenario.into(),
        seed: 1,
        tool_version: "0".into(),
        started_unix_us: 0,
        duration_s: 10.0,
        elapsed_s: 10.0,
        target_kind: "embedded".into(),
        groups: vec![GroupManifest { name: "g".into(), clients: 5 }],
        host: HostManifest { cores: 2, kernel: "6.1.7".into(), descriptor_limit: 1, local_ports: 1 },
        validity: Validity::Valid,
        reasons: Vec::new(),
        cpu_s: None,
        max_rss_bytes: None,
        precision: 10,
    };
    let group = GroupBlock { counts, ..GroupBlock::default() };
    Repeat { facts, blocks: vec![Block { seconds: 10, groups: vec![group] }], outages: None, storms: None }
}

/// Of what is compared by default.
fn incomparable(baseline: &[Repeat], candidate: &[Repeat], allowed: &[String]) -> Vec<String> {
    super::incomparable(baseline, candidate, allowed, &measures())
}

const TEXT: &str = "duration = \"10s\"\n[target]\nidle = 1\n[[groups]]\nname = \"g\"\n";

#[test]
fn like_runs_are_comparable_whatever_draws_them() {
    let other = format!("seed = 9\ndescription = \"another\"\n{TEXT}");
    assert_eq!(incomparable(&[run("a", TEXT)], &[run("b", &other)], &[]), [""; 0]);
    let mut patched = run("b", TEXT);
    patched.facts.host.kernel = "6.1.99-generic".into();
    assert_eq!(incomparable(&[run("a", TEXT)], &[patched], &[]), [""; 0]);
    let mut longer_drain = run("b", TEXT);
    longer_drain.facts.elapsed_s = 25.0;
    assert_eq!(incomparable(&[run("a", TEXT)], &[longer_drain], &[]), [""; 0], "backoffs drain as they do");
}

#[test]
fn how_long_clients_went_on_is_explained_by_the_setting_that_differs() {
    let other = format!("{TEXT}[groups.reconnect]\nbackoff = 3\n");
    let mut shorter = run("b", &other);
    shorter.facts.elapsed_s = 6.0;
    let allowed = ["groups.0.reconnect.backoff".to_owned()];
    let (old, new) = ([run("a", TEXT)], [shorter]);
    assert_eq!(incomparable(&old, &new, &allowed), [""; 0]);
    let reasons = incomparable(&old, &new, &[]);
    assert_eq!(
        reasons,
        ["a and b are of different scenarios: groups.0.reconnect.backoff is (not set) and 3"]
    );
    let set = |name: &str, runs: &[Repeat]| RunSet {
        name: name.into(),
        repeats: runs.to_vec(),
        is_baseline: false,
    };
    let note = length_note(&set("old", &old), &set("new", &new));
    assert_eq!(note.unwrap(), "a was under load for 10.0 s, b for 6.0 s");
}

#[test]
fn each_difference_is_named() {
    let with = |change: &dyn Fn(&mut Repeat)| {
        let mut run = run("b", TEXT);
        change(&mut run);
        run
    };
    let other_text = TEXT.replace("idle = 1", "idle = 22").replace("\"g\"", "\"h\"");
    let rows: Vec<(Repeat, &str, &[&str])> = vec![
        (
            run("b", &other_text),
            "groups.0.name is \"g\" and \"h\"; target.idle is 1 and 22",
            &["target", "groups"],
        ),
        (
            with(&|r| r.facts.elapsed_s = 8.0),
            "a was under load for 10.0 s, b for 8.0 s; --allow duration",
            &["duration"],
        ),
        (with(&|r| r.facts.target_kind = "remote".into()), "a has an embedded target", &["target.kind"]),
        (with(&|r| r.facts.host.cores = 8), "b ran on another machine (8 cores, kernel 6.1.7)", &["host"]),
        (with(&|r| r.facts.host.kernel = "6.2.1".into()), "another machine", &["host"]),
    ];
    for (other, part, allowed) in rows {
        let reasons = incomparable(&[run("a", TEXT)], std::slice::from_ref(&other), &[]);
        assert!(reasons.len() == 1 && reasons[0].contains(part), "{part}: {reasons:?}");
        let allowed: Vec<String> = allowed.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(incomparable(&[run("a", TEXT)], &[other], &allowed), [""; 0], "{part}");
    }
}

#[test]
fn runs_without_what_is_compared_are_told_apart() {
    let change = |change: &dyn Fn(&mut Repeat)| {
        let mut run = run("b", TEXT);
        change(&mut run);
        incomparable(&[self::run("a", TEXT)], &[run], &[]).join("\n")
    };
    assert!(change(&|r| r.blocks[0].groups[0].counts = Counts::default()).contains("b is empty"));
    let silent = change(&|r| r.blocks[0].groups[0].counts.reconnects_ended = 0);
    assert!(silent.contains("candidate (b) has no reconnect in group g, the other side 5"), "{silent}");
    let mut by_outages = measures();
    decide_by(&mut by_outages, &["outage_cost".into()]).unwrap();
    let mut silent = run("b", TEXT);
    silent.blocks[0].groups[0].counts.reconnects_ended = 0;
    assert_eq!(super::incomparable(&[run("a", TEXT)], &[silent], &[], &by_outages), [""; 0]);
    let invalid = change(&|r| {
        r.facts.validity = Validity::NotValid;
        r.facts.reasons = vec!["the generator was late".into()];
    });
    assert_eq!(invalid, "b is not valid: the generator was late");
    assert!(change(&|r| r.facts.validity = Validity::CutOff).contains("b is not whole"));
}

#[test]
fn what_all_repeats_have_is_told_once() {
    let other = TEXT.replace("idle = 1", "idle = 22");
    let candidate = ["b1", "b2", "b3"].map(|source| run(source, &other));
    let reasons = incomparable(&[run("a", TEXT)], &candidate, &[]);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
}
