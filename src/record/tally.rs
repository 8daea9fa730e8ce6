//! The numbers of a group: of one interval, or of a whole run.
//!
//! In: samples. Out: counts and histograms that merge without loss. `attempts == Σ outcomes` by construction: an attempt is counted
//! when, and as, it ends.

use std::collections::BTreeMap;

use crate::sample::{
    AttemptKey, AttemptKind, AwaySample, Cause, CloseKey, Counter, Ground, Metric, Outcome, Phase,
    ReadySample, Sample, StormId, Talk, Traffic,
};

use super::encoding::{MAX_COUNT, add_count};
use super::histogram::Latencies;
use super::lives::{Lives, Presence};
use super::requests::{self, Requests};
use super::talk::{TalkBook, TalkTally};

/// Attempts by kind, outcome, cause and what was answered.
pub type Attempts = BTreeMap<AttemptKey, u64>;
/// Ends of sessions by initiator, close code, how, and what each side said.
pub type Closes = BTreeMap<CloseKey, u64>;

/// What a storm did to a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StormTally {
    /// Disconnects that it forced; counted among [`Counter::Disconnects`] too.
    pub disconnects: u64,
    /// Reconnects after them that ended in a ready session: from when the storm was due, through however many attempts.
    /// They are among [`Metric::ReconnectLatency`] too.
    pub back: Latencies,
    /// How long those had been away that were still away when the run ended. They are among [`Metric::ReconnectAway`] too.
    pub away: Latencies,
}

/// What was counted and measured in a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// Attempts that ended.
    pub attempts: Attempts,
    /// Sessions that ended.
    pub closes: Closes,
    /// Everything else that is counted; what is not in it is zero.
    pub counters: BTreeMap<Counter, u64>,
    /// What was measured; metrics without values are not in it.
    pub histograms: BTreeMap<Metric, Latencies>,
    /// What each storm did; those that struck nobody are not in it.
    pub storms: BTreeMap<StormId, StormTally>,
    /// What is taken back and was not told in this interval, but in one before it: a run's totals have none.
    pub minus: Option<Box<Tally>>,
    /// What requests for tokens and steps before handshakes came to.
    pub requests: Requests,
    /// How many clients were wanted in, and how many of them were out; the origin is the run's start.
    pub presence: Presence,
    /// The lives of the clients, as far as they were told in this interval: a run's totals have none.
    pub lives: Lives,
    /// What the clients said and heard by their group's rules; `None`: nothing of the kind.
    pub talk: Option<Box<TalkTally>>,
}

impl Tally {
    /// Takes in a sample.
    pub fn apply(&mut self, sample: &Sample) {
        match sample {
            Sample::Attempt(end) => {
                *self.attempts.entry(end.key()).or_default() += 1;
                if let Some(age) = end.token_age {
                    self.histogram(Metric::TokenAge).record(age);
                }
                if end.outcome.is_refusal() {
                    self.histogram(Metric::RefusedLatency).record(end.latency);
                }
            }
            Sample::Ready(ready) => self.apply_ready(ready),
            Sample::SessionEnd(end) => {
                *self.closes.entry(end.key).or_default() += 1;
                self.histogram(Metric::SessionLength).record(end.length);
            }
            // The recorder keeps them.
            Sample::Traced(_) => {}
            Sample::Lag(lag) => self.histogram(Metric::Lag).record(*lag),
            Sample::Tls { is_resumed, took } => {
                let metric = if *is_resumed { Metric::TlsResumed } else { Metric::TlsFull };
                self.histogram(metric).record(*took);
            }
            Sample::Count(counter, n) => self.count(*counter, *n),
            Sample::Traffic(traffic) => self.apply_traffic(traffic),
            Sample::Talk(talk) => self.apply_talk(talk, &mut TalkBook::default()),
            Sample::StormDisconnect(storm) => self.storms.entry(*storm).or_default().disconnects += 1,
            Sample::Request(end) => requests::record(&mut self.requests, end),
            Sample::Away(away) => self.apply_away(away),
            Sample::Cascade(depth) => self.histogram(Metric::CascadeDepth).record_us(u64::from(*depth)),
            Sample::Life(life) => self.lives.apply(life, 1),
            Sample::TakeBack(sample) => match &**sample {
                Sample::Life(life) => self.lives.apply(life, -1),
                sample => self.minus.get_or_insert_default().apply(sample),
            },
            Sample::Recount(recount) => {
                let times = u64::from(recount.times);
                let minus = self.minus.get_or_insert_default();
                *minus.attempts.entry(recount.from.clone()).or_default() += times;
                *self.attempts.entry(recount.to.clone()).or_default() += times;
            }
        }
    }

