//! The words by which a group's steps are refused, as many as a report can hold.
//!
//! In: a service's own words. Out: the same where they may be kept, and [`ErrorWord::OTHER`] for those beyond: a service that sends another
//! word each time must not fill the memory.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::sample::ErrorWord;

/// Words that are kept of all the steps of a group on one worker.
const MOST_WORDS: usize = 32;

/// The words so far.
#[derive(Debug, Default)]
pub(in crate::drive) struct WordBook(Mutex<BTreeSet<(u8, ErrorWord)>>);

impl WordBook {
    /// The word of step `index` as it is told.
    pub(in crate::drive) fn keep(&self, index: u8, text: &str) -> ErrorWord {
        let Some(word) = ErrorWord::new(text) else { return ErrorWord::or_other("") };
        let entry = (index, word);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&entry) {
            if known.len() >= MOST_WORDS {
                return ErrorWord::or_other("");
            }
            known.insert(entry.clone());
        }
        entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_words_are_kept_and_those_always() {
        let book = WordBook::default();
        assert_eq!(book.keep(0, "token_expired").text(), "token_expired");
        assert_eq!(book.keep(0, "3f2504e0-4f89-11d3-9a0c-0305e82c3301").text(), "other");
        for n in 0..MOST_WORDS + 5 {
            let word = format!("e{n}");
            let is_kept = book.keep(1, &word).text() == word;
            assert_eq!(is_kept, n + 1 < MOST_WORDS, "{n}");
        }
        assert_eq!(book.keep(0, "token_expired").text(), "token_expired");
        assert_eq!(book.keep(2, "token_expired").text(), "other", "each step's own");
    }
}
