//! Where a coordinator takes in what its workers tell.
//!
//! In: messages of the run's stream: reports, pieces of journals. Out: what is heard of each share, and a copy of each journal in its share's folder. What comes twice,
//! from a worker that was replaced, or from a stranger, is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use crate::engine::StopReason;
use crate::plan::Share;
use crate::record::{JournalCopy, Note, Piece, Told as Entry};
use crate::report::JOURNAL_FILE;

use super::super::shards::{Heard, Report};
use super::claims::{Claims, Held};
use super::names::shard_of;
use super::seal::sha256_of;
use super::spec::{AT, EPOCH, RETRY};

/// How often a journal whose copy is not what its worker wrote is asked for again.
const MOST_AGAIN: u32 = 3;

/// Who takes in what the workers tell.
pub(super) struct Desk {
    claims: Claims,
    of: u32,
    hash: String,
    folders: BTreeMap<u32, PathBuf>,
    copies: BTreeMap<u32, Copy>,
    /// Of whom it was told that he does not count.
    refused: BTreeSet<String>,
    /// How the journals were sealed, by shard.
    sealed: BTreeMap<u32, Seal>,
    sender: mpsc::Sender<(Share, Heard)>,
}

/// The copy of a share's journal.
#[derive(Debug)]
struct Copy {
    /// The epoch of whoever it is of.
    epoch: u64,
    taken: JournalCopy,
    path: PathBuf,
    file: File,
    /// How often it was wrong and is made anew: what is in it was told.
    again: u32,
}

/// What a worker says of its journal when it is whole.
#[derive(Debug, Clone)]
struct Seal {
    length: u64,
    sha256: String,
    reason: StopReason,
}