    fn apply_ready(&mut self, ready: &ReadySample) {
        if ready.kind == AttemptKind::First {
            return self.histogram(Metric::ConnectLatency).record(ready.latency);
        }
        self.count(Counter::Reconnects, 1);
        self.histogram(Metric::ReconnectLatency).record(ready.latency);
        if let Some(storm) = ready.storm {
            self.storms.entry(storm).or_default().back.record(ready.latency);
        }
        self.histogram(Metric::ReconnectServiceTime).record(ready.service_time);
        let has = |phase: &Phase| match phase {
            Phase::Mint => ready.phases.is_minted(),
            Phase::Token => !ready.phases.is_minted(),
            _ => true,
        };
        for &phase in Phase::ALL.iter().filter(|phase| has(phase)) {
            self.histogram(Metric::of_phase(phase)).record(ready.phases.get(phase));
        }
    }

    /// Takes in a client's news of its conversation; `book` remembers what intervals have in common.
    pub(super) fn apply_talk(&mut self, talk: &Talk, book: &mut TalkBook) {
        if !talk.is_empty() {
            self.talk.get_or_insert_default().record(talk, book);
        }
    }

    fn apply_away(&mut self, away: &AwaySample) {
        self.histogram(Metric::ReconnectAway).record(away.away);
        if let Some(storm) = away.storm {
            self.storms.entry(storm).or_default().away.record(away.away);
        }
    }

    fn apply_traffic(&mut self, traffic: &Traffic) {
        self.count(Counter::MessagesIn, traffic.messages_in);
        self.count(Counter::MessagesOut, traffic.messages_out);
        self.count(Counter::BytesIn, traffic.bytes_in);
        self.count(Counter::BytesOut, traffic.bytes_out);
        self.count(Counter::PlainBytesIn, traffic.deflated.plain_in);
        self.count(Counter::PayloadBytesIn, traffic.deflated.wire_in);
        self.count(Counter::PlainBytesOut, traffic.deflated.plain_out);
        self.count(Counter::PayloadBytesOut, traffic.deflated.wire_out);
        if !traffic.message_latencies_us.is_empty() {
            let histogram = self.histogram(Metric::MessageLatency);
            traffic.message_latencies_us.iter().for_each(|us| histogram.record_us(u64::from(*us)));
        }
    }

    fn count(&mut self, counter: Counter, n: u64) {
        if n > 0 {
            let counted = self.counters.entry(counter).or_default();
            *counted = counted.saturating_add(n).min(MAX_COUNT);
        }
    }

    fn histogram(&mut self, metric: Metric) -> &mut Latencies {
        self.histograms.entry(metric).or_default()
    }

    /// Adds another tally to totals: all but the clients' lives.
    pub fn merge(&mut self, other: &Self) {
        for (key, n) in &other.attempts {
            add_count(self.attempts.entry(key.clone()).or_default(), *n);
        }
        for (key, n) in &other.closes {
            add_count(self.closes.entry(*key).or_default(), *n);
        }
        for (key, n) in &other.counters {
            add_count(self.counters.entry(*key).or_default(), *n);
        }
        for (metric, histogram) in &other.histograms {
            self.histogram(*metric).merge(histogram);
        }
        for (storm, other) in &other.storms {
            let own = self.storms.entry(*storm).or_default();
            add_count(&mut own.disconnects, other.disconnects);
            own.back.merge(&other.back);
            own.away.merge(&other.away);
        }
        requests::merge(&mut self.requests, &other.requests);
        self.presence.add(&other.presence, 0);
        if let Some(talk) = &other.talk {
            self.talk.get_or_insert_default().merge(talk);
        }
        if let Some(minus) = &other.minus {
            self.minus.get_or_insert_default().merge(minus);
        }
        self.settle();
    }

