//! Who has taken which share.
//!
//! In: the run's key-value store. Out: whether whoever speaks for a share has it. The revision of a share's key is its holder's *epoch*: whoever was replaced, or is a
//! stranger, names another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::kv::Store;

use super::spec::{Claim, claim_key};

/// Epochs that are known to be none, of each share, at most.
const MOST_WRONG: usize = 1_000;

/// Whether an epoch is that of a share's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It is.
    Yes,
    /// It is since now, in place of another.
    Anew,
    /// It is not.
    No,
}

/// The claims of a run's shares, as far as they were asked for.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    store: Store,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    epochs: BTreeMap<u32, u64>,
    wrong: BTreeMap<u32, Vec<u64>>,
}

impl Known {
    /// What is known of an epoch without asking.
    fn answer(&self, shard: u32, epoch: u64) -> Option<Held> {
        match self.epochs.get(&shard) {
            Some(known) if *known == epoch => Some(Held::Yes),
            // Revisions grow: one that is smaller was replaced.
            Some(known) if *known > epoch => Some(Held::No),
            _ if self.wrong.get(&shard).is_some_and(|wrong| wrong.contains(&epoch)) => Some(Held::No),
            _ => None,
        }
    }

    /// The share's epoch is `found`, and `epoch` was asked for.
    fn learn(&mut self, shard: u32, epoch: u64, found: u64) -> Held {
        let before = self.epochs.insert(shard, found);
        if found != epoch {
            let wrong = self.wrong.entry(shard).or_default();
            if wrong.len() < MOST_WRONG {
                wrong.push(epoch);
            }
            return Held::No;
        }
        if before.is_some_and(|before| before != found) { Held::Anew } else { Held::Yes }
    }
}

impl Claims {
    /// Those in a run's store.
    pub(super) fn of(store: Store) -> Self {
        Self { store, known: Arc::default() }
    }

    /// Whether `epoch` is that of the share's holder.
    pub(super) async fn holds(&self, shard: u32, epoch: u64) -> Held {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known().answer(shard, epoch) {
            return held;
        }
        let Ok(Some(entry)) = self.store.entry(claim_key(shard)).await else { return Held::No };
        if serde_json::from_slice::<Claim>(&entry.value).is_err() {
            return Held::No;
        }
        known().learn(shard, epoch, entry.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_replaced_and_who_never_had_it_are_told_from_who_has_it() {
        let mut known = Known::default();
        assert_eq!(known.answer(1, 7), None);
        assert_eq!((known.learn(1, 7, 7), known.answer(1, 7)), (Held::Yes, Some(Held::Yes)));
        assert_eq!(
            (known.answer(1, 6), known.answer(1, 9), known.answer(2, 7)),
            (Some(Held::No), None, None)
        );
        // A stranger, who is not asked after twice; then one who has taken the share over.
        assert_eq!((known.learn(1, 9, 7), known.answer(1, 9)), (Held::No, Some(Held::No)));
        assert_eq!((known.learn(1, 12, 12), known.answer(1, 7)), (Held::Anew, Some(Held::No)));
    }
}
