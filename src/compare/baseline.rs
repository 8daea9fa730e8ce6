//! Baselines: small files that live in git, to compare later runs with.
//!
//! In: repeats. Out: a file's bytes, and the repeats again. A file is [`MAGIC`], its version (u32 LE), a CRC-32C (RFC 3720 §B.4, u32 LE) of the rest, and the rest: deflated
//! (RFC 1951), each repeat's facts, counts and histograms by block, its outages and its storms. Where that were too large, blocks are joined and histograms lose binary digits, never counts: the finest
//! form that fits is taken, and comparisons say how fine it is.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sample::Metric;

use super::baseline_form::{FileLater, FileOutages, NamedTimes};
use super::baseline_old::{CountsV1, FileV4};
use super::buckets::{Buckets, FULL_PRECISION};
use super::measure::compared_metrics;
use super::outages::RunOutages;
use super::packed_buckets::{pack_buckets, unpack_buckets};
use super::repeat::{Block, Counts, Facts, GroupBlock, MOST_BLOCKS, Repeat};
use super::side::ENOUGH_REPEATS;
use super::storms::RunStorms;

/// Where baselines are looked for and saved.
pub const BASELINES: &str = "reports/baselines";
/// How a baseline's file name ends.
pub const BASELINE_ENDING: &str = "baseline";
/// The first bytes of every baseline.
const MAGIC: &[u8; 8] = b"RSRGBASE";
/// Version of its contents.
const VERSION: u32 = 5;
/// Bytes before the deflated rest.
const HEAD: usize = 16;
/// A baseline of up to four groups stays below 200 kB; each further group may take a quarter of it more.
const BYTES_PER_GROUP: usize = 48_000;
/// More than was ever counted in all repeats together: no sum of a part of it overflows.
const MOST_COUNTED: u64 = 1 << 60;
/// More than any baseline unpacks to.
const MOST_UNPACKED: u64 = 256 * 1024 * 1024;
/// Blocks and binary digits, finest first: where one side's repeats tell how runs spread, blocks are given up first; else digits.
const WITH_REPEATS: &[(usize, u8)] =
    &[(MOST_BLOCKS, 10), (MOST_BLOCKS, 8), (4, 8), (1, 9), (1, 8), (1, 7), (1, 6), (1, 5)];
const WITHOUT_REPEATS: &[(usize, u8)] = &[
    (MOST_BLOCKS, 10),
    (MOST_BLOCKS, 9),
    (MOST_BLOCKS, 8),
    (MOST_BLOCKS, 7),
    (6, 7),
    (6, 6),
    (3, 6),
    (3, 5),
];

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The bytes are none.
    #[error("{name} is no baseline of resurge: it does not begin as one")]
    NotABaseline {
        /// What the user called it.
        name: String,
    },
    /// The bytes were changed, or end early.
    #[error("{name} is damaged: {what}. Take it from version control again")]
    Damaged {
        /// What the user called it.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "{name} has version {found}, this program reads up to {VERSION}: use the resurge that wrote it, or a newer one"
    )]
    Newer {
        /// What the user called it.
        name: String,
        /// Its version.
        found: u32,
    },
    /// It could not be packed.
    #[error("the baseline cannot be packed: {0}")]
    Pack(String),
}

#[derive(Serialize, Deserialize)]
struct FileRepeat<C, O> {
    facts: Facts,
    blocks: Vec<FileBlock<C>>,
    outages: O,
}

#[derive(Serialize, Deserialize)]
struct FileBlock<C> {
    seconds: u64,
    groups: Vec<FileGroup<C>>,
}

#[derive(Serialize, Deserialize)]
struct FileGroup<C> {
    counts: C,
    /// Of each metric: by how much the bucket's index grew, the count, and so on.
    histograms: Vec<(Metric, Vec<u64>)>,
}

/// Packs repeats into a file's bytes.
///
/// # Errors
/// [`BaselineError::Pack`], which nobody has seen.
pub fn pack_baseline(repeats: &[Repeat]) -> Result<Vec<u8>, BaselineError> {
    let groups = repeats.iter().map(|repeat| repeat.facts.groups.len()).max().unwrap_or(1);
    let most = BYTES_PER_GROUP * groups.max(4);
    let forms = if repeats.len() >= ENOUGH_REPEATS { WITH_REPEATS } else { WITHOUT_REPEATS };
    let mut bytes = Vec::new();
    for (blocks, precision) in forms {
        bytes = pack_in(repeats, *blocks, *precision)?;
        if bytes.len() <= most {
            break;
        }
    }
    Ok(bytes)
}