    /// The interval is closed: it takes out what is taken back, as far as it was told here, and adds up who was present.
    pub fn close(&mut self) {
        self.lives.settle();
        self.presence = self.lives.presence();
        self.settle();
    }

    /// Of the clients' lives it keeps no more than who was present, for good.
    pub fn fold_lives(&mut self) {
        self.lives.fold();
        self.presence = self.lives.presence();
    }

    /// Takes out what is taken back, as far as it was told here.
    pub fn settle(&mut self) {
        if let Some(mut minus) = self.minus.take() {
            cancel(self, &mut minus);
            self.minus = Some(minus).filter(|minus| !minus.is_empty());
        }
    }

    /// A counter's value.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }

    /// Requests for tokens that ended, without those with which the clients of a fleet began.
    #[must_use]
    pub fn token_requests_after_start(&self) -> u64 {
        let wanted = self.requests.iter().filter(|((request, _), _)| request.token_name().is_some());
        let requests: u64 = wanted.map(|(_, answers)| answers.count()).sum();
        after_start(requests, |counter| self.counter(counter))
    }

    /// All attempts that ended.
    #[must_use]
    pub fn attempts_total(&self) -> u64 {
        self.attempts_where(|_, _, _| true)
    }

    /// Attempts that `wanted` picks, less those that are taken back of the intervals before; none where that would be fewer.
    pub fn attempts_where(&self, wanted: impl Fn(AttemptKind, Outcome, Option<Cause>) -> bool) -> u64 {
        u64::try_from(self.attempts_gained(wanted)).unwrap_or(0)
    }

    /// By how many attempts that `wanted` picks this tally adds to those before it: below zero where more are taken back than were told.
    pub fn attempts_gained(&self, wanted: impl Fn(AttemptKind, Outcome, Option<Cause>) -> bool) -> i64 {
        let count = |attempts: &Attempts| -> i64 {
            let picked = attempts.iter().filter(|(key, _)| wanted(key.kind, key.outcome, key.cause));
            picked.fold(0, |sum, (_, n)| sum.saturating_add(i64::try_from(*n).unwrap_or(i64::MAX)))
        };
        count(&self.attempts) - self.minus.as_deref().map_or(0, |minus| count(&minus.attempts))
    }

    /// Refusals whose cause is claimed on each ground, or on none; journals of before name no grounds.
    #[must_use]
    pub fn grounds(&self) -> BTreeMap<Ground, u64> {
        let mut grounds = BTreeMap::new();
        for (key, n) in self.attempts.iter().filter(|(key, _)| key.cause.is_some()) {
            if let Some(answer) = &key.answer {
                add_count(grounds.entry(answer.ground).or_default(), *n);
            }
        }
        grounds
    }

    /// Attempts with this outcome.
    #[must_use]
    pub fn outcome(&self, wanted: Outcome) -> u64 {
        self.attempts_where(|_, outcome, _| outcome == wanted)
    }

    /// Ends of sessions that `wanted` picks.
    pub fn closes_where(&self, wanted: impl Fn(&CloseKey) -> bool) -> u64 {
        self.closes.iter().filter(|(key, _)| wanted(key)).map(|(_, n)| n).sum()
    }

    /// Sessions that ended.
    #[must_use]
    pub fn closes_total(&self) -> u64 {
        self.closes.values().sum()
    }