/// Takes in reports for as long as there is a run.
pub(super) async fn hear_reports(consumer: PullConsumer, mut desk: Desk) {
    loop {
        if let Ok(mut messages) = consumer.messages().await {
            while let Some(message) = messages.next().await {
                match message {
                    Ok(message) => {
                        desk.take(&message).await;
                        // One that could not be acknowledged comes again, and is known then.
                        let _ = message.ack().await;
                    }
                    Err(error) => log::debug!("the stream of reports: {error}"),
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Desk {
    /// That of a run of `of` shares whose scenario has that hash; the copies go to `folders`, by shard.
    pub(super) fn new(
        claims: Claims,
        of: u32,
        hash: String,
        folders: BTreeMap<u32, PathBuf>,
        sender: mpsc::Sender<(Share, Heard)>,
    ) -> Self {
        let (copies, refused, sealed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { claims, of, hash, folders, copies, refused, sealed, sender }
    }

    async fn take(&mut self, message: &Message) {
        let shard = shard_of(&message.subject);
        let number = |name: &str| message.headers.as_ref()?.get(name)?.as_str().parse::<u64>().ok();
        let Some(share) = shard.and_then(|shard| Share::new(shard, self.of)) else {
            return self.refuse(&message.subject, "there is no such share");
        };
        let Some(epoch) = number(EPOCH) else { return self.refuse(&message.subject, "it says no epoch") };
        match self.claims.holds(share.shard(), epoch).await {
            Held::Yes => {}
            Held::Anew => self.say(share, Heard::Replaced).await,
            Held::No => {
                return self
                    .refuse(&format!("{} in epoch {epoch}", message.subject), "it has not taken that share");
            }
        }
        match number(AT) {
            Some(at) => self.take_piece(share, epoch, at, &message.payload).await,
            None => match serde_json::from_slice::<Report>(&message.payload) {
                Ok(report) => self.take_report(share, report).await,
                Err(_) => self.refuse(&message.subject, "it says what is no report"),
            },
        }
    }

    /// Says once of whom, and why, what he tells does not count.
    fn refuse(&mut self, who: &str, why: &str) {
        if self.refused.len() < 1_000 && self.refused.insert(format!("{who}: {why}")) {
            log::warn!("what comes from {who} does not count: {why}");
        }
    }

    async fn take_piece(&mut self, share: Share, epoch: u64, at: u64, bytes: &[u8]) {
        let shard = share.shard();
        let known = self.copies.remove(&shard).filter(|copy| copy.epoch == epoch);
        let mut copy = match known.map_or_else(|| self.open_copy(shard, epoch), Ok) {
            Ok(copy) => copy,
            Err(error) => {
                log::warn!("the copy of share {share}'s journal cannot be kept: {error}; its worker has it");
                return;
            }
        };
        let mut told = Vec::new();
        match copy.taken.take(at, bytes) {
            Ok(Piece::Fresh { bytes, told: fresh }) => match copy.file.write_all(&bytes) {
                Ok(()) => told = fresh,
                Err(error) => log::warn!(
                    "the copy of share {share}'s journal cannot be written: {error}; its worker has it"
                ),
            },
            Ok(Piece::Gap(from)) => {
                log::debug!("share {share}: bytes from {from} on were lost on the way");
                self.say(share, Heard::Missing(from)).await;
            }
            Err(fault) => self.refuse(&format!("share {share}"), &fault.to_string()),
        }
        let is_strange = copy.taken.manifest().is_some_and(|manifest| manifest.scenario_hash != self.hash);
        let is_again = copy.again > 0;
        self.copies.insert(shard, copy);
        if is_strange {
            return self.refuse(&format!("share {share}"), "its journal is of another scenario");
        }
        for entry in told.into_iter().filter(|_| !is_again) {
            match entry {
                Entry::Second(groups) => self.say(share, Heard::Second(groups)).await,
                Entry::Note(Note::Mark(mark)) => {
                    self.say(share, Heard::Report(Report::Mark { mark: Box::new(mark) })).await;
                }
                Entry::Note(_) => {}
            }
        }
        self.end_if_whole(share).await;
    }

    fn open_copy(&self, shard: u32, epoch: u64) -> std::io::Result<Copy> {
        let folder = self.folders.get(&shard).ok_or_else(|| std::io::Error::other("it has no folder"))?;
        std::fs::create_dir_all(folder)?;
        let path = folder.join(JOURNAL_FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // What another epoch's worker sent, before the start, is nothing.
        file.set_len(0)?;
        Ok(Copy { epoch, taken: JournalCopy::default(), path, file, again: 0 })
    }

    async fn take_report(&mut self, share: Share, report: Report) {
        match report {
            Report::Sealed { length, sha256, reason } => {
                self.sealed.insert(share.shard(), Seal { length, sha256, reason });
                self.end_if_whole(share).await;
            }
            Report::Failed { exit_code, message } => {
                let gone = Heard::Gone(message.clone());
                self.say(share, Heard::Report(Report::Failed { exit_code, message })).await;
                self.say(share, gone).await;
            }
            report => self.say(share, Heard::Report(report)).await,
        }
    }

    /// A worker is done when its whole journal is here, byte for byte.
    async fn end_if_whole(&mut self, share: Share) {
        let Some(Seal { length, sha256, reason }) = self.sealed.get(&share.shard()).cloned() else { return };
        let here = self.copies.get(&share.shard()).map_or(0, |copy| copy.taken.length());
        if here < length {
            return self.say(share, Heard::Missing(here)).await;
        }
        // A journal that could not be written to its end ends within a frame.
        if let Some(copy) = self.copies.get_mut(&share.shard())
            && let Err(error) = copy.file.write_all(copy.taken.rest())
        {
            log::debug!("{}: {error}", copy.path.display());
        }
        if let Some(copy) = self.copies.get_mut(&share.shard())
            && !copy.path.metadata().is_ok_and(|file| file.len() == length)
        {
            // The disk is full, perhaps: its worker has it.
            log::warn!("the copy of share {share}'s journal is not whole; its worker has it");
        } else if let Some(copy) = self.copies.get_mut(&share.shard())
            && copy.again < MOST_AGAIN
            && sha256_of(&copy.path).is_ok_and(|found| found != sha256)
        {
            log::warn!(
                "the copy of share {share}'s journal is not what its worker wrote: it is asked for again"
            );
            copy.again += 1;
            copy.taken = JournalCopy::default();
            match copy.file.set_len(0) {
                Ok(()) => return self.say(share, Heard::Missing(0)).await,
                Err(error) => log::warn!("{}: {error}", copy.path.display()),
            }
        }
        self.sealed.remove(&share.shard());
        self.say(share, Heard::Report(Report::Done { reason, unwritten: None })).await;
        self.say(share, Heard::Gone("it has ended".to_owned())).await;
    }

    async fn say(&self, share: Share, heard: Heard) {
        // Where nobody listens, there is nobody to tell.
        let _ = self.sender.send((share, heard)).await;
    }
}
