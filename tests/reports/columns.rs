//! The summary fits a terminal of 80 columns, whatever the run: long names, counts of millions, every outcome, every cause.

use std::path::Path;
use std::time::Duration;

use resurge::record::{
    Entry, GeneratorHealth, JournalWriter, Manifest, PackedTally, RunEnd, StormManifest, Tally, read_journal,
};
use resurge::report::{JOURNAL_FILE, Printed, RunModel, Style, printed_summary};
use resurge::sample::{
    AttemptKind, AwaySample, Cause, CloseKey, Counter, Initiator, Outcome, Phase, Phases, ReadySample,
    Sample, SessionEnd, StormId, Traffic,
};

use crate::synthetic::{self, attempt};

/// As often the samples are doubled: 2^20 of each.
const DOUBLINGS: u32 = 20;
const WIDTH: usize = 80;

fn name(end: &str) -> String {
    format!("{:-<64}", format!("a-group-of-clients-whose-name-is-as-long-as-it-may-be-{end}-"))
}

/// A million of everything that there is.
fn a_million_of_everything() -> Tally {
    let mut samples = vec![Sample::Traffic(Box::new(Traffic {
        messages_in: 9_999,
        messages_out: 7_777,
        bytes_in: 99_999,
        bytes_out: 9_999,
        ..Traffic::default()
    }))];
    samples.extend(Counter::ALL.iter().map(|counter| Sample::Count(*counter, 3)));
    for kind in AttemptKind::ALL {
        for outcome in Outcome::ALL {
            samples.push(attempt(*kind, *outcome, None, Duration::from_secs(119)));
        }
        for cause in Cause::ALL {
            samples.push(attempt(*kind, Outcome::Http403, Some(*cause), Duration::from_secs(119)));
        }
    }
    for storm in [None, Some(StormId::of(0)), Some(StormId::of(1))] {
        let mut phases = Phases::default();
        for phase in Phase::ALL {
            phases.add(*phase, Duration::from_millis(99_900));
        }
        let latency = phases.total();
        let kind = AttemptKind::Reconnect;
        samples.extend(storm.map(Sample::StormDisconnect));
        samples.push(Sample::Ready(Box::new(ReadySample {
            kind,
            storm,
            latency,
            service_time: latency,
            phases,
        })));
        samples.push(Sample::Away(AwaySample { storm, away: Duration::from_secs(7_000) }));
    }
    for (initiator, code) in [(Initiator::Target, 1001), (Initiator::Storm, 1012), (Initiator::Network, 1006)]
    {
        let key = CloseKey::unsaid(initiator, code, None);
        samples.push(Sample::SessionEnd(SessionEnd { key, length: Duration::from_secs(5_000) }));
    }
    let mut tally = Tally::default();
    samples.iter().for_each(|sample| tally.apply(sample));
    for _ in 0..DOUBLINGS {
        let same = tally.clone();
        tally.merge(&same);
    }
    tally
}

fn hard_case(folder: &Path) -> RunModel {
    let names = [name("one"), name("two"), name("three")];
    let groups = names.each_ref().map(|name| (name.as_str(), 4_000_000));
    let storm = |at_s| StormManifest { at_s, what: "all clients reset".into(), fraction: 1.0 };
    let manifest = Manifest {
        scenario: name("scenario"),
        scenario_text: format!("description = \"{}\"\n", "a description of many words ".repeat(9)),
        target_url: format!("wss://{}.example.com/{}", "host".repeat(15), "path/".repeat(30)),
        thresholds: names
            .iter()
            .map(|name| format!("reconnect_latency{{group:{name}}}: p(99.99) < 10ms"))
            .collect(),
        storms: vec![storm(1_234.567), storm(86_399.999)],
        ..synthetic::manifest(&groups)
    };
    let mut journal = JournalWriter::create(&folder.join(JOURNAL_FILE), &manifest).unwrap();
    let groups = vec![PackedTally::of(&a_million_of_everything()); 3];
    journal.append(&Entry::Interval { second: 0, groups }).unwrap();
    let end = synthetic::run_end(12_000_000, 100_000.0);
    let health = GeneratorHealth { attempts_watched: 90_000_000, token_pool_waits: 1_000_000, ..end.health };
    journal.append(&Entry::End(Box::new(RunEnd { health, ..end }))).unwrap();
    RunModel::new(read_journal(&folder.join(JOURNAL_FILE)).unwrap())
}

#[test]
fn no_line_is_wrapped_and_no_table_is_beyond_the_five() {
    let folder = tempfile::tempdir().unwrap();
    let model = hard_case(folder.path());
    let print = |details, colour| {
        printed_summary(
            &model,
            Printed { style: Style { colour }, details, folder: Some(Path::new("reports/x")) },
        )
    };
    for details in [false, true] {
        let text = print(details, false);
        let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= WIDTH, "{}: {widest}", widest.chars().count());
        assert_eq!(text.lines().last(), Some("reports/x/report.html"));
        // Numbers are whole, and names stay apart.
        assert!(text.contains("3,145,728"), "{text}");
        assert!(text.matches("one------").count() > 1 && text.matches("two------").count() > 1, "{text}");
        let plain = print(details, true).replace("\u{1b}[0m", "");
        let plain = [1, 31, 32].iter().fold(plain, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert_eq!(plain, text, "colours change no letter");
    }
    let is_table =
        |line: &&str| line.starts_with(|letter: char| letter.is_ascii_uppercase()) && line.contains('(');
    let tables =
        |text: &str| text.lines().filter(is_table).filter(|line| !line.starts_with("THRESHOLD ")).count();
    assert_eq!(tables(&print(false, false)), 5);
    assert!(tables(&print(true, false)) > 8);
}

#[test]
fn what_makes_a_run_not_valid_is_told_without_details() {
    let folder = tempfile::tempdir().unwrap();
    let model = hard_case(folder.path());
    let short =
        printed_summary(&model, Printed { style: Style { colour: false }, details: false, folder: None });
    let words = short.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.starts_with("NOT VALID"), "{words}");
    assert!(words.contains("! unbalanced counts:") && words.contains("UNBALANCED COUNTS:"), "{words}");
    assert!(words.contains("p(99.99) < 10ms (measured"), "failed thresholds: {words}");
    assert!(words.contains("note: 1,000,000 token requests waited"), "{words}");
    assert!(words.contains("refetch loop") && words.contains("WARNINGS"), "{words}");
}