    /// Sessions open, where the tally reaches back to the run's start.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.counter(Counter::Upgrades).saturating_sub(self.closes_total())
    }

    /// Clients that began and never had a ready session.
    #[must_use]
    pub fn never_in(&self) -> u64 {
        let were_in = self.histograms.get(&Metric::ConnectLatency).map_or(0, Latencies::count);
        self.counter(Counter::ClientsStarted).saturating_sub(were_in)
    }

    /// Whether nothing was counted or measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
            && self.closes.is_empty()
            && self.counters.is_empty()
            && self.histograms.is_empty()
            && self.storms.is_empty()
            && self.minus.is_none()
            && self.requests.is_empty()
            && self.presence == Presence::default()
            && self.lives.is_empty()
            && self.talk.is_none()
    }
}

/// Takes out of both what both have.
fn cancel(plus: &mut Tally, minus: &mut Tally) {
    cancel_counts(&mut plus.attempts, &mut minus.attempts);
    cancel_counts(&mut plus.closes, &mut minus.closes);
    cancel_counts(&mut plus.counters, &mut minus.counters);
    minus.histograms.retain(|metric, taken| {
        plus.histograms.get_mut(metric).is_none_or(|own| own.cancel(taken)) && taken.count() > 0
    });
    plus.histograms.retain(|_, own| own.count() > 0);
    minus.storms.retain(|id, taken| {
        if let Some(own) = plus.storms.get_mut(id) {
            let both = own.disconnects.min(taken.disconnects);
            own.disconnects -= both;
            taken.disconnects -= both;
            own.back.cancel(&mut taken.back);
        }
        taken.disconnects > 0 || taken.back.count() > 0
    });
}

fn cancel_counts<K: Ord>(plus: &mut BTreeMap<K, u64>, minus: &mut BTreeMap<K, u64>) {
    minus.retain(|key, taken| {
        if let Some(own) = plus.get_mut(key) {
            let both = (*own).min(*taken);
            *own -= both;
            *taken -= both;
            if *own == 0 {
                plus.remove(key);
            }
        }
        *taken > 0
    });
}

/// All of some tallies together.
#[must_use]
pub fn merge_all<'t>(tallies: impl IntoIterator<Item = &'t Tally>) -> Tally {
    let mut all = Tally::default();
    tallies.into_iter().for_each(|tally| all.merge(tally));
    all
}

