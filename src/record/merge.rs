//! Merging the journals of shards into one, without loss.
//!
//! In: journals of shards of one run, or of merges of such. Out: one journal: each second's counts are sums, its histograms merged. It is read second by
//! second: memory grows with the number of journals, not with how long the run was. What does not belong together is refused before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::engine::StopReason;

use super::entry::Entry;
use super::journal::{Journal, JournalWriter, read_journal};
use super::journal_error::JournalError;
use super::journal_reader::{JournalReader, open_journal};
use super::manifest::{AbsentShard, LostShard, Manifest, RunEnd, SCHEMA_VERSION};
use super::merge_ends::{Machines, merge_ends};
use super::note::Note;
use super::packed::PackedTally;
use super::tally::Tally;

/// A journal to merge.
#[derive(Debug, Clone)]
pub struct MergeInput {
    /// What a message calls it: its folder.
    pub name: String,
    /// Its file.
    pub journal: PathBuf,
    /// Its bytes, where the file could not be written to its end.
    pub in_memory: Option<Vec<u8>>,
}

impl MergeInput {
    /// That of a run folder, whose journal's name is `journal`.
    #[must_use]
    pub fn in_folder(folder: &Path, journal: &str) -> Self {
        Self { name: folder.display().to_string(), journal: folder.join(journal), in_memory: None }
    }

    /// Reads all of it, and checks it.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read, or is damaged.
    pub fn check(&self) -> Result<(), JournalError> {
        let mut reader = self.open()?;
        while reader.next_entry()?.is_some() {}
        Ok(())
    }

    fn open(&self) -> Result<JournalReader<Box<dyn Read + '_>>, JournalError> {
        match &self.in_memory {
            Some(bytes) => JournalReader::new(&self.journal, Box::new(bytes.as_slice())),
            None => Ok(open_journal(&self.journal)?.boxed()),
        }
    }
}

/// Why journals cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There are none.
    #[error("there is nothing to merge: none of the shards has a journal")]
    Nothing,
    /// They are not of one run.
    #[error(
        "{first} and {second} are not shards of one run: {what} is {in_first} in the first and {in_second} in the second. \
         Run every shard with the same scenario, --set arguments, seed and number of shards"
    )]
    Differ {
        /// What differs.
        what: &'static str,
        /// One folder.
        first: String,
        /// The other.
        second: String,
        /// What it is in the one.
        in_first: String,
        /// What it is in the other.
        in_second: String,
    },
    /// Two hold the same shard.
    #[error(
        "{first} and {second} both hold shard {shard} of {of}: its numbers would count twice. Name only one of them"
    )]
    Overlap {
        /// Which shard.
        shard: u32,
        /// Of how many.
        of: u32,
        /// One folder.
        first: String,
        /// The other.
        second: String,
    },
    /// One cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The merged journal cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a first look at a journal tells.
struct Surveyed<'i> {
    input: &'i MergeInput,
    manifest: Manifest,
    held: Vec<u32>,
    /// The first second that it has no numbers of.
    next_second: u64,
    notes: Vec<Note>,
    end: Option<RunEnd>,
}

/// A merge that was found to be possible.
pub struct MergePlan<'i> {
    /// The journals, by their shards.
    parts: Vec<Surveyed<'i>>,
    /// The merged run's.
    manifest: Manifest,
    machines: Machines,
}

/// Looks at journals and says how they merge. `why_lost` has what is known about shards that were lost.
///
/// # Errors
/// [`MergeError`] when one cannot be read, or they do not belong together.
pub fn plan_merge<'i>(
    inputs: &'i [MergeInput],
    machines: Machines,
    why_lost: &BTreeMap<u32, String>,
) -> Result<MergePlan<'i>, MergeError> {
    let mut parts = inputs.iter().map(survey).collect::<Result<Vec<_>, _>>()?;
    for part in &mut parts {
        let is_lost = part.held.iter().any(|shard| why_lost.contains_key(shard));
        // One that was stopped alone ended in good order, and yet its numbers break off; the run as a whole was not interrupted.
        if is_lost && part.end.as_ref().is_some_and(|end| end.reason == StopReason::Interrupted) {
            part.end = None;
        }
    }
    // Whatever order they were named in, the merge is the same.
    parts.sort_by(|a, b| a.held.cmp(&b.held).then_with(|| a.input.name.cmp(&b.input.name)));
    let (first, others) = parts.split_first().ok_or(MergeError::Nothing)?;
    for other in others {
        check_same_run(first, other)?;
    }
    check_overlap(&parts)?;
    let manifest = merged_manifest(&parts, why_lost);
    Ok(MergePlan { parts, manifest, machines })
}

fn survey(input: &MergeInput) -> Result<Surveyed<'_>, MergeError> {
    let mut reader = input.open()?;
    let (mut next_second, mut notes, mut end) = (0, Vec::new(), None);
    while let Some(entry) = reader.next_entry()? {
        match entry {
            Entry::Interval { second, .. } => next_second = second + 1,
            Entry::End(found) => end = Some(*found),
            Entry::Note(note) => notes.push(note),
            Entry::Manifest(_) => {}
        }
    }
    let manifest = reader.manifest().clone();
    Ok(Surveyed { input, held: manifest.held_shards(), manifest, next_second, notes, end })
}

