//! Tests of merging: any order gives the same, what does not belong together is refused, what is missing is told.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::journal::tests::manifest;
use super::*;
use crate::engine::StopReason;
use crate::sample::{AttemptEnd, AttemptKind, Counter, Metric, Outcome, Sample};

/// A sample of shard `shard` in `second`: which ones depends on both.
fn samples(shard: u32, second: u64) -> Vec<Sample> {
    let latency = Duration::from_micros(700 * (1 + u64::from(shard)) * (1 + second * second));
    let outcome = if (u64::from(shard) + second).is_multiple_of(3) { Outcome::Http403 } else { Outcome::Ok };
    let (cause, token_age) = (None, None);
    vec![
        Sample::Count(Counter::ClientsStarted, 1 + second),
        Sample::Attempt(AttemptEnd {
            kind: AttemptKind::First,
            outcome,
            cause,
            answer: None,
            latency,
            token_age,
        }),
        Sample::Lag(latency / 3),
    ]
}

fn end(seconds: u64) -> RunEnd {
    let health = GeneratorHealth {
        cpu_s: Some(1.5),
        cpu_share: Some(0.1),
        max_rss_bytes: Some(10),
        stall_max_us: seconds,
        ..Default::default()
    };
    RunEnd {
        reason: StopReason::Completed,
        elapsed_s: seconds as f64,
        clients_planned: 3,
        drained: true,
        health,
        target_counters: None,
        write_faults: Vec::new(),
        first_starts: Vec::new(),
        delays: Steps::default(),
        stalls: Steps::default(),
        target_reconnects: None,
    }
}

/// Shards of a run in folders of their own.
struct Shards {
    root: TempDir,
    of: u32,
}

impl Shards {
    fn new(of: u32) -> Self {
        Self { root: tempfile::tempdir().unwrap(), of }
    }

    fn input(&self, name: &str) -> MergeInput {
        MergeInput {
            name: name.to_owned(),
            journal: self.root.path().join(format!("{name}.bin")),
            in_memory: None,
        }
    }

    /// Writes shard `shard`, `seconds` long; `ends`: to its end. `change` makes it another run's.
    fn write_as(
        &self,
        name: &str,
        shard: u32,
        seconds: u64,
        ends: bool,
        change: impl Fn(&mut Manifest),
    ) -> MergeInput {
        let mut manifest = Manifest { shards: self.of, held: vec![shard], ..manifest() };
        manifest.groups[0].clients = 40;
        change(&mut manifest);
        let input = self.input(name);
        let mut writer = JournalWriter::create(&input.journal, &manifest).unwrap();
        // Not every shard has something in every second.
        for second in
            (0..seconds).filter(|second| (second + u64::from(shard)) % 4 != 1 || *second + 1 == seconds)
        {
            let mut tally = Tally::default();
            samples(shard, second).iter().for_each(|sample| tally.apply(sample));
            writer.append(&Entry::Interval { second, groups: vec![PackedTally::of(&tally)] }).unwrap();
        }
        if ends {
            writer.append(&Entry::End(Box::new(end(seconds)))).unwrap();
        }
        input
    }

    fn write(&self, shard: u32, seconds: u64) -> MergeInput {
        self.write_as(&format!("shard-{shard}"), shard, seconds, true, |_| {})
    }