/// Of so many token requests, those that are not of a fleet's start. Journals of before requests were recorded have only the tokens.
pub(super) fn after_start(requests: u64, counter: impl Fn(Counter) -> u64) -> u64 {
    requests.max(counter(Counter::TokensFetched)).saturating_sub(counter(Counter::TokenRequestsAtStart))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::packed::PackedTally;
    use super::super::requests::AnswerTally;
    use super::*;
    use crate::sample::{
        Abnormal, AttemptEnd, ErrorWord, Initiator, Phases, Request, RequestAnswer, RequestEnd, Said,
        SessionEnd, Word,
    };

    fn any_sample() -> impl Strategy<Value = Sample> {
        let ms = (0_u64..5_000).prop_map(Duration::from_millis);
        let outcome = prop::sample::select(Outcome::ALL);
        let kind = prop::sample::select(AttemptKind::ALL);
        prop_oneof![
            (kind.clone(), outcome, ms.clone()).prop_map(|(kind, outcome, latency)| {
                let cause = (outcome == Outcome::Http403).then_some(Cause::StaleToken);
                let token_age = cause.map(|_| latency);
                Sample::Attempt(AttemptEnd { cause, token_age, ..AttemptEnd::plain(kind, outcome, latency) })
            }),
            (kind, ms.clone(), prop::option::of(0_u16..3)).prop_map(|(kind, latency, storm)| {
                let mut phases = Phases::default();
                phases.add(Phase::Upgrade, latency);
                let storm = storm.filter(|_| kind == AttemptKind::Reconnect).map(StormId);
                Sample::Ready(Box::new(ReadySample { kind, storm, latency, service_time: latency, phases }))
            }),
            (0_u16..3).prop_map(|storm| Sample::StormDisconnect(StormId(storm))),
            (prop::option::of(0_u16..3), ms.clone())
                .prop_map(|(storm, away)| Sample::Away(AwaySample { storm: storm.map(StormId), away })),
            (1000_u16..1015, ms.clone(), prop::option::of(prop::sample::select(Abnormal::ALL))).prop_map(
                |(code, length, abnormal)| {
                    let said = Said { target: Word::of(code), client: Word::default() };
                    let key = CloseKey { initiator: Initiator::Target, code, abnormal, said };
                    Sample::SessionEnd(SessionEnd { key, length })
                }
            ),
            ms.clone().prop_map(Sample::Lag),
            (0_u8..3, prop::sample::select(RequestAnswer::ALL), prop::option::of(400_u16..403), ms).prop_map(
                |(step, answer, status, latency)| {
                    let request = if step == 0 { Request::Refresh } else { Request::Step(step) };
                    let error = status.and_then(|_| ErrorWord::new("invalid_grant"));
                    Sample::Request(Box::new(RequestEnd { request, answer, status, error, latency }))
                }
            ),
            (1_u32..99).prop_map(Sample::Cascade),
            (prop::sample::select(Counter::ALL), 1_u64..9).prop_map(|(counter, n)| Sample::Count(counter, n)),
            prop::collection::vec(0_u32..9_999, 0..4).prop_map(|message_latencies_us| {
                let messages_in = message_latencies_us.len() as u64;
                Sample::Traffic(Box::new(Traffic { messages_in, message_latencies_us, ..Traffic::default() }))
            }),
        ]
    }

    fn of(samples: &[Sample]) -> Tally {
        let mut tally = Tally::default();
        samples.iter().for_each(|sample| tally.apply(sample));
        tally
    }

    proptest! {
        #[test]
        fn no_sample_is_lost_and_order_does_not_matter(samples in prop::collection::vec(any_sample(), 0..60), cut in 0_usize..60) {
            let whole = of(&samples);
            let cut = cut.min(samples.len());
            let (first, second) = (of(&samples[..cut]), of(&samples[cut..]));
            prop_assert_eq!(&merge_all([&first, &second]), &whole);
            prop_assert_eq!(&merge_all([&second, &first]), &whole);
            let attempts = samples.iter().filter(|sample| matches!(sample, Sample::Attempt(_))).count() as u64;
            prop_assert_eq!(whole.attempts_total(), attempts);
            let by_outcome: u64 = Outcome::ALL.iter().map(|outcome| whole.outcome(*outcome)).sum();
            prop_assert_eq!(by_outcome, attempts);
            let struck = samples.iter().filter(|sample| matches!(sample, Sample::StormDisconnect(_))).count() as u64;
            prop_assert_eq!(whole.storms.values().map(|storm| storm.disconnects).sum::<u64>(), struck);
            let back = samples.iter().filter(|sample| matches!(sample, Sample::Ready(ready) if ready.storm.is_some())).count() as u64;
            prop_assert_eq!(whole.storms.values().map(|storm| storm.back.count()).sum::<u64>(), back);
            prop_assert!(back <= whole.counter(Counter::Reconnects));
            let asked = samples.iter().filter(|sample| matches!(sample, Sample::Request(_))).count() as u64;
            prop_assert_eq!(whole.requests.values().map(AnswerTally::count).sum::<u64>(), asked);
            prop_assert_eq!(whole.requests.values().map(|tally| tally.latencies.count()).sum::<u64>(), asked);
            let away = samples.iter().filter(|sample| matches!(sample, Sample::Away(away) if away.storm.is_some())).count() as u64;
            prop_assert_eq!(whole.storms.values().map(|storm| storm.away.count()).sum::<u64>(), away);
        }

        #[test]
        fn records_read_back(samples in prop::collection::vec(any_sample(), 0..40)) {
            let tally = of(&samples);
            let bytes = postcard::to_stdvec(&PackedTally::of(&tally)).unwrap();
            let packed: PackedTally = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(packed.check(), Ok(()));
            prop_assert_eq!(packed.unpack(), tally);
        }
    }
}