fn check_same_run(first: &Surveyed<'_>, second: &Surveyed<'_>) -> Result<(), MergeError> {
    let (a, b) = (&first.manifest, &second.manifest);
    let groups = |manifest: &Manifest| {
        manifest
            .groups
            .iter()
            .map(|group| format!("{} {}", group.name, group.clients))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let rows = [
        ("the schema version", a.schema_version.to_string(), b.schema_version.to_string()),
        ("the scenario's hash", a.scenario_hash.clone(), b.scenario_hash.clone()),
        ("the seed", a.seed.to_string(), b.seed.to_string()),
        ("the number of shards", a.shards.to_string(), b.shards.to_string()),
        ("the clients of the groups", groups(a), groups(b)),
        ("the kind of target", a.target_kind.clone(), b.target_kind.clone()),
    ];
    for (what, in_first, in_second) in rows {
        if in_first != in_second {
            let (first, second) = (first.input.name.clone(), second.input.name.clone());
            return Err(MergeError::Differ { what, first, second, in_first, in_second });
        }
    }
    Ok(())
}

fn check_overlap(parts: &[Surveyed<'_>]) -> Result<(), MergeError> {
    let mut holders: BTreeMap<u32, &Surveyed<'_>> = BTreeMap::new();
    for part in parts {
        for shard in &part.held {
            if let Some(other) = holders.insert(*shard, part) {
                return Err(MergeError::Overlap {
                    shard: *shard,
                    of: part.manifest.shards,
                    first: other.input.name.clone(),
                    second: part.input.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The manifest of the merged run: that of the part with the lowest shard, with what only the merge knows.
fn merged_manifest(parts: &[Surveyed<'_>], why_lost: &BTreeMap<u32, String>) -> Manifest {
    let mut manifest = parts[0].manifest.clone();
    let mut held = BTreeSet::new();
    let mut lost: BTreeMap<u32, LostShard> = BTreeMap::new();
    for part in parts {
        held.extend(&part.held);
        for known in part.manifest.lost.iter().filter(|known| part.held.contains(&known.shard)) {
            lost.insert(known.shard, known.clone());
        }
        if part.end.is_none() {
            for shard in &part.held {
                let why = why_lost.get(shard).cloned().unwrap_or_else(|| "its journal breaks off".to_owned());
                lost.entry(*shard).or_insert(LostShard { shard: *shard, from_s: part.next_second, why });
            }
        }
        manifest.started_unix_us = manifest.started_unix_us.min(part.manifest.started_unix_us);
        for host in &part.manifest.authorised_hosts {
            if !manifest.authorised_hosts.contains(host) {
                manifest.authorised_hosts.push(host.clone());
            }
        }
    }
    let absent: BTreeMap<u32, &AbsentShard> =
        parts.iter().flat_map(|part| &part.manifest.absent).map(|absent| (absent.shard, absent)).collect();
    manifest.absent = absent.into_values().filter(|absent| !held.contains(&absent.shard)).cloned().collect();
    manifest.workers = parts.iter().flat_map(|part| part.manifest.workers.iter().cloned()).collect();
    let is_absent = |shard: &u32| manifest.absent.iter().any(|absent| absent.shard == *shard);
    for shard in (1..=manifest.shards).filter(|shard| !held.contains(shard) && !is_absent(shard)) {
        let why =
            why_lost.get(&shard).cloned().unwrap_or_else(|| "it is not among what was merged".to_owned());
        lost.insert(shard, LostShard { shard, from_s: 0, why });
    }
    // One of which there are no numbers is not held: a later merge may bring them.
    held.retain(|shard| lost.get(shard).is_none_or(|lost| lost.from_s > 0));
    if parts.iter().any(|part| part.manifest.target_url != manifest.target_url) {
        manifest.target_url = format!("(one in each of {} shards)", manifest.shards);
    }
    manifest.authorised_hosts.sort();
    manifest.schema_version = SCHEMA_VERSION;
    manifest.held = held.into_iter().collect();
    manifest.lost = lost.into_values().collect();
    manifest
}

impl MergePlan<'_> {
    /// The same; these shards never took part, which the user allowed, and so are not lost. Each with the reason.
    #[must_use]
    pub fn without(mut self, absent: &BTreeMap<u32, String>) -> Self {
        self.manifest.lost.retain(|lost| !absent.contains_key(&lost.shard));
        let told = absent.iter().map(|(shard, why)| AbsentShard { shard: *shard, why: why.clone() });
        self.manifest.absent.extend(told);
        self
    }

    /// The merged run's manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// By how much the parts' starts lie apart, in microseconds.
    #[must_use]
    pub fn starts_apart_us(&self) -> u64 {
        let starts = || self.parts.iter().map(|part| part.manifest.started_unix_us);
        starts().max().unwrap_or(0) - starts().min().unwrap_or(0)
    }

    /// Writes the merged journal to `path`, which must not exist: whole, or not at all.
    ///
    /// # Errors
    /// [`MergeError`] when a part cannot be read any more, or the journal cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), MergeError> {
        let fault = |source| MergeError::Write { path: path.to_owned(), source };
        if path.symlink_metadata().is_ok() {
            return Err(fault(io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        // Half of it would be taken for a run that was cut off.
        let part = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut writer = JournalWriter::create(&part, &self.manifest).map_err(fault)?;
        let written = self
            .each_entry(&mut |entry| writer.append(&entry).map_err(fault))
            .and_then(|()| writer.sync().map_err(fault))
            .and_then(|()| fs::rename(&part, path).map_err(fault));
        if written.is_err() {
            // Where the disk is full, its room is of use.
            let _ = fs::remove_file(&part);
        }
        written
    }

    /// The merged journal, written to `path`; where that cannot be, it is in memory alone, and with it comes why.
    ///
    /// # Errors
    /// [`MergeError`] when a part cannot be read any more, or the merged journal cannot be read again.
    pub fn write_or_keep(&self, path: &Path) -> Result<(Journal, Option<io::Error>), MergeError> {
        match self.write(path) {
            Ok(()) => Ok((read_journal(path)?, None)),
            Err(MergeError::Write { source, .. }) => Ok((self.merged()?, Some(source))),
            Err(error) => Err(error),
        }
    }

    /// The merged journal, in memory.
    ///
    /// # Errors
    /// [`MergeError`] when a part cannot be read any more.
    pub fn merged(&self) -> Result<Journal, MergeError> {
        let mut journal = Journal {
            manifest: self.manifest.clone(),
            intervals: Vec::new(),
            notes: Vec::new(),
            end: None,
            torn_bytes: 0,
        };
        self.each_entry(&mut |entry| {
            match entry {
                Entry::Interval { second, groups } => journal.intervals.push((second, groups)),
                Entry::Note(note) => journal.notes.push(note),
                Entry::End(end) => journal.end = Some(*end),
                Entry::Manifest(_) => {}
            }
            Ok(())
        })?;
        Ok(journal)
    }

    /// Gives each entry behind the manifest to `put`.
    fn each_entry(&self, put: &mut dyn FnMut(Entry) -> Result<(), MergeError>) -> Result<(), MergeError> {
        let mut sources =
            self.parts.iter().map(|part| Source::open(part.input)).collect::<Result<Vec<_>, _>>()?;
        let mut all = Tally::default();
        while let Some(second) =
            sources.iter().filter_map(|source| source.next.as_ref()).map(|next| next.0).min()
        {
            let mut groups = vec![Tally::default(); self.manifest.groups.len()];
            for source in &mut sources {
                source.add_second(second, &mut groups)?;
            }
            for tally in &groups {
                all.merge(tally);
            }
            put(Entry::Interval { second, groups: groups.iter().map(PackedTally::of).collect() })?;
        }
        // What is done to the service, one part does for all.
        self.parts.iter().flat_map(|part| &part.notes).try_for_each(|note| put(Entry::Note(note.clone())))?;
        let ends: Vec<RunEnd> = self.parts.iter().filter_map(Surveyed::named_end).collect();
        match merge_ends(&ends.iter().collect::<Vec<_>>(), &all, self.machines) {
            Some(end) => put(Entry::End(Box::new(end))),
            None => Ok(()),
        }
    }
}

impl Surveyed<'_> {
    /// How it ended; what could not be written names the shard, if it was one of several.
    fn named_end(&self) -> Option<RunEnd> {
        let mut end = self.end.clone()?;
        if let [shard] = self.held[..] {
            let of = self.manifest.shards;
            let unnamed = end.write_faults.iter_mut().filter(|fault| of > 1 && !fault.starts_with("shard "));
            unnamed.for_each(|fault| *fault = format!("shard {shard} of {of}: {fault}"));
        }
        Some(end)
    }
}

/// A journal that is read second by second.
struct Source<'i> {
    reader: JournalReader<Box<dyn Read + 'i>>,
    next: Option<(u64, Vec<PackedTally>)>,
}

impl<'i> Source<'i> {
    fn open(input: &'i MergeInput) -> Result<Self, MergeError> {
        let mut source = Self { reader: input.open()?, next: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<(), MergeError> {
        loop {
            self.next = match self.reader.next_entry()? {
                Some(Entry::Interval { second, groups }) => Some((second, groups)),
                // The survey has them.
                Some(Entry::Note(_)) => continue,
                _ => None,
            };
            return Ok(());
        }
    }

    /// Adds its numbers of `second`, where that is its next.
    fn add_second(&mut self, second: u64, groups: &mut [Tally]) -> Result<(), MergeError> {
        let Some((_, own)) = self.next.take_if(|next| next.0 == second) else { return Ok(()) };
        for (tally, packed) in groups.iter_mut().zip(&own) {
            packed.add_second_to(tally);
        }
        self.advance()
    }
}
