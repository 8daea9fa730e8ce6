//! How many different words of services a run keeps.
//!
//! In: samples. Out: the same samples; those whose answer has words that nobody had before and for which there is no room, without them. So a service that says
//! something else each time does not make the journal grow.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::sample::{Answer, Life, Recount, Sample};

/// Different words that are kept of a group.
const MOST_WORDS: usize = 32;

/// The words that were kept of a group so far.
#[derive(Debug, Clone, Default)]
pub(super) struct WordBook(BTreeSet<Box<str>>);

impl WordBook {
    /// The sample as it is counted.
    pub(super) fn bound<'s>(&mut self, sample: &'s Sample) -> Cow<'s, Sample> {
        match self.bounded(sample) {
            Some(bounded) => Cow::Owned(bounded),
            None => Cow::Borrowed(sample),
        }
    }

    fn bounded(&mut self, sample: &Sample) -> Option<Sample> {
        match sample {
            Sample::Attempt(end) if self.lacks_room(end.answer.as_deref()) => {
                let mut end = end.clone();
                drop_words(&mut end.answer);
                Some(Sample::Attempt(end))
            }
            Sample::TakeBack(told) => Some(Sample::TakeBack(Box::new(self.bounded(told)?))),
            Sample::Recount(recount) if self.lacks_room(recount.from.answer.as_deref()) => {
                Some(Sample::Recount(Box::new(without_words(recount))))
            }
            Sample::Life(Life::Failed(bin, key)) if self.lacks_room(key.answer.as_deref()) => {
                let mut key = key.clone();
                drop_words(&mut key.answer);
                Some(Sample::Life(Life::Failed(*bin, key)))
            }
            Sample::Life(Life::Recounted(bin, recount))
                if self.lacks_room(recount.from.answer.as_deref()) =>
            {
                Some(Sample::Life(Life::Recounted(*bin, Box::new(without_words(recount)))))
            }
            _ => None,
        }
    }

    /// Whether there is no room for the words of an answer. What has room once has room for ever, and what has none never gets any.
    fn lacks_room(&mut self, answer: Option<&Answer>) -> bool {
        let Some(words) = answer.and_then(|answer| answer.words.as_deref()) else { return false };
        if self.0.contains(words) {
            return false;
        }
        let has_room = self.0.len() < MOST_WORDS;
        if has_room {
            self.0.insert(Box::from(words));
        }
        !has_room
    }
}

fn without_words(recount: &Recount) -> Recount {
    let mut recount = recount.clone();
    drop_words(&mut recount.from.answer);
    drop_words(&mut recount.to.answer);
    recount
}

fn drop_words(answer: &mut Option<Box<Answer>>) {
    if let Some(answer) = answer {
        answer.words = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Tally;
    use crate::sample::{AnsweredBy, AttemptEnd, AttemptKind, Cause, Ground, Outcome, Spoken};

    #[test]
    fn a_service_that_says_something_else_each_time_fills_no_journal() {
        let end = |n: u64, ground| {
            let words = Some(Box::from(format!("no {n}")));
            let answer = Answer { spoken: Spoken::Close, code: 4401, words, by: AnsweredBy::Service, ground };
            let plain = AttemptEnd::plain(AttemptKind::Reconnect, Outcome::RefusedClose, Duration::ZERO);
            AttemptEnd { cause: Some(Cause::StaleToken), answer: Some(Box::new(answer)), ..plain }
        };
        let (mut book, mut tally) = (WordBook::default(), Tally::default());
        for n in 0..1_000 {
            tally.apply(&book.bound(&Sample::Attempt(end(n, Ground::Unknown))));
        }
        assert_eq!((tally.attempts_total(), tally.attempts.len()), (1_000, MOST_WORDS + 1));
        for n in 0..1_000 {
            let (from, to) = (end(n, Ground::Unknown).key(), end(n, Ground::Proved).key());
            tally.apply(&book.bound(&Sample::Recount(Box::new(Recount { from, to, times: 1 }))));
        }
        tally.settle();
        assert_eq!((tally.attempts_total(), tally.attempts.len()), (1_000, MOST_WORDS + 1));
        assert_eq!(tally.minus, None, "what is counted otherwise is found");
        let told = Sample::TakeBack(Box::new(Sample::Attempt(end(999, Ground::Proved))));
        tally.apply(&book.bound(&told));
        tally.settle();
        assert_eq!((tally.attempts_total(), tally.minus), (999, None));
    }
}
