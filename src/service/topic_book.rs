//! What the target has sent of its topics: counts, and which places of the row each client was sent.
//!
//! In: messages as they are sent. Out: [`TopicCounts`], with the truth where a run is over. What is kept is bounded.

use std::collections::BTreeMap;

use super::counters::TopicCounts;
use super::fates::Fates;
use super::session::SessionId;
use super::topic_truth::{Span, truth_of};

/// Of more sessions than this the truth is not told.
const MOST_SPANS: usize = 200_000;

/// What was sent.
#[derive(Debug)]
pub(super) struct TopicBook {
    fates: Fates,
    counts: TopicCounts,
    /// By client: each session's span. `None`: there are too many, or a client has no number.
    spans: Option<BTreeMap<u64, Vec<(SessionId, Span)>>>,
    kept: usize,
}

impl TopicBook {
    pub(super) fn new(fates: Fates) -> Self {
        Self { fates, counts: TopicCounts::default(), spans: Some(BTreeMap::new()), kept: 0 }
    }

    /// The place is over for a session; how often its message was sent.
    pub(super) fn pass(&mut self, client: Option<u64>, session: SessionId, sequence: u64) -> u8 {
        let place = self.fates.at(sequence);
        self.counts.dropped += u64::from(place.times == 0);
        self.counts.repeated += u64::from(place.times == 2);
        self.counts.moved += u64::from(place.times > 0 && place.is_moved);
        let Some((client, spans)) = client.zip(self.spans.as_mut()) else {
            self.spans = None;
            return place.times;
        };
        let of_client = spans.entry(client).or_default();
        match of_client.iter_mut().rev().find(|(known, _)| *known == session) {
            Some((_, span)) => span.end = sequence + 1,
            None => {
                of_client.push((session, Span { first: sequence, end: sequence + 1 }));
                self.kept += 1;
            }
        }
        if self.kept > MOST_SPANS {
            self.spans = None;
        }
        place.times
    }

    pub(super) const fn counts(&self) -> TopicCounts {
        self.counts
    }

    /// With what clients must have heard.
    pub(super) fn with_truth(&self) -> TopicCounts {
        let spans = self.spans.as_ref().map(|spans| {
            let of_client = |spans: &Vec<(SessionId, Span)>| spans.iter().map(|(_, span)| *span).collect();
            spans.values().map(of_client).collect::<Vec<Vec<Span>>>()
        });
        let truth = spans.and_then(|spans| truth_of(&self.fates, spans.iter().map(Vec::as_slice)));
        TopicCounts { truth, ..self.counts }
    }
}