    fn merge(&self, inputs: &[MergeInput], name: &str) -> Result<(MergeInput, Journal), MergeError> {
        let out = self.input(name);
        plan_merge(inputs, Machines::One, &Default::default())?.write(&out.journal)?;
        let journal = read_journal(&out.journal)?;
        Ok((out, journal))
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// All of a journal's seconds together.
fn total(journal: &Journal) -> Tally {
    merge_all(&journal.intervals.iter().map(|(_, groups)| groups[0].unpack()).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_and_any_steps_give_the_same_bytes(
        of in 1_u32..=16,
        order in Just((0_usize..16).collect::<Vec<_>>()).prop_shuffle(),
        first in 1_usize..16,
    ) {
        let shards = Shards::new(of);
        let inputs: Vec<MergeInput> = (1..=of).map(|shard| shards.write(shard, 3 + u64::from(shard % 5))).collect();
        let (straight, journal) = shards.merge(&inputs, "straight").unwrap();
        let shuffled: Vec<MergeInput> =
            order.iter().filter_map(|index| inputs.get(*index)).cloned().collect();
        let (other, _) = shards.merge(&shuffled, "shuffled").unwrap();
        prop_assert!(bytes(&other.journal) == bytes(&straight.journal), "in another order");
        // Some first, then the merged one with the others.
        let (some, others) = shuffled.split_at(first.min(shuffled.len()));
        let (part, partly) = shards.merge(some, "part").unwrap();
        prop_assert_eq!(partly.manifest.lost.len(), others.len(), "the others are missing: {:?}", partly.manifest.lost);
        let (_, stepwise) = shards.merge(&[&[part], others].concat(), "stepwise").unwrap();
        prop_assert_eq!(&stepwise.intervals, &journal.intervals, "in two steps");
        prop_assert_eq!(&stepwise.manifest, &journal.manifest);
        // And nothing is lost or told twice.
        let mut expected = Tally::default();
        for shard in 1..=of {
            let own = read_journal(&shards.input(&format!("shard-{shard}")).journal).unwrap();
            expected.merge(&total(&own));
        }
        prop_assert_eq!(&total(&journal), &expected);
        prop_assert_eq!(journal.manifest.lost, []);
        prop_assert_eq!(journal.manifest.held, (1..=of).collect::<Vec<_>>());
        let end = journal.end.unwrap();
        prop_assert_eq!(end.clients_planned, 3 * u64::from(of));
        let lag = &expected.histograms[&Metric::Lag];
        prop_assert_eq!((end.health.lag_p99_us, end.health.lag_max_us), (lag.percentile_us(99.0), lag.max_us()));
        prop_assert_eq!((end.health.max_rss_bytes, end.health.cpu_s), (Some(10 * u64::from(of)), Some(1.5 * f64::from(of))));
    }
}

#[test]
fn what_is_not_of_one_run_is_refused_with_what_differs_and_where() {
    type Change = fn(&mut Manifest);
    let rows: [(&str, Change); 5] = [
        ("the scenario's hash is h in the first and other in the second", |m| {
            m.scenario_hash = "other".into();
        }),
        ("the seed is 1 in the first and 2 in the second", |m| m.seed = 2),
        ("the number of shards is 3 in the first and 4 in the second", |m| m.shards = 4),
        ("the schema version is", |m| m.schema_version = 1),
        ("the kind of target is embedded in the first and remote in the second", |m| {
            m.target_kind = "remote".into();
        }),
    ];
    for (part, change) in rows {
        let shards = Shards::new(3);
        let one = shards.write(1, 2);
        // No intervals: version 1 holds them in another form.
        let other = shards.write_as("stranger", 2, 0, false, change);
        for inputs in [[one.clone(), other.clone()], [other, one]] {
            let error = shards.merge(&inputs, "merged").unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("shard-1") && error.contains("stranger"),
                "{part}: {error}"
            );
            assert!(!shards.input("merged").journal.exists(), "nothing is written");
        }
    }
}

#[test]
fn a_shard_that_is_there_twice_is_refused() {
    let shards = Shards::new(3);
    let inputs = [shards.write(1, 2), shards.write(2, 2)];
    let copy = shards.write_as("copy", 2, 2, true, |_| {});
    let error = shards.merge(&[&inputs[..], &[copy]].concat(), "merged").unwrap_err().to_string();
    assert!(error.contains("copy and shard-2 both hold shard 2 of 3"), "{error}");
    let (merged, _) = shards.merge(&inputs, "both").unwrap();
    let error = shards.merge(&[merged, inputs[0].clone()], "merged").unwrap_err();
    assert!(matches!(error, MergeError::Overlap { shard: 1, of: 3, .. }), "{error}");
    let whole = shards.write_as("whole", 1, 2, true, |m| (m.shards, m.held) = (1, Vec::new()));
    assert!(matches!(shards.merge(&[whole.clone(), whole], "merged"), Err(MergeError::Overlap { .. })));
    assert!(matches!(shards.merge(&[], "merged"), Err(MergeError::Nothing)));
}

#[test]
fn histograms_of_another_setting_are_damage_that_is_named() {
    let shards = Shards::new(2);
    let one = shards.write(1, 2);
    let other = shards.write(2, 1);
    // Its histograms say that they have two significant digits: the byte is found by what stands around it.
    let mut journal = read_journal(&other.journal).unwrap();
    for (_, histogram) in &mut journal.intervals[0].1[0].histograms {
        histogram[15] = 2;
    }
    std::fs::remove_file(&other.journal).unwrap();
    let mut writer = JournalWriter::create(&other.journal, &journal.manifest).unwrap();
    let (second, groups) = journal.intervals.remove(0);
    writer.append(&Entry::Interval { second, groups }).unwrap();
    let error = shards.merge(&[one, other], "merged").unwrap_err().to_string();
    assert!(error.contains("shard-2") && error.contains("histograms of another setting"), "{error}");
}

#[test]
fn a_shard_that_breaks_off_is_lost_from_then_on_and_one_that_is_missing_altogether() {
    let shards = Shards::new(4);
    let inputs = [
        shards.write(1, 6),
        shards.write_as("broken", 2, 3, false, |_| {}),
        shards.write_as("empty", 3, 0, false, |_| {}),
    ];
    let (merged, journal) = shards.merge(&inputs, "merged").unwrap();
    let lost: Vec<(u32, u64)> = journal.manifest.lost.iter().map(|lost| (lost.shard, lost.from_s)).collect();
    assert_eq!(lost, [(2, 3), (3, 0), (4, 0)]);
    assert_eq!(journal.manifest.held, [1, 2], "one without a number may come again");
    assert!(journal.manifest.breaks_off());
    assert_eq!(journal.end.as_ref().unwrap().clients_planned, 3);
    let expected: u64 = [(1, 6), (2, 3)]
        .iter()
        .map(|(shard, seconds)| {
            let own = shards.input(if *shard == 1 { "shard-1" } else { "broken" });
            assert!(*seconds > 0);
            total(&read_journal(&own.journal).unwrap()).attempts_total()
        })
        .sum();
    assert_eq!(total(&journal).attempts_total(), expected, "its whole seconds count");
    // Those that were missing come later; what was broken stays so.
    let late = [shards.write_as("late-3", 3, 2, true, |_| {}), shards.write_as("late-4", 4, 2, true, |_| {})];
    let (_, journal) = shards.merge(&[&[merged], &late[..]].concat(), "again").unwrap();
    let lost: Vec<(u32, u64)> = journal.manifest.lost.iter().map(|lost| (lost.shard, lost.from_s)).collect();
    assert_eq!(lost, [(2, 3)]);
    assert_eq!(journal.manifest.held, [1, 2, 3, 4]);
}

#[test]
fn the_gravest_reason_is_that_of_all() {
    use StopReason::{ClientsDone, Completed, Interrupted, NotAuthorised};
    let threshold = StopReason::Threshold { threshold: "t".into() };
    for (reasons, expected) in [
        (vec![ClientsDone, ClientsDone], ClientsDone),
        (vec![ClientsDone, Completed], Completed),
        (vec![threshold.clone(), Completed], threshold.clone()),
        (vec![Completed, Interrupted, threshold], Interrupted),
        (vec![Interrupted, NotAuthorised, Completed], NotAuthorised),
    ] {
        let ends: Vec<RunEnd> =
            reasons.iter().map(|reason| RunEnd { reason: reason.clone(), ..end(1) }).collect();
        let merged =
            merge_ends(&ends.iter().collect::<Vec<_>>(), &Tally::default(), Machines::Several).unwrap();
        assert_eq!(merged.reason, expected, "{reasons:?}");
        assert!(
            merged.health.cpu_share.is_some_and(|share| (share - 0.1).abs() < 1e-9),
            "shares of several machines do not add up"
        );
    }
    assert_eq!(merge_ends(&[], &Tally::default(), Machines::One), None);
}
