//! `report.html` of runs that are large, strange or cut short. What a browser makes of it is checked in `tests/interop/check_report_html.py`.

use std::path::Path;
use std::time::Duration;

use resurge::record::{
    Entry, HostManifest, JournalWriter, Manifest, PackedTally, StormManifest, Tally, read_journal,
};
use resurge::report::{RunModel, histograms_hlog, report_html, summary_csv};
use resurge::sample::{
    AttemptEnd, AttemptKind, Cause, CloseKey, Counter, Initiator, Outcome, Phase, Phases, ReadySample,
    Sample, SessionEnd, StormId,
};

use crate::synthetic;

/// Every text that a server or a scenario's author can bring into a page.
const EVIL: &str = "</script><script>alert(1)</script>";

fn manifest(groups: &[&str], storms: &[f64]) -> Manifest {
    let groups: Vec<(&str, u32)> = groups.iter().map(|name| (*name, 500)).collect();
    Manifest {
        scenario: format!("hour{EVIL}"),
        scenario_text: format!("# {EVIL}\n"),
        duration_s: 3_600.0,
        target_kind: "remote".into(),
        target_url: format!("wss://example.com/{EVIL}"),
        authorised_hosts: vec![EVIL.into()],
        storms: storms
            .iter()
            .map(|at_s| StormManifest { at_s: *at_s, what: EVIL.into(), fraction: 1.0 })
            .collect(),
        thresholds: vec!["reconnect_latency: p(99) < 1s".into(), format!("unreadable {EVIL}")],
        host: HostManifest { cores: 2, kernel: EVIL.into(), descriptor_limit: 20_000, local_ports: 28_000 },
        ..synthetic::manifest(&groups)
    }
}

/// Numbers that look like a service's: the same for every run, spread over some factors of ten.
fn spread_us(n: u64) -> u64 {
    let draw = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    800 * (1 + draw % 7) * (1 + draw % 61 / 12) * if draw.is_multiple_of(97) { 40 } else { 1 }
}

/// One reconnect, refused first, by way of every phase.
fn comes_back(n: u64, storm: Option<StormId>) -> Vec<Sample> {
    let kind = AttemptKind::Reconnect;
    let mut phases = Phases::default();
    for (index, phase) in Phase::ALL.iter().enumerate() {
        phases.add(*phase, Duration::from_micros(spread_us(n * 8 + index as u64)));
    }
    let latency = phases.total();
    let attempt = |outcome, cause| {
        let token_age = Some(Duration::from_secs(n % 50));
        Sample::Attempt(AttemptEnd { kind, outcome, cause, answer: None, latency: latency / 3, token_age })
    };
    let length = Duration::from_secs(20 + n % 40);
    let close = SessionEnd { key: CloseKey::unsaid(Initiator::Target, 1001, None), length };
    let mut samples = vec![
        Sample::SessionEnd(close),
        Sample::Count(Counter::Disconnects, 1),
        attempt(Outcome::Http403, Some(Cause::StaleToken)),
        Sample::Count(Counter::TokensFetched, 1),
        Sample::Count(Counter::Upgrades, 1),
        attempt(Outcome::Ok, None),
        Sample::Ready(Box::new(ReadySample { kind, storm, latency, service_time: latency / 2, phases })),
        Sample::Cascade(1),
        Sample::Lag(Duration::from_micros(spread_us(n) / 9)),
    ];
    samples.extend(storm.map(Sample::StormDisconnect));
    samples
}

/// A journal of so many seconds; each client of each group comes back about once a minute, and everybody after a storm.
fn write_journal(path: &Path, manifest: &Manifest, seconds: u64) {
    let mut writer = JournalWriter::create(path, manifest).unwrap();
    for second in 0..seconds {
        let storm = manifest.storms.iter().position(|storm| storm.at_s as u64 == second).map(StormId::of);
        let reconnects = if storm.is_some() { 500 } else { 8 };
        let groups = (0..manifest.groups.len() as u64).map(|group| {
            let mut tally = Tally::default();
            if second == 0 {
                tally.apply(&Sample::Count(Counter::ClientsStarted, 500));
            }
            for n in 0..reconnects {
                let number = (second * 4 + group) * 1_000 + n;
                comes_back(number, storm).iter().for_each(|sample| tally.apply(sample));
            }
            PackedTally::of(&tally)
        });
        writer.append(&Entry::Interval { second, groups: groups.collect() }).unwrap();
    }
}

