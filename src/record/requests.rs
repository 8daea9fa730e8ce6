//! What requests for tokens and steps came to, counted and measured.
//!
//! In: ends of requests. Out: counts by what was said, latencies by answer; the same packed, as the journal holds it.

use std::collections::BTreeMap;

use crate::sample::{ErrorWord, Request, RequestAnswer, RequestEnd};

use super::encoding::{HistogramError, MAX_COUNT, add_count, packed_counts};
use super::histogram::Latencies;

/// What requests came to, by which they were and what kind of answer they got.
pub type Requests = BTreeMap<(Request, RequestAnswer), AnswerTally>;

/// Requests with one kind of answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerTally {
    /// How many, by HTTP status and by the service's own word.
    pub said: BTreeMap<(Option<u16>, Option<ErrorWord>), u64>,
    /// How long they took.
    pub latencies: Latencies,
}

impl AnswerTally {
    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.said.values().sum()
    }
}

/// A row of [`Requests`] as the journal holds it: what was said, and the histogram.
pub(super) type PackedRequest = (Request, RequestAnswer, Vec<(Option<u16>, Option<ErrorWord>, u64)>, Vec<u8>);

/// Takes in the end of a request.
pub(super) fn record(requests: &mut Requests, end: &RequestEnd) {
    let tally = requests.entry((end.request, end.answer)).or_default();
    *tally.said.entry((end.status, end.error.clone())).or_default() += 1;
    tally.latencies.record(end.latency);
}

/// Adds those of another tally.
pub(super) fn merge(requests: &mut Requests, others: &Requests) {
    for (key, other) in others {
        let own = requests.entry(*key).or_default();
        for (said, n) in &other.said {
            add_count(own.said.entry(said.clone()).or_default(), *n);
        }
        own.latencies.merge(&other.latencies);
    }
}

pub(super) fn pack(requests: &Requests) -> Vec<PackedRequest> {
    let packed = requests.iter().map(|((request, answer), tally)| {
        let said = tally.said.iter().map(|((status, error), n)| (*status, error.clone(), *n));
        (*request, *answer, said.collect(), tally.latencies.to_bytes())
    });
    packed.collect()
}

/// The same without what was measured.
pub(super) fn counts_of(packed: &[PackedRequest]) -> Vec<PackedRequest> {
    packed.iter().map(|(request, answer, said, _)| (*request, *answer, said.clone(), Vec::new())).collect()
}

pub(super) fn unpack(packed: &[PackedRequest], requests: &mut Requests) {
    for (request, answer, said, bytes) in packed {
        let own = requests.entry((*request, *answer)).or_default();
        for (status, error, n) in said {
            add_count(own.said.entry((*status, error.clone())).or_default(), *n);
        }
        if !bytes.is_empty() {
            // Checked when it was read, or packed by ourselves.
            let added = own.latencies.add_bytes(bytes);
            debug_assert!(added.is_ok());
        }
    }
}

/// Checks what was read from a file.
pub(super) fn check(packed: &[PackedRequest]) -> Result<(), HistogramError> {
    packed.iter().try_for_each(|(_, _, said, bytes)| {
        if said.iter().any(|(.., count)| *count > MAX_COUNT) {
            return Err(HistogramError);
        }
        packed_counts(bytes).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn end(request: Request, answer: RequestAnswer, status: u16, error: Option<&str>) -> RequestEnd {
        let latency = Duration::from_millis(u64::from(status));
        let error = error.and_then(ErrorWord::new);
        RequestEnd { request, answer, status: Some(status), error, latency }
    }

    #[test]
    fn what_was_said_is_counted_apart_and_measured_by_its_answer() {
        let mut requests = Requests::new();
        for (answer, status, error) in [
            (RequestAnswer::Refused, 401, Some("invalid_client")),
            (RequestAnswer::Refused, 401, Some("invalid_client")),
            (RequestAnswer::Refused, 503, None),
            (RequestAnswer::Ok, 200, None),
        ] {
            record(&mut requests, &end(Request::Credentials, answer, status, error));
        }
        let refused = &requests[&(Request::Credentials, RequestAnswer::Refused)];
        assert_eq!(refused.said.values().copied().collect::<Vec<_>>(), [2, 1]);
        assert_eq!((refused.count(), refused.latencies.count()), (3, 3));
        let packed = pack(&requests);
        assert_eq!(check(&packed), Ok(()));
        let mut back = Requests::new();
        unpack(&packed, &mut back);
        assert_eq!(back, requests);
        let mut counts = Requests::new();
        unpack(&counts_of(&packed), &mut counts);
        assert_eq!(counts[&(Request::Credentials, RequestAnswer::Refused)].said, refused.said);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let mut requests = Requests::new();
        record(&mut requests, &end(Request::Step(3), RequestAnswer::Ok, 200, None));
        let packed = pack(&requests);
        let mut many = packed.clone();
        many[0].2[0].2 = MAX_COUNT + 1;
        assert_eq!(check(&many), Err(HistogramError));
        let mut broken = packed;
        broken[0].3.truncate(3);
        assert_eq!(check(&broken), Err(HistogramError));
    }
}