fn pack_in(repeats: &[Repeat], blocks: usize, precision: u8) -> Result<Vec<u8>, BaselineError> {
    let packed: Vec<FileRepeat<Counts, FileLater>> =
        repeats.iter().map(|repeat| file_repeat(&repeat.reduced(blocks, precision))).collect();
    framed(&packed, VERSION)
}

fn framed<C: Serialize, O: Serialize>(
    packed: &[FileRepeat<C, O>],
    version: u32,
) -> Result<Vec<u8>, BaselineError> {
    let fault = |error: &dyn std::fmt::Display| BaselineError::Pack(error.to_string());
    let plain = postcard::to_stdvec(packed).map_err(|error| fault(&error))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let rest = encoder.write_all(&plain).and_then(|()| encoder.finish()).map_err(|error| fault(&error))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    Ok(bytes)
}

fn file_repeat(repeat: &Repeat) -> FileRepeat<Counts, FileLater> {
    let kept: Vec<Metric> = compared_metrics().chain([Metric::ReconnectAway]).collect();
    let precision = repeat.facts.precision;
    let pack_group = |group: &GroupBlock| FileGroup {
        counts: group.counts,
        histograms: group
            .histograms
            .iter()
            .filter(|(metric, _)| kept.contains(metric))
            .map(|(metric, buckets)| (*metric, pack_buckets(buckets, precision)))
            .collect(),
    };
    let blocks = repeat.blocks.iter().map(|block| FileBlock {
        seconds: block.seconds,
        groups: block.groups.iter().map(pack_group).collect(),
    });
    let outages = repeat.outages.clone();
    let outages = outages.and_then(|outages| outages.map(&|times| Some(pack_buckets(&times, precision))));
    let times = |group: &GroupBlock| -> NamedTimes {
        group.exchanges.iter().map(|(name, own)| (name.clone(), pack_buckets(own, precision))).collect()
    };
    let of_blocks = repeat.blocks.iter().map(|block| block.groups.iter().map(times).collect());
    let has_any = |block: &Block| block.groups.iter().any(|group| !group.exchanges.is_empty());
    let exchanges = if repeat.blocks.iter().any(has_any) { of_blocks.collect() } else { Vec::new() };
    let storms = repeat.storms.clone();
    let storms = storms.and_then(|storms| storms.map(&|times| Some(pack_buckets(&times, precision))));
    let outages = FileLater::new(FileOutages(outages), exchanges, storms);
    FileRepeat { facts: repeat.facts.clone(), blocks: blocks.collect(), outages }
}

/// Reads a file's bytes. `name` is what the user called it.
///
/// # Errors
/// [`BaselineError`] when the bytes are no baseline, damaged, or newer than this program.
pub fn read_baseline(bytes: &[u8], name: &str) -> Result<Vec<Repeat>, BaselineError> {
    let damaged = |what| BaselineError::Damaged { name: name.to_owned(), what };
    if !bytes.starts_with(MAGIC) {
        return Err(BaselineError::NotABaseline { name: name.to_owned() });
    }
    let word =
        |at: usize| bytes.get(at..at + 4).and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?)));
    let (Some(version), Some(checksum), Some(rest)) = (word(8), word(12), bytes.get(HEAD..)) else {
        return Err(damaged("it ends early"));
    };
    if version > VERSION {
        return Err(BaselineError::Newer { name: name.to_owned(), found: version });
    }
    // The checksum does not cover it, and there was never a version 0.
    if version == 0 {
        return Err(damaged("its version cannot be"));
    }
    if crc32c::crc32c(rest) != checksum {
        return Err(damaged("its checksum is wrong"));
    }
    let mut plain = Vec::new();
    DeflateDecoder::new(rest)
        .take(MOST_UNPACKED)
        .read_to_end(&mut plain)
        .map_err(|_| damaged("it does not unpack"))?;
    let repeats: Option<Vec<Repeat>> = match version {
        1 => unpack::<CountsV1, ()>(&plain),
        2 => unpack::<Counts, ()>(&plain),
        3 => unpack::<Counts, FileOutages>(&plain),
        4 => unpack::<Counts, FileV4>(&plain),
        _ => unpack::<Counts, FileLater>(&plain),
    }
    .map_err(|_| damaged("it cannot be read"))?;
    let can_be = |repeats: &Vec<Repeat>| !repeats.is_empty() && total(repeats) <= MOST_COUNTED;
    repeats.filter(can_be).ok_or_else(|| damaged("a number in it cannot be"))
}

