//! Baselines, packed and read again; and those of before.

use proptest::prelude::*;

use super::super::synthetic::{Behaviour, synthetic_run};
use super::*;

fn repeats(n: u64) -> Vec<Repeat> {
    (0..n).map(|seed| synthetic_run(&Behaviour::default(), seed)).collect()
}

#[test]
fn exchanges_are_kept_by_name_and_those_of_before_have_none() {
    let mut repeats = repeats(3);
    for (number, block) in (1..).zip(repeats.iter_mut().flat_map(|repeat| &mut repeat.blocks)) {
        let times = Buckets::new([(1_000, number), (2_048, 3)]);
        block.groups[0].exchanges = BTreeMap::from([("sub".to_owned(), times)]);
    }
    assert_eq!(read_baseline(&pack_baseline(&repeats).unwrap(), "b").unwrap(), repeats);
    let fourth: Vec<FileRepeat<Counts, FileV4>> = repeats
        .iter()
        .map(file_repeat)
        .map(|FileRepeat { facts, blocks, outages }| FileRepeat {
            facts,
            blocks,
            outages: FileV4::of(outages),
        })
        .collect();
    assert_eq!(read_baseline(&framed(&fourth, 4).unwrap(), "old").unwrap(), repeats);
    let third: Vec<FileRepeat<Counts, FileOutages>> = repeats
        .iter()
        .map(file_repeat)
        .map(|FileRepeat { facts, blocks, outages }| FileRepeat {
            facts,
            blocks,
            outages: outages.into_parts().0,
        })
        .collect();
    let read = read_baseline(&framed(&third, 3).unwrap(), "old").unwrap();
    assert!(read.iter().flat_map(|repeat| &repeat.blocks).all(|block| block.groups[0].exchanges.is_empty()));
    assert_eq!(read[0].outages, repeats[0].outages);
}

#[test]
fn what_fits_is_kept_without_loss() {
    let repeats = repeats(3);
    let bytes = pack_baseline(&repeats).unwrap();
    assert!(bytes.len() < 200_000, "{}", bytes.len());
    assert_eq!(read_baseline(&bytes, "b").unwrap(), repeats);
}

#[test]
fn four_groups_with_repeats_of_an_hour_stay_small_and_true() {
    let behaviour =
        Behaviour { groups: 4, metrics: 14, seconds: 3_600, per_second: 3.0, ..Behaviour::default() };
    let repeats: Vec<Repeat> = (0..5).map(|seed| synthetic_run(&behaviour, seed)).collect();
    let bytes = pack_baseline(&repeats).unwrap();
    assert!(bytes.len() < 200_000, "{}", bytes.len());
    let read = read_baseline(&bytes, "b").unwrap();
    assert_eq!(read.len(), 5);
    for (read, repeat) in read.iter().zip(&repeats) {
        let stack = |of: &Repeat| {
            super::super::buckets::Stack::new(
                [&of.histogram(3, Metric::ReconnectLatency)],
                of.facts.precision,
            )
        };
        let (ours, theirs) = (stack(read).percentile(&[1], 99.0), stack(repeat).percentile(&[1], 99.0));
        let ratio = ours.unwrap() / theirs.unwrap();
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
        assert_eq!(read.counts(2), repeat.counts(2));
    }
}

#[test]
fn what_is_no_baseline_is_refused_with_a_reason() {
    let bytes = pack_baseline(&repeats(1)).unwrap();
    let mut newer = bytes.clone();
    newer[8] = 9;
    let mut older = bytes.clone();
    older[8] = 0;
    let mut changed = bytes.clone();
    changed[60] ^= 1;
    let rows: [(&[u8], &str); 6] = [
        (&older, "version cannot be"),
        (b"", "does not begin as one"),
        (b"RSRGJRNL etc", "does not begin as one"),
        (&bytes[..12], "ends early"),
        (&newer, "has version 9"),
        (&changed, "checksum"),
    ];
    for (bytes, part) in rows {
        let error = read_baseline(bytes, "v1").unwrap_err().to_string();
        assert!(error.starts_with("v1 ") && error.contains(part), "{error}");
    }
}

#[test]
fn baselines_of_before_are_read_and_what_was_not_known_then_is_not_in_them() {
    let mut repeats = repeats(2);
    for block in repeats.iter_mut().flat_map(|repeat| &mut repeat.blocks) {
        for group in &mut block.groups {
            group.counts.given_up = 3;
            group.counts.reconnects_ended = group.counts.back + 3;
        }
    }
    let of_version_1 = |counts: Counts| CountsV1 {
        answered: counts.answered,
        refused_403: counts.refused_403,
        attempts: counts.attempts,
        failed: counts.failed,
        back: counts.back,
        reconnects_ended: counts.reconnects_ended,
        tokens_for_reconnects: counts.tokens_for_reconnects,
    };
    let first: Vec<FileRepeat<CountsV1, ()>> = repeats
        .iter()
        .map(file_repeat)
        .map(|repeat| {
            let blocks = repeat.blocks.into_iter().map(|block| {
                let groups = block.groups.into_iter().map(|group| FileGroup {
                    counts: of_version_1(group.counts),
                    histograms: group.histograms,
                });
                FileBlock { seconds: block.seconds, groups: groups.collect() }
            });
            FileRepeat { facts: repeat.facts, blocks: blocks.collect(), outages: () }
        })
        .collect();
    assert_eq!(read_baseline(&framed(&first, 1).unwrap(), "old").unwrap(), repeats);
    let of_version_2 = |repeat: &Repeat| {
        let FileRepeat { facts, blocks, .. } = file_repeat(repeat);
        FileRepeat { facts, blocks, outages: () }
    };
    let second: Vec<FileRepeat<Counts, ()>> = repeats.iter().map(of_version_2).collect();
    let read = read_baseline(&framed(&second, 2).unwrap(), "old").unwrap();
    assert_eq!(read, repeats);
    assert!(read.iter().all(|repeat| repeat.outages.is_none()));
}

#[test]
fn names_become_files_and_never_paths() {
    assert_eq!(baseline_file("v1.2_rc-3").unwrap(), "v1.2_rc-3.baseline");
    for name in ["", "../x", "a/b", ".hidden", "a b", "ä"] {
        assert!(baseline_file(name).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        bytes.extend_from_slice(&rest);
        prop_assert!(read_baseline(&bytes, "b").is_err());
    }
}