fn html_of(manifest: &Manifest, seconds: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.bin");
    write_journal(&path, manifest, seconds);
    report_html(&RunModel::new(read_journal(&path).unwrap())).unwrap()
}

#[test]
fn an_hour_of_four_groups_stays_under_a_mebibyte() {
    let manifest = manifest(&["a", "b", "c", "d"], &[600.0, 1_800.0, 3_000.0]);
    // Where it is asked for, the journal is kept, to measure the time and memory that `resurge report` takes.
    let html = match std::env::var_os("RESURGE_HOUR_JOURNAL") {
        Some(kept) => {
            let path = Path::new(&kept);
            write_journal(path, &manifest, 3_600);
            report_html(&RunModel::new(read_journal(path).unwrap())).unwrap()
        }
        None => html_of(&manifest, 3_600),
    };
    assert!(html.len() < 1 << 20, "{} bytes", html.len());
    assert!(html.contains("Each point is 6 s"), "and says how seconds were merged");
    assert!(!html.contains(EVIL), "nothing of a scenario is markup");
}

#[test]
fn the_interval_log_of_a_long_run_has_longer_intervals_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.bin");
    write_journal(&path, &manifest(&["a", "b"], &[60.0]), 1_501);
    let log = histograms_hlog(&RunModel::new(read_journal(&path).unwrap()));
    let of_a: Vec<Vec<&str>> = log
        .lines()
        .filter_map(|line| line.strip_prefix("Tag=a.reconnect_latency,"))
        .map(|line| line.split(',').collect())
        .collect();
    let seconds: f64 = of_a.iter().map(|fields| fields[1].parse::<f64>().unwrap()).sum();
    assert!((245..=251).contains(&of_a.len()), "{} intervals of 6 s", of_a.len());
    assert_eq!((of_a[0][1], of_a[1][0]), ("6.000", "6.000"));
    assert!(
        seconds <= 1_501.0 && of_a.last().unwrap()[0].parse::<f64>().unwrap() + 6.0 >= 1_495.0,
        "{seconds}"
    );
}

#[test]
fn what_is_missing_is_said() {
    // (groups, seconds, sentences)
    let rows: [(&[&str], u64, &[&str]); 3] = [
        (
            &["a"],
            0,
            &[
                "No client was disconnected",
                "No attempt was made",
                "No token was fetched",
                "No session ended",
            ],
        ),
        (&["a"], 0, &["The scenario has no storms", "Nobody was refused", "INCOMPLETE"]),
        (&["a", "b"], 2, &["Not known: the target is not the embedded one", "lost with the run"]),
    ];
    for (groups, seconds, sentences) in rows {
        let html = html_of(&manifest(groups, &[]), seconds).replace("&#x27;", "'");
        for sentence in sentences {
            assert!(html.contains(sentence), "{groups:?} {seconds}: {sentence}");
        }
    }
}

#[test]
fn no_two_places_of_a_page_have_one_name() {
    let page = html_of(&manifest(&["a", "b", "c", "d"], &[10.0, 20.0]), 60);
    let mut names: Vec<&str> =
        page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 30, "{names:?}");
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn many_groups_are_plotted_in_part_and_tabled_whole() {
    let names: Vec<String> = (0..40).map(|n| format!("group-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let html = html_of(&manifest(&names, &[1.0]), 3);
    assert!(html.contains("Of 40 groups, the 6 with the most disconnects are plotted"));
    assert!(html.contains("<td class=\"text\">group-39</td>"));
    assert!(html.len() < 1 << 20, "{} bytes", html.len());
}

#[test]
fn the_sample_is_what_its_journal_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample");
    let model = RunModel::new(read_journal(&folder.join("journal.bin")).unwrap());
    assert_eq!(model.verdict.exit_code.number(), 0, "{:?}", model.verdict);
    let curves = model.recovery_curves();
    let after_storm = curves.iter().find(|curve| curve.group.is_none() && curve.storm == Some(0)).unwrap();
    assert_eq!((after_storm.disconnects, after_storm.share_back()), (2_000, Some(1.0)));
    assert_eq!(std::fs::read_to_string(folder.join("summary.csv")).unwrap(), summary_csv(&model).unwrap());
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("recovery-0") && page.len() < 300_000, "{} bytes", page.len());
}