/// The sum of everything that was counted.
fn total(repeats: &[Repeat]) -> u64 {
    let outages = repeats.iter().flat_map(|repeat| &repeat.outages).flat_map(RunOutages::counted);
    let storms = repeats.iter().flat_map(|repeat| &repeat.storms).flat_map(RunStorms::counted);
    let blocks = repeats.iter().flat_map(|repeat| &repeat.blocks);
    blocks.fold(outages.chain(storms).fold(0, u64::saturating_add), |sum: u64, block| {
        let groups = block.groups.iter().flat_map(|group| {
            let times = group.histograms.values().chain(group.exchanges.values());
            let cells = times.flat_map(Buckets::cells).map(|(_, count)| *count);
            group.counts.all().into_iter().chain(cells)
        });
        groups.fold(sum.saturating_add(block.seconds), u64::saturating_add)
    })
}

/// The repeats of a file whose groups count so; `None` where a number in it cannot be.
fn unpack<C, O>(plain: &[u8]) -> Result<Option<Vec<Repeat>>, postcard::Error>
where
    C: DeserializeOwned + Into<Counts>,
    O: DeserializeOwned + Into<FileLater>,
{
    let repeats: Vec<FileRepeat<C, O>> = postcard::from_bytes(plain)?;
    Ok(repeats.into_iter().map(repeat_of).collect())
}

fn repeat_of<C: Into<Counts>, O: Into<FileLater>>(file: FileRepeat<C, O>) -> Option<Repeat> {
    let precision = file.facts.precision;
    if !(1..=FULL_PRECISION).contains(&precision) {
        return None;
    }
    let group_of = |group: FileGroup<C>| {
        let histograms: Option<BTreeMap<Metric, Buckets>> = group
            .histograms
            .into_iter()
            .map(|(metric, packed)| Some((metric, unpack_buckets(&packed, precision)?)))
            .collect();
        let exchanges = BTreeMap::new();
        Some(GroupBlock { counts: group.counts.into(), histograms: histograms?, exchanges })
    };
    let blocks: Option<Vec<Block>> = file
        .blocks
        .into_iter()
        .map(|block| {
            let groups: Option<Vec<GroupBlock>> = block.groups.into_iter().map(group_of).collect();
            Some(Block { seconds: block.seconds, groups: groups? })
        })
        .collect();
    let (outages, exchanges, storms) = file.outages.into().into_parts();
    let outages = match outages.0 {
        None => None,
        Some(packed) => Some(outages_of(packed, &file.facts)?),
    };
    let storms = match storms {
        None => None,
        Some(packed) => {
            let storms = packed.map(&|times| unpack_buckets(&times, precision))?;
            Some(storms).filter(|storms| storms.can_be(file.facts.groups.len())).map(Some)?
        }
    };
    let mut blocks = blocks?;
    for (block, packed) in blocks.iter_mut().zip(exchanges) {
        for (group, packed) in block.groups.iter_mut().zip(packed) {
            let times = packed.into_iter().map(|(name, own)| Some((name, unpack_buckets(&own, precision)?)));
            group.exchanges = times.collect::<Option<_>>()?;
        }
    }
    Some(Repeat { facts: file.facts, blocks, outages, storms })
}

fn outages_of(packed: RunOutages<Vec<u64>>, facts: &Facts) -> Option<RunOutages> {
    let mut outages = packed.map(&|times| unpack_buckets(&times, facts.precision))?;
    outages.begins.iter_mut().for_each(|begin| *begin = begin.tidied());
    outages.can_be(facts.groups.len()).then_some(outages)
}

/// The name of a baseline's file: letters, digits, `.`, `-` and `_`.
///
/// # Errors
/// A sentence that says what is allowed.
pub fn baseline_file(name: &str) -> Result<String, String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(allowed) {
        return Err(format!("`{name}` is no name: letters, digits, '.', '-' and '_' are allowed, as v1.2"));
    }
    Ok(format!("{name}.{BASELINE_ENDING}"))
}

#[cfg(test)]
#[path = "baseline_tests.rs"]
mod tests;
